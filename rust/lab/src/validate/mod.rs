// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone validate`: the model against its sources.
//!
//! ```text
//! closed    closed forms of docs/model.md on an idle drive
//! family    those of the other drives (docs/family.md)
//! golden    the traces and figures below tests/golden
//! figures   mean, median and 99th percentile of each operation
//! hardware  points that real drives were measured at (tests/hardware), instead of all that
//! compare   ours beside theirs, and whether the deviation is inside the band
//! ```
//! Against `spec/` every completion is the same, and there are bands for what is not; against
//! `reference/` there are none (docs/validation.md says why). Exit status 1 if anything differs that
//! tests/golden/accepted.txt does not list, or if that lists what does not differ any more.

mod closed;
mod compare;
mod figures;
mod golden;
mod hardware;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use console::style;
use serde::Serialize;

use crate::drive::Base;
use crate::failure::Prerequisite;
use crate::out::say;
use crate::progress::Progress;
use crate::threads;
use closed::ClosedForm;
use compare::{Comparison, Deviation};
use golden::Source;

/// Compare the model with closed forms, reference traces and papers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Latencies are in us, as mean/median/99th percentile. Deviations are ours against theirs.

Example: cargo conzone validate --preset tlc-zoned --trace seqwrite --all")]
pub struct Args {
    #[command(flatten)]
    base: Base,
    /// Only traces whose name contains this
    #[arg(long, value_name = "TEXT")]
    trace: Option<String>,
    /// Only one side
    #[arg(long, value_enum)]
    against: Option<Source>,
    /// Print counters that agree, too
    #[arg(long)]
    all: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    /// Where the golden files are [default: tests/golden of the repository; without them closed forms only]
    #[arg(long, value_name = "DIR")]
    golden: Option<PathBuf>,
    /// Instead, against what real drives did; without DIR what the repository has in tests/hardware
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with_all = ["trace", "against", "golden"])]
    hardware: Option<Option<PathBuf>>,
    /// With --hardware: change a property of the presets
    #[arg(long, value_name = "KEY=VALUE", requires = "hardware")]
    set: Vec<String>,
}

/// The whole result.
#[derive(Debug, Serialize)]
struct Report {
    closed_forms: Vec<ClosedForm>,
    comparisons: Vec<Comparison>,
    /// Traces with a band, those of them that are outside, and those with accepted deviations.
    banded: usize,
    outside: usize,
    accepted: usize,
    /// Traces whose every completion is the other side's to the nanosecond.
    identical: usize,
}

/// Where the files of the repository are, which the user may not have.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The golden traces.
    pub golden: Option<PathBuf>,
    /// What real drives did.
    pub hardware: Option<PathBuf>,
}

/// Compares and prints; `files` are where the user does not say.
///
/// # Errors
/// A drive that cannot be built, files that cannot be read.
pub fn run(progress: Progress, args: &Args, files: Files) -> anyhow::Result<ExitCode> {
    if let Some(dir) = &args.hardware {
        let Some(dir) = dir.clone().or(files.hardware) else {
            let why = "--hardware needs DIR here: the repository's tests/hardware";
            return Err(Prerequisite(why.into()).into());
        };
        let options = hardware::Options {
            base: args.base.clone(),
            set: args.set.clone(),
            all: args.all,
            json: args.json,
        };
        return hardware::run(progress, &dir, &options);
    }
    let golden = args.golden.clone().or(files.golden);
    let report = report(progress, args, golden.as_deref())?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report, args.all)?;
        if golden.is_none() {
            say!("no golden traces here: the repository has them in tests/golden; --golden DIR compares with them")?;
        }
    }
    let forms_hold = report.closed_forms.iter().all(|form| form.inside);
    Ok(if forms_hold && report.outside == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn report(progress: Progress, args: &Args, golden: Option<&Path>) -> anyhow::Result<Report> {
    let base = &args.base;
    let wanted = |preset: &str| !base.is_given() || base.preset_in_effect() == preset;
    let closed_alone = args.trace.is_none() && args.against.is_none();
    if let (Some(file), true) = (&base.file, args.golden.is_some() || !closed_alone) {
        let why = format!("--drive {}: golden traces are of presets", file.path());
        return Err(Prerequisite(why).into());
    }
    let mut cases = match golden {
        Some(_) if base.file.is_some() => Vec::new(),
        Some(root) => golden::find(root)?,
        None if closed_alone => Vec::new(),
        None => {
            let why = "--trace and --against need the golden traces: give --golden, the repository's tests/golden";
            return Err(Prerequisite(why.into()).into());
        }
    };
    let named = |case: &golden::Case| args.trace.as_ref().is_none_or(|t| case.name.contains(t));
    if !cases.is_empty() && !cases.iter().any(named) {
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        let names = Vec::from_iter(names).join(", ");
        let asked = args.trace.as_deref().unwrap_or_default();
        let why = format!("--trace {asked}: no trace's name contains it; there are {names}");
        return Err(Prerequisite(why).into());
    }
    cases.retain(|case| {
        wanted(&case.preset) && named(case) && args.against.is_none_or(|s| s == case.source)
    });
    let closed_forms = match closed_alone {
        true if base.file.is_some() => closed::forms(base)?,
        true => closed::check(&wanted)?,
        false => Vec::new(),
    };
    let bar = progress.bar("traces", cases.len() as u64);
    let compare = |case: &golden::Case| {
        let result = compare::compare(case)
            .with_context(|| format!("{} {} {}", case.source.name(), case.preset, case.name));
        bar.inc(1);
        result
    };
    let comparisons = threads::each(threads::all(), &cases, compare);
    bar.finish_and_clear();
    let comparisons = comparisons?;
    let count = |f: fn(&Comparison) -> bool| comparisons.iter().filter(|c| f(c)).count();
    Ok(Report {
        closed_forms,
        banded: count(|c| c.inside.is_some()),
        outside: count(|c| c.inside == Some(false)),
        accepted: count(|c| c.excused),
        identical: count(|c| c.identical == Some(c.commands)),
        comparisons,
    })
}

fn print(report: &Report, all: bool) -> anyhow::Result<()> {
    if !report.closed_forms.is_empty() {
        say!("{}", style("Closed forms (ns)").bold())?;
    }
    for form in &report.closed_forms {
        say!(
            "{:<20} {:<42} {:>10} expected {:>10} {} {}",
            form.preset,
            form.what,
            form.measured,
            form.expected,
            percent(form.deviation),
            verdict(Some(form.inside))
        )?;
    }
    let mut section = String::new();
    for comparison in &report.comparisons {
        let title = format!("{}/{}", comparison.source.name(), comparison.preset);
        if title != section {
            say!("\n{}", style(&title).bold())?;
            section = title;
        }
        print_comparison(comparison, all)?;
    }
    say!(
        "\n{} traces have bands: {} inside, {} with accepted deviations, {} outside; {} are identical to the nanosecond",
        report.banded,
        report.banded - report.outside - report.accepted,
        report.accepted,
        report.outside,
        report.identical
    )
}

fn print_comparison(c: &Comparison, all: bool) -> anyhow::Result<()> {
    let identical = c.identical.map_or_else(String::new, |n| {
        format!("{n} of {} completions identical", c.commands)
    });
    let verdict = row_verdict(c.inside, c.lines.as_deref());
    say!("{} {identical} {verdict}", c.name)?;
    if let Some((number, ours, theirs)) = &c.first_difference {
        say!("  first at command {number}: ours '{ours}' theirs '{theirs}'")?;
    }
    for row in &c.latencies {
        say!(
            "  {:<24} ours {:<34} theirs {:<34} mean {} p99 {} {}",
            row.what,
            row.ours.to_string(),
            row.theirs.to_string(),
            percent(row.mean),
            percent(row.p99),
            row_verdict(row.inside, row.accepted.as_deref())
        )?;
    }
    for row in &c.counters {
        if all || row.ours != row.theirs {
            say!(
                "  {:<24} ours {:<34} theirs {:<34}      {} {}",
                row.what,
                row.ours,
                row.theirs,
                percent(row.deviation),
                row_verdict(row.inside, row.accepted.as_deref())
            )?;
        }
    }
    for what in &c.stale {
        let stale = style("STALE").red().bold();
        say!("  {what:<24} {stale}: accepted, but it is not needed")?;
    }
    Ok(())
}

fn row_verdict(inside: Option<bool>, accepted: Option<&str>) -> String {
    match accepted {
        Some(why) => format!("{}: {why}", style("accepted").yellow()),
        None => verdict(inside),
    }
}

fn percent(deviation: Deviation) -> String {
    match deviation.0 {
        Some(d) => format!("{:+8.2} %", d * 100.0),
        None => "  infinite".to_string(),
    }
}

fn verdict(inside: Option<bool>) -> String {
    match inside {
        None => String::new(),
        Some(true) => style("inside").green().to_string(),
        Some(false) => style("OUTSIDE").red().bold().to_string(),
    }
}
