// SPDX-License-Identifier: GPL-2.0-or-later
//! The preset, a small drive, and short ways to say commands.
#![allow(dead_code, reason = "each test file uses its part")]

use conv::{Config, Conv, Paged};
use ftl::{Command, Costs};
use nand::{Cell, Chips, Finer};
use units::{Bytes, Instant, Nanos, Sector};

pub const PAGE: u64 = 8;
pub const KIB: u64 = 2;

/// `conv-970pro` with 4 GiB.
pub fn pro970() -> Config {
    let lsb_msb = |lsb, msb| [lsb, msb, 0, 0].map(Nanos::new);
    Config {
        chips: Chips {
            channels: 8,
            luns_per_channel: 2,
            planes_per_lun: 1,
            cell: Cell::Mlc,
            flash_page: Bytes::kib(32),
            one_shot: Bytes::kib(32),
            read_4k: lsb_msb(29_760, 41_760),
            read_page: lsb_msb(30_013, 42_013),
            program: Nanos::new(185_000),
            erase: Nanos::ZERO,
            channel_mbps: 800,
            channel_overhead: Nanos::ZERO,
            finer: Finer::default(),
        },
        link_mbps: 3360,
        costs: Costs {
            read_4k: Nanos::new(21_500),
            read: Nanos::new(30_490),
            append: Nanos::ZERO,
            buffer_base: Nanos::new(4_000),
            buffer_page: Nanos::new(460),
        },
        early_completion: true,
        paged: Paged {
            size: Bytes::mib(4096),
            partitions: 4,
            over_provisioning: 7,
            blocks_per_plane: 8192,
            gc_threshold: 2,
            buffer: Bytes::mib(1),
            l2p: None,
        },
    }
}

/// 1 MiB in 2 partitions of 2 x 2 dies, 8 KiB one-shot pages of two flash pages.
pub fn tiny() -> Config {
    let preset = pro970();
    Config {
        chips: Chips {
            channels: 4,
            flash_page: Bytes::kib(4),
            one_shot: Bytes::kib(8),
            erase: Nanos::new(100_000),
            ..preset.chips
        },
        early_completion: true,
        paged: Paged {
            size: Bytes::mib(1),
            partitions: 2,
            over_provisioning: 10,
            blocks_per_plane: 20,
            gc_threshold: 1,
            buffer: Bytes::kib(32),
            l2p: None,
        },
        ..preset
    }
}

pub fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

pub fn read(sector: u64, sectors: u64) -> Command {
    Command::read(Sector::new(sector), sectors)
}

pub fn write(sector: u64, sectors: u64) -> Command {
    Command::write(Sector::new(sector), sectors, false)
}

pub fn fua(sector: u64, sectors: u64) -> Command {
    Command::write(Sector::new(sector), sectors, true)
}

pub fn trim(sector: u64, sectors: u64) -> Command {
    Command::Deallocate {
        at: Sector::new(sector),
        sectors,
    }
}

/// When a command that succeeds is done.
pub fn done(drive: &mut Conv, command: &Command, now: u64) -> u64 {
    let outcome = drive.submit(command, at(now));
    assert!(outcome.result.is_ok(), "{command:?}: {outcome:?}");
    assert!(outcome.done >= at(now));
    outcome.done.as_nanos()
}

/// xorshift64*: repeatable, and good enough for addresses.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let x = u128::from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D));
        ((x * u128::from(n)) >> 64) as u64
    }
}
