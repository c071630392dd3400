// SPDX-License-Identifier: GPL-2.0-or-later
//! Hostile guests, each driven by a string of bytes.
//!
//! The fuzz targets call these with what the fuzzer makes up; a property test calls them with
//! random bytes, so that they are exercised without a fuzzer too. Each panics if the controller
//! breaks its promises: no panic of its own, bounded work, books that balance, no byte written
//! outside the memory the guest gave it, and a controller that works again after a reset.

use nvme::{Controller, ControllerConfig, Drive};
use nvme_spec::{offset, HostMemoryDescriptor, NvmOpcode, Sqe};

use crate::{command, FakeConfig, FakeDrive, Guest, PAGE, POWER_STATES};

const MEMORY: usize = 2 << 20;
/// Guest memory that data pointers of the targets may name.
const WINDOW: core::ops::Range<u64> = 0x10_0000..0x18_0000;
/// What the rest of the memory is filled with, to notice stray writes.
const CANARY: u8 = 0xa5;
/// Runs without progress after which a controller counts as stuck. Each run works `BUDGET`
/// commands, and no target submits more than a few hundred.
const MAX_RUNS: u32 = 2_000;
const BUDGET: u32 = 16;

/// Takes numbers off the front of the bytes; zeroes once they have run out.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (head, tail) = self.0.split_at(N.min(self.0.len()));
        let mut array = [0; N];
        for (place, byte) in array.iter_mut().zip(head) {
            *place = *byte;
        }
        self.0 = tail;
        array
    }

    fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// One of the choices.
    fn pick<T: Copy>(&mut self, choices: &[T], default: T) -> T {
        let at = usize::from(self.u8()) % choices.len().max(1);
        choices.get(at).copied().unwrap_or(default)
    }
}

/// A guest with two I/O queue pairs over the fake drive.
fn guest() -> Option<Guest<FakeDrive>> {
    guest_of(FakeConfig::default())
}

fn guest_of(config: FakeConfig) -> Option<Guest<FakeDrive>> {
    let drive = FakeDrive::new(config);
    let media = usize::try_from(drive.media_bytes()).ok()?;
    let config = ControllerConfig {
        power_states: &POWER_STATES,
        transitions: true,
        host_buffer: 16,
        host_buffer_min: 2,
        ..ControllerConfig::default()
    };
    let mut guest = Guest::new(config, drive, MEMORY, media).ok()?;
    guest.budget = BUDGET;
    (guest.enable() && guest.create_queues(2, 32)).then_some(guest)
}

fn check<D: Drive>(controller: &Controller<D>) {
    assert_eq!(controller.check_invariants(), Ok(()));
}

/// Lets the controller work until it wants nothing more; panics if that takes too long.
fn settle<D: Drive>(guest: &mut Guest<D>) {
    for _ in 0..MAX_RUNS {
        check(&guest.controller);
        if !guest.wake() {
            return;
        }
    }
    // The drive's background work may go on for ever, so that is not counted as being stuck.
    let is_drive = guest.host.wake == guest.controller.drive().next_event();
    assert!(is_drive, "the controller never comes to rest");
}

fn drain<D: Drive>(guest: &mut Guest<D>, queues: u16) {
    for queue in 0..=queues {
        // A ring holds 32 entries; stray writes into rings are not possible in the targets.
        for _ in 0..64 {
            if guest.poll(queue).is_none() {
                break;
            }
        }
    }
}

/// After all that, a reset makes the controller whole again.
fn recover<D: Drive>(guest: &mut Guest<D>) {
    guest.disable();
    assert!(guest.enable(), "the controller does not come back");
    check(&guest.controller);
    let flush = command::plain(NvmOpcode::Flush.wire(), 1);
    assert!(guest.create_queues(1, 4), "queues cannot be created");
    assert_eq!(guest.io(flush).status, 0);
}

/// Reads and writes anywhere in the register window, of any size and value.
pub fn registers(data: &[u8]) {
    let Some(mut guest) = guest() else { return };
    let mut bytes = Bytes(data);
    while !bytes.is_empty() {
        let kind = bytes.u8();
        let at = match kind & 7 {
            0..=2 => u64::from(bytes.u8() & 0x7f),
            3..=5 => offset::DOORBELLS + u64::from(bytes.u8()) * 4,
            6 => u64::from(bytes.u16()),
            _ => bytes.u64(),
        };
        let value = match kind >> 3 & 3 {
            0 => u64::from(bytes.u8()),
            1 => u64::from(bytes.u16()) << 12,
            2 => 0x0046_0060 | u64::from(bytes.u8() & 1) | u64::from(bytes.u8() & 3) << 14,
            _ => bytes.u64(),
        };
        let size = 1 << (kind >> 5 & 3);
        guest.controller.mmio_read(at, size);
        guest.controller.mmio_write(at, value, size);
        guest.run();
        guest.wake();
        check(&guest.controller);
    }
    settle(&mut guest);
    recover(&mut guest);
}

/// A submission queue entry of fields that mostly mean something; data pointers stay in the window.
fn any_command(bytes: &mut Bytes<'_>) -> Sqe {
    let opcodes = [
        0x00, 0x01, 0x02, 0x05, 0x08, 0x09, 0x0c, 0x19, 0x79, 0x7a, 0x7d,
    ];
    let kind = bytes.u8();
    let opcode = if kind & 7 == 7 {
        bytes.u8()
    } else {
        bytes.pick(&opcodes, 0)
    };
    let span = WINDOW.end - WINDOW.start;
    let address = |raw: u32| {
        let raw = u64::from(raw);
        WINDOW.start
            + if raw & 1 == 0 {
                raw * PAGE % span
            } else {
                raw % span
            }
    };
    let small = kind & 8 == 0;
    let mut dword = || {
        if small {
            u32::from(bytes.u16())
        } else {
            bytes.u32()
        }
    };
    let cdw = [
        dword(),
        if small { 0 } else { dword() },
        dword(),
        dword(),
        0,
        0,
    ];
    Sqe {
        opcode,
        flags: if kind & 16 == 0 { 0 } else { 0x40 },
        nsid: u32::from(kind >> 5 & 3),
        prp1: address(bytes.u32()),
        prp2: address(bytes.u32()),
        cdw,
        ..Sqe::default()
    }
}

/// Lends memory in the window, or elsewhere, or takes it back; or says what makes no sense.
fn lend(guest: &mut Guest<FakeDrive>, bytes: &mut Bytes<'_>) {
    let shape = bytes.u8();
    let count = u32::from(shape & 3) + 1;
    let mut total = 0;
    for n in 0..u64::from(count) {
        let (place, pages) = (u64::from(bytes.u8()), u32::from(bytes.u8() & 7));
        let address = match place & 15 {
            0 => place << 40,
            1 => WINDOW.start + place,
            _ => WINDOW.start + place / 2 * PAGE,
        };
        let part = HostMemoryDescriptor { address, pages };
        guest.poke(WINDOW.start + 16 * n, &part.encode());
        total += pages;
    }
    let wrong = u32::from(shape & 0xe0 == 0);
    let flags = u32::from(shape >> 2 & 3);
    let sqe = command::host_buffer(flags, total + wrong, WINDOW.start, count);
    guest.submit(0, sqe);
    settle(guest);
    drain(guest, 0);
}

/// Commands of any contents on two queues, in any mixture with completions and waiting.
pub fn commands(data: &[u8]) {
    let Some(mut guest) = guest() else { return };
    let mut bytes = Bytes(data);
    // Lists and descriptors that the commands may happen to point at.
    let lists = bytes.array::<256>();
    guest.poke(WINDOW.start, &lists);
    while !bytes.is_empty() {
        let step = bytes.u8();
        let queue = u16::from(step & 1) + 1;
        match step >> 1 & 7 {
            0..=3 => {
                let sqe = any_command(&mut bytes);
                guest.submit(queue, sqe);
            }
            4 => {
                guest.wake();
            }
            5 => drain(&mut guest, 2),
            6 => lend(&mut guest, &mut bytes),
            _ => settle(&mut guest),
        }
        check(&guest.controller);
    }
    settle(&mut guest);
    drain(&mut guest, 2);
    recover(&mut guest);
}

/// Admin commands of any contents.
pub fn admin(data: &[u8]) {
    let Some(mut guest) = guest() else { return };
    let mut bytes = Bytes(data);
    let opcodes = [
        0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x14, 0x7c, 0x80, 0x84,
    ];
    while !bytes.is_empty() && guest.read32(offset::CSTS) & 2 == 0 {
        let mut sqe = any_command(&mut bytes);
        sqe.opcode = bytes.pick(&opcodes, 0x06);
        sqe.flags &= bytes.u8() & 0x40;
        sqe.cdw[4] = bytes.u32();
        guest.submit(0, sqe);
        settle(&mut guest);
        drain(&mut guest, 0);
    }
    recover(&mut guest);
}

/// A qword of a list: length and type of an SGL descriptor, or an address. Those are multiples of 16,
/// which keeps addresses and lengths of chained SGLs apart: in the window, whole pages of it for a
/// good part, or else where there is no memory.
fn list_entry(raw: u64, is_length: bool) -> u64 {
    if is_length {
        return raw & 0xf0ff_ffff_0000_ffff;
    }
    let offset = (raw >> 8) % (WINDOW.end - WINDOW.start);
    match raw & 7 {
        0 => (raw | 1 << 40) & !0xf,
        1..=3 => WINDOW.start + offset / 16 * 16,
        _ => WINDOW.start + offset / PAGE * PAGE,
    }
}

/// PRP lists and SGLs of any shape: the bytes are the lists. Memory they cannot name stays as it is.
pub fn data_pointers(data: &[u8]) {
    // Just enough for the longest read, since all of the media is looked at in the end.
    let small = FakeConfig {
        conventional_bytes: 256 << 10,
        zones: 1,
        zone_bytes: 4096,
        zone_capacity: 4096,
        ..FakeConfig::default()
    };
    let Some(mut guest) = guest_of(small) else {
        return;
    };
    let mut bytes = Bytes(data);
    let mut sqe = command::blocks(NvmOpcode::Read, 1, 0, u32::from(bytes.u8() & 63) + 1);
    let has_sgl = bytes.u8() & 1 == 0;
    sqe.prp1 = WINDOW.start + u64::from(bytes.u16() & 0x3ff0);
    if has_sgl {
        sqe.flags = 0x40;
        sqe.prp2 = bytes.u64() & 0x3f00_0000_0000_3fff;
    } else {
        sqe.prp2 = WINDOW.start + u64::from(bytes.u16() & 0x3fff);
    }
    let mut at = WINDOW.start;
    while !bytes.is_empty() && at < WINDOW.start + 0x4000 {
        let is_length = has_sgl && at % 16 == 8;
        let value = list_entry(bytes.u64(), is_length);
        guest.poke(at, &value.to_le_bytes());
        at += 8;
    }
    // No entry names memory between the rings and the window.
    let free = guest.mark();
    let canaries = vec![CANARY; WINDOW.start.saturating_sub(free) as usize];
    guest.poke(free, &canaries);
    guest.submit(1, sqe);
    settle(&mut guest);
    let cqe = guest.poll(1);
    assert!(cqe.is_some(), "the command does not complete");
    let is_intact = guest.peek(free, canaries.len()) == canaries;
    assert!(is_intact, "a write outside the guest's buffers");
    let untouched = vec![0; guest.host.media.len()];
    assert!(guest.host.media == untouched, "a read changes the media");
    recover(&mut guest);
}

/// Queues created, deleted, filled and drained in any order, with resets.
pub fn queues(data: &[u8]) {
    let Some(mut guest) = guest() else { return };
    let mut bytes = Bytes(data);
    let flush = command::plain(NvmOpcode::Flush.wire(), 1);
    // Rings are on pages of their own, given back with a reset.
    guest.disable();
    let rings = guest.mark();
    guest.enable();
    for _ in 0..256 {
        if bytes.is_empty() {
            break;
        }
        let step = bytes.u8();
        let (id, other) = (u16::from(step >> 4 & 3) + 1, u16::from(step >> 6) + 1);
        match step & 15 {
            0 => {
                guest.create_cq(id, u32::from(bytes.u8() & 7) + 2, Some(other));
            }
            1 => {
                guest.create_sq(id, u32::from(bytes.u8() & 7) + 2, other);
            }
            2 | 3 => {
                let opcode = if step & 1 == 0 { 0x00 } else { 0x04 };
                guest.submit(
                    0,
                    Sqe {
                        cdw: [id.into(), 0, 0, 0, 0, 0],
                        ..command::plain(opcode, 0)
                    },
                );
            }
            4 => {
                guest.disable();
                guest.release(rings);
                guest.enable();
            }
            5 => {
                guest.wake();
            }
            6 | 7 => drain(&mut guest, 4),
            8 => {
                let abort = u32::from(id) | u32::from(bytes.u16()) << 16;
                guest.submit(
                    0,
                    Sqe {
                        cdw: [abort, 0, 0, 0, 0, 0],
                        ..command::plain(0x08, 0)
                    },
                );
            }
            _ => {
                guest.submit(id, flush);
            }
        }
        check(&guest.controller);
        drain(&mut guest, 0);
    }
    settle(&mut guest);
    recover(&mut guest);
}

/// Zone commands on any drive whose namespace `nsid` is zoned, with zones of `zone_blocks` LBAs.
pub fn zones_of<D: Drive>(guest: &mut Guest<D>, nsid: u32, zone_blocks: u64, data: &[u8]) {
    let mut bytes = Bytes(data);
    while !bytes.is_empty() {
        let step = bytes.u8();
        let zone = u64::from(bytes.u8() & 15);
        let inside = u64::from(bytes.u8());
        let at = zone * zone_blocks + if step & 0x80 == 0 { 0 } else { inside };
        let blocks = u32::from(bytes.u8() & 63) + 1;
        let mut sqe = match step & 15 {
            0..=2 => command::blocks(NvmOpcode::ZoneAppend, nsid, at, blocks),
            3 | 4 => command::blocks(NvmOpcode::Write, nsid, at, blocks),
            5 => command::blocks(NvmOpcode::Read, nsid, at, blocks),
            6 if blocks % 2 == 0 => {
                command::blocks(NvmOpcode::WriteUncorrectable, nsid, at, blocks)
            }
            6 => command::blocks(NvmOpcode::WriteZeroes, nsid, at, blocks),
            7 => command::plain(NvmOpcode::Flush.wire(), nsid),
            kind => {
                let mut sqe = command::plain(NvmOpcode::ZoneSend.wire(), nsid);
                sqe.set_slba(at);
                let all = u32::from(kind == 15 && inside & 7 == 0) << 8;
                // Set Zone Descriptor Extension and Flush ZRWA are far from the others.
                let action = match kind & 7 {
                    6 => 0x10,
                    7 => 0x11,
                    other => u32::from(other),
                };
                sqe.cdw[3] = action | all | u32::from(step & 0x40) << 3;
                sqe
            }
        };
        sqe.prp1 = WINDOW.start;
        sqe.prp2 = WINDOW.start + PAGE;
        guest.submit(1, sqe);
        if step & 0x20 == 0 {
            settle(guest);
            drain(guest, 1);
        }
        check(&guest.controller);
    }
    settle(guest);
    drain(guest, 1);
}

/// Zone commands on the fake drive.
pub fn zones(data: &[u8]) {
    let Some(mut guest) = guest() else { return };
    zones_of(&mut guest, 2, 256, data);
    recover(&mut guest);
}
