// SPDX-License-Identifier: GPL-2.0-or-later
//! The controller: register accesses, reset, and the run loop.
//!
//! ```text
//!  mmio_write ─► registers, tails, heads           (recorded only)
//!  run ─► background work ─► post what is due ─► fetch ─► execute ─► post ─► signal ─► re-arm
//! ```
//!
//! A run works at one instant. Its work is bounded ([`crate::job`]).

use nvme_spec::{AsyncEvent, Sqe, MORE};
use units::{GuestAddr, Instant, Nanos, QueueId};

use crate::config::{ConfigError, ControllerConfig};
use crate::counters::Counters;
use crate::drive::{Drive, Failure};
use crate::error_log::ErrorLog;
use crate::events::Events;
use crate::features::Features;
use crate::host::{GuestError, Host};
use crate::interrupt::{Coalescing, Interrupts};
use crate::job::{Job, Start};
use crate::logs::ChangedZones;
use crate::pending::{Pending, Waiting};
use crate::queue::{CompletionQueue, Queues, Set, SubmissionQueue};
use crate::registers::{AdminQueues, Effect, Registers};
use crate::reject::Reject;
use crate::transfer::{Transfer, MIN_PAGE};

/// Guest errors kept between two runs; more in one burst are counted by none.
const MAX_GUEST_ERRORS: usize = 8;

/// What became of a command that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It completes at `done` with `result` in dwords 0 and 1.
    At { done: Instant, result: u64 },
    /// It is held (Asynchronous Event Request).
    Held,
    /// It takes more work than one run may do.
    Later(Start),
}

/// An NVMe controller with the drive behind it.
#[derive(Debug)]
pub struct Controller<D> {
    pub(crate) config: ControllerConfig,
    pub(crate) drive: D,
    pub(crate) registers: Registers,
    pub(crate) queues: Queues,
    pub(crate) pending: Pending,
    pub(crate) interrupts: Interrupts,
    pub(crate) events: Events,
    pub(crate) errors: ErrorLog,
    pub(crate) features: Features,
    pub(crate) counters: Counters,
    pub(crate) changed_zones: Vec<ChangedZones>,
    /// Data pointer of the command being executed.
    pub(crate) transfer: Transfer,
    /// Where structures for the guest are put together.
    pub(crate) scratch: Box<[u8; 4096]>,
    /// Shadow doorbells and event indices, as Doorbell Buffer Config set them.
    pub(crate) doorbell_buffer: Option<(GuestAddr, GuestAddr)>,
    /// Submission and completion queues whose doorbells were rung since the last run.
    pub(crate) rung: (Set, Set),
    /// The long command being worked.
    pub(crate) job: Option<Job>,
    /// Work that the present run has done and may do.
    pub(crate) work: u64,
    pub(crate) budget: u64,
    guest_errors: Vec<GuestError>,
    shutdown: Shutdown,
    /// What [`Controller::set_interrupt_hold`] allows; no reset changes it.
    interrupt_hold: Nanos,
}

/// Shutdown notification being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    None,
    Requested,
    Until(Instant),
}

impl<D: Drive> Controller<D> {
    /// A controller after power-on, disabled.
    ///
    /// # Errors
    /// A choice outside its bounds.
    pub fn new(config: ControllerConfig, drive: D) -> Result<Self, ConfigError> {
        config.validate()?;
        let namespaces = drive.namespaces().len();
        Ok(Self {
            registers: Registers::new(&config),
            queues: Queues::new(),
            pending: Pending::default(),
            interrupts: Interrupts::new(config.vectors),
            events: Events::new(),
            errors: ErrorLog::new(),
            features: Features::new(namespaces),
            counters: Counters::default(),
            changed_zones: (0..namespaces).map(|_| ChangedZones::new()).collect(),
            transfer: Transfer::new(MIN_PAGE << config.mdts),
            scratch: Box::new([0; 4096]),
            doorbell_buffer: None,
            rung: (Set::default(), Set::default()),
            job: None,
            work: 0,
            budget: 0,
            guest_errors: Vec::with_capacity(MAX_GUEST_ERRORS),
            shutdown: Shutdown::None,
            interrupt_hold: Nanos::ZERO,
            config,
            drive,
        })
    }

    /// Size of the register window in bytes: registers and all doorbells, a power of two.
    #[must_use]
    pub fn bar_bytes(&self) -> u64 {
        let doorbells = (u64::from(self.config.io_queues) + 1) * 8;
        (0x1000 + doorbells).next_power_of_two()
    }

    /// The guest reads `size` (1, 2, 4 or 8) bytes at `offset` of the register window.
    pub fn mmio_read(&mut self, offset: u64, size: u8) -> u64 {
        self.registers.read(offset, size)
    }

    /// The guest writes. Only recorded: call [`Controller::run`] right after.
    pub fn mmio_write(&mut self, offset: u64, value: u64, size: u8) {
        if !matches!(size, 4 | 8) || offset % 4 != 0 {
            self.note(GuestError::Register { offset, size });
            return;
        }
        self.write_dword(offset, value as u32);
        if size == 8 {
            self.write_dword(offset.saturating_add(4), (value >> 32) as u32);
        }
    }

    fn write_dword(&mut self, offset: u64, value: u32) {
        match self.registers.write(offset, value) {
            Effect::None => {}
            Effect::Enable(queues) => self.enable(queues),
            Effect::Refuse => {
                let cc = self.registers.cc();
                self.note(GuestError::Configuration { cc });
            }
            Effect::Disable => self.disable(),
            Effect::Doorbell { index, value } => self.doorbell(index, value),
            Effect::Undefined => self.note(GuestError::Register { offset, size: 4 }),
        }
        if self.registers.take_shutdown() {
            self.shutdown = Shutdown::Requested;
        }
    }

    fn enable(&mut self, admin: AdminQueues) {
        self.disable();
        let vector = Some(0);
        self.queues.set_cq(
            0,
            Some(CompletionQueue::new(
                admin.cq_base,
                admin.cq_entries,
                vector,
            )),
        );
        self.queues
            .insert_sq(0, SubmissionQueue::new(admin.sq_base, admin.sq_entries, 0));
        self.reserve();
        if !self.drive.come_up() {
            self.registers.fail();
        }
    }

    /// Makes room for all commands the queues can hold.
    pub(crate) fn reserve(&mut self) {
        let total = self
            .queues
            .total_entries()
            .saturating_add(Events::capacity());
        self.pending.reserve(total);
    }

    /// Drops queues and commands (controller reset).
    fn disable(&mut self) {
        self.queues.clear();
        self.pending.clear();
        self.job = None;
        self.interrupts.clear();
        self.events.clear();
        self.features.clear();
        self.counters.idle();
        self.doorbell_buffer = None;
        self.rung = (Set::default(), Set::default());
        self.shutdown = Shutdown::None;
    }

    /// Reset of the function or of the machine: registers and queues as at power-on, commands in flight dropped. The
    /// drive keeps its contents, and its power.
    pub fn reset(&mut self) {
        self.disable();
        self.registers.reset();
    }

    fn doorbell(&mut self, index: u64, value: u32) {
        let queue = QueueId::new(u16::try_from(index / 2).unwrap_or(u16::MAX));
        let is_known = if index % 2 == 0 {
            self.ring_sq(queue, value)
        } else {
            self.ring_cq(queue, value)
        };
        match is_known {
            Some(true) => {}
            Some(false) => {
                self.note(GuestError::DoorbellValue { queue, value });
                self.events.raise(AsyncEvent::INVALID_DOORBELL_VALUE);
            }
            None => {
                self.note(GuestError::DoorbellQueue { queue });
                self.events.raise(AsyncEvent::INVALID_DOORBELL);
            }
        }
    }

    /// A new tail; `None` if there is no such queue, `Some(false)` if the value is outside it.
    fn ring_sq(&mut self, queue: QueueId, tail: u32) -> Option<bool> {
        let sq = self.queues.sq(queue.get())?;
        if tail >= sq.entries {
            return Some(false);
        }
        sq.tail = tail;
        if sq.shadow.is_some() {
            self.rung.0.insert(queue.get());
        }
        self.queues.refresh(queue.get());
        Some(true)
    }

    pub(crate) fn ring_cq(&mut self, queue: QueueId, head: u32) -> Option<bool> {
        let cq = self.queues.cq(queue.get())?;
        if !cq.consume_to(head) {
            return Some(false);
        }
        let (is_empty, is_waiting) = (cq.is_empty(), !cq.waiting.is_empty());
        if cq.shadow.is_some() {
            self.rung.1.insert(queue.get());
        }
        if is_empty {
            self.interrupts.acknowledged(queue.get());
        }
        if is_waiting {
            self.queues.unblocked.insert(queue.get());
        }
        Some(true)
    }

    pub(crate) fn note(&mut self, error: GuestError) {
        if self.guest_errors.len() < MAX_GUEST_ERRORS {
            self.guest_errors.push(error);
        }
    }

    /// Fetches, executes and completes what is due, until `budget` units of work are done (each is about a microsecond
    /// of the host's time, and at least one command); re-arms the host's timer. To be called after each register write
    /// and when the timer fires.
    pub fn run<H: Host>(&mut self, host: &mut H, budget: u32) {
        let now = host.now();
        (self.work, self.budget) = (0, budget.into());
        for error in self.guest_errors.drain(..) {
            host.guest_error(error);
        }
        if self.drive.next_event().is_some_and(|at| at <= now) {
            self.drive.advance(now);
        }
        let mut has_more = false;
        if self.registers.is_running() {
            self.sync_shadows(host, now);
            self.unblock(host, now);
            self.post_due(host, now);
            has_more = self.fetch(host, now);
            self.deliver_events(now);
            self.post_due(host, now);
        }
        self.work_shutdown(now);
        let is_busy = self.job.is_some() || !self.pending.is_idle();
        self.counters.busy(is_busy, now);
        let coalescing = self.coalescing();
        self.interrupts
            .deliver(host, now, coalescing, self.registers.interrupt_mask);
        self.arm(host, now, has_more);
    }

    /// What the guest asked for, or else what the drive's owner allows.
    pub(crate) fn coalescing(&self) -> Coalescing {
        let asked = self.features.coalescing();
        match asked.time() {
            0 => Coalescing::Learnt {
                longest: self.interrupt_hold,
            },
            // TIME counts 100 us.
            time => Coalescing::Asked {
                threshold_z: asked.threshold_z().into(),
                time: Nanos::from_micros(100).times(time.into()),
            },
        }
    }

    fn arm<H: Host>(&mut self, host: &mut H, now: Instant, has_more: bool) {
        let shutdown = match self.shutdown {
            Shutdown::Until(at) => Some(at),
            Shutdown::None | Shutdown::Requested => None,
        };
        // A controller that failed waits for a reset, and so do its commands.
        let is_running = self.registers.is_running();
        let completion = self.pending.next_due().filter(|_| is_running);
        // A shadow that keeps moving is looked at again.
        let has_more = is_running && (has_more || !self.rung.0.is_empty());
        let deadline = [
            has_more.then_some(now),
            completion,
            self.drive.next_event(),
            self.interrupts.deadline(self.coalescing()),
            self.queues.look_at.filter(|_| is_running),
            shutdown,
        ]
        .into_iter()
        .flatten()
        .min();
        if let Some(deadline) = deadline {
            host.wake_at(deadline);
        }
    }

    fn work_shutdown(&mut self, now: Instant) {
        if self.shutdown == Shutdown::Requested {
            self.shutdown = Shutdown::Until(self.drive.shutdown(now));
        }
        if let Shutdown::Until(at) = self.shutdown {
            if at <= now {
                self.registers.shutdown_complete();
                self.shutdown = Shutdown::None;
            }
        }
    }

    /// Goes on with the long command, then fetches and executes commands round robin, in bursts; whether work is left.
    fn fetch<H: Host>(&mut self, host: &mut H, now: Instant) -> bool {
        self.work_job(host, now);
        while self.has_budget() && self.job.is_none() {
            let Some(id) = self.queues.ready.first_from(self.queues.cursor) else {
                return false;
            };
            let burst = match self.features.arbitration().burst().value() {
                7 => u32::MAX,
                log2 => 1 << log2,
            };
            self.fetch_burst(host, now, id, burst);
            self.queues.cursor = id.wrapping_add(1);
            if !self.registers.is_running() {
                return false;
            }
        }
        self.job.is_some() || !self.queues.ready.is_empty()
    }

    /// Executes up to a burst of one queue's commands.
    fn fetch_burst<H: Host>(&mut self, host: &mut H, now: Instant, id: u16, burst: u32) {
        for _ in 0..burst {
            if !self.has_budget() || self.job.is_some() || !self.registers.is_running() {
                break;
            }
            let Some(sq) = self.queues.sq(id).filter(|sq| sq.is_ready()) else {
                break;
            };
            let mut bytes = [0; nvme_spec::SQE_BYTES];
            if host.dma_read(sq.next(), &mut bytes).is_err() {
                self.fail(host, id);
                break;
            }
            sq.advance();
            sq.in_flight += 1;
            self.execute(host, id, &Sqe::decode(&bytes), now);
            self.work_job(host, now);
        }
        self.queues.refresh(id);
    }

    /// A queue cannot be reached: the controller stops with CSTS.CFS.
    pub(crate) fn fail<H: Host>(&mut self, host: &mut H, queue: u16) {
        host.guest_error(GuestError::QueueMemory {
            queue: QueueId::new(queue),
        });
        self.registers.fail();
    }

    fn execute<H: Host>(&mut self, host: &mut H, sq: u16, sqe: &Sqe, now: Instant) {
        self.worked(1);
        let outcome = if sqe.fuse() != 0 {
            Err(Reject::invalid(1, 0))
        } else if sq == 0 {
            self.admin(host, sqe, now)
        } else {
            self.io(host, sqe, now)
        };
        self.settle(sq, sqe, outcome, now);
    }

    /// What comes of a command that has been executed.
    pub(crate) fn settle(
        &mut self,
        sq: u16,
        sqe: &Sqe,
        outcome: Result<Done, Reject>,
        now: Instant,
    ) {
        let cq = self.queues.sq(sq).map_or(0, |sq| sq.cq);
        if let Some(failure) = self.drive.take_failure() {
            let cid = sqe.cid;
            self.pending.lose(Waiting {
                sq,
                cq,
                cid,
                ..Waiting::default()
            });
            if failure == Failure::Fatal {
                self.registers.fail();
            }
            return;
        }
        let (done, result, status) = match outcome {
            Ok(Done::At { done, result }) => (done, result, 0),
            Ok(Done::Held) => {
                if let Some(sq) = self.queues.sq(sq) {
                    sq.in_flight = sq.in_flight.saturating_sub(1);
                }
                return;
            }
            Ok(Done::Later(start)) => {
                self.job = Some(Job::new(sq, sqe, start, now));
                return;
            }
            Err(reject) => {
                let status = reject.status.field() | MORE;
                self.log_error(sq, sqe, &reject);
                (reject.done.unwrap_or(now), 0, status)
            }
        };
        let command = Waiting {
            sq,
            cq,
            cid: sqe.cid,
            status,
            result,
        };
        let has_room = self.pending.push(command, done.max(now));
        debug_assert!(has_room);
    }

    /// Posts the completions that are due.
    pub(crate) fn post_due<H: Host>(&mut self, host: &mut H, now: Instant) {
        while self.registers.is_running() {
            let Some((index, command)) = self.pending.pop_due(now) else {
                break;
            };
            self.catch_up(host, command.cq);
            match self.queues.cq(command.cq) {
                Some(cq) if cq.is_full() || !cq.waiting.is_empty() => {
                    self.pending.append(&mut cq.waiting, index);
                }
                Some(_) => {
                    self.pending.release(index);
                    self.post(host, &command, now);
                }
                // A completion queue is only deleted once no submission queue uses it.
                None => self.pending.release(index),
            }
        }
    }

    /// Posts completions that waited for room in queues whose head has moved.
    fn unblock<H: Host>(&mut self, host: &mut H, now: Instant) {
        while let Some(id) = self.queues.unblocked.pop() {
            while let Some(cq) = self.queues.cq(id).filter(|cq| !cq.is_full()) {
                let Some((index, command)) = self.pending.pop_front(&mut cq.waiting) else {
                    break;
                };
                self.pending.release(index);
                self.post(host, &command, now);
            }
        }
    }

    /// Writes one completion to its queue, which has room.
    pub(crate) fn post<H: Host>(&mut self, host: &mut H, command: &Waiting, now: Instant) {
        let sq_head = match self.queues.sq(command.sq) {
            Some(sq) => {
                sq.in_flight = sq.in_flight.saturating_sub(1);
                sq.head as u16
            }
            None => 0,
        };
        self.queues.refresh(command.sq);
        let Some(cq) = self.queues.cq(command.cq) else {
            return;
        };
        let entry = nvme_spec::Cqe {
            result: command.result,
            sq_head,
            sq_id: command.sq,
            cid: command.cid,
            status: command.status,
            phase: cq.phase,
        };
        let (to, vector) = (cq.next(), cq.vector);
        cq.advance();
        if host.post_completion(to, &entry.encode()).is_err() {
            self.fail(host, command.cq);
        } else if let Some(vector) = vector {
            self.interrupts.posted(command.cq, vector, now);
        }
    }

    /// Lets interrupts wait up to `longest` for more completions while that pays, unless the guest has asked for
    /// coalescing of its own: for drives whose commands take no time. Zero, as at first: never.
    pub fn set_interrupt_hold(&mut self, longest: Nanos) {
        self.interrupt_hold = longest;
    }

    /// Level of the interrupt pin, for a host that switches from MSI-X to the pin.
    #[must_use]
    pub fn pin_level(&self) -> bool {
        self.interrupts.pin_level()
    }

    /// The drive.
    #[must_use]
    pub fn drive(&self) -> &D {
        &self.drive
    }

    /// The drive, to change it from outside the guest (faults, latencies). Call
    /// [`Controller::run`] afterwards.
    pub fn drive_mut(&mut self) -> &mut D {
        &mut self.drive
    }
}
