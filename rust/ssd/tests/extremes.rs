// SPDX-License-Identifier: GPL-2.0-or-later
//! Properties at the edge of what they take, several at once: a plan that is accepted makes a model, with
//! memory for what it holds.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use ftl::Random;
use ssd::{Config, Key, Kind, Model, Property, PRESETS, PROPERTIES};

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib >> 10
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.draw() as usize % from.len()]
}

/// Some value, often a power of two or beside one; the property may not take it.
fn value(property: &Property, random: &mut Random) -> String {
    let magnitude = 1 << (random.draw() % 47);
    let number: u64 = match random.draw() % 4 {
        0 => magnitude,
        1 => magnitude - 1,
        2 => magnitude * 3,
        _ => magnitude + random.draw() % magnitude,
    };
    match property.kind {
        Kind::Choice(words) => pick(random, words).to_string(),
        Kind::Bool => pick(random, &["on", "off"]).to_string(),
        _ => number.to_string(),
    }
}

/// One test in this file: memory is the process's.
#[test]
fn what_is_accepted_makes_a_model() {
    const CASES: u32 = 1500;
    let mut random = Random::new(3);
    let mut accepted = 0;
    for _ in 0..CASES {
        let preset = pick(&mut random, &PRESETS.map(|preset| preset.name));
        let mut config = Config::preset(preset).unwrap();
        let mut set = Vec::new();
        for _ in 0..1 + random.draw() % 4 {
            let property = &PROPERTIES[random.draw() as usize % PROPERTIES.len()];
            let text = value(property, &mut random);
            let fixed = [Key::Preset, Key::Model].contains(&property.key);
            if !fixed && config.set(property.name(), &text).is_ok() {
                set.push((property.name(), text));
            }
        }
        let Ok(plan) = config.plan() else {
            continue;
        };
        accepted += 1;
        let before = resident_mib();
        let model = Model::new(&plan);
        let grown = resident_mib().saturating_sub(before);
        assert!(model.is_ok(), "{preset} {set:?}: {:?}", model.err());
        // Of a million zones each takes less than 512 B.
        assert!(grown < 512, "{preset} {set:?} takes {grown} MiB");
    }
    assert!((CASES / 4..CASES * 3 / 4).contains(&accepted), "{accepted}");
}
