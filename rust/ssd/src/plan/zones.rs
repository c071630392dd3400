// SPDX-License-Identifier: GPL-2.0-or-later
//! What the two zoned models share: limits, and what zones can do beyond the basics.

use super::Planner;
use crate::error::ConfigError;
use crate::properties::Key;
use nvme::{ZonedInfo, ZrwaInfo};
use units::{Bytes, MIB, PAGE_BYTES, SECTOR_BYTES};

impl Planner<'_> {
    /// What Identify says of zones that reach from one start to the next in `zone_size`.
    pub(super) fn zoned_info(&self, zone_size: Bytes) -> ZonedInfo {
        let limit = |n: u32| (n > 0).then_some(n);
        let units = self.u64(Key::ZoneExtensionSize) / 64;
        ZonedInfo {
            zone_size,
            zones: self.u32(Key::Zones),
            max_open: limit(self.u32(Key::MaxOpen)),
            max_active: limit(self.u32(Key::MaxActive)),
            read_across: self.on(Key::ReadAcrossZones),
            extension_units: u8::try_from(units).unwrap_or(u8::MAX),
            zrwa: (self.u64(Key::ZrwaSize) > 0).then(|| ZrwaInfo {
                size: self.bytes(Key::ZrwaSize),
                granularity: self.bytes(Key::ZrwaGranularity),
                max_zones: self.u32(Key::ZrwaZones),
            }),
        }
    }

    /// What zones of this capacity can do, written in units of `write_unit`.
    pub(super) fn zone_options(
        &self,
        capacity: Bytes,
        write_unit: Bytes,
    ) -> Result<zone::Options, ConfigError> {
        self.extensions()?;
        let size = self.u64(Key::ZrwaSize);
        if size > 0 {
            self.area(size, capacity, write_unit)?;
        }
        Ok(zone::Options {
            read_across: self.on(Key::ReadAcrossZones),
            zrwa: (size > 0).then(|| zone::Zrwa {
                size: size / SECTOR_BYTES,
                granularity: self.u64(Key::ZrwaGranularity) / SECTOR_BYTES,
                zones: self.u32(Key::ZrwaZones),
            }),
        })
    }

    fn area(&self, size: u64, capacity: Bytes, write_unit: Bytes) -> Result<(), ConfigError> {
        let granularity = self.u64(Key::ZrwaGranularity);
        let unit = write_unit.get().max(PAGE_BYTES);
        self.rule(granularity % unit == 0, Key::ZrwaGranularity, || {
            format!(
                "must be a multiple of 4 KiB and of write-unit = {}",
                write_unit
            )
        })?;
        let whole = size % granularity.max(1) == 0;
        self.rule(whole, Key::ZrwaSize, || {
            let granularity = Bytes::new(granularity);
            format!("must be a multiple of zrwa-flush-granularity = {granularity}")
        })?;
        self.rule(size <= capacity.get(), Key::ZrwaSize, || {
            format!("must not exceed a zone's capacity = {capacity}")
        })
    }

    fn extensions(&self) -> Result<(), ConfigError> {
        let size = self.u64(Key::ZoneExtensionSize);
        self.rule(size % 64 == 0, Key::ZoneExtensionSize, || {
            "must be a multiple of 64".into()
        })?;
        let all = size.saturating_mul(self.u64(Key::Zones));
        self.rule(all <= 1024 * MIB, Key::ZoneExtensionSize, || {
            let zones = self.u64(Key::Zones);
            format!("must not exceed 1 GiB for all {zones} zones together")
        })
    }

    /// No limit on open zones only without one on active zones (ZNS Command Set: MOR <= MAR).
    pub(super) fn open_within_active(&self) -> Result<(), ConfigError> {
        let (open, active) = (self.u64(Key::MaxOpen), self.u64(Key::MaxActive));
        let holds = active == 0 || (1..=active).contains(&open);
        self.rule(holds, Key::MaxOpen, || match open {
            0 => format!("0 is no limit; it must not exceed max-active = {active}"),
            _ => format!("must not exceed max-active = {active}"),
        })
    }
}
