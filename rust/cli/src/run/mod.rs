// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone run`: a fio job on the device, in a guest, and what came of it.
//!
//! ```text
//! options ──> vm ──> guest boots ──> guest.sh ──> fio
//!                                                  │ fio.json, samples, facts
//!             QMP qom-get stats ──────────────> report ──> table, files
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use serde_json::{json, Value};

use crate::failure::Prerequisite;
use crate::report::{fio, timeline, DriveProperty, Report, Setting};
use crate::vm::{self, Timing};
use crate::Context;

const GUEST_SCRIPT: &str = include_str!("guest.sh");
const ZONED_JOB: &str = include_str!("jobs/zoned.fio");
const BLOCK_JOB: &str = include_str!("jobs/block.fio");

/// fio's `log_avg_msec` in guest.sh.
const SAMPLE_MS: u64 = 20;

/// What the guest leaves in /tmp/out.
const RESULTS: [&str; 4] = ["fio.json", "samples", "facts", "job"];

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --job and fio arguments: fill zones, read 4 KiB at random, write and verify.
Jobs need no filename, ioengine, direct or zonemode: fio gets them for the drive's data namespace.

Examples:
  cargo conzone run
  cargo conzone run --preset ufs4-tlc --set l2p-cache-size=64K
  cargo conzone run --job my.fio --timing real --out results
  cargo conzone run -- --rw=randread --bs=4k --size=4z --io_size=16m"
)]
pub struct Args {
    #[command(flatten)]
    vm: vm::Options,
    /// The fio job file; fio arguments after `--` then are defaults for its jobs
    #[arg(short, long, value_name = "FILE.fio")]
    job: Option<PathBuf>,
    /// Where the results go [default: conzone-out/NUMBER-PRESET]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
    /// fio arguments: the job itself, if there is no --job
    #[arg(last = true, value_name = "FIO ARGUMENTS")]
    fio: Vec<String>,
}

/// Runs the job, prints the figures, writes the files.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    if let Some(job) = &args.job {
        fs::metadata(job).map_err(|e| Prerequisite(format!("--job {}: {e}", job.display())))?;
    }
    let machine = args.vm.machine(context, Timing::Virtual)?;
    let work = tempfile::tempdir().context("making a temporary directory")?;
    let job = job(args, work.path())?;

    let spinner = context.progress.spinner("starting the guest");
    let mut running = machine.start(&job)?;
    spinner.set_message("fio is running in the guest");
    let mut said = String::new();
    let limit = Duration::from_secs(args.timeout);
    let outcome = running.wait(limit, |_, bytes| {
        said.push_str(&String::from_utf8_lossy(bytes))
    })?;
    let stats = statistics(running.qmp());
    let qemu = version(running.qmp());
    running.quit()?;
    spinner.finish_and_clear();

    let read = |name: &str| fs::read_to_string(work.path().join(name)).unwrap_or_default();
    let fio_text = read("fio.json");
    let Ok(fio) = fio::parse(&fio_text) else {
        bail!(
            "fio did not run (status {}): {}",
            outcome.status,
            first_words(&said, &fio_text)
        );
    };
    if fio.jobs.iter().all(|job| job.directions().next().is_none()) {
        bail!("fio did no I/O: {}", first_words(&said, &fio_text));
    }
    let report = Report {
        title: title(args),
        settings: settings(args, &machine, &qemu, &read("facts"), &fio),
        fio,
        fio_text,
        stats,
        timeline: timeline::parse(&read("samples"), SAMPLE_MS)?,
        properties: properties(&args.vm)?,
        job: read("job"),
    };
    let out = args
        .out
        .clone()
        .map_or_else(|| next_directory(&args.vm), Ok)?;
    report.write(&out)?;
    show(context, args, &report, &out)?;
    if outcome.status != 0 || report.summary().errors > 0 {
        let said = first_words(&said, &report.fio_text);
        bail!("fio reports errors (status {}): {said}", outcome.status);
    }
    Ok(ExitCode::SUCCESS)
}

/// The guest's script with the files it needs; `work` takes what it leaves.
fn job(args: &Args, work: &Path) -> Result<guest::Job> {
    let words = args.fio.iter().map(String::as_str);
    let words = shlex::try_join(words)
        .map_err(|_| Prerequisite("fio arguments cannot contain a NUL byte".into()))?;
    let mut job = guest::Job::new(format!("args=({words})\n{GUEST_SCRIPT}"));
    for (name, text) in [("zoned.fio", ZONED_JOB), ("block.fio", BLOCK_JOB)] {
        let path = work.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        job = job.file(path, format!("/root/{name}"));
    }
    if let Some(file) = &args.job {
        job = job.file(file, "/root/job.fio");
    }
    for name in RESULTS {
        job = job.fetch(format!("/tmp/out/{name}"), work.join(name));
    }
    Ok(job)
}

/// What the drive counted; `None` for a drive of the user's own that counts nothing.
fn statistics(qmp: &mut guest::Qmp) -> Option<Value> {
    let path = format!("/machine/peripheral/{}", vm::DRIVE_ID);
    let stats = qmp
        .execute("qom-get", json!({"path": path, "property": "stats"}))
        .ok()?;
    serde_json::from_str(stats.as_str()?).ok()
}

/// QEMU's version as it says it, such as `10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)`.
fn version(qmp: &mut guest::Qmp) -> String {
    let Ok(answer) = qmp.execute("query-version", json!({})) else {
        return "?".into();
    };
    let part = |name: &str| answer["qemu"][name].as_u64().unwrap_or(0);
    let package = answer["package"].as_str().unwrap_or_default();
    let number = format!("{}.{}.{}", part("major"), part("minor"), part("micro"));
    if package.is_empty() {
        number
    } else {
        format!("{number} ({package})")
    }
}

fn title(args: &Args) -> String {
    let drive = if args.vm.device.is_empty() {
        &args.vm.preset
    } else {
        &args.vm.device[0]
    };
    let time = match args.vm.timing(Timing::Virtual) {
        Timing::Virtual => "virtual time",
        Timing::Real => "real time",
        Timing::Off => "no drive latency",
    };
    format!("{drive}, {time}")
}

fn settings(
    args: &Args,
    machine: &guest::Machine,
    qemu: &str,
    facts: &str,
    fio: &fio::Output,
) -> Vec<Setting> {
    let fact = |name: &str| {
        let line = facts.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or("?").trim().to_owned()
    };
    vec![
        Setting::new("command", command_line(std::env::args().skip(1))),
        Setting::new("device", machine.devices.join("\n")),
        Setting::new("namespace", fact("namespace")),
        Setting::new("timing", args.vm.timing(Timing::Virtual).name()),
        Setting::new(
            "guest",
            format!("{} CPUs, {} MiB", machine.smp, machine.memory_mib),
        ),
        Setting::new("Linux", fact("kernel")),
        Setting::new("QEMU", qemu),
        Setting::new("fio", fio.version.clone()),
        Setting::new("conzone", env!("CARGO_PKG_VERSION")),
    ]
}

/// Every property of the drive with its value in effect.
fn properties(vm: &vm::Options) -> Result<Vec<DriveProperty>> {
    if !vm.device.is_empty() {
        return Ok(Vec::new());
    }
    let config = vm.config()?;
    let property = |property: &ssd::Property| {
        let (name, explicit) = (property.name(), config.is_explicit(property.key));
        Ok(DriveProperty {
            name,
            value: config.get(name)?,
            explicit,
        })
    };
    ssd::PROPERTIES.iter().map(property).collect()
}

/// What to type to get the same again.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = ["cargo".into(), "conzone".into()]
        .into_iter()
        .chain(arguments)
        .collect();
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

fn show(context: &Context, args: &Args, report: &Report, out: &Path) -> Result<()> {
    let summary = report.summary();
    if args.json {
        let mut value = serde_json::to_value(&summary)?;
        value["out"] = json!(out);
        println!("{value:#}");
        return Ok(());
    }
    println!("{}\n{}", report.title, summary.text());
    println!("report: {}", out.join("report.html").display());
    if report.stats.is_none() {
        context.progress.note("the device gave no statistics");
    }
    Ok(())
}

/// The first line that fio or the script said, to name the reason in one line.
fn first_words(said: &str, output: &str) -> String {
    let lines = said
        .lines()
        .chain(output.lines().take_while(|line| !line.starts_with('{')));
    lines
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("it gave no reason")
        .to_owned()
}

/// The next free `conzone-out/NUMBER-PRESET` in the current directory.
fn next_directory(vm: &vm::Options) -> Result<PathBuf> {
    let parent = PathBuf::from("conzone-out");
    fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
    let entries = fs::read_dir(&parent).with_context(|| format!("reading {}", parent.display()))?;
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let what = if vm.device.is_empty() {
        &vm.preset
    } else {
        "device"
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
    fn the_reason_is_the_first_line_that_says_something() {
        assert_eq!(
            first_words("\n  fio: bad option\nmore", ""),
            "fio: bad option"
        );
        assert_eq!(
            first_words("", "fio: job needs size\n{\n}"),
            "fio: job needs size"
        );
        assert_eq!(first_words("", "{ }"), "it gave no reason");
    }

    #[test]
    fn the_command_is_quoted_for_a_shell() {
        let words = ["run", "--set", "serial=a b"].map(str::to_owned);
        assert_eq!(
            command_line(words.into_iter()),
            "cargo conzone run --set 'serial=a b'"
        );
    }

    #[test]
    fn every_result_is_fetched_and_written_by_the_script() {
        for name in RESULTS {
            assert!(GUEST_SCRIPT.contains(&format!("$out/{name}")), "{name}");
        }
        assert!(GUEST_SCRIPT.contains(&format!("--log_avg_msec={SAMPLE_MS} ")));
    }
}
