// SPDX-License-Identifier: GPL-2.0-or-later
//! A guest-side NVMe driver, small enough to be wrong in any way a test wants.

use std::collections::BTreeMap;

use nvme::{ConfigError, Controller, ControllerConfig, Drive};
use nvme_spec::{offset, AdminOpcode, Cqe, FeatureId, NvmOpcode, Sqe, CQE_BYTES, SQE_BYTES};

use crate::{command, FakeHost};

/// Memory page size the driver uses (CC.MPS = 0).
pub const PAGE: u64 = 4096;
/// CC with 64 and 16 byte entries and all I/O command sets, enabled.
const CC_ENABLE: u32 = 4 << 20 | 6 << 16 | 6 << 4 | 1;
/// Entries of the admin queues.
const ADMIN_ENTRIES: u32 = 32;
/// Where allocations start: the pages below stay free for tests that need a fixed address.
const FIRST_ALLOCATION: u64 = 0x10_000;
/// Wake-ups a wait may take before the command counts as lost.
const MAX_WAKE_UPS: u32 = 100_000;

#[derive(Clone, Copy, Debug)]
struct SubmissionRing {
    base: u64,
    entries: u32,
    tail: u32,
    cq: u16,
}

#[derive(Clone, Copy, Debug)]
struct CompletionRing {
    base: u64,
    entries: u32,
    head: u32,
    phase: bool,
}

/// A controller in a fake machine, with a driver.
#[derive(Debug)]
pub struct Guest<D> {
    /// The controller under test.
    pub controller: Controller<D>,
    /// Its machine.
    pub host: FakeHost,
    /// Commands per run.
    pub budget: u32,
    sqs: BTreeMap<u16, SubmissionRing>,
    cqs: BTreeMap<u16, CompletionRing>,
    next_page: u64,
    next_cid: u16,
}

impl<D: Drive> Guest<D> {
    /// A disabled controller over `drive`, in a machine with `memory_bytes` of guest memory.
    ///
    /// # Errors
    /// The controller's configuration is not valid.
    pub fn new(
        config: ControllerConfig,
        drive: D,
        memory_bytes: usize,
        media_bytes: usize,
    ) -> Result<Self, ConfigError> {
        let controller = Controller::new(config, drive)?;
        Ok(Self::with(controller, memory_bytes, vec![0; media_bytes]))
    }

    /// The same of a controller that exists, after a reset, with media that is not empty.
    pub fn with(controller: Controller<D>, memory_bytes: usize, media: Vec<u8>) -> Self {
        let mut host = FakeHost::new(memory_bytes, 0);
        host.media = media;
        Self {
            controller,
            host,
            budget: 64,
            sqs: BTreeMap::new(),
            cqs: BTreeMap::new(),
            next_page: FIRST_ALLOCATION,
            next_cid: 0,
        }
    }

    /// The same machine and driver with another controller, which is where this one is, and its media.
    #[must_use]
    pub fn over(&self, controller: Controller<D>, media: Vec<u8>) -> Self {
        let mut other = Self::with(controller, 0, media);
        other.host.memory.clone_from(&self.host.memory);
        other.host.clock = self.host.clock;
        other.host.msix = self.host.msix;
        other.sqs.clone_from(&self.sqs);
        other.cqs.clone_from(&self.cqs);
        other.budget = self.budget;
        other.next_page = self.next_page;
        other.next_cid = self.next_cid;
        other
    }

    /// Reads a 32-bit register.
    pub fn read32(&mut self, at: u64) -> u32 {
        self.controller.mmio_read(at, 4) as u32
    }

    /// Writes a 32-bit register and lets the controller run.
    pub fn write32(&mut self, at: u64, value: u32) {
        self.controller.mmio_write(at, u64::from(value), 4);
        self.run();
    }

    /// Writes a 64-bit register and lets the controller run.
    pub fn write64(&mut self, at: u64, value: u64) {
        self.controller.mmio_write(at, value, 8);
        self.run();
    }

    /// Lets the controller run at the present instant.
    pub fn run(&mut self) {
        self.host.wake = None;
        self.controller.run(&mut self.host, self.budget);
    }

    /// Moves the clock to the wake-up the controller asked for and lets it run; `false` if it
    /// asked for none.
    pub fn wake(&mut self) -> bool {
        let Some(at) = self.host.wake else {
            return false;
        };
        self.host.clock = self.host.clock.max(at);
        self.run();
        true
    }

    /// Lets the controller run until it asks for no wake-up, or `limit` times.
    pub fn settle(&mut self, limit: u32) {
        for _ in 0..limit {
            if !self.wake() {
                break;
            }
        }
    }

    /// Allocates page-aligned guest memory, zeroed.
    pub fn alloc(&mut self, bytes: u64) -> u64 {
        let at = self.next_page;
        self.next_page += bytes.next_multiple_of(PAGE).max(PAGE);
        assert!(
            self.next_page <= self.host.memory.len() as u64,
            "guest memory is exhausted"
        );
        at
    }

    /// Gives all allocations made after this mark back with [`Guest::release`].
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.next_page
    }

    /// Forgets allocations made since the mark.
    pub fn release(&mut self, mark: u64) {
        self.next_page = mark;
    }

    /// Copies bytes to guest memory.
    pub fn poke(&mut self, at: u64, bytes: &[u8]) {
        let at = at as usize;
        if let Some(place) = self.host.memory.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Copies bytes from guest memory; empty if they are not mapped.
    #[must_use]
    pub fn peek(&self, at: u64, len: usize) -> Vec<u8> {
        let at = at as usize;
        self.host
            .memory
            .get(at..at + len)
            .unwrap_or_default()
            .to_vec()
    }

    /// Sets up the admin queues and enables the controller; `false` if CSTS.RDY does not come.
    pub fn enable(&mut self) -> bool {
        self.enable_with(CC_ENABLE)
    }

    /// As [`Guest::enable`], with a CC of the test's choice.
    pub fn enable_with(&mut self, cc: u32) -> bool {
        self.sqs.clear();
        self.cqs.clear();
        let (sq, cq) = (self.alloc(PAGE), self.alloc(PAGE));
        self.poke(cq, &[0; PAGE as usize]);
        let size_z = ADMIN_ENTRIES - 1;
        self.write32(offset::AQA, size_z | size_z << 16);
        self.write64(offset::ASQ, sq);
        self.write64(offset::ACQ, cq);
        self.add_cq(0, ADMIN_ENTRIES, cq);
        self.add_sq(0, ADMIN_ENTRIES, sq, 0);
        self.write32(offset::CC, cc);
        // A drive that recovers from a power cut takes some time.
        for _ in 0..MAX_WAKE_UPS {
            if self.read32(offset::CSTS) & 3 != 0 || !self.wake() {
                break;
            }
        }
        self.read32(offset::CSTS) & 3 == 1
    }

    /// Clears CC.EN.
    pub fn disable(&mut self) {
        self.write32(offset::CC, 0);
        self.sqs.clear();
        self.cqs.clear();
    }

    /// Makes the driver use a completion ring that the test created.
    pub fn add_cq(&mut self, id: u16, entries: u32, base: u64) {
        let ring = CompletionRing {
            base,
            entries,
            head: 0,
            phase: true,
        };
        self.cqs.insert(id, ring);
    }

    /// Makes the driver use a submission ring that the test created.
    pub fn add_sq(&mut self, id: u16, entries: u32, base: u64, cq: u16) {
        let ring = SubmissionRing {
            base,
            entries,
            tail: 0,
            cq,
        };
        self.sqs.insert(id, ring);
    }

    /// Creates a completion queue; the completion of the command.
    pub fn create_cq(&mut self, id: u16, entries: u32, vector: Option<u16>) -> Cqe {
        let base = self.alloc(u64::from(entries) * CQE_BYTES as u64);
        self.poke(base, &vec![0; entries as usize * CQE_BYTES]);
        let cqe = self.admin(command::create_cq(id, entries, base, vector));
        if cqe.status == 0 {
            self.add_cq(id, entries, base);
        }
        cqe
    }

    /// Creates a submission queue; the completion of the command.
    pub fn create_sq(&mut self, id: u16, entries: u32, cq: u16) -> Cqe {
        let base = self.alloc(u64::from(entries) * SQE_BYTES as u64);
        let cqe = self.admin(command::create_sq(id, entries, base, cq));
        if cqe.status == 0 {
            self.add_sq(id, entries, base, cq);
        }
        cqe
    }

    /// Creates I/O queue pairs 1 to `pairs`, vector n for pair n; `false` if one fails.
    pub fn create_queues(&mut self, pairs: u16, entries: u32) -> bool {
        let counts = u32::from(pairs - 1) * 0x1_0001;
        let asked = self.admin(command::set_feature(FeatureId::NumberOfQueues, 0, counts));
        asked.status == 0
            && (1..=pairs).all(|id| {
                self.create_cq(id, entries, Some(id)).status == 0
                    && self.create_sq(id, entries, id).status == 0
            })
    }

    /// Announces shadow doorbells to the controller; where they and the event indices are.
    pub fn announce_shadows(&mut self) -> (u64, u64) {
        let (doorbells, indices) = (self.alloc(PAGE), self.alloc(PAGE));
        let mut sqe = command::admin(AdminOpcode::DoorbellBufferConfig, 0, 0, 0);
        (sqe.prp1, sqe.prp2) = (doorbells, indices);
        let cqe = self.admin(sqe);
        assert_eq!(cqe.status, 0, "shadow doorbells are refused");
        (doorbells, indices)
    }

    /// Writes an entry behind the tail of a ring without telling the controller; its identifier.
    pub fn push(&mut self, queue: u16, mut sqe: Sqe) -> u16 {
        sqe.cid = self.next_cid;
        self.next_cid = self.next_cid.wrapping_add(1);
        let ring = self.sqs.get_mut(&queue);
        if let Some(ring) = ring {
            let at = ring.base + u64::from(ring.tail) * SQE_BYTES as u64;
            ring.tail = (ring.tail + 1) % ring.entries;
            self.poke(at, &sqe.encode());
        }
        sqe.cid
    }

    /// Tells the controller the tail of a ring.
    pub fn ring(&mut self, queue: u16) {
        let tail = self.sqs.get(&queue).map_or(0, |ring| ring.tail);
        self.write32(offset::DOORBELLS + u64::from(queue) * 8, tail);
    }

    /// Submits a command; its identifier.
    pub fn submit(&mut self, queue: u16, sqe: Sqe) -> u16 {
        let cid = self.push(queue, sqe);
        self.ring(queue);
        cid
    }

    /// The completion that is next in a ring, if there is one.
    #[must_use]
    pub fn next(&self, cq: u16) -> Option<Cqe> {
        let ring = self.cqs.get(&cq)?;
        let at = ring.base + u64::from(ring.head) * CQE_BYTES as u64;
        let entry = self.peek(at, CQE_BYTES);
        let cqe = Cqe::decode(entry.as_slice().try_into().ok()?);
        (cqe.phase == ring.phase).then_some(cqe)
    }

    /// Takes a completion without telling the controller that there is room again.
    pub fn take(&mut self, cq: u16) -> Option<Cqe> {
        let cqe = self.next(cq)?;
        let ring = self.cqs.get_mut(&cq)?;
        ring.head += 1;
        if ring.head == ring.entries {
            (ring.head, ring.phase) = (0, !ring.phase);
        }
        Some(cqe)
    }

    /// Tells the controller the head of a completion ring.
    pub fn ring_cq(&mut self, cq: u16) {
        let head = self.cqs.get(&cq).map_or(0, |ring| ring.head);
        self.write32(offset::DOORBELLS + u64::from(cq) * 8 + 4, head);
    }

    /// Takes a completion, if there is one.
    pub fn poll(&mut self, cq: u16) -> Option<Cqe> {
        let cqe = self.take(cq)?;
        self.ring_cq(cq);
        Some(cqe)
    }

    /// Waits for a completion, moving the clock as the controller asks for; `None` if it has
    /// nothing more to do.
    pub fn wait(&mut self, cq: u16) -> Option<Cqe> {
        for _ in 0..MAX_WAKE_UPS {
            if let Some(cqe) = self.poll(cq) {
                return Some(cqe);
            }
            if !self.wake() {
                return self.poll(cq);
            }
        }
        None
    }

    /// Executes a command and waits for its completion.
    pub fn execute(&mut self, queue: u16, sqe: Sqe) -> Cqe {
        let cq = self.sqs.get(&queue).map_or(0, |ring| ring.cq);
        let cid = self.submit(queue, sqe);
        let cqe = self.wait(cq);
        assert!(cqe.is_some(), "no completion for {sqe:?}");
        let cqe = cqe.unwrap_or_default();
        assert_eq!(cqe.cid, cid, "another command completed");
        cqe
    }

    /// Executes an admin command that moves no data.
    pub fn admin(&mut self, sqe: Sqe) -> Cqe {
        self.execute(0, sqe)
    }

    /// Executes a command on queue 1.
    pub fn io(&mut self, sqe: Sqe) -> Cqe {
        self.execute(1, sqe)
    }

    /// Points a command's PRPs at `bytes` bytes from `at` on, with a list where needed.
    #[must_use]
    pub fn with_prp(&mut self, mut sqe: Sqe, at: u64, bytes: u64) -> Sqe {
        sqe.prp1 = at;
        let first = PAGE - at % PAGE;
        if bytes <= first {
            return sqe;
        }
        let second = at + first;
        if bytes - first <= PAGE {
            sqe.prp2 = second;
            return sqe;
        }
        let pages = (bytes - first).div_ceil(PAGE);
        let list: Vec<u8> = (0..pages)
            .flat_map(|page| (second + page * PAGE).to_le_bytes())
            .collect();
        let list_at = self.alloc(list.len() as u64);
        self.poke(list_at, &list);
        sqe.prp2 = list_at;
        sqe
    }

    /// Executes a command that sends `data` to the controller.
    pub fn send(&mut self, queue: u16, sqe: Sqe, data: &[u8]) -> Cqe {
        let mark = self.mark();
        let at = self.alloc(data.len() as u64);
        self.poke(at, data);
        let sqe = self.with_prp(sqe, at, data.len() as u64);
        let cqe = self.execute(queue, sqe);
        self.release(mark);
        cqe
    }

    /// Executes a command that receives `bytes` bytes from the controller.
    pub fn receive(&mut self, queue: u16, sqe: Sqe, bytes: usize) -> (Cqe, Vec<u8>) {
        let mark = self.mark();
        let at = self.alloc(bytes as u64);
        self.poke(at, &vec![0; bytes]);
        let sqe = self.with_prp(sqe, at, bytes as u64);
        let cqe = self.execute(queue, sqe);
        let data = self.peek(at, bytes);
        self.release(mark);
        (cqe, data)
    }

    /// Writes blocks on queue 1; `data` is a whole number of them.
    pub fn write(&mut self, nsid: u32, slba: u64, shift: u8, data: &[u8]) -> Cqe {
        let blocks = (data.len() >> shift) as u32;
        self.send(
            1,
            command::blocks(NvmOpcode::Write, nsid, slba, blocks),
            data,
        )
    }

    /// Reads blocks on queue 1.
    pub fn read(&mut self, nsid: u32, slba: u64, shift: u8, blocks: u32) -> (Cqe, Vec<u8>) {
        self.receive(
            1,
            command::blocks(NvmOpcode::Read, nsid, slba, blocks),
            (blocks as usize) << shift,
        )
    }
}
