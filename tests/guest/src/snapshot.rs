// SPDX-License-Identifier: GPL-2.0-or-later
//! Guests that have booted, in files: a machine is restored from one instead of booting.
//!
//! ```text
//!   first time   boot with wait.sh as the job ─ it waits ─ stop, migrate to FOLDER/KEY
//!   every time   -incoming FOLDER/KEY, the job into the port that results come from ─ cont
//! ```
//! KEY is of all that the machine is made from. Its clock stands still in the file, so a run in virtual time would not leave
//! the bytes of one that boots.

use crate::running::{spawn, Running};
use crate::{Job, Machine, Timing};
use anyhow::{ensure, Context, Result};
use flate2::{write::GzEncoder, Compression};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const WAIT: &str = include_str!("wait.sh");

/// What may be lost in front of the job: bytes that the port had room for before the machine was there.
const LEAD: usize = 256;

/// The port is slow: with more than this it takes longer than to boot.
pub(crate) const LONGEST_JOB: usize = 256 << 10;

/// Files that are kept, of some 150 MB each.
const KEPT: usize = 4;

/// How long a guest may take to boot.
const BOOT_LIMIT: Duration = Duration::from_secs(600);

/// The file that this machine is restored from; it boots now if there is none.
pub(crate) fn of(machine: &Machine, folder: &Path) -> Result<PathBuf> {
    ensure!(
        machine.timing == Timing::Real,
        "in virtual time a guest that is restored would not leave the bytes of one that boots"
    );
    let path = folder.join(key(machine)?);
    if path.exists() {
        // For `prune`.
        let now = fs::File::options().append(true).open(&path);
        let _ = now.and_then(|file| file.set_modified(SystemTime::now()));
        return Ok(path);
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let draft = path.with_extension(std::process::id().to_string());
    let saved = save(machine, &draft);
    let done = saved.and_then(|()| Ok(fs::rename(&draft, &path)?));
    if done.is_err() {
        let _ = fs::remove_file(&draft);
    }
    done.context("saving a guest that has booted")?;
    prune(folder, &path);
    Ok(path)
}

fn save(machine: &Machine, to: &Path) -> Result<()> {
    let boots = Machine {
        snapshots: None,
        extra_args: Vec::new(),
        ..machine.clone()
    };
    let mut running = Running::start(&boots, &Job::new(WAIT))?;
    running.until("WAITS", BOOT_LIMIT)?;
    running.qmp().execute("stop", json!({}))?;
    running.leave(&format!("file:{}", to.display()))?;
    running.quit()
}

/// What tells machines apart whose guests, having booted, are not the same.
fn key(machine: &Machine) -> Result<String> {
    let qemu = fs::metadata(&machine.qemu)?;
    let parts = format!(
        "{WAIT}{:?}",
        (
            (&machine.qemu, qemu.len(), qemu.modified()?),
            machine.image.digest(machine.kernel)?,
            (machine.kernel, machine.smp, machine.memory_mib),
            (machine.accel, &machine.devices, &machine.extra_cmdline),
        )
    );
    Ok(hex(&Sha256::digest(parts.as_bytes()))[..32].to_owned())
}

/// Removes those that were used longest ago.
fn prune(folder: &Path, newest: &Path) {
    let Ok(files) = fs::read_dir(folder) else {
        return;
    };
    let age = |path: &PathBuf| path.metadata().and_then(|m| m.modified()).ok();
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.retain(|path| path != newest && path.extension().is_none());
    files.sort_by_key(age);
    for old in files.iter().rev().skip(KEPT - 1) {
        let _ = fs::remove_file(old);
    }
}

/// The job as it goes into the port: what it is known by, when it is, and lines of hex digits.
pub(crate) fn letter(archive: &[u8]) -> Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(archive)?;
    let packed = packed.finish()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut letter = "\n".repeat(LEAD);
    writeln!(
        letter,
        "JOB {} {}",
        hex(&Sha256::digest(&packed)),
        now.as_secs()
    )?;
    for line in packed.chunks(64) {
        writeln!(letter, "{}", hex(line))?;
    }
    letter.push_str("END\n");
    Ok(letter.into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Running {
    /// Starts QEMU with a guest that has booted, and gives it a job.
    pub(crate) fn restore(
        machine: &Machine,
        job: &Job,
        archive: &[u8],
        from: &Path,
    ) -> Result<Self> {
        let folder = Self::folder()?;
        let base = machine.image.initramfs(machine.kernel);
        std::os::unix::fs::symlink(base, folder.path().join("initramfs.img"))?;
        fs::write(folder.path().join("job"), letter(archive)?)?;
        let incoming = format!("file:{}", from.display());
        let started = std::time::Instant::now();
        let (child, qmp) = spawn(machine, folder.path(), &["-incoming", &incoming])?;
        let mut running = Self::of(folder, child, qmp, started, job)?;
        running.arrive()?;
        running.qmp().execute("cont", json!({}))?;
        Ok(running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_carries_any_bytes_in_plain_lines() {
        let archive: Vec<u8> = (0..4096_u32).map(|n| (n * n) as u8).collect();
        let letter = String::from_utf8(letter(&archive).unwrap()).unwrap();
        assert!(letter.starts_with(&"\n".repeat(LEAD)));
        let mut lines = letter.trim_start().lines();
        let first: Vec<_> = lines.next().unwrap().split(' ').collect();
        let mut packed = Vec::new();
        for line in lines.take_while(|line| *line != "END") {
            let digits = line.as_bytes().chunks(2);
            let bytes = digits.map(|two| std::str::from_utf8(two).unwrap());
            packed.extend(bytes.map(|two| u8::from_str_radix(two, 16).unwrap()));
        }
        assert_eq!(first[..2], ["JOB", &hex(&Sha256::digest(&packed))]);
        let mut back = Vec::new();
        let mut unpacked = flate2::read::GzDecoder::new(packed.as_slice());
        std::io::Read::read_to_end(&mut unpacked, &mut back).unwrap();
        assert!(back == archive);
    }

    #[test]
    fn the_oldest_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = |n: u64| folder.path().join(n.to_string());
        for n in 0..7 {
            let file = fs::File::create(path(n)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(n))
                .unwrap();
        }
        prune(folder.path(), &path(0));
        let left: Vec<_> = (0..7).filter(|n| path(*n).exists()).collect();
        assert_eq!(left, [0, 4, 5, 6]);
    }
}
