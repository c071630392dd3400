// SPDX-License-Identifier: GPL-2.0-or-later
//! Identify and log pages.

use nvme::ControllerConfig;
use nvme_spec::{AdminOpcode, Cns, FeatureId, LogId, NvmOpcode, Status, NSID_ALL};
use testkit::{command, FakeConfig};
use units::Instant;

use crate::{
    assert_ok, assert_rejected, assert_status, guest, guest_with, identify, pattern, u16_at,
    u32_at, u64_at, DATA, META, SHIFT,
};

#[test]
fn the_controller_describes_itself() {
    let mut guest = guest(0);
    let page = identify(&mut guest, Cns::Controller, 0, 0);
    assert_eq!(&page[4..24], b"conzone             ");
    assert_eq!((page[77], page[111]), (6, 1));
    assert_ne!(u16_at(&page, 78), 0);
    assert_eq!(u32_at(&page, 80), 0x0002_0000);
    assert_eq!(u32_at(&page, 516), 2);
    assert_eq!(page[525] & 1, 1);
    let nqn = String::from_utf8(page[768..1024].to_vec()).unwrap();
    assert!(nqn.starts_with("nqn.2014-08.org.nvmexpress:uuid:"));
    // What is announced answers something better than Invalid Opcode.
    let oncs = u16_at(&page, 520);
    for (bit, opcode) in [
        (0, NvmOpcode::Compare),
        (1, NvmOpcode::WriteUncorrectable),
        (2, NvmOpcode::DatasetManagement),
        (3, NvmOpcode::WriteZeroes),
        (7, NvmOpcode::Verify),
        (8, NvmOpcode::Copy),
    ] {
        assert_ne!(oncs & 1 << bit, 0, "{opcode:?}");
    }
}

#[test]
fn namespaces_are_listed() {
    let mut guest = guest(0);
    let ids = |page: &[u8]| -> Vec<u32> {
        page.chunks_exact(4)
            .map(|c| u32::from_le_bytes(c.try_into().unwrap()))
            .take_while(|&id| id != 0)
            .collect()
    };
    for (cns, nsid, set, expected) in [
        (Cns::ActiveList, 0, 0, vec![1, 2]),
        (Cns::ActiveList, 1, 0, vec![2]),
        (Cns::ActiveList, 2, 0, vec![]),
        (Cns::AllocatedList, 0, 0, vec![1, 2]),
        (Cns::SetActiveList, 0, 0, vec![1]),
        (Cns::SetActiveList, 0, 2, vec![2]),
        (Cns::SetAllocatedList, 0, 2, vec![2]),
        (Cns::SetAllocatedList, 2, 2, vec![]),
    ] {
        let page = identify(&mut guest, cns, nsid, set);
        assert_eq!(ids(&page), expected, "{cns:?} {nsid} {set}");
    }
    let cqe = guest.admin(command::identify(Cns::ActiveList, NSID_ALL, 0));
    assert_rejected(&mut guest, cqe, Status::InvalidNamespace, Some((4, 0)));
}

#[test]
fn the_controller_is_in_the_lists_of_controllers() {
    let mut guest = guest(0);
    let mut list = |cns, nsid, first: u32| {
        let mut sqe = command::identify(cns, nsid, 0);
        sqe.cdw[0] |= first << 16;
        let (cqe, page) = guest.receive(0, sqe, 4096);
        assert_ok(cqe);
        assert!(page[4..].iter().all(|b| *b == 0));
        (u16_at(&page, 0), u16_at(&page, 2))
    };
    for cns in [Cns::AttachedControllers, Cns::Controllers] {
        for nsid in [META, DATA] {
            assert_eq!(list(cns, nsid, 0), (1, 1));
            assert_eq!(list(cns, nsid, 1), (1, 1));
            assert_eq!(list(cns, nsid, 2), (0, 0), "identifiers from there on");
        }
    }
    assert_eq!(list(Cns::Controllers, 0, 0), (1, 1), "of no namespace");
}

#[test]
fn namespaces_describe_themselves() {
    let mut guest = guest(0);
    let page = identify(&mut guest, Cns::Namespace, META, 0);
    assert_eq!((u64_at(&page, 0), u64_at(&page, 8)), (1024, 1024));
    assert_eq!(
        (page[25], page[26]),
        (1, 1),
        "two formats, the second in use"
    );
    assert_eq!((page[130], page[134]), (9, 12));
    assert_eq!(page[104..128], [[2; 16].as_slice(), &[1; 8]].concat());
    assert_eq!(u16_at(&page, 64), 15, "64 KiB, zero-based");
    let page = identify(&mut guest, Cns::AllocatedNamespace, DATA, 0);
    assert_eq!((u64_at(&page, 0), u64_at(&page, 8)), (2048, 8 * 192));
    let page = identify(&mut guest, Cns::SetNamespace, DATA, 2);
    assert_eq!((u16_at(&page, 0), u16_at(&page, 2)), (0, 0));
    assert_eq!((u32_at(&page, 4), u32_at(&page, 8)), (5, 5));
    assert_eq!((u64_at(&page, 2816), u64_at(&page, 2832)), (2048, 256));
    assert_eq!((page[2824], page[2840]), (1, 1));
    assert_eq!(
        identify(&mut guest, Cns::SetNamespace, META, 0),
        vec![0; 4096]
    );
    let page = identify(&mut guest, Cns::IndependentNamespace, DATA, 0);
    assert_eq!(page[14], 1);
    let page = identify(&mut guest, Cns::Descriptors, DATA, 0);
    assert_eq!(page[..4], [1, 8, 0, 0]);
    assert_eq!(page[12..16], [2, 16, 0, 0]);
    assert_eq!(page[32..36], [3, 16, 0, 0]);
    assert_eq!(
        (page[42] >> 4, page[44] >> 6),
        (8, 2),
        "UUID version, variant"
    );
    assert_eq!(page[52..57], [4, 1, 0, 0, 2]);
    assert_eq!(page[57..61], [0; 4], "the list ends");
    let page = identify(&mut guest, Cns::SetController, 0, 0);
    assert_eq!(page[..4], [11, 11, 11, 255]);
    assert_eq!((u32_at(&page, 4), u64_at(&page, 8)), (1 << 18, 1 << 18));
    assert_eq!(
        u64_at(&identify(&mut guest, Cns::CommandSets, 0, 0), 0),
        0b101
    );
}

#[test]
fn every_malformed_identify_has_its_status() {
    let mut guest = guest(0);
    let cases = [
        (Cns::Namespace, 3, 0, Status::InvalidNamespace, (4, 0)),
        (Cns::Namespace, 0, 0, Status::InvalidNamespace, (4, 0)),
        (
            Cns::Namespace,
            NSID_ALL,
            0,
            Status::InvalidNamespace,
            (4, 0),
        ),
        (Cns::SetNamespace, META, 2, Status::InvalidField, (47, 0)),
        (Cns::SetNamespace, META, 1, Status::InvalidField, (47, 0)),
        (Cns::SetController, 0, 7, Status::InvalidField, (47, 0)),
        (Cns::Descriptors, 9, 0, Status::InvalidNamespace, (4, 0)),
        (
            Cns::AttachedControllers,
            NSID_ALL,
            0,
            Status::InvalidNamespace,
            (4, 0),
        ),
    ];
    for (cns, nsid, set, status, field) in cases {
        let cqe = guest.admin(command::identify(cns, nsid, set));
        assert_rejected(&mut guest, cqe, status, Some(field));
    }
    let cqe = guest.admin(command::admin(AdminOpcode::Identify, 0, 0xff, 0));
    assert_rejected(&mut guest, cqe, Status::InvalidField, Some((40, 0)));
    let cqe = guest.admin(command::plain(0xff, 0));
    assert_rejected(&mut guest, cqe, Status::InvalidOpcode, Some((0, 0)));
}

#[test]
fn zrwa_is_described_if_the_drive_has_it() {
    let drive = FakeConfig {
        zrwa: true,
        ..FakeConfig::default()
    };
    let mut guest = guest_with(ControllerConfig::default(), drive, 0);
    let page = identify(&mut guest, Cns::SetNamespace, DATA, 2);
    assert_eq!(u16_at(&page, 2), 2);
    assert_eq!(u32_at(&page, 44), 2);
    assert_eq!((u16_at(&page, 48), u16_at(&page, 50), page[52]), (1, 16, 1));
}

#[test]
fn logs_are_read_in_pieces_and_bounded() {
    let mut guest = guest(0);
    let (cqe, whole) = guest.receive(0, command::log(LogId::Vendor, 0, 4096, 0), 4096);
    assert_ok(cqe);
    assert_eq!(&whole[..10], b"fake drive");
    let (_, part) = guest.receive(0, command::log(LogId::Vendor, 0, 8, 4), 8);
    assert_eq!(part, whole[4..12]);
    // Past the end nothing is written.
    let (cqe, _) = guest.receive(0, command::log(LogId::Smart, 0, 8, 512), 8);
    assert_ok(cqe);
    let cases = [
        (
            command::log(LogId::Smart, 0, 8, 516),
            Status::InvalidField,
            (48, 0),
        ),
        (
            command::log(LogId::Smart, 0, 8, 2),
            Status::InvalidField,
            (48, 0),
        ),
        (
            command::log(LogId::Smart, META, 512, 0),
            Status::InvalidField,
            (4, 0),
        ),
        (
            command::log(LogId::Smart, 0, 260 << 10, 0),
            Status::InvalidField,
            (42, 0),
        ),
        (
            command::admin(AdminOpcode::GetLogPage, 0, 0x77, 0),
            Status::InvalidLogPage,
            (40, 0),
        ),
    ];
    for (sqe, status, field) in cases {
        let cqe = guest.admin(sqe);
        assert_rejected(&mut guest, cqe, status, Some(field));
    }
}

#[test]
fn every_log_that_is_listed_can_be_read() {
    let mut guest = guest(0);
    let (cqe, list) = guest.receive(0, command::log(LogId::Supported, 0, 1024, 0), 1024);
    assert_ok(cqe);
    let listed: Vec<_> = (0..=255_u8)
        .filter(|&id| list[usize::from(id) * 4] & 1 != 0)
        .collect();
    assert_eq!(listed.len(), LogId::ALL.len());
    for id in listed {
        let id = LogId::from_wire(id).unwrap();
        let nsid = if id == LogId::ChangedZones { DATA } else { 0 };
        assert_ok(guest.receive(0, command::log(id, nsid, 512, 0), 512).0);
    }
}

#[test]
fn effects_and_slots_are_reported() {
    let mut guest = guest(0);
    let mut sqe = command::log(LogId::Effects, 0, 4096, 0);
    sqe.cdw[4] = 2 << 24;
    let (_, zoned) = guest.receive(0, sqe, 4096);
    let append = 1024 + 4 * usize::from(NvmOpcode::ZoneAppend.wire());
    assert_eq!(u32_at(&zoned, append) & 3, 3);
    let format = 4 * usize::from(AdminOpcode::FormatNvm.wire());
    assert_eq!(u32_at(&zoned, format) & 7, 7);
    sqe.cdw[4] = 0;
    let (_, nvm) = guest.receive(0, sqe, 4096);
    assert_eq!(u32_at(&nvm, append), 0);
    sqe.cdw[4] = 1 << 24;
    assert_status(guest.receive(0, sqe, 4096).0, Status::InvalidField);
    let (_, slots) = guest.receive(0, command::log(LogId::FirmwareSlot, 0, 512, 0), 512);
    assert_eq!((slots[0], &slots[8..16]), (1, b"0.1     ".as_slice()));
}

#[test]
fn shadow_doorbells_are_in_identify_effects_and_dispatch_or_in_none() {
    for offered in [false, true] {
        let config = nvme::ControllerConfig {
            shadow_doorbells: offered,
            ..Default::default()
        };
        let mut guest = guest_with(config, FakeConfig::default(), 0);
        let oacs = u16_at(&identify(&mut guest, Cns::Controller, 0, 0), 256);
        assert_eq!(oacs & (1 << 8) != 0, offered);
        let opcode = AdminOpcode::DoorbellBufferConfig;
        let (_, effects) = guest.receive(0, command::log(LogId::Effects, 0, 4096, 0), 4096);
        let supported = u32_at(&effects, 4 * usize::from(opcode.wire())) & 1;
        assert_eq!(supported != 0, offered);
        let buffer = guest.alloc(4096);
        let mut sqe = command::admin(opcode, 0, 0, 0);
        (sqe.prp1, sqe.prp2) = (buffer, buffer);
        let cqe = guest.admin(sqe);
        if offered {
            assert_ok(cqe);
        } else {
            assert_status(cqe, Status::InvalidOpcode);
        }
    }
}

#[test]
fn smart_counts_what_the_host_did() {
    let mut guest = guest(1);
    assert_ok(guest.write(META, 0, SHIFT, &pattern(0, 64 << SHIFT)));
    assert_ok(guest.write(META, 64, SHIFT, &pattern(0, 64 << SHIFT)));
    assert_ok(guest.read(META, 0, SHIFT, 1).0);
    guest.host.clock = Instant::from_nanos(2 * 3_600_000_000_000);
    guest.admin(command::plain(0xff, 0));
    let (_, smart) = guest.receive(0, command::log(LogId::Smart, NSID_ALL, 512, 0), 512);
    assert_eq!(smart[..6], [0, 44, 1, 100, 10, 1]);
    assert_eq!(
        (u64_at(&smart, 32), u64_at(&smart, 48)),
        (1, 2),
        "data units"
    );
    assert_eq!((u64_at(&smart, 64), u64_at(&smart, 80)), (1, 2), "commands");
    assert_eq!(
        (u64_at(&smart, 112), u64_at(&smart, 128)),
        (1, 2),
        "cycles, hours"
    );
    assert_eq!(u64_at(&smart, 176), 1, "error log entries");
}

#[test]
fn a_drive_without_a_write_cache_says_so() {
    let config = ControllerConfig {
        write_cache: false,
        ..ControllerConfig::default()
    };
    let mut guest = guest_with(config, FakeConfig::default(), 1);
    let page = identify(&mut guest, Cns::Controller, 0, 0);
    assert_eq!(page[525], 0b110, "VWC");
    for sqe in [
        command::set_feature(FeatureId::VolatileWriteCache, 0, 0),
        command::get_feature(FeatureId::VolatileWriteCache, 0, 0, 0),
    ] {
        assert_status(guest.admin(sqe), Status::InvalidField);
    }
    let (cqe, known) = guest.receive(0, command::log(LogId::FeatureEffects, 0, 1024, 0), 1024);
    assert_ok(cqe);
    let is_known = |id: FeatureId| u32_at(&known, 4 * usize::from(id.wire())) != 0;
    assert!(!is_known(FeatureId::VolatileWriteCache) && is_known(FeatureId::NumberOfQueues));
    assert_ok(guest.io(command::plain(NvmOpcode::Flush.wire(), DATA)));
}
