// SPDX-License-Identifier: GPL-2.0-or-later
//! The tables of power states that a drive can have (`power-states`): the one place of their figures.
//!
//! | table | maximum, entry and exit latencies | idle and active power |
//! |---|---|---|
//! | phone | a DRAM-less client drive of 500 GB (T-FORCE TM8FPL500G) as `nvme id-ctrl` lists it | the same list; none for states that are not operational |
//! | laptop | a client drive with DRAM (Samsung MZVLB1T0HBLR) as `smartctl` lists it | not in the list |
//!
//! Our assumptions: a phone's storage is UFS, whose states are not NVMe's, so `phone` is of the smallest drives whose lists are
//! public; where a list gives none, active power is the maximum, idle power 1 W at work and the maximum in states that are not operational.
//! When a drive goes there by itself is what Linux 6.1's driver sets by default: after 100 ms where both latencies together
//! are at most 15 ms, of which the deepest, and after 2 s where they are at most 100 ms.

use nvme::PowerState;

/// The tables' names, in the order of the property's words.
pub(crate) const NAMES: &[&str] = &["off", "phone", "laptop"];

/// The table of that number; none for `off`.
pub(crate) fn table(number: u64) -> &'static [PowerState] {
    match number {
        1 => &PHONE,
        2 => &LAPTOP,
        _ => &[],
    }
}

/// 10 mW in the unit of the states' powers.
const CENTIWATT: u32 = 100;

/// A state in which commands are worked, by its powers in 10 mW: maximum, idle and active.
const fn at_work(max: u32, idle: u32, active: u32, exit_us: u32) -> PowerState {
    PowerState {
        max_power: max * CENTIWATT,
        is_operational: true,
        entry_us: 0,
        exit_us,
        idle_power: idle * CENTIWATT,
        active_power: active * CENTIWATT,
        idle_ms: 0,
    }
}

/// One in which none are, by its power in 100 uW.
const fn asleep(power: u32, entry_us: u32, exit_us: u32, idle_ms: u32) -> PowerState {
    PowerState {
        max_power: power,
        is_operational: false,
        entry_us,
        exit_us,
        idle_power: power,
        active_power: 0,
        idle_ms,
    }
}

const PHONE: [PowerState; 5] = [
    at_work(500, 63, 500, 0),
    at_work(240, 63, 250, 1_000),
    at_work(190, 63, 180, 0),
    asleep(500, 5_000, 10_000, 100),
    asleep(50, 10_000, 45_000, 2_000),
];

const LAPTOP: [PowerState; 5] = [
    at_work(800, 100, 800, 0),
    at_work(630, 100, 630, 0),
    at_work(350, 100, 350, 0),
    // Linux goes past it.
    asleep(700, 210, 1_200, 0),
    asleep(50, 2_000, 8_000, 100),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux chooses: from the deepest state on, the first of each tolerance.
    fn linux(states: &[PowerState]) -> Vec<u32> {
        let mut idle = vec![0; states.len()];
        let mut last = u32::MAX;
        for (state, idle) in states.iter().zip(&mut idle).rev() {
            let total = state.entry_us + state.exit_us;
            let (class, ms) = match total {
                0..=15_000 => (1, 100),
                15_001..=100_000 => (2, 2_000),
                _ => continue,
            };
            if !state.is_operational && class < last {
                (last, *idle) = (class, ms);
            }
        }
        idle
    }

    #[test]
    fn each_table_is_in_order_and_has_linux_own_times() {
        assert!(table(0).is_empty());
        for number in 1..NAMES.len() as u64 {
            let states = table(number);
            assert!(nvme::PowerStates::are_good(states), "{number}");
            let idle: Vec<_> = states.iter().map(|state| state.idle_ms).collect();
            assert_eq!(idle, linux(states), "{number}");
            let last = states.last().unwrap();
            assert!(!last.is_operational && last.max_power < 100);
        }
        assert!(table(NAMES.len() as u64).is_empty());
    }
}
