// SPDX-License-Identifier: GPL-2.0-or-later
//! Which drive is meant: a preset or a drive file, and what is set on top.

use clap::builder::PossibleValuesParser;
use clap::ValueHint;
use serde::ser::SerializeMap as _;
use serde::Serialize;
use sim::{Age, Simulation};
use ssd::{Config, ConfigError};

use crate::drive_file::DriveFile;
use crate::failure::Prerequisite;

/// First distance of samples, for those who want them and do not say: 0.1 ms shows single flushes, and doubles where a
/// run is long.
pub const SAMPLE_NS: &str = "100000";

/// The preset where nobody says another.
const DEFAULT: &str = "tlc-zoned";

/// What a drive starts from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Base {
    /// Set of defaults [default: tlc-zoned, or the drive file's]
    #[arg(short, long, value_name = "NAME", value_parser = presets())]
    pub preset: Option<String>,
    /// A file with a preset and properties; docs/drives.md
    #[arg(id = "drive", long = "drive", value_name = "FILE", value_parser = DriveFile::read, value_hint = ValueHint::FilePath)]
    pub file: Option<DriveFile>,
}

/// A drive, with the same keys as the device's own properties; of two settings of a key the later wins.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
pub struct Drive {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs, reason = "a doc comment would be help")]
    pub base: Base,
    /// A property of the drive; may be given many times (docs/properties.md lists them)
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// What it has been through, which not every command asks for.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_typed")]
    pub age: Option<Age>,
}

/// `--age`, for the commands that have it.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Aged {
    /// A drive as after months of use: fill=PERCENT,overwrite=TIMES,seed=N (of 90, 2, 1 what is left out); docs/ageing.md
    #[arg(long, value_name = "HOW")]
    pub age: Option<Age>,
}

/// The preset in effect, and what a file says beside.
impl Serialize for Base {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("preset", self.preset_in_effect())?;
        if let Some(file) = &self.file {
            map.serialize_entry("file", file)?;
        }
        map.end()
    }
}

fn as_typed<S: serde::Serializer>(age: &Option<Age>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&age.unwrap_or_default())
}

/// Names of presets.
#[must_use]
pub fn presets() -> PossibleValuesParser {
    PossibleValuesParser::new(ssd::PRESETS.map(|preset| preset.name))
}

impl Base {
    /// A preset.
    #[must_use]
    pub fn preset(name: &str) -> Self {
        Self {
            preset: Some(name.into()),
            file: None,
        }
    }

    /// Whether anybody said what it is.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.preset.is_some() || self.file.is_some()
    }

    /// The preset that it comes down to.
    #[must_use]
    pub fn preset_in_effect(&self) -> &str {
        let file = self.file.as_ref().and_then(DriveFile::preset);
        file.or(self.preset.as_deref()).unwrap_or(DEFAULT)
    }

    /// What reports call it: the file's name, else the preset's.
    #[must_use]
    pub fn name(&self) -> &str {
        let file = self.file.as_ref().map(DriveFile::name);
        file.unwrap_or_else(|| self.preset_in_effect())
    }

    /// What the file sets, as `key=value`.
    pub fn pairs(&self) -> impl Iterator<Item = String> + '_ {
        let settings = self.file.iter().flat_map(DriveFile::settings);
        settings.map(|(key, value)| format!("{key}={value}"))
    }

    /// The options that say the same.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let default = self.file.is_none().then_some(DEFAULT);
        let preset = self.preset.as_deref().or(default);
        let preset = preset.map(|name| ("--preset", name));
        let file = self.file.as_ref().map(|file| ("--drive", file.path()));
        let words = preset.into_iter().chain(file);
        words
            .flat_map(|(option, value)| [option.to_owned(), value.to_owned()])
            .collect()
    }

    /// Its properties, each checked by itself.
    ///
    /// # Errors
    /// The file starts from another preset than the one that was named.
    pub fn config(&self) -> Result<Config, Prerequisite> {
        let in_file = self
            .file
            .as_ref()
            .and_then(|file| Some((file, file.preset()?)));
        if let (Some((file, theirs)), Some(ours)) = (in_file, &self.preset) {
            if theirs != ours {
                let path = file.path();
                return Err(Prerequisite(format!(
                    "--preset {ours}: {path} starts from {theirs}"
                )));
            }
        }
        let mut config = Config::preset(self.preset_in_effect()).map_err(refused)?;
        for (key, value) in self.file.iter().flat_map(DriveFile::settings) {
            config.set(key, value).map_err(refused)?;
        }
        Ok(config)
    }

    /// An error with the place in the file that sets what is wrong, unless `set` does.
    #[must_use]
    pub fn located(&self, set: &[String], error: &ConfigError) -> Prerequisite {
        let place = self.file.as_ref().and_then(|file| {
            let ConfigError::Conflict { name, .. } = error else {
                return None;
            };
            let is_set = |pair: &String| pair.split('=').next().map(str::trim) == Some(*name);
            let line = file.line_of(name).filter(|_| !set.iter().any(is_set))?;
            Some(format!("{}:{line}: ", file.path()))
        });
        Prerequisite(format!("{}{error}", place.unwrap_or_default()))
    }
}

fn refused(error: ConfigError) -> Prerequisite {
    Prerequisite(error.to_string())
}

impl Drive {
    /// A preset with these properties.
    #[must_use]
    pub fn new(preset: &str, set: &[&str]) -> Self {
        Self {
            base: Base::preset(preset),
            set: set.iter().map(|pair| (*pair).to_owned()).collect(),
            age: None,
        }
    }

    /// Whether anybody said which it is.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.base.is_given() || !self.set.is_empty()
    }

    /// What follows QEMU's -device, with the properties that are set.
    #[must_use]
    pub fn device(&self) -> String {
        let preset = format!("preset={}", self.base.preset_in_effect());
        let set = self.base.pairs().chain(self.set.iter().cloned());
        let all = ["conzone-nvme".to_owned(), preset].into_iter().chain(set);
        // A comma in a value is doubled there.
        Vec::from_iter(all.map(|pair| pair.replace(',', ",,"))).join(",")
    }

    /// What it is, in words: its preset or file, and what is set.
    #[must_use]
    pub fn in_words(&self) -> String {
        let set = self.set.iter().map(String::as_str);
        let base = self.base.file.as_ref().map(DriveFile::path);
        let base = base.unwrap_or_else(|| self.base.preset_in_effect());
        let age = self.age.map(|age| format!("aged {age}"));
        let words = std::iter::once(base).chain(set).chain(age.as_deref());
        words.collect::<Vec<_>>().join(" ")
    }

    /// A drive of this configuration that has been through what it is to have been through.
    ///
    /// # Errors
    /// It makes no drive, or none that can be aged.
    pub fn simulation(&self, config: &Config) -> Result<Simulation, Prerequisite> {
        Simulation::aged(config, self.age.as_ref()).map_err(Prerequisite)
    }

    /// The configuration, checked property by property and as a whole.
    ///
    /// # Errors
    /// A preset, property or value that is not, or a combination that makes no drive, with the line of the file that says so.
    pub fn config(&self) -> Result<Config, Prerequisite> {
        let mut config = self.base.config()?;
        for pair in &self.set {
            config.set_pair(pair).map_err(refused)?;
        }
        match config.validate() {
            Ok(()) => Ok(config),
            Err(error) => Err(self.base.located(&self.set, &error)),
        }
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
