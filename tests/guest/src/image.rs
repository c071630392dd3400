// SPDX-License-Identifier: GPL-2.0-or-later
//! The built image: which kernels there are and where their files lie.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A guest kernel, Debian's generic one of a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// 6.1, of Debian 12 (bookworm).
    V6_1,
    /// 6.12, of Debian 13 (trixie).
    #[default]
    V6_12,
}

impl Kernel {
    /// Every kernel that is built.
    pub const ALL: [Kernel; 2] = [Kernel::V6_1, Kernel::V6_12];

    /// The name a user types and the folder below `target/guest`.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::V6_1 => "6.1",
            Kernel::V6_12 => "6.12",
        }
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Kernel::ALL.into_iter().find(|kernel| kernel.name() == text);
        found.ok_or_else(|| format!("unknown kernel {text:?}: choose 6.1 or 6.12"))
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
}

/// A built image.
#[derive(Clone, Debug)]
pub struct Image {
    dir: PathBuf,
    /// Whether the call of [`crate::build`] had to do anything.
    pub rebuilt: bool,
}

impl Image {
    /// The image below this target folder, built or not: see [`Image::is_complete`].
    pub fn below(target: &Path) -> Self {
        Self {
            dir: target.join("guest"),
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

    /// Whether all files of all kernels are there.
    pub fn is_complete(&self) -> bool {
        Kernel::ALL
            .iter()
            .all(|&kernel| self.vmlinux(kernel).is_file() && self.initramfs(kernel).is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_by_their_names() {
        for kernel in Kernel::ALL {
            assert_eq!(kernel.name().parse(), Ok(kernel));
        }
        assert!("6.13"
            .parse::<Kernel>()
            .unwrap_err()
            .contains("6.1 or 6.12"));
    }
}
