// SPDX-License-Identifier: GPL-2.0-or-later
//! The consumer drive beside the enterprise and conventional ones of its family.

use super::{at, Engine, Experiment, Figure, Scale, Trend};
use crate::drive::Drive;
use crate::experiment::case::{Case, Metric, Phase};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const CONSUMER: &str = "consumer (ufs4-tlc)";
const SAME_FLASH: &str = "enterprise, same flash (zns-large)";
const ZN540: &str = "enterprise (zns-zn540)";

/// Open zones.
pub const WRITE: Experiment = Experiment {
    name: "consumer-enterprise-write",
    title: "Consumer and enterprise drives: zones written at once",
    shows: "One to sixteen zones are written at once with 96 KiB commands. The enterprise drives have a buffer for each \
        zone: more zones keep more dies busy until the link or the flash is full, and from there on bandwidth is flat. \
        The consumer drive has two buffers for all zones: from the third on it flushes them before their time. \
        zns-large has the same chips and channels as ufs4-tlc, so what lies between these two lines is the buffers.",
    x: "zones written at once",
    scale: Scale::Linear,
    columns: &[Metric::Bandwidth, Metric::Mean, Metric::P99, Metric::Waf, Metric::Premature],
    figures: &[Figure::of(Metric::Bandwidth), Figure::of(Metric::P99)],
    engine: Engine::Both,
    preset: None,
    cases: |_| {
        let small: &[&str] = &["zones=16", "zone-capacity=96M", "zone-size=128M", "max-open=16", "max-active=16"];
        let drives: [(&str, &str, &[&str]); 3] = [
            (CONSUMER, "ufs4-tlc", &["max-open=16", "max-active=16"]),
            (SAME_FLASH, "zns-large", &["zones=16", "max-open=16", "max-active=16"]),
            (ZN540, "zns-zn540", small),
        ];
        let case = |(series, preset, set): (&'static str, &'static str, &'static [&'static str])| {
            [1, 2, 3, 4, 6, 8, 12, 16].into_iter().map(move |zones: u32| {
                let phase = Phase::write(zones, 96 * KIB, u64::from(zones) * 48 * MIB);
                Case::raw(series, Drive::new(preset, set), vec![phase.at(f64::from(zones))])
            })
        };
        drives.into_iter().flat_map(case).collect()
    },
    trends: |rows, guest| {
        let bandwidth = |series, x| at(rows, series, x, Metric::Bandwidth);
        // The guest's one CPU is full before the link is, and needs a little less for each command when many are due.
        // Sixteen jobs share the guest's one processor.
        let flat = if guest { 15.0 } else { 5.0 };
        vec![
            Trend::near("the enterprise drive is flat, 4 to 16 zones", bandwidth(ZN540, 16.0), bandwidth(ZN540, 4.0), flat),
            Trend::near("and so is one with the consumer's flash", bandwidth(SAME_FLASH, 16.0), bandwidth(SAME_FLASH, 4.0), 5.0),
            Trend::above(
                "the consumer drive falls off after its two buffers",
                bandwidth(CONSUMER, 2.0),
                1.3,
                bandwidth(CONSUMER, 3.0),
            ),
            Trend::above("and stays there", bandwidth(CONSUMER, 2.0), 1.6, bandwidth(CONSUMER, 16.0)),
        ]
    },
};

const PAGE_MAP: &str = "consumer, page map (tlc-zoned)";
const HYBRID_MAP: &str = "consumer, hybrid map (tlc-zoned)";
const CONVENTIONAL: &str = "conventional (conv-970pro)";

/// What a read of the map in pSLC takes: sense and transfer.
const MAP_READ_US: f64 = 22.0;

/// Random reads over a range.
pub const READ: Experiment = Experiment {
    name: "consumer-enterprise-read",
    title: "Consumer and enterprise drives: 4 KiB random read by range",
    shows: "An enterprise zoned drive computes where a page lies, a conventional SSD has its whole map in memory: for both \
        the range does not matter. Only the consumer drive shows its map, from the range on that its cache no longer \
        covers; with entries for whole zones it hides it again, as long as zones are full.",
    x: "range, MiB",
    scale: Scale::Linear,
    columns: &[Metric::Mean, Metric::P99, Metric::Iops, Metric::HitRate, Metric::MapReads],
    figures: &[Figure::of(Metric::Mean), Figure::of(Metric::MapReads)],
    engine: Engine::Both,
    preset: None,
    cases: |_| {
        let drives: [(&str, &str, &[&str]); 4] = [
            (PAGE_MAP, "tlc-zoned", &["l2p-hybrid=off"]),
            (HYBRID_MAP, "tlc-zoned", &[]),
            (ZN540, "zns-zn540", &["zones=32", "zone-capacity=96M", "zone-size=128M"]),
            (CONVENTIONAL, "conv-970pro", &[]),
        ];
        let case = |(series, preset, set): (&'static str, &'static str, &'static [&'static str])| {
            [128, 512, 1020, 1280, 1536, 2048, 2560].into_iter().map(move |mib: u64| {
                let range = mib * MIB;
                let phases = vec![Phase::fill(range), Phase::random_read(range, 4096, 20_000).at(mib as f64)];
                Case::raw(series, Drive::new(preset, set), phases)
            })
        };
        drives.into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let mean = |series, x| at(rows, series, x, Metric::Mean);
        // A difference, for what the guest's software adds to it all; three in five miss.
        let added = mean(PAGE_MAP, 2560.0).zip(mean(PAGE_MAP, 1020.0)).map(|(wide, covered)| wide - covered);
        let mut trends = vec![
            Trend::above("us that the consumer drive's map adds at 2560 MiB, against a read of it", added, 0.55, Some(MAP_READ_US)),
            Trend::near("and not before", mean(PAGE_MAP, 1020.0), mean(PAGE_MAP, 128.0), 0.5),
        ];
        for series in [HYBRID_MAP, ZN540, CONVENTIONAL] {
            let what = format!("{series}: 2560 MiB as fast as 128");
            trends.push(Trend::near(&what, mean(series, 2560.0), mean(series, 128.0), 2.0));
        }
        trends
    },
};
