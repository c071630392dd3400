// SPDX-License-Identifier: GPL-2.0-or-later
//! Configurations at the edge of what numbers can say: what is accepted makes a drive that works, and at once;
//! what is not is refused by name.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod common;

use ftl::Random;
use nand::Cell;
use units::{Bytes, Instant, Sector};
use zms::{Command, Config, ConfigError, DataNamespace, L2pPolicy, Namespace, Zms};

const PAGE_BYTES: u64 = 4096;
const PRESETS: [&str; 6] = [
    "ufs4-tlc",
    "tlc-zoned",
    "qlc-zoned-page-slc",
    "qlc-zoned-zone-slc",
    "tlc-block",
    "qlc-block",
];

/// A number of any magnitude below `1 << bits`, often a power of two or beside one.
fn any(random: &mut Random, bits: u64) -> u64 {
    let magnitude = 1 << (random.draw() % bits);
    match random.draw() % 4 {
        0 => magnitude,
        1 => magnitude - 1,
        2 => magnitude + 1,
        _ => magnitude + random.draw() % magnitude,
    }
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Changes one part of a configuration, to what may be impossible.
fn change(c: &mut Config, random: &mut Random) {
    match random.draw() % 24 {
        0 => c.geometry.channels = small(any(random, 8)),
        1 => c.geometry.luns_per_channel = small(any(random, 8)),
        2 => c.geometry.planes_per_lun = small(any(random, 6)),
        3 => {
            let dies = c
                .geometry
                .channels
                .saturating_mul(c.geometry.luns_per_channel);
            c.geometry.dies_per_group = dies >> (random.draw() % 4);
        }
        4 => c.geometry.flash_page = Bytes::new(PAGE_BYTES << (random.draw() % 9)),
        // Whole wordlines.
        5..8 => {
            let wordline = c.geometry.flash_page.get() * u64::from(c.geometry.cell.bits());
            c.geometry.block = Bytes::new(any(random, 26).saturating_mul(wordline));
        }
        8..11 => {
            let capacity = c.zone_capacity().get();
            // As many as page numbers can tell apart, or any number.
            let most = (1 << 32) * PAGE_BYTES / capacity.max(1);
            let zones = match random.draw() % 2 {
                0 => most.saturating_sub(random.draw() % 4),
                _ => any(random, 33),
            };
            c.data = DataNamespace::Zoned {
                zones: small(zones),
                zone_size: Bytes::new(capacity.checked_next_power_of_two().unwrap_or(capacity)),
                max_open: 0,
                max_active: small(any(random, 6)),
            };
        }
        11 | 12 => {
            c.data = DataNamespace::Block {
                size: Bytes::new(any(random, 44)),
            }
        }
        13 | 14 => c.meta_size = Bytes::new(any(random, 44)),
        15 | 16 => c.slc_superblocks = small(any(random, 32)),
        17 => c.buffers.total = Bytes::new(any(random, 33)),
        18 => c.buffers.count = small(any(random, 14)),
        19 => c.buffers.meta = Bytes::new(any(random, 33)),
        20 => {
            c.l2p.cache = Bytes::new(any(random, 40));
            c.l2p.slots = small(any(random, 32));
            c.l2p.entry = Bytes::new(any(random, 13));
        }
        21 => c.l2p.chunk = Bytes::new(1 << (random.draw() % 40)),
        22 => {
            c.l2p.preread = small(any(random, 33));
            c.l2p.policy = L2pPolicy::Random;
        }
        _ => {
            c.over_provisioning = small(any(random, 11));
            c.gc_threshold = small(any(random, 18));
            c.migrate_threshold = small(any(random, 18));
        }
    }
}

/// Pages of pSLC.
fn slc_pages(c: &Config) -> u64 {
    u64::from(c.slc_superblocks)
        * u64::from(c.geometry.groups())
        * c.geometry.superblock_lpns(Cell::Slc)
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib >> 10
}

/// A page at the start and one at the end: of the last zone, or of the namespace.
fn use_both_ends(zms: &mut Zms, c: &Config) {
    let mut now = Instant::ZERO;
    for ns in [Namespace::Meta, Namespace::Data] {
        let sectors = zms.sectors(ns);
        let last = match (ns, c.data) {
            (Namespace::Data, DataNamespace::Zoned { zone_size, .. }) => {
                sectors - zone_size.get() / 512
            }
            _ => sectors.saturating_sub(8),
        };
        let ends = [0, last];
        let distinct = usize::from(sectors > 0) + usize::from(last > 0);
        for at in ends.into_iter().take(distinct) {
            let at = Sector::new(at);
            for command in [Command::write(at, 8, true), Command::read(at, 8)] {
                let outcome = zms.submit(ns, &command, now);
                assert!(outcome.result.is_ok(), "{command:?}: {outcome:?} of {c:?}");
                now = outcome.done;
            }
        }
    }
}

/// One test in this file: memory is the process's.
#[test]
fn what_is_accepted_works_and_starts_small() {
    const CASES: u32 = 800;
    let mut random = Random::new(14);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..CASES {
        let mut c = common::config(PRESETS[random.draw() as usize % PRESETS.len()], &[]);
        for _ in 0..1 + random.draw() % 4 {
            change(&mut c, &mut random);
        }
        if let Err(error) = c.validate() {
            refused += 1;
            assert!(!error.to_string().is_empty());
            assert_eq!(Zms::new(&c).err(), Some(error));
            continue;
        }
        accepted += 1;
        let before = resident_mib();
        let mut zms = Zms::new(&c).unwrap();
        let grown = resident_mib().saturating_sub(before);
        assert!(grown < 400, "{grown} MiB at the start for {c:?}");
        use_both_ends(&mut zms, &c);
        let used = resident_mib().saturating_sub(before + grown);
        assert!(used < 64, "{used} MiB for four pages of {c:?}");
        // It looks at every page of pSLC and of page-mapped namespaces.
        let mapped = match c.data {
            DataNamespace::Block { size } => size.get(),
            DataNamespace::Zoned { .. } => 0,
        };
        if mapped + c.meta_size.get() + (slc_pages(&c) << 12) < 1 << 34 {
            zms.check_invariants().unwrap();
        }
    }
    assert!(
        accepted > CASES / 10 && refused > CASES / 10,
        "{accepted} accepted, {refused} refused"
    );
}

/// Each of these was a panic, a wrapped number or gigabytes.
#[test]
fn what_is_refused_is_named() {
    let message = |preset: &str, change: &dyn Fn(&mut Config)| {
        let mut c = common::config(preset, &[]);
        change(&mut c);
        match c.validate() {
            Err(error @ ConfigError::TooMany(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let zones = |c: &mut Config, zones, block| {
        c.geometry.block = Bytes::new(block);
        let zone_size = c.zone_capacity();
        c.data = DataNamespace::Zoned {
            zones,
            zone_size,
            max_open: 0,
            max_active: 0,
        };
    };
    // 65535 zones of 65536 pages are less than 2^32 pages, with two more they are not.
    assert_eq!(
        message("tlc-zoned", &|c| {
            c.geometry.cell = Cell::Slc;
            zones(c, 65_535, 64 << 20);
        }),
        "zones makes 4295032832 pages of flash with the two superblocks to reset into; there can be 4294967295"
    );
    assert_eq!(
        message("tlc-zoned", &|c| zones(c, 1 << 21, 96 << 10)),
        "zones makes 2097154 superblocks, two of them to reset into; there can be 1048578"
    );
    assert_eq!(
        message("tlc-zoned", &|c| c.slc_superblocks = 1 << 28),
        "slc-superblocks makes 2199023255552 pages of pSLC in all die groups; there can be 1073741824"
    );
    assert_eq!(
        message("tlc-block", &|c| c.l2p.preread = u32::MAX),
        "l2p-preread makes 4294967295 entries; there can be 1024"
    );
    assert_eq!(
        message("tlc-block", &|c| {
            c.l2p.slots = 1 << 21;
            c.l2p.cache = Bytes::mib(64);
        }),
        "l2p-slots makes 2097152 slots; there can be 1048576"
    );
    let tiny = |c: &mut Config| {
        c.geometry.channels = 1;
        c.geometry.luns_per_channel = 1;
        c.geometry.dies_per_group = 1;
        c.geometry.flash_page = Bytes::kib(4);
        c.geometry.block = Bytes::kib(12);
        c.slc_superblocks = 1000;
    };
    assert_eq!(
        message("tlc-block", &|c| {
            tiny(c);
            c.meta_size = Bytes::mib(1 << 20);
        }),
        "meta-size makes 287226198 superblocks; there can be 1048578"
    );
}
