// SPDX-License-Identifier: GPL-2.0-or-later
//! A namespace as commands need it: the one place where LBAs of its current format become sectors.

use core::ops::Range;

use nvme_spec::Status;
use units::{Sector, ZoneId, SECTOR_BYTES};

use crate::drive::{NamespaceInfo, NsIndex};
use crate::reject::{Reject, CDW10, CDW12};

/// What commands need of a namespace, copied so that the drive can be borrowed again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Namespace {
    pub(crate) index: NsIndex,
    pub(crate) sectors: u64,
    /// Base-2 logarithm of the sectors of an LBA.
    shift: u32,
    media: u64,
    pub(crate) zones: Option<Zones>,
}

/// Zone geometry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zones {
    /// From zone to zone; not zero.
    pub(crate) size: Sector,
    pub(crate) count: u32,
    /// Bytes of a descriptor extension.
    pub(crate) extension: usize,
    pub(crate) has_zrwa: bool,
}

/// Sectors in a row that lie in the namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) at: Sector,
    pub(crate) sectors: u64,
}

impl Span {
    /// Length in bytes.
    pub(crate) const fn bytes(self) -> u64 {
        self.sectors.saturating_mul(SECTOR_BYTES)
    }
}

impl Namespace {
    pub(crate) fn new(index: NsIndex, info: &NamespaceInfo) -> Self {
        let zones = info.zoned.as_ref().map(|zoned| Zones {
            size: Sector::new((zoned.zone_size.get() / SECTOR_BYTES).max(1)),
            count: zoned.zones,
            extension: usize::from(zoned.extension_units) * 64,
            has_zrwa: zoned.zrwa.is_some(),
        });
        Self {
            index,
            sectors: info.size.get() / SECTOR_BYTES,
            shift: u32::from(info.lba_shift).saturating_sub(SECTOR_BYTES.ilog2()),
            media: info.media_offset,
            zones,
        }
    }

    /// Where an LBA begins, which need not be in the namespace.
    pub(crate) const fn sector(&self, lba: u64) -> Sector {
        Sector::new(lba.saturating_mul(1 << self.shift))
    }

    /// The LBA that holds a sector; also how many LBAs so many sectors are.
    pub(crate) const fn lba(&self, sector: Sector) -> u64 {
        sector.get() >> self.shift
    }

    /// A range of LBAs, if it lies in the namespace.
    pub(crate) fn span(&self, start: u64, blocks: u64) -> Result<Span, Reject> {
        match start.checked_add(blocks) {
            Some(end) if end <= self.lba(Sector::new(self.sectors)) => Ok(Span {
                at: self.sector(start),
                sectors: self.sector(blocks).get(),
            }),
            _ => Err(Reject {
                lba: Some(start),
                ..Reject::at(Status::LbaOutOfRange, CDW10, 0)
            }),
        }
    }

    /// Length in bytes of a transfer of `blocks`, if it is within `limit`.
    pub(crate) fn transfer_bytes(&self, blocks: u64, limit: u64) -> Result<u64, Reject> {
        let bytes = self.sector(blocks).get().saturating_mul(SECTOR_BYTES);
        if bytes <= limit {
            Ok(bytes)
        } else {
            Err(Reject::invalid(CDW12, 0))
        }
    }

    /// Media bytes of sectors of the namespace.
    pub(crate) const fn media(&self, span: Span) -> Range<u64> {
        let start = self.media.saturating_add(span.at.get() * SECTOR_BYTES);
        start..start.saturating_add(span.bytes())
    }

    /// Media bytes of a zone.
    pub(crate) fn zone_media(&self, zone: ZoneId) -> Range<u64> {
        let zone = self.zones.map(|zones| Span {
            at: Sector::new(
                u64::from(zone.get().min(zones.count)).saturating_mul(zones.size.get()),
            ),
            sectors: zones.size.get(),
        });
        let zone = zone.filter(|zone| zone.at.get().saturating_add(zone.sectors) <= self.sectors);
        zone.map_or(0..0, |zone| self.media(zone))
    }

    /// Number of zones.
    pub(crate) fn zone_count(&self) -> u32 {
        self.zones.map_or(0, |zones| zones.count)
    }

    /// Zone geometry, or the failure of a zoned command on a conventional namespace.
    pub(crate) fn zoned(&self) -> Result<Zones, Reject> {
        self.zones.ok_or(Reject::at(Status::InvalidOpcode, 0, 0))
    }

    /// The zone that holds an LBA of a zoned namespace.
    pub(crate) fn zone_of(&self, lba: u64) -> Result<ZoneId, Reject> {
        let number = self.sector(lba).get() / self.zoned()?.size.get();
        Ok(ZoneId::new(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// The zone that starts at `lba`, and its first sector.
    pub(crate) fn zone_at(&self, lba: u64) -> Result<(ZoneId, Sector), Reject> {
        let (zone, at) = (self.zone_of(lba)?, self.sector(lba));
        let reject = if zone.get() >= self.zone_count() {
            Reject::at(Status::LbaOutOfRange, CDW10, 0)
        } else if at.get() % self.zoned()?.size.get() != 0 {
            Reject::invalid(CDW10, 0)
        } else {
            return Ok((zone, at));
        };
        Err(Reject {
            lba: Some(lba),
            ..reject
        })
    }
}
