// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands of the Zoned Namespace command set.

use nvme::ControllerConfig;
use nvme_spec::{
    NvmOpcode, Sqe, Status, WireZoneAction, WireZoneDescriptor, ZoneReceiveAction, ZoneReportFilter,
};
use testkit::{command, FakeConfig, FakeDrive, Guest};
use zone::State;

use crate::{
    assert_ok, assert_rejected, assert_status, guest, guest_with, pattern, DATA, META, SHIFT,
};

/// LBAs from zone to zone and LBAs that can be written.
const ZONE: u64 = 256;
const CAPACITY: u64 = 192;

fn append(zone: u64, blocks: u32) -> Sqe {
    command::blocks(NvmOpcode::ZoneAppend, DATA, zone * ZONE, blocks)
}

fn send(guest: &mut Guest<FakeDrive>, zone: u64, action: WireZoneAction) -> nvme_spec::Cqe {
    guest.io(command::zone_send(DATA, zone * ZONE, action, false))
}

/// The header's count and the descriptors of a report.
fn report(
    guest: &mut Guest<FakeDrive>,
    slba: u64,
    filter: ZoneReportFilter,
    partial: bool,
    room: usize,
) -> (u64, Vec<WireZoneDescriptor>) {
    let bytes = 64 + room * 64;
    let sqe = command::zone_receive(
        DATA,
        slba,
        ZoneReceiveAction::Report,
        filter,
        partial,
        bytes as u32,
    );
    let (cqe, data) = guest.receive(1, sqe, bytes);
    assert_ok(cqe);
    let count = u64::from_le_bytes(data[..8].try_into().unwrap());
    let zones = data[64..]
        .chunks_exact(64)
        .map(|c| WireZoneDescriptor::decode(c.try_into().unwrap()))
        .take_while(|z| z.kind != 0)
        .collect();
    (count, zones)
}

fn state(guest: &mut Guest<FakeDrive>, zone: u64) -> u8 {
    report(guest, zone * ZONE, ZoneReportFilter::All, true, 1).1[0].state
}

#[test]
fn appends_return_where_they_went() {
    let mut guest = guest(1);
    let (first, second) = (pattern(1, 3 << SHIFT), pattern(2, 5 << SHIFT));
    let cqe = guest.send(1, append(2, 3), &first);
    assert_ok(cqe);
    assert_eq!(cqe.result, 2 * ZONE);
    let cqe = guest.send(1, append(2, 5), &second);
    assert_eq!(cqe.result, 2 * ZONE + 3);
    let (cqe, back) = guest.read(DATA, 2 * ZONE, SHIFT, 8);
    assert_ok(cqe);
    assert_eq!(back, [first, second].concat());
    let (_, zones) = report(&mut guest, 2 * ZONE, ZoneReportFilter::All, true, 1);
    assert_eq!((zones[0].state, zones[0].write_pointer), (2, 2 * ZONE + 8));
}

#[test]
fn appends_are_checked() {
    let config = ControllerConfig {
        zasl: 2,
        ..ControllerConfig::default()
    };
    let mut guest = guest_with(config, FakeConfig::default(), 1);
    let cqe = guest.send(1, append(0, 5), &pattern(0, 5 << SHIFT));
    assert_rejected(&mut guest, cqe, Status::InvalidField, Some((48, 0)));
    assert_ok(guest.send(1, append(0, 4), &pattern(0, 4 << SHIFT)));
    let inside = command::blocks(NvmOpcode::ZoneAppend, DATA, 4, 1);
    let cqe = guest.send(1, inside, &pattern(0, 1 << SHIFT));
    assert_rejected(&mut guest, cqe, Status::InvalidField, Some((40, 0)));
    let cqe = guest.send(1, append(8, 1), &pattern(0, 1 << SHIFT));
    assert_rejected(&mut guest, cqe, Status::LbaOutOfRange, Some((40, 0)));
}

#[test]
fn writes_follow_the_write_pointer() {
    let mut guest = guest(1);
    let block = pattern(1, 1 << SHIFT);
    assert_status(
        guest.write(DATA, 1, SHIFT, &block),
        Status::ZoneInvalidWrite,
    );
    assert_ok(guest.write(DATA, 0, SHIFT, &block));
    assert_status(
        guest.write(DATA, 0, SHIFT, &block),
        Status::ZoneInvalidWrite,
    );
    assert_ok(guest.io(command::blocks(NvmOpcode::WriteZeroes, DATA, 1, 190)));
    let two = pattern(1, 2 << SHIFT);
    assert_status(guest.write(DATA, 191, SHIFT, &two), Status::ZoneBoundary);
    assert_ok(guest.write(DATA, 191, SHIFT, &block));
    assert_eq!(state(&mut guest, 0), 0xe);
    assert_status(guest.write(DATA, 192, SHIFT, &block), Status::ZoneFull);
    assert_status(guest.read(DATA, 255, SHIFT, 2).0, Status::ZoneBoundary);
}

#[test]
fn a_reset_zone_reads_as_zeroes() {
    let mut guest = guest(1);
    let block = pattern(1, 4 << SHIFT);
    for zone in [1, 2, 4] {
        assert_ok(guest.write(DATA, zone * ZONE, SHIFT, &block));
    }
    assert_ok(send(&mut guest, 1, WireZoneAction::Reset));
    let (_, back) = guest.read(DATA, ZONE, SHIFT, 4);
    assert!(back.iter().all(|&b| b == 0));
    assert_eq!(guest.read(DATA, 2 * ZONE, SHIFT, 4).1, block);
    // All zones but those that cannot be reset, whose data stays.
    guest
        .controller
        .drive_mut()
        .inject_zone_state(4, State::ReadOnly);
    assert_ok(guest.io(command::zone_send(DATA, 0, WireZoneAction::Reset, true)));
    let (_, back) = guest.read(DATA, 2 * ZONE, SHIFT, 4);
    assert!(back.iter().all(|&b| b == 0));
    assert_eq!(guest.read(DATA, 4 * ZONE, SHIFT, 4).1, block);
}

#[test]
fn zones_go_through_their_states() {
    let mut guest = guest(1);
    use WireZoneAction::{Close, Finish, Offline, Open, Reset};
    for (action, status, expected) in [
        (Close, Some(Status::InvalidTransition), 1),
        (Open, None, 3),
        (Close, None, 4),
        (Finish, None, 0xe),
        (Open, Some(Status::InvalidTransition), 0xe),
        (Reset, None, 1),
        (Offline, Some(Status::InvalidTransition), 1),
    ] {
        let cqe = send(&mut guest, 3, action);
        match status {
            None => assert_ok(cqe),
            Some(status) => assert_status(cqe, status),
        }
        assert_eq!(state(&mut guest, 3), expected, "{action:?}");
    }
    let zone_full = report(&mut guest, 0, ZoneReportFilter::Full, true, 8);
    assert_eq!(zone_full.0, 0);
}

#[test]
fn every_malformed_zone_command_has_its_status() {
    let mut guest = guest(1);
    let send = |slba, action: WireZoneAction, all| command::zone_send(DATA, slba, action, all);
    let change = |mut sqe: Sqe, dword: usize, value: u32| {
        sqe.cdw[dword] = value;
        sqe
    };
    let receive = |slba, bytes| {
        command::zone_receive(
            DATA,
            slba,
            ZoneReceiveAction::Report,
            ZoneReportFilter::All,
            true,
            bytes,
        )
    };
    let cases = [
        (
            send(1, WireZoneAction::Open, false),
            Status::InvalidField,
            (40, 0),
        ),
        (
            send(8 * ZONE, WireZoneAction::Open, false),
            Status::LbaOutOfRange,
            (40, 0),
        ),
        (
            change(send(0, WireZoneAction::Open, false), 3, 6),
            Status::InvalidField,
            (52, 0),
        ),
        // Neither a write area nor an explicit flush without ZRWA support.
        (
            change(send(0, WireZoneAction::Open, false), 3, 0x203),
            Status::InvalidField,
            (53, 1),
        ),
        (
            send(0, WireZoneAction::FlushZrwa, false),
            Status::InvalidField,
            (52, 0),
        ),
        (
            send(0, WireZoneAction::FlushZrwa, true),
            Status::InvalidField,
            (53, 0),
        ),
        (
            send(0, WireZoneAction::SetExtension, true),
            Status::InvalidField,
            (53, 0),
        ),
        (receive(8 * ZONE, 4096), Status::LbaOutOfRange, (40, 0)),
        (receive(0, 60), Status::InvalidField, (48, 0)),
        (receive(0, 260 << 10), Status::InvalidField, (48, 0)),
        (
            change(receive(0, 4096), 3, 2),
            Status::InvalidField,
            (52, 0),
        ),
        (
            change(receive(0, 4096), 3, 8 << 8),
            Status::InvalidField,
            (53, 0),
        ),
    ];
    for (sqe, status, field) in cases {
        let cqe = guest.io(sqe);
        assert_rejected(&mut guest, cqe, status, Some(field));
    }
    let mut on_meta = send(0, WireZoneAction::Open, false);
    on_meta.nsid = META;
    assert_status(guest.io(on_meta), Status::InvalidOpcode);
}

#[test]
fn reports_start_anywhere_and_say_how_many_zones_there_are() {
    let mut guest = guest(1);
    let (count, zones) = report(&mut guest, 0, ZoneReportFilter::All, false, 3);
    assert_eq!((count, zones.len()), (8, 3));
    assert_eq!(zones[2].start, 2 * ZONE);
    assert!(zones.iter().all(|z| z.capacity == CAPACITY && z.kind == 2));
    let (count, zones) = report(&mut guest, 0, ZoneReportFilter::All, true, 3);
    assert_eq!((count, zones.len()), (3, 3));
    // From the zone that holds the LBA on.
    let (count, zones) = report(&mut guest, 6 * ZONE + 17, ZoneReportFilter::All, false, 64);
    assert_eq!((count, zones.len()), (2, 2));
    assert_eq!(zones[0].start, 6 * ZONE);
}

#[test]
fn every_filter_finds_the_zones_in_its_state() {
    let mut guest = guest(1);
    use WireZoneAction::{Close, Finish, Open};
    assert_ok(guest.write(DATA, ZONE, SHIFT, &pattern(0, 1 << SHIFT)));
    assert_ok(send(&mut guest, 2, Open));
    assert_ok(send(&mut guest, 3, Open));
    assert_ok(send(&mut guest, 3, Close));
    assert_ok(send(&mut guest, 4, Finish));
    let drive = guest.controller.drive_mut();
    drive.inject_zone_state(5, State::ReadOnly);
    drive.inject_zone_state(6, State::Offline);
    for (filter, expected) in [
        (ZoneReportFilter::Empty, vec![0, 7]),
        (ZoneReportFilter::ImplicitlyOpen, vec![1]),
        (ZoneReportFilter::ExplicitlyOpen, vec![2]),
        (ZoneReportFilter::Closed, vec![3]),
        (ZoneReportFilter::Full, vec![4]),
        (ZoneReportFilter::ReadOnly, vec![5]),
        (ZoneReportFilter::Offline, vec![6]),
        (ZoneReportFilter::Recommended, vec![]),
        (ZoneReportFilter::All, (0..8).collect()),
    ] {
        for partial in [false, true] {
            let (count, zones) = report(&mut guest, 0, filter, partial, 8);
            assert_eq!(count, expected.len() as u64, "{filter:?}");
            let found: Vec<_> = zones.iter().map(|z| z.start / ZONE).collect();
            assert_eq!(found, expected, "{filter:?}");
        }
    }
    let (count, zones) = report(&mut guest, 0, ZoneReportFilter::Empty, false, 1);
    assert_eq!((count, zones.len()), (2, 1));
    // An undefined write pointer is all ones.
    let (_, zones) = report(&mut guest, 0, ZoneReportFilter::Full, false, 1);
    assert_eq!(zones[0].write_pointer, u64::MAX);
}

#[test]
fn a_long_report_crosses_pages() {
    let drive = FakeConfig {
        zones: 300,
        zone_bytes: 16 << 10,
        zone_capacity: 12 << 10,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(ControllerConfig::default(), drive, 1);
    let (count, zones) = report(&mut guest, 0, ZoneReportFilter::All, false, 300);
    assert_eq!((count, zones.len()), (300, 300));
    assert!(zones.iter().zip(0..).all(|(z, i)| z.start == i * 4));
}

#[test]
fn zone_sizes_need_not_be_powers_of_two() {
    let drive = FakeConfig {
        zone_bytes: 96 << 12,
        zone_capacity: 96 << 12,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(ControllerConfig::default(), drive, 1);
    let cqe = guest.send(
        1,
        command::blocks(NvmOpcode::ZoneAppend, DATA, 96 * 3, 2),
        &pattern(1, 2 << SHIFT),
    );
    assert_ok(cqe);
    assert_eq!(cqe.result, 96 * 3);
    let (_, zones) = report(&mut guest, 96 * 3 + 95, ZoneReportFilter::All, true, 1);
    assert_eq!((zones[0].start, zones[0].write_pointer), (288, 290));
}

#[test]
fn descriptor_extensions_are_kept_and_reported() {
    let drive = FakeConfig {
        extension_units: 2,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(ControllerConfig::default(), drive, 1);
    let data = pattern(7, 128);
    let sqe = command::zone_send(DATA, ZONE, WireZoneAction::SetExtension, false);
    assert_ok(guest.send(1, sqe, &data));
    assert_eq!(state(&mut guest, 1), 4);
    assert_status(guest.send(1, sqe, &data), Status::InvalidTransition);
    let bytes = 64 + 2 * 192;
    let sqe = command::zone_receive(
        DATA,
        0,
        ZoneReceiveAction::Extended,
        ZoneReportFilter::All,
        true,
        bytes as u32,
    );
    let (cqe, report) = guest.receive(1, sqe, bytes);
    assert_ok(cqe);
    assert_eq!(report[0], 2);
    let second = WireZoneDescriptor::decode(report[256..320].try_into().unwrap());
    assert_eq!(second.start, ZONE);
    assert_ne!(second.attributes & WireZoneDescriptor::EXTENSION_VALID, 0);
    assert_eq!(report[320..448], data);
    assert_eq!(report[128..256], [0; 128]);
    // What a zone had is gone with a reset.
    assert_ok(send(&mut guest, 1, WireZoneAction::Reset));
    let (cqe, report) = guest.receive(1, sqe, bytes);
    assert_ok(cqe);
    assert_eq!(report[320..448], [0; 128]);
}

#[test]
fn an_extension_that_cannot_be_fetched_leaves_the_zone_empty() {
    let mut guest = guest(1);
    let mut sqe = command::zone_send(DATA, ZONE, WireZoneAction::SetExtension, false);
    sqe.prp1 = 1 << 60;
    assert_status(guest.io(sqe), Status::DataTransferError);
    assert_eq!(state(&mut guest, 1), 1);
}

#[test]
fn without_extensions_the_extended_report_is_refused() {
    let drive = FakeConfig {
        extension_units: 0,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(ControllerConfig::default(), drive, 1);
    let sqe = command::zone_receive(
        DATA,
        0,
        ZoneReceiveAction::Extended,
        ZoneReportFilter::All,
        true,
        4096,
    );
    let cqe = guest.io(sqe);
    assert_rejected(&mut guest, cqe, Status::InvalidField, Some((52, 0)));
    let cqe = send(&mut guest, 0, WireZoneAction::SetExtension);
    assert_rejected(&mut guest, cqe, Status::InvalidField, Some((52, 0)));
}

#[test]
fn with_zrwa_the_drive_decides() {
    let drive = FakeConfig {
        zrwa: true,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(ControllerConfig::default(), drive, 1);
    let mut open = command::zone_send(DATA, 0, WireZoneAction::Open, false);
    open.cdw[3] |= 1 << 9;
    assert_status(guest.io(open), Status::ZrwaUnavailable);
    let cqe = guest.io(command::zone_send(
        DATA,
        3,
        WireZoneAction::FlushZrwa,
        false,
    ));
    assert_status(cqe, Status::InvalidZoneOperation);
}
