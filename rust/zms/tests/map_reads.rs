// SPDX-License-Identifier: GPL-2.0-or-later
//! Where map reads go, and what they cost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod common;

use ftl::Random;
use units::{Bytes, Instant, Nanos, Sector};
use zms::{Command, Config, L2pSearch, Namespace, Zms};

const PAGE_SECTORS: u64 = 8;

struct Host {
    zms: Zms,
    now: Instant,
}

impl Host {
    fn new(config: &Config) -> Self {
        Self {
            zms: Zms::new(config).unwrap(),
            now: Instant::ZERO,
        }
    }

    /// Submits when the one before has completed; how long it took.
    fn submit(&mut self, namespace: Namespace, command: Command) -> Nanos {
        let outcome = self.zms.submit(namespace, &command, self.now);
        assert!(outcome.result.is_ok(), "{command:?}: {outcome:?}");
        let took = outcome.done.since(self.now);
        self.now = outcome.done;
        took
    }

    /// Writes `pages` pages from `first` on, in pieces.
    fn fill(&mut self, namespace: Namespace, first: u64, pages: u64) {
        for at in (0..pages).step_by(64) {
            let sectors = 64.min(pages - at) * PAGE_SECTORS;
            let at = Sector::new((first + at) * PAGE_SECTORS);
            self.submit(namespace, Command::write(at, sectors, false));
        }
        self.submit(namespace, Command::Flush);
        self.now += Nanos::from_micros(100_000);
    }

    fn read(&mut self, namespace: Namespace, page: u64) -> Nanos {
        let at = Sector::new(page * PAGE_SECTORS);
        self.submit(namespace, Command::read(at, PAGE_SECTORS))
    }

    fn plane_operations(&self) -> Vec<u64> {
        let stats = self.zms.stats();
        stats.planes.iter().map(|plane| plane.operations).collect()
    }
}

/// A drive of four planes with next to no map cache.
fn drive(settings: &[(&str, &str)]) -> Config {
    let mut c = common::config("tlc-zoned", settings);
    c.l2p.cache = Bytes::new(64);
    c.l2p.resident = false;
    c.l2p.search = L2pSearch::Bitmap;
    c
}

/// Reads at random from what `filled` wrote; how the planes' operations are spread, least and most.
fn spread(c: &Config, namespace: Namespace, filled: &[(u64, u64)]) -> (u64, u64) {
    const READS: u64 = 4000;
    let mut host = Host::new(c);
    for &(first, pages) in filled {
        host.fill(namespace, first, pages);
    }
    let before = host.plane_operations();
    let mut random = Random::new(2);
    for _ in 0..READS {
        let (first, pages) = filled[random.draw() as usize % filled.len()];
        host.read(namespace, first + random.draw() % pages);
    }
    let stats = host.zms.stats();
    let counters = [&stats.data, &stats.meta];
    let map_reads: u64 = counters.iter().map(|c| c.map_reads).sum();
    assert!(map_reads > READS / 3, "only {map_reads} map reads");
    let after = host.plane_operations();
    let each: Vec<_> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
    (*each.iter().min().unwrap(), *each.iter().max().unwrap())
}

/// Zones filled in part are mapped by chunks, full ones as zones, and without hybrid mapping by pages.
#[test]
fn map_reads_use_all_planes_at_every_granularity() {
    let c = drive(&[("meta-size", "128M")]);
    let capacity = c.zone_capacity().get() / 4096;
    let span = capacity.next_power_of_two();
    let parts = |zones: u64, pages: u64| (0..zones).map(|z| (z * span, pages)).collect::<Vec<_>>();
    let mut whole = c.clone();
    whole.l2p.cache = Bytes::new(16);
    let mut pages = c.clone();
    pages.l2p.hybrid = false;
    for (what, c, filled) in [
        ("chunks", &c, parts(3, capacity * 6 / 10)),
        ("zones", &whole, parts(24, capacity)),
        ("pages", &pages, parts(3, capacity * 6 / 10)),
    ] {
        let (least, most) = spread(c, Namespace::Data, &filled);
        assert!(most * 10 < least * 18, "{what}: {least} to {most}");
    }
    let (least, most) = spread(&c, Namespace::Meta, &[(0, 1 << 15)]);
    assert!(most * 10 < least * 18, "meta: {least} to {most}");
}

#[test]
fn a_miss_of_a_page_adds_a_sense_in_slc_and_4_kib_on_the_channel() {
    let mut c = common::config("ufs4-tlc", &[("block-size", "3M"), ("zones", "4")]);
    c.l2p.search = L2pSearch::Bitmap;
    c.l2p.cache = Bytes::new(64);
    let mut host = Host::new(&c);
    // Less than a chunk: mapped by pages.
    host.fill(Namespace::Data, 0, 480);
    for page in [0, 100, 399] {
        let miss = host.read(Namespace::Data, page);
        host.now += Nanos::from_micros(100);
        let hit = host.read(Namespace::Data, page);
        host.now += Nanos::from_micros(100);
        assert_eq!(hit, Nanos::new(20_000 + 40_000 + 2_748 + 1_303));
        assert_eq!(miss, hit + Nanos::new(20_000 + 2_748));
    }
}
