// SPDX-License-Identifier: GPL-2.0-or-later
//! What an experiment has left (lab's `experiment`), to be compared with the same one of other drives.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use lab::experiment::case::Row;
use lab::experiment::catalogue::{by_name, Experiment};
use lab::failure::Prerequisite;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Where it is.
pub const FILE: &str = "results.json";

/// An experiment's rows.
#[derive(Debug)]
pub struct Study {
    /// Which it is.
    pub experiment: &'static Experiment,
    /// Its rows.
    pub rows: Vec<Row>,
    /// The drive of each series, in words.
    pub drives: Vec<(String, String)>,
    /// How it was made.
    pub settings: Vec<(String, String)>,
}

/// results.json, as far as it is needed here.
#[derive(Deserialize)]
struct Record {
    experiment: String,
    settings: Map<String, Value>,
    cases: Vec<Case>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Case {
    series: String,
    drive: Drive,
}

#[derive(Deserialize)]
struct Drive {
    preset: String,
    file: Option<File>,
    set: Vec<String>,
    age: Option<String>,
}

/// What a drive file says.
#[derive(Deserialize)]
struct File {
    settings: Vec<Setting>,
}

#[derive(Deserialize)]
struct Setting {
    key: String,
    value: String,
}

impl Drive {
    fn in_words(self) -> String {
        let of_file = self.file.into_iter().flat_map(|file| file.settings);
        let of_file = of_file.map(|Setting { key, value }| format!("{key}={value}"));
        let age = self.age.map(|age| format!("--age {age}"));
        let words: Vec<_> = [self.preset]
            .into_iter()
            .chain(of_file)
            .chain(self.set)
            .chain(age)
            .collect();
        words.join(" ")
    }
}

impl Study {
    /// That of a directory; none if it has none.
    ///
    /// # Errors
    /// The file is broken, or of an experiment that there is no more.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let Ok(text) = fs::read_to_string(&path) else {
            return Ok(None);
        };
        let name = path.display();
        let record: Record =
            serde_json::from_str(&text).with_context(|| format!("{name} is broken: run again"))?;
        let experiment = by_name(&record.experiment).ok_or_else(|| {
            Prerequisite(format!(
                "{name}: there is no experiment '{}' here",
                record.experiment
            ))
        })?;
        let mut drives: Vec<(String, String)> = Vec::new();
        for case in record.cases {
            if drives.iter().all(|(series, _)| *series != case.series) {
                drives.push((case.series, case.drive.in_words()));
            }
        }
        let settings = record.settings.into_iter();
        let settings = settings.map(|(name, value)| (name, value.as_str().unwrap_or("?").into()));
        Ok(Some(Self {
            experiment,
            rows: record.rows,
            drives,
            settings: settings.collect(),
        }))
    }

    /// Every figure of the experiment's table under the name of its point.
    pub fn figures(&self) -> Vec<(String, f64)> {
        let named = self.rows.iter().flat_map(|row| {
            let columns = self.experiment.columns.iter();
            columns.filter_map(move |metric| {
                let point = format!("{}, {} {}", row.series, self.experiment.x, row.x);
                Some((format!("{point}: {}", metric.title()), metric.of(row)?))
            })
        });
        named.collect()
    }
}
