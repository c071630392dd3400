// SPDX-License-Identifier: GPL-2.0-or-later
//! What a drive records is what it was asked: replayed on a new drive, every command has the same answer at the same
//! instant, and the counters end the same.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fmt::Write as _;

use ftl::{Command, ZoneAction, ZoneTarget};
use nvme::{Drive as _, NsIndex};
use sim::Simulation;
use trace::{Line, Op, Reader};
use units::{Instant, Sector};

/// Commands of every kind, most of them possible on a drive whose zones are 128 MiB apart.
fn command(random: &mut fastrand::Rng, pointers: &mut [u64; 4]) -> Command {
    const ZONE: u64 = 128 << 11;
    let zone = random.usize(..4);
    let start = Sector::new(zone as u64 * ZONE);
    let here = Sector::new(start.get() + pointers[zone]);
    let sectors = 8 * random.u64(1..40);
    let (fua, internal) = (random.u32(..8) == 0, random.u32(..8) == 0);
    let any = Sector::new(start.get() + 8 * random.u64(..4000));
    match random.u32(..40) {
        0..20 => {
            pointers[zone] += sectors;
            Command::Write {
                at: here,
                sectors,
                fua,
                internal,
            }
        }
        20..28 => Command::Read {
            at: any,
            sectors,
            internal,
        },
        28 => Command::Append {
            zone: start,
            sectors,
            fua,
        },
        29 => Command::WriteZeroes {
            at: any,
            sectors,
            fua,
        },
        30 => Command::Deallocate { at: any, sectors },
        31 => Command::CommitZrwa { end: here },
        32..34 => Command::Flush,
        _ => {
            let action = ZoneAction::ALL[random.usize(..ZoneAction::ALL.len())];
            let all = random.u32(..12) == 0 && action != ZoneAction::SetExtension;
            if action == ZoneAction::Reset {
                pointers[zone] = 0;
            }
            Command::Zone {
                action,
                target: if all {
                    ZoneTarget::All
                } else {
                    ZoneTarget::One(start)
                },
            }
        }
    }
}

fn same_again(preset: &str, set: &[&str]) -> Vec<Op> {
    let mut config = ssd::Config::preset(preset).unwrap();
    set.iter().for_each(|pair| config.set_pair(pair).unwrap());
    let plan = config.plan().unwrap();
    let mut drive = ssd::Drive::new(&plan).unwrap();
    drive.record();
    let namespaces = drive.namespaces().len() as u8;
    let mut random = fastrand::Rng::with_seed(7);
    let (mut pointers, mut now) = ([0; 4], Instant::ZERO);
    let (mut text, mut answers) = (String::new(), Vec::new());
    for _ in 0..4000 {
        now += units::Nanos::new(random.u64(..100_000));
        let ns = NsIndex(random.u8(..8).min(namespaces - 1));
        let asked = command(&mut random, &mut pointers);
        answers.push(drive.submit(ns, &asked, now));
        let (recorded, lost) = drive.recorded().unwrap();
        recorded.for_each(|line| writeln!(text, "{line}").unwrap());
        assert_eq!(lost, 0);
    }
    drive.shutdown(now);
    let (recorded, _) = drive.recorded().unwrap();
    recorded.for_each(|line| writeln!(text, "{line}").unwrap());

    let mut again = Simulation::new(&config).unwrap();
    let mut reader = Reader::new(text.as_bytes(), "recorded");
    let (mut ops, mut at) = (Vec::new(), 0);
    while let Some(line) = reader.next_line().unwrap() {
        let answer = again.step(&line).unwrap();
        if let Some(outcome) = answers.get(at) {
            let status = outcome.result.map_or_else(ssd::status_code, |_| 0);
            let known = (outcome.done, status);
            assert_eq!((answer.completion, answer.status), known, "{line:?}");
        }
        if let Line::Command(command) = line {
            ops.push(command.op);
        }
        at += 1;
    }
    assert_eq!(
        at,
        answers.len() + usize::from(namespaces),
        "with the last flushes"
    );
    assert_eq!(
        ssd::stats_json(again.model()),
        ssd::stats_json(drive.model())
    );
    ops
}

#[test]
fn what_was_recorded_has_the_same_answers_again() {
    let mut ops = same_again("tlc-zoned", &["zrwa-size=768K"]);
    ops.extend(same_again("tlc-block", &[]));
    ops.extend(same_again("zns-large", &[]));
    ops.extend(same_again("qlc-zoned-page-slc", &["timing=off"]));
    for op in Op::ALL {
        assert!(ops.contains(&op), "{op:?} never recorded");
    }
}

#[test]
fn what_nobody_takes_is_counted() {
    let plan = ssd::Config::preset("tlc-zoned").unwrap().plan().unwrap();
    let mut drive = ssd::Drive::new(&plan).unwrap();
    assert!(drive.recorded().is_none());
    drive.record();
    for _ in 0..5000 {
        let _ = drive.submit(NsIndex(0), &Command::Flush, Instant::ZERO);
    }
    let (commands, lost) = drive.recorded().unwrap();
    assert_eq!(commands.count() as u64 + lost, 5000);
    assert!(lost > 0);
    let (commands, lost) = drive.recorded().unwrap();
    assert_eq!((commands.count(), lost), (0, 0));
}
