// SPDX-License-Identifier: GPL-2.0-or-later
//! Malformed input, class by class: each mistake has its status, and none does harm.

use anyhow::{Context, Result};
use qtest::action::{CLOSE, OFFLINE, OPEN, RESET};
use qtest::opcode::{APPEND, COPY, READ, WRITE, ZONE_RECEIVE, ZONE_SEND};
use qtest::status::*;
use qtest::{register, Drive, Machine, NvmeDriver, Sqe, SLOT, ZONE};

/// PSDT: the data pointer is an SGL.
const SGL: u32 = 1 << 14;

/// Logical blocks of both namespaces.
const META_BLOCKS: u64 = 256 << 20 >> 9;
const DATA_BLOCKS: u64 = 32 * ZONE;

/// A machine whose guest makes these mistakes, each with its status, and goes on working.
fn mistakes(make: impl Fn(&mut Drive) -> Result<Vec<(Sqe, u16)>>, admin: bool) -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,shadow-doorbells=on")?;
    let mut drive = Drive::of(NvmeDriver::start_with_msix(&machine, SLOT)?)?;
    for (command, status) in make(&mut drive)? {
        let cqe = if admin {
            drive.nvme.admin(&command)
        } else {
            drive.run(&command)
        };
        let cqe = cqe.with_context(|| format!("{command:x?}"))?;
        assert_eq!(cqe.code(), status, "{command:x?}");
    }
    drive.io(WRITE, 1, 0, 8)?.success()?;
    machine.quit()
}

#[test]
fn queues() -> Result<()> {
    let make = |drive: &mut Drive| {
        let at = drive.nvme.buffer;
        let cq = |size: u32, id: u32, flags: u32| {
            let sqe = Sqe::new(0x05).prp(at, 0);
            sqe.dword(10, size << 16 | id).dword(11, flags)
        };
        let sq = |size: u32, id: u32, flags: u32| Sqe(cq(size, id, flags).0.map(|d| d)).dword(0, 1);
        let delete = |opcode: u8, id: u32| Sqe::new(opcode).dword(10, id);
        Ok(vec![
            (cq(7, 0, 1), QUEUE_ID),
            (cq(7, 1, 1), QUEUE_ID),
            (cq(7, 65, 1), QUEUE_ID),
            (cq(0, 2, 1), QUEUE_SIZE),
            (cq(0xffff, 2, 1), QUEUE_SIZE),
            (cq(7, 2, 0), INVALID_FIELD), // not contiguous, which CAP.CQR demands
            (cq(7, 2, 0x1000 << 16 | 3), VECTOR),
            (cq(7, 2, 1).prp(at + 8, 0), PRP_OFFSET),
            (sq(7, 2, 9 << 16 | 1), CQ_INVALID),
            (sq(7, 2, 1), CQ_INVALID),
            (sq(7, 1, 1 << 16 | 1), QUEUE_ID),
            (sq(0xffff, 2, 1 << 16 | 1), QUEUE_SIZE),
            (delete(0x00, 0), QUEUE_ID),
            (delete(0x00, 9), QUEUE_ID),
            (delete(0x04, 0), QUEUE_ID),
            (delete(0x04, 1), QUEUE_DELETION), // its submission queue is still there
        ])
    };
    mistakes(make, true)
}

#[test]
fn admin_commands() -> Result<()> {
    let make = |drive: &mut Drive| {
        let at = drive.nvme.buffer;
        let identify = |cns: u32, nsid: u32| Sqe::new(0x06).prp(at, 0).dword(10, cns).nsid(nsid);
        let log = |page: u32| Sqe::new(0x02).prp(at, 0).dword(10, 15 << 16 | page);
        Ok(vec![
            (Sqe::new(0x7f), INVALID_OPCODE),
            (Sqe::new(0x0d), INVALID_OPCODE), // Namespace Management
            (identify(0x00, 0), INVALID_NAMESPACE),
            (identify(0x00, 3), INVALID_NAMESPACE),
            (identify(0xee, 1), INVALID_FIELD),
            (identify(0x05, 2).dword(11, 9 << 24), INVALID_FIELD),
            (log(0x77), LOG_PAGE),
            (log(0x02).dword(12, 2), INVALID_FIELD), // an offset inside a dword
            (log(0x02).dword(13, 1), INVALID_FIELD), // an offset past the page
            (Sqe::new(0x0a).dword(10, 0x7f), INVALID_FIELD),
            (Sqe::new(0x09).dword(10, 0x7f), INVALID_FIELD),
            (Sqe::new(0x09).dword(10, 0x02).dword(11, 7), INVALID_FIELD),
            (Sqe::new(0x80).nsid(3), INVALID_NAMESPACE),
            (Sqe::new(0x7c).prp(at + 1, 0), INVALID_FIELD),
            (identify(0x01, 0).dword(0, SGL | 6), INVALID_FIELD),
        ])
    };
    mistakes(make, true)
}

#[test]
fn data_pointers() -> Result<()> {
    let make = |drive: &mut Drive| {
        let at = drive.nvme.buffer;
        let list = drive.nvme.buffer + (64 << 10);
        let entries = [at + 4096, at + 8192 + 8];
        let entries: Vec<u8> = entries.iter().flat_map(|e| e.to_le_bytes()).collect();
        drive.nvme.machine().memwrite(list, &entries)?;
        let read = |blocks: u16, second: u64| Sqe::io(READ, 1, 0, blocks, at).prp(at, second);
        let sgl = |address: u64, length: u64, kind: u64| {
            let read = Sqe::io(READ, 1, 0, 8, at).dword(0, SGL | u32::from(READ));
            read.pair(6, address).pair(8, length | kind << 56)
        };
        Ok(vec![
            (read(8, 0).prp(at + 1, at + 4096), PRP_OFFSET),
            (read(16, at + 4096 + 4), PRP_OFFSET),
            (read(24, list + 4), PRP_OFFSET),
            (read(24, list), PRP_OFFSET), // the second entry of the list
            (
                read(8, 0).dword(0, 3 << 14 | u32::from(READ)),
                INVALID_FIELD,
            ),
            (sgl(at, 4095, 0x00), SGL_LENGTH),
            (sgl(at, 4096, 0x50), SGL_TYPE),
            (sgl(at, 4096, 0x05), SGL_TYPE),
            (sgl(list, 24, 0x30), SGL_SEGMENT),
            (sgl(list, 0, 0x20), SGL_SEGMENT),
        ])
    };
    mistakes(make, false)
}

#[test]
fn ranges_and_namespaces() -> Result<()> {
    let make = |drive: &mut Drive| {
        let at = drive.nvme.buffer;
        let copy = Sqe::new(COPY).nsid(1).prp(at, 0);
        Ok(vec![
            (Sqe::io(READ, 0, 0, 8, at), INVALID_NAMESPACE),
            (Sqe::io(READ, 9, 0, 8, at), INVALID_NAMESPACE),
            (Sqe::io(READ, u32::MAX, 0, 8, at), INVALID_NAMESPACE),
            (Sqe::io(READ, 1, META_BLOCKS - 7, 8, at), LBA_OUT_OF_RANGE),
            (Sqe::io(WRITE, 1, META_BLOCKS, 8, at), LBA_OUT_OF_RANGE),
            (Sqe::io(WRITE, 1, u64::MAX, 8, at), LBA_OUT_OF_RANGE),
            (Sqe::io(READ, 2, DATA_BLOCKS, 8, at), LBA_OUT_OF_RANGE),
            (Sqe::io(READ, 1, 0, 513, at), INVALID_FIELD), // MDTS
            (Sqe::io(0x03, 1, 0, 8, at), INVALID_OPCODE),  // no such command
            (copy.dword(12, 1 << 8), INVALID_FIELD),       // another descriptor format
            (
                Sqe::io(READ, 1, 0, 8, at).dword(0, 1 << 8 | u32::from(READ)),
                INVALID_FIELD,
            ), // fused
        ])
    };
    mistakes(make, false)
}

#[test]
fn zone_commands() -> Result<()> {
    let make = |drive: &mut Drive| {
        let at = drive.nvme.buffer;
        let send = |lba: u64, action: u32| {
            let send = Sqe::new(ZONE_SEND).nsid(2).prp(at, 0);
            send.pair(10, lba).dword(13, action)
        };
        let receive = |lba: u64, dwords: u32, action: u32| {
            let receive = Sqe::new(ZONE_RECEIVE).nsid(2).prp(at, 0);
            receive.pair(10, lba).dword(12, dwords).dword(13, action)
        };
        Ok(vec![
            (send(8, OPEN), INVALID_FIELD), // not a zone's start
            (send(DATA_BLOCKS, OPEN), LBA_OUT_OF_RANGE),
            (send(u64::MAX, RESET), LBA_OUT_OF_RANGE),
            (send(0, 0), INVALID_FIELD),
            (send(0, 0x7f), INVALID_FIELD),
            (send(0, CLOSE), ZONE_TRANSITION), // closing an empty zone
            (send(0, OFFLINE), ZONE_TRANSITION), // giving up a sound one
            (send(0, OPEN).nsid(1), INVALID_OPCODE),
            (receive(0, 0, 0), INVALID_FIELD), // no room for the header
            (receive(DATA_BLOCKS, 1023, 0), LBA_OUT_OF_RANGE),
            (receive(0, 1023, 2), INVALID_FIELD),
            (receive(0, 1023, 1), INVALID_FIELD), // no extensions
            (receive(0, 1023, 0x99 << 8), INVALID_FIELD),
            (Sqe::io(APPEND, 2, 8, 8, at), INVALID_FIELD),
            (Sqe::io(APPEND, 1, 0, 8, at), INVALID_OPCODE),
            (Sqe::io(WRITE, 2, 8, 8, at), ZONE_INVALID_WRITE),
            (Sqe::io(READ, 2, ZONE - 4, 8, at), ZONE_BOUNDARY),
        ])
    };
    mistakes(make, false)
}

#[test]
fn doorbells() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4")?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    let mut queue = nvme.create_queue(1, 8, 0)?;
    // A queue that is not there, a value past the end, a head that passes the tail.
    for (doorbell, value, information) in [(20, 1, 0), (8, 99, 1), (12, 5, 1)] {
        let mut admin = nvme.await_event()?;
        nvme.set_reg(register::DOORBELLS + doorbell, 4, value)?;
        let event = nvme.wait(&mut admin)?.success()?;
        nvme.admin = admin;
        assert_eq!(
            event.result,
            0x01_0000 | information << 8,
            "doorbell {doorbell}"
        );
        let log = Sqe::new(0x02).prp(nvme.buffer, 0).dword(10, 15 << 16 | 1);
        nvme.admin(&log)?.success()?;
    }
    let sound = Sqe::io(WRITE, 1, 0, 8, nvme.buffer);
    nvme.run(&mut queue, &sound)?.success()?;
    machine.quit()
}
