// SPDX-License-Identifier: GPL-2.0-or-later
//! From property values to what the parts of a drive are built from, with every rule between
//! properties checked on the way.
//!
//! Rules that a single property must obey are in `table`; `zms::Config::validate` and
//! `nvme::ControllerConfig::validate` have the last word, and should have nothing left to say.

use crate::config::Config;
use crate::error::ConfigError;
use crate::layout::Layout;
use crate::properties::{Key, Value};
use crate::table::PROPERTIES;
use nand::{Cell, CellTiming, Geometry, Timing};
use nvme::ControllerConfig;
use units::{Bytes, Nanos, PAGE_BYTES};
use zms::{BufferPolicy, Buffers, Costs, DataNamespace, L2p, L2pPolicy, L2pSearch, SlcMap};

/// Most pages a namespace may span: the model numbers them with 32 bits.
const MAX_PAGES: u64 = 1 << 32;
/// Most pages a page-mapped pool may hold: the model's locations have 30 bits.
const MAX_POOL_PAGES: u64 = 1 << 30;
/// Most write buffers.
const MAX_BUFFERS: u64 = 1 << 12;
/// Most entries of the L2P cache.
const MAX_L2P_ENTRIES: u64 = 1 << 30;

/// Everything a drive is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The flash model.
    pub model: zms::Config,
    /// The controller.
    pub controller: ControllerConfig,
    /// Base-2 logarithm of the LBA size at power-on.
    pub lba_shift: u8,
    /// Whether commands take model time (`timing=on`).
    pub timed: bool,
    /// What a write to the data namespace should be a multiple of.
    pub program_unit: Bytes,
    /// Where the namespaces lie in the media.
    pub layout: Layout,
    /// What the media is made of.
    pub media: Media,
}

/// What the media is made of (the device's business; the model does not look).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// Private memory of the size needed.
    Private,
    /// The memory backend of that id.
    Backend(String),
    /// A range of guest memory.
    GuestRange {
        /// First guest physical address.
        start: u64,
        /// Length.
        size: Bytes,
    },
}

impl Config {
    /// Checks all rules and computes what the parts need.
    ///
    /// # Errors
    /// The first rule that does not hold, naming property, value and bound.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        Planner { config: self }.plan()
    }

    /// Checks all rules.
    ///
    /// # Errors
    /// As for [`Config::plan`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.plan().map(drop)
    }
}

struct Planner<'a> {
    config: &'a Config,
}

impl Planner<'_> {
    fn number(&self, key: Key) -> Option<u64> {
        match self.config.value(key) {
            Value::Number(n) => Some(n),
            _ => None,
        }
    }

    fn u64(&self, key: Key) -> u64 {
        self.number(key).unwrap_or(0)
    }

    fn u32(&self, key: Key) -> u32 {
        u32::try_from(self.u64(key)).unwrap_or(u32::MAX)
    }

    fn bytes(&self, key: Key) -> Bytes {
        Bytes::new(self.u64(key))
    }

    fn nanos(&self, key: Key) -> Nanos {
        Nanos::new(self.u64(key))
    }

    fn on(&self, key: Key) -> bool {
        self.u64(key) != 0
    }

    fn text(&self, key: Key) -> String {
        match self.config.value(key) {
            Value::Text(text) => text,
            _ => String::new(),
        }
    }

    fn cell_timing(&self, read: Key, program: Key) -> CellTiming {
        let read = match self.config.value(read) {
            Value::PageNanos(times) => times.map(Nanos::new),
            _ => [Nanos::ZERO; 4],
        };
        CellTiming {
            read,
            program: self.nanos(program),
        }
    }

    /// Fails with the rule unless it `holds`.
    fn rule(
        &self,
        holds: bool,
        key: Key,
        rule: impl FnOnce() -> String,
    ) -> Result<(), ConfigError> {
        if holds {
            return Ok(());
        }
        let property = &PROPERTIES[key as usize];
        Err(ConfigError::Conflict {
            name: property.name(),
            value: property.show(&self.config.value(key)),
            rule: rule(),
        })
    }

    fn pages(&self, key: Key) -> Result<(), ConfigError> {
        self.rule(self.u64(key) % PAGE_BYTES == 0, key, || {
            "must be a multiple of 4 KiB, the mapping unit".into()
        })
    }

    fn plan(&self) -> Result<Plan, ConfigError> {
        let geometry = self.geometry()?;
        let model = zms::Config {
            geometry,
            timing: self.timing(),
            link_mbps: self.u64(Key::LinkBandwidth),
            costs: Costs {
                read_4k: self.nanos(Key::FwRead4k),
                read: self.nanos(Key::FwRead),
                buffer_base: self.nanos(Key::WbufBase),
                buffer_page: self.nanos(Key::WbufPage),
            },
            buffers: self.buffers(&geometry)?,
            slc_bypass: self.on(Key::SlcBypass),
            slc_map: match self.u64(Key::SlcMap) {
                0 => SlcMap::Page,
                _ => SlcMap::Zone,
            },
            slc_superblocks: self.slc_superblocks(&geometry)?,
            data: self.data(&geometry)?,
            zone_options: zone::Options::default(),
            meta_size: self.meta_size(&geometry)?,
            over_provisioning: self.u32(Key::OverProvisioning),
            l2p: self.l2p()?,
            gc_threshold: self.u32(Key::GcThreshold),
            migrate_threshold: self.u32(Key::MigrateThreshold),
            reset_wait: self.on(Key::ResetWait),
            seed: self.u64(Key::Seed),
        };
        model.validate().map_err(|error| ConfigError::Conflict {
            name: "preset",
            value: self.config.preset_in_effect().name().into(),
            rule: error.to_string(),
        })?;
        let layout = Layout::new(&model);
        Ok(Plan {
            program_unit: self.program_unit(&geometry),
            layout,
            media: self.media(&layout)?,
            controller: self.controller()?,
            lba_shift: if self.u64(Key::LbaSize) == 0 { 9 } else { 12 },
            timed: self.on(Key::Timing),
            model,
        })
    }

    fn geometry(&self) -> Result<Geometry, ConfigError> {
        let geometry = Geometry {
            channels: self.u32(Key::Channels),
            luns_per_channel: self.u32(Key::LunsPerChannel),
            planes_per_lun: self.u32(Key::PlanesPerLun),
            dies_per_group: self.u32(Key::DiesPerZone),
            flash_page: self.bytes(Key::FlashPageSize),
            block: self.bytes(Key::BlockSize),
            cell: match self.u64(Key::Cell) {
                0 => Cell::Slc,
                1 => Cell::Mlc,
                2 => Cell::Tlc,
                _ => Cell::Qlc,
            },
        };
        let dies = geometry.channels.saturating_mul(geometry.luns_per_channel);
        let per_zone = geometry.dies_per_group.max(1);
        self.rule(dies % per_zone == 0, Key::DiesPerZone, || {
            format!("must divide the number of dies, channels x luns-per-channel = {dies}")
        })?;
        self.pages(Key::FlashPageSize)?;
        let one_shot = one_shot(&geometry).get();
        self.rule(
            geometry.block.get() % one_shot.max(1) == 0,
            Key::BlockSize,
            || {
                format!(
                    "must be a multiple of the one-shot page, flash-page-size x {} bits per cell = {}",
                    geometry.cell.bits(),
                    Bytes::new(one_shot)
                )
            },
        )?;
        Ok(geometry)
    }

    fn timing(&self) -> Timing {
        Timing {
            slc: self.cell_timing(Key::SlcRead, Key::SlcProgram),
            mlc: self.cell_timing(Key::MlcRead, Key::MlcProgram),
            tlc: self.cell_timing(Key::TlcRead, Key::TlcProgram),
            qlc: self.cell_timing(Key::QlcRead, Key::QlcProgram),
            erase: self.nanos(Key::Erase),
            channel_mbps: self.u64(Key::ChannelBandwidth),
        }
    }

    fn zoned(&self) -> bool {
        self.u64(Key::DataInterface) == 0
    }

    /// Bytes that one buffer must hold for its flushes to make sense.
    fn program_unit(&self, geometry: &Geometry) -> Bytes {
        if self.on(Key::SlcBypass) {
            one_shot(geometry)
        } else {
            geometry.flash_page
        }
    }

    fn buffers(&self, geometry: &Geometry) -> Result<Buffers, ConfigError> {
        let total = self.bytes(Key::WriteBufferSize);
        let unit = self.program_unit(geometry);
        let stripe = unit
            .get()
            .saturating_mul(u64::from(geometry.planes_per_group()))
            .max(1);
        let count = match self.number(Key::WriteBuffers) {
            Some(n) => n,
            None if self.zoned() => (total.get() / stripe).clamp(1, MAX_BUFFERS),
            None => 1,
        };
        self.rule(self.zoned() || count == 1, Key::WriteBuffers, || {
            "must be 1 with data-interface=block".into()
        })?;
        let each = total.get() / count.max(1);
        self.rule(each >= unit.get(), Key::WriteBufferSize, || {
            format!("each of the {count} write-buffers must hold {unit}, one program unit")
        })?;
        let meta = self.bytes(Key::MetaWriteBufferSize);
        let page = geometry.flash_page;
        self.rule(meta >= page, Key::MetaWriteBufferSize, || {
            format!("must hold one flash page, {page}")
        })?;
        let dwell = self.u64(Key::WbDwell);
        Ok(Buffers {
            total,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            policy: match self.u64(Key::WbPolicy) {
                0 => BufferPolicy::Static,
                _ => BufferPolicy::Modulo,
            },
            dwell: (dwell > 0).then_some(Nanos::new(dwell)),
            meta,
        })
    }

    fn slc_superblocks(&self, geometry: &Geometry) -> Result<u32, ConfigError> {
        let have = self.u64(Key::SlcSuperblocks);
        let threshold = self.u64(Key::MigrateThreshold);
        let sub_zone = self.zoned() && self.u64(Key::SlcMap) != 0;
        let buffers = self.bytes(Key::WriteBufferSize);
        let buffered = zms::buffered_superblocks(geometry, buffers);
        let active = if sub_zone {
            self.u64(Key::MaxActive)
        } else {
            0
        };
        let need = active
            .saturating_add(threshold + 2)
            .saturating_add(buffered);
        self.rule(have >= need, Key::SlcSuperblocks, || {
            let zones = if sub_zone { "max-active + " } else { "" };
            let held = match buffered {
                0 => String::new(),
                n => format!(" + {n} for the write buffers' {buffers}"),
            };
            format!("must be at least {zones}migrate-threshold + 2{held} = {need}")
        })?;
        let pages = have
            .saturating_mul(u64::from(geometry.groups()))
            .saturating_mul(geometry.superblock_lpns(Cell::Slc));
        self.rule(pages <= MAX_POOL_PAGES, Key::SlcSuperblocks, || {
            format!(
                "must not exceed {} of pSLC",
                Bytes::new(MAX_POOL_PAGES * PAGE_BYTES)
            )
        })?;
        Ok(self.u32(Key::SlcSuperblocks))
    }

    fn data(&self, geometry: &Geometry) -> Result<DataNamespace, ConfigError> {
        if !self.zoned() {
            self.pages(Key::BlockDataSize)?;
            self.pool(Key::BlockDataSize, geometry, geometry.cell)?;
            return Ok(DataNamespace::Block {
                size: self.bytes(Key::BlockDataSize),
            });
        }
        let (open, active) = (self.u32(Key::MaxOpen), self.u32(Key::MaxActive));
        self.rule(open <= active, Key::MaxOpen, || {
            format!("must not exceed max-active = {active}")
        })?;
        let zone_size = self.zone_size(geometry)?;
        let zones = self.u32(Key::Zones);
        let pages = u64::from(zones).saturating_mul(zone_size.get() / PAGE_BYTES);
        self.rule(pages < MAX_PAGES, Key::Zones, || {
            format!(
                "zones of {zone_size} must span less than {} together",
                Bytes::new(MAX_PAGES * PAGE_BYTES)
            )
        })?;
        Ok(DataNamespace::Zoned {
            zones,
            zone_size,
            max_open: open,
            max_active: active,
        })
    }

    fn zone_size(&self, geometry: &Geometry) -> Result<Bytes, ConfigError> {
        let capacity = geometry
            .superblock_lpns(geometry.cell)
            .saturating_mul(PAGE_BYTES);
        let Some(size) = self.number(Key::ZoneSize) else {
            let power = capacity.checked_next_power_of_two().unwrap_or(u64::MAX);
            return Ok(Bytes::new(power));
        };
        self.pages(Key::ZoneSize)?;
        self.rule(size >= capacity, Key::ZoneSize, || {
            format!(
                "must be at least the zone capacity, block-size x planes-per-lun x dies-per-zone = {}",
                Bytes::new(capacity)
            )
        })?;
        Ok(Bytes::new(size))
    }

    fn meta_size(&self, geometry: &Geometry) -> Result<Bytes, ConfigError> {
        self.pages(Key::MetaSize)?;
        self.pool(Key::MetaSize, geometry, Cell::Slc)?;
        Ok(self.bytes(Key::MetaSize))
    }

    /// A page-mapped namespace's flash must be within the reach of the model's locations.
    fn pool(&self, key: Key, geometry: &Geometry, mode: Cell) -> Result<(), ConfigError> {
        // The threshold, 2 open superblocks, and one for rounding up.
        let spare = (self.u64(Key::GcThreshold) + 3).saturating_mul(geometry.superblock_lpns(mode));
        let pages = (self.u64(key) / PAGE_BYTES)
            .saturating_mul(100 + self.u64(Key::OverProvisioning))
            .div_ceil(100)
            .saturating_add(spare);
        self.rule(pages <= MAX_POOL_PAGES, key, || {
            format!(
                "with over-provisioning and gc-threshold, it must not exceed {} of flash",
                Bytes::new(MAX_POOL_PAGES * PAGE_BYTES)
            )
        })
    }

    fn l2p(&self) -> Result<L2p, ConfigError> {
        let (cache, entry) = (self.bytes(Key::L2pCacheSize), self.bytes(Key::L2pEntrySize));
        let slots = self.u64(Key::L2pSlots);
        let entries = cache.get() / entry.get().max(1);
        self.rule((slots..=MAX_L2P_ENTRIES).contains(&entries), Key::L2pCacheSize, || {
            format!(
                "over l2p-entry-size it has {entries} entries; there must be {slots} (l2p-slots) to {MAX_L2P_ENTRIES}"
            )
        })?;
        let chunk = self.bytes(Key::ChunkSize);
        self.rule(chunk.get().is_power_of_two(), Key::ChunkSize, || {
            "must be a power of two".into()
        })?;
        Ok(L2p {
            cache,
            entry,
            slots: self.u32(Key::L2pSlots),
            policy: match self.u64(Key::L2pPolicy) {
                0 => L2pPolicy::Lru,
                _ => L2pPolicy::Random,
            },
            search: match self.u64(Key::L2pSearch) {
                0 => L2pSearch::Multiple,
                _ => L2pSearch::Bitmap,
            },
            hybrid: self.on(Key::L2pHybrid),
            resident: self.on(Key::L2pResident),
            preread: self.u32(Key::L2pPreread),
            chunk,
        })
    }

    fn controller(&self) -> Result<ControllerConfig, ConfigError> {
        let io_queues = u16::try_from(self.u64(Key::NumQueues)).unwrap_or(u16::MAX);
        let controller = ControllerConfig {
            serial: self.text(Key::Serial),
            io_queues,
            queue_entries: self.u32(Key::QueueEntries),
            mdts: u8::try_from(self.u64(Key::Mdts)).unwrap_or(u8::MAX),
            vectors: io_queues.saturating_add(1),
            ..ControllerConfig::default()
        };
        controller.validate()?;
        Ok(controller)
    }

    fn media(&self, layout: &Layout) -> Result<Media, ConfigError> {
        let memdev = self.text(Key::Memdev);
        let size = self.bytes(Key::MemmapSize);
        if size == Bytes::ZERO {
            self.rule(self.u64(Key::MemmapStart) == 0, Key::MemmapStart, || {
                "needs memmap-size".into()
            })?;
            return Ok(if memdev.is_empty() {
                Media::Private
            } else {
                Media::Backend(memdev)
            });
        }
        self.rule(memdev.is_empty(), Key::Memdev, || {
            "excludes memmap-start and memmap-size".into()
        })?;
        self.rule(size >= layout.size, Key::MemmapSize, || {
            format!("the media needs {}", layout.size)
        })?;
        let start = self.u64(Key::MemmapStart);
        self.rule(
            start.checked_add(size.get()).is_some(),
            Key::MemmapStart,
            || format!("the range of {size} ends beyond 2^64"),
        )?;
        Ok(Media::GuestRange { start, size })
    }
}

/// A one-shot page: all pages of one plane's wordline.
fn one_shot(geometry: &Geometry) -> Bytes {
    let bits = u64::from(geometry.cell.bits());
    Bytes::new(geometry.flash_page.get().saturating_mul(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::PRESETS;
    use units::MIB;

    fn with(preset: &str, settings: &[(&str, &str)]) -> Result<Plan, ConfigError> {
        let mut config = Config::preset(preset).unwrap();
        for (name, value) in settings {
            config.set(name, value).unwrap();
        }
        config.plan()
    }

    #[test]
    fn presets_have_the_figures_of_the_models_table() {
        // Name, write buffers, zone capacity and size in MiB; 0 without zones.
        let table = [
            ("ufs4-tlc", 2, 528, 1024),
            ("tlc-zoned", 2, 96, 128),
            ("qlc-zoned-page-slc", 6, 128, 128),
            ("qlc-zoned-zone-slc", 6, 128, 128),
            ("tlc-block", 1, 0, 0),
            ("qlc-block", 1, 0, 0),
        ];
        assert_eq!(table.map(|row| row.0), PRESETS.map(|p| p.1));
        for (name, buffers, capacity, size) in table {
            let model = with(name, &[]).unwrap().model;
            assert_eq!(model.buffers.count, buffers, "{name}");
            match model.data {
                DataNamespace::Zoned { zone_size, .. } => {
                    assert_eq!(zone_size, Bytes::mib(size), "{name}");
                    assert_eq!(model.zone_capacity(), Bytes::mib(capacity), "{name}");
                }
                DataNamespace::Block { size: data } => {
                    assert_eq!((data, size), (Bytes::mib(4096), 0), "{name}");
                }
            }
        }
    }

    #[test]
    fn namespaces_follow_each_other_in_the_media() {
        let plan = with("tlc-zoned", &[("meta-size", "4K"), ("zones", "3")]).unwrap();
        assert_eq!((plan.layout.meta, plan.layout.data), (Some(0), 2 * MIB));
        assert_eq!(plan.layout.size, Bytes::mib(2 + 3 * 128));
        let plan = with("tlc-zoned", &[("meta-size", "0"), ("zone-size", "96M")]).unwrap();
        assert_eq!((plan.layout.meta, plan.layout.data), (None, 0));
        assert_eq!(plan.layout.size, Bytes::mib(32 * 96));
    }

    #[test]
    fn broken_rules_name_property_value_and_bound() {
        for (settings, message) in [
            (&[("dies-per-zone", "3")][..], "property 'dies-per-zone' = 3: must divide the number of dies, channels x luns-per-channel = 4"),
            (&[("block-size", "25M")], "property 'block-size' = 25M: must be a multiple of the one-shot page, flash-page-size x 3 bits per cell = 96 KiB"),
            (&[("flash-page-size", "33000")], "property 'flash-page-size' = 33000: must be a multiple of 4 KiB, the mapping unit"),
            (&[("zone-size", "64M")], "property 'zone-size' = 64M: must be at least the zone capacity, block-size x planes-per-lun x dies-per-zone = 96 MiB"),
            (&[("zone-size", "99999999")], "property 'zone-size' = 99999999: must be a multiple of 4 KiB, the mapping unit"),
            (&[("max-open", "7")], "property 'max-open' = 7: must not exceed max-active = 6"),
            (&[("zones", "1048576")], "property 'zones' = 1048576: zones of 128 MiB must span less than 16 TiB together"),
            (&[("write-buffer-size", "64K")], "property 'write-buffer-size' = 64K: each of the 1 write-buffers must hold 96 KiB, one program unit"),
            (&[("meta-write-buffer-size", "4K")], "property 'meta-write-buffer-size' = 4K: must hold one flash page, 32 KiB"),
            (&[("slc-superblocks", "3")], "property 'slc-superblocks' = 3: must be at least migrate-threshold + 2 = 4"),
            (&[("slc-map", "sub-zone"), ("slc-superblocks", "9")], "property 'slc-superblocks' = 9: must be at least max-active + migrate-threshold + 2 = 10"),
            (&[("meta-size", "8T")], "property 'meta-size' = 8T: with over-provisioning and gc-threshold, it must not exceed 4 TiB of flash"),
            (&[("l2p-cache-size", "8")], "property 'l2p-cache-size' = 8: over l2p-entry-size it has 2 entries; there must be 3 (l2p-slots) to 1073741824"),
            (&[("chunk-size", "12K")], "property 'chunk-size' = 12K: must be a power of two"),
            (&[("memmap-start", "1G")], "property 'memmap-start' = 1G: needs memmap-size"),
            (&[("memmap-size", "1G")], "property 'memmap-size' = 1G: the media needs 4352 MiB"),
            (&[("memmap-size", "8G"), ("memdev", "m")], "property 'memdev' = m: excludes memmap-start and memmap-size"),
            (&[("memmap-size", "8G"), ("memmap-start", "18446744073709551615")], "property 'memmap-start' = 18446744073709551615: the range of 8 GiB ends beyond 2^64"),
            (&[("serial", "")], "property 'serial' = : must be 1 to 20 printable ASCII characters"),
            (&[("data-interface", "block"), ("write-buffers", "2")], "property 'write-buffers' = 2: must be 1 with data-interface=block"),
        ] {
            let error = with("tlc-zoned", settings).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    /// Values at the edges of every property's bounds, alone: a plan or an error, never a panic;
    /// and the model's own validation finds nothing that the rules here have let through.
    #[test]
    fn extreme_values_make_a_plan_or_name_the_property() {
        for (_, preset) in PRESETS {
            for property in PROPERTIES {
                let Some((min, max)) = bounds(property) else {
                    continue;
                };
                for value in [min, min + 1, max - 1, max] {
                    let settings = [(property.name(), value.to_string())];
                    let settings = settings.each_ref().map(|(n, v)| (*n, v.as_str()));
                    if let Err(ConfigError::Conflict { name, rule, .. }) = with(preset, &settings) {
                        assert_ne!(name, "preset", "{preset} {property}={value}: {rule}");
                    }
                }
            }
        }
    }

    fn bounds(property: &crate::Property) -> Option<(u64, u64)> {
        use crate::properties::Kind;
        match property.kind {
            Kind::Size { min, max } | Kind::Count { min, max } => Some((min, max)),
            Kind::Nanos { max } | Kind::PageNanos { max } | Kind::Percent { max } => Some((0, max)),
            Kind::Bandwidth { max } => Some((1, max)),
            _ => None,
        }
    }
}
