// SPDX-License-Identifier: GPL-2.0-or-later
//! The commands in the documentation, executed as a reader would.
//!
//! In README.md and docs/*.md every block fenced as `console` is run: lines that begin with `$ ` are commands (a
//! trailing `\` continues them), other lines show what one sees and are not compared. A block after a line
//! `<!-- not run: reason -->` is left out, and counted.
//!
//! Then come the examples of every `--help`, but for those that [`LEFT_OUT`] names.
//!
//! Commands run in a scratch copy of the repository's folder (links to its entries), so what they write is gone
//! afterwards, and `cargo conzone` is the program that runs this test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

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
    let texts = help_examples(&crate::Cli::command());
    // In a folder of their own: names that documents use are free again.
    let scratch = self::scratch(context.paths.root())?;
    prepare(scratch.path())?;
    for text in texts {
        if LEFT_OUT.iter().any(|(words, _)| text.contains(words)) {
            left_out += 1;
            continue;
        }
        ran += 1;
        let begin = Instant::now();
        let problem = execute(context, scratch.path(), &text)?;
        let said = format!("--help: {text}");
        eprintln!("{said} ({:.1} s)", begin.elapsed().as_secs_f64());
        if let Some(problem) = problem {
            eprintln!("  FAILED: {problem}");
            failures.push(format!("{said}: {problem}"));
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

/// Examples of `--help` that are not run, by words in them, and why.
const LEFT_OUT: [(&str, &str); 14] = [
    ("conzone setup", "builds QEMU"),
    ("conzone shell", "waits for somebody who types"),
    ("conzone qemu -- -m", "needs a disk with a system on it"),
    ("conzone pack", "docs/building.md and a functional test do"),
    ("conzone wheel", "the Python tests do"),
    ("conzone test", "this is one"),
    ("conzone bench", "measures an idle machine"),
    ("conzone top", "needs a drive at work in another terminal"),
    ("--qmp", "likewise"),
    (
        "conzone crash",
        "a guest for each of a hundred cuts; docs/crash.md has some",
    ),
    ("conzone experiment all", "all the others"),
    ("--guest", "minutes; docs/experiments.md has one"),
    ("--check-repeat", "three runs; a functional test does"),
    ("fish >~", "would write into the home directory"),
];

/// The examples of every `--help`, as one would type them; a remark is four blanks behind.
pub fn help_examples(command: &clap::Command) -> Vec<String> {
    let helps = command.get_subcommands().flat_map(|command| {
        let below = command.get_subcommands();
        let texts = below
            .chain([command])
            .filter_map(clap::Command::get_after_help);
        texts.map(ToString::to_string)
    });
    let mut found = Vec::new();
    for help in helps {
        // A command goes on where the line ends with a backslash.
        for line in help.replace("\\\n      ", " ").lines() {
            let begin = line.find("cargo conzone ");
            let text = begin.and_then(|at| line.get(at..));
            let text = text.and_then(|text| text.split("    ").next());
            let Some(text) = text.map(str::trim_end) else {
                continue;
            };
            let source = if text.ends_with(')') { "source <(" } else { "" };
            found.push(format!("{source}{text}"));
        }
    }
    found
}

/// Files that examples of `--help` speak of.
fn prepare(scratch: &Path) -> Result<()> {
    const TRACE: &str = "0 1 W 0 8 0\n100000 1 R 0 8 0\n";
    const REQUESTS: &str = "proces,device,rw_flag,sector,size,timestamp\nmail,1,W,4096,8,0.001\nmaps,1,W,9000,16,0.002\n";
    let plan = include_str!("../../../../docs/sweep.toml");
    for (name, text) in [
        ("my.fio", "[job]\nrw=write\nbs=128k\nsize=1z\n"),
        ("db.fio", "[job]\nrw=write\nbs=128k\nsize=4m\n"),
        (
            "job.fio",
            "[job]\nrw=write\nbs=128k\nsize=4m\nfilename=/root/file\n",
        ),
        ("words", "words\n"),
        ("in.trace", TRACE),
        ("telegram.csv", REQUESTS),
        ("plan.toml", plan),
    ] {
        fs::write(scratch.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    let made = Command::new("sh")
        .args([
            "-c",
            "gzip in.trace telegram.csv && truncate -s 64M disk.img",
        ])
        .current_dir(scratch)
        .status()
        .context("starting sh")?;
    anyhow::ensure!(made.success(), "making the examples' files: {made}");
    Ok(())
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
