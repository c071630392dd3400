// SPDX-License-Identifier: GPL-2.0-or-later
//! The counters over model time, in bounded memory.
//!
//! ```text
//!   time    |-----|-----|-----|-----|-----|-----|      sampled before the first command after a mark
//!   command    x x   x                 x
//!   row           1     2           3     4            an idle stretch costs one row, at its end
//! ```
//! Rows hold the totals since power-on, so that rates of any stretch are differences. When there is no room for
//! another row, those at odd marks are dropped and the distance of marks doubles: a run of any length has between
//! half as many rows as there is room for and all of them, evenly spread.
//!
//! Invariants: the rows' times rise and are multiples of the interval; sampling changes nothing that it samples, and
//! allocates nothing once it is made. A command counts when it arrives, with all that it causes.

use crate::model::Model;
use core::fmt::Write;
use ftl::{Counter, Totals};
use state::state;
use units::{Instant, Nanos};

/// Rows kept: enough for a picture of two pixels a row, a quarter of a MiB.
const ROWS: usize = 1024;

#[derive(Clone, Debug)]
struct Row {
    time: u64,
    totals: Totals,
}

/// Samples of one drive.
#[derive(Clone, Debug)]
pub struct Series {
    interval: u64,
    /// The first mark after the last command.
    next: u64,
    rows: Vec<Row>,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            time: 0,
            totals: [0; Counter::ALL.len()],
        }
    }
}

state!(Row { time, totals[fixed] });
state!(Series { interval, next, rows } => check);

impl Series {
    fn check(&mut self) -> Result<(), state::Error> {
        state::ensure!(self.interval > 0 && self.rows.len() <= ROWS);
        Ok(())
    }

    /// A sampler with this distance of its marks; none if that is 0.
    #[must_use]
    pub fn new(interval: Nanos) -> Option<Self> {
        (interval > Nanos::ZERO).then(|| Self {
            interval: interval.get(),
            next: 0,
            rows: Vec::with_capacity(ROWS),
        })
    }

    /// A command is about to arrive at `now`.
    pub fn note(&mut self, model: &Model, now: Instant) {
        let now = now.as_nanos();
        if now < self.next {
            return;
        }
        let totals = model.totals();
        let begun = now - now % self.interval;
        if self.next > 0 {
            self.push(self.next, &totals);
        }
        if begun > self.next {
            self.push(begun, &totals);
        }
        let begun = now - now % self.interval;
        self.next = begun.saturating_add(self.interval);
    }

    fn push(&mut self, time: u64, totals: &Totals) {
        while self.rows.len() >= ROWS && self.interval < u64::MAX / 4 {
            self.interval *= 2;
            let interval = self.interval;
            self.rows.retain(|row| row.time % interval == 0);
        }
        if time % self.interval == 0 && self.rows.len() < ROWS {
            self.rows.push(Row {
                time,
                totals: *totals,
            });
        }
    }

    /// The samples and the state now, as comma-separated values with a header: `time_ns`, then the counters.
    #[must_use]
    pub fn csv(&self, model: &Model) -> String {
        let mut text = String::from("time_ns");
        for counter in Counter::ALL {
            text.push(',');
            text.push_str(counter.name());
        }
        let totals = model.totals();
        let last = self.rows.last();
        let end = (self.next > 0 && last.is_none_or(|row| row.totals != totals)).then(|| Row {
            time: self
                .next
                .max(last.map_or(0, |row| row.time.saturating_add(1))),
            totals,
        });
        for row in self.rows.iter().chain(&end) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{}", row.time);
            for value in &row.totals {
                let _ = write!(text, ",{value}");
            }
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use ftl::{Command, Namespace};
    use units::Sector;

    fn model() -> Model {
        Model::new(&Config::new().plan().unwrap()).unwrap()
    }

    /// Writes a page at each of these instants, with a sampler of 10 ns.
    fn run(times: impl Iterator<Item = u64>) -> (Series, Model) {
        let mut model = model();
        let mut series = Series::new(Nanos::new(10)).unwrap();
        for (page, time) in (0..).zip(times) {
            let now = Instant::from_nanos(time);
            series.note(&model, now);
            let command = Command::Write {
                at: Sector::new(page * 8),
                sectors: 8,
                fua: false,
                internal: false,
            };
            assert!(model.submit(Namespace::Data, &command, now).result.is_ok());
        }
        (series, model)
    }

    fn columns(csv: &str) -> Vec<(u64, u64)> {
        let header: Vec<_> = csv.lines().next().unwrap().split(',').collect();
        let writes = header
            .iter()
            .position(|name| *name == "host_writes")
            .unwrap();
        let row = |line: &str| {
            let fields: Vec<u64> = line.split(',').map(|f| f.parse().unwrap()).collect();
            assert_eq!(fields.len(), header.len());
            (fields[0], fields[writes])
        };
        csv.lines().skip(1).map(row).collect()
    }

    #[test]
    fn rows_stand_at_marks_and_idle_time_is_flat() {
        let (series, model) = run([5, 7, 12, 61].into_iter());
        let rows = columns(&series.csv(&model));
        assert_eq!(rows, [(10, 2), (20, 3), (60, 3), (70, 4)]);
    }

    #[test]
    fn nothing_happened_no_rows() {
        let series = Series::new(Nanos::new(10)).unwrap();
        assert_eq!(columns(&series.csv(&model())), []);
        assert!(Series::new(Nanos::ZERO).is_none());
    }

    #[test]
    fn long_runs_keep_their_shape_in_bounded_memory() {
        let (series, model) = run((0..20_000).map(|n| n * 10));
        let rows = columns(&series.csv(&model));
        assert!(
            (ROWS / 2..=ROWS + 1).contains(&rows.len()),
            "{}",
            rows.len()
        );
        assert_eq!(series.rows.capacity(), ROWS);
        assert_eq!(rows.last().unwrap(), &(200_000, 20_000));
        for pair in rows.windows(2) {
            let ((t0, n0), (t1, n1)) = (pair[0], pair[1]);
            assert!(t0 < t1 && n1 - n0 == (t1 - t0) / 10, "{pair:?}");
        }
    }

    #[test]
    fn the_end_of_time_is_survived() {
        let (series, model) = run([0, u64::MAX - 1, u64::MAX].into_iter());
        assert!(columns(&series.csv(&model)).len() <= ROWS + 1);
    }
}
