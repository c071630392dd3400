// SPDX-License-Identifier: GPL-2.0-or-later
//! Block traces on zones: every command succeeds on every zoned preset, no more zones are open than may be, and what is
//! read is where it was written.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::{HashMap, VecDeque};
use std::io::Cursor;

use sim::{Cleaning, Input, Log, LogError, LogFigures, LogOptions, Simulation, Space, Streams};
use trace::block::{open_any, Kind, Options, Request};
use trace::{Command, Op};
use units::{Instant, ZoneId};

const STREAMS: [Streams; 3] = [Streams::Process, Streams::Size, Streams::Age];
const CLEANING: [Cleaning; 2] = [Cleaning::Greedy, Cleaning::CostBenefit];

fn drive(preset: &str, settings: &[&str]) -> (Simulation, Space) {
    let mut config = ssd::Config::preset(preset).unwrap();
    for pair in settings {
        config.set_pair(pair).unwrap();
    }
    let simulation = Simulation::new(&config).unwrap();
    let space = Space::of(&simulation, &config).unwrap();
    (simulation, space)
}

/// Overwrites within `pages`, some hot; reads, discards, flushes.
fn requests(seed: u64, count: u64, pages: u64) -> Vec<Request> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut request = |n: u64| {
        let hot = random.bool();
        let kind = match random.u32(..20) {
            0..13 => Kind::Write,
            13..18 => Kind::Read,
            18 => Kind::Trim,
            _ => Kind::Flush,
        };
        let length = 4096 * [1, 1, 4, 32, 128][random.usize(..5)];
        Request {
            at: Instant::from_nanos(n * 50_000),
            kind,
            fua: random.u32(..50) == 0,
            offset: 4096 * random.u64(..if hot { pages / 8 } else { pages }),
            length: if kind == Kind::Flush { 0 } else { length },
            process: random.u64(1..10),
            device: 0,
            latency: None,
        }
    };
    (0..count).map(&mut request).collect()
}

/// A model of the drive's contents beside the drive: what each page of a zone was written with.
#[derive(Default)]
struct Contents {
    of_sector: HashMap<u64, u64>,
    stamp: HashMap<u64, u64>,
    next: u64,
}

fn open_zones(simulation: &Simulation, space: &Space) -> u64 {
    let zone = |id| simulation.model().zone(ZoneId::new(id)).unwrap();
    let partly = |id: &u64| {
        let zone = zone(u32::try_from(*id).unwrap());
        let written = zone.write_pointer.get() - zone.start.get();
        written > 0 && written < zone.capacity
    };
    (0..space.zones).filter(partly).count() as u64
}

#[test]
fn no_command_fails_on_any_zoned_preset() {
    for preset in ssd::PRESETS {
        let (simulation, space) = drive(preset.name, &[]);
        if !space.zoned {
            continue;
        }
        for (index, streams) in STREAMS.into_iter().enumerate() {
            for cleaning in CLEANING {
                let logs = [1, 2, space.max_open.min(space.zones - 2)][index];
                run(
                    preset.name,
                    &simulation,
                    space,
                    LogOptions {
                        logs,
                        streams,
                        cleaning,
                    },
                );
            }
        }
    }
}

/// Small zones would be better, but each preset has its own: so some of the address space only is rewritten.
fn run(preset: &str, drive: &Simulation, space: Space, options: LogOptions) {
    let mut simulation = drive.clone();
    let mut log = Log::new(space, options).unwrap();
    let mut commands = VecDeque::new();
    for request in requests(7, 2000, 40_000) {
        log.request(&request, &mut commands).unwrap();
        for command in commands.drain(..) {
            assert!(u64::from(command.nlb) * 512 <= space.longest || command.op == Op::Reset);
            let answer = simulation.step(&trace::Line::Command(command)).unwrap();
            assert_eq!(answer.status, 0, "{preset} {options:?}: {command:?}");
        }
    }
    let open = open_zones(&simulation, &space);
    let figures = log.figures();
    assert!(open <= options.logs, "{preset}: {open} open, {options:?}");
    assert!(figures.open <= options.logs && figures.open >= open.min(1));
    assert!(figures.written > 0 && figures.read > 0 && figures.trimmed > 0);
}

/// On few zones everything has to be cleaned, again and again, and nothing is lost.
#[test]
fn what_was_written_is_found_again_through_cleaning() {
    for streams in STREAMS {
        for cleaning in CLEANING {
            for logs in [1, 3] {
                let space = Space {
                    zoned: true,
                    span: 2 << 20,
                    capacity: 1 << 20,
                    zones: 12,
                    size: 12 << 20,
                    max_open: 6,
                    longest: 128 << 10,
                    unit: 4096,
                };
                let options = LogOptions {
                    logs,
                    streams,
                    cleaning,
                };
                cleaned(space, options);
                if streams != Streams::Age {
                    let padded = cleaned(
                        Space {
                            unit: 32 << 10,
                            ..space
                        },
                        options,
                    );
                    assert!(padded.padded > 0);
                }
            }
        }
    }
}

fn cleaned(space: Space, options: LogOptions) -> LogFigures {
    let pages = 1000;
    let mut log = Log::new(space, options).unwrap();
    // Page -> number of its last write; sector -> the same, as the commands have it.
    let mut contents = Contents::default();
    let mut pointers = vec![0_u64; 12];
    let mut commands = VecDeque::new();
    for request in requests(3, 6000, pages) {
        let length = request
            .length
            .min((pages * 4096).saturating_sub(request.offset));
        let request = Request { length, ..request };
        log.request(&request, &mut commands).unwrap();
        let range = request.offset / 4096..(request.offset + length) / 4096;
        let mut asked = match request.kind {
            Kind::Write | Kind::Read => range.clone().collect::<VecDeque<_>>(),
            _ => VecDeque::new(),
        };
        if request.kind == Kind::Read {
            asked.retain(|page| contents.stamp.contains_key(page));
        }
        if request.kind == Kind::Trim {
            range.for_each(|page| {
                contents.stamp.remove(&page);
            });
        }
        let mut moving = VecDeque::new();
        for command in commands.drain(..) {
            if space.unit > 4096 {
                // Whose page is padding is not in the commands: only their lengths are looked at.
                let whole = u64::from(command.nlb) * 512 % space.unit == 0;
                assert!(whole || command.op != Op::Write, "{command:?}");
                asked.clear();
                continue;
            }
            follow(
                &command,
                &mut contents,
                &mut pointers,
                &mut asked,
                &mut moving,
                request.kind,
            );
        }
        assert!(asked.is_empty() && moving.is_empty());
    }
    let figures = log.figures();
    assert!(
        figures.moved > 0 && figures.resets > 20,
        "{options:?}: {figures:?}"
    );
    assert!(figures.open <= options.logs);
    assert!(figures.write_amplification().unwrap() > 1.0);
    figures
}

/// Carries out a command on [`Contents`]. Reads of a write request are cleaning's; its writes are what was read so, in that
/// order, or else the request's own next page.
fn follow(
    command: &Command,
    contents: &mut Contents,
    pointers: &mut [u64],
    asked: &mut VecDeque<u64>,
    moving: &mut VecDeque<u64>,
    kind: Kind,
) {
    let zone = (command.slba / 4096) as usize;
    let sectors = command.slba..command.slba + u64::from(command.nlb);
    match command.op {
        Op::Reset => pointers[zone] = 0,
        Op::Write => {
            assert_eq!(
                command.slba % 4096,
                pointers[zone],
                "not at the write pointer"
            );
            pointers[zone] += u64::from(command.nlb);
            assert!(pointers[zone] <= 2048, "beyond the zone's capacity");
            for sector in sectors.step_by(8) {
                let mut host = |page| {
                    contents.next += 1;
                    contents.stamp.insert(page, contents.next);
                    contents.next
                };
                let stamp = moving.pop_front();
                let stamp = stamp.unwrap_or_else(|| host(asked.pop_front().unwrap()));
                contents.of_sector.insert(sector, stamp);
            }
        }
        Op::Read => {
            for sector in sectors.step_by(8) {
                assert!(sector % 4096 < pointers[zone], "reads what is not written");
                let stamp = contents.of_sector[&sector];
                if kind == Kind::Read {
                    let page = asked.pop_front().unwrap();
                    assert_eq!(contents.stamp[&page], stamp);
                } else {
                    moving.push_back(stamp);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn what_cannot_be_placed_is_said() {
    let (_, space) = drive("tlc-zoned", &["zones=8"]);
    let options = |logs| LogOptions {
        logs,
        streams: Streams::Process,
        cleaning: Cleaning::Greedy,
    };
    for logs in [0, 7] {
        let refused = Log::new(space, options(logs)).unwrap_err();
        assert_eq!(refused, LogError::Logs { logs, most: 6 });
    }
    let mut log = Log::new(space, options(1)).unwrap();
    let write = |offset: u64, length: u64| Request {
        at: Instant::ZERO,
        kind: Kind::Write,
        fua: false,
        offset,
        length,
        process: 0,
        device: 0,
        latency: None,
    };
    let mut out = VecDeque::new();
    for (offset, length) in [(u64::MAX - 1, 4096), (0, 2 << 30), (1 << 63, 512)] {
        let refused = log.request(&write(offset, length), &mut out);
        assert_eq!(refused, Err(LogError::Range { offset, length }));
    }
    let mut refused = Ok(());
    for n in 0..8 * 96 {
        refused = refused.and_then(|()| log.request(&write(n << 20, 1 << 20), &mut out));
    }
    assert!(matches!(refused, Err(LogError::Full { .. })), "{refused:?}");
    assert!(out.iter().all(|command| command.op == Op::Write));
}

fn lines(text: &str) -> Result<Vec<String>, String> {
    let (mut simulation, _) = drive("tlc-zoned", &["zones=4"]);
    let trace = open_any(
        Box::new(Cursor::new(text.as_bytes().to_vec())),
        "t",
        &Options::default(),
    );
    let mut input = Input::new(trace.map_err(|e| e.to_string())?, None);
    let mut lines = Vec::new();
    while let Some(line) = input.next_line().map_err(|e| e.to_string())? {
        let mut text = Vec::new();
        line.write(&mut text).unwrap();
        lines.push(String::from_utf8(text).unwrap().trim_end().to_owned());
        if let Some(answer) = simulation.step(&line) {
            input.check(&answer).map_err(|e| e.to_string())?;
        }
    }
    Ok(lines)
}

#[test]
fn requests_as_they_are_must_fit_the_zones() {
    assert_eq!(
        lines("1,W,0,4096,5\n1,W,4096,4096,6\n1,R,0,8192,7\n").unwrap(),
        ["0 1 W 0 8 0", "1000 1 W 8 8 0", "2000 1 R 0 16 0"]
    );
    assert_eq!(
        lines("fio version 2 iolog\na add\na write 0 4096\na wait 3 0\na sync\n").unwrap(),
        ["Q 1", "0 1 W 0 8 0", "I 3000", "3000 1 F 0 0 0"]
    );
    for (text, why) in [
        (
            "1,W,0,4096,5\n1,W,8192,4096,6\n",
            "t:2: W of 8 sectors at 16: the drive refuses it (NVMe status type 1, code BCh); --place log makes any trace fit zones",
        ),
        (
            "1,W,0,4096,5\n2,W,4096,4096,6\n",
            "t:2: a second device: choose one with --trace-device",
        ),
        (
            "1,W,0,4000,5\n",
            "t:1: offset 0, length 4000: not whole sectors of 512 bytes",
        ),
    ] {
        assert_eq!(lines(text).unwrap_err(), why);
    }
}
