// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone image`: files that drives live in.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::image::{AfterKill, Bytes, End, Image, Opened};
use anyhow::{Context as _, Result};
use lab::drive::{Aged, Drive};
use nvme::Drive as _;
use rustix::fs::{fcntl_lock, FlockOperation};
use serde_json::json;
use sim::{Age, Simulation, Space};

use crate::failure::Prerequisite;
use crate::out::{self, say};

/// Bytes are copied in pieces of this, and pieces of zeroes are left out.
const PIECE: usize = 1 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A drive lives in an image with --image of run, exec and shell, or image= of the device.

Examples:
  cargo conzone image create phone.cz --preset ufs4-tlc --set zones=64
  cargo conzone image create old.cz --age fill=80,overwrite=3
  cargo conzone exec --image phone.cz -- 'mkfs.f2fs -f -m -c /dev/nvme0n2 /dev/nvme0n1'
  cargo conzone image info phone.cz
  cargo conzone image check phone.cz")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make the image of an erased drive, or of an aged one
    Create {
        /// The file; there must be none yet
        file: PathBuf,
        #[command(flatten)]
        drive: Drive,
        #[command(flatten)]
        aged: Aged,
    },
    /// Say which drive it is, and what it has been through
    Info {
        /// The image
        file: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Open the drive as QEMU would and check that its parts agree; the file stays as it is
    Check {
        /// The image
        file: PathBuf,
    },
    /// Print what the drive was asked since its last checkpoint, as a trace
    Log {
        /// The image
        file: PathBuf,
    },
    /// Write the bytes of a namespace into a file
    Dump {
        /// The image
        file: PathBuf,
        /// Which namespace, from 1 on
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        nsid: u32,
        /// The file to write
        out: PathBuf,
    },
    /// Copy an image, without what is empty in it
    Copy {
        /// The image
        file: PathBuf,
        /// The copy; there must be none yet
        to: PathBuf,
    },
}

/// Does it.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Create { file, drive, aged } => make(file, &drive.config()?, aged.age)?,
        Command::Info { file, json } => info(file, *json)?,
        Command::Check { file } => check(file)?,
        Command::Log { file } => {
            let image = open(file)?;
            for record in image.records().map_err(|error| named(file, &error))? {
                out::line(record)?;
            }
        }
        Command::Dump { file, nsid, out } => dump(file, *nsid, out)?,
        Command::Copy { file, to } => copy(file, to)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the image of a drive that nobody has used or that has been aged.
///
/// # Errors
/// There is such a file already, or it cannot be written.
pub fn make(path: &Path, config: &ssd::Config, age: Option<Age>) -> Result<()> {
    let made = match age {
        None => Image::create(path, config),
        Some(age) => {
            let wrong = |error: ssd::ConfigError| Prerequisite(error.to_string());
            let fresh = Simulation::new(config).map_err(wrong)?;
            let space = Space::of(&fresh, config).map_err(Prerequisite)?;
            Image::create_used(path, config, &mut |drive| age.apply(&space, drive))
        }
    };
    made.map_err(|error| named(path, &error))
}

/// The settings of the drive in an image, if there is one: whoever boots it.
///
/// # Errors
/// It is no image.
pub fn config(path: &Path) -> Result<Option<ssd::Config>> {
    if !path.exists() {
        return Ok(None);
    }
    let config = Image::open(path, false).and_then(|image| image.config());
    config.map(Some).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> anyhow::Error {
    Prerequisite(format!("{}: {error}", path.display())).into()
}

/// An image that nobody works on meanwhile.
fn open(path: &Path) -> Result<Image> {
    let file = File::open(path).map_err(|error| named(path, &error))?;
    let lock = fcntl_lock(&file, FlockOperation::NonBlockingLockShared);
    lock.map_err(|_| named(path, &"a machine has it open"))?;
    Image::of(file).map_err(|error| named(path, &error))
}

/// The media of an image; what is written to it is dropped.
struct Unchanged<'a>(&'a Image);

impl Bytes for Unchanged<'_> {
    fn read(&mut self, at: u64, into: &mut [u8]) {
        // What cannot be read is nobody's to see: nothing is done with these bytes.
        let _ = self
            .0
            .file()
            .read_exact_at(into, self.0.layout().media_at() + at);
    }

    fn write(&mut self, _at: u64, _from: &[u8]) {}

    fn discard(&mut self, _bytes: Range<u64>) {}
}

fn load(path: &Path, image: &Image) -> Result<Opened> {
    let config = image.config().map_err(|error| named(path, &error))?;
    let opened = image.load(&config, AfterKill::PowerCut, &mut Unchanged(image));
    opened.map_err(|error| named(path, &error))
}

fn info(path: &Path, json: bool) -> Result<()> {
    let image = open(path)?;
    let opened = load(path, &image)?;
    let drive = opened.drive.drive();
    let disk = image.file().metadata()?.blocks() * 512;
    let seconds = opened.clock.as_nanos() as f64 / 1e9;
    let settings: Vec<_> = image.layout().settings.lines().collect();
    let preset = opened.config.preset_in_effect().name;
    let cuts = drive.power_cuts();
    if json {
        let figures = json!({
            "preset": preset,
            "settings": settings,
            "clock_ns": opened.clock.as_nanos(),
            "ended_in_order": opened.end == End::InOrder,
            "host_crashed": opened.end == End::HostCrashed,
            "since_checkpoint": opened.records,
            "file_bytes": image.layout().size(),
            "disk_bytes": disk,
            "power_cuts": cuts.cuts,
            "pages_lost": cuts.lost,
        });
        return out::line(format_args!("{figures:#}"));
    }
    say!("drive         {preset}")?;
    for setting in settings
        .iter()
        .filter(|setting| !setting.starts_with("preset="))
    {
        say!("              {setting}")?;
    }
    say!("has lived     {seconds:.3} s of its clock")?;
    let records = opened.records;
    let ended = match opened.end {
        End::InOrder => "in order".to_owned(),
        End::Killed => format!("by a kill, {records} commands after its last checkpoint"),
        End::HostCrashed => format!(
            "by a crash of the host, {records} commands after its last checkpoint on its disk"
        ),
    };
    say!("last ended    {ended}")?;
    say!("power cuts    {}, {} pages lost", cuts.cuts, cuts.lost)?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    say!(
        "on disk       {:.1} MiB of {:.1}",
        mib(disk),
        mib(image.layout().size())
    )
}

fn check(path: &Path) -> Result<()> {
    let image = open(path)?;
    let opened = load(path, &image)?;
    let drive = opened.drive.drive();
    let agrees = drive.model().check_invariants();
    agrees.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    let records = opened.records;
    let ended = match opened.end {
        End::InOrder => "ended in order".to_owned(),
        End::Killed => format!(
            "a power cut after {records} commands since its checkpoint, {} pages lost",
            drive.power_cuts().lost
        ),
        End::HostCrashed => format!(
            "a crash of the host; on its disk are {records} commands since the drive's checkpoint"
        ),
    };
    say!("{}: {ended}", path.display())
}

fn dump(path: &Path, nsid: u32, to: &Path) -> Result<()> {
    let image = open(path)?;
    let opened = load(path, &image)?;
    if opened.end != End::InOrder {
        let why = "its drive was not ended in order: start it once, then dump it";
        return Err(named(path, &why));
    }
    let drive = opened.drive.drive();
    let spaces = drive.namespaces();
    let Some(space) = spaces.get(nsid as usize - 1) else {
        let why = format!(
            "the drive has {} namespaces, no namespace {nsid}",
            spaces.len()
        );
        return Err(named(path, &why));
    };
    let media = image.layout().media_at();
    let of = space.media_offset..space.media_offset + space.size.get();
    let out = create(to)?;
    let copied = out.set_len(of.end - of.start).map_err(anyhow::Error::from);
    // The rest reads as zeroes, whatever the file has there.
    let copied = copied.and_then(|()| {
        for piece in drive.written() {
            let piece = piece.start.max(of.start)..piece.end.min(of.end);
            if !piece.is_empty() {
                let bytes = media + piece.start..media + piece.end;
                copy_bytes(image.file(), bytes, (&out, piece.start - of.start))?;
            }
        }
        Ok(())
    });
    copied.with_context(|| format!("copying to {}", to.display()))
}

/// A copy of an image, without what is empty in it.
///
/// # Errors
/// There is such a file already, or it cannot be copied.
pub fn copy(path: &Path, to: &Path) -> Result<()> {
    let image = open(path)?;
    let out = create(to)?;
    out.set_len(image.layout().size())
        .map_err(anyhow::Error::from)
        .and_then(|()| copy_bytes(image.file(), 0..image.layout().size(), (&out, 0)))
        .with_context(|| format!("copying to {}", to.display()))
}

/// A file to write, where there is none yet.
fn create(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.map_err(|error| named(path, &error))
}

/// Copies what is not zero to a place in another file, which is empty there.
pub fn copy_bytes(from: &File, bytes: Range<u64>, (to, place): (&File, u64)) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = bytes.start;
    while at < bytes.end {
        // Where the file has a hole there is nothing to read.
        let Ok(data) = rustix::fs::seek(from, rustix::fs::SeekFrom::Data(at)) else {
            break;
        };
        at = at.max(data / PIECE as u64 * PIECE as u64);
        if at >= bytes.end {
            break;
        }
        let length = (bytes.end - at).min(PIECE as u64) as usize;
        let piece = piece.split_at_mut(length).0;
        from.read_exact_at(piece, at)?;
        if piece.iter().any(|byte| *byte != 0) {
            to.write_all_at(piece, place + at - bytes.start)?;
        }
        at += length as u64;
    }
    Ok(())
}
