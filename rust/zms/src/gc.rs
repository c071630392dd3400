// SPDX-License-Identifier: GPL-2.0-or-later
//! Space for page-mapped namespaces: write pointers, greedy GC, migration (zms-model §7, §8).
//!
//! ```text
//!   meta              a pSLC victim's pages -> pSLC
//!   block, bypass     pSLC holds A and copies alone: a victim's pages -> pSLC
//!   block, no bypass  a pSLC victim's pages with A, in whole units -> native; the rest -> pSLC, as A
//!   block, native     a native victim's pages with A, in whole units -> native; the rest as above
//! ```
//! Work starts when taking a superblock leaves no more than the threshold free. It is background work:
//! the host's write is issued without waiting for it as long as there is space.

use crate::area::{Area, Placed, Pointer, Why};
use crate::core::Core;
use crate::mover::{Kind, Move, Mover, Moving, Step, Wanted};
use crate::paged::{Paged, BUFFERED};
use crate::superblock::{Appender, Loc, Pool, NATIVE, NONE};
use crate::Error;
use ftl::Counters;
use units::Instant;

impl<const NS: u8> Paged<NS> {
    /// Makes sure that a write of `pages` can be flushed whatever happens, and made durable, making
    /// space if need be.
    ///
    /// # Errors
    /// No space can be made; nothing has changed that the host can see.
    pub fn reserve(&mut self, core: &mut Core, pages: u64, now: Instant) -> Result<(), Error> {
        let collects = self.collects;
        let (buffered, capacity) = self.buffered();
        let mut need = buffered + pages;
        if self.bypass {
            let unit = u64::from(self.unit);
            let needed = need + unit;
            let room = |ns: &mut Self| ns.native.as_ref().map_or(0, Area::room);
            self.make_room(core, true, now, needed, room)?;
            let spare = room(self) - needed;
            if collects {
                self.keep_pace(core, true, pages, spare, now);
            }
            // Each flush leaves less than a unit in pSLC.
            let flushes = need / capacity.max(1) + 2;
            let stripe = self.native.as_ref().map_or(0, |n| n.pool.stripe());
            need = need.min(flushes * unit) + u64::from(stripe);
        }
        self.make_room(core, false, now, need, |ns| ns.slc.room())?;
        if !(collects && self.bypass) {
            let spare = self.slc.room() - need;
            self.keep_pace(core, collects, pages, spare, now);
        }
        Ok(())
    }

    /// Programs up to `most` pages at the pSLC write pointer for host data: those that fit the flash
    /// page there. Room has been reserved.
    pub fn program_host(
        &mut self,
        core: &mut Core,
        (most, why): (u32, Why),
        at: Instant,
    ) -> Placed {
        if !self.slc.host.is_open() {
            let sb = self.open_for_host(core, at);
            self.slc.host = Appender::on(sb);
            if self.slc.pool.free_count() <= self.threshold(false) {
                self.begin_if_idle(core, false, at);
            }
        }
        let placed = self.slc.load(core, Pointer::Host, (most, why), at);
        self.slc
            .pool
            .programs_until(placed.loc, placed.n, placed.end);
        self.counters.pages_slc += u64::from(placed.n);
        self.durable = self.durable.max(placed.end);
        placed
    }

    /// Makes sure that the host's native write pointer is open. Room has been reserved.
    pub fn open_native(&mut self, core: &mut Core, at: Instant) {
        if self.native.as_ref().is_none_or(|n| n.host.is_open()) {
            return;
        }
        let free = |ns: &mut Self| ns.native.as_ref().map_or(1, |n| n.free_for_host().into());
        let made = self.make_room(core, true, at, 1, free);
        assert_eq!(made, Ok(()), "room is reserved before a write is admitted");
        self.open_host_native();
        if self.native_is_scarce() {
            self.begin_if_idle(core, true, at);
        }
    }

    pub fn open_host_native(&mut self) {
        if let Some(native) = &mut self.native {
            native.open(Pointer::Host);
            self.start_backing();
            self.collects_next = self.native_is_scarce();
        }
    }

    /// With so many free superblocks left or fewer work begins.
    fn threshold(&self, native: bool) -> u32 {
        match &self.native {
            Some(_) if !native => self.migrate_threshold,
            _ => self.gc_threshold,
        }
    }

    /// Whether victims of a pool always have an invalid page: each gains something.
    fn always_gains(&self, native: bool) -> bool {
        native || self.native.is_none()
    }

    /// Whether native superblocks are to be collected.
    fn native_is_scarce(&self) -> bool {
        let native = self.native.as_ref();
        native.is_some_and(|n| n.pool.free_count() <= self.gc_threshold)
    }

    /// Whether pSLC has room for what collecting a native superblock can leave there, and for a
    /// migration afterwards.
    fn can_collect(&self) -> bool {
        let need = match self.bypass {
            true => u64::from(self.slc.kept),
            false => 2 * self.left_by_move(),
        };
        self.native.is_some() && self.slc.room_for_moves() >= need
    }

    /// Pages that moving a superblock into native cells can leave in pSLC ([`crate::config::Config::left_by_move`]): no
    /// more than a remainder where each unit is programmed when it is loaded.
    fn left_by_move(&self) -> u64 {
        let stripe = self.native.as_ref().map_or(0, |n| n.pool.stripe());
        match stripe == self.unit {
            true => u64::from(self.unit - 1),
            false => u64::from(self.unit + stripe),
        }
    }

    /// Whether a victim's pages go native.
    fn moves_to_native(&self) -> bool {
        self.native.is_some() && (self.collects || !self.bypass && !self.packs)
    }

    /// Starts on a victim, if there is one. One of pSLC whose pages are to go native needs room there.
    fn start_on(&mut self, native: bool, at: Instant) -> bool {
        let to_native = self.native.is_some() && !native && !self.bypass;
        let pool = self.pool(native);
        // Only moving pages into denser cells gains anything from a full one.
        let Some(victim) = pool.victim(to_native) else {
            return false;
        };
        if to_native && !self.has_native_room(victim) {
            return false;
        }
        if !self.can_move(native, victim) {
            return false;
        }
        self.start_with(native, victim, at);
        self.packs = false;
        true
    }

    /// Whether native cells have room for a pSLC superblock's pages and A.
    fn has_native_room(&self, sb: u32) -> bool {
        let pages = u64::from(self.slc.pool.get(sb).valid) + self.a.len() as u64;
        self.native
            .as_ref()
            .is_some_and(|native| native.room() >= pages)
    }

    /// Whether what a victim holds finds space where it goes. It always does unless a power cut came in between, which
    /// leaves copies in superblocks that were to be free.
    fn can_move(&self, native: bool, victim: u32) -> bool {
        if let Some(area) = self.native.as_ref().filter(|_| native) {
            return area.can_empty(victim);
        }
        let goes_native = self.native.is_some() && !self.bypass;
        self.slc.can_empty(victim)
            || goes_native && self.slc.room_for_moves() >= self.left_by_move()
    }

    fn start_with(&mut self, native: bool, victim: u32, at: Instant) {
        let pool = self.pool(native);
        pool.begin_move(victim);
        let free = pool.free_count();
        self.collects = native;
        self.mover.start(victim, free, at);
    }

    /// There is no room in native cells for a whole pSLC victim, nor in pSLC to collect those: starts to pack a victim's
    /// pages within pSLC, or to move as many of them as there is room for to native cells, and the rest within pSLC.
    fn start_packing(&mut self, at: Instant) -> bool {
        let room = self.slc.room_for_moves();
        let (partly, any) = (self.slc.pool.victim(false), self.slc.pool.victim(true));
        let valid = |sb| u64::from(self.slc.pool.get(sb).valid);
        if let Some(victim) = partly.filter(|&sb| valid(sb) <= room) {
            self.start_with(false, victim, at);
            self.packs = true;
            return true;
        }
        let Some(pool) = self.native.as_ref().map(|native| &native.pool) else {
            return false;
        };
        let (unit, stripe) = (u64::from(self.unit), u64::from(pool.stripe()));
        let native = self.native.as_ref().map_or(0, Area::room) / unit * unit;
        let joining = self.a.len() as u64;
        let rest = |sb| {
            let all = valid(sb) + joining;
            // With no loaded page's copy in pSLC, and none after native room has been used up, that is all.
            let more = match all > native && self.held.len() == 0 {
                true => 0,
                false => unit - 1 + stripe,
            };
            all.saturating_sub(native) + more
        };
        let Some(victim) = any.filter(|&sb| native > 0 && rest(sb) <= room) else {
            return false;
        };
        self.start_with(false, victim, at);
        self.packs = false;
        true
    }

    fn begin_on(&mut self, core: &mut Core, native: bool, at: Instant) -> bool {
        self.erase_invalid(core, native, at) || self.start_on(native, at)
    }

    /// Where a page that is mapped, or held, at this location of an area is.
    fn word_of(native: bool, loc: Loc) -> Loc {
        if native {
            loc | NATIVE
        } else {
            loc
        }
    }

    /// Queues a unit of A and of the victim's next pages. False if there are too few of them, or if there
    /// is no native superblock to go to.
    fn plan_unit(&mut self, core: &mut Core, at: Instant) -> bool {
        let native = self.collects;
        let pointer = if native {
            Pointer::Internal
        } else {
            Pointer::Host
        };
        let unit = self.unit as usize;
        if !self.can_open_native(pointer) {
            return false;
        }
        self.drop_rewritten();
        let from = self.mover.cursor;
        for i in 0..self.a.len().min(unit) {
            let Some(&lpn) = self.a.get(i) else { break };
            let loc = self.flash_loc(lpn);
            self.mover.next.push(Move {
                lpn,
                from: loc,
                to: NONE,
            });
        }
        let combined = self.mover.next.len();
        while self.mover.next.len() < unit && self.next_for_unit(native) {}
        if self.mover.next.len() < unit {
            self.mover.next.clear();
            self.mover.cursor = from;
            return false;
        }
        self.a.drain(..combined);
        for i in 0..unit {
            let loc = self.mover.next.get(i).map_or(0, |m| m.from);
            core.want(self.place_of(loc));
        }
        if pointer == Pointer::Host && self.native.as_ref().is_some_and(|n| !n.host.is_open()) {
            self.open_host_native();
        }
        let lpp = self.pool(true).lpp();
        for first in (0..self.unit).step_by(lpp as usize) {
            self.reserve_next(true, pointer, lpp, first as usize);
        }
        for m in &mut self.mover.next {
            m.to |= NATIVE;
        }
        self.counters.pages_read += u64::from(self.unit);
        self.counters.pages_combined += combined as u64;
        let pages = self.unit - combined as u32;
        self.queue_step(core, Kind::Unit { zone: NONE }, pages, at);
        true
    }

    fn can_open_native(&self, pointer: Pointer) -> bool {
        self.native.as_ref().is_some_and(|n| match pointer {
            Pointer::Host => n.host.is_open() || n.free_for_host() > 0,
            Pointer::Internal => n.internal.is_open() || n.pool.free_count() > 0,
        })
    }

    /// Adds the victim's next page that can go native to the unit being planned, if there is one: one
    /// that is mapped there, and not in A.
    fn next_for_unit(&mut self, native: bool) -> bool {
        let victim = self.mover.victim;
        let pool = self.pool(native);
        let (first, pages) = (pool.start(victim), pool.pages);
        while self.mover.cursor < pages {
            let loc = first + self.mover.cursor;
            self.mover.cursor += 1;
            let from = Self::word_of(native, loc);
            let owner = self.area(native).owner(loc);
            let mapped = owner.filter(|&lpn| self.flash_loc(lpn) == from);
            if let Some(lpn) = mapped.filter(|lpn| native || !self.a.contains(lpn)) {
                let to = NONE;
                self.mover.next.push(Move { lpn, from, to });
                return true;
            }
        }
        false
    }

    /// The first step's pages are in native cells; wordlines that they complete are durable from `end`
    /// on.
    fn retire_unit(&mut self, core: &mut Core, step: Step, end: Instant) {
        let moves = self.mover.take_moves(&step);
        for m in &moves {
            if self.flash_loc(m.lpn) == m.from {
                self.fill(m.lpn, m.to);
                self.observe(core, m.lpn, Some(m.from), m.to, None);
                self.map_moved(core, m.lpn, m.to, None);
            } else {
                self.drop_reserved(m.to);
            }
        }
        let pool = self.pool(true);
        let (pages, lpp) = (pool.pages, pool.lpp());
        for m in moves.iter().step_by(lpp as usize) {
            let loc = m.to & !NATIVE;
            if self.pool(true).completes(loc % pages / lpp) {
                self.complete_wordline(&mut core.observer, loc, end);
            }
        }
        self.counters.pages_native += moves.len() as u64;
        self.count_moved(moves.len());
        self.mover.give_back(moves);
    }

    /// The first step's pages have been rewritten in pSLC by `end`.
    fn retire_rewrite(&mut self, core: &mut Core, step: Step, end: Instant) {
        let moves = self.mover.take_moves(&step);
        for m in &moves {
            let mapped = self.flash_loc(m.lpn) == m.from;
            let held = !mapped && self.held.get(m.lpn) == Some(m.from);
            if !mapped && !held {
                self.drop_reserved(m.to);
                continue;
            }
            self.fill(m.lpn, m.to);
            self.slc.pool.programs_until(m.to, 1, end);
            self.observe(core, m.lpn, Some(m.from), m.to, Some(end));
            if held {
                self.held.relocate(m.lpn, m.to);
                self.replaced(m.from, m.to, end, true);
                continue;
            }
            self.map_moved(core, m.lpn, m.to, Some(end));
            let rewritten = self.word(m.lpn) & BUFFERED != 0;
            // With bypass nothing else takes it out of pSLC, and the next flush takes a unit of A.
            let most = self.unit as usize * if self.bypass { 2 } else { 1 };
            let joins =
                (self.moves_to_native() || self.bypass) && !rewritten && self.a.len() + 1 < most;
            if joins && !self.a.contains(&m.lpn) {
                self.a.push(m.lpn);
            }
        }
        self.counters.pages_slc += moves.len() as u64;
        self.count_moved(moves.len());
        self.mover.give_back(moves);
    }

    /// Whether the victim is collected where it is, not migrated.
    fn is_collection(&self) -> bool {
        self.native.is_none() || self.collects
    }

    fn count_moved(&mut self, pages: usize) {
        let counter = if self.is_collection() {
            &mut self.counters.pages_gc
        } else {
            &mut self.counters.pages_migrated
        };
        *counter += pages as u64;
    }

    fn count_victim(&mut self, end: Instant) {
        let time = end.since(self.mover.started);
        let is_collection = self.is_collection();
        let counters = &mut self.counters;
        if is_collection {
            counters.gc_runs += 1;
            counters.gc_time += time;
        } else {
            counters.migrations += 1;
            counters.migration_time += time;
        }
    }

    /// A reserved location gets its page.
    fn fill(&mut self, lpn: u32, to: Loc) {
        let (area, to) = self.area_of_mut(to);
        area.fill(lpn, to);
    }

    /// A reserved location's page was written again in the meantime.
    fn drop_reserved(&mut self, to: Loc) {
        let (area, to) = self.area_of_mut(to);
        area.pool.drop_valid(to, Instant::ZERO);
    }
}

impl<const NS: u8> Moving for Paged<NS> {
    fn mover(&mut self) -> &mut Mover {
        &mut self.mover
    }

    fn area(&mut self, native: bool) -> &mut Area {
        match &mut self.native {
            Some(area) if native => area,
            _ => &mut self.slc,
        }
    }

    fn pool(&mut self, native: bool) -> &mut Pool {
        &mut self.area(native).pool
    }

    fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }

    fn superblocks(&mut self) -> u32 {
        let native = self.native.as_ref().map_or(0, |n| n.pool.count());
        native.saturating_add(self.slc.pool.count())
    }

    fn begin(&mut self, core: &mut Core, native: bool, at: Instant) -> bool {
        let collects = self.can_collect();
        (native && collects && self.begin_on(core, true, at))
            || self.begin_on(core, false, at)
            // A pSLC superblock that cannot go native for want of room there.
            || (!native
                && collects
                && self.slc.pool.victim(!self.bypass).is_some()
                && self.begin_on(core, true, at))
            || (self.native.is_some() && !self.bypass && self.start_packing(at))
    }

    fn is_worth_folding(&mut self, sb: u32) -> bool {
        let start = self.slc.pool.start(sb);
        let mut locs = start..start + self.slc.pool.pages;
        locs.any(|loc| {
            let mapped = self
                .slc
                .owner(loc)
                .filter(|lpn| self.flash_loc(*lpn) == loc);
            mapped.is_some_and(|lpn| !self.a.contains(&lpn))
        })
    }

    fn can_fold(&mut self, sb: u32) -> bool {
        !self.native_is_scarce() && self.has_native_room(sb) && self.can_move(false, sb)
    }

    fn start_folding(&mut self, sb: u32, at: Instant) {
        self.start_with(false, sb, at);
        self.packs = false;
    }

    fn plan(&mut self, core: &mut Core, at: Instant) -> bool {
        let victim = self.mover.victim;
        if victim == NONE {
            return false;
        }
        let native = self.collects;
        if !self.mover.last_round && self.moves_to_native() {
            if self.plan_unit(core, at) {
                return true;
            }
            // Too few are left: they are rewritten when the units have ended.
            if self.mover.has_steps() {
                return false;
            }
            self.mover.cursor = 0;
            self.mover.last_round = true;
        }
        loop {
            if self.plan_rewrite(core, native, at) {
                return true;
            }
            if self.mover.has_steps() {
                return false;
            }
            if self.pool(native).get(victim).valid == 0 {
                self.queue_erase(core, native, victim, at);
                return true;
            }
            self.mover.cursor = 0;
        }
    }

    fn wants(&mut self, native: bool, loc: Loc) -> Wanted {
        match self.area(native).owner(loc) {
            Some(lpn) => Wanted::Rewrite(lpn),
            None => Wanted::No,
        }
    }

    fn retire(&mut self, core: &mut Core, step: Step, end: Instant) {
        match step.kind {
            Kind::Rewrite => self.retire_rewrite(core, step, end),
            Kind::Unit { .. } => self.retire_unit(core, step, end),
            Kind::Erase { native, sb } => {
                self.pool(native).release(sb, end);
                if sb == self.mover.victim && native == self.collects {
                    let free = self.pool(native).free_count();
                    let goes_on = self.mover.end(free) || self.always_gains(native);
                    self.count_victim(end);
                    if core::mem::take(&mut self.collects_next) && self.native_is_scarce() {
                        self.begin(core, true, end);
                    } else if goes_on && free <= self.threshold(native) {
                        self.begin(core, false, end);
                    }
                }
            }
        }
    }
}
