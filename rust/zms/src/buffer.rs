// SPDX-License-Identifier: GPL-2.0-or-later
//! Write buffers that zones compete for, and the policy that shares them out (zms-model §4.2).
//!
//! A buffer holds contiguous pages of one zone. It is *empty* from the moment its flush is issued,
//! and *free* once the flush's operations have ended (or its last piece has arrived): the next
//! data enters then.

use crate::config::BufferPolicy;
use crate::superblock::NONE;
use state::state;
use units::{Instant, Nanos};

/// One buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    /// The zone whose pages it holds; [`NONE`] if empty.
    pub zone: u32,
    /// Pages held.
    pub pages: u32,
    /// When it can take more.
    pub free: Instant,
    /// When the first of its pages arrived.
    pub since: Instant,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub buffer: usize,
    /// It holds another zone's data, which must be flushed first.
    pub evict: bool,
}

/// All buffers of the zoned namespace.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    list: Vec<Buffer>,
    /// Pages of each.
    pub capacity: u32,
    policy: BufferPolicy,
    dwell: Option<Nanos>,
    /// Pages in all of them.
    held: u64,
}

state!(Buffer {
    zone,
    pages,
    free,
    since
});
state!(Buffers { list[fixed]; capacity, policy, dwell, held } => restore);

impl Buffers {
    pub fn new(count: u32, capacity: u32, policy: BufferPolicy, dwell: Option<Nanos>) -> Self {
        let empty = Buffer {
            zone: NONE,
            pages: 0,
            free: Instant::ZERO,
            since: Instant::ZERO,
        };
        Self {
            list: vec![empty; count as usize],
            capacity,
            policy,
            dwell,
            held: 0,
        }
    }

    /// Counts what was decoded.
    fn restore(&mut self) -> Result<(), state::Error> {
        self.held = 0;
        for buffer in &self.list {
            state::ensure!(buffer.pages <= self.capacity);
            state::ensure_eq!(buffer.pages == 0, buffer.zone == NONE);
            self.held += u64::from(buffer.pages);
        }
        Ok(())
    }

    /// Pages held by all of them.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// The same with another buffer that is being flushed.
    pub fn held_and_next(&self) -> u64 {
        self.held + u64::from(self.capacity)
    }

    /// Changes the dwell window, for what is buffered too.
    pub fn set_dwell(&mut self, dwell: Option<Nanos>) {
        self.dwell = dwell;
    }

    pub fn get(&self, index: usize) -> Buffer {
        self.list[index]
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &Buffer)> {
        self.list.iter().enumerate()
    }

    /// The buffer that a write to `zone` uses. `own` is the one that holds its data, if any.
    pub fn choose(&self, zone: u32, own: Option<usize>, now: Instant) -> Choice {
        match self.policy {
            BufferPolicy::Static => self.choose_static(own, now),
            BufferPolicy::Modulo => {
                let buffer = zone as usize % self.list.len();
                let b = &self.list[buffer];
                Choice {
                    buffer,
                    evict: b.pages > 0 && b.zone != zone,
                }
            }
        }
    }

    fn choose_static(&self, own: Option<usize>, now: Instant) -> Choice {
        if let Some(buffer) = own {
            return Choice {
                buffer,
                evict: false,
            };
        }
        let empty = || self.iter().filter(|(_, b)| b.pages == 0);
        let free = empty().find(|(_, b)| b.free <= now);
        let soonest = || empty().min_by_key(|(i, b)| (b.free, *i));
        if let Some((buffer, _)) = free.or_else(soonest) {
            return Choice {
                buffer,
                evict: false,
            };
        }
        let fullest = self
            .iter()
            .max_by_key(|(i, b)| (b.pages, core::cmp::Reverse(*i)));
        Choice {
            buffer: fullest.map_or(0, |(i, _)| i),
            evict: true,
        }
    }

    /// `pages` more of `zone` have arrived at `at`.
    pub fn fill(&mut self, index: usize, zone: u32, pages: u32, at: Instant) {
        let b = &mut self.list[index];
        if b.pages == 0 {
            b.since = at;
        }
        b.zone = zone;
        b.pages += pages;
        b.free = at;
        self.held += u64::from(pages);
    }

    /// Takes everything out: the zone and its pages. The buffer stays busy until `free` is set.
    pub fn empty(&mut self, index: usize) -> (u32, u32) {
        let b = &mut self.list[index];
        let pages = core::mem::take(&mut b.pages);
        self.held -= u64::from(pages);
        (core::mem::replace(&mut b.zone, NONE), pages)
    }

    /// The flush that emptied it ends at `at`.
    pub fn set_free(&mut self, index: usize, at: Instant) {
        self.list[index].free = at;
    }

    /// Power goes at `at`, and what they held.
    pub fn power_cut(&mut self, at: Instant) {
        for index in 0..self.list.len() {
            self.empty(index);
            self.set_free(index, at);
        }
    }

    /// A part of the flush that emptied it ends later: at `at`.
    pub fn moved(&mut self, index: u32, at: Instant) {
        if let Some(b) = self.list.get_mut(index as usize).filter(|b| b.pages == 0) {
            b.free = b.free.max(at);
        }
    }

    /// The next dwell window to end: which buffer, and when its flush is to be issued.
    pub fn next_window(&self) -> Option<(usize, Instant)> {
        let window = self.dwell?;
        self.iter()
            .filter(|(_, b)| b.pages > 0)
            .map(|(i, b)| (i, (b.since + window).max(b.free)))
            .min_by_key(|&(i, at)| (at, i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    #[test]
    fn static_policy_prefers_own_then_empty_then_soonest_then_fullest() {
        let mut b = Buffers::new(3, 8, BufferPolicy::Static, None);
        let plain = |buffer| Choice {
            buffer,
            evict: false,
        };
        b.fill(1, 7, 2, at(10));
        assert_eq!(b.choose(7, Some(1), at(20)), plain(1));
        assert_eq!(b.choose(8, None, at(20)), plain(0));
        b.set_free(0, at(100));
        b.set_free(2, at(90));
        assert_eq!(b.choose(8, None, at(20)), plain(2));
        b.set_free(0, at(90));
        assert_eq!(b.choose(8, None, at(20)), plain(0));
        b.fill(0, 8, 5, at(100));
        b.fill(2, 9, 5, at(100));
        assert_eq!(
            b.choose(3, None, at(200)),
            Choice {
                buffer: 0,
                evict: true
            }
        );
    }

    #[test]
    fn modulo_policy_evicts_whoever_is_there() {
        let mut b = Buffers::new(2, 8, BufferPolicy::Modulo, None);
        assert_eq!(
            b.choose(5, None, at(0)),
            Choice {
                buffer: 1,
                evict: false
            }
        );
        b.fill(1, 5, 1, at(0));
        assert_eq!(
            b.choose(5, Some(1), at(0)),
            Choice {
                buffer: 1,
                evict: false
            }
        );
        assert_eq!(
            b.choose(7, None, at(0)),
            Choice {
                buffer: 1,
                evict: true
            }
        );
    }

    #[test]
    fn a_window_runs_from_the_first_page_and_waits_for_the_buffer() {
        let mut b = Buffers::new(2, 8, BufferPolicy::Static, Some(Nanos::new(100)));
        assert_eq!(b.next_window(), None);
        b.fill(1, 5, 1, at(10));
        b.fill(1, 5, 1, at(50));
        assert_eq!(b.next_window(), Some((1, at(110))));
        b.set_free(1, at(200));
        assert_eq!(b.next_window(), Some((1, at(200))));
        assert_eq!(b.empty(1), (5, 2));
        assert_eq!(b.next_window(), None);
    }
}
