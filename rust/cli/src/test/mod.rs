// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone test`: the tests.

use std::process::ExitCode;

use crate::Context;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_context: &Context, _args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`test` is not there yet")
}
