// SPDX-License-Identifier: GPL-2.0-or-later
//! Random write areas: memory of the controller's that a zone's next pages can be written to in any
//! order, before they go on to the write buffer.
//!
//! ```text
//!   host --link--> random write area --commit--> write buffer --flush--> pSLC, native
//!                  (in any order, again and again)    (zms-model, section 4)
//! ```
//! - A write costs the buffer access and the host link, and is then complete: it waits for no
//!   buffer. Areas are memory beside the write buffers, and keep their data without power, so that
//!   FUA and Flush have nothing to wait for.
//! - Committing, explicitly or by writing past the area, is a write of the committed pages inside
//!   the drive: it competes for the write buffers, and takes its time there; an implicit commit comes
//!   before the write that needs it.
//! - What was committed stays in the area's memory, too, until it has been programmed: FUA promised
//!   that. There is memory for twice the area; a commit that finds it full first makes durable what it
//!   holds.
//! - Holes, pages of the area that were never written, are committed as pages of zeroes.

use crate::core::Core;
use crate::write::Write;
use crate::zoned::{page_range, Zoned};
use crate::Error;
use ftl::{Event, Namespace};
use units::{Bytes, Instant, Sector, ZoneId, PAGE_SECTORS, SECTOR_BYTES};

impl Zoned {
    /// A write of the host's: to the zone's random write area if it has one, else at the write
    /// pointer. Returns the completion.
    pub fn host_write(
        &mut self,
        core: &mut Core,
        write: Write,
        now: Instant,
    ) -> Result<Instant, Error> {
        let zone = self
            .zones
            .locate(write.at)
            .and_then(|id| self.zones.get(id));
        if !zone.is_some_and(|z| z.has_zrwa()) {
            return self.write(core, write, now);
        }
        let id = self.zones.check_write(write.at, write.sectors)?;
        if write.sectors == 0 {
            return Ok(now);
        }
        let before = self.zones.commit_before(id, write.at, write.sectors);
        let committed = self.commit(core, id, before, now)?;
        self.zones.write_area(id, write.at, write.sectors)?;
        let (first, pages) = page_range(write.at, write.sectors);
        let pages = u64::from(pages);
        let touched = u64::from(first)..u64::from(first) + pages;
        core.observer.each(touched, |lpn| Event::Kept {
            namespace: Namespace::Data,
            lpn,
        });
        let mut done = committed + core.costs.buffer_base + core.costs.buffer_page.times(pages);
        if write.data {
            let bytes = Bytes::new(write.sectors * SECTOR_BYTES);
            done = core.link.transfer(done, bytes);
        }
        self.counters.host_writes += 1;
        self.counters.host_write_pages += pages;
        self.counters.host_write_sectors += write.sectors;
        self.counters.zrwa_pages += pages;
        self.counters.write_latency.add(done.since(now));
        Ok(done)
    }

    /// Explicit flush: the write pointer goes to `end`. Returns when the pages are in the buffer.
    pub fn commit_to(
        &mut self,
        core: &mut Core,
        end: Sector,
        now: Instant,
    ) -> Result<Instant, Error> {
        let (id, sectors) = self.zones.check_commit(end)?;
        self.commit(core, id, sectors, now)
    }

    /// Commits all that the area of `id` holds, if it has one.
    pub fn commit_held(
        &mut self,
        core: &mut Core,
        id: ZoneId,
        now: Instant,
    ) -> Result<Instant, Error> {
        let sectors = self.zones.area_extent(id);
        self.commit(core, id, sectors, now)
    }

    fn commit(
        &mut self,
        core: &mut Core,
        id: ZoneId,
        sectors: u64,
        now: Instant,
    ) -> Result<Instant, Error> {
        if sectors == 0 {
            return Ok(now);
        }
        let z = id.get();
        let pages = (sectors / PAGE_SECTORS) as u32;
        // The area's memory keeps what was committed until it has been programmed.
        let mut at = now;
        if self.zone(z).kept.saturating_add(pages) > self.shape.area {
            at = self.make_durable(core, z, now);
        }
        let start = self.zones.get(id).map_or(0, |zone| zone.written);
        let holes = self.holes(core, id, sectors);
        let write = Write {
            at: Sector::new(self.zones.start(id).get() + start),
            sectors,
            fua: false,
            data: false,
        };
        let done = self.take_in(core, id, write, at)?;
        Self::note_holes(core, holes);
        self.zone_mut(z).kept += pages;
        self.zone_mut(z).from_area = true;
        self.counters.zrwa_commits += u64::from(pages);
        Ok(done)
    }

    /// Pages among the next `sectors` of a zone that its area does not hold, for whoever observes.
    pub fn holes(&self, core: &Core, id: ZoneId, sectors: u64) -> Vec<u64> {
        if !core.observer.is_on() {
            return Vec::new();
        }
        let start = self.zones.get(id).map_or(0, |zone| zone.written);
        let pages = start / PAGE_SECTORS..(start + sectors) / PAGE_SECTORS;
        let first = u64::from(self.first_lpn(id.get()));
        let holes = pages.filter(|page| !self.zones.area_holds(id, *page));
        holes.map(|page| first + page).collect()
    }

    /// Pages of zeroes are in the area's memory like others.
    pub fn note_holes(core: &mut Core, holes: Vec<u64>) {
        for lpn in holes {
            core.observer.note(|| Event::Kept {
                namespace: Namespace::Data,
                lpn,
            });
        }
    }
}
