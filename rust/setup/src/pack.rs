// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone pack`: what was set up, as one archive that runs where nothing is installed.
//!
//! ```text
//! conzone/conzone                           this program
//! conzone/pack.json                         what is in it; tells a pack from a repository
//! conzone/target/qemu/qemu-system-x86_64    a script that starts bin/... with lib/
//! conzone/target/{guest,qemu/firmware}      as in the repository
//! conzone/tests/{golden,hardware}           what `validate` compares with
//! ```
//! Everything lies where [`crate::Paths`] has it, so a pack is a repository that has been set up and lost its sources. The C
//! library is the machine's: a pack made on one Debian runs on that and on later ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::Context as _;
use flate2::{write::GzEncoder, Compression};
use goblin::elf::Elf;
use guest::Kernel;
use lab::failure::Prerequisite;
use lab::out::say;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::paths::PACK;
use crate::stamp::sorted_entries;
use crate::{ensure, qemu_version, Context};

/// The folder that the archive unpacks to.
const FOLDER: &str = "conzone";

/// Libraries that belong to the C library, which a program must not bring along: they fit the machine's loader only.
const C_LIBRARY: [&str; 8] = [
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
];

const README: &str = include_str!("pack.txt");

/// `cargo conzone pack`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On the other machine:  tar xzf conzone-*.tar.gz && conzone/conzone run

Examples:
  cargo conzone pack
  cargo conzone pack --out /tmp/conzone.tar.gz")]
pub struct Args {
    /// The archive [default: target/conzone-VERSION-x86_64.tar.gz]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Sets up what is missing and writes the archive.
///
/// # Errors
/// Those of [`ensure`]; an archive that cannot be written, `strip` or `ldd` that are missing.
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    let out = args.out.clone().unwrap_or_else(|| {
        let name = format!("conzone-{version}-x86_64.tar.gz");
        context.paths.target().join(name)
    });
    let named = || out.display().to_string();
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let draft = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .with_context(named)?;
    let image = ensure(context)?;
    let bar = context.progress.spinner("packing");
    let glibc = Packer::new(context, draft.as_file())?.pack(&image)?;
    bar.finish_and_clear();
    draft.persist(&out).with_context(named)?;
    let size = fs::metadata(&out).with_context(named)?.len();
    say!("{}: {} MB", out.display(), size / 1_000_000)?;
    say!("It needs x86-64 Linux with glibc {glibc} or later: Debian 12 has 2.36, Debian 13 2.41.")?;
    Ok(ExitCode::SUCCESS)
}

/// An archive that is being written.
struct Packer<'a> {
    context: &'a Context,
    archive: tar::Builder<GzEncoder<BufWriter<&'a File>>>,
    work: tempfile::TempDir,
    /// The newest glibc that a packed program asks for, as "2.34".
    glibc: Vec<u32>,
}

impl<'a> Packer<'a> {
    fn new(context: &'a Context, file: &'a File) -> anyhow::Result<Self> {
        let packed = GzEncoder::new(BufWriter::new(file), Compression::default());
        let mut archive = tar::Builder::new(packed);
        archive.follow_symlinks(false);
        Ok(Self {
            context,
            archive,
            work: tempfile::tempdir().context("making a temporary directory")?,
            glibc: Vec::new(),
        })
    }

    /// Writes all of it; gives the glibc that it needs.
    fn pack(mut self, image: &guest::Image) -> anyhow::Result<String> {
        let paths = &self.context.paths;
        let program = std::env::current_exe().context("finding this program")?;
        self.program(&program, "conzone")?;

        let qemu = paths.qemu().canonicalize().context("finding QEMU")?;
        let digest = self.program(&qemu, "target/qemu/bin/qemu-system-x86_64")?;
        for (name, library) in libraries(&qemu)? {
            self.program(&library, &format!("target/qemu/lib/{name}"))?;
        }
        let built = fs::metadata(&qemu)?.modified()?;
        let starter = starter(&digest);
        self.text("target/qemu/qemu-system-x86_64", 0o755, built, &starter)?;
        self.tree("target/qemu/firmware")?;
        self.tree("target/qemu-src/VERSION")?;

        self.tree("target/guest/stamp")?;
        let mut guests = BTreeMap::new();
        for kernel in Kernel::RELEASED {
            for file in [image.vmlinux(kernel), image.initramfs(kernel)] {
                let name = file.strip_prefix(paths.root())?;
                self.tree(name)?;
            }
            guests.insert(kernel.name(), image.digest(kernel)?);
        }
        for link in ["vmlinuz", "initramfs.img"] {
            self.tree(Path::new("target/guest").join(link))?;
        }
        for tree in ["LICENSE", "tests/golden", "tests/hardware"] {
            self.tree(tree)?;
        }

        let glibc: Vec<String> = self.glibc.iter().map(u32::to_string).collect();
        let glibc = glibc.join(".");
        let contents = json!({
            "conzone": env!("CARGO_PKG_VERSION"),
            "qemu": qemu_version(self.context)?,
            "glibc": glibc,
            "guest_images": guests,
        });
        self.text(PACK, 0o644, built, &format!("{contents:#}\n"))?;
        self.text("README", 0o644, built, README)?;
        self.archive.into_inner()?.finish()?.flush()?;
        Ok(glibc)
    }

    /// A program or library without its symbols; gives its digest.
    fn program(&mut self, path: &Path, name: &str) -> anyhow::Result<String> {
        let stripped = self.work.path().join("stripped");
        let mut strip = Command::new("strip");
        strip.arg("--strip-all").arg("-o").arg(&stripped).arg(path);
        let done = strip
            .output()
            .map_err(|error| Prerequisite(format!("strip: {error} (package binutils)")))?;
        anyhow::ensure!(
            done.status.success(),
            "strip {}: {}",
            path.display(),
            String::from_utf8_lossy(&done.stderr).trim()
        );
        let bytes = fs::read(&stripped)?;
        let needs = glibc_of(&bytes).with_context(|| path.display().to_string())?;
        self.glibc = needs.max(std::mem::take(&mut self.glibc));
        self.file(name, 0o755, fs::metadata(path)?.modified()?, &bytes)?;
        Ok(Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    fn text(&mut self, name: &str, mode: u32, time: SystemTime, text: &str) -> anyhow::Result<()> {
        self.file(name, mode, time, text.as_bytes())
    }

    fn file(
        &mut self,
        name: &str,
        mode: u32,
        time: SystemTime,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let mut header = header(mode, time)?;
        header.set_size(bytes.len() as u64);
        let name = Path::new(FOLDER).join(name);
        self.archive.append_data(&mut header, name, bytes)?;
        Ok(())
    }

    /// What lies at this place in the repository, and all below it.
    fn tree(&mut self, name: impl AsRef<Path>) -> anyhow::Result<()> {
        let name = name.as_ref();
        let path = self.context.paths.root().join(name);
        let named = || path.display().to_string();
        let about = fs::symlink_metadata(&path).with_context(named)?;
        if about.is_dir() {
            for entry in sorted_entries(&path)? {
                self.tree(name.join(entry.file_name().unwrap_or_default()))?;
            }
            return Ok(());
        }
        let mut header = header(0o644, about.modified()?)?;
        let name = Path::new(FOLDER).join(name);
        let added = if about.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            self.archive
                .append_link(&mut header, name, fs::read_link(&path)?)
        } else {
            header.set_size(about.len());
            let file = File::open(&path).with_context(named)?;
            self.archive.append_data(&mut header, name, file)
        };
        added.with_context(named)
    }
}

/// An entry that belongs to nobody in particular.
fn header(mode: u32, time: SystemTime) -> anyhow::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    let since = time.duration_since(SystemTime::UNIX_EPOCH)?;
    header.set_mtime(since.as_secs());
    Ok(header)
}

/// What stands where QEMU does in a repository. The digest is there for those who ask whether it is the same QEMU.
fn starter(digest: &str) -> String {
    format!(
        r#"#!/bin/sh
# QEMU with the libraries that were packed with it. SHA-256 of it:
# {digest}
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
exec "$here/bin/qemu-system-x86_64" "$@"
"#
    )
}

/// The shared libraries that a program is loaded with, but for the C library: names and files.
fn libraries(program: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let ran = Command::new("ldd").arg(program).output();
    let listed = ran.map_err(|error| Prerequisite(format!("ldd: {error} (package libc-bin)")))?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    anyhow::ensure!(listed.status.success(), "ldd {}: {text}", program.display());
    parse_ldd(&text)
}

fn parse_ldd(text: &str) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        // "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x...)"; the loader and the kernel's have no arrow.
        let Some((name, file)) = line.trim().split_once(" => ") else {
            continue;
        };
        let file = file.rsplit_once(" (").map_or(file, |(file, _)| file);
        anyhow::ensure!(file.starts_with('/'), "{name}: {file}");
        if !C_LIBRARY.contains(&name) {
            found.insert(name.to_owned(), file.into());
        }
    }
    Ok(found)
}

/// The newest version of glibc that a program or library names, as numbers.
fn glibc_of(bytes: &[u8]) -> anyhow::Result<Vec<u32>> {
    let elf = Elf::parse(bytes).context("not an ELF file")?;
    let mut newest = Vec::new();
    for file in elf.verneed.iter().flat_map(|needs| needs.iter()) {
        let names = file
            .iter()
            .filter_map(|version| elf.dynstrtab.get_at(version.vna_name));
        let glibc = names.filter_map(|name| name.strip_prefix("GLIBC_"));
        let numbers = glibc.filter_map(|text| text.split('.').map(|n| n.parse().ok()).collect());
        newest = numbers.fold(newest, std::cmp::max);
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_but_the_c_library_go_along() {
        let text = "\tlinux-vdso.so.1 (0x00007f93)\n\
            \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f93)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f93)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f93)\n";
        let found: Vec<_> = parse_ldd(text).unwrap().into_iter().collect();
        let zlib = PathBuf::from("/lib/x86_64-linux-gnu/libz.so.1");
        assert_eq!(found, [("libz.so.1".to_owned(), zlib)]);
        let missing = parse_ldd("\tlibz.so.1 => not found\n").unwrap_err();
        assert_eq!(missing.to_string(), "libz.so.1: not found");
    }

    #[test]
    fn the_newest_glibc_counts_by_number() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(glibc_of(&own).unwrap() >= vec![2, 28], "not 2.3.4");
        assert!(glibc_of(b"#!/bin/sh").is_err());
    }
}
