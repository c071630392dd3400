// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of one array, one test each. Times are small: a sense takes 20, a program 100, an erase
//! 1000, 1 KiB crosses a channel in 10.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::small_media as media;
use nand::{BlockId, Cell, Media, Occupied, Op, PlaneId, Suspend, What, Work};
use units::{Bytes, Instant, Nanos};

const A: u32 = 1;
const B: u32 = 2;
const C: u32 = 3;

fn read(kib: u64) -> Op {
    Op::Read {
        mode: Cell::Tlc,
        row: 0,
        bytes: Bytes::kib(kib),
    }
}

fn program(kib: u64) -> Op {
    Op::Load {
        mode: Cell::Tlc,
        bytes: Bytes::kib(kib),
        program: true,
    }
}

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

fn host(m: &mut Media, when: u64, plane: u32, block: u32, op: Op) -> (u64, u64) {
    let booking = m.schedule(at(when), PlaneId(plane), BlockId(block), op);
    m.check_invariants().unwrap();
    (booking.start.as_nanos(), booking.end.as_nanos())
}

/// A group of one operation.
fn defer(m: &mut Media, when: u64, plane: u32, block: u32, op: Op, after: Option<Work>) -> Work {
    let work = m.begin();
    m.defer(at(when), PlaneId(plane), BlockId(block), op, work, after);
    m.seal(work);
    m.check_invariants().unwrap();
    work
}

fn ended(m: &mut Media, now: u64, work: Work) -> Option<u64> {
    m.run(at(now));
    m.check_invariants().unwrap();
    m.ended(work).map(Instant::as_nanos)
}

/// What occupied a plane, in order.
fn seen(m: &mut Media, plane: u32) -> Vec<(What, u64, u64)> {
    let mut seen = m.take_observed();
    seen.retain(|o: &Occupied| o.plane == PlaneId(plane));
    seen.sort_by_key(|o| o.start);
    let times = |o: &Occupied| (o.what, o.start.as_nanos(), o.end.as_nanos());
    seen.iter().map(times).collect()
}

#[test]
fn the_host_uses_idle_time_before_what_is_booked_for_later() {
    let mut m = media(Suspend::Off);
    assert_eq!(host(&mut m, 500, 0, A, read(1)), (500, 530));
    assert_eq!(host(&mut m, 0, 0, B, read(1)), (0, 30));
    assert_eq!(host(&mut m, 480, 0, B, read(1)), (530, 560));
    assert_eq!(host(&mut m, 200, 0, B, program(1)), (200, 310));
    assert_eq!(host(&mut m, 311, 0, C, Op::Erase), (560, 1560));
}

#[test]
fn what_changes_a_block_keeps_its_order_and_reads_do_not_wait() {
    let mut m = media(Suspend::Off);
    assert_eq!(host(&mut m, 1000, 0, A, Op::Erase), (1000, 2000));
    assert_eq!(host(&mut m, 0, 0, A, program(1)), (2000, 2110));
    assert_eq!(host(&mut m, 0, 0, A, read(1)), (0, 30));
    assert_eq!(host(&mut m, 3000, 0, B, read(1)), (3000, 3030));
    assert_eq!(host(&mut m, 0, 0, B, Op::Erase), (3030, 4030));
}

#[test]
fn a_read_that_waits_too_long_for_its_channel_goes_to_the_next_gap() {
    let mut m = media(Suspend::Off);
    // The channel is taken from 20 to 177 by the neighbour, plane 0 from 100 on.
    assert_eq!(host(&mut m, 20, 1, A, program(16)), (20, 277));
    assert_eq!(host(&mut m, 100, 0, A, Op::Erase), (100, 1100));
    assert_eq!(host(&mut m, 0, 0, B, read(1)), (1100, 1130));
    // On the other channel it fits.
    assert_eq!(host(&mut m, 100, 2, A, Op::Erase), (100, 1100));
    assert_eq!(host(&mut m, 0, 2, B, read(1)), (0, 30));
}

#[test]
fn background_work_that_has_not_started_is_overtaken() {
    let mut m = media(Suspend::Off);
    let erase = defer(&mut m, 0, 0, A, Op::Erase, None);
    assert_eq!(host(&mut m, 0, 0, B, read(1)), (0, 30));
    assert_eq!(m.next_background(), Some(at(1030)));
    assert_eq!(ended(&mut m, 1029, erase), None);
    // It has started: under `Off` it is firm.
    assert_eq!(host(&mut m, 1029, 0, B, read(1)), (1030, 1060));
    assert_eq!(ended(&mut m, 1030, erase), Some(1030));
    assert_eq!((m.next_background(), m.queued()), (None, 0));
}

#[test]
fn a_running_phase_is_suspended_and_its_time_stays() {
    let mut m = media(Suspend::Background);
    let erase = defer(&mut m, 0, 0, A, Op::Erase, None);
    m.run(at(100));
    // At the earliest 5 ns from now.
    assert_eq!(host(&mut m, 100, 0, B, read(1)), (105, 135));
    // One that is asked for later is prepared for.
    assert_eq!(host(&mut m, 300, 0, B, read(1)), (300, 330));
    // 100 done, then from 142 to 295, and no more suspensions: the rest from 337 on.
    let end = 337 + (1000 - 100 - 153);
    assert_eq!(m.next_background(), Some(at(end)));
    m.run(at(340));
    assert_eq!(host(&mut m, 340, 0, B, read(1)), (end, end + 30));
    assert_eq!(ended(&mut m, end, erase), Some(end));
    let whole = [
        (What::Erase, 0, 100),
        (What::Suspend, 100, 105),
        (What::Read, 105, 135),
        (What::Resume, 135, 142),
        (What::Erase, 142, 295),
        (What::Suspend, 295, 300),
        (What::Read, 300, 330),
        (What::Resume, 330, 337),
        (What::Erase, 337, end),
        (What::Read, end, end + 30),
    ];
    assert_eq!(seen(&mut m, 0), whole);
    let busy = m.plane_stats().next().unwrap().busy;
    assert_eq!(busy, Nanos::new(end + 30));
}

#[test]
fn what_runs_when_power_goes_has_run_until_then() {
    let mut m = media(Suspend::Background);
    defer(&mut m, 0, 0, A, Op::Erase, None);
    m.run(at(100));
    assert_eq!(host(&mut m, 100, 0, B, read(1)), (105, 135));
    m.power_cut(at(200));
    m.check_invariants().unwrap();
    assert_eq!((m.next_background(), m.queued()), (None, 0));
    let parts = [
        (What::Erase, 0, 100),
        (What::Suspend, 100, 105),
        (What::Read, 105, 135),
        (What::Resume, 135, 142),
        (What::Erase, 142, 200),
    ];
    assert_eq!(seen(&mut m, 0), parts);
    let busy = m.plane_stats().next().unwrap().busy;
    assert_eq!(busy, Nanos::new(200));
    assert_eq!(host(&mut m, 200, 0, A, Op::Erase), (200, 1200));
}

#[test]
fn a_phase_that_ends_sooner_than_it_could_be_suspended_is_waited_for() {
    let mut m = media(Suspend::Background);
    let work = defer(&mut m, 0, 0, A, program(1), None);
    m.run(at(107));
    assert_eq!(host(&mut m, 107, 0, B, read(1)), (110, 140));
    assert_eq!(ended(&mut m, 110, work), Some(110));
}

#[test]
fn a_transfer_starts_only_where_it_fits_and_is_firm() {
    let mut m = media(Suspend::Background);
    let read_back = defer(&mut m, 0, 0, A, read(1), None);
    assert_eq!(host(&mut m, 29, 0, B, read(1)), (29, 59));
    m.run(at(70));
    assert_eq!(host(&mut m, 70, 0, B, read(1)), (89, 119));
    assert_eq!(ended(&mut m, 89, read_back), Some(89));
}

#[test]
fn what_has_passed_is_not_idle_time_even_if_forgotten() {
    let mut m = media(Suspend::Off);
    // The channel is taken from 20 to 177; plane 0 from 100 on.
    assert_eq!(host(&mut m, 20, 1, A, program(16)), (20, 277));
    assert_eq!(host(&mut m, 100, 0, A, Op::Erase), (100, 1100));
    let work = defer(&mut m, 0, 0, B, read(1), None);
    m.run(at(300));
    // Now the channel has forgotten what it did.
    assert_eq!(host(&mut m, 300, 1, B, read(1)), (300, 330));
    assert_eq!(ended(&mut m, 2000, work), Some(1130));
}

#[test]
fn groups_follow_each_other_across_planes() {
    let mut m = media(Suspend::Off);
    let reads = m.begin();
    for plane in 0..2 {
        m.defer(at(0), PlaneId(plane), BlockId(A), read(1), reads, None);
    }
    let write = defer(&mut m, 0, 2, B, program(1), Some(reads));
    let erase = defer(&mut m, 0, 0, A, Op::Erase, Some(write));
    // The second read crosses behind the first.
    assert_eq!(ended(&mut m, 40, reads), Some(40));
    assert_eq!(m.queued(), 2);
    assert_eq!(ended(&mut m, 150, write), Some(150));
    m.release(reads);
    m.release(write);
    assert_eq!(m.force(erase), at(1150));
    // Released numbers are not used again.
    let other = m.begin();
    assert!(other != reads && other != write);
    m.seal(other);
    assert_eq!(m.ended(other), Some(at(150)));
}

#[test]
fn force_takes_what_is_needed_and_nothing_else() {
    let mut m = media(Suspend::Background);
    let first = defer(&mut m, 0, 0, A, read(1), None);
    let other = defer(&mut m, 0, 3, A, Op::Erase, None);
    let write = defer(&mut m, 0, 2, B, program(1), Some(first));
    let behind = defer(&mut m, 0, 2, C, Op::Erase, None);
    assert_eq!(m.force(write), at(140));
    m.check_invariants().unwrap();
    assert_eq!(m.ended(first), Some(at(30)));
    assert_eq!(m.ended(write), Some(at(140)));
    assert_eq!(host(&mut m, 0, 3, B, read(1)), (0, 30));
    // The program is firm; the gap before it is the host's.
    assert_eq!(host(&mut m, 10, 2, B, read(1)), (140, 170));
    assert_eq!(ended(&mut m, 1170, behind), Some(1170));
    assert_eq!(m.ended(other), Some(at(1030)));
}

#[test]
fn the_host_waits_for_work_on_its_block_if_it_changes_it() {
    let mut m = media(Suspend::Background);
    let erase = defer(&mut m, 0, 0, A, Op::Erase, None);
    defer(&mut m, 0, 0, B, Op::Erase, None);
    assert_eq!(host(&mut m, 0, 0, A, read(1)), (0, 30));
    assert_eq!(host(&mut m, 0, 0, A, program(1)), (1030, 1140));
    assert_eq!(m.ended(erase), None);
    assert_eq!(ended(&mut m, 1030, erase), Some(1030));
    assert_eq!(m.queued(), 1);
}
