// SPDX-License-Identifier: GPL-2.0-or-later
//! Journals of images that say anything: a drive works them, or refuses, and agrees with itself. The first byte chooses the
//! preset; then 12 bytes make a record.

#![no_main]

use nvme::Drive as _;
use ssd::{Config, Drive};
use units::Instant;

/// Small drives of each model.
const DRIVES: [(&str, &[&str]); 6] = [
    (
        "tlc-zoned",
        &[
            "meta-size=4M",
            "zones=4",
            "block-size=1536K",
            "chunk-size=1M",
        ],
    ),
    (
        "qlc-zoned-zone-slc",
        &[
            "meta-size=4M",
            "zones=4",
            "block-size=1536K",
            "chunk-size=1M",
        ],
    ),
    (
        "tlc-block",
        &["meta-size=4M", "block-data-size=16M", "block-size=1536K"],
    ),
    ("zns-proto", &["zones=4", "zone-capacity=4M"]),
    ("conv-970pro", &["block-data-size=16M"]),
    ("nvm-optane", &["block-data-size=16M"]),
];

fn run(data: &[u8]) -> Option<()> {
    let (&first, rest) = data.split_first()?;
    let (preset, small) = DRIVES[usize::from(first) % DRIVES.len()];
    let mut config = Config::preset(preset).expect("the presets exist");
    for pair in small {
        config.set_pair(pair).expect("the settings are possible");
    }
    config.outlive();
    let plan = config.plan().expect("so are the drives");
    let mut drive = Drive::new(&plan).expect("they are possible");
    let mut last = Instant::ZERO;
    for piece in rest.chunks_exact(12).take(200) {
        let number = |at: usize| {
            u64::from(u32::from_le_bytes([
                piece[at],
                piece[at + 1],
                piece[at + 2],
                piece[at + 3],
            ]))
        };
        let count = u64::from(u16::from_le_bytes([piece[2], piece[3]]));
        let (count, place) = match piece[1] >> 6 {
            0 | 1 => (count, number(4) % (1 << 18)),
            2 => (count << 30, number(4)),
            _ => (count, u64::MAX - number(4)),
        };
        let packed = count << 16 | u64::from(piece[1] & 0x3f) << 8 | u64::from(piece[0] % 14);
        let Some(what) = image::record([number(8), place, packed]) else {
            continue;
        };
        last = last.max(Instant::from_nanos(number(8)));
        drive.replay(&what, &mut |_| ());
        while drive.take_kept().is_some() {}
    }
    drive.power_cut(last, &mut |_| ());
    assert_eq!(drive.model().check_invariants(), Ok(()));
    Some(())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = run(data);
});
