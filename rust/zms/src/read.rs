// SPDX-License-Identifier: GPL-2.0-or-later
//! The read path, and how a mapping is looked up (zms-model §5, §6).
//!
//! ```text
//!   firmware -> walk the pages -+- buffered: one buffer access for all, beside the flash
//!                               +- mapped, cached: join the batch
//!                               +- mapped, not cached: issue the batch, read the host's memory or the map, go on
//!               issue the batch -> last page in -> one transfer over the host link
//! ```

use crate::config::L2pSearch;
use crate::core::{pages, Core};
use crate::hmb::{Looked, PIECE_BYTES};
use crate::l2p::{Grain, Key};
use crate::superblock::FlashPage;
use crate::zoned::page_range;
use ftl::{ByGrain, Counters, HmbCounters, Observer};
use nand::Moved;
use units::{Bytes, Instant, Sector, PAGE_BYTES, SECTOR_BYTES};

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Buffered,
    Flash(FlashPage),
    Unmapped,
}

/// How misses are served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    pub strategy: L2pSearch,
    pub preread: u32,
}

/// A namespace's map, as the read path sees it.
pub(crate) trait Map {
    /// 0 meta, 1 data: part of every key.
    const NAMESPACE: u8;

    /// A program ends later than was said. False if it is not the namespace's.
    fn moved(&mut self, observer: &mut Observer, moved: &Moved) -> bool;

    /// Where `lpn` is at `at`.
    fn find(&self, lpn: u32, at: Instant) -> Found;

    /// The granularities that a lookup asks, coarse to fine.
    fn grains(&self) -> &[Grain];

    /// The first page of the unit of `grain` around `lpn`, and the unit's pages.
    fn unit(&self, grain: Grain, lpn: u32) -> (u32, u32);

    /// The coarsest granularity that maps `lpn`, which is in flash.
    fn grain_of(&self, lpn: u32) -> Grain;
}

fn count(by: &mut ByGrain, grain: Grain) {
    match grain {
        Grain::Zone => by.zone += 1,
        Grain::SubZone => by.sub_zone += 1,
        Grain::Chunk => by.chunk += 1,
        Grain::Page => by.page += 1,
    }
}

/// What a read command asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// First page.
    pub first: u32,
    /// Pages touched.
    pub pages: u32,
    /// Bytes of them.
    pub bytes: Bytes,
    /// Whether the data stays inside the drive.
    pub internal: bool,
}

impl Wanted {
    pub fn new(at: Sector, sectors: u64, internal: bool) -> Self {
        let (first, pages) = page_range(at, sectors);
        Self {
            first,
            pages,
            bytes: Bytes::new(sectors.saturating_mul(SECTOR_BYTES)),
            internal,
        }
    }
}

/// What one read command adds to its namespace's counters. (Those are far too large to move.)
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    buffered: u32,
    unmapped: u64,
    flash: u64,
    map_reads: u64,
    hmb: HmbCounters,
    hits: ByGrain,
    misses: ByGrain,
}

impl Tally {
    /// Counts a command that arrived at `now` and completes at `done`.
    pub fn add_to(&self, counters: &mut Counters, wanted: Wanted, now: Instant, done: Instant) {
        counters.host_reads += 1;
        counters.host_read_pages += u64::from(wanted.pages);
        counters.host_read_sectors += wanted.bytes.get() / SECTOR_BYTES;
        counters.buffer_hits += u64::from(self.buffered);
        counters.unmapped_reads += self.unmapped;
        counters.pages_read += self.flash;
        counters.map_reads += self.map_reads;
        counters.hmb.add(self.hmb);
        counters.l2p_hits.add(self.hits);
        counters.l2p_misses.add(self.misses);
        counters.read_latency.add(done.since(now));
    }
}

/// Reads what is wanted; returns the completion and what to count.
#[inline(never)]
pub(crate) fn read<M: Map>(
    core: &mut Core,
    map: &mut M,
    search: Search,
    wanted: Wanted,
    now: Instant,
) -> (Instant, Tally) {
    let mut tally = Tally::default();
    if let Some(hmb) = &mut core.hmb {
        hmb.begin();
    }
    let Wanted { first, pages, .. } = wanted;
    let firmware = if wanted.bytes.get() <= PAGE_BYTES {
        core.costs.read_4k
    } else {
        core.costs.read
    };
    let start = now + firmware;
    let mut at = start;
    let mut end = start;
    for lpn in first..first.saturating_add(pages) {
        let page = match map.find(lpn, at) {
            Found::Unmapped => {
                tally.unmapped += 1;
                continue;
            }
            Found::Buffered => {
                tally.buffered += 1;
                continue;
            }
            Found::Flash(page) => page,
        };
        tally.flash += 1;
        if let Some(grain) = cached::<M>(core, map, lpn) {
            count(&mut tally.hits, grain);
        } else {
            end = end.max(core.read_wanted(at));
            if core.media.has_moved() {
                core.settle(|observer, moved| map.moved(observer, moved));
            }
            at = miss(core, map, search, &mut tally, lpn, at);
        }
        core.want(page);
    }
    end = end.max(core.read_wanted(at));
    if tally.buffered > 0 {
        let pages = u64::from(tally.buffered);
        let access = core.costs.buffer_base + core.costs.buffer_page.times(pages);
        end = end.max(start + access);
    }
    if !wanted.internal {
        end = core.link.transfer(end, wanted.bytes);
    }
    (end, tally)
}

/// The granularity at which the page's mapping is cached, if it is.
fn cached<M: Map>(core: &mut Core, map: &M, lpn: u32) -> Option<Grain> {
    map.grains().iter().copied().find(|&grain| {
        core.l2p
            .lookup(Key::new(grain, M::NAMESPACE, map.unit(grain, lpn).0))
    })
}

/// Fetches the mapping of `lpn` from flash and caches it; returns when it is known.
fn miss<M: Map>(
    core: &mut Core,
    map: &M,
    search: Search,
    tally: &mut Tally,
    lpn: u32,
    mut at: Instant,
) -> Instant {
    let holds = map.grain_of(lpn);
    count(&mut tally.misses, holds);
    for &grain in map.grains() {
        if search.strategy == L2pSearch::Bitmap && grain != holds {
            continue;
        }
        let (first, _) = map.unit(grain, lpn);
        if matches!(map.find(first, at), Found::Flash(_)) {
            at = fetch::<M>(core, tally, grain, first, at);
        }
        if grain == holds {
            break;
        }
    }
    let (first, unit) = map.unit(holds, lpn);
    for i in (1..=search.preread).rev() {
        let Some(next) = unit.checked_mul(i).and_then(|far| first.checked_add(far)) else {
            continue;
        };
        if matches!(map.find(next, at), Found::Flash(_)) && map.grain_of(next) == holds {
            core.l2p
                .insert(Key::new(holds, M::NAMESPACE, map.unit(holds, next).0));
        }
    }
    core.l2p.insert(Key::new(holds, M::NAMESPACE, first));
    at
}

/// Looks for the entry of a unit in the host's memory, and reads the map if it is not there; returns when it is known.
fn fetch<M: Map>(
    core: &mut Core,
    tally: &mut Tally,
    grain: Grain,
    first: u32,
    mut at: Instant,
) -> Instant {
    let piece = Bytes::new(PIECE_BYTES as u64);
    if let Some(hmb) = core.hmb.as_mut().filter(|hmb| hmb.lent() > 0) {
        let looked = hmb.look_up(M::NAMESPACE, grain, first);
        if looked != Looked::Miss {
            at = core.link.transfer(at + hmb.read, piece);
        }
        match looked {
            Looked::Hit => {
                tally.hmb.hits += 1;
                return at;
            }
            Looked::Corrupt => tally.hmb.corrupt += 1,
            Looked::Miss => {}
        }
        tally.hmb.misses += 1;
    }
    let known = core.read_map(at, M::NAMESPACE, grain, first);
    tally.map_reads += 1;
    if let Some(hmb) = &mut core.hmb {
        if hmb.fill(M::NAMESPACE, grain, first) {
            tally.hmb.fills += 1;
            core.link.transfer(known, pages(1));
        }
    }
    known
}
