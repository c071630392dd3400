// SPDX-License-Identifier: GPL-2.0-or-later
//! One logical page: its versions, what was acknowledged of it, and its copies.

use core::fmt;
use units::Instant;

/// A copy in flash, or (without a serial number) in memory that keeps its data without power.
#[derive(Clone, Copy, Debug)]
struct Copy {
    serial: u32,
    version: u32,
    durable: Option<Instant>,
    dead: Option<Instant>,
}

/// The serial number of copies in memory.
const MEMORY: u32 = 0;

/// A promise: from `at` on, this version or a newer one is durable.
#[derive(Clone, Copy, Debug)]
struct Promise {
    at: Instant,
    version: u32,
}

/// The page.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    version: u32,
    /// Versions up to this one were given up.
    dropped: u32,
    /// The command during which data last entered.
    entered: u64,
    serials: u32,
    promises: Vec<Promise>,
    copies: Vec<Copy>,
}

impl Page {
    /// A new version. What memory keeps of the last stays there until it is in flash.
    pub fn enter(&mut self, round: u64) {
        self.version += 1;
        self.entered = round;
    }

    /// Whether memory that keeps its data has the page at an instant. What was given up needs none.
    pub fn is_in_memory(&self, at: Instant) -> bool {
        let kept = |c: &&Copy| c.serial == MEMORY && c.version > self.dropped;
        let mut memory = self.copies.iter().filter(kept);
        memory.any(|c| c.durable.is_some_and(|from| from <= at) && c.dead.is_none_or(|d| at < d))
    }

    pub const fn version(&self) -> u32 {
        self.version
    }

    pub const fn has_data(&self) -> bool {
        self.version > self.dropped
    }

    pub const fn entered_in(&self, round: u64) -> bool {
        self.entered == round
    }

    /// Memory that keeps its data has the page, in place of older versions. That is a new version, if
    /// none entered during the same command.
    pub fn keep(&mut self, round: u64, now: Instant) {
        if !self.entered_in(round) {
            self.enter(round);
        }
        self.release(now);
        let of_it = |c: &&Copy| c.serial != MEMORY && c.version == self.version;
        let in_flash = self.copies.iter().filter(of_it);
        let in_flash = in_flash.filter_map(|c| c.durable).min();
        self.copies.push(Copy {
            serial: MEMORY,
            version: self.version,
            durable: Some(now),
            dead: in_flash.map(|at| at.max(now)),
        });
    }

    /// Memory lets go of the page.
    fn release(&mut self, at: Instant) {
        for copy in &mut self.copies {
            if copy.serial == MEMORY && copy.dead.is_none() {
                copy.dead = Some(at);
            }
        }
    }

    /// A copy in flash; gives its serial number.
    pub fn copy(&mut self, version: u32, durable: Option<Instant>, old: Instant) -> u32 {
        if self.copies.len() > 16 {
            self.forget(old);
        }
        self.serials += 1;
        self.copies.push(Copy {
            serial: self.serials,
            version,
            durable: None,
            dead: None,
        });
        let serial = self.serials;
        if let Some(at) = durable {
            self.set_durable(serial, at);
        }
        serial
    }

    fn find(&mut self, serial: u32) -> Option<&mut Copy> {
        self.copies
            .iter_mut()
            .rev()
            .find(|copy| copy.serial == serial)
    }

    pub fn set_durable(&mut self, serial: u32, at: Instant) {
        let Some(copy) = self.find(serial) else {
            return;
        };
        copy.durable = Some(at);
        let version = copy.version;
        // Memory lets go of what is in flash.
        for copy in &mut self.copies {
            if copy.serial == MEMORY && copy.version <= version && copy.dead.is_none() {
                copy.dead = Some(at.max(copy.durable.unwrap_or(at)));
            }
        }
    }

    /// The copy is durable from `at` on, and not from when was said. So long memory does not let go, either.
    pub fn delay(&mut self, serial: u32, said: Instant, at: Instant) {
        let Some(copy) = self.find(serial) else {
            return;
        };
        copy.durable = Some(at);
        let version = copy.version;
        for copy in &mut self.copies {
            if copy.serial == MEMORY && copy.version <= version && copy.dead == Some(said) {
                copy.dead = Some(at);
            }
        }
    }

    /// The copy's block is erased; whether that may leave the page without one.
    pub fn set_dead(&mut self, serial: u32, at: Instant) -> bool {
        let dropped = self.dropped;
        let promised = !self.promises.is_empty();
        match self.find(serial) {
            Some(copy) => {
                copy.dead = Some(at);
                copy.version > dropped && promised
            }
            None => false,
        }
    }

    /// The newest version is promised durable from `at` on.
    pub fn acknowledge(&mut self, at: Instant, old: Instant) {
        self.forget(old);
        let version = self.version;
        if !self
            .promises
            .iter()
            .any(|p| p.at <= at && p.version >= version)
        {
            self.promises.push(Promise { at, version });
        }
    }

    pub fn drop_all(&mut self, now: Instant) {
        self.dropped = self.version;
        self.promises.clear();
        self.release(now);
    }

    /// Power went at `at`, and flash stopped at `off`: what was promised or to be durable later came to nothing.
    pub fn power_cut(&mut self, at: Instant, off: Instant) {
        self.promises.retain(|promise| promise.at <= at);
        self.copies
            .retain(|c| c.durable.is_some_and(|d| d <= off) && c.dead.is_none_or(|d| off < d));
        for copy in &mut self.copies {
            copy.dead = None;
        }
    }

    /// The newest version that a power cut at `at` leaves.
    pub fn newest_left(&self) -> Option<u32> {
        let versions = self.copies.iter().map(|c| c.version);
        versions.max().filter(|version| *version > self.dropped)
    }

    /// The version that memory has kept.
    pub fn in_memory(&self) -> Option<u32> {
        let mut kept = self.copies.iter().filter(|c| c.serial == MEMORY);
        kept.next_back().map(|c| c.version)
    }

    /// The version that is to be there at `at`, if any is.
    pub fn owed(&self, at: Instant) -> Option<u32> {
        self.promised(at).filter(|version| *version > self.dropped)
    }

    /// After a power cut at `at` the page is of this version, which was not given up.
    pub fn survive(&mut self, version: u32, at: Instant) -> bool {
        if version <= self.dropped {
            return false;
        }
        self.version = version;
        self.copies.retain(|c| c.version <= version);
        self.promises.push(Promise { at, version });
        true
    }

    /// After a power cut nothing is left of it.
    pub fn lose(&mut self) {
        self.dropped = self.version;
        self.promises.clear();
        self.copies.clear();
    }

    /// Forgets what ended before an instant long ago, and what newer copies stand for.
    fn forget(&mut self, old: Instant) {
        let past = |at: Instant| at < old;
        if self.promises.len() > 4 {
            let old = self.promises.iter().filter(|p| past(p.at));
            if let Some(best) = old.map(|p| p.version).max() {
                self.promises.retain(|p| !past(p.at) || p.version == best);
            }
        }
        if self.copies.len() > 4 {
            self.copies.retain(|copy| !copy.dead.is_some_and(past));
        }
        if self.copies.len() > 16 {
            // Old versions lie in blocks that nobody erases; one durable newer copy is enough.
            let alive = self.copies.iter().filter(|c| c.dead.is_none());
            let newest = alive
                .filter(|c| c.durable.is_some_and(past))
                .map(|c| c.version)
                .max();
            let newest = newest.unwrap_or(0);
            self.copies
                .retain(|copy| copy.version >= newest || copy.dead.is_some());
        }
    }

    /// The first instant from `from` on at which a promise is not kept.
    pub fn hole(&self, from: Instant) -> Option<Instant> {
        let promised = self.promises.iter().map(|p| p.at);
        let deaths = self.copies.iter().filter_map(|c| c.dead);
        let all = promised.chain(deaths).filter(|at| *at > from);
        core::iter::once(from)
            .chain(all)
            .filter(|at| !self.is_kept(*at))
            .min()
    }

    fn promised(&self, at: Instant) -> Option<u32> {
        let by_then = self.promises.iter().filter(|p| p.at <= at);
        by_then.map(|p| p.version).max()
    }

    fn is_kept(&self, at: Instant) -> bool {
        let Some(version) = self.promised(at) else {
            return true;
        };
        self.copies.iter().any(|c| {
            c.version >= version
                && c.durable.is_some_and(|from| from <= at)
                && c.dead.is_none_or(|dead| at < dead)
        })
    }

    /// Whether the hole begins with a promise of what is not durable yet, and when it ends.
    pub fn story(&self, hole: Instant) -> (bool, Option<Instant>) {
        let version = self.promised(hole).unwrap_or(0);
        let enough = || self.copies.iter().filter(|c| c.version >= version);
        let had = enough().any(|c| c.durable.is_some_and(|from| from < hole));
        let later = enough()
            .filter_map(|c| c.durable)
            .filter(|at| *at > hole)
            .min();
        (!had, later)
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns =
            |at: Option<Instant>| at.map_or_else(|| "-".to_owned(), |at| at.as_nanos().to_string());
        write!(f, "newest version {}; promised", self.version)?;
        for p in &self.promises {
            write!(f, " version {} from {}", p.version, p.at.as_nanos())?;
        }
        f.write_str("; copies")?;
        for c in &self.copies {
            let what = if c.serial == MEMORY { "kept" } else { "of" };
            let version = c.version;
            write!(
                f,
                " [{what} version {version}, {} to {}]",
                ns(c.durable),
                ns(c.dead)
            )?;
        }
        Ok(())
    }
}
