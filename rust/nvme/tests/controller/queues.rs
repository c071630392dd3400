// SPDX-License-Identifier: GPL-2.0-or-later
//! Creating, filling, wrapping and deleting queues.

use nvme::{ControllerConfig, GuestError};
use nvme_spec::{offset, AdminOpcode, NvmOpcode, Sqe, Status};
use testkit::{command, FakeConfig, FakeDrive, Guest};
use units::Nanos;

use crate::{assert_ok, assert_rejected, assert_status, guest, guest_with, META};

fn flush() -> Sqe {
    command::plain(NvmOpcode::Flush.wire(), META)
}

fn delete(opcode: AdminOpcode, id: u16) -> Sqe {
    command::admin(opcode, 0, u32::from(id), 0)
}

#[test]
fn every_malformed_creation_has_its_status() {
    let mut guest = guest(1);
    let cq = |id, entries| command::create_cq(id, entries, 0x2000, Some(1));
    let sq = |id, entries, cq| command::create_sq(id, entries, 0x2000, cq);
    let change = |mut sqe: Sqe, dword: usize, value: u32| {
        sqe.cdw[dword] = value;
        sqe
    };
    let moved = |mut sqe: Sqe| {
        sqe.prp1 = 0x2010;
        sqe
    };
    let cases = [
        (cq(0, 8), Status::InvalidQueueId, (40, 0)),
        (cq(1, 8), Status::InvalidQueueId, (40, 0)),
        (cq(65, 8), Status::InvalidQueueId, (40, 0)),
        (cq(u16::MAX, 8), Status::InvalidQueueId, (40, 0)),
        (cq(2, 1), Status::InvalidQueueSize, (42, 0)),
        (cq(2, 65), Status::InvalidQueueSize, (42, 0)),
        (change(cq(2, 8), 1, 2), Status::InvalidField, (44, 0)),
        (
            change(cq(2, 8), 1, 65 << 16 | 3),
            Status::InvalidVector,
            (46, 0),
        ),
        (moved(cq(2, 8)), Status::PrpOffsetInvalid, (24, 0)),
        (sq(0, 8, 1), Status::InvalidQueueId, (40, 0)),
        (sq(1, 8, 1), Status::InvalidQueueId, (40, 0)),
        (sq(2, 8, 0), Status::CompletionQueueInvalid, (46, 0)),
        (sq(2, 8, 9), Status::CompletionQueueInvalid, (46, 0)),
        (sq(2, 1, 1), Status::InvalidQueueSize, (42, 0)),
        (sq(2, 65, 1), Status::InvalidQueueSize, (42, 0)),
        (
            change(sq(2, 8, 1), 1, 1 << 16),
            Status::InvalidField,
            (44, 0),
        ),
        (moved(sq(2, 8, 1)), Status::PrpOffsetInvalid, (24, 0)),
        (
            delete(AdminOpcode::DeleteCq, 0),
            Status::InvalidQueueId,
            (40, 0),
        ),
        (
            delete(AdminOpcode::DeleteCq, 2),
            Status::InvalidQueueId,
            (40, 0),
        ),
        (
            delete(AdminOpcode::DeleteCq, 1),
            Status::InvalidQueueDeletion,
            (40, 0),
        ),
        (
            delete(AdminOpcode::DeleteSq, 0),
            Status::InvalidQueueId,
            (40, 0),
        ),
        (
            delete(AdminOpcode::DeleteSq, 2),
            Status::InvalidQueueId,
            (40, 0),
        ),
    ];
    for (sqe, status, field) in cases {
        let cqe = guest.admin(sqe);
        assert_rejected(&mut guest, cqe, status, Some(field));
    }
    assert_ok(guest.io(flush()));
}

#[test]
fn queues_of_any_size_wrap_many_times() {
    for entries in [2, 3, 5, 31, 64] {
        let mut guest = guest(0);
        assert!(guest.create_queues(1, entries));
        for _ in 0..4 * entries {
            assert_ok(guest.io(flush()));
        }
    }
}

#[test]
fn completions_tell_how_far_their_queue_was_read() {
    let mut guest = guest(0);
    assert_ok(guest.create_cq(1, 32, Some(1)));
    assert_ok(guest.create_sq(1, 5, 1));
    for n in 1..=11_u16 {
        assert_eq!(guest.io(flush()).sq_head, n % 5);
    }
    for _ in 0..3 {
        guest.submit(1, flush());
    }
    // All three were fetched before the first one completes.
    assert_eq!(guest.wait(1).unwrap().sq_head, 14 % 5);
}

#[test]
fn background_work_wakes_the_controller_enabled_or_not() {
    let mut guest = guest(0);
    for enabled in [true, false] {
        if !enabled {
            guest.disable();
        }
        let at = guest.host.clock + units::Nanos::from_micros(70);
        guest.controller.drive_mut().background = Some(at);
        guest.run();
        assert_eq!(guest.host.wake, Some(at));
        assert!(guest.wake());
        let drive = guest.controller.drive();
        assert_eq!(drive.advanced.last(), Some(&at));
        assert_eq!(guest.host.wake, None);
    }
}

#[test]
fn completions_wait_for_room_and_none_is_lost() {
    let mut guest = guest(0);
    assert_ok(guest.create_cq(1, 3, Some(1)));
    for id in 1..=3 {
        assert_ok(guest.create_sq(id, 16, 1));
    }
    let mut expected = Vec::new();
    for id in 1..=3 {
        for _ in 0..7 {
            expected.push((id, guest.push(id, flush())));
        }
        guest.ring(id);
    }
    guest.settle(100);
    let mut seen = Vec::new();
    // Two at a time fit; each head doorbell lets the next ones in.
    while let Some(cqe) = guest.take(1) {
        assert_ok(cqe);
        seen.push((cqe.sq_id, cqe.cid));
        if let Some(cqe) = guest.take(1) {
            seen.push((cqe.sq_id, cqe.cid));
        }
        guest.ring_cq(1);
    }
    assert_eq!(seen, expected, "in the order they were submitted");
}

#[test]
fn a_guest_that_overruns_a_queue_is_held_back() {
    let mut guest = guest_with(
        ControllerConfig::default(),
        FakeConfig {
            latency: Nanos::from_micros(1_000),
            ..FakeConfig::default()
        },
        1,
    );
    // 31 fit; go on ringing without waiting for completions.
    for _ in 0..100 {
        guest.submit(1, flush());
    }
    assert!(guest.controller.drive().submitted.len() <= 32);
    guest.settle(1_000);
    let mut completions = 0;
    while guest.wait(1).is_some() {
        completions += 1;
    }
    assert!(completions >= 32, "{completions}");
    // Whatever happened to the entries that were overwritten, the queue still works.
    assert!(guest.controller.drive().submitted.len() >= completions);
}

#[test]
fn deleting_a_queue_completes_its_commands_first() {
    let mut guest = guest(2);
    let cids: Vec<_> = (0..5).map(|_| guest.submit(1, flush())).collect();
    assert_ok(guest.admin(delete(AdminOpcode::DeleteSq, 1)));
    for cid in cids {
        let cqe = guest.poll(1).unwrap();
        // They have taken effect: a write to a zone that is sent again would be behind the pointer.
        assert_eq!((cqe.cid, cqe.status()), (cid, Some(Status::Success)));
    }
    assert_eq!(guest.wait(1), None);
    // The doorbell of a deleted queue is an absent one.
    guest.ring(1);
    assert!(matches!(
        guest.host.guest_errors.last(),
        Some(GuestError::DoorbellQueue { .. })
    ));
    assert_ok(guest.admin(delete(AdminOpcode::DeleteCq, 1)));
    assert_ok(guest.create_cq(1, 8, Some(1)));
    assert_ok(guest.create_sq(1, 8, 1));
    assert_ok(guest.io(flush()));
    assert_ok(guest.execute(2, flush()));
}

#[test]
fn deleting_a_queue_whose_completions_found_no_room_drops_them() {
    let mut guest = guest(0);
    assert_ok(guest.create_cq(1, 2, Some(1)));
    assert_ok(guest.create_sq(1, 16, 1));
    assert_ok(guest.create_sq(2, 16, 1));
    for _ in 0..4 {
        guest.submit(1, flush());
        guest.submit(2, flush());
    }
    guest.settle(10);
    assert_ok(guest.admin(delete(AdminOpcode::DeleteSq, 1)));
    let mut left = Vec::new();
    while let Some(cqe) = guest.poll(1) {
        left.push(cqe.sq_id);
    }
    assert_eq!(left, [1, 2, 2, 2, 2], "one was posted before the deletion");
    assert_ok(guest.execute(2, flush()));
}

#[test]
fn bad_doorbell_values_are_refused() {
    let mut guest = guest(1);
    guest.write32(offset::DOORBELLS + 8, 32);
    guest.write32(offset::DOORBELLS + 12, 1);
    guest.write32(offset::DOORBELLS + 8 * 40, 0);
    let errors: Vec<_> = guest
        .host
        .guest_errors
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        errors,
        [
            "doorbell value 32 is outside queue 1",
            "doorbell value 1 is outside queue 1",
            "doorbell of absent queue 40",
        ]
    );
    assert_ok(guest.io(flush()));
}

#[test]
fn sixty_four_queues_share_the_controller_fairly() {
    let mut guest = guest_with(ControllerConfig::default(), FakeConfig::default(), 64);
    guest.budget = 8;
    for id in 1..=64 {
        for _ in 0..4 {
            guest.push(id, flush());
        }
    }
    for id in 1..=64 {
        guest.ring(id);
    }
    guest.settle(10_000);
    for id in 1..=64 {
        for _ in 0..4 {
            assert_ok(guest.poll(id).unwrap());
        }
    }
}

#[test]
fn a_run_stops_at_its_budget_and_asks_to_go_on() {
    let mut guest = guest(1);
    guest.budget = 3;
    for _ in 0..10 {
        guest.push(1, flush());
    }
    guest.ring(1);
    assert_eq!(guest.controller.drive().submitted.len(), 3);
    assert_eq!(guest.host.wake, Some(guest.host.clock));
    guest.run();
    assert_eq!(guest.controller.drive().submitted.len(), 6);
}

#[test]
fn fused_commands_are_refused() {
    let mut guest = guest(1);
    let mut sqe = flush();
    sqe.flags = 1;
    let cqe = guest.io(sqe);
    assert_rejected(&mut guest, cqe, Status::InvalidField, Some((1, 0)));
}

#[test]
fn an_io_queue_that_cannot_be_read_is_fatal() {
    let mut guest = guest(1);
    let base = guest.alloc(4096);
    assert_ok(guest.admin(command::create_sq(2, 8, base, 1)));
    guest.add_sq(2, 8, base, 1);
    guest.host.hole = base..base + 64;
    guest.submit(2, flush());
    assert_eq!(guest.read32(offset::CSTS), 3);
}

#[test]
fn entry_sizes_must_be_set_before_io_queues() {
    let mut guest = guest(0);
    guest.disable();
    assert!(guest.enable_with(0x61));
    let cqe = guest.create_cq(1, 8, Some(1));
    assert_status(cqe, Status::InvalidQueueSize);
}

#[test]
fn shadow_doorbells_replace_the_registers_and_say_when_to_ring() {
    let mut guest = guest(1);
    let mut sqe = command::admin(AdminOpcode::DoorbellBufferConfig, 0, 0, 0);
    (sqe.prp1, sqe.prp2) = (4, 4096);
    let cqe = guest.admin(sqe);
    assert_rejected(&mut guest, cqe, Status::InvalidField, Some((24, 0)));
    let (doorbells, indices) = guest.announce_shadows();
    let word =
        |guest: &Guest<FakeDrive>, at| u32::from_le_bytes(guest.peek(at, 4).try_into().unwrap());
    // The shadow runs ahead of the register: the controller follows it.
    guest.push(1, flush());
    guest.push(1, flush());
    guest.poke(doorbells + 8, &2_u32.to_le_bytes());
    guest.write32(offset::DOORBELLS + 8, 1);
    assert_eq!(guest.controller.drive().submitted.len(), 2);
    assert_eq!(
        word(&guest, indices + 8),
        2,
        "ring for the next command after the last one seen"
    );
    guest.settle(10);
    assert_ok(guest.take(1).unwrap());
    assert_ok(guest.take(1).unwrap());
    guest.ring_cq(1);
    assert_eq!(word(&guest, indices + 12), 2);
    // A shadow outside the queue is ignored.
    guest.poke(doorbells + 8, &99_u32.to_le_bytes());
    guest.push(1, flush());
    guest.write32(offset::DOORBELLS + 8, 3);
    assert_ok(guest.wait(1).unwrap());
    // Queues created later have shadows too; a reset forgets them all.
    assert_ok(guest.create_cq(2, 8, Some(2)));
    assert_ok(guest.create_sq(2, 8, 2));
    guest.poke(doorbells + 16, &1_u32.to_le_bytes());
    guest.submit(2, flush());
    assert_eq!(word(&guest, indices + 16), 1);
    guest.disable();
    assert!(guest.enable());
    assert!(guest.create_queues(1, 8));
    guest.poke(doorbells + 8, &5_u32.to_le_bytes());
    assert_ok(guest.io(flush()));
}

#[test]
fn a_failed_controller_ignores_rings() {
    let mut guest = guest(1);
    let (_, indices) = guest.announce_shadows();
    guest.host.hole = indices..indices + 4096;
    guest.submit(1, flush());
    assert_eq!(guest.read32(offset::CSTS) & 3, 3, "ready, and failed");
    guest.submit(1, flush());
    assert_eq!(guest.host.wake, None, "there is nothing to wake up for");
}

/// With MSI-X the guest rings for a completion queue's head once a lap; no completion is lost in a
/// queue that is full while the guest keeps quiet.
#[test]
fn completion_queue_heads_are_looked_up_when_they_matter() {
    let mut guest = guest(0);
    guest.host.msix = true;
    let (doorbells, indices) = guest.announce_shadows();
    let entries = 4;
    assert_ok(guest.create_cq(1, entries, Some(1)));
    assert_ok(guest.create_sq(1, 16, 1));
    let event = |guest: &Guest<FakeDrive>| {
        u32::from_le_bytes(guest.peek(indices + 12, 4).try_into().unwrap())
    };
    let (mut tail, mut head) = (0_u32, 0_u32);
    let mut rings = 0;
    for _ in 0..10 {
        // Three fit; the others wait for room.
        for _ in 0..5 {
            guest.push(1, flush());
            tail = (tail + 1) % 16;
        }
        guest.poke(doorbells + 8, &tail.to_le_bytes());
        guest.write32(offset::DOORBELLS + 8, tail);
        guest.settle(10);
        for _ in 0..5 {
            assert_ok(guest.take(1).expect("a completion is lost"));
            let (old, new) = (head as u16, ((head + 1) % entries) as u16);
            head = u32::from(new);
            guest.poke(doorbells + 12, &head.to_le_bytes());
            // As Linux decides whether to ring (Base, Annex B.5).
            if new.wrapping_sub(event(&guest) as u16).wrapping_sub(1) < new.wrapping_sub(old) {
                guest.write32(offset::DOORBELLS + 12, head);
                rings += 1;
            }
            guest.settle(10);
        }
    }
    assert!(guest.take(1).is_none());
    assert!(rings < 40, "{rings} rings for 50 completions");
    guest.controller.check_invariants().unwrap();

    // Back to the pin: the guest rings for every head from then on.
    guest.host.msix = false;
    guest.push(1, flush());
    tail = (tail + 1) % 16;
    guest.poke(doorbells + 8, &tail.to_le_bytes());
    guest.write32(offset::DOORBELLS + 8, tail);
    assert_eq!(event(&guest), head);
}
