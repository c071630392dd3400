// SPDX-License-Identifier: GPL-2.0-or-later
//! Zones, errors, limits; and random commands against a reference.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{at, done, fails, fua, read, submit, tiny, write, zone, PAGE};
use ftl::{Command, Error, Namespace, Reply, ZoneAction, ZoneTarget};
use proptest::prelude::*;
use units::{Bytes, Nanos, Sector, ZoneId};
use zns::{BufferScope, Config, ConfigError, Zns};
use zone::State;

const SIZE: u64 = 60 * 2;
const CAPACITY: u64 = 52 * 2;

fn drive(scope: BufferScope) -> Zns {
    Zns::new(&tiny(scope)).unwrap()
}

fn state(drive: &Zns, id: u32) -> State {
    drive.zone(ZoneId::new(id)).unwrap().state
}

#[test]
fn a_short_last_one_shot_page_programs_when_the_zone_is_full() {
    let mut d = drive(BufferScope::PerZone);
    // 52 KiB are six one-shot pages of 8 KiB and one of 4 KiB.
    done(&mut d, &write(0, CAPACITY - 1), 0);
    assert_eq!(
        (d.stats().programs, state(&d, 0)),
        (6, State::ImplicitlyOpen)
    );
    done(&mut d, &write(CAPACITY - 1, 1), 0);
    assert_eq!((d.stats().programs, state(&d, 0)), (7, State::Full));
    assert_eq!(d.stats().program_bytes, Bytes::kib(52));
    let full = Error::Zone(zone::Error::Full);
    assert_eq!(fails(&mut d, &write(CAPACITY, 1), 0), full);
}

fn drive_with_areas() -> Zns {
    let mut config = tiny(BufferScope::PerZone);
    config.zone_options = zone::Options {
        read_across: true,
        zrwa: Some(zone::Zrwa {
            size: 4 * PAGE,
            granularity: 2 * PAGE,
            zones: 1,
        }),
    };
    Zns::new(&config).unwrap()
}

#[test]
fn a_random_write_area_takes_writes_in_any_order_and_commits_to_the_buffer() {
    let mut d = drive_with_areas();
    done(&mut d, &zone(ZoneAction::OpenZrwa, 0), 0);
    // Buffer access 6.2 us, link, and no program however often.
    for (now, n) in (0..).step_by(1_000_000).zip([1, 0, 1, 1]) {
        let took = done(&mut d, &fua(n * PAGE, PAGE), now) - now;
        assert!((6_200..10_000).contains(&took), "{took}");
    }
    assert_eq!(d.stats().programs, 0);
    let hits = d.stats().buffer_hit_bytes;
    done(&mut d, &read(0, 3 * PAGE), 5_000_000);
    let read = d.stats().buffer_hit_bytes.get() - hits.get();
    assert_eq!((read, d.stats().unwritten_bytes), (2 * 4096, Bytes::kib(4)));
    assert!(!d.has_unmapped(Namespace::Data, Sector::new(0), 2 * PAGE));
    assert!(d.has_unmapped(Namespace::Data, Sector::new(0), 2 * PAGE + 1));
    // One page too far: two are committed, which is a one-shot page.
    done(&mut d, &write(4 * PAGE, PAGE), 6_000_000);
    assert_eq!(d.stats().programs, 1);
    let report = d.zone(ZoneId::new(0)).unwrap();
    assert_eq!(
        (report.write_pointer, report.zrwa),
        (Sector::new(2 * PAGE), true)
    );
    let end = Sector::new(4 * PAGE);
    done(&mut d, &Command::CommitZrwa { end }, 7_000_000);
    assert_eq!(d.stats().programs, 2);
    assert_eq!(
        fails(&mut d, &zone(ZoneAction::OpenZrwa, SIZE), 7_000_000),
        Error::Zone(zone::Error::NoArea)
    );
    done(&mut d, &zone(ZoneAction::Finish, 0), 8_000_000);
    assert_eq!(d.stats().program_bytes, Bytes::kib(4 * 5));
    done(&mut d, &zone(ZoneAction::OpenZrwa, SIZE), 9_000_000);
}

#[test]
fn a_finish_that_cannot_commit_leaves_the_buffer_as_it_was() {
    let mut config = tiny(BufferScope::PerZone);
    config.max_open = 1;
    config.zone_options.zrwa = Some(zone::Zrwa {
        size: 4 * PAGE,
        granularity: 2 * PAGE,
        zones: 2,
    });
    let mut d = Zns::new(&config).unwrap();
    done(&mut d, &zone(ZoneAction::OpenZrwa, 0), 0);
    done(&mut d, &write(PAGE, PAGE), 0);
    done(&mut d, &zone(ZoneAction::Close, 0), 0);
    done(&mut d, &zone(ZoneAction::OpenZrwa, SIZE), 0);
    let open = Error::Zone(zone::Error::TooManyOpen);
    assert_eq!(fails(&mut d, &zone(ZoneAction::Finish, 0), 0), open);
    d.check_invariants().unwrap();
    done(&mut d, &zone(ZoneAction::Finish, SIZE), 0);
    done(&mut d, &zone(ZoneAction::Finish, 0), 0);
    d.check_invariants().unwrap();
}

#[test]
fn an_extension_is_reported_until_reset() {
    let mut d = drive_with_areas();
    done(&mut d, &zone(ZoneAction::SetExtension, 0), 0);
    assert!(d.zone(ZoneId::new(0)).unwrap().extended);
    assert_eq!(state(&d, 0), State::Closed);
    done(&mut d, &zone(ZoneAction::Reset, 0), 0);
    assert!(!d.zone(ZoneId::new(0)).unwrap().extended);
}

#[test]
fn a_read_across_zones_reads_both() {
    let mut d = drive_with_areas();
    done(&mut d, &write(0, CAPACITY), 0);
    done(&mut d, &write(SIZE, PAGE), 0);
    let far = done(
        &mut d,
        &read(CAPACITY - 8, SIZE - CAPACITY + 16),
        90_000_000,
    );
    assert!(far > 90_000_000);
    assert_eq!(d.stats().buffer_hit_bytes, Bytes::kib(4));
    assert_eq!(d.stats().unwritten_bytes, Bytes::kib(8));
    let mut strict = drive(BufferScope::Global);
    let boundary = Error::Zone(zone::Error::Boundary);
    assert_eq!(fails(&mut strict, &read(SIZE - 8, 16), 0), boundary);
}

#[test]
fn times_can_change_at_any_moment() {
    let mut d = drive(BufferScope::Global);
    let before = done(&mut d, &write(0, 8), 0);
    let mut config = d.config().clone();
    config.costs.buffer_base += Nanos::new(1_000);
    config.chips.erase = Nanos::new(9_000_000);
    config.zones = 1;
    d.set_times(&config);
    let after = done(&mut d, &write(8, 8), 1_000_000) - 1_000_000;
    assert_eq!(after, before + 1_000);
    assert_eq!(
        (d.config().zones, d.config().chips.erase),
        (6, Nanos::new(9_000_000))
    );
}

#[test]
fn finish_programs_what_is_buffered_and_close_keeps_it() {
    let mut d = drive(BufferScope::Global);
    done(&mut d, &write(0, PAGE + 3), 0);
    done(&mut d, &zone(ZoneAction::Close, 0), 0);
    assert_eq!((d.stats().programs, state(&d, 0)), (0, State::Closed));
    let finished = done(&mut d, &zone(ZoneAction::Finish, 0), 1_000_000);
    assert!(finished > 1_000_000 + 1_913_640);
    assert_eq!((d.stats().programs, state(&d, 0)), (1, State::Full));
    assert_eq!(d.stats().program_bytes, Bytes::new(11 * 512));
    assert_eq!(
        d.zone(ZoneId::new(0)).unwrap().write_pointer,
        Sector::new(SIZE)
    );
    // What was never written costs no flash.
    let senses = d.stats().senses;
    done(&mut d, &read(PAGE * 2, PAGE), 9_000_000);
    assert_eq!(d.stats().senses, senses);
    assert_eq!(d.stats().unwritten_bytes, Bytes::kib(4));
}

#[test]
fn reset_drops_what_is_buffered() {
    let mut d = drive(BufferScope::Global);
    done(&mut d, &write(SIZE, PAGE + 3), 0);
    let outcome = submit(&mut d, &zone(ZoneAction::Reset, SIZE), 10);
    assert_eq!((outcome.done, state(&d, 1)), (at(10), State::Empty));
    assert_eq!((d.stats().programs, d.stats().erases), (0, 0));
    assert!(d.has_unmapped(Namespace::Data, Sector::new(SIZE), 8));
    done(&mut d, &write(SIZE, PAGE * 2), 20);
    assert!(!d.has_unmapped(Namespace::Data, Sector::new(SIZE + 8), 8));
    assert!(d.has_unmapped(Namespace::Data, Sector::new(SIZE + 15), 2));
    // Zeroes are written like data, but need not cross the link.
    let zeroes = Command::WriteZeroes {
        at: Sector::new(SIZE + 16),
        sectors: 8,
        fua: false,
    };
    let outcome = submit(&mut d, &zeroes, 25);
    assert_eq!(outcome.done, at(25 + 6_200));
    let all = Command::Zone {
        action: ZoneAction::Reset,
        target: ZoneTarget::All,
    };
    assert_eq!(submit(&mut d, &all, 30).result, Ok(Reply::Done));
    assert_eq!(d.stats().erases, 1);
}

#[test]
fn append_says_where() {
    let mut d = drive(BufferScope::PerZone);
    let append = |zone| Command::Append {
        zone: Sector::new(zone),
        sectors: 3,
        fua: false,
    };
    for n in 0..3 {
        let outcome = submit(&mut d, &append(SIZE * 2), 0);
        assert_eq!(
            outcome.result,
            Ok(Reply::Appended(Sector::new(SIZE * 2 + 3 * n)))
        );
    }
    assert_eq!(fails(&mut d, &append(SIZE + 1), 0), Error::NotZoneStart);
    assert_eq!(fails(&mut d, &append(SIZE * 6), 0), Error::OutOfRange);
}

#[test]
fn limits_and_select_all() {
    let mut d = drive(BufferScope::Global);
    let all = |action| Command::Zone {
        action,
        target: ZoneTarget::All,
    };
    for z in 0..3 {
        done(&mut d, &write(z * SIZE, 1), 0);
    }
    // Two may be open: the lowest-numbered was closed for the third.
    let states = [0, 1, 2].map(|z| state(&d, z));
    assert_eq!(
        states,
        [State::Closed, State::ImplicitlyOpen, State::ImplicitlyOpen]
    );
    let active = Error::Zone(zone::Error::TooManyActive);
    assert_eq!(fails(&mut d, &write(3 * SIZE, 1), 0), active);
    let open = Error::Zone(zone::Error::TooManyOpen);
    assert_eq!(fails(&mut d, &all(ZoneAction::Open), 0), open);
    done(&mut d, &all(ZoneAction::Close), 0);
    done(&mut d, &all(ZoneAction::Finish), 0);
    assert_eq!(
        [0, 1, 2, 3].map(|z| state(&d, z)),
        [State::Full, State::Full, State::Full, State::Empty]
    );
    done(&mut d, &all(ZoneAction::Reset), 0);
    assert!((0..6).all(|z| state(&d, z) == State::Empty));
}

#[test]
fn injected_faults() {
    let mut d = drive(BufferScope::Global);
    done(&mut d, &write(0, 3), 0);
    done(&mut d, &write(SIZE, 3), 0);
    d.inject_zone(ZoneId::new(0), false).unwrap();
    d.inject_zone(ZoneId::new(1), true).unwrap();
    d.check_invariants().unwrap();
    assert!(d.inject_zone(ZoneId::new(6), true).is_err());
    // In the buffer until its program has ended.
    done(&mut d, &read(0, 3), 0);
    assert_eq!(d.stats().senses, 0);
    done(&mut d, &read(0, 3), 10_000_000);
    assert_eq!(d.stats().senses, 1);
    assert_eq!(
        fails(&mut d, &read(SIZE, 3), 0),
        Error::Zone(zone::Error::Offline)
    );
    let deallocate = |sectors| Command::Deallocate {
        at: Sector::new(0),
        sectors,
    };
    done(&mut d, &deallocate(SIZE), 0);
    assert_eq!(
        fails(&mut d, &deallocate(SIZE + 1), 0),
        Error::Zone(zone::Error::Offline)
    );
    assert_eq!(
        fails(&mut d, &write(3, 1), 0),
        Error::Zone(zone::Error::ReadOnly)
    );
    let transition = Error::Zone(zone::Error::InvalidTransition);
    assert_eq!(fails(&mut d, &zone(ZoneAction::Reset, 0), 0), transition);
    done(&mut d, &zone(ZoneAction::Offline, 0), 0);
}

#[test]
fn fua_waits_for_its_zone_s_programs_and_flush_for_all() {
    let mut d = drive(BufferScope::PerZone);
    let early = done(&mut d, &write(0, 16), 0);
    // An incomplete one-shot page is safe in the buffer: nothing to wait for.
    let arrived = done(&mut d, &fua(SIZE, 8), 0);
    assert!(arrived < early + 10_000);
    let flushed = done(&mut d, &Command::Flush, early);
    assert!(flushed > early + 1_913_640);
    assert_eq!(done(&mut d, &fua(16, 8), early), flushed);
}

#[test]
fn a_conventional_namespace_shares_the_dies() {
    let mut config = tiny(BufferScope::Global);
    let (meta, sector) = (Namespace::Meta, Sector::new(0));
    let mut alone = Zns::new(&config).unwrap();
    assert_eq!(
        alone.submit(meta, &read(0, 8), at(0)).result,
        Err(Error::Unsupported)
    );
    assert!(alone.has_unmapped(meta, sector, 8) && alone.stats().meta.is_none());
    config.meta = Some(conv::Paged {
        size: Bytes::kib(512),
        partitions: 1,
        over_provisioning: 7,
        blocks_per_plane: 8,
        gc_threshold: 2,
        buffer: Bytes::kib(32),
        l2p: None,
    });
    let mut d = Zns::new(&config).unwrap();
    // 8 KiB on each die of the namespace; zone 0 is on the first three of them.
    let end = d.submit(meta, &fua(0, 64), at(0)).done;
    assert!(end > at(1_913_640));
    assert!(!d.has_unmapped(meta, sector, 64));
    assert!(d.has_unmapped(Namespace::Data, sector, 8));
    let zone = done(&mut d, &fua(0, 16), 0);
    let apart = done(&mut alone, &fua(0, 16), 0);
    assert!(zone > apart + 1_900_000, "{zone}, alone {apart}");
    for n in 0..5_000 {
        let outcome = d.submit(meta, &write(n * 37 % 128 * 8, 8), end);
        assert!(outcome.result.is_ok());
    }
    d.check_invariants().unwrap();
    assert!(d.stats().meta.unwrap().flash.erases > 100);
    config.meta.as_mut().unwrap().gc_threshold = 0;
    let refused = Zns::new(&config).map(drop).unwrap_err();
    assert_eq!(refused, ConfigError::Meta(conv::ConfigError::Threshold));
}

#[test]
fn bad_configurations_are_refused() {
    let with = |f: fn(&mut Config)| {
        let mut config = tiny(BufferScope::Global);
        f(&mut config);
        Zns::new(&config).map(drop).unwrap_err()
    };
    assert_eq!(with(|c| c.link_mbps = 0), ConfigError::Bandwidth);
    assert_eq!(with(|c| c.dies_per_zone = 5), ConfigError::DiesPerZone);
    assert_eq!(
        with(|c| c.write_unit = Bytes::kib(3)),
        ConfigError::WriteUnit
    );
    assert_eq!(
        with(|c| c.write_unit = Bytes::new(700)),
        ConfigError::WriteUnit
    );
    assert_eq!(
        with(|c| c.zone_capacity = Bytes::kib(3)),
        ConfigError::ZoneCapacity
    );
    assert_eq!(
        with(|c| c.zone_size = Bytes::kib(48)),
        ConfigError::ZoneSize
    );
    assert_eq!(with(|c| c.zones = 0), ConfigError::Zones);
    assert_eq!(
        with(|c| c.zone_size = Bytes::new(1 << 62)),
        ConfigError::Zones
    );
    assert_eq!(with(|c| c.max_open = 4), ConfigError::OpenOverActive);
    // Three active zones' incomplete pages of up to 7.5 KiB, and one more page.
    let need = Bytes::new(3 * 7680 + 8192);
    assert_eq!(
        with(|c| c.buffer = Bytes::kib(30)),
        ConfigError::Buffer { need }
    );
    for zones in [
        with(|c| c.chips.channels = 0),
        with(|c| c.chips.one_shot = Bytes::ZERO),
    ] {
        assert!(matches!(zones, ConfigError::Chips(_)));
    }
}

/// A random command; most are sound.
fn command() -> impl Strategy<Value = (u8, u32, u64, u64, bool)> {
    (0u8..14, 0u32..6, 0..SIZE, 1u64..60, any::<bool>())
}

fn build(d: &Zns, (kind, id, offset, sectors, flag): (u8, u32, u64, u64, bool)) -> Command {
    let start = u64::from(id) * SIZE;
    // Of a full zone this is the next zone's start: a write to that one, then.
    let pointer = d.zone(ZoneId::new(id)).unwrap().write_pointer.get();
    let target = if kind == 13 && flag {
        ZoneTarget::All
    } else {
        ZoneTarget::One(Sector::new(start))
    };
    let action = |action| Command::Zone { action, target };
    match kind {
        0..=4 if flag => fua(pointer, sectors),
        0..=4 => write(
            pointer,
            sectors.min(CAPACITY.saturating_sub(pointer - start)).max(1),
        ),
        5 => Command::Append {
            zone: Sector::new(start),
            sectors,
            fua: flag,
        },
        6 | 7 => read(start + offset, sectors.min(SIZE - offset)),
        8 => Command::Flush,
        9 => write(start + offset, sectors),
        10 => action(ZoneAction::Open),
        11 => action(ZoneAction::Close),
        12 if flag => action(ZoneAction::Finish),
        _ => action(ZoneAction::Reset),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes in are bytes programmed, buffered, or dropped by a reset; completions are not before
    /// arrivals; a second drive gives the same answers.
    #[test]
    fn nothing_is_lost_and_everything_repeats(
        global in any::<bool>(),
        commands in prop::collection::vec((command(), 0u64..300_000), 1..150),
    ) {
        let scope = if global { BufferScope::Global } else { BufferScope::PerZone };
        let (mut a, mut b) = (drive(scope), drive(scope));
        let mut now = 0;
        let mut written = [0u64; 6];
        let mut accepted = 0;
        for (recipe, pause) in commands {
            now += pause;
            let command = build(&a, recipe);
            let outcome = submit(&mut a, &command, now);
            prop_assert_eq!(&outcome, &b.submit(Namespace::Data, &command, at(now)));
            prop_assert!(outcome.done >= at(now));
            if outcome.result.is_ok() {
                if let Command::Write { at: start, sectors, .. }
                | Command::Append { zone: start, sectors, .. } = command
                {
                    written[(start.get() / SIZE) as usize] += sectors;
                    accepted += sectors * 512;
                }
                let resets = matches!(command, Command::Zone { action: ZoneAction::Reset, .. });
                if resets {
                    for (id, w) in written.iter_mut().enumerate() {
                        if state(&a, id as u32) == State::Empty {
                            *w = 0;
                        }
                    }
                }
            }
            for (id, w) in written.iter().enumerate() {
                let zone = a.zone(ZoneId::new(id as u32)).unwrap();
                if zone.state != State::Full {
                    prop_assert_eq!(zone.write_pointer.get(), id as u64 * SIZE + w);
                }
            }
        }
        prop_assert_eq!(a.stats().host.write_bytes.get(), accepted);
        prop_assert!(a.stats().program_bytes.get() <= accepted);
        let unprogrammed = accepted - a.stats().program_bytes.get();
        let dropped = a.stats().host.others * 8192;
        prop_assert!(unprogrammed <= 3 * 8192 + dropped);
    }

    /// Slower parts never make a workload that waits for each command faster. There are three
    /// exceptions by nature, which this one does not have: a command that finds an erase not started
    /// yet, behind a slower program, passes it; where dies share a channel, one that is late lets the
    /// other's data go first; and of what was just written, a program that has ended sends a read from
    /// the buffer to a die that may be busy.
    #[test]
    fn slower_parts_are_never_faster(
        part in 0u8..6,
        commands in prop::collection::vec(command(), 1..120),
    ) {
        let mut base = tiny(BufferScope::Global);
        base.chips.erase = Nanos::ZERO;
        (base.chips.channels, base.chips.luns_per_channel) = (4, 1);
        let mut slow = base.clone();
        match part {
            0 => slow.chips.program = Nanos::new(2_500_000),
            1 => slow.chips.read_4k = [Nanos::new(60_000); 4],
            2 => slow.chips.channel_mbps = 400,
            3 => slow.link_mbps = 900,
            4 => slow.costs.buffer_base = Nanos::new(9_000),
            _ => slow.chips.erase = Nanos::new(400_000),
        }
        let (mut fast, mut slow) = (Zns::new(&base).unwrap(), Zns::new(&slow).unwrap());
        let (mut t, mut u) = (0, 0);
        for drive in [&mut fast, &mut slow] {
            u = done(drive, &fua(5 * SIZE, CAPACITY), t) + 1_000_000;
        }
        t = u;
        for (kind, id, offset, sectors, flag) in commands {
            // Reads are of the last zone, which nothing else is about.
            let (id, flag) = match kind {
                6 | 7 => (5, flag),
                13 => (id % 5, false),
                _ => (id % 5, flag),
            };
            let command = build(&fast, (kind, id, offset, sectors, flag));
            t = submit(&mut fast, &command, t).done.as_nanos();
            u = submit(&mut slow, &command, u).done.as_nanos();
            prop_assert!(t <= u, "{:?}: {} > {}", command, t, u);
        }
    }
}

#[test]
fn soak() {
    let mut d = drive(BufferScope::Global);
    let mut random = 1u64;
    let mut next = |n: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % n
    };
    let mut now = 0;
    for i in 0..60_000 {
        let recipe = (
            next(14) as u8,
            next(6) as u32,
            next(SIZE),
            1 + next(59),
            next(2) == 0,
        );
        let command = build(&d, recipe);
        now += next(100_000);
        let outcome = d.submit(Namespace::Data, &command, at(now));
        assert!(outcome.done >= at(now));
        if i % 50 == 0 {
            d.check_invariants().unwrap();
        }
    }
    let stats = d.stats();
    // 6 zones on 3 dies.
    assert_eq!(d.mean_erases(), stats.erases / 18);
    assert!(
        stats.programs > 5_000 && stats.buffer_waits > 100 && stats.erases > 1_000,
        "{stats:?}"
    );
}
