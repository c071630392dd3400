// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads: flash pages in parallel, each on to the host as soon as it is in.

use super::{touched, Engine};
use crate::partition::{FlashPage, Home, Partition};
use core::ops::Range;
use ftl::Flash;
use nand::{BlockId, PlaneId};
use units::{Bytes, Instant, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

/// Flash pages to sense for one command.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    senses: Vec<Sense>,
}

#[derive(Clone, Copy, Debug)]
struct Sense {
    from: FlashPage,
    /// 4 KiB pages that cross the channel.
    pages: u32,
    /// Bytes of them that go on to the host.
    host_bytes: u64,
    /// When it is known where they are.
    ready: Instant,
}

/// The latest part of the map that was read for a command.
#[derive(Clone, Copy, Debug, Default)]
struct Lookup {
    segment: u32,
    ready: Instant,
}

impl Batch {
    /// Senses that a command may add to: bounds the search in a large scattered read, and covers
    /// one flash page of each plane in a sequential one.
    const SEARCHED: usize = 64;

    pub fn new() -> Self {
        Self {
            senses: Vec::with_capacity(1 << 10),
        }
    }

    fn add(&mut self, from: FlashPage, host_bytes: u64, ready: Instant) {
        let recent = self.senses.iter_mut().rev().take(Self::SEARCHED);
        match recent.into_iter().find(|s| s.from == from) {
            Some(sense) => {
                sense.pages += 1;
                sense.host_bytes += host_bytes;
                sense.ready = sense.ready.max(ready);
            }
            None => self.senses.push(Sense {
                from,
                pages: 1,
                host_bytes,
                ready,
            }),
        }
    }
}

impl Partition {
    /// Senses the old content of a page that is written in part; returns when it is in.
    pub(crate) fn read_old(&mut self, flash: &mut Flash, page: u32, at: Instant) -> Instant {
        match self.home(page, at, flash) {
            Home::Unmapped | Home::Memory => at,
            Home::Flash(from) => {
                self.counters.partial_reads += 1;
                let bytes = Bytes::new(PAGE_BYTES);
                flash.read(at, from.plane, from.block, from.page, bytes)
            }
        }
    }
}

impl Engine {
    /// Looks a page up in the map; returns when it is known where it is. A command's segments come
    /// one after the other, so `last` is the only one that it may still wait for.
    fn look_up(
        &mut self,
        flash: &mut Flash,
        page: u64,
        ready: Instant,
        last: &mut Lookup,
    ) -> Instant {
        let Some(cache) = &mut self.map_cache else {
            return ready;
        };
        let segment = cache.segment(page);
        let cached = cache.touch(segment);
        let Some(counters) = self.partitions.first_mut().map(|p| &mut p.counters) else {
            return ready;
        };
        if !cached {
            counters.map_reads += 1;
            // Spread by hash: a host that strides over the map does not end up on one plane.
            let planes = u64::from(flash.chips().planes().max(1));
            let plane = ftl::Random::new(segment.into()).draw() % planes;
            // Lossless: below the planes' number.
            let (plane, block) = (PlaneId(plane as u32), BlockId(u32::MAX));
            let read = flash.read(ready, plane, block, 0, Bytes::new(PAGE_BYTES));
            *last = Lookup {
                segment,
                ready: read,
            };
        }
        if segment == last.segment {
            counters.l2p_misses += 1;
            last.ready
        } else {
            counters.l2p_hits += 1;
            ready
        }
    }

    /// Reads a range; returns when it is complete.
    pub(crate) fn read(
        &mut self,
        flash: &mut Flash,
        range: &Range<u64>,
        internal: bool,
        now: Instant,
    ) -> Instant {
        if range.is_empty() {
            return now;
        }
        let bytes = Bytes::new((range.end - range.start) * SECTOR_BYTES);
        let ready = now + flash.firmware(bytes);
        let mut buffered = 0;
        let mut unmapped = 0;
        let mut last = Lookup::default();
        for page in touched(range) {
            let start = range.start.max(page * PAGE_SECTORS);
            let end = range.end.min((page + 1) * PAGE_SECTORS);
            let bytes = (end - start) * SECTOR_BYTES;
            let (part, local) = self.split(page);
            let Some(partition) = self.partitions.get_mut(part) else {
                continue;
            };
            match partition.home(local, ready, flash) {
                Home::Flash(from) => {
                    let known = self.look_up(flash, page, ready, &mut last);
                    self.batch.add(from, bytes, known);
                }
                Home::Memory => {
                    buffered += bytes;
                    partition.counters.buffer_hits += 1;
                }
                Home::Unmapped => {
                    unmapped += bytes;
                    partition.counters.unmapped_reads += 1;
                }
            }
        }
        let senses = self.batch.senses.len() as u64;
        if let Some(partition) = self.partitions.first_mut() {
            // Only their sum is ever shown.
            partition.counters.senses += senses;
        }
        let mut done = ready;
        let mut send = |flash: &mut Flash, at, bytes| {
            let end = match internal {
                true => at,
                false => flash.cross_link(at, Bytes::new(bytes)),
            };
            done = done.max(end);
        };
        for sense in self.batch.senses.drain(..) {
            let FlashPage { plane, block, page } = sense.from;
            let bytes = Bytes::new(u64::from(sense.pages) * PAGE_BYTES);
            let read = flash.read(sense.ready, plane, block, page, bytes);
            send(flash, read, sense.host_bytes);
        }
        if buffered > 0 {
            let access = flash.buffer_access(Bytes::new(buffered));
            send(flash, ready + access, buffered);
        }
        if unmapped > 0 {
            send(flash, ready, unmapped);
        }
        done
    }
}
