// SPDX-License-Identifier: GPL-2.0-or-later
//! The built image: which kernels there are and where their files lie.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A guest kernel, one of Debian's generic ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// 6.1, of Debian 12 (bookworm).
    V6_1,
    /// 6.12, of Debian 13 (trixie).
    #[default]
    V6_12,
    /// The newest that Debian rebuilds for its release 13 (trixie-backports); 7.3 at the time of writing.
    Backports,
}

impl Kernel {
    /// Every kernel.
    pub const ALL: [Kernel; 3] = [Kernel::V6_1, Kernel::V6_12, Kernel::Backports];

    /// Kernels of released Debians, which are always built. Another, which changes from month to month, is built when it is
    /// asked for: should the archive have one that cannot be built, only who asked is hurt.
    pub const RELEASED: [Kernel; 2] = [Kernel::V6_1, Kernel::V6_12];

    /// The name a user types and the folder below `target/guest`.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::V6_1 => "6.1",
            Kernel::V6_12 => "6.12",
            Kernel::Backports => "backports",
        }
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Kernel::ALL.into_iter().find(|kernel| kernel.name() == text);
        found.ok_or_else(|| format!("unknown kernel {text:?}: choose 6.1, 6.12 or backports"))
    }
}

/// What to build and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cargo's target folder: everything is written below it, the results to its `guest`.
    pub target: PathBuf,
    /// Build again even if the stamps say that nothing changed.
    pub force: bool,
    /// Show progress bars; without it, only errors speak.
    pub progress: bool,
    /// The kernel that is wanted beside those that are always built; it may be one of them.
    pub kernel: Kernel,
}

/// A built image.
#[derive(Clone, Debug)]
pub struct Image {
    dir: PathBuf,
    /// What goes behind the initramfs: see [`crate::packages()`] and [`crate::suites()`].
    pub more: Vec<PathBuf>,
    /// Whether the call of [`crate::build()`] had to do anything.
    pub rebuilt: bool,
}

impl Image {
    /// The image below this target folder, built or not: see [`Image::has`].
    pub fn below(target: &Path) -> Self {
        Self {
            dir: target.join("guest"),
            more: Vec::new(),
            rebuilt: false,
        }
    }

    /// The kernel: an ELF `vmlinux` that is booted through its PVH entry.
    pub fn vmlinux(&self, kernel: Kernel) -> PathBuf {
        self.dir.join(kernel.name()).join("vmlinuz")
    }

    /// The initramfs that fits the kernel, an uncompressed cpio archive.
    pub fn initramfs(&self, kernel: Kernel) -> PathBuf {
        self.dir.join(kernel.name()).join("initramfs.img")
    }

    /// The archives that the guest's files are in, the initramfs first.
    fn archives(&self, kernel: Kernel) -> Vec<PathBuf> {
        let mut archives = vec![self.initramfs(kernel)];
        archives.extend_from_slice(&self.more);
        archives
    }

    /// Writes an initramfs with all of them and this one behind to `target`.
    pub(crate) fn assemble(&self, kernel: Kernel, last: &[u8], target: &Path) -> Result<()> {
        let context = || format!("cannot write {}", target.display());
        let mut file = File::create(target).with_context(context)?;
        for archive in self.archives(kernel) {
            let copied = File::open(&archive).and_then(|mut from| io::copy(&mut from, &mut file));
            copied.with_context(|| {
                format!("cannot copy {} to {}", archive.display(), target.display())
            })?;
        }
        file.write_all(last).with_context(context)
    }

    /// Bytes of all files in the guest.
    ///
    /// # Errors
    /// A file that is not there.
    pub fn size(&self, kernel: Kernel) -> io::Result<u64> {
        let sizes = self.archives(kernel).into_iter();
        sizes.map(|path| Ok(path.metadata()?.len())).sum()
    }

    /// What tells this image from others: the first half of the SHA-256 of the kernel and its initramfs, in hex.
    /// Runs in virtual time can only be the same on images of the same digest.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn digest(&self, kernel: Kernel) -> io::Result<String> {
        let mut hash = Sha256::new();
        let archives = self.archives(kernel);
        for path in [self.vmlinux(kernel)].iter().chain(&archives) {
            io::copy(&mut File::open(path)?, &mut hash)?;
        }
        let bytes = hash.finalize();
        Ok(bytes
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    /// Whether this kernel and its initramfs are there.
    pub fn has(&self, kernel: Kernel) -> bool {
        self.vmlinux(kernel).is_file() && self.initramfs(kernel).is_file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_both_files() {
        let target = tempfile::tempdir().unwrap();
        let image = Image::below(target.path());
        let kernel = Kernel::V6_1;
        assert!(image.digest(kernel).is_err());
        std::fs::create_dir_all(image.vmlinux(kernel).parent().unwrap()).unwrap();
        let mut digests = Vec::new();
        for (vmlinux, initramfs) in [("a", "b"), ("x", "b"), ("x", "y")] {
            std::fs::write(image.vmlinux(kernel), vmlinux).unwrap();
            std::fs::write(image.initramfs(kernel), initramfs).unwrap();
            digests.push(image.digest(kernel).unwrap());
        }
        // The SHA-256 of "ab" starts so.
        assert_eq!(digests[0], "fb8e20fc2e4c3f248c60c39bd652f3c1");
        digests.dedup();
        assert_eq!(digests.len(), 3);
    }

    #[test]
    fn kernels_are_found_by_their_names() {
        for kernel in Kernel::ALL {
            assert_eq!(kernel.name().parse(), Ok(kernel));
        }
        assert!("6.13"
            .parse::<Kernel>()
            .unwrap_err()
            .contains("6.1, 6.12 or backports"));
    }
}
