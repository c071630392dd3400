// SPDX-License-Identifier: GPL-2.0-or-later
//! What an idle `conv-970pro` takes, summed by hand from its figures. All in ns.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{done, fua, pro970, read, write, KIB, PAGE};
use conv::{Config, Conv, L2p, Paged};
use ftl::Command;
use units::Bytes;

/// Link or channel time.
fn cross(kib: u64, mbps: u64) -> u64 {
    (kib * 1024 * 1_000_000_000).div_ceil(mbps << 20)
}

/// A drive with its first MiB written: two rows of one-shot pages on all dies. And an instant when
/// it is idle.
fn filled() -> (Conv, u64) {
    let mut drive = Conv::new(&pro970()).unwrap();
    for sector in (0..1024 * KIB).step_by(128) {
        done(&mut drive, &write(sector, 128), 0);
    }
    let idle = done(&mut drive, &Command::Flush, 0) + 1_000_000;
    assert_eq!(drive.stats().flash.pages_padded, 0);
    (drive, idle)
}

#[test]
fn a_4_kib_read_takes_its_page_type_s_time() {
    let (mut drive, t) = filled();
    let rest = 21_500 + cross(4, 800) + cross(4, 3360);
    assert_eq!(rest + 29_760, 57_306);
    assert_eq!(done(&mut drive, &read(0, PAGE), t) - t, rest + 29_760);
    // Row 1 of every block begins 16 x 32 KiB further on: an MSB page.
    assert_eq!(
        done(&mut drive, &read(512 * KIB, PAGE), t * 2) - t * 2,
        rest + 41_760
    );
    // A sector less is still one page of flash.
    let less = 21_500 + 29_760 + cross(4, 800) + 3_584_000_000_000u64.div_ceil(3360 << 20);
    assert_eq!(done(&mut drive, &read(1, 7), t * 3) - t * 3, less);
}

#[test]
fn a_large_read_senses_each_flash_page_once() {
    let (mut drive, t) = filled();
    // 128 KiB: one flash page of each partition. They come in together and cross one by one.
    let stripe = 30_490 + 30_013 + cross(32, 800) + 4 * cross(32, 3360);
    assert_eq!(done(&mut drive, &read(0, 128 * KIB), t) - t, stripe);
    assert_eq!(drive.stats().flash.senses, 4);
}

#[test]
fn a_4_kib_write_takes_buffer_and_link() {
    let mut drive = Conv::new(&pro970()).unwrap();
    let one = 4_000 + 460 + cross(4, 3360);
    assert_eq!(one, 5_623);
    assert_eq!(done(&mut drive, &write(80, PAGE), 0), one);
    // Read back out of the buffer.
    let back = 21_500 + 4_000 + 460 + cross(4, 3360);
    assert_eq!(done(&mut drive, &read(80, PAGE), 10_000), 10_000 + back);
    assert_eq!(drive.stats().flash.buffer_hits, 1);
}

#[test]
fn a_full_stripe_ends_with_its_last_die_s_program() {
    let mut drive = Conv::new(&pro970()).unwrap();
    // The last page of the first three partitions' one-shot pages arrives one page before the next.
    let round = cross(29 * 4, 3360) + 3 * cross(4, 3360);
    let arrived = 4_000 + 128 * 460 + 4 * round;
    let programmed = arrived + cross(32, 800) + 185_000;
    assert_eq!(done(&mut drive, &fua(0, 512 * KIB), 0), programmed);
    assert_eq!(drive.stats().flash.programs, 16);
    // Early completion without FUA.
    let mut drive = Conv::new(&pro970()).unwrap();
    assert_eq!(done(&mut drive, &write(0, 512 * KIB), 0), arrived);
    assert_eq!(done(&mut drive, &Command::Flush, 0), programmed);
}

#[test]
fn a_write_waits_when_1_mib_is_held() {
    let mut drive = Conv::new(&pro970()).unwrap();
    for n in 0..4 {
        done(&mut drive, &write(n * 256 * KIB, 256 * KIB), 0);
    }
    assert_eq!(drive.stats().buffer_waits, 0);
    // The first one-shot page to be full is partition 0's, with the 29th page.
    let first = 4_000 + 64 * 460 + cross(29 * 4, 3360) + cross(32, 800) + 185_000;
    // The host link is busy with the MiB longer than that.
    let link_free = 4_000 + 64 * 460 + 8 * (cross(29 * 4, 3360) + 3 * cross(4, 3360));
    assert_eq!(
        done(&mut drive, &write(1024 * KIB, PAGE), 0),
        (first + 4_000 + 460).max(link_free) + cross(4, 3360)
    );
    assert_eq!(drive.stats().buffer_waits, 1);
    assert_eq!(drive.stats().buffer_wait.get(), first);
}

#[test]
fn a_write_of_part_of_a_page_reads_the_rest() {
    let (mut drive, t) = filled();
    let sense = 29_760 + cross(4, 800);
    assert_eq!(
        done(&mut drive, &write(3, 1), t) - t,
        sense + cross_sector()
    );
    // In the buffer there is nothing to read.
    let again = t + 1_000_000;
    assert_eq!(
        done(&mut drive, &write(5, 1), again) - again,
        4_000 + 460 + cross_sector()
    );
    let counters = drive.stats().flash;
    assert_eq!((counters.partial_reads, counters.pages_rewritten), (1, 1));
}

fn cross_sector() -> u64 {
    512_000_000_000u64.div_ceil(3360 << 20)
}

/// Of a map whose segments are 4 pages' entries each, half a dozen fit.
#[test]
fn a_read_beyond_the_l2p_cache_reads_the_map_first() {
    let l2p = L2p {
        cache: Bytes::kib(24),
        entry: Bytes::new(1024),
    };
    let mut drive = Conv::new(&Config {
        early_completion: true,
        paged: Paged {
            l2p: Some(l2p),
            ..pro970().paged
        },
        ..pro970()
    })
    .unwrap();
    done(&mut drive, &write(0, 1024 * KIB), 0);
    let mut t = done(&mut drive, &Command::Flush, 0) + 1_000_000;
    let mut took = |drive: &mut Conv, sector: u64, sectors: u64| {
        t += 1_000_000;
        done(drive, &read(sector, sectors), t) - t
    };
    let hit = 21_500 + 29_760 + cross(4, 800) + cross(4, 3360);
    let map = 29_760 + cross(4, 800);
    // The write has left the latest six segments.
    assert_eq!(took(&mut drive, 0, PAGE), hit + map);
    assert_eq!(took(&mut drive, 3 * PAGE, PAGE), hit);
    // Two pages of a segment that is not there: one read of the map, both wait for it.
    let two = 30_490 + map + 29_760 + cross(4, 800) + 2 * cross(4, 3360);
    assert_eq!(took(&mut drive, 4 * PAGE, 2 * PAGE), two);
    // Six others later the first is gone.
    for segment in 2..8 {
        took(&mut drive, segment * 4 * PAGE, PAGE);
    }
    assert_eq!(took(&mut drive, 0, PAGE), hit + map);
    let flash = drive.stats().flash;
    assert_eq!(
        (flash.l2p_hits, flash.l2p_misses, flash.map_reads),
        (1, 10, 9)
    );
    drive.check_invariants().unwrap();
}
