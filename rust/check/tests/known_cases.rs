// SPDX-License-Identifier: GPL-2.0-or-later
//! Inputs that once broke a promise, each under the name of what it shows. All of them run through
//! the checker, to the end; what else is right is said with each.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use check::random::Random;
use check::replay::{replay, Done};
use check::{Checker, Drive};
use ftl::{Command, Namespace, ZoneAction, ZoneTarget};
use ssd::Config;
use std::fmt::Write as _;
use units::{Instant, Nanos, Sector};

/// A drive of a preset with settings, as on a command line.
fn checker(preset: &str, settings: &str) -> Checker {
    let mut config = Config::preset(preset).unwrap();
    for pair in settings.split_ascii_whitespace() {
        config.set_pair(pair).unwrap();
    }
    Checker::new(Drive::new(&config.plan().unwrap()).unwrap(), true)
}

struct Ran {
    all: Vec<Done>,
    stats: zms::Stats,
}

impl Ran {
    /// Runs a trace; every law is kept.
    fn new(mut checker: Checker, trace: &str) -> Self {
        let mut all = Vec::new();
        let result = replay(&mut checker, trace, |done| all.push(done.clone()));
        if let Err(violation) = result {
            panic!("after {} commands: {violation}", all.len());
        }
        let stats = checker.drive().model().stats();
        Self { all, stats }
    }

    fn errors(&self) -> usize {
        let failed = |done: &&Done| done.outcome.is_none_or(|(_, error)| error.is_some());
        self.all.iter().filter(failed).count()
    }

    fn latency(&self, command: usize) -> u64 {
        let done = &self.all[command];
        done.outcome.unwrap().0.since(done.arrival).get()
    }
}

fn trace(lines: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Sequential writes of `sectors` each over a range of the data namespace.
fn fill(first: u64, end: u64, sectors: u64, fua: bool) -> impl Iterator<Item = String> {
    let step = usize::try_from(sectors).unwrap();
    (first..end).step_by(step).map(move |at| {
        let sectors = sectors.min(end - at);
        format!("0 1 W {at} {sectors} {}", u8::from(fua))
    })
}

fn line(text: &str) -> std::iter::Once<String> {
    std::iter::once(text.to_owned())
}

const SMALL_PLANES: &str =
    "channels=1 planes-per-lun=1 dies-per-zone=1 flash-page-size=8K cell=mlc block-size=16K \
     write-buffer-size=16K meta-write-buffer-size=8K slc-bypass=off migrate-threshold=6 \
     gc-threshold=1 slc-superblocks=20 over-provisioning=1000 meta-size=0 block-data-size=4M";

#[test]
fn a_rewrite_during_collection_loses_no_page() {
    let ran = Ran::new(
        checker("tlc-block", SMALL_PLANES),
        include_str!("cases/lost-page.trace"),
    );
    assert_eq!(ran.stats.data.unmapped_reads, 0);
    assert_eq!(ran.errors(), 0);
}

#[test]
fn overwriting_a_block_drive_at_random_loses_no_page() {
    for block in ["4M", "2M"] {
        let settings = format!("block-data-size=256M block-size={block}");
        let mut random = Random::new(7);
        let pages = 65_536;
        let overwrites = (0..12_000).flat_map(|k| {
            let at = random.below(pages / 4) * 32;
            let flush = (k % 400 == 399).then(|| "0 1 F 0 0 0".to_owned());
            [Some(format!("0 1 W {at} 32 0")), flush]
                .into_iter()
                .flatten()
        });
        let overwrites: Vec<_> = overwrites.collect();
        let read_all = (0..pages * 8)
            .step_by(512)
            .map(|at| format!("0 1 R {at} 512 0"));
        let all = line("Q 1")
            .chain(fill(0, pages * 8, 512, false))
            .chain(line("0 1 F 0 0 0"));
        let text = trace(all.chain(overwrites).chain(read_all));
        let ran = Ran::new(checker("qlc-block", &settings), &text);
        assert_eq!(ran.stats.data.unmapped_reads, 0, "{block}");
        assert_eq!(ran.errors(), 0, "{block}");
    }
}

const SMALL_META: &str =
    "channels=4 luns-per-channel=1 planes-per-lun=1 dies-per-zone=2 flash-page-size=4K cell=qlc \
     block-size=256K meta-write-buffer-size=512K zones=1 migrate-threshold=6 gc-threshold=1 \
     slc-superblocks=30 over-provisioning=7 meta-size=1M max-open=1 max-active=1";

#[test]
fn a_small_meta_namespace_with_a_large_buffer_takes_writes_for_ever() {
    let mut random = Random::new(2);
    let fill = (0..256).map(|page| page * 8);
    let overwrites: Vec<u64> = (0..3000).map(|_| random.below(256) * 8).collect();
    let writes = fill.chain(overwrites).map(|at| format!("0 0 W {at} 8 0"));
    let ran = Ran::new(
        checker("ufs4-tlc", SMALL_META),
        &trace(line("Q 1").chain(writes)),
    );
    assert_eq!(ran.errors(), 0);
}

const SMALL_BLOCKS: &str = "block-size=192K chunk-size=1M slc-superblocks=12 meta-size=0";

#[test]
fn the_backup_of_an_incomplete_wordline_outlives_another_zone_s_reset() {
    let text = trace(
        line("Q 1")
            .chain(line("0 1 W 0 96 1"))
            .chain(fill(8192, 8192 + 250 * 8, 8, true))
            .chain(line("0 1 RST 8192 0 0"))
            .chain(line("I 1000000000"))
            .chain(line("0 1 F 0 0 0")),
    );
    let ran = Ran::new(checker("ufs4-tlc", SMALL_BLOCKS), &text);
    assert_eq!(ran.errors(), 0);
}

#[test]
fn a_durable_page_that_joins_a_loaded_unit_keeps_its_copy() {
    let text = trace(
        line("Q 1")
            .chain(line("0 1 W 0 8 1"))
            .chain(line("0 1 W 8 88 0"))
            .chain(line("I 5000000"))
            .chain(fill(8192, 8192 + 301 * 8, 8, true))
            .chain(line("0 1 RST 8192 0 0"))
            .chain(line("I 1000000000"))
            .chain(line("0 1 R 0 8 0")),
    );
    let ran = Ran::new(checker("ufs4-tlc", SMALL_BLOCKS), &text);
    assert_eq!(ran.stats.data.unmapped_reads, 0);
}

#[test]
fn a_file_system_s_logs_keep_what_their_flushes_promised() {
    const CAPACITY: u64 = 24_576;
    let (mut random, mut at) = (Random::new(4), [0_u64; 6]);
    let mut text = "Q 4\n".to_owned();
    for k in 0..60_000 {
        let zone = match random.below(100) {
            0..30 => 0,
            30..50 => 1,
            50..70 => 2,
            70..85 => 3,
            85..95 => 4,
            _ => 5,
        };
        let pages = random
            .pick(&[1, 1, 2, 4, 8, 16, 32])
            .min(CAPACITY - at[zone]);
        let (start, fua) = (zone as u64 * 262_144, u8::from(random.chance(3)));
        let _ = writeln!(text, "0 1 W {} {} {fua}", start + at[zone] * 8, pages * 8);
        at[zone] += pages;
        if at[zone] == CAPACITY {
            let _ = writeln!(text, "0 1 RST {start} 0 0");
            at[zone] = 0;
        }
        if k % 12 == 11 {
            let _ = writeln!(text, "0 1 F 0 0 0");
        }
    }
    let ran = Ran::new(checker("tlc-zoned", ""), &text);
    assert_eq!(ran.errors(), 0);
}

#[test]
fn the_old_version_of_a_rewritten_page_lives_until_the_new_one_is_programmed() {
    let pass = || {
        let writes = (0..16_384)
            .step_by(16)
            .map(|page| format!("0 0 W {} 128 0", page * 8));
        writes.chain(line("0 0 F 0 0 0"))
    };
    let text = trace(line("Q 1").chain((0..8).flat_map(|_| pass())));
    let ran = Ran::new(checker("ufs4-tlc", "meta-size=64M block-size=3M"), &text);
    assert_eq!(ran.errors(), 0);
}

/// The first three zones of the small QLC drives, in large writes.
fn three_zones(zones: u64) -> impl Iterator<Item = String> {
    const ZONE: u64 = 128 * 2048;
    (0..zones).flat_map(|z| fill(z * ZONE, (z + 1) * ZONE, 512, false))
}

#[test]
fn planes_that_migrate_and_serve_do_one_thing_at_a_time() {
    const ZONE: u64 = 128 * 2048;
    let mut random = Random::new(1);
    let mut text = trace(line("Q 1").chain(three_zones(2)));
    text.push_str("I 2000000000\nQ 32\n");
    for k in 0..1000 {
        let _ = writeln!(text, "0 1 W {} 512 0", 2 * ZONE + k * 512);
        for _ in 0..120 {
            let _ = writeln!(text, "0 1 R {} 8 0", random.below(2 * ZONE / 8) * 8);
        }
    }
    let ran = Ran::new(checker("qlc-zoned-page-slc", "slc-superblocks=6"), &text);
    assert_eq!((ran.errors(), ran.stats.data.unmapped_reads), (0, 0));
    assert!(ran.stats.data.migrations > 0);
}

#[test]
fn blocks_are_programmed_after_their_erase_when_zones_are_written_again() {
    const ZONE: u64 = 128 * 2048;
    let mut text = "Q 4\n".to_owned();
    for _ in 0..2 {
        for z in 0..12 {
            let _ = writeln!(text, "0 1 RST {} 0 0", z * ZONE);
        }
        for group in (0..12).step_by(4) {
            for at in (0..ZONE).step_by(512) {
                for z in group..group + 4 {
                    let _ = writeln!(text, "0 1 W {} 512 0", z * ZONE + at);
                }
            }
        }
    }
    for preset in ["qlc-zoned-page-slc", "qlc-zoned-zone-slc"] {
        let ran = Ran::new(checker(preset, "meta-size=0"), &text);
        assert_eq!(ran.errors(), 0, "{preset}");
    }
}

#[test]
fn the_time_of_migrations_is_their_sum() {
    let ran = Ran::new(
        checker("qlc-zoned-page-slc", "slc-superblocks=6"),
        &trace(line("Q 1").chain(three_zones(3))),
    );
    let data = &ran.stats.data;
    assert!(data.migrations >= 5, "{}", data.migrations);
    // A superblock of 32 MiB takes more than the programs of its units on each plane: 21 x 6 ms.
    let least = Nanos::from_micros(100_000).times(data.migrations);
    assert!(data.migration_time > least, "{:?}", data.migration_time);
}

#[test]
fn what_is_kept_in_a_random_write_area_stays_durable_when_it_is_committed() {
    let mut checker = checker(
        "tlc-zoned",
        "zrwa-size=256K zrwa-flush-granularity=4K zrwa-zones=2",
    );
    let open = Command::Zone {
        action: ZoneAction::OpenZrwa,
        target: ZoneTarget::One(Sector::new(0)),
    };
    let commit = |end| Command::CommitZrwa {
        end: Sector::new(end),
    };
    let write = |at| Command::write(Sector::new(at), 64, true);
    let mut now = Instant::ZERO;
    for command in [
        open,
        write(0),
        write(64),
        commit(96),
        write(128),
        commit(192),
    ] {
        let outcome = checker.submit(Namespace::Data, &command, now).unwrap();
        outcome.result.unwrap();
        now = outcome.done + Nanos::from_micros(300);
    }
    checker.finish().unwrap();
}

#[test]
fn a_read_of_idle_flash_does_not_wait_for_what_is_booked_for_later() {
    let ran = Ran::new(
        checker("ufs4-tlc", "wb-dwell-ns=0"),
        include_str!("cases/read-behind-future.trace"),
    );
    // Firmware, sense, channel, host link.
    assert_eq!((ran.latency(8), ran.latency(9)), (64_051, 64_051));
}

#[test]
fn map_reads_spread_over_all_planes() {
    const ZONE: u64 = 2 * 128 * 1024;
    const WRITTEN: u64 = 24_576 * 6 / 10;
    let mut random = Random::new(2);
    let zones = (0..3).flat_map(|z| fill(z * ZONE, z * ZONE + WRITTEN * 8, 512, false));
    let mut text = trace(line("Q 4").chain(zones));
    text.push_str("0 1 F 0 0 0\nI 1000000000\nQ 32\n");
    for _ in 0..60_000 {
        let at = random.below(3) * ZONE + random.below(WRITTEN - 200) * 8;
        let _ = writeln!(text, "0 1 R {at} 8 0");
    }
    let ran = Ran::new(
        checker(
            "tlc-zoned",
            "l2p-resident=off l2p-cache-size=64 l2p-search=bitmap",
        ),
        &text,
    );
    let each = || ran.stats.planes.iter().map(|plane| plane.operations);
    let (least, most) = (each().min().unwrap(), each().max().unwrap());
    assert!(most < least * 2, "{least} to {most} operations a plane");
}

#[test]
fn writes_smaller_than_a_page_are_counted_by_their_bytes() {
    let text = trace(line("Q 1").chain(fill(0, 768, 1, false)));
    let ran = Ran::new(checker("tlc-zoned", ""), &text);
    let data = &ran.stats.data;
    // 96 pages of data, each programmed once when the buffer was full, or not yet.
    let programmed = data.pages_programmed();
    assert!(
        (96..=192).contains(&programmed),
        "{programmed} pages programmed"
    );
    assert_eq!(data.host_write_sectors, 96 * 8);
}

#[test]
fn write_zeroes_with_fua_is_as_slow_as_a_write() {
    let ran = Ran::new(
        checker("tlc-zoned", ""),
        include_str!("cases/write-zeroes-fua.trace"),
    );
    // A write's data crosses the host link besides.
    assert!(ran.latency(0) > 75_000, "{} ns", ran.latency(0));
    assert_eq!(ran.latency(0) + 1303, ran.latency(1));
}

#[test]
fn zones_written_to_their_end_leave_the_pslc_of_others_alone() {
    let mut text = "Q 1\n".to_owned();
    for zone in 0..64 {
        for unit in (0..768 * 8).step_by(192) {
            let at = zone * 8192 + unit;
            let _ = writeln!(text, "0 1 W {at} 8 1\n0 1 W {} 184 1", at + 8);
        }
    }
    let ran = Ran::new(
        checker(
            "tlc-zoned",
            "slc-map=sub-zone block-size=768K meta-size=0 chunk-size=1M zones=64 slc-superblocks=14",
        ),
        &text,
    );
    assert_eq!(ran.errors(), 0);
}

#[test]
fn a_page_just_written_is_read_from_the_buffer() {
    for (preset, sectors) in [("ufs4-tlc", 1536), ("qlc-zoned-page-slc", 256)] {
        let text = format!("Q 1\n0 1 W 0 {sectors} 0\n0 1 R 0 8 0\n");
        let ran = Ran::new(checker(preset, ""), &text);
        // Firmware, one buffer access, host link.
        assert_eq!(ran.latency(1), 20_000 + 5_600 + 600 + 1_303, "{preset}");
    }
}
