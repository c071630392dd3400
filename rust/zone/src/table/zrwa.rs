// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone Random Write Areas (Technical Proposal 4076, an addition to ZNS 1.1).
//!
//! ```text
//!   committed      | <------ area: size ------> | <--- next: size ---> |  too far
//!   ---------------+----------------------------+----------------------+---------
//!                  ^ write pointer              any write here commits as much from the
//!                                               area's start as lets it fit: implicit flush
//! ```
//! Within the area, sectors are written in any order and again and again. Committing moves the write
//! pointer, and the area with it, by multiples of the granularity. An area is a resource, of which
//! there are few: a zone gets one when it is opened from empty, and keeps it while it is active.
//!
//! Here is known which pages of an area hold data; the bytes are the media's, and what committing
//! costs is the flash model's.

use super::Zone;
use crate::{Error, Layout, State, Zones};
use units::{Sector, ZoneId, PAGE_SECTORS, SECTOR_BYTES};

/// Random write areas of a namespace. Sizes are in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zrwa {
    /// Size of an area.
    pub size: u64,
    /// What is committed is a multiple of this (or ends with the zone's capacity).
    pub granularity: u64,
    /// How many areas there are.
    pub zones: u32,
}

impl Zrwa {
    /// Most areas: what they hold is tracked in memory of the host's.
    pub const MAX_ZONES: u32 = 1 << 12;
    /// Largest area, 16 MiB: ZRWASZ counts logical blocks, perhaps sectors, with 16 bits.
    pub const MAX_SIZE: u64 = (16 << 20) / SECTOR_BYTES;

    /// Whether such areas can be: whole pages, the granularity divides the size, and an area is not
    /// larger than a zone.
    #[must_use]
    pub const fn fits(&self, layout: Layout) -> bool {
        self.granularity > 0
            && self.granularity % PAGE_SECTORS == 0
            && self.size > 0
            && self.size % self.granularity == 0
            && self.size <= layout.capacity
            && self.size <= Self::MAX_SIZE
            && self.zones > 0
            && self.zones <= Self::MAX_ZONES
    }
}

/// The areas, and which zones have them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Areas {
    limits: Option<Zrwa>,
    /// Areas that no zone has.
    free: Vec<u16>,
    /// A bit for each page of each area, at its place in the zone modulo the area's pages.
    held: Vec<bool>,
}

state::state!(Areas { free, held[fixed]; limits });

impl Areas {
    pub fn new(limits: Zrwa) -> Self {
        let zones = u16::try_from(limits.zones).unwrap_or(u16::MAX);
        let pages = usize::try_from(limits.size / PAGE_SECTORS).unwrap_or(0);
        Self {
            limits: Some(limits),
            // The lowest number is taken first.
            free: (0..zones).rev().collect(),
            held: vec![false; pages * usize::from(zones)],
        }
    }

    /// Takes an area back, and what it holds with it.
    pub fn release(&mut self, area: u16) {
        self.pages_mut(area).fill(false);
        self.free.push(area);
    }

    /// The zone is committed up to `written`: its area no longer holds what is before.
    pub fn drop(&mut self, zone: Zone, written: u64) {
        let Some(area) = zone.area else { return };
        for page in zone.written / PAGE_SECTORS..written / PAGE_SECTORS {
            self.set(area, page, false);
        }
    }

    fn pages(&self) -> u64 {
        self.limits.map_or(0, |l| l.size / PAGE_SECTORS)
    }

    fn pages_mut(&mut self, area: u16) -> &mut [bool] {
        let pages = self.pages() as usize;
        let mut areas = self.held.chunks_exact_mut(pages.max(1));
        areas.nth(usize::from(area)).unwrap_or_default()
    }

    fn set(&mut self, area: u16, page: u64, held: bool) {
        let at = page % self.pages().max(1);
        if let Some(slot) = self.pages_mut(area).get_mut(at as usize) {
            *slot = held;
        }
    }

    fn holds(&self, area: u16, page: u64) -> bool {
        let pages = self.pages();
        let at = u64::from(area) * pages + page % pages.max(1);
        self.held.get(at as usize).copied().unwrap_or(false)
    }

    pub fn check_invariants(&self, zones: &[Zone]) -> Result<(), state::Error> {
        let mut taken: Vec<u16> = zones.iter().filter_map(|z| z.area).collect();
        taken.extend(&self.free);
        taken.sort_unstable();
        let all = self.limits.map_or(0, |l| l.zones);
        state::ensure!(taken.iter().map(|a| u32::from(*a)).eq(0..all));
        for area in &self.free {
            state::ensure!((0..self.pages()).all(|page| !self.holds(*area, page)));
        }
        for zone in zones.iter().filter(|z| z.area.is_some()) {
            state::ensure_eq!(zone.written % PAGE_SECTORS, 0, "{zone:?}");
        }
        Ok(())
    }
}

impl Zones {
    /// Explicit open with a random write area. Returns the zone that was closed to make room.
    ///
    /// # Errors
    /// The zone is not empty and has no area, resources, or there are no areas at all.
    pub fn open_zrwa(&mut self, id: ZoneId) -> Result<Option<ZoneId>, Error> {
        let zone = self.get(id).ok_or(Error::NoSuchZone)?;
        if zone.has_zrwa() {
            return self.open(id);
        }
        match zone.state {
            _ if self.areas.limits.is_none() => return Err(Error::InvalidOperation),
            State::Empty => {}
            State::ImplicitlyOpen | State::ExplicitlyOpen | State::Closed => {
                return Err(Error::InvalidOperation);
            }
            State::Full | State::ReadOnly | State::Offline => {
                return Err(Error::InvalidTransition);
            }
        }
        self.can_open(zone.state)?;
        let area = self.areas.free.pop().ok_or(Error::NoArea)?;
        let closed = self.open(id)?;
        if let Some(zone) = self.zones.get_mut(id.get() as usize) {
            zone.area = Some(area);
        }
        Ok(closed)
    }

    /// Areas that no zone has.
    #[must_use]
    pub fn free_areas(&self) -> usize {
        self.areas.free.len()
    }

    /// How many sectors must be committed before a write that [`Zones::check_write`] allowed fits
    /// its zone's area.
    #[must_use]
    pub fn commit_before(&self, id: ZoneId, at: Sector, sectors: u64) -> u64 {
        let (Some(zone), Some(limits)) = (self.get(id), self.areas.limits) else {
            return 0;
        };
        let end = (at.get().saturating_sub(self.start(id).get())).saturating_add(sectors);
        let area_end = zone.written.saturating_add(limits.size);
        end.saturating_sub(area_end)
            .next_multiple_of(limits.granularity)
    }

    /// Does a write into the zone's area: opens the zone if need be. The write pointer stays. What
    /// lies before it has been committed already: a write may be larger than the area.
    ///
    /// # Errors
    /// Resources; then nothing has changed.
    pub fn write_area(&mut self, id: ZoneId, at: Sector, sectors: u64) -> Result<(), Error> {
        let zone = self.writable(id)?;
        let area = zone.area.ok_or(Error::InvalidOperation)?;
        self.open_for_write(id, zone.state)?;
        let start = at.get().saturating_sub(self.start(id).get());
        let end = start.saturating_add(sectors);
        for page in start.max(zone.written) / PAGE_SECTORS..end.div_ceil(PAGE_SECTORS) {
            self.areas.set(area, page, true);
        }
        Ok(())
    }

    /// Whether the zone's area holds its page `page`.
    #[must_use]
    pub fn area_holds(&self, id: ZoneId, page: u64) -> bool {
        let Some(zone) = self.get(id) else {
            return false;
        };
        let Some(area) = zone.area else { return false };
        let first = zone.written / PAGE_SECTORS;
        (first..first + self.areas.pages()).contains(&page) && self.areas.holds(area, page)
    }

    /// Sectors from the write pointer to the end of the last page that the area holds.
    #[must_use]
    pub fn area_extent(&self, id: ZoneId) -> u64 {
        let (Some(zone), pages) = (self.get(id), self.areas.pages()) else {
            return 0;
        };
        let first = zone.written / PAGE_SECTORS;
        let mut held = (first..first + pages).rev();
        let last = held.find(|page| self.area_holds(id, *page));
        last.map_or(0, |page| (page + 1 - first) * PAGE_SECTORS)
    }

    /// Checks an explicit flush up to and including the sector before `end`, without doing it:
    /// [`Zones::write`] does. Gives the zone and how many sectors are to be committed.
    ///
    /// # Errors
    /// State; no area; `end` is outside the area or off the granularity; resources.
    pub fn check_commit(&self, end: Sector) -> Result<(ZoneId, u64), Error> {
        let last = Sector::new(end.get().saturating_sub(1));
        let id = self.locate(last).ok_or(Error::NoSuchZone)?;
        let zone = self.writable(id)?;
        let limits = self.areas.limits.filter(|_| zone.has_zrwa());
        let limits = limits.ok_or(Error::InvalidOperation)?;
        let offset = end.get() - self.start(id).get();
        let sectors = offset.checked_sub(zone.written).filter(|n| *n > 0);
        let sectors = sectors.ok_or(Error::InvalidOperation)?;
        if sectors > limits.size || offset > self.layout.capacity {
            return Err(Error::InvalidOperation);
        }
        if sectors % limits.granularity != 0 && offset != self.layout.capacity {
            return Err(Error::Granularity);
        }
        self.can_open(zone.state)?;
        Ok((id, sectors))
    }

    /// A write at `offset` of a zone with an area.
    pub(crate) fn check_area(&self, zone: Zone, offset: u64, sectors: u64) -> Result<(), Error> {
        let size = self.areas.limits.map_or(0, |l| l.size);
        let end = offset.saturating_add(sectors);
        if offset < zone.written || end > zone.written.saturating_add(2 * size) {
            return Err(Error::InvalidWrite);
        }
        if end > self.layout.capacity {
            return Err(Error::Boundary);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
