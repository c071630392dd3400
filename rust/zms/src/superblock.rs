// SPDX-License-Identifier: GPL-2.0-or-later
//! Superblocks: the same block on every plane of one die group, and pools of them.
//!
//! ```text
//!              plane 0   plane 1   plane 2   plane 3        (of the group: planes, channels, dies)
//!   row 0      0..L      L..2L     2L..3L    3L..4L         L = logical pages in a flash page
//!   row 1      4L..5L    ...
//!
//!   free --open--> open --close--> closed --begin_move--> moving --release--> free
//! ```
//! A pool's superblocks all have one cell mode. Superblock n lies on die group n mod groups. A
//! location ([`Loc`]) is superblock x pages + offset, so that the place of a page is computed.
//!
//! A superblock remembers two instants: until when it is being erased, so that nothing is
//! programmed before; and until when it must not be erased, because what replaces its pages is
//! still being programmed. The programs that run are listed: what is in them is read from memory.
//!
//! Closed superblocks are in lists, so that finding a victim does not depend on their number.
//!
//! Two pools can share superblocks (`lend.rs`): those of one are the last of the other, too, and [`SbState::Away`] where
//! they are not in use.
//!
//! Invariants: a superblock is in one state; free ones have no valid pages and are in the free list
//! once; the lists hold just the closed ones, each in the list of its valid pages.

mod past;

pub(crate) use past::Past;

use ftl::{Event, Observer, Recent};
use nand::{BlockId, Cell, Geometry, Moved, PlaneId, Purpose};
use past::{Life, FEW_PAST};
use state::{ensure, numbers, state, state_enum, Decoder, Encoder, Fixed, State};
use std::collections::VecDeque;
use units::Instant;

/// Page `offset` of superblock `sb` of a pool: `sb x pages + offset`.
pub(crate) type Loc = u32;

/// In a location of a namespace that has both: in the native pool.
pub(crate) const NATIVE: u32 = 1 << 30;

/// No page, superblock, buffer or zone.
pub(crate) const NONE: u32 = u32::MAX;

/// The flash page that a logical page lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlashPage {
    pub plane: PlaneId,
    pub block: BlockId,
    pub row: u32,
    pub mode: Cell,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SbState {
    #[default]
    Free,
    Open,
    Closed,
    /// Being emptied or erased.
    Moving,
    /// In the other of two pools that share it.
    Away,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Superblock {
    pub state: SbState,
    /// Pages of it that are mapped, or the durable copy of one that is not programmed yet.
    pub valid: u32,
    /// When it was opened, in superblocks opened so far: age for reclaim.
    pub opened: u64,
    /// Times erased.
    pub erases: u32,
    /// When its last erase ends.
    pub ready: Instant,
    /// When its own programs, and those of what replaces its pages, have ended: it is not erased before.
    pub until: Instant,
    /// That last erase was another pool's: it is counted there.
    foreign: bool,
    prev: u32,
    next: u32,
}

const ERASED: Superblock = Superblock {
    state: SbState::Free,
    valid: 0,
    opened: 0,
    erases: 0,
    ready: Instant::ZERO,
    until: Instant::ZERO,
    foreign: false,
    prev: NONE,
    next: NONE,
};

/// How a pool's next victim is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victims {
    /// The one opened longest ago.
    Oldest,
    /// The one with the fewest valid pages, at least one being invalid; of several the oldest.
    Fewest,
}

/// Pages being programmed: `pages` neighbours in each of `rows` rows, which are `row` pages apart.
#[derive(Clone, Copy, Debug, Default)]
struct Program {
    first: Loc,
    pages: u32,
    rows: u32,
    row: u32,
    end: Instant,
}

impl Program {
    fn holds(&self, loc: Loc) -> bool {
        let offset = loc.wrapping_sub(self.first);
        offset / self.row < self.rows && offset % self.row < self.pages
    }
}

/// Superblocks of one cell mode.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub mode: Cell,
    /// Logical pages of a superblock.
    pub pages: u32,
    lpp: u32,
    width: u32,
    groups: u32,
    first_block: u32,
    /// Superblocks of its own; those behind are lent to it, or away.
    own: u32,
    /// Whether another pool has some of its superblocks at times.
    lends: bool,
    sbs: Vec<Superblock>,
    free: VecDeque<u32>,
    /// Those that are not its own.
    free_lent: VecDeque<u32>,
    /// Of both, counted when they change.
    free_count: u32,
    opened: u64,
    pub erases: u64,
    /// Those of them of superblocks that are not its own.
    pub lent_erases: u64,
    victims: Victims,
    /// First and last of each list: by valid pages; or (oldest) none, some, all valid, each by age, and the same of
    /// superblocks that are lent to it.
    lists: Vec<(u32, u32)>,
    /// A lower bound of the first list but 0 that is not empty.
    least: usize,
    /// Programs that run, and some that have ended.
    programs: Recent<Program, FEW_PROGRAMS>,
    /// Copies replaced by what is not durable yet, and some by what is; the newest last.
    past: Recent<Past, FEW_PAST>,
    /// Of superblocks whose erase was still to come when the next one was booked.
    lives: Vec<Life>,
    /// When the last of the programs ends.
    quiet: Instant,
    /// Nobody asks about earlier instants.
    now: Instant,
}

state_enum!(SbState {
    Free = 0,
    Open = 1,
    Closed = 2,
    Moving = 3,
    Away = 4,
});
state!(Superblock { state, valid, opened, erases, ready, until, foreign; prev, next });
state!(Program { first, pages, rows, end; row });

/// Where victims are the oldest: the first list of superblocks that are lent, and lists of each kind.
const LENT: usize = 3;

/// Programs that are kept whether they have ended or not.
const FEW_PROGRAMS: usize = 32;

/// Superblocks, the free ones and the closed ones in the order of their lists, programs.
impl State for Pool {
    fn encode(&self, out: &mut Encoder) {
        let Self {
            mode: _,
            pages: _,
            lpp: _,
            width: _,
            groups: _,
            first_block: _,
            own: _,
            lends: _,
            sbs,
            free,
            free_lent,
            free_count: _,
            opened,
            erases,
            lent_erases,
            victims: _,
            lists: _,
            least: _,
            programs,
            past,
            lives,
            quiet,
            now,
        } = self;
        sbs.encode_fixed(out);
        numbers::encode(free, out);
        numbers::encode(free_lent, out);
        numbers::encode(&self.closed(), out);
        opened.encode(out);
        erases.encode(out);
        lent_erases.encode(out);
        programs.encode(out);
        past.encode(out);
        lives.encode(out);
        quiet.encode(out);
        now.encode(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        let mut closed = Vec::new();
        self.sbs.decode_fixed(from)?;
        numbers::decode(&mut self.free, from)?;
        numbers::decode(&mut self.free_lent, from)?;
        numbers::decode(&mut closed, from)?;
        self.opened.decode(from)?;
        self.erases.decode(from)?;
        self.lent_erases.decode(from)?;
        self.programs.decode(from)?;
        self.past.decode(from)?;
        self.lives.decode(from)?;
        self.quiet.decode(from)?;
        self.now.decode(from)?;
        self.restore(&closed)
    }
}

impl Pool {
    /// Superblocks looked at to find the oldest of those with the fewest valid pages.
    const CANDIDATES: usize = 1 << 12;

    /// A pool of `count` erased superblocks, numbered from `first_block` drive-wide.
    pub fn new(
        geometry: &Geometry,
        mode: Cell,
        count: u32,
        first_block: u32,
        victims: Victims,
    ) -> Self {
        let groups = geometry.groups().max(1);
        let pages = u32::try_from(geometry.superblock_lpns(mode)).unwrap_or(u32::MAX);
        let lists = match victims {
            Victims::Oldest => 2 * LENT,
            Victims::Fewest => pages as usize + 1,
        };
        Self {
            mode,
            pages,
            lpp: geometry.lpns_per_page(),
            width: geometry.planes_per_group(),
            groups,
            first_block,
            own: count,
            lends: false,
            sbs: vec![ERASED; count as usize],
            free: (0..count).collect(),
            free_lent: VecDeque::new(),
            free_count: count,
            opened: 0,
            erases: 0,
            lent_erases: 0,
            victims,
            lists: vec![(NONE, NONE); lists],
            least: lists,
            programs: Recent::with_capacity(1 << 10),
            past: Recent::with_capacity(1 << 10),
            lives: Vec::new(),
            quiet: Instant::ZERO,
            now: Instant::ZERO,
        }
    }

    /// It and `native`, whose superblocks have the blocks behind its own, share those: `native` has them.
    pub fn sharing(mut self, native: &mut Self) -> Self {
        let away = Superblock {
            state: SbState::Away,
            ..ERASED
        };
        self.sbs
            .extend(core::iter::repeat_n(away, native.sbs.len()));
        self.free_lent.reserve(native.sbs.len());
        (self.lends, native.lends) = (true, true);
        self
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.sbs.len()).unwrap_or(u32::MAX)
    }

    /// Superblocks that are its own.
    pub const fn own(&self) -> u32 {
        self.own
    }

    /// Whether a superblock is not its own.
    pub const fn is_lent(&self, sb: u32) -> bool {
        sb >= self.own && sb != NONE
    }

    /// The present, as far as the pool was told.
    pub const fn now(&self) -> Instant {
        self.now
    }

    pub fn get(&self, sb: u32) -> Superblock {
        self.sbs.get(sb as usize).copied().unwrap_or(ERASED)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Superblock)> {
        (0u32..).zip(&self.sbs)
    }

    /// Free superblocks, those still being erased for the host included.
    pub const fn free_count(&self) -> u32 {
        self.free_count
    }

    fn count_free(&mut self) {
        let free = self.free.len() + self.free_lent.len();
        self.free_count = u32::try_from(free).unwrap_or(u32::MAX);
    }

    /// Those of them that are its own.
    pub fn own_free(&self) -> u32 {
        u32::try_from(self.free.len()).unwrap_or(u32::MAX)
    }

    /// Opens the superblock that has been free longest: wear spreads, and so do die groups. Its own go first.
    pub fn open(&mut self) -> Option<u32> {
        let own = self.free.pop_front();
        let sb = own.or_else(|| self.free_lent.pop_front())?;
        self.count_free();
        self.opened += 1;
        let opened = self.opened;
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.state = SbState::Open;
            s.opened = opened;
        }
        Some(sb)
    }

    /// Gives the superblock that has been free longest to the other pool: its number, and when its last erase ends.
    pub fn give(&mut self) -> Option<(u32, Instant)> {
        let sb = self.free.pop_front()?;
        self.count_free();
        let s = self.sbs.get_mut(sb as usize)?;
        s.state = SbState::Away;
        Some((sb, s.ready))
    }

    /// The same of superblocks that are not its own.
    pub fn give_lent(&mut self) -> Option<(u32, Instant)> {
        let sb = self.free_lent.pop_front()?;
        self.count_free();
        let s = self.sbs.get_mut(sb as usize)?;
        s.state = SbState::Away;
        Some((sb, s.ready))
    }

    /// Opens a superblock that the other pool gave, whose last erase ends at `ready`.
    pub fn open_lent(&mut self, sb: u32, ready: Instant) {
        self.receive(sb, ready);
        self.opened += 1;
        let opened = self.opened;
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.state = SbState::Open;
            s.opened = opened;
        }
    }

    /// A superblock is back that the other pool had; its erase there ends at `ready`.
    pub fn take_back(&mut self, sb: u32, ready: Instant) {
        self.receive(sb, ready);
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.state = SbState::Free;
            self.free.push_back(sb);
            self.count_free();
        }
    }

    fn receive(&mut self, sb: u32, ready: Instant) {
        // An erase of this pool's own is not forgotten before it has ended.
        self.note_life(sb, 0);
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.ready = ready;
            s.until = Instant::ZERO;
            s.foreign = true;
        }
    }

    /// No write pointer is in it any more.
    pub fn close(&mut self, sb: u32) {
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.state = SbState::Closed;
            self.link(sb);
        }
    }

    /// A closed superblock is to be emptied and erased.
    pub fn begin_move(&mut self, sb: u32) {
        if self.get(sb).state == SbState::Closed {
            self.unlink(sb);
        }
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.state = SbState::Moving;
        }
    }

    /// Puts a superblock, which is not closed, back to the free ones; its erase ends at `ready`.
    pub fn release(&mut self, sb: u32, ready: Instant) {
        self.note_life(sb, self.get(sb).opened);
        let is_own = !self.is_lent(sb);
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.state = SbState::Free;
            s.valid = 0;
            s.erases = s.erases.saturating_add(1);
            s.ready = ready;
            s.until = Instant::ZERO;
            s.foreign = false;
            self.erases += 1;
            if is_own {
                self.free.push_back(sb);
            } else {
                self.free_lent.push_back(sb);
                self.lent_erases += 1;
            }
            self.count_free();
        }
    }

    /// The last erase of a superblock, which came before its `opened`th opening (0 for none), is not its last any more.
    fn note_life(&mut self, sb: u32, opened: u64) {
        let before = self.get(sb);
        if before.ready > self.now {
            let now = self.now;
            self.lives.retain(|life| life.ready > now);
            self.lives.push(Life {
                sb,
                opened,
                ready: before.ready,
                foreign: before.foreign,
            });
        }
    }

    pub fn add_valid(&mut self, loc: Loc, n: u32) {
        self.change_valid(loc / self.pages, |valid| valid + n);
    }

    /// Takes a valid page away, whose replacement is durable from `until` on.
    pub fn drop_valid(&mut self, loc: Loc, until: Instant) {
        let sb = loc / self.pages;
        self.change_valid(sb, |valid| valid.saturating_sub(1));
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.until = s.until.max(until);
        }
    }

    /// [`Superblock::opened`] of the superblock that a location is in.
    pub fn opened(&self, loc: Loc) -> u64 {
        self.get(loc / self.pages).opened
    }

    fn change_valid(&mut self, sb: u32, change: impl FnOnce(u32) -> u32) {
        let Some(&Superblock { state, valid, .. }) = self.sbs.get(sb as usize) else {
            return;
        };
        let changed = change(valid);
        let moves =
            state == SbState::Closed && self.list_of(sb, valid) != self.list_of(sb, changed);
        if moves {
            self.unlink(sb);
        }
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.valid = changed;
        }
        if moves {
            self.link(sb);
        }
    }

    /// A closed superblock without valid pages.
    pub fn fully_invalid(&self) -> Option<u32> {
        let own = self.lists.first().map(|l| l.0).filter(|&sb| sb != NONE);
        own.or_else(|| self.head(LENT).filter(|_| self.victims == Victims::Oldest))
    }

    /// The first of a list.
    fn head(&self, list: usize) -> Option<u32> {
        self.lists.get(list).map(|l| l.0).filter(|&sb| sb != NONE)
    }

    /// Of the superblocks with valid pages that are its own, or those that are not, the one opened longest ago, where
    /// victims are the oldest.
    pub fn oldest(&self, lent: bool, if_full: bool) -> Option<u32> {
        let first = if lent { LENT } else { 0 };
        let full = self.head(first + 2).filter(|_| if_full);
        let either = [self.head(first + 1), full].into_iter().flatten();
        either.min_by_key(|&sb| self.get(sb).opened)
    }

    /// The superblock to empty next, which has valid pages. One that is all valid pages is only taken
    /// `if_full`: there is nothing to gain but by moving pages to native cells.
    pub fn victim(&mut self, if_full: bool) -> Option<u32> {
        match self.victims {
            Victims::Oldest => {
                let either = [false, true].map(|lent| self.oldest(lent, if_full));
                either
                    .into_iter()
                    .flatten()
                    .min_by_key(|&sb| self.get(sb).opened)
            }
            Victims::Fewest => {
                while self.least < self.pages as usize {
                    match self.lists.get(self.least) {
                        Some(&(first, _)) if first != NONE => return Some(self.oldest_from(first)),
                        _ => self.least += 1,
                    }
                }
                None
            }
        }
    }

    /// Of the closed superblocks with valid pages, by age, the first that was opened after `after` others, and after `to`
    /// at most. (Where victims are the oldest.)
    pub fn closed_after(&self, after: u64, to: u64) -> Option<u32> {
        let next = |sb: &u32| Some(self.get(*sb).next).filter(|next| *next != NONE);
        let lists = (0..self.lists.len()).filter(|list| list % LENT > 0);
        let firsts = lists
            .filter_map(|list| self.head(list))
            .filter_map(|first| {
                let mut list = core::iter::successors(Some(first), next);
                list.find(|sb| self.get(*sb).opened > after)
            });
        let first = firsts.min_by_key(|sb| self.get(*sb).opened)?;
        Some(first).filter(|sb| self.get(*sb).opened <= to)
    }

    /// Superblocks opened so far.
    pub const fn opened_so_far(&self) -> u64 {
        self.opened
    }

    /// The closed superblock with the fewest valid pages, but for those that are all valid. It looks at all.
    #[inline(never)]
    pub fn emptiest(&self) -> Option<u32> {
        let some = |s: &Superblock| s.state == SbState::Closed && s.valid < self.pages;
        let closed = self.iter().filter(|(_, s)| some(s));
        closed.min_by_key(|(_, s)| s.valid).map(|(sb, _)| sb)
    }

    /// The oldest of a list, of the first so many.
    fn oldest_from(&self, first: u32) -> u32 {
        let next = |sb: &u32| Some(self.get(*sb).next).filter(|&n| n != NONE);
        core::iter::successors(Some(first), next)
            .take(Self::CANDIDATES)
            .min_by_key(|&sb| self.get(sb).opened)
            .unwrap_or(first)
    }

    fn list_of(&self, sb: u32, valid: u32) -> usize {
        match self.victims {
            Victims::Oldest => {
                let first = if self.is_lent(sb) { LENT } else { 0 };
                first + usize::from(valid > 0) + usize::from(valid >= self.pages)
            }
            Victims::Fewest => valid as usize,
        }
    }

    /// Closed superblocks, list by list.
    fn closed(&self) -> Vec<u32> {
        let mut closed = Vec::new();
        for &(first, _) in &self.lists {
            let next = |sb: &u32| Some(self.get(*sb).next).filter(|n| *n != NONE);
            closed.extend(core::iter::successors(
                Some(first).filter(|f| *f != NONE),
                next,
            ));
        }
        closed
    }

    /// Links what was decoded.
    fn restore(&mut self, closed: &[u32]) -> Result<(), state::Error> {
        ensure!(
            self.sbs.iter().all(|s| s.valid <= self.pages),
            "more valid pages than {}",
            self.pages
        );
        let is_placed = |s: &Superblock| s.state != SbState::Away || self.lends;
        ensure!(self.sbs.iter().all(is_placed), "a superblock is of no pool");
        ensure!(self.lent_erases <= self.erases);
        let is_right = |list: &VecDeque<u32>, lent| list.iter().all(|sb| self.is_lent(*sb) == lent);
        let are_right = is_right(&self.free, false) && is_right(&self.free_lent, true);
        ensure!(are_right, "a free superblock is in the other list");
        self.check_list(self.free.iter().chain(&self.free_lent), SbState::Free)?;
        self.count_free();
        self.check_list(closed.iter(), SbState::Closed)?;
        for &sb in closed {
            let Superblock { valid, opened, .. } = self.get(sb);
            let last = self
                .lists
                .get(self.list_of(sb, valid))
                .map_or(NONE, |l| l.1);
            ensure!(
                self.victims == Victims::Fewest || last == NONE || self.get(last).opened <= opened,
                "superblock {sb} is listed before older ones"
            );
            self.link(sb);
        }
        let locations = u64::from(self.count()) * u64::from(self.pages);
        let (rows, row) = (self.mode.bits(), self.row());
        let is_sound = |p: &Program| {
            let before = u64::from(p.rows.saturating_sub(1)) * u64::from(row);
            let end = u64::from(p.first) + before + u64::from(p.pages);
            (p.rows == 1 || p.rows == rows && p.pages <= row) && end <= locations
        };
        ensure!(
            self.programs.iter().all(is_sound),
            "a program of no superblock"
        );
        let is_there = |loc: u32| u64::from(loc) < locations;
        ensure!(self.past.iter().all(|p| is_there(p.loc)));
        ensure!(self.lives.iter().all(|l| l.sb < self.count()));
        for program in self.programs.iter_mut() {
            program.row = if program.rows == 1 { u32::MAX } else { row };
        }
        self.check_invariants()
    }

    /// Is an error unless a list has each superblock of a state once.
    fn check_list<'a>(
        &self,
        list: impl Iterator<Item = &'a u32>,
        state: SbState,
    ) -> Result<(), state::Error> {
        let mut missing: Vec<_> = self.sbs.iter().map(|s| s.state == state).collect();
        for sb in list {
            ensure!(
                missing.get_mut(*sb as usize).is_some_and(core::mem::take),
                "superblock {sb} is not {state:?}, or listed twice"
            );
        }
        ensure!(
            !missing.contains(&true),
            "not all that are {state:?} are listed"
        );
        Ok(())
    }

    /// Superblocks in a state.
    pub fn count_of(&self, state: SbState) -> usize {
        self.sbs.iter().filter(|s| s.state == state).count()
    }

    /// Puts a closed superblock into its list: by age, or at the end of those with as many pages.
    fn link(&mut self, sb: u32) {
        let Superblock { valid, opened, .. } = self.get(sb);
        let list = self.list_of(sb, valid);
        let Some(&(_, last)) = self.lists.get(list) else {
            return;
        };
        let mut prev = last;
        if self.victims == Victims::Oldest {
            while prev != NONE && self.get(prev).opened > opened {
                prev = self.get(prev).prev;
            }
        }
        let next = match prev {
            NONE => self.lists.get(list).map_or(NONE, |l| l.0),
            prev => self.get(prev).next,
        };
        self.join(list, prev, sb);
        self.join(list, sb, next);
        if list > 0 {
            self.least = self.least.min(list);
        }
    }

    fn unlink(&mut self, sb: u32) {
        let Superblock {
            valid, prev, next, ..
        } = self.get(sb);
        self.join(self.list_of(sb, valid), prev, next);
    }

    /// Makes two superblocks neighbours in a list; [`NONE`] is what is before its first and after its
    /// last.
    fn join(&mut self, list: usize, prev: u32, next: u32) {
        let Some(ends) = self.lists.get_mut(list) else {
            return;
        };
        match self.sbs.get_mut(prev as usize) {
            Some(s) => s.next = next,
            None => ends.0 = next,
        }
        match self.sbs.get_mut(next as usize) {
            Some(s) => s.prev = prev,
            None => ends.1 = prev,
        }
    }

    /// A program of `n` pages from `first` on, of one flash page, has been booked and ends at `end`.
    pub fn programs_until(&mut self, first: Loc, n: u32, end: Instant) {
        self.note_program(first, n, 1, end);
    }

    /// The same of the wordline that the flash page at `last` completes. The observer is told of copies that are
    /// `mapped`.
    pub fn wordline_until(
        &mut self,
        observer: &mut Observer,
        last: Loc,
        end: Instant,
        mapped: impl Fn(Loc) -> bool,
    ) {
        let (rows, lpp) = (self.mode.bits(), self.lpp);
        self.note_program(last - (rows - 1) * self.row(), lpp, rows, end);
        if observer.is_on() {
            let locs = self.wordline(last).flat_map(|first| first..first + lpp);
            for loc in locs.filter(|loc| mapped(*loc)) {
                observer.note(|| Event::Durable {
                    place: self.page_place(loc),
                    at: end,
                });
            }
        }
    }

    /// A program or erase ends later than was said. False if it is of none of these superblocks.
    pub fn moved(&mut self, observer: &mut Observer, moved: &Moved) -> bool {
        let Purpose { place, pages, .. } = moved.purpose;
        let sb = moved.block.0.wrapping_sub(self.first_block);
        let Some(s) = self.sbs.get_mut(sb as usize) else {
            return false;
        };
        // An erase, the last of its superblock: power may go before it has ended.
        if pages == 0 {
            s.ready = s.ready.max(moved.end);
            return true;
        }
        // What was programmed before an erase was booked does not move any more.
        if s.state == SbState::Away {
            return false;
        }
        let rows = self.mode.bits();
        let (last, n) = match rows {
            1 => (place, pages),
            _ => (place - place % self.lpp, self.lpp),
        };
        let first = last - (rows - 1) * self.row();
        self.note_program(first, n, rows, moved.end);
        self.delay_past(moved.end);
        if observer.is_on() {
            for first in self.wordline(last) {
                let locs = u64::from(first)..u64::from(first + n);
                observer.each(locs, |loc| Event::Delayed {
                    place: self.page_place(loc as u32),
                    at: moved.end,
                });
            }
        }
        true
    }

    /// Whether a block is of one of these superblocks.
    pub fn has(&self, block: BlockId) -> bool {
        (block.0.wrapping_sub(self.first_block) as usize) < self.sbs.len()
    }

    fn note_program(&mut self, first: Loc, pages: u32, rows: u32, end: Instant) {
        self.quiet = self.quiet.max(end);
        if let Some(s) = self.sbs.get_mut((first / self.pages) as usize) {
            s.until = s.until.max(end);
        }
        // Neighbours of one flush mostly end together; those of two superblocks have not the same fate.
        if let Some(last) = self.programs.last_mut() {
            let is_next = last.rows == rows && last.first + last.pages == first;
            if last.end == end && is_next && first % self.pages > 0 {
                last.pages += pages;
                return;
            }
        }
        let row = if rows == 1 { u32::MAX } else { self.row() };
        let program = Program {
            first,
            pages,
            rows,
            row,
            end,
        };
        let now = self.now;
        self.programs.push(program, |p| p.end > now);
    }

    /// Whether `loc` is being programmed at `at`.
    pub fn is_programming(&self, loc: Loc, at: Instant) -> bool {
        let mut programs = self.programs.iter();
        at < self.quiet && programs.any(|p| p.end > at && p.holds(loc))
    }

    /// Nobody asks about instants before `now`.
    pub fn prune(&mut self, now: Instant) {
        self.now = now;
    }

    /// First location of a superblock.
    pub fn start(&self, sb: u32) -> Loc {
        sb.saturating_mul(self.pages)
    }

    /// The flash page that holds `loc`.
    pub fn place(&self, loc: Loc) -> FlashPage {
        let sb = loc / self.pages;
        self.flash_page(sb, loc % self.pages / self.lpp)
    }

    /// The same, to the page, as observers are told.
    pub fn page_place(&self, loc: Loc) -> ftl::Place {
        let place = self.place(loc);
        ftl::Place {
            plane: place.plane,
            block: place.block,
            page: u64::from(place.row) * u64::from(self.lpp)
                + u64::from(loc % self.pages % self.lpp),
        }
    }

    /// Flash page number `index` of a superblock, in interleave order.
    pub fn flash_page(&self, sb: u32, index: u32) -> FlashPage {
        FlashPage {
            plane: PlaneId(sb % self.groups * self.width + index % self.width),
            block: BlockId(self.first_block + sb),
            row: index / self.width,
            mode: self.mode,
        }
    }

    /// Pages from `loc` to the end of its flash page.
    pub fn rest_of_page(&self, loc: Loc) -> u32 {
        // A superblock is whole flash pages.
        self.lpp - loc % self.lpp
    }

    pub fn lpp(&self) -> u32 {
        self.lpp
    }

    /// Logical pages of one wordline on every plane.
    pub fn stripe(&self) -> u32 {
        self.width * self.mode.bits() * self.lpp
    }

    /// Whether flash page `index` completes its wordline, which is then programmed.
    pub fn completes(&self, index: u32) -> bool {
        let bits = self.mode.bits();
        index / self.width % bits == bits - 1
    }

    /// The first locations of the flash pages of the wordline that the one at `last` completes.
    pub fn wordline(&self, last: Loc) -> impl Iterator<Item = Loc> {
        let (row, rows) = (self.row(), self.mode.bits());
        (0..rows).rev().map(move |n| last - n * row)
    }

    /// Pages of a row.
    fn row(&self) -> u32 {
        self.width * self.lpp
    }

    /// Whether flash page `index` of a superblock with `pages` pages in sits in a wordline that is not complete.
    pub fn is_loaded(&self, index: u32, pages: u32) -> bool {
        let (width, bits) = (self.width, self.mode.bits());
        let written = pages / self.lpp;
        let last = index / (width * bits) * (width * bits) + (bits - 1) * width + index % width;
        index < written && last >= written
    }

    /// Of a superblock with `pages` pages in: its first flash page that can sit in an incomplete
    /// wordline, and how many flash pages are in.
    pub fn open_stripe(&self, pages: u32) -> (u32, u32) {
        let stripe = self.width * self.mode.bits();
        let written = pages / self.lpp;
        (written / stripe * stripe, written)
    }

    /// Of a superblock with `pages` pages in, how many sit in wordlines that are not complete.
    pub fn loaded_pages(&self, pages: u32) -> u32 {
        let (first, written) = self.open_stripe(pages);
        let bits = self.mode.bits();
        let last_row = (written - first).saturating_sub((bits - 1) * self.width);
        (written - first - last_row * bits) * self.lpp
    }

    /// The first plane of a superblock, and how many it has.
    pub fn planes(&self, sb: u32) -> (PlaneId, u32) {
        (PlaneId(sb % self.groups * self.width), self.width)
    }

    /// Flash pages from number `index` of a superblock to the end of its row.
    pub fn rest_of_row(&self, index: u32) -> u32 {
        self.width - index % self.width
    }

    pub fn block(&self, sb: u32) -> BlockId {
        BlockId(self.first_block + sb)
    }

    /// Is an error if states and lists disagree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        state::ensure_eq!(self.count_of(SbState::Free), self.free_count() as usize);
        for &sb in self.free.iter().chain(&self.free_lent) {
            state::ensure_eq!((self.get(sb).state, self.get(sb).valid), (SbState::Free, 0));
        }
        state::ensure!(self.sbs.iter().all(|s| s.valid <= self.pages));
        let mut listed = 0;
        for (list, &(first, last)) in self.lists.iter().enumerate() {
            let (mut at, mut prev) = (first, NONE);
            while at != NONE {
                let s = self.get(at);
                state::ensure_eq!(
                    (s.state, self.list_of(at, s.valid), s.prev),
                    (SbState::Closed, list, prev)
                );
                state::ensure!(list == 0 || list >= self.least);
                (prev, at) = (at, s.next);
                listed += 1;
            }
            state::ensure_eq!(last, prev);
        }
        state::ensure_eq!(listed, self.count_of(SbState::Closed));
        Ok(())
    }
}

/// A write pointer into a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appender {
    /// The open superblock, or [`NONE`].
    pub sb: u32,
    /// Next page of it.
    pub next: u32,
}

impl Default for Appender {
    fn default() -> Self {
        Self { sb: NONE, next: 0 }
    }
}

state!(Appender { sb, next });

impl Appender {
    pub fn on(sb: u32) -> Self {
        Self { sb, next: 0 }
    }

    /// Is an error unless it is in an open superblock of the pool, if in any.
    pub fn check(self, pool: &Pool) -> Result<(), state::Error> {
        let fits = match self.sb {
            NONE => self.next == 0,
            sb => pool.get(sb).state == SbState::Open && self.next < pool.pages,
        };
        ensure!(fits, "page {} of superblock {}", self.next, self.sb);
        Ok(())
    }

    pub fn is_open(self) -> bool {
        self.sb != NONE
    }

    /// Its next page; that of a fresh superblock if none is open.
    pub fn next_or_zero(self) -> u32 {
        if self.is_open() {
            self.next
        } else {
            0
        }
    }

    /// Pages left in its superblock.
    pub fn room(self, pool: &Pool) -> u32 {
        if self.is_open() {
            pool.pages - self.next
        } else {
            0
        }
    }

    /// Takes up to `most` pages, none past the end of the flash page, and closes a full
    /// superblock. `most` and the room are not zero.
    pub fn take(&mut self, pool: &mut Pool, most: u32) -> (Loc, u32) {
        let loc = pool.start(self.sb) + self.next;
        let n = pool.rest_of_page(loc).min(most);
        self.next += n;
        if self.next >= pool.pages {
            pool.close(self.sb);
            *self = Self::default();
        }
        (loc, n)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use units::Bytes;

    /// Two superblocks of four planes, the first of block 5.
    pub fn pool() -> Pool {
        let geometry = Geometry {
            channels: 2,
            luns_per_channel: 1,
            planes_per_lun: 2,
            dies_per_group: 2,
            flash_page: Bytes::kib(8),
            block: Bytes::kib(8 * 3 * 4),
            cell: Cell::Tlc,
        };
        Pool::new(&geometry, Cell::Tlc, 2, 5, Victims::Oldest)
    }

    #[test]
    fn a_wordline_is_being_programmed_on_its_plane_until_its_end() {
        let mut pool = pool();
        let at = Instant::from_nanos;
        // Rows have 4 planes x 2 pages; these are planes 1 and 2 of the second wordline of superblock 1.
        let wordline = pool.start(1) + 3 * 8;
        for plane in [1, 2] {
            let last = wordline + 2 * 8 + plane * 2;
            pool.wordline_until(&mut Observer::default(), last, at(100), |_| true);
        }
        for loc in 0..2 * pool.pages {
            let page = loc.wrapping_sub(wordline);
            let is_in = page < 3 * 8 && (2..6).contains(&(page % 8));
            assert_eq!(pool.is_programming(loc, at(99)), is_in, "{loc}");
            assert!(!pool.is_programming(loc, at(100)));
        }
    }
}
