// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a command fails: one type from parsing to completion, mapped once to the wire.

use nvme_spec::Status;
use units::Instant;

use crate::drive::IoError;

/// Byte of dword 10 in a submission queue entry; dword n is 4 x (n - 10) further on.
pub(crate) const CDW10: u8 = 40;
/// Byte of dword 11.
pub(crate) const CDW11: u8 = 44;
/// Byte of dword 12.
pub(crate) const CDW12: u8 = 48;
/// Byte of dword 13.
pub(crate) const CDW13: u8 = 52;
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

    /// A failure of the drive at an LBA the command's dwords 10 and 11 name, or of the media at one
    /// that the drive names: then no field is at fault.
    pub(crate) const fn drive(error: IoError, lba: u64, done: Instant) -> Self {
        let (field, lba) = match error {
            IoError::MediaRead(at) | IoError::MediaWrite(at) => (None, at.get()),
            _ => (Some((CDW10, 0)), lba),
        };
        Self {
            status: status_of(error),
            field,
            lba: Some(lba),
            done: Some(done),
        }
    }
}

/// The status of a drive's error: the one place where the two vocabularies meet.
#[must_use]
pub const fn status_of(error: IoError) -> Status {
    match error {
        IoError::LbaOutOfRange => Status::LbaOutOfRange,
        IoError::CapacityExceeded => Status::CapacityExceeded,
        IoError::ZoneBoundary => Status::ZoneBoundary,
        IoError::ZoneFull => Status::ZoneFull,
        IoError::ZoneReadOnly => Status::ZoneReadOnly,
        IoError::ZoneOffline => Status::ZoneOffline,
        IoError::ZoneInvalidWrite => Status::ZoneInvalidWrite,
        IoError::TooManyActive => Status::TooManyActive,
        IoError::TooManyOpen => Status::TooManyOpen,
        IoError::InvalidTransition => Status::InvalidTransition,
        IoError::InvalidZoneOperation => Status::InvalidZoneOperation,
        IoError::ZrwaUnavailable => Status::ZrwaUnavailable,
        IoError::Unwritten => Status::Unwritten,
        IoError::MediaRead(_) => Status::UnrecoveredRead,
        IoError::MediaWrite(_) => Status::WriteFault,
        IoError::NotSupported => Status::InvalidField,
        IoError::Internal => Status::InternalError,
    }
}
