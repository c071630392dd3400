// SPDX-License-Identifier: GPL-2.0-or-later
//! What the host asked for, and how long it took.

use crate::{Command, Error, Outcome};
use units::{Bytes, Instant, Nanos, PAGE_BYTES, SECTOR_BYTES};

/// Latencies by power-of-two bucket, four buckets an octave, in model time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; Self::BUCKETS],
    count: u64,
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [0; Self::BUCKETS],
            count: 0,
            sum: 0,
            max: 0,
        }
    }
}

state::state!(Histogram { buckets[fixed], count, sum, max } => check);

impl Histogram {
    /// Buckets: four for each power of two of a 64-bit number.
    pub const BUCKETS: usize = 256;

    /// Adds one.
    pub fn add(&mut self, time: Nanos) {
        let ns = time.get();
        if let Some(bucket) = self.buckets.get_mut(Self::bucket(ns)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(ns);
        self.max = self.max.max(ns);
    }

    fn bucket(ns: u64) -> usize {
        match ns.checked_ilog2() {
            None => 0,
            // The two bits below the leading one pick the quarter of the octave.
            Some(log) => {
                let quarter = if log >= 2 {
                    ns >> (log - 2) & 3
                } else {
                    ns << (2 - log) & 3
                };
                log as usize * 4 + quarter as usize
            }
        }
    }

    /// Is an error unless as many are in buckets as were counted.
    fn check(&self) -> Result<(), state::Error> {
        let buckets = self.buckets.iter();
        let counted = buckets.fold(0u64, |sum, n| sum.saturating_add(*n));
        state::ensure_eq!(counted, self.count);
        Ok(())
    }

    /// Commands counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// All of them together; it saturates.
    #[must_use]
    pub const fn sum(&self) -> Nanos {
        Nanos::new(self.sum)
    }

    /// Mean, rounded down; zero without commands.
    #[must_use]
    pub fn mean(&self) -> Nanos {
        Nanos::new(self.sum.checked_div(self.count).unwrap_or(0))
    }

    /// The longest.
    #[must_use]
    pub const fn max(&self) -> Nanos {
        Nanos::new(self.max)
    }

    /// What `per_mille` of 1000 do not exceed, up to the width of a bucket: the upper bound of the
    /// bucket they end in, at most the longest. Zero if none were added.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Nanos {
        let wanted = u128::from(self.count) * u128::from(per_mille);
        let mut seen: u128 = 0;
        for (floor, n) in self.buckets() {
            seen += u128::from(n);
            if seen * 1000 >= wanted {
                // The bounds of a quarter of an octave.
                let width = 1 << floor.get().checked_ilog2().unwrap_or(0).saturating_sub(2);
                let last = floor.get().saturating_add(width - 1);
                return Nanos::new(last.min(self.max));
            }
        }
        Nanos::ZERO
    }

    /// Non-empty buckets: lower bound of the bucket, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (Nanos, u64)> + '_ {
        self.buckets
            .iter()
            .enumerate()
            .filter(|(_, n)| **n > 0)
            .map(|(i, n)| {
                let (log, quarter) = (i / 4, i as u64 % 4);
                let base = 1u64 << log;
                let floor = if log >= 2 {
                    base + (quarter << (log - 2))
                } else {
                    base
                };
                (Nanos::new(if i == 0 { 0 } else { floor }), *n)
            })
    }
}

/// The host's side of a namespace. Pages are 4 KiB; failed commands are only counted as such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Read commands.
    pub reads: u64,
    /// Write, append and write-zeroes commands.
    pub writes: u64,
    /// Those of them that were appends.
    pub appends: u64,
    /// Flush commands.
    pub flushes: u64,
    /// Zone management and deallocate commands.
    pub others: u64,
    /// Commands that failed.
    pub failures: u64,
    /// Bytes read.
    pub read_bytes: Bytes,
    /// Bytes written.
    pub write_bytes: Bytes,
    /// Latency of reads.
    pub read_latency: Histogram,
    /// Latency of writes and appends.
    pub write_latency: Histogram,
    /// Latency of flushes.
    pub flush_latency: Histogram,
}

state::state!(HostStats {
    reads,
    writes,
    appends,
    flushes,
    others,
    failures,
    read_bytes,
    write_bytes,
    read_latency,
    write_latency,
    flush_latency
});

impl HostStats {
    /// Counts a command that arrived at `now`, and answers it with what became of it.
    pub fn counted(
        &mut self,
        command: &Command,
        now: Instant,
        result: Result<Outcome, Error>,
    ) -> Outcome {
        let outcome = result.unwrap_or_else(|error| Outcome::failed(now, error));
        self.count(command, now, &outcome);
        outcome
    }

    fn count(&mut self, command: &Command, now: Instant, outcome: &Outcome) {
        if outcome.result.is_err() {
            self.failures += 1;
            return;
        }
        let took = outcome.done.since(now);
        match *command {
            Command::Read { sectors, .. } => {
                self.reads += 1;
                self.read_bytes = add(self.read_bytes, sectors);
                self.read_latency.add(took);
            }
            Command::Write { sectors, .. }
            | Command::Append { sectors, .. }
            | Command::WriteZeroes { sectors, .. } => {
                self.writes += 1;
                self.appends += u64::from(matches!(command, Command::Append { .. }));
                self.write_bytes = add(self.write_bytes, sectors);
                self.write_latency.add(took);
            }
            Command::Flush => {
                self.flushes += 1;
                self.flush_latency.add(took);
            }
            Command::Deallocate { .. } | Command::Zone { .. } | Command::CommitZrwa { .. } => {
                self.others += 1;
            }
        }
    }

    /// 4 KiB pages that were written.
    #[must_use]
    pub const fn write_pages(&self) -> u64 {
        self.write_bytes.get().div_ceil(PAGE_BYTES)
    }
}

fn add(bytes: Bytes, sectors: u64) -> Bytes {
    Bytes::new(
        bytes
            .get()
            .saturating_add(sectors.saturating_mul(SECTOR_BYTES)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_quarter_each_octave() {
        let mut h = Histogram::default();
        for ns in [0, 1, 2, 3, 4, 5, 8, 9, 10, 64_050, u64::MAX] {
            h.add(Nanos::new(ns));
        }
        let floors: Vec<_> = h.buckets().map(|(t, n)| (t.get(), n)).collect();
        assert_eq!(floors[0], (0, 2));
        assert!(floors.contains(&(57_344, 1)), "{floors:?}");
        assert!(
            floors.contains(&(8, 2)) && floors.contains(&(10, 1)),
            "{floors:?}"
        );
        assert_eq!((h.count(), h.max()), (11, Nanos::new(u64::MAX)));
        assert_eq!(h.quantile(500), Nanos::new(5));
        assert_eq!(h.quantile(1000), h.max());
        assert_eq!(Histogram::default().quantile(990), Nanos::ZERO);
        assert!(floors.windows(2).all(|w| w[0].0 <= w[1].0), "{floors:?}");
    }
}
