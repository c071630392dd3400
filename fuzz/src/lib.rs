// SPDX-License-Identifier: GPL-2.0-or-later
//! What targets share: small drives of each model.

use ssd::Config;

/// Small drives of each model.
pub const DRIVES: [(&str, &[&str]); 6] = [
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

/// The configuration of the drive that a byte chooses.
pub fn config(first: u8) -> Config {
    let (preset, small) = DRIVES[usize::from(first) % DRIVES.len()];
    let mut config = Config::preset(preset).expect("the presets exist");
    for pair in small {
        config.set_pair(pair).expect("the settings are possible");
    }
    config
}
