// SPDX-License-Identifier: GPL-2.0-or-later
//! What one command makes the host do is bounded by the command's size, whatever the drive's size and
//! state: counted in operations booked on planes, which everything else goes with.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod common;

use ftl::Random;
use nand::Cell;
use units::{Bytes, Instant, Sector, ZoneId};
use zms::{Command, Config, DataNamespace, Namespace, Zms};

/// Operations that planes were given so far.
fn booked(zms: &Zms) -> u64 {
    zms.stats().planes.iter().map(|p| p.operations).sum()
}

/// Runs a command when the drive has been looked at whenever it wanted to be; returns its end and the
/// most operations booked in one go.
fn run(zms: &mut Zms, ns: Namespace, command: &Command, now: Instant) -> (Instant, u64) {
    let mut most = 0;
    let mut before = booked(zms);
    let mut visit = |zms: &Zms| {
        let after = booked(zms);
        most = most.max(after - before);
        before = after;
    };
    while let Some(at) = zms.next_event().filter(|at| *at <= now) {
        zms.advance(at);
        visit(zms);
    }
    let outcome = zms.submit(ns, command, now);
    visit(zms);
    assert!(outcome.result.is_ok(), "{command:?}: {outcome:?}");
    (outcome.done, most)
}

/// An operation takes about 100 ns of the host's time: this many a quarter of a millisecond.
const MOST: u64 = 2_500;

#[test]
fn a_flush_of_very_many_loaded_zones_books_little() {
    const ZONES: u32 = 2_000;
    let mut c = common::config("tlc-zoned", &[]);
    c.geometry.block = Bytes::kib(96 * 16);
    c.slc_superblocks = 400;
    c.data = DataNamespace::Zoned {
        zones: ZONES,
        zone_size: Bytes::mib(8),
        max_open: 0,
        max_active: 0,
    };
    let mut zms = Zms::new(&c).unwrap();
    let mut now = Instant::ZERO;
    let mut most = 0;
    for z in 0..ZONES {
        let start = zms.zone(ZoneId::new(z)).unwrap().start;
        // Seven units: more than a row of flash pages, less than a wordline.
        let write = Command::write(start, 84 * 8, false);
        let (done, work) = run(&mut zms, Namespace::Data, &write, now);
        (now, most) = (done, most.max(work));
    }
    let (_, flush) = run(&mut zms, Namespace::Data, &Command::Flush, now);
    assert!(zms.stats().data.pages_backup > 10_000);
    assert!(most.max(flush) <= MOST, "write {most}, flush {flush}");
}

/// Superblocks of tens of thousands of pages, emptied while the host overwrites, page by page.
#[test]
fn emptying_large_superblocks_is_spread_over_the_commands() {
    let zoned = |c: &mut Config| {
        c.geometry.block = Bytes::mib(64);
        c.slc_superblocks = 5;
        c.data = DataNamespace::Zoned {
            zones: 6,
            zone_size: Bytes::mib(256),
            max_open: 6,
            max_active: 6,
        };
    };
    let block = |c: &mut Config| {
        c.geometry.block = Bytes::mib(64);
        c.slc_superblocks = 5;

        c.data = DataNamespace::Block {
            size: Bytes::mib(160),
        };
    };
    for (preset, cell) in [
        ("qlc-zoned-page-slc", Cell::Qlc),
        ("qlc-block", Cell::Qlc),
        ("tlc-block", Cell::Tlc),
    ] {
        let mut c = common::config(preset, &[]);
        if preset.ends_with("block") {
            block(&mut c);
        } else {
            zoned(&mut c);
        }
        c.geometry.cell = cell;
        c.meta_size = Bytes::mib(128);
        if cell == Cell::Tlc {
            c.geometry.block = Bytes::mib(48);
        }
        let mut zms = Zms::new(&c).unwrap();
        let (mut now, mut most) = (Instant::ZERO, 0);
        for ns in [Namespace::Meta, Namespace::Data] {
            for i in 0..8 * c.geometry.superblock_lpns(Cell::Slc) {
                let write = place(&zms, ns, i);
                let (done, work) = run(&mut zms, ns, &write, now);
                (now, most) = (done, most.max(work));
            }
        }
        let stats = zms.stats();
        assert!(stats.meta.gc_runs > 0, "{preset}");
        assert!(stats.data.migrations + stats.data.gc_runs > 0, "{preset}");
        assert!(most <= MOST, "{preset}: {most}");
    }
}

/// A page at random, or at a zone's write pointer; a zone is written once.
fn place(zms: &Zms, ns: Namespace, i: u64) -> Command {
    let pages = zms.sectors(ns) / 8;
    let zone = zms.zone(ZoneId::new((i % 6) as u32));
    match (ns, zone) {
        (Namespace::Data, Some(zone)) if zone.state != zone::State::Full => {
            Command::write(zone.write_pointer, 8, false)
        }
        (Namespace::Data, Some(_)) => Command::Flush,
        _ if i < pages => Command::write(Sector::new(i * 8), 8, false),
        _ => Command::write(Sector::new(Random::new(i).draw() % pages * 8), 8, false),
    }
}
