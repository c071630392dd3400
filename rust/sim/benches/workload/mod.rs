// SPDX-License-Identifier: GPL-2.0-or-later
//! What the benches run: traces on `ufs4-tlc`, or on it with more zones.

use trace::{Command, Line, Op};
use units::Instant;

/// Sectors of 4 KiB and of 512 KiB.
pub const PAGE: u32 = 8;
const LARGE: u32 = 1024;
/// Sectors of a zone of `ufs4-tlc`: its span, and its capacity.
const ZONE: u64 = 1 << 21;
const CAPACITY: u64 = 528 << 11;

/// A measured command, after a preparation.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// What is measured.
    pub name: &'static str,
    /// Zones of the drive.
    pub zones: u32,
    /// The commands, the `n`-th from 0.
    command: fn(n: u64, zones: u32) -> Command,
    /// How many to measure.
    pub count: u64,
    /// Most instructions of each, trace parsing included.
    #[allow(dead_code, reason = "for the bench that counts instructions")]
    pub bound: Option<u64>,
}

/// Zones of a drive of 4 GiB and of 4 TiB (of native capacity).
const SMALL: u32 = 8;
const HUGE: u32 = 7944;

/// All workloads; the drive is written to `prefill` first.
pub const WORKLOADS: [Workload; 8] = [
    Workload {
        name: "4 KiB random read",
        zones: 16,
        command: random_read,
        count: 20_000,
        bound: Some(2_500),
    },
    Workload {
        name: "512 KiB sequential write",
        zones: 16,
        command: large_write,
        count: 1_000,
        bound: Some(15_600),
    },
    Workload {
        name: "4 KiB sequential write",
        zones: 16,
        command: small_write,
        count: 20_000,
        bound: None,
    },
    Workload {
        name: "4 KiB write to 6 zones in turn",
        zones: 16,
        command: round_robin,
        count: 20_000,
        bound: None,
    },
    Workload {
        name: "4 KiB read, 4 GiB",
        zones: SMALL,
        command: spread_read,
        count: 10_000,
        bound: None,
    },
    Workload {
        name: "4 KiB read, 4 TiB",
        zones: HUGE,
        command: spread_read,
        count: 10_000,
        bound: None,
    },
    Workload {
        name: "zone reset and 3 writes, 4 GiB",
        zones: SMALL,
        command: write_and_reset,
        count: 4_000,
        bound: None,
    },
    Workload {
        name: "zone reset and 3 writes, 4 TiB",
        zones: HUGE,
        command: write_and_reset,
        count: 4_000,
        bound: None,
    },
];

/// The drive with so many zones.
pub fn config(zones: u32) -> ssd::Config {
    let mut config = ssd::Config::preset("ufs4-tlc").unwrap();
    config.set("zones", &zones.to_string()).unwrap();
    config
}

impl Workload {
    /// Brings the drive into the state that is measured: zone 0 full, a stripe in 7 zones that are
    /// spread over the drive.
    pub fn prefill(&self) -> impl Iterator<Item = Line> {
        let full = (0..CAPACITY / u64::from(LARGE))
            .map(|i| command(Op::Write, i * u64::from(LARGE), LARGE));
        let zones = u64::from(self.zones);
        let spread = (1..8).flat_map(move |i| {
            let zone = i * zones / 8 * ZONE;
            [
                command(Op::Write, zone, LARGE),
                command(Op::Finish, zone, 0),
            ]
        });
        core::iter::once(Line::Depth(1)).chain(full.chain(spread).map(Line::Command))
    }

    /// The measured commands.
    pub fn measured(&self) -> impl Iterator<Item = Line> {
        let (command, zones) = (self.command, self.zones);
        (0..self.count).map(move |n| Line::Command(command(n, zones)))
    }
}

fn command(op: Op, slba: u64, nlb: u32) -> Command {
    Command {
        arrival: Instant::ZERO,
        data: true,
        op,
        slba,
        nlb,
        fua: false,
    }
}

/// A number that looks random.
fn random(n: u64) -> u64 {
    fastrand::Rng::with_seed(n).u64(..)
}

fn random_read(n: u64, _zones: u32) -> Command {
    let page = random(n) % (CAPACITY / u64::from(PAGE));
    command(Op::Read, page * u64::from(PAGE), PAGE)
}

fn large_write(n: u64, _zones: u32) -> Command {
    command(Op::Write, ZONE + n * u64::from(LARGE), LARGE)
}

fn small_write(n: u64, _zones: u32) -> Command {
    command(Op::Write, ZONE + n * u64::from(PAGE), PAGE)
}

fn round_robin(n: u64, _zones: u32) -> Command {
    // Zones 2, 4, ... 14 have been finished.
    let zone = 1 + 2 * (n % 6);
    command(Op::Write, zone * ZONE + n / 6 * u64::from(PAGE), PAGE)
}

fn spread_read(n: u64, zones: u32) -> Command {
    let r = random(n);
    let zone = r % 8 * u64::from(zones) / 8;
    let page = (r >> 32) % u64::from(LARGE / PAGE);
    command(Op::Read, zone * ZONE + page * u64::from(PAGE), PAGE)
}

/// A reset of the last zone, then two stripes into it.
fn write_and_reset(n: u64, zones: u32) -> Command {
    let zone = (u64::from(zones) - 1) * ZONE;
    match n % 4 {
        0 => command(Op::Reset, zone, 0),
        i => command(Op::Write, zone + (i - 1) * u64::from(LARGE), LARGE),
    }
}
