// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs points, of a sweep or of an experiment: on several threads, in shares on several machines, each result kept as soon
//! as it is there.
//!
//! ```text
//!   Points: 1..=count ── shard ──> key ──> known in the store?
//!                                            │ no              yes
//!                                            └──> run ──> put ──┴──> outcomes, missing
//! ```
//! There is no server and no queue: each point's result is a file of its own, named by all that it depends on
//! ([`crate::store`]), so whoever runs a point does it for everybody, and whoever is killed loses the point at hand only.

pub mod shard;

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Value;

use self::shard::Shard;
use crate::progress::Progress;
use crate::store::{Key, Store};
use crate::threads;

/// Points that are numbered from 1 and know nothing of each other.
pub trait Points: Sync {
    /// What comes of one.
    type Outcome: Serialize + DeserializeOwned + Send;

    /// How many there are.
    fn count(&self) -> u64;

    /// All that a point's outcome depends on, apart from the programs.
    fn key(&self, number: u64) -> Value;

    /// Runs a point.
    ///
    /// # Errors
    /// What ends the whole run.
    fn run(&self, number: u64) -> Result<Self::Outcome>;
}

/// Who runs them.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Workers {
    /// Points that run at the same time [default: one for each processor; in a guest one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Only share I of N; without I the number of the job array's task, as Slurm, PBS, HyperQueue or Kubernetes sets it
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
}

/// How many points a run had, and how many of them were known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Of its share.
    pub points: u64,
    /// From an earlier run, or somebody else's.
    pub known: u64,
}

/// Threads, and the results below a directory.
#[derive(Debug)]
pub struct Runner {
    store: Store,
    threads: usize,
    shard: Shard,
}

/// Each point with its outcome; none of those that have not run.
pub type Outcomes<T> = Vec<(u64, Option<T>)>;

impl Runner {
    /// For results below `dir` that `programs` compute.
    ///
    /// # Errors
    /// A program cannot be read, or there is no such share.
    pub fn open(dir: &Path, programs: &[PathBuf], workers: &Workers) -> Result<Self> {
        Ok(Self {
            store: Store::open(&dir.join("points"), programs)?,
            threads: workers.threads.map_or_else(threads::all, usize::from),
            shard: workers.shard.map_or(Ok(Shard::WHOLE), Shard::resolve)?,
        })
    }

    /// Whether it runs all points.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.shard.is_whole()
    }

    /// Runs the points of the share that have no outcome yet.
    ///
    /// # Errors
    /// That of the first that has one; or an outcome cannot be kept.
    pub fn run(&self, progress: Progress, name: &str, points: &impl Points) -> Result<Ran> {
        let all = 1..=points.count();
        let mine: Vec<u64> = all.filter(|number| self.shard.has(*number)).collect();
        let looked = |number: &u64| {
            let key = self.key(points, *number);
            let known = self.get(points, &key).is_some();
            anyhow::Ok((!known).then_some((*number, key)))
        };
        let left = threads::each(self.threads, &mine, looked)?;
        let left: Vec<(u64, Key)> = left.into_iter().flatten().collect();
        let ran = Ran {
            points: mine.len() as u64,
            known: (mine.len() - left.len()) as u64,
        };
        let bar = progress.bar(name, ran.points);
        bar.set_position(ran.known);
        // Time left counts from here, not from what an earlier run has done.
        bar.reset_eta();
        let one = |(number, key): &(u64, Key)| -> Result<()> {
            self.store.put(key, &points.run(*number)?)?;
            bar.inc(1);
            Ok(())
        };
        threads::each(self.threads, &left, one)?;
        bar.finish_and_clear();
        Ok(ran)
    }

    /// What came of each point, in the order of their numbers.
    pub fn outcomes<P: Points>(&self, points: &P) -> Outcomes<P::Outcome> {
        let numbers: Vec<u64> = (1..=points.count()).collect();
        let outcome = |number: &u64| {
            let outcome = self.get(points, &self.key(points, *number));
            Ok::<_, Infallible>((*number, outcome))
        };
        let Ok(outcomes) = threads::each(self.threads, &numbers, outcome);
        outcomes
    }

    fn key(&self, points: &impl Points, number: u64) -> Key {
        self.store.key(&points.key(number))
    }

    fn get<P: Points>(&self, _: &P, key: &Key) -> Option<P::Outcome> {
        self.store.get(key)
    }
}

/// Numbers of the points that have no outcome; of their shares, if there are so many.
#[must_use]
pub fn missing<T>(outcomes: &Outcomes<T>, shards: Option<u64>) -> Vec<u64> {
    let left = outcomes.iter().filter(|(_, outcome)| outcome.is_none());
    let left = left.map(|(number, _)| *number);
    let mut left: Vec<u64> = match shards {
        Some(shards) => left.map(|point| shard::of(point, shards)).collect(),
        None => left.collect(),
    };
    left.sort_unstable();
    left.dedup();
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Squares; the point that is `bad` fails.
    #[derive(Default)]
    struct Squares {
        bad: u64,
        ran: AtomicU64,
    }

    impl Points for Squares {
        type Outcome = u64;

        fn count(&self) -> u64 {
            10
        }

        fn key(&self, number: u64) -> Value {
            number.into()
        }

        fn run(&self, number: u64) -> Result<u64> {
            anyhow::ensure!(number != self.bad, "{number} is bad");
            self.ran.fetch_add(1, Ordering::Relaxed);
            Ok(number * number)
        }
    }

    fn runner(dir: &Path, shard: Option<&str>) -> Runner {
        let workers = Workers {
            threads: Some(2),
            shard: shard.map(|text| text.parse().unwrap()),
        };
        Runner::open(dir, &[], &workers).unwrap()
    }

    #[test]
    fn shares_make_the_whole_and_nothing_runs_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (points, quiet) = (Squares::default(), Progress::new(true));
        let second = runner(dir.path(), Some("2/3"));
        let ran = second.run(quiet, "", &points).unwrap();
        assert_eq!(
            (ran, second.is_whole()),
            (
                Ran {
                    points: 3,
                    known: 0
                },
                false
            )
        );
        let whole = runner(dir.path(), None);
        let outcomes = whole.outcomes(&points);
        assert_eq!(missing(&outcomes, None), [1, 3, 4, 6, 7, 9, 10]);
        assert_eq!(missing(&outcomes, Some(3)), [1, 3]);
        let ran = whole.run(quiet, "", &points).unwrap();
        assert_eq!(
            ran,
            Ran {
                points: 10,
                known: 3
            }
        );
        assert_eq!(points.ran.load(Ordering::Relaxed), 10);
        let outcomes = whole.outcomes(&points);
        assert_eq!(outcomes[9], (10, Some(100)));
        assert!(missing(&outcomes, None).is_empty());
    }

    #[test]
    fn a_point_that_fails_ends_the_run_and_what_is_done_stays() {
        let dir = tempfile::tempdir().unwrap();
        let points = Squares {
            bad: 10,
            ..Squares::default()
        };
        let workers = Workers {
            threads: Some(1),
            shard: None,
        };
        let runner = Runner::open(dir.path(), &[], &workers).unwrap();
        let error = runner.run(Progress::new(true), "", &points).unwrap_err();
        assert_eq!(error.to_string(), "10 is bad");
        let left = missing(&runner.outcomes(&points), None);
        assert_eq!(left.len() as u64, 10 - points.ran.load(Ordering::Relaxed));
        assert!(left.contains(&10));
    }
}
