// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes cpio archives in the "newc" form the kernel unpacks at boot (Linux: early-userspace/buffer-format.rst).
//!
//! Archives may follow each other in one initramfs; each is padded so that the next starts aligned. Owners are root
//! and times zero, so that the same content gives the same bytes.

use std::collections::BTreeSet;
use std::io::{self, Write};

/// Archives start, and members' data is padded, at multiples of this. The format asks for 4; QEMU and the page
/// cache like more for whole archives.
const ARCHIVE_ALIGN: u64 = 512;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// An archive being written.
#[derive(Debug)]
pub(crate) struct Archive<W> {
    out: W,
    written: u64,
    members: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            members: 0,
            directories: BTreeSet::new(),
        }
    }

    /// Adds a regular file. `path` is absolute; folders above it that are missing are added.
    pub(crate) fn file(&mut self, path: &str, permissions: u32, data: &[u8]) -> io::Result<()> {
        self.parents(path)?;
        self.member(path, REGULAR | permissions, (0, 0), data)
    }

    /// Adds a symbolic link at `path` that says `target`.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parents(path)?;
        self.member(path, SYMLINK | 0o777, (0, 0), target.as_bytes())
    }

    /// Adds a folder, and those above it.
    pub(crate) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.parents(path)?;
        let name = path.trim_matches('/');
        if !name.is_empty() && self.directories.insert(name.to_owned()) {
            self.member(path, DIRECTORY | 0o755, (0, 0), &[])?;
        }
        Ok(())
    }

    /// Adds a character device.
    pub(crate) fn device(
        &mut self,
        path: &str,
        permissions: u32,
        id: (u32, u32),
    ) -> io::Result<()> {
        self.parents(path)?;
        self.member(path, CHARACTER | permissions, id, &[])
    }

    /// Ends the archive and gives its output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.member("TRAILER!!!", 0, (0, 0), &[])?;
        self.pad(ARCHIVE_ALIGN)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        let name = path.trim_matches('/').to_owned();
        for (end, _) in name.match_indices('/') {
            let parent = name.get(..end).unwrap_or_default();
            if self.directories.insert(parent.to_owned()) {
                self.member(parent, DIRECTORY | 0o755, (0, 0), &[])?;
            }
        }
        Ok(())
    }

    fn member(&mut self, path: &str, mode: u32, id: (u32, u32), data: &[u8]) -> io::Result<()> {
        let name = path.trim_start_matches('/');
        let size = u32::try_from(data.len())
            .map_err(|_| io::Error::other(format!("{path} is too large for cpio (4 GiB)")))?;
        self.members += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        write!(self.out, "070701{:08x}{mode:08x}", self.members)?;
        write!(self.out, "{:08x}{:08x}{links:08x}{:08x}{size:08x}", 0, 0, 0)?;
        write!(self.out, "{:08x}{:08x}{:08x}{:08x}", 0, 0, id.0, id.1)?;
        write!(self.out, "{:08x}{:08x}{name}\0", name.len() + 1, 0)?;
        self.written += 110 + name.len() as u64 + 1;
        self.pad(4)?;
        self.out.write_all(data)?;
        self.written += u64::from(size);
        self.pad(4)
    }

    fn pad(&mut self, align: u64) -> io::Result<()> {
        while self.written % align != 0 {
            self.out.write_all(&[0])?;
            self.written += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive
            .file("/usr/bin/tool", 0o755, b"#!/bin/sh\n")
            .unwrap();
        archive.file("/usr/bin/odd", 0o644, &[0xff; 5]).unwrap();
        archive.symlink("/bin", "usr/bin").unwrap();
        archive.directory("/proc").unwrap();
        archive.directory("/proc").unwrap();
        archive.device("/dev/console", 0o600, (5, 1)).unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn archives_are_aligned_and_repeatable() {
        assert_eq!(sample().len() % 512, 0);
        assert_eq!(sample(), sample());
    }

    #[test]
    fn the_header_has_its_thirteen_fields() {
        let bytes = sample();
        let header = std::str::from_utf8(&bytes[..110]).unwrap();
        assert!(header.starts_with("070701"));
        assert!(header[6..].bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(&header[14..22], "000041ed", "usr is a folder of 755");
        assert_eq!(
            &header[94..102],
            "00000004",
            "the length of \"usr\" and its zero"
        );
        assert_eq!(&bytes[110..114], b"usr\0");
    }

    /// The reader that counts is the kernel's; GNU cpio, where there is one, is the nearest to it.
    #[test]
    fn cpio_lists_what_was_written() {
        let Ok(mut child) = Command::new("cpio")
            .args(["-it", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            return;
        };
        child.stdin.take().unwrap().write_all(&sample()).unwrap();
        let listed = child.wait_with_output().unwrap();
        assert!(listed.status.success());
        assert_eq!(
            String::from_utf8(listed.stdout).unwrap(),
            "usr\nusr/bin\nusr/bin/tool\nusr/bin/odd\nbin\nproc\ndev\ndev/console\n"
        );
    }
}
