// SPDX-License-Identifier: GPL-2.0-or-later
//! How far the model is from the drive, by group, and which bands that is to be inside.

use std::fmt::Write as _;

use console::style;
use serde::Serialize;

use super::points::{Group, Latencies, Point};
use crate::table;

/// How many of the worst points are shown.
const WORST: usize = 3;
/// How near the 99th percentile is to be.
const P99_NEAR: f64 = 0.25;

/// What a group is held to.
#[derive(Clone, Copy, Debug)]
struct Band {
    preset: &'static str,
    group: Group,
    /// Most median absolute deviation of the mean.
    median: f64,
    /// How near single means are to be, and the least share of points where they are.
    near: f64,
    share: f64,
    /// Least share of points whose 99th percentile is near.
    p99: f64,
}

const ZN540: &str = "zns-zn540";

const fn band(preset: &'static str, group: Group, median: f64, near: (f64, f64), p99: f64) -> Band {
    let (near, share) = near;
    Band {
        preset,
        group,
        median,
        near,
        share,
        p99,
    }
}

/// docs/validation.md has them with the reasons of those that are wide. Groups with fewer than twenty points have little
/// to say about shares: one point more or less is not to decide.
const BANDS: &[Band] = &[
    band(ZN540, Group::Randread, 0.05, (0.15, 0.9), 0.7),
    band(ZN540, Group::Read, 0.15, (0.20, 0.6), 0.0),
    band(ZN540, Group::Write, 0.05, (0.15, 0.85), 0.0),
    band(ZN540, Group::Append, 0.05, (0.15, 0.9), 0.0),
    band(ZN540, Group::Reset, 0.05, (0.15, 0.9), 0.8),
    band(ZN540, Group::Finish, 0.05, (0.15, 0.85), 0.8),
    band(ZN540, Group::OpenClose, 0.10, (0.15, 0.9), 0.0),
    band(ZN540, Group::BesideWrites, 0.10, (0.20, 0.8), 0.0),
    band(ZN540, Group::HeldWrites, 0.15, (0.20, 0.7), 0.0),
];

/// A point beside the model's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    pub preset: &'static str,
    pub group: Group,
    pub name: String,
    pub drive: Latencies,
    pub model: Latencies,
    /// Of the model against the drive.
    pub mean: f64,
    pub p99: f64,
}

impl Compared {
    pub fn new(preset: &'static str, point: &Point, model: Latencies) -> Self {
        let measured = point.measured;
        let against = |ours: f64, theirs: f64| ours / theirs - 1.0;
        Self {
            preset,
            group: point.group,
            name: point.name.clone(),
            drive: measured,
            mean: against(model.mean_us, measured.mean_us),
            p99: against(model.p99_us, measured.p99_us),
            model,
        }
    }
}

/// A group's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub preset: &'static str,
    pub group: Group,
    pub points: usize,
    /// Median absolute deviation of the mean.
    pub median: f64,
    /// Share of points whose mean is within 15 % and 20 %, and whose 99th percentile within 25 %.
    pub within_15: f64,
    pub within_20: f64,
    pub p99_within_25: f64,
    /// Inside its band, if it has one.
    pub inside: Option<bool>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub groups: Vec<Summary>,
    pub points: Vec<Compared>,
}

impl Report {
    pub fn new(points: Vec<Compared>) -> Self {
        let same = |a: &Compared, b: &Compared| (a.preset, a.group) == (b.preset, b.group);
        let groups = points.chunk_by(same).filter_map(summary).collect();
        Self { groups, points }
    }

    /// Whether every group is inside its band.
    pub fn inside(&self) -> bool {
        self.groups.iter().all(|group| group.inside != Some(false))
    }

    /// For people; every point with `all`.
    pub fn text(&self, all: bool) -> String {
        const HEADER: [&str; 8] = [
            "preset", "group", "points", "median", "15 %", "20 %", "p99 25 %", "bands",
        ];
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let row = |g: &Summary| {
            [
                g.preset.to_owned(),
                g.group.name().to_owned(),
                g.points.to_string(),
                percent(g.median),
                percent(g.within_15),
                percent(g.within_20),
                percent(g.p99_within_25),
                match g.inside {
                    None => String::new(),
                    Some(true) => style("inside").green().to_string(),
                    Some(false) => style("OUTSIDE").red().bold().to_string(),
                },
            ]
        };
        let mut text = table::figures(HEADER, 2, self.groups.iter().map(row)).to_string();
        text.push_str(
            "\nmedian: of the mean's absolute deviation; shares of points whose mean is within 15 and 20 %, whose 99th \
             percentile within 25 %\n",
        );
        for group in &self.groups {
            let mut points: Vec<_> = self.points.iter().collect();
            points.retain(|p| (p.preset, p.group) == (group.preset, group.group));
            if !all {
                points.sort_by(|a, b| b.mean.abs().total_cmp(&a.mean.abs()));
                points.truncate(WORST);
            }
            let which = if all { "all" } else { "worst" };
            let title = format!("{}, {}: {which}", group.preset, group.group.name());
            // A `String` takes everything.
            let _ = writeln!(text, "\n{}", style(title).bold());
            for p in points {
                let _ = writeln!(
                    text,
                    "  {:<52} mean {:>11.2} us, model {:>11.2} {:>+7.1} %   p99 {:>10.1}, model {:>10.1} {:>+7.1} %",
                    p.name,
                    p.drive.mean_us,
                    p.model.mean_us,
                    p.mean * 100.0,
                    p.drive.p99_us,
                    p.model.p99_us,
                    p.p99 * 100.0,
                );
            }
        }
        text
    }
}

fn summary(points: &[Compared]) -> Option<Summary> {
    let first = points.first()?;
    let mut off: Vec<f64> = points.iter().map(|p| p.mean.abs()).collect();
    off.sort_by(f64::total_cmp);
    let share = |near: &dyn Fn(&Compared) -> bool| {
        points.iter().filter(|p| near(p)).count() as f64 / points.len() as f64
    };
    let within = |bound: f64| share(&|p| p.mean.abs() <= bound);
    let p99 = share(&|p| p.p99.abs() <= P99_NEAR);
    // Of an even number the lower one.
    let median = off.get((off.len() - 1) / 2).copied()?;
    let band = BANDS
        .iter()
        .find(|b| (b.preset, b.group) == (first.preset, first.group));
    Some(Summary {
        preset: first.preset,
        group: first.group,
        points: points.len(),
        median,
        within_15: within(0.15),
        within_20: within(0.20),
        p99_within_25: p99,
        inside: band.map(|b| median <= b.median && within(b.near) >= b.share && p99 >= b.p99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(model: f64) -> Compared {
        let latencies = |us| Latencies {
            mean_us: us,
            p50_us: us,
            p99_us: us,
        };
        let point = Point {
            drive: "d".into(),
            group: Group::Write,
            name: "w".into(),
            play: super::super::points::Play::Zone(
                super::super::points::Before::Nothing,
                super::super::points::ZoneCommand::Write,
            ),
            measured: latencies(100.0),
        };
        Compared::new(ZN540, &point, latencies(model))
    }

    #[test]
    fn figures_of_a_group() {
        let report = Report::new([100.0, 90.0, 118.0, 200.0].map(compared).to_vec());
        let [group] = report.groups.as_slice() else {
            panic!("{report:?}");
        };
        assert_eq!(group.points, 4);
        assert!((group.median - 0.1).abs() < 1e-9, "{group:?}");
        assert_eq!((group.within_15, group.within_20), (0.5, 0.75));
        assert_eq!(group.p99_within_25, 0.75);
        assert_eq!((group.inside, report.inside()), (Some(false), false));
        let text = report.text(false);
        assert!(
            text.contains("+100.0 %") && !text.contains("+0.0 %"),
            "{text}"
        );
    }

    #[test]
    fn a_group_inside_its_band_is_said_to_be() {
        let report = Report::new([100.0, 101.0, 104.0].map(compared).to_vec());
        assert!(report.inside(), "{report:?}");
        // Half of the means near is too few, however small the median.
        let report = Report::new([100.0, 100.0, 100.0, 140.0, 140.0].map(compared).to_vec());
        assert!(!report.inside(), "{report:?}");
    }

    /// The points of this repository on the model.
    #[test]
    fn every_group_is_inside_its_band() {
        let dir =
            std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/hardware"));
        let options = super::super::Options::default();
        let progress = crate::progress::Progress::new(true);
        let report = super::super::report(progress, &options, dir).unwrap();
        assert!(report.inside(), "{}", report.text(false));
        assert_eq!(
            report.groups.iter().filter(|g| g.inside.is_some()).count(),
            BANDS.len()
        );
    }
}
