// SPDX-License-Identifier: GPL-2.0-or-later
//! Copies of pages, and whether what was acknowledged has one at every instant.
//!
//! Each time the host's data of a page enters the drive, the page has a new *version*. A copy is of a
//! version, and lives from the instant at which it is durable to the start of its block's erase:
//!
//! ```text
//!   version   1 acknowledged           2 acknowledged
//!             v                        v
//!   copy of 1 |=======================================|        erase
//!   copy of 2                     |====================================...
//! ```
//! At every instant some living copy must be at least of the version acknowledged by then. That can
//! only be lost where an acknowledgement or a death is, so these are the instants looked at: when one
//! becomes known, the page is *suspect* from there on.
//!
//! Models settle in their own time when background work ended, so a hole is no finding as long as what
//! fills it may still be told: it is looked at again until [`PATIENCE`] has passed, and at the end.

use crate::observed::{Event, Place};
use crate::violation::{Law, Violation};
use ftl::Namespace;
use nand::{BlockId, PlaneId};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use units::{Instant, Nanos};

mod block;
mod page;

use block::Blocks;
use page::Page;

/// What ended this long before the commands of late is forgotten: longer than a suspended erase takes
/// to be told.
pub const LAG: Nanos = Nanos::from_micros(500_000);

/// How many commands are of late: after an idle time, all that happened in it is told at once.
const LATE: usize = 4;

/// How long after a hole its filling may be told.
pub const PATIENCE: Nanos = Nanos::from_micros(100_000);

/// A page of a namespace as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageKey(u64);

impl PageKey {
    const DATA: u64 = 1 << 63;
    /// No page's.
    const NONE: Self = Self(u64::MAX);

    /// Of this page.
    #[must_use]
    pub const fn new(namespace: Namespace, lpn: u64) -> Self {
        match namespace {
            Namespace::Meta => Self(lpn),
            Namespace::Data => Self(lpn | Self::DATA),
        }
    }

    /// Its namespace.
    #[must_use]
    pub const fn namespace(self) -> Namespace {
        if self.0 & Self::DATA == 0 {
            Namespace::Meta
        } else {
            Namespace::Data
        }
    }
}

impl core::fmt::Display for PageKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = match self.namespace() {
            Namespace::Meta => "meta",
            Namespace::Data => "data",
        };
        write!(f, "{name} page {}", self.0 & !Self::DATA)
    }
}

/// A page without a copy from an instant on.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    key: PageKey,
    from: Instant,
}

/// The books.
#[derive(Debug)]
pub struct Ledger {
    pages: HashMap<PageKey, Page, Hasher>,
    blocks: Blocks,
    /// To be looked at after this command.
    fresh: Vec<Suspect>,
    /// Found without a copy, and looked at again.
    holes: Vec<Suspect>,
    /// Entered since the last Flush, for meta and data.
    dirty: [Vec<PageKey>; 2],
    /// Numbers commands.
    round: u64,
    now: Instant,
    /// Arrivals of the commands of late.
    late: VecDeque<Instant>,
    /// Copies told, for the sums of counters: of host's or other data.
    pub copies: u64,
}

impl Ledger {
    /// Nothing written. `erase` is the time that an erase takes.
    #[must_use]
    pub fn new(erase: Nanos) -> Self {
        Self {
            pages: HashMap::default(),
            blocks: Blocks::new(erase),
            fresh: Vec::new(),
            holes: Vec::new(),
            dirty: [Vec::new(), Vec::new()],
            round: 0,
            now: Instant::ZERO,
            late: VecDeque::with_capacity(LATE + 1),
            copies: 0,
        }
    }

    /// A command arrives.
    pub fn begin(&mut self, now: Instant) {
        self.round += 1;
        (self.blocks.round, self.blocks.now) = (self.round, now);
        self.now = now;
        self.late.push_back(now);
        if self.late.len() > LATE {
            self.late.pop_front();
        }
    }

    /// What ended before this is forgotten.
    #[must_use]
    pub fn old(&self) -> Instant {
        let first = self.late.front().map_or(0, |at| at.as_nanos());
        Instant::from_nanos(first.saturating_sub(LAG.get()))
    }

    /// Takes what the model tells.
    ///
    /// # Errors
    /// It cannot be.
    pub fn event(&mut self, event: &Event) -> Result<(), Violation> {
        match *event {
            Event::Entered { namespace, lpn } => {
                let key = PageKey::new(namespace, lpn);
                let page = self.pages.entry(key).or_default();
                page.enter(self.round);
                self.dirty[namespace as usize].push(key);
            }
            // Data that comes to memory which keeps it is a newer version, too.
            Event::Kept { namespace, lpn } => {
                let key = PageKey::new(namespace, lpn);
                let page = self.pages.entry(key).or_default();
                page.keep(self.round, self.now);
                self.dirty[namespace as usize].push(key);
            }
            Event::Copied {
                namespace,
                lpn,
                from,
                to,
                durable,
            } => return self.copied(PageKey::new(namespace, lpn), from, to, durable),
            Event::Durable { place, at } => return self.durable(place, at),
            Event::Delayed { place, at } => self.delayed(place, at),
            // The checker drops what commands drop; see `drop_pages`.
            Event::Dropped { .. } => {}
            Event::Survived { .. } => {
                let seen = "what survived is told, and there was no power cut".to_owned();
                return Violation::found(Law::Telling, seen);
            }
        }
        Ok(())
    }

    fn copied(
        &mut self,
        key: PageKey,
        from: Option<Place>,
        to: Place,
        durable: Option<Instant>,
    ) -> Result<(), Violation> {
        self.copies += 1;
        let version = match from {
            Some(place) => match self.blocks.get(place).occupant(place.page) {
                Some(slot) if slot.key == key => slot.version,
                Some(slot) => {
                    let seen = format!(
                        "{key} is copied from {}, which holds {}",
                        show(place),
                        slot.key
                    );
                    return Violation::found(Law::CopyOfNothing, seen);
                }
                None => {
                    let seen = format!("{key} is copied from {}, which holds nothing", show(place));
                    return Violation::found(Law::CopyOfNothing, seen);
                }
            },
            None => match self.pages.get(&key) {
                Some(page) if page.has_data() => page.version(),
                _ => {
                    let seen = format!("{key} is copied from memory, but holds nothing");
                    return Violation::found(Law::CopyOfNothing, seen);
                }
            },
        };
        let old = self.old();
        let page = self.pages.entry(key).or_default();
        let serial = page.copy(version, durable, old);
        self.blocks.put(
            to,
            block::Slot {
                key,
                version,
                serial,
            },
            durable,
        )
    }

    fn durable(&mut self, place: Place, at: Instant) -> Result<(), Violation> {
        let Some((slot, dead)) = self.blocks.made_durable(place, at)? else {
            return Ok(());
        };
        if let Some(page) = self.pages.get_mut(&slot.key) {
            page.set_durable(slot.serial, at);
            if let Some(dead) = dead {
                page.set_dead(slot.serial, dead);
                self.fresh.push(Suspect {
                    key: slot.key,
                    from: dead,
                });
            }
        }
        Ok(())
    }

    /// A copy is durable later than was said: what was promised in between may not have held.
    fn delayed(&mut self, place: Place, at: Instant) {
        let Some((slot, said)) = self.blocks.delayed(place, at) else {
            return;
        };
        if let Some(page) = self.pages.get_mut(&slot.key) {
            page.delay(slot.serial, said, at);
            self.fresh.push(Suspect {
                key: slot.key,
                from: said,
            });
        }
    }

    /// Something is loaded into a block from `start` on.
    pub fn loaded(&mut self, plane: PlaneId, block: BlockId, start: Instant) {
        self.blocks.loaded(plane, block, start);
    }

    /// A segment of an erase. Copies in the block die at the start of its first.
    ///
    /// # Errors
    /// What is programmed there since is older than the erase's end.
    pub fn erase(
        &mut self,
        (plane, block): (PlaneId, BlockId),
        start: Instant,
        end: Instant,
    ) -> Result<(), Violation> {
        let dead = self.blocks.erase((plane, block), (start, end))?;
        for slot in dead {
            let Some(page) = self.pages.get_mut(&slot.key) else {
                continue;
            };
            if page.set_dead(slot.serial, start) {
                self.fresh.push(Suspect {
                    key: slot.key,
                    from: start,
                });
            }
        }
        Ok(())
    }

    /// Whether the page's data entered during this command.
    #[must_use]
    pub fn entered_now(&self, key: PageKey) -> bool {
        self.pages
            .get(&key)
            .is_some_and(|page| page.entered_in(self.round))
    }

    /// How many of these pages are in memory that keeps its data, at an instant.
    #[must_use]
    pub fn in_memory(&self, namespace: Namespace, pages: Range<u64>, at: Instant) -> u64 {
        let page = |lpn| self.pages.get(&PageKey::new(namespace, lpn));
        let there = |page: &&Page| page.is_in_memory(at);
        pages.filter_map(page).filter(there).count() as u64
    }

    /// What the page holds now is promised to be durable from `at` on.
    pub fn acknowledge(&mut self, key: PageKey, at: Instant) {
        let old = self.old();
        if let Some(page) = self.pages.get_mut(&key) {
            if page.has_data() {
                page.acknowledge(at, old);
                self.fresh.push(Suspect { key, from: at });
            }
        }
    }

    /// The same for all that entered a namespace since it was last asked for.
    pub fn acknowledge_all(&mut self, namespace: Namespace, at: Instant) {
        let mut dirty = core::mem::take(&mut self.dirty[namespace as usize]);
        dirty.sort_unstable();
        dirty.dedup();
        for key in dirty.drain(..) {
            self.acknowledge(key, at);
        }
        self.dirty[namespace as usize] = dirty;
    }

    /// The host gave up these pages.
    pub fn drop_pages(&mut self, namespace: Namespace, first: u64, pages: u64) {
        for lpn in first..first.saturating_add(pages) {
            let key = PageKey::new(namespace, lpn);
            if let Some(page) = self.pages.get_mut(&key) {
                page.drop_all(self.now);
            }
        }
    }

    /// The end of a command (of all, with `last`).
    ///
    /// # Errors
    /// An acknowledged page was without a copy, and what could still be told is told.
    pub fn settle(&mut self, last: bool) -> Result<(), Violation> {
        self.blocks.settle(last)?;
        let mut holes = core::mem::take(&mut self.holes);
        holes.append(&mut self.fresh);
        let (pages, now) = (&mut self.pages, self.now);
        let mut found = None;
        holes.retain(|suspect| {
            let Some(page) = pages.get_mut(&suspect.key) else {
                return false;
            };
            let Some(hole) = page.hole(suspect.from) else {
                return false;
            };
            if last || now.since(hole) > PATIENCE {
                found.get_or_insert((suspect.key, hole));
            }
            true
        });
        self.holes = holes;
        match found {
            Some((key, hole)) => self.lost(key, hole),
            None => Ok(()),
        }
    }

    /// Power went at `at`, flash stopped at `off`, and this is what the model says is left. Gives all pages that are, with whether memory has
    /// them.
    ///
    /// # Errors
    /// It is not, or what was acknowledged by then is missing.
    pub fn power_cut(
        &mut self,
        (at, off): (Instant, Instant),
        survivors: &[(PageKey, Option<Place>)],
        zoned: bool,
    ) -> Result<HashMap<PageKey, bool>, Violation> {
        self.begin(at);
        let mut suspects = core::mem::take(&mut self.holes);
        suspects.append(&mut self.fresh);
        for suspect in suspects {
            let page = self.pages.get(&suspect.key);
            let hole = page.and_then(|page| page.hole(suspect.from));
            if let Some(hole) = hole.filter(|hole| *hole <= at) {
                self.lost(suspect.key, hole)?;
            }
        }
        self.blocks.power_cut(off);
        for page in self.pages.values_mut() {
            page.power_cut(at, off);
        }
        let mut left = HashMap::new();
        for (key, place) in survivors {
            self.survived(*key, *place, at)?;
            if left.insert(*key, place.is_none()).is_some() {
                return Violation::found(Law::Telling, format!("{key} survives twice"));
            }
        }
        for (key, page) in &mut self.pages {
            if left.contains_key(key) {
                continue;
            }
            if let Some(version) = page.owed(at) {
                let seen = format!("version {version} of {key} was acknowledged, and power is cut at {at:?}: nothing is left; {page}");
                return Violation::found(Law::LostPage, seen);
            }
            // In a zone it may be beyond a hole.
            let counts = !zoned || key.namespace() == Namespace::Meta;
            if let Some(version) = page.newest_left().filter(|_| counts) {
                let seen = format!("{key} has a copy of version {version} when power is cut at {at:?}, and is lost; {page}");
                return Violation::found(Law::LostPage, seen);
            }
            page.lose();
        }
        Ok(left)
    }

    fn survived(
        &mut self,
        key: PageKey,
        place: Option<Place>,
        at: Instant,
    ) -> Result<(), Violation> {
        let wrong = |seen: String| Violation::found(Law::LostPage, seen);
        let Some(page) = self.pages.get_mut(&key) else {
            return wrong(format!("{key} survives, and was never written"));
        };
        let version = match place {
            None => page.in_memory(),
            Some(place) => {
                let slot = self.blocks.get(place).occupant(place.page);
                slot.filter(|slot| slot.key == key).map(|slot| slot.version)
            }
        };
        let place = place.map_or_else(|| "memory".to_owned(), show);
        let Some(version) = version else {
            return wrong(format!(
                "{key} is to have survived a power cut at {at:?} in {place}, which does not have it; {page}"
            ));
        };
        if let Some(owed) = page.owed(at).filter(|owed| *owed > version) {
            return wrong(format!(
                "version {owed} of {key} was acknowledged, and version {version} survives the power cut at {at:?} in {place}; {page}"
            ));
        }
        if let Some(newest) = page.newest_left().filter(|newest| *newest > version) {
            return wrong(format!(
                "{key} has a copy of version {newest} when power is cut at {at:?}, and falls back to {version} in {place}; {page}"
            ));
        }
        if !page.survive(version, at) {
            return wrong(format!(
                "{key} was given up, and comes back with the power cut at {at:?}; {page}"
            ));
        }
        Ok(())
    }

    fn lost(&self, key: PageKey, hole: Instant) -> Result<(), Violation> {
        let Some(page) = self.pages.get(&key) else {
            return Ok(());
        };
        let at = hole.as_nanos();
        let (early, later) = page.story(hole);
        let later = later.map_or_else(
            || "and never again".to_owned(),
            |later| format!("until {} ns", later.as_nanos()),
        );
        if early {
            let seen = format!("{key} is acknowledged at {at} ns, but not durable {later}; {page}");
            return Violation::found(Law::EarlyAcknowledgement, seen);
        }
        let seen = format!(
            "{key} is acknowledged, but has no durable copy from {at} ns on, {later}; {page}"
        );
        Violation::found(Law::LostPage, seen)
    }

    /// Pages that have been written and not dropped.
    #[must_use]
    pub fn pages_with_data(&self) -> usize {
        self.pages.values().filter(|page| page.has_data()).count()
    }
}

/// A place in words.
fn show(place: Place) -> String {
    format!(
        "plane {} block {} page {}",
        place.plane.0, place.block.0, place.page
    )
}

/// The numbers hashed here are small and spread by one multiplication.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread(u64);

pub(crate) type Hasher = core::hash::BuildHasherDefault<Spread>;

impl core::hash::Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}
