// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone state machine and open/active resources.
//!
//! [`Zones`] is the ZNS Command Set 1.1 state machine (section 2.1.1.3, figure 7) without the NVMe
//! around it: no time, no data, no wire formats. Any zoned model in this project uses it.
//!
//! ```text
//!             write                 close                 open
//!   Empty ------------> ImplOpen ------------> Closed -----------> ExplOpen
//!     ^  open -> ExplOpen    \  finish, or written to capacity       /
//!     |                       +--------------> Full <---------------+
//!     +------- reset -------- any of these        any -> ReadOnly -> Offline (injected, or worn)
//! ```
//! Opening beyond `max_open` closes the lowest-numbered implicitly opened zone first; when there is
//! none, or the zone would be one active zone too many, the command fails.
//!
//! Invariants: open = implicitly + explicitly opened zones <= `max_open`; active = open + closed <=
//! `max_active`; a write pointer lies within its zone's capacity, and is at the start exactly in
//! empty zones and zones that are active without data: opened by command, or kept for their random
//! write area or descriptor extension.
//!
//! Options: reads across zones, and random write areas ([`Zrwa`]). Of a descriptor extension only
//! whether it is set is known here.
//!
//! Not modelled here: finish and reset recommendations, zones finished by the controller.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod error;
mod state;
mod table;

pub use error::Error;
pub use state::State;
pub use table::{Layout, Limits, Options, Zone, Zones, Zrwa};
