// SPDX-License-Identifier: GPL-2.0-or-later
//! Which law is broken, and how.

use core::fmt;

/// The laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Each acknowledged page has a programmed, not erased copy at every instant.
    LostPage,
    /// FUA, Flush and Finish are answered when the data is durable, not before.
    EarlyAcknowledgement,
    /// A copy is made of what the place holds.
    CopyOfNothing,
    /// A block is programmed only after its erase has ended.
    ProgramBeforeErase,
    /// A page is programmed once between erases, and the pages of a block in order.
    ProgrammedTwice,
    /// Memory that keeps its data is no larger than it is said to be.
    Memory,
    /// A plane does one thing at a time.
    PlaneOverlap,
    /// A link carries no more than its bandwidth allows.
    LinkOverfull,
    /// Only what was never written, or dropped, reads as such.
    Unmapped,
    /// A write is refused only if there is no room.
    Refused,
    /// Nothing is busy for longer than the time that has passed.
    Busy,
    /// Counters are the sums of what happened.
    Counters,
    /// What the model tells fits what it was asked.
    Telling,
    /// A command ends after it arrived, and a failed one at once.
    Answer,
    /// The model's own checks.
    Invariant,
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// What was seen.
    pub seen: String,
}

impl Violation {
    pub(crate) fn new(law: Law, seen: String) -> Self {
        Self { law, seen }
    }

    /// The same, as the end of a check.
    pub(crate) fn found<T>(law: Law, seen: String) -> Result<T, Self> {
        Err(Self::new(law, seen))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.seen)
    }
}

impl std::error::Error for Violation {}
