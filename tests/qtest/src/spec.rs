// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers of the NVMe specifications, written down a second time: taken from the code under test,
//! they would prove nothing.

/// I/O commands of the NVM and ZNS command sets.
pub mod opcode {
    /// Flush.
    pub const FLUSH: u8 = 0x00;
    /// Write.
    pub const WRITE: u8 = 0x01;
    /// Read.
    pub const READ: u8 = 0x02;
    /// Write Uncorrectable.
    pub const WRITE_UNCORRECTABLE: u8 = 0x04;
    /// Compare.
    pub const COMPARE: u8 = 0x05;
    /// Dataset Management.
    pub const DATASET: u8 = 0x09;
    /// Copy.
    pub const COPY: u8 = 0x19;
    /// Zone Management Send.
    pub const ZONE_SEND: u8 = 0x79;
    /// Zone Management Receive.
    pub const ZONE_RECEIVE: u8 = 0x7a;
    /// Zone Append.
    pub const APPEND: u8 = 0x7d;
    /// Sanitize, an admin command.
    pub const SANITIZE: u8 = 0x84;
}

/// Status code type in bits 8..11 and status code in bits 0..8.
pub mod status {
    /// Sanitize Failed.
    pub const SANITIZE_FAILED: u16 = 0x01c;
    /// Invalid Command Opcode.
    pub const INVALID_OPCODE: u16 = 0x001;
    /// Invalid Field in Command.
    pub const INVALID_FIELD: u16 = 0x002;
    /// Data Transfer Error.
    pub const DATA_TRANSFER: u16 = 0x004;
    /// Invalid Namespace or Format.
    pub const INVALID_NAMESPACE: u16 = 0x00b;
    /// Invalid SGL Segment Descriptor.
    pub const SGL_SEGMENT: u16 = 0x00d;
    /// Data SGL Length Invalid.
    pub const SGL_LENGTH: u16 = 0x00f;
    /// SGL Descriptor Type Invalid.
    pub const SGL_TYPE: u16 = 0x011;
    /// PRP Offset Invalid.
    pub const PRP_OFFSET: u16 = 0x013;
    /// LBA Out of Range.
    pub const LBA_OUT_OF_RANGE: u16 = 0x080;
    /// Completion Queue Invalid.
    pub const CQ_INVALID: u16 = 0x100;
    /// Invalid Queue Identifier.
    pub const QUEUE_ID: u16 = 0x101;
    /// Invalid Queue Size.
    pub const QUEUE_SIZE: u16 = 0x102;
    /// Invalid Interrupt Vector.
    pub const VECTOR: u16 = 0x108;
    /// Invalid Log Page.
    pub const LOG_PAGE: u16 = 0x109;
    /// Invalid Queue Deletion.
    pub const QUEUE_DELETION: u16 = 0x10c;
    /// Invalid Zone Operation Request.
    pub const ZONE_OPERATION: u16 = 0x1b6;
    /// Zone Random Write Area Resources Unavailable.
    pub const NO_AREA: u16 = 0x1b7;
    /// Zone Boundary Error.
    pub const ZONE_BOUNDARY: u16 = 0x1b8;
    /// Zone Is Full.
    pub const ZONE_FULL: u16 = 0x1b9;
    /// Zone Is Read Only.
    pub const ZONE_READ_ONLY: u16 = 0x1ba;
    /// Zone Is Offline.
    pub const ZONE_OFFLINE: u16 = 0x1bb;
    /// Zone Invalid Write.
    pub const ZONE_INVALID_WRITE: u16 = 0x1bc;
    /// Too Many Active Zones.
    pub const TOO_MANY_ACTIVE: u16 = 0x1bd;
    /// Too Many Open Zones.
    pub const TOO_MANY_OPEN: u16 = 0x1be;
    /// Invalid Zone State Transition.
    pub const ZONE_TRANSITION: u16 = 0x1bf;
    /// Write Fault.
    pub const WRITE_FAULT: u16 = 0x280;
    /// Unrecovered Read Error.
    pub const UNRECOVERED_READ: u16 = 0x281;
}

/// Zone Send Actions.
pub mod action {
    /// Close Zone.
    pub const CLOSE: u32 = 0x01;
    /// Finish Zone.
    pub const FINISH: u32 = 0x02;
    /// Open Zone.
    pub const OPEN: u32 = 0x03;
    /// Reset Zone.
    pub const RESET: u32 = 0x04;
    /// Offline Zone.
    pub const OFFLINE: u32 = 0x05;
    /// Set Zone Descriptor Extension.
    pub const SET_EXTENSION: u32 = 0x10;
    /// Flush ZRWA.
    pub const FLUSH_AREA: u32 = 0x11;
    /// ZSASO of Open Zone: allocate a random write area.
    pub const ALLOCATE: u32 = 1 << 9;
}

/// Zone states in zone descriptors.
pub mod state {
    /// Empty.
    pub const EMPTY: u8 = 0x1;
    /// Implicitly opened.
    pub const IMPLICITLY_OPEN: u8 = 0x2;
    /// Explicitly opened.
    pub const EXPLICITLY_OPEN: u8 = 0x3;
    /// Closed.
    pub const CLOSED: u8 = 0x4;
    /// Read only.
    pub const READ_ONLY: u8 = 0xd;
    /// Full.
    pub const FULL: u8 = 0xe;
    /// Offline.
    pub const OFFLINE: u8 = 0xf;
}
