// SPDX-License-Identifier: GPL-2.0-or-later
//! Bandwidth and latency over time, from fio's sample logs.
//!
//! fio writes one log a thread and kind; the guest script joins them into one text, each introduced by a
//! `# <name>_<bw|lat>.<thread>.log` line. Samples are `time_ms, value, direction, block size, offset`, where the
//! time is the guest's clock (`log_unix_epoch`) and so common to all threads, a bandwidth is KiB/s and a latency
//! nanoseconds. Both are fio's means over `log_avg_msec`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// Distance of fio's samples: its `log_avg_msec` in guest.sh.
pub const SAMPLE_MS: u64 = 20;

/// Read or write samples over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// (seconds since the first sample of the run, value).
    pub points: Vec<(f64, f64)>,
}

/// The run over time: one series for each direction that has samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// Bytes per second, summed over the threads.
    pub bandwidth: BTreeMap<&'static str, Series>,
    /// Mean latency in nanoseconds, averaged over the threads.
    pub latency: BTreeMap<&'static str, Series>,
    /// The guest's clock at time 0, milliseconds since its epoch.
    pub origin_ms: u64,
    /// The first sample of each of fio's threads, in their order, on the same clock: a job's start, where fio does not
    /// tell it (before 3.36), to the distance of samples.
    pub began_ms: Vec<u64>,
}

impl Timeline {
    /// The last sample, seconds.
    pub fn end(&self) -> f64 {
        let all = self.bandwidth.values().chain(self.latency.values());
        let ends = all.flat_map(|series| series.points.last());
        ends.map(|(x, _)| *x).fold(0.0, f64::max).max(1e-3)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bandwidth,
    Latency,
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        if name.contains("_bw.") {
            Self::Bandwidth
        } else if name.contains("_lat.") {
            Self::Latency
        } else {
            Self::Other
        }
    }
}

/// (sum, number of samples) in a slot of time.
type Slots = BTreeMap<u64, (f64, u32)>;

/// Parses the joined logs; samples are put into slots of `interval_ms`.
pub fn parse(text: &str, interval_ms: u64) -> Result<Timeline> {
    let interval_ms = interval_ms.max(1);
    let mut kind = Kind::Other;
    let mut bandwidth: BTreeMap<&'static str, Slots> = BTreeMap::new();
    let mut latency: BTreeMap<&'static str, Slots> = BTreeMap::new();
    let mut began: BTreeMap<u32, u64> = BTreeMap::new();
    let mut thread = 0;
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("# ") {
            kind = Kind::of(name);
            let mut parts = name.trim_end_matches(".log").rsplit('.');
            thread = parts.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            continue;
        }
        let into = match kind {
            Kind::Bandwidth => &mut bandwidth,
            Kind::Latency => &mut latency,
            Kind::Other => continue,
        };
        let sample =
            sample(line).with_context(|| format!("fio log line {}: {line:?}", number + 1))?;
        let first = began.entry(thread).or_insert(sample.time_ms);
        *first = sample.time_ms.min(*first);
        let slot = into
            .entry(sample.direction)
            .or_default()
            .entry(sample.time_ms / interval_ms)
            .or_default();
        slot.0 += sample.value;
        slot.1 += 1;
    }
    let first = bandwidth
        .values()
        .chain(latency.values())
        .filter_map(|slots| slots.keys().next())
        .min();
    let Some(&first) = first else {
        return Ok(Timeline::default());
    };
    let series = |slots: Slots, value: fn(f64, u32) -> f64| Series {
        points: slots
            .into_iter()
            .map(|(slot, (sum, n))| (((slot - first) * interval_ms) as f64 / 1e3, value(sum, n)))
            .collect(),
    };
    Ok(Timeline {
        bandwidth: bandwidth
            .into_iter()
            .map(|(d, s)| (d, series(s, |sum, _| sum * 1024.0)))
            .collect(),
        latency: latency
            .into_iter()
            .map(|(d, s)| (d, series(s, |sum, n| sum / f64::from(n))))
            .collect(),
        origin_ms: first * interval_ms,
        began_ms: began.into_values().collect(),
    })
}

struct Sample {
    time_ms: u64,
    value: f64,
    direction: &'static str,
}

fn sample(line: &str) -> Result<Sample> {
    let mut fields = line.split(',').map(str::trim);
    let time_ms = fields.next().context("no time")?.parse().context("time")?;
    let value = fields
        .next()
        .context("no value")?
        .parse()
        .context("value")?;
    let direction = direction(fields.next().context("no direction")?);
    Ok(Sample {
        time_ms,
        value,
        direction,
    })
}

/// The direction of fio's number for it.
pub fn direction(number: &str) -> &'static str {
    match number {
        "0" => "read",
        "1" => "write",
        _ => "trim",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGS: &str = "\
# run_bw.1.log
1000, 100, 1, 0, 0
1020, 300, 1, 0, 0
# run_bw.2.log
1000, 50, 1, 0, 0
1041, 10, 0, 0, 0
# run_lat.1.log
1001, 2000, 1, 0, 0
# run_lat.2.log
1003, 4000, 1, 0, 0
# run_slat.2.log
whatever
";

    #[test]
    fn threads_are_summed_in_bandwidth_and_averaged_in_latency() {
        let timeline = parse(LOGS, 20).unwrap();
        assert_eq!(timeline.origin_ms, 1000);
        assert_eq!(timeline.began_ms, [1000, 1000]);
        assert_eq!(
            timeline.bandwidth["write"].points,
            [(0.0, 150.0 * 1024.0), (0.02, 300.0 * 1024.0)]
        );
        assert_eq!(timeline.bandwidth["read"].points, [(0.04, 10.0 * 1024.0)]);
        assert_eq!(timeline.latency["write"].points, [(0.0, 3000.0)]);
    }

    #[test]
    fn no_samples_give_an_empty_timeline() {
        assert_eq!(parse("", 20).unwrap(), Timeline::default());
        assert_eq!(parse("# run_bw.1.log\n", 0).unwrap(), Timeline::default());
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = parse("# run_bw.1.log\n1, x, 0\n", 20).unwrap_err();
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
    }
}
