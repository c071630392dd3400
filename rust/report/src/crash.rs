// SPDX-License-Identifier: GPL-2.0-or-later
//! What power cuts left of a file system: a table by outcome, a picture of the cuts over time, and each that lost something.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use askama::Template;
use lab::plot::labelled;
use lab::provenance::Setting;
use serde::{Deserialize, Serialize};

use crate::clock::{self, Clock, RIGHT, WIDTH};
use crate::drawn::{open, times};

/// Changes when `crash.json` does.
const FORMAT: u32 = 1;
const LEFT: f64 = clock::LEFT as f64;
const ROW: usize = 34;
const TOP: usize = 8;
const BOTTOM: usize = 44;

/// What became of one cut, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It could be mounted, had what was promised, and its checker finds nothing.
    Clean,
    /// The same after its checker had mended it.
    Repaired,
    /// Its checker finds errors that it cannot mend.
    Damaged,
    /// What was promised is not there.
    Lost,
    /// It cannot be mounted.
    Unmountable,
    /// The guest that looked did not come to an end.
    Died,
}

impl Outcome {
    /// All, from the best to the worst.
    pub const ALL: [Self; 6] = [
        Self::Clean,
        Self::Repaired,
        Self::Damaged,
        Self::Lost,
        Self::Unmountable,
        Self::Died,
    ];

    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Repaired => "repaired",
            Self::Damaged => "damaged",
            Self::Lost => "lost",
            Self::Unmountable => "unmountable",
            Self::Died => "died",
        }
    }

    /// In a line.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Clean => "mounted, all that was promised is there, the checker finds nothing",
            Self::Repaired => "the same after the file system's checker had mended it",
            Self::Damaged => "the checker finds errors that it cannot mend",
            Self::Lost => "something that was promised is not there",
            Self::Unmountable => "it cannot be mounted",
            Self::Died => "the guest did not come to an end",
        }
    }

    /// Whether nothing that was promised is lost.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Clean | Self::Repaired)
    }

    /// Colours that differ in brightness too.
    const fn colour(self) -> &'static str {
        match self {
            Self::Clean => "#0072b2",
            Self::Repaired => "#56b4e9",
            Self::Damaged => "#e69f00",
            Self::Lost => "#d55e00",
            Self::Unmountable => "#7a1f00",
            Self::Died => "#000000",
        }
    }
}

/// One power cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Instant of the drive's clock, ns.
    pub at: u64,
    /// What had been promised.
    pub promised: u64,
    /// Pages whose newest data was gone.
    pub pages_lost: u64,
    /// What became of it, and why.
    pub outcome: Outcome,
    #[allow(missing_docs, reason = "said above")]
    pub why: String,
    /// What to type to look at it again.
    pub again: String,
}

/// All cuts of a workload.
#[derive(Debug)]
pub struct Campaign {
    /// One line: what on what.
    pub title: String,
    /// How it was made.
    pub settings: Vec<Setting>,
    /// When the work began and had ended, ns of the drive's clock.
    pub work: (u64, u64),
    /// The cuts, in order.
    pub cuts: Vec<Cut>,
}

#[derive(Template)]
#[template(path = "crash.html")]
struct Page<'a> {
    title: &'a str,
    outcomes: Vec<(&'static str, usize, &'static str)>,
    total: usize,
    picture: String,
    bad: Vec<&'a Cut>,
    more: usize,
    has_more: bool,
    settings: &'a [Setting],
}

/// Rows of the page's table of what was lost.
const MOST_BAD: usize = 200;

impl Campaign {
    /// How many cuts had each outcome, where any had.
    #[must_use]
    pub fn outcomes(&self) -> Vec<(Outcome, usize)> {
        let count = |outcome| {
            self.cuts
                .iter()
                .filter(|cut| cut.outcome == outcome)
                .count()
        };
        let counts = Outcome::ALL.map(|outcome| (outcome, count(outcome)));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The cuts that lost something.
    pub fn bad(&self) -> impl Iterator<Item = &Cut> {
        self.cuts.iter().filter(|cut| !cut.outcome.is_good())
    }

    /// A line for each outcome.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (outcome, count) in self.outcomes() {
            let _ = writeln!(
                text,
                "{count:>6}  {:<12} {}",
                outcome.name(),
                outcome.meaning()
            );
        }
        text
    }

    /// Writes `report.html` and what the page shows, as SVG, into a folder.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let put = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        let picture = labelled(&self.picture(), "power cuts over time, by outcome");
        put("cuts.svg", &picture)?;
        let bad: Vec<_> = self.bad().collect();
        let page = Page {
            title: &self.title,
            outcomes: self
                .outcomes()
                .into_iter()
                .map(|(outcome, count)| (outcome.name(), count, outcome.meaning()))
                .collect(),
            total: self.cuts.len(),
            picture,
            more: bad.len().saturating_sub(MOST_BAD),
            has_more: bad.len() > MOST_BAD,
            bad: bad.into_iter().take(MOST_BAD).collect(),
            settings: &self.settings,
        };
        put(
            "report.html",
            &page.render().context("rendering the report")?,
        )
    }

    /// The same as JSON, with whatever else the caller keeps beside it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let settings = self.settings.iter().map(|s| (s.name, s.value.as_str()));
        let outcomes = self.outcomes().into_iter();
        let outcomes = outcomes.map(|(outcome, count)| (outcome.name().to_owned(), count.into()));
        serde_json::json!({
            "format": FORMAT,
            "title": self.title,
            "settings": settings.collect::<Vec<_>>(),
            "outcomes": outcomes.collect::<serde_json::Map<_, _>>(),
            "cuts": self.cuts,
        })
    }

    /// A row for each outcome, a mark for each cut at its time; the higher in its row, the more pages had been lost.
    fn picture(&self) -> String {
        let outcomes = self.outcomes();
        let bottom = TOP + ROW * outcomes.len().max(1);
        let mut svg = open(WIDTH as usize, bottom + BOTTOM);
        let wide = f64::from(WIDTH - RIGHT) - LEFT;
        let (began, ended) = self.work;
        let span = ended.saturating_sub(began).max(1) as f64;
        let place = |at: u64| LEFT + at.saturating_sub(began) as f64 / span * wide;
        let most = self.cuts.iter().map(|cut| cut.pages_lost).max();
        let most = most.unwrap_or(0).max(1) as f64;
        for (row, (outcome, count)) in outcomes.iter().enumerate() {
            let y = TOP + row * ROW;
            let base = (y + ROW - 6) as f64;
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{} {count}</text>\
                 <line x1=\"{LEFT}\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\" stroke=\"#e1e1e1\"/>",
                LEFT - 10.0,
                y + ROW / 2 + 4,
                outcome.name(),
                LEFT + wide,
            );
            for cut in self.cuts.iter().filter(|cut| cut.outcome == *outcome) {
                let high = 4.0 + (ROW - 12) as f64 * cut.pages_lost as f64 / most;
                let _ = write!(
                    svg,
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"3\" height=\"{high:.1}\" fill=\"{}\">\
                     <title>{} ns: {}, {} pages lost</title></rect>",
                    place(cut.at) - 1.5,
                    base - high,
                    outcome.colour(),
                    cut.at,
                    outcome.name(),
                    cut.pages_lost,
                );
            }
        }
        let clock = Clock {
            title: "the drive's clock, s",
            fio_at: 0.0,
            span: began as f64 / 1e9..(began as f64 + span) / 1e9,
        };
        times(&mut svg, &clock, bottom);
        svg += "</svg>";
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign() -> Campaign {
        let cut = |at, outcome, why: &str| Cut {
            at,
            promised: at / 10,
            pages_lost: at % 7,
            outcome,
            why: why.into(),
            again: format!("cargo conzone crash --again x --at {at}"),
        };
        Campaign {
            title: "f2fs <fsync>".into(),
            settings: vec![Setting::new("command", "cargo conzone crash")],
            work: (100, 1100),
            cuts: vec![
                cut(150, Outcome::Clean, ""),
                cut(300, Outcome::Lost, "block <3> is gone"),
                cut(500, Outcome::Clean, ""),
                cut(900, Outcome::Unmountable, "no superblock"),
            ],
        }
    }

    #[test]
    fn a_page_shows_each_outcome_and_each_loss() {
        let folder = tempfile::tempdir().unwrap();
        campaign().write(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
        for text in [
            "block &#60;3&#62; is gone",
            "no superblock",
            "--again x --at 300",
            "it cannot be mounted",
            "<svg",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(!page.contains("--at 500"), "only what was lost is listed");
        let svg = fs::read_to_string(folder.path().join("cuts.svg")).unwrap();
        assert_eq!(svg.matches("<rect").count(), 4);
        assert_eq!(
            campaign()
                .text()
                .lines()
                .map(|line| line[..20].trim().to_owned())
                .collect::<Vec<_>>(),
            ["2  clean", "1  lost", "1  unmountable"]
        );
        let json = campaign().json();
        assert_eq!(json["outcomes"]["clean"], 2);
        assert_eq!(json["cuts"][1]["outcome"], "lost");
    }

    #[test]
    fn without_a_loss_there_is_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let mut campaign = campaign();
        campaign.cuts.retain(|cut| cut.outcome.is_good());
        campaign.write(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
        assert!(page.contains("None of them lost anything that was promised."));
    }
}
