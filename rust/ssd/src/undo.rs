// SPDX-License-Identifier: GPL-2.0-or-later
//! The bytes of pages without zones that a power cut can bring back.
//!
//! ```text
//!   versions of a page   v3 durable   v4 programmed soon   v5 in the buffer, never copied   v6 the newest
//!   its bytes            undo area    undo area            not kept: it cannot come back    where they belong
//! ```
//! The model tells where it puts copies of a page, and when they are durable ([`Event`]); of a power cut it tells which copy
//! is left. So a page is followed from when it is overwritten until its newest version is durable: meanwhile the bytes of
//! each version that has a copy, and of the one before all these, lie in slots of the undo area, behind the
//! namespaces in the media. Nobody here moves bytes: what is to be put aside is asked for ([`Undo::take_kept`]) before the
//! page is overwritten.
//!
//! If the slots do not suffice, a version is not kept, and counted when a cut would have brought it back.

use core::ops::Range;
use ftl::{Event, Namespace, Place};
use nand::BlockId;
use state::{ensure, state, Decoder, Encoder, Error, State};
use std::collections::{BTreeMap, BTreeSet};
use units::{Instant, Nanos, PAGE_BYTES};

/// Where a copy is, in an order.
type At = ((u32, u32), u64);
/// A page: whether it is of the data namespace, and its number there.
type Page = (bool, u64);

/// The version that was the newest, and durable, when a page began to be followed.
const BASE: u64 = 0;

/// A version whose bytes are in a slot; `None`: there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kept {
    version: u64,
    slot: Option<u32>,
    /// Its sectors that could not be read, a bit each ([`crate::uncorrectable`]).
    unreadable: u8,
}

/// A copy in flash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Copy {
    version: u64,
    at: At,
    /// From when on; it is not known while its wordline is incomplete.
    durable: Option<Instant>,
}

impl Copy {
    fn is_durable(&self, at: Instant) -> bool {
        self.durable.is_some_and(|durable| durable <= at)
    }
}

/// A page that is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Followed {
    newest: u64,
    /// Older versions, in order.
    kept: Vec<Kept>,
    /// In the order in which they were made.
    copies: Vec<Copy>,
}

impl Followed {
    /// The newest version that is durable.
    fn durable(&self, at: Instant) -> Option<u64> {
        let durable = self.copies.iter().filter(|copy| copy.is_durable(at));
        durable.map(|copy| copy.version).max()
    }
}

impl Followed {
    /// What it has where the copy at `at` is left when flash stopped at `off`.
    fn left(&self, at: At, off: Instant) -> Left {
        let mut copies = self.copies.iter();
        let copy = copies.rfind(|copy| copy.at == at && copy.is_durable(off));
        let version = copy.map_or(BASE, |copy| copy.version);
        let kept = self.kept.iter().find(|kept| kept.version == version);
        match kept.map(|kept| (kept.slot, kept.unreadable)) {
            _ if version == self.newest => Left::Newest,
            Some((Some(slot), unreadable)) => Left::Slot { slot, unreadable },
            Some((None, _)) | None => Left::Missing,
        }
    }

    /// The program that the newest version is waited for in at `off`, if it is nowhere yet: its block, and how long it takes
    /// still. (What waits for its wordline is in none.)
    fn awaited(&self, off: Instant) -> Option<(BlockId, Nanos)> {
        let of_newest = |copy: &&Copy| copy.version == self.newest;
        let newest = self.copies.iter().filter(of_newest);
        let left = newest.filter_map(|copy| {
            let (_, block) = copy.at.0;
            Some((BlockId(block), copy.durable?.since(off)))
        });
        // Nothing is left of one that has ended.
        let first = left.min_by_key(|(_, left)| *left)?;
        (first.1 > Nanos::ZERO).then_some(first)
    }
}

/// What a power cut makes of a page that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It has none any more, which the model says.
    Nothing,
    /// It has its newest bytes.
    Newest,
    /// It has those of a slot, of which these sectors, a bit each, could not be read.
    Slot { slot: u32, unreadable: u8 },
    /// It would have older ones, which were not kept.
    Missing,
}

/// Versions of pages that are not durable yet, and what was before them.
#[derive(Clone, Debug)]
pub(crate) struct Undo {
    /// Whether a namespace is followed: meta, data.
    follows: [bool; 2],
    slots: u32,
    /// Those of them that are not in use.
    free: BTreeSet<u32>,
    pages: BTreeMap<Page, Followed>,
    /// The page whose copy was put to a place last.
    places: BTreeMap<At, Page>,
    /// The latest version of any page.
    latest: u64,
    /// When it was last looked for slots that are not needed.
    swept: Instant,
    /// Pages to be put aside, and the slots for them.
    to_keep: Vec<(Page, u32)>,
    /// Pages that were dropped, for their memory.
    spare: Vec<Followed>,
}

fn place(at: Place) -> At {
    ((at.plane.0, at.block.0), at.page)
}

impl Undo {
    /// For pages of namespaces without zones (meta, data), with so many slots.
    pub fn new(follows: [bool; 2], slots: u32) -> Self {
        Self {
            follows,
            slots,
            free: (0..slots).collect(),
            pages: BTreeMap::new(),
            places: BTreeMap::new(),
            latest: BASE,
            swept: Instant::ZERO,
            to_keep: Vec::with_capacity(slots.min(1 << 12) as usize),
            spare: Vec::new(),
        }
    }

    /// Something happened to a page, until `now`; which sectors of a page could not be read before, a bit each.
    pub fn note(
        &mut self,
        event: &Event,
        now: Instant,
        unreadable: impl FnOnce(Namespace, u64) -> u8,
    ) {
        match *event {
            Event::Entered { namespace, lpn } if self.is_followed(namespace) => {
                let page = (namespace == Namespace::Data, lpn);
                self.entered(page, now, unreadable(namespace, lpn));
            }
            Event::Copied {
                namespace,
                lpn,
                from,
                to,
                durable,
            } if self.is_followed(namespace) => {
                let page = (namespace == Namespace::Data, lpn);
                self.copied(page, from.map(place), place(to), durable);
            }
            Event::Durable { place: at, at: end } | Event::Delayed { place: at, at: end } => {
                self.durable(place(at), end);
            }
            Event::Dropped {
                namespace,
                first,
                pages,
            } if self.is_followed(namespace) => {
                let of = namespace == Namespace::Data;
                let last = first.saturating_add(pages);
                while let Some((&page, _)) = self.pages.range((of, first)..(of, last)).next() {
                    self.forget(page);
                }
            }
            Event::Entered { .. }
            | Event::Copied { .. }
            | Event::Dropped { .. }
            | Event::Kept { .. }
            | Event::Survived { .. } => {}
        }
    }

    fn is_followed(&self, namespace: Namespace) -> bool {
        let [meta, data] = self.follows;
        match namespace {
            Namespace::Meta => meta,
            Namespace::Data => data,
        }
    }

    /// A page is to be overwritten.
    fn entered(&mut self, page: Page, now: Instant, unreadable: u8) {
        if self.free.is_empty() && self.swept < now {
            self.sweep(now);
        }
        let old = match self.pages.get(&page) {
            None => Some(BASE),
            Some(f) => {
                let has_copy = f.copies.iter().any(|copy| copy.version == f.newest);
                has_copy.then_some(f.newest)
            }
        };
        let slot = old.map(|_| self.free.pop_first());
        self.latest = self.latest.saturating_add(1);
        let latest = self.latest;
        let spare = &mut self.spare;
        let followed = self
            .pages
            .entry(page)
            .or_insert_with(|| spare.pop().unwrap_or_default());
        if let (Some(version), Some(slot)) = (old, slot) {
            followed.kept.push(Kept {
                version,
                slot,
                unreadable,
            });
            self.to_keep.extend(slot.map(|slot| (page, slot)));
        }
        followed.newest = latest;
    }

    /// A copy of a page is made: of what is at `from`, or of its newest version.
    fn copied(&mut self, page: Page, from: Option<At>, to: At, durable: Option<Instant>) {
        self.places.remove(&to);
        let Some(followed) = self.pages.get_mut(&page) else {
            return;
        };
        let version = match from {
            None => Some(followed.newest),
            Some(from) => {
                let copy = followed.copies.iter().rfind(|copy| copy.at == from);
                copy.map(|copy| copy.version)
            }
        };
        // Of what was before all that is followed, copies may be anywhere.
        let Some(version) = version else { return };
        followed.copies.push(Copy {
            version,
            at: to,
            durable,
        });
        self.places.insert(to, page);
    }

    fn durable(&mut self, at: At, end: Instant) {
        let page = self.places.get(&at);
        let Some(followed) = page.and_then(|page| self.pages.get_mut(page)) else {
            return;
        };
        if let Some(copy) = followed.copies.iter_mut().rfind(|copy| copy.at == at) {
            copy.durable = Some(end);
        }
    }

    /// A page need not be followed any longer.
    fn forget(&mut self, page: Page) {
        let Some(mut followed) = self.pages.remove(&page) else {
            return;
        };
        for kept in followed.kept.drain(..) {
            self.release(kept);
        }
        for copy in followed.copies.drain(..) {
            if self.places.get(&copy.at) == Some(&page) {
                self.places.remove(&copy.at);
            }
        }
        self.to_keep.retain(|(kept, _)| *kept != page);
        self.spare.push(followed);
    }

    fn release(&mut self, kept: Kept) {
        self.free.extend(kept.slot);
    }

    /// Forgets, when there are no slots left and once an instant, what no power cut from `now` on can bring back.
    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        let durable = |(page, f): (&Page, &Followed)| Some((*page, f.newest, f.durable(now)?));
        let all: Vec<_> = self.pages.iter().filter_map(durable).collect();
        for (page, newest, durable) in all {
            if durable == newest {
                self.forget(page);
                continue;
            }
            let Some(followed) = self.pages.get_mut(&page) else {
                continue;
            };
            let older = followed.kept.partition_point(|k| k.version < durable);
            let older: Vec<_> = followed.kept.drain(..older).collect();
            followed.copies.retain(|copy| copy.version >= durable);
            older.into_iter().for_each(|kept| self.release(kept));
        }
    }

    /// A page that is to be put aside before anything is overwritten, and the slot for it.
    pub fn take_kept(&mut self) -> Option<(Namespace, u64, u32)> {
        let ((data, lpn), slot) = self.to_keep.pop()?;
        let namespace = if data {
            Namespace::Data
        } else {
            Namespace::Meta
        };
        Some((namespace, lpn, slot))
    }

    /// What a power cut, with which flash stopped at `off`, leaves of pages that are followed, in their order, and the program
    /// that each was waited for in ([`Followed::awaited`]). From then on none is. `events` is what the model told of the cut.
    pub fn power_cut(
        &mut self,
        events: &[Event],
        off: Instant,
        mut each: impl FnMut(Namespace, u64, Left, Option<(BlockId, Nanos)>),
    ) {
        let mut survived = BTreeMap::new();
        for event in events {
            match *event {
                Event::Survived { namespace, lpn, at } => {
                    survived.insert((namespace == Namespace::Data, lpn), at.map(place));
                }
                // What recovery copies is of what survived.
                Event::Copied { namespace, lpn, .. }
                    if survived.contains_key(&(namespace == Namespace::Data, lpn)) => {}
                // Of the host's commands none is among them.
                ref before => self.note(before, off, |_, _| 0),
            }
        }
        for (page, followed) in core::mem::take(&mut self.pages) {
            let left = match survived.get(&page) {
                Some(Some(at)) => followed.left(*at, off),
                Some(None) | None => Left::Nothing,
            };
            let namespace = if page.0 {
                Namespace::Data
            } else {
                Namespace::Meta
            };
            each(namespace, page.1, left, followed.awaited(off));
        }
        self.places.clear();
        self.to_keep.clear();
        self.free = (0..self.slots).collect();
    }

    /// The last page of a namespace that is followed, or to be put aside.
    pub fn last_page(&self, of: Namespace) -> Option<u64> {
        let all = self
            .pages
            .keys()
            .chain(self.to_keep.iter().map(|(page, _)| page));
        let is_data = of == Namespace::Data;
        all.filter(|page| page.0 == is_data)
            .map(|page| page.1)
            .max()
    }

    /// Nothing is followed any longer.
    pub fn clear(&mut self) {
        let all: Vec<_> = self.pages.keys().copied().collect();
        all.into_iter().for_each(|page| self.forget(page));
    }

    /// Size of the undo area.
    pub fn bytes(&self) -> u64 {
        u64::from(self.slots) * PAGE_BYTES
    }

    /// Bytes of the undo area that are in use, in pieces that may touch.
    pub fn written(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let used = (0..self.slots).filter(|slot| !self.free.contains(slot));
        used.map(u64::from)
            .map(|slot| slot * PAGE_BYTES..(slot + 1) * PAGE_BYTES)
    }
}

state!(Kept {
    version,
    slot,
    unreadable
});
state!(Copy {
    version,
    at,
    durable
});
state!(Followed {
    newest,
    kept,
    copies
});

/// A map as pairs in order.
mod pairs {
    use super::{BTreeMap, Decoder, Encoder, Error, State};

    pub fn encode<K: State, V: State>(map: &BTreeMap<K, V>, out: &mut Encoder) {
        map.len().encode(out);
        for (key, value) in map {
            key.encode(out);
            value.encode(out);
        }
    }

    pub fn decode<K: State + Default + Ord, V: State + Default>(
        map: &mut BTreeMap<K, V>,
        from: &mut Decoder<'_>,
    ) -> Result<(), Error> {
        map.clear();
        // Each pair takes a byte at least.
        for _ in 0..from.take_below(from.left() as u64 + 1)? {
            let (mut key, mut value) = (K::default(), V::default());
            key.decode(from)?;
            value.decode(from)?;
            map.insert(key, value);
        }
        Ok(())
    }
}

state!(Undo {
    pages[pairs], places[pairs], latest, swept, to_keep;
    follows, slots, free, spare
} => restore);

impl Undo {
    /// Finds the slots that are in use.
    fn restore(&mut self) -> Result<(), Error> {
        let slots = self.slots;
        self.free = (0..slots).collect();
        for (page, followed) in &self.pages {
            let mut last = None;
            for kept in &followed.kept {
                let is_next = last < Some(kept.version) && kept.version < followed.newest;
                ensure!(is_next, "version {} of page {}", kept.version, page.1);
                last = Some(kept.version);
                let Some(slot) = kept.slot else { continue };
                ensure!(
                    self.free.remove(&slot),
                    "slot {slot} of {slots} is taken, or none"
                );
            }
            ensure!(
                followed.newest <= self.latest,
                "version {}",
                followed.newest
            );
        }
        let is_used = |slot: &u32| *slot < slots && !self.free.contains(slot);
        ensure!(
            self.to_keep.iter().all(|(_, slot)| is_used(slot)),
            "a slot of no page"
        );
        Ok(())
    }
}
