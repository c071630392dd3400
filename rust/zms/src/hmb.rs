// SPDX-License-Identifier: GPL-2.0-or-later
//! The Host Memory Buffer: a second map cache, in memory that the host lends.
//!
//! ```text
//!   map page of 4 KiB --its number mod slots--> slot of 4 KiB: 64 pieces of 64 bytes, some entries each
//!   drive:  slot | whose map page, which fill, pieces that hold     (the directory, 32 bytes for 4 KiB)
//!   host:   piece | whose map page, which fill and piece, words that follow from these
//! ```
//! A miss of the L2P cache asks here before it reads the map. A hit costs a read of one piece over the host link. A miss reads
//! the map page as it would without, and leaves all of it in its slot, whatever was there: nobody waits for that.
//! What changes the map makes the pieces concerned stale, and nothing is written for that.
//!
//! Whole map pages, because that is what a map read brings, and a directory of them is small; pieces, because a page that is
//! written must not make 4 MiB of the map stale, and because one is what a memory read brings at once.
//!
//! Only presence is kept, as in the L2P cache: the map is always right. So a piece has no locations, but 64 bytes that
//! say whose it is, and since when. Whoever can reach the host's memory writes them and reads them back around a command
//! (`lent.rs`). What does not come back as it was written is told to the model ([`Hmb::spoil`]), and costs a read that is of no
//! use before the map read. A model that nobody tells anything has a host that keeps what it was given.
//!
//! Invariants: a slot holds a map page that belongs there; no fill is newer than the latest.

use crate::config::HostBuffer;
use crate::l2p::Grain;
use ftl::Random;
use state::{ensure, Decoder, Encoder, State};
use units::{Nanos, PAGE_BYTES};

/// Bytes of a piece.
pub const PIECE_BYTES: usize = 64;
/// Pieces of a slot.
const PIECES: u32 = 64;
const _: () = assert!(PIECE_BYTES as u64 * PIECES as u64 == PAGE_BYTES);

/// Map pages that one command leaves here at most; what else it reads of the map is not kept.
const MOST_FILLS: usize = 64;

/// Words of a piece.
const WORDS: usize = PIECE_BYTES / 8;

/// A map page of a namespace: its number, granularity and namespace, and a bit that is set.
type Page = u64;
/// No map page.
const NONE: Page = 0;

/// Where an entry of the map is.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: usize,
    page: Page,
    /// The bit of its piece.
    piece: u64,
}

/// What the drive knows of 4 KiB of the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    page: Page,
    /// The number of the fill that left it here.
    fill: u64,
    /// Pieces that say what the map says.
    valid: u64,
    /// Those of them that are known to have changed in the host's memory.
    spoilt: u64,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// The entry.
    Hit,
    /// Other bytes.
    Corrupt,
    /// That it is not there, without a look at the host's memory.
    Miss,
}

/// How far [`crate::Zms::hmb_next`] has come with a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    pub(crate) grain: usize,
    pub(crate) lpn: Option<u32>,
}

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Hmb {
    slots: Vec<Slot>,
    /// Slots that the host lends now.
    lent: u32,
    /// Slots of the latest buffer.
    last: u32,
    /// Fills so far.
    fills: u64,
    /// Slots filled by the command that is being worked.
    filled: Vec<u32>,
    /// Entries of a map page.
    entries: u32,
    /// From the request for a piece until it comes in.
    pub read: Nanos,
}

impl Hmb {
    /// The directory of a drive that asks for a buffer.
    pub fn new(config: &HostBuffer, entries: u32) -> Option<Self> {
        (config.slots > 0).then(|| Self {
            slots: vec![Slot::default(); config.slots as usize],
            lent: 0,
            last: 0,
            fills: 0,
            filled: Vec::with_capacity(MOST_FILLS),
            entries: entries.max(1),
            read: config.read,
        })
    }

    /// Slots that the host lends now.
    pub const fn lent(&self) -> u32 {
        self.lent
    }

    /// The host lends so many slots from now on, of which the first are used that there is a directory for; none: it has taken
    /// back what it lent. With `is_kept` it is the latest buffer again, as it was.
    pub fn lend(&mut self, slots: u32, is_kept: bool) {
        // A slot's map page follows from their number.
        let slots = slots.min(self.slots.len() as u32);
        if slots > 0 && !(is_kept && slots == self.last) {
            self.forget_all();
            self.last = slots;
        }
        self.lent = slots;
    }

    /// Nothing in the buffer counts any more.
    pub fn forget_all(&mut self) {
        self.slots.fill(Slot::default());
        self.filled.clear();
    }

    /// Power goes, and with it the host's memory.
    pub fn power_cut(&mut self) {
        self.forget_all();
        (self.lent, self.last) = (0, 0);
    }

    fn place(&self, namespace: u8, grain: Grain, first: u32) -> Place {
        let number = u64::from(first / self.entries);
        let space = (grain as u64) << 4 | u64::from(namespace);
        // Neighbours lie side by side; namespaces and granularities begin anywhere.
        let begin = Random::new(space).draw() >> 32;
        let slot = (number + begin) % u64::from(self.last.max(1));
        let piece = u64::from(first % self.entries) * u64::from(PIECES) / u64::from(self.entries);
        Place {
            slot: slot as usize,
            page: number << 8 | space << 1 | 1,
            piece: 1 << piece,
        }
    }

    /// The slot if it holds the map page.
    fn held(&mut self, place: Place) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(place.slot)?;
        (slot.page == place.page).then_some(slot)
    }

    /// A command begins.
    pub fn begin(&mut self) {
        self.filled.clear();
    }

    /// Looks for the entry of a unit.
    pub fn look_up(&mut self, namespace: u8, grain: Grain, first: u32) -> Looked {
        if self.lent == 0 {
            return Looked::Miss;
        }
        let place = self.place(namespace, grain, first);
        let Some(slot) = self.held(place) else {
            return Looked::Miss;
        };
        if slot.spoilt & place.piece != 0 {
            slot.valid &= !place.piece;
            slot.spoilt &= !place.piece;
            return Looked::Corrupt;
        }
        match slot.valid & place.piece {
            0 => Looked::Miss,
            _ => Looked::Hit,
        }
    }

    /// The map page with a unit's entry was read: whether it is left here.
    pub fn fill(&mut self, namespace: u8, grain: Grain, first: u32) -> bool {
        if self.lent == 0 || self.filled.len() >= MOST_FILLS {
            return false;
        }
        let place = self.place(namespace, grain, first);
        self.fills += 1;
        let new = Slot {
            page: place.page,
            fill: self.fills,
            valid: u64::MAX,
            spoilt: 0,
        };
        let Some(slot) = self.slots.get_mut(place.slot) else {
            return false;
        };
        *slot = new;
        self.filled.push(place.slot as u32);
        true
    }

    /// A unit's entry changes.
    pub fn forget(&mut self, namespace: u8, grain: Grain, first: u32) {
        let place = self.place(namespace, grain, first);
        if let Some(slot) = self.held(place) {
            slot.valid &= !place.piece;
            slot.spoilt &= !place.piece;
        }
    }

    /// The entries of `n` pages from `first` on do.
    pub fn forget_pages(&mut self, namespace: u8, first: u32, n: u32) {
        let end = first.saturating_add(n);
        let mut at = first;
        while at < end {
            self.forget(namespace, Grain::Page, at);
            at = self.next_piece(at);
        }
    }

    /// The first page whose entry is in the piece behind that of a page.
    fn next_piece(&self, lpn: u32) -> u32 {
        let (page, entry) = (lpn / self.entries, u64::from(lpn % self.entries));
        let (pieces, entries) = (u64::from(PIECES), u64::from(self.entries));
        let piece = entry * pieces / entries + 1;
        // The first entry that is so far, at most that of the next map page.
        let next = (piece * entries)
            .div_ceil(pieces)
            .max(entry + 1)
            .min(entries);
        page.saturating_mul(self.entries)
            .saturating_add(next as u32)
    }

    /// The next page from `lpn` on that another piece, or another unit of a granularity, has the entry of.
    pub fn after(&self, grain: Grain, lpn: u32, unit: (u32, u32)) -> u32 {
        match grain {
            Grain::Page => self.next_piece(lpn),
            _ => unit
                .0
                .saturating_add(unit.1.max(1))
                .max(lpn.saturating_add(1)),
        }
    }

    /// The slot and piece that a lookup of a unit's entry would read, if it would read one.
    pub fn wanted(&self, namespace: u8, grain: Grain, first: u32) -> Option<(u32, u32)> {
        let place = self.place(namespace, grain, first);
        let slot = self.slots.get(place.slot)?;
        let is_there = slot.page == place.page && slot.valid & !slot.spoilt & place.piece != 0;
        (self.lent > 0 && is_there).then(|| (place.slot as u32, place.piece.trailing_zeros()))
    }

    /// What was written to a piece of a slot.
    pub fn bytes(&self, slot: u32, piece: u32) -> [u8; PIECE_BYTES] {
        let held = self.slots.get(slot as usize).copied().unwrap_or_default();
        let head = [held.page, held.fill << 8 | u64::from(piece)];
        // What follows stands for the entries, and lets no byte change unseen.
        let mut random = Random::new(head[0].rotate_left(32) ^ head[1]);
        let words: [u64; WORDS] = core::array::from_fn(|word| match head.get(word) {
            Some(word) => *word,
            None => random.draw(),
        });
        let mut bytes = [0; PIECE_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Pieces of a slot are not in the host's memory as they were written.
    pub fn spoil(&mut self, slot: u32, pieces: u64) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.spoilt |= pieces & slot.valid;
        }
    }

    /// A slot that the latest command filled, which is to be written to the host's memory; each once.
    pub fn take_fill(&mut self) -> Option<u32> {
        self.filled.pop()
    }

    /// Is an error if a slot holds what does not belong there.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        ensure!(self.lent == 0 || self.lent == self.last, "lent slots");
        ensure!(self.last as usize <= self.slots.len(), "slots");
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.page == NONE {
                ensure!(*slot == Slot::default(), "an empty slot {index}");
                continue;
            }
            let grain = Grain::ALL.get((slot.page >> 5 & 7) as usize);
            let number = u32::try_from(slot.page >> 8).ok();
            let first = number.and_then(|number| number.checked_mul(self.entries));
            let place = grain
                .zip(first)
                .map(|(grain, first)| self.place((slot.page >> 1 & 0xf) as u8, *grain, first));
            let is_here = place.is_some_and(|place| place.slot == index && place.page == slot.page);
            ensure!(
                is_here && index < self.last as usize,
                "slot {index}: {slot:?}"
            );
            ensure!(slot.fill <= self.fills, "slot {index} of a fill to come");
            ensure!(slot.spoilt & !slot.valid == 0, "slot {index} of {slot:?}");
        }
        Ok(())
    }
}

/// Slots that hold something, by their numbers.
impl State for Hmb {
    fn encode(&self, out: &mut Encoder) {
        let Self {
            slots,
            lent,
            last,
            fills,
            filled: _,
            entries: _,
            read: _,
        } = self;
        lent.encode(out);
        last.encode(out);
        fills.encode(out);
        let held = slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.page != NONE);
        held.clone().count().encode(out);
        for (index, slot) in held {
            index.encode(out);
            for word in [slot.page, slot.fill, slot.valid, slot.spoilt] {
                out.put(word);
            }
        }
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        self.lent.decode(from)?;
        self.last.decode(from)?;
        self.fills.decode(from)?;
        let mut next = 0;
        for _ in 0..from.take()? {
            let index = from.take_below(self.slots.len() as u64)?;
            ensure!(index >= next, "slots are not in order");
            next = index + 1;
            let [page, fill, valid, spoilt] = [
                from.take_raw()?,
                from.take()?,
                from.take_raw()?,
                from.take_raw()?,
            ];
            ensure!(page != NONE, "slot {index} is empty");
            if let Some(slot) = self.slots.get_mut(index as usize) {
                *slot = Slot {
                    page,
                    fill,
                    valid,
                    spoilt,
                };
            }
        }
        self.check_invariants()
    }
}

#[cfg(test)]
mod tests;
