// SPDX-License-Identifier: GPL-2.0-or-later
//! Test doubles around the controller: a machine, a drive, and a guest-side driver.
//!
//! ```text
//!   Guest (driver) ──► nvme::Controller ──► FakeHost (memory, media, clock, interrupts)
//!                              └──────────► FakeDrive, or the real one
//! ```
//!
//! Everything is deterministic: the clock moves only when a test moves it, mostly to the wake-up
//! the controller asked for. [`command`] builds submission queue entries and touches nothing; the
//! tests against the real binary use it too.
//!
//! The fake drive knows zone states and write pointers but no limits, no flash and no time except
//! one latency per command.

#![forbid(unsafe_code)]

pub mod command;
mod drive;
pub mod fuzz;
mod guest;
mod host;
mod power_states;

pub use drive::{FakeConfig, FakeDrive};
pub use guest::{Guest, PAGE};
pub use host::{Change, FakeHost, Watch};
pub use power_states::POWER_STATES;
