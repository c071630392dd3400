// SPDX-License-Identifier: GPL-2.0-or-later
//! The host's own programs and erases, where reads suspend them ([`Suspend::All`]).
//!
//! ```text
//!   booked        [load][program ...................]
//!   a read              ^asked for
//!   then          [load][prog][suspend][read][resume][program ......]   the end moves by all of that
//! ```
//! They are booked to their end, like all that the host asks for. A read may stop what its plane has
//! booked last, until somebody is told when that ends ([`Media::tell`]): an answer that was given
//! counts on it. Reads asked for before the last one of a halt has ended go before it goes on, and cost
//! no other suspension; once it goes on, it is suspended anew.

use super::Media;
use crate::book::{Booked, Kind};
use crate::shape::{Shape, What};
use crate::BlockId;
use state::{ensure, state};
use units::Instant;

/// What a program or erase of the host's is for, in numbers that are the caller's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// Whose data it is.
    pub owner: u32,
    /// The flush that it is a part of.
    pub flush: u32,
    /// The first page that it programs. Of a row on neighbouring planes it is the first plane's.
    pub place: u32,
    /// How many.
    pub pages: u32,
}

impl Purpose {
    /// Of the neighbouring plane's part.
    pub(crate) const fn of_neighbour(self) -> Self {
        Self {
            place: self.place.wrapping_add(self.pages),
            ..self
        }
    }
}

/// A program or erase ends later than was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its block.
    pub block: BlockId,
    /// What it is for.
    pub purpose: Purpose,
    /// When it ends now.
    pub end: Instant,
}

/// A program or erase that may not have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Running {
    plane: u32,
    block: BlockId,
    what: What,
    kind: Kind,
    purpose: Purpose,
    /// The array works without a halt from then on, to its end.
    since: u64,
    end: u64,
    /// When it was to end at first.
    promised: u64,
    /// End of the last read of the latest halt.
    halted: Option<u64>,
    suspensions: u32,
    told: bool,
    /// For checks: what it did is known to its end.
    noted: bool,
}

state!(Purpose {
    owner,
    flush,
    place,
    pages
});
state!(Running {
    plane, block, what, kind, purpose, since, end, promised, halted, suspensions, told;
    noted
});

impl Media {
    /// What has been booked for a purpose may be suspended: the array works from `since` to `end`.
    pub(crate) fn runs(
        &mut self,
        plane: usize,
        block: BlockId,
        shape: &Shape,
        purpose: Purpose,
        (since, end): (u64, u64),
    ) {
        self.running.push(Running {
            plane: plane as u32,
            block,
            what: shape.array_what(),
            kind: shape.kind,
            purpose,
            since,
            end,
            promised: end,
            halted: None,
            suspensions: 0,
            told: false,
            noted: false,
        });
    }

    /// Somebody counts on the ends of those of the host's programs and erases that `are` meant, by their
    /// purpose and by when they were to end at first: they are not suspended any more. Returns when the last of them
    /// ends; zero if none is running.
    pub fn tell(&mut self, are: impl Fn(&Purpose, Instant) -> bool) -> Instant {
        let mut end = 0;
        for running in &mut self.running {
            if are(&running.purpose, Instant::from_nanos(running.promised)) {
                running.told = true;
                end = end.max(running.end);
            }
        }
        Instant::from_nanos(end)
    }

    /// Whether programs or erases have got a later end that nobody knows yet.
    #[inline]
    #[must_use]
    pub fn has_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    /// Tells which programs and erases have got a later end, in that order, until they are `taken`.
    pub fn take_moved(&mut self, mut taken: impl FnMut(&Moved) -> bool) {
        self.moved.retain(|moved| !taken(moved));
    }

    /// A read is asked for on a plane from `from` on, and would start at `place`. If that is behind what runs last, stops
    /// it, and returns when the plane is the read's; [`Media::go_on_after`] is to follow.
    #[inline(never)]
    pub(crate) fn halt(&mut self, plane: usize, from: u64, place: u64) -> Option<u64> {
        let (suspension, horizon) = (self.suspension, self.horizon.as_nanos());
        let index = self.running_last(plane)?;
        let p = self.planes.get_mut(plane)?;
        let running = self.running.get_mut(index)?;
        if place < running.end {
            return None;
        }
        if let Some(read) = running.halted.filter(|read| from <= *read) {
            p.book.give_up(read);
            return Some(read);
        }
        let at = from.max(running.since);
        let start = at.saturating_add(suspension.suspend.get());
        if running.suspensions >= suspension.max || start >= running.end {
            return None;
        }
        let before = *running;
        p.book.give_up(at);
        p.book.insert(before.booked(at, start), horizon);
        p.stats.busy += suspension.suspend + suspension.resume;
        running.suspensions += 1;
        running.halted = None;
        running.since = at;
        self.note_run(&before, at);
        self.note(plane, before.block, What::Suspend, (at, start), false);
        Some(start)
    }

    /// The read that it was stopped for ends then.
    pub(crate) fn go_on_after(&mut self, plane: usize, read: u64) {
        let (resume, horizon) = (self.suspension.resume.get(), self.horizon.as_nanos());
        let Some(running) = self.running.iter_mut().rfind(|r| r.plane as usize == plane) else {
            return;
        };
        let left = running.end - running.since;
        running.halted = Some(read);
        running.since = read.saturating_add(resume);
        running.end = running.since.saturating_add(left);
        let running = *running;
        if let Some(p) = self.planes.get_mut(plane) {
            p.book.insert(running.booked(read, running.since), horizon);
            p.book
                .insert(running.booked(running.since, running.end), horizon);
        }
        self.moved.push(Moved {
            block: running.block,
            purpose: running.purpose,
            end: Instant::from_nanos(running.end),
        });
    }

    /// What runs last on a plane, if it may be stopped and nothing has been booked after it.
    fn running_last(&self, plane: usize) -> Option<usize> {
        let of = |r: &Running| r.plane as usize == plane;
        let index = self.running.iter().rposition(of)?;
        let running = self.running.get(index).filter(|r| !r.told)?;
        let end = self.planes.get(plane)?.book.end();
        (running.end == end).then_some(index)
    }

    /// Forgets what has ended.
    pub(crate) fn forget_ended(&mut self) {
        let horizon = self.horizon.as_nanos();
        self.note_final(|_, r| r.end <= horizon);
        self.running.retain(|r| r.end > horizon);
    }

    /// For checks: something has been booked on a plane. What it comes after runs to its end as booked.
    pub(crate) fn note_passed(&mut self, plane: usize) {
        if self.running.is_empty() || !self.is_observed() {
            return;
        }
        self.note_final(|media, r| {
            let end = media.planes.get(plane).map_or(0, |p| p.book.end());
            r.plane as usize == plane && r.end < end
        });
    }

    fn note_final(&mut self, is_final: impl Fn(&Self, &Running) -> bool) {
        let mut running = core::mem::take(&mut self.running);
        for r in &mut running {
            if !r.noted && is_final(self, r) {
                self.note_run(r, r.end);
                r.noted = true;
            }
        }
        self.running = running;
    }

    /// For checks: power goes, and what runs goes on until then.
    pub(crate) fn note_cut(&mut self) {
        let now = self.horizon.as_nanos();
        for r in core::mem::take(&mut self.running) {
            if !r.noted {
                self.note_run(&r, now);
            }
        }
    }

    /// For checks: it went on until then.
    fn note_run(&mut self, running: &Running, until: u64) {
        let &Running {
            plane,
            block,
            what,
            since,
            ..
        } = running;
        if let Some(read) = running.halted {
            let resumed = since.min(until);
            self.note(plane as usize, block, What::Resume, (read, resumed), false);
        }
        self.note(plane as usize, block, what, (since, until), false);
    }

    /// Is an error unless what runs is booked.
    pub(crate) fn check_running(&self) -> Result<(), state::Error> {
        for running in &self.running {
            let plane = self.planes.get(running.plane as usize);
            ensure!(
                running.since < running.end && plane.is_some_and(|p| running.end <= p.book.end()),
                "{running:?}"
            );
            ensure!(running.promised <= running.end, "{running:?}");
            ensure!(
                running.halted.is_none_or(|read| read <= running.since),
                "{running:?}"
            );
        }
        Ok(())
    }

    /// How many of what has a purpose may not have ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

impl Running {
    const fn booked(&self, start: u64, end: u64) -> Booked {
        Booked {
            start,
            end,
            block: self.block,
            kind: self.kind,
        }
    }
}
