// SPDX-License-Identifier: GPL-2.0-or-later
//! Garbage collection: greedy, a victim at a time.
//!
//! ```text
//!   victim  | . x . . | x x . . |   a row of one-shot pages at a time: its valid pages are sensed,
//!                  \     |          then join the collection's one-shot page, which programs when full
//!   GC      | a a a a | a b         a victim with pages in the incomplete one is erased after that
//! ```

use crate::partition::{Partition, Writer};
use ftl::{Error, Flash};
use nand::Priority;
use units::{Bytes, Instant, PAGE_BYTES};

impl Partition {
    /// Collects until more superblocks than the threshold stay free when one is taken, or nothing
    /// more can be gained.
    pub(crate) fn collect(&mut self, at: Instant, flash: &mut Flash) {
        // Each victim gives something; this only bounds the work of one command.
        for _ in 0..self.shape.superblocks {
            if self.pool.free() > self.threshold as usize + 1 {
                break;
            }
            let Some(victim) = self.pool.take_victim() else {
                break;
            };
            if self.empty(victim, at, flash).is_err() {
                self.pool.close(victim);
                break;
            }
        }
        if self.pool.free() == 0 {
            // Rather lose some pages of a one-shot page than have no superblock.
            self.program(Writer::Gc, flash);
        }
    }

    /// Moves a victim's valid pages and erases it, at the latest when they have been programmed.
    fn empty(&mut self, victim: u32, at: Instant, flash: &mut Flash) -> Result<(), Error> {
        let stripe = self.shape.unit * self.shape.lanes;
        let first = victim * self.shape.pages;
        let mut row = first;
        while row < first + self.shape.pages {
            self.move_row(row..row + stripe, at, flash)?;
            row += stripe;
        }
        self.moved.push(victim);
        if self.gc.waiting() == 0 {
            self.erase_moved(flash);
        }
        self.counters.gc_runs += 1;
        self.counters.gc_time += self.gc_ended.max(at).since(at);
        Ok(())
    }

    /// Moves the valid pages of some locations: senses them all, then rewrites them.
    fn move_row(
        &mut self,
        locations: core::ops::Range<u32>,
        at: Instant,
        flash: &mut Flash,
    ) -> Result<(), Error> {
        let per_flash_page = self.shape.flash_page;
        let mut ready = at;
        let mut start = locations.start;
        while start < locations.end {
            let end = start + per_flash_page;
            let valid = (start..end).filter(|l| self.owner(*l).is_some()).count() as u64;
            if valid > 0 {
                let from = self.flash_page(start);
                let bytes = Bytes::new(valid * PAGE_BYTES);
                let read = flash.read(at, from.plane, from.block, from.page, bytes);
                ready = ready.max(read);
                self.counters.gc_senses += 1;
            }
            start = end;
        }
        for location in locations {
            if let Some(page) = self.owner(location) {
                self.append(page, Writer::Gc, ready, flash)?;
                self.counters.pages_gc += 1;
            }
        }
        Ok(())
    }

    /// Erases the emptied superblocks: everything that was in them has been programmed elsewhere,
    /// or will have been when the erase starts.
    pub(crate) fn erase_moved(&mut self, flash: &mut Flash) {
        while let Some(superblock) = self.moved.pop() {
            let block = self.block(superblock);
            for &plane in self.planes() {
                flash.erase(self.gc_ended, plane, block, Priority::User);
            }
            self.counters.erases += 1;
            self.pool.erased(superblock);
        }
    }
}
