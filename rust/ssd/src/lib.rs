// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive as a whole: its configuration, and a flash model behind the controller.
//!
//! ```text
//!   key=value texts ──> Config ──resolve──> Plan ──> Drive = one of the flash models + namespaces
//!   (QOM, --set, sim)   properties,         typed,      │
//!                       presets             checked     └─ implements nvme::Drive
//! ```
//!
//! [`PROPERTIES`] is the one table of everything a user may set: the QEMU device registers its QOM
//! properties from it, `sim` and `run` take the same keys, and docs/properties.md is printed from
//! it. A preset only supplies defaults, so the order in which properties are set does not matter.
//!
//! What this crate does not do: it moves no data, reads no clock and knows nothing of QEMU.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod config;
mod drive;
mod error;
mod f2fs;
mod faults;
mod layout;
mod model;
mod plan;
mod power;
mod power_states;
mod presets;
mod properties;
mod record;
mod saved;
mod series;
mod stats;
mod table;
mod uncorrectable;
mod undo;
mod vendor_log;
mod zone_map;

pub use config::Config;
pub use drive::{build, Drive, Ssd};
pub use error::ConfigError;
pub use faults::{Faults, MAX_RULES, NO_CUTS};
pub use layout::Layout;
pub use model::{status_code, MeanErases, Model};
pub use nvme::{PowerReport, PowerStates};
pub use plan::{AfterCut, Media, ModelConfig, Plan, Space, Worker};
pub use power::PowerCuts;
pub use presets::{Preset, PRESETS};
pub use properties::{Default, Key, Kind, ModelKind, Property};
pub use record::{Journal, Recorded};
pub use saved::{adopt, describe, described, load, save};
pub use series::Series;
pub use stats::{device_json, power_states_json, stats_json};
pub use table::{property, PROPERTIES};
pub use vendor_log::{VendorLog, VendorLogError};
pub use zms::Histogram;
pub use zone_map::zone_map;
