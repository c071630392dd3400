// SPDX-License-Identifier: GPL-2.0-or-later
//! A trace of any format as lines for a drive: commands as they are, requests to a block device placed first.

use std::collections::VecDeque;

use trace::block::{Kind, Request, Seen, Trace};
use trace::{Answer, Command, Line, Op, TraceError};
use units::{Instant, SECTOR_BYTES};

use crate::{Latencies, Log, LogError, LogFigures};

/// Streams the lines of a trace.
pub struct Input {
    trace: Trace,
    /// Places requests; without it they go where the trace says.
    log: Option<Log>,
    commands: VecDeque<Command>,
    next: Option<Line>,
    /// Arrival of the last request.
    last: Instant,
    device: Option<u64>,
    begun: bool,
    /// What the trace says that its requests took.
    recorded: Latencies,
}

/// Why a trace cannot go on.
#[derive(Debug)]
pub enum InputError {
    /// It cannot be read.
    Trace(TraceError),
    /// A request cannot be placed.
    Place {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// Why.
        why: String,
    },
}

impl std::fmt::Display for InputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trace(error) => error.fmt(f),
            Self::Place { file, line, why } => write!(f, "{file}:{line}: {why}"),
        }
    }
}

impl std::error::Error for InputError {}

impl From<TraceError> for InputError {
    fn from(error: TraceError) -> Self {
        Self::Trace(error)
    }
}

impl Input {
    /// Of a trace; `log` places requests to a block device. Commands of a drive need and take none.
    #[must_use]
    pub fn new(trace: Trace, log: Option<Log>) -> Self {
        Self {
            trace,
            log,
            commands: VecDeque::new(),
            next: None,
            last: Instant::ZERO,
            device: None,
            begun: false,
            recorded: Latencies::default(),
        }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// The trace cannot be read, or a request cannot be placed.
    pub fn next_line(&mut self) -> Result<Option<Line>, InputError> {
        let timed = match &mut self.trace {
            Trace::Commands(reader) => return Ok(reader.next_line()?),
            Trace::Requests(requests) => requests.is_timed(),
        };
        // Without times a request waits for its predecessor.
        if !std::mem::replace(&mut self.begun, true) && !timed {
            return Ok(Some(Line::Depth(1)));
        }
        loop {
            if let Some(line) = self.next.take() {
                return Ok(Some(line));
            }
            if let Some(command) = self.commands.pop_front() {
                return Ok(Some(Line::Command(command)));
            }
            let Trace::Requests(requests) = &mut self.trace else {
                return Ok(None);
            };
            let Some(request) = requests.next_request()? else {
                return Ok(None);
            };
            if let Some(took) = request.latency {
                self.recorded.add_one(op(request.kind), took);
            }
            let pause = request.at.since(self.last);
            if !timed && pause.get() > 0 {
                self.next = Some(Line::Idle(pause));
            }
            self.last = request.at;
            self.place(&request).map_err(|why| self.here(why))?;
        }
    }

    fn place(&mut self, request: &Request) -> Result<(), String> {
        if request.length == 0 && request.kind != Kind::Flush {
            return Ok(());
        }
        if let Some(log) = &mut self.log {
            let placed = log.request(request, &mut self.commands);
            return placed.map_err(|error: LogError| error.to_string());
        }
        if *self.device.get_or_insert(request.device) != request.device {
            return Err("a second device: choose one with --trace-device".into());
        }
        self.commands.push_back(as_it_is(request)?);
        Ok(())
    }

    fn here(&self, why: String) -> InputError {
        let (file, line) = match &self.trace {
            Trace::Requests(requests) => (requests.file().to_owned(), requests.line()),
            Trace::Commands(_) => (String::new(), 0),
        };
        InputError::Place { file, line, why }
    }

    /// A request to a block device that was not placed has to succeed; commands of a drive may fail, as they did there.
    ///
    /// # Errors
    /// It failed.
    pub fn check(&self, answer: &Answer) -> Result<(), InputError> {
        if answer.status == 0 || matches!(self.trace, Trace::Commands(_)) {
            return Ok(());
        }
        let Command { op, slba, nlb, .. } = answer.command;
        let status = answer.status;
        Err(self.here(format!(
            "{} of {nlb} sectors at {slba}: the drive refuses it (NVMe status type {}, code {:02X}h); --place log makes any trace fit zones",
            op.code(), status >> 8 & 7, status & 0xff
        )))
    }

    /// What the reader of a block trace has seen.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        match &self.trace {
            Trace::Requests(requests) => Some(requests.seen()),
            Trace::Commands(_) => None,
        }
    }

    /// What the trace says that the requests so far took where it is from.
    #[must_use]
    pub const fn recorded(&self) -> &Latencies {
        &self.recorded
    }

    /// What the placement did.
    #[must_use]
    pub fn placed(&self) -> Option<LogFigures> {
        self.log.as_ref().map(Log::figures)
    }
}

/// A request as a command to the sectors that it names.
fn as_it_is(request: &Request) -> Result<Command, String> {
    let Request { offset, length, .. } = *request;
    if offset % SECTOR_BYTES != 0 || length % SECTOR_BYTES != 0 {
        return Err(format!(
            "offset {offset}, length {length}: not whole sectors of {SECTOR_BYTES} bytes"
        ));
    }
    let nlb = u32::try_from(length / SECTOR_BYTES);
    Ok(Command {
        arrival: request.at,
        data: true,
        op: op(request.kind),
        slba: offset / SECTOR_BYTES,
        nlb: nlb.map_err(|_| format!("length {length}: 2^32 sectors or more"))?,
        fua: request.fua,
    })
}

const fn op(kind: Kind) -> Op {
    match kind {
        Kind::Read => Op::Read,
        Kind::Write => Op::Write,
        Kind::Trim => Op::Trim,
        Kind::Flush => Op::Flush,
    }
}
