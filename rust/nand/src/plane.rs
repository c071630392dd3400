// SPDX-License-Identifier: GPL-2.0-or-later
//! One plane's schedule: operations in order, background ones overtaken by the user's.
//!
//! ```text
//!   now     free                 background work, not started
//!    |--------|[ read 7 ][ read 7 ][ program 9 ] ...
//!             ^ a user operation on block 3 goes in here; the rest shifts by what it takes
//! ```
//! A user operation waits for background work that has started, and for any on its own block.

use std::collections::VecDeque;
use units::{Instant, Nanos};

/// A block's number, unique within the drive: blocks of different superblocks never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId(pub u32);

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
    /// End of the background operation retired last.
    retired: u64,
    pub(crate) stats: PlaneStats,
}

impl Plane {
    /// When a user operation on `block` asked for at `at` starts.
    pub(crate) fn user_start(&mut self, at: Instant, block: BlockId) -> Instant {
        let mut start = at.as_nanos().max(self.free);
        if self.queue.is_empty() {
            return Instant::from_nanos(start);
        }
        while let Some(front) = self.queue.front() {
            if front.start.saturating_add(self.shift) >= start {
                break;
            }
            start = start.max(front.end.saturating_add(self.shift));
            self.retire();
        }
        while self.queue.iter().any(|q| q.block == block) {
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
        let last = self
            .queue
            .back()
            .map_or(0, |q| q.end.saturating_add(self.shift));
        Instant::from_nanos(at.as_nanos().max(self.free).max(last))
    }

    /// Books a background operation that [`Plane::background_start`] has placed.
    pub(crate) fn book_background(
        &mut self,
        asked: Instant,
        block: BlockId,
        start: Instant,
        end: Instant,
    ) {
        if self.queue.is_empty() {
            self.shift = 0;
        }
        self.queue.push_back(Queued {
            start: start.as_nanos().saturating_sub(self.shift),
            end: end.as_nanos().saturating_sub(self.shift),
            block,
        });
        self.account(asked, start, end);
    }

    /// End of the last background operation, as it stands now.
    pub(crate) fn background_end(&self) -> Instant {
        let last = self
            .queue
            .back()
            .map_or(self.retired, |q| q.end.saturating_add(self.shift));
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
            self.retired = front.end.saturating_add(self.shift);
            self.free = self.free.max(self.retired);
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
        let start = plane.user_start(at(asked), block);
        let end = start + Nanos::new(takes);
        plane.book_user(at(asked), start, end);
        (start.as_nanos(), end.as_nanos())
    }

    fn background(plane: &mut Plane, asked: u64, block: BlockId, takes: u64) -> (u64, u64) {
        let start = plane.background_start(at(asked));
        let end = start + Nanos::new(takes);
        plane.book_background(at(asked), block, start, end);
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
