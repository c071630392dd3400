// SPDX-License-Identifier: GPL-2.0-or-later
//! The file that the drive lives in (`image=`): opened at realize, written while the drive works.
//!
//! ```text
//!   visit ─► clock ─► a command: journal, model, old bytes aside, media, answer ─► ... ─► checkpoint, when it is time
//!   the machine stops, the device is unplugged ─► checkpoint: all there is
//! ```
//! Between checkpoints nothing but memory is written; with `sync=flush` what is promised is brought to the host's disk before it
//! is answered, while the machine waits.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use image::{AfterKill, Bytes, Image, Live, Opened, Words};
use pci::file::{lock, reserve, FileMap};
use pci::{Error, Ram};
use ssd::{Config, Media, Ssd};
use units::{Instant, PAGE_BYTES};

/// Commands after which a checkpoint that was not possible is tried again.
const RETRY: u64 = 1 << 11;

/// When what is promised is brought to the host's disk (`sync=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sync {
    /// When the host likes.
    #[default]
    Never,
    /// Before it is answered.
    Flush,
}

impl Sync {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Never, Self::Flush];

    /// As the user says it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Flush => "flush",
        }
    }
}

/// The live part of the file.
#[derive(Debug)]
pub(crate) struct Mapped {
    words: FileMap,
    file: File,
    path: String,
    has_failed: AtomicBool,
}

impl Words for Mapped {
    fn store(&self, at: u64, word: u64) {
        self.words.store(at, word);
    }

    fn sync(&self) -> bool {
        let Err(e) = self.file.sync_data() else {
            return true;
        };
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            eprintln!("conzone-nvme: {}: the host's disk: {e}", self.path);
        }
        false
    }
}

/// Media of a drive that is being opened.
struct InFile<'a>(&'a Ram, bool);

impl Bytes for InFile<'_> {
    fn read(&mut self, at: u64, into: &mut [u8]) {
        self.0.read(at, into);
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        self.1 |= self.0.write(at, from).is_err();
    }

    fn discard(&mut self, bytes: Range<u64>) {
        self.0.give_back(bytes.start, bytes.end - bytes.start);
    }
}

/// An open image.
pub(crate) struct Persistence {
    image: Image,
    pub(crate) live: Arc<Live<Mapped>>,
    path: String,
    /// How many records there were when no checkpoint could be written, so that it is tried again later.
    failed_at: Option<u64>,
}

/// What comes of opening an image.
pub(crate) struct FromImage {
    pub(crate) persistence: Persistence,
    pub(crate) media: Ram,
    pub(crate) opened: Opened,
}

impl Persistence {
    /// Opens the file, or makes it, of the drive that `asked` describes.
    pub(crate) fn open(
        path: &str,
        asked: &Config,
        (after, sync): (AfterKill, Sync),
    ) -> Result<FromImage, Error> {
        let wrong = |e: &dyn Display| Error::new(format!("property 'image' = {path}: {e}"));
        let plan = asked.plan().map_err(|e| Error::new(e.to_string()))?;
        if plan.media != Media::Private {
            return Err(wrong(
                &"memdev=, memmap-start= and media= are for drives without it",
            ));
        }
        let file = Path::new(path);
        if !file.exists() {
            Image::create(file, asked).map_err(|e| wrong(&e))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(file);
        let file = file.map_err(|e| wrong(&format_args!("it cannot be opened: {e}")))?;
        lock(&file).map_err(|e| wrong(&e))?;
        let image = Image::of(file).map_err(|e| wrong(&e))?;
        let layout = image.layout();
        let media =
            Ram::file(image.file(), layout.media_at(), layout.media).map_err(|e| wrong(&e))?;
        let mut bytes = InFile(&media, false);
        let opened = image
            .load(asked, after, &mut bytes)
            .map_err(|e| wrong(&e))?;
        let is_short = bytes.1;
        // What is written without looking has room from now on.
        let (at, length) = layout.live();
        let undo = opened.config.plan().map_err(|e| wrong(&e))?.layout;
        let is_ready = media
            .prepare(undo.undo, u64::from(undo.undo_pages) * PAGE_BYTES)
            .is_ok();
        if is_short || !is_ready || !reserve(image.file(), at, length) {
            return Err(wrong(&"the file system has no room for it"));
        }
        let words = Mapped {
            words: FileMap::new(image.file(), at, length).map_err(|e| wrong(&e))?,
            file: image.file().try_clone().map_err(|e| wrong(&e))?,
            path: path.to_owned(),
            has_failed: AtomicBool::new(false),
        };
        let boot = match sync {
            Sync::Never => None,
            Sync::Flush => Some(image::boot().ok_or_else(|| {
                wrong(&"sync=flush needs a host that tells its boots apart (/proc/sys/kernel/random/boot_id)")
            })?),
        };
        let live = Arc::new(Live::new(words, layout, boot));
        let mut persistence = Self {
            image,
            live,
            path: path.to_owned(),
            failed_at: None,
        };
        let mut from = opened;
        from.drive.reset(from.clock);
        persistence
            .write(&from.drive, &from.config, (from.clock, true))
            .map_err(|e| wrong(&e))?;
        from.drive.drive_mut().add_journal(persistence.live.clone());
        Ok(FromImage {
            persistence,
            media,
            opened: from,
        })
    }

    /// The path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// After a visit: writes a checkpoint if it is time for one.
    pub(crate) fn keep_up(&mut self, drive: &Ssd, config: &Config, now: Instant) {
        let is_soon = |at: u64| self.live.noted() < at + RETRY;
        if self.live.wants_checkpoint() && !self.failed_at.is_some_and(is_soon) {
            self.checkpoint(drive, config, (now, false));
        }
    }

    /// Writes a checkpoint. If that cannot be, the one before still counts, and somebody should know.
    pub(crate) fn checkpoint(&mut self, drive: &Ssd, config: &Config, at: (Instant, bool)) {
        if let Err(e) = self.write(drive, config, at) {
            self.failed_at = Some(self.live.noted());
            eprintln!("conzone-nvme: {}: no checkpoint: {e}", self.path);
        }
    }

    fn write(
        &mut self,
        drive: &Ssd,
        config: &Config,
        at: (Instant, bool),
    ) -> Result<(), image::Error> {
        self.image.checkpoint(drive, config, &self.live, at)?;
        self.failed_at = None;
        Ok(())
    }
}
