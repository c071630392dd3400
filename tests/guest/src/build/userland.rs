// SPDX-License-Identifier: GPL-2.0-or-later
//! The programs in the guest and the libraries they need.
//!
//! Packages are named one by one and unpacked without their dependencies; then each program listed here is followed
//! through DT_NEEDED, and only what that reaches goes into the image. A library that no package brings is an error
//! that names it. Everything else a shell script wants is a busybox applet.

use super::{elf, tools};
use crate::cpio::Archive;
use crate::Kernel;
use anyhow::{ensure, Context, Result};
use debian::Suite;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian packages: first the programs', then the libraries'.
const PACKAGES: [&str; 44] = [
    "busybox-static",
    "bash",
    "coreutils",
    "util-linux",
    "mount",
    "grep",
    "sed",
    "jq",
    "nvme-cli",
    "f2fs-tools",
    "zonefs-tools",
    "btrfs-progs",
    "e2fsprogs",
    "sqlite3",
    "dmsetup",
    "libext2fs2t64",
    "libc6",
    "libtinfo6",
    "libselinux1",
    "libpcre2-8-0",
    "libacl1",
    "libattr1",
    "libjq1",
    "libonig5",
    "libnvme1t64",
    "libjson-c5",
    "libssl3t64",
    "libkeyutils1",
    "libdbus-1-3",
    "libsystemd0",
    "libcap2",
    "libuuid1",
    "libblkid1",
    "libmount1",
    "libsmartcols1",
    "libudev1",
    "zlib1g",
    "liblzo2-2",
    "libzstd1",
    "libgcc-s1",
    "libcom-err2",
    "libsqlite3-0",
    "libdevmapper1.02.1",
    "libreadline8t64",
];

/// Programs, where their packages put them.
pub(super) const PROGRAMS: [&str; 40] = [
    "/usr/bin/busybox",
    "/usr/bin/bash",
    "/usr/bin/cat",
    "/usr/bin/cp",
    "/usr/bin/date",
    "/usr/bin/dd",
    "/usr/bin/head",
    "/usr/bin/od",
    "/usr/bin/sleep",
    "/usr/bin/sort",
    "/usr/bin/stat",
    "/usr/bin/sync",
    "/usr/bin/tail",
    "/usr/bin/timeout",
    "/usr/bin/truncate",
    "/usr/bin/fallocate",
    "/usr/bin/lsblk",
    "/usr/bin/dmesg",
    "/usr/bin/taskset",
    "/usr/bin/mount",
    "/usr/bin/umount",
    "/usr/bin/grep",
    "/usr/bin/sed",
    "/usr/bin/jq",
    "/usr/bin/sqlite3",
    "/usr/bin/btrfs",
    "/usr/sbin/mkfs.btrfs",
    "/usr/sbin/blkdiscard",
    "/usr/sbin/blkzone",
    "/usr/sbin/blockdev",
    "/usr/sbin/losetup",
    "/usr/sbin/nvme",
    "/usr/sbin/mkfs.f2fs",
    "/usr/sbin/fsck.f2fs",
    "/usr/sbin/dump.f2fs",
    "/usr/sbin/f2fs_io",
    "/usr/sbin/dmsetup",
    "/usr/sbin/mkzonefs",
    "/usr/sbin/mke2fs",
    "/usr/sbin/e2fsck",
];

/// XFS's tools, for kernels whose XFS has zones: no released Debian has tools as new, and unstable's run with its libraries.
const XFS: [(Suite, &[&str]); 2] = [
    (Suite::Sid, &["xfsprogs"]),
    (
        Suite::Trixie,
        &["liburcu8t64", "libinih1", "libedit2", "libbsd0", "libmd0"],
    ),
];

/// Their programs.
const XFS_PROGRAMS: [&str; 5] = [
    "/usr/sbin/mkfs.xfs",
    "/usr/sbin/xfs_repair",
    "/usr/sbin/xfs_db",
    "/usr/sbin/xfs_growfs",
    "/usr/sbin/xfs_io",
];

/// The packages of an image with these kernels, and where they are from.
pub(super) fn packages(kernels: &[Kernel]) -> Vec<(Suite, &'static [&'static str])> {
    let mut packages = vec![(Suite::Trixie, PACKAGES.as_slice())];
    if has_zoned_xfs(kernels) {
        packages.extend(XFS);
    }
    packages
}

/// The programs of such an image.
pub(super) fn programs(kernels: &[Kernel]) -> Vec<&'static str> {
    let mut programs = PROGRAMS.to_vec();
    if has_zoned_xfs(kernels) {
        programs.extend(XFS_PROGRAMS);
    }
    programs
}

/// XFS has zones since Linux 6.15.
fn has_zoned_xfs(kernels: &[Kernel]) -> bool {
    kernels.contains(&Kernel::Backports)
}

/// Other names of programs.
const LINKS: [(&str, &str); 9] = [
    ("/bin", "usr/bin"),
    ("/sbin", "usr/sbin"),
    ("/lib", "usr/lib"),
    ("/lib64", "usr/lib64"),
    // Programs name their loader by this path.
    (
        "/usr/lib64/ld-linux-x86-64.so.2",
        "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ),
    ("/usr/sbin/mkfs.zonefs", "mkzonefs"),
    ("/usr/sbin/mkfs.ext4", "mke2fs"),
    ("/usr/sbin/modprobe", "../bin/busybox"),
    ("/etc/mtab", "../proc/mounts"),
];

/// Where the packages put libraries.
pub(super) const LIBRARIES: [&str; 3] = ["usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib"];

const BUSYBOX: &str = "usr/bin/busybox";

/// What one path of the guest is.
#[derive(Debug)]
enum Entry {
    /// A copy of this file of the host.
    File(PathBuf),
    /// A link that says this.
    Link(String),
}

/// The files of the userland by their paths in the guest.
#[derive(Debug, Default)]
pub(super) struct Userland {
    entries: BTreeMap<String, Entry>,
}

impl Userland {
    /// Chooses the files from the unpacked packages below `root`: these programs and what they need.
    pub(super) fn collect(root: &Path, programs: &[&str]) -> Result<Self> {
        let mut userland = Self::default();
        for (path, target) in LINKS {
            userland.add_link(path, target);
        }
        let mut open = Vec::new();
        for &program in programs {
            let file = root.join(program.trim_start_matches('/'));
            ensure!(file.is_file(), "no package brings {program}");
            userland.add_file(program, &file);
            open.push(file);
        }
        userland.add_libraries(open, |library, file| {
            let found = find_library(root, library);
            let missing = || {
                format!(
                    "no package brings {library}, which {} needs",
                    file.display()
                )
            };
            found.with_context(missing).map(Some)
        })?;
        userland.add_applets(root)?;
        Ok(userland)
    }

    /// Adds a file of the host.
    pub(super) fn add_file(&mut self, path: &str, source: &Path) {
        self.entries
            .insert(path.to_owned(), Entry::File(source.to_owned()));
    }

    /// Adds a link that says `target`.
    pub(super) fn add_link(&mut self, path: &str, target: &str) {
        self.entries
            .insert(path.to_owned(), Entry::Link(target.to_owned()));
    }

    /// Adds the libraries that these programs name (DT_NEEDED), and those that they name in turn, as far as they are found:
    /// by the library's name, and its user.
    pub(super) fn add_libraries(
        &mut self,
        mut open: Vec<PathBuf>,
        find: impl Fn(&str, &Path) -> Result<Option<(String, PathBuf)>>,
    ) -> Result<()> {
        while let Some(file) = open.pop() {
            let data =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            for library in elf::needed(&data, &file)? {
                let found = find(&library, &file)?;
                if let Some((path, source)) =
                    found.filter(|(path, _)| !self.entries.contains_key(path))
                {
                    self.add_file(&path, &source);
                    open.push(source);
                }
            }
        }
        Ok(())
    }

    /// Adds busybox's applets under the names that no real program has.
    fn add_applets(&mut self, root: &Path) -> Result<()> {
        let list = tools::output(Command::new(root.join(BUSYBOX)).arg("--list"))?;
        for applet in list.lines().filter(|name| !name.is_empty()) {
            let taken = ["/usr/bin", "/usr/sbin"]
                .iter()
                .any(|folder| self.entries.contains_key(&format!("{folder}/{applet}")));
            if !taken {
                self.add_link(&format!("/usr/bin/{applet}"), "busybox");
            }
        }
        Ok(())
    }

    /// Writes an archive of everything.
    pub(super) fn write_archive(&self, file: &Path) -> Result<()> {
        let mut archive = Archive::new(BufWriter::new(File::create(file)?));
        self.write(&mut archive)?;
        archive.finish()?;
        Ok(())
    }

    /// Adds everything to the archive.
    pub(super) fn write<W: Write>(&self, archive: &mut Archive<W>) -> Result<()> {
        for (path, entry) in &self.entries {
            match entry {
                Entry::Link(target) => archive.symlink(path, target)?,
                Entry::File(source) => {
                    let context = || format!("cannot read {}", source.display());
                    let mode = fs::metadata(source).with_context(context)?.mode();
                    let data = fs::read(source).with_context(context)?;
                    // What we built has permissions by the builder's umask: only whether it runs counts.
                    let permissions = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
                    archive.file(path, permissions, &data)?;
                }
            }
        }
        Ok(())
    }
}

/// A library's path in the guest, as the loader looks for it, and its file.
pub(super) fn find_library(root: &Path, name: &str) -> Option<(String, PathBuf)> {
    LIBRARIES.iter().find_map(|folder| {
        let file = root.join(folder).join(name);
        file.is_file().then(|| (format!("/{folder}/{name}"), file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_or_library_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = Userland::collect(root.path(), &PROGRAMS)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "no package brings /usr/bin/busybox");
        let program = root.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        for path in PROGRAMS {
            let file = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::hard_link(&program, file).unwrap();
        }
        let error = Userland::collect(root.path(), &PROGRAMS)
            .unwrap_err()
            .to_string();
        assert!(error.contains("which") && error.contains(".so"), "{error}");
    }

    #[test]
    fn lists_have_no_doubles() {
        for list in [&PACKAGES[..], &PROGRAMS[..]] {
            let mut sorted = list.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), list.len());
        }
    }
}
