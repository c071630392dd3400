// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs an experiment's cases in the real guest, with fio: the drive's figures with an operating system around them.
//!
//! One boot a case, in virtual time, so that rows repeat byte for byte. The vendor log page (C0h) is read before and
//! after each phase: the difference is what the drive did in it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, ensure, Context as _, Result};

use lab::experiment::case::{Access, Case, Phase, Row, Workload};
use lab::experiment::model::difference;
use lab::experiment::Guest;
use lab::provenance::Setting;

use crate::vm::{self, Timing};
use report::fio;
use setup::Context;

/// A case may take so long on a busy host.
const LIMIT: Duration = Duration::from_secs(1800);

const PRELUDE: &str = include_str!("experiment/guest.sh");

/// What the guest measured in a phase: files by these names.
const FILES: [&str; 3] = ["fio", "before", "after"];

/// The guest that the repository builds.
pub struct Linux(pub Context);

impl Guest for Linux {
    fn prepare(&self) -> Result<Vec<PathBuf>> {
        setup::ensure(&self.0)?;
        let paths = &self.0.paths;
        Ok(vec![paths.qemu(), paths.target().join("guest/stamp")])
    }

    fn run(&self, case: &Case, seed: u16) -> Result<Vec<Row>> {
        run_case(&self.0, case, seed)
    }

    fn settings(&self) -> Vec<Setting> {
        let qemu = setup::qemu_version(&self.0).unwrap_or_else(|_| "?".into());
        vec![Setting::new("QEMU", qemu)]
    }
}

fn run_case(context: &Context, case: &Case, seed: u16) -> Result<Vec<Row>> {
    let (script, measured) = script(case, seed)?;
    let work = tempfile::tempdir().context("making a temporary directory")?;
    let mut job = guest::Job::new(script).merge_output();
    for number in 0..measured.len() {
        for file in FILES {
            let name = format!("{number}.{file}");
            job = job.fetch(format!("/tmp/{name}"), work.path().join(name));
        }
    }
    let options = vm::Options::of_drive(&case.drive);
    let (options, _old) = options.aged()?;
    let mut running = options.machine(context, Timing::Virtual)?.start(&job)?;
    let mut said = String::new();
    let outcome = running.wait(LIMIT, |_, bytes| said += &String::from_utf8_lossy(bytes))?;
    running.quit()?;
    if outcome.status != 0 {
        bail!(
            "the guest's script failed (status {}): {}",
            outcome.status,
            reason(&said)
        );
    }
    let rows = measured.iter().enumerate();
    rows.map(|(number, x)| row(case, *x, work.path(), number))
        .collect()
}

/// The line that says why a script failed: fio's first complaint, since a list of what is valid may follow it; else the
/// last line.
fn reason(said: &str) -> &str {
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let complaint = lines.clone().find(|line| line.starts_with("fio: "));
    complaint
        .or_else(|| lines.next_back())
        .unwrap_or("it gave no reason")
}

fn row(case: &Case, x: f64, work: &Path, number: usize) -> Result<Row> {
    let path = |file: &str| work.join(format!("{number}.{file}"));
    let text = fs::read_to_string(path("fio")).context("fio's output")?;
    let output = fio::parse(&text).context("fio's output")?;
    let log = |file: &str| ssd::VendorLog::parse(&fs::read(path(file))?).context("the vendor log");
    let (before, after) = (log("before")?.totals(), log("after")?.totals());
    // More than one where the phase is jobs one after another.
    let parts = output.jobs.iter().flat_map(fio::Job::directions);
    let whole = fio::Direction::joined(parts.map(|(_, direction)| direction));
    let latency = whole.latency();
    Ok(Row {
        series: case.series.clone(),
        x,
        commands: whole.total_ios,
        errors: output.jobs.iter().map(|job| job.total_err).sum(),
        bytes: whole.io_bytes,
        duration_ns: (whole.io_bytes as f64 / whole.bw_bytes.max(1) as f64 * 1e9) as u64,
        mean_ns: latency.mean as u64,
        p50_ns: latency.percentile(50.0).unwrap_or(0),
        p99_ns: latency.percentile(99.0).unwrap_or(0),
        max_ns: latency.max,
        counters: difference(&before, &after),
    })
}

/// The guest's script, and the x of each measured phase.
fn script(case: &Case, seed: u16) -> Result<(String, Vec<f64>)> {
    let mut text = PRELUDE.to_owned();
    let mut measured = Vec::new();
    match &case.workload {
        Workload::F2fs { fsync, bytes, x } => {
            measured.push(*x);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "f2fs_phase 0 {fsync} {bytes} {seed}");
        }
        Workload::Requests(_) => bail!("runs on the model only"),
        Workload::Raw(phases) => {
            for (at, phase) in phases.iter().enumerate() {
                if phase.pause_ms > 0 {
                    let _ = writeln!(text, "sleep {}e-3", phase.pause_ms);
                }
                let seed = usize::from(seed) << 8 | at;
                let number = phase
                    .x
                    .map_or_else(|| "-".into(), |_| measured.len().to_string());
                let _ = writeln!(text, "{}", call(&number, phase, seed)?);
                measured.extend(phase.x);
            }
        }
    }
    Ok((text, measured))
}

/// The script's line for a phase: what to read or write, and where, as fio's arguments.
fn call(number: &str, phase: &Phase, seed: usize) -> Result<String> {
    let common = format!("--bs={} --iodepth={}", phase.block, phase.depth);
    let common = match phase.think_us {
        0 => common,
        us => format!("{common} --thinktime={us}"),
    };
    let each = phase.bytes / u64::from(phase.jobs);
    // Other blocks in each phase, and some of them twice, as on the model. fio 3.33 takes no notice of a seed while randrepeat is on.
    let random = format!("--randrepeat=0 --randseed={seed} --norandommap");
    let (rw, span) = match phase.access {
        Access::Write => ("write".to_owned(), each),
        Access::RandomRead => (format!("randread {random}"), phase.range),
        Access::RandomWrite => (format!("randwrite {random}"), phase.range),
        Access::Rewrite => {
            ensure!(
                phase.jobs == 1 && phase.flush_every == 0,
                "the guest overwrites zones with one job and without flushes"
            );
            let range = phase.range;
            return Ok(format!(
                "rewrite {number} {seed} {range} --rw=write {common}"
            ));
        }
    };
    // Zones of its own for each job; random accesses lie in what was written.
    let place = format!("$(zones {span} {} {})", phase.jobs, phase.start);
    let flush = match phase.flush_every {
        0 => String::new(),
        every => format!(" --fsync={every}"),
    };
    Ok(format!(
        "phase {number} --rw={rw} {common} --io_size={each} {place}{flush}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::drive::{Base, Drive};

    #[test]
    fn every_guest_script_can_be_written() {
        use lab::experiment::catalogue::{Engine, ALL};
        for experiment in ALL.iter().filter(|e| e.engine != Engine::Model) {
            for case in experiment.cases(&Base::default(), &[], None) {
                script(&case, 0).unwrap();
            }
        }
    }

    #[test]
    fn phases_become_fio_calls() {
        let phases = vec![
            Phase::fill(1 << 20),
            Phase::random_read(1 << 20, 4096, 10).at(2.0),
        ];
        let case = Case::raw("s", Drive::new("tlc-zoned", &[]), phases);
        let (text, measured) = script(&case, 0).unwrap();
        assert_eq!(measured, [2.0]);
        let calls: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("phase "))
            .collect();
        assert_eq!(
            calls,
            [
                "phase - --rw=write --bs=262144 --iodepth=1 --io_size=1048576 $(zones 1048576 1 0)",
                "phase 0 --rw=randread --randrepeat=0 --randseed=1 --norandommap --bs=4096 --iodepth=1 --io_size=40960 $(zones 1048576 1 0)",
            ]
        );
    }

    #[test]
    fn the_guest_asks_for_the_whole_vendor_log() {
        let asked = PRELUDE.split("--log-len=").nth(1).unwrap_or_default();
        let asked = asked.split(' ').next().and_then(|n| n.parse().ok());
        // The header, and both namespaces' counters.
        assert!(
            asked >= Some(8 + 2 * 8 * ftl::Counter::ALL.len()),
            "{asked:?}"
        );
    }

    #[test]
    fn a_failed_script_says_why() {
        let usage =
            "note\nfio: failed parsing rw=writ\n  valid values: read\n              : write\n\n";
        assert_eq!(reason(usage), "fio: failed parsing rw=writ");
        assert_eq!(
            reason("one\nmount: no such device\n"),
            "mount: no such device"
        );
        assert_eq!(reason("\n"), "it gave no reason");
    }

    #[test]
    fn jobs_have_zones_of_their_own() {
        let phase = Phase {
            flush_every: 4,
            start: 5 << 20,
            ..Phase::write(3, 49_152, 3 << 20)
        };
        let text = call("0", &phase, 0).unwrap();
        assert!(
            text.ends_with("--io_size=1048576 $(zones 1048576 3 5242880) --fsync=4"),
            "{text}"
        );
    }

    #[test]
    fn zones_are_overwritten_by_one_job() {
        let rewrite = |jobs| Phase {
            access: Access::Rewrite,
            jobs,
            ..Phase::fill(1 << 20)
        };
        assert_eq!(
            call("3", &rewrite(1), 4).unwrap(),
            "rewrite 3 4 1048576 --rw=write --bs=262144 --iodepth=1"
        );
        assert!(call("3", &rewrite(2), 4).is_err());
    }
}
