// SPDX-License-Identifier: GPL-2.0-or-later
//! What an experiment is made of: drives, what the host does with them, and the figures that come out.
//!
//! A case is one drive's life from the factory on: phases one after another, of which those with an `x` are measured
//! and give a row each. Cases know nothing of each other, so they run side by side, and a finished one never has to
//! run again.

use std::collections::BTreeMap;

use ftl::Counter;
use serde::{Deserialize, Serialize};
use units::PAGE_SECTORS;

use super::requests::Requests;
use crate::drive::Drive;

/// What the host's threads do in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Each job writes zones of its own, in order; a zone with data in it is reset first.
    Write,
    /// The same, the zones in random order.
    Rewrite,
    /// Reads of blocks at random.
    RandomRead,
    /// Writes of blocks at random; not on zones.
    RandomWrite,
}

/// A part of a case.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// What the jobs do.
    pub access: Access,
    /// Threads.
    pub jobs: u32,
    /// Bytes of a command.
    pub block: u64,
    /// Commands that each job has outstanding.
    pub depth: u32,
    /// What random accesses and rewrites touch: the first so many bytes that can be written.
    pub range: u64,
    /// Bytes moved, all jobs together.
    pub bytes: u64,
    /// Where a job's writes begin in its zones.
    pub start: u64,
    /// Each job flushes after so many writes and waits for it; 0 never.
    pub flush_every: u32,
    /// Microseconds that a job waits after each completion before it sends its next command.
    pub think_us: u64,
    /// Milliseconds that the host asks for nothing before it begins.
    pub pause_ms: u64,
    /// Where the row stands on the horizontal axis; none: a preparation.
    pub x: Option<f64>,
}

impl Phase {
    /// One job that fills the first so many bytes, with large writes, as a preparation.
    pub fn fill(bytes: u64) -> Self {
        Self {
            access: Access::Write,
            jobs: 1,
            block: 256 << 10,
            depth: 1,
            range: bytes,
            bytes,
            start: 0,
            flush_every: 0,
            think_us: 0,
            pause_ms: 0,
            x: None,
        }
    }

    /// One job that reads blocks of `block` at random.
    pub fn random_read(range: u64, block: u64, commands: u64) -> Self {
        Self {
            access: Access::RandomRead,
            block,
            range,
            bytes: block * commands,
            ..Self::fill(range)
        }
    }

    /// `jobs` jobs that write `bytes` in all, each to zones of its own.
    pub fn write(jobs: u32, block: u64, bytes: u64) -> Self {
        Self {
            jobs,
            block,
            ..Self::fill(bytes)
        }
    }

    /// The same phase, measured.
    pub fn at(self, x: f64) -> Self {
        Self { x: Some(x), ..self }
    }
}

/// What the host does.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Commands straight to the data namespace.
    Raw(Vec<Phase>),
    /// A file on F2FS, overwritten at random in 4 KiB with an fsync after so many writes (0: at the end only).
    F2fs {
        /// Writes for each fsync.
        fsync: u32,
        /// Bytes written.
        bytes: u64,
        /// Where the row stands on the horizontal axis.
        x: f64,
    },
    /// What a trace asked of a block device.
    Requests(Requests),
}

/// One drive and what is done with it.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The line that its rows belong to.
    pub series: String,
    /// The drive.
    pub drive: Drive,
    /// What the host does.
    pub workload: Workload,
}

impl Case {
    /// A case without a file system.
    pub fn raw(series: &str, drive: Drive, phases: Vec<Phase>) -> Self {
        Self {
            series: series.into(),
            drive,
            workload: Workload::Raw(phases),
        }
    }
}

/// What was measured in one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The line in the figure.
    pub series: String,
    /// Where on the horizontal axis.
    pub x: f64,
    /// Commands done.
    pub commands: u64,
    /// Commands that failed.
    pub errors: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// From the first command's arrival to the last completion.
    pub duration_ns: u64,
    /// Latencies.
    pub mean_ns: u64,
    /// Median.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// What the drive counted in this phase.
    pub counters: BTreeMap<String, u64>,
}

impl Row {
    /// A counter; 0 for one that the drive has not.
    pub fn count(&self, counter: Counter) -> u64 {
        self.named(counter.name())
    }

    /// The same for what is no drive's: [`LOG_PAGES`] and [`REQUESTED_PAGES`].
    fn named(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }
}

/// Counter of the drive's power states: microjoules.
pub(crate) const ENERGY: &str = "energy_uj";
/// Counters of the placement on zones: what it wrote, and what of that it was asked for.
pub(crate) const LOG_PAGES: &str = "log_pages";
pub(crate) const REQUESTED_PAGES: &str = "log_requested_pages";

/// A figure of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// 10^6 bytes a second.
    Bandwidth,
    /// Commands a second.
    Iops,
    /// Mean latency, us.
    Mean,
    /// Median latency, us.
    Median,
    /// 99th percentile of the latency, us.
    P99,
    /// The longest latency, us.
    Max,
    /// Bytes programmed over bytes written.
    Waf,
    /// Pages that the host's own logs wrote over those it was given.
    LogWaf,
    /// L2P hits, per cent of the look-ups.
    HitRate,
    /// Reads of the map in flash, for each command.
    MapReads,
    /// Buffers flushed because another zone needed them.
    Premature,
    /// Pages programmed to pSLC.
    SlcPages,
    /// Pages moved by migration and garbage collection.
    Moved,
    /// What the drive draws on the average, mW.
    Power,
}

impl Metric {
    /// Every one, in the order of the CSV file's columns.
    pub const ALL: [Self; 14] = [
        Self::Bandwidth,
        Self::Iops,
        Self::Mean,
        Self::Median,
        Self::P99,
        Self::Max,
        Self::Waf,
        Self::LogWaf,
        Self::HitRate,
        Self::MapReads,
        Self::Premature,
        Self::SlcPages,
        Self::Moved,
        Self::Power,
    ];

    /// Title of its column, with its unit.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bandwidth => "MB/s",
            Self::Iops => "IOPS",
            Self::Mean => "mean us",
            Self::Median => "p50 us",
            Self::P99 => "p99 us",
            Self::Max => "max us",
            Self::Waf => "WAF",
            Self::LogWaf => "logs' own WAF",
            Self::HitRate => "L2P hits %",
            Self::MapReads => "map reads",
            Self::Premature => "premature flushes",
            Self::SlcPages => "pSLC pages",
            Self::Moved => "pages moved",
            Self::Power => "mean mW",
        }
    }

    /// Title of its axis.
    pub fn axis(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth, MB/s",
            Self::Iops => "IOPS",
            Self::Mean => "mean latency, us",
            Self::Median => "median latency, us",
            Self::P99 => "99th percentile of latency, us",
            Self::Max => "longest latency, us",
            Self::Waf => "write amplification",
            Self::LogWaf => "write amplification of the logs",
            Self::HitRate => "L2P cache hits, %",
            Self::MapReads => "map reads per command",
            Self::Premature => "premature flushes",
            Self::SlcPages => "4 KiB pages programmed to pSLC",
            Self::Moved => "4 KiB pages moved by the drive",
            Self::Power => "mean power, mW",
        }
    }

    /// Its name in the CSV file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth_mb_s",
            Self::Iops => "iops",
            Self::Mean => "mean_us",
            Self::Median => "p50_us",
            Self::P99 => "p99_us",
            Self::Max => "max_us",
            Self::Waf => "waf",
            Self::LogWaf => "log_waf",
            Self::HitRate => "l2p_hit_per_cent",
            Self::MapReads => "map_reads_per_command",
            Self::Premature => Counter::FlushPremature.name(),
            Self::SlcPages => Counter::PagesSlc.name(),
            Self::Moved => "pages_moved",
            Self::Power => "mean_mw",
        }
    }

    /// Its value; none where it has no meaning, as write amplification without writes.
    pub fn of(self, row: &Row) -> Option<f64> {
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let per_second = |n: u64| ratio(n, row.duration_ns).map(|per_ns| per_ns * 1e9);
        let count =
            |counters: &[Counter]| Some(counters.iter().map(|c| row.count(*c)).sum::<u64>() as f64);
        let us = |ns: u64| Some(ns as f64 / 1e3);
        match self {
            Self::Bandwidth => per_second(row.bytes).map(|bytes| bytes / 1e6),
            Self::Iops => per_second(row.commands),
            Self::Mean => us(row.mean_ns),
            Self::Median => us(row.p50_ns),
            Self::P99 => us(row.p99_ns),
            Self::Max => us(row.max_ns),
            Self::Waf => ratio(
                row.count(Counter::PagesProgrammed)
                    .saturating_mul(PAGE_SECTORS),
                row.count(Counter::HostWriteSectors),
            ),
            Self::LogWaf => ratio(row.named(LOG_PAGES), row.named(REQUESTED_PAGES)),
            Self::HitRate => {
                let hits = row.count(Counter::L2pHits);
                ratio(hits, hits + row.count(Counter::L2pMisses)).map(|share| share * 100.0)
            }
            Self::MapReads => ratio(row.count(Counter::MapReads), row.commands),
            Self::Premature => count(&[Counter::FlushPremature]),
            Self::SlcPages => count(&[Counter::PagesSlc]),
            Self::Moved => count(&[Counter::PagesMigrated, Counter::PagesGc]),
            // Of a drive with one power state nothing is known.
            Self::Power => {
                let energy = row.counters.get(ENERGY);
                energy.and_then(|uj| per_second(*uj)).map(|uw| uw / 1e3)
            }
        }
    }

    /// Its value as people read it.
    pub fn text(self, row: &Row) -> String {
        let Some(value) = self.of(row) else {
            return "-".into();
        };
        match self {
            Self::Iops | Self::Premature | Self::SlcPages | Self::Moved => format!("{value:.0}"),
            Self::Waf | Self::LogWaf | Self::MapReads => format!("{value:.3}"),
            _ => format!("{value:.1}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of 1 ms with these figures.
    pub fn row(series: &str, x: f64, bytes: u64, mean_ns: u64) -> Row {
        Row {
            series: series.into(),
            x,
            commands: 10,
            errors: 0,
            bytes,
            duration_ns: 1_000_000,
            mean_ns,
            p50_ns: mean_ns,
            p99_ns: mean_ns,
            max_ns: mean_ns,
            counters: BTreeMap::new(),
        }
    }

    #[test]
    fn figures_follow_from_counts() {
        let mut row = row("a", 1.0, 4_000_000, 64_050);
        assert_eq!(Metric::Bandwidth.text(&row), "4000.0");
        assert_eq!(Metric::Iops.text(&row), "10000");
        assert_eq!(Metric::Mean.text(&row), "64.0");
        assert_eq!(Metric::Waf.text(&row), "-");
        row.counters = [
            (Counter::HostWriteSectors, 32),
            (Counter::PagesProgrammed, 6),
            (Counter::L2pHits, 3),
            (Counter::L2pMisses, 1),
        ]
        .map(|(counter, n)| (counter.name().to_owned(), n))
        .into();
        assert_eq!(Metric::Waf.text(&row), "1.500");
        assert_eq!(Metric::HitRate.text(&row), "75.0");
    }

    #[test]
    fn later_settings_win() {
        let drive = Drive::new("tlc-zoned", &["zones=8", "zones=4"]);
        assert_eq!(drive.config().unwrap().get("zones").unwrap(), "4");
        assert!(Drive::new("tlc-zoned", &["no=1"]).config().is_err());
    }
}
