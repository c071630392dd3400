// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash model behind the drive. The one place that knows which models there are.

use crate::error::ConfigError;
use crate::plan::Plan;
use nvme::IoError;
use units::{Instant, Sector, ZoneId};
use zms::{Command, Namespace, Outcome, Zms, ZoneReport};

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
    }
}

/// NVMe status code type and code of a failed command, as completions carry them.
#[must_use]
pub const fn status_code(error: IoError) -> u16 {
    use nvme_spec::Status;
    let status = match error {
        IoError::LbaOutOfRange => Status::LbaOutOfRange,
        IoError::CapacityExceeded => Status::CapacityExceeded,
        IoError::ZoneBoundary => Status::ZoneBoundary,
        IoError::ZoneFull => Status::ZoneFull,
        IoError::ZoneReadOnly => Status::ZoneReadOnly,
        IoError::ZoneOffline => Status::ZoneOffline,
        IoError::ZoneInvalidWrite => Status::ZoneInvalidWrite,
        IoError::TooManyActive => Status::TooManyActive,
        IoError::TooManyOpen => Status::TooManyOpen,
        IoError::InvalidTransition => Status::InvalidTransition,
        IoError::InvalidZoneOperation => Status::InvalidZoneOperation,
        IoError::ZrwaUnavailable => Status::ZrwaUnavailable,
        IoError::Unwritten => Status::Unwritten,
        IoError::MediaRead => Status::UnrecoveredRead,
        IoError::MediaWrite => Status::WriteFault,
        IoError::NotSupported => Status::InvalidField,
        IoError::Internal => Status::InternalError,
    };
    status.wire()
}
