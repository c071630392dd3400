// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands too long for one run, in steps: Format NVM, Dataset Management, zone reports, and Zone Management Send where
//! it discards data.
//!
//! ```text
//!   execute ─► job ─► step: one zone, or one piece of a range ─► drive ─► bytes to discard ─┐
//!               ▲        └──────────────────── until the run's work is done ────────────────┤
//!               └─ the next run ◄───────────────────────────────────────────────────────────┘
//! ```

use core::ops::Range;

use command::{Command, ZoneAction, ZoneTarget};
use units::{Instant, Sector, ZoneId, SECTOR_BYTES};
use zone::State;

use crate::controller::Controller;
use crate::drive::Drive;
use crate::host::Host;
use crate::namespace::{Namespace, Span};
use crate::reject::Reject;
use crate::work::{step_of_zones, Done, Job, Task, LOOKED_UP_PER_UNIT};

/// Work of one zone management action in the model.
const ACTION: u64 = 16;
/// Most sectors of a range that one step gives to the model: 16 MiB.
const PIECE: u64 = (16 << 20) / SECTOR_BYTES;

impl<D: Drive> Controller<D> {
    /// Works the job in hand, if there is one, until it is done or the run is over.
    pub(crate) fn work_job<H: Host>(&mut self, host: &mut H, now: Instant) {
        while self.work.has_budget() {
            let Some(mut job) = self.work.take() else {
                return;
            };
            let step = if job.discard.is_empty() {
                self.step(host, &mut job, now)
            } else {
                self.discard_some(host, &mut job.discard);
                Ok(true)
            };
            match step {
                Ok(true) => self.work.put(job),
                Ok(false) => {
                    let (done, result) = (job.done, 0);
                    return self.settle(job.sq, &job.sqe, Ok(Done::At { done, result }), now);
                }
                Err(reject) => return self.settle(job.sq, &job.sqe, Err(reject), now),
            }
        }
    }

    /// Goes on with what a job that was dropped left to discard; whether none is left.
    pub(crate) fn work_left_over<H: Host>(&mut self, host: &mut H) -> bool {
        if !self.work.has_left_over() {
            return true;
        }
        let mut rest = core::mem::take(self.work.left_over());
        self.discard_some(host, &mut rest);
        let is_done = rest.is_empty();
        *self.work.left_over() = rest;
        is_done
    }

    /// Discards bytes from the front of a range, as many as this run has work left for.
    pub(crate) fn discard_some<H: Host>(&mut self, host: &mut H, bytes: &mut Range<u64>) {
        self.keep(host);
        let most = self.work.left().saturating_mul(LOOKED_UP_PER_UNIT);
        let len = (bytes.end - bytes.start).min(most);
        host.media_discard(bytes.start, len);
        bytes.start = bytes.start.saturating_add(len);
        self.work.add(len.div_ceil(LOOKED_UP_PER_UNIT));
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
            // Nobody's command, and so worked elsewhere.
            Task::Sanitize { .. } => Ok(false),
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
        } = job.task
        else {
            return Ok(false);
        };
        if at > last {
            for nsid in first..=last {
                if let Ok(ns) = self.namespace(nsid) {
                    self.drive.set_format(ns.index, format);
                }
            }
            return Ok(false);
        }
        let then = match self.namespace(at) {
            Ok(ns) => self.erase_next(job, &ns, next, wipes, now)?,
            // Not active: it is not among all.
            Err(_) => None,
        };
        let (at, next) = match then {
            Some(next) => (at, next),
            None => (at.saturating_add(1), 0),
        };
        job.task = Task::Format {
            first,
            last,
            format,
            wipes,
            at,
            next,
        };
        Ok(true)
    }

    /// Resets zones, or deallocates sectors, of a namespace from number `next` on; where it goes on, if not at the end.
    /// With `wipes` zones that cannot be reset lose their data all the same.
    pub(crate) fn erase_next(
        &mut self,
        job: &mut Job,
        ns: &Namespace,
        next: u64,
        wipes: bool,
        now: Instant,
    ) -> Result<Option<u64>, Reject> {
        if ns.zones.is_none() {
            if next >= ns.sectors {
                return Ok(None);
            }
            let piece = piece(next, ns.sectors);
            self.deallocate(job, ns, piece, now)?;
            return Ok(Some(next.saturating_add(piece.sectors)));
        }
        let mut zone = u32::try_from(next).unwrap_or(u32::MAX);
        let reset = ZoneAction::Reset;
        let can_reset = |state| reset.for_all(state).is_some();
        let found = self.next_zone(ns, &mut zone, |state| wipes || can_reset(state));
        let Some(found) = found else {
            return Ok((zone < ns.zone_count()).then_some(zone.into()));
        };
        let state = self.drive.zone(ns.index, found).map(|zone| zone.state);
        if state.is_some_and(can_reset) {
            self.act(job, ns, reset, found, now)?;
        } else {
            // It keeps its state, but not its data.
            self.erase_in_place(job, ns, found);
        }
        Ok(Some(zone.into()))
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
        self.work.looked_at(zones.start..*next);
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
        self.work.add(ACTION);
        let (done, _) = self.submit(ns, &Command::Zone { action, target }, now)?;
        job.done = job.done.max(done);
        if action == ZoneAction::Reset {
            job.discard = ns.zone_media(zone);
        }
        Ok(())
    }

    /// The data of a zone that cannot be reset is gone, and its state stays.
    fn erase_in_place(&mut self, job: &mut Job, ns: &Namespace, zone: ZoneId) {
        job.discard = ns.zone_media(zone);
        if let (Some(zone), Some(zones)) = (self.drive.zone(ns.index, zone), ns.zones) {
            let sectors = zones.size.get();
            self.drive
                .set_uncorrectable(ns.index, zone.start, sectors, false);
        }
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
        self.work.add(span.bytes().div_ceil(LOOKED_UP_PER_UNIT));
        let (done, _) = self.submit(ns, &Command::Deallocate { at, sectors }, now)?;
        job.done = job.done.max(done);
        // On zones it is a hint that is not taken.
        if ns.zones.is_none() {
            job.discard = ns.media(span);
        }
        Ok(())
    }
}

/// The sectors of `start..end` up to the next multiple of [`PIECE`], so that no page of the model is cut.
fn piece(start: u64, end: u64) -> Span {
    let stop = (start / PIECE).saturating_add(1).saturating_mul(PIECE);
    Span {
        at: Sector::new(start),
        sectors: stop.min(end).saturating_sub(start),
    }
}
