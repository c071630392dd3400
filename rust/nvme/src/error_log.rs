// SPDX-License-Identifier: GPL-2.0-or-later
//! The Error Information log: the last failures, newest first (Base, section 5.16.1.2).

use state::{Decoder, Encoder, Raw, State};

use nvme_spec::{ErrorLogEntry, ERROR_ENTRY_BYTES};

/// Entries kept (ELPE + 1): a page of them.
pub(crate) const ENTRIES: usize = 64;

/// A ring of the last [`ENTRIES`] failures.
#[derive(Debug)]
pub(crate) struct ErrorLog {
    ring: [ErrorLogEntry; ENTRIES],
    /// Failures since power-on; the newest entry has this number.
    count: u64,
}

/// Entries in use.
impl State for ErrorLog {
    fn encode(&self, out: &mut Encoder) {
        let Self { ring, count } = self;
        count.encode(out);
        for entry in ring.iter().filter(|entry| entry.count != 0) {
            let ErrorLogEntry {
                count: _,
                sq_id,
                cid,
                status,
                location_byte,
                location_bit,
                lba,
                nsid,
            } = entry;
            sq_id.encode(out);
            cid.encode(out);
            status.encode(out);
            location_byte.encode(out);
            location_bit.encode(out);
            lba.encode_raw(out);
            nsid.encode(out);
        }
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        self.count.decode(from)?;
        let oldest = self.count.saturating_sub(ENTRIES as u64) + 1;
        // In the order of their places, which begin with the multiple of their number.
        for (place, entry) in (0..).zip(&mut self.ring) {
            let count = (oldest..=self.count).find(|count| count % ENTRIES as u64 == place);
            let Some(count) = count else { continue };
            entry.count = count;
            entry.sq_id.decode(from)?;
            entry.cid.decode(from)?;
            entry.status.decode(from)?;
            entry.location_byte.decode(from)?;
            entry.location_bit.decode(from)?;
            entry.lba.decode_raw(from)?;
            entry.nsid.decode(from)?;
        }
        Ok(())
    }
}

impl ErrorLog {
    pub(crate) fn new() -> Self {
        Self {
            ring: [ErrorLogEntry::default(); ENTRIES],
            count: 0,
        }
    }

    /// Adds a failure; its number is set here.
    pub(crate) fn push(&mut self, mut entry: ErrorLogEntry) {
        self.count = self.count.saturating_add(1);
        entry.count = self.count;
        let place = self.count % ENTRIES as u64;
        if let Some(slot) = self.ring.get_mut(place as usize) {
            *slot = entry;
        }
    }

    /// Failures since power-on.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Fills the page, newest entry first.
    pub(crate) fn encode(&self, page: &mut [u8]) {
        let newest = self.count % ENTRIES as u64;
        for (age, slot) in page.chunks_exact_mut(ERROR_ENTRY_BYTES).enumerate() {
            let place = (newest as usize + ENTRIES - age % ENTRIES) % ENTRIES;
            if let Some(entry) = self.ring.get(place).filter(|entry| entry.count != 0) {
                slot.copy_from_slice(&entry.encode());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_failure_comes_first_and_the_oldest_are_lost() {
        let mut log = ErrorLog::new();
        let mut page = [0; ENTRIES * ERROR_ENTRY_BYTES];
        log.encode(&mut page);
        assert!(page.iter().all(|&b| b == 0));
        for cid in 0..70 {
            log.push(ErrorLogEntry {
                cid,
                ..ErrorLogEntry::default()
            });
        }
        log.encode(&mut page);
        let entries: Vec<_> = page
            .chunks_exact(ERROR_ENTRY_BYTES)
            .map(|c| ErrorLogEntry::decode(c.try_into().unwrap()))
            .collect();
        assert_eq!((entries[0].count, entries[0].cid), (70, 69));
        assert_eq!((entries[63].count, entries[63].cid), (7, 6));
        assert_eq!(log.count(), 70);
    }
}
