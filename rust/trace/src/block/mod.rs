// SPDX-License-Identifier: GPL-2.0-or-later
//! Traces of block devices, as other programs leave them: requests at byte offsets, which know nothing of zones.
//!
//! ```text
//! columns   comma-separated values: one table of column maps, or the user's own
//! text      fio's iolog, blkparse, and the kernel's block_rq_issue as ftrace and perf print it
//! ```
//! The format is recognised from the first 4 KiB. Times are made relative to the first request; a request that is
//! before its predecessor (buffers of several CPUs) arrives with it and is counted.
//!
//! Latencies are read where a trace has them, to be put beside those of a drive.
//!
//! What is not read: completions, merges and splits; a request is what was issued to the device.

mod columns;
mod text;

use std::collections::VecDeque;
use std::io::{BufRead, Cursor, Read};

use units::{Instant, Nanos};

use crate::parse::{Problem, Reader, TraceError};
pub use columns::Columns;
use columns::Table;
use text::Text;

/// So much is looked at to recognise a format.
const HEAD_BYTES: u64 = 4096;
/// A request that repeats one of so little ago, offset and length alike, is its duplicate: the kernel issues a request
/// again that the device had no room for.
const DUPLICATE_WINDOW: Nanos = Nanos::new(2_000_000);
/// So many requests are remembered to find duplicates.
const REMEMBERED: usize = 256;

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// This project's own: commands of a drive, already placed.
    Conzone,
    /// Comma-separated values with the user's columns.
    Csv,
    /// fio's iolog, version 2: no times but what `wait` says.
    FioV2,
    /// fio's iolog, version 3.
    FioV3,
    /// fio's log of latencies with offsets (`write_lat_log`, `log_offset=1`).
    FioLat,
    /// Text of blkparse; `D` events.
    Blkparse,
    /// Text of ftrace, `perf script` or the like; `block_rq_issue` events.
    Ftrace,
    /// Microsoft Research Cambridge, 2008.
    Msr,
    /// Alibaba block traces, 2020.
    Alibaba,
    /// Tencent block storage traces, 2018.
    Tencent,
    /// Applications on a Pixel 6a, 2025.
    Pixel,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 11] = [
        Self::Conzone,
        Self::Csv,
        Self::FioV2,
        Self::FioV3,
        Self::FioLat,
        Self::Blkparse,
        Self::Ftrace,
        Self::Msr,
        Self::Alibaba,
        Self::Tencent,
        Self::Pixel,
    ];

    /// What one types.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conzone => "conzone",
            Self::Csv => "csv",
            Self::FioV2 => "fio-v2",
            Self::FioV3 => "fio-v3",
            Self::FioLat => "fio-lat",
            Self::Blkparse => "blkparse",
            Self::Ftrace => "ftrace",
            Self::Msr => "msr",
            Self::Alibaba => "alibaba",
            Self::Tencent => "tencent",
            Self::Pixel => "pixel",
        }
    }

    fn of(head: &[u8]) -> Self {
        text::recognise(head)
            .or_else(|| columns::recognise(head))
            .unwrap_or(Self::Conzone)
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Discards.
    Trim,
    /// Makes durable what was written.
    Flush,
}

/// One request to a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it was issued, since the first one.
    pub at: Instant,
    /// What it does.
    pub kind: Kind,
    /// Whether it must be durable when it completes.
    pub fua: bool,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Who issued it: equal for equal names; 0 where the trace does not say.
    pub process: u64,
    /// Where to: equal for equal names; 0 where the trace does not say.
    pub device: u64,
    /// How long it took where the trace is from, if it says so.
    pub latency: Option<Nanos>,
}

/// How to read a trace.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format; `None` recognises it.
    pub format: Option<Format>,
    /// The columns of [`Format::Csv`].
    pub columns: Option<Columns>,
    /// Leave duplicates out.
    pub drop_duplicates: bool,
    /// Only requests to the device of this name.
    pub device: Option<String>,
}

/// What a reader has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests handed out.
    pub requests: u64,
    /// Requests that repeat another ([`Options::drop_duplicates`]).
    pub duplicates: u64,
    /// Requests with a time before their predecessor's.
    pub out_of_order: u64,
}

/// An opened trace.
pub enum Trace {
    /// Commands of a drive.
    Commands(Reader<Box<dyn BufRead + Send>>),
    /// Requests to a block device.
    Requests(Box<Requests>),
}

/// Opens a trace of any format; messages call it `file`.
///
/// # Errors
/// It cannot be read, or columns were given for a format that has its own, or none for one that has not.
pub fn open_any(
    mut input: Box<dyn BufRead + Send>,
    file: &str,
    options: &Options,
) -> Result<Trace, TraceError> {
    let whole = |problem: Problem| TraceError {
        file: file.to_owned(),
        line: 1,
        column: None,
        problem,
    };
    let mut head = Vec::new();
    let read = input.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(|error| whole(error.into()))?;
    let format = match (options.format, &options.columns) {
        (Some(format), _) => format,
        (None, Some(_)) => Format::Csv,
        (None, None) => Format::of(&head),
    };
    // The last line may not be ended.
    let input: Box<dyn BufRead + Send> = Box::new(Cursor::new(head).chain(input).chain(&b"\n"[..]));
    let source = match format {
        Format::Conzone => return Ok(Trace::Commands(Reader::new(input, file))),
        Format::FioV2 | Format::FioV3 | Format::Blkparse | Format::Ftrace => {
            Source::Text(Box::new(Text::new(input, file, format)))
        }
        Format::Csv => {
            let columns = options.columns.clone().ok_or_else(|| {
                whole(Problem::Options(
                    "format csv needs --columns, such as time,op,offset,length",
                ))
            })?;
            Source::Table(Box::new(Table::new(input, columns)))
        }
        Format::FioLat | Format::Msr | Format::Alibaba | Format::Tencent | Format::Pixel => {
            let columns = columns::known(format)
                .ok_or_else(|| whole(Problem::Options("the format has no table of columns")))?;
            Source::Table(Box::new(Table::new(input, columns)))
        }
    };
    Ok(Trace::Requests(Box::new(Requests {
        source,
        file: file.to_owned(),
        format,
        only: options
            .device
            .as_deref()
            .map(|name| identity(name.as_bytes())),
        drop_duplicates: options.drop_duplicates,
        begin: None,
        last: Instant::ZERO,
        recent: VecDeque::with_capacity(REMEMBERED),
        seen: Seen::default(),
    })))
}

enum Source {
    Table(Box<Table>),
    Text(Box<Text>),
}

/// Where a field stands that is wrong, from 1.
type Misread = (Option<u64>, Problem);

/// Streams the requests of a block trace.
pub struct Requests {
    source: Source,
    file: String,
    format: Format,
    only: Option<u64>,
    drop_duplicates: bool,
    /// The first request's time.
    begin: Option<u64>,
    last: Instant,
    recent: VecDeque<Request>,
    seen: Seen,
}

impl Requests {
    /// The format it has.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether it says when requests came.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        match &self.source {
            Source::Table(table) => table.is_timed(),
            Source::Text(_) => self.format != Format::FioV2,
        }
    }

    /// What it has seen so far.
    #[must_use]
    pub const fn seen(&self) -> Seen {
        self.seen
    }

    /// Line of the last request.
    #[must_use]
    pub const fn line(&self) -> u64 {
        match &self.source {
            Source::Table(table) => table.line(),
            Source::Text(text) => text.line(),
        }
    }

    /// The name of the file, as in messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The next request; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not one of its format.
    pub fn next_request(&mut self) -> Result<Option<Request>, TraceError> {
        loop {
            let read = match &mut self.source {
                Source::Table(table) => table.next_request(),
                Source::Text(text) => text.next_request(),
            };
            let read = read.map_err(|(column, problem)| TraceError {
                file: self.file.clone(),
                line: self.line(),
                column,
                problem,
            })?;
            let Some(mut request) = read else {
                return Ok(None);
            };
            if self.only.is_some_and(|device| device != request.device) {
                continue;
            }
            self.settle(&mut request);
            let again = self.is_duplicate(&request);
            self.seen.duplicates += u64::from(again);
            if again && self.drop_duplicates {
                continue;
            }
            self.seen.requests += 1;
            return Ok(Some(request));
        }
    }

    /// Makes its time relative, and not before its predecessor's.
    fn settle(&mut self, request: &mut Request) {
        let read = request.at.as_nanos();
        let begin = *self.begin.get_or_insert(read);
        let at = Instant::from_nanos(read.saturating_sub(begin));
        if read < begin || at < self.last {
            self.seen.out_of_order += 1;
        }
        self.last = self.last.max(at);
        request.at = self.last;
    }

    fn is_duplicate(&mut self, request: &Request) -> bool {
        while let Some(oldest) = self.recent.front() {
            let old = request.at.since(oldest.at) > DUPLICATE_WINDOW;
            if !old && self.recent.len() < REMEMBERED {
                break;
            }
            self.recent.pop_front();
        }
        if request.kind == Kind::Flush {
            return false;
        }
        let what = |r: &Request| (r.kind, r.offset, r.length, r.device);
        let again = self.recent.iter().any(|r| what(r) == what(request));
        if !again {
            self.recent.push_back(*request);
        }
        again
    }
}

/// A number for a name; equal names have equal ones (FNV-1a). Not 0.
fn identity(name: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    name.iter().fold(0xcbf2_9ce4_8422_2325, mix).max(1)
}

/// What an operation's text says: a word, a digit, or the kernel's letters (`WFS`: a write, FUA, synchronous); `None` for
/// a request without data, which is left out.
fn operation(text: &[u8]) -> Result<Option<(Kind, bool)>, ()> {
    let is = |word: &str| text.eq_ignore_ascii_case(word.as_bytes());
    let plain = |kind| Ok(Some((kind, false)));
    if is("read") || is("0") || is("r") {
        return plain(Kind::Read);
    }
    if is("write") || is("1") || is("w") {
        return plain(Kind::Write);
    }
    if is("trim") || is("2") || is("discard") || is("d") || is("t") {
        return plain(Kind::Trim);
    }
    if is("flush") || is("sync") || is("datasync") || is("f") {
        return plain(Kind::Flush);
    }
    let letters = text.strip_prefix(b"F").unwrap_or(text);
    let flushes = letters.len() < text.len();
    let kind = match letters.first() {
        Some(b'R') => Kind::Read,
        Some(b'W') => Kind::Write,
        Some(b'D' | b'E') => Kind::Trim,
        Some(b'F' | b'N' | b'S') | None if flushes => Kind::Flush,
        Some(b'N') => return Ok(None),
        _ => return Err(()),
    };
    let known = letters
        .iter()
        .all(|letter| b"RWDEFNSMAUVPBC".contains(letter));
    let fua = kind == Kind::Write && letters.contains(&b'F');
    known.then_some(Some((kind, fua))).ok_or(())
}

/// What [`operation`] reads, for messages.
const OPERATIONS: &str = "an operation such as R, W, D, F, read, write, trim or flush";

/// A decimal number of units of `scale` each, rounded to whole ones; `None` if it is none or too large.
fn decimal(text: &[u8], scale: u64) -> Option<u64> {
    /// More digits of a fraction say nothing.
    const DIGITS: usize = 18;
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        None => (text, &[][..]),
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
    };
    if whole.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = crate::parse::parse_u64(whole)?.checked_mul(scale)?;
    let fraction = fraction.get(..DIGITS).unwrap_or(fraction);
    if fraction.is_empty() {
        return Some(whole);
    }
    let digits = u32::try_from(fraction.len()).ok()?;
    let one = 10_u128.pow(digits);
    let part = u128::from(crate::parse::parse_u64(fraction)?) * u128::from(scale);
    whole.checked_add(u64::try_from((part + one / 2) / one).ok()?)
}

#[cfg(test)]
mod tests;
