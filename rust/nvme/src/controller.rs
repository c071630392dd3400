// SPDX-License-Identifier: GPL-2.0-or-later
//! The controller: what ties registers, queues, commands and the drive together.

use crate::{ConfigError, ControllerConfig, Drive, Host};

/// An NVMe controller with the drive behind it.
#[derive(Debug)]
pub struct Controller<D> {
    config: ControllerConfig,
    drive: D,
}

impl<D: Drive> Controller<D> {
    /// A controller after power-on, disabled.
    ///
    /// # Errors
    /// A choice outside its bounds.
    pub fn new(config: ControllerConfig, drive: D) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, drive })
    }

    /// Size of the register window in bytes: registers and all doorbells, a power of two.
    #[must_use]
    pub fn bar_bytes(&self) -> u64 {
        let doorbells = (u64::from(self.config.io_queues) + 1) * 8;
        (0x1000 + doorbells).next_power_of_two()
    }

    /// The guest reads `size` (1, 2, 4 or 8) bytes at `offset` of the register window.
    pub fn mmio_read(&mut self, _offset: u64, _size: u8) -> u64 {
        0
    }

    /// The guest writes. Only recorded: call [`Controller::run`] right after.
    pub fn mmio_write(&mut self, _offset: u64, _value: u64, _size: u8) {}

    /// Fetches, executes and completes what is due, at most `budget` commands; re-arms the host's
    /// timer. To be called after each register write and when the timer fires.
    pub fn run<H: Host>(&mut self, _host: &mut H, _budget: u32) {}

    /// Power-on or PCI reset: registers and queues as at power-on, commands in flight dropped. The
    /// drive keeps its contents.
    pub fn reset(&mut self) {}

    /// Level of the interrupt pin, for a host that switches from MSI-X to the pin.
    #[must_use]
    pub fn pin_level(&self) -> bool {
        false
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
