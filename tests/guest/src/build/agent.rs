// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiles the guest's `/init`, statically, with rustc alone.

use super::tools;
use anyhow::Result;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Source of `/init`.
pub(super) const RECIPE: &str = include_str!("../../agent/main.rs");
/// Source of the module it shares with the host.
pub(super) const FRAME: &str = include_str!("../frame.rs");
/// The script `/init` starts with. Part of the image, not of `/init`.
pub(super) const BOOT: &str = include_str!("../../agent/boot.sh");

/// Compiles it in `folder`; gives the binary.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    for (path, text) in [("agent/main.rs", RECIPE), ("src/frame.rs", FRAME)] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    let binary = folder.join("init");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut command = Command::new(rustc);
    command.args([
        "--edition=2021",
        "--crate-name=init",
        "-Copt-level=s",
        "-Cpanic=abort",
    ]);
    command.args([
        "-Cstrip=symbols",
        "-Ctarget-feature=+crt-static",
        "--cap-lints=allow",
    ]);
    command
        .arg("-o")
        .arg(&binary)
        .arg(folder.join("agent/main.rs"));
    let log = folder.join("rustc.log");
    let _ = fs::remove_file(&log);
    tools::run_logged(&mut command, &log)?;
    Ok(binary)
}
