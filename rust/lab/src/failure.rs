// SPDX-License-Identifier: GPL-2.0-or-later
//! How an error is said, and which exit status it has.

use std::process::ExitCode;

/// An error that the user can put right before anything is tried: wrong usage, a package to install.
///
/// Exit status 2, as clap's own errors; every other error is 1.
#[derive(Debug)]
pub struct Prerequisite(pub String);

impl std::fmt::Display for Prerequisite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Prerequisite {}

/// Says on standard error why a command failed; its exit status.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let head = console::style("error:").for_stderr().red().bold();
    eprintln!("{head} {error:#}");
    exit_code(error)
}

/// The exit status of a command that ended with `error`.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let prerequisite = error.chain().any(|cause| cause.is::<Prerequisite>());
    ExitCode::from(if prerequisite { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn prerequisites_are_found_below_context() {
        let plain = anyhow::anyhow!("no");
        assert_eq!(exit_code(&plain), ExitCode::from(1));
        let missing = Err::<(), _>(Prerequisite("install it".into()))
            .context("setup")
            .unwrap_err();
        assert_eq!(exit_code(&missing), ExitCode::from(2));
    }
}
