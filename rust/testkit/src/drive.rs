// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive without flash: namespace 1 conventional, namespace 2 zoned, one latency for everything.

use std::collections::{BTreeSet, VecDeque};

use command::{Command, Error, HostMemory, Outcome, Reply, ZoneAction, ZoneReport, ZoneTarget};
use nvme::{
    Drive, DriveEvent, Health, MediaChange, NamespaceInfo, NsIndex, PowerLoss, SanitizeStatus,
    Sanitized, ZonedInfo, ZrwaInfo, LBA_SHIFTS, VENDOR_LOG_BYTES,
};
use units::{Bytes, Instant, Nanos, Sector, ZoneId, SECTOR_BYTES};
use zone::State;

/// Commands recorded at most, so that long tests stay small.
const RECORDED: usize = 4096;

/// Shape of a fake drive.
#[derive(Clone, Debug)]
pub struct FakeConfig {
    /// Size of namespace 1 in bytes.
    pub conventional_bytes: u64,
    /// Zones of namespace 2.
    pub zones: u32,
    /// Distance from zone to zone in bytes.
    pub zone_bytes: u64,
    /// Writable bytes of a zone.
    pub zone_capacity: u64,
    /// Descriptor extension in units of 64 bytes.
    pub extension_units: u8,
    /// Announce a Zone Random Write Area (which this drive then refuses to allocate).
    pub zrwa: bool,
    /// LBA size as a power of two.
    pub lba_shift: u8,
    /// Time every command takes.
    pub latency: Nanos,
}

impl Default for FakeConfig {
    fn default() -> Self {
        Self {
            conventional_bytes: 4 << 20,
            zones: 8,
            zone_bytes: 1 << 20,
            zone_capacity: 768 << 10,
            extension_units: 1,
            zrwa: false,
            lba_shift: 12,
            latency: Nanos::from_micros(10),
        }
    }
}

#[derive(Clone, Debug)]
struct Zone {
    state: State,
    /// Sectors written.
    written: u64,
    extension: Vec<u8>,
    extension_valid: bool,
}

/// A drive that keeps the rules of zones and nothing else.
#[derive(Debug)]
pub struct FakeDrive {
    config: FakeConfig,
    namespaces: Vec<NamespaceInfo>,
    zones: Vec<Zone>,
    /// The first commands submitted, in order.
    pub submitted: Vec<(NsIndex, Command)>,
    /// The next command fails with this.
    pub fail_next: Option<Error>,
    /// What the SMART log says.
    pub health: Health,
    /// Sectors of namespace 1 that were written and not deallocated.
    pub written: Vec<bool>,
    /// Sectors of each namespace that were marked.
    pub marked: [BTreeSet<u64>; 2],
    /// Most of them.
    pub most_marked: usize,
    /// The latest sanitize operation, and how long one takes for each time that it erases.
    pub sanitized: Sanitized,
    /// See there.
    pub sanitize_time: Nanos,
    /// The next sanitize operation fails.
    pub sanitize_fails: bool,
    is_blank: bool,
    /// When background work is due.
    pub background: Option<Instant>,
    /// When background work was carried out.
    pub advanced: Vec<Instant>,
    /// When power was cut.
    pub cuts: Vec<Instant>,
    /// What the guest had noted.
    pub notes: Vec<(u64, Instant)>,
    /// Memory that was lent, 4 KiB each, and whether it was kept.
    pub lent: Vec<(u32, bool)>,
    /// What was read of it before reads: as many bytes from where the read begins, as long as it is; nothing if it could not be.
    pub lent_reads: Vec<Option<Vec<u8>>>,
    /// With these bytes it is written after reads, as much and there; whether that succeeded.
    pub lent_fill: u8,
    /// See there.
    pub lent_fills: Vec<bool>,
    lent_range: (u64, usize),
    lends: bool,
    events: VecDeque<DriveEvent>,
}

impl FakeDrive {
    /// A drive of this shape, empty.
    #[must_use]
    pub fn new(config: FakeConfig) -> Self {
        let zone = Zone {
            state: State::Empty,
            written: 0,
            extension: vec![0; usize::from(config.extension_units) * 64],
            extension_valid: false,
        };
        let mut drive = Self {
            namespaces: Vec::new(),
            zones: vec![zone; config.zones as usize],
            submitted: Vec::with_capacity(RECORDED),
            fail_next: None,
            health: Health {
                temperature_kelvin: 300,
                available_spare: 100,
                spare_threshold: 10,
                percentage_used: 1,
                media_errors: 0,
                read_only: false,
                degraded: false,
            },
            written: vec![false; (config.conventional_bytes / 512) as usize],
            marked: Default::default(),
            most_marked: 4096,
            sanitized: Sanitized::default(),
            sanitize_time: Nanos::ZERO,
            sanitize_fails: false,
            is_blank: true,
            background: None,
            advanced: Vec::new(),
            cuts: Vec::new(),
            notes: Vec::new(),
            lent: Vec::new(),
            lent_reads: Vec::new(),
            lent_fill: 0,
            lent_fills: Vec::new(),
            lent_range: (0, 0),
            lends: false,
            events: VecDeque::new(),
            config,
        };
        drive.namespaces = drive.describe();
        drive
    }

    /// Bytes of media the namespaces need.
    #[must_use]
    pub fn media_bytes(&self) -> u64 {
        self.config.conventional_bytes + u64::from(self.config.zones) * self.config.zone_bytes
    }

    /// Changes a zone's state behind the guest's back.
    pub fn inject_zone_state(&mut self, zone: u32, state: State) {
        if let Some(z) = self.zones.get_mut(zone as usize) {
            z.state = state;
            self.events.push_back(DriveEvent::ZoneChanged {
                ns: NsIndex(1),
                zone: ZoneId::new(zone),
            });
        }
    }

    fn describe(&self) -> Vec<NamespaceInfo> {
        let config = &self.config;
        let zoned_bytes = u64::from(config.zones) * config.zone_bytes;
        let conventional = NamespaceInfo {
            size: Bytes::new(config.conventional_bytes),
            capacity: Bytes::new(config.conventional_bytes),
            media_offset: 0,
            lba_shift: config.lba_shift,
            eui64: [1; 8],
            nguid: [2; 16],
            preferred_write: Bytes::kib(64),
            zoned: None,
        };
        let zoned = NamespaceInfo {
            size: Bytes::new(zoned_bytes),
            capacity: Bytes::new(u64::from(config.zones) * config.zone_capacity),
            media_offset: config.conventional_bytes,
            eui64: [3; 8],
            nguid: [4; 16],
            zoned: Some(ZonedInfo {
                zone_size: Bytes::new(config.zone_bytes),
                zones: config.zones,
                max_open: Some(6),
                max_active: Some(6),
                read_across: false,
                extension_units: config.extension_units,
                zrwa: config.zrwa.then_some(ZrwaInfo {
                    size: Bytes::kib(64),
                    granularity: Bytes::kib(4),
                    max_zones: 2,
                }),
            }),
            ..conventional.clone()
        };
        vec![conventional, zoned]
    }

    fn zone_sectors(&self) -> u64 {
        self.config.zone_bytes / SECTOR_BYTES
    }

    fn zone_mut(&mut self, at: Sector) -> Result<&mut Zone, Error> {
        let number = at.get() / self.zone_sectors();
        let zone = self.zones.get_mut(number as usize);
        zone.ok_or(Error::OutOfRange)
    }

    fn apply(&mut self, ns: NsIndex, command: &Command) -> Result<Reply, Error> {
        if let Some(error) = self.fail_next.take() {
            return Err(error);
        }
        if ns.0 == 0 {
            self.conventional(command)
        } else {
            self.zoned(command)
        }
    }

    fn conventional(&mut self, command: &Command) -> Result<Reply, Error> {
        let (at, sectors, is_written) = match *command {
            Command::Read { .. } | Command::Flush => return Ok(Reply::Done),
            Command::Write { at, sectors, .. } => (at, sectors, true),
            Command::WriteZeroes { at, sectors, .. } | Command::Deallocate { at, sectors } => {
                (at, sectors, false)
            }
            Command::Append { .. } | Command::Zone { .. } | Command::CommitZrwa { .. } => {
                return Err(Error::Unsupported);
            }
        };
        let written = self.written.iter_mut().skip(at.get() as usize);
        written
            .take(sectors as usize)
            .for_each(|sector| *sector = is_written);
        Ok(Reply::Done)
    }

    fn zoned(&mut self, command: &Command) -> Result<Reply, Error> {
        match *command {
            Command::Read { at, sectors, .. } => self.read_zone(at, sectors),
            Command::Write { at, sectors, .. } | Command::WriteZeroes { at, sectors, .. } => {
                self.write(at, Some(at), sectors).map(|_| Reply::Done)
            }
            Command::Append { zone, sectors, .. } => {
                self.write(zone, None, sectors).map(Reply::Appended)
            }
            Command::Deallocate { .. } | Command::Flush => Ok(Reply::Done),
            Command::Zone { action, target } => match target {
                ZoneTarget::One(zone) => self.act(zone, action),
                ZoneTarget::All => {
                    for zone in 0..u64::from(self.config.zones) {
                        // Zones the action does not apply to are left alone.
                        let _ = self.act(Sector::new(zone * self.zone_sectors()), action);
                    }
                    Ok(Reply::Done)
                }
            },
            Command::CommitZrwa { .. } => Err(Error::Zone(zone::Error::InvalidOperation)),
        }
    }

    fn read_zone(&mut self, at: Sector, sectors: u64) -> Result<Reply, Error> {
        let size = self.zone_sectors();
        if at.get() % size + sectors > size {
            return Err(Error::Zone(zone::Error::Boundary));
        }
        match self.zone_mut(at)?.state {
            State::Offline => Err(Error::Zone(zone::Error::Offline)),
            _ => Ok(Reply::Done),
        }
    }

    /// A write to the zone that holds sector `zone`; where it went.
    fn write(&mut self, zone: Sector, at: Option<Sector>, sectors: u64) -> Result<Sector, Error> {
        let start = zone.get() - zone.get() % self.zone_sectors();
        let capacity = self.config.zone_capacity / SECTOR_BYTES;
        let zone = self.zone_mut(zone)?;
        match zone.state {
            State::Full => return Err(Error::Zone(zone::Error::Full)),
            State::ReadOnly => return Err(Error::Zone(zone::Error::ReadOnly)),
            State::Offline => return Err(Error::Zone(zone::Error::Offline)),
            State::Empty | State::ImplicitlyOpen | State::ExplicitlyOpen | State::Closed => {}
        }
        let pointer = Sector::new(start + zone.written);
        if at.is_some_and(|at| at != pointer) {
            return Err(Error::Zone(zone::Error::InvalidWrite));
        }
        if zone.written + sectors > capacity {
            return Err(Error::Zone(zone::Error::Boundary));
        }
        zone.written += sectors;
        if zone.written == capacity {
            zone.state = State::Full;
        } else if zone.state != State::ExplicitlyOpen {
            zone.state = State::ImplicitlyOpen;
        }
        Ok(pointer)
    }

    fn act(&mut self, at: Sector, action: ZoneAction) -> Result<Reply, Error> {
        use State::{Closed, Empty, ExplicitlyOpen, Full, ImplicitlyOpen, Offline, ReadOnly};
        let zone = self.zone_mut(at)?;
        zone.state = match (action, zone.state) {
            (ZoneAction::OpenZrwa, _) => return Err(Error::Zone(zone::Error::NoArea)),
            (ZoneAction::Open, Empty | Closed | ImplicitlyOpen | ExplicitlyOpen) => ExplicitlyOpen,
            (ZoneAction::Close, ImplicitlyOpen | ExplicitlyOpen | Closed) => Closed,
            (ZoneAction::Finish, Empty | ImplicitlyOpen | ExplicitlyOpen | Closed | Full) => Full,
            (ZoneAction::Reset, Empty | ImplicitlyOpen | ExplicitlyOpen | Closed | Full) => Empty,
            (ZoneAction::Offline, ReadOnly | Offline) => Offline,
            (ZoneAction::SetExtension, Empty) => Closed,
            _ => return Err(Error::Zone(zone::Error::InvalidTransition)),
        };
        match action {
            ZoneAction::Reset => (zone.written, zone.extension_valid) = (0, false),
            ZoneAction::SetExtension => zone.extension_valid = true,
            _ => {}
        }
        Ok(Reply::Done)
    }
}

impl Drive for FakeDrive {
    fn namespaces(&self) -> &[NamespaceInfo] {
        &self.namespaces
    }

    fn lend(&mut self, pages: u32, is_kept: bool) {
        if pages > 0 || self.lends {
            self.lent.push((pages, is_kept));
        }
        self.lends = pages > 0;
    }

    fn check_lent(&mut self, _: NsIndex, command: &Command, memory: &mut dyn HostMemory) -> u64 {
        let Command::Read { at, sectors, .. } = *command else {
            return 0;
        };
        let bytes = (sectors * SECTOR_BYTES) as usize;
        self.lent_range = (at.get() * SECTOR_BYTES, bytes);
        let mut into = vec![0; bytes];
        let is_read = memory.read(self.lent_range.0, &mut into);
        self.lent_reads.push(is_read.then_some(into));
        1
    }

    fn fill_lent(&mut self, memory: &mut dyn HostMemory) -> u64 {
        let (at, bytes) = self.lent_range;
        let is_written = memory.write(at, &vec![self.lent_fill; bytes]);
        self.lent_fills.push(is_written);
        1
    }

    fn submit(&mut self, ns: NsIndex, command: &Command, now: Instant) -> Outcome {
        if self.submitted.len() < RECORDED {
            self.submitted.push((ns, *command));
        }
        self.is_blank &= !matches!(command, Command::Write { .. } | Command::Append { .. });
        Outcome {
            done: now + self.config.latency,
            result: self.apply(ns, command),
        }
    }

    fn has_unwritten(&self, ns: NsIndex, at: Sector, sectors: u64) -> bool {
        if ns.0 == 0 {
            let written = self.written.iter().skip(at.get() as usize);
            return !written.take(sectors as usize).all(|is_written| *is_written);
        }
        let size = self.zone_sectors();
        let zone = self.zones.get((at.get() / size) as usize);
        zone.is_none_or(|zone| at.get() % size + sectors > zone.written)
    }

    fn sanitized(&self) -> Sanitized {
        self.sanitized
    }

    fn set_sanitized(&mut self, to: Sanitized) {
        self.sanitized = to;
        self.is_blank |= to.status == SanitizeStatus::Completed;
    }

    fn is_blank(&self) -> bool {
        self.is_blank
    }

    fn sanitize_time(&self, of: &Sanitized) -> Nanos {
        self.sanitize_time.times(of.erases.into())
    }

    /// A second, or ten.
    fn self_test_time(&self, is_extended: bool) -> Nanos {
        Nanos::from_micros(if is_extended { 10_000_000 } else { 1_000_000 })
    }

    fn sanitize_fails(&mut self) -> bool {
        core::mem::take(&mut self.sanitize_fails)
    }

    fn can_mark(&self, ns: NsIndex, _at: Sector, sectors: u64) -> bool {
        let marked = self.marked.get(usize::from(ns.0));
        marked.is_some_and(|marked| marked.len() + sectors as usize <= self.most_marked)
    }

    fn set_uncorrectable(&mut self, ns: NsIndex, at: Sector, sectors: u64, is_set: bool) {
        if let Some(marked) = self.marked.get_mut(usize::from(ns.0)) {
            let range = at.get()..at.get() + sectors;
            match is_set {
                true => marked.extend(range),
                false => marked.retain(|sector| !range.contains(sector)),
            }
        }
    }

    fn zone(&self, ns: NsIndex, id: ZoneId) -> Option<ZoneReport> {
        let zone = self.zones.get(id.get() as usize).filter(|_| ns.0 == 1)?;
        let start = u64::from(id.get()) * self.zone_sectors();
        Some(ZoneReport {
            id,
            start: Sector::new(start),
            capacity: self.config.zone_capacity / SECTOR_BYTES,
            write_pointer: Sector::new(start + zone.written),
            state: zone.state,
            zrwa: false,
            extended: zone.extension_valid,
        })
    }

    fn zone_extension(&self, _ns: NsIndex, zone: ZoneId) -> Option<&[u8]> {
        let zone = self.zones.get(zone.get() as usize)?;
        (!zone.extension.is_empty()).then_some(zone.extension.as_slice())
    }

    fn set_zone_extension(&mut self, _ns: NsIndex, zone: ZoneId, unit: usize, to: &[u8; 64]) {
        let zone = self.zones.get_mut(zone.get() as usize);
        let place = zone.and_then(|z| z.extension.chunks_exact_mut(64).nth(unit));
        if let Some(place) = place {
            place.copy_from_slice(to);
        }
    }

    /// The two namespaces share one LBA size here: the first one's stays, the second one's changes both.
    fn can_format(&self, ns: NsIndex, format: u8) -> bool {
        let shift = LBA_SHIFTS.get(usize::from(format));
        shift.is_some_and(|shift| *shift == self.config.lba_shift || ns.0 != 0)
    }

    fn set_format(&mut self, _ns: NsIndex, format: u8) {
        if let Some(shift) = LBA_SHIFTS.get(usize::from(format)) {
            self.config.lba_shift = *shift;
            self.namespaces = self.describe();
        }
    }

    fn note(&mut self, number: u64, now: Instant) {
        self.notes.push((number, now));
    }

    fn shutdown(&mut self, now: Instant) -> Instant {
        now + self.config.latency
    }

    /// The first page of the media is lost; capacitors last for half the latency, and recovery takes it twice.
    fn power_cut(&mut self, now: Instant, change: &mut dyn FnMut(MediaChange)) -> PowerLoss {
        self.cuts.push(now);
        change(MediaChange::Gone(0..4096));
        PowerLoss {
            off: now + Nanos::new(self.config.latency.get() / 2),
            recovery: self.config.latency.times(2),
        }
    }

    fn next_event(&self) -> Option<Instant> {
        self.background
    }

    fn advance(&mut self, now: Instant) {
        self.background = None;
        self.advanced.push(now);
    }

    fn take_event(&mut self) -> Option<DriveEvent> {
        self.events.pop_front()
    }

    fn health(&self) -> Health {
        self.health
    }

    fn vendor_log(&self, page: &mut [u8; VENDOR_LOG_BYTES]) {
        let text = b"fake drive";
        for (place, byte) in page.iter_mut().zip(text) {
            *place = *byte;
        }
    }
}
