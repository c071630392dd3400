// SPDX-License-Identifier: GPL-2.0-or-later
//! What the drive has done.

use ftl::{pages, HostStats, PoolStats};
use units::{Bytes, Nanos};

/// Counters since the drive was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The host's side.
    pub host: HostStats,
    /// Bytes of reads that were still in the buffer.
    pub buffer_hit_bytes: Bytes,
    /// Bytes of reads that were never written.
    pub unwritten_bytes: Bytes,
    /// Flash pages sensed.
    pub senses: u64,
    /// One-shot pages programmed.
    pub programs: u64,
    /// Bytes in them.
    pub program_bytes: Bytes,
    /// Bytes that finishing zones programmed without data.
    pub padded_bytes: Bytes,
    /// Bytes of reads that had been read ahead.
    pub read_ahead_bytes: Bytes,
    /// Writes that had to wait for room in the buffer.
    pub buffer_waits: u64,
    /// How long they waited, summed.
    pub buffer_wait: Nanos,
    /// Zones reset that had data.
    pub zone_resets: u64,
    /// Zones finished.
    pub zone_finishes: u64,
    /// Pages (4 KiB) written to random write areas.
    pub zrwa_pages: u64,
    /// Pages committed from there.
    pub zrwa_commits: u64,
    /// Blocks erased.
    pub erases: u64,
    /// Most erases of a zone.
    pub zone_erases_max: u32,
    /// The conventional namespace, if there is one.
    pub meta: Option<conv::Stats>,
}

// Those of the conventional namespace are its own state.
state::state!(Stats {
    host, buffer_hit_bytes, unwritten_bytes, senses, programs, program_bytes, padded_bytes,
    read_ahead_bytes, buffer_waits,
    buffer_wait, zone_resets, zone_finishes, zrwa_pages, zrwa_commits, erases, zone_erases_max;
    meta
});

impl Stats {
    /// The counters of meta and data in common terms.
    #[must_use]
    pub fn counters(&self) -> [ftl::Counters; 2] {
        let from_flash = self
            .host
            .read_bytes
            .get()
            .saturating_sub(self.buffer_hit_bytes.get())
            .saturating_sub(self.unwritten_bytes.get());
        let data = ftl::Counters {
            buffer_hits: pages(self.buffer_hit_bytes),
            unmapped_reads: pages(self.unwritten_bytes),
            pages_native: pages(self.program_bytes),
            pages_read: pages(Bytes::new(from_flash)),
            zone_resets: self.zone_resets,
            zone_finishes: self.zone_finishes,
            zrwa_pages: self.zrwa_pages,
            zrwa_commits: self.zrwa_commits,
            ..ftl::Counters::from(&self.host)
        };
        let meta = self.meta.as_ref().map(conv::Stats::counters);
        [meta.unwrap_or_default(), data]
    }

    pub(crate) fn pool(&self, zones: u32) -> PoolStats {
        PoolStats {
            superblocks: zones,
            erases: self.zone_resets,
            erases_max: self.zone_erases_max,
            ..PoolStats::default()
        }
    }

    /// What has no common name.
    #[must_use]
    pub fn own(&self) -> Vec<(&'static str, u64)> {
        let mut own = vec![
            ("buffer_waits", self.buffer_waits),
            ("buffer_wait_ns", self.buffer_wait.get()),
            ("programs", self.programs),
            ("senses", self.senses),
            ("blocks_erased", self.erases),
        ];
        if let Some(meta) = &self.meta {
            own.push(("meta_superblocks", meta.superblocks));
            own.push(("meta_free_superblocks", meta.free_superblocks));
            own.push(("meta_erases", meta.flash.erases));
        }
        own
    }
}

/// Adds `n` bytes.
pub(crate) fn add(to: &mut Bytes, n: u64) {
    *to = Bytes::new(to.get().saturating_add(n));
}
