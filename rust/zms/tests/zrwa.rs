// SPDX-License-Identifier: GPL-2.0-or-later
//! Random write areas, descriptor extensions and reads across zones: what they cost and count.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod common;

use units::{Instant, Sector, ZoneId};
use zms::{Command, DataNamespace, Error, Namespace, Zms, ZoneAction, ZoneTarget};

/// `ufs4-tlc` with areas of 1 MiB, granularity 64 KiB, for two zones.
fn drive() -> Zms {
    let mut config = common::config("ufs4-tlc", &[("zones", "4")]);
    config.buffers.dwell = None;
    config.zone_options = zone::Options {
        read_across: true,
        zrwa: Some(zone::Zrwa {
            size: 2048,
            granularity: 128,
            zones: 2,
        }),
    };
    Zms::new(&config).unwrap()
}

fn zone_start(zms: &Zms, n: u32) -> u64 {
    zms.zone(ZoneId::new(n)).unwrap().start.get()
}

fn submit(zms: &mut Zms, command: &Command, now: u64) -> Result<u64, Error> {
    let outcome = zms.submit(Namespace::Data, command, Instant::from_nanos(now));
    zms.check_invariants().unwrap();
    outcome.result.map(|_| outcome.done.as_nanos())
}

fn write(at: u64, sectors: u64, fua: bool) -> Command {
    Command::write(Sector::new(at), sectors, fua)
}

fn read(at: u64, sectors: u64) -> Command {
    Command::read(Sector::new(at), sectors)
}

fn act(action: ZoneAction, at: u64) -> Command {
    Command::Zone {
        action,
        target: ZoneTarget::One(Sector::new(at)),
    }
}

fn commit(end: u64) -> Command {
    Command::CommitZrwa {
        end: Sector::new(end),
    }
}

#[test]
fn a_write_to_the_area_costs_the_buffer_access_whatever_the_buffers_do() {
    let mut zms = drive();
    submit(&mut zms, &act(ZoneAction::OpenZrwa, 0), 0).unwrap();
    // 5.6 us + 0.6 us + 4096 B over 3000 MB/s.
    assert_eq!(submit(&mut zms, &write(8, 8, false), 0), Ok(7_503));
    assert_eq!(submit(&mut zms, &write(0, 8, true), 100_000), Ok(107_503));
    // 256 MiB to another zone keep both buffers busy for long; the area does not mind.
    let other = zone_start(&zms, 1);
    submit(&mut zms, &write(other, 1 << 16, false), 200_000).unwrap();
    let now = 300_000;
    let idle_link = submit(&mut zms, &write(8, 8, true), now).unwrap();
    assert!(idle_link < now + 10_000, "{idle_link}");
    let stats = zms.stats().data;
    assert_eq!((stats.zrwa_pages, stats.zrwa_commits), (3, 0));
    assert_eq!(stats.host_write_pages, 3 + (1 << 13));
}

#[test]
fn pages_overwritten_in_the_area_are_programmed_once() {
    let mut zms = drive();
    submit(&mut zms, &act(ZoneAction::OpenZrwa, 0), 0).unwrap();
    for now in 0..10 {
        submit(&mut zms, &write(0, 1536, false), now * 10_000_000).unwrap();
    }
    assert_eq!(zms.stats().data.pages_programmed(), 0);
    // 768 KiB are one write buffer of this drive: it is flushed, once.
    submit(&mut zms, &commit(1536), 200_000_000).unwrap();
    let stats = zms.stats().data;
    assert_eq!((stats.zrwa_pages, stats.zrwa_commits), (1920, 192));
    assert_eq!(stats.pages_programmed(), 192);
    assert_eq!(zms.zone(ZoneId::new(0)).unwrap().write_pointer.get(), 1536);
}

#[test]
fn committing_takes_the_write_path() {
    let mut zms = drive();
    submit(&mut zms, &act(ZoneAction::OpenZrwa, 0), 0).unwrap();
    submit(&mut zms, &write(0, 128, false), 0).unwrap();
    // 16 pages from memory to memory: 5.6 us + 16 x 0.6 us, no link.
    assert_eq!(submit(&mut zms, &commit(128), 1_000_000), Ok(1_015_200));
    assert_eq!(
        submit(&mut zms, &commit(128), 2_000_000),
        Err(Error::Zone(zone::Error::InvalidOperation))
    );
    // Past the area: the write waits for what it pushes out. 4096 B over, 64 KiB committed.
    let done = submit(&mut zms, &write(128 + 2048, 8, false), 3_000_000);
    assert_eq!(done, Ok(3_000_000 + 15_200 + 7_503));
    let zone = zms.zone(ZoneId::new(0)).unwrap();
    assert_eq!((zone.write_pointer.get(), zone.zrwa), (256, true));
}

#[test]
fn reads_find_what_the_area_holds_and_nothing_else() {
    let mut zms = drive();
    submit(&mut zms, &act(ZoneAction::OpenZrwa, 0), 0).unwrap();
    submit(&mut zms, &write(16, 8, false), 0).unwrap();
    assert!(zms.has_unmapped(Namespace::Data, Sector::new(0), 24));
    assert!(!zms.has_unmapped(Namespace::Data, Sector::new(16), 8));
    // Firmware 20 us, buffer access 6.2 us, link 1.303 us.
    assert_eq!(submit(&mut zms, &read(16, 8), 1_000_000), Ok(1_027_503));
    assert_eq!(zms.stats().data.buffer_hits, 1);
    submit(&mut zms, &act(ZoneAction::Reset, 0), 2_000_000).unwrap();
    assert!(zms.has_unmapped(Namespace::Data, Sector::new(16), 8));
}

#[test]
fn finishing_keeps_what_the_area_holds() {
    let mut zms = drive();
    submit(&mut zms, &act(ZoneAction::OpenZrwa, 0), 0).unwrap();
    submit(&mut zms, &write(24, 8, false), 0).unwrap();
    submit(&mut zms, &act(ZoneAction::Finish, 0), 1_000_000).unwrap();
    assert!(!zms.has_unmapped(Namespace::Data, Sector::new(0), 32));
    let zone = zms.zone(ZoneId::new(0)).unwrap();
    assert_eq!((zone.state, zone.zrwa), (zone::State::Full, false));
    assert_eq!(zms.stats().data.zrwa_commits, 4);
}

#[test]
fn a_zone_that_becomes_read_only_keeps_what_the_area_holds() {
    for (offline, mapped) in [(false, true), (true, false)] {
        let mut zms = drive();
        submit(&mut zms, &act(ZoneAction::OpenZrwa, 0), 0).unwrap();
        submit(&mut zms, &write(0, 8, false), 0).unwrap();
        zms.inject_zone(ZoneId::new(0), offline).unwrap();
        zms.check_invariants().unwrap();
        let unmapped = zms.has_unmapped(Namespace::Data, Sector::new(0), 8);
        assert_eq!(!unmapped, mapped, "offline {offline}");
    }
}

#[test]
fn a_zone_with_an_extension_is_closed_and_reports_it() {
    let mut zms = drive();
    submit(&mut zms, &act(ZoneAction::SetExtension, 0), 0).unwrap();
    let zone = zms.zone(ZoneId::new(0)).unwrap();
    assert_eq!((zone.state, zone.extended), (zone::State::Closed, true));
    assert!(submit(&mut zms, &act(ZoneAction::SetExtension, 0), 0).is_err());
    submit(&mut zms, &write(0, 8, false), 0).unwrap();
    submit(&mut zms, &act(ZoneAction::Reset, 0), 0).unwrap();
    assert!(!zms.zone(ZoneId::new(0)).unwrap().extended);
}

#[test]
fn a_read_may_go_on_in_the_next_zone() {
    let mut zms = drive();
    let second = zone_start(&zms, 1);
    submit(&mut zms, &write(second, 8, false), 0).unwrap();
    let done = submit(&mut zms, &read(second - 8, 16), 1_000_000).unwrap();
    // Firmware 13 us, buffer access 6.2 us, link 8192 B.
    assert_eq!(done, 1_000_000 + 13_000 + 6_200 + 2_605);
    let mut config = zms.config().clone();
    config.zone_options.read_across = false;
    let mut strict = Zms::new(&config).unwrap();
    let refused = submit(&mut strict, &read(second - 8, 16), 0);
    assert_eq!(refused, Err(Error::Zone(zone::Error::Boundary)));
}

#[test]
fn areas_that_cannot_be_are_refused() {
    let mut config = drive().config().clone();
    config.zone_options.zrwa = config.zone_options.zrwa.map(|z| zone::Zrwa {
        granularity: 1000,
        ..z
    });
    assert_eq!(config.validate(), Err(zms::ConfigError::Zrwa));
    // Without zones nobody asks.
    config.data = DataNamespace::Block {
        size: units::Bytes::mib(64),
    };
    assert_eq!(config.validate(), Ok(()));
}
