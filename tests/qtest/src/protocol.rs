// SPDX-License-Identifier: GPL-2.0-or-later
//! The qtest wire protocol: one command a line, one `OK`/`FAIL` line back, `IRQ` lines in between.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use anyhow::{bail, Context, Result};

/// One qtest connection.
pub(crate) struct Qtest {
    reader: BufReader<UnixStream>,
    /// How often each intercepted interrupt line has been raised.
    raised: BTreeMap<u32, u64>,
    /// Current level of each intercepted interrupt line.
    level: BTreeMap<u32, bool>,
}

impl Qtest {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            reader: BufReader::new(stream),
            raised: BTreeMap::new(),
            level: BTreeMap::new(),
        }
    }

    /// Sends `command`; the words after `OK`.
    pub(crate) fn command(&mut self, command: &str) -> Result<String> {
        let mut line = String::with_capacity(command.len() + 1);
        line.push_str(command);
        line.push('\n');
        self.reader
            .get_mut()
            .write_all(line.as_bytes())
            .with_context(|| format!("sending qtest command {}", abbreviated(command)))?;
        loop {
            line.clear();
            let n = self
                .reader
                .read_line(&mut line)
                .with_context(|| format!("waiting for the answer to {}", abbreviated(command)))?;
            if n == 0 {
                bail!("QEMU went away during {}", abbreviated(command));
            }
            let text = line.trim_end();
            if let Some(event) = text.strip_prefix("IRQ ") {
                self.note_irq(event)?;
            } else if let Some(rest) = text.strip_prefix("OK") {
                return Ok(rest.trim_start().to_owned());
            } else {
                bail!("{} answered {text}", abbreviated(command));
            }
        }
    }

    /// The same, with the answer read as one number (decimal, or hexadecimal after `0x`).
    pub(crate) fn number(&mut self, command: &str) -> Result<u64> {
        let text = self.command(command)?;
        parse_number(&text).with_context(|| format!("{command} answered {text:?}, not a number"))
    }

    /// Whether an intercepted line is high now, and how often it rose.
    pub(crate) fn irq(&self, line: u32) -> (bool, u64) {
        (
            self.level.get(&line).copied().unwrap_or(false),
            self.raised.get(&line).copied().unwrap_or(0),
        )
    }

    /// Number of rises over all intercepted lines.
    pub(crate) fn rises(&self) -> u64 {
        self.raised.values().sum()
    }

    fn note_irq(&mut self, event: &str) -> Result<()> {
        let (verb, line) = event.split_once(' ').context("malformed IRQ line")?;
        let line: u32 = line.trim().parse().context("malformed IRQ number")?;
        let high = verb == "raise";
        if high && self.level.insert(line, true) != Some(true) {
            *self.raised.entry(line).or_default() += 1;
        } else if !high {
            self.level.insert(line, false);
        }
        Ok(())
    }
}

fn parse_number(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    }
}

/// A command's first words: a `write` carries kilobytes of hex.
fn abbreviated(command: &str) -> String {
    command.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_answer(answer: &str) -> (Qtest, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer.as_bytes()).unwrap();
        (Qtest::new(ours), theirs)
    }

    #[test]
    fn interrupts_between_command_and_answer_are_counted() {
        let (mut q, _peer) = with_answer("IRQ raise 3\nIRQ lower 3\nIRQ raise 3\nOK 0x10\n");
        assert_eq!(q.number("readl 0x0").unwrap(), 16);
        assert_eq!(q.irq(3), (true, 2));
        assert_eq!(q.rises(), 2);
    }

    #[test]
    fn a_failure_and_a_closed_socket_are_errors() {
        let (mut q, peer) = with_answer("FAIL no such thing\n");
        assert!(q.command("nonsense").is_err());
        drop(peer);
        assert!(q.command("readl 0x0").is_err());
    }
}
