// SPDX-License-Identifier: GPL-2.0-or-later
//! The device's own speed: fio on it, on QEMU's `nvme` and on the guest's `null_blk`, in the same boot of the same guest.
//!
//! Our drive takes no time (`timing=off`), so what is measured is the device: doorbell to interrupt. Theirs has a
//! RAM-backed file. The guest announces each job's begin and end; QEMU's processor time in between, over the I/Os
//! done, is the host's cost of an I/O (guest included, which is the same for both). With `null_blk` there is no device, so what
//! it costs is the limit, and what is above is what a device adds.
//!
//! So that the comparison is fair on a machine that does other things too, the devices take turns job by job, in
//! several rounds; ratios are formed within a round, and the table has the median of each. All media is written once
//! before, so that neither device pays for memory that is touched for the first time.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, ensure, Context as _, Result};
use serde::Serialize;

use crate::out::say;
use crate::table;
use crate::vm::in_argument;
use setup::Context;

const GUEST_SCRIPT: &str = include_str!("device.sh");

/// Twelve zones are used: eight to read, four to write.
const ZONES: u64 = 16;
/// Of each of the drives beside the first; two are read.
const MORE_ZONES: u64 = 8;
/// Drives of each kind: all of them in one job, the first alone in the others.
const DRIVES: u64 = 4;
const ZONE_SIZE: u64 = 128 << 20;

/// How often each job runs on each device.
const ROUNDS: usize = 5;

/// The kernel counts processor time in these (`USER_HZ`, a constant of the x86 ABI).
const TICK: Duration = Duration::from_millis(10);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// The device, and QEMU's own.
    QemuNvme,
    /// The device with its drives in images, and without.
    Image,
}

impl Pair {
    /// Both sides, as JSON has them.
    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::QemuNvme => ["conzone", "qemu_nvme"],
            Self::Image => ["image", "memory"],
        }
    }
}

/// A job on both devices.
#[derive(Debug)]
struct Comparison {
    job: String,
    ours: Figures,
    theirs: Figures,
    /// Of no device at all.
    null: Figures,
    /// Ours over theirs; more is better.
    iops_ratio: f64,
    /// Ours over theirs; less is better.
    host_cpu_ratio: f64,
    /// The same of what is above no device's.
    added_cpu_ratio: f64,
}

impl Comparison {
    fn json(&self, pair: Pair) -> serde_json::Value {
        let [ours, theirs] = pair.names();
        serde_json::json!({
            "job": self.job,
            ours: self.ours,
            theirs: self.theirs,
            "null_blk": self.null,
            "iops_ratio": self.iops_ratio,
            "host_cpu_ratio": self.host_cpu_ratio,
            "added_cpu_ratio": self.added_cpu_ratio,
        })
    }
}

/// A job on one device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Figures {
    iops: f64,
    /// Host processor time, microseconds per I/O.
    host_cpu_us: f64,
}

impl Figures {
    /// The middle of each figure over the rounds.
    fn median(rounds: &[Self]) -> Self {
        Self {
            iops: median(rounds.iter().map(|round| round.iops)),
            host_cpu_us: median(rounds.iter().map(|round| round.host_cpu_us)),
        }
    }
}

/// The middle value, the upper one of two; not a number if there is none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Boots, measures, prints the table of ratios.
pub fn run(context: &Context, seconds: u64, json: bool, pair: Pair) -> Result<ExitCode> {
    let image = setup::ensure(context)?;
    let folder = tempfile::tempdir_in("/dev/shm").context("making a folder in /dev/shm")?;
    let mut machine = guest::Machine::new(context.paths.qemu(), image);
    machine.firmware = vec![context.paths.firmware()];
    machine.smp = 2;
    for n in 0..DRIVES {
        let zones = if n == 0 { ZONES } else { MORE_ZONES };
        machine
            .devices
            .extend(devices(n, zones, pair, folder.path())?);
        if pair == Pair::QemuNvme {
            let backing = backing(folder.path(), n, zones)?;
            machine.extra_args.extend(["-drive".into(), backing]);
        }
    }

    let mut running = machine.start(&guest::Job::new(format!(
        "seconds={seconds} rounds={ROUNDS} drives={DRIVES}\n{GUEST_SCRIPT}"
    )))?;
    let spinner = context.progress.spinner("starting the guest");
    let pid = running.pid();
    let mut meter = Meter::default();
    let mut complaints = String::new();
    let limit = Duration::from_secs(600 + seconds * 120);
    let outcome = running.wait(limit, |stream, bytes| {
        let text = String::from_utf8_lossy(bytes);
        match stream {
            guest::Stream::Stdout => meter.take(&text, || processor_time(pid)),
            guest::Stream::Stderr => complaints.push_str(&text),
        }
        if let Some(job) = &meter.current {
            spinner.set_message(job.clone());
        }
    })?;
    running.quit()?;
    spinner.finish_and_clear();
    if outcome.status != 0 {
        bail!("the benchmark failed in the guest: {}", complaints.trim());
    }
    let rows = meter.comparisons()?;
    if json {
        let rows: Vec<_> = rows.iter().map(|row| row.json(pair)).collect();
        say!("{:#}", serde_json::Value::from(rows))?;
    } else {
        say!("{}\n{}", text(&rows, pair), note(pair))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the figures are, below the table.
fn note(pair: Pair) -> String {
    let theirs = match pair {
        Pair::QemuNvme => "QEMU's nvme on a RAM-backed file",
        Pair::Image => "with its drive in an image in memory, and without",
    };
    format!(
        "Medians of {ROUNDS} rounds in one boot, the devices taking turns; all media written before. conzone-nvme with \
         timing=off,\n{theirs}. qd1: fio's psync; qd32: io_uring, batch: 16 commands a \
         doorbell, d4: a\njob on each of four drives. host us/IO: QEMU's processor time, the guest's own work included; null_blk is no device \
         at all, and added\nis the ratio of what each device adds to its time."
    )
}

/// Ours, and theirs with the same zones: serial numbers `conzone0`, `reference0` and so on.
fn devices(n: u64, zones: u64, pair: Pair, folder: &Path) -> Result<Vec<String>> {
    let capacity = 96u64 << 20;
    let conzone = |serial: &str| {
        format!(
            "conzone-nvme,serial={serial}{n},preset=tlc-zoned,timing=off,shadow-doorbells=on,queue-entries=1024,zones={zones}"
        )
    };
    if pair == Pair::Image {
        let image = in_argument("", &folder.join(format!("conzone{n}.cz")), "")?;
        return Ok(vec![
            format!("{},image={image}", conzone("conzone")),
            conzone("reference"),
        ]);
    }
    Ok(vec![
        conzone("conzone"),
        format!("nvme,id=reference{n},serial=reference{n}"),
        format!(
            "nvme-ns,drive=reference{n},bus=reference{n},zoned=on,zoned.zone_size={ZONE_SIZE},\
             zoned.zone_capacity={capacity},zoned.max_open=6,zoned.max_active=6"
        ),
    ])
}

/// The RAM-backed file of one of theirs, as QEMU's `-drive` wants it.
fn backing(folder: &Path, n: u64, zones: u64) -> Result<String> {
    let path = folder.join(format!("reference{n}"));
    File::create(&path)
        .and_then(|file| file.set_len(zones * ZONE_SIZE))
        .with_context(|| format!("making {}", path.display()))?;
    let file = in_argument("", &path, "")?;
    Ok(format!("if=none,id=reference{n},format=raw,file={file}"))
}

/// User and system time that a process has used.
fn processor_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    ticks(&text)
        .map(|n| TICK * n)
        .with_context(|| format!("reading {path}"))
}

/// Fields 14 and 15 of `/proc/PID/stat`; the second field is a name in parentheses that may contain blanks.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// Reads the guest's announcements.
#[derive(Debug, Default)]
struct Meter {
    partial: String,
    current: Option<String>,
    begun: Duration,
    /// By job, then by serial number: each round's.
    done: BTreeMap<String, BTreeMap<String, Vec<Figures>>>,
    order: Vec<String>,
    problem: Option<String>,
}

impl Meter {
    fn take(&mut self, text: &str, mut clock: impl FnMut() -> Result<Duration>) {
        self.partial.push_str(text);
        while let Some((line, rest)) = self.partial.split_once('\n') {
            let (line, rest) = (line.to_owned(), rest.to_owned());
            self.partial = rest;
            if let Err(error) = self.line(&line, &mut clock) {
                self.problem.get_or_insert(format!("{error:#}"));
            }
        }
    }

    fn line(&mut self, line: &str, clock: &mut impl FnMut() -> Result<Duration>) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["begin", name] => {
                self.begun = clock()?;
                self.current = Some((*name).to_owned());
            }
            ["end", name, iops, ios, errors] => {
                let used = clock()?.saturating_sub(self.begun);
                ensure!(*errors == "0", "{name}: {errors} I/O errors");
                let (serial, job) = name.split_once(':').context("a job without a device")?;
                let iops: f64 = iops.parse().with_context(|| line.to_owned())?;
                let ios: f64 = ios.parse().with_context(|| line.to_owned())?;
                let host_cpu_us = used.as_secs_f64() * 1e6 / ios;
                self.record(serial, job, Figures { iops, host_cpu_us });
            }
            // fio's own remarks.
            _ => {}
        }
        Ok(())
    }

    fn record(&mut self, serial: &str, job: &str, figures: Figures) {
        if !self.order.iter().any(|known| known == job) {
            self.order.push(job.to_owned());
        }
        self.done
            .entry(job.to_owned())
            .or_default()
            .entry(serial.to_owned())
            .or_default()
            .push(figures);
    }

    fn comparisons(&self) -> Result<Vec<Comparison>> {
        if let Some(problem) = &self.problem {
            bail!("{problem}");
        }
        let rows = self.order.iter().map(|job| {
            let of = |serial: &str| self.done.get(job)?.get(serial);
            let (ours, theirs) = of("conzone")
                .zip(of("reference"))
                .filter(|(ours, theirs)| ours.len() == theirs.len())
                .with_context(|| format!("{job} ran on one device only"))?;
            let null = of("null")
                .filter(|null| null.len() == ours.len())
                .with_context(|| format!("{job} did not run on null_blk"))?;
            let ratio = |figure: fn(&Figures, &Figures) -> f64| {
                let rounds = ours.iter().zip(theirs).zip(null);
                median(
                    rounds.map(|((ours, theirs), null)| figure(ours, null) / figure(theirs, null)),
                )
            };
            Ok(Comparison {
                job: job.clone(),
                iops_ratio: ratio(|round, _| round.iops),
                host_cpu_ratio: ratio(|round, _| round.host_cpu_us),
                added_cpu_ratio: ratio(|round, null| round.host_cpu_us - null.host_cpu_us),
                ours: Figures::median(ours),
                theirs: Figures::median(theirs),
                null: Figures::median(null),
            })
        });
        rows.collect()
    }
}

fn text(rows: &[Comparison], pair: Pair) -> String {
    let theirs = match pair {
        Pair::QemuNvme => "QEMU nvme",
        Pair::Image => "no image",
    };
    let header = [
        "job",
        "IOPS",
        theirs,
        "ratio",
        "null_blk",
        "host us/IO",
        theirs,
        "ratio",
        "null_blk",
        "added",
    ];
    let cells = rows.iter().map(|row| {
        [
            row.job.clone(),
            format!("{:.0}", row.ours.iops),
            format!("{:.0}", row.theirs.iops),
            format!("{:.2}", row.iops_ratio),
            format!("{:.0}", row.null.iops),
            format!("{:.1}", row.ours.host_cpu_us),
            format!("{:.1}", row.theirs.host_cpu_us),
            format!("{:.2}", row.host_cpu_ratio),
            format!("{:.1}", row.null.host_cpu_us),
            format!("{:.2}", row.added_cpu_ratio),
        ]
    });
    table::figures(header, 1, cells).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(lines: &str) -> Meter {
        let mut meter = Meter::default();
        let mut now = 0;
        // Each look at the clock finds another 100 ms used.
        let mut clock = || {
            now += 100;
            Ok(Duration::from_millis(now))
        };
        for piece in lines.as_bytes().chunks(7) {
            meter.take(std::str::from_utf8(piece).unwrap(), &mut clock);
        }
        meter
    }

    #[test]
    fn both_devices_are_compared_job_by_job() {
        let round = |ours: u32, theirs: u32| {
            format!(
                "begin conzone:b\nend conzone:b {ours} 2000 0\nfio: a remark\n\
                 begin reference:b\nend reference:b {theirs} 500 0\nbegin null:b\nend null:b 1 4000 0\n"
            )
        };
        let slow_machine = round(100, 25) + &round(10, 100) + &round(1000, 250);
        let other = "begin conzone:a\nend conzone:a 10 100 0\nbegin reference:a\nend reference:a 20 200 0\n\
            begin null:a\nend null:a 1 1000 0\n";
        let rows = meter(&(slow_machine + other)).comparisons().unwrap();
        let jobs: Vec<_> = rows
            .iter()
            .map(|r| (r.job.as_str(), r.iops_ratio, r.ours.iops))
            .collect();
        assert_eq!(jobs, [("b", 4.0, 100.0), ("a", 0.5, 10.0)]);
        assert!(
            (rows[0].ours.host_cpu_us - 50.0).abs() < 1e-6,
            "0.1 s over 2000 I/Os"
        );
        assert!((rows[0].host_cpu_ratio - 0.25).abs() < 1e-6);
        let added = (50.0 - 25.0) / (200.0 - 25.0);
        assert!((rows[0].added_cpu_ratio - added).abs() < 1e-6);
        assert!((rows[0].null.host_cpu_us - 25.0).abs() < 1e-6);
        assert!(text(&rows, Pair::QemuNvme).contains("4.00"));
        assert!(rows[0].json(Pair::Image)["memory"]["iops"].is_number());
    }

    #[test]
    fn medians() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([5.0].into_iter()) - 5.0).abs() < 1e-9);
        assert!(median([].into_iter()).is_nan());
    }

    #[test]
    fn errors_and_missing_halves_are_refused() {
        let error = |lines| meter(lines).comparisons().unwrap_err().to_string();
        assert!(error("begin conzone:a\nend conzone:a 1 1 3\n").contains("3 I/O errors"));
        let half = "begin conzone:a\nend conzone:a 1 1 0\n";
        assert!(error(half).contains("one device only"));
        let lost = format!("{half}{half}begin reference:a\nend reference:a 1 1 0\n");
        assert!(
            error(&lost).contains("one device only"),
            "a round is missing"
        );
        let no_null = format!("{half}begin reference:a\nend reference:a 1 1 0\n");
        assert!(error(&no_null).contains("null_blk"));
    }

    #[test]
    fn processor_time_is_read_past_the_name() {
        let stat = "42 (qemu (x) 1) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("nonsense"), None);
    }
}
