// SPDX-License-Identifier: GPL-2.0-or-later
//! What both namespaces share: flash, host link, map cache, costs and a batch of reads.
//!
//! The map in flash is a table with an entry for each page of a namespace; the entry of a zone or chunk stands at its
//! first page. Map pages of 4 KiB lie on planes by hash, in blocks that are not modelled:
//!
//! ```text
//!   namespace, granularity | first page / entries of 4 KiB --hash--> plane of all the drive's
//! ```

use crate::config::Config;
use crate::hmb::Hmb;
use crate::l2p::{Cache, Grain};
use crate::superblock::{FlashPage, Pool, NONE};
use ftl::{Costs, Observer, Random};
use nand::{BlockId, Booking, Link, Media, Moved, Op, PlaneId, Purpose, Work};
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
    /// If the drive asks for one.
    pub hmb: Option<Hmb>,
    pub costs: Costs,
    /// What tests are told.
    pub observer: Observer,
    /// Planes of the drive.
    planes: u32,
    /// Entries of a map page.
    map_entries: u32,
    batch: Batch,
}

// Nothing is in the batch between commands. Costs can be changed while the drive runs: whoever
// decodes has set them.
state::state!(Core { media, link, l2p, hmb[fixed]; costs, observer, planes, map_entries, batch });

impl Core {
    pub fn new(config: &Config) -> Self {
        Self {
            media: Media::new(&config.geometry, &config.timing).with_suspend(config.suspension),
            link: Link::new(config.link_mbps),
            l2p: Cache::new(&config.l2p, config.map_entries(), config.seed),
            hmb: Hmb::new(&config.hmb, config.l2p.entries_of_page()),
            costs: config.costs,
            observer: Observer::default(),
            planes: config.geometry.planes().max(1),
            map_entries: config.l2p.entries_of_page(),
            batch: Batch {
                senses: Vec::with_capacity(1 << 10),
            },
        }
    }

    /// No operation will be asked for before `now`.
    pub fn prune(&mut self, now: Instant) {
        self.media.run(now);
        self.link.prune(now);
    }

    /// Moves pages of the host's into a flash page, as many as the purpose says; programs if the wordline is
    /// complete then.
    pub fn load(&mut self, at: Instant, to: FlashPage, purpose: Purpose) -> Booking {
        let op = Self::load_of(to, purpose.pages);
        self.media.schedule_for(at, to.plane, to.block, op, purpose)
    }

    /// The same for whole flash pages on `count` neighbouring planes, from `first` on; `loaded` is told
    /// each one's number among them, and its end.
    pub fn load_row(
        &mut self,
        at: Instant,
        (first, count): (FlashPage, u32),
        purpose: Purpose,
        mut loaded: impl FnMut(&mut Observer, u32, Instant),
    ) {
        let op = Self::load_of(first, purpose.pages);
        let planes = (first.plane, count);
        let observer = &mut self.observer;
        self.media
            .schedule_each(at, planes, first.block, op, Some(purpose), |i, end| {
                loaded(observer, i, end);
            });
    }

    /// The same in the background, after the reads of `after`.
    pub fn defer_load(&mut self, at: Instant, to: FlashPage, n: u32, work: Work, after: Work) {
        let op = Self::load_of(to, n);
        self.media
            .defer(at, to.plane, to.block, op, work, Some(after));
    }

    fn load_of(to: FlashPage, n: u32) -> Op {
        let bits = to.mode.bits();
        Op::Load {
            mode: to.mode,
            bytes: pages(n),
            program: to.row % bits == bits - 1,
        }
    }

    /// Erases a superblock for the host, not before what replaced its pages is durable; returns when
    /// the last plane has. With `waits` the host waits for that.
    pub fn erase(&mut self, at: Instant, pool: &Pool, sb: u32, waits: bool) -> Instant {
        let at = at.max(self.durable_by(pool.get(sb).until));
        let purpose = (!waits).then_some(Purpose {
            owner: NONE,
            flush: NONE,
            place: NONE,
            pages: 0,
        });
        let mut end = at;
        let erased = |_, erased| end = end.max(erased);
        let (planes, block) = (pool.planes(sb), pool.block(sb));
        self.media
            .schedule_each(at, planes, block, Op::Erase, purpose, erased);
        end
    }

    /// Erases superblocks, which are being moved, after a power cut; they are free then.
    pub fn erase_all(&mut self, pool: &mut Pool, sbs: &[u32], at: Instant) {
        for &sb in sbs {
            let end = self.erase(at, pool, sb, true);
            pool.release(sb, end);
        }
    }

    /// Reads a flash page of each plane of a superblock, the last of a wordline: how far it was programmed. Returns when
    /// they are in.
    pub fn scan(&mut self, at: Instant, pool: &Pool, sb: u32) -> Instant {
        let op = Op::Read {
            mode: pool.mode,
            row: pool.mode.bits() - 1,
            bytes: pages(pool.lpp()),
        };
        let mut end = at;
        let ((first, count), block) = (pool.planes(sb), pool.block(sb));
        for plane in (first.0..first.0 + count).map(PlaneId) {
            end = end.max(self.media.schedule(at, plane, block, op).end);
        }
        end
    }

    /// Power goes at `now`: nothing is under way any more, and nothing is cached.
    pub fn power_cut(&mut self, config: &Config, now: Instant) {
        self.media.power_cut(now);
        self.link.power_cut(now);
        let evictions = self.l2p.evictions;
        self.l2p = Cache::new(&config.l2p, config.map_entries(), config.seed);
        self.l2p.evictions = evictions;
        if let Some(hmb) = &mut self.hmb {
            hmb.power_cut();
        }
        self.batch.senses.clear();
    }

    /// Passes on which programs end later than was said, until they are taken.
    pub fn settle(&mut self, mut taken: impl FnMut(&mut Observer, &Moved) -> bool) {
        let observer = &mut self.observer;
        self.media.take_moved(|moved| taken(observer, moved));
    }

    /// Whether programs of the host's may end later than was said.
    pub fn is_halting(&self) -> bool {
        self.media.running() > 0
    }

    /// When programs that were to end by `until` have: somebody counts on that now.
    pub fn durable_by(&mut self, until: Instant) -> Instant {
        until.max(self.media.tell(|_, promised| promised <= until))
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
        self.media.schedule(at, PlaneId(plane), MAP_BLOCK, op).end
    }

    /// The entries of pages change: those that the host's memory has are stale.
    pub fn forget_pages(&mut self, namespace: u8, first: u32, n: u32) {
        if let Some(hmb) = &mut self.hmb {
            hmb.forget_pages(namespace, first, n);
        }
    }

    /// The same of another entry.
    pub fn forget(&mut self, namespace: u8, grain: Grain, first: u32) {
        if let Some(hmb) = &mut self.hmb {
            hmb.forget(namespace, grain, first);
        }
    }

    /// Adds a page to the batch of reads: one sense for each flash page.
    pub fn want(&mut self, page: FlashPage) {
        self.batch.add(page);
    }

    /// Issues the batch at `at`; returns when its last page is in, or `at` if there is none.
    pub fn read_wanted(&mut self, at: Instant) -> Instant {
        let mut end = at;
        for &(page, n) in &self.batch.senses {
            let read = self
                .media
                .schedule(at, page.plane, page.block, Batch::sense(page, n));
            end = end.max(read.end);
        }
        self.batch.senses.clear();
        end
    }

    /// Queues the batch as background work.
    pub fn defer_wanted(&mut self, at: Instant) -> Work {
        let work = self.media.begin();
        for &(page, n) in &self.batch.senses {
            let op = Batch::sense(page, n);
            self.media.defer(at, page.plane, page.block, op, work, None);
        }
        self.media.seal(work);
        self.batch.senses.clear();
        work
    }
}

/// Flash pages to sense, in the order first asked for, and how many pages of each.
#[derive(Clone, Debug, Default)]
struct Batch {
    senses: Vec<(FlashPage, u32)>,
}

impl Batch {
    fn sense(page: FlashPage, n: u32) -> Op {
        Op::Read {
            mode: page.mode,
            row: page.row,
            bytes: pages(n),
        }
    }

    fn add(&mut self, page: FlashPage) {
        // Neighbours mostly share a flash page; only scattered ones need the search.
        let held = self.senses.iter_mut().rev().find(|s| s.0 == page);
        match held {
            Some(sense) => sense.1 += 1,
            None => self.senses.push((page, 1)),
        }
    }
}
