// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash model behind the drive. The one place that knows which models there are.

use crate::error::ConfigError;
use crate::plan::Plan;
use nvme::IoError;
use units::{Instant, Sector, ZoneId};
use zms::{Command, Namespace, Outcome, Pools, Zms, ZoneReport};

/// A flash model.
#[derive(Clone, Debug)]
pub enum Model {
    /// The consumer drive.
    Zms(Box<Zms>),
}

impl Model {
    /// The model that the plan asks for.
    ///
    /// # Errors
    /// The plan makes no drive.
    pub fn new(plan: &Plan) -> Result<Self, ConfigError> {
        match Zms::new(&plan.model) {
            Ok(zms) => Ok(Self::Zms(Box::new(zms))),
            Err(error) => Err(ConfigError::Conflict {
                name: "preset",
                value: "as set".into(),
                rule: error.to_string(),
            }),
        }
    }

    /// Runs a command that arrives at `now`.
    pub fn submit(&mut self, ns: Namespace, command: &Command, now: Instant) -> Outcome {
        match self {
            Self::Zms(zms) => zms.submit(ns, command, now),
        }
    }

    /// When background work is due next.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        match self {
            Self::Zms(zms) => zms.next_event(),
        }
    }

    /// Does the background work due until `now`, inclusive.
    pub fn advance(&mut self, now: Instant) {
        match self {
            Self::Zms(zms) => zms.advance(now),
        }
    }

    /// A zone, if there is one of that number.
    #[must_use]
    pub fn zone(&self, id: ZoneId) -> Option<ZoneReport> {
        match self {
            Self::Zms(zms) => zms.zone(id),
        }
    }

    /// Whether some page of a sector range is unmapped.
    #[must_use]
    pub fn has_unmapped(&self, ns: Namespace, at: Sector, sectors: u64) -> bool {
        match self {
            Self::Zms(zms) => zms.has_unmapped(ns, at, sectors),
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> zms::Stats {
        match self {
            Self::Zms(zms) => zms.stats(),
        }
    }

    /// Mean erases of a superblock in pSLC and in native pools, the most worn pool of each kind,
    /// rounded down; in constant time.
    #[must_use]
    pub fn mean_erases(&self) -> MeanErases {
        let mut mean = MeanErases::default();
        match self {
            Self::Zms(zms) => {
                for (pool, erases, superblocks) in zms.pool_erases() {
                    let worn = match pool {
                        Pools::Native => &mut mean.native,
                        Pools::Meta | Pools::Slc => &mut mean.slc,
                    };
                    *worn = (*worn).max(erases / u64::from(superblocks.max(1)));
                }
            }
        }
        mean
    }

    /// Makes a zone read-only, or offline.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn inject_zone(&mut self, id: ZoneId, offline: bool) -> Result<(), zms::Error> {
        match self {
            Self::Zms(zms) => zms.inject_zone(id, offline),
        }
    }
}

/// Mean erases of a superblock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeanErases {
    /// Of blocks used with one bit per cell.
    pub slc: u64,
    /// Of blocks used with all their bits.
    pub native: u64,
}

/// A model's error in the controller's terms.
#[must_use]
pub fn io_error(error: zms::Error) -> IoError {
    match error {
        zms::Error::OutOfRange | zms::Error::Zone(zone::Error::NoSuchZone) => {
            IoError::LbaOutOfRange
        }
        zms::Error::Unsupported | zms::Error::NotZoneStart => IoError::NotSupported,
        zms::Error::CapacityExceeded => IoError::CapacityExceeded,
        zms::Error::Zone(zone::Error::Boundary) => IoError::ZoneBoundary,
        zms::Error::Zone(zone::Error::Full) => IoError::ZoneFull,
        zms::Error::Zone(zone::Error::ReadOnly) => IoError::ZoneReadOnly,
        zms::Error::Zone(zone::Error::Offline) => IoError::ZoneOffline,
        zms::Error::Zone(zone::Error::InvalidWrite) => IoError::ZoneInvalidWrite,
        zms::Error::Zone(zone::Error::TooManyActive) => IoError::TooManyActive,
        zms::Error::Zone(zone::Error::TooManyOpen) => IoError::TooManyOpen,
        zms::Error::Zone(zone::Error::InvalidTransition) => IoError::InvalidTransition,
        zms::Error::Zone(zone::Error::InvalidOperation) => IoError::InvalidZoneOperation,
        zms::Error::Zone(zone::Error::Granularity) => IoError::NotSupported,
        zms::Error::Zone(zone::Error::NoArea) => IoError::ZrwaUnavailable,
    }
}

/// NVMe status code type and code of a failed command, as completions carry them.
#[must_use]
pub const fn status_code(error: IoError) -> u16 {
    nvme::status_of(error).wire()
}
