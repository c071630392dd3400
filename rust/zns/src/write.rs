// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes: through the buffer, a one-shot page at a time.

use crate::stats::add;
use crate::Zns;
use core::ops::Range;
use ftl::{Error, Event, Namespace, Outcome, Reply};
use units::{Bytes, Instant, Sector, ZoneId, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

impl Zns {
    pub(crate) fn write(
        &mut self,
        at: Sector,
        sectors: u64,
        fua: bool,
        internal: bool,
        now: Instant,
    ) -> Result<Outcome, Error> {
        self.check_range(at, sectors)?;
        let zone = self.zones.locate(at).and_then(|id| self.zones.get(id));
        if zone.is_some_and(|z| z.has_zrwa()) {
            return self.write_area(at, sectors, internal, now);
        }
        if sectors * SECTOR_BYTES % self.config.write_unit.get() != 0 {
            return Err(Error::Zone(zone::Error::InvalidWrite));
        }
        if sectors == 0 {
            return Ok(Outcome::done(now));
        }
        let id = self.zones.check_write(at, sectors)?;
        self.ahead.end(id);
        let arrived = self.take_in(id, sectors * SECTOR_BYTES, internal, now)?;
        let durable = if fua { self.body(id).durable } else { arrived };
        Ok(Outcome::done(arrived.max(durable)))
    }

    pub(crate) fn append(
        &mut self,
        zone: Sector,
        sectors: u64,
        fua: bool,
        now: Instant,
    ) -> Result<Outcome, Error> {
        let id = ftl::zone_at(&self.zones, zone)?;
        let at = self.zones.check_append(id, sectors)?;
        Ok(Outcome {
            result: Ok(Reply::Appended(at)),
            ..self.write(at, sectors, fua, false, now + self.flash.append())?
        })
    }

    /// Writes `bytes`, which have been checked, at the zone's write pointer, in pieces that the
    /// buffer has room for whatever else it holds. Returns when the last has arrived in it.
    pub(crate) fn take_in(
        &mut self,
        id: ZoneId,
        bytes: u64,
        internal: bool,
        now: Instant,
    ) -> Result<Instant, Error> {
        let unit = self.config.write_unit.get().max(1);
        let room = self
            .config
            .buffer
            .get()
            .saturating_sub(self.config.incomplete());
        let most = (room - room % unit).max(unit);
        let mut left = bytes;
        let mut arrived = now;
        while left > 0 {
            let piece = left.min(most);
            let admitted = self.admit(id, piece, arrived)?;
            let taken = self.piece(id, piece, internal, admitted);
            if taken.is_err() {
                // The zone cannot be written: what was to go into it leaves the room.
                self.release(id, admitted, piece);
            }
            arrived = taken?;
            left -= piece;
        }
        Ok(arrived)
    }

    fn admit(&mut self, id: ZoneId, bytes: u64, at: Instant) -> Result<Instant, Error> {
        let index = self.buffer_index(id);
        let buffer = self.buffers.get_mut(index).ok_or(Error::OutOfRange)?;
        let admitted = buffer
            .admit(at, Bytes::new(bytes))
            .ok_or(Error::CapacityExceeded)?;
        if admitted > at {
            self.stats.buffer_waits += 1;
            self.stats.buffer_wait += admitted.since(at);
        }
        Ok(admitted)
    }

    fn release(&mut self, id: ZoneId, when: Instant, bytes: u64) {
        let index = self.buffer_index(id);
        if let Some(buffer) = self.buffers.get_mut(index) {
            buffer.release(when, Bytes::new(bytes));
        }
    }

    /// Takes one piece over the host link into the buffer, and programs what it completes.
    fn piece(
        &mut self,
        id: ZoneId,
        bytes: u64,
        internal: bool,
        admitted: Instant,
    ) -> Result<Instant, Error> {
        let one_shot = self.config.chips.one_shot.get().max(1);
        let mut at = self.zones.get(id).map_or(0, |z| z.written) * SECTOR_BYTES;
        self.zones.write(id, bytes / SECTOR_BYTES)?;
        self.note_kept(id, at / SECTOR_BYTES..(at + bytes) / SECTOR_BYTES);
        let end = at + bytes;
        let mut arrived = admitted + self.flash.buffer_access(Bytes::new(bytes));
        while at < end {
            let stop = end.min((at / one_shot + 1) * one_shot);
            if !internal {
                arrived = self.flash.cross_link(arrived, Bytes::new(stop - at));
            }
            if stop % one_shot == 0 || stop == self.config.zone_capacity.get() {
                self.program(id, stop, arrived);
            }
            at = stop;
        }
        Ok(arrived)
    }

    /// Programs the zone's data up to `end`: the rest of one one-shot page.
    pub(crate) fn program(&mut self, id: ZoneId, end: u64, at: Instant) {
        let start = self.body(id).programmed;
        if start >= end {
            return;
        }
        let place = self.place(id, start);
        let bytes = Bytes::new(end - start);
        let (plane, block, page) = (place.plane, place.block, place.page);
        let ended = self.flash.program(at, plane, block, page, bytes);
        self.note_copies(id, start..end, ended);
        self.release(id, ended, bytes.get());
        if let Some(body) = self.bodies.get_mut(id.get() as usize) {
            body.programmed = end;
            body.durable = body.durable.max(ended);
        }
        self.durable = self.durable.max(ended);
        self.stats.programs += 1;
        add(&mut self.stats.program_bytes, bytes.get());
    }

    /// Tells the observer that buffer or area, which keep their data, have these sectors of a zone.
    pub(crate) fn note_kept(&mut self, id: ZoneId, sectors: Range<u64>) {
        let first = self.zones.start(id).get() / PAGE_SECTORS;
        for page in sectors.start / PAGE_SECTORS..sectors.end.div_ceil(PAGE_SECTORS) {
            self.observer.note(|| Event::Kept {
                namespace: Namespace::Data,
                lpn: first + page,
            });
        }
    }

    /// Tells the observer of the pages in a range of a zone's bytes, which lie in one one-shot page.
    fn note_copies(&mut self, id: ZoneId, bytes: Range<u64>, ended: Instant) {
        let first = self.zones.start(id).get() / PAGE_SECTORS;
        for page in bytes.start / PAGE_BYTES..bytes.end.div_ceil(PAGE_BYTES) {
            let to = self.page_place(id, page);
            self.observer.note(|| Event::Copied {
                namespace: Namespace::Data,
                lpn: first + page,
                from: None,
                to,
                durable: Some(ended),
            });
        }
    }

    /// Where a page of a zone is, for the observer.
    pub(crate) fn page_place(&self, id: ZoneId, page: u64) -> ftl::Place {
        let place = self.place(id, page * PAGE_BYTES);
        let per_flash_page = (self.config.chips.flash_page.get() / PAGE_BYTES).max(1);
        ftl::Place {
            plane: place.plane,
            block: place.block,
            page: place.page * per_flash_page + page % per_flash_page,
        }
    }
}
