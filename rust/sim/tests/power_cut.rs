// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts in traces, on every preset.

#![allow(clippy::unwrap_used, reason = "a test")]

use sim::Simulation;
use ssd::Config;
use trace::{Answer, Reader};
use units::{Nanos, Sector};

fn run(preset: &str, text: &str) -> (Simulation, Vec<Answer>) {
    let config = Config::preset(preset).unwrap();
    let mut simulation = Simulation::new(&config).unwrap();
    let mut reader = Reader::new(text.as_bytes(), "trace");
    let mut answers = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        answers.extend(simulation.step(&line));
    }
    (simulation, answers)
}

#[test]
fn what_was_answered_and_not_durable_is_lost_where_nothing_keeps_it() {
    // 128 KiB durable, as much again that is not.
    let text = "0 1 W 0 256 1\nI 1000000\n0 1 W 256 256 0\npower-cut 0\nI 5\n0 1 R 0 512 0\n";
    for preset in ssd::PRESETS {
        let (simulation, answers) = run(preset.name, text);
        let keeps = preset.name.starts_with("zns") || preset.name == "nvm-optane";
        let power = simulation.power_cuts();
        let lost = if keeps { 0 } else { 32 };
        assert_eq!(
            (power.cuts, power.lost, power.gone),
            (1, lost, lost),
            "{}",
            preset.name
        );
        assert!(
            answers.iter().all(|answer| answer.status == 0),
            "{}",
            preset.name
        );
        let unmapped = |at| {
            let model = simulation.model();
            model.has_unmapped(ftl::Namespace::Data, Sector::new(at), 256)
        };
        assert_eq!(
            (unmapped(0), unmapped(256)),
            (false, !keeps),
            "{}",
            preset.name
        );
        // The cut is when the write before it arrives; nothing arrives before the drive is ready.
        let cut = answers[1].command.arrival;
        assert!(answers[2].command.arrival >= cut + power.recovery + Nanos::new(5));
    }
}

#[test]
fn a_trace_without_cuts_is_as_before() {
    let (simulation, _) = run("tlc-zoned", "0 1 W 0 256 1\n");
    assert_eq!(simulation.power_cuts(), sim::PowerCuts::default());
}

/// The example of docs/traces.md.
#[test]
fn an_answered_write_is_lost_if_power_goes_before_it_is_programmed() {
    let text = "0 1 W 0 768 1\n2000000 1 W 768 192 0\npower-cut 2100000\n2200000 1 R 0 960 0\n";
    for preset in ["tlc-zoned", "ufs4-tlc"] {
        let (simulation, answers) = run(preset, text);
        assert!(answers[0].completion.as_nanos() < 2_000_000);
        assert!(answers[1].completion.as_nanos() < 2_100_000);
        assert_eq!(simulation.power_cuts().gone, 24);
        assert_eq!(simulation.model().stats().data.unmapped_reads, 24);
    }
}
