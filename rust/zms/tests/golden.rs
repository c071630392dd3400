// SPDX-License-Identifier: GPL-2.0-or-later
//! The model against the independent implementation's traces (tests/golden).

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

/// Differences between ours and theirs, in words.
fn compare(dir: &Path, preset: &str, name: &str) -> Vec<String> {
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
    zms.check_invariants();
    let theirs = gunzip(&file(".out.gz"));
    let mut differences = Vec::new();
    let mut bad = 0;
    let mut count = 0;
    let (mut our_sum, mut their_sum) = (0u64, 0u64);
    for (i, (a, b)) in ours.iter().zip(theirs.lines()).enumerate() {
        count += 1;
        let mine = format!("{} {} {} {}", a.arrival, a.line, a.completion, a.status);
        let f: Vec<u64> = b.split(' ').filter_map(|w| w.parse().ok()).collect();
        our_sum += a.completion - a.arrival;
        their_sum += f[f.len() - 2] - f[0];
        if mine != b {
            bad += 1;
            if bad <= 3 {
                differences.push(format!("  line {}: ours {mine} | theirs {b}", i + 1));
            }
        }
    }
    if bad > 0 {
        differences.insert(
            0,
            format!(
                "{bad} of {count} lines differ, latency sum {our_sum} vs {their_sum} ({:+.2} %)",
                (our_sum as f64 / their_sum as f64 - 1.0) * 100.0
            ),
        );
    }
    let mine = common::counters(&zms);
    for (key, value) in stats(&file(".stats.json")) {
        let ours = mine.iter().find(|c| c.0 == key).map_or(0, |c| c.1);
        if ours != value && key != "waf" {
            differences.push(format!("  {key}: ours {ours} theirs {value}"));
        }
    }
    for (key, value) in &mine {
        if !stats(&file(".stats.json")).iter().any(|s| s.0 == *key) {
            differences.push(format!("  {key}: ours {value} theirs none"));
        }
    }
    differences
}

fn golden() -> Option<PathBuf> {
    std::env::var_os("CONZONE_GOLDEN").map(PathBuf::from)
}

#[test]
fn every_trace_matches() {
    let Some(dir) = golden() else {
        return;
    };
    let only = std::env::var("CONZONE_ONLY").unwrap_or_default();
    let mut names = Vec::new();
    for preset in std::fs::read_dir(&dir)
        .unwrap()
        .flatten()
        .filter(|e| e.path().is_dir())
    {
        for file in std::fs::read_dir(preset.path()).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            if let Some(name) = name.strip_suffix(".cmd") {
                names.push((preset.file_name().into_string().unwrap(), name.to_string()));
            }
        }
    }
    names.sort();
    let mut bad = 0;
    let mut total = 0;
    for (preset, name) in names {
        if !format!("{preset}/{name}").contains(&only) {
            continue;
        }
        total += 1;
        let differences = compare(&dir, &preset, &name);
        if !differences.is_empty() {
            bad += 1;
            println!("{preset}/{name}: {}", differences.join("\n"));
        }
    }
    assert_eq!(bad, 0, "of {total} traces");
}
