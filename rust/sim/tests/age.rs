// SPDX-License-Identifier: GPL-2.0-or-later
//! What a drive is after it was aged.

#![expect(clippy::unwrap_used, reason = "a test program")]

use sim::{Age, Simulation};
use ssd::{Config, PRESETS};
use trace::{Command, Line, Op};
use units::{Instant, ZoneId};

/// A drive of a preset, small enough to be aged at once.
fn config(preset: &str) -> Config {
    let mut config = Config::preset(preset).unwrap();
    let small = match (preset, config.get("data-interface").unwrap().as_str()) {
        ("conv-970pro" | "nvm-optane", _) | (_, "block") => ("block-data-size", "1G"),
        _ => ("zones", "12"),
    };
    config.set(small.0, small.1).unwrap();
    config
}

fn aged(preset: &str, age: &str) -> Simulation {
    let age: Age = age.parse().unwrap();
    Simulation::aged(&config(preset), Some(&age)).unwrap()
}

fn digest(simulation: &Simulation) -> u64 {
    state::digest_of(&state::encode(simulation.model()))
}

fn figure(simulation: &Simulation, name: &str) -> f64 {
    let stats: serde_json::Value = serde_json::from_str(&simulation.stats_json()).unwrap();
    stats[name].as_f64().unwrap_or(0.0)
}

/// Writes the first `bytes` in pieces of 48 KiB, resetting zones, and gives MB/s and write amplification.
fn written(mut simulation: Simulation, zones: &[u64], zone_bytes: u64, random: bool) -> (f64, f64) {
    let begin = simulation.begin();
    simulation.step(&Line::Depth(1));
    let mut bytes = 0;
    let mut rng = fastrand::Rng::with_seed(5);
    let mut step = |op, slba, nlb| {
        let command = Command {
            arrival: Instant::ZERO,
            data: true,
            op,
            slba,
            nlb,
            fua: false,
        };
        let answer = simulation.step(&Line::Command(command)).unwrap();
        assert_eq!(answer.status, 0, "{command:?}");
        bytes += u64::from(nlb) * 512;
    };
    if random {
        for _ in 0..60_000 {
            step(Op::Write, rng.u64(0..(900 << 20) / 4096) * 8, 8);
        }
    } else {
        for zone in zones {
            step(Op::Reset, zone * zone_bytes / 512, 0);
        }
        for at in 0..500 {
            for zone in zones {
                step(Op::Write, zone * zone_bytes / 512 + at * 96, 96);
            }
        }
    }
    let seconds = simulation.now().since(begin).get() as f64 / 1e9;
    (bytes as f64 / 1e6 / seconds, figure(&simulation, "waf"))
}

#[test]
fn every_preset_is_aged_to_what_was_asked_for_and_counts_from_there() {
    for preset in PRESETS {
        let drive = aged(preset.name, "fill=50,overwrite=1,seed=3");
        drive.model().check_invariants().unwrap();
        let full = (0..).map_while(|id| drive.model().zone(ZoneId::new(id)));
        let full = full.filter(|zone| !zone.state.has_write_pointer()).count();
        assert!(
            full == 6 || drive.model().zones() == 0,
            "{}: {full}",
            preset.name
        );
        for name in ["host_writes", "pages_native", "pages_slc", "zone_resets"] {
            assert!(figure(&drive, name) == 0.0, "{}: {name}", preset.name);
        }
        let worn = figure(&drive, "erases_native") + figure(&drive, "erases_slc");
        let erases = matches!(drive.model(), ssd::Model::Zms(_)) && drive.model().zones() > 0;
        assert!(worn > 0.0 || !erases, "{}: wear stays", preset.name);
        assert_eq!(drive.model().next_event(), None, "{}", preset.name);
    }
}

#[test]
fn the_seed_decides() {
    for preset in ["tlc-zoned", "tlc-block", "zns-large"] {
        let of = |seed: u8| digest(&aged(preset, &format!("fill=80,overwrite=1,seed={seed}")));
        assert_eq!(of(1), of(1), "{preset}");
        assert_ne!(of(1), of(2), "{preset}");
    }
}

#[test]
fn an_aged_drive_is_slower_and_writes_more() {
    let fresh = |preset| Simulation::new(&config(preset)).unwrap();
    for (preset, random) in [
        ("tlc-block", true),
        ("qlc-block", true),
        ("tlc-zoned", false),
        ("qlc-zoned-page-slc", false),
    ] {
        let span = 128 << 20;
        let new = written(fresh(preset), &[0, 1, 2], span, random);
        let old = written(
            aged(preset, "fill=90,overwrite=2"),
            &[0, 1, 2],
            span,
            random,
        );
        assert!(old.0 < 0.97 * new.0, "{preset}: MB/s {new:?} {old:?}");
        // Zones: what is in the way is moved in the background of these writes, which are as many.
        let more = if random { 1.2 } else { 1.0 };
        assert!(
            old.1 >= more * new.1,
            "{preset}: write amplification {new:?} {old:?}"
        );
    }
}
