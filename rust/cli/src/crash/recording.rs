// SPDX-License-Identifier: GPL-2.0-or-later
//! The workload is run once, and all that happens to the drive written down.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use ::image::{Entry, Reader};
use anyhow::{bail, Context as _, Result};
use command::Command;
use serde::{Deserialize, Serialize};
use ssd::Recorded;

use super::workload::{Workload, ENDED};
use crate::failure::Prerequisite;
use crate::run::MISFIT;
use crate::{qom, vm};
use setup::Context;

/// Boots the guest, has it work, and leaves the history in `path`.
///
/// # Errors
/// The workload fails, or the history is not complete.
pub fn record(
    context: &Context,
    machine: &guest::Machine,
    workload: &Workload,
    (path, fault): (&Path, Option<&str>),
    limit: Duration,
) -> Result<()> {
    let mut machine = machine.clone();
    let text = vm::in_argument("--out ", path, "")?;
    if let Some(drive) = machine.devices.first_mut() {
        *drive += &format!(",history={text}");
        if let Some(rule) = fault {
            *drive += &format!(",fault={}", vm::comma(rule));
        }
    }
    let spinner = context
        .progress
        .spinner("the workload is running in the guest");
    let mut running = machine.start(&guest::Job::new(workload.record()))?;
    let mut said = String::new();
    let outcome = running.wait(limit, |_, bytes| {
        said.push_str(&String::from_utf8_lossy(bytes))
    })?;
    let drive = format!("/machine/peripheral/{}", vm::DRIVE_ID);
    let state = qom::value(running.qmp(), &drive, "history")?;
    running.quit()?;
    spinner.finish_and_clear();
    if outcome.status == MISFIT {
        return Err(Prerequisite(said.trim().to_owned()).into());
    }
    if outcome.status != 0 {
        bail!("the workload failed: {}", said.trim());
    }
    match state.as_str() {
        Some(state) if path.to_str() == Some(state) => Ok(()),
        state => bail!("the history is not complete: {}", state.unwrap_or("?")),
    }
}

/// What a history tells of the work.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recording {
    /// Instants of the drive's clock, ns, at which the work began and had ended.
    pub began: u64,
    pub ended: u64,
    /// Bytes of writes in between.
    pub written: u64,
    /// Instants of the commands in between, and of those that ask for something to be durable.
    #[serde(skip)]
    pub commands: Vec<u64>,
    #[serde(skip)]
    pub flushes: Vec<u64>,
    /// What was promised, and when.
    #[serde(skip)]
    pub promises: Vec<(u64, u64)>,
}

impl Recording {
    /// Reads a history through.
    ///
    /// # Errors
    /// It cannot be read, or no work is in it.
    pub fn read(path: &Path) -> Result<Self> {
        let named = || format!("{}", path.display());
        let file = File::open(path).with_context(named)?;
        let mut reader = Reader::new(file).with_context(named)?;
        let mut recording = Self::default();
        let (mut began, mut ended) = (None, None);
        while let Some(entry) = reader.entry().with_context(named)? {
            match entry {
                Entry::Happened(Recorded::Note { at, number }) => match number {
                    0 => began = Some(at.as_nanos()),
                    ENDED => ended = Some(at.as_nanos()),
                    _ => recording.promises.push((at.as_nanos(), number)),
                },
                Entry::Happened(Recorded::Command { command, at, .. })
                    if began.is_some() && ended.is_none() =>
                {
                    recording.note(&command, at.as_nanos());
                }
                _ => {}
            }
        }
        let (Some(began), Some(ended)) = (began, ended) else {
            bail!("{}: no work began and ended in it", path.display());
        };
        (recording.began, recording.ended) = (began, ended);
        Ok(recording)
    }

    fn note(&mut self, command: &Command, at: u64) {
        self.commands.push(at);
        if command.is_durable() {
            self.flushes.push(at);
        }
        if let Command::Write { sectors, .. } | Command::Append { sectors, .. } = command {
            self.written += sectors * units::SECTOR_BYTES;
        }
    }

    /// What had been promised before an instant.
    pub fn promised(&self, at: u64) -> u64 {
        let before = self.promises.iter().take_while(|(noted, _)| *noted < at);
        before.map(|(_, number)| *number).max().unwrap_or(0)
    }
}
