// SPDX-License-Identifier: GPL-2.0-or-later
//! The crates that only meson builds, which `cargo fmt`, `clippy` and `test` do not see.
//!
//! They need the build tree that `cargo conzone setup` leaves beside the binary. For a QEMU from
//! elsewhere there is nothing to check, and the tests say so.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context, Result};

/// Crate roots, and the libraries that meson makes of them.
const CRATES: [(&str, &str); 3] = [
    (
        "rust/qemu/src/lib.rs",
        "rust/conzone/rust/qemu/libqemu.rlib",
    ),
    ("rust/pci/src/lib.rs", "rust/conzone/rust/pci/libpci.rlib"),
    (
        "hw/conzone/src/lib.rs",
        "rust/conzone/hw/conzone/libconzone_nvme.rlib",
    ),
];

/// The workspace's rules, for crates that may use `unsafe` if they say why.
const LINTS: &str = "-D warnings -D clippy::all -D clippy::unwrap_used -D clippy::expect_used \
    -D clippy::panic -D clippy::indexing_slicing -D clippy::undocumented_unsafe_blocks \
    -D unsafe_op_in_unsafe_fn";

fn repository() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.ancestors().nth(2).context("a repository")?.to_owned())
}

/// The build tree of the QEMU under test.
fn build_tree() -> Result<Option<PathBuf>> {
    let binary = qtest::binary()?.canonicalize()?;
    let build = binary.parent().context("a binary in a folder")?;
    if build.join("build.ninja").exists() {
        return Ok(Some(build.to_owned()));
    }
    eprintln!("{} is no build tree: skipped", build.display());
    Ok(None)
}

fn succeeds(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}{complained}");
    Ok(said)
}

#[test]
fn the_bindings_agree_with_c() -> Result<()> {
    let Some(build) = build_tree()? else {
        return Ok(());
    };
    succeeds(
        Command::new(build.join("pyvenv/bin/meson"))
            .args(["test", "-C"])
            .arg(build)
            .args(["rust-qemu-tests", "rust-pci-tests"]),
    )?;
    Ok(())
}

#[test]
fn the_crates_are_formatted() -> Result<()> {
    let repository = repository()?;
    for (root, _) in CRATES {
        let mut rustfmt = Command::new("rustfmt");
        rustfmt.args(["--edition", "2021", "--check"]);
        succeeds(rustfmt.arg(repository.join(root)))?;
    }
    Ok(())
}

/// Clippy in the place of rustc in meson's own command lines.
#[test]
fn clippy_has_nothing_to_say() -> Result<()> {
    let Some(build) = build_tree()? else {
        return Ok(());
    };
    let scratch = tempfile::tempdir()?;
    for (_, library) in CRATES {
        let commands = succeeds(
            Command::new("ninja")
                .args(["-t", "commands", "-s", library])
                .current_dir(&build),
        )?;
        let rustc = commands.lines().last().context("a command line")?;
        let arguments: Vec<&str> = rustc.split(' ').skip(1).collect();
        let mut clippy = String::from("clippy-driver");
        let mut words = arguments.into_iter();
        while let Some(word) = words.next() {
            // Neither the output nor QEMU's own rules of style.
            if ["--emit", "-A", "-D"].contains(&word) {
                words.next();
            } else {
                clippy.push(' ');
                clippy.push_str(word);
            }
        }
        let output = scratch.path().join("out.rmeta");
        clippy.push_str(&format!(" --emit metadata={} {LINTS}", output.display()));
        succeeds(Command::new("sh").args(["-c", &clippy]).current_dir(&build))?;
    }
    Ok(())
}
