// SPDX-License-Identifier: GPL-2.0-or-later
//! What each operation of the host takes, on planes and channels.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::GEOMETRY;
use nand::{BlockId, Cell, CellTiming, Crossing, Media, Op, PlaneId, Timing};
use units::{Bytes, Instant, Nanos};

fn media() -> Media {
    let us = Nanos::from_micros;
    let timing = Timing {
        slc: CellTiming::uniform(us(20), us(75)),
        mlc: CellTiming::uniform(us(30), us(185)),
        tlc: CellTiming::uniform(us(40), Nanos::new(937_500)),
        qlc: CellTiming::uniform(us(85), us(6098)),
        erase: Nanos::new(3_500_000),
        channel_mbps: 1422,
        crossing: Crossing::default(),
    };
    Media::new(&GEOMETRY, &timing)
}

fn run(media: &mut Media, at: u64, plane: u32, op: Op) -> (u64, u64) {
    let at = Instant::from_nanos(at);
    let b = media.schedule(at, PlaneId(plane), BlockId(0), op);
    media.check_invariants().unwrap();
    (b.start.as_nanos(), b.end.as_nanos())
}

#[test]
fn a_read_senses_then_crosses_and_holds_its_plane() {
    let mut m = media();
    let read = Op::Read {
        mode: Cell::Tlc,
        row: 0,
        bytes: Bytes::kib(4),
    };
    assert_eq!(run(&mut m, 0, 0, read), (0, 42_748));
    // Same channel, other plane: senses beside it, crosses behind it.
    assert_eq!(run(&mut m, 0, 1, read), (0, 45_496));
    // Same plane: after it.
    assert_eq!(run(&mut m, 0, 0, read), (42_748, 85_496));
    // Other channel.
    assert_eq!(run(&mut m, 0, 2, read), (0, 42_748));
}

#[test]
fn a_load_crosses_then_programs_if_the_wordline_is_complete() {
    let mut m = media();
    let load = |program| Op::Load {
        mode: Cell::Tlc,
        bytes: Bytes::kib(16),
        program,
    };
    assert_eq!(run(&mut m, 0, 0, load(false)), (0, 10_989));
    assert_eq!(run(&mut m, 0, 0, load(true)), (10_989, 21_978 + 937_500));
    assert_eq!(run(&mut m, 0, 1, load(false)), (0, 32_967));
    assert_eq!(run(&mut m, 0, 2, Op::Erase), (0, 3_500_000));
}

#[test]
fn a_plane_that_does_not_exist_does_nothing() {
    assert_eq!(run(&mut media(), 7, 99, Op::Erase), (7, 7));
}

/// Past their end, too: such planes do nothing.
#[test]
fn neighbours_are_booked_as_one_by_one() {
    let load = Op::Load {
        mode: Cell::Tlc,
        bytes: Bytes::kib(16),
        program: true,
    };
    let (mut together, mut apart) = (media(), media());
    let last = together.plane_stats().len() as u32;
    for (at, first, count) in [(0, 0, 3), (5, 1, 2), (7, last - 1, 3)] {
        for op in [load, Op::Erase] {
            let mut ends = Vec::new();
            let planes = (PlaneId(first), count);
            let now = Instant::from_nanos(at);
            together.schedule_each(now, planes, BlockId(0), op, None, |n, end| {
                assert_eq!(n as usize, ends.len());
                ends.push(end.as_nanos());
            });
            let planes = first..first + count;
            let expected: Vec<_> = planes.map(|p| run(&mut apart, at, p, op).1).collect();
            assert_eq!(ends, expected);
        }
    }
    assert!(together.plane_stats().eq(apart.plane_stats()));
    together.check_invariants().unwrap();
}
