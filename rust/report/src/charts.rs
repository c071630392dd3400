// SPDX-License-Identifier: GPL-2.0-or-later
//! The report's pictures, as SVG texts: the cumulative latency distribution and the run over time.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{anyhow, Result};
use lab::plot::{self, decades, Axis, Line, Plot, COLOURS, FONT, GRID, MARK, NAME, TEXT};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::clock::{Clock, LEFT, MARGIN, RIGHT, WIDTH};
use crate::fio::Output;
use crate::tails::{Tails, PERCENTILES};
use crate::timeline::{Series, Timeline, SAMPLE_MS};

const TIMELINE_HEIGHT: u32 = 520;

/// A colour for each direction, the same in every picture of time.
pub fn direction_colour(direction: &str) -> RGBColor {
    match direction {
        "read" => COLOURS[0],
        "write" => COLOURS[1],
        _ => COLOURS[2],
    }
}

/// The share of I/Os done within a latency, a line for each job and direction. `None` when fio gave no
/// distribution.
pub fn latency(fio: &Output) -> Result<Option<String>> {
    distribution(fio, "I/Os done within it, %", false)
}

/// The same by nines, where rare long ones are seen.
pub fn nines(fio: &Output) -> Result<Option<String>> {
    distribution(fio, "I/Os done within it, % (by nines)", true)
}

fn distribution(fio: &Output, y: &str, nines: bool) -> Result<Option<String>> {
    let height = |share: f64| match nines {
        false => share * 100.0,
        true => -(1.0 - share).log10(),
    };
    let jobs = fio.jobs.iter();
    let all = jobs.flat_map(|job| {
        job.operations()
            .map(move |(op, direction)| (job, op, direction))
    });
    let distributions: Vec<(String, Vec<(f64, f64)>)> = all
        .map(|(job, op, direction)| {
            let points = direction.latency().distribution().into_iter();
            let points = points.map(|(ns, share)| (ns as f64 / 1e3, share));
            (format!("{} ({op})", job.jobname), points.collect())
        })
        .filter(|(_, points): &(_, Vec<_>)| !points.is_empty())
        .collect();
    let last = |points: &[(f64, f64)]| points.last().map_or(0.0, |(us, _)| *us);
    let end = distributions.iter().map(|(_, points)| last(points));
    let end = end.fold(0.0, f64::max);
    let lines = distributions.into_iter().map(|(name, points)| {
        // All of them are no number of nines: a tail ends with the longest, at the height of those before.
        let end = if nines { last(&points) } else { end };
        let shown = points.iter().filter(|(_, share)| !nines || *share < 1.0);
        let shown: Vec<_> = shown.map(|(us, share)| (*us, height(*share))).collect();
        Line {
            name,
            points: steps(&shown, end),
            dashed: false,
        }
    });
    let plot = Plot {
        x: "latency, us (logarithmic)".into(),
        y: y.into(),
        axis: Axis::Decades,
        lines: lines.collect(),
        dots: false,
        nines,
    };
    plot.svg()
}

/// Bandwidth above, mean latency below, both over time, with a mark where each job starts. `None` when there are no
/// samples.
pub fn timeline(timeline: &Timeline, fio: &Output, clock: &Clock) -> Result<Option<String>> {
    let timeline = with_short_jobs(timeline, fio);
    if timeline.bandwidth.is_empty() && timeline.latency.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, TIMELINE_HEIGHT)).into_drawing_area();
        draw_timeline(&area, &timeline, &starts(&timeline, fio), clock)
            .map_err(|e| anyhow!("drawing the timeline: {e}"))?;
    }
    Ok(Some(svg))
}

/// Percentiles over time, one above the other, on the clock of the timeline. `None` without histograms.
pub fn tails(
    tails: &Tails,
    timeline: &Timeline,
    fio: &Output,
    clock: &Clock,
) -> Result<Option<String>> {
    let timeline = with_short_jobs(timeline, fio);
    let seconds = |ms: u64| ms.saturating_sub(timeline.origin_ms) as f64 / 1e3;
    let panels = PERCENTILES.map(|(title, percent)| {
        let lines = tails.percentile(percent).into_iter();
        let lines = lines.map(|(direction, points)| {
            let points = points.into_iter();
            let points = points.map(|(ms, ns)| (seconds(ms), ns as f64 / 1e3));
            (direction, points.collect::<Vec<_>>())
        });
        (title, lines.collect::<Lines>())
    });
    let points = || {
        panels
            .iter()
            .flat_map(|(_, lines)| lines)
            .flat_map(|(_, points)| points)
    };
    let Some(range) = decades(points().map(|(_, us)| *us)) else {
        return Ok(None);
    };
    let starts = starts(&timeline, fio);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, TIMELINE_HEIGHT)).into_drawing_area();
        let (above, below) = area.split_vertically(TIMELINE_HEIGHT / 2);
        area.fill(&WHITE).map_err(|e| anyhow!("{e}"))?;
        for (area, (title, lines)) in [above, below].iter().zip(&panels) {
            // One scale, so that the two can be compared.
            draw_over_time(
                area,
                title,
                lines,
                clock,
                range.clone().log_scale(),
                &starts,
            )
            .map_err(|e| anyhow!("drawing the percentiles: {e}"))?;
        }
    }
    Ok(Some(svg))
}

/// Samples that do not show a course yet.
const FEW: usize = 3;

/// fio takes no sample, or hardly one, of a job that is shorter than their distance, and none of what it reads to verify: those are
/// drawn by their means, so that no job is left out.
pub fn with_short_jobs(timeline: &Timeline, fio: &Output) -> Timeline {
    let mut whole = timeline.clone();
    let started = started(timeline, fio);
    if whole.bandwidth.is_empty() && whole.latency.is_empty() {
        whole.origin_ms = started.iter().flatten().copied().min().unwrap_or(0);
    }
    let seconds = |ms: u64| ms.saturating_sub(whole.origin_ms) as f64 / 1e3;
    for (job, start) in fio.jobs.iter().zip(started) {
        let Some(start) = start.map(seconds) else {
            continue;
        };
        // Reads that verify follow the job's writes.
        let mut from = start;
        let end = start + job.directions().map(|(_, d)| d.runtime).sum::<u64>() as f64 / 1e3;
        let order = |op: &str| u8::from(op == "read");
        let mut directions: Vec<_> = job.directions().collect();
        directions.sort_by_key(|(op, _)| order(op));
        for (op, direction) in directions {
            let to = from + direction.runtime as f64 / 1e3;
            for (series, mean) in [
                (&mut whole.bandwidth, direction.bw_bytes as f64),
                (&mut whole.latency, direction.latency().mean),
            ] {
                let points = &mut series.entry(op).or_default().points;
                let within = |(x, _): &(f64, f64)| (start..=end).contains(x);
                if points.iter().filter(|point| within(point)).count() < FEW {
                    points.retain(|point| !within(point));
                    // As close as samples would be: a gap is drawn as one.
                    let steps = (direction.runtime / SAMPLE_MS).max(1);
                    let step = (to - from) / steps as f64;
                    points.extend((0..=steps).map(|n| (from + step * n as f64, mean)));
                    points.sort_by(|a, b| a.0.total_cmp(&b.0));
                }
            }
            from = to;
        }
    }
    whole
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult<'a> = std::result::Result<(), Box<dyn std::error::Error + 'a>>;

/// When each job started, milliseconds of the guest's clock, as far as fio tells: by itself, or by its samples if each
/// job is a thread.
pub fn started(timeline: &Timeline, fio: &Output) -> Vec<Option<u64>> {
    let threads = (timeline.began_ms.len() == fio.jobs.len()).then_some(&timeline.began_ms);
    let began = |job: usize| threads.and_then(|began| began.get(job)).copied();
    let jobs = fio.jobs.iter().enumerate();
    jobs.map(|(at, job)| job.job_start.or_else(|| began(at)))
        .collect()
}

/// The same in seconds on the picture's axis, with the jobs' names.
fn starts(timeline: &Timeline, fio: &Output) -> Vec<(f64, String)> {
    let seconds = |ms: u64| ms.saturating_sub(timeline.origin_ms) as f64 / 1e3;
    let jobs = fio.jobs.iter().zip(started(timeline, fio));
    jobs.filter_map(|(job, ms)| Some((seconds(ms?), job.jobname.clone())))
        .collect()
}

fn draw_timeline<'a>(
    area: &Area<'a>,
    timeline: &Timeline,
    starts: &[(f64, String)],
    clock: &Clock,
) -> DrawResult<'a> {
    area.fill(&WHITE)?;
    let (above, below) = area.split_vertically(TIMELINE_HEIGHT / 2);
    let values = |of: &BTreeMap<&'static str, Series>, unit: f64| -> Lines {
        let scaled = |s: &Series| s.points.iter().map(|(x, y)| (*x, y / unit)).collect();
        of.iter().map(|(name, s)| (*name, scaled(s))).collect()
    };
    let bandwidth = values(&timeline.bandwidth, 1e6);
    let latency = values(&timeline.latency, 1e3);
    let each = |lines: &Lines| -> Vec<f64> {
        let ys = lines.iter().flat_map(|(_, points)| points);
        ys.map(|(_, y)| *y).collect()
    };
    let top = each(&bandwidth).into_iter().fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.08 } else { 1.0 };
    draw_over_time(
        &above,
        "bandwidth, MB/s",
        &bandwidth,
        clock,
        0.0..top,
        starts,
    )?;
    // Logarithmic: fills and single reads differ by powers of ten.
    let range = decades(each(&latency).into_iter()).unwrap_or(1.0..10.0);
    let title = "mean latency, us (log.)";
    draw_over_time(&below, title, &latency, clock, range.log_scale(), starts)?;
    area.present()?;
    Ok(())
}

/// A name and its points for each line.
type Lines = Vec<(&'static str, Vec<(f64, f64)>)>;

fn draw_over_time<'a, Y>(
    area: &Area<'a>,
    title: &str,
    lines: &Lines,
    clock: &Clock,
    axis: Y,
    starts: &[(f64, String)],
) -> DrawResult<'a>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_top(26)
        .margin_right(RIGHT)
        .x_label_area_size(40)
        .y_label_area_size(LEFT - MARGIN)
        .build_cartesian_2d(clock.span.clone(), axis)?;
    chart
        .configure_mesh()
        .x_desc(clock.title)
        .y_desc(title)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .y_labels(6)
        .x_label_formatter(&|at| plot::seconds(*at))
        .y_label_formatter(&|y| plot::number(*y))
        .label_style((FONT, TEXT))
        .draw()?;
    let Range {
        start: bottom,
        end: top,
    } = chart.y_range();
    for (x, name) in starts {
        let x = x + clock.fio_at;
        if !clock.span.contains(&x) {
            continue;
        }
        chart.draw_series(LineSeries::new([(x, bottom), (x, top)], MARK))?;
        // Upwards along its line: names of short jobs do not run into each other.
        let style = (FONT, NAME)
            .into_font()
            .color(&MARK)
            .transform(FontTransform::Rotate90);
        chart.draw_series([Text::new(name.clone(), (x, top), style)])?;
    }
    for (number, (direction, points)) in (0..).zip(lines) {
        let colour = direction_colour(direction);
        // Far beside the axis a place is no number of pixels any more.
        let Range { start, end } = clock.span;
        let placed = points.iter().map(|(x, y)| (x + clock.fio_at, *y));
        let placed: Vec<_> = placed.filter(|(x, _)| (start..=end).contains(x)).collect();
        chart.draw_series(placed.iter().map(|&at| Circle::new(at, 2, colour.filled())))?;
        for run in unbroken(&placed, starts, clock.fio_at) {
            chart.draw_series(LineSeries::new(run.iter().copied(), colour.stroke_width(1)))?;
        }
        // Above the plot, where no sample can hide it.
        let x = LEFT as i32 + number * 80;
        area.draw(&Rectangle::new([(x, 9), (x + 14, 17)], colour.filled()))?;
        area.draw(&Text::new(*direction, (x + 20, 6), (FONT, TEXT)))?;
    }
    Ok(())
}

/// A cumulative distribution is a staircase: it rises at a latency and stays until the next.
pub fn steps(points: &[(f64, f64)], end: f64) -> Vec<(f64, f64)> {
    let mut stairs = Vec::with_capacity(points.len() * 2 + 1);
    let mut share = 0.0;
    for &(x, next) in points {
        stairs.push((x, share));
        stairs.push((x, next));
        share = next;
    }
    stairs.push((end, share));
    stairs
}

/// Splits samples, that lie so far on the axis, where a job begins, and where a gap is longer than five of their usual distances: nothing was going on
/// there, and a line across would say otherwise.
fn unbroken<'a>(
    points: &'a [(f64, f64)],
    starts: &[(f64, String)],
    fio_at: f64,
) -> Vec<&'a [(f64, f64)]> {
    let mut gaps: Vec<f64> = points.windows(2).map(|w| w[1].0 - w[0].0).collect();
    gaps.sort_by(f64::total_cmp);
    let Some(usual) = gaps.get(gaps.len() / 2).copied() else {
        return Vec::new();
    };
    let starts = || starts.iter().map(|(start, _)| start + fio_at);
    let begins = |from: f64, to: f64| starts().any(|start| from < start && start < to);
    let joined = |a: &(f64, f64), b: &(f64, f64)| b.0 - a.0 <= usual * 5.0 && !begins(a.0, b.0);
    points.chunk_by(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fio, samples, timeline as logs};

    fn clock() -> Clock {
        Clock {
            title: "time in the guest, s",
            fio_at: 0.0,
            span: 0.0..4.0,
        }
    }

    #[test]
    fn the_latency_picture_names_the_jobs_that_have_a_distribution() {
        let output = fio::parse(samples::FIO_JSON).unwrap();
        let svg = latency(&output).unwrap().unwrap();
        assert!(svg.contains("randread (read)"), "{svg}");
        assert!(!svg.contains("fill (write)"), "fill has no histogram");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn the_tail_is_drawn_by_nines() {
        let output = fio::parse(samples::FIO_JSON).unwrap();
        let svg = nines(&output).unwrap().unwrap();
        // Of 1000 reads 900, 995, and all: the last five take up to 90.5 us.
        assert!(svg.contains("\n90\n") && svg.contains("\n99\n"), "{svg}");
        assert!(!svg.contains("\n99.99\n"), "{svg}");
    }

    #[test]
    fn no_distribution_no_picture() {
        let output = fio::parse(r#"{"fio version": "fio-3.39", "jobs": []}"#).unwrap();
        assert!(latency(&output).unwrap().is_none());
        assert!(timeline(&Timeline::default(), &output, &clock())
            .unwrap()
            .is_none());
    }

    #[test]
    fn the_timeline_shows_both_directions_and_breaks_at_gaps() {
        let parsed = logs::parse(samples::LOGS, 20).unwrap();
        let output = fio::parse(samples::FIO_JSON).unwrap();
        let svg = timeline(&parsed, &output, &clock()).unwrap().unwrap();
        assert!(svg.contains("randread"), "its start is marked");
        assert_eq!(starts(&parsed, &output)[1], (3.0, "randread".to_owned()));
        assert!(svg.contains("read") && svg.contains("write"));
        let runs = [(0.0, 1.0), (0.1, 1.0), (0.2, 1.0), (3.0, 1.0), (3.1, 1.0)];
        let lengths = |starts: &[(f64, String)]| -> Vec<usize> {
            unbroken(&runs, starts, 0.0)
                .iter()
                .map(|r| r.len())
                .collect()
        };
        assert_eq!(lengths(&[]), [3, 2]);
        assert_eq!(lengths(&[(0.15, "next".into())]), [2, 1, 2]);
    }

    #[test]
    fn a_job_without_samples_is_drawn_by_its_means() {
        let output = fio::parse(samples::FIO_JSON).unwrap();
        // Samples of the fill only: the reads were too short.
        let lines: Vec<_> = samples::LOGS.lines().take(7).collect();
        let parsed = logs::parse(&lines.join("\n"), 20).unwrap();
        assert!(!parsed.bandwidth.contains_key("read"));
        let whole = with_short_jobs(&parsed, &output);
        for (of, mean) in [(&whole.bandwidth, 67e6), (&whole.latency, 60_500.0)] {
            let points = &of["read"].points;
            assert_eq!((points[0], points.len()), ((3.0, mean), 4));
            assert!((points[3].0 - 3.061).abs() < 1e-9 && unbroken(points, &[], 0.0).len() == 1);
        }
        assert_eq!(whole.bandwidth["write"], parsed.bandwidth["write"]);
        // Before fio 3.36 a job's start is its first sample.
        let mut old = output.clone();
        old.jobs.iter_mut().for_each(|job| job.job_start = None);
        let both = logs::parse(samples::LOGS, 20).unwrap();
        assert_eq!(starts(&both, &old), starts(&both, &output));
        // And without any: by the jobs' own clock.
        let alone = with_short_jobs(&Timeline::default(), &output);
        assert_eq!(alone.bandwidth["write"].points[0].0, 0.0);
    }

    #[test]
    fn percentiles_are_drawn_on_the_timelines_clock() {
        let output = fio::parse(samples::FIO_JSON).unwrap();
        let parsed = logs::parse(samples::LOGS, 20).unwrap();
        let svg = tails(&samples::tails(), &parsed, &output, &clock())
            .unwrap()
            .unwrap();
        for text in ["p99 latency", "p99.9 latency", "randread", "read"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        // Two points of reads in each of the two; nothing of writes.
        let [read, write] = ["read", "write"].map(direction_colour);
        let circles = |RGBColor(r, g, b): RGBColor| {
            let of = |circle: &&str| circle.contains(&format!("#{r:02X}{g:02X}{b:02X}"));
            svg.split("<circle").skip(1).filter(of).count()
        };
        assert_eq!((circles(read), circles(write)), (4, 0), "{svg}");
        assert!(tails(&Tails::default(), &parsed, &output, &clock())
            .unwrap()
            .is_none());
    }

    #[test]
    fn one_sample_is_drawn() {
        let parsed = logs::parse("# r_bw.1.log\n5, 100, 0, 0, 0\n", 20).unwrap();
        let output = fio::parse(samples::FIO_JSON).unwrap();
        assert!(timeline(&parsed, &output, &clock()).unwrap().is_some());
    }
}
