// SPDX-License-Identifier: GPL-2.0-or-later
//! Opcodes of the admin and I/O command sets.

use crate::bytes::wire_enum;

wire_enum! {
    /// Admin commands (Base, section 5, figure 138; NVM adds none that are here), and two in the range that is the
    /// vendor's (C0h to FFh), both without data.
    AdminOpcode: u8 {
        /// Delete I/O Submission Queue.
        DeleteSq = 0x00,
        /// Create I/O Submission Queue.
        CreateSq = 0x01,
        /// Get Log Page.
        GetLogPage = 0x02,
        /// Delete I/O Completion Queue.
        DeleteCq = 0x04,
        /// Create I/O Completion Queue.
        CreateCq = 0x05,
        /// Identify.
        Identify = 0x06,
        /// Abort.
        Abort = 0x08,
        /// Set Features.
        SetFeatures = 0x09,
        /// Get Features.
        GetFeatures = 0x0a,
        /// Asynchronous Event Request.
        AsyncEventRequest = 0x0c,
        /// Device Self-test.
        DeviceSelfTest = 0x14,
        /// Doorbell Buffer Config.
        DoorbellBufferConfig = 0x7c,
        /// Format NVM.
        FormatNvm = 0x80,
        /// Sanitize.
        Sanitize = 0x84,
        /// Ours: notes a number in what is recorded of the drive (dwords 10 and 11).
        Note = 0xc0,
        /// Ours: cuts the drive's power in so many nanoseconds (dwords 10 and 11).
        CutPower = 0xc4,
    }
}

wire_enum! {
    /// I/O commands of the NVM and Zoned Namespace command sets (Base, section 7, figure 390; NVM,
    /// section 3.2, figure 18; ZNS, section 3.2, figure 12).
    NvmOpcode: u8 {
        /// Flush.
        Flush = 0x00,
        /// Write.
        Write = 0x01,
        /// Read.
        Read = 0x02,
        /// Write Uncorrectable.
        WriteUncorrectable = 0x04,
        /// Compare.
        Compare = 0x05,
        /// Write Zeroes.
        WriteZeroes = 0x08,
        /// Dataset Management.
        DatasetManagement = 0x09,
        /// Verify.
        Verify = 0x0c,
        /// Copy.
        Copy = 0x19,
        /// Zone Management Send.
        ZoneSend = 0x79,
        /// Zone Management Receive.
        ZoneReceive = 0x7a,
        /// Zone Append.
        ZoneAppend = 0x7d,
    }
}
