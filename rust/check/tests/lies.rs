// SPDX-License-Identifier: GPL-2.0-or-later
//! Real drives whose answers and tellings are falsified a little: each lie is found out in most runs
//! of random commands, as the law that it breaks.

use check::checker::Tamper;
use check::observed::{Event, What};
use check::run::Case;
use check::Law;
use ftl::Outcome;
use units::{Instant, Nanos};

const RUNS: u64 = 30;

/// How many runs end with each law.
fn found(tamper: Tamper, laws: &[Law]) -> usize {
    let found = |seed: &u64| {
        let ran = Case::draw(2_000_000 + seed, 400).run_tampered(Some(tamper));
        ran.result
            .is_err_and(|violation| laws.contains(&violation.law))
    };
    (0..RUNS).filter(found).count()
}

fn earlier(at: Instant, by: u64) -> Instant {
    Instant::from_nanos(at.as_nanos().saturating_sub(by))
}

#[test]
fn a_drive_that_programs_later_than_it_says() {
    let tamper: Tamper = |_, events, _| {
        for event in events {
            match event {
                Event::Copied {
                    durable: Some(at), ..
                }
                | Event::Durable { at, .. } => {
                    *at += Nanos::new(1);
                }
                _ => {}
            }
        }
    };
    let n = found(tamper, &[Law::EarlyAcknowledgement, Law::LostPage]);
    assert!(n >= 15, "{n} of {RUNS}");
}

#[test]
fn a_drive_that_answers_before_it_should() {
    let tamper: Tamper = |outcome, _, _| {
        // Long answers are those that wait for programs.
        if outcome.result.is_ok() {
            *outcome = Outcome {
                done: earlier(outcome.done, 1),
                ..*outcome
            };
        }
    };
    let n = found(tamper, &[Law::EarlyAcknowledgement, Law::Answer]);
    assert!(n >= 15, "{n} of {RUNS}");
}

#[test]
fn a_drive_that_erases_too_early() {
    let tamper: Tamper = |_, _, occupied| {
        for segment in occupied.iter_mut().filter(|o| o.what == What::Erase) {
            let early = segment.end.since(segment.start).get() + 10_000_000;
            segment.start = earlier(segment.start, early);
            segment.end = earlier(segment.end, early);
        }
    };
    let n = found(tamper, &[Law::LostPage, Law::PlaneOverlap]);
    assert!(n >= 10, "{n} of {RUNS}");
}

#[test]
fn a_drive_that_does_not_erase() {
    let tamper: Tamper = |_, _, occupied| occupied.retain(|o| o.what != What::Erase);
    let n = found(tamper, &[Law::ProgrammedTwice]);
    assert!(n >= 10, "{n} of {RUNS}");
}

#[test]
fn a_drive_that_forgets_a_copy_now_and_then() {
    let tamper: Tamper = |_, events, _| {
        events.retain(|event| match event {
            Event::Copied { lpn, to, .. } => (lpn + to.page) % 13 != 0,
            _ => true,
        });
    };
    let laws = [
        Law::LostPage,
        Law::EarlyAcknowledgement,
        Law::CopyOfNothing,
        Law::Counters,
    ];
    let n = found(tamper, &laws);
    assert!(n >= 20, "{n} of {RUNS}");
}

#[test]
fn a_drive_whose_planes_are_in_two_places() {
    let tamper: Tamper = |_, _, occupied| {
        for segment in occupied.iter_mut().filter(|o| o.what == What::Program) {
            segment.start = earlier(segment.start, 1);
        }
    };
    let n = found(tamper, &[Law::PlaneOverlap]);
    assert!(n >= 20, "{n} of {RUNS}");
}
