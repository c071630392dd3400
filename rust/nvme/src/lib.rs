// SPDX-License-Identifier: GPL-2.0-or-later
//! The NVMe controller core, free of QEMU and of the flash model.
//!
//! ```text
//!   guest MMIO ──► Controller ──► Host   (guest memory, media bytes, interrupts, timer)
//!                      │
//!                      └────────► Drive  (namespaces, zone states, completion instants)
//! ```
//!
//! The life of a command: a doorbell write is recorded; [`Controller::run`] fetches the entry once,
//! parses it once, resolves its data pointer, submits it to the [`Drive`], moves its bytes, and
//! keeps its completion until the instant the drive gave. Completions due at the same instant are
//! posted in the order of submission; a full completion queue holds them back without loss; each
//! vector is signalled once per run, after all entries are written.
//!
//! Invariants:
//! - each command that was fetched completes exactly once, or is dropped by a reset or by the
//!   deletion of its queue;
//! - nothing a guest does panics, allocates per command, loops without bound, or touches bytes
//!   outside its own buffers and the namespace it names;
//! - no clock is read and no state is global: the same calls give the same results.
//!
//! Where to find what: `controller` (register accesses, the run loop, queues, shadow doorbells) on `registers`, `queue`,
//! `pending`, `interrupt` (the machinery); `transfer` (PRP, SGL); `admin`, `identify`, `logs`, `features`, `set_features`,
//! `events`, `sanitize`, `self_test` (admin commands); `power_states`; `host_buffer`, `lending`; `io`, `ranges`, `zones` (I/O commands); `job` (long ones of both), `work` (how much a run
//! does); `reject` (errors to status). docs/spec-coverage.md maps the specification to code and tests.
//!
//! Not modelled: fused commands, metadata and protection information, namespace management,
//! firmware download, reservations, directives, Keep Alive, controller memory
//! buffers, weighted round robin, virtualization, fabrics.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![warn(missing_docs)]

mod admin;
mod changed_zones;
mod config;
mod controller;
mod counters;
mod drive;
mod error_log;
mod events;
mod features;
mod host;
mod host_buffer;
mod identify;
mod interrupt;
mod io;
mod job;
mod lending;
mod logs;
mod moderation;
mod namespace;
mod pending;
mod power_states;
mod queue;
mod ranges;
mod registers;
mod reject;
mod sanitize;
mod self_test;
mod set_features;
mod test_log;
mod transfer;
mod work;
mod zones;

pub use config::{ConfigError, ControllerConfig, MAX_IO_QUEUES, MAX_MDTS, MAX_QUEUE_ENTRIES};
pub use controller::Controller;
pub use drive::{
    Drive, DriveEvent, Failure, Health, MediaChange, NamespaceInfo, NsIndex, PowerLoss,
    SanitizeStatus, Sanitized, ZonedInfo, ZrwaInfo, LBA_SHIFTS, VENDOR_LOG_BYTES,
};
pub use host::{DmaFault, GuestError, Host};
pub use power_states::{PowerReport, PowerState, PowerStates, Spent, MAX_POWER_STATES};
pub use reject::status_of;
