// SPDX-License-Identifier: GPL-2.0-or-later
//! The L2P cache: which map entries the controller's small memory holds (zms-model §6).
//!
//! Entries are used in long runs of neighbours, so what is kept is runs, not entries:
//!
//! ```text
//!   first LPN n of an entry:  slot = n mod slots,  place = n / slots
//!   tile = TILE places of one slot --fold--> bucket -> run -> run
//!   slot: list of runs, most recent first:   [7..12] - [3..4] - [40..48] - ...
//!   in a run the last entry is the most recent:  11 10 9 8 7   3   47 46 ...
//! ```
//! Using an entry cuts it out of its run and appends it to the front run, or makes it the front
//! run; eviction takes from the front of the last run. So the order is that of a plain LRU list
//! (the tests compare), at a cost of runs instead of entries. A run stays in one tile, so that the
//! tile finds it. Resident entries are in no list, so they are never evicted; a slot full of them
//! takes nothing new.
//!
//! Memory follows the entries that are held, not the cache's size: runs are numbered as they are
//! first needed, up to [`RESERVED`] of them without any allocation, and buckets start as zeroes,
//! which the host gives without memory behind them. Neighbouring tiles have neighbouring buckets,
//! so that a part of the map that is used touches a part of them. Beyond what is reserved the list of runs doubles
//! when more of them are held than ever before, never while a cache is full, or has all of the map.
//!
//! Only presence is kept: the location itself is in the map, which is always right.
//!
//! Not modelled: writing dirty entries back.

use crate::config::{L2p, L2pPolicy};
use ftl::Random;
use state::{ensure, Decoder, Encoder, State};

/// No run. The first run is a dummy, so that buckets of zeroes are empty ones.
const NONE: u32 = 0;

/// Runs that there is address space for from the start: all that caches of up to 4 MiB can have.
const RESERVED: u64 = 1 << 20;

/// Places of a tile. More make long runs cheaper, and entries used one by one dearer: those are
/// runs of one, all in the tile's bucket.
const TILE: u32 = 16;

/// What one entry maps, coarse to fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
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
    pub(crate) const ALL: [Self; 4] = [Self::Zone, Self::SubZone, Self::Chunk, Self::Page];
}

/// An entry's identity: granularity, namespace (0 meta, 1 data), first LPN of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    grain: Grain,
    namespace: u8,
    first: u32,
}

impl Key {
    pub fn new(grain: Grain, namespace: u8, first: u32) -> Self {
        Self {
            grain,
            namespace,
            first,
        }
    }
}

/// `TILE` places of one slot: granularity, namespace, and the tile's number among all slots'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tile(u64);

impl Tile {
    fn is_coarse(self) -> bool {
        self.0 >> 40 != Grain::Page as u64
    }

    /// One of `1 << bits` buckets: for neighbours neighbouring ones, or those of a block that is
    /// moved as a whole. What lies further apart is spread.
    fn bucket(self, bits: u32) -> usize {
        let far = (self.0 >> bits).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // The bits asked for.
        ((self.0 ^ far) & ((1 << bits) - 1)) as usize
    }
}

/// Entries of one tile: places `from..to`.
#[derive(Clone, Copy, Debug)]
struct Part {
    tile: Tile,
    from: u16,
    to: u16,
}

/// Neighbouring entries of one tile, each used right after the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    tile: Tile,
    from: u16,
    to: u16,
    /// Neighbours in the slot's list; `next` also chains free runs.
    prev: u32,
    next: u32,
    /// Next run of the same bucket.
    chain: u32,
    /// Its seat, if the slots have any.
    seat: u32,
}

/// One slot's list.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Entries held.
    len: u32,
    head: u32,
    tail: u32,
}

/// One slot's runs, for those who draw one: a run keeps its seat while it is held.
#[derive(Clone, Debug, Default)]
struct Seats {
    /// The run on each seat, or [`NONE`].
    runs: Vec<u32>,
    /// Seats without a run; the one given up last is taken first.
    empty: Vec<u32>,
}

impl Seats {
    /// Gives `run` a seat.
    fn take(&mut self, run: u32) -> u32 {
        let Some(seat) = self.empty.pop() else {
            self.runs.push(run);
            return self.runs.len() as u32 - 1;
        };
        self.runs[seat as usize] = run;
        seat
    }

    fn give_up(&mut self, seat: u32) {
        self.runs[seat as usize] = NONE;
        self.empty.push(seat);
    }
}

/// How LPNs become tiles and places.
#[derive(Clone, Copy, Debug)]
struct Tiling {
    slots: u32,
    /// Places of a tile.
    places: u32,
}

impl Tiling {
    /// The entry of `key`.
    fn part(self, key: Key) -> Part {
        let (slot, place) = (key.first % self.slots, key.first / self.slots);
        self.part_at(key.grain, key.namespace, slot, place, 1)
    }

    /// Entries of one slot from `place` on, which are in one tile.
    fn part_at(self, grain: Grain, namespace: u8, slot: u32, place: u32, n: u32) -> Part {
        let number = place / self.places * self.slots + slot;
        let space = (grain as u64) << 8 | u64::from(namespace);
        // Below `places`, which is small.
        let from = (place % self.places) as u16;
        Part {
            tile: Tile(space << 32 | u64::from(number)),
            from,
            to: from + n as u16,
        }
    }

    /// The entries of `n` pages from `first` on: slot by slot, ascending.
    fn each_part(self, namespace: u8, first: u32, n: u32, mut each: impl FnMut(Part)) {
        let end = first.saturating_add(n);
        for start in first..end.min(first.saturating_add(self.slots)) {
            let (slot, mut place) = (start % self.slots, start / self.slots);
            let mut left = (end - start).div_ceil(self.slots);
            while left > 0 {
                let n = left.min(self.places - place % self.places);
                each(self.part_at(Grain::Page, namespace, slot, place, n));
                place += n;
                left -= n;
            }
        }
    }

    fn slot(self, tile: Tile) -> usize {
        // The low half is the tile's number among all slots'.
        (tile.0 as u32 % self.slots) as usize
    }
}

/// The cache.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Those ever needed; the first is a dummy.
    runs: Vec<Run>,
    /// The first of them that is not held.
    free: u32,
    buckets: Vec<u32>,
    bucket_bits: u32,
    slots: Vec<Slot>,
    /// Each slot's, if victims are drawn.
    seats: Vec<Seats>,
    tiling: Tiling,
    /// Entries of each slot, and so its runs at most.
    each: u32,
    policy: L2pPolicy,
    resident: bool,
    random: Random,
    pub evictions: u64,
}

/// The slots' lists, the least recent run first; then resident runs, which are in no list; seats.
impl State for Cache {
    fn encode(&self, out: &mut Encoder) {
        let Self {
            runs,
            free,
            buckets: _,
            bucket_bits: _,
            slots,
            seats,
            tiling: _,
            each: _,
            policy: _,
            resident: _,
            random,
            evictions,
        } = self;
        let mut unlisted = vec![true; runs.len()];
        let mut chain = |first: u32, next: fn(&Run) -> u32| {
            let mut at = first;
            let mut chained = Vec::new();
            while at != NONE {
                unlisted[at as usize] = false;
                chained.push(runs[at as usize]);
                at = next(&runs[at as usize]);
            }
            chained
        };
        chain(*free, |run| run.next);
        for seats in seats {
            seats.runs.len().encode(out);
        }
        for slot in slots {
            self.encode_runs(&chain(slot.tail, |run| run.prev), out);
        }
        let unlisted = runs.iter().zip(unlisted).skip(1).filter(|(_, is)| *is);
        let mut unlisted: Vec<_> = unlisted.map(|(run, _)| *run).collect();
        unlisted.sort_unstable_by_key(|run| (run.tile.0, run.from));
        self.encode_runs(&unlisted, out);
        for Seats { runs: _, empty } in seats {
            empty.encode(out);
        }
        random.encode(out);
        evictions.encode(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        for seats in &mut self.seats {
            let all = from.take_below(u64::from(self.each) + 1)? as usize;
            from.grow(all * size_of::<u32>())?;
            seats.runs.resize(all, NONE);
        }
        for slot in 0..self.slots.len() {
            for run in self.decode_runs(from)? {
                ensure!(
                    self.tiling.slot(run.tile) == slot && !self.is_resident(run.tile),
                    "an entry is in a list of others"
                );
                let at = self.restore_run(run)?;
                self.link(slot, at, NONE, self.slots[slot].head);
            }
        }
        for run in self.decode_runs(from)? {
            ensure!(self.is_resident(run.tile), "an entry is in no list");
            self.restore_run(run)?;
        }
        for seats in &mut self.seats {
            seats.empty.decode(from)?;
            let is_empty = |seat: &u32| seats.runs.get(*seat as usize) == Some(&NONE);
            let mut empty = seats.empty.clone();
            empty.sort_unstable();
            empty.dedup();
            ensure!(
                empty.len() == seats.empty.len() && empty.iter().all(is_empty),
                "a seat is not empty, or listed twice"
            );
        }
        self.random.decode(from)?;
        self.evictions.decode(from)?;
        self.check_invariants()
    }
}

impl Cache {
    fn encode_runs(&self, runs: &[Run], out: &mut Encoder) {
        runs.len().encode(out);
        let mut tile = 0;
        for run in runs {
            out.put_step(tile, run.tile.0);
            run.from.encode(out);
            run.to.encode(out);
            if !self.seats.is_empty() {
                run.seat.encode(out);
            }
            tile = run.tile.0;
        }
    }

    fn decode_runs(&self, from: &mut Decoder<'_>) -> Result<Vec<Run>, state::Error> {
        const TILES: u64 = (Grain::Page as u64 + 1) << 40;
        let mut runs = Vec::new();
        let mut tile = 0;
        for _ in 0..from.take()? {
            from.grow(2 * size_of::<Run>())?;
            let mut run = Run::default();
            tile = from.take_step(tile, TILES)?;
            run.tile = Tile(tile);
            run.from.decode(from)?;
            run.to.decode(from)?;
            if !self.seats.is_empty() {
                run.seat.decode(from)?;
            }
            runs.push(run);
        }
        Ok(runs)
    }

    /// Puts a run in that was decoded; it is in no list yet.
    fn restore_run(&mut self, run: Run) -> Result<u32, state::Error> {
        let Run {
            tile,
            from,
            to,
            seat,
            ..
        } = run;
        let slot = self.tiling.slot(tile);
        ensure!(
            from < to && u32::from(to) <= self.tiling.places,
            "entries {from} to {to} of a tile"
        );
        let part = Part { tile, from, to };
        let n = u32::from(to - from);
        ensure!(
            self.find(part) == NONE && n <= self.each - self.slots[slot].len,
            "entries are held twice, or too many"
        );
        if let Some(seats) = self.seats.get_mut(slot) {
            let taken = seats.runs.get(seat as usize);
            ensure!(taken == Some(&NONE), "seat {seat} is taken, or is none");
            // The one that is given up last is taken first.
            seats.empty.push(seat);
        }
        self.slots[slot].len += n;
        Ok(self.new_run(slot, part))
    }
}

impl Cache {
    /// An empty cache of a map that can have `map` entries. The configuration has been validated.
    pub fn new(config: &L2p, map: u64, seed: u64) -> Self {
        let slots = config.slots.max(1);
        let entries = config.cache.get() / config.entry.get().max(1);
        let each = (entries / u64::from(slots)).min(1 << 30) as u32;
        // A random victim is a random run: each must be one entry.
        let (places, seats) = match config.policy {
            L2pPolicy::Lru => (TILE, 0),
            L2pPolicy::Random => (1, slots),
        };
        let most = (u64::from(each) * u64::from(slots)).min(map.max(1));
        // Many entries share the tiles that the map has.
        let tiles = map.div_ceil(u64::from(places)) + u64::from(slots);
        let buckets = most.min(tiles.max(RESERVED)).clamp(2, 1 << 30);
        let bucket_bits = buckets.next_power_of_two().trailing_zeros();
        let mut runs = Vec::with_capacity(most.min(RESERVED) as usize + 1);
        runs.push(Run::default());
        Self {
            runs,
            free: NONE,
            // Not pushed or filled: this form is what gets unbacked memory.
            buckets: vec![NONE; 1 << bucket_bits],
            bucket_bits,
            slots: vec![Slot::default(); slots as usize],
            seats: vec![Seats::default(); seats as usize],
            tiling: Tiling { slots, places },
            each,
            policy: config.policy,
            resident: config.resident,
            random: Random::new(seed),
            evictions: 0,
        }
    }

    /// Entries held.
    pub fn len(&self) -> u64 {
        self.slots.iter().map(|s| u64::from(s.len)).sum()
    }

    /// Looks `key` up; a hit becomes most recent.
    pub fn lookup(&mut self, key: Key) -> bool {
        let part = self.tiling.part(key);
        let at = self.find(part);
        if at == NONE {
            return false;
        }
        self.touch(at, part);
        true
    }

    /// Whether `key` is held. Changes nothing.
    #[cfg(test)]
    fn contains(&self, key: Key) -> bool {
        self.find(self.tiling.part(key)) != NONE
    }

    /// Puts `key` in as most recent, evicting another entry of its slot if need be.
    pub fn insert(&mut self, key: Key) {
        self.insert_part(self.tiling.part(key));
    }

    /// The same for `n` pages from `first` on, in order.
    pub fn insert_pages(&mut self, namespace: u8, first: u32, n: u32) {
        let tiling = self.tiling;
        tiling.each_part(namespace, first, n, |part| self.insert_part(part));
    }

    /// Drops `key` if it is held.
    pub fn remove(&mut self, key: Key) {
        self.remove_part(self.tiling.part(key));
    }

    /// Drops those of `n` pages from `first` on that are held.
    pub fn remove_pages(&mut self, namespace: u8, first: u32, n: u32) {
        let tiling = self.tiling;
        tiling.each_part(namespace, first, n, |part| self.remove_part(part));
    }

    fn insert_part(&mut self, part: Part) {
        if self.find(part) == NONE {
            return self.append(part);
        }
        // Some are held: one by one, since making room for one may evict the next.
        for from in part.from..part.to {
            let one = Part {
                from,
                to: from + 1,
                ..part
            };
            match self.find(one) {
                NONE => self.append(one),
                at => self.touch(at, one),
            }
        }
    }

    fn remove_part(&mut self, part: Part) {
        let mut at = self.buckets[self.bucket_of(part.tile)];
        while at != NONE {
            let run = self.runs[at as usize];
            if run.tile == part.tile {
                self.cut(at, part);
            }
            at = run.chain;
        }
    }

    fn bucket_of(&self, tile: Tile) -> usize {
        tile.bucket(self.bucket_bits)
    }

    /// A run with one of these entries.
    fn find(&self, part: Part) -> u32 {
        let mut at = self.buckets[self.bucket_of(part.tile)];
        while at != NONE {
            let run = &self.runs[at as usize];
            if run.tile == part.tile && run.from < part.to && part.from < run.to {
                break;
            }
            at = run.chain;
        }
        at
    }

    fn is_resident(&self, tile: Tile) -> bool {
        self.resident && tile.is_coarse()
    }

    /// An entry of run `at` becomes the most recent one.
    fn touch(&mut self, at: u32, one: Part) {
        if self.is_resident(one.tile) {
            return;
        }
        let slot = self.tiling.slot(one.tile);
        let newest = self.slots[slot].head;
        let run = self.runs[at as usize];
        if newest == at && run.to == one.to {
            return;
        }
        let alone = run.to - run.from == 1;
        if alone && !self.continues(newest, one) {
            self.unlink(slot, run);
            self.link(slot, at, NONE, newest);
        } else {
            self.cut(at, one);
            self.append(one);
        }
    }

    /// Whether `part` is what comes right after run `at`, if that is one.
    fn continues(&self, at: u32, part: Part) -> bool {
        let run = &self.runs[at as usize];
        at != NONE && run.tile == part.tile && run.to == part.from
    }

    /// Puts entries that are not held in front, as far as there is room or some can be evicted.
    fn append(&mut self, part: Part) {
        let slot = self.tiling.slot(part.tile);
        let mut part = part;
        while part.from < part.to {
            let room = self.make_room(slot, u32::from(part.to - part.from));
            if room == 0 {
                return;
            }
            let to = part.from + room as u16;
            self.push(slot, Part { to, ..part });
            part.from = to;
        }
    }

    /// How many of `wanted` entries fit in now, after an eviction if need be.
    fn make_room(&mut self, slot: usize, wanted: u32) -> u32 {
        let s = self.slots[slot];
        if s.len < self.each {
            return wanted.min(self.each - s.len);
        }
        let victim = match self.policy {
            L2pPolicy::Lru => s.tail,
            L2pPolicy::Random => self.random_victim(slot),
        };
        if victim == NONE {
            return 0;
        }
        let Run { tile, from, to, .. } = self.runs[victim as usize];
        let n = wanted.min(u32::from(to - from));
        let to = from + n as u16;
        self.cut(victim, Part { tile, from, to });
        self.evictions += u64::from(n);
        n
    }

    /// A random run of the slot, which is full, or the first after it that may be evicted.
    fn random_victim(&mut self, slot: usize) -> u32 {
        if self.slots[slot].tail == NONE {
            return NONE;
        }
        let at = (self.random.draw() % u64::from(self.each)) as usize;
        // Full: no seat is empty.
        let (before, after) = self.seats[slot].runs.split_at(at);
        let mut seated = after.iter().chain(before).copied();
        seated
            .find(|&run| !self.is_resident(self.runs[run as usize].tile))
            .unwrap_or(NONE)
    }

    /// Puts entries in front, for which there is room.
    fn push(&mut self, slot: usize, part: Part) {
        self.slots[slot].len += u32::from(part.to - part.from);
        let head = self.slots[slot].head;
        if self.continues(head, part) {
            self.runs[head as usize].to = part.to;
            return;
        }
        let at = self.new_run(slot, part);
        if !self.is_resident(part.tile) {
            self.link(slot, at, NONE, head);
        }
    }

    /// Takes entries out of a run, as many as it has; what is left keeps its place in the list.
    fn cut(&mut self, at: u32, part: Part) {
        let run = self.runs[at as usize];
        let (from, to) = (part.from.max(run.from), part.to.min(run.to));
        if from >= to {
            return;
        }
        let slot = self.tiling.slot(run.tile);
        self.slots[slot].len -= u32::from(to - from);
        match (run.from < from, to < run.to) {
            (false, false) => self.free_run(slot, at),
            (false, true) => self.runs[at as usize].from = to,
            (true, false) => self.runs[at as usize].to = from,
            (true, true) => {
                self.runs[at as usize].to = from;
                let newer = Part {
                    from: to,
                    to: run.to,
                    ..part
                };
                let newer = self.new_run(slot, newer);
                self.link(slot, newer, run.prev, at);
            }
        }
    }

    /// A run in its bucket. There are as many as entries at most, which are numbered with 30 bits.
    fn new_run(&mut self, slot: usize, part: Part) -> u32 {
        let at = match self.free {
            NONE => {
                self.runs.push(Run::default());
                self.runs.len() as u32 - 1
            }
            at => {
                self.free = self.runs[at as usize].next;
                at
            }
        };
        let bucket = self.bucket_of(part.tile);
        self.runs[at as usize] = Run {
            tile: part.tile,
            from: part.from,
            to: part.to,
            prev: NONE,
            next: NONE,
            chain: core::mem::replace(&mut self.buckets[bucket], at),
            seat: self.seats.get_mut(slot).map_or(0, |s| s.take(at)),
        };
        at
    }

    /// Takes a run out of its bucket and its list.
    fn free_run(&mut self, slot: usize, at: u32) {
        let run = self.runs[at as usize];
        let bucket = self.bucket_of(run.tile);
        if self.buckets[bucket] == at {
            self.buckets[bucket] = run.chain;
        } else {
            let mut before = self.buckets[bucket] as usize;
            while self.runs[before].chain != at {
                before = self.runs[before].chain as usize;
            }
            self.runs[before].chain = run.chain;
        }
        if !self.is_resident(run.tile) {
            self.unlink(slot, run);
        }
        if let Some(seats) = self.seats.get_mut(slot) {
            seats.give_up(run.seat);
        }
        self.runs[at as usize].next = core::mem::replace(&mut self.free, at);
    }

    fn unlink(&mut self, slot: usize, run: Run) {
        match run.prev {
            NONE => self.slots[slot].head = run.next,
            prev => self.runs[prev as usize].next = run.next,
        }
        match run.next {
            NONE => self.slots[slot].tail = run.prev,
            next => self.runs[next as usize].prev = run.prev,
        }
    }

    /// Puts a run between two that are neighbours in the list, or at its ends.
    fn link(&mut self, slot: usize, at: u32, prev: u32, next: u32) {
        self.runs[at as usize].prev = prev;
        self.runs[at as usize].next = next;
        match prev {
            NONE => self.slots[slot].head = at,
            _ => self.runs[prev as usize].next = at,
        }
        match next {
            NONE => self.slots[slot].tail = at,
            _ => self.runs[next as usize].prev = at,
        }
    }

    /// Is an error if lists, buckets and counts disagree. Takes time for what is held, as buckets do memory.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        let mut held = vec![true; self.runs.len()];
        held[NONE as usize] = false;
        let mut at = self.free;
        while at != NONE {
            state::ensure!(core::mem::take(&mut held[at as usize]), "free twice");
            at = self.runs[at as usize].next;
        }
        let (mut listed, mut entries) = (0, 0);
        for (index, slot) in self.slots.iter().enumerate() {
            let (mut at, mut prev) = (slot.head, NONE);
            while at != NONE {
                let run = &self.runs[at as usize];
                state::ensure_eq!((run.prev, self.tiling.slot(run.tile)), (prev, index));
                state::ensure!(held[at as usize] && !self.is_resident(run.tile));
                (prev, at) = (at, run.next);
                listed += 1;
            }
            state::ensure_eq!(slot.tail, prev);
            state::ensure!(slot.len <= self.each);
        }
        let all = (0u32..).zip(&self.runs).zip(&held);
        for ((at, run), _) in all.filter(|(_, held)| **held) {
            state::ensure!(run.from < run.to && u32::from(run.to) <= self.tiling.places);
            for from in run.from..run.to {
                let (tile, to) = (run.tile, from + 1);
                state::ensure_eq!(
                    self.find(Part { tile, from, to }),
                    at,
                    "held twice, or lost"
                );
            }
            let next = run.chain;
            state::ensure!(
                next == NONE || held[next as usize],
                "a free run is in a bucket"
            );
            listed += usize::from(self.is_resident(run.tile));
            entries += u64::from(run.to - run.from);
        }
        let runs = held.iter().filter(|held| **held).count();
        state::ensure_eq!((listed, entries), (runs, self.len()));
        for (slot, seats) in self.slots.iter().zip(&self.seats) {
            let seated = seats.runs.iter().enumerate().filter(|s| *s.1 != NONE);
            for (seat, &run) in seated.clone() {
                state::ensure_eq!(self.runs[run as usize].seat as usize, seat);
            }
            state::ensure_eq!(seated.count(), slot.len as usize);
            let held = seats.runs.len() - seats.empty.len();
            state::ensure_eq!(held, slot.len as usize);
        }
        Ok(())
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
        let mut c = Cache::new(&config(4, 2, L2pPolicy::Lru), 100, 0);
        for n in [0, 2, 1] {
            c.insert(page(n));
        }
        assert!(c.lookup(page(0)));
        c.insert(page(4));
        assert_eq!(
            [0, 1, 2, 4].map(|n| c.contains(page(n))),
            [true, true, false, true]
        );
        assert_eq!(c.evictions, 1);
        c.check_invariants().unwrap();
    }

    #[test]
    fn resident_entries_stay_and_may_fill_a_slot() {
        for policy in [L2pPolicy::Lru, L2pPolicy::Random] {
            let mut c = Cache::new(&config(2, 1, policy), 100, 3);
            c.insert(page(0));
            c.insert(Key::new(Grain::Chunk, 1, 0));
            c.insert(page(1));
            assert!(!c.contains(page(0)) && c.contains(page(1)));
            c.insert(Key::new(Grain::Zone, 1, 0));
            assert!(!c.contains(page(1)));
            c.insert(page(2));
            assert!(!c.contains(page(2)));
            c.check_invariants().unwrap();
            c.remove(Key::new(Grain::Chunk, 1, 0));
            c.insert(page(2));
            assert!(c.contains(page(2)));
            c.check_invariants().unwrap();
        }
    }

    /// Plain lists of keys, one a slot, most recent last.
    struct Reference {
        slots: Vec<Vec<u32>>,
        each: usize,
        evictions: u64,
    }

    impl Reference {
        fn list(&mut self, n: u32) -> &mut Vec<u32> {
            let slot = n as usize % self.slots.len();
            &mut self.slots[slot]
        }

        fn remove(&mut self, n: u32) -> bool {
            let list = self.list(n);
            let held = list.iter().position(|&k| k == n);
            held.map(|at| list.remove(at)).is_some()
        }

        fn lookup(&mut self, n: u32) -> bool {
            let held = self.remove(n);
            if held {
                self.list(n).push(n);
            }
            held
        }

        fn insert(&mut self, n: u32) {
            let each = self.each;
            if !self.remove(n) && self.list(n).len() == each {
                self.list(n).remove(0);
                self.evictions += 1;
            }
            self.list(n).push(n);
        }
    }

    /// The slots' lists, most recent last.
    fn listed(cache: &Cache) -> Vec<Vec<u32>> {
        let Tiling { slots, places } = cache.tiling;
        let list = |slot: &Slot| {
            let mut list = Vec::new();
            let mut at = slot.tail;
            while at != NONE {
                let run = &cache.runs[at as usize];
                let number = run.tile.0 as u32;
                let page =
                    |p: u16| (number / slots * places + u32::from(p)) * slots + number % slots;
                list.extend((run.from..run.to).map(page));
                at = run.prev;
            }
            list
        };
        cache.slots.iter().map(list).collect()
    }

    /// Bytes of 4 KiB pages of memory that the cache has written to.
    fn touched(cache: &Cache) -> usize {
        let written = |page: &[u32]| page.iter().any(|&word| word != 0);
        let buckets = cache.buckets.chunks(1024).filter(|page| written(page));
        buckets.count() * 4096 + cache.runs.len() * size_of::<Run>()
    }

    #[test]
    fn memory_follows_what_is_held() {
        // As many entries as numbers have bits for, for the whole map of 4 TiB.
        const ALL: u64 = 1 << 30;
        for (policy, all) in [(L2pPolicy::Lru, ALL), (L2pPolicy::Random, 1 << 24)] {
            let mut cache = Cache::new(&config(all, 3, policy), all, 0);
            assert!(touched(&cache) < 4096);
            // A GiB here, a GiB there.
            for gib in [0, 7, 30] {
                cache.insert_pages(1, gib << 18, 1 << 18);
            }
            cache.check_invariants().unwrap();
            assert_eq!(cache.len(), 3 << 18);
            let each = touched(&cache) as u64 / cache.len();
            assert!(each < 40, "{policy:?}: {each} bytes an entry");
        }
        // Small caches have all they will ever need, and so has a large one of a small map.
        for (entries, map) in [(261_120, ALL), (ALL, 1 << 18)] {
            let mut cache = Cache::new(&config(entries, 3, L2pPolicy::Lru), map, 0);
            let reserved = (cache.runs.as_ptr(), cache.buckets.len());
            assert!(reserved.1 <= 1 << 19);
            for page in (0..1 << 18).rev() {
                cache.insert(self::page(page));
            }
            assert_eq!(cache.runs.as_ptr(), reserved.0, "moved");
        }
    }

    #[test]
    fn neighbours_share_memory_and_what_is_far_apart_is_spread() {
        let bits = 10;
        let buckets = |tiles: &mut dyn Iterator<Item = u64>| {
            let mut all: Vec<_> = tiles.map(|n| Tile(n).bucket(bits)).collect();
            all.sort_unstable();
            all.dedup();
            all.len()
        };
        assert_eq!(buckets(&mut (0..1 << bits)), 1 << bits);
        assert_eq!(buckets(&mut (5 << bits..6 << bits)), 1 << bits);
        // A stride that is a multiple of the buckets' number meets half of them and more.
        let strided = buckets(&mut (0..1 << bits).map(|n| n << bits));
        assert!(strided > 1 << (bits - 1), "{strided}");
    }

    /// Seats of one slot, resident entries among them; what leaves makes a seat for what comes.
    struct Drawn {
        seats: Vec<Option<Key>>,
        empty: Vec<usize>,
        each: usize,
        random: Random,
    }

    impl Drawn {
        fn remove(&mut self, key: Key) {
            let at = self.seats.iter().position(|seat| *seat == Some(key));
            if let Some(at) = at {
                self.seats[at] = None;
                self.empty.push(at);
            }
        }

        fn insert(&mut self, key: Key) {
            if self.seats.contains(&Some(key)) {
                return;
            }
            if self.empty.is_empty() && self.seats.len() == self.each {
                let page = |key: &Option<Key>| key.is_some_and(|k| k.grain == Grain::Page);
                if !self.seats.iter().any(page) {
                    return;
                }
                let draw = (self.random.draw() % self.each as u64) as usize;
                let order = (draw..self.each).chain(0..draw);
                let victim = order.into_iter().find(|&at| page(&self.seats[at]));
                let victim = victim.and_then(|at| self.seats[at]).unwrap();
                self.remove(victim);
            }
            match self.empty.pop() {
                Some(at) => self.seats[at] = Some(key),
                None => self.seats.push(Some(key)),
            }
        }
    }

    proptest! {
        #[test]
        fn random_victims_are_drawn_from_seats(
            each in 1u64..30,
            ops in prop::collection::vec((0u8..8, 0u32..60), 1..300),
        ) {
            let mut cache = Cache::new(&config(each, 1, L2pPolicy::Random), 200, 9);
            let mut reference = Drawn {
                seats: Vec::new(),
                empty: Vec::new(),
                each: each as usize,
                random: Random::new(9),
            };
            for (op, n) in ops {
                let key = Key::new(if op == 0 { Grain::Chunk } else { Grain::Page }, 1, n);
                if op == 1 {
                    cache.remove(key);
                    reference.remove(key);
                } else {
                    cache.insert(key);
                    reference.insert(key);
                }
                cache.check_invariants().unwrap();
                let held = reference.seats.iter().flatten();
                prop_assert!(held.clone().all(|key| cache.contains(*key)));
                prop_assert_eq!(cache.len(), held.count() as u64);
            }
        }

        #[test]
        fn it_is_an_lru_per_slot(
            slots in 1u32..4,
            each in 1u64..40,
            map in 1u64..400,
            ops in prop::collection::vec((0u8..6, 0u32..200, 0u32..90), 1..200),
        ) {
            let entries = each * u64::from(slots);
            let mut cache = Cache::new(&config(entries, slots, L2pPolicy::Lru), map, 0);
            let mut reference = Reference {
                slots: vec![Vec::new(); slots as usize],
                each: each as usize,
                evictions: 0,
            };
            for (op, n, count) in ops {
                match op {
                    0 => {
                        cache.insert(page(n));
                        reference.insert(n);
                    }
                    1 => {
                        cache.remove(page(n));
                        reference.remove(n);
                    }
                    2 => {
                        cache.insert_pages(1, n, count);
                        (n..n + count).for_each(|n| reference.insert(n));
                    }
                    3 => {
                        cache.remove_pages(1, n, count);
                        (n..n + count).for_each(|n| _ = reference.remove(n));
                    }
                    _ => {
                        for n in n..n + count / 20 {
                            prop_assert_eq!(cache.lookup(page(n)), reference.lookup(n));
                        }
                    }
                }
                cache.check_invariants().unwrap();
                prop_assert_eq!(&listed(&cache), &reference.slots);
                prop_assert_eq!(cache.evictions, reference.evictions);
            }
        }

        /// With one slot, whatever a smaller cache holds a larger one holds, too (no resident
        /// entries: those of a full slot depend on what came first).
        #[test]
        fn a_larger_cache_misses_no_more(
            each in 1u64..60,
            more in 1u64..60,
            ops in prop::collection::vec((0u8..5, 0u32..200, 0u32..90), 1..200),
        ) {
            let lru = |entries| Cache::new(&config(entries, 1, L2pPolicy::Lru), 300, 0);
            let (mut small, mut large) = (lru(each), lru(each + more));
            for (op, n, count) in ops {
                for cache in [&mut small, &mut large] {
                    match op {
                        0 => cache.insert_pages(1, n, count),
                        1 => cache.remove_pages(1, n, count),
                        _ => {}
                    }
                }
                for n in n..n + count {
                    if op > 1 {
                        let hit = small.lookup(page(n));
                        prop_assert!(large.lookup(page(n)) || !hit);
                        // A miss fetches the entry.
                        small.insert(page(n));
                        large.insert(page(n));
                    }
                }
            }
        }
    }
}
