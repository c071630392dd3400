// SPDX-License-Identifier: GPL-2.0-or-later
//! Drives the real QEMU binary over its qtest protocol.
//!
//! ```text
//!   a test --> NvmeDriver --> PciDevice --> Machine --+-- qtest socket: MMIO, port I/O, memory, clock
//!                                                     +-- QMP socket: device_add, qom-get, events
//! ```
//!
//! Under the `qtest` accelerator no guest code runs: the test is the CPU. Virtual time stands still
//! except when the test steps it, so completion instants can be compared to the nanosecond.
//!
//! - [`Machine`]: one QEMU process with both sockets; killed when dropped.
//! - [`PciDevice`]: configuration space through ports CF8h/CFCh, BAR placement, MSI-X, INTx.
//! - [`NvmeDriver`]: a guest-side NVMe driver without any cleverness, so that a test can break every rule.
//! - [`Drive`]: that with one I/O queue, for tests that keep the rules.
//! - [`opcode`], [`status`], [`action`], [`state`]: numbers of the specifications.
//!
//! Errors are `anyhow::Error`; tests return them. Each wait is bounded ([`TIMEOUT`] of host time, or
//! a number of clock steps), so a hanging device is a failing test.

#![forbid(unsafe_code)]

mod drive;
mod driver;
mod machine;
mod pci;
mod protocol;
mod qmp;
mod spec;

pub use drive::{Drive, Zone, SLOT, ZONE};
pub use driver::{register, Cqe, NvmeDriver, Queue, Sqe, CC_ENABLED, CSTS_FATAL, CSTS_READY};
pub use machine::{binary, refusal, Machine, Options, TIMEOUT};
pub use pci::{behind_root_port, open_port, set_slot_power, PciAddress, PciDevice};
pub use spec::{action, opcode, state, status};
