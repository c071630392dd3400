// SPDX-License-Identifier: GPL-2.0-or-later
//! One partition: its map, its superblocks and the host's write pointer.

mod collect;
mod power;

pub(crate) use power::Rest;

use crate::pool::Pool;
use crate::shape::Shape;
use crate::Counters;
use collect::Collection;
use ftl::{Error, Event, Flash, Namespace, Observer, Place, Recent};
use nand::{BlockId, PlaneId};
use power::{Past, FEW_PAST};
use state::{ensure, sparse, state};
use units::{Bytes, Instant, PAGE_BYTES};

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Nowhere.
    Unmapped,
    /// In memory: its one-shot page is incomplete, or being programmed.
    Memory,
    /// In flash.
    Flash(FlashPage),
}

/// A flash page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlashPage {
    pub plane: PlaneId,
    pub block: BlockId,
    pub page: u64,
}

/// A program that has been issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Bytes that it moved.
    pub bytes: Bytes,
    /// When it ends.
    pub end: Instant,
}

/// A write pointer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pointer {
    /// The superblock being filled.
    pub superblock: Option<u32>,
    /// Its next page.
    pub next: u32,
    /// Its first page whose program has not been issued.
    pub issued: u32,
    /// When the last page of the incomplete one-shot page was in memory.
    pub ready: Instant,
}

state!(Pointer {
    superblock,
    next,
    issued,
    ready
});

impl Pointer {
    /// Is an error unless it is in a superblock, and at a one-shot page that is not complete.
    pub fn check(&self, shape: &Shape) -> Result<(), state::Error> {
        let end = match self.superblock {
            None => 1,
            Some(superblock) => {
                ensure!(superblock < shape.superblocks, "superblock {superblock}");
                shape.pages
            }
        };
        ensure!(
            self.issued <= self.next && self.next < end && self.issued % shape.unit == 0,
            "pages {} and {} of {end}",
            self.issued,
            self.next
        );
        Ok(())
    }

    /// Pages of the incomplete one-shot page.
    pub const fn waiting(&self) -> u32 {
        self.next - self.issued
    }
}

/// A partition. Locations are superblock x pages + index, and 0 means none in both maps.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub shape: Shape,
    planes: Vec<PlaneId>,
    /// The number of its first block, for planes to tell blocks apart.
    first_block: u32,
    pub threshold: u32,
    /// Location + 1 by logical page.
    map: Vec<u32>,
    /// Logical page + 1 by location.
    pub owner: Vec<u32>,
    pub pool: Pool,
    pub host: Pointer,
    /// The old versions of what is in the host's incomplete one-shot page.
    pub replaced: Vec<Past>,
    /// Copies replaced by what is not programmed yet, and some by what is; the newest last.
    pub past: Recent<Past, FEW_PAST>,
    pub gc: Collection,
    /// When the last of the host's programs ends.
    pub durable: Instant,
    pub counters: Counters,
    pub namespace: Namespace,
    /// Page n of it is page n x `of` + `index` of the namespace.
    pub index: u32,
    pub of: u32,
    pub observer: Observer,
}

state!(Partition {
    map[sparse], pool, host, replaced, past, gc, durable, counters;
    shape, planes, first_block, threshold, owner, namespace, index, of, observer
} => restore);

impl Partition {
    /// Partition `index` of `of`.
    pub fn new(
        shape: Shape,
        planes: Vec<PlaneId>,
        first_block: u32,
        threshold: u32,
        (index, of): (u32, u32),
    ) -> Self {
        Self {
            shape,
            planes,
            first_block,
            threshold,
            map: vec![0; shape.logical as usize],
            owner: vec![0; shape.physical() as usize],
            pool: Pool::new(shape.superblocks, shape.pages),
            host: Pointer::default(),
            replaced: Vec::with_capacity(shape.unit as usize),
            past: Recent::with_capacity(1 << 10),
            gc: Collection::new(Self::most_issued(shape.lanes), shape.unit),
            durable: Instant::ZERO,
            counters: Counters::default(),
            namespace: Namespace::Data,
            index,
            of,
            observer: Observer::default(),
        }
    }

    /// Where a page is at `at`.
    pub fn home(&self, page: u32, at: Instant, flash: &Flash) -> Home {
        let Some(location) = self.location(page) else {
            return Home::Unmapped;
        };
        let from = self.flash_page(location);
        if self.waits(location) || flash.is_held(at, from.plane, from.block, from.page) {
            return Home::Memory;
        }
        Home::Flash(from)
    }

    /// Whether a page is in the host's incomplete one-shot page, where it can be rewritten.
    pub fn is_rewritable(&self, page: u32) -> bool {
        self.location(page)
            .is_some_and(|location| self.waits(location))
    }

    /// Unmaps a page; says whether it was mapped.
    pub fn unmap(&mut self, page: u32) -> bool {
        let Some(entry) = self.map.get_mut(page as usize) else {
            return false;
        };
        let Some(location) = core::mem::take(entry).checked_sub(1) else {
            return false;
        };
        if let Some(owner) = self.owner.get_mut(location as usize) {
            *owner = 0;
        }
        self.pool.remove_valid(location / self.shape.pages);
        true
    }

    /// The superblock that the host's next page goes to.
    ///
    /// # Errors
    /// None is left.
    pub fn open_for_host(&mut self, at: Instant, flash: &mut Flash) -> Result<u32, Error> {
        match self.host.superblock {
            Some(superblock) => Ok(superblock),
            None => self.open(at, flash),
        }
    }

    /// Gives a page that the host writes a new location in its superblock; returns the program that it completed, if it
    /// did. `at` is when it is in memory.
    pub fn append(
        &mut self,
        superblock: u32,
        page: u32,
        at: Instant,
        flash: &mut Flash,
    ) -> Option<Program> {
        if let Some(old) = self.location(page) {
            let past = self.past(page, old, flash);
            self.replaced.push(past);
        }
        self.unmap(page);
        let location = superblock * self.shape.pages + self.host.next;
        self.host.next += 1;
        self.host.ready = self.host.ready.max(at);
        self.map_to(page, location);
        let program = if self.host.waiting() == self.shape.unit {
            self.program(flash)
        } else {
            None
        };
        self.pace(at, flash);
        program
    }

    /// An unmapped page is at `location` from now on.
    pub fn map_to(&mut self, page: u32, location: u32) {
        if let Some(entry) = self.map.get_mut(page as usize) {
            *entry = location + 1;
        }
        if let Some(owner) = self.owner.get_mut(location as usize) {
            *owner = page + 1;
        }
        self.pool.add_valid(location / self.shape.pages);
    }

    /// The host's data in the incomplete one-shot page is in memory at `at`, not earlier.
    pub fn settle(&mut self, at: Instant) {
        if self.host.waiting() > 0 {
            self.host.ready = self.host.ready.max(at);
        }
    }

    /// Programs the host's incomplete one-shot page, if there is one, as it is.
    pub fn program(&mut self, flash: &mut Flash) -> Option<Program> {
        let shape = self.shape;
        let pointer = self.host;
        let superblock = pointer.superblock.filter(|_| pointer.waiting() > 0)?;
        let bytes = Bytes::new(u64::from(pointer.waiting()) * PAGE_BYTES);
        let first = superblock * shape.pages + pointer.issued;
        let FlashPage { plane, block, page } = self.flash_page(first);
        let end = flash.program(pointer.ready, plane, block, page, bytes);
        self.note_programmed(first..first + pointer.waiting(), end);
        let next = pointer.issued + shape.unit;
        self.counters.programs += 1;
        self.counters.pages_padded += u64::from(next - pointer.next);
        self.host = Pointer {
            superblock: Some(superblock),
            next,
            issued: next,
            ready: Instant::ZERO,
        };
        if next == shape.pages {
            self.host = Pointer::default();
            self.pool.close(superblock);
        }
        self.durable = self.durable.max(end);
        for at in 0..self.replaced.len() {
            if let Some(&old) = self.replaced.get(at) {
                self.pool.settle(old.location / shape.pages, end);
                self.remember(old, end, false, flash.now());
            }
        }
        self.replaced.clear();
        self.reap(flash);
        Some(Program { bytes, end })
    }

    fn note_programmed(&mut self, locations: core::ops::Range<u32>, end: Instant) {
        for location in locations {
            if let Some(page) = self.owner(location) {
                self.note(|p| Event::Copied {
                    namespace: p.namespace,
                    lpn: p.lpn(page),
                    from: None,
                    to: p.place(location),
                    durable: Some(end),
                });
            }
        }
    }

    /// Tells the observer, if there is one.
    pub fn note(&mut self, event: impl FnOnce(&Self) -> Event) {
        if self.observer.is_on() {
            let event = event(self);
            self.observer.note(|| event);
        }
    }

    /// The namespace's number of a page.
    pub fn lpn(&self, page: u32) -> u64 {
        u64::from(page) * u64::from(self.of) + u64::from(self.index)
    }

    /// Where a location is, for the observer.
    pub fn place(&self, location: u32) -> Place {
        let FlashPage { plane, block, page } = self.flash_page(location);
        let index = location % self.shape.pages % self.shape.unit % self.shape.flash_page;
        Place {
            plane,
            block,
            page: page * u64::from(self.shape.flash_page) + u64::from(index),
        }
    }

    /// The flash page that a location is in.
    pub fn flash_page(&self, location: u32) -> FlashPage {
        let superblock = location / self.shape.pages;
        let (lane, page) = self.shape.lane(location % self.shape.pages);
        let plane = self.planes.get(lane as usize).copied();
        FlashPage {
            plane: plane.unwrap_or(PlaneId(0)),
            block: self.block(superblock),
            page: u64::from(page),
        }
    }

    /// The number of a superblock's blocks.
    pub fn block(&self, superblock: u32) -> BlockId {
        BlockId(self.first_block.wrapping_add(superblock))
    }

    /// Its planes.
    pub fn planes(&self) -> &[PlaneId] {
        &self.planes
    }

    /// The logical page that is valid at a location.
    pub fn owner(&self, location: u32) -> Option<u32> {
        self.owner.get(location as usize)?.checked_sub(1)
    }

    /// Finds the owners of what is mapped.
    fn restore(&mut self) -> Result<(), state::Error> {
        for (page, entry) in (0u32..).zip(&self.map) {
            let Some(location) = entry.checked_sub(1) else {
                continue;
            };
            let owner = self.owner.get_mut(location as usize);
            let Some(owner) = owner.filter(|owner| **owner == 0) else {
                return Err(state::Error::new(format!(
                    "page {page} cannot be at {location}"
                )));
            };
            *owner = page + 1;
        }
        self.host.check(&self.shape)?;
        ensure!(self.replaced.len() <= self.shape.unit as usize);
        let is_there = |p: &Past| p.location < self.shape.physical();
        ensure!(self.replaced.iter().chain(self.past.iter()).all(is_there));
        self.check_moves()?;
        self.check_invariants()
    }

    /// Is an error if the maps, the pool and the pointers disagree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        for (page, entry) in (0..).zip(&self.map) {
            if let Some(location) = entry.checked_sub(1) {
                state::ensure_eq!(self.owner(location), Some(page));
            }
        }
        let valid = |superblock: u32| {
            let first = (superblock * self.shape.pages) as usize;
            let owners = self
                .owner
                .iter()
                .skip(first)
                .take(self.shape.pages as usize);
            owners.filter(|owner| **owner != 0).count() as u32
        };
        self.pool.check_invariants(valid)?;
        let mapped = self.map.iter().filter(|entry| **entry != 0).count();
        let owners = self.owner.iter().filter(|owner| **owner != 0).count();
        state::ensure_eq!(mapped, owners);
        state::ensure!(self.host.waiting() < self.shape.unit);
        state::ensure_eq!(self.host.issued % self.shape.unit, 0);
        state::ensure!(self.host.waiting() > 0 || self.replaced.is_empty());
        self.check_collection()
    }

    /// The location of a page.
    pub fn location(&self, page: u32) -> Option<u32> {
        self.map.get(page as usize)?.checked_sub(1)
    }

    /// Nothing is mapped any more.
    pub fn clear(&mut self) {
        self.map.fill(0);
        self.owner.fill(0);
    }

    /// Whether a location is in the host's incomplete one-shot page.
    pub fn waits(&self, location: u32) -> bool {
        self.host.superblock.is_some_and(|superblock| {
            let first = superblock * self.shape.pages;
            (first + self.host.issued..first + self.host.next).contains(&location)
        })
    }

    fn open(&mut self, at: Instant, flash: &mut Flash) -> Result<u32, Error> {
        self.make_room(at, flash);
        if self.pool.free() <= Self::RESERVE {
            return Err(Error::CapacityExceeded);
        }
        let superblock = self.pool.take().ok_or(Error::CapacityExceeded)?;
        self.host = Pointer {
            superblock: Some(superblock),
            ..Pointer::default()
        };
        Ok(superblock)
    }
}
