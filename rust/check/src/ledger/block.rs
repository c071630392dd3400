// SPDX-License-Identifier: GPL-2.0-or-later
//! What lies in each block of each plane, and whether it was programmed as flash is.
//!
//! The pages of a block are filled in order. One that does not follow the last begins the block anew,
//! and needs an erase in between: either told already, or told with the same command or later (a model
//! may use a block whose erase is booked). Until then the block is in *debt*.

use super::{show, Hasher, PageKey};
use crate::observed::Place;
use crate::violation::{Law, Violation};
use nand::{BlockId, PlaneId};
use std::collections::{HashMap, VecDeque};
use units::{Instant, Nanos};

/// A copy, as the place knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub key: PageKey,
    pub version: u32,
    pub serial: u32,
}

#[derive(Clone, Copy, Debug)]
struct Put {
    page: u64,
    slot: Slot,
    durable: Option<Instant>,
    /// The command that it was told with.
    round: u64,
}

impl Put {
    /// A page that can neither be read nor programmed.
    const fn spoilt(page: u64) -> Self {
        let slot = Slot {
            key: PageKey::NONE,
            version: 0,
            serial: 0,
        };
        Self {
            page,
            slot,
            durable: Some(Instant::ZERO),
            round: 0,
        }
    }
}

/// What was put into a block between two erases, in the order of its pages.
type Filling = Vec<Put>;

/// One block of one plane.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    current: Filling,
    /// Fillings whose erase has not been told, the oldest first.
    owed: VecDeque<Filling>,
    /// The last filling that an erase ended, and when it began: its durability may be told later.
    ended: Option<(Filling, Instant)>,
    /// Those before it, whose erases were still to come when the next was told.
    before: Vec<(Filling, Instant)>,
    /// The erase before the current filling: known end.
    ready: Instant,
    /// An erase that is not complete: its first segment's start, and its time so far.
    erasing: Option<(Instant, Nanos)>,
    /// When something was loaded last.
    loaded: Instant,
}

impl Block {
    fn position(filling: &Filling, page: u64) -> Option<usize> {
        filling.binary_search_by_key(&page, |put| put.page).ok()
    }

    /// What was last put at a page.
    pub fn occupant(&self, page: u64) -> Option<Slot> {
        // What is read back may lie in a filling whose successor has begun already.
        let all = core::iter::once(&self.current).chain(self.owed.iter().rev());
        let mut found = all.filter_map(|f| Some(f[Self::position(f, page)?].slot));
        found.next()
    }

    /// It had been erased by then, if that takes no time.
    fn was_erased(&mut self, by: Instant) {
        if let Some(last) = self.before.last_mut().filter(|b| b.1 == NEVER) {
            last.1 = by;
        }
    }

    /// Whether the filling before the current one certainly needed an erase by now.
    fn is_overdue(&self) -> bool {
        !self.owed.is_empty() && self.current.iter().any(|put| put.durable.is_some())
    }
}

/// All blocks that something was put into.
#[derive(Debug)]
pub(super) struct Blocks {
    blocks: HashMap<u64, Block, Hasher>,
    none: Block,
    erase: Nanos,
    /// Blocks in debt.
    owing: Vec<u64>,
    /// The number of the present command, and when it arrived.
    pub round: u64,
    pub now: Instant,
}

/// An erase that takes no time is not told: it is known to have been when something has been programmed again.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

const fn number(plane: PlaneId, block: BlockId) -> u64 {
    (plane.0 as u64) << 32 | block.0 as u64
}

const fn name(number: u64) -> (u64, u64) {
    (number >> 32, number & 0xffff_ffff)
}

impl Blocks {
    pub fn new(erase: Nanos) -> Self {
        Self {
            blocks: HashMap::default(),
            none: Block::default(),
            erase,
            owing: Vec::new(),
            round: 0,
            now: Instant::ZERO,
        }
    }

    pub fn get(&self, place: Place) -> &Block {
        self.blocks
            .get(&number(place.plane, place.block))
            .unwrap_or(&self.none)
    }

    /// Puts a copy.
    pub fn put(
        &mut self,
        place: Place,
        slot: Slot,
        durable: Option<Instant>,
    ) -> Result<(), Violation> {
        let at = number(place.plane, place.block);
        let block = self.blocks.entry(at).or_default();
        if block
            .current
            .last()
            .is_some_and(|put| put.page >= place.page)
        {
            let before = core::mem::take(&mut block.current);
            // Erases that take no time are not told.
            if self.erase == Nanos::ZERO {
                let now = self.now;
                block.was_erased(now);
                block.before.retain(|(_, start)| *start > now);
                block.before.push((before, NEVER));
            } else {
                block.owed.push_back(before);
                self.owing.push(at);
            }
        }
        if let Some(at) = durable {
            block.was_erased(at);
        }
        block.current.push(Put {
            page: place.page,
            slot,
            durable,
            round: self.round,
        });
        Self::after_erase(block, place, durable)
    }

    fn after_erase(block: &Block, place: Place, durable: Option<Instant>) -> Result<(), Violation> {
        // With a debt, the erase that counts is not known yet.
        match durable {
            Some(at) if block.owed.is_empty() && at < block.ready => {
                let seen = format!(
                    "{} is programmed by {} ns, but its block's erase ends at {} ns",
                    show(place),
                    at.as_nanos(),
                    block.ready.as_nanos()
                );
                Violation::found(Law::ProgramBeforeErase, seen)
            }
            _ => Ok(()),
        }
    }

    /// The copy at a place is durable from `at` on. Gives it, and when it died if that is known.
    pub fn made_durable(
        &mut self,
        place: Place,
        at: Instant,
    ) -> Result<Option<(Slot, Option<Instant>)>, Violation> {
        let Some(block) = self.blocks.get_mut(&number(place.plane, place.block)) else {
            return Ok(None);
        };
        let fillings = core::iter::once(&mut block.current).chain(block.owed.iter_mut().rev());
        for filling in fillings {
            let Some(position) = Block::position(filling, place.page) else {
                continue;
            };
            let put = &mut filling[position];
            if put.durable.is_none() {
                put.durable = Some(at);
                let slot = put.slot;
                block.was_erased(at);
                Self::after_erase(block, place, Some(at))?;
                return Ok(Some((slot, None)));
            }
        }
        if let Some((filling, dead)) = block.ended.as_mut().filter(|(_, dead)| at <= *dead) {
            let position = Block::position(filling, place.page);
            if let Some(put) = position.and_then(|position| filling.get_mut(position)) {
                if put.durable.is_none() {
                    put.durable = Some(at);
                    return Ok(Some((put.slot, Some(*dead))));
                }
            }
        }
        // Pages that were given up before they came here are told with their wordline.
        Ok(None)
    }

    /// The copy at a place, which has not been erased, is durable from `at` on and not as was said. Gives it, and what
    /// was said.
    pub fn delayed(&mut self, place: Place, at: Instant) -> Option<(Slot, Instant)> {
        let block = self.blocks.get_mut(&number(place.plane, place.block))?;
        let position = Block::position(&block.current, place.page)?;
        let put = block.current.get_mut(position)?;
        let said = put.durable.replace(at)?;
        Some((put.slot, said))
    }

    /// Something is loaded from `start` on.
    pub fn loaded(&mut self, plane: PlaneId, block: BlockId, start: Instant) {
        if let Some(block) = self.blocks.get_mut(&number(plane, block)) {
            block.loaded = block.loaded.max(start);
        }
    }

    /// A segment of an erase; gives the copies that end with it.
    pub fn erase(
        &mut self,
        (plane, id): (PlaneId, BlockId),
        (start, end): (Instant, Instant),
    ) -> Result<Vec<Slot>, Violation> {
        let block = self.blocks.entry(number(plane, id)).or_default();
        let mut dead = Vec::new();
        let took = match block.erasing {
            Some((_, took)) => took,
            None => {
                // What is newer was put there after the erase. (Models may round up from when a copy
                // is durable, to the end of its group of programs.) So was what is loaded now: after a power cut what
                // is erased may hold nothing.
                let is_owed = !block.owed.is_empty();
                let (round, loaded) = (self.round, block.loaded);
                let newer = |put: &Put| match put.durable {
                    Some(at) => at >= start + self.erase,
                    None => !is_owed && put.round == round && loaded > start,
                };
                let mut ended = match block.owed.pop_front() {
                    Some(filling) => filling,
                    None => core::mem::take(&mut block.current),
                };
                let first = ended.iter().position(newer).unwrap_or(ended.len());
                let after = ended.split_off(first);
                if is_owed && !after.is_empty() {
                    block.owed.push_front(after);
                } else if !is_owed {
                    block.current = after;
                }
                dead.extend(ended.iter().map(|put| put.slot));
                let now = self.now;
                block.before.retain(|(_, start)| *start > now);
                let last = block.ended.replace((ended, start));
                block.before.extend(last.filter(|(_, start)| *start > now));
                Nanos::ZERO
            }
        };
        let took = took + end.since(start);
        if took < self.erase {
            let first = block.erasing.map_or(start, |(first, _)| first);
            block.erasing = Some((first, took));
            return Ok(dead);
        }
        block.erasing = None;
        block.ready = end;
        if block.owed.is_empty() {
            for put in &block.current {
                let place = Place {
                    plane,
                    block: id,
                    page: put.page,
                };
                Self::after_erase(block, place, put.durable)?;
            }
        }
        Ok(dead)
    }

    /// Power went at `at`. What was being programmed then, or was booked, is spoilt; and so is all of a block whose erase
    /// had begun. What was only loaded is gone.
    pub fn power_cut(&mut self, at: Instant) {
        self.owing.clear();
        for block in self.blocks.values_mut() {
            let later = block.before.drain(..).chain(block.ended.take());
            let later = later.filter(|(_, start)| *start > at).map(|(f, _)| f);
            let mut lives = later.chain(block.owed.drain(..));
            let first = lives.next();
            let is_later = first.is_some();
            let mut filling = first.unwrap_or_else(|| core::mem::take(&mut block.current));
            drop(lives);
            let was_erasing = block.erasing.take().is_some_and(|(start, _)| start <= at);
            if !is_later && (was_erasing || block.ready > at) {
                filling = vec![Put::spoilt(u64::MAX)];
            }
            filling.retain(|put| put.durable.is_some());
            for put in &mut filling {
                if put.durable.is_some_and(|durable| durable > at) {
                    *put = Put::spoilt(put.page);
                }
            }
            block.ready = block.ready.min(at);
            block.loaded = block.loaded.min(at);
            block.current = filling;
        }
    }

    /// Debts that cannot be paid any more (none may be left at the end).
    pub fn settle(&mut self, last: bool) -> Result<(), Violation> {
        let mut owing = core::mem::take(&mut self.owing);
        let mut found = None;
        owing.retain(|at| {
            let Some(block) = self.blocks.get(at) else {
                return false;
            };
            if block.is_overdue() || (last && !block.owed.is_empty()) {
                found.get_or_insert((*at, block.current.first().map_or(0, |put| put.page)));
            }
            !block.owed.is_empty()
        });
        self.owing = owing;
        match found {
            None => Ok(()),
            Some((at, page)) => {
                let (plane, block) = name(at);
                let seen = format!(
                    "plane {plane} block {block}: page {page} is programmed again, or out of order, without an erase"
                );
                Violation::found(Law::ProgrammedTwice, seen)
            }
        }
    }
}
