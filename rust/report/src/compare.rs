// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone compare`: two runs beside each other, as tables and overlaid pictures on one page.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use askama::Template;
use ftl::Counter;
use lab::plot::{Axis, Line, Plot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{charts::steps, fio, series::Series, summary::Summary, FORMAT};
use lab::failure::Prerequisite;
use lab::out::say;
use lab::table;

/// Points of a line of the latency picture: a tail needs no more.
const POINTS: usize = 400;

/// `cargo conzone compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo conzone run --out before
  cargo conzone run --out after --set write-buffers=3
  cargo conzone compare before after")]
pub struct Args {
    /// Directory of the first run (`run --out`)
    #[arg(value_name = "DIR_A")]
    a: PathBuf,
    /// Directory of the second run
    #[arg(value_name = "DIR_B")]
    b: PathBuf,
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
        let text = fs::read_to_string(path("run.json")).map_err(|_| {
            Prerequisite(format!(
                "{name}: no run.json in it: it is no directory of `cargo conzone run`, or of one before comparisons; run again"
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
            series: Series::parse(&optional("series.csv")).with_context(|| broken("series.csv"))?,
            name,
        })
    }
}

/// A figure of both runs. Either may be missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Pair {
    what: String,
    a: Option<f64>,
    b: Option<f64>,
}

impl Pair {
    fn texts(&self) -> [String; 4] {
        let show = |x: Option<f64>| x.map_or_else(|| "-".into(), number);
        [self.what.clone(), show(self.a), show(self.b), self.change()]
    }

    /// b against a.
    fn change(&self) -> String {
        match (self.a, self.b) {
            (Some(a), Some(b)) if (a - b).abs() <= a.abs() * 5e-5 => "same".into(),
            (Some(a), Some(b)) if a.abs() > 0.0 => format!("{:+.1} %", (b / a - 1.0) * 100.0),
            _ => "-".into(),
        }
    }
}

fn number(x: f64) -> String {
    if x.fract() == 0.0 || x.abs() >= 1000.0 {
        format!("{x:.0}")
    } else {
        format!("{x:.2}")
    }
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct Comparison {
    a: String,
    b: String,
    results: Vec<Pair>,
    counters: Vec<Pair>,
    /// Properties and settings that differ: name, A's, B's.
    differences: Vec<(String, String, String)>,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Page<'a> {
    title: String,
    a: &'a Run,
    b: &'a Run,
    results: Vec<[String; 4]>,
    counters: Vec<[String; 4]>,
    differences: &'a [(String, String, String)],
    latency: Option<String>,
    bandwidth: Option<String>,
}

/// Compares and writes the page.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (a, b) = (Run::read(&args.a)?, Run::read(&args.b)?);
    let comparison = compare(&a, &b);
    let page = Page {
        title: format!("{} against {}", b.name, a.name),
        results: comparison.results.iter().map(Pair::texts).collect(),
        counters: comparison.counters.iter().map(Pair::texts).collect(),
        differences: &comparison.differences,
        latency: latency(&a, &b).svg()?,
        bandwidth: bandwidth(&a, &b).svg()?,
        a: &a,
        b: &b,
    };
    let text = page.render().context("rendering the page")?;
    let refused = |error| Prerequisite(format!("--out {}: {error}", args.out.display()));
    fs::write(&args.out, text).map_err(refused)?;
    if args.json {
        say!("{:#}", serde_json::to_value(&comparison)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("A: {} ({})\nB: {} ({})", a.name, a.title, b.name, b.title)?;
    for (name, of_a, of_b) in &comparison.differences {
        say!("{name}: {of_a} -> {of_b}")?;
    }
    let rows = comparison
        .results
        .iter()
        .chain(&comparison.counters)
        .map(Pair::texts);
    say!(
        "{}",
        table::figures(["figure", "A", "B", "change"], 1, rows)
    )?;
    say!("page: {}", args.out.display())?;
    Ok(ExitCode::SUCCESS)
}

fn compare(a: &Run, b: &Run) -> Comparison {
    let mut differences = differing(&a.properties, &b.properties);
    differences.extend(differing(&a.settings, &b.settings));
    Comparison {
        a: a.name.clone(),
        b: b.name.clone(),
        results: pairs(&results(a), &results(b)),
        counters: pairs(&counters(a), &counters(b))
            .into_iter()
            .filter(|pair| pair.a != pair.b)
            .collect(),
        differences,
    }
}

type Figures = Vec<(String, f64)>;

/// A run's own figures in the order they are shown.
fn results(run: &Run) -> Figures {
    let summary = Summary::new(&run.fio, run.stats.as_ref());
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

/// Figures of the same name together, in A's order, then those that only B has.
fn pairs(a: &Figures, b: &Figures) -> Vec<Pair> {
    let of = |figures: &Figures, name: &str| {
        figures
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| *value)
    };
    let only_b = b.iter().filter(|(name, _)| of(a, name).is_none());
    let names = a.iter().chain(only_b).map(|(name, _)| name);
    names
        .map(|name| Pair {
            what: name.clone(),
            a: of(a, name),
            b: of(b, name),
        })
        .collect()
}

fn differing(a: &[(String, String)], b: &[(String, String)]) -> Vec<(String, String, String)> {
    let map =
        |list: &[(String, String)]| -> BTreeMap<String, String> { list.iter().cloned().collect() };
    let (of_a, of_b) = (map(a), map(b));
    let names = a
        .iter()
        .chain(b.iter().filter(|(name, _)| !of_a.contains_key(name)));
    let value = |of: &BTreeMap<String, String>, name: &str| {
        of.get(name).cloned().unwrap_or_else(|| "-".into())
    };
    names
        .map(|(name, _)| (name.clone(), value(&of_a, name), value(&of_b, name)))
        .filter(|(_, of_a, of_b)| of_a != of_b)
        .collect()
}

/// The cumulative distributions: A's lines, B's in the same colours and dashed.
fn latency(a: &Run, b: &Run) -> Plot {
    let lines = |run: &Run| -> BTreeMap<String, Vec<(f64, f64)>> {
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
        Axis::Doubling,
        &lines(a),
        &lines(b),
    )
}

/// What the host moved over the drive's time, from each run's first command on.
fn bandwidth(a: &Run, b: &Run) -> Plot {
    let lines = |run: &Run| -> BTreeMap<String, Vec<(f64, f64)>> {
        [
            ("read", Counter::HostReadSectors),
            ("write", Counter::HostWriteSectors),
        ]
        .map(|(name, counter)| {
            let mut points = run.series.bandwidth(counter);
            let begin = points.first().map_or(0.0, |(at, _)| *at);
            points.iter_mut().for_each(|(at, _)| *at -= begin);
            (name.to_owned(), points)
        })
        .into()
    };
    overlaid(
        "model time from the first command on, s",
        "bandwidth, MB/s",
        Axis::Linear,
        &lines(a),
        &lines(b),
    )
}

fn overlaid(
    x: &str,
    y: &str,
    axis: Axis,
    a: &BTreeMap<String, Vec<(f64, f64)>>,
    b: &BTreeMap<String, Vec<(f64, f64)>>,
) -> Plot {
    let mut lines = Vec::new();
    let names = a
        .keys()
        .chain(b.keys().filter(|name| !a.contains_key(*name)));
    for name in names {
        let sides = [("A", a, false), ("B", b, a.contains_key(name))];
        for (side, of, dashed) in sides {
            if let Some(points) = of.get(name).filter(|points| !points.is_empty()) {
                lines.push(Line {
                    name: format!("{side} {name}"),
                    points: points.clone(),
                    dashed,
                });
            }
        }
    }
    Plot {
        x: x.into(),
        y: y.into(),
        axis,
        lines,
        dots: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tests::report, DriveProperty};
    use lab::failure;

    fn args(a: &Path, b: &Path, out: &Path) -> Args {
        Args {
            a: a.into(),
            b: b.into(),
            out: out.into(),
            json: false,
        }
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
        run(&args(&a, &b, &out)).unwrap();
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
        let same = compare(&read(), &read());
        assert!(same.counters.is_empty() && same.differences.is_empty());
        assert!(
            !same.results.is_empty() && same.results.iter().all(|pair| pair.change() == "same")
        );
    }

    #[test]
    fn directories_that_are_no_runs_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &Path| Run::read(path).unwrap_err();
        let missing = error(&dir.path().join("none"));
        assert!(missing.to_string().contains("none: no such directory"));
        assert!(missing.is::<failure::Prerequisite>());
        assert!(error(dir.path()).to_string().contains("no run.json"));
        report().write(dir.path()).unwrap();
        fs::write(dir.path().join("run.json"), r#"{"format": 99}"#).unwrap();
        assert!(error(dir.path()).to_string().contains("format 99"));
        fs::write(dir.path().join("run.json"), "{").unwrap();
        assert!(error(dir.path()).to_string().contains("run.json is broken"));
    }
}
