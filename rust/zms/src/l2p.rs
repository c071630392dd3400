// SPDX-License-Identifier: GPL-2.0-or-later
//! The L2P cache: which map entries the controller's small memory holds (zms-model §6).
//!
//! ```text
//!   key (granularity, namespace, first LPN) --hash--> bucket -> node -> node
//!   slot = first LPN mod slots: each slot has its own nodes and its own list, most recent first
//! ```
//! Nodes live in fixed arrays sized by the cache; every operation is O(1). Resident entries are not
//! in the list, so they are never evicted; a slot full of them takes nothing new.
//!
//! Only presence is kept: the location itself is in the map, which is always right.
//!
//! Not modelled: writing dirty entries back.

use crate::config::{L2p, L2pPolicy};
use crate::superblock::NONE;

/// What one entry maps, coarse to fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    /// A zone, wholly native.
    Zone,
    /// A pSLC superblock of one zone.
    SubZone,
    /// A chunk, wholly native.
    Chunk,
    /// One page.
    Page,
}

impl Grain {
    /// Coarse to fine.
    pub const ALL: [Self; 4] = [Self::Zone, Self::SubZone, Self::Chunk, Self::Page];
}

/// An entry's identity: granularity, namespace (0 meta, 1 data), first LPN of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    pub fn new(grain: Grain, namespace: u8, first: u32) -> Self {
        Self((grain as u64) << 40 | u64::from(namespace) << 32 | u64::from(first))
    }

    fn first(self) -> u32 {
        self.0 as u32
    }

    fn hash(self) -> u64 {
        // Fibonacci hashing: the product's high bits spread well for runs of LPNs.
        self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    key: Key,
    /// Neighbours in the slot's list; `next` also chains free nodes.
    prev: u32,
    next: u32,
    /// Next node of the same bucket.
    chain: u32,
    resident: bool,
}

/// One slot's list and free nodes.
#[derive(Clone, Copy, Debug)]
struct Slot {
    head: u32,
    tail: u32,
    free: u32,
    /// Nodes of the slot that were never used: from here to `end`.
    fresh: u32,
    end: u32,
}

/// The cache.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    nodes: Vec<Node>,
    buckets: Vec<u32>,
    shift: u32,
    slots: Vec<Slot>,
    policy: L2pPolicy,
    resident: bool,
    random: u64,
    pub evictions: u64,
    len: u64,
}

impl Cache {
    /// An empty cache. The configuration has been validated.
    pub fn new(config: &L2p, seed: u64) -> Self {
        let slots = config.slots.max(1);
        let entries = config.cache.get() / config.entry.get().max(1);
        let each = u32::try_from(entries / u64::from(slots))
            .unwrap_or(0)
            .min(1 << 30);
        let total = each.saturating_mul(slots);
        let buckets = total.max(2).checked_next_power_of_two().unwrap_or(1 << 31);
        let node = Node {
            key: Key(0),
            prev: NONE,
            next: NONE,
            chain: NONE,
            resident: false,
        };
        Self {
            nodes: vec![node; total as usize],
            buckets: vec![NONE; buckets as usize],
            shift: 64 - buckets.trailing_zeros(),
            slots: (0..slots)
                .map(|s| Slot {
                    head: NONE,
                    tail: NONE,
                    free: NONE,
                    fresh: s * each,
                    end: (s + 1) * each,
                })
                .collect(),
            policy: config.policy,
            resident: config.resident,
            random: seed,
            evictions: 0,
            len: 0,
        }
    }

    /// Entries held.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Looks `key` up; a hit becomes most recent.
    pub fn lookup(&mut self, key: Key) -> bool {
        let at = self.find(key);
        if at == NONE {
            return false;
        }
        self.touch(at);
        true
    }

    /// Whether `key` is held. Changes nothing.
    #[cfg(test)]
    fn contains(&self, key: Key) -> bool {
        self.find(key) != NONE
    }

    /// Puts `key` in as most recent, evicting another entry of its slot if need be.
    pub fn insert(&mut self, key: Key, coarse: bool) {
        let at = self.find(key);
        if at != NONE {
            self.touch(at);
            return;
        }
        let slot = self.slot_of(key);
        let at = self.allocate(slot);
        if at == NONE {
            return;
        }
        self.len += 1;
        let resident = coarse && self.resident;
        let bucket = self.bucket_of(key);
        let chain = core::mem::replace(&mut self.buckets[bucket], at);
        self.nodes[at as usize] = Node {
            key,
            prev: NONE,
            next: NONE,
            chain,
            resident,
        };
        if !resident {
            self.link_front(slot, at);
        }
    }

    /// Drops `key` if it is held.
    pub fn remove(&mut self, key: Key) {
        let bucket = self.bucket_of(key);
        let mut at = self.buckets[bucket];
        let mut before = NONE;
        while at != NONE && self.nodes[at as usize].key != key {
            before = at;
            at = self.nodes[at as usize].chain;
        }
        if at != NONE {
            self.drop_node(bucket, before, at);
            let slot = self.slot_of(key);
            self.nodes[at as usize].next = self.slots[slot].free;
            self.slots[slot].free = at;
        }
    }

    fn slot_of(&self, key: Key) -> usize {
        key.first() as usize % self.slots.len()
    }

    fn bucket_of(&self, key: Key) -> usize {
        (key.hash() >> self.shift) as usize
    }

    fn find(&self, key: Key) -> u32 {
        let mut at = self.buckets[self.bucket_of(key)];
        while at != NONE {
            let node = &self.nodes[at as usize];
            if node.key == key {
                break;
            }
            at = node.chain;
        }
        at
    }

    fn touch(&mut self, at: u32) {
        let node = self.nodes[at as usize];
        let slot = self.slot_of(node.key);
        if node.resident || self.slots[slot].head == at {
            return;
        }
        self.unlink(slot, at);
        self.link_front(slot, at);
    }

    /// A node for a new entry of `slot`, or `NONE` if there is nothing to evict.
    fn allocate(&mut self, slot: usize) -> u32 {
        let s = &mut self.slots[slot];
        if s.free != NONE {
            let at = s.free;
            s.free = self.nodes[at as usize].next;
            return at;
        }
        if s.fresh < s.end {
            s.fresh += 1;
            return s.fresh - 1;
        }
        let victim = match self.policy {
            L2pPolicy::Lru => s.tail,
            L2pPolicy::Random => self.random_victim(slot),
        };
        if victim != NONE {
            self.evict(victim);
        }
        victim
    }

    fn evict(&mut self, victim: u32) {
        let bucket = self.bucket_of(self.nodes[victim as usize].key);
        let mut before = NONE;
        let mut at = self.buckets[bucket];
        while at != victim && at != NONE {
            before = at;
            at = self.nodes[at as usize].chain;
        }
        self.drop_node(bucket, before, victim);
        self.evictions += 1;
    }

    /// A random node of the slot, or the first after it that may be evicted.
    fn random_victim(&mut self, slot: usize) -> u32 {
        let s = self.slots[slot];
        if s.tail == NONE {
            return NONE;
        }
        // splitmix64: one step a choice, from the seed.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let each = s.end / (slot as u32 + 1);
        let first = s.end - each;
        let at = first + (z % u64::from(each)) as u32;
        (at..s.end)
            .chain(first..at)
            .find(|&n| !self.nodes[n as usize].resident)
            .unwrap_or(NONE)
    }

    /// Takes a node out of its bucket and its list.
    fn drop_node(&mut self, bucket: usize, before: u32, at: u32) {
        let node = self.nodes[at as usize];
        if before == NONE {
            self.buckets[bucket] = node.chain;
        } else {
            self.nodes[before as usize].chain = node.chain;
        }
        if !node.resident {
            self.unlink(self.slot_of(node.key), at);
        }
        self.len -= 1;
    }

    fn unlink(&mut self, slot: usize, at: u32) {
        let Node { prev, next, .. } = self.nodes[at as usize];
        match prev {
            NONE => self.slots[slot].head = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NONE => self.slots[slot].tail = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
    }

    fn link_front(&mut self, slot: usize, at: u32) {
        let head = core::mem::replace(&mut self.slots[slot].head, at);
        self.nodes[at as usize].prev = NONE;
        self.nodes[at as usize].next = head;
        match head {
            NONE => self.slots[slot].tail = at,
            _ => self.nodes[head as usize].prev = at,
        }
    }

    /// Panics if lists, buckets and counts disagree. For tests.
    pub fn check_invariants(&self) {
        let mut listed = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            let (mut at, mut prev) = (slot.head, NONE);
            while at != NONE {
                let node = &self.nodes[at as usize];
                assert_eq!((node.prev, self.slot_of(node.key)), (prev, index));
                assert_eq!(self.find(node.key), at, "a key is held twice");
                (prev, at) = (at, node.next);
                listed += 1;
            }
            assert_eq!(slot.tail, prev);
        }
        let mut chained = 0;
        for &bucket in &self.buckets {
            let mut at = bucket;
            while at != NONE {
                let node = &self.nodes[at as usize];
                listed += u64::from(node.resident);
                chained += 1;
                at = node.chain;
            }
        }
        assert_eq!((listed, chained), (self.len, self.len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use units::Bytes;

    fn config(entries: u64, slots: u32, policy: L2pPolicy) -> L2p {
        L2p {
            cache: Bytes::new(entries * 4),
            entry: Bytes::new(4),
            slots,
            policy,
            search: crate::config::L2pSearch::Multiple,
            hybrid: true,
            resident: true,
            preread: 0,
            chunk: Bytes::mib(4),
        }
    }

    fn page(n: u32) -> Key {
        Key::new(Grain::Page, 1, n)
    }

    #[test]
    fn the_least_recently_used_of_the_slot_goes() {
        let mut c = Cache::new(&config(4, 2, L2pPolicy::Lru), 0);
        for n in [0, 2, 1] {
            c.insert(page(n), false);
        }
        assert!(c.lookup(page(0)));
        c.insert(page(4), false);
        assert_eq!(
            [0, 1, 2, 4].map(|n| c.contains(page(n))),
            [true, true, false, true]
        );
        assert_eq!(c.evictions, 1);
        c.check_invariants();
    }

    #[test]
    fn resident_entries_stay_and_may_fill_a_slot() {
        for policy in [L2pPolicy::Lru, L2pPolicy::Random] {
            let mut c = Cache::new(&config(2, 1, policy), 3);
            c.insert(page(0), false);
            c.insert(Key::new(Grain::Chunk, 1, 0), true);
            c.insert(page(1), false);
            assert!(!c.contains(page(0)) && c.contains(page(1)));
            c.insert(Key::new(Grain::Zone, 1, 0), true);
            assert!(!c.contains(page(1)));
            c.insert(page(2), false);
            assert!(!c.contains(page(2)));
            c.check_invariants();
            c.remove(Key::new(Grain::Chunk, 1, 0));
            c.insert(page(2), false);
            assert!(c.contains(page(2)));
            c.check_invariants();
        }
    }

    proptest! {
        /// Against lists of keys, most recent last.
        #[test]
        fn it_is_an_lru_per_slot(
            slots in 1u32..4,
            each in 1u64..6,
            ops in prop::collection::vec((0u8..3, 0u32..20), 1..300),
        ) {
            let mut cache = Cache::new(&config(each * u64::from(slots), slots, L2pPolicy::Lru), 0);
            let mut model = vec![Vec::<u32>::new(); slots as usize];
            for (op, n) in ops {
                let list = &mut model[(n % slots) as usize];
                let held = list.iter().position(|&k| k == n);
                match op {
                    0 => {
                        cache.insert(page(n), false);
                        match held {
                            Some(at) => drop(list.remove(at)),
                            None if list.len() as u64 == each => drop(list.remove(0)),
                            None => {}
                        }
                        list.push(n);
                    }
                    1 => {
                        prop_assert_eq!(cache.lookup(page(n)), held.is_some());
                        if let Some(at) = held {
                            list.remove(at);
                            list.push(n);
                        }
                    }
                    _ => {
                        cache.remove(page(n));
                        list.retain(|&k| k != n);
                    }
                }
                cache.check_invariants();
            }
        }
    }
}
