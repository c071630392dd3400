// SPDX-License-Identifier: GPL-2.0-or-later
//! What both namespaces share: flash, host link, map cache, costs and a batch of reads.
//!
//! The map in flash is a table with an entry for each page of a namespace; the entry of a zone or chunk stands at its
//! first page. Map pages of 4 KiB lie on planes by hash, in blocks that are not modelled:
//!
//! ```text
//!   namespace, granularity | first page / entries of 4 KiB --hash--> plane of all the drive's
//! ```

use crate::config::{Config, Suspend};
use crate::l2p::{Cache, Grain};
use crate::superblock::{FlashPage, Pool};
use ftl::{Costs, Random};
use nand::{BlockId, Booking, Link, Media, Op, PlaneId, Priority, Yield};
use units::{Bytes, Instant, PAGE_BYTES};

/// Bytes of `n` logical pages.
pub(crate) fn pages(n: u32) -> Bytes {
    Bytes::new(u64::from(n) * PAGE_BYTES)
}

/// Where the map is: a block that no superblock has.
const MAP_BLOCK: BlockId = BlockId(u32::MAX);

/// The shared parts of the drive.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub media: Media,
    pub link: Link,
    pub l2p: Cache,
    pub costs: Costs,
    /// Planes of the drive.
    planes: u32,
    /// Entries of a map page.
    map_entries: u32,
    batch: Batch,
}

impl Core {
    pub fn new(config: &Config) -> Self {
        Self {
            media: Media::new(&config.geometry, &config.timing).with_yield(
                match config.suspension.rule {
                    Suspend::Off => Yield::Queued,
                    Suspend::Background | Suspend::All => Yield::Suspend,
                },
            ),
            link: Link::new(config.link_mbps),
            l2p: Cache::new(&config.l2p, config.map_entries(), config.seed),
            costs: config.costs,
            planes: config.geometry.planes().max(1),
            map_entries: config.l2p.entries_of_page(),
            batch: Batch {
                senses: Vec::with_capacity(1 << 10),
            },
        }
    }

    /// No operation will be asked for before `now`.
    pub fn prune(&mut self, now: Instant) {
        self.media.prune(now);
        self.link.prune(now);
    }

    /// Moves `n` pages into a flash page; programs if the wordline is complete then.
    pub fn load(&mut self, at: Instant, to: FlashPage, n: u32, priority: Priority) -> Booking {
        let bits = to.mode.bits();
        let program = to.row % bits == bits - 1;
        let op = Op::Load {
            mode: to.mode,
            bytes: pages(n),
            program,
        };
        self.media.schedule(at, to.plane, to.block, op, priority)
    }

    /// Erases a superblock; returns when the last plane has.
    pub fn erase(&mut self, at: Instant, pool: &Pool, sb: u32, priority: Priority) -> Instant {
        let block = pool.block(sb);
        pool.planes(sb)
            .map(|plane| {
                self.media
                    .schedule(at, plane, block, Op::Erase, priority)
                    .end
            })
            .fold(at, Instant::max)
    }

    /// Reads the map page with the entry of a unit, from its first page on.
    pub fn read_map(&mut self, at: Instant, namespace: u8, grain: Grain, first: u32) -> Instant {
        let page = u64::from(first / self.map_entries);
        let key = page << 8 | (grain as u64) << 4 | u64::from(namespace);
        // Less than the planes.
        let plane = (Random::new(key).draw() % u64::from(self.planes)) as u32;
        let op = Op::Read {
            mode: nand::Cell::Slc,
            row: 0,
            bytes: pages(1),
        };
        self.media
            .schedule(at, PlaneId(plane), MAP_BLOCK, op, Priority::User)
            .end
    }

    /// Adds a page to the batch of reads: one sense for each flash page.
    pub fn want(&mut self, page: FlashPage) {
        self.batch.add(page);
    }

    /// Issues the batch at `at`; returns when its last page is in, or `at` if there is none.
    pub fn read_wanted(&mut self, at: Instant, priority: Priority) -> Instant {
        let mut end = at;
        for &(page, n) in &self.batch.senses {
            let op = Op::Read {
                mode: page.mode,
                row: page.row,
                bytes: pages(n),
            };
            let read = self
                .media
                .schedule(at, page.plane, page.block, op, priority);
            end = end.max(read.end);
        }
        self.batch.senses.clear();
        end
    }
}

/// Flash pages to sense, in the order first asked for, and how many pages of each.
#[derive(Clone, Debug, Default)]
struct Batch {
    senses: Vec<(FlashPage, u32)>,
}

impl Batch {
    fn add(&mut self, page: FlashPage) {
        // Neighbours mostly share a flash page; only scattered ones need the search.
        let held = self.senses.iter_mut().rev().find(|s| s.0 == page);
        match held {
            Some(sense) => sense.1 += 1,
            None => self.senses.push((page, 1)),
        }
    }
}
