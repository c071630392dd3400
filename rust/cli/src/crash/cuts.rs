// SPDX-License-Identifier: GPL-2.0-or-later
//! When power is cut, and images of what that leaves.

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ::image::{Bytes, Image, Loss, Past, Reader};
use anyhow::{Context as _, Result};
use ftl::Random;
use rustix::fs::{fallocate, FallocateFlags};
use units::Instant;

use super::recording::Recording;
use crate::failure::Prerequisite;
use crate::image::copy_bytes;

/// `--at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// Between any two commands.
    Random,
    /// Before a Flush, or a write with FUA, is worked.
    Flush,
    /// These instants.
    Given(Vec<u64>),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "random" => return Ok(Self::Random),
            "flush" => return Ok(Self::Flush),
            _ => {}
        }
        let instants: Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
        let mut instants = instants.map_err(|_| {
            "random, flush, or instants of the drive's clock in ns, joined by commas"
        })?;
        instants.sort_unstable();
        instants.dedup();
        Ok(Self::Given(instants))
    }
}

/// Instants of so many cuts, in order, none twice; fewer where there are no more.
///
/// # Errors
/// One that was given is not in the work.
pub fn instants(recording: &Recording, at: &At, most: usize, seed: u64) -> Result<Vec<u64>> {
    let mut random = Random::new(seed);
    let mut chosen = Vec::new();
    match at {
        At::Given(instants) => {
            let work = recording.began..=recording.ended;
            if let Some(wrong) = instants.iter().find(|at| !work.contains(at)) {
                let why = format!(
                    "--at {wrong}: the work began at {} and ended at {}",
                    recording.began, recording.ended
                );
                return Err(Prerequisite(why).into());
            }
            chosen.clone_from(instants);
        }
        At::Flush => {
            let mut left = recording.flushes.clone();
            left.dedup();
            if left.is_empty() {
                let why = "--at flush: nothing that the drive did was asked to be durable (flushes that a fault has it \
                    ignore are none): leave out --at";
                return Err(Prerequisite(why.into()).into());
            }
            while chosen.len() < most && !left.is_empty() {
                chosen.push(left.swap_remove((random.draw() % left.len() as u64) as usize));
            }
        }
        // A command, and an instant from it to the next: where much is done there are many cuts.
        At::Random => {
            let commands = &recording.commands;
            for _ in 0..most.saturating_mul(10) {
                if chosen.len() == most || commands.is_empty() {
                    break;
                }
                let first = (random.draw() % commands.len() as u64) as usize;
                let next = commands.get(first + 1).unwrap_or(&recording.ended);
                let span = next.saturating_sub(commands[first]).max(1);
                let at = commands[first] + 1 + random.draw() % span;
                if !chosen.contains(&at) {
                    chosen.push(at);
                }
            }
        }
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// An image that a power cut has left.
#[derive(Debug)]
pub struct Left {
    /// Pages whose newest data is gone.
    pub lost: u64,
}

/// Brings a drive through its history, and makes images on the way.
#[derive(Debug)]
pub struct Maker {
    past: Past<File>,
    /// The drive's media is in an image of its own.
    work: Image,
    path: PathBuf,
    loss: Loss,
}

impl Maker {
    /// One for a history; `folder` takes its files.
    ///
    /// # Errors
    /// The history is damaged, or the folder is full.
    pub fn new(history: &Path, folder: &Path, loss: Loss) -> Result<Self> {
        let named = || format!("{}", history.display());
        let file = File::open(history).with_context(named)?;
        let past = Past::of(Reader::new(file).with_context(named)?).with_context(named)?;
        let path = folder.join("work.cz");
        let of = || format!("{}", path.display());
        Image::create(&path, past.config()).with_context(of)?;
        let work = Image::open(&path, true).with_context(of)?;
        Ok(Self {
            past,
            work,
            path,
            loss,
        })
    }

    /// Makes the image of a cut, which is not before the last one.
    ///
    /// # Errors
    /// The history is damaged, or the image cannot be written.
    pub fn make(&mut self, at: u64, image: &Path) -> Result<Left> {
        let at = Instant::from_nanos(at);
        let mut media = Media::of(&self.work);
        self.past.go_to(at, &mut media)?;
        media
            .finish()
            .with_context(|| format!("{}", self.path.display()))?;
        let of = || format!("{}", image.display());
        let whole = 0..self.work.layout().size();
        let copy = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(image)
            .with_context(of)?;
        copy.set_len(whole.end).with_context(of)?;
        copy_bytes(self.work.file(), whole, (&copy, 0)).with_context(of)?;
        let mut left = Image::open(image, true).with_context(of)?;
        let mut media = Media::of(&left);
        let drive = self.past.cut(at, self.loss, &mut media)?;
        media.finish().with_context(of)?;
        left.seal(&drive, self.past.config(), at).with_context(of)?;
        let lost = drive.drive().power_cuts().lost;
        Ok(Left { lost })
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The media of an image, in its file.
struct Media<'a> {
    image: &'a Image,
    failed: Option<std::io::Error>,
}

impl<'a> Media<'a> {
    const fn of(image: &'a Image) -> Self {
        Self {
            image,
            failed: None,
        }
    }

    fn place(&self, at: u64) -> u64 {
        self.image.layout().media_at() + at
    }

    fn note(&mut self, done: std::io::Result<()>) {
        if let Err(error) = done {
            self.failed.get_or_insert(error);
        }
    }

    /// Whether all of it could be read and written.
    fn finish(self) -> std::io::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }
}

impl Bytes for Media<'_> {
    fn read(&mut self, at: u64, into: &mut [u8]) {
        let done = self.image.file().read_exact_at(into, self.place(at));
        self.note(done);
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        let done = self.image.file().write_all_at(from, self.place(at));
        self.note(done);
    }

    fn discard(&mut self, bytes: Range<u64>) {
        if bytes.is_empty() {
            return;
        }
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let length = bytes.end - bytes.start;
        let done = fallocate(self.image.file(), how, self.place(bytes.start), length);
        self.note(done.map_err(std::io::Error::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        Recording {
            began: 100,
            ended: 1000,
            commands: vec![100, 200, 201, 900],
            flushes: vec![200, 200, 900],
            promises: vec![(300, 1), (500, 4)],
            ..Recording::default()
        }
    }

    #[test]
    fn cuts_are_where_they_are_asked_for() {
        let cuts = |at: &str, most, seed| {
            instants(&recording(), &at.parse().unwrap(), most, seed).unwrap()
        };
        let random = cuts("random", 50, 1);
        assert!(random.len() == 50 && random.is_sorted());
        assert!(random.iter().all(|at| (101..=1000).contains(at)));
        assert_eq!(random, cuts("random", 50, 1));
        assert_ne!(random, cuts("random", 50, 2));
        // The command at 201 follows that at 200 at once: one in four cuts is right before it.
        assert!(random.contains(&201));
        assert_eq!(cuts("flush", 9, 1), [200, 900]);
        assert_eq!(cuts("flush", 1, 1).len(), 1);
        assert_eq!(cuts("900,150,150", 1, 1), [150, 900]);
        assert!(instants(&recording(), &At::Given(vec![99]), 1, 1).is_err());
        assert!("soon".parse::<At>().is_err());
        let none = Recording {
            flushes: Vec::new(),
            ..recording()
        };
        let none = instants(&none, &At::Flush, 9, 1).unwrap_err();
        assert!(none.is::<Prerequisite>() && none.to_string().contains("leave out --at"));
    }

    #[test]
    fn a_promise_counts_from_the_instant_after_it() {
        let promised = |at| recording().promised(at);
        assert_eq!([300, 301, 500, 501].map(promised), [0, 1, 1, 4]);
    }
}
