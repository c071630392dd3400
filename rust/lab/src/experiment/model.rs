// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs cases on the flash model alone, in virtual time: exact, the same everywhere, done in seconds.
//!
//! ```text
//!   jobs ──(instant, job) heap──> next command ──> sim::Simulation ──> completion ──> heap
//! ```
//! A job keeps its depth of commands outstanding and sends the next when one completes; the host itself takes no time.
//! Block namespaces are cut into extents that stand for zones ([`Space`]): what resets a zone trims an extent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use anyhow::{bail, ensure, Context, Result};
use sim::{Latency, Simulation, Space};
use trace::{Command, Line, Op};
use units::{Instant, Nanos, ZoneId, SECTOR_BYTES};

use super::case::{Access, Case, Phase, Row, Workload, ENERGY, LOG_PAGES, REQUESTED_PAGES};
use super::requests::Requests;
use crate::drive::Drive;
use crate::sim::next_answer;

/// Runs a case; one row for each measured phase.
///
/// # Errors
/// A drive that cannot be built, a workload that does not fit it.
pub fn run(case: &Case) -> Result<Vec<Row>> {
    run_seeded(case, 0)
}

/// The same with other random choices of the host for each seed.
///
/// # Errors
/// As for [`run`].
pub fn run_seeded(case: &Case, seed: u16) -> Result<Vec<Row>> {
    let phases = match &case.workload {
        Workload::Raw(phases) => phases,
        Workload::Requests(requests) => return Ok(vec![replay(case, requests)?]),
        Workload::F2fs { .. } => bail!("needs the guest"),
    };
    let mut host = Host::new(&case.drive, seed)?;
    let mut rows = Vec::new();
    for phase in phases {
        let before = counters(&host.simulation)?;
        let measured = host.phase(phase)?;
        if let Some(x) = phase.x {
            let after = counters(&host.simulation)?;
            rows.push(measured.row(&case.series, x, &before, &after));
        }
    }
    Ok(rows)
}

/// Runs the requests of a trace.
fn replay(case: &Case, requests: &Requests) -> Result<Row> {
    let config = case.drive.config()?;
    let mut simulation = case.drive.simulation(&config)?;
    let mut input = requests.open(&simulation, &config)?;
    let mut measured = Measured::default();
    let mut first = None;
    while let Some(answer) = next_answer(&mut simulation, &mut input)? {
        let command = &answer.command;
        let first = *first.get_or_insert(command.arrival);
        measured.duration = measured.duration.max(answer.completion.since(first));
        if answer.status != 0 {
            measured.errors += 1;
            continue;
        }
        measured.latency.add(answer.latency());
        if matches!(command.op, Op::Read | Op::Write) {
            measured.bytes += u64::from(command.nlb) * SECTOR_BYTES;
        }
    }
    let mut counted = counters(&simulation)?;
    if let Some(log) = input.placed() {
        let pages = [
            (LOG_PAGES, log.written + log.moved + log.padded),
            (REQUESTED_PAGES, log.written),
        ];
        counted.extend(pages.map(|(name, n)| (name.to_owned(), n)));
    }
    Ok(measured.row(&case.series, requests.x, &Counters::new(), &counted))
}

type Counters = BTreeMap<String, u64>;

fn counters(simulation: &Simulation) -> Result<Counters> {
    let stats: serde_json::Value = serde_json::from_str(&ssd::stats_json(simulation.model()))?;
    let members = stats.as_object().into_iter().flatten();
    let counted = members.filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)));
    let energy = simulation.power_states().map(|states| states.energy_uj);
    let energy = energy.map(|energy| (ENERGY.to_owned(), energy));
    Ok(counted.chain(energy).collect())
}

/// Counters now less counters then.
pub fn difference(before: &Counters, after: &Counters) -> Counters {
    let less = |(name, now): (&String, &u64)| {
        let then = before.get(name).copied().unwrap_or(0);
        (name.clone(), now.saturating_sub(then))
    };
    after.iter().map(less).collect()
}

/// What came of a phase.
#[derive(Debug, Default)]
struct Measured {
    latency: Latency,
    errors: u64,
    bytes: u64,
    duration: Nanos,
}

impl Measured {
    fn row(&self, series: &str, x: f64, before: &Counters, after: &Counters) -> Row {
        Row {
            series: series.into(),
            x,
            commands: self.latency.count(),
            errors: self.errors,
            bytes: self.bytes,
            duration_ns: self.duration.get(),
            mean_ns: self.latency.mean(),
            p50_ns: self.latency.percentile(500),
            p99_ns: self.latency.percentile(990),
            max_ns: self.latency.max(),
            counters: difference(before, after),
        }
    }
}

/// A thread of the host.
#[derive(Debug)]
struct Job {
    /// The zones it writes, in order.
    zones: Vec<u64>,
    /// Bytes sent so far.
    sent: u64,
    /// Bytes to send.
    total: u64,
    writes: u32,
    /// The write that arrived at this instant is to be flushed next; its latency ends with that.
    unflushed: Option<Instant>,
    random: fastrand::Rng,
}

impl Job {
    fn is_done(&self) -> bool {
        self.sent >= self.total && self.unflushed.is_none()
    }
}

/// A host with one drive.
struct Host {
    simulation: Simulation,
    space: Space,
    /// Bytes written in each zone.
    written: Vec<u64>,
    now: Instant,
    phases: u64,
    seed: u64,
}

impl Host {
    fn new(drive: &Drive, seed: u16) -> Result<Self> {
        let config = drive.config()?;
        let simulation = drive.simulation(&config)?;
        let space = Space::of(&simulation, &config).map_err(anyhow::Error::msg)?;
        // What is written already is reset before it is written again.
        let is_full = |zone: u64| match u32::try_from(zone).map(ZoneId::new) {
            _ if !space.zoned => drive
                .age
                .is_some_and(|age| zone < space.zones * u64::from(age.fill) / 100),
            Ok(id) => simulation
                .model()
                .zone(id)
                .is_some_and(|zone| !zone.state.has_write_pointer()),
            Err(_) => false,
        };
        let written = (0..space.zones).map(|zone| if is_full(zone) { space.capacity } else { 0 });
        Ok(Self {
            written: written.collect(),
            space,
            now: simulation.begin(),
            simulation,
            phases: 0,
            seed: seed.into(),
        })
    }

    fn check(&self, phase: &Phase) -> Result<()> {
        let room = self.space.bytes();
        ensure!(
            phase.range <= room,
            "the drive has {room} bytes that can be written, and {} are needed: set more zones or a larger block-data-size",
            phase.range
        );
        ensure!(
            phase.access != Access::RandomWrite || !self.space.zoned,
            "zones cannot be written at random"
        );
        Ok(())
    }

    /// Runs a phase and waits for its last completion.
    fn phase(&mut self, phase: &Phase) -> Result<Measured> {
        self.check(phase)?;
        let mut jobs: Vec<Job> = (0..phase.jobs)
            .map(|n| self.job(phase, n))
            .collect::<Result<_>>()?;
        self.phases += 1;
        let begin = self.now + Nanos::from_micros(phase.pause_ms * 1000);
        self.now = begin;
        let think = Nanos::from_micros(phase.think_us);
        let mut due: BinaryHeap<Reverse<(Instant, usize)>> = (0..phase.depth)
            .flat_map(|_| 0..jobs.len())
            .map(|job| Reverse((begin, job)))
            .collect();
        let mut measured = Measured::default();
        while let Some(Reverse((at, index))) = due.pop() {
            let Some(job) = jobs.get_mut(index).filter(|job| !job.is_done()) else {
                continue;
            };
            let (done, failed) = match job.unflushed {
                Some(since) => {
                    job.unflushed = None;
                    let (done, failed) = self.send(Op::Flush, 0, 0, at)?;
                    measured.latency.add(done.since(since));
                    (done, failed)
                }
                None => {
                    let (done, bytes, failed) = self.command(phase, job, at)?;
                    measured.bytes += bytes;
                    if job.unflushed.is_none() {
                        measured.latency.add(done.since(at));
                    }
                    (done, failed)
                }
            };
            measured.errors += u64::from(failed);
            self.now = self.now.max(done);
            due.push(Reverse((done + think, index)));
        }
        measured.duration = self.now.since(begin);
        Ok(measured)
    }

    fn job(&self, phase: &Phase, number: u32) -> Result<Job> {
        let (jobs, number) = (u64::from(phase.jobs), u64::from(number));
        let mut random = fastrand::Rng::with_seed(self.seed << 48 | self.phases << 32 | number);
        let each = phase.bytes / jobs;
        let zones = match phase.access {
            Access::Write => {
                let count = (phase.start + each).div_ceil(self.space.capacity);
                (number * count..(number + 1) * count).collect()
            }
            Access::Rewrite => {
                let mut all: Vec<u64> = (0..phase.range / self.space.capacity).collect();
                random.shuffle(&mut all);
                all.into_iter()
                    .filter(|zone| zone % jobs == number)
                    .collect()
            }
            Access::RandomRead | Access::RandomWrite => Vec::new(),
        };
        ensure!(
            zones.iter().all(|zone| *zone < self.space.zones),
            "the drive has {} zones, too few for {jobs} jobs of {each} bytes",
            self.space.zones
        );
        Ok(Job {
            zones,
            sent: 0,
            total: each,
            writes: 0,
            unflushed: None,
            random,
        })
    }

    /// Sends a job's next write or read: when it is done, how many bytes it moves, whether it failed.
    fn command(
        &mut self,
        phase: &Phase,
        job: &mut Job,
        at: Instant,
    ) -> Result<(Instant, u64, bool)> {
        let left = job.total - job.sent;
        let capacity = self.space.capacity;
        let (zone, offset) = match phase.access {
            Access::Write | Access::Rewrite => {
                let at = phase.start + job.sent;
                let zone = job.zones.get(usize::try_from(at / capacity)?).copied();
                (zone.context("a job ran out of zones")?, at % capacity)
            }
            Access::RandomRead | Access::RandomWrite => {
                let byte = job.random.u64(0..(phase.range / phase.block).max(1)) * phase.block;
                (byte / capacity, byte % capacity)
            }
        };
        let bytes = phase.block.min(left).min(capacity - offset);
        job.sent += bytes;
        let write = phase.access != Access::RandomRead;
        if write && matches!(phase.access, Access::Write | Access::Rewrite) {
            self.erase_if_written(zone, offset, at)?;
        }
        let op = if write { Op::Write } else { Op::Read };
        let (done, failed) = self.send(op, zone * self.space.span + offset, bytes, at)?;
        if write {
            job.writes += 1;
            let flush = phase.flush_every > 0 && job.writes % phase.flush_every == 0;
            job.unflushed = (flush && !failed).then_some(at);
        }
        Ok((done, bytes, failed))
    }

    /// Makes room where a job begins with a zone that has data.
    fn erase_if_written(&mut self, zone: u64, offset: u64, at: Instant) -> Result<()> {
        let index = usize::try_from(zone)?;
        let (start, capacity) = (zone * self.space.span, self.space.capacity);
        let zoned = self.space.zoned;
        let Some(written) = self.written.get_mut(index) else {
            return Ok(());
        };
        let begins = offset == 0 && *written > 0;
        *written = offset.max(1);
        if begins && zoned {
            self.send(Op::Reset, start, 0, at)?;
        } else if begins {
            self.send(Op::Trim, start, capacity, at)?;
        }
        Ok(())
    }

    fn send(&mut self, op: Op, byte: u64, bytes: u64, at: Instant) -> Result<(Instant, bool)> {
        let command = Command {
            arrival: at,
            data: true,
            op,
            slba: byte / SECTOR_BYTES,
            nlb: u32::try_from(bytes / SECTOR_BYTES)?,
            fua: false,
        };
        let answer = self.simulation.step(&Line::Command(command));
        let answer = answer.context("a command without an answer")?;
        Ok((answer.completion, answer.status != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ftl::Counter;

    const EXTENT: u64 = 96 << 20;

    fn case(preset: &str, set: &[&str], phases: Vec<Phase>) -> Case {
        Case::raw("s", Drive::new(preset, set), phases)
    }

    #[test]
    fn one_write_takes_what_the_closed_form_says() {
        let phase = Phase::write(1, 4096, 4096).at(4.0);
        let rows = run(&case("ufs4-tlc", &[], vec![phase])).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].x, rows[0].commands, rows[0].mean_ns),
            (4.0, 1, 7_503)
        );
        assert_eq!(rows[0].count(Counter::HostWritePages), 1);
    }

    #[test]
    fn zones_are_reset_before_they_are_written_again() {
        for preset in ["tlc-zoned", "tlc-block"] {
            let again = Phase {
                access: Access::Rewrite,
                ..Phase::fill(2 * EXTENT)
            };
            let rows = run(&case(
                preset,
                &[],
                vec![Phase::fill(2 * EXTENT), again.at(1.0)],
            ))
            .unwrap();
            assert_eq!(rows[0].errors, 0, "{preset}");
            assert_eq!(rows[0].bytes, 2 * EXTENT);
            let resets = rows[0].count(Counter::ZoneResets);
            assert_eq!(resets, if preset == "tlc-zoned" { 2 } else { 0 });
        }
    }

    /// Zones that ageing has filled are reset, and what a phase counts is its own.
    #[test]
    fn an_aged_drive_is_written_again_and_counts_from_there() {
        for (preset, set) in [
            ("tlc-zoned", "zones=8"),
            ("tlc-block", "block-data-size=768M"),
        ] {
            let random = Phase {
                access: Access::RandomWrite,
                block: 4096,
                bytes: 64 << 20,
                range: 6 * EXTENT,
                ..Phase::fill(0)
            };
            let phase = match preset {
                "tlc-block" => random,
                _ => Phase::write(3, 48 << 10, 3 * EXTENT),
            };
            let mut old = case(preset, &[set], vec![phase.at(1.0)]);
            let new = run(&old).unwrap();
            old.drive.age = Some("fill=90".parse().unwrap());
            let old = run(&old).unwrap();
            let zoned = preset == "tlc-zoned";
            assert_eq!(old[0].errors, 0, "{preset}");
            assert_eq!(old[0].count(Counter::ZoneResets), if zoned { 3 } else { 0 });
            assert_eq!(old[0].bytes, new[0].bytes);
            assert!(old[0].duration_ns > new[0].duration_ns, "{preset}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let much = run(&case(
            "tlc-zoned",
            &["zones=2"],
            vec![Phase::fill(3 * EXTENT)],
        ))
        .unwrap_err();
        assert!(much.to_string().contains("zones"), "{much}");
        let random = Phase {
            access: Access::RandomWrite,
            ..Phase::fill(EXTENT)
        };
        assert!(run(&case("tlc-zoned", &[], vec![random])).is_err());
        let many = Phase::write(40, 4096, 40 << 20);
        assert!(run(&case("tlc-zoned", &[], vec![many])).is_err());
    }

    #[test]
    fn the_same_case_gives_the_same_rows() {
        let phases = || {
            vec![
                Phase::fill(EXTENT),
                Phase::random_read(EXTENT, 4096, 500).at(1.0),
            ]
        };
        let twice = [(); 2].map(|()| {
            run(&case(
                "tlc-zoned",
                &["l2p-cache-size=4K", "l2p-hybrid=off"],
                phases(),
            ))
            .unwrap()
        });
        assert_eq!(twice[0], twice[1]);
        assert!(twice[0][0].count(Counter::L2pMisses) > 0);
    }
}
