// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a command fails: one type from parsing to completion, mapped once to the wire.

use command::Error;
use nvme_spec::Status;
use units::Instant;

/// Byte of dword 10 in a submission queue entry; dword n is 4 x (n - 10) further on.
pub(crate) const CDW10: u8 = 40;
/// Byte of dword 11.
pub(crate) const CDW11: u8 = 44;
/// Byte of dword 12.
pub(crate) const CDW12: u8 = 48;
/// Byte of dword 13.
pub(crate) const CDW13: u8 = 52;
/// Byte of dword 15.
pub(crate) const CDW15: u8 = 60;
/// Byte of dword 14.
pub(crate) const CDW14: u8 = 56;
/// Byte of PRP1 or of the SGL descriptor.
pub(crate) const DPTR: u8 = 24;
/// Byte of PRP2.
pub(crate) const PRP2: u8 = 32;
/// Byte of the namespace identifier.
pub(crate) const NSID: u8 = 4;

/// A command's failure, with the field at fault for the error log (Base).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) status: Status,
    /// Byte and bit of the submission queue entry, if a field of it is at fault.
    pub(crate) field: Option<(u8, u8)>,
    /// First LBA concerned, if any.
    pub(crate) lba: Option<u64>,
    /// When the failure is reported; `None` for at once.
    pub(crate) done: Option<Instant>,
}

impl Reject {
    /// A failure that no single field is to blame for.
    pub(crate) const fn new(status: Status) -> Self {
        Self {
            status,
            field: None,
            lba: None,
            done: None,
        }
    }

    /// A failure caused by the field that starts at `bit` of `byte`.
    pub(crate) const fn at(status: Status, byte: u8, bit: u8) -> Self {
        Self {
            status,
            field: Some((byte, bit)),
            lba: None,
            done: None,
        }
    }

    /// Invalid Field in Command.
    pub(crate) const fn invalid(byte: u8, bit: u8) -> Self {
        Self::at(Status::InvalidField, byte, bit)
    }
}

/// The status of a drive's error: the one place where the two vocabularies meet.
#[must_use]
pub const fn status_of(error: Error) -> Status {
    match error {
        Error::OutOfRange | Error::Zone(zone::Error::NoSuchZone) => Status::LbaOutOfRange,
        Error::Unsupported | Error::NotZoneStart | Error::Zone(zone::Error::Granularity) => {
            Status::InvalidField
        }
        Error::CapacityExceeded => Status::CapacityExceeded,
        Error::Unreadable(_) => Status::UnrecoveredRead,
        Error::Unwritable(_) => Status::WriteFault,
        Error::Internal => Status::InternalError,
        Error::Zone(zone::Error::Boundary) => Status::ZoneBoundary,
        Error::Zone(zone::Error::Full) => Status::ZoneFull,
        Error::Zone(zone::Error::ReadOnly) => Status::ZoneReadOnly,
        Error::Zone(zone::Error::Offline) => Status::ZoneOffline,
        Error::Zone(zone::Error::InvalidWrite) => Status::ZoneInvalidWrite,
        Error::Zone(zone::Error::TooManyActive) => Status::TooManyActive,
        Error::Zone(zone::Error::TooManyOpen) => Status::TooManyOpen,
        Error::Zone(zone::Error::InvalidTransition) => Status::InvalidTransition,
        Error::Zone(zone::Error::InvalidOperation) => Status::InvalidZoneOperation,
        Error::Zone(zone::Error::NoArea) => Status::ZrwaUnavailable,
    }
}
