// SPDX-License-Identifier: GPL-2.0-or-later
//! Plays points on the model.

use anyhow::{ensure, Context as _};
use ftl::{Command, ZoneAction, ZoneTarget};
use sim::Latency;
use ssd::{Config, Model};
use units::{Bytes, Instant, Nanos, Sector, ZoneId, PAGE_SECTORS, SECTOR_BYTES};

use super::host::{self, Job, Space, Work, SOFTWARE};
use super::points::{Access, Before, Jobs, Latencies, Play, ZoneCommand};

/// Zones that hold data for reads: more than any point reads at once.
const FILLED: u64 = 16;
/// Zones that are full for points with resets.
const FULL: u64 = 48;
/// Samples of a zone command.
const SAMPLES: u64 = 6;
/// Latencies taken of jobs, and of each slot at least.
const COUNT: u64 = 8_000;
const ROUNDS: u64 = 4;
/// Bytes that writes move before they are timed: far more than any buffer, and commands at most.
const WARM_BYTES: u64 = 32 << 20;
const WARM: u64 = 20_000;
/// How the drive is filled.
const FILL: u64 = 1 << 20;
/// Long enough for everything in the drive to come to rest.
const REST: Nanos = Nanos::new(5_000_000_000);

/// A drive before the measurement.
#[derive(Clone, Debug)]
pub struct Drive {
    empty: Model,
    /// With data, and at rest.
    filled: (Model, Instant),
    space: Space,
}

impl Drive {
    /// A drive of that configuration.
    ///
    /// # Errors
    /// The configuration makes no drive, or one that refuses to be filled.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let empty = Model::new(&config.plan()?)?;
        let space = space(&empty, config)?;
        let filled = filled(&empty, &space, FILLED.min(space.zones))?;
        Ok(Self {
            empty,
            filled,
            space,
        })
    }

    /// What the model makes of a point.
    ///
    /// # Errors
    /// The point does not fit the drive.
    pub fn play(&self, play: &Play) -> anyhow::Result<Latencies> {
        let latency = match play {
            Play::Jobs(jobs) => self.jobs(jobs)?,
            Play::Beside {
                append,
                rate,
                depth,
                reads,
            } => self.beside(*append, *rate, *depth, *reads)?,
            Play::Zone(before, command) => self.zone(*before, *command)?,
            Play::Resets { access, resets } => self.resets(*access, *resets)?,
        };
        ensure!(latency.count() > 0, "nothing was measured");
        let us = |ns: u64| ns as f64 / 1000.0;
        Ok(Latencies {
            mean_us: us(latency.mean()),
            p50_us: us(latency.percentile(500)),
            p99_us: us(latency.percentile(990)),
        })
    }

    fn jobs(&self, jobs: &Jobs) -> anyhow::Result<Latency> {
        let count = u64::from(jobs.jobs);
        let (mut model, start) = match jobs.access {
            Access::RandomRead | Access::Read | Access::RandomWrite => self.filled.clone(),
            // Conventional drives are full, too.
            Access::Write if self.space.zones == 1 => self.filled.clone(),
            Access::Write | Access::Append => (self.empty.clone(), Instant::ZERO),
        };
        let zones = self.space.zones;
        ensure!(
            count <= zones.min(FILLED) || zones == 1,
            "{count} jobs are more than there are zones"
        );
        let work = Work::Blocks(jobs.access, jobs.block);
        let each = |n| match jobs.access {
            Access::RandomRead | Access::RandomWrite => (0, FILLED.min(zones)),
            Access::Read => (n, 1),
            Access::Write | Access::Append => (n, zones / count),
        };
        let thread = |n| Job::new(work, jobs.depth, each(n), true).one_of(count);
        let threads = (0..count).map(|n| match jobs.access {
            Access::RandomRead | Access::RandomWrite => Job::new(work, jobs.depth, each(n), true),
            _ => thread(n),
        });
        let outstanding = u64::from(jobs.depth) * count;
        let warm = (WARM_BYTES / jobs.block).clamp(2 * outstanding, WARM);
        let take = COUNT.max(ROUNDS * outstanding);
        host::run(
            &mut model,
            &self.space,
            threads.collect(),
            start,
            (warm.max(2 * outstanding), take),
        )
    }

    fn beside(&self, append: bool, rate: u64, depth: u32, reads: bool) -> anyhow::Result<Latency> {
        const BLOCK: u64 = 128 << 10;
        let (mut model, start) = self.filled.clone();
        let access = match append {
            true => Access::Append,
            false => Access::Write,
        };
        let free = (FILLED, self.space.zones.saturating_sub(FILLED));
        ensure!(free.1 > 0, "no zone is left to write");
        let writer = Job::new(Work::Blocks(access, BLOCK), 1, free, !reads).held_to(rate);
        let read = Work::Blocks(Access::RandomRead, 4096);
        let reader = Job::new(read, depth, (0, FILLED), reads);
        let count = match reads {
            true => (2_000, 2 * COUNT),
            // At a low rate each takes many reads.
            false => (20, (2 * rate).clamp(60, COUNT / 4)),
        };
        host::run(&mut model, &self.space, vec![writer, reader], start, count)
    }

    fn resets(&self, access: Access, resets: bool) -> anyhow::Result<Latency> {
        let full = FULL.min(self.space.zones / 2);
        let (mut model, start) = filled(&self.empty, &self.space, full)?;
        let zones = match access {
            Access::Write | Access::Append => (full, self.space.zones - full),
            // Not what is reset.
            _ => (full - 1, 1),
        };
        let io = Job::new(Work::Blocks(access, 4096), 1, zones, !resets);
        let resetter = Job::new(Work::Resets, 1, (0, full - 1), resets);
        let most = (0, 200 * full);
        host::run(&mut model, &self.space, vec![io, resetter], start, most)
    }

    fn zone(&self, before: Before, command: ZoneCommand) -> anyhow::Result<Latency> {
        ensure!(self.space.zones > SAMPLES, "too few zones");
        let mut model = self.empty.clone();
        let mut latency = Latency::default();
        let mut now = Instant::ZERO;
        for zone in 0..SAMPLES {
            now = self.prepare(&mut model, zone, before, now)?;
            let at = Sector::new(zone * self.space.span);
            let written = match before {
                Before::Write(pages) => pages,
                Before::Close => 1,
                _ => 0,
            };
            let zone_send = |action| Command::Zone {
                action,
                target: ZoneTarget::One(at),
            };
            let next = Sector::new(at.get() + written * PAGE_SECTORS);
            let command = match command {
                ZoneCommand::Reset => zone_send(ZoneAction::Reset),
                ZoneCommand::Finish => zone_send(ZoneAction::Finish),
                ZoneCommand::Open => zone_send(ZoneAction::Open),
                ZoneCommand::Close => zone_send(ZoneAction::Close),
                ZoneCommand::Write => Command::write(next, PAGE_SECTORS, false),
                ZoneCommand::Append => Command::Append {
                    zone: at,
                    sectors: PAGE_SECTORS,
                    fua: false,
                },
            };
            let done = host::submit(&mut model, &command, now)?;
            latency.add(done.since(now) + SOFTWARE);
            // The next sample meets nothing of this one.
            now = done + REST;
            let reset = zone_send(ZoneAction::Reset);
            now = host::submit(&mut model, &reset, now)? + REST;
        }
        Ok(latency)
    }

    /// Brings a zone into the state that the point asks for.
    fn prepare(
        &self,
        model: &mut Model,
        zone: u64,
        before: Before,
        now: Instant,
    ) -> anyhow::Result<Instant> {
        let start = zone * self.space.span;
        let mut send = |action, now| {
            let target = ZoneTarget::One(Sector::new(start));
            host::submit(model, &Command::Zone { action, target }, now)
        };
        let pages = match before {
            Before::Nothing => return Ok(now),
            Before::Open => 0,
            Before::Write(pages) | Before::Finish(pages) => pages,
            Before::Close => 1,
        };
        let mut now = send(ZoneAction::Open, now)? + SOFTWARE;
        let end = (pages * PAGE_SECTORS).min(self.space.capacity);
        let mut at = 0;
        while at < end {
            let sectors = (end - at).min(32 * PAGE_SECTORS);
            let write = Command::write(Sector::new(start + at), sectors, false);
            now = host::submit(model, &write, now)? + SOFTWARE;
            at += sectors;
        }
        let mut send = |action, now| {
            let target = ZoneTarget::One(Sector::new(start));
            host::submit(model, &Command::Zone { action, target }, now)
        };
        match before {
            Before::Finish(_) => now = send(ZoneAction::Finish, now)? + SOFTWARE,
            Before::Close => now = send(ZoneAction::Close, now)? + SOFTWARE,
            _ => {}
        }
        Ok(now)
    }
}

fn space(model: &Model, config: &Config) -> anyhow::Result<Space> {
    let zone = |id| model.zone(ZoneId::new(id));
    if let Some(first) = zone(0) {
        let zones = (0..).take_while(|id| zone(*id).is_some()).count() as u64;
        return Ok(Space {
            span: zone(1).map_or(first.capacity, |second| second.start.get()),
            capacity: first.capacity,
            zones,
        });
    }
    let size = config.get("block-data-size")?;
    let size: Bytes = size.parse().ok().context("block-data-size")?;
    let sectors = size.get() / SECTOR_BYTES;
    Ok(Space {
        span: sectors,
        capacity: sectors,
        zones: 1,
    })
}

/// The drive with so many zones full, and at rest.
fn filled(empty: &Model, space: &Space, zones: u64) -> anyhow::Result<(Model, Instant)> {
    let mut model = empty.clone();
    let mut now = Instant::ZERO;
    for zone in 0..zones {
        let mut at = 0;
        while at < space.capacity {
            let sectors = (FILL / SECTOR_BYTES).min(space.capacity - at);
            let write = Command::write(Sector::new(zone * space.span + at), sectors, false);
            now = host::submit(&mut model, &write, now)?;
            at += sectors;
        }
    }
    let now = now + REST;
    model.advance(now);
    Ok((model, now))
}
