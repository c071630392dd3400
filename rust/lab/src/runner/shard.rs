// SPDX-License-Identifier: GPL-2.0-or-later
//! Shares of a plan for several processes, and numbers as job arrays take them.

use std::env;
use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::Result;

use crate::failure::Prerequisite;

/// Where job arrays say which task this is, and what they count from.
const ARRAYS: [(&str, u64); 4] = [
    ("SLURM_ARRAY_TASK_ID", 1),
    ("PBS_ARRAY_INDEX", 1),
    ("HQ_TASK_ID", 1),
    ("JOB_COMPLETION_INDEX", 0),
];

/// One of so many shares: every so-manyth point, so that neighbours, which take about as long, are dealt out evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1; none: the job array says.
    share: Option<u64>,
    shares: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || format!("'{text}' is not I/N with I from 1 to N, or /N in a job array");
        let (share, shares) = text.split_once('/').ok_or_else(rule)?;
        let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(rule);
        let shares = number(shares)?;
        let share = if share.is_empty() {
            None
        } else {
            Some(number(share)?)
        };
        if share > Some(shares) {
            return Err(rule());
        }
        Ok(Self { share, shares })
    }
}

impl Shard {
    /// The whole plan.
    pub const WHOLE: Self = Self {
        share: Some(1),
        shares: 1,
    };

    /// With the share that the job array gives.
    ///
    /// # Errors
    /// There is none, or not this one.
    pub fn resolve(self) -> Result<Self> {
        if self.share.is_some() {
            return Ok(self);
        }
        let shares = self.shares;
        let set = |(name, first)| Some((name, first, env::var(name).ok()?));
        let Some((name, first, text)) = ARRAYS.into_iter().find_map(set) else {
            let names = ARRAYS.map(|(name, _)| name).join(", ");
            let why = format!(
                "--shard /{shares}: none of {names} is set: say which, as in --shard 1/{shares}"
            );
            return Err(Prerequisite(why).into());
        };
        let index = text.parse::<u64>().ok();
        let share = index.and_then(|index| (index + 1).checked_sub(first));
        let share = share.filter(|share| (1..=shares).contains(share));
        let share = share.ok_or_else(|| {
            let last = shares + first - 1;
            Prerequisite(format!(
                "--shard /{shares}: {name} = {text} is not from {first} to {last}"
            ))
        })?;
        Ok(Self {
            share: Some(share),
            shares,
        })
    }

    /// Whether a point, numbered from 1, is in it.
    #[must_use]
    pub fn has(self, point: u64) -> bool {
        self.share == Some(of(point, self.shares))
    }

    /// Whether it is everything.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.shares == 1
    }
}

/// The share, from 1, that a point is in.
#[must_use]
pub fn of(point: u64, shares: u64) -> u64 {
    point.saturating_sub(1) % shares.max(1) + 1
}

/// Ascending numbers as `--array` takes them: `1-3,7`.
#[must_use]
pub fn ranges(numbers: impl IntoIterator<Item = u64>) -> String {
    let mut text = String::new();
    let mut put = |(first, last): (u64, u64)| {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = match first == last {
            true => write!(text, "{comma}{first}"),
            false => write!(text, "{comma}{first}-{last}"),
        };
    };
    let mut range: Option<(u64, u64)> = None;
    for number in numbers {
        range = match range {
            Some((first, last)) if number == last + 1 => Some((first, number)),
            before => {
                before.map(&mut put);
                Some((number, number))
            }
        };
    }
    range.map(put);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_disjoint_and_all_of_it() {
        let shards = ["1/3", "2/3", "3/3"].map(|text| text.parse::<Shard>().unwrap());
        for point in 1..20 {
            let in_it = shards.iter().filter(|shard| shard.has(point)).count();
            assert_eq!(in_it, 1, "{point}");
        }
        assert!((1..20).all(|point| Shard::WHOLE.has(point)));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "1", "0/3", "4/3", "1/0", "a/3", "-1/3", "1/3/3", "/0"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("/3".parse::<Shard>().unwrap().share, None);
    }

    #[test]
    fn numbers_are_joined_to_ranges() {
        assert_eq!(ranges([]), "");
        assert_eq!(ranges([4]), "4");
        assert_eq!(ranges([1, 2, 3, 7, 9, 10]), "1-3,7,9-10");
    }
}
