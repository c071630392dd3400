// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive behind the real controller, driven by a guest's driver in a fake machine.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{config, guest, machine, pattern, OK};
use nvme::Drive as _;
use nvme_spec::{AdminOpcode, FeatureId, NvmOpcode, Status, WireZoneAction};
use ssd::Drive;
use testkit::command;
use units::{Nanos, ZoneId};
use zone::State;

#[test]
fn data_written_to_both_namespaces_reads_back() {
    for (preset, shift) in [
        ("tlc-zoned", 9),
        ("ufs4-tlc", 12),
        ("tlc-block", 9),
        ("qlc-block", 12),
    ] {
        let lba = if shift == 9 { "512" } else { "4096" };
        let block = if preset.starts_with("qlc") {
            "4M"
        } else {
            "3M"
        };
        let mut guest = guest(preset, &[("lba-size", lba), ("block-size", block)]);
        for nsid in [1, 2] {
            let data = pattern(64 << 10, nsid as u8);
            assert_eq!(guest.write(nsid, 0, shift, &data).status(), OK, "{preset}");
            let (cqe, read) = guest.read(nsid, 0, shift, (data.len() >> shift) as u32);
            assert_eq!(cqe.status(), OK);
            assert!(read == data, "{preset} namespace {nsid}");
        }
    }
}

#[test]
fn a_reset_zone_reads_as_zeroes_and_starts_over() {
    let mut guest = guest("tlc-zoned", &[]);
    let data = pattern(4096, 1);
    assert_eq!(guest.write(2, 0, 9, &data).status(), OK);
    let early = guest.write(2, 16, 9, &data).status();
    assert_eq!(early, Some(Status::ZoneInvalidWrite));
    let reset = guest.io(command::zone_send(2, 0, WireZoneAction::Reset, false));
    assert_eq!(reset.status(), OK);
    let (cqe, read) = guest.read(2, 0, 9, 8);
    assert_eq!(cqe.status(), OK);
    assert!(read.iter().all(|b| *b == 0));
    assert_eq!(guest.write(2, 0, 9, &data).status(), OK);
}

#[test]
fn commands_take_the_models_time_unless_timing_is_off() {
    for (timing, expected) in [("on", 7_503), ("off", 0)] {
        let mut guest = guest("ufs4-tlc", &[("timing", timing)]);
        let before = guest.host.clock;
        assert_eq!(guest.write(2, 0, 9, &pattern(4096, 0)).status(), OK);
        let took = guest.host.clock.since(before);
        assert_eq!(took, Nanos::new(expected), "timing={timing}");
    }
}

#[test]
fn a_trimmed_page_of_a_block_namespace_reads_as_zeroes() {
    let mut guest = guest("tlc-block", &[]);
    assert_eq!(guest.write(2, 0, 9, &pattern(8192, 3)).status(), OK);
    let sqe = command::blocks(NvmOpcode::WriteZeroes, 2, 8, 8);
    assert_eq!(guest.io(sqe).status(), OK);
    let (_, read) = guest.read(2, 0, 9, 16);
    assert!(read[..4096] == pattern(8192, 3)[..4096]);
    assert!(read[4096..].iter().all(|b| *b == 0));
}

/// A small drive with DULBE on for all its namespaces.
fn guest_that_wants_written_blocks(preset: &str) -> testkit::Guest<Drive> {
    let mut guest = match preset {
        "zns-zn540" => {
            let small = [("zones", "4"), ("zone-capacity", "3M"), ("meta-size", "4M")];
            machine(preset, &small)
        }
        "conv-970pro" => machine(preset, &[("block-data-size", "16M")]),
        _ => guest(preset, &[]),
    };
    for nsid in (1..).take(guest.controller.drive().namespaces().len()) {
        let dulbe = command::set_feature(FeatureId::ErrorRecovery, nsid, 1 << 16);
        assert_eq!(guest.admin(dulbe).status(), OK);
    }
    guest
}

#[test]
fn zeroes_are_written_blocks_unless_they_are_to_be_deallocated() {
    for preset in ["tlc-block", "tlc-zoned", "zns-zn540", "conv-970pro"] {
        let mut guest = guest_that_wants_written_blocks(preset);
        let all = guest.controller.drive().namespaces().to_vec();
        for (info, nsid) in all.iter().zip(1..) {
            let blocks = 4096 >> info.lba_shift;
            let read = |guest: &mut testkit::Guest<Drive>| {
                let (cqe, data) = guest.read(nsid, 0, info.lba_shift, blocks);
                assert!(data.iter().all(|b| *b == 0));
                cqe.status()
            };
            let mut zeroes = command::blocks(NvmOpcode::WriteZeroes, nsid, 0, blocks);
            assert_eq!(read(&mut guest), Some(Status::Unwritten), "{preset} {nsid}");
            if info.zoned.is_none() {
                let data = pattern(4096, 3);
                assert_eq!(guest.write(nsid, 0, info.lba_shift, &data).status(), OK);
            }
            assert_eq!(guest.io(zeroes).status(), OK);
            assert_eq!(read(&mut guest), OK, "{preset} {nsid}");
            if info.zoned.is_none() {
                zeroes.cdw[2] |= 1 << 25;
                assert_eq!(guest.io(zeroes).status(), OK);
                assert_eq!(read(&mut guest), Some(Status::Unwritten), "{preset} {nsid}");
            }
        }
    }
}

#[test]
fn unwritten_blocks_do_not_hide_what_a_zone_has_to_say() {
    for preset in ["tlc-zoned", "zns-zn540"] {
        let mut guest = guest_that_wants_written_blocks(preset);
        let nsid = guest.controller.drive().namespaces().len() as u32;
        let info = guest.controller.drive().namespaces()[nsid as usize - 1].clone();
        let (shift, zoned) = (info.lba_shift, info.zoned.as_ref().unwrap());
        let zone = zoned.zone_size.get() >> shift;
        let status =
            |guest: &mut testkit::Guest<Drive>, at| guest.read(nsid, at, shift, 2).0.status();
        assert_eq!(status(&mut guest, 0), Some(Status::Unwritten));
        assert_eq!(status(&mut guest, zone - 1), Some(Status::ZoneBoundary));
        let drive = guest.controller.drive_mut();
        drive.inject_zone(ZoneId::new(0), true).unwrap();
        assert_eq!(status(&mut guest, 0), Some(Status::ZoneOffline));
    }
}

#[test]
fn a_shutdown_makes_the_data_of_each_namespace_durable() {
    for nsid in [1, 2] {
        let mut guest = guest("tlc-zoned", &[]);
        assert_eq!(guest.write(nsid, 0, 9, &pattern(4096, 1)).status(), OK);
        let now = guest.host.clock;
        let programmed = |guest: &testkit::Guest<Drive>| {
            let stats = ssd::stats_json(guest.controller.drive().model());
            let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
            let name = if nsid == 1 { "meta" } else { "data" };
            stats["namespaces"][name]["flushes"].as_u64().unwrap()
        };
        let before = programmed(&guest);
        let drive = guest.controller.drive_mut();
        assert!(drive.shutdown(now) > now, "namespace {nsid} took no time");
        assert!(programmed(&guest) > before, "namespace {nsid}");
    }
}

#[test]
fn events_are_kept_up_to_a_bound() {
    let plan = config("tlc-zoned", &[("zones", "100")]).plan().unwrap();
    let mut drive = Drive::new(&plan).unwrap();
    for zone in 0..100 {
        drive.inject_zone(ZoneId::new(zone), false).unwrap();
    }
    let events = std::iter::from_fn(|| drive.take_event());
    assert_eq!(events.count(), 64);
}

#[test]
fn one_namespace_without_meta() {
    let plan = config("tlc-zoned", &[("meta-size", "0")]).plan().unwrap();
    let drive = Drive::new(&plan).unwrap();
    let [data] = drive.namespaces() else {
        panic!("one namespace");
    };
    assert!(data.zoned.is_some());
    assert_eq!(data.media_offset, 0);
}

#[test]
fn an_injected_zone_state_is_reported_as_an_event() {
    let plan = config("tlc-zoned", &[]).plan().unwrap();
    let mut drive = Drive::new(&plan).unwrap();
    drive.inject_zone(ZoneId::new(3), false).unwrap();
    let ns = nvme::NsIndex(1);
    let zone = ZoneId::new(3);
    assert_eq!(drive.zone(ns, zone).unwrap().state, State::ReadOnly);
    let event = nvme::DriveEvent::ZoneChanged { ns, zone };
    assert_eq!(drive.take_event(), Some(event));
    assert_eq!(drive.take_event(), None);
    assert!(drive.inject_zone(ZoneId::new(99), true).is_err());
    assert!(drive.inject_zone(zone, false).is_err(), "again");
    drive.inject_zone(zone, true).unwrap();
    assert_eq!(drive.take_event(), Some(event));
    for offline in [false, true] {
        assert!(
            drive.inject_zone(zone, offline).is_err(),
            "offline is final"
        );
    }
    assert_eq!(drive.zone(ns, zone).unwrap().state, State::Offline);
    assert_eq!(drive.take_event(), None);
}

#[test]
fn formatting_changes_the_lba_size_and_empties_the_namespace() {
    let mut guest = guest("tlc-zoned", &[]);
    assert_eq!(guest.write(2, 0, 9, &pattern(4096, 1)).status(), OK);
    let format = |format| command::admin(AdminOpcode::FormatNvm, 2, format, 0);
    assert_eq!(guest.admin(format(1)).status(), OK);
    let drive = guest.controller.drive();
    let info = &drive.namespaces()[1];
    assert_eq!((info.lba_shift, info.blocks()), (12, 4 * 16 * 256));
    let zone = drive.zone(nvme::NsIndex(1), ZoneId::new(0));
    assert_eq!(zone.unwrap().state, State::Empty);
    assert_eq!(drive.namespaces()[0].lba_shift, 9, "the other one's stays");
    assert_eq!(guest.admin(format(2)).status(), Some(Status::InvalidFormat));
}

#[test]
fn statistics_are_valid_json_and_agree_with_the_log() {
    let mut guest = guest("tlc-zoned", &[]);
    assert_eq!(guest.write(2, 0, 9, &pattern(8192, 3)).status(), OK);
    let drive = guest.controller.drive();
    let text = ssd::stats_json(drive.model());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["host_write_pages"], 2);
    assert_eq!(json["namespaces"]["data"]["host_writes"], 1);
    assert_eq!(json["namespaces"]["meta"]["host_writes"], 0);
    // The host's time has no place in statistics of model time, unless the device asks.
    assert!(json.get("timer_lateness").is_none() && json.get("host_clock_ms").is_none());
    let mut lateness = ssd::Histogram::default();
    for ns in [100, 200, 300, 90_000] {
        lateness.add(units::Nanos::new(ns));
    }
    let cuts = ssd::PowerCuts::default();
    let text = ssd::device_json(drive.model(), Some(7), Some(&lateness), &cuts, None);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["host_clock_ms"], 7);
    let late = |key: &str| json["timer_lateness"][key].as_u64().unwrap();
    assert_eq!(
        (late("count"), late("max_ns"), late("p99_ns")),
        (4, 90_000, 90_000)
    );
    assert!((200..=223).contains(&late("p50_ns")), "{}", late("p50_ns"));
    assert_eq!(json["timer_lateness"]["buckets_ns"]["192"], 1);
    let mut page = [0xff; nvme::VENDOR_LOG_BYTES];
    drive.vendor_log(&mut page);
    assert_eq!(&page[..6], b"CZST\x01\x00");
    let counters = usize::from(u16::from_le_bytes([page[6], page[7]]));
    let at = 8 + 8 * (counters + 3);
    let host_write_pages = u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
    assert_eq!(host_write_pages, 2);
}
