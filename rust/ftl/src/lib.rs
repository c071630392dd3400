// SPDX-License-Identifier: GPL-2.0-or-later
//! What the flash translation layers have in common.
//!
//! The drives of the family (`zms`, `zns`, `conv`, `simple`) are siblings: each takes a [`Command`]
//! at an instant and answers with an [`Outcome`] (crate `command`). This crate has the parts that more
//! than one of them is built from:
//!
//! ```text
//!   host ==link==> ByteBuffer --program--> planes       Flash: chips, their channels, the host link
//!                   (bytes held until the program ends)
//! ```
//! - [`ByteBuffer`]: a write buffer accounted in bytes; who waits how long for room.
//! - [`Flash`]: the array and the host link with the controller's own costs.
//! - [`Observer`]: what happened to pages, for checks.
//! - [`Random`]: numbers that follow from a seed.
//! - [`Recent`]: a list that forgets what is over, now and then.
//! - [`HostStats`] and [`Histogram`]: what the host asked for, and how long it took.
//! - [`Counters`] and [`Stats`]: what a drive has done, in common terms; [`Counter`]: the names of these terms.
//!
//! Not here: any policy (placement, reclaim, mapping), zones (`zone`), cell timing (`nand`).

#![forbid(unsafe_code)]

mod buffer;
mod cores;
mod counter;
mod counters;
mod flash;
mod namespace;
mod observe;
mod power;
mod random;
mod recent;
mod stats;

pub use buffer::ByteBuffer;
pub use command::{
    zone_at, Command, Error, Outcome, Reply, ZoneAction, ZoneReport, ZoneTarget, MAX_SECTORS,
};
pub use cores::{CoreCosts, Cores, Service, Turn, MAX_CORES};
pub use counter::{totals, Counter, Totals};
pub use counters::{pages, ByGrain, Counters, HmbCounters, PoolStats, Stats};
pub use flash::{Costs, Flash};
pub use namespace::Namespace;
pub use observe::{Event, Observer, Place};
pub use power::{Left, Lost, PowerCut};
pub use random::Random;
pub use recent::Recent;
pub use stats::{Histogram, HostStats};

/// The example of docs/extending.md is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/extending.md")]
mod extending {}
