// SPDX-License-Identifier: GPL-2.0-or-later
//! A pool with what lies in it: who owns each page, and the write pointers.
//!
//! ```text
//!   host pointer      what the host wrote, backups
//!   internal pointer  what collection and migration move; free superblocks are always kept for it
//! ```
//! A page's copy is *valid* here while it is mapped, or while it is the durable copy of a page whose
//! mapped copy sits in an incomplete wordline. A copy that is replaced by one with a known end stops
//! being valid at once, and its superblock is not erased before that end.
//!
//! Invariants: a location has an owner exactly if it is counted as valid, but for those that a move
//! under way has reserved.

use crate::core::Core;
use crate::sparse::Sparse;
use crate::superblock::{Appender, Loc, Pool, SbState, NONE};
use nand::Purpose;
use state::ensure;
use units::Instant;

/// Whose write pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pointer {
    Host,
    Internal,
}

/// Why pages of the host's are programmed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Why {
    /// Whose they are: the zone, or a namespace without zones ([`crate::paged::Paged::OWNER`]).
    pub owner: u32,
    /// The buffer that is flushed, or [`NONE`].
    pub buffer: u32,
}

impl Why {
    /// That, of `n` pages from `loc` on.
    pub const fn programs(self, loc: Loc, n: u32) -> Purpose {
        Purpose {
            owner: self.owner,
            flush: self.buffer,
            place: loc,
            pages: n,
        }
    }
}

/// Pages programmed, or loaded, in one go: neighbours in one flash page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub loc: Loc,
    pub n: u32,
    /// When the operation ends.
    pub end: Instant,
}

/// A pool and its pages.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub pool: Pool,
    /// The page at each location; [`NONE`] if no valid one is there.
    pub owner: Sparse<NONE>,
    pub host: Appender,
    pub internal: Appender,
    /// Pages that emptying victims can need at the internal pointer before one has been erased.
    pub kept: u32,
}

// Whose pages lie where follows from the namespace's map.
state::state!(Area { pool, host, internal; owner, kept } => check_pointers);

impl Area {
    pub fn new(pool: Pool, kept: u32) -> Self {
        let locations = pool.count() as usize * pool.pages as usize;
        Self {
            pool,
            owner: Sparse::new(locations),
            host: Appender::default(),
            internal: Appender::default(),
            kept,
        }
    }

    pub fn pointer(&mut self, pointer: Pointer) -> &mut Appender {
        match pointer {
            Pointer::Host => &mut self.host,
            Pointer::Internal => &mut self.internal,
        }
    }

    /// The page whose valid copy is at `loc`.
    pub fn owner(&self, loc: Loc) -> Option<u32> {
        self.owner.get(loc as usize).filter(|&lpn| lpn != NONE)
    }

    /// A valid copy of `lpn` is at `loc` from now on.
    pub fn put(&mut self, lpn: u32, loc: Loc) {
        self.owner.set(loc as usize, lpn);
        self.pool.add_valid(loc, 1);
    }

    /// The same for neighbours.
    pub fn put_run(&mut self, first: u32, loc: Loc, n: u32) {
        for i in 0..n {
            self.owner.set((loc + i) as usize, first + i);
        }
        self.pool.add_valid(loc, n);
    }

    /// The copy at a location that was reserved ([`Area::reserve`]) is valid.
    pub fn fill(&mut self, lpn: u32, loc: Loc) {
        self.owner.set(loc as usize, lpn);
    }

    /// The copy at `loc` is not needed from `until` on, whatever happens.
    pub fn clear(&mut self, loc: Loc, until: Instant) {
        self.owner.set(loc as usize, NONE);
        self.pool.drop_valid(loc, until);
    }

    /// The copy at `loc` is not needed when another is durable, from `until` on: one at `to`, or ([`NONE`]) in another
    /// pool. It has `moved` there, or is of a newer version.
    pub fn replaced(&mut self, loc: Loc, to: Loc, until: Instant, moved: bool) {
        let opened = self.pool.opened(to);
        self.replaced_by(loc, (to, opened), until, moved);
    }

    /// The same with when the superblock of `to`, of any pool, was opened.
    pub fn replaced_by(&mut self, loc: Loc, to: (Loc, u64), until: Instant, moved: bool) {
        if let Some(lpn) = self.owner(loc) {
            self.pool.remember((lpn, loc), to, until, moved);
        }
        self.clear(loc, until);
    }

    /// After a power cut at `at` it holds these copies, of pages at locations. Write pointers, its own and `others`, go
    /// on behind what was booked, where anything is left in their superblock. What has to be erased is, and is
    /// free.
    pub fn power_cut(
        &mut self,
        core: &mut Core,
        at: Instant,
        copies: &[(u32, Loc)],
        others: &mut [Appender],
    ) {
        let mut held = vec![None; self.pool.count() as usize];
        self.owner = Sparse::new(self.owner.len());
        for &(lpn, loc) in copies {
            self.owner.set(loc as usize, lpn);
            if let Some(held) = held.get_mut((loc / self.pool.pages) as usize) {
                let valid = held.map_or(0, |(_, valid)| valid);
                *held = Some((SbState::Closed, valid + 1));
            }
        }
        let own = [&mut self.host, &mut self.internal];
        for pointer in own.into_iter().chain(others) {
            // A flash page that was begun is not gone on with, nor a stripe of wordlines that several fill.
            let begun = match self.pool.mode.bits() {
                1 => self.pool.lpp(),
                _ => self.pool.stripe(),
            };
            let next = pointer.next.next_multiple_of(begun);
            let holds = held.get_mut(pointer.sb as usize).and_then(Option::as_mut);
            let lives = self.pool.was_erased(pointer.sb, at) && next < self.pool.pages;
            match holds.filter(|_| lives) {
                Some(held) => {
                    held.0 = SbState::Open;
                    pointer.next = next;
                }
                None => *pointer = Appender::default(),
            }
        }
        let dirty = self.pool.power_cut(at, &held);
        core.erase_all(&mut self.pool, &dirty, at);
    }

    /// Whether what a victim holds finds space at the internal pointer. It always does unless a power cut came in
    /// between, which leaves copies in superblocks that were to be free.
    pub fn can_empty(&self, victim: u32) -> bool {
        let free = u64::from(self.pool.free_count()) * u64::from(self.pool.pages);
        let room = u64::from(self.internal.room(&self.pool)) + free;
        u64::from(self.pool.get(victim).valid) <= room
    }

    /// Takes up to `most` pages at a pointer for a move under way. They count as valid.
    pub fn reserve(&mut self, pointer: Pointer, most: u32) -> (Loc, u32) {
        let mut appender = *self.pointer(pointer);
        let (loc, n) = appender.take(&mut self.pool, most);
        *self.pointer(pointer) = appender;
        self.pool.add_valid(loc, n);
        (loc, n)
    }

    /// Opens a superblock for a pointer that has none. One is left, see [`Area::free_for_host`].
    pub fn open(&mut self, pointer: Pointer) {
        let sb = self.pool.open();
        assert!(
            sb.is_some(),
            "a superblock is kept for the internal pointer"
        );
        *self.pointer(pointer) = Appender::on(sb.unwrap_or(NONE));
    }

    /// Pages that moves can take at the internal pointer.
    pub fn room_for_moves(&self) -> u64 {
        let free = u64::from(self.pool.free_count()) * u64::from(self.pool.pages);
        free + u64::from(self.internal.room(&self.pool))
    }

    /// Nothing else can be emptied: gives up what is left of a write pointer's superblock, emptying which would leave so
    /// many pages to move within this pool, so that those can be packed. The host has no less room when they have been.
    /// Says whether it did.
    pub fn close_for_packing(&mut self, pointer: Pointer, left: u64) -> bool {
        let pages = u64::from(self.pool.pages);
        let appender = *self.pointer(pointer);
        let moves = self.room_for_moves();
        let fits = match pointer {
            Pointer::Internal => left <= u64::from(self.pool.free_count()) * pages,
            // The host gets whole superblocks: what is given up has to make one more.
            Pointer::Host if appender.room(&self.pool) > 0 => {
                let beyond = moves.checked_sub(self.kept.into());
                beyond.is_some_and(|beyond| left <= beyond % pages)
            }
            Pointer::Host => left <= moves,
        };
        let closes = appender.is_open() && left < u64::from(appender.next) && fits;
        if closes {
            self.pool.close(appender.sb);
            *self.pointer(pointer) = Appender::default();
        }
        closes
    }

    /// Superblocks that the host's data may take: what is moved always finds space.
    pub fn free_for_host(&self) -> u32 {
        let beyond = self.kept.saturating_sub(self.internal.room(&self.pool));
        let kept = beyond.div_ceil(self.pool.pages.max(1));
        self.pool.free_count().saturating_sub(kept)
    }

    /// Pages that can be written at the host's pointer before space has to be made.
    pub fn room(&self) -> u64 {
        u64::from(self.host.room(&self.pool))
            + u64::from(self.free_for_host()) * u64::from(self.pool.pages)
    }

    /// Loads up to `most` pages of the host's at `pointer`, which is open, those that fit the flash page
    /// there; programs them if that completes the wordline.
    pub fn load(
        &mut self,
        core: &mut Core,
        pointer: Pointer,
        (most, why): (u32, Why),
        at: Instant,
    ) -> Placed {
        let mut appender = *self.pointer(pointer);
        let placed = self.load_at(core, &mut appender, (most, why), at);
        *self.pointer(pointer) = appender;
        placed
    }

    /// The same at a write pointer that is kept elsewhere.
    pub fn load_at(
        &mut self,
        core: &mut Core,
        appender: &mut Appender,
        (most, why): (u32, Why),
        at: Instant,
    ) -> Placed {
        let (loc, n) = appender.take(&mut self.pool, most);
        let ready = self.pool.get(loc / self.pool.pages).ready;
        let load = core.load(at.max(ready), self.pool.place(loc), why.programs(loc, n));
        Placed {
            loc,
            n,
            end: load.end,
        }
    }

    fn check_pointers(&mut self) -> Result<(), state::Error> {
        self.host.check(&self.pool)?;
        self.internal.check(&self.pool)
    }

    /// A page's copy, that was decoded, is at `loc`.
    pub fn restore_owner(&mut self, lpn: u32, loc: Loc) -> Result<(), state::Error> {
        let is_free = (loc as usize) < self.owner.len() && self.owner(loc).is_none();
        ensure!(is_free, "page {lpn} cannot be at {loc}");
        self.fill(lpn, loc);
        Ok(())
    }

    /// Is an error unless owners and counts agree; `reserved` are pages of moves under way. Gives how
    /// many locations have owners.
    pub fn check_invariants(&self, reserved: &[Loc]) -> Result<usize, state::Error> {
        self.pool.check_invariants()?;
        let mut reserved = reserved.to_vec();
        reserved.sort_unstable();
        let apart = reserved.windows(2).all(|w| w[0] < w[1]);
        let is_new = |loc: &Loc| (*loc as usize) < self.owner.len() && self.owner(*loc).is_none();
        ensure!(
            apart && reserved.iter().all(is_new),
            "moves to where something is"
        );
        let mut all = 0;
        for (sb, s) in self.pool.iter() {
            let first = self.pool.start(sb);
            let end = first + self.pool.pages;
            let owned = self.owner.range(first as usize..end as usize);
            let owned = owned.filter(|owner| *owner != NONE).count();
            let before = |loc: u32| reserved.partition_point(|r| *r < loc);
            let held = owned + before(end) - before(first);
            state::ensure_eq!(held, s.valid as usize, "superblock {sb}: {s:?}");
            all += owned;
        }
        for pointer in [self.host, self.internal] {
            self.check_behind(pointer, &reserved)?;
        }
        Ok(all)
    }

    /// Is an error if there is anything where a write pointer has not been. `reserved` is sorted.
    pub fn check_behind(&self, pointer: Appender, reserved: &[Loc]) -> Result<(), state::Error> {
        if !pointer.is_open() {
            return Ok(());
        }
        let first = self.pool.start(pointer.sb);
        let ahead = first + pointer.next..first + self.pool.pages;
        let mut owned = self.owner.range(ahead.start as usize..ahead.end as usize);
        let is_blank =
            owned.all(|owner| owner == NONE) && !reserved.iter().any(|r| ahead.contains(r));
        ensure!(is_blank, "something lies ahead of {pointer:?}");
        Ok(())
    }
}
