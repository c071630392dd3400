// SPDX-License-Identifier: GPL-2.0-or-later
//! The golden files: which traces there are, and what the other side made of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context as _};
use serde::{Deserialize, Serialize};

use super::figures::Figures;

/// Who is on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A second implementation of the same specification: with bands.
    Spec,
    /// The reference emulator's model: without.
    Reference,
}

impl Source {
    /// Its directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Reference => "reference",
        }
    }
}

/// One trace of one preset.
#[derive(Clone, Debug)]
pub struct Case {
    /// Whose.
    pub source: Source,
    /// The preset.
    pub preset: String,
    /// The trace's name.
    pub name: String,
    /// What may be outside its band.
    pub accepted: Vec<Accepted>,
    dir: PathBuf,
}

/// A deviation that stays, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The operation or the counter; or [`LINES`].
    pub what: String,
    /// The reason.
    pub why: String,
}

/// Accepted alone, of a trace that is inside all bands: completions differ. Of traces with other
/// accepted deviations they may anyway.
pub const LINES: &str = "lines";

/// What the reference made of one phase of a trace.
#[derive(Debug, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How many commands it has.
    pub commands: u64,
    /// Latencies, by operation code.
    pub ops: BTreeMap<String, Figures>,
}

/// What the reference made of a trace.
#[derive(Debug, Deserialize)]
pub struct ReferenceFigures {
    /// Phases, in order.
    pub phases: Vec<Phase>,
    /// Its counters.
    pub counters: BTreeMap<String, u64>,
}

impl Case {
    fn path(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.name))
    }

    /// The input.
    pub fn trace(&self) -> PathBuf {
        self.path("trace.gz")
    }

    /// The other implementation's completions.
    pub fn answers(&self) -> PathBuf {
        self.path("out.gz")
    }

    /// The drive that the trace is for.
    pub fn config(&self) -> anyhow::Result<ssd::Config> {
        let mut config = ssd::Config::preset(&self.preset)?;
        if self.source == Source::Spec {
            let command = self.path("cmd");
            let text = fs::read_to_string(&command).context(command.display().to_string())?;
            let mut words = text.split_whitespace();
            while let Some(word) = words.next() {
                if let ("--set", Some(pair)) = (word, words.clone().next()) {
                    config.set_pair(pair)?;
                }
            }
        }
        Ok(config)
    }

    /// The other implementation's counters; those that are zero may be left out.
    pub fn counters(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        json(&self.path("stats.json"))
    }

    /// The reference's figures.
    pub fn figures(&self) -> anyhow::Result<ReferenceFigures> {
        json(&self.path("figures.json"))
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// The accepted deviations, with the traces they are of (`preset/trace`); none without a file.
fn accepted(root: &Path) -> anyhow::Result<Vec<(String, Accepted)>> {
    let path = root.join("accepted.txt");
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| path.display().to_string())?,
    };
    parse_accepted(&text).with_context(|| path.display().to_string())
}

fn parse_accepted(text: &str) -> anyhow::Result<Vec<(String, Accepted)>> {
    let lines = text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let mut all = Vec::new();
    for line in lines {
        let fields: Vec<_> = line.splitn(3, '|').map(str::trim).collect();
        let [of, names, why] = fields[..] else {
            bail!("'{line}' is not of the form preset/trace | what | why");
        };
        all.extend(names.split_whitespace().map(|what| {
            let (what, why) = (what.to_string(), why.to_string());
            (of.to_string(), Accepted { what, why })
        }));
    }
    Ok(all)
}

/// All cases, by source, preset in the order of the presets, and name.
pub fn find(root: &Path) -> anyhow::Result<Vec<Case>> {
    let accepted = accepted(root)?;
    let of = |source, title: &str| {
        let here = accepted
            .iter()
            .filter(|(of, _)| source == Source::Spec && of == title);
        here.map(|(_, accepted)| accepted.clone()).collect()
    };
    let mut cases = Vec::new();
    for source in [Source::Spec, Source::Reference] {
        for preset in ssd::PRESETS.map(|preset| preset.name) {
            let dir = root.join(source.name()).join(preset);
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(_) => continue,
            };
            let mut names: Vec<String> = entries
                .filter_map(|entry| {
                    let name = entry.ok()?.file_name().into_string().ok()?;
                    Some(name.strip_suffix(".trace.gz")?.to_string())
                })
                .collect();
            names.sort();
            cases.extend(names.into_iter().map(|name| Case {
                source,
                preset: preset.to_string(),
                accepted: of(source, &format!("{preset}/{name}")),
                name,
                dir: dir.clone(),
            }));
        }
    }
    if cases.is_empty() {
        bail!("no golden traces in {}", root.display());
    }
    for (of, accepted) in &accepted {
        let there = cases.iter().any(|case| {
            case.source == Source::Spec && *of == format!("{}/{}", case.preset, case.name)
        });
        ensure!(there, "accepted.txt: no trace {of} for '{}'", accepted.what);
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_deviations_name_trace_figures_and_reason() {
        let accepted = |what: &str| {
            let (what, why) = (what.to_string(), "why | not".to_string());
            ("a/b".to_string(), Accepted { what, why })
        };
        assert_eq!(
            parse_accepted("# a remark\n\na/b | R pages_slc | why | not\n").unwrap(),
            [accepted("R"), accepted("pages_slc")]
        );
        assert!(parse_accepted("a/b | R").is_err());
    }
}
