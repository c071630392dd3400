// SPDX-License-Identifier: GPL-2.0-or-later
//! Dynamic pSLC: native superblocks that no zone needs are lent to pSLC (docs/model.md, Dynamic pSLC).
//!
//! ```text
//!   native, free --lend--> pSLC, open --> closed --emptied--> erased --> native, free
//! ```
//! Native superblock n is number `own + n` of pSLC, and [`SbState::Away`] in one of the two
//! pools. One is lent when the host's data needs a superblock in pSLC and few of its own are free. It goes back when it
//! has been emptied, unless pSLC has too little room without it: for moves, or, while too many are lent, for what is buffered.
//! Lent superblocks are emptied in order of age like others: so that zones go native from their start on.
//!
//! Each zone with data that has no native superblock is promised one, and two more are kept: one for the next zone that is written,
//! and one so that recovery after a power cut can copy a zone. Where lending has left too few for another promise, the
//! write that needs it first gets one back.
//!
//! What is booked ends later. A superblock that was given back holds what it held until its erase has ended, for a power
//! cut. Where not enough others are free, what is promised or lent instead waits for that, so that at every instant there is a
//! superblock for each zone whose data a power cut would leave in pSLC alone, and another.

use crate::core::Core;
use crate::lending::Lending;
use crate::mover::Moving;
use crate::superblock::{Appender, SbState, NONE};
use crate::zoned::Zoned;
use crate::Error;
use state::{ensure, ensure_eq};
use units::Instant;

/// Native superblocks that are never promised: recovery needs one.
const SPARE: u32 = 1;

/// Native superblocks that are not lent beside those promised.
const KEPT: u32 = SPARE + 1;

impl Zoned {
    /// Superblocks that may be lent, those that are included, with `more` zones to be promised one.
    #[inline(never)]
    fn most_lent(&self, more: u32) -> u32 {
        let Lending {
            share,
            lent,
            promised,
            ..
        } = self.lending;
        let all = u64::from(self.native.free_count()) + u64::from(lent);
        let beyond = all.saturating_sub(u64::from(promised) + u64::from(more) + u64::from(KEPT));
        // No more than there are.
        (beyond * u64::from(share) / 100) as u32
    }

    /// Superblocks that can be lent beside those that are.
    #[inline]
    pub fn lendable(&self, more: u32) -> u32 {
        match self.lending.is_on() {
            true => self.most_lent(more).saturating_sub(self.lending.lent),
            false => 0,
        }
    }

    /// Whether some are to be given back.
    pub fn is_over_lent(&self) -> bool {
        self.lending.is_on() && self.lending.lent > self.most_lent(0)
    }

    /// Native superblocks that are free and not promised.
    fn unpromised(&self) -> u32 {
        self.native
            .free_count()
            .saturating_sub(self.lending.promised)
    }

    /// Those of them that no power cut gives back to pSLC.
    fn firm(&self) -> u32 {
        let Lending {
            returned,
            returned_by,
            ..
        } = self.lending;
        match returned_by > self.slc.pool.now() {
            true => self.unpromised().saturating_sub(returned),
            false => self.unpromised(),
        }
    }

    /// Opens a native superblock for the host's data in pSLC, if one can be lent.
    pub fn lend(&mut self) -> Option<u32> {
        if self.lendable(0) == 0 {
            return None;
        }
        let is_firm = self.firm() > SPARE;
        let (native, mut ready) = self.native.give()?;
        if !is_firm {
            ready = ready.max(self.lending.returned_by);
        }
        let sb = self.slc.pool.own() + native;
        self.slc.pool.open_lent(sb, ready);
        self.lending.lent += 1;
        self.counters.superblocks_lent += 1;
        let most = &mut self.counters.superblocks_lent_most;
        *most = (*most).max(u64::from(self.lending.lent));
        Some(sb)
    }

    /// A superblock of pSLC has been emptied; its erase ends at `end`.
    pub fn release_slc(&mut self, sb: u32, end: Instant) {
        self.slc.pool.release(sb, end);
        if self.lending.is_on() {
            self.give_back();
        }
    }

    /// Gives back what is lent and free, as long as pSLC does without: moves find as much room as ever, and what is buffered.
    fn give_back(&mut self) {
        let each = u64::from(self.slc.pool.pages);
        let moves = u64::from(self.slc.kept) + each;
        let host = each + self.buffers.held_and_next();
        while self.slc.room_for_moves() >= moves
            && (!self.is_over_lent() || self.slc_room(0) >= host)
        {
            let Some((sb, end)) = self.slc.pool.give_lent() else {
                return;
            };
            self.native.take_back(sb - self.slc.pool.own(), end);
            self.lending.note_return(end, self.slc.pool.now());
            self.counters.superblocks_returned += 1;
        }
    }

    /// Makes sure that a zone without data, which is to be written, can have a native superblock. Returns from when on it can
    /// be written.
    ///
    /// # Errors
    /// None can be given back.
    #[inline(never)]
    pub fn promise(&mut self, core: &mut Core, now: Instant) -> Result<Instant, Error> {
        let need = u64::from(SPARE) + 1;
        self.give_back();
        self.make_room(core, true, now, need, |ns| ns.unpromised().into())?;
        Ok(match self.firm() > SPARE {
            true => now,
            false => now.max(self.lending.returned_by),
        })
    }

    /// Zones that will be promised a superblock when zone `z` has data: it, or none.
    #[inline]
    pub fn to_be_promised(&self, z: u32) -> u32 {
        u32::from(self.lending.is_on() && !self.has_data(z))
    }

    pub fn has_data(&self, z: u32) -> bool {
        let zone = self.zone(z);
        zone.flushed > 0 || zone.buffer != NONE
    }

    /// Zone `z`, which had no data, gets some.
    pub fn note_data(&mut self, z: u32) {
        if self.lending.is_on() && self.zone(z).sb == NONE {
            self.lending.promised += 1;
        }
    }

    /// Zone `z` gets the superblock that it was promised, or loses its data.
    pub fn keep_promise(&mut self) {
        self.lending.promised = self.lending.promised.saturating_sub(1);
    }

    /// Whether too many are lent, and one can be emptied.
    pub fn is_to_return(&self) -> bool {
        self.is_over_lent() && self.slc.pool.oldest(true, true).is_some()
    }

    /// Begins to empty lent superblocks in the background if too many are lent.
    pub fn begin_returning(&mut self, core: &mut Core, at: Instant) {
        if self.is_to_return() {
            self.begin_if_idle(core, true, at);
        }
    }

    /// The drive is idle: a write pointer leaves a lent superblock, where its own have room for what it holds, for moves and for
    /// what is buffered. Gives that.
    pub fn close_lent(&mut self) -> Option<u32> {
        let each = u64::from(self.slc.pool.pages);
        let room = u64::from(self.slc.pool.own_free()) * each;
        let pointers = [&mut self.slc.host, &mut self.slc.internal];
        let mut lent = pointers.into_iter().filter(|p| self.slc.pool.is_lent(p.sb));
        let pointer = lent.next()?;
        let valid = u64::from(self.slc.pool.get(pointer.sb).valid);
        let kept = u64::from(self.slc.kept) + self.buffers.held_and_next();
        if room < (valid + kept).next_multiple_of(each) {
            return None;
        }
        let Appender { sb, .. } = core::mem::take(pointer);
        self.slc.pool.close(sb);
        Some(sb)
    }

    /// A power cut leaves so many lent, and nothing is promised yet.
    pub fn lent_after_cut(&mut self, lent: u32) {
        let before = self.lending.lent;
        self.counters.superblocks_lent += u64::from(lent.saturating_sub(before));
        self.counters.superblocks_returned += u64::from(before.saturating_sub(lent));
        self.lending = Lending {
            lent,
            ..Lending::new(self.lending.share)
        };
    }

    /// Is an error unless each shared superblock is in one pool, and the counts are right.
    pub fn check_lending(&self) -> Result<(), state::Error> {
        let own = self.slc.pool.own();
        let away = SbState::Away;
        let mut lent = 0;
        for (native, s) in self.native.iter().filter(|_| self.lending.is_on()) {
            let is_lent = self.slc.pool.get(own + native).state != away;
            lent += u32::from(is_lent);
            ensure!(
                is_lent == (s.state == away),
                "native superblock {native} is in two pools, or none"
            );
        }
        ensure_eq!(lent, self.lending.lent, "superblocks lent");
        let zones = (0u32..).zip(&self.ftl);
        let unbound =
            zones.filter(|(z, zone)| self.lending.is_on() && self.has_data(*z) && zone.sb == NONE);
        ensure_eq!(unbound.count(), self.lending.promised as usize, "promises");
        Ok(())
    }
}
