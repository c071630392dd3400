// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether completions share interrupts where commands take no time.
//!
//! A command that completes inside its doorbell costs the guest an interrupt of its own. A guest with many commands in
//! flight rings again anyway, and then one interrupt can speak for several; a guest that waits for this one command
//! would wait for nothing, and one with many threads that each wait would put them to sleep for nothing. Which of
//! these it is cannot be seen from outside, but it can be tried:
//!
//! ```text
//!   block of completions, its time measured ─► block ─► .. ─► a trial of the other way ─► the faster one stays
//! ```
//!
//! Trials become rarer while they change nothing, until they take a hundredth of the time. Holding ends at once when
//! several holds in a row run out, because then somebody is waiting.

use units::{Instant, Nanos};

/// Completions that wait for one more, while interrupts are held.
const HELD: u32 = 7;
/// Completions over which the two ways are compared: some ten milliseconds of a busy guest.
const BLOCK: u32 = 1024;
/// Time to the next trial as a multiple of what the last one cost: at first, and at most.
const REST: (u64, u64) = (2, 128);
/// Holds that run out in a row before holding ends. A host may keep a guest from running for as long as one hold.
const LOST: u32 = 3;
/// What the other way must gain to be taken, as a part of the block's time.
const GAIN: u64 = 16;
/// A guest that has had nothing completed for longer was doing something else: the block's time says nothing.
const IDLE: Nanos = Nanos::from_micros(100_000);

/// What one vector has learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moderation {
    /// Holding has turned out to be faster.
    is_better: bool,
    /// This block tries the other way.
    is_trial: bool,
    /// When this block began.
    begun: Instant,
    /// When the vector was signalled last.
    last_signal: Instant,
    /// Completions until it ends.
    left: u32,
    /// How long the last block before the trial took.
    reference: Nanos,
    /// Holds in a row that ran out.
    lost: u32,
    /// When the other way may be tried again.
    next_trial: Instant,
    /// How long to rest after the next trial that changes nothing, as a multiple of what it costs.
    rest: u64,
}

state::state!(Moderation {
    is_better,
    is_trial,
    begun,
    last_signal,
    left,
    reference,
    lost,
    next_trial,
    rest
} => check);

impl Default for Moderation {
    fn default() -> Self {
        Self {
            is_better: false,
            is_trial: false,
            begun: Instant::ZERO,
            last_signal: Instant::ZERO,
            left: BLOCK,
            reference: Nanos::ZERO,
            lost: 0,
            next_trial: Instant::ZERO,
            rest: REST.0,
        }
    }
}

impl Moderation {
    fn check(&mut self) -> Result<(), state::Error> {
        state::ensure!(self.left <= BLOCK && self.lost <= LOST && self.rest <= REST.1);
        Ok(())
    }

    /// Completions that wait for one more.
    pub(crate) const fn limit(&self) -> u32 {
        if self.is_better == self.is_trial {
            0
        } else {
            HELD
        }
    }

    /// The vector is signalled at `now` for `count` completions: because no more came in time, or because they did.
    pub(crate) fn signalled(&mut self, count: u32, has_run_out: bool, now: Instant) {
        if now.since(self.last_signal) > IDLE {
            self.is_trial = false;
            self.begin(now);
        }
        self.last_signal = now;
        self.left = self.left.saturating_sub(count);
        self.lost = if has_run_out { self.lost + 1 } else { 0 };
        let took = now.since(self.begun);
        let has_gained = took.times(GAIN) < self.reference.times(GAIN - 1);
        if self.lost >= LOST {
            if self.is_better {
                // It was, for the guest as it was until now.
                self.is_better = false;
                self.rest = REST.0;
            }
            self.keep(took, now);
        } else if self.is_trial && !has_gained {
            // More completions would not make it faster.
            self.keep(took, now);
        } else if self.left == 0 && self.is_trial {
            self.is_better = !self.is_better;
            self.rest = REST.0;
            self.keep(took, now);
        } else if self.left == 0 {
            self.reference = took;
            self.is_trial = self.next_trial <= now;
            self.begin(now);
        }
    }

    /// Goes on with what is better, after a block that `took` so long.
    fn keep(&mut self, took: Nanos, now: Instant) {
        let done = u64::from(BLOCK - self.left);
        let otherwise = Nanos::new(self.reference.times(done).get() / u64::from(BLOCK));
        self.is_trial = false;
        self.next_trial = now + (took - otherwise).times(self.rest);
        self.rest = (2 * self.rest).min(REST.1);
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        self.begun = now;
        self.left = BLOCK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Nanos = Nanos::from_micros(2000);

    /// A guest: completions it lets come at most before it waits for them, and what a command, an interrupt, and going
    /// to sleep for every command while interrupts are held cost it, in us.
    struct Guest {
        depth: u32,
        command: u64,
        interrupt: u64,
        sleep: u64,
        moderation: Moderation,
        now: Instant,
    }

    impl Guest {
        fn new(depth: u32) -> Self {
            Self {
                depth,
                command: 20,
                interrupt: 4,
                sleep: 0,
                moderation: Moderation::default(),
                now: Instant::ZERO,
            }
        }

        /// Interrupts, and holds that ran out, of this many completions.
        fn complete(&mut self, completions: u32) -> (u32, u32) {
            let (mut interrupts, mut lost, mut done) = (0, 0, 0);
            while done < completions {
                let limit = self.moderation.limit();
                let count = self.depth.min(limit + 1);
                let has_run_out = count <= limit;
                let sleep = if limit > 0 { self.sleep } else { 0 };
                let work = (self.command + sleep) * u64::from(count) + self.interrupt;
                self.now += Nanos::from_micros(work);
                if has_run_out {
                    self.now += HOLD;
                }
                self.moderation.signalled(count, has_run_out, self.now);
                interrupts += 1;
                lost += u32::from(has_run_out);
                done += count;
            }
            (interrupts, lost)
        }
    }

    #[test]
    fn a_guest_with_many_in_flight_gets_few_interrupts() {
        for depth in [HELD + 1, 32] {
            let mut guest = Guest::new(depth);
            guest.complete(3 * BLOCK);
            let (interrupts, lost) = guest.complete(100 * BLOCK);
            assert!(interrupts < 20 * BLOCK, "{interrupts}");
            assert_eq!(lost, 0);
        }
    }

    #[test]
    fn a_guest_that_waits_loses_little_however_fast_it_is() {
        for (command, depth) in [(1, 1), (20, 1), (20, 2), (20, HELD), (1000, 1)] {
            let mut guest = Guest::new(depth);
            guest.command = command;
            guest.complete(100 * BLOCK);
            let before = guest.now;
            let (interrupts, lost) = guest.complete(1000 * BLOCK);
            assert!(lost > 0, "it is tried");
            let all = guest.now.since(before);
            let holds = HOLD.times(lost.into());
            assert!(
                holds.times(100) <= all,
                "{holds} of {all}, {interrupts} interrupts"
            );
        }
    }

    #[test]
    fn a_guest_that_would_sleep_for_every_command_is_left_alone() {
        let mut guest = Guest::new(64);
        guest.sleep = 10;
        let (interrupts, lost) = guest.complete(1000 * BLOCK);
        assert!(interrupts > 950 * BLOCK, "{interrupts}");
        assert_eq!(lost, 0);
    }

    #[test]
    fn a_busy_guest_that_becomes_a_slow_one_is_not_held_any_more() {
        let mut guest = Guest::new(32);
        guest.complete(100 * BLOCK);
        assert_eq!(guest.moderation.limit(), HELD);
        guest.depth = 1;
        for _ in 0..LOST {
            guest.now += IDLE.times(36_000);
            assert_eq!(guest.complete(1), (1, 1), "an hour later");
        }
        assert_eq!(guest.moderation.limit(), 0);
        guest.depth = 32;
        guest.complete(50 * BLOCK);
        assert_eq!(guest.moderation.limit(), HELD, "the hours do not count");
    }

    #[test]
    fn a_pause_of_the_guest_is_no_reason_to_change() {
        let mut guest = Guest::new(64);
        guest.sleep = 10;
        guest.complete(1000 * BLOCK);
        for _ in 0..100 {
            // As long as the rest after a trial, so that the next block would be followed by one.
            guest.now += Nanos::from_micros(60_000_000);
            let (interrupts, _) = guest.complete(BLOCK);
            assert_eq!(interrupts, BLOCK, "the pause is not taken for a slow block");
            guest.complete(4 * BLOCK);
            assert_eq!(guest.moderation.limit(), 0);
        }
    }

    #[test]
    fn a_guest_that_changes_its_ways_is_followed() {
        let mut guest = Guest::new(32);
        guest.complete(100 * BLOCK);
        guest.depth = 1;
        let (_, lost) = guest.complete(100);
        assert_eq!(lost, LOST, "holding ends at once");
        assert_eq!(guest.moderation.limit(), 0);
        guest.complete(1000 * BLOCK);
        guest.depth = 32;
        guest.complete(50 * BLOCK);
        let (interrupts, _) = guest.complete(10 * BLOCK);
        assert!(interrupts < 10 * BLOCK / 4, "and comes back: {interrupts}");
    }
}
