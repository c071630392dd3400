// SPDX-License-Identifier: GPL-2.0-or-later
//! Once the books have their working size, commands and the collection that they cause are worked
//! without allocating; and what a drive takes of the host's memory for its maps.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{at, done, fua, pro970, read, tiny, trim, write, Random, PAGE};
use conv::{Config, Conv};
use ftl::Command;
use units::Bytes;

fn round(drive: &mut Conv, random: &mut Random, start: u64) -> u64 {
    let mut now = start;
    for _ in 0..5_000 {
        let page = random.below(200) * PAGE;
        let command = match random.below(16) {
            0..=9 => write(page, PAGE),
            10 => write(page + 3, 2 * PAGE),
            11 => fua(page, PAGE),
            12 | 13 => read(page, 50 * PAGE),
            14 => trim(page, 4 * PAGE),
            _ => Command::Flush,
        };
        now = done(drive, &command, now);
    }
    now
}

#[test]
fn no_command_allocates() {
    let mut drive = Conv::new(&tiny()).unwrap();
    let mut random = Random(9);
    let now = round(&mut drive, &mut random, 0);
    let runs = drive.stats().flash.gc_runs;
    let info = allocation_counter::measure(|| {
        round(&mut drive, &mut random, now);
    });
    assert_eq!(info.count_total, 0, "{info:?}");
    assert!(drive.stats().flash.gc_runs > runs + 100);
}

#[test]
fn maps_take_less_than_3_mib_a_gib() {
    let bytes = |gib: u64| {
        let mut config: Config = pro970();
        config.paged.size = Bytes::mib(gib << 10);
        let info = allocation_counter::measure(|| {
            let mut drive = Conv::new(&config).unwrap();
            assert!(drive.submit(&write(0, 8), at(0)).result.is_ok());
        });
        info.bytes_max
    };
    let each = (bytes(32) - bytes(16)) >> 4;
    assert!(each < 3 << 20, "{each} bytes a GiB");
}
