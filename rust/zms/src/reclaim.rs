// SPDX-License-Identifier: GPL-2.0-or-later
//! pSLC space for zones: room for writes, opening superblocks, migration (zms-model §7), zone reset.
//!
//! ```text
//!   free superblocks <= threshold -> any fully invalid? erase them
//!                                 -> else the one opened longest ago is migrated:
//!     A and the valid pages after it, in whole units -> native
//!                                           the rest -> pSLC, internal write pointer ( = A)
//! ```
//! Without bypass a zone's pages go native here alone; with it, pSLC holds A and backups, and a
//! migration only packs them. What is lent to pSLC counts as free, and is given back first where there is too
//! much of it (`lend.rs`).

use crate::area::Area;
use crate::config::SlcMap;
use crate::core::Core;
use crate::l2p::Grain;
use crate::mover::{Kind, Load, Mover, Moving, Step, Wanted};
use crate::superblock::{Loc, Pool, NONE};
use crate::write::Cause;
use crate::zoned::Zoned;
use crate::Error;
use ftl::{Counters, Event, Namespace};
use units::{Instant, ZoneId};

impl Zoned {
    /// Makes sure that a write of `pages` to `z` can be flushed whatever happens, and made durable,
    /// making space if need be.
    ///
    /// # Errors
    /// No space can be made; nothing has changed that the host can see.
    pub fn reserve(
        &mut self,
        core: &mut Core,
        z: u32,
        pages: u32,
        now: Instant,
    ) -> Result<(), Error> {
        let made = self.make_space(core, z, pages, now);
        if made.is_err() && self.shape.slc_map == SlcMap::Zone && self.flush_full_zones(core, now) {
            return self.make_space(core, z, pages, now);
        }
        made
    }

    fn make_space(
        &mut self,
        core: &mut Core,
        z: u32,
        pages: u32,
        now: Instant,
    ) -> Result<(), Error> {
        if self.lending.is_on() {
            return self.make_space_with_lent(core, z, pages, now);
        }
        let by_page = self.shape.slc_map == SlcMap::Page;
        let each = if by_page { 1 } else { self.slc.pool.pages };
        let need = |ns: &Self| match by_page {
            true => ns.pages_needed(z, pages),
            false => ns.superblocks_needed(z, pages),
        };
        let room = |ns: &mut Self| match by_page {
            true => ns.slc.room(),
            false => ns.slc.free_for_host().into(),
        };
        let mut enough = need(self);
        self.make_room(core, false, now, enough, room)?;
        if !by_page {
            // A write pointer that had room for backups may have been given up for it.
            enough = need(self);
            self.make_room(core, false, now, enough, room)?;
        }
        let spare = (room(self) - enough) * u64::from(each);
        self.keep_pace(core, false, pages.into(), spare, now);
        Ok(())
    }

    /// The same where what can be lent counts as free.
    #[inline(never)]
    fn make_space_with_lent(
        &mut self,
        core: &mut Core,
        z: u32,
        pages: u32,
        now: Instant,
    ) -> Result<(), Error> {
        let more = self.to_be_promised(z);
        let room = |ns: &mut Self| ns.slc_room(more);
        let enough = self.pages_needed(z, pages);
        self.make_room(core, false, now, enough, room)?;
        let spare = room(self) - enough;
        self.keep_pace(core, false, pages.into(), spare, now);
        Ok(())
    }

    /// Flushes what is buffered of full zones: each has a superblock of its own open for it, which is
    /// closed then. Says whether there was any.
    fn flush_full_zones(&mut self, core: &mut Core, now: Instant) -> bool {
        let mut any = false;
        let buffers = self.buffers.iter().len();
        for index in 0..buffers {
            let b = self.buffers.get(index);
            let zone = (b.pages > 0).then(|| self.zones.get(ZoneId::new(b.zone)));
            if zone.flatten().is_some_and(|z| z.state == zone::State::Full) {
                self.flush(core, index, Cause::Premature, now.max(b.free));
                any = true;
            }
        }
        any
    }

    /// pSLC pages that what is buffered, a write of `pages` to `z` and backups can take: each page is put
    /// there once at most, when it is flushed or when its wordline is backed up.
    fn pages_needed(&self, z: u32, pages: u32) -> u64 {
        if !self.shape.bypass {
            return self.buffers.held() + u64::from(pages);
        }
        let unit = u64::from(self.shape.unit);
        self.alone_with(z, pages, |own| {
            unit * if own { self.flushes(pages) } else { 1 }
        })
    }

    /// Loaded pages that will have no copy in pSLC once what is buffered and a write of `pages` to `z` are loaded, at
    /// most: those of a zone are in one stripe. `more` of each zone that is written (whether it is `z`) can come on top.
    fn alone_with(&self, z: u32, pages: u32, more: impl Fn(bool) -> u64) -> u64 {
        let stripe = u64::from(self.native.stripe());
        let growth = |zone: u32, fresh: u32| {
            let alone = u64::from(self.zone(zone).alone);
            (alone + u64::from(fresh)).min(stripe + more(zone == z)) - alone
        };
        let mut need = self.all_alone;
        let mut rest = pages;
        for (_, b) in self.buffers.iter().filter(|(_, b)| b.pages > 0) {
            let written = if b.zone == z {
                core::mem::take(&mut rest)
            } else {
                0
            };
            need += growth(b.zone, b.pages.saturating_add(written));
        }
        if rest > 0 {
            need += growth(z, rest);
        }
        need
    }

    /// Flushes that a write of `pages` can cause.
    fn flushes(&self, pages: u32) -> u64 {
        u64::from(pages / self.buffers.capacity.max(1)) + 2
    }

    /// Of `pages` that are flushed in so many flushes, how many can go to pSLC: with bypass each leaves
    /// less than a unit there, and perhaps a page that was not written wholly.
    fn left_in_slc(&self, pages: u64, flushes: u64) -> u64 {
        if self.shape.bypass {
            pages.min(flushes * u64::from(self.shape.unit))
        } else {
            pages
        }
    }

    /// The same of a write of `pages`.
    fn written_to_slc(&self, pages: u32) -> u64 {
        self.left_in_slc(pages.into(), self.flushes(pages))
    }

    /// Pages that a Flush would have to make backups of, at most, after a write of `pages` to `z`.
    fn backups(&self, z: u32, pages: u32) -> u64 {
        if !self.shape.bypass {
            return 0;
        }
        self.alone_with(z, pages, |_| 0) + u64::from(self.shape.unit)
    }

    /// pSLC superblocks that what is buffered, a write of `pages` to `z` and backups can take, where each
    /// zone has its own.
    fn superblocks_needed(&self, z: u32, pages: u32) -> u64 {
        let pool = &self.slc.pool;
        let beyond = |need: u64, room: u32| {
            let need = need.saturating_sub(u64::from(room));
            need.div_ceil(u64::from(pool.pages))
        };
        let mut needed = beyond(self.backups(z, pages), self.slc.host.room(pool));
        let mut own = self.written_to_slc(pages);
        for (_, b) in self.buffers.iter().filter(|(_, b)| b.pages > 0) {
            let left = self.left_in_slc(b.pages.into(), 1);
            if b.zone == z {
                own += left;
            } else {
                needed += beyond(left, self.zone(b.zone).slc.room(pool));
            }
        }
        needed + beyond(own, self.zone(z).slc.room(pool))
    }

    /// Opens a pSLC superblock for host data: one of its own, as long as more than the threshold are left then, or a lent one.
    pub fn open_slc(&mut self, core: &mut Core, at: Instant) -> u32 {
        let is_scarce = self.slc.pool.free_count() <= self.shape.threshold + 1;
        let lent = if is_scarce { self.lend() } else { None };
        let sb = lent.unwrap_or_else(|| self.open_made(core, at));
        if self.free_slc() <= self.shape.threshold {
            self.begin_if_idle(core, false, at);
        }
        sb
    }

    /// The same when space has to be made.
    fn open_made(&mut self, core: &mut Core, at: Instant) -> u32 {
        if !self.lending.is_on() {
            return self.open_for_host(core, at);
        }
        let free = |ns: &mut Self| u64::from(ns.slc.free_for_host() + ns.lendable(0));
        self.make_reserved(core, at, free);
        let opened = match self.slc.free_for_host() {
            0 => self.lend(),
            _ => self.slc.pool.open(),
        };
        opened.unwrap_or(NONE)
    }

    /// pSLC superblocks that are free, with those that can be lent.
    fn free_slc(&self) -> u32 {
        self.slc.pool.free_count() + self.lendable(0)
    }

    /// Pages that can be written at the host's pSLC write pointer before space has to be made, with `more` zones to be
    /// promised a native superblock.
    pub fn slc_room(&self, more: u32) -> u64 {
        self.slc.room() + u64::from(self.lendable(more)) * u64::from(self.slc.pool.pages)
    }

    /// Superblocks gained by emptying some: of pSLC, or given back by it.
    fn gained(&self) -> u32 {
        let free = self.slc.pool.free_count();
        match self.lending.is_on() {
            true => {
                free + self.native.free_count()
                    - self.lending.promised.min(self.native.free_count())
            }
            false => free,
        }
    }

    /// The superblock to empty next, to gain room in pSLC or to have native superblocks back. In order of age, zones go native
    /// from their start on; another is only worth it if it holds little else.
    fn choose(&mut self, native: bool) -> Option<u32> {
        let if_full = !self.shape.bypass;
        let half = u64::from(self.slc.pool.pages / 2);
        let lent = self.slc.pool.oldest(true, if_full);
        let lent = lent.filter(|sb| native && self.left_of(*sb) <= half);
        let victim = lent.or_else(|| self.slc.pool.victim(if_full));
        let fits = |sb: &u32| self.slc.can_empty(*sb);
        let victim = victim.filter(fits).or_else(|| self.slc.pool.emptiest());
        victim.filter(fits)
    }

    /// Pages of a pSLC superblock that emptying it moves within pSLC, at most.
    pub fn left_of(&self, sb: u32) -> u64 {
        let valid = self.slc.pool.get(sb).valid.into();
        match self.shape.bypass || sb == NONE {
            true => valid,
            false => valid - self.gone_native(sb).min(valid),
        }
    }

    /// How many pages of zone `z` can go native next: from its native position on, A or in the victim,
    /// wholly written; no more than a unit.
    fn native_run(&self, z: u32) -> u32 {
        let zone = self.zone(z);
        let first = self.first_lpn(z) + zone.planned;
        let written = zone.flushed - u32::from(zone.partial);
        let most = self.shape.unit.min(written.saturating_sub(zone.planned));
        let victim = self.mover.victim;
        let movable = |page: &u32| {
            let loc = self.index.get(first + page);
            loc.is_some_and(|loc| *page < zone.a || loc / self.slc.pool.pages == victim)
        };
        (0..most).take_while(movable).count() as u32
    }

    /// Pages of a pSLC superblock that would be gone once it has been emptied without bypass: those that can go native, and
    /// copies of what that completes the wordlines of.
    fn gone_native(&self, sb: u32) -> u64 {
        let slc = &self.slc.pool;
        let start = slc.start(sb);
        let mut gone = 0;
        for lpn in (start..start + slc.pages).filter_map(|loc| self.slc.owner(loc)) {
            let (z, page) = (lpn / self.shape.span, lpn % self.shape.span);
            let zone = self.zone(z);
            // Once for each zone: from where A ends.
            if page != zone.planned + zone.a {
                continue;
            }
            let first = self.first_lpn(z);
            let is_here = |page: &u32| {
                let loc = self.index.get(first + page);
                loc.is_some_and(|loc| loc / slc.pages == sb)
            };
            let written = zone.flushed - u32::from(zone.partial);
            let run = zone.a + (page..written).take_while(is_here).count() as u32;
            let to = zone.planned + run / self.shape.unit * self.shape.unit;
            let (before, _) = self.native.open_stripe(zone.planned);
            let (after, _) = self.native.open_stripe(to);
            let lpp = self.shape.lpp;
            gone += (before * lpp..after * lpp).filter(is_here).count() as u64;
        }
        gone
    }

    /// Queues a unit of zone `z`.
    fn plan_unit(&mut self, core: &mut Core, z: u32, at: Instant) {
        self.bind_native(z);
        let (zone, unit, lpp) = (*self.zone(z), self.shape.unit, self.shape.lpp);
        let first = self.first_lpn(z) + zone.planned;
        for page in 0..unit {
            if let Some(loc) = self.index.get(first + page) {
                core.want(self.slc.pool.place(loc));
            }
        }
        let victims = unit - zone.a.min(unit);
        self.counters.pages_read += u64::from(unit);
        self.counters.pages_combined += u64::from(unit - victims);
        self.counters.pages_migrated += u64::from(victims);
        if self.slc.pool.is_lent(self.mover.victim) {
            self.counters.pages_folded_lent += u64::from(victims);
        }
        let ready = self.native.get(zone.sb).ready;
        for index in zone.planned / lpp..(zone.planned + unit) / lpp {
            let page = self.native.flash_page(zone.sb, index);
            let n = lpp;
            self.mover.loads.push(Load { page, n, ready });
        }
        self.queue_step(core, Kind::Unit { zone: z }, victims, at);
        let slot = self.zone_mut(z);
        slot.planned += unit;
        slot.a = slot.a.saturating_sub(unit);
    }

    /// A unit of zone `z` has been loaded; wordlines that it completed are durable from `end` on.
    fn retire_unit(&mut self, core: &mut Core, z: u32, end: Instant) {
        let (unit, lpp) = (self.shape.unit, self.shape.lpp);
        let from = self.zone(z).native;
        let to = from + unit;
        self.observe_native(core, z, from, to, unit);
        for page in from..to {
            self.uncache_sub_zone(core, self.first_lpn(z) + page);
        }
        self.loaded_native(core, z, from, to);
        for index in from / lpp..to / lpp {
            if self.native.completes(index) {
                self.complete_wordline(&mut core.observer, z, index * lpp, end);
            }
        }
        // All of it has copies in pSLC until then.
        self.zone_mut(z).backed = to / lpp;
    }

    /// The first step's pages have been rewritten by `end`.
    fn retire_rewrite(&mut self, core: &mut Core, step: Step, end: Instant) {
        let moves = self.mover.take_moves(&step);
        for m in &moves {
            if self.index.get(m.lpn) != Some(m.from) {
                // Written again, or reset, in the meantime.
                self.slc.pool.drop_valid(m.to, Instant::ZERO);
                continue;
            }
            self.index.relocate(m.lpn, m.to);
            self.slc.fill(m.lpn, m.to);
            self.slc.replaced(m.from, m.to, end, true);
            self.note_fetched_moved(m.lpn, m.from, m.to);
            self.slc.pool.programs_until(m.to, 1, end);
            let (z, page) = (m.lpn / self.shape.span, m.lpn % self.shape.span);
            let zone = self.zone(z);
            if !self.shape.bypass
                && page == zone.planned + zone.a
                && page < zone.flushed - u32::from(zone.partial)
            {
                self.zone_mut(z).a += 1;
            }
            if page >= self.zone(z).native && page < self.zone(z).flushed {
                self.uncache_sub_zone(core, m.lpn);
                self.cache_pages(core, m.lpn, 1);
            }
            let pool = &self.slc.pool;
            core.observer.note(|| Event::Copied {
                namespace: Namespace::Data,
                lpn: u64::from(m.lpn),
                from: Some(pool.page_place(m.from)),
                to: pool.page_place(m.to),
                durable: Some(end),
            });
        }
        self.counters.pages_slc += moves.len() as u64;
        self.counters.pages_migrated += moves.len() as u64;
        self.mover.give_back(moves);
    }

    /// A page that begins a sub-zone leaves its superblock.
    fn uncache_sub_zone(&self, core: &mut Core, lpn: u32) {
        if self.shape.slc_map == SlcMap::Zone && lpn % self.shape.span % self.slc.pool.pages == 0 {
            self.uncache(core, Grain::SubZone, lpn);
        }
    }

    /// Zone reset; returns the completion.
    pub fn reset(&mut self, core: &mut Core, z: u32, now: Instant) -> Result<Instant, Error> {
        self.zones.reset(ZoneId::new(z))?;
        let end = self.drop_data(core, z, now);
        self.counters.zone_resets += 1;
        let done = if self.shape.reset_wait { end } else { now };
        self.counters.reset_latency.add(done.since(now));
        Ok(done)
    }

    /// Fault injection: the zone becomes read-only, or offline.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn inject(
        &mut self,
        core: &mut Core,
        id: ZoneId,
        offline: bool,
        now: Instant,
    ) -> Result<(), Error> {
        let z = id.get();
        if self.zones.get(id).is_none() {
            return Err(zone::Error::NoSuchZone.into());
        }
        // A read-only zone keeps its data, also what is in the random write area. Without
        // room for that it is lost, as on any drive that fails at the wrong moment.
        if !offline {
            let _ = self.commit_held(core, id, now);
        }
        self.zones.inject(id, offline)?;
        if offline {
            self.drop_data(core, z, now);
        } else {
            self.make_durable(core, z, now);
            self.close_slc(z);
        }
        Ok(())
    }

    /// Drops all that a zone holds and erases what held it; returns when that has ended.
    fn drop_data(&mut self, core: &mut Core, z: u32, now: Instant) -> Instant {
        let waits = self.shape.reset_wait;
        if self.mover.loads(z) {
            self.drain(core, now);
        }
        let first = self.first_lpn(z);
        let span = self.shape.span;
        core.observer.note(|| Event::Dropped {
            namespace: Namespace::Data,
            first: first.into(),
            pages: span.into(),
        });
        let pages = u64::from(first)..u64::from(first) + u64::from(span);
        self.slc.pool.forget_pages(pages.clone());
        self.forget_fetched_of(&pages);
        if self.lending.is_on() && self.zone(z).sb == NONE && self.has_data(z) {
            self.keep_promise();
        }
        let zone = core::mem::take(self.zone_mut(z));
        if zone.buffer != NONE {
            self.buffers.empty(zone.buffer as usize);
        }
        if zone.alone > 0 {
            self.loaded.retain(|&l| l != z);
            self.all_alone -= u64::from(zone.alone);
        }
        self.uncache_zone(core, z, zone.native, zone.flushed);
        if zone.slc.is_open() {
            self.slc.pool.close(zone.slc.sb);
        }
        // Copies of native pages are in its open stripe; a page that is buffered again can have one.
        let (stripe, _) = self.native.open_stripe(zone.native);
        let from = if zone.held > 0 {
            stripe * self.shape.lpp
        } else {
            zone.native
        };
        for page in from..zone.flushed + u32::from(zone.buffer != NONE) {
            if let Some(loc) = self.index.remove(first + page) {
                self.slc.clear(loc, Instant::ZERO);
            }
        }
        let mut end = now;
        while let Some(sb) = self.slc.pool.fully_invalid() {
            let erased = core.erase(now, &self.slc.pool, sb, waits);
            self.slc.pool.begin_move(sb);
            self.release_slc(sb, erased);
            end = end.max(erased);
        }
        if zone.sb != NONE {
            end = end.max(Self::erase_now(core, &mut self.native, zone.sb, waits, now));
        }
        end
    }

    pub fn erase_now(
        core: &mut Core,
        pool: &mut Pool,
        sb: u32,
        waits: bool,
        now: Instant,
    ) -> Instant {
        let end = core.erase(now, pool, sb, waits);
        pool.begin_move(sb);
        pool.release(sb, end);
        end
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
                for start in (0..flushed).step_by(self.slc.pool.pages as usize) {
                    self.uncache(core, Grain::SubZone, first + start);
                }
            }
        }
        self.uncache_pages(core, first + paged, flushed - paged);
    }
}

impl Moving for Zoned {
    fn mover(&mut self) -> &mut Mover {
        &mut self.mover
    }

    /// Only pSLC: where native pages are follows from their zone.
    fn area(&mut self, _native: bool) -> &mut Area {
        &mut self.slc
    }

    fn pool(&mut self, native: bool) -> &mut Pool {
        if native {
            &mut self.native
        } else {
            &mut self.slc.pool
        }
    }

    fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }

    fn superblocks(&mut self) -> u32 {
        self.slc.pool.count()
    }

    fn left_by_emptying(&mut self, sb: u32) -> u64 {
        self.left_of(sb)
    }

    fn begin(&mut self, core: &mut Core, native: bool, at: Instant) -> bool {
        if self.erase_invalid(core, false, at) {
            return true;
        }
        let Some(victim) = self.choose(native) else {
            return false;
        };
        self.start_folding(victim, at);
        true
    }

    /// Pages after A are: those of A wait for what the host writes. What is lent is given back.
    fn is_worth_folding(&mut self, sb: u32) -> bool {
        if self.slc.pool.is_lent(sb) {
            return true;
        }
        let start = self.slc.pool.start(sb);
        let mut lpns = (start..start + self.slc.pool.pages).filter_map(|loc| self.slc.owner(loc));
        lpns.any(|lpn| {
            let zone = self.zone(lpn / self.shape.span);
            let pages = zone.planned + zone.a..zone.flushed - u32::from(zone.partial);
            pages.contains(&(lpn % self.shape.span))
        })
    }

    fn can_fold(&mut self, sb: u32) -> bool {
        self.slc.can_empty(sb)
    }

    fn last_to_fold(&mut self) -> Option<u32> {
        self.close_lent()
    }

    fn start_folding(&mut self, sb: u32, at: Instant) {
        self.slc.pool.begin_move(sb);
        self.mover.start(sb, self.gained(), at);
    }

    fn plan(&mut self, core: &mut Core, at: Instant) -> bool {
        let victim = self.mover.victim;
        if victim == NONE {
            return false;
        }
        loop {
            if self.plan_rewrite(core, false, at) {
                return true;
            }
            if self.mover.cursor < self.slc.pool.pages {
                let loc = self.slc.pool.start(victim) + self.mover.cursor;
                if let Some(lpn) = self.slc.owner(loc) {
                    self.plan_unit(core, lpn / self.shape.span, at);
                }
                return true;
            }
            if self.mover.has_steps() {
                return false;
            }
            if self.slc.pool.get(victim).valid == 0 {
                self.queue_erase(core, false, victim, at);
                return true;
            }
            self.mover.cursor = 0;
            self.mover.last_round = true;
        }
    }

    fn wants(&mut self, _native: bool, loc: Loc) -> Wanted {
        let Some(lpn) = self.slc.owner(loc) else {
            return Wanted::No;
        };
        let z = lpn / self.shape.span;
        if self.mover.last_round {
            return Wanted::Rewrite(lpn);
        }
        if lpn % self.shape.span < self.zone(z).planned {
            return Wanted::No;
        }
        if !self.shape.bypass && self.native_run(z) == self.shape.unit {
            return Wanted::Unit;
        }
        Wanted::Rewrite(lpn)
    }

    fn retire(&mut self, core: &mut Core, step: Step, end: Instant) {
        match step.kind {
            Kind::Rewrite => self.retire_rewrite(core, step, end),
            Kind::Unit { zone } => self.retire_unit(core, zone, end),
            Kind::Erase { native, sb } => {
                match native {
                    true => self.native.release(sb, end),
                    false => self.release_slc(sb, end),
                }
                if sb == self.mover.victim {
                    let goes_on = self.mover.end(self.gained());
                    self.counters.migrations += 1;
                    self.counters.migration_time += end.since(self.mover.started);
                    if goes_on && self.is_to_return() {
                        self.begin(core, true, end);
                    } else if goes_on && self.free_slc() <= self.shape.threshold {
                        self.begin(core, false, end);
                    }
                }
            }
        }
    }
}
