// SPDX-License-Identifier: GPL-2.0-or-later
//! Format, and other long commands: what they do, and that they are worked in bounded runs.

use nvme::ControllerConfig;
use nvme_spec::{AdminOpcode, Cns, NvmOpcode, Sqe, Status, NSID_ALL};
use testkit::{command, FakeConfig, FakeDrive, Guest};

use crate::{
    assert_ok, assert_rejected, guest, guest_with, identify, pattern, u64_at, DATA, META, SHIFT,
};

fn format(nsid: u32, cdw10: u32) -> Sqe {
    command::admin(AdminOpcode::FormatNvm, nsid, cdw10, 0)
}

#[test]
fn format_erases_and_changes_the_lba_size() {
    let mut guest = guest(1);
    assert_ok(guest.write(DATA, 0, SHIFT, &pattern(1, 4 << SHIFT)));
    assert_ok(guest.admin(format(DATA, 1)));
    assert!(guest.read(DATA, 0, SHIFT, 4).1.iter().all(|&b| b == 0));
    assert_ok(guest.admin(format(DATA, 0)));
    let page = identify(&mut guest, Cns::Namespace, DATA, 0);
    assert_eq!((u64_at(&page, 0), page[26]), (16384, 0));
    assert_ok(guest.write(DATA, 0, 9, &pattern(1, 512)));
    let cases = [
        (format(META, 1), Status::InvalidFormat, (40, 0)),
        (format(DATA, 2), Status::InvalidFormat, (40, 0)),
        (format(DATA, 1 << 12), Status::InvalidFormat, (40, 0)),
        (format(DATA, 1 << 5), Status::InvalidFormat, (40, 0)),
        (format(DATA, 3 << 9), Status::InvalidField, (41, 1)),
        (format(5, 0), Status::InvalidNamespace, (4, 0)),
    ];
    for (sqe, status, field) in cases {
        let cqe = guest.admin(sqe);
        assert_rejected(&mut guest, cqe, status, Some(field));
    }
    assert_ok(guest.admin(format(NSID_ALL, 2 << 9)));
}

/// Bytes of the media of the zone with this number, some of which differ from zero.
fn is_zone_zero(guest: &Guest<FakeDrive>, zone: usize) -> bool {
    let start = (4 << 20) + (zone << 20);
    guest.host.media[start..start + (1 << 20)]
        .iter()
        .all(|b| *b == 0)
}

#[test]
fn format_leaves_zones_that_failed_as_they_are_unless_it_is_to_be_secure() {
    use zone::State::{Empty, Offline, ReadOnly};
    for (secure, gone) in [(0, false), (1, true), (2, true)] {
        let mut guest = guest(1);
        for zone in 0..3 {
            assert_ok(guest.write(DATA, zone * 256, SHIFT, &pattern(1, 4 << SHIFT)));
        }
        let drive = guest.controller.drive_mut();
        drive.inject_zone_state(1, ReadOnly);
        drive.inject_zone_state(2, Offline);
        assert_ok(guest.admin(format(DATA, 1 | secure << 9)));
        for (zone, state) in [(0, Empty), (1, ReadOnly), (2, Offline)] {
            let drive = guest.controller.drive();
            let found = nvme::Drive::zone(drive, nvme::NsIndex(1), units::ZoneId::new(zone));
            assert_eq!(found.unwrap().state, state);
            assert_eq!(
                is_zone_zero(&guest, zone as usize),
                gone || state == Empty,
                "{secure} {state:?}"
            );
        }
    }
}

/// Submits a long command and works it in runs of `budget`; how many those were.
fn runs(guest: &mut Guest<FakeDrive>, queue: u16, sqe: Sqe, budget: u32) -> u32 {
    guest.budget = budget;
    let (before, mut runs) = (guest.host.clock, 1);
    let cid = guest.submit(queue, sqe);
    // What comes after it waits for it, whatever its queue.
    guest.push(1, command::plain(NvmOpcode::Flush.wire(), META));
    guest.ring(1);
    while guest.host.wake == Some(before) {
        assert_eq!(guest.controller.check_invariants(), Ok(()), "bounded work");
        assert_eq!(guest.poll(queue), None);
        guest.run();
        runs += 1;
    }
    let cqe = guest.wait(queue).unwrap();
    assert_eq!((cqe.cid, cqe.status), (cid, 0));
    assert_ok(guest.wait(1).unwrap());
    assert_eq!(guest.host.clock, before + units::Nanos::from_micros(10));
    guest.budget = 1 << 20;
    runs
}

#[test]
fn long_commands_are_worked_in_bounded_runs() {
    let mut guest = guest(1);
    for zone in 0..8 {
        assert_ok(guest.write(DATA, zone * 256, SHIFT, &pattern(1, 4 << SHIFT)));
    }
    assert_ok(guest.write(META, 0, SHIFT, &pattern(1, 64 << SHIFT)));
    // 2 x 64 units for 4 MiB; 8 x 16 for zones, and 8 x 16 for their bytes.
    let many = runs(&mut guest, 0, format(NSID_ALL, 1), 8);
    assert!((30..60).contains(&many), "{many}");
    assert!(guest.host.media.iter().all(|b| *b == 0));
    for zone in 0..8 {
        assert_ok(guest.write(DATA, zone * 256, SHIFT, &pattern(1, 4 << SHIFT)));
    }
    let reset = command::zone_send(DATA, 0, nvme_spec::WireZoneAction::Reset, true);
    let many = runs(&mut guest, 1, reset, 8);
    assert!((16..40).contains(&many), "{many}");
    assert!(guest.host.media.iter().all(|b| *b == 0));
    assert_eq!(runs(&mut guest, 0, format(NSID_ALL, 1), 1000), 1);
}

#[test]
fn a_report_of_many_zones_is_worked_in_bounded_runs() {
    let drive = FakeConfig {
        zones: 20_000,
        zone_bytes: 4096,
        zone_capacity: 4096,
        extension_units: 0,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(ControllerConfig::default(), drive, 1);
    guest.budget = 8;
    let full = nvme_spec::ZoneReportFilter::Full;
    let report = nvme_spec::ZoneReceiveAction::Report;
    let mut sqe = command::zone_receive(DATA, 0, report, full, false, 4096);
    for zone in [3, 19_999] {
        assert_ok(guest.write(DATA, zone, SHIFT, &pattern(0, 4096)));
    }
    sqe.prp1 = guest.alloc(4096);
    guest.poke(sqe.prp1, &[0; 4096]);
    guest.submit(1, sqe);
    let mut count = 1;
    while guest.poll(1).is_none() {
        assert_eq!(guest.controller.check_invariants(), Ok(()), "bounded work");
        guest.run();
        count += 1;
    }
    assert_eq!(count, 5, "4096 zones each");
    let page = guest.peek(sqe.prp1, 4096);
    assert_eq!((u64_at(&page, 0), u64_at(&page, 80)), (2, 3));
    assert_eq!((u64_at(&page, 144), u64_at(&page, 192)), (19_999, 0));
    let reset = command::zone_send(DATA, 0, nvme_spec::WireZoneAction::Reset, true);
    assert!(runs(&mut guest, 1, reset, 8) >= 5);
}

#[test]
fn a_reset_in_the_middle_of_a_format_drops_it() {
    let mut guest = guest(1);
    for zone in 0..8 {
        assert_ok(guest.write(DATA, zone * 256, SHIFT, &pattern(1, 4 << SHIFT)));
    }
    guest.budget = 8;
    guest.submit(0, format(DATA, 0));
    guest.run();
    guest.disable();
    assert_eq!(guest.controller.check_invariants(), Ok(()));
    assert!(guest.enable() && guest.create_queues(1, 8));
    guest.settle(100);
    assert!(is_zone_zero(&guest, 0) && !is_zone_zero(&guest, 7));
    let page = identify(&mut guest, Cns::Namespace, DATA, 0);
    assert_eq!(page[26], 1, "the old LBA size");
}
