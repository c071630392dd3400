// SPDX-License-Identifier: GPL-2.0-or-later
//! The SMART counters the controller keeps itself (Base).
//!
//! The drive is on from its creation to its end, apart from [power cuts](crate::Controller::cut_power_at): resets of the
//! machine or of the function are none.

use units::{Instant, Nanos};

/// A data unit is 1000 sectors of 512 bytes.
const UNIT_SECTORS: u64 = 1000;
const NANOS_PER_MINUTE: u64 = 60_000_000_000;

/// Counts since the device was created.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sectors_read: u64,
    sectors_written: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    busy: Nanos,
    busy_since: Option<Instant>,
    /// Times that power went, and those of them of which the guest had not notified.
    pub(crate) power_cuts: u64,
    pub(crate) unsafe_shutdowns: u64,
}

state::state!(Counters {
    sectors_read,
    sectors_written,
    reads,
    writes,
    busy,
    busy_since,
    power_cuts,
    unsafe_shutdowns
});

impl Counters {
    /// A Read, Compare or Verify of `bytes`.
    pub(crate) fn read(&mut self, bytes: u64) {
        self.reads += 1;
        self.sectors_read = self.sectors_read.saturating_add(bytes / 512);
    }

    /// A Write, Zone Append or Copy of `bytes`.
    pub(crate) fn write(&mut self, bytes: u64) {
        self.writes += 1;
        self.sectors_written = self.sectors_written.saturating_add(bytes / 512);
    }

    pub(crate) fn units_read(&self) -> u64 {
        self.sectors_read.div_ceil(UNIT_SECTORS)
    }

    pub(crate) fn units_written(&self) -> u64 {
        self.sectors_written.div_ceil(UNIT_SECTORS)
    }

    /// Whether commands are in flight at `now`.
    pub(crate) fn busy(&mut self, is_busy: bool, now: Instant) {
        match (self.busy_since, is_busy) {
            (None, true) => self.busy_since = Some(now),
            (Some(since), false) => {
                self.busy += now.since(since);
                self.busy_since = None;
            }
            _ => {}
        }
    }

    /// Commands in flight were dropped.
    pub(crate) fn idle(&mut self) {
        self.busy_since = None;
    }

    pub(crate) fn busy_minutes(&self) -> u64 {
        self.busy.get() / NANOS_PER_MINUTE
    }
}

/// Whole hours since the clock's epoch.
pub(crate) fn hours(now: Instant) -> u64 {
    now.as_nanos() / (60 * NANOS_PER_MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_thousands_of_sectors_rounded_up() {
        let mut counters = Counters::default();
        counters.read(512);
        counters.write(512 * 1000);
        counters.write(512);
        assert_eq!((counters.units_read(), counters.units_written()), (1, 2));
        assert_eq!((counters.reads, counters.writes), (1, 2));
    }

    #[test]
    fn busy_time_is_the_time_with_commands_in_flight() {
        let mut counters = Counters::default();
        let minute = |n: u64| Instant::from_nanos(n * NANOS_PER_MINUTE);
        counters.busy(true, minute(1));
        counters.busy(true, minute(2));
        counters.busy(false, minute(4));
        counters.busy(true, minute(9));
        counters.idle();
        assert_eq!(counters.busy_minutes(), 3);
        assert_eq!(hours(minute(125)), 2);
    }
}
