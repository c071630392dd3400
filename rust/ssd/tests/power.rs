// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts, by bytes: what was acknowledged as durable is there or something newer, nothing else than was written is, and
//! the drive goes on.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{config, fitting, machine, version_of, write_versions, Random, PAGE, SMALL};
use nvme::Drive as _;
use nvme_spec::{offset, NvmOpcode, Status, WireZoneAction};
use ssd::{Drive, PRESETS};
use std::collections::{BTreeMap, BTreeSet};
use testkit::{command, Guest};
use units::Nanos;

/// A small drive of a preset whose power can be cut.
fn small(preset: &str, more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    fitting(preset, &[("power-cuts", "dead")], &[&SMALL, more].concat())
}

/// Pages of each namespace that are written.
const HOT: u64 = 24;
/// Versions are numbered in the first bytes of each page.
type Version = u64;
/// What a page has whose program was cut.
const TORN: Version = u64::MAX;
/// A namespace, and a page of it.
type Page = (u32, u64);

/// What a guest knows of a page.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Versions that were written, in order; 0 is none.
    written: Vec<Version>,
    /// How many of them were acknowledged as durable.
    durable: usize,
}

struct Bench {
    guest: Guest<Drive>,
    buffer: u64,
    /// Memory that a driver takes when it comes up again.
    free: u64,
    random: Random,
    version: Version,
    /// Versions that cannot be read.
    marked: BTreeSet<Version>,
    /// Whether a page whose newest version was not durable may be unreadable; and how many are.
    tears: bool,
    torn: u64,
    pages: BTreeMap<Page, Known>,
    /// Writes in flight: what they make durable when they are answered.
    asked: BTreeMap<u16, Vec<(Page, usize)>>,
}

impl Bench {
    fn new(preset: &str, more: &[(&'static str, &'static str)], seed: u64) -> Self {
        let mut guest = machine(preset, &small(preset, more));
        guest.budget = 512;
        let buffer = guest.alloc(16 * PAGE as u64);
        Self {
            free: guest.mark(),
            guest,
            buffer,
            random: Random(seed),
            version: 0,
            marked: BTreeSet::new(),
            tears: more.contains(&("torn-program", "unreadable")),
            torn: 0,
            pages: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Namespaces without zones.
    fn spaces(&self) -> Vec<u32> {
        let infos = self.guest.controller.drive().namespaces();
        let plain = (1..).zip(infos).filter(|(_, info)| info.zoned.is_none());
        plain.map(|(nsid, _)| nsid).collect()
    }

    /// Some pages of one of these namespaces: which one, the first, how many.
    fn somewhere(&mut self, spaces: &[u32]) -> (u32, u64, u64) {
        let nsid = spaces[self.random.below(spaces.len() as u64) as usize];
        let pages = 1 + self.random.below(8);
        (nsid, self.random.below(HOT - pages), pages)
    }

    /// Lets time pass, and until all is answered where much is asked.
    fn go_on(&mut self, nanos: u64) {
        self.pass(nanos);
        if self.asked.len() > 12 {
            self.pass(50_000_000);
        }
    }

    fn write(&mut self, nsid: u32, first: u64, pages: u64, fua: bool) {
        let mut now = Vec::new();
        let versions = self.version + 1..self.version + 1 + pages;
        for page in first..first + pages {
            self.version += 1;
            let known = self.pages.entry((nsid, page)).or_default();
            known.written.push(self.version);
            now.push(((nsid, page), known.written.len()));
        }
        let place = (nsid, first);
        let cid = write_versions(&mut self.guest, self.buffer, place, versions, fua);
        self.asked.insert(cid, if fua { now } else { Vec::new() });
    }

    /// Write Uncorrectable of a page, unless it may have become such a version already.
    fn mark(&mut self, nsid: u32, page: u64) {
        let known = self.pages.entry((nsid, page)).or_default();
        if known.written.iter().any(|v| self.marked.contains(v)) {
            return;
        }
        self.version += 1;
        self.marked.insert(self.version);
        known.written.push(self.version);
        let sqe = command::blocks(NvmOpcode::WriteUncorrectable, nsid, page * 8, 8);
        let cid = self.guest.submit(1, sqe);
        self.asked.insert(cid, Vec::new());
    }

    fn flush(&mut self, nsid: u32) {
        let all = self.pages.iter().filter(|(key, _)| key.0 == nsid);
        let all = all
            .map(|(key, known)| (*key, known.written.len()))
            .collect();
        let sqe = command::plain(NvmOpcode::Flush as u8, nsid);
        let cid = self.guest.submit(1, sqe);
        self.asked.insert(cid, all);
    }

    /// Lets time pass, and takes what is answered.
    fn pass(&mut self, nanos: u64) {
        let end = self.guest.host.clock + Nanos::new(nanos);
        while self.guest.host.wake.is_some_and(|at| at <= end) {
            self.guest.wake();
        }
        self.guest.host.clock = end;
        self.guest.run();
        while let Some(cqe) = self.guest.poll(1) {
            assert_eq!(cqe.status, 0);
            for (key, n) in self.asked.remove(&cqe.cid).unwrap() {
                let known = self.pages.get_mut(&key).unwrap();
                known.durable = known.durable.max(n);
            }
        }
    }

    fn cut(&mut self) {
        let now = self.guest.host.clock;
        self.guest.controller.cut_power_at(Some(now));
        self.guest.run();
        assert!(self.guest.controller.is_off());
        self.guest.controller.reset(now);
        self.guest.release(self.free);
        assert!(self.guest.enable());
        assert!(self.guest.create_queues(1, 16));
        assert_eq!(self.guest.read32(offset::CSTS), 1);
        self.asked.clear();
    }

    /// What the media has of a page, and whether it is one whole version.
    fn held(&mut self, (nsid, page): Page) -> Version {
        let mark = self.guest.mark();
        let (cqe, _) = self.guest.read(nsid, page * 8, 9, 8);
        self.guest.release(mark);
        if cqe.status != 0 {
            assert_eq!(cqe.status(), Some(Status::UnrecoveredRead));
            let known = &self.pages[&(nsid, page)];
            let marked = known.written.iter().find(|v| self.marked.contains(v));
            if let Some(marked) = marked {
                return *marked;
            }
            // It was being programmed: the newest version, which nobody had promised.
            assert!(
                self.tears && known.durable < known.written.len(),
                "{known:?}"
            );
            return TORN;
        }
        let infos = self.guest.controller.drive().namespaces();
        let start = infos[nsid as usize - 1].media_offset as usize + page as usize * PAGE;
        version_of(&self.guest.host.media[start..start + PAGE]).unwrap()
    }

    fn deallocate(&mut self, nsid: u32, page: u64) {
        let mut range = [0; 16];
        range[4..8].copy_from_slice(&8_u32.to_le_bytes());
        range[8..].copy_from_slice(&(page * 8).to_le_bytes());
        self.guest.poke(self.buffer, &range);
        let mut sqe = command::plain(NvmOpcode::DatasetManagement as u8, nsid);
        // One range, to be deallocated.
        (sqe.cdw[1], sqe.prp1) = (4, self.buffer);
        assert_eq!(self.guest.io(sqe).status, 0);
    }

    /// How a read of a page ends.
    fn held_again(&mut self, nsid: u32, page: u64) -> Option<Status> {
        let mark = self.guest.mark();
        let (cqe, _) = self.guest.read(nsid, page * 8, 9, 8);
        self.guest.release(mark);
        cqe.status()
    }

    /// Each page has a version that is not older than what was acknowledged; from then on that is all there is.
    fn check(&mut self) -> (u64, u64) {
        let (mut older, mut gone) = (0, 0);
        let keys: Vec<_> = self.pages.keys().copied().collect();
        for key in keys {
            let version = self.held(key);
            let known = self.pages.get_mut(&key).unwrap();
            if version == TORN {
                self.torn += 1;
                known.durable = 0;
                known.written.clear();
                // Until it is written or given up, when it is like any other.
                let (nsid, page) = key;
                assert_eq!(self.held_again(nsid, page), Some(Status::UnrecoveredRead));
                if page % 2 == 0 {
                    self.write(nsid, page, 1, true);
                    self.pass(50_000_000);
                    assert_eq!(self.held(key), self.version);
                } else {
                    self.deallocate(nsid, page);
                    assert_eq!(self.held_again(nsid, page), Some(Status::Success));
                }
                continue;
            }
            let place = match version {
                0 => 0,
                _ => 1 + known.written.iter().position(|v| *v == version).unwrap(),
            };
            assert!(
                place >= known.durable,
                "{key:?} has version {place} of {known:?}"
            );
            gone += u64::from(place == 0 && !known.written.is_empty());
            older += u64::from(place > 0 && place < known.written.len());
            *known = Known {
                written: (version > 0).then_some(version).into_iter().collect(),
                durable: usize::from(version > 0),
            };
        }
        (older, gone)
    }
}

#[test]
fn pages_have_the_bytes_of_their_last_durable_version() {
    for preset in PRESETS {
        for seed in 0..4 {
            let mut bench = Bench::new(preset.name, &[], seed);
            let spaces = bench.spaces();
            if spaces.is_empty() {
                continue;
            }
            let (mut older, mut gone) = (0, 0);
            for round in 0..60 {
                for _ in 0..bench.random.below(30) {
                    let (nsid, first, pages) = bench.somewhere(&spaces);
                    match bench.random.below(12) {
                        0 => bench.flush(nsid),
                        2 => bench.mark(nsid, first),
                        n => bench.write(nsid, first, pages, n == 1),
                    }
                    let longest = [60_000, 60_000, 60_000, 8_000_000];
                    let longest = longest[bench.random.below(4) as usize];
                    let nanos = 1 + bench.random.below(longest);
                    bench.go_on(nanos);
                }
                let before = bench.guest.controller.drive().power_cuts();
                bench.cut();
                let after = bench.guest.controller.drive().power_cuts();
                let (o, g) = bench.check();
                let told = (after.lost - before.lost, after.gone - before.gone);
                assert_eq!(told, (o + g, g), "{}, seed {seed}, {round}", preset.name);
                assert_eq!(after.missing, 0);
                (older, gone) = (older + o, gone + g);
            }
            let loses = preset.name != "nvm-optane";
            assert_eq!(older > 20, loses, "{}: {older} {gone}", preset.name);
        }
    }
}

/// With `torn-program=unreadable` what was being programmed cannot be read, whatever there was before, and nothing else.
#[test]
fn pages_that_were_being_programmed_cannot_be_read_until_they_are_written() {
    for preset in PRESETS {
        let (mut torn, mut all) = (0, 0);
        for seed in 0..3 {
            let mut bench = Bench::new(preset.name, &[("torn-program", "unreadable")], seed);
            let spaces = bench.spaces();
            for _ in 0..40 * usize::from(!spaces.is_empty()) {
                for _ in 0..bench.random.below(30) {
                    let (nsid, first, pages) = bench.somewhere(&spaces);
                    match bench.random.below(12) {
                        0 => bench.flush(nsid),
                        n => bench.write(nsid, first, pages, n < 6),
                    }
                    let nanos = 1 + bench.random.below(60_000);
                    bench.go_on(nanos);
                }
                bench.cut();
                bench.check();
            }
            let cuts = bench.guest.controller.drive().power_cuts();
            assert_eq!(cuts.torn, bench.torn, "{}", preset.name);
            torn += bench.torn;
            all += cuts.lost;
        }
        // What was only buffered is lost as ever.
        let has_both = 0 < torn && torn < all;
        assert_eq!(has_both, all > 0, "{}: {torn} of {all}", preset.name);
    }
}

#[test]
fn a_drive_that_lies_about_flush_loses_what_it_answered_for() {
    for (rule, is_kept) in [("flush=ignored", false), ("clear", true)] {
        for asks in [Bench::flush as fn(&mut Bench, u32), |bench, nsid| {
            bench.write(nsid, 3, 1, true)
        }] {
            let mut bench = Bench::new("tlc-block", &[], 1);
            let nsid = *bench.spaces().last().unwrap();
            let drive = bench.guest.controller.drive_mut();
            drive.set_faults(rule).unwrap();
            bench.write(nsid, 2, 1, false);
            bench.pass(100_000);
            asks(&mut bench, nsid);
            bench.pass(50_000_000);
            let durable = bench.pages.values().filter(|known| known.durable > 0);
            assert!(
                durable.count() > 0 && bench.asked.is_empty(),
                "it was answered"
            );
            bench.cut();
            for (key, known) in bench.pages.clone() {
                let is_there = known.durable == 0 || bench.held(key) > 0;
                assert_eq!(is_there, is_kept || known.durable == 0, "{rule} {key:?}");
            }
        }
    }
}

#[test]
fn a_drive_that_was_saved_brings_back_the_same() {
    let settings = small("tlc-block", &[]);
    let config = config("tlc-block", &settings);
    let mut benches = [7, 7].map(|seed| Bench::new("tlc-block", &[], seed));
    for bench in &mut benches {
        for n in 0..40 {
            let (pages, first) = (1 + bench.random.below(8), bench.random.below(16));
            bench.write(2, first, pages, n % 5 == 0);
            bench.pass(1_000_000);
        }
        bench.write(2, 0, 16, false);
    }
    let [one, other] = &mut benches;
    let saved = ssd::save(&other.guest.controller, &config);
    other.guest.controller = ssd::load(&config, &saved).unwrap().0;
    assert_eq!(ssd::save(&other.guest.controller, &config), saved);
    one.cut();
    other.cut();
    assert!(one.guest.host.media == other.guest.host.media);
    let (older, _) = one.check();
    assert!(older > 0);
}

#[test]
fn without_cuts_nothing_is_kept() {
    let plain = config("tlc-block", &[]).plan().unwrap();
    let cuts = config("tlc-block", &[("power-cuts", "reset")])
        .plan()
        .unwrap();
    assert_eq!(plain.layout.undo_pages, 0);
    assert_eq!(cuts.layout.undo_pages, 16 << 10);
    assert_eq!(cuts.layout.size.get() - plain.layout.size.get(), 64 << 20);
    // Nor where all is in zones, or nothing is volatile.
    for preset in ["zns-zn540", "nvm-optane"] {
        let plan = config(preset, &[("power-cuts", "reset")]).plan().unwrap();
        assert_eq!(plan.layout.undo_pages, 0);
    }
}

#[test]
fn a_zone_whose_reset_a_controller_reset_interrupts_reads_as_zeroes() {
    let mut guest = machine("tlc-zoned", &small("tlc-zoned", &[]));
    let buffer = guest.alloc(PAGE as u64 * 16);
    guest.poke(buffer, &[7; PAGE * 16]);
    let free = guest.mark();
    for at in 0..8 {
        let sqe = command::blocks(NvmOpcode::Write, 2, at * 128, 128);
        let sqe = guest.with_prp(sqe, buffer, PAGE as u64 * 16);
        assert_eq!(guest.io(sqe).status, 0);
    }
    let offset = guest.controller.drive().namespaces()[1].media_offset as usize;
    let last = offset + (500 << 10);
    guest.budget = 2;
    guest.submit(1, command::zone_send(2, 0, WireZoneAction::Reset, false));
    assert_eq!((guest.host.media[offset], guest.host.media[last]), (0, 7));
    guest.disable();
    guest.release(free);
    // Also in the drive's state.
    let settings = small("tlc-zoned", &[]);
    let config = config("tlc-zoned", &settings);
    let saved = ssd::save(&guest.controller, &config);
    guest.controller = ssd::load(&config, &saved).unwrap().0;
    assert!(guest.enable());
    while let Some(at) = guest.host.wake.filter(|_| guest.host.media[last] != 0) {
        guest.host.clock = guest.host.clock.max(at);
        guest.run();
    }
    assert_eq!(guest.host.media[last], 0);
    assert!(guest.host.media[offset..offset + (512 << 10)]
        .iter()
        .all(|byte| *byte == 0));
}

#[test]
fn what_is_being_reset_has_no_bytes_left() {
    let mut guest = machine("tlc-zoned", &small("tlc-zoned", &[]));
    let buffer = guest.alloc(PAGE as u64 * 16);
    guest.poke(buffer, &[7; PAGE * 16]);
    for at in 0..8 {
        let sqe = command::blocks(NvmOpcode::Write, 2, at * 128, 128);
        let sqe = guest.with_prp(sqe, buffer, PAGE as u64 * 16);
        assert_eq!(guest.io(sqe).status, 0);
    }
    let offset = guest.controller.drive().namespaces()[1].media_offset as usize;
    assert_eq!(guest.host.media[offset + (500 << 10)], 7);
    // Its bytes go piece by piece.
    guest.budget = 2;
    guest.submit(1, command::zone_send(2, 0, WireZoneAction::Reset, false));
    assert_eq!(guest.host.media[offset], 0);
    assert_eq!(guest.host.media[offset + (500 << 10)], 7);
    let now = guest.host.clock;
    guest.controller.cut_power_at(Some(now));
    guest.run();
    assert_eq!(guest.host.media[offset + (500 << 10)], 0);
}
