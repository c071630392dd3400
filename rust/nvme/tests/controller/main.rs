// SPDX-License-Identifier: GPL-2.0-or-later
//! The controller as a guest sees it: a driver on one side, a fake drive on the other.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "all of this file tree is tests"
)]

mod admin;
mod data_pointers;
mod events;
mod features;
mod format;
mod host_buffer;
mod interrupts;
mod io;
mod moderation;
mod pages;
mod power;
mod power_states;
mod queues;
mod random;
mod registers;
mod sanitize;
mod self_test;
mod zones;

use nvme::ControllerConfig;
use nvme_spec::{Cns, Cqe, ErrorLogEntry, LogId, Status, DNR, MORE};
use testkit::{command, FakeConfig, FakeDrive, Guest};

pub const MEMORY: usize = 4 << 20;
/// The conventional namespace.
pub const META: u32 = 1;
/// The zoned namespace.
pub const DATA: u32 = 2;
/// LBA size of the default fake drive.
pub const SHIFT: u8 = 12;

/// An enabled controller with the default fake drive and `pairs` I/O queue pairs of 32 entries.
pub fn guest(pairs: u16) -> Guest<FakeDrive> {
    guest_with(ControllerConfig::default(), FakeConfig::default(), pairs)
}

pub fn guest_with(config: ControllerConfig, drive: FakeConfig, pairs: u16) -> Guest<FakeDrive> {
    let drive = FakeDrive::new(drive);
    let media = drive.media_bytes() as usize;
    let mut guest = Guest::new(config, drive, MEMORY, media).unwrap();
    assert!(guest.enable());
    assert!(pairs == 0 || guest.create_queues(pairs, 32));
    guest
}

/// Bytes that differ from block to block and from seed to seed.
pub fn pattern(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed)
        .collect()
}

#[track_caller]
pub fn assert_ok(cqe: Cqe) {
    assert_eq!(cqe.status, 0, "{:?}", cqe.status());
}

/// The exact status field: code, DNR where retrying is futile, and More, since the error log has
/// an entry.
#[track_caller]
pub fn assert_status(cqe: Cqe, status: Status) {
    assert_eq!(cqe.status(), Some(status), "{:#x}", cqe.status);
    assert_ne!(cqe.status & MORE, 0);
    assert_eq!(cqe.status & DNR != 0, status.is_permanent());
}

/// As [`assert_status`], and the error log's newest entry is of this command and names this field.
#[track_caller]
pub fn assert_rejected(
    guest: &mut Guest<FakeDrive>,
    cqe: Cqe,
    status: Status,
    field: Option<(u8, u8)>,
) {
    assert_status(cqe, status);
    let (done, page) = guest.receive(0, command::log(LogId::Error, 0, 64, 0), 64);
    assert_ok(done);
    let entry = ErrorLogEntry::decode(page.as_slice().try_into().unwrap());
    assert_eq!((entry.cid, entry.status), (cqe.cid, cqe.status));
    assert_eq!(entry.sq_id, cqe.sq_id);
    let named = entry.location_byte.map(|byte| (byte, entry.location_bit));
    assert_eq!(named, field, "{status:?}");
}

/// An Identify page.
pub fn identify(guest: &mut Guest<FakeDrive>, cns: Cns, nsid: u32, set: u8) -> Vec<u8> {
    let (cqe, page) = guest.receive(0, command::identify(cns, nsid, set), 4096);
    assert_ok(cqe);
    page
}

/// A little-endian field of a page.
pub fn u16_at(page: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(page[at..at + 2].try_into().unwrap())
}

/// A little-endian field of a page.
pub fn u32_at(page: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(page[at..at + 4].try_into().unwrap())
}

/// A little-endian field of a page.
pub fn u64_at(page: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(page[at..at + 8].try_into().unwrap())
}
