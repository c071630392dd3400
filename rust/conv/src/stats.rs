// SPDX-License-Identifier: GPL-2.0-or-later
//! What the drive has done.

use ftl::{HostStats, PoolStats};
use units::{Bytes, Nanos};

/// Flash work, of one partition or of all. Pages are 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pages that the host's writes put into flash.
    pub pages_host: u64,
    /// Pages rewritten while they were still in the buffer.
    pub pages_rewritten: u64,
    /// Pages that collection moved.
    pub pages_gc: u64,
    /// Pages left empty because flush or FUA programmed an incomplete one-shot page.
    pub pages_padded: u64,
    /// One-shot pages programmed.
    pub programs: u64,
    /// Flash pages sensed for the host.
    pub senses: u64,
    /// Flash pages sensed for collection.
    pub gc_senses: u64,
    /// Pages sensed because a write covered part of them.
    pub partial_reads: u64,
    /// Victims.
    pub gc_runs: u64,
    /// From the start of each collection to its last operation's end, summed.
    pub gc_time: Nanos,
    /// Superblocks erased.
    pub erases: u64,
    /// Pages read that were still in the buffer.
    pub buffer_hits: u64,
    /// Pages read that are not mapped.
    pub unmapped_reads: u64,
    /// Pages unmapped by the host.
    pub unmapped: u64,
    /// Pages read from flash whose map entry was cached; not counted without a cache.
    pub l2p_hits: u64,
    /// Pages read from flash whose map entry was not.
    pub l2p_misses: u64,
    /// Reads of the map.
    pub map_reads: u64,
}

state::state!(Counters {
    pages_host,
    pages_rewritten,
    pages_gc,
    pages_padded,
    programs,
    senses,
    gc_senses,
    partial_reads,
    gc_runs,
    gc_time,
    erases,
    buffer_hits,
    unmapped_reads,
    unmapped,
    l2p_hits,
    l2p_misses,
    map_reads
});

impl Counters {
    /// Pages written to flash for each page that the host wrote; 1 before any.
    #[must_use]
    pub fn write_amplification(&self) -> f64 {
        if self.pages_host == 0 {
            return 1.0;
        }
        // Exact below 2^53 pages.
        (self.pages_host + self.pages_gc + self.pages_padded) as f64 / self.pages_host as f64
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.pages_host += other.pages_host;
        self.pages_rewritten += other.pages_rewritten;
        self.pages_gc += other.pages_gc;
        self.pages_padded += other.pages_padded;
        self.programs += other.programs;
        self.senses += other.senses;
        self.gc_senses += other.gc_senses;
        self.partial_reads += other.partial_reads;
        self.gc_runs += other.gc_runs;
        self.gc_time += other.gc_time;
        self.erases += other.erases;
        self.buffer_hits += other.buffer_hits;
        self.unmapped_reads += other.unmapped_reads;
        self.unmapped += other.unmapped;
        self.l2p_hits += other.l2p_hits;
        self.l2p_misses += other.l2p_misses;
        self.map_reads += other.map_reads;
    }
}

/// Everything at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The host's side.
    pub host: HostStats,
    /// Flash work of all partitions.
    pub flash: Counters,
    /// Writes that had to wait for room in the buffer.
    pub buffer_waits: u64,
    /// How long they waited, summed.
    pub buffer_wait: Nanos,
    /// Superblocks, of all partitions.
    pub superblocks: u64,
    /// Erased ones.
    pub free_superblocks: u64,
    /// Bytes of a superblock.
    pub superblock: Bytes,
    /// Fewest erases of a superblock.
    pub erases_min: u32,
    /// Most erases of a superblock.
    pub erases_max: u32,
}

impl Stats {
    /// The counters in common terms.
    #[must_use]
    pub fn counters(&self) -> ftl::Counters {
        let (host, flash) = (ftl::Counters::from(&self.host), &self.flash);
        let for_host = host
            .host_read_pages
            .saturating_sub(flash.buffer_hits)
            .saturating_sub(flash.unmapped_reads);
        let by_page = |page| ftl::ByGrain {
            page,
            ..ftl::ByGrain::default()
        };
        ftl::Counters {
            buffer_hits: flash.buffer_hits,
            unmapped_reads: flash.unmapped_reads,
            pages_native: flash.pages_host + flash.pages_gc + flash.pages_padded,
            pages_gc: flash.pages_gc,
            pages_read: for_host + flash.partial_reads + flash.pages_gc,
            map_reads: flash.map_reads,
            l2p_hits: by_page(flash.l2p_hits),
            l2p_misses: by_page(flash.l2p_misses),
            gc_runs: flash.gc_runs,
            gc_time: flash.gc_time,
            ..host
        }
    }

    pub(crate) fn pool(&self) -> PoolStats {
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        PoolStats {
            superblocks: count(self.superblocks),
            free: count(self.free_superblocks),
            erases: self.flash.erases,
            erases_min: self.erases_min,
            erases_max: self.erases_max,
            ..PoolStats::default()
        }
    }

    /// What has no common name.
    #[must_use]
    pub fn own(&self) -> Vec<(&'static str, u64)> {
        let flash = &self.flash;
        vec![
            ("buffer_waits", self.buffer_waits),
            ("buffer_wait_ns", self.buffer_wait.get()),
            ("programs", flash.programs),
            ("senses", flash.senses),
            ("gc_senses", flash.gc_senses),
            ("partial_reads", flash.partial_reads),
            ("pages_padded", flash.pages_padded),
            ("pages_rewritten", flash.pages_rewritten),
            ("pages_unmapped", flash.unmapped),
            ("superblock_bytes", self.superblock.get()),
        ]
    }
}
