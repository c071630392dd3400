// SPDX-License-Identifier: GPL-2.0-or-later
//! Experiments that compare kinds of drives.

use super::{at, Engine, Experiment, Figure, Scale, Trend};
use crate::drive::Drive;
use crate::experiment::case::{Access, Case, Metric, Phase};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A zone of `tlc-zoned`.
const ZONE: u64 = 96 * MIB;

/// Rounds of overwriting.
const ROUNDS: u32 = 5;

fn rewrite(access: Access, range: u64, block: u64) -> Phase {
    Phase {
        access,
        block,
        ..Phase::fill(range)
    }
}

/// The same flash behind zones and behind a block interface.
pub const ZONED_BLOCK: Experiment = Experiment {
    name: "zoned-block",
    title: "Zoned against block interface: overwriting the whole drive again and again",
    shows: "Both drives have the same flash and are filled in order, then overwritten five times. The zoned host resets \
        a zone and writes it in order. On the block interface the same order (a trim of 96 MiB, then large writes) costs no \
        copying either; overwriting 16 KiB at random, which only the block interface allows, makes the drive collect \
        garbage: it copies two valid pages for each that is written, and the host's bandwidth pays for it.",
    x: "rounds of overwriting",
    scale: Scale::Linear,
    columns: &[Metric::Bandwidth, Metric::Mean, Metric::P99, Metric::Waf, Metric::Moved],
    figures: &[Figure::of(Metric::Bandwidth), Figure::of(Metric::Waf)],
    engine: Engine::Both,
    preset: None,
    cases: |_| {
        let range = 16 * ZONE;
        let case = |series: &str, drive: Drive, access: Access, block: u64| {
            let mut phases = vec![Phase::fill(range).at(0.0)];
            phases.extend((1..=ROUNDS).map(|round| rewrite(access, range, block).at(f64::from(round))));
            Case::raw(series, drive, phases)
        };
        let zoned = || Drive::new("tlc-zoned", &["zones=16"]);
        let block = || Drive::new("tlc-block", &["block-data-size=1536M"]);
        vec![
            case("zoned, zone by zone", zoned(), Access::Rewrite, 256 * KIB),
            case("block, extent by extent", block(), Access::Rewrite, 256 * KIB),
            case("block, 16 KiB at random", block(), Access::RandomWrite, 16 * KIB),
        ]
    },
    trends: |rows, _| {
        let waf = |series, x| at(rows, series, x, Metric::Waf);
        vec![
            Trend::near("zones are never copied", waf("zoned, zone by zone", 5.0), Some(1.0), 1.0),
            Trend::above(
                "random overwrites are",
                waf("block, 16 KiB at random", 5.0),
                2.0,
                waf("zoned, zone by zone", 5.0),
            ),
            Trend::above(
                "and the host's bandwidth pays",
                at(rows, "zoned, zone by zone", 5.0, Metric::Bandwidth),
                2.0,
                at(rows, "block, 16 KiB at random", 5.0, Metric::Bandwidth),
            ),
        ]
    },
};

/// The most that the planes of `qlc-zoned-page-slc` can take for long, MB/s. A zone of 128 MiB is, for each of its four
/// planes: 256 programs of QLC (6 098 us), 1024 of pSLC (75), 1024 senses of pSLC (20), 3072 transfers of 32 KiB at 1600
/// MB/s (19.5) and 4 erases (3 500).
const QLC_SUSTAINED: f64 =
    134.217_728 / (256.0 * 6098.0 + 1024.0 * (75.0 + 20.0) + 3072.0 * 19.532 + 4.0 * 3500.0) * 1e6;

/// Sustained writes on TLC and QLC.
pub const TLC_QLC: Experiment = Experiment {
    name: "tlc-qlc",
    title: "TLC against QLC: a sustained sequential write",
    shows: "TLC takes what fills a program unit straight into its cells. QLC programs six times as long: it stages \
        everything in pSLC first, which is faster than TLC as long as there is room, and then falls to the speed at \
        which pSLC can be migrated and erased.",
    x: "written so far, MiB",
    scale: Scale::Linear,
    columns: &[Metric::Bandwidth, Metric::P99, Metric::Max, Metric::Waf, Metric::Moved],
    figures: &[Figure::of(Metric::Bandwidth), Figure::of(Metric::Waf)],
    engine: Engine::Both,
    preset: None,
    cases: |_| {
        let step = 128 * MIB;
        let case = |preset: &str| {
            let drive = Drive::new(preset, &[]);
            let phases = (1..=16_u64).map(|n| {
                let start = (n - 1) * step;
                let phase = Phase {
                    start,
                    ..Phase::fill(step)
                };
                phase.at(((start + step) / MIB) as f64)
            });
            Case::raw(preset, drive, phases.collect())
        };
        vec![case("tlc-zoned"), case("qlc-zoned-page-slc")]
    },
    trends: |rows, guest| {
        let bandwidth = |series, x| at(rows, series, x, Metric::Bandwidth);
        let sustained = bandwidth("qlc-zoned-page-slc", 2048.0);
        let mut trends = vec![
            Trend::above(
                "QLC is faster while pSLC lasts",
                bandwidth("qlc-zoned-page-slc", 512.0),
                1.2,
                bandwidth("tlc-zoned", 512.0),
            ),
            Trend::above(
                "and falls when it is full",
                bandwidth("qlc-zoned-page-slc", 512.0),
                3.0,
                sustained,
            ),
            Trend::near(
                "TLC keeps its speed",
                bandwidth("tlc-zoned", 2048.0),
                bandwidth("tlc-zoned", 128.0),
                5.0,
            ),
        ];
        // In the guest the drive has gone on by itself between two of fio's runs.
        if !guest {
            let limit = Some(QLC_SUSTAINED);
            trends.push(Trend::above("not beyond what its planes can do at best", limit, 1.0, sustained));
            trends.push(Trend::near("but most of that", sustained, limit, 5.0));
        }
        trends
    },
};

/// How pSLC is mapped.
pub const PAGE_ZONE_SLC: Experiment = Experiment {
    name: "page-zone-slc",
    title: "pSLC mapped by page or by zone",
    shows: "QLC drives stage all data in pSLC. Mapped page by page, it needs an entry for each page, and reads of what is \
        still staged miss a small cache; with a superblock for each zone (slc-map=sub-zone) one entry covers all of it. \
        The price is a pSLC superblock for each open zone.",
    x: "staged data read, MiB",
    scale: Scale::Linear,
    columns: &[Metric::Mean, Metric::P99, Metric::HitRate, Metric::MapReads, Metric::SlcPages],
    figures: &[Figure::of(Metric::Mean), Figure::of(Metric::HitRate)],
    engine: Engine::Both,
    preset: None,
    cases: |_| {
        let case = |preset: &'static str| {
            [16, 32, 64, 96, 128, 256, 512].into_iter().map(move |mib: u64| {
                let range = mib * MIB;
                let phases = vec![Phase::fill(range), Phase::random_read(range, 4096, 20_000).at(mib as f64)];
                // 16 Ki entries: 64 MiB of pages.
                Case::raw(preset, Drive::new(preset, &["l2p-cache-size=64K"]), phases)
            })
        };
        ["qlc-zoned-page-slc", "qlc-zoned-zone-slc"].into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let mean = |series, x| at(rows, series, x, Metric::Mean);
        vec![
            Trend::near(
                "mapped by page, 64 MiB are as fast as 16",
                mean("qlc-zoned-page-slc", 64.0),
                mean("qlc-zoned-page-slc", 16.0),
                0.5,
            ),
            Trend::above(
                "and 96 MiB are not",
                mean("qlc-zoned-page-slc", 96.0),
                1.05,
                mean("qlc-zoned-page-slc", 64.0),
            ),
            Trend::near(
                "mapped by zone, 512 MiB are as fast as 16",
                mean("qlc-zoned-zone-slc", 512.0),
                mean("qlc-zoned-zone-slc", 16.0),
                0.5,
            ),
        ]
    },
};
