// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone sim`: the flash model alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{anyhow, Context as _};
use ftl::Counter;
use indicatif::ProgressBar;
use nvme_spec::Status;
use serde_json::{json, Map, Value};
use sim::{Input, InputError, Latencies, Latency, Simulation};
use trace::{Answer, Op, Output};

use crate::drive::{sample, Aged, Drive};
use crate::failure::Prerequisite;
use crate::input::{self, TraceArgs};
use crate::out::{self, say};
use crate::progress::Progress;
use crate::stats::{count, figure};

/// Run a trace through the flash model alone, in virtual time
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Traces of block devices are recognised: fio's iolog, blkparse, block_rq_issue of ftrace and perf, MSR
Cambridge, Alibaba, Tencent, MobileBlockIOTraces; --columns names those of any CSV file. Zoned drives
need --place log for most of them. docs/traces.md has more.

Our own: one command a line, `arrival_ns ns op slba nlb fua`; ns 0 = meta, 1 = data; op R W A F RST
FIN OPN CLS TRIM WZ, and what docs/traces.md adds; slba and nlb in 512-byte sectors; `Q depth` closes
the loop, `I ns` idles, `power-cut ns` takes power away, `#` starts a comment. Files that end in .gz are compressed; - is standard input or output.

Example: cargo conzone sim --preset ufs4-tlc --trace in.trace.gz --out out.gz --stats stats.json")]
pub struct Args {
    #[command(flatten)]
    drive: Drive,
    #[command(flatten)]
    aged: Aged,
    #[command(flatten)]
    input: TraceArgs,
    /// Where to write one line a command, with its completion and status
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to write the statistics as JSON
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// Where to write the counters over time as CSV; --set sample-interval-ns= chooses the first distance of samples
    #[arg(long, value_name = "FILE")]
    series: Option<PathBuf>,
    /// Print the statistics as JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the trace.
///
/// # Errors
/// A drive or a trace that is none, files that cannot be read or written.
pub fn run(progress: Progress, args: &Args) -> anyhow::Result<ExitCode> {
    let mut config = args.drive.config()?;
    if args.series.is_some() {
        sample(&mut config)?;
    }
    let drive = Drive {
        age: args.aged.age,
        ..args.drive.clone()
    };
    let mut simulation = drive.simulation(&config)?;
    let outputs = [
        ("--out", args.out.as_deref()),
        ("--stats", args.stats.as_deref()),
        ("--series", args.series.as_deref()),
    ];
    for (at, (option, path)) in outputs.iter().enumerate() {
        args.input.check_output(option, *path)?;
        let mut before = outputs.iter().take(at);
        if let (Some(path), Some((other, _))) = (path, before.find(|(_, other)| other == path)) {
            let why = format!("{other} and {option} are both {}", path.display());
            return Err(Prerequisite(why).into());
        }
    }
    // One thing at a time goes to standard output.
    let printed = outputs
        .iter()
        .find(|(_, path)| *path == Some(Path::new("-")));
    if let (Some((option, _)), true) = (printed, args.json) {
        let why = format!("{option} - and --json both go to standard output: give one a file");
        return Err(Prerequisite(why).into());
    }
    let bar = bar(progress, &args.input.trace);
    let wrapped = bar.clone();
    let mut input = args
        .input
        .open(&simulation, &config, move |raw| wrapped.wrap_read(raw))?;
    // Before the run: a place that cannot be written would be noticed when the figures are lost.
    let mut out = Place::open("--out", args.out.as_deref())?;
    let mut stats_file = Place::open("--stats", args.stats.as_deref())?;
    let mut series_file = Place::open("--series", args.series.as_deref())?;
    let mut seen = Seen::default();
    replay(&mut simulation, &mut input, &mut out, &mut seen)?;
    bar.finish_and_clear();
    let stats = figures(&simulation, &input, &seen)?;
    out.finish(|_| Ok(()))?;
    stats_file.finish(|file| {
        serde_json::to_writer_pretty(&mut *file, &stats)?;
        Ok(writeln!(file)?)
    })?;
    series_file.finish(|file| Ok(file.write_all(simulation.series_csv().as_bytes())?))?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&stats)?)?;
    } else if printed.is_none() {
        out::text(table(simulation.latencies(), input.recorded(), &stats))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An output that was asked for, or none.
struct Place {
    name: String,
    file: Option<Output>,
}

impl Place {
    fn open(option: &str, path: Option<&Path>) -> anyhow::Result<Self> {
        let name = path.map_or_else(String::new, |path| format!("{option} {}", path.display()));
        let refused = |error| Prerequisite(format!("{name}: {error}"));
        let file = path.map(trace::create).transpose().map_err(refused)?;
        Ok(Self { name, file })
    }

    fn write(&mut self, answer: &Answer) -> anyhow::Result<()> {
        match &mut self.file {
            Some(file) => answer.write(file).with_context(|| self.name.clone()),
            None => Ok(()),
        }
    }

    /// Writes the last of it.
    fn finish(
        &mut self,
        last: impl FnOnce(&mut Output) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        last(&mut file)
            .and_then(|()| Ok(file.finish()?))
            .with_context(|| self.name.clone())
    }
}

/// What the answers add up to, beside their latencies.
#[derive(Default)]
pub(crate) struct Seen {
    first: Option<u64>,
    last: u64,
    /// Moved by commands that succeeded.
    pub(crate) bytes: u64,
    /// Those that succeeded.
    pub(crate) commands: u64,
    refused: BTreeMap<u16, u64>,
}

impl Seen {
    pub(crate) fn add(&mut self, answer: &Answer) {
        self.first.get_or_insert(answer.command.arrival.as_nanos());
        self.last = self.last.max(answer.completion.as_nanos());
        if answer.status != 0 {
            *self.refused.entry(answer.status).or_default() += 1;
            return;
        }
        self.commands += 1;
        if matches!(answer.command.op, Op::Read | Op::Write | Op::Append) {
            self.bytes += u64::from(answer.command.nlb) * units::SECTOR_BYTES;
        }
    }

    /// From the first arrival to the last completion, ns.
    fn elapsed(&self) -> u64 {
        self.last.saturating_sub(self.first.unwrap_or(0))
    }

    fn per_second(&self, n: u64) -> f64 {
        n as f64 * 1e9 / self.elapsed().max(1) as f64
    }

    fn figures(&self) -> Map<String, Value> {
        let by_name = self.refused.iter();
        let by_name: Map<String, Value> = by_name
            .map(|(status, n)| (status_name(*status), (*n).into()))
            .collect();
        let figures = json!({
            "elapsed_ns": self.elapsed(),
            "iops": self.per_second(self.commands),
            "bytes_per_second": self.per_second(self.bytes),
            "errors_by_status": by_name,
        });
        match figures {
            Value::Object(figures) => figures,
            _ => Map::new(),
        }
    }
}

/// A status as the specification calls it, such as `Zone Invalid Write`; its number if it is unknown.
fn status_name(status: u16) -> String {
    let Some(known) = Status::from_wire(status) else {
        return format!("{status:#x}");
    };
    let variant = format!("{known:?}");
    let starts: Vec<usize> = variant
        .match_indices(char::is_uppercase)
        .map(|(at, _)| at)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([variant.len()]);
    let words = starts.iter().zip(ends);
    let words = words.map(
        |(&start, end)| match variant.get(start..end).unwrap_or_default() {
            short @ ("Lba" | "Prp" | "Sgl" | "Zrwa") => short.to_uppercase(),
            small @ ("Of" | "Or" | "In") => small.to_lowercase(),
            word => word.to_owned(),
        },
    );
    Vec::from_iter(words).join(" ")
}

fn replay(
    simulation: &mut Simulation,
    input: &mut Input,
    out: &mut Place,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    while let Some(answer) =
        next_answer(simulation, input).map_err(|error| anyhow!("--trace {error}"))?
    {
        seen.add(&answer);
        out.write(&answer)?;
    }
    Ok(())
}

/// The answer to the trace's next command; `None` at its end.
pub(crate) fn next_answer(
    simulation: &mut Simulation,
    input: &mut Input,
) -> Result<Option<Answer>, InputError> {
    while let Some(line) = input.next_line()? {
        if let Some(answer) = simulation.answer(&line) {
            input.check(&answer)?;
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// All that a trace's run has to show.
pub(crate) fn figures(
    simulation: &Simulation,
    input: &Input,
    seen: &Seen,
) -> anyhow::Result<Value> {
    let mut stats = statistics(simulation)?;
    if let Some(stats) = stats.as_object_mut() {
        stats.extend(input::figures(input));
        stats.extend(seen.figures());
        if !input.recorded().is_empty() {
            stats.insert("recorded".into(), by_op(input.recorded()));
        }
    }
    Ok(stats)
}

/// Progress in bytes of the file; none for standard input.
fn bar(progress: Progress, path: &Path) -> ProgressBar {
    match path.metadata() {
        Ok(meta) if meta.is_file() => progress.file("reading the trace", meta.len()),
        _ => progress.spinner("reading the trace"),
    }
}

/// The model's statistics and the latencies of the commands, as JSON.
pub fn statistics(simulation: &Simulation) -> anyhow::Result<Value> {
    let text = simulation.stats_json();
    let mut stats: Map<String, Value> = serde_json::from_str(&text)?;
    let latencies = simulation.latencies();
    stats.insert("latency".into(), by_op(latencies));
    stats.insert("errors".into(), latencies.errors().into());
    let power = simulation.power_cuts();
    if power.cuts > 0 {
        let figures = json!({
            "cuts": power.cuts, "pages_lost": power.lost, "pages_gone": power.gone,
            "recovery_ns": power.recovery.get(),
        });
        stats.insert("power_cuts".into(), figures);
    }
    stats.insert("end_ns".into(), simulation.now().as_nanos().into());
    Ok(Value::Object(stats))
}

fn by_op(latencies: &Latencies) -> Value {
    let latencies = latencies.iter();
    let latencies: Map<String, Value> = latencies
        .map(|(op, l)| {
            let figures = json!({
                "count": l.count(), "mean_ns": l.mean(), "min_ns": l.min(),
                "p50_ns": l.percentile(500), "p90_ns": l.percentile(900),
                "p99_ns": l.percentile(990), "p999_ns": l.percentile(999), "max_ns": l.max(),
            });
            (op.code().to_string(), figures)
        })
        .collect();
    Value::Object(latencies)
}

/// A line for each operation.
fn rows(latencies: &Latencies) -> String {
    let row = |(op, l): (Op, &Latency)| {
        format!(
            "{:<5}{:>12}{:>12}{:>12}{:>12}{:>12}\n",
            op.code(),
            l.count(),
            micros(l.mean()),
            micros(l.percentile(500)),
            micros(l.percentile(990)),
            micros(l.max())
        )
    };
    latencies.iter().map(row).collect()
}

/// What a person wants to see.
fn table(latencies: &Latencies, recorded: &Latencies, stats: &Value) -> String {
    let mut text = format!(
        "{:<5}{:>12}{:>12}{:>12}{:>12}{:>12}   us\n",
        "op", "commands", "mean", "p50", "p99", "max"
    );
    text += &rows(latencies);
    if !recorded.is_empty() {
        text += "and where the trace is from\n";
        text += &rows(recorded);
    }
    let ratio =
        |name| figure(stats, name).map_or_else(|| "-".into(), |value| format!("{value:.3}"));
    let [hits, misses] = [Counter::L2pHits, Counter::L2pMisses].map(|c| count(stats, c));
    text += &format!(
        "errors {}, write amplification {}, read amplification {} (with map reads {}), L2P hit rate {}\n",
        latencies.errors(),
        ratio("waf"),
        ratio("raf"),
        ratio("raf_with_map"),
        rate(hits, hits + misses)
    );
    let [hits, misses, corrupt] = [Counter::HmbHits, Counter::HmbMisses, Counter::HmbCorrupt]
        .map(|counter| count(stats, counter));
    if hits + misses > 0 {
        text += &format!(
            "host memory buffer: hit rate {}, {corrupt} lookups found other bytes\n",
            rate(hits, hits + misses)
        );
    }
    if let Some(power) = stats.get("power_cuts") {
        let number = |key: &str| power.get(key).and_then(Value::as_u64).unwrap_or(0);
        text += &format!(
            "power cuts {}: {} pages lost their newest data, {} of them all; {} us until ready\n",
            number("cuts"),
            number("pages_lost"),
            number("pages_gone"),
            micros(number("recovery_ns"))
        );
    }
    let speed = |name| figure(stats, name).unwrap_or(0.0);
    text += &format!(
        "{:.6} s, {:.0} commands/s, {:.1} MB/s\n",
        speed("elapsed_ns") / 1e9,
        speed("iops"),
        speed("bytes_per_second") / 1e6
    );
    for (name, n) in stats["errors_by_status"].as_object().into_iter().flatten() {
        text += &format!("{n} times {name}\n");
    }
    if let Some(log) = stats.get("log") {
        text += &placement(log);
    }
    if let Some(seen) = stats.get("trace") {
        text += &format!(
            "trace: {} requests, {} duplicates, {} out of order\n",
            seen["requests"], seen["duplicates"], seen["out_of_order"]
        );
    }
    text
}

/// What the placement on zones did.
fn placement(log: &Value) -> String {
    let own = log["write_amplification"].as_f64();
    format!(
        "log: {} pages written, {} moved, {} padded (write amplification of its own {}), {} zones reset, at most {} open; {} of {} pages read were never written\n",
        log["pages_written"],
        log["pages_moved"],
        log["pages_padded"],
        own.map_or_else(|| "-".into(), |own| format!("{own:.3}")),
        log["zone_resets"],
        log["most_open_zones"],
        log["pages_unwritten"],
        log["pages_unwritten"].as_u64().unwrap_or(0) + log["pages_read"].as_u64().unwrap_or(0),
    )
}

fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

fn rate(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".into();
    }
    let per_mille = part.saturating_mul(1000) / whole;
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_printed_in_micros_and_per_cent() {
        assert_eq!(micros(64_050), "64.050");
        assert_eq!(rate(0, 0), "-");
        assert_eq!(rate(2, 3), "66.6 %");
    }

    #[test]
    fn statuses_have_the_names_of_the_specification() {
        assert_eq!(status_name(0x1bc), "Zone Invalid Write");
        assert_eq!(status_name(0x080), "LBA Out of Range");
        assert_eq!(status_name(0x081), "Capacity Exceeded");
        assert_eq!(status_name(0x7ff), "0x7ff");
    }
}
