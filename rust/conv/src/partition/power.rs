// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts: what is left in flash, and a namespace made from it again.
//!
//! ```text
//!   flash    what had been programmed by then                                          stays
//!   memory   the buffer, moves under way, the map cache                                goes
//! ```
//! The map is durable with what it points to. So a page is its newest copy that has been programmed: where it is mapped, or one
//! that was replaced by what is not durable yet. Each such copy is still there, because a superblock is not erased before
//! what replaced its pages is programmed. Write pointers go on behind what was booked; what holds nothing any more, and was not
//! erased, is erased in the background.

use super::collect::Collection;
use super::{Partition, Pointer};
use ftl::{Event, Flash, Left, Lost};
use state::state;
use std::collections::HashMap;
use units::Instant;

/// A copy of a page that another has replaced, or will have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past {
    /// The page; [`Past::NOBODY`] if the host has given it up.
    pub page: u32,
    pub location: u32,
    /// When it was programmed.
    from: Instant,
    /// When the other is. (That of what is in the incomplete one-shot page is not known.)
    until: Instant,
    /// The other is of the same version.
    moved: bool,
}

state!(Past {
    page,
    location,
    from,
    until,
    moved
});

/// Copies that are kept in mind whether what replaced them is programmed or not.
pub(crate) const FEW_PAST: usize = 256;

impl Past {
    /// No page's.
    pub const NOBODY: u32 = u32::MAX;
}

/// What is left of a partition.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Pages and where they are.
    copies: Vec<(u32, u32)>,
    pub lost: Vec<Lost>,
    /// Superblocks whose last erase has not ended, or not begun.
    dirty: Vec<u32>,
}

impl Partition {
    /// The copy of a page at `location`, of a place that is programmed or will be.
    pub(crate) fn past(&self, page: u32, location: u32, flash: &Flash) -> Past {
        let at = self.flash_page(location);
        Past {
            page,
            location,
            from: flash.held_until(at.plane, at.block, at.page),
            until: Instant::ZERO,
            moved: false,
        }
    }

    /// What replaces a copy is programmed from `until` on.
    pub(crate) fn remember(&mut self, past: Past, until: Instant, moved: bool, now: Instant) {
        if until <= now || past.page == Past::NOBODY {
            return;
        }
        let past = Past {
            until,
            moved,
            ..past
        };
        self.past.push(past, |p| p.until > now);
    }

    /// The host gave these pages of the namespace up: nothing is to come back.
    pub(crate) fn forget(&mut self, pages: &core::ops::Range<u64>) {
        let (index, of) = (self.index, self.of);
        let is_one = |page: u32| {
            let lpn = u64::from(page) * u64::from(of) + u64::from(index);
            page != Past::NOBODY && pages.contains(&lpn)
        };
        self.past.retain(|p| !is_one(p.page));
        for replaced in self.replaced.iter_mut().filter(|p| is_one(p.page)) {
            replaced.page = Past::NOBODY;
        }
    }

    /// What a power cut at `at` leaves. Nothing has changed yet.
    pub(crate) fn rest(&self, flash: &Flash, at: Instant) -> Rest {
        let mut past: HashMap<u32, Vec<Past>> = HashMap::new();
        for copy in self.past.iter().chain(&self.replaced) {
            past.entry(copy.page).or_default().push(*copy);
        }
        let mut rest = Rest::default();
        for page in 0..self.shape.logical {
            let Some(location) = self.location(page) else {
                continue;
            };
            let place = self.flash_page(location);
            let is_there =
                !self.waits(location) && !flash.is_held(at, place.plane, place.block, place.page);
            let mut left = is_there.then_some(location);
            let mut is_newest = true;
            // The newest comes last.
            let mut older = past.get(&page).into_iter().flatten().rev();
            while let (None, Some(copy)) = (left, older.next()) {
                is_newest &= copy.moved;
                let is_old = self.is_before_erase(copy.location, flash, at);
                // Erases that take no time can be overtaken by programs: then another page is there.
                let is_gone = !is_old && self.owner(copy.location).is_some();
                left = (copy.from <= at && !is_gone).then_some(copy.location);
                if left.is_some() && is_old {
                    rest.dirty.push(copy.location / self.shape.pages);
                }
            }
            rest.copies.extend(left.map(|location| (page, location)));
            if left.is_none() || !is_newest {
                rest.lost.push(Lost {
                    namespace: self.namespace,
                    lpn: self.lpn(page),
                    left: left.map_or(Left::Nothing, |_| Left::Older),
                });
            }
        }
        let is_dirty = |sb: &u32| {
            let mut planes = self.planes().iter();
            planes.any(|plane| flash.is_erasing(*plane, self.block(*sb), at))
        };
        let erased = (0..self.shape.superblocks).filter(is_dirty);
        rest.dirty.extend(erased);
        rest.dirty.sort_unstable();
        rest.dirty.dedup();
        rest
    }

    /// Whether what was at a location is of before its superblock's last erase: what is there now is not programmed.
    fn is_before_erase(&self, location: u32, flash: &Flash, at: Instant) -> bool {
        let pages = self.shape.pages;
        let (superblock, page) = (location / pages, location % pages);
        let is_behind =
            |pointer: Pointer, next| pointer.superblock == Some(superblock) && page >= next;
        let (host, moves) = (self.host, self.gc.pointer());
        let place = self.flash_page(location);
        is_behind(host, host.issued)
            || is_behind(moves, moves.next)
            || self.gc.is_issued(location, self.shape.unit)
            || flash.is_held(at, place.plane, place.block, place.page)
    }

    /// Power went at `at`, and flash stopped; this is left. Returns when write pointers have been found again.
    pub(crate) fn rebuild(&mut self, flash: &mut Flash, rest: &Rest, at: Instant) -> Instant {
        let mut ready = at;
        for superblock in self.unclosed() {
            for &plane in self.planes() {
                let block = self.block(superblock);
                let bytes = flash.chips().flash_page;
                ready = ready.max(flash.read(at, plane, block, 0, bytes));
            }
        }
        self.clear();
        let pages = self.shape.pages;
        let mut valid = vec![0; self.shape.superblocks as usize];
        for &(_, location) in &rest.copies {
            if let Some(valid) = valid.get_mut((location / pages) as usize) {
                *valid += 1;
            }
        }
        let holds = |sb: &u32| {
            let valid = valid.get(*sb as usize).is_some_and(|valid| *valid > 0);
            valid && !rest.dirty.contains(sb)
        };
        let host = Pointer {
            next: self.host.issued,
            ready: Instant::ZERO,
            ..self.host
        };
        self.host = match host.superblock.filter(holds) {
            Some(_) => host,
            None => Pointer::default(),
        };
        let moves = match self.gc.pointer().superblock.filter(holds) {
            Some(_) => self.gc.pointer(),
            None => Pointer::default(),
        };
        self.gc = Collection::new(Self::most_issued(self.shape.lanes), self.shape.unit);
        self.gc.go_on(moves);
        let open = [self.host.superblock, moves.superblock];
        let dirty = self.pool.power_cut(&valid, &open, &rest.dirty);
        for &(page, location) in &rest.copies {
            self.map_to(page, location);
            self.note(|p| Event::Survived {
                namespace: p.namespace,
                lpn: p.lpn(page),
                at: Some(p.place(location)),
            });
        }
        self.pool.link_closed();
        // An erase that has not ended was not.
        self.counters.erases -= rest.dirty.len() as u64;
        for superblock in dirty {
            self.counters.erases += 1;
            self.erase(superblock, at, flash);
        }
        self.replaced.clear();
        self.past.clear();
        self.durable = at;
        ready
    }

    /// Superblocks with a write pointer, or being emptied.
    fn unclosed(&self) -> Vec<u32> {
        let pointers = [self.host.superblock, self.gc.pointer().superblock];
        let mut all: Vec<u32> = pointers.into_iter().flatten().collect();
        all.extend(self.gc.victims());
        all
    }
}
