// SPDX-License-Identifier: GPL-2.0-or-later
//! Device Self-test: what ends a test, and what the log says of it.

use nvme_spec::{AdminOpcode, LogId, Sqe, Status, NSID_ALL, SELF_TEST_RESULTS};
use testkit::{command, FakeDrive, Guest};
use units::{Instant, Nanos};

use crate::{assert_ok, assert_status, guest, DATA, META};

const SECOND: u64 = 1_000_000_000;
const SHORT: u32 = 1;
const EXTENDED: u32 = 2;
const ABORT: u32 = 0xf;

fn self_test(nsid: u32, code: u32) -> Sqe {
    let mut sqe = command::plain(AdminOpcode::DeviceSelfTest.wire(), nsid);
    sqe.cdw[0] = code;
    sqe
}

/// The first bytes of the log: the test in progress, and its per cents; and the results.
fn log(guest: &mut Guest<FakeDrive>) -> ([u8; 2], Vec<Vec<u8>>) {
    let mark = guest.mark();
    let (cqe, page) = guest.receive(0, command::log(LogId::SelfTest, NSID_ALL, 564, 0), 564);
    assert_ok(cqe);
    guest.release(mark);
    let results = page[4..].chunks(28).map(<[u8]>::to_vec);
    let used = results.take_while(|result| result[0] & 0xf != 0xf);
    ([page[0], page[1]], used.collect())
}

/// Code and outcome of each result, the newest first.
fn results(guest: &mut Guest<FakeDrive>) -> Vec<u8> {
    log(guest).1.iter().map(|result| result[0]).collect()
}

fn pass(guest: &mut Guest<FakeDrive>, nanos: u64) {
    guest.host.clock += Nanos::new(nanos);
    guest.run();
}

#[test]
fn tests_take_their_time_and_the_newest_result_comes_first() {
    let mut guest = guest(1);
    guest.host.clock = Instant::from_nanos(5 * 3_600 * SECOND);
    assert_eq!(log(&mut guest), ([0, 0], vec![]));
    assert_ok(guest.admin(self_test(DATA, SHORT)));
    assert_eq!(guest.host.wake, Some(guest.host.clock + Nanos::new(SECOND)));
    pass(&mut guest, SECOND / 2);
    assert_eq!(log(&mut guest), ([1, 50], vec![]));
    pass(&mut guest, SECOND / 2);
    let (current, done) = log(&mut guest);
    assert_eq!((current, done.len()), ([0, 0], 1));
    // Passed; of namespace 2, five hours after power-on.
    assert_eq!(done[0][..5], [0x10, 0, 1, 0, 5]);
    assert_eq!(done[0][12..16], DATA.to_le_bytes());
    assert_ok(guest.admin(self_test(0, EXTENDED)));
    pass(&mut guest, 9 * SECOND);
    assert_eq!(log(&mut guest).0, [2, 90]);
    pass(&mut guest, SECOND);
    assert_eq!(results(&mut guest), [0x20, 0x10]);
    assert_eq!(log(&mut guest).1[0][2], 0, "of no namespace");
    assert_eq!(guest.host.wake, None);
}

#[test]
fn there_is_one_at_a_time_and_commands_are_checked() {
    let mut guest = guest(1);
    assert_ok(guest.admin(self_test(0, ABORT)));
    assert_eq!(results(&mut guest), []);
    for (nsid, code, status) in [
        (0, 0, Status::InvalidField),
        (0, 3, Status::InvalidField),
        (3, SHORT, Status::InvalidNamespace),
    ] {
        assert_status(guest.admin(self_test(nsid, code)), status);
    }
    assert_ok(guest.admin(self_test(NSID_ALL, EXTENDED)));
    for code in [SHORT, EXTENDED] {
        let cqe = guest.admin(self_test(0, code));
        assert_status(cqe, Status::SelfTestInProgress);
    }
    assert_ok(guest.admin(self_test(0, ABORT)));
    assert_eq!(results(&mut guest), [0x21]);
    pass(&mut guest, 20 * SECOND);
    assert_eq!(results(&mut guest), [0x21]);
    for _ in 0..2 * SELF_TEST_RESULTS {
        assert_ok(guest.admin(self_test(0, SHORT)));
        pass(&mut guest, SECOND);
    }
    assert_eq!(results(&mut guest), [0x10; SELF_TEST_RESULTS]);
}

#[test]
fn a_reset_or_a_power_cut_ends_a_short_test_and_not_an_extended_one() {
    for is_cut in [false, true] {
        for (code, expected) in [(SHORT, vec![0x12]), (EXTENDED, vec![])] {
            let mut guest = guest(1);
            assert_ok(guest.admin(self_test(0, code)));
            let now = guest.host.clock;
            if is_cut {
                guest.controller.cut_power_at(Some(now));
                guest.run();
                guest.controller.reset(now);
            } else {
                guest.disable();
            }
            assert!(guest.enable() && guest.create_queues(1, 8));
            assert_eq!(results(&mut guest), expected);
            pass(&mut guest, 10 * SECOND);
            let expected = if code == SHORT { 0x12 } else { 0x20 };
            assert_eq!(results(&mut guest), [expected]);
        }
    }
}

#[test]
fn a_degraded_drive_fails_in_the_smart_segment() {
    let mut guest = guest(1);
    guest.controller.drive_mut().health.degraded = true;
    assert_ok(guest.admin(self_test(META, EXTENDED)));
    pass(&mut guest, 10 * SECOND);
    assert_eq!(log(&mut guest).1[0][..3], [0x27, 2, 1]);
}

#[test]
fn a_format_of_its_namespace_and_a_sanitize_operation_end_it() {
    let mut guest = guest(1);
    let format = |nsid| {
        let mut sqe = command::plain(AdminOpcode::FormatNvm.wire(), nsid);
        sqe.cdw[0] = 1;
        sqe
    };
    for (tested, formatted, ends) in [
        (META, DATA, false),
        (META, META, true),
        (NSID_ALL, DATA, true),
        (DATA, NSID_ALL, true),
        (0, META, false),
    ] {
        assert_ok(guest.admin(self_test(tested, EXTENDED)));
        assert_ok(guest.admin(format(formatted)));
        assert_eq!(log(&mut guest).0[0] == 0, ends, "{tested} {formatted}");
        assert_ok(guest.admin(self_test(0, ABORT)));
        assert_eq!(results(&mut guest)[0], if ends { 0x24 } else { 0x21 });
    }
    assert_ok(guest.admin(self_test(0, SHORT)));
    let mut sanitize = command::plain(AdminOpcode::Sanitize.wire(), 0);
    sanitize.cdw[0] = 2;
    assert_ok(guest.admin(sanitize));
    guest.settle(1_000);
    assert_eq!(results(&mut guest)[0], 0x19);
}
