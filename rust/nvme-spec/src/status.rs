// SPDX-License-Identifier: GPL-2.0-or-later
//! Status codes, with the status code type in bits 10:8 as in the completion's status field.

use crate::bytes::wire_enum;

wire_enum! {
    /// Status codes that the controller answers with, by their names in Base (section 3.3.3.2.1,
    /// figures 94 to 96 and 98), NVM (section 3.1, figures 15 to 17), ZNS (section 3.1, figure 11)
    /// and TP 4076.
    Status: u16 {
        /// Successful Completion.
        Success = 0x000,
        /// Invalid Command Opcode.
        InvalidOpcode = 0x001,
        /// Invalid Field in Command.
        InvalidField = 0x002,
        /// Data Transfer Error.
        DataTransferError = 0x004,
        /// Internal Error.
        InternalError = 0x006,
        /// Command Abort Requested.
        AbortRequested = 0x007,
        /// Invalid Namespace or Format.
        InvalidNamespace = 0x00b,
        /// Command Sequence Error.
        CommandSequenceError = 0x00c,
        /// Invalid SGL Segment Descriptor.
        InvalidSglSegment = 0x00d,
        /// Invalid Number of SGL Descriptors.
        InvalidSglCount = 0x00e,
        /// Data SGL Length Invalid.
        SglLengthInvalid = 0x00f,
        /// SGL Descriptor Type Invalid.
        SglTypeInvalid = 0x011,
        /// PRP Offset Invalid.
        PrpOffsetInvalid = 0x013,
        /// Sanitize Failed.
        SanitizeFailed = 0x01c,
        /// Sanitize In Progress.
        SanitizeInProgress = 0x01d,
        /// Command Size Limit Exceeded (NVM, Copy).
        CommandSizeLimit = 0x183,
        /// LBA Out of Range.
        LbaOutOfRange = 0x080,
        /// Capacity Exceeded.
        CapacityExceeded = 0x081,
        /// Completion Queue Invalid.
        CompletionQueueInvalid = 0x100,
        /// Invalid Queue Identifier.
        InvalidQueueId = 0x101,
        /// Invalid Queue Size.
        InvalidQueueSize = 0x102,
        /// Asynchronous Event Request Limit Exceeded.
        AsyncEventLimit = 0x105,
        /// Invalid Interrupt Vector.
        InvalidVector = 0x108,
        /// Invalid Log Page.
        InvalidLogPage = 0x109,
        /// Invalid Format.
        InvalidFormat = 0x10a,
        /// Invalid Queue Deletion.
        InvalidQueueDeletion = 0x10c,
        /// Feature Identifier Not Saveable.
        FeatureNotSaveable = 0x10d,
        /// Feature Not Namespace Specific.
        FeatureNotPerNamespace = 0x10f,
        /// Device Self-test In Progress.
        SelfTestInProgress = 0x11d,
        /// I/O Command Set Combination Rejected.
        CommandSetCombination = 0x12b,
        /// Invalid Zone Operation Request (no Zone Random Write Area).
        InvalidZoneOperation = 0x1b6,
        /// Zone Random Write Area Resources Unavailable.
        ZrwaUnavailable = 0x1b7,
        /// Zone Boundary Error.
        ZoneBoundary = 0x1b8,
        /// Zone Is Full.
        ZoneFull = 0x1b9,
        /// Zone Is Read Only.
        ZoneReadOnly = 0x1ba,
        /// Zone Is Offline.
        ZoneOffline = 0x1bb,
        /// Zone Invalid Write.
        ZoneInvalidWrite = 0x1bc,
        /// Too Many Active Zones.
        TooManyActive = 0x1bd,
        /// Too Many Open Zones.
        TooManyOpen = 0x1be,
        /// Invalid Zone State Transition.
        InvalidTransition = 0x1bf,
        /// Write Fault.
        WriteFault = 0x280,
        /// Unrecovered Read Error.
        UnrecoveredRead = 0x281,
        /// Compare Failure.
        CompareFailure = 0x285,
        /// Deallocated or Unwritten Logical Block.
        Unwritten = 0x287,
    }
}

/// Do Not Retry, above the status code type and code (Base, figure 92: bit 31 of dword 3).
pub const DNR: u16 = 1 << 14;
/// More information is in the error log (Base, figure 92: bit 30 of dword 3).
pub const MORE: u16 = 1 << 13;

impl Status {
    /// The same command would fail again (DNR).
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        !matches!(
            self,
            Self::Success | Self::InternalError | Self::AbortRequested
        )
    }

    /// The 15-bit status field: code, type, and DNR where it applies.
    #[must_use]
    pub const fn field(self) -> u16 {
        if self.is_permanent() {
            self.wire() | DNR
        } else {
            self.wire()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retrying_is_only_worth_it_where_something_may_change() {
        assert_eq!(Status::Success.field(), 0);
        assert_eq!(Status::AbortRequested.field(), 0x007);
        assert_eq!(Status::ZoneInvalidWrite.field(), 0x41bc);
        for &status in Status::ALL {
            assert_eq!(Status::from_wire(status.wire()), Some(status));
        }
    }
}
