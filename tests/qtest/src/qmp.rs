// SPDX-License-Identifier: GPL-2.0-or-later
//! The QEMU machine protocol, as far as tests need it: commands, answers, events.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use anyhow::{bail, Context, Result};
use serde_json::{json, Value};

/// One QMP connection, past the handshake.
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Qmp {
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        let mut qmp = Self {
            reader: BufReader::new(stream),
            events: Vec::new(),
        };
        qmp.message().context("waiting for the QMP greeting")?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command. An error answer becomes an error with QEMU's own words.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        // In one piece: QEMU acts on `quit` before it has seen the newline.
        let request = format!(
            "{}\n",
            json!({ "execute": command, "arguments": arguments })
        );
        self.reader
            .get_mut()
            .write_all(request.as_bytes())
            .with_context(|| format!("sending {command}"))?;
        loop {
            let mut answer = self.message()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(text) = answer.pointer("/error/desc").and_then(Value::as_str) {
                bail!("{text}");
            }
            self.events.push(answer);
        }
    }

    /// Waits for the event `name`, which may have arrived before.
    pub(crate) fn event(&mut self, name: &str) -> Result<Value> {
        let is_it = |e: &Value| e.get("event").and_then(Value::as_str) == Some(name);
        if let Some(at) = self.events.iter().position(is_it) {
            return Ok(self.events.remove(at));
        }
        loop {
            let event = self
                .message()
                .with_context(|| format!("waiting for the event {name}"))?;
            if is_it(&event) {
                return Ok(event);
            }
            self.events.push(event);
        }
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("QEMU closed the QMP connection");
        }
        serde_json::from_str(&line).with_context(|| format!("QMP sent {line:?}"))
    }
}
