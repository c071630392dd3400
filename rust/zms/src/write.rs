// SPDX-License-Identifier: GPL-2.0-or-later
//! The life of a zoned write: into a buffer, out of it, durable (zms-model §4).
//!
//! ```text
//!   host link -> write buffer --flush--> whole program units -> native superblock
//!                     |                     ^ combined with A
//!                     +---- the rest -----> pSLC ( = A, the secondary buffer)
//!                                           ^ backups of loaded, incomplete wordlines
//! ```

use crate::area::{Placed, Pointer, Why};
use crate::config::SlcMap;
use crate::core::Core;
use crate::l2p::{Grain, Key};
use crate::read::Map;
use crate::stats::count_flush;
use crate::superblock::{Appender, NONE};
use crate::zoned::{page_range, Zoned};
use crate::Error;
use ftl::{Event, Namespace, Observer};
use units::{Bytes, Instant, Sector, ZoneId, PAGE_SECTORS, SECTOR_BYTES};

/// Why a buffer is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Full,
    Premature,
    Window,
    Durable,
}

/// What is written: sectors from the zone's write pointer, moved over the host link or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub at: Sector,
    pub sectors: u64,
    pub fua: bool,
    /// Whether the host sends the bytes (not for Write Zeroes).
    pub data: bool,
}

impl Write {
    pub fn new(at: Sector, sectors: u64, fua: bool, data: bool) -> Self {
        Self {
            at,
            sectors,
            fua,
            data,
        }
    }
}

impl Zoned {
    /// Writes at a zone's write pointer; returns the completion.
    pub fn write(&mut self, core: &mut Core, write: Write, now: Instant) -> Result<Instant, Error> {
        let id = self.zones.check_write(write.at, write.sectors)?;
        if write.sectors == 0 {
            return Ok(now);
        }
        let mut done = self.take_in(core, id, write, now)?;
        if write.fua {
            done = done.max(self.make_durable(core, id.get(), done));
        }
        self.counters.host_write_pages += u64::from(page_range(write.at, write.sectors).1);
        self.counters.host_write_sectors += write.sectors;
        self.counters.host_writes += 1;
        self.counters.write_latency.add(done.since(now));
        Ok(done)
    }

    /// Moves what is written at the write pointer, which has been checked, into a buffer, piece by
    /// piece. pSLC has room for each, whatever happens. Returns when the last of it is in.
    pub fn take_in(
        &mut self,
        core: &mut Core,
        id: ZoneId,
        write: Write,
        now: Instant,
    ) -> Result<Instant, Error> {
        let z = id.get();
        let is_new = self.to_be_promised(z) > 0;
        let mut is_first = is_new;
        let mut left = write;
        let mut at = match is_new {
            true => self.promise(core, now)?,
            false => now,
        };
        let mut arrived = now;
        let mut buffer = None;
        let pages = page_range(write.at, write.sectors).1;
        if self.reserve(core, z, pages, now).is_err() {
            // There is room for the rest if there is for one portion: what is flushed goes native, but for less than a unit,
            // and backups are needed of the last stripe alone.
            let stripe = self.native.stripe();
            let portion = self
                .buffers
                .capacity
                .saturating_add(self.shape.unit + stripe);
            self.reserve(core, z, pages.min(portion), now)?;
        }
        while left.sectors > 0 {
            let start = left.at.get() - self.zones.start(id).get();
            let piece = Write {
                sectors: left.sectors.min(self.to_end_of_buffer(z, start)),
                ..left
            };
            self.reserve(core, z, page_range(piece.at, piece.sectors).1, now)?;
            self.zones.write(id, piece.sectors)?;
            if core::mem::take(&mut is_first) {
                self.note_data(z);
            }
            let index = match buffer {
                Some(index) => index,
                None => {
                    let (index, free) = self.enter_buffer(core, z, start, at);
                    at = free;
                    buffer = Some(index);
                    index
                }
            };
            arrived = self.fill(core, z, index, (start, piece), at);
            at = arrived;
            left.at = Sector::new(piece.at.get() + piece.sectors);
            left.sectors -= piece.sectors;
            if self.buffers.get(index).pages == self.buffers.capacity {
                at = self.flush(core, index, Cause::Full, arrived);
                if left.sectors > 0 {
                    at = self.buffer_free(core, index, at);
                }
            }
        }
        if is_new {
            self.begin_returning(core, now);
        }
        Ok(arrived)
    }

    /// Sectors from `start` of a zone on that fill the buffer that they go to.
    fn to_end_of_buffer(&self, z: u32, start: u64) -> u64 {
        let first = u64::from(self.zone(z).flushed).min(start / PAGE_SECTORS);
        (first + u64::from(self.buffers.capacity)) * PAGE_SECTORS - start
    }

    /// The zone will not be written further: its own pSLC superblock is not kept open for it.
    pub fn close_slc(&mut self, z: u32) {
        let slc = core::mem::take(&mut self.zone_mut(z).slc);
        if slc.is_open() {
            self.slc.pool.close(slc.sb);
        }
    }

    /// The buffer for a write to `start` of a zone, and when it can take it.
    fn enter_buffer(
        &mut self,
        core: &mut Core,
        z: u32,
        start: u64,
        now: Instant,
    ) -> (usize, Instant) {
        let own = self.zone(z).buffer;
        let own = (own != NONE).then_some(own as usize);
        let choice = self.buffers.choose(z, own, now);
        let mut at = self.buffer_free(core, choice.buffer, now);
        if choice.evict {
            self.flush(core, choice.buffer, Cause::Premature, at);
            at = self.buffer_free(core, choice.buffer, at);
        }
        (
            choice.buffer,
            self.fetch_partial_page(core, z, choice.buffer, start, at),
        )
    }

    /// When a buffer that is needed from `at` on can take data. A command waits for that: it stays so.
    fn buffer_free(&mut self, core: &mut Core, index: usize, at: Instant) -> Instant {
        let free = self.buffers.get(index).free;
        if free <= at && !core.is_halting() {
            return at;
        }
        let flushed = core.media.tell(|why, _| why.flush == index as u32);
        at.max(free).max(flushed)
    }

    /// Moves a piece, which fits it, into a buffer; returns its arrival.
    fn fill(
        &mut self,
        core: &mut Core,
        z: u32,
        index: usize,
        (start, piece): (u64, Write),
        at: Instant,
    ) -> Instant {
        let end = start + piece.sectors;
        let touched = start / PAGE_SECTORS..end.div_ceil(PAGE_SECTORS);
        let held = u64::from(self.zone(z).flushed + self.buffers.get(index).pages);
        let cost = core.costs.buffer_page.times(touched.end - touched.start);
        let mut at = at + core.costs.buffer_base + cost;
        if piece.data {
            let bytes = Bytes::new(piece.sectors * SECTOR_BYTES);
            at = core.link.transfer(at, bytes);
        }
        let fresh = touched.end.saturating_sub(held);
        let first = u64::from(self.first_lpn(z));
        core.observer.each(touched, |page| Event::Entered {
            namespace: Namespace::Data,
            lpn: first + page,
        });
        self.zone_mut(z).buffer = index as u32;
        self.buffers.fill(index, z, fresh as u32, at);
        at
    }

    /// A write that starts inside a page already in flash takes the page back into the buffer. Its copy
    /// in flash stays until the new one has been programmed.
    fn fetch_partial_page(
        &mut self,
        core: &mut Core,
        z: u32,
        index: usize,
        start: u64,
        at: Instant,
    ) -> Instant {
        let page = (start / PAGE_SECTORS) as u32;
        if start % PAGE_SECTORS == 0 || page >= self.zone(z).flushed {
            return at;
        }
        let lpn = self.first_lpn(z) + page;
        let Some(loc) = self.index.get(lpn) else {
            return at;
        };
        core.want(self.slc.pool.place(loc));
        self.counters.pages_read += 1;
        let read = core.read_wanted(at);
        self.uncache(core, Grain::Page, lpn);
        self.index.outdate(lpn);
        // Less than a page.
        self.note_fetched(lpn, loc, (start % PAGE_SECTORS) as u8);
        let zone = self.zone_mut(z);
        zone.flushed = page;
        zone.partial = false;
        zone.a = zone.a.min(page - zone.planned);
        zone.buffer = index as u32;
        self.buffers.fill(index, z, 1, read);
        read
    }

    /// Flushes a buffer at `at`; returns when the flush's operations have ended.
    pub fn flush(&mut self, core: &mut Core, index: usize, cause: Cause, at: Instant) -> Instant {
        count_flush(&mut self.counters, cause);
        let (z, n) = self.buffers.empty(index);
        self.zone_mut(z).buffer = NONE;
        let why = Why {
            owner: z,
            buffer: index as u32,
        };
        let end = self.place(core, (z, why), n, at);
        self.buffers.set_free(index, end);
        let state = self.zones.get(ZoneId::new(z)).map(|zone| zone.state);
        if state == Some(zone::State::Full) {
            self.close_slc(z);
        }
        end
    }

    /// Puts the next `n` pages of zone `z` into flash (zms-model §4.5); returns the end.
    pub fn place(&mut self, core: &mut Core, (z, why): (u32, Why), n: u32, at: Instant) -> Instant {
        let unit = self.shape.unit;
        let (mut end, mut left) = (at, n);
        while left > 0 {
            let zone = *self.zone(z);
            // A page that is only partly written would have to be programmed twice.
            let whole = self.whole_pages(z).saturating_sub(zone.flushed).min(left);
            if self.shape.bypass && zone.a + whole >= unit {
                let ready = self.read_secondary(core, z, at);
                // What does not wait for A goes in one call, up to the unit that ends the chunk.
                let chunk = self.shape.chunk;
                let to_chunk = (chunk - zone.native % chunk).div_ceil(unit) * unit;
                let n = match zone.a {
                    0 => (whole / unit * unit).min(to_chunk),
                    _ => unit,
                };
                end = end.max(self.program_native(core, (z, why), n, ready));
                left -= n - zone.a;
                continue;
            }
            // One flash page's worth at a time, wherever the write pointer stands.
            let mut round = left.min(self.shape.lpp);
            while round > 0 {
                let p = self.program_slc(core, (z, why), round, at);
                end = end.max(p.end);
                round -= p.n;
                left -= p.n;
                self.map_slc(core, z, p);
            }
        }
        end
    }

    /// The next pages of zone `z` are in pSLC now.
    fn map_slc(&mut self, core: &mut Core, z: u32, p: Placed) {
        let first = self.first_lpn(z) + self.zone(z).flushed;
        for (lpn, loc) in (first..first + p.n).zip(p.loc..) {
            if let Some(old) = self.index.insert(lpn, loc) {
                self.slc.replaced(old, loc, p.end, false);
            }
        }
        self.slc.put_run(first, p.loc, p.n);
        self.observe_slc(core, first, p);
        self.cache_pages(core, first, p.n);
        let bypass = self.shape.bypass;
        let whole = self.whole_pages(z);
        let zone = self.zone_mut(z);
        zone.flushed += p.n;
        zone.partial = zone.flushed > whole;
        zone.a += if bypass { p.n } else { 0 };
        self.cache_sub_zone(core, first + p.n - 1);
    }

    fn observe_slc(&self, core: &mut Core, first: u32, p: Placed) {
        let pool = &self.slc.pool;
        core.observer.each(0..u64::from(p.n), |i| Event::Copied {
            namespace: Namespace::Data,
            lpn: u64::from(first) + i,
            from: None,
            to: pool.page_place(p.loc + i as u32),
            durable: Some(p.end),
        });
    }

    /// Reads the secondary buffer of `z` back; returns when it is in. It stays in pSLC until the
    /// wordline that it goes to has been programmed.
    fn read_secondary(&mut self, core: &mut Core, z: u32, at: Instant) -> Instant {
        let zone = *self.zone(z);
        let first = self.first_lpn(z) + zone.native;
        for lpn in first..first + zone.a {
            if let Some(loc) = self.index.get(lpn) {
                core.want(self.slc.pool.place(loc));
            }
        }
        self.counters.pages_read += u64::from(zone.a);
        self.counters.pages_combined += u64::from(zone.a);
        core.read_wanted(at)
    }

    /// Loads `n` pages (whole units) at the zone's native write position: A, then pages from the
    /// buffer. Returns the end.
    fn program_native(
        &mut self,
        core: &mut Core,
        (z, why): (u32, Why),
        n: u32,
        at: Instant,
    ) -> Instant {
        self.bind_native(z);
        let (zone, lpp) = (*self.zone(z), self.shape.lpp);
        let ready = at.max(self.native.get(zone.sb).ready);
        let (from, to) = (zone.native, zone.native + n);
        self.observe_native(core, z, from, to, zone.a);
        let fresh = n - zone.a;
        self.loaded_native(core, z, from, to);
        self.zone_mut(z).flushed += fresh;
        let mut end = at;
        let (mut index, last) = (from / lpp, to / lpp);
        while index < last {
            let count = self.native.rest_of_row(index).min(last - index);
            let completes = self.native.completes(index);
            let row = (self.native.flash_page(zone.sb, index), count);
            let first = self.native.start(zone.sb) + index * lpp;
            core.load_row(
                ready,
                row,
                why.programs(first, lpp),
                |observer, i, loaded| {
                    end = end.max(loaded);
                    if completes {
                        self.programmed(z, loaded);
                        self.complete_wordline(observer, z, (index + i) * lpp, loaded);
                    }
                },
            );
            index += count;
        }
        let slot = self.zone_mut(z);
        slot.planned = to;
        slot.a = 0;
        self.note_loaded(z);
        self.limit_loaded(core, at);
        end
    }

    /// Beyond so many zones with loaded pages that have no backup, the one that has had some longest gets
    /// one now.
    fn limit_loaded(&mut self, core: &mut Core, at: Instant) {
        if self.loaded.len() as u64 > self.shape.most_loaded {
            if let Some(&first) = self.loaded.first() {
                self.back_up(core, first, at);
            }
        }
    }

    /// Binds a native superblock to a zone that has none. There are more superblocks than zones.
    pub fn bind_native(&mut self, z: u32) {
        if self.zone(z).sb == NONE {
            let sb = self.native.open();
            assert!(sb.is_some(), "more native superblocks than zones");
            self.zone_mut(z).sb = sb.unwrap_or(NONE);
            self.keep_promise();
        }
    }

    /// Pages `from..to` of a zone have been loaded into its native superblock. Those in pSLC keep their
    /// copies there.
    pub fn loaded_native(&mut self, core: &mut Core, z: u32, from: u32, to: u32) {
        let sb = self.zone(z).sb;
        let first = self.first_lpn(z);
        // A, and at most one page more: the old copy of a partly written one.
        let (mut copies, mut stale) = (0, 0);
        for page in (from..to).take_while(|page| self.index.get(first + page).is_some()) {
            copies += 1;
            stale += u32::from(self.index.current(first + page).is_none());
        }
        self.native.add_valid(self.native.start(sb), to - from);
        self.counters.pages_native += u64::from(to - from);
        let zone = self.zone_mut(z);
        zone.held += copies;
        zone.stale += stale;
        zone.native = to;
        if to >= self.shape.capacity {
            self.native.close(sb);
        }
        self.cache_pages(core, first + from, to - from);
        self.cache_native(core, z, from, to);
    }

    /// The wordline that the flash page at `page` of zone `z` completes is durable from `end` on: copies
    /// of it in pSLC are not needed any more.
    pub fn complete_wordline(&mut self, observer: &mut Observer, z: u32, page: u32, end: Instant) {
        let zone = *self.zone(z);
        let start = self.native.start(zone.sb);
        self.native
            .wordline_until(observer, start + page, end, |_| true);
        if zone.held == 0 {
            return;
        }
        let (lpp, first) = (self.shape.lpp, self.first_lpn(z));
        for page in self.native.wordline(start + page).map(|loc| loc - start) {
            for lpn in first + page..first + page + lpp {
                let stale = self.index.current(lpn).is_none();
                if let Some(copy) = self.index.remove(lpn) {
                    self.slc.replaced(copy, NONE, end, false);
                    let zone = self.zone_mut(z);
                    zone.held -= 1;
                    zone.stale -= u32::from(stale);
                }
            }
        }
    }

    /// Pages `from..to` are loaded: the first `copied` from pSLC, the others from the buffer.
    pub fn observe_native(&self, core: &mut Core, z: u32, from: u32, to: u32, copied: u32) {
        let first = self.first_lpn(z);
        let sb = self.native.start(self.zone(z).sb);
        core.observer.each(u64::from(from)..u64::from(to), |page| {
            let page = page as u32;
            let copy = (page < from + copied).then(|| self.index.get(first + page));
            Event::Copied {
                namespace: Namespace::Data,
                lpn: u64::from(first + page),
                from: copy.flatten().map(|loc| self.slc.pool.page_place(loc)),
                to: self.native.page_place(sb + page),
                durable: None,
            }
        });
    }

    /// The write pointer for host data of zone `z`.
    pub fn host_appender(&mut self, z: u32) -> &mut Appender {
        match self.shape.slc_map {
            SlcMap::Page => &mut self.slc.host,
            SlcMap::Zone => &mut self.zone_mut(z).slc,
        }
    }

    /// Programs up to `most` pages at the pSLC write pointer for host data of `z`: those that fit
    /// the flash page there. Room has been reserved.
    fn program_slc(
        &mut self,
        core: &mut Core,
        (z, why): (u32, Why),
        most: u32,
        at: Instant,
    ) -> Placed {
        if !self.host_appender(z).is_open() {
            let sb = self.open_slc(core, at);
            *self.host_appender(z) = Appender::on(sb);
        }
        let mut appender = *self.host_appender(z);
        let placed = self.slc.load_at(core, &mut appender, (most, why), at);
        *self.host_appender(z) = appender;
        self.programmed_slc(z, placed);
        placed
    }

    pub fn programmed_slc(&mut self, z: u32, placed: Placed) {
        self.slc
            .pool
            .programs_until(placed.loc, placed.n, placed.end);
        self.counters.pages_slc += u64::from(placed.n);
        self.programmed(z, placed.end);
    }

    /// A program of zone `z`'s data ends at `end`.
    fn programmed(&mut self, z: u32, end: Instant) {
        let zone = self.zone_mut(z);
        zone.durable = zone.durable.max(end);
        self.durable = self.durable.max(end);
    }

    /// A full pSLC superblock of one zone is one entry from its last page on.
    fn cache_sub_zone(&self, core: &mut Core, last: u32) {
        let first = self.unit(Grain::SubZone, last).0;
        let pages = self.slc.pool.pages;
        if self.shape.hybrid && last + 1 - first == pages && self.is_sub_zone(first) {
            core.l2p
                .insert(Key::new(Grain::SubZone, Self::NAMESPACE, first));
            self.uncache_pages(core, first, last + 1 - first);
        }
    }

    /// The durability point of one zone (zms-model §4.7); returns when all its data is durable.
    pub fn make_durable(&mut self, core: &mut Core, z: u32, now: Instant) -> Instant {
        let buffer = self.zone(z).buffer;
        let mut at = now;
        if buffer != NONE {
            at = now.max(self.buffers.get(buffer as usize).free);
            at = self.flush(core, buffer as usize, Cause::Durable, at);
        }
        self.back_up(core, z, at);
        self.zone_mut(z).kept = 0;
        let programmed = core.media.tell(|why, _| why.owner == z);
        now.max(self.zone(z).durable).max(programmed)
    }

    /// The Flush command: the durability point of the namespace; returns the completion.
    pub fn flush_all(&mut self, core: &mut Core, now: Instant) -> Instant {
        let mut at = now;
        for index in 0..self.buffers.iter().count() {
            let b = self.buffers.get(index);
            if b.pages > 0 {
                at = at.max(self.flush(core, index, Cause::Durable, now.max(b.free)));
            }
        }
        let mut loaded = core::mem::take(&mut self.loaded);
        loaded.sort_unstable_by_key(|z| self.zone(*z).sb);
        for &z in &loaded {
            at = self.back_up_loaded(core, z, at);
            self.zone_mut(z).alone = 0;
        }
        self.all_alone = 0;
        loaded.clear();
        self.loaded = loaded;
        let zones = self.ftl.len();
        let programmed = core.media.tell(|why, _| (why.owner as usize) < zones);
        let done = now.max(self.durable).max(programmed);
        self.counters.host_flushes += 1;
        self.counters.flush_latency.add(done.since(now));
        done
    }

    /// Copies the zone's loaded pages that have no copy in pSLC there; returns the end.
    pub fn back_up(&mut self, core: &mut Core, z: u32, at: Instant) -> Instant {
        let end = self.back_up_loaded(core, z, at);
        self.note_loaded(z);
        end
    }

    fn back_up_loaded(&mut self, core: &mut Core, z: u32, at: Instant) -> Instant {
        let zone = *self.zone(z);
        let (stripe, written) = self.native.open_stripe(zone.native);
        let (lpp, first) = (self.shape.lpp, self.first_lpn(z));
        let mut alone = core::mem::take(&mut self.alone);
        for index in stripe.max(zone.backed)..written {
            if self.native.is_loaded(index, zone.native) {
                let pages = index * lpp..(index + 1) * lpp;
                alone.extend(pages.filter(|page| self.index.current(first + page).is_none()));
            }
        }
        self.counters.pages_backup += alone.len() as u64;
        let mut end = at;
        let why = Why {
            owner: z,
            buffer: NONE,
        };
        let mut left = alone.as_slice();
        while !left.is_empty() {
            if !self.slc.host.is_open() {
                let sb = self.open_slc(core, at);
                self.slc.host = Appender::on(sb);
            }
            let most = (left.len() as u32, why);
            let placed = self.slc.load(core, Pointer::Host, most, at);
            self.programmed_slc(z, placed);
            end = end.max(placed.end);
            let (now, rest) = left.split_at(placed.n as usize);
            for (&page, loc) in now.iter().zip(placed.loc..) {
                self.hold(core, z, page, loc, placed.end);
            }
            left = rest;
        }
        self.zone_mut(z).backed = written;
        alone.clear();
        self.alone = alone;
        end
    }

    /// A loaded page of zone `z` has a backup at `loc`.
    fn hold(&mut self, core: &mut Core, z: u32, page: u32, loc: u32, end: Instant) {
        let lpn = self.first_lpn(z) + page;
        match self.index.insert(lpn, loc) {
            Some(older) => {
                self.slc.replaced(older, loc, end, false);
                self.zone_mut(z).stale -= 1;
            }
            None => self.zone_mut(z).held += 1,
        }
        self.slc.put(lpn, loc);
        let from = self.native_loc(self.zone(z), page);
        let (native, slc) = (&self.native, &self.slc.pool);
        core.observer.note(|| Event::Copied {
            namespace: Namespace::Data,
            lpn: u64::from(lpn),
            from: Some(native.page_place(from)),
            to: slc.page_place(loc),
            durable: Some(end),
        });
    }

    /// Pages that sit in incomplete wordlines without a backup.
    fn alone(&self, z: u32) -> u32 {
        let zone = self.zone(z);
        self.native.loaded_pages(zone.native) + zone.stale - zone.held
    }

    /// Keeps the list of zones with loaded pages that need a backup.
    pub fn note_loaded(&mut self, z: u32) {
        let (before, alone) = (self.zone(z).alone, self.alone(z));
        if before == 0 && alone > 0 {
            self.loaded.push(z);
        } else if before > 0 && alone == 0 {
            self.loaded.retain(|&l| l != z);
        }
        self.all_alone = self.all_alone - u64::from(before) + u64::from(alone);
        self.zone_mut(z).alone = alone;
    }

    /// Zone finish: durable, then full. Returns the completion.
    pub fn finish(&mut self, core: &mut Core, z: u32, now: Instant) -> Result<Instant, Error> {
        let id = ZoneId::new(z);
        let before = self.zones.get(id).ok_or(zone::Error::NoSuchZone)?.state;
        let held = self.commit_held(core, id, now)?;
        self.zones.finish(id)?;
        // Of a zone that is full already, too.
        let done = self.make_durable(core, z, held);
        self.counters.zone_finishes += u64::from(before != zone::State::Full);
        self.close_slc(z);
        Ok(done)
    }
}
