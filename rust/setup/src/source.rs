// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's source below `target/`, with everything in it that the build needs.
//!
//! ```text
//! Debian's source package, or a tree of the user's (copied)
//!   + patches/*.patch, patches/BRANCH/*.patch
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

use anyhow::{bail, Context as _};
use debian::{Apt, Suite};

use crate::paths::Paths;
use crate::stamp::{sorted_entries, Inputs, Key};
use crate::tool::Log;
use crate::wrap::Wrap;

/// A branch of QEMU that the device builds with: see `rust/qemu`, which has a file for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Branch {
    /// What Debian 13 ships, and what everything is measured on.
    #[default]
    #[value(name = "10.0")]
    V10_0,
    /// A newer one whose source Debian's archive serves.
    #[value(name = "10.2")]
    V10_2,
}

impl Branch {
    const ALL: [Self; 2] = [Self::V10_0, Self::V10_2];

    /// What its releases' versions begin with, up to the last number.
    const fn name(self) -> &'static str {
        match self {
            Self::V10_0 => "10.0",
            Self::V10_2 => "10.2",
        }
    }

    /// The part of Debian that has it. (Debian 12's backports list a 10.0.2 whose source is gone.)
    const fn suite(self) -> Suite {
        match self {
            Self::V10_0 => Suite::Trixie,
            Self::V10_2 => Suite::Sid,
        }
    }

    /// The meson it is configured with, from PyPI: newer than Debian 12's, as its Rust needs.
    pub const fn meson(self) -> &'static str {
        match self {
            Self::V10_0 => "meson==1.8.2",
            Self::V10_2 => "meson==1.9.1",
        }
    }

    /// The branch of a version without an epoch, of QEMU's or Debian's.
    fn of(version: &str) -> Option<Self> {
        let is_of = |branch: &Self| {
            let patch = version.strip_prefix(branch.name());
            patch.is_some_and(|patch| patch.starts_with('.'))
        };
        Self::ALL.into_iter().find(is_of)
    }
}

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
    Debian(Branch),
    /// A tree of the user's own.
    Tree(PathBuf),
}

impl Origin {
    /// For the stamps: a later set-up that names no origin uses the same again.
    pub fn to_text(&self) -> String {
        match self {
            Self::Debian(Branch::V10_0) => String::new(),
            Self::Debian(branch) => branch.name().to_owned(),
            Self::Tree(path) => path.display().to_string(),
        }
    }

    /// The branch it is of; a tree that has gone since is known by its copy.
    pub fn branch(&self, paths: &Paths) -> Branch {
        match self {
            Self::Debian(branch) => *branch,
            Self::Tree(path) => check(path)
                .or_else(|_| check(&paths.qemu_source()))
                .unwrap_or_default(),
        }
    }

    /// The inverse of [`Origin::to_text`].
    pub fn from_text(text: &str) -> Self {
        // Trees are named by absolute paths.
        match Branch::ALL.into_iter().find(|branch| branch.name() == text) {
            Some(branch) => Self::Debian(branch),
            None if text.is_empty() => Self::Debian(Branch::default()),
            None => Self::Tree(text.into()),
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
    let inputs = Inputs::default().text("source 2").text(&origin.to_text());
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
        Origin::Debian(branch) => fetch(paths, *branch, &new)?,
        Origin::Tree(tree) => copy(tree, &new, log)?,
    }
    let branch = check(&new)?;
    apply_patches(paths, &new, branch, log)?;
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

/// That a tree is of a branch the device builds with; gives the branch.
///
/// # Errors
/// When it is another, or no QEMU tree.
pub fn check(tree: &Path) -> anyhow::Result<Branch> {
    let version = version(tree)?;
    Branch::of(&version).with_context(|| {
        format!(
            "{} is QEMU {version}, and the device builds with {}",
            tree.display(),
            Branch::ALL
                .map(|branch| format!("{}.x", branch.name()))
                .join(" and ")
        )
    })
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

fn fetch(paths: &Paths, branch: Branch, new: &Path) -> anyhow::Result<()> {
    let suite = branch.suite();
    let fetched = || -> anyhow::Result<()> {
        let apt = Apt::new(paths.target().join("apt").join(suite.name()), suite)?;
        // A suite that moves on keeps what others are still built from.
        let versions = apt.source_versions("qemu")?;
        let is_of = |version: &&String| Branch::of(upstream(version)) == Some(branch);
        let version = versions.iter().rfind(is_of);
        let version =
            version.with_context(|| format!("{suite} has QEMU {}", versions.join(", ")))?;
        Ok(apt.fetch_source("qemu", Some(version), new)?)
    };
    fetched().with_context(|| {
        let branch = branch.name();
        format!(
            "no QEMU {branch}.x from Debian: unpack one from qemu.org and name it with --qemu-src"
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

/// Applies the patches that all branches have in common, then those of this one.
fn apply_patches(paths: &Paths, tree: &Path, branch: Branch, log: &Log) -> anyhow::Result<()> {
    let ours = paths.root().join("patches");
    let mut patches = sorted_entries(&ours)?;
    patches.extend(sorted_entries(&ours.join(branch.name()))?);
    patches.retain(|path| path.extension().is_some_and(|e| e == "patch"));
    let version = version(tree)?;
    for patch in &patches {
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
        let debian = Branch::ALL.map(Origin::Debian);
        for origin in debian.into_iter().chain([Origin::Tree("/src/qemu".into())]) {
            assert_eq!(Origin::from_text(&origin.to_text()), origin);
        }
        assert_eq!(Origin::from_text(""), Origin::Debian(Branch::V10_0));
    }

    #[test]
    fn versions_are_of_branches() {
        let of = |version| Branch::of(upstream(version));
        assert_eq!(of("1:10.0.13+ds-0+deb13u1"), Some(Branch::V10_0));
        assert_eq!(of("1:10.2.2+ds-1"), Some(Branch::V10_2));
        assert_eq!(of("10.2.50"), Some(Branch::V10_2));
        for other in ["1:7.2+dfsg-7", "10.20.1", "1:11.1.3+ds-1"] {
            assert_eq!(of(other), None, "{other}");
        }
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
