// SPDX-License-Identifier: GPL-2.0-or-later
//! What a pool keeps in mind for power cuts, and what one leaves of it: copies that others have replaced, erases that were
//! still to come, and which places are programmed at an instant.

use super::{Loc, Pool, Program, SbState, Superblock, ERASED, NONE};
use core::ops::Range;
use state::state;
use units::Instant;

/// Copies that are kept in mind whether what replaced them is durable or not.
pub(super) const FEW_PAST: usize = 256;

/// A copy of a page that another has replaced. Until that is durable it is what a power cut leaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past {
    pub lpn: u32,
    pub loc: Loc,
    /// Its superblock's [`Superblock::opened`] then.
    pub opened: u64,
    /// Where the other is: in a namespace that has two pools with [`super::NATIVE`]; of zones [`NONE`] if it is native.
    pub to: Loc,
    /// Its superblock's [`Superblock::opened`] then.
    pub to_opened: u64,
    /// When the other is durable.
    pub until: Instant,
    /// The other is of the same version.
    pub moved: bool,
}

/// A superblock was erased, or will be, before it was opened for the `opened`th time; and it is erased again afterwards.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    pub sb: u32,
    pub opened: u64,
    pub ready: Instant,
    /// [`Superblock::foreign`].
    pub foreign: bool,
}

/// What a power cut leaves of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Survivor {
    pub loc: Loc,
    /// Where that version was copied to last, and [`Superblock::opened`] there.
    pub version: (Loc, u64),
}

state!(Past {
    lpn,
    loc,
    opened,
    to,
    to_opened,
    until,
    moved
});
state!(Life {
    sb,
    opened,
    ready,
    foreign
});

impl Pool {
    /// A copy of `lpn` at `loc` is replaced by one at `to`, whose superblock was `opened` last, that is durable from
    /// `until` on; `moved` if that is of the same version.
    pub fn remember(
        &mut self,
        (lpn, loc): (u32, Loc),
        (to, to_opened): (Loc, u64),
        until: Instant,
        moved: bool,
    ) {
        if until <= self.now {
            return;
        }
        let opened = self.opened(loc);
        let past = Past {
            lpn,
            loc,
            opened,
            to,
            to_opened,
            until,
            moved,
        };
        let now = self.now;
        self.past.push(past, |p| p.until > now);
    }

    /// The host gave these pages up: nothing is to come back.
    pub fn forget_pages(&mut self, pages: Range<u64>) {
        if !self.past.is_empty() {
            self.past.retain(|p| !pages.contains(&u64::from(p.lpn)));
        }
    }

    pub fn past(&self) -> &[Past] {
        &self.past
    }

    /// A program ends later than was said: it may be what replaces some copies.
    pub fn delay_past(&mut self, end: Instant) {
        let now = self.now;
        for past in self.past.iter_mut().filter(|p| p.until > now) {
            past.until = past.until.max(end);
        }
    }

    /// When the erase before the `opened`th opening of a superblock ended, or will.
    fn began(&self, sb: u32, opened: u64) -> Instant {
        let s = self.get(sb);
        if s.opened == opened && !matches!(s.state, SbState::Free | SbState::Away) {
            return s.ready;
        }
        let mut lives = self.lives.iter();
        let life = lives.find(|life| life.sb == sb && life.opened == opened);
        life.map_or(Instant::ZERO, |life| life.ready)
    }

    /// When the first erase of a superblock ends that has not ended at `at`.
    fn erased_after(&self, sb: u32, at: Instant) -> Option<Instant> {
        let lives = self.lives.iter().filter(|life| life.sb == sb);
        let all = lives.map(|life| life.ready).chain([self.get(sb).ready]);
        all.filter(|ready| *ready > at).min()
    }

    /// Programs that have not ended at `at`, of what a superblock holds then: not of what comes after an erase.
    fn unfinished(&self, sb: u32, at: Instant) -> impl Iterator<Item = &Program> {
        let erased = self.erased_after(sb, at);
        let programs = self.programs.iter().filter(move |p| p.end > at);
        programs.filter(move |p| erased.is_none_or(|erased| p.end <= erased))
    }

    /// Whether what was put to `loc` after the `opened`th opening has been programmed at `at`. (What waits for its
    /// wordline has not been booked as a program.)
    pub fn is_durable(&self, loc: Loc, opened: u64, at: Instant) -> bool {
        let sb = loc / self.pages;
        let mut unfinished = self.unfinished(sb, at);
        self.began(sb, opened) <= at && !unfinished.any(|p| p.holds(loc))
    }

    /// Whether the erase before a superblock was opened last has ended at `at`.
    pub fn was_erased(&self, sb: u32, at: Instant) -> bool {
        self.began(sb, self.get(sb).opened) <= at
    }

    /// The same of what is there now.
    pub fn holds_durable(&self, loc: Loc, at: Instant) -> bool {
        self.is_durable(loc, self.opened(loc), at)
    }

    /// The first page of an open or closed superblock that may not have been programmed at `at`, of those before
    /// page `end` of it.
    pub fn durable_before(&self, sb: u32, end: u32, at: Instant) -> u32 {
        if !self.was_erased(sb, at) {
            return 0;
        }
        let start = self.start(sb);
        let of_it = self.unfinished(sb, at);
        let of_it = of_it.filter(|p| p.first >= start && p.first < start + self.pages);
        of_it.map(|p| p.first - start).min().unwrap_or(end).min(end)
    }

    /// What a power cut at `at` leaves of a page whose copy here is `current` and whose `past` copies are these.
    pub fn survivor(&self, current: Option<Loc>, past: &[Past], at: Instant) -> Option<Survivor> {
        let opened = current.map_or(0, |loc| self.opened(loc));
        let mut version = (current.unwrap_or(NONE), opened);
        if let Some(loc) = current.filter(|loc| self.is_durable(*loc, opened, at)) {
            return Some(Survivor { loc, version });
        }
        let mut next = version.0;
        for p in past.iter().rev().take_while(|p| {
            // What came in between is long durable, else.
            let follows = p.to == next;
            next = p.loc;
            follows
        }) {
            if !p.moved {
                version = (p.loc, p.opened);
            }
            if self.is_durable(p.loc, p.opened, at) {
                let loc = p.loc;
                return Some(Survivor { loc, version });
            }
        }
        None
    }

    /// After a power cut at `at` its superblocks hold what is told: a state, open or closed, and the valid pages.
    /// Those of which nothing is told are free, or away if they are not its own; gives those of them that have to be erased
    /// first, as being moved.
    /// Erases that had not ended are not counted.
    pub fn power_cut(&mut self, at: Instant, held: &[Option<(SbState, u32)>]) -> Vec<u32> {
        let mut dirty = Vec::new();
        let mut closed = Vec::new();
        let lives = core::mem::take(&mut self.lives);
        for ((sb, s), held) in (0u32..).zip(&mut self.sbs).zip(held) {
            let later = lives.iter().filter(|l| l.sb == sb && l.ready > at);
            let erases = later.map(|l| l.foreign);
            let erases = erases.chain((s.ready > at).then_some(s.foreign));
            let is_clean = s.state == SbState::Free && erases.clone().count() == 0;
            let undone = erases.filter(|foreign| !foreign).count() as u32;
            self.erases -= u64::from(undone.min(s.erases));
            if sb >= self.own {
                self.lent_erases -= u64::from(undone.min(s.erases));
            }
            let (state, valid) = match held {
                Some(held) => *held,
                None if sb >= self.own => (SbState::Away, 0),
                None if is_clean => (SbState::Free, 0),
                None => (SbState::Moving, 0),
            };
            match state {
                SbState::Closed => closed.push(sb),
                SbState::Moving => dirty.push(sb),
                SbState::Free | SbState::Open | SbState::Away => {}
            }
            *s = Superblock {
                state,
                valid,
                opened: s.opened,
                erases: s.erases.saturating_sub(undone),
                ready: s.ready.min(at),
                until: at,
                ..ERASED
            };
        }
        let sbs = &self.sbs;
        let is_free = |sb: &u32| {
            let s = sbs.get(*sb as usize);
            s.is_some_and(|s| s.state == SbState::Free)
        };
        self.free.retain(is_free);
        self.free_lent.clear();
        self.count_free();
        self.lists.fill((NONE, NONE));
        self.least = self.lists.len();
        closed.sort_by_key(|sb| self.get(*sb).opened);
        for sb in closed {
            self.link(sb);
        }
        self.programs.clear();
        self.past.clear();
        (self.quiet, self.now) = (at, at);
        dirty
    }

    /// Superblocks with a write pointer, or being emptied.
    pub fn unclosed(&self) -> impl Iterator<Item = u32> + '_ {
        let is_one = |s: &Superblock| matches!(s.state, SbState::Open | SbState::Moving);
        self.iter()
            .filter(move |(_, s)| is_one(s))
            .map(|(sb, _)| sb)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pool;
    use super::*;
    use ftl::Observer;
    use nand::{BlockId, Moved, Purpose};

    #[test]
    fn an_erase_that_was_suspended_is_cut_until_its_later_end() {
        let at = Instant::from_nanos;
        let erase = |end| Moved {
            block: BlockId(5),
            purpose: Purpose::default(),
            end: at(end),
        };
        for (cut, dirty) in [(140, vec![0]), (150, vec![])] {
            let mut pool = pool();
            assert_eq!(pool.open(), Some(0));
            pool.release(0, at(100));
            assert!(pool.moved(&mut Observer::default(), &erase(150)));
            // Another plane's.
            assert!(pool.moved(&mut Observer::default(), &erase(120)));
            assert_eq!(pool.get(0).ready, at(150));
            assert_eq!(pool.power_cut(at(cut), &[None, None]), dirty);
        }
    }
}
