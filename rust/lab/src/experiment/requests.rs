// SPDX-License-Identifier: GPL-2.0-or-later
//! Traces of block devices as cases: the user's own, or one made here that looks like a phone's.
//!
//! A phone's requests come from dozens of processes at once, most of them writes of 4 KiB, some downloads of 512 KiB; they
//! touch a gigabyte or two in pieces that an old file system has scattered over the whole device, and go back to some
//! pieces far more often than to others. (Shares and sizes after what the MobileBlockIOTraces of a Pixel 6a have.)

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{anyhow, Result};
use serde::Serialize;
use sim::{Input, Simulation};
use trace::block::{self, Format};

use crate::failure::Prerequisite;
use crate::input::{Cleaning, Place, Streams, TraceArgs};
use crate::store;

/// Requests of the trace that is made here.
const REQUESTS: u32 = 60_000;
/// Addresses of a phone of 128 GB.
const SPAN: u64 = 119 << 30;
/// A piece of the file system, and how many are in use.
const PIECE: u64 = 4 << 20;
const PIECES: usize = 1800;
/// Processes that write.
const PROCESSES: u64 = 24;

/// Where requests come from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Made here.
    Phone,
    /// A file in any format of docs/traces.md.
    File {
        /// Which.
        path: PathBuf,
        /// What it consists of.
        digest: String,
    },
}

/// The requests of a trace, as a workload.
#[derive(Clone, Debug, Serialize)]
pub struct Requests {
    /// Whose.
    pub source: Source,
    /// Placed on zones, log-structured, so many logs side by side; none: where the trace has them.
    pub logs: Option<u64>,
    /// Where the row stands on the horizontal axis.
    pub x: f64,
}

impl Source {
    /// The user's file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(path: &Path) -> Result<Self> {
        let digest = store::digest(std::slice::from_ref(&path.to_owned()));
        let digest = digest.map_err(|error| {
            Prerequisite(format!(
                "--trace {}: {}",
                path.display(),
                error.root_cause()
            ))
        })?;
        let path = path.to_owned();
        Ok(Self::File { path, digest })
    }

    /// What a figure's line is called.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Phone => "made-up phone".into(),
            Self::File { path, .. } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.split('.').next().unwrap_or_default().to_owned()
            }
        }
    }
}

impl Requests {
    /// The commands for a drive that was made from `config`.
    ///
    /// # Errors
    /// A file that is no trace, or one of a drive's commands; more logs than the drive can have open.
    pub fn open(&self, simulation: &Simulation, config: &ssd::Config) -> Result<Input> {
        let (path, format) = match &self.source {
            Source::Phone => (
                PathBuf::from("phone"),
                Some(Format::Pixel.name().to_owned()),
            ),
            Source::File { path, .. } => (path.clone(), None),
        };
        let file = path.display().to_string();
        let args = TraceArgs {
            trace: path,
            format,
            columns: None,
            unit: None,
            drop_duplicates: false,
            trace_device: None,
            place: Some(if self.logs.is_some() {
                Place::Log
            } else {
                Place::None
            }),
            logs: self.logs.unwrap_or(1),
            streams: Streams::Process,
            cleaning: Cleaning::Greedy,
        };
        match &self.source {
            Source::File { .. } => args.open_as("--trace ", &file, simulation, config, |raw| raw),
            Source::Phone => {
                let text: Box<dyn Read + Send> = Box::new(Cursor::new(phone()));
                let text: Box<dyn BufRead + Send> = Box::new(BufReader::new(text));
                let trace = block::open_any(text, &file, &args.options()?);
                args.placed(
                    trace.map_err(|error| anyhow!("{error}"))?,
                    simulation,
                    config,
                )
            }
        }
    }
}

/// A phone's requests, as a Pixel's trace has them.
fn phone() -> String {
    let mut random = fastrand::Rng::with_seed(6);
    let anywhere = |random: &mut fastrand::Rng| random.u64(..SPAN / PIECE) * PIECE;
    // Pieces by when they were last used, and where each is written next.
    let mut pieces: Vec<(u64, u64)> = (0..PIECES).map(|_| (anywhere(&mut random), 0)).collect();
    let mut text = String::from("proces,device,rw_flag,sector,size,timestamp\n");
    let mut micros = 0_u64;
    for _ in 0..REQUESTS {
        let recent = random.f64().powi(2) * PIECES as f64;
        // Lossless: below the number of pieces.
        let (mut piece, mut filled) = pieces.remove(recent as usize);
        if random.u32(..64) == 0 {
            (piece, filled) = (anywhere(&mut random), 0);
        }
        let write = random.u32(..10) < 8;
        let sectors: u64 = match random.u32(..100) {
            0..78 => 8,
            78..88 => 16,
            88..96 => 8 * random.u64(3..32),
            _ => 1024,
        };
        let (sector, process) = if write {
            let at = if filled + sectors * 512 > PIECE {
                0
            } else {
                filled
            };
            filled = at + sectors * 512;
            // A piece is a file's, and a file is one process's.
            (piece + at, piece / PIECE % PROCESSES)
        } else {
            let sectors = sectors.min(PIECE / 512);
            let pages = filled.saturating_sub(sectors * 512) / 4096 + 1;
            (piece + random.u64(..pages) * 4096, PROCESSES)
        };
        micros += random.u64(..400);
        pieces.insert(0, (piece, filled));
        let letter = if write { 'W' } else { 'R' };
        let (seconds, part, sector) = (micros / 1_000_000, micros % 1_000_000, sector / 512);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "app-{process},1,{letter},{sector},{sectors},{seconds}.{part:06}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_up_phone_is_a_phone_and_the_same_each_time() {
        let text = phone();
        assert_eq!(text, phone());
        let options = block::Options::default();
        let trace = block::open_any(Box::new(Cursor::new(text)), "phone", &options).unwrap();
        let block::Trace::Requests(mut requests) = trace else {
            panic!("not recognised")
        };
        let (mut writes, mut small, mut all, mut last) = (0, 0, 0, 0);
        let mut processes = std::collections::BTreeSet::new();
        while let Some(request) = requests.next_request().unwrap() {
            all += 1;
            small += u32::from(request.length == 4096);
            writes += u32::from(request.kind == block::Kind::Write);
            last = last.max(request.offset + request.length);
            processes.insert(request.process);
        }
        assert_eq!((all, processes.len()), (REQUESTS, 25));
        assert!((46_000..50_000).contains(&writes) && small > 40_000);
        assert!((100 << 30..SPAN + PIECE).contains(&last), "{last}");
    }

    #[test]
    fn a_file_is_named_by_its_beginning_and_must_be_there() {
        let missing = Source::file(Path::new("/nowhere/a.csv.gz")).unwrap_err();
        assert!(missing.is::<Prerequisite>());
        assert!(missing
            .to_string()
            .starts_with("--trace /nowhere/a.csv.gz: No such file"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("telegram.csv");
        std::fs::write(&path, "x").unwrap();
        assert_eq!(Source::file(&path).unwrap().name(), "telegram");
    }
}
