// SPDX-License-Identifier: GPL-2.0-or-later
//! A large drive costs memory for what is written to it, not for what could be.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::config;
use ftl::{Command, Namespace};
use ssd::Model;
use units::{Instant, Sector};

/// Memory of this process that is really there, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// One test in this file: others at the same time would be counted, too.
#[test]
fn a_tebibyte_costs_megabytes() {
    let before = resident();
    for (preset, settings) in [
        ("tlc-zoned", &[("zones", "8192")][..]),
        ("tlc-block", &[("block-data-size", "1T")]),
        ("tlc-zoned", &[("l2p-cache-size", "4G")]),
        ("tlc-zoned", &[("zones", "8192"), ("l2p-cache-size", "4G")]),
        (
            "tlc-block",
            &[("block-data-size", "1T"), ("l2p-cache-size", "4G")],
        ),
        ("zns-proto", &[("zones", "32768")]),
        ("zns-large", &[("zones", "1024")]),
        ("zns-zn540", &[("zones", "512"), ("meta-size", "512G")]),
        ("conv-970pro", &[("block-data-size", "1T")]),
        ("nvm-optane", &[("block-data-size", "1T")]),
    ] {
        let plan = config(preset, settings).plan().unwrap();
        let mut model = Model::new(&plan).unwrap();
        let write = Command::write(Sector::new(0), 256, true);
        let outcome = model.submit(Namespace::Data, &write, Instant::ZERO);
        assert!(outcome.result.is_ok(), "{preset}");
        let grown = resident().saturating_sub(before) >> 10;
        assert!(grown < 64, "{preset} at 1 TiB takes {grown} MiB");
    }
}
