// SPDX-License-Identifier: GPL-2.0-or-later
//! A taste of the laws over random drives; `cargo conzone test laws` runs many more, optimized.

#![allow(clippy::panic, reason = "a test ends where it fails")]

use check::checker::Summary;
use check::run::Case;
use check::shrink::report;

/// Runs a case; every law is kept.
fn keeps_all(case: &Case) -> Summary {
    let ran = case.run();
    match ran.result {
        Ok(summary) => summary,
        Err(violation) => panic!("{}", report(case, &violation, ran.trace.len(), false)),
    }
}

#[test]
fn random_drives_keep_the_laws() {
    for seed in 1_000_000..1_000_040 {
        keeps_all(&Case::draw(seed, 500).with_mechanisms());
    }
}

/// Small drives of `soak-laws` that once broke a law: most were in a dead end of reclaim and refused writes that fit.
#[test]
fn drives_that_once_broke_a_law_keep_them_all() {
    const SEEDS: [u64; 28] = [
        1718, 2402, 3133, 3195, 3389, 3445, 3946, 4514, 4694, 5368, 5479, 6426, 6713, 7705, 9378,
        11091, 11779, 18471, 20646, 22229, 27166, 48130, 49648, 50193, 58290, 65412, 69980, 74961,
    ];
    for seed in SEEDS {
        keeps_all(&Case::draw(seed, 3000));
    }
}

#[test]
fn random_drives_keep_the_laws_when_power_goes() {
    let mut cuts = 0;
    for seed in 2_000_000..2_000_060 {
        cuts += keeps_all(&Case::draw(seed, 300).with_mechanisms().with_cuts(6)).cuts;
    }
    assert!(cuts > 100, "{cuts} power cuts");
}

/// Erases of the first two had been suspended, and power went between the end that was said first and the later one. A third had
/// no room after a cut for what it had committed from a random write area. The last was ready when it had read for one zone, which
/// had suspended what it programmed for another. Of 6010917 a zone's copies were moved, to make room for another zone's random write
/// area, before they had been read; of 6001079 the checker took what was loaded for what had been booked and never came; of 7028126
/// programs of two superblocks had become one.
#[test]
fn drives_that_once_broke_a_law_when_power_went_keep_them_all() {
    for seed in [100_225, 100_301, 1734, 6356] {
        keeps_all(&Case::draw(seed, 800).with_cuts(8));
    }
    for seed in [6_001_079, 6_010_917, 7_028_126] {
        keeps_all(&Case::draw(seed, 800).with_mechanisms().with_cuts(8));
    }
}

#[test]
fn a_case_is_the_same_whenever_it_is_drawn() {
    let once = |seed| {
        let ran = Case::draw(seed, 300).run();
        (format!("{:?}", ran.trace), format!("{:?}", ran.result))
    };
    for seed in 0..10 {
        assert_eq!(once(seed), once(seed));
    }
}

#[test]
fn most_configurations_drawn_make_a_drive() {
    let drawn: u64 = (0..500).map(|seed| Case::draw(seed, 0).drawn).sum();
    assert!(drawn < 1000, "{drawn} drawn for 500 drives");
}

#[test]
fn every_preset_with_flash_is_drawn() {
    let mut seen: Vec<_> = (0..300)
        .map(|seed| Case::draw(seed, 0).settings.preset)
        .collect();
    seen.sort_unstable();
    seen.dedup();
    let with_flash = ssd::PRESETS.iter().filter(|p| p.name != "nvm-optane");
    assert_eq!(seen.len(), with_flash.count(), "{seen:?}");
}
