// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone compare`: runs beside each other, the others against the first, as tables and overlaid pictures on
//! one page. They go by letters, in the order in which they were named: A, B, C, ...

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use askama::Template;
use ftl::Counter;
use lab::plot::{Axis, Line, Plot, COLOURS};
use serde::{Deserialize, Serialize};
use serde_json::{json, Map, Value};

use crate::study::{self, Study};
use crate::{charts::steps, fio, series, series::Series, summary::Summary, FORMAT};
use lab::experiment::case::Metric;
use lab::experiment::catalogue::Scale;
use lab::failure::Prerequisite;
use lab::out::say;
use lab::table;

/// Points of a line of the latency picture: a tail needs no more.
const POINTS: usize = 400;

/// Lines of more runs cannot be told apart: each colour has a full line and a dashed one.
const MOST_RUNS: usize = COLOURS.len() * 2;

/// `cargo conzone compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo conzone run --out before
  cargo conzone run --out after --set write-buffers=3
  cargo conzone compare before after
  cargo conzone experiment zone-conflicts --out two
  cargo conzone experiment zone-conflicts --out four --set write-buffers=4
  cargo conzone compare two four --out conflicts.html

With more than two directories every other run is compared with the first.")]
pub struct Args {
    /// Directories of runs or of one experiment (`--out`), of which the first is what the others are compared with
    #[arg(value_name = "DIR", required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// The page to write
    #[arg(short, long, value_name = "FILE.html", default_value = "compare.html")]
    out: PathBuf,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

/// A run as its directory has it.
#[derive(Debug)]
struct Run {
    name: String,
    title: String,
    settings: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    fio: fio::Output,
    stats: Option<Value>,
    series: Series,
    /// Of an experiment: its rows, in place of all that.
    study: Option<Study>,
}

/// run.json, as far as it is needed here.
#[derive(Deserialize)]
struct Record {
    format: u64,
    title: String,
    settings: Vec<(String, String)>,
    properties: Vec<(String, String)>,
}

impl Run {
    fn read(dir: &Path) -> Result<Self> {
        let name = dir.display().to_string();
        if !dir.is_dir() {
            return Err(Prerequisite(format!("{name}: no such directory")).into());
        }
        let path = |file: &str| dir.join(file);
        if let Some(study) = Study::read(dir)? {
            return Ok(Self {
                title: study.experiment.title.into(),
                settings: study.settings.clone(),
                properties: study.drives.clone(),
                fio: fio::Output::default(),
                stats: None,
                series: Series::default(),
                study: Some(study),
                name,
            });
        }
        let text = fs::read_to_string(path("run.json")).map_err(|_| {
            Prerequisite(format!(
                "{name}: neither run.json nor {} in it: it is no directory of `cargo conzone run` or `experiment`",
                study::FILE
            ))
        })?;
        let broken = |file: &str| format!("{name}/{file} is broken: run again");
        let number = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|record| record["format"].as_u64());
        if let Some(format) = number.filter(|format| *format != FORMAT) {
            let why = format!(
                "{name}/run.json has format {format}, and this program knows {FORMAT}: run again"
            );
            return Err(Prerequisite(why).into());
        }
        let record: Record = serde_json::from_str(&text).with_context(|| broken("run.json"))?;
        let optional = |file: &str| fs::read_to_string(path(file)).unwrap_or_default();
        let fio = fs::read_to_string(path("fio.json")).with_context(|| broken("fio.json"))?;
        let stats = optional("stats.json");
        let series =
            Series::parse(&optional("series.csv")).with_context(|| broken("series.csv"))?;
        let untimed = |(name, value): &(String, String)| name == "timing" && value == "off";
        let is_untimed = record.properties.iter().any(untimed);
        debug_assert_eq!(record.format, FORMAT);
        Ok(Self {
            title: record.title,
            settings: record.settings,
            properties: record.properties,
            fio: fio::parse(&fio).with_context(|| broken("fio.json"))?,
            stats: match stats.as_str() {
                "" => None,
                text => Some(serde_json::from_str(text).with_context(|| broken("stats.json"))?),
            },
            series: if is_untimed {
                series.without_times()
            } else {
                series
            },
            study: None,
            name,
        })
    }

    /// What it is of, to be compared with its like.
    fn kind(&self) -> String {
        match &self.study {
            Some(study) => format!("the experiment {}", study.experiment.name),
            None => "a run".into(),
        }
    }
}

/// What stands for a run.
fn letter(run: usize) -> char {
    (b'A'..=b'Z').nth(run).map_or('?', char::from)
}

/// A figure of all runs, of which some may not have it.
#[derive(Clone, Debug, PartialEq)]
struct Figure {
    what: String,
    values: Vec<Option<f64>>,
}

impl Figure {
    /// Its name, A's, and for each other run its own and how that differs from A's.
    fn texts(&self) -> Vec<String> {
        let show = |x: Option<f64>| x.map_or_else(|| "-".into(), number);
        let mut texts = vec![self.what.clone()];
        for (run, value) in self.values.iter().enumerate() {
            texts.push(show(*value));
            texts.extend((run > 0).then(|| self.change(run)));
        }
        texts
    }

    /// A run against the first: in per cent, and what is in per cent itself, in points.
    fn change(&self, run: usize) -> String {
        let of = |run: usize| self.values.get(run).copied().flatten();
        match (of(0), of(run)) {
            (Some(a), Some(b)) if (a - b).abs() <= a.abs() * 5e-5 => "same".into(),
            (Some(a), Some(b)) if self.what.ends_with('%') => format!("{:+.1} points", b - a),
            (Some(a), Some(b)) if a.abs() > 0.0 => format!("{:+.1} %", (b / a - 1.0) * 100.0),
            _ => "-".into(),
        }
    }

    fn json(&self) -> Value {
        let mut object = Map::from_iter([("what".to_owned(), json!(self.what))]);
        object.extend(lettered(&self.values));
        object.into()
    }
}

/// Members of a JSON object, one for each run: a, b, ...
fn lettered<T: Serialize>(values: &[T]) -> impl Iterator<Item = (String, Value)> + '_ {
    let values = values.iter().enumerate();
    values.map(|(run, value)| (letter(run).to_lowercase().to_string(), json!(value)))
}

fn number(x: f64) -> String {
    if x.fract() == 0.0 || x.abs() >= 1000.0 {
        format!("{x:.0}")
    } else {
        format!("{x:.2}")
    }
}

/// A property or setting that is not the same in all runs, and what it is in each.
#[derive(Clone, Debug, PartialEq)]
struct Difference {
    what: String,
    values: Vec<String>,
}

impl Difference {
    /// In one line: "8 -> 9", or "8 (A, C) | 9 (B)" of more than two runs.
    fn text(&self) -> String {
        if let [a, b] = self.values.as_slice() {
            return format!("{a} -> {b}");
        }
        let mut values: Vec<(&str, Vec<String>)> = Vec::new();
        for (run, value) in self.values.iter().enumerate() {
            let letter = letter(run).to_string();
            match values.iter_mut().find(|(seen, _)| seen == value) {
                Some((_, runs)) => runs.push(letter),
                None => values.push((value, vec![letter])),
            }
        }
        let values = values.into_iter();
        let texts = values.map(|(value, runs)| format!("{value} ({})", runs.join(", ")));
        texts.collect::<Vec<_>>().join(" | ")
    }
}

/// Everything that is shown.
#[derive(Debug)]
struct Comparison {
    names: Vec<String>,
    results: Vec<Figure>,
    counters: Vec<Figure>,
    differences: Vec<Difference>,
}

impl Comparison {
    fn new(runs: &[Run]) -> Self {
        let mut differences = differing(runs, |run| &run.properties);
        differences.extend(differing(runs, |run| &run.settings));
        let differ = |figure: &Figure| figure.values.iter().any(|v| *v != figure.values[0]);
        Self {
            names: runs.iter().map(|run| run.name.clone()).collect(),
            results: side_by_side(runs, results),
            counters: side_by_side(runs, counters)
                .into_iter()
                .filter(differ)
                .collect(),
            differences,
        }
    }

    /// The titles of a table's columns of figures: a letter a run, and `change` of one after each but the first.
    fn columns(&self, change: impl Fn(char) -> String) -> Vec<String> {
        let runs = (0..self.names.len()).map(letter);
        runs.flat_map(|run| {
            let changed = (run != 'A').then(|| change(run));
            [run.to_string()].into_iter().chain(changed)
        })
        .collect()
    }

    fn json(&self) -> Value {
        let figures = |of: &[Figure]| of.iter().map(Figure::json).collect::<Vec<_>>();
        let differences = self.differences.iter().map(|difference| {
            let what = [&difference.what].into_iter();
            what.chain(&difference.values).collect::<Vec<_>>()
        });
        let mut object = Map::from_iter([
            ("results".to_owned(), json!(figures(&self.results))),
            ("counters".to_owned(), json!(figures(&self.counters))),
            (
                "differences".to_owned(),
                json!(differences.collect::<Vec<_>>()),
            ),
        ]);
        object.extend(lettered(&self.names));
        object.into()
    }
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Page<'a> {
    title: String,
    runs: Vec<(char, &'a Run)>,
    columns: Vec<String>,
    results: Vec<Vec<String>>,
    counters: Vec<Vec<String>>,
    differences: &'a [Difference],
    /// Which line is whose.
    lines: &'static str,
    figures: Vec<String>,
    latency: Vec<String>,
    bandwidth: Vec<String>,
    depth: Vec<String>,
}

/// Compares and writes the page.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.runs.len() > MOST_RUNS {
        let why = format!("{} directories; at most {MOST_RUNS}", args.runs.len());
        return Err(Prerequisite(why).into());
    }
    let runs = args.runs.iter().map(|dir| Run::read(dir));
    let runs = runs.collect::<Result<Vec<_>>>()?;
    for other in &runs {
        let first = runs.first().unwrap_or(other);
        if first.kind() != other.kind() {
            let (a, b) = (first.kind(), other.kind());
            let why = format!(
                "{} is of {a}, and {} of {b}: compare what is alike",
                first.name, other.name
            );
            return Err(Prerequisite(why).into());
        }
    }
    let comparison = Comparison::new(&runs);
    let mut others = comparison.names.clone();
    let first = others.remove(0);
    let page = Page {
        title: format!("{} against {first}", others.join(", ")),
        columns: comparison.columns(|run| format!("{run} against A")),
        results: comparison.results.iter().map(Figure::texts).collect(),
        counters: comparison.counters.iter().map(Figure::texts).collect(),
        differences: &comparison.differences,
        lines: match runs.len() {
            2 => "A broad and pale, B dashed on it",
            _ => "a line for each run",
        },
        figures: pictures(&studies(&runs))?,
        latency: pictures(&latency(&runs))?,
        bandwidth: pictures(&bandwidth(&runs))?,
        depth: pictures(&queue_depth(&runs))?,
        runs: (0..).map(letter).zip(&runs).collect(),
    };
    let text = page.render().context("rendering the page")?;
    let refused = |error| Prerequisite(format!("--out {}: {error}", args.out.display()));
    fs::write(&args.out, text).map_err(refused)?;
    if args.json {
        say!("{:#}", comparison.json())?;
        return Ok(ExitCode::SUCCESS);
    }
    for (letter, run) in &page.runs {
        say!("{letter}: {} ({})", run.name, run.title)?;
    }
    for difference in &comparison.differences {
        say!("{}: {}", difference.what, difference.text())?;
    }
    let header = comparison.columns(|_| "change".into());
    let mut table = table::empty(["figure".to_owned()].into_iter().chain(header), 1);
    table.add_rows(comparison.results.iter().map(Figure::texts));
    table.add_rows(comparison.counters.iter().map(Figure::texts));
    say!("{table}")?;
    say!("page: {}", args.out.display())?;
    Ok(ExitCode::SUCCESS)
}

type Figures = Vec<(String, f64)>;

/// A run's own figures in the order they are shown.
fn results(run: &Run) -> Figures {
    if let Some(study) = &run.study {
        return study.figures();
    }
    let summary = Summary::new(&run.fio, run.stats.as_ref(), &[]);
    let mut figures = Vec::new();
    for row in &summary.jobs {
        let mut add = |what: &str, value: Option<f64>| {
            let name = format!("{} {}: {what}", row.job, row.op);
            figures.extend(value.map(|value| (name, value)));
        };
        let micros = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e3);
        add(
            "MB/s",
            (row.op != "sync").then(|| row.bandwidth as f64 / 1e6),
        );
        add("IOPS", Some(row.iops));
        add("mean us", Some(row.latency_ns.mean / 1e3));
        add("p50 us", micros(row.latency_ns.p50));
        add("p99 us", micros(row.latency_ns.p99));
        add("p99.9 us", micros(row.latency_ns.p999));
    }
    figures.extend(
        summary
            .write_amplification
            .map(|waf| ("write amplification".into(), waf)),
    );
    figures.extend(
        summary
            .l2p_hit_rate
            .map(|rate| ("L2P hit rate, %".into(), rate * 100.0)),
    );
    figures
}

fn counters(run: &Run) -> Figures {
    let members = run
        .stats
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let counted =
        members.filter(|(name, _)| !matches!(name.as_str(), "waf" | "raf" | "raf_with_map"));
    counted
        .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
        .collect()
}

/// Figures of the same name together, in A's order, then those that only others have.
fn side_by_side(runs: &[Run], figures: fn(&Run) -> Figures) -> Vec<Figure> {
    let all: Vec<Figures> = runs.iter().map(figures).collect();
    let of = |figures: &Figures, name: &str| {
        figures
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| *value)
    };
    let names = named(all.iter().flatten().map(|(name, _)| name));
    names
        .into_iter()
        .map(|what| Figure {
            values: all.iter().map(|figures| of(figures, what)).collect(),
            what: what.clone(),
        })
        .collect()
}

/// Each name once, where it occurs first.
fn named<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

fn differing(runs: &[Run], list: fn(&Run) -> &Vec<(String, String)>) -> Vec<Difference> {
    let value = |run: &Run, name: &str| {
        // The last of a name, as a map would have it.
        let entries = list(run).iter().rev();
        let entry = entries.into_iter().find(|(n, _)| n == name);
        entry.map_or_else(|| "-".into(), |(_, value)| value.clone())
    };
    let names = named(runs.iter().flat_map(list).map(|(name, _)| name));
    names
        .into_iter()
        .map(|what| Difference {
            values: runs.iter().map(|run| value(run, what)).collect(),
            what: what.clone(),
        })
        .filter(|difference| difference.values.iter().any(|v| *v != difference.values[0]))
        .collect()
}

/// An experiment's own pictures.
fn studies(runs: &[Run]) -> Vec<Plot> {
    let Some(experiment) = runs
        .first()
        .and_then(|run| Some(run.study.as_ref()?.experiment))
    else {
        return Vec::new();
    };
    let lines = |run: &Run, metric: Metric| -> Lines {
        let mut lines = Lines::new();
        let rows = run.study.iter().flat_map(|study| &study.rows);
        for (row, value) in rows.filter_map(|row| Some((row, metric.of(row)?))) {
            match lines.iter_mut().find(|(name, _)| *name == row.series) {
                Some((_, points)) => points.push((row.x, value)),
                None => lines.push((row.series.clone(), vec![(row.x, value)])),
            }
        }
        lines
    };
    let axis = match experiment.scale {
        Scale::Linear => Axis::Linear,
        Scale::Doubling => Axis::Doubling,
    };
    let figures = experiment.figures.iter().flat_map(|figure| {
        let lines: Vec<Lines> = runs.iter().map(|run| lines(run, figure.metric)).collect();
        overlaid(experiment.x, figure.metric.axis(), axis, &lines)
    });
    figures.collect()
}

/// The cumulative distributions.
fn latency(runs: &[Run]) -> Vec<Plot> {
    let lines = |run: &Run| -> Lines {
        let jobs = run
            .fio
            .jobs
            .iter()
            .flat_map(|job| job.operations().map(move |(op, d)| (job, op, d)));
        jobs.map(|(job, op, direction)| {
            let points = direction.latency().distribution();
            let every = points.len().div_ceil(POINTS).max(1);
            let mut points: Vec<_> = points
                .iter()
                .enumerate()
                .filter(|(n, _)| n % every == 0 || *n + 1 == points.len())
                .map(|(_, (ns, share))| (*ns as f64 / 1e3, share * 100.0))
                .collect();
            points.retain(|(us, _)| *us > 0.0);
            let end = points.last().map_or(0.0, |(us, _)| *us);
            let stairs = if points.is_empty() {
                points
            } else {
                steps(&points, end)
            };
            (format!("{} {op}", job.jobname), stairs)
        })
        .collect()
    };
    overlaid(
        "latency, us (logarithmic)",
        "I/Os done within it, %",
        Axis::Decades,
        &runs.iter().map(lines).collect::<Vec<_>>(),
    )
}

/// What the host moved over the drive's time, from each run's first command on.
fn bandwidth(runs: &[Run]) -> Vec<Plot> {
    over_time(runs, "bandwidth, MB/s", |series| {
        let moved = [
            ("read", Counter::HostReadSectors),
            ("write", Counter::HostWriteSectors),
        ];
        moved
            .map(|(name, counter)| (name, series.bandwidth(counter)))
            .to_vec()
    })
}

/// How many commands the drives had at once.
fn queue_depth(runs: &[Run]) -> Vec<Plot> {
    over_time(runs, "queue depth", Series::depths)
}

fn over_time(runs: &[Run], y: &str, of: fn(&Series) -> Vec<series::Line>) -> Vec<Plot> {
    let lines = |run: &Run| -> Lines {
        let lines = of(&run.series).into_iter();
        lines
            .map(|(name, mut points)| {
                let begin = points.first().map_or(0.0, |(at, _)| *at);
                points.iter_mut().for_each(|(at, _)| *at -= begin);
                (name.to_owned(), points)
            })
            .collect()
    };
    overlaid(
        "the drives' clock from the first command on, s",
        y,
        Axis::Linear,
        &runs.iter().map(lines).collect::<Vec<_>>(),
    )
}

/// A run's lines with their names.
type Lines = Vec<(String, Vec<(f64, f64)>)>;

/// Of two runs one picture: A's lines in full, B's in the same colours and dashed. Of more a picture for each line,
/// where every run keeps its colour: A to F in full, G to L dashed.
fn overlaid(x: &str, y: &str, axis: Axis, runs: &[Lines]) -> Vec<Plot> {
    let plot = |y: String, lines| Plot {
        x: x.into(),
        y,
        axis,
        lines,
        dots: false,
        nines: false,
    };
    let names = named(runs.iter().flatten().map(|(name, _)| name));
    let points = |run: usize, name: &str| {
        let lines = runs.get(run).into_iter().flatten();
        let points = lines
            .filter(|(n, _)| n == name)
            .map(|(_, points)| points)
            .next();
        points.filter(|points| !points.is_empty()).cloned()
    };
    if runs.len() == 2 {
        let lines = names.iter().flat_map(|name| {
            let shared = points(0, name).is_some();
            let line = move |run: usize| {
                Some(Line {
                    name: format!("{} {name}", letter(run)),
                    points: points(run, name)?,
                    dashed: run > 0 && shared,
                })
            };
            (0..2).filter_map(line)
        });
        return vec![plot(y.into(), lines.collect())];
    }
    let picture = |name: &&String| {
        // A dashed line has the colour of the line before it.
        let full = runs.len().min(COLOURS.len());
        let order = (0..full).flat_map(|run| [run, run + COLOURS.len()]);
        let lines = order.filter(|run| *run < runs.len()).map(|run| {
            let points = points(run, name);
            let none = if points.is_none() { ": none" } else { "" };
            Line {
                name: format!("{}{none}", letter(run)),
                points: points.unwrap_or_default(),
                dashed: run >= COLOURS.len(),
            }
        });
        plot(format!("{name}: {y}"), lines.collect())
    };
    names.iter().map(picture).collect()
}

/// As SVG texts, as far as there is something to draw.
fn pictures(plots: &[Plot]) -> Result<Vec<String>> {
    let drawn = plots.iter().map(Plot::svg);
    Ok(drawn
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tests::report, DriveProperty};
    use lab::failure;

    fn args(runs: &[&Path], out: &Path) -> Args {
        Args {
            runs: runs.iter().map(|dir| dir.to_path_buf()).collect(),
            out: out.into(),
            json: false,
        }
    }

    /// Runs on drives of so many zones each, in directories a, b, ...
    fn runs(dir: &Path, zones: &[u32]) -> Vec<PathBuf> {
        let dirs = (b'a'..).map(|name| dir.join(char::from(name).to_string()));
        let written = dirs.zip(zones).map(|(dir, zones)| {
            let mut run = report();
            run.properties = vec![DriveProperty {
                name: "zones",
                value: zones.to_string(),
                explicit: true,
            }];
            run.write(&dir).unwrap();
            dir
        });
        written.collect()
    }

    #[test]
    fn two_runs_make_a_page_that_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, out) = (
            dir.path().join("a"),
            dir.path().join("b"),
            dir.path().join("c.html"),
        );
        report().write(&a).unwrap();
        let mut other = report();
        other.fio_text = other.fio_text.replace("402653184", "201326592");
        other.properties = vec![DriveProperty {
            name: "zones",
            value: "9".into(),
            explicit: true,
        }];
        other.write(&b).unwrap();
        run(&args(&[&a, &b], &out)).unwrap();
        let page = fs::read_to_string(out).unwrap();
        assert!(page.contains("-50.0 %"), "bandwidth halved");
        assert!(page.contains("<td>8</td><td>9</td>"), "zones differ");
        assert_eq!(page.matches("<svg").count(), 2);
        assert!(!page.contains("src=") && !page.contains("<link"));
    }

    #[test]
    fn a_run_is_the_same_as_itself() {
        let dir = tempfile::tempdir().unwrap();
        report().write(dir.path()).unwrap();
        let read = || Run::read(dir.path()).unwrap();
        let same = Comparison::new(&[read(), read(), read()]);
        assert!(same.counters.is_empty() && same.differences.is_empty());
        let changes = |figure: &Figure| [1, 2].map(|run| figure.change(run));
        assert!(!same.results.is_empty() && same.results.iter().all(|f| changes(f) == ["same"; 2]));
    }

    #[test]
    fn shares_differ_in_points_and_all_else_in_per_cent() {
        let change = |what: &str, a, b| {
            let figure = Figure {
                what: what.into(),
                values: vec![Some(a), Some(b)],
            };
            figure.change(1)
        };
        assert_eq!(change("L2P hit rate, %", 9.0, 81.8), "+72.8 points");
        assert_eq!(change("L2P hit rate, %", 0.0, 2.0), "+2.0 points");
        assert_eq!(change("fill write: MB/s", 9.0, 81.8), "+808.9 %");
    }

    #[test]
    fn a_direction_has_one_colour_on_every_page() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = runs(dir.path(), &[8, 8]);
        let csv = "time_ns,host_read_time_ns,host_write_time_ns,host_other_time_ns\n1000,0,0,0\n2000,4,4,4\n";
        dirs.iter()
            .for_each(|dir| fs::write(dir.join("series.csv"), csv).unwrap());
        let read: Vec<Run> = dirs.iter().map(|dir| Run::read(dir).unwrap()).collect();
        let names: Vec<_> = queue_depth(&read)[0]
            .lines
            .iter()
            .map(|line| line.name.clone())
            .collect();
        assert_eq!(names[..4], ["A read", "B read", "A write", "B write"]);
        let svg = queue_depth(&read)[0].svg().unwrap().unwrap();
        let [blue, orange] = ["#00548C", "#D55E00"].map(|colour| svg.find(colour).unwrap());
        assert!(blue < orange, "reads first: {svg}");
    }

    #[test]
    fn each_of_several_runs_is_compared_with_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = runs(dir.path(), &[8, 9, 8]);
        let mut slower = report();
        slower.fio_text = slower.fio_text.replace("402653184", "201326592");
        fs::write(dirs[1].join("fio.json"), &slower.fio_text).unwrap();
        // The third does something else instead of reading, and counts what the others do not.
        let renamed = slower.fio_text.replace("\"randread\"", "\"seqread\"");
        fs::write(dirs[2].join("fio.json"), renamed).unwrap();
        fs::write(dirs[2].join("stats.json"), r#"{"waf": 3, "gc_runs": 5}"#).unwrap();
        let read: Vec<Run> = dirs.iter().map(|dir| Run::read(dir).unwrap()).collect();
        let all = Comparison::new(&read);
        assert_eq!(
            all.columns(|_| "change".into()),
            ["A", "B", "change", "C", "change"]
        );
        let of = |name: &str| {
            let figures = all.results.iter().chain(&all.counters);
            figures.clone().find(|f| f.what == name).unwrap().texts()[1..].join(" ")
        };
        assert_eq!(
            of("fill write: MB/s"),
            "402.65 201.33 -50.0 % 201.33 -50.0 %"
        );
        assert_eq!(of("randread read: IOPS"), "16400 16400 same - -");
        assert_eq!(of("seqread read: IOPS"), "- - - 16400 -");
        assert_eq!(of("write amplification"), "1.50 1.50 same 3 +100.0 %");
        assert_eq!(of("gc_runs"), "- - - 5 -");
        assert_eq!(all.differences[0].text(), "8 (A, C) | 9 (B)");
        let json = all.json();
        let [a, c] = ["a", "c"].map(|run| json[run].as_str().unwrap());
        assert!(a.ends_with("/a") && c.ends_with("/c"));
        assert_eq!(json["differences"][0], json!(["zones", "8", "9", "8"]));
        let pair = json!({"what": "gc_runs", "a": null, "b": null, "c": 5.0});
        assert!(json["counters"].as_array().unwrap().contains(&pair));
    }

    #[test]
    fn several_runs_have_a_colour_each_and_a_picture_for_each_job() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = runs(dir.path(), &[8; 8]);
        let read: Vec<Run> = dirs.iter().map(|dir| Run::read(dir).unwrap()).collect();
        let lines = |plot: &Plot| {
            let lines = plot.lines.iter();
            let texts =
                lines.map(|line| format!("{}{}", line.name, if line.dashed { "'" } else { "" }));
            texts.collect::<Vec<_>>().join(" ")
        };
        let [fill, reads] = &latency(&read)[..] else {
            panic!("a picture a job");
        };
        assert!(fill.y.starts_with("fill write: ") && reads.y.starts_with("randread read: "));
        assert_eq!(lines(reads), "A G' B H' C D E F");
        assert_eq!(lines(&latency(&read[..3])[1]), "A B C");
        assert_eq!(bandwidth(&read).len(), 2, "reads and writes");
        assert_eq!(
            lines(&latency(&read[..2])[0]),
            "A randread read B randread read'"
        );
        // One that did nothing of it keeps its place.
        fs::write(dirs[1].join("series.csv"), "").unwrap();
        let read: Vec<Run> = dirs.iter().map(|dir| Run::read(dir).unwrap()).collect();
        assert_eq!(lines(&bandwidth(&read[..3])[0]), "A B: none C");
        // Neither job's writes nor a histogram of fill: three pictures.
        let out = dir.path().join("c.html");
        let places: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
        run(&args(&places, &out)).unwrap();
        let page = fs::read_to_string(out).unwrap();
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("<th scope=\"col\">H against A</th>"));
    }

    #[test]
    fn queue_depths_are_compared_but_of_drives_that_answer_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = runs(dir.path(), &[8, 8]);
        let csv = "time_ns,host_read_time_ns\n1000,0\n2000,4000\n";
        dirs.iter()
            .for_each(|dir| fs::write(dir.join("series.csv"), csv).unwrap());
        let names = || {
            let read = dirs.iter().map(|dir| Run::read(dir).unwrap());
            let plots = queue_depth(&read.collect::<Vec<_>>());
            let lines = plots.into_iter().flat_map(|plot| plot.lines);
            lines.map(|line| line.name).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["A read", "B read"]);
        let record = fs::read_to_string(dirs[1].join("run.json")).unwrap();
        let untimed = record
            .replace("\"zones\"", "\"timing\"")
            .replace("\"8\"", "\"off\"");
        assert_ne!(record, untimed);
        fs::write(dirs[1].join("run.json"), untimed).unwrap();
        assert_eq!(names(), ["A read"]);
    }

    #[test]
    fn an_experiment_is_compared_with_itself_on_another_drive() {
        let dir = tempfile::tempdir().unwrap();
        let study = |name: &str, drive: &str, bytes: u64| {
            let row = |x: f64, bytes| {
                json!({"series": "2 buffers", "x": x, "commands": 10, "errors": 0, "bytes": bytes,
                "duration_ns": 1_000_000, "mean_ns": 5, "p50_ns": 5, "p99_ns": 6, "max_ns": 7, "counters": {}})
            };
            let results = json!({"experiment": "zone-conflicts", "settings": {"engine": "model"},
                "cases": [{"series": "2 buffers", "drive": {"preset": drive, "set": ["zones=8"]}}],
                "rows": [row(1.0, 1_000_000), row(2.0, bytes)]});
            let place = dir.path().join(name);
            fs::create_dir(&place).unwrap();
            fs::write(place.join(study::FILE), results.to_string()).unwrap();
            place
        };
        let (a, b) = (
            study("a", "tlc-zoned", 1_000_000),
            study("b", "ufs4-tlc", 2_000_000),
        );
        let read = [&a, &b].map(|dir| Run::read(dir).unwrap());
        let both = Comparison::new(&read);
        assert_eq!(
            both.differences[0].text(),
            "tlc-zoned zones=8 -> ufs4-tlc zones=8"
        );
        let texts = both.results.iter().map(|figure| figure.texts().join(" | "));
        let texts: Vec<_> = texts.collect();
        assert_eq!(
            texts[0],
            "2 buffers, zones written at once 1: MB/s | 1000 | 1000 | same"
        );
        assert!(
            texts
                .iter()
                .any(|text| text.ends_with("2: MB/s | 1000 | 2000 | +100.0 %")),
            "{texts:?}"
        );
        let out = dir.path().join("c.html");
        run(&args(&[&a, &b], &out)).unwrap();
        assert!(fs::read_to_string(&out).unwrap().contains("<svg"));
        report().write(&dir.path().join("run")).unwrap();
        let mixed = run(&args(&[&a, &dir.path().join("run")], &out)).unwrap_err();
        assert!(mixed.is::<Prerequisite>() && mixed.to_string().contains("compare what is alike"));
    }

    #[test]
    fn more_runs_than_lines_can_be_told_apart_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = run(&args(&[dir.path(); 13], dir.path())).unwrap_err();
        assert_eq!(error.to_string(), "13 directories; at most 12");
    }

    #[test]
    fn directories_that_are_no_runs_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &Path| Run::read(path).unwrap_err();
        let missing = error(&dir.path().join("none"));
        assert!(missing.to_string().contains("none: no such directory"));
        assert!(missing.is::<failure::Prerequisite>());
        assert!(error(dir.path())
            .to_string()
            .contains("neither run.json nor"));
        report().write(dir.path()).unwrap();
        fs::write(dir.path().join("run.json"), r#"{"format": 99}"#).unwrap();
        assert!(error(dir.path()).to_string().contains("format 99"));
        fs::write(dir.path().join("run.json"), "{").unwrap();
        assert!(error(dir.path()).to_string().contains("run.json is broken"));
    }
}
