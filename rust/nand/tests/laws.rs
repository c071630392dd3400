// SPDX-License-Identifier: GPL-2.0-or-later
//! What holds for any calls: against a model that books nanosecond by nanosecond, and as laws.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::Times;
use nand::{
    BlockId, Booking, Cell, Link, Media, Occupied, Op, PlaneId, Purpose, Suspend, Suspension, What,
    Work,
};
use proptest::prelude::*;
use units::{Bytes, Instant, Nanos};

const PLANES: u32 = 4;
const TIMES: Times = Times {
    sense: 20,
    program: 60,
    erase: 200,
};

fn media(rule: Suspension) -> Media {
    common::media(TIMES, rule)
}

fn operation() -> impl Strategy<Value = Op> {
    let bytes = (0u64..=4).prop_map(Bytes::kib);
    (0..8u32, bytes).prop_map(|(kind, bytes)| match kind {
        0..=3 => Op::Read {
            mode: Cell::Tlc,
            row: 0,
            bytes,
        },
        4 => Op::Load {
            mode: Cell::Tlc,
            bytes,
            program: false,
        },
        5 | 6 => Op::Load {
            mode: Cell::Tlc,
            bytes,
            program: true,
        },
        _ => Op::Erase,
    })
}

/// An operation that takes no time.
const NOTHING: Op = Op::Load {
    mode: Cell::Tlc,
    bytes: Bytes::ZERO,
    program: false,
};

#[derive(Clone, Debug)]
enum Call {
    /// At so long after now.
    Host(u64, u32, u32, Op),
    /// Into the group of the latest `Begin`; after the group before that, or not.
    Defer(u64, u32, u32, Op, bool),
    /// The same with a purpose: it may be suspended until it is told.
    HostFor(u64, u32, u32, Op),
    Tell(u32),
    Begin,
    Run(u64),
    Force(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let later = prop_oneof![Just(0), 0u64..300];
    let whole = || (0..PLANES, 0u32..4, operation());
    prop_oneof![
        4 => (later.clone(), whole()).prop_map(|(t, (p, b, op))| Call::Host(t, p, b, op)),
        4 => (later.clone(), whole()).prop_map(|(t, (p, b, op))| Call::HostFor(t, p, b, op)),
        1 => (0u32..100).prop_map(Call::Tell),
        4 => (later, whole(), any::<bool>())
            .prop_map(|(t, (p, b, op), after)| Call::Defer(t, p, b, op, after)),
        2 => Just(Call::Begin),
        4 => (0u64..250).prop_map(Call::Run),
        1 => (0usize..100).prop_map(Call::Force),
    ]
}

fn suspension() -> impl Strategy<Value = Suspension> {
    let rule = prop_oneof![
        Just(Suspend::Off),
        Just(Suspend::Background),
        Just(Suspend::All)
    ];
    (rule, 0u64..12, 0u64..12, 0u32..4).prop_map(|(rule, suspend, resume, max)| Suspension {
        rule,
        suspend: Nanos::new(suspend),
        resume: Nanos::new(resume),
        max,
    })
}

/// Everything that a sequence of calls was answered.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    bookings: Vec<Booking>,
    forced: Vec<Instant>,
    ends: Vec<Option<Instant>>,
    next: Vec<Option<Instant>>,
    occupied: Vec<Occupied>,
    /// Ends of what has a purpose, as they are in the end.
    purposes: Vec<Instant>,
    told: Vec<Instant>,
}

/// Times of array work that the calls ask for.
fn array(op: Op) -> u64 {
    match op {
        Op::Load { program: true, .. } => TIMES.program,
        Op::Erase => TIMES.erase,
        _ => 0,
    }
}

/// `steps`: how many calls of `run` make one.
fn play(calls: &[Call], rule: Suspension, steps: u64) -> (Answers, Media) {
    let mut m = media(rule);
    let mut answers = Answers::default();
    let mut works: Vec<Work> = vec![m.begin()];
    let mut told = Vec::new();
    let mut now = 0;
    for call in calls {
        match *call {
            Call::Host(later, plane, block, op) => {
                let at = Instant::from_nanos(now + later);
                let booking = m.schedule(at, PlaneId(plane), BlockId(block), op);
                answers.bookings.push(booking);
            }
            Call::HostFor(later, plane, block, op) => {
                let at = Instant::from_nanos(now + later);
                let purpose = Purpose {
                    owner: answers.purposes.len() as u32,
                    ..Purpose::default()
                };
                let (plane, block) = (PlaneId(plane), BlockId(block));
                let booking = m.schedule_for(at, plane, block, op, purpose);
                answers.bookings.push(booking);
                answers.purposes.push(booking.end);
                told.push(None);
            }
            Call::Tell(owner) => {
                let end = m.tell(|why, _| why.owner == owner);
                answers.told.push(end);
                if let Some(told) = told.get_mut(owner as usize).filter(|_| end > Instant::ZERO) {
                    *told = Some(end);
                }
            }
            Call::Defer(later, plane, block, op, after) => {
                let at = Instant::from_nanos(now + later);
                let previous = works.len().checked_sub(2).filter(|_| after);
                let after = previous.map(|p| works[p]);
                let work = works[works.len() - 1];
                m.defer(at, PlaneId(plane), BlockId(block), op, work, after);
            }
            Call::Begin => {
                m.seal(works[works.len() - 1]);
                works.push(m.begin());
            }
            Call::Run(time) => {
                for step in 1..=steps {
                    m.run(Instant::from_nanos(now + time * step / steps));
                }
                now += time;
                answers.next.push(m.next_background());
            }
            Call::Force(of) => {
                let sealed = works.len() - 1;
                if sealed > 0 {
                    answers.forced.push(m.force(works[of % sealed]));
                }
            }
        }
        m.check_invariants().unwrap();
        m.take_moved(|moved| {
            let owner = moved.purpose.owner as usize;
            assert!(answers.purposes[owner] < moved.end, "{moved:?}");
            assert_eq!(told[owner], None, "{moved:?}");
            answers.purposes[owner] = moved.end;
            true
        });
    }
    for (end, told) in answers.purposes.iter().zip(told) {
        assert_eq!(told.unwrap_or(*end), *end);
    }
    m.seal(works[works.len() - 1]);
    // What would end next does, if nothing else is asked for.
    let mut until = Instant::from_nanos(now);
    while let Some(next) = m.next_background() {
        assert!(next > until);
        until = next;
        m.run(next);
    }
    m.run(Instant::from_nanos(u64::MAX / 2));
    answers.ends = works.iter().map(|w| m.ended(*w)).collect();
    answers.occupied = m.take_observed();
    (answers, m)
}

/// Asks plane by plane for what occupied it, by start.
fn by_plane(occupied: &[Occupied]) -> Vec<Vec<Occupied>> {
    let of = |plane| {
        let mut of = occupied.to_vec();
        of.retain(|o| o.plane == PlaneId(plane));
        of.sort_by_key(|o| o.start);
        of
    };
    (0..PLANES).map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold(calls in prop::collection::vec(call(), 1..80), rule in suspension()) {
        let (answers, m) = play(&calls, rule, 1);
        let planes = by_plane(&answers.occupied);
        let stats: Vec<_> = m.plane_stats().collect();
        for (plane, seen) in planes.iter().enumerate() {
            for pair in seen.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start, "{pair:?}");
            }
            // Busy for just as long as it was seen to be: never more than elapsed.
            let busy: u64 = seen.iter().map(|o| o.end.since(o.start).get()).sum();
            prop_assert_eq!(stats[plane].busy.get(), busy);
        }
        // Array work takes its time, suspended or not; suspending takes its own.
        let of = |what| answers.occupied.iter().filter(move |o| o.what == what);
        let time = |what| of(what).map(|o| o.end.since(o.start).get()).sum::<u64>();
        let asked: u64 = calls.iter().map(|c| match c {
            Call::Host(_, _, _, op)
            | Call::HostFor(_, _, _, op)
            | Call::Defer(_, _, _, op, _) => array(*op),
            _ => 0,
        }).sum();
        prop_assert_eq!(time(What::Program) + time(What::Erase), asked);
        prop_assert!(of(What::Suspend).all(|o| o.end.since(o.start) == rule.suspend));
        prop_assert!(of(What::Resume).all(|o| o.end.since(o.start) == rule.resume));
        if rule.rule == Suspend::Off || rule.max == 0 {
            prop_assert_eq!(of(What::Suspend).count(), 0);
        }
        // A host operation's time is seen where it was booked, or later.
        let halts = |o: &Occupied| matches!(o.what, What::Suspend | What::Resume);
        let host = answers.occupied.iter().filter(|o| !o.background && !halts(o));
        let told: u64 = answers.bookings.iter().map(|b| b.end.since(b.start).get()).sum();
        prop_assert_eq!(host.map(|o| o.end.since(o.start).get()).sum::<u64>(), told);
        prop_assert!(answers.ends.iter().all(Option::is_some));
        let last = answers.occupied.iter().map(|o| o.end).max().unwrap_or_default();
        for channel in m.channel_stats() {
            prop_assert!(channel.busy <= last.since(Instant::ZERO));
        }
    }

    #[test]
    fn many_small_steps_are_one_big_one(
        calls in prop::collection::vec(call(), 1..80),
        rule in suspension(),
        steps in 2u64..40,
    ) {
        let (one, _) = play(&calls, rule, 1);
        let (many, _) = play(&calls, rule, steps);
        prop_assert_eq!(&one.bookings, &many.bookings);
        prop_assert_eq!(&one.forced, &many.forced);
        prop_assert_eq!(&one.ends, &many.ends);
        prop_assert_eq!(&one.next, &many.next);
        prop_assert_eq!(&one.purposes, &many.purposes);
        prop_assert_eq!(by_plane(&one.occupied), by_plane(&many.occupied));
    }

    /// Operations that change a block end in the order in which they were asked for, whoever asked.
    #[test]
    fn what_changes_a_block_keeps_its_order(
        calls in prop::collection::vec(
            (any::<bool>(), 0u64..200, 0u32..2, 0u32..2, operation(), 0u64..100), 1..40),
        rule in suspension(),
    ) {
        let mut m = media(rule);
        let mut now = 0;
        let mut asked: Vec<(_, _, _, Result<Work, Booking>)> = Vec::new();
        for (host, later, plane, block, op, pause) in calls {
            let at = Instant::from_nanos(now + later);
            let (p, b) = (PlaneId(plane), BlockId(block));
            let end = if host {
                let owner = asked.len() as u32;
                let booking = m.schedule_for(at, p, b, op, Purpose { owner, ..Purpose::default() });
                m.take_moved(|moved| {
                    if let Some((_, _, _, Err(before))) = asked.get_mut(moved.purpose.owner as usize) {
                        before.end = moved.end;
                    }
                    true
                });
                Err(booking)
            } else {
                let work = m.begin();
                m.defer(at, p, b, op, work, None);
                m.seal(work);
                Ok(work)
            };
            asked.push((plane, block, op, end));
            now += pause;
            m.run(Instant::from_nanos(now));
        }
        m.run(Instant::from_nanos(u64::MAX / 2));
        let mut latest = std::collections::HashMap::new();
        for (plane, block, op, end) in asked {
            if matches!(op, Op::Read { .. }) || op == NOTHING {
                continue;
            }
            let before = latest.get(&(plane, block)).copied().unwrap_or_default();
            let end = match end {
                Ok(work) => m.ended(work).unwrap(),
                Err(booking) => {
                    prop_assert!(booking.start >= before, "{booking:?} {before:?}");
                    booking.end
                }
            };
            prop_assert!(end.as_nanos() >= before.as_nanos() + array(op), "{before:?} {end:?}");
            latest.insert((plane, block), end);
        }
    }

    /// The host's operations, against planes and channels that are taken nanosecond by nanosecond.
    #[test]
    fn each_operation_takes_the_earliest_time_that_holds_it(
        calls in prop::collection::vec((0u64..500, 0u32..PLANES, 0u32..3, operation()), 1..40),
    ) {
        let mut m = media(Suspension::default());
        let mut slow = Slow::new();
        for (at, plane, block, op) in calls {
            if op == NOTHING {
                continue;
            }
            let booking = m.schedule(Instant::from_nanos(at), PlaneId(plane), BlockId(block), op);
            m.check_invariants().unwrap();
            let expect = slow.schedule(at as usize, plane as usize, block, op);
            prop_assert_eq!((booking.start.as_nanos(), booking.end.as_nanos()), expect);
        }
    }
}

/// Who has each nanosecond.
struct Slow {
    planes: Vec<Vec<bool>>,
    channels: Vec<Vec<bool>>,
    booked: Vec<(usize, u32, bool, usize)>,
}

impl Slow {
    const END: usize = 60_000;

    fn new() -> Self {
        Self {
            planes: vec![vec![false; Self::END]; PLANES as usize],
            channels: vec![vec![false; Self::END]; 2],
            booked: Vec::new(),
        }
    }

    fn schedule(&mut self, at: usize, plane: usize, block: u32, op: Op) -> (u64, u64) {
        let (sense, bytes, read) = match op {
            Op::Read { bytes, .. } => (TIMES.sense, bytes, true),
            Op::Load { bytes, .. } => (0, bytes, false),
            _ => (0, Bytes::ZERO, false),
        };
        let erase = op == Op::Erase;
        let before = self.booked.iter().filter(|b| b.0 == plane && b.1 == block);
        let before = before.filter(|b| erase || (!read && !b.2));
        let floor = before.map(|b| b.3).max().unwrap_or(0);
        let need = Link::new(100_000).time(bytes).get() as usize;
        for start in at.max(floor).. {
            let channel = &self.channels[plane / 2];
            let from = start + sense as usize;
            let taken: Vec<_> = (from..).filter(|t| !channel[*t]).take(need).collect();
            let moved = taken.last().map_or(from, |t| t + 1);
            let end = moved + array(op) as usize;
            if self.planes[plane][start..end].iter().any(|t| *t) {
                continue;
            }
            taken
                .iter()
                .for_each(|t| self.channels[plane / 2][*t] = true);
            self.planes[plane][start..end].fill(true);
            self.booked.push((plane, block, read, end));
            return (start as u64, end as u64);
        }
        unreachable!()
    }
}
