// SPDX-License-Identifier: GPL-2.0-or-later
//! Where an I/O's time goes: what fio saw in the guest, less what the drive took in model time, is the guest's own
//! software (block layer, driver, interrupt, and waiting for a processor).
//!
//! The drive counts commands and the guest I/Os; where Linux splits I/Os or a file system is in between, the numbers
//! differ, and a difference of means would mean nothing. Then both are given, and how many commands an I/O is.

use serde::Serialize;
use serde_json::Value;

use crate::fio::Output;

/// Commands and I/Os are taken to be the same if their numbers differ by at most this share: a kernel reads a
/// partition table and the like on its own.
const STRAY: f64 = 0.01;

/// All I/Os of one direction, whatever job they belong to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
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
    /// What there is to say of a run; nothing for a drive that keeps no such statistics.
    pub fn of(fio: &Output, stats: Option<&Value>) -> Vec<Self> {
        let Some(stats) = stats else {
            return Vec::new();
        };
        let directions = ["read", "write"].into_iter();
        directions
            .filter_map(|op| Self::one(op, fio, stats))
            .collect()
    }

    fn one(op: &'static str, fio: &Output, stats: &Value) -> Option<Self> {
        let (mut ios, mut total) = (0.0, 0.0);
        let all = fio.jobs.iter().flat_map(|job| job.directions());
        for (_, direction) in all.filter(|(name, _)| *name == op) {
            let n = direction.total_ios as f64;
            ios += n;
            total += n * direction.latency().mean;
        }
        let (mut commands, mut busy) = (0.0, 0.0);
        for namespace in stats.get("namespaces")?.as_object()?.values() {
            let latency = &namespace["latency"][op];
            let n = latency["count"].as_f64().unwrap_or(0.0);
            commands += n;
            busy += n * latency["mean_ns"].as_f64().unwrap_or(0.0);
        }
        if ios == 0.0 || commands == 0.0 {
            return None;
        }
        let (guest_ns, drive_ns, commands_per_io) = (total / ios, busy / commands, commands / ios);
        let alike = (commands_per_io - 1.0).abs() <= STRAY;
        Some(Self {
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
        match self.software_ns {
            Some(software) => {
                let software = micros(software);
                format!("mean {op} {guest} us = drive {drive} + guest software {software}")
            }
            None => format!(
                "mean {op} {guest} us; drive {drive} us a command, {:.2} commands an I/O",
                self.commands_per_io
            ),
        }
    }
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
        Times::of(&fio, Some(&stats))
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
    fn without_figures_there_is_nothing_to_say() {
        assert_eq!(times(0, 0), []);
        let fio = fio::parse(samples::FIO_JSON).unwrap();
        assert_eq!(Times::of(&fio, None), []);
        assert_eq!(Times::of(&fio, Some(&json!({"waf": 1}))), []);
    }
}
