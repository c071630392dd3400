// SPDX-License-Identifier: GPL-2.0-or-later
//! The QEMU device `conzone-nvme`: a consumer-grade zoned drive on the PCI bus.
//!
//! ```text
//!   guest ── MMIO ──> device ──> nvme::Controller<ssd::Drive>     (pure, deterministic)
//!                       ^  |            |
//!             Alarm ────┘  |            v
//!                          └──> host: guest DMA, media, interrupts, next deadline
//! ```
//!
//! All of the drive lives in the pure crates. This one gives it memory, a clock and interrupts:
//! - A doorbell is worked inside its MMIO write, and completions inside a timer on the guest's
//!   clock, so that a run under icount repeats to the byte. An iothread, where the user asks for one,
//!   works the timer in place of the main loop.
//! - While the controller works, the device is busy: whatever reaches it in that time can only be
//!   its own DMA coming back, and is dropped (registers) or put off (reset, unplug).
//! - Interrupts and the timer are collected while the controller is borrowed, and delivered after.
//!
//! Not modelled: SR-IOV, CMB, PMR, migration of a machine with the device plugged.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod alarm;
mod device;
mod history;
mod host;
mod media;
mod migration;
mod persistence;
mod properties;
mod record;

pub use device::ConzoneNvme;
