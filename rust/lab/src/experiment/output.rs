// SPDX-License-Identifier: GPL-2.0-or-later
//! What an experiment leaves behind: results.csv, results.json, its figures and a page that holds them all.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::Table;
use serde_json::{json, Value};

use super::case::{Case, Metric, Row};
use super::catalogue::{Experiment, Figure, Scale};
use crate::page::{Page, Trend};
use crate::plot::{Axis, Line, Plot};
use crate::provenance::Setting;

/// An experiment's outcome.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Which.
    pub experiment: &'static Experiment,
    /// Its cases.
    pub cases: &'a [Case],
    /// The rows of all of them.
    pub rows: Vec<Row>,
    /// What they show.
    pub trends: Vec<Trend>,
    /// How to get the same again.
    pub settings: Vec<Setting>,
}

impl Outcome<'_> {
    /// The table.
    pub fn table(&self) -> Table {
        let mut table = crate::table::empty(self.header(), 1);
        for row in self.texts() {
            table.add_row(row);
        }
        table
    }

    fn header(&self) -> Vec<String> {
        let names = ["series", self.experiment.x].map(str::to_owned);
        let columns = self.experiment.columns.iter().map(|m| m.title().to_owned());
        names.into_iter().chain(columns).collect()
    }

    fn texts(&self) -> Vec<Vec<String>> {
        let text = |row: &Row| {
            let columns = self.experiment.columns.iter().map(|m| m.text(row));
            [row.series.clone(), row.x.to_string()]
                .into_iter()
                .chain(columns)
                .collect()
        };
        self.rows.iter().map(text).collect()
    }

    /// All figures of all rows, one row a line.
    pub fn csv(&self) -> String {
        let mut text = format!(
            "series,{},commands,errors,bytes,duration_ns",
            quoted(self.experiment.x)
        );
        for metric in Metric::ALL {
            text += ",";
            text += metric.key();
        }
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n{},{},{},{},{},{}",
                quoted(&row.series),
                row.x,
                row.commands,
                row.errors,
                row.bytes,
                row.duration_ns
            );
            for metric in Metric::ALL {
                let value = metric
                    .of(row)
                    .map_or_else(String::new, |v| format!("{v:.6}"));
                let _ = write!(text, ",{value}");
            }
        }
        text + "\n"
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let settings = self
            .settings
            .iter()
            .map(|s| (s.name.to_owned(), json!(s.value)));
        json!({
            "experiment": self.experiment.name,
            "title": self.experiment.title,
            "x": self.experiment.x,
            "settings": settings.collect::<serde_json::Map<_, _>>(),
            "cases": self.cases,
            "rows": self.rows,
            "trends": self.trends,
        })
    }

    /// Writes the files into `dir`.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let put = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        put("results.csv", &self.csv())?;
        put("results.json", &format!("{:#}\n", self.json()))?;
        let mut figures = Vec::new();
        for figure in self.experiment.figures {
            if let Some(svg) = self.plot(figure).svg()? {
                put(&format!("{}.svg", figure.metric.key()), &svg)?;
                figures.push(svg);
            }
        }
        let page = Page {
            command: "experiment",
            title: self.experiment.title,
            shows: self.experiment.shows,
            trends: &self.trends,
            header: self.header(),
            rows: self.texts(),
            figures,
            settings: &self.settings,
            drives: self.drives(),
            note:
                "MB = 10⁶ bytes. results.csv has every figure of every point, results.json the phases behind them.",
        };
        put("report.html", &page.html()?)
    }

    fn plot(&self, figure: &Figure) -> Plot {
        let mut lines: Vec<Line> = Vec::new();
        for row in self
            .rows
            .iter()
            .filter(|row| row.series.contains(figure.series))
        {
            let Some(value) = figure.metric.of(row) else {
                continue;
            };
            if lines.last().is_none_or(|line| line.name != row.series) {
                lines.push(Line {
                    name: row.series.clone(),
                    ..Line::default()
                });
            }
            if let Some(line) = lines.last_mut() {
                line.points.push((row.x, value));
            }
        }
        Plot {
            x: self.experiment.x.into(),
            y: figure.metric.axis().into(),
            axis: match self.experiment.scale {
                Scale::Linear => Axis::Linear,
                Scale::Doubling => Axis::Doubling,
            },
            lines,
            dots: true,
            nines: false,
        }
    }

    /// Each series' drive, in words.
    fn drives(&self) -> Vec<(String, String)> {
        let mut drives: Vec<(String, String)> = Vec::new();
        for case in self.cases {
            if drives.iter().all(|(series, _)| *series != case.series) {
                drives.push((case.series.clone(), case.drive.in_words()));
            }
        }
        drives
    }
}

/// A field of a CSV file (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Drive;
    use crate::experiment::case::{tests::row, Phase};
    use crate::experiment::catalogue::ALL;

    #[test]
    fn every_file_is_written_and_the_page_stands_alone() {
        let case = Case::raw(
            "a, <b>",
            Drive::new("tlc-zoned", &["zones=8"]),
            vec![Phase::fill(1)],
        );
        let outcome = Outcome {
            experiment: ALL[0],
            cases: std::slice::from_ref(&case),
            rows: vec![row("a, <b>", 4.0, 1000, 10), row("a, <b>", 8.0, 2000, 20)],
            trends: vec![Trend {
                what: "2 > 1".into(),
                holds: true,
            }],
            settings: vec![Setting::new("command", "cargo conzone experiment x")],
        };
        let dir = tempfile::tempdir().unwrap();
        outcome.write(dir.path()).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let csv = read("results.csv");
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].starts_with("series,\"block size, KiB\",commands,errors"),
            "{csv}"
        );
        assert!(
            lines[1].starts_with("\"a, <b>\",4,10,0,1000,1000000,1.000000"),
            "{csv}"
        );
        let page = read("report.html");
        assert!(!page.contains("<b>\"") && !page.contains("src=") && !page.contains("<link"));
        assert!(
            page.contains("zones=8") && page.contains("2 &#62; 1") || page.contains("2 &gt; 1")
        );
        assert_eq!(page.matches("<svg").count(), ALL[0].figures.len());
        let back: Value = serde_json::from_str(&read("results.json")).unwrap();
        assert_eq!(back["rows"][1]["bytes"], 2000);
        assert!(read("bandwidth_mb_s.svg").contains("</svg>"));
        assert!(outcome.table().to_string().contains("block size, KiB"));
    }
}
