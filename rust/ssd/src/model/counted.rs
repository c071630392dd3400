// SPDX-License-Identifier: GPL-2.0-or-later
//! The other models' counters under the consumer drive's names, so that one printer and one
//! vendor log serve all.
//!
//! Pages are 4 KiB. `pages_native` is what was programmed, for whatever reason; `pages_read` what
//! was read from flash, map and write buffer aside.

use conv::Conv;
use ftl::{Flash, HostStats};
use simple::Simple;
use units::{Bytes, PAGE_BYTES, SECTOR_BYTES};
use zms::{ByGrain, Counters, PoolStats, Stats};
use zns::Zns;

/// Of meta and data.
pub(super) fn zns_counters(model: &Zns) -> [Counters; 2] {
    let stats = model.stats();
    let from_flash = stats
        .host
        .read_bytes
        .get()
        .saturating_sub(stats.buffer_hit_bytes.get())
        .saturating_sub(stats.unwritten_bytes.get());
    let data = Counters {
        buffer_hits: pages(stats.buffer_hit_bytes),
        unmapped_reads: pages(stats.unwritten_bytes),
        pages_native: pages(stats.program_bytes),
        pages_read: pages(Bytes::new(from_flash)),
        zone_resets: stats.zone_resets,
        zone_finishes: stats.zone_finishes,
        zrwa_pages: stats.zrwa_pages,
        zrwa_commits: stats.zrwa_commits,
        ..host(&stats.host)
    };
    let meta = stats.meta.as_ref().map(page_mapped).unwrap_or_default();
    [meta, data]
}

pub(super) fn zns(model: &Zns) -> Stats {
    let stats = model.stats();
    let [meta, data] = zns_counters(model);
    let native_pool = PoolStats {
        superblocks: model.config().zones,
        erases: stats.zone_resets,
        erases_max: stats.zone_erases_max,
        ..PoolStats::default()
    };
    flash(model.flash(), meta, data, native_pool)
}

/// What `zns` has no other name for.
pub(super) fn zns_own(model: &Zns) -> Vec<(&'static str, u64)> {
    let stats = model.stats();
    let mut own = vec![
        ("buffer_waits", stats.buffer_waits),
        ("buffer_wait_ns", stats.buffer_wait.get()),
        ("programs", stats.programs),
        ("senses", stats.senses),
        ("blocks_erased", stats.erases),
    ];
    if let Some(meta) = &stats.meta {
        own.push(("meta_superblocks", meta.superblocks));
        own.push(("meta_free_superblocks", meta.free_superblocks));
        own.push(("meta_erases", meta.flash.erases));
    }
    own
}

pub(super) fn conv_counters(model: &Conv) -> Counters {
    page_mapped(&model.stats())
}

pub(super) fn conv(model: &Conv) -> Stats {
    let stats = model.stats();
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let native_pool = PoolStats {
        superblocks: count(stats.superblocks),
        free: count(stats.free_superblocks),
        erases: stats.flash.erases,
        erases_min: stats.erases_min,
        erases_max: stats.erases_max,
        ..PoolStats::default()
    };
    let data = page_mapped(&stats);
    flash(model.flash(), Counters::default(), data, native_pool)
}

/// What `conv` has no other name for.
pub(super) fn conv_own(stats: &conv::Stats) -> Vec<(&'static str, u64)> {
    let flash = &stats.flash;
    vec![
        ("buffer_waits", stats.buffer_waits),
        ("buffer_wait_ns", stats.buffer_wait.get()),
        ("programs", flash.programs),
        ("senses", flash.senses),
        ("gc_senses", flash.gc_senses),
        ("partial_reads", flash.partial_reads),
        ("pages_padded", flash.pages_padded),
        ("pages_rewritten", flash.pages_rewritten),
        ("pages_unmapped", flash.unmapped),
        ("superblock_bytes", stats.superblock.get()),
    ]
}

pub(super) fn simple_counters(model: &Simple) -> Counters {
    let mut data = host(&model.stats().host);
    data.pages_native = data.host_write_pages;
    data.pages_read = data.host_read_pages;
    data
}

pub(super) fn simple(model: &Simple) -> Stats {
    Stats {
        data: simple_counters(model),
        ..Stats::default()
    }
}

fn page_mapped(stats: &conv::Stats) -> Counters {
    let counted = &stats.flash;
    let host = host(&stats.host);
    let for_host = host
        .host_read_pages
        .saturating_sub(counted.buffer_hits)
        .saturating_sub(counted.unmapped_reads);
    Counters {
        buffer_hits: counted.buffer_hits,
        unmapped_reads: counted.unmapped_reads,
        pages_native: counted.pages_host + counted.pages_gc + counted.pages_padded,
        pages_gc: counted.pages_gc,
        pages_read: for_host + counted.partial_reads + counted.pages_gc,
        map_reads: counted.map_reads,
        l2p_hits: ByGrain {
            page: counted.l2p_hits,
            ..ByGrain::default()
        },
        l2p_misses: ByGrain {
            page: counted.l2p_misses,
            ..ByGrain::default()
        },
        gc_runs: counted.gc_runs,
        gc_time: counted.gc_time,
        ..host
    }
}

fn host(stats: &HostStats) -> Counters {
    Counters {
        host_reads: stats.reads,
        host_writes: stats.writes,
        host_flushes: stats.flushes,
        host_read_pages: pages(stats.read_bytes),
        host_write_pages: stats.write_pages(),
        host_read_sectors: stats.read_bytes.get() / SECTOR_BYTES,
        host_write_sectors: stats.write_bytes.get() / SECTOR_BYTES,
        read_latency: stats.read_latency.clone(),
        write_latency: stats.write_latency.clone(),
        flush_latency: stats.flush_latency.clone(),
        ..Counters::default()
    }
}

fn flash(flash: &Flash, meta: Counters, data: Counters, native_pool: PoolStats) -> Stats {
    Stats {
        meta,
        data,
        native_pool,
        planes: flash.plane_stats().collect(),
        channels: flash.channel_stats().collect(),
        link: flash.link_stats(),
        ..Stats::default()
    }
}

/// Rounded up: a few sectors are a page's work.
fn pages(bytes: Bytes) -> u64 {
    bytes.get().div_ceil(PAGE_BYTES)
}
