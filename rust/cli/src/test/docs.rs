// SPDX-License-Identifier: GPL-2.0-or-later
//! The commands in the documentation, executed as a reader would.
//!
//! In README.md and docs/*.md every block fenced as `console` is run: lines that begin with `$ ` are commands (a
//! trailing `\` continues them), other lines show what one sees and are not compared. A block after a line
//! `<!-- not run: reason -->` is left out, and counted.
//!
//! Commands run in a scratch copy of the repository's folder (links to its entries), so what they write is gone
//! afterwards, and `cargo conzone` is the program that runs this test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::runner::{print_heading, Ended};
use setup::Context;

const NOT_RUN: &str = "<!-- not run:";

/// Runs before each command: `cargo conzone` is us, and so is the wheel's `conzone`, whose own tests compare it.
const PRELUDE: &str = r#"
cargo() { if [ "${1-}" = conzone ]; then shift; "$CONZONE_BIN" "$@"; else command cargo "$@"; fi; }
conzone() { "$CONZONE_BIN" "$@"; }
set -eu
"#;

/// A command of the documentation.
#[derive(Debug, PartialEq)]
struct Example {
    text: String,
    line: usize,
    run: bool,
}

/// Runs all commands of the documentation.
pub fn run(context: &Context, quiet: bool) -> Result<Ended> {
    print_heading("docs", quiet)?;
    let begin = Instant::now();
    let scratch = scratch(context.paths.root())?;
    let (mut ran, mut left_out) = (0, 0);
    let mut failures = Vec::new();
    for file in documents(context.paths.root())? {
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let name = file
            .strip_prefix(context.paths.root())
            .unwrap_or(&file)
            .display()
            .to_string();
        for example in examples(&text) {
            if !example.run {
                left_out += 1;
                continue;
            }
            ran += 1;
            let begin = Instant::now();
            let problem = execute(context, scratch.path(), &example.text)?;
            let seconds = begin.elapsed().as_secs_f64();
            let said = format!("{name}:{}: {}", example.line, example.text);
            eprintln!("{said} ({seconds:.1} s)");
            if let Some(problem) = problem {
                eprintln!("  FAILED: {problem}");
                failures.push(format!("{said}: {problem}"));
            }
        }
    }
    let summary = format!(
        "{ran} commands run, {} failed, {left_out} left out",
        failures.len()
    );
    Ok(Ended {
        name: "docs",
        passed: failures.is_empty(),
        elapsed: begin.elapsed(),
        summary,
        failures,
    })
}

/// What went wrong, if anything.
fn execute(context: &Context, directory: &Path, command: &str) -> Result<Option<String>> {
    let output = Command::new("bash")
        .arg("-c")
        .arg(format!("{PRELUDE}{command}"))
        .current_dir(directory)
        .envs(super::environment(context)?)
        .output()
        .context("starting bash")?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or("(no message)");
    Ok(Some(format!("{}: {last}", output.status)))
}

fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let docs = root.join("docs");
    let mut files = vec![root.join("README.md")];
    for entry in fs::read_dir(&docs).with_context(|| format!("reading {}", docs.display()))? {
        let path = entry
            .with_context(|| format!("reading {}", docs.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A folder that looks like the repository but takes what commands write.
fn scratch(root: &Path) -> Result<tempfile::TempDir> {
    let scratch = tempfile::tempdir().context("making a temporary directory")?;
    for entry in fs::read_dir(root).context("reading the repository")? {
        let entry = entry.context("reading the repository")?;
        let name = entry.file_name();
        if name != "conzone-out" {
            symlink(entry.path(), scratch.path().join(name)).context("linking the repository")?;
        }
    }
    Ok(scratch)
}

/// The commands of a document, in order.
fn examples(text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let (mut inside, mut run, mut continued) = (false, true, false);
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        if !inside {
            if line.trim_end() == "```console" {
                inside = true;
                continued = false;
                run = !before.starts_with(NOT_RUN);
            }
        } else if line.starts_with("```") {
            inside = false;
        } else if continued {
            if let Some(last) = found.last_mut() {
                last.text.push('\n');
                last.text.push_str(line);
            }
            continued = line.ends_with('\\');
        } else if let Some(command) = line.strip_prefix("$ ") {
            found.push(Example {
                text: command.to_owned(),
                line: number + 1,
                run,
            });
            continued = line.ends_with('\\');
        }
        if !line.trim().is_empty() {
            before = line;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
Text
```console
$ one --a \\
    b
output
$ two
```
```sh
$ not this
```
<!-- not run: takes an hour -->

```console
$ three
```
";

    #[test]
    fn commands_are_found_in_console_blocks_only() {
        let found = examples(DOCUMENT);
        let texts: Vec<_> = found
            .iter()
            .map(|e| (e.text.as_str(), e.line, e.run))
            .collect();
        assert_eq!(
            texts,
            [
                ("one --a \\\n    b", 3, true),
                ("two", 6, true),
                ("three", 14, false)
            ]
        );
    }

    #[test]
    fn what_is_not_run_says_why() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .unwrap();
        for file in documents(root).unwrap() {
            for line in fs::read_to_string(&file).unwrap().lines() {
                if let Some(reason) = line.strip_prefix(NOT_RUN) {
                    assert!(
                        reason.trim_end_matches("-->").trim().len() > 3,
                        "{file:?}: {line}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_scratch_folder_takes_what_is_written() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("kept"), "x").unwrap();
        fs::create_dir(root.path().join("conzone-out")).unwrap();
        let scratch = scratch(root.path()).unwrap();
        assert_eq!(fs::read(scratch.path().join("kept")).unwrap(), b"x");
        assert!(!scratch.path().join("conzone-out").exists());
    }
}
