// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone features that are off by default, from property to Identify, command and report, on both
//! zoned models.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use ::command::Command;
use common::{config, guest, machine, pattern, OK};
use nvme_spec::{
    Cns, NvmOpcode, Sqe, Status, WireZoneAction, WireZoneDescriptor, ZoneReceiveAction,
    ZoneReportFilter,
};
use ssd::Drive;
use testkit::{command, Guest};
use units::{Instant, Nanos, Sector};

/// Command set identifier of Zoned Namespaces.
const ZNS: u8 = 2;
const AREAS: [(&str, &str); 3] = [
    ("zrwa-size", "64K"),
    ("zrwa-flush-granularity", "8K"),
    ("zrwa-zones", "2"),
];

/// LBAs from zone to zone.
const ZONE: u64 = 16 << 20 >> 9;

/// Drives of both zoned models, with the distance of their zones in LBAs.
fn drives(settings: &[(&str, &str)]) -> [(Guest<Drive>, u64); 2] {
    let consumer = guest("tlc-zoned", settings);
    let small = [
        ("zone-capacity", "12M"),
        ("zone-size", "16M"),
        ("zones", "4"),
        ("meta-size", "4M"),
    ];
    let enterprise = machine("zns-zn540", &[&small, settings].concat());
    [(consumer, ZONE), (enterprise, ZONE)]
}

/// The zoned part of Identify Namespace.
fn identify(guest: &mut Guest<Drive>) -> Vec<u8> {
    let (cqe, page) = guest.receive(0, command::identify(Cns::SetNamespace, 2, ZNS), 4096);
    assert_eq!(cqe.status(), OK);
    page
}

fn open_zrwa(lba: u64) -> Sqe {
    let mut sqe = command::zone_send(2, lba, WireZoneAction::Open, false);
    sqe.cdw[3] |= 1 << 9;
    sqe
}

fn send(guest: &mut Guest<Drive>, lba: u64, action: WireZoneAction) -> Option<Status> {
    guest.io(command::zone_send(2, lba, action, false)).status()
}

fn descriptor(guest: &mut Guest<Drive>, lba: u64) -> WireZoneDescriptor {
    let report = command::zone_receive(
        2,
        lba,
        ZoneReceiveAction::Report,
        ZoneReportFilter::All,
        true,
        128,
    );
    let (cqe, page) = guest.receive(1, report, 128);
    assert_eq!(cqe.status(), OK);
    WireZoneDescriptor::decode(page[64..128].try_into().unwrap())
}

#[test]
fn identify_says_what_zones_can_do_and_what_they_cannot() {
    for (mut plain, _) in drives(&[]) {
        let page = identify(&mut plain);
        assert_eq!(page[2..4], [0, 0], "OZCS");
        assert_eq!(page[44..53], [0; 9], "NUMZRWA, ZRWAFG, ZRWASZ, ZRWACAP");
        assert!(page[2816..3072].chunks(16).all(|f| f[8] == 0), "ZDES");
    }
    let more = [
        AREAS[0],
        AREAS[1],
        AREAS[2],
        ("read-across-zones", "on"),
        ("zone-descriptor-extension-size", "128"),
    ];
    for (mut able, _) in drives(&more) {
        let page = identify(&mut able);
        assert_eq!(page[2..4], [3, 0], "OZCS: reads across zones, ZRWA");
        assert_eq!(
            page[44..53],
            [2, 0, 0, 0, 16, 0, 128, 0, 1],
            "NUMZRWA, ZRWAFG and ZRWASZ in LBAs, ZRWACAP"
        );
        assert_eq!(
            (page[2824], page[2840]),
            (2, 2),
            "128 bytes with either LBA size"
        );
    }
}

#[test]
fn what_is_off_is_refused() {
    for (mut guest, zone) in drives(&[]) {
        assert_eq!(guest.io(open_zrwa(0)).status(), Some(Status::InvalidField));
        let flush = send(&mut guest, 7, WireZoneAction::FlushZrwa);
        assert_eq!(flush, Some(Status::InvalidField));
        let extend = send(&mut guest, 0, WireZoneAction::SetExtension);
        assert_eq!(extend, Some(Status::InvalidField));
        let (cqe, _) = guest.read(2, zone - 8, 9, 16);
        assert_eq!(cqe.status(), Some(Status::ZoneBoundary));
        assert_eq!(descriptor(&mut guest, 0).state, 1, "nothing has changed");
    }
}

#[test]
fn a_random_write_area_is_written_at_random_and_flushed_both_ways() {
    for (mut guest, _) in drives(&AREAS) {
        assert_eq!(guest.io(open_zrwa(0)).status(), OK);
        let zone = descriptor(&mut guest, 0);
        assert_eq!((zone.state, zone.write_pointer), (3, 0));
        assert_ne!(zone.attributes & WireZoneDescriptor::ZRWA_VALID, 0);
        // Out of order, and the second page twice.
        for (lba, seed) in [(8, 1), (0, 2), (8, 3)] {
            assert_eq!(guest.write(2, lba, 9, &pattern(4096, seed)).status(), OK);
        }
        let (_, read) = guest.read(2, 0, 9, 16);
        assert!(read[..4096] == pattern(4096, 2) && read[4096..] == pattern(4096, 3));
        // Explicit: one granularity, 16 LBAs.
        let half = send(&mut guest, 7, WireZoneAction::FlushZrwa);
        assert_eq!(half, Some(Status::InvalidField), "off the granularity");
        assert_eq!(send(&mut guest, 15, WireZoneAction::FlushZrwa), OK);
        assert_eq!(descriptor(&mut guest, 0).write_pointer, 16);
        let again = send(&mut guest, 15, WireZoneAction::FlushZrwa);
        assert_eq!(again, Some(Status::InvalidZoneOperation));
        let early = guest.write(2, 8, 9, &pattern(512, 0)).status();
        assert_eq!(early, Some(Status::ZoneInvalidWrite));
        // Implicit: the area ends at 16 + 128.
        assert_eq!(guest.write(2, 144, 9, &pattern(4096, 4)).status(), OK);
        assert_eq!(descriptor(&mut guest, 0).write_pointer, 32);
        let far = guest.write(2, 32 + 256, 9, &pattern(512, 0)).status();
        assert_eq!(far, Some(Status::ZoneInvalidWrite));
        let (_, read) = guest.read(2, 0, 9, 16);
        assert!(read[..4096] == pattern(4096, 2) && read[4096..] == pattern(4096, 3));
        let (_, read) = guest.read(2, 144, 9, 8);
        assert!(read == pattern(4096, 4));
        let append = command::blocks(NvmOpcode::ZoneAppend, 2, 0, 8);
        let append = guest.send(1, append, &pattern(4096, 1)).status();
        assert_eq!(append, Some(Status::InvalidZoneOperation));
    }
}

#[test]
fn random_write_areas_run_out_and_come_back() {
    for (mut guest, zone) in drives(&AREAS) {
        for n in 0..2 {
            assert_eq!(guest.io(open_zrwa(n * zone)).status(), OK);
        }
        let third = guest.io(open_zrwa(2 * zone)).status();
        assert_eq!(third, Some(Status::ZrwaUnavailable));
        assert_eq!(send(&mut guest, 0, WireZoneAction::Reset), OK);
        assert_eq!(descriptor(&mut guest, 0).attributes, 0);
        assert_eq!(guest.io(open_zrwa(2 * zone)).status(), OK);
        // A zone that holds data is not given one.
        assert_eq!(guest.write(2, 0, 9, &pattern(4096, 1)).status(), OK);
        assert_eq!(send(&mut guest, 2 * zone, WireZoneAction::Finish), OK);
        let late = guest.io(open_zrwa(0)).status();
        assert_eq!(late, Some(Status::InvalidZoneOperation));
    }
}

#[test]
fn a_descriptor_extension_is_reported_until_the_zone_is_reset() {
    for (mut guest, zone) in drives(&[("zone-descriptor-extension-size", "128")]) {
        let set = command::zone_send(2, zone, WireZoneAction::SetExtension, false);
        let data = pattern(128, 0x5a);
        assert_eq!(guest.send(1, set, &data).status(), OK);
        let again = guest.send(1, set, &data).status();
        assert_eq!(again, Some(Status::InvalidTransition), "only when empty");
        let all = ZoneReportFilter::All;
        let bytes = 64 + 2 * (64 + 128);
        let report = command::zone_receive(2, 0, ZoneReceiveAction::Extended, all, true, bytes);
        let (cqe, page) = guest.receive(1, report, bytes as usize);
        assert_eq!(cqe.status(), OK);
        let second = WireZoneDescriptor::decode(page[256..320].try_into().unwrap());
        assert_eq!((second.state, second.start), (4, zone), "closed");
        assert_eq!(second.attributes, WireZoneDescriptor::EXTENSION_VALID);
        assert_eq!(page[320..448], data);
        assert_eq!(page[128..256], [0; 128], "the first zone has none");
        assert_eq!(send(&mut guest, zone, WireZoneAction::Reset), OK);
        let (_, page) = guest.receive(1, report, bytes as usize);
        assert_eq!(page[320..448], [0; 128]);
        assert_eq!(descriptor(&mut guest, zone).attributes, 0);
    }
}

#[test]
fn a_read_crosses_into_the_next_zone_if_that_is_on() {
    for (mut guest, zone) in drives(&[("read-across-zones", "on")]) {
        assert_eq!(guest.write(2, zone, 9, &pattern(4096, 7)).status(), OK);
        let (cqe, read) = guest.read(2, zone - 8, 9, 16);
        assert_eq!(cqe.status(), OK);
        assert!(read[..4096].iter().all(|b| *b == 0) && read[4096..] == pattern(4096, 7));
        let (cqe, _) = guest.read(2, 4 * zone - 8, 9, 16);
        assert_eq!(cqe.status(), Some(Status::LbaOutOfRange));
    }
}

#[test]
fn times_change_from_the_next_command_on() {
    for (preset, name, longer) in [
        ("tlc-zoned", "wbuf-base-ns", 1_000_000),
        ("zns-zn540", "wbuf-base-ns", 1_000_000),
        ("conv-970pro", "wbuf-base-ns", 1_000_000),
        ("nvm-optane", "io-write-ns", 1_000_000),
    ] {
        let mut settings = config(preset, &[]);
        let mut drive = Drive::new(&settings.plan().unwrap()).unwrap();
        let data = nvme::NsIndex(u8::from(preset == "tlc-zoned"));
        let mut sector = 0;
        let mut took = |drive: &mut Drive, now: u64| {
            let write = Command::write(Sector::new(sector), 8, false);
            sector += 8;
            let now = Instant::from_nanos(now);
            nvme::Drive::submit(drive, data, &write, now)
                .done
                .since(now)
        };
        // The first write to a zone may take longer.
        took(&mut drive, 0);
        let before = took(&mut drive, 1_000_000);
        let was: u64 = settings.get(name).unwrap().parse().unwrap();
        settings.set(name, &(was + longer).to_string()).unwrap();
        drive.set_times(&settings.plan().unwrap());
        let after = took(&mut drive, 100_000_000);
        assert_eq!(after, before + Nanos::new(longer), "{preset}");
    }
}

#[test]
fn appends_are_writes_that_are_counted_apart() {
    for (mut guest, zone) in drives(&[]) {
        for _ in 0..2 {
            let append = command::blocks(NvmOpcode::ZoneAppend, 2, 0, 8);
            let cqe = guest.send(1, append, &pattern(4096, 1));
            assert_eq!(cqe.status(), OK);
        }
        assert_eq!(guest.write(2, zone, 9, &pattern(4096, 2)).status(), OK);
        let stats = guest.controller.drive().model().stats();
        assert_eq!((stats.data.host_writes, stats.data.host_appends), (3, 2));
    }
}
