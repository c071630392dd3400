// SPDX-License-Identifier: GPL-2.0-or-later
//! Garbage collection: greedy, a little with each page that the host writes, in the background.
//!
//! ```text
//!   victim    | . x . . | x x . . |     scanned a flash page at a time: what is valid is read
//!                  \     |
//!   gathered  | a a b                   after a row, whole one-shot pages are queued to be programmed
//!   issued    | a a a a | a a a a |     the map still points to the victim
//!   committed                           the program has ended: the map follows, the victim's page is gone
//! ```
//! So the map always points to a copy that is durable, and reads find a page that is being moved
//! where it was. A victim is erased when nothing in it is valid, no move from it is on its way, and
//! whatever replaced its pages is programmed.
//!
//! The pace: of a victim with g pages to gain, the host's write of one page pays for scanning
//! pages / g of its locations, so collecting it is done when the host has taken in what it gains.
//! While the planes leave enough idle time, reads and programs take nothing else. Otherwise the
//! oldest one-shot page becomes the host's work when more than [`Partition::most_issued`] are issued,
//! or when the host needs a superblock and only the collection's reserve is left.

use super::{Partition, Pointer};
use ftl::{Event, Flash};
use nand::Work;
use state::{ensure, state};
use std::collections::VecDeque;
use units::{Bytes, Instant, PAGE_BYTES};

/// A page on its way.
#[derive(Clone, Copy, Debug, Default)]
struct Move {
    page: u32,
    from: u32,
}

/// A one-shot page that is queued to be programmed; its moves are the oldest ones.
#[derive(Clone, Copy, Debug, Default)]
struct Issued {
    work: Work,
    first: u32,
    moves: u32,
}

/// A superblock that is being emptied.
#[derive(Clone, Copy, Debug, Default)]
struct Victim {
    superblock: u32,
    /// Its next page to look at.
    next: u32,
    /// Pages that it has to gain.
    gain: u32,
    /// Pages on their way.
    moving: u32,
    started: Instant,
}

/// The collection of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collection {
    pointer: Pointer,
    /// Oldest first; the one that is scanned comes last.
    victims: Vec<Victim>,
    moves: VecDeque<Move>,
    issued: VecDeque<Issued>,
    /// The latest moves, that no one-shot page has been issued for.
    gathered: u32,
    /// Reads of what is gathered.
    reads: Option<Work>,
    /// The reads before those, if some of what is gathered came with them.
    earlier: Option<Work>,
    /// Locations that may be scanned, times what the victim gains.
    credit: u64,
}

state!(Move { page, from });
state!(Issued { work, first, moves });
state!(Victim {
    superblock,
    next,
    gain,
    moving,
    started
});
state!(Collection {
    pointer,
    victims,
    moves,
    issued,
    gathered,
    reads,
    earlier,
    credit
});

impl Collection {
    /// Room for what can be on its way at once.
    pub fn new(most_issued: usize, unit: u32) -> Self {
        // Two rows are issued; a row that found no room and the one after are gathered.
        let moves = (2 * most_issued + 1).saturating_mul(unit as usize);
        Self {
            victims: Vec::with_capacity(16),
            moves: VecDeque::with_capacity(moves.min(1 << 20)),
            issued: VecDeque::with_capacity(most_issued.min(1 << 16) + 2),
            ..Self::default()
        }
    }

    /// Its write pointer.
    pub const fn pointer(&self) -> Pointer {
        self.pointer
    }

    /// Nothing is under way, and it goes on from there.
    pub fn go_on(&mut self, pointer: Pointer) {
        self.pointer = pointer;
    }

    /// Whether a location is in a one-shot page that is queued to be programmed.
    pub fn is_issued(&self, location: u32, unit: u32) -> bool {
        let mut all = self.issued.iter().map(|i| i.first..i.first + unit);
        all.any(|unit| unit.contains(&location))
    }

    /// Superblocks being emptied.
    pub fn victims(&self) -> impl Iterator<Item = u32> + '_ {
        self.victims.iter().map(|victim| victim.superblock)
    }

    /// What is read from now on is read for other one-shot pages; what is gathered already came with
    /// the reads until now.
    fn begin_reads(&mut self, flash: &mut Flash) {
        if let Some(reads) = self.reads.take() {
            if let Some(earlier) = self.earlier.replace(reads) {
                flash.release(earlier);
            }
        }
        if self.gathered == 0 {
            if let Some(earlier) = self.earlier.take() {
                flash.release(earlier);
            }
        }
    }
}

impl Partition {
    /// Superblocks that the host leaves to the collection, which could make no room without.
    pub(crate) const RESERVE: usize = 1;

    /// One-shot pages that may wait in the background: two for each plane, as the controller has
    /// memory for.
    pub(crate) const fn most_issued(lanes: u32) -> usize {
        2 * lanes as usize
    }

    /// Collects what the host's write of one page pays for.
    pub(crate) fn pace(&mut self, at: Instant, flash: &mut Flash) {
        if self.pool.free() > self.threshold as usize + 1 {
            self.gc.credit = 0;
            return;
        }
        let pages = u64::from(self.shape.pages);
        self.gc.credit = (self.gc.credit + pages).min(pages * pages);
        while let Some(victim) = self.victim(at, flash) {
            let cost = u64::from(self.shape.flash_page) * u64::from(victim.gain);
            if self.gc.credit < cost || !self.scan(at, flash) {
                return;
            }
            self.gc.credit -= cost;
        }
    }

    /// The host needs a superblock: collects until one is left beyond the reserve, or nothing more
    /// can be gained.
    pub(crate) fn make_room(&mut self, at: Instant, flash: &mut Flash) {
        // Each victim gains something; this only bounds the work.
        let mut victims = self.shape.superblocks;
        while self.pool.free() <= Self::RESERVE && victims > 0 {
            if self.force_oldest(flash) {
                continue;
            }
            let scanned = self.gc.victims.len();
            if self.victim(at, flash).is_some() && self.scan(at, flash) {
                victims -= u32::from(self.gc.victims.len() != scanned);
                continue;
            }
            // Rather lose some pages of a one-shot page than have no superblock.
            if self.gc.gathered == 0 || !self.issue(flash) {
                return;
            }
            self.gc.begin_reads(flash);
        }
    }

    /// The victim that is being scanned; the next one if that is through. Superblocks without valid
    /// pages need no scan.
    fn victim(&mut self, at: Instant, flash: &mut Flash) -> Option<Victim> {
        let pages = self.shape.pages;
        if let Some(victim) = self.gc.victims.last().filter(|v| v.next < pages) {
            return Some(*victim);
        }
        while self.pool.free() <= self.threshold as usize + 1 {
            self.force_if_short(flash);
            let superblock = self.pool.take_victim()?;
            let valid = self.pool.valid(superblock);
            let victim = Victim {
                superblock,
                next: if valid == 0 { pages } else { 0 },
                gain: pages - valid,
                moving: 0,
                started: at,
            };
            self.gc.victims.push(victim);
            if valid > 0 {
                return Some(victim);
            }
            self.reap(flash);
        }
        None
    }

    /// Scans one flash page of the victim; says whether there was room for what was valid in it.
    fn scan(&mut self, at: Instant, flash: &mut Flash) -> bool {
        let per_flash_page = self.shape.flash_page;
        let row = self.shape.unit * self.shape.lanes;
        if self.gc.gathered >= row && !self.issue_whole(flash) {
            return false;
        }
        let Some(victim) = self.gc.victims.last_mut() else {
            return false;
        };
        let first = victim.superblock * self.shape.pages + victim.next;
        victim.next += per_flash_page;
        let next = victim.next;
        let mut valid = 0;
        for from in first..first + per_flash_page {
            let owner = self.owner.get(from as usize).copied().unwrap_or(0);
            if let Some(page) = owner.checked_sub(1) {
                self.gc.moves.push_back(Move { page, from });
                valid += 1;
            }
        }
        victim.moving += valid;
        if valid > 0 {
            self.read_valid(first, valid, at, flash);
            self.gc.gathered += valid;
            self.counters.pages_gc += u64::from(valid);
        }
        if next % row == 0 {
            // What finds no superblock waits for the next scan.
            self.issue_whole(flash);
            self.reap(flash);
        }
        true
    }

    /// Issues the whole one-shot pages that are gathered; says whether there was room for them.
    fn issue_whole(&mut self, flash: &mut Flash) -> bool {
        let mut has_room = true;
        while has_room && self.gc.gathered >= self.shape.unit {
            has_room = self.issue(flash);
        }
        self.gc.begin_reads(flash);
        has_room
    }

    /// Queues the read of a flash page, unless memory still holds it.
    fn read_valid(&mut self, first: u32, valid: u32, at: Instant, flash: &mut Flash) {
        let from = self.flash_page(first);
        if flash.is_held(at, from.plane, from.block, from.page) {
            return;
        }
        let (reads, after) = match self.gc.reads {
            Some(reads) => (reads, None),
            None => (flash.begin(), self.gc.earlier),
        };
        self.gc.reads = Some(reads);
        let bytes = Bytes::new(u64::from(valid) * PAGE_BYTES);
        let place = (from.plane, from.block, from.page);
        flash.defer_read(at, place, bytes, reads, after);
        self.counters.gc_senses += 1;
    }

    /// Issues the program of what is gathered, up to a one-shot page; says whether there was a
    /// superblock for it.
    fn issue(&mut self, flash: &mut Flash) -> bool {
        let shape = self.shape;
        let superblock = match self.gc.pointer.superblock {
            Some(superblock) => superblock,
            None => {
                self.force_if_short(flash);
                match self.pool.take() {
                    Some(superblock) => superblock,
                    None => return false,
                }
            }
        };
        let moves = self.gc.gathered.min(shape.unit);
        let first = superblock * shape.pages + self.gc.pointer.next;
        let place = self.flash_page(first);
        let after = self.gc.reads.or(self.gc.earlier);
        let work = flash.begin();
        let bytes = Bytes::new(u64::from(moves) * PAGE_BYTES);
        flash.defer_program(place.plane, place.block, bytes, work, after);
        flash.seal(work);
        self.gc.gathered -= moves;
        self.gc.issued.push_back(Issued { work, first, moves });
        self.counters.programs += 1;
        self.counters.pages_padded += u64::from(shape.unit - moves);
        let next = self.gc.pointer.next + shape.unit;
        self.gc.pointer = Pointer {
            superblock: Some(superblock).filter(|_| next < shape.pages),
            next: next % shape.pages,
            ..Pointer::default()
        };
        if self.gc.issued.len() > Self::most_issued(shape.lanes) {
            self.force_oldest(flash);
        }
        true
    }

    /// The oldest one-shot page becomes the host's work; says whether there was one.
    fn force_oldest(&mut self, flash: &mut Flash) -> bool {
        let Some(issued) = self.gc.issued.pop_front() else {
            return false;
        };
        let end = flash.force(issued.work);
        self.commit(issued, end, flash);
        true
    }

    /// With no more free than the reserve, victims that could be erased have to be: then at most one
    /// besides the one that is scanned is not, and the reserve has room for what they hold.
    fn force_if_short(&mut self, flash: &mut Flash) {
        if self.pool.free() <= Self::RESERVE {
            while self.force_oldest(flash) {}
        }
    }

    /// Commits what has ended.
    pub(crate) fn commit_ended(&mut self, flash: &mut Flash) {
        while let Some(&issued) = self.gc.issued.front() {
            let Some(end) = flash.ended(issued.work) else {
                return;
            };
            self.gc.issued.pop_front();
            self.commit(issued, end, flash);
        }
    }

    /// The map follows the oldest moves, which are durable from `end` on.
    fn commit(&mut self, issued: Issued, end: Instant, flash: &mut Flash) {
        flash.release(issued.work);
        let pages = self.shape.pages;
        let to = self.flash_page(issued.first);
        flash.hold(to.plane, to.block, to.page, end);
        for location in issued.first..issued.first + issued.moves {
            let Some(Move { page, from }) = self.gc.moves.pop_front() else {
                break;
            };
            let of = from / pages;
            if let Some(victim) = self.gc.victims.iter_mut().find(|v| v.superblock == of) {
                victim.moving -= 1;
            }
            self.note(|p| Event::Copied {
                namespace: p.namespace,
                lpn: p.lpn(page),
                from: Some(p.place(from)),
                to: p.place(location),
                durable: Some(end),
            });
            // Unless the host has written or unmapped it meanwhile.
            if self.location(page) == Some(from) {
                let past = self.past(page, from, flash);
                self.remember(past, end, true, flash.now());
                self.unmap(page);
                self.map_to(page, location);
                self.pool.settle(of, end);
            }
        }
        if issued.first % pages + self.shape.unit == pages {
            self.pool.close(issued.first / pages);
        }
        self.reap(flash);
    }

    /// Erases the victims that nothing is needed of any more, in the background. They count as free:
    /// what is programmed into them waits for the erase.
    pub(crate) fn reap(&mut self, flash: &mut Flash) {
        let mut at = 0;
        while let Some(&victim) = self.gc.victims.get(at) {
            let superblock = victim.superblock;
            let is_through = victim.next >= self.shape.pages && victim.moving == 0;
            let pages = self.shape.pages;
            let is_old = self
                .replaced
                .iter()
                .any(|p| p.location / pages == superblock);
            if !is_through || is_old {
                at += 1;
                continue;
            }
            self.gc.victims.remove(at);
            let settled = self.pool.settled(superblock);
            self.counters.erases += 1;
            self.counters.gc_runs += 1;
            self.counters.gc_time += settled.since(victim.started);
            self.erase(superblock, settled, flash);
        }
    }

    /// Erases a superblock that is open in the background, not before `at`. It counts as free.
    pub(crate) fn erase(&mut self, superblock: u32, at: Instant, flash: &mut Flash) {
        let block = self.block(superblock);
        let work = flash.begin();
        for &plane in self.planes() {
            flash.defer_erase(at, plane, block, work);
        }
        flash.release(work);
        self.pool.erased(superblock);
    }

    /// Is an error if something that is under way cannot be, after decoding.
    pub(crate) fn check_moves(&self) -> Result<(), state::Error> {
        let (gc, shape) = (&self.gc, &self.shape);
        let Pointer {
            superblock, next, ..
        } = gc.pointer;
        ensure!(superblock.is_none_or(|s| s < shape.superblocks));
        ensure!(next < shape.pages && next % shape.unit == 0);
        for (at, victim) in gc.victims.iter().enumerate() {
            let Victim {
                superblock,
                next,
                gain,
                ..
            } = *victim;
            ensure!(superblock < shape.superblocks, "superblock {superblock}");
            ensure!(
                next <= shape.pages && next % shape.flash_page == 0,
                "page {next}"
            );
            ensure!(gain <= shape.pages, "{gain} pages to gain");
            let mut others = gc.victims.iter().skip(at + 1);
            ensure!(others.all(|v| v.superblock != superblock), "a victim twice");
        }
        ensure!(gc
            .moves
            .iter()
            .all(|m| m.page < shape.logical && m.from < shape.physical()));
        for issued in &gc.issued {
            let Issued { first, moves, .. } = *issued;
            ensure!(
                first < shape.physical() && first % shape.unit == 0,
                "location {first}"
            );
            ensure!(moves <= shape.unit, "{moves} moves");
        }
        let pages = u64::from(shape.pages);
        ensure!(gc.credit <= pages * pages);
        self.check_use()
    }

    /// Is an error unless just the superblocks of pointers, victims and one-shot pages that are queued are open, and
    /// nothing lies where a pointer or such a page has still to come.
    fn check_use(&self) -> Result<(), state::Error> {
        let (gc, shape) = (&self.gc, &self.shape);
        let mut open: Vec<u32> = gc.victims().chain(self.host.superblock).collect();
        open.extend(gc.pointer.superblock);
        let mut last = None;
        for issued in &gc.issued {
            let (superblock, page) = (issued.first / shape.pages, issued.first % shape.pages);
            ensure!(
                last < Some(issued.first) || last.is_some_and(|l| l / shape.pages != superblock)
            );
            last = Some(issued.first);
            if gc.pointer.superblock == Some(superblock) {
                ensure!(page < gc.pointer.next, "location {}", issued.first);
            } else if page + shape.unit == shape.pages {
                // It is closed with this one.
                open.push(superblock);
            }
        }
        let used = open.len();
        let is_open = |superblock: &u32| self.pool.is_open(*superblock);
        open.sort_unstable();
        open.dedup();
        ensure!(
            open.len() == used && open.iter().all(is_open) && self.pool.open() == used,
            "superblocks {open:?} are open, and no others"
        );
        for issued in &gc.issued {
            ensure!(open.binary_search(&(issued.first / shape.pages)).is_ok());
            self.check_blank(issued.first..issued.first + shape.unit)?;
        }
        for pointer in [self.host, gc.pointer] {
            let Some(superblock) = pointer.superblock else {
                continue;
            };
            let first = superblock * shape.pages;
            self.check_blank(first + pointer.next..first + shape.pages)?;
        }
        Ok(())
    }

    fn check_blank(&self, locations: core::ops::Range<u32>) -> Result<(), state::Error> {
        let mut all = locations.clone();
        let is_blank = all.all(|location| self.owner(location).is_none());
        ensure!(is_blank, "something lies in {locations:?}");
        Ok(())
    }

    /// Is an error unless the moves are the victims'. For tests.
    pub(crate) fn check_collection(&self) -> Result<(), state::Error> {
        let gc = &self.gc;
        let issued = gc.issued.iter();
        let issued = issued.fold(0u64, |sum, i| sum + u64::from(i.moves));
        state::ensure_eq!(gc.moves.len() as u64, issued + u64::from(gc.gathered));
        let victims = gc.victims.iter();
        let moving = victims.fold(0u64, |sum, v| sum + u64::from(v.moving));
        state::ensure_eq!(moving, gc.moves.len() as u64);
        state::ensure!(gc.issued.len() <= Self::most_issued(self.shape.lanes));
        for victim in &gc.victims {
            let of = |m: &&Move| m.from / self.shape.pages == victim.superblock;
            let moving = gc.moves.iter().filter(of).count();
            state::ensure_eq!(moving, victim.moving as usize);
        }
        Ok(())
    }
}
