// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive's vendor log page, C0h (docs/device.md): counters of both namespaces.
//!
//! It is binary, little-endian: the bytes `CZST`, a version (u16, 1), the number of counters n (u16), then n counters of
//! u64 each for meta, then n for data, in the order of [`Counter`]; zeroes follow. Bytes from [`PowerReport::AT`] on are the controller's.

use crate::model::Model;
use core::fmt;
use ftl::Counter;
use nvme::{PowerReport, VENDOR_LOG_BYTES};
use std::collections::BTreeMap;

const MAGIC: &[u8; 4] = b"CZST";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 8;
const _: () = assert!(HEADER_BYTES + 2 * 8 * Counter::ALL.len() <= PowerReport::AT);

/// Fills the page.
pub(crate) fn fill(model: &Model, page: &mut [u8; VENDOR_LOG_BYTES]) {
    let stats = model.stats();
    let count = u16::try_from(Counter::ALL.len()).unwrap_or(0);
    let header = [VERSION, count].map(u16::to_le_bytes);
    let header = MAGIC.iter().chain(header.as_flattened()).copied();
    let counters = [&stats.meta, &stats.data].into_iter().flat_map(|c| {
        Counter::ALL
            .iter()
            .flat_map(|counter| counter.of(c).to_le_bytes())
    });
    page.fill(0);
    for (byte, value) in page.iter_mut().zip(header.chain(counters)) {
        *byte = value;
    }
}

/// A decoded page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorLog {
    /// Counters of the meta namespace, in the order of the page.
    pub meta: Vec<(String, u64)>,
    /// Counters of the data namespace.
    pub data: Vec<(String, u64)>,
    /// What became of power states, if the drive has several.
    pub power: Option<PowerReport>,
}

/// Why bytes are no such page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorLogError(String);

impl fmt::Display for VendorLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for VendorLogError {}

impl VendorLog {
    /// Decodes a page, as `nvme get-log --raw-binary` writes it. Newer drives may have more counters than are known here.
    ///
    /// # Errors
    /// It is no such page, or not all of it.
    pub fn parse(page: &[u8]) -> Result<Self, VendorLogError> {
        let error = |text: String| Err(VendorLogError(text));
        if !page.starts_with(MAGIC) {
            return error(format!(
                "not a conzone log page: it begins with {:02x?}, not \"CZST\"",
                page.get(..4).unwrap_or(page)
            ));
        }
        let Some((&[_, _, _, _, v0, v1, n0, n1], rest)) = page.split_first_chunk::<HEADER_BYTES>()
        else {
            return error(format!("{} bytes: too short", page.len()));
        };
        let (version, count) = (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([n0, n1]));
        if version != VERSION {
            return error(format!(
                "log page version {version}; this program knows {VERSION}"
            ));
        }
        let count = usize::from(count);
        let Some(words) = rest.get(..count * 16) else {
            return error(format!(
                "{} bytes; the page's {count} counters need {}: give nvme get-log a larger --log-len",
                page.len(),
                HEADER_BYTES + count * 16
            ));
        };
        let mut words = words.chunks_exact(8).map(|word| {
            let word = word.first_chunk().copied();
            u64::from_le_bytes(word.unwrap_or_default())
        });
        let mut namespace = || {
            words
                .by_ref()
                .take(count)
                .zip(0..)
                .map(|(n, i)| (name(i), n))
                .collect()
        };
        Ok(Self {
            meta: namespace(),
            data: namespace(),
            power: PowerReport::parse(page),
        })
    }

    /// Both namespaces together, by name.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<String, u64> {
        let mut totals = BTreeMap::new();
        for (name, n) in self.meta.iter().chain(&self.data) {
            let total: &mut u64 = totals.entry(name.clone()).or_default();
            *total = total.saturating_add(*n);
        }
        totals
    }
}

fn name(number: usize) -> String {
    Counter::ALL.get(number).map_or_else(
        || format!("counter_{number}"),
        |counter| counter.name().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use command::Command;
    use ftl::Namespace;
    use units::{Instant, Sector};

    fn page() -> [u8; VENDOR_LOG_BYTES] {
        let mut model = Model::new(&Config::new().plan().unwrap()).unwrap();
        for namespace in [Namespace::Meta, Namespace::Data, Namespace::Data] {
            let at = Sector::new(8 * model.stats().data.host_writes);
            let write = Command::write(at, 8, false);
            let outcome = model.submit(namespace, &write, Instant::ZERO);
            assert!(outcome.result.is_ok());
        }
        let mut page = [0xff; VENDOR_LOG_BYTES];
        fill(&model, &mut page);
        page
    }

    #[test]
    fn what_is_written_is_read_back() {
        let log = VendorLog::parse(&page()).unwrap();
        let named = |name: &str, n| (name.to_owned(), n);
        assert_eq!(log.meta[2], named("host_writes", 1));
        assert_eq!(log.data[2], named("host_writes", 2));
        assert_eq!(log.data.len(), Counter::ALL.len());
        assert_eq!(log.totals()["host_write_sectors"], 24);
        // A newer drive's page.
        let mut newer = page();
        newer[6] += 1;
        let log = VendorLog::parse(&newer).unwrap();
        assert_eq!(
            log.meta.last().unwrap().0,
            format!("counter_{}", Counter::ALL.len())
        );
    }

    #[test]
    fn other_and_broken_pages_are_refused() {
        let error = |page: &[u8]| VendorLog::parse(page).unwrap_err().to_string();
        assert!(error(b"").contains("CZST"));
        assert!(error(&[0; 512]).contains("[00, 00, 00, 00]"));
        assert!(error(&page()[..64]).contains("--log-len"));
        assert!(error(&page()[..5]).contains("short"));
        let mut newer = page();
        newer[4] = 9;
        assert!(error(&newer).contains("version 9"));
    }
}
