// SPDX-License-Identifier: GPL-2.0-or-later
//! Message and pin interrupts, masks, coalescing.

use nvme_spec::{offset, AdminOpcode, FeatureId, NvmOpcode, Sqe};
use testkit::{command, FakeDrive, Guest};
use units::{Instant, Nanos};

use crate::{assert_ok, guest, META};

fn flush() -> Sqe {
    command::plain(NvmOpcode::Flush.wire(), META)
}

fn count(guest: &Guest<FakeDrive>, vector: u16) -> u32 {
    guest.host.interrupts.get(&vector).copied().unwrap_or(0)
}

#[test]
fn one_interrupt_per_vector_and_run() {
    let mut guest = guest(2);
    guest.host.interrupts.clear();
    for _ in 0..5 {
        guest.push(1, flush());
        guest.push(2, flush());
    }
    guest.ring(1);
    guest.ring(2);
    guest.settle(10);
    assert_eq!((count(&guest, 1), count(&guest, 2)), (1, 1));
    assert_eq!(count(&guest, 0), 0);
    for _ in 0..5 {
        assert_ok(guest.poll(1).unwrap());
        assert_ok(guest.poll(2).unwrap());
    }
}

#[test]
fn a_queue_without_interrupts_raises_none() {
    let mut guest = guest(0);
    assert_ok(guest.create_cq(1, 8, None));
    assert_ok(guest.create_sq(1, 8, 1));
    guest.host.interrupts.clear();
    assert_ok(guest.io(flush()));
    assert!(guest.host.interrupts.is_empty() && !guest.host.pin);
}

#[test]
fn the_pin_is_high_while_there_is_something_to_consume() {
    let mut guest = guest(1);
    assert!(!guest.host.pin);
    guest.submit(1, flush());
    guest.submit(1, flush());
    assert!(!guest.host.pin);
    guest.settle(10);
    assert!(guest.host.pin && guest.controller.pin_level());
    assert_ok(guest.poll(1).unwrap());
    assert!(guest.host.pin, "one entry is left");
    assert_ok(guest.poll(1).unwrap());
    assert!(!guest.host.pin);
    guest.submit(1, flush());
    guest.settle(10);
    guest.write32(offset::INTMS, 1);
    assert!(!guest.host.pin);
    guest.write32(offset::INTMC, 1);
    assert!(guest.host.pin);
    guest.disable();
    assert!(!guest.host.pin, "a reset lowers it");
}

#[test]
fn the_pin_falls_with_the_queue_whose_entries_nobody_consumed() {
    let mut guest = guest(2);
    guest.submit(1, flush());
    guest.settle(10);
    assert!(guest.host.pin);
    let delete = |opcode| command::admin(opcode, 0, 1, 0);
    guest.execute(0, delete(AdminOpcode::DeleteSq));
    assert!(guest.host.pin, "the entry is still there");
    guest.execute(0, delete(AdminOpcode::DeleteCq));
    assert!(!guest.host.pin);
    // Nor does a vector stay marked for it.
    assert_ok(guest.admin(command::set_feature(
        FeatureId::InterruptCoalescing,
        0,
        0x30ff,
    )));
    guest.submit(2, flush());
    guest.settle(1);
    guest.host.interrupts.clear();
    let delete = |opcode| command::admin(opcode, 0, 2, 0);
    guest.execute(0, delete(AdminOpcode::DeleteSq));
    guest.execute(0, delete(AdminOpcode::DeleteCq));
    guest.settle(10);
    assert_eq!((count(&guest, 2), guest.host.pin), (0, false));
}

#[test]
fn coalescing_waits_for_the_threshold_or_the_time() {
    let mut guest = guest(2);
    // Four completions, or 300 us.
    assert_ok(guest.admin(command::set_feature(
        FeatureId::InterruptCoalescing,
        0,
        0x0303,
    )));
    guest.host.interrupts.clear();
    for _ in 0..3 {
        guest.submit(1, flush());
    }
    let start = guest.host.clock;
    assert!(guest.wake());
    let posted = guest.host.clock;
    assert_eq!(posted, start + Nanos::from_micros(10));
    assert_eq!(count(&guest, 1), 0, "held back");
    assert_eq!(guest.host.wake, Some(posted + Nanos::from_micros(300)));
    guest.submit(1, flush());
    guest.settle(1);
    assert_eq!(count(&guest, 1), 1, "the fourth reaches the threshold");
    while guest.poll(1).is_some() {}
    guest.submit(1, flush());
    guest.settle(1);
    assert_eq!(count(&guest, 1), 1);
    guest.settle(1);
    assert_eq!(count(&guest, 1), 2, "time is up");
    assert!(guest.poll(1).is_some());
    // Not on a vector that opted out, nor for the admin queue.
    let opt_out = 1 << 16 | 2;
    assert_ok(guest.admin(command::set_feature(
        FeatureId::InterruptVectorConfig,
        0,
        opt_out,
    )));
    let cqe = guest.admin(command::get_feature(
        FeatureId::InterruptVectorConfig,
        0,
        0,
        2,
    ));
    assert_eq!(cqe.result, u64::from(opt_out));
    guest.host.interrupts.clear();
    assert_ok(guest.execute(2, flush()));
    assert_eq!(count(&guest, 2), 1);
    guest.host.clock = guest.host.clock.max(Instant::ZERO);
    assert_ok(guest.admin(command::get_feature(FeatureId::Arbitration, 0, 0, 0)));
    assert_eq!(count(&guest, 0), 1);
}
