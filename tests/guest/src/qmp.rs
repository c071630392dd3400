// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's machine protocol, as much of it as a job needs.

use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub struct Qmp {}

impl Qmp {
    /// Connects to a monitor that listens at `path`.
    ///
    /// # Errors
    /// The socket cannot be reached within `limit`, or what answers does not speak QMP.
    pub fn connect(_path: &Path, _limit: Duration) -> anyhow::Result<Self> {
        anyhow::bail!("not written yet")
    }

    /// Runs a command and returns what it answers.
    ///
    /// # Errors
    /// QEMU's own error text, or a broken connection.
    pub fn execute(&mut self, _command: &str, _arguments: Value) -> anyhow::Result<Value> {
        anyhow::bail!("not written yet")
    }
}
