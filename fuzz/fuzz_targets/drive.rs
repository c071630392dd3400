// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone commands on the real flash model. The first byte chooses the preset, the zone features and whether faults
//! happen.

#![no_main]

use testkit::Guest;

/// Presets with zones, made small so that limits and reclaim are soon reached.
const PRESETS: [&str; 5] = [
    "ufs4-tlc",
    "tlc-zoned",
    "qlc-zoned-page-slc",
    "qlc-zoned-zone-slc",
    "zns-proto",
];
const SMALL: [&str; 2] = ["meta-size=4M", "zones=4"];
/// Zone features, with figures that every preset can have.
const FEATURES: [&str; 5] = [
    "zrwa-size=256K",
    "zrwa-flush-granularity=128K",
    "zrwa-zones=2",
    "zone-descriptor-extension-size=64",
    "read-across-zones=on",
];
const FAULTS: &str = "read-error,probability=1/5;write-error,probability=1/7,seed=2;\
    zone-read-only,probability=1/50,seed=3;zone-offline,probability=1/90,seed=4;latency,delay-ns=9999";

fn run(data: &[u8]) -> Option<()> {
    let (first, rest) = data.split_first()?;
    let preset = PRESETS.get(usize::from(*first) % PRESETS.len())?;
    let mut config = ssd::Config::preset(preset).ok()?;
    let features = if first & 0x80 == 0 {
        &[][..]
    } else {
        &FEATURES
    };
    for pair in SMALL.iter().chain(features) {
        config.set_pair(pair).ok()?;
    }
    let plan = config.plan().ok()?;
    let mut drive = ssd::Drive::new(&plan).ok()?;
    if first & 0x40 != 0 {
        drive.set_faults(FAULTS).ok()?;
    }
    let media = usize::try_from(plan.layout.size.get()).ok()?;
    let zone_blocks = nvme::Drive::namespaces(&drive)
        .get(1)
        .and_then(|ns| Some(ns.zoned.as_ref()?.zone_size.get() >> ns.lba_shift))?;
    let mut guest = Guest::new(plan.controller.clone(), drive, 2 << 20, media).ok()?;
    if guest.enable() && guest.create_queues(1, 32) {
        testkit::fuzz::zones_of(&mut guest, 2, zone_blocks, rest);
    }
    Some(())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = run(data);
});
