// SPDX-License-Identifier: GPL-2.0-or-later
//! Random write areas: durable memory beside the write buffer, which a zone's next pages can be
//! written to in any order; committing them is a write inside the drive.

use crate::Zns;
use core::ops::Range;
use ftl::{Error, Outcome};
use units::{Bytes, Instant, Sector, ZoneId, PAGE_SECTORS, SECTOR_BYTES};

impl Zns {
    /// A write to a zone with an area. What must make room for it is committed first.
    pub(crate) fn write_area(
        &mut self,
        at: Sector,
        sectors: u64,
        internal: bool,
        now: Instant,
    ) -> Result<Outcome, Error> {
        let id = self.zones.check_write(at, sectors)?;
        if sectors == 0 {
            return Ok(Outcome::done(now));
        }
        let before = self.zones.commit_before(id, at, sectors);
        let committed = self.commit(id, before, now)?;
        self.zones.write_area(id, at, sectors)?;
        // Of what was committed to make room the observer knows.
        let offset = at.get() - self.zones.start(id).get();
        let written = self.zones.get(id).map_or(0, |z| z.written);
        self.note_kept(id, offset.max(written)..offset + sectors);
        let bytes = Bytes::new(sectors * SECTOR_BYTES);
        let mut done = committed + self.flash.buffer_access(bytes);
        if !internal {
            done = self.flash.cross_link(done, bytes);
        }
        self.stats.zrwa_pages += pages(at, sectors);
        Ok(Outcome::done(done))
    }

    /// Explicit flush: the write pointer goes to `end`.
    pub(crate) fn commit_to(&mut self, end: Sector, now: Instant) -> Result<Outcome, Error> {
        let (id, sectors) = self.zones.check_commit(end)?;
        Ok(Outcome::done(self.commit(id, sectors, now)?))
    }

    /// Commits all that the area holds. The zone is not written after that, so it need not be whole
    /// write units.
    pub(crate) fn commit_held(&mut self, id: ZoneId, now: Instant) -> Result<Instant, Error> {
        self.commit(id, self.zones.area_extent(id), now)
    }

    fn commit(&mut self, id: ZoneId, sectors: u64, now: Instant) -> Result<Instant, Error> {
        if sectors == 0 {
            return Ok(now);
        }
        self.stats.zrwa_commits += sectors.div_ceil(PAGE_SECTORS);
        self.take_in(id, sectors * SECTOR_BYTES, true, now)
    }

    /// Bytes of a zone's range that its area holds.
    pub(crate) fn bytes_in_area(&self, id: ZoneId, range: Range<u64>) -> u64 {
        if !self.zones.get(id).is_some_and(|z| z.has_zrwa()) {
            return 0;
        }
        let pages = range.start / PAGE_SECTORS..range.end.div_ceil(PAGE_SECTORS);
        let held = pages.filter(|page| self.zones.area_holds(id, *page));
        let sectors = held.map(|page| {
            let (start, end) = (page * PAGE_SECTORS, (page + 1) * PAGE_SECTORS);
            end.min(range.end) - start.max(range.start)
        });
        sectors.sum::<u64>() * SECTOR_BYTES
    }
}

/// The pages that a sector range touches.
fn pages(at: Sector, sectors: u64) -> u64 {
    let end = at.get().saturating_add(sectors);
    end.div_ceil(PAGE_SECTORS) - at.get() / PAGE_SECTORS
}
