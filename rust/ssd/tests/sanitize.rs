// SPDX-License-Identifier: GPL-2.0-or-later
//! Sanitize of each drive: nothing of the data is left, anywhere, and it takes the time of the flash.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{config, fitting, machine, pattern, OK, SMALL};
use nvme::{Drive as _, SanitizeStatus};
use nvme_spec::{AdminOpcode, NvmOpcode, Sqe, Status, WireZoneAction};
use ssd::{Drive, ModelConfig, PRESETS};
use testkit::{command, Guest};
use units::{Instant, Nanos, ZoneId};

const BLOCK_ERASE: u32 = 2;
const OVERWRITE: u32 = 3;
const NO_DEALLOCATE: u32 = 1 << 9;

fn sanitize(dword10: u32) -> Sqe {
    let mut sqe = command::plain(AdminOpcode::Sanitize.wire(), 0);
    (sqe.cdw[0], sqe.cdw[1]) = (dword10, 0xa5a5_a5a5);
    sqe
}

/// Each namespace, and what writes to it are made of.
fn units(guest: &Guest<Drive>) -> Vec<(u32, u64)> {
    let infos = guest.controller.drive().namespaces().iter();
    let unit = |info: &nvme::NamespaceInfo| info.preferred_write.get().min(256 << 10);
    (1..).zip(infos.map(unit)).collect()
}

/// A drive of a preset with data in each namespace and, if it can have any, in its undo area.
fn written(preset: &str, more: &[(&'static str, &'static str)]) -> Guest<Drive> {
    let mut guest = machine(preset, &fitting(preset, more, &SMALL));
    for (nsid, unit) in units(&guest) {
        for round in 1..4 {
            let at = if nsid == 1 {
                0
            } else {
                (round - 1) * unit / 512
            };
            let data = vec![round as u8; unit as usize];
            let cqe = guest.write(nsid, at, 9, &data);
            // Namespace 1 may have zones, in which nothing is written twice.
            let is_done = cqe.status() == OK || round > 1 && nsid == 1;
            assert!(is_done, "{preset} {nsid}: {cqe:?}");
        }
    }
    // A page whose new bytes are not durable, and its old ones are.
    let is_plain = guest.controller.drive().namespaces()[0].zoned.is_none();
    for (byte, is_flushed) in [(7, true), (8, false)].into_iter().filter(|_| is_plain) {
        assert_eq!(guest.write(1, 1024, 9, &[byte; 4096]).status(), OK);
        if is_flushed {
            let flush = command::plain(NvmOpcode::Flush.wire(), 1);
            assert_eq!(guest.io(flush).status(), OK);
        }
    }
    guest
}

fn status(guest: &Guest<Drive>) -> SanitizeStatus {
    guest.controller.drive().sanitized().status
}

/// Lets time pass until the operation has ended, and says when that was.
fn finish(guest: &mut Guest<Drive>) -> Instant {
    while status(guest) == SanitizeStatus::InProgress {
        assert!(guest.wake());
    }
    guest.host.clock
}

#[test]
fn nothing_is_left_of_any_preset_and_it_takes_the_erases_of_all_blocks() {
    for preset in PRESETS {
        let name = preset.name;
        let mut guest = written(name, &[("power-cuts", "dead")]);
        assert!(guest.host.media.iter().any(|byte| *byte != 0));
        let worn = guest.controller.drive().health().percentage_used;
        let start = guest.host.clock;
        assert_eq!(guest.admin(sanitize(BLOCK_ERASE)).status(), OK);
        let end = finish(&mut guest);
        assert_eq!(status(&guest), SanitizeStatus::Completed);
        assert!(guest.host.media.iter().all(|byte| *byte == 0), "{name}");
        assert!(guest.controller.drive().is_blank());
        let drive = guest.controller.drive();
        drive.model().check_invariants().unwrap();
        assert!(drive.health().percentage_used >= worn);
        // At least three blocks of each plane are erased.
        let took = end.since(start);
        let erase = match config(name, &[]).plan().unwrap().model {
            ModelConfig::Zms(config) => config.timing.erase,
            ModelConfig::Zns(config) => config.chips.erase,
            ModelConfig::Conv(config) => config.chips.erase,
            ModelConfig::Simple(_) => Nanos::ZERO,
        };
        let least = Nanos::from_micros(10_000) + erase.times(3);
        assert!(took >= least, "{name}: {took:?}");
        for (nsid, unit) in units(&guest) {
            let data = pattern(unit as usize, 1);
            assert_eq!(guest.write(nsid, 0, 9, &data).status(), OK, "{name}");
        }
        assert!(!guest.controller.drive().is_blank());
    }
}

#[test]
fn an_overwrite_takes_as_many_times_as_long_and_a_drive_without_time_none() {
    let took = |settings: &[(&'static str, &'static str)], dword10| {
        let mut guest = written("tlc-zoned", settings);
        guest.run();
        let start = guest.host.clock;
        assert_eq!(guest.admin(sanitize(dword10)).status(), OK);
        finish(&mut guest).since(start).get()
    };
    let base = 10_000_000;
    let (one, four) = (
        took(&[], OVERWRITE | 1 << 4) - base,
        took(&[], OVERWRITE | 4 << 4) - base,
    );
    assert_eq!(four, 4 * one);
    let erase = took(&[], BLOCK_ERASE) - base;
    assert!(erase < one);
    // The program times are 0, so that erases are all there is.
    assert_eq!(
        took(&[("tlc-program-ns", "0")], OVERWRITE | 4 << 4) - base,
        4 * erase
    );
    assert_eq!(took(&[("timing", "off")], OVERWRITE), 0);
}

#[test]
fn no_power_cut_brings_data_back_and_the_operation_goes_on_after_it() {
    for dword10 in [
        BLOCK_ERASE,
        BLOCK_ERASE | NO_DEALLOCATE,
        OVERWRITE | NO_DEALLOCATE,
    ] {
        for when in [0, 1, 2] {
            let mut guest = written("tlc-zoned", &[("power-cuts", "dead")]);
            assert_eq!(guest.admin(sanitize(dword10)).status(), OK);
            for _ in 0..when * 3 {
                guest.run();
            }
            if when == 2 {
                finish(&mut guest);
            }
            let now = guest.host.clock;
            guest.controller.cut_power_at(Some(now));
            guest.run();
            guest.controller.reset(now);
            assert!(guest.enable() && guest.create_queues(1, 8));
            finish(&mut guest);
            assert_eq!(status(&guest), SanitizeStatus::Completed);
            let is_new = |byte: &u8| matches!(byte, 0 | 0xa5);
            assert!(guest.host.media.iter().all(is_new), "{dword10:#x} {when}");
            if dword10 == OVERWRITE | NO_DEALLOCATE {
                let page = &guest.host.media[1024 * 512..][..4096];
                assert!(page.iter().all(|byte| *byte == 0xa5), "{when}");
            }
        }
    }
}

#[test]
fn a_drive_saved_at_any_time_ends_it_at_the_same_instant() {
    let settings = fitting("tlc-zoned", &[], &SMALL);
    let config = config("tlc-zoned", &settings);
    let end = |steps: u32| {
        let mut guest = written("tlc-zoned", &[]);
        guest.budget = 4;
        guest.submit(0, sanitize(BLOCK_ERASE));
        for _ in 0..steps {
            guest.run();
        }
        if steps > 0 {
            let saved = ssd::save(&guest.controller, &config);
            guest.controller = ssd::load(&config, &saved).unwrap().0;
            assert_eq!(ssd::save(&guest.controller, &config), saved);
            guest.run();
        }
        let end = finish(&mut guest);
        assert!(guest.host.media.iter().all(|byte| *byte == 0), "{steps}");
        end
    };
    let expected = end(0);
    for steps in [1, 2, 5, 400] {
        assert_eq!(end(steps), expected, "{steps}");
    }
}

#[test]
fn read_only_and_offline_zones_and_marks_lose_their_data_too() {
    let mut guest = written("tlc-zoned", &[]);
    let reset = command::zone_send(2, 0, WireZoneAction::Reset, false);
    assert_eq!(guest.io(reset).status(), OK);
    let mark = command::blocks(NvmOpcode::WriteUncorrectable, 2, 0, 8);
    assert_eq!(guest.io(mark).status(), OK);
    assert_eq!(guest.write(2, 8, 9, &pattern(4096, 1)).status(), OK);
    let drive = guest.controller.drive_mut();
    drive.inject_zone(ZoneId::new(0), false).unwrap();
    assert_eq!(
        guest.read(2, 0, 9, 8).0.status(),
        Some(Status::UnrecoveredRead)
    );
    assert_eq!(guest.admin(sanitize(BLOCK_ERASE)).status(), OK);
    finish(&mut guest);
    assert_eq!(guest.read(2, 0, 9, 16).0.status(), OK);
    assert!(guest.host.media.iter().all(|byte| *byte == 0));
}

#[test]
fn a_fault_rule_makes_it_fail() {
    let mut guest = written("tlc-zoned", &[]);
    let drive = guest.controller.drive_mut();
    drive.set_faults("sanitize-error,count=1").unwrap();
    let wrong = drive
        .set_faults("sanitize-error,ns=1")
        .unwrap_err()
        .to_string();
    assert!(
        wrong.contains("a sanitize operation has neither"),
        "{wrong}"
    );
    assert_eq!(guest.admin(sanitize(BLOCK_ERASE)).status(), OK);
    finish(&mut guest);
    assert_eq!(status(&guest), SanitizeStatus::Failed);
    let cqe = guest.read(2, 0, 9, 8).0;
    assert_eq!(cqe.status(), Some(Status::SanitizeFailed));
    let faults = guest.controller.drive().faults().to_string();
    assert_eq!(faults, "sanitize-error,count=1 hits=1");
    assert_eq!(guest.admin(sanitize(BLOCK_ERASE)).status(), OK);
    finish(&mut guest);
    assert_eq!(guest.read(2, 0, 9, 8).0.status(), OK);
}
