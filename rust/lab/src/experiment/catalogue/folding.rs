// SPDX-License-Identifier: GPL-2.0-or-later
//! Experiments on pSLC that is emptied when nobody asks.

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
