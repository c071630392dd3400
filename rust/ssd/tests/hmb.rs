// SPDX-License-Identifier: GPL-2.0-or-later
//! Host Memory Buffers of whole drives, in a guest's memory: data is right and time is the same whatever becomes of the bytes.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{config, fitting, machine, page_of, version_of, Random, OK, PAGE, SMALL};
use ftl::HmbCounters;
use nvme_spec::{Cns, FeatureId, HostMemoryDescriptor, NvmOpcode};
use ssd::{Drive, Journal, Recorded, PRESETS};
use std::sync::{Arc, Mutex};
use testkit::{command, Guest};

/// A map cache of one entry of its own, and one map page less in the host's memory than the namespace has.
const HMB: [(&str, &str); 5] = [
    ("l2p-cache-size", "4"),
    ("l2p-slots", "1"),
    ("hmb-size", "12K"),
    ("block-data-size", "16M"),
    ("meta-size", "0"),
];
const SLOTS: u64 = 3;
const PAGES: u64 = 4096;

/// A drive with map pages of its own to read, and where its buffer lies: `SLOTS` pages, in two parts.
struct Lender {
    guest: Guest<Drive>,
    parts: [u64; 2],
    list: u64,
    /// What the guest has allocated until then stays.
    mark: u64,
}

impl Lender {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&'static str, &'static str)]) -> Self {
        let mut guest = machine("tlc-block", &[&HMB, settings].concat());
        let parts = [guest.alloc(2 * 4096), guest.alloc(4096)];
        let list = guest.alloc(4096);
        let entries = [(parts[0], 2), (parts[1], 1)];
        let entries = entries.map(|(address, pages)| HostMemoryDescriptor { address, pages });
        guest.poke(list, entries.map(|entry| entry.encode()).as_flattened());
        let mark = guest.mark();
        Self {
            guest,
            parts,
            list,
            mark,
        }
    }

    fn lend(&mut self, flags: u32) {
        let sqe = command::host_buffer(flags, SLOTS as u32, self.list, 2);
        assert_eq!(self.guest.admin(sqe).status(), OK);
    }

    fn take_back(&mut self) {
        let sqe = command::host_buffer(0, 0, 0, 0);
        assert_eq!(self.guest.admin(sqe).status(), OK);
    }

    /// A byte of the buffer.
    fn address(&self, at: u64) -> u64 {
        match at.checked_sub(2 * 4096) {
            None => self.parts[0] + at,
            Some(at) => self.parts[1] + at,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        [
            self.guest.peek(self.parts[0], 2 * 4096),
            self.guest.peek(self.parts[1], 4096),
        ]
        .concat()
    }

    fn write(&mut self, page: u64, versions: &[u64]) {
        let bytes: Vec<u8> = versions.iter().flat_map(|v| page_of(*v)).collect();
        let mark = self.guest.mark();
        assert_eq!(self.guest.write(1, page * 8, 9, &bytes).status(), OK);
        self.guest.release(mark);
    }

    fn read(&mut self, page: u64) -> u64 {
        let mark = self.guest.mark();
        let (cqe, bytes) = self.guest.read(1, page * 8, 9, 8);
        self.guest.release(mark);
        assert_eq!(cqe.status(), OK);
        version_of(&bytes[..PAGE]).unwrap()
    }

    fn fill(&mut self) {
        for page in (0..PAGES).step_by(16) {
            let versions: Vec<u64> = (page + 1..page + 17).collect();
            self.write(page, &versions);
        }
    }

    fn counted(&self) -> HmbCounters {
        self.guest.controller.drive().model().stats().data.hmb
    }
}

#[test]
fn pieces_lie_in_the_guests_memory_and_what_is_changed_there_is_read_from_flash() {
    let mut lender = Lender::new();
    lender.fill();
    lender.lend(1);
    assert!(lender.bytes().iter().all(|byte| *byte == 0));
    for page in [3, 1030, 2050, 3, 1030, 2050] {
        assert_eq!(lender.read(page), page + 1);
    }
    let all = (3, 3, 0, 3);
    let counted = |lender: &Lender| {
        let c = lender.counted();
        (c.hits, c.misses, c.corrupt, c.fills)
    };
    assert_eq!(counted(&lender), all);
    let written = lender.bytes();
    assert!(written.chunks_exact(64).all(|piece| piece != [0; 64]));
    // Any byte of a piece matters, and to no other.
    for byte in 0..64 {
        for slot in 0..SLOTS {
            let address = lender.address(slot * 4096 + byte);
            let old = lender.guest.peek(address, 1)[0];
            lender.guest.poke(address, &[old ^ 1 << (byte % 8)]);
        }
        let before = lender.counted();
        for page in [3, 1024, 2048, 40, 1024 + 40, 2048 + 40] {
            assert_eq!(lender.read(page), page + 1);
        }
        let after = lender.counted();
        assert_eq!(after.corrupt - before.corrupt, 3, "byte {byte}");
        assert_eq!(after.hits - before.hits, 3);
        assert_eq!(after.fills - before.fills, 3, "they are written anew");
    }
}

#[test]
fn the_same_bytes_are_written_in_every_run() {
    let bytes = [(); 2].map(|()| {
        let mut lender = Lender::new();
        lender.fill();
        lender.lend(1);
        for page in 0..200 {
            lender.read(page * 977 % PAGES);
        }
        (lender.bytes(), lender.guest.host.clock)
    });
    assert_eq!(bytes[0], bytes[1]);
}

#[test]
fn a_drive_whose_host_lends_nothing_is_as_fast_as_one_that_asks_for_nothing() {
    let mut asks = Lender::new();
    let mut none = Lender::with(&[("hmb-size", "0")]);
    for lender in [&mut asks, &mut none] {
        lender.fill();
        for page in 0..100 {
            lender.read(page * 977 % PAGES);
        }
    }
    assert_eq!(asks.guest.host.clock, none.guest.host.clock);
    assert_eq!(asks.counted(), HmbCounters::default());
}

#[test]
fn off_is_what_it_was() {
    for preset in PRESETS {
        let mut guest = machine(preset.name, &fitting(preset.name, &[], &SMALL));
        let identify = command::identify(Cns::Controller, 0, 0);
        let page = guest.receive(0, identify, 4096).1;
        assert_eq!(page[272..280], [0; 8], "{}", preset.name);
        assert_eq!(page[332..338], [0; 6], "{}", preset.name);
        let get = command::get_feature(FeatureId::HostMemoryBuffer, 0, 0, 0);
        assert_ne!(guest.admin(get).status(), OK, "{}", preset.name);
    }
}

#[test]
fn only_drives_with_such_a_map_ask_for_memory_and_sizes_must_agree() {
    let error = |preset, settings: &[(&str, &str)]| {
        let mut config = ssd::Config::preset(preset).unwrap();
        let set = settings
            .iter()
            .try_for_each(|(name, value)| config.set(name, value));
        match set {
            Ok(()) => config.plan().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    };
    for preset in ["zns-zn540", "conv-970pro", "nvm-optane"] {
        let said = error(preset, &[("hmb-size", "16M")]);
        assert!(said.contains("hmb-size"), "{said}");
    }
    assert_eq!(
        error("tlc-zoned", &[("hmb-size", "5000")]),
        "property 'hmb-size' = 5000: must be a multiple of 4 KiB, the mapping unit"
    );
    let said = error("tlc-zoned", &[("hmb-size", "16M"), ("hmb-min", "20M")]);
    assert_eq!(
        said,
        "property 'hmb-min' = 20M: must not exceed hmb-size, 16 MiB"
    );
}

/// Takes down all that it is told.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Recorded>>);

impl Journal for Notes {
    fn note(&self, what: &Recorded) {
        self.0.lock().unwrap().push(*what);
    }
}

/// What the guest does next: the same for each of several.
fn act(lender: &mut Lender, random: &mut Random, data: &mut [u64], lent: &mut bool) {
    let page = random.below(PAGES - 16);
    match random.below(24) {
        0 if *lent => {
            lender.take_back();
            *lent = false;
        }
        0 | 1 if !*lent => {
            lender.lend(1 + 2 * random.below(2) as u32);
            *lent = true;
        }
        2 => {
            lender.guest.disable();
            lender.guest.release(lender.mark);
            assert!(lender.guest.enable() && lender.guest.create_queues(1, 16));
            *lent = false;
        }
        3 => {
            let at = lender.address(random.below(SLOTS * 4096 - 8));
            let scribble = random.below(256) as u8;
            lender.guest.poke(at, &[scribble; 8]);
        }
        4 => {
            // Slots change places.
            let (a, b) = (
                lender.address(random.below(SLOTS) * 4096),
                lender.address(0),
            );
            let (x, y) = (lender.guest.peek(a, 4096), lender.guest.peek(b, 4096));
            lender.guest.poke(a, &y);
            lender.guest.poke(b, &x);
        }
        5..10 => {
            let n = 1 + random.below(16);
            let version = data.iter().max().unwrap() + 1;
            let versions: Vec<u64> = (version..version + n).collect();
            lender.write(page, &versions);
            data[page as usize..][..n as usize].copy_from_slice(&versions);
        }
        10 => {
            let zeroes = command::blocks(NvmOpcode::WriteZeroes, 1, page * 8, 8);
            assert_eq!(lender.guest.io(zeroes).status(), OK);
            data[page as usize] = 0;
        }
        _ => assert_eq!(lender.read(page), data[page as usize]),
    }
}

#[test]
fn a_guest_that_scribbles_lends_and_takes_back_reads_what_it_wrote() {
    let mut lender = Lender::new();
    let mut random = Random(11);
    lender.fill();
    let mut data: Vec<u64> = (1..=PAGES).collect();
    let notes = Arc::new(Notes::default());
    let mut twin = lender.guest.controller.drive().clone();
    lender
        .guest
        .controller
        .drive_mut()
        .add_journal(notes.clone());
    let mut lent = false;
    for _ in 0..6000 {
        act(&mut lender, &mut random, &mut data, &mut lent);
    }
    lender.guest.controller.check_invariants().unwrap();
    let drive = lender.guest.controller.drive();
    drive.model().check_invariants().unwrap();
    let counted = lender.counted();
    let all = [counted.hits, counted.misses, counted.corrupt, counted.fills];
    assert!(all.iter().all(|n| *n > 50), "{counted:?}");
    // Without any memory, what was written down makes the same drive.
    for what in notes.0.lock().unwrap().iter() {
        twin.replay(what, &mut |_| ());
    }
    let now = lender.guest.host.clock;
    let mut drive = drive.clone();
    for drive in [&mut drive, &mut twin] {
        nvme::Drive::advance(drive, now);
    }
    assert!(state::encode(&drive) == state::encode(&twin));
}

#[test]
fn a_drive_that_is_saved_at_any_instant_goes_on() {
    let config = config("tlc-block", &HMB);
    let mut lenders = [Lender::new(), Lender::new()];
    let mut random = [Random(5), Random(5)];
    let mut data: [Vec<u64>; 2] = [(); 2].map(|()| (1..=PAGES).collect());
    let mut lent = [false; 2];
    lenders.iter_mut().for_each(Lender::fill);
    for round in 0..1200 {
        for n in [0, 1] {
            act(&mut lenders[n], &mut random[n], &mut data[n], &mut lent[n]);
        }
        assert_eq!(
            lenders[0].guest.host.clock, lenders[1].guest.host.clock,
            "round {round}"
        );
        let guest = &mut lenders[1].guest;
        let saved = ssd::save(&guest.controller, &config);
        guest.controller = ssd::load(&config, &saved).unwrap().0;
        assert_eq!(ssd::save(&guest.controller, &config), saved);
    }
    assert_eq!(lenders[0].bytes(), lenders[1].bytes());
    assert_eq!(lenders[0].counted(), lenders[1].counted());
    assert!(lenders[0].counted().hits > 100);
}

#[test]
fn a_power_cut_takes_the_buffer() {
    let mut lender = Lender::with(&[("power-cuts", "dead")]);
    lender.fill();
    lender.lend(1);
    lender.read(3);
    lender.read(4);
    assert_eq!(lender.counted().hits, 1);
    let guest = &mut lender.guest;
    guest.controller.cut_power_at(Some(guest.host.clock));
    guest.run();
    assert!(guest.controller.is_off());
    guest.controller.reset(guest.host.clock);
    guest.settle(100);
    assert!(guest.enable() && guest.create_queues(1, 16));
    assert_eq!(guest.controller.drive().model().hmb_lent(), 0);
    lender.lend(3);
    lender.read(3);
    assert_eq!(lender.counted().hits, 1, "it says that it is the same");
}
