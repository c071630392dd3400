// SPDX-License-Identifier: GPL-2.0-or-later
//! The figures of a plain drive.

use core::fmt;
use units::{Bytes, Nanos, PAGE_BYTES};

/// One direction's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Before the first unit starts.
    pub delay: Nanos,
    /// Of each unit piece.
    pub time: Nanos,
    /// How much longer a unit stays busy after its piece.
    pub trailing: Nanos,
}

/// All parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Size of the drive.
    pub size: Bytes,
    /// Units that serve requests.
    pub io_units: u32,
    /// Bytes that a unit serves at once; the address space goes round the units by it.
    pub io_unit: Bytes,
    /// Reads.
    pub read: Times,
    /// Writes.
    pub write: Times,
}

/// Why a configuration makes no drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The size is not whole pages.
    Size,
    /// No units, or more than [`Config::MAX_UNITS`].
    Units,
    /// A unit's size is not a power of two from 512 bytes to 1 GiB.
    UnitSize,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "the namespace must be a multiple of 4 KiB, at least one",
            Self::Units => "io-units must be 1 to 1024",
            Self::UnitSize => "io-unit-size must be a power of two, 512 to 1G",
        })
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Bound of the units: a large command looks at each of them.
    pub const MAX_UNITS: u32 = 1024;

    /// Checks every bound that the model relies on.
    ///
    /// # Errors
    /// The first bound that does not hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.size == Bytes::ZERO || self.size.get() % PAGE_BYTES != 0 {
            return Err(ConfigError::Size);
        }
        if !(1..=Self::MAX_UNITS).contains(&self.io_units) {
            return Err(ConfigError::Units);
        }
        let unit = self.io_unit.get();
        if !unit.is_power_of_two() || !(512..=1 << 30).contains(&unit) {
            return Err(ConfigError::UnitSize);
        }
        Ok(())
    }
}
