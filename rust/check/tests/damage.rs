// SPDX-License-Identifier: GPL-2.0-or-later
//! A taste of damage; `cargo conzone test soak-damage` does a million tries.

#![allow(clippy::panic, reason = "a test ends where it fails")]

use check::damage::Soak;
use check::run::catch_panics;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// One test: memory is counted for all of the process.
#[test]
fn what_was_damaged_is_refused_or_makes_a_drive_that_works() {
    let mut soak = Soak::new().unwrap_or_else(|why| panic!("{why}"));
    catch_panics();
    let (mut seen, mut wrong) = ([[[0; 2]; 2]; 3], Vec::new());
    for seed in 2_000_000_000..2_000_003_000 {
        match soak.attempt(seed) {
            Ok(t) => seen[t.kind][usize::from(t.is_sealed)][usize::from(t.is_opened)] += 1,
            Err(why) => wrong.push(format!("--seed {seed}: {why}")),
        }
    }
    drop(std::panic::take_hook());
    assert!(
        wrong.is_empty(),
        "cargo conzone test soak-damage -- --runs 1 {wrong:#?}"
    );
    // Of each kind, in front of the digests and behind them, some are refused and some are opened.
    let all = seen.as_flattened().as_flattened();
    assert!(all.iter().all(|n| *n >= 5), "{seen:?}");
}
