// SPDX-License-Identifier: GPL-2.0-or-later
//! Once queues exist, commands are worked without allocating.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use nvme::ControllerConfig;
use nvme_spec::{NvmOpcode, SglDescriptor, SglType, Sqe, WireZoneAction, ZoneReceiveAction};
use testkit::{command, FakeConfig, FakeDrive, Guest};

/// Allocations while the controller works `sqe` from the doorbell to the completion.
fn allocations(guest: &mut Guest<FakeDrive>, sqe: Sqe) -> u64 {
    guest.push(1, sqe);
    let info = allocation_counter::measure(|| {
        guest.ring(1);
        guest.settle(10);
    });
    let cqe = guest.take(1).unwrap();
    assert_eq!(cqe.status, 0, "{:?}", cqe.status());
    info.count_total + allocation_counter::measure(|| guest.ring_cq(1)).count_total
}

#[test]
fn no_command_allocates() {
    let drive = FakeDrive::new(FakeConfig::default());
    let media = drive.media_bytes() as usize;
    let mut guest = Guest::new(ControllerConfig::default(), drive, 4 << 20, media).unwrap();
    assert!(guest.enable() && guest.create_queues(1, 32));
    let data = guest.alloc(256 << 10);
    // The fake host's count of interrupts allocates for the first one of a vector.
    allocations(&mut guest, command::plain(NvmOpcode::Flush.wire(), 1));
    let sqe = command::blocks(NvmOpcode::Write, 1, 0, 64);
    let write = guest.with_prp(sqe, data + 512, 256 << 10);
    let sqe = command::blocks(NvmOpcode::Read, 1, 0, 64);
    let read = guest.with_prp(sqe, data, 256 << 10);
    let mut sgl = command::blocks(NvmOpcode::Read, 1, 0, 1);
    sgl.flags = 0x40;
    (sgl.prp1, sgl.prp2) = SglDescriptor::new(SglType::DataBlock, data, 4096).data_pointer();
    let append = command::blocks(NvmOpcode::ZoneAppend, 2, 0, 1);
    let append = guest.with_prp(append, data, 4096);
    let filter = nvme_spec::ZoneReportFilter::All;
    let report = command::zone_receive(2, 0, ZoneReceiveAction::Extended, filter, false, 4096);
    let report = guest.with_prp(report, data, 4096);
    for sqe in [
        write,
        read,
        sgl,
        append,
        report,
        command::plain(NvmOpcode::Flush.wire(), 1),
        command::blocks(NvmOpcode::WriteZeroes, 1, 0, 8),
        command::blocks(NvmOpcode::Verify, 1, 0, 8),
        command::zone_send(2, 0, WireZoneAction::Reset, false),
        command::zone_send(2, 0, WireZoneAction::Reset, true),
    ] {
        assert_eq!(allocations(&mut guest, sqe), 0, "{sqe:?}");
    }
}
