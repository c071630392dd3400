// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone completions`: completion scripts for shells.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::out;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to complete in; the script completes the program `conzone`
    shell: Shell,
}

/// Prints the script. It needs no repository: packagers run it from anywhere.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut command = crate::Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "conzone", &mut script);
    out::text(String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
