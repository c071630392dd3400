// SPDX-License-Identifier: GPL-2.0-or-later
//! How the flash is built up: channels, dies, planes, blocks, pages; and die groups.

use crate::{Cell, GeometryError};
use units::{Bytes, PAGE_BYTES};

/// The shape of the flash array. All dies are alike.
///
/// ```text
/// channel 0: die 0  die 2      a die has planes_per_lun planes, a plane has blocks, a block has
/// channel 1: die 1  die 3      wordlines of bits-per-cell flash pages
/// ```
/// Dies are numbered across the channels first. A *die group* is `dies_per_group` consecutive
/// dies; a superblock is the same block on every plane of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Buses to the controller.
    pub channels: u32,
    /// Dies on each channel.
    pub luns_per_channel: u32,
    /// Planes of each die.
    pub planes_per_lun: u32,
    /// Dies that one superblock (and so one zone) is striped over.
    pub dies_per_group: u32,
    /// What one plane senses at once.
    pub flash_page: Bytes,
    /// One plane's erase unit, in native cells.
    pub block: Bytes,
    /// The native cell of the chips.
    pub cell: Cell,
}

impl Geometry {
    /// Bound of `channels x luns x planes`: no drive comes near, and arrays of this size are cheap.
    pub const MAX_PLANES: u32 = 1 << 16;

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// Names the first relation that does not hold.
    pub fn validate(&self) -> Result<(), GeometryError> {
        let planes = self
            .channels
            .checked_mul(self.luns_per_channel)
            .and_then(|n| n.checked_mul(self.planes_per_lun));
        match planes {
            Some(n) if (1..=Self::MAX_PLANES).contains(&n) => {}
            _ => return Err(GeometryError::Planes),
        }
        let dies = self.channels * self.luns_per_channel;
        if self.dies_per_group == 0 || dies % self.dies_per_group != 0 {
            return Err(GeometryError::Group);
        }
        let page = self.flash_page.get();
        if page == 0 || page % PAGE_BYTES != 0 || page > 1 << 20 {
            return Err(GeometryError::Page);
        }
        let wordline = page * u64::from(self.cell.bits());
        if self.block.get() == 0 || self.block.get() % wordline != 0 || self.block.get() > 1 << 40 {
            return Err(GeometryError::Block);
        }
        Ok(())
    }

    /// Planes in all.
    #[must_use]
    pub const fn planes(&self) -> u32 {
        self.channels
            .saturating_mul(self.luns_per_channel)
            .saturating_mul(self.planes_per_lun)
    }

    /// Die groups in all.
    #[must_use]
    pub const fn groups(&self) -> u32 {
        let dies = self.channels.saturating_mul(self.luns_per_channel);
        match dies.checked_div(self.dies_per_group) {
            Some(n) => n,
            None => 0,
        }
    }

    /// Planes of one group: the width of a superblock.
    #[must_use]
    pub const fn planes_per_group(&self) -> u32 {
        self.dies_per_group.saturating_mul(self.planes_per_lun)
    }

    /// Logical pages in one flash page.
    #[must_use]
    pub const fn lpns_per_page(&self) -> u32 {
        low_u32(self.flash_page.get() / PAGE_BYTES)
    }

    /// Flash pages of one block used in cell mode `mode`, i.e. rows of a superblock.
    #[must_use]
    pub const fn rows(&self, mode: Cell) -> u32 {
        let wordline = self
            .flash_page
            .get()
            .saturating_mul(self.cell.bits() as u64);
        match self.block.get().checked_div(wordline) {
            Some(wordlines) => low_u32(wordlines).saturating_mul(mode.bits()),
            None => 0,
        }
    }

    /// Logical pages of one superblock used in cell mode `mode`.
    #[must_use]
    pub const fn superblock_lpns(&self, mode: Cell) -> u64 {
        (self.rows(mode) as u64)
            .saturating_mul(self.planes_per_group() as u64)
            .saturating_mul(self.lpns_per_page() as u64)
    }

    /// Logical pages of one one-shot page: the program unit U.
    #[must_use]
    pub const fn unit_lpns(&self) -> u32 {
        self.lpns_per_page().saturating_mul(self.cell.bits())
    }

    /// The channel that a plane (numbered die by die) hangs on.
    #[must_use]
    pub const fn channel_of(&self, plane: u32) -> u32 {
        match plane.checked_div(self.planes_per_lun) {
            Some(die) => match die.checked_rem(self.channels) {
                Some(channel) => channel,
                None => 0,
            },
            None => 0,
        }
    }
}

const fn low_u32(n: u64) -> u32 {
    if n > u32::MAX as u64 {
        u32::MAX
    } else {
        n as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ufs4() -> Geometry {
        Geometry {
            channels: 4,
            luns_per_channel: 2,
            planes_per_lun: 4,
            dies_per_group: 4,
            flash_page: Bytes::kib(16),
            block: Bytes::mib(33),
            cell: Cell::Tlc,
        }
    }

    #[test]
    fn ufs4_figures() {
        let g = ufs4();
        assert_eq!(g.validate(), Ok(()));
        assert_eq!((g.planes(), g.groups(), g.planes_per_group()), (32, 2, 16));
        assert_eq!((g.lpns_per_page(), g.unit_lpns()), (4, 12));
        assert_eq!(g.superblock_lpns(Cell::Tlc) * PAGE_BYTES, 528 << 20);
        assert_eq!(g.superblock_lpns(Cell::Slc) * PAGE_BYTES, 176 << 20);
        assert_eq!([0, 3, 4, 15, 16].map(|p| g.channel_of(p)), [0, 0, 1, 3, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let with = |f: fn(&mut Geometry)| {
            let mut g = ufs4();
            f(&mut g);
            g.validate()
        };
        assert_eq!(with(|g| g.channels = 0), Err(GeometryError::Planes));
        assert_eq!(with(|g| g.channels = u32::MAX), Err(GeometryError::Planes));
        assert_eq!(with(|g| g.dies_per_group = 3), Err(GeometryError::Group));
        assert_eq!(with(|g| g.dies_per_group = 0), Err(GeometryError::Group));
        assert_eq!(
            with(|g| g.flash_page = Bytes::new(6000)),
            Err(GeometryError::Page)
        );
        assert_eq!(
            with(|g| g.block = Bytes::mib(32)),
            Err(GeometryError::Block)
        );
    }
}
