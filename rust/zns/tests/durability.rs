// SPDX-License-Identifier: GPL-2.0-or-later
//! Nothing that is durable is lost, at any instant, and nothing is programmed into a block before its
//! erase has ended: random commands under the law.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "../../conv/tests/common/law.rs"]
mod law;

use common::{at, done, fua, read, tiny, write, zone};
use ftl::{Command, Namespace, Random, ZoneAction};
use law::Law;
use nand::What;
use units::{Nanos, Sector, ZoneId};
use zns::{BufferScope, Config, Zns};

const ZONES: u64 = 6;

/// Runs a random load; returns how many copies were erased.
fn load(config: &Config, seed: u64, commands: u64, pause: u64) -> usize {
    let mut d = Zns::new(config).unwrap();
    d.observe(true);
    let size = config.zone_size.get() / 512;
    let mut random = Random::new(seed);
    let mut below = |n: u64| random.draw() % n;
    let mut law = Law::default();
    let mut now = 0;
    for _ in 0..commands {
        let start = below(ZONES) * size;
        let report = d.zone(ZoneId::new((start / size) as u32)).unwrap();
        let pointer = report.write_pointer.get();
        let sectors = 1 + below(59);
        let command = match below(14) {
            0..=4 => write(pointer, sectors),
            5 => fua(pointer, sectors),
            6 => Command::WriteZeroes {
                at: Sector::new(pointer),
                sectors,
                fua: sectors % 2 == 0,
            },
            7 | 8 => read(start + below(size - 60), sectors),
            9 => Command::Flush,
            10 => zone(ZoneAction::Finish, start),
            11 => zone(ZoneAction::OpenZrwa, start),
            _ => zone(ZoneAction::Reset, start),
        };
        now += below(pause);
        let outcome = d.submit(Namespace::Data, &command, at(now));
        law.note(at(now), d.take_events(), d.take_occupied());
        if outcome.result.is_ok() && command == Command::Flush {
            law.is_durable(law.lpns().into_iter(), outcome.done);
        }
    }
    d.check_invariants().unwrap();
    d.advance(at(now + 1_000_000_000));
    law.note(at(now), d.take_events(), d.take_occupied());
    law.check()
}

#[test]
fn every_durable_page_has_a_copy() {
    for seed in 1..12 {
        let scope = match seed % 2 {
            0 => BufferScope::Global,
            _ => BufferScope::PerZone,
        };
        let mut config = tiny(scope);
        config.chips.erase = Nanos::new([100_000, 3_500_000, 1][seed as usize % 3]);
        config.reset_wait = seed % 5 == 0;
        if seed % 4 == 1 {
            config.zone_options.zrwa = Some(zone::Zrwa {
                size: 32,
                granularity: 16,
                zones: 2,
            });
        }
        let pause = [5_000_000, 50_000, 1][seed as usize / 4];
        let ended = load(&config, seed, 4_000, pause);
        assert!(ended > 500, "{ended}");
    }
}

#[test]
fn a_zone_written_soon_after_its_reset_is_programmed_after_the_erase() {
    let mut config = tiny(BufferScope::Global);
    config.chips.erase = Nanos::new(3_500_000);
    let mut d = Zns::new(&config).unwrap();
    let capacity = config.zone_capacity.get() / 512;
    let mut now = done(&mut d, &fua(0, capacity), 0);
    now = done(&mut d, &zone(ZoneAction::Reset, 0), now);
    d.observe(true);
    let end = done(&mut d, &fua(0, 16), now);
    assert!(end > now + 3_500_000 + 1_913_640);
    let seen = d.take_occupied();
    // Only the block that is written is erased for it; the others' erases wait for idle time.
    let of = |what| seen.iter().filter(move |o| o.what == what);
    assert_eq!(of(What::Erase).count(), 1);
    assert!(of(What::Load).all(|l| of(What::Erase).all(|e| e.end <= l.start)));
    d.advance(at(end + 10_000_000));
    assert!(d.take_occupied().iter().all(|o| o.what == What::Erase));
}

#[test]
fn what_was_just_written_is_read_from_the_buffer() {
    let config = tiny(BufferScope::Global);
    let mut d = Zns::new(&config).unwrap();
    let written = done(&mut d, &write(0, 16), 0);
    assert_eq!(d.stats().programs, 1);
    let buffered = done(&mut d, &read(0, 8), written) - written;
    assert_eq!(d.stats().senses, 0);
    // Firmware, buffer access and link: just what an incomplete one-shot page costs.
    let mut other = Zns::new(&config).unwrap();
    let written = done(&mut other, &write(0, 8), 0);
    assert_eq!(done(&mut other, &read(0, 8), written) - written, buffered);
    done(&mut d, &read(0, 8), 100_000_000);
    assert_eq!(d.stats().senses, 1);
}
