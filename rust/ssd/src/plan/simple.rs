// SPDX-License-Identifier: GPL-2.0-or-later
//! The plain drive's part.

use super::{ModelConfig, Planned, Planner, Space};
use crate::error::ConfigError;
use crate::properties::Key;
use ::simple::{Config, ConfigError as E, Times};
use units::{Bytes, PAGE_BYTES};

impl Planner<'_> {
    pub(super) fn simple(&self) -> Result<Planned, ConfigError> {
        let times = |delay, time, trailing| Times {
            delay: self.time(delay),
            time: self.time(time),
            trailing: self.time(trailing),
        };
        let model = Config {
            size: self.bytes(Key::BlockDataSize),
            io_units: self.u32(Key::IoUnits),
            io_unit: self.bytes(Key::IoUnitSize),
            read: times(Key::IoReadDelay, Key::IoRead, Key::IoReadTrailing),
            write: times(Key::IoWriteDelay, Key::IoWrite, Key::IoWriteTrailing),
        };
        model.validate().map_err(|error| match error {
            E::Size => self.broken(Key::BlockDataSize, "must be a multiple of 4 KiB".into()),
            E::Units => self.broken(Key::IoUnits, "must be 1 to 1024".into()),
            E::UnitSize => self.broken(Key::IoUnitSize, "must be a power of two".into()),
        })?;
        let preferred = Bytes::new(model.io_unit.get().max(PAGE_BYTES));
        Ok(Planned {
            meta: None,
            data: Space::block(model.size, preferred),
            cell: None,
            model: ModelConfig::Simple(model),
        })
    }
}
