// SPDX-License-Identifier: GPL-2.0-or-later
//! The consumer drive's part.

use super::{ModelConfig, Planned, Planner, Space};
use crate::error::ConfigError;
use crate::properties::Key;
use crate::table::{property, PROPERTIES};
use ::zms::{
    BufferPolicy, Buffers, Config, DataNamespace, HostBuffer, L2p, L2pPolicy, L2pSearch, SlcMap,
    Suspend, Suspension,
};
use nand::{Cell, CellTiming, Crossing, Geometry, Timing};
use units::{Bytes, Nanos, PAGE_BYTES, SECTOR_BYTES};

/// Most pages a namespace may span: the model numbers them with 32 bits.
const MAX_PAGES: u64 = 1 << 32;
/// Most pages a page-mapped pool may hold: the model's locations have 30 bits.
const MAX_POOL_PAGES: u64 = 1 << 30;
/// Most write buffers.
const MAX_BUFFERS: u64 = 1 << 12;
/// Most entries of the L2P cache.
const MAX_L2P_ENTRIES: u64 = 1 << 30;

impl Planner<'_> {
    pub(super) fn zms(&self) -> Result<Planned, ConfigError> {
        let geometry = self.geometry()?;
        let model = Config {
            geometry,
            timing: self.timing(),
            link_mbps: self.u64(Key::LinkBandwidth),
            costs: self.costs(),
            buffers: self.buffers(&geometry)?,
            early_completion: self.on(Key::EarlyCompletion),
            slc_bypass: self.on(Key::SlcBypass),
            slc_map: match self.u64(Key::SlcMap) {
                0 => SlcMap::Page,
                _ => SlcMap::Zone,
            },
            slc_superblocks: self.slc_superblocks(&geometry)?,
            slc_dynamic_share: self.slc_dynamic_share()?,
            data: self.data(&geometry)?,
            zone_options: self.zms_zone_options(&geometry)?,
            meta_size: self.meta_size(&geometry)?,
            over_provisioning: self.u32(Key::OverProvisioning),
            l2p: self.l2p()?,
            hmb: self.host_buffer()?,
            gc_threshold: self.u32(Key::GcThreshold),
            migrate_threshold: self.u32(Key::MigrateThreshold),
            fold_idle: self.fold_idle()?,
            suspension: self.suspension()?,
            reset_wait: self.on(Key::ResetWait),
            seed: self.u64(Key::Seed),
        };
        model.validate().map_err(|error| self.refused(error))?;
        let meta = model.meta_size;
        Ok(Planned {
            meta: (meta > Bytes::ZERO).then(|| Space::block(meta, geometry.flash_page)),
            data: self.data_space(&model),
            cell: Some(geometry.cell),
            model: ModelConfig::Zms(model),
        })
    }

    /// The model's own validation, in terms of properties.
    fn refused(&self, error: ::zms::ConfigError) -> ConfigError {
        if let ::zms::ConfigError::TooMany(what) = error {
            if let Some(property) = property(what.property) {
                return self.broken(property.key, what.to_string());
            }
        }
        ConfigError::Conflict {
            name: "preset",
            value: self.config.preset_in_effect().name.into(),
            rule: error.to_string(),
        }
    }

    fn zms_zone_options(&self, geometry: &Geometry) -> Result<zone::Options, ConfigError> {
        if !self.zoned() {
            return Ok(zone::Options::default());
        }
        let pages = geometry.superblock_lpns(geometry.cell);
        let capacity = Bytes::new(pages.saturating_mul(PAGE_BYTES));
        self.zone_options(capacity, Bytes::new(SECTOR_BYTES))
    }

    fn data_space(&self, model: &Config) -> Space {
        let preferred_write = self.program_unit(&model.geometry);
        match model.data {
            DataNamespace::Block { size } => Space::block(size, preferred_write),
            DataNamespace::Zoned {
                zones, zone_size, ..
            } => Space {
                size: model.data_size(),
                capacity: Bytes::new(model.zone_capacity().get().saturating_mul(zones.into())),
                preferred_write,
                zoned: Some(self.zoned_info(zone_size)),
            },
        }
    }

    pub(super) fn geometry(&self) -> Result<Geometry, ConfigError> {
        let geometry = Geometry {
            channels: self.u32(Key::Channels),
            luns_per_channel: self.u32(Key::LunsPerChannel),
            planes_per_lun: self.u32(Key::PlanesPerLun),
            dies_per_group: self.u32(Key::DiesPerZone),
            flash_page: self.bytes(Key::FlashPageSize),
            block: self.bytes(Key::BlockSize),
            cell: self.cell(),
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

    fn cell_timing(&self, read: Key, program: Key) -> CellTiming {
        CellTiming {
            read: self.page_times(read).unwrap_or_default(),
            program: self.time(program),
        }
    }

    fn timing(&self) -> Timing {
        Timing {
            slc: self.cell_timing(Key::SlcRead, Key::SlcProgram),
            mlc: self.cell_timing(Key::MlcRead, Key::MlcProgram),
            tlc: self.cell_timing(Key::TlcRead, Key::TlcProgram),
            qlc: self.cell_timing(Key::QlcRead, Key::QlcProgram),
            erase: self.time(Key::Erase),
            channel_mbps: self.u64(Key::ChannelBandwidth),
            crossing: Crossing {
                overhead: self.time(Key::ChannelOverhead),
                command: self.time(Key::ChannelCommand),
                piece: self.bytes(Key::ChannelTransfer),
            },
        }
    }

    fn fold_idle(&self) -> Result<Option<Nanos>, ConfigError> {
        let idle = self.time(Key::FoldIdle);
        let folds = idle > Nanos::ZERO;
        self.rule(!folds || !self.on(Key::SlcBypass), Key::FoldIdle, || {
            "needs slc-bypass=off: with it, what is in pSLC is no whole program unit".into()
        })?;
        Ok(folds.then_some(idle))
    }

    fn host_buffer(&self) -> Result<HostBuffer, ConfigError> {
        let (size, min) = (self.bytes(Key::HmbSize), self.bytes(Key::HmbMin));
        self.pages(Key::HmbSize)?;
        self.pages(Key::HmbMin)?;
        self.rule(min <= size, Key::HmbMin, || {
            format!("must not exceed hmb-size, {size}")
        })?;
        Ok(HostBuffer {
            slots: u32::try_from(size.get() / PAGE_BYTES).unwrap_or(u32::MAX),
            read: self.time(Key::HmbRead),
        })
    }

    fn suspension(&self) -> Result<Suspension, ConfigError> {
        let named = match self.u64(Key::Suspend) {
            0 => Suspend::Off,
            1 => Suspend::Background,
            _ => Suspend::All,
        };
        let older = match self.number(Key::MigrateYield) {
            None => named,
            Some(0) => Suspend::Background,
            Some(_) => Suspend::Off,
        };
        let agree = older == named || !self.config.is_explicit(Key::Suspend);
        self.rule(agree, Key::MigrateYield, || {
            let name = &PROPERTIES[Key::Suspend as usize];
            let value = name.show(&self.config.value(Key::Suspend));
            format!("is the older name of {name}, which is set to {value}: set one of them")
        })?;
        Ok(Suspension {
            rule: older,
            suspend: self.time(Key::SuspendTime),
            resume: self.time(Key::ResumeTime),
            max: self.u32(Key::SuspendMax),
        })
    }

    pub(super) fn zoned(&self) -> bool {
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
        let active = match (sub_zone, self.u64(Key::MaxActive)) {
            (false, _) => 0,
            (true, 0) => self.u64(Key::Zones),
            (true, limit) => limit,
        };
        let need = active
            .saturating_add(threshold + 2)
            .saturating_add(buffered);
        self.rule(have >= need, Key::SlcSuperblocks, || {
            let zones = match (sub_zone, self.u64(Key::MaxActive)) {
                (false, _) => "",
                (true, 0) => "zones (without max-active) + ",
                (true, _) => "max-active + ",
            };
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

    fn slc_dynamic_share(&self) -> Result<u32, ConfigError> {
        let share = self.u32(Key::SlcDynamicShare);
        let rule = |holds: bool, rule: &str| {
            self.rule(share == 0 || holds, Key::SlcDynamicShare, || rule.into())
        };
        rule(
            self.zoned(),
            "needs data-interface=zoned: only zones are lent from",
        )?;
        rule(
            !self.on(Key::SlcBypass),
            "needs slc-bypass=off: with it, pSLC holds remainders alone",
        )?;
        rule(
            self.u64(Key::SlcMap) == 0,
            "needs slc-map=page: a zone's own pSLC is not lent",
        )?;
        Ok(share)
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
        self.open_within_active()?;
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

    pub(super) fn zone_size(&self, geometry: &Geometry) -> Result<Bytes, ConfigError> {
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
}

/// A one-shot page: all pages of one plane's wordline.
fn one_shot(geometry: &Geometry) -> Bytes {
    let bits = u64::from(geometry.cell.bits());
    Bytes::new(geometry.flash_page.get().saturating_mul(bits))
}
