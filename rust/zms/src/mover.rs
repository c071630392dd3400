// SPDX-License-Identifier: GPL-2.0-or-later
//! Moving pages in the background: one victim at a time, step by step (zms-model §3, §7, §8).
//!
//! ```text
//!   begin(victim) -> plan: step, step, step ... -> all pages elsewhere -> erase -> free
//!                           | reads -> load, program      (background operations of the planes)
//!                           v ended
//!                    retire: the map takes over the new place, if the page is still the same
//! ```
//! Until its step has ended a page is mapped where it was, so it is never without a durable copy, and
//! a write in the meantime simply wins. A few steps are under way at once, so that all planes are
//! busy; steps retire in the order they were planned.
//!
//! As soon as the host needs the space, steps are *forced*: booked like the host's operations, so that
//! their end is known. To keep that from being much at once, it begins when less than a superblock is
//! left: from then on each page that the host writes pays for its share of what is to be moved before
//! the space runs out.
//!
//! Invariants: the pages of steps under way are reserved where they go, and are few.

use crate::area::{Area, Pointer};
use crate::core::Core;
use crate::superblock::{FlashPage, Loc, Pool, SbState, NATIVE, NONE};
use crate::Error;
use ftl::Counters;
use nand::{PlaneId, Work};
use state::{ensure, state, state_enum};
use std::collections::VecDeque;
use units::Instant;

/// What a step does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pages go to pSLC, at the internal pointer.
    #[default]
    Rewrite,
    /// A program unit goes to native cells: of this zone, if zones there are.
    Unit { zone: u32 },
    /// A superblock that holds nothing any more is erased.
    Erase { native: bool, sb: u32 },
}

/// A step under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    pub kind: Kind,
    work: Work,
    /// How many of the first moves listed are its.
    moves: u32,
    /// Pages of the victim that it moves.
    pages: u32,
}

impl Step {
    /// Whether moves that are listed are its.
    pub const fn has_moves(&self) -> bool {
        self.moves > 0
    }
}

/// A page that is being moved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Move {
    pub lpn: u32,
    pub from: Loc,
    pub to: Loc,
}

/// The victim and the steps under way.
#[derive(Clone, Debug)]
pub(crate) struct Mover {
    /// The superblock being emptied, or [`NONE`].
    pub victim: u32,
    /// Its next page to look at.
    pub cursor: u32,
    /// Everything is to be moved now, also what waits for a wordline to be completed.
    pub last_round: bool,
    /// When it began.
    pub started: Instant,
    steps: VecDeque<Step>,
    moves: VecDeque<Move>,
    /// Those of the step that is being planned, and its loads.
    pub next: Vec<Move>,
    pub loads: Vec<Load>,
    /// Pages of steps under way; no step is planned beyond so many.
    under_way: u32,
    depth: u32,
    /// Pages of this victim moved, and superblocks that were free when it began.
    moved: u64,
    free_before: u32,
    /// Victims in a row that gained nothing.
    fruitless: u32,
    /// pSLC superblocks that had been opened when the one was that was folded last, or not worth it; and when folding
    /// began, or 0 if the drive does not fold.
    pub folded: u64,
    pub fold_to: u64,
}

state_enum!(Kind { Rewrite = 0, Unit { zone } = 1, Erase { native, sb } = 2 });
state!(Step {
    kind,
    work,
    moves,
    pages
});
state!(Move { lpn, from, to });
// The lists of what is being planned are empty in between.
state!(Mover {
    victim, cursor, last_round, started, steps, moves, under_way, moved, free_before, fruitless, folded, fold_to;
    next, loads, depth
} => check);

impl Mover {
    /// Pages under way at most: enough for a few one-shot pages on each of many planes.
    const MOST: u32 = 1 << 13;

    /// Nothing to do; for a namespace with `stripe` pages in a row of one-shot pages.
    pub fn new(stripe: u32) -> Self {
        let depth = stripe.saturating_mul(2).min(Self::MOST);
        Self {
            victim: NONE,
            cursor: 0,
            last_round: false,
            started: Instant::ZERO,
            steps: VecDeque::with_capacity(1 << 8),
            moves: VecDeque::with_capacity(2 * depth as usize),
            next: Vec::with_capacity(depth as usize),
            loads: Vec::with_capacity(8),
            under_way: 0,
            depth,
            moved: 0,
            free_before: 0,
            fruitless: 0,
            folded: 0,
            fold_to: 0,
        }
    }

    /// Neither a victim nor a step.
    pub fn is_idle(&self) -> bool {
        self.victim == NONE && self.steps.is_empty()
    }

    /// Power goes: nothing is moved any more.
    pub fn power_cut(&mut self) {
        self.victim = NONE;
        self.cursor = 0;
        self.last_round = false;
        self.steps.clear();
        self.moves.clear();
        self.next.clear();
        self.loads.clear();
        (self.under_way, self.moved, self.fruitless) = (0, 0, 0);
        (self.folded, self.fold_to) = (0, 0);
    }

    /// When the first step under way ends, if that is certain.
    pub fn first_end(&self, core: &Core) -> Option<Instant> {
        let step = self.steps.front()?;
        core.media.certain_end(step.work)
    }

    pub fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Whether a step under way loads pages of `zone`.
    pub fn loads(&self, zone: u32) -> bool {
        self.steps.iter().any(|s| s.kind == Kind::Unit { zone })
    }

    /// Steps and moves under way.
    pub fn under_way(&self) -> (&VecDeque<Step>, &VecDeque<Move>) {
        (&self.steps, &self.moves)
    }

    /// Is an error unless steps and moves agree.
    fn check(&mut self) -> Result<(), state::Error> {
        let sum = |of: fn(&Step) -> u32| self.steps.iter().map(|s| u64::from(of(s))).sum::<u64>();
        ensure!(
            sum(|s| s.moves) == self.moves.len() as u64,
            "moves without a step"
        );
        ensure!(
            sum(|s| s.pages) == u64::from(self.under_way),
            "pages without a step"
        );
        Ok(())
    }

    /// Is an error unless what is emptied and erased is there, in a pool that is native or not. Says how
    /// many superblocks that is.
    pub fn check_pool(
        &self,
        pool: &Pool,
        native: bool,
        has_victim: bool,
    ) -> Result<usize, state::Error> {
        ensure!(
            self.cursor <= pool.pages || !has_victim,
            "cursor {}",
            self.cursor
        );
        let erased = self.steps.iter().filter_map(|s| match s.kind {
            Kind::Erase { native: n, sb } if n == native => Some(sb),
            _ => None,
        });
        let victim = Some(self.victim).filter(|sb| has_victim && *sb != NONE);
        let mut moving: Vec<u32> = erased.chain(victim).collect();
        let is_moving = |sb: &u32| pool.get(*sb).state == SbState::Moving;
        ensure!(
            moving.iter().all(is_moving),
            "a superblock is moved that is in use"
        );
        moving.sort_unstable();
        moving.dedup();
        Ok(moving.len())
    }

    /// Begins to empty a superblock; so many are free.
    pub fn start(&mut self, victim: u32, free: u32, at: Instant) {
        self.victim = victim;
        self.free_before = free;
        self.cursor = 0;
        self.last_round = false;
        self.started = at;
        self.moved = 0;
    }

    /// The victim has been erased, and so many superblocks are free now. Says whether going on can gain
    /// anything.
    pub fn end(&mut self, free: u32) -> bool {
        const FRUITLESS: u32 = 3;
        self.victim = NONE;
        self.fruitless = if free > self.free_before {
            0
        } else {
            self.fruitless + 1
        };
        self.fruitless < FRUITLESS
    }

    /// The first step is over: gives its moves. The list is to be given back.
    pub fn take_moves(&mut self, step: &Step) -> Vec<Move> {
        let mut moves = core::mem::take(&mut self.next);
        moves.extend(self.moves.drain(..step.moves as usize));
        moves
    }

    /// Gives the list back, for its memory.
    pub fn give_back(&mut self, mut moves: Vec<Move>) {
        moves.clear();
        self.next = moves;
    }
}

/// A namespace whose pages are moved.
pub(crate) trait Moving: Sized {
    fn mover(&mut self) -> &mut Mover;

    /// Starts on a victim, or queues erases of what holds nothing, to gain space in native cells or in
    /// pSLC. False if nothing can be gained.
    fn begin(&mut self, core: &mut Core, native: bool, at: Instant) -> bool;

    /// Queues the victim's next step. False if there is none, or none before a step has ended.
    fn plan(&mut self, core: &mut Core, at: Instant) -> bool;

    /// A step has ended, or will at `end`.
    fn retire(&mut self, core: &mut Core, step: Step, end: Instant);

    /// Retires the steps that have ended and queues others; the time is `now`.
    #[inline]
    fn pump(&mut self, core: &mut Core, now: Instant) {
        if !self.mover().is_idle() {
            self.go_on(core, now);
        }
    }

    /// The same with something under way.
    #[inline(never)]
    fn go_on(&mut self, core: &mut Core, now: Instant) {
        while let Some(&step) = self.mover().steps.front() {
            let Some(end) = core.media.ended(step.work) else {
                break;
            };
            self.finish(core, step, end);
        }
        if self.mover().is_idle() {
            self.fold_next(core, now);
        }
        while self.mover().under_way < self.mover().depth && self.plan(core, now) {}
    }

    /// The host has asked for nothing for a while: what is in pSLC now goes native, superblock by superblock, until it
    /// asks again.
    fn begin_folding(&mut self, core: &mut Core, at: Instant) {
        self.mover().fold_to = self.slc().pool.opened_so_far();
        if self.mover().is_idle() {
            self.fold_next(core, at);
            self.pump(core, at);
        }
    }

    /// Starts on the next superblock that is worth folding. Each is looked at once.
    fn fold_next(&mut self, core: &mut Core, at: Instant) {
        let (mut after, to) = (self.mover().folded, self.mover().fold_to);
        if to == 0 || self.erase_invalid(core, false, at) {
            return;
        }
        while let Some(sb) = self.slc().pool.closed_after(after, to) {
            if self.is_worth_folding(sb) {
                if !self.can_fold(sb) {
                    break;
                }
                self.mover().folded = self.slc().pool.get(sb).opened;
                self.start_folding(sb, at);
                return;
            }
            after = self.slc().pool.get(sb).opened;
            self.mover().folded = after;
        }
        match self.last_to_fold() {
            Some(sb) => self.start_folding(sb, at),
            None => self.mover().fold_to = 0,
        }
    }

    /// When all others have been folded: another superblock of pSLC, which is closed now. There are few.
    fn last_to_fold(&mut self) -> Option<u32> {
        None
    }

    /// Begins work, unless some is under way.
    fn begin_if_idle(&mut self, core: &mut Core, native: bool, at: Instant) {
        if self.mover().is_idle() {
            self.begin(core, native, at);
            self.pump(core, at);
        }
    }

    /// The host needs the next step's result: it is booked like the host's operations. False if there
    /// is no step to take.
    fn force(&mut self, core: &mut Core, at: Instant) -> bool {
        if !self.mover().has_steps() && !self.plan(core, at) {
            return false;
        }
        let Some(&step) = self.mover().steps.front() else {
            return false;
        };
        let end = core.media.force(step.work);
        self.finish(core, step, end);
        true
    }

    /// Forces all steps under way.
    fn drain(&mut self, core: &mut Core, at: Instant) {
        while self.mover().has_steps() && self.force(core, at) {}
    }

    /// The host is about to write `pages` to an area where `spare` are free beyond what is needed: the
    /// victim's emptying keeps pace.
    fn keep_pace(&mut self, core: &mut Core, native: bool, pages: u64, spare: u64, at: Instant) {
        let victim = self.mover().victim;
        let pool = self.pool(native);
        if victim == NONE || spare >= u64::from(pool.pages) {
            return;
        }
        let left = u64::from(pool.get(victim).valid);
        let share = pages.saturating_mul(left).div_ceil(spare.max(1)).min(left);
        let target = self.mover().moved + share;
        while self.mover().victim == victim && self.mover().moved < target && self.force(core, at) {
        }
    }

    /// Ends the first step.
    fn finish(&mut self, core: &mut Core, step: Step, end: Instant) {
        let mover = self.mover();
        mover.steps.pop_front();
        mover.under_way -= step.pages;
        mover.moved += u64::from(step.pages);
        core.media.release(step.work);
        self.retire(core, step, end);
    }

    /// Queues a step: the reads that have been asked for ([`Core::want`]), then the loads listed. It
    /// moves `pages` of the victim.
    fn queue_step(&mut self, core: &mut Core, kind: Kind, pages: u32, at: Instant) {
        let reads = core.defer_wanted(at);
        let work = core.media.begin();
        let mover = self.mover();
        for load in mover.loads.drain(..) {
            core.defer_load(at.max(load.ready), load.page, load.n, work, reads);
        }
        core.media.release(reads);
        core.media.seal(work);
        mover.under_way += pages;
        let moves = mover.next.len() as u32;
        mover.moves.extend(mover.next.drain(..));
        mover.steps.push_back(Step {
            kind,
            work,
            moves,
            pages,
        });
    }

    /// Queues a rewrite of the victim's next pages that are wanted: as many as fit into a flash page at
    /// the internal write pointer. False if there is none before the victim's end.
    fn plan_rewrite(&mut self, core: &mut Core, native: bool, at: Instant) -> bool {
        let slc = self.slc();
        let most = slc.pool.rest_of_page(slc.internal.next_or_zero()) as usize;
        while self.mover().next.len() < most {
            let Some((lpn, from)) = self.next_wanted(native) else {
                break;
            };
            self.mover().cursor += 1;
            core.want(self.pool(native).place(from));
            let from = if native { from | NATIVE } else { from };
            let to = NONE;
            self.mover().next.push(Move { lpn, from, to });
        }
        let n = self.mover().next.len() as u32;
        if n == 0 {
            return false;
        }
        self.reserve_next(false, Pointer::Internal, n, 0);
        self.counters().pages_read += u64::from(n);
        self.queue_step(core, Kind::Rewrite, n, at);
        true
    }

    /// Reserves a flash page's worth of `n` pages for the moves being planned, from move `first` on, and
    /// lists its load.
    fn reserve_next(&mut self, native: bool, pointer: Pointer, n: u32, first: usize) {
        let area = self.area(native);
        if !area.pointer(pointer).is_open() {
            area.open(pointer);
        }
        let (to, n) = area.reserve(pointer, n);
        let pool = &area.pool;
        let load = Load {
            page: pool.place(to),
            n,
            ready: pool.get(to / pool.pages).ready,
        };
        let mover = self.mover();
        mover.loads.push(load);
        for (m, loc) in mover.next.iter_mut().skip(first).zip(to..to + n) {
            m.to = loc;
        }
    }

    /// The victim's next page that is to be rewritten, from the cursor on.
    fn next_wanted(&mut self, native: bool) -> Option<(u32, Loc)> {
        let victim = self.mover().victim;
        let pool = self.pool(native);
        let (first, pages) = (pool.start(victim), pool.pages);
        while self.mover().cursor < pages {
            let loc = first + self.mover().cursor;
            match self.wants(native, loc) {
                Wanted::Rewrite(lpn) => return Some((lpn, loc)),
                Wanted::Unit => return None,
                Wanted::No => self.mover().cursor += 1,
            }
        }
        None
    }

    /// Queues the erase of a superblock that holds nothing, not before what replaced its pages is
    /// durable.
    fn queue_erase(&mut self, core: &mut Core, native: bool, sb: u32, at: Instant) {
        let pool = self.pool(native);
        pool.begin_move(sb);
        let block = pool.block(sb);
        let until = pool.get(sb).until;
        let (first, count) = pool.planes(sb);
        let from = at.max(core.durable_by(until));
        let work = core.media.begin();
        for plane in (first.0..first.0 + count).map(PlaneId) {
            core.media
                .defer(from, plane, block, nand::Op::Erase, work, None);
        }
        core.media.seal(work);
        self.mover().steps.push_back(Step {
            kind: Kind::Erase { native, sb },
            work,
            moves: 0,
            pages: 0,
        });
    }

    /// Queues erases of all superblocks of a pool that hold nothing; says whether there were any.
    fn erase_invalid(&mut self, core: &mut Core, native: bool, at: Instant) -> bool {
        let mut any = false;
        while let Some(sb) = self.pool(native).fully_invalid() {
            self.queue_erase(core, native, sb, at);
            any = true;
        }
        any
    }

    /// Makes space, in native cells or in pSLC, until there is as much `room` as needed.
    ///
    /// # Errors
    /// There is nothing left to gain.
    fn make_room(
        &mut self,
        core: &mut Core,
        native: bool,
        at: Instant,
        need: u64,
        room: impl Fn(&mut Self) -> u64,
    ) -> Result<(), Error> {
        let mut best = 0;
        let mut fruitless = 0;
        let mut packs = false;
        while room(self) < need {
            if self.mover().is_idle() {
                let now = room(self);
                fruitless = if now > best { 0 } else { fruitless + 1 };
                best = best.max(now);
                if fruitless > self.superblocks() {
                    // Each victim's pages only went round. That of a write pointer may be worth more, once.
                    if core::mem::replace(&mut packs, true) || !self.close_for_packing() {
                        return Err(Error::CapacityExceeded);
                    }
                    fruitless = 0;
                }
                if !self.begin(core, native, at) {
                    if !self.close_for_packing() {
                        return Err(Error::CapacityExceeded);
                    }
                    continue;
                }
            }
            if !self.force(core, at) {
                return Err(Error::CapacityExceeded);
            }
        }
        Ok(())
    }

    /// Gives up a pSLC write pointer's superblock to pack what it holds ([`Area::close_for_packing`]).
    fn close_for_packing(&mut self) -> bool {
        [Pointer::Internal, Pointer::Host]
            .into_iter()
            .any(|pointer| {
                let sb = self.slc().pointer(pointer).sb;
                let left = self.left_by_emptying(sb);
                self.slc().close_for_packing(pointer, left)
            })
    }

    /// Pages of a pSLC superblock that emptying it moves within pSLC, at most.
    fn left_by_emptying(&mut self, sb: u32) -> u64 {
        self.slc().pool.get(sb).valid.into()
    }

    /// Opens a pSLC superblock for host data, which there is room for.
    fn open_for_host(&mut self, core: &mut Core, at: Instant) -> u32 {
        let free = |ns: &mut Self| u64::from(ns.slc().free_for_host());
        self.make_reserved(core, at, free);
        self.slc().pool.open().unwrap_or(NONE)
    }

    /// Makes sure that a pSLC superblock, which there is room for, can be opened for host data.
    fn make_reserved(&mut self, core: &mut Core, at: Instant, free: impl Fn(&mut Self) -> u64) {
        let made = self.make_room(core, false, at, 1, free);
        assert_eq!(made, Ok(()), "room is reserved before a write is admitted");
    }

    fn slc(&mut self) -> &mut Area {
        self.area(false)
    }

    /// Whether a closed pSLC superblock has pages that can go native, now or with what follows them.
    fn is_worth_folding(&mut self, sb: u32) -> bool;

    /// Whether what it holds finds space where it goes.
    fn can_fold(&mut self, sb: u32) -> bool;

    /// Starts to empty it into native cells.
    fn start_folding(&mut self, sb: u32, at: Instant);

    /// Superblocks that can be emptied.
    fn superblocks(&mut self) -> u32;

    fn area(&mut self, native: bool) -> &mut Area;

    /// The superblocks: native ones, or pSLC.
    fn pool(&mut self, native: bool) -> &mut Pool;

    fn counters(&mut self) -> &mut Counters;

    /// What is to be done with the victim's page at `loc` now.
    fn wants(&mut self, native: bool, loc: Loc) -> Wanted;
}

/// What is to be done with a page of the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing: there is none, or it is on its way.
    No,
    /// It is to be rewritten in pSLC.
    Rewrite(u32),
    /// A unit can go native first.
    Unit,
}

/// Pages to load into a flash page, which can be programmed from `ready` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub page: FlashPage,
    pub n: u32,
    pub ready: Instant,
}
