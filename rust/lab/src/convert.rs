// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone trace convert`: other programs' traces become ours.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::Value;
use sim::Simulation;

use crate::drive::Drive;
use crate::failure::Prerequisite;
use crate::input::{figures, TraceArgs};

/// Work on traces
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a trace of another program in our format, placed on a drive
    #[command(after_help = "\
Example: cargo conzone trace convert --trace telegram.csv.gz --place log --logs 6 --out telegram.trace.gz")]
    Convert(Convert),
}

#[derive(Debug, clap::Args)]
struct Convert {
    #[command(flatten)]
    drive: Drive,
    #[command(flatten)]
    input: TraceArgs,
    /// Where to write it; .gz compresses, - is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Converts.
///
/// # Errors
/// A drive or trace that is none, a file that cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let Command::Convert(args) = &args.command;
    let config = args.drive.config()?;
    args.input.check_output("--out", Some(&args.out))?;
    let simulation = Simulation::new(&config)?;
    let mut input = args.input.open(&simulation, &config, |raw| raw)?;
    let named = || format!("--out {}", args.out.display());
    let out = trace::create(&args.out);
    let mut out = out.map_err(|error| Prerequisite(format!("{}: {error}", named())))?;
    while let Some(line) = input.next_line()? {
        line.write(&mut out).with_context(named)?;
    }
    out.flush()
        .and_then(|()| out.finish())
        .with_context(named)?;
    if args.out != Path::new("-") {
        crate::out::line(format_args!("{:#}", Value::Object(figures(&input))))?;
    }
    Ok(ExitCode::SUCCESS)
}
