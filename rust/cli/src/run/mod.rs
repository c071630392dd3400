// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone run`: a fio job on the device, in a guest, and what came of it.
//!
//! ```text
//! options ──> vm ──> guest boots ──> guest.sh ──> fio            execution
//!                                                  │ fio.json, samples, facts
//!             QMP qom-get stats ──────────────> report ──> table, files
//!                                                  └─ again, byte by byte the same?   repeat
//! ```

mod execution;
mod fits;
mod record;
mod repeat;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use clap::ValueEnum;
use serde_json::json;

use lab::provenance::Setting;

use crate::failure::Prerequisite;
use crate::files::Files;
use crate::out::say;
use crate::vm::{self, Old, Timing};
use execution::{Execution, HISTOGRAMS};
use record::Recording;
use report::{fio, timeline, DriveProperty, Report};
use setup::Context;

const GUEST_SCRIPT: &str = include_str!("guest.sh");
/// Functions for file systems in the guest.
pub const FILESYSTEM_SCRIPT: &str = include_str!("filesystem.sh");

/// The jobs of a run without one, by the names that guest.sh knows.
const JOBS: [(&str, &str); 4] = [
    ("zoned.fio", include_str!("jobs/zoned.fio")),
    ("block.fio", include_str!("jobs/block.fio")),
    ("filesystem.fio", include_str!("jobs/filesystem.fio")),
    ("zonefs.fio", include_str!("jobs/zonefs.fio")),
];

/// The scripts' exit status for a drive that cannot have the file system that was asked for.
pub const MISFIT: i32 = 3;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --job and fio arguments: fill zones, read 4 KiB at random, write and verify.
Jobs need no filename, ioengine, direct or zonemode: fio gets them for the drive's data namespace.

Examples:
  cargo conzone run
  cargo conzone run --preset ufs4-tlc --set l2p-cache-size=64K
  cargo conzone run --job my.fio --timing real --out results
  cargo conzone run --check-repeat 3
  cargo conzone run --percentiles-every 100
  cargo conzone run --record run.trace.gz
  cargo conzone run --preset tlc-block --age fill=90,overwrite=2 -- --rw=randwrite --bs=4k --io_size=16m
  cargo conzone run --fs f2fs --job db.fio
  cargo conzone run --fs f2fs --mkfs '-o 8' --mount fsync_mode=strict
  cargo conzone run --file words:/root/words --fetch /proc/interrupts:interrupts
  cargo conzone run -- --rw=write --bs=128k --size=4z
  cargo conzone run -- --size=4z --name=fill --rw=write --bs=512k --name=read --stonewall --rw=randread --bs=4k --io_size=16m"
)]
pub struct Args {
    #[command(flatten)]
    vm: vm::Options,
    /// Run the job on a file system: it is formatted and mounted, and its files compared after a remount
    #[arg(long, value_name = "NAME")]
    fs: Option<Filesystem>,
    /// Options of mkfs, as one would type them
    #[arg(
        long,
        value_name = "OPTIONS",
        requires = "fs",
        allow_hyphen_values = true
    )]
    mkfs: Option<String>,
    /// Options of mount, joined by commas
    #[arg(long, value_name = "OPTIONS", requires = "fs")]
    mount: Option<String>,
    #[command(flatten)]
    files: Files,
    /// The fio job file; fio arguments after `--` then are defaults for its jobs
    #[arg(short, long, value_name = "FILE.fio")]
    job: Option<PathBuf>,
    /// Where the results go [default: conzone-out/NUMBER-PRESET]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write every command that the drive was given, as a trace for `sim`; .gz compresses
    #[arg(long, value_name = "FILE", conflicts_with = "device")]
    record: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Run N times in virtual time and compare every byte: fio's report, statistics, kernel log
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    check_repeat: Option<u32>,
    /// Draw p99 and p99.9 over time, too, from histograms that fio then writes every so many ms; costs the guest time
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(20..=60_000))]
    percentiles_every: Option<u32>,
    /// Restore a guest that has booted before, with this drive and machine, instead of booting one; the first time it is
    /// saved. Not in virtual time, where results would change
    #[arg(long, conflicts_with_all = ["device", "image", "qemu_arg", "record"])]
    from_snapshot: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub timeout: u64,
    /// fio arguments: the job itself, if there is no --job; --name begins another job, as with fio
    #[arg(last = true, value_name = "FIO ARGUMENTS")]
    fio: Vec<String>,
}

/// `--fs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Filesystem {
    /// Metadata on the conventional namespace, data in the zones
    F2fs,
    /// A file for each zone
    Zonefs,
    /// On the data namespace, in zoned mode if that is zoned
    Btrfs,
    /// On the data namespace, or on the conventional one if that is zoned
    Ext4,
    /// On the data namespace; where that is zoned, files in the zones and metadata on the conventional one. Needs
    /// --kernel backports
    Xfs,
}

impl Filesystem {
    /// As typed, and as mount calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F2fs => "f2fs",
            Self::Zonefs => "zonefs",
            Self::Btrfs => "btrfs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Refuses a drive that it does not fit, as far as that is known before a guest boots, and a kernel without it.
    ///
    /// # Errors
    /// A [`Prerequisite`] that names what to set.
    pub fn check(self, config: &ssd::Config, kernel: guest::Kernel) -> Result<()> {
        match self {
            Self::F2fs => fits::f2fs(config),
            Self::Xfs => fits::xfs(config, kernel),
            Self::Zonefs | Self::Btrfs | Self::Ext4 => Ok(()),
        }
    }

    /// What may go wrong later on a drive that it fits.
    fn warning(self, config: &ssd::Config) -> Result<Option<String>> {
        match self {
            Self::F2fs => fits::f2fs_warning(config),
            Self::Zonefs | Self::Btrfs | Self::Ext4 | Self::Xfs => Ok(None),
        }
    }
}

/// Runs the job, prints the figures, writes the files.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    if let Some(job) = &args.job {
        fs::metadata(job).map_err(|e| Prerequisite(format!("--job {}: {e}", job.display())))?;
    }
    if args.check_repeat.is_some() && args.vm.timing(Timing::Virtual) != Timing::Virtual {
        let why = "--check-repeat needs --timing virtual: nothing repeats by the host's clock";
        return Err(Prerequisite(why.into()).into());
    }
    if args.check_repeat.is_some() && args.vm.image.is_some() {
        let why = "--check-repeat needs a drive that begins anew each time: leave out --image";
        return Err(Prerequisite(why.into()).into());
    }
    args.files.check()?;
    if let (Some(fs), true) = (args.fs, args.vm.device.is_empty()) {
        let config = args.vm.config()?;
        fs.check(&config, args.vm.kernel)?;
        if let Some(warning) = fs.warning(&config)? {
            context.progress.note(warning);
        }
    }
    if args.vm.aged.age.is_some() && (args.from_snapshot || args.record.is_some()) {
        let why = "--age: its drive lives in an image and has a clock that has gone on: leave out --from-snapshot and --record";
        return Err(Prerequisite(why.into()).into());
    }
    let vm = sampled(&args.vm);
    vm.check(Timing::Virtual)?;
    let (vm, old) = &vm.aged()?;
    if args.from_snapshot {
        vm.check_snapshot(Timing::Virtual)?;
    }
    let parent = args.out.as_deref().unwrap_or(Path::new("conzone-out"));
    lab::store::directory("--out", parent)?;
    let recording = args.record.as_deref().map(Recording::begin);
    let recording = recording.transpose()?;
    let mut machine = vm.machine(context, Timing::Virtual)?;
    machine.snapshots = args.from_snapshot.then(|| context.paths.snapshots());
    let (execution, recorded) = execute(context, args, &machine, recording)?;
    if args.fs.is_some() && execution.status == MISFIT {
        return Err(Prerequisite(execution.first_words()).into());
    }
    let fio = execution.parse()?;
    for missing in args.files.missing(&execution.missing) {
        eprintln!("not fetched: {missing}");
    }
    for job in fio.jobs.iter().filter(|job| job.is_idle()) {
        let hint = execution.hint();
        context
            .progress
            .note(format!("job {} did no I/O{hint}", job.jobname));
    }
    let report = Report {
        title: title(args)?,
        settings: settings(args, &machine, &execution, (&fio, old.as_ref()))?,
        fio,
        stats: execution.statistics()?,
        timed: execution.timed,
        timeline: timeline::parse(&execution.samples, timeline::SAMPLE_MS)?,
        properties: properties(vm, &args.vm)?,
        job: execution.job.clone(),
        histograms: (
            execution.histograms.clone(),
            args.percentiles_every.unwrap_or_default().into(),
        ),
        series: execution.series.clone(),
        zones: execution.zones.clone(),
        zone_series: execution.zone_series.clone(),
        zone_reads: execution.zone_reads.clone(),
        fio_text: execution.fio.clone(),
        console: execution.console.clone(),
        samples: execution.samples.clone(),
        filesystem: execution.filesystem.clone(),
    };
    let out = args
        .out
        .clone()
        .map_or_else(|| next_directory(&args.vm), Ok)?;
    report.write(&out)?;
    show(context, args, &report, &out, recorded)?;
    if args.fs.is_some() && !args.json {
        say!("verified: {}", execution.fact("verified"))?;
    }
    if execution.status != 0 || report.summary().errors > 0 {
        let (status, said) = (execution.status, execution.first_words());
        bail!("the job failed (status {status}): {said}");
    }
    if let Some(runs) = args.check_repeat {
        check_repeat(context, args, (&machine, old.as_ref()), &execution, runs)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The same machine, with a drive that keeps its counters over time unless the user said how.
fn sampled(vm: &vm::Options) -> vm::Options {
    let mut vm = vm.clone();
    let named = vm
        .set
        .iter()
        .any(|pair| pair.trim_start().starts_with("sample-interval-ns"));
    if vm.device.is_empty() && !named {
        vm.set
            .push(format!("sample-interval-ns={}", lab::drive::SAMPLE_NS));
    }
    vm
}

/// One run, and how many commands were recorded of it.
fn execute(
    context: &Context,
    args: &Args,
    machine: &guest::Machine,
    recording: Option<Recording>,
) -> Result<(Execution, Option<u64>)> {
    let work = tempfile::tempdir().context("making a temporary directory")?;
    let job = job(args, work.path())?;
    let limit = Duration::from_secs(args.timeout);
    let Some(recording) = recording else {
        let execution = Execution::of(context, machine, &job, work.path(), limit)?;
        return Ok((execution, None));
    };
    let (mut machine, commands) = (machine.clone(), work.path().join("commands"));
    record::record_into(&commands, &mut machine.devices)?;
    let execution = Execution::of(context, &machine, &job, work.path(), limit)?;
    let recorded = recording.finish(&args.vm, &commands, &execution.recorded)?;
    Ok((execution, Some(recorded)))
}

/// Runs the same again until it was run `runs` times, and compares.
fn check_repeat(
    context: &Context,
    args: &Args,
    (machine, old): (&guest::Machine, Option<&Old>),
    first: &Execution,
    runs: u32,
) -> Result<()> {
    for run in 2..=runs {
        old.map_or(Ok(()), Old::renew)?;
        // Not recorded: that nothing changes by it is compared, too.
        let (again, _) = execute(context, args, machine, None)?;
        if let Some(difference) = repeat::first_difference(first, &again) {
            bail!("run {run} of {runs} differs from the first: {difference}");
        }
    }
    let same = format!(
        "{runs} runs left the same bytes: {}",
        repeat::compared(first)
    );
    if args.json {
        context.progress.note(&same);
    } else {
        say!("{same}")?;
    }
    Ok(())
}

/// The guest's script with the files it needs; `work` takes what it leaves.
fn job(args: &Args, work: &Path) -> Result<guest::Job> {
    let joined = |words: &[String], what: &str| {
        let words = shlex::try_join(words.iter().map(String::as_str));
        words.map_err(|_| Prerequisite(format!("{what} cannot contain a NUL byte")))
    };
    let words = joined(&args.fio, "fio arguments")?;
    let mkfs = args.mkfs.as_deref().unwrap_or_default();
    let mkfs = shlex::split(mkfs)
        .ok_or_else(|| Prerequisite(format!("--mkfs {mkfs}: a quote is open")))?;
    let (mkfs, mount) = (
        joined(&mkfs, "--mkfs")?,
        args.mount.clone().unwrap_or_default(),
    );
    let mount = joined(&[mount], "--mount")?;
    let fs = args.fs.map_or("", Filesystem::name);
    let mut settings = format!("args=({words})\nFS={fs}\nMKFS=({mkfs})\nOPTIONS={mount}\n");
    settings += &args.percentiles_every.map_or_else(String::new, histograms);
    let script = [&settings, FILESYSTEM_SCRIPT, GUEST_SCRIPT].concat();
    let mut job = args.files.add_to(guest::Job::new(script));
    if args.percentiles_every.is_some() {
        job = job.fetch(format!("/tmp/out/{HISTOGRAMS}"), work.join(HISTOGRAMS));
    }
    for (name, text) in JOBS {
        let path = work.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        job = job.file(path, format!("/root/{name}"));
    }
    if let Some(file) = &args.job {
        job = job.file(file, "/root/job.fio");
    }
    for name in execution::RESULTS
        .into_iter()
        .chain([execution::FILESYSTEM])
    {
        job = job.fetch(format!("/tmp/out/{name}"), work.join(name));
    }
    Ok(job)
}

/// Has fio write histograms, and collects them. Not in guest.sh: a line of it takes the guest time in runs without, too.
fn histograms(ms: u32) -> String {
    format!(
        "fio() {{ command fio --write_hist_log=/tmp/out/log/run --log_hist_msec={ms} \"$@\"; }}\n\
         histograms() {{ for log in /tmp/out/log/run_clat_hist.*.log; do if [ -f \"$log\" ]; then\n\
         echo \"# ${{log##*/}}\"; cat \"$log\"; fi; done; }}\n\
         trap 'histograms >/tmp/out/{HISTOGRAMS}' EXIT\n"
    )
}

fn title(args: &Args) -> Result<String> {
    let drive = match args.vm.device.first() {
        Some(device) => device.clone(),
        None => args.vm.base_in_effect()?.name().to_owned(),
    };
    let time = match args.vm.timing(Timing::Virtual) {
        Timing::Virtual => "virtual time",
        Timing::Real => "real time",
        Timing::Off => "no drive latency",
    };
    let drive = match args.vm.aged.age {
        Some(age) => format!("{drive} aged {age}"),
        None => drive,
    };
    Ok(match args.fs {
        Some(fs) => format!("{} on {drive}, {time}", fs.name()),
        None => format!("{drive}, {time}"),
    })
}

fn settings(
    args: &Args,
    machine: &guest::Machine,
    execution: &Execution,
    (fio, old): (&fio::Output, Option<&Old>),
) -> Result<Vec<Setting>> {
    let image = machine.image.digest(machine.kernel);
    let timing = match machine.timing {
        guest::Timing::Virtual { shift } => format!("virtual, an instruction is {} ns", 1 << shift),
        guest::Timing::Real => args.vm.timing(Timing::Virtual).name().to_owned(),
    };
    let mut settings = vec![
        Setting::new("command", crate::typed()),
        Setting::new("device", device(machine, old)),
        Setting::new("timing", timing),
        Setting::new(
            "guest",
            format!("{} CPUs, {} MiB", machine.smp, machine.memory_mib),
        ),
        Setting::new("guest image", image.context("reading the guest image")?),
        Setting::new("Linux", execution.fact("kernel")),
        Setting::new("QEMU", execution.qemu.clone()),
        Setting::new("fio", fio.version.clone()),
        Setting::new("conzone", env!("CARGO_PKG_VERSION")),
    ];
    if args.fs.is_some() {
        let made = execution.fact("made");
        let verified = format!("{made}\n{}", execution.fact("verified"));
        settings.insert(2, Setting::new("file system", verified));
    } else {
        settings.insert(2, Setting::new("namespace", execution.fact("namespace")));
    }
    Ok(settings)
}

/// What QEMU was told; where the image of an aged drive lay is nobody's to know.
fn device(machine: &guest::Machine, old: Option<&Old>) -> String {
    let text = machine.devices.join("\n");
    match old {
        Some(old) => text.replace(&old.path().display().to_string(), "aged.cz"),
        None => text,
    }
}

/// Every property that the drive has, with its value in effect, and whether the user asked for it.
fn properties(vm: &vm::Options, asked: &vm::Options) -> Result<Vec<DriveProperty>> {
    if !vm.device.is_empty() {
        return Ok(Vec::new());
    }
    let (config, asked) = (vm.config()?, asked.config()?);
    let resolved = config
        .resolved()
        .map_err(|error| Prerequisite(error.to_string()))?;
    let property = |(property, value): (&'static ssd::Property, String)| DriveProperty {
        name: property.name(),
        value,
        explicit: asked.is_explicit(property.key),
    };
    Ok(resolved.into_iter().map(property).collect())
}

fn show(
    context: &Context,
    args: &Args,
    report: &Report,
    out: &Path,
    recorded: Option<u64>,
) -> Result<()> {
    let summary = report.summary();
    if args.json {
        let mut value = serde_json::to_value(&summary)?;
        value["out"] = json!(out);
        if let Some(commands) = recorded {
            value["recorded"] = json!({"file": args.record, "commands": commands});
        }
        say!("{value:#}")?;
        return Ok(());
    }
    say!("{}\n{}", report.title, summary.text())?;
    say!("report: {}", out.join("report.html").display())?;
    if let (Some(commands), Some(file)) = (recorded, &args.record) {
        say!("recorded: {commands} commands in {}", file.display())?;
    }
    if report.stats.is_none() {
        context.progress.note("the device gave no statistics");
    }
    Ok(())
}

/// The next free `conzone-out/NUMBER-PRESET` in the current directory.
pub fn next_directory(vm: &vm::Options) -> Result<PathBuf> {
    let parent = PathBuf::from("conzone-out");
    fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
    let entries = fs::read_dir(&parent).with_context(|| format!("reading {}", parent.display()))?;
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let what = match vm.device.first() {
        Some(_) => "device".to_owned(),
        None => vm.base_in_effect()?.name().to_owned(),
    };
    Ok(parent.join(format!("{:03}-{what}", next_number(names))))
}

fn next_number(names: impl Iterator<Item = String>) -> u32 {
    let numbers = names.filter_map(|name| name.split('-').next()?.parse::<u32>().ok());
    numbers.max().map_or(1, |last| last.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_numbered() {
        let names = |list: &[&str]| next_number(list.iter().map(|s| (*s).to_owned()));
        assert_eq!(names(&[]), 1);
        assert_eq!(names(&["001-tlc-zoned", "007-x", "notes"]), 8);
    }

    #[test]
    fn every_job_and_status_is_the_scripts() {
        for (name, _) in JOBS {
            assert!(GUEST_SCRIPT.contains(&format!("/root/{name}")), "{name}");
        }
        assert!(FILESYSTEM_SCRIPT.contains(&format!("MISFIT={MISFIT} ")));
    }

    #[test]
    fn every_result_is_fetched_and_written_by_the_script() {
        for name in execution::RESULTS {
            assert!(GUEST_SCRIPT.contains(&format!("$out/{name}")), "{name}");
        }
        assert!(GUEST_SCRIPT.contains(&format!("$out/{}", execution::FILESYSTEM)));
        let samples = format!("--log_avg_msec={} ", timeline::SAMPLE_MS);
        assert!(GUEST_SCRIPT.contains(&samples));
    }
}
