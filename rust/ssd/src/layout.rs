// SPDX-License-Identifier: GPL-2.0-or-later
//! Where the namespaces lie in the media, and how they are named.
//!
//! ```text
//!   0            2 MiB boundary
//!   ├── meta ──┬─┴──────────── data ─────────────┬── undo ──┤
//! ```
//! The undo area, where there can be power cuts, has bytes of pages that one can bring back ([`crate::undo`]).
//! A zoned namespace takes its whole LBA span, gaps between capacity and size included: media
//! memory is committed when it is first written, so gaps cost address space only.

use units::{Bytes, MIB, PAGE_BYTES};

/// Namespaces start on this boundary, so that huge pages can back them.
const ALIGN: u64 = 2 * MIB;

/// Organizationally unique identifier of EUI64 and NGUID: locally administered, as QEMU's own.
const OUI: [u8; 3] = [0x52, 0x54, 0x00];

/// Where the namespaces lie in the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offset of the meta namespace, if there is one.
    pub meta: Option<u64>,
    /// Offset of the data namespace.
    pub data: u64,
    /// Offset of the undo area.
    pub undo: u64,
    /// Pages (4 KiB) of the undo area.
    pub undo_pages: u32,
    /// Size of the media.
    pub size: Bytes,
}

impl Layout {
    /// The layout of namespaces of these sizes, and an undo area of so many pages.
    #[must_use]
    pub fn new(meta: Option<Bytes>, data: Bytes, undo_pages: u32) -> Self {
        let end = meta.unwrap_or(Bytes::ZERO).get();
        let start = end.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX);
        let undo = start.saturating_add(data.get());
        Self {
            meta: meta.map(|_| 0),
            data: start,
            undo,
            undo_pages,
            size: Bytes::new(undo.saturating_add(u64::from(undo_pages) * PAGE_BYTES)),
        }
    }
}

/// EUI64 of the namespace `nsid` of the drive with this serial number.
pub(crate) fn eui64(serial: &str, nsid: u32) -> [u8; 8] {
    let [_, _, _, a, b, c, d, e] = hash(serial, nsid, 0).to_be_bytes();
    let [x, y, z] = OUI;
    [x, y, z, a, b, c, d, e]
}

/// NGUID of the namespace `nsid` of the drive with this serial number (NVMe base 2.0, section
/// 4.5.1: vendor-specific extension, OUI, extension).
pub(crate) fn nguid(serial: &str, nsid: u32) -> [u8; 16] {
    let mut id = [0; 16];
    let (extension, eui) = id.split_at_mut(8);
    extension.copy_from_slice(&hash(serial, nsid, 1).to_be_bytes());
    eui.copy_from_slice(&eui64(serial, nsid));
    id
}

/// FNV-1a over the serial number, the namespace and a salt.
fn hash(serial: &str, nsid: u32, salt: u8) -> u64 {
    let tail = nsid.to_be_bytes();
    let bytes = serial.bytes().chain([0]).chain(tail).chain([salt]);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_stable_and_differ_by_serial_and_namespace() {
        assert_eq!(eui64("conzone-0", 1), eui64("conzone-0", 1));
        let ids = [
            eui64("a", 1),
            eui64("a", 2),
            eui64("b", 1),
            eui64("a\u{0}\u{0}\u{0}\u{0}\u{1}", 1),
        ];
        for (i, a) in ids.iter().enumerate() {
            assert!(a.starts_with(&OUI));
            assert!(ids.iter().skip(i + 1).all(|b| a != b));
        }
        assert_eq!(nguid("a", 1)[8..], eui64("a", 1));
    }
}
