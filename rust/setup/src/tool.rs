// SPDX-License-Identifier: GPL-2.0-or-later
//! Running other programs: their output goes to a log, and comes back out of it when they fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{bail, Context as _};

use crate::ninja;
use lab::failure::Prerequisite;

/// How many lines of a failed program's output are shown.
const SHOWN_LINES: usize = 25;

/// The log of one step.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// An empty log `name.log` in `dir`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(dir: &Path, name: &str) -> anyhow::Result<Self> {
        let path = dir.join(format!("{name}.log"));
        let open = || {
            fs::create_dir_all(dir)?;
            File::create(&path)?;
            // Appending: the programs and this one write to it in turn.
            OpenOptions::new().append(true).open(&path)
        };
        let file = open().with_context(|| path.display().to_string())?;
        Ok(Self { path, file })
    }

    /// Runs `command` to its end.
    ///
    /// # Errors
    /// When it cannot be started or fails: with the end of its output and the path of the log.
    pub fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        self.head(command)?;
        command
            .stdin(Stdio::null())
            .stdout(self.file.try_clone()?)
            .stderr(self.file.try_clone()?);
        let status = command.status().map_err(|e| not_started(command, &e))?;
        self.check(command, status)
    }

    /// Runs `command` to its end and hands each line of its standard output to `line` as well.
    ///
    /// # Errors
    /// As [`Log::run`].
    pub fn run_watched(
        &self,
        command: &mut Command,
        mut line: impl FnMut(&str),
    ) -> anyhow::Result<()> {
        self.head(command)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.file.try_clone()?);
        let mut child = command.spawn().map_err(|e| not_started(command, &e))?;
        if let Some(stdout) = child.stdout.take() {
            let mut log = &self.file;
            for text in BufReader::new(stdout).split(b'\n') {
                let text = text.context("reading a program's output")?;
                log.write_all(&text)
                    .and_then(|()| log.write_all(b"\n"))
                    .context("writing the log")?;
                line(&String::from_utf8_lossy(&text));
            }
        }
        let status = child.wait().context("waiting for a program")?;
        self.check(command, status)
    }

    fn head(&self, command: &Command) -> anyhow::Result<()> {
        let mut file = &self.file;
        writeln!(file, "+ {}", words(command)).with_context(|| self.path.display().to_string())
    }

    fn check(&self, command: &Command, status: ExitStatus) -> anyhow::Result<()> {
        if status.success() {
            return Ok(());
        }
        let log = fs::read(&self.path).unwrap_or_default();
        let shown = telling_lines(&String::from_utf8_lossy(&log));
        let name = Path::new(command.get_program())
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        bail!(
            "{name} failed ({status}):\n{shown}\nThe whole log: {}",
            self.path.display()
        );
    }
}

fn not_started(command: &Command, error: &io::Error) -> anyhow::Error {
    let program = command.get_program().to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound => Prerequisite(format!("{program} is not installed")).into(),
        _ => anyhow::anyhow!("{program}: {error}"),
    }
}

fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The end of a log; of ninja's, which goes on for a while after the first failure, that failure.
fn telling_lines(log: &str) -> String {
    let lines: Vec<&str> = log
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let failure = lines
        .iter()
        .position(|line| line.starts_with(ninja::FAILED));
    let shown: Vec<&str> = match failure {
        // The line after it repeats the command, which is long and in the log.
        Some(at) => {
            let mine = |line: &&&str| ninja::progress(line).is_none();
            let (head, rest) = lines.split_at(at + 1);
            head.iter()
                .skip(at)
                .chain(rest.iter().skip(1).take_while(mine))
                .take(SHOWN_LINES)
                .copied()
                .collect()
        }
        None => lines
            .iter()
            .skip(lines.len().saturating_sub(SHOWN_LINES))
            .copied()
            .collect(),
    };
    shown
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_shows_the_end_and_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path(), "step").unwrap();
        log.run(&mut shell("echo fine")).unwrap();
        let text = log
            .run(&mut shell("seq 100 140; echo broken >&2; exit 3"))
            .unwrap_err()
            .to_string();
        assert!(text.starts_with("sh failed (exit status: 3):\n"), "{text}");
        assert!(
            text.contains("  140\n  broken\n") && !text.contains("  110\n"),
            "{text}"
        );
        assert!(text.ends_with("step.log"), "{text}");
        assert!(fs::read_to_string(dir.path().join("step.log"))
            .unwrap()
            .starts_with("+ sh -c echo fine\nfine\n"));
    }

    #[test]
    fn output_is_watched_and_logged() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path(), "step").unwrap();
        let mut seen = Vec::new();
        log.run_watched(&mut shell("echo a; echo b"), |line| {
            seen.push(line.to_owned())
        })
        .unwrap();
        assert_eq!(seen, ["a", "b"]);
        assert!(fs::read_to_string(dir.path().join("step.log"))
            .unwrap()
            .ends_with("\na\nb\n"));
        assert!(log.run_watched(&mut shell("false"), |_| ()).is_err());
    }

    #[test]
    fn a_missing_program_is_a_prerequisite() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path(), "step").unwrap();
        let error = log.run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.is::<Prerequisite>(), "{error}");
    }

    #[test]
    fn ninja_failures_are_found_in_the_middle() {
        let log = "[1/9] Compiling a\nFAILED: b.o\nrustc --crate-name b\nerror: no\n  --> b.rs\n[3/9] Compiling c\nninja: build stopped\n";
        assert_eq!(
            telling_lines(log),
            "  FAILED: b.o\n  error: no\n    --> b.rs"
        );
    }
}
