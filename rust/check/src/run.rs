// SPDX-License-Identifier: GPL-2.0-or-later
//! One run: a drive and commands from a seed, through the checker.

use crate::checker::{Checker, Summary, Tamper};
use crate::draw::{self, Habits, Raw, Resolver, Settings};
use crate::drive::Drive;
use crate::random::Random;
use crate::replay::Done;
use crate::violation::{Law, Violation};
use ssd::Plan;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on panics are not printed, but told with their case.
pub fn catch_panics() {
    panic::set_hook(Box::new(|info| {
        LAST_PANIC.with(|last| *last.borrow_mut() = info.to_string().replace('\n', " "));
    }));
}

/// Runs something that may panic, which is told by [`catch_panics`].
///
/// # Errors
/// What the panic said.
pub(crate) fn caught<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    let done = panic::catch_unwind(AssertUnwindSafe(what));
    done.map_err(|_| LAST_PANIC.with(RefCell::take))
}

/// A drive and what it is asked.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it comes from.
    pub seed: u64,
    /// How many configurations were drawn until one made a drive.
    pub drawn: u64,
    /// The drive's.
    pub settings: Settings,
    plan: Plan,
    habits: Habits,
    /// Whether background work is asked for at its own instants.
    ticks: bool,
    /// The commands.
    pub raws: Vec<Raw>,
}

/// What became of a case.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub result: Result<Summary, Violation>,
    /// The commands as they ran, the last perhaps without an answer.
    pub trace: Vec<Done>,
}

impl Case {
    /// Draws a case of `commands` commands. A configuration that makes no drive is drawn again.
    #[must_use]
    pub fn draw(seed: u64, commands: usize) -> Self {
        let mut random = Random::new(seed);
        let mut drawn = 0;
        let (settings, plan) = loop {
            drawn += 1;
            let settings = draw::settings(&mut random);
            if let Ok(plan) = settings.plan() {
                break (settings, plan);
            }
        };
        let habits = Habits::draw(&mut random);
        let ticks = random.chance(50);
        let raws = draw::commands(&mut random, &habits, commands);
        Self {
            seed,
            drawn,
            settings,
            plan,
            habits,
            ticks,
            raws,
        }
    }

    /// The same drive with mechanisms that presets leave off, every other time. Where these do not fit together it stays
    /// as it is.
    #[must_use]
    pub fn with_mechanisms(mut self) -> Self {
        let mut random = Random::new(self.seed ^ 0x4d45_4348);
        if random.chance(50) {
            let settings = draw::mechanisms(&mut random, self.settings.clone());
            if let Ok(plan) = settings.plan() {
                (self.settings, self.plan) = (settings, plan);
            }
        }
        self
    }

    /// The same with power going `n` times on the way.
    #[must_use]
    pub fn with_cuts(mut self, n: usize) -> Self {
        let mut random = Random::new(self.seed ^ 0x5057_5243_5554);
        draw::cut_power(&mut random, &mut self.raws, n);
        self
    }

    /// The drive's plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What its commands are like.
    #[must_use]
    pub const fn habits(&self) -> &Habits {
        &self.habits
    }

    /// The same with other commands.
    #[must_use]
    pub fn with(&self, raws: Vec<Raw>) -> Self {
        Self {
            raws,
            ..self.clone()
        }
    }

    /// Runs it. A panic of the model is a violation like others.
    #[must_use]
    pub fn run(&self) -> Ran {
        self.run_tampered(None)
    }

    /// Runs it with a drive that lies.
    #[must_use]
    pub fn run_tampered(&self, tamper: Option<Tamper>) -> Ran {
        let mut trace = Vec::new();
        let all = caught(|| self.attempt(&mut trace, tamper));
        let result = all.unwrap_or_else(|panic| Violation::found(Law::Invariant, panic));
        Ran { result, trace }
    }

    fn attempt(&self, trace: &mut Vec<Done>, tamper: Option<Tamper>) -> Result<Summary, Violation> {
        let refused = |error: ssd::ConfigError| Violation::new(Law::Telling, error.to_string());
        let drive = Drive::new(&self.plan).map_err(refused)?;
        let mut resolver = Resolver::new(&drive, &self.habits);
        let mut checker = Checker::new(drive, self.ticks).tampered(tamper);
        for raw in &self.raws {
            let mut cut = None;
            if let Some(delay) = raw.cut {
                let at = resolver.cut(delay);
                cut = Some(at);
                resolver.restarted(checker.power_cut(at)?);
            }
            let (namespace, command, arrival) = resolver.resolve(checker.drive(), raw);
            trace.push(Done {
                cut,
                ..Done::arrived(namespace, command, arrival)
            });
            let outcome = checker.submit(namespace, &command, arrival)?;
            resolver.completed(outcome.done);
            if let Some(last) = trace.last_mut() {
                last.answer(&outcome);
            }
        }
        checker.finish()
    }
}
