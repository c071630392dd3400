// SPDX-License-Identifier: GPL-2.0-or-later
//! Ours beside theirs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{bail, ensure};
use serde::Serialize;
use sim::Simulation;
use trace::{Answer, AnswerReader, Reader};

use super::figures::{Figures, Samples};
use super::golden::{Accepted, Case, Source, LINES};

/// Bands against the second implementation: mean latency, 99th percentile, counters.
const MEAN_BAND: f64 = 0.03;
const P99_BAND: f64 = 0.10;
const COUNTER_BAND: f64 = 0.01;

/// Counters with a band: what the policies decided.
const COUNTERS: [&str; 21] = [
    "buffer_hits",
    "flush_full",
    "flush_premature",
    "flush_window",
    "flush_durable",
    "pages_programmed",
    "pages_slc",
    "pages_native",
    "pages_combined",
    "pages_backup",
    "pages_migrated",
    "pages_gc",
    "migrations",
    "gc_runs",
    "pages_read",
    "l2p_hits",
    "l2p_misses",
    "l2p_evictions",
    "map_reads",
    "erases_slc",
    "erases_native",
];

/// The reference's names of counters, and ours.
const REFERENCE_COUNTERS: [(&str, &str); 12] = [
    ("host_w_pgs", "host_write_pages"),
    ("device_w_pgs", "pages_programmed"),
    ("l2p_hits", "l2p_hits"),
    ("l2p_misses", "l2p_misses"),
    ("early_flushes", "flush_premature"),
    ("flush_to_slc", "pages_slc"),
    ("flush_to_regular", "pages_native"),
    ("migrated_pgs", "pages_migrated"),
    ("gc_pgs", "pages_gc"),
    ("pslc_line_erases", "erases_slc"),
    ("normal_line_erases", "erases_native"),
    ("read_wb_hits", "buffer_hits"),
];

/// Ours relative to theirs, as a fraction; `None` if theirs is zero and ours is not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Deviation(pub Option<f64>);

impl Deviation {
    /// Of two figures.
    #[expect(clippy::cast_precision_loss, reason = "a deviation needs no 16 digits")]
    pub fn of(ours: u64, theirs: u64) -> Self {
        Self(match theirs {
            0 if ours == 0 => Some(0.0),
            0 => None,
            _ => Some(ours as f64 / theirs as f64 - 1.0),
        })
    }

    /// Whether it is at most `band` either way.
    pub fn within(self, band: f64) -> bool {
        self.0.is_some_and(|d| d.abs() <= band)
    }
}

/// Latencies of one operation.
#[derive(Debug, Serialize)]
pub struct LatencyRow {
    /// The operation, with its phase if the trace has phases.
    pub what: String,
    /// Ours.
    pub ours: Figures,
    /// Theirs.
    pub theirs: Figures,
    /// Deviation of the mean.
    pub mean: Deviation,
    /// Deviation of the 99th percentile.
    pub p99: Deviation,
    /// Whether both are inside their bands, if they have any.
    pub inside: Option<bool>,
    /// Why it may be outside.
    pub accepted: Option<String>,
}

/// One counter.
#[derive(Debug, Serialize)]
pub struct CounterRow {
    /// Its name.
    pub what: String,
    /// Ours.
    pub ours: u64,
    /// Theirs.
    pub theirs: u64,
    /// Deviation.
    pub deviation: Deviation,
    /// Whether it is inside its band, if it has one.
    pub inside: Option<bool>,
    /// Why it may be outside.
    pub accepted: Option<String>,
}

/// One trace.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Who is on the other side.
    pub source: Source,
    /// The preset.
    pub preset: String,
    /// The trace.
    pub name: String,
    /// How many commands it has.
    pub commands: u64,
    /// How many completions (instant and status) are the same, if the other side's are known.
    pub identical: Option<u64>,
    /// The first command whose completion differs: its number from 1, ours and theirs.
    pub first_difference: Option<(u64, String, String)>,
    /// Latencies, by operation.
    pub latencies: Vec<LatencyRow>,
    /// Counters.
    pub counters: Vec<CounterRow>,
    /// Whether everything with a band is inside or accepted, every completion is the same or the trace
    /// is one with accepted deviations, and none of these is stale; `None` without bands.
    pub inside: Option<bool>,
    /// Whether it is that only because deviations are accepted.
    pub excused: bool,
    /// Why completions may differ though everything is inside its band, if they may.
    pub lines: Option<String>,
    /// Accepted deviations that are none any more.
    pub stale: Vec<String>,
}

/// Runs a trace and compares.
pub fn compare(case: &Case) -> anyhow::Result<Comparison> {
    let mut simulation = Simulation::new(&case.config()?)?;
    match case.source {
        Source::Spec => with_spec(case, &mut simulation),
        Source::Reference => with_reference(case, &mut simulation),
    }
}

/// Runs the trace and hands each answer on.
fn replay(
    case: &Case,
    simulation: &mut Simulation,
    mut take: impl FnMut(Answer) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = case.trace();
    let mut reader = Reader::new(trace::open(&path, |raw| raw)?, &shown(&path));
    while let Some(line) = reader.next_line()? {
        if let Some(answer) = simulation.step(&line) {
            take(answer)?;
        }
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn with_spec(case: &Case, simulation: &mut Simulation) -> anyhow::Result<Comparison> {
    let path = case.answers();
    let mut theirs = AnswerReader::new(trace::open(&path, |raw| raw)?, &shown(&path));
    let (mut our_samples, mut their_samples) = (Samples::default(), Samples::default());
    let (mut commands, mut identical, mut statuses) = (0, 0, 0);
    let mut first_difference = None;
    replay(case, simulation, |ours| {
        let Some(their) = theirs.next_answer()? else {
            bail!("{} ends before the trace", shown(&path));
        };
        let same_command = (ours.command.op, ours.command.slba, ours.command.nlb)
            == (their.command.op, their.command.slba, their.command.nlb);
        ensure!(
            same_command,
            "{} has another command {commands}",
            shown(&path)
        );
        our_samples.add(&ours);
        their_samples.add(&their);
        commands += 1;
        statuses += u64::from(ours.status == their.status);
        let same = ours.completion == their.completion
            && ours.command.arrival == their.command.arrival
            && ours.status == their.status;
        identical += u64::from(same);
        if !same && first_difference.is_none() {
            first_difference = Some((commands, line(&ours)?, line(&their)?));
        }
        Ok(())
    })?;
    let mut latencies = latency_rows(our_samples, &their_samples.figures(), "", true);
    let mut counters = spec_counters(&our_counters(simulation)?, &case.counters()?);
    let differs = identical < commands;
    let stale = excuse(&case.accepted, differs, &mut latencies, &mut counters);
    let excused = !case.accepted.is_empty();
    let verdicts = latencies.iter().map(|row| (row.inside, &row.accepted));
    let more = counters.iter().map(|row| (row.inside, &row.accepted));
    let rows_hold = verdicts
        .chain(more)
        .all(|(inside, accepted)| inside != Some(false) || accepted.is_some());
    let inside = statuses == commands && rows_hold && stale.is_empty() && (excused || !differs);
    Ok(Comparison {
        source: case.source,
        preset: case.preset.clone(),
        name: case.name.clone(),
        commands,
        identical: Some(identical),
        first_difference,
        latencies,
        counters,
        inside: Some(inside),
        excused: inside && excused,
        lines: case
            .accepted
            .iter()
            .find(|a| a.what == LINES)
            .map(|a| a.why.clone()),
        stale,
    })
}

/// Gives rows that are outside the reason why they may be; returns what needs none any more. Whether
/// completions differ is a question of its own only for a trace that is inside all bands.
fn excuse(
    accepted: &[Accepted],
    differs: bool,
    latencies: &mut [LatencyRow],
    counters: &mut [CounterRow],
) -> Vec<String> {
    let rows = latencies
        .iter_mut()
        .map(|row| (&row.what, row.inside, &mut row.accepted));
    let more = counters
        .iter_mut()
        .map(|row| (&row.what, row.inside, &mut row.accepted));
    let mut used = Vec::new();
    for (what, _, why) in rows.chain(more).filter(|row| row.1 == Some(false)) {
        let reason = accepted.iter().find(|a| a.what == *what);
        *why = reason.map(|a| a.why.clone());
        used.extend(reason);
    }
    let lines_alone = differs && accepted.len() == 1;
    let stale = accepted
        .iter()
        .filter(|a| !(used.contains(a) || (a.what == LINES && lines_alone)));
    stale.map(|a| a.what.clone()).collect()
}

/// The answer's line.
fn line(answer: &Answer) -> anyhow::Result<String> {
    let mut text = Vec::new();
    answer.write(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim_end().to_string())
}

fn with_reference(case: &Case, simulation: &mut Simulation) -> anyhow::Result<Comparison> {
    let theirs = case.figures()?;
    let mut phases = vec![Samples::default(); theirs.phases.len()];
    let ends: Vec<u64> = theirs
        .phases
        .iter()
        .scan(0, |end, phase| {
            *end += phase.commands;
            Some(*end)
        })
        .collect();
    let mut commands = 0;
    replay(case, simulation, |ours| {
        let phase = ends.partition_point(|end| *end <= commands);
        if let Some(samples) = phases.get_mut(phase) {
            samples.add(&ours);
        }
        commands += 1;
        Ok(())
    })?;
    let mut latencies = Vec::new();
    for (samples, phase) in phases.into_iter().zip(&theirs.phases) {
        let figures: Vec<_> = trace::Op::ALL
            .into_iter()
            .filter_map(|op| Some((op, *phase.ops.get(op.code())?)))
            .collect();
        let prefix = format!("{} ", phase.name);
        latencies.extend(latency_rows(samples, &figures, &prefix, false));
    }
    let ours = our_counters(simulation)?;
    let counters = REFERENCE_COUNTERS
        .iter()
        .map(|(their_name, our_name)| {
            let theirs = theirs.counters.get(*their_name).copied().unwrap_or(0);
            counter_row(our_name, counter(&ours, our_name), theirs, None)
        })
        .collect();
    Ok(Comparison {
        source: case.source,
        preset: case.preset.clone(),
        name: case.name.clone(),
        commands,
        identical: None,
        first_difference: None,
        latencies,
        counters,
        inside: None,
        excused: false,
        lines: None,
        stale: Vec::new(),
    })
}

/// One row for each operation that occurred on both sides.
fn latency_rows(
    ours: Samples,
    theirs: &[(trace::Op, Figures)],
    prefix: &str,
    banded: bool,
) -> Vec<LatencyRow> {
    let row = |(op, ours): (trace::Op, Figures)| {
        let (_, theirs) = theirs.iter().find(|(their_op, _)| *their_op == op)?;
        let mean = Deviation::of(ours.mean, theirs.mean);
        let p99 = Deviation::of(ours.p99, theirs.p99);
        Some(LatencyRow {
            what: format!("{prefix}{}", op.code()),
            ours,
            theirs: *theirs,
            mean,
            p99,
            inside: banded.then(|| mean.within(MEAN_BAND) && p99.within(P99_BAND)),
            accepted: None,
        })
    };
    ours.figures().into_iter().filter_map(row).collect()
}

type Stats = BTreeMap<String, serde_json::Value>;

fn our_counters(simulation: &Simulation) -> anyhow::Result<Stats> {
    Ok(serde_json::from_str(&ssd::stats_json(simulation.model()))?)
}

fn counter(stats: &Stats, name: &str) -> u64 {
    let value = stats.get(name).and_then(serde_json::Value::as_u64);
    value.unwrap_or(0)
}

fn spec_counters(ours: &Stats, theirs: &BTreeMap<String, f64>) -> Vec<CounterRow> {
    let row = |name: &&str| {
        let theirs = theirs.get(*name).copied().unwrap_or(0.0);
        // Counters are whole numbers far below 2^53.
        counter_row(name, counter(ours, name), theirs as u64, Some(COUNTER_BAND))
    };
    COUNTERS.iter().map(row).collect()
}

fn counter_row(name: &str, ours: u64, theirs: u64, band: Option<f64>) -> CounterRow {
    let deviation = Deviation::of(ours, theirs);
    CounterRow {
        what: name.to_string(),
        ours,
        theirs,
        deviation,
        inside: band.map(|band| deviation.within(band)),
        accepted: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_counts_all_that_is_compared() {
        let model = ssd::Model::new(&ssd::Config::new().plan().unwrap()).unwrap();
        let stats: Stats = serde_json::from_str(&ssd::stats_json(&model)).unwrap();
        let ours = REFERENCE_COUNTERS.iter().map(|(_, ours)| ours);
        for name in COUNTERS.iter().chain(ours) {
            assert!(stats.get(*name).is_some_and(|n| n.is_u64()), "{name}");
        }
    }

    #[test]
    fn bands_are_relative_to_the_other_side() {
        assert!(Deviation::of(103, 100).within(0.0301));
        assert!(!Deviation::of(103, 100).within(0.02));
        assert!(!Deviation::of(97, 100).within(0.02));
        assert!(Deviation::of(0, 0).within(0.0));
        assert!(!Deviation::of(1, 0).within(1.0));
    }

    fn accepted<const N: usize>(names: [&str; N]) -> [Accepted; N] {
        names.map(|what| Accepted {
            what: what.into(),
            why: "a reason".into(),
        })
    }

    #[test]
    fn only_what_is_accepted_may_be_outside_and_only_while_it_is() {
        let mut rows = [
            counter_row("here", 2, 1, Some(0.01)),
            counter_row("gone", 1, 1, Some(0.01)),
            counter_row("other", 2, 1, Some(0.01)),
        ];
        let names = accepted(["here", "gone"]);
        assert_eq!(excuse(&names, true, &mut [], &mut rows), ["gone"]);
        let reasons = rows.map(|row| row.accepted);
        assert_eq!(reasons, [Some("a reason".into()), None, None]);
    }

    #[test]
    fn completions_that_differ_are_accepted_by_name_only_if_nothing_else_is() {
        let mut rows = [counter_row("here", 2, 1, Some(0.01))];
        let mut stale = |names: &[Accepted], differs| excuse(names, differs, &mut [], &mut rows);
        assert!(stale(&accepted([LINES]), true).is_empty());
        assert_eq!(stale(&accepted([LINES]), false), [LINES]);
        assert_eq!(stale(&accepted([LINES, "here"]), true), [LINES]);
    }

    #[test]
    fn an_operation_outside_its_band_is_seen() {
        let figures = |mean, p99| Figures {
            count: 1,
            mean,
            p50: mean,
            p99,
        };
        let rows = |theirs| {
            let mut ours = Samples::default();
            ours.add(&Answer {
                command: trace::Command {
                    arrival: units::Instant::ZERO,
                    data: true,
                    op: trace::Op::Read,
                    slba: 0,
                    nlb: 8,
                    fua: false,
                },
                completion: units::Instant::from_nanos(1000),
                status: 0,
            });
            latency_rows(ours, &[(trace::Op::Read, theirs)], "", true)
        };
        assert_eq!(rows(figures(990, 1090))[0].inside, Some(true));
        assert_eq!(rows(figures(960, 1000))[0].inside, Some(false));
        assert_eq!(rows(figures(1000, 1200))[0].inside, Some(false));
    }
}
