// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive: one block namespace on flash of its own.

use crate::{Config, ConfigError, Engine, Stats};
use ftl::{Command, Event, Flash, Namespace, Outcome, PowerCut};
use units::{Instant, Nanos, Sector};

/// The drive.
#[derive(Clone, Debug)]
pub struct Conv {
    config: Config,
    flash: Flash,
    engine: Engine,
    /// The latest command's arrival.
    now: Instant,
}

state::state!(Conv { flash, engine, now; config });

impl Conv {
    /// An erased drive.
    ///
    /// # Errors
    /// The configuration makes no drive.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            flash: Flash::new(&config.chips, config.link_mbps, config.costs),
            engine: Engine::new(&config.paged, &config.chips, 0)?,
            now: Instant::ZERO,
            config: config.clone(),
        })
    }

    /// Takes over the times of a configuration (flash array, firmware, buffer access) for what is
    /// asked for from now on; the rest of it stays as it is.
    pub fn set_times(&mut self, config: &Config) {
        self.flash.set_times(&config.chips, config.costs);
        self.config.chips = *self.flash.chips();
        self.config.costs = config.costs;
    }

    /// Runs a command that arrives at `now`; an earlier `now` than the latest so far counts as that.
    pub fn submit(&mut self, command: &Command, now: Instant) -> Outcome {
        self.advance(now);
        let command = match self.config.early_completion {
            true => *command,
            false => command.with_fua(true),
        };
        self.engine.submit(&mut self.flash, &command, self.now)
    }

    /// When something is due that cannot wait for the next command: never. Collection goes on when it
    /// comes, in the time that was idle until then.
    #[must_use]
    pub const fn next_event(&self) -> Option<Instant> {
        None
    }

    /// Nothing will be asked for before `now`.
    pub fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.flash.run(self.now);
    }

    /// Power goes at `now` and comes back: what was volatile is lost, and the drive recovers. Commands whose completion is
    /// later were never answered; all that others acknowledged as durable is still there. Counters go on.
    pub fn power_cut(&mut self, now: Instant) -> PowerCut {
        self.advance(now);
        let now = self.now;
        let left = self.engine.rest(&mut self.flash, now);
        self.flash.power_cut(now);
        let mut cut = PowerCut::at(now);
        self.engine.power_cut(&mut self.flash, left, now, &mut cut);
        self.advance(cut.ready);
        cut
    }

    /// Whether some page of a sector range is not mapped (for DULBE).
    #[must_use]
    pub fn has_unmapped(&self, at: Sector, sectors: u64) -> bool {
        self.engine.has_unmapped(at, sectors)
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The same in the terms that all models have in common.
    #[must_use]
    pub fn report(&self) -> ftl::Stats {
        let stats = self.stats();
        ftl::Stats::of(
            &self.flash,
            ftl::Counters::default(),
            stats.counters(),
            stats.pool(),
        )
    }

    /// Counts from here on; wear stays.
    pub fn forget_counts(&mut self) {
        self.flash.forget_counts();
        self.engine.forget_counts();
    }

    /// Mean erases of a superblock, rounded down; in constant time.
    #[must_use]
    pub fn mean_erases(&self) -> u64 {
        self.engine.mean_erases()
    }

    /// The flash and the host link, for their statistics.
    #[must_use]
    pub const fn flash(&self) -> &Flash {
        &self.flash
    }

    /// Remembers what happens to pages from now on, for [`Conv::drain_events`].
    pub fn follow(&mut self) {
        self.engine.observe(true, Namespace::Data);
    }

    /// How long a program takes, if nobody else wants its plane.
    #[must_use]
    pub fn program_time(&self) -> Nanos {
        self.flash.program_time()
    }

    /// Tells what happened to pages since this was asked last; those of a page in order.
    pub fn drain_events(&mut self, each: &mut dyn FnMut(&Event)) {
        self.engine.drain_events(each);
    }

    /// For checks in tests: remembers what happens to pages and planes while switched on.
    pub fn observe(&mut self, on: bool) {
        self.engine.observe(on, Namespace::Data);
        self.flash.observe(on);
    }

    /// What happened to pages since this was asked last; those of a page in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.engine.take_events()
    }

    /// What occupied the planes since this was asked last.
    pub fn take_occupied(&mut self) -> Vec<nand::Occupied> {
        self.flash.take_occupied()
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Is an error if maps, superblocks and buffer disagree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        self.engine.check_invariants()?;
        self.flash.check_invariants()?;
        Ok(())
    }
}
