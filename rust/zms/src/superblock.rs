// SPDX-License-Identifier: GPL-2.0-or-later
//! Superblocks: the same block on every plane of one die group, and pools of them.
//!
//! ```text
//!              plane 0   plane 1   plane 2   plane 3        (of the group: planes, channels, dies)
//!   row 0      0..L      L..2L     2L..3L    3L..4L         L = logical pages in a flash page
//!   row 1      4L..5L    ...
//! ```
//! A pool's superblocks all have one cell mode. Superblock n lies on die group n mod groups. A
//! location ([`Loc`]) is superblock x pages + offset, so that the place of a page is computed.
//!
//! Invariants: a superblock is free, open (somebody's write pointer is in it) or closed; free ones
//! have no valid pages and are in the free list once.

use nand::{BlockId, Cell, Geometry, PlaneId};
use std::collections::VecDeque;

/// Page `offset` of superblock `sb` of a pool: `sb x pages + offset`.
pub(crate) type Loc = u32;

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
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Superblock {
    pub state: SbState,
    /// Pages of it that are mapped.
    pub valid: u32,
    /// When it was opened, in superblocks opened so far: age for reclaim.
    pub opened: u64,
    /// Times erased.
    pub erases: u32,
}

impl Superblock {
    fn is_invalid(&self) -> bool {
        self.state == SbState::Closed && self.valid == 0
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
    sbs: Vec<Superblock>,
    free: VecDeque<u32>,
    opened: u64,
    pub erases: u64,
    /// Closed superblocks without valid pages.
    invalid: u32,
}

impl Pool {
    /// A pool of `count` erased superblocks, numbered from `first_block` drive-wide.
    pub fn new(geometry: &Geometry, mode: Cell, count: u32, first_block: u32) -> Self {
        let groups = geometry.groups().max(1);
        Self {
            mode,
            pages: u32::try_from(geometry.superblock_lpns(mode)).unwrap_or(u32::MAX),
            lpp: geometry.lpns_per_page(),
            width: geometry.planes_per_group(),
            groups,
            first_block,
            sbs: vec![Superblock::default(); count as usize],
            free: (0..count).collect(),
            opened: 0,
            erases: 0,
            invalid: 0,
        }
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.sbs.len()).unwrap_or(u32::MAX)
    }

    pub fn get(&self, sb: u32) -> Superblock {
        self.sbs.get(sb as usize).copied().unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Superblock)> {
        (0u32..).zip(&self.sbs)
    }

    /// Free superblocks.
    pub fn free_count(&self) -> u32 {
        u32::try_from(self.free.len()).unwrap_or(u32::MAX)
    }

    /// Opens the superblock that has been free longest: wear spreads, and so do die groups.
    pub fn open(&mut self) -> Option<u32> {
        let sb = self.free.pop_front()?;
        self.mark_open(sb);
        Some(sb)
    }

    fn mark_open(&mut self, sb: u32) {
        self.opened += 1;
        let opened = self.opened;
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.state = SbState::Open;
            s.opened = opened;
        }
    }

    /// No write pointer is in it any more.
    pub fn close(&mut self, sb: u32) {
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            s.state = SbState::Closed;
            self.invalid += u32::from(s.valid == 0);
        }
    }

    /// Puts an erased superblock back to the free ones.
    pub fn release(&mut self, sb: u32) {
        if let Some(s) = self.sbs.get_mut(sb as usize) {
            self.invalid -= u32::from(s.is_invalid());
            s.state = SbState::Free;
            s.valid = 0;
            s.erases = s.erases.saturating_add(1);
            self.erases += 1;
            self.free.push_back(sb);
        }
    }

    pub fn add_valid(&mut self, loc: Loc, n: u32) {
        if let Some(s) = self.sbs.get_mut((loc / self.pages) as usize) {
            self.invalid -= u32::from(s.is_invalid() && n > 0);
            s.valid += n;
        }
    }

    /// Takes a valid page away.
    pub fn drop_valid(&mut self, loc: Loc) {
        if let Some(s) = self.sbs.get_mut((loc / self.pages) as usize) {
            s.valid = s.valid.saturating_sub(1);
            self.invalid += u32::from(s.is_invalid());
        }
    }

    /// A closed superblock without valid pages: the one opened longest ago of several.
    pub fn fully_invalid(&self) -> Option<u32> {
        if self.invalid == 0 {
            return None;
        }
        self.oldest_closed(|s| s.valid == 0)
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

    /// Of a superblock with `pages` pages in, `backed` flash pages of which have backups: how many
    /// flash pages sit in incomplete wordlines without one, and how many flash pages are in.
    pub fn unbacked(&self, pages: u32, backed: u32) -> (u32, u32) {
        let (width, bits) = (self.width, self.mode.bits());
        let written = pages / self.lpp;
        let stripe = written / (width * bits) * (width * bits);
        let from = backed.max(stripe);
        // A plane's wordline is complete once its last row is in on that plane.
        let last_row = stripe + (bits - 1) * width;
        let incomplete = (from..written).filter(|i| last_row + i % width >= written);
        (incomplete.count() as u32, written)
    }

    /// Every plane of a superblock.
    pub fn planes(&self, sb: u32) -> impl Iterator<Item = PlaneId> {
        let first = sb % self.groups * self.width;
        (first..first + self.width).map(PlaneId)
    }

    pub fn block(&self, sb: u32) -> BlockId {
        BlockId(self.first_block + sb)
    }

    /// The closed superblock opened longest ago, of those that `wanted` accepts.
    pub fn oldest_closed(&self, wanted: impl Fn(&Superblock) -> bool) -> Option<u32> {
        self.iter()
            .filter(|(_, s)| s.state == SbState::Closed && wanted(s))
            .min_by_key(|(_, s)| s.opened)
            .map(|(sb, _)| sb)
    }

    /// Panics if states and free lists disagree. For tests.
    pub fn check_invariants(&self) {
        let free = self.sbs.iter().filter(|s| s.state == SbState::Free).count();
        assert_eq!(free, self.free_count() as usize);
        let invalid = self.sbs.iter().filter(|s| s.is_invalid()).count();
        assert_eq!(invalid, self.invalid as usize);
        for &sb in &self.free {
            assert_eq!((self.get(sb).state, self.get(sb).valid), (SbState::Free, 0));
        }
        assert!(self.sbs.iter().all(|s| s.valid <= self.pages));
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

impl Appender {
    pub fn on(sb: u32) -> Self {
        Self { sb, next: 0 }
    }

    pub fn is_open(self) -> bool {
        self.sb != NONE
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
