// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads: flash pages in parallel, each on to the host as soon as it is in.

use crate::stats::add;
use crate::Zns;
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
        let id = self.zones.check_read(at, sectors)?;
        let start = (at.get() - self.zones.start(id).get()) * SECTOR_BYTES;
        let end = start + sectors * SECTOR_BYTES;
        let written = self.zones.get(id).map_or(0, |z| z.written) * SECTOR_BYTES;
        let in_flash = self.body(id).programmed.clamp(start, end);
        let in_buffer = written.clamp(in_flash, end);
        let ready = now + self.flash.firmware(Bytes::new(end - start));

        let mut done = self.read_flash(id, start, in_flash, internal, ready);
        if in_buffer > in_flash {
            let bytes = in_buffer - in_flash;
            let read = ready + self.flash.buffer_access(Bytes::new(bytes));
            done = done.max(self.send(read, bytes, internal));
            add(&mut self.stats.buffer_hit_bytes, bytes);
        }
        if end > in_buffer {
            done = done.max(self.send(ready, end - in_buffer, internal));
            add(&mut self.stats.unwritten_bytes, end - in_buffer);
        }
        Ok(Outcome::done(done))
    }

    /// Reads a range that has been programmed; whole 4 KiB units cross the channel.
    fn read_flash(
        &mut self,
        id: ZoneId,
        start: u64,
        end: u64,
        internal: bool,
        ready: Instant,
    ) -> Instant {
        let page = self.config.chips.flash_page.get().max(1);
        let mut at = start;
        let mut done = ready;
        while at < end {
            let stop = end.min((at / page + 1) * page);
            let units = stop.div_ceil(PAGE_BYTES) - at / PAGE_BYTES;
            let bytes = Bytes::new(units * PAGE_BYTES);
            let place = self.place(id, at);
            let read = self
                .flash
                .read(ready, place.plane, place.block, place.page, bytes);
            done = done.max(self.send(read, stop - at, internal));
            self.stats.senses += 1;
            at = stop;
        }
        done
    }

    fn send(&mut self, at: Instant, bytes: u64, internal: bool) -> Instant {
        if internal {
            at
        } else {
            self.flash.cross_link(at, Bytes::new(bytes))
        }
    }
}
