// SPDX-License-Identifier: GPL-2.0-or-later
//! Which pages lie where in pSLC: both directions, sized by the pSLC, not by the drive.
//!
//! ```text
//!   location -> LPN   a flat array
//!   LPN -> location   open addressing over locations; the array above holds the key
//! ```
//! A zone's native pages need no entry: their place follows from the zone's superblock. What is
//! left is at most as many pages as the pSLC has, so a table of 1.5 x that size always has room:
//! about 10 bytes for each pSLC page.

use crate::superblock::{Loc, NONE};

/// The map of pages in pSLC.
#[derive(Clone, Debug)]
pub(crate) struct SlcTable {
    lpn_of: Vec<u32>,
    slots: Vec<Loc>,
    len: u32,
}

impl SlcTable {
    /// An empty map for `locations` pSLC pages (at most 2^30).
    pub fn new(locations: u32) -> Self {
        let slots = locations as usize + locations as usize / 2 + 2;
        Self {
            lpn_of: vec![NONE; locations as usize],
            slots: vec![NONE; slots],
            len: 0,
        }
    }

    /// Pages held.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// The page at `loc`, if a valid one is there.
    pub fn lpn(&self, loc: Loc) -> Option<u32> {
        self.lpn_of
            .get(loc as usize)
            .copied()
            .filter(|&n| n != NONE)
    }

    /// Where `lpn` is.
    pub fn get(&self, lpn: u32) -> Option<Loc> {
        let at = self.find(lpn);
        Some(self.slots[at]).filter(|&loc| loc != NONE)
    }

    /// Puts `lpn`, which is not held, at `loc`, which holds nothing.
    pub fn insert(&mut self, lpn: u32, loc: Loc) {
        let at = self.find(lpn);
        self.slots[at] = loc;
        self.lpn_of[loc as usize] = lpn;
        self.len += 1;
    }

    /// Takes `lpn` out; gives where it was.
    pub fn remove(&mut self, lpn: u32) -> Option<Loc> {
        let mut hole = self.find(lpn);
        let loc = self.slots[hole];
        if loc == NONE {
            return None;
        }
        self.lpn_of[loc as usize] = NONE;
        self.len -= 1;
        // Close the gap: pull back whatever would not be found past it.
        let mut at = hole;
        loop {
            at = self.next(at);
            let moved = self.slots[at];
            if moved == NONE {
                break;
            }
            let home = self.home(self.lpn_of[moved as usize]);
            let stays = if hole <= at {
                hole < home && home <= at
            } else {
                hole < home || home <= at
            };
            if !stays {
                self.slots[hole] = moved;
                hole = at;
            }
        }
        self.slots[hole] = NONE;
        Some(loc)
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
        while self.slots[at] != NONE && self.lpn_of[self.slots[at] as usize] != lpn {
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
            const LOCATIONS: u32 = 24;
            let mut table = SlcTable::new(LOCATIONS);
            let mut model = HashMap::new();
            for (n, insert) in ops {
                let lpn = n * 7919;
                let free = (0..LOCATIONS).find(|&l| table.lpn(l).is_none());
                match (insert && !model.contains_key(&lpn), free) {
                    (true, Some(loc)) => {
                        table.insert(lpn, loc);
                        model.insert(lpn, loc);
                    }
                    (true, None) => prop_assert_eq!(model.len(), LOCATIONS as usize),
                    (false, _) => prop_assert_eq!(table.remove(lpn), model.remove(&lpn)),
                }
                prop_assert_eq!(table.len() as usize, model.len());
                for lpn in (0..40).map(|n| n * 7919) {
                    prop_assert_eq!(table.get(lpn), model.get(&lpn).copied());
                    if let Some(loc) = table.get(lpn) {
                        prop_assert_eq!(table.lpn(loc), Some(lpn));
                    }
                }
            }
        }
    }
}
