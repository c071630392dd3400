// SPDX-License-Identifier: GPL-2.0-or-later
//! A guest that works with a drive: any drive, also one that no guest could have made.

use crate::random::Random;
use nvme::MediaChange;
use nvme_spec::{AdminOpcode, HostMemoryDescriptor, NvmOpcode, Sqe, WireZoneAction};
use ssd::Drive;
use testkit::{command, Guest, PAGE};
use units::{Instant, Nanos};

/// The machine's memory: rings, a buffer and lists.
pub(super) const MEMORY: usize = 512 << 10;
/// Where data comes from and goes to.
pub(super) const BUFFER: u64 = 0x4_0000;
const BUFFER_PAGES: u64 = 8;
/// Memory that is lent where it is asked for, and the list that says so.
const LENT: u64 = 0x7_0000;
const LENT_LIST: u64 = 0x7_8000;
/// Where Dataset Management finds its range.
const RANGES: u64 = 0x6_0000;
/// Entries of the I/O queues.
const ENTRIES: u32 = 16;
/// Visits until the controller is left alone: background work may go on for ever.
const VISITS: u32 = 60;
/// Longer than any drive takes to recover.
const RECOVERY: Nanos = Nanos::new(100_000_000_000);

/// Enables the controller and makes queues; or not, if it does not come up.
pub(super) fn bring_up(guest: &mut Guest<Drive>) -> bool {
    guest.host.clock += RECOVERY;
    guest.run();
    guest.release(0x1_0000);
    if !guest.enable() {
        return false;
    }
    let ask = |guest: &mut Guest<Drive>, sqe: Sqe| {
        guest.submit(0, sqe);
        guest.settle(VISITS);
        while guest.poll(0).is_some() {}
    };
    let (cq, sq) = (guest.alloc(PAGE), guest.alloc(PAGE));
    guest.poke(cq, &[0; PAGE as usize]);
    ask(guest, command::create_cq(1, ENTRIES, cq, None));
    ask(guest, command::create_sq(1, ENTRIES, sq, 1));
    guest.add_cq(1, ENTRIES, cq);
    guest.add_sq(1, ENTRIES, sq, 1);
    true
}

/// Puts a command into a queue.
fn submit(guest: &mut Guest<Drive>, random: &mut Random) {
    let infos = nvme::Drive::namespaces(guest.controller.drive());
    let n = random.below(infos.len() as u64) as usize;
    let (nsid, info) = (n as u32 + 1, &infos[n]);
    let (blocks, shift) = (info.blocks(), info.lba_shift);
    let zone = info.zoned.as_ref().map(|z| z.zone_size.get() >> shift);
    let first = zone.map_or(0, |zone| random.below(blocks / zone.max(1)) * zone);
    // Much of it in one place, so that it is written over.
    let reach = random.pick(&[blocks / 16, blocks]);
    let at = random.below(reach);
    let most = (BUFFER_PAGES * PAGE) >> shift;
    let most = random.pick(&[most, 8]);
    let n = 1 + random.below(most) as u32;
    let is_rare = random.chance(2);
    let mut sqe = match (random.below(14), zone) {
        (0, _) => command::plain(NvmOpcode::Flush.wire(), nsid),
        (1, Some(_)) => {
            let actions = [
                WireZoneAction::Reset,
                WireZoneAction::Finish,
                WireZoneAction::Open,
                WireZoneAction::Close,
            ];
            command::zone_send(nsid, first, random.pick(&actions), is_rare)
        }
        (2..=7, Some(_)) => command::blocks(NvmOpcode::ZoneAppend, nsid, first, n),
        (2, None) => {
            let mut sqe = command::plain(NvmOpcode::DatasetManagement.wire(), nsid);
            let mut range = [0; 16];
            range[4..8].copy_from_slice(&n.to_le_bytes());
            range[8..].copy_from_slice(&at.to_le_bytes());
            guest.poke(RANGES, &range);
            // One range, to be deallocated.
            sqe.cdw[1] = 4;
            sqe.prp1 = RANGES;
            sqe
        }
        (3..=7, None) => command::blocks(NvmOpcode::Write, nsid, at, n),
        (8, _) => command::blocks(NvmOpcode::WriteZeroes, nsid, at, n),
        (9, _) if is_rare => command::blocks(NvmOpcode::WriteUncorrectable, nsid, at, n),
        (9, _) => command::blocks(NvmOpcode::Write, nsid, first, n),
        _ => command::blocks(NvmOpcode::Read, nsid, at, n),
    };
    if (2..=9).contains(&random.below(16)) {
        // FUA, where it is a write.
        sqe.cdw[2] |= u32::from(sqe.opcode == NvmOpcode::Write.wire() && random.chance(30)) << 30;
    }
    let mark = guest.mark();
    if sqe.prp1 == 0 {
        sqe = guest.with_prp(sqe, BUFFER, u64::from(n) << shift);
    }
    guest.submit(1, sqe);
    guest.release(mark);
}

/// Lends two pages to a drive that asks for some, or takes them back, or writes there.
fn lend(guest: &mut Guest<Drive>, random: &mut Random) {
    match random.below(4) {
        0 => guest.poke(LENT + random.below(2 * PAGE), &[random.any() as u8]),
        1 => {
            guest.submit(0, command::host_buffer(0, 0, 0, 0));
        }
        returned => {
            let part = HostMemoryDescriptor {
                address: LENT,
                pages: 2,
            };
            guest.poke(LENT_LIST, &part.encode());
            let flags = if returned == 2 { 1 } else { 3 };
            guest.submit(0, command::host_buffer(flags, 2, LENT_LIST, 1));
        }
    }
}

/// One thing that a guest does, and some time.
pub(super) fn ask(guest: &mut Guest<Drive>, random: &mut Random) {
    match random.below(200) {
        0 => {
            let number = random.any() as u32;
            guest.submit(0, command::admin(AdminOpcode::Note, 0, number, 1));
        }
        1 => {
            let at = guest.host.clock;
            cut(guest, at);
            guest.controller.reset(at);
            bring_up(guest);
        }
        2..5 => lend(guest, random),
        _ => submit(guest, random),
    }
    let longest = random.pick(&[1, 60_000, 60_000, 3_000_000]);
    guest.host.clock += Nanos::new(random.below(longest));
    guest.run();
    if random.chance(20) {
        guest.settle(VISITS);
    }
    for queue in 0..=1 {
        // A ring of a forged drive may be anywhere, also where everything looks like a completion.
        for _ in 0..ENTRIES {
            if guest.poll(queue).is_none() {
                break;
            }
        }
    }
}

/// Commands that have no answer yet.
pub(super) fn leave_in_flight(guest: &mut Guest<Drive>, random: &mut Random) {
    for _ in 0..5 {
        submit(guest, random);
    }
}

/// Power goes.
pub(super) fn cut(guest: &mut Guest<Drive>, at: Instant) {
    let media = &mut guest.host.media;
    guest.controller.lose_power(at, &mut |change| match change {
        MediaChange::Gone(bytes) => media[bytes.start as usize..bytes.end as usize].fill(0),
        MediaChange::Restored { from, to } => {
            media.copy_within(from as usize..(from + PAGE) as usize, to as usize);
        }
    });
}
