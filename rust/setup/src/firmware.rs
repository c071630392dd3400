// SPDX-License-Identifier: GPL-2.0-or-later
//! Firmware for the emulator: SeaBIOS, boot and network ROMs, which Debian's QEMU source leaves out.
//!
//! It is unpacked below `target/`, not installed, and always from one release: the same guest boots the same
//! way on every host.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use debian::{Apt, Suite};

use crate::paths::Paths;
use crate::source::remove_dir;
use crate::stamp::{sorted_entries, Inputs, Key};

const SUITE: Suite = Suite::Trixie;

/// The packages, and where each has its files.
const PACKAGES: [(&str, &str); 3] = [
    ("seabios", "usr/share/seabios"),
    ("qemu-system-data", "usr/share/qemu"),
    ("ipxe-qemu", "usr/share/qemu"),
];

/// What the firmware is made from. The version is Debian's current one at the time it is first fetched.
pub fn key() -> Key {
    let names = PACKAGES
        .iter()
        .fold(Inputs::default().text("firmware 1"), |i, (name, dir)| {
            i.text(name).text(dir)
        });
    names.text(SUITE.name()).key()
}

/// Fetches the packages and puts their files into one directory.
///
/// # Errors
/// A mirror that cannot be reached, a full disk.
pub fn make(paths: &Paths) -> anyhow::Result<()> {
    let state = paths.target().join("apt").join(SUITE.name());
    let apt = Apt::new(&state, SUITE)?;
    let names = PACKAGES.map(|(name, _)| name);
    let debs = apt
        .download(&names, &state.join("debs"))
        .context("fetching firmware")?;
    let new = paths.target().join("qemu/firmware.new");
    let unpacked = paths.target().join("qemu/firmware.deb");
    remove_dir(&new)?;
    fs::create_dir_all(&new).with_context(|| new.display().to_string())?;
    for (deb, (_, dir)) in debs.iter().zip(PACKAGES) {
        remove_dir(&unpacked)?;
        debian::unpack(deb, &unpacked)?;
        move_entries(&unpacked.join(dir), &new)?;
    }
    remove_dir(&unpacked)?;
    remove_dir(&paths.firmware())?;
    fs::rename(&new, paths.firmware()).context("moving the firmware to its place")
}

fn move_entries(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in sorted_entries(from)? {
        // A link in one package may name a file of the other that is here already.
        let target = to.join(entry.file_name().unwrap_or_default());
        if !target.exists() && !entry.is_symlink() {
            fs::rename(&entry, &target).with_context(|| target.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_gathered_and_links_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("keymaps")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("bios.bin"), "new").unwrap();
        fs::write(from.join("pvh.bin"), "pvh").unwrap();
        fs::write(to.join("bios.bin"), "first").unwrap();
        std::os::unix::fs::symlink("../seabios/x.bin", from.join("x.bin")).unwrap();
        move_entries(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("bios.bin")).unwrap(), "first");
        assert!(to.join("keymaps").is_dir() && to.join("pvh.bin").exists());
        assert!(!to.join("x.bin").is_symlink());
    }
}
