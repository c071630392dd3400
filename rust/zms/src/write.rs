// SPDX-License-Identifier: GPL-2.0-or-later
//! The life of a zoned write: into a buffer, out of it, durable (zms-model §4).
//!
//! ```text
//!   host link -> write buffer --flush--> whole program units -> native superblock
//!                     |                     ^ combined with A
//!                     +---- the rest -----> pSLC ( = A, the secondary buffer)
//!                                           ^ backups of loaded, incomplete wordlines
//! ```

use crate::core::Core;
use crate::l2p::{Grain, Key};
use crate::read::Map;
use crate::superblock::{Loc, NONE};
use crate::zoned::{page_range, Zoned, PAGE_SECTORS};
use crate::Error;
use nand::Priority;
use units::{Bytes, Instant, Sector, ZoneId, SECTOR_BYTES};

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

/// Pages programmed into pSLC in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Programmed {
    pub loc: Loc,
    pub n: u32,
    pub end: Instant,
}

impl Zoned {
    /// Writes at a zone's write pointer; returns the completion.
    pub fn write(&mut self, core: &mut Core, write: Write, now: Instant) -> Result<Instant, Error> {
        let id = self.zones.check_write(write.at, write.sectors)?;
        if write.sectors == 0 {
            return Ok(now);
        }
        let z = id.get();
        let start = write.at.get() - self.zones.start(id).get();
        self.reserve(core, z, write.sectors, now)?;
        self.zones.write(id, write.sectors)?;
        self.counters.host_write_pages += u64::from(page_range(write.at, write.sectors).1);
        self.counters.host_write_sectors += write.sectors;
        let mut done = self.fill(core, z, start, write, now);
        if write.fua {
            done = done.max(self.make_durable(core, z, done));
        }
        self.counters.host_writes += 1;
        self.counters.write_latency.add(done.since(now));
        Ok(done)
    }

    /// Moves the sectors into a buffer, piece by piece; returns the last piece's arrival.
    pub fn fill(
        &mut self,
        core: &mut Core,
        z: u32,
        start: u64,
        write: Write,
        now: Instant,
    ) -> Instant {
        let own = self.zone(z).buffer;
        let own = (own != NONE).then_some(own as usize);
        let choice = self.buffers.choose(z, own, now);
        let index = choice.buffer;
        let mut at = now.max(self.buffers.get(index).free);
        if choice.evict {
            at = self.flush(core, index, Cause::Premature, at);
        }
        let end = start + write.sectors;
        let pages = end.div_ceil(PAGE_SECTORS);
        at = self.fetch_partial_page(core, z, index, start, at);
        let mut cursor = start;
        let mut arrived = at;
        while cursor < end {
            let b = self.buffers.get(index);
            let held = u64::from(self.zone(z).flushed + b.pages);
            let room = u64::from(self.buffers.capacity - b.pages);
            let fresh = room.min(pages - held);
            let to = end.min((held + fresh) * PAGE_SECTORS);
            if to <= cursor {
                // Only without pSLC space to flush to, which `reserve` has ruled out.
                break;
            }
            let touched = to.div_ceil(PAGE_SECTORS) - cursor / PAGE_SECTORS;
            at += core.costs.buffer_base + core.costs.buffer_page.times(touched);
            if write.data {
                at = core
                    .link
                    .transfer(at, Bytes::new((to - cursor) * SECTOR_BYTES));
            }
            arrived = at;
            cursor = to;
            self.zone_mut(z).buffer = index as u32;
            self.buffers.fill(index, z, fresh as u32, at);
            if self.buffers.get(index).pages == self.buffers.capacity {
                at = self.flush(core, index, Cause::Full, at);
            }
        }
        arrived
    }

    /// A write that starts inside a page already in flash takes the page back into the buffer.
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
        let Some(loc) = self.table.get(lpn) else {
            return at;
        };
        core.want(self.slc.place(loc));
        self.counters.pages_read += 1;
        let read = core.read_wanted(at, Priority::User);
        self.invalidate(core, lpn);
        let zone = self.zone_mut(z);
        zone.flushed = page;
        zone.a = zone.a.min(page - zone.native);
        zone.buffer = index as u32;
        self.buffers.fill(index, z, 1, read);
        read
    }

    /// Takes a page out of pSLC. Its superblock stays until reclaim, or a reset, looks at it.
    pub fn invalidate(&mut self, core: &mut Core, lpn: u32) -> Option<Loc> {
        let loc = self.table.remove(lpn)?;
        self.slc.drop_valid(loc);
        self.uncache(core, Grain::Page, lpn);
        Some(loc)
    }

    /// Flushes a buffer at `at`; returns when the flush's operations have ended.
    pub fn flush(&mut self, core: &mut Core, index: usize, cause: Cause, at: Instant) -> Instant {
        match cause {
            Cause::Full => self.counters.flush_full += 1,
            Cause::Premature => self.counters.flush_premature += 1,
            Cause::Window => self.counters.flush_window += 1,
            Cause::Durable => self.counters.flush_durable += 1,
        }
        let (z, n) = self.buffers.empty(index);
        self.zone_mut(z).buffer = NONE;
        let (end, left) = self.place(core, z, n, at);
        if left > 0 {
            self.zone_mut(z).buffer = index as u32;
            self.buffers.fill(index, z, left, end);
        }
        self.buffers.set_free(index, end);
        end
    }

    /// Puts the next `n` pages of zone `z` into flash (zms-model §4.5); returns the end, and how
    /// many found no room.
    fn place(&mut self, core: &mut Core, z: u32, n: u32, at: Instant) -> (Instant, u32) {
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
                let fresh = n - zone.a;
                self.zone_mut(z).flushed += fresh;
                end = end.max(self.program_native(core, z, n, ready, Priority::User));
                left -= fresh;
                continue;
            }
            // One flash page's worth at a time, wherever the write pointer stands.
            let mut round = left.min(self.shape.lpp);
            while round > 0 {
                let Some(p) = self.program_slc(core, z, round, at) else {
                    return (end, left);
                };
                end = end.max(p.end);
                round -= p.n;
                left -= p.n;
                self.map_slc(core, z, p);
            }
        }
        (end, left)
    }

    /// The next pages of zone `z` are in pSLC now.
    fn map_slc(&mut self, core: &mut Core, z: u32, p: Programmed) {
        let first = self.first_lpn(z) + self.zone(z).flushed;
        for (lpn, loc) in (first..first + p.n).zip(p.loc..) {
            self.table.insert(lpn, loc);
        }
        self.cache_pages(core, first, p.n);
        self.slc.add_valid(p.loc, p.n);
        let bypass = self.shape.bypass;
        let zone = self.zone_mut(z);
        zone.flushed += p.n;
        zone.a += if bypass { p.n } else { 0 };
        self.cache_sub_zone(core, first + p.n - 1);
    }

    /// Reads the secondary buffer of `z` back and drops it from pSLC; returns when it is in.
    fn read_secondary(&mut self, core: &mut Core, z: u32, at: Instant) -> Instant {
        let zone = *self.zone(z);
        let first = self.first_lpn(z) + zone.native;
        for lpn in first..first + zone.a {
            if let Some(loc) = self.table.remove(lpn) {
                core.want(self.slc.place(loc));
                self.slc.drop_valid(loc);
            }
        }
        self.counters.pages_read += u64::from(zone.a);
        self.counters.pages_combined += u64::from(zone.a);
        core.read_wanted(at, Priority::User)
    }

    /// Loads `n` pages (whole units) at the zone's native write position; returns the end. Their
    /// old copies have been dropped; `flushed` counts them already.
    pub fn program_native(
        &mut self,
        core: &mut Core,
        z: u32,
        n: u32,
        at: Instant,
        priority: Priority,
    ) -> Instant {
        if self.zone(z).sb == NONE {
            // There are more superblocks than zones.
            let Some(sb) = self.native.open() else {
                return at;
            };
            self.zone_mut(z).sb = sb;
        }
        let (zone, lpp) = (*self.zone(z), self.shape.lpp);
        let mut end = at;
        let mut durable = Instant::ZERO;
        for index in zone.native / lpp..(zone.native + n) / lpp {
            let page = self.native.flash_page(zone.sb, index);
            let load = core.load(at, page, lpp, priority);
            end = end.max(load.end);
            if page.row % self.shape.bits == self.shape.bits - 1 {
                durable = durable.max(load.end);
            }
        }
        self.native.add_valid(self.native.start(zone.sb), n);
        self.counters.pages_native += u64::from(n);
        let to = zone.native + n;
        let slot = self.zone_mut(z);
        slot.native = to;
        slot.a = 0;
        if priority == Priority::User {
            self.programmed(z, durable);
        }
        if to >= self.shape.capacity {
            self.native.close(zone.sb);
        }
        self.note_loaded(z);
        let first = self.first_lpn(z);
        self.cache_pages(core, first + zone.native, n);
        self.cache_native(core, z, zone.native, to);
        end
    }

    /// Programs up to `most` pages at the pSLC write pointer for host data of `z`: those that fit
    /// the flash page there. `None` if there is no space and none can be made.
    pub fn program_slc(
        &mut self,
        core: &mut Core,
        z: u32,
        most: u32,
        at: Instant,
    ) -> Option<Programmed> {
        let mut at = at;
        if !self.host_appender(z).is_open() {
            at = self.open_slc(core, z, at)?;
        }
        let mut appender = *self.host_appender(z);
        let (loc, n) = appender.take(&mut self.slc, most);
        *self.host_appender(z) = appender;
        let load = core.load(at, self.slc.place(loc), n, Priority::User);
        self.counters.pages_slc += u64::from(n);
        self.programmed(z, load.end);
        Some(Programmed {
            loc,
            n,
            end: load.end,
        })
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
        if self.shape.hybrid && last + 1 - first == self.slc.pages && self.is_sub_zone(first) {
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
        self.back_up(core, z, at, Priority::User);
        now.max(self.zone(z).durable)
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
        while let Some(&z) = self.loaded.iter().min_by_key(|z| self.zone(**z).sb) {
            at = self.back_up(core, z, at, Priority::User);
        }
        let done = now.max(self.durable);
        self.counters.host_flushes += 1;
        self.counters.flush_latency.add(done.since(now));
        done
    }

    /// Copies the zone's loaded flash pages that have no backup yet to pSLC; returns the end.
    pub fn back_up(&mut self, core: &mut Core, z: u32, at: Instant, priority: Priority) -> Instant {
        let mut left = self.unbacked(z) * self.shape.lpp;
        let mut end = at;
        self.counters.pages_backup += u64::from(left);
        while left > 0 {
            let programmed = match priority {
                Priority::User => self.program_slc(core, z, left, at),
                Priority::Background => self.program_internal(core, left, at),
            };
            let Some(p) = programmed else {
                break;
            };
            end = end.max(p.end);
            left -= p.n;
        }
        let pages = self.zone(z).native / self.shape.lpp;
        self.zone_mut(z).backed = pages;
        self.loaded.retain(|&l| l != z);
        end
    }

    /// Native flash pages in incomplete wordlines without a backup.
    fn unbacked(&self, z: u32) -> u32 {
        let zone = self.zone(z);
        self.native.unbacked(zone.native, zone.backed).0
    }

    fn note_loaded(&mut self, z: u32) {
        let listed = self.loaded.contains(&z);
        let loaded = self.unbacked(z) > 0;
        if loaded && !listed {
            self.loaded.push(z);
        } else if !loaded && listed {
            self.loaded.retain(|&l| l != z);
        }
    }

    /// Zone finish: durable, then full. Returns the completion.
    pub fn finish(&mut self, core: &mut Core, z: u32, now: Instant) -> Result<Instant, Error> {
        let id = ZoneId::new(z);
        let before = self.zones.get(id).ok_or(zone::Error::NoSuchZone)?.state;
        let held = self.commit_held(core, id, now)?;
        self.zones.finish(id)?;
        if before == zone::State::Full {
            return Ok(now);
        }
        let done = self.make_durable(core, z, held);
        self.counters.zone_finishes += 1;
        let slc = core::mem::take(&mut self.zone_mut(z).slc);
        if slc.is_open() {
            self.slc.close(slc.sb);
        }
        Ok(done)
    }
}
