// SPDX-License-Identifier: GPL-2.0-or-later
//! `laws [--runs N] [--commands N] [--seed N] [--cuts N] [--tell 1]`: random drives and commands against
//! the laws, on all cores; with power cuts on the way. Exit status 1 if one was broken. `--tell 1` adds what the drive told, command by
//! command, to reports.

use check::run::{catch_panics, Case};
use check::shrink;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::thread;

/// Reports are long, and later ones mostly tell the same.
const MOST_REPORTS: usize = 5;

struct Options {
    runs: u64,
    commands: usize,
    seed: u64,
    cuts: usize,
    tell: bool,
}

#[derive(Default)]
struct Totals {
    runs: u64,
    drawn: u64,
    commands: u64,
    failed: u64,
    refused: u64,
    copies: u64,
    erases: u64,
    cuts: u64,
    lost: u64,
    reports: usize,
    broken: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        runs: 1000,
        commands: 3000,
        seed: 1,
        cuts: 0,
        tell: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().and_then(|text| text.parse::<u64>().ok());
        let value = value.ok_or_else(|| format!("{word} needs a number"))?;
        match word.as_str() {
            "--runs" => options.runs = value,
            "--commands" => options.commands = usize::try_from(value).unwrap_or(usize::MAX),
            "--seed" => options.seed = value,
            "--cuts" => options.cuts = usize::try_from(value).unwrap_or(usize::MAX),
            "--tell" => options.tell = value != 0,
            _ => {
                return Err(format!(
                    "no option {word}: --runs, --commands, --seed, --cuts, --tell"
                ))
            }
        }
    }
    Ok(options)
}

fn one(case: &Case, totals: &Mutex<Totals>, tell: bool) {
    let ran = case.run();
    if let Err(violation) = &ran.result {
        println!("seed {}: {violation}", case.seed);
    }
    let report = match &ran.result {
        Err(violation) => {
            let wanted = totals.lock().is_ok_and(|mut t| {
                t.reports += 1;
                t.reports <= MOST_REPORTS
            });
            wanted.then(|| shrink::report(case, violation, ran.trace.len(), tell))
        }
        Ok(_) => None,
    };
    let Ok(mut t) = totals.lock() else { return };
    t.runs += 1;
    t.drawn += case.drawn;
    if let Some(report) = report {
        println!("{report}");
    }
    match ran.result {
        Ok(summary) => {
            t.commands += summary.commands;
            t.failed += summary.failed;
            t.refused += summary.refused;
            t.copies += summary.copies;
            t.erases += summary.erases;
            t.cuts += summary.cuts;
            t.lost += summary.lost;
        }
        Err(_) => t.broken += 1,
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("laws: {why}");
            return ExitCode::from(2);
        }
    };
    catch_panics();
    let next = AtomicU64::new(0);
    let totals = Mutex::new(Totals::default());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= options.runs {
                    break;
                }
                let case = Case::draw(options.seed.wrapping_add(n), options.commands);
                let case = case.with_mechanisms().with_cuts(options.cuts);
                one(&case, &totals, options.tell);
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_default();
    show(&totals);
    if totals.broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn show(t: &Totals) {
    println!(
        "{} runs of {} configurations drawn: {} commands ({} failed, {} of them for want of room), \
         {} copies of pages, {} erases",
        t.runs, t.drawn, t.commands, t.failed, t.refused, t.copies, t.erases
    );
    if t.cuts > 0 {
        println!(
            "{} power cuts, which took the newest of {} pages",
            t.cuts, t.lost
        );
    }
    let passed = t.runs - t.broken;
    println!(
        "test result: {}. {passed} passed; {} failed;",
        if t.broken == 0 { "ok" } else { "FAILED" },
        t.broken
    );
}
