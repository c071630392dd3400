// SPDX-License-Identifier: GPL-2.0-or-later
//! Flash media: geometry, cell timing, planes and links.
//!
//! ```text
//!   host link ===== controller ===== channel 0 ===== plane 0, plane 1, ... (die by die)
//!                              ===== channel 1 ===== ...
//! ```
//! [`Media`] answers one question: an operation asked for at this instant, on this plane, when does
//! it start and end? Every resource is a book of reservations: a [`Link`] books transfers into its
//! idle time, split around what is booked already; a plane does one operation at a time, each in
//! the first gap that holds all of it. Background work has no bookings: it proceeds in the time
//! that is left idle, and what it does is known when that time has come, or when a host command
//! forces it.
//!
//! Invariants: a link carries no more than its bandwidth; a plane never does two things at once;
//! the same calls give the same answers. Nothing is allocated per operation once the books have
//! grown to their working size, and the books are bounded.
//!
//! Not modelled: wear-dependent times, read retries, cache reads, multi-plane command overhead,
//! power limits.

#![forbid(unsafe_code)]

mod agenda;
mod background;
mod book;
mod cell;
mod chips;
mod error;
mod geometry;
mod link;
mod media;
mod shape;
mod work;

pub use background::{Suspend, Suspension};
pub use book::BlockId;
pub use cell::{Booking, Cell, CellTiming, Timing};
pub use chips::{Chips, Finer};
pub use error::GeometryError;
pub use geometry::Geometry;
pub use link::{Crossing, Link, LinkStats};
pub use media::{Media, Moved, Occupied, Op, PlaneId, PlaneStats, Purpose};
pub use shape::What;
pub use work::Work;
