// SPDX-License-Identifier: GPL-2.0-or-later
//! A plain fast drive: a few units that serve requests in turn.
//!
//! ```text
//!   LBA / io-unit-size mod io-units      unit 0 | unit 1 | ... | unit 7 | unit 0 | ...
//!
//!   command: start = max(now, first unit free) + delay
//!            |-- time --|-- time --|-- time --|  done          one per unit piece
//!            ^ unit k    ^ unit k+1 ^ unit k+2
//!                       |.. trailing ..|                        unit k stays busy
//! ```
//! There is no flash underneath: the three figures, which reads and writes have each their own of,
//! stand for the whole drive. Data is safe once its write completes, so a flush costs nothing.
//!
//! Invariants: a unit's busy time never goes backwards; a command's cost does not depend on its
//! length beyond the number of units.
//!
//! Not modelled: a host link, wear, a map (which page was ever written is not known).

#![forbid(unsafe_code)]

mod config;
mod drive;

pub use config::{Config, ConfigError, Times};
pub use drive::{Simple, Stats};
