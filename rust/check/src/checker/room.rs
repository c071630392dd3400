// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a write that was refused for want of room could have had it.
//!
//! Page-mapped space has room for its whole logical size, always. In zones, native flash holds every
//! zone; but each zone's last pages, fewer than a program unit, and backups of its loaded wordlines lie
//! in pSLC, as those of the write would, and enough zones finished early can fill it. So much is granted
//! generously: half of what reclaim does not need for itself.

use crate::drive::Drive;
use crate::ledger::PageKey;
use crate::written::Written;
use ftl::{Command, Namespace, ZoneReport};
use nand::Cell;
use ssd::ModelConfig;
use units::PAGE_SECTORS;
use zms::SlcMap;
use zone::State;

/// Why there was room; `None` if there may not have been.
pub(super) fn there_was(
    drive: &Drive,
    (namespace, command): (Namespace, &Command),
    written: &Written,
) -> Option<String> {
    let ModelConfig::Zms(config) = drive.config() else {
        return Some("this drive has a place of its own for each page".to_owned());
    };
    if !drive.is_zoned(namespace) {
        let size = drive.sectors(namespace) / PAGE_SECTORS;
        let pages = written.pages(namespace);
        return Some(format!("{pages} of {size} pages are written"));
    }
    let g = &config.geometry;
    let unit = u64::from(g.unit_lpns());
    let stripe = unit * u64::from(g.planes_per_group());
    let most = unit - 1 + stripe;
    let last = |zone: &ZoneReport| {
        let end = zone.start.get() + zone.capacity;
        PageKey::new(namespace, end.saturating_sub(1) / PAGE_SECTORS)
    };
    let mut pinned = match *command {
        Command::Write { sectors, .. }
        | Command::WriteZeroes { sectors, .. }
        | Command::Append { sectors, .. } => sectors.div_ceil(PAGE_SECTORS).min(most),
        _ => 0,
    };
    for report in (0..drive.zones()).filter_map(|id| drive.zone(id)) {
        let pages = report
            .write_pointer
            .get()
            .saturating_sub(report.start.get())
            .div_ceil(PAGE_SECTORS);
        pinned += match report.state {
            // Finished early: how much was written before it, the last stripe in part, is not known here.
            State::Full if !written.has(last(&report)) => most,
            State::Full => unit - 1,
            State::Empty => 0,
            _ => pages.min(most),
        };
    }
    // Zones of their own pSLC keep a superblock open each, backups another, and a write may need its next.
    let open = match config.slc_map {
        SlcMap::Page => 0,
        SlcMap::Zone => 2 + (0..drive.zones()).filter(|&id| drive.is_active(id)).count() as u32,
    };
    let spare = config
        .slc_superblocks
        .saturating_sub(config.migrate_threshold + 1 + open);
    let room = u64::from(spare) * g.superblock_lpns(Cell::Slc);
    (pinned * 2 <= room).then(|| format!("{pinned} pages at most need pSLC, which has {room}"))
}
