// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads that suspend the host's own programs and erases: what they gain, and what it costs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod common;

use nand::Suspend;
use units::{Instant, Nanos, Sector};
use zms::{Command, Config, Namespace, Zms, ZoneAction, ZoneTarget};

/// Flash pages hold 8 logical ones, on four planes; a stripe of TLC is three rows of them.
const PAGE: u64 = 8;
const ROW: u64 = 4 * PAGE;
const STRIPE: u64 = 3 * ROW;

const US: Nanos = Nanos::from_micros(1);

/// The costs of `common::suspension`.
const HALT: Nanos = US.times(20);

/// TLC behind one buffer of a stripe, and a zone that is there to be read.
struct Drive {
    zms: Zms,
    now: Instant,
    sense: Nanos,
}

impl Drive {
    fn new(rule: Suspend) -> Self {
        let mut config: Config = common::config("tlc-zoned", &[]);
        config.suspension = common::suspension(rule);
        let timing = config.timing;
        let bytes = units::Bytes::new(4096);
        let transfer = nand::Link::new(timing.channel_mbps).time(bytes);
        let mut drive = Self {
            zms: Zms::new(&config).unwrap(),
            now: Instant::ZERO,
            sense: timing.tlc.read[0] + transfer,
        };
        drive.write(0, 0, STRIPE);
        drive.flush();
        drive.rest();
        drive
    }

    /// Until everything has long ended.
    fn rest(&mut self) {
        self.now += US.times(1_000_000);
    }

    fn submit(&mut self, command: &Command) -> Instant {
        let outcome = self.zms.submit(Namespace::Data, command, self.now);
        outcome.result.unwrap();
        self.zms.check_invariants().unwrap();
        outcome.done
    }

    fn sector(&self, zone: u32, page: u64) -> Sector {
        let start = self.zms.zone(units::ZoneId::new(zone)).unwrap().start;
        Sector::new(start.get() + page * 8)
    }

    fn write(&mut self, zone: u32, page: u64, pages: u64) -> Instant {
        let at = self.sector(zone, page);
        self.submit(&Command::write(at, pages * 8, false))
    }

    /// Reads a page of zone 0; how long it takes.
    fn read(&mut self, page: u64) -> Nanos {
        let at = self.sector(0, page);
        self.submit(&Command::read(at, 8)).since(self.now)
    }

    fn flush(&mut self) -> Instant {
        self.submit(&Command::Flush)
    }
}

/// A stripe of zone 1 is being programmed on all planes when a page of zone 0 is read from the one whose program
/// ends last. Gives the read's time, and how long after the write's answer a Flush ends.
fn read_beside_program(rule: Suspend, reads: bool) -> (Nanos, Nanos) {
    let mut drive = Drive::new(rule);
    let arrived = drive.write(1, 0, STRIPE);
    drive.now = arrived + US.times(400);
    let took = if reads {
        drive.read(3 * PAGE)
    } else {
        Nanos::ZERO
    };
    drive.now += US.times(100);
    (took, drive.flush().since(arrived))
}

#[test]
fn a_read_suspends_the_hosts_program_and_a_flush_waits_for_the_rest() {
    let idle = Drive::new(Suspend::All).read(3 * PAGE);
    let (_, alone) = read_beside_program(Suspend::All, false);
    let (took, flushed) = read_beside_program(Suspend::All, true);
    assert_eq!(took, idle + HALT);
    let sense = Drive::new(Suspend::All).sense;
    assert_eq!(flushed, alone + HALT + sense + HALT);

    // Otherwise the read waits, and nothing else changes.
    let (waited, same) = read_beside_program(Suspend::Background, true);
    assert!(waited > idle + US.times(400), "{waited:?}");
    assert_eq!(same, alone);
}

#[test]
fn what_is_being_programmed_is_read_from_memory_until_its_moved_end() {
    let mut drive = Drive::new(Suspend::All);
    let arrived = drive.write(1, 0, STRIPE);
    let (_, alone) = read_beside_program(Suspend::All, false);
    drive.now = arrived + US.times(400);
    drive.read(3 * PAGE);
    // After the end that was promised, before the one that it has now.
    drive.now = arrived + alone + US;
    let hits = drive.zms.stats().data.buffer_hits;
    let at = drive.sector(1, 3 * PAGE);
    drive.submit(&Command::read(at, 8));
    assert_eq!(drive.zms.stats().data.buffer_hits, hits + 1);
    // The other planes' programs have ended.
    let at = drive.sector(1, 0);
    drive.submit(&Command::read(at, 8));
    assert_eq!(drive.zms.stats().data.buffer_hits, hits + 1);
}

/// As soon as a write waits for the buffer, its answer counts on when the program ends.
#[test]
fn a_program_that_a_write_waits_for_runs_to_its_end() {
    let read = |more: u64| {
        let mut drive = Drive::new(Suspend::All);
        drive.write(1, 0, STRIPE + more);
        drive.now += US.times(700);
        drive.read(3 * PAGE)
    };
    let idle = Drive::new(Suspend::All).read(3 * PAGE);
    assert_eq!(read(0), idle + HALT);
    // One more page does not fit before the buffer has been flushed.
    assert!(read(1) > idle + US.times(400));
}

#[test]
fn an_erase_that_nobody_waits_for_is_suspended() {
    let took = |reset_wait: bool| {
        let mut config = common::config("tlc-zoned", &[]);
        config.suspension = common::suspension(Suspend::All);
        config.reset_wait = reset_wait;
        let mut drive = Drive::new(Suspend::All);
        let idle = drive.read(3 * PAGE);
        drive.zms = Zms::new(&config).unwrap();
        drive.write(0, 0, STRIPE);
        drive.write(1, 0, STRIPE);
        drive.flush();
        drive.rest();
        let (action, zone) = (ZoneAction::Reset, drive.sector(1, 0));
        let target = ZoneTarget::One(zone);
        drive.submit(&Command::Zone { action, target });
        drive.now += US.times(500);
        (drive.read(3 * PAGE), idle)
    };
    let (read, idle) = took(false);
    assert_eq!(read, idle + HALT);
    let (read, idle) = took(true);
    // The firmware needs no plane.
    assert_eq!(
        read + US.times(20),
        idle + US.times(3000),
        "the rest of the erase"
    );
}
