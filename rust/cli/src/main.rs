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
mod completions;
mod crash;
mod exec;
mod experiment;
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

use clap::{Parser, Subcommand};

use lab::progress::Progress;
use lab::{convert, failure, out, properties, sim, sweep, table, validate};

use report::compare;
use setup::{Context, Paths};

/// A consumer-grade zoned NVMe drive in QEMU: build it, boot a guest on it, measure it.
#[derive(Debug, Parser)]
#[command(
    name = "conzone",
    bin_name = "cargo conzone",
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
    /// Run a ready-made study and draw its figure
    Experiment(lab::experiment::Args),
    /// Put two or more runs beside each other
    Compare(compare::Args),
    /// Show what a drive counted: its vendor log page or its statistics
    Log(log::Args),
    /// Watch a running drive
    Top(top::Args),
    /// Make, look at and copy files that drives live in
    Image(image::Args),
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!(
                "{} {error:#}",
                console::style("error:").for_stderr().red().bold()
            );
            failure::exit_code(&error)
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let progress = Progress::new(cli.quiet);
    let context = || Paths::find().map(|paths| Context { paths, progress });
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
        Command::Experiment(args) => experiment::run(progress, &args),
        Command::Compare(args) => compare::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Sim(args) => sim::run(progress, &args),
        Command::Sweep(args) => sweep::run(progress, &args),
        Command::Trace(args) => convert::run(&args),
        Command::Validate(args) => {
            let paths = Paths::look()?;
            let below_root = |path| paths.as_ref().map(|paths| paths.root().join(path));
            let files = validate::Files {
                golden: below_root("tests/golden"),
                hardware: below_root("tests/hardware"),
            };
            validate::run(progress, &args, files)
        }
        Command::Properties(args) => properties::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
