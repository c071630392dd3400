// SPDX-License-Identifier: GPL-2.0-or-later
//! Interrupts and doorbells shared by several commands, where commands take no time: what a guest gains, what it can
//! lose, and that nothing is ever left lying.

use std::collections::BTreeMap;

use nvme::ControllerConfig;
use nvme_spec::{offset, FeatureId, NvmOpcode};
use proptest::prelude::*;
use testkit::{command, FakeConfig, FakeDrive, Guest};
use units::{Instant, Nanos};

use crate::{assert_ok, guest_with, META};

const HOLD: Nanos = Nanos::from_micros(2000);
/// What a guest spends on a command, and on each interrupt and each register write besides.
const COMMAND: Nanos = Nanos::from_micros(20);
const EXIT: Nanos = Nanos::from_micros(4);

/// A guest as Linux is one: it looks at a completion queue only when it is interrupted, and with shadow doorbells it
/// rings only when the event index says so.
struct Linux {
    guest: Guest<FakeDrive>,
    entries: u16,
    /// Shadow doorbells and event indices.
    shadows: Option<(u64, u64)>,
    tail: u16,
    head: u16,
    /// When each command in flight was submitted.
    open: BTreeMap<u16, Instant>,
    interrupts: u32,
    rings: u32,
    /// Longest time a command was in flight.
    longest: Nanos,
}

impl Linux {
    fn new(entries: u16, has_shadows: bool) -> Self {
        let drive = FakeConfig {
            latency: Nanos::ZERO,
            ..FakeConfig::default()
        };
        let mut guest = guest_with(ControllerConfig::default(), drive, 0);
        guest.host.msix = true;
        guest.controller.set_interrupt_hold(HOLD);
        let shadows = has_shadows.then(|| guest.announce_shadows());
        assert!(guest.create_queues(1, entries.into()));
        Self {
            guest,
            entries,
            shadows,
            tail: 0,
            head: 0,
            open: BTreeMap::new(),
            interrupts: 0,
            rings: 0,
            longest: Nanos::ZERO,
        }
    }

    /// The guest is at work for a while; timers fire meanwhile.
    fn pass(&mut self, time: Nanos) {
        self.guest.host.clock += time;
        while self
            .guest
            .host
            .wake
            .is_some_and(|at| at <= self.guest.host.clock)
        {
            self.guest.run();
        }
    }

    /// Says where a pointer of queue 1 is: `place` 0 for the tail, 4 for the head.
    fn say(&mut self, place: u64, old: u16, new: u16) {
        let place = 8 + place;
        if let Some((doorbells, indices)) = self.shadows {
            self.guest
                .poke(doorbells + place, &u32::from(new).to_le_bytes());
            let event = u16::from_le_bytes(self.guest.peek(indices + place, 2).try_into().unwrap());
            // Base, Annex B.5.
            if new.wrapping_sub(event).wrapping_sub(1) >= new.wrapping_sub(old) {
                return;
            }
        }
        self.rings += 1;
        self.pass(EXIT);
        self.guest.write32(offset::DOORBELLS + place, new.into());
    }

    fn submit(&mut self) {
        self.pass(COMMAND);
        let cid = self
            .guest
            .push(1, command::plain(NvmOpcode::Flush.wire(), META));
        self.open.insert(cid, self.guest.host.clock);
        let old = self.tail;
        self.tail = (old + 1) % self.entries;
        self.say(0, old, self.tail);
        self.handle_interrupt();
    }

    fn handle_interrupt(&mut self) {
        if self.guest.host.interrupts.remove(&1).is_none() {
            return;
        }
        self.interrupts += 1;
        self.pass(EXIT);
        let old = self.head;
        while let Some(cqe) = self.guest.take(1) {
            assert_ok(cqe);
            // A command that completes twice is not there.
            let submitted = self.open.remove(&cqe.cid).unwrap();
            self.longest = self.longest.max(self.guest.host.clock.since(submitted));
            self.head = (self.head + 1) % self.entries;
        }
        if self.head != old {
            self.say(4, old, self.head);
        }
    }

    /// Submits so many commands, with at most `depth` of them in flight.
    fn run(&mut self, depth: usize, commands: u32) {
        for _ in 0..commands {
            while self.open.len() >= depth {
                self.wait();
            }
            self.submit();
        }
    }

    /// Has nothing to do until the next interrupt.
    fn wait(&mut self) {
        assert!(
            self.guest.wake(),
            "{} commands are left lying",
            self.open.len()
        );
        self.handle_interrupt();
    }

    fn drain(&mut self) {
        while !self.open.is_empty() {
            self.wait();
        }
    }

    /// Interrupts and rings of so many commands.
    fn count(&mut self, depth: usize, commands: u32) -> (u32, u32) {
        let before = (self.interrupts, self.rings);
        self.run(depth, commands);
        (self.interrupts - before.0, self.rings - before.1)
    }
}

#[test]
fn a_busy_guest_is_interrupted_once_for_several_commands() {
    let mut linux = Linux::new(64, false);
    linux.run(32, 200_000);
    let (interrupts, rings) = linux.count(32, 20_000);
    assert!(interrupts < 4000, "{interrupts} interrupts");
    // One for each command, and one for each head.
    assert_eq!(rings, 20_000 + interrupts);
}

#[test]
fn with_shadow_doorbells_it_rings_once_for_several_too() {
    let mut linux = Linux::new(64, true);
    linux.run(32, 200_000);
    let (interrupts, rings) = linux.count(32, 20_000);
    assert!(interrupts < 4000, "{interrupts} interrupts");
    assert!(rings < 4000, "{rings} rings");
    linux.drain();
    assert!(linux.longest < HOLD + EXIT.times(8), "{}", linux.longest);
}

#[test]
fn a_guest_with_one_command_in_flight_loses_next_to_nothing() {
    for has_shadows in [false, true] {
        let mut linux = Linux::new(64, has_shadows);
        let begun = linux.guest.host.clock;
        let commands = 200_000;
        linux.run(1, commands);
        let took = linux.guest.host.clock.since(begun);
        // The command, its ring, its interrupt, and without shadows the head's ring.
        let exits = if has_shadows { 2 } else { 3 };
        let without = (COMMAND + EXIT.times(exits)).times(commands.into());
        let lost = took - without;
        assert!(lost.times(33) < without, "{lost} of {without}");
        assert!(linux.longest <= HOLD + COMMAND + EXIT, "{}", linux.longest);
    }
}

#[test]
fn a_guest_that_asks_for_coalescing_or_against_it_gets_that() {
    let mut linux = Linux::new(64, true);
    linux.run(32, 10_000);
    // No coalescing on vector 1.
    let opt_out = 1 << 16 | 1;
    let sqe = command::set_feature(FeatureId::InterruptVectorConfig, 0, opt_out);
    assert_ok(linux.guest.admin(sqe));
    linux.run(32, 100);
    let (interrupts, rings) = linux.count(32, 1000);
    assert_eq!(interrupts, 1000);
    assert!(rings >= 1000, "{rings}");
    // Two completions, or 100 us; each is rung for.
    for sqe in [
        command::set_feature(FeatureId::InterruptVectorConfig, 0, 1),
        command::set_feature(FeatureId::InterruptCoalescing, 0, 0x0101),
    ] {
        assert_ok(linux.guest.admin(sqe));
    }
    linux.run(32, 100);
    let (interrupts, rings) = linux.count(32, 1000);
    assert_eq!(interrupts, 500);
    assert!(rings >= 1000, "{rings}");
}

#[test]
fn holds_end_with_the_owners_leave() {
    let mut linux = Linux::new(64, true);
    linux.run(32, 10_000);
    linux.guest.controller.set_interrupt_hold(Nanos::ZERO);
    linux.run(32, 100);
    let (interrupts, rings) = linux.count(32, 1000);
    assert_eq!(interrupts, 1000);
    assert!(rings >= 1000, "{rings}");
    // An idle guest costs nothing: the timer is not set.
    linux.drain();
    linux.guest.settle(10);
    assert_eq!(linux.guest.host.wake, None);
}

#[test]
fn a_controller_that_fails_does_not_look_for_commands() {
    let mut linux = Linux::new(64, true);
    linux.run(32, 200_000);
    assert!(linux.count(32, 80).1 < 20, "it holds");
    let (_, indices) = linux.shadows.unwrap();
    linux.guest.host.hole = indices..indices + 4096;
    linux
        .guest
        .write32(offset::DOORBELLS + 8, linux.tail.into());
    assert_eq!(linux.guest.read32(offset::CSTS) & 3, 3, "ready, and failed");
    linux.guest.settle(10);
    assert_eq!(linux.guest.host.wake, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever a guest does before, no command waits longer than one hold once the guest stands still.
    #[test]
    fn no_command_is_left_lying(
        entries in 2..70_u16,
        has_shadows in any::<bool>(),
        phases in prop::collection::vec((1..64_usize, 1..6000_u32, any::<bool>()), 1..8),
    ) {
        let mut linux = Linux::new(entries.min(64), has_shadows);
        let most = usize::from(linux.entries - 1);
        for (depth, commands, then_idle) in phases {
            linux.run(depth.min(most), commands);
            if then_idle {
                let idle = linux.guest.host.clock;
                linux.drain();
                let waited = linux.guest.host.clock.since(idle);
                prop_assert!(waited <= HOLD + EXIT.times(8), "{waited}");
                linux.guest.settle(10);
                prop_assert_eq!(linux.guest.host.wake, None);
            }
            prop_assert_eq!(linux.guest.controller.check_invariants(), Ok(()));
        }
        linux.drain();
    }
}
