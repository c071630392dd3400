// SPDX-License-Identifier: GPL-2.0-or-later
//! What the guest is to do: a script, the files it needs and the files it leaves.

use std::path::PathBuf;

/// Where a piece of a job's output was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The script's standard output.
    Stdout,
    /// The script's standard error.
    Stderr,
}

/// A script for the guest's bash, run as root in `/root` with an empty standard input.
#[derive(Clone, Debug)]
pub struct Job {
    pub(crate) script: String,
    pub(crate) merged: bool,
    pub(crate) files: Vec<(PathBuf, String)>,
    pub(crate) fetch: Vec<(String, PathBuf)>,
}

impl Job {
    /// A job that runs this script.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            merged: false,
            files: Vec::new(),
            fetch: Vec::new(),
        }
    }

    /// Sends standard error down standard output, so that their order is kept.
    #[must_use]
    pub fn merge_output(mut self) -> Self {
        self.merged = true;
        self
    }

    /// Puts the host's file `source` into the guest as `destination` (absolute), with its permissions.
    #[must_use]
    pub fn file(mut self, source: impl Into<PathBuf>, destination: impl Into<String>) -> Self {
        self.files.push((source.into(), destination.into()));
        self
    }

    /// Takes the guest's file `source` out as the host's `destination` when the script has ended, however it ended.
    #[must_use]
    pub fn fetch(mut self, source: impl Into<String>, destination: impl Into<PathBuf>) -> Self {
        self.fetch.push((source.into(), destination.into()));
        self
    }
}
