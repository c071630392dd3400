// SPDX-License-Identifier: GPL-2.0-or-later
//! A trace of any length in the same memory, and the same answers every time.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::alloc::System;
use std::io::{BufReader, Read};

use sim::Simulation;
use stats_alloc::{Region, StatsAlloc, INSTRUMENTED_SYSTEM};
use trace::Reader;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// An endless trace, made up as it is read: four zones (or ranges) written in turn with reads,
/// flushes, meta overwrites and, after 8 MiB, a reset (or the range again).
struct Endless {
    rng: fastrand::Rng,
    zoned: bool,
    span: u64,
    at: [u64; 4],
    line: Vec<u8>,
}

impl Endless {
    fn new(preset: &str) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(5),
            zoned: !preset.ends_with("block"),
            span: if preset == "ufs4-tlc" {
                64 << 11
            } else {
                32 << 11
            },
            at: [0; 4],
            line: b"Q 4\n".to_vec(),
        }
    }

    fn command(&mut self) -> String {
        let z = self.rng.usize(..self.at.len());
        let base = z as u64 * self.span;
        let sectors = 8 * self.rng.u64(1..=32);
        if self.at[z] >= 8 << 11 {
            self.at[z] = 0;
            if self.zoned {
                return format!("0 1 RST {base} 0 0\n");
            }
        }
        match self.rng.u32(..20) {
            0..9 => {
                let at = base + self.at[z];
                self.at[z] += sectors;
                format!("0 1 W {at} {sectors} {}\n", u32::from(at % 4096 == 0))
            }
            9..16 => format!("0 1 R {} 8 0\n", base + self.rng.u64(..=self.at[z]) / 8 * 8),
            16 => "0 1 F 0 0 0\n".into(),
            _ => format!("0 0 W {} 8 0\n", 8 * self.rng.u64(..1024)),
        }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.line.is_empty() {
            self.line = self.command().into_bytes();
        }
        let n = self.line.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.line[..n]);
        self.line.drain(..n);
        Ok(n)
    }
}

fn drive(preset: &str) -> Simulation {
    let mut config = ssd::Config::preset(preset).unwrap();
    let block = match preset {
        "ufs4-tlc" => "3M",
        name if name.starts_with("tlc") => "6M",
        _ => "8M",
    };
    let mut settings = vec![
        ("block-size", block),
        ("slc-superblocks", "12"),
        ("meta-size", "8M"),
    ];
    settings.push(if preset.ends_with("block") {
        ("block-data-size", "512M")
    } else {
        ("zones", "12")
    });
    for (name, value) in settings {
        config.set(name, value).unwrap();
    }
    Simulation::new(&config).unwrap()
}

/// Runs commands; gives a digest (FNV-1a) of the answers' bytes.
fn run(
    simulation: &mut Simulation,
    reader: &mut Reader<impl std::io::BufRead>,
    commands: u32,
) -> u64 {
    let mut digest: u64 = 0xcbf2_9ce4_8422_2325;
    let mut line = Vec::with_capacity(128);
    for _ in 0..commands {
        let Some(answer) = simulation.step(&reader.next_line().unwrap().unwrap()) else {
            continue;
        };
        assert_eq!(answer.status, 0, "{answer:?}");
        line.clear();
        answer.write(&mut line).unwrap();
        for byte in &line {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    digest
}

/// The same in every build: the digests stand here, and tests run with and without optimisation.
#[test]
fn memory_does_not_grow_with_the_trace_and_answers_are_the_same_in_every_build() {
    let digests = [
        ("ufs4-tlc", 0xcd4e94280f7c9df7),
        ("tlc-zoned", 0xb27605b0dc92f29f),
        ("qlc-zoned-page-slc", 0x7ecbe8899eddd2d8),
        ("qlc-zoned-zone-slc", 0xbe19787f26a1a522),
        ("tlc-block", 0xee043db4910f2f48),
        ("qlc-block", 0x8434edc081f2633a),
    ];
    let mut found = Vec::new();
    for (preset, _) in digests {
        let answers = || {
            let mut simulation = drive(preset);
            let mut reader = Reader::new(BufReader::new(Endless::new(preset)), "trace");
            let first = run(&mut simulation, &mut reader, 30_000);
            let region = Region::new(ALLOCATOR);
            let more = run(&mut simulation, &mut reader, 60_000);
            let change = region.change();
            let grown = change
                .bytes_allocated
                .saturating_sub(change.bytes_deallocated);
            assert!(grown < 64 << 10, "{preset}: {change:?}");
            (first, more)
        };
        let (first, more) = answers();
        assert_eq!(
            answers(),
            (first, more),
            "{preset}: the same trace, another answer"
        );
        found.push((preset, first ^ more));
    }
    assert_eq!(found, digests);
}
