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
