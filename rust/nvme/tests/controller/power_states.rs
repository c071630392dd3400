// SPDX-License-Identifier: GPL-2.0-or-later
//! Power states: what is told of them, what brings the controller to one and back, and what that takes.

use nvme::{ControllerConfig, PowerReport};
use nvme_spec::{AdminOpcode, Cns, FeatureId, LogId, NvmOpcode, Status};
use testkit::{command, FakeConfig, FakeDrive, Guest, POWER_STATES};
use units::Nanos;

use crate::{assert_ok, assert_rejected, assert_status, guest_with, identify, META, SHIFT};

/// What a command of the fake drive takes.
const LATENCY: u64 = 10;
const MS: u64 = 1_000;

fn guest(transitions: bool) -> Guest<FakeDrive> {
    let config = ControllerConfig {
        power_states: &POWER_STATES,
        transitions,
        ..ControllerConfig::default()
    };
    guest_with(config, FakeConfig::default(), 1)
}

fn pass(guest: &mut Guest<FakeDrive>, us: u64) {
    guest.host.clock += Nanos::from_micros(us);
    guest.run();
}

/// How long a read takes, microseconds.
fn read(guest: &mut Guest<FakeDrive>) -> u64 {
    let start = guest.host.clock;
    let (cqe, _) = guest.read(META, 0, SHIFT, 1);
    assert_ok(cqe);
    guest.host.clock.since(start).get() / 1_000
}

/// The value of Power Management.
fn state(guest: &mut Guest<FakeDrive>) -> u64 {
    let cqe = guest.admin(command::get_feature(FeatureId::PowerManagement, 0, 0, 0));
    assert_ok(cqe);
    cqe.result
}

/// What the vendor log page says, which takes no time and wakes nobody.
fn report(guest: &mut Guest<FakeDrive>) -> PowerReport {
    let (cqe, page) = guest.receive(0, command::log(LogId::Vendor, 0, 4096, 0), 4096);
    assert_ok(cqe);
    PowerReport::parse(&page).unwrap()
}

fn table(entries: &[(u32, u32)]) -> [u8; 256] {
    let mut table = [0; 256];
    for ((to, ms), place) in entries.iter().zip(table.chunks_exact_mut(8)) {
        place[..4].copy_from_slice(&(to << 3 | ms << 8).to_le_bytes());
    }
    table
}

fn set_transitions(guest: &mut Guest<FakeDrive>, on: bool, entries: &[(u32, u32)], save: bool) {
    let mut set = command::set_feature(FeatureId::PowerTransitions, 0, on.into());
    set.cdw[0] |= u32::from(save) << 31;
    assert_ok(guest.send(0, set, &table(entries)));
}

fn transitions(guest: &mut Guest<FakeDrive>, select: u8) -> (u64, Vec<u8>) {
    let get = command::get_feature(FeatureId::PowerTransitions, select, 0, 0);
    let (cqe, table) = guest.receive(0, get, 256);
    assert_ok(cqe);
    (cqe.result, table)
}

/// Base, figures 275 and 276.
#[test]
fn identify_describes_each_state() {
    let mut guest = guest(false);
    let page = identify(&mut guest, Cns::Controller, 0, 0);
    assert_eq!((page[263], page[265]), (3, 1), "NPSS, APSTA");
    let expected: [[u8; 24]; 4] = [
        // MP 500 x 10 mW; IDLP 63 x 10 mW, IPS 10b; ACTP 500 x 10 mW, APS 10b
        [
            0xf4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 63, 0, 0x80, 0, 0xf4, 1, 0x80, 0,
        ],
        // ENLAT 20 us, EXLAT 30 us; IDLP 5001 x 100 uW, IPS 01b; ACTP 180 x 10 mW
        [
            200, 0, 0, 0, 20, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0x89, 0x13, 0x40, 0, 180, 0, 0x80,
            0,
        ],
        // MP 5 x 10 mW, NOPS; RRT, RRL, RWT, RWL 2; ACTP not given
        [
            5, 0, 0, 2, 200, 0, 0, 0, 0xf4, 1, 0, 0, 2, 2, 2, 2, 0xf3, 1, 0x40, 0, 0, 0, 0, 0,
        ],
        // MP 50 x 100 uW, NOPS and MXPS
        [
            50, 0, 0, 3, 0xe8, 3, 0, 0, 0x88, 0x13, 0, 0, 3, 3, 3, 3, 50, 0, 0x40, 0, 0, 0, 0, 0,
        ],
    ];
    for (number, expected) in expected.iter().enumerate() {
        let at = 2048 + 32 * number;
        assert_eq!(page[at..at + 24], *expected, "power state {number}");
    }
    assert!(page[2048 + 32 * 4..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_controller_with_one_state_has_no_transitions() {
    let mut guest = crate::guest(1);
    let page = identify(&mut guest, Cns::Controller, 0, 0);
    assert_eq!((page[263], page[265]), (0, 0));
    for opcode in [AdminOpcode::GetFeatures, AdminOpcode::SetFeatures] {
        let cqe = guest.admin(command::admin(opcode, 0, 0x0c, 0));
        assert_rejected(&mut guest, cqe, Status::InvalidField, Some((40, 0)));
    }
    assert_eq!(state(&mut guest), 0);
    pass(&mut guest, 1_000 * MS);
    assert_eq!(read(&mut guest), LATENCY);
    let (_, page) = guest.receive(0, command::log(LogId::Vendor, 0, 4096, 0), 4096);
    assert_eq!(PowerReport::parse(&page), None);
}

#[test]
fn both_features_have_current_default_and_saved_values() {
    let mut guest = guest(false);
    let get = |guest: &mut Guest<FakeDrive>, select| {
        let get = command::get_feature(FeatureId::PowerManagement, select, 0, 0);
        guest.admin(get).result
    };
    // WH 2, PS 1.
    let mut set = command::set_feature(FeatureId::PowerManagement, 0, 2 << 5 | 1);
    assert_ok(guest.admin(set));
    assert_eq!(
        [0, 1, 2, 3].map(|select| get(&mut guest, select)),
        [0x41, 0, 0, 5]
    );
    set.cdw[0] |= 1 << 31;
    assert_ok(guest.admin(set));
    assert_eq!(get(&mut guest, 2), 0x41);

    let by_default = table(&[(2, 10), (2, 10), (3, 30)]).to_vec();
    for select in 0..3 {
        assert_eq!(transitions(&mut guest, select), (0, by_default.clone()));
    }
    let other = [(3, 7), (2, 8), (0, 0), (0, 0)];
    set_transitions(&mut guest, true, &other, false);
    assert_eq!(transitions(&mut guest, 0), (1, table(&other).to_vec()));
    assert_eq!(transitions(&mut guest, 1), (0, by_default.clone()));
    assert_eq!(transitions(&mut guest, 2), (0, by_default.clone()));
    let capabilities = command::get_feature(FeatureId::PowerTransitions, 3, 0, 0);
    assert_eq!(guest.admin(capabilities).result, 5);

    // What was not saved is gone after a reset.
    guest.disable();
    assert!(guest.enable());
    assert_eq!(transitions(&mut guest, 0), (0, by_default.clone()));
    set_transitions(&mut guest, true, &other, true);
    guest.disable();
    assert!(guest.enable());
    assert_eq!(transitions(&mut guest, 0), (1, table(&other).to_vec()));
    assert_eq!(transitions(&mut guest, 1), (0, by_default));
    assert_eq!(state(&mut guest), 0x41, "saved, too");
}

#[test]
fn what_leads_nowhere_is_refused() {
    let mut guest = guest(false);
    for (to, field) in [(4, Some((44, 0))), (31, Some((44, 0)))] {
        let cqe = guest.admin(command::set_feature(FeatureId::PowerManagement, 0, to));
        assert_rejected(&mut guest, cqe, Status::InvalidField, field);
    }
    let set = command::set_feature(FeatureId::PowerTransitions, 0, 1);
    for to in [0, 1, 4, 31] {
        let cqe = guest.send(0, set, &table(&[(2, 10), (to, 1)]));
        assert_rejected(&mut guest, cqe, Status::InvalidField, None);
    }
    assert_eq!(transitions(&mut guest, 0).0, 0, "nothing has changed");
    let cqe = guest.admin(command::set_feature(FeatureId::PowerTransitions, META, 1));
    assert_rejected(
        &mut guest,
        cqe,
        Status::FeatureNotPerNamespace,
        Some((4, 0)),
    );
}

#[test]
fn an_idle_controller_goes_to_sleep_and_a_read_wakes_it() {
    let mut guest = guest(true);
    assert_eq!(read(&mut guest), LATENCY);
    pass(&mut guest, 10 * MS - 1);
    assert_eq!(read(&mut guest), LATENCY, "just in time");
    pass(&mut guest, 10 * MS);
    assert_eq!(
        read(&mut guest),
        200 + 500 + LATENCY,
        "all the way there, and back"
    );
    pass(&mut guest, 10 * MS + 200);
    assert_eq!((state(&mut guest), read(&mut guest)), (2, 500 + LATENCY));
    pass(&mut guest, 100 * MS);
    assert_eq!((state(&mut guest), read(&mut guest)), (3, 5_000 + LATENCY));
    assert_eq!(state(&mut guest), 0);
    assert_eq!(read(&mut guest), LATENCY);
    let report = report(&mut guest);
    let entries: Vec<_> = report.states().iter().map(|spent| spent.entries).collect();
    assert_eq!(entries, [3, 0, 3, 1]);
    assert_eq!((report.waits, report.waited.get()), (3, 6_200_000));
    assert!(guest.controller.check_invariants().is_ok());
}

#[test]
fn commands_that_come_while_it_wakes_begin_when_it_has() {
    let mut guest = guest(true);
    pass(&mut guest, 100 * MS);
    let start = guest.host.clock;
    let flush = command::plain(NvmOpcode::Flush.wire(), META);
    guest.submit(1, flush);
    pass(&mut guest, 4_000);
    guest.submit(1, flush);
    for _ in 0..2 {
        assert_ok(guest.wait(1).unwrap());
        let took = guest.host.clock.since(start).get() / 1_000;
        assert_eq!(took, 5_000 + LATENCY);
    }
}

#[test]
fn admin_commands_wake_nobody_and_io_commands_that_fail_do() {
    let mut guest = guest(true);
    pass(&mut guest, 100 * MS);
    let before = guest.host.clock;
    identify(&mut guest, Cns::Controller, 0, 0);
    let smart = guest.receive(0, command::log(LogId::Smart, u32::MAX, 512, 0), 512);
    assert_ok(smart.0);
    assert_eq!((guest.host.clock, state(&mut guest)), (before, 3));
    // No such namespace.
    let cqe = guest.io(command::plain(NvmOpcode::Flush.wire(), 9));
    assert_status(cqe, Status::InvalidNamespace);
    assert_eq!(state(&mut guest), 0);
    pass(&mut guest, 100 * MS);
    assert_eq!(state(&mut guest), 3);
    // It works on flash: it completes when that has woken and is done.
    let before = guest.host.clock;
    assert_ok(guest.admin(command::admin(AdminOpcode::FormatNvm, META, 1, 0)));
    let took = guest.host.clock.since(before).get() / 1_000;
    assert_eq!((took, state(&mut guest)), (5_000 + LATENCY, 0));
}

#[test]
fn a_host_sends_it_to_a_state_and_it_says_when_it_is_there() {
    let mut guest = guest(false);
    let go = |guest: &mut Guest<FakeDrive>, to| {
        let start = guest.host.clock;
        let set = command::set_feature(FeatureId::PowerManagement, 0, to);
        assert_ok(guest.admin(set));
        guest.host.clock.since(start).get() / 1_000
    };
    assert_eq!(go(&mut guest, 1), 20);
    assert_eq!(go(&mut guest, 1), 0, "it is there");
    assert_eq!(go(&mut guest, 3), 30 + 1_000);
    pass(&mut guest, 1_000 * MS);
    assert_eq!(state(&mut guest), 3);
    // Back to the state that was at work.
    assert_eq!(read(&mut guest), 5_000 + 20 + LATENCY);
    assert_eq!(state(&mut guest), 1);
    // Not before what is outstanding is done.
    let flush = command::plain(NvmOpcode::Flush.wire(), META);
    guest.submit(1, flush);
    assert_eq!(go(&mut guest, 2), LATENCY + 30 + 200);
    assert_ok(guest.poll(1).unwrap());
    assert_eq!(go(&mut guest, 0), 500);
    assert_eq!(read(&mut guest), LATENCY);
}

#[test]
fn a_reset_leads_to_the_saved_state() {
    let mut guest = guest(true);
    pass(&mut guest, 100 * MS);
    guest.disable();
    assert!(guest.enable());
    assert_eq!(state(&mut guest), 0);
    assert!(guest.create_queues(1, 16));
    // It is still on its way.
    assert_eq!(read(&mut guest), 5_000 + LATENCY);
    pass(&mut guest, 100 * MS);
    let now = guest.host.clock;
    guest.controller.reset(now);
    assert!(guest.enable() && guest.create_queues(1, 16));
    assert_eq!(read(&mut guest), 5_000 + LATENCY);
}

#[test]
fn power_comes_back_to_a_controller_at_work() {
    let mut guest = guest(true);
    pass(&mut guest, 100 * MS);
    let now = guest.host.clock;
    guest.controller.cut_power_at(Some(now));
    guest.run();
    guest.host.clock += Nanos::from_micros(1_000 * MS);
    let now = guest.host.clock;
    guest.controller.reset(now);
    assert!(guest.enable() && guest.create_queues(1, 16));
    assert_eq!(read(&mut guest), LATENCY);
    let time: Nanos = report(&mut guest)
        .states()
        .iter()
        .fold(Nanos::ZERO, |sum, spent| sum + spent.time);
    assert!(time.get() < 150 * MS * 1_000, "without power: {time}");
}

#[test]
fn a_power_cut_while_it_wakes_finds_that_the_waiting_command_has_begun() {
    let mut guest = guest(true);
    pass(&mut guest, 100 * MS);
    let start = guest.host.clock;
    guest.submit(1, command::plain(NvmOpcode::Flush.wire(), META));
    let cut = start + Nanos::from_micros(1_000);
    guest.controller.cut_power_at(Some(cut));
    pass(&mut guest, 1_000);
    assert!(guest.controller.is_off() && guest.poll(1).is_none());
    // Instants that the drive is told never go back.
    let begun = start + Nanos::from_micros(5_000);
    assert_eq!(guest.controller.drive().cuts, [begun]);
    assert_eq!(guest.controller.take_power_cut(), Some(cut));
}

#[test]
fn a_shutdown_of_a_sleeping_controller_takes_the_way_back() {
    let mut guest = guest(true);
    pass(&mut guest, 100 * MS);
    let before = guest.host.clock;
    let cc = guest.read32(nvme_spec::offset::CC);
    guest.write32(nvme_spec::offset::CC, cc | 1 << 14);
    while guest.read32(nvme_spec::offset::CSTS) >> 2 & 3 != 2 {
        assert!(guest.wake());
    }
    let took = guest.host.clock.since(before).get() / 1_000;
    assert_eq!(took, 5_000 + LATENCY);
}

#[test]
fn a_self_test_keeps_it_awake() {
    let mut guest = guest(true);
    let mut test = command::plain(AdminOpcode::DeviceSelfTest.wire(), META);
    test.cdw[0] = 1;
    assert_ok(guest.admin(test));
    pass(&mut guest, 900 * MS);
    assert_eq!((state(&mut guest), read(&mut guest)), (0, LATENCY));
    // The test takes a second; idle time begins with its end, not with the read's.
    assert!(guest.wake());
    pass(&mut guest, 10 * MS - 1);
    assert_eq!(state(&mut guest), 0);
    pass(&mut guest, 1);
    assert_eq!(state(&mut guest), 2);
}

#[test]
fn another_table_applies_from_then_on() {
    let mut guest = guest(false);
    pass(&mut guest, 500 * MS);
    assert_eq!(state(&mut guest), 0);
    set_transitions(&mut guest, true, &[(3, 100)], false);
    // It has been idle for long enough already.
    assert_eq!(state(&mut guest), 3);
    assert_eq!(read(&mut guest), 1_000 + 5_000 + LATENCY);
    set_transitions(&mut guest, false, &[(3, 100)], false);
    pass(&mut guest, 500 * MS);
    assert_eq!(read(&mut guest), LATENCY);
}
