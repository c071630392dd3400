// SPDX-License-Identifier: GPL-2.0-or-later
//! What a drive is made of: every parameter of the model, typed and checked.
//!
//! Presets, property names and text live in the `ssd` crate; this is the plain result.

use core::fmt;
use ftl::Costs;
use nand::{Cell, Geometry, GeometryError, Suspension, Timing};
use units::{Bytes, Nanos, PAGE_BYTES, SECTOR_BYTES};

/// Most superblocks of a pool: a million zones and two to spare. All have their state written at the start.
const MAX_SUPERBLOCKS: u64 = (1 << 20) + 2;
/// Most pages of a superblock that collection takes victims from.
const MAX_VICTIM_PAGES: u64 = 1 << 24;
/// Most slots of the L2P cache: all are written at the start.
const MAX_L2P_SLOTS: u32 = 1 << 20;
/// Most entries that a miss reads ahead, one by one.
const MAX_L2P_PREREAD: u32 = 1 << 10;

/// All parameters of the flash model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Shape of the flash.
    pub geometry: Geometry,
    /// Flash array times and channel bandwidth.
    pub timing: Timing,
    /// Host link bandwidth in MB/s (MB = 2^20 bytes).
    pub link_mbps: u64,
    /// Firmware and buffer-access times.
    pub costs: Costs,
    /// Write buffers.
    pub buffers: Buffers,
    /// Whether writes complete when their data is in a write buffer; otherwise when it is durable.
    pub early_completion: bool,
    /// Whether data that fills a program unit goes straight to native cells.
    pub slc_bypass: bool,
    /// How pSLC is given to zones.
    pub slc_map: SlcMap,
    /// Data pSLC superblocks of each die group.
    pub slc_superblocks: u32,
    /// Native superblocks that may be lent to pSLC, in percent of those that no zone needs; 0 for none. For zones, without
    /// bypass, and pSLC that zones share.
    pub slc_dynamic_share: u32,
    /// The data namespace.
    pub data: DataNamespace,
    /// What its zones can do beyond the basics; nothing without zones.
    pub zone_options: zone::Options,
    /// Logical size of the meta namespace; zero for none.
    pub meta_size: Bytes,
    /// Over-provisioning of page-mapped namespaces, in percent of their logical size.
    pub over_provisioning: u32,
    /// The logical-to-physical map's cache.
    pub l2p: L2p,
    /// Memory that the host is asked for as a second one.
    pub hmb: HostBuffer,
    /// Garbage collection starts when taking a superblock would leave this many free or fewer.
    pub gc_threshold: u32,
    /// pSLC reclaim starts when this many superblocks (of a group) are free, or fewer.
    pub migrate_threshold: u32,
    /// Without commands for so long, what is in the data namespace's pSLC moves to native cells.
    pub fold_idle: Option<Nanos>,
    /// Which running operations make way for the host's, and what that costs.
    pub suspension: Suspension,
    /// Whether a zone reset waits for the erases that it causes.
    pub reset_wait: bool,
    /// Seed of the random replacement policy.
    pub seed: u64,
}

/// Volatile write buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Bytes of all data buffers together.
    pub total: Bytes,
    /// How many buffers they are split into (zoned data; block data uses one).
    pub count: u32,
    /// How zones share them.
    pub policy: BufferPolicy,
    /// Buffered data older than this is flushed even if no further write comes.
    pub dwell: Option<Nanos>,
    /// Bytes of the meta namespace's buffer.
    pub meta: Bytes,
}

/// How a write to a zone picks its buffer (zms-model §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferPolicy {
    /// The buffer that has the zone's data, else an empty one, else flush the fullest.
    Static,
    /// Zone number modulo buffers.
    Modulo,
}

/// How zoned data is put into pSLC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlcMap {
    /// All zones of a die group share one write pointer; mapped page by page.
    Page,
    /// Each zone fills pSLC superblocks of its own; a full one is one map entry.
    Zone,
}

/// The data namespace's kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataNamespace {
    /// Zones of one native superblock each.
    Zoned {
        /// Number of zones.
        zones: u32,
        /// Span of a zone in the address space, at least its capacity (one native superblock).
        zone_size: Bytes,
        /// Zones open at once; 0 for no limit.
        max_open: u32,
        /// Zones active at once; 0 for no limit.
        max_active: u32,
    },
    /// Page-mapped blocks.
    Block {
        /// Logical size.
        size: Bytes,
    },
}

/// The L2P cache (zms-model §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L2p {
    /// Capacity.
    pub cache: Bytes,
    /// Bytes of one entry.
    pub entry: Bytes,
    /// Parts the cache is split into, by first LPN modulo their number.
    pub slots: u32,
    /// What is evicted.
    pub policy: L2pPolicy,
    /// How a miss finds the entry in flash.
    pub search: L2pSearch,
    /// Whether zone, sub-zone and chunk entries exist beside page entries.
    pub hybrid: bool,
    /// Whether those coarse entries are never evicted.
    pub resident: bool,
    /// Entries read along with a missed one.
    pub preread: u32,
    /// The chunk granularity.
    pub chunk: Bytes,
}

/// The Host Memory Buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostBuffer {
    /// Slots of 4 KiB at most, up to [`MAX_HMB_SLOTS`]; 0 for none.
    pub slots: u32,
    /// From the request for a piece until it comes in, its time on the link aside.
    pub read: Nanos,
}

/// Most slots of a Host Memory Buffer: 1 GiB, many times what hosts give.
pub const MAX_HMB_SLOTS: u32 = 1 << 18;

impl L2p {
    /// Entries that a map page of 4 KiB has.
    #[must_use]
    pub fn entries_of_page(&self) -> u32 {
        let entries = PAGE_BYTES / self.entry.get().max(1);
        u32::try_from(entries).unwrap_or(u32::MAX).max(1)
    }
}

/// Replacement inside a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L2pPolicy {
    /// Least recently used.
    Lru,
    /// Any, from the seed.
    Random,
}

/// How a miss is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L2pSearch {
    /// One map read per granularity, coarse to fine, until one matches.
    Multiple,
    /// The granularity is known from a bitmap: one map read.
    Bitmap,
}

/// Why a configuration makes no drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The flash array's shape.
    Geometry(GeometryError),
    /// A bandwidth is zero.
    Bandwidth,
    /// A zone's span is less than its capacity, or not whole pages.
    ZoneSize,
    /// There are no zones, or their span does not fit the model's 32-bit page numbers.
    Zones,
    /// More open than active zones, where both are limited.
    OpenOverActive,
    /// Random write areas of this size, granularity or number cannot be.
    Zrwa,
    /// The block namespace is empty or does not fit the model's 31-bit page locations.
    BlockSize,
    /// The meta namespace does not fit the model's 31-bit page locations.
    MetaSize,
    /// No buffers, or a buffer cannot hold one program unit (one flash page for `meta`).
    Buffers,
    /// A pSLC area of this many superblocks per group cannot work; this many are needed.
    SlcSuperblocks {
        /// Configured.
        have: u32,
        /// Needed with the other parameters as they are.
        need: u32,
    },
    /// More than 100 % of native superblocks lent to pSLC, or any where that cannot be.
    SlcDynamicShare,
    /// No L2P entries, no slots, or more than 2^30 entries.
    L2pCache,
    /// The chunk is not a power of two from 4 KiB to 64 GiB.
    Chunk,
    /// A threshold beyond 2^16.
    Threshold,
    /// Over-provisioning beyond 1000 %.
    OverProvisioning,
    /// More of something than the model's numbers, or any host's memory, have room for.
    TooMany(TooMany),
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// The property to change, as users write it.
    pub property: &'static str,
    /// What it makes.
    pub what: &'static str,
    /// How many.
    pub have: u64,
    /// How many there can be.
    pub most: u64,
}

impl TooMany {
    /// An error if there are more than `most`.
    fn check(
        property: &'static str,
        what: &'static str,
        have: u64,
        most: u64,
    ) -> Result<(), ConfigError> {
        let too_many = Self {
            property,
            what,
            have,
            most,
        };
        if have > most {
            Err(ConfigError::TooMany(too_many))
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what, have, most, ..
        } = self;
        write!(f, "makes {have} {what}; there can be {most}")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Geometry(error) => error.fmt(f),
            Self::Bandwidth => f.write_str("a bandwidth must be at least 1 MB/s"),
            Self::ZoneSize => f.write_str(
                "zone-size must be a multiple of 4 KiB and at least the zone's capacity",
            ),
            Self::Zones => f.write_str("there must be 1 zone or more, and at most 16 TiB of them"),
            Self::OpenOverActive => f.write_str("max-open must not exceed max-active"),
            Self::Zrwa => f.write_str(
                "zrwa-size must be a multiple of zrwa-flush-granularity (4 KiB steps), at most a zone's \
                 capacity and 16 MiB; zrwa-zones 1 to 4096",
            ),
            Self::BlockSize => f.write_str("the block namespace must have 4 KiB to 4 TiB"),
            Self::MetaSize => f.write_str("the meta namespace must have at most 4 TiB"),
            Self::Buffers => f.write_str(
                "each write buffer must hold at least one program unit (one-shot page; \
                 flash page without bypass and for meta) and at most 1 GiB",
            ),
            Self::SlcSuperblocks { have, need } => {
                write!(
                    f,
                    "slc-superblocks is {have}, but {need} are needed at least"
                )
            }
            Self::SlcDynamicShare => f.write_str(
                "slc-dynamic-share must be at most 100 %, and 0 without zones, with slc-bypass, or with slc-map=sub-zone",
            ),
            Self::L2pCache => f.write_str("the L2P cache must have 1 to 2^30 entries and 1 slot"),
            Self::Chunk => f.write_str("chunk-size must be a power of two from 4 KiB to 64 GiB"),
            Self::Threshold => f.write_str("a threshold must be at most 65536"),
            Self::OverProvisioning => f.write_str("over-provisioning must be at most 1000 %"),
            Self::TooMany(what) => write!(f, "{} {what}", what.property),
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
        self.geometry.validate().map_err(ConfigError::Geometry)?;
        if self.link_mbps == 0 || self.timing.channel_mbps == 0 {
            return Err(ConfigError::Bandwidth);
        }
        if self.gc_threshold > 1 << 16 || self.migrate_threshold > 1 << 16 {
            return Err(ConfigError::Threshold);
        }
        if self.over_provisioning > 1000 {
            return Err(ConfigError::OverProvisioning);
        }
        self.validate_namespaces()?;
        self.validate_buffers()?;
        self.validate_slc()?;
        let chunk = self.l2p.chunk.get();
        if !chunk.is_power_of_two() || !(PAGE_BYTES..=1 << 36).contains(&chunk) {
            return Err(ConfigError::Chunk);
        }
        let entries = self.l2p.cache.get().checked_div(self.l2p.entry.get());
        match entries {
            Some(n) if n >= u64::from(self.l2p.slots) && n <= 1 << 30 && self.l2p.slots > 0 => {}
            _ => return Err(ConfigError::L2pCache),
        }
        let (slots, preread) = (self.l2p.slots.into(), self.l2p.preread.into());
        TooMany::check("l2p-slots", "slots", slots, MAX_L2P_SLOTS.into())?;
        TooMany::check("l2p-preread", "entries", preread, MAX_L2P_PREREAD.into())?;
        let slots = self.hmb.slots.into();
        TooMany::check("hmb-size", "slots of 4 KiB", slots, MAX_HMB_SLOTS.into())
    }

    /// Native superblocks of zones: the pages of all of them are numbered with 32 bits, of which the last is none.
    fn validate_zones(&self, zones: u32) -> Result<(), ConfigError> {
        let superblocks = u64::from(self.zone_superblocks(zones));
        let what = "superblocks, two of them to reset into";
        TooMany::check("zones", what, superblocks, MAX_SUPERBLOCKS)?;
        let pages = superblocks.saturating_mul(self.zone_capacity().get() / PAGE_BYTES);
        let what = "pages of flash with the two superblocks to reset into";
        TooMany::check("zones", what, pages, u32::MAX.into())
    }

    /// Native superblocks of zones: two more, since a reset zone can be written again while its old block is erased; and
    /// where some are lent a third, since the two write pointers in pSLC can be in lent ones.
    pub(crate) fn zone_superblocks(&self, zones: u32) -> u32 {
        zones.saturating_add(2 + u32::from(self.slc_dynamic_share > 0))
    }

    /// A pool of a page-mapped namespace.
    fn validate_pool(
        property: &'static str,
        superblocks: u64,
        each: u64,
    ) -> Result<(), ConfigError> {
        TooMany::check(property, "superblocks", superblocks, MAX_SUPERBLOCKS)?;
        let what = "pages in each superblock (block-size times planes)";
        TooMany::check(property, what, each, MAX_VICTIM_PAGES)
    }

    fn validate_namespaces(&self) -> Result<(), ConfigError> {
        const MAX_LOCATIONS: u64 = 1 << 30;
        let g = &self.geometry;
        match self.data {
            DataNamespace::Zoned {
                zones,
                zone_size,
                max_open,
                max_active,
            } => {
                let pages = zone_size.get() / PAGE_BYTES;
                if zone_size < self.zone_capacity() || zone_size.get() % PAGE_BYTES != 0 {
                    return Err(ConfigError::ZoneSize);
                }
                let total = u64::from(zones).checked_mul(pages);
                if zones == 0 || zones > 1 << 24 || total.is_none_or(|n| n >= 1 << 32) {
                    return Err(ConfigError::Zones);
                }
                self.validate_zones(zones)?;
                if max_active != 0 && (max_open == 0 || max_open > max_active) {
                    return Err(ConfigError::OpenOverActive);
                }
                let layout = zone::Layout {
                    zones,
                    size: zone_size.get() / SECTOR_BYTES,
                    capacity: self.zone_capacity().get() / SECTOR_BYTES,
                };
                if self.zone_options.zrwa.is_some_and(|z| !z.fits(layout)) {
                    return Err(ConfigError::Zrwa);
                }
            }
            DataNamespace::Block { size } => {
                let pages = size.get() / PAGE_BYTES;
                let (pool, each) = (self.native_superblocks(size), g.superblock_lpns(g.cell));
                if pages == 0 || pool.saturating_mul(each) > MAX_LOCATIONS {
                    return Err(ConfigError::BlockSize);
                }
                Self::validate_pool("block-data-size", pool, each)?;
            }
        }
        if self.meta_size == Bytes::ZERO {
            return Ok(());
        }
        let pool = self.meta_superblocks();
        let each = g.superblock_lpns(Cell::Slc);
        if pool.saturating_mul(each) > MAX_LOCATIONS {
            return Err(ConfigError::MetaSize);
        }
        Self::validate_pool("meta-size", pool, each)
    }

    /// Superblocks of the meta namespace: what is buffered and the next piece of a write come on top.
    pub(crate) fn meta_superblocks(&self) -> u64 {
        let pages = self.meta_buffer_pages().saturating_mul(2);
        self.pool(self.meta_size, pages, Cell::Slc)
    }

    /// Native superblocks of a block data namespace of `size`: what is buffered and the next piece of a
    /// write, and old copies of what is not programmed yet, come on top.
    pub(crate) fn native_superblocks(&self, size: Bytes) -> u64 {
        let pages = self.data_buffer_pages().saturating_add(self.stripe());
        self.pool(size, pages.saturating_mul(2), self.geometry.cell)
    }

    /// Superblocks of a page-mapped pool with a buffer of so many pages before it.
    fn pool(&self, size: Bytes, buffer: u32, mode: Cell) -> u64 {
        let pages = size.get() / PAGE_BYTES;
        let (over, threshold) = (self.over_provisioning, self.gc_threshold);
        pool_superblocks(pages, over, threshold, buffer, &self.geometry, mode)
    }

    fn validate_buffers(&self) -> Result<(), ConfigError> {
        const MAX: u64 = 1 << 30;
        let b = &self.buffers;
        let g = &self.geometry;
        let least = if self.slc_bypass {
            g.unit_lpns()
        } else {
            g.lpns_per_page()
        };
        let each = self.data_buffer_pages();
        if b.count == 0 || b.count > 1 << 12 || each < least || b.total.get() > MAX {
            return Err(ConfigError::Buffers);
        }
        if self.meta_size != Bytes::ZERO
            && (self.meta_buffer_pages() < g.lpns_per_page() || b.meta.get() > MAX)
        {
            return Err(ConfigError::Buffers);
        }
        Ok(())
    }

    fn validate_slc(&self) -> Result<(), ConfigError> {
        let have = self.slc_superblocks;
        let need = self.slc_superblocks_needed();
        if have < need {
            return Err(ConfigError::SlcSuperblocks { have, need });
        }
        let mut superblocks = u64::from(have).saturating_mul(self.geometry.groups().into());
        if self.slc_dynamic_share > 0 {
            let zones = match self.data {
                DataNamespace::Zoned { zones, .. } if self.slc_map == SlcMap::Page => zones,
                _ => return Err(ConfigError::SlcDynamicShare),
            };
            if self.slc_bypass || self.slc_dynamic_share > 100 {
                return Err(ConfigError::SlcDynamicShare);
            }
            superblocks = superblocks.saturating_add(self.zone_superblocks(zones).into());
        }
        let each = self.geometry.superblock_lpns(Cell::Slc);
        let property = "slc-superblocks";
        let pages = superblocks.saturating_mul(each);
        TooMany::check(property, "pages of pSLC in all die groups", pages, 1 << 30)?;
        let what = "superblocks in all die groups";
        TooMany::check(property, what, superblocks, MAX_SUPERBLOCKS)?;
        match self.data {
            DataNamespace::Zoned { .. } => Ok(()),
            DataNamespace::Block { .. } => Self::validate_pool(property, superblocks, each),
        }
    }

    /// pSLC superblocks of a die group without which a write could find no room although little is
    /// stored: the open ones, what is kept for moves, and what buffers, a portion of a write and
    /// the backups of two stripes can fill.
    fn slc_superblocks_needed(&self) -> u32 {
        let g = &self.geometry;
        let each = g.superblock_lpns(Cell::Slc).max(1);
        let (unit, stripe) = (u64::from(g.unit_lpns()), u64::from(self.stripe()));
        let capacity = u64::from(self.data_buffer_pages()).max(1);
        let count = match self.data {
            DataNamespace::Zoned { .. } => u64::from(self.buffers.count),
            DataNamespace::Block { .. } => 1,
        };
        let (mut buffered, mut portion) = (count * capacity, capacity);
        if self.slc_bypass {
            // A flush leaves less than a unit, and perhaps a page that was not written wholly.
            buffered = buffered.min(count * unit);
            portion = portion.min(3 * unit);
        }
        let bypass = u64::from(self.slc_bypass);
        let threshold = u64::from(self.migrate_threshold);
        // An open superblock has room for a page, at least.
        let beyond = |pages: u64| pages.saturating_sub(1).div_ceil(each);
        let needed = match (self.data, self.slc_map) {
            (DataNamespace::Block { .. }, _) => {
                let kept = u64::from(self.kept_for_moves()).div_ceil(each);
                // A, and copies of what two open native superblocks have loaded.
                let stays = match self.slc_bypass {
                    true => unit + 2 * stripe,
                    false => unit - 1 + 2 * (stripe - unit),
                };
                let stays = stays / each;
                let needed = kept + stays + beyond(buffered + portion + bypass * stripe);
                needed.max(threshold)
            }
            (DataNamespace::Zoned { .. }, SlcMap::Page) => {
                // A of each zone stays.
                let a = self.most_active().saturating_mul(unit - 1);
                let pages = (buffered + portion + bypass * 2 * stripe).saturating_add(a);
                (1 + beyond(pages)).max(threshold)
            }
            (DataNamespace::Zoned { .. }, SlcMap::Zone) => {
                // Each zone has a superblock open.
                let held = buffered_superblocks(g, self.buffers.total);
                let active = self.most_active();
                active.saturating_add(threshold).saturating_add(held)
            }
        };
        u32::try_from(needed.saturating_add(2)).unwrap_or(u32::MAX)
    }

    /// Logical pages of one native wordline on every plane of a group.
    fn stripe(&self) -> u32 {
        let g = &self.geometry;
        g.unit_lpns().saturating_mul(g.planes_per_group())
    }

    /// Zones that can be active at once.
    fn most_active(&self) -> u64 {
        match self.data {
            DataNamespace::Zoned {
                zones, max_active, ..
            } if max_active != 0 => max_active.min(zones).into(),
            DataNamespace::Zoned { zones, .. } => zones.into(),
            DataNamespace::Block { .. } => 0,
        }
    }

    /// Zones that keep loaded pages without a backup, at most: planes have few page registers, and a
    /// Flush is to find little to back up.
    pub(crate) fn most_loaded(&self) -> u64 {
        const PAGES: u64 = 1 << 13;
        (PAGES / u64::from(self.stripe().max(1))).clamp(1, self.most_active().max(1))
    }

    /// Pages that moving a superblock into native cells can leave in pSLC: a remainder and backups.
    pub(crate) fn left_by_move(&self) -> u32 {
        self.geometry.unit_lpns().saturating_add(self.stripe())
    }

    /// Pages that moves can need in the pSLC of a block namespace before a victim has been erased.
    /// Migrating a superblock leaves some there, and so does collecting a native one for it; with bypass
    /// a victim is A and copies of what is loaded.
    pub(crate) fn kept_for_moves(&self) -> u32 {
        const FEW: u32 = 6;
        let left = self.left_by_move();
        let pages = self.geometry.superblock_lpns(Cell::Slc);
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        if self.slc_bypass {
            left.saturating_add(pages.min(left.saturating_add(self.stripe())))
        } else if pages < left.saturating_mul(FEW) {
            // What several collections leave is much of a small superblock: its pages must find space in pSLC, too.
            left.saturating_mul(2).saturating_add(pages)
        } else {
            left.saturating_mul(2)
        }
    }

    /// Data of one zone: a native superblock.
    #[must_use]
    pub fn zone_capacity(&self) -> Bytes {
        let g = &self.geometry;
        Bytes::new(g.superblock_lpns(g.cell).saturating_mul(PAGE_BYTES))
    }

    /// Bytes that the data namespace's addresses span.
    #[must_use]
    pub fn data_size(&self) -> Bytes {
        match self.data {
            DataNamespace::Zoned {
                zones, zone_size, ..
            } => Bytes::new(zone_size.get().saturating_mul(u64::from(zones))),
            DataNamespace::Block { size } => size,
        }
    }

    /// Entries that the map can have, all granularities together.
    #[must_use]
    pub fn map_entries(&self) -> u64 {
        let data = match self.data {
            DataNamespace::Block { size } => size.get() / PAGE_BYTES,
            DataNamespace::Zoned { zones, .. } => {
                let pages = self.zone_capacity().get() / PAGE_BYTES;
                let chunk = self.l2p.chunk.get() / PAGE_BYTES;
                let sub_zone = match self.slc_map {
                    SlcMap::Page => u64::MAX,
                    SlcMap::Zone => self.geometry.superblock_lpns(Cell::Slc),
                };
                let coarse = |unit: u64| pages.div_ceil(unit.max(1));
                let coarse = [chunk, sub_zone].map(coarse).into_iter().sum::<u64>() + 1;
                let each = if self.l2p.hybrid {
                    pages.saturating_add(coarse)
                } else {
                    pages
                };
                each.saturating_mul(zones.into())
            }
        };
        data.saturating_add(self.meta_size.get() / PAGE_BYTES)
    }

    /// Pages of one data buffer.
    #[must_use]
    pub fn data_buffer_pages(&self) -> u32 {
        let count = match self.data {
            DataNamespace::Zoned { .. } => u64::from(self.buffers.count.max(1)),
            DataNamespace::Block { .. } => 1,
        };
        u32::try_from(self.buffers.total.get() / count / PAGE_BYTES).unwrap_or(u32::MAX)
    }

    /// Pages of the meta buffer.
    #[must_use]
    pub fn meta_buffer_pages(&self) -> u32 {
        u32::try_from(self.buffers.meta.get() / PAGE_BYTES).unwrap_or(u32::MAX)
    }
}

/// Superblocks of a page-mapped pool of `pages` logical pages: room for all of them and the
/// over-provisioning, those the threshold keeps free, 2 open (zms-model §2, sizing rule), and what a
/// buffer of `buffer` pages fills.
fn pool_superblocks(
    pages: u64,
    over: u32,
    threshold: u32,
    buffer: u32,
    geometry: &Geometry,
    mode: Cell,
) -> u64 {
    const OPEN: u64 = 2;
    let each = geometry.superblock_lpns(mode).max(1);
    let spare = u64::from(threshold) + OPEN + u64::from(buffer) / each;
    let physical = pages.saturating_mul(100 + u64::from(over)).div_ceil(100);
    physical.div_ceil(each).saturating_add(spare)
}

/// pSLC superblocks that the data buffers and the backup of two stripes can fill, beside those
/// that reclaim needs.
#[must_use]
pub fn buffered_superblocks(geometry: &Geometry, buffers: Bytes) -> u64 {
    let stripe = u64::from(geometry.unit_lpns()) * u64::from(geometry.planes_per_group());
    let pages = (buffers.get() / PAGE_BYTES).saturating_add(2 * stripe);
    pages / geometry.superblock_lpns(Cell::Slc).max(1)
}
