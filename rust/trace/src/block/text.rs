// SPDX-License-Identifier: GPL-2.0-or-later
//! Texts with blanks between fields: fio's iolog, blkparse, and the kernel's trace events.

use std::io::BufRead;

use units::Instant;

use super::{decimal, identity, operation, Format, Kind, Misread, Request, OPERATIONS};
use crate::parse::{bad, parse_u64, Fields, Lines, Problem};

const S: u64 = 1_000_000_000;
const US: u64 = 1_000;
const SECTOR: u64 = 512;
const ISSUE: &[u8] = b"block_rq_issue:";

/// The format that the first lines have.
pub fn recognise(head: &[u8]) -> Option<Format> {
    if head.starts_with(b"fio version 2 iolog") {
        return Some(Format::FioV2);
    }
    if head.starts_with(b"fio version 3 iolog") {
        return Some(Format::FioV3);
    }
    if head.windows(ISSUE.len()).any(|window| window == ISSUE) {
        return Some(Format::Ftrace);
    }
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut fields = Fields::of(lines.next()?);
    let device = fields.next_text()?;
    let number = |text: Option<&[u8]>| text.and_then(parse_u64).is_some();
    let blkparse = is_device(device)
        && number(fields.next_text())
        && number(fields.next_text())
        && decimal(fields.next_text()?, S).is_some();
    blkparse.then_some(Format::Blkparse)
}

/// `major,minor`.
fn is_device(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b',');
    let (Some(major), Some(minor), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    [major, minor]
        .iter()
        .all(|part| !part.is_empty() && parse_u64(part).is_some())
}

/// A text file.
pub struct Text {
    lines: Lines<Box<dyn BufRead + Send>>,
    format: Format,
    /// What fio's `wait` lines add up to, in ns.
    waited: u64,
}

impl Text {
    pub fn new(input: Box<dyn BufRead + Send>, file: &str, format: Format) -> Self {
        Self {
            lines: Lines::new(input, file),
            format,
            waited: 0,
        }
    }

    pub const fn line(&self) -> u64 {
        self.lines.line
    }

    pub fn next_request(&mut self) -> Result<Option<Request>, Misread> {
        while self.lines.advance().map_err(|problem| (None, problem))? {
            let mut line = Line {
                whole: self.lines.text.len(),
                fields: self.lines.fields(),
                column: 1,
            };
            let read = match self.format {
                Format::Blkparse => blkparse(&mut line),
                Format::Ftrace => event(&mut line),
                _ if self.lines.line == 1 => Ok(None),
                _ => fio(&mut line, self.format == Format::FioV3, &mut self.waited),
            };
            let column = line.column;
            if let Some(request) = read.map_err(|problem| (Some(column), problem))? {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }
}

/// A line, and where its field that was taken last begins.
struct Line<'a> {
    whole: usize,
    fields: Fields<'a>,
    column: u64,
}

impl<'a> Line<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        self.fields.skip_blanks();
        self.column = (self.whole - self.fields.left() + 1) as u64;
        self.fields.next_text()
    }

    fn text(&mut self, field: &'static str) -> Result<&'a [u8], Problem> {
        self.next().ok_or(Problem::Missing { field })
    }

    fn number(&mut self, field: &'static str, unit: u64) -> Result<u64, Problem> {
        let text = self.text(field)?;
        let number = parse_u64(text).and_then(|n| n.checked_mul(unit));
        number.ok_or_else(|| bad(field, text, "a whole number, or it is too large"))
    }

    fn operation(&mut self) -> Result<Option<(Kind, bool)>, Problem> {
        let text = self.text("op")?;
        operation(text).map_err(|()| bad("op", text, OPERATIONS))
    }

    /// A request whose place is read next.
    fn request(
        &mut self,
        at: u64,
        (kind, fua): (Kind, bool),
        process: u64,
        device: u64,
    ) -> Result<Request, Problem> {
        let (offset, length) = self.extent(kind)?;
        Ok(Request {
            at: Instant::from_nanos(at),
            kind,
            fua,
            offset,
            length,
            process,
            device,
            latency: None,
        })
    }

    /// `sector + sectors`, in bytes; nothing where a flush has none.
    fn extent(&mut self, kind: Kind) -> Result<(u64, u64), Problem> {
        if kind == Kind::Flush {
            return Ok((0, 0));
        }
        let offset = self.number("sector", SECTOR)?;
        match self.text("+")? {
            b"+" => Ok((offset, self.number("sectors", SECTOR)?)),
            text => Err(bad("+", text, "+")),
        }
    }
}

/// `8,0 1 42 0.001234567 3050 D WS 5123 + 8 [fio]`; lines that begin otherwise are blkparse's summary.
fn blkparse(line: &mut Line<'_>) -> Result<Option<Request>, Problem> {
    let Some(device) = line.next().filter(|text| is_device(text)) else {
        return Ok(None);
    };
    line.number("cpu", 1)?;
    line.number("sequence", 1)?;
    let time = line.text("time")?;
    let at = decimal(time, S).ok_or_else(|| bad("time", time, "seconds"))?;
    let process = identity(line.text("pid")?);
    if line.text("action")? != b"D" {
        return Ok(None);
    }
    let Some(operation) = line.operation()? else {
        return Ok(None);
    };
    line.request(at, operation, process, identity(device))
        .map(Some)
}

/// `fio-1234 [002] d..1 4567.890123: block_rq_issue: 8,0 W 4096 () 1234 + 8 [fio]`; other events are passed over.
fn event(line: &mut Line<'_>) -> Result<Option<Request>, Problem> {
    let process = line.next().map_or(0, identity);
    let mut before = None;
    let time = loop {
        let Some(text) = line.next() else {
            return Ok(None);
        };
        if text.ends_with(ISSUE) {
            break before;
        }
        before = Some(text);
    };
    let time: &[u8] = time.ok_or(Problem::Missing { field: "time" })?;
    let at = time.strip_suffix(b":").and_then(|text| decimal(text, S));
    let at = at.ok_or_else(|| bad("time", time, "seconds and a colon"))?;
    let device = identity(line.text("device")?);
    let Some(operation) = line.operation()? else {
        return Ok(None);
    };
    line.number("bytes", 1)?;
    line.text("command")?;
    line.request(at, operation, process, device).map(Some)
}

/// `file action [offset length]`, in version 3 with us before it; version 2 has `wait us` instead.
fn fio(line: &mut Line<'_>, timed: bool, waited: &mut u64) -> Result<Option<Request>, Problem> {
    let at = if timed {
        line.number("timestamp", US)?
    } else {
        *waited
    };
    let device = identity(line.text("file")?);
    let action = line.text("action")?;
    let kind = match action {
        b"add" | b"open" | b"close" => return Ok(None),
        b"wait" => {
            *waited = waited.saturating_add(line.number("offset", US)?);
            return Ok(None);
        }
        b"read" => Kind::Read,
        b"write" => Kind::Write,
        b"trim" => Kind::Trim,
        b"sync" | b"datasync" => Kind::Flush,
        text => {
            let expected = "one of add open close wait read write trim sync datasync";
            return Err(bad("action", text, expected));
        }
    };
    let (offset, length) = match kind {
        Kind::Flush => (0, 0),
        _ => (line.number("offset", 1)?, line.number("length", 1)?),
    };
    Ok(Some(Request {
        at: Instant::from_nanos(at),
        kind,
        fua: false,
        offset,
        length,
        process: 0,
        device,
        latency: None,
    }))
}
