// SPDX-License-Identifier: GPL-2.0-or-later
//! One test runner: its output passed on, its summary line kept.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::out::say;

/// A test program to run.
#[derive(Debug)]
pub struct Runner {
    name: &'static str,
    /// The program.
    pub command: Command,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Whose result this is.
    pub name: &'static str,
    /// Whether its exit status was 0.
    pub passed: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// Its own summary, in one line.
    pub summary: String,
    /// What it said of each test that failed, in one line each.
    pub failures: Vec<String>,
}

/// What a runner said that is worth repeating at the end.
#[derive(Default)]
struct Said {
    summaries: Vec<String>,
    failures: Vec<String>,
}

impl Runner {
    /// A runner called `name` in the table.
    pub fn new(name: &'static str, command: Command) -> Self {
        Self { name, command }
    }

    /// Runs it to its end; with `quiet`, standard output goes to standard error.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(mut self, quiet: bool) -> Result<Ended> {
        print_heading(self.name, quiet)?;
        let begin = Instant::now();
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = self.command.get_program().to_string_lossy().into_owned();
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, err) = thread::scope(|scope| {
            let err = scope.spawn(|| pass_on(err, &mut io::stderr()));
            let out = if quiet {
                pass_on(out, &mut io::stderr())
            } else {
                pass_on(out, &mut io::stdout())
            };
            (out, err.join().unwrap_or_default())
        });
        let summaries = [out.summaries, err.summaries].concat();
        let mut failures = [out.failures, err.failures].concat();
        let mut seen = HashSet::new();
        failures.retain(|line| seen.insert(line.clone()));
        let status = child
            .wait()
            .with_context(|| format!("waiting for {program}"))?;
        let summary = summary(&summaries).unwrap_or_else(|| status.to_string());
        Ok(Ended {
            name: self.name,
            passed: status.success(),
            elapsed: begin.elapsed(),
            summary,
            failures,
        })
    }
}

/// Announces a runner in the output.
pub fn print_heading(name: &str, quiet: bool) -> Result<()> {
    let line = format!("== {name} ==");
    if quiet {
        eprintln!("{line}");
        Ok(())
    } else {
        say!("{line}")
    }
}

/// Writes lines on as they come and returns those that tell how it went.
fn pass_on(from: Option<impl Read>, to: &mut impl Write) -> Said {
    let mut said = Said::default();
    let Some(from) = from else { return said };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        // A reader of ours that went away must not stop the tests.
        let _ = to.write_all(&line);
        let text = String::from_utf8_lossy(&line);
        let text = console::strip_ansi_codes(text.trim());
        if is_summary(&text) {
            said.summaries.push(text.into_owned());
        } else if is_failure(&text) {
            said.failures.push(text.into_owned());
        }
        line.clear();
    }
    said
}

/// One test that failed, as nextest, cargo test, avocado, pytest and the checker say it.
fn is_failure(line: &str) -> bool {
    let nextest = ["FAIL [", "TIMEOUT [", "SIG"]
        .iter()
        .any(|start| line.starts_with(start))
        && line.contains("s] (");
    let cargo_test = line.starts_with("test ") && line.ends_with(" ... FAILED");
    let avocado = line.starts_with('(')
        && [":  FAIL", ":  ERROR", ":  INTERRUPTED"]
            .iter()
            .any(|how| line.contains(how));
    let pytest = line.starts_with("FAILED ") || line.starts_with("ERROR ");
    nextest || cargo_test || avocado || pytest || line.starts_with("seed ")
}

fn is_summary(line: &str) -> bool {
    ["Summary [", "RESULTS", "test result:"]
        .iter()
        .any(|start| line.starts_with(start))
        || is_pytests(line)
}

/// `1 failed, 11 passed in 2.31s`.
fn is_pytests(line: &str) -> bool {
    let Some((counts, _)) = line.split_once(" in ") else {
        return false;
    };
    let count = |part: &str| {
        let words: Vec<_> = part.split_whitespace().collect();
        matches!(words[..], [number, _] if number.parse::<u64>().is_ok())
    };
    counts.split(',').all(count) && line.ends_with('s')
}

/// The runner's own summary line; those of cargo test, one a test program, are added up. nextest shows the output
/// of what failed, a test program's summary in it.
fn summary(lines: &[String]) -> Option<String> {
    let own = lines.iter().rfind(|line| !line.starts_with("test result:"));
    if own.is_some() {
        return own.cloned();
    }
    let counts: Vec<_> = lines
        .iter()
        .filter_map(|line| cargo_test_counts(line))
        .collect();
    if counts.is_empty() {
        return None;
    }
    let (passed, failed) = counts
        .iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    Some(format!(
        "{passed} passed; {failed} failed in {} test programs",
        counts.len()
    ))
}

/// (passed, failed) of `test result: ok. 51 passed; 0 failed; ...`.
fn cargo_test_counts(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result:")?.split_once(". ")?;
    let mut numbers = counts
        .split(';')
        .filter_map(|part| part.split_whitespace().next()?.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_the_three_runners() {
        let nextest = "Summary [   0.4s] 51 tests run: 51 passed, 0 skipped".to_owned();
        assert!(is_summary(&nextest) && is_summary("RESULTS    : PASS 3 | ERROR 0"));
        assert_eq!(
            summary(&["RESULTS : x".into(), nextest.clone()]),
            Some(nextest.clone())
        );
        let shown = "test result: FAILED. 0 passed; 1 failed;".to_owned();
        assert_eq!(summary(&[shown, nextest.clone()]), Some(nextest));
        let two = [
            "test result: ok. 51 passed; 0 failed; 2 ignored",
            "test result: FAILED. 3 passed; 1 failed;",
        ];
        let text = summary(&two.map(str::to_owned)).unwrap();
        assert_eq!(text, "54 passed; 1 failed in 2 test programs");
        assert_eq!(summary(&[]), None);
        assert!(is_summary("1 failed, 11 passed in 2.31s"));
        assert!(!is_summary("test.py::in passed in 2.31s"));
    }

    #[test]
    fn failures_of_the_runners() {
        for line in [
            "FAIL [   0.386s] ( 39/102) conzone-qtest::migration another_drive_is_refused",
            "SIGABRT [   0.386s] ( 39/102) conzone-qtest::migration another_drive_is_refused",
            "test migration::another_drive_is_refused ... FAILED",
            "(09/39) tests/functional/test_fio.py:Fio.test_verify:  FAIL: 1 != 2 (57.16 s)",
            "FAILED tests/python/test_model.py::test_reads - assert 1 == 2",
            "seed 1464: write of 8 pages refused",
        ] {
            assert!(is_failure(line), "{line}");
        }
        for line in [
            "PASS [   0.386s] ( 39/102) conzone-qtest::migration another_drive_is_refused",
            "(09/39) tests/functional/test_fio.py:Fio.test_verify:  PASS (57.16 s)",
            "FAIL",
            "test migration::another_drive_is_refused ... ok",
        ] {
            assert!(!is_failure(line), "{line}");
        }
    }

    #[test]
    fn output_is_passed_on_and_the_status_kept() {
        let mut command = Command::new("sh");
        let text = "(2/3) test_it.py:It.test_one:  FAIL: 1 != 2 (0.1 s)";
        let script = format!("echo '{text}'; echo '{text}' >&2; echo 'RESULTS : FAIL 1'; exit 3");
        command.args(["-c", &script]);
        let ended = Runner::new("x", command).run(true).unwrap();
        assert!(!ended.passed);
        assert_eq!(ended.failures, [text]);
        assert_eq!(ended.summary, "RESULTS : FAIL 1");
        let missing = Runner::new("x", Command::new("/nonexistent/program")).run(true);
        assert!(format!("{:#}", missing.unwrap_err()).contains("/nonexistent/program"));
    }
}
