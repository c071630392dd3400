// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands of the NVM command set.

use ::command::{Command, Error};
use nvme::ControllerConfig;
use nvme_spec::{CopyRange, DsmRange, FeatureId, NvmOpcode, Sqe, Status, NSID_ALL};
use testkit::{command, FakeConfig, FakeDrive, Guest};
use units::{Instant, Nanos, Sector};
use zone::State;

use crate::{
    assert_ok, assert_rejected, assert_status, guest, guest_with, pattern, DATA, META, SHIFT,
};

#[test]
fn what_is_written_is_read_back_at_either_lba_size() {
    for shift in [9, 12] {
        let drive = FakeConfig {
            lba_shift: shift,
            ..FakeConfig::default()
        };
        let mut guest = guest_with(ControllerConfig::default(), drive, 1);
        for (lba, blocks) in [(0, 1), (7, 3), (20, 16), (100, 64)] {
            let data = pattern(lba as u8, blocks << shift);
            assert_ok(guest.write(META, lba, shift, &data));
            let (cqe, back) = guest.read(META, lba, shift, blocks as u32);
            assert_ok(cqe);
            assert!(back == data, "lba {lba}");
        }
    }
}

#[test]
fn a_command_completes_when_the_drive_says_and_not_before() {
    let mut guest = guest(1);
    guest.host.clock = Instant::from_nanos(1_000_000);
    let start = guest.host.clock;
    guest.submit(1, command::plain(NvmOpcode::Flush.wire(), META));
    assert_eq!(guest.poll(1), None);
    assert_eq!(guest.host.wake, Some(start + Nanos::from_micros(10)));
    guest.host.clock = start + Nanos::new(9_999);
    guest.run();
    assert_eq!(guest.poll(1), None);
    guest.host.clock = start + Nanos::new(10_000);
    guest.run();
    assert_ok(guest.poll(1).unwrap());
}

#[test]
fn without_latency_a_command_completes_in_the_doorbell_write() {
    let drive = FakeConfig {
        latency: Nanos::ZERO,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(ControllerConfig::default(), drive, 1);
    guest.submit(1, command::plain(NvmOpcode::Flush.wire(), META));
    assert_ok(guest.poll(1).unwrap());
    assert_eq!(guest.host.wake, None);
}

#[test]
fn every_malformed_command_has_its_status() {
    let mut guest = guest(1);
    let rw = |nsid, slba, blocks| command::blocks(NvmOpcode::Read, nsid, slba, blocks);
    let psdt = |mut sqe: Sqe| {
        sqe.flags = 0xc0;
        sqe
    };
    let blocks = (4 << 20) >> SHIFT;
    let cases = [
        (command::plain(0x7f, META), Status::InvalidOpcode, (0, 0)),
        (rw(0, 0, 1), Status::InvalidNamespace, (4, 0)),
        (rw(3, 0, 1), Status::InvalidNamespace, (4, 0)),
        (rw(NSID_ALL, 0, 1), Status::InvalidNamespace, (4, 0)),
        (rw(META, blocks, 1), Status::LbaOutOfRange, (40, 0)),
        (rw(META, blocks - 1, 2), Status::LbaOutOfRange, (40, 0)),
        (rw(META, u64::MAX, 2), Status::LbaOutOfRange, (40, 0)),
        (rw(META, 0, 65), Status::InvalidField, (48, 0)),
        (psdt(rw(META, 0, 1)), Status::InvalidField, (1, 6)),
        (
            command::blocks(NvmOpcode::ZoneAppend, META, 0, 1),
            Status::InvalidOpcode,
            (0, 0),
        ),
    ];
    for (sqe, status, field) in cases {
        let cqe = guest.io(sqe);
        assert_rejected(&mut guest, cqe, status, Some(field));
    }
    assert!(guest.controller.drive().submitted.is_empty());
}

#[test]
fn each_error_of_the_drive_has_its_status() {
    let mut guest = guest(1);
    for (error, status) in [
        (Error::OutOfRange, Status::LbaOutOfRange),
        (Error::CapacityExceeded, Status::CapacityExceeded),
        (Error::NotZoneStart, Status::InvalidField),
        (Error::Unsupported, Status::InvalidField),
        (Error::Internal, Status::InternalError),
        (Error::Unreadable(Sector::new(42)), Status::UnrecoveredRead),
        (Error::Unwritable(Sector::new(42)), Status::WriteFault),
        (Error::Zone(zone::Error::Boundary), Status::ZoneBoundary),
        (Error::Zone(zone::Error::Full), Status::ZoneFull),
        (Error::Zone(zone::Error::ReadOnly), Status::ZoneReadOnly),
        (Error::Zone(zone::Error::Offline), Status::ZoneOffline),
        (
            Error::Zone(zone::Error::InvalidWrite),
            Status::ZoneInvalidWrite,
        ),
        (
            Error::Zone(zone::Error::TooManyActive),
            Status::TooManyActive,
        ),
        (Error::Zone(zone::Error::TooManyOpen), Status::TooManyOpen),
        (
            Error::Zone(zone::Error::InvalidTransition),
            Status::InvalidTransition,
        ),
        (
            Error::Zone(zone::Error::InvalidOperation),
            Status::InvalidZoneOperation,
        ),
        (Error::Zone(zone::Error::Granularity), Status::InvalidField),
        (Error::Zone(zone::Error::NoArea), Status::ZrwaUnavailable),
        (Error::Zone(zone::Error::NoSuchZone), Status::LbaOutOfRange),
    ] {
        guest.controller.drive_mut().fail_next = Some(error);
        let before = guest.host.clock;
        let cqe = guest.write(META, 5, SHIFT, &pattern(1, 4096));
        assert_eq!(
            guest.host.clock,
            before + Nanos::from_micros(10),
            "when the drive says"
        );
        let is_media = matches!(error, Error::Unreadable(_) | Error::Unwritable(_));
        let field = (!is_media).then_some((40, 0));
        assert_rejected(&mut guest, cqe, status, field);
        // In LBAs, also where the media failed, which is in the middle of one here.
        let (_, log) = guest.receive(0, command::log(nvme_spec::LogId::Error, 0, 64, 0), 64);
        assert_eq!(log[16..24], 5_u64.to_le_bytes());
    }
    let (_, back) = guest.read(META, 5, SHIFT, 1);
    assert!(back.iter().all(|&b| b == 0), "a failed write moves no data");
}

#[test]
fn force_unit_access_is_asked_for_by_the_command_or_by_an_absent_cache() {
    let mut guest = guest(1);
    let fua = |guest: &Guest<FakeDrive>| match guest.controller.drive().submitted.last().unwrap().1
    {
        Command::Write { fua, .. }
        | Command::Append { fua, .. }
        | Command::WriteZeroes { fua, .. } => fua,
        other => panic!("{other:?}"),
    };
    let data = pattern(0, 4096);
    for cached in [true, false] {
        if !cached {
            assert_ok(guest.admin(command::set_feature(FeatureId::VolatileWriteCache, 0, 0)));
        }
        for (opcode, nsid) in [
            (NvmOpcode::Write, META),
            (NvmOpcode::WriteZeroes, META),
            (NvmOpcode::ZoneAppend, DATA),
        ] {
            let mut sqe = command::blocks(opcode, nsid, 0, 1);
            assert_ok(guest.send(1, sqe, &data));
            assert_eq!(fua(&guest), !cached, "{opcode:?}");
            sqe.cdw[2] |= 1 << 30;
            assert_ok(guest.send(1, sqe, &data));
            assert!(fua(&guest), "{opcode:?}");
        }
        let mut sqe = copy(META, 8, 1);
        assert_ok(guest.send(1, sqe, &sources(&[(0, 1)])));
        assert_eq!(fua(&guest), !cached);
        sqe.cdw[2] |= 1 << 30;
        assert_ok(guest.send(1, sqe, &sources(&[(0, 1)])));
        assert!(fua(&guest));
    }
}

#[test]
fn flush_is_for_one_namespace_or_all() {
    let mut guest = guest(1);
    assert_ok(guest.io(command::plain(NvmOpcode::Flush.wire(), DATA)));
    assert_ok(guest.io(command::plain(NvmOpcode::Flush.wire(), NSID_ALL)));
    let seen: Vec<_> = guest
        .controller
        .drive()
        .submitted
        .iter()
        .map(|(ns, _)| ns.0)
        .collect();
    assert_eq!(seen, [1, 0, 1]);
}

#[test]
fn write_zeroes_and_deallocate_leave_zeroes_and_give_memory_back() {
    let mut guest = guest(1);
    assert_ok(guest.write(META, 0, SHIFT, &pattern(3, 16 << SHIFT)));
    assert_ok(guest.io(command::blocks(NvmOpcode::WriteZeroes, META, 2, 4)));
    let (_, back) = guest.read(META, 0, SHIFT, 16);
    assert!(back[2 << SHIFT..6 << SHIFT].iter().all(|&b| b == 0));
    assert_eq!(back[..2 << SHIFT], pattern(3, 16 << SHIFT)[..2 << SHIFT]);
    assert_eq!(guest.host.discarded, 4 << SHIFT);
    let ranges: Vec<u8> = [(8, 2), (12, 1), (15, 0)]
        .into_iter()
        .flat_map(|(slba, blocks)| DsmRange { slba, blocks }.encode())
        .collect();
    let mut sqe = command::plain(NvmOpcode::DatasetManagement.wire(), META);
    (sqe.cdw[0], sqe.cdw[1]) = (2, 4);
    assert_ok(guest.send(1, sqe, &ranges));
    let (_, back) = guest.read(META, 8, SHIFT, 5);
    assert!(back[..2 << SHIFT].iter().all(|&b| b == 0));
    assert!(back[2 << SHIFT..4 << SHIFT].iter().any(|&b| b != 0));
    assert!(back[4 << SHIFT..].iter().all(|&b| b == 0));
    assert_eq!(guest.host.discarded, 7 << SHIFT);
    // Hints alone deallocate nothing; a range past the end is refused.
    sqe.cdw[1] = 3;
    assert_ok(guest.send(1, sqe, &ranges));
    assert_eq!(guest.host.discarded, 7 << SHIFT);
    (sqe.cdw[0], sqe.cdw[1]) = (0, 4);
    let past = DsmRange {
        slba: 1023,
        blocks: 2,
    }
    .encode();
    assert_status(guest.send(1, sqe, &past), Status::LbaOutOfRange);
}

#[test]
fn write_uncorrectable_is_a_write_without_data_that_marks_its_blocks() {
    let mut guest = guest(1);
    assert_ok(guest.write(META, 0, SHIFT, &pattern(3, 16 << SHIFT)));
    let mark = |nsid, at, blocks| command::blocks(NvmOpcode::WriteUncorrectable, nsid, at, blocks);
    assert_ok(guest.io(mark(META, 2, 3)));
    let expected = Command::Write {
        at: Sector::new(16),
        sectors: 24,
        fua: false,
        internal: true,
    };
    let drive = guest.controller.drive();
    assert_eq!(drive.submitted.last().unwrap().1, expected);
    assert!(drive.marked[0].iter().copied().eq(16..40));
    assert_eq!(
        guest.host.discarded,
        3 << SHIFT,
        "nothing is left of the data"
    );
    // What fails marks nothing: the field at fault is that of a write.
    let blocks = (4 << 20) >> SHIFT;
    for (sqe, status, field) in [
        (mark(META, blocks - 1, 2), Status::LbaOutOfRange, (40, 0)),
        (mark(META, 0, 2049), Status::InvalidField, (48, 0)),
        (mark(DATA, 1, 1), Status::ZoneInvalidWrite, (40, 0)),
        (mark(DATA, 0, 193), Status::ZoneBoundary, (40, 0)),
    ] {
        let cqe = guest.io(sqe);
        assert_rejected(&mut guest, cqe, status, Some(field));
    }
    // Nor what the drive has no room to remember, and that is not written either.
    guest.controller.drive_mut().most_marked = 31;
    let before = guest.controller.drive().submitted.len();
    let cqe = guest.io(mark(META, 8, 1));
    assert_rejected(&mut guest, cqe, Status::CapacityExceeded, Some((48, 0)));
    let drive = guest.controller.drive();
    assert_eq!(drive.submitted.len(), before);
    assert_eq!(drive.marked, [(16..40).collect(), [].into()]);
    assert_ok(guest.io(mark(DATA, 0, 1)));
    assert_eq!(guest.controller.drive().marked[1].len(), 8);
}

#[test]
fn work_without_data_is_bounded_too() {
    let mut guest = guest(1);
    for opcode in [
        NvmOpcode::Verify,
        NvmOpcode::WriteZeroes,
        NvmOpcode::WriteUncorrectable,
    ] {
        let cqe = guest.io(command::blocks(opcode, META, 0, 2049));
        assert_rejected(&mut guest, cqe, Status::InvalidField, Some((48, 0)));
    }
    // 129 x 2048 blocks are more than 2^18, in a list that is valid otherwise.
    let all = DsmRange {
        slba: 0,
        blocks: 2048,
    };
    let list = [all.encode(); 256].concat();
    let mut sqe = command::plain(NvmOpcode::DatasetManagement.wire(), DATA);
    sqe.cdw[1] = 4;
    for (ranges, status) in [(128, None), (129, Some(())), (256, Some(()))] {
        sqe.cdw[0] = ranges - 1;
        let cqe = guest.send(1, sqe, &list);
        match status {
            None => assert_ok(cqe),
            Some(()) => {
                let field = Some((40, 0));
                assert_rejected(&mut guest, cqe, Status::CommandSizeLimit, field);
            }
        }
    }
    assert_eq!(guest.host.discarded, 0, "on zones it is but a hint");
}

#[test]
fn unwritten_blocks_are_an_error_once_asked_for() {
    let mut guest = guest(1);
    assert_ok(guest.write(META, 0, SHIFT, &pattern(3, 4096)));
    assert_ok(guest.write(DATA, 0, SHIFT, &pattern(3, 4096)));
    // Of each namespace apart.
    for asked in [0, META, DATA] {
        let dulbe = |nsid| {
            let on = u32::from(nsid == asked) << 16;
            command::set_feature(FeatureId::ErrorRecovery, nsid, on)
        };
        for nsid in [META, DATA] {
            assert_ok(guest.admin(dulbe(nsid)));
        }
        for nsid in [META, DATA] {
            assert_ok(guest.read(nsid, 0, SHIFT, 1).0);
            let cqe = guest.read(nsid, 0, SHIFT, 2).0;
            if nsid == asked {
                assert_status(cqe, Status::Unwritten);
            } else {
                assert_ok(cqe);
            }
        }
    }
    // A zone's own errors come first.
    assert_status(guest.read(DATA, 255, SHIFT, 2).0, Status::ZoneBoundary);
    let drive = guest.controller.drive_mut();
    drive.inject_zone_state(1, State::Offline);
    assert_status(guest.read(DATA, 256, SHIFT, 1).0, Status::ZoneOffline);
}

#[test]
fn compare_finds_the_first_block_that_differs() {
    let mut guest = guest(1);
    let mut data = pattern(9, 8 << SHIFT);
    assert_ok(guest.write(META, 4, SHIFT, &data));
    let sqe = command::blocks(NvmOpcode::Compare, META, 4, 8);
    assert_ok(guest.send(1, sqe, &data));
    data[5 << SHIFT] ^= 1;
    let cqe = guest.send(1, sqe, &data);
    assert_rejected(&mut guest, cqe, Status::CompareFailure, Some((40, 0)));
    let (_, log) = guest.receive(0, command::log(nvme_spec::LogId::Error, 0, 64, 0), 64);
    assert_eq!(log[16..24], 9_u64.to_le_bytes());
}

#[test]
fn verify_reads_inside_the_drive_and_may_exceed_the_transfer_limit() {
    let mut guest = guest(1);
    assert_ok(guest.io(command::blocks(NvmOpcode::Verify, META, 0, 1024)));
    let expected = Command::Read {
        at: Sector::new(0),
        sectors: 1024 << (SHIFT - 9),
        internal: true,
    };
    assert_eq!(
        guest.controller.drive().submitted.last().unwrap().1,
        expected
    );
    let cqe = guest.io(command::blocks(NvmOpcode::Verify, META, 1000, 25));
    assert_status(cqe, Status::LbaOutOfRange);
}

fn copy(nsid: u32, to: u64, ranges: usize) -> Sqe {
    let mut sqe = command::plain(NvmOpcode::Copy.wire(), nsid);
    sqe.set_slba(to);
    sqe.cdw[2] = ranges as u32 - 1;
    sqe
}

fn sources(ranges: &[(u64, u16)]) -> Vec<u8> {
    ranges
        .iter()
        .flat_map(|&(slba, blocks)| {
            CopyRange {
                slba,
                blocks_z: blocks - 1,
            }
            .encode()
        })
        .collect()
}

#[test]
fn copy_gathers_its_sources() {
    let mut guest = guest(1);
    let data = pattern(5, 16 << SHIFT);
    assert_ok(guest.write(META, 0, SHIFT, &data));
    assert_ok(guest.send(1, copy(META, 100, 2), &sources(&[(3, 2), (10, 4)])));
    let (_, back) = guest.read(META, 100, SHIFT, 6);
    assert_eq!(back[..2 << SHIFT], data[3 << SHIFT..5 << SHIFT]);
    assert_eq!(back[2 << SHIFT..], data[10 << SHIFT..14 << SHIFT]);
    // Into a zone, at its write pointer only.
    assert_ok(guest.write(DATA, 0, SHIFT, &data));
    assert_ok(guest.send(1, copy(DATA, 256, 1), &sources(&[(2, 3)])));
    let (_, back) = guest.read(DATA, 256, SHIFT, 3);
    assert_eq!(back, data[2 << SHIFT..5 << SHIFT]);
    let cqe = guest.send(1, copy(DATA, 256, 1), &sources(&[(2, 3)]));
    assert_status(cqe, Status::ZoneInvalidWrite);
}

#[test]
fn copy_is_limited_and_checked_before_anything_moves() {
    let mut guest = guest(1);
    let many = vec![(0, 1); 129];
    let cases = [
        (copy(META, 0, 129), sources(&many), Status::CommandSizeLimit),
        (
            copy(META, 0, 1),
            sources(&[(0, 65)]),
            Status::CommandSizeLimit,
        ),
        (
            copy(META, 0, 5),
            sources(&[(0, 64); 5]),
            Status::CommandSizeLimit,
        ),
        (
            copy(META, 1023, 1),
            sources(&[(0, 2)]),
            Status::LbaOutOfRange,
        ),
        (
            copy(META, 0, 2),
            sources(&[(0, 1), (1023, 2)]),
            Status::LbaOutOfRange,
        ),
    ];
    for (sqe, list, status) in cases {
        assert_status(guest.send(1, sqe, &list), status);
    }
    let mut sqe = copy(META, 0, 1);
    sqe.cdw[2] |= 1 << 8;
    assert_status(
        guest.send(1, sqe, &sources(&[(0, 1)])),
        Status::InvalidField,
    );
    assert!(guest.controller.drive().submitted.is_empty());
}
