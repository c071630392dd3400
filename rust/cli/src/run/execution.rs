// SPDX-License-Identifier: GPL-2.0-or-later
//! One boot of the guest with the job in it, and everything it leaves.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use serde_json::{json, Value};

use crate::{qom, vm};
use report::fio;
use setup::Context;

/// What the guest leaves in /tmp/out.
pub const RESULTS: [&str; 5] = ["fio.json", "samples", "facts", "job", "console.log"];

/// What it leaves there, too, with `--percentiles-every`.
pub const HISTOGRAMS: &str = "histograms";

/// And what a file system says of itself.
pub const FILESYSTEM: &str = "filesystem";

/// What came of it, as texts: what is compared must not have been parsed and printed again.
#[derive(Debug, Default)]
pub struct Execution {
    /// Exit status of the guest's script.
    pub status: i32,
    /// What the script and fio said.
    pub said: String,
    /// The guest's kernel log, with its times.
    pub console: String,
    /// The drive's statistics; empty for a drive of the user's own that counts nothing.
    pub stats: String,
    /// The counters over model time, CSV; empty like the statistics.
    pub series: String,
    /// The zones at the end, CSV; empty like the statistics.
    pub zones: String,
    /// How full they were over model time, CSV; empty like the statistics.
    pub zone_series: String,
    /// What was read of them, as `zone-reads` has it.
    pub zone_reads: String,
    /// The file that the device recorded its commands into; why that is not complete.
    pub recorded: String,
    /// Commands took the model's time at the end (`timing`).
    pub timed: bool,
    /// QEMU's version as it says it.
    pub qemu: String,
    /// fio's report.
    pub fio: String,
    /// fio's samples over time.
    pub samples: String,
    /// fio's histogram logs, if there were to be any.
    pub histograms: String,
    /// Lines of a name and a value: kernel, namespace.
    pub facts: String,
    /// The job file.
    pub job: String,
    /// What the file system says of itself, if that is F2FS.
    pub filesystem: String,
    /// Files that the guest did not have, with reasons.
    pub missing: Vec<String>,
}

impl Execution {
    /// Boots, waits for the job to end, and collects; `work` takes the files.
    ///
    /// # Errors
    /// A guest that dies or does not finish in time.
    pub fn of(
        context: &Context,
        machine: &guest::Machine,
        job: &guest::Job,
        work: &Path,
        limit: Duration,
    ) -> Result<Self> {
        let spinner = context.progress.spinner("starting the guest");
        let mut running = machine.start(job)?;
        spinner.set_message("fio is running in the guest");
        let mut said = String::new();
        let outcome = running.wait(limit, |_, bytes| {
            said.push_str(&String::from_utf8_lossy(bytes))
        })?;
        let names = [
            "stats",
            "series",
            "zone-map",
            "zone-series",
            "zone-reads",
            "record",
        ];
        let [stats, series, zones, zone_series, zone_reads, recorded] = names
            .map(|name| property(running.qmp(), name))
            .map(|text| text.and_then(|text| text.as_str().map(str::to_owned)))
            .map(Option::unwrap_or_default);
        let timed = property(running.qmp(), "timing") == Some(Value::Bool(true));
        let qemu = version(running.qmp());
        running.quit()?;
        spinner.finish_and_clear();
        // fio's report is missing if fio did not start; that is told from what it said.
        let read = |name: &str| fs::read_to_string(work.join(name)).unwrap_or_default();
        let [fio, samples, facts, job, console] = RESULTS.map(read);
        Ok(Self {
            status: outcome.status,
            said,
            console,
            stats,
            series,
            zones,
            zone_series,
            zone_reads,
            recorded,
            timed,
            qemu,
            fio,
            samples,
            histograms: read(HISTOGRAMS),
            facts,
            job,
            filesystem: read(FILESYSTEM),
            missing: outcome.missing,
        })
    }

    /// fio's report.
    ///
    /// # Errors
    /// fio did not run, or did no I/O; with its own reason.
    pub fn parse(&self) -> Result<fio::Output> {
        let Ok(fio) = fio::parse(&self.fio) else {
            bail!(
                "fio did not run (status {}): {}",
                self.status,
                self.first_words()
            );
        };
        if fio.jobs.iter().all(fio::Job::is_idle) {
            match self.hint() {
                "" => bail!("fio did no I/O: {}", self.first_words()),
                hint => bail!("fio did no I/O{hint}"),
            }
        }
        Ok(fio)
    }

    /// Why a job may have done nothing without a complaint of fio's: it skips what lies beyond a write pointer.
    pub fn hint(&self) -> &'static str {
        if self.fact("zoned") == "host-managed" && self.job.contains("read") {
            ": zones that were never written have nothing to read; fill them in a job before \
             (--name=fill --rw=write ... --name=read --stonewall ...), or set --read_beyond_wp=1"
        } else {
            ""
        }
    }

    /// The statistics.
    ///
    /// # Errors
    /// They are no JSON.
    pub fn statistics(&self) -> Result<Option<Value>> {
        if self.stats.is_empty() {
            return Ok(None);
        }
        let stats = serde_json::from_str(&self.stats).context("reading the drive's statistics")?;
        Ok(Some(stats))
    }

    /// A fact by its name.
    pub fn fact(&self, name: &str) -> String {
        let mut lines = self.facts.lines().filter_map(|line| line.split_once(' '));
        let line = lines
            .find(|(fact, _)| *fact == name)
            .map(|(_, value)| value);
        line.unwrap_or("?").trim().to_owned()
    }

    /// The first line that fio or the script said, to name the reason in one line.
    pub fn first_words(&self) -> String {
        let fio = self.fio.lines().take_while(|line| !line.starts_with('{'));
        let mut lines = self.said.lines().chain(fio).map(str::trim);
        lines
            .find(|line| !line.is_empty())
            .unwrap_or("it gave no reason")
            .to_owned()
    }
}

/// A property of the drive; `None` for a drive of the user's own that has it not.
fn property(qmp: &mut guest::Qmp, name: &str) -> Option<Value> {
    let path = format!("/machine/peripheral/{}", vm::DRIVE_ID);
    qom::value(qmp, &path, name).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_of_nothing_is_told_why() {
        let idle = |facts: &str| Execution {
            fio: r#"{"fio version": "fio-3.39", "jobs": [{"jobname": "run"}]}"#.into(),
            job: "--name=run\n--rw=randread\n".into(),
            facts: facts.into(),
            ..Execution::default()
        };
        let said = |facts| idle(facts).parse().unwrap_err().to_string();
        assert!(said("zoned host-managed").contains("--name=fill"));
        assert_eq!(said("zoned none"), "fio did no I/O: it gave no reason");
    }

    #[test]
    fn the_reason_is_the_first_line_that_says_something() {
        let words = |said: &str, fio: &str| {
            let (said, fio) = (said.to_owned(), fio.to_owned());
            let execution = Execution {
                said,
                fio,
                ..Execution::default()
            };
            execution.first_words()
        };
        assert_eq!(words("\n  fio: bad option\nmore", ""), "fio: bad option");
        assert_eq!(
            words("", "fio: job needs size\n{\n}"),
            "fio: job needs size"
        );
        assert_eq!(words("", "{ }"), "it gave no reason");
    }
}
