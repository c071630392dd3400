// SPDX-License-Identifier: GPL-2.0-or-later
//! Get and Set Features.

use nvme::ControllerConfig;
use nvme_spec::{AdminOpcode, Cns, FeatureId, Sqe, Status};
use testkit::{command, FakeConfig, FakeDrive, Guest};

use crate::{
    assert_ok, assert_rejected, assert_status, guest, guest_with, identify, u32_at, u64_at, META,
};

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
