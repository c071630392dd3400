// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash translation layer: firmware, buffers, spare space, map.

use super::{
    count, row, size, CACHED, FAMILY, FLASH, GIB, OURS, REFERENCE, SIMPLE, SIZING, TIME, ZMS, ZNS,
    ZONED,
};
use crate::properties::{Default, Key, Kind, Property};
use units::{KIB, MIB};

/// MQSim is another simulator of SSDs; its `ssdconfig.xml` has a program's suspension take 100 us.
const SUSPENDED: &str =
    "MQSim configuration: 100 us a suspended program, half before and half after";

/// The mechanism's; how long drives wait is theirs to know.
const WRITE_BOOSTER: &str =
    "UFS 3.1 (JESD220E), WriteBooster: buffer flush while the device is idle";

/// The mechanism's; how much of it drives lend follows from the sizes of cache that they are said to have.
const DYNAMIC_CACHE: &str =
    "consumer SSDs with a dynamic SLC cache: free cells in 1-bit mode, so that the cache shrinks as the drive fills";

/// Between a server's and a desktop's.
const PCIE_READ: &str =
    "Neugebauer et al., SIGCOMM 2018: reads of 64 bytes by PCIe devices took 0.5 to 1.2 us";

pub(super) const ROWS: &[Property] = &[
    row(
        Key::FwRead4k,
        TIME,
        "firmware time of a read of up to 4 KiB",
        Default::All("20000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::FwRead,
        TIME,
        "firmware time of a larger read",
        Default::All("13000"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::FwAppend,
        TIME,
        "firmware time of a zone append beyond that of a write",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::Cores,
        count(0, 64),
        "cores of the controller that commands keep busy; 0: commands wait for no core, and take none of the core times",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreRead,
        TIME,
        "core time of a read",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreReadPage,
        TIME,
        "core time of a read, per 4 KiB",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreWrite,
        TIME,
        "core time of a write",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreWritePage,
        TIME,
        "core time of a write, per 4 KiB",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreAppend,
        TIME,
        "core time of a zone append beyond that of a write",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreOpen,
        TIME,
        "core time more of a write or append that opens its zone",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreZone,
        TIME,
        "core time of zone management",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreUnit,
        size(4 * KIB, MIB),
        "what writes come in best: others take core-partial-ns more",
        Default::All("4K"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CorePartial,
        TIME,
        "core time more of a write that begins or ends within a core-unit",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::CoreSubpage,
        TIME,
        "core time more of a write that begins or ends within 4 KiB",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::ReadAheadStreams,
        count(0, 64),
        "sequential streams that are read ahead of at once; 0 for none",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::ReadAheadTrigger,
        count(1, 1024),
        "reads in a row, each where the one before ended, that make a stream",
        Default::All("2"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::ReadAheadSize,
        size(4 * KIB, GIB),
        "how far streams are read ahead",
        Default::All("1M"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::WbufBase,
        TIME,
        "write buffer access, per piece",
        Default::All("5600"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::WbufPage,
        TIME,
        "write buffer access, per 4 KiB",
        Default::All("600"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::WriteBufferSize,
        size(4 * KIB, GIB),
        "volatile write buffer of the data namespace, all buffers together (wb-scope=zone: of each zone)",
        Default::All("768K"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::WriteBuffers,
        count(1, 4096),
        "buffers that the write buffer is divided into",
        Default::Auto("1 for block data; else write-buffer-size over one one-shot page (without slc-bypass one pSLC page) on each plane of a zone"),
        SIZING,
    )
    .only(ZMS),
    row(
        Key::WbScope,
        Kind::Choice(&["global", "zone"]),
        "whether all zones share one write buffer or each has one of that size",
        Default::All("global"),
        FAMILY,
    )
    .only(ZNS),
    row(
        Key::MetaWriteBufferSize,
        size(4 * KIB, GIB),
        "volatile write buffer of the meta namespace",
        Default::All("512K"),
        REFERENCE,
    )
    .only(ZONED),
    row(
        Key::WbPolicy,
        Kind::Choice(&["static", "modulo"]),
        "how a zone gets a write buffer",
        Default::All("static"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::WbDwell,
        TIME,
        "longest time data waits in a write buffer of the data namespace; 0 means for ever",
        Default::All("0"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::EarlyCompletion,
        Kind::Bool,
        "whether a write completes when its data is in the write buffer; off: when it is durable, as with FUA, and there is no volatile write cache",
        Default::All("on"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::SlcBypass,
        Kind::Bool,
        "whether data that fills a program unit goes straight to native cells",
        Default::All("on"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::SlcMap,
        Kind::Choice(&["page", "sub-zone"]),
        "how staged data is mapped: page by page, or a pSLC superblock per zone",
        Default::All("page"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::SlcSuperblocks,
        count(3, 1 << 20),
        "pSLC superblocks of the data namespace, in each die group",
        Default::All("28"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::SlcDynamicShare,
        Kind::Percent { max: 100 },
        "native superblocks that may be lent to pSLC, of those that no zone with data needs; 0 for none",
        Default::All("0"),
        DYNAMIC_CACHE,
    )
    .only(ZMS),
    row(
        Key::OverProvisioning,
        Kind::Percent { max: 1000 },
        "spare space of page-mapped pools",
        Default::All("7"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::GcThreshold,
        count(1, 1 << 16),
        "free superblocks at which garbage collection starts",
        Default::All("2"),
        REFERENCE,
    )
    .only(FLASH),
    row(
        Key::MigrateThreshold,
        count(1, 1 << 16),
        "free data pSLC superblocks at which migration starts",
        Default::All("2"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::FoldIdle,
        TIME,
        "without commands for so long, what is in pSLC moves to native cells, until the next command comes; 0 for never",
        Default::All("0"),
        WRITE_BOOSTER,
    )
    .only(ZMS),
    row(
        Key::Suspend,
        Kind::Choice(&["off", "background", "all"]),
        "which running programs and erases are suspended: none; for the host's operations those of migration and collection; all of these, and for reads the host's own as long as no command waits for them",
        Default::All("background"),
        OURS,
    )
    .only(ZMS),
    row(
        Key::SuspendTime,
        TIME,
        "from the request to suspend a program or erase until its plane is free",
        Default::All("50000"),
        SUSPENDED,
    )
    .only(ZMS),
    row(
        Key::ResumeTime,
        TIME,
        "from the request to resume it until it goes on",
        Default::All("50000"),
        SUSPENDED,
    )
    .only(ZMS),
    row(
        Key::SuspendMax,
        count(0, 1 << 20),
        "suspensions of one program or erase at most; then it runs to its end",
        Default::All("8"),
        "our choice: they double the time of a TLC program at most",
    )
    .only(ZMS),
    row(
        Key::MigrateYield,
        Kind::Choice(&["suspend", "queued"]),
        "older name of suspend; where both are set they must agree",
        Default::Auto("what suspend says; suspend means suspend=background, queued means suspend=off"),
        OURS,
    )
    .only(ZMS),
    row(
        Key::L2pCacheSize,
        size(0, 16 * GIB),
        "size of the cache of map entries; with conv, 0 keeps the whole map in memory",
        Default::All("1020K"),
        REFERENCE,
    )
    .only(CACHED),
    row(
        Key::L2pEntrySize,
        size(1, 4096),
        "size of a map entry",
        Default::All("4"),
        REFERENCE,
    )
    .only(CACHED),
    row(
        Key::L2pSlots,
        count(1, 1 << 20),
        "parts that the cache is divided into by hash",
        Default::All("3"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::L2pPolicy,
        Kind::Choice(&["lru", "random"]),
        "which entry of a full slot is replaced",
        Default::All("lru"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::L2pSearch,
        Kind::Choice(&["multiple", "bitmap"]),
        "how a missing entry is looked up: a map read per granularity, or one",
        Default::All("multiple"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::L2pHybrid,
        Kind::Bool,
        "whether zones, sub-zones and chunks have entries of their own",
        Default::All("on"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::L2pResident,
        Kind::Bool,
        "whether coarse entries are never evicted",
        Default::All("on"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::L2pPreread,
        count(0, 1024),
        "further entries that a map read brings into the cache",
        Default::All("0"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::ChunkSize,
        size(4 * KIB, 64 * GIB),
        "logical span of a chunk, the granularity between page and zone",
        Default::All("4M"),
        REFERENCE,
    )
    .only(ZMS),
    row(
        Key::HmbSize,
        size(0, GIB),
        "memory that the drive asks the host for, as a second cache of the map (Host Memory Buffer); 0 for none",
        Default::All("0"),
        "nvme id-ctrl (hmpre) of drives without DRAM: 16M to 200M; Linux gives up to 128M",
    )
    .only(ZMS),
    row(
        Key::HmbMin,
        size(0, GIB),
        "what of it the drive needs at least",
        Default::All("0"),
        OURS,
    )
    .only(ZMS),
    row(
        Key::HmbRead,
        TIME,
        "from the request for 64 bytes of the host's memory until they come in, their time on the link aside",
        Default::All("1000"),
        PCIE_READ,
    )
    .only(ZMS),
    row(
        Key::ResetWait,
        Kind::Bool,
        "whether a zone reset completes only after its erases",
        Default::All("off"),
        OURS,
    )
    .only(ZONED),
    row(
        Key::ResetTime,
        TIME,
        "latency of the reset of a zone that has been opened, beyond its erases",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::ResetPage,
        TIME,
        "core time of a zone reset for each 4 KiB that had been written: their map entries",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::FinishTime,
        TIME,
        "latency of finishing a zone, beyond its programs",
        Default::All("0"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::FinishPads,
        Kind::Bool,
        "whether finishing an opened zone programs the rest of it, which takes the time of these programs",
        Default::All("off"),
        OURS,
    )
    .only(ZNS),
    row(
        Key::IoUnits,
        count(1, 1024),
        "units that serve requests",
        Default::All("8"),
        FAMILY,
    )
    .only(SIMPLE),
    row(
        Key::IoUnitSize,
        size(512, GIB),
        "bytes that a unit serves at a time; a power of two",
        Default::All("4K"),
        FAMILY,
    )
    .only(SIMPLE),
    row(
        Key::IoReadDelay,
        TIME,
        "of a read: time before its first unit starts",
        Default::All("1"),
        FAMILY,
    )
    .only(SIMPLE),
    row(
        Key::IoRead,
        TIME,
        "of a read: time of each unit",
        Default::All("1"),
        FAMILY,
    )
    .only(SIMPLE),
    row(
        Key::IoReadTrailing,
        TIME,
        "of a read: how much longer a unit stays busy",
        Default::All("0"),
        FAMILY,
    )
    .only(SIMPLE),
    row(
        Key::IoWriteDelay,
        TIME,
        "of a write: time before its first unit starts",
        Default::All("1"),
        FAMILY,
    )
    .only(SIMPLE),
    row(
        Key::IoWrite,
        TIME,
        "of a write: time of each unit",
        Default::All("1"),
        FAMILY,
    )
    .only(SIMPLE),
    row(
        Key::IoWriteTrailing,
        TIME,
        "of a write: how much longer a unit stays busy",
        Default::All("0"),
        FAMILY,
    )
    .only(SIMPLE),
];
