// SPDX-License-Identifier: GPL-2.0-or-later
//! The controller's cores: how many commands its firmware can take at a time.
//!
//! ```text
//!   arrival -- waits for a core -- command's time -->| flash, buffer, link ...... |--> done
//!                                 [ the core is busy | page's time for each 4 KiB ]
//! ```
//! A command goes on when its core has spent the command's time on it, and is not done before the core has spent the
//! time for its pages, which passes beside what the rest of the drive does. Latency of firmware that keeps no core busy
//! is in [`crate::Costs`]. Commands are taken in the order of arrival, by the core that is free first.
//!
//! Invariant: no core is busy with two commands at once.

use units::{Instant, Nanos, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

/// Most cores.
pub const MAX_CORES: usize = 64;

/// How long commands keep a core busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreCosts {
    /// How many cores; with none, commands wait for nobody and take none of this.
    pub cores: u32,
    /// A read.
    pub read: Nanos,
    /// Each 4 KiB of it.
    pub read_page: Nanos,
    /// A write.
    pub write: Nanos,
    /// Each 4 KiB of it.
    pub write_page: Nanos,
    /// An append, beyond a write.
    pub append: Nanos,
    /// A write or append that opens its zone, in addition.
    pub open: Nanos,
    /// Zone management.
    pub zone: Nanos,
    /// What writes come in best, in 4 KiB; 0 or 1 for any number of pages.
    pub unit_pages: u64,
    /// A write that begins or ends within such a unit, in addition.
    pub partial: Nanos,
    /// A write that begins or ends within 4 KiB, in addition.
    pub subpage: Nanos,
}

/// What a command asks of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Before the command goes on.
    pub command: Nanos,
    /// Beside the rest.
    pub pages: Nanos,
}

impl CoreCosts {
    /// For a read of so many sectors.
    #[must_use]
    pub fn of_read(&self, sectors: u64) -> Service {
        Service {
            command: self.read,
            pages: self.read_page.times(pages(sectors)),
        }
    }

    /// For a write of so many sectors from sector `at` on.
    #[must_use]
    pub fn of_write(&self, at: u64, sectors: u64) -> Service {
        let end = at.saturating_add(sectors);
        let within = |unit: u64| unit > 1 && (at % unit != 0 || end % unit != 0);
        let mut command = self.write;
        if within(self.unit_pages.saturating_mul(PAGE_SECTORS)) {
            command += self.partial;
        }
        if within(PAGE_SECTORS) {
            command += self.subpage;
        }
        Service {
            command,
            pages: self.write_page.times(pages(sectors)),
        }
    }

    /// For an append that lands at sector `at`.
    #[must_use]
    pub fn of_append(&self, at: u64, sectors: u64) -> Service {
        let write = self.of_write(at, sectors);
        Service {
            command: write.command + self.append,
            ..write
        }
    }
}

const fn pages(sectors: u64) -> u64 {
    sectors.saturating_mul(SECTOR_BYTES).div_ceil(PAGE_BYTES)
}

/// The cores.
#[derive(Clone, Debug)]
pub struct Cores {
    /// When each is free.
    free: Vec<Instant>,
}

state::state!(Cores { free[fixed] });

/// A command's turn with a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    core: usize,
    /// When the command goes on.
    pub begin: Instant,
    /// When the core is free again.
    pub end: Instant,
}

impl Cores {
    /// Idle cores.
    #[must_use]
    pub fn new(costs: &CoreCosts) -> Self {
        Self {
            free: vec![Instant::ZERO; costs.cores.min(MAX_CORES as u32) as usize],
        }
    }

    /// The turn that a command which arrives at `now` would have. Nothing is taken yet.
    #[must_use]
    pub fn turn(&self, now: Instant, service: Service) -> Turn {
        let first = self.free.iter().enumerate().min_by_key(|core| *core.1);
        let Some((core, free)) = first else {
            return Turn {
                core: 0,
                begin: now,
                end: now,
            };
        };
        let begin = now.max(*free) + service.command;
        Turn {
            core,
            begin,
            end: begin + service.pages,
        }
    }

    /// Takes a turn.
    pub fn take(&mut self, turn: Turn) {
        if let Some(free) = self.free.get_mut(turn.core) {
            *free = turn.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn costs() -> CoreCosts {
        let ns = Nanos::new;
        CoreCosts {
            cores: 1,
            read: ns(100),
            read_page: ns(10),
            write: ns(200),
            write_page: ns(20),
            append: ns(50),
            open: ns(500),
            zone: ns(1000),
            unit_pages: 2,
            partial: ns(7),
            subpage: ns(3),
        }
    }

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    #[test]
    fn time_goes_by_kind_size_and_place() {
        let c = costs();
        let both = |s: Service| (s.command.get(), s.pages.get());
        assert_eq!(both(c.of_read(8)), (100, 10));
        assert_eq!(both(c.of_read(9)), (100, 20));
        assert_eq!(both(c.of_write(0, 16)), (200, 40));
        assert_eq!(both(c.of_write(0, 8)), (207, 20));
        assert_eq!(both(c.of_write(8, 16)), (207, 40));
        assert_eq!(both(c.of_write(0, 1)), (210, 20));
        assert_eq!(both(c.of_append(16, 16)), (250, 40));
    }

    #[test]
    fn one_core_takes_one_command_after_the_other() {
        let mut cores = Cores::new(&costs());
        let read = costs().of_read(16);
        let first = cores.turn(at(1000), read);
        assert_eq!((first.begin, first.end), (at(1100), at(1120)));
        // Nothing is taken before that is said.
        assert_eq!(cores.turn(at(1000), read), first);
        cores.take(first);
        let second = cores.turn(at(1010), read);
        assert_eq!((second.begin, second.end), (at(1220), at(1240)));
        let none = Cores::new(&CoreCosts::default());
        let turn = none.turn(at(5), read);
        assert_eq!((turn.begin, turn.end), (at(5), at(5)));
    }

    proptest! {
        /// Commands go on in the order of arrival, none before its time, and `n` cores do as much as `n` cores can.
        #[test]
        fn cores_are_shared_fairly(
            n in 1u32..5,
            commands in prop::collection::vec((0u64..50, 1u64..100), 1..80),
        ) {
            let mut cores = Cores::new(&CoreCosts { cores: n, ..costs() });
            let (mut now, mut work, mut last) = (0, 0, at(0));
            let mut busy: Vec<(Instant, Instant)> = Vec::new();
            for (pause, time) in commands {
                now += pause;
                let service = Service { command: Nanos::new(time), pages: Nanos::ZERO };
                let turn = cores.turn(at(now), service);
                cores.take(turn);
                let start = at(turn.begin.as_nanos() - time);
                prop_assert!(start >= at(now) && start >= last);
                last = start;
                let beside = busy.iter().filter(|b| b.1 > start).count();
                prop_assert!(beside < n as usize);
                // It waits only while all are busy.
                if start > at(now) {
                    let before = at(start.as_nanos() - 1);
                    let there = busy.iter().filter(|b| b.0 <= before && b.1 > before).count();
                    prop_assert_eq!(there, n as usize);
                }
                busy.push((start, turn.end));
                work += time;
            }
            prop_assert!(work > 0);
        }
    }
}
