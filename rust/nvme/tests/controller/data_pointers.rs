// SPDX-License-Identifier: GPL-2.0-or-later
//! PRPs and SGLs, well and badly formed.

use nvme::ControllerConfig;
use nvme_spec::{NvmOpcode, SglDescriptor, SglType, Sqe, Status, SGL_BYTES};
use testkit::{command, FakeConfig, FakeDrive, Guest};

use crate::{
    assert_ok, assert_rejected, assert_status, guest, guest_with, pattern, MEMORY, META, SHIFT,
};

fn read(blocks: u32) -> Sqe {
    command::blocks(NvmOpcode::Read, META, 0, blocks)
}

fn write(blocks: u32) -> Sqe {
    command::blocks(NvmOpcode::Write, META, 0, blocks)
}

/// A guest whose blocks 0 to 63 hold the pattern.
fn filled() -> (Guest<FakeDrive>, Vec<u8>) {
    let mut guest = guest(1);
    let data = pattern(0x5a, 64 << SHIFT);
    assert_ok(guest.write(META, 0, SHIFT, &data));
    (guest, data)
}

fn list(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_le_bytes()).collect()
}

#[test]
fn prps_start_anywhere_in_a_page() {
    let (mut guest, data) = filled();
    let at = guest.alloc(70 << 12);
    for start in [0, 4, 512, 4092] {
        for blocks in [1, 2, 3, 64] {
            let len = (blocks as usize) << SHIFT;
            let mark = guest.mark();
            guest.poke(at, &vec![0xee; 70 << 12]);
            let sqe = guest.with_prp(read(blocks), at + start, len as u64);
            assert_ok(guest.io(sqe));
            guest.release(mark);
            assert!(
                guest.peek(at + start, len) == data[..len],
                "{start} {blocks}"
            );
            let around = guest.peek(at + start + len as u64, 64);
            assert!(around.iter().all(|&b| b == 0xee), "nothing past the end");
        }
    }
}

#[test]
fn pages_may_be_scattered_and_lists_may_start_anywhere_and_chain() {
    let (mut guest, data) = filled();
    let pages = guest.alloc(64 << 12);
    // Every page in reverse order, so that no two touch.
    let page = |i: u64| pages + (63 - i) * 4096;
    let chain = guest.alloc(4096);
    let lists = guest.alloc(4096);
    // The list starts in the last four slots of its page; the last of them is the next list.
    let first = [page(1), page(2), page(3), chain];
    guest.poke(lists + 4096 - 32, &list(&first));
    let rest: Vec<_> = (4..64).map(page).collect();
    guest.poke(chain, &list(&rest));
    let mut sqe = read(64);
    (sqe.prp1, sqe.prp2) = (page(0), lists + 4096 - 32);
    assert_ok(guest.io(sqe));
    for i in 0..64 {
        let expected = &data[(i as usize) << 12..][..4096];
        assert!(guest.peek(page(i), 4096) == expected, "page {i}");
    }
    // And back: write the scattered pages elsewhere.
    let mut sqe = write(64);
    sqe.set_slba(200);
    (sqe.prp1, sqe.prp2) = (page(0), lists + 4096 - 32);
    assert_ok(guest.io(sqe));
    assert!(guest.read(META, 200, SHIFT, 64).1 == data);
}

#[test]
fn the_last_slot_of_a_list_is_data_if_nothing_follows() {
    let (mut guest, data) = filled();
    let pages = guest.alloc(8 << 12);
    let lists = guest.alloc(4096);
    guest.poke(lists + 4096 - 16, &list(&[pages + 4096, pages + 8192]));
    let mut sqe = read(3);
    (sqe.prp1, sqe.prp2) = (pages, lists + 4096 - 16);
    assert_ok(guest.io(sqe));
    assert!(guest.peek(pages, 3 << 12) == data[..3 << 12]);
}

#[test]
fn every_malformed_prp_has_its_status() {
    let (mut guest, _) = filled();
    let at = guest.alloc(4096);
    guest.poke(at, &list(&[0x4000, 0x5004]));
    let end = MEMORY as u64;
    let cases = [
        (1, 0x4001, 0, Status::PrpOffsetInvalid, (24, 0)),
        (2, 0x4000, 0x5008, Status::PrpOffsetInvalid, (32, 0)),
        (3, 0x4000, at + 4, Status::PrpOffsetInvalid, (32, 0)),
        (3, 0x4000, at, Status::PrpOffsetInvalid, (32, 0)),
        (3, 0x4000, end, Status::DataTransferError, (24, 0)),
        (1, end, 0, Status::DataTransferError, (24, 0)),
        (1, u64::MAX - 4095, 0, Status::DataTransferError, (24, 0)),
        (2, 0x4000, end, Status::DataTransferError, (24, 0)),
    ];
    for (blocks, prp1, prp2, status, field) in cases {
        for mut sqe in [read(blocks), write(blocks)] {
            (sqe.prp1, sqe.prp2) = (prp1, prp2);
            let cqe = guest.io(sqe);
            assert_rejected(&mut guest, cqe, status, Some(field));
        }
    }
}

#[test]
fn lists_that_loop_end() {
    let config = ControllerConfig {
        mdts: 11,
        ..ControllerConfig::default()
    };
    let drive = FakeConfig {
        conventional_bytes: 16 << 20,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(config, drive, 1);
    let at = guest.alloc(4096);
    // A full page of entries, all pointing at the list itself.
    guest.poke(at, &list(&[at; 512]));
    let mut sqe = read(2048);
    (sqe.prp1, sqe.prp2) = (at, at);
    assert_ok(guest.io(sqe));
    // A segment that is its own successor.
    let segment = SglDescriptor::new(SglType::Segment, at, 16);
    guest.poke(at, &segment.encode());
    let sqe = with_sgl(read(2048), segment);
    assert_status(guest.io(sqe), Status::InvalidSglCount);
}

fn with_sgl(mut sqe: Sqe, descriptor: SglDescriptor) -> Sqe {
    sqe.flags |= 0x40;
    (sqe.prp1, sqe.prp2) = descriptor.data_pointer();
    sqe
}

fn segment(guest: &mut Guest<FakeDrive>, descriptors: &[SglDescriptor]) -> (u64, u32) {
    let bytes: Vec<u8> = descriptors.iter().flat_map(|d| d.encode()).collect();
    let at = guest.alloc(bytes.len() as u64);
    guest.poke(at, &bytes);
    (at, bytes.len() as u32)
}

#[test]
fn sgls_describe_bytes_anywhere() {
    let (mut guest, data) = filled();
    let at = guest.alloc(70 << 12);
    // One block in the command itself, at an odd address.
    let sqe = with_sgl(
        read(1),
        SglDescriptor::new(SglType::DataBlock, at + 3, 4096),
    );
    assert_ok(guest.io(sqe));
    assert!(guest.peek(at + 3, 4096) == data[..4096]);
    // Two segments of odd pieces with a bit bucket between them.
    let block = |offset: u64, len| SglDescriptor::new(SglType::DataBlock, at + offset, len);
    let bucket = SglDescriptor::new(SglType::BitBucket, 0, 1000);
    let (last, last_len) = segment(&mut guest, &[block(0x3001, 8192 - 1007 - 5)]);
    let next = SglDescriptor::new(SglType::LastSegment, last, last_len);
    let (first, first_len) = segment(&mut guest, &[block(0, 7), bucket, block(0x2000, 5), next]);
    let head = SglDescriptor::new(SglType::Segment, first, first_len);
    assert_ok(guest.io(with_sgl(read(2), head)));
    assert_eq!(guest.peek(at, 7), data[..7]);
    assert_eq!(guest.peek(at + 0x2000, 5), data[1007..1012]);
    assert!(guest.peek(at + 0x3001, 7180) == data[1012..8192]);
}

#[test]
fn sgls_write_too_and_ignore_buckets_and_excess() {
    let mut guest = guest(1);
    let data = pattern(3, 1 << SHIFT);
    let at = guest.alloc(8192);
    guest.poke(at, &data);
    let (list, len) = segment(
        &mut guest,
        &[
            SglDescriptor::new(SglType::DataBlock, at, 1000),
            SglDescriptor::new(SglType::BitBucket, 0, 77),
            SglDescriptor::new(SglType::DataBlock, at + 1000, 7000),
        ],
    );
    let head = SglDescriptor::new(SglType::LastSegment, list, len);
    assert_ok(guest.io(with_sgl(write(1), head)));
    assert!(guest.read(META, 0, SHIFT, 1).1 == data);
}

#[test]
fn every_malformed_sgl_has_its_status() {
    let (mut guest, _) = filled();
    let at = guest.alloc(8192);
    let block = SglDescriptor::new(SglType::DataBlock, at, 4096);
    let short = SglDescriptor::new(SglType::DataBlock, at, 4095);
    let (list, _) = segment(&mut guest, &[short, block]);
    let (nested, _) = segment(
        &mut guest,
        &[SglDescriptor::new(SglType::LastSegment, list, 16), block],
    );
    let last = |at, len| SglDescriptor::new(SglType::LastSegment, at, len);
    let middle = |at, len| SglDescriptor::new(SglType::Segment, at, len);
    let subtype = SglDescriptor {
        identifier: 0x01,
        ..block
    };
    let unknown = SglDescriptor {
        identifier: 0x50,
        ..block
    };
    let (bad_entry, _) = segment(&mut guest, &[unknown]);
    let end = MEMORY as u64;
    let cases = [
        (short, Status::SglLengthInvalid),
        (subtype, Status::SglTypeInvalid),
        (unknown, Status::SglTypeInvalid),
        (last(bad_entry, 16), Status::SglTypeInvalid),
        (last(list, 0), Status::InvalidSglSegment),
        (last(list, 20), Status::InvalidSglSegment),
        (last(list, 16), Status::SglLengthInvalid),
        // A segment that is not the last must name its successor, at its end.
        (middle(list, 16), Status::InvalidSglSegment),
        (middle(nested, 32), Status::InvalidSglSegment),
        // The last segment has none.
        (last(nested, 32), Status::InvalidSglSegment),
        (last(end, 16), Status::DataTransferError),
        (
            SglDescriptor::new(SglType::DataBlock, end - 8, 4096),
            Status::DataTransferError,
        ),
    ];
    for (descriptor, status) in cases {
        for sqe in [read(1), write(1)] {
            let cqe = guest.io(with_sgl(sqe, descriptor));
            assert_rejected(&mut guest, cqe, status, Some((24, 0)));
        }
    }
}

#[test]
fn an_sgl_of_crumbs_is_refused_at_a_bound() {
    let (mut guest, _) = filled();
    let crumbs: Vec<_> = (0..4096)
        .map(|i| SglDescriptor::new(SglType::DataBlock, 0x4000 + i * 2, 1))
        .collect();
    let (list, len) = segment(&mut guest, &crumbs);
    assert_eq!(len as usize, 4096 * SGL_BYTES);
    let head = SglDescriptor::new(SglType::LastSegment, list, len);
    assert_status(guest.io(with_sgl(read(1), head)), Status::InvalidSglCount);
}

#[test]
fn admin_commands_take_no_sgl() {
    let mut guest = guest(0);
    let mut sqe = command::identify(nvme_spec::Cns::Controller, 0, 0);
    sqe.flags = 0x40;
    let cqe = guest.admin(sqe);
    assert_rejected(&mut guest, cqe, Status::InvalidField, Some((1, 6)));
}

#[test]
fn dma_into_the_drives_own_window_is_a_transfer_error() {
    let (mut guest, data) = filled();
    guest.host.hole = 0x8000..0x9000;
    for mut sqe in [read(1), write(1)] {
        sqe.prp1 = 0x8000;
        let cqe = guest.io(sqe);
        assert_rejected(&mut guest, cqe, Status::DataTransferError, Some((24, 0)));
    }
    assert!(guest.read(META, 0, SHIFT, 1).1 == data[..4096]);
}
