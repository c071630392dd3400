// SPDX-License-Identifier: GPL-2.0-or-later
//! Superblocks: free, open or closed; and who is the next victim.
//!
//! ```text
//!   valid pages:   0      1      2      3  ...        lists, oldest first; `least` is a lower bound
//!                 [ ]    [7]->[4]     [9]              of the first that is not empty
//! ```
//! Every operation is O(1), except that finding the victim may pass over empty lists that
//! invalidations have left behind.

use state::{ensure, numbers, state, state_enum, Decoder, Encoder, Fixed, State};
use std::collections::VecDeque;
use units::Instant;

/// No superblock.
const NONE: u32 = u32::MAX;

/// What a superblock is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Erased.
    Free,
    /// Being written, or emptied.
    Open,
    /// Written to its end; in the list of its number of valid pages.
    Closed,
}

#[derive(Clone, Copy, Debug)]
struct Superblock {
    valid: u32,
    erases: u32,
    /// When the newer versions of pages that were in it are all programmed, as far as issued.
    settled: Instant,
    prev: u32,
    next: u32,
    usage: Use,
}

/// All superblocks of a partition.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    blocks: Vec<Superblock>,
    free: VecDeque<u32>,
    /// First and last of each list, by valid pages.
    lists: Vec<(u32, u32)>,
    least: usize,
}

state_enum!(Use {
    Free = 0,
    Open = 1,
    Closed = 2,
});
state!(Superblock { valid, erases, settled, usage; prev, next });

/// Superblocks, free ones and closed ones in the order of their lists.
impl State for Pool {
    fn encode(&self, out: &mut Encoder) {
        let Self {
            blocks,
            free,
            lists: _,
            least: _,
        } = self;
        blocks.encode_fixed(out);
        numbers::encode(free, out);
        numbers::encode(&self.closed(), out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        let mut closed = Vec::new();
        self.blocks.decode_fixed(from)?;
        numbers::decode(&mut self.free, from)?;
        numbers::decode(&mut closed, from)?;
        self.check_list(self.free.iter(), Use::Free)?;
        self.check_list(closed.iter(), Use::Closed)?;
        closed.iter().for_each(|&superblock| self.link(superblock));
        Ok(())
    }
}

impl Pool {
    /// `superblocks` erased ones of `pages` pages each.
    pub fn new(superblocks: u32, pages: u32) -> Self {
        let erased = Superblock {
            valid: 0,
            erases: 0,
            settled: Instant::ZERO,
            prev: NONE,
            next: NONE,
            usage: Use::Free,
        };
        Self {
            blocks: vec![erased; superblocks as usize],
            free: (0..superblocks).collect(),
            lists: vec![(NONE, NONE); pages as usize + 1],
            least: pages as usize,
        }
    }

    /// Erased superblocks.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Takes the superblock that has been free longest.
    pub fn take(&mut self) -> Option<u32> {
        let taken = self.free.pop_front()?;
        if let Some(block) = self.blocks.get_mut(taken as usize) {
            block.usage = Use::Open;
        }
        Some(taken)
    }

    /// An open superblock has been written to its end.
    pub fn close(&mut self, superblock: u32) {
        if let Some(block) = self.blocks.get_mut(superblock as usize) {
            block.usage = Use::Closed;
            self.link(superblock);
        }
    }

    /// Takes the superblock with the fewest valid pages, at least one page being invalid.
    pub fn take_victim(&mut self) -> Option<u32> {
        let pages = self.lists.len() - 1;
        while self.least < pages {
            match self.lists.get(self.least) {
                Some(&(first, _)) if first != NONE => {
                    self.unlink(first);
                    if let Some(block) = self.blocks.get_mut(first as usize) {
                        block.usage = Use::Open;
                    }
                    return Some(first);
                }
                _ => self.least += 1,
            }
        }
        None
    }

    /// Valid pages of a superblock.
    pub fn valid(&self, superblock: u32) -> u32 {
        self.blocks.get(superblock as usize).map_or(0, |b| b.valid)
    }

    /// A newer version of a page that is or was in a superblock is programmed from `at` on.
    pub fn settle(&mut self, superblock: u32, at: Instant) {
        if let Some(block) = self.blocks.get_mut(superblock as usize) {
            block.settled = block.settled.max(at);
        }
    }

    /// When the newer versions of what was in a superblock are programmed.
    pub fn settled(&self, superblock: u32) -> Instant {
        let block = self.blocks.get(superblock as usize);
        block.map_or(Instant::ZERO, |b| b.settled)
    }

    /// An open superblock has been erased, or will have been when something is programmed into it.
    pub fn erased(&mut self, superblock: u32) {
        if let Some(block) = self.blocks.get_mut(superblock as usize) {
            block.usage = Use::Free;
            block.erases = block.erases.saturating_add(1);
            self.free.push_back(superblock);
        }
    }

    /// One more valid page in an open superblock.
    pub fn add_valid(&mut self, superblock: u32) {
        if let Some(block) = self.blocks.get_mut(superblock as usize) {
            block.valid += 1;
        }
    }

    /// One valid page fewer.
    pub fn remove_valid(&mut self, superblock: u32) {
        let Some(block) = self.blocks.get(superblock as usize) else {
            return;
        };
        let listed = block.usage == Use::Closed;
        if listed {
            self.unlink(superblock);
        }
        if let Some(block) = self.blocks.get_mut(superblock as usize) {
            block.valid = block.valid.saturating_sub(1);
        }
        if listed {
            self.link(superblock);
        }
    }

    /// After a power cut superblocks have so many `valid` pages, of which none is entered yet; these are `open`; the last
    /// erase of those that are `dirty` was not. Those that are empty and were in use, or are dirty, are open, and given:
    /// they are to be erased.
    pub fn power_cut(&mut self, valid: &[u32], open: &[Option<u32>], dirty: &[u32]) -> Vec<u32> {
        let mut empty = Vec::new();
        self.lists.fill((NONE, NONE));
        self.least = self.lists.len() - 1;
        for ((sb, block), valid) in (0..).zip(&mut self.blocks).zip(valid) {
            let is_dirty = dirty.contains(&sb);
            let is_clean = block.usage == Use::Free && !is_dirty;
            block.erases -= u32::from(block.erases > 0 && is_dirty);
            block.valid = 0;
            block.settled = Instant::ZERO;
            block.usage = match *valid {
                0 if is_clean => Use::Free,
                0 => Use::Open,
                _ if open.contains(&Some(sb)) => Use::Open,
                _ => Use::Closed,
            };
            if *valid == 0 && !is_clean {
                empty.push(sb);
            }
        }
        let blocks = &self.blocks;
        let is_free = |sb: &u32| {
            blocks
                .get(*sb as usize)
                .is_some_and(|b| b.usage == Use::Free)
        };
        self.free.retain(is_free);
        empty
    }

    /// All valid pages are entered: closed superblocks are listed.
    pub fn link_closed(&mut self) {
        let closed = |b: &(usize, &Superblock)| b.1.usage == Use::Closed;
        let all = self.blocks.iter().enumerate().filter(closed);
        let all: Vec<u32> = all.map(|(sb, _)| sb as u32).collect();
        all.into_iter().for_each(|sb| self.link(sb));
    }

    /// Whether a superblock is being written or emptied.
    pub fn is_open(&self, superblock: u32) -> bool {
        let block = self.blocks.get(superblock as usize);
        block.is_some_and(|b| b.usage == Use::Open)
    }

    /// How many are.
    pub fn open(&self) -> usize {
        self.blocks.iter().filter(|b| b.usage == Use::Open).count()
    }

    /// Erases of each superblock.
    pub fn erases(&self) -> impl Iterator<Item = u32> + '_ {
        self.blocks.iter().map(|b| b.erases)
    }

    /// Is an error unless the lists hold just the closed superblocks, and the valid pages are `valid`'s.
    pub fn check_invariants(&self, valid: impl Fn(u32) -> u32) -> Result<(), state::Error> {
        let mut listed = 0;
        for (count, &(first, last)) in self.lists.iter().enumerate() {
            let (mut at, mut prev) = (first, NONE);
            while let Some(block) = self.blocks.get(at as usize) {
                state::ensure_eq!((block.usage, block.valid as usize), (Use::Closed, count));
                state::ensure_eq!(block.prev, prev);
                state::ensure!(count >= self.least);
                listed += 1;
                (prev, at) = (at, block.next);
            }
            state::ensure_eq!(prev, last);
        }
        let used = |usage| self.blocks.iter().filter(|b| b.usage == usage).count();
        state::ensure_eq!(
            (listed, self.free.len()),
            (used(Use::Closed), used(Use::Free))
        );
        for (index, block) in (0..).zip(&self.blocks) {
            state::ensure_eq!(block.valid, valid(index), "superblock {index}");
        }
        Ok(())
    }

    /// Closed superblocks by valid pages; of those with as many, those that came there first.
    fn closed(&self) -> Vec<u32> {
        let mut closed = Vec::new();
        for &(first, _) in &self.lists {
            let next = |sb: &u32| Some(self.blocks.get(*sb as usize)?.next).filter(|n| *n != NONE);
            closed.extend(core::iter::successors(
                Some(first).filter(|f| *f != NONE),
                next,
            ));
        }
        closed
    }

    /// Is an error unless a list has each superblock of a use once.
    fn check_list<'a>(
        &self,
        list: impl Iterator<Item = &'a u32>,
        usage: Use,
    ) -> Result<(), state::Error> {
        let mut missing: Vec<_> = self.blocks.iter().map(|b| b.usage == usage).collect();
        for superblock in list {
            let missing = missing.get_mut(*superblock as usize);
            ensure!(
                missing.is_some_and(core::mem::take),
                "superblock {superblock} is not {usage:?}, or listed twice"
            );
        }
        ensure!(
            !missing.contains(&true),
            "a superblock that is {usage:?} is not listed"
        );
        let pages = self.lists.len() - 1;
        let most = self.blocks.iter().map(|b| b.valid as usize).max();
        ensure!(
            most.is_none_or(|most| most <= pages),
            "{most:?} valid pages of {pages}"
        );
        Ok(())
    }

    fn link(&mut self, superblock: u32) {
        let Some(block) = self.blocks.get_mut(superblock as usize) else {
            return;
        };
        let count = block.valid as usize;
        let Some(list) = self.lists.get_mut(count) else {
            return;
        };
        let last = list.1;
        (block.prev, block.next) = (last, NONE);
        list.1 = superblock;
        if last == NONE {
            list.0 = superblock;
        } else if let Some(last) = self.blocks.get_mut(last as usize) {
            last.next = superblock;
        }
        self.least = self.least.min(count);
    }

    fn unlink(&mut self, superblock: u32) {
        let Some(&Superblock {
            valid, prev, next, ..
        }) = self.blocks.get(superblock as usize)
        else {
            return;
        };
        let Some(list) = self.lists.get_mut(valid as usize) else {
            return;
        };
        if prev == NONE {
            list.0 = next;
        } else if let Some(prev) = self.blocks.get_mut(prev as usize) {
            prev.next = next;
        }
        if next == NONE {
            list.1 = prev;
        } else if let Some(next) = self.blocks.get_mut(next as usize) {
            next.prev = prev;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_victim_has_the_fewest_valid_pages_and_came_there_first() {
        let mut pool = Pool::new(4, 3);
        for n in 0..4 {
            assert_eq!(pool.take(), Some(n));
            (0..3).for_each(|_| pool.add_valid(n));
            pool.close(n);
        }
        assert_eq!((pool.take(), pool.take_victim()), (None, None));
        pool.remove_valid(2);
        pool.remove_valid(1);
        pool.remove_valid(3);
        pool.remove_valid(3);
        pool.check_invariants(|n| [3, 2, 2, 1][n as usize]).unwrap();
        assert_eq!(pool.take_victim(), Some(3));
        assert_eq!(pool.take_victim(), Some(2));
        // Emptied and erased, it is free again.
        pool.remove_valid(3);
        pool.erased(3);
        pool.check_invariants(|n| [3, 2, 2, 0][n as usize]).unwrap();
        assert_eq!((pool.free(), pool.take()), (1, Some(3)));
        assert_eq!(pool.erases().collect::<Vec<_>>(), [0, 0, 0, 1]);
    }
}
