// SPDX-License-Identifier: GPL-2.0-or-later
//! The counters, how full the zones are and what was read of them, over model time, in bounded memory.
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
//! Of more than 256 zones groups of neighbours are kept, and of more than 1024 four of each group are looked at, evenly
//! spread: a sample costs no more on a larger drive.
//!
//! Invariants: the rows' times rise and are multiples of the interval; sampling changes nothing that it samples, and
//! allocates nothing once it is made. A command counts when it arrives, with all that it causes.

use crate::model::Model;
use crate::zone_map::written;
use core::fmt::Write;
use core::ops::Range;
use ftl::{Counter, Totals};
use state::state;
use units::{Instant, Nanos, ZoneId};

/// Rows kept: enough for a picture of two pixels a row, 3 MiB.
const ROWS: usize = 1024;

/// What each row has beside the counters: how long all planes, all channels and the host link were busy.
const BUSY: [&str; 3] = ["planes_busy_ns", "channels_busy_ns", "link_busy_ns"];

/// Groups of zones: as many as a picture has room for.
const GROUPS: u32 = 256;

/// Zones of a group that are looked at, at most.
const LOOKED_AT: u32 = 4;

#[derive(Clone, Debug)]
struct Row {
    time: u64,
    totals: Totals,
    busy: [u64; BUSY.len()],
    /// Per cent of each group of zones that are written. 0 is nothing at all, 100 all of it.
    written: [u8; GROUPS as usize],
    /// Sectors read of each group since power-on.
    read: [u64; GROUPS as usize],
}

/// Samples of one drive.
#[derive(Clone, Debug)]
pub struct Series {
    interval: u64,
    /// The first mark after the last command.
    next: u64,
    rows: Vec<Row>,
    /// Sectors read of each group of zones so far.
    read: [u64; GROUPS as usize],
}

impl Default for Row {
    fn default() -> Self {
        Self {
            time: 0,
            totals: [0; Counter::ALL.len()],
            busy: [0; BUSY.len()],
            written: [0; GROUPS as usize],
            read: [0; GROUPS as usize],
        }
    }
}

impl Row {
    /// The state at a time, with what was read of zones; without allocating.
    fn of(model: &Model, time: u64, read: [u64; GROUPS as usize]) -> Self {
        let mut row = Self {
            time,
            read,
            totals: model.totals(),
            busy: model.busy().map(Nanos::get),
            ..Self::default()
        };
        let zones = model.zones();
        let group = group_of(zones);
        for (first, written) in firsts(zones).zip(&mut row.written) {
            *written = per_cent(model, first..first.saturating_add(group).min(zones));
        }
        row
    }
}

/// How many zones a group has.
fn group_of(zones: u32) -> u32 {
    zones.div_ceil(GROUPS).max(1)
}

/// The first zone of each group.
fn firsts(zones: u32) -> impl Iterator<Item = u32> {
    (0..zones).step_by(group_of(zones) as usize)
}

/// How much of a group is written.
fn per_cent(model: &Model, group: Range<u32>) -> u8 {
    let step = group.end.saturating_sub(group.start).div_ceil(LOOKED_AT);
    let ids = group.step_by(step.max(1) as usize);
    let zones = ids.filter_map(|id| model.zone(ZoneId::new(id)));
    let (part, whole) = zones.fold((0_u64, 0_u64), |(part, whole), zone| {
        (
            part.saturating_add(written(&zone)),
            whole.saturating_add(zone.capacity),
        )
    });
    match part {
        0 => 0,
        _ if part >= whole => 100,
        // Something, but not all.
        _ => {
            u8::try_from(u128::from(part) * 100 / u128::from(whole)).map_or(99, |p| p.clamp(1, 99))
        }
    }
}

state!(Row { time, totals[fixed], busy[fixed], written[fixed], read[fixed] });
state!(Series { interval, next, rows, read[fixed] } => check);

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
            read: [0; GROUPS as usize],
        })
    }

    /// The host reads so many sectors, the first of them in this zone.
    pub fn reads(&mut self, model: &Model, zone: u64, sectors: u64) {
        let group = zone / u64::from(group_of(model.zones()));
        let group = usize::try_from(group).ok();
        if let Some(read) = group.and_then(|group| self.read.get_mut(group)) {
            *read = read.saturating_add(sectors);
        }
    }

    /// A command is about to arrive at `now`.
    pub fn note(&mut self, model: &Model, now: Instant) {
        let now = now.as_nanos();
        if now < self.next {
            return;
        }
        let mut row = Row::of(model, self.next, self.read);
        let begun = now - now % self.interval;
        if self.next > 0 {
            self.push(&row);
        }
        if begun > self.next {
            row.time = begun;
            self.push(&row);
        }
        let begun = now - now % self.interval;
        self.next = begun.saturating_add(self.interval);
    }

    fn push(&mut self, row: &Row) {
        while self.rows.len() >= ROWS && self.interval < u64::MAX / 4 {
            self.interval *= 2;
            let interval = self.interval;
            self.rows.retain(|row| row.time % interval == 0);
        }
        if row.time % self.interval == 0 && self.rows.len() < ROWS {
            self.rows.push(row.clone());
        }
    }

    /// The samples and the state now.
    fn rows(&self, model: &Model) -> impl Iterator<Item = Row> + '_ {
        let last = self.rows.last();
        let after = last.map_or(0, |row| row.time.saturating_add(1));
        let end = Row::of(model, self.next.max(after), self.read);
        let changed = last.is_none_or(|row| row.totals != end.totals);
        let end = (self.next > 0 && changed).then_some(end);
        self.rows.iter().cloned().chain(end)
    }

    /// The samples and the state now, as comma-separated values with a header: `time_ns`, then the counters and how long
    /// planes, channels and link were busy (all of a kind together).
    #[must_use]
    pub fn csv(&self, model: &Model) -> String {
        let mut text = String::from("time_ns");
        for name in Counter::ALL.iter().map(|c| c.name()).chain(BUSY) {
            text.push(',');
            text.push_str(name);
        }
        for row in self.rows(model) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{}", row.time);
            for value in row.totals.iter().chain(&row.busy) {
                let _ = write!(text, ",{value}");
            }
        }
        text.push('\n');
        text
    }

    /// How full the zones were at the same times, as comma-separated values with a header: `time_ns`, then the first zone
    /// of each group of neighbours that are alike in number, of which the rows have the written share in per cent, rounded
    /// down but never to 0 nor up to 100. Only the header's first word for a drive without zones.
    #[must_use]
    pub fn zones_csv(&self, model: &Model) -> String {
        self.by_group(model, |row, group| {
            row.written.get(group).copied().map(u64::from)
        })
    }

    /// What was read of the zones until then, in the same form: sectors since power-on. A read counts for the zone that it
    /// begins in.
    #[must_use]
    pub fn reads_csv(&self, model: &Model) -> String {
        self.by_group(model, |row, group| row.read.get(group).copied())
    }

    fn by_group(&self, model: &Model, of: impl Fn(&Row, usize) -> Option<u64>) -> String {
        let mut text = String::from("time_ns");
        for first in firsts(model.zones()) {
            let _ = write!(text, ",{first}");
        }
        let groups = firsts(model.zones()).count();
        for row in self.rows(model).filter(|_| groups > 0) {
            let _ = write!(text, "\n{}", row.time);
            for value in (0..groups).filter_map(|group| of(&row, group)) {
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
    use ftl::{Command, Namespace, ZoneAction, ZoneTarget};
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
    fn rows_tell_how_busy_the_flash_was() {
        let (series, model) = run([5, 61].into_iter());
        let csv = series.csv(&model);
        let busy: Vec<u64> = csv
            .lines()
            .last()
            .unwrap()
            .rsplit(',')
            .take(3)
            .map(|n| n.parse().unwrap())
            .collect();
        let stats = model.stats();
        let planes = stats
            .planes
            .iter()
            .map(|plane| plane.busy.get())
            .sum::<u64>();
        let channels = stats
            .channels
            .iter()
            .map(|channel| channel.busy.get())
            .sum::<u64>();
        assert_eq!(busy, [stats.link.busy.get(), channels, planes]);
        assert!(busy[0] > 0);
        assert!(
            csv.starts_with("time_ns,host_reads,")
                && csv
                    .lines()
                    .next()
                    .unwrap()
                    .ends_with("planes_busy_ns,channels_busy_ns,link_busy_ns")
        );
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

    fn zones(csv: &str) -> Vec<Vec<u64>> {
        let fields = |line: &str| line.split(',').map(|f| f.parse().unwrap()).collect();
        csv.lines().skip(1).map(fields).collect()
    }

    /// A drive of so many zones of 2 MiB, whose buffer is no zone's.
    fn zoned(count: u32) -> Model {
        let mut config = Config::preset("zns-zn540").unwrap();
        for (key, value) in [
            ("zones", count.to_string().as_str()),
            ("zone-capacity", "128K"),
            ("zone-size", "128K"),
            ("max-open", "0"),
            ("max-active", "0"),
            ("write-buffer-size", "960K"),
            ("wb-scope", "zone"),
        ] {
            config.set(key, value).unwrap();
        }
        Model::new(&config.plan().unwrap()).unwrap()
    }

    fn zone(model: &mut Model, action: ZoneAction, zone: u64) {
        let command = Command::Zone {
            action,
            target: ZoneTarget::One(Sector::new(zone * 256)),
        };
        let outcome = model.submit(Namespace::Data, &command, Instant::ZERO);
        assert!(outcome.result.is_ok());
    }

    fn write(model: &mut Model, at: u64, sectors: u64) {
        let command = Command::write(Sector::new(at), sectors, false);
        let outcome = model.submit(Namespace::Data, &command, Instant::ZERO);
        assert!(outcome.result.is_ok());
    }

    #[test]
    fn zones_are_seen_to_fill_and_to_be_reset() {
        let mut model = zoned(3);
        let mut series = Series::new(Nanos::new(10)).unwrap();
        series.note(&model, Instant::from_nanos(1));
        write(&mut model, 256, 8);
        zone(&mut model, ZoneAction::Finish, 2);
        series.note(&model, Instant::from_nanos(11));
        write(&mut model, 256 + 8, 240);
        zone(&mut model, ZoneAction::Reset, 2);
        series.note(&model, Instant::from_nanos(21));
        // 8 and 248 of 256 sectors.
        let csv = series.zones_csv(&model);
        assert_eq!(csv, "time_ns,0,1,2\n10,0,3,100\n20,0,96,0\n");
        // A single sector of a zone is not nothing, and all but one is not all.
        write(&mut model, 0, 1);
        write(&mut model, 256 + 248, 7);
        series.note(&model, Instant::from_nanos(31));
        assert_eq!(zones(&series.zones_csv(&model))[2], [30, 1, 99, 0]);
    }

    #[test]
    fn more_zones_are_groups_of_which_a_bounded_number_is_looked_at() {
        let mut model = zoned(20_000);
        // Of groups of 79 every twentieth.
        for id in (79..158).step_by(40) {
            zone(&mut model, ZoneAction::Finish, id);
        }
        zone(&mut model, ZoneAction::Finish, 159);
        let mut series = Series::new(Nanos::new(10)).unwrap();
        series.note(&model, Instant::from_nanos(1));
        series.note(&model, Instant::from_nanos(11));
        let csv = series.zones_csv(&model);
        let header = csv.lines().next().unwrap();
        assert!(header.starts_with("time_ns,0,79,158,") && header.ends_with(",19987"));
        let row = &zones(&csv)[0];
        assert_eq!(row.len(), 1 + 254);
        assert_eq!(row[..4], [10, 0, 50, 0]);
        assert_eq!(row.iter().skip(1).filter(|share| **share > 0).count(), 1);
        // 257 zones are 129 groups of two, the last of one.
        let model = zoned(257);
        let header = Series::new(Nanos::new(1)).unwrap().zones_csv(&model);
        assert!(header.trim_end().ends_with(",254,256"), "{header}");
    }

    #[test]
    fn reads_are_counted_by_the_zone_that_they_begin_in() {
        let model = zoned(257);
        let mut series = Series::new(Nanos::new(10)).unwrap();
        series.note(&model, Instant::from_nanos(1));
        // Groups of two; the last is of one.
        for (zone, sectors) in [(1, 8), (0, 1), (2, 4), (256, 2), (u64::MAX, 9)] {
            series.reads(&model, zone, sectors);
        }
        series.note(&model, Instant::from_nanos(11));
        series.reads(&model, 3, 4);
        series.note(&model, Instant::from_nanos(21));
        let rows = zones(&series.reads_csv(&model));
        assert_eq!(rows[0][..4], [10, 9, 4, 0]);
        assert_eq!(rows[1][..4], [20, 9, 8, 0]);
        assert_eq!((rows[0].len(), rows[0].last()), (1 + 129, Some(&2)));
    }

    #[test]
    fn a_drive_without_zones_has_no_share_of_them() {
        let (series, model) = run([5, 61].into_iter());
        assert_eq!(zones(&series.zones_csv(&model))[0].len(), 1 + 32);
        let model = Model::new(&Config::preset("nvm-optane").unwrap().plan().unwrap()).unwrap();
        assert_eq!(series.zones_csv(&model), "time_ns\n");
    }

    #[test]
    fn the_end_of_time_is_survived() {
        let (series, model) = run([0, u64::MAX - 1, u64::MAX].into_iter());
        assert!(columns(&series.csv(&model)).len() <= ROWS + 1);
    }
}
