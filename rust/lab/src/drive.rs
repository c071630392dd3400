// SPDX-License-Identifier: GPL-2.0-or-later
//! Which drive is meant: a preset and what is set on top.

use clap::builder::PossibleValuesParser;
use serde::Serialize;
use ssd::{Config, ConfigError};

/// First distance of samples, for those who want them and do not say: 0.1 ms shows single flushes, and doubles where a
/// run is long.
pub const SAMPLE_NS: &str = "100000";

/// A drive, with the same keys as the device's own properties; of two settings of a key the later wins.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
pub struct Drive {
    /// Set of defaults
    #[arg(short, long, value_name = "NAME", default_value = "tlc-zoned", value_parser = presets())]
    pub preset: String,
    /// A property of the drive; may be given many times (docs/properties.md lists them)
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Names of presets.
#[must_use]
pub fn presets() -> PossibleValuesParser {
    PossibleValuesParser::new(ssd::PRESETS.map(|preset| preset.name))
}

impl Drive {
    /// A preset with these properties.
    #[must_use]
    pub fn new(preset: &str, set: &[&str]) -> Self {
        Self {
            preset: preset.into(),
            set: set.iter().map(|pair| (*pair).to_owned()).collect(),
        }
    }

    /// What it is, in words: its preset, and what is set.
    #[must_use]
    pub fn in_words(&self) -> String {
        let words = std::iter::once(&self.preset).chain(&self.set);
        words.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The configuration, checked property by property and as a whole.
    ///
    /// # Errors
    /// A preset, property or value that is not, or a combination that makes no drive.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config = Config::preset(&self.preset)?;
        for pair in &self.set {
            config.set_pair(pair)?;
        }
        config.validate()?;
        Ok(config)
    }
}

/// Turns sampling on, unless the user has.
///
/// # Errors
/// None: the value is one that the property takes.
pub fn sample(config: &mut Config) -> Result<(), ConfigError> {
    if config.is_explicit(ssd::Key::SampleInterval) {
        return Ok(());
    }
    config.set("sample-interval-ns", SAMPLE_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_drives_are_refused_in_one_line() {
        let refusal = |preset: &str, set: &[&str]| {
            let refused = Drive::new(preset, set).config().unwrap_err();
            refused.to_string()
        };
        assert!(refusal("x", &[]).starts_with("property 'preset': 'x' is not one of"));
        assert_eq!(
            refusal("tlc-zoned", &["zones"]),
            "'zones' is not of the form key=value"
        );
        let odd = refusal("tlc-zoned", &["block-size=1M"]);
        assert!(odd.starts_with("property 'block-size' = 1M:"), "{odd}");
    }
}
