// SPDX-License-Identifier: GPL-2.0-or-later
//! What the flash model is asked, as lines of a trace: a run of the device becomes a trace that `sim` replays.
//!
//! Commands are noted where they reach the model, behind fault rules and everything that the controller refuses, and
//! are taken from here by whoever owns a file. Noting allocates nothing; when nobody takes them they are counted as
//! lost.

use core::fmt::{self, Display, Formatter};

use command::{Command, ZoneAction, ZoneTarget};
use ftl::Namespace;
use nvme::{NsIndex, Sanitized};
use units::{Instant, Sector, ZoneId};

/// Most commands kept: a visit of the device is at most half a thousand of them.
const MAX_COMMANDS: usize = 4096;

/// Who is told what changes a drive, before it does, so that a drive in the state before can be brought to that after
/// ([`crate::Drive::replay`]).
pub trait Journal: fmt::Debug + Send + Sync {
    /// Takes this down; allocates nothing.
    fn note(&self, what: &Recorded);
}

/// What happened to the drive. What happened to the model is displayed as a line of a trace, the rest as a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// A command reached it: `arrival_ns ns op slba nlb fua`.
    Command {
        /// The namespace.
        ns: Namespace,
        /// What was asked.
        command: Command,
        /// When it arrived.
        at: Instant,
    },
    /// Power was cut: `power-cut ns`.
    PowerCut(Instant),
    /// The guest had a number noted.
    Note {
        /// When.
        at: Instant,
        /// Its number.
        number: u64,
    },
    /// A namespace was formatted to LBAs of [`nvme::LBA_SHIFTS`].
    Format {
        /// Which.
        ns: NsIndex,
        /// Index of the LBA size.
        format: u8,
    },
    /// A zone has failed.
    Failed {
        /// Which.
        zone: ZoneId,
        /// Offline, or read-only.
        offline: bool,
    },
    /// Write Uncorrectable, which was worked as a write right before, has marked sectors; or their data was erased.
    Uncorrectable {
        /// The namespace.
        ns: NsIndex,
        /// The first of them.
        at: Sector,
        /// How many.
        sectors: u64,
        /// Marked, or not any more.
        is_set: bool,
    },
    /// How a sanitize operation stands from here on.
    Sanitized(Sanitized),
    /// The host lends memory from here on (Host Memory Buffer), or takes it back.
    Lent {
        /// How many slots of 4 KiB; 0: it takes back what it lent.
        slots: u32,
        /// They are the same as before, as they were.
        is_kept: bool,
    },
    /// Lent memory is not as the drive left it.
    Spoilt {
        /// The slot.
        slot: u32,
        /// Its pieces, bit by bit.
        pieces: u64,
    },
    /// Part of a zone's descriptor extension.
    Extension {
        /// Which zone's.
        zone: ZoneId,
        /// Which 16 bytes of it.
        at: usize,
        /// What they are.
        bytes: [u8; 16],
    },
}

impl Recorded {
    /// When it happened, where that is said.
    #[must_use]
    pub const fn at(&self) -> Option<Instant> {
        match *self {
            Self::Command { at, .. } | Self::PowerCut(at) | Self::Note { at, .. } => Some(at),
            Self::Format { .. }
            | Self::Failed { .. }
            | Self::Uncorrectable { .. }
            | Self::Sanitized(_)
            | Self::Lent { .. }
            | Self::Spoilt { .. }
            | Self::Extension { .. } => None,
        }
    }
}

impl Display for Recorded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { ns, command, at } => line(f, *ns, command, *at),
            Self::PowerCut(at) => write!(f, "power-cut {}", at.as_nanos()),
            Self::Note { at, number } => write!(f, "# {} note {number}", at.as_nanos()),
            Self::Format { ns, format } => {
                write!(f, "# namespace {} formatted to {format}", ns.nsid().get())
            }
            Self::Failed { zone, offline } => {
                let how = if *offline { "offline" } else { "read-only" };
                write!(f, "# zone {} is {how}", zone.get())
            }
            Self::Uncorrectable {
                ns,
                at,
                sectors,
                is_set,
            } => {
                let (nsid, at) = (ns.nsid().get(), at.get());
                let how = if *is_set { "cannot" } else { "can" };
                write!(
                    f,
                    "# {sectors} sectors from {at} of namespace {nsid} {how} be read"
                )
            }
            Self::Sanitized(to) => {
                let at = to.since.as_nanos();
                write!(f, "# sanitize operation of {at}: {:?}", to.status)
            }
            Self::Lent { slots, is_kept } => {
                let again = if *is_kept { " again" } else { "" };
                write!(f, "# the host lends {slots} x 4 KiB{again}")
            }
            Self::Spoilt { slot, pieces } => {
                let pieces = pieces.count_ones();
                write!(f, "# the host has changed {pieces} pieces of slot {slot}")
            }
            Self::Extension { zone, at, .. } => {
                write!(
                    f,
                    "# bytes {} of the extension of zone {}",
                    16 * at,
                    zone.get()
                )
            }
        }
    }
}

fn line(f: &mut Formatter<'_>, ns: Namespace, command: &Command, at: Instant) -> fmt::Result {
    let (op, sectors, fua) = match *command {
        Command::Read {
            sectors, internal, ..
        } => (if internal { "RI" } else { "R" }, sectors, false),
        Command::Write {
            sectors,
            fua,
            internal,
            ..
        } => (if internal { "WI" } else { "W" }, sectors, fua),
        Command::Append { sectors, fua, .. } => ("A", sectors, fua),
        Command::Flush => ("F", 0, false),
        Command::Deallocate { sectors, .. } => ("TRIM", sectors, false),
        Command::WriteZeroes { sectors, fua, .. } => ("WZ", sectors, fua),
        Command::Zone {
            action,
            target: ZoneTarget::One(_),
        } => (one(action), 0, false),
        Command::Zone {
            action,
            target: ZoneTarget::All,
        } => (all(action), 0, false),
        Command::CommitZrwa { .. } => ("CMT", 0, false),
    };
    let slba = match *command {
        Command::CommitZrwa { end } => end.get(),
        command => command.sector().map_or(0, |at| at.get()),
    };
    let (at, fua) = (at.as_nanos(), u8::from(fua));
    let ns = match ns {
        Namespace::Meta => 0,
        Namespace::Data => 1,
    };
    write!(f, "{at} {ns} {op} {slba} {sectors} {fua}")
}

const fn one(action: ZoneAction) -> &'static str {
    match action {
        ZoneAction::Open => "OPN",
        ZoneAction::OpenZrwa => "OPNZ",
        ZoneAction::Close => "CLS",
        ZoneAction::Finish => "FIN",
        ZoneAction::Reset => "RST",
        ZoneAction::Offline => "OFF",
        ZoneAction::SetExtension => "EXT",
    }
}

/// Zones are opened all at once without random write areas, whichever way it is asked for; extensions are set one by one.
const fn all(action: ZoneAction) -> &'static str {
    match action {
        ZoneAction::Open | ZoneAction::OpenZrwa => "OPN*",
        ZoneAction::Close => "CLS*",
        ZoneAction::Finish => "FIN*",
        ZoneAction::Reset => "RST*",
        ZoneAction::Offline => "OFF*",
        ZoneAction::SetExtension => "EXT",
    }
}

/// Commands that nobody has taken yet.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    commands: Vec<Recorded>,
    lost: u64,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self {
            commands: Vec::with_capacity(MAX_COMMANDS),
            lost: 0,
        }
    }

    pub(crate) fn note(&mut self, recorded: Recorded) {
        if self.commands.len() < MAX_COMMANDS {
            self.commands.push(recorded);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// What has been noted since the last time, in order, and how many did not fit.
    pub(crate) fn take(&mut self) -> (impl Iterator<Item = Recorded> + '_, u64) {
        (self.commands.drain(..), core::mem::take(&mut self.lost))
    }
}
