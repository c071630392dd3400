// SPDX-License-Identifier: GPL-2.0-or-later
//! Dynamic pSLC against a pencil: how large the cache is, how it shrinks, and that each zone has its native superblock. (Random
//! drives have it in rust/check.)
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use command::{Command, ZoneAction, ZoneTarget};
use ftl::Namespace;
use ssd::Model;
use units::{Instant, Nanos, Sector, ZoneId};

/// Zones of 32 MiB: four superblocks of pSLC, 8 MiB each.
const ZONES: u64 = 24;
const ZONE: u64 = 8192;
const SUPERBLOCK: u64 = ZONE / 4;
/// pSLC superblocks of its own.
const OWN: u64 = 8;

/// A drive that gets a command when the one before has completed.
#[derive(Clone)]
struct Drive {
    model: Model,
    now: Instant,
}

impl Drive {
    fn new(settings: &[(&str, &str)]) -> Self {
        let small = [
            ("block-size", "8M"),
            ("zones", "24"),
            ("meta-size", "0"),
            ("slc-superblocks", "8"),
            ("slc-dynamic-share", "100"),
        ];
        let plan = common::config("qlc-zoned-page-slc", &[&small, settings].concat());
        Self {
            model: Model::new(&plan.plan().unwrap()).unwrap(),
            now: Instant::ZERO,
        }
    }

    fn run(&mut self, command: Command) -> Nanos {
        let outcome = self.model.submit(Namespace::Data, &command, self.now);
        outcome.result.unwrap();
        let took = outcome.done.since(self.now);
        self.now = outcome.done;
        took
    }

    /// Writes pages from page `at` on; nanoseconds.
    fn write(&mut self, at: u64, pages: u64) -> u64 {
        let mut took = 0;
        for at in (at..at + pages).step_by(64) {
            let write = Command::write(Sector::new(at * 8), 64 * 8, false);
            took += self.run(write).get();
        }
        took
    }

    fn finish(&mut self, zone: u64) {
        self.run(Command::Zone {
            action: ZoneAction::Finish,
            target: ZoneTarget::One(Sector::new(zone * ZONE * 8)),
        });
    }

    /// Nothing is asked of it for an hour.
    fn idle(&mut self) {
        self.now += Nanos::new(3_600_000_000_000);
        self.model.advance(self.now);
        self.model.check_invariants().unwrap();
    }

    /// Superblocks that are lent.
    fn lent(&self) -> u64 {
        let counters = self.model.stats().data;
        counters.superblocks_lent - counters.superblocks_returned
    }
}

const FOLDS: (&str, &str) = ("fold-idle-ns", "1000000000");

/// So many pSLC superblocks are written before the first that takes long, after `filled` zones.
fn cache(drive: &mut Drive, filled: u64) -> u64 {
    let at = |superblock: u64| filled * ZONE + superblock * SUPERBLOCK;
    let fast = drive.write(at(0), SUPERBLOCK);
    let slow = (1..).find(|n| drive.write(at(*n), SUPERBLOCK) > 3 * fast);
    slow.unwrap()
}

/// Zones that hold data have a native superblock each, or one is kept for them, and two more are kept; all others are lent. Of
/// its own pSLC keeps one for moves.
fn expected(filled: u64, share: u64) -> u64 {
    let fits = |n: &u64| {
        let zones = filled + n.div_ceil(4);
        let lent = (ZONES + 3 - 2 - zones) * share / 100;
        *n <= OWN - 1 + lent
    };
    (0..4 * (ZONES - filled)).take_while(fits).count() as u64 - 1
}

#[test]
fn the_cache_is_what_no_zone_needs_and_shrinks_as_the_drive_fills() {
    for (filled, share) in [(0, 100), (12, 100), (20, 100), (0, 50), (12, 50), (0, 0)] {
        let text = share.to_string();
        let mut drive = Drive::new(&[FOLDS, ("slc-dynamic-share", &text)]);
        drive.write(0, filled * ZONE);
        drive.idle();
        assert_eq!(drive.lent(), 0, "after {filled} zones");
        let found = cache(&mut drive, filled);
        let wanted = expected(filled, share);
        // Emptying the next one has to keep pace with the last.
        assert!(
            (wanted - 1..=wanted).contains(&found),
            "{filled} zones, {share} %: {found} superblocks, not {wanted}"
        );
        drive.model.check_invariants().unwrap();
    }
    // A quarter of an empty drive, of 96; when five zones in six hold data, one more than its own, with that for moves.
    assert_eq!((expected(0, 100), expected(20, 100)), (25, OWN + 1));
}

#[test]
fn an_idle_drive_gives_back_all_that_is_lent() {
    let mut drive = Drive::new(&[FOLDS]);
    let burst = 16 * SUPERBLOCK;
    let first = drive.write(0, burst);
    assert!(drive.lent() > 8);
    let lent = drive.model.stats().data.superblocks_lent;
    drive.idle();
    assert_eq!(drive.lent(), 0);
    let stats = drive.model.stats();
    assert_eq!(stats.slc_pool.valid_pages, 0);
    assert_eq!(stats.native_pool.valid_pages, burst);
    assert_eq!(stats.data.pages_folded_lent, lent * SUPERBLOCK);
    assert_eq!(stats.data.superblocks_lent_most, lent);
    // They wore as pSLC, and count where they belong.
    assert_eq!(stats.slc_pool.erases, 16);
    // The next burst is as fast as the first.
    let second = drive.write(burst, burst);
    assert!(second.abs_diff(first) < first / 50, "{second} and {first}");
    // A drive that does not fold keeps them.
    let mut never = Drive::new(&[]);
    never.write(0, burst);
    let lent = never.lent();
    never.idle();
    assert_eq!((never.lent(), lent > 8), (lent, true));
}

#[test]
fn each_zone_has_a_native_superblock() {
    let mut drive = Drive::new(&[FOLDS]);
    drive.write(0, 6 * ZONE);
    assert!(drive.lent() > 12, "{}", drive.lent());
    for zone in 6..ZONES {
        drive.write(zone * ZONE, 128);
        drive.model.check_invariants().unwrap();
        drive.finish(zone);
    }
    // Of 27 native superblocks one is spare.
    assert!(drive.lent() <= 2, "{}", drive.lent());
    drive.idle();
    assert_eq!(drive.lent(), 0);
    assert_eq!(drive.model.stats().native_pool.valid_pages % 32, 0);
    let in_slc = drive.model.stats().slc_pool.valid_pages;
    assert!(in_slc <= ZONES * 128, "{in_slc}");
}

/// Whatever is booked: a superblock that goes back to a zone still holds what it held in pSLC when power goes, and the zone waits
/// for its erase.
#[test]
fn power_cuts_leave_a_native_superblock_for_each_zone() {
    let mut drive = Drive::new(&[FOLDS]);
    drive.write(0, 6 * ZONE);
    let mut cuts = 0;
    for zone in 6..ZONES {
        drive.write(zone * ZONE, 128);
        drive.finish(zone);
        for ms in [0, 1, 3, 10, 100, 1_000] {
            let mut other = drive.clone();
            let cut = other
                .model
                .power_cut(other.now + Nanos::from_micros(ms * 1_000));
            other.model.check_invariants().unwrap();
            let is_full = |z: u64| {
                let report = other.model.zone(ZoneId::new(z as u32)).unwrap();
                report.state == zone::State::Full
            };
            assert!((6..=zone).all(is_full), "zone {zone}, {ms} ms");
            other.now = cut.ready;
            for zone in zone + 1..ZONES {
                other.write(zone * ZONE, ZONE);
            }
            other.idle();
            assert_eq!(other.lent(), 0, "zone {zone}, {ms} ms");
            cuts += 1;
        }
    }
    assert_eq!(cuts, 18 * 6);
}

/// A zone that is promised a superblock which has to be given back first is written when that has been erased, however free the
/// write buffers are: until then power cuts would leave what was in it.
#[test]
fn a_write_that_needs_a_superblock_back_waits_for_its_erase() {
    let mut drive = Drive::new(&[("max-open", "0"), ("max-active", "0")]);
    drive.write(0, 6 * ZONE);
    let mut first = |zone: u64| {
        let write = Command::write(Sector::new(zone * ZONE * 8), 16 * 8, false);
        drive.run(write).get()
    };
    // One is kept for the next zone.
    assert!(first(6) < 50_000);
    // 16 programs of each plane, and what they read before.
    let emptied = 16 * 6_098_000 + 3_500_000;
    for zone in 7..ZONES {
        let took = first(zone);
        assert!(took > emptied, "zone {zone}: {took} ns");
    }
}
