// SPDX-License-Identifier: GPL-2.0-or-later
//! What the controller needs of the machine it sits in: memory, media bytes, interrupts, a clock.

use core::fmt;
use core::sync::atomic::{fence, Ordering};

use units::{GuestAddr, Instant, QueueId};

/// Guest memory could not be reached: unmapped, a device's window, or the drive's own BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaFault;

/// The machine around the controller. It is lent for the length of one call and never kept.
///
/// Implementations must not re-enter the controller: a guest access that some call here provokes
/// is the implementation's to drop, and DMA aimed at the drive's own BAR is a [`DmaFault`].
pub trait Host {
    /// The current instant of model time. It never runs backwards.
    fn now(&self) -> Instant;

    /// Copies guest memory into `into`.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte cannot be read; `into` is then unspecified.
    fn dma_read(&mut self, from: GuestAddr, into: &mut [u8]) -> Result<(), DmaFault>;

    /// Copies `from` to guest memory.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte cannot be written.
    fn dma_write(&mut self, to: GuestAddr, from: &[u8]) -> Result<(), DmaFault>;

    /// Writes a completion queue entry so that a guest that polls its phase tag (in the last
    /// eight bytes) never sees the new tag beside old contents.
    ///
    /// # Errors
    /// [`DmaFault`] if the entry cannot be written.
    fn post_completion(&mut self, to: GuestAddr, entry: &[u8; 16]) -> Result<(), DmaFault> {
        let (low, high) = entry.split_at(8);
        self.dma_write(to, low)?;
        fence(Ordering::Release);
        self.dma_write(GuestAddr::new(to.get().wrapping_add(8)), high)
    }

    /// Copies `len` bytes of guest memory to the media at byte `at`.
    ///
    /// The controller stays inside the namespaces that [`crate::Drive::namespaces`] lists, and where
    /// [`crate::Drive::take_kept`] has it put something.
    ///
    /// # Errors
    /// [`DmaFault`] if the guest's side cannot be read; part of the bytes may have moved.
    fn media_from_guest(&mut self, at: u64, from: GuestAddr, len: u32) -> Result<(), DmaFault>;

    /// Copies `len` bytes of the media at byte `at` to guest memory.
    ///
    /// # Errors
    /// [`DmaFault`] if the guest's side cannot be written; part of the bytes may have moved.
    fn media_to_guest(&mut self, at: u64, to: GuestAddr, len: u32) -> Result<(), DmaFault>;

    /// Copies media bytes into `into` (Compare, Copy).
    fn media_read(&mut self, at: u64, into: &mut [u8]);

    /// What [`crate::Drive::take_kept`] told of has been put aside: bytes of the media are about to change.
    fn kept(&mut self) {}

    /// What the commands executed so far write is in the media.
    fn moved(&mut self) {}

    /// Copies `from` to the media (Copy).
    ///
    /// # Errors
    /// [`DmaFault`] if the host has no room for them.
    fn media_write(&mut self, at: u64, from: &[u8]) -> Result<(), DmaFault>;

    /// Makes `len` media bytes read as zeroes, and gives their host memory back where possible.
    fn media_discard(&mut self, at: u64, len: u64);

    /// Signals message `vector`; without effect while MSI-X is disabled.
    fn interrupt(&mut self, vector: u16);

    /// Sets the level of the interrupt pin; without effect while MSI-X is enabled.
    fn pin(&mut self, level: bool);

    /// Whether the guest uses the interrupt pin, as it does unless MSI-X is enabled. Its level
    /// follows completion queue heads, so the guest must ring for each of them.
    fn uses_pin(&self) -> bool {
        true
    }

    /// Asks for [`crate::Controller::run`] at `deadline`, in place of any earlier request.
    /// A deadline that has passed means as soon as possible, but after this call has returned.
    fn wake_at(&mut self, deadline: Instant);

    /// Notes a guest's mistake in a log of bounded size.
    fn guest_error(&mut self, error: GuestError);
}

/// A guest's mistake that no completion tells of. `Display` gives one line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestError {
    /// A register write at an offset, or of a size, that means nothing.
    Register {
        /// Byte offset in the BAR.
        offset: u64,
        /// Access size in bytes.
        size: u8,
    },
    /// CC was set to a configuration the controller refuses; CSTS.CFS is set.
    Configuration {
        /// The value of CC.
        cc: u32,
    },
    /// A doorbell of a queue that does not exist.
    DoorbellQueue {
        /// The queue whose doorbell was written.
        queue: QueueId,
    },
    /// A doorbell value outside the queue.
    DoorbellValue {
        /// The queue whose doorbell was written.
        queue: QueueId,
        /// The value written.
        value: u32,
    },
    /// A queue lies in memory that cannot be reached; CSTS.CFS is set.
    QueueMemory {
        /// The queue concerned.
        queue: QueueId,
    },
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register { offset, size } => {
                write!(f, "{size}-byte write to offset {offset:#x} is not defined")
            }
            Self::Configuration { cc } => write!(f, "CC {cc:#010x} cannot be enabled"),
            Self::DoorbellQueue { queue } => write!(f, "doorbell of absent queue {queue}"),
            Self::DoorbellValue { queue, value } => {
                write!(f, "doorbell value {value} is outside queue {queue}")
            }
            Self::QueueMemory { queue } => write!(f, "queue {queue} is not in reachable memory"),
        }
    }
}
