// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's machine protocol, as much of it as a job needs (QEMU: docs/interop/qmp-spec.rst).
//!
//! Commands are asked one at a time; events that arrive meanwhile are kept for [`Qmp::event`].

use anyhow::{anyhow, bail, ensure, Context, Result};
use serde_json::{json, Value};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long QEMU may take to answer a command: its main loop may be held up by the guest on a busy host.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Pause between attempts to reach a monitor that is not there yet.
const RETRY: Duration = Duration::from_millis(5);

/// Events that are kept when nobody asks for them; older ones are dropped.
const EVENTS_KEPT: usize = 256;

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    /// The line that is arriving: a time-out may fall into its middle.
    line: Vec<u8>,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Connects to a monitor that listens at `path`.
    ///
    /// # Errors
    /// The socket cannot be reached within `limit`, or what answers does not speak QMP.
    pub fn connect(path: &Path, limit: Duration) -> Result<Self> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(_) if start.elapsed() < limit => thread::sleep(RETRY),
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot reach {}", path.display()));
                }
            }
        };
        Self::greet(stream)
    }

    /// Reads the greeting and leaves the negotiation mode.
    pub(crate) fn greet(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
            line: Vec::new(),
            events: VecDeque::new(),
        };
        let greeting = qmp.answer()?;
        ensure!(
            greeting.get("QMP").is_some(),
            "not a QMP greeting: {greeting}"
        );
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what it answers.
    ///
    /// # Errors
    /// QEMU's own error text, or a broken connection.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        let sent = self.reader.get_mut().write_all(line.as_bytes());
        sent.with_context(|| format!("QMP {command}"))?;
        loop {
            let mut message = self.answer().with_context(|| format!("QMP {command}"))?;
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = message.get("error") {
                let text = error
                    .get("desc")
                    .and_then(Value::as_str)
                    .unwrap_or("unknown error");
                return Err(anyhow!("{text}").context(format!("QMP {command}")));
            }
            self.keep(message);
        }
    }

    /// Waits for an event of this name, which may have arrived before the call; `None` when `limit` passes.
    ///
    /// # Errors
    /// A broken connection.
    pub fn event(&mut self, name: &str, limit: Duration) -> Result<Option<Value>> {
        let named = |message: &Value| message.get("event").and_then(Value::as_str) == Some(name);
        if let Some(at) = self.events.iter().position(named) {
            return Ok(self.events.remove(at));
        }
        let end = Instant::now() + limit;
        let result = loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Ok(None);
            }
            self.reader.get_ref().set_read_timeout(Some(left))?;
            match self.read() {
                Ok(Some(message)) if named(&message) => break Ok(Some(message)),
                Ok(Some(message)) => self.keep(message),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        };
        self.reader.get_ref().set_read_timeout(Some(ANSWER_LIMIT))?;
        result
    }

    fn keep(&mut self, event: Value) {
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The next message, or `None` when the stream's time-out passes first.
    fn read(&mut self) -> Result<Option<Value>> {
        match self.reader.read_until(b'\n', &mut self.line) {
            Ok(0) => bail!("QEMU closed its monitor"),
            Ok(_) => {
                let line = std::mem::take(&mut self.line);
                let text = String::from_utf8_lossy(&line);
                serde_json::from_str(&text)
                    .map(Some)
                    .with_context(|| format!("not JSON: {text}"))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn answer(&mut self) -> Result<Value> {
        self.read()?.context("QEMU does not answer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor that says these lines, one after each line it is sent, the first at once.
    fn monitor(lines: &'static [&'static str]) -> Result<Qmp> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut reader = BufReader::new(theirs);
            for line in lines {
                let _ = writeln!(reader.get_mut(), "{line}");
                let _ = reader.read_line(&mut String::new());
            }
        });
        Qmp::greet(ours)
    }

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

    #[test]
    fn answers_errors_and_events_are_told_apart() {
        let mut qmp = monitor(&[
            GREETING,
            r#"{"return": {}}"#,
            "{\"event\": \"RESUME\"}\n{\"event\": \"STOP\"}\n{\"return\": {\"running\": false}}",
            r#"{"error": {"class": "GenericError", "desc": "Device 'x' not found"}}"#,
        ])
        .unwrap();
        assert_eq!(
            qmp.execute("query-status", json!({})).unwrap()["running"],
            false
        );
        assert_eq!(
            qmp.event("STOP", Duration::ZERO).unwrap().unwrap()["event"],
            "STOP"
        );
        let error = qmp.execute("device_del", json!({"id": "x"})).unwrap_err();
        assert_eq!(format!("{error:#}"), "QMP device_del: Device 'x' not found");
        assert_eq!(
            qmp.event("STOP", Duration::from_millis(1)).unwrap(),
            None,
            "given only once"
        );
    }

    #[test]
    fn other_greetings_are_refused() {
        assert!(monitor(&["{}"]).is_err());
        assert!(monitor(&["SSH-2.0"]).is_err());
    }
}
