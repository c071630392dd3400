// SPDX-License-Identifier: GPL-2.0-or-later
//! Flash media: geometry, cell timing, planes and links.
//!
//! ```text
//!   host link ===== controller ===== channel 0 ===== plane 0, plane 1, ... (die by die)
//!                              ===== channel 1 ===== ...
//! ```
//! [`Media`] answers one question: an operation asked for at this instant, on this plane, when does
//! it start and end? Every resource is a book of reservations: a [`Link`] books transfers into its
//! idle time, split around what is booked already; a plane does one operation at a time, in the
//! order they were asked for, except that user operations overtake background ones.
//!
//! Invariants: a link carries no more than its bandwidth; a plane never does two things at once;
//! the same calls give the same answers. Nothing is allocated per operation once the books have
//! grown to their working size, and the books are bounded.
//!
//! Not modelled: wear-dependent times, read retries, what a suspend costs, cache reads, multi-plane command overhead, power limits.

#![forbid(unsafe_code)]

mod cell;
mod chips;
mod error;
mod geometry;
mod link;
mod media;
mod plane;

pub use cell::{Booking, Cell, CellTiming, Priority, Timing};
pub use chips::Chips;
pub use error::GeometryError;
pub use geometry::Geometry;
pub use link::{Link, LinkStats};
pub use media::{Media, Op, PlaneId};
pub use plane::{BlockId, PlaneStats, Yield};
