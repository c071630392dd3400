// SPDX-License-Identifier: GPL-2.0-or-later
//! The zoned data namespace: zones over superblocks.
//!
//! ```text
//!   zone   |  native superblock  |  A / pSLC  |  write buffer  |  not written
//!          0                  native       flushed      write pointer
//! ```
//! A zone's pages are, from its start: in its native superblock (place computed), in pSLC (looked
//! up in [`Index`]), in a write buffer, in its random write area (`zrwa`). The first of those in
//! pSLC are `A`, the secondary buffer: less than a program unit, waiting to be combined with what follows.
//!
//! The index also has the pSLC copies of native pages whose wordline has not been programmed: copies of
//! A that were combined, and backups. They go when the program has ended.
//!
//! Invariants: see [`Zoned::check_invariants`].

use crate::area::Area;
use crate::buffer::Buffers;
use crate::config::{Config, ConfigError, DataNamespace, SlcMap};
use crate::core::Core;
use crate::index::Index;
use crate::l2p::{Grain, Key};
use crate::lending::Lending;
use crate::mover::{Kind, Mover};
use crate::read::{Found, Map, Search, Wanted};
use crate::superblock::{Appender, Loc, Pool, SbState, Victims, NONE};
use ftl::{Counters, Observer, Recent};
use nand::{Cell, Moved};
use state::{ensure, ensure_eq, state};
use units::{Instant, Sector, ZoneId, PAGE_BYTES, PAGE_SECTORS};

/// What the flash side knows of one zone. Page numbers count from the zone's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZoneFtl {
    /// Native superblock; bound at the first native page.
    pub sb: u32,
    /// Pages in native cells, loaded ones included.
    pub native: u32,
    /// The same with the units of a migration under way.
    pub planned: u32,
    /// Pages in flash.
    pub flushed: u32,
    /// Pages after `planned` that are the secondary buffer.
    pub a: u32,
    /// Whether the last of the flushed pages was written only in part.
    pub partial: bool,
    /// Native pages with a copy in pSLC, until their wordline has been programmed.
    pub held: u32,
    /// Of those, how many have a copy of an older version.
    pub stale: u32,
    /// The buffer with its pages.
    pub buffer: u32,
    /// Native flash pages that are complete or have a backup.
    pub backed: u32,
    /// Loaded pages that have no backup; it is listed then.
    pub alone: u32,
    /// Its own pSLC write pointer ([`SlcMap::Zone`]).
    pub slc: Appender,
    /// Pages committed from its random write area since it was made durable: still in its memory.
    pub kept: u32,
    /// Its pages came from a random write area, whose memory has those that are not in flash yet.
    pub from_area: bool,
    /// When the last of its programs ends.
    pub durable: Instant,
}

impl Default for ZoneFtl {
    fn default() -> Self {
        Self {
            sb: NONE,
            native: 0,
            planned: 0,
            flushed: 0,
            a: 0,
            partial: false,
            held: 0,
            stale: 0,
            buffer: NONE,
            backed: 0,
            alone: 0,
            slc: Appender::default(),
            kept: 0,
            from_area: false,
            durable: Instant::ZERO,
        }
    }
}

state!(ZoneFtl {
    sb,
    native,
    planned,
    flushed,
    a,
    partial,
    held,
    stale,
    buffer,
    backed,
    alone,
    slc,
    kept,
    from_area,
    durable
});

/// A page's copy in pSLC, at its location after the superblock's `opened`th opening, has so many sectors only: then it was
/// taken back into a buffer to be continued.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fetched {
    pub lpn: u32,
    pub loc: Loc,
    pub opened: u64,
    pub sectors: u8,
}

state!(Fetched {
    lpn,
    loc,
    opened,
    sectors
});

/// Sizes that follow from the configuration, in pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Program unit.
    pub unit: u32,
    /// Pages of a flash page.
    pub lpp: u32,
    /// Pages between the starts of zones.
    pub span: u32,
    /// Pages of a zone that can be written.
    pub capacity: u32,
    /// Pages of a chunk.
    pub chunk: u32,
    pub bypass: bool,
    pub slc_map: SlcMap,
    pub hybrid: bool,
    pub threshold: u32,
    /// Zones that keep loaded pages without a backup, at most.
    pub most_loaded: u64,
    pub reset_wait: bool,
    /// Pages of a random write area.
    pub area: u32,
}

/// Partly written copies kept in mind whether they can still be needed or not.
const FEW_FETCHED: usize = 64;

/// The zoned namespace.
#[derive(Clone, Debug)]
pub(crate) struct Zoned {
    pub shape: Shape,
    pub search: Search,
    pub zones: zone::Zones,
    pub ftl: Vec<ZoneFtl>,
    pub native: Pool,
    /// pSLC. Zones have host pointers of their own with [`SlcMap::Zone`].
    pub slc: Area,
    /// Where pages are in pSLC.
    pub index: Index,
    pub buffers: Buffers,
    /// Partly written copies that may still be what a power cut leaves of their pages, and some that are not.
    pub fetched: Recent<Fetched, FEW_FETCHED>,
    /// Zones with loaded flash pages that have no backup.
    pub loaded: Vec<u32>,
    /// Their pages, at most.
    pub all_alone: u64,
    /// Loaded pages that a backup is being made of; kept for its memory.
    pub alone: Vec<u32>,
    /// When the last program of host data ends.
    pub durable: Instant,
    pub mover: Mover,
    pub lending: Lending,
    pub counters: Counters,
}

state!(Zoned {
    zones, ftl[fixed], native, slc, index, buffers, fetched, loaded, durable, mover, lending, counters;
    shape, search, all_alone, alone
} => restore);

impl Zoned {
    /// An empty namespace; its superblocks are numbered from `first_block`.
    pub fn new(config: &Config, first_block: u32) -> Result<Self, ConfigError> {
        let DataNamespace::Zoned {
            zones,
            zone_size,
            max_open,
            max_active,
        } = config.data
        else {
            return Err(ConfigError::Zones);
        };
        let g = &config.geometry;
        let small = |n: u64| u32::try_from(n).map_err(|_| ConfigError::Zones);
        let shape = Shape {
            unit: g.unit_lpns(),
            lpp: g.lpns_per_page(),
            span: small(zone_size.get() / PAGE_BYTES)?,
            capacity: small(g.superblock_lpns(g.cell))?,
            chunk: small(config.l2p.chunk.get() / PAGE_BYTES)?,
            bypass: config.slc_bypass,
            slc_map: config.slc_map,
            hybrid: config.l2p.hybrid,
            threshold: config.migrate_threshold,
            most_loaded: config.most_loaded(),
            reset_wait: config.reset_wait,
            area: config
                .zone_options
                .zrwa
                .map_or(0, |area| (area.size / PAGE_SECTORS) as u32),
        };
        let groups = g.groups();
        let count = config.zone_superblocks(zones);
        let in_slc = config.slc_superblocks.saturating_mul(groups);
        let pools = |native_block, slc_block| {
            let native = Pool::new(g, g.cell, count, native_block, Victims::Oldest);
            let slc = Pool::new(g, Cell::Slc, in_slc, slc_block, Victims::Oldest);
            (native, slc)
        };
        let (mut native, mut slc) = match config.slc_dynamic_share {
            0 => pools(first_block, first_block.saturating_add(count)),
            _ => pools(first_block.saturating_add(in_slc), first_block),
        };
        if config.slc_dynamic_share > 0 {
            slc = slc.sharing(&mut native);
        }
        let layout = zone::Layout {
            zones,
            size: u64::from(shape.span) * PAGE_SECTORS,
            capacity: u64::from(shape.capacity) * PAGE_SECTORS,
        };
        let b = &config.buffers;
        let active = if max_active == 0 {
            zones
        } else {
            max_active.min(zones)
        };
        Ok(Self {
            search: Search {
                strategy: config.l2p.search,
                preread: config.l2p.preread,
            },
            zones: zone::Zones::new(
                layout,
                zone::Limits {
                    max_open,
                    max_active,
                },
            )
            .with(config.zone_options),
            ftl: vec![ZoneFtl::default(); zones as usize],
            index: Index::new(slc.count().saturating_mul(slc.pages)),
            mover: Mover::new(native.stripe()),
            alone: Vec::with_capacity(native.stripe() as usize),
            native,
            slc: {
                // A victim can be remainders and backups from end to end.
                let kept = slc.pages;
                Area::new(slc, kept)
            },
            buffers: Buffers::new(b.count, config.data_buffer_pages(), b.policy, b.dwell),
            fetched: Recent::with_capacity(FEW_FETCHED),
            loaded: Vec::with_capacity(active as usize),
            all_alone: 0,
            durable: Instant::ZERO,
            lending: Lending::new(config.slc_dynamic_share),
            counters: Counters::default(),
            shape,
        })
    }

    /// First LPN of a zone.
    pub fn first_lpn(&self, z: u32) -> u32 {
        z * self.shape.span
    }

    pub fn zone(&self, z: u32) -> &ZoneFtl {
        &self.ftl[z as usize]
    }

    pub fn zone_mut(&mut self, z: u32) -> &mut ZoneFtl {
        &mut self.ftl[z as usize]
    }

    /// Pages of the zone that were written completely.
    pub fn whole_pages(&self, z: u32) -> u32 {
        let written = self
            .zones
            .get(ZoneId::new(z))
            .map_or(0, |zone| zone.written);
        u32::try_from(written / PAGE_SECTORS).unwrap_or(u32::MAX)
    }

    /// Reads. The range has been checked against the namespace's size.
    #[inline(always)]
    pub fn read(
        &mut self,
        core: &mut Core,
        at: Sector,
        sectors: u64,
        internal: bool,
        now: Instant,
    ) -> Result<Instant, zone::Error> {
        self.zones.check_read(at, sectors)?;
        let wanted = Wanted::new(at, sectors, internal);
        let (done, tally) = crate::read::read(core, self, self.search, wanted, now);
        tally.add_to(&mut self.counters, wanted, now, done);
        Ok(done)
    }

    /// Whether `lpn` has no data.
    pub fn is_unmapped(&self, lpn: u32) -> bool {
        self.find(lpn, Instant::ZERO) == Found::Unmapped
    }

    /// The location of page `page` of a zone that has it in native cells.
    pub fn native_loc(&self, zone: &ZoneFtl, page: u32) -> Loc {
        self.native.start(zone.sb) + page
    }

    /// `n` pages have got their places in flash: their entries are the most recent ones.
    pub fn cache_pages(&self, core: &mut Core, first: u32, n: u32) {
        core.l2p.insert_pages(Self::NAMESPACE, first, n);
        core.forget_pages(Self::NAMESPACE, first, n);
    }

    pub fn uncache_pages(&self, core: &mut Core, first: u32, n: u32) {
        core.l2p.remove_pages(Self::NAMESPACE, first, n);
        core.forget_pages(Self::NAMESPACE, first, n);
    }

    pub fn uncache(&self, core: &mut Core, grain: Grain, first: u32) {
        core.l2p.remove(Key::new(grain, Self::NAMESPACE, first));
        core.forget(Self::NAMESPACE, grain, first);
    }

    /// Coarse entries that native pages `from..to` of zone `z` complete, and what they replace.
    pub fn cache_native(&self, core: &mut Core, z: u32, from: u32, to: u32) {
        let Shape {
            chunk,
            capacity,
            hybrid,
            ..
        } = self.shape;
        let first = self.first_lpn(z);
        if !hybrid {
            return;
        }
        let mut coarse = |grain, at| {
            core.l2p.insert(Key::new(grain, Self::NAMESPACE, at));
            core.forget(Self::NAMESPACE, grain, at);
        };
        let mut done = from / chunk * chunk;
        while done + chunk <= to && to < capacity {
            coarse(Grain::Chunk, first + done);
            done += chunk;
        }
        if to >= capacity {
            coarse(Grain::Zone, first);
            for start in (0..capacity).step_by(chunk as usize) {
                self.uncache(core, Grain::Chunk, first + start);
            }
            done = capacity;
        }
        let covered = from / chunk * chunk;
        if done > covered {
            self.uncache_pages(core, first + covered, done - covered);
        }
    }
}

impl Map for Zoned {
    const NAMESPACE: u8 = 1;

    fn moved(&mut self, observer: &mut Observer, moved: &Moved) -> bool {
        let is_own = self.slc.pool.moved(observer, moved) || self.native.moved(observer, moved);
        if is_own {
            self.buffers.moved(moved.purpose.flush, moved.end);
        }
        is_own
    }

    fn find(&self, lpn: u32, at: Instant) -> Found {
        let (z, page) = (lpn / self.shape.span, lpn % self.shape.span);
        let Some(zone) = self.ftl.get(z as usize) else {
            return Found::Unmapped;
        };
        if page < zone.native {
            return self.find_native(zone, lpn, at);
        }
        if page < zone.flushed {
            return match self.index.get(lpn) {
                None => Found::Unmapped,
                Some(loc) if self.slc.pool.is_programming(loc, at) => Found::Buffered,
                Some(loc) => Found::Flash(self.slc.pool.place(loc)),
            };
        }
        let buffered = match zone.buffer {
            NONE => 0,
            buffer => self.buffers.get(buffer as usize).pages,
        };
        let id = ZoneId::new(z);
        // After a power cut that left no room, what was committed is still in the area's memory.
        let is_kept = zone.from_area && page < self.whole_pages(z);
        if is_kept || page - zone.flushed < buffered || self.zones.area_holds(id, page.into()) {
            Found::Buffered
        } else {
            Found::Unmapped
        }
    }

    fn grains(&self) -> &[Grain] {
        match (self.shape.hybrid, self.shape.slc_map) {
            (false, _) => &[Grain::Page],
            (true, SlcMap::Page) => &[Grain::Zone, Grain::Chunk, Grain::Page],
            (true, SlcMap::Zone) => &Grain::ALL,
        }
    }

    fn unit(&self, grain: Grain, lpn: u32) -> (u32, u32) {
        let Shape { span, chunk, .. } = self.shape;
        let page = lpn % span;
        match grain {
            Grain::Zone => (lpn - page, span),
            Grain::SubZone => (lpn - page % self.slc.pool.pages, self.slc.pool.pages),
            Grain::Chunk => (lpn - page % chunk, chunk),
            Grain::Page => (lpn, 1),
        }
    }

    fn grain_of(&self, lpn: u32) -> Grain {
        let Shape {
            span,
            capacity,
            chunk,
            hybrid,
            ..
        } = self.shape;
        let (z, page) = (lpn / span, lpn % span);
        let native = self.ftl.get(z as usize).map_or(0, |zone| zone.native);
        if !hybrid {
            Grain::Page
        } else if native >= capacity {
            Grain::Zone
        } else if page - page % chunk + chunk <= native {
            Grain::Chunk
        } else if page >= native && self.is_sub_zone(self.unit(Grain::SubZone, lpn).0) {
            Grain::SubZone
        } else {
            Grain::Page
        }
    }
}

impl Zoned {
    /// What is being programmed is still in memory. What waits for its wordline is read from there, or,
    /// moved in the background, where it was.
    fn find_native(&self, zone: &ZoneFtl, lpn: u32, at: Instant) -> Found {
        let page = lpn % self.shape.span;
        let index = page / self.shape.lpp;
        let loc = self.native_loc(zone, page);
        if self.native.is_programming(loc, at) {
            return Found::Buffered;
        }
        // A page register is read like the cells.
        let native = Found::Flash(self.native.flash_page(zone.sb, index));
        if self.shape.bypass || !self.native.is_loaded(index, zone.native) {
            return native;
        }
        match self.index.current(lpn) {
            Some(copy) => Found::Flash(self.slc.pool.place(copy)),
            None => native,
        }
    }

    /// Whether the pages from `first` on fill one closed pSLC superblock, in order.
    pub fn is_sub_zone(&self, first: u32) -> bool {
        let pages = self.slc.pool.pages;
        if self.shape.slc_map != SlcMap::Zone {
            return false;
        }
        let (Some(start), Some(end)) = (self.index.get(first), self.index.get(first + pages - 1))
        else {
            return false;
        };
        let valid = self.slc.pool.get(start / pages).valid;
        start % pages == 0 && end == start + pages - 1 && valid == pages
    }

    /// Finds the owners of what is in pSLC, and checks what the other checks count on.
    fn restore(&mut self) -> Result<(), state::Error> {
        let end = u64::from(self.zones.layout().zones) * u64::from(self.shape.span);
        for (lpn, loc) in self.index.iter() {
            ensure!(u64::from(lpn) < end, "page {lpn} of {end}");
            self.slc.restore_owner(lpn, loc)?;
        }
        let locations = u64::from(self.slc.pool.count()) * u64::from(self.slc.pool.pages);
        let is_there = |f: &Fetched| u64::from(f.loc) < locations && f.sectors < 8;
        ensure!(self.fetched.iter().all(is_there));
        self.all_alone = 0;
        let (capacity, buffers) = (self.shape.capacity, self.buffers.iter().len());
        for zone in &self.ftl {
            ensure!(
                zone.flushed <= capacity && zone.alone <= capacity,
                "{zone:?}"
            );
            ensure!(
                zone.backed <= capacity && zone.kept <= self.shape.area,
                "{zone:?}"
            );
            ensure!(
                zone.buffer == NONE || (zone.buffer as usize) < buffers,
                "{zone:?}"
            );
            zone.slc.check(&self.slc.pool)?;
            self.all_alone += u64::from(zone.alone);
        }
        let zones = self.ftl.len();
        let mut loaded = self.loaded.clone();
        loaded.sort_unstable();
        ensure!(loaded.windows(2).all(|w| w[0] < w[1]));
        ensure!(loaded.last().is_none_or(|z| (*z as usize) < zones));
        let moves = self.mover.under_way().1;
        ensure!(
            moves.iter().all(|m| u64::from(m.lpn) < end),
            "a move of no page"
        );
        self.check_invariants()
    }

    /// Is an error unless superblocks are in use by what they should be.
    fn check_use(&self) -> Result<(), state::Error> {
        let pool = &self.slc.pool;
        let pointers = self.ftl.iter().map(|zone| zone.slc);
        let pointers = pointers.chain([self.slc.host, self.slc.internal]);
        let mut open: Vec<_> = pointers.map(|p| p.sb).filter(|sb| *sb != NONE).collect();
        open.sort_unstable();
        ensure!(
            open.windows(2).all(|w| w[0] < w[1]),
            "two pointers in a superblock"
        );
        ensure_eq!(open.len(), pool.count_of(SbState::Open), "open superblocks");
        let moving = self.mover.check_pool(pool, false, true)?;
        ensure_eq!(moving, pool.count_of(SbState::Moving), "moving superblocks");
        let mut bound: Vec<_> = self.ftl.iter().filter(|zone| zone.sb != NONE).collect();
        bound.sort_unstable_by_key(|zone| zone.sb);
        ensure!(
            bound.windows(2).all(|w| w[0].sb < w[1].sb),
            "two zones in a superblock"
        );
        for zone in &bound {
            let state = match zone.native < self.shape.capacity {
                true => SbState::Open,
                false => SbState::Closed,
            };
            ensure_eq!(self.native.get(zone.sb).state, state, "{zone:?}");
        }
        let free = self.native.free_count() as usize;
        let lent = self.lending.lent as usize;
        ensure_eq!(free + bound.len() + lent, self.native.count() as usize);
        self.check_lending()?;
        ensure_eq!(self.mover.check_pool(&self.native, true, false)?, 0);
        Ok(())
    }

    /// Is an error unless units under way are those that the zones have planned.
    fn check_planned(&self) -> Result<(), state::Error> {
        let mut planned: Vec<_> = self.ftl.iter().map(|z| z.planned - z.native).collect();
        for step in self.mover.under_way().0 {
            if let Kind::Unit { zone } = step.kind {
                let left = planned.get_mut(zone as usize);
                let left = left.filter(|left| **left >= self.shape.unit && !step.has_moves());
                let Some(left) = left else {
                    return Err(state::Error::new("a unit that is not planned"));
                };
                *left -= self.shape.unit;
            }
        }
        ensure!(
            planned.iter().all(|left| *left == 0),
            "planned units that are not under way"
        );
        Ok(())
    }

    /// Is an error unless map, pools, buffers and zones agree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        self.zones.check_invariants()?;
        self.native.check_invariants()?;
        let reserved: Vec<_> = self.mover.under_way().1.iter().map(|m| m.to).collect();
        let owned = self.slc.check_invariants(&reserved)?;
        ensure_eq!(owned, self.index.len() as usize, "pages in pSLC");
        let mut held = vec![(0, 0); self.ftl.len()];
        for (lpn, loc) in self.index.iter() {
            ensure_eq!(self.slc.owner(loc), Some(lpn), "page {lpn} at {loc}");
            let (z, page) = ((lpn / self.shape.span) as usize, lpn % self.shape.span);
            if let (Some(zone), Some(held)) = (self.ftl.get(z), held.get_mut(z)) {
                let (copies, stale) = held;
                *copies += u32::from(page < zone.native);
                let current = self.index.current(lpn).is_some();
                *stale += u32::from(page < zone.native && !current);
            }
        }
        for (z, (zone, held)) in (0u32..).zip(self.ftl.iter().zip(held)) {
            self.check_zone(z, zone)?;
            self.slc.check_behind(zone.slc, &[])?;
            ensure_eq!(held, (zone.held, zone.stale), "{zone:?}");
        }
        self.check_use()?;
        self.check_planned()?;
        let native: u64 = self.native.iter().map(|(_, s)| u64::from(s.valid)).sum();
        ensure_eq!(
            native,
            self.ftl.iter().map(|z| u64::from(z.native)).sum::<u64>()
        );
        let alone = self.ftl.iter().map(|z| u64::from(z.alone)).sum::<u64>();
        ensure_eq!(alone, self.all_alone);
        let held = self.buffers.iter().filter(|(_, b)| b.pages > 0).count();
        let owned = self.ftl.iter().filter(|z| z.buffer != NONE).count();
        ensure_eq!(held, owned);
        // Each index entry is a page in pSLC, the durable copy of a native page, or that of a partly
        // written page which is in a buffer again.
        let in_slc = self.ftl.iter().map(|z| z.flushed - z.native + z.held);
        let rewritten = self.ftl.iter().enumerate().filter(|(z, zone)| {
            let lpn = self.first_lpn(*z as u32) + zone.flushed;
            zone.buffer != NONE && self.index.get(lpn).is_some()
        });
        let expected = in_slc.sum::<u32>() + rewritten.count() as u32;
        ensure_eq!(expected, self.index.len(), "pages leaked in pSLC");
        Ok(())
    }

    fn check_zone(&self, z: u32, zone: &ZoneFtl) -> Result<(), state::Error> {
        ensure!(
            zone.native <= zone.planned && zone.planned <= zone.flushed,
            "{zone:?}"
        );
        ensure!(zone.a <= zone.flushed - zone.planned, "{zone:?}");
        ensure!(
            !zone.from_area || self.shape.area > 0,
            "{zone:?} without areas"
        );
        // A page written only in part can be one too many: it never goes native.
        let partial = zone.flushed > self.whole_pages(z);
        ensure!(zone.a < self.shape.unit + u32::from(partial), "{zone:?}");
        ensure!(
            !self.shape.bypass || zone.a == zone.flushed - zone.native,
            "{zone:?}"
        );
        ensure_eq!(zone.planned > 0, zone.sb != NONE, "{zone:?}");
        if zone.sb != NONE {
            ensure_eq!(self.native.get(zone.sb).valid, zone.native);
        }
        ensure_eq!(
            zone.alone > 0,
            self.loaded.contains(&z),
            "{zone:?} and the list of loaded zones"
        );
        let first = self.first_lpn(z);
        for page in zone.native..zone.flushed {
            let loc = self.index.get(first + page);
            ensure!(loc.is_some(), "page {page} of {zone:?} has no home");
        }
        if zone.buffer != NONE {
            let b = self.buffers.get(zone.buffer as usize);
            ensure!(b.zone == z && b.pages > 0, "{zone:?} {b:?}");
            ensure!(b.pages <= self.buffers.capacity);
            let end = u64::from(zone.flushed + b.pages);
            let written = self
                .zones
                .get(ZoneId::new(z))
                .map_or(0, |zone| zone.written);
            ensure_eq!(end, written.div_ceil(PAGE_SECTORS), "{zone:?}");
        } else if let Some(known) = self.zones.get(ZoneId::new(z)) {
            // What can be written further, and is in no buffer, is in flash.
            let is_in_flash = u64::from(zone.flushed) == known.written.div_ceil(PAGE_SECTORS);
            ensure!(
                !known.state.has_write_pointer() || is_in_flash,
                "{zone:?} {known:?}"
            );
        }
        Ok(())
    }
}

/// The pages that a sector range touches: first and count.
pub(crate) fn page_range(at: Sector, sectors: u64) -> (u32, u32) {
    let first = at.get() / PAGE_SECTORS;
    let end = at.get().saturating_add(sectors).div_ceil(PAGE_SECTORS);
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (small(first), small(end.saturating_sub(first)))
}
