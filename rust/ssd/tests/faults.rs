// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults on demand as a guest meets them: status, error log, SMART, events.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{guest, pattern, OK};
use nvme_spec::{
    offset, AdminOpcode, ErrorLogEntry, FeatureId, LogId, NvmOpcode, Status, WireZoneAction, DNR,
};
use ssd::Drive;
use testkit::{command, Guest};
use units::Nanos;

const ZONE: u64 = 16 << 20 >> 9;

fn broken(faults: &str) -> Guest<Drive> {
    let mut guest = guest("tlc-zoned", &[]);
    guest.controller.drive_mut().set_faults(faults).unwrap();
    guest
}

fn log(guest: &mut Guest<Drive>, id: LogId, bytes: usize) -> Vec<u8> {
    let (cqe, page) = guest.receive(0, command::log(id, 0, bytes as u32, 0), bytes);
    assert_eq!(cqe.status(), OK);
    page
}

fn newest_error(guest: &mut Guest<Drive>) -> ErrorLogEntry {
    let page = log(guest, LogId::Error, 64);
    ErrorLogEntry::decode(page.as_slice().try_into().unwrap())
}

/// Media and data integrity errors.
fn media_errors(guest: &mut Guest<Drive>) -> u8 {
    log(guest, LogId::Smart, 512)[160]
}

#[test]
fn a_read_error_is_reported_with_its_first_lba_and_counted() {
    let mut guest = broken("read-error,ns=2,lba=12+2");
    let data = pattern(16 << 9, 1);
    assert_eq!(guest.write(2, 0, 9, &data).status(), OK);
    let (cqe, read) = guest.read(2, 8, 9, 8);
    assert_eq!(cqe.status(), Some(Status::UnrecoveredRead));
    assert!(read.iter().all(|b| *b == 0), "no data comes with the error");
    let entry = newest_error(&mut guest);
    assert_eq!((entry.lba, entry.nsid, entry.cid), (12, 2, cqe.cid));
    assert_eq!(
        entry.location_byte, None,
        "no field of the command is at fault"
    );
    assert_eq!(media_errors(&mut guest), 1);
    // Compare, Verify and Copy read too; other LBAs and the other namespace are sound.
    let verify = command::blocks(NvmOpcode::Verify, 2, 13, 1);
    assert_eq!(guest.io(verify).status(), Some(Status::UnrecoveredRead));
    assert_eq!(guest.read(2, 0, 9, 12).0.status(), OK);
    assert_eq!(guest.read(1, 12, 9, 1).0.status(), OK);
    assert_eq!(media_errors(&mut guest), 2);
}

#[test]
fn a_read_that_fails_takes_the_time_of_one_that_does_not() {
    let took = |faults| {
        let mut guest = broken(faults);
        assert_eq!(guest.write(2, 0, 9, &pattern(4096, 1)).status(), OK);
        let before = guest.host.clock;
        guest.read(2, 0, 9, 8);
        guest.host.clock.since(before)
    };
    assert_eq!(took("read-error"), took("clear"));
    assert!(took("clear") > Nanos::ZERO);
}

#[test]
fn a_write_fault_leaves_the_zone_as_it_was() {
    let mut guest = broken("write-error,zone=0,count=3");
    let data = pattern(4096, 1);
    let append = command::blocks(NvmOpcode::ZoneAppend, 2, 0, 8);
    for _ in 0..2 {
        let cqe = guest.send(1, append, &data);
        assert_eq!(cqe.status(), Some(Status::WriteFault));
    }
    assert_eq!(newest_error(&mut guest).lba, 0);
    let zeroes = command::blocks(NvmOpcode::WriteZeroes, 2, 0, 8);
    assert_eq!(guest.io(zeroes).status(), Some(Status::WriteFault));
    assert_eq!(media_errors(&mut guest), 0, "nothing unrecovered was read");
    // The rule is used up; the write pointer is where it was.
    let cqe = guest.send(1, append, &data);
    assert_eq!((cqe.status(), cqe.result), (OK, 0));
    let list = guest.controller.drive().faults().to_string();
    assert_eq!(list, "write-error,zone=0+1,count=3 hits=3");
}

#[test]
fn an_append_is_judged_by_where_it_would_go() {
    let mut guest = broken("write-error,lba=8");
    let append = command::blocks(NvmOpcode::ZoneAppend, 2, 0, 8);
    let data = pattern(4096, 1);
    assert_eq!(guest.send(1, append, &data).status(), OK);
    let cqe = guest.send(1, append, &data);
    assert_eq!(cqe.status(), Some(Status::WriteFault));
    assert_eq!(newest_error(&mut guest).lba, 8);
}

#[test]
fn a_latency_spike_delays_what_it_names() {
    for (faults, late) in [
        ("latency,delay-ns=1000000,op=write", 1_000_000),
        ("latency,delay-ns=1000000,op=read", 0),
        ("latency,delay-ns=1000000,ns=1", 0),
    ] {
        let mut guest = broken(faults);
        let plan = common::config("tlc-zoned", &[("timing", "off")])
            .plan()
            .unwrap();
        guest.controller.drive_mut().set_times(&plan);
        let before = guest.host.clock;
        assert_eq!(guest.write(2, 0, 9, &pattern(4096, 1)).status(), OK);
        assert_eq!(guest.host.clock.since(before), Nanos::new(late), "{faults}");
    }
}

#[test]
fn a_zone_fails_under_the_command_that_touches_it() {
    let mut guest = broken("zone-read-only,zone=1,op=write");
    let wanted = command::set_feature(FeatureId::AsyncEventConfig, 0, 1 << 27);
    assert_eq!(guest.admin(wanted).status(), OK);
    let request = command::admin(AdminOpcode::AsyncEventRequest, 0, 0, 0);
    let cid = guest.submit(0, request);
    assert_eq!(guest.write(2, 0, 9, &pattern(512, 1)).status(), OK);
    assert!(guest.poll(0).is_none());
    let cqe = guest.write(2, ZONE, 9, &pattern(512, 1));
    assert_eq!(cqe.status(), Some(Status::ZoneReadOnly));
    assert_eq!(cqe.status & DNR, DNR);
    let event = guest.poll(0).unwrap();
    assert_eq!(event.cid, cid);
    let changed = log(&mut guest, LogId::Error, 64);
    assert_ne!(changed, vec![0; 64]);
    let reset = command::zone_send(2, ZONE, WireZoneAction::Reset, false);
    assert_eq!(guest.io(reset).status(), Some(Status::InvalidTransition));
}

#[test]
fn a_rule_does_not_bring_an_offline_zone_back() {
    let mut guest = broken("zone-offline,zone=1,count=1;zone-read-only,zone=1");
    for _ in 0..3 {
        let cqe = guest.write(2, ZONE, 9, &pattern(512, 1));
        assert_eq!(cqe.status(), Some(Status::ZoneOffline));
    }
}

#[test]
fn many_failures_make_the_drive_call_itself_unreliable() {
    let mut guest = broken("read-error,count=16");
    let cid = guest.submit(0, command::admin(AdminOpcode::AsyncEventRequest, 0, 0, 0));
    let wanted = command::set_feature(FeatureId::AsyncEventConfig, 0, 1 << 2);
    assert_eq!(guest.execute(0, wanted).status(), OK);
    for _ in 0..15 {
        guest.read(1, 0, 9, 1);
    }
    assert_eq!(log(&mut guest, LogId::Smart, 512)[0], 0);
    assert!(guest.poll(0).is_none());
    guest.read(1, 0, 9, 1);
    let event = guest.poll(0).unwrap();
    assert_eq!(
        (event.cid, event.result & 0xffff),
        (cid, 0x0001),
        "SMART, reliability"
    );
    assert_eq!(log(&mut guest, LogId::Smart, 512)[0], 1 << 2);
}

fn create_queues(guest: &mut Guest<Drive>) {
    assert!(guest.enable());
    assert!(guest.create_queues(1, 16));
}

#[test]
fn a_command_that_hangs_completes_for_no_abort_but_goes_with_its_queue() {
    let mut guest = broken("hang,ns=2,count=3");
    let flush = command::plain(NvmOpcode::Flush.wire(), 2);
    let check = |guest: &Guest<Drive>| assert_eq!(guest.controller.check_invariants(), Ok(()));
    for _ in 0..2 {
        let cid = guest.submit(1, flush);
        let abort = command::admin(AdminOpcode::Abort, 0, 1 | u32::from(cid) << 16, 0);
        assert_eq!(guest.admin(abort).result, 1, "not aborted");
        guest.settle(100);
        assert_eq!(guest.poll(1), None);
        check(&guest);
    }
    // Others go on; nothing of it is in the error log.
    assert_eq!(guest.read(1, 0, 9, 1).0.status(), OK);
    assert_eq!(log(&mut guest, LogId::Error, 64), vec![0; 64]);
    let delete = command::admin(AdminOpcode::DeleteSq, 0, 1, 0);
    assert_eq!(guest.admin(delete).status(), OK);
    check(&guest);
    assert_eq!(guest.create_sq(1, 16, 1).status(), OK);
    guest.submit(1, flush);
    guest.disable();
    check(&guest);
    create_queues(&mut guest);
    assert_eq!(guest.io(flush).status(), OK);
    // What hangs is not executed.
    guest
        .controller
        .drive_mut()
        .set_faults("clear;hang,op=write,count=1")
        .unwrap();
    let page = guest.alloc(4096);
    let mut append = command::blocks(NvmOpcode::ZoneAppend, 2, 0, 1);
    append.prp1 = page;
    guest.submit(1, append);
    let cqe = guest.execute(1, append);
    assert_eq!((cqe.status(), cqe.result), (OK, 0));
}

#[test]
fn a_drive_that_fails_stops_until_the_guest_resets_it() {
    let mut guest = broken("fatal,op=write,count=1;fatal,op=enable,count=2");
    let status = |guest: &mut Guest<Drive>| guest.read32(offset::CSTS) & 3;
    let write = command::blocks(NvmOpcode::WriteZeroes, 1, 0, 1);
    guest.submit(1, write);
    assert_eq!(status(&mut guest), 3);
    guest.submit(1, command::blocks(NvmOpcode::Verify, 1, 0, 1));
    guest.settle(100);
    assert_eq!(guest.poll(1), None, "it has stopped");
    assert_eq!(guest.controller.check_invariants(), Ok(()));
    for _ in 0..2 {
        guest.disable();
        assert_eq!(status(&mut guest), 0);
        assert!(!guest.enable(), "it does not come back at once");
        assert_eq!(status(&mut guest), 3);
    }
    guest.disable();
    create_queues(&mut guest);
    assert_eq!(guest.io(write).status(), OK);
}

#[test]
fn rules_must_fit_the_drive() {
    let mut guest = broken("read-error");
    let drive = guest.controller.drive_mut();
    let wrong = drive.set_faults("clear;read-error,ns=3").unwrap_err();
    assert_eq!(wrong.to_string(), "property 'fault' = ns=3: must be 1 to 2");
    assert_eq!(drive.faults().to_string(), "read-error hits=0", "unchanged");
    drive.set_faults("clear").unwrap();
    assert!(drive.faults().is_empty());
}
