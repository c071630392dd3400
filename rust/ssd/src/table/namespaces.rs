// SPDX-License-Identifier: GPL-2.0-or-later
//! What the host sees: preset, model, namespaces, zones.

use super::{count, row, size, FAMILY, NOT_ZNS, OURS, REFERENCE, TIB, ZMS, ZNS, ZONED};
use crate::presets::PRESET_NAMES;
use crate::properties::{Default, Key, Kind, ModelKind, Property};
use units::{KIB, MIB};

pub(super) const ROWS: &[Property] = &[
    row(
        Key::Preset,
        Kind::Choice(&PRESET_NAMES),
        "the set of defaults; properties set explicitly win, in any order",
        Default::All("tlc-zoned"),
        OURS,
    ),
    row(
        Key::Model,
        Kind::Choice(&ModelKind::NAMES),
        "the flash translation layer: consumer zoned, enterprise zoned, conventional, or plain units",
        Default::All("zms"),
        OURS,
    ),
    row(
        Key::DataInterface,
        Kind::Choice(&["zoned", "block"]),
        "whether the data namespace is zoned or a block namespace",
        Default::All("zoned"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::Zones,
        count(1, 1 << 20),
        "zones of a zoned data namespace",
        Default::All("32"),
        OURS,
    )
    .only(ZONED),
    row(
        Key::ZoneCapacity,
        size(4 * KIB, 64 * TIB),
        "bytes of a zone that can be written; with zms that is one native superblock",
        Default::All("96M"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::ZoneSize,
        size(4 * KIB, 64 * TIB),
        "LBA span of a zone, at least its capacity",
        Default::Auto("next power of two of the zone capacity"),
        "Linux wants a power of two",
    )
    .only(ZONED),
    row(
        Key::WriteUnit,
        size(512, 16 * MIB),
        "what the length of a write to a zone must be a multiple of",
        Default::All("512"),
        FAMILY,
    )
    .only(ZNS),
    row(
        Key::BlockDataSize,
        size(4 * KIB, 64 * TIB),
        "logical size of a block data namespace",
        Default::All("4G"),
        OURS,
    )
    .only(NOT_ZNS),
    row(
        Key::MetaSize,
        size(0, 16 * TIB),
        "logical size of the conventional meta namespace; 0 leaves it out",
        Default::Auto("what F2FS needs for its metadata beside the data namespace"),
        REFERENCE,
    )
    .only(ZONED),
    row(
        Key::LbaSize,
        Kind::Choice(&["512", "4096"]),
        "logical block size at power-on, in bytes",
        Default::All("512"),
        REFERENCE,
    ),
    row(
        Key::MaxOpen,
        count(0, 1 << 20),
        "open zones at a time (MOR), at most max-active; 0 for no limit",
        Default::All("6"),
        REFERENCE,
    )
    .only(ZONED),
    row(
        Key::MaxActive,
        count(0, 1 << 20),
        "active zones at a time (MAR); 0 for no limit",
        Default::All("6"),
        REFERENCE,
    )
    .only(ZONED),
    row(
        Key::ReadAcrossZones,
        Kind::Bool,
        "whether a read may go on from one zone into the next (OZCS bit 0)",
        Default::All("off"),
        OURS,
    )
    .only(ZONED),
    row(
        Key::ZoneExtensionSize,
        size(0, 255 * 64),
        "bytes of each zone's descriptor extension (ZDES), a multiple of 64; 0 for none",
        Default::All("0"),
        OURS,
    )
    .only(ZONED),
    row(
        Key::ZrwaSize,
        size(0, 16 * MIB),
        "size of a zone's random write area (ZRWASZ), a multiple of zrwa-flush-granularity; 0 for none",
        Default::All("0"),
        OURS,
    )
    .only(ZONED),
    row(
        Key::ZrwaGranularity,
        size(4 * KIB, 16 * MIB),
        "what a flush of a random write area is a multiple of (ZRWAFG), itself one of 4 KiB",
        Default::All("16K"),
        OURS,
    )
    .only(ZONED),
    row(
        Key::ZrwaZones,
        count(1, 4096),
        "zones with a random write area at a time (NUMZRWA)",
        Default::All("4"),
        OURS,
    )
    .only(ZONED),
];
