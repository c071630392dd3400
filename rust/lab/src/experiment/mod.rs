// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone experiment`: the studies that drives of this kind are bought and built by, ready to run.
//!
//! ```text
//! catalogue   what is asked, of which drives, and what the answer should look like
//! case        drives, phases, rows, metrics
//! model       runs a case on the flash model, in virtual time
//! requests    traces of block devices as cases
//! Guest       runs it in a guest with fio; whoever has one gives it
//! output      tables, figures, files
//! ```
//! Exit status 1 if the drives as they are do not show what they should; with `--preset` or `--set` that is the
//! user's finding, not a failure.

pub mod case;
pub mod catalogue;
pub mod model;
mod output;
mod requests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use console::style;
use serde_json::{json, Value};

use self::case::{Case, Row};
use self::catalogue::{by_name, Engine, Experiment, ALL};
use self::output::Outcome;
use self::requests::Source;
use crate::drive::{Aged, Base};
use crate::failure::Prerequisite;
use crate::out::say;
use crate::progress::Progress;
use crate::provenance::{Program, Setting};
use crate::runner::{self, shard, Points, Ran, Runner, Workers};
use crate::store;
use crate::table;

/// An operating system to run cases in.
pub trait Guest: Sync {
    /// Makes it ready; the files that its results depend on.
    ///
    /// # Errors
    /// It cannot be made ready.
    fn prepare(&self) -> Result<Vec<PathBuf>>;

    /// Runs a case, with other random choices for each seed; one row for each measured phase.
    ///
    /// # Errors
    /// It does not start, or what it runs fails.
    fn run(&self, case: &Case, seed: u16) -> Result<Vec<Row>>;

    /// What it consists of.
    fn settings(&self) -> Vec<Setting>;
}

/// What computes, so that what another has computed is not taken for its own; and how many do, which is one guest at a time
/// unless it was said.
pub(crate) fn prepare(
    program: &Program,
    guest: Option<&dyn Guest>,
    mut workers: Workers,
) -> Result<(Vec<PathBuf>, Workers)> {
    let mut programs = vec![program.file()?];
    if let Some(guest) = guest {
        programs.extend(guest.prepare()?);
        workers.threads = workers.threads.or(Some(1));
    }
    Ok((programs, workers))
}

/// Run a ready-made study and draw its figure
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Results of finished points are kept in the output directory: what was stopped goes on there.

Examples:
  cargo conzone experiment --list
  cargo conzone experiment zone-conflicts
  cargo conzone experiment random-read --set l2p-cache-size=256K
  cargo conzone experiment zone-conflicts --guest --out conflicts
  cargo conzone experiment phone-logs --trace telegram.csv.gz
  cargo conzone experiment all"
)]
pub struct Args {
    /// Which, or `all`
    #[arg(required_unless_present = "list", value_name = "NAME")]
    name: Option<String>,
    /// Say what there is
    #[arg(short, long)]
    list: bool,
    #[command(flatten)]
    base: Base,
    /// A property of every drive in it
    #[arg(short, long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    aged: Aged,
    /// A block device's trace, for the experiments that run one (docs/traces.md lists the formats)
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// In the guest with fio instead of on the model alone; takes minutes
    #[arg(long)]
    guest: bool,
    /// Where the results go [default: conzone-out/experiment/NAME]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    workers: Workers,
    /// Say which points have no result yet, and run none
    #[arg(long, conflicts_with_all = ["shard", "fresh"])]
    missing: bool,
    /// Start over: forget what an earlier run found
    #[arg(long)]
    fresh: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// Where cases run.
#[derive(Clone, Copy)]
struct Site<'a> {
    progress: Progress,
    program: &'a Program,
    guest: Option<&'a dyn Guest>,
}

/// Runs what was asked for; in `guest` what needs one.
///
/// # Errors
/// Options that do not fit, a case that fails, files that cannot be written.
pub fn run(
    progress: Progress,
    program: &Program,
    args: &Args,
    guest: Option<&dyn Guest>,
) -> Result<ExitCode> {
    let Some(name) = args.name.as_deref().filter(|_| !args.list) else {
        return list(args.json);
    };
    let chosen: Vec<&Experiment> = match name {
        "all" => ALL.to_vec(),
        name => vec![by_name(name).ok_or_else(|| unknown(name))?],
    };
    let source = args.trace.as_deref().map(Source::file).transpose()?;
    let mut holds = true;
    for experiment in &chosen {
        if let Some(why) = unfit(experiment, args, guest) {
            if chosen.len() == 1 {
                return Err(Prerequisite(why).into());
            }
            eprintln!("left out: {why}");
            continue;
        }
        let default = || PathBuf::from("conzone-out/experiment");
        let out = match (&args.out, chosen.len()) {
            (Some(out), 1) => out.clone(),
            (out, _) => out.clone().unwrap_or_else(default).join(experiment.name),
        };
        store::directory("--out", &out)?;
        let guest = guest.filter(|_| uses_guest(experiment, args));
        let engine = if guest.is_some() { "guest" } else { "model" };
        let mut cases = experiment.cases(&args.base, &args.set, source.as_ref());
        for case in &mut cases {
            case.drive.age = args.aged.age;
        }
        holds &= one(
            Site {
                progress,
                program,
                guest,
            },
            args,
            experiment,
            &cases,
            &out,
        )
        .with_context(|| format!("{} ({engine})", experiment.name))?;
    }
    let changed = args.base.is_given()
        || args.aged.age.is_some()
        || !args.set.is_empty()
        || args.trace.is_some();
    Ok(if holds || changed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn unknown(name: &str) -> anyhow::Error {
    let names: Vec<_> = ALL.iter().map(|experiment| experiment.name).collect();
    Prerequisite(format!(
        "there is no experiment '{name}'; there are {} and all",
        names.join(", ")
    ))
    .into()
}

/// Why the options do not fit the experiment.
fn unfit(experiment: &Experiment, args: &Args, guest: Option<&dyn Guest>) -> Option<String> {
    if args.base.is_given() && experiment.preset.is_none() {
        return Some(format!(
            "{} compares presets: change its drives with --set, not --preset or --drive",
            experiment.name
        ));
    }
    if args.trace.is_some() && !experiment.runs_a_trace() {
        return Some(format!(
            "{} runs no trace: --trace is for those that do",
            experiment.name
        ));
    }
    if args.guest && experiment.engine == Engine::Model {
        return Some(format!(
            "{} runs on the model only, without --guest",
            experiment.name
        ));
    }
    if uses_guest(experiment, args) && guest.is_none() {
        return Some(format!(
            "{} needs the guest, which the conzone repository has",
            experiment.name
        ));
    }
    None
}

fn uses_guest(experiment: &Experiment, args: &Args) -> bool {
    args.guest || experiment.engine == Engine::Guest
}

fn list(json: bool) -> Result<ExitCode> {
    if json {
        let entry = |e: &&Experiment| json!({"name": e.name, "title": e.title, "shows": e.shows});
        say!("{:#}", ALL.iter().map(entry).collect::<Value>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |e: &&Experiment| {
        let engine = match e.engine {
            Engine::Both => "model, guest",
            Engine::Model => "model",
            Engine::Guest => "guest",
        };
        [e.name, e.title, engine].map(str::to_owned)
    };
    say!(
        "{}",
        table::figures(["experiment", "what", "runs on"], 3, ALL.iter().map(row))
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Runs one experiment; whether its trends hold.
fn one(
    site: Site<'_>,
    args: &Args,
    experiment: &'static Experiment,
    cases: &[Case],
    out: &Path,
) -> Result<bool> {
    for case in cases {
        case.drive.config()?;
    }
    let Some(rows) = rows(site, args, experiment, cases, out)? else {
        return Ok(true);
    };
    let outcome = Outcome {
        experiment,
        trends: (experiment.trends)(&rows, site.guest.is_some()),
        rows,
        settings: settings(site),
        cases,
    };
    outcome.write(out)?;
    show(&outcome, out, args.json)?;
    Ok(outcome.trends.iter().all(|trend| trend.holds))
}

/// Cases, where they run.
struct Cases<'a> {
    cases: &'a [Case],
    guest: Option<&'a dyn Guest>,
}

impl Cases<'_> {
    /// Numbers are from 1.
    fn get(&self, number: u64) -> Result<&Case> {
        let index = usize::try_from(number)?.checked_sub(1);
        let case = index.and_then(|index| self.cases.get(index));
        case.context("no such case")
    }
}

impl Points for Cases<'_> {
    type Outcome = Vec<Row>;

    fn count(&self) -> u64 {
        self.cases.len() as u64
    }

    fn key(&self, number: u64) -> Value {
        self.get(number).map_or(Value::Null, point)
    }

    fn run(&self, number: u64) -> Result<Vec<Row>> {
        let case = self.get(number)?;
        let rows = match self.guest {
            Some(guest) => guest.run(case, 0),
            None => model::run(case),
        };
        rows.with_context(|| case.series.clone())
    }
}

/// The rows of all cases, of earlier runs or new; none if there is no more to say than was said.
fn rows(
    site: Site<'_>,
    args: &Args,
    experiment: &Experiment,
    cases: &[Case],
    out: &Path,
) -> Result<Option<Vec<Row>>> {
    let (programs, workers) = prepare(site.program, site.guest, args.workers)?;
    let dir = out.join("points");
    if args.fresh && dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("--fresh: {}", dir.display()))?;
    }
    let runner = Runner::open(out, &programs, &workers)?;
    let guest = site.guest;
    let cases = Cases { cases, guest };
    if args.missing {
        let left = runner::missing(&runner.outcomes(&cases), None);
        if !left.is_empty() {
            // Alone it is what a job array takes.
            let several = args.name.as_deref() == Some("all");
            let name = several.then(|| format!("{} ", experiment.name));
            say!("{}{}", name.unwrap_or_default(), shard::ranges(left))?;
        }
        return Ok(None);
    }
    let Ran { points, known } = runner.run(site.progress, experiment.name, &cases)?;
    if !runner.is_whole() {
        let name = experiment.name;
        say!("{name}: {points} points of this share, {known} of them known from before")?;
        return Ok(None);
    }
    if known > 0 {
        let note = format!("{known} of {points} points are known from an earlier run");
        site.progress.note(note);
    }
    let rows = runner.outcomes(&cases).into_iter();
    let rows = rows.map(|(_, rows)| rows.context("a result is gone"));
    Ok(Some(rows.collect::<Result<Vec<_>>>()?.concat()))
}

/// What a case's rows depend on, apart from the programs.
fn point(case: &Case) -> Value {
    let config = case.drive.config();
    json!({"case": case, "properties": config.map(|config| store::properties(&config)).ok()})
}

fn settings(site: Site<'_>) -> Vec<Setting> {
    let engine = if site.guest.is_some() {
        "fio in the guest, virtual time"
    } else {
        "the flash model alone, virtual time"
    };
    let mut settings = vec![
        Setting::new("command", site.program.command_line()),
        Setting::new("engine", engine),
        Setting::new("conzone", env!("CARGO_PKG_VERSION")),
    ];
    settings.extend(site.guest.map(Guest::settings).unwrap_or_default());
    settings
}

fn show(outcome: &Outcome, out: &Path, json: bool) -> Result<()> {
    if json {
        return say!("{:#}", outcome.json());
    }
    say!(
        "{}\n{}",
        style(outcome.experiment.title).bold(),
        outcome.table()
    )?;
    for trend in &outcome.trends {
        let mark = if trend.holds {
            style("as expected").green()
        } else {
            style("UNEXPECTED").red().bold()
        };
        say!("{mark}  {}", trend.what)?;
    }
    let errors: u64 = outcome.rows.iter().map(|row| row.errors).sum();
    if errors > 0 {
        say!("{} {errors} commands failed", style("errors").red().bold())?;
    }
    say!("report: {}\n", out.join("report.html").display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads;
    use ftl::Counter;

    /// The experiments on the model, as they are: every figure exists and shows what it should.
    #[test]
    fn the_trends_are_there() {
        for experiment in ALL.iter().filter(|e| e.engine != Engine::Guest) {
            let cases = experiment.cases(&Base::default(), &[], None);
            let rows = threads::each(threads::all(), &cases, model::run).unwrap();
            let rows = rows.concat();
            assert!(
                rows.iter().all(|row| row.errors == 0),
                "{}: errors",
                experiment.name
            );
            for trend in (experiment.trends)(&rows, false) {
                assert!(trend.holds, "{}: {}", experiment.name, trend.what);
            }
            for figure in experiment.figures {
                let drawn = rows.iter().any(|row| figure.metric.of(row).is_some());
                assert!(drawn, "{}: {:?}", experiment.name, figure.metric);
            }
        }
    }

    #[test]
    fn every_drive_can_be_built() {
        for experiment in ALL {
            for case in experiment.cases(&Base::default(), &[], None) {
                case.drive.config().unwrap();
            }
        }
    }

    /// The model takes a command of any length; the guest cuts one that is too long for the drive.
    #[test]
    fn every_command_is_one_that_the_drive_takes() {
        for experiment in ALL {
            for case in experiment.cases(&Base::default(), &[], None) {
                let case::Workload::Raw(phases) = &case.workload else {
                    continue;
                };
                let config = case.drive.config().unwrap();
                let limit = 4096_u64 << config.get("mdts").unwrap().parse::<u32>().unwrap();
                let largest = phases.iter().map(|phase| phase.block).max();
                assert!(
                    largest <= Some(limit),
                    "{}: {}",
                    experiment.name,
                    case.series
                );
            }
        }
    }

    /// A small trace of the user's in place of the one made here, on every drive of both experiments.
    #[test]
    fn a_trace_of_the_users_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("apps.csv");
        let mut text = String::from("proces,device,rw_flag,sector,size,timestamp\n");
        for n in 0..90 {
            let (app, sector) = (n % 3, n % 3 * 100_000 + n / 3 * 8);
            text += &format!("app-{app},1,W,{sector},8,{}.5\n", n + 1);
        }
        fs::write(&path, text + "app-0,1,R,0,8,99.0\n").unwrap();
        let source = Source::file(&path).unwrap();
        for name in ["phone-logs", "phone-map"] {
            let experiment = by_name(name).unwrap();
            assert!(experiment.runs_a_trace());
            let cases = experiment.cases(&Base::default(), &["zones=256".into()], Some(&source));
            for case in &cases {
                let rows = model::run(case).unwrap();
                let [row] = rows.as_slice() else {
                    panic!("{rows:?}")
                };
                assert_eq!((row.series.as_str(), row.commands), ("apps", 91));
                assert_eq!(row.count(Counter::HostWritePages), 90);
            }
            assert_ne!(
                point(&cases[0]),
                point(&experiment.cases(&Base::default(), &[], None)[0])
            );
        }
        let premature = |logs: usize| {
            let cases = by_name("phone-logs")
                .unwrap()
                .cases(&Base::default(), &[], Some(&source));
            model::run(&cases[logs - 1]).unwrap()[0].count(Counter::FlushPremature)
        };
        assert_eq!((premature(2), premature(3) > 30), (0, true));
    }

    #[test]
    fn only_experiments_with_a_trace_take_one() {
        assert!(!by_name("zone-conflicts").unwrap().runs_a_trace());
        let args = |trace: Option<&str>, guest| Args {
            name: None,
            list: false,
            base: Base::default(),
            aged: Aged::default(),
            set: Vec::new(),
            trace: trace.map(PathBuf::from),
            guest,
            out: None,
            workers: Workers::default(),
            missing: false,
            fresh: false,
            json: false,
        };
        let why = |name, args| unfit(by_name(name).unwrap(), &args, None).unwrap_or_default();
        assert!(why("zone-conflicts", args(Some("x"), false)).contains("runs no trace"));
        assert!(why("phone-logs", args(None, true)).contains("on the model only"));
        assert_eq!(why("phone-logs", args(Some("x"), false)), "");
    }

    #[test]
    fn the_users_settings_come_last() {
        let experiment = by_name("zone-conflicts").unwrap();
        let cases = experiment.cases(&Base::preset("ufs4-tlc"), &["write-buffers=3".into()], None);
        for case in &cases {
            assert_eq!(case.drive.base.preset_in_effect(), "ufs4-tlc");
            assert_eq!(
                case.drive.config().unwrap().get("write-buffers").unwrap(),
                "3"
            );
        }
    }

    #[test]
    fn trends_fail_on_rows_that_do_not_show_them() {
        for (experiment, guest) in ALL.into_iter().flat_map(|e| [(e, false), (e, true)]) {
            let trends = (experiment.trends)(&[], guest);
            assert!(
                trends.iter().all(|trend| !trend.holds),
                "{}",
                experiment.name
            );
            assert!(!trends.is_empty(), "{}", experiment.name);
        }
    }

    #[test]
    fn every_experiment_is_documented() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/experiments.md");
        let page = std::fs::read_to_string(page).unwrap();
        for experiment in ALL {
            assert!(
                page.contains(&format!("## {}", experiment.name)),
                "{}",
                experiment.name
            );
        }
    }
}
