// SPDX-License-Identifier: GPL-2.0-or-later
//! The file that takes the commands of a run as a trace (`record=`).
//!
//! Each visit's commands are written before the next visit: when QEMU is killed the file has all but the last ones. It is
//! a host's file, so a slow one slows the host and leaves the guest's clock and the drive as they are.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;

use pci::Error;
use ssd::Drive;

/// Of a visit's lines; more of them grow it once.
const TEXT_BYTES: usize = 64 << 10;

/// An open file.
pub(crate) struct Recorder {
    file: File,
    path: String,
    text: String,
    /// Why nothing is written any more.
    failed: Option<String>,
}

impl Recorder {
    /// Creates the file, or empties it, and has `drive` note its commands.
    pub(crate) fn begin(path: &str, drive: &mut Drive) -> Result<Self, Error> {
        let file = File::create(path)
            .map_err(|e| Error::new(format!("property 'record' = {path}: {e}")))?;
        drive.record();
        Ok(Self {
            file,
            path: path.to_owned(),
            text: String::with_capacity(TEXT_BYTES),
            failed: None,
        })
    }

    /// Writes what `drive` was asked since the last time.
    pub(crate) fn write(&mut self, drive: &mut Drive) {
        let Some((commands, lost)) = drive.recorded() else {
            return;
        };
        if self.failed.is_some() {
            return;
        }
        self.text.clear();
        for command in commands {
            // A String takes everything.
            let _ = writeln!(self.text, "{command}");
        }
        if let Err(error) = self.file.write_all(self.text.as_bytes()) {
            self.failed = Some(error.to_string());
        } else if lost > 0 {
            self.failed = Some(format!("{lost} commands at once were too many"));
        }
    }

    /// The path; when the file is not complete, why.
    pub(crate) fn state(&self) -> String {
        match &self.failed {
            Some(why) => format!("{}: not complete: {why}", self.path),
            None => self.path.clone(),
        }
    }
}
