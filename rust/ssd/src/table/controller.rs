// SPDX-License-Identifier: GPL-2.0-or-later
//! The controller, the media, and the run as a whole.

use super::{count, row, size, OURS, REFERENCE, TIME};
use crate::power_states;
use crate::properties::{Default, Key, Kind, Property};

/// Longest busy wait: longer ones only burn a core, since the kernel wakes in well under this.
const MAX_POLL_NS: u64 = 1_000_000;
/// Longest hold of an interrupt: what a guest can ask for itself is 25.5 ms.
const MAX_HOLD_NS: u64 = 25_500_000;

pub(super) const ROWS: &[Property] = &[
    row(
        Key::Timing,
        Kind::Bool,
        "off completes every command at once",
        Default::All("on"),
        OURS,
    ),
    row(
        Key::Seed,
        count(0, u64::MAX),
        "seed of all random choices of the model",
        Default::All("1"),
        OURS,
    ),
    row(
        Key::SampleInterval,
        TIME,
        "first distance of the samples of the counters in model time (property series); it doubles when 1024 are full; 0 takes none",
        Default::All("0"),
        OURS,
    ),
    row(
        Key::Serial,
        Kind::Text { max_chars: 20 },
        "serial number; EUI64 and NGUID follow from it",
        Default::All("conzone-0"),
        "20 characters: NVMe base 2.0, Identify Controller",
    ),
    row(
        Key::Mdts,
        count(1, 11),
        "largest transfer: 2^n times 4 KiB",
        Default::All("6"),
        REFERENCE,
    ),
    row(
        Key::QueueEntries,
        count(2, 65536),
        "entries of the largest queue (CAP.MQES + 1)",
        Default::All("32"),
        REFERENCE,
    ),
    row(
        Key::NumQueues,
        count(1, 64),
        "I/O queue pairs",
        Default::All("64"),
        OURS,
    ),
    row(
        Key::ShadowDoorbells,
        Kind::Bool,
        "whether guests may keep doorbells in memory (OACS bit 8): faster, but Linux can lose commands in a controller reset",
        Default::All("off"),
        OURS,
    ),
    row(
        Key::InterruptHold,
        Kind::Nanos { max: MAX_HOLD_NS },
        "with timing=off, how long an interrupt, and with shadow doorbells a command, may wait for more of them while that pays; 0 for never",
        Default::Auto("2000000, or 0 with -icount"),
        OURS,
    ),
    row(
        Key::PowerCuts,
        Kind::Choice(&["off", "shutdown", "reset", "dead"]),
        "whether power can be cut (power-cut, and the fault of that name), and what follows: the machine is shut down, or reset, or goes on with a dead drive (QEMU only)",
        Default::All("off"),
        OURS,
    ),
    row(
        Key::TornProgram,
        Kind::Choice(&["lost", "unreadable"]),
        "what a power cut makes of a page without zones that is being programmed: as if it had not been written, or reads of it fail until it is written again, whatever it had before",
        Default::All("lost"),
        OURS,
    ),
    row(
        Key::VendorCommands,
        Kind::Bool,
        "whether the guest may use admin commands C0h, which notes a number in record= and history=, and with power-cuts C4h, which cuts power (QEMU only)",
        Default::All("off"),
        OURS,
    ),
    row(
        Key::PowerStates,
        Kind::Choice(power_states::NAMES),
        "power states with their latencies and powers: those of a small client drive, as near to a phone's as NVMe drives come, or of a laptop's",
        Default::All("off"),
        "nvme id-ctrl of drives that can be bought (rust/ssd/src/power_states.rs)",
    ),
    row(
        Key::Apst,
        Kind::Bool,
        "whether the drive goes to low power states by itself before a host has asked it to, as Linux would: Linux asks, on the model alone nobody does",
        Default::All("off"),
        OURS,
    ),
    row(
        Key::Media,
        Kind::Choice(&["memory", "none"]),
        "where data goes; none discards it, for studies of timing alone: everything reads as zeroes (QEMU only)",
        Default::All("memory"),
        OURS,
    ),
    row(
        Key::Memdev,
        Kind::Object,
        "memory backend that holds the media; without it, private memory (QEMU only)",
        Default::All(""),
        OURS,
    ),
    row(
        Key::MemmapStart,
        size(0, u64::MAX),
        "start of the guest memory range that holds the media (QEMU only)",
        Default::All("0"),
        OURS,
    ),
    row(
        Key::MemmapSize,
        size(0, u64::MAX),
        "size of the guest memory range that holds the media; 0 means none (QEMU only)",
        Default::All("0"),
        OURS,
    ),
    row(
        Key::Iothread,
        Kind::Object,
        "iothread that works the device's timer in place of the main loop; not with -icount (QEMU only)",
        Default::All(""),
        OURS,
    ),
    row(
        Key::PollNs,
        Kind::Nanos { max: MAX_POLL_NS },
        "how near a deadline must be for the iothread to wait for it busily (QEMU only)",
        Default::All("0"),
        OURS,
    ),
];
