// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone crash`: what a file system keeps of what it promised when the drive's power is cut.
//!
//! ```text
//! workload ──> guest, once, in virtual time ──> history of the drive: commands, data, what was promised when     recording
//! instants ──> image of what a cut at each leaves, made of the history without a guest                           cuts
//! each     ──> a guest of its own: mount, check what was promised, the file system's checker ──> outcome         checking
//! all      ──> table, crash.json, report.html
//! ```

mod checking;
mod cuts;
mod recording;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use ::image::Loss;
use anyhow::{anyhow, Context as _, Result};
use lab::provenance::Setting;
use report::crash::{Campaign, Cut};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

use crate::failure::Prerequisite;
use crate::out::say;
use crate::run::{next_directory, Filesystem};
use crate::vm::{self, Timing};
use checking::Verdict;
use cuts::{At, Maker};
use recording::Recording;
use setup::Context;
use workload::Workload;

/// In the folder of a campaign.
const HISTORY: &str = "drive.history";
const FIGURES: &str = "crash.json";
const CUTS: &str = "cuts";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A workload of your own is a bash file that defines two functions. work() works below $DIR and calls `witness note N`, N
rising, when something was promised; check() fails with status 1 and a line if what was promised up to $PROMISED is not there.

Examples:
  cargo conzone crash
  cargo conzone crash --mount fsync_mode=nobarrier
  cargo conzone crash --fs ext4 --preset tlc-block --workload sqlite --cuts 300
  cargo conzone crash --at flush
  cargo conzone crash --fault flush=ignored
  cargo conzone crash --again conzone-out/001-tlc-zoned --at 2304511873")]
pub struct Args {
    #[command(flatten)]
    vm: vm::Options,
    /// The file system
    #[arg(long, value_name = "NAME", default_value = "f2fs")]
    fs: Filesystem,
    /// Options of mount, joined by commas
    #[arg(long, value_name = "OPTIONS", default_value = "")]
    mount: String,
    /// What the guest does: fsync, sqlite, sqlite-wal, or a file (see below)
    #[arg(long, value_name = "NAME", default_value = "fsync")]
    workload: String,
    /// How much of it [default: 1500 steps of fsync, 200 transactions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: Option<u64>,
    /// How often power is cut
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cuts: u32,
    /// When: random, between any two commands; flush, before what asks for something to be durable; or instants of the
    /// drive's clock in ns, joined by commas
    #[arg(long, value_name = "WHEN", default_value = "random")]
    at: At,
    /// What a cut takes: all that is volatile; none of it, as from a drive with capacitors; or torn, all of it, and pages that
    /// were being programmed cannot be read [default: all, or that of the campaign]
    #[arg(long, value_name = "WHAT", value_parser = ["all", "none", "torn"])]
    loss: Option<String>,
    /// From which the work and the cuts follow
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A fault rule of the drive while it is recorded, such as flush=ignored
    #[arg(long, value_name = "RULE")]
    fault: Option<String>,
    /// Guests that look at the same time [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
    /// Where the results go [default: conzone-out/NUMBER-PRESET]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Images that are kept of cuts that lost something; all can be made again
    #[arg(long, value_name = "N", default_value_t = 4)]
    keep: u32,
    /// Look again at cuts (--at) of a campaign that is in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "fault", "workload", "steps", "fs", "mount", "preset", "drive", "set"])]
    again: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Give a guest up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

/// What a look at another cut needs to know of a campaign.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    workload: Workload,
    loss: String,
    kernel: String,
}

/// Records the work, cuts power, has guests look, and says what came of it.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let drive = args.vm.image.is_some() || !args.vm.device.is_empty();
    if drive || args.vm.timing(Timing::Virtual) == Timing::Off {
        let why = "crash makes its own drive, which takes its time: leave out --image, --device and --timing off";
        return Err(Prerequisite(why.into()).into());
    }
    if let Some(rule) = &args.fault {
        let mut faults = ssd::Faults::default();
        let wrong = |error: ssd::ConfigError| Prerequisite(format!("--fault {rule}: {error}"));
        faults.set(rule).map_err(wrong)?;
    }
    if let Some(dir) = &args.again {
        return again(context, args, dir);
    }
    args.fs.check(&args.vm.config()?, args.vm.kernel)?;
    let workload = Workload::new(
        &args.workload,
        (args.fs, &args.mount),
        (args.seed, args.steps),
    )?;
    let mut vm = args.vm.clone();
    // With one of them the guest says what it was promised. The image of an aged drive is made for it, too.
    vm.set.push("vendor-commands=on".into());
    let (vm, _old) = vm.aged()?;
    let machine = vm.machine(context, Timing::Virtual)?;
    let dir = args
        .out
        .clone()
        .map_or_else(|| next_directory(&args.vm), Ok)?;
    lab::store::directory("--out", &dir)?;
    let history = dir.join(HISTORY);
    let limit = Duration::from_secs(args.timeout);
    let fault = args.fault.as_deref();
    recording::record(context, &machine, &workload, (&history, fault), limit)?;
    let recording = Recording::read(&history)?;
    let instants = cuts::instants(&recording, &args.at, args.cuts as usize, args.seed)?;
    let bench = Bench::new(context, args, &workload, &dir)?;
    let cuts = bench.look_at(&recording, &instants, args.keep)?;
    let campaign = Campaign {
        title: title(args)?,
        settings: settings(args, &machine, &recording),
        work: (recording.began, recording.ended),
        cuts,
    };
    campaign.write(&dir)?;
    let figures = figures(&campaign, &recording, &bench.kept)?;
    let path = dir.join(FIGURES);
    fs::write(&path, format!("{figures:#}\n"))
        .with_context(|| format!("writing {}", path.display()))?;
    if args.json {
        say!("{figures:#}")?;
    } else {
        show(&campaign, &dir)?;
    }
    let is_bad = campaign.bad().next().is_some();
    Ok(ExitCode::from(u8::from(is_bad)))
}

fn title(args: &Args) -> Result<String> {
    let (fs, base) = (args.fs.name(), args.vm.base_in_effect()?);
    let options = match args.mount.as_str() {
        "" => String::new(),
        options => format!(" ({options})"),
    };
    let fault = args.fault.as_ref().map(|rule| format!(" with {rule}"));
    let fault = fault.unwrap_or_default();
    Ok(format!(
        "{} on {fs}{options} on {}{fault}",
        args.workload,
        base.name()
    ))
}

fn settings(args: &Args, machine: &guest::Machine, recording: &Recording) -> Vec<Setting> {
    let seconds = (recording.ended - recording.began) as f64 / 1e9;
    let mib = recording.written as f64 / f64::from(1 << 20);
    let work = format!(
        "{seconds:.3} s of the drive's clock, {} commands, {} of them to make something durable, {mib:.1} MiB written, {} promises",
        recording.commands.len(),
        recording.flushes.len(),
        recording.promises.len(),
    );
    vec![
        Setting::new("command", crate::typed()),
        Setting::new("device", machine.devices.join("\n")),
        Setting::new("work", work),
        Setting::new("Linux", args.vm.kernel.name()),
        Setting::new("conzone", env!("CARGO_PKG_VERSION")),
    ]
}

fn figures(campaign: &Campaign, recording: &Recording, kept: &Kept) -> Result<Value> {
    let mut figures = campaign.json();
    figures["work"] = json!({
        "began_ns": recording.began,
        "ended_ns": recording.ended,
        "commands": recording.commands.len(),
        "durable_commands": recording.flushes.len(),
        "bytes_written": recording.written,
        "promises": recording.promises.len(),
    });
    figures["campaign"] = serde_json::to_value(kept)?;
    Ok(figures)
}

fn show(campaign: &Campaign, dir: &Path) -> Result<()> {
    say!("{}: {} power cuts", campaign.title, campaign.cuts.len())?;
    say!("{}", campaign.text().trim_end())?;
    if let Some(cut) = campaign.bad().next() {
        say!(
            "the first that lost something, at {} ns: {}",
            cut.at,
            cut.why
        )?;
        say!("to look at it again: {}", cut.again)?;
    }
    say!("report: {}", dir.join("report.html").display())
}

/// Looks at single cuts of an earlier campaign, and shows all that the guests say.
fn again(context: &Context, args: &Args, dir: &Path) -> Result<ExitCode> {
    let path = dir.join(FIGURES);
    let refused = |why: &dyn std::fmt::Display| Prerequisite(format!("{}: {why}", path.display()));
    if !matches!(args.at, At::Given(_)) {
        let why = "--again needs --at with instants: crash.json and report.html have them";
        return Err(Prerequisite(why.into()).into());
    }
    let text = fs::read_to_string(&path).map_err(|error| refused(&error))?;
    let figures: Value = serde_json::from_str(&text).map_err(|error| refused(&error))?;
    let kept = serde_json::from_value::<Kept>(figures["campaign"].clone());
    let kept = kept.map_err(|error| refused(&error))?;
    let recording = Recording::read(&dir.join(HISTORY))?;
    let instants = cuts::instants(&recording, &args.at, 0, 0)?;
    let mut bench = Bench::new(context, args, &kept.workload, dir)?;
    let kernel = kept
        .kernel
        .parse()
        .map_err(|error: String| refused(&error))?;
    let loss = args.loss.clone().unwrap_or_else(|| kept.loss.clone());
    (bench.machine.kernel, bench.kept) = (kernel, Kept { loss, ..kept });
    let cuts = bench.look_at(&recording, &instants, u32::MAX)?;
    if args.json {
        say!("{:#}", json!(cuts))?;
    }
    for cut in cuts.iter().filter(|_| !args.json) {
        let said = fs::read_to_string(bench.log(cut.at)).unwrap_or_default();
        say!("{}", said.trim_end())?;
        say!(
            "at {} ns, {} promised: {}",
            cut.at,
            cut.promised,
            cut.outcome.name()
        )?;
        say!("image: {}", bench.image(cut.at).display())?;
    }
    let is_bad = cuts.iter().any(|cut| !cut.outcome.is_good());
    Ok(ExitCode::from(u8::from(is_bad)))
}

/// What it takes to look at a cut.
struct Bench<'a> {
    context: &'a Context,
    dir: &'a Path,
    machine: guest::Machine,
    kept: Kept,
    lanes: u32,
    limit: Duration,
}

/// Cuts that nobody has looked at yet.
struct Queue<'a> {
    maker: Maker,
    instants: std::slice::Iter<'a, u64>,
    keep: u32,
}

impl<'a> Bench<'a> {
    fn new(context: &'a Context, args: &Args, workload: &Workload, dir: &'a Path) -> Result<Self> {
        let mut machine = args.vm.machine(context, Timing::Off)?;
        machine.timing = guest::Timing::Real;
        machine.smp = 1;
        let cuts = dir.join(CUTS);
        fs::create_dir_all(&cuts).with_context(|| format!("making {}", cuts.display()))?;
        let processors = std::thread::available_parallelism();
        let processors = processors.map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        Ok(Self {
            context,
            dir,
            machine,
            kept: Kept {
                workload: workload.clone(),
                loss: args.loss.clone().unwrap_or_else(|| "all".into()),
                kernel: args.vm.kernel.name().to_owned(),
            },
            lanes: args.jobs.unwrap_or(processors),
            limit: Duration::from_secs(args.timeout),
        })
    }

    fn image(&self, at: u64) -> PathBuf {
        self.dir.join(CUTS).join(format!("{at}.cz"))
    }

    fn log(&self, at: u64) -> PathBuf {
        self.dir.join(CUTS).join(format!("{at}.log"))
    }

    /// Has guests look at cuts, some at a time; images of at most `keep` that lost something stay, or of all if that is
    /// everything.
    fn look_at(&self, recording: &Recording, instants: &[u64], keep: u32) -> Result<Vec<Cut>> {
        let loss = Loss::ALL
            .into_iter()
            .find(|loss| loss.name() == self.kept.loss);
        let loss = loss.ok_or_else(|| anyhow!("there is no loss {}", self.kept.loss))?;
        let maker = Maker::new(&self.dir.join(HISTORY), &self.dir.join(CUTS), loss)?;
        let queue = Mutex::new(Queue {
            maker,
            instants: instants.iter(),
            keep,
        });
        let bar = self
            .context
            .progress
            .bar("guests look at cuts", instants.len() as u64);
        let lane = || -> Result<Vec<Cut>> {
            let mut cuts = Vec::new();
            while let Some(cut) = self.next(&queue, recording)? {
                cuts.push(cut);
                bar.inc(1);
            }
            Ok(cuts)
        };
        let cuts: Result<Vec<Vec<Cut>>> = std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..self.lanes).map(|_| scope.spawn(lane)).collect();
            let join = |lane: std::thread::ScopedJoinHandle<'_, _>| {
                lane.join()
                    .unwrap_or_else(|_| Err(anyhow!("a lane panicked")))
            };
            lanes.into_iter().map(join).collect()
        });
        bar.finish_and_clear();
        let mut cuts: Vec<Cut> = cuts?.into_iter().flatten().collect();
        cuts.sort_by_key(|cut| cut.at);
        Ok(cuts)
    }

    /// Makes the next cut, and has a guest look at it.
    fn next(&self, queue: &Mutex<Queue<'_>>, recording: &Recording) -> Result<Option<Cut>> {
        let locked = || queue.lock().map_err(|_| anyhow!("another lane failed"));
        let (at, left) = {
            let mut queue = locked()?;
            let Some(&at) = queue.instants.next() else {
                return Ok(None);
            };
            (at, queue.maker.make(at, &self.image(at))?)
        };
        let promised = recording.promised(at);
        let mut machine = self.machine.clone();
        // The guest changes it: what stays is what the cut left.
        let trial = self.image(at).with_extension("trial");
        let _ = fs::remove_file(&trial);
        crate::image::copy(&self.image(at), &trial)?;
        let image = vm::in_argument("--out ", &trial, "")?;
        machine.devices = vec![format!(
            "conzone-nvme,id={},timing=off,image={image}",
            vm::DRIVE_ID
        )];
        let Verdict { outcome, why, said } =
            checking::check(&machine, self.kept.workload.check(promised), self.limit)?;
        fs::write(self.log(at), &said)
            .with_context(|| format!("writing {}", self.log(at).display()))?;
        let _ = fs::remove_file(&trial);
        let mut queue = locked()?;
        let keeps_all = queue.keep == u32::MAX;
        if keeps_all || (!outcome.is_good() && queue.keep > 0) {
            queue.keep -= u32::from(!keeps_all);
        } else {
            let _ = fs::remove_file(self.image(at));
        }
        drop(queue);
        let words = [
            "crash".into(),
            "--again".into(),
            self.dir.display().to_string(),
            "--at".into(),
            at.to_string(),
        ];
        Ok(Some(Cut {
            at,
            promised,
            pages_lost: left.lost,
            outcome,
            why,
            again: crate::command_line(words.into_iter()),
        }))
    }
}
