// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone completions`: completion scripts for shells.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::out;
use crate::provenance::Program;

/// Print a completion script for your shell
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to complete in; the script completes the program `conzone`
    shell: Shell,
}

/// Prints the script. It needs no repository: packagers run it from anywhere.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(program: &Program, args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = (program.command)();
    clap_complete::generate(args.shell, &mut command, "conzone", &mut script);
    out::text(String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
