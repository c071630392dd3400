// SPDX-License-Identifier: GPL-2.0-or-later
//! Drives and commands at random.

mod commands;
mod configs;

pub use commands::{commands, cut_power, Habits, Raw, Resolver};
pub use configs::{mechanisms, settings, Settings};
