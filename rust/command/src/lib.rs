// SPDX-License-Identifier: GPL-2.0-or-later
//! What a drive is asked, and what it answers: the words that the controller (`nvme`) and the flash
//! models have in common, so that neither knows the other.
//!
//! The controller turns LBAs into sectors where it parses; a model answers with an instant and a
//! [`Result`], and the controller turns an [`Error`] into a status. Neither has a type of its own for
//! any of this.
//!
//! What reads as zeroes after a command follows from the command: what was deallocated on a block
//! namespace, written with zeroes, or reset. Bytes are the controller's business, not the model's.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

use units::{Instant, Sector, ZoneId};
use zone::{State, Zones};

/// Longest range a command can be about: 2^54 sectors are 8 EiB, where byte offsets end.
pub const MAX_SECTORS: u64 = 1 << 54;

/// Memory that the host lends to a drive (NVMe: Host Memory Buffer), from byte 0 on.
pub trait HostMemory {
    /// Copies the bytes from `at` on to `into`; false if they cannot be reached.
    fn read(&mut self, at: u64, into: &mut [u8]) -> bool;

    /// Copies `from` to the bytes from `at` on; false if they cannot be reached.
    fn write(&mut self, at: u64, from: &[u8]) -> bool;
}

/// A command to a namespace. Addresses and lengths are in 512-byte sectors of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read.
    Read {
        /// First sector.
        at: Sector,
        /// How many.
        sectors: u64,
        /// The data stays inside the drive: it does not cross the host link.
        internal: bool,
    },
    /// Write.
    Write {
        /// First sector.
        at: Sector,
        /// How many.
        sectors: u64,
        /// Force unit access: complete when durable.
        fua: bool,
        /// The data comes from inside the drive: it does not cross the host link.
        internal: bool,
    },
    /// Zone append: write at the write pointer of the zone that starts at `zone`.
    Append {
        /// First sector of the zone.
        zone: Sector,
        /// How many sectors to append.
        sectors: u64,
        /// Force unit access: complete when durable.
        fua: bool,
    },
    /// Everything written to the namespace becomes durable.
    Flush,
    /// Unmap (block namespaces; nothing happens on zones). Partly covered pages stay mapped.
    Deallocate {
        /// First sector.
        at: Sector,
        /// How many.
        sectors: u64,
    },
    /// Write zeroes: unmaps on block namespaces, a write that moves no data on zones.
    WriteZeroes {
        /// First sector.
        at: Sector,
        /// How many.
        sectors: u64,
        /// Force unit access: complete when durable.
        fua: bool,
    },
    /// Zone management.
    Zone {
        /// What to do.
        action: ZoneAction,
        /// On which zones.
        target: ZoneTarget,
    },
    /// Commits a zone's random write area, from the write pointer to before this sector.
    CommitZrwa {
        /// Where the write pointer is to go.
        end: Sector,
    },
}

impl Command {
    /// The sector it is about first (a commit: last); `None` if that is the whole namespace.
    #[must_use]
    pub fn sector(&self) -> Option<Sector> {
        match *self {
            Self::Read { at, .. }
            | Self::Write { at, .. }
            | Self::Append { zone: at, .. }
            | Self::Deallocate { at, .. }
            | Self::WriteZeroes { at, .. }
            | Self::Zone {
                target: ZoneTarget::One(at),
                ..
            } => Some(at),
            Self::CommitZrwa { end } => Some(Sector::new(end.get().saturating_sub(1))),
            Self::Flush
            | Self::Zone {
                target: ZoneTarget::All,
                ..
            } => None,
        }
    }

    /// A read whose data crosses the host link.
    #[must_use]
    pub const fn read(at: Sector, sectors: u64) -> Self {
        Self::Read {
            at,
            sectors,
            internal: false,
        }
    }

    /// A write whose data crosses the host link.
    #[must_use]
    pub const fn write(at: Sector, sectors: u64, fua: bool) -> Self {
        Self::Write {
            at,
            sectors,
            fua,
            internal: false,
        }
    }

    /// Whether something is durable when it has completed: Flush, and what has FUA.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        match *self {
            Self::Flush => true,
            Self::Write { fua, .. } | Self::Append { fua, .. } | Self::WriteZeroes { fua, .. } => {
                fua
            }
            Self::Read { .. }
            | Self::Deallocate { .. }
            | Self::Zone { .. }
            | Self::CommitZrwa { .. } => false,
        }
    }

    /// The same with FUA or without, where it writes.
    #[must_use]
    pub const fn with_fua(mut self, is: bool) -> Self {
        if let Self::Write { fua, .. } | Self::Append { fua, .. } | Self::WriteZeroes { fua, .. } =
            &mut self
        {
            *fua = is;
        }
        self
    }
}

/// Zone management actions (ZNS Command Set 1.1, figure "Zone Send Action").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZoneAction {
    /// Explicit open.
    #[default]
    Open,
    /// Explicit open, with a random write area.
    OpenZrwa,
    /// Close.
    Close,
    /// Finish: the zone becomes full.
    Finish,
    /// Reset: the zone becomes empty.
    Reset,
    /// Read-only zones go offline.
    Offline,
    /// The descriptor extension is set; the zone becomes closed. (Not for all zones at once.)
    SetExtension,
}

state::state_enum!(ZoneAction {
    Open = 0,
    OpenZrwa = 1,
    Close = 2,
    Finish = 3,
    Reset = 4,
    Offline = 5,
    SetExtension = 6,
});

impl ZoneAction {
    /// Each of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::OpenZrwa,
        Self::Close,
        Self::Finish,
        Self::Reset,
        Self::Offline,
        Self::SetExtension,
    ];

    /// With "select all": what to do with a zone in `state`, if it is one of those that ZNS 1.1 names
    /// for the action. Only empty zones get a random write area, and none of those is opened.
    #[must_use]
    pub const fn for_all(self, state: State) -> Option<Self> {
        use State::{Closed, ExplicitlyOpen, Full, ImplicitlyOpen, ReadOnly};
        match (self, state) {
            (Self::Open | Self::OpenZrwa, Closed) => Some(Self::Open),
            (Self::Close, ImplicitlyOpen | ExplicitlyOpen)
            | (Self::Finish, ImplicitlyOpen | ExplicitlyOpen | Closed)
            | (Self::Reset, ImplicitlyOpen | ExplicitlyOpen | Closed | Full)
            | (Self::Offline, ReadOnly) => Some(self),
            _ => None,
        }
    }

    /// Checks what can be known before "select all" begins: closed zones are opened all or none.
    ///
    /// # Errors
    /// Resources.
    pub const fn check_all(self, zones: &Zones) -> Result<(), zone::Error> {
        match self {
            Self::Open | Self::OpenZrwa => zones.check_open_all(),
            _ => Ok(()),
        }
    }
}

/// The zones an action applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneTarget {
    /// The zone that starts at this sector.
    One(Sector),
    /// Every zone in a state that the action's "select all" names.
    All,
}

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// When the command completes; never before it arrived.
    pub done: Instant,
    /// What it comes to.
    pub result: Result<Reply, Error>,
}

impl Outcome {
    /// Success at `done`.
    pub const fn done(done: Instant) -> Self {
        Self {
            done,
            result: Ok(Reply::Done),
        }
    }

    /// Failure of a command that arrived at `now`.
    pub const fn failed(now: Instant, error: Error) -> Self {
        Self {
            done: now,
            result: Err(error),
        }
    }
}

/// A successful command's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// Appended at this sector.
    Appended(Sector),
}

/// Why a command failed. A model's errors change nothing, move no data and take no time; those of the
/// media come after the time that the command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Some of the range is outside the namespace.
    OutOfRange,
    /// The namespace does not exist, or the command does not apply to its kind.
    Unsupported,
    /// A zone command's sector is not the first of a zone.
    NotZoneStart,
    /// Zone state, write pointer or resources.
    Zone(zone::Error),
    /// No flash left for the write.
    CapacityExceeded,
    /// The media cannot be read, first at this sector.
    Unreadable(Sector),
    /// The media cannot be written, first at this sector.
    Unwritable(Sector),
    /// The drive itself failed.
    Internal,
}

/// The zone that starts at `start`.
///
/// # Errors
/// The sector is no zone's, or not the first of one.
pub fn zone_at(zones: &Zones, start: Sector) -> Result<ZoneId, Error> {
    let id = zones.locate(start).ok_or(Error::OutOfRange)?;
    if zones.start(id) == start {
        Ok(id)
    } else {
        Err(Error::NotZoneStart)
    }
}

impl From<zone::Error> for Error {
    fn from(error: zone::Error) -> Self {
        Self::Zone(error)
    }
}

/// A zone as zone reports show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneReport {
    /// Which.
    pub id: ZoneId,
    /// Its first sector.
    pub start: Sector,
    /// Sectors that can be written.
    pub capacity: u64,
    /// The next sector to write; the zone's end where the state has none.
    pub write_pointer: Sector,
    /// Its state.
    pub state: State,
    /// It has a random write area.
    pub zrwa: bool,
    /// Its descriptor extension is set.
    pub extended: bool,
}
