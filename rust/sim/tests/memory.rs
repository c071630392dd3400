// SPDX-License-Identifier: GPL-2.0-or-later
//! What the model takes from the host: nothing per command, little per GiB.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::alloc::System;

use sim::Simulation;
use stats_alloc::{Region, StatsAlloc, INSTRUMENTED_SYSTEM};
use trace::{Command, Line, Op};
use units::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn drive(preset: &str, settings: &[(&str, &str)]) -> Simulation {
    let mut config = ssd::Config::preset(preset).unwrap();
    for (name, value) in settings {
        config.set(name, value).unwrap();
    }
    Simulation::new(&config).unwrap()
}

fn run(simulation: &mut Simulation, data: bool, op: Op, slba: u64, nlb: u32) {
    let line = Line::Command(Command {
        arrival: Instant::ZERO,
        data,
        op,
        slba,
        nlb,
        fua: op == Op::Write && slba % 4096 == 0,
    });
    let answer = simulation.step(&line).unwrap();
    assert_eq!(answer.status, 0, "{answer:?}");
}

/// A zone's worth of everything: writes of many sizes to several zones in turn, reads, flushes,
/// meta overwrites with garbage collection, resets.
fn mixed(simulation: &mut Simulation, zoned: bool, zone: u64, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut at = [0_u64; 5];
    for i in 0..20_000_u64 {
        let z = rng.usize(..at.len());
        let nlb = 8 * rng.u32(1..=32);
        let base = z as u64 * zone;
        match rng.u32(..10) {
            0..4 => {
                run(simulation, true, Op::Write, base + at[z], nlb);
                at[z] += u64::from(nlb);
            }
            4..7 => run(
                simulation,
                true,
                Op::Read,
                base + rng.u64(..=at[z]) / 8 * 8,
                nlb,
            ),
            7 => run(simulation, false, Op::Write, 8 * rng.u64(..1024), 8),
            8 => run(simulation, false, Op::Read, 8 * rng.u64(..1024), 8),
            _ if i % 100 == 0 => run(simulation, true, Op::Flush, 0, 0),
            _ => {}
        }
        if at[z] + 8192 > zone / 2 {
            if zoned {
                run(simulation, true, Op::Reset, base, 0);
            }
            at[z] = 0;
        }
    }
    for z in 0..at.len() as u64 {
        if zoned {
            run(simulation, true, Op::Reset, z * zone, 0);
        }
    }
}

/// Both facts in one test: another test's allocations at the same time would be counted, too.
#[test]
fn no_allocation_per_command_and_little_metadata() {
    for (preset, block) in [
        ("ufs4-tlc", "3M"),
        ("tlc-zoned", "6M"),
        ("qlc-zoned-page-slc", "8M"),
        ("qlc-zoned-zone-slc", "8M"),
        ("tlc-block", "6M"),
        ("qlc-block", "8M"),
    ] {
        let zoned = !preset.ends_with("block");
        let settings = [
            ("block-size", block),
            ("zones", "12"),
            ("slc-superblocks", "12"),
            ("meta-size", "8M"),
            ("block-data-size", "512M"),
        ];
        let mut simulation = drive(preset, &settings);
        simulation.step(&Line::Depth(8));
        let zone = if preset == "ufs4-tlc" {
            64 << 11
        } else {
            32 << 11
        };
        mixed(&mut simulation, zoned, zone, 1);
        mixed(&mut simulation, zoned, zone, 2);
        let region = Region::new(ALLOCATOR);
        mixed(&mut simulation, zoned, zone, 3);
        let change = region.change();
        // A book of reservations may still grow beyond what the first passes needed.
        let allocations = change.allocations + change.reallocations;
        assert!(allocations <= 4, "{preset}: {change:?}");
    }
    let page_mapped = growth("tlc-block", "block-data-size", ["8G", "4G"], 4);
    assert!(page_mapped <= 3 << 20, "{page_mapped} bytes per GiB");
    // 64 and 32 zones of 96 MiB: 3 GiB apart.
    let zoned = growth("tlc-zoned", "zones", ["64", "32"], 3);
    assert!(zoned <= 16 << 10, "{zoned} bytes per GiB");
    println!("page-mapped {page_mapped} bytes per GiB, zoned native {zoned}");
}

/// Bytes that a drive holds more, per GiB, with the larger of two settings.
fn growth(preset: &str, property: &str, values: [&str; 2], gib: usize) -> usize {
    let [large, small] = values.map(|value| {
        let region = Region::new(ALLOCATOR);
        let simulation = drive(preset, &[(property, value)]);
        let change = region.change();
        drop(simulation);
        change.bytes_allocated - change.bytes_deallocated
    });
    large.saturating_sub(small) / gib
}
