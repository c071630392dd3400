// SPDX-License-Identifier: GPL-2.0-or-later
//! Mechanisms that the presets leave off, against a pencil. (Random drives have them in rust/check.)
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use command::Command;
use ftl::Namespace;
use ssd::Model;
use units::{Instant, Nanos, Sector, ZoneId};

/// A drive that gets a command when the one before has completed.
struct Drive {
    model: Model,
    now: Instant,
}

impl Drive {
    fn new(preset: &str, settings: &[(&str, &str)]) -> Self {
        let plan = common::config(preset, settings).plan().unwrap();
        Self {
            model: Model::new(&plan).unwrap(),
            now: Instant::ZERO,
        }
    }

    /// Latency in ns of a command of the data namespace.
    fn run(&mut self, command: Command) -> u64 {
        let outcome = self.model.submit(Namespace::Data, &command, self.now);
        outcome.result.unwrap();
        let took = outcome.done.since(self.now);
        self.now = outcome.done;
        took.get()
    }

    fn write(&mut self, at: u64, pages: u64, fua: bool) -> u64 {
        self.run(Command::write(Sector::new(at * 8), pages * 8, fua))
    }

    fn read(&mut self, at: u64, pages: u64) -> u64 {
        self.run(Command::read(Sector::new(at * 8), pages * 8))
    }

    /// Until nothing is programmed any more.
    fn rest(&mut self) {
        self.now += Nanos::from_micros(1_000_000);
    }
}

/// Time of so many KiB at a bandwidth in MB/s.
fn transfer(kib: u64, mbps: u64) -> u64 {
    (kib * 1_000_000_000).div_ceil(mbps << 10)
}

/// A 4 KiB write into a free buffer of `ufs4-tlc`: access and host link.
const BUFFERED: u64 = 5_600 + 600 + 1_303;

#[test]
fn a_write_without_early_completion_ends_with_its_program() {
    let mut drive = Drive::new("ufs4-tlc", &[("early-completion", "off")]);
    let program = transfer(4, 1422) + 75_000;
    assert_eq!(drive.write(0, 1, false), BUFFERED + program);
    let mut early = Drive::new("ufs4-tlc", &[]);
    assert_eq!(early.write(0, 1, false), BUFFERED);
}

#[test]
fn without_early_completion_every_write_of_any_model_is_as_one_with_fua() {
    let with_flash = ssd::PRESETS.iter().filter(|p| p.name != "nvm-optane");
    for preset in with_flash {
        let mut through = Drive::new(preset.name, &[("early-completion", "off")]);
        let mut forced = Drive::new(preset.name, &[]);
        let mut early = Drive::new(preset.name, &[]);
        let (mut at, mut gained) = (0, 0);
        // Of 128 KiB, which all can take.
        for pages in [32, 64, 32, 256, 32] {
            let took = through.write(at, pages, false);
            assert_eq!(took, forced.write(at, pages, true), "{}", preset.name);
            gained += took - early.write(at, pages, false).min(took);
            at += pages;
        }
        assert!(gained > 0, "{}", preset.name);
    }
}

#[test]
fn nothing_is_lost_without_early_completion() {
    let mut random = common::Random(7);
    for preset in [
        "tlc-zoned",
        "qlc-zoned-page-slc",
        "tlc-block",
        "conv-970pro",
    ] {
        let mut drive = Drive::new(preset, &[("early-completion", "off")]);
        let mut at = 0;
        for _ in 0..40 {
            let pages = 1 + random.below(40);
            drive.write(at, pages, false);
            at += pages;
            let cut = drive.model.power_cut(drive.now);
            assert!(cut.lost.is_empty(), "{preset}: {cut:?}");
            drive.now = cut.ready;
        }
    }
}

#[test]
fn channels_of_the_consumer_drive_have_overheads_and_pieces() {
    let read = |settings: &[(&str, &str)], pages| {
        let mut drive = Drive::new("ufs4-tlc", settings);
        drive.write(0, 4, true);
        drive.rest();
        drive.read(0, pages)
    };
    // Firmware, sense, channel, host link; four pages lie in one flash page of pSLC.
    let page = 20_000 + 20_000 + transfer(4, 3000);
    let all = 13_000 + 20_000 + transfer(16, 3000);
    let (one, whole) = (transfer(4, 1422), transfer(16, 1422));
    let overhead = ("channel-overhead-ns", "413");
    let command = ("channel-command-ns", "8000");
    let pieces = ("channel-transfer-size", "4K");
    for (settings, of_page, of_all) in [
        (&[][..], one, whole),
        (&[overhead], one + 413, whole + 4 * 413),
        (&[command], one + 8_000, whole + 8_000),
        (&[pieces], one, 4 * one),
        (&[pieces, command, overhead], one + 8_413, 4 * (one + 8_413)),
    ] {
        assert_eq!(read(settings, 1), page + of_page, "{settings:?}");
        assert_eq!(read(settings, 4), all + of_all, "{settings:?}");
    }
}

/// Overheads are times, and can change while the drive runs; what a piece is cannot.
#[test]
fn overheads_of_channels_can_change_at_any_moment() {
    let mut drive = Drive::new("ufs4-tlc", &[]);
    drive.write(0, 4, true);
    drive.rest();
    let before = drive.read(0, 4);
    let settings = [
        ("channel-command-ns", "8000"),
        ("channel-transfer-size", "4K"),
    ];
    let plan = common::config("ufs4-tlc", &settings).plan().unwrap();
    drive.model.set_times(&plan);
    assert_eq!(drive.read(0, 4), before + 8_000);
}

/// A QLC drive with pSLC superblocks of 8 MiB, 16 wordlines on each of four planes, that has written so many of them.
fn written(superblocks: u64, settings: &[(&str, &str)]) -> Drive {
    let small = [("block-size", "8M"), ("zones", "16"), ("meta-size", "0")];
    let mut drive = Drive::new("qlc-zoned-page-slc", &[&small, settings].concat());
    for at in 0..superblocks * 32 {
        drive.write(at * 64, 64, false);
    }
    drive
}

/// pSLC pages that hold something.
fn in_slc(drive: &Drive) -> u64 {
    drive.model.stats().slc_pool.valid_pages
}

const SUPERBLOCK: u64 = 2048;
const IDLE: (&str, &str) = ("fold-idle-ns", "200000000");

#[test]
fn an_idle_drive_folds_what_is_in_pslc() {
    let mut drive = written(8, &[IDLE]);
    let begins = drive.now + Nanos::new(200_000_000);
    assert_eq!(drive.model.next_event(), Some(begins));
    drive.model.advance(drive.now + Nanos::new(199_999_999));
    assert_eq!(in_slc(&drive), 8 * SUPERBLOCK);
    drive.model.advance(begins);
    // Each plane programs 16 one-shot pages of each superblock, and reads the next in the meantime; between superblocks
    // there is an erase.
    let program = Nanos::from_micros(6_098).times(8 * 16);
    drive.model.advance(begins + program);
    assert!(in_slc(&drive) > 0);
    let rest = Nanos::new(program.get() / 10);
    drive.model.advance(begins + program + rest);
    assert_eq!(in_slc(&drive), 0);
    assert_eq!(drive.model.next_event(), None);
    drive.model.check_invariants().unwrap();
    // What was folded is read from native cells: firmware, sense, channel, host link.
    drive.now = begins + program + rest;
    let read = 20_000 + 85_000 + transfer(4, 1600) + transfer(4, 3000);
    assert_eq!(drive.read(5, 1), read);
}

#[test]
fn a_command_ends_folding_with_the_superblock_that_is_being_emptied() {
    let mut drive = written(8, &[IDLE]);
    drive.now += Nanos::new(200_000_001);
    drive.model.advance(drive.now);
    drive.read(0, 1);
    drive.now += Nanos::new(150_000_000);
    drive.model.advance(drive.now);
    assert_eq!(in_slc(&drive), 7 * SUPERBLOCK);
    // It goes on when the drive has been idle again.
    drive.now += Nanos::new(1_000_000_000);
    drive.model.advance(drive.now);
    assert_eq!(in_slc(&drive), 0);
    let mut never = written(8, &[]);
    never
        .model
        .advance(never.now + Nanos::new(3_600_000_000_000));
    assert_eq!(in_slc(&never), 8 * SUPERBLOCK);
}

/// Remainders below a program unit stay in pSLC, and are not moved round and round.
#[test]
fn folding_comes_to_an_end() {
    for preset in ["qlc-zoned-page-slc", "qlc-zoned-zone-slc", "qlc-block"] {
        let settings = [
            ("block-size", "8M"),
            ("fold-idle-ns", "1"),
            ("meta-size", "0"),
        ];
        let mut drive = Drive::new(preset, &settings);
        let zone = drive
            .model
            .zone(ZoneId::new(1))
            .map_or(0, |zone| zone.start.get() / 8);
        for at in 0..1_000 {
            drive.write(at * 5, 5, false);
            drive.write(zone + at * 7 + 10_000 * u64::from(zone == 0), 7, false);
        }
        let hour = Nanos::new(3_600_000_000_000);
        for _ in 0..3 {
            drive.now += hour;
            drive.model.advance(drive.now);
            let programmed = drive.model.stats().data.pages_programmed();
            drive.read(0, 1);
            drive.now += hour;
            drive.model.advance(drive.now);
            let again = drive.model.stats().data.pages_programmed();
            assert_eq!(again, programmed, "{preset}");
        }
        assert!(in_slc(&drive) < 3 * SUPERBLOCK, "{preset}");
    }
}

#[test]
fn a_drive_folds_again_after_a_power_cut() {
    let mut drive = written(8, &[IDLE]);
    drive.run(Command::Flush);
    let cut = drive.model.power_cut(drive.now + Nanos::new(250_000_000));
    assert!(cut.lost.is_empty());
    assert!(in_slc(&drive) > 6 * SUPERBLOCK);
    drive.model.advance(cut.ready + Nanos::new(2_000_000_000));
    // What recovery copied is where the write pointer is: that stays.
    let stripe = 4 * 4 * 8;
    assert!(in_slc(&drive) <= stripe, "{}", in_slc(&drive));
}
