// SPDX-License-Identifier: GPL-2.0-or-later
//! What a drive has done, in the words that all models have in common. What a model does not have stays zero; what only
//! one counts, it reports apart.
//!
//! `pages_native` is what was programmed with all bits per cell, for whatever reason; `pages_read` what was read from
//! flash, map and write buffer aside.

use crate::{Flash, Histogram, HostStats};
use units::{Bytes, Nanos, PAGE_BYTES, SECTOR_BYTES};

/// Hits or misses by granularity of the mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByGrain {
    /// Whole zones.
    pub zone: u64,
    /// pSLC superblocks of one zone.
    pub sub_zone: u64,
    /// Chunks.
    pub chunk: u64,
    /// Pages.
    pub page: u64,
}

impl ByGrain {
    /// Adds others.
    pub fn add(&mut self, more: Self) {
        self.zone += more.zone;
        self.sub_zone += more.sub_zone;
        self.chunk += more.chunk;
        self.page += more.page;
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.zone + self.sub_zone + self.chunk + self.page
    }
}

/// What became of a drive's lookups in memory that the host lends (NVMe: Host Memory Buffer).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HmbCounters {
    /// The entry was there.
    pub hits: u64,
    /// It was not; the map was read.
    pub misses: u64,
    /// Those of them that found other bytes than were written.
    pub corrupt: u64,
    /// Map pages written there.
    pub fills: u64,
}

impl HmbCounters {
    /// Adds others.
    pub fn add(&mut self, more: Self) {
        self.hits += more.hits;
        self.misses += more.misses;
        self.corrupt += more.corrupt;
        self.fills += more.fills;
    }
}

/// One namespace's counters. Pages are 4 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Read commands.
    pub host_reads: u64,
    /// Write, append and write-zeroes commands.
    pub host_writes: u64,
    /// Those of them that were zone appends.
    pub host_appends: u64,
    /// Flush commands.
    pub host_flushes: u64,
    /// Pages that reads touched: a page for each command that reads some of it.
    pub host_read_pages: u64,
    /// Pages that writes touched, likewise: eight writes that fill a page between them count it eight times.
    pub host_write_pages: u64,
    /// Sectors of 512 bytes that reads asked for: what they are measured by.
    pub host_read_sectors: u64,
    /// Sectors that writes brought, or would have (Write Zeroes).
    pub host_write_sectors: u64,
    /// Those of them that went to a random write area.
    pub zrwa_pages: u64,
    /// Pages committed from random write areas to the write path: what is missing to
    /// `zrwa_pages` was overwritten in time, or is there still.
    pub zrwa_commits: u64,
    /// Pages read from a write buffer.
    pub buffer_hits: u64,
    /// Buffers flushed because they were full.
    pub flush_full: u64,
    /// Buffers flushed because another zone needed them.
    pub flush_premature: u64,
    /// Buffers flushed because the dwell window ended.
    pub flush_window: u64,
    /// Buffers flushed for Flush, FUA or zone finish.
    pub flush_durable: u64,
    /// Pages programmed to pSLC, backups included.
    pub pages_slc: u64,
    /// Pages programmed (or loaded) to native cells.
    pub pages_native: u64,
    /// Pages read back from pSLC to complete a program unit.
    pub pages_combined: u64,
    /// Copies of loaded, incomplete wordlines to pSLC.
    pub pages_backup: u64,
    /// Pages moved by migration.
    pub pages_migrated: u64,
    /// Pages moved by garbage collection.
    pub pages_gc: u64,
    /// Pages read from flash, for whatever reason; map reads apart.
    pub pages_read: u64,
    /// Reads of the map in flash.
    pub map_reads: u64,
    /// Pages whose mapping was cached.
    pub l2p_hits: ByGrain,
    /// Pages whose mapping had to be read.
    pub l2p_misses: ByGrain,
    /// Lookups in the host's memory.
    pub hmb: HmbCounters,
    /// Pages read that no write had reached.
    pub unmapped_reads: u64,
    /// Zones reset.
    pub zone_resets: u64,
    /// Zones finished.
    pub zone_finishes: u64,
    /// Garbage collections (one victim each).
    pub gc_runs: u64,
    /// Time from the start of each to the end of its erase, summed; those that overlap count twice.
    pub gc_time: Nanos,
    /// Migrations (one victim each).
    pub migrations: u64,
    /// Time from the start of each to the end of its erase, summed.
    pub migration_time: Nanos,
    /// Native superblocks lent to pSLC.
    pub superblocks_lent: u64,
    /// Those of them that it gave back: the others are lent now.
    pub superblocks_returned: u64,
    /// Most that were lent at once.
    pub superblocks_lent_most: u64,
    /// Pages that went from lent superblocks to native cells.
    pub pages_folded_lent: u64,
    /// Latency of reads.
    pub read_latency: Histogram,
    /// Latency of writes and appends.
    pub write_latency: Histogram,
    /// Latency of flushes.
    pub flush_latency: Histogram,
    /// Latency of zone resets.
    pub reset_latency: Histogram,
}

state::state!(ByGrain {
    zone,
    sub_zone,
    chunk,
    page
});
state::state!(HmbCounters {
    hits,
    misses,
    corrupt,
    fills
});
state::state!(Counters {
    host_reads,
    host_writes,
    host_appends,
    host_flushes,
    host_read_pages,
    host_write_pages,
    host_read_sectors,
    host_write_sectors,
    zrwa_pages,
    zrwa_commits,
    buffer_hits,
    flush_full,
    flush_premature,
    flush_window,
    flush_durable,
    pages_slc,
    pages_native,
    pages_combined,
    pages_backup,
    pages_migrated,
    pages_gc,
    pages_read,
    map_reads,
    l2p_hits,
    l2p_misses,
    hmb,
    unmapped_reads,
    zone_resets,
    zone_finishes,
    gc_runs,
    gc_time,
    migrations,
    migration_time,
    superblocks_lent,
    superblocks_returned,
    superblocks_lent_most,
    pages_folded_lent,
    read_latency,
    write_latency,
    flush_latency,
    reset_latency
});

impl Counters {
    /// Pages programmed to any cells.
    #[must_use]
    pub const fn pages_programmed(&self) -> u64 {
        self.pages_slc + self.pages_native
    }

    /// Latencies of flushes and zone resets together, in nanoseconds.
    #[must_use]
    pub const fn other_time_ns(&self) -> u64 {
        let flushes = self.flush_latency.sum().get();
        flushes.saturating_add(self.reset_latency.sum().get())
    }

    /// Flushes of buffers, whatever the reason.
    #[must_use]
    pub const fn flushes(&self) -> u64 {
        self.flush_full + self.flush_premature + self.flush_window + self.flush_durable
    }
}

/// One superblock pool's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Superblocks in all.
    pub superblocks: u32,
    /// Erased ones.
    pub free: u32,
    /// Ones with a write pointer in them.
    pub open: u32,
    /// Closed ones with nothing but valid pages.
    pub full: u32,
    /// Closed ones with invalid pages: victims to choose from.
    pub victims: u32,
    /// Valid pages.
    pub valid_pages: u64,
    /// Erases of superblocks.
    pub erases: u64,
    /// Fewest erases of a superblock.
    pub erases_min: u32,
    /// Most erases of a superblock.
    pub erases_max: u32,
}

/// Everything at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The meta namespace.
    pub meta: Counters,
    /// The data namespace.
    pub data: Counters,
    /// Entries evicted from the L2P cache.
    pub l2p_evictions: u64,
    /// Entries in the L2P cache now.
    pub l2p_entries: u64,
    /// Meta pSLC.
    pub meta_pool: PoolStats,
    /// Data pSLC.
    pub slc_pool: PoolStats,
    /// Data native.
    pub native_pool: PoolStats,
    /// Each plane, die by die.
    pub planes: Vec<nand::PlaneStats>,
    /// Each channel.
    pub channels: Vec<nand::LinkStats>,
    /// The host link.
    pub link: nand::LinkStats,
}

impl Stats {
    /// Of a model on `flash` with one pool.
    #[must_use]
    pub fn of(flash: &Flash, meta: Counters, data: Counters, native_pool: PoolStats) -> Self {
        Self {
            meta,
            data,
            native_pool,
            planes: flash.plane_stats().collect(),
            channels: flash.channel_stats().collect(),
            link: flash.link_stats(),
            ..Self::default()
        }
    }
}

/// The host's side; the flash's is still zero.
impl From<&HostStats> for Counters {
    fn from(stats: &HostStats) -> Self {
        Self {
            host_reads: stats.reads,
            host_writes: stats.writes,
            host_appends: stats.appends,
            host_flushes: stats.flushes,
            host_read_pages: pages(stats.read_bytes),
            host_write_pages: stats.write_pages(),
            host_read_sectors: stats.read_bytes.get() / SECTOR_BYTES,
            host_write_sectors: stats.write_bytes.get() / SECTOR_BYTES,
            read_latency: stats.read_latency.clone(),
            write_latency: stats.write_latency.clone(),
            flush_latency: stats.flush_latency.clone(),
            ..Self::default()
        }
    }
}

/// Pages of 4 KiB, rounded up: a few sectors are a page's work.
#[must_use]
pub const fn pages(bytes: Bytes) -> u64 {
    bytes.get().div_ceil(PAGE_BYTES)
}
