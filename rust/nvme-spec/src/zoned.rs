// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone Management Send and Receive: actions, filters, reports.

use crate::bytes::{get, put, wire_enum};

wire_enum! {
    /// Zone Send Action (ZNS, section 3.4.3, figure 39).
    WireZoneAction: u8 {
        /// Close Zone.
        Close = 0x01,
        /// Finish Zone.
        Finish = 0x02,
        /// Open Zone.
        Open = 0x03,
        /// Reset Zone.
        Reset = 0x04,
        /// Offline Zone.
        Offline = 0x05,
        /// Set Zone Descriptor Extension.
        SetExtension = 0x10,
        /// Flush Explicit ZRWA Range (TP 4076).
        FlushZrwa = 0x11,
    }
}

wire_enum! {
    /// Reporting options of Report Zones (ZNS, section 3.4.2, figure 34).
    ZoneReportFilter: u8 {
        /// All zones.
        All = 0x0,
        /// ZSE: Empty.
        Empty = 0x1,
        /// ZSIO: Implicitly Opened.
        ImplicitlyOpen = 0x2,
        /// ZSEO: Explicitly Opened.
        ExplicitlyOpen = 0x3,
        /// ZSC: Closed.
        Closed = 0x4,
        /// ZSF: Full.
        Full = 0x5,
        /// ZSRO: Read Only.
        ReadOnly = 0x6,
        /// ZSO: Offline.
        Offline = 0x7,
        /// Reset Zone Recommended, Finish Zone Recommended or Zone Finished by Controller.
        Recommended = 0x9,
    }
}

wire_enum! {
    /// Zone Receive Action (ZNS, section 3.4.2, figure 34).
    ZoneReceiveAction: u8 {
        /// Report Zones.
        Report = 0x0,
        /// Extended Report Zones.
        Extended = 0x1,
    }
}

/// Size of the header of a report in bytes; the number of zones is its first qword (ZNS,
/// section 3.4.2.2, figures 35 and 36).
pub const REPORT_HEADER_BYTES: usize = 64;
/// Size of a zone descriptor in bytes.
pub const ZONE_DESCRIPTOR_BYTES: usize = 64;

/// A zone descriptor (ZNS, section 3.4.2.2.3, figure 37).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireZoneDescriptor {
    /// ZT: 2 for Sequential Write Required.
    pub kind: u8,
    /// ZS: zone state, four bits.
    pub state: u8,
    /// ZA: attributes.
    pub attributes: u8,
    /// ZCAP in LBAs.
    pub capacity: u64,
    /// ZSLBA.
    pub start: u64,
    /// WP; all ones where it is undefined.
    pub write_pointer: u64,
}

impl WireZoneDescriptor {
    /// ZA: Zone Random Write Area Valid (TP 4076).
    pub const ZRWA_VALID: u8 = 1 << 3;
    /// ZA: Zone Descriptor Extension Valid.
    pub const EXTENSION_VALID: u8 = 1 << 7;

    /// The descriptor as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; ZONE_DESCRIPTOR_BYTES] {
        let mut bytes = [0; ZONE_DESCRIPTOR_BYTES];
        put(
            &mut bytes,
            0,
            &[self.kind, self.state << 4, self.attributes],
        );
        put(&mut bytes, 8, &self.capacity.to_le_bytes());
        put(&mut bytes, 16, &self.start.to_le_bytes());
        put(&mut bytes, 24, &self.write_pointer.to_le_bytes());
        bytes
    }

    /// Decodes a descriptor.
    #[must_use]
    pub fn decode(bytes: &[u8; ZONE_DESCRIPTOR_BYTES]) -> Self {
        let [kind, state, attributes, ..] = *bytes;
        Self {
            kind,
            state: state >> 4,
            attributes,
            capacity: u64::from_le_bytes(get(bytes, 8)),
            start: u64::from_le_bytes(get(bytes, 16)),
            write_pointer: u64::from_le_bytes(get(bytes, 24)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_survive_a_round_trip_and_lie_as_specified() {
        let zone = WireZoneDescriptor {
            kind: 2,
            state: 0xe,
            attributes: WireZoneDescriptor::EXTENSION_VALID,
            capacity: 0x6000,
            start: 0x8000,
            write_pointer: u64::MAX,
        };
        let bytes = zone.encode();
        assert_eq!(bytes[..3], [2, 0xe0, 0x80]);
        assert_eq!(bytes[16..24], 0x8000_u64.to_le_bytes());
        assert_eq!(WireZoneDescriptor::decode(&bytes), zone);
    }
}
