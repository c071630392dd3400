// SPDX-License-Identifier: GPL-2.0-or-later
//! A bus that carries one byte stream: bookings with backfill.
//!
//! A transfer of n bytes takes `ceil(n x 10^9 / (bandwidth x 2^20))` ns of link time from the
//! earliest idle moment at or after the request, in pieces around what is booked already:
//!
//! ```text
//!   booked    |####|        |######|
//!   request       ^ 6 units |      |
//!   granted        |******|           (fits the gap)
//!   or, 9 units    |********|      |*|  ends here
//! ```
//! So the link is never idle while somebody waits, and never carries two transfers at once.
//!
//! Real buses do not divide transfers at any byte. With [`Crossing::piece`] a transfer is a row of pieces, and each is
//! carried whole, in the earliest idle time that holds it; only between pieces there may be others.
//!
//! Memory is bounded: bookings that ended before the horizon (no request can come from before it)
//! are forgotten, touching ones are merged, and beyond [`Link::MAX_BOOKINGS`] the oldest idle gap
//! is given up.

use units::{Bytes, Instant, Nanos, PAGE_BYTES};

/// What a link has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Time it carried data.
    pub busy: Nanos,
    /// Bytes carried.
    pub bytes: u64,
    /// The longest that a transfer waited beyond its own link time.
    pub longest_wait: Nanos,
}

/// What a transfer takes beyond the time of its bytes, and how it is divided. By default nothing, and anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossing {
    /// Link time of each 4 KiB (started) beyond that of its bytes.
    pub overhead: Nanos,
    /// Link time of each piece beyond all that.
    pub command: Nanos,
    /// Bytes of a piece; 0: a transfer is one, which idle times of any length carry bit by bit.
    pub piece: Bytes,
}

/// A link's reservations.
#[derive(Clone, Debug)]
pub struct Link {
    bytes_per_second: u64,
    /// If it is not the default.
    crossing: Option<Crossing>,
    /// Disjoint, non-touching busy intervals `[start, end)`, ascending.
    busy: Vec<(u64, u64)>,
    /// What is past is forgotten when there are so many.
    most: usize,
    /// No request can come from before it.
    horizon: u64,
    stats: LinkStats,
}

state::state!(LinkStats {
    busy,
    bytes,
    longest_wait
});
state::state!(Link { busy, most, horizon, stats; bytes_per_second, crossing } => restore);

impl Link {
    /// Bookings kept; a drive with every queue full has a few hundred.
    pub const MAX_BOOKINGS: usize = 4096;

    /// So many are kept before what is past is forgotten, at least.
    const FEW_BOOKINGS: usize = 64;

    /// An idle link of `mbps` MB/s (at least 1).
    #[must_use]
    pub fn new(mbps: u64) -> Self {
        Self {
            bytes_per_second: mbps.max(1).saturating_mul(1 << 20),
            crossing: None,
            busy: Vec::with_capacity(Self::FEW_BOOKINGS + 1),
            most: Self::FEW_BOOKINGS,
            horizon: 0,
            stats: LinkStats::default(),
        }
    }

    /// The same link with transfers of that kind.
    #[must_use]
    pub fn with(self, crossing: Crossing) -> Self {
        let crossing = Some(crossing).filter(|crossing| *crossing != Crossing::default());
        Self { crossing, ..self }
    }

    /// Takes over the times of transfers booked from now on. Their pieces stay.
    pub fn set_times(&mut self, crossing: Crossing) {
        let piece = self.crossing.map_or(Bytes::ZERO, |before| before.piece);
        let crossing = Crossing { piece, ..crossing };
        self.crossing = Some(crossing).filter(|crossing| *crossing != Crossing::default());
    }

    /// Link time of `bytes`.
    #[must_use]
    #[inline]
    pub fn time(&self, bytes: Bytes) -> Nanos {
        match &self.crossing {
            None => self.bandwidth_time(bytes),
            Some(crossing) => self.crossing_time(crossing, bytes.get()),
        }
    }

    /// The same with what is beyond that of the bytes.
    #[inline(never)]
    fn crossing_time(&self, crossing: &Crossing, bytes: u64) -> Nanos {
        match crossing.piece {
            Bytes::ZERO => self.piece_time(crossing, bytes),
            piece => {
                let (whole, rest) = (bytes / piece.get(), bytes % piece.get());
                self.piece_time(crossing, piece.get()).times(whole)
                    + self.piece_time(crossing, rest)
            }
        }
    }

    fn piece_time(&self, crossing: &Crossing, bytes: u64) -> Nanos {
        let time = self.bandwidth_time(Bytes::new(bytes));
        if bytes == 0 {
            return time;
        }
        let pages = bytes.div_ceil(PAGE_BYTES);
        time + crossing.command + crossing.overhead.times(pages)
    }

    fn bandwidth_time(&self, bytes: Bytes) -> Nanos {
        const SECOND: u64 = 1_000_000_000;
        match bytes.get().checked_mul(SECOND) {
            Some(n) => Nanos::new(n.div_ceil(self.bytes_per_second)),
            None => {
                let n = u128::from(bytes.get()) * u128::from(SECOND);
                let time = n.div_ceil(u128::from(self.bytes_per_second));
                Nanos::new(u64::try_from(time).unwrap_or(u64::MAX))
            }
        }
    }

    /// Books `bytes` at or after `at`; returns when the last of them has crossed.
    pub fn transfer(&mut self, at: Instant, bytes: Bytes) -> Instant {
        let need = self.time(bytes);
        Instant::from_nanos(self.carry(at.as_nanos(), bytes.get(), need))
    }

    /// The same for bytes whose link time is known.
    #[inline]
    pub(crate) fn carry(&mut self, at: u64, bytes: u64, need: Nanos) -> u64 {
        self.stats.bytes = self.stats.bytes.saturating_add(bytes);
        self.stats.busy += need;
        if need == Nanos::ZERO {
            return at;
        }
        let end = self.book(at, need.get());
        let wait = Nanos::new(end.saturating_sub(at.saturating_add(need.get())));
        self.stats.longest_wait = self.stats.longest_wait.max(wait);
        end
    }

    /// When `bytes` asked for at `at` would have crossed. Nothing is booked.
    #[must_use]
    pub fn would_end(&self, at: Instant, bytes: Bytes) -> Instant {
        let mut left = self.time(bytes).get();
        if left == 0 {
            return at;
        }
        if let Some(mut pieces) = self.pieces(left) {
            let end = pieces.try_fold(at.as_nanos(), |clock, need| {
                self.gap(clock, need).checked_add(need)
            });
            return Instant::from_nanos(end.unwrap_or(u64::MAX));
        }
        let mut clock = at.as_nanos();
        let first = self.busy.partition_point(|b| b.1 <= clock);
        for &(from, to) in self.busy.iter().skip(first) {
            let gap = from.saturating_sub(clock);
            if left <= gap {
                break;
            }
            left -= gap;
            clock = to;
        }
        Instant::from_nanos(clock.saturating_add(left))
    }

    /// No request will come from before `horizon`: what ended by then is forgotten as soon as its memory
    /// is needed.
    #[inline]
    pub fn prune(&mut self, horizon: Instant) {
        self.horizon = horizon.as_nanos();
    }

    /// Power goes at `now`: it is idle from then on, and what was booked is not counted as time that it was busy.
    /// (Its bytes stay counted.)
    pub fn power_cut(&mut self, now: Instant) {
        self.prune(now);
        while let Some(last) = self.busy.last_mut().filter(|b| b.1 > self.horizon) {
            let undone = last.1 - last.0.max(self.horizon);
            self.stats.busy = Nanos::new(self.stats.busy.get().saturating_sub(undone));
            last.1 = self.horizon;
            if last.0 < self.horizon {
                break;
            }
            self.busy.pop();
        }
    }

    /// What it has done so far.
    #[must_use]
    pub const fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Counts from here on.
    pub fn forget_counts(&mut self) {
        self.stats = LinkStats::default();
    }

    fn restore(&mut self) -> Result<(), state::Error> {
        state::ensure!(self.most <= Self::MAX_BOOKINGS);
        self.check_invariants()
    }

    /// Is an error unless the bookings are ascending and apart.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        state::ensure!(self.busy.len() <= Self::MAX_BOOKINGS);
        state::ensure!(self.busy.iter().all(|b| b.0 < b.1));
        let apart = self.busy.iter().zip(self.busy.iter().skip(1));
        state::ensure!(apart.clone().all(|(a, b)| a.1 < b.0));
        Ok(())
    }

    /// Link time of each piece of a transfer that takes `need` in all, if it is divided.
    fn pieces(&self, need: u64) -> Option<impl Iterator<Item = u64>> {
        let crossing = self.crossing.as_ref()?;
        let whole = self.piece_time(crossing, crossing.piece.get()).get();
        let pieces = need.checked_div(whole)?;
        let last = Some(need - pieces * whole).filter(|rest| *rest > 0);
        Some((0..pieces).map(move |_| whole).chain(last))
    }

    /// The first idle time at or after `from` that is so long.
    fn gap(&self, from: u64, need: u64) -> u64 {
        let mut clock = from;
        let first = self.busy.partition_point(|b| b.1 <= clock);
        for &(from, to) in self.busy.iter().skip(first) {
            if from >= clock.saturating_add(need) {
                break;
            }
            clock = to;
        }
        clock
    }

    #[inline]
    fn book(&mut self, at: u64, need: u64) -> u64 {
        // Most requests come at or after everything booked: there pieces are one transfer.
        match self.busy.last_mut() {
            Some(last) if at <= last.1 && at >= last.0 => {
                last.1 = last.1.saturating_add(need);
                return last.1;
            }
            Some(last) if at < last.0 => {}
            _ => {
                let end = at.saturating_add(need);
                self.push(at, end);
                return end;
            }
        }
        self.backfill(at, need)
    }

    /// Carries a transfer, or its pieces one after the other, in the gaps from `at` on.
    #[inline(never)]
    fn backfill(&mut self, at: u64, need: u64) -> u64 {
        match self.pieces(need) {
            None => self.fill(at, need),
            Some(pieces) => pieces.fold(at, |clock, need| self.fill(self.gap(clock, need), need)),
        }
    }

    /// Fills the gaps from `at` on. What it fills becomes one interval with its neighbours, from
    /// where it starts to its end, since every gap in between is used up.
    fn fill(&mut self, at: u64, need: u64) -> u64 {
        let first = self.busy.partition_point(|b| b.1 < at);
        let mut start = at;
        let mut clock = at;
        let mut left = need;
        let mut next = first;
        while let Some(&(from, to)) = self.busy.get(next) {
            if from > clock {
                let gap = from - clock;
                if left < gap {
                    break;
                }
                left -= gap;
            } else {
                start = start.min(from);
            }
            clock = to;
            next += 1;
            if left == 0 {
                // The gap was filled exactly: it joins the interval after it.
                self.replace(first, next, (start, to));
                return from;
            }
        }
        let end = clock.saturating_add(left);
        self.replace(first, next, (start, end));
        end
    }

    fn replace(&mut self, first: usize, next: usize, with: (u64, u64)) {
        if first == next {
            self.insert(first, with);
        } else {
            if let Some(slot) = self.busy.get_mut(first) {
                *slot = with;
            }
            self.busy.drain(first + 1..next);
        }
    }

    #[inline]
    fn push(&mut self, start: u64, end: u64) {
        if self.busy.len() >= self.most {
            self.insert(self.busy.len(), (start, end));
        } else if start < end {
            self.busy.push((start, end));
        }
    }

    /// Puts an interval in before that at `at`. If there are many, what ended before the horizon is
    /// forgotten, and there is room for as much again as is kept.
    #[inline(never)]
    fn insert(&mut self, at: usize, with: (u64, u64)) {
        let mut at = at;
        if self.busy.len() >= self.most {
            let past = self.busy.partition_point(|b| b.1 <= self.horizon);
            self.busy.drain(..past);
            at = at.saturating_sub(past);
            let kept = self.busy.len();
            self.most = (2 * kept).clamp(Self::FEW_BOOKINGS, Self::MAX_BOOKINGS);
            self.busy.reserve(self.most + 1 - kept);
        }
        if with.0 < with.1 {
            self.busy.insert(at, with);
        }
        if self.busy.len() > Self::MAX_BOOKINGS {
            let oldest = self.busy.remove(0);
            if let Some(first) = self.busy.first_mut() {
                first.0 = oldest.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    #[test]
    fn link_time_rounds_up() {
        assert_eq!(Link::new(1422).time(Bytes::new(4096)), Nanos::new(2748));
        assert_eq!(Link::new(3000).time(Bytes::new(4096)), Nanos::new(1303));
        assert_eq!(
            Link::new(1).time(Bytes::mib(1 << 20)),
            Nanos::new(1_000_000_000 << 20)
        );
        assert_eq!(
            Link::new(1).time(Bytes::new(u64::MAX)),
            Nanos::new(u64::MAX)
        );
    }

    #[test]
    fn a_request_uses_idle_time_before_later_bookings() {
        let mut link = Link::new(1000);
        let ten_us = Bytes::new(10_485); // 9 999.3 ns -> 10 000
        assert_eq!(link.transfer(at(100_000), ten_us), at(110_000));
        assert_eq!(link.transfer(at(0), ten_us), at(10_000));
        // 95 000 .. 100 000, then 110 000 .. 115 000.
        assert_eq!(link.transfer(at(95_000), ten_us), at(115_000));
        assert_eq!(link.transfer(at(95_000), ten_us), at(125_000));
        // An exact fit ends at the gap's end.
        assert_eq!(link.transfer(at(85_000), ten_us), at(95_000));
        link.check_invariants().unwrap();
        link.prune(at(10_000));
        assert_eq!(link.busy, [(0, 10_000), (85_000, 125_000)]);
    }

    #[test]
    fn what_is_booked_for_after_a_power_cut_is_given_up() {
        let mut link = Link::new(1000);
        for from in [0, 20_000, 40_000] {
            link.transfer(at(from), Bytes::new(10_485));
        }
        link.power_cut(at(25_000));
        link.check_invariants().unwrap();
        assert_eq!(link.busy, [(0, 10_000), (20_000, 25_000)]);
        assert_eq!(link.stats().busy, Nanos::new(15_000));
        link.power_cut(at(25_000));
        assert_eq!(link.stats().busy, Nanos::new(15_000));
    }

    #[test]
    fn pieces_are_carried_whole_and_let_others_between_them() {
        // 10 000 ns a piece, of which 1 000 are its command.
        let crossing = Crossing {
            overhead: Nanos::ZERO,
            command: Nanos::new(1_000),
            piece: Bytes::new(9_437), // 8 999.8 ns -> 9 000
        };
        let mut link = Link::new(1000).with(crossing);
        let two = Bytes::new(2 * 9_437);
        assert_eq!(link.time(two), Nanos::new(20_000));
        assert_eq!(link.time(Bytes::new(9_437 + 1)), Nanos::new(10_000 + 1_001));
        let one = Bytes::new(9_437);
        assert_eq!(link.transfer(at(15_000), one), at(25_000));
        // One piece before that, which 5 000 ns more would not hold; the other behind it.
        assert_eq!(link.would_end(at(0), two), at(35_000));
        assert_eq!(link.transfer(at(0), two), at(35_000));
        assert_eq!(link.busy, [(0, 10_000), (15_000, 35_000)]);
        // A small one finds the time in between.
        assert_eq!(link.transfer(at(0), Bytes::new(1_048)), at(12_000));
        assert_eq!(link.stats().busy, Nanos::new(32_000));
        link.check_invariants().unwrap();
    }

    #[test]
    fn the_book_is_bounded() {
        let mut link = Link::new(1000);
        for i in 0..3 * Link::MAX_BOOKINGS as u64 {
            link.transfer(at(i * 1_000), Bytes::new(1));
        }
        link.check_invariants().unwrap();
    }

    proptest! {
        /// Against a model that books nanosecond by nanosecond.
        #[test]
        fn every_nanosecond_is_used_once(
            requests in prop::collection::vec((0u64..400, 1u64..40), 1..40),
            piece in prop::option::of(1u64..20),
            command in 0u64..4,
        ) {
            let ns = |ns: u64| ns * 1_048_576 / 1_000_000;
            let crossing = Crossing {
                overhead: Nanos::ZERO,
                command: Nanos::new(command),
                piece: Bytes::new(piece.map_or(0, ns)),
            };
            let mut link = Link::new(1000).with(crossing);
            let mut taken = vec![false; 8000];
            for (from, length) in requests {
                let bytes = ns(length);
                let mut pieces: Vec<u64> = match crossing.piece.get() {
                    0 => vec![1; link.time(Bytes::new(bytes)).get() as usize],
                    piece => (0..bytes.div_ceil(piece))
                        .map(|i| link.piece_time(&crossing, piece.min(bytes - i * piece)).get())
                        .collect(),
                };
                pieces.retain(|need| *need > 0);
                let told = link.would_end(at(from), Bytes::new(bytes));
                let end = link.transfer(at(from), Bytes::new(bytes));
                prop_assert_eq!(told, end);
                let mut clock = from as usize;
                for need in pieces {
                    let need = need as usize;
                    while taken[clock..clock + need].contains(&true) {
                        clock += 1;
                    }
                    taken[clock..clock + need].fill(true);
                    clock += need;
                }
                prop_assert_eq!(end.as_nanos(), clock as u64);
                link.check_invariants().unwrap();
            }
            let busy = taken.iter().filter(|taken| **taken).count();
            prop_assert_eq!(link.stats().busy, Nanos::new(busy as u64));
        }
    }
}
