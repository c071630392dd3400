// SPDX-License-Identifier: GPL-2.0-or-later
//! How results were made, so that they can be made again.

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;

/// A line of "how it was made".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl Setting {
    /// A line.
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
        }
    }
}

/// The program that does what was asked for: `cargo conzone`, or what the Python module brings.
#[derive(Debug, Clone)]
pub struct Program {
    /// What one types.
    pub name: &'static str,
    /// What followed that.
    pub arguments: Vec<String>,
    /// The file that computes; none: the one that this process runs.
    pub file: Option<PathBuf>,
    /// Its whole command line.
    pub command: fn() -> clap::Command,
}

impl Program {
    /// What to type to get the same again.
    #[must_use]
    pub fn command_line(&self) -> String {
        command_line(self.name, self.arguments.iter().cloned())
    }

    /// The file that computes: what another has computed is not taken for its own.
    ///
    /// # Errors
    /// The system does not say which it is.
    pub fn file(&self) -> anyhow::Result<PathBuf> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => env::current_exe().context("finding this program"),
        }
    }
}

/// A command line for a shell: a program's name as one types it, and arguments.
#[must_use]
pub fn command_line(name: &str, arguments: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = name
        .split(' ')
        .map(str::to_owned)
        .chain(arguments)
        .collect();
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_quoted_for_a_shell() {
        let words = ["run", "--set", "serial=a b"].map(str::to_owned);
        assert_eq!(
            command_line("cargo conzone", words.into_iter()),
            "cargo conzone run --set 'serial=a b'"
        );
    }
}
