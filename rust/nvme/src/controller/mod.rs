// SPDX-License-Identifier: GPL-2.0-or-later
//! The controller: what it is made of, register accesses, and reset.
//!
//! ```text
//!  mmio_write ─► registers, tails, heads ─► run     (recorded only, until the run)
//! ```
//! Registers, queues, completions and interrupts belong to this module and those in it: the run loop (`run`), shadow
//! doorbells (`shadow`), power cuts (`power`) and the commands on queues (`queue_commands`). All other commands have the drive, the data
//! pointer, features and logs, and can touch nothing else.

mod check;
mod power;
mod queue_commands;
mod run;
mod shadow;
mod stored;

use nvme_spec::{AsyncEvent, Status};
use units::{Instant, Nanos, QueueId};

use crate::changed_zones::ChangedZones;
use crate::config::{ConfigError, ControllerConfig};
use crate::counters::Counters;
use crate::drive::{Drive, NamespaceInfo, NsIndex};
use crate::error_log::ErrorLog;
use crate::events::Events;
use crate::features::Features;
use crate::host::GuestError;
use crate::host_buffer::HostBuffer;
use crate::interrupt::Interrupts;
use crate::namespace::Namespace;
use crate::pending::Pending;
use crate::power_states::PowerStates;
use crate::queue::{CompletionQueue, Queues, SubmissionQueue};
use crate::registers::{AdminQueues, Effect, Registers};
use crate::reject::{Reject, NSID};
use crate::test_log::SelfTest;
use crate::transfer::{Transfer, MIN_PAGE};
use crate::work::{Sanitizing, Work};
use power::Power;

/// Guest errors kept between two runs; more in one burst are counted by none.
const MAX_GUEST_ERRORS: usize = 8;

/// An NVMe controller with the drive behind it.
#[derive(Debug)]
pub struct Controller<D> {
    pub(crate) config: ControllerConfig,
    pub(crate) drive: D,
    pub(crate) features: Features,
    pub(crate) events: Events,
    pub(crate) logs: Logs,
    /// Data pointer of the command being executed.
    pub(crate) transfer: Transfer,
    /// Where structures for the guest are put together.
    pub(crate) scratch: Box<[u8; 4096]>,
    pub(crate) work: Work,
    pub(crate) sanitizing: Sanitizing,
    pub(crate) self_test: SelfTest,
    registers: Registers,
    queues: Queues,
    pending: Pending,
    interrupts: Interrupts,
    guest_errors: Vec<GuestError>,
    shutdown: Shutdown,
    power: Power,
    pub(crate) power_states: Option<PowerStates>,
    pub(crate) host_buffer: HostBuffer,
    /// What [`Controller::set_interrupt_hold`] allows; no reset changes it.
    interrupt_hold: Nanos,
}

/// What log pages are made from.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) errors: ErrorLog,
    pub(crate) counters: Counters,
    /// Of each namespace.
    pub(crate) changed_zones: Vec<ChangedZones>,
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
            features: Features::new(namespaces),
            logs: Logs {
                errors: ErrorLog::new(),
                counters: Counters::default(),
                changed_zones: (0..namespaces).map(|_| ChangedZones::new()).collect(),
            },
            transfer: Transfer::new(MIN_PAGE << config.mdts),
            scratch: Box::new([0; 4096]),
            work: Work::default(),
            sanitizing: Sanitizing::default(),
            self_test: SelfTest::new(),
            guest_errors: Vec::with_capacity(MAX_GUEST_ERRORS),
            shutdown: Shutdown::None,
            power: Power::default(),
            host_buffer: HostBuffer::new(config.host_buffer > 0),
            power_states: PowerStates::new(config.power_states, config.transitions),
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

    /// The guest reads `size` (1, 2, 4 or 8) bytes at `offset` of the register window. Without power nobody answers.
    pub fn mmio_read(&mut self, offset: u64, size: u8) -> u64 {
        if self.is_off() {
            return u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8)));
        }
        self.registers.read(offset, size)
    }

    /// The guest writes. Only recorded: call [`Controller::run`] right after.
    pub fn mmio_write(&mut self, offset: u64, value: u64, size: u8) {
        if self.is_off() {
            return;
        }
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
    fn reserve(&mut self) {
        self.pending.reserve_for(self.queues.total_entries());
    }

    /// Drops queues and commands (controller reset).
    fn disable(&mut self) {
        self.queues.clear();
        self.pending.clear();
        self.work.clear();
        self.interrupts.clear();
        self.events.clear();
        self.features.clear();
        if let Some(power) = &mut self.power_states {
            power.reset();
        }
        self.take_back_host_buffer();
        self.self_test.reset();
        self.logs.counters.idle();
        self.shutdown = Shutdown::None;
    }

    /// Reset of the function or of the machine at `now`: registers and queues as at power-on, commands in flight dropped.
    /// The drive keeps its contents, and its power; if that had been cut it comes back.
    pub fn reset(&mut self, now: Instant) {
        self.disable();
        self.registers.reset();
        self.restore_power(now);
        self.visit_power_states(now);
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
            self.queues.rung.0.insert(queue.get());
        }
        self.queues.refresh(queue.get());
        Some(true)
    }

    fn ring_cq(&mut self, queue: QueueId, head: u32) -> Option<bool> {
        let cq = self.queues.cq(queue.get())?;
        if !cq.consume_to(head) {
            return Some(false);
        }
        let (is_empty, is_waiting) = (cq.is_empty(), !cq.waiting.is_empty());
        if cq.shadow.is_some() {
            self.queues.rung.1.insert(queue.get());
        }
        if is_empty {
            self.interrupts.acknowledged(queue.get());
        }
        if is_waiting {
            self.queues.unblocked.insert(queue.get());
        }
        Some(true)
    }

    fn note(&mut self, error: GuestError) {
        if self.guest_errors.len() < MAX_GUEST_ERRORS {
            self.guest_errors.push(error);
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
        !self.is_off() && self.interrupts.pin_level()
    }

    /// Number of namespaces (NN).
    pub(crate) fn namespace_count(&self) -> u32 {
        u32::try_from(self.drive.namespaces().len()).unwrap_or(u32::MAX)
    }

    /// The active namespace with this identifier.
    pub(crate) fn namespace(&self, nsid: u32) -> Result<Namespace, Reject> {
        let index = u8::try_from(nsid.wrapping_sub(1)).ok();
        let found = index.and_then(|i| {
            let info = self.drive.namespaces().get(usize::from(i))?;
            Some((NsIndex(i), info))
        });
        let Some((index, info)) = found else {
            return Err(Reject::at(Status::InvalidNamespace, NSID, 0));
        };
        if self.is_active(info) {
            Ok(Namespace::new(index, info))
        } else {
            Err(Reject::invalid(NSID, 0))
        }
    }

    /// A namespace is active if the command set it needs is selected (CC.CSS).
    pub(crate) fn is_active(&self, info: &NamespaceInfo) -> bool {
        info.zoned.is_none() || self.has_zoned()
    }

    /// Whether zoned namespaces can be used (CC.CSS).
    pub(crate) fn has_zoned(&self) -> bool {
        self.registers.has_zoned()
    }

    /// Memory page size (CC.MPS) in bytes.
    pub(crate) fn page(&self) -> u64 {
        self.registers.page()
    }

    /// Whether some I/O queue exists.
    pub(crate) fn has_io_queues(&mut self) -> bool {
        (1..=self.config.io_queues).any(|id| self.queues.cq(id).is_some())
    }

    /// Interrupt Vector Configuration of a vector: whether coalescing is disabled.
    pub(crate) fn coalescing_disabled(&self, vector: u16) -> Option<bool> {
        self.interrupts.coalescing_disabled(vector)
    }

    /// Sets the Interrupt Vector Configuration; `false` if there is no such vector.
    pub(crate) fn set_coalescing_disabled(&mut self, vector: u16, disabled: bool) -> bool {
        self.interrupts.set_coalescing_disabled(vector, disabled)
    }

    /// What the host's own clock said at instant 0 of the drive's, milliseconds: by the Timestamp that the host has set
    /// (Base, section 5.27.1.11). None before it has.
    #[must_use]
    pub fn host_clock_ms(&self) -> Option<u64> {
        self.features.timestamp.at_start()
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
