// SPDX-License-Identifier: GPL-2.0-or-later
//! What the drive is made of: every parameter, typed and checked.

use core::fmt;
use ftl::{CoreCosts, Costs};
use nand::{Chips, GeometryError};
use units::{Bytes, Nanos, PAGE_BYTES, SECTOR_BYTES};

/// What a write buffer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferScope {
    /// One buffer for all zones.
    Global,
    /// Each zone has a buffer of its own.
    PerZone,
}

/// What zone management costs beside a core's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneCosts {
    /// Latency of the reset of a zone that has been opened.
    pub reset: Nanos,
    /// A core's time for each 4 KiB that had been written to it: their map entries.
    pub reset_page: Nanos,
    /// Latency of a finish, beyond its programs.
    pub finish: Nanos,
    /// Whether finish programs the rest of the zone.
    pub finish_pads: bool,
}

/// Reading ahead of sequential streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadAhead {
    /// Streams that are followed at once; 0 for no reading ahead.
    pub streams: u32,
    /// Reads in a row, each where the one before ended, that make a stream.
    pub trigger: u32,
    /// How far ahead.
    pub size: Bytes,
}

/// All parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The flash.
    pub chips: Chips,
    /// Host link bandwidth in MB/s (MB = 2^20 bytes).
    pub link_mbps: u64,
    /// Firmware and buffer-access times.
    pub costs: Costs,
    /// Number of zones.
    pub zones: u32,
    /// Bytes of a zone that can be written.
    pub zone_capacity: Bytes,
    /// Span of a zone in the address space.
    pub zone_size: Bytes,
    /// Dies that a zone is striped over.
    pub dies_per_zone: u32,
    /// Of how many of its dies each zone begins further on than the one before, so that zones which are written at the
    /// same pace are on different dies.
    pub zone_stagger: u32,
    /// What a write buffer belongs to.
    pub buffer_scope: BufferScope,
    /// Bytes of each write buffer.
    pub buffer: Bytes,
    /// Whether writes complete when their data is in the write buffer; otherwise as those with FUA do.
    pub early_completion: bool,
    /// What the length of a write must be a multiple of.
    pub write_unit: Bytes,
    /// Zones open at once; 0 for no limit.
    pub max_open: u32,
    /// Zones active at once; 0 for no limit.
    pub max_active: u32,
    /// What zones can do beyond the basics.
    pub zone_options: zone::Options,
    /// The controller's cores.
    pub cores: CoreCosts,
    /// Zone management.
    pub zone_costs: ZoneCosts,
    /// Reading ahead.
    pub read_ahead: ReadAhead,
    /// Whether a zone reset waits for the erases that it causes.
    pub reset_wait: bool,
    /// A conventional namespace on the same dies, if any.
    pub meta: Option<conv::Paged>,
}

/// Why a configuration makes no drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The flash array's shape.
    Chips(GeometryError),
    /// Reading ahead of this many streams, or this far, is too much.
    ReadAhead,
    /// A bandwidth is zero.
    Bandwidth,
    /// Zones are striped over no die, or over more than there are.
    DiesPerZone,
    /// A zone's span is less than its capacity, or not whole pages.
    ZoneSize,
    /// The capacity is nothing, or not a multiple of page and write unit.
    ZoneCapacity,
    /// There are no zones, or too many, or they span more than 8 EiB.
    Zones,
    /// More open than active zones, where both are limited.
    OpenOverActive,
    /// Random write areas of this size, granularity or number cannot be.
    Zrwa,
    /// The write unit is not whole sectors, or does not divide the one-shot page.
    WriteUnit,
    /// The conventional namespace.
    Meta(conv::ConfigError),
    /// The zones' own buffers would hold more one-shot pages than the model keeps books of.
    BufferTotal,
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
            Self::ReadAhead => {
                f.write_str("readahead-streams x readahead-size must be at most 65536 flash pages")
            }
            Self::Bandwidth => f.write_str("a bandwidth must be at least 1 MB/s"),
            Self::DiesPerZone => {
                f.write_str("dies-per-zone must be 1 to channels x luns-per-channel")
            }
            Self::ZoneSize => f.write_str(
                "zone-size must be a multiple of 4 KiB and at least the zone's capacity",
            ),
            Self::ZoneCapacity => {
                f.write_str("zone-capacity must be a multiple of 4 KiB and of write-unit")
            }
            Self::Zones => f.write_str("zones must be 1 to 1048576, and span at most 4 EiB"),
            Self::OpenOverActive => f.write_str("max-open must not exceed max-active"),
            Self::Zrwa => f.write_str(
                "zrwa-size must be a multiple of zrwa-flush-granularity (4 KiB steps), at most a \
                 zone's capacity and 16 MiB, the granularity a multiple of write-unit; zrwa-zones \
                 1 to 4096",
            ),
            Self::WriteUnit => f.write_str(
                "write-unit must be a multiple of 512 and a divisor of one-shot-page-size",
            ),
            Self::Meta(error) => write!(f, "the conventional namespace: {error}"),
            Self::BufferTotal => {
                f.write_str("write-buffer-size times zones must be at most 16777216 one-shot pages")
            }
            Self::Buffer { need } => write!(
                f,
                "write-buffer-size must be {need} to 64 GiB: room for an incomplete one-shot page \
                 of each active zone, and one more"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Bound of the zones: each takes some 100 bytes of the host's memory.
    pub const MAX_ZONES: u32 = 1 << 20;
    /// Bound of the one-shot pages in all buffers: each takes 16 bytes of the host's memory.
    pub const MAX_BUFFERED: u64 = 1 << 24;

    /// Bound of the flash pages read ahead: each takes 24 bytes of the host's memory.
    pub const MAX_AHEAD: u64 = 1 << 16;

    /// Checks every bound that the model relies on.
    ///
    /// # Errors
    /// The first bound that does not hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.chips.validate().map_err(ConfigError::Chips)?;
        if self.link_mbps == 0 || self.chips.channel_mbps == 0 {
            return Err(ConfigError::Bandwidth);
        }
        let ahead = self.read_ahead.size.get() / self.chips.flash_page.get().max(1) + 1;
        if ahead.saturating_mul(self.read_ahead.streams.into()) > Self::MAX_AHEAD {
            return Err(ConfigError::ReadAhead);
        }
        if self.dies_per_zone == 0 || self.dies_per_zone > self.chips.dies() {
            return Err(ConfigError::DiesPerZone);
        }
        let unit = self.write_unit.get();
        let sound = unit != 0 && unit % SECTOR_BYTES == 0;
        if !sound || self.chips.one_shot.get() % unit != 0 {
            return Err(ConfigError::WriteUnit);
        }
        let capacity = self.zone_capacity.get();
        if capacity == 0 || capacity % PAGE_BYTES != 0 || capacity % unit != 0 {
            return Err(ConfigError::ZoneCapacity);
        }
        if self.zone_size < self.zone_capacity || self.zone_size.get() % PAGE_BYTES != 0 {
            return Err(ConfigError::ZoneSize);
        }
        let span = self.zone_size.get().checked_mul(u64::from(self.zones));
        let zones = 1..=Self::MAX_ZONES;
        if !zones.contains(&self.zones) || span.is_none_or(|bytes| bytes > 1 << 62) {
            return Err(ConfigError::Zones);
        }
        if self.max_active != 0 && (self.max_open == 0 || self.max_open > self.max_active) {
            return Err(ConfigError::OpenOverActive);
        }
        let fits = |z: zone::Zrwa| {
            z.fits(self.layout()) && z.granularity.saturating_mul(SECTOR_BYTES) % unit == 0
        };
        if !self.zone_options.zrwa.is_none_or(fits) {
            return Err(ConfigError::Zrwa);
        }
        let need = self.incomplete().saturating_add(self.chips.one_shot.get());
        if self.buffer.get() < need || self.buffer.get() > 64 << 30 {
            return Err(ConfigError::Buffer {
                need: Bytes::new(need),
            });
        }
        let buffers = match self.buffer_scope {
            BufferScope::Global => 1,
            BufferScope::PerZone => u64::from(self.zones),
        };
        let each = self.buffer.get() / self.chips.one_shot.get().max(1);
        if each.saturating_mul(buffers) > Self::MAX_BUFFERED {
            return Err(ConfigError::BufferTotal);
        }
        match &self.meta {
            Some(meta) => meta.validate(&self.chips).map_err(ConfigError::Meta),
            None => Ok(()),
        }
    }

    /// How the zones lie.
    pub(crate) const fn layout(&self) -> zone::Layout {
        zone::Layout {
            zones: self.zones,
            size: self.zone_size.get() / SECTOR_BYTES,
            capacity: self.zone_capacity.get() / SECTOR_BYTES,
        }
    }

    /// Most bytes of a buffer that incomplete one-shot pages can hold.
    pub(crate) fn incomplete(&self) -> u64 {
        let each = self
            .chips
            .one_shot
            .get()
            .saturating_sub(self.write_unit.get());
        let zones = match (self.buffer_scope, self.max_active) {
            (BufferScope::PerZone, _) => 1,
            (BufferScope::Global, 0) => self.zones,
            (BufferScope::Global, active) => active.min(self.zones),
        };
        each.saturating_mul(u64::from(zones))
    }

    /// Bytes that the namespace's addresses span.
    #[must_use]
    pub fn size(&self) -> Bytes {
        Bytes::new(self.zone_size.get().saturating_mul(u64::from(self.zones)))
    }
}
