// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone`: everything a user of the device types.
//!
//! ```text
//! main      the command line; one module per command below that needs the repository
//! vm        the virtual machine that run, exec and shell start
//!
//! and crates beside it:
//! setup     where things are, and QEMU and the guest image built there
//! report    figures, pictures and the page of a run; runs compared
//! lab       the commands that need the model only, and how results, progress and errors are shown
//! ```
//!
//! Exit status: 0 done, 1 failed, 2 wrong usage or something to install first. Errors are one line that
//! says what to do next; results go to standard output, everything else to standard error.

#![deny(clippy::print_stdout)] // crate::out forgives readers that went away
mod bench;
mod crash;
mod exec;
mod experiment;
mod files;
mod image;
mod log;
mod python;
mod qemu;
mod qom;
mod run;
mod shell;
mod test;
mod top;
mod vm;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use lab::command::{without_cargo, Repository};
use lab::progress::Progress;
use lab::provenance::{self, Program};
use lab::{failure, out, table, validate};

use report::compare;
use setup::{Context, Paths};

/// What one types in the repository.
const NAME: &str = "cargo conzone";
/// What one types in a pack.
const PACKED: &str = "conzone";

/// A consumer-grade zoned NVMe drive in QEMU: build it, boot a guest on it, measure it.
#[derive(Debug, Parser)]
#[command(
    name = "conzone",
    bin_name = NAME,
    version,
    max_term_width = 100,
    after_help = "Start with `cargo conzone run`: it sets everything up first."
)]
struct Cli {
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build QEMU with the device, and the guest image
    Setup(setup::Args),
    /// Run a fio job on the device in a guest and report numbers and pictures
    Run(run::Args),
    /// Cut the drive's power under a file system, again and again, and see what is lost
    Crash(crash::Args),
    /// Run a command as root in a guest that has the device
    Exec(exec::Args),
    /// Boot the guest to a shell on this terminal
    Shell(shell::Args),
    /// Start our qemu-system-x86_64 with arguments of your own
    Qemu(qemu::Args),
    /// Write what was set up into one archive, for machines where nothing is installed
    Pack(setup::pack::Args),
    /// Build the model as a Python module into target/wheels
    Wheel(python::Args),
    /// Run the tests
    Test(test::Args),
    /// Measure the model's and the device's own speed
    Bench(bench::Args),
    /// Put two or more runs beside each other
    Compare(compare::Args),
    /// Show what a drive counted: its vendor log page or its statistics
    Log(log::Args),
    /// Watch a running drive
    Top(top::Args),
    /// Make, look at and copy files that drives live in
    Image(image::Args),
    #[command(flatten)]
    Model(lab::command::Command),
}

impl Command {
    /// The `--timeout` of commands that have one, seconds.
    fn timeout(&self) -> Option<u64> {
        match self {
            Self::Run(args) => Some(args.timeout),
            Self::Exec(args) => Some(args.timeout),
            Self::Crash(args) => Some(args.timeout),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    let parsed = Cli::from_arg_matches(&whole().get_matches());
    let cli = parsed.unwrap_or_else(|error| error.exit());
    match execute(cli) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

fn is_packed() -> bool {
    let paths = Paths::look().ok().flatten();
    paths.is_some_and(|paths| paths.is_pack())
}

/// The whole command line, as one types it here.
fn whole() -> clap::Command {
    if !is_packed() {
        return Cli::command();
    }
    let packed = without_cargo(Cli::command());
    packed
        .bin_name(PACKED)
        .after_help("Start with `conzone run`.")
}

/// What to type for that.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let name = if is_packed() { PACKED } else { NAME };
    provenance::command_line(name, arguments)
}

/// What to type to get the same again.
fn typed() -> String {
    command_line(arguments())
}

fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let progress = Progress::new(cli.quiet);
    let patience = cli.command.timeout().map(Duration::from_secs);
    let context = || {
        Paths::find().map(|paths| Context {
            paths,
            progress,
            patience,
        })
    };
    let repository = |command| {
        let context = context()?;
        context.paths.need_sources(command)?;
        anyhow::Ok(context)
    };
    match cli.command {
        Command::Setup(args) => setup::run(&repository("setup")?, &args),
        Command::Run(args) => run::run(&context()?, &args),
        Command::Crash(args) => crash::run(&context()?, &args),
        Command::Exec(args) => exec::run(&context()?, &args),
        Command::Shell(args) => shell::run(&context()?, &args),
        Command::Qemu(args) => qemu::run(&context()?, &args),
        Command::Pack(args) => setup::pack::run(&repository("pack")?, &args),
        Command::Wheel(args) => python::run(&repository("wheel")?, &args),
        Command::Test(args) => test::run(&repository("test")?, &args),
        Command::Bench(args) => bench::run(&repository("bench")?, &args),
        Command::Compare(args) => compare::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Model(command) => {
            let program = Program {
                name: if is_packed() { PACKED } else { NAME },
                arguments: arguments().collect(),
                file: None,
                command: whole,
            };
            let repository = || {
                let repository = |paths: Paths| Repository {
                    files: validate::Files {
                        golden: Some(paths.root().join("tests/golden")),
                        hardware: Some(paths.root().join("tests/hardware")),
                    },
                    guest: Box::new(experiment::Linux(Context {
                        paths,
                        progress,
                        patience: None,
                    })),
                };
                Ok(Paths::look()?.map(repository))
            };
            command.run(progress, &program, repository)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_needs_the_repository_is_known_where_there_is_none() {
        let command = Cli::command();
        let names = command.get_subcommands().map(clap::Command::get_name);
        let model = lab::command::Command::has_subcommand;
        let ours: Vec<_> = names.filter(|name| !model(name)).collect();
        assert_eq!(ours, lab::command::ELSEWHERE);
    }

    #[test]
    fn every_example_of_every_help_is_a_command_line() {
        // They name a file of the repository.
        std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).unwrap();
        let examples = test::docs::help_examples(&Cli::command());
        assert!(examples.len() > 40, "{}", examples.len());
        for example in examples {
            let line = example
                .trim_start_matches("source <(")
                .trim_end_matches(')');
            let words = shlex::split(line).unwrap();
            let shell =
                |word: &&String| matches!(word.as_str(), "&&" | "|") || word.starts_with('>');
            let words = words.iter().skip(1).take_while(|word| !shell(word));
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}
