// SPDX-License-Identifier: GPL-2.0-or-later
//! The conventional SSD's part.

use super::{ModelConfig, Planned, Planner, Space};
use crate::error::ConfigError;
use crate::properties::Key;
use ::conv::{Config, L2p};
use units::Bytes;

impl Planner<'_> {
    pub(super) fn conv(&self) -> Result<Planned, ConfigError> {
        let (size, buffer) = (Key::BlockDataSize, Key::WriteBufferSize);
        let mut paged = self.paged(size, buffer, self.u32(Key::Partitions));
        let cache = self.bytes(Key::L2pCacheSize);
        paged.l2p = (cache > Bytes::ZERO).then(|| L2p {
            cache,
            entry: self.bytes(Key::L2pEntrySize),
        });
        let model = Config {
            chips: self.chips(),
            link_mbps: self.u64(Key::LinkBandwidth),
            costs: self.costs(),
            early_completion: self.on(Key::EarlyCompletion),
            paged,
        };
        model.validate().map_err(|error| {
            let (key, rule) = self.paged_rule(error, size, buffer);
            self.broken(key, rule)
        })?;
        Ok(Planned {
            meta: None,
            data: Space::block(model.paged.size, model.chips.one_shot),
            cell: Some(model.chips.cell),
            model: ModelConfig::Conv(model),
        })
    }
}
