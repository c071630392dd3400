// SPDX-License-Identifier: GPL-2.0-or-later
//! Asynchronous events and Abort.

use nvme_spec::{offset, AdminOpcode, AsyncEvent, FeatureId, LogId, NvmOpcode, Status};
use testkit::{command, FakeDrive, Guest};
use zone::State;

use crate::{assert_ok, assert_status, guest, DATA, META};

fn request(guest: &mut Guest<FakeDrive>) -> u16 {
    guest.submit(0, command::admin(AdminOpcode::AsyncEventRequest, 0, 0, 0))
}

#[test]
fn requests_are_held_until_something_happens_and_limited() {
    let mut guest = guest(1);
    let cids: Vec<_> = (0..4).map(|_| request(&mut guest)).collect();
    assert_eq!(guest.wait(0), None);
    let fifth = request(&mut guest);
    let cqe = guest.wait(0).unwrap();
    assert_eq!(cqe.cid, fifth);
    assert_status(cqe, Status::AsyncEventLimit);
    // Held requests do not block other commands.
    for _ in 0..40 {
        assert_ok(guest.admin(command::get_feature(FeatureId::Arbitration, 0, 0, 0)));
    }
    guest.write32(offset::DOORBELLS + 8 * 50, 1);
    let cqe = guest.wait(0).unwrap();
    assert_eq!(
        (cqe.cid, cqe.result),
        (cids[0], AsyncEvent::INVALID_DOORBELL.result())
    );
    // The type is silent until the log is read.
    guest.write32(offset::DOORBELLS + 8, 77);
    assert_eq!(guest.wait(0), None);
    let (cqe, _) = guest.receive(0, command::log(LogId::Error, 0, 64, 0), 64);
    assert_ok(cqe);
    guest.write32(offset::DOORBELLS + 8, 77);
    let cqe = guest.wait(0).unwrap();
    assert_eq!(cqe.result, AsyncEvent::INVALID_DOORBELL_VALUE.result());
}

#[test]
fn changed_zones_are_listed_and_announced_if_wanted() {
    let mut guest = guest(1);
    let cid = request(&mut guest);
    guest
        .controller
        .drive_mut()
        .inject_zone_state(3, State::ReadOnly);
    guest.run();
    assert_eq!(guest.wait(0), None, "not asked for");
    assert_ok(guest.admin(command::set_feature(
        FeatureId::AsyncEventConfig,
        0,
        1 << 27,
    )));
    guest
        .controller
        .drive_mut()
        .inject_zone_state(5, State::Offline);
    guest.run();
    let cqe = guest.wait(0).unwrap();
    assert_eq!(
        (cqe.cid, cqe.result),
        (cid, AsyncEvent::zone_changed(DATA).result())
    );
    let mut log = command::log(LogId::ChangedZones, DATA, 4096, 0);
    log.cdw[0] |= 1 << 15;
    let (cqe, retained) = guest.receive(0, log, 4096);
    assert_ok(cqe);
    log.cdw[0] &= !(1 << 15);
    for (bytes, offset) in [(2048, 0), (2048, 2048), (8, 0)] {
        let part = command::log(LogId::ChangedZones, DATA, bytes, offset);
        assert_ok(guest.receive(0, part, bytes as usize).0);
    }
    let (_, list) = guest.receive(0, log, 4096);
    assert_eq!(list, retained);
    assert_eq!(list[..8], 2_u64.to_le_bytes());
    assert_eq!(list[8..16], (3 * 256_u64).to_le_bytes());
    assert_eq!(list[16..24], (5 * 256_u64).to_le_bytes());
    let (_, list) = guest.receive(0, log, 4096);
    assert_eq!(list[..8], [0; 8], "reading all of it clears it");
    log.nsid = META;
    assert_status(guest.receive(0, log, 4096).0, Status::InvalidField);
}

#[test]
fn a_temperature_past_its_threshold_raises_an_event() {
    let mut guest = guest(1);
    request(&mut guest);
    assert_ok(guest.admin(command::set_feature(FeatureId::AsyncEventConfig, 0, 2)));
    assert_eq!(guest.wait(0), None);
    // The fake drive is at 300 K.
    assert_ok(guest.admin(command::set_feature(
        FeatureId::TemperatureThreshold,
        0,
        299,
    )));
    let cqe = guest.wait(0).unwrap();
    assert_eq!(cqe.result, AsyncEvent::smart(1).result());
    let (_, smart) = guest.receive(0, command::log(LogId::Smart, u32::MAX, 512, 0), 512);
    assert_eq!(smart[0], 2);
    // It stays there: no news, whatever is done, until it has come down and gone up again.
    request(&mut guest);
    assert_ok(guest.admin(command::set_feature(FeatureId::AsyncEventConfig, 0, 3)));
    assert_eq!(guest.wait(0), None);
    let limit = |kelvin| command::set_feature(FeatureId::TemperatureThreshold, 0, kelvin);
    assert_ok(guest.admin(limit(310)));
    assert_eq!(guest.wait(0), None);
    guest.submit(0, limit(299));
    let cqes = [guest.wait(0).unwrap(), guest.wait(0).unwrap()];
    assert!(cqes
        .iter()
        .any(|c| c.result == AsyncEvent::smart(1).result()));
}

#[test]
fn a_warning_of_the_drive_is_told_once() {
    let mut guest = guest(1);
    for _ in 0..3 {
        request(&mut guest);
    }
    assert_ok(guest.admin(command::set_feature(FeatureId::AsyncEventConfig, 0, 0xff)));
    let mut health = nvme::Drive::health(guest.controller.drive());
    health.degraded = true;
    guest.controller.drive_mut().health = health;
    for told in [true, false] {
        // Any change makes the drive look again.
        let drive = guest.controller.drive_mut();
        drive.inject_zone_state(0, State::ReadOnly);
        guest.run();
        let expected = told.then_some(AsyncEvent::smart(0).result());
        assert_eq!(guest.wait(0).map(|c| c.result), expected);
        guest.receive(0, command::log(LogId::Smart, u32::MAX, 512, 0), 512);
    }
}

#[test]
fn only_what_had_no_effect_yet_is_aborted() {
    let mut guest = guest(1);
    let abort =
        |sq: u32, cid: u16| command::admin(AdminOpcode::Abort, 0, sq | u32::from(cid) << 16, 0);
    let page = guest.alloc(4096);
    let mut write = command::blocks(NvmOpcode::Write, DATA, 0, 1);
    write.prp1 = page;
    let first = guest.submit(1, write);
    assert_eq!(guest.admin(abort(1, first)).result, 1, "not aborted");
    let cqe = guest.wait(1).unwrap();
    assert_eq!((cqe.cid, cqe.status), (first, 0));
    assert_eq!(guest.admin(abort(1, first)).result, 1, "too late");
    assert_eq!(guest.admin(abort(77, 1)).result, 1, "no such queue");
    let held = request(&mut guest);
    assert_eq!(guest.admin(abort(1, held)).result, 1, "of another queue");
    guest.submit(0, abort(0, held));
    let cqe = guest.wait(0).unwrap();
    assert_eq!(
        (cqe.cid, cqe.status()),
        (held, Some(Status::AbortRequested))
    );
    let cqe = guest.wait(0).unwrap();
    assert_eq!((cqe.status, cqe.result), (0, 0));
    assert_eq!(guest.wait(1), None);
}
