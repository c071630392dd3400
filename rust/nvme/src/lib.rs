// SPDX-License-Identifier: GPL-2.0-or-later
//! The NVMe controller core, free of QEMU and of the flash model.
//!
//! ```text
//!   guest MMIO ──► Controller ──► Host   (guest memory, media bytes, interrupts, timer)
//!                      │
//!                      └────────► Drive  (namespaces, zone states, completion instants)
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admin;
mod config;
mod controller;
mod counters;
mod drive;
mod error_log;
mod events;
mod features;
mod host;
mod identify;
mod interrupt;
mod io;
mod logs;
mod namespace;
mod pending;
mod queue;
mod registers;
mod reject;
mod set_features;
mod transfer;
mod zones;

pub use config::{ConfigError, ControllerConfig, MAX_IO_QUEUES, MAX_MDTS, MAX_QUEUE_ENTRIES};
pub use controller::Controller;
pub use drive::{
    Discard, Drive, DriveEvent, Health, IoCommand, IoError, LbaRange, NamespaceInfo, NsIndex,
    Outcome, Reply, ZoneAction, ZoneAttributes, ZoneDescriptor, ZoneState, ZoneTarget, ZonedInfo,
    ZrwaInfo, LBA_SHIFTS, VENDOR_LOG_BYTES,
};
pub use host::{DmaFault, GuestError, Host};
pub use reject::status_of;
