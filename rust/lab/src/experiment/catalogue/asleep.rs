// SPDX-License-Identifier: GPL-2.0-or-later
//! Experiments on power states.

use super::{at, Engine, Experiment, Figure, Scale, Trend};
use crate::drive::Drive;
use crate::experiment::case::{Case, Metric, Phase};

const MIB: u64 = 1 << 20;

/// Read at random.
const RANGE: u64 = 64 * MIB;
/// Reads of a point.
const READS: u64 = 64;

/// Milliseconds from a completion to the next read.
const PAUSES: [f64; 12] = [
    1.0, 10.0, 50.0, 90.0, 110.0, 200.0, 500.0, 1_000.0, 1_900.0, 2_200.0, 5_000.0, 10_000.0,
];

/// Reads with a pause after each.
pub const APST: Experiment = Experiment {
    name: "apst",
    title: "Sparse reads of a drive that goes to sleep, by the pause between them",
    shows: "One read of 4 KiB after another, with a pause between a completion and the next read. A drive that stays at work answers each in \
        the same time and draws its idle power all along. One with autonomous transitions, as Linux sets them for these states, \
        goes to a state of 50 mW after 100 ms and to one of 5 mW after 2 s more: from there on each read pays the way back, 10 and \
        45 ms. A host that asks more often than that pays nothing, and saves nothing.",
    x: "pause, ms",
    scale: Scale::Doubling,
    columns: &[Metric::Mean, Metric::P99, Metric::Max, Metric::Power],
    figures: &[Figure::of(Metric::Mean), Figure::of(Metric::Power)],
    engine: Engine::Model,
    preset: Some("tlc-zoned"),
    cases: |preset| {
        let drives: [(&str, &[&str]); 3] = [
            ("stays at work", &["power-states=phone"]),
            ("phone", &["power-states=phone", "apst=on"]),
            ("laptop", &["power-states=laptop", "apst=on"]),
        ];
        let case = |(series, set): (&'static str, &'static [&'static str])| {
            let preset = preset.to_owned();
            PAUSES.into_iter().map(move |pause: f64| {
                let reads = Phase {
                    think_us: (pause * 1e3) as u64,
                    ..Phase::random_read(RANGE, 4096, READS)
                };
                Case::raw(series, Drive::new(&preset, set), vec![Phase::fill(RANGE), reads.at(pause)])
            })
        };
        drives.into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let mean = |series, x| at(rows, series, x, Metric::Mean);
        let power = |series, x| at(rows, series, x, Metric::Power);
        let awake = "stays at work";
        // The first read of a point finds the drive at work: all but one pay.
        let paid = |series, x| {
            let more = mean(series, x).zip(mean(awake, x)).map(|(with, without)| with - without);
            more.map(|more| more * READS as f64 / (READS - 1) as f64)
        };
        vec![
            Trend::near("at 90 ms a drive that may sleep answers as one that does not", mean("phone", 90.0), mean(awake, 90.0), 0.0),
            Trend::near("and draws as much", power("phone", 90.0), power(awake, 90.0), 0.1),
            Trend::near("at 200 ms each read pays the 10 ms out of the first state", paid("phone", 200.0), Some(10_000.0), 0.1),
            Trend::near("at 1.9 s still no more", paid("phone", 1_900.0), Some(10_000.0), 0.1),
            Trend::near("at 5 s the 45 ms out of the deepest", paid("phone", 5_000.0), Some(45_000.0), 0.1),
            Trend::near("a laptop's pays its 8 ms from 200 ms on", paid("laptop", 200.0), Some(8_000.0), 0.1),
            Trend::near("whatever the pause", paid("laptop", 10_000.0), Some(8_000.0), 0.1),
            Trend::above("at 1 s one that stays at work draws more", power(awake, 1_000.0), 3.0, power("phone", 1_000.0)),
            Trend::above("and at 10 s", power(awake, 10_000.0), 10.0, power("phone", 10_000.0)),
        ]
    },
};
