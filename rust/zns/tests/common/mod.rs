// SPDX-License-Identifier: GPL-2.0-or-later
//! The three presets at their full size, and short ways to say commands.
#![allow(dead_code, reason = "each test file uses its part")]

use ftl::{Command, CoreCosts, Costs, Error, Namespace, Outcome, ZoneAction, ZoneTarget};
use nand::{Cell, Chips, Finer};
use units::{Bytes, Instant, Nanos, Sector};
use zns::{BufferScope, Config, ReadAhead, Zns, ZoneCosts};

pub const PAGE: u64 = 8;
pub const KIB: u64 = 2;

fn chips(channels: u32, luns_per_channel: u32) -> Chips {
    Chips {
        channels,
        luns_per_channel,
        planes_per_lun: 1,
        cell: Cell::Tlc,
        flash_page: Bytes::kib(64),
        one_shot: Bytes::kib(128),
        read_4k: [Nanos::new(25_485); 4],
        read_page: [Nanos::new(40_950); 4],
        program: Nanos::new(1_913_640),
        erase: Nanos::ZERO,
        channel_mbps: 800,
        channel_overhead: Nanos::new(413),
        finer: Finer::default(),
    }
}

/// `zns-proto` with 256 zones.
pub fn proto() -> Config {
    Config {
        chips: chips(8, 16),
        link_mbps: 3200,
        costs: Costs {
            read_4k: Nanos::new(32_150),
            read: Nanos::new(32_150),
            append: Nanos::ZERO,
            buffer_base: Nanos::ZERO,
            buffer_page: Nanos::ZERO,
        },
        zones: 256,
        zone_capacity: Bytes::mib(32),
        zone_size: Bytes::mib(32),
        dies_per_zone: 1,
        zone_stagger: 0,
        buffer_scope: BufferScope::Global,
        buffer: Bytes::mib(32),
        early_completion: true,
        write_unit: Bytes::kib(128),
        max_open: 0,
        max_active: 0,
        zone_options: Default::default(),
        cores: Default::default(),
        zone_costs: Default::default(),
        read_ahead: Default::default(),
        reset_wait: false,
        meta: None,
    }
}

fn costs() -> Costs {
    Costs {
        read_4k: Nanos::new(20_000),
        read: Nanos::new(13_000),
        append: Nanos::ZERO,
        buffer_base: Nanos::new(5_600),
        buffer_page: Nanos::new(600),
    }
}

/// `zns-large` with 16 zones.
pub fn large() -> Config {
    Config {
        chips: Chips {
            one_shot: Bytes::kib(192),
            read_4k: [Nanos::new(40_000); 4],
            read_page: [Nanos::new(40_000); 4],
            program: Nanos::new(937_500),
            erase: Nanos::new(3_500_000),
            channel_mbps: 1422,
            channel_overhead: Nanos::ZERO,
            ..chips(4, 2)
        },
        link_mbps: 3000,
        costs: costs(),
        zones: 16,
        zone_capacity: Bytes::mib(528),
        zone_size: Bytes::mib(1024),
        dies_per_zone: 4,
        buffer_scope: BufferScope::PerZone,
        buffer: Bytes::kib(1536),
        early_completion: true,
        write_unit: Bytes::new(512),
        max_open: 14,
        max_active: 28,
        zone_options: Default::default(),
        ..proto()
    }
}

/// `zns-zn540` with 8 zones.
pub fn zn540() -> Config {
    Config {
        chips: Chips {
            flash_page: Bytes::kib(32),
            one_shot: Bytes::kib(96),
            read_4k: [Nanos::new(50_000); 4],
            read_page: [Nanos::new(58_000); 4],
            program: Nanos::new(561_000),
            channel_mbps: 450,
            channel_overhead: Nanos::ZERO,
            ..chips(8, 4)
        },
        link_mbps: 3050,
        zones: 8,
        zone_capacity: Bytes::mib(2048),
        zone_size: Bytes::mib(2048),
        dies_per_zone: 32,
        buffer: Bytes::kib(960),
        ..large()
    }
}

/// A drive whose zones a test can fill: 2 x 2 dies, 6 zones over 3 of them, 8 KiB one-shot pages.
pub fn tiny(scope: BufferScope) -> Config {
    Config {
        chips: Chips {
            flash_page: Bytes::kib(4),
            one_shot: Bytes::kib(8),
            erase: Nanos::new(50_000),
            ..chips(2, 2)
        },
        costs: costs(),
        zones: 6,
        zone_capacity: Bytes::kib(52),
        zone_size: Bytes::kib(60),
        dies_per_zone: 3,
        buffer_scope: scope,
        buffer: Bytes::kib(40),
        early_completion: true,
        write_unit: Bytes::new(512),
        max_open: 2,
        max_active: 3,
        zone_options: Default::default(),
        ..proto()
    }
}

/// The same drive with all that measured drives have.
pub fn everything(mut config: Config) -> Config {
    config.chips.finer = Finer {
        channel_command: Nanos::from_micros(1),
        channel_piece: Bytes::kib(8),
        register: Bytes::kib(4),
        slice: Nanos::from_micros(300),
        window: Nanos::from_micros(40),
    };
    config.cores = CoreCosts {
        cores: 2,
        read: Nanos::from_micros(1),
        read_page: Nanos::from_micros(1),
        write: Nanos::from_micros(2),
        write_page: Nanos::from_micros(1),
        append: Nanos::from_micros(1),
        open: Nanos::from_micros(2),
        zone: Nanos::from_micros(5),
        unit_pages: 2,
        partial: Nanos::from_micros(1),
        subpage: Nanos::from_micros(5),
    };
    config.zone_costs = ZoneCosts {
        reset: Nanos::from_micros(100),
        reset_page: Nanos::from_micros(1),
        finish: Nanos::from_micros(2),
        finish_pads: true,
    };
    config.read_ahead = ReadAhead {
        streams: 2,
        trigger: 2,
        size: Bytes::kib(256),
    };
    config.zone_stagger = 1;
    config
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

pub fn zone(action: ZoneAction, sector: u64) -> Command {
    Command::Zone {
        action,
        target: ZoneTarget::One(Sector::new(sector)),
    }
}

pub fn submit(drive: &mut Zns, command: &Command, now: u64) -> Outcome {
    let outcome = drive.submit(Namespace::Data, command, at(now));
    drive.check_invariants().unwrap();
    outcome
}

/// When a command that succeeds is done.
pub fn done(drive: &mut Zns, command: &Command, now: u64) -> u64 {
    let outcome = submit(drive, command, now);
    assert!(outcome.result.is_ok(), "{command:?}: {outcome:?}");
    outcome.done.as_nanos()
}

pub fn fails(drive: &mut Zns, command: &Command, now: u64) -> Error {
    submit(drive, command, now).result.unwrap_err()
}
