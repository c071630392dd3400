// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive: zones on dies, commands in, completions out.

use crate::ahead::Ahead;
use crate::{BufferScope, Config, ConfigError, Stats};
use conv::Engine;
use core::ops::Range;
use ftl::{
    ByteBuffer, Command, Cores, Error, Event, Flash, Namespace, Observer, Outcome, Service,
    ZoneAction, ZoneReport, ZoneTarget, MAX_SECTORS,
};
use nand::{BlockId, PlaneId};
use units::{Bytes, Instant, Nanos, Sector, ZoneId, PAGE_SECTORS, SECTOR_BYTES};
use zone::{Limits, State, Zones};

/// What flash holds of a zone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Body {
    /// Bytes from the zone's start whose program has been issued. Beyond the last whole one-shot
    /// page only when the zone will not be written further.
    pub programmed: u64,
    /// When the last of these programs ends.
    pub durable: Instant,
    /// Times that its blocks were erased.
    pub erases: u32,
}

/// Where a byte of a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub plane: PlaneId,
    pub block: BlockId,
    /// Flash page within the zone's block on that plane.
    pub page: u64,
}

/// The drive: one zoned namespace, and perhaps a conventional one.
#[derive(Clone, Debug)]
pub struct Zns {
    pub(crate) config: Config,
    pub(crate) flash: Flash,
    pub(crate) zones: Zones,
    pub(crate) bodies: Vec<Body>,
    /// One, or one for each zone.
    pub(crate) buffers: Vec<ByteBuffer>,
    pub(crate) cores: Cores,
    pub(crate) ahead: Ahead,
    /// The conventional namespace.
    pub(crate) meta: Option<Engine>,
    /// When the last program issued so far ends.
    pub(crate) durable: Instant,
    /// The latest command's arrival.
    now: Instant,
    pub(crate) stats: Stats,
    pub(crate) observer: Observer,
}

state::state!(Body {
    programmed,
    durable,
    erases
});
state::state!(Zns {
    flash, zones, bodies[fixed], buffers[fixed], cores, ahead, meta[fixed], durable, now, stats;
    config, observer
} => check_invariants);

impl Zns {
    /// An erased drive.
    ///
    /// # Errors
    /// The configuration makes no drive.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let limits = Limits {
            max_open: config.max_open,
            max_active: config.max_active,
        };
        let buffers = match config.buffer_scope {
            BufferScope::Global => 1,
            BufferScope::PerZone => config.zones as usize,
        };
        // The blocks of zones have their zones' numbers.
        let meta = config.meta.as_ref();
        let meta = meta.map(|paged| Engine::new(paged, &config.chips, config.zones));
        let buffer = || ByteBuffer::new(config.buffer, config.chips.one_shot);
        Ok(Self {
            flash: Flash::new(&config.chips, config.link_mbps, config.costs),
            zones: Zones::new(config.layout(), limits).with(config.zone_options),
            bodies: vec![Body::default(); config.zones as usize],
            // Not `vec![..; n]`: a clone of a queue does not keep its room.
            buffers: (0..buffers).map(|_| buffer()).collect(),
            cores: Cores::new(&config.cores),
            ahead: Ahead::new(config.read_ahead, config.chips.flash_page.get()),
            meta: meta.transpose().map_err(ConfigError::Meta)?,
            durable: Instant::ZERO,
            now: Instant::ZERO,
            stats: Stats::default(),
            observer: Observer::default(),
            config: config.clone(),
        })
    }

    /// Takes over the times of a configuration (flash array, firmware, buffer access) for what is
    /// asked for from now on; the rest of it stays as it is.
    pub fn set_times(&mut self, config: &Config) {
        self.flash.set_times(&config.chips, config.costs);
        self.config.chips = *self.flash.chips();
        self.config.costs = config.costs;
        self.config.zone_costs = config.zone_costs;
        self.config.cores = ftl::CoreCosts {
            cores: self.config.cores.cores,
            ..config.cores
        };
    }

    /// Runs a command that arrives at `now`; an earlier `now` than the latest so far counts as that.
    pub fn submit(&mut self, namespace: Namespace, command: &Command, now: Instant) -> Outcome {
        self.advance(now);
        let now = self.now;
        let command = &match self.config.early_completion {
            true => *command,
            false => command.with_fua(true),
        };
        if namespace == Namespace::Meta {
            return match &mut self.meta {
                Some(meta) => meta.submit(&mut self.flash, command, now),
                None => Outcome::failed(now, Error::Unsupported),
            };
        }
        let result = self.serve(command, now);
        self.stats.host.counted(command, now, result)
    }

    /// When something is due that cannot wait for the next command: never. Erases go on when it comes,
    /// in the time that was idle until then.
    #[must_use]
    pub const fn next_event(&self) -> Option<Instant> {
        None
    }

    /// Nothing will be asked for before `now`.
    pub fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.flash.run(self.now);
    }

    /// How many zones there are.
    #[must_use]
    pub const fn zones(&self) -> u32 {
        self.zones.layout().zones
    }

    /// A zone, for reports. `None` if there is no such zone.
    #[must_use]
    pub fn zone(&self, id: ZoneId) -> Option<ZoneReport> {
        let zone = self.zones.get(id)?;
        let start = self.zones.start(id);
        let layout = self.zones.layout();
        let pointer = match zone.state {
            State::Full => layout.size,
            _ => zone.written,
        };
        Some(ZoneReport {
            id,
            start,
            capacity: layout.capacity,
            write_pointer: Sector::new(start.get().saturating_add(pointer)),
            state: zone.state,
            zrwa: zone.has_zrwa(),
            extended: zone.extended,
        })
    }

    /// Whether some sector of a range was never written (for DULBE).
    #[must_use]
    pub fn has_unmapped(&self, namespace: Namespace, at: Sector, sectors: u64) -> bool {
        if namespace == Namespace::Meta {
            let meta = self.meta.as_ref();
            return meta.is_none_or(|meta| meta.has_unmapped(at, sectors));
        }
        if self.check_range(at, sectors).is_err() {
            return true;
        }
        self.pieces(at, sectors)
            .any(|(id, range)| self.unwritten_from(id, range.clone()) < range.end)
    }

    /// A sector range, which is in the namespace, by zones; offsets are from the zone's start.
    pub(crate) fn pieces(
        &self,
        at: Sector,
        sectors: u64,
    ) -> impl Iterator<Item = (ZoneId, Range<u64>)> {
        let size = self.zones.layout().size;
        let mut at = at.get();
        let end = at.saturating_add(sectors);
        core::iter::from_fn(move || {
            let zone = u32::try_from(at / size).ok().filter(|_| at < end)?;
            let start = at % size;
            let stop = size.min(start + (end - at));
            at += stop - start;
            Some((ZoneId::new(zone), start..stop))
        })
    }

    /// The first sector of a zone's range that holds no data, neither in flash or buffer nor in
    /// the random write area; the range's end if there is none.
    pub(crate) fn unwritten_from(&self, id: ZoneId, range: Range<u64>) -> u64 {
        let written = self.zones.get(id).map_or(0, |z| z.written);
        let mut at = written.clamp(range.start, range.end);
        while at < range.end && self.zones.area_holds(id, at / PAGE_SECTORS) {
            at = ((at / PAGE_SECTORS + 1) * PAGE_SECTORS).min(range.end);
        }
        at
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            meta: self.meta.as_ref().map(Engine::stats),
            ..self.stats.clone()
        }
    }

    /// The same in the terms that all models have in common.
    #[must_use]
    pub fn report(&self) -> ftl::Stats {
        let stats = self.stats();
        let [meta, data] = stats.counters();
        ftl::Stats::of(&self.flash, meta, data, stats.pool(self.config.zones))
    }

    /// How long all planes, all channels and the host link were busy; without allocating.
    #[must_use]
    pub fn busy(&self) -> [Nanos; 3] {
        self.flash.busy()
    }

    /// Counts from here on; wear stays.
    pub fn forget_counts(&mut self) {
        self.flash.forget_counts();
        if let Some(meta) = &mut self.meta {
            meta.forget_counts();
        }
        self.stats = Stats {
            erases: self.stats.erases,
            zone_erases_max: self.stats.zone_erases_max,
            ..Stats::default()
        };
    }

    /// Mean erases of a zone's block, rounded down; in constant time.
    #[must_use]
    pub fn mean_erases(&self) -> u64 {
        let chips = self.flash.chips();
        let lanes = u64::from(self.config.dies_per_zone) * u64::from(chips.planes_per_lun);
        let blocks = u64::from(self.config.zones).saturating_mul(lanes);
        self.stats.erases / blocks.max(1)
    }

    /// Remembers what happens to pages of the conventional namespace from now on, for [`Zns::drain_events`].
    pub fn follow(&mut self) {
        if let Some(meta) = &mut self.meta {
            meta.observe(true, Namespace::Meta);
        }
    }

    /// How long a program takes, if nobody else wants its plane.
    #[must_use]
    pub fn program_time(&self) -> Nanos {
        self.flash.program_time()
    }

    /// Tells what happened to pages since this was asked last; those of a page in order.
    pub fn drain_events(&mut self, each: &mut dyn FnMut(&Event)) {
        if let Some(meta) = &mut self.meta {
            meta.drain_events(each);
        }
    }

    /// For checks in tests: remembers what happens to pages and planes while switched on.
    pub fn observe(&mut self, on: bool) {
        self.observer.switch(on);
        self.flash.observe(on);
        if let Some(meta) = &mut self.meta {
            meta.observe(on, Namespace::Meta);
        }
    }

    /// What happened to pages since this was asked last; those of a namespace in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        let mut events = self.observer.take();
        if let Some(meta) = &mut self.meta {
            events.append(&mut meta.take_events());
        }
        events
    }

    /// What occupied the planes since this was asked last.
    pub fn take_occupied(&mut self) -> Vec<nand::Occupied> {
        self.flash.take_occupied()
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Is an error if zones, bodies and buffers disagree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        if let Some(meta) = &self.meta {
            meta.check_invariants()?;
        }
        self.zones.check_invariants()?;
        self.flash.check_invariants()?;
        let one_shot = self.config.chips.one_shot.get();
        let mut waiting = vec![0; self.buffers.len()];
        for id in self.zones.ids() {
            let zone = self.zones.get(ZoneId::new(id)).unwrap_or_default();
            let body = self.body(ZoneId::new(id));
            let buffered = self.buffered(ZoneId::new(id));
            state::ensure!(body.programmed <= zone.written * SECTOR_BYTES);
            state::ensure!(buffered < one_shot);
            if !zone.state.is_active() {
                state::ensure_eq!(buffered, 0, "zone {id}: {zone:?} {body:?}");
            } else {
                state::ensure_eq!(body.programmed % one_shot, 0);
            }
            if let Some(sum) = waiting.get_mut(self.buffer_index(ZoneId::new(id))) {
                *sum += buffered;
            }
        }
        for (buffer, waiting) in self.buffers.iter().zip(waiting) {
            buffer.check_invariants(Bytes::new(waiting))?;
        }
        Ok(())
    }

    /// The latest command's arrival.
    pub(crate) const fn arrival(&self) -> Instant {
        self.now
    }

    /// Runs a command when a core has time for it. One that fails takes none.
    fn serve(&mut self, command: &Command, now: Instant) -> Result<Outcome, Error> {
        if self.config.cores.cores == 0 {
            return self.run(command, now);
        }
        let turn = self.cores.turn(now, self.service(command));
        let outcome = self.run(command, turn.begin)?;
        self.cores.take(turn);
        Ok(Outcome {
            done: outcome.done.max(turn.end),
            ..outcome
        })
    }

    /// What a command asks of a core.
    fn service(&self, command: &Command) -> Service {
        let costs = &self.config.cores;
        let management = |more| Service {
            command: costs.zone + more,
            pages: Nanos::ZERO,
        };
        match *command {
            Command::Read { sectors, .. } => costs.of_read(sectors),
            Command::Write { at, sectors, .. } | Command::WriteZeroes { at, sectors, .. } => {
                self.opening(at, costs.of_write(at.get(), sectors))
            }
            Command::Append { zone, sectors, .. } => {
                let id = self.zones.locate(zone);
                let written = id
                    .and_then(|id| self.zones.get(id))
                    .map_or(0, |z| z.written);
                let at = zone.get().saturating_add(written);
                self.opening(zone, costs.of_append(at, sectors))
            }
            Command::Flush | Command::Deallocate { .. } => Service::default(),
            Command::CommitZrwa { .. } => management(Nanos::ZERO),
            Command::Zone {
                action: ZoneAction::Reset,
                target,
            } => {
                let pages = match target {
                    // Nothing but the command itself.
                    ZoneTarget::One(at) if self.is_empty(at) => return costs.of_read(0),
                    ZoneTarget::One(at) => self.zones.locate(at).map_or(0, |id| self.pages_of(id)),
                    ZoneTarget::All => {
                        let all = self.zones.ids().map(|id| self.pages_of(ZoneId::new(id)));
                        all.fold(0, u64::saturating_add)
                    }
                };
                management(self.config.zone_costs.reset_page.times(pages))
            }
            Command::Zone { .. } => management(Nanos::ZERO),
        }
    }

    /// A write at `at`, which may open its zone.
    fn opening(&self, at: Sector, write: Service) -> Service {
        let zone = self.zones.locate(at).and_then(|id| self.zones.get(id));
        match zone {
            Some(zone) if !zone.state.is_open() => Service {
                command: write.command + self.config.cores.open,
                ..write
            },
            _ => write,
        }
    }

    fn is_empty(&self, at: Sector) -> bool {
        let zone = self.zones.locate(at).and_then(|id| self.zones.get(id));
        zone.is_some_and(|zone| zone.state == State::Empty)
    }

    /// Pages of a zone that have been written.
    fn pages_of(&self, id: ZoneId) -> u64 {
        let written = self.zones.get(id).map_or(0, |z| z.written);
        written.div_ceil(PAGE_SECTORS)
    }

    fn run(&mut self, command: &Command, now: Instant) -> Result<Outcome, Error> {
        match *command {
            Command::Read {
                at,
                sectors,
                internal,
            } => self.read(at, sectors, internal, now),
            Command::Write {
                at,
                sectors,
                fua,
                internal,
            } => self.write(at, sectors, fua, internal, now),
            Command::Append { zone, sectors, fua } => self.append(zone, sectors, fua, now),
            Command::WriteZeroes { at, sectors, fua } => self.write(at, sectors, fua, true, now),
            Command::Deallocate { at, sectors } => {
                self.check_range(at, sectors)?;
                self.zones.check_deallocate(at, sectors)?;
                Ok(Outcome::done(now))
            }
            Command::Flush => Ok(Outcome::done(now.max(self.durable))),
            Command::Zone { action, target } => self.manage(action, target, now),
            Command::CommitZrwa { end } => self.commit_to(end, now),
        }
    }

    pub(crate) fn check_range(&self, at: Sector, sectors: u64) -> Result<(), Error> {
        let size = self.config.size().get() / SECTOR_BYTES;
        match at.get().checked_add(sectors) {
            Some(end) if end <= size && sectors <= MAX_SECTORS => Ok(()),
            _ => Err(Error::OutOfRange),
        }
    }

    /// Where byte `offset` of a zone is: one-shot pages go round the planes of the zone's dies.
    pub(crate) fn place(&self, id: ZoneId, offset: u64) -> Place {
        let chips = self.flash.chips();
        let one_shot = chips.one_shot.get().max(1);
        let flash_page = chips.flash_page.get().max(1);
        let planes = u64::from(chips.planes_per_lun.max(1));
        let per_zone = u64::from(self.config.dies_per_zone.max(1));
        let unit = offset / one_shot;
        let lane = unit % (per_zone * planes);
        let row = unit / (per_zone * planes);
        let zone = u64::from(id.get());
        let turned = (lane / planes + zone * u64::from(self.config.zone_stagger)) % per_zone;
        let die = (zone * per_zone + turned) % u64::from(chips.dies().max(1));
        // Lossless: a die's and a plane's number are below their u32 counts.
        Place {
            plane: chips.plane(die as u32, (lane % planes) as u32),
            block: BlockId(id.get()),
            page: row * (one_shot / flash_page) + offset % one_shot / flash_page,
        }
    }

    pub(crate) fn body(&self, id: ZoneId) -> Body {
        self.bodies
            .get(id.get() as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Bytes of the zone's incomplete one-shot page.
    pub(crate) fn buffered(&self, id: ZoneId) -> u64 {
        let written = self.zones.get(id).map_or(0, |z| z.written);
        (written * SECTOR_BYTES).saturating_sub(self.body(id).programmed)
    }

    pub(crate) fn buffer_index(&self, id: ZoneId) -> usize {
        match self.config.buffer_scope {
            BufferScope::Global => 0,
            BufferScope::PerZone => id.get() as usize,
        }
    }
}
