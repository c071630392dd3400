// SPDX-License-Identifier: GPL-2.0-or-later
//! Nothing that is durable is lost, at any instant: random commands under the law.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/law.rs"]
mod law;

use common::{at, fua, read, tiny, trim, write, Random, PAGE};
use conv::{Config, Conv};
use ftl::Command;
use law::Law;
use units::{Bytes, Nanos, Sector};

/// Runs a random load; returns how many copies were erased.
fn load(config: &Config, seed: u64, commands: u64, pause: u64) -> usize {
    let mut d = Conv::new(config).unwrap();
    d.observe(true);
    let sectors = config.paged.size.get() / 512;
    let mut random = Random(seed);
    let mut law = Law::default();
    let mut now = 0;
    for _ in 0..commands {
        let sector = random.below(sectors - 200);
        let page = random.below(sectors / PAGE) * PAGE;
        let n = 1 + random.below(199);
        let command = match random.below(24) {
            0..=11 => write(page, PAGE),
            12 | 13 => write(sector, n),
            14 => fua(page, PAGE),
            15 => fua(sector, n),
            16..=18 => read(sector, n),
            19 => trim(sector, n),
            20 | 21 => Command::WriteZeroes {
                at: Sector::new(sector),
                sectors: 1 + n % 20,
                fua: n % 2 == 0,
            },
            _ => Command::Flush,
        };
        now += random.below(pause);
        let outcome = d.submit(&command, at(now));
        assert!(outcome.result.is_ok(), "{command:?}");
        law.note(at(now), d.take_events(), d.take_occupied());
        match command {
            Command::Flush => law.is_durable(law.lpns().into_iter(), outcome.done),
            Command::Write {
                at,
                sectors,
                fua: true,
                ..
            }
            | Command::WriteZeroes {
                at,
                sectors,
                fua: true,
            } => {
                let lpns = at.get() / PAGE..(at.get() + sectors).div_ceil(PAGE);
                law.is_durable(lpns, outcome.done);
            }
            _ => {}
        }
    }
    d.check_invariants().unwrap();
    // All that is queued.
    d.advance(at(now + 1_000_000_000));
    law.note(at(now), d.take_events(), d.take_occupied());
    law.check()
}

#[test]
fn every_durable_page_has_a_copy() {
    for seed in 1..12 {
        let mut config = tiny();
        let mut random = Random(seed);
        config.paged.partitions = 1 + seed as u32 % 2;
        config.paged.over_provisioning = [1, 7, 30][seed as usize % 3];
        config.paged.gc_threshold = 1 + seed as u32 % 3;
        config.paged.blocks_per_plane = [5, 20, 60][random.below(3) as usize];
        config.chips.erase = Nanos::new([100_000, 3_500_000, 1][random.below(3) as usize]);
        config.chips.one_shot = Bytes::kib(8 << random.below(2));
        config.paged.buffer = Bytes::kib(64);
        // Mostly idle, or never.
        let pause = [2_000_000, 50_000, 1][random.below(3) as usize];
        let ended = load(&config, seed, 6_000, pause);
        assert!(ended > 3_000, "{ended}");
    }
}
