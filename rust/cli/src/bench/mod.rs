// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone bench`: how fast the emulation itself is.
//!
//! ```text
//! model    criterion benches and instruction counts of the flash model alone
//! device   fio in a guest: the device without drive latency beside QEMU's own `nvme`, in the same boot
//! image    the same with its drive in an image, beside itself without
//! ```

mod device;

use device::Pair;

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::failure::Prerequisite;
use setup::Context;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo conzone bench model
  cargo conzone bench device --seconds 10")]
pub struct Args {
    /// What to measure
    #[arg(value_enum)]
    what: What,
    /// How long each of the device's jobs runs, three times on each device
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Print the device's figures as JSON
    #[arg(long)]
    json: bool,
    /// Arguments for the model's wall-clock benches, such as a filter; instructions are not counted then
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The flash model alone
    Model,
    /// The device in QEMU, beside QEMU's own
    Device,
    /// The device with its drive in an image, beside itself without
    Image,
}

/// Measures and prints.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    match args.what {
        What::Model => model(context, args),
        What::Device => device::run(context, args.seconds, args.json, Pair::QemuNvme),
        What::Image => device::run(context, args.seconds, args.json, Pair::Image),
    }
}

/// The benches of the crate that runs the model alone: wall clock, then instructions, which have bounds.
fn model(context: &Context, args: &Args) -> Result<ExitCode> {
    if args.json {
        let why = "--json is for `bench device` and `bench image`; criterion leaves JSON in target/criterion";
        return Err(Prerequisite(why.into()).into());
    }
    if !bench(context, "model", &args.arguments)? {
        return Ok(ExitCode::FAILURE);
    }
    // A filter is for criterion: what it chose has been measured.
    let within = !args.arguments.is_empty() || bench(context, "instructions", &[])?;
    Ok(if within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs one bench; tells whether it succeeded.
fn bench(context: &Context, name: &str, arguments: &[String]) -> Result<bool> {
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(context.paths.root())
        .args(["bench", "--quiet", "--package", "conzone-sim", "--bench"])
        .args([name, "--", "--quiet"])
        .args(arguments)
        .status()
        .context("starting cargo bench")?;
    Ok(status.success())
}
