// SPDX-License-Identifier: GPL-2.0-or-later
//! Random guests: whatever is submitted completes exactly once or is dropped by a reset, and nothing
//! panics. By registers or shadow doorbells, messages or the pin, with completion queues of their own or one for all.

use std::collections::BTreeMap;

use nvme::ControllerConfig;
use nvme_spec::{offset, AdminOpcode, Cqe, NvmOpcode, Sqe};
use proptest::prelude::*;
use testkit::{command, FakeConfig, FakeDrive, Guest, PAGE};
use units::Nanos;

use crate::{assert_ok, guest, guest_with, META};

/// Fields with the values that mean something, and some that do not.
fn any_sqe() -> impl Strategy<Value = Sqe> {
    let opcode = prop_oneof![
        4 => prop::sample::select(vec![0, 1, 2, 4, 5, 8, 9, 0x0c, 0x19, 0x79, 0x7a, 0x7d]),
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
    /// Two processors that share a queue: each rings after both have written the shadow doorbell.
    Race(u16, Sqe, Sqe),
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
        1 => (queue(), any_sqe(), any_sqe()).prop_map(|(queue, a, b)| Step::Race(queue, a, b)),
        8 => queue().prop_map(Step::Poll),
        4 => Just(Step::Wake),
        2 => any::<prop::sample::Index>().prop_map(Step::Abort),
        1 => queue().prop_map(Step::Delete),
        1 => Just(Step::Reset),
    ]
}

const QUEUES: u16 = 3;

/// How the guest talks to the controller.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Commands per run.
    budget: u32,
    /// Interrupts are messages; else they are the pin.
    msix: bool,
    /// Doorbells are in memory, and rung only where the controller asks for it.
    shadows: bool,
    /// All submission queues have one completion queue.
    shared: bool,
    /// Commands take no time, and several share an interrupt and a doorbell.
    instant: bool,
}

fn any_way() -> impl Strategy<Value = Way> {
    (1..10_u32, any::<[bool; 4]>()).prop_map(|(budget, [msix, shadows, shared, instant])| Way {
        budget,
        msix,
        shadows,
        shared,
        instant,
    })
}

impl Way {
    /// A completion queue has room for all commands that its submission queues hold.
    const fn entries(self) -> u32 {
        if self.shared {
            16
        } else {
            32
        }
    }

    const fn cq(self, sq: u16) -> u16 {
        if self.shared {
            1
        } else {
            sq
        }
    }
}

/// What the guest knows of a submission queue. Positions count from its creation and do not wrap.
#[derive(Clone, Debug, Default)]
struct Submission {
    /// Position behind the last entry.
    tail: u64,
    /// What of it the controller was told.
    told: u64,
    /// How far it was read, as the last completion says.
    head: u64,
    /// Identifiers of the commands that have not completed, and their positions.
    open: BTreeMap<u16, u64>,
}

/// A guest that keeps a book of its I/O commands.
struct Books {
    way: Way,
    guest: Guest<FakeDrive>,
    /// By identifier; the first is of no queue.
    sqs: [Submission; QUEUES as usize + 1],
    /// Completions taken from each queue.
    taken: [u64; QUEUES as usize + 1],
    /// Where the shadow doorbells and their event indices are.
    shadows: Option<(u64, u64)>,
    /// Where the rings of the next reset lie.
    rings: u64,
}

impl Books {
    fn new(way: Way) -> Self {
        let mut drive = FakeConfig::default();
        if way.instant {
            drive.latency = Nanos::ZERO;
        }
        let mut guest = guest_with(ControllerConfig::default(), drive, 0);
        guest.budget = way.budget;
        guest.host.msix = way.msix;
        if way.instant {
            guest
                .controller
                .set_interrupt_hold(Nanos::from_micros(2000));
        }
        let mut books = Self {
            way,
            rings: guest.mark(),
            guest,
            sqs: Default::default(),
            taken: Default::default(),
            shadows: None,
        };
        books.create_queues();
        books
    }

    fn create_queues(&mut self) {
        self.sqs = Default::default();
        self.taken = Default::default();
        self.shadows = None;
        if self.way.shadows {
            let at = self.guest.mark();
            self.guest.poke(at, &[0; 2 * PAGE as usize]);
            self.shadows = Some(self.guest.announce_shadows());
        }
        for id in 1..=QUEUES {
            if self.way.cq(id) == id {
                let entries = if self.way.shared {
                    64
                } else {
                    self.way.entries()
                };
                assert_ok(self.guest.create_cq(id, entries, Some(id)));
            }
            assert_ok(self.create_sq(id));
        }
    }

    fn create_sq(&mut self, id: u16) -> Cqe {
        if let Some((doorbells, indices)) = self.shadows {
            for page in [doorbells, indices] {
                self.guest.poke(page + u64::from(id) * 8, &[0; 4]);
            }
        }
        self.sqs[usize::from(id)] = Submission::default();
        let (entries, cq) = (self.way.entries(), self.way.cq(id));
        self.guest.create_sq(id, entries, cq)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit(queue, sqe) => self.submit(queue, sqe),
            Step::Ring(0) => self.guest.ring(0),
            Step::Ring(queue) => self.ring(queue),
            Step::Race(queue, first, second) => {
                let rings = [first, second].map(|sqe| {
                    self.submit(queue, sqe);
                    self.tell(queue)
                });
                for (register, tail, asked) in rings {
                    if asked {
                        self.guest.write32(register, tail);
                    }
                }
            }
            Step::Poll(queue) => self.drain(self.way.cq(queue)),
            Step::Wake => {
                self.guest.wake();
            }
            Step::Abort(which) => self.abort(which),
            Step::Delete(queue) => self.delete(queue),
            Step::Reset => self.reset(),
        }
    }

    fn submit(&mut self, queue: u16, sqe: Sqe) {
        let sq = &mut self.sqs[usize::from(queue)];
        // A guest that overruns its ring loses its own entries.
        let oldest = sq.open.values().min().copied().unwrap_or(sq.tail);
        if sq.tail - oldest < u64::from(self.way.entries() - 1) {
            let cid = self.guest.push(queue, sqe);
            sq.open.insert(cid, sq.tail);
            sq.tail += 1;
        }
    }

    /// Tells the controller the tail of a queue, by its register only if it asks for that.
    fn ring(&mut self, queue: u16) {
        let (place, tail, asked) = self.tell(queue);
        if asked {
            self.guest.write32(place, tail);
        }
    }

    /// Writes the shadow of a queue's tail, if there are shadows: the register, the tail, and whether it is to be rung.
    fn tell(&mut self, queue: u16) -> (u64, u32, bool) {
        let sq = &mut self.sqs[usize::from(queue)];
        sq.told = sq.tail;
        let tail = (sq.tail % u64::from(self.way.entries())) as u32;
        let place = u64::from(queue) * 8;
        (offset::DOORBELLS + place, tail, self.shadow(place, tail))
    }

    /// Writes a shadow doorbell; whether the register is to be rung, too. As Linux decides it (Base, Annex B.5).
    fn shadow(&mut self, place: u64, value: u32) -> bool {
        let Some((doorbells, indices)) = self.shadows else {
            return true;
        };
        let word = |guest: &Guest<FakeDrive>, page: u64| {
            u32::from_le_bytes(guest.peek(page + place, 4).try_into().unwrap()) as u16
        };
        let old = word(&self.guest, doorbells);
        self.guest.poke(doorbells + place, &value.to_le_bytes());
        let new = value as u16;
        let passed = new.wrapping_sub(word(&self.guest, indices)).wrapping_sub(1);
        passed < new.wrapping_sub(old)
    }

    /// Takes all completions of a queue; each is of an open command.
    fn drain(&mut self, cq: u16) {
        while let Some(cqe) = self.guest.take(cq) {
            self.complete(cqe);
            let entries = if self.way.shared {
                64
            } else {
                self.way.entries()
            };
            self.taken[usize::from(cq)] += 1;
            let head = (self.taken[usize::from(cq)] % u64::from(entries)) as u32;
            let place = u64::from(cq) * 8 + 4;
            if self.shadow(place, head) {
                self.guest.write32(offset::DOORBELLS + place, head);
            }
        }
    }

    /// A completion is of an open command. How far its queue was read is behind the command, never further back than
    /// in the completion before, and not beyond what the controller was told: there is one such position.
    fn complete(&mut self, cqe: Cqe) {
        let entries = u64::from(self.way.entries());
        let sq = &mut self.sqs[usize::from(cqe.sq_id)];
        let position = sq.open.remove(&cqe.cid);
        assert!(position.is_some(), "dropped or completed before: {cqe:?}");
        let read = (position.unwrap() + 1).max(sq.head)..=sq.told;
        let head = read
            .clone()
            .find(|at| at % entries == u64::from(cqe.sq_head));
        assert!(head.is_some(), "{cqe:?}: its head is not in {read:?}");
        sq.head = head.unwrap();
    }

    /// Whether the command is still to be fetched, in flight or done, it completes once.
    fn abort(&mut self, which: prop::sample::Index) {
        let open = self.sqs.iter().zip(0_u16..);
        let open: Vec<_> = open
            .flat_map(|(sq, queue)| sq.open.keys().map(move |cid| (queue, *cid)))
            .collect();
        if open.is_empty() {
            return;
        }
        let (queue, cid) = open[which.index(open.len())];
        self.ring(queue);
        let which = u32::from(queue) | u32::from(cid) << 16;
        let abort = command::admin(AdminOpcode::Abort, 0, which, 0);
        assert_ok(self.guest.admin(abort));
    }

    /// All commands of the queue are fetched, so all have completed when it is deleted: its
    /// completion queue has room for as many.
    fn delete(&mut self, queue: u16) {
        let (register, tail, _) = self.tell(queue);
        self.guest.write32(register, tail);
        while self.guest.host.wake == Some(self.guest.host.clock) {
            self.guest.run();
        }
        let delete = command::admin(AdminOpcode::DeleteSq, 0, queue.into(), 0);
        assert_ok(self.guest.admin(delete));
        self.drain(self.way.cq(queue));
        let open = &self.sqs[usize::from(queue)].open;
        assert!(open.is_empty(), "{open:?}");
        assert_ok(self.create_sq(queue));
    }

    fn reset(&mut self) {
        self.guest.disable();
        self.guest.release(self.rings);
        assert!(self.guest.enable());
        self.create_queues();
    }

    /// What holds between steps.
    fn check(&self) {
        assert_eq!(self.guest.controller.check_invariants(), Ok(()));
        // Without MSI-X, the pin is high as long as there are completions.
        if !self.way.msix {
            let is_pending = (0..=QUEUES).any(|cq| self.guest.next(cq).is_some());
            assert_eq!(self.guest.host.pin, is_pending);
        }
        if let Some((doorbells, _)) = self.shadows {
            // The guest's own: the controller only reads it.
            for (sq, id) in self.sqs.iter().zip(0_u64..).skip(1) {
                let tail = (sq.told % u64::from(self.way.entries())) as u32;
                let shadow = self.guest.peek(doorbells + id * 8, 4);
                assert_eq!(shadow, tail.to_le_bytes(), "of queue {id}");
            }
        }
    }

    /// Everything completes, and each queue is read to its end.
    fn end(&mut self) {
        for queue in 1..=QUEUES {
            self.ring(queue);
        }
        for round in 0..4 {
            self.guest.settle(10_000);
            for queue in 1..=QUEUES {
                self.drain(self.way.cq(queue));
                let sq = &self.sqs[usize::from(queue)];
                assert!(round == 0 || sq.open.is_empty(), "{sq:?}");
                if round < 2 {
                    self.submit(queue, command::plain(NvmOpcode::Flush.wire(), META));
                    self.ring(queue);
                }
            }
        }
        for sq in &self.sqs {
            assert_eq!(
                sq.head, sq.tail,
                "the last completion is behind all commands"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_command_completes_exactly_once(
        steps in prop::collection::vec(any_step(), 1..120),
        way in any_way(),
    ) {
        let mut books = Books::new(way);
        for step in steps {
            books.step(step);
            books.check();
        }
        books.end();
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
