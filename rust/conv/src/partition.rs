// SPDX-License-Identifier: GPL-2.0-or-later
//! One partition: its map, its superblocks and its two write pointers.

use crate::pool::Pool;
use crate::shape::Shape;
use crate::Counters;
use ftl::{Error, Flash};
use nand::{BlockId, PlaneId};
use units::{Bytes, Instant, PAGE_BYTES};

/// Whose write pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The host's data.
    Host,
    /// What collection moves.
    Gc,
}

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Nowhere.
    Unmapped,
    /// In an incomplete one-shot page, i.e. in memory.
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

impl Pointer {
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
    owner: Vec<u32>,
    pub pool: Pool,
    pub host: Pointer,
    pub gc: Pointer,
    /// Emptied superblocks, some of whose pages wait in the collection's one-shot page.
    pub moved: Vec<u32>,
    /// When the last of the collection's programs ends.
    pub gc_ended: Instant,
    /// When the last of the host's programs ends.
    pub durable: Instant,
    pub counters: Counters,
}

impl Partition {
    pub fn new(shape: Shape, planes: Vec<PlaneId>, first_block: u32, threshold: u32) -> Self {
        Self {
            shape,
            planes,
            first_block,
            threshold,
            map: vec![0; shape.logical as usize],
            owner: vec![0; shape.physical() as usize],
            pool: Pool::new(shape.superblocks, shape.pages),
            host: Pointer::default(),
            gc: Pointer::default(),
            // Each has put at least one page into the incomplete one-shot page.
            moved: Vec::with_capacity(shape.unit as usize),
            gc_ended: Instant::ZERO,
            durable: Instant::ZERO,
            counters: Counters::default(),
        }
    }

    /// Where a page is.
    pub fn home(&self, page: u32) -> Home {
        let Some(location) = self.location(page) else {
            return Home::Unmapped;
        };
        if self.waits_in(&self.host, location) || self.waits_in(&self.gc, location) {
            return Home::Memory;
        }
        Home::Flash(self.flash_page(location))
    }

    /// Whether a page is in the host's incomplete one-shot page, where it can be rewritten.
    pub fn is_rewritable(&self, page: u32) -> bool {
        self.location(page)
            .is_some_and(|location| self.waits_in(&self.host, location))
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

    /// Gives a page a new location; returns the program that it completed, if it did. `at` is when
    /// it is in memory.
    ///
    /// # Errors
    /// No superblock is left. The page keeps its old location.
    pub fn append(
        &mut self,
        page: u32,
        writer: Writer,
        at: Instant,
        flash: &mut Flash,
    ) -> Result<Option<Program>, Error> {
        let superblock = match self.pointer(writer).superblock {
            Some(superblock) => superblock,
            None => self.open(writer, at, flash)?,
        };
        self.unmap(page);
        let shape = self.shape;
        let pointer = self.pointer_mut(writer);
        let location = superblock * shape.pages + pointer.next;
        pointer.next += 1;
        pointer.ready = pointer.ready.max(at);
        let complete = pointer.waiting() == shape.unit;
        if let Some(entry) = self.map.get_mut(page as usize) {
            *entry = location + 1;
        }
        if let Some(owner) = self.owner.get_mut(location as usize) {
            *owner = page + 1;
        }
        self.pool.add_valid(superblock);
        Ok(if complete {
            self.program(writer, flash)
        } else {
            None
        })
    }

    /// The host's data in the incomplete one-shot page is in memory at `at`, not earlier.
    pub fn settle(&mut self, at: Instant) {
        if self.host.waiting() > 0 {
            self.host.ready = self.host.ready.max(at);
        }
    }

    /// Programs the incomplete one-shot page, if there is one, as it is.
    pub fn program(&mut self, writer: Writer, flash: &mut Flash) -> Option<Program> {
        let shape = self.shape;
        let pointer = *self.pointer(writer);
        let superblock = pointer.superblock.filter(|_| pointer.waiting() > 0)?;
        let bytes = Bytes::new(u64::from(pointer.waiting()) * PAGE_BYTES);
        let place = self.flash_page(superblock * shape.pages + pointer.issued);
        let end = flash.program(pointer.ready, place.plane, place.block, bytes);
        let next = pointer.issued + shape.unit;
        self.counters.programs += 1;
        self.counters.pages_padded += u64::from(next - pointer.next);
        let pointer = self.pointer_mut(writer);
        (pointer.next, pointer.issued) = (next, next);
        pointer.ready = Instant::ZERO;
        if next == shape.pages {
            *pointer = Pointer::default();
            self.pool.close(superblock);
        }
        match writer {
            Writer::Host => self.durable = self.durable.max(end),
            Writer::Gc => {
                self.gc_ended = self.gc_ended.max(end);
                self.erase_moved(flash);
            }
        }
        Some(Program { bytes, end })
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

    /// Panics if the maps, the pool and the pointers disagree. For tests.
    pub fn check_invariants(&self) {
        for (page, entry) in (0..).zip(&self.map) {
            if let Some(location) = entry.checked_sub(1) {
                assert_eq!(self.owner(location), Some(page));
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
        self.pool.check_invariants(valid);
        let mapped = self.map.iter().filter(|entry| **entry != 0).count();
        let owners = self.owner.iter().filter(|owner| **owner != 0).count();
        assert_eq!(mapped, owners);
        for superblock in &self.moved {
            assert_eq!(valid(*superblock), 0);
        }
        assert!(self.moved.is_empty() || self.gc.waiting() > 0);
        for pointer in [&self.host, &self.gc] {
            assert!(pointer.waiting() < self.shape.unit);
            assert_eq!(pointer.issued % self.shape.unit, 0);
        }
    }

    fn location(&self, page: u32) -> Option<u32> {
        self.map.get(page as usize)?.checked_sub(1)
    }

    fn waits_in(&self, pointer: &Pointer, location: u32) -> bool {
        pointer.superblock.is_some_and(|superblock| {
            let first = superblock * self.shape.pages;
            (first + pointer.issued..first + pointer.next).contains(&location)
        })
    }

    fn open(&mut self, writer: Writer, at: Instant, flash: &mut Flash) -> Result<u32, Error> {
        if writer == Writer::Host {
            self.collect(at, flash);
        }
        let superblock = self.pool.take().ok_or(Error::CapacityExceeded)?;
        *self.pointer_mut(writer) = Pointer {
            superblock: Some(superblock),
            ..Pointer::default()
        };
        Ok(superblock)
    }

    const fn pointer(&self, writer: Writer) -> &Pointer {
        match writer {
            Writer::Host => &self.host,
            Writer::Gc => &self.gc,
        }
    }

    fn pointer_mut(&mut self, writer: Writer) -> &mut Pointer {
        match writer {
            Writer::Host => &mut self.host,
            Writer::Gc => &mut self.gc,
        }
    }
}
