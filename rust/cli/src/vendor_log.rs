// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive's vendor log page C0h (docs/device.md): counters of both namespaces.

use std::collections::BTreeMap;

use anyhow::{bail, ensure, Context, Result};
use ssd::COUNTERS;

const MAGIC: &[u8] = b"CZST";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 8;

/// A decoded page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorLog {
    /// Counters of the meta namespace, in the order of the page.
    pub meta: Vec<(String, u64)>,
    /// Counters of the data namespace.
    pub data: Vec<(String, u64)>,
}

impl VendorLog {
    /// Both namespaces together, by name.
    pub fn totals(&self) -> BTreeMap<String, u64> {
        let mut totals = BTreeMap::new();
        for (name, n) in self.meta.iter().chain(&self.data) {
            let total: &mut u64 = totals.entry(name.clone()).or_default();
            *total = total.saturating_add(*n);
        }
        totals
    }
}

/// Decodes a page, as `nvme get-log --raw-binary` writes it.
///
/// # Errors
/// It is no such page, or not all of it.
pub fn parse(page: &[u8]) -> Result<VendorLog> {
    let word = |at: usize| {
        page.get(at..at + 2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
    };
    if !page.starts_with(MAGIC) {
        bail!(
            "not a conzone log page: it begins with {:02x?}, not \"CZST\"",
            page.get(..4).unwrap_or(page)
        );
    }
    let (version, count) = (word(4).context("too short")?, word(6).context("too short")?);
    ensure!(
        version == VERSION,
        "log page version {version}; this program knows {VERSION}"
    );
    let count = usize::from(count);
    let need = HEADER_BYTES + count * 16;
    ensure!(
        page.len() >= need,
        "{} bytes; the page's {count} counters need {need}: give nvme get-log a larger --log-len",
        page.len()
    );
    let mut words = page[HEADER_BYTES..need]
        .chunks_exact(8)
        .map(|b| b.try_into().map_or(0, u64::from_le_bytes));
    let mut namespace = || {
        (0..count)
            .map(|n| (name(n), words.next().unwrap_or(0)))
            .collect()
    };
    Ok(VendorLog {
        meta: namespace(),
        data: namespace(),
    })
}

/// Newer drives may have more counters than this program knows.
fn name(number: usize) -> String {
    COUNTERS.get(number).map_or_else(
        || format!("counter_{number}"),
        |(name, _)| (*name).to_owned(),
    )
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A page whose meta counters are 1, 2, ... and whose data counters go on from there.
    pub fn page() -> Vec<u8> {
        let n = COUNTERS.len() as u16;
        let mut page = [MAGIC, &VERSION.to_le_bytes(), &n.to_le_bytes()].concat();
        page.extend((1..=2 * u64::from(n)).flat_map(u64::to_le_bytes));
        page.resize(4096, 0);
        page
    }

    #[test]
    fn counters_are_named_and_added() {
        let log = parse(&page()).unwrap();
        let n = COUNTERS.len() as u64;
        assert_eq!(log.meta[0], ("host_reads".to_owned(), 1));
        assert_eq!(log.data[1], ("host_read_pages".to_owned(), n + 2));
        assert_eq!(log.totals()["host_reads"], 1 + n + 1);
    }

    #[test]
    fn other_and_broken_pages_are_refused() {
        let error = |page: &[u8]| parse(page).unwrap_err().to_string();
        assert!(error(b"").contains("CZST"));
        assert!(error(&[0; 512]).contains("[00, 00, 00, 00]"));
        assert!(error(&page()[..64]).contains("--log-len"));
        assert!(error(&page()[..5]).contains("short"));
        let mut newer = page();
        newer[4] = 9;
        assert!(error(&newer).contains("version 9"));
    }
}
