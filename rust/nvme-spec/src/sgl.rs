// SPDX-License-Identifier: GPL-2.0-or-later
//! Scatter gather list descriptors.

use crate::bytes::wire_enum;

/// Size of an SGL descriptor in bytes.
pub const SGL_BYTES: usize = 16;

wire_enum! {
    /// SGL descriptor types (Base, section 4.1.2, figure 114).
    SglType: u8 {
        /// Data block.
        DataBlock = 0,
        /// Bit bucket: read data to be dropped.
        BitBucket = 1,
        /// Segment: further descriptors, at least one more segment follows.
        Segment = 2,
        /// Last segment.
        LastSegment = 3,
    }
}

/// An SGL descriptor (Base, section 4.1.2, figures 113 and 116 to 119).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SglDescriptor {
    /// Address of the data block or of the segment's descriptors.
    pub address: u64,
    /// Length in bytes.
    pub length: u32,
    /// SGL Identifier: type in the high half, subtype in the low.
    pub identifier: u8,
}

impl SglDescriptor {
    /// A descriptor of subtype 0 (address).
    #[must_use]
    pub const fn new(kind: SglType, address: u64, length: u32) -> Self {
        Self {
            address,
            length,
            identifier: kind.wire() << 4,
        }
    }

    /// Decodes a descriptor.
    #[must_use]
    pub fn decode(bytes: &[u8; SGL_BYTES]) -> Self {
        let raw = u128::from_le_bytes(*bytes);
        Self::from_data_pointer(raw as u64, (raw >> 64) as u64)
    }

    /// The descriptor in a command's data pointer, given as its two halves.
    #[must_use]
    pub const fn from_data_pointer(low: u64, high: u64) -> Self {
        Self {
            address: low,
            length: high as u32,
            identifier: (high >> 56) as u8,
        }
    }

    /// The descriptor's two halves, for a command's data pointer.
    #[must_use]
    pub const fn data_pointer(&self) -> (u64, u64) {
        (
            self.address,
            self.length as u64 | (self.identifier as u64) << 56,
        )
    }

    /// The descriptor as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; SGL_BYTES] {
        let (low, high) = self.data_pointer();
        (u128::from(low) | u128::from(high) << 64).to_le_bytes()
    }

    /// The type, `None` for one that is unknown or has a subtype other than address.
    #[must_use]
    pub const fn kind(&self) -> Option<SglType> {
        if self.identifier & 0xf != 0 {
            return None;
        }
        SglType::from_wire(self.identifier >> 4)
    }
}

const _: () = assert!(SGL_BYTES == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_survive_a_round_trip_and_lie_as_specified() {
        let descriptor = SglDescriptor::new(SglType::LastSegment, 0x1234_5678_9abc, 0x40);
        let bytes = descriptor.encode();
        assert_eq!(bytes[8..12], 0x40_u32.to_le_bytes());
        assert_eq!(bytes[15], 0x30);
        assert_eq!(SglDescriptor::decode(&bytes), descriptor);
        assert_eq!(descriptor.kind(), Some(SglType::LastSegment));
        let offset = SglDescriptor {
            identifier: 0x01,
            ..descriptor
        };
        assert_eq!(offset.kind(), None);
    }
}
