// SPDX-License-Identifier: GPL-2.0-or-later
//! Which plane's background work is due next.
//!
//! Heaps of (instant, plane), earliest first: of all planes, and of those that a host command needs
//! something of. When a plane's next step changes, a new entry is added; older ones are stale, which
//! their stamp tells, and go when they come up or when they have become many.
//!
//! Invariant: at most one entry of a plane is not stale.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// When a plane's next step is due; at the same instant ends come before starts, then by plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub at: u64,
    pub starts: bool,
    pub plane: u32,
    stamp: u32,
}

/// What is due.
#[derive(Clone, Debug)]
pub(crate) struct Agenda {
    due: BinaryHeap<Reverse<Due>>,
    /// Entries of what a host command needs.
    forced: BinaryHeap<Reverse<Due>>,
    /// By plane.
    stamps: Vec<u32>,
    /// Entries that were not stale when they were counted last.
    current: usize,
}

impl Agenda {
    pub fn new(planes: usize) -> Self {
        Self {
            due: BinaryHeap::new(),
            forced: BinaryHeap::new(),
            stamps: vec![0; planes],
            current: 0,
        }
    }

    /// A plane's next step is due; what was known of it before is stale.
    pub fn add(&mut self, at: u64, starts: bool, plane: u32, is_needed: bool) {
        let stamp = &mut self.stamps[plane as usize];
        *stamp = stamp.wrapping_add(1);
        let due = Reverse(Due {
            at,
            starts,
            plane,
            stamp: *stamp,
        });
        if self.due.len() > 4 * self.current + 64 {
            let stamps = &self.stamps;
            self.due.retain(|d| stamps[d.0.plane as usize] == d.0.stamp);
            self.current = self.due.len();
        }
        self.due.push(due);
        if is_needed {
            self.forced.push(due);
        }
    }

    /// The next step that is due and begins before `now`, or ends by then.
    pub fn pop_due(&mut self, now: u64) -> Option<Due> {
        while let Some(&Reverse(due)) = self.due.peek() {
            if (due.at, due.starts) >= (now, true) {
                return None;
            }
            self.due.pop();
            if self.take(&due) {
                return Some(due);
            }
        }
        None
    }

    /// The next step of what a host command needs.
    pub fn pop_forced(&mut self) -> Option<Due> {
        while let Some(Reverse(due)) = self.forced.pop() {
            if self.take(&due) {
                return Some(due);
            }
        }
        None
    }

    /// Planes that something is due on.
    pub fn current(&self) -> impl Iterator<Item = usize> + '_ {
        let current = self.due.iter().filter(|d| self.is_current(&d.0));
        current.map(|d| d.0.plane as usize)
    }

    /// Makes an entry stale, in both heaps; says whether it was not.
    fn take(&mut self, due: &Due) -> bool {
        let current = self.is_current(due);
        if current {
            let stamp = &mut self.stamps[due.plane as usize];
            *stamp = stamp.wrapping_add(1);
        }
        current
    }

    fn is_current(&self, due: &Due) -> bool {
        self.stamps[due.plane as usize] == due.stamp
    }
}
