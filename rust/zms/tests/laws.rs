// SPDX-License-Identifier: GPL-2.0-or-later
//! Laws that hold for any drive and any commands, on tiny geometries where every path is short:
//! the map agrees with a plain reference, the invariants hold after each command, the same
//! commands give the same times, and running out of space is an error that a reset cures.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod common;

use nand::{Cell, Suspend};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use units::{Bytes, Instant, Nanos, Sector, ZoneId};
use zms::{
    BufferPolicy, Command, Config, DataNamespace, Error, L2pPolicy, L2pSearch, Namespace, Reply,
    SlcMap, Zms, ZoneAction, ZoneTarget,
};

const ZONES: u32 = 5;

/// 2 planes of 8 KiB flash pages, 4 wordlines a block: a zone is 32, 48 or 64 pages.
fn tiny(cell: Cell, zoned: bool) -> Config {
    let name = match (cell, zoned) {
        (Cell::Qlc, true) => "qlc-zoned-page-slc",
        (Cell::Qlc, false) => "qlc-block",
        (_, true) => "tlc-zoned",
        (_, false) => "tlc-block",
    };
    tiny_preset(name, cell)
}

fn tiny_preset(name: &str, cell: Cell) -> Config {
    let zoned = !name.ends_with("block");
    let mut c = common::config(name, &[]);
    c.geometry.channels = 2;
    c.geometry.luns_per_channel = 1;
    c.geometry.planes_per_lun = 1;
    c.geometry.dies_per_group = 2;
    c.geometry.flash_page = Bytes::kib(8);
    c.geometry.cell = cell;
    c.geometry.block = Bytes::kib(8 * 4 * u64::from(cell.bits()));
    c.slc_superblocks = 12;
    c.meta_size = Bytes::kib(4 * 64);
    c.buffers.total = Bytes::kib(4 * 32);
    c.buffers.count = 2;
    c.buffers.meta = Bytes::kib(4 * 8);
    c.l2p.cache = Bytes::new(4 * 24);
    c.l2p.chunk = Bytes::kib(4 * 16);
    c.data = if zoned {
        let capacity = c.zone_capacity().get();
        DataNamespace::Zoned {
            zones: ZONES,
            zone_size: Bytes::new(capacity.next_power_of_two()),
            max_open: 3,
            max_active: 4,
        }
    } else {
        DataNamespace::Block {
            size: Bytes::kib(4 * 160),
        }
    };
    c
}

fn configs() -> impl Strategy<Value = Config> {
    let cell = prop::sample::select(vec![Cell::Mlc, Cell::Tlc, Cell::Qlc]);
    let flags = prop::array::uniform7(any::<bool>());
    (cell, flags, 0u32..3).prop_map(|(cell, f, preread)| {
        let mut c = tiny(cell, f[0]);
        c.slc_bypass = f[1];
        c.slc_map = if f[2] { SlcMap::Zone } else { SlcMap::Page };
        c.buffers.policy = if f[3] {
            BufferPolicy::Modulo
        } else {
            BufferPolicy::Static
        };
        c.buffers.dwell = f[4].then_some(Nanos::new(100_000));
        c.l2p.policy = if f[5] {
            L2pPolicy::Random
        } else {
            L2pPolicy::Lru
        };
        c.l2p.search = if f[3] {
            L2pSearch::Bitmap
        } else {
            L2pSearch::Multiple
        };
        c.l2p.hybrid = f[4] || f[5];
        c.zone_options = zone::Options {
            read_across: f[4],
            zrwa: Some(zone::Zrwa {
                size: if f[5] { 8 * 8 } else { 8 * 24 },
                granularity: if f[2] { 8 } else { 8 * 4 },
                zones: 2,
            }),
        };
        c.l2p.preread = preread;
        c.suspension = common::suspension(if f[6] {
            Suspend::Off
        } else {
            Suspend::Background
        });
        c
    })
}

/// A command in small numbers, to be laid over the namespaces.
type Raw = (u8, bool, u32, u32, bool, u64);

fn raw() -> impl Strategy<Value = Raw> {
    (
        0u8..23,
        any::<bool>(),
        0u32..2000,
        0u32..90,
        any::<bool>(),
        0u64..200_000,
    )
}

fn command(zms: &Zms, (what, meta, at, sectors, flag, _): Raw) -> (Namespace, Command) {
    let ns = if meta && what != 3 {
        Namespace::Meta
    } else {
        Namespace::Data
    };
    let zone = zms.zone(ZoneId::new(at % ZONES));
    let sectors = u64::from(sectors);
    let mut place = Sector::new(u64::from(at) % (zms.sectors(ns) + 16));
    let start = zone.map_or(place, |z| z.start);
    if let (Some(zone), Namespace::Data, true) = (zone, ns, what < 8 || what == 22) {
        // Anywhere in a random write area, or past it.
        let ahead = if zone.zrwa { u64::from(at) % 300 } else { 0 };
        place = Sector::new(zone.write_pointer.get() + ahead);
    }
    let write = Command::Write {
        at: place,
        sectors,
        fua: flag,
        internal: false,
    };
    let target = if flag && at % 7 == 0 {
        ZoneTarget::All
    } else {
        ZoneTarget::One(start)
    };
    let manage = |action| (Namespace::Data, Command::Zone { action, target });
    match what {
        0..=6 => (ns, write),
        7 => {
            let at = place;
            let fua = flag;
            (ns, Command::WriteZeroes { at, sectors, fua })
        }
        8 => {
            let append = Command::Append {
                zone: start,
                sectors,
                fua: flag,
            };
            (Namespace::Data, append)
        }
        9..=12 => {
            let read = Command::Read {
                at: place,
                sectors,
                internal: flag,
            };
            (ns, read)
        }
        13 => (ns, Command::Flush),
        14 => (ns, Command::Deallocate { at: place, sectors }),
        15 => manage(ZoneAction::Open),
        16 => manage(ZoneAction::Close),
        17 => manage(ZoneAction::Finish),
        18 => manage(ZoneAction::Reset),
        20 => manage(ZoneAction::OpenZrwa),
        21 => manage(ZoneAction::SetExtension),
        22 => {
            let end = Sector::new(place.get().next_multiple_of(8));
            (Namespace::Data, Command::CommitZrwa { end })
        }
        _ => {
            let at = Sector::new(u64::MAX - u64::from(at));
            let read = Command::Read {
                at,
                sectors: u64::MAX,
                internal: false,
            };
            (ns, read)
        }
    }
}

/// The reference: which pages hold data.
#[derive(Default)]
struct Reference {
    meta: BTreeSet<u64>,
    data: BTreeSet<u64>,
}

impl Reference {
    fn apply(&mut self, zms: &Zms, ns: Namespace, command: &Command, reply: Reply) {
        let zoned = zms.zone(ZoneId::new(0)).is_some() && ns == Namespace::Data;
        let held = match ns {
            Namespace::Meta => &mut self.meta,
            Namespace::Data => &mut self.data,
        };
        let touched = |at: Sector, n: u64| {
            let end = if n == 0 {
                0
            } else {
                (at.get() + n).div_ceil(8)
            };
            at.get() / 8..end
        };
        let whole = |at: Sector, n: u64| at.get().div_ceil(8)..(at.get() + n) / 8;
        match *command {
            Command::Write { at, sectors, .. } => held.extend(touched(at, sectors)),
            Command::WriteZeroes { at, sectors, .. } if zoned => held.extend(touched(at, sectors)),
            Command::Append { sectors, .. } => {
                if let Reply::Appended(at) = reply {
                    held.extend(touched(at, sectors));
                }
            }
            Command::Deallocate { at, sectors } | Command::WriteZeroes { at, sectors, .. }
                if !zoned =>
            {
                let gone = whole(at, sectors);
                held.retain(|page| !gone.contains(page));
            }
            Command::Zone {
                action: ZoneAction::Reset,
                ..
            } => {
                let empty = |z: u32| {
                    zms.zone(ZoneId::new(z))
                        .is_some_and(|zone| zone.state == zone::State::Empty)
                };
                let span = zms.sectors(Namespace::Data) / 8 / u64::from(ZONES);
                held.retain(|page| !empty((page / span) as u32));
            }
            _ => {}
        }
        if let Command::CommitZrwa { end } = *command {
            let (end, span) = (end.get() / 8, zms.sectors(Namespace::Data) / 8);
            let span = span / u64::from(ZONES);
            held.extend((end - 1) / span * span..end);
        }
        if zoned {
            Self::fill_holes(zms, held, command);
        }
    }

    /// What is committed holds data, holes of the random write area included.
    fn fill_holes(zms: &Zms, held: &mut BTreeSet<u64>, command: &Command) {
        let span = zms.sectors(Namespace::Data) / 8 / u64::from(ZONES);
        for zone in (0..ZONES).filter_map(|z| zms.zone(ZoneId::new(z))) {
            let first = zone.start.get() / 8;
            let last = held.range(first..first + span).last().copied();
            let finished = matches!(
                command,
                Command::Zone {
                    action: ZoneAction::Finish,
                    ..
                }
            );
            match zone.state {
                zone::State::Full if finished => held.extend(first..last.map_or(first, |l| l + 1)),
                _ if zone.zrwa => held.extend(first..zone.write_pointer.get() / 8),
                _ => {}
            }
        }
    }

    fn check(&self, zms: &Zms) {
        for (ns, held) in [(Namespace::Meta, &self.meta), (Namespace::Data, &self.data)] {
            for page in 0..zms.sectors(ns) / 8 {
                let mapped = !zms.has_unmapped(ns, Sector::new(page * 8), 8);
                assert_eq!(mapped, held.contains(&page), "page {page} of {ns:?}");
            }
        }
    }
}

/// Runs the commands; gives the completion times.
fn run(config: &Config, commands: &[Raw]) -> Vec<(u64, bool)> {
    let mut zms = Zms::new(config).unwrap();
    let mut reference = Reference::default();
    let mut now = 0;
    let mut times = Vec::new();
    for &raw in commands {
        now += raw.5;
        let (ns, command) = command(&zms, raw);
        let outcome = zms.submit(ns, &command, Instant::from_nanos(now));
        assert!(outcome.done.as_nanos() >= now, "{command:?}");
        zms.check_invariants().unwrap();
        match outcome.result {
            Ok(reply) => reference.apply(&zms, ns, &command, reply),
            Err(_) => {
                assert_eq!(outcome.done.as_nanos(), now, "errors take no time");
                // Finishing all zones ends at the first whose area finds no room.
                if zms.zone(ZoneId::new(0)).is_some() && ns == Namespace::Data {
                    Reference::fill_holes(&zms, &mut reference.data, &command);
                }
            }
        }
        times.push((outcome.done.as_nanos(), outcome.result.is_ok()));
    }
    reference.check(&zms);
    times
}

#[test]
fn times_can_change_at_any_moment_and_nothing_else_does() {
    let mut config = common::config("ufs4-tlc", &[("zones", "2")]);
    let mut zms = Zms::new(&config).unwrap();
    let read = Command::Read {
        at: Sector::new(0),
        sectors: 8,
        internal: false,
    };
    let fill = Command::Write {
        at: Sector::new(0),
        sectors: 3 << 10,
        fua: true,
        internal: false,
    };
    let now = zms.submit(Namespace::Data, &fill, Instant::ZERO).done;
    let mut at = now + Nanos::from_micros(100_000);
    let mut took = |zms: &mut Zms| {
        at += Nanos::from_micros(100_000);
        zms.submit(Namespace::Data, &read, at).done.since(at)
    };
    let before = took(&mut zms);
    config.timing.tlc.read = [Nanos::from_micros(140); 4];
    config.costs.read_4k += Nanos::from_micros(1_000);
    config.link_mbps = 1;
    config.timing.channel_mbps = 1;
    zms.set_times(&config);
    // TLC sense 40 us -> 140 us, firmware 1 ms more; bandwidths are not times.
    assert_eq!(took(&mut zms), before + Nanos::from_micros(1_100));
    assert_eq!(zms.config().link_mbps, 3000);
    // A window of the past flushes what is buffered as soon as the drive is looked at.
    config.buffers.dwell = Some(Nanos::new(1));
    zms.set_times(&config);
    assert_eq!(zms.config().buffers.dwell, Some(Nanos::new(1)));
    zms.check_invariants().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn any_commands_keep_map_and_invariants_and_repeat(
        config in configs(),
        commands in prop::collection::vec(raw(), 1..120),
    ) {
        prop_assert_eq!(run(&config, &commands), run(&config, &commands));
    }

    /// Closed loop at depth 1: slower flash never makes the whole faster.
    #[test]
    fn slower_parts_never_help(
        config in configs(),
        commands in prop::collection::vec(raw(), 1..60),
        part in 0u8..8,
        extra in 1u64..50_000,
    ) {
        let total = |config: &Config| {
            let mut zms = Zms::new(config).unwrap();
            let mut now = Instant::ZERO;
            for &raw in &commands {
                let (ns, command) = command(&zms, raw);
                now = zms.submit(ns, &command, now).done;
            }
            now
        };
        // With neither dwell windows nor buffers to choose, nothing depends on when commands come.
        let mut config = config;
        config.buffers.dwell = None;
        config.buffers.policy = BufferPolicy::Modulo;
        let fast = total(&config);
        let more = Nanos::new(extra);
        match part {
            0 => config.costs.buffer_base += more,
            1 => {
                config.costs.read += more;
                config.costs.read_4k += more;
            }
            2 => config.timing.slc.program += more,
            3 => config.timing.slc.read = config.timing.slc.read.map(|t| t + more),
            4 => {
                let t = &mut config.timing;
                for cell in [&mut t.mlc, &mut t.tlc, &mut t.qlc] {
                    cell.program += more;
                }
            }
            5 => {
                let t = &mut config.timing;
                for cell in [&mut t.mlc, &mut t.tlc, &mut t.qlc] {
                    cell.read = cell.read.map(|t| t + more);
                }
            }
            6 => config.timing.erase += more,
            _ => config.link_mbps -= extra % 2900,
        }
        prop_assert!(total(&config) >= fast);
    }
}

/// Reads beside a migration: one that can be suspended costs them the suspension on each plane they need,
/// or the rest of a sense; one that cannot, the operation that runs.
#[test]
fn reads_beside_a_migration_wait_as_the_property_says() {
    let longest = |rule| {
        let mut c = tiny(Cell::Qlc, true);
        c.suspension = common::suspension(rule);
        c.suspension.max = u32::MAX;
        c.slc_superblocks = 8;
        c.geometry.block = Bytes::kib(8 * 4 * 16);
        c.data = DataNamespace::Zoned {
            zones: 4,
            zone_size: Bytes::mib(1),
            max_open: 4,
            max_active: 4,
        };
        let program = c.timing.qlc.program;
        let mut zms = Zms::new(&c).unwrap();
        let (mut now, mut longest) = (Instant::ZERO, Nanos::ZERO);
        for page in 0..c.zone_capacity().get() / 4096 {
            // A page of each zone in turn; then its first page, when the write's own programs have ended.
            // Slowly, so that the host never needs the space before the migration has made it.
            for z in 0..4 {
                let start = zms.zone(ZoneId::new(z)).unwrap().start.get();
                let write = Command::Write {
                    at: Sector::new(start + page * 8),
                    sectors: 8,
                    fua: true,
                    internal: false,
                };
                let read = Command::Read {
                    at: Sector::new(start),
                    sectors: 8,
                    internal: false,
                };
                now = zms.submit(Namespace::Data, &write, now).done + Nanos::from_micros(4_000);
                let done = zms.submit(Namespace::Data, &read, now).done;
                longest = longest.max(done.since(now));
                now = done;
            }
        }
        let migrations = zms.stats().data.migrations;
        assert!(migrations > 3, "{migrations}");
        (longest, program)
    };
    let (suspended, _) = longest(Suspend::Background);
    let (queued, program) = longest(Suspend::Off);
    // Firmware, up to three map reads and the data's, with their transfers, each perhaps behind a sense
    // and a transfer, or a suspension; and the write's own programs of before.
    let alone = Nanos::from_micros(20 + 2 * (3 * 23 + 85 + 6) + 4 * 20);
    assert!(suspended <= alone, "{suspended:?} {alone:?}");
    assert!(
        queued > suspended && queued <= alone + program.times(4),
        "{queued:?}"
    );
}

/// Every string of four commands out of seven, on two drives.
#[test]
fn all_short_command_strings() {
    const COMMANDS: [Raw; 7] = [
        (0, false, 0, 8, false, 0),
        (0, false, 1, 77, false, 0),
        (0, false, 0, 400, true, 0),
        (9, false, 3, 40, false, 0),
        (13, false, 0, 0, false, 0),
        (18, false, 1, 0, false, 0),
        (17, false, 0, 0, false, 0),
    ];
    for config in [
        tiny(Cell::Tlc, true),
        tiny(Cell::Qlc, true),
        tiny(Cell::Tlc, false),
    ] {
        for n in 0..7u32.pow(4) {
            let pick = |i: u32| COMMANDS[(n / 7u32.pow(i) % 7) as usize];
            run(&config, &[pick(0), pick(1), pick(2), pick(3)]);
        }
    }
}

const ZONED: [(&str, Cell); 4] = [
    ("ufs4-tlc", Cell::Tlc),
    ("tlc-zoned", Cell::Tlc),
    ("qlc-zoned-page-slc", Cell::Qlc),
    ("qlc-zoned-zone-slc", Cell::Qlc),
];

/// Zones finished with a remainder each fill pSLC with pages that no unit can take: the drive says
/// so, does not hang, and takes writes again once zones are reset.
#[test]
fn out_of_space_is_an_error_and_a_reset_cures_it() {
    for (name, cell) in ZONED {
        let mut c = tiny_preset(name, cell);
        c.slc_superblocks = 10;
        c.buffers.total = Bytes::kib(4 * 12);
        c.data = DataNamespace::Zoned {
            zones: 128,
            zone_size: Bytes::kib(4 * 64),
            max_open: 3,
            max_active: 4,
        };
        out_of_space(name, &c);
    }
}

fn out_of_space(name: &str, config: &Config) {
    let mut zms = Zms::new(config).unwrap();
    let mut now = Instant::ZERO;
    let mut refused = None;
    let zone_command = |z: u64, action| Command::Zone {
        action,
        target: ZoneTarget::One(Sector::new(z * 512)),
    };
    let write = |z: u64| Command::Write {
        at: Sector::new(z * 512),
        sectors: 40,
        fua: true,
        internal: false,
    };
    for z in 0..128 {
        let outcome = zms.submit(Namespace::Data, &write(z), now);
        now = outcome.done;
        zms.check_invariants().unwrap();
        if outcome.result.is_err() {
            refused = Some((z, outcome.result));
            break;
        }
        let _ = zms.submit(Namespace::Data, &zone_command(z, ZoneAction::Finish), now);
    }
    let Some((z, result)) = refused else {
        panic!("{name}: 128 x 5 pages went into 160 pages of pSLC")
    };
    assert_eq!(result, Err(Error::CapacityExceeded), "{name}");
    assert!(now < Instant::from_nanos(60_000_000_000), "{name}: {now:?}");
    for done in 0..z {
        let _ = zms.submit(Namespace::Data, &zone_command(done, ZoneAction::Reset), now);
        zms.check_invariants().unwrap();
    }
    let again = zms.submit(Namespace::Data, &write(z), now);
    assert!(again.result.is_ok(), "{name}: {again:?}");
}

/// Page-mapped namespaces hold their whole logical size however often it is overwritten; trimmed,
/// they are as new.
#[test]
fn page_mapped_namespaces_never_run_out_of_space() {
    for (name, cell) in [("tlc-block", Cell::Tlc), ("qlc-block", Cell::Qlc)] {
        let mut zms = Zms::new(&tiny_preset(name, cell)).unwrap();
        let mut now = Instant::ZERO;
        for ns in [Namespace::Meta, Namespace::Data] {
            let pages = zms.sectors(ns) / 8;
            for i in 0..6 * pages {
                // In order first; then all over the place.
                let page = if i < pages { i } else { i * 7919 % pages };
                let write = Command::Write {
                    at: Sector::new(page * 8),
                    sectors: 8,
                    fua: i % 13 == 0,
                    internal: false,
                };
                let outcome = zms.submit(ns, &write, now);
                assert!(outcome.result.is_ok(), "{name} {ns:?} {i}: {outcome:?}");
                now = outcome.done;
            }
            zms.check_invariants().unwrap();
            assert!(!(0..pages).any(|p| zms.has_unmapped(ns, Sector::new(p * 8), 8)));
            let trim = Command::Deallocate {
                at: Sector::new(0),
                sectors: pages * 8,
            };
            let _ = zms.submit(ns, &trim, now);
            zms.check_invariants().unwrap();
            assert!((0..pages).all(|p| zms.has_unmapped(ns, Sector::new(p * 8), 8)));
        }
        let stats = zms.stats();
        assert!(stats.meta.gc_runs > 0, "{name}");
        assert!(stats.data.gc_runs + stats.data.migrations > 0, "{name}");
    }
}

/// GC that makes backups may need pSLC, whose reclaim may need GC: each superblock is freed once.
#[test]
fn collection_and_reclaim_inside_each_other_free_a_superblock_once() {
    let mut rng = 1_u64;
    for (cell, bypass) in [Cell::Mlc, Cell::Tlc, Cell::Qlc]
        .into_iter()
        .flat_map(|cell| [(cell, false), (cell, true)])
    {
        let mut c = tiny(cell, false);
        c.slc_bypass = bypass;
        c.slc_superblocks = 10;
        c.buffers.total = Bytes::kib(4 * 20);
        let mut zms = Zms::new(&c).unwrap();
        let pages = zms.sectors(Namespace::Data) / 8;
        let mut now = Instant::ZERO;
        for i in 0..20_000 {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = 1 + (rng >> 50) % 12;
            let write = Command::Write {
                at: Sector::new((rng >> 33) % (pages - n) * 8),
                sectors: n * 8,
                fua: (rng >> 20) % 8 == 0,
                internal: false,
            };
            now = zms.submit(Namespace::Data, &write, now).done;
            if i % 16 == 0 {
                zms.check_invariants().unwrap();
            }
        }
        zms.check_invariants().unwrap();
    }
}

/// Long random runs: what short ones do not reach (pools that have been used up many times over).
fn soak(drives: u32, commands: usize) {
    let mut runner = TestRunner::deterministic();
    let mut migrations = 0;
    for drive in 0..drives {
        let config = configs().new_tree(&mut runner).unwrap().current();
        let mut zms = Zms::new(&config).unwrap();
        let mut reference = Reference::default();
        let mut now = 0;
        for i in 0..commands {
            let raw = raw().new_tree(&mut runner).unwrap().current();
            now += raw.5;
            let (ns, command) = command(&zms, raw);
            let outcome = zms.submit(ns, &command, Instant::from_nanos(now));
            zms.check_invariants().unwrap();
            if let Ok(reply) = outcome.result {
                reference.apply(&zms, ns, &command, reply);
            }
            if i % 1000 == 0 {
                reference.check(&zms);
            }
        }
        reference.check(&zms);
        let stats = zms.stats();
        migrations += stats.data.migrations + stats.data.gc_runs;
        assert!(stats.data.host_writes > 0, "drive {drive}: {config:?}");
    }
    assert!(migrations > u64::from(drives), "{migrations}");
}

#[test]
fn a_soak_keeps_the_invariants() {
    soak(6, 4_000);
}

#[test]
#[ignore = "minutes: cargo nextest run -p conzone-zms --run-ignored only"]
fn a_long_soak_keeps_the_invariants() {
    soak(30, 40_000);
}

/// zms-model §11, `ufs4-tlc`, idle device, to the nanosecond.
#[test]
fn closed_forms() {
    let c = common::config("ufs4-tlc", &[("block-size", "3M"), ("zones", "4")]);
    let mut zms = Zms::new(&c).unwrap();
    let mut now = Instant::ZERO;
    let zone_sectors = c.zone_capacity().get() / 512;
    let submit = |zms: &mut Zms, now: Instant, command| {
        let outcome = zms.submit(Namespace::Data, &command, now);
        assert!(outcome.result.is_ok(), "{command:?}: {outcome:?}");
        outcome.done
    };
    let write = |at, sectors| Command::Write {
        at: Sector::new(at),
        sectors,
        fua: false,
        internal: false,
    };
    let read = |at| Command::Read {
        at: Sector::new(at),
        sectors: 8,
        internal: false,
    };
    let first = submit(&mut zms, now, write(0, 8));
    // Base, one page, the host link.
    assert_eq!(first.since(now), Nanos::new(5_600 + 600 + 1_303));
    now = first;
    for at in (8..zone_sectors).step_by(512) {
        now = submit(&mut zms, now, write(at, 512.min(zone_sectors - at)));
    }
    now = submit(&mut zms, now, Command::Flush) + Nanos::from_micros(10_000);
    for at in [0, 80_000, zone_sectors - 8] {
        let done = submit(&mut zms, now, read(at));
        assert_eq!(done.since(now), Nanos::new(20_000 + 40_000 + 2_748 + 1_303));
        now = done + Nanos::from_micros(100);
    }
    assert_eq!(
        zms.stats().data.l2p_misses.total(),
        0,
        "a full zone's entry never misses"
    );
    // A page in pSLC.
    let other = c.data_size().get() / 512 / 4;
    now = submit(&mut zms, now, write(other, 8));
    now = submit(&mut zms, now, Command::Flush) + Nanos::from_micros(10_000);
    let done = submit(&mut zms, now, read(other));
    assert_eq!(done.since(now), Nanos::new(20_000 + 20_000 + 2_748 + 1_303));
}
