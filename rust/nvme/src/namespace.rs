// SPDX-License-Identifier: GPL-2.0-or-later
//! A namespace in LBAs of its current format, as commands need it.

use core::ops::Range;

use nvme_spec::Status;
use units::{Lba, ZoneId};

use crate::controller::Controller;
use crate::drive::{Drive, LbaRange, NamespaceInfo, NsIndex};
use crate::reject::{Reject, CDW10, CDW12, NSID};

/// What commands need of a namespace, copied so that the drive can be borrowed again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Namespace {
    pub(crate) index: NsIndex,
    pub(crate) shift: u8,
    pub(crate) blocks: u64,
    media: u64,
    pub(crate) zones: Option<Zones>,
}

/// Zone geometry in LBAs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zones {
    /// Distance from zone to zone; not zero.
    pub(crate) size: u64,
    pub(crate) count: u32,
    /// Bytes of a descriptor extension.
    pub(crate) extension: usize,
    pub(crate) has_zrwa: bool,
}

impl Namespace {
    fn new(index: NsIndex, info: &NamespaceInfo) -> Self {
        let zones = info.zoned.as_ref().map(|zoned| Zones {
            size: (zoned.zone_size.get() >> info.lba_shift).max(1),
            count: zoned.zones,
            extension: usize::from(zoned.extension_units) * 64,
            has_zrwa: zoned.zrwa.is_some(),
        });
        Self {
            index,
            shift: info.lba_shift,
            blocks: info.blocks(),
            media: info.media_offset,
            zones,
        }
    }

    /// The range, if it lies in the namespace.
    pub(crate) fn range(&self, start: u64, blocks: u64) -> Result<LbaRange, Reject> {
        match start.checked_add(blocks) {
            Some(end) if end <= self.blocks => Ok(LbaRange {
                start: Lba::new(start),
                blocks,
            }),
            _ => Err(Reject {
                lba: Some(start),
                ..Reject::at(Status::LbaOutOfRange, CDW10, 0)
            }),
        }
    }

    /// Length of a transfer of `blocks`, if it is within `limit` bytes.
    pub(crate) fn transfer_bytes(&self, blocks: u64, limit: u64) -> Result<u64, Reject> {
        let bytes = blocks << self.shift;
        if bytes <= limit {
            Ok(bytes)
        } else {
            Err(Reject::invalid(CDW12, 0))
        }
    }

    /// Media offset of an LBA.
    pub(crate) fn at(&self, lba: Lba) -> u64 {
        self.media.saturating_add(lba.get() << self.shift)
    }

    /// Media bytes of a range of the namespace.
    pub(crate) fn bytes(&self, range: LbaRange) -> Range<u64> {
        let start = self.at(range.start);
        start..start.saturating_add(range.blocks << self.shift)
    }

    /// Media bytes of a zone.
    pub(crate) fn zone_bytes(&self, zone: ZoneId) -> Range<u64> {
        let zone = self.zones.and_then(|zones| {
            let range = self.range(zones.start(zone.get()).get(), zones.size);
            range.ok().map(|range| self.bytes(range))
        });
        zone.unwrap_or(0..0)
    }

    /// Number of zones.
    pub(crate) fn zone_count(&self) -> u32 {
        self.zones.map_or(0, |zones| zones.count)
    }

    /// Zone geometry, or the failure of a zoned command on a conventional namespace.
    pub(crate) fn zoned(&self) -> Result<Zones, Reject> {
        self.zones.ok_or(Reject::at(Status::InvalidOpcode, 0, 0))
    }
}

impl Zones {
    /// The zone that holds an LBA of the namespace.
    pub(crate) fn zone_of(&self, lba: u64) -> ZoneId {
        ZoneId::new(u32::try_from(lba / self.size).unwrap_or(u32::MAX))
    }

    /// The zone that starts at `lba`.
    pub(crate) fn zone_at(&self, lba: u64) -> Result<ZoneId, Reject> {
        let zone = self.zone_of(lba);
        if zone.get() >= self.count {
            Err(Reject {
                lba: Some(lba),
                ..Reject::at(Status::LbaOutOfRange, CDW10, 0)
            })
        } else if lba % self.size == 0 {
            Ok(zone)
        } else {
            Err(Reject {
                lba: Some(lba),
                ..Reject::invalid(CDW10, 0)
            })
        }
    }

    /// First LBA of a zone.
    pub(crate) fn start(&self, zone: u32) -> Lba {
        Lba::new(u64::from(zone).saturating_mul(self.size))
    }
}

impl<D: Drive> Controller<D> {
    /// Number of namespaces (NN).
    pub(crate) fn namespace_count(&self) -> u32 {
        u32::try_from(self.drive.namespaces().len()).unwrap_or(u32::MAX)
    }

    /// The active namespace with this identifier.
    pub(crate) fn namespace(&self, nsid: u32) -> Result<Namespace, Reject> {
        let index = u8::try_from(nsid.wrapping_sub(1)).ok();
        let found = index.and_then(|i| {
            let info = self.drive.namespaces().get(usize::from(i))?;
            Some((NsIndex(i), info))
        });
        let Some((index, info)) = found else {
            return Err(Reject::at(Status::InvalidNamespace, NSID, 0));
        };
        if self.is_active(info) {
            Ok(Namespace::new(index, info))
        } else {
            Err(Reject::invalid(NSID, 0))
        }
    }

    /// A namespace is active if the command set it needs is selected (CC.CSS).
    pub(crate) fn is_active(&self, info: &NamespaceInfo) -> bool {
        info.zoned.is_none() || self.registers.has_zoned()
    }
}
