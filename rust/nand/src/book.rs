// SPDX-License-Identifier: GPL-2.0-or-later
//! One plane's book of firm bookings.
//!
//! ```text
//!   booked    [ read 7 ]      [ program 9    ]           [ read 3 ]
//!   asked for        ^  gap 1                   gap 2               gap 3, without end
//! ```
//! An operation goes into the first gap at or after the instant it is asked for that holds all of
//! it; what is booked already stays where it is. What changes a block keeps its order within that
//! block ([`Book::after_block`]).
//!
//! Invariants: bookings are disjoint and ascending, none is empty, none reaches before the end of
//! what was forgotten. Memory is bounded: bookings that ended before anything can be asked for are
//! forgotten, and beyond [`Book::MAX_BOOKINGS`] the oldest are, with the idle time before them.

use state::{state, state_enum, Decoder, Encoder, State};

/// A block's number, unique within the drive: blocks of different superblocks never share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockId(pub u32);

/// What an operation does to its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    #[default]
    Read,
    /// Puts something into it.
    Write,
    /// Erases it.
    Erase,
}

/// A firm booking of `[start, end)`, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Booked {
    pub start: u64,
    pub end: u64,
    pub block: BlockId,
    pub kind: Kind,
}

impl Booked {
    /// Whether what is to be done to `block` has to wait until this is over.
    #[inline]
    fn comes_before(&self, block: BlockId, kind: Kind) -> bool {
        match kind {
            Kind::Read => false,
            Kind::Write => self.block == block && self.kind != Kind::Read,
            Kind::Erase => self.block == block,
        }
    }
}

/// The bookings of one plane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    busy: Vec<Booked>,
    /// End of what was forgotten.
    floor: u64,
    /// What is past is forgotten when there are so many.
    most: usize,
    /// The last booking, forgotten or not.
    last: Booked,
}

impl State for BlockId {
    fn encode(&self, out: &mut Encoder) {
        self.0.encode(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        self.0.decode(from)
    }
}

state_enum!(Kind {
    Read = 0,
    Write = 1,
    Erase = 2,
});
state!(Booked {
    start,
    end,
    block,
    kind
});
state!(Book { busy, floor, most; last } => restore);

impl Book {
    /// Bookings kept. A drive whose queues are full of one plane's reads has as many.
    pub const MAX_BOOKINGS: usize = 1024;

    /// So many are kept before what is past is forgotten, at least.
    const FEW_BOOKINGS: usize = 32;

    /// End of everything that is booked.
    pub const fn end(&self) -> u64 {
        self.last.end
    }

    /// When an operation asked for at `from` starts if it comes after everything booked: nothing is
    /// booked from then on, or last something that it has to follow ([`Book::after_block`]). `None`
    /// if it may go into a gap.
    #[inline]
    pub fn at_end(&self, from: u64, block: BlockId, kind: Kind) -> Option<u64> {
        if self.last.end <= from {
            return Some(from);
        }
        let follows = self.last.comes_before(block, kind);
        follows.then_some(self.last.end)
    }

    /// Where the first gap at or after `from` begins that `holds(start, end)`. The gap after
    /// everything booked holds whatever is asked for.
    pub fn first_gap(&self, from: u64, mut holds: impl FnMut(u64, u64) -> bool) -> u64 {
        let mut start = from.max(self.floor);
        let first = self.busy.partition_point(|b| b.end <= start);
        for next in self.busy.iter().skip(first) {
            if next.start >= start && holds(start, next.start) {
                return start;
            }
            start = start.max(next.end);
        }
        start
    }

    /// The first booking that starts at or after `from`.
    pub fn next(&self, from: u64) -> Option<&Booked> {
        let first = self.busy.partition_point(|b| b.start < from);
        self.busy.get(first)
    }

    /// When an operation of this kind on `block` asked for at `from` may start at the earliest:
    /// what changes a block goes after what is booked to change it, an erase after reads, too.
    pub fn after_block(&self, from: u64, block: BlockId, kind: Kind) -> u64 {
        let mut later = self.busy.iter().rev().take_while(|b| b.end > from);
        let last = later.find(|b| b.comes_before(block, kind));
        last.map_or(from, |b| b.end)
    }

    /// Whether an erase of a block has not ended at `at`.
    pub fn is_erasing(&self, block: BlockId, at: u64) -> bool {
        let mut later = self.busy.iter().rev().take_while(|b| b.end > at);
        later.any(|b| b.block == block && b.kind == Kind::Erase)
    }

    /// Books what [`Book::first_gap`] has placed. Nothing will be asked for before `horizon`.
    #[inline]
    pub fn insert(&mut self, booked: Booked, horizon: u64) {
        if booked.start >= booked.end {
            return;
        }
        if booked.start >= self.last.end && self.busy.len() < self.most {
            self.last = booked;
            self.busy.push(booked);
        } else {
            self.insert_before(booked, horizon);
        }
    }

    /// The same before other bookings, or when there is no room left.
    #[inline(never)]
    fn insert_before(&mut self, booked: Booked, horizon: u64) {
        if self.busy.len() >= self.most {
            self.make_room(horizon);
        }
        if booked.start >= self.last.end {
            self.last = booked;
        }
        let at = self.busy.partition_point(|b| b.end <= booked.start);
        self.busy.insert(at, booked);
        if self.busy.len() > Self::MAX_BOOKINGS {
            self.forget(1);
        }
    }

    /// What is booked from `at` on is given up; what lasts longer ends there.
    pub fn give_up(&mut self, at: u64) {
        while self.busy.last().is_some_and(|b| b.start >= at) {
            self.busy.pop();
        }
        if let Some(last) = self.busy.last_mut() {
            last.end = last.end.min(at);
        }
        self.last = self.last_kept();
    }

    /// Gives up what is booked from `now` on; returns for how long that would have been.
    pub fn power_cut(&mut self, now: u64) -> u64 {
        let later = self.busy.iter().rev().take_while(|b| b.end > now);
        let undone = later.map(|b| b.end - b.start.max(now)).sum();
        self.give_up(now);
        undone
    }

    /// The last booking that is kept; when what was forgotten ended, if there is none.
    fn last_kept(&self) -> Booked {
        let forgotten = Booked {
            end: self.floor,
            ..Booked::default()
        };
        self.busy.last().copied().unwrap_or(forgotten)
    }

    /// Forgets what ended at or before `horizon`, and makes room for as much again as is kept.
    fn make_room(&mut self, horizon: u64) {
        self.forget(self.busy.partition_point(|b| b.end <= horizon));
        let kept = self.busy.len();
        self.most = (2 * kept).clamp(Self::FEW_BOOKINGS, Self::MAX_BOOKINGS);
        self.busy.reserve(self.most + 1 - kept);
    }

    fn forget(&mut self, count: usize) {
        if let Some(last) = count.checked_sub(1).and_then(|i| self.busy.get(i)) {
            self.floor = last.end;
            self.busy.drain(..count);
        }
    }

    fn restore(&mut self) -> Result<(), state::Error> {
        self.last = self.last_kept();
        state::ensure!(self.most <= Self::MAX_BOOKINGS);
        self.check_invariants()
    }

    /// Is an error unless the bookings are ascending and disjoint.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        state::ensure!(self.busy.len() <= Self::MAX_BOOKINGS);
        let mut end = self.floor;
        for booked in &self.busy {
            state::ensure!(
                end <= booked.start && booked.start < booked.end,
                "{booked:?} after {end}"
            );
            end = booked.end;
        }
        state::ensure_eq!(end, self.end());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn booked(start: u64, end: u64, block: u32, kind: Kind) -> Booked {
        Booked {
            start,
            end,
            block: BlockId(block),
            kind,
        }
    }

    fn book() -> Book {
        let mut book = Book::default();
        book.insert(booked(50, 60, 2, Kind::Write), 0);
        book.insert(booked(10, 20, 1, Kind::Write), 0);
        book.insert(booked(20, 25, 3, Kind::Read), 0);
        book.check_invariants().unwrap();
        book
    }

    #[test]
    fn the_first_gap_that_holds_it_is_taken() {
        let book = book();
        let gap = |from, long| book.first_gap(from, |start, end| end - start >= long);
        assert_eq!(gap(0, 10), 0);
        assert_eq!(gap(0, 11), 25);
        assert_eq!(gap(24, 25), 25);
        assert_eq!(gap(26, 25), 60);
        assert_eq!(gap(55, 0), 60);
        assert_eq!(gap(70, 1000), 70);
        assert_eq!(book.end(), 60);
        assert_eq!(book.next(10).map(|b| b.start), Some(10));
        assert_eq!(book.next(11).map(|b| b.start), Some(20));
        assert_eq!(book.next(51), None);
    }

    #[test]
    fn what_changes_a_block_keeps_its_order() {
        let book = book();
        let after = |block, kind| book.after_block(5, BlockId(block), kind);
        assert_eq!(after(2, Kind::Read), 5);
        assert_eq!(after(2, Kind::Write), 60);
        assert_eq!(after(1, Kind::Erase), 20);
        assert_eq!(after(3, Kind::Write), 5);
        assert_eq!(after(3, Kind::Erase), 25);
    }

    #[test]
    fn what_is_booked_for_after_a_power_cut_is_given_up() {
        let mut book = book();
        assert_eq!(book.power_cut(22), 3 + 10);
        book.check_invariants().unwrap();
        assert_eq!(book.end(), 22);
        assert_eq!(book.first_gap(0, |start, end| end - start > 100), 22);
        assert_eq!(book.power_cut(22), 0);
    }

    #[test]
    fn what_was_forgotten_is_not_booked_again() {
        let mut book = book();
        book.make_room(20);
        assert_eq!(book.first_gap(0, |start, end| end > start), 25);
        book.check_invariants().unwrap();
        for i in 0..2 * Book::MAX_BOOKINGS as u64 {
            book.insert(booked(100 + 2 * i, 101 + 2 * i, 1, Kind::Read), 0);
            book.check_invariants().unwrap();
        }
        // The idle time before the oldest that is kept is given up.
        let first = 100 + 2 * Book::MAX_BOOKINGS as u64;
        let gap = book.first_gap(0, |start, end| end > start);
        assert_eq!(gap, first - 1);
    }
}
