// SPDX-License-Identifier: GPL-2.0-or-later
//! Experiments on pSLC that is lent, and emptied when nobody asks.

use super::{at, Engine, Experiment, Figure, Scale, Trend};
use crate::drive::Drive;
use crate::experiment::case::{Case, Metric, Phase};

const MIB: u64 = 1 << 20;

/// Most of the 896 MiB of pSLC.
const FIRST: u64 = 768 * MIB;
/// As much as fits when that has been folded, and not if it has not.
const SECOND: u64 = 512 * MIB;

/// The drives' `fold-idle-ns`, in seconds.
const WAITS: f64 = 0.5;

/// Two bursts of writes, and a pause between them.
pub const IDLE_FOLD: Experiment = Experiment {
    name: "idle-fold",
    title: "Two bursts on a QLC drive, by the pause between them",
    shows: "A burst of 768 MiB fills most of the pSLC; after a pause another of 512 MiB follows. A drive that does nothing by \
        itself has no room for it, however long the pause: it falls to the speed of migration. With fold-idle-ns the drive \
        begins to empty pSLC into QLC half a second after the last command, and what it has emptied by the time the host \
        comes back takes the second burst at full speed.",
    x: "pause, s",
    scale: Scale::Linear,
    columns: &[Metric::Bandwidth, Metric::P99, Metric::Max, Metric::Waf, Metric::Moved],
    figures: &[Figure::of(Metric::Bandwidth)],
    engine: Engine::Model,
    preset: Some("qlc-zoned-page-slc"),
    cases: |preset| {
        let drives: [(&str, &[&str]); 2] = [("never", &[]), ("after 0.5 s", &["fold-idle-ns=500000000"])];
        let case = |(series, set): (&'static str, &'static [&'static str])| {
            let preset = preset.to_owned();
            [0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0].into_iter().map(move |pause: f64| {
                let second = Phase {
                    start: FIRST,
                    pause_ms: (pause * 1e3) as u64,
                    ..Phase::fill(SECOND)
                };
                Case::raw(series, Drive::new(&preset, set), vec![Phase::fill(FIRST), second.at(pause)])
            })
        };
        drives.into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let bandwidth = |series, x| at(rows, series, x, Metric::Bandwidth);
        let folds = "after 0.5 s";
        // The time that the second burst takes falls by what the drive has done before.
        let took = |x| bandwidth(folds, x).map(|mb| SECOND as f64 / mb / 1e6);
        let gained = took(0.5).zip(took(4.0)).map(|(none, some)| none - some);
        vec![
            Trend::near("a drive that does not fold gains nothing by 16 s", bandwidth("never", 16.0), bandwidth("never", 0.0), 1.0),
            Trend::near("nor does one that folds by half a second", bandwidth(folds, WAITS), bandwidth("never", 0.0), 1.0),
            Trend::above("it has recovered after 16 s", bandwidth(folds, 16.0), 4.0, bandwidth(folds, 0.0)),
            Trend::near("which 12 s are enough for", bandwidth(folds, 12.0), bandwidth(folds, 16.0), 1.0),
            Trend::near("seconds that 4 of pause save: those after the first half", gained, Some(4.0 - WAITS), 10.0),
        ]
    },
};

/// What is written at a time: a pSLC superblock of `qlc-zoned-dynamic`.
const STEP: u64 = 32 * MIB;
/// What its zones hold: 32 of 128 MiB.
const CAPACITY: u64 = 4096 * MIB;
/// pSLC that is its own and takes data: 8 superblocks, of which one is kept for moves.
const OWN_MIB: f64 = 224.0;
/// Seconds of the pause: enough to fold everything.
const PAUSE_MS: u64 = 60_000;

/// How full the drive is before, in zones; what it then writes before the pause.
const LEVELS: [(&str, u64, u64); 3] = [
    ("empty", 0, 1536 * MIB),
    ("half full", 16, 1024 * MIB),
    ("90 % full", 29, 320 * MIB),
];

/// A cache that is lent by what is free.
pub const SLC_CLIFF: Experiment = Experiment {
    name: "slc-cliff",
    title: "How far a dynamic cache reaches, on a QLC drive that is empty, half full and nearly full",
    shows: "A drive that lends all its free QLC cells to pSLC writes a quarter of its capacity at the speed of pSLC, then falls to the \
        speed at which pSLC is folded into QLC. The fuller it is the fewer cells are free, and the earlier it falls; what is \
        left in the end is the part that is always pSLC. After a minute's pause the last step is fast again: the idle drive \
        has folded everything and given the cells back.",
    x: "written since then, MiB",
    scale: Scale::Linear,
    columns: &[Metric::Bandwidth, Metric::P99, Metric::Max, Metric::Waf, Metric::Moved],
    figures: &[Figure::of(Metric::Bandwidth)],
    engine: Engine::Model,
    preset: Some("qlc-zoned-dynamic"),
    cases: |preset| {
        let case = |(series, zones, bytes): (&'static str, u64, u64)| {
            let filled = zones * 128 * MIB;
            let step = |n: u64| Phase {
                start: filled + n * STEP,
                pause_ms: if n == 0 || n * STEP == bytes { PAUSE_MS } else { 0 },
                ..Phase::fill(STEP)
            };
            let steps = (0..=bytes / STEP).map(|n| step(n).at(((n + 1) * STEP / MIB) as f64));
            let before = (filled > 0).then(|| Phase::fill(filled));
            Case::raw(series, Drive::new(preset, &[]), before.into_iter().chain(steps).collect())
        };
        LEVELS.into_iter().map(case).collect()
    },
    trends: |rows, _| {
        let bandwidth = |series, x| at(rows, series, x, Metric::Bandwidth);
        let step = (STEP / MIB) as f64;
        let first = |series| bandwidth(series, step);
        // Until the first step that takes twice as long as the first of all.
        let cache = |series| {
            let fast = first(series)?;
            let slow = |n: &u32| bandwidth(series, f64::from(*n) * step).is_some_and(|mb| mb < fast / 2.0);
            (2..).take(100).find(slow).map(|n| f64::from(n - 1) * step)
        };
        let lent = |series| cache(series).map(|mib| mib - OWN_MIB);
        let [empty, half, full] = LEVELS.map(|level| level.0);
        let [outside, again] = [1536.0, 1536.0 + step].map(|x| bandwidth(empty, x));
        let mut trends = vec![
            Trend::above("inside the cache against outside: 11 times at least", first(empty), 11.0, outside),
            Trend::above("and 40 times at most", outside, 1.0 / 40.0, first(empty)),
            Trend::near("the cache of an empty drive is a quarter of it, MiB", cache(empty), Some((CAPACITY / MIB) as f64 / 4.0), 10.0),
            Trend::near("beyond its own pSLC, half of that when it is half full", lent(half), lent(empty).map(|mib| mib / 2.0), 10.0),
            Trend::near("when it is nearly full hardly more than its own", cache(full), Some(OWN_MIB), 20.0),
            Trend::near("a fuller drive falls as far", bandwidth(half, 1024.0), outside, 20.0),
            Trend::near("an empty one has recovered after a minute", again, first(empty), 5.0),
        ];
        for (series, _, bytes) in &LEVELS[1..] {
            let again = bandwidth(series, (bytes / MIB) as f64 + step);
            trends.push(Trend::near(&format!("and one {series}"), again, first(series), 5.0));
        }
        trends
    },
};
