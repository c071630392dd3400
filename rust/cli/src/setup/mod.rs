// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone setup`: QEMU with the device, and the guest image.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::Context;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Build this QEMU 10.0 source tree instead of Debian's; it is copied, not changed
    #[arg(long, value_name = "DIR")]
    qemu_src: Option<PathBuf>,
    /// Do every step again
    #[arg(long)]
    force: bool,
}

/// Sets everything up and says where it is.
pub fn run(context: &Context, _args: &Args) -> anyhow::Result<ExitCode> {
    ensure(context)?;
    Ok(ExitCode::SUCCESS)
}

/// Sets up what is not up to date: QEMU and the guest image. Fast when nothing changed.
///
/// # Errors
/// A step that failed, with the path of its log; [`crate::failure::Prerequisite`] when packages are missing.
pub fn ensure(context: &Context) -> anyhow::Result<guest::Image> {
    ensure_qemu(context)?;
    let options = guest::Options {
        target: context.paths.target(),
        force: false,
        progress: context.progress.is_shown(),
    };
    guest::build(&options)
}

/// Sets up QEMU alone.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_qemu(_context: &Context) -> anyhow::Result<()> {
    Ok(())
}
