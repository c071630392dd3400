// SPDX-License-Identifier: GPL-2.0-or-later
//! A second map cache in the host's memory: what a read pays, and when the entries there are stale.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod common;

use ftl::Random;
use units::{Bytes, Instant, Nanos, Sector};
use zms::{
    Command, Config, Cursor, DataNamespace, HmbCounters, HostBuffer, L2pSearch, Namespace, Zms,
};

const PAGE: u64 = 8;

/// What 64 bytes take on the link, after a microsecond.
const LOOK: u64 = 1_000 + 21;
/// What 4 KiB of the map take: an SLC read, and the channel.
const MAP_READ: u64 = 20_000 + 2_442;

/// Whose map entries are pages, next to none of which the drive itself has.
fn drive(preset: &str, slots: u32) -> Config {
    let mut c = common::config(preset, &[("l2p-hybrid", "off")]);
    c.l2p.cache = Bytes::new(64);
    c.hmb = HostBuffer {
        slots,
        read: Nanos::new(1_000),
    };
    c
}

struct Host {
    zms: Zms,
    now: Instant,
}

impl Host {
    fn new(config: &Config) -> Self {
        let mut zms = Zms::new(config).unwrap();
        zms.hmb_lend(u32::MAX, false);
        Self {
            zms,
            now: Instant::ZERO,
        }
    }

    fn submit(&mut self, command: Command) -> u64 {
        let outcome = self.zms.submit(Namespace::Data, &command, self.now);
        assert!(outcome.result.is_ok(), "{command:?}: {outcome:?}");
        let took = outcome.done.since(self.now);
        // Whatever follows finds planes and links idle.
        self.now = outcome.done + Nanos::from_micros(100_000);
        took.get()
    }

    fn write(&mut self, first: u64, pages: u64) {
        for at in (0..pages).step_by(48) {
            let sectors = 48.min(pages - at) * PAGE;
            self.submit(Command::write(
                Sector::new((first + at) * PAGE),
                sectors,
                false,
            ));
        }
        self.submit(Command::Flush);
    }

    fn read(&mut self, page: u64) -> u64 {
        self.submit(Command::read(Sector::new(page * PAGE), PAGE))
    }

    /// A read by a drive whose own cache has other entries.
    fn read_missed(&mut self, page: u64) -> u64 {
        for other in 0..48 {
            self.read(40_000 + other);
        }
        self.read(page)
    }

    fn counted(&self) -> HmbCounters {
        self.zms.stats().data.hmb
    }
}

/// A block drive with 64 MiB of data, and some elsewhere.
fn block(slots: u32) -> Host {
    let mut host = Host::new(&drive("tlc-block", slots));
    host.write(0, 16 * 1024);
    host.write(40_000, 48);
    host
}

#[test]
fn a_hit_costs_a_read_of_the_hosts_memory_where_a_map_read_was() {
    let mut host = block(64);
    let first = host.read_missed(5);
    let hit = host.read_missed(9);
    assert_eq!(first - hit, MAP_READ - LOOK);
    // Its own cache is still first.
    assert_eq!(hit - host.read(9), LOOK);
    // 16 entries on, another piece of the same map page, and not the next page.
    assert_eq!(host.read_missed(1023), hit);
    assert_eq!(host.read_missed(1024), first);
}

#[test]
fn nothing_is_looked_for_in_memory_that_is_not_lent() {
    let mut without = block(0);
    let mut host = block(64);
    host.zms.hmb_lend(0, false);
    let mut random = Random::new(3);
    for _ in 0..200 {
        let page = random.draw() % (16 * 1024);
        assert_eq!(host.read(page), without.read(page));
    }
    assert_eq!(host.counted(), HmbCounters::default());
}

#[test]
fn what_is_written_deallocated_or_collected_is_stale() {
    let mut host = block(64);
    let miss = host.read_missed(0);
    let hit = host.read_missed(0);
    assert!(hit < miss);
    host.write(2, 1);
    assert_eq!(host.read_missed(0), miss, "another entry of the piece");
    assert_eq!(host.read_missed(0), hit);
    host.write(100, 1);
    assert_eq!(host.read_missed(0), hit, "another piece");
    let at = Sector::new(3 * PAGE);
    host.submit(Command::Deallocate { at, sectors: PAGE });
    assert_eq!(host.read_missed(0), miss);
}

#[test]
fn a_zone_that_is_written_anew_has_no_old_entries() {
    let mut host = Host::new(&drive("tlc-zoned", 64));
    let DataNamespace::Zoned { zone_size, .. } = host.zms.config().data else {
        panic!("no zones");
    };
    let start = zone_size.get() / 4096;
    let write = |host: &mut Host| {
        let zone = Sector::new(start * PAGE);
        let target = zms::ZoneTarget::One(zone);
        let action = zms::ZoneAction::Reset;
        host.submit(Command::Zone { action, target });
        host.write(start, 4096);
    };
    write(&mut host);
    let read = |host: &mut Host, page| {
        for other in 0..48 {
            host.read(start + 2000 + other * 20);
        }
        let before = host.counted();
        host.read(start + page);
        host.counted().hits - before.hits
    };
    assert_eq!(read(&mut host, 7), 0);
    assert_eq!(read(&mut host, 7), 1);
    write(&mut host);
    assert_eq!(read(&mut host, 7), 0);
    assert_eq!(read(&mut host, 7), 1);
}

#[test]
fn each_level_of_the_search_is_looked_for() {
    let mut c = drive("tlc-zoned", 64);
    c.l2p.hybrid = true;
    c.l2p.resident = false;
    assert_eq!(c.l2p.search, L2pSearch::Multiple);
    let mut host = Host::new(&c);
    host.write(0, 3000);
    // Its zone has no entry, nor has its chunk: three map pages.
    let reads = |host: &mut Host| {
        for other in 0..48 {
            host.read(2100 + other);
        }
        let before = (host.zms.stats().data.map_reads, host.counted().hits);
        host.read(2050);
        let counted = host.counted();
        (
            host.zms.stats().data.map_reads - before.0,
            counted.hits - before.1,
        )
    };
    let mut fresh = host.zms.clone();
    fresh.hmb_lend(64, false);
    host.zms = fresh;
    let first = reads(&mut host);
    assert_eq!(first.0 + first.1, 3);
    assert_eq!(reads(&mut host), (0, 3));
}

#[test]
fn other_bytes_cost_a_look_and_a_map_read() {
    let mut host = block(64);
    let miss = host.read_missed(5);
    let hit = host.read_missed(5);
    host.read_missed(2000);
    let command = Command::read(Sector::new(5 * PAGE), PAGE);
    let next = |host: &Host| {
        let mut cursor = Cursor::default();
        let found = host.zms.hmb_next(Namespace::Data, &command, &mut cursor);
        assert!(host
            .zms
            .hmb_next(Namespace::Data, &command, &mut cursor)
            .is_none());
        found
    };
    let (slot, piece) = next(&host).unwrap();
    host.zms.hmb_spoil(slot, 1 << piece);
    assert_eq!(next(&host), None);
    assert_eq!(host.read_missed(5), miss + LOOK);
    assert_eq!(host.read_missed(5), hit);
    assert_eq!(host.counted().corrupt, 1);
}

#[test]
fn the_pieces_to_look_at_are_those_of_the_range() {
    let mut host = block(64);
    for page in [0, 1024] {
        host.read_missed(page);
    }
    let pieces = |first: u64, pages: u64| {
        let command = Command::read(Sector::new(first * PAGE), pages * PAGE);
        let mut cursor = Cursor::default();
        let next = || host.zms.hmb_next(Namespace::Data, &command, &mut cursor);
        core::iter::from_fn(next)
            .map(|(_, piece)| piece)
            .collect::<Vec<_>>()
    };
    assert_eq!(pieces(15, 2), [0, 1]);
    assert_eq!(pieces(16, 16), [1]);
    assert_eq!(pieces(1000, 64), [62, 63, 0, 1, 2]);
    assert_eq!(pieces(2040, 64), [63], "the next map page is not there");
}

#[test]
fn a_power_cut_leaves_nothing() {
    let mut host = block(64);
    let miss = host.read_missed(5);
    assert!(host.read_missed(5) < miss);
    host.now = host.zms.power_cut(host.now).ready + Nanos::from_micros(100_000);
    assert_eq!(host.zms.hmb_lent(), 0);
    assert_eq!(host.read_missed(5), miss);
    host.zms.hmb_lend(64, true);
    assert_eq!(host.read_missed(5), miss);
    host.zms.check_invariants().unwrap();
}

/// Two drives that are asked the same, one of which is saved and made anew all the time; commands of all kinds, memory that
/// comes and goes and is spoilt.
#[test]
fn a_drive_that_is_saved_at_any_instant_goes_on() {
    for preset in ["tlc-block", "tlc-zoned", "qlc-zoned-zone-slc"] {
        let mut c = drive(preset, 5);
        c.l2p.hybrid = preset != "tlc-zoned";
        c.l2p.resident = false;
        let mut drives = [(); 2].map(|()| Zms::new(&c).unwrap());
        let mut random = Random::new(9);
        let mut now = Instant::ZERO;
        let mut written = 0;
        for round in 0..800 {
            now += Nanos::from_micros(random.draw() % 3_000);
            let at = Sector::new(random.draw() % (written + 1) / PAGE * PAGE);
            let command = match random.draw() % 8 {
                0..3 => {
                    let sectors = PAGE * (1 + random.draw() % 48);
                    written += sectors;
                    Command::write(Sector::new(written - sectors), sectors, false)
                }
                3 => Command::Flush,
                _ => Command::read(at, PAGE * (1 + random.draw() % 8)),
            };
            let (slots, kept) = ((random.draw() % 3 * 5) as u32, random.draw() % 2 > 0);
            let lends = random.draw() % 50 == 0;
            let mask = random.draw() & random.draw();
            let answers = [0, 1].map(|n| {
                let zms = &mut drives[n];
                if lends || round == 0 {
                    zms.hmb_lend(slots, kept);
                }
                if mask % 4 == 0 {
                    zms.hmb_spoil((mask >> 2) as u32 % 5, mask);
                }
                let outcome = zms.submit(Namespace::Data, &command, now);
                if n == 1 && round % 3 == 0 {
                    let saved = state::encode(zms);
                    let mut again = Zms::new(&c).unwrap();
                    state::decode(&mut again, &saved).unwrap();
                    assert_eq!(state::encode(&again), saved);
                    *zms = again;
                }
                outcome
            });
            assert_eq!(answers[0], answers[1], "{preset}, round {round}");
        }
        let counted = drives[0].stats().data.hmb;
        assert_eq!(drives[1].stats().data.hmb, counted);
        let all = [counted.hits, counted.misses, counted.corrupt, counted.fills];
        assert!(all.iter().all(|n| *n > 5), "{preset}: {counted:?}");
    }
}
