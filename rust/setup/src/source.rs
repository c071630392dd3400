// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's source below `target/`, with everything in it that the build needs.
//!
//! ```text
//! Debian's source package, or a tree of the user's (copied)
//!   + patches/*.patch
//!   + subprojects/packagefiles    meson.build of the crates: Debian's tarball lacks them
//!   + subprojects/packagecache    the crates themselves, out of cargo's cache: meson needs no network
//!   + rust/conzone                a link to this repository
//! ```
//! The tree is made beside its final place and moved there when it is whole.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{symlink, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, ensure, Context as _};
use debian::{Apt, Suite};

use crate::paths::Paths;
use crate::stamp::{sorted_entries, Inputs, Key};
use crate::tool::Log;
use crate::wrap::Wrap;

/// The branch of QEMU whose Rust crates the device is written for.
const BRANCH: &str = "10.0.";

/// The release that ships the branch. (Debian 12's backports list a 10.0.2 whose source is gone.)
const SUITE: Suite = Suite::Trixie;

/// Subprojects that a release tarball has and a git checkout gets from the network.
const C_SUBPROJECTS: [&str; 3] = [
    "keycodemapdb",
    "berkeley-softfloat-3",
    "berkeley-testfloat-3",
];

/// Where the source is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Debian's source package.
    Debian,
    /// A tree of the user's own.
    Tree(PathBuf),
}

impl Origin {
    /// For the stamps: a later set-up that names no origin uses the same again.
    pub fn to_text(&self) -> String {
        match self {
            Self::Debian => String::new(),
            Self::Tree(path) => path.display().to_string(),
        }
    }

    /// The inverse of [`Origin::to_text`].
    pub fn from_text(text: &str) -> Self {
        match text {
            "" => Self::Debian,
            path => Self::Tree(path.into()),
        }
    }
}

/// What the tree is made from: the origin, our patches, our package files.
///
/// A user's tree counts by its path; see [`fingerprint`] for its content.
///
/// # Errors
/// What cannot be read.
pub fn key(paths: &Paths, origin: &Origin) -> anyhow::Result<Key> {
    let inputs = Inputs::default().text("source 1").text(&origin.to_text());
    Ok(inputs.tree(&paths.root().join("patches"))?.key())
}

/// A fingerprint of the user's tree: names, sizes and times of its files.
///
/// # Errors
/// What cannot be read.
pub fn fingerprint(tree: &Path) -> anyhow::Result<Key> {
    fn add(mut inputs: Inputs, dir: &Path) -> anyhow::Result<Inputs> {
        for path in sorted_entries(dir)? {
            let meta = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
            if meta.is_dir() {
                inputs = add(inputs, &path)?;
            } else {
                inputs = inputs.text(&format!(
                    "{} {} {}.{}",
                    path.display(),
                    meta.len(),
                    meta.mtime(),
                    meta.mtime_nsec()
                ));
            }
        }
        Ok(inputs)
    }
    wanted_entries(tree)?
        .iter()
        .try_fold(Inputs::default(), |inputs, path| match path.is_dir() {
            true => add(inputs, path),
            false => Ok(inputs.text(&path.display().to_string())),
        })
        .map(Inputs::key)
}

/// Makes the tree.
///
/// # Errors
/// A mirror that cannot be reached, a patch that does not apply, another branch of QEMU.
pub fn make(paths: &Paths, origin: &Origin, log: &Log) -> anyhow::Result<()> {
    let new = paths.target().join("qemu-src.new");
    remove_dir(&new)?;
    match origin {
        Origin::Debian => fetch(paths, &new)?,
        Origin::Tree(tree) => copy(tree, &new, log)?,
    }
    let version = check(&new)?;
    apply_patches(paths, &new, &version, log)?;
    add_package_files(paths, &new)?;
    add_crates(&new, log)?;
    let link = new.join("rust/conzone");
    // From target/qemu-src/rust: the repository may be moved as a whole.
    symlink("../../..", &link).with_context(|| link.display().to_string())?;
    remove_dir(&paths.qemu_source())?;
    fs::rename(&new, paths.qemu_source()).context("moving QEMU's source to its place")
}

/// The version a tree says it is.
///
/// # Errors
/// When it is no QEMU tree.
pub fn version(tree: &Path) -> anyhow::Result<String> {
    let path = tree.join("VERSION");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{} (is this a QEMU tree?)", path.display()))?;
    Ok(text.trim().to_owned())
}

/// That a tree is of the branch the device is written for; gives its version.
///
/// # Errors
/// When it is another, or no QEMU tree.
pub fn check(tree: &Path) -> anyhow::Result<String> {
    let version = version(tree)?;
    ensure!(
        version.starts_with(BRANCH),
        "{} is QEMU {version}, and the device is written for the branch {BRANCH}x",
        tree.display()
    );
    Ok(version)
}

/// Names the crates that meson is to unpack, as their `.wrap` files do.
///
/// # Errors
/// What cannot be read.
pub fn subprojects(tree: &Path) -> anyhow::Result<Vec<String>> {
    let crates = crate_wraps(tree)?.into_iter().map(|wrap| wrap.name);
    let missing = |name: &&str| !tree.join("subprojects").join(name).is_dir();
    Ok(crates
        .chain(C_SUBPROJECTS.into_iter().filter(missing).map(str::to_owned))
        .collect())
}

fn fetch(paths: &Paths, new: &Path) -> anyhow::Result<()> {
    let fetched = || {
        let apt = Apt::new(paths.target().join("apt").join(SUITE.name()), SUITE)?;
        let version = apt.source_version("qemu")?;
        ensure!(
            upstream(&version).starts_with(BRANCH),
            "{SUITE} has QEMU {version}"
        );
        Ok(apt.fetch_source("qemu", new)?)
    };
    fetched().with_context(|| {
        format!(
            "no QEMU {BRANCH}x from Debian: unpack one from qemu.org and name it with --qemu-src"
        )
    })
}

/// A Debian version without its epoch.
fn upstream(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

fn copy(tree: &Path, new: &Path, log: &Log) -> anyhow::Result<()> {
    fs::create_dir_all(new).with_context(|| new.display().to_string())?;
    let mut cp = Command::new("cp");
    cp.args(["--archive", "--reflink=auto", "--target-directory"])
        .arg(new)
        .arg("--")
        .args(wanted_entries(tree)?);
    log.run(&mut cp)
        .with_context(|| format!("copying {}", tree.display()))?;
    // Left by an earlier use of the tree: a link of ours has no business in a copy.
    let link = new.join("rust/conzone");
    match link.is_symlink() {
        true => fs::remove_file(&link).with_context(|| link.display().to_string()),
        false => Ok(()),
    }
}

/// A tree's entries without its history and its builds.
fn wanted_entries(tree: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unwanted = |path: &Path| path.ends_with(".git") || path.join("build.ninja").exists();
    Ok(sorted_entries(tree)?
        .into_iter()
        .filter(|path| !unwanted(path))
        .collect())
}

fn apply_patches(paths: &Paths, tree: &Path, version: &str, log: &Log) -> anyhow::Result<()> {
    let patches = sorted_entries(&paths.root().join("patches"))?;
    for patch in patches
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "patch"))
    {
        let mut command = Command::new("patch");
        command
            .args([
                "-p1",
                "--batch",
                "--forward",
                "--reject-file=-",
                "--no-backup-if-mismatch",
                "--input",
            ])
            .arg(patch);
        let named = || format!("{} does not apply to QEMU {version}", patch.display());
        log.run(command.current_dir(tree)).with_context(named)?;
    }
    Ok(())
}

/// Adds the `meson.build` of each crate for which the tree has none.
fn add_package_files(paths: &Paths, tree: &Path) -> anyhow::Result<()> {
    let ours = paths.root().join("patches/packagefiles");
    for wrap in crate_wraps(tree)? {
        let from = ours.join(&wrap.patch_directory).join("meson.build");
        let to = tree
            .join("subprojects/packagefiles")
            .join(&wrap.patch_directory);
        if to.join("meson.build").exists() || !from.exists() {
            continue;
        }
        fs::create_dir_all(&to)
            .and_then(|()| fs::copy(&from, to.join("meson.build")))
            .with_context(|| to.display().to_string())?;
        wrap.drop_missing_diffs()?;
    }
    Ok(())
}

/// Puts the crates that QEMU's Cargo.lock pins where meson looks for downloads.
fn add_crates(tree: &Path, log: &Log) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut fetch = Command::new(cargo);
    fetch
        .args(["fetch", "--locked", "--manifest-path"])
        .arg(tree.join("rust/Cargo.toml"));
    log.run(fetch.current_dir(tree))
        .context("fetching the crates QEMU uses")?;
    let cache = tree.join("subprojects/packagecache");
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    for wrap in crate_wraps(tree)? {
        let file = format!("{}.crate", wrap.directory);
        let Some(from) = in_cargo_cache(&file)? else {
            bail!("cargo fetched {file} but does not keep it in $CARGO_HOME/registry/cache");
        };
        let to = cache.join(&wrap.source_filename);
        fs::copy(&from, &to).with_context(|| to.display().to_string())?;
    }
    Ok(())
}

fn in_cargo_cache(file: &str) -> anyhow::Result<Option<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let cache = home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry/cache");
    // One directory per registry; meson compares the hash of what we take.
    let registries = sorted_entries(&cache)?;
    Ok(registries
        .into_iter()
        .map(|registry| registry.join(file))
        .find(|path| path.exists()))
}

fn crate_wraps(tree: &Path) -> anyhow::Result<Vec<Wrap>> {
    let files = sorted_entries(&tree.join("subprojects"))?;
    let of_crates = |path: &&PathBuf| path.to_string_lossy().ends_with("-rs.wrap");
    files
        .iter()
        .filter(of_crates)
        .map(|path| Wrap::read(path))
        .collect()
}

/// Removes a directory that may not exist.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_dir(dir: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| dir.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_survive_their_stamp() {
        for origin in [Origin::Debian, Origin::Tree("/src/qemu".into())] {
            assert_eq!(Origin::from_text(&origin.to_text()), origin);
        }
    }

    #[test]
    fn epochs_are_no_part_of_the_branch() {
        assert!(upstream("1:10.0.13+ds-0+deb13u1").starts_with(BRANCH));
        assert!(!upstream("1:7.2+dfsg-7").starts_with(BRANCH));
        assert!(!upstream("1:10.2.0+ds-1").starts_with(BRANCH));
    }

    #[test]
    fn copies_leave_builds_and_history_behind() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".git", "build", "rust"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("build/build.ninja"), "").unwrap();
        fs::write(dir.path().join("VERSION"), "10.0.2\n").unwrap();
        let names = |paths: Vec<PathBuf>| -> Vec<_> {
            paths
                .iter()
                .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            names(wanted_entries(dir.path()).unwrap()),
            ["VERSION", "rust"]
        );
        assert_eq!(version(dir.path()).unwrap(), "10.0.2");

        let before = fingerprint(dir.path()).unwrap();
        fs::write(dir.path().join("build/a.o"), "").unwrap();
        assert_eq!(fingerprint(dir.path()).unwrap(), before);
        fs::write(dir.path().join("rust/lib.rs"), "").unwrap();
        assert_ne!(fingerprint(dir.path()).unwrap(), before);
    }
}
