// SPDX-License-Identifier: GPL-2.0-or-later
//! Page-mapped namespaces: meta (all pSLC) and block data (pSLC and native) (zms-model §8).
//!
//! ```text
//!   host -> one write buffer --flush--> pSLC, or whole units with A -> native   (block, bypass)
//!                                  \--> pSLC                                    (meta; no bypass)
//! ```
//! The map is one 32-bit word a page: a location and whether a newer copy is in the buffer. The
//! old copy stays valid until the buffered one is in flash.
//!
//! Invariants: see [`Paged::check_invariants`].

use crate::area::{Area, Pointer, Why};
use crate::config::{Config, ConfigError};
use crate::core::Core;
use crate::index::Index;
use crate::l2p::{Grain, Key};
use crate::mover::Mover;
use crate::read::{Found, Map, Search, Wanted};
use crate::sparse::Sparse;
use crate::stats::count_flush;
use crate::superblock::{FlashPage, Loc, Pool, SbState, NATIVE, NONE};
use crate::write::{Cause, Write};
use crate::Error;
use ftl::{Counters, Event, Namespace, Observer, Place};
use nand::{Moved, Purpose};
use state::{ensure, ensure_eq, state};
use units::{Bytes, Instant, Nanos, Sector, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

/// In the map: a newer copy is in the buffer.
pub(crate) const BUFFERED: u32 = 1 << 31;
/// In the map, apart from [`BUFFERED`]: no copy in flash.
pub(crate) const NOWHERE: u32 = BUFFERED - 1;

/// A page-mapped namespace, number `NS` in the cache's keys.
#[derive(Clone, Debug)]
pub(crate) struct Paged<const NS: u8> {
    pub map: Sparse<NOWHERE>,
    /// Durable copies of pages whose mapped copy sits in an incomplete wordline.
    pub held: Index,
    /// Pages in the write buffer.
    pub buffer: Vec<u32>,
    capacity: u32,
    pub dwell: Option<Nanos>,
    pub free: Instant,
    since: Instant,
    pub slc: Area,
    pub native: Option<Area>,
    pub bypass: bool,
    pub unit: u32,
    pub gc_threshold: u32,
    pub migrate_threshold: u32,
    /// The secondary buffer: fewer pages than a unit, all in pSLC. Only while what a collection leaves
    /// over has just joined it they are more.
    pub a: Vec<u32>,
    /// Native flash pages at the host's write pointer that are complete or have a backup.
    pub backed: u32,
    pub durable: Instant,
    pub search: Search,
    pub mover: Mover,
    /// Whether the victim is a native superblock.
    pub collects: bool,
    /// Whether the victim's pages stay in pSLC although they could go native.
    pub packs: bool,
    /// Taking a native superblock has left few: one is to be emptied next.
    pub collects_next: bool,
    /// Pages of a unit, or loaded ones that a backup is being made of; kept for its memory.
    scratch: Vec<u32>,
    pub counters: Counters,
}

// Dwell windows can be changed while the drive runs: whoever decodes has set them.
state!(Paged<const NS: u8> {
    map, held, buffer, free, since, slc, native[fixed], a, backed, durable, mover, collects,
    packs, collects_next, counters;
    capacity, dwell, bypass, unit, gc_threshold, migrate_threshold, search, scratch
} => restore);

impl<const NS: u8> Paged<NS> {
    /// An empty namespace of `size` on the pools given.
    pub fn new(
        config: &Config,
        size: Bytes,
        buffer: u32,
        slc: Pool,
        native: Option<Pool>,
    ) -> Result<Self, ConfigError> {
        let pages = usize::try_from(size.get() / PAGE_BYTES).map_err(|_| ConfigError::BlockSize)?;
        let unit = config.geometry.unit_lpns();
        let stripe = native.as_ref().map_or(0, Pool::stripe);
        let row = config.geometry.planes_per_group() * config.geometry.lpns_per_page();
        let kept = match &native {
            Some(_) => config.kept_for_moves(),
            None => slc.pages,
        };
        Ok(Self {
            map: Sparse::new(pages),
            held: Index::new(stripe.saturating_mul(2)),
            buffer: Vec::with_capacity(buffer as usize),
            capacity: buffer,
            dwell: config.buffers.dwell,
            free: Instant::ZERO,
            since: Instant::ZERO,
            slc: Area::new(slc, kept),
            bypass: native.is_some() && config.slc_bypass,
            native: native.map(|pool| {
                let kept = pool.pages;
                Area::new(pool, kept)
            }),
            unit,
            gc_threshold: config.gc_threshold,
            migrate_threshold: config.migrate_threshold,
            a: Vec::with_capacity(2 * unit as usize),
            backed: 0,
            durable: Instant::ZERO,
            search: Search {
                strategy: config.l2p.search,
                preread: config.l2p.preread,
            },
            mover: Mover::new(stripe.max(row)),
            collects: false,
            packs: false,
            collects_next: false,
            scratch: Vec::with_capacity(unit.max(stripe) as usize),
            counters: Counters::default(),
        })
    }

    pub const NAME: Namespace = if NS == 0 {
        Namespace::Meta
    } else {
        Namespace::Data
    };

    /// Whose programs its are; zones have smaller numbers.
    const OWNER: u32 = NONE - 1 - NS as u32;

    /// Its buffer's number.
    const FLUSH: u32 = 0;

    /// A flush of its buffer.
    const FLUSHED: Why = Why {
        owner: Self::OWNER,
        buffer: Self::FLUSH,
    };

    /// Sectors of the namespace.
    pub fn sectors(&self) -> u64 {
        self.map.len() as u64 * PAGE_SECTORS
    }

    pub fn read(
        &mut self,
        core: &mut Core,
        at: Sector,
        sectors: u64,
        internal: bool,
        now: Instant,
    ) -> Instant {
        let wanted = Wanted::new(at, sectors, internal);
        let (done, tally) = crate::read::read(core, self, self.search, wanted, now);
        tally.add_to(&mut self.counters, wanted, now, done);
        done
    }

    pub fn is_unmapped(&self, lpn: u32) -> bool {
        self.word(lpn) == NOWHERE
    }

    /// Writes; returns the completion.
    pub fn write(&mut self, core: &mut Core, write: Write, now: Instant) -> Result<Instant, Error> {
        let end = write.at.get() + write.sectors;
        let mut cursor = write.at.get();
        let mut done = now;
        // Only what there is not room for at once can be refused after a part of it was written.
        let pages = end.div_ceil(PAGE_SECTORS) - cursor / PAGE_SECTORS;
        let whole = self.reserve(core, pages, now);
        if self.piece(cursor, end).1 == end {
            whole?;
        }
        while cursor < end {
            // Piece by piece, each of which pSLC has room for whatever happens.
            let (fresh, to) = self.piece(cursor, end);
            self.reserve(core, fresh as u64, now)?;
            done = self.take_in(core, cursor, to, write.data, done);
            self.counters.host_write_pages += to.div_ceil(PAGE_SECTORS) - cursor / PAGE_SECTORS;
            cursor = to;
        }
        if write.fua {
            done = done.max(self.make_durable(core, done));
        }
        self.counters.host_write_sectors += write.sectors;
        self.counters.host_writes += 1;
        self.counters.write_latency.add(done.since(now));
        Ok(done)
    }

    /// Moves sectors into the buffer, piece by piece; returns the last piece's arrival.
    fn take_in(
        &mut self,
        core: &mut Core,
        from: u64,
        end: u64,
        data: bool,
        now: Instant,
    ) -> Instant {
        let mut at = self.buffer_free(core, now);
        let mut cursor = from;
        let mut done = now;
        while cursor < end {
            let (fresh, to) = self.piece(cursor, end);
            at = self.fetch_partial(core, cursor, to, at);
            let touched = cursor / PAGE_SECTORS..to.div_ceil(PAGE_SECTORS);
            let cost = core.costs.buffer_page.times(touched.end - touched.start);
            at += core.costs.buffer_base + cost;
            if data {
                let bytes = Bytes::new((to - cursor) * SECTOR_BYTES);
                at = core.link.transfer(at, bytes);
            }
            done = at;
            if self.buffer.is_empty() && fresh > 0 {
                self.since = at;
            }
            self.enter(cursor, to);
            core.observer.each(touched, |lpn| Event::Entered {
                namespace: Self::NAME,
                lpn,
            });
            self.free = at;
            cursor = to;
            if self.buffer.len() >= self.capacity as usize {
                at = self.flush(core, Cause::Full, at);
                if cursor < end {
                    at = self.buffer_free(core, at);
                }
            }
        }
        done
    }

    /// When the buffer, which is needed from `at` on, can take data. A command waits for that: it stays so.
    fn buffer_free(&mut self, core: &mut Core, at: Instant) -> Instant {
        if self.free <= at && !core.is_halting() {
            return at;
        }
        let is_flush = |why: &Purpose| (why.owner, why.flush) == (Self::OWNER, Self::FLUSH);
        at.max(self.free)
            .max(core.media.tell(|why, _| is_flush(why)))
    }

    /// How far from `cursor` the buffer has room: pages new to it, and the sector reached.
    fn piece(&self, cursor: u64, end: u64) -> (usize, u64) {
        let room = self.capacity as usize - self.buffer.len();
        let mut fresh = 0;
        let mut page = cursor / PAGE_SECTORS;
        while page * PAGE_SECTORS < end {
            if self.word(page as u32) & BUFFERED == 0 {
                if fresh == room {
                    break;
                }
                fresh += 1;
            }
            page += 1;
        }
        (fresh, end.min(page * PAGE_SECTORS))
    }

    /// Puts the pages of a piece into the buffer.
    fn enter(&mut self, cursor: u64, to: u64) {
        for page in cursor / PAGE_SECTORS..to.div_ceil(PAGE_SECTORS) {
            let Some(word) = self.map.get(page as usize) else {
                continue;
            };
            if word & BUFFERED == 0 {
                self.map.set(page as usize, word | BUFFERED);
                self.buffer.push(page as u32);
            }
        }
    }

    /// Pages that the piece covers only partly and that are in flash alone are read first.
    fn fetch_partial(&mut self, core: &mut Core, cursor: u64, to: u64, at: Instant) -> Instant {
        let partial = |sector: u64| (sector % PAGE_SECTORS != 0).then_some(sector / PAGE_SECTORS);
        let (head, tail) = (partial(cursor), partial(to));
        let tail = tail.filter(|t| head != Some(*t));
        for page in [head, tail].into_iter().flatten() {
            let page = page as u32;
            if self.word(page) & BUFFERED == 0 {
                if let Found::Flash(place) = self.flash(page, at) {
                    core.want(place);
                    self.counters.pages_read += 1;
                }
            }
        }
        core.read_wanted(at)
    }

    /// Flushes the buffer at `at`; returns when its operations have ended.
    pub fn flush(&mut self, core: &mut Core, cause: Cause, at: Instant) -> Instant {
        count_flush(&mut self.counters, cause);
        let mut buffer = core::mem::take(&mut self.buffer);
        let end = self.place(core, &buffer, at);
        buffer.clear();
        self.buffer = buffer;
        self.free = end;
        end
    }

    /// Pages rewritten leave A. Their old copies stay until the new ones have been programmed.
    pub fn drop_rewritten(&mut self) {
        let map = &self.map;
        self.a
            .retain(|&l| map.get(l as usize).is_some_and(|w| w & BUFFERED == 0));
    }

    /// Pages in the write buffer, and pages that it holds.
    pub fn buffered(&self) -> (u64, u64) {
        (self.buffer.len() as u64, u64::from(self.capacity))
    }

    /// Puts pages into flash (zms-model §4.5, §8); returns the end.
    fn place(&mut self, core: &mut Core, pages: &[u32], at: Instant) -> Instant {
        let unit = self.unit as usize;
        let mut end = at;
        let mut left = pages;
        self.drop_rewritten();
        while !left.is_empty() {
            if self.bypass && self.a.len() + left.len() >= unit {
                if !self.native.as_ref().is_some_and(|n| n.host.is_open()) {
                    // Making space can change A: look again.
                    self.open_native(core, at);
                    continue;
                }
                let (fresh, rest) = left.split_at(unit.saturating_sub(self.a.len()));
                let ready = self.read_secondary(core, at);
                let mut whole = core::mem::take(&mut self.scratch);
                let combined = self.a.len().min(unit);
                whole.extend(self.a.drain(..combined));
                whole.extend_from_slice(fresh);
                end = end.max(self.program_unit(core, &whole, combined, ready));
                whole.clear();
                self.scratch = whole;
                left = rest;
                continue;
            }
            // One flash page's worth at a time, wherever the write pointer stands.
            let mut round = left.len().min(self.slc.pool.lpp() as usize);
            while round > 0 {
                let p = self.program_host(core, (round as u32, Self::FLUSHED), at);
                end = end.max(p.end);
                let (now, rest) = left.split_at(p.n as usize);
                for (&lpn, loc) in now.iter().zip(p.loc..) {
                    self.leave_buffer(lpn);
                    self.relocate(core, lpn, loc, Some(p.end));
                    self.observe(core, lpn, None, loc, Some(p.end));
                }
                if self.bypass {
                    self.a.extend_from_slice(now);
                }
                round -= now.len();
                left = rest;
            }
        }
        end
    }

    fn leave_buffer(&mut self, lpn: u32) {
        self.map.update(lpn as usize, |word| word & !BUFFERED);
    }

    /// Reads as much of A back as goes into a unit; returns when it is in. Its copies stay in pSLC until
    /// the wordline that they go to has been programmed.
    fn read_secondary(&mut self, core: &mut Core, at: Instant) -> Instant {
        let n = self.a.len().min(self.unit as usize);
        for &lpn in self.a.iter().take(n) {
            let loc = self.flash_loc(lpn);
            core.want(self.slc.pool.place(loc));
        }
        self.counters.pages_read += n as u64;
        self.counters.pages_combined += n as u64;
        core.read_wanted(at)
    }

    /// Loads one unit at the host's native write pointer, which is open: the first `combined` pages from
    /// pSLC, the others from the buffer. Returns the end.
    pub fn program_unit(
        &mut self,
        core: &mut Core,
        pages: &[u32],
        combined: usize,
        at: Instant,
    ) -> Instant {
        let mut end = at;
        let mut left = pages;
        let mut copies = combined;
        while !left.is_empty() {
            let Some(native) = &mut self.native else {
                return end;
            };
            let placed = native.load(core, Pointer::Host, (left.len() as u32, Self::FLUSHED), at);
            end = end.max(placed.end);
            let index = placed.loc % native.pool.pages / native.pool.lpp();
            let completes = native.pool.completes(index);
            let (now, rest) = left.split_at(placed.n as usize);
            for (&lpn, loc) in now.iter().zip(placed.loc..) {
                let from = (copies > 0).then(|| self.flash_loc(lpn));
                copies = copies.saturating_sub(1);
                if from.is_none() {
                    self.leave_buffer(lpn);
                }
                self.observe(core, lpn, from, loc | NATIVE, None);
                self.relocate(core, lpn, loc | NATIVE, None);
                if from.is_none() {
                    self.held.outdate(lpn);
                }
            }
            if completes {
                self.durable = self.durable.max(placed.end);
                self.complete_wordline(&mut core.observer, placed.loc, placed.end);
            }
            left = rest;
        }
        self.counters.pages_native += pages.len() as u64;
        end
    }

    /// The native wordline that the flash page of `last` completes is durable from `end` on: other copies
    /// of its pages are not needed any more.
    pub fn complete_wordline(&mut self, observer: &mut Observer, last: Loc, end: Instant) {
        let Some(native) = &mut self.native else {
            return;
        };
        let lpp = native.pool.lpp();
        let last = last - last % lpp;
        let Area { pool, owner, .. } = native;
        // What nobody maps any more when it is programmed is not found again.
        let mapped = |loc: Loc| owner.get(loc as usize).is_some_and(|o| o != NONE);
        pool.wordline_until(observer, last, end, mapped);
        for loc in native
            .pool
            .wordline(last)
            .flat_map(|first| first..first + lpp)
        {
            let owner = self.native.as_ref().and_then(|n| n.owner(loc));
            let mapped = owner.filter(|&lpn| self.flash_loc(lpn) == loc | NATIVE);
            let Some(lpn) = mapped else { continue };
            let same = self.held.current(lpn).is_some();
            if let Some(copy) = self.held.remove(lpn) {
                self.replaced(copy, loc | NATIVE, end, same);
            }
        }
    }

    /// The durability point (zms-model §4.7); returns when everything is durable.
    pub fn make_durable(&mut self, core: &mut Core, now: Instant) -> Instant {
        let mut at = now;
        if !self.buffer.is_empty() {
            at = now.max(self.free);
            at = self.flush(core, Cause::Durable, at);
        }
        self.back_up(core, at);
        let programmed = core.media.tell(|why, _| why.owner == Self::OWNER);
        now.max(self.durable).max(programmed)
    }

    /// A native superblock has been opened for the host: nothing in it has a backup.
    pub fn start_backing(&mut self) {
        self.backed = 0;
    }

    /// Copies loaded pages that have no current copy elsewhere to pSLC.
    fn back_up(&mut self, core: &mut Core, at: Instant) {
        let Some(native) = self.native.as_ref().filter(|n| n.host.is_open()) else {
            return;
        };
        let (pool, appender) = (&native.pool, native.host);
        let (stripe, written) = pool.open_stripe(appender.next);
        let (start, lpp) = (pool.start(appender.sb), pool.lpp());
        let mut alone = core::mem::take(&mut self.scratch);
        for index in stripe.max(self.backed)..written {
            if pool.is_loaded(index, appender.next) {
                let locs = start + index * lpp..start + (index + 1) * lpp;
                let mapped = locs.filter_map(|loc| {
                    let lpn = native.owner(loc)?;
                    (self.flash_loc(lpn) == loc | NATIVE).then_some(lpn)
                });
                alone.extend(mapped.filter(|&lpn| self.held.current(lpn).is_none()));
            }
        }
        self.backed = written;
        self.counters.pages_backup += alone.len() as u64;
        let why = Why {
            owner: Self::OWNER,
            buffer: NONE,
        };
        let mut left = alone.as_slice();
        while !left.is_empty() {
            let placed = self.program_host(core, (left.len() as u32, why), at);
            let (now, rest) = left.split_at(placed.n as usize);
            for (&lpn, loc) in now.iter().zip(placed.loc..) {
                let from = self.flash_loc(lpn);
                self.observe(core, lpn, Some(from), loc, Some(placed.end));
                if let Some(older) = self.held.insert(lpn, loc) {
                    self.replaced(older, loc, placed.end, false);
                }
                self.slc.put(lpn, loc);
            }
            left = rest;
        }
        alone.clear();
        self.scratch = alone;
    }

    /// The Flush command; returns the completion.
    pub fn flush_all(&mut self, core: &mut Core, now: Instant) -> Instant {
        let done = self.make_durable(core, now);
        self.counters.host_flushes += 1;
        self.counters.flush_latency.add(done.since(now));
        done
    }

    /// The next dwell window to end.
    pub fn next_window(&self) -> Option<Instant> {
        let window = self.dwell.filter(|_| !self.buffer.is_empty())?;
        Some((self.since + window).max(self.free))
    }

    /// Unmaps whole pages of a range.
    pub fn unmap(&mut self, core: &mut Core, at: Sector, sectors: u64) {
        let first = at.get().div_ceil(PAGE_SECTORS);
        let end = at.get().saturating_add(sectors) / PAGE_SECTORS;
        let mut dropped = false;
        for page in first..end.min(self.map.len() as u64) {
            let lpn = page as u32;
            let word = self.word(lpn);
            if word == NOWHERE {
                continue;
            }
            dropped |= word & BUFFERED != 0;
            self.leave_buffer(lpn);
            self.unmap_flash(core, lpn);
        }
        if first < end {
            self.slc.pool.forget_pages(first..end);
            if let Some(native) = &mut self.native {
                native.pool.forget_pages(first..end);
            }
            core.observer.note(|| Event::Dropped {
                namespace: Self::NAME,
                first,
                pages: end - first,
            });
        }
        if dropped {
            let map = &self.map;
            self.buffer
                .retain(|&l| map.get(l as usize).is_some_and(|w| w & BUFFERED != 0));
        }
    }

    /// Its pools.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        let native = self.native.as_ref().map(|native| &native.pool);
        core::iter::once(&self.slc.pool).chain(native)
    }

    pub fn word(&self, lpn: u32) -> u32 {
        self.map.get(lpn as usize).unwrap_or(NOWHERE)
    }

    /// The location of a page's flash copy, whether or not a newer one is buffered; or [`NOWHERE`].
    pub fn flash_loc(&self, lpn: u32) -> Loc {
        self.word(lpn) & !BUFFERED
    }

    /// Where a page's flash copy is, whether or not a newer one is buffered. What is being programmed is
    /// still in memory. What waits for its wordline is read from there, or, moved in the background,
    /// where it was.
    fn flash(&self, lpn: u32, at: Instant) -> Found {
        let loc = self.flash_loc(lpn);
        if loc == NOWHERE {
            return Found::Unmapped;
        }
        let (area, in_area) = self.area_of(loc);
        if area.pool.is_programming(in_area, at) {
            return Found::Buffered;
        }
        let copy = self.held.current(lpn).filter(|_| !self.bypass);
        Found::Flash(self.place_of(copy.unwrap_or(loc)))
    }

    pub fn place_of(&self, loc: Loc) -> FlashPage {
        let (area, loc) = self.area_of(loc);
        area.pool.place(loc)
    }

    pub fn page_place(&self, loc: Loc) -> Place {
        let (area, loc) = self.area_of(loc);
        area.pool.page_place(loc)
    }

    pub fn observe(
        &self,
        core: &mut Core,
        lpn: u32,
        from: Option<Loc>,
        to: Loc,
        durable: Option<Instant>,
    ) {
        core.observer.note(|| Event::Copied {
            namespace: Self::NAME,
            lpn: lpn.into(),
            from: from.map(|loc| self.page_place(loc)),
            to: self.page_place(to),
            durable,
        });
    }

    /// The area that a location is in, and its location there.
    fn area_of(&self, loc: Loc) -> (&Area, Loc) {
        match &self.native {
            Some(native) if loc & NATIVE != 0 => (native, loc & !NATIVE),
            _ => (&self.slc, loc),
        }
    }

    pub fn area_of_mut(&mut self, loc: Loc) -> (&mut Area, Loc) {
        match &mut self.native {
            Some(native) if loc & NATIVE != 0 => (native, loc & !NATIVE),
            _ => (&mut self.slc, loc),
        }
    }

    /// The copy at `loc` is not needed from `until` on.
    pub fn clear(&mut self, loc: Loc, until: Instant) {
        let (area, loc) = self.area_of_mut(loc);
        area.clear(loc, until);
    }

    /// The copy at `loc` is not needed when the one at `to` is durable, from `until` on.
    pub fn replaced(&mut self, loc: Loc, to: Loc, until: Instant, same: bool) {
        let opened = self.opened(to);
        let (area, loc) = self.area_of_mut(loc);
        area.replaced_by(loc, (to, opened), until, same);
    }

    /// When the superblock of a location was opened ([`crate::superblock::Superblock::opened`]).
    pub fn opened(&self, loc: Loc) -> u64 {
        let (area, loc) = self.area_of(loc);
        area.pool.opened(loc)
    }

    /// Drops a page's flash copies, if it has any, and its place in A.
    fn unmap_flash(&mut self, core: &mut Core, lpn: u32) {
        let loc = self.flash_loc(lpn);
        if loc == NOWHERE {
            return;
        }
        self.map.update(lpn as usize, |word| word | NOWHERE);
        core.l2p.remove(Key::new(Grain::Page, NS, lpn));
        core.forget(NS, Grain::Page, lpn);
        if loc & NATIVE == 0 {
            self.a.retain(|&l| l != lpn);
        }
        self.clear(loc, Instant::ZERO);
        if let Some(copy) = self.held.remove(lpn) {
            self.clear(copy, Instant::ZERO);
        }
    }

    /// A page's newest copy is at `loc`, durable from `durable` on; or loaded there, into a wordline
    /// that is not complete. The copy before stays as long as it is needed.
    fn relocate(&mut self, core: &mut Core, lpn: u32, loc: Loc, durable: Option<Instant>) {
        let (area, at) = self.area_of_mut(loc);
        area.put(lpn, at);
        self.map_to(core, lpn, loc, durable, false);
    }

    /// A page was moved to a location that counts already.
    pub fn map_moved(&mut self, core: &mut Core, lpn: u32, loc: Loc, durable: Option<Instant>) {
        self.map_to(core, lpn, loc, durable, true);
    }

    fn map_to(
        &mut self,
        core: &mut Core,
        lpn: u32,
        loc: Loc,
        durable: Option<Instant>,
        moved: bool,
    ) {
        let old = self.flash_loc(lpn);
        self.map.update(lpn as usize, |word| word & BUFFERED | loc);
        core.l2p.insert(Key::new(Grain::Page, NS, lpn));
        core.forget(NS, Grain::Page, lpn);
        if old == NOWHERE {
            return;
        }
        let is_held = self.held.get(lpn).is_some();
        match durable {
            // What was mapped waits for its wordline; what it was is held.
            _ if is_held => self.clear(old, Instant::ZERO),
            Some(end) => self.replaced(old, loc, end, moved),
            None => {
                self.held.insert(lpn, old);
            }
        }
        if let (Some(end), true) = (durable, is_held) {
            let same = moved && self.held.current(lpn).is_some();
            if let Some(copy) = self.held.remove(lpn) {
                self.replaced(copy, loc, end, same);
            }
        }
    }

    /// Finds the owners of what is mapped and held.
    fn restore(&mut self) -> Result<(), state::Error> {
        let (slc, mut native) = (&mut self.slc, self.native.as_mut());
        let mapped = (0u32..).zip(self.map.iter());
        let mapped = mapped.map(|(lpn, word)| (lpn, word & !BUFFERED));
        let pages = self.map.len();
        ensure!(self.held.iter().all(|(lpn, _)| (lpn as usize) < pages));
        for (lpn, loc) in mapped.chain(self.held.iter()).filter(|m| m.1 != NOWHERE) {
            match &mut native {
                Some(native) if loc & NATIVE != 0 => native.restore_owner(lpn, loc & !NATIVE),
                _ => slc.restore_owner(lpn, loc),
            }?;
        }
        let exists = |lpn: &u32| (*lpn as usize) < pages;
        ensure!(self.buffer.iter().chain(&self.a).all(exists));
        ensure!(self.mover.under_way().1.iter().all(|m| exists(&m.lpn)));
        for list in [&self.buffer, &self.a] {
            let mut sorted = list.clone();
            sorted.sort_unstable();
            ensure!(
                sorted.windows(2).all(|w| w[0] < w[1]),
                "a page is listed twice"
            );
        }
        self.check_invariants()
    }

    /// Is an error unless superblocks are in use by what they should be.
    fn check_use(&self, area: &Area, native: bool) -> Result<(), state::Error> {
        let open = [area.host, area.internal];
        let open = open.iter().filter(|pointer| pointer.is_open()).count();
        ensure_eq!(open, area.pool.count_of(SbState::Open), "open superblocks");
        let has_victim = native == self.collects;
        let moving = self.mover.check_pool(&area.pool, native, has_victim)?;
        ensure_eq!(
            moving,
            area.pool.count_of(SbState::Moving),
            "moving superblocks"
        );
        Ok(())
    }

    /// Is an error unless map, pools and buffer agree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        let owner = |loc: Loc| {
            let (area, loc) = self.area_of(loc);
            area.owner(loc)
        };
        let mut in_flash = 0;
        for (lpn, word) in (0u32..).zip(self.map.iter()) {
            let loc = word & !BUFFERED;
            if loc != NOWHERE {
                in_flash += 1;
                ensure_eq!(owner(loc), Some(lpn), "page {lpn} at {loc:x}");
            }
        }
        for (lpn, loc) in self.held.iter() {
            ensure_eq!(owner(loc), Some(lpn), "a copy of page {lpn} at {loc:x}");
            assert_ne!(self.flash_loc(lpn), loc);
        }
        let moves = self.mover.under_way().1.iter();
        let (to_native, to_slc): (Vec<_>, Vec<_>) =
            moves.map(|m| m.to).partition(|to| to & NATIVE != 0);
        let mut owned = self.slc.check_invariants(&to_slc)?;
        self.check_use(&self.slc, false)?;
        match &self.native {
            Some(native) => {
                let to_native: Vec<_> = to_native.iter().map(|to| to & !NATIVE).collect();
                owned += native.check_invariants(&to_native)?;
                self.check_use(native, true)?;
            }
            None => ensure!(to_native.is_empty() && !self.collects),
        }
        ensure_eq!(in_flash + self.held.len() as usize, owned);
        let flagged = self.map.iter().filter(|w| w & BUFFERED != 0).count();
        ensure_eq!(flagged, self.buffer.len());
        let is_flagged = |lpn: &u32| self.word(*lpn) & BUFFERED != 0;
        ensure!(self.buffer.iter().all(is_flagged));
        ensure!(self.buffer.len() <= self.capacity as usize);
        ensure!(self.a.len() < 2 * self.unit as usize);
        for &lpn in &self.a {
            let loc = self.flash_loc(lpn);
            ensure!(
                loc != NOWHERE && loc & NATIVE == 0,
                "A holds page {lpn}, which is elsewhere"
            );
        }
        Ok(())
    }
}

impl<const NS: u8> Map for Paged<NS> {
    const NAMESPACE: u8 = NS;

    fn moved(&mut self, observer: &mut Observer, moved: &Moved) -> bool {
        let native = self.native.as_mut().map(|native| &mut native.pool);
        let mut pools = [Some(&mut self.slc.pool), native];
        let mut all = pools.iter_mut().flatten();
        let is_own = all.any(|pool| pool.moved(observer, moved));
        if is_own {
            // What it replaces may be in the other one.
            pools
                .into_iter()
                .flatten()
                .for_each(|pool| pool.delay_past(moved.end));
        }
        is_own
    }

    fn find(&self, lpn: u32, at: Instant) -> Found {
        if self.word(lpn) & BUFFERED != 0 {
            return Found::Buffered;
        }
        self.flash(lpn, at)
    }

    fn grains(&self) -> &[Grain] {
        &[Grain::Page]
    }

    fn unit(&self, _grain: Grain, lpn: u32) -> (u32, u32) {
        (lpn, 1)
    }

    fn grain_of(&self, _lpn: u32) -> Grain {
        Grain::Page
    }
}
