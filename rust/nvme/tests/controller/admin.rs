// SPDX-License-Identifier: GPL-2.0-or-later
//! Identify, logs, features, Format.

use nvme::ControllerConfig;
use nvme_spec::{AdminOpcode, Cns, FeatureId, LogId, NvmOpcode, Sqe, Status, NSID_ALL};
use testkit::{command, FakeConfig, FakeDrive, Guest};
use units::Instant;

use crate::{
    assert_ok, assert_rejected, assert_status, guest, guest_with, pattern, DATA, META, SHIFT,
};

fn identify(guest: &mut Guest<FakeDrive>, cns: Cns, nsid: u32, set: u8) -> Vec<u8> {
    let (cqe, page) = guest.receive(0, command::identify(cns, nsid, set), 4096);
    assert_ok(cqe);
    page
}

fn u16_at(page: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(page[at..at + 2].try_into().unwrap())
}

fn u32_at(page: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(page[at..at + 4].try_into().unwrap())
}

fn u64_at(page: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(page[at..at + 8].try_into().unwrap())
}

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
    assert_eq!(page[..4], [11, 11, 0, 255]);
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

#[test]
fn features_have_current_default_and_saved_values() {
    let mut guest = guest(1);
    let get = |guest: &mut Guest<FakeDrive>, id, select| {
        let cqe = guest.admin(command::get_feature(id, select, META, 0));
        assert_ok(cqe);
        cqe.result
    };
    for (id, default, other, capabilities) in [
        (FeatureId::Arbitration, 6, 3, 5),
        (FeatureId::ErrorRecovery, 0, 1 << 16, 7),
        (FeatureId::VolatileWriteCache, 1, 0, 5),
        (FeatureId::InterruptCoalescing, 0, 0x102, 5),
        (FeatureId::WriteAtomicity, 0, 1, 5),
        (FeatureId::AsyncEventConfig, 0, 1 << 27 | 0xf, 5),
    ] {
        assert_eq!(get(&mut guest, id, 0), default, "{id:?}");
        let nsid = if id == FeatureId::ErrorRecovery {
            META
        } else {
            0
        };
        let mut set = command::set_feature(id, nsid, other);
        assert_ok(guest.admin(set));
        assert_eq!(get(&mut guest, id, 0), u64::from(other), "{id:?}");
        assert_eq!(get(&mut guest, id, 1), default);
        assert_eq!(get(&mut guest, id, 2), default, "not saved");
        set.cdw[0] |= 1 << 31;
        assert_ok(guest.admin(set));
        assert_eq!(get(&mut guest, id, 2), u64::from(other), "saved");
        assert_eq!(get(&mut guest, id, 3), capabilities, "{id:?}");
    }
    guest.disable();
    assert!(guest.enable());
    assert_eq!(get(&mut guest, FeatureId::Arbitration, 0), 3);
}

#[test]
fn every_malformed_feature_command_has_its_status() {
    let mut guest = guest(1);
    let save = |mut sqe: Sqe| {
        sqe.cdw[0] |= 1 << 31;
        sqe
    };
    let set = command::set_feature;
    let get = command::get_feature;
    let unknown = |opcode| command::admin(opcode, 0, 0x7f, 0);
    let cases = [
        (
            unknown(AdminOpcode::GetFeatures),
            Status::InvalidField,
            Some((40, 0)),
        ),
        (
            unknown(AdminOpcode::SetFeatures),
            Status::InvalidField,
            Some((40, 0)),
        ),
        (
            get(FeatureId::Arbitration, 4, 0, 0),
            Status::InvalidField,
            Some((41, 0)),
        ),
        (
            get(FeatureId::ErrorRecovery, 0, 0, 0),
            Status::InvalidNamespace,
            Some((4, 0)),
        ),
        (
            get(FeatureId::InterruptVectorConfig, 0, 0, 99),
            Status::InvalidField,
            Some((44, 0)),
        ),
        (
            set(FeatureId::Arbitration, META, 0),
            Status::FeatureNotPerNamespace,
            Some((4, 0)),
        ),
        (
            set(FeatureId::ErrorRecovery, 7, 0),
            Status::InvalidNamespace,
            Some((4, 0)),
        ),
        (
            set(FeatureId::InterruptVectorConfig, 0, 99),
            Status::InvalidField,
            Some((44, 0)),
        ),
        (
            set(FeatureId::PowerManagement, 0, 1),
            Status::InvalidField,
            Some((44, 0)),
        ),
        (
            set(FeatureId::CommandSetProfile, 0, 1),
            Status::CommandSetCombination,
            Some((44, 0)),
        ),
        (
            set(FeatureId::NumberOfQueues, 0, 0xffff),
            Status::InvalidField,
            Some((44, 0)),
        ),
        (
            set(FeatureId::NumberOfQueues, 0, 0),
            Status::CommandSequenceError,
            None,
        ),
        (
            save(set(FeatureId::Timestamp, 0, 0)),
            Status::FeatureNotSaveable,
            Some((43, 7)),
        ),
    ];
    for (sqe, status, field) in cases {
        let cqe = guest.admin(sqe);
        assert_rejected(&mut guest, cqe, status, field);
    }
}

#[test]
fn the_number_of_queues_is_negotiated() {
    let config = ControllerConfig {
        io_queues: 4,
        vectors: 5,
        ..ControllerConfig::default()
    };
    let mut guest = guest_with(config, FakeConfig::default(), 0);
    let cqe = guest.admin(command::set_feature(
        FeatureId::NumberOfQueues,
        0,
        0x0007_0007,
    ));
    assert_ok(cqe);
    assert_eq!(cqe.result, 0x0003_0003);
    assert!(guest.create_queues(4, 8));
    assert_status(guest.create_cq(5, 8, Some(0)), Status::InvalidQueueId);
}

#[test]
fn the_timestamp_runs_and_host_behavior_is_kept() {
    let mut guest = guest(0);
    let set = command::set_feature(FeatureId::Timestamp, 0, 0);
    assert_ok(guest.send(0, set, &1_000_000_u64.to_le_bytes()));
    guest.host.clock += units::Nanos::from_micros(5_000);
    let (cqe, value) = guest.receive(0, command::get_feature(FeatureId::Timestamp, 0, 0, 0), 8);
    assert_ok(cqe);
    assert_eq!(u64_at(&value, 0), 1_000_005 | 1 << 49);
    // ACRE is kept; there is no telemetry and no extended LBA format.
    let mut behavior = vec![1; 512];
    let set = command::set_feature(FeatureId::HostBehavior, 0, 0);
    assert_ok(guest.send(0, set, &behavior));
    behavior[1..].fill(0);
    let get = command::get_feature(FeatureId::HostBehavior, 0, 0, 0);
    assert_eq!(guest.receive(0, get, 512).1, behavior);
}

#[test]
fn events_that_the_controller_has_not_cannot_be_turned_on() {
    let mut guest = guest(0);
    let set = command::set_feature(FeatureId::AsyncEventConfig, 0, u32::MAX);
    assert_ok(guest.admin(set));
    let get = command::get_feature(FeatureId::AsyncEventConfig, 0, 0, 0);
    let oaes = u32_at(&identify(&mut guest, Cns::Controller, 0, 0), 92);
    assert_eq!(oaes, 1 << 27, "zone descriptor changed notices");
    assert_eq!(guest.admin(get).result, u64::from(oaes) | 0xf);
}

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
