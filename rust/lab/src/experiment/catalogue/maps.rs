// SPDX-License-Identifier: GPL-2.0-or-later
//! Experiments on the map and its cache.

use super::{at, Engine, Experiment, Figure, Scale, Trend};
use crate::drive::Drive;
use crate::experiment::case::{Case, Metric, Phase};

const MIB: u64 = 1 << 20;
const READS: u64 = 20_000;

/// What 1020 KiB of 4-byte entries for 4 KiB pages cover, MiB.
const COVERED: f64 = 1020.0;

/// Random read over a growing range.
pub const RANDOM_READ: Experiment = Experiment {
    name: "random-read",
    title: "4 KiB random read by range: the L2P cache",
    shows: "The map of a drive is far larger than the memory it has for it. With an entry for each page the cache \
        (1020 KiB, 4 bytes an entry) covers 1020 MiB: reads over more than that miss, read the map in flash first, and \
        latency rises exactly there. Half the cache moves the edge to half the range. With entries for whole zones and \
        chunks (l2p-hybrid, the default) full zones never miss.",
    x: "range, MiB",
    scale: Scale::Linear,
    columns: &[Metric::Mean, Metric::P99, Metric::Iops, Metric::HitRate, Metric::MapReads],
    figures: &[Figure::of(Metric::Mean), Figure::of(Metric::HitRate)],
    engine: Engine::Both,
    preset: Some("tlc-zoned"),
    cases: |preset| {
        let drives: [(&str, &[&str]); 3] = [
            ("page map", &["l2p-hybrid=off"]),
            ("page map, half the cache", &["l2p-hybrid=off", "l2p-cache-size=510K"]),
            ("hybrid map", &[]),
        ];
        let case = |(series, set): (&'static str, &'static [&'static str])| {
            let preset = preset.to_owned();
            [128, 256, 384, 510, 640, 768, 1020, 1152, 1280, 1536, 2048, 2560].into_iter().map(move |mib: u64| {
                let range = mib * MIB;
                let phases = vec![Phase::fill(range), Phase::random_read(range, 4096, READS).at(mib as f64)];
                Case::raw(series, Drive::new(&preset, set), phases)
            })
        };
        drives.into_iter().flat_map(case).collect()
    },
    trends: |rows, guest| {
        let mean = |series, x| at(rows, series, x, Metric::Mean);
        // fio reads the range's last zone, a third full, as often as a full one.
        let share = if guest { 5.0 } else { 3.0 };
        vec![
            Trend::near(
                "the cache covers 1020 MiB: as fast as 128 MiB",
                mean("page map", COVERED),
                mean("page map", 128.0),
                0.5,
            ),
            Trend::above(
                "and not 1152 MiB",
                mean("page map", 1152.0),
                1.03,
                mean("page map", COVERED),
            ),
            Trend::above(
                "half the cache: 640 MiB are too much, 510 were not",
                mean("page map, half the cache", 640.0),
                1.05,
                mean("page map, half the cache", 510.0),
            ),
            Trend::near(
                "an LRU cache of a random read hits as often as it covers: 2048 MiB, per cent",
                at(rows, "page map", 2048.0, Metric::HitRate),
                Some(COVERED / 2048.0 * 100.0),
                share,
            ),
            Trend::near(
                "full zones need one entry: 2560 MiB as fast as 128",
                mean("hybrid map", 2560.0),
                mean("hybrid map", 128.0),
                0.5,
            ),
        ]
    },
};

/// Reads before it counts: nearly all map pages of the range are read by then.
const WARM: u64 = 120_000;

/// Random read over a growing range with memory of the host's.
pub const HMB: Experiment = Experiment {
    name: "hmb",
    title: "4 KiB random read by range: a Host Memory Buffer",
    shows: "A drive without DRAM can borrow some from the host for its map (NVMe: Host Memory Buffer). Its own 1020 KiB cover 1 GiB; \
        what is beyond is looked for in the host's memory, a microsecond away, before the map in flash is read, twenty away. \
        16 MiB have the map of 16 GiB of addresses, which are 128 zones of 96 MiB, 64 MiB that of 512 zones. Over more than that the \
        buffer's map pages displace each other, and latency goes back to what it is without.",
    x: "range, GiB",
    scale: Scale::Doubling,
    columns: &[Metric::Mean, Metric::P99, Metric::Iops, Metric::HitRate, Metric::MapReads],
    figures: &[Figure::of(Metric::Mean), Figure::of(Metric::MapReads)],
    engine: Engine::Model,
    preset: Some("tlc-zoned"),
    cases: |preset| {
        // 96 GiB of zones, each of which has an entry for each page.
        let drives: [(&str, &[&str]); 3] = [
            ("none", &["zones=1024", "l2p-hybrid=off"]),
            ("16 MiB", &["zones=1024", "l2p-hybrid=off", "hmb-size=16M"]),
            ("64 MiB", &["zones=1024", "l2p-hybrid=off", "hmb-size=64M"]),
        ];
        let case = |(series, set): (&'static str, &'static [&'static str])| {
            let preset = preset.to_owned();
            [384, 3072, 6144, 12_288, 24_576, 49_152, 98_304].into_iter().map(move |mib: u64| {
                let range = mib * MIB;
                let phases = vec![
                    Phase::fill(range),
                    Phase::random_read(range, 4096, WARM),
                    Phase::random_read(range, 4096, READS).at(mib as f64 / 1024.0),
                ];
                Case::raw(series, Drive::new(&preset, set), phases)
            })
        };
        drives.into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let mean = |series, x| at(rows, series, x, Metric::Mean);
        let saved = |series, x| mean("none", x).zip(mean(series, x)).map(|(without, with)| without - with);
        // The share of reads that the drive's own entries do not cover, and what a map read takes more than a look, us.
        let missed = |gib: f64| (1.0 - COVERED / 1024.0 / gib) * (22.442 - 1.021);
        vec![
            Trend::near("what its own entries cover: no difference", mean("16 MiB", 0.375), mean("none", 0.375), 0.0),
            Trend::near("nor with more", mean("64 MiB", 0.375), mean("none", 0.375), 0.0),
            Trend::near("128 zones: 16 MiB save a map read of each miss", saved("16 MiB", 12.0), Some(missed(12.0)), 1.0),
            Trend::near("512 zones: so do 64 MiB", saved("64 MiB", 48.0), Some(missed(48.0)), 1.0),
            Trend::near("and half of them with 16 MiB at 24 GiB", saved("16 MiB", 24.0), Some(missed(24.0) / 2.0), 5.0),
            Trend::near("with 64 MiB at 96 GiB", saved("64 MiB", 96.0), Some(missed(96.0) / 2.0), 5.0),
            Trend::near("at 96 GiB 16 MiB are nearly as slow as none", mean("16 MiB", 96.0), mean("none", 96.0), 4.0),
        ]
    },
};
