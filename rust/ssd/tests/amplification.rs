// SPDX-License-Identifier: GPL-2.0-or-later
//! What the statistics call amplification, with commands smaller than a page.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod common;

use common::config;
use ftl::{Command, Namespace};
use serde_json::Value;
use ssd::Model;
use units::{Instant, Sector};

struct Host {
    model: Model,
    now: Instant,
}

impl Host {
    fn new(preset: &str, settings: &[(&str, &str)]) -> Self {
        let plan = config(preset, settings).plan().unwrap();
        Self {
            model: Model::new(&plan).unwrap(),
            now: Instant::ZERO,
        }
    }

    fn submit(&mut self, namespace: Namespace, command: &Command) {
        let outcome = self.model.submit(namespace, command, self.now);
        assert!(outcome.result.is_ok(), "{command:?}: {outcome:?}");
        self.now = outcome.done;
    }

    /// `pages` pages in pieces of so many sectors.
    fn write(&mut self, namespace: Namespace, pages: u64, piece: u64) {
        for at in (0..pages * 8).step_by(piece as usize) {
            self.submit(namespace, &Command::write(Sector::new(at), piece, false));
        }
    }

    /// Reads a part of each of these pages.
    fn read(&mut self, pages: u64, sectors: u64) {
        for page in 0..pages {
            let read = Command::read(Sector::new(page * 8), sectors);
            self.submit(Namespace::Data, &read);
        }
    }

    fn stats(&self) -> Value {
        serde_json::from_str(&ssd::stats_json(&self.model)).unwrap()
    }
}

fn ratio(stats: &Value, namespace: &str, name: &str) -> f64 {
    let both = stats[name].as_f64().unwrap();
    let own = stats["namespaces"][namespace][name].as_f64().unwrap();
    assert_eq!(both, own, "{name}: only this namespace was used");
    own
}

/// What fills the write buffer is programmed once, in writes of 512 bytes as in writes of pages.
#[test]
fn writes_smaller_than_a_page_are_counted_by_their_bytes() {
    for (preset, settings, namespace, name, pages) in [
        ("tlc-zoned", &[][..], Namespace::Data, "data", 96),
        ("tlc-zoned", &[], Namespace::Meta, "meta", 128),
        ("qlc-zoned-page-slc", &[], Namespace::Data, "data", 96),
        ("tlc-block", &[], Namespace::Data, "data", 192),
        ("nvm-optane", &[], Namespace::Data, "data", 96),
    ] {
        for piece in [1, 2, 8, 32] {
            let mut host = Host::new(preset, settings);
            host.write(namespace, pages, piece);
            let stats = host.stats();
            assert_eq!(stats["host_write_sectors"], pages * 8, "{preset}");
            let waf = ratio(&stats, name, "waf");
            assert_eq!(waf, 1.0, "{preset}, {name}, {piece} sectors each");
        }
    }
}

/// An area takes 512 bytes at a time, and keeps what is overwritten from being programmed.
#[test]
fn random_write_areas_count_bytes_as_well() {
    let settings = [("zrwa-size", "384K"), ("zrwa-flush-granularity", "16K")];
    let mut host = Host::new("tlc-zoned", &settings);
    let open = Command::Zone {
        action: ftl::ZoneAction::OpenZrwa,
        target: ftl::ZoneTarget::One(Sector::new(0)),
    };
    host.submit(Namespace::Data, &open);
    host.write(Namespace::Data, 96, 1);
    host.write(Namespace::Data, 96, 8);
    host.submit(
        Namespace::Data,
        &Command::CommitZrwa {
            end: Sector::new(96 * 8),
        },
    );
    let stats = host.stats();
    assert_eq!(stats["host_write_sectors"], 2 * 96 * 8);
    assert_eq!(ratio(&stats, "data", "waf"), 0.5);
}

/// Pages in pSLC, read one by one: each read senses its page, and each miss the map.
#[test]
fn read_amplification_has_two_figures_with_and_without_map_reads() {
    let settings = [("l2p-cache-size", "64"), ("l2p-search", "bitmap")];
    for (sectors, data, with_map) in [(8, 1.0, 2.0), (1, 8.0, 16.0), (4, 2.0, 4.0)] {
        let mut host = Host::new("qlc-zoned-page-slc", &settings);
        host.write(Namespace::Data, 96, 8);
        // Those in the cache are not the ones that are read.
        host.read(64, sectors);
        let stats = host.stats();
        let counters = ["pages_read", "map_reads"].map(|name| stats[name].as_u64().unwrap());
        assert_eq!(counters, [64, 64]);
        assert_eq!(ratio(&stats, "data", "raf"), data);
        assert_eq!(ratio(&stats, "data", "raf_with_map"), with_map);
    }
}
