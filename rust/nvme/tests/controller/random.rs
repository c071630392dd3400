// SPDX-License-Identifier: GPL-2.0-or-later
//! Random guests: whatever is submitted completes exactly once or is dropped by a reset, and nothing
//! panics.

use std::collections::BTreeSet;

use nvme_spec::{offset, AdminOpcode, Sqe};
use proptest::prelude::*;
use testkit::{command, FakeDrive, Guest};

use crate::{assert_ok, guest};

/// Fields with the values that mean something, and some that do not.
fn any_sqe() -> impl Strategy<Value = Sqe> {
    let opcode = prop_oneof![
        4 => prop::sample::select(vec![0, 1, 2, 5, 8, 9, 0x0c, 0x19, 0x79, 0x7a, 0x7d]),
        1 => any::<u8>(),
    ];
    let flags = prop_oneof![6 => Just(0), 2 => Just(0x40), 1 => any::<u8>()];
    let nsid = prop_oneof![8 => 0..4_u32, 1 => Just(u32::MAX), 1 => any::<u32>()];
    // The rings lie below 1 MiB: a guest that has its data land in them is on its own.
    let address = prop_oneof![
        6 => (256..1024_u64).prop_map(|page| page * 4096),
        2 => (1_u64 << 20)..(4 << 20),
        1 => any::<u64>(),
    ];
    let dword = || {
        prop_oneof![
            4 => 0..300_u32,
            2 => (0..9_u32).prop_map(|zone| zone * 256),
            1 => any::<u32>(),
        ]
    };
    (
        opcode,
        flags,
        nsid,
        (address.clone(), address),
        (
            dword(),
            prop_oneof![8 => Just(0), 1 => dword()],
            dword(),
            dword(),
        ),
    )
        .prop_map(|(opcode, flags, nsid, (prp1, prp2), (a, b, c, d))| Sqe {
            opcode,
            flags,
            nsid,
            prp1,
            prp2,
            cdw: [a, b, c, d, 0, 0],
            ..Sqe::default()
        })
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u16, Sqe),
    Ring(u16),
    Poll(u16),
    Wake,
    /// Ring for an open command, and abort it.
    Abort(prop::sample::Index),
    /// Delete the submission queue and create it again.
    Delete(u16),
    Reset,
}

fn any_step() -> impl Strategy<Value = Step> {
    let queue = || 1..=QUEUES;
    prop_oneof![
        16 => (queue(), any_sqe()).prop_map(|(queue, sqe)| Step::Submit(queue, sqe)),
        4 => (0..=QUEUES).prop_map(Step::Ring),
        8 => queue().prop_map(Step::Poll),
        4 => Just(Step::Wake),
        2 => any::<prop::sample::Index>().prop_map(Step::Abort),
        1 => queue().prop_map(Step::Delete),
        1 => Just(Step::Reset),
    ]
}

const QUEUES: u16 = 3;
const ENTRIES: u32 = 32;

/// A guest that keeps a book of its I/O commands.
struct Books {
    guest: Guest<FakeDrive>,
    /// Queue and identifier of the commands that have not completed.
    open: BTreeSet<(u16, u16)>,
    /// Those that have not completed, or completed since their queue was last polled.
    in_queue: [u32; QUEUES as usize + 1],
    /// Where the rings of the next reset lie.
    rings: u64,
}

impl Books {
    fn new(budget: u32) -> Self {
        let mut guest = guest(QUEUES);
        guest.budget = budget;
        Self {
            rings: guest.mark(),
            guest,
            open: BTreeSet::new(),
            in_queue: [0; QUEUES as usize + 1],
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit(queue, sqe) => {
                // A guest that overruns its ring loses its own entries.
                if self.in_queue[usize::from(queue)] < ENTRIES - 1 {
                    self.in_queue[usize::from(queue)] += 1;
                    let cid = self.guest.push(queue, sqe);
                    self.open.insert((queue, cid));
                }
            }
            Step::Ring(queue) => self.guest.ring(queue),
            Step::Poll(queue) => {
                self.drain(queue);
                let left = self.open.iter().filter(|(q, _)| *q == queue).count();
                self.in_queue[usize::from(queue)] = left as u32;
            }
            Step::Wake => {
                self.guest.wake();
            }
            Step::Abort(which) => self.abort(which),
            Step::Delete(queue) => self.delete(queue),
            Step::Reset => self.reset(),
        }
    }

    /// Takes all completions of a queue; each is of an open command.
    fn drain(&mut self, queue: u16) {
        while let Some(cqe) = self.guest.poll(queue) {
            let is_open = self.open.remove(&(cqe.sq_id, cqe.cid));
            assert!(is_open, "dropped or completed before: {cqe:?}");
        }
    }

    /// Whether the command is still to be fetched, in flight or done, it completes once.
    fn abort(&mut self, which: prop::sample::Index) {
        let open: Vec<_> = self.open.iter().copied().collect();
        if open.is_empty() {
            return;
        }
        let (queue, cid) = open[which.index(open.len())];
        self.guest.ring(queue);
        let which = u32::from(queue) | u32::from(cid) << 16;
        let abort = command::admin(AdminOpcode::Abort, 0, which, 0);
        assert_ok(self.guest.admin(abort));
    }

    /// All commands of the queue are fetched, so all have completed when it is deleted: its
    /// completion queue has room for as many.
    fn delete(&mut self, queue: u16) {
        self.guest.ring(queue);
        while self.guest.host.wake == Some(self.guest.host.clock) {
            self.guest.run();
        }
        let delete = command::admin(AdminOpcode::DeleteSq, 0, queue.into(), 0);
        assert_ok(self.guest.admin(delete));
        self.step(Step::Poll(queue));
        assert_eq!(self.in_queue[usize::from(queue)], 0, "{:?}", self.open);
        assert_ok(self.guest.create_sq(queue, ENTRIES, queue));
    }

    fn reset(&mut self) {
        self.guest.disable();
        self.guest.release(self.rings);
        assert!(self.guest.enable());
        assert!(self.guest.create_queues(QUEUES, ENTRIES));
        self.open.clear();
        self.in_queue.fill(0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_command_completes_exactly_once(
        steps in prop::collection::vec(any_step(), 1..120),
        budget in 1..10_u32,
    ) {
        let mut books = Books::new(budget);
        for step in steps {
            books.step(step);
            prop_assert_eq!(books.guest.controller.check_invariants(), Ok(()));
        }
        for queue in 1..=QUEUES {
            books.guest.ring(queue);
        }
        for _ in 0..3 {
            books.guest.settle(10_000);
            for queue in 1..=QUEUES {
                books.drain(queue);
            }
        }
        prop_assert!(books.open.is_empty(), "{:?}", books.open);
    }

    #[test]
    fn no_sequence_of_register_writes_does_harm(
        writes in prop::collection::vec(
            (
                prop_oneof![
                    2 => 0..0x70_u64,
                    2 => (0..0x20_u64).prop_map(|n| n * 4),
                    3 => (0..20_u64).prop_map(|n| offset::DOORBELLS + n * 4),
                    1 => any::<u64>(),
                ],
                prop_oneof![
                    2 => any::<u64>(),
                    2 => 0..64_u64,
                    1 => Just(0x0046_0061),
                    1 => Just(0),
                    1 => (0..1024_u64).prop_map(|page| page * 4096),
                ],
                prop::sample::select(vec![1_u8, 2, 4, 8]),
            ),
            1..60,
        ),
    ) {
        let mut guest = guest(1);
        for (at, value, size) in writes {
            guest.controller.mmio_write(at, value, size);
            guest.run();
            guest.wake();
            guest.controller.mmio_read(at, size);
            prop_assert_eq!(guest.controller.check_invariants(), Ok(()));
        }
        guest.disable();
        prop_assert!(guest.enable());
    }
}
