// SPDX-License-Identifier: GPL-2.0-or-later
//! Experiments on the write buffers.

use super::{at, interval, Engine, Experiment, Figure, Scale, Trend};
use crate::drive::Drive;
use crate::experiment::case::{Case, Metric, Phase, Row, Workload};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Bytes that each case writes for each job.
const PER_JOB: u64 = 48 * MIB;

/// `slc-program-ns` of the presets.
const SLC_PROGRAM_US: f64 = 75.0;

/// Write amplification of `tlc-zoned` if every page is flushed alone. Each is programmed natively, and goes to pSLC before
/// that or as a backup; except two of the 96 in a row of program units (24 pages each) over four planes, which complete their
/// planes' wordlines: the third unit's last page one, the fourth's the other three.
const FLUSHED_ALONE: f64 = (96.0 + 94.0) / 96.0;

/// Sequential write by block size.
pub const SEQUENTIAL_WRITE: Experiment = Experiment {
    name: "sequential-write",
    title: "Sequential write by block size",
    shows: "One thread fills zones in order, one command outstanding. Each command pays the buffer access and the host \
        link; from some size on the flash programs all the time and the block size no longer matters. tlc-zoned has so \
        few planes that 4 KiB are enough. ufs4-tlc has eight times as many and a dwell window: small commands fill a \
        buffer too slowly, and part of it goes to pSLC when the window ends. A command that spans the end of a buffer \
        (256 KiB on buffers of 384 and 128 KiB) waits in the middle for the next one, and loses what it gained.",
    x: "block size, KiB",
    scale: Scale::Doubling,
    columns: &[Metric::Bandwidth, Metric::Iops, Metric::Mean, Metric::P99, Metric::Waf],
    figures: &[Figure::of(Metric::Bandwidth), Figure::of(Metric::Mean)],
    engine: Engine::Both,
    preset: None,
    cases: |_| {
        let drives = ["ufs4-tlc", "tlc-zoned", "qlc-zoned-page-slc"];
        let blocks = [4, 8, 16, 32, 64, 128, 256];
        let case = |preset: &'static str| {
            blocks.into_iter().map(move |kib| {
                let phase = Phase::write(1, kib * KIB, 4 * PER_JOB);
                Case::raw(preset, Drive::new(preset, &[]), vec![phase.at(kib as f64)])
            })
        };
        drives.into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let bandwidth = |series, x| at(rows, series, x, Metric::Bandwidth);
        vec![
            Trend::above(
                "ufs4-tlc at 256 KiB is limited by its flash, at 4 KiB by the buffer",
                bandwidth("ufs4-tlc", 256.0),
                2.0,
                bandwidth("ufs4-tlc", 4.0),
            ),
            Trend::near(
                "tlc-zoned has too few planes to tell 16 KiB from 128 KiB",
                bandwidth("tlc-zoned", 16.0),
                bandwidth("tlc-zoned", 128.0),
                2.0,
            ),
            Trend::near(
                "sequential writes are programmed once",
                at(rows, "tlc-zoned", 4.0, Metric::Waf),
                Some(1.0),
                1.0,
            ),
        ]
    },
};

/// Zones that compete for the buffers.
pub const ZONE_CONFLICTS: Experiment = Experiment {
    name: "zone-conflicts",
    title: "Zones written at once, on two write buffers",
    shows: "Each thread writes a zone of its own with 48 KiB commands. As long as every zone has a buffer, more zones \
        keep the flash no busier and no less busy. With one zone more, a write finds all buffers taken and flushes \
        another zone's data before its time: part of a program unit goes to pSLC, is read back later and programmed \
        again. A fixed assignment (wb-policy=modulo) conflicts in more cases, and gives a single zone only one of the \
        two buffers. Six buffers put the edge beyond six zones.",
    x: "zones written at once",
    scale: Scale::Linear,
    columns: &[Metric::Bandwidth, Metric::Mean, Metric::P99, Metric::Waf, Metric::Premature],
    figures: &[Figure::of(Metric::Bandwidth), Figure::of(Metric::Waf)],
    engine: Engine::Both,
    preset: Some("tlc-zoned"),
    cases: |preset| {
        let drives: [(&str, &[&str]); 3] = [
            ("2 buffers", &["max-open=8", "max-active=8"]),
            ("2 buffers, modulo", &["max-open=8", "max-active=8", "wb-policy=modulo"]),
            ("6 buffers", &["max-open=8", "max-active=8", "write-buffers=6", "write-buffer-size=2304K"]),
        ];
        let case = |(series, set): (&'static str, &'static [&'static str])| {
            let preset = preset.to_owned();
            (1..=6_u32).map(move |zones| {
                let phase = Phase::write(zones, 48 * KIB, u64::from(zones) * PER_JOB);
                Case::raw(series, Drive::new(&preset, set), vec![phase.at(f64::from(zones))])
            })
        };
        drives.into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let bandwidth = |series, x| at(rows, series, x, Metric::Bandwidth);
        vec![
            // 1.5 to 1.7 times, by how the threads fall in step.
            Trend::above(
                "2 zones on 2 buffers against 3",
                bandwidth("2 buffers", 2.0),
                1.4,
                bandwidth("2 buffers", 3.0),
            ),
            Trend::above(
                "and against 6",
                bandwidth("2 buffers", 2.0),
                1.7,
                bandwidth("2 buffers", 6.0),
            ),
            Trend::above(
                "3 zones flush before their time, 2 do not",
                at(rows, "2 buffers", 3.0, Metric::Premature),
                1.0,
                at(rows, "2 buffers", 2.0, Metric::Premature),
            ),
            Trend::near(
                "6 buffers serve 6 zones as well as 2",
                bandwidth("6 buffers", 6.0),
                bandwidth("6 buffers", 2.0),
                10.0,
            ),
        ]
    },
};

/// What a premature flush costs.
pub const PREMATURE_FLUSH: Experiment = Experiment {
    name: "premature-flush",
    title: "What a premature flush costs, by write size",
    shows: "Two and three zones are written at once on two buffers. With three, nearly every write flushes another \
        zone's buffer, which holds little. The less that is, the more of a program unit goes to pSLC page by page and \
        comes back. From 96 KiB (a program unit) on nothing is programmed twice, but a buffer with one unit in it keeps \
        only one of four planes busy; a command as large as the buffer has nothing left to lose.",
    x: "block size, KiB",
    scale: Scale::Doubling,
    columns: &[Metric::Bandwidth, Metric::Mean, Metric::Waf, Metric::Premature, Metric::SlcPages],
    figures: &[Figure::of(Metric::Bandwidth), Figure::of(Metric::Waf)],
    engine: Engine::Both,
    preset: Some("tlc-zoned"),
    cases: |preset| {
        let case = |zones: u32| {
            let preset = preset.to_owned();
            [4, 8, 16, 48, 96, 192, 384].into_iter().map(move |kib: u64| {
                let phase = Phase::write(zones, kib * KIB, u64::from(zones) * PER_JOB / 2);
                let series = format!("{zones} zones");
                // Commands of up to 512 KiB: the drive's own limit, 256 KiB, would cut the largest in two.
                Case::raw(&series, Drive::new(&preset, &["mdts=7"]), vec![phase.at(kib as f64)])
            })
        };
        [2, 3].into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let (two, three) = (interval(rows, "2 zones", 4.0), interval(rows, "3 zones", 4.0));
        let added = two.zip(three).map(|(two, three)| three - two);
        // 384 KiB are 96 times as much, and the flash does nothing but program them.
        let flash = interval(rows, "2 zones", 384.0).map(|us| us / 96.0);
        vec![
            Trend::above("at 4 KiB, us that the third zone adds to each write, against the flash's own for it", added, 1.5, flash),
            Trend::near(
                "with a command as large as the buffer, nothing is programmed twice",
                at(rows, "3 zones", 384.0, Metric::Waf),
                Some(1.0),
                1.0,
            ),
        ]
    },
};

/// Flush commands among sequential writes.
pub const SYNC_WRITE: Experiment = Experiment {
    name: "sync-write",
    title: "Sequential 4 KiB writes with a flush after every few",
    shows: "What fsync does below the file system: the drive must bring what it has buffered to the flash before its \
        time. Every flush programs the buffer's rest to pSLC, a flash page at a time, and waits for it. What pSLC holds \
        already stays there as the backup of what native cells have not programmed yet: nothing is copied twice.",
    x: "writes for each flush",
    scale: Scale::Doubling,
    columns: &[Metric::Bandwidth, Metric::Mean, Metric::P99, Metric::Waf, Metric::SlcPages],
    figures: &[Figure::of(Metric::Bandwidth), Figure::of(Metric::Waf)],
    engine: Engine::Both,
    preset: None,
    cases: |_| {
        let case = |preset: &'static str| {
            [1, 2, 4, 8, 16, 32, 64, 128, 256].into_iter().map(move |every: u32| {
                let phase = Phase {
                    flush_every: every,
                    ..Phase::write(1, 4 * KIB, 8 * MIB)
                };
                Case::raw(preset, Drive::new(preset, &[]), vec![phase.at(f64::from(every))])
            })
        };
        ["tlc-zoned", "qlc-zoned-page-slc"].into_iter().flat_map(case).collect()
    },
    trends: |rows, _| {
        let added = interval(rows, "tlc-zoned", 1.0)
            .zip(interval(rows, "tlc-zoned", 256.0))
            .map(|(often, seldom)| often - seldom);
        vec![
            Trend::above("us that a flush for each write adds to it, against a program of pSLC", added, 1.0, Some(SLC_PROGRAM_US)),
            Trend::near(
                "each page goes to pSLC once and to native cells once",
                at(rows, "tlc-zoned", 1.0, Metric::Waf),
                Some(FLUSHED_ALONE),
                1.0,
            ),
            Trend::above(
                "write amplification of a flush for each write against each 256",
                at(rows, "tlc-zoned", 1.0, Metric::Waf),
                1.3,
                at(rows, "tlc-zoned", 256.0, Metric::Waf),
            ),
        ]
    },
};

/// fsync on F2FS.
pub const F2FS_FSYNC: Experiment = Experiment {
    name: "f2fs-fsync",
    title: "F2FS: random 4 KiB overwrites with fsync",
    shows: "F2FS puts its metadata on the conventional namespace and appends data to zones. An fsync writes the \
        file's data and node blocks and waits for the drive; the rarer it is, the larger the writes that reach the \
        drive. The guest's own software is in these figures.",
    x: "writes for each fsync",
    scale: Scale::Doubling,
    columns: &[Metric::Bandwidth, Metric::Iops, Metric::Waf, Metric::SlcPages],
    figures: &[Figure::of(Metric::Bandwidth), Figure::of(Metric::Waf)],
    engine: Engine::Guest,
    preset: Some("tlc-zoned"),
    cases: |preset| {
        let case = |fsync: u32| Case {
            series: preset.to_owned(),
            drive: Drive::new(preset, &[]),
            workload: Workload::F2fs {
                fsync,
                bytes: 16 * MIB,
                x: f64::from(fsync),
            },
        };
        [1, 4, 16, 64, 256].into_iter().map(case).collect()
    },
    trends: |rows: &[Row], _| {
        let series = rows.first().map_or("", |row| row.series.as_str());
        vec![
            Trend::above(
                "an fsync for each 256 writes against one for each",
                at(rows, series, 256.0, Metric::Bandwidth),
                2.0,
                at(rows, series, 1.0, Metric::Bandwidth),
            ),
            Trend::above(
                "pages programmed to pSLC, an fsync for each write against each 256",
                at(rows, series, 1.0, Metric::SlcPages),
                2.0,
                at(rows, series, 256.0, Metric::SlcPages),
            ),
        ]
    },
};
