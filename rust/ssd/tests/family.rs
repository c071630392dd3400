// SPDX-License-Identifier: GPL-2.0-or-later
//! The other flash models behind the real controller.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{machine, pattern, OK};
use nvme::Drive as _;
use nvme_spec::AdminOpcode;
use testkit::command;
use units::{Nanos, ZoneId};

/// Preset, settings, nsid of data.
type Small = (&'static str, &'static [(&'static str, &'static str)], u32);

/// Small drives of the other models.
const OTHERS: [Small; 5] = [
    ("zns-proto", &[("zones", "4"), ("zone-capacity", "1M")], 1),
    ("zns-large", &[("zones", "4"), ("zone-capacity", "3M")], 1),
    (
        "zns-zn540",
        &[("zones", "4"), ("zone-capacity", "3M"), ("meta-size", "4M")],
        2,
    ),
    ("conv-970pro", &[("block-data-size", "16M")], 1),
    ("nvm-optane", &[("block-data-size", "16M")], 1),
];

#[test]
fn the_other_models_keep_data_and_count_it() {
    for (preset, settings, nsid) in OTHERS {
        let mut guest = machine(preset, settings);
        let data = pattern(256 << 10, 7);
        assert_eq!(guest.write(nsid, 0, 9, &data).status(), OK, "{preset}");
        let (cqe, read) = guest.read(nsid, 0, 9, 512);
        assert_eq!(cqe.status(), OK, "{preset}");
        assert!(read == data, "{preset}");
        let model = guest.controller.drive().model();
        model.check_invariants().unwrap();
        let json: serde_json::Value = serde_json::from_str(&ssd::stats_json(model)).unwrap();
        assert_eq!(json["host_write_pages"], 64, "{preset}");
        assert_eq!(json["host_read_pages"], 64, "{preset}");
        assert_eq!(json["namespaces"]["data"]["latency"]["read"]["count"], 1);
        let counted = json["pages_native"].as_u64().unwrap();
        // Whole one-shot pages; the rest is still in the buffer.
        assert!((48..=64).contains(&counted), "{preset}: {counted}");
    }
}

/// Published latencies of an idle drive, behind the whole controller.
#[test]
fn the_other_models_take_their_published_time() {
    let expected = [64_152, 64_051, 67_631, 57_306, 2];
    for ((preset, settings, nsid), expected) in OTHERS.into_iter().zip(expected) {
        let mut guest = machine(preset, settings);
        // Complete one-shot pages, so that the first page is in flash.
        for at in 0..8 {
            let write = guest.write(nsid, at * 256, 9, &pattern(128 << 10, 0));
            assert_eq!(write.status(), OK, "{preset}");
        }
        guest.host.clock += Nanos::new(1_000_000_000);
        let before = guest.host.clock;
        let (cqe, _) = guest.read(nsid, 0, 9, 8);
        assert_eq!(cqe.status(), OK);
        let took = guest.host.clock.since(before);
        assert_eq!(took, Nanos::new(expected), "{preset}");
    }
}

#[test]
fn a_shutdown_and_a_format_reach_every_model() {
    for (preset, settings, nsid) in OTHERS {
        let mut guest = machine(preset, settings);
        let ns = nvme::NsIndex(u8::try_from(nsid - 1).unwrap());
        let write = guest.write(nsid, 0, 9, &pattern(128 << 10, 1));
        assert_eq!(write.status(), OK, "{preset}");
        let start = guest.host.clock;
        assert!(guest.controller.drive_mut().shutdown(start) >= start);
        let format = command::admin(AdminOpcode::FormatNvm, nsid, 1, 0);
        assert_eq!(guest.admin(format).status(), OK, "{preset}");
        let (cqe, read) = guest.read(nsid, 0, 12, 32);
        assert_eq!(cqe.status(), OK, "{preset}");
        assert!(read.iter().all(|b| *b == 0), "{preset}");
        let drive = guest.controller.drive_mut();
        assert_eq!(drive.namespaces()[usize::from(ns.0)].lba_shift, 12);
        if preset.starts_with("zns") {
            let zone = drive.zone(ns, ZoneId::new(0)).unwrap();
            assert_eq!(zone.state, zone::State::Empty);
            assert!(drive.inject_zone(ZoneId::new(1), true).is_ok());
        } else {
            assert!(drive.inject_zone(ZoneId::new(1), true).is_err());
        }
        assert_eq!(drive.health().percentage_used, 0);
        drive.model().check_invariants().unwrap();
    }
}
