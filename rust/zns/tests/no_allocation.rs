// SPDX-License-Identifier: GPL-2.0-or-later
//! Once the books have their working size, commands are worked without allocating; and what a drive
//! takes of the host's memory grows with its zones only.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{at, everything, fua, large, proto, read, write, zn540, zone, KIB, PAGE};
use ftl::{Command, Namespace, ZoneAction};
use zns::{Config, Zns};

/// Fills some of two zones, reads, and resets them; returns when that is over.
fn round(drive: &mut Zns, config: &Config, start: u64) -> u64 {
    let mut now = start;
    let span = config.zone_size.get() / 512;
    let unit = config.write_unit.get().max(256 << 10) / 512;
    let mut run = |command: Command| {
        let outcome = drive.submit(Namespace::Data, &command, at(now));
        assert!(outcome.result.is_ok(), "{command:?}: {outcome:?}");
        now = outcome.done.as_nanos();
    };
    for zone_start in [0, span] {
        for n in 0..64 {
            run(write(zone_start + n * unit, unit));
        }
        run(fua(zone_start + 64 * unit, unit));
    }
    for n in 0..64 {
        run(read(n * unit + PAGE, 512 * KIB));
        run(read(span + n * unit, PAGE));
    }
    run(Command::Flush);
    for zone_start in [0, span] {
        run(zone(ZoneAction::Finish, zone_start));
        run(zone(ZoneAction::Reset, zone_start));
    }
    now
}

#[test]
fn no_command_allocates() {
    for config in [proto(), large(), zn540(), everything(zn540())] {
        let mut drive = Zns::new(&config).unwrap();
        let now = round(&mut drive, &config, 0);
        let now = round(&mut drive, &config, now);
        let info = allocation_counter::measure(|| {
            round(&mut drive, &config, now);
        });
        assert_eq!(info.count_total, 0, "{info:?}");
    }
}

#[test]
fn memory_grows_with_zones_only() {
    let bytes = |zones| {
        let config = Config { zones, ..zn540() };
        let info = allocation_counter::measure(|| drop(Zns::new(&config).unwrap()));
        info.bytes_max
    };
    let each = (bytes(2048) - bytes(1024)) / 1024;
    // A zone has 2 GiB.
    assert!(each < 512, "{each} bytes a zone");
}
