// SPDX-License-Identifier: GPL-2.0-or-later
//! Enabling, disabling, shutting down and abusing the register window.

use nvme::{ControllerConfig, GuestError};
use nvme_spec::{offset, NvmOpcode, Status};
use testkit::{command, FakeConfig, FakeDrive, Guest};

use crate::{assert_ok, assert_status, guest, MEMORY, META};

const CC_ENABLE: u32 = 0x0046_0061;

#[test]
fn nothing_runs_before_the_controller_is_enabled() {
    let drive = FakeDrive::new(FakeConfig::default());
    let mut guest = Guest::new(ControllerConfig::default(), drive, MEMORY, 12 << 20).unwrap();
    assert_eq!(guest.read32(offset::CSTS), 0);
    guest.write32(offset::DOORBELLS, 1);
    assert_eq!(guest.host.guest_errors.len(), 1);
    assert_eq!(guest.host.wake, None);
    assert!(guest.controller.bar_bytes() >= 0x1000 + 65 * 8);
    assert!(guest.controller.bar_bytes().is_power_of_two());
}

#[test]
fn a_bad_configuration_is_fatal_until_a_reset() {
    let mut guest = guest(0);
    guest.disable();
    assert!(!guest.enable_with(CC_ENABLE | 5 << 7));
    assert_eq!(guest.read32(offset::CSTS), 2);
    assert!(matches!(
        guest.host.guest_errors.last(),
        Some(GuestError::Configuration { .. })
    ));
    guest.disable();
    assert!(guest.enable());
    assert_ok(guest.admin(command::set_feature(
        nvme_spec::FeatureId::WriteAtomicity,
        0,
        1,
    )));
}

#[test]
fn admin_queues_outside_memory_are_fatal_not_deadly() {
    let mut guest = guest(0);
    guest.disable();
    guest.write64(offset::ASQ, 0xffff_ffff_ffff_f000);
    guest.write64(offset::ACQ, 0xffff_ffff_ffff_f000);
    guest.write32(offset::CC, CC_ENABLE);
    assert_eq!(guest.read32(offset::CSTS), 1);
    guest.write32(offset::DOORBELLS, 5);
    assert_eq!(guest.read32(offset::CSTS), 3);
    assert!(matches!(
        guest.host.guest_errors.last(),
        Some(GuestError::QueueMemory { .. })
    ));
    guest.disable();
    assert!(guest.enable());
}

#[test]
fn a_reset_drops_commands_in_flight() {
    let mut guest = guest(2);
    for queue in [1, 2] {
        for _ in 0..5 {
            guest.submit(queue, command::plain(NvmOpcode::Flush.wire(), META));
        }
    }
    assert!(guest.host.wake.is_some());
    guest.disable();
    assert_eq!(guest.read32(offset::CSTS), 0);
    assert!(guest.enable());
    assert!(guest.create_queues(2, 16));
    guest.settle(10);
    assert_eq!(guest.poll(1), None);
    assert_ok(guest.io(command::plain(NvmOpcode::Flush.wire(), META)));
}

#[test]
fn a_controller_that_failed_is_quiet() {
    let mut guest = guest(2);
    guest.submit(1, command::plain(NvmOpcode::Flush.wire(), META));
    guest.submit(2, command::plain(NvmOpcode::Flush.wire(), META));
    // The completion queues are no longer there when the commands are due.
    guest.host.hole = 0x10_000..0x40_000;
    guest.settle(10);
    assert_eq!(guest.read32(offset::CSTS), 3);
    assert_eq!(guest.host.guest_errors.len(), 1, "said once");
    assert_eq!(guest.host.wake, None);
    assert_eq!(guest.controller.check_invariants(), Ok(()));
    guest.host.hole = 0..0;
    guest.disable();
    assert!(guest.enable());
}

#[test]
fn a_reset_of_the_function_forgets_registers_and_is_no_power_cycle() {
    let mut guest = guest(1);
    guest.controller.reset(guest.host.clock);
    assert_eq!(guest.read32(offset::CC), 0);
    assert_eq!(guest.controller.mmio_read(offset::ASQ, 8), 0);
    assert!(guest.enable());
    let (cqe, page) = guest.receive(
        0,
        command::log(nvme_spec::LogId::Smart, u32::MAX, 512, 0),
        512,
    );
    assert_ok(cqe);
    assert_eq!(
        (page[112], page[144]),
        (1, 0),
        "power cycles, unsafe shutdowns"
    );
}

#[test]
fn shutdown_completes_when_the_drive_is_done() {
    let mut guest = guest(1);
    guest.write32(offset::CC, CC_ENABLE | 1 << 14);
    assert_eq!(guest.read32(offset::CSTS) >> 2 & 3, 1);
    assert!(guest.wake());
    assert_eq!(guest.read32(offset::CSTS) >> 2 & 3, 2);
    guest.disable();
    assert!(guest.enable());
    assert_eq!(guest.read32(offset::CSTS), 1);
}

#[test]
fn each_session_after_a_shutdown_has_a_shutdown_of_its_own() {
    let status = |guest: &mut Guest<FakeDrive>| guest.read32(offset::CSTS) >> 2 & 3;
    let mut guest = guest(0);
    // Notified with CC.EN cleared in the same write, and again while it is 0.
    for cc in [CC_ENABLE & !1 | 1 << 14, 0, CC_ENABLE & !1 | 2 << 14] {
        guest.write32(offset::CC, cc);
        guest.settle(1);
        assert_eq!(status(&mut guest), 2);
    }
    assert!(guest.enable());
    assert_eq!(guest.read32(offset::CSTS), 1, "SHST 00b");
    guest.write32(offset::CC, CC_ENABLE | 1 << 14);
    assert_eq!(status(&mut guest), 1);
    assert!(guest.wake());
    assert_eq!(status(&mut guest), 2);
}

#[test]
fn the_page_size_and_the_command_set_are_those_of_enabling() {
    let mut guest = guest(1);
    guest.write32(offset::CC, CC_ENABLE & !0x70 | 4 << 7);
    // With the NVM command set only the namespace would be inactive.
    assert_ok(guest.write(2, 0, 12, &crate::pattern(1, 2 << 12)));
}

#[test]
fn accesses_of_any_size_and_place_do_no_harm() {
    let mut guest = guest(1);
    for offset in (0..0x1400).chain([u64::MAX - 7, u64::MAX]) {
        for size in [1, 2, 4, 8] {
            guest.controller.mmio_read(offset, size);
        }
        // Writes that would disable the controller are not what this test is about.
        if !(offset::CC - 7..offset::CC + 4).contains(&offset) {
            for size in [1, 2, 4, 8] {
                guest.controller.mmio_write(offset, u64::MAX, size);
                guest.run();
            }
        }
    }
    assert_eq!(guest.read32(offset::CSTS), 1);
    assert!(!guest.host.guest_errors.is_empty());
}

#[test]
fn without_the_zoned_command_set_only_conventional_namespaces_are_active() {
    let mut guest = guest(0);
    guest.disable();
    assert!(guest.enable_with(CC_ENABLE & !0x70));
    assert!(guest.create_queues(1, 8));
    assert_ok(guest.io(command::plain(NvmOpcode::Flush.wire(), META)));
    let cqe = guest.io(command::plain(NvmOpcode::Flush.wire(), 2));
    assert_status(cqe, Status::InvalidField);
    let (cqe, list) = guest.receive(0, command::identify(nvme_spec::Cns::ActiveList, 0, 0), 4096);
    assert_ok(cqe);
    assert_eq!(list[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
}
