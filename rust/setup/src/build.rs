// SPDX-License-Identifier: GPL-2.0-or-later
//! Configuring and building QEMU below `target/`.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::ninja;
use crate::paths::Paths;
use crate::source::{self, remove_dir, Branch};
use crate::stamp::{Inputs, Key};
use crate::tool::Log;
use lab::failure::Prerequisite;
use lab::progress::Progress;

/// What configure asks for besides, to report its tests; it has no part in what is built.
const TEST_REPORTER: &str = "pycotap==1.3.1";

/// A small QEMU: one target, no optional feature but the network that users expect. Warnings are no errors
/// because newer compilers than the branch knows find new ones.
const CONFIGURE: &[&str] = &[
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    "--enable-rust",
    "--enable-tcg",
    "--enable-kvm",
    "--enable-system",
    "--enable-fdt=system",
    "--enable-slirp",
    "--disable-docs",
    "--disable-download",
    "--disable-werror",
    "--disable-install-blobs",
];

/// The one program that is built.
const PROGRAM: &str = "qemu-system-x86_64";

/// Folders and files of the repository that QEMU's build reads.
const OVERLAY: [&str; 3] = ["hw", "meson.build", "rust"];

/// What the configured build directory is made from.
///
/// The compiler is part of it: rustc does not link crates of another version. So is the place: the build
/// directory has absolute paths in it.
///
/// # Errors
/// [`Prerequisite`] when there is no Rust compiler.
pub fn configure_key(paths: &Paths, branch: Branch, source: &Key) -> anyhow::Result<Key> {
    let inputs = CONFIGURE
        .iter()
        .fold(Inputs::default().text("configure 1"), |i, option| {
            i.text(option)
        });
    let rustc = Command::new("rustc").arg("-vV").output();
    let rustc = match rustc {
        Ok(output) if output.status.success() => output.stdout,
        _ => return Err(Prerequisite("no working rustc: install Rust with rustup".into()).into()),
    };
    let rustc = String::from_utf8_lossy(&rustc);
    let root = paths.root().display().to_string();
    Ok(inputs
        .text(branch.meson())
        .text(&rustc)
        .text(&root)
        .text(source.as_str())
        .key())
}

/// What the program is made from: a configured build directory and this repository.
///
/// # Errors
/// What cannot be read.
pub fn program_key(paths: &Paths, configured: &Key) -> anyhow::Result<Key> {
    let inputs = Inputs::default().text(configured.as_str());
    let all = OVERLAY
        .iter()
        .try_fold(inputs, |i, name| i.tree(&paths.root().join(name)));
    all.map(Inputs::key)
}

/// Makes a fresh build directory and configures it.
///
/// # Errors
/// A failure of pip, meson or configure, with its log.
pub fn configure(paths: &Paths, log: &Log) -> anyhow::Result<()> {
    let tree = paths.qemu_source();
    let meson = source::check(&tree)?.meson();
    let python = meson_environment(paths, meson, log)?;
    let mut unpack = Command::new(python.with_file_name("meson"));
    unpack
        .args(["subprojects", "download"])
        .args(source::subprojects(&tree)?);
    log.run(unpack.current_dir(&tree))
        .context("unpacking the crates QEMU uses")?;

    let build = paths.qemu_build();
    remove_dir(&build)?;
    fs::create_dir_all(&build).with_context(|| build.display().to_string())?;
    let mut configure = Command::new(tree.join("configure"));
    configure
        .arg(format!("--python={}", python.display()))
        .args(CONFIGURE);
    // Meson would pass the user's flags for cargo on to QEMU's crates.
    configure.env_remove("RUSTFLAGS").current_dir(&build);
    log.run(&mut configure).context("configuring QEMU")
}

/// Builds what has changed and puts the program at its place.
///
/// # Errors
/// A failure of the compiler, with its message and the log.
pub fn build(paths: &Paths, progress: Progress, log: &Log) -> anyhow::Result<()> {
    let bar = progress.bar("building QEMU", 0);
    let mut command = Command::new("ninja");
    command
        .arg("-C")
        .arg(paths.qemu_build())
        .arg(PROGRAM)
        .env("NINJA_STATUS", ninja::STATUS);
    let built = log.run_watched(&mut command, |line| {
        if let Some(now) = ninja::progress(line) {
            bar.set_length(now.total);
            bar.set_position(now.done);
        }
    });
    bar.finish_and_clear();
    built.context("building QEMU")?;
    link_program(&paths.qemu())
}

/// The program stays where it was built, so that a new build is in force at once.
fn link_program(link: &Path) -> anyhow::Result<()> {
    let target = Path::new("../qemu-build").join(PROGRAM);
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let dir = link.parent().unwrap_or(Path::new("."));
    let make = || {
        fs::create_dir_all(dir)?;
        if link.is_symlink() || link.exists() {
            fs::remove_file(link)?;
        }
        symlink(&target, link)
    };
    make().with_context(|| link.display().to_string())
}

/// A Python environment with meson in it; gives its interpreter.
fn meson_environment(paths: &Paths, meson: &str, log: &Log) -> anyhow::Result<PathBuf> {
    let venv = paths.target().join("meson-venv");
    let python = venv.join("bin/python3");
    // With the path, which its scripts name: a moved environment is made anew.
    let wanted = format!("{meson} {TEST_REPORTER} {}", venv.display());
    // Written last: an environment without it is half made.
    let marker = venv.join("conzone-packages");
    if fs::read_to_string(&marker).is_ok_and(|has| has == wanted) {
        return Ok(python);
    }
    remove_dir(&venv)?;
    let base = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    log.run(Command::new(base).args(["-m", "venv"]).arg(&venv))
        .context("making a Python environment")?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ]);
    log.run(pip.args([meson, TEST_REPORTER]))
        .context("installing meson from PyPI")?;
    fs::write(&marker, wanted).with_context(|| marker.display().to_string())?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_linked_once() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("qemu").join(PROGRAM);
        for _ in 0..2 {
            link_program(&link).unwrap();
            assert_eq!(
                fs::read_link(&link).unwrap(),
                Path::new("../qemu-build").join(PROGRAM)
            );
        }
        fs::remove_file(&link).unwrap();
        fs::write(&link, "something else").unwrap();
        link_program(&link).unwrap();
        assert!(link.is_symlink());
    }
}
