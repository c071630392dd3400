// SPDX-License-Identifier: GPL-2.0-or-later
//! When the controller wants to run again: a timer of the main loop's or of an iothread's, and how
//! late it was.

use std::ptr::addr_of_mut;
use std::time::Duration;

use pci::{is_running, Error, ThreadTimer, VirtualTimer};
use qemu::{BqlCell, BqlRefCell};
use ssd::{Histogram, Worker};
use units::Instant;

use crate::device::ConzoneNvme;

/// The device's timer. All of it is used under the big QEMU lock only.
pub(crate) struct Alarm {
    main: VirtualTimer,
    /// In place of `main`, between realize and unplug.
    thread: BqlRefCell<Option<ThreadTimer>>,
    /// What the timer is armed for.
    armed: BqlCell<Option<Instant>>,
    /// Of the drive's clock, when the guest's was 0.
    origin: BqlCell<u64>,
    /// How long after its deadline the timer came, in the host's time.
    lateness: BqlRefCell<Histogram>,
}

impl Alarm {
    /// Writes all fields but the timer, which [`Alarm::init`] is for.
    ///
    /// # Safety
    /// `this` is zeroed memory inside a device.
    pub(crate) unsafe fn write(this: *mut Self) {
        // SAFETY: fields are written without being read or dropped before.
        unsafe {
            addr_of_mut!((*this).thread).write(BqlRefCell::new(None));
            addr_of_mut!((*this).armed).write(BqlCell::new(None));
            addr_of_mut!((*this).origin).write(BqlCell::new(0));
            addr_of_mut!((*this).lateness).write(BqlRefCell::new(Histogram::default()));
        }
    }

    /// Makes the timer call the device.
    ///
    /// # Safety
    /// `self` is a field of `device`, and this is its first call.
    pub(crate) unsafe fn init(&self, device: &ConzoneNvme) {
        // SAFETY: by this function's contract.
        unsafe { self.main.init(ConzoneNvme::timer_fired, device) }
    }

    /// Has an iothread work the timer until [`Alarm::end`].
    pub(crate) fn employ(&self, worker: &Worker, device: &ConzoneNvme) -> Result<(), Error> {
        let poll = Duration::from_nanos(worker.poll.get());
        // SAFETY: the device ends the timer when it is unplugged or cannot be realized, and drops
        // this field with itself at the latest.
        let timer =
            unsafe { ThreadTimer::new(&worker.thread, poll, device, ConzoneNvme::timer_fired) }
                .map_err(|e| e.context(&format!("property 'iothread' = {}", worker.thread)))?;
        *self.thread.borrow_mut() = Some(timer);
        Ok(())
    }

    /// The drive's clock: the guest's, from its origin on.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(VirtualTimer::now_ns().saturating_add(self.origin.get()))
    }

    /// The drive has lived until `clock`: it goes on from there.
    pub(crate) fn go_on_from(&self, clock: Instant) {
        let now = VirtualTimer::now_ns();
        self.origin.set(clock.as_nanos().saturating_sub(now));
    }

    /// Wakes the device at `deadline`, in place of any earlier request. An earlier deadline stays: the device finds
    /// nothing to do then and sets this one, which costs less than to move the timer with every command.
    pub(crate) fn set(&self, deadline: Instant) {
        if self.armed.get().is_some_and(|armed| armed <= deadline) {
            return;
        }
        self.armed.set(Some(deadline));
        let deadline = deadline.as_nanos().saturating_sub(self.origin.get());
        match self.thread.borrow().as_ref() {
            Some(timer) => timer.arm(deadline),
            None => self.main.arm(deadline),
        }
    }

    /// When the device will be woken, if it will.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.armed.get()
    }

    /// Takes back any request.
    pub(crate) fn cancel(&self) {
        self.armed.set(None);
        self.main.cancel();
        if let Some(timer) = self.thread.borrow().as_ref() {
            timer.cancel();
        }
    }

    /// Nothing comes after this.
    pub(crate) fn end(&self) {
        self.cancel();
        *self.thread.borrow_mut() = None;
    }

    /// The timer has fired; whether the device may work. While the machine is stopped an iothread
    /// may still come, and then it does so again when the machine goes on.
    pub(crate) fn fired(&self) -> bool {
        let Some(deadline) = self.armed.take() else {
            return is_running();
        };
        if !is_running() {
            self.set(deadline);
            return false;
        }
        let now = self.now();
        if VirtualTimer::follows_host() && now >= deadline {
            self.lateness.borrow_mut().add(now.since(deadline));
        }
        true
    }

    /// How late the timer was, if the guest's clock is the host's: otherwise it never is.
    pub(crate) fn lateness(&self) -> Option<Histogram> {
        VirtualTimer::follows_host().then(|| self.lateness.borrow().clone())
    }
}
