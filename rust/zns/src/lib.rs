// SPDX-License-Identifier: GPL-2.0-or-later
//! The enterprise zoned drive: no map, no pSLC, no reclaim; zones are striped over dies for good.
//!
//! ```text
//!   zone z on dies (z x dies-per-zone ...) mod dies, here 3 of them, one-shot pages 0 1 2 3 4 5:
//!
//!     die a: | 0 | 3 |      host --link--> buffer --channel--> die
//!     die b: | 1 | 4 |                     global, or one for each zone; bytes are held
//!     die c: | 2 | 5 |                     until the program that they are in has ended
//! ```
//! - **Write**: waits for room in the buffer, pays the buffer access, crosses the host link and is
//!   complete, unless FUA makes it wait for the programs. A one-shot page programs when its last
//!   page has arrived; the last one of a zone may be short.
//! - **Read**: data is in the buffer until its program has ended, in flash afterwards. A flash page
//!   is sensed once per command, and crosses the host link while the next crosses its channel.
//! - **Read-ahead**: pages of sequential streams are sensed before they are asked for (`ahead.rs`).
//! - **Cores**: commands wait for a core of the controller ([`ftl::Cores`]), where those are modelled.
//! - **Reset**: drops what is buffered; the blocks are erased in the background, in idle time or when
//!   the zone is written again: nothing is programmed into a block before its erase has ended.
//!
//! The buffer is backed by capacitors, as enterprise drives' are: data in it is durable. So a flush
//! waits for running programs only, and an incomplete one-shot page stays in the buffer.
//!
//! Invariants: of a zone at most one one-shot page is incomplete, and just that is buffered without
//! a program; the buffer always has room for a one-shot page beside the incomplete ones; metadata
//! is per zone, never per page.
//!
//! A conventional namespace, if there is one, is `conv`'s with one partition, on other blocks of the
//! same dies: they share planes, channels and host link, and have buffers of their own.
//!
//! Not modelled: bad blocks.

#![forbid(unsafe_code)]

mod ahead;
mod config;
mod drive;
mod manage;
mod power;
mod read;
mod stats;
mod write;
mod zrwa;

pub use config::{BufferScope, Config, ConfigError, ReadAhead, ZoneCosts};
pub use drive::Zns;
pub use stats::Stats;
