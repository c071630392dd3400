// SPDX-License-Identifier: GPL-2.0-or-later
//! The enterprise zoned drive's part.

use super::{ModelConfig, Planned, Planner, Space};
use crate::error::ConfigError;
use crate::properties::Key;
use ::zns::{BufferScope, Config, ReadAhead, ZoneCosts};
use ftl::CoreCosts;
use units::{Bytes, PAGE_BYTES};

impl Planner<'_> {
    pub(super) fn zns(&self) -> Result<Planned, ConfigError> {
        self.open_within_active()?;
        let chips = self.chips();
        let capacity = self.bytes(Key::ZoneCapacity);
        let meta = self.paged(Key::MetaSize, Key::MetaWriteBufferSize, 1);
        let model = Config {
            chips,
            link_mbps: self.u64(Key::LinkBandwidth),
            costs: self.costs(),
            zones: self.u32(Key::Zones),
            zone_capacity: capacity,
            zone_size: self.zns_zone_size(),
            dies_per_zone: self.u32(Key::DiesPerZone),
            zone_stagger: self.u32(Key::ZoneStagger),
            buffer_scope: match self.u64(Key::WbScope) {
                0 => BufferScope::Global,
                _ => BufferScope::PerZone,
            },
            buffer: self.bytes(Key::WriteBufferSize),
            early_completion: self.on(Key::EarlyCompletion),
            write_unit: self.bytes(Key::WriteUnit),
            max_open: self.u32(Key::MaxOpen),
            max_active: self.u32(Key::MaxActive),
            zone_options: self.zone_options(capacity, self.bytes(Key::WriteUnit))?,
            cores: self.cores(),
            zone_costs: ZoneCosts {
                reset: self.time(Key::ResetTime),
                reset_page: self.time(Key::ResetPage),
                finish: self.time(Key::FinishTime),
                finish_pads: self.on(Key::FinishPads),
            },
            read_ahead: ReadAhead {
                streams: self.u32(Key::ReadAheadStreams),
                trigger: self.u32(Key::ReadAheadTrigger),
                size: self.bytes(Key::ReadAheadSize),
            },
            reset_wait: self.on(Key::ResetWait),
            meta: (meta.size > Bytes::ZERO).then_some(meta),
        };
        model.validate().map_err(|error| {
            let (key, rule) = self.zns_rule(error);
            self.broken(key, rule)
        })?;
        let meta = model.meta.as_ref();
        Ok(Planned {
            meta: meta.map(|meta| Space::block(meta.size, chips.one_shot)),
            data: Space {
                size: model.size(),
                capacity: Bytes::new(capacity.get().saturating_mul(model.zones.into())),
                preferred_write: chips.one_shot,
                zoned: Some(self.zoned_info(model.zone_size)),
            },
            cell: Some(chips.cell),
            model: ModelConfig::Zns(model),
        })
    }

    fn cores(&self) -> CoreCosts {
        CoreCosts {
            cores: self.u32(Key::Cores),
            read: self.time(Key::CoreRead),
            read_page: self.time(Key::CoreReadPage),
            write: self.time(Key::CoreWrite),
            write_page: self.time(Key::CoreWritePage),
            append: self.time(Key::CoreAppend),
            open: self.time(Key::CoreOpen),
            zone: self.time(Key::CoreZone),
            unit_pages: self.u64(Key::CoreUnit) / PAGE_BYTES,
            partial: self.time(Key::CorePartial),
            subpage: self.time(Key::CoreSubpage),
        }
    }

    pub(super) fn zns_zone_size(&self) -> Bytes {
        let power = self.u64(Key::ZoneCapacity).checked_next_power_of_two();
        Bytes::new(self.number(Key::ZoneSize).or(power).unwrap_or(u64::MAX))
    }

    /// The property to blame, and the rule.
    fn zns_rule(&self, error: ::zns::ConfigError) -> (Key, String) {
        use ::zns::ConfigError as E;
        let chips = self.chips();
        match error {
            E::Chips(error) => self.chips_rule(error),
            E::ReadAhead => (Key::ReadAheadSize, error.to_string()),
            E::Bandwidth => (Key::LinkBandwidth, error.to_string()),
            E::DiesPerZone => (
                Key::DiesPerZone,
                format!(
                    "must not exceed the number of dies, channels x luns-per-channel = {}",
                    chips.dies()
                ),
            ),
            E::ZoneSize => (
                Key::ZoneSize,
                format!(
                    "must be a multiple of 4 KiB and at least zone-capacity = {}",
                    self.bytes(Key::ZoneCapacity)
                ),
            ),
            E::ZoneCapacity => (
                Key::ZoneCapacity,
                format!(
                    "must be a multiple of 4 KiB and of write-unit = {}",
                    self.bytes(Key::WriteUnit)
                ),
            ),
            E::Zones => (
                Key::Zones,
                "must be 1 to 1048576, and span at most 4 EiB together".into(),
            ),
            E::OpenOverActive => (Key::MaxOpen, error.to_string()),
            E::Zrwa => (Key::ZrwaSize, error.to_string()),
            E::WriteUnit => (
                Key::WriteUnit,
                format!(
                    "must be a multiple of 512 and divide one-shot-page-size = {}",
                    chips.one_shot
                ),
            ),
            E::Meta(error) => self.paged_rule(error, Key::MetaSize, Key::MetaWriteBufferSize),
            E::BufferTotal => (
                Key::WriteBufferSize,
                format!(
                    "with zones = {}, must be at most {} one-shot pages together",
                    self.u32(Key::Zones),
                    Config::MAX_BUFFERED
                ),
            ),
            E::Buffer { need } => (
                Key::WriteBufferSize,
                format!(
                    "must be at least {need}: an incomplete one-shot page of each active zone \
                     that shares it, and one more"
                ),
            ),
        }
    }
}
