// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive as after months of use: filled, overwritten in random order, at rest.
//!
//! ```text
//!   fill         zones one after another, or all pages in order
//!   overwrite    zones in random order, reset first; or random pages of 4 KiB, until as much as was filled is written so many times
//!   rest         flushed, background work done, a second of idle time; counters at zero, wear as it is
//! ```
//! In zones it writes as file systems do that keep logs: into up to six at once, 4 to 256 KiB at a time, each time into a random
//! one. All of it follows from the seed. One command is outstanding; the meta namespace is left alone.

use std::fmt;
use std::str::FromStr;

use ftl::{Command, Outcome, ZoneAction, ZoneTarget};
use units::{Instant, Nanos, Sector, PAGE_BYTES, SECTOR_BYTES};

use crate::Space;

/// As many logs as F2FS has.
const LOGS: u64 = 6;
/// Longest write into a log.
const LONGEST: u64 = 256 << 10;
/// Long enough for everything that was begun to end.
const REST: Nanos = Nanos::new(1_000_000_000);
/// Steps of background work that are waited for: far more than there are superblocks.
const MOST_STEPS: u32 = 1 << 24;

/// How a drive is aged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// Per cent of the data namespace that are filled.
    pub fill: u8,
    /// How often as much as that is written again.
    pub overwrite: u16,
    /// From which all random choices follow.
    pub seed: u64,
}

impl Default for Age {
    fn default() -> Self {
        Self {
            fill: 90,
            overwrite: 2,
            seed: 1,
        }
    }
}

/// As it is typed.
impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fill,
            overwrite,
            seed,
        } = self;
        write!(f, "fill={fill},overwrite={overwrite},seed={seed}")
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut age = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for pair in text.split(',') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (key.trim(), value.trim());
            let number = |most: u64| {
                let all_digits = value.bytes().all(|b| b.is_ascii_digit());
                let number = value.parse().ok().filter(|n| all_digits && *n <= most);
                let value = value.escape_debug();
                number.ok_or_else(|| {
                    format!("{key} '{value}' is not a whole number from 0 to {most}")
                })
            };
            match key {
                "fill" => age.fill = u8::try_from(number(100)?).unwrap_or(100),
                "overwrite" => age.overwrite = u16::try_from(number(1000)?).unwrap_or(1000),
                "seed" => age.seed = number(u64::MAX)?,
                _ => {
                    let key = key.escape_debug();
                    return Err(format!(
                        "there is no '{key}': it is fill=PERCENT,overwrite=TIMES,seed=N"
                    ));
                }
            }
            if seen.contains(&key) {
                return Err(format!("{key} is there twice"));
            }
            seen.push(key);
        }
        Ok(age)
    }
}

/// What is aged.
pub trait Aged {
    /// Works a command of the data namespace.
    fn submit(&mut self, command: &Command, now: Instant) -> Outcome;
    /// When background work is due.
    fn next_event(&self) -> Option<Instant>;
    /// Does the background work that is due.
    fn advance(&mut self, now: Instant);
    /// Counts from here on.
    fn forget_counts(&mut self);
}

impl Age {
    /// Ages a drive that nobody has used, and says when it is at rest.
    ///
    /// # Errors
    /// It refuses a command, which no drive does that takes what its namespace says.
    pub fn apply(&self, space: &Space, drive: &mut dyn Aged) -> Result<Instant, String> {
        let mut host = Host {
            random: fastrand::Rng::with_seed(self.seed),
            space: *space,
            drive,
            now: Instant::ZERO,
        };
        if space.zoned {
            host.zones(self)?;
        } else {
            host.pages(self)?;
        }
        host.send(&Command::Flush)?;
        host.rest();
        Ok(host.now)
    }
}

/// A zone that is being written.
struct Log {
    zone: u64,
    written: u64,
}

struct Host<'a> {
    random: fastrand::Rng,
    space: Space,
    drive: &'a mut dyn Aged,
    now: Instant,
}

impl Host<'_> {
    fn send(&mut self, command: &Command) -> Result<(), String> {
        let outcome = self.drive.submit(command, self.now);
        self.now = self.now.max(outcome.done);
        let done = outcome.result.map(|_| ());
        done.map_err(|error| format!("the drive cannot be aged: {command:?}: {error:?}"))
    }

    fn write(&mut self, byte: u64, bytes: u64) -> Result<(), String> {
        let at = Sector::new(byte / SECTOR_BYTES);
        self.send(&Command::write(at, bytes / SECTOR_BYTES, false))
    }

    fn zones(&mut self, age: &Age) -> Result<(), String> {
        let filled = self.space.zones * u64::from(age.fill) / 100;
        let again = filled * u64::from(age.overwrite);
        let logs = LOGS.min(self.space.max_open).min(filled).max(1);
        let mut open: Vec<Log> = Vec::new();
        for number in 0..filled + again {
            // A full zone makes room for the next; overwriting begins when all are full.
            while open.len() as u64 >= logs || number == filled && !open.is_empty() {
                self.write_on(&mut open)?;
            }
            let mut zone = number;
            if number >= filled {
                zone = loop {
                    let zone = self.random.u64(0..filled);
                    if open.iter().all(|log| log.zone != zone) {
                        break zone;
                    }
                };
                let at = Sector::new(zone * self.space.span / SECTOR_BYTES);
                let (action, target) = (ZoneAction::Reset, ZoneTarget::One(at));
                self.send(&Command::Zone { action, target })?;
            }
            open.push(Log { zone, written: 0 });
        }
        while !open.is_empty() {
            self.write_on(&mut open)?;
        }
        Ok(())
    }

    /// Goes on with one of the logs, which is closed when its zone is full.
    fn write_on(&mut self, open: &mut Vec<Log>) -> Result<(), String> {
        let Space {
            capacity,
            span,
            unit,
            longest,
            ..
        } = self.space;
        let index = self.random.usize(0..open.len());
        let most = LONGEST.min(longest).max(unit) / unit;
        let wanted = self.random.u64(1..=most) * unit;
        let Some(log) = open.get_mut(index) else {
            return Ok(());
        };
        let bytes = wanted.min(capacity - log.written);
        let byte = log.zone * span + log.written;
        log.written += bytes;
        if log.written >= capacity {
            open.swap_remove(index);
        }
        self.write(byte, bytes)
    }

    fn pages(&mut self, age: &Age) -> Result<(), String> {
        let pages = self.space.size / PAGE_BYTES * u64::from(age.fill) / 100;
        let longest = (LONGEST.min(self.space.longest) / PAGE_BYTES).max(1);
        let mut page = 0;
        while page < pages {
            let count = longest.min(pages - page);
            self.write(page * PAGE_BYTES, count * PAGE_BYTES)?;
            page += count;
        }
        for _ in 0..pages * u64::from(age.overwrite) {
            let page = self.random.u64(0..pages);
            self.write(page * PAGE_BYTES, PAGE_BYTES)?;
        }
        Ok(())
    }

    /// Waits until nothing is at work any more, and forgets what was counted.
    fn rest(&mut self) {
        for _ in 0..MOST_STEPS {
            let Some(at) = self.drive.next_event() else {
                break;
            };
            self.now = self.now.max(at);
            self.drive.advance(self.now);
        }
        self.now += REST;
        self.drive.advance(self.now);
        self.drive.forget_counts();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_and_said_again() {
        for (text, whole) in [
            ("fill=50", "fill=50,overwrite=2,seed=1"),
            ("seed=7,fill=0", "fill=0,overwrite=2,seed=7"),
            (
                "overwrite=1000, fill = 100",
                "fill=100,overwrite=1000,seed=1",
            ),
        ] {
            let age: Age = text.parse().unwrap();
            assert_eq!(age.to_string(), whole);
            assert_eq!(age.to_string().parse(), Ok(age));
        }
        for (text, why) in [
            ("", "there is no ''"),
            ("fill", "fill '' is not a whole number from 0 to 100"),
            ("fill=101", "fill '101' is not a whole number from 0 to 100"),
            ("fill=-1", "fill '-1' is not"),
            (
                "overwrite=1001",
                "overwrite '1001' is not a whole number from 0 to 1000",
            ),
            ("fill=1,fill=2", "fill is there twice"),
            ("age=1", "there is no 'age': it is fill="),
        ] {
            let said = text.parse::<Age>().unwrap_err();
            assert!(said.starts_with(why), "{said}");
        }
    }
}
