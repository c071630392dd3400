// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash array, its buses, and their times.

use super::{
    count, row, size, CHIPS, CONV, FAMILY, FLASH, GIB, MBPS, OURS, PAGE_TIME, REFERENCE, TIME, ZMS,
    ZNS, ZONED,
};
use crate::properties::{Default, Key, Kind, Property};
use units::{KIB, MIB};

pub(super) const ROWS: &[Property] = &[
    row(
        Key::Cell,
        Kind::Choice(&["slc", "mlc", "tlc", "qlc"]),
        "bits per cell of native blocks: 1, 2, 3 or 4",
        Default::All("tlc"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::Channels,
        count(1, 64),
        "buses between controller and dies",
        Default::All("2"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::LunsPerChannel,
        count(1, 64),
        "dies on each channel",
        Default::All("2"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::PlanesPerLun,
        count(1, 16),
        "planes of each die",
        Default::All("1"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::Partitions,
        count(1, 64),
        "parts with channels and a map of their own; a divisor of channels",
        Default::All("1"),
        OURS,
    )
    .only(CONV),
    row(
        Key::DiesPerZone,
        count(1, 4096),
        "dies that a superblock, and so a zone, is striped over",
        Default::All("4"),
        REFERENCE,
    )
    .only(ZONED),
    row(
        Key::ZoneStagger,
        count(0, 4096),
        "of how many of its dies each zone begins further on than the one before it",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::FlashPageSize,
        size(4 * KIB, MIB),
        "bytes that one plane senses at a time",
        Default::All("32K"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::OneShotPageSize,
        size(4 * KIB, 16 * MIB),
        "bytes that one plane programs at a time",
        Default::Auto("flash-page-size x bits per cell"),
        FAMILY,
    )
    .only(CHIPS),
    row(
        Key::BlockSize,
        size(4 * KIB, 64 * GIB),
        "bytes of one block of one plane in native mode",
        Default::All("24M"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::BlocksPerPlane,
        count(1, 1 << 20),
        "blocks of a plane to aim at; a block has at least one one-shot page",
        Default::All("8192"),
        FAMILY,
    )
    .only(CHIPS),
    row(
        Key::ChannelBandwidth,
        MBPS,
        "bandwidth of each channel",
        Default::All("1600"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::ChannelOverhead,
        TIME,
        "time a channel is busy beyond the transfer, per 4 KiB",
        Default::All("0"),
        FAMILY,
    )
    .only(FLASH),
    row(
        Key::ChannelCommand,
        TIME,
        "time a channel is busy beyond the transfer, for each operation or piece of one (commands, addresses, status polls)",
        Default::All("0"),
        OURS,
    )
    .only(FLASH),
    row(
        Key::ChannelTransfer,
        size(0, MIB),
        "what a channel carries at a time, at least 4K: others get in between such pieces, and within none; 0 for transfers that any idle time carries a part of",
        Default::All("0"),
        FAMILY,
    )
    .only(FLASH),
    row(
        Key::PageRegister,
        size(0, MIB),
        "the part of the flash page sensed last that stays in the page register, to be read again without a sense; 0 for none",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::ProgramSlice,
        TIME,
        "how long a program works at a time before it leaves the plane to others (program-window-ns)",
        Default::All("0"),
        OURS,
    )
    .only(CHIPS),
    row(
        Key::ProgramWindow,
        TIME,
        "for how long a program leaves the plane to others between its slices; 0 for no slices",
        Default::All("0"),
        OURS,
    )
    .only(CHIPS),
    row(
        Key::LinkBandwidth,
        MBPS,
        "bandwidth of the host link",
        Default::All("3000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::SlcRead,
        PAGE_TIME,
        "sense time in 1-bit mode (pSLC)",
        Default::All("20000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::MlcRead,
        PAGE_TIME,
        "sense time of MLC pages (LSB/MSB)",
        Default::All("30013/42013"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::TlcRead,
        PAGE_TIME,
        "sense time of TLC pages",
        Default::All("32000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::QlcRead,
        PAGE_TIME,
        "sense time of QLC pages",
        Default::All("85000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::Read4k,
        PAGE_TIME,
        "sense time of up to 4 KiB of a native page",
        Default::Auto("the cell's read time"),
        FAMILY,
    )
    .only(CHIPS),
    row(
        Key::SlcProgram,
        TIME,
        "program time in 1-bit mode (pSLC)",
        Default::All("75000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::MlcProgram,
        TIME,
        "program time of an MLC one-shot page",
        Default::All("185000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::TlcProgram,
        TIME,
        "program time of a TLC one-shot page",
        Default::All("937500"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::QlcProgram,
        TIME,
        "program time of a QLC one-shot page",
        Default::All("6098000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::Erase,
        TIME,
        "erase time of a block",
        Default::All("3500000"),
        REFERENCE,
    )
    .only(FLASH),
];
