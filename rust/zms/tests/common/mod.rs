// SPDX-License-Identifier: GPL-2.0-or-later
//! Configurations and a trace runner for the model's tests. (Users' presets live in `ssd`.)

#![allow(dead_code, reason = "each test file uses a part")]

use nand::{Cell, CellTiming, Crossing, Geometry, Timing};
use std::collections::BinaryHeap;
use units::{Bytes, Instant, Nanos, Sector};
use zms::{
    BufferPolicy, Buffers, Command, Config, Costs, DataNamespace, Error, L2p, L2pPolicy, L2pSearch,
    Namespace, SlcMap, Zms, ZoneAction, ZoneTarget,
};

fn timing(channel_mbps: u64, tlc_read_us: u64) -> Timing {
    let us = Nanos::from_micros;
    let (lsb, msb) = (Nanos::new(30_013), Nanos::new(42_013));
    Timing {
        slc: CellTiming::uniform(us(20), us(75)),
        mlc: CellTiming {
            read: [lsb, msb, lsb, msb],
            program: us(185),
        },
        tlc: CellTiming::uniform(us(tlc_read_us), Nanos::new(937_500)),
        qlc: CellTiming::uniform(us(85), us(6098)),
        erase: Nanos::new(3_500_000),
        channel_mbps,
        crossing: Crossing::default(),
    }
}

/// Suspending costs 20 us before and after, at most four times an operation.
pub fn suspension(rule: nand::Suspend) -> nand::Suspension {
    nand::Suspension {
        rule,
        suspend: Nanos::new(20_000),
        resume: Nanos::new(20_000),
        max: 4,
    }
}

/// A preset by name, with `key=value` settings of the kind that golden `.cmd` files use.
pub fn config(preset: &str, settings: &[(&str, &str)]) -> Config {
    let ufs4 = preset == "ufs4-tlc";
    let qlc = preset.starts_with("qlc");
    let block = preset.ends_with("block");
    let kib = Bytes::kib;
    let mut geometry = Geometry {
        channels: if ufs4 { 4 } else { 2 },
        luns_per_channel: 2,
        planes_per_lun: if ufs4 { 4 } else { 1 },
        dies_per_group: 4,
        flash_page: kib(if ufs4 { 16 } else { 32 }),
        block: Bytes::mib(if ufs4 {
            33
        } else if qlc {
            32
        } else {
            24
        }),
        cell: if qlc { Cell::Qlc } else { Cell::Tlc },
    };
    let mut zones = if ufs4 { 16 } else { 32 };
    let mut block_size = Bytes::mib(4096);
    let mut meta_size = Bytes::mib(if ufs4 {
        2048
    } else if block {
        40
    } else {
        256
    });
    let mut slc_superblocks = if ufs4 { 4 } else { 28 };
    let mut l2p = L2p {
        cache: kib(1020),
        entry: Bytes::new(4),
        slots: 3,
        policy: L2pPolicy::Lru,
        search: L2pSearch::Multiple,
        hybrid: true,
        resident: true,
        preread: 0,
        chunk: Bytes::mib(4),
    };
    for (key, value) in settings {
        let size = || value.parse::<Bytes>().unwrap();
        let number = || value.parse::<u32>().unwrap();
        match *key {
            "zones" => zones = number(),
            "block-size" => geometry.block = size(),
            "block-data-size" => block_size = size(),
            "meta-size" => meta_size = size(),
            "slc-superblocks" => slc_superblocks = number(),
            "l2p-cache-size" => l2p.cache = size(),
            "l2p-slots" => l2p.slots = number(),
            "l2p-hybrid" => l2p.hybrid = *value == "on",
            "l2p-search" => {
                l2p.search = match *value {
                    "bitmap" => L2pSearch::Bitmap,
                    _ => L2pSearch::Multiple,
                }
            }
            other => panic!("no setting {other}"),
        }
    }
    let capacity = geometry.superblock_lpns(geometry.cell) * 4096;
    Config {
        geometry,
        timing: if ufs4 {
            timing(1422, 40)
        } else {
            timing(1600, 32)
        },
        link_mbps: 3000,
        costs: Costs {
            read_4k: Nanos::new(20_000),
            read: Nanos::new(13_000),
            append: Nanos::ZERO,
            buffer_base: Nanos::new(5_600),
            buffer_page: Nanos::new(600),
        },
        buffers: Buffers {
            total: kib(if ufs4 { 1536 } else { 768 }),
            count: if block {
                1
            } else if qlc {
                6
            } else {
                2
            },
            policy: BufferPolicy::Static,
            dwell: ufs4.then_some(Nanos::new(320_000)),
            meta: kib(if ufs4 { 384 } else { 512 }),
        },
        early_completion: true,
        slc_bypass: !qlc,
        slc_map: if preset.ends_with("zone-slc") {
            SlcMap::Zone
        } else {
            SlcMap::Page
        },
        slc_superblocks,
        data: if block {
            DataNamespace::Block { size: block_size }
        } else {
            DataNamespace::Zoned {
                zones,
                zone_size: Bytes::new(capacity.next_power_of_two()),
                max_open: 6,
                max_active: 6,
            }
        },
        zone_options: Default::default(),
        meta_size,
        over_provisioning: 7,
        l2p,
        hmb: Default::default(),
        gc_threshold: 2,
        migrate_threshold: 2,
        fold_idle: None,
        slc_dynamic_share: 0,
        suspension: suspension(nand::Suspend::Background),
        reset_wait: false,
        seed: 1,
    }
}

/// One executed command of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub arrival: u64,
    pub line: String,
    pub completion: u64,
    pub status: u16,
}

fn status(error: Error) -> u16 {
    match error {
        Error::OutOfRange => 0x80,
        Error::CapacityExceeded => 0x81,
        Error::Unsupported => 1,
        Error::NotZoneStart => 2,
        Error::Zone(error) => match error {
            zone::Error::Boundary => 0x1b8,
            zone::Error::Full => 0x1b9,
            zone::Error::ReadOnly => 0x1ba,
            zone::Error::Offline => 0x1bb,
            zone::Error::InvalidWrite => 0x1bc,
            zone::Error::TooManyActive => 0x1bd,
            zone::Error::TooManyOpen => 0x1be,
            zone::Error::InvalidTransition => 0x1bf,
            zone::Error::InvalidOperation => 0x1b6,
            zone::Error::Granularity => 2,
            zone::Error::NoArea => 0x1b7,
            zone::Error::NoSuchZone => 0x80,
        },
        Error::Unreadable(_) | Error::Unwritable(_) | Error::Internal => {
            unreachable!("a model's media do not fail")
        }
    }
}

fn parse(fields: &[&str]) -> (Namespace, Command) {
    let number = |i: usize| fields[i].parse::<u64>().unwrap();
    let at = Sector::new(number(3));
    let sectors = number(4);
    let fua = fields[5] == "1";
    let zone = |action| Command::Zone {
        action,
        target: ZoneTarget::One(at),
    };
    let command = match fields[2] {
        "R" => Command::read(at, sectors),
        "W" => Command::write(at, sectors, fua),
        "A" => Command::Append {
            zone: at,
            sectors,
            fua,
        },
        "F" => Command::Flush,
        "RST" => zone(ZoneAction::Reset),
        "FIN" => zone(ZoneAction::Finish),
        "OPN" => zone(ZoneAction::Open),
        "CLS" => zone(ZoneAction::Close),
        other => panic!("operation {other}"),
    };
    (
        if fields[1] == "0" {
            Namespace::Meta
        } else {
            Namespace::Data
        },
        command,
    )
}

/// Runs a trace (format: golden README) and reports each command.
pub fn run(zms: &mut Zms, trace: &str) -> Vec<Done> {
    let mut depth = 0;
    let mut out = Vec::new();
    let mut pending = BinaryHeap::new();
    let (mut now, mut last) = (0, 0);
    for line in trace.lines() {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [] => continue,
            [c, ..] if c.starts_with('#') => continue,
            ["Q", n] => {
                depth = n.parse().unwrap();
                continue;
            }
            ["I", ns] => {
                now = now.max(last) + ns.parse::<u64>().unwrap();
                pending.clear();
                continue;
            }
            _ => {}
        }
        let mut arrival = fields[0].parse::<u64>().unwrap();
        if depth > 0 {
            if pending.len() >= depth {
                let std::cmp::Reverse(done) = pending.pop().unwrap();
                now = now.max(done);
            }
            arrival = now;
        } else {
            now = arrival;
        }
        let (ns, command) = parse(&fields);
        let outcome = zms.submit(ns, &command, Instant::from_nanos(arrival));
        let completion = outcome.done.as_nanos();
        pending.push(std::cmp::Reverse(completion));
        last = last.max(completion);
        out.push(Done {
            arrival,
            line: fields[1..5].join(" "),
            completion,
            status: outcome.result.err().map_or(0, status),
        });
    }
    out
}

/// The counters of golden `.stats.json` files, zeroes left out.
pub fn counters(zms: &Zms) -> Vec<(&'static str, u64)> {
    let s = zms.stats();
    let sum = |f: fn(&zms::Counters) -> u64| f(&s.meta) + f(&s.data);
    let mut all = vec![
        ("buffer_hits", sum(|c| c.buffer_hits)),
        ("erases_native", s.native_pool.erases),
        ("erases_slc", s.slc_pool.erases + s.meta_pool.erases),
        ("flush_durable", sum(|c| c.flush_durable)),
        ("flush_full", sum(|c| c.flush_full)),
        ("flush_premature", sum(|c| c.flush_premature)),
        ("flush_window", sum(|c| c.flush_window)),
        ("flushes", sum(zms::Counters::flushes)),
        ("gc_runs", sum(|c| c.gc_runs)),
        ("host_flushes", sum(|c| c.host_flushes)),
        ("host_read_pages", sum(|c| c.host_read_pages)),
        ("host_reads", sum(|c| c.host_reads)),
        ("host_write_pages", sum(|c| c.host_write_pages)),
        ("host_writes", sum(|c| c.host_writes)),
        ("l2p_evictions", s.l2p_evictions),
        ("l2p_hits", sum(|c| c.l2p_hits.total())),
        ("l2p_misses", sum(|c| c.l2p_misses.total())),
        ("map_reads", sum(|c| c.map_reads)),
        ("migrations", sum(|c| c.migrations)),
        ("pages_backup", sum(|c| c.pages_backup)),
        ("pages_combined", sum(|c| c.pages_combined)),
        ("pages_gc", sum(|c| c.pages_gc)),
        ("pages_migrated", sum(|c| c.pages_migrated)),
        ("pages_native", sum(|c| c.pages_native)),
        ("pages_programmed", sum(zms::Counters::pages_programmed)),
        ("pages_read", sum(|c| c.pages_read)),
        ("pages_slc", sum(|c| c.pages_slc)),
        ("zone_finishes", sum(|c| c.zone_finishes)),
        ("zone_resets", sum(|c| c.zone_resets)),
    ];
    all.retain(|c| c.1 > 0);
    all
}
