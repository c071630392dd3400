// SPDX-License-Identifier: GPL-2.0-or-later
//! What the flash models promise, checked from outside.
//!
//! A model (`zms`, `conv`, `zns`) is asked to tell what it does: where it puts each page and from
//! when the copy survives a power cut ([`ftl::Event`]), and what each plane does when
//! ([`nand::Occupied`]). The checker keeps books of its own from that, the commands and their
//! answers, and says which law is broken first. It shares no code with the models.
//!
//! ```text
//!   draw ── configuration, commands ──> drive ──> model
//!                                         │ outcome, events, occupied
//!                                         ▼
//!   checker ─┬─ ledger    every acknowledged page has a durable copy, at every instant
//!            ├─ blocks    programmed in order, once, after the erase          (part of the ledger)
//!            ├─ planes    one thing at a time
//!            ├─ link      no more bytes than the bandwidth allows
//!            └─ written   what reads as never written; commands counted
//!   run, shrink, report: from a seed to the shortest list of commands that breaks the same law
//! ```
//! The laws are about instants, not about samples: copies, erases and acknowledgements are intervals,
//! and what is asked is whether they cover each other. What is booked for later counts as booked.
//!
//! Memory follows the pages that have copies, not the length of the run: events are taken after each
//! command, and what has ended is forgotten after a while of model time ([`ledger::LAG`]).
//!
//! Not checked: data (the models have none), the L2P cache, closed forms of times (the models' own
//! tests), and channels byte by byte: what a plane did says nothing about the bytes it moved, so
//! channels are only held to busy <= elapsed, and the host link to what commands show from outside.

#![forbid(unsafe_code)]

pub mod checker;
pub mod damage;
pub mod draw;
pub mod drive;
pub mod ledger;
pub mod link;
pub mod observed;
pub mod planes;
pub mod random;
pub mod replay;
pub mod run;
pub mod shrink;
pub mod violation;
pub mod written;

pub use checker::Checker;
pub use drive::Drive;
pub use violation::{Law, Violation};
