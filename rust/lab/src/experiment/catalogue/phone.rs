// SPDX-License-Identifier: GPL-2.0-or-later
//! Experiments with the requests of a phone.

use super::{at, Engine, Experiment, Figure, Scale, Trend};
use crate::drive::Drive;
use crate::experiment::case::{Case, Metric, Workload};
use crate::experiment::requests::{Requests, Source};

/// The lines that the drives as they are have; with a trace of the user's they are called by that.
const ANY: &str = "";

fn case(preset: &str, set: &[&str], logs: Option<u64>, x: f64) -> Case {
    let source = Source::Phone;
    Case {
        series: source.name(),
        drive: Drive::new(preset, set),
        workload: Workload::Requests(Requests { source, logs, x }),
    }
}

/// A phone's writes in one log and in several.
pub const LOGS: Experiment = Experiment {
    name: "phone-logs",
    title: "A phone's requests on zones, in one log and in six",
    shows: "The host writes what a phone's applications write into one to six logs side by side, each with an open zone, \
        as F2FS does to keep data of different lifetimes apart. The drive has two write buffers for all of its open zones. \
        Two logs keep a buffer each; from the third on every switch flushes a buffer before its time, as a partial page \
        to pSLC, and programs that data a second time. What logs save the host in cleaning, they cost in the drive.",
    x: "logs",
    scale: Scale::Linear,
    columns: &[Metric::Waf, Metric::LogWaf, Metric::Premature, Metric::SlcPages, Metric::Mean, Metric::P99],
    figures: &[Figure::of(Metric::Waf), Figure::of(Metric::Premature)],
    engine: Engine::Model,
    preset: Some("tlc-zoned"),
    cases: |preset| {
        let case = |logs: u32| case(preset, &["zones=256"], Some(logs.into()), f64::from(logs));
        (1..=6).map(case).collect()
    },
    trends: |rows, _| {
        let waf = |x| at(rows, ANY, x, Metric::Waf);
        let premature = |x| at(rows, ANY, x, Metric::Premature);
        vec![
            Trend::near("two logs have a buffer each: write amplification", waf(2.0), waf(1.0), 1.0),
            Trend::above("a third has none", waf(3.0), 1.1, waf(2.0)),
            Trend::above("and six switch more often: premature flushes", premature(6.0), 1.5, premature(3.0)),
        ]
    },
};

/// A phone's requests on a map cache of a megabyte and of less.
pub const MAP: Experiment = Experiment {
    name: "phone-map",
    title: "A phone's requests and the size of the L2P cache",
    shows: "Block drive of 128 GiB, a map entry for each page of 4 KiB: the map is 128 MiB, the cache a megabyte at most. A \
        phone's requests go back to what they used before, but old file systems have scattered that over the whole \
        device. A quarter of the memory does not cost a quarter of the hits: what one application uses fits or it does not.",
    x: "L2P cache, KiB",
    scale: Scale::Doubling,
    columns: &[Metric::HitRate, Metric::MapReads, Metric::Mean, Metric::P99, Metric::Waf],
    figures: &[Figure::of(Metric::HitRate), Figure::of(Metric::MapReads)],
    engine: Engine::Model,
    preset: Some("tlc-block"),
    cases: |preset| {
        let sizes = ["64K", "128K", "256K", "512K", "1020K", "2040K"];
        let case = |size: &str| {
            let kib = size.trim_end_matches('K').parse().unwrap_or(0.0);
            let cache = format!("l2p-cache-size={size}");
            case(preset, &["block-data-size=128G", &cache], None, kib)
        };
        sizes.into_iter().map(case).collect()
    },
    trends: |rows, _| {
        let hits = |x| at(rows, ANY, x, Metric::HitRate);
        let reads = |x| at(rows, ANY, x, Metric::MapReads);
        vec![
            Trend::above("1020 KiB of cache against 256: hits, per cent", hits(1020.0), 1.5, hits(256.0)),
            Trend::above("256 against 64", hits(256.0), 1.5, hits(64.0)),
            Trend::above("what is missed is read: map reads per command, 256 KiB", reads(256.0), 1.5, reads(1020.0)),
        ]
    },
};
