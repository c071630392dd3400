// SPDX-License-Identifier: GPL-2.0-or-later
//! A driver with one I/O queue, and the commands that most tests send through it.

use anyhow::{ensure, Context, Result};

use crate::driver::{Cqe, NvmeDriver, Queue, Sqe};
use crate::machine::Machine;
use crate::pci::PciAddress;
use crate::spec::opcode;

/// The slot that most tests put their drive into (`addr=4`).
pub const SLOT: PciAddress = PciAddress::slot(4);

/// Logical blocks from zone to zone of `tlc-zoned`.
pub const ZONE: u64 = 128 << 20 >> 9;

/// Force unit access, in dword 12.
const FUA: u32 = 1 << 30;

/// The zoned namespace.
const DATA: u32 = 2;
/// Blocks of the longest write, 256 KiB.
const LONGEST: u16 = 512;
/// Bytes of a zone report's header, and of a zone descriptor.
const HEADER: usize = 64;
const DESCRIPTOR: usize = 64;

/// A controller and one I/O queue. Blocks have 512 bytes, data is in the driver's buffer.
pub struct Drive<'m> {
    /// The controller.
    pub nvme: NvmeDriver<'m>,
    /// Queue 1, 32 entries, vector 0.
    pub queue: Queue,
}

/// A zone as the zone report describes it.
#[derive(Clone, Debug)]
pub struct Zone {
    /// One of [`state`](crate::state).
    pub state: u8,
    /// Zone attributes.
    pub attributes: u8,
    /// Blocks that can be written.
    pub capacity: u64,
    /// First block.
    pub start: u64,
    /// Write pointer.
    pub pointer: u64,
    /// Zone descriptor extension, as long as was asked for.
    pub extension: Vec<u8>,
}

impl<'m> Drive<'m> {
    /// Brings up the drive in [`SLOT`], interrupts by pin.
    pub fn start(machine: &'m Machine) -> Result<Self> {
        Self::of(NvmeDriver::start(machine, SLOT)?)
    }

    /// Gives a controller that has been brought up its queue.
    pub fn of(mut nvme: NvmeDriver<'m>) -> Result<Self> {
        let queue = nvme.create_queue(1, 32, 0)?;
        Ok(Self { nvme, queue })
    }

    /// The same drive in a machine that has taken this one over.
    #[must_use]
    pub fn on<'n>(&self, machine: &'n Machine) -> Drive<'n> {
        Drive {
            nvme: self.nvme.on(machine),
            queue: self.queue.clone(),
        }
    }

    /// Runs an I/O command.
    pub fn run(&mut self, command: &Sqe) -> Result<Cqe> {
        self.nvme.run(&mut self.queue, command)
    }

    /// Runs a read, write, append or compare of up to 1 MiB.
    pub fn io(&mut self, opcode: u8, nsid: u32, lba: u64, blocks: u16) -> Result<Cqe> {
        let buffer = self.nvme.buffer;
        let command = self.nvme.transfer(opcode, nsid, lba, blocks, 512, buffer)?;
        self.run(&command)
    }

    /// Writes blocks of one byte; with `fua` they are durable then.
    pub fn write_byte(
        &mut self,
        nsid: u32,
        lba: u64,
        blocks: u16,
        value: u8,
        fua: bool,
    ) -> Result<()> {
        let buffer = self.nvme.buffer;
        let machine = self.nvme.machine();
        machine.memset(buffer, u64::from(blocks) * 512, value)?;
        let opcode = opcode::WRITE;
        let mut command = self.nvme.transfer(opcode, nsid, lba, blocks, 512, buffer)?;
        if fua {
            command = command.dword(12, command.0[12] | FUA);
        }
        self.run(&command)?.success().map(drop)
    }

    /// The first of each so many bytes, all of which are as it is.
    pub fn read_bytes(&mut self, nsid: u32, lba: u64, blocks: u16, each: usize) -> Result<Vec<u8>> {
        self.io(opcode::READ, nsid, lba, blocks)?.success()?;
        let machine = self.nvme.machine();
        let bytes = machine.memread(self.nvme.buffer, usize::from(blocks) * 512)?;
        let first = |part: &[u8]| {
            ensure!(part.iter().all(|byte| *byte == part[0]), "a torn part");
            Ok(part[0])
        };
        bytes.chunks(each).map(first).collect()
    }

    /// Writes the first `blocks` blocks of the zoned namespace, 256 KiB at a time.
    pub fn fill(&mut self, blocks: u64) -> Result<()> {
        for lba in (0..blocks).step_by(LONGEST.into()) {
            self.io(opcode::WRITE, DATA, lba, LONGEST)?.success()?;
        }
        Ok(())
    }

    /// Runs a Zone Management Send; `action` is all of dword 13.
    pub fn manage(&mut self, lba: u64, action: u32) -> Result<Cqe> {
        let command = Sqe::new(opcode::ZONE_SEND)
            .nsid(DATA)
            .prp(self.nvme.buffer, 0)
            .pair(10, lba)
            .dword(13, action);
        self.run(&command)
    }

    /// What a report says of the zone that `lba` lies in, with an extension of `extension` bytes.
    pub fn zone(&mut self, lba: u64, extension: usize) -> Result<Zone> {
        let buffer = self.nvme.buffer + (512 << 10);
        let bytes = HEADER + DESCRIPTOR + extension;
        let command = Sqe::new(opcode::ZONE_RECEIVE)
            .nsid(DATA)
            .prp(buffer, 0)
            .pair(10, lba)
            .dword(12, u32::try_from(bytes / 4 - 1)?)
            .dword(13, 1 << 16 | u32::from(extension > 0));
        self.run(&command)?.success()?;
        let report = self.nvme.machine().memread(buffer, bytes)?;
        let field = |at: usize| -> Result<u64> {
            let bytes = report[at..at + 8].try_into().context("8 bytes")?;
            Ok(u64::from_le_bytes(bytes))
        };
        ensure!(field(0)? == 1, "{} zones in the report", field(0)?);
        ensure!(report[HEADER] == 2, "zone type {}", report[HEADER]);
        Ok(Zone {
            state: report[HEADER + 1] >> 4,
            attributes: report[HEADER + 2],
            capacity: field(HEADER + 8)?,
            start: field(HEADER + 16)?,
            pointer: field(HEADER + 24)?,
            extension: report[HEADER + DESCRIPTOR..].to_vec(),
        })
    }
}
