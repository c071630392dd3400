// SPDX-License-Identifier: GPL-2.0-or-later
//! Sanitize: what is erased, what is refused meanwhile, and how it ends.

use nvme::SanitizeStatus;
use nvme_spec::{AdminOpcode, LogId, NvmOpcode, Sqe, Status};
use testkit::{command, FakeDrive, Guest};
use units::Nanos;
use zone::State;

use crate::{assert_ok, assert_rejected, assert_status, guest, pattern, u16_at, DATA, META, SHIFT};

const SECOND: u64 = 1_000_000_000;
const EXIT: u32 = 1;
const BLOCK_ERASE: u32 = 2;
const OVERWRITE: u32 = 3;
const CRYPTO_ERASE: u32 = 4;
const UNRESTRICTED: u32 = 1 << 3;
const NO_DEALLOCATE: u32 = 1 << 9;

fn sanitize(dword10: u32, pattern: u32) -> Sqe {
    let mut sqe = command::plain(AdminOpcode::Sanitize.wire(), 0);
    (sqe.cdw[0], sqe.cdw[1]) = (dword10, pattern);
    sqe
}

/// SPROG, SSTAT and SCDW10.
fn status(guest: &mut Guest<FakeDrive>) -> (u16, u16, u16) {
    let mark = guest.mark();
    let (cqe, page) = guest.receive(0, command::log(LogId::Sanitize, u32::MAX, 512, 0), 512);
    assert_ok(cqe);
    guest.release(mark);
    (u16_at(&page, 0), u16_at(&page, 2), u16_at(&page, 4))
}

/// A guest with data in both namespaces, of which zone 1 is read-only; a second for each erase.
fn written() -> Guest<FakeDrive> {
    let mut guest = guest(1);
    guest.controller.drive_mut().sanitize_time = Nanos::new(SECOND);
    for (nsid, lba) in [(META, 0), (META, 1023), (DATA, 0), (DATA, 256)] {
        assert_ok(guest.write(nsid, lba, SHIFT, &pattern(7, 4096)));
    }
    guest
        .controller
        .drive_mut()
        .inject_zone_state(1, State::ReadOnly);
    guest
}

fn is_gone(guest: &Guest<FakeDrive>) -> bool {
    guest.host.media.iter().all(|byte| *byte == 0)
}

/// Lets the controller do what it wants to do at once.
fn erase(guest: &mut Guest<FakeDrive>) {
    while guest.host.wake.is_some_and(|at| at <= guest.host.clock) {
        guest.run();
    }
}

/// Lets all time pass that the controller wants.
fn pass(guest: &mut Guest<FakeDrive>) {
    guest.settle(10_000);
    assert_eq!(guest.host.wake, None);
}

#[test]
fn each_way_erases_all_data_and_takes_its_time() {
    for (dword10, seconds, passes) in [
        (BLOCK_ERASE, 1, 0),
        (OVERWRITE | 3 << 4, 3, 3),
        (OVERWRITE, 16, 16),
        (CRYPTO_ERASE, 0, 0),
    ] {
        let mut guest = written();
        assert_eq!(status(&mut guest), (0xffff, 0, 0));
        let start = guest.host.clock;
        let at = |part: u64| start + Nanos::new(seconds * SECOND / 4 * part);
        guest.submit(0, sanitize(dword10, 0x5a5a_5a5a));
        assert_ok(guest.poll(0).unwrap());
        erase(&mut guest);
        assert!(is_gone(&guest), "{dword10:#x}");
        if seconds > 0 {
            guest.host.clock = at(3);
            guest.run();
            let (progress, sstat, of) = status(&mut guest);
            let done = (passes * 3 / 4) << 3;
            assert_eq!((sstat, u32::from(of)), (2 | done, dword10), "{dword10:#x}");
            assert!((0xbff0..0xc010).contains(&progress), "{progress:#x}");
            guest.host.clock = guest.host.clock.max(at(4));
        }
        pass(&mut guest);
        // Completed, and all data erased.
        let expected = (0xffff, 0x101 | passes << 3, dword10 as u16);
        assert_eq!(status(&mut guest), expected);
        let drive = guest.controller.drive();
        let cycles = (drive.sanitized.erases, drive.sanitized.programs);
        let seconds = seconds as u8;
        let programs = if passes > 0 { seconds } else { 0 };
        assert_eq!(cycles, (seconds, programs));
        // Zones are empty, apart from one that fails all the same, and the drive works.
        assert_ok(guest.write(DATA, 0, SHIFT, &pattern(1, 4096)));
        assert_status(
            guest.write(DATA, 256, SHIFT, &pattern(1, 4096)),
            Status::ZoneReadOnly,
        );
        assert_eq!(status(&mut guest).1 & 0x100, 0, "data was written");
    }
}

#[test]
fn commands_are_refused_while_it_runs() {
    let mut guest = written();
    // An error with an LBA is in the log before.
    assert_status(guest.read(META, 1020, SHIFT, 5).0, Status::LbaOutOfRange);
    assert_ok(guest.admin(sanitize(BLOCK_ERASE, 0)));
    for opcode in [
        NvmOpcode::Read,
        NvmOpcode::Write,
        NvmOpcode::Verify,
        NvmOpcode::WriteZeroes,
        NvmOpcode::WriteUncorrectable,
        NvmOpcode::ZoneAppend,
    ] {
        let cqe = guest.io(command::blocks(opcode, DATA, 0, 1));
        assert_rejected(&mut guest, cqe, Status::SanitizeInProgress, None);
    }
    assert_ok(guest.io(command::plain(NvmOpcode::Flush.wire(), META)));
    for sqe in [
        sanitize(BLOCK_ERASE, 0),
        sanitize(EXIT, 0),
        command::plain(AdminOpcode::FormatNvm.wire(), META),
        command::log(LogId::Effects, 0, 4096, 0),
    ] {
        assert_status(guest.admin(sqe), Status::SanitizeInProgress);
    }
    assert_ok(guest.admin(command::log(LogId::Smart, u32::MAX, 512, 0)));
    let log = command::log(LogId::Error, 0, 4096, 0);
    let (cqe, page) = guest.receive(0, log, 4096);
    assert_ok(cqe);
    assert!(page.chunks(64).all(|entry| entry[16..24] == [0; 8]));
    let identified = crate::identify(&mut guest, nvme_spec::Cns::Controller, 0, 0);
    assert_eq!(identified[328..332], [7, 0, 0, 0x80], "SANICAP");
    assert_status(guest.admin(sanitize(0, 0)), Status::InvalidField);
}

#[test]
fn it_goes_on_after_a_reset_and_a_power_cut_and_tells_the_guest_when_it_ends() {
    let mut guest = written();
    let start = guest.host.clock;
    guest.budget = 2;
    guest.submit(0, sanitize(BLOCK_ERASE, 0));
    assert!(!is_gone(&guest), "it is worked in steps");
    guest.disable();
    assert!(guest.enable() && guest.create_queues(1, 8));
    assert_eq!(status(&mut guest).1, 2);
    guest.budget = 64;
    let before = guest.host.clock;
    guest.controller.cut_power_at(Some(before));
    guest.run();
    guest.controller.reset(before);
    assert!(guest.enable() && guest.create_queues(1, 8));
    assert_status(guest.read(META, 0, SHIFT, 1).0, Status::SanitizeInProgress);
    assert!(is_gone(&guest));
    let sqe = command::plain(AdminOpcode::AsyncEventRequest.wire(), 0);
    guest.submit(0, sqe);
    assert_eq!(guest.poll(0), None);
    guest.host.clock = start + Nanos::new(SECOND - 1);
    guest.run();
    assert_eq!(status(&mut guest).1, 2);
    pass(&mut guest);
    assert_eq!(
        guest.host.clock.max(start + Nanos::new(SECOND)),
        guest.host.clock
    );
    let event = guest.poll(0).unwrap();
    assert_eq!(event.result, 0x0081_0106);
    assert_eq!(status(&mut guest).1, 0x101);
    assert_ok(guest.read(META, 0, SHIFT, 1).0);
}

#[test]
fn blocks_stay_allocated_on_demand_and_have_the_pattern() {
    for (dword10, byte) in [
        (OVERWRITE | 2 << 4, 0x5a),
        (BLOCK_ERASE, 0),
        (CRYPTO_ERASE, 0),
    ] {
        let mut guest = written();
        assert_ok(guest.admin(sanitize(dword10 | NO_DEALLOCATE, 0x5a5a_5a5a)));
        pass(&mut guest);
        assert_eq!(status(&mut guest).1 & 7, 1);
        for (nsid, lba) in [(META, 0), (META, 1023), (DATA, 0), (DATA, 256)] {
            let (cqe, data) = guest.read(nsid, lba, SHIFT, 1);
            assert_ok(cqe);
            assert!(
                data.iter().all(|b| *b == byte),
                "{dword10:#x}: {nsid} {lba}"
            );
        }
        assert!(guest.read(META, 1, SHIFT, 1).1.iter().all(|b| *b == 0));
        let drive = guest.controller.drive();
        let written = drive.written.iter().filter(|is| **is).count();
        assert_eq!(written, 16, "as before");
        // The write pointer as well.
        assert_status(
            guest.write(DATA, 0, SHIFT, &[0; 4096]),
            Status::ZoneInvalidWrite,
        );
    }
}

#[test]
fn a_failure_is_left_by_another_operation_or_on_demand_if_that_was_allowed() {
    let fail = |guest: &mut Guest<FakeDrive>, dword10| {
        guest.controller.drive_mut().sanitize_fails = true;
        assert_ok(guest.admin(sanitize(dword10, 0)));
        pass(guest);
        assert_eq!(status(guest).1 & 7, 3);
        assert_status(guest.read(META, 0, SHIFT, 1).0, Status::SanitizeFailed);
    };
    let mut guest = written();
    fail(&mut guest, BLOCK_ERASE);
    for dword10 in [EXIT, BLOCK_ERASE | UNRESTRICTED] {
        assert_status(guest.admin(sanitize(dword10, 0)), Status::SanitizeFailed);
    }
    // Nor does a reset help.
    guest.disable();
    assert!(guest.enable() && guest.create_queues(1, 8));
    assert_status(guest.read(META, 0, SHIFT, 1).0, Status::SanitizeFailed);
    assert_ok(guest.admin(sanitize(CRYPTO_ERASE, 0)));
    pass(&mut guest);
    assert_ok(guest.read(META, 0, SHIFT, 1).0);
    fail(&mut guest, BLOCK_ERASE | UNRESTRICTED);
    assert_ok(guest.admin(sanitize(EXIT, 0)));
    assert_ok(guest.read(META, 0, SHIFT, 1).0);
    assert_eq!(status(&mut guest).1 & 7, 3, "what is in the log stays");
    // Where nothing has failed there is nothing to leave.
    assert_ok(guest.admin(sanitize(EXIT, 0)));
    assert_eq!(
        guest.controller.drive().sanitized.status,
        SanitizeStatus::Left
    );
}
