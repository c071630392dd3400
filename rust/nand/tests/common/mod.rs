// SPDX-License-Identifier: GPL-2.0-or-later
//! A small array.
#![allow(dead_code, reason = "each test file uses its part")]

use nand::{Cell, CellTiming, Geometry, Media, Suspension, Timing};
use units::{Bytes, Nanos};

/// Planes 0 and 1 share channel 0, planes 2 and 3 channel 1.
pub const GEOMETRY: Geometry = Geometry {
    channels: 2,
    luns_per_channel: 1,
    planes_per_lun: 2,
    dies_per_group: 2,
    flash_page: Bytes::kib(16),
    block: Bytes::mib(3),
    cell: Cell::Tlc,
};

/// Times of all cell modes, in nanoseconds.
#[derive(Clone, Copy)]
pub struct Times {
    pub sense: u64,
    pub program: u64,
    pub erase: u64,
}

/// An array that tells what its planes do, and moves 1 KiB in 9.77 ns.
pub fn media(times: Times, rule: Suspension) -> Media {
    let cells = CellTiming::uniform(Nanos::new(times.sense), Nanos::new(times.program));
    let timing = Timing {
        slc: cells,
        mlc: cells,
        tlc: cells,
        qlc: cells,
        erase: Nanos::new(times.erase),
        channel_mbps: 100_000,
    };
    let mut media = Media::new(&GEOMETRY, &timing).with_suspend(rule);
    media.observe(true);
    media
}
