// SPDX-License-Identifier: GPL-2.0-or-later
//! A small array.
#![allow(dead_code, reason = "each test file uses its part")]

use nand::{Cell, CellTiming, Crossing, Geometry, Media, Suspend, Suspension, Timing};
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

/// Times of the rules' tests.
pub const SMALL: Times = Times {
    sense: 20,
    program: 100,
    erase: 1000,
};

/// An array of these, where suspending takes 5, going on 7, at most twice.
pub fn small_media(rule: Suspend) -> Media {
    let rule = Suspension {
        rule,
        suspend: Nanos::new(5),
        resume: Nanos::new(7),
        max: 2,
    };
    media(SMALL, rule)
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
        crossing: Crossing::default(),
    };
    let mut media = Media::new(&GEOMETRY, &timing).with_suspend(rule);
    media.observe(true);
    media
}
