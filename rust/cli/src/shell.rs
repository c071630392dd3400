// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone shell`: the console of the guest.

use std::process::ExitCode;

use anyhow::Result;

use crate::vm::{self, Timing};
use setup::Context;

#[derive(Debug, clap::Args)]
#[command(after_help = "`exit` or Ctrl-A x ends the guest.

Examples:
  cargo conzone shell
  cargo conzone shell --preset qlc-zoned-zone-slc --kernel 6.1")]
pub struct Args {
    #[command(flatten)]
    vm: vm::Options,
}

/// Boots to a shell on this terminal.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let (vm, _old) = args.vm.aged()?;
    let machine = vm.machine(context, Timing::Real)?;
    context
        .progress
        .note("starting the guest; `exit` or Ctrl-A x ends it");
    let status = machine.shell()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
