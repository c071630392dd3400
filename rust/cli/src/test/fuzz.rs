// SPDX-License-Identifier: GPL-2.0-or-later
//! A minute of fuzzing: every target of `fuzz/` from its seeds, for a few seconds each.
//!
//! The targets are built with the compiler at hand: coverage instrumentation is an option of the code generator, and
//! without a sanitizer (the code is safe Rust) nothing needs nightly. libFuzzer is C++, so a C++ compiler is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::runner::{print_heading, Ended};
use crate::failure::Prerequisite;
use setup::Context;

/// Each target's share of the minute.
const SECONDS: u32 = 6;

/// What `cargo fuzz build --sanitizer none` passes, and the checks that tests have too.
const FLAGS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// Builds the targets and runs each of them.
pub fn run(context: &Context, cargo: Command, quiet: bool) -> Result<Ended> {
    print_heading("fuzz", quiet)?;
    let begin = Instant::now();
    let root = context.paths.root().join("fuzz");
    let target = context.paths.target().join("fuzz");
    build(cargo, &root, &target)?;
    let programs = target.join(TRIPLE).join("release");
    let (mut inputs, mut failed) = (0, Vec::new());
    let names = targets(&root)?;
    for name in &names {
        match fuzz(&root, &target, &programs.join(name), name)? {
            Some(count) => inputs += count,
            None => failed.push(name.as_str()),
        }
    }
    let summary = match failed.as_slice() {
        [] => format!(
            "{} targets, {inputs} inputs, none of them did harm",
            names.len()
        ),
        some => format!(
            "failed: {}; inputs in {}",
            some.join(", "),
            artifacts(&target).display()
        ),
    };
    Ok(Ended {
        name: "fuzz",
        passed: failed.is_empty(),
        elapsed: begin.elapsed(),
        summary,
        failures: Vec::new(),
    })
}

/// With a target named, flags are not for build scripts.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

fn build(mut cargo: Command, root: &Path, target: &Path) -> Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !super::works(compiler_probe(&compiler)) {
        let name = compiler.to_string_lossy();
        let why = format!("libFuzzer needs a C++ compiler, and {name} is none: apt install g++");
        return Err(Prerequisite(why).into());
    }
    let status = cargo
        .current_dir(root)
        .args(["build", "--release", "--bins", "--target", TRIPLE])
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .status();
    if !status.context("starting cargo")?.success() {
        anyhow::bail!("the fuzz targets do not build");
    }
    Ok(())
}

fn compiler_probe(compiler: &std::ffi::OsStr) -> Command {
    let mut probe = Command::new(compiler);
    probe.arg("--version");
    probe
}

/// Names of the targets, in order.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "rs") {
            names.extend(path.file_stem().map(|n| n.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn artifacts(target: &Path) -> PathBuf {
    target.join("artifacts")
}

/// Runs one target; gives how many inputs it was fed, or nothing if one of them broke it.
fn fuzz(root: &Path, target: &Path, program: &Path, name: &str) -> Result<Option<u64>> {
    let corpus = target.join("corpus").join(name);
    let artifacts = artifacts(target).join(name);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let output = Command::new(program)
        .arg(&corpus)
        .arg(root.join("seeds").join(name))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={SECONDS}"))
        .args(["-len_control=0", "-max_len=2000", "-timeout=20"])
        .args(["-rss_limit_mb=4096", "-print_final_stats=1"])
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(executed);
    if output.status.success() {
        eprintln!("{name:15} {} inputs", count.unwrap_or(0));
        return Ok(Some(count.unwrap_or(0)));
    }
    eprintln!("{said}");
    Ok(None)
}

/// The figure of `stat::number_of_executed_units: 1234`.
fn executed(line: &str) -> Option<u64> {
    let count = line.strip_prefix("stat::number_of_executed_units:")?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_inputs_is_found() {
        assert_eq!(executed("stat::number_of_executed_units: 1234"), Some(1234));
        assert_eq!(executed("stat::average_exec_per_sec:     7"), None);
    }

    #[test]
    fn every_target_has_seeds_and_a_place_in_the_manifest() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let names = targets(&root).unwrap();
        assert!(names.len() >= 10, "{names:?}");
        for name in names {
            let seeds = fs::read_dir(root.join("seeds").join(&name)).unwrap();
            assert!(seeds.count() > 0, "{name} has no seeds");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
