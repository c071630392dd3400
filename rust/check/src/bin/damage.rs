// SPDX-License-Identifier: GPL-2.0-or-later
//! `damage [--runs N] [--seed N]`: saved states, images and histories with damage ([`check::damage`]). Exit status 1 if one did
//! what it must not, with the command that repeats it.

use check::damage::{Soak, Tried, KINDS};
use check::run::catch_panics;
use peak_alloc::PeakAlloc;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Reports that are printed.
const MOST_REPORTS: u64 = 20;
/// A try takes a millisecond; one that takes this long has no end.
const LONGEST: Duration = Duration::from_secs(60);
/// Tries until something is said.
const PIECE: u64 = 50_000;

fn options() -> Result<(u64, u64), String> {
    let (mut runs, mut seed) = (100_000, 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().and_then(|text| text.parse::<u64>().ok());
        let value = value.ok_or_else(|| format!("{word} needs a number"))?;
        match word.as_str() {
            "--runs" => runs = value,
            "--seed" => seed = value,
            _ => return Err(format!("no option {word}: --runs, --seed")),
        }
    }
    Ok((runs, seed))
}

/// What the tries came to: of each kind, refused and opened, with damage in front of and behind the digests.
#[derive(Default)]
struct Totals([[[u64; 2]; 2]; KINDS.len()]);

impl Totals {
    fn note(&mut self, tried: Tried) {
        let of = &mut self.0[tried.kind][usize::from(tried.is_sealed)];
        of[usize::from(tried.is_opened)] += 1;
    }

    fn show(&self) {
        for (kind, [plain, sealed]) in KINDS.iter().zip(&self.0) {
            println!(
                "{kind}: {} damaged: {} refused, {} opened; {} behind their digests: {} refused, {} opened",
                plain[0] + plain[1],
                plain[0],
                plain[1],
                sealed[0] + sealed[1],
                sealed[0],
                sealed[1]
            );
        }
    }
}

/// Ends the program with the seed's number if a try does not come to its end.
fn watch(seed: &'static AtomicU64) {
    thread::spawn(move || loop {
        let before = seed.load(Ordering::Relaxed);
        thread::sleep(LONGEST);
        if seed.load(Ordering::Relaxed) == before {
            println!("seed {before}: it has no end");
            std::process::exit(1);
        }
    });
}

fn main() -> ExitCode {
    static SEED: AtomicU64 = AtomicU64::new(u64::MAX);
    let (runs, first) = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("damage: {why}");
            return ExitCode::from(2);
        }
    };
    let mut soak = match Soak::new() {
        Ok(soak) => soak,
        Err(why) => {
            eprintln!("damage: {why}");
            return ExitCode::from(2);
        }
    };
    catch_panics();
    watch(&SEED);
    let (mut totals, mut wrong) = (Totals::default(), 0);
    let (mut longest, started) = ((Duration::ZERO, first), Instant::now());
    for n in 0..runs {
        let seed = first.wrapping_add(n);
        SEED.store(seed, Ordering::Relaxed);
        let begun = Instant::now();
        match soak.attempt(seed) {
            Ok(tried) => totals.note(tried),
            Err(why) => {
                wrong += 1;
                if wrong <= MOST_REPORTS {
                    println!("seed {seed}: {why}");
                    println!("again: cargo conzone test soak-damage -- --seed {seed} --runs 1");
                }
            }
        }
        longest = longest.max((begun.elapsed(), seed));
        if (n + 1) % PIECE == 0 {
            println!("{} tries, {:.0} s", n + 1, started.elapsed().as_secs_f64());
        }
    }
    totals.show();
    let (time, seed) = longest;
    println!(
        "the longest took {:.1} ms: seed {seed}",
        time.as_secs_f64() * 1e3
    );
    println!(
        "test result: {}. {} passed; {wrong} failed; finished in {:.0} s",
        if wrong == 0 { "ok" } else { "FAILED" },
        runs - wrong,
        started.elapsed().as_secs_f64()
    );
    ExitCode::from(u8::from(wrong > 0))
}
