// SPDX-License-Identifier: GPL-2.0-or-later
//! The Changed Zone List of a namespace (ZNS, section 5.5).

use units::ZoneId;

/// Zones a Changed Zone List names at most (ZNS).
const MAX_CHANGED: usize = 511;
/// Zones whose descriptors changed since the guest last read the list.
#[derive(Debug)]
pub(crate) struct ChangedZones {
    zones: Vec<ZoneId>,
    overflowed: bool,
}

state::state!(ChangedZones { zones, overflowed } => check);

impl ChangedZones {
    fn check(&mut self) -> Result<(), state::Error> {
        let zones = self.zones.len();
        state::ensure!(zones <= MAX_CHANGED, "{zones} zones");
        Ok(())
    }

    pub(crate) fn new() -> Self {
        Self {
            zones: Vec::with_capacity(MAX_CHANGED),
            overflowed: false,
        }
    }

    pub(crate) fn push(&mut self, zone: ZoneId) {
        if self.zones.contains(&zone) {
            return;
        }
        if self.zones.len() < MAX_CHANGED {
            self.zones.push(zone);
        } else {
            self.overflowed = true;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.zones.clear();
        self.overflowed = false;
    }

    /// FFFFh zones means more than the list can name, and then it names none.
    pub(crate) fn encode(&self, page: &mut [u8], zone_blocks: u64) {
        let count = if self.overflowed {
            u16::MAX
        } else {
            self.zones.len() as u16
        };
        let mut entries = page.chunks_exact_mut(8);
        if let Some(header) = entries.next() {
            header.copy_from_slice(&u64::from(count).to_le_bytes());
        }
        if !self.overflowed {
            for (entry, zone) in entries.zip(&self.zones) {
                let start = u64::from(zone.get()).saturating_mul(zone_blocks);
                entry.copy_from_slice(&start.to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_zone_list_names_each_zone_once_and_says_when_it_overflows() {
        let mut list = ChangedZones::new();
        list.push(ZoneId::new(3));
        list.push(ZoneId::new(3));
        list.push(ZoneId::new(1));
        let mut page = [0; 4096];
        list.encode(&mut page, 0x100);
        assert_eq!(page[..8], 2_u64.to_le_bytes());
        assert_eq!(page[8..16], 0x300_u64.to_le_bytes());
        assert_eq!(page[16..24], 0x100_u64.to_le_bytes());
        for zone in 0..600 {
            list.push(ZoneId::new(zone));
        }
        let mut page = [0; 4096];
        list.encode(&mut page, 0x100);
        assert_eq!(page[..8], 0xffff_u64.to_le_bytes());
        assert!(page[8..].iter().all(|&b| b == 0));
        list.clear();
        let mut page = [0; 4096];
        list.encode(&mut page, 0x100);
        assert!(page.iter().all(|&b| b == 0));
    }
}
