// SPDX-License-Identifier: GPL-2.0-or-later
//! High percentiles of latency over time, from fio's histogram logs (`write_hist_log`), of all its threads together.
//!
//! Logs come joined, each after a line with its name. A row has the guest's clock in ms, the direction, a block size, and
//! then how many I/Os of the thread ended in each of fio's buckets since its last row. fio writes none of the rest of a
//! job that is shorter than the distance of rows.

use std::collections::BTreeMap;

use anyhow::{ensure, Context, Result};

use crate::fio::bucket_last;
use crate::timeline::direction;

/// What is drawn: a title and the percentile.
pub const PERCENTILES: [(&str, f64); 2] = [
    ("p99 latency, us (log.)", 99.0),
    ("p99.9 latency, us (log.)", 99.9),
];

/// I/Os of each bucket in a stretch of time.
type Buckets = BTreeMap<usize, u64>;

/// Histograms of each direction, by the end of their stretch on the guest's clock in ms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tails {
    stretches: BTreeMap<&'static str, BTreeMap<u64, Buckets>>,
}

/// Parses the joined logs, whose rows are `ms` apart.
///
/// # Errors
/// A line that is no row of a histogram log.
pub fn parse(text: &str, ms: u64) -> Result<Tails> {
    let ms = ms.max(1);
    let mut tails = Tails::default();
    let lines = (1..).zip(text.lines());
    for (number, line) in lines.filter(|(_, line)| !line.starts_with('#')) {
        let row = row(line).with_context(|| format!("fio histogram log line {number}"))?;
        let stretches = tails.stretches.entry(row.direction).or_default();
        // Threads are joined; a row stands at the end of its stretch.
        let buckets = stretches.entry(row.time_ms.div_ceil(ms) * ms).or_default();
        for (bucket, count) in row.counts {
            *buckets.entry(bucket).or_default() += count;
        }
    }
    Ok(tails)
}

struct Row {
    time_ms: u64,
    direction: &'static str,
    counts: Vec<(usize, u64)>,
}

fn row(line: &str) -> Result<Row> {
    let mut fields = line.split(',').map(str::trim);
    let time_ms = fields.next().context("no time")?.parse().context("time")?;
    let direction = direction(fields.next().context("no direction")?);
    let counts = fields.skip(1).enumerate().map(|(bucket, count)| {
        ensure!(bucket_last(bucket).is_some(), "bucket {bucket}");
        Ok((bucket, count.parse().context("count")?))
    });
    let mut counts = counts.collect::<Result<Vec<(usize, u64)>>>()?;
    ensure!(!counts.is_empty(), "no counts");
    counts.retain(|(_, count)| *count > 0);
    Ok(Row {
        time_ms,
        direction,
        counts,
    })
}

impl Tails {
    /// For each direction when (ms of the guest's clock) which latency (ns) was not exceeded by `percent` of the I/Os: an
    /// upper bound, the end of fio's bucket.
    pub fn percentile(&self, percent: f64) -> Vec<(&'static str, Vec<(u64, u64)>)> {
        let points = |stretches: &BTreeMap<u64, Buckets>| {
            let points = stretches.iter();
            points
                .filter_map(|(end, buckets)| Some((*end, percentile(buckets, percent)?)))
                .collect()
        };
        let directions = self.stretches.iter();
        directions
            .map(|(direction, stretches)| (*direction, points(stretches)))
            .collect()
    }
}

fn percentile(buckets: &Buckets, percent: f64) -> Option<u64> {
    let total: u64 = buckets.values().sum();
    let mut seen = 0;
    let found = buckets.iter().find(|(_, count)| {
        seen += *count;
        seen as f64 >= total as f64 * percent / 100.0
    });
    bucket_last(*found?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as fio writes it, with counts of some of its 1856 buckets.
    pub fn line(time: u64, direction: u8, counts: &[(usize, u64)]) -> String {
        let mut buckets = vec![0; 1856];
        counts.iter().for_each(|(at, n)| buckets[*at] = *n);
        let buckets: Vec<_> = buckets.iter().map(u64::to_string).collect();
        format!("{time}, {direction}, 4096, {}\n", buckets.join(", "))
    }

    #[test]
    fn threads_are_joined_in_stretches_of_time() {
        // Bucket 640 is of 32 768 to 33 279 ns, 700 of 63 488 to 63 999.
        let text = [
            "# run_clat_hist.1.log\n".to_owned(),
            line(1000, 0, &[(640, 98)]),
            line(1100, 0, &[(640, 10)]),
            "# run_clat_hist.2.log\n".to_owned(),
            line(995, 0, &[(640, 1), (700, 1)]),
            line(1000, 1, &[(5, 7)]),
        ];
        let tails = parse(&text.concat(), 100).unwrap();
        assert_eq!(
            tails.percentile(99.0),
            [
                ("read", vec![(1000, 33_279), (1100, 33_279)]),
                ("write", vec![(1000, 5)])
            ]
        );
        let p999 = tails.percentile(99.9);
        assert_eq!(p999[0].1, [(1000, 63_999), (1100, 33_279)]);
    }

    #[test]
    fn an_idle_stretch_has_no_percentile() {
        let tails = parse(&line(1000, 0, &[]), 100).unwrap();
        assert_eq!(tails.percentile(99.0), [("read", vec![])]);
        assert_eq!(parse("", 100).unwrap(), Tails::default());
    }

    #[test]
    fn a_broken_line_is_named() {
        let long = line(1, 0, &[]).trim_end().to_owned() + &", 0".repeat(4000);
        for broken in ["x", "1, 0", "1, 0, 4096", "1, 0, 4096, x", &long] {
            let error = parse(&format!("# a\n{broken}\n"), 20).unwrap_err();
            assert!(format!("{error:#}").contains("line 2"), "{error:#}");
        }
    }
}
