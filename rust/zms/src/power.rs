// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts: what is left in flash, and a drive made from it again.
//!
//! ```text
//!   flash       programmed by then; what was being programmed, or booked, is not         stays
//!   areas       random write areas and what was committed from them                      stays
//!   memory      write buffers, page registers, map cache, moves under way                goes
//! ```
//! The map's changes are durable as soon as what they point to is. So a page is its newest copy that has been
//! programmed: where it is mapped, or one that was replaced by what is not durable yet ([`Pool::survivor`]). A page whose
//! program was cut cannot be programmed once more: write pointers in pSLC go on behind all that was booked, or, if nothing is
//! left in their superblock, that is erased.
//!
//! ```text
//!   zone   | whole stripes, programmed |  the rest of what is left, without a hole  | gone
//!          |  native superblock        |  units: loaded again    |  A               |
//!          |  (moved to a fresh one if its next stripe is spoilt)|                  |
//!                                      |  copies in pSLC, which are made if need be |
//! ```
//! Page-mapped namespaces have two pools, and a page that waits for its wordline another copy ([`Paged::held`]). Those that were
//! to go native do so anew.
//!
//! Recovery reads how far superblocks with write pointers were programmed, and copies. It is not cut itself: a cut
//! before it has ended counts as one at its end.

use crate::area::{Area, Pointer, Why};
use crate::core::{pages, Core};
use crate::drive::{Data, Zms};
use crate::index::Index;
use crate::paged::{Paged, BUFFERED, NOWHERE};
use crate::superblock::{Loc, Past, Pool, SbState, NATIVE, NONE};
use crate::zoned::{Fetched, ZoneFtl, Zoned};
use core::ops::Range;
use ftl::{Event, Left, Lost, Namespace, PowerCut};
use nand::Op;
use std::collections::HashMap;
use units::{Instant, ZoneId, PAGE_SECTORS};

impl Zms {
    /// Power goes at `now` and comes back: what was volatile is lost, and the drive recovers. Commands whose completion is
    /// later were never answered; all that others acknowledged is still there. Counters go on.
    pub fn power_cut(&mut self, now: Instant) -> PowerCut {
        self.advance(now);
        let now = now.max(self.now);
        self.idle_at = None;
        self.core.power_cut(&self.config, now);
        let mut cut = PowerCut::at(now);
        if let Some(meta) = &mut self.meta {
            meta.power_cut(&mut self.core, now, &mut cut);
        }
        match &mut self.data {
            Data::Zoned(zoned) => zoned.power_cut(&mut self.core, now, &mut cut),
            Data::Block(block) => block.power_cut(&mut self.core, now, &mut cut),
        }
        self.advance(cut.ready);
        self.idle_at = self.config.fold_idle.map(|idle| cut.ready + idle);
        cut
    }
}

/// The copies that were replaced, by page; the newest last.
fn by_page(pool: &Pool) -> HashMap<u32, Vec<Past>> {
    let mut pages: HashMap<u32, Vec<Past>> = HashMap::new();
    for past in pool.past() {
        pages.entry(past.lpn).or_default().push(*past);
    }
    pages
}

/// Looks at superblocks that were not closed.
fn scan(core: &mut Core, pool: &Pool, cut: &mut PowerCut, at: Instant) {
    for sb in pool.unclosed() {
        cut.ready = cut.ready.max(core.scan(at, pool, sb));
    }
}

impl<const NS: u8> Paged<NS> {
    /// Power goes at `at`.
    fn power_cut(&mut self, core: &mut Core, at: Instant, cut: &mut PowerCut) {
        scan(core, &self.slc.pool, cut, at);
        if let Some(native) = &self.native {
            scan(core, &native.pool, cut, at);
        }
        self.mover.power_cut();
        let past = self.past();
        let (mut slc, mut native) = (Vec::new(), Vec::new());
        for lpn in 0..u32::try_from(self.map.len()).unwrap_or(u32::MAX) {
            let word = self.word(lpn);
            if word == NOWHERE {
                continue;
            }
            let past = past.get(&lpn).map_or(&[][..], Vec::as_slice);
            let left = self.survivor(lpn, past, at);
            if word & BUFFERED != 0 || left.is_none_or(|(_, is_newest)| !is_newest) {
                cut.lost.push(Lost {
                    namespace: Self::NAME,
                    lpn: lpn.into(),
                    left: left.map_or(Left::Nothing, |_| Left::Older),
                });
            }
            let loc = left.map_or(NOWHERE, |(loc, _)| loc);
            self.map.set(lpn as usize, loc);
            if loc == NOWHERE {
                continue;
            }
            match loc & NATIVE {
                0 => slc.push((lpn, loc)),
                _ => native.push((lpn, loc & !NATIVE)),
            }
            core.observer.note(|| Event::Survived {
                namespace: Self::NAME,
                lpn: lpn.into(),
                at: Some(self.page_place(loc)),
            });
        }
        self.slc.power_cut(core, at, &slc, &mut []);
        if let Some(area) = &mut self.native {
            area.power_cut(core, at, &native, &mut []);
        }
        self.held.clear();
        self.buffer.clear();
        self.a.clear();
        self.backed = 0;
        (self.collects, self.packs, self.collects_next) = (false, false, false);
        (self.free, self.durable) = (at, at);
        if self.bypass {
            let end = self.load_rest(core, &slc, at);
            core.media.tell(|_, _| true);
            cut.ready = cut.ready.max(end);
        }
    }

    /// The copies that were replaced, by page.
    fn past(&self) -> HashMap<u32, Vec<Past>> {
        let mut pages = by_page(&self.slc.pool);
        for past in self.native.iter().flat_map(|native| native.pool.past()) {
            pages.entry(past.lpn).or_default().push(Past {
                loc: past.loc | NATIVE,
                ..*past
            });
        }
        pages
    }

    /// Where the newest copy of a page is that is left, and whether that is of the newest version in flash.
    fn survivor(&self, lpn: u32, past: &[Past], at: Instant) -> Option<(Loc, bool)> {
        let mut loc = self.flash_loc(lpn);
        if loc == NOWHERE {
            return None;
        }
        let mut is_newest = true;
        // The other waits for its wordline.
        if let Some(held) = self.held.get(lpn) {
            is_newest = self.held.current(lpn).is_some();
            loc = held;
        }
        let mut opened = self.opened(loc);
        for _ in 0..=past.len() {
            if self.is_durable(loc, opened, at) {
                return Some((loc, is_newest));
            }
            let before = past
                .iter()
                .rfind(|p| (p.to, p.to_opened) == (loc, opened))?;
            is_newest &= before.moved;
            (loc, opened) = (before.loc, before.opened);
        }
        None
    }

    fn is_durable(&self, loc: Loc, opened: u64, at: Instant) -> bool {
        let native = self.native.as_ref().filter(|_| loc & NATIVE != 0);
        let area = native.unwrap_or(&self.slc);
        let is_past = self.opened(loc) != opened;
        (is_past || !self.is_loaded(loc)) && area.pool.is_durable(loc & !NATIVE, opened, at)
    }

    /// Whether a place at the host's native write pointer is loaded, and its wordline not complete. (What is moved there
    /// has a copy that is held.)
    fn is_loaded(&self, loc: Loc) -> bool {
        let native = self.native.as_ref().filter(|_| loc & NATIVE != 0);
        let Some(Area { pool, host, .. }) = native.filter(|_| self.bypass) else {
            return false;
        };
        let (sb, page) = ((loc & !NATIVE) / pool.pages, (loc & !NATIVE) % pool.pages);
        sb == host.sb && pool.is_loaded(page / pool.lpp(), host.next)
    }

    /// What was loaded, or to be, and has its copies in pSLC goes native, in whole units as far as there is room; the
    /// rest is A. Returns when that has ended.
    fn load_rest(&mut self, core: &mut Core, copies: &[(u32, Loc)], at: Instant) -> Instant {
        let pages: Vec<u32> = copies.iter().map(|copy| copy.0).collect();
        let unit = self.unit as usize;
        let mut end = at;
        let mut left = pages.as_slice();
        while left.len() >= unit {
            let Some(native) = &self.native else { break };
            if native.room() < unit as u64 {
                break;
            }
            if !native.host.is_open() {
                self.open_host_native();
            }
            let (now, rest) = left.split_at(unit);
            for &lpn in now {
                core.want(self.place_of(self.flash_loc(lpn)));
            }
            self.counters.pages_read += unit as u64;
            let ready = core.read_wanted(at);
            end = end.max(self.program_unit(core, now, unit, ready));
            left = rest;
        }
        self.a.extend(left.iter().take(unit - 1));
        end
    }
}

/// Where what is left of a zone's page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Native,
    Slc(Loc),
    /// Of its random write area.
    Memory,
}

/// What is left of a zone.
struct Rest {
    z: u32,
    /// Native pages that stay where they are, whole stripes; and where the pages after them are.
    whole: u32,
    homes: Vec<Home>,
    /// Sectors in all.
    sectors: u64,
    /// Native pages after recovery.
    native: u32,
    /// Its native superblock cannot be written further.
    is_spoilt: bool,
}

impl Rest {
    fn home(&self, page: u32) -> Option<Home> {
        match page.checked_sub(self.whole) {
            None => Some(Home::Native),
            Some(at) => self.homes.get(at as usize).copied(),
        }
    }

    /// Whether anything of it is in native cells.
    fn reads_native(&self) -> bool {
        self.whole > 0 || self.homes.contains(&Home::Native)
    }

    fn stays(&self) -> bool {
        self.native > 0 && !self.is_spoilt
    }

    /// Pages, the last of them perhaps written in part.
    fn pages(&self) -> u32 {
        self.whole + self.homes.len() as u32
    }
}

impl Zoned {
    /// A page that was written in part is taken back from `loc`, where it has `sectors`.
    pub fn note_fetched(&mut self, lpn: u32, loc: Loc, sectors: u8) {
        let opened = self.slc.pool.opened(loc);
        let fetched = Fetched {
            lpn,
            loc,
            opened,
            sectors,
        };
        let (index, past) = (&self.index, self.slc.pool.past());
        let is_past = |f: &Fetched| past.iter().any(|p| (p.lpn, p.loc) == (f.lpn, f.loc));
        let is_needed = |f: &Fetched| index.get(f.lpn) == Some(f.loc) || is_past(f);
        self.fetched.push(fetched, is_needed);
    }

    /// The host gave these pages up.
    pub fn forget_fetched_of(&mut self, pages: &Range<u64>) {
        self.fetched.retain(|f| !pages.contains(&u64::from(f.lpn)));
    }

    /// The copy of a page was moved.
    pub fn note_fetched_moved(&mut self, lpn: u32, from: Loc, to: Loc) {
        let opened = self.slc.pool.opened(from);
        if let Some(sectors) = self.sectors_fetched(lpn, (from, opened)) {
            self.note_fetched(lpn, to, sectors);
        }
    }

    fn sectors_fetched(&self, lpn: u32, place: (Loc, u64)) -> Option<u8> {
        let found = self.fetched.iter().rev();
        let mut found = found.filter(|f| (f.lpn, (f.loc, f.opened)) == (lpn, place));
        found.next().map(|f| f.sectors)
    }

    fn written(&self, z: u32) -> u64 {
        self.zones.get(ZoneId::new(z)).map_or(0, |z| z.written)
    }

    /// Sectors of the version of a page that was copied to this location last.
    fn sectors_of(&self, lpn: u32, copied: (Loc, u64)) -> u64 {
        if let Some(sectors) = self.sectors_fetched(lpn, copied) {
            return sectors.into();
        }
        let (z, page) = (lpn / self.shape.span, lpn % self.shape.span);
        let zone = self.zone(z);
        let written = self.written(z);
        match zone.partial && page + 1 == zone.flushed {
            true => written % PAGE_SECTORS,
            false => PAGE_SECTORS,
        }
    }

    /// Power goes at `at`.
    fn power_cut(&mut self, core: &mut Core, at: Instant, cut: &mut PowerCut) {
        scan(core, &self.slc.pool, cut, at);
        scan(core, &self.native, cut, at);
        self.mover.power_cut();
        let past = by_page(&self.slc.pool);
        let zones = 0..self.ftl.len() as u32;
        let mut rests: Vec<_> = zones.filter_map(|z| self.rest_of(z, &past, at)).collect();
        self.fit(&mut rests);
        self.note_lost(&rests, cut);
        let before = self.rebuild(core, &rests, at);
        for rest in &rests {
            self.note_survived(core, rest, before[rest.z as usize].sb);
        }
        self.note_areas(core, &rests, &before);
        let mut ends = Vec::with_capacity(rests.len());
        for rest in &rests {
            let was = before[rest.z as usize].sb;
            ends.push(self.recover(core, rest, was, at));
            // That the drive is ready counts on it: reads for zones to come do not suspend it.
            core.media.tell(|_, _| true);
        }
        let mut ready = at;
        for (rest, mut end) in rests.iter().zip(ends) {
            // To make room, copies of any zone may be moved: no rest says any more where they are.
            if before[rest.z as usize].from_area {
                end = self.write_out(core, rest.z, end);
                core.media.tell(|_, _| true);
            }
            ready = ready.max(end);
        }
        self.durable = ready;
        cut.ready = cut.ready.max(ready);
    }

    /// What is left of a zone that has data: its pages without a hole.
    fn rest_of(&self, z: u32, past: &HashMap<u32, Vec<Past>>, at: Instant) -> Option<Rest> {
        let zone = self.zone(z);
        let known = self.zones.get(ZoneId::new(z))?;
        let written = known.written;
        if known.state == zone::State::Offline || written == 0 {
            return None;
        }
        let (lpp, first) = (self.shape.lpp, self.first_lpn(z));
        let stripe = self.native.stripe();
        let open = self.native.open_stripe(zone.native).0 * lpp;
        let firm = match zone.sb {
            NONE => 0,
            sb => self.native.durable_before(sb, open, at),
        };
        let mut rest = Rest {
            z,
            whole: firm / stripe * stripe,
            homes: Vec::new(),
            sectors: 0,
            native: 0,
            is_spoilt: firm < open || zone.sb == NONE || !self.native.was_erased(zone.sb, at),
        };
        rest.sectors = u64::from(rest.whole) * PAGE_SECTORS;
        let end = u32::try_from(written.div_ceil(PAGE_SECTORS)).unwrap_or(u32::MAX);
        for page in rest.whole..end {
            let lpn = first + page;
            let is_programmed = page < zone.native
                && !self.native.is_loaded(page / lpp, zone.native)
                && self.native.holds_durable(self.native_loc(zone, page), at);
            let (home, sectors) = if is_programmed {
                (Home::Native, PAGE_SECTORS)
            } else {
                let past = past.get(&lpn).map_or(&[][..], Vec::as_slice);
                let current = self.index.get(lpn);
                match self.slc.pool.survivor(current, past, at) {
                    Some(left) => (Home::Slc(left.loc), self.sectors_of(lpn, left.version)),
                    None if zone.from_area => (Home::Memory, PAGE_SECTORS),
                    None => break,
                }
            };
            rest.homes.push(home);
            rest.sectors += sectors;
            if sectors < PAGE_SECTORS {
                break;
            }
        }
        self.lay_out(&mut rest);
        Some(rest)
    }

    /// Which pages of a rest are native after recovery, and whether they can stay where they are.
    fn lay_out(&self, rest: &mut Rest) {
        let zone = self.zone(rest.z);
        let (unit, lpp) = (self.shape.unit, self.shape.lpp);
        let whole_pages = (rest.sectors / PAGE_SECTORS) as u32;
        let most = match self.shape.bypass {
            true => whole_pages,
            false => whole_pages.min(zone.native),
        };
        rest.native = rest.whole + (most - rest.whole) / unit * unit;
        // Wordlines that were or were to be programmed, and are not complete without what is gone.
        let spoils = |index: u32| {
            let was = index * lpp < zone.native && !self.native.is_loaded(index, zone.native);
            was && (index * lpp >= rest.native || self.native.is_loaded(index, rest.native))
        };
        let (from, to) = (rest.whole / lpp, zone.native / lpp);
        rest.is_spoilt |= (from..to).any(spoils);
        let torn = |page: u32| rest.home(page) != Some(Home::Native);
        let is_complete = |page: &u32| !self.native.is_loaded(page / lpp, rest.native);
        rest.is_spoilt |= (rest.whole..rest.native).filter(is_complete).any(torn);
    }

    /// Pages of a rest that need a copy in pSLC and have none.
    fn uncopied<'a>(&'a self, rest: &'a Rest) -> impl Iterator<Item = u32> + 'a {
        let needs = move |page: &u32| {
            *page >= rest.native || self.native.is_loaded(page / self.shape.lpp, rest.native)
        };
        let in_slc = move |page: &u32| matches!(rest.home(*page), Some(Home::Slc(_)));
        (rest.whole..rest.pages())
            .filter(needs)
            .filter(move |page| !in_slc(page))
    }

    /// Shortens rests for whose copies there is no room. (As many superblocks as there are zones would have to have been
    /// cut in the middle of a stripe.)
    fn fit(&self, rests: &mut [Rest]) {
        let pages = self.slc.pool.pages;
        // What is lent goes back if it is not used.
        let mut used = vec![false; self.slc.pool.own() as usize];
        for home in rests.iter().flat_map(|rest| &rest.homes) {
            if let Home::Slc(loc) = home {
                if let Some(used) = used.get_mut((loc / pages) as usize) {
                    *used = true;
                }
            }
        }
        let free = used.iter().filter(|used| !**used).count();
        let mut room = free * pages as usize;
        for rest in rests {
            while self.uncopied(rest).count() > room {
                rest.homes.pop();
                rest.sectors = u64::from(rest.pages()) * PAGE_SECTORS;
                self.lay_out(rest);
            }
            room -= self.uncopied(rest).count();
        }
    }

    /// What is gone: all behind the new write pointers.
    fn note_lost(&self, rests: &[Rest], cut: &mut PowerCut) {
        for rest in rests {
            let (left, written) = (rest.sectors, self.written(rest.z));
            if self.zone(rest.z).from_area || left == written {
                continue;
            }
            let first = u64::from(self.first_lpn(rest.z));
            let gone = left / PAGE_SECTORS..written.div_ceil(PAGE_SECTORS);
            cut.lost.extend(gone.map(|page| Lost {
                namespace: Namespace::Data,
                lpn: first + page,
                left: match left.saturating_sub(page * PAGE_SECTORS) {
                    0 => Left::Nothing,
                    sectors => Left::Sectors(sectors as u8),
                },
            }));
        }
    }

    /// The namespace as its rests make it, before anything is copied: native superblocks that are to be left are
    /// closed. Gives what was known of zones before.
    fn rebuild(&mut self, core: &mut Core, rests: &[Rest], at: Instant) -> Vec<ZoneFtl> {
        // What came from random write areas is all there.
        let of_flash = rests.iter().filter(|rest| !self.zone(rest.z).from_area);
        let left: HashMap<u32, u64> = of_flash.map(|r| (r.z, r.sectors)).collect();
        self.zones
            .power_cut(|id| left.get(&id.get()).copied().unwrap_or(u64::MAX));
        let mut copies = Vec::new();
        let mut held = vec![None; self.native.count() as usize];
        let fresh = vec![ZoneFtl::default(); self.ftl.len()];
        let before = core::mem::replace(&mut self.ftl, fresh);
        for rest in rests {
            let sb = before[rest.z as usize].sb;
            let first = self.first_lpn(rest.z);
            self.zone_mut(rest.z).from_area = before[rest.z as usize].from_area;
            let stays = rest.stays();
            if let Some(held) = held.get_mut(sb as usize) {
                let full = rest.native >= self.shape.capacity;
                *held = match (stays, full) {
                    (true, false) => Some((SbState::Open, rest.native)),
                    (true, true) => Some((SbState::Closed, rest.native)),
                    (false, _) if rest.reads_native() => Some((SbState::Closed, rest.native)),
                    (false, _) => None,
                };
            }
            if stays {
                self.zone_mut(rest.z).sb = sb;
            }
            for (page, home) in (first + rest.whole..).zip(&rest.homes) {
                if let Home::Slc(loc) = *home {
                    copies.push((page, loc));
                }
            }
        }
        let mut pointers: Vec<_> = before.iter().map(|zone| zone.slc).collect();
        self.slc.power_cut(core, at, &copies, &mut pointers);
        for (zone, pointer) in self.ftl.iter_mut().zip(pointers) {
            zone.slc = pointer;
        }
        // What holds anything in pSLC is lent, whoever was to have it next.
        let mut lent = 0;
        for (native, held) in (0u32..).zip(&mut held).filter(|_| self.lending.is_on()) {
            let sb = self.slc.pool.own() + native;
            if self.slc.pool.get(sb).state != SbState::Away {
                *held = Some((SbState::Away, 0));
                lent += 1;
            }
        }
        self.lent_after_cut(lent);
        let dirty = self.native.power_cut(at, &held);
        core.erase_all(&mut self.native, &dirty, at);
        self.index = Index::new(self.slc.pool.count().saturating_mul(self.slc.pool.pages));
        for (lpn, loc) in copies {
            self.index.insert(lpn, loc);
        }
        self.buffers.power_cut(at);
        self.fetched.clear();
        self.loaded.clear();
        self.all_alone = 0;
        before
    }

    fn note_survived(&self, core: &mut Core, rest: &Rest, sb: u32) {
        let first = self.first_lpn(rest.z);
        let start = self.native.start(sb);
        core.observer.each(0..u64::from(rest.pages()), |page| {
            let page = page as u32;
            let place = rest.home(page).and_then(|home| match home {
                Home::Native => Some(self.native.page_place(start + page)),
                Home::Slc(loc) => Some(self.slc.pool.page_place(loc)),
                Home::Memory => None,
            });
            Event::Survived {
                namespace: Namespace::Data,
                lpn: u64::from(first + page),
                at: place,
            }
        });
    }

    /// Tells of pages that memory of random write areas has.
    fn note_areas(&self, core: &mut Core, rests: &[Rest], before: &[ZoneFtl]) {
        let in_flash: HashMap<u32, u32> = rests.iter().map(|r| (r.z, r.pages())).collect();
        for (z, was) in (0..).zip(before) {
            let (id, first) = (ZoneId::new(z), self.first_lpn(z));
            let whole = self.whole_pages(z);
            let from = match was.from_area {
                true => in_flash.get(&z).copied().unwrap_or(whole),
                false => whole,
            };
            let held = |page: &u64| *page < u64::from(whole) || self.zones.area_holds(id, *page);
            for page in (u64::from(from)..u64::from(whole + self.shape.area)).filter(held) {
                core.observer.note(|| Event::Survived {
                    namespace: Namespace::Data,
                    lpn: u64::from(first) + page,
                    at: None,
                });
            }
        }
    }

    /// Makes a zone of its rest, whose pages are in native superblock `was` and in pSLC; returns when that has ended.
    fn recover(&mut self, core: &mut Core, rest: &Rest, was: u32, at: Instant) -> Instant {
        let z = rest.z;
        let (pages, partial) = (rest.pages(), rest.sectors % PAGE_SECTORS > 0);
        let mut end = self.copy_to_slc(core, rest, was, at);
        let held = (rest.whole..rest.native).filter(|p| self.in_slc(z, *p));
        let held = held.count() as u32;
        let bypass = self.shape.bypass;
        let zone = self.zone_mut(z);
        (zone.native, zone.planned, zone.flushed) = (rest.native, rest.native, pages);
        (zone.partial, zone.held) = (partial, held);
        zone.a = if bypass { pages - rest.native } else { 0 };
        if pages > 0 {
            self.note_data(z);
        }
        if rest.native > 0 {
            end = self.load_again(core, rest, was, end);
        }
        if rest.reads_native() && !rest.stays() {
            Self::erase_now(core, &mut self.native, was, true, end);
        }
        self.zone_mut(z).durable = end;
        end
    }

    fn in_slc(&self, z: u32, page: u32) -> bool {
        self.index.get(self.first_lpn(z) + page).is_some()
    }

    /// Copies to pSLC what has no copy there and cannot stay where it is.
    fn copy_to_slc(&mut self, core: &mut Core, rest: &Rest, was: u32, at: Instant) -> Instant {
        let alone: Vec<u32> = self.uncopied(rest).collect();
        let in_native = |page: &u32| rest.home(*page) == Some(Home::Native);
        for page in alone.iter().filter(|page| in_native(page)) {
            core.want(self.native.flash_page(was, page / self.shape.lpp));
            self.counters.pages_read += 1;
        }
        let ready = core.read_wanted(at);
        let why = Why {
            owner: rest.z,
            buffer: NONE,
        };
        let (first, mut end) = (self.first_lpn(rest.z), ready);
        let mut left = alone.as_slice();
        while !left.is_empty() {
            if !self.slc.host.is_open() {
                self.slc.open(Pointer::Host);
            }
            let most = (left.len() as u32, why);
            let placed = self.slc.load(core, Pointer::Host, most, ready);
            self.programmed_slc(rest.z, placed);
            end = end.max(placed.end);
            let (now, behind) = left.split_at(placed.n as usize);
            for (&page, loc) in now.iter().zip(placed.loc..) {
                self.index.insert(first + page, loc);
                self.slc.put(first + page, loc);
                let (native, slc) = (&self.native, &self.slc.pool);
                core.observer.note(|| Event::Copied {
                    namespace: Namespace::Data,
                    lpn: u64::from(first + page),
                    from: in_native(&page).then(|| native.page_place(native.start(was) + page)),
                    to: slc.page_place(loc),
                    durable: Some(placed.end),
                });
            }
            left = behind;
        }
        end
    }

    /// Loads what was loaded and not programmed into its native superblock once more; or, where that cannot be written
    /// further, copies all of it to a fresh one.
    fn load_again(&mut self, core: &mut Core, rest: &Rest, was: u32, at: Instant) -> Instant {
        let (z, lpp, n) = (rest.z, self.shape.lpp, rest.native);
        if !rest.stays() {
            self.bind_native(z);
            let sb = self.zone(z).sb;
            self.native.add_valid(self.native.start(sb), n);
            if n >= self.shape.capacity {
                self.native.close(sb);
            }
        }
        let sb = self.zone(z).sb;
        let is_again = |index: &u32| !rest.stays() || self.native.is_loaded(*index, n);
        let again: Vec<u32> = (0..n / lpp).filter(is_again).collect();
        let ready = self.read_rest(core, rest, &again, (was, sb), at);
        self.counters.pages_native += again.len() as u64 * u64::from(lpp);
        let mut end = ready;
        for index in again {
            let page = self.native.flash_page(sb, index);
            let completes = self.native.completes(index);
            let op = Op::Load {
                mode: page.mode,
                bytes: pages(lpp),
                program: completes,
            };
            let ready = ready.max(self.native.get(sb).ready);
            let booked = core.media.schedule(ready, page.plane, page.block, op);
            end = end.max(booked.end);
            if completes {
                self.complete_wordline(&mut core.observer, z, index * lpp, booked.end);
            }
        }
        self.zone_mut(z).backed = n / lpp;
        end
    }

    /// Reads flash pages of a rest for superblock `sb`, from `was` or pSLC.
    fn read_rest(
        &mut self,
        core: &mut Core,
        rest: &Rest,
        again: &[u32],
        (was, sb): (u32, u32),
        at: Instant,
    ) -> Instant {
        let (lpp, first) = (self.shape.lpp, self.first_lpn(rest.z));
        let mut end = at;
        for &index in again {
            let of_native = |page: u32| rest.home(page) == Some(Home::Native);
            let count = (index * lpp..(index + 1) * lpp)
                .filter(|p| of_native(*p))
                .count();
            if count > 0 {
                let page = self.native.flash_page(was, index);
                let op = Op::Read {
                    mode: page.mode,
                    row: page.row,
                    bytes: pages(count as u32),
                };
                let read = core.media.schedule(at, page.plane, page.block, op);
                end = end.max(read.end);
            }
            for page in index * lpp..(index + 1) * lpp {
                let from = match rest.home(page) {
                    Some(Home::Slc(loc)) => {
                        core.want(self.slc.pool.place(loc));
                        Some(self.slc.pool.page_place(loc))
                    }
                    Some(Home::Native) => {
                        Some(self.native.page_place(self.native.start(was) + page))
                    }
                    Some(Home::Memory) | None => None,
                };
                let to = self.native.page_place(self.native.start(sb) + page);
                core.observer.note(|| Event::Copied {
                    namespace: Namespace::Data,
                    lpn: u64::from(first + page),
                    from,
                    to,
                    durable: None,
                });
            }
            end = end.max(core.read_wanted(at));
        }
        self.counters.pages_read += again.len() as u64 * u64::from(lpp);
        end
    }

    /// Writes to flash what the memory of its random write area has of a zone that was committed. Without room it stays there,
    /// and the zone can only be read from then on.
    fn write_out(&mut self, core: &mut Core, z: u32, at: Instant) -> Instant {
        let id = ZoneId::new(z);
        let whole = self.whole_pages(z);
        let n = whole.saturating_sub(self.zone(z).flushed);
        if n == 0 {
            return at;
        }
        let is_new = self.to_be_promised(z) > 0;
        let promised = match is_new {
            true => self.promise(core, at),
            false => Ok(at),
        };
        let made = promised.and_then(|from| self.reserve(core, z, n, at).map(|()| from));
        let Ok(at) = made else {
            // Such a zone has no area: what is in it counts as committed, and is in the same memory.
            let held = self.zones.area_extent(id);
            let holes = self.holes(core, id, held);
            Self::note_holes(core, holes);
            // The zone is closed, and none is open: it can be opened, and made one that is not offline.
            let _ = self.zones.write(id, held);
            let _ = self.zones.inject(id, false);
            return at;
        };
        if is_new {
            self.note_data(z);
        }
        let why = Why {
            owner: z,
            buffer: NONE,
        };
        self.place(core, (z, why), n, at);
        self.make_durable(core, z, at)
    }
}
