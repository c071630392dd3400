// SPDX-License-Identifier: GPL-2.0-or-later
//! Power states of whole drives: off changes nothing, and a drive that sleeps and wakes can be saved at any instant.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{config, fitting, machine, Random, OK, SMALL};
use nvme_spec::{Cns, FeatureId, LogId, NvmOpcode};
use ssd::{Drive, VendorLog, PRESETS};
use testkit::{command, Guest};
use units::Nanos;

const PHONE: [(&str, &str); 2] = [("power-states", "phone"), ("apst", "on")];

fn pass(guest: &mut Guest<Drive>, us: u64) {
    guest.host.clock += Nanos::from_micros(us);
    guest.run();
}

/// How long a read takes.
fn read(guest: &mut Guest<Drive>) -> Nanos {
    let nsid = guest.controller.drive().model().zones().min(1) + 1;
    let start = guest.host.clock;
    assert_eq!(guest.read(nsid, 0, 9, 8).0.status(), OK);
    guest.host.clock.since(start)
}

#[test]
fn reads_of_a_phone_that_sleeps_pay_the_way_back() {
    let mut guest = machine("tlc-zoned", &fitting("tlc-zoned", &PHONE, &SMALL));
    let awake = read(&mut guest);
    for (idle_us, exit_us) in [
        (99_999, 0),
        (105_000, 10_000),
        (1_000_000, 10_000),
        (5_000_000, 45_000),
    ] {
        pass(&mut guest, idle_us);
        let paid = read(&mut guest) - awake;
        assert_eq!(paid, Nanos::from_micros(exit_us), "after {idle_us} us");
    }
    // What the log page and the statistics say is the same.
    let (_, page) = guest.receive(0, command::log(LogId::Vendor, 0, 4096, 0), 4096);
    let report = VendorLog::parse(&page).unwrap().power.unwrap();
    let now = guest.host.clock;
    assert_eq!(guest.controller.power_report(now), Some(report));
    assert_eq!(report.waited, Nanos::from_micros(65_000));
    let model = guest.controller.drive().model();
    let cuts = ssd::PowerCuts::default();
    let json = ssd::device_json(model, None, None, &cuts, Some(&report));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let states = &json["power_states"];
    assert_eq!(states["waits"], 3);
    assert_eq!(states["states"]["4"]["entries"], 1);
    assert_eq!(states["energy_uj"], report.energy_uj);
}

#[test]
fn without_time_nobody_waits() {
    let settings = [&PHONE[..], &[("timing", "off")]].concat();
    let mut guest = machine("tlc-zoned", &fitting("tlc-zoned", &settings, &SMALL));
    pass(&mut guest, 5_000_000);
    assert_eq!(read(&mut guest), Nanos::ZERO);
    let now = guest.host.clock;
    let report = guest.controller.power_report(now).unwrap();
    assert_eq!((report.states()[4].entries, report.waits), (1, 0));
}

#[test]
fn a_drive_that_is_sent_nowhere_is_as_fast_as_one_without_states() {
    let mut guests = [&[][..], &[("power-states", "phone")]]
        .map(|more| machine("tlc-zoned", &fitting("tlc-zoned", more, &SMALL)));
    for idle in [0, 50_000, 3_000_000] {
        guests.iter_mut().for_each(|guest| pass(guest, idle));
        let [without, with] = guests.each_mut().map(read);
        assert_eq!(without, with);
    }
}

#[test]
fn off_is_what_it_was_and_each_preset_sleeps() {
    for preset in PRESETS {
        let off = fitting(preset.name, &[("power-states", "off")], &SMALL);
        let none = fitting(preset.name, &[], &SMALL);
        let [mut a, mut b] = [off, none].map(|settings| machine(preset.name, &settings));
        let identify = command::identify(Cns::Controller, 0, 0);
        let pages = [&mut a, &mut b].map(|guest| guest.receive(0, identify, 4096).1);
        assert_eq!(pages[0], pages[1]);
        assert_eq!(state::encode(&a.controller), state::encode(&b.controller));
        let mut guest = machine(preset.name, &fitting(preset.name, &PHONE, &SMALL));
        pass(&mut guest, 10_000_000);
        let get = command::get_feature(FeatureId::PowerManagement, 0, 0, 0);
        assert_eq!(guest.admin(get).result, 4, "{}", preset.name);
    }
}

#[test]
fn transitions_need_states() {
    let error = config("tlc-zoned", &[("apst", "on")]).plan().unwrap_err();
    assert_eq!(
        error.to_string(),
        "property 'apst' = on: needs power-states"
    );
}

#[test]
fn a_drive_that_is_saved_at_any_instant_goes_on() {
    let settings = fitting("tlc-zoned", &PHONE, &SMALL);
    let config = config("tlc-zoned", &settings);
    let mut guests = [(); 2].map(|()| machine("tlc-zoned", &settings));
    let mut random = [Random(5), Random(5)];
    let buffers = guests.each_mut().map(|guest| guest.alloc(64 << 9));
    let mut asleep = 0;
    for round in 0..600 {
        let clocks = [0, 1].map(|n| {
            let (guest, random) = (&mut guests[n], &mut random[n]);
            let pause = [50, 20_000, 104_000, 150_000, 2_500_000][random.below(5) as usize];
            guest.host.clock += Nanos::from_micros(random.below(pause));
            if random.below(3) > 0 {
                guest.run();
            }
            match random.below(12) {
                0 => {
                    let to = random.below(5) as u32;
                    guest.submit(0, command::set_feature(FeatureId::PowerManagement, 0, to));
                }
                1 => guest.controller.reset(guest.host.clock),
                _ => {}
            }
            if guest.read32(nvme_spec::offset::CSTS) & 1 == 0 {
                assert!(guest.enable() && guest.create_queues(1, 16));
            }
            if n == 1 {
                let now = guest.host.clock;
                let before = guest.controller.power_report(now);
                let saved = ssd::save(&guest.controller, &config);
                guest.controller = ssd::load(&config, &saved).unwrap().0;
                assert_eq!(ssd::save(&guest.controller, &config), saved);
                assert_eq!(guest.controller.power_report(now), before);
                asleep += u64::from(before.unwrap().current > 2);
            }
            let at = random.below(64);
            let sqe = command::blocks(NvmOpcode::Read, 1, at * 8, 8);
            let sqe = guest.with_prp(sqe, buffers[n], 8 << 9);
            guest.submit(1, sqe);
            if random.below(2) > 0 {
                while guest.poll(1).is_none() && guest.wake() {}
            }
            while guest.poll(0).or_else(|| guest.poll(1)).is_some() {}
            (guest.host.clock, guest.host.wake)
        });
        assert_eq!(clocks[0], clocks[1], "round {round}");
    }
    let saved = guests
        .each_ref()
        .map(|guest| ssd::save(&guest.controller, &config));
    assert!(saved[0] == saved[1]);
    let now = guests[0].host.clock;
    let report = guests[0].controller.power_report(now).unwrap();
    assert!(
        report.states().iter().all(|spent| spent.entries > 10),
        "{report:?}"
    );
    assert!(asleep > 10, "{asleep}");
}
