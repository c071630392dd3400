// SPDX-License-Identifier: GPL-2.0-or-later
//! What fio prints with `--output-format=json+`, as far as the report needs it.
//!
//! Fields that fio leaves out (older versions, directions without I/O) take their default; unknown ones are
//! ignored. All times are nanoseconds unless the name says otherwise, sizes bytes.

use std::collections::BTreeMap;

use anyhow::{bail, Context, Result};
use serde::de::IgnoredAny;
use serde::Deserialize;

/// One fio run.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Output {
    /// For example `fio-3.39`.
    #[serde(rename = "fio version")]
    pub version: String,
    /// The jobs, in the order of the job file (one for each group with `group_reporting`).
    #[serde(default)]
    pub jobs: Vec<Job>,
    /// Options that all jobs have.
    #[serde(rename = "global options", default)]
    options: BTreeMap<String, String>,
}

impl Output {
    /// An option of a job, its own or everybody's.
    fn option<'a>(&'a self, job: &'a Job, name: &str) -> Option<&'a str> {
        let own = job.options.get(name).or_else(|| self.options.get(name));
        own.map(String::as_str)
    }

    /// How many I/Os a job has outstanding at most.
    pub fn outstanding(&self, job: &Job) -> f64 {
        let number = |name| self.option(job, name).and_then(|n| n.parse::<f64>().ok());
        ["iodepth", "numjobs"]
            .map(|name| number(name).unwrap_or(1.0))
            .iter()
            .product()
    }

    /// Whether each I/O of a job is for itself and nothing else is in its time: one is outstanding, and none is verified.
    pub fn is_plain(&self, job: &Job) -> bool {
        self.outstanding(job) <= 1.0 && self.option(job, "verify").is_none()
    }
}

/// One job's results.
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    /// Section name in the job file.
    pub jobname: String,
    /// errno of the first failure, 0 when all went well.
    #[serde(default)]
    pub error: i64,
    /// I/O errors that did not stop the job (`continue_on_error`).
    #[serde(default)]
    pub total_err: u64,
    /// Start, milliseconds since the epoch of the guest's clock; fio 3.36 and later.
    #[serde(default)]
    pub job_start: Option<u64>,
    #[serde(default)]
    read: Direction,
    #[serde(default)]
    write: Direction,
    #[serde(default)]
    trim: Direction,
    #[serde(default)]
    sync: Direction,
    /// How long the job ran, milliseconds.
    #[serde(default)]
    job_runtime: u64,
    /// Shares of a processor's time that its threads took, per cent.
    #[serde(default)]
    usr_cpu: f64,
    #[serde(default)]
    sys_cpu: f64,
    #[serde(rename = "job options", default)]
    options: BTreeMap<String, String>,
}

impl Job {
    /// [`Job::directions`], and `sync`: the calls of fsync and fdatasync, which move no bytes of their own.
    pub fn operations(&self) -> impl Iterator<Item = (&'static str, Direction)> + use<'_> {
        let seconds = self.job_runtime as f64 / 1e3;
        // fio counts them beside their latencies, and 3.33 says 0 where it counts other I/Os.
        let calls = self.sync.total_ios.max(self.sync.lat_ns.samples);
        let sync = (calls > 0).then(|| Direction {
            total_ios: calls,
            iops: calls as f64 / seconds.max(1e-3),
            runtime: self.job_runtime,
            ..self.sync.clone()
        });
        self.directions()
            .map(|(op, direction)| (op, direction.clone()))
            .chain(sync.map(|sync| ("sync", sync)))
    }

    /// How long it ran, milliseconds.
    pub fn took_ms(&self) -> u64 {
        let sum = self
            .directions()
            .map(|(_, direction)| direction.runtime)
            .sum();
        self.job_runtime.max(sum)
    }

    /// The share of a processor's time that its threads took.
    pub fn cpu(&self) -> f64 {
        (self.usr_cpu + self.sys_cpu) / 100.0
    }

    /// Another option, for tests.
    #[cfg(test)]
    pub fn set(&mut self, name: &str, value: &str) {
        self.options.insert(name.into(), value.into());
    }

    /// It did no I/O at all.
    pub fn is_idle(&self) -> bool {
        self.directions().next().is_none()
    }

    /// The directions that did any I/O, with their names.
    pub fn directions(&self) -> impl Iterator<Item = (&'static str, &Direction)> {
        [
            ("read", &self.read),
            ("write", &self.write),
            ("trim", &self.trim),
        ]
        .into_iter()
        .filter(|(_, direction)| direction.total_ios > 0)
    }
}

/// Reads, writes or trims of a job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Direction {
    /// Bytes moved.
    pub io_bytes: u64,
    /// Mean bandwidth in bytes per second.
    pub bw_bytes: u64,
    /// Mean I/Os per second.
    pub iops: f64,
    /// Time spent in this direction, milliseconds.
    pub runtime: u64,
    /// Number of I/Os.
    pub total_ios: u64,
    clat_ns: Latency,
    lat_ns: Latency,
}

impl Direction {
    /// What jobs did that ran one after another, as if it had been one.
    pub fn joined<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let (mut whole, mut seconds, mut latency) = (Self::default(), 0.0, 0.0);
        for part in parts {
            let n = part.total_ios;
            whole.total_ios += n;
            whole.io_bytes += part.io_bytes;
            whole.runtime += part.runtime;
            seconds += part.io_bytes as f64 / part.bw_bytes.max(1) as f64;
            latency += part.latency().mean * n as f64;
            whole.lat_ns.join(part.latency());
        }
        let ios = whole.total_ios as f64;
        if ios > 0.0 && seconds > 0.0 {
            whole.lat_ns.mean = latency / ios;
            whole.iops = ios / seconds;
            whole.bw_bytes = (whole.io_bytes as f64 / seconds) as u64;
        }
        whole
    }

    /// Submission to completion where fio kept its distribution (`lat_percentiles=1`), else completion latency.
    pub fn latency(&self) -> &Latency {
        if self.lat_ns.percentile.is_empty() && !self.clat_ns.percentile.is_empty() {
            &self.clat_ns
        } else {
            &self.lat_ns
        }
    }
}

/// Bits of a latency that fio's buckets keep (stat.h, `FIO_IO_U_PLAT_BITS`), and the number of its buckets
/// (`FIO_IO_U_PLAT_NR`).
const BITS: u32 = 6;
const BUCKETS: usize = 29 << BITS;

/// The highest latency, ns, of the bucket of this number in a histogram log (stat.c, `plat_idx_to_val`).
pub fn bucket_last(bucket: usize) -> Option<u64> {
    let width = ((bucket >> BITS) as u32).saturating_sub(1);
    let place = bucket as u64 - (u64::from(width) << BITS);
    (bucket < BUCKETS).then(|| ((place + 1) << width) - 1)
}

/// A latency distribution.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Longest.
    pub max: u64,
    /// Mean.
    pub mean: f64,
    /// How many it is of.
    #[serde(rename = "N")]
    samples: u64,
    /// Percentile ("99.000000") to latency.
    percentile: BTreeMap<String, u64>,
    /// Latency to number of I/Os (`json+`).
    bins: BTreeMap<u64, u64>,
}

impl Latency {
    /// Adds another distribution; not its mean, whose weight it does not know.
    fn join(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        for (latency, count) in &other.bins {
            *self.bins.entry(*latency).or_default() += count;
        }
    }

    /// A latency that `percent` of the I/Os do not exceed, at most the longest: from the histogram where there is one,
    /// else from the percentiles fio was asked for.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        let total: u64 = self.bins.values().sum();
        if total == 0 {
            let asked = self.percentile.get(&format!("{percent:.6}"));
            return asked.map(|&middle| self.bucket_end(middle));
        }
        let mut seen = 0;
        for (&latency, &count) in &self.bins {
            seen += count;
            if seen as f64 >= total as f64 * percent / 100.0 {
                return Some(self.bucket_end(latency));
            }
        }
        None
    }

    /// The highest latency of the bucket that fio names by its middle, as far as there was one.
    ///
    /// fio keeps 64 buckets for each power of two above 128 ns (stat.h, `FIO_IO_U_PLAT_BITS` = 6) and prints their
    /// middles (stat.c, `plat_idx_to_val`): up to 0.8 % above or below what was measured. A percentile is a promise
    /// that so many I/Os took no longer, so it is the bucket's end.
    fn bucket_end(&self, middle: u64) -> u64 {
        let shift = middle.checked_ilog2().unwrap_or(0).saturating_sub(BITS);
        let end = match shift {
            0 => middle,
            _ => middle + (1 << (shift - 1)) - 1,
        };
        end.min(self.max)
    }

    /// Points (latency, share of I/Os up to it, 0..=1) of the cumulative distribution; empty without a histogram.
    pub fn distribution(&self) -> Vec<(u64, f64)> {
        let total: u64 = self.bins.values().sum();
        let mut seen = 0;
        self.bins
            .iter()
            .map(|(&latency, &count)| {
                seen += count;
                (self.bucket_end(latency), seen as f64 / total as f64)
            })
            .collect()
    }
}

/// Parses fio's output; what it says beside the JSON is skipped.
pub fn parse(text: &str) -> Result<Output> {
    let (json, _) = split(text)?;
    serde_json::from_str(json).context("reading fio's JSON")
}

/// The JSON of what fio printed, and its notes and warnings before and behind, trimmed.
///
/// # Errors
/// There is no JSON.
pub fn split(text: &str) -> Result<(&str, String)> {
    let nothing = || text.lines().next().unwrap_or("(nothing)");
    let start = match text.find("\n{") {
        _ if text.starts_with('{') => 0,
        Some(at) => at + 1,
        None => bail!("fio printed no JSON: {}", nothing()),
    };
    let (before, rest) = text.split_at(start);
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
    values
        .next()
        .context("fio printed no JSON")?
        .context("reading fio's JSON")?;
    let (json, behind) = rest.split_at(values.byte_offset());
    let notes = [before.trim(), behind.trim()].join("\n");
    Ok((json, notes.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::FIO_JSON;

    #[test]
    fn reads_jobs_and_skips_warnings() {
        let text =
            format!("note: both iodepth >= 1 and synchronous I/O engine\n{FIO_JSON}\ntrailing\n");
        let output = parse(&text).unwrap();
        let notes = "note: both iodepth >= 1 and synchronous I/O engine\ntrailing";
        assert_eq!(split(&text).unwrap(), (FIO_JSON, notes.to_owned()));
        assert_eq!(output.version, "fio-3.39");
        assert_eq!(output.jobs.len(), 2);
        let names: Vec<_> = output.jobs[0].directions().map(|(name, _)| name).collect();
        assert_eq!(names, ["write"]);
        assert_eq!(output.jobs[1].job_start, Some(1_577_836_804_000));
    }

    #[test]
    fn percentiles_come_from_the_histogram() {
        let output = parse(FIO_JSON).unwrap();
        let (_, read) = output.jobs[1].directions().next().unwrap();
        let latency = read.latency();
        // Ends of buckets of 512 and 1024 ns, and never above the longest.
        assert_eq!(latency.percentile(50.0), Some(60_255));
        assert_eq!(latency.percentile(99.0), Some(64_255));
        assert_eq!(latency.percentile(99.9), Some(90_500));
        assert_eq!(latency.percentile(100.0), Some(90_500));
        assert_eq!(latency.distribution().last(), Some(&(90_500, 1.0)));
    }

    #[test]
    fn buckets_follow_each_other_up_to_the_last() {
        let ends: Vec<_> = (0..BUCKETS + 1).map(bucket_last).collect();
        // Each nanosecond up to 127, then each two, then each four.
        assert_eq!(ends[127..131], [127, 129, 131, 133].map(Some));
        assert_eq!(ends[192], Some(259));
        assert!(ends[..BUCKETS].windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(
            (ends[BUCKETS - 1], ends[BUCKETS]),
            (Some((1 << 34) - 1), None)
        );
        // As the end of the bucket that json+ names by its middle.
        let latency = Latency {
            max: u64::MAX,
            ..Latency::default()
        };
        assert_eq!(latency.bucket_end(60_160), 60_415);
        assert!(ends.contains(&Some(60_415)));
    }

    #[test]
    fn percentiles_without_a_histogram_are_fios_own() {
        let output = parse(FIO_JSON).unwrap();
        let (_, write) = output.jobs[0].directions().next().unwrap();
        assert_eq!(write.latency().percentile(99.0), Some(502_047));
        assert_eq!(write.latency().percentile(12.0), None);
        assert!(write.latency().distribution().is_empty());
    }

    #[test]
    fn fsync_is_an_operation_that_moves_nothing() {
        let text = r#"{"fio version": "fio-3.39", "jobs": [{"jobname": "db", "job_runtime": 500,
            "write": {"total_ios": 100, "io_bytes": 409600},
            "sync": {"total_ios": 0, "lat_ns": {"max": 900, "mean": 800.0, "N": 50, "bins": {"800": 50}}}}]}"#;
        let output = parse(text).unwrap();
        let job = &output.jobs[0];
        assert_eq!(job.directions().count(), 1);
        let (op, sync) = job.operations().last().unwrap();
        assert_eq!((op, sync.total_ios, sync.iops), ("sync", 50, 100.0));
        assert_eq!(sync.latency().percentile(99.0), Some(803));
    }

    #[test]
    fn jobs_one_after_another_join() {
        let output = parse(FIO_JSON).unwrap();
        let (_, read) = output.jobs[1].directions().next().unwrap();
        let slower = Direction {
            bw_bytes: read.bw_bytes / 3,
            ..read.clone()
        };
        let both = Direction::joined([read, &slower].into_iter());
        assert_eq!((both.total_ios, both.io_bytes), (2000, 8_192_000));
        // Twice the bytes in (1 + 3) times the time.
        assert!(both.bw_bytes.abs_diff(read.bw_bytes / 2) < 10);
        assert_eq!(both.latency().mean, 60_500.0);
        assert_eq!(both.latency().percentile(50.0), Some(60_255));
        assert_eq!(both.latency().max, 90_500);
        assert_eq!(Direction::joined([].into_iter()).total_ios, 0);
    }

    #[test]
    fn says_what_fio_printed_instead_of_json() {
        let error = parse("fio: unable to open 'x.fio' job file\n").unwrap_err();
        assert!(error.to_string().contains("unable to open"), "{error}");
        assert!(parse("").unwrap_err().to_string().contains("(nothing)"));
        assert!(parse("{ \"fio version\" : ").is_err());
    }
}
