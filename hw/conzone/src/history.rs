// SPDX-License-Identifier: GPL-2.0-or-later
//! The file that takes all that happens to the drive, with the data (`history=`).

use std::fs::File;
use std::sync::Arc;

use image::History;
use pci::Error;
use ssd::{Config, Media, Plan, Ssd};
use units::Instant;

use crate::media::Store;

/// An open file.
pub(crate) struct Historian {
    history: Arc<History<File>>,
    path: String,
    /// Where the undo area begins: what is copied there follows from the rest.
    undo: u64,
}

impl Historian {
    /// Creates the file, or empties it, and begins with the drive as it is at `now`.
    pub(crate) fn begin(
        path: &str,
        (core, config, plan): (&mut Ssd, &Config, &Plan),
        media: &Store,
        now: Instant,
    ) -> Result<Self, Error> {
        let wrong =
            |e: &dyn std::fmt::Display| Error::new(format!("property 'history' = {path}: {e}"));
        if plan.media != Media::Private {
            return Err(wrong(
                &"memdev=, memmap-start= and media= are for drives without it",
            ));
        }
        let file = File::create(path).map_err(|e| wrong(&e))?;
        let look = &mut |at, into: &mut [u8]| media.read(at, into);
        let history = History::begin(file, (core, config), now, look).map_err(|e| wrong(&e))?;
        let history = Arc::new(history);
        core.drive_mut().add_journal(history.clone());
        Ok(Self {
            history,
            path: path.to_owned(),
            undo: plan.layout.undo,
        })
    }

    /// Bytes of the media are new.
    pub(crate) fn put(&self, at: u64, length: u64, media: &Store) {
        if at < self.undo {
            let look = &mut |at, into: &mut [u8]| media.read(at, into);
            self.history.put(at, length, look);
        }
    }

    /// Bytes of the media read as zeroes.
    pub(crate) fn gone(&self, at: u64, length: u64) {
        self.history.gone(at, length);
    }

    /// From here on it cannot have what happens.
    pub(crate) fn end(&self, why: &str) {
        self.history.end(why);
    }

    /// Writes what happened in a visit.
    pub(crate) fn write(&self) {
        self.history.flush();
    }

    /// The path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The path; when the file is not complete, why.
    pub(crate) fn state(&self) -> String {
        match self.history.failed() {
            Some(why) => format!("{}: not complete: {why}", self.path),
            None => self.path.clone(),
        }
    }
}
