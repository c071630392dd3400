// SPDX-License-Identifier: GPL-2.0-or-later
//! The units' bookkeeping.

use crate::{Config, ConfigError, Times};
use core::ops::Range;
use ftl::{Command, Counters, Error, HostStats, Outcome, PowerCut};
use units::{Instant, Sector, SECTOR_BYTES};

/// What the drive has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The host's side.
    pub host: HostStats,
    /// Unit pieces served.
    pub pieces: u64,
}

/// The drive: one block namespace.
#[derive(Clone, Debug)]
pub struct Simple {
    config: Config,
    /// When each unit is free.
    free: Vec<Instant>,
    /// The latest command's arrival.
    now: Instant,
    stats: Stats,
}

state::state!(Stats { host, pieces });
// The times of the configuration can be changed while the drive runs: whoever decodes has set
// them.
state::state!(Simple { free[fixed], now, stats; config });

impl Simple {
    /// An idle drive.
    ///
    /// # Errors
    /// The configuration makes no drive.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config: config.clone(),
            free: vec![Instant::ZERO; config.io_units as usize],
            now: Instant::ZERO,
            stats: Stats::default(),
        })
    }

    /// Takes over the times of a configuration for what is asked for from now on.
    pub fn set_times(&mut self, config: &Config) {
        (self.config.read, self.config.write) = (config.read, config.write);
    }

    /// Runs a command that arrives at `now`; an earlier `now` than the latest so far counts as that.
    pub fn submit(&mut self, command: &Command, now: Instant) -> Outcome {
        self.now = self.now.max(now);
        let now = self.now;
        let result = self.run(command, now);
        self.stats.host.counted(command, now, result)
    }

    /// Nothing happens in the background.
    #[must_use]
    pub const fn next_event(&self) -> Option<Instant> {
        None
    }

    /// Nothing happens in the background.
    pub fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Power goes at `now` and comes back. Everything survives that; units are idle.
    pub fn power_cut(&mut self, now: Instant) -> PowerCut {
        self.advance(now);
        self.free.fill(self.now);
        PowerCut::at(self.now)
    }

    /// Whether some sector of a range is known to be unmapped: never, for there is no map.
    #[must_use]
    pub const fn has_unmapped(&self, _at: Sector, _sectors: u64) -> bool {
        false
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Counts from here on.
    pub fn forget_counts(&mut self) {
        self.stats = Stats::default();
    }

    /// The host's side in the terms that all models have in common; what it asked for is what is done.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let host = Counters::from(&self.stats.host);
        Counters {
            pages_native: host.host_write_pages,
            pages_read: host.host_read_pages,
            ..host
        }
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    fn run(&mut self, command: &Command, now: Instant) -> Result<Outcome, Error> {
        match *command {
            Command::Read { at, sectors, .. } => {
                let range = self.range(at, sectors)?;
                Ok(Outcome::done(self.serve(&range, self.config.read, now)))
            }
            Command::Write { at, sectors, .. } => {
                let range = self.range(at, sectors)?;
                Ok(Outcome::done(self.serve(&range, self.config.write, now)))
            }
            Command::Deallocate { at, sectors } | Command::WriteZeroes { at, sectors, .. } => {
                self.range(at, sectors)?;
                Ok(Outcome::done(now))
            }
            Command::Flush => Ok(Outcome::done(now)),
            Command::Append { .. } | Command::Zone { .. } | Command::CommitZrwa { .. } => {
                Err(Error::Unsupported)
            }
        }
    }

    fn range(&self, at: Sector, sectors: u64) -> Result<Range<u64>, Error> {
        let size = self.config.size.get() / SECTOR_BYTES;
        match at.get().checked_add(sectors) {
            Some(end) if end <= size => Ok(at.get()..end),
            _ => Err(Error::OutOfRange),
        }
    }

    fn serve(&mut self, range: &Range<u64>, times: Times, now: Instant) -> Instant {
        if range.is_empty() {
            return now;
        }
        let unit_sectors = self.config.io_unit.get() / SECTOR_BYTES;
        let first = range.start / unit_sectors;
        let pieces = (range.end - 1) / unit_sectors - first + 1;
        self.stats.pieces += pieces;
        let start = now.max(self.free_at(first)) + times.delay;
        // Of a command that goes round the units several times, each unit's last piece counts.
        let rounds = u64::from(self.config.io_units);
        for piece in pieces.saturating_sub(rounds)..pieces {
            let busy = start + times.time.times(piece + 1) + times.trailing;
            if let Some(free) = self.free.get_mut(((first + piece) % rounds) as usize) {
                *free = busy.max(*free);
            }
        }
        start + times.time.times(pieces)
    }

    fn free_at(&self, unit: u64) -> Instant {
        let index = (unit % u64::from(self.config.io_units)) as usize;
        self.free.get(index).copied().unwrap_or(Instant::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use units::{Bytes, Nanos};

    fn times(delay: u64, time: u64, trailing: u64) -> Times {
        Times {
            delay: Nanos::new(delay),
            time: Nanos::new(time),
            trailing: Nanos::new(trailing),
        }
    }

    fn config() -> Config {
        Config {
            size: Bytes::mib(1),
            io_units: 8,
            io_unit: Bytes::kib(4),
            read: times(100, 10, 5),
            write: times(200, 20, 50),
        }
    }

    fn read(at: u64, sectors: u64) -> Command {
        Command::read(Sector::new(at), sectors)
    }

    fn write(at: u64, sectors: u64) -> Command {
        Command::write(Sector::new(at), sectors, false)
    }

    fn done(drive: &mut Simple, command: &Command, now: u64) -> u64 {
        let outcome = drive.submit(command, Instant::from_nanos(now));
        assert!(outcome.result.is_ok(), "{outcome:?}");
        outcome.done.as_nanos()
    }

    #[test]
    fn optane_serves_4_kib_in_2_ns() {
        let mut drive = Simple::new(&Config {
            read: times(1, 1, 0),
            write: times(1, 1, 0),
            ..config()
        })
        .unwrap();
        assert_eq!(done(&mut drive, &read(0, 8), 1000), 1002);
        assert_eq!(done(&mut drive, &write(8, 8), 1000), 1002);
        // One full stripe: eight pieces, one after the other.
        assert_eq!(done(&mut drive, &write(0, 64), 2000), 2009);
    }

    #[test]
    fn a_unit_stays_busy_for_its_trailing_time() {
        let mut drive = Simple::new(&config()).unwrap();
        assert_eq!(done(&mut drive, &write(0, 8), 0), 220);
        // Unit 0 is busy until 270; unit 1 is free; the one after the next round is unit 0 again.
        assert_eq!(done(&mut drive, &read(8, 8), 0), 110);
        assert_eq!(done(&mut drive, &read(64, 8), 0), 380);
        // A sector is a piece; two sectors on both sides of a boundary are two.
        assert_eq!(done(&mut drive, &read(7, 1), 1000), 1110);
        assert_eq!(done(&mut drive, &read(15, 2), 2000), 2120);
        assert_eq!(drive.stats().pieces, 6);
    }

    #[test]
    fn what_it_cannot_do_is_an_error_and_takes_no_time() {
        let mut drive = Simple::new(&config()).unwrap();
        let mut fails = |command| drive.submit(&command, Instant::ZERO).result.unwrap_err();
        assert_eq!(fails(read(2048, 1)), Error::OutOfRange);
        assert_eq!(fails(read(u64::MAX, 2)), Error::OutOfRange);
        let append = Command::Append {
            zone: Sector::new(0),
            sectors: 8,
            fua: false,
        };
        assert_eq!(fails(append), Error::Unsupported);
        assert_eq!(done(&mut drive, &Command::Flush, 7), 7);
        assert_eq!(drive.stats().host.failures, 3);
        for bad in [
            Config {
                size: Bytes::new(512),
                ..config()
            },
            Config {
                io_units: 0,
                ..config()
            },
            Config {
                io_unit: Bytes::kib(3),
                ..config()
            },
        ] {
            assert!(Simple::new(&bad).is_err());
        }
    }

    #[test]
    fn a_power_cut_ends_what_is_under_way() {
        let mut drive = Simple::new(&config()).unwrap();
        assert_eq!(done(&mut drive, &write(0, 8), 0), 220);
        assert_eq!(
            drive.power_cut(Instant::from_nanos(100)),
            PowerCut::at(Instant::from_nanos(100))
        );
        assert_eq!(done(&mut drive, &read(0, 8), 100), 210);
    }

    proptest! {
        /// Against the definition, piece by piece.
        #[test]
        fn it_does_what_its_definition_says(
            units in 1u32..10,
            commands in prop::collection::vec((0u64..2000, 1u64..=48, 0u64..400, any::<bool>()), 1..80),
        ) {
            let config = Config { io_units: units, ..config() };
            let mut drive = Simple::new(&config).unwrap();
            let mut busy = vec![0u64; units as usize];
            let mut now = 0;
            for (at, sectors, pause, is_read) in commands {
                now += pause;
                let t = if is_read { config.read } else { config.write };
                let units = u64::from(units);
                let mut latest = now.max(busy[(at / 8 % units) as usize]) + t.delay.get();
                for piece in at / 8..=(at + sectors - 1) / 8 {
                    latest += t.time.get();
                    let unit = &mut busy[(piece % units) as usize];
                    *unit = (*unit).max(latest + t.trailing.get());
                }
                let command = if is_read { read(at, sectors) } else { write(at, sectors) };
                prop_assert_eq!(done(&mut drive, &command, now), latest);
            }
        }
    }
}
