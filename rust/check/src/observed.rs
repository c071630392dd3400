// SPDX-License-Identifier: GPL-2.0-or-later
//! Stand-in for what the models tell (`ftl::Event`, `nand::Occupied`) until they do.

use ftl::Namespace;
use nand::{BlockId, PlaneId};
use units::Instant;

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Plane.
    pub plane: PlaneId,
    /// Block.
    pub block: BlockId,
    /// 4 KiB page within the block on that plane.
    pub page: u64,
}

/// What a model did with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "stand-in")]
pub enum Event {
    Entered {
        namespace: Namespace,
        lpn: u64,
    },
    Copied {
        namespace: Namespace,
        lpn: u64,
        from: Option<Place>,
        to: Place,
        durable: Option<Instant>,
    },
    Durable {
        place: Place,
        at: Instant,
    },
    Dropped {
        namespace: Namespace,
        first: u64,
        pages: u64,
    },
    Kept {
        namespace: Namespace,
        lpn: u64,
    },
}

/// What a plane does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "stand-in")]
pub enum What {
    Read,
    Load,
    Program,
    Erase,
    Suspend,
    Resume,
}

/// One segment of a plane's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "stand-in")]
pub struct Occupied {
    pub plane: PlaneId,
    pub block: BlockId,
    pub what: What,
    pub start: Instant,
    pub end: Instant,
    pub background: bool,
}

/// Whether models tell already.
pub const TELLS: bool = false;
