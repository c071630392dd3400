// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts: capacitors keep what the drive has taken.
//!
//! ```text
//!   programs that were issued               end
//!   write buffer, random write areas        are kept, and found again
//!   erases in the background                begin anew if they have not ended when the last program has
//!   cores, reading ahead                    forget
//! ```
//! So zones lose nothing, also of writes that were never answered. The conventional namespace is as on a drive without
//! capacitors: its buffer is lost.

use crate::ahead::Ahead;
use crate::Zns;
use ftl::{Cores, Event, Namespace, PowerCut};
use units::{Instant, ZoneId, PAGE_BYTES, PAGE_SECTORS};
use zone::State;

impl Zns {
    /// Power goes at `now` and comes back. Commands whose completion is later were never answered. Counters go on.
    pub fn power_cut(&mut self, now: Instant) -> PowerCut {
        self.advance(now);
        let off = self.arrival().max(self.durable);
        self.advance(off);
        let mut cut = PowerCut::at(off);
        let rest = self
            .meta
            .as_mut()
            .map(|meta| meta.rest(&mut self.flash, off));
        let blocks: Vec<_> = self.zones.ids().map(ZoneId::new).collect();
        let blocks = blocks.into_iter().flat_map(|id| self.blocks(id));
        let erasing = blocks.filter(|&(plane, block)| self.flash.is_erasing(plane, block, off));
        let erasing: Vec<_> = erasing.collect();
        self.flash.power_cut(off);
        let work = self.flash.begin();
        for (plane, block) in erasing {
            self.flash.defer_erase(off, plane, block, work);
        }
        self.flash.release(work);
        if let (Some(meta), Some(rest)) = (&mut self.meta, rest) {
            meta.power_cut(&mut self.flash, rest, off, &mut cut);
        }
        self.zones.power_cut(|_| u64::MAX);
        self.cores = Cores::new(&self.config.cores);
        self.ahead = Ahead::new(self.config.read_ahead, self.config.chips.flash_page.get());
        self.note_survived();
        self.advance(cut.ready);
        cut
    }

    fn note_survived(&mut self) {
        if !self.observer.is_on() {
            return;
        }
        for id in self.zones.ids().map(ZoneId::new) {
            let zone = self.zones.get(id).unwrap_or_default();
            if zone.state == State::Offline {
                continue;
            }
            let first = self.zones.start(id).get() / PAGE_SECTORS;
            let in_flash = self.body(id).programmed.div_ceil(PAGE_BYTES);
            let written = zone.written.div_ceil(PAGE_SECTORS);
            let pages = self.zones.layout().size / PAGE_SECTORS;
            for page in (0..pages).filter(|p| *p < written || self.zones.area_holds(id, *p)) {
                let place = (page < in_flash).then(|| self.page_place(id, page));
                self.observer.note(|| Event::Survived {
                    namespace: Namespace::Data,
                    lpn: first + page,
                    at: place,
                });
            }
        }
    }
}
