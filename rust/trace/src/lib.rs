// SPDX-License-Identifier: GPL-2.0-or-later
//! Command traces: what a drive is asked, and what it answered.
//!
//! A trace is text, one command a line, fields separated by blanks:
//!
//! ```text
//! # a comment
//! arrival_ns ns op slba nlb fua      ns 0 = meta, 1 = data; slba and nlb in 512-byte sectors
//! Q depth                            closed loop from here on; 0 goes back to the arrivals given
//! I ns                               wait until nothing is outstanding, then that many ns
//! ```
//!
//! The answer has one line a command, in the trace's order:
//! `arrival_ns ns op slba nlb completion_ns status`, where the status is the NVMe status code type
//! and code as one decimal number, 0 for success.
//!
//! [`block`] reads what other programs record of a block device: requests that know no zones.
//!
//! All are streamed in bounded memory, through gzip if the file's name ends in `.gz`. What this
//! crate does not do: it knows no drive; [`Pacer`] only says when the next command arrives.

#![forbid(unsafe_code)]

pub mod block;
mod entry;
mod files;
mod pacer;
mod parse;

pub use entry::{Answer, Command, Line, Op};
pub use files::{create, open, Output};
pub use pacer::Pacer;
pub use parse::{AnswerReader, Problem, Reader, TraceError};
