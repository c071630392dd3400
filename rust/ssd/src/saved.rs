// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive's state as a whole, to be taken over by another process: snapshots and migration.
//!
//! ```text
//!   "conzone\n" | version | digest, text of the configuration | live settings | length, digest | state
//!                           what must be the same               what is taken over
//! ```
//! Media is not in it, nor what is the host's own: where media lies, iothreads. Settings that can be
//! changed while the drive runs are taken over. A load builds a new drive and leaves the old one alone.

use crate::config::Config;
use crate::drive::{build, Ssd};
use crate::properties::{Key, Property};
use crate::table::PROPERTIES;
use core::fmt::Write;
use state::{ensure, Decoder, Encoder, Error, State};

/// What such a state begins with.
const MAGIC: [u8; 8] = *b"conzone\n";
/// Changes with what the structs say of their state.
const VERSION: u64 = 17;

/// The state of a drive that was built from this configuration, live settings included.
#[must_use]
pub fn save(drive: &Ssd, config: &Config) -> Vec<u8> {
    let body = state::encode(drive);
    let mut out = Encoder::new();
    out.put_bytes(&MAGIC);
    out.put(VERSION);
    let fixed = settings(config, |p| !p.is_live());
    put_digest(fixed.as_bytes(), &mut out);
    fixed.encode(&mut out);
    settings(config, Property::is_live).encode(&mut out);
    body.len().encode(&mut out);
    put_digest(&body, &mut out);
    out.put_bytes(&body);
    out.into_bytes()
}

/// A new drive with a state that was saved, and the configuration with the live settings that came
/// with it.
///
/// # Errors
/// It is no such state, of another version or configuration, or damaged: one line that says which.
pub fn load(config: &Config, bytes: &[u8]) -> Result<(Ssd, Config), Error> {
    let mut from = Decoder::new(bytes);
    let begins = from.take_bytes(MAGIC.len());
    ensure!(
        begins.is_ok_and(|magic| magic == MAGIC),
        "it is not the state of a drive"
    );
    let version = from.take()?;
    ensure!(
        version == VERSION,
        "it is of version {version}, not {VERSION}"
    );
    let digest = take_digest(&mut from)?;
    let mut theirs = String::new();
    theirs.decode(&mut from)?;
    ensure!(
        state::digest_of(theirs.as_bytes()) == digest,
        "its configuration is damaged"
    );
    let ours = settings(config, |p| !p.is_live());
    if theirs != ours {
        return Err(Error::new(difference(&theirs, &ours)));
    }
    let mut live = String::new();
    live.decode(&mut from)?;
    let config = with_live(config, &live)?;
    let length = from.take()?;
    let digest = take_digest(&mut from)?;
    let body = from.take_bytes(from.left())?;
    ensure!(
        body.len() as u64 == length,
        "it has {} bytes of {length}",
        body.len()
    );
    ensure!(state::digest_of(body) == digest, "it is damaged");
    let wrong = |error: crate::ConfigError| Error::new(error.to_string());
    let mut drive = build(&config.plan().map_err(wrong)?).map_err(wrong)?;
    state::decode(&mut drive, body)?;
    Ok((drive, config))
}

/// Whether two drives must agree on it to have the same state.
const fn is_of_the_drive(config: &Config, property: &Property) -> bool {
    match property.key {
        // What follows a cut is the host's, too; that there can be one is not where the drive outlives its process.
        Key::PowerCuts => !config.outlives,
        // Only the values that it stands for count; the others are the host's.
        Key::Preset => false,
        _ => !property.is_of_the_host(),
    }
}

/// Settings in effect, a line each.
fn settings(config: &Config, wanted: impl Fn(&Property) -> bool) -> String {
    let properties = PROPERTIES.iter();
    lines(
        config,
        properties.filter(|p| is_of_the_drive(config, p) && wanted(p)),
    )
}

/// What these properties are, a line each.
fn lines<'a>(config: &Config, properties: impl Iterator<Item = &'a Property>) -> String {
    let mut text = String::new();
    for property in properties {
        let value = property.show(&config.value(property.key));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}={value}", property.name());
    }
    text
}

/// The first setting that is not the same.
fn difference(theirs: &str, ours: &str) -> String {
    let mut lines = theirs.lines().zip(ours.lines());
    match lines.find(|(a, b)| a != b) {
        Some((theirs, ours)) => format!(
            "it is of a drive with {}, this one has {}",
            theirs.escape_debug(),
            ours.escape_debug()
        ),
        None => "its configuration has other properties".to_owned(),
    }
}

/// The configuration with settings that drives can change while they run.
fn with_live(config: &Config, live: &str) -> Result<Config, Error> {
    let mut config = config.clone();
    let wrong = |error: crate::ConfigError| Error::new(error.to_string());
    for pair in live.lines() {
        let (name, value) = pair.split_once('=').unwrap_or_default();
        let property = crate::property(name).filter(|p| p.is_live() && is_of_the_drive(&config, p));
        let Some(property) = property else {
            return Err(Error::new(format!(
                "'{}' is no live setting",
                name.escape_debug()
            )));
        };
        // What has no effect on a drive may not be set.
        if property.show(&config.value(property.key)) != value {
            config.set(name, value).map_err(wrong)?;
        }
    }
    Ok(config)
}

/// The user's settings of a drive, a line each, for [`described`].
#[must_use]
pub fn describe(config: &Config) -> String {
    let is_kept = |p: &&Property| p.key == Key::Preset || is_of_the_drive(config, p);
    lines(config, config.explicit().filter(is_kept))
}

/// The configuration of a drive that outlives its process, from [`describe`].
///
/// # Errors
/// A line is no setting.
pub fn described(text: &str) -> Result<Config, Error> {
    let mut config = Config::new();
    config.outlive();
    for pair in text.lines() {
        let set = config.set_pair(pair);
        set.map_err(|error| Error::new(error.to_string()))?;
    }
    Ok(config)
}

/// The configuration of a drive that exists, where `asked` are somebody's settings: what is the host's and what can change
/// while the drive runs is as asked for.
///
/// # Errors
/// Another setting is not the drive's: one line that says which.
pub fn adopt(drive: &Config, asked: &Config) -> Result<Config, Error> {
    let mut config = drive.clone();
    for property in asked.explicit() {
        let (ours, theirs) = (drive.value(property.key), asked.value(property.key));
        let is_same = match property.key {
            Key::Preset => drive.preset_in_effect().name == asked.preset_in_effect().name,
            _ => ours == theirs,
        };
        let name = property.name();
        let (ours, theirs) = (property.show(&ours), property.show(&theirs));
        let may_differ = property.key != Key::Preset
            && (property.is_live() || !is_of_the_drive(drive, property));
        if !is_same && !may_differ {
            return Err(Error::new(format!(
                "it is of a drive with {name}={ours}, not {name}={theirs}"
            )));
        }
        if may_differ {
            let set = config.set(name, &theirs);
            set.map_err(|error| Error::new(error.to_string()))?;
        }
    }
    Ok(config)
}

fn put_digest(of: &[u8], out: &mut Encoder) {
    out.put_bytes(&state::digest_of(of).to_le_bytes());
}

fn take_digest(from: &mut Decoder<'_>) -> Result<u64, Error> {
    let bytes = from.take_bytes(8)?.first_chunk();
    let bytes = bytes.ok_or_else(|| Error::new("no digest"))?;
    Ok(u64::from_le_bytes(*bytes))
}
