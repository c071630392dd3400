// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone completions`: completion scripts for shells.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to complete in; the script completes the program `conzone`
    shell: Shell,
}

/// Prints the script. It needs no repository: packagers run it from anywhere.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut command = crate::Cli::command();
    clap_complete::generate(args.shell, &mut command, "conzone", &mut io::stdout());
    Ok(ExitCode::SUCCESS)
}
