// SPDX-License-Identifier: GPL-2.0-or-later
//! Space for page-mapped namespaces: write pointers, greedy GC, migration (zms-model §7, §8).
//!
//! GC runs when taking a superblock would leave the pool at or below the threshold: first every
//! fully invalid superblock is erased; if there was none, the one with the fewest valid pages is
//! read, rewritten at the internal write pointer and erased, until more than the threshold would
//! stay free. Its time is spent on the planes; the host's write is issued without waiting for it.
//!
//! Pages moved into native cells go in whole program units together with A; what is left joins A
//! in pSLC. So a page moved is never in volatile memory alone.

use crate::core::Core;
use crate::paged::{Area, Paged, BUFFERED, NATIVE};
use crate::read::Found;
use crate::superblock::{Appender, Loc, Pool, SbState, NONE};
use crate::zoned::PAGE_SECTORS;
use crate::Error;
use nand::Priority;
use units::Instant;

/// A native write pointer; also its place in [`Paged::backed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pointer {
    /// Host data and migrated pages.
    Host,
    /// Pages that GC moves.
    Internal,
}

/// How many reclaims in a row may free nothing before a write is refused. One can open the superblock
/// that it writes to, and so gain nothing yet.
pub(crate) const RECLAIMS_WITHOUT_GAIN: u32 = 3;

/// Which superblock to collect.
fn greedy_victim(pool: &Pool) -> Option<u32> {
    pool.iter()
        .filter(|(_, s)| s.state == SbState::Closed && s.valid < pool.pages)
        .min_by_key(|(_, s)| (s.valid, s.opened))
        .map(|(sb, _)| sb)
}

/// Erases what is fully invalid; tells whether there was anything.
fn erase_invalid(core: &mut Core, pool: &mut Pool, at: Instant) -> bool {
    let mut any = false;
    while let Some(sb) = pool.fully_invalid() {
        core.erase(at, pool, sb, Priority::User);
        pool.release(sb);
        any = true;
    }
    any
}

impl<const NS: u8> Paged<NS> {
    /// Makes sure that a write of `sectors` can be flushed whatever happens, reclaiming pSLC if
    /// need be.
    ///
    /// # Errors
    /// No space can be made.
    pub fn reserve(&mut self, core: &mut Core, sectors: u64, now: Instant) -> Result<(), Error> {
        let pages = u64::from(self.slc.pool.pages);
        // Backups: both native write pointers may stand inside a stripe of wordlines.
        let stripe = self.native.as_ref().map_or(0, |n| 2 * n.pool.stripe());
        let write = (sectors / PAGE_SECTORS + 2).min(pages);
        let need = self.buffer_pages() + u64::from(stripe) + write;
        let mut stalled = 0;
        for _ in 0..=2 * self.slc.pool.count() {
            let free = self.slc.pool.free_count();
            let room = u64::from(self.slc.host.room(&self.slc.pool));
            if u64::from(free) * pages + room >= need {
                return Ok(());
            }
            if self.native.is_some() {
                self.reclaim(core, now);
            } else {
                self.collect_slc(core, now);
            }
            stalled = if self.slc.pool.free_count() > free {
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

    /// Programs up to `most` pages at the pSLC write pointer for host data: location, pages,
    /// end.
    pub fn program_host(
        &mut self,
        core: &mut Core,
        most: u32,
        at: Instant,
    ) -> Option<(Loc, u32, Instant)> {
        let mut at = at;
        // Opening one may reclaim, whose backups may fill it.
        while !self.slc.host.is_open() {
            at = self.open_slc(core, at)?;
        }
        let (loc, n) = self.slc.host.take(&mut self.slc.pool, most);
        let load = core.load(at, self.slc.pool.place(loc), n, Priority::User);
        self.counters.pages_slc += u64::from(n);
        self.durable = self.durable.max(load.end);
        Some((loc, n, load.end))
    }

    fn open_slc(&mut self, core: &mut Core, at: Instant) -> Option<Instant> {
        if self.native.is_none() {
            if self.slc.pool.free_count() <= self.gc_threshold + 1 {
                self.collect_slc(core, at);
            }
            self.slc.host = Appender::on(self.slc.pool.open()?);
            return Some(at);
        }
        let mut at = at;
        if self.slc.pool.free_count() == 0 {
            at = self.reclaim(core, at);
        }
        self.slc.host = Appender::on(self.slc.pool.open()?);
        if self.slc.pool.free_count() <= self.migrate_threshold {
            at = self.reclaim(core, at);
        }
        Some(at)
    }

    /// Programs up to `most` pages at the internal pSLC write pointer: location, pages, end.
    fn program_internal(
        &mut self,
        core: &mut Core,
        most: u32,
        at: Instant,
        priority: Priority,
    ) -> Option<(Loc, u32, Instant)> {
        if !self.slc.internal.is_open() {
            self.slc.internal = Appender::on(self.slc.pool.open()?);
        }
        let (loc, n) = self.slc.internal.take(&mut self.slc.pool, most);
        let load = core.load(at, self.slc.pool.place(loc), n, priority);
        self.counters.pages_slc += u64::from(n);
        Some((loc, n, load.end))
    }

    /// GC of an all-pSLC namespace.
    fn collect_slc(&mut self, core: &mut Core, at: Instant) {
        if erase_invalid(core, &mut self.slc.pool, at) {
            return;
        }
        while self.slc.pool.free_count() <= self.gc_threshold + 1 {
            let Some(victim) = greedy_victim(&self.slc.pool) else {
                return;
            };
            let mut moving = core::mem::take(&mut self.moving);
            self.list_valid(victim, false, &mut moving);
            let read = self.read_moving(core, &moving, at);
            let mut end = read;
            for &lpn in &moving {
                self.unmap_flash(core, lpn);
            }
            end = end.max(self.rewrite(core, &moving, read, Priority::User));
            self.counters.pages_gc += moving.len() as u64;
            self.moving = moving;
            let done = core.erase(end, &self.slc.pool, victim, Priority::User);
            self.slc.pool.release(victim);
            self.counters.gc_runs += 1;
            self.counters.gc_time += done.since(at);
        }
    }

    /// Lists a victim's valid pages, in the order they lie.
    fn list_valid(&self, victim: u32, native: bool, moving: &mut Vec<u32>) {
        moving.clear();
        let area = match &self.native {
            Some(area) if native => area,
            _ => &self.slc,
        };
        let first = area.pool.start(victim) as usize;
        let pages = area.lpn_of.range(first..first + area.pool.pages as usize);
        moving.extend(pages.filter(|&lpn| lpn != NONE));
    }

    /// Reads pages to be moved; returns when they are in.
    fn read_moving(&mut self, core: &mut Core, moving: &[u32], at: Instant) -> Instant {
        for &lpn in moving {
            if let Found::Flash(place) = self.flash(lpn) {
                core.want(place);
            }
        }
        self.counters.pages_read += moving.len() as u64;
        core.read_wanted(at, Priority::User)
    }

    /// Writes pages at the internal pSLC write pointer, in order; returns the end.
    fn rewrite(
        &mut self,
        core: &mut Core,
        pages: &[u32],
        at: Instant,
        priority: Priority,
    ) -> Instant {
        let mut end = at;
        let mut left = pages;
        while !left.is_empty() {
            let most = left.len() as u32;
            let Some((loc, n, ended)) = self.program_internal(core, most, at, priority) else {
                break;
            };
            end = end.max(ended);
            let (now, rest) = left.split_at(n as usize);
            for (&lpn, loc) in now.iter().zip(loc..) {
                self.map_to(core, lpn, loc);
            }
            left = rest;
        }
        end
    }

    /// Programs one unit natively at `at`; returns the end. Its pages' old copies are dropped. The
    /// pointer is open: a superblock is whole units.
    pub fn program_unit(
        &mut self,
        core: &mut Core,
        pages: &[u32],
        at: Instant,
        pointer: Pointer,
        priority: Priority,
    ) -> Instant {
        for &lpn in pages {
            self.unmap_flash(core, lpn);
        }
        let mut end = at;
        let mut left = pages;
        while !left.is_empty() {
            let Some(native) = &mut self.native else {
                break;
            };
            let appender = match pointer {
                Pointer::Host => &mut native.host,
                Pointer::Internal => &mut native.internal,
            };
            if !appender.is_open() {
                break;
            }
            let (loc, n) = appender.take(&mut native.pool, left.len() as u32);
            let place = native.pool.place(loc);
            let load = core.load(at, place, n, priority);
            end = end.max(load.end);
            let bits = place.mode.bits();
            if place.row % bits == bits - 1 && pointer == Pointer::Host {
                self.durable = self.durable.max(load.end);
            }
            let (now, rest) = left.split_at(n as usize);
            for (&lpn, loc) in now.iter().zip(loc..) {
                self.map_to(core, lpn, loc | NATIVE);
            }
            left = rest;
        }
        self.counters.pages_native += pages.len() as u64;
        end
    }

    /// Makes sure that the native write pointer is open; GC first if superblocks are scarce.
    pub fn open_native(&mut self, core: &mut Core, at: Instant) -> bool {
        let scarce = |area: &Area| area.pool.free_count() <= self.gc_threshold + 1;
        if self
            .native
            .as_ref()
            .is_some_and(|n| !n.host.is_open() && scarce(n))
        {
            self.collect_native(core, at);
        }
        self.open_pointer(Pointer::Host)
    }

    /// Opens a native write pointer if it is not.
    fn open_pointer(&mut self, pointer: Pointer) -> bool {
        let Some(native) = &mut self.native else {
            return false;
        };
        let appender = match pointer {
            Pointer::Host => &mut native.host,
            Pointer::Internal => &mut native.internal,
        };
        if appender.is_open() {
            return true;
        }
        let Some(sb) = native.pool.open() else {
            return false;
        };
        *appender = Appender::on(sb);
        self.backed[pointer as usize] = 0;
        true
    }

    /// GC of the native superblocks.
    fn collect_native(&mut self, core: &mut Core, at: Instant) {
        let Some(native) = &mut self.native else {
            return;
        };
        if erase_invalid(core, &mut native.pool, at) {
            return;
        }
        loop {
            let pool = self.native.as_ref().map(|n| &n.pool);
            let scarce = pool.filter(|p| p.free_count() <= self.gc_threshold + 1);
            let Some(victim) = scarce.and_then(greedy_victim) else {
                return;
            };
            let mut moving = core::mem::take(&mut self.moving);
            self.list_valid(victim, true, &mut moving);
            let end = self.shift(core, &moving, NONE, at, Pointer::Internal, Priority::User);
            self.counters.pages_gc += moving.len() as u64;
            self.moving = moving;
            let Some(native) = &mut self.native else {
                return;
            };
            let left = native.pool.get(victim);
            if left.state != SbState::Closed {
                // Backups needed pSLC, and reclaiming that has erased it already.
                continue;
            }
            if left.valid > 0 {
                return;
            }
            let done = core.erase(end, &native.pool, victim, Priority::User);
            native.pool.release(victim);
            self.counters.gc_runs += 1;
            self.counters.gc_time += done.since(at);
        }
    }

    /// Reclaims pSLC of a block namespace: erases what is fully invalid, or else migrates the
    /// superblock opened longest ago. Returns when the caller may go on.
    fn reclaim(&mut self, core: &mut Core, at: Instant) -> Instant {
        if erase_invalid(core, &mut self.slc.pool, at) {
            return at;
        }
        let Some(victim) = self.slc.pool.oldest_closed(|_| true) else {
            return at;
        };
        let at = at.max(self.migration_end(core));
        let valid = self.slc.pool.get(victim).valid;
        let scarce = |n: &Area| {
            n.host.room(&n.pool) < valid + self.unit && n.pool.free_count() <= self.gc_threshold + 1
        };
        if self.native.as_ref().is_some_and(scarce) {
            self.collect_native(core, at);
            // Its backups may have needed pSLC, and so reclaimed this very superblock.
            if self.slc.pool.get(victim).state != SbState::Closed {
                return at;
            }
        }
        let mut moving = core::mem::take(&mut self.moving);
        self.list_valid(victim, false, &mut moving);
        moving.sort_unstable();
        let background = Priority::Background;
        let end = self.shift(core, &moving, victim, at, Pointer::Host, background);
        self.counters.pages_migrated += moving.len() as u64;
        self.moving = moving;
        if self.slc.pool.get(victim).valid == 0 {
            let done = core.erase(end, &self.slc.pool, victim, Priority::Background);
            self.slc.pool.release(victim);
            self.counters.migrations += 1;
            self.counters.migration_time += done.since(at);
            self.migrating = victim;
        }
        at
    }

    /// When the migration issued last ends, as it stands now.
    fn migration_end(&self, core: &Core) -> Instant {
        match self.migrating {
            NONE => Instant::ZERO,
            sb => {
                let ends = self
                    .slc
                    .pool
                    .planes(sb)
                    .map(|p| core.media.background_end(p));
                ends.fold(Instant::ZERO, Instant::max)
            }
        }
    }

    /// Moves pages together with A: whole units natively, the rest to pSLC as the new A; reads
    /// them at `at`. `victim` is the pSLC superblock they lie in, if it is one. Returns when all
    /// of it is durable.
    fn shift(
        &mut self,
        core: &mut Core,
        moving: &[u32],
        victim: u32,
        at: Instant,
        pointer: Pointer,
        priority: Priority,
    ) -> Instant {
        let unit = self.unit as usize;
        // Pages of A that stay where they are unless a unit takes them.
        let pages = self.slc.pool.pages;
        let mut all = core::mem::take(&mut self.shifting);
        all.clear();
        let home = |lpn: u32| (self.word(lpn) & !BUFFERED) / pages;
        all.extend(self.a.iter().filter(|&&l| home(l) != victim));
        let outside = all.len();
        all.extend_from_slice(moving);
        let units = all.len() / unit;
        let wanted = if units > 0 { 0 } else { outside };
        for &lpn in all.iter().skip(wanted) {
            if let Found::Flash(place) = self.flash(lpn) {
                core.want(place);
            }
        }
        self.counters.pages_combined += (outside - wanted) as u64;
        self.counters.pages_read += (all.len() - wanted) as u64;
        let read = core.read_wanted(at, priority);
        self.a.clear();
        let mut end = read;
        let mut moved = 0;
        for whole in all.chunks_exact(unit) {
            if !self.open_pointer(pointer) {
                break;
            }
            end = end.max(self.program_unit(core, whole, read, pointer, priority));
            moved += unit;
        }
        let rest = all.get(moved..).unwrap_or(&[]);
        let stays = if moved == 0 { outside } else { 0 };
        let rewritten = rest.get(stays..).unwrap_or(&[]);
        for &lpn in rewritten {
            self.unmap_flash(core, lpn);
        }
        end = end.max(self.rewrite(core, rewritten, read, priority));
        self.a.clear();
        self.a.extend(rest.iter().take(unit - 1));
        self.shifting = all;
        end.max(self.back_up(core, read, priority))
    }

    /// Copies loaded flash pages that have no backup yet to pSLC; returns the end.
    pub fn back_up(&mut self, core: &mut Core, at: Instant, priority: Priority) -> Instant {
        let mut left = 0;
        if let Some(native) = &self.native {
            for pointer in [Pointer::Host, Pointer::Internal] {
                let appender = match pointer {
                    Pointer::Host => native.host,
                    Pointer::Internal => native.internal,
                };
                if appender.is_open() {
                    let backed = &mut self.backed[pointer as usize];
                    let (flash_pages, written) = native.pool.unbacked(appender.next, *backed);
                    left += flash_pages * native.pool.lpp();
                    *backed = written;
                }
            }
        }
        self.counters.pages_backup += u64::from(left);
        let mut end = at;
        while left > 0 {
            let programmed = match priority {
                Priority::User => self.program_host(core, left, at),
                Priority::Background => self.program_internal(core, left, at, priority),
            };
            let Some((_, n, ended)) = programmed else {
                break;
            };
            end = end.max(ended);
            left -= n;
        }
        end
    }
}
