// SPDX-License-Identifier: GPL-2.0-or-later
//! The commands that need the model only, as a command line: `cargo conzone` has them among others, the Python module
//! brings them alone, as the program `conzone`.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::experiment::{self, Guest};
use crate::failure::{self, Prerequisite};
use crate::progress::Progress;
use crate::provenance::Program;
use crate::{completions, convert, properties, sim, sweep, validate};

/// What needs the model and nothing else.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a ready-made study and draw its figure
    Experiment(experiment::Args),
    /// Run a trace through the flash model alone, in virtual time
    Sim(sim::Args),
    /// Run the model at many points: presets, properties, traces and workloads of a plan
    Sweep(sweep::Args),
    /// Work on traces
    Trace(convert::Args),
    /// Compare the model with closed forms, reference traces and papers
    Validate(validate::Args),
    /// List the drive's properties
    Properties(properties::Args),
    /// Print a completion script for your shell
    Completions(completions::Args),
}

/// What only the repository has.
pub struct Repository {
    /// An operating system to run experiments and plans in.
    pub guest: Box<dyn Guest>,
    /// What models are validated against.
    pub files: validate::Files,
}

impl Command {
    /// Does what was asked for; `repository` is asked for by what can do more with one.
    ///
    /// # Errors
    /// The command's own.
    pub fn run(
        &self,
        progress: Progress,
        program: &Program,
        repository: impl FnOnce() -> Result<Option<Repository>>,
    ) -> Result<ExitCode> {
        match self {
            Self::Experiment(args) => {
                let guest = repository()?.map(|repository| repository.guest);
                experiment::run(progress, program, args, guest.as_deref())
            }
            Self::Sim(args) => sim::run(progress, args),
            Self::Sweep(args) => {
                let guest = repository()?.map(|repository| repository.guest);
                sweep::run(progress, program, args, guest.as_deref())
            }
            Self::Trace(args) => convert::run(args),
            Self::Validate(args) => {
                let files = repository()?.map(|repository| repository.files);
                validate::run(progress, args, files.unwrap_or_default())
            }
            Self::Properties(args) => properties::run(args),
            Self::Completions(args) => completions::run(program, args),
        }
    }
}

/// The flash model of a consumer-grade zoned NVMe drive, in virtual time.
#[derive(Debug, Parser)]
#[command(
    name = "conzone",
    version,
    max_term_width = 100,
    after_help = "Guests, QEMU and the tests need the repository, where `cargo conzone` has more commands."
)]
struct Alone {
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

/// Commands of `cargo conzone` that need the repository or what it builds.
pub const ELSEWHERE: [&str; 14] = [
    "setup", "run", "crash", "exec", "shell", "qemu", "pack", "wheel", "test", "bench", "compare",
    "log", "top", "image",
];

/// The program `conzone` of those who have no repository: does what `arguments` (without its name) say, and gives the exit
/// status. `file` is what computes: results of another are not taken for its own.
#[must_use]
pub fn main_of(arguments: Vec<OsString>, file: PathBuf) -> u8 {
    let words = arguments.iter().map(|word| word.to_string_lossy().into());
    let program = Program {
        name: "conzone",
        arguments: words.collect(),
        file: Some(file),
        command: alone,
    };
    let whole = std::iter::once("conzone".into()).chain(arguments);
    let code = match parse(whole) {
        Ok(Alone { quiet, command }) => command
            .run(Progress::new(quiet), &program, || Ok(None))
            .unwrap_or_else(|error| failure::report(&error)),
        Err(error) => refusal(&error),
    };
    // The caller's end is not that of a Rust program, which would do this.
    let _ = io::stdout().flush();
    (0..=u8::MAX)
        .find(|status| ExitCode::from(*status) == code)
        .unwrap_or(1)
}

fn parse(words: impl Iterator<Item = OsString>) -> Result<Alone, clap::Error> {
    Alone::from_arg_matches(&alone().try_get_matches_from(words)?)
}

/// Help was asked for, or the command line is wrong.
fn refusal(error: &clap::Error) -> ExitCode {
    let given = error.get(ContextKind::InvalidSubcommand);
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) = (error.kind(), given)
    {
        if ELSEWHERE.contains(&name.as_str()) {
            let why = format!("{name} needs the repository: type `cargo conzone {name}` in it");
            return failure::report(&Prerequisite(why).into());
        }
    }
    // Nobody may be there to read it.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Its command line.
fn alone() -> clap::Command {
    without_cargo(Alone::command())
}

/// A command line with examples as one types them who has the program alone.
#[must_use]
pub fn without_cargo(command: clap::Command) -> clap::Command {
    let typed =
        |text: &clap::builder::StyledStr| text.to_string().replace("cargo conzone ", "conzone ");
    let command = match command.get_after_help().map(typed) {
        Some(text) if command.get_name() != "conzone" => command.after_help(text),
        _ => command,
    };
    let command = command.mut_args(|arg| match arg.get_help().map(typed) {
        Some(text) => arg.help(text),
        None => arg,
    });
    command.mut_subcommands(without_cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(command: &clap::Command, found: &mut Vec<String>) {
        found.push(command.clone().render_long_help().to_string());
        for below in command.get_subcommands() {
            texts(below, found);
        }
    }

    #[test]
    fn examples_are_what_one_types() {
        alone().debug_assert();
        let mut helps = Vec::new();
        texts(&alone(), &mut helps);
        let (whole, below) = helps.split_first().unwrap();
        assert!(whole.contains("the repository, where `cargo conzone`"));
        assert!(below.len() > 9, "{}", below.len());
        for help in below {
            assert!(!help.contains("cargo"), "{help}");
        }
        let examples = |help: &&String| help.contains("  conzone sweep run plan.toml\n");
        assert_eq!(below.iter().filter(examples).count(), 1);
    }

    #[test]
    fn statuses_are_the_programs() {
        let run = |line: &str| {
            let words = line.split_whitespace().map(OsString::from).collect();
            main_of(words, PathBuf::from("/nonexistent"))
        };
        for line in ["-V", "--help", "sweep --help", "properties --json"] {
            assert_eq!(run(line), 0, "{line}");
        }
        for line in [
            "",
            "run",
            "exec -- ls",
            "rum",
            "sim",
            "sim --trace /nonexistent",
            "-x",
        ] {
            assert_eq!(run(line), 2, "{line}");
        }
    }
}
