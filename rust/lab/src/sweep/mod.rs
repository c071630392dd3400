// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone sweep`: many points of one plan, on this machine's cores or on many machines.
//!
//! ```text
//! section   a plan's tables, and what is wrong with them     work    traces and workloads
//! sample    points spread over ranges                        point   runs one point
//! plan      drives x properties x work: numbered points      table   all results, as CSV; parquet writes them so
//!                                                            figure  pictures of them
//! ```
//! [`crate::runner`] runs them.

mod figure;
mod parquet;
mod plan;
mod point;
mod sample;
mod section;
mod table;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use serde_json::{json, Value};

use self::plan::{Plan, Point};
use self::point::Outcome;
use self::table::Table;
pub use self::table::Values;
use self::work::Engine;
use crate::drive::Drive;
use crate::experiment::{prepare, Guest};
use crate::failure::Prerequisite;
use crate::out::say;
use crate::page::Page;
use crate::progress::Progress;
use crate::provenance::{Program, Setting};
use crate::runner::{self, shard, Points, Ran, Runner, Workers};
use crate::store;

/// Points of a plan: their results are a file each.
const MOST_POINTS: u64 = 1 << 20;
/// A dry run times so many points, as long as that takes no longer than this.
const TIMED: u64 = 20;
const TIMING: Duration = Duration::from_secs(30);
/// What a share should take: a job's start costs a second or two.
const SHARE: f64 = 60.0;
/// More reasons than that are not listed.
const REASONS: usize = 10;

/// Run the model at many points: presets, properties, traces and workloads of a plan
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A plan is a TOML file; docs/sweep.md has a walk and all keys. A smallest one:

  presets = [\"tlc-zoned\", \"ufs4-tlc\"]
  [grid]
  write-buffers = [2, 3, 6]
  [[trace]]
  file = \"app.csv.gz\"
  place = \"log\"

Each point's result is kept below the output directory: what was stopped goes on there.

Examples:
  cargo conzone sweep run plan.toml --dry-run
  cargo conzone sweep run plan.toml
  cargo conzone sweep run plan.toml --guest
  cargo conzone sweep run plan.toml --shard 3/64 --threads 1
  cargo conzone sweep missing plan.toml --shards 64
  cargo conzone sweep collect plan.toml")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the points that have no result yet
    Run(Run),
    /// Say what points there are
    List(List),
    /// Say which points have no result yet, as numbers for a job array
    Missing(Missing),
    /// Put all results into one table, results.csv and results.parquet, and draw the plan's figures
    Collect(Collect),
}

/// A plan, and where its results are.
#[derive(Debug, clap::Args)]
struct Place {
    #[command(flatten)]
    plan: Chosen,
    /// Where the results are [default: conzone-out/sweep/NAME, of NAME.toml, or NAME-guest]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A plan, and what runs it.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// The plan
    plan: PathBuf,
    /// With fio under Linux in place of the model: workloads, a boot a point; traces are left out
    #[arg(long)]
    guest: bool,
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    workers: Workers,
    /// Run next to nothing: say what points there are, which are refused, and how long they would take
    #[arg(long, conflicts_with = "shard")]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    plan: Chosen,
    /// Print the points as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Missing {
    #[command(flatten)]
    place: Place,
    /// Print the shares of so many that are not complete, instead of points
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    shards: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Collect {
    #[command(flatten)]
    place: Place,
    /// Also where points are missing
    #[arg(long)]
    partial: bool,
}

/// Does what was asked for; in `guest` what needs one.
///
/// # Errors
/// A plan that is none, a trace that cannot be read, a guest that fails, files that cannot be written.
pub fn run(
    progress: Progress,
    program: &Program,
    args: &Args,
    guest: Option<&dyn Guest>,
) -> Result<ExitCode> {
    let site = Site { program, guest };
    match &args.command {
        Command::Run(args) if args.dry_run => dry_run(&args.place.plan.read()?)?,
        Command::Run(args) => run_points(progress, args, site)?,
        Command::List(args) => list(&args.plan.read()?, args.json)?,
        Command::Missing(args) => missing(args, site)?,
        Command::Collect(args) => {
            let plan = args.place.plan.read()?;
            let out = args.place.out()?;
            let runner = args.place.runner(&Workers::default(), site)?;
            collect(&plan, &runner, &out, args.partial, program)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Who runs points, and where.
#[derive(Clone, Copy)]
struct Site<'a> {
    program: &'a Program,
    guest: Option<&'a dyn Guest>,
}

impl Chosen {
    fn read(&self) -> Result<Plan> {
        Plan::read(
            &self.plan,
            if self.guest {
                Engine::Guest
            } else {
                Engine::Model
            },
        )
    }

    /// The guest, if it is asked for.
    fn guest<'a>(&self, site: Site<'a>) -> Result<Option<&'a dyn Guest>> {
        if self.guest && site.guest.is_none() {
            let why = "--guest needs the guest, which the conzone repository has";
            return Err(Prerequisite(why.into()).into());
        }
        Ok(site.guest.filter(|_| self.guest))
    }
}

impl Place {
    fn out(&self) -> Result<PathBuf> {
        if let Some(out) = &self.out {
            return Ok(out.clone());
        }
        let name = self
            .plan
            .plan
            .file_stem()
            .context("a plan without a name")?;
        let mut name = name.to_owned();
        if self.plan.guest {
            name.push("-guest");
        }
        Ok(Path::new("conzone-out/sweep").join(name))
    }

    fn runner(&self, workers: &Workers, site: Site<'_>) -> Result<Runner> {
        let guest = self.plan.guest(site)?;
        let (programs, workers) = prepare(site.program, guest, *workers)?;
        Runner::open(&self.out()?, &programs, &workers)
    }
}

/// A plan, and what runs it.
struct Running<'a> {
    plan: &'a Plan,
    guest: Option<&'a dyn Guest>,
}

impl Points for Running<'_> {
    type Outcome = Outcome;

    fn count(&self) -> u64 {
        self.plan.points()
    }

    fn key(&self, number: u64) -> Value {
        let point = self.plan.point(number);
        point.map_or(Value::Null, |point| point.key())
    }

    fn run(&self, number: u64) -> Result<Outcome> {
        let point = self.plan.point(number).context("no such point")?;
        point::run(&point, self.guest).with_context(|| self.plan.file().to_owned())
    }
}

impl Plan {
    /// As points of the model, or as what has results.
    fn on_model(&self) -> Running<'_> {
        let guest = None;
        Running { plan: self, guest }
    }
}

fn run_points(progress: Progress, args: &Run, site: Site<'_>) -> Result<()> {
    let plan = args.place.plan.read()?;
    let out = args.place.out()?;
    store::directory("--out", &out)?;
    let runner = args.place.runner(&args.workers, site)?;
    let guest = args.place.plan.guest(site)?;
    let running = Running { plan: &plan, guest };
    let Ran { points, known } = runner.run(progress, "points", &running)?;
    let share = if runner.is_whole() {
        ""
    } else {
        " of this share"
    };
    say!("{points} points{share}, {known} of them known from before")?;
    if runner.is_whole() {
        collect(&plan, &runner, &out, false, site.program)?;
    }
    Ok(())
}

/// Runs a share of a plan, for a program that has workers of its own; `programs` are what computes.
///
/// # Errors
/// As for [`run`].
pub fn run_share(plan: &Path, out: &Path, programs: &[PathBuf], workers: &Workers) -> Result<Ran> {
    let plan = Plan::read(plan, Engine::Model)?;
    store::directory("out", out)?;
    let runner = Runner::open(out, programs, workers)?;
    runner.run(Progress::new(true), "points", &plan.on_model())
}

/// All results of a plan whose shares have all been run, by columns; results.csv is written.
///
/// # Errors
/// As for [`run`]; a point has no result.
pub fn columns(plan: &Path, out: &Path, programs: &[PathBuf]) -> Result<Vec<(String, Values)>> {
    let plan = Plan::read(plan, Engine::Model)?;
    let runner = Runner::open(out, programs, &Workers::default())?;
    let (table, _) = collected(&plan, &runner, out, false)?;
    store::write(&out.join("results.csv"), &table.csv()?)?;
    let columns = table.values();
    Ok(columns
        .map(|(name, values)| (name.to_owned(), values))
        .collect())
}

fn dry_run(plan: &Plan) -> Result<()> {
    let mut refused: BTreeMap<String, u64> = BTreeMap::new();
    let mut good = Vec::new();
    for point in plan.iter() {
        match point.drive.config() {
            Ok(_) => good.push(point.number),
            Err(error) => *refused.entry(error.to_string()).or_default() += 1,
        }
    }
    let points = plan.points();
    say!(
        "{points} points, of which {} make no drive",
        points - good.len() as u64
    )?;
    for (why, times) in refused.iter().take(REASONS) {
        say!("{times} times {why}")?;
    }
    if refused.len() > REASONS {
        say!("and {} other reasons", refused.len() - REASONS)?;
    }
    let begin = Instant::now();
    let step = good.len().div_ceil(TIMED as usize).max(1);
    let mut timed = 0_u32;
    for number in good.iter().step_by(step) {
        if begin.elapsed() > TIMING {
            break;
        }
        if let Some(point) = plan.point(*number) {
            point::run(&point, None)?;
            timed += 1;
        }
    }
    if timed > 0 {
        let each = begin.elapsed().as_secs_f64() / f64::from(timed);
        let whole = each * good.len() as f64;
        let shares = (whole / SHARE).ceil().clamp(1.0, points as f64);
        let (time, unit) = match whole {
            seconds if seconds < 3600.0 => (seconds, "CPU seconds"),
            seconds => (seconds / 3600.0, "CPU hours"),
        };
        let each = each * 1e3;
        say!("{timed} points timed: {each:.1} ms each, {time:.1} {unit} for all")?;
        say!("for shares of about a minute: --shard I/{shares:.0}")?;
    }
    Ok(())
}

fn list(plan: &Plan, json: bool) -> Result<()> {
    let refusal = |point: &Point<'_>| point.drive.config().err().map(|error| error.to_string());
    if json {
        let entry = |point: Point<'_>| {
            let settings: BTreeMap<_, _> = point.settings.iter().copied().collect();
            let work: BTreeMap<_, _> = point.work.varied.iter().cloned().collect();
            json!({
                "point": point.number, "drive": point.drive_name, "settings": settings,
                "work": point.work.name, "varied": work, "refused": refusal(&point),
            })
        };
        let all: serde_json::Value = plan.iter().map(entry).collect();
        return say!("{all:#}");
    }
    let keys = plan.keys();
    let names = ["point", "drive"].into_iter().chain(keys.iter().copied());
    let header = names.chain(["work", "refused"]);
    let mut table = crate::table::empty(header, 2);
    for point in plan.iter() {
        let value = |key: &&str| {
            let set = point.settings.iter().find(|(known, _)| known == key);
            set.map_or("-", |(_, value)| value).to_owned()
        };
        let varied = point
            .work
            .varied
            .iter()
            .map(|(key, value)| format!(" {key}={value}"));
        let work = point.work.name.clone() + &varied.collect::<String>();
        let first = [point.number.to_string(), point.drive_name.to_owned()];
        let last = [work, refusal(&point).unwrap_or_default()];
        table.add_row(first.into_iter().chain(keys.iter().map(value)).chain(last));
    }
    say!("{table}")
}

fn missing(args: &Missing, site: Site<'_>) -> Result<()> {
    let plan = args.place.plan.read()?;
    let runner = args.place.runner(&Workers::default(), site)?;
    let left = runner::missing(&runner.outcomes(&plan.on_model()), args.shards);
    match left.is_empty() {
        true => Ok(()),
        false => say!("{}", shard::ranges(left)),
    }
}

/// The table of all results, and how many of its rows are refused points.
fn collected(plan: &Plan, runner: &Runner, out: &Path, partial: bool) -> Result<(Table, usize)> {
    let outcomes = runner.outcomes(&plan.on_model());
    let left = runner::missing(&outcomes, None);
    if !left.is_empty() && !partial {
        let (missing, points) = (left.len(), plan.points());
        bail!(
            "{missing} of {points} points have no result of this program in {}: {}; run them, or collect --partial",
            out.display(),
            shard::ranges(left)
        );
    }
    let known = outcomes.into_iter();
    let known = known.filter_map(|(number, outcome)| Some((number, outcome?)));
    let outcomes: Vec<(u64, Outcome)> = known.collect();
    store::directory("--out", out)?;
    let refused = |(_, outcome): &&(u64, Outcome)| matches!(outcome, Outcome::Refused(_));
    let refused = outcomes.iter().filter(refused).count();
    Ok((Table::new(plan, &outcomes), refused))
}

fn collect(
    plan: &Plan,
    runner: &Runner,
    out: &Path,
    partial: bool,
    program: &Program,
) -> Result<()> {
    let (table, refused) = collected(plan, runner, out, partial)?;
    let [csv, typed] = ["results.csv", "results.parquet"].map(|name| out.join(name));
    store::write(&csv, &table.csv()?)?;
    store::write(&typed, &parquet::parquet(&table))?;
    say!(
        "{} rows, {refused} of refused points: {}, {}",
        table.rows(),
        csv.display(),
        typed.display()
    )?;
    if plan.figures().is_empty() {
        return Ok(());
    }
    let report = report(plan, &table, out, program)?;
    say!("report: {}", report.display())
}

/// Draws the plan's figures: files of their own, and a page with the figures they are of.
fn report(plan: &Plan, table: &Table, out: &Path, program: &Program) -> Result<PathBuf> {
    let texts = table.texts();
    let mut figures = Vec::new();
    for (figure, number) in plan.figures().iter().zip(1..) {
        if let Some(svg) = figure.plot(&texts)?.svg()? {
            store::write(&out.join(format!("figure-{number}.svg")), svg.as_bytes())?;
            figures.push(svg);
        }
    }
    let shown = plan.figures().iter().map(|figure| &figure.y);
    let mut wanted = plan.columns();
    for y in shown {
        if !wanted.contains(y) {
            wanted.push(y.clone());
        }
    }
    let fields = |name: &String| texts.iter().find(|(known, _)| known == name);
    let columns = wanted.iter().filter_map(fields);
    let filled = |(_, fields): &&(String, Vec<String>)| fields.iter().any(|text| !text.is_empty());
    let columns: Vec<_> = columns.filter(filled).collect();
    let row = |row: usize| {
        let cells = columns.iter().filter_map(|(_, fields)| fields.get(row));
        cells.map(|text| shorter(text)).collect()
    };
    let drive = |(name, drive): &(String, Drive)| (name.clone(), drive.in_words());
    let page = Page {
        command: "sweep",
        title: plan.title(),
        shows: "",
        trends: &[],
        rows: (0..table.rows()).map(row).collect(),
        header: columns.iter().map(|(name, _)| name.clone()).collect(),
        figures,
        settings: &[
            Setting::new("command", program.command_line()),
            Setting::new("conzone", env!("CARGO_PKG_VERSION")),
        ],
        drives: plan.drives().iter().map(drive).collect(),
        note: "results.csv and results.parquet have every figure of every point.",
    };
    let path = out.join("report.html");
    store::write(&path, page.html()?.as_bytes())?;
    Ok(path)
}

/// A field of the table as people read it.
fn shorter(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if text.contains('.') => format!("{number:.3}"),
        _ => text.to_owned(),
    }
}
