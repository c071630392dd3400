// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone validate`: the model against its sources.

use std::process::ExitCode;

use crate::Context;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_context: &Context, _args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`validate` is not there yet")
}
