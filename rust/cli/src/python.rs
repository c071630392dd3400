// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone wheel`: the flash model as a Python module; and virtual environments, which tests use, too.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use anyhow::{bail, Context as _, Result};

use crate::out::say;
use setup::Context;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs python3 with venv, 3.10 or later; maturin and zig are installed below target/ (half a gigabyte).
The wheel runs on every Linux with glibc 2.17 or later, and Python 3.10 or later.

Example: cargo conzone wheel && python3 -m pip install target/wheels/conzone-*.whl"
)]
pub struct Args {}

/// Builds the wheel and says where it is.
pub fn run(context: &Context, _: &Args) -> Result<ExitCode> {
    say!("{}", wheel(context)?.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The Python that has what testing the module needs.
///
/// # Errors
/// As for [`venv`].
pub fn environment(context: &Context) -> Result<PathBuf> {
    let wanted = context.paths.root().join("rust/python/requirements.txt");
    venv(context, "python", &wanted)
}

/// Builds the wheel into `target/wheels`, in place of older ones.
///
/// # Errors
/// It does not build.
pub fn wheel(context: &Context) -> Result<PathBuf> {
    let wanted = "rust/python/build-requirements.txt";
    let python = venv(context, "maturin", &context.paths.root().join(wanted))?;
    // Zig is found there.
    let tools = python.parent().map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    let path = tools.into_iter().chain(env::split_paths(&path));
    let path = env::join_paths(path).context("the PATH for maturin")?;
    let spinner = context.progress.spinner("building the Python module");
    let (target, wheels) = (
        context.paths.target(),
        context.paths.target().join("wheels"),
    );
    if wheels.exists() {
        fs::remove_dir_all(&wheels).with_context(|| format!("emptying {}", wheels.display()))?;
    }
    let built = Command::new(python)
        .current_dir(context.paths.root().join("rust/python"))
        .args(["-m", "maturin", "build", "--release"])
        .args(["--zig", "--compatibility", "manylinux_2_17"])
        .args(["--compression-level", "9", "--out"])
        .arg(&wheels)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", target.join("python-build"))
        .output();
    succeeded(built, "maturin build")?;
    spinner.finish_and_clear();
    let mut entries = fs::read_dir(&wheels).with_context(|| wheels.display().to_string())?;
    match entries.next() {
        Some(Ok(entry)) => Ok(entry.path()),
        _ => bail!("maturin build left no wheel in {}", wheels.display()),
    }
}

/// `pip install`, which says nothing unless it fails.
fn pip_install(python: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet"])
        .arg("--disable-pip-version-check");
    pip
}

/// Installs a wheel in place of an older one of the same version.
///
/// # Errors
/// pip's.
pub fn install(python: &Path, wheel: &Path) -> Result<()> {
    let pip = pip_install(python)
        .args(["--no-deps", "--force-reinstall"])
        .arg(wheel)
        .output();
    succeeded(pip, "pip install of the wheel")
}

/// The Python of `target/NAME`, a virtual environment with what the file `wanted` lists; made anew when that changes.
///
/// # Errors
/// There is no Python with venv, or pip cannot install.
pub fn venv(context: &Context, name: &str, wanted: &Path) -> Result<PathBuf> {
    let venv = context.paths.target().join(name);
    let python = venv.join("bin/python");
    let shown = wanted.strip_prefix(context.paths.root()).unwrap_or(wanted);
    let list = fs::read(wanted).with_context(|| format!("reading {}", shown.display()))?;
    let installed = venv.join("requirements.txt");
    if fs::read(&installed).ok().as_ref() != Some(&list) {
        let spinner = context
            .progress
            .spinner(format!("installing {}", shown.display()));
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&venv)
            .output();
        succeeded(made, "python3 -m venv (install python3-venv)")?;
        let pip = pip_install(&python).arg("-r").arg(wanted).output();
        succeeded(pip, &format!("pip install -r {}", shown.display()))?;
        fs::write(&installed, list).context("recording what was installed")?;
        spinner.finish_and_clear();
    }
    Ok(python)
}

/// Turns a failed helper program into an error with its last line.
///
/// # Errors
/// It did not start or did not succeed.
pub fn succeeded(output: io::Result<Output>, what: &str) -> Result<()> {
    let output = output.with_context(|| what.to_owned())?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{what}: {}", text.trim().lines().last().unwrap_or("failed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_fails_says_why() {
        let failed = Command::new("sh")
            .args(["-c", "echo one >&2; echo two >&2; exit 1"])
            .output();
        assert_eq!(
            succeeded(failed, "trying").unwrap_err().to_string(),
            "trying: two"
        );
    }
}
