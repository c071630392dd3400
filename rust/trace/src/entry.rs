// SPDX-License-Identifier: GPL-2.0-or-later
//! The lines of a trace and of its answer.

use std::io::{self, Write};
use units::{Instant, Nanos};

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Zone append; the address is the zone's first sector.
    Append,
    /// Flush of the namespace.
    Flush,
    /// Zone reset.
    Reset,
    /// Zone finish.
    Finish,
    /// Zone open.
    Open,
    /// Zone close.
    Close,
    /// Deallocate (Dataset Management).
    Trim,
    /// Write Zeroes.
    WriteZeroes,
    /// Read of what stays inside the drive, such as a copy's source: it does not cross the host link.
    ReadInside,
    /// Write of what comes from inside the drive, such as a copy's destination.
    WriteInside,
    /// Zone open with a random write area.
    OpenZrwa,
    /// Commit of a random write area; the address is where the write pointer goes.
    Commit,
    /// A read-only zone goes offline.
    Offline,
    /// The zone's descriptor extension is set.
    Extend,
    /// Reset of all zones that are neither empty nor failed.
    ResetAll,
    /// Finish of all open and closed zones.
    FinishAll,
    /// Open of all closed zones.
    OpenAll,
    /// Close of all open zones.
    CloseAll,
    /// All read-only zones go offline.
    OfflineAll,
}

impl Op {
    /// Every operation, in the order of their codes.
    pub const ALL: [Self; 21] = [
        Self::Read,
        Self::Write,
        Self::Append,
        Self::Flush,
        Self::Reset,
        Self::Finish,
        Self::Open,
        Self::Close,
        Self::Trim,
        Self::WriteZeroes,
        Self::ReadInside,
        Self::WriteInside,
        Self::OpenZrwa,
        Self::Commit,
        Self::Offline,
        Self::Extend,
        Self::ResetAll,
        Self::FinishAll,
        Self::OpenAll,
        Self::CloseAll,
        Self::OfflineAll,
    ];

    /// The code in a trace.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Read => "R",
            Self::Write => "W",
            Self::Append => "A",
            Self::Flush => "F",
            Self::Reset => "RST",
            Self::Finish => "FIN",
            Self::Open => "OPN",
            Self::Close => "CLS",
            Self::Trim => "TRIM",
            Self::WriteZeroes => "WZ",
            Self::ReadInside => "RI",
            Self::WriteInside => "WI",
            Self::OpenZrwa => "OPNZ",
            Self::Commit => "CMT",
            Self::Offline => "OFF",
            Self::Extend => "EXT",
            Self::ResetAll => "RST*",
            Self::FinishAll => "FIN*",
            Self::OpenAll => "OPN*",
            Self::CloseAll => "CLS*",
            Self::OfflineAll => "OFF*",
        }
    }

    pub(crate) fn from_code(code: &[u8]) -> Option<Self> {
        Some(match code {
            b"R" => Self::Read,
            b"W" => Self::Write,
            b"A" => Self::Append,
            b"F" => Self::Flush,
            b"RST" => Self::Reset,
            b"FIN" => Self::Finish,
            b"OPN" => Self::Open,
            b"CLS" => Self::Close,
            b"TRIM" => Self::Trim,
            b"WZ" => Self::WriteZeroes,
            b"RI" => Self::ReadInside,
            b"WI" => Self::WriteInside,
            b"OPNZ" => Self::OpenZrwa,
            b"CMT" => Self::Commit,
            b"OFF" => Self::Offline,
            b"EXT" => Self::Extend,
            b"RST*" => Self::ResetAll,
            b"FIN*" => Self::FinishAll,
            b"OPN*" => Self::OpenAll,
            b"CLS*" => Self::CloseAll,
            b"OFF*" => Self::OfflineAll,
            _ => return None,
        })
    }
}

/// One command of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// When it arrives, unless the loop is closed.
    pub arrival: Instant,
    /// Whether it goes to the data namespace (else to meta).
    pub data: bool,
    /// What it does.
    pub op: Op,
    /// First sector of 512 bytes.
    pub slba: u64,
    /// Number of sectors.
    pub nlb: u32,
    /// Whether the data must be durable at completion.
    pub fua: bool,
}

/// One line of a trace that is not a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A command.
    Command(Command),
    /// From here on this many commands are outstanding; 0 follows the arrivals given.
    Depth(u32),
    /// The next command arrives this long after the last completion.
    Idle(Nanos),
    /// Power goes then, if not later, and comes back.
    PowerCut(Instant),
}

impl Line {
    /// Writes it as a trace has it.
    ///
    /// # Errors
    /// The output's.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Depth(depth) => writeln!(out, "Q {depth}"),
            Self::Idle(pause) => writeln!(out, "I {}", pause.get()),
            Self::PowerCut(at) => writeln!(out, "power-cut {}", at.as_nanos()),
            Self::Command(c) => writeln!(
                out,
                "{} {} {} {} {} {}",
                c.arrival.as_nanos(),
                u8::from(c.data),
                c.op.code(),
                c.slba,
                c.nlb,
                u8::from(c.fua)
            ),
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The command, with the instant at which it did arrive.
    pub command: Command,
    /// When it completed.
    pub completion: Instant,
    /// NVMe status code type and code, 0 for success.
    pub status: u16,
}

impl Answer {
    /// Completion minus arrival.
    #[must_use]
    pub const fn latency(&self) -> Nanos {
        self.completion.since(self.command.arrival)
    }

    /// Writes the answer's line.
    ///
    /// # Errors
    /// The output's.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let c = &self.command;
        // 20 + 1 + 4 + 20 + 10 + 20 + 5 characters and 7 separators fit.
        let mut line = [0u8; 96];
        let mut at = 0;
        let mut number = itoa::Buffer::new();
        let mut put = |text: &str, separator: u8| {
            if let Some(room) = line.get_mut(at..at + text.len() + 1) {
                let (last, body) = match room.split_last_mut() {
                    Some(parts) => parts,
                    None => return,
                };
                body.copy_from_slice(text.as_bytes());
                *last = separator;
                at += text.len() + 1;
            }
        };
        put(number.format(c.arrival.as_nanos()), b' ');
        put(if c.data { "1" } else { "0" }, b' ');
        put(c.op.code(), b' ');
        put(number.format(c.slba), b' ');
        put(number.format(c.nlb), b' ');
        put(number.format(self.completion.as_nanos()), b' ');
        put(number.format(self.status), b'\n');
        out.write_all(line.get(..at).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back() {
        for (i, op) in Op::ALL.into_iter().enumerate() {
            assert_eq!(op as usize, i);
            assert_eq!(Op::from_code(op.code().as_bytes()), Some(op));
        }
    }
}
