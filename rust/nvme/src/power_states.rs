// SPDX-License-Identifier: GPL-2.0-or-later
//! Power states (Base, section 8.15): which one the controller is in, and what that costs.
//!
//! ```text
//!          idle for ITPT                     idle for ITPT
//!   PS0 ───────────────────► PS3 ───────────────────────────► PS4
//!    ▲   takes ENLAT          │   takes EXLAT + ENLAT          │
//!    └────── EXLAT ◄──────────┴─────────── a command ──────────┘
//! ```
//! Nothing wakes up for it: the state at an instant follows from the latest activity before it, in as many steps as there
//! are states, whenever somebody asks; asking changes nothing.
//!
//! - Idle is a controller without I/O commands outstanding; a self-test and a sanitize operation keep it awake.
//! - A transition from one state to another takes the exit latency of the one and the entry latency of the other, and is
//!   not broken off: a command that comes during it waits for its end, and then for the way back.
//! - An I/O command brings the controller back to the latest operational state. Admin commands do not, unless they work on flash.
//! - Work that the drive does by itself (garbage collection, folding) goes on in every state and wakes nobody: as of a controller without
//!   control over that (CTRATT bit 1 is clear). What it draws is in no estimate.
//! - Operational states differ in power only: commands take the same time in all of them.
//!
//! Not modelled: time that a state change takes beside its latencies, temperature, and power while a transition goes on
//! (it is that of the state entered).

use state::{ensure, state, Error};
use units::{Instant, Nanos};

/// Most states that are described; the specification has 32.
pub const MAX_POWER_STATES: usize = 8;

/// Entries of the table of transitions, and bytes of each (Base, figure 328).
const ENTRIES: usize = 32;
/// Bytes of that table.
pub(crate) const TRANSITIONS_BYTES: usize = ENTRIES * 8;

/// A power state as the controller describes it (Base, figure 276). Powers are in 100 microwatts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerState {
    /// Most that it draws (MP).
    pub max_power: u32,
    /// Commands are worked in it (not NOPS).
    pub is_operational: bool,
    /// Microseconds to enter it (ENLAT).
    pub entry_us: u32,
    /// Microseconds to leave it (EXLAT).
    pub exit_us: u32,
    /// What it draws without commands (IDLP).
    pub idle_power: u32,
    /// What it draws with commands outstanding (ACTP); none if it is not operational.
    pub active_power: u32,
    /// How long the controller is idle before it goes there, where the default values of its features have it go there
    /// by itself: milliseconds; 0 for never.
    pub idle_ms: u32,
}

/// Where the controller goes when it is idle, and when: an entry for each state (Base, section 5.27.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transitions {
    /// APSTE.
    pub(crate) is_enabled: bool,
    /// As on the wire: ITPS in bits 3 to 7, ITPT in milliseconds in bits 8 to 31.
    entries: [u32; MAX_POWER_STATES],
}

state!(Transitions { is_enabled, entries[fixed] });

/// An entry of the table.
const fn entry(to: usize, after_ms: u32) -> u32 {
    (to as u32 & 0x1f) << 3 | after_ms << 8
}

impl Transitions {
    /// From each state to the next that has a time for it.
    fn new(states: &[PowerState], is_enabled: bool) -> Self {
        let next = |from: usize| {
            let deeper = states.iter().enumerate().skip(from.saturating_add(1));
            let mut deeper = deeper.filter(|(_, state)| state.idle_ms > 0);
            deeper
                .next()
                .map_or(0, |(to, state)| entry(to, state.idle_ms))
        };
        Self {
            is_enabled,
            entries: core::array::from_fn(next),
        }
    }

    /// What a host asks for; entries of states that there are not say nothing. None if an entry leads to a state that is
    /// operational, or that there is not.
    pub(crate) fn decode(
        is_enabled: bool,
        table: &[u8; TRANSITIONS_BYTES],
        states: &[PowerState],
    ) -> Option<Self> {
        let mut new = Self {
            is_enabled,
            entries: [0; MAX_POWER_STATES],
        };
        let entries = new.entries.iter_mut().take(states.len());
        for (entry, bytes) in entries.zip(table.chunks_exact(8)) {
            let low = bytes.first_chunk().copied().map_or(0, u32::from_le_bytes);
            *entry = low & !0x7;
        }
        new.are_good(states).then_some(new)
    }

    fn are_good(&self, states: &[PowerState]) -> bool {
        let is_good =
            |(to, _): (usize, Nanos)| states.get(to).is_some_and(|state| !state.is_operational);
        (0..states.len()).all(|of| self.after(of).is_none_or(is_good))
    }

    pub(crate) fn encode(&self) -> [u8; TRANSITIONS_BYTES] {
        let mut table = [0; TRANSITIONS_BYTES];
        for (entry, bytes) in self.entries.iter().zip(table.chunks_exact_mut(8)) {
            bytes
                .split_at_mut(4)
                .0
                .copy_from_slice(&entry.to_le_bytes());
        }
        table
    }

    /// Where an idle controller goes from a state, and after how long.
    fn after(&self, state: usize) -> Option<(usize, Nanos)> {
        let entry = *self.entries.get(state)?;
        let (to, ms) = (entry >> 3 & 0x1f, entry >> 8);
        (ms > 0).then(|| (to as usize, Nanos::from_micros(u64::from(ms) * 1000)))
    }
}

/// What became of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Time in it, the way there included.
    pub time: Nanos,
    /// How often it was entered; power-on is none.
    pub entries: u64,
    /// Time in it with commands outstanding.
    pub busy: Nanos,
}

state!(Spent {
    time,
    entries,
    busy
});

/// The power states of a controller that has several.
#[derive(Clone, Copy, Debug)]
pub struct PowerStates {
    states: &'static [PowerState],
    /// The state, or the one on the way to which it is; since then.
    current: usize,
    since: Instant,
    /// The way there ends then.
    settled: Instant,
    /// The latest one that was operational.
    operational: usize,
    /// The latest instant at which a command is outstanding.
    busy_until: Instant,
    /// Something else keeps the controller awake.
    is_held: bool,
    /// There is no power.
    is_off: bool,
    /// A reset at the present, of which the rest is to come.
    was_reset: bool,
    /// Whether latencies take time.
    is_timed: bool,
    spent: [Spent; MAX_POWER_STATES],
    /// Commands that waited for the way back, and how long.
    waits: u64,
    waited: Nanos,
    transitions: Transitions,
    /// Since then.
    apply_from: Instant,
    saved: Transitions,
    default: Transitions,
}

state!(PowerStates {
    current, since, settled, operational, busy_until, is_held, is_off, was_reset, is_timed, spent[fixed], waits, waited, transitions, apply_from, saved;
    states, default
} => check);

impl PowerStates {
    /// A controller that comes to power in state 0; without more than one state there is nothing to say. With `transitions` it
    /// goes to others by itself until it is told not to.
    ///
    /// `states` come in the order of falling power, those that are not operational last: [`PowerStates::are_good`].
    #[must_use]
    pub fn new(states: &'static [PowerState], transitions: bool) -> Option<Self> {
        if states.len() < 2 {
            return None;
        }
        let default = Transitions::new(states, transitions);
        Some(Self {
            states,
            current: 0,
            since: Instant::ZERO,
            settled: Instant::ZERO,
            operational: 0,
            busy_until: Instant::ZERO,
            is_held: false,
            is_off: false,
            was_reset: false,
            is_timed: true,
            spent: [Spent::default(); MAX_POWER_STATES],
            waits: 0,
            waited: Nanos::ZERO,
            transitions: default,
            apply_from: Instant::ZERO,
            saved: default,
            default,
        })
    }

    /// Whether states are in order: the first is operational, none after one that is not, and none draws more than the one before
    /// (Base, section 8.15).
    #[must_use]
    pub fn are_good(states: &[PowerState]) -> bool {
        let in_order = |pair: &[PowerState]| match pair {
            [a, b] => a.max_power >= b.max_power && (a.is_operational || !b.is_operational),
            _ => true,
        };
        let first = states.first().is_none_or(|state| state.is_operational);
        first && states.len() <= MAX_POWER_STATES && states.windows(2).all(in_order)
    }

    fn check(&mut self) -> Result<(), Error> {
        self.check_invariants()
    }

    /// Is an error if the states and transitions are none that there can be.
    pub(crate) fn check_invariants(&self) -> Result<(), Error> {
        let is_operational = |of: usize| self.states.get(of).map(|state| state.is_operational);
        let current = is_operational(self.current);
        ensure!(
            current.is_some() && is_operational(self.operational) == Some(true),
            "power states {} and {}",
            self.current,
            self.operational
        );
        ensure!(
            current == Some(false) || self.current == self.operational,
            "power state {} is operational, and not the latest",
            self.current
        );
        let are_good = |transitions: &Transitions| transitions.are_good(self.states);
        ensure!(
            are_good(&self.transitions) && are_good(&self.saved),
            "transitions of power states"
        );
        Ok(())
    }

    fn state(&self, of: usize) -> Option<&'static PowerState> {
        self.states.get(of)
    }

    fn is_operational(&self) -> bool {
        self.state(self.current).is_none_or(|s| s.is_operational)
    }

    /// How long a transition takes.
    fn latency(&self, from: usize, to: usize) -> Nanos {
        let exit = self.state(from).map_or(0, |state| state.exit_us);
        let entry = self.state(to).map_or(0, |state| state.entry_us);
        match self.is_timed {
            true => Nanos::from_micros(u64::from(exit) + u64::from(entry)),
            false => Nanos::ZERO,
        }
    }

    /// Goes on the way to a state.
    fn enter(&mut self, to: usize, at: Instant) {
        let time = at.since(self.since);
        self.settled = at + self.latency(self.current, to);
        if let Some(spent) = self.spent.get_mut(self.current) {
            spent.time += time;
        }
        if let Some(spent) = self.spent.get_mut(to) {
            spent.entries = spent.entries.saturating_add(1);
        }
        (self.current, self.since) = (to, at);
        if self.is_operational() {
            self.operational = to;
        }
    }

    /// Makes the transitions of an idle controller that are due by `now`.
    fn catch_up(&mut self, now: Instant) {
        if self.is_off || self.is_held || !self.transitions.is_enabled {
            return;
        }
        while let Some((to, after)) = self.transitions.after(self.current) {
            let at = self.busy_until.max(self.settled) + after;
            let at = at.max(self.apply_from);
            // What leads to no deeper state is not followed, so that this ends.
            if at > now || to <= self.current {
                break;
            }
            self.enter(to, at);
        }
    }

    /// A command of the host's comes at `now`: when it begins.
    pub fn arrive(&mut self, now: Instant) -> Instant {
        let begin = self.wake(now);
        if begin > now {
            self.waits = self.waits.saturating_add(1);
            self.waited += begin.since(now);
        }
        begin
    }

    /// There is work at `now`: when it begins.
    pub(crate) fn wake(&mut self, now: Instant) -> Instant {
        self.catch_up(now);
        if !self.is_operational() {
            self.enter(self.operational, now.max(self.settled));
        }
        let begin = now.max(self.settled);
        self.busy_until = self.busy_until.max(begin);
        begin
    }

    /// A command that began is outstanding until `done`.
    pub fn busy(&mut self, begin: Instant, done: Instant) {
        let more = done.since(begin.max(self.busy_until));
        if let Some(spent) = self.spent.get_mut(self.current) {
            spent.busy += more;
        }
        self.busy_until = self.busy_until.max(done);
    }

    /// The state at `now`.
    pub(crate) fn current(&self, now: Instant) -> usize {
        self.at(now).current
    }

    /// The same controller as it is at `now`.
    fn at(&self, now: Instant) -> Self {
        let mut then = *self;
        then.catch_up(now);
        then
    }

    /// The host wants a state, of those there are; when it is reached. One that is not operational is entered when no command is
    /// outstanding any more.
    pub(crate) fn go_to(&mut self, to: usize, now: Instant) -> Instant {
        self.catch_up(now);
        if to != self.current && to < self.states.len() {
            let is_operational = self.state(to).is_some_and(|state| state.is_operational);
            let idle = if is_operational { now } else { self.busy_until };
            self.enter(to, now.max(idle).max(self.settled));
        }
        now.max(self.settled)
    }

    /// The table of transitions in force.
    pub(crate) const fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    /// The table after a reset.
    pub(crate) const fn saved_transitions(&self) -> &Transitions {
        &self.saved
    }

    /// The table of a controller that nobody has told anything.
    pub(crate) const fn default_transitions(&self) -> &Transitions {
        &self.default
    }

    /// From now on other transitions apply; after resets, too, if they are saved.
    pub(crate) fn set_transitions(&mut self, to: Transitions, save: bool, now: Instant) {
        self.catch_up(now);
        if save {
            self.saved = to;
        }
        (self.transitions, self.apply_from) = (to, now);
    }

    /// A reset, at the instant of the next [`PowerStates::visit`].
    pub(crate) fn reset(&mut self) {
        self.was_reset = true;
    }

    /// The controller is looked at: completes a reset, after which it is on its way to state `initial`; takes note of what
    /// keeps it awake, and whether latencies take time.
    pub(crate) fn visit(&mut self, now: Instant, initial: usize, is_held: bool, is_timed: bool) {
        if (self.was_reset, self.is_held, self.is_timed) == (false, is_held, is_timed) {
            return;
        }
        self.catch_up(now);
        if self.is_held || self.was_reset {
            // Idle time begins anew.
            self.busy_until = self.busy_until.max(now);
        }
        (self.is_held, self.is_timed) = (is_held, is_timed);
        if core::mem::take(&mut self.was_reset) {
            if !self.is_off {
                self.go_to(initial, now);
            }
            (self.transitions, self.apply_from) = (self.saved, now);
        }
    }

    /// Power goes at `at`; when it does for the drive, which cannot go back behind the beginning of commands that waited for it.
    pub fn power_off(&mut self, at: Instant) -> Instant {
        self.catch_up(at);
        let time = at.since(self.since);
        if let Some(spent) = self.spent.get_mut(self.current) {
            spent.time += time;
        }
        self.is_off = true;
        if self.is_operational() {
            at.max(self.settled)
        } else {
            at
        }
    }

    /// Power is back, and the controller in state `initial`.
    pub fn power_on(&mut self, initial: usize, now: Instant) {
        self.is_off = false;
        (self.current, self.operational) = (initial.min(self.states.len() - 1), 0);
        if self.is_operational() {
            self.operational = self.current;
        }
        (self.since, self.settled, self.busy_until) = (now, now, now);
    }

    /// What was counted until `now`.
    #[must_use]
    pub fn report(&self, now: Instant) -> PowerReport {
        let then = self.at(now);
        let mut spent = then.spent;
        if let Some(spent) = spent.get_mut(then.current).filter(|_| !then.is_off) {
            spent.time += now.since(then.since);
        }
        PowerReport {
            current: then.current,
            energy_uj: energy_uj(self.states, &spent),
            waits: self.waits,
            waited: self.waited,
            count: self.states.len(),
            spent,
        }
    }
}

/// Energy in microjoules: what states draw without commands, and more while there are some.
fn energy_uj(states: &[PowerState], spent: &[Spent]) -> u64 {
    // 100 uW for a nanosecond are 10^-7 uJ.
    let each = states.iter().zip(spent).map(|(state, spent)| {
        let more = state.active_power.saturating_sub(state.idle_power);
        u128::from(state.idle_power) * u128::from(spent.time.get())
            + u128::from(more) * u128::from(spent.busy.get().min(spent.time.get()))
    });
    u64::try_from(each.sum::<u128>() / 10_000_000).unwrap_or(u64::MAX)
}

/// What a controller counted of its power states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerReport {
    /// The state it is in.
    pub current: usize,
    /// Estimate of what it used, microjoules.
    pub energy_uj: u64,
    /// Commands that had to wait until the controller was back.
    pub waits: u64,
    /// How long they waited in all.
    pub waited: Nanos,
    count: usize,
    spent: [Spent; MAX_POWER_STATES],
}

impl PowerReport {
    /// Where its part of the vendor log page (C0h) begins.
    pub const AT: usize = 3584;
    const MAGIC: &[u8; 4] = b"CZPS";
    /// Magic, number of states and state of 16 bits, energy, waits, time waited.
    const HEADER: usize = 32;

    /// What became of each state.
    #[must_use]
    pub fn states(&self) -> &[Spent] {
        self.spent.get(..self.count).unwrap_or(&self.spent)
    }

    /// Writes it to its place in a page.
    pub(crate) fn encode(&self, page: &mut [u8]) {
        let [count, current] =
            [self.count, self.current].map(|n| u16::try_from(n).unwrap_or(u16::MAX));
        let header = [count, current].map(u16::to_le_bytes);
        let spent = |spent: &Spent| [spent.time.get(), spent.entries, spent.busy.get()];
        let words = [self.energy_uj, self.waits, self.waited.get()];
        let words = words
            .into_iter()
            .chain(self.states().iter().flat_map(spent));
        let bytes = Self::MAGIC.iter().chain(header.as_flattened()).copied();
        let bytes = bytes.chain(words.flat_map(u64::to_le_bytes));
        for (place, byte) in page.iter_mut().skip(Self::AT).zip(bytes) {
            *place = byte;
        }
    }

    /// Reads it from a vendor log page; none if the controller has one state only, or the page ends before.
    #[must_use]
    pub fn parse(page: &[u8]) -> Option<Self> {
        let (header, states) = page.get(Self::AT..)?.split_at_checked(Self::HEADER)?;
        let (magic, rest) = header.split_first_chunk::<4>()?;
        let (&[n0, n1, s0, s1], words) = rest.split_first_chunk::<4>()?;
        if magic != Self::MAGIC {
            return None;
        }
        let count = usize::from(u16::from_le_bytes([n0, n1])).min(MAX_POWER_STATES);
        let words = words.chunks_exact(8).chain(states.chunks_exact(8));
        let mut words = words.map(|word| {
            let word = word.first_chunk().copied();
            u64::from_le_bytes(word.unwrap_or_default())
        });
        let mut report = Self {
            current: u16::from_le_bytes([s0, s1]).into(),
            energy_uj: words.next()?,
            waits: words.next()?,
            waited: Nanos::new(words.next()?),
            count,
            spent: [Spent::default(); MAX_POWER_STATES],
        };
        for spent in report.spent.iter_mut().take(count) {
            *spent = Spent {
                time: Nanos::new(words.next()?),
                entries: words.next()?,
                busy: Nanos::new(words.next()?),
            };
        }
        Some(report)
    }
}

#[cfg(test)]
mod tests;
