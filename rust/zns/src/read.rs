// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads: flash pages in parallel, each on to the host as soon as it is in.

use crate::drive::Place;
use crate::stats::add;
use crate::Zns;
use core::ops::Range;
use ftl::{Error, Outcome};
use units::{Bytes, Instant, Sector, ZoneId, PAGE_BYTES, SECTOR_BYTES};

impl Zns {
    pub(crate) fn read(
        &mut self,
        at: Sector,
        sectors: u64,
        internal: bool,
        now: Instant,
    ) -> Result<Outcome, Error> {
        self.check_range(at, sectors)?;
        if sectors == 0 {
            return Ok(Outcome::done(now));
        }
        self.zones.check_read(at, sectors)?;
        let ready = now + self.flash.firmware(Bytes::new(sectors * SECTOR_BYTES));
        let mut done = ready;
        for (id, range) in self.pieces(at, sectors) {
            done = done.max(self.read_zone(id, range, internal, ready));
        }
        Ok(Outcome::done(done))
    }

    /// Reads sectors of one zone.
    fn read_zone(
        &mut self,
        id: ZoneId,
        range: Range<u64>,
        internal: bool,
        ready: Instant,
    ) -> Instant {
        let (start, end) = (range.start * SECTOR_BYTES, range.end * SECTOR_BYTES);
        let written = self.zones.get(id).map_or(0, |z| z.written) * SECTOR_BYTES;
        let in_flash = self.body(id).programmed.clamp(start, end);
        let in_buffer = written.clamp(in_flash, end) - in_flash;
        let in_area = self.bytes_in_area(id, range);
        let unwritten = end - in_flash - in_buffer - in_area;

        let (mut done, held) = match self.ahead.is_off() {
            true => self.read_flash(id, start, in_flash, internal, ready),
            false => self.read_stream(id, start..in_flash, internal, ready),
        };
        let buffered = in_buffer + in_area + held;
        if buffered > 0 {
            let read = ready + self.flash.buffer_access(Bytes::new(buffered));
            done = done.max(self.send(read, buffered, internal));
            add(&mut self.stats.buffer_hit_bytes, buffered);
        }
        if unwritten > 0 {
            done = done.max(self.send(ready, unwritten, internal));
            add(&mut self.stats.unwritten_bytes, unwritten);
        }
        done
    }

    /// The same as [`Self::read_flash`] where what was read ahead is in memory already, and what comes next is read
    /// ahead.
    fn read_stream(
        &mut self,
        id: ZoneId,
        range: Range<u64>,
        internal: bool,
        ready: Instant,
    ) -> (Instant, u64) {
        let Some((stream, ahead)) = self.ahead.follow(id, range.start, range.end) else {
            return self.read_flash(id, range.start, range.end, internal, ready);
        };
        let mut at = range.start;
        let mut done = ready;
        if let Some((there, stop)) = self.ahead.take(stream, range.end).filter(|t| t.1 > at) {
            done = done.max(self.send(ready.max(there), stop - at, internal));
            add(&mut self.stats.read_ahead_bytes, stop - at);
            at = stop;
        }
        let (read, held) = self.read_flash(id, at, range.end, internal, ready);
        if ahead {
            self.read_ahead(id, stream, ready);
        }
        (done.max(read), held)
    }

    /// Reads on ahead of a stream, a flash page at a time, as far as data is in flash.
    fn read_ahead(&mut self, id: ZoneId, stream: usize, ready: Instant) {
        let flash_page = self.config.chips.flash_page.get().max(1);
        let programmed = self.body(id).programmed;
        let wanted = self.ahead.wanted(stream, programmed);
        let mut at = wanted.start;
        while at < wanted.end {
            let stop = programmed.min((at / flash_page + 1) * flash_page);
            let Place { plane, block, page } = self.place(id, at);
            if self.flash.is_held(ready, plane, block, page) {
                return;
            }
            let bytes = stop.div_ceil(PAGE_BYTES) * PAGE_BYTES - at / PAGE_BYTES * PAGE_BYTES;
            let offset = at % flash_page / PAGE_BYTES * PAGE_BYTES;
            let from = (plane, block, page);
            let there = self.flash.read_from(ready, from, offset, Bytes::new(bytes));
            self.stats.senses += 1;
            self.ahead.add(stream, stop, there);
            at = stop;
        }
    }

    /// Reads a range whose programs have been issued; whole 4 KiB units cross the channel. Returns
    /// when that is over, and how many bytes of it the buffer still holds: until the programs end.
    fn read_flash(
        &mut self,
        id: ZoneId,
        start: u64,
        end: u64,
        internal: bool,
        ready: Instant,
    ) -> (Instant, u64) {
        let flash_page = self.config.chips.flash_page.get().max(1);
        let mut at = start;
        let (mut done, mut held) = (ready, 0);
        while at < end {
            let stop = end.min((at / flash_page + 1) * flash_page);
            let units = stop.div_ceil(PAGE_BYTES) - at / PAGE_BYTES;
            let bytes = Bytes::new(units * PAGE_BYTES);
            let Place { plane, block, page } = self.place(id, at);
            if self.flash.is_held(ready, plane, block, page) {
                held += stop - at;
                at = stop;
                continue;
            }
            let offset = at % flash_page / PAGE_BYTES * PAGE_BYTES;
            let from = (plane, block, page);
            let read = self.flash.read_from(ready, from, offset, bytes);
            done = done.max(self.send(read, stop - at, internal));
            self.stats.senses += 1;
            at = stop;
        }
        (done, held)
    }

    fn send(&mut self, at: Instant, bytes: u64, internal: bool) -> Instant {
        if internal {
            at
        } else {
            self.flash.cross_link(at, Bytes::new(bytes))
        }
    }
}
