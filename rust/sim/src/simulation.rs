// SPDX-License-Identifier: GPL-2.0-or-later
//! One drive and the trace it is driven by.

use crate::{Age, Aged, Latencies, Space};
use ftl::{Namespace, ZoneAction, ZoneTarget};
use nvme::{Drive as _, NsIndex};
use ssd::{Config, ConfigError, Model, Plan, PowerCuts, PowerReport, PowerStates, Series};
use trace::{Answer, Command, Line, Op, Pacer};
use units::{Instant, Sector};

/// A drive in virtual time.
#[derive(Clone, Debug)]
pub struct Simulation {
    model: Model,
    series: Option<Series>,
    timed: bool,
    pacer: Pacer,
    latencies: Latencies,
    power: PowerCuts,
    /// None with `timing=off`: nothing then shows what is at work.
    states: Option<PowerStates>,
    begin: Instant,
}

impl Simulation {
    /// A new drive.
    ///
    /// # Errors
    /// The configuration makes no drive.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Self::from_plan(&config.plan()?)
    }

    /// A new drive of a plan.
    ///
    /// # Errors
    /// The plan makes no drive.
    pub fn from_plan(plan: &Plan) -> Result<Self, ConfigError> {
        let mut model = Model::new(plan)?;
        lend(&mut model);
        Ok(Self {
            model,
            series: Series::new(plan.sample_interval),
            timed: plan.timed,
            pacer: Pacer::new(),
            latencies: Latencies::default(),
            power: PowerCuts::default(),
            states: PowerStates::new(plan.controller.power_states, plan.controller.transitions)
                .filter(|_| plan.timed),
            begin: Instant::ZERO,
        })
    }

    /// A drive that has been through something; what it counts begins afterwards.
    ///
    /// # Errors
    /// The configuration makes no drive, or none that can be aged: one line.
    pub fn aged(config: &Config, age: Option<&Age>) -> Result<Self, String> {
        let mut simulation = Self::new(config).map_err(|error| error.to_string())?;
        let Some(age) = age else {
            return Ok(simulation);
        };
        let space = Space::of(&simulation, config)?;
        let now = age.apply(&space, &mut simulation.model)?;
        simulation.begin = now;
        simulation.pacer.restarted(now);
        if let Some(states) = &mut simulation.states {
            states.power_on(0, now);
        }
        Ok(simulation)
    }

    /// When it was made or, aged, at rest: traces begin then.
    #[must_use]
    pub const fn begin(&self) -> Instant {
        self.begin
    }

    /// Takes one line of a trace; commands have an answer.
    pub fn step(&mut self, line: &Line) -> Option<Answer> {
        match line {
            Line::Depth(depth) => self.pacer.set_depth(*depth),
            Line::Idle(pause) => self.pacer.idle(*pause),
            Line::PowerCut(at) => self.power_cut(*at),
            Line::Command(command) => return Some(self.command(command)),
        }
        None
    }

    /// The same in the time of a trace that begins when the drive was made or, aged, at rest.
    pub fn answer(&mut self, line: &Line) -> Option<Answer> {
        let since = self.begin.since(Instant::ZERO);
        let mut answer = match line {
            Line::Command(command) => self.step(&Line::Command(Command {
                arrival: command.arrival + since,
                ..*command
            })),
            Line::PowerCut(at) => self.step(&Line::PowerCut(*at + since)),
            Line::Depth(_) | Line::Idle(_) => self.step(line),
        }?;
        let back = |at: Instant| Instant::ZERO + at.since(self.begin);
        answer.command.arrival = back(answer.command.arrival);
        answer.completion = back(answer.completion);
        Some(answer)
    }

    fn power_cut(&mut self, given: Instant) {
        let at = self.pacer.power_cut(given);
        if let Some(series) = &mut self.series {
            series.note(&self.model, at);
        }
        let cut = self.model.power_cut(at);
        lend(&mut self.model);
        let ready = if self.timed { cut.ready } else { at };
        self.pacer.restarted(ready);
        self.power.note(&cut, ready.since(at));
        if let Some(states) = &mut self.states {
            let _ = states.power_off(at);
            states.power_on(0, ready);
        }
    }

    /// What power cuts did so far.
    #[must_use]
    pub const fn power_cuts(&self) -> PowerCuts {
        self.power
    }

    /// What became of power states, if the drive has several: those that it goes to by itself, for there is nobody to send it
    /// (`apst`).
    #[must_use]
    pub fn power_states(&self) -> Option<PowerReport> {
        let states = self.states.as_ref();
        states.map(|states| states.report(self.now()))
    }

    /// The drive's statistics ([`ssd::stats_json`]), with those of its power states.
    #[must_use]
    pub fn stats_json(&self) -> String {
        let states = self.power_states();
        ssd::device_json(
            &self.model,
            None,
            None,
            &PowerCuts::default(),
            states.as_ref(),
        )
    }

    fn command(&mut self, command: &Command) -> Answer {
        let arrival = self.pacer.arrival(command.arrival);
        let (ns, asked) = to_model(command);
        if let Some(series) = &mut self.series {
            series.note(&self.model, arrival);
        }
        let outcome = match &mut self.states {
            None => self.model.submit(ns, &asked, arrival),
            Some(states) => woken(states, &mut self.model, (ns, &asked), arrival),
        };
        let (completion, status) = match outcome.result {
            Ok(_) if self.timed => (outcome.done, 0),
            Ok(_) => (arrival, 0),
            Err(error) => (outcome.done, ssd::status_code(error)),
        };
        self.pacer.completed(completion);
        let answer = Answer {
            command: Command {
                arrival,
                ..*command
            },
            completion,
            status,
        };
        self.latencies.add(&answer);
        answer
    }

    /// Latencies so far.
    #[must_use]
    pub const fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// The counters over model time ([`Series::csv`]); empty unless `sample-interval-ns` is set.
    #[must_use]
    pub fn series_csv(&self) -> String {
        self.series
            .as_ref()
            .map_or_else(String::new, |series| series.csv(&self.model))
    }

    /// The drive.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The latest completion so far.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.pacer.last_completion()
    }
}

/// The host gives the drive all memory that it asks for, and never changes a byte of it.
fn lend(model: &mut Model) {
    model.hmb_lend(u32::MAX, false);
}

impl Aged for Model {
    fn submit(&mut self, command: &ftl::Command, now: Instant) -> ftl::Outcome {
        Self::submit(self, Namespace::Data, command, now)
    }

    fn next_event(&self) -> Option<Instant> {
        Self::next_event(self)
    }

    fn advance(&mut self, now: Instant) {
        Self::advance(self, now);
    }

    fn forget_counts(&mut self) {
        Self::forget_counts(self);
    }
}

impl Aged for ssd::Drive {
    fn submit(&mut self, command: &ftl::Command, now: Instant) -> ftl::Outcome {
        let data = self.namespaces().len().saturating_sub(1);
        let data = NsIndex(u8::try_from(data).unwrap_or(0));
        let outcome = nvme::Drive::submit(self, data, command, now);
        // All bytes are zero, also those that are to be put aside.
        while self.take_kept().is_some() {}
        outcome
    }

    fn next_event(&self) -> Option<Instant> {
        nvme::Drive::next_event(self)
    }

    fn advance(&mut self, now: Instant) {
        nvme::Drive::advance(self, now);
    }

    fn forget_counts(&mut self) {
        Self::forget_counts(self);
        while self.take_event().is_some() {}
    }
}

/// Runs a command on a drive that may be asleep.
#[inline(never)]
fn woken(
    states: &mut PowerStates,
    model: &mut Model,
    (ns, command): (Namespace, &ftl::Command),
    arrival: Instant,
) -> ftl::Outcome {
    let begin = states.arrive(arrival);
    let outcome = model.submit(ns, command, begin);
    states.busy(begin, outcome.done);
    outcome
}

/// A trace's command in the model's terms, and its namespace.
#[must_use]
pub fn to_model(command: &Command) -> (Namespace, ftl::Command) {
    let ns = if command.data {
        Namespace::Data
    } else {
        Namespace::Meta
    };
    let at = Sector::new(command.slba);
    let sectors = u64::from(command.nlb);
    let fua = command.fua;
    let zone = |action| ftl::Command::Zone {
        action,
        target: ZoneTarget::One(at),
    };
    let all = |action| ftl::Command::Zone {
        action,
        target: ZoneTarget::All,
    };
    let asked = match command.op {
        Op::Read => ftl::Command::read(at, sectors),
        Op::Write => ftl::Command::write(at, sectors, fua),
        Op::Append => ftl::Command::Append {
            zone: at,
            sectors,
            fua,
        },
        Op::Flush => ftl::Command::Flush,
        Op::Trim => ftl::Command::Deallocate { at, sectors },
        Op::WriteZeroes => ftl::Command::WriteZeroes { at, sectors, fua },
        Op::Reset => zone(ZoneAction::Reset),
        Op::Finish => zone(ZoneAction::Finish),
        Op::Open => zone(ZoneAction::Open),
        Op::Close => zone(ZoneAction::Close),
        Op::ReadInside => ftl::Command::Read {
            at,
            sectors,
            internal: true,
        },
        Op::WriteInside => ftl::Command::Write {
            at,
            sectors,
            fua,
            internal: true,
        },
        Op::OpenZrwa => zone(ZoneAction::OpenZrwa),
        Op::Commit => ftl::Command::CommitZrwa { end: at },
        Op::Offline => zone(ZoneAction::Offline),
        Op::Extend => zone(ZoneAction::SetExtension),
        Op::ResetAll => all(ZoneAction::Reset),
        Op::FinishAll => all(ZoneAction::Finish),
        Op::OpenAll => all(ZoneAction::Open),
        Op::CloseAll => all(ZoneAction::Close),
        Op::OfflineAll => all(ZoneAction::Offline),
    };
    (ns, asked)
}
