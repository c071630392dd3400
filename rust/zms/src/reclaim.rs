// SPDX-License-Identifier: GPL-2.0-or-later
//! pSLC space for zones: opening superblocks, reclaim and migration (zms-model §7), zone reset.
//!
//! ```text
//!   free superblocks <= threshold -> any fully invalid? erase them
//!                                 -> else the one opened longest ago is migrated:
//!     valid pages + A of their zones -> whole units -> native
//!                                    -> the rest    -> pSLC, internal write pointer ( = A)
//! ```
//! Migration has background priority: user operations overtake it on the planes.

use crate::config::SlcMap;
use crate::core::Core;
use crate::gc::RECLAIMS_WITHOUT_GAIN;
use crate::l2p::Grain;
use crate::superblock::{Appender, NONE};
use crate::write::Programmed;
use crate::zoned::Zoned;
use crate::Error;
use nand::Priority;
use units::{Instant, ZoneId};

impl Zoned {
    /// The write pointer for host data of zone `z`.
    pub fn host_appender(&mut self, z: u32) -> &mut Appender {
        match self.shape.slc_map {
            SlcMap::Page => &mut self.host,
            SlcMap::Zone => &mut self.zone_mut(z).slc,
        }
    }

    /// Makes sure that a write of `sectors` to `z` can be flushed whatever happens, reclaiming
    /// pSLC if need be.
    pub fn reserve(
        &mut self,
        core: &mut Core,
        z: u32,
        sectors: u64,
        now: Instant,
    ) -> Result<(), Error> {
        let buffered = self
            .buffers
            .capacity
            .saturating_mul(self.buffers.iter().count() as u32);
        let stripe = self.shape.width * self.shape.bits * self.shape.lpp;
        let pages = u32::try_from(sectors / 8 + 2)
            .unwrap_or(u32::MAX)
            .min(self.slc.pages);
        let need = u64::from(buffered) + u64::from(stripe) + u64::from(pages);
        let mut stalled = 0;
        for _ in 0..=2 * self.slc.count() {
            let room = self.host_appender(z).room(&self.slc);
            let free = u64::from(self.slc.free_count()) * u64::from(self.slc.pages);
            if free + u64::from(room) >= need {
                return Ok(());
            }
            let free = self.slc.free_count();
            self.reclaim(core, now);
            stalled = if self.slc.free_count() > free {
                0
            } else {
                stalled + 1
            };
            if stalled == RECLAIMS_WITHOUT_GAIN {
                break;
            }
        }
        Err(Error::CapacityExceeded)
    }

    /// Opens a pSLC superblock for host data of `z`; returns when it can be used.
    pub fn open_slc(&mut self, core: &mut Core, z: u32, at: Instant) -> Option<Instant> {
        let mut at = at;
        if self.slc.free_count() == 0 {
            at = self.reclaim(core, at);
        }
        let sb = self.slc.open()?;
        *self.host_appender(z) = Appender::on(sb);
        if self.slc.free_count() <= self.shape.threshold {
            at = self.reclaim(core, at);
        }
        Some(at)
    }

    /// Erases what is fully invalid, or else migrates one superblock; returns when the caller may
    /// go on: later than `at` if another migration had to end first.
    pub fn reclaim(&mut self, core: &mut Core, at: Instant) -> Instant {
        let mut erased = false;
        while let Some(sb) = self.slc.fully_invalid() {
            core.erase(at, &self.slc, sb, Priority::User);
            self.slc.release(sb);
            erased = true;
        }
        if erased {
            return at;
        }
        let Some(victim) = self.slc.oldest_closed(|_| true) else {
            return at;
        };
        // Everything of the victim might have to go to the internal write pointer.
        let internal = self.internal;
        if self.slc.free_count() == 0 && internal.room(&self.slc) < self.slc.get(victim).valid {
            return at;
        }
        let at = at.max(self.migration_end(core));
        self.migrate(core, victim, at);
        at
    }

    /// When the migration issued last ends, as it stands now.
    fn migration_end(&self, core: &Core) -> Instant {
        match self.migrating {
            NONE => Instant::ZERO,
            sb => {
                let ends = self.slc.planes(sb).map(|p| core.media.background_end(p));
                ends.fold(Instant::ZERO, Instant::max)
            }
        }
    }

    fn migrate(&mut self, core: &mut Core, victim: u32, at: Instant) {
        let mut moving = core::mem::take(&mut self.moving);
        moving.clear();
        let first = self.slc.start(victim);
        let table = &self.table;
        let valid = (first..first + self.slc.pages).filter_map(|l| table.lpn(l).map(|n| (n, l)));
        moving.extend(valid);
        moving.sort_unstable();
        let span = self.shape.span;
        let same_zone = |a: &(u32, u32), b: &(u32, u32)| a.0 / span == b.0 / span;
        for group in moving.chunk_by(same_zone) {
            self.want_moving(core, victim, group);
        }
        let read = core.read_wanted(at, Priority::Background);
        let mut end = read;
        for group in moving.chunk_by(same_zone) {
            end = end.max(self.move_zone(core, group, read));
        }
        self.counters.pages_migrated += moving.len() as u64;
        self.counters.migrations += 1;
        self.moving = moving;
        let block = self.slc.block(victim);
        for plane in self.slc.planes(victim) {
            let erase =
                core.media
                    .schedule(end, plane, block, nand::Op::Erase, Priority::Background);
            self.counters.migration_time = self.counters.migration_time.max(erase.end.since(at));
        }
        self.slc.release(victim);
        self.migrating = victim;
    }

    /// How many pages of one zone can go native with `moving`: whole units from its native write
    /// position on, out of A and of the pages moved. Also how far the run of them reaches.
    fn native_run(&self, moving: &[(u32, u32)]) -> (u32, u32) {
        let z = moving.first().map_or(0, |m| m.0 / self.shape.span);
        let zone = self.zone(z);
        let first = self.first_lpn(z);
        let mut run = zone.native + zone.a;
        for &(lpn, _) in moving {
            if lpn - first == run {
                run += 1;
            }
        }
        let run = run.min(self.whole_pages(z)).max(zone.native) - zone.native;
        (run / self.shape.unit * self.shape.unit, run)
    }

    /// Adds to the batch what moving these pages of one zone has to read.
    fn want_moving(&mut self, core: &mut Core, victim: u32, moving: &[(u32, u32)]) {
        let (native, _) = self.native_run(moving);
        let Some(z) = moving.first().map(|m| m.0 / self.shape.span) else {
            return;
        };
        let zone = *self.zone(z);
        self.counters.pages_read += moving.len() as u64;
        if native > 0 {
            let first = self.first_lpn(z) + zone.native;
            for lpn in first..first + zone.a {
                if let Some(loc) = self.table.get(lpn).filter(|l| l / self.slc.pages != victim) {
                    core.want(self.slc.place(loc));
                    self.counters.pages_read += 1;
                    self.counters.pages_combined += 1;
                }
            }
        }
        for &(_, loc) in moving {
            core.want(self.slc.place(loc));
        }
    }

    /// Moves these pages of one zone, which have been read by `at`; returns the end.
    fn move_zone(&mut self, core: &mut Core, moving: &[(u32, u32)], at: Instant) -> Instant {
        let Some(z) = moving.first().map(|m| m.0 / self.shape.span) else {
            return at;
        };
        let (native, run) = self.native_run(moving);
        let first = self.first_lpn(z) + self.zone(z).native;
        self.uncache_sub_zone(core, moving);
        let mut end = at;
        for lpn in first..first + native {
            self.invalidate(core, lpn);
        }
        for _ in 0..native / self.shape.unit {
            let unit = self.shape.unit;
            end = end.max(self.program_native(core, z, unit, at, Priority::Background));
        }
        for &(lpn, _) in moving.iter().filter(|m| m.0 >= first + native) {
            self.invalidate(core, lpn);
        }
        let rest = moving.partition_point(|m| m.0 < first + native);
        end = end.max(self.rewrite(core, moving.get(rest..).unwrap_or(&[]), at));
        self.zone_mut(z).a = run - native;
        end.max(self.back_up(core, z, at, Priority::Background))
    }

    /// Writes pages at the internal write pointer, in order; returns the end.
    fn rewrite(&mut self, core: &mut Core, pages: &[(u32, u32)], at: Instant) -> Instant {
        let mut end = at;
        let mut pages = pages.iter();
        while !pages.as_slice().is_empty() {
            let left = pages.len() as u32;
            let Some(p) = self.program_internal(core, left, at) else {
                break;
            };
            end = end.max(p.end);
            for (&(lpn, _), loc) in pages.by_ref().take(p.n as usize).zip(p.loc..) {
                self.table.insert(lpn, loc);
                self.cache_pages(core, lpn, 1);
            }
            self.slc.add_valid(p.loc, p.n);
        }
        end
    }

    /// Programs up to `most` pages at the internal write pointer.
    pub fn program_internal(
        &mut self,
        core: &mut Core,
        most: u32,
        at: Instant,
    ) -> Option<Programmed> {
        let mut appender = self.internal;
        if !appender.is_open() {
            appender = Appender::on(self.slc.open()?);
        }
        let (loc, n) = appender.take(&mut self.slc, most);
        self.internal = appender;
        let load = core.load(at, self.slc.place(loc), n, Priority::Background);
        self.counters.pages_slc += u64::from(n);
        Some(Programmed {
            loc,
            n,
            end: load.end,
        })
    }

    fn uncache_sub_zone(&self, core: &mut Core, moving: &[(u32, u32)]) {
        if self.shape.slc_map == SlcMap::Zone {
            let unit = self.slc.pages;
            let starts = moving.iter().filter(|m| m.0 % self.shape.span % unit == 0);
            for &(lpn, _) in starts {
                self.uncache(core, Grain::SubZone, lpn);
            }
        }
    }

    /// Zone reset; returns the completion.
    pub fn reset(&mut self, core: &mut Core, z: u32, now: Instant) -> Result<Instant, Error> {
        self.zones.reset(ZoneId::new(z))?;
        let zone = core::mem::take(self.zone_mut(z));
        if zone.buffer != NONE {
            self.buffers.empty(zone.buffer as usize);
        }
        self.loaded.retain(|&l| l != z);
        self.uncache_zone(core, z, zone.native, zone.flushed);
        let first = self.first_lpn(z);
        let mut end = now;
        if zone.slc.is_open() {
            self.slc.close(zone.slc.sb);
        }
        for page in zone.native..zone.flushed {
            if let Some(loc) = self.table.remove(first + page) {
                self.slc.drop_valid(loc);
            }
        }
        while let Some(sb) = self.slc.fully_invalid() {
            end = end.max(core.erase(now, &self.slc, sb, Priority::User));
            self.slc.release(sb);
        }
        if zone.sb != NONE {
            end = end.max(core.erase(now, &self.native, zone.sb, Priority::User));
            self.native.release(zone.sb);
        }
        self.counters.zone_resets += 1;
        let done = if self.shape.reset_wait { end } else { now };
        self.counters.reset_latency.add(done.since(now));
        Ok(done)
    }

    /// Drops every entry of a zone from the cache.
    fn uncache_zone(&self, core: &mut Core, z: u32, native: u32, flushed: u32) {
        let first = self.first_lpn(z);
        let (chunk, capacity) = (self.shape.chunk, self.shape.capacity);
        let mut paged = 0;
        if self.shape.hybrid {
            if native >= capacity {
                return self.uncache(core, Grain::Zone, first);
            }
            paged = native / chunk * chunk;
            for start in (0..paged).step_by(chunk as usize) {
                self.uncache(core, Grain::Chunk, first + start);
            }
            if self.shape.slc_map == SlcMap::Zone {
                for start in (0..flushed).step_by(self.slc.pages as usize) {
                    self.uncache(core, Grain::SubZone, first + start);
                }
            }
        }
        self.uncache_pages(core, first + paged, flushed - paged);
    }
}
