// SPDX-License-Identifier: GPL-2.0-or-later
//! What the state at an instant is computed to be, against a controller that is looked at every microsecond.

use super::*;
use proptest::prelude::*;

const fn at_us(us: u64) -> Instant {
    Instant::from_nanos(us * 1000)
}

/// Two states at work, and three that are not.
const STATES: [PowerState; 5] = [
    state(50_000, true, 0, 0, 0),
    state(20_000, true, 2, 10, 0),
    state(500, false, 40, 100, 1),
    state(100, false, 300, 500, 2),
    state(50, false, 1_500, 900, 5),
];

const fn state(
    power: u32,
    is_operational: bool,
    entry_us: u32,
    exit_us: u32,
    idle_ms: u32,
) -> PowerState {
    PowerState {
        max_power: power,
        is_operational,
        entry_us,
        exit_us,
        idle_power: power / 5,
        active_power: if is_operational { power } else { 0 },
        idle_ms,
    }
}

/// What happens to a controller, and when: microseconds after what happened before.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A command that takes so long.
    Command(u64),
    /// Set Features, Power Management.
    GoTo(usize),
    /// Set Features, the table of transitions.
    Transitions(bool, [(usize, u32); STATES.len()]),
    /// A reset.
    Reset,
    /// Something keeps it awake from now on, or not any more.
    Held(bool),
    /// Somebody looks.
    Look,
}

fn transitions(is_enabled: bool, table: &[(usize, u32); STATES.len()]) -> Transitions {
    let mut bytes = [0; TRANSITIONS_BYTES];
    for ((to, ms), place) in table.iter().zip(bytes.chunks_exact_mut(8)) {
        place[..4].copy_from_slice(&entry(*to, *ms).to_le_bytes());
    }
    Transitions::decode(is_enabled, &bytes, &STATES).unwrap()
}

fn event() -> impl Strategy<Value = Event> {
    let entry = || (2..STATES.len(), 0..4_u32);
    let table = [entry(), entry(), entry(), entry(), entry()];
    prop_oneof![
        5 => (0..2_500_u64).prop_map(Event::Command),
        1 => (0..STATES.len()).prop_map(Event::GoTo),
        1 => (any::<bool>(), table).prop_map(|(on, table)| Event::Transitions(on, table)),
        1 => Just(Event::Reset),
        1 => any::<bool>().prop_map(Event::Held),
        2 => Just(Event::Look),
    ]
}

/// The same, a microsecond at a time.
struct Naive {
    state: usize,
    /// Microseconds until the way to it is over.
    way: u64,
    /// States that it is to go on to.
    queue: Vec<usize>,
    operational: usize,
    /// Microseconds until no command is outstanding.
    busy: u64,
    /// The state that the latest began in.
    began: usize,
    is_held: bool,
    /// Without a command in this state, not on the way to it.
    idle: u64,
    transitions: Transitions,
    time: [u64; STATES.len()],
    busy_time: [u64; STATES.len()],
    entries: [u64; STATES.len()],
}

impl Naive {
    fn enter(&mut self, to: usize) {
        self.way = u64::from(STATES[self.state].exit_us + STATES[to].entry_us);
        self.state = to;
        self.idle = 0;
        self.entries[to] += 1;
        if STATES[to].is_operational {
            self.operational = to;
        }
    }

    /// What can be gone on to is, and an idle controller goes where the table says. At an instant, before what happens then.
    fn settle(&mut self) {
        while self.way == 0 && !self.queue.is_empty() {
            if !STATES[self.queue[0]].is_operational && self.busy > 0 {
                break;
            }
            let to = self.queue.remove(0);
            self.enter(to);
        }
        if self.way > 0 || !self.queue.is_empty() || self.busy > 0 || self.is_held {
            return;
        }
        if let Some((to, after)) = self.transitions.after(self.state) {
            let is_due = self.idle * 1000 >= after.get();
            if self.transitions.is_enabled && is_due && to > self.state {
                self.enter(to);
            }
        }
    }

    /// A microsecond passes.
    fn pass(&mut self) {
        self.settle();
        self.time[self.state] += 1;
        if self.busy > 0 {
            self.busy_time[self.began] += 1;
        }
        let is_idle = self.busy == 0 && self.way == 0 && self.queue.is_empty() && !self.is_held;
        self.idle = if is_idle { self.idle + 1 } else { 0 };
        self.busy = self.busy.saturating_sub(1);
        self.way = self.way.saturating_sub(1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Commands, one at a time, begin when the naive controller is at work; and what became of each state is the same, whether somebody
    /// looked meanwhile or not.
    #[test]
    fn what_is_computed_is_what_happens(events in prop::collection::vec((1..9_000_u64, event()), 1..24)) {
        let mut power = PowerStates::new(&STATES, true).unwrap();
        let mut unseen = power;
        let mut naive = Naive {
            state: 0,
            way: 0,
            queue: Vec::new(),
            operational: 0,
            busy: 0,
            began: 0,
            is_held: false,
            idle: 0,
            transitions: power.transitions,
            time: [0; STATES.len()],
            busy_time: [0; STATES.len()],
            entries: [0; STATES.len()],
        };
        let mut now = 0;
        for (pause, event) in events {
            for _ in 0..pause {
                naive.pass();
            }
            now += pause;
            naive.settle();
            let at = at_us(now);
            match event {
                Event::Command(time) => {
                    let begin = power.arrive(at);
                    prop_assert_eq!(unseen.arrive(at), begin);
                    if !STATES[*naive.queue.last().unwrap_or(&naive.state)].is_operational {
                        naive.queue.push(naive.operational);
                    }
                    // One at a time: the next comes when this is done.
                    while naive.busy > 0 || naive.way > 0 || !naive.queue.is_empty() {
                        naive.settle();
                        if naive.busy == 0 && naive.way == 0 && naive.queue.is_empty() {
                            break;
                        }
                        naive.pass();
                        now += 1;
                    }
                    prop_assert!(begin <= at_us(now), "{} us", now);
                    let begin = begin.max(at_us(now));
                    let done = begin + Nanos::from_micros(time);
                    power.busy(begin, done);
                    unseen.busy(begin, done);
                    (naive.busy, naive.began) = (time, naive.state);
                    naive.idle = 0;
                }
                Event::GoTo(to) => {
                    let there = power.go_to(to, at);
                    prop_assert_eq!(unseen.go_to(to, at), there);
                    let last = *naive.queue.last().unwrap_or(&naive.state);
                    if to != last {
                        naive.queue.push(to);
                    }
                    naive.settle();
                }
                Event::Transitions(on, table) => {
                    let new = transitions(on, &table);
                    power.set_transitions(new, false, at);
                    unseen.set_transitions(new, false, at);
                    naive.transitions = new;
                }
                Event::Reset => {
                    for power in [&mut power, &mut unseen] {
                        power.reset();
                        power.visit(at, 0, power.is_held, true);
                    }
                    naive.transitions = power.saved;
                    naive.idle = 0;
                    if *naive.queue.last().unwrap_or(&naive.state) != 0 {
                        naive.queue.push(0);
                    }
                    naive.settle();
                }
                Event::Held(on) => {
                    power.visit(at, 0, on, true);
                    unseen.visit(at, 0, on, true);
                    naive.is_held = on;
                }
                Event::Look => power.catch_up(at),
            }
            prop_assert!(power.check().is_ok());
        }
        // Long enough for whatever is under way.
        for _ in 0..20_000 {
            naive.pass();
        }
        now += 20_000;
        naive.settle();
        let report = power.report(at_us(now));
        prop_assert_eq!(unseen.report(at_us(now)), report);
        prop_assert_eq!(report.current, naive.state);
        for (state, spent) in report.states().iter().enumerate() {
            prop_assert_eq!(spent.entries, naive.entries[state], "entries of {}", state);
            prop_assert_eq!(spent.time, Nanos::from_micros(naive.time[state]), "time in {}", state);
            prop_assert_eq!(spent.busy, Nanos::from_micros(naive.busy_time[state]), "busy in {}", state);
        }
    }
}

/// PS0 for 1 ms, 40 us to PS2; 2 ms, 100 + 300 us to PS3; 5 ms, 500 + 1500 us to PS4.
const PS2: u64 = 1_000;
const PS3: u64 = PS2 + 40 + 2_000;
const PS4: u64 = PS3 + 400 + 5_000;

#[test]
fn a_command_waits_for_the_way_back() {
    let begins = |us| {
        let mut power = PowerStates::new(&STATES, true).unwrap();
        power.arrive(at_us(us)).since(at_us(us)).get() / 1000
    };
    for (us, waits, what) in [
        (PS2 - 1, 0, "at work"),
        (PS2, 40 + 100, "it has just begun to go"),
        (PS2 + 15, 25 + 100, "the rest of the way, and back"),
        (PS2 + 40, 100, "there"),
        (PS3 - 1, 100, "before it goes further"),
        (PS3, 400 + 500, "on the way further"),
        (PS4 - 1, 500, "there"),
        (PS4 + 2_000, 900, "in the deepest"),
        (1_000_000_000, 900, "for long"),
    ] {
        assert_eq!(begins(us), waits, "{us}: {what}");
    }
}

#[test]
fn idle_time_begins_with_the_last_completion() {
    let mut power = PowerStates::new(&STATES, true).unwrap();
    let begin = power.arrive(at_us(500));
    power.busy(begin, at_us(5_000));
    assert_eq!(
        power.arrive(at_us(2_000)),
        at_us(2_000),
        "one is outstanding"
    );
    power.busy(at_us(2_000), at_us(2_100));
    assert_eq!(power.current(at_us(5_999)), 0);
    assert_eq!(power.current(at_us(6_000)), 2);
}

#[test]
fn nobody_goes_by_himself_who_is_not_told_to() {
    let mut power = PowerStates::new(&STATES, false).unwrap();
    let long = at_us(1 << 40);
    assert_eq!((power.arrive(long), power.current(long)), (long, 0));
    assert!(PowerStates::new(&STATES[..1], true).is_none());
}

#[test]
fn a_table_that_goes_in_circles_comes_to_an_end() {
    let mut power = PowerStates::new(&STATES, true).unwrap();
    let circle = transitions(true, &[(2, 1), (2, 1), (3, 1), (2, 1), (2, 1)]);
    power.set_transitions(circle, false, Instant::ZERO);
    assert_eq!(power.current(Instant::from_nanos(u64::MAX)), 3);
}

#[test]
fn tables_that_lead_to_work_are_refused() {
    let mut table = [0; TRANSITIONS_BYTES];
    let decode = |table: &_| Transitions::decode(true, table, &STATES);
    for (to, is_good) in [(1, false), (2, true), (4, true), (5, false), (31, false)] {
        table[8..12].copy_from_slice(&entry(to, 7).to_le_bytes());
        assert_eq!(decode(&table).is_some(), is_good, "to {to}");
        // Without a time it says nothing.
        table[8..12].copy_from_slice(&entry(to, 0).to_le_bytes());
        assert!(decode(&table).is_some());
    }
    // States there are not, and reserved bits.
    table[8 * STATES.len()..].fill(0xff);
    table[..8].copy_from_slice(&[0x17, 1, 0, 0, 9, 9, 9, 9]);
    let back = decode(&table).unwrap().encode();
    assert_eq!(back[..8], [0x10, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        back[8 * STATES.len()..],
        [0; TRANSITIONS_BYTES - 8 * STATES.len()]
    );
}

#[test]
fn energy_is_what_each_state_draws() {
    let mut power = PowerStates::new(&STATES, true).unwrap();
    // PS0: 1 W idle for 0.4 ms, 5 W for 0.1, 1 W for 1 ms; PS2: 10 mW for the rest of 2 ms.
    let begin = power.arrive(at_us(400));
    power.busy(begin, at_us(500));
    let report = power.report(at_us(2_000));
    assert_eq!(report.energy_uj, 400 + 500 + 1_000 + 5);
    let states = report.states();
    assert_eq!(states[0].time + states[2].time, Nanos::from_micros(2_000));
    assert_eq!(states[0].busy, Nanos::from_micros(100));
}

#[test]
fn without_power_nothing_is_counted() {
    let mut power = PowerStates::new(&STATES, true).unwrap();
    power.power_off(at_us(PS2 + 100));
    let off = power.report(at_us(50_000));
    assert_eq!(off, power.report(at_us(90_000)));
    power.power_on(0, at_us(100_000));
    assert_eq!(power.arrive(at_us(100_500)), at_us(100_500));
    let time: u64 = power
        .report(at_us(100_700))
        .states()
        .iter()
        .map(|s| s.time.get())
        .sum();
    assert_eq!(time, (PS2 + 100 + 700) * 1000);
}

#[test]
fn what_the_log_page_has_is_read_back() {
    let mut power = PowerStates::new(&STATES, true).unwrap();
    power.arrive(at_us(PS4 + 5_000));
    let report = power.report(at_us(PS4 + 9_000));
    assert_eq!((report.waits, report.waited), (1, Nanos::from_micros(900)));
    let mut page = [0; 4096];
    assert_eq!(PowerReport::parse(&page), None);
    report.encode(&mut page);
    assert_eq!(PowerReport::parse(&page), Some(report));
    assert_eq!(report.states().len(), STATES.len());
    assert_eq!(page[..PowerReport::AT], [0; PowerReport::AT]);
    assert_eq!(PowerReport::parse(&page[..PowerReport::AT + 60]), None);
}

#[test]
fn states_come_in_the_order_of_power() {
    assert!(PowerStates::are_good(&STATES) && PowerStates::are_good(&[]));
    let [work, _, sleep, deep, _] = STATES;
    for bad in [
        &[sleep, deep][..],
        &[work, sleep, work],
        &[work, deep, sleep],
        &[work; 9],
    ] {
        assert!(!PowerStates::are_good(bad), "{bad:?}");
    }
}

#[test]
fn a_damaged_state_is_refused() {
    let power = PowerStates::new(&STATES, true).unwrap();
    let with = |change: &dyn Fn(&mut PowerStates)| {
        let mut damaged = power;
        change(&mut damaged);
        let mut into = power;
        state::decode(&mut into, &state::encode(&damaged)).is_ok()
    };
    assert!(with(&|_| ()));
    assert!(with(&|p| p.current = 3));
    assert!(!with(&|p| p.current = 9));
    assert!(!with(&|p| p.current = 1));
    assert!(!with(&|p| p.operational = 2));
    assert!(!with(&|p| p.transitions.entries[0] = entry(1, 5)));
    assert!(!with(&|p| p.saved.entries[3] = entry(7, 5)));
}
