// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive as a text file: a preset to start from, and properties with their comments, to be kept and shared.
//!
//! ```text
//! # a drive of ours                    a comment, up to the end of the line
//! preset = ufs4-tlc                    first, if at all; else tlc-zoned, or what --preset says
//! zones = 64                           # a property and its value, as after --set
//! serial = "with \" and # in it"       quotes where a value needs them; \" and \\ stand for " and \
//! ```

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use ssd::{Config, Key, Property, PROPERTIES};

use crate::failure::Prerequisite;

/// Longest file that is read: a hundred times what all properties take.
const MOST_BYTES: u64 = 1 << 20;

/// What a file says of a drive; each property has been checked by itself.
#[derive(Clone, Debug, Serialize)]
pub struct DriveFile {
    /// As the user wrote it.
    #[serde(skip)]
    path: String,
    preset: Option<String>,
    settings: Vec<Setting>,
}

#[derive(Clone, Debug, Serialize)]
struct Setting {
    #[serde(skip)]
    line: usize,
    key: String,
    value: String,
}

impl DriveFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read or is no drive file: one line with its name, and the line, key, value and rule.
    pub fn read(path: &str) -> Result<Self, Prerequisite> {
        let wrong = |why: &dyn std::fmt::Display| Prerequisite(format!("{path}: {why}"));
        let file = File::open(path).map_err(|error| wrong(&error))?;
        let mut bytes = Vec::new();
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| wrong(&error))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(wrong(&format!(
                "longer than {MOST_BYTES} bytes: no drive file"
            )));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong(&"no text: no drive file"))?;
        Self::parse(path, &text)
    }

    /// The same of a text; `path` is what errors call it.
    ///
    /// # Errors
    /// As for [`DriveFile::read`].
    pub fn parse(path: &str, text: &str) -> Result<Self, Prerequisite> {
        let mut file = Self {
            path: path.to_owned(),
            preset: None,
            settings: Vec::new(),
        };
        for (line, number) in text.lines().zip(1..) {
            let at = |why: String| Prerequisite(format!("{path}:{number}: {why}"));
            if let Some((key, value)) = pair(line).map_err(at)? {
                let shown = format!("{} = {}", key.escape_debug(), value.escape_debug());
                let bad = |why: &dyn std::fmt::Display| at(format!("{shown}: {why}"));
                file.check(&key, &value, &bad)?;
                if key == "preset" {
                    file.preset = Some(value);
                } else {
                    let line = number;
                    file.settings.push(Setting { line, key, value });
                }
            }
        }
        Ok(file)
    }

    fn check(
        &self,
        key: &str,
        value: &str,
        bad: &dyn Fn(&dyn std::fmt::Display) -> Prerequisite,
    ) -> Result<(), Prerequisite> {
        let set = Config::new().set(key, value);
        set.map_err(|error| bad(&error))?;
        if let Some(before) = self.line_of(key) {
            return Err(bad(&format!("line {before} has this property already")));
        }
        if key == "preset" && !(self.preset.is_none() && self.settings.is_empty()) {
            return Err(bad(&"the preset comes first, and once"));
        }
        Ok(())
    }

    /// What it is called: the file's name without its ending.
    #[must_use]
    pub fn name(&self) -> &str {
        let stem = Path::new(&self.path).file_stem();
        stem.and_then(|stem| stem.to_str()).unwrap_or(&self.path)
    }

    /// The file, as the user wrote it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The preset that it starts from, if it names one.
    #[must_use]
    pub fn preset(&self) -> Option<&str> {
        self.preset.as_deref()
    }

    /// Keys and values that it sets.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let settings = self.settings.iter();
        settings.map(|Setting { key, value, .. }| (key.as_str(), value.as_str()))
    }

    /// The line that sets a property.
    #[must_use]
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let mut settings = self.settings.iter();
        settings.find(|setting| setting.key == key).map(|s| s.line)
    }
}

/// Key and value of a line; none of one that is empty or a comment.
fn pair(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let Some((key, rest)) = line.split_once('=') else {
        return Err(format!(
            "'{}' is not of the form key = value",
            line.escape_debug()
        ));
    };
    let value = match rest.trim_start().strip_prefix('"') {
        Some(quoted) => unquoted(quoted).ok_or_else(|| {
            let rest = rest.trim().escape_debug();
            format!("{rest}: a text ends with its second quote; only \\\" and \\\\ stand for something else")
        })?,
        None => bare(rest).trim().to_owned(),
    };
    Ok(Some((key.trim_end().to_owned(), value)))
}

/// What stands before a comment: a `#` behind a blank.
fn bare(text: &str) -> &str {
    let mut blank = true;
    for (at, letter) in text.char_indices() {
        if letter == '#' && blank {
            return text.get(..at).unwrap_or(text);
        }
        blank = letter.is_whitespace();
    }
    text
}

/// What stands between quotes, the first of which is gone; nothing but a comment may follow.
fn unquoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => break,
            '\\' => value.push(letters.next().filter(|letter| "\"\\".contains(*letter))?),
            letter => value.push(letter),
        }
    }
    bare(letters.as_str()).trim().is_empty().then_some(value)
}

/// A value as a file has it.
fn quoted(value: &str) -> String {
    let plain = value.trim() == value && !value.starts_with('"') && bare(value) == value;
    if plain {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A drive as a file: every property that its model has, with its meaning, unit and source. What is the host's is in it only
/// where it is set.
#[must_use]
pub fn text(config: &Config) -> String {
    let preset = config.preset_in_effect();
    let mut text = format!("# {}: {}\npreset = {0}\n", preset.name, preset.doc);
    let resolved = config.resolved().unwrap_or_default();
    for property in PROPERTIES.iter().filter(|p| p.key != Key::Preset) {
        let is_explicit = config.is_explicit(property.key);
        let has = property.models.contains(&config.model()) && !is_of_the_run(property);
        if !has && !is_explicit {
            continue;
        }
        let value = config.get(property.name()).unwrap_or_default();
        let default = property.default_in(preset);
        let from = if value == default {
            property.source.to_owned()
        } else {
            format!("{} has {default}", preset.name)
        };
        let unit = match property.unit() {
            "" => String::new(),
            unit => format!(", in {unit}"),
        };
        let computed = resolved.iter().find(|(p, _)| p.key == property.key);
        let computed = computed.filter(|_| value == "auto");
        let computed = computed.map_or_else(String::new, |(_, value)| format!("  # {value}"));
        let (name, doc, value) = (property.name(), property.doc, quoted(&value));
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n# {doc}{unit} ({from})\n{}",
            format!("{name} = {value}").trim_end()
        );
        let _ = writeln!(text, "{computed}");
    }
    text
}

/// What says how a drive is run and looked at, not which it is.
const fn is_of_the_run(property: &Property) -> bool {
    property.is_of_the_host() || matches!(property.key, Key::SampleInterval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::{Base, Drive};
    use crate::store::properties;

    fn config_of(text: &str) -> Config {
        let file = Some(DriveFile::parse("x.drive", text).unwrap());
        let base = Base { preset: None, file };
        base.config().unwrap()
    }

    #[test]
    fn every_preset_is_read_back_as_it_was_printed() {
        for preset in ssd::PRESETS {
            let config = Config::preset(preset.name).unwrap();
            let again = config_of(&text(&config));
            again.validate().unwrap();
            assert_eq!(properties(&again), properties(&config), "{}", preset.name);
            assert_eq!(text(&again), text(&config), "{}", preset.name);
            for property in PROPERTIES {
                let of_it = property.models.contains(&config.model());
                let line = format!("\n{} = ", property.name());
                assert_eq!(
                    text(&config).contains(&line),
                    of_it && !is_of_the_run(property) || property.key == Key::Preset
                );
            }
        }
    }

    /// Any properties, set to what another preset has or, where they are texts, to anything.
    #[test]
    fn print_and_read_are_inverse() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut config = Config::preset(random.choice(ssd::PRESETS).unwrap().name).unwrap();
            for property in PROPERTIES.iter().filter(|p| p.key != Key::Preset) {
                let other = random.choice(ssd::PRESETS).unwrap();
                let value = match property.name() {
                    "serial" | "memdev" => {
                        let letters =
                            std::iter::repeat_with(|| random.choice(*b" #\\\"=,;aZ0").unwrap());
                        let letters = letters.take(seed as usize % 20).map(char::from);
                        letters.collect()
                    }
                    _ => property.default_in(&other).to_owned(),
                };
                if random.bool() {
                    config.set(property.name(), &value).unwrap();
                }
            }
            let printed = text(&config);
            let again = config_of(&printed);
            assert!(
                properties(&again) == properties(&config),
                "{seed}: {printed}"
            );
        }
    }

    #[test]
    fn what_a_file_may_have_in_it() {
        let file = "\u{20}# mine\r\npreset=ufs4-tlc # to start from\r\n\r\nzones =\t64\nserial = \"a\\\"b # c\\\\\" # d\nmemdev = a#b\nl2p-hybrid = off # not \"on\"";
        let config = config_of(file);
        let values = ["preset", "zones", "serial", "memdev", "l2p-hybrid"]
            .map(|name| config.get(name).unwrap());
        assert_eq!(values, ["ufs4-tlc", "64", "a\"b # c\\", "a#b", "off"]);
        assert_eq!(config_of("").get("preset").unwrap(), "tlc-zoned");
    }

    #[test]
    fn what_is_wrong_is_said_with_file_line_key_value_and_limit() {
        for (text, message) in [
            (
                "\nzones = -1",
                "x.drive:2: zones = -1: property 'zones': '-1' is not a whole number from 1 to",
            ),
            ("zones", "x.drive:1: 'zones' is not of the form key = value"),
            (
                "zone = 4",
                "x.drive:1: zone = 4: there is no property 'zone'; did you mean 'zones'?",
            ),
            (
                "a\u{1b}b = \u{7}",
                "x.drive:1: a\\u{1b}b = \\u{7}: there is no property 'a\\u{1b}b'",
            ),
            (
                "preset = tlc",
                "x.drive:1: preset = tlc: property 'preset': 'tlc' is not one of ufs4-tlc, ",
            ),
            (
                "zones = 8\npreset = tlc-zoned",
                "x.drive:2: preset = tlc-zoned: the preset comes first",
            ),
            (
                "preset = tlc-zoned\npreset = ufs4-tlc",
                "x.drive:2: preset = ufs4-tlc: the preset comes first, and once",
            ),
            (
                "zones = 8\n\nzones = 8",
                "x.drive:3: zones = 8: line 1 has this property already",
            ),
            (
                "serial = \"a",
                "x.drive:1: \\\"a: a text ends with its second quote",
            ),
            ("serial = \"a\" b", "x.drive:1: \\\"a\\\" b: a text ends"),
            ("serial = \"\\n\"", "x.drive:1: "),
        ] {
            let said = DriveFile::parse("x.drive", text).unwrap_err().to_string();
            assert!(said.starts_with(message), "{said}\n{message}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.drive").display().to_string();
        let read = || DriveFile::read(&path).unwrap_err().to_string();
        assert!(read().starts_with(&format!("{path}: No such file")));
        std::fs::write(&path, [b'#', 0xff]).unwrap();
        assert_eq!(read(), format!("{path}: no text: no drive file"));
        std::fs::write(&path, vec![b'\n'; 1 + MOST_BYTES as usize]).unwrap();
        assert!(read().ends_with("longer than 1048576 bytes: no drive file"));
    }

    #[test]
    fn a_drive_that_cannot_be_is_said_with_the_line_that_says_so() {
        let file = DriveFile::parse("x.drive", "# mine\nblock-size = 1M").unwrap();
        let mut drive = Drive::new("tlc-zoned", &[]);
        drive.base.file = Some(file);
        let said = drive.config().unwrap_err().to_string();
        assert!(
            said.starts_with("x.drive:2: property 'block-size' = 1M: "),
            "{said}"
        );
        drive.set.push("block-size=2M".into());
        let said = drive.config().unwrap_err().to_string();
        assert!(said.starts_with("property 'block-size' = 2M: "), "{said}");
    }
}
