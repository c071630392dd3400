// SPDX-License-Identifier: GPL-2.0-or-later
//! One plane's schedule: operations in order, background ones overtaken by the user's.
//!
//! ```text
//!   now     free                 background work, not started
//!    |--------|[ read 7 ][ read 7 ][ program 9 ] ...
//!             ^ a user operation on block 3 goes in here; the rest shifts by what it takes
//! ```
//! Under [`Yield::Queued`] a user operation waits for background work that has started, and, unless
//! it is a read, for any on its own block; what it overtakes shifts. Under [`Yield::Suspend`] it
//! waits for none: a running background program or erase is suspended, and the end that was planned
//! for background work stands.

use crate::Booking;
use std::collections::VecDeque;
use units::{Instant, Nanos};

/// A block's number, unique within the drive: blocks of different superblocks never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId(pub u32);

/// When background work makes way for user operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Yield {
    /// Always: what runs is suspended, at no cost (program and erase suspend).
    #[default]
    Suspend,
    /// As long as it has not started.
    Queued,
}

/// What a plane has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneStats {
    /// Time it was busy, waiting for its channel included.
    pub busy: Nanos,
    /// Operations.
    pub operations: u64,
    /// The longest that an operation waited for the plane.
    pub longest_wait: Nanos,
}

/// A background operation that may still be overtaken; times are before [`Plane::shift`].
#[derive(Clone, Copy, Debug)]
struct Queued {
    start: u64,
    end: u64,
    block: BlockId,
}

/// One plane's reservations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plane {
    /// End of everything that cannot be overtaken any more.
    free: u64,
    queue: VecDeque<Queued>,
    /// Added to the times in `queue`: what user operations took so far.
    shift: u64,
    /// End of the last background operation: as planned, or, when queued, as retired.
    planned: u64,
    pub(crate) stats: PlaneStats,
}

impl Plane {
    /// When a user operation asked for at `at` starts, after all work queued for `after`.
    pub(crate) fn user_start(&mut self, at: Instant, after: Option<BlockId>) -> Instant {
        let mut start = at.as_nanos().max(self.free);
        while let Some(front) = self.queue.front() {
            if front.start.saturating_add(self.shift) >= start {
                break;
            }
            start = start.max(front.end.saturating_add(self.shift));
            self.retire();
        }
        while after.is_some() && self.queue.iter().any(|q| Some(q.block) == after) {
            self.retire();
            start = start.max(self.free);
        }
        Instant::from_nanos(start)
    }

    /// Books a user operation that [`Plane::user_start`] has placed.
    pub(crate) fn book_user(&mut self, asked: Instant, start: Instant, end: Instant) {
        self.free = end.as_nanos();
        if !self.queue.is_empty() {
            self.shift = self.shift.saturating_add(end.since(start).get());
        }
        self.account(asked, start, end);
    }

    /// When a background operation asked for at `at` starts.
    pub(crate) fn background_start(&self, at: Instant) -> Instant {
        at.max(Instant::from_nanos(self.free))
            .max(self.background_end())
    }

    /// Books a background operation that [`Plane::background_start`] has placed.
    pub(crate) fn book_background(
        &mut self,
        rule: Yield,
        block: BlockId,
        asked: Instant,
        Booking { start, end }: Booking,
    ) {
        match rule {
            Yield::Suspend => self.planned = end.as_nanos(),
            Yield::Queued => {
                if self.queue.is_empty() {
                    self.shift = 0;
                }
                self.queue.push_back(Queued {
                    start: start.as_nanos().saturating_sub(self.shift),
                    end: end.as_nanos().saturating_sub(self.shift),
                    block,
                });
            }
        }
        self.account(asked, start, end);
    }

    /// End of the last background operation, as it stands now.
    pub(crate) fn background_end(&self) -> Instant {
        let last = self
            .queue
            .back()
            .map_or(self.planned, |q| q.end.saturating_add(self.shift));
        Instant::from_nanos(last)
    }

    /// End of everything booked, background work included.
    #[cfg(test)]
    pub(crate) fn idle_at(&self) -> Instant {
        self.background_start(Instant::ZERO)
    }

    /// Retires background operations that have started by `now`: bounds the queue.
    pub(crate) fn prune(&mut self, now: Instant) {
        while let Some(front) = self.queue.front() {
            if front.start.saturating_add(self.shift) >= now.as_nanos() {
                break;
            }
            self.retire();
        }
    }

    fn retire(&mut self) {
        if let Some(front) = self.queue.pop_front() {
            self.planned = front.end.saturating_add(self.shift);
            self.free = self.free.max(self.planned);
        }
    }

    fn account(&mut self, asked: Instant, start: Instant, end: Instant) {
        self.stats.operations += 1;
        self.stats.busy += end.since(start);
        self.stats.longest_wait = self.stats.longest_wait.max(start.since(asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BlockId = BlockId(1);
    const B: BlockId = BlockId(2);

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    fn user(plane: &mut Plane, asked: u64, block: BlockId, takes: u64) -> (u64, u64) {
        let start = plane.user_start(at(asked), Some(block));
        let end = start + Nanos::new(takes);
        plane.book_user(at(asked), start, end);
        (start.as_nanos(), end.as_nanos())
    }

    fn background(plane: &mut Plane, asked: u64, block: BlockId, takes: u64) -> (u64, u64) {
        let start = plane.background_start(at(asked));
        let end = start + Nanos::new(takes);
        plane.book_background(Yield::Queued, block, at(asked), Booking { start, end });
        (start.as_nanos(), end.as_nanos())
    }

    #[test]
    fn operations_follow_each_other() {
        let mut plane = Plane::default();
        assert_eq!(user(&mut plane, 5, A, 10), (5, 15));
        assert_eq!(user(&mut plane, 6, B, 10), (15, 25));
        assert_eq!(background(&mut plane, 0, B, 10), (25, 35));
        assert_eq!(plane.stats.busy, Nanos::new(30));
        assert_eq!(plane.stats.longest_wait, Nanos::new(25));
    }

    #[test]
    fn a_user_operation_overtakes_what_has_not_started() {
        let mut plane = Plane::default();
        for _ in 0..3 {
            background(&mut plane, 0, A, 100);
        }
        // The first runs since 0; the second and third shift by 10.
        assert_eq!(user(&mut plane, 50, B, 10), (100, 110));
        assert_eq!(plane.idle_at(), at(310));
        // At exactly its start an operation has not started yet.
        assert_eq!(user(&mut plane, 110, B, 10), (110, 120));
        assert_eq!(plane.idle_at(), at(320));
        // Work on its own block goes first.
        assert_eq!(user(&mut plane, 121, A, 10), (320, 330));
        assert_eq!(plane.idle_at(), at(330));
    }

    #[test]
    fn background_work_is_suspended_and_its_planned_end_stands() {
        let mut plane = Plane::default();
        let start = plane.background_start(at(5));
        let end = start + Nanos::new(100);
        plane.book_background(Yield::Suspend, A, at(5), Booking { start, end });
        assert_eq!(user(&mut plane, 50, A, 10), (50, 60));
        assert_eq!(plane.background_end(), at(105));
        assert_eq!(plane.background_start(at(0)), at(105));
    }

    #[test]
    fn pruning_changes_no_answer() {
        let mut plane = Plane::default();
        for _ in 0..3 {
            background(&mut plane, 0, A, 100);
        }
        let mut pruned = plane.clone();
        pruned.prune(at(150));
        assert_eq!(pruned.queue.len(), 1);
        assert_eq!(user(&mut pruned, 150, B, 7), user(&mut plane, 150, B, 7));
        assert_eq!(pruned.idle_at(), plane.idle_at());
    }
}
