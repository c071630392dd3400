// SPDX-License-Identifier: GPL-2.0-or-later
//! Features: identifiers and the bit fields of dword 11 (Base, section 5.27.1; NVM, section 4.1.3).

#![expect(
    missing_docs,
    reason = "bilge generates constructors without documentation"
)]

use bilge::prelude::*;

use crate::bytes::wire_enum;

wire_enum! {
    /// Feature identifiers (Base, section 5.27, figure 316; NVM, section 4.1.3, figure 79).
    FeatureId: u8 {
        /// Arbitration.
        Arbitration = 0x01,
        /// Power Management.
        PowerManagement = 0x02,
        /// Temperature Threshold.
        TemperatureThreshold = 0x04,
        /// Error Recovery.
        ErrorRecovery = 0x05,
        /// Volatile Write Cache.
        VolatileWriteCache = 0x06,
        /// Number of Queues.
        NumberOfQueues = 0x07,
        /// Interrupt Coalescing.
        InterruptCoalescing = 0x08,
        /// Interrupt Vector Configuration.
        InterruptVectorConfig = 0x09,
        /// Write Atomicity Normal.
        WriteAtomicity = 0x0a,
        /// Asynchronous Event Configuration.
        AsyncEventConfig = 0x0b,
        /// Autonomous Power State Transition.
        PowerTransitions = 0x0c,
        /// Host Memory Buffer.
        HostMemoryBuffer = 0x0d,
        /// Timestamp.
        Timestamp = 0x0e,
        /// Host Behavior Support.
        HostBehavior = 0x16,
        /// I/O Command Set Profile.
        CommandSetProfile = 0x19,
    }
}

wire_enum! {
    /// SEL of Get Features (Base, section 5.15, figure 192).
    FeatureSelect: u8 {
        /// Current value.
        Current = 0,
        /// Default value.
        Default = 1,
        /// Saved value.
        Saved = 2,
        /// Supported capabilities.
        Capabilities = 3,
    }
}

/// Arbitration (Base, section 5.27.1.1, figure 317).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct Arbitration {
    /// AB: commands per turn as a power of two; 7 for no limit.
    pub burst: u3,
    reserved: u5,
    /// LPW, MPW, HPW: weights, unused by round robin.
    pub weights: u24,
}

/// Temperature Threshold (Base, section 5.27.1.3, figure 320).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct TemperatureThreshold {
    /// TMPTH in kelvins.
    pub kelvin: u16,
    /// TMPSEL: 0 composite, 1 to 8 sensors, 15 all.
    pub sensor: u4,
    /// THSEL: 0 over, 1 under.
    pub kind: u2,
    reserved: u10,
}

/// Error Recovery (NVM, section 4.1.3.2, figure 84).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct ErrorRecovery {
    /// TLER: time limited error recovery in 100 ms.
    pub time_limit: u16,
    /// DULBE: Deallocated or Unwritten Logical Block Error Enable.
    pub unwritten_error: bool,
    reserved: u15,
}

/// Number of Queues, both directions (Base, section 5.27.1.5, figures 322 and 323).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct QueueCount {
    /// NSQR or NSQA, zero-based.
    pub submission_z: u16,
    /// NCQR or NCQA, zero-based.
    pub completion_z: u16,
}

/// Interrupt Coalescing (Base, section 5.27.1.6, figure 324).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct InterruptCoalescing {
    /// THR: completions per interrupt, zero-based.
    pub threshold_z: u8,
    /// TIME: longest delay in 100 us; 0 for none.
    pub time: u8,
    reserved: u16,
}

/// Interrupt Vector Configuration (Base, section 5.27.1.7, figure 325).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct InterruptVectorConfig {
    /// IV.
    pub vector: u16,
    /// CD: no coalescing.
    pub coalescing_disabled: bool,
    reserved: u15,
}

/// Asynchronous Event Configuration (Base, section 5.27.1.8, figure 326).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct AsyncEventConfig {
    /// SMART / health critical warnings that raise an event.
    pub critical_warnings: u8,
    /// Namespace Attribute Notices.
    pub namespace_attributes: bool,
    /// Firmware Activation Notices.
    pub firmware: bool,
    reserved: u17,
    /// Zone Descriptor Changed Notices (ZNS, section 4.1.3, figure 44).
    pub zone_changed: bool,
    reserved: u4,
}

/// Host Memory Buffer (Base, section 5.27.1.10).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct HostMemoryBuffer {
    /// EHM: the controller may use it.
    pub enable: bool,
    /// MR: it is the memory that it had before, with the contents that it had.
    pub memory_return: bool,
    reserved: u30,
}

/// Bytes of a Host Memory Buffer Descriptor Entry (Base, section 5.27.1.10).
pub const HOST_MEMORY_DESCRIPTOR_BYTES: usize = 16;

/// A part of the Host Memory Buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemoryDescriptor {
    /// BADD: where it begins.
    pub address: u64,
    /// BSIZE: its size in memory pages (CC.MPS).
    pub pages: u32,
}

impl HostMemoryDescriptor {
    /// As it lies in memory.
    #[must_use]
    pub fn decode(bytes: &[u8; HOST_MEMORY_DESCRIPTOR_BYTES]) -> Self {
        let word = u128::from_le_bytes(*bytes);
        Self {
            address: word as u64,
            pages: (word >> 64) as u32,
        }
    }

    /// The same.
    #[must_use]
    pub fn encode(&self) -> [u8; HOST_MEMORY_DESCRIPTOR_BYTES] {
        (u128::from(self.pages) << 64 | u128::from(self.address)).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_figures_put_them() {
        assert!(AsyncEventConfig::from(1 << 27).zone_changed());
        assert!(AsyncEventConfig::from(1 << 8).namespace_attributes());
        assert!(ErrorRecovery::from(1 << 16).unwritten_error());
        assert!(InterruptVectorConfig::from(1 << 16).coalescing_disabled());
        assert_eq!(InterruptCoalescing::from(0x0a03).time(), 10);
        let threshold = TemperatureThreshold::from(0x0011_0157);
        assert_eq!((threshold.kelvin(), threshold.kind().value()), (0x157, 1));
        assert_eq!(QueueCount::from(0x0003_0004).completion_z(), 3);
        let buffer = HostMemoryBuffer::from(0b10);
        assert!(!buffer.enable() && buffer.memory_return());
        let part = HostMemoryDescriptor {
            address: 0x1234_5000,
            pages: 7,
        };
        let bytes = part.encode();
        assert_eq!((bytes[1], bytes[8], bytes[12]), (0x50, 7, 0));
        assert_eq!(HostMemoryDescriptor::decode(&bytes), part);
    }
}
