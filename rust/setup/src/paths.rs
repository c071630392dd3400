// SPDX-License-Identifier: GPL-2.0-or-later
//! Where things are: the repository, and what is built below its `target/`.
//!
//! Everything built lies at a fixed path in the repository's own `target/`, wherever cargo was told to put
//! its files: people and scripts name these paths.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use lab::failure::Prerequisite;

/// Names the repository for a binary that is started from elsewhere.
const ROOT_VARIABLE: &str = "CONZONE_ROOT";

/// The file that tells a pack (pack.rs) from a repository.
pub const PACK: &str = "pack.json";

/// The repository and its `target/`.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The repository: `$CONZONE_ROOT`, or the pack that this binary is in, or the repository around the current
    /// directory, or the one that this binary was built in.
    ///
    /// # Errors
    /// There is none.
    pub fn find() -> anyhow::Result<Self> {
        Self::look()?.ok_or_else(|| {
            Prerequisite(format!(
                "run this in the conzone repository, or set {ROOT_VARIABLE} to it"
            ))
            .into()
        })
    }

    /// The same for what can do without.
    ///
    /// # Errors
    /// `$CONZONE_ROOT` names no directory.
    pub fn look() -> anyhow::Result<Option<Self>> {
        if let Some(root) = env::var_os(ROOT_VARIABLE) {
            let root = PathBuf::from(root);
            let named = || format!("{ROOT_VARIABLE}={}", root.display());
            let root = root.canonicalize().with_context(named)?;
            return Ok(Some(Self { root }));
        }
        let program = env::current_exe().ok();
        let beside = program.as_deref().and_then(Path::parent);
        if let Some(pack) = beside.filter(|dir| dir.join(PACK).is_file()) {
            let root = pack.to_owned();
            return Ok(Some(Self { root }));
        }
        let starts = [env::current_dir().ok(), program];
        let found = starts
            .iter()
            .flatten()
            .find_map(|start| repository_around(start));
        Ok(found.map(|root| Self { root }))
    }

    /// Refuses what cannot be done without the sources.
    ///
    /// # Errors
    /// This is a pack.
    pub fn need_sources(&self, what: &str) -> anyhow::Result<()> {
        if self.is_pack() {
            let why =
                format!("{what} needs the conzone repository: there are no sources in a pack");
            return Err(Prerequisite(why).into());
        }
        Ok(())
    }

    /// Whether this is what `pack` made of a repository.
    pub fn is_pack(&self) -> bool {
        self.root.join(PACK).is_file()
    }

    /// The repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where everything is built.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The emulator with the device in it.
    pub fn qemu(&self) -> PathBuf {
        self.target().join("qemu/qemu-system-x86_64")
    }

    /// Firmware for it: `qemu -L` this directory. It has SeaBIOS and `qboot.rom`.
    pub fn firmware(&self) -> PathBuf {
        self.target().join("qemu/firmware")
    }

    /// QEMU's source with our patches.
    pub fn qemu_source(&self) -> PathBuf {
        self.target().join("qemu-src")
    }

    /// QEMU's build directory.
    pub fn qemu_build(&self) -> PathBuf {
        self.target().join("qemu-build")
    }

    /// Guests that have booted.
    pub fn snapshots(&self) -> PathBuf {
        self.target().join("guest-snapshots")
    }

    /// Where `setup` keeps its logs.
    pub fn logs(&self) -> PathBuf {
        self.target().join("logs")
    }

    /// What the finished steps of `setup` were made from.
    pub fn stamps(&self) -> PathBuf {
        self.target().join("stamps")
    }
}

fn repository_around(start: &Path) -> Option<PathBuf> {
    let is_root =
        |dir: &&Path| dir.join("rust/cli/Cargo.toml").exists() && dir.join("hw/Kconfig").exists();
    let found = start.ancestors().find(is_root)?;
    // A folder of links to the repository's entries is that repository.
    let entry = found.join("hw").canonicalize().ok()?;
    entry.parent().map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_found_from_below() {
        let root = repository_around(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(root.join("patches").is_dir());
        assert_eq!(repository_around(Path::new("/")), None);

        let links = tempfile::tempdir().unwrap();
        for entry in ["hw", "rust"] {
            std::os::unix::fs::symlink(root.join(entry), links.path().join(entry)).unwrap();
        }
        assert_eq!(repository_around(links.path()).as_ref(), Some(&root));
    }
}
