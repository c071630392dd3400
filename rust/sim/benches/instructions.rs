// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions per command, trace parsing and writing of the answer included, counted by
//! callgrind: the same on every run and however busy the machine is.
//!
//! Each workload runs twice, with and without its measured commands; the difference is theirs.
//! Exit status 1 if a bound is exceeded, or if the cost grows with the capacity.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench has no user to answer to"
)]

mod workload;

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

use sim::Simulation;
use trace::{Line, Reader};
use workload::{Workload, WORKLOADS};

/// Names a trace for the child to run.
const TRACE: &str = "CONZONE_BENCH_TRACE";
/// How much dearer a command may be on a drive a thousand times as large.
const FLAT: f64 = 1.3;

fn main() -> ExitCode {
    if let Some(trace) = env::var_os(TRACE) {
        let zones = env::args().nth(1).unwrap();
        child(Path::new(&trace), &zones);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("instructions: valgrind is not installed, nothing counted");
        return ExitCode::SUCCESS;
    }
    let mut within = true;
    println!(
        "{:<36}{:>14}{:>10}",
        "instructions per command", "count", "bound"
    );
    let mut costs = Vec::new();
    for workload in WORKLOADS {
        let cost = cost(&workload);
        let bound = workload.bound.map_or(String::new(), |b| b.to_string());
        let over = workload.bound.is_some_and(|bound| cost > bound);
        let verdict = if over { "  EXCEEDED" } else { "" };
        println!("{:<36}{cost:>14}{bound:>10}{verdict}", workload.name);
        within &= !over;
        costs.push(cost);
    }
    // The last four workloads are two pairs: 4 GiB, 4 TiB.
    for (pair, workload) in costs[4..].chunks(2).zip(WORKLOADS[4..].iter().step_by(2)) {
        let (what, _) = workload.name.split_once(',').unwrap();
        let what = format!("{what}: 4 TiB over 4 GiB");
        let ratio = pair[1] as f64 / pair[0] as f64;
        let over = ratio > FLAT;
        let verdict = if over { "  EXCEEDED" } else { "" };
        println!("{what:<42}{ratio:>8.3}{FLAT:>10}{verdict}");
        within &= !over;
    }
    ExitCode::from(u8::from(!within))
}

/// Runs a trace as `cargo conzone sim` does.
fn child(path: &Path, zones: &str) {
    let config = workload::config(zones.parse().unwrap());
    let mut simulation = Simulation::new(&config).unwrap();
    let mut out = trace::create(&path.with_extension("out")).unwrap();
    let mut reader = Reader::new(trace::open(path, |raw| raw).unwrap(), "trace");
    while let Some(line) = reader.next_line().unwrap() {
        if let Some(answer) = simulation.step(&line) {
            assert_eq!(answer.status, 0, "{answer:?}");
            answer.write(&mut out).unwrap();
        }
    }
    out.finish().unwrap();
}

/// Instructions of one measured command.
fn cost(workload: &Workload) -> u64 {
    let folder = env::temp_dir().join(format!("conzone-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let count = |name: &str, measured: bool| {
        let path = folder.join(name);
        let mut file = io::BufWriter::new(std::fs::File::create(&path).unwrap());
        let measured = measured.then(|| workload.measured()).into_iter().flatten();
        for line in workload.prefill().chain(measured) {
            write_line(&mut file, &line);
        }
        file.flush().unwrap();
        drop(file);
        instructions(&path, workload.zones)
    };
    let cost = (count("with", true) - count("without", false)) / workload.count;
    std::fs::remove_dir_all(&folder).unwrap();
    cost
}

fn write_line(file: &mut impl Write, line: &Line) {
    match line {
        Line::Depth(depth) => writeln!(file, "Q {depth}").unwrap(),
        Line::Idle(pause) => writeln!(file, "I {}", pause.get()).unwrap(),
        Line::PowerCut(at) => writeln!(file, "power-cut {}", at.as_nanos()).unwrap(),
        Line::Command(c) => writeln!(
            file,
            "0 {} {} {} {} {}",
            u8::from(c.data),
            c.op.code(),
            c.slba,
            c.nlb,
            u8::from(c.fua)
        )
        .unwrap(),
    }
}

/// What callgrind counts in the child.
fn instructions(trace: &Path, zones: u32) -> u64 {
    let profile = trace.with_extension("callgrind");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe().unwrap())
        .arg(zones.to_string())
        .env(TRACE, trace)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|l| l.split("Collected : ").nth(1));
    collected.unwrap().trim().parse().unwrap()
}
