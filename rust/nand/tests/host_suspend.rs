// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads that suspend the host's own programs and erases. Times are small: a sense takes 20, a program 100,
//! an erase 1000, 1 KiB crosses a channel in 10; suspending takes 5, going on 7, at most twice.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::small_media as media;
use nand::{BlockId, Cell, Media, Moved, Op, PlaneId, Purpose, Suspend, Suspension, What};
use units::{Bytes, Instant, Nanos};

const A: BlockId = BlockId(1);
const B: BlockId = BlockId(2);
const PLANE: PlaneId = PlaneId(0);

const PURPOSE: Purpose = Purpose {
    owner: 3,
    flush: 1,
    place: 4,
    pages: 4,
};

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

fn read(m: &mut Media, when: u64) -> (u64, u64) {
    let op = Op::Read {
        mode: Cell::Tlc,
        row: 0,
        bytes: Bytes::kib(1),
    };
    let booking = m.schedule(at(when), PLANE, B, op);
    m.check_invariants().unwrap();
    (booking.start.as_nanos(), booking.end.as_nanos())
}

fn program(m: &mut Media, when: u64, block: BlockId) -> (u64, u64) {
    let op = Op::Load {
        mode: Cell::Tlc,
        bytes: Bytes::kib(1),
        program: true,
    };
    let booking = m.schedule_for(at(when), PLANE, block, op, PURPOSE);
    m.check_invariants().unwrap();
    (booking.start.as_nanos(), booking.end.as_nanos())
}

fn moved(m: &mut Media) -> Vec<u64> {
    let mut ends = Vec::new();
    m.take_moved(|moved: &Moved| {
        assert_eq!(moved.purpose, PURPOSE);
        ends.push(moved.end.as_nanos());
        true
    });
    ends
}

fn seen(m: &mut Media) -> Vec<(What, u64, u64)> {
    m.run(at(1_000_000));
    assert_eq!(m.running(), 0);
    let mut seen = m.take_observed();
    seen.sort_by_key(|o| o.start);
    let times = |o: &nand::Occupied| (o.what, o.start.as_nanos(), o.end.as_nanos());
    seen.iter().map(times).collect()
}

#[test]
fn reads_suspend_a_program_and_its_time_stays() {
    let mut m = media(Suspend::All);
    assert_eq!(program(&mut m, 0, A), (0, 110));
    assert_eq!(read(&mut m, 50), (55, 85));
    assert_eq!(moved(&mut m), [85 + 7 + 60]);
    // While it is stopped, another read costs no suspension.
    assert_eq!(read(&mut m, 60), (85, 115));
    assert_eq!(moved(&mut m), [115 + 7 + 60]);
    // It has gone on for 8 when it is stopped for the second time, and not for a third time.
    assert_eq!(read(&mut m, 130), (135, 165));
    assert_eq!(moved(&mut m), [165 + 7 + 52]);
    assert_eq!(read(&mut m, 180), (224, 254));
    assert_eq!(moved(&mut m), []);
    let parts = [
        (What::Load, 0, 10),
        (What::Program, 10, 50),
        (What::Suspend, 50, 55),
        (What::Read, 55, 85),
        (What::Read, 85, 115),
        (What::Resume, 115, 122),
        (What::Program, 122, 130),
        (What::Suspend, 130, 135),
        (What::Read, 135, 165),
        (What::Resume, 165, 172),
        (What::Program, 172, 224),
        (What::Read, 224, 254),
    ];
    assert_eq!(seen(&mut m), parts);
    let busy = m.plane_stats().next().unwrap().busy;
    assert_eq!(busy, Nanos::new(254));
}

#[test]
fn a_read_that_comes_while_it_goes_on_waits_for_that_and_suspends_anew() {
    let mut m = media(Suspend::All);
    program(&mut m, 0, A);
    assert_eq!(read(&mut m, 50), (55, 85));
    assert_eq!(read(&mut m, 86), (92 + 5, 127));
    assert_eq!(moved(&mut m), [152, 127 + 7 + 60]);
}

#[test]
fn what_ends_sooner_than_it_could_be_stopped_is_waited_for() {
    let mut m = media(Suspend::All);
    program(&mut m, 0, A);
    assert_eq!(read(&mut m, 105), (110, 140));
    assert_eq!(moved(&mut m), []);
}

#[test]
fn an_end_that_somebody_counts_on_stays() {
    let mut m = media(Suspend::All);
    program(&mut m, 0, A);
    read(&mut m, 50);
    assert_eq!(
        m.tell(|why, promised| why.owner == 3 && promised == at(110)),
        at(152)
    );
    assert_eq!(read(&mut m, 55), (152, 182));
    assert_eq!(moved(&mut m), [152]);
    assert_eq!(m.tell(|why, _| why.owner == 4), Instant::ZERO);
}

#[test]
fn only_what_is_booked_last_is_stopped() {
    let mut m = media(Suspend::All);
    program(&mut m, 0, A);
    assert_eq!(program(&mut m, 20, A), (110, 220));
    // The second one has not begun: it is stopped as soon as its array works.
    assert_eq!(read(&mut m, 50), (120 + 5, 155));
    assert_eq!(moved(&mut m), [155 + 7 + 100]);
}

#[test]
fn idle_time_before_it_is_used_first() {
    let mut m = media(Suspend::All);
    assert_eq!(program(&mut m, 500, A), (500, 610));
    assert_eq!(read(&mut m, 50), (50, 80));
    assert_eq!(moved(&mut m), []);
}

#[test]
fn an_erase_is_suspended_too() {
    let mut m = media(Suspend::All);
    let erase = m.schedule_for(at(0), PLANE, A, Op::Erase, PURPOSE);
    assert_eq!(erase.end, at(1000));
    assert_eq!(read(&mut m, 300), (305, 335));
    assert_eq!(moved(&mut m), [335 + 7 + 700]);
    // What is programmed into the block goes after it.
    assert_eq!(program(&mut m, 400, A), (1042, 1152));
}

#[test]
fn what_runs_when_power_goes_has_run_until_then() {
    let stopped = [
        (What::Load, 0, 10),
        (What::Program, 10, 50),
        (What::Suspend, 50, 55),
        (What::Read, 55, 85),
    ];
    let going_on = [(What::Resume, 85, 90)];
    let on = [(What::Resume, 85, 92), (What::Program, 92, 120)];
    for (cut, rest) in [(85, &[][..]), (90, &going_on), (120, &on)] {
        let mut m = media(Suspend::All);
        program(&mut m, 0, A);
        assert_eq!(read(&mut m, 50), (55, 85));
        m.power_cut(at(cut));
        m.check_invariants().unwrap();
        let busy = m.plane_stats().next().unwrap().busy;
        assert_eq!(busy, Nanos::new(cut));
        assert_eq!(seen(&mut m), [&stopped, rest].concat());
        assert_eq!(moved(&mut m), []);
    }
}

#[test]
fn other_rules_leave_the_hosts_own_alone() {
    for rule in [Suspend::Off, Suspend::Background] {
        let mut m = media(rule);
        program(&mut m, 0, A);
        assert_eq!(read(&mut m, 50), (110, 140));
        assert_eq!((moved(&mut m), m.running()), (vec![], 0));
    }
    // What runs under the rule runs to its end when that changes.
    let mut m = media(Suspend::All);
    program(&mut m, 0, A);
    m.set_suspend(Suspension::default());
    assert_eq!(read(&mut m, 50), (110, 140));
}
