// SPDX-License-Identifier: GPL-2.0-or-later
//! One test runner: its output passed on, its summary line kept.

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
        let status = child
            .wait()
            .with_context(|| format!("waiting for {program}"))?;
        let summary = summary(&[out, err].concat()).unwrap_or_else(|| status.to_string());
        Ok(Ended {
            name: self.name,
            passed: status.success(),
            elapsed: begin.elapsed(),
            summary,
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

/// Writes lines on as they come and returns those that look like a summary.
fn pass_on(from: Option<impl Read>, to: &mut impl Write) -> Vec<String> {
    let Some(from) = from else { return Vec::new() };
    let mut kept = Vec::new();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        // A reader of ours that went away must not stop the tests.
        let _ = to.write_all(&line);
        let text = String::from_utf8_lossy(&line);
        let text = console::strip_ansi_codes(text.trim());
        if is_summary(&text) {
            kept.push(text.into_owned());
        }
        line.clear();
    }
    kept
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
    fn output_is_passed_on_and_the_status_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'RESULTS : FAIL 1'; exit 3"]);
        let ended = Runner::new("x", command).run(true).unwrap();
        assert!(!ended.passed);
        assert_eq!(ended.summary, "RESULTS : FAIL 1");
        let missing = Runner::new("x", Command::new("/nonexistent/program")).run(true);
        assert!(format!("{:#}", missing.unwrap_err()).contains("/nonexistent/program"));
    }
}
