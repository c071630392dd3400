// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests that others wrote for drives like ours, as an archive that goes behind the image's own:
//!
//! | below `/usr/share/tests` | from the source package | |
//! |---|---|---|
//! | `fio/` | fio of unstable | its newest tests of zoned drives (`t/zbd`) and the fio they are for |
//! | `nvme-cli/tests/` | nvme-cli of the userland's release | Python scripts; they need `python3` (`--package`) |
//! | `liburing/` | liburing of unstable | passthrough commands and polled I/O, built with the host's compiler |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use debian::Suite;

use super::userland::Userland;
use super::{fio, packages, replace, stamp, tools, Workshop};
use crate::Options;

/// This file: a change of it makes the archive anew.
const RECIPE: &str = include_str!("suites.rs");

/// Where they are in the guest.
const TESTS: &str = "/usr/share/tests";

/// Tests of liburing that are for NVMe drives.
const LIBURING: [&str; 5] = [
    "io_uring_passthrough.t",
    "iopoll.t",
    "iopoll-leak.t",
    "iopoll-overflow.t",
    "iopoll-sync.t",
];

/// The archive with all of them, made unless it is there. The image must have been built.
///
/// # Errors
/// Whatever stops apt or a compiler.
pub fn suites(options: &Options) -> Result<PathBuf> {
    let shop = Workshop::new(options, 0);
    let key = stamp::of(&[&super::RECIPE[..], &[RECIPE]].concat());
    let archive = packages::archive(&shop.results, &key);
    if !archive.is_file() {
        shop.step("tests by others", || shop.pack_suites(&archive))?;
        shop.bar.finish_and_clear();
    }
    Ok(archive)
}

impl Workshop {
    fn pack_suites(&self, archive: &Path) -> Result<()> {
        let work = tools::fresh_dir(&self.work.join("suites"))?;
        let mut tests = Userland::default();
        let newest = self.work.join("fio-newest");
        let (apt, sid) = (self.apt(Suite::Trixie)?, self.apt(Suite::Sid)?);
        let fetch = |source: &Path| Ok(sid.fetch_upstream("fio", source)?);
        let fio = fio::build(&newest, false, fetch, &apt, &self.packages())?;
        for (path, file) in fio.tests(&format!("{TESTS}/fio")) {
            tests.add_file(&path, &file);
        }

        let source = work.join("nvme-cli");
        apt.fetch_upstream("nvme-cli", &source)?;
        let entries = fs::read_dir(source.join("tests")).context("nvme-cli's tests")?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".py") || name.ends_with(".json") {
                tests.add_file(&format!("{TESTS}/nvme-cli/tests/{name}"), &path);
            }
        }

        let source = work.join("liburing");
        sid.fetch_upstream("liburing", &source)?;
        let log = work.join("liburing.log");
        for (program, arguments) in [
            ("./configure", &[][..]),
            ("make", &["-C", "src"]),
            ("make", &[&["-C", "test"], &LIBURING[..]].concat()),
        ] {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(&source);
            tools::run_logged(&mut command, &log)?;
        }
        for name in LIBURING {
            let path = source.join("test").join(name);
            tests.add_file(&format!("{TESTS}/liburing/{name}"), &path);
        }
        replace(archive, |file| tests.write_archive(file))
    }
}
