// SPDX-License-Identifier: GPL-2.0-or-later
//! Safe bindings for PCI devices written in Rust, on top of the crate `qemu`.
//!
//! ```text
//!   your device (QOM struct over ParentField<PciDevice>)
//!      |  implements PciDeviceImpl: identity, realize -> Result, exit
//!      v
//!   PciDevice   BARs, capabilities, MSI-X, INTx pin, guest DMA
//!   Mmio        what the guest's accesses to a BAR do
//!   Ram         host memory behind a device: own, a backend's, a file's, or a range of guest RAM
//!   VirtualTimer  a callback at an instant of the guest's clock, from the main loop
//!   ThreadTimer   the same from an iothread
//!   property    class properties with descriptions, set from text, numbers or booleans
//!   Error       what realize and property setters answer, in the user's words
//! ```
//!
//! Invariants:
//! - Everything runs under the big QEMU lock; methods assert it where C would only assume it. The
//!   one exception is an iothread's wait for a deadline, see `iothread`.
//! - No method here hands out a reference into memory that the guest can change: bytes are copied
//!   in and out through raw pointers.
//! - A device that is in the middle of its work is marked busy in QEMU's own re-entrancy guard
//!   ([`PciDevice::enter_io`]), so that DMA aimed at its own BARs fails instead of re-entering it.
//!
//! Not here: MSI (only MSI-X), bridges, SR-IOV, ROM BARs, I/O port BARs, VFIO.
//!
//! Built by meson only, since it needs QEMU's headers.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod anonymous;
mod device;
mod dma;
mod error;
pub mod file;
mod iothread;
mod log;
mod machine;
pub mod migration;
mod mmio;
mod property;
mod ram;
mod stale;
mod text;
mod timer;

/// What this crate's macros and its users' classes need of C.
pub use qemu::bindings;

pub use device::{class_init, for_each_device, Identity, IoGuard, PciDevice, PciDeviceImpl};
pub use dma::DmaFault;
pub use error::Error;
pub use iothread::ThreadTimer;
pub use log::guest_error;
pub use machine::{is_running, reset, shut_down, StopHandler};
pub use migration::{Incoming, Migrate, Outgoing};
pub use mmio::{Mmio, Region};
pub use property::{
    add_bootindex, add_property, show_properties, Access, PropertyValue, TextProperties,
};
pub use ram::Ram;
pub use timer::VirtualTimer;
