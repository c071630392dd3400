// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads traces and answers, line by line, and says exactly what is wrong with a bad one.

use crate::entry::{Answer, Command, Line, Op};
use std::io::{self, BufRead};
use units::{Instant, Nanos};

/// The codes of [`Op::ALL`].
const OPERATIONS: &str =
    "one of R W A F RST FIN OPN CLS TRIM WZ RI WI OPNZ CMT OFF EXT RST* FIN* OPN* CLS* OFF*";

/// Longest line: far above what the fields need, and a bound on memory for files without any.
const MAX_LINE_BYTES: u64 = 4096;

/// A file that cannot be read as a trace, and where.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}{}: {problem}", column.map_or_else(String::new, |column| format!(":{column}")))]
pub struct TraceError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// Where on it, from 1; not in traces of our own.
    pub column: Option<u64>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A field has the wrong contents.
    #[error("field {field}: '{found}' is not {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// A field is missing.
    #[error("field {field} is missing")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// There is more on the line than fields.
    #[error("'{found}' after the last field")]
    Trailing {
        /// What stands there.
        found: String,
    },
    /// An open-loop command arrives before its predecessor.
    #[error("field arrival_ns: {found} is before the preceding command's {previous}")]
    BackInTime {
        /// The arrival.
        found: u64,
        /// The preceding command's.
        previous: u64,
    },
    /// The line does not end.
    #[error("the line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// It cannot be read as it was asked for.
    #[error("{0}")]
    Options(&'static str),
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Streams lines with their numbers, in one reused buffer.
pub(crate) struct Lines<R> {
    input: R,
    file: String,
    pub(crate) line: u64,
    pub(crate) text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R, file: &str) -> Self {
        Self {
            input,
            file: file.to_string(),
            line: 0,
            text: Vec::with_capacity(128),
        }
    }

    /// Goes to the next line that is neither blank nor a comment; false at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, Problem> {
        loop {
            self.text.clear();
            self.line += 1;
            let mut limited = io::Read::take(&mut self.input, MAX_LINE_BYTES);
            if limited.read_until(b'\n', &mut self.text)? == 0 {
                return Ok(false);
            }
            if self.text.last() != Some(&b'\n') && self.text.len() as u64 == MAX_LINE_BYTES {
                return Err(Problem::TooLong);
            }
            if says_something(&self.text) {
                return Ok(true);
            }
        }
    }

    /// Goes to the next line that is neither blank nor a comment and reads it; `None` at the end. What is buffered is
    /// read in place.
    fn read<T>(
        &mut self,
        read: impl Fn(&[u8]) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        loop {
            // An error comes again, or was an interruption.
            let buffered = self.input.fill_buf().unwrap_or_default();
            let end = memchr::memchr(b'\n', buffered).filter(|end| (*end as u64) < MAX_LINE_BYTES);
            let Some(line) = end.and_then(|end| buffered.get(..=end)) else {
                return match self.advance()? {
                    true => read(&self.text).map(Some),
                    false => Ok(None),
                };
            };
            self.line += 1;
            let says = says_something(line).then(|| read(line));
            let len = line.len();
            self.input.consume(len);
            if let Some(says) = says {
                return says.map(Some);
            }
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::of(&self.text)
    }

    fn error(&self, problem: Problem) -> TraceError {
        TraceError {
            file: self.file.clone(),
            line: self.line,
            column: None,
            problem,
        }
    }
}

/// Whether a line is neither blank nor a comment.
fn says_something(line: &[u8]) -> bool {
    let first = line.iter().find(|b| !b.is_ascii_whitespace());
    first.is_some_and(|first| *first != b'#')
}

/// What is left of a line.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    /// Bytes left.
    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Goes to the next field's first byte.
    pub(crate) fn skip_blanks(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    pub(crate) fn next_text(&mut self) -> Option<&'a [u8]> {
        self.skip_blanks();
        let is_blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        let len = self.rest.iter().position(is_blank);
        let (text, rest) = self.rest.split_at(len.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!text.is_empty()).then_some(text)
    }

    fn text(&mut self, field: &'static str) -> Result<&'a [u8], Problem> {
        self.next_text().ok_or(Problem::Missing { field })
    }

    /// A number in one pass, which is most of the work of reading a trace. `None`, with nothing
    /// taken, if the field is anything else or may overflow.
    #[inline]
    fn short_number(&mut self) -> Option<u64> {
        /// So many digits cannot overflow.
        const SHORT: usize = 19;
        self.skip_blanks();
        let (mut n, mut digits) = (0u64, 0);
        for byte in self.rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            n = n.wrapping_mul(10).wrapping_add(digit.into());
            digits += 1;
        }
        let rest = self.rest.get(digits..)?;
        let blank = matches!(rest, [b' ' | b'\t' | b'\r' | b'\n', ..]);
        if !blank || digits == 0 || digits > SHORT {
            return None;
        }
        self.rest = rest;
        Some(n)
    }

    #[inline]
    fn number(&mut self, field: &'static str) -> Result<u64, Problem> {
        if let Some(n) = self.short_number() {
            return Ok(n);
        }
        let text = self.text(field)?;
        parse_u64(text).ok_or_else(|| bad(field, text, "a whole number below 2^64"))
    }

    #[inline]
    fn number_u32(&mut self, field: &'static str) -> Result<u32, Problem> {
        let start = self.rest;
        if let Some(Ok(n)) = self.short_number().map(u32::try_from) {
            return Ok(n);
        }
        self.rest = start;
        let text = self.text(field)?;
        parse_u64(text)
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(|| bad(field, text, "a whole number below 2^32"))
    }

    /// Takes a field of one character, the usual case for all but the numbers.
    #[inline]
    fn letter(&mut self) -> Option<u8> {
        // The blank after it stays, for the next field.
        if let [b' ', letter, rest @ ..] = self.rest {
            if let [b' ' | b'\n', ..] = rest {
                self.rest = rest;
                return Some(*letter);
            }
        }
        None
    }

    #[inline]
    fn bit(&mut self, field: &'static str, expected: &'static str) -> Result<bool, Problem> {
        let start = self.rest;
        match self.letter() {
            Some(b'0') => return Ok(false),
            Some(b'1') => return Ok(true),
            _ => self.rest = start,
        }
        match self.text(field)? {
            b"0" => Ok(false),
            b"1" => Ok(true),
            text => Err(bad(field, text, expected)),
        }
    }

    #[inline]
    fn op(&mut self) -> Result<Op, Problem> {
        let start = self.rest;
        match self.letter() {
            Some(b'R') => return Ok(Op::Read),
            Some(b'W') => return Ok(Op::Write),
            _ => self.rest = start,
        }
        let text = self.text("op")?;
        Op::from_code(text).ok_or_else(|| bad("op", text, OPERATIONS))
    }

    #[inline]
    fn end(&mut self) -> Result<(), Problem> {
        if self.rest == b"\n" {
            return Ok(());
        }
        match self.next_text() {
            None => Ok(()),
            Some(text) => Err(Problem::Trailing { found: shown(text) }),
        }
    }
}

pub(crate) fn parse_u64(text: &[u8]) -> Option<u64> {
    let mut n: u64 = 0;
    for digit in text {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(n)
}

#[cold]
pub(crate) fn bad(field: &'static str, found: &[u8], expected: &'static str) -> Problem {
    Problem::Field {
        field,
        found: shown(found),
        expected,
    }
}

/// A field's text for a message: printable, and not too long.
fn shown(text: &[u8]) -> String {
    let start = text.get(..40).unwrap_or(text);
    String::from_utf8_lossy(start).escape_debug().to_string()
}

/// Streams a trace.
pub struct Reader<R> {
    lines: Lines<R>,
    previous: Instant,
    open_loop: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`; messages call it `file`.
    pub fn new(input: R, file: &str) -> Self {
        Self {
            lines: Lines::new(input, file),
            previous: Instant::ZERO,
            open_loop: true,
        }
    }

    /// The next line that says something; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or the line is not one of a trace.
    pub fn next_line(&mut self) -> Result<Option<Line>, TraceError> {
        self.advance().map_err(|p| self.lines.error(p))
    }

    fn advance(&mut self) -> Result<Option<Line>, Problem> {
        let line = self.lines.read(|text| {
            let mut fields = Fields::of(text);
            let line = match fields.short_number() {
                Some(arrival) => Line::Command(command(arrival, &mut fields)?),
                None => other(&mut fields)?,
            };
            fields.end()?;
            Ok(line)
        })?;
        let Some(line) = line else {
            return Ok(None);
        };
        if let Line::Depth(depth) = line {
            self.open_loop = depth == 0;
        }
        if let (true, Line::Command(command)) = (self.open_loop, &line) {
            if command.arrival < self.previous {
                return Err(Problem::BackInTime {
                    found: command.arrival.as_nanos(),
                    previous: self.previous.as_nanos(),
                });
            }
            self.previous = command.arrival;
        }
        Ok(Some(line))
    }
}

/// A line that does not start with a short number.
fn other(fields: &mut Fields<'_>) -> Result<Line, Problem> {
    match fields.text("arrival_ns")? {
        b"Q" => Ok(Line::Depth(fields.number_u32("depth")?)),
        b"I" => Ok(Line::Idle(Nanos::new(fields.number("ns")?))),
        b"power-cut" => Ok(Line::PowerCut(Instant::from_nanos(fields.number("at_ns")?))),
        text => {
            let expected = "a whole number below 2^64, Q, I or power-cut";
            let arrival = parse_u64(text).ok_or_else(|| bad("arrival_ns", text, expected))?;
            Ok(Line::Command(command(arrival, fields)?))
        }
    }
}

/// The command whose first field has been taken.
#[inline]
fn command(arrival: u64, fields: &mut Fields<'_>) -> Result<Command, Problem> {
    Ok(Command {
        arrival: Instant::from_nanos(arrival),
        data: fields.bit("ns", "0 (meta) or 1 (data)")?,
        op: fields.op()?,
        slba: fields.number("slba")?,
        nlb: fields.number_u32("nlb")?,
        fua: fields.bit("fua", "0 or 1")?,
    })
}

/// Streams the answer to a trace.
pub struct AnswerReader<R> {
    lines: Lines<R>,
}

impl<R: BufRead> AnswerReader<R> {
    /// Reads from `input`; messages call it `file`.
    pub fn new(input: R, file: &str) -> Self {
        Self {
            lines: Lines::new(input, file),
        }
    }

    /// The next answer; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or the line is not one of an answer.
    pub fn next_answer(&mut self) -> Result<Option<Answer>, TraceError> {
        self.advance().map_err(|p| self.lines.error(p))
    }

    fn advance(&mut self) -> Result<Option<Answer>, Problem> {
        self.lines.read(|text| {
            let mut fields = Fields::of(text);
            let answer = answer(&mut fields)?;
            fields.end()?;
            Ok(answer)
        })
    }
}

fn answer(fields: &mut Fields<'_>) -> Result<Answer, Problem> {
    let command = Command {
        arrival: Instant::from_nanos(fields.number("arrival_ns")?),
        data: fields.bit("ns", "0 (meta) or 1 (data)")?,
        op: fields.op()?,
        slba: fields.number("slba")?,
        nlb: fields.number_u32("nlb")?,
        fua: false,
    };
    let completion = Instant::from_nanos(fields.number("completion_ns")?);
    let text = fields.text("status")?;
    let status = parse_u64(text)
        .and_then(|n| u16::try_from(n).ok())
        .ok_or_else(|| bad("status", text, "a whole number below 2^16"))?;
    Ok(Answer {
        command,
        completion,
        status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Result<Vec<Line>, String> {
        let mut reader = Reader::new(text.as_bytes(), "t");
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().map_err(|e| e.to_string())? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let lines =
            all("# c\n\n5 1 W 8\t16 1\nQ 4\r\n0 0 RST 0 0 0\nI 77\npower-cut 8\n0 1 R 1 2 0")
                .unwrap();
        let write = Command {
            arrival: Instant::from_nanos(5),
            data: true,
            op: Op::Write,
            slba: 8,
            nlb: 16,
            fua: true,
        };
        let reset = Command {
            arrival: Instant::ZERO,
            data: false,
            op: Op::Reset,
            slba: 0,
            nlb: 0,
            fua: false,
        };
        let read = Command {
            data: true,
            op: Op::Read,
            slba: 1,
            nlb: 2,
            ..reset
        };
        assert_eq!(
            lines,
            [
                Line::Command(write),
                Line::Depth(4),
                Line::Command(reset),
                Line::Idle(Nanos::new(77)),
                Line::PowerCut(Instant::from_nanos(8)),
                Line::Command(read)
            ]
        );
    }

    #[test]
    fn errors_name_file_line_and_field() {
        for (text, message) in [
            (
                "\n0 1 W x 8 0",
                "t:2: field slba: 'x' is not a whole number below 2^64",
            ),
            (
                "0 2 W 0 8 0",
                "t:1: field ns: '2' is not 0 (meta) or 1 (data)",
            ),
            (
                "0 1 Y 0 8 0",
                "t:1: field op: 'Y' is not one of R W A F RST FIN OPN CLS TRIM WZ RI WI OPNZ CMT OFF EXT RST* FIN* OPN* CLS* OFF*",
            ),
            ("0 1 W 0 8", "t:1: field fua is missing"),
            ("0 1 W 0 8 0 9", "t:1: '9' after the last field"),
            (
                "0 1 W 0 4294967296 0",
                "t:1: field nlb: '4294967296' is not a whole number below 2^32",
            ),
            (
                "0 1 W 18446744073709551616 8 0",
                "t:1: field slba: '18446744073709551616' is not a whole number below 2^64",
            ),
            (
                "9 1 W 0 8 0\n8 1 W 0 8 0",
                "t:2: field arrival_ns: 8 is before the preceding command's 9",
            ),
            (
                "Z",
                "t:1: field arrival_ns: 'Z' is not a whole number below 2^64, Q, I or power-cut",
            ),
            ("power-cut", "t:1: field at_ns is missing"),
            ("Q", "t:1: field depth is missing"),
        ] {
            assert_eq!(all(text).unwrap_err(), message);
        }
        let endless = "1".repeat(5000);
        assert_eq!(
            all(&endless).unwrap_err(),
            "t:1: the line is longer than 4096 bytes"
        );
    }

    #[test]
    fn answers_read_back_as_written() {
        let answer = Answer {
            command: Command {
                arrival: Instant::from_nanos(u64::MAX),
                data: true,
                op: Op::WriteZeroes,
                slba: u64::MAX,
                nlb: u32::MAX,
                fua: false,
            },
            completion: Instant::from_nanos(u64::MAX),
            status: u16::MAX,
        };
        let mut text = Vec::new();
        answer.write(&mut text).unwrap();
        let mut reader = AnswerReader::new(text.as_slice(), "t");
        assert_eq!(reader.next_answer().unwrap(), Some(answer));
        assert_eq!(reader.next_answer().unwrap(), None);
    }

    #[test]
    fn lines_that_end_in_the_next_buffer_are_whole() {
        let text = "0 1 W 0 8 0\n# c\n\n0 1 R 123456 8 0\nQ 4\n0 1 W 8 8 1";
        let whole = all(text).unwrap();
        for size in 1..text.len() {
            let input = io::BufReader::with_capacity(size, text.as_bytes());
            let mut reader = Reader::new(input, "t");
            let mut lines = Vec::new();
            while let Some(line) = reader.next_line().unwrap() {
                lines.push(line);
            }
            assert_eq!(lines, whole, "{size}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut reader = Reader::new(bytes.as_slice(), "t");
            while let Ok(Some(_)) = reader.next_line() {}
        }
    }
}
