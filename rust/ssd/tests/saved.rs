// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive that is saved and loaded in the middle of its work goes on as if nothing had happened.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{config, fitting, machine, Random};
use nvme_spec::{NvmOpcode, WireZoneAction};
use ssd::{Config, Drive, PRESETS};
use testkit::{command, Guest};
use units::Nanos;

/// Settings that make a preset's drive small: those of these that it has.
const SMALL: [(&str, &str); 6] = [
    ("meta-size", "4M"),
    ("zones", "4"),
    ("block-size", "3M"),
    ("zone-capacity", "3M"),
    ("block-data-size", "16M"),
    ("zone-descriptor-extension-size", "64"),
];

/// A small drive of a preset.
fn small(preset: &str) -> Vec<(&'static str, &'static str)> {
    fitting(preset, &[], &SMALL)
}

/// Puts commands into the queue, some of which stay in flight, and lets time pass.
fn ask(guest: &mut Guest<Drive>, random: &mut Random, buffer: u64) {
    let spaces = nvme::Drive::namespaces(guest.controller.drive());
    let nsid = 1 + random.below(spaces.len() as u64) as u32;
    let info = spaces[nsid as usize - 1].clone();
    let blocks = info.blocks();
    let zone = info
        .zoned
        .as_ref()
        .map(|z| z.zone_size.get() >> info.lba_shift);
    let start = zone.map_or(0, |zone| random.below(blocks / zone) * zone);
    let n = 1 + random.below(64) as u32;
    let sqe = match (random.below(10), zone) {
        (0, _) => command::plain(NvmOpcode::Flush as u8, nsid),
        (1, Some(_)) => {
            command::zone_send(nsid, start, WireZoneAction::Reset, random.below(4) == 0)
        }
        (2, Some(_)) => command::zone_send(nsid, start, WireZoneAction::Finish, false),
        (1..=5, Some(_)) => command::blocks(NvmOpcode::ZoneAppend, nsid, start, n),
        (1..=5, None) => command::blocks(NvmOpcode::Write, nsid, random.below(blocks - 64), n),
        _ => command::blocks(NvmOpcode::Read, nsid, random.below(blocks - 64), n),
    };
    let sqe = guest.with_prp(sqe, buffer, u64::from(n) << info.lba_shift);
    guest.submit(1, sqe);
    if random.below(3) > 0 {
        guest.host.clock += Nanos::new(random.below(400_000));
        guest.run();
    }
}

/// Completions that have come, and the clock.
fn collect(guest: &mut Guest<Drive>) -> Vec<(u16, u16, u64)> {
    let mut all = Vec::new();
    while let Some(cqe) = guest.poll(1) {
        all.push((cqe.cid, cqe.status, guest.host.clock.as_nanos()));
    }
    all
}

fn interrupt(guest: &mut Guest<Drive>, config: &Config) -> Vec<u8> {
    let saved = ssd::save(&guest.controller, config);
    let (controller, live) = ssd::load(config, &saved).unwrap();
    assert_eq!(
        ssd::save(&controller, &live),
        saved,
        "what is loaded is what was saved"
    );
    guest.controller = controller;
    saved
}

#[test]
fn every_preset_goes_on_with_commands_in_flight() {
    for preset in PRESETS {
        let settings = small(preset.name);
        let config = config(preset.name, &settings);
        let mut guests = [(); 2].map(|()| machine(preset.name, &settings));
        let (mut in_flight, mut completed) = (0, 0);
        let mut random = [Random(7), Random(7)];
        let buffers = guests.each_mut().map(|guest| guest.alloc(64 << 12));
        for round in 0..400 {
            let [whole, other] = &mut guests;
            ask(whole, &mut random[0], buffers[0]);
            ask(other, &mut random[1], buffers[1]);
            if round % 9 == 0 {
                let waits = other.host.wake;
                in_flight += usize::from(waits.is_some());
                interrupt(other, &config);
            }
            let done = collect(whole);
            assert_eq!(collect(other), done, "{}: round {round}", preset.name);
            assert_eq!(other.host.wake, whole.host.wake, "{}: {round}", preset.name);
            completed += done.len();
        }
        let [whole, other] = guests;
        assert!(whole.host.memory == other.host.memory, "{}", preset.name);
        assert!(whole.host.media == other.host.media, "{}", preset.name);
        assert_eq!(
            whole.host.interrupts, other.host.interrupts,
            "{}",
            preset.name
        );
        let saved = [whole, other].map(|guest| ssd::save(&guest.controller, &config));
        assert!(saved[0] == saved[1], "{}", preset.name);
        assert!(completed > 200, "{}: {completed} of 400", preset.name);
        assert!(
            in_flight > 10 || preset.name == "nvm-optane",
            "{}: {in_flight}",
            preset.name
        );
    }
}

#[test]
fn settings_that_were_changed_while_the_drive_ran_come_with_it() {
    let mut theirs = config("tlc-zoned", &small("tlc-zoned"));
    let ours = theirs.clone();
    let mut guest = machine("tlc-zoned", &small("tlc-zoned"));
    theirs.set("tlc-read-ns", "123456").unwrap();
    guest
        .controller
        .drive_mut()
        .set_times(&theirs.plan().unwrap());
    guest
        .controller
        .drive_mut()
        .set_faults("read-error,count=2;latency,delay-ns=5")
        .unwrap();
    let saved = ssd::save(&guest.controller, &theirs);
    let (loaded, config) = ssd::load(&ours, &saved).unwrap();
    assert_eq!(
        config.get("tlc-read-ns").unwrap(),
        theirs.get("tlc-read-ns").unwrap()
    );
    let faults = guest.controller.drive().faults().to_string();
    assert_eq!(loaded.drive().faults().to_string(), faults);
}

fn refused(config: &Config, bytes: &[u8]) -> String {
    let error = ssd::load(config, bytes).unwrap_err().to_string();
    assert!(!error.contains('\n') && error.len() < 300, "{error}");
    error
}

#[test]
fn what_is_of_another_drive_or_damaged_is_refused_by_name() {
    let settings = small("tlc-zoned");
    let config = config("tlc-zoned", &settings);
    let guest = machine("tlc-zoned", &settings);
    let saved = ssd::save(&guest.controller, &config);
    let mut other = config.clone();
    other.set("zones", "5").unwrap();
    assert_eq!(
        refused(&other, &saved),
        "it is of a drive with zones=4, this one has zones=5"
    );
    other.set("zones", "4").unwrap();
    other.set("serial", "another").unwrap();
    assert!(refused(&other, &saved).contains("this one has serial=another"));
    let mut newer = saved.clone();
    newer[8] = 99;
    assert_eq!(refused(&config, &newer), "it is of version 99, not 17");
    assert_eq!(refused(&config, b"QEVM"), "it is not the state of a drive");
    let last = saved.len() - 1;
    let mut damaged = saved.clone();
    damaged[last] ^= 1;
    assert_eq!(refused(&config, &damaged), "it is damaged");
    for end in [0, 8, 9, 20, saved.len() / 2, last] {
        refused(&config, &saved[..end]);
    }
    let more = [&saved[..], b"x"].concat();
    refused(&config, &more);
}

#[test]
fn a_forged_state_never_panics() {
    let states = [("power-states", "phone"), ("apst", "on")];
    let settings = [small("tlc-zoned"), states.to_vec()].concat();
    let config = config("tlc-zoned", &settings);
    let mut guest = machine("tlc-zoned", &settings);
    let mut random = Random(3);
    let buffer = guest.alloc(64 << 12);
    for _ in 0..60 {
        ask(&mut guest, &mut random, buffer);
        collect(&mut guest);
    }
    let body = state::encode(&guest.controller);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let mut body = body.clone();
        for _ in 0..=random.below(2) {
            let at = random.below(body.len() as u64) as usize;
            body[at] = match random.below(3) {
                0 => body[at].wrapping_add(1),
                1 => body[at] ^ 0x80,
                _ => random.below(256) as u8,
            };
        }
        let mut fresh = ssd::build(&config.plan().unwrap()).unwrap();
        match state::decode(&mut fresh, &body) {
            Ok(()) => {
                assert_eq!(fresh.check_invariants(), Ok(()));
                fresh.drive().model().check_invariants().unwrap();
                let whole = std::mem::replace(&mut guest.controller, fresh);
                let mark = guest.mark();
                for _ in 0..8 {
                    ask(&mut guest, &mut random, buffer);
                    collect(&mut guest);
                }
                guest.release(mark);
                guest.controller = whole;
                taken += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        taken > 100 && refused > 100,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn what_is_written_is_all_of_the_media_that_is_not_zero() {
    for preset in PRESETS {
        let settings = small(preset.name);
        let mut guest = machine(preset.name, &settings);
        let mut random = Random(11);
        let buffer = guest.alloc(64 << 12);
        guest.poke(buffer, &common::pattern(64 << 12, 0x55));
        for _ in 0..200 {
            let mark = guest.mark();
            ask(&mut guest, &mut random, buffer);
            collect(&mut guest);
            guest.release(mark);
        }
        let mut media = guest.host.media.clone();
        let (mut all, mut last) = (0, 0);
        for range in guest.controller.drive().written() {
            assert!(last <= range.start && range.start < range.end, "{range:?}");
            last = range.end;
            all += range.end - range.start;
            media[range.start as usize..range.end as usize].fill(0);
        }
        assert!(media.iter().all(|byte| *byte == 0), "{}", preset.name);
        let some = all > 0 && all < media.len() as u64;
        assert!(
            some || preset.name == "nvm-optane",
            "{}: {all} bytes",
            preset.name
        );
    }
}

#[test]
fn a_self_test_goes_on_in_a_drive_that_was_saved() {
    let config = config("tlc-zoned", &small("tlc-zoned"));
    let end = |is_saved: bool| {
        let mut guest = machine("tlc-zoned", &small("tlc-zoned"));
        for code in [1, 2] {
            let mut sqe = command::plain(nvme_spec::AdminOpcode::DeviceSelfTest.wire(), 2);
            sqe.cdw[0] = code;
            assert_eq!(guest.admin(sqe).status, 0);
            if is_saved {
                let saved = ssd::save(&guest.controller, &config);
                guest.controller = ssd::load(&config, &saved).unwrap().0;
                assert_eq!(ssd::save(&guest.controller, &config), saved);
                guest.run();
            }
            assert!(guest.wake());
        }
        let log = command::log(nvme_spec::LogId::SelfTest, u32::MAX, 564, 0);
        (guest.host.clock, guest.receive(0, log, 564).1)
    };
    let (clock, log) = end(true);
    // An extended one takes longer than ten seconds, by the time to read the flash.
    assert!(clock.as_nanos() > 20_001_000_000);
    assert_eq!((log[0], log[4], log[32]), (0, 0x20, 0x10));
    assert_eq!((clock, log), end(false));
}
