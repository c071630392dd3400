// SPDX-License-Identifier: GPL-2.0-or-later
//! What an idle drive of each preset takes, summed by hand from its figures. All in ns.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{at, done, fails, fua, large, proto, read, submit, write, zn540, zone, KIB, PAGE};
use ftl::{Command, Error, ZoneAction};
use zns::{Config, Zns};

/// Link or channel time.
fn cross(kib: u64, mbps: u64) -> u64 {
    (kib * 1024 * 1_000_000_000).div_ceil(mbps << 20)
}

/// A drive whose first one-shot pages are programmed, idle; and an instant when it is.
fn filled(config: &Config, kib: u64) -> (Zns, u64) {
    let mut drive = Zns::new(config).unwrap();
    let unit = config.write_unit.get().max(48 << 10) / 512;
    for sector in (0..kib * KIB).step_by(unit as usize) {
        done(&mut drive, &write(sector, unit), 0);
    }
    let idle = done(&mut drive, &Command::Flush, 0) + 1_000_000;
    (drive, idle)
}

#[test]
fn proto_reads() {
    let (mut drive, t) = filled(&proto(), 512);
    let four = 32_150 + 25_485 + cross(4, 800) + 413 + cross(4, 3200);
    assert_eq!(four, 64_152);
    assert_eq!(done(&mut drive, &read(3 * PAGE, PAGE), t) - t, four);
    // One flash page: 64 KiB.
    let page = 32_150 + 40_950 + cross(64, 800) + 16 * 413 + cross(64, 3200);
    assert_eq!(done(&mut drive, &read(0, 64 * KIB), t * 2) - t * 2, page);
    // Two of the same die: the second senses after the first's transfer; the host link overlaps.
    let two = page + 40_950 + cross(64, 800) + 16 * 413;
    assert_eq!(done(&mut drive, &read(0, 128 * KIB), t * 3) - t * 3, two);
}

#[test]
fn proto_writes_one_shot_pages_only() {
    let mut drive = Zns::new(&proto()).unwrap();
    assert_eq!(
        fails(&mut drive, &write(0, PAGE), 0),
        Error::Zone(zone::Error::InvalidWrite)
    );
    let arrived = cross(128, 3200);
    assert_eq!(done(&mut drive, &write(0, 128 * KIB), 0), arrived);
    // A stripe is one die's one-shot page: the zone's second one programs after the first.
    let program = cross(128, 800) + 32 * 413 + 1_913_640;
    assert_eq!(
        done(&mut drive, &fua(128 * KIB, 128 * KIB), arrived),
        arrived + 2 * program
    );
    // Another zone is on another die and another channel.
    let start = 32 * 1024 * KIB;
    assert_eq!(
        done(&mut drive, &fua(start, 128 * KIB), arrived * 2),
        arrived * 3 + program
    );
}

#[test]
fn proto_writes_wait_when_256_one_shot_pages_are_held() {
    let mut drive = Zns::new(&proto()).unwrap();
    for unit in 0..256 {
        assert_eq!(
            done(&mut drive, &write(unit * 128 * KIB, 128 * KIB), 0),
            // Exact: a page's link time is 39 062.5 ns, rounded up for each command.
            (unit + 1) * cross(128, 3200)
        );
    }
    assert_eq!(drive.stats().buffer_waits, 0);
    // Zone 0 is full; the first program on its die frees the room that zone 1 needs.
    let first = cross(128, 3200) + cross(128, 800) + 32 * 413 + 1_913_640;
    let start = 32 * 1024 * KIB;
    let link_free = 256 * cross(128, 3200);
    assert_eq!(
        done(&mut drive, &write(start, 128 * KIB), 0),
        first.max(link_free) + cross(128, 3200)
    );
    assert_eq!(drive.stats().buffer_waits, 1);
    assert_eq!(drive.stats().buffer_wait.get(), first);
}

#[test]
fn large_reads_and_writes() {
    let (mut drive, t) = filled(&large(), 768);
    let four = 20_000 + 40_000 + cross(4, 1422) + cross(4, 3000);
    assert_eq!(done(&mut drive, &read(5 * PAGE, PAGE), t) - t, four);
    let page = 13_000 + 40_000 + cross(64, 1422) + cross(64, 3000);
    assert_eq!(done(&mut drive, &read(0, 64 * KIB), t * 2) - t * 2, page);
    assert_eq!(
        done(&mut drive, &write(768 * KIB, PAGE), t * 3) - t * 3,
        5_600 + 600 + cross(4, 3000)
    );
    // It is in the buffer, and read from there.
    assert_eq!(
        done(&mut drive, &read(768 * KIB, PAGE), t * 4) - t * 4,
        20_000 + 5_600 + 600 + cross(4, 3000)
    );
}

#[test]
fn large_stripes_over_four_dies() {
    let mut drive = Zns::new(&large()).unwrap();
    // 4 x 192 KiB arrive one after the other; the last die's program ends last.
    let arrived = 5_600 + 192 * 600 + 4 * cross(192, 3000);
    assert_eq!(
        done(&mut drive, &fua(0, 768 * KIB), 0),
        arrived + cross(192, 1422) + 937_500
    );
    // The next stripe begins on the first die, which is busy until its program has ended.
    let first = 5_600 + 192 * 600 + cross(192, 3000) + cross(192, 1422) + 937_500;
    assert_eq!(
        done(&mut drive, &fua(768 * KIB, 192 * KIB), 0),
        first + cross(192, 1422) + 937_500
    );
}

#[test]
fn large_s_zone_buffer_holds_1536_kib() {
    let mut drive = Zns::new(&large()).unwrap();
    let most = 1536 * KIB - 192 * KIB;
    done(&mut drive, &write(0, most), 0);
    done(&mut drive, &write(most, 192 * KIB), 0);
    assert_eq!(drive.stats().buffer_waits, 0);
    // One page more waits for the program of the first one-shot page.
    let freed = 5_600 + 336 * 600 + cross(192, 3000) + cross(192, 1422) + 937_500;
    assert_eq!(
        done(&mut drive, &write(1536 * KIB, PAGE), 0),
        freed + 5_600 + 600 + cross(4, 3000)
    );
    // Another zone has a buffer of its own.
    let other = 1024 * 1024 * KIB;
    assert_eq!(
        done(&mut drive, &write(other, PAGE), 10_000_000),
        10_000_000 + 5_600 + 600 + cross(4, 3000)
    );
    assert_eq!(drive.stats().buffer_waits, 1);
}

#[test]
fn zn540_reads_and_writes() {
    let (mut drive, t) = filled(&zn540(), 3072);
    let four = 20_000 + 50_000 + cross(4, 450) + cross(4, 3050);
    assert_eq!(done(&mut drive, &read(96 * KIB, PAGE), t) - t, four);
    // Three flash pages of one one-shot page: same die, one after the other.
    let three = 13_000 + 3 * (58_000 + cross(32, 450)) + cross(32, 3050);
    assert_eq!(done(&mut drive, &read(0, 96 * KIB), t * 2) - t * 2, three);
    assert_eq!(
        done(&mut drive, &write(3072 * KIB, PAGE), t * 3) - t * 3,
        5_600 + 600 + cross(4, 3050)
    );
}

#[test]
fn zn540_stripes_over_all_dies() {
    let mut drive = Zns::new(&zn540()).unwrap();
    // 32 one-shot pages, eight of them one after the other into the 960 KiB of the buffer...
    let mut arrived = 0;
    for unit in 0..10 {
        arrived = done(&mut drive, &write(unit * 96 * KIB, 96 * KIB), arrived);
    }
    assert_eq!(arrived, 10 * (5_600 + 24 * 600 + cross(96, 3050)));
    // ... the eleventh when the first has been programmed.
    let first = arrived / 10 + cross(96, 450) + 561_000;
    assert_eq!(
        done(&mut drive, &write(960 * KIB, 96 * KIB), arrived),
        first + 5_600 + 24 * 600 + cross(96, 3050)
    );
}

#[test]
fn reset_erases_in_the_background() {
    let (mut drive, t) = filled(&large(), 192);
    let outcome = submit(&mut drive, &zone(ZoneAction::Reset, 0), t);
    assert_eq!(outcome.done, at(t));
    // The zone's first die is erased now, 3.5 ms; its one-shot page programs after that.
    assert_eq!(
        done(&mut drive, &fua(0, 192 * KIB), t),
        t + 3_500_000 + cross(192, 1422) + 937_500
    );
    // The other dies had no data.
    assert_eq!(drive.stats().erases, 1);

    let mut waits = Config {
        reset_wait: true,
        ..large()
    };
    waits.chips.erase = units::Nanos::new(1_000);
    let (mut drive, t) = filled(&waits, 192);
    assert_eq!(done(&mut drive, &zone(ZoneAction::Reset, 0), t), t + 1_000);
}
