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

use crate::config::{Config, ConfigError};
use crate::core::Core;
use crate::gc::Pointer;
use crate::l2p::{Grain, Key};
use crate::read::{Found, Map, Search, Wanted};
use crate::sparse::Sparse;
use crate::stats::Counters;
use crate::superblock::{Appender, FlashPage, Loc, Pool, NONE};
use crate::write::{Cause, Write};
use crate::zoned::{page_range, PAGE_SECTORS};
use crate::Error;
use nand::Priority;
use units::{Bytes, Instant, Nanos, Sector, PAGE_BYTES, SECTOR_BYTES};

/// In the map: a newer copy is in the buffer.
pub(crate) const BUFFERED: u32 = 1 << 31;
/// In a location: in the native pool.
pub(crate) const NATIVE: u32 = 1 << 30;
/// In the map, apart from [`BUFFERED`]: no copy in flash.
const NOWHERE: u32 = BUFFERED - 1;

/// One pool and what lies in it.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub pool: Pool,
    /// The page at each location; [`NONE`] if it is not valid.
    pub lpn_of: Sparse<NONE>,
    /// Write pointers for host data and for data moved.
    pub host: Appender,
    pub internal: Appender,
}

impl Area {
    fn new(pool: Pool) -> Self {
        let locations = pool.count() as usize * pool.pages as usize;
        Self {
            pool,
            lpn_of: Sparse::new(locations),
            host: Appender::default(),
            internal: Appender::default(),
        }
    }
}

/// A page-mapped namespace, number `NS` in the cache's keys.
#[derive(Clone, Debug)]
pub(crate) struct Paged<const NS: u8> {
    map: Sparse<NOWHERE>,
    /// Pages in the write buffer.
    buffer: Vec<u32>,
    capacity: u32,
    pub dwell: Option<Nanos>,
    free: Instant,
    since: Instant,
    pub slc: Area,
    pub native: Option<Area>,
    pub bypass: bool,
    pub unit: u32,
    pub gc_threshold: u32,
    pub migrate_threshold: u32,
    /// The secondary buffer: fewer pages than a unit, all in pSLC.
    pub a: Vec<u32>,
    /// Native flash pages of the open superblocks (host, internal) with a backup.
    pub backed: [u32; 2],
    pub durable: Instant,
    pub search: Search,
    /// The pSLC superblock whose migration was issued last.
    pub migrating: u32,
    /// Pages being moved, for GC and migration.
    pub moving: Vec<u32>,
    /// Those and the pages of A that go with them.
    pub shifting: Vec<u32>,
    pub counters: Counters,
}

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
        let widest = native
            .as_ref()
            .map_or(slc.pages, |n| n.pages.max(slc.pages));
        Ok(Self {
            map: Sparse::new(pages),
            buffer: Vec::with_capacity(buffer as usize),
            capacity: buffer,
            dwell: config.buffers.dwell,
            free: Instant::ZERO,
            since: Instant::ZERO,
            slc: Area::new(slc),
            bypass: native.is_some() && config.slc_bypass,
            native: native.map(Area::new),
            unit,
            gc_threshold: config.gc_threshold,
            migrate_threshold: config.migrate_threshold,
            a: Vec::with_capacity(unit as usize),
            backed: [0; 2],
            durable: Instant::ZERO,
            search: Search {
                strategy: config.l2p.search,
                preread: config.l2p.preread,
            },
            migrating: NONE,
            moving: Vec::with_capacity((widest + unit) as usize),
            shifting: Vec::with_capacity((widest + unit) as usize),
            counters: Counters::default(),
        })
    }

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
        let (first, n) = page_range(at, sectors);
        let wanted = Wanted {
            first,
            pages: n,
            bytes: Bytes::new(sectors.saturating_mul(SECTOR_BYTES)),
            internal,
        };
        let (done, tally) = crate::read::read(core, self, self.search, wanted, now);
        tally.add_to(&mut self.counters, wanted, now, done);
        done
    }

    pub fn is_unmapped(&self, lpn: u32) -> bool {
        self.find(lpn) == Found::Unmapped
    }

    /// Writes; returns the completion.
    pub fn write(&mut self, core: &mut Core, write: Write, now: Instant) -> Result<Instant, Error> {
        self.reserve(core, write.sectors, now)?;
        let end = write.at.get() + write.sectors;
        let mut at = now.max(self.free);
        let mut cursor = write.at.get();
        let mut done = now;
        while cursor < end {
            let (fresh, to) = self.piece(cursor, end);
            if to <= cursor {
                break;
            }
            at = self.fetch_partial(core, cursor, to, at);
            let touched = to.div_ceil(PAGE_SECTORS) - cursor / PAGE_SECTORS;
            at += core.costs.buffer_base + core.costs.buffer_page.times(touched);
            if write.data {
                at = core
                    .link
                    .transfer(at, Bytes::new((to - cursor) * SECTOR_BYTES));
            }
            done = at;
            self.counters.host_write_pages += touched;
            self.counters.host_write_sectors += to - cursor;
            if self.buffer.is_empty() && fresh > 0 {
                self.since = at;
            }
            self.enter(cursor, to);
            self.free = at;
            cursor = to;
            if self.buffer.len() >= self.capacity as usize {
                at = self.flush(core, Cause::Full, at);
            }
        }
        if write.fua {
            done = done.max(self.make_durable(core, done));
        }
        self.counters.host_writes += 1;
        self.counters.write_latency.add(done.since(now));
        Ok(done)
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
            if let Found::Flash(place) = self.find(page as u32) {
                core.want(place);
                self.counters.pages_read += 1;
            }
        }
        core.read_wanted(at, Priority::User)
    }

    /// Flushes the buffer at `at`; returns when its operations have ended.
    pub fn flush(&mut self, core: &mut Core, cause: Cause, at: Instant) -> Instant {
        match cause {
            Cause::Full => self.counters.flush_full += 1,
            Cause::Premature => self.counters.flush_premature += 1,
            Cause::Window => self.counters.flush_window += 1,
            Cause::Durable => self.counters.flush_durable += 1,
        }
        let mut buffer = core::mem::take(&mut self.buffer);
        self.drop_rewritten();
        let (end, left) = self.place(core, &buffer, at);
        buffer.drain(..buffer.len() - left);
        self.buffer = buffer;
        self.free = end;
        end
    }

    /// Pages rewritten leave A. Their old copies stay valid until the new ones are in flash.
    fn drop_rewritten(&mut self) {
        let map = &self.map;
        self.a
            .retain(|&l| map.get(l as usize).is_some_and(|w| w & BUFFERED == 0));
    }

    /// Pages of the write buffer.
    pub fn buffer_pages(&self) -> u64 {
        u64::from(self.capacity)
    }

    /// Puts pages into flash (zms-model §4.5, §8); returns the end, and how many found no room.
    fn place(&mut self, core: &mut Core, pages: &[u32], at: Instant) -> (Instant, usize) {
        let unit = self.unit as usize;
        let mut end = at;
        let mut left = pages;
        while !left.is_empty() {
            let open = self.native.as_ref().is_some_and(|n| n.host.is_open());
            if self.bypass && !open && self.a.len() + left.len() >= unit {
                // GC changes A: look again.
                if !self.open_native(core, at) {
                    break;
                }
                continue;
            }
            // GC or migration may have put old copies of these very pages into A.
            self.drop_rewritten();
            if self.bypass && self.a.len() + left.len() >= unit {
                let (fresh, rest) = left.split_at(unit - self.a.len());
                let ready = self.read_secondary(core, at);
                let mut whole = core::mem::take(&mut self.a);
                whole.extend_from_slice(fresh);
                fresh.iter().for_each(|&lpn| self.leave_buffer(lpn));
                end =
                    end.max(self.program_unit(core, &whole, ready, Pointer::Host, Priority::User));
                whole.clear();
                self.a = whole;
                left = rest;
                continue;
            }
            // One flash page's worth at a time, wherever the write pointer stands.
            let mut round = left.len().min(self.slc.pool.lpp() as usize);
            while round > 0 {
                let Some((loc, n, ended)) = self.program_host(core, round as u32, at) else {
                    return (end, left.len());
                };
                end = end.max(ended);
                let (now, rest) = left.split_at(n as usize);
                for (&lpn, loc) in now.iter().zip(loc..) {
                    self.unmap_flash(core, lpn);
                    self.leave_buffer(lpn);
                    self.map_to(core, lpn, loc);
                }
                if self.bypass {
                    self.a.extend_from_slice(now);
                }
                round -= now.len();
                left = rest;
            }
        }
        (end, left.len())
    }

    fn leave_buffer(&mut self, lpn: u32) {
        self.map.update(lpn as usize, |word| word & !BUFFERED);
    }

    /// Reads A back and drops it from pSLC; returns when it is in.
    pub fn read_secondary(&mut self, core: &mut Core, at: Instant) -> Instant {
        for i in 0..self.a.len() {
            if let Found::Flash(place) = self.flash(self.a[i]) {
                core.want(place);
            }
        }
        self.counters.pages_read += self.a.len() as u64;
        self.counters.pages_combined += self.a.len() as u64;
        core.read_wanted(at, Priority::User)
    }

    /// The durability point (zms-model §4.7); returns when everything is durable.
    pub fn make_durable(&mut self, core: &mut Core, now: Instant) -> Instant {
        let mut at = now;
        if !self.buffer.is_empty() {
            at = now.max(self.free);
            at = self.flush(core, Cause::Durable, at);
        }
        self.back_up(core, at, Priority::User);
        now.max(self.durable)
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
        if dropped {
            let map = &self.map;
            self.buffer
                .retain(|&l| map.get(l as usize).is_some_and(|w| w & BUFFERED != 0));
        }
    }

    pub fn word(&self, lpn: u32) -> u32 {
        self.map.get(lpn as usize).unwrap_or(NOWHERE)
    }

    /// Where a page's flash copy is, whether or not a newer one is buffered.
    pub fn flash(&self, lpn: u32) -> Found {
        match self.word(lpn) & !BUFFERED {
            NOWHERE => Found::Unmapped,
            loc => Found::Flash(self.place_of(loc)),
        }
    }

    fn place_of(&self, loc: Loc) -> FlashPage {
        match &self.native {
            Some(native) if loc & NATIVE != 0 => native.pool.place(loc & !NATIVE),
            _ => self.slc.pool.place(loc),
        }
    }

    /// Drops a page's flash copy, if it has one, and its place in A.
    pub fn unmap_flash(&mut self, core: &mut Core, lpn: u32) {
        let loc = self.word(lpn) & !BUFFERED;
        if loc == NOWHERE {
            return;
        }
        self.map.update(lpn as usize, |word| word | NOWHERE);
        core.l2p.remove(Key::new(Grain::Page, NS, lpn));
        let area = match &mut self.native {
            Some(native) if loc & NATIVE != 0 => native,
            _ => {
                if let Some(at) = self.a.iter().position(|&l| l == lpn) {
                    self.a.remove(at);
                }
                &mut self.slc
            }
        };
        let loc = loc & !NATIVE;
        area.lpn_of.set(loc as usize, NONE);
        area.pool.drop_valid(loc);
    }

    /// A page that has no flash copy gets one at `loc`.
    pub fn map_to(&mut self, core: &mut Core, lpn: u32, loc: Loc) {
        self.map.update(lpn as usize, |word| word & BUFFERED | loc);
        core.l2p.insert(Key::new(Grain::Page, NS, lpn));
        let area = match &mut self.native {
            Some(native) if loc & NATIVE != 0 => native,
            _ => &mut self.slc,
        };
        let loc = loc & !NATIVE;
        area.lpn_of.set(loc as usize, lpn);
        area.pool.add_valid(loc, 1);
    }

    /// Panics unless map, pools and buffer agree. For tests.
    pub fn check_invariants(&self) {
        let mut in_flash = 0;
        for (lpn, word) in (0u32..).zip(self.map.iter()) {
            let loc = word & !BUFFERED;
            if loc == NOWHERE {
                continue;
            }
            in_flash += 1;
            let area = match &self.native {
                Some(native) if loc & NATIVE != 0 => native,
                _ => &self.slc,
            };
            assert_eq!(area.lpn_of.get((loc & !NATIVE) as usize), Some(lpn));
        }
        let mut valid = 0;
        for area in core::iter::once(&self.slc).chain(&self.native) {
            area.pool.check_invariants();
            for (sb, s) in area.pool.iter() {
                let first = area.pool.start(sb) as usize;
                let pages = area.lpn_of.range(first..first + area.pool.pages as usize);
                let held = pages.filter(|&l| l != NONE).count();
                assert_eq!(held, s.valid as usize, "superblock {sb}: {s:?}");
                valid += held;
            }
        }
        assert_eq!(in_flash, valid);
        let flagged = self.map.iter().filter(|w| w & BUFFERED != 0).count();
        assert_eq!(flagged, self.buffer.len());
        assert!(self.buffer.len() <= self.capacity as usize);
        assert!(self.a.len() < self.unit as usize);
        for &lpn in &self.a {
            let loc = self.word(lpn) & !BUFFERED;
            assert!(
                loc != NOWHERE && loc & NATIVE == 0,
                "A holds page {lpn}, which is elsewhere"
            );
        }
    }
}

impl<const NS: u8> Map for Paged<NS> {
    const NAMESPACE: u8 = NS;

    fn find(&self, lpn: u32) -> Found {
        if self.word(lpn) & BUFFERED != 0 {
            return Found::Buffered;
        }
        self.flash(lpn)
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
