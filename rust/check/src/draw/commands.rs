// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands at random. They are drawn without a look at the drive ([`Raw`]), so that a list of them
//! with some left out still makes sense, and laid over it when they run ([`Resolver`]).

use crate::drive::Drive;
use crate::random::Random;
use ftl::{Command, Namespace, ZoneAction, ZoneReport, ZoneTarget};
use ssd::ModelConfig;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use units::{Instant, Nanos, Sector};
use zms::DataNamespace;
use zone::State;

/// What is asked, roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Write.
    Write,
    /// Read.
    Read,
    /// Append.
    Append,
    /// Flush.
    Flush,
    /// Write zeroes.
    Zeroes,
    /// Deallocate.
    Trim,
    /// Commit of a random write area.
    Commit,
    /// Zone management.
    Zone(ZoneAction),
}

/// A command before it meets a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw {
    kind: Kind,
    meta: bool,
    /// Which zone, or how far into the namespace.
    place: u64,
    /// How many, at least one.
    sectors: u64,
    /// Beginning off the page or the write pointer, on all zones, past the end: something unusual.
    odd: bool,
    fua: bool,
    /// Idle time before it.
    pause: Nanos,
    /// Power goes, so long after the command before it arrived, and comes back.
    pub cut: Option<Nanos>,
}

/// What a run's commands are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Commands outstanding.
    pub depth: u64,
    reads: u64,
    meta: u64,
    fua: u64,
    flushes: u64,
    management: u64,
    odd: u64,
    longest: u64,
    /// Zones, or parts of the namespace, that most commands go to: of 16.
    hot: u64,
    pauses: u64,
}

impl Habits {
    /// Any.
    pub fn draw(random: &mut Random) -> Self {
        Self {
            depth: random.pick(&[1, 1, 2, 4, 8, 32]),
            reads: random.pick(&[5, 20, 50]),
            meta: random.pick(&[0, 10, 50]),
            fua: random.pick(&[0, 3, 20, 60]),
            flushes: random.pick(&[0, 1, 5, 20]),
            management: random.pick(&[0, 2, 8, 20]),
            odd: random.pick(&[0, 2, 15]),
            longest: random.pick(&[8, 64, 256, 512]),
            hot: random.pick(&[1, 4, 16]),
            pauses: random.pick(&[0, 2, 20]),
        }
    }
}

/// Commands of these habits.
pub fn commands(random: &mut Random, habits: &Habits, count: usize) -> Vec<Raw> {
    (0..count).map(|_| draw(random, habits)).collect()
}

fn draw(random: &mut Random, habits: &Habits) -> Raw {
    let kind = if random.chance(habits.flushes) {
        Kind::Flush
    } else if random.chance(habits.management) {
        managing(random)
    } else if random.chance(habits.reads) {
        Kind::Read
    } else {
        random.pick(&[
            Kind::Write,
            Kind::Write,
            Kind::Write,
            Kind::Write,
            Kind::Append,
        ])
    };
    let sectors = match random.below(10) {
        0 => random.between(1, 17),
        1..=5 => 8 * random.between(1, 4),
        6..=8 => random.between(1, habits.longest.div_ceil(8)) * 8,
        _ => random.between(1, habits.longest),
    };
    let pause = if random.chance(habits.pauses) {
        // From nothing to some seconds, each order of magnitude alike.
        let most = 10_u64.pow(u32::try_from(random.below(10)).unwrap_or(0));
        Nanos::new(random.below(3 * most))
    } else {
        Nanos::ZERO
    };
    let mut place = random.any();
    if random.chance(80) {
        // The number's upper bits say where: a part of what there is.
        place = place / 16 * habits.hot;
    }
    Raw {
        kind,
        meta: random.chance(habits.meta),
        place,
        sectors,
        odd: random.chance(habits.odd),
        fua: random.chance(habits.fua),
        pause,
        cut: None,
    }
}

fn managing(random: &mut Random) -> Kind {
    use ZoneAction::{Close, Finish, Open, OpenZrwa, Reset, SetExtension};
    random.pick(&[
        Kind::Trim,
        Kind::Trim,
        Kind::Zeroes,
        Kind::Commit,
        Kind::Commit,
        Kind::Zone(Reset),
        Kind::Zone(Reset),
        Kind::Zone(Finish),
        Kind::Zone(Open),
        Kind::Zone(OpenZrwa),
        Kind::Zone(OpenZrwa),
        Kind::Zone(Close),
        Kind::Zone(SetExtension),
    ])
}

/// Lets power go before `n` of the commands, any time later than what was asked before.
pub fn cut_power(random: &mut Random, raws: &mut [Raw], n: usize) {
    for _ in 0..n {
        let at = random.below(raws.len() as u64);
        let longest = random.pick(&[0, 30_000, 300_000, 3_000_000, 30_000_000, 300_000_000]);
        let delay = Nanos::new(random.below(longest));
        if let Some(raw) = usize::try_from(at).ok().and_then(|at| raws.get_mut(at)) {
            raw.cut = Some(delay);
        }
    }
}

/// Part of `n` that a drawn number stands for.
fn part(place: u64, n: u64) -> u64 {
    u64::try_from((u128::from(place) * u128::from(n)) >> 64).unwrap_or(0)
}

/// Turns drawn commands into a drive's, with their arrivals.
#[derive(Debug)]
pub struct Resolver {
    depth: usize,
    /// Sectors that lengths must be a multiple of.
    unit: u64,
    /// Sectors that a commit must be a multiple of; none without random write areas.
    granularity: Option<u64>,
    /// Pages of a random write area.
    area: u64,
    max_active: usize,
    outstanding: BinaryHeap<Reverse<Instant>>,
    now: Instant,
}

impl Resolver {
    /// For commands of these habits on this drive.
    #[must_use]
    pub fn new(drive: &Drive, habits: &Habits) -> Self {
        let (unit, options, max_active) = match drive.config() {
            ModelConfig::Zns(c) => (c.write_unit.get() / 512, c.zone_options, c.max_active),
            ModelConfig::Zms(c) => match c.data {
                DataNamespace::Zoned { max_active, .. } => (1, c.zone_options, max_active),
                DataNamespace::Block { .. } => (1, c.zone_options, 0),
            },
            _ => (1, zone::Options::default(), 0),
        };
        Self {
            granularity: options.zrwa.map(|zrwa| zrwa.granularity),
            area: options.zrwa.map_or(1, |zrwa| zrwa.size / 8),
            max_active: usize::try_from(max_active).unwrap_or(0),
            depth: usize::try_from(habits.depth).unwrap_or(1),
            unit,
            outstanding: BinaryHeap::new(),
            now: Instant::ZERO,
        }
    }

    /// The command, and when it arrives.
    pub fn resolve(&mut self, drive: &Drive, raw: &Raw) -> (Namespace, Command, Instant) {
        while self.outstanding.len() >= self.depth.max(1) {
            if let Some(Reverse(done)) = self.outstanding.pop() {
                self.now = self.now.max(done);
            }
        }
        self.now += raw.pause;
        let has_meta = drive.sectors(Namespace::Meta) > 0;
        let zone_only = matches!(raw.kind, Kind::Zone(_) | Kind::Append | Kind::Commit);
        let namespace = if raw.meta && has_meta && !(zone_only && drive.zones() > 0) {
            Namespace::Meta
        } else {
            Namespace::Data
        };
        let command = if drive.is_zoned(namespace) {
            self.zoned(drive, raw)
        } else {
            paged(raw, drive.sectors(namespace))
        };
        (namespace, command, self.now)
    }

    /// Power goes after `delay`: when that is.
    #[must_use]
    pub fn cut(&self, delay: Nanos) -> Instant {
        self.now + delay
    }

    /// Power is back, and nothing is outstanding.
    pub fn restarted(&mut self, ready: Instant) {
        self.outstanding.clear();
        self.now = self.now.max(ready);
    }

    /// A command completes.
    pub fn completed(&mut self, at: Instant) {
        self.outstanding.push(Reverse(at));
    }

    fn zoned(&self, drive: &Drive, raw: &Raw) -> Command {
        let Some(zone) = self.zone(drive, raw) else {
            return Command::Flush;
        };
        let at = zone.start;
        let target = if raw.odd {
            ZoneTarget::All
        } else {
            ZoneTarget::One(at)
        };
        let manage = |action| Command::Zone { action, target };
        match raw.kind {
            // Most zones that are full are wanted again.
            Kind::Write | Kind::Append if zone.state == State::Full && raw.place % 8 != 0 => {
                Command::Zone {
                    action: ZoneAction::Reset,
                    target: ZoneTarget::One(at),
                }
            }
            Kind::Write if self.granularity.is_some() && opens_area(&zone, raw) => Command::Zone {
                action: ZoneAction::OpenZrwa,
                target: ZoneTarget::One(at),
            },
            Kind::Write | Kind::Append if raw.kind == Kind::Write || (zone.zrwa && !raw.odd) => {
                let (at, sectors) = self.write(&zone, raw);
                Command::write(at, sectors, raw.fua)
            }
            Kind::Zeroes => {
                let (at, sectors) = self.write(&zone, raw);
                Command::WriteZeroes {
                    at,
                    sectors,
                    fua: raw.fua,
                }
            }
            Kind::Write | Kind::Append => Command::Append {
                zone: at,
                sectors: self.write(&zone, raw).1,
                fua: raw.fua,
            },
            Kind::Read => read(raw, &zone),
            Kind::Flush => Command::Flush,
            Kind::Trim => Command::Deallocate {
                at,
                sectors: raw.sectors,
            },
            Kind::Commit => {
                let step = self.granularity.unwrap_or(8);
                let sectors = raw.sectors.next_multiple_of(step);
                let end = zone.start.get() + zone.capacity;
                let to = zone.write_pointer.get() + sectors;
                Command::CommitZrwa {
                    end: Sector::new(if raw.odd { to } else { to.min(end) }),
                }
            }
            Kind::Zone(action) => manage(action),
        }
    }

    /// The zone that was drawn; or one near it that the command suits better, mostly.
    fn zone(&self, drive: &Drive, raw: &Raw) -> Option<ZoneReport> {
        let zones = drive.zones();
        let drawn = u32::try_from(part(raw.place, u64::from(zones))).unwrap_or(0);
        let zone = drive.zone(drawn)?;
        let writes = matches!(raw.kind, Kind::Write | Kind::Append | Kind::Zeroes);
        let commits = raw.kind == Kind::Commit;
        if raw.odd || !(commits || (writes && zone.state == State::Empty)) {
            return Some(zone);
        }
        let others = (drawn..zones)
            .chain(0..drawn)
            .filter_map(|id| drive.zone(id));
        if commits {
            return others.clone().find(|z| z.zrwa).or(Some(zone));
        }
        let mut active = others.filter(|z| z.state.is_active());
        if self.max_active > 0 && active.clone().count() >= self.max_active {
            return active.next();
        }
        Some(zone)
    }

    /// At the write pointer, cut to what fits; ahead of it in a random write area.
    fn write(&self, zone: &ZoneReport, raw: &Raw) -> (Sector, u64) {
        let mut sectors = raw.sectors.next_multiple_of(self.unit.max(1));
        let mut at = zone.write_pointer.get();
        if zone.zrwa {
            at += (raw.place >> 7) % self.area.max(1) * 8;
            sectors = sectors.next_multiple_of(8);
        }
        let end = zone.start.get() + zone.capacity;
        if raw.odd {
            at += (raw.place >> 9) % 3;
        } else {
            sectors = sectors.min(end.saturating_sub(at)).max(1);
        }
        (Sector::new(at), sectors)
    }
}

/// Half of the zones get a random write area where there are any.
const fn opens_area(zone: &ZoneReport, raw: &Raw) -> bool {
    matches!(zone.state, State::Empty) && raw.place % 2 == 0
}

/// Of what is written, mostly.
fn read(raw: &Raw, zone: &ZoneReport) -> Command {
    let written = zone.write_pointer.get() - zone.start.get();
    let span = if raw.odd {
        zone.capacity
    } else {
        written.clamp(8, zone.capacity)
    };
    let offset = (raw.place >> 11) % span;
    let offset = if raw.odd { offset } else { offset / 8 * 8 };
    Command::Read {
        at: Sector::new(zone.start.get() + offset),
        sectors: raw.sectors.min(zone.capacity - offset).max(1),
        internal: raw.odd && raw.fua,
    }
}

fn paged(raw: &Raw, size: u64) -> Command {
    let mut at = part(raw.place, size);
    if !raw.odd {
        at = at / 8 * 8;
    }
    let sectors = raw.sectors.min(size - at).max(1);
    let at = Sector::new(at);
    match raw.kind {
        Kind::Write | Kind::Append | Kind::Commit => Command::write(at, sectors, raw.fua),
        Kind::Read => Command::Read {
            at,
            sectors,
            internal: raw.odd && raw.fua,
        },
        Kind::Zeroes => Command::WriteZeroes {
            at,
            sectors,
            fua: raw.fua,
        },
        Kind::Trim => Command::Deallocate { at, sectors },
        Kind::Flush => Command::Flush,
        // Now and then a command that a block namespace does not have.
        Kind::Zone(action) if raw.odd => Command::Zone {
            action,
            target: ZoneTarget::One(at),
        },
        Kind::Zone(_) => Command::Flush,
    }
}
