// SPDX-License-Identifier: GPL-2.0-or-later
//! The host of the measurements, in virtual time: threads that poll, each with commands outstanding.
//!
//! ```text
//!   slot free ──> its thread issues, one command each [`SOFTWARE`] ──> model ──> done: slot free
//! ```
//! A latency is from the start of the issue to the completion, as fio's total latency is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::bail;
use ftl::{Command, Namespace, ZoneAction, ZoneTarget};
use sim::Latency;
use ssd::Model;
use units::{Instant, Nanos, Sector, SECTOR_BYTES};

use super::points::Access;

/// What the host's software takes of a thread for each command: fio and SPDK's driver, polling. The fastest thread in the
/// data issues a command each 1.35 us (`nvme-b`).
pub const SOFTWARE: Nanos = Nanos::new(1000);

/// Where the data namespace can be written: zones, or one for all.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Sectors from one zone's start to the next.
    pub span: u64,
    /// Sectors of a zone that can be written.
    pub capacity: u64,
    /// How many.
    pub zones: u64,
}

/// What a job does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Blocks of so many bytes.
    Blocks(Access, u64),
    /// Zone after zone is reset.
    Resets,
}

/// A thread.
#[derive(Clone, Debug)]
pub struct Job {
    work: Work,
    depth: u32,
    /// Zones that are its own: the first, and how many; each is `step` zones after the one before.
    zones: (u64, u64),
    step: u64,
    /// Bytes a second that it is held to.
    rate: Option<u64>,
    /// Whether its latencies count.
    timed: bool,
    /// Sectors done of its zones; zones, for resets.
    done: u64,
    issued: u64,
    thread: Instant,
    random: fastrand::Rng,
}

impl Job {
    /// A thread that keeps `depth` commands outstanding on `count` zones from `first` on.
    pub fn new(work: Work, depth: u32, (first, count): (u64, u64), timed: bool) -> Self {
        Self {
            work,
            depth,
            zones: (first, count),
            step: 1,
            rate: None,
            timed,
            done: 0,
            issued: 0,
            thread: Instant::ZERO,
            random: fastrand::Rng::with_seed(first),
        }
    }

    /// The same, where of so many jobs each has every so many-th zone.
    pub fn one_of(self, jobs: u64) -> Self {
        Self { step: jobs, ..self }
    }

    /// The same with depth 1, held to so many MiB a second.
    pub fn held_to(self, rate: u64) -> Self {
        Self {
            depth: 1,
            rate: Some(rate << 20),
            ..self
        }
    }

    /// Its next command; none when its zones are at an end.
    fn next(&mut self, space: &Space) -> Option<Command> {
        let (first, count) = self.zones;
        let (access, block) = match self.work {
            Work::Blocks(access, block) => (access, block / SECTOR_BYTES),
            Work::Resets => {
                let zone = first + self.done;
                self.done += 1;
                return (self.done <= count).then(|| Command::Zone {
                    action: ZoneAction::Reset,
                    target: ZoneTarget::One(Sector::new(zone * space.span)),
                });
            }
        };
        self.issued += block * SECTOR_BYTES;
        let blocks = (space.capacity / block).max(1);
        let (zone, offset) = match access {
            Access::RandomRead | Access::RandomWrite => (
                self.random.u64(0..count.max(1)),
                self.random.u64(0..blocks) * block,
            ),
            Access::Read | Access::Write | Access::Append => {
                let (zone, offset) = (self.done / space.capacity, self.done % space.capacity);
                self.done += block.min(space.capacity - offset);
                (zone, offset)
            }
        };
        let sectors = block.min(space.capacity - offset);
        let is_own = zone < count;
        let zone = first + zone * self.step;
        let at = Sector::new(zone * space.span + offset);
        let again = matches!(access, Access::Read);
        if again && self.done >= count * space.capacity {
            self.done = 0;
        }
        is_own.then(|| match access {
            Access::RandomRead | Access::Read => Command::read(at, sectors),
            Access::Write | Access::RandomWrite => Command::write(at, sectors, false),
            Access::Append => Command::Append {
                zone: Sector::new(zone * space.span),
                sectors,
                fua: false,
            },
        })
    }

    /// Not before this may its next command be issued.
    fn gate(&self, start: Instant) -> Instant {
        match self.rate {
            None => start,
            Some(rate) => {
                let ns = u128::from(self.issued) * 1_000_000_000 / u128::from(rate.max(1));
                start + Nanos::new(u64::try_from(ns).unwrap_or(u64::MAX))
            }
        }
    }
}

/// Runs one command that arrives at `now`; returns when it is done.
///
/// # Errors
/// The model refuses it.
pub fn submit(model: &mut Model, command: &Command, now: Instant) -> anyhow::Result<Instant> {
    let outcome = model.submit(Namespace::Data, command, now);
    match outcome.result {
        Ok(_) => Ok(outcome.done),
        Err(error) => bail!("the model refuses {command:?}: {error:?}"),
    }
}

/// What happens when, in the order of instants: a slot of a job becomes free, then its command arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Free,
    Arrives,
}

/// Runs jobs from `start` on, until so many latencies were taken after the first `warm`, or a job that is timed is
/// at its end.
///
/// # Errors
/// The model refuses a command.
pub fn run(
    model: &mut Model,
    space: &Space,
    mut jobs: Vec<Job>,
    start: Instant,
    (warm, count): (u64, u64),
) -> anyhow::Result<Latency> {
    let mut events = BinaryHeap::new();
    let mut number = 0u64;
    for (job, n) in jobs.iter().zip(0usize..) {
        for _ in 0..job.depth {
            events.push(Reverse((start, number, Event::Free, n)));
            number += 1;
        }
    }
    let mut latency = Latency::default();
    let mut seen = 0;
    while let Some(Reverse((at, _, event, n))) = events.pop() {
        let Some(job) = jobs.get_mut(n) else { continue };
        number += 1;
        if event == Event::Free {
            job.thread = job.thread.max(at).max(job.gate(start)) + SOFTWARE;
            events.push(Reverse((job.thread, number, Event::Arrives, n)));
            continue;
        }
        let timed = job.timed;
        let Some(command) = job.next(space) else {
            if timed {
                break;
            }
            continue;
        };
        let done = submit(model, &command, at)?;
        if timed {
            seen += 1;
            if seen > warm {
                latency.add(done.since(at) + SOFTWARE);
            }
            if seen >= warm + count {
                break;
            }
        }
        events.push(Reverse((done, number, Event::Free, n)));
    }
    Ok(latency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssd::Config;

    fn drive() -> (Model, Space) {
        let mut config = Config::preset("nvm-optane").unwrap();
        config.set_pair("io-read-delay-ns=9000").unwrap();
        let space = Space {
            span: 1 << 16,
            capacity: 1 << 16,
            zones: 1,
        };
        (Model::new(&config.plan().unwrap()).unwrap(), space)
    }

    fn reads(depth: u32, timed: bool) -> Job {
        let work = Work::Blocks(Access::RandomRead, 4096);
        Job::new(work, depth, (0, 1), timed)
    }

    #[test]
    fn a_thread_issues_one_command_at_a_time() {
        let (mut model, space) = drive();
        let jobs = vec![reads(1, true)];
        let latency = run(&mut model, &space, jobs, Instant::ZERO, (10, 1000)).unwrap();
        // The preset's read takes a delay and a nanosecond.
        let alone = SOFTWARE.get() + 9_001;
        assert_eq!((latency.count(), latency.min()), (1000, alone));
        assert_eq!(latency.max(), alone);
    }

    #[test]
    fn a_job_is_held_to_its_rate() {
        let (mut model, space) = drive();
        // 256 reads a second: 50 of them are 195 ms, in which the other job reads 19 500 times.
        let jobs = vec![reads(1, true).held_to(1), reads(1, false)];
        run(&mut model, &space, jobs, Instant::ZERO, (0, 51)).unwrap();
        let reads = model.stats().data.host_reads;
        assert!((19_400..19_700).contains(&reads), "{reads}");
    }

    #[test]
    fn a_refused_command_is_said() {
        let (mut model, _) = drive();
        let space = Space {
            span: 1 << 50,
            capacity: 1 << 50,
            zones: 1,
        };
        let error = run(
            &mut model,
            &space,
            vec![reads(1, true)],
            Instant::ZERO,
            (0, 10),
        );
        assert!(error.unwrap_err().to_string().contains("refuses"));
    }
}
