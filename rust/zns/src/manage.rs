// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone management.

use crate::stats::add;
use crate::Zns;
use ftl::{zone_at, Error, Event, Namespace, Outcome, ZoneAction, ZoneTarget};
use nand::{BlockId, PlaneId};
use units::{Bytes, Instant, Nanos, ZoneId, PAGE_SECTORS, SECTOR_BYTES};
use zone::State;

impl Zns {
    /// Fault injection: the zone becomes read-only, or offline.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn inject_zone(&mut self, id: ZoneId, offline: bool) -> Result<(), Error> {
        self.zones.get(id).ok_or(zone::Error::NoSuchZone)?;
        // It will not be written further: its incomplete one-shot page goes as it is, or is lost.
        let now = self.arrival();
        if offline {
            self.drop_data(id);
            self.drop_buffered(id, now);
            let written = self.zones.get(id).map_or(0, |z| z.written);
            if let Some(body) = self.bodies.get_mut(id.get() as usize) {
                body.programmed = written * SECTOR_BYTES;
            }
        } else {
            // What does not find room is lost with the zone's random write area.
            let _ = self.commit_held(id, now);
            self.program_rest(id, now);
        }
        Ok(self.zones.inject(id, offline)?)
    }

    pub(crate) fn manage(
        &mut self,
        action: ZoneAction,
        target: ZoneTarget,
        now: Instant,
    ) -> Result<Outcome, Error> {
        match target {
            ZoneTarget::One(at) => {
                let id = zone_at(&self.zones, at)?;
                self.act(action, id, now).map(Outcome::done)
            }
            ZoneTarget::All => self.manage_all(action, now),
        }
    }

    fn manage_all(&mut self, action: ZoneAction, now: Instant) -> Result<Outcome, Error> {
        action.check_all(&self.zones)?;
        let mut done = now;
        for id in self.zones.ids().map(ZoneId::new) {
            let state = self.zones.get(id).map(|zone| zone.state);
            if let Some(action) = state.and_then(|state| action.for_all(state)) {
                done = done.max(self.act(action, id, now)?);
            }
        }
        Ok(Outcome::done(done))
    }

    /// Applies an action to one zone; returns when it is complete.
    fn act(&mut self, action: ZoneAction, id: ZoneId, now: Instant) -> Result<Instant, Error> {
        match action {
            ZoneAction::Open => self.zones.open(id).map(drop)?,
            ZoneAction::OpenZrwa => self.zones.open_zrwa(id).map(drop)?,
            ZoneAction::SetExtension => self.zones.extend(id)?,
            ZoneAction::Close => self.zones.close(id)?,
            ZoneAction::Offline => self.zones.offline(id)?,
            ZoneAction::Finish => return self.finish(id, now),
            ZoneAction::Reset => return self.reset(id, now),
        }
        Ok(now)
    }

    fn finish(&mut self, id: ZoneId, now: Instant) -> Result<Instant, Error> {
        self.commit_held(id, now)?;
        let opened = self.is_opened(id);
        self.zones.finish(id)?;
        self.program_rest(id, now);
        self.stats.zone_finishes += 1;
        let padded = match self.config.zone_costs.finish_pads && opened {
            true => self.pad(id, now),
            false => now,
        };
        Ok(padded.max(self.body(id).durable) + self.config.zone_costs.finish)
    }

    /// Programs the one-shot pages of the zone that were not written, on all its planes at once: a run of programs on
    /// each. Returns when the last ends.
    fn pad(&mut self, id: ZoneId, now: Instant) -> Instant {
        let one_shot = self.config.chips.one_shot.get().max(1);
        let first = self.body(id).programmed.div_ceil(one_shot);
        let end = self.config.zone_capacity.get().div_ceil(one_shot);
        let lanes = self.lanes();
        let mut done = now;
        for unit in first..end.min(first.saturating_add(lanes)) {
            let place = self.place(id, unit * one_shot);
            let count = (end - unit).div_ceil(lanes);
            let padded = self.flash.pad(now, place.plane, place.block, count);
            done = done.max(padded);
        }
        add(
            &mut self.stats.padded_bytes,
            end.saturating_sub(first).saturating_mul(one_shot),
        );
        done
    }

    /// Whether the zone has been opened since it was empty.
    fn is_opened(&self, id: ZoneId) -> bool {
        let state = self.zones.get(id).map(|z| z.state);
        state.is_some_and(|state| state.is_active())
    }

    /// Planes that the zone's one-shot pages go round.
    fn lanes(&self) -> u64 {
        let planes = u64::from(self.config.chips.planes_per_lun.max(1));
        u64::from(self.config.dies_per_zone.max(1)).saturating_mul(planes)
    }

    fn reset(&mut self, id: ZoneId, now: Instant) -> Result<Instant, Error> {
        let state = self.zones.get(id).map(|z| z.state);
        if matches!(state, None | Some(State::ReadOnly | State::Offline)) {
            return Err(Error::Zone(zone::Error::InvalidTransition));
        }
        self.drop_buffered(id, now);
        self.zones.reset(id)?;
        self.drop_data(id);
        self.ahead.end(id);
        // The zone's map entries go when its programs have ended, which may have begun to be waited for sooner.
        let running = match self.config.reset_wait {
            true => self.body(id).durable.since(self.arrival()),
            false => Nanos::ZERO,
        };
        let erased = self.erase(id, now);
        Ok(match state {
            Some(State::Empty) => erased,
            _ => erased.max(now + running) + self.config.zone_costs.reset,
        })
    }

    /// Erases the blocks that hold data of the zone, in the background: what is written to the zone
    /// soon after is programmed when that is over. Returns when the reset is complete.
    fn erase(&mut self, id: ZoneId, now: Instant) -> Instant {
        let one_shot = self.config.chips.one_shot.get().max(1);
        let used = self.body(id).programmed.div_ceil(one_shot);
        let lanes = self.lanes();
        let blocks = used.min(lanes);
        let work = self.flash.begin();
        for lane in 0..blocks {
            let place = self.place(id, lane * one_shot);
            self.flash.defer_erase(now, place.plane, place.block, work);
        }
        if let Some(body) = self.bodies.get_mut(id.get() as usize) {
            body.programmed = 0;
            body.durable = Instant::ZERO;
            if blocks > 0 {
                body.erases = body.erases.saturating_add(1);
                self.stats.zone_resets += 1;
                self.stats.zone_erases_max = self.stats.zone_erases_max.max(body.erases);
            }
        }
        self.stats.erases += blocks;
        let erased = if self.config.reset_wait {
            self.flash.force(work)
        } else {
            now
        };
        self.flash.release(work);
        now.max(erased)
    }

    /// The zone's block on each of its planes, in the order that they are written.
    pub(crate) fn blocks(&self, id: ZoneId) -> impl Iterator<Item = (PlaneId, BlockId)> + '_ {
        let one_shot = self.config.chips.one_shot.get();
        let places = (0..self.lanes()).map(move |lane| self.place(id, lane * one_shot));
        places.map(|place| (place.plane, place.block))
    }

    /// Programs the zone's incomplete one-shot page as it is.
    fn program_rest(&mut self, id: ZoneId, now: Instant) {
        let written = self.zones.get(id).map_or(0, |z| z.written);
        self.program(id, written * SECTOR_BYTES, now);
    }

    /// Drops the zone's incomplete one-shot page.
    fn drop_buffered(&mut self, id: ZoneId, now: Instant) {
        let bytes = self.buffered(id);
        let index = self.buffer_index(id);
        if let (Some(buffer), 1..) = (self.buffers.get_mut(index), bytes) {
            buffer.release(now, Bytes::new(bytes));
        }
    }

    /// Tells the observer that the zone's data need not be kept.
    fn drop_data(&mut self, id: ZoneId) {
        let first = self.zones.start(id).get() / PAGE_SECTORS;
        let pages = self.zones.layout().size.div_ceil(PAGE_SECTORS);
        self.observer.note(|| Event::Dropped {
            namespace: Namespace::Data,
            first,
            pages,
        });
    }
}
