// SPDX-License-Identifier: GPL-2.0-or-later
//! The model against the independent implementation's traces (tests/golden): every completion is the
//! same to the nanosecond, and every counter within its band, but for what accepted.txt lists.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod common;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zms::Zms;

fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let file = File::open(path).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn stats(path: &Path) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(path).unwrap();
    let pairs = text.trim().trim_matches(['{', '}']).split(',');
    pairs
        .filter_map(|pair| {
            let (key, value) = pair.split_once(':')?;
            Some((
                key.trim().trim_matches('"').to_string(),
                value.trim().parse().ok()?,
            ))
        })
        .collect()
}

/// Mean and 99th percentile of latencies in nanoseconds, by operation.
fn latencies(rows: &[(String, u64)]) -> Vec<(String, f64, u64)> {
    let mut ops: Vec<_> = rows.iter().map(|r| r.0.clone()).collect();
    ops.sort();
    ops.dedup();
    ops.into_iter()
        .map(|op| {
            let mut times: Vec<_> = rows.iter().filter(|r| r.0 == op).map(|r| r.1).collect();
            times.sort_unstable();
            let mean = times.iter().sum::<u64>() as f64 / times.len() as f64;
            (op, mean, times[(times.len() * 99).div_ceil(100) - 1])
        })
        .collect()
}

/// Whether `ours` is within `percent` of `theirs`.
fn near(ours: f64, theirs: f64, percent: f64) -> bool {
    (ours - theirs).abs() <= theirs.abs() * percent / 100.0
}

/// One trace's comparison.
struct Comparison {
    /// Lines that differ.
    different: usize,
    /// What is outside the bands (mean 3 %, 99th percentile 10 %, counters 1 %): the operation or the
    /// counter, and by how much.
    outside: Vec<(String, String)>,
}

impl Comparison {
    fn outside(&mut self, what: &str, figures: String) {
        self.outside.push((what.to_string(), figures));
    }
}

fn compare(dir: &Path, preset: &str, name: &str) -> Comparison {
    let file = |suffix: &str| dir.join(preset).join(format!("{name}{suffix}"));
    let cmd = std::fs::read_to_string(file(".cmd")).unwrap();
    let words: Vec<_> = cmd.split_ascii_whitespace().collect();
    let settings: Vec<_> = words
        .windows(2)
        .filter(|w| w[0] == "--set")
        .filter_map(|w| w[1].split_once('='))
        .collect();
    let mut zms = Zms::new(&common::config(preset, &settings)).unwrap();
    let ours = common::run(&mut zms, &gunzip(&file(".trace.gz")));
    zms.check_invariants().unwrap();
    let theirs = gunzip(&file(".out.gz"));
    let mut result = Comparison {
        different: 0,
        outside: Vec::new(),
    };
    let (mut rows, mut their_rows) = (Vec::new(), Vec::new());
    assert_eq!(ours.len(), theirs.lines().count());
    for (a, b) in ours.iter().zip(theirs.lines()) {
        let mine = format!("{} {} {} {}", a.arrival, a.line, a.completion, a.status);
        let f: Vec<_> = b.split(' ').collect();
        let number = |i: usize| f[i].parse::<u64>().unwrap();
        rows.push((f[2].to_string(), a.completion - a.arrival));
        their_rows.push((f[2].to_string(), number(5) - number(0)));
        if a.status.to_string() != f[6] {
            result.outside("status", format!("ours {mine}, theirs {b}"));
        }
        result.different += usize::from(mine != b);
        if mine != b && result.different < 4 && std::env::var_os("CONZONE_VERBOSE").is_some() {
            println!("{preset}/{name}: ours {mine} | theirs {b}");
        }
    }
    for (a, b) in latencies(&rows).iter().zip(latencies(&their_rows)) {
        if !near(a.1, b.1, 3.0) {
            result.outside(&a.0, format!("mean: ours {:.0}, theirs {:.0}", a.1, b.1));
        }
        if !near(a.2 as f64, b.2 as f64, 10.0) {
            result.outside(&a.0, format!("p99: ours {}, theirs {}", a.2, b.2));
        }
    }
    let mine = common::counters(&zms);
    for (key, value) in stats(&file(".stats.json")) {
        let ours = mine.iter().find(|c| c.0 == key).map_or(0, |c| c.1);
        if std::env::var_os("CONZONE_VERBOSE").is_some() && ours != value && key != "waf" {
            println!("{preset}/{name}: {key}: ours {ours}, theirs {value}");
        }
        // Theirs counts refused writes as well; `flushes` is the sum of four others.
        let counted = !["waf", "host_writes", "flushes"].contains(&key.as_str());
        if counted && !near(ours as f64, value as f64, 1.0) {
            result.outside(&key, format!("ours {ours}, theirs {value}"));
        }
    }
    for (key, value) in &mine {
        if !stats(&file(".stats.json")).iter().any(|s| s.0 == *key) {
            result.outside(key, format!("ours {value}, theirs none"));
        }
    }
    result
}

/// `CONZONE_GOLDEN` names another set of traces, `CONZONE_ONLY` a part of the names.
fn traces() -> (PathBuf, Vec<(String, String)>) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/spec");
    let dir = std::env::var_os("CONZONE_GOLDEN").map_or(own, PathBuf::from);
    let only = std::env::var("CONZONE_ONLY").unwrap_or_default();
    let mut names = Vec::new();
    let presets = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    for preset in presets.filter(|e| e.path().is_dir()) {
        for file in std::fs::read_dir(preset.path()).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            if let Some(name) = name.strip_suffix(".cmd") {
                names.push((preset.file_name().into_string().unwrap(), name.to_string()));
            }
        }
    }
    names.retain(|(preset, name)| format!("{preset}/{name}").contains(&only));
    names.sort();
    (dir, names)
}

/// What the table beside the traces accepts: preset/trace, and the operation or counter.
fn accepted(dir: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(dir.join("../accepted.txt")).unwrap_or_default();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines
        .flat_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            let (of, names) = (fields.next().unwrap(), fields.next().unwrap());
            names
                .split_whitespace()
                .map(|what| (of.into(), what.into()))
        })
        .collect()
}

/// What one trace does that the table does not accept, and what the table accepts for nothing.
fn judge(title: &str, c: &Comparison, accepted: &[(String, String)]) -> Vec<String> {
    let accepted = accepted.iter().filter(|a| a.0 == title);
    let accepted: Vec<_> = accepted.map(|a| a.1.as_str()).collect();
    let mut failures = Vec::new();
    if c.different > 0 && accepted.is_empty() {
        failures.push(format!("{title}: {} lines differ", c.different));
    }
    let unexpected = c
        .outside
        .iter()
        .filter(|(what, _)| !accepted.contains(&what.as_str()));
    failures.extend(unexpected.map(|(what, figures)| format!("{title}: {what}: {figures}")));
    for what in &accepted {
        let lines_alone = *what == "lines" && c.different > 0 && accepted.len() == 1;
        if !lines_alone && !c.outside.iter().any(|o| o.0 == *what) {
            failures.push(format!("{title}: {what} is accepted, but not needed"));
        }
    }
    failures
}

#[test]
fn every_trace_is_met_to_the_nanosecond_but_for_accepted_deviations() {
    let (dir, names) = traces();
    let accepted = accepted(&dir);
    let mut failures = Vec::new();
    let mut titles = Vec::new();
    for (preset, name) in &names {
        let c = compare(&dir, preset, name);
        let title = format!("{preset}/{name}");
        if c.different > 0 {
            println!("{title}: {} lines differ", c.different);
        }
        failures.extend(judge(&title, &c, &accepted));
        titles.push(title);
    }
    if std::env::var_os("CONZONE_ONLY").is_none() {
        let unknown = accepted.iter().filter(|a| !titles.contains(&a.0));
        failures.extend(unknown.map(|a| format!("no trace {}, but accepted", a.0)));
    }
    assert!(
        failures.is_empty(),
        "of {} traces:\n{}",
        names.len(),
        failures.join("\n")
    );
}

#[test]
fn what_is_not_accepted_fails_and_so_does_what_is_accepted_for_nothing() {
    let mut c = Comparison {
        different: 1,
        outside: Vec::new(),
    };
    let table = |names: &[&str]| -> Vec<_> {
        let row = |what: &&str| ("a/b".to_string(), what.to_string());
        names.iter().map(row).collect()
    };
    let failures = |c: &Comparison, names: &[&str]| judge("a/b", c, &table(names));
    assert_eq!(failures(&c, &[]), ["a/b: 1 lines differ"]);
    assert!(failures(&c, &["lines"]).is_empty());
    c.outside("R", "ours 2, theirs 1".into());
    assert_eq!(failures(&c, &["lines"]), ["a/b: R: ours 2, theirs 1"]);
    assert!(failures(&c, &["R"]).is_empty());
    assert_eq!(
        failures(&c, &["R", "W"]),
        ["a/b: W is accepted, but not needed"]
    );
    c.outside("W", "ours 2, theirs 1".into());
    assert_eq!(failures(&c, &["R"]), ["a/b: W: ours 2, theirs 1"]);
}
