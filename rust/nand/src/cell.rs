// SPDX-License-Identifier: GPL-2.0-or-later
//! Cell modes and what their operations cost.

use crate::Crossing;
use units::{Instant, Nanos};

/// Bits per cell: of the chip as built, or of a block used in a lower mode (pSLC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// One bit: fast, and programs need not wait for a whole wordline.
    Slc,
    /// Two bits.
    Mlc,
    /// Three bits.
    Tlc,
    /// Four bits.
    Qlc,
}

impl Cell {
    /// Flash pages in a wordline.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Slc => 1,
            Self::Mlc => 2,
            Self::Tlc => 3,
            Self::Qlc => 4,
        }
    }
}

/// One cell mode's array times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellTiming {
    /// Sense time by page type: page `row % bits` of the wordline takes `read[row % bits]`.
    /// Entries past the mode's bits are not used.
    pub read: [Nanos; 4],
    /// Time to program a wordline.
    pub program: Nanos,
}

impl CellTiming {
    /// The same sense time for every page type.
    #[must_use]
    pub const fn uniform(read: Nanos, program: Nanos) -> Self {
        Self {
            read: [read; 4],
            program,
        }
    }
}

/// Array times of all modes, and the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// One bit a cell.
    pub slc: CellTiming,
    /// Two bits a cell.
    pub mlc: CellTiming,
    /// Three bits a cell.
    pub tlc: CellTiming,
    /// Four bits a cell.
    pub qlc: CellTiming,
    /// Block erase, any mode.
    pub erase: Nanos,
    /// Channel bandwidth in MB/s (MB = 2^20 bytes); at least 1.
    pub channel_mbps: u64,
    /// What transfers take beyond that, and how they are divided.
    pub crossing: Crossing,
}

impl Timing {
    /// The times of one mode.
    #[must_use]
    pub const fn of(&self, mode: Cell) -> &CellTiming {
        match mode {
            Cell::Slc => &self.slc,
            Cell::Mlc => &self.mlc,
            Cell::Tlc => &self.tlc,
            Cell::Qlc => &self.qlc,
        }
    }

    /// Sense time of the flash page in row `row` of a block used in `mode`.
    #[must_use]
    pub fn sense(&self, mode: Cell, row: u32) -> Nanos {
        let kind = (row % mode.bits()) as usize;
        self.of(mode).read.get(kind).copied().unwrap_or(Nanos::ZERO)
    }
}

/// An operation's booking on its plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// When the plane starts on it.
    pub start: Instant,
    /// When it is over and the plane is free again.
    pub end: Instant,
}
