// SPDX-License-Identifier: GPL-2.0-or-later
//! The L2P cache: which parts of the map are in memory.
//!
//! ```text
//!   map in flash | 4 KiB of entries | 4 KiB of entries | ...      a segment each
//!   cache          most recent <-> ... <-> least recent           whole segments
//! ```
//! A read of mapped flash whose segment is not cached first reads that segment. Writes and collection
//! keep the map current without reads: their segments become the most recent.
//!
//! Invariants: never more segments than the capacity; the list is doubly linked, and what is not in
//! it has no links.
//!
//! Not modelled: writing changed segments back, and space for the map in flash.

use crate::L2p;
use state::{ensure, numbers, Decoder, Encoder, State};
use units::PAGE_BYTES;

/// Segments are numbered from 1, so that a fresh list is all zeroes and costs no memory.
const NONE: u32 = 0;

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    newer: u32,
    older: u32,
}

/// The cache.
#[derive(Clone, Debug)]
pub(crate) struct MapCache {
    /// Pages that a segment's entries are about.
    pages: u64,
    links: Vec<Link>,
    newest: u32,
    oldest: u32,
    len: u32,
    capacity: u32,
}

/// Cached segments, the least recent first.
impl State for MapCache {
    fn encode(&self, out: &mut Encoder) {
        let Self {
            pages: _,
            links: _,
            newest: _,
            oldest,
            len,
            capacity: _,
        } = self;
        let newer = |segment: &u32| Some(self.get(*segment).newer).filter(|s| *s != NONE);
        let first = Some(*oldest).filter(|s| *s != NONE);
        let mut segments = Vec::with_capacity(*len as usize);
        segments.extend(core::iter::successors(first, newer));
        numbers::encode(&segments, out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        let mut segments = Vec::new();
        numbers::decode(&mut segments, from)?;
        for segment in segments {
            let is_one = segment != NONE && (segment as usize) < self.links.len();
            ensure!(
                is_one && !self.contains(segment) && self.len < self.capacity,
                "segment {segment} cannot be cached"
            );
            self.link(segment);
        }
        Ok(())
    }
}

impl MapCache {
    /// An empty cache for a map of `pages`. The configuration has been validated.
    pub fn new(config: L2p, pages: u64) -> Self {
        let per_segment = (PAGE_BYTES / config.entry.get().max(1)).max(1);
        let segments = usize::try_from(pages.div_ceil(per_segment)).unwrap_or(0);
        let capacity = config.cache.get() / PAGE_BYTES;
        Self {
            pages: per_segment,
            links: vec![Link::default(); segments.saturating_add(1)],
            newest: NONE,
            oldest: NONE,
            len: 0,
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX).max(1),
        }
    }

    /// The segment that has a page's entry.
    pub fn segment(&self, page: u64) -> u32 {
        u32::try_from(page / self.pages + 1).unwrap_or(NONE)
    }

    /// Makes a segment the most recent; says whether it was cached.
    pub fn touch(&mut self, segment: u32) -> bool {
        let cached = self.contains(segment);
        if cached {
            self.unlink(segment);
        } else if self.len >= self.capacity {
            self.unlink(self.oldest);
        }
        self.link(segment);
        cached
    }

    fn contains(&self, segment: u32) -> bool {
        self.newest == segment || self.get(segment).newer != NONE
    }

    fn get(&self, segment: u32) -> Link {
        let link = self.links.get(segment as usize);
        link.copied().unwrap_or_default()
    }

    fn change(&mut self, segment: u32, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.get_mut(segment as usize) {
            change(link);
        }
    }

    fn link(&mut self, segment: u32) {
        let older = self.newest;
        self.change(segment, |link| link.older = older);
        match older {
            NONE => self.oldest = segment,
            _ => self.change(older, |link| link.newer = segment),
        }
        self.newest = segment;
        self.len += 1;
    }

    fn unlink(&mut self, segment: u32) {
        let Link { newer, older } = self.get(segment);
        match newer {
            NONE => self.newest = older,
            _ => self.change(newer, |link| link.older = older),
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.change(older, |link| link.newer = newer),
        }
        self.change(segment, |link| *link = Link::default());
        self.len -= 1;
    }

    /// Is an error if the list is broken.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        let (mut at, mut newer, mut len) = (self.newest, NONE, 0);
        while at != NONE {
            let link = self.get(at);
            state::ensure_eq!(link.newer, newer);
            (newer, at) = (at, link.older);
            len += 1;
        }
        state::ensure_eq!((self.oldest, self.len), (newer, len));
        state::ensure!(self.len <= self.capacity);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use units::Bytes;

    fn cache(segments: u64) -> MapCache {
        let config = L2p {
            cache: Bytes::new(segments * PAGE_BYTES),
            entry: Bytes::new(4),
        };
        MapCache::new(config, 20 * 1024)
    }

    #[test]
    fn a_segment_has_the_entries_of_1024_pages() {
        let cache = cache(1);
        let segments = [0, 1023, 1024, 20_479].map(|page| cache.segment(page));
        assert_eq!(segments, [1, 1, 2, 20]);
    }

    proptest! {
        /// Against a list that is searched.
        #[test]
        fn the_least_recent_goes(
            capacity in 1u64..6,
            touches in prop::collection::vec(1u32..=20, 0..200),
        ) {
            let mut cache = cache(capacity);
            let mut list: Vec<u32> = Vec::new();
            for segment in touches {
                let cached = list.contains(&segment);
                list.retain(|s| *s != segment);
                list.push(segment);
                if list.len() as u64 > capacity {
                    list.remove(0);
                }
                prop_assert_eq!(cache.touch(segment), cached);
                cache.check_invariants().unwrap();
            }
        }
    }
}
