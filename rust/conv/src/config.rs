// SPDX-License-Identifier: GPL-2.0-or-later
//! What the drive is made of: every parameter, typed and checked.

use crate::shape::Shape;
use core::fmt;
use ftl::Costs;
use nand::{Chips, GeometryError};
use units::{Bytes, PAGE_BYTES};

/// A cache of the map, for drives that do not have all of it in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L2p {
    /// Its size; used in whole 4 KiB.
    pub cache: Bytes,
    /// Bytes of one page's entry.
    pub entry: Bytes,
}

/// A page-mapped namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged {
    /// Its logical size.
    pub size: Bytes,
    /// Independent parts, each on channels of its own; page n belongs to part n mod partitions.
    pub partitions: u32,
    /// Flash beyond the logical size, in percent of it.
    pub over_provisioning: u32,
    /// Blocks of a plane to aim at: a block has as many one-shot pages as that takes, at least one.
    pub blocks_per_plane: u32,
    /// Collection starts when taking a superblock would leave this many free or fewer.
    pub gc_threshold: u32,
    /// Bytes of the write buffer.
    pub buffer: Bytes,
    /// The cache of the map; without one, all of it is in memory.
    pub l2p: Option<L2p>,
}

/// All parameters of a conventional drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The flash.
    pub chips: Chips,
    /// Host link bandwidth in MB/s (MB = 2^20 bytes).
    pub link_mbps: u64,
    /// Firmware and buffer-access times.
    pub costs: Costs,
    /// Whether writes complete when their data is in the write buffer; otherwise when it is programmed.
    pub early_completion: bool,
    /// The one namespace.
    pub paged: Paged,
}

/// Why a configuration makes no drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The flash array's shape.
    Chips(GeometryError),
    /// A bandwidth is zero.
    Bandwidth,
    /// The partitions do not divide the channels.
    Partitions,
    /// The size is not whole pages, or too large for 32-bit page numbers.
    Size,
    /// No blocks, or too many.
    Blocks,
    /// A threshold of 0, or beyond 2^16.
    Threshold,
    /// Over-provisioning of 0, or beyond 1000 %.
    OverProvisioning,
    /// A map cache of less than 4 KiB, or entries of 0 or more than 4096 bytes.
    L2p,
    /// A buffer this small could fill up with incomplete one-shot pages.
    Buffer {
        /// Bytes needed with the other parameters as they are.
        need: Bytes,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chips(error) => error.fmt(f),
            Self::Bandwidth => f.write_str("a bandwidth must be at least 1 MB/s"),
            Self::Partitions => f.write_str("partitions must be a divisor of channels"),
            Self::Size => f.write_str(
                "the namespace must be a multiple of 4 KiB, at least one, at most 4 TiB for each \
                 partition",
            ),
            Self::Blocks => f.write_str("blocks-per-plane must be 1 to 1048576"),
            Self::Threshold => f.write_str("gc-threshold must be 1 to 65536"),
            Self::OverProvisioning => f.write_str("over-provisioning must be 1 to 1000 %"),
            Self::L2p => {
                f.write_str("l2p-cache-size must be 0 or 4 KiB to 64 GiB, l2p-entry-size 1 to 4096")
            }
            Self::Buffer { need } => write!(
                f,
                "write-buffer-size must be {need} to 64 GiB: room for an incomplete one-shot page \
                 of each partition, and one more"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Checks every bound that the model relies on.
    ///
    /// # Errors
    /// The first bound that does not hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.link_mbps == 0 || self.chips.channel_mbps == 0 {
            return Err(ConfigError::Bandwidth);
        }
        self.paged.validate(&self.chips)
    }
}

impl Paged {
    /// Most bytes of a partition: twice as many pages, with all over-provisioning, have 32 bits.
    const MAX_PARTITION: u64 = 4 << 40;

    /// Checks every bound that the model relies on.
    ///
    /// # Errors
    /// The first bound that does not hold.
    pub fn validate(&self, chips: &Chips) -> Result<(), ConfigError> {
        chips.validate().map_err(ConfigError::Chips)?;
        if self.partitions == 0 || chips.channels % self.partitions != 0 {
            return Err(ConfigError::Partitions);
        }
        let size = self.size.get();
        if size == 0
            || size % PAGE_BYTES != 0
            || size / u64::from(self.partitions) > Self::MAX_PARTITION
        {
            return Err(ConfigError::Size);
        }
        if !(1..=1 << 20).contains(&self.blocks_per_plane) {
            return Err(ConfigError::Blocks);
        }
        if !(1..=1 << 16).contains(&self.gc_threshold) {
            return Err(ConfigError::Threshold);
        }
        if !(1..=1000).contains(&self.over_provisioning) {
            return Err(ConfigError::OverProvisioning);
        }
        let need = self.incomplete(chips).saturating_add(chips.one_shot.get());
        if self.buffer.get() < need || self.buffer.get() > 64 << 30 {
            return Err(ConfigError::Buffer {
                need: Bytes::new(need),
            });
        }
        let sound = |l2p: &L2p| {
            (PAGE_BYTES..=64 << 30).contains(&l2p.cache.get())
                && (1..=PAGE_BYTES).contains(&l2p.entry.get())
        };
        if !self.l2p.as_ref().is_none_or(sound) {
            return Err(ConfigError::L2p);
        }
        if Shape::new(self, chips).is_none() {
            return Err(ConfigError::Size);
        }
        Ok(())
    }

    /// Most bytes of the buffer that incomplete one-shot pages can hold.
    pub(crate) fn incomplete(&self, chips: &Chips) -> u64 {
        let each = chips.one_shot.get().saturating_sub(PAGE_BYTES);
        each.saturating_mul(u64::from(self.partitions))
    }
}
