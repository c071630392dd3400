// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive: its parts, background events in time order, reports.

use crate::config::{Config, ConfigError, DataNamespace};
use crate::core::Core;
use crate::l2p::Grain;
use crate::mover::{Mover, Moving};
use crate::paged::Paged;
use crate::read::{Found, Map};
use crate::stats::of_pool;
use crate::superblock::{Pool, Victims};
use crate::write::Cause;
use crate::zoned::{page_range, Zoned};
use ftl::{Command, Counters, Error, Event, Namespace, Outcome, Stats, ZoneReport};
use nand::{BlockId, Cell};
use state::{state, Decoder, Encoder, State};
use units::{Bytes, Instant, Nanos, Sector, ZoneId, PAGE_BYTES, PAGE_SECTORS};

/// The data namespace.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a drive has one")]
pub(crate) enum Data {
    Zoned(Zoned),
    Block(Paged<1>),
}

/// The drive: one meta and one data namespace on one flash array.
#[derive(Clone, Debug)]
pub struct Zms {
    pub(crate) config: Config,
    pub(crate) core: Core,
    pub(crate) meta: Option<Paged<0>>,
    pub(crate) data: Data,
    pub(crate) now: Instant,
    /// When the drive begins to fold, if no command comes before that.
    pub(crate) idle_at: Option<Instant>,
}

/// Which of the two it is follows from the configuration.
impl State for Data {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Zoned(zoned) => zoned.encode(out),
            Self::Block(block) => block.encode(out),
        }
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        match self {
            Self::Zoned(zoned) => zoned.decode(from),
            Self::Block(block) => block.decode(from),
        }
    }
}

state!(Zms { core, meta[fixed], data, now, idle_at; config });

impl Zms {
    /// An erased drive.
    ///
    /// # Errors
    /// The configuration makes no drive.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let g = &config.geometry;
        let mut blocks: u32 = 0;
        let mut pool = |mode: Cell, count: u64, victims| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let pool = Pool::new(g, mode, count, blocks, victims);
            blocks = blocks.saturating_add(count);
            pool
        };
        let mut meta = None;
        if config.meta_size != Bytes::ZERO {
            let buffer = config.meta_buffer_pages();
            let slc = pool(Cell::Slc, config.meta_superblocks(), Victims::Fewest);
            meta = Some(Paged::new(config, config.meta_size, buffer, slc, None)?);
        }
        let data = match config.data {
            DataNamespace::Block { size } => {
                let slc = u64::from(config.slc_superblocks) * u64::from(g.groups());
                let slc = pool(Cell::Slc, slc, Victims::Oldest);
                let native = config.native_superblocks(size);
                let native = pool(g.cell, native, Victims::Fewest);
                let buffer = config.data_buffer_pages();
                Data::Block(Paged::new(config, size, buffer, slc, Some(native))?)
            }
            DataNamespace::Zoned { .. } => Data::Zoned(Zoned::new(config, blocks)?),
        };
        let core = Core::new(config);
        Ok(Self {
            config: config.clone(),
            core,
            meta,
            data,
            now: Instant::ZERO,
            idle_at: None,
        })
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Takes over the times of a configuration (flash array, suspension, firmware, buffer access, dwell window, idle
    /// time) for what is asked for from now on; the rest of it stays as it is.
    pub fn set_times(&mut self, config: &Config) {
        let dwell = config.buffers.dwell;
        self.core.media.set_times(&config.timing);
        self.core.costs = config.costs;
        let suspension = nand::Suspension {
            suspend: config.suspension.suspend,
            resume: config.suspension.resume,
            ..self.config.suspension
        };
        self.core.media.set_suspend(suspension);
        self.config.suspension = suspension;
        match &mut self.data {
            Data::Zoned(zoned) => zoned.buffers.set_dwell(dwell),
            Data::Block(block) => block.dwell = dwell,
        }
        let before = self.config.timing;
        self.config.timing = nand::Timing {
            channel_mbps: before.channel_mbps,
            crossing: nand::Crossing {
                piece: before.crossing.piece,
                ..config.timing.crossing
            },
            ..config.timing
        };
        self.config.costs = config.costs;
        self.config.buffers.dwell = dwell;
        self.config.fold_idle = config.fold_idle;
        if let Some(hmb) = &mut self.core.hmb {
            hmb.read = config.hmb.read;
        }
        self.config.hmb.read = config.hmb.read;
    }

    /// Runs a command that arrives at `now`. Commands and [`Zms::advance`] come in time order; an
    /// earlier `now` counts as the latest one so far.
    pub fn submit(&mut self, namespace: Namespace, command: &Command, now: Instant) -> Outcome {
        let arrived = now;
        let now = now.max(self.now);
        self.run_events(now);
        let through;
        let command = match self.config.early_completion {
            true => command,
            false => {
                through = command.with_fua(true);
                &through
            }
        };
        if self.config.fold_idle.is_some() {
            self.data_mover().fold_to = 0;
        }
        let result = self.run(namespace, command, now);
        self.pump();
        let outcome = result.unwrap_or_else(|error| Outcome::failed(now, error));
        if let Some(idle) = self.config.fold_idle {
            self.idle_at = self.idle_at.max(Some(outcome.done + idle));
        }
        Outcome {
            done: outcome.done.max(arrived),
            ..outcome
        }
    }

    /// When the drive wants to be looked at next, if it does: when a dwell window ends, when it begins to fold, or to go
    /// on with background work. Nothing depends on whether it is; it only spreads the host's own work.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let window = self.next_window().map(|(at, _)| at);
        let step = self.next_step().map(|at| at.max(self.now + Self::STRIDE));
        window.into_iter().chain(step).chain(self.idle_at).min()
    }

    /// Background work of this long is gone on with in one go, at least.
    const STRIDE: Nanos = Nanos::from_micros(1_000);

    /// Does the background work due until `now`, inclusive.
    pub fn advance(&mut self, now: Instant) {
        self.run_events(now.max(self.now));
    }

    /// The data buffer whose window ends next.
    fn next_window(&self) -> Option<(Instant, usize)> {
        match &self.data {
            Data::Zoned(zoned) => zoned.buffers.next_window().map(|(i, at)| (at, i)),
            Data::Block(block) => block.next_window().map(|at| (at, 0)),
        }
    }

    /// Background work and dwell windows until `now`, in the order of their instants.
    fn run_events(&mut self, now: Instant) {
        if self.is_quiet() {
            self.now = now.max(self.now);
            return self.prune();
        }
        loop {
            let window = self.next_window();
            let step = self.next_step();
            let events = window.map(|w| w.0).into_iter().chain(step);
            let due = events.chain(self.idle_at).min();
            self.now = due.map_or(now, |due| due.min(now)).max(self.now);
            self.prune();
            self.pump();
            match window {
                Some((at, buffer)) if at <= self.now => self.end_window(buffer),
                _ if self.idle_at.is_some_and(|at| at <= self.now) => self.fold(),
                _ if due.is_none_or(|due| due > now) => break,
                _ => {}
            }
        }
    }

    /// Whether nothing happens until the host asks for something.
    fn is_quiet(&self) -> bool {
        self.idle_at.is_none()
            && self.core.media.queued() == 0
            && self.movers().all(Mover::is_idle)
            && self.next_window().is_none()
    }

    /// What moves pages in each namespace.
    fn movers(&self) -> impl Iterator<Item = &Mover> {
        let meta = self.meta.as_ref().map(|meta| &meta.mover);
        let data = match &self.data {
            Data::Zoned(zoned) => &zoned.mover,
            Data::Block(block) => &block.mover,
        };
        meta.into_iter().chain([data])
    }

    fn data_mover(&mut self) -> &mut Mover {
        match &mut self.data {
            Data::Zoned(zoned) => &mut zoned.mover,
            Data::Block(block) => &mut block.mover,
        }
    }

    /// The drive has been idle for long enough.
    fn fold(&mut self) {
        self.idle_at = None;
        match &mut self.data {
            Data::Zoned(zoned) => zoned.begin_folding(&mut self.core, self.now),
            Data::Block(block) => block.begin_folding(&mut self.core, self.now),
        }
    }

    /// When background work may have got further.
    fn next_step(&self) -> Option<Instant> {
        let ends = self
            .movers()
            .filter_map(|mover| mover.first_end(&self.core));
        ends.chain(self.core.media.next_background()).min()
    }

    /// A data buffer's dwell window has ended.
    fn end_window(&mut self, buffer: usize) {
        let core = &mut self.core;
        match &mut self.data {
            Data::Zoned(zoned) => zoned.flush(core, buffer, Cause::Window, self.now),
            Data::Block(block) => block.flush(core, Cause::Window, self.now),
        };
        self.pump();
    }

    /// Background steps that have ended are retired, and others are queued.
    fn pump(&mut self) {
        let now = self.now;
        if self.core.media.has_moved() {
            self.settle();
        }
        if let Some(meta) = &mut self.meta {
            meta.pump(&mut self.core, now);
        }
        match &mut self.data {
            Data::Zoned(zoned) => zoned.pump(&mut self.core, now),
            Data::Block(block) => block.pump(&mut self.core, now),
        }
    }

    /// Programs of the host's end later than was said: passes that on.
    #[inline(never)]
    fn settle(&mut self) {
        let (core, meta, data) = (&mut self.core, &mut self.meta, &mut self.data);
        core.settle(|observer, moved| {
            let meta = meta.as_mut().is_some_and(|m| m.moved(observer, moved));
            meta || match data {
                Data::Zoned(zoned) => zoned.moved(observer, moved),
                Data::Block(block) => block.moved(observer, moved),
            }
        });
    }

    /// Nobody will ask for anything before the present.
    fn prune(&mut self) {
        let now = self.now;
        self.core.prune(now);
        if let Some(meta) = &mut self.meta {
            meta.slc.pool.prune(now);
        }
        match &mut self.data {
            Data::Zoned(zoned) => {
                zoned.slc.pool.prune(now);
                zoned.native.prune(now);
            }
            Data::Block(block) => {
                block.slc.pool.prune(now);
                if let Some(native) = &mut block.native {
                    native.pool.prune(now);
                }
            }
        }
    }

    /// Remembers what happens to pages from now on, for [`Zms::drain_events`].
    pub fn follow(&mut self) {
        self.core.observer.switch(true);
    }

    /// How long a program of this block takes, without what suspends it; zero if it is of no page-mapped namespace.
    #[must_use]
    pub fn program_time(&self, block: BlockId) -> Nanos {
        let meta = self.meta.iter().flat_map(Paged::pools);
        let data = match &self.data {
            Data::Zoned(_) => None,
            Data::Block(block) => Some(block.pools()),
        };
        let mut pools = meta.chain(data.into_iter().flatten());
        let pool = pools.find(|pool| pool.has(block));
        pool.map_or(Nanos::ZERO, |pool| self.core.media.program_time(pool.mode))
    }

    /// Tells what happened to pages since this was asked last.
    pub fn drain_events(&mut self, each: &mut dyn FnMut(&Event)) {
        self.core.observer.drain(each);
    }

    /// For checks in tests: what happens to pages and planes is written down from now on, or not.
    pub fn observe(&mut self, on: bool) {
        self.core.observer.switch(on);
        self.core.media.observe(on);
    }

    /// What happened to pages since this was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.core.observer.take()
    }

    /// What planes have done since this was asked last.
    pub fn take_occupied(&mut self) -> Vec<nand::Occupied> {
        self.core.media.take_observed()
    }

    /// How many zones there are; none if the data namespace is not zoned.
    #[must_use]
    pub fn zones(&self) -> u32 {
        match &self.data {
            Data::Zoned(data) => data.zones.layout().zones,
            Data::Block(_) => 0,
        }
    }

    /// A zone, for reports. `None` if there is no such zone, or the data namespace is not zoned.
    #[must_use]
    pub fn zone(&self, id: ZoneId) -> Option<ZoneReport> {
        let Data::Zoned(data) = &self.data else {
            return None;
        };
        let zone = data.zones.get(id)?;
        let layout = data.zones.layout();
        let start = data.zones.start(id);
        let offset = if zone.state.has_write_pointer() {
            zone.written
        } else {
            layout.size
        };
        Some(ZoneReport {
            id,
            start,
            capacity: layout.capacity,
            write_pointer: Sector::new(start.get().saturating_add(offset)),
            state: zone.state,
            zrwa: zone.has_zrwa(),
            extended: zone.extended,
        })
    }

    /// Whether some page of a sector range is unmapped (for DULBE). False outside the namespace.
    #[must_use]
    pub fn has_unmapped(&self, namespace: Namespace, at: Sector, sectors: u64) -> bool {
        if at
            .get()
            .checked_add(sectors)
            .is_none_or(|end| end > self.sectors(namespace))
        {
            return false;
        }
        let (first, n) = page_range(at, sectors);
        (first..first.saturating_add(n)).any(|lpn| match (namespace, &self.data, &self.meta) {
            (Namespace::Meta, _, Some(meta)) => meta.is_unmapped(lpn),
            (Namespace::Meta, _, None) => false,
            (Namespace::Data, Data::Block(block), _) => block.is_unmapped(lpn),
            (Namespace::Data, Data::Zoned(data), _) => data.is_unmapped(lpn),
        })
    }

    /// Sectors of a namespace; zero if there is none.
    #[must_use]
    pub fn sectors(&self, namespace: Namespace) -> u64 {
        match (namespace, &self.meta) {
            (Namespace::Meta, Some(meta)) => meta.sectors(),
            (Namespace::Meta, None) => 0,
            (Namespace::Data, _) => self.config.data_size().get() / PAGE_BYTES * PAGE_SECTORS,
        }
    }

    /// Fault injection: the zone becomes read-only, or offline.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn inject_zone(&mut self, id: ZoneId, offline: bool) -> Result<(), Error> {
        match &mut self.data {
            Data::Zoned(data) => data.inject(&mut self.core, id, offline, self.now),
            Data::Block(_) => Err(Error::Unsupported),
        }
    }

    /// A namespace's counters, for those who look often: [`Zms::stats`] copies.
    #[must_use]
    pub fn counters(&self, namespace: Namespace) -> Option<&Counters> {
        match (namespace, &self.data) {
            (Namespace::Meta, _) => self.meta.as_ref().map(|meta| &meta.counters),
            (Namespace::Data, Data::Zoned(data)) => Some(&data.counters),
            (Namespace::Data, Data::Block(block)) => Some(&block.counters),
        }
    }

    /// The granularity at which a zone's first page is mapped, if it is in flash or on its way there.
    #[must_use]
    pub fn zone_grain(&self, id: ZoneId) -> Option<Grain> {
        let Data::Zoned(data) = &self.data else {
            return None;
        };
        let lpn = id.get().checked_mul(data.shape.span)?;
        data.zones.get(id)?;
        let at = Instant::from_nanos(u64::MAX);
        matches!(data.find(lpn, at), Found::Flash(_)).then(|| data.grain_of(lpn))
    }

    /// How long all planes, all channels and the host link were busy; without allocating.
    #[must_use]
    pub fn busy(&self) -> [Nanos; 3] {
        let [planes, channels] = self.core.media.busy();
        [planes, channels, self.core.link.stats().busy]
    }

    /// All statistics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            l2p_evictions: self.core.l2p.evictions,
            l2p_entries: self.core.l2p.len(),
            planes: self.core.media.plane_stats().collect(),
            channels: self.core.media.channel_stats().collect(),
            link: self.core.link.stats(),
            ..Stats::default()
        };
        if let Some(meta) = &self.meta {
            stats.meta = meta.counters.clone();
        }
        stats.data = match &self.data {
            Data::Zoned(data) => data.counters.clone(),
            Data::Block(block) => block.counters.clone(),
        };
        for (which, pool) in self.pools() {
            let pool = of_pool(pool);
            match which {
                Pools::Meta => stats.meta_pool = pool,
                Pools::Slc => stats.slc_pool = pool,
                Pools::Native => stats.native_pool = pool,
            }
        }
        stats
    }

    /// Counts from here on; wear stays.
    pub fn forget_counts(&mut self) {
        self.core.media.forget_counts();
        self.core.link.forget_counts();
        self.core.l2p.evictions = 0;
        if let Some(meta) = &mut self.meta {
            meta.counters = Counters::default();
        }
        let data = match &mut self.data {
            Data::Zoned(data) => &mut data.counters,
            Data::Block(block) => &mut block.counters,
        };
        *data = Counters::default();
    }

    fn pools(&self) -> impl Iterator<Item = (Pools, &Pool)> {
        let meta = self.meta.as_ref().map(|m| &m.slc.pool);
        let (slc, native) = match &self.data {
            Data::Zoned(data) => (&data.slc.pool, Some(&data.native)),
            Data::Block(block) => (&block.slc.pool, block.native.as_ref().map(|n| &n.pool)),
        };
        let all = [
            (Pools::Meta, meta),
            (Pools::Slc, Some(slc)),
            (Pools::Native, native),
        ];
        all.into_iter()
            .filter_map(|(which, pool)| Some((which, pool?)))
    }

    /// Erases so far and superblocks of each pool there is, in constant time. What is lent to pSLC wears where it belongs.
    pub fn pool_erases(&self) -> impl Iterator<Item = (Pools, u64, u32)> + '_ {
        let lent: u64 = self.pools().map(|(_, p)| p.lent_erases).sum();
        self.pools().map(move |(which, p)| {
            let erases = match which {
                Pools::Native => p.erases + lent,
                Pools::Meta | Pools::Slc => p.erases - p.lent_erases,
            };
            (which, erases, p.own())
        })
    }

    /// Is an error if the drive's parts disagree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        self.core.media.check_invariants()?;
        self.core.link.check_invariants()?;
        self.core.l2p.check_invariants()?;
        if let Some(hmb) = &self.core.hmb {
            hmb.check_invariants()?;
        }
        if let Some(meta) = &self.meta {
            meta.check_invariants()?;
        }
        match &self.data {
            Data::Zoned(data) => data.check_invariants(),
            Data::Block(block) => block.check_invariants(),
        }
    }
}

/// Which superblocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pools {
    /// The meta namespace's pSLC.
    Meta,
    /// The data namespace's pSLC.
    Slc,
    /// The data namespace's native cells.
    Native,
}
