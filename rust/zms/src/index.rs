// SPDX-License-Identifier: GPL-2.0-or-later
//! Where a page's copy is, for few pages of many: open addressing, sized once.
//!
//! Entries are (LPN + 1, location), 8 bytes; a fresh table is all zeroes, and zeroes come from the
//! host without memory behind them. The zoned namespace keeps its pages in pSLC here, a page-mapped
//! one the durable copies of pages that sit in incomplete wordlines. Such a copy can be of an older
//! version than the one that waits for its wordline: it is kept then, but is no backup.

use crate::superblock::Loc;
use state::{ensure, Decoder, Encoder, State};

/// In a location: the copy is of an older version.
const OLDER: u32 = 1 << 31;

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    slots: Vec<u64>,
    len: u32,
}

/// Runs of neighbours with neighbouring copies, ascending by page: where entries lie in the table does
/// not matter.
impl State for Index {
    fn encode(&self, out: &mut Encoder) {
        let Self { slots, len } = self;
        let mut entries: Vec<_> = slots.iter().copied().filter(|s| *s != 0).collect();
        entries.sort_unstable();
        len.encode(out);
        let (mut page, mut loc) = (0, 0);
        // Page and location are one more than before.
        for run in entries.chunk_by(|a, b| b.wrapping_sub(*a) == 1 << 32 | 1) {
            let Some(&first) = run.first() else { continue };
            let (at, to) = (first >> 32, first & u64::from(u32::MAX));
            out.put(run.len() as u64);
            out.put(at - page);
            out.put_step(loc, to);
            (page, loc) = (at + run.len() as u64, to + run.len() as u64);
        }
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        const END: u64 = 1 << 32;
        let mut left = from.take()?;
        // The search for a page ends at an empty slot.
        ensure!(left < self.slots.len() as u64, "{left} pages");
        let (mut page, mut loc) = (0, 0);
        while left > 0 {
            let n = from.take()?;
            page += from.take_below(END - page)?;
            loc = from.take_step(loc, END)?;
            ensure!(
                0 < n && n <= left && page > 0 && page + n <= END && loc + n <= END,
                "{n} copies of page {page} at {loc}"
            );
            for i in 0..n {
                // Both halves have 32 bits, and pages are numbered from 1 here.
                let at = self.find((page + i - 1) as u32);
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = (page + i) << 32 | (loc + i);
                }
                self.len += 1;
            }
            (page, loc, left) = (page + n, loc + n, left - n);
        }
        Ok(())
    }
}

impl Index {
    /// An empty table for `most` entries.
    pub fn new(most: u32) -> Self {
        let slots = most as usize + most as usize / 2 + 2;
        Self {
            slots: vec![0; slots],
            len: 0,
        }
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.slots.fill(0);
        self.len = 0;
    }

    /// Entries held.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Where `lpn`'s copy is.
    pub fn get(&self, lpn: u32) -> Option<Loc> {
        if self.len == 0 {
            return None;
        }
        self.slot(self.find(lpn)).map(|(_, loc)| loc)
    }

    /// The same if the copy is of the newest version outside of buffers.
    pub fn current(&self, lpn: u32) -> Option<Loc> {
        if self.len == 0 {
            return None;
        }
        let at = self.find(lpn);
        let older = self.slots.get(at).is_some_and(|s| *s as u32 & OLDER != 0);
        self.slot(at).map(|(_, loc)| loc).filter(|_| !older)
    }

    /// A newer version of the page exists.
    pub fn outdate(&mut self, lpn: u32) {
        let at = self.find(lpn);
        if let Some(slot) = self.slots.get_mut(at).filter(|s| **s != 0) {
            *slot |= u64::from(OLDER);
        }
    }

    /// The copy of `lpn`, which is held, was moved.
    pub fn relocate(&mut self, lpn: u32, loc: Loc) {
        let at = self.find(lpn);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = *slot & !u64::from(!OLDER) | u64::from(loc);
        }
    }

    /// Puts in where `lpn`'s copy of the newest version is; gives where the copy before was.
    pub fn insert(&mut self, lpn: u32, loc: Loc) -> Option<Loc> {
        let at = self.find(lpn);
        let before = self.slot(at).map(|(_, loc)| loc);
        self.len += u32::from(before.is_none());
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = (u64::from(lpn) + 1) << 32 | u64::from(loc);
        }
        before
    }

    /// Takes `lpn` out; gives where its copy was.
    pub fn remove(&mut self, lpn: u32) -> Option<Loc> {
        if self.len == 0 {
            return None;
        }
        let mut hole = self.find(lpn);
        let (_, loc) = self.slot(hole)?;
        self.len -= 1;
        // Close the gap: pull back whatever would not be found past it.
        let mut at = hole;
        loop {
            at = self.next(at);
            let Some((moved, _)) = self.slot(at) else {
                break;
            };
            let home = self.home(moved);
            let stays = if hole <= at {
                hole < home && home <= at
            } else {
                hole < home || home <= at
            };
            if !stays {
                self.slots.swap(hole, at);
                hole = at;
            }
        }
        if let Some(slot) = self.slots.get_mut(hole) {
            *slot = 0;
        }
        Some(loc)
    }

    /// All entries, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Loc)> + '_ {
        (0..self.slots.len()).filter_map(|at| self.slot(at))
    }

    fn slot(&self, at: usize) -> Option<(u32, Loc)> {
        let slot = self.slots.get(at).copied().unwrap_or(0);
        // Both halves have 32 bits.
        let lpn = ((slot >> 32) as u32).checked_sub(1)?;
        Some((lpn, slot as u32 & !OLDER))
    }

    fn home(&self, lpn: u32) -> usize {
        let hash = u64::from(lpn.wrapping_mul(0x9E37_79B1));
        ((hash * self.slots.len() as u64) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() {
            0
        } else {
            at + 1
        }
    }

    /// The slot of `lpn`, or the empty one where it would go.
    fn find(&self, lpn: u32) -> usize {
        let mut at = self.home(lpn);
        while self.slot(at).is_some_and(|(held, _)| held != lpn) {
            at = self.next(at);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_is_a_map(ops in prop::collection::vec((0u32..40, prop::bool::ANY), 1..400)) {
            const ENTRIES: usize = 24;
            let mut index = Index::new(ENTRIES as u32);
            let mut model = HashMap::new();
            for (loc, (n, insert)) in (0u32..).zip(ops) {
                let lpn = n * 7919;
                if insert && (model.len() < ENTRIES || model.contains_key(&lpn)) {
                    prop_assert_eq!(index.insert(lpn, loc), model.insert(lpn, loc));
                } else {
                    prop_assert_eq!(index.remove(lpn), model.remove(&lpn));
                }
                prop_assert_eq!(index.len() as usize, model.len());
                for lpn in (0..40).map(|n| n * 7919) {
                    prop_assert_eq!(index.get(lpn), model.get(&lpn).copied());
                }
                let mut all: Vec<_> = index.iter().collect();
                all.sort_unstable();
                let mut expected: Vec<_> = model.clone().into_iter().collect();
                expected.sort_unstable();
                prop_assert_eq!(all, expected);
            }
        }
    }
}
