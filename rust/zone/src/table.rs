// SPDX-License-Identifier: GPL-2.0-or-later
//! All zones of a namespace, and what they share.

mod zrwa;

pub use zrwa::Zrwa;

use crate::{Error, State};
use core::ops::Range;
use units::{Sector, ZoneId};
use zrwa::Areas;

/// How zones lie in the namespace. Sizes are in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of zones.
    pub zones: u32,
    /// Address span of a zone.
    pub size: u64,
    /// Sectors of it that can be written.
    pub capacity: u64,
}

/// Open and active resources; 0 means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Zones open at once.
    pub max_open: u32,
    /// Zones open or closed at once.
    pub max_active: u32,
}

/// What zones can do that not every drive's can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Reads may go on from one zone into the next.
    pub read_across: bool,
    /// Random write areas, if there are any. Ignored unless it [fits](Zrwa::fits).
    pub zrwa: Option<Zrwa>,
}

/// One zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Its state.
    pub state: State,
    /// Its descriptor extension is set.
    pub extended: bool,
    /// Sectors written so far, from the zone's start; without those that are in its random write
    /// area still. Finishing does not change it.
    pub written: u64,
    /// Which of the random write areas it has.
    pub(crate) area: Option<u16>,
}

impl Zone {
    /// Whether it has a random write area.
    #[must_use]
    pub const fn has_zrwa(&self) -> bool {
        self.area.is_some()
    }

    /// Whether there is nothing in it: no data, no random write area, no descriptor extension.
    const fn is_bare(&self) -> bool {
        self.written == 0 && !self.extended && self.area.is_none()
    }
}

state::state!(Zone {
    state,
    extended,
    written,
    area
});

/// The zones of one namespace.
#[derive(Clone, Debug)]
pub struct Zones {
    pub(crate) layout: Layout,
    limits: Limits,
    read_across: bool,
    pub(crate) areas: Areas,
    pub(crate) zones: Vec<Zone>,
    open: u32,
    active: u32,
    /// Implicitly opened zones, ascending. Kept only with a limit on open zones, which bounds it.
    implicit: Vec<u32>,
}

state::state!(Zones { zones[fixed], areas; layout, limits, read_across, open, active, implicit }
    => restore);

impl Zones {
    /// All zones empty. A size of zero or a capacity above the size counts as the nearest sound
    /// value.
    #[must_use]
    pub fn new(layout: Layout, limits: Limits) -> Self {
        let size = layout.size.max(1);
        let layout = Layout {
            size,
            capacity: layout.capacity.clamp(1, size),
            ..layout
        };
        Self {
            layout,
            limits,
            read_across: false,
            areas: Areas::default(),
            zones: vec![Zone::default(); layout.zones as usize],
            open: 0,
            active: 0,
            implicit: Vec::with_capacity(limits.max_open.min(layout.zones) as usize),
        }
    }

    /// The same zones, all empty still, with these options.
    #[must_use]
    pub fn with(self, options: Options) -> Self {
        let zrwa = options.zrwa.filter(|z| z.fits(self.layout));
        Self {
            read_across: options.read_across,
            areas: zrwa.map_or_else(Areas::default, Areas::new),
            ..self
        }
    }

    /// How the zones lie.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Zones open now.
    #[must_use]
    pub const fn open_count(&self) -> u32 {
        self.open
    }

    /// Zones active now.
    #[must_use]
    pub const fn active_count(&self) -> u32 {
        self.active
    }

    /// A zone.
    #[must_use]
    pub fn get(&self, id: ZoneId) -> Option<Zone> {
        self.zones.get(id.get() as usize).copied()
    }

    /// The zone that holds `sector`.
    #[must_use]
    pub fn locate(&self, sector: Sector) -> Option<ZoneId> {
        let id = u32::try_from(sector.get() / self.layout.size).ok()?;
        (id < self.layout.zones).then_some(ZoneId::new(id))
    }

    /// A zone's first sector.
    #[must_use]
    pub fn start(&self, id: ZoneId) -> Sector {
        Sector::new(u64::from(id.get()).saturating_mul(self.layout.size))
    }

    /// Checks a read; gives the zone in which it starts.
    ///
    /// # Errors
    /// The range leaves its zone without [`Options::read_across`], or the last zone; or a zone of
    /// it is offline.
    pub fn check_read(&self, at: Sector, sectors: u64) -> Result<ZoneId, Error> {
        let id = self.locate(at).ok_or(Error::NoSuchZone)?;
        let offset = at.get() - self.start(id).get();
        let leaves = sectors > self.layout.size - offset;
        if leaves && !self.read_across {
            return Err(Error::Boundary);
        }
        let last = match at.get().checked_add(sectors.saturating_sub(1)) {
            Some(last) if leaves => self.locate(Sector::new(last)).ok_or(Error::Boundary)?,
            Some(_) => id,
            None => return Err(Error::Boundary),
        };
        self.check_online(id, last)?;
        Ok(id)
    }

    /// Checks a deallocation, which may cross zones.
    ///
    /// # Errors
    /// The range leaves the last zone; or a zone of it is offline.
    pub fn check_deallocate(&self, at: Sector, sectors: u64) -> Result<(), Error> {
        let first = self.locate(at).ok_or(Error::NoSuchZone)?;
        let last = at.get().checked_add(sectors.saturating_sub(1));
        let last = last.and_then(|last| self.locate(Sector::new(last)));
        self.check_online(first, last.ok_or(Error::Boundary)?)
    }

    /// Checks that none of these zones is offline.
    fn check_online(&self, first: ZoneId, last: ZoneId) -> Result<(), Error> {
        for zone in first.get()..=last.get() {
            if self.state(ZoneId::new(zone))? == State::Offline {
                return Err(Error::Offline);
            }
        }
        Ok(())
    }

    /// Checks a write without doing it; also that the zone could be opened for it. To a zone with a
    /// random write area it goes there ([`Zones::commit_before`] says what must make room first).
    ///
    /// # Errors
    /// State, write pointer (or area), boundary, resources: in this order.
    pub fn check_write(&self, at: Sector, sectors: u64) -> Result<ZoneId, Error> {
        let id = self.locate(at).ok_or(Error::NoSuchZone)?;
        let zone = self.writable(id)?;
        let offset = at.get() - self.start(id).get();
        if zone.has_zrwa() {
            self.check_area(zone, offset, sectors)?;
            self.can_open(zone.state)?;
            return Ok(id);
        }
        if offset != zone.written {
            // Beyond the capacity no write pointer can ever be.
            let beyond = offset.saturating_add(sectors) > self.layout.size;
            return Err(if beyond {
                Error::Boundary
            } else {
                Error::InvalidWrite
            });
        }
        if sectors > self.layout.capacity - zone.written {
            return Err(Error::Boundary);
        }
        self.can_open(zone.state)?;
        Ok(id)
    }

    /// Checks an append without doing it; gives the sector it would go to.
    ///
    /// # Errors
    /// As for [`Zones::check_write`]; zones with a random write area take no appends.
    pub fn check_append(&self, id: ZoneId, sectors: u64) -> Result<Sector, Error> {
        let zone = self.writable(id)?;
        if zone.has_zrwa() {
            return Err(Error::InvalidOperation);
        }
        let at = Sector::new(self.start(id).get() + zone.written);
        self.check_write(at, sectors).map(|_| at)
    }

    /// Does a write that [`Zones::check_write`] allowed, or commits sectors of the random write area:
    /// opens the zone if need be and moves its write pointer. Returns the zone that was closed to
    /// make room.
    ///
    /// # Errors
    /// Resources; then nothing has changed.
    pub fn write(&mut self, id: ZoneId, sectors: u64) -> Result<Option<ZoneId>, Error> {
        let zone = self.writable(id)?;
        let closed = self.open_for_write(id, zone.state)?;
        let capacity = self.layout.capacity;
        let written = zone.written.saturating_add(sectors).min(capacity);
        self.areas.drop(zone, written);
        if let Some(zone) = self.zones.get_mut(id.get() as usize) {
            zone.written = written;
        }
        if written == capacity {
            self.set(id, State::Full);
        }
        Ok(closed)
    }

    /// Explicit open. Returns the zone that was closed to make room.
    ///
    /// # Errors
    /// State or resources.
    pub fn open(&mut self, id: ZoneId) -> Result<Option<ZoneId>, Error> {
        match self.state(id)? {
            State::Empty | State::Closed => self.open_as(id, State::ExplicitlyOpen),
            State::ImplicitlyOpen => {
                self.set(id, State::ExplicitlyOpen);
                Ok(None)
            }
            State::ExplicitlyOpen => Ok(None),
            State::Full | State::ReadOnly | State::Offline => Err(Error::InvalidTransition),
        }
    }

    /// Checks that all closed zones can be opened and stay open ("select all"): all or none of them.
    ///
    /// # Errors
    /// Resources.
    pub const fn check_open_all(&self) -> Result<(), Error> {
        let Limits { max_open, .. } = self.limits;
        // Closing one of them to open another would not open all. No more are open than can be, so some are closed.
        if max_open > 0 && self.active > max_open {
            return Err(Error::TooManyOpen);
        }
        Ok(())
    }

    /// Close. A zone becomes closed whether or not it was written to, and stays active: only reset, finish
    /// and failure give that resource back.
    ///
    /// # Errors
    /// State.
    pub fn close(&mut self, id: ZoneId) -> Result<(), Error> {
        match self.state(id)? {
            State::ImplicitlyOpen | State::ExplicitlyOpen => {
                self.set(id, State::Closed);
                Ok(())
            }
            State::Closed => Ok(()),
            State::Empty | State::Full | State::ReadOnly | State::Offline => {
                Err(Error::InvalidTransition)
            }
        }
    }

    /// Finish: the zone becomes full.
    ///
    /// # Errors
    /// State.
    pub fn finish(&mut self, id: ZoneId) -> Result<(), Error> {
        match self.state(id)? {
            State::Empty | State::ImplicitlyOpen | State::ExplicitlyOpen | State::Closed => {
                self.set(id, State::Full);
                Ok(())
            }
            State::Full => Ok(()),
            State::ReadOnly | State::Offline => Err(Error::InvalidTransition),
        }
    }

    /// Reset: the zone becomes empty.
    ///
    /// # Errors
    /// State.
    pub fn reset(&mut self, id: ZoneId) -> Result<(), Error> {
        match self.state(id)? {
            State::ReadOnly | State::Offline => Err(Error::InvalidTransition),
            _ => {
                self.set(id, State::Empty);
                if let Some(zone) = self.zones.get_mut(id.get() as usize) {
                    zone.written = 0;
                }
                Ok(())
            }
        }
    }

    /// Sets the descriptor extension: an empty zone becomes closed.
    ///
    /// # Errors
    /// State or resources.
    pub fn extend(&mut self, id: ZoneId) -> Result<(), Error> {
        if self.state(id)? != State::Empty {
            return Err(Error::InvalidTransition);
        }
        let limit = self.limits.max_active;
        if limit > 0 && self.active >= limit {
            return Err(Error::TooManyActive);
        }
        self.set(id, State::Closed);
        if let Some(zone) = self.zones.get_mut(id.get() as usize) {
            zone.extended = true;
        }
        Ok(())
    }

    /// The host gives a read-only zone up.
    ///
    /// # Errors
    /// State.
    pub fn offline(&mut self, id: ZoneId) -> Result<(), Error> {
        match self.state(id)? {
            State::ReadOnly | State::Offline => {
                self.set(id, State::Offline);
                Ok(())
            }
            _ => Err(Error::InvalidTransition),
        }
    }

    /// The drive loses a zone: fault injection, or wear. Any state goes to read-only or offline; what has failed
    /// gets no better, and does not fail the same way twice.
    ///
    /// # Errors
    /// State, or there is no such zone.
    pub fn inject(&mut self, id: ZoneId, offline: bool) -> Result<(), Error> {
        let to = if offline {
            State::Offline
        } else {
            State::ReadOnly
        };
        match (self.state(id)?, to) {
            (State::Offline, _) | (State::ReadOnly, State::ReadOnly) => {
                Err(Error::InvalidTransition)
            }
            _ => {
                self.set(id, to);
                Ok(())
            }
        }
    }

    /// Power went and came back: `left` sectors of each zone are still there, which is never more than were written.
    /// Open zones are closed; a zone all of whose data is gone is empty, unless something else is in it. A full one
    /// that lost data is as if it had not become full; where no active resource is left for that it stays full, as one that the
    /// controller finished.
    pub fn power_cut(&mut self, left: impl Fn(ZoneId) -> u64) {
        let mut unfilled = Vec::new();
        for id in self.ids().map(ZoneId::new) {
            let Some(before) = self.get(id) else { continue };
            let written = left(id).min(before.written);
            if let Some(zone) = self.zones.get_mut(id.get() as usize) {
                zone.written = written;
            }
            let is_bare = Zone { written, ..before }.is_bare();
            let lost = written < before.written;
            match before.state {
                State::ImplicitlyOpen | State::ExplicitlyOpen if is_bare => {
                    self.set(id, State::Empty);
                }
                State::Closed if is_bare && lost => self.set(id, State::Empty),
                State::ImplicitlyOpen | State::ExplicitlyOpen => self.set(id, State::Closed),
                State::Full if lost => unfilled.push((id, is_bare)),
                _ => {}
            }
        }
        let limit = self.limits.max_active;
        for (id, is_bare) in unfilled {
            if is_bare {
                self.set(id, State::Empty);
            } else if limit == 0 || self.active < limit {
                self.set(id, State::Closed);
            }
        }
    }

    /// All zone numbers.
    #[must_use]
    pub fn ids(&self) -> Range<u32> {
        0..self.layout.zones
    }

    /// Counts what was decoded.
    fn restore(&mut self) -> Result<(), state::Error> {
        let limit = self.limits.max_open as usize;
        (self.open, self.active) = (0, 0);
        self.implicit.clear();
        for (id, zone) in (0u32..).zip(&self.zones) {
            self.open += u32::from(zone.state.is_open());
            self.active += u32::from(zone.state.is_active());
            if zone.state == State::ImplicitlyOpen && self.implicit.len() < limit {
                self.implicit.push(id);
            }
        }
        self.check_invariants()
    }

    /// Is an error if the counts do not match the zones, or a limit is exceeded.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        let count = |f: fn(State) -> bool| self.zones.iter().filter(|z| f(z.state)).count();
        state::ensure_eq!(count(State::is_open), self.open as usize);
        state::ensure_eq!(count(State::is_active), self.active as usize);
        state::ensure!(self.limits.max_open == 0 || self.open <= self.limits.max_open);
        state::ensure!(self.limits.max_active == 0 || self.active <= self.limits.max_active);
        state::ensure!(self.implicit.is_sorted());
        if self.limits.max_open > 0 {
            state::ensure_eq!(count(|s| s == State::ImplicitlyOpen), self.implicit.len());
        }
        for zone in &self.zones {
            state::ensure!(zone.written <= self.layout.capacity, "{zone:?}");
            match zone.state {
                State::Empty => state::ensure!(zone.is_bare()),
                State::ImplicitlyOpen => state::ensure!(!zone.is_bare()),
                _ => {}
            }
            state::ensure!(zone.area.is_none() || zone.state.is_active());
        }
        self.areas.check_invariants(&self.zones)?;
        Ok(())
    }

    pub(crate) fn state(&self, id: ZoneId) -> Result<State, Error> {
        self.get(id).map(|z| z.state).ok_or(Error::NoSuchZone)
    }

    pub(crate) fn writable(&self, id: ZoneId) -> Result<Zone, Error> {
        let zone = self.get(id).ok_or(Error::NoSuchZone)?;
        match zone.state {
            State::Full => Err(Error::Full),
            State::ReadOnly => Err(Error::ReadOnly),
            State::Offline => Err(Error::Offline),
            State::Empty | State::ImplicitlyOpen | State::ExplicitlyOpen | State::Closed => {
                Ok(zone)
            }
        }
    }

    /// Whether a zone in `state` could be opened now.
    pub(crate) fn can_open(&self, state: State) -> Result<(), Error> {
        let Limits {
            max_open,
            max_active,
        } = self.limits;
        if max_active > 0 && self.active >= max_active && !state.is_active() {
            return Err(Error::TooManyActive);
        }
        let full = max_open > 0 && self.open >= max_open && !state.is_open();
        if full && self.implicit.is_empty() {
            return Err(Error::TooManyOpen);
        }
        Ok(())
    }

    /// Opens the zone for a write, if it is not open.
    pub(crate) fn open_for_write(
        &mut self,
        id: ZoneId,
        state: State,
    ) -> Result<Option<ZoneId>, Error> {
        match state {
            State::Empty | State::Closed => self.open_as(id, State::ImplicitlyOpen),
            _ => Ok(None),
        }
    }

    fn open_as(&mut self, id: ZoneId, to: State) -> Result<Option<ZoneId>, Error> {
        self.can_open(self.state(id)?)?;
        let mut closed = None;
        if self.limits.max_open > 0 && self.open >= self.limits.max_open {
            if let Some(&lowest) = self.implicit.first() {
                closed = Some(ZoneId::new(lowest));
                self.set(ZoneId::new(lowest), State::Closed);
            }
        }
        self.set(id, to);
        Ok(closed)
    }

    /// The one place where states change: keeps the counts.
    fn set(&mut self, id: ZoneId, to: State) {
        let Some(zone) = self.zones.get_mut(id.get() as usize) else {
            return;
        };
        let from = core::mem::replace(&mut zone.state, to);
        if !to.is_active() {
            if let Some(area) = zone.area.take() {
                self.areas.release(area);
            }
        }
        zone.extended &= !matches!(to, State::Empty | State::Offline);
        self.open = self.open - u32::from(from.is_open()) + u32::from(to.is_open());
        self.active = self.active - u32::from(from.is_active()) + u32::from(to.is_active());
        if self.limits.max_open == 0 || from == to {
            return;
        }
        match self.implicit.binary_search(&id.get()) {
            Ok(at) if from == State::ImplicitlyOpen => {
                self.implicit.remove(at);
            }
            Err(at) if to == State::ImplicitlyOpen => self.implicit.insert(at, id.get()),
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
