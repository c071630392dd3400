// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive that is written down and read back goes on as if nothing had happened.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use check::draw::{commands, Habits, Raw, Resolver};
use check::random::Random;
use check::run::Case;
use check::Drive;
use ssd::Plan;

/// Runs commands on a drive, which is replaced by its decoded self at some instants, and on one that is not.
fn interrupted(plan: &Plan, habits: &Habits, raws: &[Raw], every: usize) {
    let mut whole = Drive::new(plan).unwrap();
    let mut other = Drive::new(plan).unwrap();
    let mut resolver = Resolver::new(&whole, habits);
    for (index, raw) in raws.iter().enumerate() {
        if index % every == every - 1 {
            other = other.restored(plan).unwrap();
            assert_eq!(other.digest(), whole.digest(), "decoded before {index}");
        }
        let (namespace, command, arrival) = resolver.resolve(&whole, raw);
        let outcome = whole.submit(namespace, &command, arrival);
        let same = other.submit(namespace, &command, arrival);
        assert_eq!(same, outcome, "command {index}: {command:?}");
        assert_eq!(other.next_event(), whole.next_event(), "after {index}");
        resolver.completed(outcome.done);
    }
    assert_eq!(other.digest(), whole.digest());
    other.check_invariants();
    // What a power cut leaves is state, too.
    let now = resolver.cut(units::Nanos::ZERO);
    other = other.restored(plan).unwrap();
    assert_eq!(other.power_cut(now), whole.power_cut(now));
    assert_eq!(other.digest(), whole.digest());
}

#[test]
fn any_drive_goes_on_from_its_state() {
    for seed in 0..160 {
        let case = Case::draw(seed, 600);
        let every = [7, 41, 150, 599][seed as usize % 4];
        interrupted(case.plan(), case.habits(), &case.raws, every);
    }
}

#[test]
fn every_preset_goes_on_from_its_state() {
    for (at, preset) in ssd::PRESETS.iter().enumerate() {
        let config = ssd::Config::preset(preset.name).unwrap();
        let mut random = Random::new(at as u64);
        let habits = Habits::draw(&mut random);
        let raws = commands(&mut random, &habits, 5_000);
        interrupted(&config.plan().unwrap(), &habits, &raws, 2_400);
    }
}

/// A drive after some commands, and what it is asked then.
fn used(seed: u64) -> (Case, Drive, Resolver) {
    let case = Case::draw(seed, 500);
    let mut drive = Drive::new(case.plan()).unwrap();
    let mut resolver = Resolver::new(&drive, case.habits());
    for raw in case.raws.iter().take(400) {
        let (namespace, command, arrival) = resolver.resolve(&drive, raw);
        let outcome = drive.submit(namespace, &command, arrival);
        resolver.completed(outcome.done);
    }
    (case, drive, resolver)
}

#[test]
fn a_damaged_state_is_refused_or_makes_a_sound_drive() {
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..40 {
        let (case, drive, _) = used(seed);
        let bytes = state::encode(drive.model());
        let mut random = Random::new(seed);
        for _ in 0..60 {
            let mut bytes = bytes.clone();
            for _ in 0..random.between(1, 3) {
                let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
                bytes[at] = match random.below(4) {
                    0 => bytes[at] ^ 1 << random.below(8),
                    1 => bytes[at].wrapping_add(1),
                    2 => 0,
                    _ => random.any() as u8,
                };
            }
            match Drive::new(case.plan()).unwrap().decoded(&bytes) {
                Ok(drive) => {
                    drive.check_invariants();
                    taken += 1;
                }
                Err(error) => {
                    assert!(!error.contains('\n') && error.len() < 400, "{error}");
                    refused += 1;
                }
            }
        }
    }
    // Most of a state is instants and counters, any of which may be.
    assert!(
        refused > 200 && taken > 200,
        "{refused} refused, {taken} taken"
    );
}
