// SPDX-License-Identifier: GPL-2.0-or-later
//! What a power cut leaves. (Random drives are cut in rust/check.)
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod common;

use units::{Instant, Nanos, Sector, ZoneId};
use zms::{
    Command, Config, Left, Lost, Namespace, PowerCut, Zms, ZoneAction, ZoneReport, ZoneTarget,
};
use zone::State;

/// Sectors of a program unit (TLC, 32 KiB flash pages).
const UNIT: u64 = 24 * 8;

struct Drive {
    zms: Zms,
    now: Instant,
}

impl Drive {
    fn new() -> Self {
        Self::of("tlc-zoned")
    }

    fn of(preset: &str) -> Self {
        let config: Config = common::config(preset, &[]);
        Self {
            zms: Zms::new(&config).unwrap(),
            now: Instant::ZERO,
        }
    }

    fn submit(&mut self, namespace: Namespace, command: &Command) {
        let outcome = self.zms.submit(namespace, command, self.now);
        outcome.result.unwrap();
        self.now = outcome.done;
    }

    fn zone(&self, n: u32) -> ZoneReport {
        self.zms.zone(ZoneId::new(n)).unwrap()
    }

    fn write(&mut self, n: u32, sectors: u64, fua: bool) {
        let at = self.zone(n).write_pointer;
        self.submit(Namespace::Data, &Command::write(at, sectors, fua));
    }

    fn manage(&mut self, n: u32, action: ZoneAction) {
        let target = ZoneTarget::One(self.zone(n).start);
        self.submit(Namespace::Data, &Command::Zone { action, target });
    }

    fn write_pages(&mut self, namespace: Namespace, pages: core::ops::Range<u64>, fua: bool) {
        let sectors = (pages.end - pages.start) * 8;
        let write = Command::write(Sector::new(pages.start * 8), sectors, fua);
        self.submit(namespace, &write);
    }

    fn cut(&mut self) -> PowerCut {
        let cut = self.zms.power_cut(self.now);
        self.zms.check_invariants().unwrap();
        assert!(cut.ready >= self.now);
        self.now = cut.ready;
        cut
    }

    /// Sectors of a zone, and its state.
    fn left(&self, n: u32) -> (u64, State) {
        let zone = self.zone(n);
        (zone.write_pointer.get() - zone.start.get(), zone.state)
    }
}

fn lost(namespace: Namespace, pages: core::ops::Range<u64>, left: Left) -> Vec<Lost> {
    let one = |lpn| Lost {
        namespace,
        lpn,
        left,
    };
    pages.map(one).collect()
}

#[test]
fn what_is_buffered_goes_and_what_was_promised_stays() {
    let mut drive = Drive::new();
    // Off the page: what is left of the last page is less than it.
    drive.write(0, 3 * 8 + 5, true);
    drive.write(0, 30, false);
    let cut = drive.cut();
    assert_eq!(drive.left(0), (29, State::Closed));
    let mut gone = lost(Namespace::Data, 3..4, Left::Sectors(5));
    gone.extend(lost(Namespace::Data, 4..8, Left::Nothing));
    assert_eq!(cut.lost, gone);
    // It goes on from there.
    drive.write(0, 11, false);
    drive.submit(Namespace::Data, &Command::Flush);
    assert_eq!(drive.cut().lost, []);
    assert_eq!(drive.left(0), (40, State::Closed));
}

#[test]
fn a_program_that_is_cut_never_was_and_the_copies_it_was_made_of_stay() {
    let mut drive = Drive::new();
    // Most of a unit in pSLC, durable; then the rest, which goes native with it, wordline by wordline.
    drive.write(0, UNIT - 8, true);
    for _ in 1..12 {
        drive.write(0, UNIT, false);
    }
    let cut = drive.cut();
    let (left, state) = drive.left(0);
    assert!(left >= UNIT - 8, "{left}");
    assert_eq!(state, State::Closed);
    assert_eq!(cut.lost.len() as u64, (12 * UNIT - 8 - left) / 8);
    drive.write(0, UNIT, true);
    assert_eq!(drive.cut().lost, []);
    assert_eq!(drive.left(0).0, left + UNIT);
}

#[test]
fn pages_fall_back_to_what_was_durable_last() {
    for (preset, namespace) in [
        ("tlc-zoned", Namespace::Meta),
        ("tlc-block", Namespace::Data),
        ("qlc-block", Namespace::Data),
    ] {
        let mut drive = Drive::of(preset);
        drive.write_pages(namespace, 7..8, true);
        drive.write_pages(namespace, 9..10, true);
        drive.write_pages(namespace, 7..8, false);
        drive.write_pages(namespace, 8..9, false);
        // Given up for good, even if what was written since is lost.
        let trim = Command::Deallocate {
            at: Sector::new(72),
            sectors: 8,
        };
        drive.submit(namespace, &trim);
        drive.write_pages(namespace, 9..10, false);
        let cut = drive.cut();
        let mut gone = lost(namespace, 7..8, Left::Older);
        gone.extend(lost(namespace, 8..10, Left::Nothing));
        assert_eq!(cut.lost, gone, "{preset}");
        let unmapped = |page: u64| drive.zms.has_unmapped(namespace, Sector::new(page * 8), 8);
        assert_eq!([7, 8, 9].map(unmapped), [false, true, true]);
    }
}

/// Pages of a program unit of TLC.
const PAGES: u64 = UNIT / 8;

#[test]
fn what_waits_for_its_wordline_is_as_old_as_its_copies() {
    let mut drive = Drive::of("tlc-block");
    let data = Namespace::Data;
    // Backups have them, which are loaded again.
    drive.write_pages(data, 0..PAGES, true);
    assert_eq!(drive.zms.stats().data.pages_backup, PAGES);
    assert_eq!(drive.cut().lost, []);
    assert_eq!(drive.zms.stats().data.pages_native, 2 * PAGES);
    // They are what is left of those that are written again, and are being programmed.
    let full = u64::from(drive.zms.config().data_buffer_pages());
    drive.write_pages(data, 1..full + 1, false);
    assert_eq!(drive.zms.stats().data.pages_native, 2 * PAGES + full);
    let mut gone = lost(data, 1..PAGES, Left::Older);
    gone.extend(lost(data, PAGES..full + 1, Left::Nothing));
    assert_eq!(drive.cut().lost, gone);
    assert_eq!(drive.cut().lost, []);
}

#[test]
fn a_block_drive_outlives_many_cuts() {
    for preset in ["tlc-block", "qlc-block"] {
        let mut drive = Drive::of(preset);
        for round in 0..300_u64 {
            // Overlapping, so that there is something to collect.
            let first = round * 7 % 100 * 16;
            drive.write_pages(Namespace::Data, first..first + 100, true);
            drive.write_pages(Namespace::Data, first + 50..first + 150, false);
            let cut = drive.cut();
            assert!(cut.lost.iter().all(|lost| lost.lpn >= first + 50));
            let fua = Sector::new(first * 8);
            assert!(!drive.zms.has_unmapped(Namespace::Data, fua, 800));
        }
        let slc = drive.zms.stats().slc_pool;
        assert!(slc.free > slc.superblocks / 4, "{slc:?}");
    }
}

#[test]
fn zones_come_back_closed_or_empty() {
    let mut drive = Drive::new();
    drive.manage(0, ZoneAction::Open);
    drive.write(1, 8, false);
    drive.write(2, 8, true);
    drive.manage(3, ZoneAction::Open);
    drive.manage(3, ZoneAction::Close);
    drive.write(4, 8, true);
    drive.manage(4, ZoneAction::Finish);
    let capacity = drive.zone(5).capacity;
    for _ in 0..capacity / (4 * UNIT) {
        drive.write(5, 4 * UNIT, false);
    }
    assert_eq!(drive.zone(5).state, State::Full);
    drive.cut();
    let states = [0, 1, 2, 3, 4, 5].map(|n| drive.zone(n).state);
    let expected = [
        State::Empty,
        State::Empty,
        State::Closed,
        State::Closed,
        State::Full,
        State::Closed,
    ];
    assert_eq!(states, expected);
    assert!(drive.left(5).0 < capacity);
}

#[test]
fn a_drive_that_is_idle_and_closed_is_ready_at_once_and_others_are_read() {
    let mut drive = Drive::new();
    drive.now += Nanos::new(1_000);
    assert_eq!(drive.cut().ready, drive.now);
    // A page of pSLC is sensed on each plane, and crosses a channel that two planes share.
    drive.write(0, 8, true);
    drive.now += Nanos::from_micros(1_000_000);
    let before = drive.now;
    let page = units::Bytes::kib(32);
    let transfer = nand::Link::new(1600).time(page);
    let read = Nanos::from_micros(20) + transfer + transfer;
    assert_eq!(drive.cut().ready, before + read);
}
