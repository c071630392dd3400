// SPDX-License-Identifier: GPL-2.0-or-later
//! Zones that fail give back what they hold: a read-only one what it had open, an offline one all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod common;

use units::{Instant, Nanos, Sector, ZoneId};
use zms::{Command, Namespace, SlcMap, Zms};

/// A zone with pages in native cells, in pSLC of its own, and in a buffer; failed, then left alone.
fn failed(offline: bool) -> (Zms, Instant) {
    let mut config = common::config("tlc-zoned", &[("zones", "4")]);
    config.slc_map = SlcMap::Zone;
    let mut zms = Zms::new(&config).unwrap();
    let mut now = Instant::ZERO;
    for (at, pages, fua) in [(0, 80, true), (80, 5, false)] {
        let write = Command::write(Sector::new(at * 8), pages * 8, fua);
        let outcome = zms.submit(Namespace::Data, &write, now);
        assert!(outcome.result.is_ok(), "{outcome:?}");
        now = outcome.done;
    }
    let before = zms.stats();
    assert!(before.native_pool.open > 0 && before.slc_pool.open > 1);
    zms.inject_zone(ZoneId::new(0), offline).unwrap();
    zms.check_invariants().unwrap();
    now += Nanos::from_micros(10_000_000);
    zms.advance(now);
    (zms, now)
}

#[test]
fn an_offline_zone_holds_nothing() {
    let (zms, _) = failed(true);
    let stats = zms.stats();
    assert_eq!(stats.native_pool.free, stats.native_pool.superblocks);
    assert_eq!(stats.slc_pool.valid_pages, 0);
    // Only the backups' write pointer stays open.
    assert!(stats.slc_pool.open <= 1, "{:?}", stats.slc_pool);
}

#[test]
fn a_read_only_zone_keeps_its_data_and_no_write_pointer() {
    let (mut zms, now) = failed(false);
    let stats = zms.stats();
    assert!(stats.slc_pool.open <= 1, "{:?}", stats.slc_pool);
    let hits = stats.data.buffer_hits;
    let read = zms.submit(Namespace::Data, &Command::read(Sector::new(0), 85 * 8), now);
    assert!(read.result.is_ok());
    // Also what was buffered: it is in flash.
    let stats = zms.stats().data;
    assert_eq!((stats.unmapped_reads, stats.buffer_hits), (0, hits));
}
