// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a zone refuses a command.

use core::fmt;

/// The zone-specific reasons of ZNS 1.1 (section 3.1, figure 11) and of TP 4076.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The range is not within one zone's capacity (its span, for reads).
    Boundary,
    /// The zone is full.
    Full,
    /// The zone is read-only.
    ReadOnly,
    /// The zone is offline.
    Offline,
    /// The write does not start at the write pointer.
    InvalidWrite,
    /// One more active zone than there are resources for.
    TooManyActive,
    /// One more open zone than there are resources for, and none can be closed implicitly.
    TooManyOpen,
    /// The zone's state does not allow the action.
    InvalidTransition,
    /// The zone has no random write area, or the action is not for one that has, or not for this
    /// part of it.
    InvalidOperation,
    /// The end of an explicit flush is not on the flush granularity.
    Granularity,
    /// Every random write area is taken.
    NoArea,
    /// There is no such zone.
    NoSuchZone,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boundary => "zone boundary error",
            Self::Full => "zone is full",
            Self::ReadOnly => "zone is read-only",
            Self::Offline => "zone is offline",
            Self::InvalidWrite => "write is not at the write pointer",
            Self::TooManyActive => "too many active zones",
            Self::TooManyOpen => "too many open zones",
            Self::InvalidTransition => "invalid zone state transition",
            Self::InvalidOperation => "invalid zone operation",
            Self::Granularity => "not on the flush granularity",
            Self::NoArea => "random write areas unavailable",
            Self::NoSuchZone => "no such zone",
        })
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn errors_are_told_apart_by_their_text() {
        assert_eq!(Error::Boundary.to_string(), "zone boundary error");
        assert_eq!(Error::NoSuchZone.to_string(), "no such zone");
    }
}
