// SPDX-License-Identifier: GPL-2.0-or-later
//! Write Uncorrectable: what it marks cannot be read until it is written, deallocated or reset.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{config, fitting, machine, pattern, Random, OK, SMALL};
use nvme::Drive as _;
use nvme_spec::{CopyRange, DsmRange, LogId, NvmOpcode, Status, WireZoneAction, SMART_BYTES};
use ssd::{Drive, PRESETS};
use std::collections::BTreeSet;
use testkit::{command, Guest};

const UNREADABLE: Option<Status> = Some(Status::UnrecoveredRead);

fn small(preset: &str) -> Guest<Drive> {
    machine(preset, &fitting(preset, &[], &SMALL))
}

fn mark(guest: &mut Guest<Drive>, nsid: u32, at: u64, blocks: u32) -> Option<Status> {
    let sqe = command::blocks(NvmOpcode::WriteUncorrectable, nsid, at, blocks);
    guest.io(sqe).status()
}

fn read(guest: &mut Guest<Drive>, nsid: u32, at: u64, blocks: u32) -> Option<Status> {
    guest.read(nsid, at, 9, blocks).0.status()
}

/// Namespaces with and without zones.
fn spaces(guest: &Guest<Drive>, zoned: bool) -> Vec<u32> {
    let infos = (1..).zip(guest.controller.drive().namespaces());
    let infos = infos.filter(|(_, info)| info.zoned.is_some() == zoned);
    infos.map(|(nsid, _)| nsid).collect()
}

#[test]
fn marked_blocks_cannot_be_read_by_any_command_until_they_are_written() {
    let mut guest = small("tlc-block");
    let nsid = spaces(&guest, false)[0];
    assert_eq!(guest.write(nsid, 0, 9, &pattern(16 << 10, 1)).status(), OK);
    assert_eq!(mark(&mut guest, nsid, 5, 6), OK);
    for (at, blocks, status) in [
        (0, 5, OK),
        (0, 6, UNREADABLE),
        (10, 1, UNREADABLE),
        (11, 21, OK),
    ] {
        assert_eq!(
            read(&mut guest, nsid, at, blocks),
            status,
            "{blocks} at {at}"
        );
    }
    // The first of them is named.
    let (_, log) = guest.receive(0, command::log(LogId::Error, 0, 64, 0), 64);
    assert_eq!(log[16..24], 10_u64.to_le_bytes());
    let data = pattern(4096, 1);
    let compare = command::blocks(NvmOpcode::Compare, nsid, 4, 8);
    assert_eq!(guest.send(1, compare, &data).status(), UNREADABLE);
    let verify = command::blocks(NvmOpcode::Verify, nsid, 0, 32);
    assert_eq!(guest.io(verify).status(), UNREADABLE);
    let mut copy = command::plain(NvmOpcode::Copy.wire(), nsid);
    copy.set_slba(100);
    let source = |slba| CopyRange { slba, blocks_z: 0 }.encode();
    assert_eq!(guest.send(1, copy, &source(7)).status(), UNREADABLE);
    assert_eq!(guest.send(1, copy, &source(4)).status(), OK);
    // The host wants them so: no failure of the media is counted.
    let (_, smart) = guest.receive(0, command::log(LogId::Smart, u32::MAX, 512, 0), SMART_BYTES);
    assert_eq!(smart[160], 0);
    assert_eq!(guest.write(nsid, 6, 9, &data[..512]).status(), OK);
    let (cqe, back) = guest.read(nsid, 6, 9, 1);
    assert_eq!((cqe.status(), &back[..]), (OK, &data[..512]));
    assert_eq!(read(&mut guest, nsid, 5, 1), UNREADABLE);
    assert_eq!(read(&mut guest, nsid, 7, 1), UNREADABLE);
    // A destination of Copy, zeroes written, and a deallocation write them as well.
    copy.set_slba(7);
    assert_eq!(guest.send(1, copy, &source(4)).status(), OK);
    let zeroes = command::blocks(NvmOpcode::WriteZeroes, nsid, 8, 1);
    assert_eq!(guest.io(zeroes).status(), OK);
    let mut dsm = command::plain(NvmOpcode::DatasetManagement.wire(), nsid);
    dsm.cdw[1] = 4;
    let range = DsmRange { slba: 9, blocks: 2 };
    assert_eq!(guest.send(1, dsm, &range.encode()).status(), OK);
    assert_eq!(read(&mut guest, nsid, 6, 26), OK);
    assert_eq!(read(&mut guest, nsid, 5, 1), UNREADABLE);
}

#[test]
fn in_a_zone_it_is_a_write_at_the_write_pointer() {
    for preset in ["tlc-zoned", "zns-zn540"] {
        let mut guest = small(preset);
        let nsid = spaces(&guest, true)[0];
        assert_eq!(mark(&mut guest, nsid, 8, 8), Some(Status::ZoneInvalidWrite));
        assert_eq!(guest.write(nsid, 0, 9, &pattern(4096, 1)).status(), OK);
        assert_eq!(mark(&mut guest, nsid, 8, 8), OK, "{preset}");
        assert_eq!(guest.write(nsid, 16, 9, &pattern(4096, 2)).status(), OK);
        assert_eq!(read(&mut guest, nsid, 0, 8), OK);
        assert_eq!(read(&mut guest, nsid, 0, 9), UNREADABLE);
        assert_eq!(read(&mut guest, nsid, 16, 8), OK);
        for all in [false, true] {
            let reset = command::zone_send(nsid, 0, WireZoneAction::Reset, all);
            assert_eq!(guest.io(reset).status(), OK);
            assert_eq!(read(&mut guest, nsid, 0, 24), OK);
            assert_eq!(mark(&mut guest, nsid, 0, 24), OK);
            assert_eq!(read(&mut guest, nsid, 23, 1), UNREADABLE);
        }
        // What was refused has marked nothing.
        assert_eq!(
            mark(&mut guest, nsid, 16, 8),
            Some(Status::ZoneInvalidWrite)
        );
        let reset = command::zone_send(nsid, 0, WireZoneAction::Reset, false);
        assert_eq!(guest.io(reset).status(), OK);
        assert_eq!(read(&mut guest, nsid, 0, 24), OK);
    }
}

#[test]
fn a_secure_format_erases_marks_where_a_zone_cannot_be_reset() {
    let mut guest = small("tlc-zoned");
    let nsid = spaces(&guest, true)[0];
    assert_eq!(mark(&mut guest, nsid, 0, 8), OK);
    let drive = guest.controller.drive_mut();
    drive.inject_zone(units::ZoneId::new(0), false).unwrap();
    let mut format = command::plain(nvme_spec::AdminOpcode::FormatNvm.wire(), nsid);
    assert_eq!(guest.admin(format).status(), OK);
    assert_eq!(
        read(&mut guest, nsid, 0, 8),
        UNREADABLE,
        "it keeps its data"
    );
    format.cdw[0] = 1 << 9;
    assert_eq!(guest.admin(format).status(), OK);
    assert_eq!(read(&mut guest, nsid, 0, 8), OK);
}

/// Any commands on pages without zones; which sectors cannot be read is known all the time.
#[test]
fn every_preset_knows_its_marked_sectors_also_after_it_was_saved() {
    for preset in PRESETS {
        let settings = fitting(preset.name, &[], &SMALL);
        let config = config(preset.name, &settings);
        let mut guest = machine(preset.name, &settings);
        let mut random = Random(5);
        let Some(&nsid) = spaces(&guest, false).first() else {
            continue;
        };
        let mut marked = BTreeSet::new();
        for step in 0..300 {
            let before = guest.mark();
            let (at, blocks) = (random.below(120), 1 + random.below(24) as u32);
            let range = at..at + u64::from(blocks);
            match random.below(6) {
                0 | 1 => {
                    assert_eq!(mark(&mut guest, nsid, at, blocks), OK);
                    marked.extend(range);
                }
                2 => {
                    let data = pattern(blocks as usize * 512, 1);
                    assert_eq!(guest.write(nsid, at, 9, &data).status(), OK);
                    marked.retain(|sector| !range.contains(sector));
                }
                3 if step % 10 == 0 => {
                    let saved = ssd::save(&guest.controller, &config);
                    guest.controller = ssd::load(&config, &saved).unwrap().0;
                    assert_eq!(ssd::save(&guest.controller, &config), saved);
                }
                _ => {
                    let is_marked = marked.range(range).next().is_some();
                    let expected = if is_marked { UNREADABLE } else { OK };
                    let name = preset.name;
                    assert_eq!(read(&mut guest, nsid, at, blocks), expected, "{name} {at}");
                }
            }
            guest.release(before);
        }
    }
}

#[test]
fn what_is_marked_is_bounded() {
    let mut guest = machine("tlc-block", &[("meta-size", "0")]);
    let mut marked = 0;
    let status = loop {
        match mark(&mut guest, 1, marked, 8 << 11) {
            OK => marked += 8 << 11,
            status => break status,
        }
    };
    assert_eq!(status, Some(Status::CapacityExceeded));
    assert_eq!(marked, 8 << 14, "64 MiB");
    assert_eq!(read(&mut guest, 1, marked, 8), OK);
    // Writing makes room.
    assert_eq!(guest.write(1, 0, 9, &pattern(4096, 1)).status(), OK);
    assert_eq!(mark(&mut guest, 1, marked, 8), OK);
    assert_eq!(read(&mut guest, 1, marked, 8), UNREADABLE);
}
