// SPDX-License-Identifier: GPL-2.0-or-later
//! The property table: every figure a user may change, its bounds, default and source.
//!
//! Bounds keep absurd values from overflowing or exhausting the host; they are far outside what
//! any drive has. Rules between properties are in `plan`.

use crate::properties::{Default, Key, Kind, Property};
use units::{KIB, MIB};

const REFERENCE: &str = "ConZone+ configuration";
const OURS: &str = "our choice";
const SIZING: &str = "sizing rule of the model (docs/model.md)";

/// Longest model time of one step: an hour keeps every sum of them far from overflow.
const MAX_NS: u64 = 3_600_000_000_000;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

const fn row(
    key: Key,
    kind: Kind,
    doc: &'static str,
    default: Default,
    source: &'static str,
) -> Property {
    Property {
        key,
        kind,
        doc,
        default,
        source,
    }
}

const fn size(min: u64, max: u64) -> Kind {
    Kind::Size { min, max }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

const TIME: Kind = Kind::Nanos { max: MAX_NS };
const PAGE_TIME: Kind = Kind::PageNanos { max: MAX_NS };
const MBPS: Kind = Kind::Bandwidth { max: 1 << 20 };

/// Every property, in the order of [`Key`].
pub const PROPERTIES: &[Property] = &[
    row(
        Key::Preset,
        Kind::Choice(&[
            "ufs4-tlc",
            "tlc-zoned",
            "qlc-zoned-page-slc",
            "qlc-zoned-zone-slc",
            "tlc-block",
            "qlc-block",
        ]),
        "the set of defaults; properties set explicitly win, in any order",
        Default::All("tlc-zoned"),
        OURS,
    ),
    row(
        Key::DataInterface,
        Kind::Choice(&["zoned", "block"]),
        "whether the data namespace is zoned or a block namespace",
        Default::Each(["zoned", "zoned", "zoned", "zoned", "block", "block"]),
        REFERENCE,
    ),
    row(
        Key::Zones,
        count(1, 1 << 20),
        "zones of a zoned data namespace",
        Default::Each(["16", "32", "32", "32", "32", "32"]),
        OURS,
    ),
    row(
        Key::ZoneSize,
        size(4 * KIB, 64 * TIB),
        "LBA span of a zone, at least its capacity (one native superblock)",
        Default::Auto("next power of two of the zone capacity"),
        "Linux wants a power of two",
    ),
    row(
        Key::BlockDataSize,
        size(4 * KIB, 64 * TIB),
        "logical size of a block data namespace",
        Default::All("4G"),
        OURS,
    ),
    row(
        Key::MetaSize,
        size(0, 16 * TIB),
        "logical size of the conventional meta namespace; 0 leaves it out",
        Default::Each(["2G", "256M", "256M", "256M", "40M", "40M"]),
        REFERENCE,
    ),
    row(
        Key::LbaSize,
        Kind::Choice(&["512", "4096"]),
        "logical block size at power-on, in bytes",
        Default::All("512"),
        REFERENCE,
    ),
    row(
        Key::MaxOpen,
        count(1, 1 << 20),
        "open zones at a time (MOR), at most max-active",
        Default::All("6"),
        REFERENCE,
    ),
    row(
        Key::MaxActive,
        count(1, 1 << 20),
        "active zones at a time (MAR)",
        Default::All("6"),
        REFERENCE,
    ),
    row(
        Key::Cell,
        Kind::Choice(&["slc", "mlc", "tlc", "qlc"]),
        "bits per cell of native blocks: 1, 2, 3 or 4",
        Default::Each(["tlc", "tlc", "qlc", "qlc", "tlc", "qlc"]),
        REFERENCE,
    ),
    row(
        Key::Channels,
        count(1, 64),
        "buses between controller and dies",
        Default::Each(["4", "2", "2", "2", "2", "2"]),
        REFERENCE,
    ),
    row(
        Key::LunsPerChannel,
        count(1, 64),
        "dies on each channel",
        Default::Each(["2", "2", "2", "2", "2", "2"]),
        REFERENCE,
    ),
    row(
        Key::PlanesPerLun,
        count(1, 16),
        "planes of each die",
        Default::Each(["4", "1", "1", "1", "1", "1"]),
        REFERENCE,
    ),
    row(
        Key::DiesPerZone,
        count(1, 4096),
        "dies that a superblock, and so a zone, is striped over",
        Default::All("4"),
        REFERENCE,
    ),
    row(
        Key::FlashPageSize,
        size(4 * KIB, MIB),
        "bytes that one plane senses at a time",
        Default::Each(["16K", "32K", "32K", "32K", "32K", "32K"]),
        REFERENCE,
    ),
    row(
        Key::BlockSize,
        size(4 * KIB, 64 * GIB),
        "bytes of one block of one plane in native mode",
        Default::Each(["33M", "24M", "32M", "32M", "24M", "32M"]),
        REFERENCE,
    ),
    row(
        Key::ChannelBandwidth,
        MBPS,
        "bandwidth of each channel",
        Default::Each(["1422", "1600", "1600", "1600", "1600", "1600"]),
        REFERENCE,
    ),
    row(
        Key::LinkBandwidth,
        MBPS,
        "bandwidth of the host link",
        Default::All("3000"),
        REFERENCE,
    ),
    row(
        Key::SlcRead,
        PAGE_TIME,
        "sense time in 1-bit mode (pSLC)",
        Default::All("20000"),
        REFERENCE,
    ),
    row(
        Key::MlcRead,
        PAGE_TIME,
        "sense time of MLC pages (LSB/MSB)",
        Default::All("30013/42013"),
        REFERENCE,
    ),
    row(
        Key::TlcRead,
        PAGE_TIME,
        "sense time of TLC pages",
        Default::Each(["40000", "32000", "32000", "32000", "32000", "32000"]),
        REFERENCE,
    ),
    row(
        Key::QlcRead,
        PAGE_TIME,
        "sense time of QLC pages",
        Default::All("85000"),
        REFERENCE,
    ),
    row(
        Key::SlcProgram,
        TIME,
        "program time in 1-bit mode (pSLC)",
        Default::All("75000"),
        REFERENCE,
    ),
    row(
        Key::MlcProgram,
        TIME,
        "program time of an MLC one-shot page",
        Default::All("185000"),
        REFERENCE,
    ),
    row(
        Key::TlcProgram,
        TIME,
        "program time of a TLC one-shot page",
        Default::All("937500"),
        REFERENCE,
    ),
    row(
        Key::QlcProgram,
        TIME,
        "program time of a QLC one-shot page",
        Default::All("6098000"),
        REFERENCE,
    ),
    row(
        Key::Erase,
        TIME,
        "erase time of a block",
        Default::All("3500000"),
        REFERENCE,
    ),
    row(
        Key::FwRead4k,
        TIME,
        "firmware time of a read of up to 4 KiB",
        Default::All("20000"),
        REFERENCE,
    ),
    row(
        Key::FwRead,
        TIME,
        "firmware time of a larger read",
        Default::All("13000"),
        REFERENCE,
    ),
    row(
        Key::WbufBase,
        TIME,
        "write buffer access, per piece",
        Default::All("5600"),
        REFERENCE,
    ),
    row(
        Key::WbufPage,
        TIME,
        "write buffer access, per 4 KiB",
        Default::All("600"),
        REFERENCE,
    ),
    row(
        Key::WriteBufferSize,
        size(4 * KIB, GIB),
        "volatile write buffer of the data namespace, all buffers together",
        Default::Each(["1536K", "768K", "768K", "768K", "768K", "768K"]),
        REFERENCE,
    ),
    row(
        Key::WriteBuffers,
        count(1, 4096),
        "buffers that the write buffer is divided into",
        Default::Auto("1 for block data; else write-buffer-size over one one-shot page (without slc-bypass one pSLC page) on each plane of a zone"),
        SIZING,
    ),
    row(
        Key::MetaWriteBufferSize,
        size(4 * KIB, GIB),
        "volatile write buffer of the meta namespace",
        Default::Each(["384K", "512K", "512K", "512K", "512K", "512K"]),
        REFERENCE,
    ),
    row(
        Key::WbPolicy,
        Kind::Choice(&["static", "modulo"]),
        "how a zone gets a write buffer",
        Default::All("static"),
        REFERENCE,
    ),
    row(
        Key::WbDwell,
        TIME,
        "longest time data waits in a write buffer of the data namespace; 0 means for ever",
        Default::Each(["320000", "0", "0", "0", "0", "0"]),
        REFERENCE,
    ),
    row(
        Key::SlcBypass,
        Kind::Bool,
        "whether data that fills a program unit goes straight to native cells",
        Default::Each(["on", "on", "off", "off", "on", "off"]),
        REFERENCE,
    ),
    row(
        Key::SlcMap,
        Kind::Choice(&["page", "sub-zone"]),
        "how staged data is mapped: page by page, or a pSLC superblock per zone",
        Default::Each(["page", "page", "page", "sub-zone", "page", "page"]),
        REFERENCE,
    ),
    row(
        Key::SlcSuperblocks,
        count(3, 1 << 20),
        "pSLC superblocks of the data namespace, in each die group",
        Default::Each(["4", "28", "28", "28", "28", "28"]),
        REFERENCE,
    ),
    row(
        Key::OverProvisioning,
        Kind::Percent { max: 1000 },
        "spare space of page-mapped pools",
        Default::All("7"),
        REFERENCE,
    ),
    row(
        Key::GcThreshold,
        count(1, 1 << 16),
        "free superblocks at which garbage collection starts",
        Default::All("2"),
        REFERENCE,
    ),
    row(
        Key::MigrateThreshold,
        count(1, 1 << 16),
        "free data pSLC superblocks at which migration starts",
        Default::All("2"),
        REFERENCE,
    ),
    row(
        Key::L2pCacheSize,
        size(1, 16 * GIB),
        "size of the cache of map entries",
        Default::All("1020K"),
        REFERENCE,
    ),
    row(
        Key::L2pEntrySize,
        size(1, 4096),
        "size of a map entry",
        Default::All("4"),
        REFERENCE,
    ),
    row(
        Key::L2pSlots,
        count(1, 1 << 20),
        "parts that the cache is divided into by hash",
        Default::All("3"),
        REFERENCE,
    ),
    row(
        Key::L2pPolicy,
        Kind::Choice(&["lru", "random"]),
        "which entry of a full slot is replaced",
        Default::All("lru"),
        REFERENCE,
    ),
    row(
        Key::L2pSearch,
        Kind::Choice(&["multiple", "bitmap"]),
        "how a missing entry is looked up: a map read per granularity, or one",
        Default::All("multiple"),
        REFERENCE,
    ),
    row(
        Key::L2pHybrid,
        Kind::Bool,
        "whether zones, sub-zones and chunks have entries of their own",
        Default::All("on"),
        REFERENCE,
    ),
    row(
        Key::L2pResident,
        Kind::Bool,
        "whether coarse entries are never evicted",
        Default::All("on"),
        REFERENCE,
    ),
    row(
        Key::L2pPreread,
        count(0, 1024),
        "further entries that a map read brings into the cache",
        Default::All("0"),
        REFERENCE,
    ),
    row(
        Key::ChunkSize,
        size(4 * KIB, 64 * GIB),
        "logical span of a chunk, the granularity between page and zone",
        Default::All("4M"),
        REFERENCE,
    ),
    row(
        Key::ResetWait,
        Kind::Bool,
        "whether a zone reset completes only after its erases",
        Default::All("off"),
        OURS,
    ),
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
        Default::Each(["64", "32", "32", "32", "32", "32"]),
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
];
