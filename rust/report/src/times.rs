// SPDX-License-Identifier: GPL-2.0-or-later
//! Where an I/O's time goes: what fio saw in the guest, less what the drive took in model time, is the guest's own
//! software (block layer, driver, interrupt, and waiting for a processor).
//!
//! The drive counts commands and the guest I/Os; where Linux splits I/Os or a file system is in between, the numbers
//! differ, and a difference of means would mean nothing. Then both are given, and how many commands an I/O is.

use serde::Serialize;
use serde_json::Value;

use crate::fio::{Job, Output};
use crate::phases::Phase;

/// Commands and I/Os are taken to be the same if their numbers differ by at most this share: a kernel reads a
/// partition table and the like on its own.
const STRAY: f64 = 0.01;

/// The I/Os of a direction, of one job or of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// The job; none for all there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// read or write.
    pub op: &'static str,
    /// Mean latency of fio's I/Os, nanoseconds.
    pub guest_ns: f64,
    /// Mean latency of the drive's commands in model time, nanoseconds.
    pub drive_ns: f64,
    /// Commands for each I/O.
    pub commands_per_io: f64,
    /// The guest's own software, nanoseconds, if an I/O is a command.
    pub software_ns: Option<f64>,
}

impl Times {
    /// What there is to say of each job that ran alone and waited for each of its I/Os: where several are outstanding, or
    /// what was read is verified, a difference of means is nothing. Without phases it is said of all jobs together, if
    /// they are all like that.
    pub fn of(fio: &Output, stats: Option<&Value>, phases: &[Phase<'_>]) -> Vec<Self> {
        const OPS: [&str; 2] = ["read", "write"];
        let Some(stats) = stats else {
            return Vec::new();
        };
        let wakes = crate::summary::Wakes::of(stats).is_some();
        let without_wakes = |times: Self| Self {
            // What commands waited for a drive that slept is neither.
            software_ns: times.software_ns.filter(|_| !wakes),
            ..times
        };
        if phases.is_empty() {
            let plain = fio.jobs.iter().all(|job| fio.is_plain(job));
            let ops = OPS.into_iter().filter(|_| plain);
            let all: Vec<&Job> = fio.jobs.iter().collect();
            return ops
                .filter_map(|op| Self::one(None, op, &all, total(stats, op)?))
                .map(without_wakes)
                .collect();
        }
        let alone = phases
            .iter()
            .filter_map(|phase| match phase.jobs.as_slice() {
                [job] => Some((phase, fio.jobs.get(*job)?)),
                _ => None,
            });
        let plain = alone.filter(|(_, job)| fio.is_plain(job));
        plain
            .flat_map(|(phase, job)| {
                OPS.map(|op| Self::one(Some(job.jobname.clone()), op, &[job], phase.drive(op)?))
            })
            .flatten()
            .map(without_wakes)
            .collect()
    }

    /// Of these jobs, for which the drive took so long on average for so many commands.
    fn one(
        job: Option<String>,
        op: &'static str,
        jobs: &[&Job],
        drive: (f64, f64),
    ) -> Option<Self> {
        let (mut ios, mut total) = (0.0, 0.0);
        let all = jobs.iter().flat_map(|job| job.directions());
        for (_, direction) in all.filter(|(name, _)| *name == op) {
            let n = direction.total_ios as f64;
            ios += n;
            total += n * direction.latency().mean;
        }
        let (drive_ns, commands) = drive;
        if ios == 0.0 || commands == 0.0 {
            return None;
        }
        let (guest_ns, commands_per_io) = (total / ios, commands / ios);
        let alike = (commands_per_io - 1.0).abs() <= STRAY;
        Some(Self {
            job,
            op,
            guest_ns,
            drive_ns,
            commands_per_io,
            software_ns: alike.then_some((guest_ns - drive_ns).max(0.0)),
        })
    }

    /// In one line.
    pub fn text(&self) -> String {
        let micros = |ns: f64| format!("{:.1}", ns / 1e3);
        let (op, guest, drive) = (self.op, micros(self.guest_ns), micros(self.drive_ns));
        let job = self
            .job
            .as_ref()
            .map_or_else(String::new, |job| format!("{job}: "));
        match self.software_ns {
            Some(software) => {
                let software = micros(software);
                format!("{job}mean {op} {guest} us = drive {drive} + guest software {software}")
            }
            None => format!(
                "{job}mean {op} {guest} us; drive {drive} us a command, {:.2} commands an I/O",
                self.commands_per_io
            ),
        }
    }
}

/// Mean latency of all commands of a direction, ns, and how many there were.
fn total(stats: &Value, op: &str) -> Option<(f64, f64)> {
    let (mut commands, mut busy) = (0.0, 0.0);
    for namespace in stats.get("namespaces")?.as_object()?.values() {
        let latency = &namespace["latency"][op];
        let n = latency["count"].as_f64().unwrap_or(0.0);
        commands += n;
        busy += n * latency["mean_ns"].as_f64().unwrap_or(0.0);
    }
    (commands > 0.0).then(|| (busy / commands, commands))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fio, samples};
    use serde_json::json;

    fn times(read_commands: u64, write_commands: u64) -> Vec<Times> {
        let fio = fio::parse(samples::FIO_JSON).unwrap();
        let latency = |count: u64, mean: u64| json!({"count": count, "mean_ns": mean});
        let stats = json!({"namespaces": {
            "meta": {"latency": {"read": latency(0, 0), "write": latency(0, 0)}},
            "data": {"latency": {"read": latency(read_commands, 48_000), "write": latency(write_commands, 9_000)}},
        }});
        Times::of(&fio, Some(&stats), &[])
    }

    #[test]
    fn the_rest_is_the_guests_software() {
        let ios = |op: &str| {
            let fio = fio::parse(samples::FIO_JSON).unwrap();
            let all = fio.jobs.iter().flat_map(|job| job.directions());
            all.filter(|(name, _)| *name == op)
                .map(|(_, direction)| direction.total_ios)
                .sum::<u64>()
        };
        let got = times(ios("read"), 2 * ios("write"));
        assert_eq!(
            got[0].text(),
            "mean read 60.5 us = drive 48.0 + guest software 12.5"
        );
        assert_eq!(got[1].software_ns, None, "two commands an I/O");
        assert!(
            got[1]
                .text()
                .ends_with("drive 9.0 us a command, 2.00 commands an I/O"),
            "{}",
            got[1].text()
        );
    }

    #[test]
    fn what_waited_for_a_drive_that_slept_is_nobodys_software() {
        let fio = fio::parse(samples::FIO_JSON).unwrap();
        let ios = fio.jobs.iter().flat_map(Job::directions);
        let reads: u64 = ios
            .filter(|(op, _)| *op == "read")
            .map(|(_, d)| d.total_ios)
            .sum();
        let software = |waits: u64| {
            let read = json!({"count": reads, "mean_ns": 48_000, "buckets_ns": {}});
            let stats = json!({
                "namespaces": {"data": {"latency": {"read": read}}},
                "power_states": {"waits": waits, "waited_ns": 10_000_000 * waits, "energy_uj": 1},
            });
            let times = Times::of(&fio, Some(&stats), &[]);
            times.iter().any(|times| times.software_ns.is_some())
        };
        assert!(software(0) && !software(1));
    }

    #[test]
    fn without_figures_there_is_nothing_to_say() {
        assert_eq!(times(0, 0), []);
        let fio = fio::parse(samples::FIO_JSON).unwrap();
        assert_eq!(Times::of(&fio, None, &[]), []);
        assert_eq!(Times::of(&fio, Some(&json!({"waf": 1})), &[]), []);
    }

    #[test]
    fn several_outstanding_or_verified_ios_have_no_share() {
        for (option, value) in [("iodepth", "32"), ("numjobs", "2"), ("verify", "crc32c")] {
            let mut fio = fio::parse(samples::FIO_JSON).unwrap();
            fio.jobs[1].set(option, value);
            let stats = json!({"namespaces": {"data": {"latency": {"read": {"count": 1000, "mean_ns": 48_000}}}}});
            assert_eq!(Times::of(&fio, Some(&stats), &[]), [], "{option}");
        }
    }
}
