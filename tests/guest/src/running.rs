// SPDX-License-Identifier: GPL-2.0-or-later
//! A QEMU process with a job in it.

use crate::{Qmp, Stream};
use std::time::Duration;

/// How a job ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The script's exit status, 128 + number if a signal ended it.
    pub status: i32,
    /// Files that were to be fetched and could not be read in the guest, with the reason.
    pub missing: Vec<String>,
    /// Time from the start of QEMU to the end of the script.
    pub elapsed: Duration,
    /// What the kernel wrote to its console.
    pub console: String,
}

/// A QEMU process that runs a job. Dropping it kills that process, and no other.
#[derive(Debug)]
pub struct Running {
    qmp: Qmp,
}

impl Running {
    /// Waits for the job to end, handing each piece of its output to `output` as it comes.
    ///
    /// Afterwards the guest is switched off but QEMU still there and paused, so that the device's state can be
    /// asked for through [`Running::qmp`] as it was when the job ended.
    ///
    /// # Errors
    /// The guest dies or QEMU ends before the job does (with the console's last lines or QEMU's message), `limit`
    /// passes, or a fetched file cannot be written.
    pub fn wait(
        &mut self,
        _limit: Duration,
        _output: impl FnMut(Stream, &[u8]),
    ) -> anyhow::Result<Outcome> {
        anyhow::bail!("not written yet")
    }

    /// QEMU's monitor.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// Ends QEMU and waits for it.
    ///
    /// # Errors
    /// QEMU does not end, or ends with a failure.
    pub fn quit(self) -> anyhow::Result<()> {
        anyhow::bail!("not written yet")
    }
}
