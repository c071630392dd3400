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
    Command, Config, Error, Left, Lost, Namespace, PowerCut, Zms, ZoneAction, ZoneReport,
    ZoneTarget,
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
        let config: Config = common::config("tlc-zoned", &[]);
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

    fn meta(&mut self, page: u64, fua: bool) {
        let write = Command::write(Sector::new(page * 8), 8, fua);
        self.submit(Namespace::Meta, &write);
    }

    fn cut(&mut self) -> PowerCut {
        let cut = self.zms.power_cut(self.now).unwrap();
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
    let mut gone = lost(Namespace::Data, 3..4, Left::Older);
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
    let mut drive = Drive::new();
    drive.meta(7, true);
    drive.meta(9, true);
    drive.meta(7, false);
    drive.meta(8, false);
    // Given up for good, even if what was written since is lost.
    let trim = Command::Deallocate {
        at: Sector::new(72),
        sectors: 8,
    };
    drive.submit(Namespace::Meta, &trim);
    drive.meta(9, false);
    let cut = drive.cut();
    let mut gone = lost(Namespace::Meta, 7..8, Left::Older);
    gone.extend(lost(Namespace::Meta, 8..10, Left::Nothing));
    assert_eq!(cut.lost, gone);
    let unmapped = |page: u64| {
        drive
            .zms
            .has_unmapped(Namespace::Meta, Sector::new(page * 8), 8)
    };
    assert_eq!([7, 8, 9].map(unmapped), [false, true, true]);
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

#[test]
fn data_namespaces_without_zones_cannot_be_cut_yet() {
    let config: Config = common::config("tlc-block", &[]);
    let mut zms = Zms::new(&config).unwrap();
    assert_eq!(zms.power_cut(Instant::ZERO), Err(Error::Unsupported));
}
