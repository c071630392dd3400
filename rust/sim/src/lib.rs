// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash model alone, driven by a trace in virtual time: no VM, no controller, no data.
//!
//! ```text
//!   trace::Line ──> Simulation { Pacer, model } ──> trace::Answer ──> Latencies
//!                   Age: what it has been through before
//! ```
//! A command's instant of arrival comes from the trace or from the closed loop; the model says at
//! once when it completes. Nothing here depends on the host's clock, so the same trace gives the
//! same answers everywhere.
//!
//! What this crate does not do: it reads no files (crate `trace`) and prints nothing (the CLI).

#![forbid(unsafe_code)]

mod age;
mod input;
mod latency;
mod log;
mod simulation;
mod space;

pub use age::{Age, Aged};
pub use input::{Input, InputError};
pub use latency::{Latencies, Latency};
pub use log::{Cleaning, Log, LogError, LogFigures, LogOptions, Streams};
pub use simulation::{to_model, Simulation};
pub use space::Space;
pub use ssd::PowerCuts;
