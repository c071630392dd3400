// SPDX-License-Identifier: GPL-2.0-or-later
//! How a partition's pages lie in its superblocks.

use crate::Paged;
use nand::{Chips, PlaneId};
use units::PAGE_BYTES;

/// The shape of one partition; all are alike. Pages are 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Logical pages.
    pub logical: u32,
    /// Superblocks.
    pub superblocks: u32,
    /// Pages of a superblock.
    pub pages: u32,
    /// Pages of a one-shot page.
    pub unit: u32,
    /// Pages of a flash page.
    pub flash_page: u32,
    /// Planes that a superblock goes round.
    pub lanes: u32,
}

impl Shape {
    /// Superblocks beyond threshold and over-provisioning: two are open, and some of what the
    /// latest victims held may wait for its program.
    const SPARE: u64 = 4;

    /// `None` if the pages cannot be numbered.
    pub fn new(paged: &Paged, chips: &Chips) -> Option<Self> {
        let partitions = u64::from(paged.partitions.max(1));
        let unit = (chips.one_shot.get() / PAGE_BYTES).max(1);
        let lanes = u64::from(chips.planes()) / partitions;
        let stripe = lanes * unit;
        let logical = (paged.size.get() / PAGE_BYTES).div_ceil(partitions);
        let physical = (logical * (100 + u64::from(paged.over_provisioning))).div_ceil(100);
        let rows = physical.div_ceil(stripe * u64::from(paged.blocks_per_plane.max(1)));
        let pages = rows * stripe;
        let superblocks = physical.div_ceil(pages) + u64::from(paged.gc_threshold) + Self::SPARE;
        // 0 means "none" in the maps, so numbers start at 1.
        let last = superblocks.checked_mul(pages)?.checked_add(1)?;
        u32::try_from(last).ok()?;
        Some(Self {
            logical: u32::try_from(logical).ok()?,
            superblocks: u32::try_from(superblocks).ok()?,
            pages: u32::try_from(pages).ok()?,
            unit: u32::try_from(unit).ok()?,
            flash_page: u32::try_from(chips.flash_page.get() / PAGE_BYTES).ok()?,
            lanes: u32::try_from(lanes).ok()?,
        })
    }

    /// Pages of all superblocks.
    pub const fn physical(&self) -> u32 {
        self.superblocks * self.pages
    }

    /// The lane, and the flash page in its block, of page `index` of a superblock.
    pub const fn lane(&self, index: u32) -> (u32, u32) {
        let unit = index / self.unit;
        let row = unit / self.lanes;
        let page = row * (self.unit / self.flash_page) + index % self.unit / self.flash_page;
        (unit % self.lanes, page)
    }

    /// The planes of a partition's lanes: planes of a die, then channels, then dies.
    pub fn planes(partition: u32, partitions: u32, chips: &Chips) -> Vec<PlaneId> {
        let channels = chips.channels / partitions.max(1);
        let first = partition * channels;
        let mut lanes = Vec::new();
        for lun in 0..chips.luns_per_channel {
            for channel in first..first + channels {
                let die = lun * chips.channels + channel;
                lanes.extend((0..chips.planes_per_lun).map(|plane| chips.plane(die, plane)));
            }
        }
        lanes
    }
}
