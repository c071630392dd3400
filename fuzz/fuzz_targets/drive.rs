// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone commands on the real flash model. The first byte chooses the preset, the zone features and whether faults
//! happen.

#![no_main]

use testkit::Guest;

/// Presets with zones, made small so that limits and reclaim are soon reached, and little media is cleared.
const DRIVES: [(&str, &[&str]); 5] = [
    ("ufs4-tlc", &SMALL),
    ("tlc-zoned", &SMALL),
    ("qlc-zoned-page-slc", &SMALL),
    ("qlc-zoned-zone-slc", &SMALL),
    ("zns-proto", &["zones=4", "zone-capacity=4M"]),
];
const SMALL: [&str; 4] = [
    "meta-size=4M",
    "zones=4",
    "block-size=1536K",
    "chunk-size=1M",
];
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

fn drive(first: u8) -> Result<(ssd::Plan, ssd::Drive), ssd::ConfigError> {
    let (preset, small) = DRIVES[usize::from(first) % DRIVES.len()];
    let mut config = ssd::Config::preset(preset)?;
    let features = if first & 0x80 == 0 {
        &[][..]
    } else {
        &FEATURES
    };
    for pair in small.iter().chain(features) {
        config.set_pair(pair)?;
    }
    let plan = config.plan()?;
    let drive = ssd::Drive::new(&plan)?;
    Ok((plan, drive))
}

fn run(data: &[u8]) -> Option<()> {
    let (first, rest) = data.split_first()?;
    let (plan, mut drive) = drive(*first).expect("the drives are possible");
    if first & 0x40 != 0 {
        drive.set_faults(FAULTS).expect("the faults are, too");
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
