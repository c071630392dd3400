// SPDX-License-Identifier: GPL-2.0-or-later
//! A write buffer accounted in bytes: who waits how long for room.
//!
//! ```text
//!   admit(bytes) ---> held: [ incomplete one-shot pages | being programmed ........ ]
//!                                                          | release(end of program, bytes)
//! ```
//! A write needs room for all its bytes at once and waits for the programs that free it, in the
//! order of arrival: nobody is admitted before somebody who asked earlier. Nothing blocks; the
//! answer is the instant of admission.
//!
//! Invariants: what is held never exceeds the size; bytes are released exactly once; instants of
//! admission do not decrease.

use std::collections::VecDeque;
use units::{Bytes, Instant};

/// The buffer.
#[derive(Clone, Debug)]
pub struct ByteBuffer {
    size: u64,
    /// Bytes held at `admitted`, releases after that included.
    held: u64,
    /// The latest admission.
    admitted: Instant,
    /// Bytes that become free, ascending by instant.
    releases: VecDeque<(Instant, u64)>,
}

// What waits in it without a program its owner knows, who checks it therefore.
state::state!(ByteBuffer { held, admitted, releases; size });

impl ByteBuffer {
    /// An empty buffer of `size` bytes that is freed in portions of about `portion`.
    #[must_use]
    pub fn new(size: Bytes, portion: Bytes) -> Self {
        const MOST: u64 = 1 << 16;
        let portions = size.get() / portion.get().max(1) + 2;
        let capacity = usize::try_from(portions.min(MOST)).unwrap_or(0);
        Self {
            size: size.get(),
            held: 0,
            admitted: Instant::ZERO,
            releases: VecDeque::with_capacity(capacity),
        }
    }

    /// Takes `bytes` in; returns when there is room, at `now` or later. `None` if there never will
    /// be, with the programs issued so far; then nothing is taken in.
    pub fn admit(&mut self, now: Instant, bytes: Bytes) -> Option<Instant> {
        let bytes = bytes.get();
        let mut at = now.max(self.admitted);
        self.release_until(at);
        let promised: u64 = if bytes > self.size - self.held {
            self.releases.iter().map(|r| r.1).sum()
        } else {
            0
        };
        if bytes > self.size - self.held + promised {
            return None;
        }
        while bytes > self.size - self.held {
            let (when, freed) = self.releases.pop_front()?;
            self.held -= freed;
            at = at.max(when);
        }
        self.held += bytes;
        self.admitted = at;
        Some(at)
    }

    /// `bytes` that are held become free at `when`.
    pub fn release(&mut self, when: Instant, bytes: Bytes) {
        // Programs on equal planes mostly end in the order they were issued.
        let at = match self.releases.back() {
            Some(last) if last.0 > when => self.releases.partition_point(|r| r.0 <= when),
            _ => self.releases.len(),
        };
        self.releases.insert(at, (when, bytes.get()));
    }

    /// Is an error if more is held than fits, or more is to be released than is held; `waiting` is what
    /// its owner keeps in it without a program.
    pub fn check_invariants(&self, waiting: Bytes) -> Result<(), state::Error> {
        let releases = self.releases.iter();
        let promised = releases.fold(0u64, |sum, r| sum.saturating_add(r.1));
        state::ensure!(self.held <= self.size);
        state::ensure_eq!(self.held, promised.saturating_add(waiting.get()));
        state::ensure!(self.releases.iter().map(|r| r.0).is_sorted());
        Ok(())
    }

    fn release_until(&mut self, now: Instant) {
        while let Some(&(when, bytes)) = self.releases.front() {
            if when > now {
                break;
            }
            self.held -= bytes;
            self.releases.pop_front();
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

    fn buffer(size: u64) -> ByteBuffer {
        ByteBuffer::new(Bytes::new(size), Bytes::new(1))
    }

    #[test]
    fn a_write_waits_for_as_many_programs_as_it_needs() {
        let mut b = buffer(100);
        assert_eq!(b.admit(at(5), Bytes::new(60)), Some(at(5)));
        b.release(at(50), Bytes::new(40));
        b.release(at(40), Bytes::new(20));
        assert_eq!(b.admit(at(6), Bytes::new(40)), Some(at(6)));
        assert_eq!(b.admit(at(7), Bytes::new(21)), Some(at(50)));
        // Later ones do not overtake, though there is room.
        assert_eq!(b.admit(at(8), Bytes::new(1)), Some(at(50)));
        b.check_invariants(Bytes::new(62)).unwrap();
        assert_eq!(b.admit(at(60), Bytes::new(39)), None);
        assert_eq!(b.admit(at(60), Bytes::new(38)), Some(at(60)));
    }

    proptest! {
        /// Every admitted byte is freed 100 ns after its admission. Against a list of all of them.
        #[test]
        fn the_size_is_never_exceeded_and_order_is_kept(
            writes in prop::collection::vec((0u64..60, 1u64..=50), 1..60),
        ) {
            let mut b = buffer(50);
            let mut all: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            let mut latest = 0;
            for (pause, bytes) in writes {
                now += pause;
                let when = b.admit(at(now), Bytes::new(bytes)).unwrap().as_nanos();
                prop_assert!(when >= now && when >= latest);
                let held = |t: u64| -> u64 {
                    all.iter().filter(|w| w.0 + 100 > t).map(|w| w.1).sum()
                };
                prop_assert!(held(when) + bytes <= 50);
                // And no earlier instant would have done.
                prop_assert!(when == now.max(latest) || held(when - 1) + bytes > 50);
                latest = when;
                all.push((when, bytes));
                b.release(at(when + 100), Bytes::new(bytes));
                b.check_invariants(Bytes::ZERO).unwrap();
            }
        }
    }
}
