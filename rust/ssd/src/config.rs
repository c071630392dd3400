// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive's configuration as the user gives it: a preset and explicit settings.

use crate::error::ConfigError;
use crate::presets::{Preset, DEFAULT_PRESET, PRESETS};
use crate::properties::{Key, ModelKind, Property, Value};
use crate::table::{nearest, property, PROPERTIES};

/// Property values: the user's own where set, the preset's elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The user's settings, by [`Key`]; the preset is one of them.
    explicit: Vec<Option<Value>>,
    /// The drive outlives the process that it is in, which can end at any instant: then there is always an undo area.
    pub(crate) outlives: bool,
}

impl core::default::Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// Every property at its default, preset `tlc-zoned`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            explicit: vec![None; PROPERTIES.len()],
            outlives: false,
        }
    }

    /// Every property at the default of the preset of that name.
    ///
    /// # Errors
    /// There is no such preset.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        let mut config = Self::new();
        config.set("preset", name)?;
        Ok(config)
    }

    /// Sets a property from its text. Later settings of the same property win; apart from that
    /// the order does not matter.
    ///
    /// # Errors
    /// The property does not exist, or the value is not one that it takes.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let property = find(name)?;
        let value = property.parse(value)?;
        if let Some(slot) = self.explicit.get_mut(property.key as usize) {
            *slot = Some(value);
        }
        Ok(())
    }

    /// Sets a property from `key=value`.
    ///
    /// # Errors
    /// As for [`Config::set`], or there is no `=`.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), ConfigError> {
        match pair.split_once('=') {
            Some((name, value)) => self.set(name.trim(), value.trim()),
            None => Err(ConfigError::NotAPair {
                text: pair.to_string(),
            }),
        }
    }

    /// The drive outlives its process: old versions of pages are kept as for power cuts.
    pub fn outlive(&mut self) {
        self.outlives = true;
    }

    /// A property's value in effect, as text that [`Config::set`] takes. A computed default is
    /// `auto`.
    ///
    /// # Errors
    /// The property does not exist.
    pub fn get(&self, name: &str) -> Result<String, ConfigError> {
        let property = find(name)?;
        Ok(property.show(&self.value(property.key)))
    }

    /// Whether the user has set the property.
    #[must_use]
    pub fn is_explicit(&self, key: Key) -> bool {
        self.explicit.get(key as usize).is_some_and(Option::is_some)
    }

    /// The preset in effect.
    #[must_use]
    pub fn preset_in_effect(&self) -> &'static Preset {
        let set = match self.explicit.first() {
            Some(Some(Value::Number(n))) => usize::try_from(*n).ok(),
            _ => None,
        };
        let preset = set.and_then(|at| PRESETS.get(at));
        preset.unwrap_or(&PRESETS[DEFAULT_PRESET])
    }

    /// The flash model in effect.
    #[must_use]
    pub fn model(&self) -> ModelKind {
        let chosen = match self.value(Key::Model) {
            Value::Number(n) => usize::try_from(n).ok(),
            _ => None,
        };
        let kind = chosen.and_then(|at| ModelKind::ALL.get(at));
        kind.copied().unwrap_or(ModelKind::Zms)
    }

    /// The properties that the user has set.
    pub(crate) fn explicit(&self) -> impl Iterator<Item = &'static Property> + '_ {
        PROPERTIES.iter().filter(|p| self.is_explicit(p.key))
    }

    /// The value in effect: the user's, else the preset's default.
    pub(crate) fn value(&self, key: Key) -> Value {
        if let Some(Some(value)) = self.explicit.get(key as usize) {
            return value.clone();
        }
        let property = &PROPERTIES[key as usize];
        let text = property.default_in(self.preset_in_effect());
        // A test reads every default of the table, so this is never taken.
        property.parse(text).unwrap_or(Value::Auto)
    }
}

fn find(name: &str) -> Result<&'static Property, ConfigError> {
    property(name).ok_or_else(|| ConfigError::Unknown {
        name: name.to_string(),
        near: nearest(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{Kind, NAMES};

    #[test]
    fn errors_are_of_one_line_whatever_was_given() {
        let mut config = Config::new();
        let errors = [
            config.set("a\nb", "1"),
            config.set("zones", "4\n5"),
            config.set_pair("a\nb"),
        ];
        for error in errors {
            let error = error.unwrap_err().to_string();
            assert!(!error.contains('\n') && error.contains("\\n"), "{error}");
        }
    }

    #[test]
    fn the_table_is_in_key_order_and_names_are_unique() {
        assert_eq!(PROPERTIES.len(), NAMES.len());
        for (i, p) in PROPERTIES.iter().enumerate() {
            assert_eq!(p.key as usize, i, "{p}");
            assert_eq!(property(p.name()).unwrap().key, p.key, "{p} is named twice");
            assert!(!p.doc.is_empty() && !p.source.is_empty(), "{p}");
        }
        let Kind::Choice(words) = PROPERTIES[0].kind else {
            panic!("the preset is a choice")
        };
        assert_eq!(words, PRESETS.map(|p| p.name));
        assert_eq!(PRESETS[DEFAULT_PRESET].name, "tlc-zoned");
        for (i, kind) in ModelKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, i);
        }
    }

    #[test]
    fn every_default_reads_back_as_its_own_text() {
        for p in PROPERTIES {
            for text in PRESETS.map(|preset| p.default_in(&preset)) {
                let value = p.parse(text).unwrap();
                assert_eq!(p.parse(&p.show(&value)), Ok(value), "{p}={text}");
            }
        }
    }

    #[test]
    fn explicit_settings_win_over_the_preset_in_any_order() {
        let mut before = Config::new();
        before.set("zones", "5").unwrap();
        before.set("preset", "ufs4-tlc").unwrap();
        let mut after = Config::preset("ufs4-tlc").unwrap();
        after.set("zones", "5").unwrap();
        assert_eq!(before, after);
        assert_eq!(before.get("zones").unwrap(), "5");
        assert_eq!(before.get("channels").unwrap(), "4");
        assert_eq!(before.get("mlc-read-ns").unwrap(), "30013/42013");
        assert_eq!(before.get("preset").unwrap(), "ufs4-tlc");
    }

    #[test]
    fn errors_name_property_value_and_bound() {
        let mut config = Config::new();
        for (name, value, message) in [
            ("preset", "x", "property 'preset': 'x' is not one of ufs4-tlc, tlc-zoned, qlc-zoned-page-slc, qlc-zoned-zone-slc, qlc-zoned-dynamic, tlc-block, qlc-block, zns-proto, zns-large, zns-zn540, conv-970pro, nvm-optane"),
            ("channels", "0", "property 'channels': '0' is not a whole number from 1 to 64"),
            ("channels", "-1", "property 'channels': '-1' is not a whole number from 1 to 64"),
            ("channels", "+1", "property 'channels': '+1' is not a whole number from 1 to 64"),
            ("block-size", "65T", "property 'block-size': '65T' is not a size from 4 KiB to 64 GiB (suffixes K, M, G, T)"),
            ("timing", "maybe", "property 'timing': 'maybe' is not on or off"),
            ("write-buffers", "no", "property 'write-buffers': 'no' is not auto or a whole number from 1 to 4096"),
            ("nonsense", "1", "there is no property 'nonsense'"),
            ("zone", "1", "there is no property 'zone'; did you mean 'zones'?"),
            ("l2p_cache_size", "1", "there is no property 'l2p_cache_size'; did you mean 'l2p-cache-size'?"),
            ("buffer-size", "1", "there is no property 'buffer-size'; did you mean 'write-buffer-size'?"),
        ] {
            assert_eq!(config.set(name, value).unwrap_err().to_string(), message);
        }
        assert!(config.set("mlc-read-ns", "1/2/3/4/5").is_err());
        assert!(config.set("mlc-read-ns", "1/").is_err());
        assert!(config.set("serial", "a\u{e9}").is_err());
        assert_eq!(config, Config::new(), "a refused value changes nothing");
    }
}
