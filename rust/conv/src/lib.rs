// SPDX-License-Identifier: GPL-2.0-or-later
//! The conventional SSD: page map, superblocks, greedy garbage collection.
//!
//! ```text
//!   LPN mod partitions picks the partition; each has channels / partitions channels of its own
//!
//!   host --link--> buffer --> incomplete one-shot page --program--> host superblock
//!                  (bytes)                                             | closed, valid pages counted
//!        fewest valid pages first:  read --> GC's one-shot pages --> GC superblock
//! ```
//! A superblock is the same block on every plane of a partition. It is filled one-shot page by
//! one-shot page over channels first, then dies, then rows. The host and the collection have write
//! pointers of their own.
//!
//! - **Write**: waits for room in the buffer, pays the buffer access, crosses the host link and is
//!   complete. A one-shot page programs when it is full; its bytes are free when that ends. FUA and
//!   flush program incomplete ones too, whose other pages are lost until the superblock's erase.
//! - **Read**: pages are in memory until their program has ended. Others that are in one flash page
//!   are sensed together, and cross the host link while others still cross their channels.
//! - **Collection**: while the threshold and one more superblock or fewer are free, each page that the
//!   host writes pays for a share of collecting a victim. The work waits for the planes' idle time
//!   until so much of it is queued, or so little space is left, that the host needs it.
//!
//! Invariants: map and reverse map are inverse; a superblock's valid pages are those that the map
//! points to; what a page was rewritten over, and what collection moves, is erased only when the new
//! copy has been programmed, so what is durable once stays so.
//!
//! The map is in memory; with an L2P cache, reads wait for the parts of it that are not.
//!
//! Not modelled: writing the map back, wear levelling beyond using free superblocks in turn, bad
//! blocks, read disturb.

#![forbid(unsafe_code)]

mod config;
mod drive;
mod engine;
mod map_cache;
mod partition;
mod pool;
mod shape;
mod stats;

pub use config::{Config, ConfigError, L2p, Paged};
pub use drive::Conv;
pub use engine::{Engine, Survivors};
pub use stats::{Counters, Stats};
