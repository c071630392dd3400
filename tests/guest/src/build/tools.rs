// SPDX-License-Identifier: GPL-2.0-or-later
//! Running the tools a build needs.

use anyhow::{bail, ensure, Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a log an error shows.
const LOG_LINES: usize = 12;

/// Makes `path` an empty folder.
pub(super) fn fresh_dir(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("cannot empty {}", path.display()))?;
    }
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path.to_owned())
}

/// Runs a tool with its output going to `log`; on failure the error has the log's end and path.
pub(super) fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::options().create(true).append(true).open(log);
    let file = file.with_context(|| format!("cannot write {}", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file);
    let status = command.status().with_context(|| cannot_run(command))?;
    if !status.success() {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(LOG_LINES)..)
            .unwrap_or_default();
        bail!(
            "{}: {status}\n{}\nlog: {}",
            name(command),
            tail.join("\n"),
            log.display()
        );
    }
    Ok(())
}

/// Runs a tool and gives what it wrote to its standard output.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| cannot_run(command))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}\n{said}",
        name(command),
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn cannot_run(command: &Command) -> String {
    format!("cannot run {}: is it installed?", name(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 100; echo broken >&2; exit 3"]);
        let error = run_logged(&mut command, &log).unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("broken"),
            "{error}"
        );
        assert!(
            error.contains("\n100\n") && !error.contains("\n50\n"),
            "{error}"
        );
        assert!(error.contains(&log.display().to_string()), "{error}");
    }

    #[test]
    fn a_missing_tool_is_named() {
        let error = output(&mut Command::new("no-such-tool")).unwrap_err();
        assert!(error.to_string().contains("no-such-tool"), "{error}");
    }
}
