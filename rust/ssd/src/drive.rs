// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive as the controller sees it: a model with namespaces, events, faults and wear.
//!
//! Namespace 1 is meta and 2 is data; without meta, data is namespace 1.
//!
//! With `timing=off` commands change the same state and complete at once; background work still
//! happens at the model's instants.

mod lent;
mod power;

use crate::error::ConfigError;
use crate::faults::{Access, Faults, Site, Verdict};
use crate::layout::{eui64, nguid};
use crate::model::{Model, Whole};
use crate::plan::{Plan, Space};
use crate::power::PowerCuts;
use crate::record::{Journal, Record, Recorded};
use crate::series::Series;
use crate::uncorrectable::Uncorrectable;
use crate::undo::Undo;
use crate::vendor_log;
use command::{Command, Error, HostMemory, Outcome, ZoneAction, ZoneReport, ZoneTarget};
use core::ops::Range;
use ftl::{Event, Namespace, PowerCut};
use nand::Cell;
use nvme::{
    DriveEvent, Failure, Health, MediaChange, NamespaceInfo, NsIndex, PowerLoss, SanitizeStatus,
    Sanitized, LBA_SHIFTS, VENDOR_LOG_BYTES,
};
use state::state;
use std::collections::VecDeque;
use std::sync::Arc;
use units::{Instant, Nanos, Sector, ZoneId, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

/// Failed reads and writes from which on the SMART log calls the drive's reliability degraded (our
/// choice: vendors do not say).
const DEGRADED_AFTER: u64 = 16;
/// Most events kept for the guest; the oldest are lost.
const MAX_EVENTS: usize = 64;
/// What a short self-test takes (our choice; Base, section 8.6, allows two minutes). An extended one reads all flash as well.
const SHORT_TEST: Nanos = Nanos::from_micros(10_000_000);
/// What a sanitize operation takes at least: a key, the map and what says that it began are written (our choice).
const SANITIZE_BASE: Nanos = Nanos::from_micros(10_000);
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
    /// Commands for the trace of this run, while one is written.
    record: Option<Record>,
    /// Who is told what changes the drive, where it outlives the process.
    journals: Vec<Arc<dyn Journal>>,
    /// Reads that failed.
    media_errors: u64,
    /// Writes that failed.
    write_faults: u64,
    /// What Write Uncorrectable has marked, of each namespace.
    uncorrectable: Vec<Uncorrectable>,
    /// The latest sanitize operation, whether any data was written since, and how often such ones erased each block.
    sanitized: Sanitized,
    is_blank: bool,
    wiped: u64,
    /// Times to do something to all of the flash.
    whole: Whole,
    /// Whether there can be power cuts, and what they did.
    has_cuts: bool,
    pub(crate) cuts: PowerCuts,
    /// Whether pages that are being programmed then cannot be read afterwards.
    pub(crate) tears: bool,
    /// What pages without zones were, for power cuts; and where that lies in the media.
    pub(crate) undo: Option<Undo>,
    pub(crate) undo_offset: u64,
    /// With `timing=off`, when the model has made durable what was answered so already.
    pub(crate) promised: Instant,
}

// Times, and whether there are any, can be changed while the drive runs: whoever decodes has set
// them.
state!(Drive {
    model, namespaces[fixed], events, extensions[fixed], faults, failure, series[fixed],
    media_errors, write_faults, uncorrectable[fixed], sanitized, is_blank, wiped, cuts,
    undo[fixed], promised;
    kinds, timed, whole, rated_erases, sample_interval, record, journals, has_cuts, tears, undo_offset
} => check);

impl Drive {
    fn check(&mut self) -> Result<(), state::Error> {
        state::ensure!(
            self.events.len() <= MAX_EVENTS,
            "{} events",
            self.events.len()
        );
        for (kind, info) in self.kinds.iter().zip(&self.namespaces) {
            let last = self.undo.as_ref().and_then(|undo| undo.last_page(*kind));
            let pages = info.size.get() / PAGE_BYTES;
            state::ensure!(
                last.is_none_or(|last| last < pages),
                "page {last:?} of {pages}"
            );
        }
        let zoned: Vec<_> = self
            .namespaces
            .iter()
            .map(|info| info.zoned.is_some())
            .collect();
        let checked = self.faults.check(&zoned, self.has_cuts);
        checked.map_err(|e| state::Error::new(e.to_string()))
    }

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
            record: None,
            journals: Vec::new(),
            media_errors: 0,
            write_faults: 0,
            uncorrectable: Vec::with_capacity(2),
            sanitized: Sanitized::default(),
            is_blank: true,
            wiped: 0,
            whole: Whole::default(),
            has_cuts: plan.power_cuts.is_some(),
            cuts: PowerCuts::default(),
            tears: plan.tears,
            undo: (plan.layout.undo_pages > 0).then(|| {
                let data = plan.data.zoned.is_none();
                Undo::new([plan.meta.is_some(), data], plan.layout.undo_pages)
            }),
            undo_offset: plan.layout.undo,
            promised: Instant::ZERO,
        };
        drive.whole = drive.model.whole(plan);
        if drive.undo.is_some() {
            drive.model.follow();
        }
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
        self.uncorrectable.push(Uncorrectable::new());
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

    /// Counts from here on, and takes samples; wear stays.
    pub fn forget_counts(&mut self) {
        self.model.forget_counts();
        self.series = Series::new(self.sample_interval);
    }

    /// The counters over model time ([`Series::csv`]); empty unless `sample-interval-ns` is set.
    #[must_use]
    pub fn series_csv(&self) -> String {
        self.series
            .as_ref()
            .map_or_else(String::new, |series| series.csv(&self.model))
    }

    /// How full the zones were at the same times ([`Series::zones_csv`]).
    #[must_use]
    pub fn zone_series_csv(&self) -> String {
        self.series
            .as_ref()
            .map_or_else(String::new, |series| series.zones_csv(&self.model))
    }

    /// What was read of the zones until then ([`Series::reads_csv`]).
    #[must_use]
    pub fn zone_reads_csv(&self) -> String {
        self.series
            .as_ref()
            .map_or_else(String::new, |series| series.reads_csv(&self.model))
    }

    /// From here on notes the commands that reach the model, for [`Drive::recorded`].
    pub fn record(&mut self) {
        self.record = Some(Record::new());
    }

    /// Takes the commands noted since the last time, in their order, and how many more there were than are kept.
    pub fn recorded(&mut self) -> Option<(impl Iterator<Item = Recorded> + '_, u64)> {
        self.record.as_mut().map(Record::take)
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
        self.whole = self.model.whole(plan);
        if plan.sample_interval != self.sample_interval {
            self.sample_interval = plan.sample_interval;
            self.series = Series::new(plan.sample_interval);
        }
    }

    /// Media bytes that may hold data, in pieces that may touch: what is before write pointers or in random
    /// write areas, and pages that are mapped. Others read as zeroes. A model without a map cannot
    /// tell.
    pub fn written(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let spaces = self.namespaces.iter().zip(&self.kinds);
        let written = spaces.flat_map(move |(info, &kind)| {
            let zones = info.zoned.as_ref().map_or(0, |zoned| zoned.zones);
            let in_zones = (0..zones).map(|zone| self.written_in(info, zone));
            let pages = match info.zoned {
                Some(_) => 0,
                None => info.size.get() / PAGE_BYTES,
            };
            let mapped = (0..pages).filter(move |page| {
                let at = Sector::new(page * PAGE_SECTORS);
                !self.model.has_unmapped(kind, at, PAGE_SECTORS)
            });
            let mapped = mapped.map(|page| page * PAGE_BYTES..(page + 1) * PAGE_BYTES);
            let pieces = in_zones
                .chain(joined(mapped))
                .filter(|piece| !piece.is_empty());
            pieces.map(|piece| piece.start + info.media_offset..piece.end + info.media_offset)
        });
        let undo = self.undo.iter().flat_map(Undo::written);
        written.chain(joined(undo.map(|piece| {
            piece.start + self.undo_offset..piece.end + self.undo_offset
        })))
    }

    /// Bytes of its namespace that a zone may hold.
    fn written_in(&self, info: &NamespaceInfo, zone: u32) -> Range<u64> {
        let area = info.zoned.as_ref().and_then(|zoned| zoned.zrwa);
        let area = area.map_or(0, |zrwa| zrwa.size.get());
        let Some(report) = self.model.zone(ZoneId::new(zone)) else {
            return 0..0;
        };
        let start = report.start.get() * SECTOR_BYTES;
        let capacity = report.capacity * SECTOR_BYTES;
        let mut end = capacity;
        if report.state.has_write_pointer() {
            let written = report.write_pointer.get() * SECTOR_BYTES - start;
            let area = if report.zrwa { area } else { 0 };
            end = written.saturating_add(area).min(capacity);
        }
        start..start.saturating_add(end)
    }

    /// Makes a zone read-only or offline, and tells the guest.
    ///
    /// # Errors
    /// There is no such zone, or it has failed already: offline is final, and nothing fails the same way twice.
    pub fn inject_zone(&mut self, zone: ZoneId, offline: bool) -> Result<(), Error> {
        self.tell(&Recorded::Failed { zone, offline });
        self.model.inject_zone(zone, offline)?;
        let ns = self.data_index();
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
        faults.check(&zoned.collect::<Vec<_>>(), self.has_cuts)?;
        self.faults = faults;
        Ok(())
    }

    /// The fault rules, and how often each has acted.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What the fault rules say of a command; a zone that is to fail has failed then.
    fn verdict(&mut self, ns: NsIndex, command: &Command) -> Verdict {
        let Some(info) = self.namespaces.get(usize::from(ns.0)) else {
            return Verdict::default();
        };
        if self.faults.is_empty() {
            return Verdict::default();
        }
        let zone_size = info.zoned.as_ref().map(|zoned| zoned.zone_size);
        let place = Site {
            nsid: ns.nsid().get(),
            lba_shift: info.lba_shift,
            zone_size,
        };
        let append = |zone: Sector| {
            let zone = zone.get() / (zone_size?.get() / SECTOR_BYTES).max(1);
            let zone = self.model.zone(ZoneId::new(u32::try_from(zone).ok()?))?;
            let is_written_at = zone.state.has_write_pointer();
            is_written_at.then_some(zone.write_pointer)
        };
        let access = Access::of(command, place, append);
        let verdict = access.map_or_else(Verdict::default, |a| self.faults.judge(&a));
        if let Some((zone, offline)) = verdict.zone {
            // A zone out of range is the command's mistake, which it will be told of; one that has failed already
            // is no news.
            let _ = self.inject_zone(zone, offline);
        }
        verdict
    }

    /// Counts a failure of the media; from some number on the drive calls itself unreliable.
    fn count_failure(&mut self, error: Error) -> Error {
        let was_degraded = self.is_degraded();
        match error {
            Error::Unreadable(_) => self.media_errors = self.media_errors.saturating_add(1),
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

    fn kind(&self, ns: NsIndex) -> Option<Namespace> {
        self.kinds.get(usize::from(ns.0)).copied()
    }

    /// Has the journals take something down, and the record if that is of commands.
    fn tell(&mut self, what: &Recorded) {
        for journal in &self.journals {
            journal.note(what);
        }
        if let Some(record) = self.record.as_mut().filter(|_| what.at().is_some()) {
            record.note(*what);
        }
    }

    /// From here on what changes the drive is told to `journal` before it does.
    pub fn add_journal(&mut self, journal: Arc<dyn Journal>) {
        self.journals.push(journal);
    }

    /// Works what a journal was told, with the same instants, in the same order; `change` is told what a power cut makes of
    /// media bytes.
    pub fn replay(&mut self, what: &Recorded, change: &mut dyn FnMut(MediaChange)) {
        match *what {
            Recorded::Command { ns, command, at } => {
                self.sample(ns, &command, at);
                let _ = self.run(ns, &command, at);
            }
            Recorded::PowerCut(at) => {
                self.cut(at, change);
            }
            Recorded::Note { .. } => {}
            Recorded::Format { ns, format } => nvme::Drive::set_format(self, ns, format),
            Recorded::Failed { zone, offline } => {
                // It did then, or it failed in the same way.
                let _ = self.inject_zone(zone, offline);
            }
            Recorded::Uncorrectable {
                ns,
                at,
                sectors,
                is_set,
            } => nvme::Drive::set_uncorrectable(self, ns, at, sectors, is_set),
            Recorded::Sanitized(to) => nvme::Drive::set_sanitized(self, to),
            Recorded::Lent { slots, is_kept } => self.model.hmb_lend(slots, is_kept),
            Recorded::Spoilt { slot, pieces } => self.model.hmb_spoil(slot, pieces),
            Recorded::Extension { zone, at, bytes } => {
                let ns = self.data_index();
                let start = self.extension_of(ns, zone).map_or(0, |range| range.start);
                let place = self.extensions.get_mut(start + 16 * at..);
                if let Some(place) = place.and_then(<[u8]>::first_chunk_mut) {
                    *place = bytes;
                }
            }
        }
    }

    /// Where in the extensions a zone's lies.
    fn extension_of(&self, ns: NsIndex, zone: ZoneId) -> Option<Range<usize>> {
        let zoned = self.namespaces.get(usize::from(ns.0))?.zoned.as_ref()?;
        let each = usize::from(zoned.extension_units) * 64;
        let start = usize::try_from(zone.get()).ok()?.checked_mul(each)?;
        Some(start..start.checked_add(each)?)
    }

    fn data_index(&self) -> NsIndex {
        let last = self.kinds.len().saturating_sub(1);
        NsIndex(u8::try_from(last).unwrap_or(0))
    }

    /// Runs a command that no fault has stopped.
    fn run(&mut self, ns: Namespace, command: &Command, now: Instant) -> Outcome {
        self.tell(&Recorded::Command {
            ns,
            command: *command,
            at: now,
        });
        let mut outcome = self.model.submit(ns, command, now);
        self.follow(now);
        if outcome.result.is_ok() {
            self.rewrite(ns, command);
            self.is_blank &= !matches!(command, Command::Write { .. } | Command::Append { .. });
        }
        if !self.timed {
            self.promised = self.promised.max(outcome.done);
            outcome.done = now;
        }
        outcome
    }

    /// Takes note of what happened to pages.
    fn follow(&mut self, now: Instant) {
        let Some(undo) = &mut self.undo else { return };
        let marks = self.kinds.iter().zip(&self.uncorrectable);
        self.model.drain_events(&mut |event| {
            undo.note(event, now, |of, page| {
                let mut marks = marks.clone();
                let marks = marks.find(|(kind, _)| **kind == of);
                marks.map_or(0, |(_, marks)| marks.of(page))
            });
        });
    }

    /// What Write Uncorrectable has marked of a namespace.
    pub(crate) fn uncorrectable(&mut self, of: Namespace) -> Option<&mut Uncorrectable> {
        let at = self.kinds.iter().position(|kind| *kind == of)?;
        self.uncorrectable.get_mut(at)
    }

    /// A command was worked: what it wrote or gave up can be read.
    fn rewrite(&mut self, ns: Namespace, command: &Command) {
        let zone_size = self.zone_size(ns);
        let (at, sectors) = match (*command, zone_size) {
            (Command::Write { at, sectors, .. } | Command::WriteZeroes { at, sectors, .. }, _)
            | (Command::Deallocate { at, sectors }, None) => (at, sectors),
            (
                Command::Zone {
                    action: ZoneAction::Reset,
                    target,
                },
                Some(zone_size),
            ) => match target {
                ZoneTarget::One(at) => (at, zone_size),
                ZoneTarget::All => return self.rewrite_zones(ns, zone_size),
            },
            // On zones Deallocate is a hint, and what is appended was nothing before.
            _ => return,
        };
        if let Some(marks) = self.uncorrectable(ns) {
            marks.clear(at, sectors);
        }
    }

    /// Zones were reset, all that can be.
    fn rewrite_zones(&mut self, ns: Namespace, zone_size: u64) {
        let at = self.kinds.iter().position(|kind| *kind == ns);
        let Some(marks) = at.and_then(|at| self.uncorrectable.get_mut(at)) else {
            return;
        };
        marks.retain(|sector| {
            let zone = u32::try_from(sector.get() / zone_size).ok();
            let zone = zone.and_then(|zone| self.model.zone(ZoneId::new(zone)));
            zone.is_some_and(|zone| zone.state != zone::State::Empty)
        });
    }

    /// A command is about to be worked: what the samples have of it.
    fn sample(&mut self, ns: Namespace, command: &Command, now: Instant) {
        if self.series.is_none() {
            return;
        }
        let zone_size = self.zone_size(ns);
        let Some(series) = &mut self.series else {
            return;
        };
        series.note(&self.model, now);
        if let (Command::Read { at, sectors, .. }, Some(zone_size)) = (*command, zone_size) {
            series.reads(&self.model, at.get() / zone_size, sectors);
        }
    }

    /// Sectors from zone to zone, if a namespace has zones.
    fn zone_size(&self, of: Namespace) -> Option<u64> {
        let at = self.kinds.iter().position(|kind| *kind == of)?;
        let zoned = self.namespaces.get(at)?.zoned.as_ref()?;
        Some((zoned.zone_size.get() / SECTOR_BYTES).max(1))
    }

    /// Where byte 0 of a namespace lies in the media.
    pub(crate) fn media_offset(&self, of: Namespace) -> Option<u64> {
        let at = self.kinds.iter().position(|kind| *kind == of)?;
        self.namespaces.get(at).map(|info| info.media_offset)
    }

    /// Cuts the model's power; what it did, and what happened to pages.
    pub(crate) fn cut_model(&mut self, now: Instant) -> (PowerCut, Vec<Event>) {
        if let Some(series) = &mut self.series {
            series.note(&self.model, now);
        }
        self.tell(&Recorded::PowerCut(now));
        let cut = self.model.power_cut(now);
        let recovery = self.recovery(&cut);
        self.cuts.note(&cut, recovery);
        let mut events = Vec::new();
        self.model.drain_events(&mut |event| events.push(*event));
        (cut, events)
    }

    /// From now on power cuts leave pages that are being programmed unreadable, whatever `torn-program` says.
    pub fn tear(&mut self) {
        self.tears = true;
    }

    /// What power cuts did so far.
    #[must_use]
    pub const fn power_cuts(&self) -> PowerCuts {
        self.cuts
    }
}

/// Ascending ranges with those that touch made one.
fn joined(ranges: impl Iterator<Item = Range<u64>>) -> impl Iterator<Item = Range<u64>> {
    let mut ranges = ranges.peekable();
    core::iter::from_fn(move || {
        let mut range = ranges.next()?;
        while let Some(next) = ranges.next_if(|next| next.start == range.end) {
            range.end = next.end;
        }
        Some(range)
    })
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

impl nvme::Drive for Drive {
    fn namespaces(&self) -> &[NamespaceInfo] {
        &self.namespaces
    }

    fn submit(&mut self, ns: NsIndex, command: &Command, now: Instant) -> Outcome {
        if let Some(kind) = self.kind(ns) {
            self.sample(kind, command, now);
        }
        let verdict = self.verdict(ns, command);
        if verdict.failure.is_some() {
            self.failure = verdict.failure;
            return Outcome::failed(now, Error::Internal);
        }
        let mut command = *command;
        if verdict.forgets {
            command = command.with_fua(false);
        }
        let mut outcome = match (verdict.write_error, self.kind(ns)) {
            (None, Some(_)) if verdict.forgets && command == Command::Flush => Outcome::done(now),
            (Some(at), _) => Outcome::failed(now, self.count_failure(Error::Unwritable(at))),
            (None, Some(kind)) => self.run(kind, &command, now),
            (None, None) => Outcome::failed(now, Error::Unsupported),
        };
        if let (Ok(_), Some(at)) = (outcome.result, verdict.read_error) {
            outcome.result = Err(self.count_failure(Error::Unreadable(at)));
        }
        if let (Ok(_), Command::Read { at, sectors, .. }) = (outcome.result, command) {
            let marks = self.uncorrectable.get(usize::from(ns.0));
            if let Some(at) = marks.and_then(|marks| marks.first(at, sectors)) {
                // The host wants it so: that says nothing of the media.
                outcome.result = Err(Error::Unreadable(at));
            }
        }
        outcome.done += verdict.delay;
        outcome
    }

    fn lend(&mut self, pages: u32, is_kept: bool) {
        self.lend_slots(pages, is_kept);
    }

    fn check_lent(&mut self, ns: NsIndex, command: &Command, memory: &mut dyn HostMemory) -> u64 {
        self.check_pieces(ns, command, memory)
    }

    fn fill_lent(&mut self, memory: &mut dyn HostMemory) -> u64 {
        self.write_slots(memory)
    }

    fn sanitized(&self) -> Sanitized {
        self.sanitized
    }

    fn set_sanitized(&mut self, to: Sanitized) {
        self.tell(&Recorded::Sanitized(to));
        self.sanitized = to;
        match (to.status, &mut self.undo) {
            // No power cut brings back what was before.
            (SanitizeStatus::InProgress, Some(undo)) => undo.clear(),
            (SanitizeStatus::Completed, _) => {
                self.is_blank = true;
                self.wiped = self.wiped.saturating_add(to.erases.into());
            }
            _ => {}
        }
    }

    fn is_blank(&self) -> bool {
        self.is_blank
    }

    fn sanitize_time(&self, of: &Sanitized) -> Nanos {
        if !self.timed {
            return Nanos::ZERO;
        }
        let Whole { erase, program, .. } = self.whole;
        SANITIZE_BASE + erase.times(of.erases.into()) + program.times(of.programs.into())
    }

    fn self_test_time(&self, is_extended: bool) -> Nanos {
        match (self.timed, is_extended) {
            (false, _) => Nanos::ZERO,
            (true, false) => SHORT_TEST,
            (true, true) => SHORT_TEST + self.whole.read,
        }
    }

    fn sanitize_fails(&mut self) -> bool {
        self.faults.judge(&Access::SANITIZE).sanitize_error
    }

    fn aside(&self) -> Range<u64> {
        let bytes = self.undo.as_ref().map_or(0, |undo| undo.bytes());
        self.undo_offset..self.undo_offset.saturating_add(bytes)
    }

    fn can_mark(&self, ns: NsIndex, at: Sector, sectors: u64) -> bool {
        let marks = self.uncorrectable.get(usize::from(ns.0));
        marks.is_some_and(|marks| marks.has_room(at, sectors))
    }

    fn set_uncorrectable(&mut self, ns: NsIndex, at: Sector, sectors: u64, is_set: bool) {
        self.tell(&Recorded::Uncorrectable {
            ns,
            at,
            sectors,
            is_set,
        });
        let index = usize::from(ns.0);
        let size = self.namespaces.get(index).map_or(0, |info| info.size.get());
        let (Some(marks), Some(end)) = (
            self.uncorrectable.get_mut(index),
            at.get().checked_add(sectors),
        ) else {
            return;
        };
        // A journal may say anything.
        if end > size / SECTOR_BYTES {
            return;
        }
        match is_set {
            true => marks.mark(at, sectors),
            false => marks.clear(at, sectors),
        }
    }

    fn has_unwritten(&self, ns: NsIndex, at: Sector, sectors: u64) -> bool {
        self.kind(ns)
            .is_some_and(|kind| self.model.has_unmapped(kind, at, sectors))
    }

    fn is_timed(&self) -> bool {
        self.timed
    }

    fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    fn come_up(&mut self) -> bool {
        self.faults.judge(&Access::ENABLE).failure.is_none()
    }

    fn zone(&self, ns: NsIndex, zone: ZoneId) -> Option<ZoneReport> {
        match self.kind(ns)? {
            Namespace::Data => self.model.zone(zone),
            Namespace::Meta => None,
        }
    }

    fn zone_extension(&self, ns: NsIndex, zone: ZoneId) -> Option<&[u8]> {
        let range = self.extension_of(ns, zone)?;
        self.extensions.get(range).filter(|e| !e.is_empty())
    }

    fn set_zone_extension(&mut self, ns: NsIndex, zone: ZoneId, unit: usize, to: &[u8; 64]) {
        let Some(range) = self.extension_of(ns, zone) else {
            return;
        };
        let all = self.extensions.get_mut(range);
        let Some(place) = all.and_then(|all| all.chunks_exact_mut(64).nth(unit)) else {
            return;
        };
        place.copy_from_slice(to);
        for (part, bytes) in to.chunks_exact(16).enumerate() {
            if let Some(bytes) = bytes.first_chunk() {
                let (at, bytes) = (4 * unit + part, *bytes);
                self.tell(&Recorded::Extension { zone, at, bytes });
            }
        }
    }

    fn can_format(&self, ns: NsIndex, format: u8) -> bool {
        usize::from(format) < LBA_SHIFTS.len() && self.kind(ns).is_some()
    }

    fn set_format(&mut self, ns: NsIndex, format: u8) {
        self.tell(&Recorded::Format { ns, format });
        let info = self.namespaces.get_mut(usize::from(ns.0));
        if let (Some(info), Some(shift)) = (info, LBA_SHIFTS.get(usize::from(format))) {
            info.lba_shift = *shift;
        }
    }

    fn note(&mut self, number: u64, at: Instant) {
        self.tell(&Recorded::Note { at, number });
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

    fn take_kept(&mut self) -> Option<(u64, u64)> {
        let (namespace, lpn, slot) = self.undo.as_mut()?.take_kept()?;
        let from = self
            .media_offset(namespace)?
            .checked_add(lpn.checked_mul(PAGE_BYTES)?)?;
        Some((from, self.undo_offset + u64::from(slot) * PAGE_BYTES))
    }

    fn power_cut(&mut self, now: Instant, change: &mut dyn FnMut(MediaChange)) -> PowerLoss {
        self.cut(now, change)
    }

    fn next_event(&self) -> Option<Instant> {
        self.model.next_event()
    }

    fn advance(&mut self, now: Instant) {
        self.model.advance(now);
        self.follow(now);
    }

    fn take_event(&mut self) -> Option<DriveEvent> {
        self.events.pop_front()
    }

    fn health(&self) -> Health {
        let erases = self.model.mean_erases();
        let worn = |by: u64| by.saturating_add(self.wiped).saturating_mul(100);
        let slc = worn(erases.slc) / RATED_SLC_ERASES;
        let native = worn(erases.native) / self.rated_erases;
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
        vendor_log::fill(&self.model, page);
    }
}
