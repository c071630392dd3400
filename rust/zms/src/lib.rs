// SPDX-License-Identifier: GPL-2.0-or-later
//! The consumer FTL: write buffers, L2P cache, pSLC, superblocks, reclaim.
//!
//! [`Zms`] is what a consumer-grade zoned drive does between a command's arrival and its
//! completion, as a state machine: commands and their arrival times go in, completion times come
//! out. docs/model.md explains it; this is where its parts live:
//!
//! ```text
//!   command ---- meta namespace ----------------- paged (map, buffer), gc (write pointers, GC)
//!           \--- data namespace, block --------- the same, with native cells and migration
//!            \-- data namespace, zoned --------- zoned (state), write (buffers to flash, durability)
//!                                                reclaim (pSLC space, migration, reset), lend (dynamic pSLC)
//!   shared: buffer (which buffer a zone gets), read (walk, misses), l2p (cache), hmb (its second level), superblock (pools),
//!           slc_map (what lies where in pSLC), core (flash, links), stats
//! ```
//! Invariants: the same calls give the same answers; a command's cost depends on its size, not on
//! the capacity; every page with data has one home; nothing panics, whatever the arguments.
//!
//! Not modelled: data (the caller has it), write-back of the map, read disturb, wear levelling
//! beyond taking the superblock that has been free longest, bad blocks.

#![forbid(unsafe_code)]

mod area;
mod buffer;
mod command;
mod config;
mod core;
mod drive;
mod gc;
mod hmb;
mod index;
mod l2p;
mod lend;
mod lending;
mod lent;
mod mover;
mod paged;
mod power;
mod read;
mod reclaim;
mod sparse;
mod stats;
mod superblock;
mod write;
mod zoned;
mod zrwa;

pub use config::{
    buffered_superblocks, BufferPolicy, Buffers, Config, ConfigError, DataNamespace, HostBuffer,
    L2p, L2pPolicy, L2pSearch, SlcMap, TooMany, MAX_HMB_SLOTS,
};
pub use drive::{Pools, Zms};
pub use ftl::{
    ByGrain, Command, Costs, Counters, Error, Histogram, HmbCounters, Left, Lost, Namespace,
    Outcome, PoolStats, PowerCut, Reply, Stats, ZoneAction, ZoneReport, ZoneTarget,
};
pub use hmb::{Cursor, PIECE_BYTES};
pub use l2p::Grain;
pub use nand::{Suspend, Suspension};
