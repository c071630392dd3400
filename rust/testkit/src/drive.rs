// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive without flash: namespace 1 conventional, namespace 2 zoned, one latency for everything.

use std::collections::VecDeque;

use nvme::{
    Discard, Drive, DriveEvent, Health, IoCommand, IoError, LbaRange, NamespaceInfo, NsIndex,
    Outcome, Reply, ZoneAction, ZoneAttributes, ZoneDescriptor, ZoneState, ZoneTarget, ZonedInfo,
    ZrwaInfo, LBA_SHIFTS, VENDOR_LOG_BYTES,
};
use units::{Bytes, Instant, Lba, Nanos, ZoneId};

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
    state: ZoneState,
    /// Blocks written.
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
    pub submitted: Vec<(NsIndex, IoCommand)>,
    /// The next command fails with this.
    pub fail_next: Option<IoError>,
    /// What the SMART log says.
    pub health: Health,
    /// The zone that the drive recommends to reset.
    pub reset_recommended: Option<ZoneId>,
    /// Blocks of namespace 1 that were written and not deallocated.
    pub written: Vec<bool>,
    /// When background work is due.
    pub background: Option<Instant>,
    /// When background work was carried out.
    pub advanced: Vec<Instant>,
    events: VecDeque<DriveEvent>,
}

impl FakeDrive {
    /// A drive of this shape, empty.
    #[must_use]
    pub fn new(config: FakeConfig) -> Self {
        let zone = Zone {
            state: ZoneState::Empty,
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
            reset_recommended: None,
            written: vec![false; (config.conventional_bytes / 512) as usize],
            background: None,
            advanced: Vec::new(),
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
    pub fn inject_zone_state(&mut self, zone: u32, state: ZoneState) {
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

    fn zone_blocks(&self) -> u64 {
        self.config.zone_bytes >> self.config.lba_shift
    }

    fn capacity_blocks(&self) -> u64 {
        self.config.zone_capacity >> self.config.lba_shift
    }

    fn apply(&mut self, ns: NsIndex, command: &IoCommand) -> Result<Reply, IoError> {
        if let Some(error) = self.fail_next.take() {
            return Err(error);
        }
        if ns.0 == 0 {
            self.conventional(command)
        } else {
            self.zoned(command)
        }
    }

    fn conventional(&mut self, command: &IoCommand) -> Result<Reply, IoError> {
        let nothing = Ok(Reply::default());
        let mut mark = |range: LbaRange, value| {
            let blocks = self.written.iter_mut().skip(range.start.get() as usize);
            blocks
                .take(range.blocks as usize)
                .for_each(|block| *block = value);
        };
        match *command {
            IoCommand::Read {
                range,
                reject_unwritten: true,
                ..
            } => {
                let mut blocks = self.written.iter().skip(range.start.get() as usize);
                if blocks.by_ref().take(range.blocks as usize).all(|w| *w) {
                    nothing
                } else {
                    Err(IoError::Unwritten)
                }
            }
            IoCommand::Read { .. } | IoCommand::Flush => nothing,
            IoCommand::Write { range, .. } => {
                mark(range, true);
                nothing
            }
            IoCommand::WriteZeroes { range, .. } | IoCommand::Deallocate { range } => {
                let deallocates = !matches!(
                    command,
                    IoCommand::WriteZeroes {
                        deallocate: false,
                        ..
                    }
                );
                mark(range, !deallocates);
                Ok(Reply {
                    discard: Discard::Range(range),
                    ..Reply::default()
                })
            }
            IoCommand::Append { .. } | IoCommand::Zone { .. } | IoCommand::FlushZrwa { .. } => {
                Err(IoError::NotSupported)
            }
        }
    }

    fn zoned(&mut self, command: &IoCommand) -> Result<Reply, IoError> {
        let size = self.zone_blocks();
        match *command {
            IoCommand::Read {
                range,
                reject_unwritten,
                ..
            } => self.read_zone(range, reject_unwritten),
            IoCommand::Write { range, .. } | IoCommand::WriteZeroes { range, .. } => {
                let zone = ZoneId::new((range.start.get() / size) as u32);
                self.write(zone, Some(range.start), range.blocks)
            }
            IoCommand::Append { zone, blocks, .. } => self.write(zone, None, blocks),
            IoCommand::Deallocate { .. } | IoCommand::Flush => Ok(Reply::default()),
            IoCommand::Zone { action, target } => match target {
                ZoneTarget::One(zone) => self.act(zone, action),
                ZoneTarget::All => {
                    for zone in 0..self.config.zones {
                        // Zones the action does not apply to are left alone.
                        let _ = self.act(ZoneId::new(zone), action);
                    }
                    Ok(Reply::default())
                }
            },
            IoCommand::FlushZrwa { .. } => Err(IoError::InvalidZoneOperation),
        }
    }

    /// The zone's own errors come before that of unwritten blocks.
    fn read_zone(&self, range: LbaRange, reject_unwritten: bool) -> Result<Reply, IoError> {
        let size = self.zone_blocks();
        let (start, end) = (range.start.get(), range.start.get() + range.blocks);
        let number = start / size;
        if (end - 1) / size != number {
            return Err(IoError::ZoneBoundary);
        }
        let zone = self.zones.get(number as usize);
        let zone = zone.ok_or(IoError::LbaOutOfRange)?;
        if zone.state == ZoneState::Offline {
            return Err(IoError::ZoneOffline);
        }
        if reject_unwritten && end > number * size + zone.written {
            return Err(IoError::Unwritten);
        }
        Ok(Reply::default())
    }

    fn write(&mut self, id: ZoneId, at: Option<Lba>, blocks: u64) -> Result<Reply, IoError> {
        let start = u64::from(id.get()) * self.zone_blocks();
        let capacity = self.capacity_blocks();
        let zone = self
            .zones
            .get_mut(id.get() as usize)
            .ok_or(IoError::LbaOutOfRange)?;
        match zone.state {
            ZoneState::Full => return Err(IoError::ZoneFull),
            ZoneState::ReadOnly => return Err(IoError::ZoneReadOnly),
            ZoneState::Offline => return Err(IoError::ZoneOffline),
            ZoneState::Empty
            | ZoneState::ImplicitlyOpen
            | ZoneState::ExplicitlyOpen
            | ZoneState::Closed => {}
        }
        let pointer = start + zone.written;
        if at.is_some_and(|lba| lba.get() != pointer) {
            return Err(IoError::ZoneInvalidWrite);
        }
        if zone.written + blocks > capacity {
            return Err(IoError::ZoneBoundary);
        }
        zone.written += blocks;
        if zone.written == capacity {
            zone.state = ZoneState::Full;
        } else if zone.state != ZoneState::ExplicitlyOpen {
            zone.state = ZoneState::ImplicitlyOpen;
        }
        Ok(Reply {
            lba: Lba::new(pointer),
            ..Reply::default()
        })
    }

    fn act(&mut self, id: ZoneId, action: ZoneAction) -> Result<Reply, IoError> {
        use ZoneState::{Closed, Empty, ExplicitlyOpen, Full, ImplicitlyOpen, Offline, ReadOnly};
        let blocks = self.zone_blocks();
        let zone = self
            .zones
            .get_mut(id.get() as usize)
            .ok_or(IoError::LbaOutOfRange)?;
        let next = match (action, zone.state) {
            (ZoneAction::Open { zrwa: true }, _) => return Err(IoError::ZrwaUnavailable),
            (
                ZoneAction::Open { zrwa: false },
                Empty | Closed | ImplicitlyOpen | ExplicitlyOpen,
            ) => ExplicitlyOpen,
            (ZoneAction::Close, ImplicitlyOpen | ExplicitlyOpen | Closed) => Closed,
            (ZoneAction::Finish, Empty | ImplicitlyOpen | ExplicitlyOpen | Closed | Full) => Full,
            (ZoneAction::Reset, Empty | ImplicitlyOpen | ExplicitlyOpen | Closed | Full) => Empty,
            (ZoneAction::Offline, ReadOnly | Offline) => Offline,
            (ZoneAction::SetExtension, Empty) => Closed,
            _ => return Err(IoError::InvalidTransition),
        };
        zone.state = next;
        let mut reply = Reply::default();
        match action {
            ZoneAction::Reset => {
                (zone.written, zone.extension_valid) = (0, false);
                reply.discard = Discard::Range(LbaRange {
                    start: Lba::new(u64::from(id.get()) * blocks),
                    blocks,
                });
            }
            ZoneAction::SetExtension => zone.extension_valid = true,
            _ => {}
        }
        Ok(reply)
    }
}

impl Drive for FakeDrive {
    fn namespaces(&self) -> &[NamespaceInfo] {
        &self.namespaces
    }

    fn submit(&mut self, ns: NsIndex, command: &IoCommand, now: Instant) -> Outcome {
        if self.submitted.len() < RECORDED {
            self.submitted.push((ns, *command));
        }
        Outcome {
            done: now + self.config.latency,
            result: self.apply(ns, command),
        }
    }

    fn zone(&self, _ns: NsIndex, zone: ZoneId) -> ZoneDescriptor {
        let last = self.zones.len().saturating_sub(1);
        let number = (zone.get() as usize).min(last);
        let start = number as u64 * self.zone_blocks();
        let (state, written, extension_valid) = self
            .zones
            .get(number)
            .map_or((ZoneState::Offline, 0, false), |z| {
                (z.state, z.written, z.extension_valid)
            });
        let has_pointer = !matches!(
            state,
            ZoneState::Full | ZoneState::ReadOnly | ZoneState::Offline
        );
        ZoneDescriptor {
            state,
            start: Lba::new(start),
            capacity: self.capacity_blocks(),
            write_pointer: has_pointer.then_some(Lba::new(start + written)),
            attributes: ZoneAttributes {
                extension_valid,
                reset_recommended: self.reset_recommended == Some(zone),
                ..ZoneAttributes::default()
            },
        }
    }

    fn zone_extension(&mut self, _ns: NsIndex, zone: ZoneId) -> Option<&mut [u8]> {
        let zone = self.zones.get_mut(zone.get() as usize)?;
        (!zone.extension.is_empty()).then_some(zone.extension.as_mut_slice())
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

    fn shutdown(&mut self, now: Instant) -> Instant {
        now + self.config.latency
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
