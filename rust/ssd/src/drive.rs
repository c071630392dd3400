// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive as the controller sees it: namespaces in LBAs, on a model that counts in sectors.
//!
//! Namespace 1 is meta and 2 is data; without meta, data is namespace 1.
//!
//! With `timing=off` commands change the same state and complete at once; background work still
//! happens at the model's instants.

use crate::error::ConfigError;
use crate::faults::{Access, Faults, Verdict};
use crate::layout::{eui64, nguid};
use crate::model::{io_error, Model};
use crate::plan::{Plan, Space};
use crate::series::Series;
use crate::stats::vendor_log;
use ftl::{Command, Namespace};
use nand::Cell;
use nvme::{
    Discard, DriveEvent, Failure, Health, IoCommand, IoError, LbaRange, NamespaceInfo, NsIndex,
    Outcome, Reply, ZoneAction, ZoneAttributes, ZoneDescriptor, ZoneState, ZoneTarget, LBA_SHIFTS,
    VENDOR_LOG_BYTES,
};
use std::collections::VecDeque;
use units::{Instant, Lba, Nanos, Sector, ZoneId};

/// Failed reads and writes from which on the SMART log calls the drive's reliability degraded (our
/// choice: vendors do not say).
const DEGRADED_AFTER: u64 = 16;
/// Most events kept for the guest; the oldest are lost.
const MAX_EVENTS: usize = 64;
/// A drive in a phone at work.
const TEMPERATURE_KELVIN: u16 = 313;

/// Erases that a block is good for with one bit per cell: typical of data sheets.
const RATED_SLC_ERASES: u64 = 30_000;

/// Erases that a block is good for with all its bits: typical of data sheets.
const fn rated_erases(cell: Cell) -> u64 {
    match cell {
        Cell::Slc => RATED_SLC_ERASES,
        Cell::Mlc => 5_000,
        Cell::Tlc => 3_000,
        Cell::Qlc => 1_000,
    }
}

/// A drive: a model, and what the controller must know of it.
#[derive(Clone, Debug)]
pub struct Drive {
    model: Model,
    namespaces: Vec<NamespaceInfo>,
    /// The model's name of each namespace.
    kinds: Vec<Namespace>,
    timed: bool,
    /// Erases that native blocks are good for; without flash there are none.
    rated_erases: u64,
    events: VecDeque<DriveEvent>,
    /// Descriptor extensions of all zones, one after the other.
    extensions: Vec<u8>,
    faults: Faults,
    /// How the drive has failed, until the controller takes it.
    failure: Option<Failure>,
    series: Option<Series>,
    sample_interval: Nanos,
    /// Reads that failed.
    media_errors: u64,
    /// Writes that failed.
    write_faults: u64,
}

impl Drive {
    /// An erased drive.
    ///
    /// # Errors
    /// The plan makes no drive.
    pub fn new(plan: &Plan) -> Result<Self, ConfigError> {
        let mut drive = Self {
            model: Model::new(plan)?,
            namespaces: Vec::with_capacity(2),
            kinds: Vec::with_capacity(2),
            timed: plan.timed,
            rated_erases: plan.cell.map_or(u64::MAX, rated_erases),
            events: VecDeque::with_capacity(MAX_EVENTS),
            extensions: Vec::new(),
            faults: Faults::default(),
            failure: None,
            series: Series::new(plan.sample_interval),
            sample_interval: plan.sample_interval,
            media_errors: 0,
            write_faults: 0,
        };
        if let (Some(offset), Some(meta)) = (plan.layout.meta, &plan.meta) {
            drive.add(plan, Namespace::Meta, offset, meta);
        }
        drive.add(plan, Namespace::Data, plan.layout.data, &plan.data);
        if let Some(zoned) = &plan.data.zoned {
            let each = usize::from(zoned.extension_units) * 64;
            let all = usize::try_from(zoned.zones).unwrap_or(0).checked_mul(each);
            drive.extensions = vec![0; all.unwrap_or(0)];
        }
        Ok(drive)
    }

    fn add(&mut self, plan: &Plan, kind: Namespace, media_offset: u64, space: &Space) {
        let nsid = u32::try_from(self.kinds.len()).unwrap_or(0) + 1;
        self.kinds.push(kind);
        self.namespaces.push(NamespaceInfo {
            size: space.size,
            capacity: space.capacity,
            media_offset,
            lba_shift: plan.lba_shift,
            eui64: eui64(&plan.controller.serial, nsid),
            nguid: nguid(&plan.controller.serial, nsid),
            preferred_write: space.preferred_write,
            zoned: space.zoned.clone(),
        });
    }

    /// The model, for its statistics and checks.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The counters over model time ([`Series::csv`]); empty unless `sample-interval-ns` is set.
    #[must_use]
    pub fn series_csv(&self) -> String {
        self.series
            .as_ref()
            .map_or_else(String::new, |series| series.csv(&self.model))
    }

    /// Whether commands take model time.
    #[must_use]
    pub const fn is_timed(&self) -> bool {
        self.timed
    }

    /// Takes over a plan's times, and whether there are any (`timing`), from the next command on. The
    /// rest of the plan, which is this drive's otherwise, is ignored. Another interval of samples starts
    /// them afresh.
    pub fn set_times(&mut self, plan: &Plan) {
        self.timed = plan.timed;
        self.model.set_times(plan);
        if plan.sample_interval != self.sample_interval {
            self.sample_interval = plan.sample_interval;
            self.series = Series::new(plan.sample_interval);
        }
    }

    /// Makes a zone read-only or offline, and tells the guest.
    ///
    /// # Errors
    /// There is no such zone, or it has failed already: offline is final, and nothing fails the same way twice.
    pub fn inject_zone(&mut self, zone: ZoneId, offline: bool) -> Result<(), IoError> {
        self.model.inject_zone(zone, offline).map_err(io_error)?;
        let last = self.kinds.len().saturating_sub(1);
        let ns = NsIndex(u8::try_from(last).unwrap_or(0));
        self.announce(DriveEvent::ZoneChanged { ns, zone });
        Ok(())
    }

    fn announce(&mut self, event: DriveEvent) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Adds fault rules, or drops them ([`Faults::set`]).
    ///
    /// # Errors
    /// A text that is no rule, or a rule that does not fit the drive; then nothing has changed.
    pub fn set_faults(&mut self, text: &str) -> Result<(), ConfigError> {
        let mut faults = self.faults.clone();
        faults.set(text)?;
        self.put_faults(faults)
    }

    /// Replaces the fault rules.
    ///
    /// # Errors
    /// A rule does not fit the drive; then nothing has changed.
    pub fn put_faults(&mut self, faults: Faults) -> Result<(), ConfigError> {
        let zoned = self.namespaces.iter().map(|info| info.zoned.is_some());
        faults.check(&zoned.collect::<Vec<_>>())?;
        self.faults = faults;
        Ok(())
    }

    /// The fault rules, and how often each has acted.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What the fault rules say of a command; a zone that is to fail has failed then.
    fn verdict(&mut self, ns: NsIndex, command: &IoCommand) -> Verdict {
        if self.faults.is_empty() {
            return Verdict::default();
        }
        let info = self.namespaces.get(usize::from(ns.0));
        let blocks = info.and_then(|info| {
            let zoned = info.zoned.as_ref()?;
            Some(zoned.zone_size.get() >> info.lba_shift)
        });
        let append = |zone| nvme::Drive::zone(self, ns, zone).write_pointer;
        let access = Access::of(command, ns.nsid().get(), blocks, append);
        let verdict = access.map_or_else(Verdict::default, |a| self.faults.judge(&a));
        if let Some((zone, offline)) = verdict.zone {
            // A zone out of range is the command's mistake, which it will be told of; one that has failed already
            // is no news.
            let _ = self.inject_zone(zone, offline);
        }
        verdict
    }

    /// Counts a failure of the media; from some number on the drive calls itself unreliable.
    fn count_failure(&mut self, error: IoError) -> IoError {
        let was_degraded = self.is_degraded();
        match error {
            IoError::MediaRead(_) => self.media_errors = self.media_errors.saturating_add(1),
            _ => self.write_faults = self.write_faults.saturating_add(1),
        }
        if self.is_degraded() && !was_degraded {
            self.announce(DriveEvent::HealthChanged);
        }
        error
    }

    fn is_degraded(&self) -> bool {
        self.media_errors.saturating_add(self.write_faults) >= DEGRADED_AFTER
    }

    fn kind(&self, ns: NsIndex) -> Option<(Namespace, &NamespaceInfo)> {
        let at = usize::from(ns.0);
        Some((*self.kinds.get(at)?, self.namespaces.get(at)?))
    }

    /// Runs a command that no fault has stopped.
    fn execute(&mut self, ns: NsIndex, command: &IoCommand, now: Instant) -> Outcome {
        let failed = |error| Outcome {
            done: now,
            result: Err(error),
        };
        let Some((kind, info)) = self.kind(ns) else {
            return failed(IoError::NotSupported);
        };
        let scale = Scale::of(info);
        let native = match scale.command(command, info.zoned.is_some()) {
            Ok(native) => native,
            Err(error) => return failed(error),
        };
        let outcome = self.run(kind, &native, now);
        let discard = match *command {
            IoCommand::WriteZeroes { range, .. } => Discard::Range(range),
            _ => scale.discard(&outcome.discard),
        };
        let mut result = outcome.result.map_err(io_error).map(|reply| Reply {
            lba: match reply {
                ftl::Reply::Done => Lba::default(),
                ftl::Reply::Appended(sector) => scale.lba(sector),
            },
            discard,
        });
        if let (Ok(_), Some((at, sectors))) = (result, scale.must_be_written(command)) {
            if self.model.has_unmapped(kind, at, sectors) {
                result = Err(IoError::Unwritten);
            }
        }
        Outcome {
            done: outcome.done,
            result,
        }
    }

    /// Runs a command of the model's own.
    fn run(&mut self, ns: Namespace, command: &Command, now: Instant) -> ftl::Outcome {
        let mut outcome = self.model.submit(ns, command, now);
        if !self.timed {
            outcome.done = now;
        }
        outcome
    }
}

/// A controller with a drive behind it: all that a device needs.
pub type Ssd = nvme::Controller<Drive>;

/// Builds a drive from its configuration. `config.plan()` also gives the media layout.
///
/// # Errors
/// The configuration makes no drive.
pub fn build(plan: &Plan) -> Result<Ssd, ConfigError> {
    let drive = Drive::new(plan)?;
    Ssd::new(plan.controller.clone(), drive).map_err(ConfigError::from)
}

/// Converts between a namespace's LBAs and sectors.
#[derive(Clone, Copy)]
struct Scale {
    /// Sectors per LBA, as a power of two.
    shift: u32,
    /// Sectors per zone.
    zone: u64,
}

impl Scale {
    fn of(info: &NamespaceInfo) -> Self {
        let zone = info.zoned.as_ref().map_or(0, |z| z.zone_size.get());
        Self {
            shift: u32::from(info.lba_shift).saturating_sub(9),
            zone: zone / units::SECTOR_BYTES,
        }
    }

    fn sectors(self, blocks: u64) -> u64 {
        blocks.saturating_mul(1 << self.shift)
    }

    fn sector(self, lba: Lba) -> Sector {
        Sector::new(self.sectors(lba.get()))
    }

    fn lba(self, sector: Sector) -> Lba {
        Lba::new(sector.get() >> self.shift)
    }

    fn zone_start(self, zone: ZoneId) -> Sector {
        Sector::new(self.zone.saturating_mul(u64::from(zone.get())))
    }

    /// The LBAs that lie in the range as a whole.
    fn discard(self, discard: &ftl::Discard) -> Discard {
        match discard {
            // The controller resets zones one by one.
            ftl::Discard::Nothing | ftl::Discard::EmptyZones => Discard::Nothing,
            ftl::Discard::Sectors(range) => {
                let start = range.start.div_ceil(1 << self.shift);
                let end = range.end >> self.shift;
                match end.checked_sub(start) {
                    None | Some(0) => Discard::Nothing,
                    Some(blocks) => Discard::Range(LbaRange {
                        start: Lba::new(start),
                        blocks,
                    }),
                }
            }
        }
    }

    /// The sectors a read is to fail at if they are unwritten (DULBE). Only a read that would succeed is looked at:
    /// where a zone is offline, or left by the range, that is the error.
    fn must_be_written(self, command: &IoCommand) -> Option<(Sector, u64)> {
        match *command {
            IoCommand::Read {
                range,
                reject_unwritten: true,
                ..
            } => Some((self.sector(range.start), self.sectors(range.blocks))),
            _ => None,
        }
    }

    fn command(self, command: &IoCommand, zoned: bool) -> Result<Command, IoError> {
        Ok(match *command {
            IoCommand::Read {
                range, internal, ..
            } => Command::Read {
                at: self.sector(range.start),
                sectors: self.sectors(range.blocks),
                internal,
            },
            IoCommand::Write {
                range,
                fua,
                internal,
            } => Command::Write {
                at: self.sector(range.start),
                sectors: self.sectors(range.blocks),
                fua,
                internal,
            },
            IoCommand::Append { zone, blocks, fua } => Command::Append {
                zone: self.zone_start(zone),
                sectors: self.sectors(blocks),
                fua,
            },
            // Zeroes are data like any other, unless the guest wants them deallocated. (On zones nothing is.)
            IoCommand::WriteZeroes {
                range,
                fua,
                deallocate: false,
            } if !zoned => Command::Write {
                at: self.sector(range.start),
                sectors: self.sectors(range.blocks),
                fua,
                internal: true,
            },
            IoCommand::WriteZeroes { range, fua, .. } => Command::WriteZeroes {
                at: self.sector(range.start),
                sectors: self.sectors(range.blocks),
                fua,
            },
            IoCommand::Deallocate { range } => Command::Deallocate {
                at: self.sector(range.start),
                sectors: self.sectors(range.blocks),
            },
            IoCommand::Flush => Command::Flush,
            IoCommand::Zone { action, target } => Command::Zone {
                action: match action {
                    ZoneAction::Open { zrwa: false } => ftl::ZoneAction::Open,
                    ZoneAction::Close => ftl::ZoneAction::Close,
                    ZoneAction::Finish => ftl::ZoneAction::Finish,
                    ZoneAction::Reset => ftl::ZoneAction::Reset,
                    ZoneAction::Offline => ftl::ZoneAction::Offline,
                    ZoneAction::Open { zrwa: true } => ftl::ZoneAction::OpenZrwa,
                    ZoneAction::SetExtension => ftl::ZoneAction::SetExtension,
                },
                target: match target {
                    ZoneTarget::One(zone) => ftl::ZoneTarget::One(self.zone_start(zone)),
                    ZoneTarget::All => ftl::ZoneTarget::All,
                },
            },
            IoCommand::FlushZrwa { upto } => Command::CommitZrwa {
                end: Sector::new(self.sectors(upto.get().saturating_add(1))),
            },
        })
    }
}

impl nvme::Drive for Drive {
    fn namespaces(&self) -> &[NamespaceInfo] {
        &self.namespaces
    }

    fn submit(&mut self, ns: NsIndex, command: &IoCommand, now: Instant) -> Outcome {
        if let Some(series) = &mut self.series {
            series.note(&self.model, now);
        }
        let verdict = self.verdict(ns, command);
        if verdict.failure.is_some() {
            self.failure = verdict.failure;
            return Outcome {
                done: now,
                result: Err(IoError::Internal),
            };
        }
        let mut outcome = match verdict.write_error {
            Some(at) => Outcome {
                done: now,
                result: Err(self.count_failure(IoError::MediaWrite(at))),
            },
            None => self.execute(ns, command, now),
        };
        if let (Ok(_), Some(at)) = (outcome.result, verdict.read_error) {
            outcome.result = Err(self.count_failure(IoError::MediaRead(at)));
        }
        outcome.done += verdict.delay;
        outcome
    }

    fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    fn come_up(&mut self) -> bool {
        self.faults.judge(&Access::ENABLE).failure.is_none()
    }

    fn zone(&self, ns: NsIndex, zone: ZoneId) -> ZoneDescriptor {
        let scale = self.kind(ns).map(|(_, info)| (Scale::of(info), info));
        let Some((scale, Some(zoned))) = scale.map(|(s, info)| (s, info.zoned.as_ref())) else {
            return no_zone();
        };
        let last = zoned.zones.saturating_sub(1);
        let Some(report) = self.model.zone(ZoneId::new(zone.get().min(last))) else {
            return no_zone();
        };
        ZoneDescriptor {
            state: zone_state(report.state),
            start: scale.lba(report.start),
            capacity: report.capacity >> scale.shift,
            write_pointer: report
                .state
                .has_write_pointer()
                .then(|| scale.lba(report.write_pointer)),
            attributes: ZoneAttributes {
                zrwa_valid: report.zrwa,
                extension_valid: report.extended,
                ..ZoneAttributes::default()
            },
        }
    }

    fn zone_extension(&mut self, ns: NsIndex, zone: ZoneId) -> Option<&mut [u8]> {
        let zoned = self.namespaces.get(usize::from(ns.0))?.zoned.as_ref()?;
        let each = usize::from(zoned.extension_units) * 64;
        let start = usize::try_from(zone.get()).ok()?.checked_mul(each)?;
        let range = start..start.checked_add(each)?;
        self.extensions.get_mut(range).filter(|e| !e.is_empty())
    }

    fn can_format(&self, ns: NsIndex, format: u8) -> bool {
        usize::from(format) < LBA_SHIFTS.len() && self.kind(ns).is_some()
    }

    fn set_format(&mut self, ns: NsIndex, format: u8) {
        let info = self.namespaces.get_mut(usize::from(ns.0));
        if let (Some(info), Some(shift)) = (info, LBA_SHIFTS.get(usize::from(format))) {
            info.lba_shift = *shift;
        }
    }

    fn shutdown(&mut self, now: Instant) -> Instant {
        let mut done = now;
        for at in 0..self.kinds.len() {
            if let Some(kind) = self.kinds.get(at).copied() {
                done = done.max(self.run(kind, &Command::Flush, now).done);
            }
        }
        done
    }

    fn next_event(&self) -> Option<Instant> {
        self.model.next_event()
    }

    fn advance(&mut self, now: Instant) {
        self.model.advance(now);
    }

    fn take_event(&mut self) -> Option<DriveEvent> {
        self.events.pop_front()
    }

    fn health(&self) -> Health {
        let worn = self.model.mean_erases();
        let slc = worn.slc.saturating_mul(100) / RATED_SLC_ERASES;
        let native = worn.native.saturating_mul(100) / self.rated_erases;
        Health {
            temperature_kelvin: TEMPERATURE_KELVIN,
            available_spare: 100,
            spare_threshold: 10,
            percentage_used: u8::try_from(slc.max(native)).unwrap_or(u8::MAX),
            media_errors: self.media_errors,
            read_only: false,
            degraded: self.is_degraded(),
        }
    }

    fn vendor_log(&self, page: &mut [u8; VENDOR_LOG_BYTES]) {
        vendor_log(&self.model, page);
    }
}

/// What a namespace without zones says of one; the controller does not ask.
fn no_zone() -> ZoneDescriptor {
    ZoneDescriptor {
        state: ZoneState::Offline,
        start: Lba::default(),
        capacity: 0,
        write_pointer: None,
        attributes: ZoneAttributes::default(),
    }
}

fn zone_state(state: zone::State) -> ZoneState {
    match state {
        zone::State::Empty => ZoneState::Empty,
        zone::State::ImplicitlyOpen => ZoneState::ImplicitlyOpen,
        zone::State::ExplicitlyOpen => ZoneState::ExplicitlyOpen,
        zone::State::Closed => ZoneState::Closed,
        zone::State::Full => ZoneState::Full,
        zone::State::ReadOnly => ZoneState::ReadOnly,
        zone::State::Offline => ZoneState::Offline,
    }
}
