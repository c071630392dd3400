// SPDX-License-Identifier: GPL-2.0-or-later
//! A guest-side NVMe driver: enough to bring a controller up, and to break every rule by hand.

use anyhow::{bail, ensure, Context, Result};

use crate::machine::Machine;
use crate::pci::{PciAddress, PciDevice};

/// Register offsets (NVMe Base 2.0, section 3.1.3, figure 35).
pub mod register {
    /// Controller capabilities, 64 bits.
    pub const CAP: u64 = 0x00;
    /// Version.
    pub const VS: u64 = 0x08;
    /// Interrupt mask set.
    pub const INTMS: u64 = 0x0c;
    /// Interrupt mask clear.
    pub const INTMC: u64 = 0x10;
    /// Controller configuration.
    pub const CC: u64 = 0x14;
    /// Controller status.
    pub const CSTS: u64 = 0x1c;
    /// Admin queue attributes.
    pub const AQA: u64 = 0x24;
    /// Admin submission queue base address.
    pub const ASQ: u64 = 0x28;
    /// Admin completion queue base address.
    pub const ACQ: u64 = 0x30;
    /// First doorbell.
    pub const DOORBELLS: u64 = 0x1000;
}

/// CC: enabled, all I/O command sets, 64-byte SQEs, 16-byte CQEs, 4 KiB pages.
pub const CC_ENABLED: u64 = 1 | 6 << 4 | 6 << 16 | 4 << 20;

/// CSTS.RDY.
pub const CSTS_READY: u64 = 1;
/// CSTS.CFS.
pub const CSTS_FATAL: u64 = 2;

/// Entries of the admin queues.
const ADMIN_ENTRIES: u16 = 16;

/// Virtual time stepped per look while waiting for a completion, and the number of looks: 4 s,
/// which is longer than any command takes.
const WAIT_STEP_NS: u64 = 200_000;
const WAIT_STEPS: u32 = 20_000;

/// A submission queue entry.
#[derive(Clone, Copy, Debug)]
pub struct Sqe(pub [u32; 16]);

impl Sqe {
    /// A command with this opcode and nothing else.
    #[must_use]
    pub const fn new(opcode: u8) -> Self {
        let mut dwords = [0; 16];
        dwords[0] = opcode as u32;
        Self(dwords)
    }

    /// Sets a command dword.
    #[must_use]
    pub const fn dword(mut self, index: usize, value: u32) -> Self {
        self.0[index] = value;
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub const fn nsid(self, nsid: u32) -> Self {
        self.dword(1, nsid)
    }

    /// Sets PRP entry 1 and 2.
    #[must_use]
    pub const fn prp(self, first: u64, second: u64) -> Self {
        self.pair(6, first).pair(8, second)
    }

    /// Sets a 64-bit value over two dwords.
    #[must_use]
    pub const fn pair(self, index: usize, value: u64) -> Self {
        self.dword(index, value as u32)
            .dword(index + 1, (value >> 32) as u32)
    }

    /// An NVM read (02h), write (01h) or zone append (7Dh) of `blocks` logical blocks.
    #[must_use]
    pub const fn io(opcode: u8, nsid: u32, lba: u64, blocks: u16, buffer: u64) -> Self {
        Self::new(opcode)
            .nsid(nsid)
            .prp(buffer, 0)
            .pair(10, lba)
            .dword(12, blocks as u32 - 1)
    }

    fn bytes(&self, cid: u16) -> Vec<u8> {
        let mut dwords = self.0;
        dwords[0] = dwords[0] & 0xffff | u32::from(cid) << 16;
        dwords.iter().flat_map(|d| d.to_le_bytes()).collect()
    }
}

/// A completion queue entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cqe {
    /// Dwords 0 and 1.
    pub result: u64,
    /// Submission queue head pointer.
    pub sq_head: u16,
    /// Submission queue.
    pub sq_id: u16,
    /// Command identifier.
    pub cid: u16,
    /// Status field without the phase tag: code in bits 0..8, type in bits 8..11, DNR in bit 14.
    pub status: u16,
}

impl Cqe {
    /// Status code type and status code, without More, DNR and retry delay.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.status & 0x7ff
    }

    /// The completion itself if the command succeeded.
    pub fn success(self) -> Result<Self> {
        ensure!(
            self.status == 0,
            "the command failed with status {:#x}",
            self.status
        );
        Ok(self)
    }
}

/// A submission queue and its completion queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Identifier of both.
    pub id: u16,
    /// Entries of both.
    pub entries: u16,
    /// Guest address of the submission queue.
    pub sq: u64,
    /// Guest address of the completion queue.
    pub cq: u64,
    tail: u16,
    head: u16,
    phase: bool,
    next_cid: u16,
}

impl Queue {
    /// Memory for a queue pair; the controller does not know of it yet.
    pub fn alloc(machine: &Machine, id: u16, entries: u16) -> Result<Self> {
        let sq = machine.alloc(64 * u64::from(entries), 4096)?;
        let cq = machine.alloc(16 * u64::from(entries), 4096)?;
        machine.memset(cq, 16 * u64::from(entries), 0)?;
        Ok(Self {
            id,
            entries,
            sq,
            cq,
            tail: 0,
            head: 0,
            phase: true,
            next_cid: 0,
        })
    }
}

/// A controller that has been brought up.
pub struct NvmeDriver<'m> {
    /// The function below.
    pub pci: PciDevice<'m>,
    /// The admin queue.
    pub admin: Queue,
    /// Pages for data (1 MiB), for whoever needs some.
    pub buffer: u64,
    /// A page for the PRP list of the command being built.
    prp_list: u64,
}

impl<'m> NvmeDriver<'m> {
    /// Places the BARs and enables the controller, interrupts by pin.
    pub fn start(machine: &'m Machine, address: PciAddress) -> Result<Self> {
        Self::enable(PciDevice::enable(machine, address)?)
    }

    /// The same, with MSI-X turned on first.
    pub fn start_with_msix(machine: &'m Machine, address: PciAddress) -> Result<Self> {
        let mut pci = PciDevice::enable(machine, address)?;
        pci.enable_msix()?;
        Self::enable(pci)
    }

    /// Takes over a placed function and enables its controller.
    pub fn enable(pci: PciDevice<'m>) -> Result<Self> {
        let machine = pci.machine;
        let mut driver = Self {
            admin: Queue::alloc(machine, 0, ADMIN_ENTRIES)?,
            buffer: machine.alloc(1 << 20, 4096)?,
            prp_list: machine.alloc(4096, 4096)?,
            pci,
        };
        driver.enable_controller()?;
        Ok(driver)
    }

    /// Disables the controller, then enables it with fresh admin queues.
    pub fn enable_controller(&mut self) -> Result<()> {
        self.set_reg(register::CC, 4, 0)?;
        self.wait_status(CSTS_READY, 0)?;
        self.admin = Queue {
            tail: 0,
            head: 0,
            phase: true,
            ..Queue::alloc(self.machine(), 0, ADMIN_ENTRIES)?
        };
        let entries = u64::from(ADMIN_ENTRIES - 1);
        self.set_reg(register::AQA, 4, entries << 16 | entries)?;
        self.set_reg(register::ASQ, 8, self.admin.sq)?;
        self.set_reg(register::ACQ, 8, self.admin.cq)?;
        self.set_reg(register::CC, 4, CC_ENABLED)?;
        self.wait_status(CSTS_READY | CSTS_FATAL, CSTS_READY)
    }

    /// Asks for an event. The request waits in the admin queue, which is returned: whatever else is asked
    /// goes nowhere before it has been put back.
    pub fn await_event(&mut self) -> Result<Queue> {
        let other = Queue::alloc(self.machine(), 0, 2)?;
        let mut admin = std::mem::replace(&mut self.admin, other);
        self.submit(&mut admin, &Sqe::new(0x0c))?;
        Ok(admin)
    }

    /// The same function in a machine that has taken this one over.
    #[must_use]
    pub fn on<'n>(&self, machine: &'n Machine) -> NvmeDriver<'n> {
        NvmeDriver {
            pci: self.pci.on(machine),
            admin: self.admin.clone(),
            buffer: self.buffer,
            prp_list: self.prp_list,
        }
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &'m Machine {
        self.pci.machine
    }

    /// Guest address of a register.
    #[must_use]
    pub fn reg_address(&self, offset: u64) -> u64 {
        self.pci.bars[0] + offset
    }

    /// Reads a register.
    pub fn reg(&self, offset: u64, size: u32) -> Result<u64> {
        self.machine().read(self.reg_address(offset), size)
    }

    /// Writes a register.
    pub fn set_reg(&self, offset: u64, size: u32, value: u64) -> Result<()> {
        self.machine().write(self.reg_address(offset), size, value)
    }

    /// Waits until CSTS under `mask` is `value`.
    pub fn wait_status(&self, mask: u64, value: u64) -> Result<()> {
        for _ in 0..WAIT_STEPS {
            if self.reg(register::CSTS, 4)? & mask == value {
                return Ok(());
            }
            self.machine().clock_step(WAIT_STEP_NS)?;
        }
        bail!("CSTS is {:#x}", self.reg(register::CSTS, 4)?)
    }

    /// Writes the entry and rings; the command identifier.
    pub fn submit(&self, queue: &mut Queue, command: &Sqe) -> Result<u16> {
        let cid = self.place(queue, command)?;
        self.ring(queue)?;
        Ok(cid)
    }

    /// Writes the entry without ringing.
    pub fn place(&self, queue: &mut Queue, command: &Sqe) -> Result<u16> {
        let cid = queue.next_cid;
        queue.next_cid = queue.next_cid.wrapping_add(1);
        let at = queue.sq + 64 * u64::from(queue.tail);
        self.machine().memwrite(at, &command.bytes(cid))?;
        queue.tail = (queue.tail + 1) % queue.entries;
        Ok(cid)
    }

    /// Rings the submission queue's doorbell.
    pub fn ring(&self, queue: &Queue) -> Result<()> {
        let doorbell = register::DOORBELLS + 8 * u64::from(queue.id);
        self.set_reg(doorbell, 4, u64::from(queue.tail))
    }

    /// Takes the next completion if it is there.
    pub fn poll(&self, queue: &mut Queue) -> Result<Option<Cqe>> {
        let raw = self
            .machine()
            .memread(queue.cq + 16 * u64::from(queue.head), 16)?;
        let word = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        let status = word(14);
        if (status & 1 == 1) != queue.phase {
            return Ok(None);
        }
        queue.head = (queue.head + 1) % queue.entries;
        queue.phase ^= queue.head == 0;
        let doorbell = register::DOORBELLS + 8 * u64::from(queue.id) + 4;
        self.set_reg(doorbell, 4, u64::from(queue.head))?;
        let result: [u8; 8] = raw[..8].try_into().context("8 bytes")?;
        Ok(Some(Cqe {
            result: u64::from_le_bytes(result),
            sq_head: word(8),
            sq_id: word(10),
            cid: word(12),
            status: status >> 1,
        }))
    }

    /// Waits for the next completion, stepping virtual time.
    pub fn wait(&self, queue: &mut Queue) -> Result<Cqe> {
        for _ in 0..WAIT_STEPS {
            if let Some(cqe) = self.poll(queue)? {
                return Ok(cqe);
            }
            self.machine().clock_step(WAIT_STEP_NS)?;
        }
        bail!("no completion on queue {}", queue.id)
    }

    /// Submits one command and waits for its completion.
    pub fn run(&self, queue: &mut Queue, command: &Sqe) -> Result<Cqe> {
        let cid = self.submit(queue, command)?;
        let cqe = self.wait(queue)?;
        ensure!(
            (cqe.cid, cqe.sq_id) == (cid, queue.id),
            "expected the completion of command {cid} on queue {}, got {cqe:?}",
            queue.id
        );
        Ok(cqe)
    }

    /// Runs an admin command.
    pub fn admin(&mut self, command: &Sqe) -> Result<Cqe> {
        let mut queue = std::mem::replace(&mut self.admin, Queue::empty());
        let cqe = self.run(&mut queue, command);
        self.admin = queue;
        cqe
    }

    /// Identify: 4 KiB of the data structure `cns`.
    pub fn identify(&mut self, cns: u8, nsid: u32, command_set: u8) -> Result<Vec<u8>> {
        let command = Sqe::new(0x06)
            .nsid(nsid)
            .prp(self.buffer, 0)
            .dword(10, u32::from(cns))
            .dword(11, u32::from(command_set) << 24);
        self.admin(&command)?.success()?;
        self.machine().memread(self.buffer, 4096)
    }

    /// A read, write or append of any size up to 2 MiB, with a PRP list where one is needed.
    pub fn transfer(
        &self,
        opcode: u8,
        nsid: u32,
        lba: u64,
        blocks: u16,
        block_bytes: u64,
        buffer: u64,
    ) -> Result<Sqe> {
        let end = buffer + u64::from(blocks) * block_bytes;
        let pages: Vec<u64> = (1..)
            .map(|n| (buffer & !0xfff) + n * 4096)
            .take_while(|page| *page < end)
            .collect();
        let second = match pages.as_slice() {
            [] => 0,
            [page] => *page,
            list => {
                let bytes: Vec<u8> = list.iter().flat_map(|p| p.to_le_bytes()).collect();
                ensure!(bytes.len() <= 4096, "the PRP list needs more than a page");
                self.machine().memwrite(self.prp_list, &bytes)?;
                self.prp_list
            }
        };
        Ok(Sqe::io(opcode, nsid, lba, blocks, buffer).prp(buffer, second))
    }

    /// Creates an I/O queue pair; `vector` only matters with MSI-X.
    pub fn create_queue(&mut self, id: u16, entries: u16, vector: u16) -> Result<Queue> {
        let queue = Queue::alloc(self.machine(), id, entries)?;
        self.announce(&queue, u32::from(vector) << 16 | 0b11)?;
        Ok(queue)
    }

    /// Tells the controller of an I/O queue pair, wherever its rings are; `interrupts` is dword 11 of
    /// Create I/O Completion Queue.
    pub fn announce(&mut self, queue: &Queue, interrupts: u32) -> Result<()> {
        let size_and_id = u32::from(queue.entries - 1) << 16 | u32::from(queue.id);
        let create_cq = Sqe::new(0x05)
            .prp(queue.cq, 0)
            .dword(10, size_and_id)
            .dword(11, interrupts);
        self.admin(&create_cq)?.success()?;
        let create_sq = Sqe::new(0x01)
            .prp(queue.sq, 0)
            .dword(10, size_and_id)
            .dword(11, u32::from(queue.id) << 16 | 1);
        self.admin(&create_sq)?.success().map(drop)
    }
}

impl Queue {
    /// Stands in while the real one is in use.
    const fn empty() -> Self {
        Self {
            id: 0,
            entries: 1,
            sq: 0,
            cq: 0,
            tail: 0,
            head: 0,
            phase: true,
            next_cid: 0,
        }
    }
}
