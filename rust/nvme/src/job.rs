// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands too long for one run: Format NVM, Dataset Management, zone reports, and Zone Management Send where it
//! discards data.
//!
//! ```text
//!   execute ─► job ─► step: one zone, or one piece of a range ─► drive ─► bytes to discard ─┐
//!               ▲        └──────────────────── until the run's work is done ────────────────┤
//!               └─ the next run ◄───────────────────────────────────────────────────────────┘
//! ```
//!
//! The one who calls [`Controller::run`] holds a lock that guest processors wait for, so a run ends when it has done
//! its work, counted in units of about a microsecond of the host's time: a command, a page that is moved, 16 pages that
//! are only discarded or looked up, 32 zones looked at. A job goes on in the next run, which is asked for at once.
//!
//! Invariants:
//! - there is one job at a time, and nothing is fetched until it is done: the order of effects is that of fetching, and
//!   what the job keeps in scratch memory and its data pointer stay;
//! - a run does at most its work and that of one more command or step, none of which is more than [`LONGEST_COMMAND`]
//!   unless MDTS allows more;
//! - a controller reset drops the job: a namespace that was being formatted has then lost part of its data, and has its
//!   old LBA size.

use core::ops::Range;

use command::{Command, ZoneAction, ZoneTarget};
use nvme_spec::Sqe;
use units::{Instant, Sector, ZoneId, SECTOR_BYTES};
use zone::State;

use crate::controller::{Controller, Done};
use crate::drive::{Drive, NsIndex};
use crate::host::Host;
use crate::namespace::{Namespace, Span};
use crate::reject::Reject;
use crate::zones::Report;

/// Bytes that a unit of work moves.
pub(crate) const MOVED_PER_UNIT: u64 = 4096;
/// Bytes that a unit of work discards, or looks up in the model.
pub(crate) const LOOKED_UP_PER_UNIT: u64 = 16 * 4096;
/// Zones that a unit of work looks at.
const ZONES_PER_UNIT: u64 = 32;
/// Zones that one step looks at.
const STEP_ZONES: u32 = 4096;
/// Work of one zone management action in the model.
const ACTION: u64 = 16;
/// Most sectors of a range that one step gives to the model: 16 MiB.
const PIECE: u64 = (16 << 20) / SECTOR_BYTES;
/// Most work of one command or step: moving 1 MiB twice (Copy), or looking up [`PIECE`].
pub(crate) const LONGEST_COMMAND: u64 = 600;

/// What is left of a long command, apart from bytes to discard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing.
    Discard,
    /// Zone Management Receive.
    Report(Report),
    /// Select All: the zones from `next` on.
    Zones {
        ns: NsIndex,
        action: ZoneAction,
        next: u32,
    },
    /// Dataset Management: ranges of the list in scratch memory from number `at` on, of that one without the first
    /// `inside` sectors.
    Deallocate {
        ns: NsIndex,
        ranges: usize,
        at: usize,
        inside: u64,
    },
    /// Format NVM of some namespaces: from zone or sector `next` of namespace `at` on.
    Format {
        first: u32,
        last: u32,
        format: u8,
        /// Also data that no command can change any longer: secure erase.
        wipes: bool,
        at: u32,
        next: u64,
    },
}

/// A long command being worked.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) sq: u16,
    sqe: Sqe,
    task: Task,
    /// Media bytes that are to read as zeroes.
    discard: Range<u64>,
    /// When what was done so far completes.
    done: Instant,
}

impl Job {
    pub(crate) fn new(sq: u16, sqe: &Sqe, start: Start, now: Instant) -> Self {
        Self {
            sq,
            sqe: *sqe,
            task: start.task,
            discard: start.discard,
            done: start.done.max(now),
        }
    }
}

/// How a long command begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) task: Task,
    pub(crate) discard: Range<u64>,
    pub(crate) done: Instant,
}

impl Start {
    /// A task of which nothing is done yet.
    pub(crate) const fn of(task: Task) -> Self {
        Self {
            task,
            discard: 0..0,
            done: Instant::ZERO,
        }
    }
}

impl<D: Drive> Controller<D> {
    /// Counts work of this run.
    pub(crate) fn worked(&mut self, units: u64) {
        self.work = self.work.saturating_add(units);
    }

    /// Counts zones that were looked at.
    pub(crate) fn looked_at(&mut self, zones: Range<u32>) {
        self.worked(u64::from(zones.end.saturating_sub(zones.start)).div_ceil(ZONES_PER_UNIT));
    }

    /// Whether this run may do more.
    pub(crate) const fn has_budget(&self) -> bool {
        self.work < self.budget
    }

    /// Works the job in hand, if there is one, until it is done or the run is over.
    pub(crate) fn work_job<H: Host>(&mut self, host: &mut H, now: Instant) {
        while self.has_budget() {
            let Some(mut job) = self.job.take() else {
                return;
            };
            let step = if job.discard.is_empty() {
                self.step(host, &mut job, now)
            } else {
                self.discard_some(host, &mut job.discard);
                Ok(true)
            };
            match step {
                Ok(true) => self.job = Some(job),
                Ok(false) => {
                    let (done, result) = (job.done, 0);
                    return self.settle(job.sq, &job.sqe, Ok(Done::At { done, result }), now);
                }
                Err(reject) => return self.settle(job.sq, &job.sqe, Err(reject), now),
            }
        }
    }

    /// Discards bytes from the front of a range, as many as this run has work left for.
    fn discard_some<H: Host>(&mut self, host: &mut H, bytes: &mut Range<u64>) {
        let units = self.budget.saturating_sub(self.work);
        let most = units.saturating_mul(LOOKED_UP_PER_UNIT);
        let len = (bytes.end - bytes.start).min(most);
        host.media_discard(bytes.start, len);
        bytes.start = bytes.start.saturating_add(len);
        self.worked(len.div_ceil(LOOKED_UP_PER_UNIT));
    }

    /// One step; whether there was something left to do.
    fn step<H: Host>(&mut self, host: &mut H, job: &mut Job, now: Instant) -> Result<bool, Reject> {
        match &mut job.task {
            Task::Discard => Ok(false),
            Task::Report(report) => self.step_report(host, report),
            Task::Zones { ns, action, next } => {
                let (ns, action) = (self.namespace(ns.nsid().get())?, *action);
                match self.next_zone(&ns, next, |state| action.for_all(state).is_some()) {
                    Some(zone) => self.act(job, &ns, action, zone, now).map(|()| true),
                    None => Ok(*next < ns.zone_count()),
                }
            }
            Task::Deallocate {
                ns,
                ranges,
                at,
                inside,
            } => {
                let ns = self.namespace(ns.nsid().get())?;
                if *at >= *ranges {
                    return Ok(false);
                }
                let range = self.dsm_range(&ns, *at)?;
                let piece = piece(
                    range.at.get().saturating_add(*inside),
                    range.at.get().saturating_add(range.sectors),
                );
                *inside = inside.saturating_add(piece.sectors);
                if *inside >= range.sectors {
                    (*at, *inside) = (at.saturating_add(1), 0);
                }
                self.deallocate(job, &ns, piece, now).map(|()| true)
            }
            Task::Format { .. } => self.step_format(job, now),
        }
    }

    fn step_format(&mut self, job: &mut Job, now: Instant) -> Result<bool, Reject> {
        let Task::Format {
            first,
            last,
            format,
            wipes,
            at,
            next,
        } = &mut job.task
        else {
            return Ok(false);
        };
        if *at > *last {
            for nsid in *first..=*last {
                if let Ok(ns) = self.namespace(nsid) {
                    self.drive.set_format(ns.index, *format);
                }
            }
            return Ok(false);
        }
        let Ok(ns) = self.namespace(*at) else {
            // Not active: it is not among all.
            (*at, *next) = (at.saturating_add(1), 0);
            return Ok(true);
        };
        if ns.zones.is_some() {
            let mut zone = u32::try_from(*next).unwrap_or(u32::MAX);
            let (wipes, reset) = (*wipes, ZoneAction::Reset);
            let can_reset = |state| reset.for_all(state).is_some();
            let found = self.next_zone(&ns, &mut zone, |state| wipes || can_reset(state));
            *next = zone.into();
            if let Some(zone) = found {
                let state = self.drive.zone(ns.index, zone).map(|zone| zone.state);
                if state.is_some_and(can_reset) {
                    return self.act(job, &ns, reset, zone, now).map(|()| true);
                }
                // It keeps its state, but not its data.
                job.discard = ns.zone_media(zone);
                return Ok(true);
            }
            if *next < u64::from(ns.zone_count()) {
                return Ok(true);
            }
        } else if *next < ns.sectors {
            let piece = piece(*next, ns.sectors);
            *next = next.saturating_add(piece.sectors);
            return self.deallocate(job, &ns, piece, now).map(|()| true);
        }
        (*at, *next) = (at.saturating_add(1), 0);
        Ok(true)
    }

    /// The first zone from `next` on in a state that is `wanted`, if it is among those that one step looks at; `next`
    /// is the one after it, or after those.
    fn next_zone(
        &mut self,
        ns: &Namespace,
        next: &mut u32,
        wanted: impl Fn(State) -> bool,
    ) -> Option<ZoneId> {
        let zones = step_of_zones(*next, ns.zone_count());
        let mut ids = zones.clone().map(ZoneId::new);
        let found = ids.find(|&zone| {
            let zone = self.drive.zone(ns.index, zone);
            zone.is_some_and(|zone| wanted(zone.state))
        });
        *next = found.map_or(zones.end, |zone| zone.get().saturating_add(1));
        self.looked_at(zones.start..*next);
        found
    }

    /// An action on one zone.
    fn act(
        &mut self,
        job: &mut Job,
        ns: &Namespace,
        action: ZoneAction,
        zone: ZoneId,
        now: Instant,
    ) -> Result<(), Reject> {
        let Some(at) = self.drive.zone(ns.index, zone).map(|zone| zone.start) else {
            return Ok(());
        };
        let target = ZoneTarget::One(at);
        self.worked(ACTION);
        let (done, _) = self.submit(ns, &Command::Zone { action, target }, now)?;
        job.done = job.done.max(done);
        if action == ZoneAction::Reset {
            job.discard = ns.zone_media(zone);
        }
        Ok(())
    }

    fn deallocate(
        &mut self,
        job: &mut Job,
        ns: &Namespace,
        span: Span,
        now: Instant,
    ) -> Result<(), Reject> {
        let Span { at, sectors } = span;
        if sectors == 0 {
            return Ok(());
        }
        self.worked(span.bytes().div_ceil(LOOKED_UP_PER_UNIT));
        let (done, _) = self.submit(ns, &Command::Deallocate { at, sectors }, now)?;
        job.done = job.done.max(done);
        // On zones it is a hint that is not taken.
        if ns.zones.is_none() {
            job.discard = ns.media(span);
        }
        Ok(())
    }
}

/// The zones from `first` on that one step looks at.
pub(crate) fn step_of_zones(first: u32, count: u32) -> Range<u32> {
    first..first.saturating_add(STEP_ZONES).min(count)
}

/// The sectors of `start..end` up to the next multiple of [`PIECE`], so that no page of the model is cut.
fn piece(start: u64, end: u64) -> Span {
    let stop = (start / PIECE).saturating_add(1).saturating_mul(PIECE);
    Span {
        at: Sector::new(start),
        sectors: stop.min(end).saturating_sub(start),
    }
}
