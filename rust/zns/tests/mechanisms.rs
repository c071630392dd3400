// SPDX-License-Identifier: GPL-2.0-or-later
//! What measured drives show beyond flash and buffers, each alone against a pencil: cores, sliced programs, page
//! registers, reading ahead, what reset and finish cost. And all of it together on random commands.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{at, done, everything, read, submit, tiny, write, zn540, zone, KIB, PAGE};
use ftl::{Command, CoreCosts, ZoneAction};
use nand::Finer;
use proptest::prelude::*;
use units::{Bytes, Nanos, Sector};
use zns::{BufferScope, Config, ReadAhead, Zns, ZoneCosts};

const ZONE: u64 = 2048 * 1024 * KIB;
const MS: u64 = 1_000_000;

fn us(n: u64) -> Nanos {
    Nanos::from_micros(n)
}

/// `zn540` with something changed.
fn with(change: impl FnOnce(&mut Config)) -> Zns {
    let mut config = zn540();
    change(&mut config);
    Zns::new(&config).unwrap()
}

/// Writes one-shot pages from the zone's start on; returns when everything has long ended.
fn filled(drive: &mut Zns, at: u64, pages: u64) -> u64 {
    for n in 0..pages {
        done(drive, &write(at + n * 96 * KIB, 96 * KIB), 0);
    }
    1_000 * MS
}

#[test]
fn one_core_bounds_the_rate_of_commands() {
    let cores = CoreCosts {
        cores: 1,
        read: us(2),
        write: us(5),
        append: us(3),
        ..CoreCosts::default()
    };
    let mut drive = with(|c| c.cores = cores);
    let mut free = Zns::new(&zn540()).unwrap();
    let alone = done(&mut free, &write(0, PAGE), 0);
    // Each waits for those before it; what follows the core is the same.
    for n in 1..5 {
        let ended = done(&mut drive, &write((n - 1) * PAGE, PAGE), 0);
        assert_eq!(ended, alone + n * 5_000);
    }
    let append = Command::Append {
        zone: Sector::new(0),
        sectors: PAGE,
        fua: false,
    };
    assert_eq!(done(&mut drive, &append, 0), alone + 28_000);
    // What fails takes no time of it.
    let misplaced = submit(&mut drive, &write(ZONE + 5, PAGE), 0);
    assert!(misplaced.result.is_err() && misplaced.done == at(0));
    assert_eq!(done(&mut drive, &append, 0), alone + 36_000);
}

#[test]
fn a_read_goes_on_beside_its_core_and_ends_no_sooner() {
    let cores = CoreCosts {
        cores: 1,
        read: us(1),
        read_page: us(100),
        ..CoreCosts::default()
    };
    let mut drive = with(|c| c.cores = cores);
    let now = filled(&mut drive, 0, 1);
    assert_eq!(done(&mut drive, &read(0, 2 * PAGE), now), now + 201_000);
}

#[test]
fn a_program_lets_reads_in_between_its_slices() {
    let finer = Finer {
        slice: us(187),
        window: us(80),
        ..Finer::default()
    };
    let mut drive = with(|c| c.chips.finer = finer);
    let mut whole = Zns::new(&zn540()).unwrap();
    // The plane's earlier block is read while another zone is programmed there.
    let (now, same) = (filled(&mut drive, 0, 1), filled(&mut whole, 0, 1));
    assert_eq!(now, same);
    let arrived = done(&mut drive, &write(ZONE, 96 * KIB), now);
    done(&mut whole, &write(ZONE, 96 * KIB), now);
    // The one-shot page crosses its channel in 208 334 ns; then three slices of 187 us.
    let programs = arrived + 208_334;
    let asked = programs + 10_000;
    let idle = 20_000 + 50_000 + 8_681 + 1_281;
    let first = done(&mut drive, &read(0, PAGE), asked - 20_000);
    assert_eq!(first, programs + 187_000 + idle - 20_000);
    // Without, it waits to the end.
    let last = done(&mut whole, &read(0, PAGE), asked - 20_000);
    assert_eq!(last, programs + 561_000 + idle - 20_000);
    // The program ends later by the windows: what follows on the plane shows it.
    let flush = done(&mut drive, &Command::Flush, asked);
    assert_eq!(flush, programs + 561_000 + 2 * 80_000);
}

#[test]
fn a_page_register_saves_the_sense_of_what_it_holds() {
    let finer = Finer {
        register: Bytes::kib(16),
        channel_command: us(8),
        ..Finer::default()
    };
    let mut drive = with(|c| c.chips.finer = finer);
    let now = filled(&mut drive, 0, 2);
    let transfer = 20_000 + 8_681 + 8_000 + 1_281;
    let mut took = |sector: u64, now: u64| done(&mut drive, &read(sector, PAGE), now) - now;
    assert_eq!(took(0, now), transfer + 50_000);
    assert_eq!(took(PAGE, now + MS), transfer);
    assert_eq!(took(3 * PAGE, now + 2 * MS), transfer);
    // The next part, and back.
    assert_eq!(took(4 * PAGE, now + 3 * MS), transfer + 50_000);
    assert_eq!(took(0, now + 4 * MS), transfer + 50_000);
    // Another plane's register is another.
    assert_eq!(took(96 * KIB, now + 5 * MS), transfer + 50_000);
    assert_eq!(took(0, now + 6 * MS), transfer);
    // A program overwrites it.
    let busy = now + 10 * MS;
    done(&mut drive, &write(ZONE, 96 * KIB), busy);
    let late = busy + 100 * MS;
    assert_eq!(
        done(&mut drive, &read(0, PAGE), late) - late,
        transfer + 50_000
    );
}

#[test]
fn a_stream_is_read_ahead_of() {
    let ahead = ReadAhead {
        streams: 1,
        trigger: 3,
        size: Bytes::kib(256),
    };
    let mut drive = with(|c| c.read_ahead = ahead);
    let mut now = filled(&mut drive, 0, 8);
    let idle = 20_000 + 50_000 + 8_681 + 1_281;
    // Firmware and host link.
    let there = 20_000 + 1_281;
    for n in 0..60 {
        let took = done(&mut drive, &read(n * PAGE, PAGE), now) - now;
        // What was read ahead begins behind the third.
        let expected = if n < 3 { idle } else { there };
        assert_eq!(took, expected, "{n}");
        now += MS;
    }
    assert_eq!(drive.stats().read_ahead_bytes, Bytes::kib(4 * 57));
    // Another place is no part of it, and takes its place.
    assert_eq!(
        done(&mut drive, &read(ZONE / 2, PAGE), now) - now,
        20_000 + 1_281
    );
    now += MS;
    let took = done(&mut drive, &read(60 * PAGE, PAGE), now) - now;
    assert_eq!(took, idle);
}

#[test]
fn nothing_is_left_of_a_stream_after_a_reset() {
    let ahead = ReadAhead {
        streams: 2,
        trigger: 1,
        size: Bytes::kib(256),
    };
    let mut drive = with(|c| c.read_ahead = ahead);
    let now = filled(&mut drive, 0, 8);
    done(&mut drive, &read(0, PAGE), now);
    done(&mut drive, &zone(ZoneAction::Reset, 0), now + MS);
    let before = drive.stats().read_ahead_bytes;
    done(&mut drive, &read(PAGE, PAGE), now + 2 * MS);
    assert_eq!(drive.stats().read_ahead_bytes, before);
}

#[test]
fn zones_may_begin_on_different_dies() {
    // Two zones that are written at the same pace: one after the other on a die, or beside each other.
    let took = |stagger: u32| {
        let mut drive = with(|c| c.zone_stagger = stagger);
        done(&mut drive, &write(0, 96 * KIB), 0);
        done(&mut drive, &write(ZONE, 96 * KIB), 0);
        done(&mut drive, &Command::Flush, 0)
    };
    assert!(took(0) > took(1) + 500_000);
    // Once round, it is the same again.
    assert_eq!(took(32), took(0));
}

#[test]
fn reset_takes_time_by_what_was_written_after_its_programs() {
    let costs = ZoneCosts {
        reset: us(1_600),
        reset_page: Nanos::new(50),
        ..ZoneCosts::default()
    };
    let drive = || {
        with(|c| {
            c.zone_costs = costs;
            c.reset_wait = true;
            c.cores = CoreCosts {
                cores: 1,
                zone: us(9),
                read: us(1),
                ..CoreCosts::default()
            };
            c.chips.erase = Nanos::ZERO;
        })
    };
    let reset = zone(ZoneAction::Reset, 0);
    // Nothing to do; opened; with 240 pages, long ago.
    assert_eq!(done(&mut drive(), &reset, 0), 1_000);
    let mut opened = drive();
    done(&mut opened, &zone(ZoneAction::Open, 0), 0);
    assert_eq!(done(&mut opened, &reset, MS), MS + 9_000 + 1_600_000);
    let mut written = drive();
    let now = filled(&mut written, 0, 10);
    let pages = 10 * 24 * 50;
    assert_eq!(
        done(&mut written, &reset, now),
        now + 9_000 + pages + 1_600_000
    );
    // A program still runs: that is waited for, too.
    let mut fresh = drive();
    let arrived = done(&mut fresh, &write(0, 96 * KIB), 0);
    let programs = 208_334 + 561_000;
    let took = done(&mut fresh, &reset, arrived) - arrived;
    assert_eq!(took, programs + 9_000 + 24 * 50 + 1_600_000);
}

#[test]
fn finish_programs_the_rest_of_an_opened_zone() {
    let drive = || {
        with(|c| {
            c.zone_capacity = Bytes::mib(96);
            c.zone_costs = ZoneCosts {
                finish_pads: true,
                finish: us(3),
                ..ZoneCosts::default()
            }
        })
    };
    let finish = zone(ZoneAction::Finish, 0);
    // Never opened: nothing is programmed.
    assert_eq!(done(&mut drive(), &finish, 0), 3_000);
    // 1024 one-shot pages on 32 planes; one is written: 32 programs on the others.
    let mut written = drive();
    let now = filled(&mut written, 0, 1);
    let each = 208_334 + 561_000;
    assert_eq!(done(&mut written, &finish, now), now + 32 * each + 3_000);
    let padded = written.stats().padded_bytes;
    assert_eq!(padded.get(), 1023 * 96 * 1024);
    // Reading what was not written is still reading zeroes.
    let later = now + 1_000 * MS;
    done(&mut written, &read(200 * KIB, PAGE), later);
    assert_eq!(written.stats().unwritten_bytes, Bytes::kib(4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is asked, books stay sound, a command ends after it arrived, the same answers come again, and what fails
    /// is what fails without all this.
    #[test]
    fn everything_together_keeps_the_promises(
        commands in prop::collection::vec((0u8..6, 0u64..6, 0u64..104, 1u64..40, 0u64..400_000), 1..120),
    ) {
        let mut drive = Zns::new(&everything(tiny(BufferScope::PerZone))).unwrap();
        let mut again = drive.clone();
        let mut plain = Zns::new(&tiny(BufferScope::PerZone)).unwrap();
        let mut now = 0;
        for (kind, id, offset, sectors, pause) in commands {
            now += pause;
            let start = id * 120;
            let pointer = drive.zone(units::ZoneId::new(id as u32)).unwrap().write_pointer.get();
            let command = match kind {
                0 | 1 => write(pointer, sectors),
                2 => read(start + offset, sectors.min(104 - offset.min(103))),
                3 => Command::Append { zone: Sector::new(start), sectors, fua: offset % 2 == 0 },
                4 => zone(ZoneAction::Reset, start),
                _ => zone(ZoneAction::Finish, start),
            };
            let outcome = submit(&mut drive, &command, now);
            prop_assert!(outcome.done.as_nanos() >= now);
            prop_assert_eq!(submit(&mut again, &command, now), outcome);
            let other = submit(&mut plain, &command, now);
            prop_assert_eq!(outcome.result, other.result);
        }
    }
}
