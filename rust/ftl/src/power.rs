// SPDX-License-Identifier: GPL-2.0-or-later
//! What a power cut takes.

use crate::Namespace;
use units::Instant;

/// What became of a drive whose power went and came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerCut {
    /// When it is ready for commands again, if power came back at once.
    pub ready: Instant,
    /// When flash stopped: at the cut; later where capacitors let it end what it had begun.
    pub off: Instant,
    /// Pages whose newest data is gone, ascending in each namespace.
    pub lost: Vec<Lost>,
}

impl PowerCut {
    /// Nothing is lost, and everything is ready at once.
    #[must_use]
    pub const fn at(now: Instant) -> Self {
        Self {
            ready: now,
            off: now,
            lost: Vec::new(),
        }
    }
}

/// A page (4 KiB) whose newest data is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Namespace.
    pub namespace: Namespace,
    /// Page.
    pub lpn: u64,
    /// What it holds now.
    pub left: Left,
}

/// What is left of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: it reads as if it had never been written.
    Nothing,
    /// What was written before.
    Older,
    /// In a zone: its first so many sectors.
    Sectors(u8),
}
