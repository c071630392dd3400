// SPDX-License-Identifier: GPL-2.0-or-later
//! Packages of a chosen Debian release, without touching the machine's own apt set-up.
//!
//! ```text
//! /etc/apt/sources.list{,.d/*}  --mirror-->  <state>/{sources.list, apt.conf, lists, ...}
//!                                                 |  apt-get -c <state>/apt.conf
//!                                                 v
//!                                  download: *.deb      fetch_source: unpacked tree
//! ```
//!
//! The machine may run another release than the one that has the package (QEMU 10.0 and a new
//! kernel come from trixie, the machine may be bookworm). So each [`Apt`] keeps lists, cache and an
//! empty package database of its own in a directory, and takes only two things from the machine:
//! the address of its Debian mirror, because no host name is written in this repository, and its
//! `apt.conf.d`, where proxies and credentials are.
//!
//! Invariants: nothing outside the state directory and the destinations is written; nothing is
//! installed; everything is verified by apt against the archive's signed hashes.
//!
//! Not modelled: dependencies (callers name the packages they want), other architectures than the
//! amd64 the guest is made of, and archives that are not laid out like Debian's.

#![forbid(unsafe_code)]

mod apt;
mod sources;

pub use apt::{unpack, Apt};

use std::fmt;
use std::path::PathBuf;

/// A Debian release, or the part of one, that packages are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
    /// Newer packages rebuilt for Debian 13.
    TrixieBackports,
    /// Debian unstable.
    Sid,
}

impl Suite {
    /// The name in the archive's `dists/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::TrixieBackports => "trixie-backports",
            Self::Sid => "sid",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What can go wrong between the mirror and the destination.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No entry of the machine's source lists is a Debian archive.
    #[error(
        "no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d: add one `deb` line"
    )]
    NoMirror,
    /// A file or directory could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A tool is not installed.
    #[error("{tool} is not installed (package {package})")]
    Missing {
        /// The program that was to be started.
        tool: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A tool ran and failed.
    #[error("`{command}` failed ({status}):\n{output}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// Its exit status, in words.
        status: String,
        /// The last lines it printed.
        output: String,
    },
    /// The release has no such package.
    #[error("no package {package} in {suite}")]
    NoPackage {
        /// The name asked for.
        package: String,
        /// The release looked in.
        suite: Suite,
    },
}

/// This crate's results.
pub type Result<T> = std::result::Result<T, Error>;
