// SPDX-License-Identifier: GPL-2.0-or-later
//! Where a drive's data namespace can be written.

use ssd::Config;
use units::{Bytes, ZoneId, PAGE_BYTES, SECTOR_BYTES};

use crate::Simulation;

/// What a block namespace is cut into: a zone of `tlc-zoned`.
const EXTENT_BYTES: u64 = 96 << 20;

/// Zones, or the extents of a block namespace that stand for them: what resets a zone trims an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Whether these are zones.
    pub zoned: bool,
    /// Bytes from one zone's start to the next.
    pub span: u64,
    /// Bytes of a zone that can be written.
    pub capacity: u64,
    /// How many there are.
    pub zones: u64,
    /// Bytes that can be written, also behind the last extent.
    pub size: u64,
    /// How many may be open, and have data without being full.
    pub max_open: u64,
    /// Bytes of the longest command (MDTS).
    pub longest: u64,
    /// What the length of a write must be a multiple of, at least a page.
    pub unit: u64,
}

impl Space {
    /// Of a drive and the configuration it was made from.
    ///
    /// # Errors
    /// The namespace is smaller than one extent, in one line.
    pub fn of(simulation: &Simulation, config: &Config) -> Result<Self, String> {
        let text = |name: &str| config.get(name).map_err(|error| error.to_string());
        let number = |name: &str| text(name).map(|text| text.parse::<u64>().unwrap_or(0));
        let longest = match number("mdts")? {
            0 => EXTENT_BYTES,
            power => PAGE_BYTES << power.min(20),
        };
        let unit = text("write-unit")?.parse::<Bytes>();
        let unit = unit.map_or(PAGE_BYTES, |unit| unit.get().max(PAGE_BYTES));
        let zone = |id| simulation.model().zone(ZoneId::new(id));
        if let Some(first) = zone(0) {
            let zones = (0..).take_while(|id| zone(*id).is_some()).count() as u64;
            let capacity = first.capacity * SECTOR_BYTES;
            let span = zone(1).map_or(capacity, |second| second.start.get() * SECTOR_BYTES);
            let limit = |n: u64| if n == 0 { zones } else { n };
            let max_open = limit(number("max-open")?).min(limit(number("max-active")?));
            return Ok(Self {
                zoned: true,
                span,
                capacity,
                zones,
                size: capacity * zones,
                max_open,
                longest,
                unit,
            });
        }
        let size = text("block-data-size")?;
        let bytes = size.parse::<Bytes>().map_or(0, Bytes::get);
        let zones = bytes / EXTENT_BYTES;
        if zones == 0 {
            return Err(format!(
                "property 'block-data-size' = {size}: at least {EXTENT_BYTES} bytes are needed"
            ));
        }
        Ok(Self {
            zoned: false,
            span: EXTENT_BYTES,
            capacity: EXTENT_BYTES,
            zones,
            size: bytes,
            max_open: zones,
            longest,
            unit,
        })
    }

    /// Bytes that can be written.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.capacity * self.zones
    }
}
