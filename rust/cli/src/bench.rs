// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone bench`: speed of the model and the device.

use std::process::ExitCode;

use crate::Context;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_context: &Context, _args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`bench` is not there yet")
}
