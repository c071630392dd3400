// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive: commands to namespaces, background events in time order.

use crate::config::{pool_superblocks, Config, ConfigError, DataNamespace};
use crate::core::Core;
use crate::paged::Paged;
use crate::stats::{PoolStats, Stats};
use crate::superblock::{Pool, SbState};
use crate::write::{Cause, Write};
use crate::zoned::{page_range, Zoned};
use ftl::{Command, Discard, Error, Namespace, Outcome, Reply, ZoneAction, ZoneReport, ZoneTarget};
use nand::Cell;
use units::{Bytes, Instant, Sector, ZoneId, PAGE_BYTES, SECTOR_BYTES};

/// The data namespace.
#[derive(Clone, Debug)]
enum Data {
    Zoned(Zoned),
    Block(Paged<1>),
}

/// The drive: one meta and one data namespace on one flash array.
#[derive(Clone, Debug)]
pub struct Zms {
    config: Config,
    core: Core,
    meta: Option<Paged<0>>,
    data: Data,
    now: Instant,
}

impl Zms {
    /// An erased drive.
    ///
    /// # Errors
    /// The configuration makes no drive.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let g = &config.geometry;
        let mut blocks: u32 = 0;
        let mut pool = |mode: Cell, count: u64| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let pool = Pool::new(g, mode, count, blocks);
            blocks = blocks.saturating_add(count);
            pool
        };
        let sized = |size: Bytes, buffer, mode| {
            let pages = size.get() / PAGE_BYTES;
            pool_superblocks(
                pages,
                config.over_provisioning,
                config.gc_threshold,
                buffer,
                g,
                mode,
            )
        };
        let mut meta = None;
        if config.meta_size != Bytes::ZERO {
            let buffer = config.meta_buffer_pages();
            let slc = pool(Cell::Slc, sized(config.meta_size, buffer, Cell::Slc));
            meta = Some(Paged::new(config, config.meta_size, buffer, slc, None)?);
        }
        let data = match config.data {
            DataNamespace::Block { size } => {
                let slc = u64::from(config.slc_superblocks) * u64::from(g.groups());
                let slc = pool(Cell::Slc, slc);
                let native = pool(g.cell, sized(size, 0, g.cell));
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
        })
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Runs a command that arrives at `now`. Commands and [`Zms::advance`] come in time order; an
    /// earlier `now` counts as the latest one so far.
    pub fn submit(&mut self, namespace: Namespace, command: &Command, now: Instant) -> Outcome {
        let arrived = now;
        let now = now.max(self.now);
        self.run_events(now);
        self.now = now;
        self.core.prune(now);
        let mut outcome = Outcome {
            done: now,
            result: Ok(Reply::Done),
            discard: Discard::Nothing,
        };
        let result = match (namespace, &mut self.data, &mut self.meta) {
            (Namespace::Meta, _, Some(meta)) => {
                paged(meta, &mut self.core, command, now, &mut outcome)
            }
            (Namespace::Data, Data::Block(block), _) => {
                paged(block, &mut self.core, command, now, &mut outcome)
            }
            (Namespace::Data, Data::Zoned(data), _) => {
                zoned(data, &mut self.core, command, now, &mut outcome)
            }
            (Namespace::Meta, _, None) => Err(Error::Unsupported),
        };
        match result {
            Ok(done) => outcome.done = done.max(arrived),
            Err(error) => outcome.result = Err(error),
        }
        outcome
    }

    /// When background work is due next, if any: a dwell window that ends.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        self.next_window().map(|(at, _)| at)
    }

    /// Does the background work due until `now`, inclusive.
    pub fn advance(&mut self, now: Instant) {
        let now = now.max(self.now);
        self.run_events(now);
        self.now = now;
    }

    /// The data buffer whose window ends next.
    fn next_window(&self) -> Option<(Instant, usize)> {
        match &self.data {
            Data::Zoned(zoned) => zoned.buffers.next_window().map(|(i, at)| (at, i)),
            Data::Block(block) => block.next_window().map(|at| (at, 0)),
        }
    }

    fn run_events(&mut self, now: Instant) {
        while let Some((at, buffer)) = self.next_window() {
            if at > now {
                break;
            }
            let at = at.max(self.now);
            self.core.prune(at);
            match &mut self.data {
                Data::Zoned(zoned) => zoned.flush(&mut self.core, buffer, Cause::Window, at),
                Data::Block(block) => block.flush(&mut self.core, Cause::Window, at),
            };
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
            (Namespace::Data, _) => {
                self.config.data_size().get() / PAGE_BYTES * (PAGE_BYTES / SECTOR_BYTES)
            }
        }
    }

    /// Fault injection: the zone becomes read-only, or offline.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn inject_zone(&mut self, id: ZoneId, offline: bool) -> Result<(), Error> {
        match &mut self.data {
            Data::Zoned(data) => {
                // A read-only zone keeps its data, also what is in the random write area. Without
                // room for that it is lost, as on any drive that fails at the wrong moment.
                if !offline {
                    let _ = data.commit_held(&mut self.core, id, self.now);
                }
                Ok(data.zones.inject(id, offline)?)
            }
            Data::Block(_) => Err(Error::Unsupported),
        }
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
            stats.meta_pool = pool_stats(&meta.slc.pool);
        }
        match &self.data {
            Data::Zoned(data) => {
                stats.data = data.counters.clone();
                stats.slc_pool = pool_stats(&data.slc);
                stats.native_pool = pool_stats(&data.native);
            }
            Data::Block(block) => {
                stats.data = block.counters.clone();
                stats.slc_pool = pool_stats(&block.slc.pool);
                stats.native_pool = block
                    .native
                    .as_ref()
                    .map_or_else(PoolStats::default, |n| pool_stats(&n.pool));
            }
        }
        stats
    }

    /// Erases so far and superblocks of each pool, in constant time.
    #[must_use]
    pub fn pool_erases(&self) -> [(Pools, u64, u32); 3] {
        let of = |which, pool: &Pool| (which, pool.erases, pool.count());
        let meta = self.meta.as_ref().map(|m| of(Pools::Meta, &m.slc.pool));
        let (slc, native) = match &self.data {
            Data::Zoned(data) => (&data.slc, Some(&data.native)),
            Data::Block(block) => (&block.slc.pool, block.native.as_ref().map(|n| &n.pool)),
        };
        [
            meta.unwrap_or((Pools::Meta, 0, 0)),
            of(Pools::Slc, slc),
            native.map_or((Pools::Native, 0, 0), |n| of(Pools::Native, n)),
        ]
    }

    /// Erases of each superblock: meta pSLC, data pSLC, data native.
    pub fn wear(&self) -> impl Iterator<Item = (Pools, u32)> + '_ {
        let meta = self.meta.as_ref().map(|m| (Pools::Meta, &m.slc.pool));
        let (slc, native) = match &self.data {
            Data::Zoned(data) => (&data.slc, Some(&data.native)),
            Data::Block(block) => (&block.slc.pool, block.native.as_ref().map(|n| &n.pool)),
        };
        let data = [Some((Pools::Slc, slc)), native.map(|n| (Pools::Native, n))];
        core::iter::once(meta)
            .chain(data)
            .flatten()
            .flat_map(|(which, pool)| pool.iter().map(move |(_, s)| (which, s.erases)))
    }

    /// Panics if the drive's parts disagree. For tests and fuzzing.
    pub fn check_invariants(&self) {
        self.core.media.check_invariants();
        self.core.link.check_invariants();
        self.core.l2p.check_invariants();
        if let Some(meta) = &self.meta {
            meta.check_invariants();
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

fn pool_stats(pool: &Pool) -> PoolStats {
    let count = |f: &dyn Fn(&crate::superblock::Superblock) -> bool| {
        u32::try_from(pool.iter().filter(|(_, s)| f(s)).count()).unwrap_or(u32::MAX)
    };
    PoolStats {
        superblocks: pool.count(),
        free: pool.free_count(),
        open: count(&|s| s.state == SbState::Open),
        full: count(&|s| s.state == SbState::Closed && s.valid == pool.pages),
        victims: count(&|s| s.state == SbState::Closed && s.valid < pool.pages),
        valid_pages: pool.iter().map(|(_, s)| u64::from(s.valid)).sum(),
        erases: pool.erases,
        erases_min: pool.iter().map(|(_, s)| s.erases).min().unwrap_or(0),
        erases_max: pool.iter().map(|(_, s)| s.erases).max().unwrap_or(0),
    }
}

/// A sector range inside a namespace of `size` sectors.
fn inside(at: Sector, sectors: u64, size: u64) -> Result<(), Error> {
    match at.get().checked_add(sectors) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::OutOfRange),
    }
}

/// Runs a command on a page-mapped namespace; returns the completion.
fn paged<const NS: u8>(
    ns: &mut Paged<NS>,
    core: &mut Core,
    command: &Command,
    now: Instant,
    outcome: &mut Outcome,
) -> Result<Instant, Error> {
    let size = ns.sectors();
    match *command {
        Command::Read {
            at,
            sectors,
            internal,
        } => {
            inside(at, sectors, size)?;
            Ok(ns.read(core, at, sectors, internal, now))
        }
        Command::Write {
            at,
            sectors,
            fua,
            internal,
        } => {
            inside(at, sectors, size)?;
            ns.write(
                core,
                Write {
                    at,
                    sectors,
                    fua,
                    data: !internal,
                },
                now,
            )
        }
        Command::Flush => {
            let done = ns.make_durable(core, now);
            ns.counters.host_flushes += 1;
            ns.counters.flush_latency.add(done.since(now));
            Ok(done)
        }
        Command::Deallocate { at, sectors } | Command::WriteZeroes { at, sectors } => {
            inside(at, sectors, size)?;
            ns.unmap(core, at, sectors);
            outcome.discard = Discard::Sectors(at.get()..at.get() + sectors);
            Ok(now)
        }
        Command::Append { .. } | Command::Zone { .. } | Command::CommitZrwa { .. } => {
            Err(Error::Unsupported)
        }
    }
}

/// Runs a command on the zoned namespace; returns the completion.
fn zoned(
    ns: &mut Zoned,
    core: &mut Core,
    command: &Command,
    now: Instant,
    outcome: &mut Outcome,
) -> Result<Instant, Error> {
    let layout = ns.zones.layout();
    let size = layout.size.saturating_mul(u64::from(layout.zones));
    match *command {
        Command::Read {
            at,
            sectors,
            internal,
        } => {
            inside(at, sectors, size)?;
            Ok(ns.read(core, at, sectors, internal, now)?)
        }
        Command::Write {
            at,
            sectors,
            fua,
            internal,
        } => {
            inside(at, sectors, size)?;
            ns.host_write(
                core,
                Write {
                    at,
                    sectors,
                    fua,
                    data: !internal,
                },
                now,
            )
        }
        Command::WriteZeroes { at, sectors } => {
            inside(at, sectors, size)?;
            let done = ns.host_write(
                core,
                Write {
                    at,
                    sectors,
                    fua: false,
                    data: false,
                },
                now,
            )?;
            outcome.discard = Discard::Sectors(at.get()..at.get() + sectors);
            Ok(done)
        }
        Command::Append { zone, sectors, fua } => {
            inside(zone, sectors, size)?;
            let id = zone_at(ns, zone)?;
            let at = ns.zones.check_append(id, sectors)?;
            let done = ns.write(
                core,
                Write {
                    at,
                    sectors,
                    fua,
                    data: true,
                },
                now,
            )?;
            outcome.result = Ok(Reply::Appended(at));
            Ok(done)
        }
        Command::Flush => {
            let done = ns.flush_all(core, now);
            ns.counters.host_flushes += 1;
            ns.counters.flush_latency.add(done.since(now));
            Ok(done)
        }
        Command::Deallocate { at, sectors } => {
            inside(at, sectors, size)?;
            Ok(now)
        }
        Command::CommitZrwa { end } => ns.commit_to(core, end, now),
        Command::Zone {
            action,
            target: ZoneTarget::One(zone),
        } => {
            inside(zone, 1, size)?;
            let id = zone_at(ns, zone)?;
            if action == ZoneAction::Reset {
                outcome.discard = Discard::Sectors(zone.get()..zone.get() + layout.size);
            }
            let done = manage(ns, core, action, id, now);
            if done.is_err() {
                outcome.discard = Discard::Nothing;
            }
            done
        }
        Command::Zone {
            action,
            target: ZoneTarget::All,
        } => {
            if action == ZoneAction::Reset {
                outcome.discard = Discard::EmptyZones;
            }
            manage_all(ns, core, action, now)
        }
    }
}

fn zone_at(ns: &Zoned, start: Sector) -> Result<ZoneId, Error> {
    let id = ns.zones.locate(start).ok_or(Error::OutOfRange)?;
    if ns.zones.start(id) == start {
        Ok(id)
    } else {
        Err(Error::NotZoneStart)
    }
}

fn manage(
    ns: &mut Zoned,
    core: &mut Core,
    action: ZoneAction,
    id: ZoneId,
    now: Instant,
) -> Result<Instant, Error> {
    match action {
        ZoneAction::Open => ns.zones.open(id).map(|_| now).map_err(Error::from),
        ZoneAction::OpenZrwa => ns.zones.open_zrwa(id).map(|_| now).map_err(Error::from),
        ZoneAction::SetExtension => ns.zones.extend(id).map(|()| now).map_err(Error::from),
        ZoneAction::Close => ns.zones.close(id).map(|()| now).map_err(Error::from),
        ZoneAction::Offline => ns.zones.offline(id).map(|()| now).map_err(Error::from),
        ZoneAction::Finish => ns.finish(core, id.get(), now),
        ZoneAction::Reset => ns.reset(core, id.get(), now),
    }
}

/// Select All: every zone in one of the states that ZNS 1.1 names for the action.
fn manage_all(
    ns: &mut Zoned,
    core: &mut Core,
    action: ZoneAction,
    now: Instant,
) -> Result<Instant, Error> {
    use zone::State::{Closed, ExplicitlyOpen, Full, ImplicitlyOpen, ReadOnly};
    // Only empty zones get a random write area, and those are not opened here.
    let action = match action {
        ZoneAction::OpenZrwa => ZoneAction::Open,
        other => other,
    };
    let mut done = now;
    for id in ns.zones.ids().map(ZoneId::new) {
        let Some(zone) = ns.zones.get(id) else {
            continue;
        };
        let applies = match action {
            ZoneAction::Open | ZoneAction::OpenZrwa => zone.state == Closed,
            ZoneAction::SetExtension => false,
            ZoneAction::Close => zone.state.is_open(),
            ZoneAction::Finish => matches!(zone.state, ImplicitlyOpen | ExplicitlyOpen | Closed),
            ZoneAction::Reset => {
                matches!(zone.state, ImplicitlyOpen | ExplicitlyOpen | Closed | Full)
            }
            ZoneAction::Offline => zone.state == ReadOnly,
        };
        if applies {
            done = done.max(manage(ns, core, action, id, now)?);
        }
    }
    Ok(done)
}
