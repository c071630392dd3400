// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone qemu`: our emulator for people with images of their own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::anyhow;

use setup::Context;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cargo conzone qemu -- -m 2G -drive file=disk.qcow2 -device conzone-nvme,preset=tlc-zoned
  cargo conzone qemu -- -device conzone-nvme,help")]
pub struct Args {
    /// QEMU's arguments
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// Becomes QEMU, with the firmware where it looks for it.
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    setup::ensure_qemu(context)?;
    let qemu = context.paths.qemu();
    let error = Command::new(&qemu)
        .arg("-L")
        .arg(context.paths.firmware())
        .args(&args.arguments)
        .exec();
    Err(anyhow!("{}: {error}", qemu.display()))
}
