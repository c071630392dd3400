// SPDX-License-Identifier: GPL-2.0-or-later
//! The figures `run` ends with: one row for each job and direction, and what the drive counted.

use lab::stats::{figure, hit_rate};
use serde::Serialize;
use serde_json::Value;

use crate::fio::Output;
use crate::phases::{Limit, Phase};
use crate::times::Times;
use lab::table;

/// Results of one run, as `--json` prints them.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// One for each job and direction with I/O.
    pub jobs: Vec<Row>,
    /// Bytes programmed over bytes the host wrote.
    pub write_amplification: Option<f64>,
    /// L2P cache hits over look-ups, 0..=1.
    pub l2p_hit_rate: Option<f64>,
    /// What of the latencies is the drive's, and what the guest's.
    pub times: Vec<Times>,
    /// What each job was limited by.
    pub limits: Vec<Limit>,
    /// fio's errors, summed over the jobs.
    pub errors: u64,
    /// How late the device's timer was, where the guest's clock is the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer_lateness_ns: Option<Lateness>,
    /// Commands that waited for a drive that slept, if any did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wakes: Option<Wakes>,
}

/// Commands that waited until the drive was back from a low power state.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Wakes {
    pub commands: u64,
    pub mean_ns: f64,
    pub energy_mj: f64,
}

impl Wakes {
    /// None if no command waited.
    pub fn of(stats: &Value) -> Option<Self> {
        let states = stats.get("power_states")?;
        let commands = states.get("waits")?.as_u64().filter(|n| *n > 0)?;
        Some(Self {
            commands,
            mean_ns: figure(states, "waited_ns")? / commands as f64,
            energy_mj: figure(states, "energy_uj")? / 1e3,
        })
    }

    fn text(&self) -> String {
        let (commands, ms, energy) = (self.commands, self.mean_ns / 1e6, self.energy_mj);
        format!("\n{commands} commands waited for a drive that slept, {ms:.1} ms on average; it used {energy:.0} mJ")
    }
}

/// How long after a deadline the device's timer came, nanoseconds of the host's time.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Lateness {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// One direction of one job.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Section name in the job file.
    pub job: String,
    /// read, write, trim or sync (fsync and fdatasync).
    pub op: &'static str,
    /// I/Os done.
    pub ios: u64,
    /// I/Os a second.
    pub iops: f64,
    /// Bytes a second.
    pub bandwidth: u64,
    /// Latency, nanoseconds.
    pub latency_ns: Latency,
}

/// Latency figures in nanoseconds.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub mean: f64,
    pub p50: Option<u64>,
    pub p99: Option<u64>,
    pub p999: Option<u64>,
    pub max: u64,
}

impl Summary {
    /// Joins fio's results with the device's statistics (`None`: the device reports none) and what it did in each job.
    pub fn new(fio: &Output, stats: Option<&Value>, phases: &[Phase<'_>]) -> Self {
        let jobs = fio
            .jobs
            .iter()
            .flat_map(|job| {
                job.operations().map(|(op, direction)| {
                    let latency = direction.latency();
                    Row {
                        job: job.jobname.clone(),
                        op,
                        ios: direction.total_ios,
                        iops: direction.iops,
                        bandwidth: direction.bw_bytes,
                        latency_ns: Latency {
                            mean: latency.mean,
                            p50: latency.percentile(50.0),
                            p99: latency.percentile(99.0),
                            p999: latency.percentile(99.9),
                            max: latency.max,
                        },
                    }
                })
            })
            .collect();
        let errors = fio
            .jobs
            .iter()
            .map(|job| job.total_err.max(u64::from(job.error != 0)))
            .sum();
        Self {
            jobs,
            write_amplification: stats.and_then(|s| figure(s, "waf")),
            l2p_hit_rate: stats.and_then(hit_rate),
            times: Times::of(fio, stats, phases),
            limits: phases.iter().filter_map(|phase| phase.limit(fio)).collect(),
            errors,
            timer_lateness_ns: stats.and_then(lateness),
            wakes: stats.and_then(Wakes::of),
        }
    }

    /// For a drive that completes at once: nothing waited for the latencies that its model counted.
    pub fn without_times(self) -> Self {
        Self {
            times: Vec::new(),
            limits: Vec::new(),
            ..self
        }
    }

    /// The table and the lines below it, for a terminal.
    pub fn text(&self) -> String {
        let table = table::figures(Row::HEADER, 2, self.jobs.iter().map(Row::texts));
        let late = self.timer_lateness_ns.map_or_else(String::new, |late| {
            let [p50, p99, max] = [late.p50, late.p99, late.max].map(micros);
            format!("\ntimer lateness p50 {p50}, p99 {p99}, max {max} us: host noise on top of the drive's latency")
        });
        let lines = self.times.iter().map(Times::text);
        let lines = lines.chain(self.limits.iter().map(Limit::text));
        let times: String = lines.map(|line| line + "\n").collect();
        format!(
            "{table}\n{times}write amplification {}   L2P hit rate {}   errors {}{late}{}",
            self.write_amplification_text(),
            self.l2p_hit_rate_text(),
            self.errors,
            self.wakes.as_ref().map_or_else(String::new, Wakes::text)
        )
    }

    /// For people: two decimals, or a dash where the device did not say.
    pub fn write_amplification_text(&self) -> String {
        self.write_amplification
            .map_or_else(|| "-".into(), |waf| format!("{waf:.2}"))
    }

    /// For people: per cent, or a dash where there was no look-up.
    pub fn l2p_hit_rate_text(&self) -> String {
        self.l2p_hit_rate
            .map_or_else(|| "-".into(), |rate| format!("{:.1} %", rate * 100.0))
    }
}

impl Row {
    /// Column titles for [`Row::texts`].
    pub const HEADER: [&'static str; 9] = [
        "job", "op", "IOPS", "MB/s", "mean us", "p50 us", "p99 us", "p99.9 us", "max us",
    ];

    /// The row as the texts of its columns. MB is 10^6 bytes, as in fio's parentheses and data sheets.
    pub fn texts(&self) -> [String; 9] {
        let latency = &self.latency_ns;
        let percentile = |p: Option<u64>| p.map_or_else(|| "-".into(), |ns| micros(ns as f64));
        [
            self.job.clone(),
            self.op.into(),
            format!("{:.0}", self.iops),
            match self.op {
                "sync" => "-".into(),
                _ => format!("{:.1}", self.bandwidth as f64 / 1e6),
            },
            micros(latency.mean),
            percentile(latency.p50),
            percentile(latency.p99),
            percentile(latency.p999),
            micros(latency.max as f64),
        ]
    }
}

fn micros(ns: f64) -> String {
    let us = ns / 1e3;
    if us < 1000.0 {
        format!("{us:.1}")
    } else {
        format!("{us:.0}")
    }
}

fn lateness(stats: &Value) -> Option<Lateness> {
    let lateness = stats.get("timer_lateness")?;
    Some(Lateness {
        p50: figure(lateness, "p50_ns")?,
        p99: figure(lateness, "p99_ns")?,
        max: figure(lateness, "max_ns")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fio, samples};
    use serde_json::json;

    fn summary(stats: Option<Value>) -> Summary {
        Summary::new(&fio::parse(samples::FIO_JSON).unwrap(), stats.as_ref(), &[])
    }

    #[test]
    fn rows_are_the_directions_with_io() {
        let summary = summary(None);
        let ops: Vec<_> = summary
            .jobs
            .iter()
            .map(|r| (r.job.as_str(), r.op))
            .collect();
        assert_eq!(ops, [("fill", "write"), ("randread", "read")]);
        assert_eq!(summary.jobs[1].latency_ns.p99, Some(64_255));
        assert_eq!(summary.errors, 1);
    }

    #[test]
    fn the_drives_figures_come_from_its_statistics() {
        let with = summary(Some(json!({"waf": 1.25, "l2p_hits": 90, "l2p_misses": 10})));
        assert_eq!(with.write_amplification_text(), "1.25");
        assert_eq!(with.l2p_hit_rate_text(), "90.0 %");
        let without = summary(Some(json!({"flushes": 3})));
        assert_eq!(
            (without.write_amplification, without.l2p_hit_rate),
            (None, None)
        );
        assert_eq!(without.l2p_hit_rate_text(), "-");
    }

    #[test]
    fn what_waited_for_a_drive_that_slept_is_said_and_is_no_software() {
        let states = json!({"waits": 4, "waited_ns": 46_000_000, "energy_uj": 12_400});
        let latency = json!({"latency": {"read": {"count": 2, "mean_ns": 50_000}}});
        let mut stats = json!({"power_states": states, "namespaces": {"data": latency}});
        let text = summary(Some(stats.clone())).text();
        let line = "4 commands waited for a drive that slept, 11.5 ms on average; it used 12 mJ";
        assert!(text.ends_with(line), "{text}");
        stats["power_states"]["waits"] = 0.into();
        assert!(!summary(Some(stats)).text().contains("slept"));
    }

    #[test]
    fn the_table_shows_every_row_and_microseconds() {
        let text = summary(None).text();
        assert!(text.contains("randread"), "{text}");
        assert!(text.contains("60.5"), "mean of randread: {text}");
        assert!(text.contains("errors 1"), "{text}");
    }
}
