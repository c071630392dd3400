// SPDX-License-Identifier: GPL-2.0-or-later
//! Hostile states: bytes as they come, or changes to the state of a drive that has worked. The first byte chooses the
//! preset, the second which of these.

#![no_main]

use std::cell::RefCell;
use std::collections::BTreeMap;

use ssd::{Plan, Ssd};
use testkit::Guest;

/// The state of a drive that a guest has asked for this and that.
fn used(plan: &Plan) -> Vec<u8> {
    let drive = ssd::Drive::new(plan).expect("the drives are possible");
    let media = usize::try_from(plan.layout.size.get()).expect("they are small");
    let data = nvme::Drive::namespaces(&drive)
        .last()
        .cloned()
        .expect("they have data");
    let zone = data
        .zoned
        .as_ref()
        .map(|z| z.zone_size.get() >> data.lba_shift);
    let nsid = nvme::Drive::namespaces(&drive).len() as u32;
    let mut guest = Guest::new(plan.controller.clone(), drive, 2 << 20, media).expect("possible");
    if guest.enable() && guest.create_queues(1, 32) {
        let commands: Vec<u8> = (0..600_u32).map(|n| (n * n >> 3) as u8).collect();
        let zone = zone.unwrap_or(data.blocks() / 4);
        testkit::fuzz::zones_of(&mut guest, nsid, zone, &commands);
    }
    state::encode(&guest.controller)
}

thread_local! {
    static USED: RefCell<BTreeMap<u8, (Plan, Vec<u8>)>> = const { RefCell::new(BTreeMap::new()) };
}

fn run(data: &[u8]) -> Option<()> {
    let (&[first, second], rest) = data.split_first_chunk()?;
    let first = first % conzone_fuzz::DRIVES.len() as u8;
    USED.with_borrow_mut(|used_drives| {
        let (plan, used) = used_drives.entry(first).or_insert_with(|| {
            let plan = conzone_fuzz::config(first)
                .plan()
                .expect("the drives are possible");
            let state = used(&plan);
            (plan, state)
        });
        let mut bytes = used.clone();
        if second & 1 == 0 {
            bytes = rest.to_vec();
        } else {
            for change in rest.chunks_exact(4).take(8) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
                match change[2] % 4 {
                    0 => bytes[at] = change[3],
                    1 => bytes[at] = bytes[at].wrapping_add(change[3]),
                    2 => bytes.insert(at, change[3]),
                    _ => _ = bytes.remove(at),
                }
            }
        }
        let mut drive: Ssd = ssd::build(plan).expect("the drives are possible");
        if state::decode(&mut drive, &bytes).is_ok() {
            assert_eq!(drive.check_invariants(), Ok(()));
            assert_eq!(drive.drive().model().check_invariants(), Ok(()));
            let again = state::encode(&drive);
            let mut other = ssd::build(plan).expect("the drives are possible");
            assert_eq!(state::decode(&mut other, &again), Ok(()));
            assert!(state::encode(&other) == again);
        }
    });
    Some(())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = run(data);
});
