// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiles the guest's `/init`, statically, with rustc alone. The same rustc gives the same bytes in any folder.

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
    // Panics name their source file, and names of symbols are hashes of paths: all of it relative to here.
    let folder = folder.canonicalize()?;
    command.current_dir(&folder);
    command.arg(format!("--remap-path-prefix={}=", folder.display()));
    command.args(["-o", "init", "agent/main.rs"]);
    let log = folder.join("rustc.log");
    let _ = fs::remove_file(&log);
    tools::run_logged(&mut command, &log)?;
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_does_not_show() {
        let [one, other] = ["a", "another-folder"].map(|name| {
            let parent = tempfile::tempdir().unwrap();
            fs::read(build(&parent.path().join(name)).unwrap()).unwrap()
        });
        assert!(one.starts_with(b"\x7fELF"));
        assert!(one == other, "the same source gave different programs");
    }
}
