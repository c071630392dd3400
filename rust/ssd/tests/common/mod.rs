// SPDX-License-Identifier: GPL-2.0-or-later
//! A fake machine with a small drive.
#![allow(dead_code, reason = "each test file uses a part")]

use core::ops::Range;
use nvme_spec::{NvmOpcode, Status};
use ssd::{Config, Drive};
use testkit::{command, Guest};

pub const OK: Option<Status> = Some(Status::Success);

/// Settings that make a preset's drive small: those of these that it has.
pub const SMALL: [(&str, &str); 6] = [
    ("meta-size", "4M"),
    ("zones", "4"),
    ("max-active", "3"),
    ("block-size", "3M"),
    ("zone-capacity", "3M"),
    ("block-data-size", "16M"),
];

pub const PAGE: usize = 4096;

/// A page of a version: its number, and what no other bytes are.
pub fn page_of(version: u64) -> Vec<u8> {
    let mut bytes = vec![0x5a; PAGE];
    bytes[..8].copy_from_slice(&version.to_le_bytes());
    bytes
}

/// The version that a page has as a whole, 0 for one of zeroes; none if it is torn.
pub fn version_of(page: &[u8]) -> Option<u64> {
    let (number, rest) = page.split_first_chunk()?;
    let version = u64::from_le_bytes(*number);
    let fill = if version == 0 { 0 } else { 0x5a };
    rest.iter().all(|byte| *byte == fill).then_some(version)
}

pub fn config(preset: &str, settings: &[(&str, &str)]) -> Config {
    let mut config = Config::preset(preset).unwrap();
    for (name, value) in settings {
        config.set(name, value).unwrap();
    }
    config
}

/// Settings beside those `given`, as far as a preset's drive can have them.
pub fn fitting(
    preset: &str,
    given: &[(&'static str, &'static str)],
    settings: &[(&'static str, &'static str)],
) -> Vec<(&'static str, &'static str)> {
    let mut taken = given.to_vec();
    for setting in settings {
        taken.push(*setting);
        if config(preset, &taken).plan().is_err() {
            taken.pop();
        }
    }
    taken
}

/// Pseudo-random numbers that repeat with their seed (Knuth's MMIX constants).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % n
    }
}

/// A machine with an enabled consumer drive of a few MiB and one I/O queue pair.
pub fn guest(preset: &str, settings: &[(&str, &str)]) -> Guest<Drive> {
    let small = [("meta-size", "4M"), ("zones", "4"), ("block-size", "3M")];
    machine(preset, &[&small, settings].concat())
}

/// A machine with an enabled drive and one I/O queue pair.
pub fn machine(preset: &str, settings: &[(&str, &str)]) -> Guest<Drive> {
    let config = config(preset, settings);
    let plan = config.plan().unwrap();
    let media = usize::try_from(plan.layout.size.get()).unwrap();
    let drive = Drive::new(&plan).unwrap();
    let mut guest = Guest::new(plan.controller.clone(), drive, 4 << 20, media).unwrap();
    assert!(guest.enable());
    assert!(guest.create_queues(1, 16));
    guest
}

pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 512) as u8 ^ seed).collect()
}

/// Submits a write of pages from `first` on, one of each of these versions, by way of `buffer`; gives its identifier.
pub fn write_versions(
    guest: &mut Guest<Drive>,
    buffer: u64,
    (nsid, first): (u32, u64),
    versions: Range<u64>,
    fua: bool,
) -> u16 {
    let pages = versions.end - versions.start;
    for (n, version) in (0..).zip(versions) {
        guest.poke(buffer + n * PAGE as u64, &page_of(version));
    }
    let mut sqe = command::blocks(NvmOpcode::Write, nsid, first * 8, pages as u32 * 8);
    sqe.cdw[2] |= u32::from(fua) << 30;
    let mark = guest.mark();
    let sqe = guest.with_prp(sqe, buffer, pages * PAGE as u64);
    let cid = guest.submit(1, sqe);
    guest.release(mark);
    cid
}
