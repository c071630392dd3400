// SPDX-License-Identifier: GPL-2.0-or-later
//! Random guests: whatever is submitted completes exactly once, and nothing panics.

use std::collections::BTreeMap;

use nvme_spec::{offset, Sqe};
use proptest::prelude::*;
use testkit::{FakeDrive, Guest};

use crate::guest;

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
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..4_u16, any_sqe()).prop_map(|(queue, sqe)| Step::Submit(queue, sqe)),
        2 => (0..4_u16).prop_map(Step::Ring),
        4 => (1..4_u16).prop_map(Step::Poll),
        2 => Just(Step::Wake),
    ]
}

/// Takes all completions of a queue out of `outstanding`.
fn drain(guest: &mut Guest<FakeDrive>, cq: u16, outstanding: &mut BTreeMap<(u16, u16), u32>) {
    while let Some(cqe) = guest.poll(cq) {
        let left = outstanding.get_mut(&(cqe.sq_id, cqe.cid)).unwrap();
        assert_eq!(*left, 1, "completed twice");
        *left = 0;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_command_completes_exactly_once(
        steps in prop::collection::vec(any_step(), 1..120),
        budget in 1..10_u32,
    ) {
        let mut guest = guest(3);
        guest.budget = budget;
        let mut outstanding = BTreeMap::new();
        let mut in_queue = [0_u32; 4];
        for step in steps {
            match step {
                Step::Submit(queue, sqe) => {
                    // A ring of 32 holds 31; a guest that overruns it loses its own entries.
                    if in_queue[usize::from(queue)] < 31 {
                        in_queue[usize::from(queue)] += 1;
                        let cid = guest.push(queue, sqe);
                        outstanding.insert((queue, cid), 1);
                    }
                }
                Step::Ring(queue) => guest.ring(queue),
                Step::Poll(queue) => {
                    drain(&mut guest, queue, &mut outstanding);
                    let left = outstanding.iter().filter(|((q, _), n)| *q == queue && **n == 1);
                    in_queue[usize::from(queue)] = left.count() as u32;
                }
                Step::Wake => {
                    guest.wake();
                }
            }
            prop_assert_eq!(guest.controller.check_invariants(), Ok(()));
        }
        for queue in 1..4 {
            guest.ring(queue);
        }
        for _ in 0..3 {
            guest.settle(10_000);
            for queue in 1..4 {
                drain(&mut guest, queue, &mut outstanding);
            }
        }
        prop_assert!(outstanding.values().all(|&n| n == 0), "{outstanding:?}");
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
