// SPDX-License-Identifier: GPL-2.0-or-later
//! The consumer FTL: write buffers, L2P cache, pSLC, superblocks, reclaim.

#![forbid(unsafe_code)]

mod command;
mod config;

pub use command::{
    Command, Discard, Error, Namespace, Outcome, Reply, ZoneAction, ZoneReport, ZoneTarget,
};
pub use config::{
    BufferPolicy, Buffers, Config, ConfigError, Costs, DataNamespace, L2p, L2pPolicy, L2pSearch,
    SlcMap,
};

use units::{Instant, ZoneId};

/// The drive: one meta and one data namespace on one flash array.
#[derive(Clone, Debug)]
pub struct Zms {
    config: Config,
}

impl Zms {
    /// An erased drive.
    ///
    /// # Errors
    /// The configuration makes no drive.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// Runs a command that arrives at `now`. Commands and [`Zms::advance`] come in time order; an
    /// earlier `now` counts as the latest one so far.
    pub fn submit(&mut self, _namespace: Namespace, _command: &Command, now: Instant) -> Outcome {
        Outcome {
            done: now,
            result: Err(Error::Unsupported),
            discard: Discard::Nothing,
        }
    }

    /// When background work is due next, if any: a dwell window that ends.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        None
    }

    /// Does the background work due until `now`, inclusive.
    pub fn advance(&mut self, _now: Instant) {}

    /// A zone, for reports. `None` if there is no such zone, or the data namespace is not zoned.
    #[must_use]
    pub fn zone(&self, _id: ZoneId) -> Option<ZoneReport> {
        None
    }

    /// Whether every page of a sector range is unmapped (for DULBE).
    #[must_use]
    pub fn is_unmapped(&self, _namespace: Namespace, _at: units::Sector, _sectors: u64) -> bool {
        true
    }

    /// Fault injection: the zone becomes read-only, or offline.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn inject_zone(&mut self, _id: ZoneId, _offline: bool) -> Result<(), Error> {
        Err(Error::Unsupported)
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }
}
