// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts: the drive is dead from the instant on, until it is reset; then it recovers.

use nvme_spec::{offset, AdminOpcode, LogId, NvmOpcode, Status};
use testkit::{command, FakeConfig, FakeDrive, Guest};
use units::{Instant, Nanos};

use crate::{assert_ok, assert_status, guest, guest_with, u32_at, META};

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

/// Power cycles and unsafe shutdowns of the SMART log.
fn cycles(guest: &mut Guest<FakeDrive>) -> (u8, u8) {
    let log = command::log(LogId::Smart, u32::MAX, 512, 0);
    let (cqe, page) = guest.receive(0, log, 512);
    assert_ok(cqe);
    (page[112], page[144])
}

fn is_dead(guest: &mut Guest<FakeDrive>) {
    assert!(guest.controller.is_off());
    assert_eq!(guest.controller.mmio_read(offset::CAP, 8), u64::MAX);
    assert_eq!(guest.read32(offset::CSTS), u32::MAX);
    assert_eq!(guest.controller.mmio_read(offset::VS + 1, 1), 0xff);
    assert_eq!(guest.host.wake, None);
    assert!(!guest.controller.pin_level());
}

#[test]
fn from_the_instant_on_the_drive_is_dead_until_it_is_reset() {
    let mut guest = guest(1);
    let latency = FakeConfig::default().latency.get();
    guest.host.media.fill(7);
    let memory = |guest: &Guest<FakeDrive>| guest.host.memory.clone();
    guest.submit(1, command::plain(NvmOpcode::Flush.wire(), META));
    let now = guest.host.clock.as_nanos();
    assert_eq!(guest.host.wake, Some(at(now + latency)));
    // The cut comes at the instant of the completion, and before it.
    let cut = at(now + latency);
    guest.controller.cut_power_at(Some(cut));
    assert_eq!(guest.controller.power_cut_at(), Some(cut));
    guest.run();
    let (before, interrupts) = (memory(&guest), guest.host.interrupts.clone());
    // The host is late, the cut is not.
    guest.host.clock = at(now + 3 * latency);
    guest.run();
    assert_eq!(guest.controller.drive().cuts, [cut]);
    assert_eq!(guest.controller.take_power_cut(), Some(cut));
    assert_eq!(guest.controller.take_power_cut(), None);
    is_dead(&mut guest);
    // It answers to nothing.
    guest.submit(1, command::plain(NvmOpcode::Flush.wire(), META));
    guest.write32(offset::CC, 0);
    let bell = memory(&guest);
    guest.host.clock += Nanos::new(100 * latency);
    guest.run();
    is_dead(&mut guest);
    assert!(memory(&guest) == bell && guest.host.interrupts == interrupts);
    assert!(before.len() == bell.len() && guest.poll(1).is_none());
    assert!(guest.host.media[..4096].iter().all(|byte| *byte == 0));
    assert!(guest.host.media[4096..].iter().all(|byte| *byte == 7));

    let back = guest.host.clock;
    guest.controller.reset(back);
    assert!(!guest.controller.is_off());
    assert_eq!(guest.read32(offset::CSTS), 0);
    assert!(guest.enable(), "after a wait");
    assert_eq!(guest.host.clock, back + Nanos::new(2 * latency));
    assert!(guest.create_queues(1, 16));
    assert_ok(guest.io(command::plain(NvmOpcode::Flush.wire(), META)));
    assert_eq!(cycles(&mut guest), (2, 1));
}

#[test]
fn the_drive_is_ready_when_it_has_recovered_and_not_a_nanosecond_before() {
    let mut guest = guest(0);
    let latency = FakeConfig::default().latency.get();
    let cut = guest.host.clock;
    guest.controller.cut_power_at(Some(cut));
    guest.run();
    // Power is back while capacitors still last: half a latency; recovery is two.
    guest.controller.reset(cut + Nanos::new(1));
    let ready = cut.as_nanos() + latency / 2 + 2 * latency;
    guest.host.clock = cut + Nanos::new(2);
    guest.write32(offset::AQA, 0x001f_001f);
    guest.write64(offset::ASQ, 0x1000);
    guest.write64(offset::ACQ, 0x2000);
    guest.write32(offset::CC, 0x0046_0061);
    for now in [guest.host.clock, at(ready - 1)] {
        guest.host.clock = now;
        guest.run();
        assert_eq!(guest.read32(offset::CSTS), 0);
        assert_eq!(guest.host.wake, Some(at(ready)));
    }
    assert!(guest.wake());
    assert_eq!(
        (guest.host.clock, guest.read32(offset::CSTS)),
        (at(ready), 1)
    );
    // Resets of the controller take no time any more.
    guest.disable();
    assert!(guest.enable());
    assert_eq!(guest.host.clock, at(ready));
}

#[test]
fn after_a_shutdown_a_cut_is_safe() {
    let mut guest = guest(0);
    let cc = guest.read32(offset::CC);
    guest.write32(offset::CC, cc | 1 << 14);
    guest.settle(10);
    assert_eq!(guest.read32(offset::CSTS) >> 2 & 3, 2);
    let now = guest.host.clock;
    guest.controller.cut_power_at(Some(now));
    guest.run();
    is_dead(&mut guest);
    guest.controller.reset(now);
    assert!(guest.enable());
    assert_eq!(cycles(&mut guest), (2, 0));
}

#[test]
fn a_cut_can_be_taken_back_and_does_not_outlast_another() {
    let mut guest = guest(0);
    let now = guest.host.clock;
    guest.controller.cut_power_at(Some(now + Nanos::new(10)));
    guest.controller.cut_power_at(None);
    guest.host.clock += Nanos::new(20);
    guest.run();
    assert!(!guest.controller.is_off());
    let now = guest.host.clock;
    guest.controller.cut_power_at(Some(now));
    guest.run();
    // What falls into the time without power does nothing.
    guest.controller.cut_power_at(Some(now + Nanos::new(5)));
    guest.host.clock += Nanos::new(5);
    guest.run();
    let now = guest.host.clock;
    guest.controller.reset(now);
    assert!(guest.enable());
    assert_eq!(guest.controller.drive().cuts.len(), 1);
}

#[test]
fn the_guest_cuts_power_and_notes_numbers_only_where_that_is_offered() {
    use AdminOpcode::{CutPower, Note};
    for (notes, cut_power) in [(false, false), (true, false), (true, true)] {
        let config = nvme::ControllerConfig {
            notes,
            cut_power,
            ..Default::default()
        };
        let mut guest = guest_with(config, FakeConfig::default(), 1);
        let (_, effects) = guest.receive(0, command::log(LogId::Effects, 0, 4096, 0), 4096);
        for (opcode, offered) in [(Note, notes), (CutPower, cut_power)] {
            let supported = u32_at(&effects, 4 * usize::from(opcode.wire())) & 1;
            assert_eq!(supported != 0, offered, "{opcode:?}");
            if !offered {
                assert_status(
                    guest.admin(command::admin(opcode, 0, 0, 0)),
                    Status::InvalidOpcode,
                );
            }
        }
        if !cut_power {
            assert_eq!(guest.controller.power_cut_at(), None);
            continue;
        }
        let now = guest.host.clock;
        assert_ok(guest.admin(command::admin(Note, 0, 7, 1)));
        assert_eq!(guest.controller.drive().notes, [(1 << 32 | 7, now)]);

        // Later: it is answered, and power goes at that instant.
        assert_ok(guest.admin(command::admin(CutPower, 0, 500_000, 0)));
        let cut = now + Nanos::new(500_000);
        assert_eq!(guest.controller.power_cut_at(), Some(cut));
        guest.host.clock = cut;
        guest.run();
        is_dead(&mut guest);
        guest.controller.reset(cut);
        assert!(guest.enable() && guest.create_queues(1, 16));

        // At once: neither it nor what comes behind it is answered, or worked.
        let now = guest.host.clock;
        guest.submit(0, command::admin(CutPower, 0, 0, 0));
        guest.submit(0, command::admin(Note, 0, 8, 0));
        guest.run();
        is_dead(&mut guest);
        assert!(guest.poll(0).is_none());
        let drive = guest.controller.drive();
        assert_eq!(
            (drive.notes.len(), drive.cuts.as_slice()),
            (1, [cut, now].as_slice())
        );
    }
}
