// SPDX-License-Identifier: GPL-2.0-or-later
//! The conventional SSD: page map, superblocks, greedy garbage collection.
//!
//! ```text
//!   LPN mod partitions picks the partition; each has channels / partitions channels of its own
//!
//!   host --link--> buffer --> incomplete one-shot page --program--> host superblock
//!                  (bytes)                                             | closed, valid pages counted
//!        fewest valid pages first:  read --> GC's one-shot page --> GC superblock
//! ```
//! A superblock is the same block on every plane of a partition. It is filled one-shot page by
//! one-shot page over channels first, then dies, then rows. The host and the collection have write
//! pointers of their own.
//!
//! - **Write**: waits for room in the buffer, pays the buffer access, crosses the host link and is
//!   complete. A one-shot page programs when it is full; its bytes are free when that ends. FUA and
//!   flush program incomplete ones too, whose other pages are lost until the superblock's erase.
//! - **Read**: pages of incomplete one-shot pages are in memory. Those in one flash page are sensed
//!   together, and cross the host link while others still cross their channels.
//! - **Collection**: when opening a superblock would leave no more than the threshold, victims are
//!   read, rewritten and erased until more would be left. The work is booked on the planes; the
//!   write that caused it goes on as they allow.
//!
//! Invariants: map and reverse map are inverse; a superblock's valid pages are those that the map
//! points to; a superblock whose pages were moved is not erased before the last of them has been
//! programmed elsewhere, so every page always has a durable copy unless the host never asked for one.
//!
//! The map is in memory; with an L2P cache, reads wait for the parts of it that are not.
//!
//! Not modelled: writing the map back, wear levelling beyond using free superblocks in turn, bad
//! blocks, read disturb.

#![forbid(unsafe_code)]

mod collect;
mod config;
mod drive;
mod engine;
mod map_cache;
mod partition;
mod pool;
mod read;
mod shape;
mod stats;

pub use config::{Config, ConfigError, L2p, Paged};
pub use drive::Conv;
pub use engine::Engine;
pub use stats::{Counters, Stats};
