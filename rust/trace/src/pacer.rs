// SPDX-License-Identifier: GPL-2.0-or-later
//! When the commands of a trace arrive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use units::{Instant, Nanos};

/// Follows a trace's arrivals, or closes the loop at a queue depth.
///
/// Invariant: in a closed loop at most `depth` completions are remembered, in an open one none.
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    depth: usize,
    outstanding: BinaryHeap<Reverse<Instant>>,
    /// No command arrives before this.
    floor: Instant,
    last_completion: Instant,
}

impl Pacer {
    /// An open loop at the epoch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `depth` commands outstanding from now on; 0 follows the arrivals given.
    ///
    /// Commands that are outstanding beyond the new depth are waited for.
    pub fn set_depth(&mut self, depth: u32) {
        self.depth = usize::try_from(depth).unwrap_or(usize::MAX);
        if self.depth == 0 {
            self.outstanding.clear();
        }
    }

    /// The next command arrives `pause` after everything outstanding has completed.
    pub fn idle(&mut self, pause: Nanos) {
        self.outstanding.clear();
        self.floor = self.floor.max(self.last_completion) + pause;
    }

    /// When power goes, given what the trace says: not before the command that arrived last.
    #[must_use]
    pub fn power_cut(&self, given: Instant) -> Instant {
        self.floor.max(given)
    }

    /// It has come back: nothing is outstanding any more, and no command arrives before the drive is `ready`.
    pub fn restarted(&mut self, ready: Instant) {
        self.outstanding.clear();
        self.floor = self.floor.max(ready);
        self.last_completion = self.floor;
    }

    /// When the next command arrives, given what the trace says.
    pub fn arrival(&mut self, given: Instant) -> Instant {
        if self.depth == 0 {
            self.floor = self.floor.max(given);
            return self.floor;
        }
        while self.outstanding.len() >= self.depth {
            if let Some(Reverse(earliest)) = self.outstanding.pop() {
                self.floor = self.floor.max(earliest);
            }
        }
        self.floor
    }

    /// Takes note of the completion of the command that arrived last.
    pub fn completed(&mut self, at: Instant) {
        self.last_completion = self.last_completion.max(at);
        if self.depth > 0 {
            self.outstanding.push(Reverse(at));
        }
    }

    /// The latest completion so far.
    #[must_use]
    pub const fn last_completion(&self) -> Instant {
        self.last_completion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    #[test]
    fn a_closed_loop_waits_for_the_earliest_outstanding() {
        let mut pacer = Pacer::new();
        pacer.set_depth(2);
        for (completion, next_arrival) in [(100, 0), (50, 50), (70, 70), (300, 100)] {
            pacer.completed(at(completion));
            assert_eq!(pacer.arrival(at(0)), at(next_arrival));
        }
        pacer.idle(Nanos::new(5));
        assert_eq!(pacer.arrival(at(0)), at(305));
        assert_eq!(pacer.last_completion(), at(300));
    }

    #[test]
    fn a_power_cut_forgets_what_is_outstanding() {
        let mut pacer = Pacer::new();
        pacer.set_depth(2);
        pacer.completed(at(100));
        pacer.completed(at(900));
        assert_eq!(pacer.arrival(at(0)), at(100));
        assert_eq!(pacer.power_cut(at(50)), at(100));
        assert_eq!(pacer.power_cut(at(200)), at(200));
        pacer.restarted(at(300));
        assert_eq!(pacer.arrival(at(0)), at(300));
        pacer.idle(Nanos::new(5));
        assert_eq!(pacer.arrival(at(0)), at(305));
    }

    #[test]
    fn an_open_loop_follows_the_trace_but_not_back_in_time() {
        let mut pacer = Pacer::new();
        assert_eq!(pacer.arrival(at(10)), at(10));
        pacer.completed(at(1000));
        assert_eq!(pacer.arrival(at(5)), at(10));
        pacer.idle(Nanos::new(1));
        assert_eq!(pacer.arrival(at(20)), at(1001));
        assert!(pacer.outstanding.is_empty());
    }
}
