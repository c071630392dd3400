// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive's counters over model time: series.csv, and its picture.
//!
//! ```text
//!   bandwidth      lines: what the host read and wrote
//!   queue depth    lines: how many reads, writes and others the drive had at once
//!   ratios         lines: write amplification, hit rate of the L2P cache
//!   events         lanes: premature flushes, migrations, garbage collections, map reads; the darker the more
//! ```
//! Rows hold totals; what happened between two rows is their difference (rust/ssd/src/series.rs).

use std::ops::Range;

use anyhow::{anyhow, ensure, Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use ftl::Counter;
use lab::plot::{self, COLOURS, FONT, GRID, MARK, NAME, TEXT};

use crate::charts::direction_colour;
use crate::clock::{Clock, LEFT, MARGIN, RIGHT, WIDTH};

/// Measures of the picture.
const PLOT_HEIGHT: u32 = 280;
const PANEL_HEIGHT: u32 = 110;
const LANE: u32 = 24;
const SECTOR: f64 = units::SECTOR_BYTES as f64;
const PAGE_SECTORS: f64 = units::PAGE_SECTORS as f64;
/// Steps of a line over time, at most about twice as many.
const STEPS: f64 = 200.0;

/// What the lanes show: a title and the counter that rises.
const EVENTS: [(&str, Counter); 6] = [
    ("full flushes", Counter::FlushFull),
    ("premature flushes", Counter::FlushPremature),
    ("migrations", Counter::Migrations),
    ("garbage collection", Counter::GcRuns),
    ("map reads", Counter::MapReads),
    ("zone resets", Counter::ZoneResets),
];

/// What the drive had to do at once: a name, and the counter of the time that it took.
const TIMES: [(&str, Counter); 3] = [
    ("read", Counter::HostReadTime),
    ("write", Counter::HostWriteTime),
    ("flush, reset", Counter::HostOtherTime),
];

/// The header of a file of samples, and its lines: numbers, as many as the header has names. An empty one has neither.
///
/// # Errors
/// A line that is something else.
pub fn numbers(file: &str, text: &str) -> Result<(Vec<String>, Vec<Vec<u64>>)> {
    let mut lines = text.lines();
    let names: Vec<String> = match lines.next() {
        Some(header) => header.split(',').map(str::to_owned).collect(),
        None => return Ok((Vec::new(), Vec::new())),
    };
    let mut rows = Vec::new();
    for (number, line) in (2..).zip(lines) {
        let row: Result<Vec<u64>, _> = line.split(',').map(str::parse).collect();
        let row = row.with_context(|| format!("{file} line {number}"))?;
        ensure!(
            row.len() == names.len(),
            "{file} line {number}: {} fields",
            row.len()
        );
        rows.push(row);
    }
    Ok((names, rows))
}

/// A parsed series.csv.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    names: Vec<String>,
    /// Time in ns, then the counters.
    rows: Vec<Vec<u64>>,
}

impl Series {
    /// Parses the file; an empty one has no rows.
    ///
    /// # Errors
    /// A line that is not a list of numbers as long as the header.
    pub fn parse(text: &str) -> Result<Self> {
        let (names, mut rows) = numbers("series.csv", text)?;
        // Rows are totals from the start on. What came before the first belongs to the stretch that it ends.
        let gaps = rows.windows(2).filter_map(|pair| {
            let [before, after] = pair else { return None };
            after.first()?.checked_sub(*before.first()?)
        });
        let (gap, first) = (gaps.min(), rows.first());
        if let (Some(gap), Some([time, totals @ ..])) = (gap, first.map(Vec::as_slice)) {
            if totals.iter().any(|total| *total > 0) {
                let mut start = vec![0; names.len()];
                start
                    .iter_mut()
                    .take(1)
                    .for_each(|at| *at = time.saturating_sub(gap));
                rows.insert(0, start);
            }
        }
        Ok(Self { names, rows })
    }

    /// The total of a column at an instant, ns; 0 of one that is not there.
    pub fn total(&self, name: &str, at: u64) -> u64 {
        let Some(column) = self.names.iter().position(|known| known == name) else {
            return 0;
        };
        let until = self
            .rows
            .partition_point(|row| row.first().is_some_and(|time| *time <= at));
        let row = until.checked_sub(1).and_then(|row| self.rows.get(row));
        row.and_then(|row| row.get(column)).copied().unwrap_or(0)
    }

    /// When the first command came and when the last, seconds of the drive's clock.
    pub fn span(&self) -> Option<Range<f64>> {
        let start = *self.rows.first()?.first()? as f64 / 1e9;
        Some(start..start + self.span_ns()? as f64 / 1e9)
    }

    /// Model time from the first command to the last, ns.
    pub fn span_ns(&self) -> Option<u64> {
        let time = |row: Option<&Vec<u64>>| row.and_then(|row| row.first()).copied();
        let span = time(self.rows.last())?.checked_sub(time(self.rows.first())?)?;
        (span > 0).then_some(span)
    }

    /// For each stretch between two rows: where it lies in seconds, and by how much a counter rose.
    fn stretches(&self, counter: Counter) -> Vec<(Range<f64>, u64)> {
        let Some(column) = self.names.iter().position(|name| name == counter.name()) else {
            return Vec::new();
        };
        let pairs = self.rows.windows(2).filter_map(|pair| {
            let [before, after] = pair else { return None };
            let seconds = |row: &[u64]| Some(*row.first()? as f64 / 1e9);
            let rise = after.get(column)?.saturating_sub(*before.get(column)?);
            Some((seconds(before)?..seconds(after)?, rise))
        });
        pairs.collect()
    }

    /// The rises of some counters, over stretches of which there are at most about [`STEPS`]: finer ones show single
    /// commands.
    fn steps<const N: usize>(&self, counters: [Counter; N]) -> Vec<(Range<f64>, [u64; N])> {
        let shortest = self.span_ns().unwrap_or(0) as f64 / 1e9 / STEPS;
        let all = counters.map(|counter| self.stretches(counter));
        let mut merged: Vec<(Range<f64>, [u64; N])> = Vec::new();
        for (row, (at, _)) in all
            .iter()
            .flatten()
            .take(self.rows.len().saturating_sub(1))
            .enumerate()
        {
            let rises = all
                .each_ref()
                .map(|stretches| stretches.get(row).map_or(0, |(_, rise)| *rise));
            match merged.last_mut() {
                Some((last, sums))
                    if last.end - last.start < shortest && at.end - last.start < shortest * 2.0 =>
                {
                    last.end = at.end;
                    sums.iter_mut()
                        .zip(rises)
                        .for_each(|(sum, rise)| *sum += rise);
                }
                _ => merged.push((at.clone(), rises)),
            }
        }
        merged
    }

    /// Without what is counted in time, for a drive that answers at once.
    pub fn without_times(mut self) -> Self {
        let is_time = |name: &String| TIMES.iter().any(|(_, counter)| name == counter.name());
        let times = self.names.iter_mut().filter(|name| is_time(name));
        times.for_each(String::clear);
        self
    }

    /// Bandwidth of a counter of sectors as a staircase, MB/s.
    pub fn bandwidth(&self, counter: Counter) -> Vec<(f64, f64)> {
        self.rate(counter, SECTOR / 1e6)
    }

    /// What a counter rises by in a second, in units of which one is `unit`, as a staircase.
    fn rate(&self, counter: Counter, unit: f64) -> Vec<(f64, f64)> {
        let steps = self.steps([counter]).into_iter();
        staircase(steps.map(|(at, [rise])| {
            let rate = rise as f64 * unit / (at.end - at.start).max(1e-9);
            (at, rate)
        }))
    }

    /// How many commands the drive had at once: by Little's law what they took together in a second, in seconds. Each
    /// counts when it arrives.
    pub fn depths(&self) -> Vec<Line> {
        let depths = TIMES.map(|(name, counter)| (name, self.rate(counter, 1e-9)));
        let took_time = |(_, points): &Line| points.iter().any(|(_, depth)| *depth > 0.0);
        depths.into_iter().filter(took_time).collect()
    }

    /// The first counter's rise over that of the others together as a staircase, with gaps where those did not rise.
    fn ratio<const N: usize>(&self, counters: [Counter; N]) -> Vec<Vec<(f64, f64)>> {
        let steps = self.steps(counters);
        let whole = |rises: &[u64; N]| rises.iter().skip(1).sum::<u64>();
        let part = |rises: &[u64; N]| rises.first().map_or(0.0, |rise| *rise as f64);
        let rated = |(_, rises): &(Range<f64>, [u64; N])| whole(rises) > 0;
        let runs = steps.chunk_by(|a, b| rated(a) == rated(b));
        let runs = runs.filter(|run| run.first().is_some_and(rated));
        runs.map(|run| {
            let values = run
                .iter()
                .map(|(at, rises)| (at.clone(), part(rises) / whole(rises).max(1) as f64));
            staircase(values)
        })
        .collect()
    }

    /// The picture; none without samples.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn svg(&self, clock: &Clock) -> Result<Option<String>> {
        if self.span_ns().is_none() {
            return Ok(None);
        }
        let lanes: Vec<_> = EVENTS
            .iter()
            .map(|(title, counter)| (*title, self.stretches(*counter)))
            .filter(|(_, stretches)| stretches.iter().any(|(_, rise)| *rise > 0))
            .collect();
        let panels = self.panels();
        let mut svg = String::new();
        {
            let plots = PLOT_HEIGHT + PANEL_HEIGHT * panels.len() as u32;
            let size = (WIDTH, plots + LANE * lanes.len() as u32 + 10);
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.draw(&area, &panels, &lanes, clock)
                .map_err(|e| anyhow!("drawing the drive's series: {e}"))?;
        }
        Ok(Some(svg))
    }

    /// The plots below the bandwidth.
    fn panels(&self) -> Vec<Panel> {
        let lines = |(name, points)| (direction_colour(name), vec![points]);
        let depths: Vec<_> = self.depths().into_iter().map(lines).collect();
        let depths = (!depths.is_empty()).then_some(("queue depth", depths));
        let ratios = self.ratios().into_iter();
        let ratios = ratios.map(|(title, runs)| (title, vec![(COLOURS[3], runs)]));
        depths.into_iter().chain(ratios).collect()
    }

    /// Write amplification and the hit rate of the L2P cache, as far as there are any.
    fn ratios(&self) -> Vec<Ratio> {
        let times = |mut runs: Vec<Vec<(f64, f64)>>, factor: f64| {
            let points = runs.iter_mut().flatten();
            points.for_each(|(_, value)| *value *= factor);
            runs
        };
        let waf = self.ratio([Counter::PagesProgrammed, Counter::HostWriteSectors]);
        let waf = times(waf, PAGE_SECTORS);
        let hits = self.ratio([Counter::L2pHits, Counter::L2pHits, Counter::L2pMisses]);
        let hits = times(hits, 100.0);
        [("write amplification", waf), ("L2P hits, %", hits)]
            .into_iter()
            .filter(|(_, runs)| !runs.is_empty())
            .collect()
    }

    fn draw<'a>(
        &self,
        area: &Area<'a>,
        panels: &[Panel],
        lanes: &[Lane],
        clock: &Clock,
    ) -> Drawn<'a> {
        area.fill(&WHITE)?;
        let mut lines = [
            ("read", Counter::HostReadSectors),
            ("write", Counter::HostWriteSectors),
        ]
        .map(|(name, counter)| (name, self.bandwidth(counter)))
        .to_vec();
        // Others move nothing, and are in the legend for the queue depth.
        let others = self
            .depths()
            .into_iter()
            .map(|(name, _)| (name, Vec::new()));
        lines.extend(others.filter(|(name, _)| *name != "read" && *name != "write"));
        let time = clock.span.clone();
        let (above, mut below) = area.split_vertically(PLOT_HEIGHT);
        draw_bandwidth(&above, &lines, clock)?;
        for panel in panels {
            let (plot, rest) = below.split_vertically(PANEL_HEIGHT);
            draw_panel(&plot, panel, time.clone())?;
            below = rest;
        }
        draw_lanes(&below, lanes, &time)?;
        area.present()?;
        Ok(())
    }
}

/// Counters of what a phase did, and the times of it in ns of the drive's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch<'a> {
    series: &'a Series,
    from: u64,
    to: u64,
}

impl<'a> Stretch<'a> {
    /// From and to, ns.
    pub fn new(series: &'a Series, from: u64, to: u64) -> Self {
        Self { series, from, to }
    }

    /// By how much a counter rose.
    pub fn rise(&self, counter: Counter) -> u64 {
        self.named(counter.name())
    }

    /// By how much a column of the series rose.
    pub fn named(&self, name: &str) -> u64 {
        let [from, to] = [self.from, self.to].map(|ns| self.series.total(name, ns));
        to.saturating_sub(from)
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = std::result::Result<(), Box<dyn std::error::Error + 'a>>;
/// A name, and the points of a line in seconds and some unit.
pub type Line = (&'static str, Vec<(f64, f64)>);
type Lane = (&'static str, Vec<(Range<f64>, u64)>);
/// A title, and lines between which nothing happened.
type Ratio = (&'static str, Runs);
type Runs = Vec<Vec<(f64, f64)>>;
/// A title, and the lines of one plot with their colours.
type Panel = (&'static str, Vec<(RGBColor, Runs)>);

/// Values that hold over stretches, as the points of a line.
fn staircase(steps: impl Iterator<Item = (Range<f64>, f64)>) -> Vec<(f64, f64)> {
    steps
        .flat_map(|(at, value)| [(at.start, value), (at.end, value)])
        .collect()
}

fn draw_panel<'a>(area: &Area<'a>, (title, lines): &Panel, time: Range<f64>) -> Drawn<'a> {
    let runs = || lines.iter().flat_map(|(_, runs)| runs);
    let top = runs().flatten().map(|point| point.1);
    let top = top.fold(1.0, f64::max) * 1.08;
    let mut chart = ChartBuilder::on(area)
        .margin_top(8)
        .margin_right(RIGHT)
        .margin_bottom(4)
        .margin_left(MARGIN)
        .y_label_area_size(LEFT - MARGIN)
        .build_cartesian_2d(time, 0.0..top)?;
    chart
        .configure_mesh()
        .y_desc(*title)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MARK)
        .y_labels(4)
        .y_label_formatter(&|value| plot::number(*value))
        .label_style((FONT, TEXT))
        .draw()?;
    for (colour, runs) in lines {
        for run in runs {
            let line = LineSeries::new(run.iter().copied(), colour.stroke_width(1));
            chart.draw_series(line)?;
        }
    }
    Ok(())
}

fn draw_bandwidth<'a>(
    area: &Area<'a>,
    lines: &[(&'static str, Vec<(f64, f64)>)],
    clock: &Clock,
) -> Drawn<'a> {
    let top = lines
        .iter()
        .flat_map(|(_, points)| points.iter().map(|p| p.1));
    let top = top.fold(1.0, f64::max) * 1.08;
    let mut chart = ChartBuilder::on(area)
        .margin_top(28)
        .margin_right(RIGHT)
        .margin_bottom(4)
        .margin_left(MARGIN)
        .x_label_area_size(44)
        .y_label_area_size(LEFT - MARGIN)
        .build_cartesian_2d(clock.span.clone(), 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc(clock.title)
        .x_label_formatter(&|at| plot::seconds(*at))
        .y_desc("bandwidth, MB/s")
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MARK)
        .y_labels(6)
        .y_label_formatter(&|mbs| format!("{mbs:.0}"))
        .label_style((FONT, TEXT))
        .draw()?;
    for (number, (name, points)) in (0..).zip(lines) {
        let colour = direction_colour(name);
        chart.draw_series(LineSeries::new(
            points.iter().copied(),
            colour.stroke_width(1),
        ))?;
        let x = LEFT as i32 + number * 80;
        area.draw(&Rectangle::new([(x, 9), (x + 14, 17)], colour.filled()))?;
        area.draw(&Text::new(*name, (x + 20, 6), (FONT, TEXT)))?;
    }
    Ok(())
}

fn draw_lanes<'a>(area: &Area<'a>, lanes: &[Lane], time: &Range<f64>) -> Drawn<'a> {
    let width = f64::from(WIDTH - LEFT - RIGHT);
    let scale = width / (time.end - time.start).max(1e-9);
    let place = |s: f64| LEFT as i32 + ((s - time.start) * scale).round() as i32;
    let total = |lane: &Lane| lane.1.iter().map(|(_, rise)| rise).sum::<u64>();
    for (number, lane) in (0..).zip(lanes) {
        let y = number * LANE as i32;
        let title = lane_title(lane.0, total(lane));
        area.draw(&Text::new(title, (4, y + 5), (FONT, NAME)))?;
        let right = (WIDTH - RIGHT) as i32;
        let frame = Rectangle::new(
            [(LEFT as i32, y + 2), (right, y + LANE as i32 - 4)],
            GRID.stroke_width(1),
        );
        area.draw(&frame)?;
        // Rates, as stretches differ in length.
        let rate = |(at, rise): &(Range<f64>, u64)| *rise as f64 / (at.end - at.start).max(1e-9);
        let most = lane.1.iter().map(rate).fold(0.0, f64::max);
        for stretch in lane.1.iter().filter(|(_, rise)| *rise > 0) {
            let (from, to) = (place(stretch.0.start), place(stretch.0.end));
            let shade = MARK_EVENT.mix(0.25 + 0.75 * rate(stretch) / most.max(1e-9));
            let corners = [(from, y + 3), (to.max(from + 1), y + LANE as i32 - 5)];
            area.draw(&Rectangle::new(corners, shade.filled()))?;
        }
    }
    Ok(())
}

/// What stands before a lane: many are told in thousands.
fn lane_title(name: &str, total: u64) -> String {
    match total {
        few @ ..100_000 => format!("{name} ({few})"),
        many => format!("{name} ({} k)", (many + 500) / 1000),
    }
}

/// Dark enough for a single pixel to be seen.
const MARK_EVENT: RGBColor = RGBColor(150, 40, 27);

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "time_ns,host_read_sectors,host_write_sectors,flush_premature,gc_runs\n\
        1000000,0,0,0,0\n2000000,0,8000,3,0\n4000000,4000,8000,3,0\n";

    fn clock() -> Clock {
        Clock {
            title: "the drive's clock, s",
            fio_at: 0.0,
            span: 0.0..0.004,
        }
    }

    #[test]
    fn what_came_before_the_first_sample_is_not_lost() {
        let series = Series::parse("time_ns,flush_full\n30,5\n40,5\n60,9\n").unwrap();
        assert_eq!(series.span_ns(), Some(40));
        let rises: u64 = series
            .stretches(Counter::FlushFull)
            .iter()
            .map(|(_, rise)| rise)
            .sum();
        assert_eq!(rises, 9, "as the total says");
        let at = [19, 20, 30, 59, 60, 99].map(|at| series.total("flush_full", at));
        assert_eq!(at, [0, 0, 5, 5, 9, 9]);
        assert_eq!(series.total("none", 99), 0);
    }

    #[test]
    fn titles_of_lanes_end_before_the_lanes() {
        let width = |text: &str| text.chars().count() as f64 * 0.56 * f64::from(NAME) / 1.24;
        for (title, _) in EVENTS {
            assert!(
                width(&lane_title(title, 9_999_999)) < f64::from(LEFT - 4),
                "{title}"
            );
        }
        assert_eq!(lane_title("map reads", 1234), "map reads (1234)");
        assert_eq!(lane_title("map reads", 1_234_567), "map reads (1235 k)");
    }

    #[test]
    fn rates_are_differences() {
        let series = Series::parse(CSV).unwrap();
        assert_eq!(series.span_ns(), Some(3_000_000));
        let write = series.bandwidth(Counter::HostWriteSectors);
        assert_eq!(write.len(), 4);
        assert!(
            (write[0].1 - 4096.0).abs() < 1.0 && write[2].1 == 0.0,
            "{write:?}"
        );
        assert!((series.bandwidth(Counter::HostReadSectors)[3].1 - 1024.0).abs() < 1.0);
        assert!(series.bandwidth(Counter::ZrwaPages).is_empty());
    }

    #[test]
    fn the_picture_marks_what_happened_and_nothing_else() {
        let svg = Series::parse(CSV).unwrap().svg(&clock()).unwrap().unwrap();
        assert!(svg.contains("premature flushes (3)"), "{svg}");
        assert!(!svg.contains("garbage"));
        assert!(svg.contains("the drive&apos;s clock, s") || svg.contains("the drive's clock, s"));
    }

    #[test]
    fn ratios_are_of_rises_and_have_gaps_where_nothing_was_counted() {
        // Pages count once for each write that touches them: write amplification is of what was written.
        let csv =
            "time_ns,host_write_pages,host_write_sectors,pages_programmed,l2p_hits,l2p_misses\n\
            0,0,0,0,0,0\n1000000,80,80,15,0,0\n2000000,80,80,15,3,1\n3000000,160,160,45,3,1\n";
        let series = Series::parse(csv).unwrap();
        let ratios = series.ratios();
        let [(_, waf), (_, hits)] = ratios.as_slice() else {
            panic!("{ratios:?}");
        };
        assert_eq!(waf.len(), 2, "a gap where nothing was written: {waf:?}");
        assert_eq!((waf[0][0].1, waf[1][0].1), (1.5, 3.0));
        assert_eq!(hits, &[vec![(0.001, 75.0), (0.002, 75.0)]]);
        let svg = series.svg(&clock()).unwrap().unwrap();
        assert!(svg.contains("write amplification") && svg.contains("L2P hits, %"));
    }

    #[test]
    fn the_queue_depth_is_time_over_time() {
        // In the first millisecond four reads of a whole one each; in the next two writes of 300 us.
        let csv = "time_ns,host_read_time_ns,host_write_time_ns,host_other_time_ns\n\
            0,0,0,0\n1000000,4000000,0,0\n2000000,4000000,600000,0\n";
        let series = Series::parse(csv).unwrap();
        let depths = series.depths();
        let [("read", reads), ("write", writes)] = depths.as_slice() else {
            panic!("flushes took no time: {depths:?}");
        };
        let about = |points: &[(f64, f64)], expected: [f64; 4]| {
            let depths = points.iter().map(|(_, depth)| *depth);
            depths.zip(expected).all(|(a, b)| (a - b).abs() < 1e-9)
        };
        assert!(about(reads, [4.0, 4.0, 0.0, 0.0]), "{reads:?}");
        assert!(about(writes, [0.0, 0.0, 0.6, 0.6]), "{writes:?}");
        assert!(series
            .svg(&clock())
            .unwrap()
            .unwrap()
            .contains("queue depth"));
        let untimed = series.without_times();
        assert!(untimed.depths().is_empty());
        assert!(!untimed
            .svg(&clock())
            .unwrap()
            .unwrap()
            .contains("queue depth"));
    }

    #[test]
    fn an_empty_or_broken_file() {
        assert_eq!(Series::parse("").unwrap().svg(&clock()).unwrap(), None);
        assert_eq!(
            Series::parse("time_ns,a\n").unwrap().svg(&clock()).unwrap(),
            None
        );
        assert!(format!("{:#}", Series::parse("time_ns,a\n1,x\n").unwrap_err()).contains("line 2"));
        assert!(Series::parse("time_ns,a\n1\n").is_err());
    }
}
