// SPDX-License-Identifier: GPL-2.0-or-later
//! A table of power states.

use nvme::PowerState;

/// 5 W and 2 W at work; 50 mW after 10 ms, 5 mW after 30 ms more.
pub const POWER_STATES: [PowerState; 4] = [
    PowerState {
        max_power: 50_000,
        is_operational: true,
        entry_us: 0,
        exit_us: 0,
        idle_power: 6_300,
        active_power: 50_000,
        idle_ms: 0,
    },
    PowerState {
        max_power: 20_000,
        is_operational: true,
        entry_us: 20,
        exit_us: 30,
        idle_power: 5_001,
        active_power: 18_000,
        idle_ms: 0,
    },
    PowerState {
        max_power: 500,
        is_operational: false,
        entry_us: 200,
        exit_us: 500,
        idle_power: 499,
        active_power: 0,
        idle_ms: 10,
    },
    PowerState {
        max_power: 50,
        is_operational: false,
        entry_us: 1_000,
        exit_us: 5_000,
        idle_power: 50,
        active_power: 0,
        idle_ms: 30,
    },
];
