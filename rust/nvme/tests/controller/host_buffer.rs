// SPDX-License-Identifier: GPL-2.0-or-later
//! Host Memory Buffer: what is told of it, what is refused, where it lies, and when it is left alone.

use nvme::ControllerConfig;
use nvme_spec::{AdminOpcode, Cns, FeatureId, HostMemoryDescriptor, Sqe, Status};
use testkit::{command, FakeConfig, FakeDrive, Guest};

use crate::{assert_ok, assert_rejected, assert_status, guest_with, identify, u32_at, META, SHIFT};

const KIB4: u64 = 4096;
/// EHM, and MR beside it.
const ENABLE: u32 = 1;
const RETURN: u32 = 3;

fn guest() -> Guest<FakeDrive> {
    let config = ControllerConfig {
        host_buffer: 16,
        host_buffer_min: 4,
        ..ControllerConfig::default()
    };
    guest_with(config, FakeConfig::default(), 1)
}

/// A list of parts of so many pages, each of which begins at an address, in the guest's memory.
fn list(guest: &mut Guest<FakeDrive>, parts: &[(u64, u32)]) -> u64 {
    let at = guest.alloc(KIB4);
    let entries = parts
        .iter()
        .map(|&(address, pages)| HostMemoryDescriptor { address, pages });
    let bytes: Vec<u8> = entries.flat_map(|entry| entry.encode()).collect();
    guest.poke(at, &bytes);
    at
}

/// Two parts, the second of which lies before the first: 8 pages of 4 KiB.
fn two_parts(guest: &mut Guest<FakeDrive>) -> ([u64; 2], Sqe) {
    let second = guest.alloc(5 * KIB4);
    let first = guest.alloc(3 * KIB4);
    let at = list(guest, &[(first, 3), (second, 5)]);
    ([first, second], command::host_buffer(ENABLE, 8, at, 2))
}

/// What Get Features says: dword 0, and the attributes.
fn get(guest: &mut Guest<FakeDrive>, select: u8) -> (u64, [u32; 4]) {
    let get = command::get_feature(FeatureId::HostMemoryBuffer, select, 0, 0);
    let (cqe, bytes) = guest.receive(0, get, 4096);
    assert_ok(cqe);
    assert!(bytes[16..].iter().all(|byte| *byte == 0));
    (cqe.result, [0, 4, 8, 12].map(|at| u32_at(&bytes, at)))
}

fn lent(guest: &mut Guest<FakeDrive>) -> Vec<(u32, bool)> {
    core::mem::take(&mut guest.controller.drive_mut().lent)
}

/// Reads `blocks` of 4 KiB, which the drive reads from its memory too, and writes there; what it read.
fn read(guest: &mut Guest<FakeDrive>, slba: u64, blocks: u32) -> Option<Vec<u8>> {
    let (cqe, _) = guest.read(META, slba, SHIFT, blocks);
    assert_ok(cqe);
    guest.controller.drive_mut().lent_reads.pop().unwrap()
}

/// Base, figure 275.
#[test]
fn identify_says_what_is_asked_for() {
    let page = identify(&mut guest(), Cns::Controller, 0, 0);
    let words = [272, 276, 332].map(|at| u32_at(&page, at));
    assert_eq!(words, [16, 4, 1], "HMPRE, HMMIN, HMMINDS");
    assert_eq!(page[336..338], [0, 1], "HMMAXD");
}

#[test]
fn a_controller_that_asks_for_none_does_not_know_the_feature() {
    let mut guest = crate::guest(1);
    let page = identify(&mut guest, Cns::Controller, 0, 0);
    assert!([272, 276, 332, 336]
        .iter()
        .all(|at| u32_at(&page, *at) == 0));
    for opcode in [AdminOpcode::GetFeatures, AdminOpcode::SetFeatures] {
        let cqe = guest.admin(command::admin(opcode, 0, 0x0d, 0));
        assert_rejected(&mut guest, cqe, Status::InvalidField, Some((40, 0)));
    }
}

#[test]
fn it_is_enabled_told_and_taken_back() {
    let mut guest = guest();
    assert_eq!(get(&mut guest, 0), (0, [0; 4]));
    let (_, set) = two_parts(&mut guest);
    assert_ok(guest.admin(set));
    assert_eq!(lent(&mut guest), [(8, false)]);
    assert_eq!(get(&mut guest, 0), (1, [8, set.cdw[3], set.cdw[4], 2]));
    // It is never on by default, nor saved.
    for select in [1, 2] {
        assert_eq!(get(&mut guest, select), (0, [0; 4]));
    }
    let capabilities = command::get_feature(FeatureId::HostMemoryBuffer, 3, 0, 0);
    assert_eq!(guest.admin(capabilities).result, 4);
    let mut save = command::host_buffer(0, 0, 0, 0);
    save.cdw[0] |= 1 << 31;
    let cqe = guest.admin(save);
    assert_rejected(&mut guest, cqe, Status::FeatureNotSaveable, Some((43, 7)));
    // Not twice.
    assert_status(guest.admin(set), Status::CommandSequenceError);
    assert_eq!(lent(&mut guest), []);
    for _ in 0..2 {
        assert_ok(guest.admin(command::host_buffer(0, 0, 0, 0)));
    }
    assert_eq!(lent(&mut guest), [(0, false)]);
    assert_eq!(get(&mut guest, 0), (0, [0; 4]));
}

#[test]
fn of_a_larger_buffer_the_first_part_is_used() {
    let mut guest = guest();
    let at = list(&mut guest, &[(0x10_0000, 10), (0x20_0000, 10)]);
    assert_ok(guest.admin(command::host_buffer(ENABLE, 20, at, 2)));
    assert_eq!(lent(&mut guest), [(16, false)]);
}

#[test]
fn every_malformed_buffer_has_its_status() {
    let mut guest = guest();
    let good = list(&mut guest, &[(0x10_0000, 3), (0x20_0000, 5)]);
    let askew = list(&mut guest, &[(0x10_0000, 3), (0x20_0200, 5)]);
    let empty = list(&mut guest, &[(0x10_0000, 8), (0x20_0000, 0)]);
    let wraps = list(&mut guest, &[(0x10_0000, 3), (0u64.wrapping_sub(KIB4), 5)]);
    let set = |pages, list, parts| command::host_buffer(ENABLE, pages, list, parts);
    let invalid = Status::InvalidField;
    let cases = [
        (set(3, good, 2), invalid, Some((48, 0))),
        (set(0, good, 2), invalid, Some((48, 0))),
        // Not what the parts come to.
        (set(7, good, 2), invalid, Some((48, 0))),
        (set(9, good, 2), invalid, Some((48, 0))),
        (set(8, good + 8, 2), invalid, Some((52, 0))),
        (set(8, good, 0), invalid, Some((60, 0))),
        (set(8, good, 257), invalid, Some((60, 0))),
        (set(8, good, u32::MAX), invalid, Some((60, 0))),
        (set(8, askew, 2), invalid, None),
        (set(8, empty, 2), invalid, None),
        (set(8, wraps, 2), invalid, None),
        (set(8, !15, 2), Status::DataTransferError, Some((52, 0))),
        (set(8, 1 << 40, 2), Status::DataTransferError, Some((52, 0))),
    ];
    for (number, (sqe, status, field)) in cases.into_iter().enumerate() {
        let cqe = guest.admin(sqe);
        assert_rejected(&mut guest, cqe, status, field);
        assert_eq!(get(&mut guest, 0), (0, [0; 4]), "case {number}");
    }
    assert_eq!(lent(&mut guest), []);
    assert_ok(guest.admin(set(8, good, 2)));
}

#[test]
fn its_bytes_are_where_the_parts_are() {
    let mut guest = guest();
    let ([first, second], set) = two_parts(&mut guest);
    assert_ok(guest.admin(set));
    guest.poke(first, &[1; 3 * 4096]);
    guest.poke(second, &[2; 5 * 4096]);
    guest.controller.drive_mut().lent_fill = 9;
    assert_eq!(read(&mut guest, 2, 1), Some(vec![1; 4096]));
    assert_eq!(guest.peek(first + 2 * KIB4 - 1, 2), [1, 9]);
    assert_eq!(guest.peek(first + 3 * KIB4 - 1, 1), [9]);
    assert_eq!(read(&mut guest, 3, 1), Some(vec![2; 4096]));
    assert_eq!(guest.peek(second, 4097)[4095..], [9, 2]);
    // The list was copied.
    let at = u64::from(set.cdw[3]);
    guest.poke(at, &[0xff; 32]);
    assert_eq!(read(&mut guest, 7, 1), Some(vec![2; 4096]));
    // Not across parts, nor behind the last.
    assert_eq!(read(&mut guest, 2, 2), None);
    assert_eq!(read(&mut guest, 8, 1), None);
    assert_eq!(
        guest.controller.drive().lent_fills,
        [true, true, true, false, false]
    );
}

#[test]
fn memory_that_is_not_there_is_the_drives_to_do_without() {
    let mut guest = guest();
    let at = list(&mut guest, &[(1 << 40, 8)]);
    assert_ok(guest.admin(command::host_buffer(ENABLE, 8, at, 1)));
    assert_eq!(read(&mut guest, 0, 1), None);
    assert_eq!(guest.controller.drive().lent_fills, [false]);
}

#[test]
fn after_it_was_taken_back_or_a_reset_nothing_touches_it() {
    let mut guest = guest();
    for round in 0..3 {
        let ([first, second], set) = two_parts(&mut guest);
        assert_ok(guest.admin(set));
        assert!(read(&mut guest, 0, 1).is_some());
        match round {
            0 => assert_ok(guest.admin(command::host_buffer(0, 0, 0, 0))),
            1 => {
                guest.disable();
                assert!(guest.enable() && guest.create_queues(1, 16));
            }
            _ => {
                guest.controller.reset(guest.host.clock);
                assert!(guest.enable() && guest.create_queues(1, 16));
            }
        }
        assert_eq!(lent(&mut guest), [(8, false), (0, false)]);
        assert_eq!(get(&mut guest, 0).0, 0);
        guest.poke(first, &[3; 3 * 4096]);
        guest.poke(second, &[3; 5 * 4096]);
        guest.controller.drive_mut().lent_reads.clear();
        let (cqe, _) = guest.read(META, 0, SHIFT, 8);
        assert_ok(cqe);
        assert!(guest.controller.drive().lent_reads.is_empty());
        assert!(guest.peek(first, 3 * 4096).iter().all(|byte| *byte == 3));
        assert!(guest.peek(second, 5 * 4096).iter().all(|byte| *byte == 3));
    }
}

#[test]
fn what_is_returned_is_kept_if_it_is_the_same() {
    let mut guest = guest();
    let ([first, second], set) = two_parts(&mut guest);
    let at = u64::from(set.cdw[3]);
    let same = command::host_buffer(RETURN, 8, at, 2);
    let elsewhere = {
        let at = list(&mut guest, &[(first, 3), (second, 5)]);
        command::host_buffer(RETURN, 8, at, 2)
    };
    // A host that says so of memory that it never gave.
    assert_ok(guest.admin(same));
    assert_eq!(lent(&mut guest), [(8, false)]);
    assert_eq!(get(&mut guest, 0).0, 3, "MR as it was set");
    for (again, is_kept) in [
        (same, true),
        (set, false),
        (elsewhere, false),
        (same, false),
        (same, true),
    ] {
        guest.disable();
        assert!(guest.enable());
        assert_ok(guest.admin(again));
        assert_eq!(lent(&mut guest), [(0, false), (8, is_kept)]);
    }
    // The same list, which says something else.
    guest.disable();
    assert!(guest.enable());
    let [a, b] =
        [(first, 4), (second, 4)].map(|(address, pages)| HostMemoryDescriptor { address, pages });
    guest.poke(at, &[a.encode(), b.encode()].concat());
    assert_ok(guest.admin(same));
    assert_eq!(lent(&mut guest), [(0, false), (8, false)]);
}
