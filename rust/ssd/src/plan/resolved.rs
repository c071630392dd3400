// SPDX-License-Identifier: GPL-2.0-or-later
//! What the properties of a drive come to, computed ones too: for people, who want to know which drive it was.

use super::{ModelConfig, Plan};
use crate::config::Config;
use crate::error::ConfigError;
use crate::properties::{Key, Property, Value};
use crate::table::PROPERTIES;
use units::{Bytes, Nanos};

impl Config {
    /// Each property that the drive's model has, with its value: in place of `auto` what it stands for. What then stands for
    /// nothing (the size of zones that there are not) is left out.
    ///
    /// # Errors
    /// As for [`Config::plan`].
    pub fn resolved(&self) -> Result<Vec<(&'static Property, String)>, ConfigError> {
        let (plan, model) = (self.plan()?, self.model());
        let value = |property: &'static Property| {
            let value = match self.value(property.key) {
                Value::Auto => plan.computed(property.key)?,
                value => value,
            };
            Some((property, property.show(&value)))
        };
        let those = PROPERTIES.iter().filter(|p| p.models.contains(&model));
        Ok(those.filter_map(value).collect())
    }
}

impl Plan {
    /// What a property of `auto` has become; none for what has no value of its own.
    fn computed(&self, key: Key) -> Option<Value> {
        let chips = match &self.model {
            ModelConfig::Zns(zns) => Some(&zns.chips),
            ModelConfig::Conv(conv) => Some(&conv.chips),
            ModelConfig::Zms(_) | ModelConfig::Simple(_) => None,
        };
        let number = match key {
            Key::ZoneSize => self.data.zoned.as_ref()?.zone_size.get(),
            Key::MetaSize => self
                .meta
                .as_ref()
                .map_or(Bytes::ZERO, |meta| meta.size)
                .get(),
            Key::OneShotPageSize => chips?.one_shot.get(),
            Key::Read4k => return Some(Value::PageNanos(chips?.read_4k.map(Nanos::get))),
            Key::InterruptHold => self.interrupt_hold(false).get(),
            Key::WriteBuffers => match &self.model {
                ModelConfig::Zms(zms) => zms.buffers.count.into(),
                _ => return None,
            },
            _ => return None,
        };
        Some(Value::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, PRESETS};

    #[test]
    fn what_is_computed_is_told_and_what_others_have_is_not() {
        let of = |preset: &str, name: &str| {
            let config = Config::preset(preset).unwrap();
            let all = config.resolved().unwrap().into_iter();
            let mut all = all.map(|(property, value)| (property.name(), value));
            all.find(|(found, _)| *found == name)
                .map(|(_, value)| value)
        };
        for (preset, name, value) in [
            ("tlc-zoned", "zone-size", Some("128M")),
            ("tlc-zoned", "meta-size", Some("256M")),
            ("tlc-zoned", "write-buffers", Some("2")),
            ("tlc-zoned", "cores", None),
            ("tlc-block", "zone-size", None),
            ("tlc-block", "write-buffers", Some("1")),
            ("zns-zn540", "zone-size", Some("2G")),
            ("zns-zn540", "l2p-cache-size", None),
        ] {
            assert_eq!(of(preset, name).as_deref(), value, "{preset}: {name}");
        }
        for preset in PRESETS {
            let all = Config::preset(preset.name).unwrap().resolved().unwrap();
            assert!(
                all.iter().all(|(_, value)| value != "auto"),
                "{}",
                preset.name
            );
        }
    }
}
