// SPDX-License-Identifier: GPL-2.0-or-later
//! Newtypes for time, sizes and addresses.
//!
//! Every other crate speaks in these, so that a byte count is never taken for a page count, nor an
//! instant for a duration. Arithmetic that a guest or a property can push over the edge saturates
//! or is checked; nothing here panics or wraps.
//!
//! Time is integer nanoseconds since the controller's epoch (`Instant`), sizes are bytes
//! (`Bytes`); MB and MiB both mean 2^20 bytes, as in the reference emulator.
//!
//! What this crate does not do: it reads no clock and knows no geometry.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod size;
mod time;

pub use address::{GuestAddr, Lpn, Nsid, QueueId, Sector, ZoneId};
pub use size::{Bytes, ParseSizeError, KIB, MIB};
pub use time::{Instant, Nanos};

/// Size of a logical page, the unit of the logical-to-physical map.
///
/// Source: ConZone maps at 4 KiB, as F2FS and UFS do.
pub const PAGE_BYTES: u64 = 4 * KIB;
/// Size of a [`Sector`].
pub const SECTOR_BYTES: u64 = 512;
/// Sectors of a logical page.
pub const PAGE_SECTORS: u64 = PAGE_BYTES / SECTOR_BYTES;
