// SPDX-License-Identifier: GPL-2.0-or-later
//! Small cases, and random commands against a reference.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{at, done, fua, pro970, read, tiny, trim, write, Random, PAGE};
use conv::{Config, ConfigError, Conv, L2p, Paged};
use ftl::{Command, Error};
use proptest::prelude::*;
use units::{Bytes, Nanos, Sector};

/// Pages of the tiny drive.
const PAGES: u64 = 256;

fn drive() -> Conv {
    Conv::new(&tiny()).unwrap()
}

#[test]
fn flush_and_fua_program_incomplete_one_shot_pages() {
    let mut d = drive();
    let arrived = done(&mut d, &write(0, PAGE), 0);
    assert_eq!(d.stats().flash.programs, 0);
    let flushed = done(&mut d, &Command::Flush, arrived);
    assert!(flushed >= arrived + 185_000);
    let counters = d.stats().flash;
    assert_eq!((counters.programs, counters.pages_padded), (1, 1));
    // Nothing is left to be done.
    assert_eq!(done(&mut d, &Command::Flush, flushed + 1), flushed + 1);
    // Two partitions, one page each; the one that the flush has dealt with goes on.
    let end = done(&mut d, &fua(2 * PAGE, 2 * PAGE), flushed);
    assert!(end >= flushed + 185_000);
    let counters = d.stats().flash;
    assert_eq!((counters.programs, counters.pages_padded), (3, 3));
    d.check_invariants().unwrap();
}

#[test]
fn a_rewrite_in_the_buffer_takes_no_new_page() {
    let mut d = drive();
    for _ in 0..100 {
        done(&mut d, &write(0, PAGE), 0);
    }
    let counters = d.stats().flash;
    assert_eq!((counters.pages_host, counters.pages_rewritten), (1, 99));
    d.check_invariants().unwrap();
}

#[test]
fn trim_unmaps_whole_pages_only() {
    let mut d = drive();
    done(&mut d, &write(0, 4 * PAGE), 0);
    let outcome = d.submit(&trim(3, 3 * PAGE), at(9));
    assert_eq!(outcome.done, at(9));
    let unmapped = [0, 1, 2, 3].map(|p| d.has_unmapped(Sector::new(p * PAGE), PAGE));
    assert_eq!(unmapped, [false, true, true, false]);
    assert!(d.has_unmapped(Sector::new(4), 8));
    done(&mut d, &read(0, 4 * PAGE), 10);
    assert_eq!(d.stats().flash.unmapped_reads, 2);
    // Less than a page.
    done(&mut d, &trim(25, 6), 9);
    let zeroes = Command::WriteZeroes {
        at: Sector::new(25),
        sectors: 7,
        fua: false,
    };
    done(&mut d, &zeroes, 9);
    assert!(!d.has_unmapped(Sector::new(3 * PAGE), PAGE));
    d.check_invariants().unwrap();
}

#[test]
fn errors_change_nothing() {
    let mut d = drive();
    let end = PAGES * PAGE;
    for bad in [
        read(end, 1),
        write(end - 1, 2),
        trim(u64::MAX, 8),
        fua(u64::MAX, u64::MAX),
    ] {
        let outcome = d.submit(&bad, at(5));
        assert_eq!(
            (outcome.done, outcome.result),
            (at(5), Err(Error::OutOfRange))
        );
    }
    let append = Command::Append {
        zone: Sector::new(0),
        sectors: 8,
        fua: false,
    };
    assert_eq!(d.submit(&append, at(5)).result, Err(Error::Unsupported));
    assert_eq!(done(&mut d, &read(8, 0), 5), 5);
    assert_eq!(d.stats().host.failures, 5);
}

#[test]
fn a_write_larger_than_the_buffer_goes_through_in_pieces() {
    let mut d = drive();
    let end = done(&mut d, &write(3, PAGES * PAGE - 6), 0);
    assert!(end > 185_000);
    assert!(!d.has_unmapped(Sector::new(0), PAGES * PAGE));
    d.check_invariants().unwrap();
}

#[test]
fn the_whole_size_can_be_rewritten_for_ever() {
    // The least over-provisioning; full, and trimmed pages never come back.
    for over_provisioning in [1, 10] {
        let mut config = tiny();
        config.paged.over_provisioning = over_provisioning;
        let mut d = Conv::new(&config).unwrap();
        let mut random = Random(3);
        done(&mut d, &write(0, PAGES * PAGE), 0);
        for _ in 0..20_000 {
            let page = random.below(PAGES);
            let command = if random.below(50) == 0 { fua } else { write };
            done(&mut d, &command(page * PAGE, PAGE), 0);
        }
        d.check_invariants().unwrap();
        let stats = d.stats();
        let mean = d.mean_erases();
        assert!(u64::from(stats.erases_min) <= mean && mean <= stats.erases_max.into());
        assert!(mean > 10);
        assert!(stats.erases_max < 2 * stats.erases_min.max(50), "{stats:?}");
    }
}

/// Superblocks of one row, of which more than are spare are on their way at once if they may be.
#[test]
fn collection_makes_room_with_what_is_spare() {
    let mut config = tiny();
    config.chips.channels = 1;
    config.chips.flash_page = Bytes::kib(32);
    config.chips.one_shot = Bytes::kib(96);
    config.paged = Paged {
        size: Bytes::kib(4236),
        partitions: 1,
        over_provisioning: 7,
        blocks_per_plane: 34,
        buffer: Bytes::kib(1056),
        ..config.paged
    };
    let pages = 1059;
    for seed in 1..6 {
        let mut d = Conv::new(&config).unwrap();
        let mut random = Random(seed);
        let mut now = 0;
        for _ in 0..4_000 {
            let page = random.below(pages);
            let n = (1 + random.below(24)).min(pages - page);
            let command = if random.below(4) == 0 { fua } else { write };
            now += random.below(2_000_000);
            done(&mut d, &command(page * PAGE, n * PAGE), now);
        }
        d.check_invariants().unwrap();
    }
}

#[test]
fn collection_delays_whoever_comes_after() {
    let mut d = drive();
    let mut random = Random(5);
    let mut now = 0;
    let mut longest = 0;
    for _ in 0..3_000 {
        let end = done(&mut d, &write(random.below(PAGES) * PAGE, PAGE), now);
        longest = longest.max(end - now);
        now = end;
    }
    let stats = d.stats();
    assert!(stats.flash.gc_runs > 50 && stats.flash.gc_time > Nanos::ZERO);
    // At least one program and one erase were waited for.
    assert!(longest > 285_000, "{longest}");
    assert_eq!(stats.host.write_latency.max(), Nanos::new(longest));
}

/// A drive of large superblocks: 560 one-shot pages of 8 pages.
fn large_superblocks() -> (Conv, u64) {
    let mut config = pro970();
    config.paged.size = Bytes::mib(256);
    config.paged.partitions = 1;
    config.paged.blocks_per_plane = 16;
    config.chips.erase = Nanos::new(3_500_000);
    let mut d = Conv::new(&config).unwrap();
    let pages = config.paged.size.get() / 4096;
    for page in (0..pages).step_by(64) {
        done(&mut d, &write(page * PAGE, 64 * PAGE), 0);
    }
    (d, pages)
}

/// Writes pages at random, `pause` ns after each other; returns the longest write, and the most
/// that one of them added to the planes' operations.
fn rewrite(d: &mut Conv, pages: u64, pause: u64) -> (u64, u64) {
    let operations = |d: &Conv| d.flash().plane_stats().map(|p| p.operations).sum::<u64>();
    let mut random = Random(3);
    let mut now = 1_000_000_000;
    let (mut longest, mut most) = (0, 0);
    let mut before = operations(d);
    for _ in 0..2 * pages {
        let end = done(d, &write(random.below(pages) * PAGE, PAGE), now);
        longest = longest.max(end - now);
        now = end + pause;
        let after = operations(d);
        most = most.max(after - before);
        before = after;
    }
    assert!(d.stats().flash.gc_runs > 20);
    for plane in d.flash().plane_stats() {
        assert!(plane.busy <= Nanos::new(now + 10_000_000), "{plane:?}");
    }
    (longest, most)
}

#[test]
fn collection_is_spread_over_the_writes_that_need_it() {
    // Without pauses the planes are never idle; still, of a victim's 4480 pages no write moves more
    // than the planes have operations queued.
    let (mut d, pages) = large_superblocks();
    let (longest, most) = rewrite(&mut d, pages, 0);
    assert!(most < 100, "{most}");
    // The longest waits for an erase and what is before it, not for a victim's reads and programs.
    assert!(longest < 8_000_000, "{longest}");
    d.check_invariants().unwrap();
}

#[test]
fn collection_in_idle_time_is_not_felt() {
    let (mut d, pages) = large_superblocks();
    let (longest, _) = rewrite(&mut d, pages, 200_000);
    assert_eq!(
        longest,
        4_000 + 460 + 4_096_000_000_000u64.div_ceil(3360 << 20)
    );
    d.check_invariants().unwrap();
}

#[test]
fn what_was_just_written_is_read_from_the_buffer() {
    let mut d = Conv::new(&pro970()).unwrap();
    let written = done(&mut d, &write(0, 512 * 2), 0);
    assert_eq!(d.stats().flash.programs, 16);
    // Firmware, buffer access, link: as from an incomplete one-shot page.
    let buffered = 21_500 + 4_000 + 460 + 4_096_000_000_000u64.div_ceil(3360 << 20);
    assert_eq!(done(&mut d, &read(0, PAGE), written) - written, buffered);
    // So is the rest of a page that is rewritten in part.
    done(&mut d, &write(PAGE + 1, 1), written);
    assert_eq!(d.stats().flash.partial_reads, 0);
    let flash = d.stats().flash;
    assert_eq!((flash.senses, flash.buffer_hits), (0, 1));
    done(&mut d, &read(0, PAGE), written + 1_000_000);
    assert_eq!(d.stats().flash.senses, 1);
}

#[test]
fn zeroes_unmap_whole_pages_and_write_the_rest() {
    let mut d = drive();
    done(&mut d, &write(0, 6 * PAGE), 0);
    let idle = done(&mut d, &Command::Flush, 0) + 1_000_000;
    let zeroes = |at, sectors, fua| Command::WriteZeroes {
        at: Sector::new(at),
        sectors,
        fua,
    };
    let programs = d.stats().flash.programs;
    // Whole pages: the map keeps its data, so FUA waits for nothing.
    assert_eq!(done(&mut d, &zeroes(0, 2 * PAGE, true), idle), idle);
    assert_eq!(d.stats().flash.programs, programs);
    // A page's first sectors: its rest is read and written again.
    let partly = done(&mut d, &zeroes(2 * PAGE, 3, false), idle);
    assert!((1..185_000).contains(&(partly - idle)), "{partly} {idle}");
    let durable = done(&mut d, &zeroes(3 * PAGE, 3, true), idle);
    assert!(durable > idle + 185_000);
    assert_eq!(d.stats().flash.programs, programs + 1);
    // An unmapped page is zero as it is.
    assert_eq!(done(&mut d, &zeroes(8, 1, true), durable), durable);
    assert!(!d.has_unmapped(Sector::new(2 * PAGE), 2 * PAGE));
    d.check_invariants().unwrap();
}

#[test]
fn bad_configurations_are_refused() {
    let with = |f: fn(&mut Config)| {
        let mut config = tiny();
        f(&mut config);
        Conv::new(&config).map(drop).unwrap_err()
    };
    assert_eq!(with(|c| c.link_mbps = 0), ConfigError::Bandwidth);
    assert_eq!(with(|c| c.paged.partitions = 3), ConfigError::Partitions);
    assert_eq!(with(|c| c.paged.partitions = 0), ConfigError::Partitions);
    assert_eq!(with(|c| c.paged.size = Bytes::new(5000)), ConfigError::Size);
    assert_eq!(
        with(|c| c.paged.size = Bytes::new(1 << 62)),
        ConfigError::Size
    );
    assert_eq!(with(|c| c.paged.blocks_per_plane = 0), ConfigError::Blocks);
    assert_eq!(with(|c| c.paged.gc_threshold = 0), ConfigError::Threshold);
    assert_eq!(
        with(|c| c.paged.over_provisioning = 0),
        ConfigError::OverProvisioning
    );
    let need = Bytes::kib(2 * 4 + 8);
    assert_eq!(
        with(|c| c.paged.buffer = Bytes::kib(12)),
        ConfigError::Buffer { need }
    );
    for (cache, entry) in [(4095, 4), (4096, 0), (4096, 4097)] {
        let mut paged = tiny().paged;
        paged.l2p = Some(L2p {
            cache: Bytes::new(cache),
            entry: Bytes::new(entry),
        });
        assert_eq!(paged.validate(&tiny().chips), Err(ConfigError::L2p));
    }
    assert!(matches!(
        with(|c| c.chips.channels = 0),
        ConfigError::Chips(_)
    ));
    let large = Paged {
        size: Bytes::new(8 << 40),
        ..pro970().paged
    };
    assert!(large.validate(&pro970().chips).is_ok());
}

fn command() -> impl Strategy<Value = Command> {
    let sectors = PAGES * PAGE;
    let range = (0..sectors, 1u64..200).prop_map(move |(at, n)| (at, n.min(sectors - at)));
    let pages = (0..PAGES).prop_map(|page| (page * PAGE, PAGE));
    prop_oneof![
        6 => pages.clone().prop_map(|(at, n)| write(at, n)),
        4 => range.clone().prop_map(|(at, n)| write(at, n)),
        1 => pages.prop_map(|(at, n)| fua(at, n)),
        1 => range.clone().prop_map(|(at, n)| fua(at, n)),
        3 => range.clone().prop_map(|(at, n)| read(at, n)),
        2 => range.prop_map(|(at, n)| trim(at, n)),
        1 => Just(Command::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Pages in are pages mapped, rewritten or trimmed; flash pages are the host's, collection's and
    /// padding; a second drive gives the same answers.
    #[test]
    fn nothing_is_lost_and_everything_repeats(
        commands in prop::collection::vec((command(), 0u64..200_000), 1..200),
    ) {
        let (mut a, mut b) = (drive(), drive());
        let mut mapped = vec![false; PAGES as usize];
        let mut now = 0;
        for (command, pause) in commands {
            now += pause;
            let outcome = a.submit(&command, at(now));
            prop_assert_eq!(&outcome, &b.submit(&command, at(now)));
            prop_assert!(outcome.result.is_ok() && outcome.done >= at(now));
            match command {
                Command::Write { at, sectors, .. } => {
                    let pages = at.get() / PAGE..(at.get() + sectors).div_ceil(PAGE);
                    pages.for_each(|p| mapped[p as usize] = true);
                }
                Command::Deallocate { at, sectors } => {
                    let pages = at.get().div_ceil(PAGE)..(at.get() + sectors) / PAGE;
                    pages.for_each(|p| mapped[p as usize] = false);
                }
                _ => {}
            }
            a.check_invariants().unwrap();
        }
        for (page, mapped) in (0..).zip(&mapped) {
            prop_assert_eq!(a.has_unmapped(Sector::new(page * PAGE), PAGE), !mapped);
        }
        let stats = a.stats();
        let counters = stats.flash;
        let unit = 2;
        let put = counters.pages_host + counters.pages_gc + counters.pages_padded;
        // All that is not programmed yet waits in the two partitions' incomplete one-shot pages, and
        // of collection in the row that is scanned, with what the one before left.
        let row = 4 * unit;
        let waiting = put - counters.programs * unit;
        prop_assert!(waiting < 2 * (unit + unit + row), "{:?}", counters);
        prop_assert!(stats.erases_min <= stats.erases_max);
    }

    /// Slower parts never make a workload that waits for each command faster. There are two
    /// exceptions by nature, which this one does not have: what leaves more time idle lets more of
    /// collection pass in the background; and of what was just written, a program that has ended
    /// sends a read from the buffer to a plane that may be busy.
    #[test]
    fn slower_parts_are_never_faster(
        part in 0u8..6,
        commands in prop::collection::vec(command(), 1..100),
    ) {
        let mut base = tiny();
        base.paged.over_provisioning = 1000;
        let mut slow = base.clone();
        match part {
            0 => slow.chips.program = Nanos::new(300_000),
            1 => slow.chips.read_4k = [Nanos::new(60_000); 4],
            2 => slow.chips.channel_mbps = 300,
            3 => slow.link_mbps = 700,
            4 => slow.costs.buffer_base = Nanos::new(9_000),
            _ => slow.chips.erase = Nanos::new(400_000),
        }
        let (mut fast, mut slow) = (Conv::new(&base).unwrap(), Conv::new(&slow).unwrap());
        let half = PAGES / 2 * PAGE;
        let (mut t, mut u) = (0, 0);
        for drive in [&mut fast, &mut slow] {
            done(drive, &write(half, half), 0);
            u = done(drive, &Command::Flush, t) + 1_000_000;
        }
        t = u;
        for command in commands {
            // Writes of whole pages go to one half, reads to the other.
            let command = match command {
                Command::Write { at, sectors, fua, internal } => Command::Write {
                    at: Sector::new(at.get() / PAGE * PAGE % half),
                    sectors: (sectors / PAGE).clamp(1, 16) * PAGE,
                    fua,
                    internal,
                },
                Command::Read { at, sectors, internal } => Command::Read {
                    at: Sector::new(half + at.get() % (half - 200)),
                    sectors,
                    internal,
                },
                other => other,
            };
            t = done(&mut fast, &command, t);
            u = done(&mut slow, &command, u);
            prop_assert!(t <= u, "{:?}: {} > {}", command, t, u);
        }
        prop_assert_eq!(slow.stats().flash.erases, 0);
    }
}

#[test]
fn soak() {
    let mut d = drive();
    let mut random = Random(11);
    let mut now = 0;
    for i in 0..60_000 {
        let page = random.below(PAGES);
        let sector = random.below(PAGES * PAGE - 200);
        let n = 1 + random.below(199);
        let command = match random.below(20) {
            0..=9 => write(page * PAGE, PAGE),
            10 | 11 => write(sector, n),
            12 => fua(page * PAGE, PAGE),
            13..=16 => read(sector, n),
            17 | 18 => trim(sector, n),
            _ => Command::Flush,
        };
        now += random.below(100_000);
        done(&mut d, &command, now);
        if i % 100 == 0 {
            d.check_invariants().unwrap();
        }
    }
    let counters = d.stats().flash;
    assert!(
        counters.gc_runs > 1_000 && counters.pages_gc > 1_000,
        "{counters:?}"
    );
    assert!(
        counters.partial_reads > 1_000 && counters.pages_padded > 1_000,
        "{counters:?}"
    );
}
