// SPDX-License-Identifier: GPL-2.0-or-later
//! The experiments there are. To add one: an [`Experiment`] in one of the modules, and a line in [`ALL`].

mod asleep;
mod family;
mod folding;
mod interfaces;
mod maps;
mod phone;
mod writes;

use super::case::{Case, Metric, Row, Workload};
use super::requests::Source;
use crate::drive::Base;
use crate::page::Trend;

/// Where an experiment's cases run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// On the model; with `--guest` in the guest.
    Both,
    /// On the model only.
    Model,
    /// In the guest only: it needs an operating system.
    Guest,
}

/// A picture: a metric over the experiment's horizontal axis.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The vertical axis.
    pub metric: Metric,
    /// Only series whose name contains this.
    pub series: &'static str,
}

impl Figure {
    /// A picture of all series.
    pub const fn of(metric: Metric) -> Self {
        Self { metric, series: "" }
    }
}

/// How the horizontal axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By powers of two.
    Doubling,
}

/// A question, how it is asked, and what the answer should look like.
#[derive(Debug)]
pub struct Experiment {
    /// What one types.
    pub name: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it shows and why, a paragraph.
    pub shows: &'static str,
    /// The horizontal axis, with its unit.
    pub x: &'static str,
    /// How that is divided.
    pub scale: Scale,
    /// The table's columns after series and x.
    pub columns: &'static [Metric],
    /// The pictures.
    pub figures: &'static [Figure],
    /// Where it runs.
    pub engine: Engine,
    /// The preset that `--preset` replaces; none where the presets are what is compared.
    pub preset: Option<&'static str>,
    /// The cases, for a preset in place of [`Experiment::preset`].
    pub cases: fn(preset: &str) -> Vec<Case>,
    /// What the drives as they are should show; whether the rows are the guest's, whose software is in its figures.
    pub trends: fn(rows: &[Row], guest: bool) -> Vec<Trend>,
}

impl Experiment {
    /// The cases; `base`, `set` and `source` are the user's.
    pub fn cases(&self, base: &Base, set: &[String], source: Option<&Source>) -> Vec<Case> {
        let preset = match base.is_given() {
            true => base.preset_in_effect(),
            false => self.preset.unwrap_or_default(),
        };
        let mut cases = (self.cases)(preset);
        for case in &mut cases {
            if base.is_given() {
                case.drive.base.clone_from(base);
            }
            case.drive.set.extend_from_slice(set);
            if let (Workload::Requests(requests), Some(source)) = (&mut case.workload, source) {
                requests.source = source.clone();
                case.series = source.name();
            }
        }
        cases
    }

    /// Whether its cases run the requests of a trace.
    #[must_use]
    pub fn runs_a_trace(&self) -> bool {
        let cases = (self.cases)(self.preset.unwrap_or_default());
        let requests = |case: &Case| matches!(case.workload, Workload::Requests(_));
        cases.iter().any(requests)
    }
}

impl Trend {
    /// `a` is more than `factor` times `b`.
    fn above(what: &str, a: Option<f64>, factor: f64, b: Option<f64>) -> Self {
        let (Some(a), Some(b)) = (a, b) else {
            return Self::missing(what);
        };
        let times = if factor == 1.0 {
            String::new()
        } else {
            format!("{factor} x ")
        };
        Self {
            what: format!("{what}: {a:.1} > {times}{b:.1}"),
            holds: a > factor * b,
        }
    }

    /// `a` is within `per_cent` of `b`.
    fn near(what: &str, a: Option<f64>, b: Option<f64>, per_cent: f64) -> Self {
        let (Some(a), Some(b)) = (a, b) else {
            return Self::missing(what);
        };
        Self {
            what: format!("{what}: {a:.1} is {b:.1} within {per_cent} %"),
            holds: (a - b).abs() <= b.abs() * per_cent / 100.0,
        }
    }

    fn missing(what: &str) -> Self {
        Self {
            what: format!("{what}: not measured"),
            holds: false,
        }
    }
}

/// A metric's value where a series has this x; of whichever series if it has no name.
fn at(rows: &[Row], series: &str, x: f64, metric: Metric) -> Option<f64> {
    let row = rows
        .iter()
        .find(|row| (series.is_empty() || row.series == series) && (row.x - x).abs() < 1e-6)?;
    metric.of(row)
}

/// Microseconds from one command to the next, all jobs together. In a difference of two, what the guest's software adds to
/// every command falls out.
fn interval(rows: &[Row], series: &str, x: f64) -> Option<f64> {
    at(rows, series, x, Metric::Iops).map(|iops| 1e6 / iops)
}

/// Every experiment, in the order of docs/experiments.md.
pub const ALL: [&Experiment; 17] = [
    &writes::SEQUENTIAL_WRITE,
    &maps::RANDOM_READ,
    &maps::HMB,
    &writes::ZONE_CONFLICTS,
    &writes::PREMATURE_FLUSH,
    &writes::SYNC_WRITE,
    &writes::F2FS_FSYNC,
    &interfaces::ZONED_BLOCK,
    &interfaces::TLC_QLC,
    &interfaces::PAGE_ZONE_SLC,
    &folding::IDLE_FOLD,
    &asleep::APST,
    &folding::SLC_CLIFF,
    &phone::LOGS,
    &phone::MAP,
    &family::WRITE,
    &family::READ,
];

/// The experiment of that name.
pub fn by_name(name: &str) -> Option<&'static Experiment> {
    ALL.into_iter().find(|experiment| experiment.name == name)
}
