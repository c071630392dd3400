// SPDX-License-Identifier: GPL-2.0-or-later
//! How large a conventional namespace F2FS needs beside the data namespace (`meta-size=auto`).
//!
//! ```text
//!  meta namespace                                              data namespace
//!  ┌─────────────┬────┬─────┬─────┬─────┬───────────────────┬──────────────── ─ ─
//!  │ superblock  │ CP │ SIT │ NAT │ SSA │ up to a section's │ main area
//!  └─────────────┴────┴─────┴─────┴─────┴─── border ────────┴──────────────── ─ ─
//!   one section   2 segments, then as many as the whole file system has segments for
//! ```
//! A section of F2FS is a zone here; on a drive without zones it is a segment of 2 MiB. The layout
//! is that of f2fs-tools 1.16 (mkfs/f2fs_format.c, `f2fs_prepare_super_block`), with default
//! options; a functional test compares with what mkfs.f2fs says. Smaller, mkfs refuses the
//! namespace; larger, the rest of it becomes main area, and data lands on it first.

use units::{Bytes, MIB};

/// Bytes of a segment.
pub(crate) const SEGMENT: u64 = 2 * MIB;
const BLOCKS_PER_SEGMENT: u64 = 512;
const SIT_ENTRIES_PER_BLOCK: u64 = 55;
const NAT_ENTRIES_PER_BLOCK: u64 = 455;
/// Segments of checkpoints.
const CHECKPOINTS: u64 = 2;
/// Bytes of a checkpoint block for the bitmaps of SIT and NAT, and what NAT keeps at least.
const BITMAPS: u64 = 3_900;
const NAT_BITMAP_MIN: u64 = 64;

/// What the meta namespace needs for a data namespace of this size, with sections of this size.
/// `None` if a section is not made of whole segments, or nothing is large enough.
pub(crate) fn meta_size(data: Bytes, section: Bytes) -> Option<Bytes> {
    let per_section = section.get() / SEGMENT;
    if per_section == 0 || section.get() % SEGMENT != 0 {
        return None;
    }
    let data_segments = data.get() / SEGMENT;
    // More metadata is more segments, which need more metadata: from below, to where it ends.
    let mut sections = 1;
    loop {
        let all = data_segments.checked_add(per_section.checked_mul(sections)?)?;
        let needed = metadata_segments(all).div_ceil(per_section);
        if needed <= sections {
            let size = section.get().checked_mul(sections.checked_add(1)?)?;
            return Some(Bytes::new(size));
        }
        sections = needed;
    }
}

/// Segments of metadata of a file system that has so many in all.
fn metadata_segments(all: u64) -> u64 {
    let sit = all
        .div_ceil(SIT_ENTRIES_PER_BLOCK)
        .div_ceil(BLOCKS_PER_SEGMENT);
    let left = all.saturating_sub(CHECKPOINTS + 2 * sit);
    let nat = left
        .saturating_mul(BLOCKS_PER_SEGMENT)
        .div_ceil(NAT_ENTRIES_PER_BLOCK)
        .div_ceil(BLOCKS_PER_SEGMENT);
    // A bit for each block; those of SIT move out of the checkpoint block when they leave NAT none.
    let sit_bitmap = sit * BLOCKS_PER_SEGMENT / 8;
    let nat_bitmap = if sit_bitmap > BITMAPS - NAT_BITMAP_MIN {
        BITMAPS
    } else {
        BITMAPS - sit_bitmap
    };
    let nat = nat.min(nat_bitmap * 8 / BLOCKS_PER_SEGMENT);
    let left = left.saturating_sub(2 * nat);
    let ssa = (left + 1).div_ceil(BLOCKS_PER_SEGMENT);
    CHECKPOINTS + 2 * sit + 2 * nat + ssa
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_presets_are_sized_so() {
        // Zones, zone size, meta size: MiB.
        for (zones, zone, meta) in [(32, 128, 256), (16, 1024, 2048), (2048, 2, 40)] {
            let size = meta_size(Bytes::mib(zones * zone), Bytes::mib(zone));
            assert_eq!(size, Some(Bytes::mib(meta)), "{zones} zones of {zone} MiB");
        }
    }

    #[test]
    fn more_data_never_needs_less() {
        let mut last = Bytes::ZERO;
        for shift in 0..24 {
            let size = meta_size(Bytes::mib(64 << shift), Bytes::mib(64)).unwrap();
            assert!(size >= last && size.get() % (64 * MIB) == 0);
            last = size;
        }
        assert!(last > Bytes::mib(1024));
    }

    #[test]
    fn sections_are_whole_segments() {
        assert_eq!(meta_size(Bytes::mib(100), Bytes::mib(3)), None);
        assert_eq!(meta_size(Bytes::mib(100), Bytes::ZERO), None);
        assert_eq!(meta_size(Bytes::new(u64::MAX), Bytes::new(1 << 63)), None);
    }
}
