// SPDX-License-Identifier: GPL-2.0-or-later
//! The model's statistics as JSON.
//!
//! The JSON object has the device's totals under the names of [`COUNTERS`], the write and read
//! amplification, the same counters for each namespace, the superblock pools, every plane, channel
//! and the host link, and latency histograms in model time; then, in `model`, what only that flash
//! model counts. Counters of things that a model does not have are zero.

use crate::model::Model;
use core::fmt::Write;
use ftl::{ByGrain, Counters, Histogram, PoolStats, Stats};
use units::{PAGE_BYTES, SECTOR_BYTES};

/// How to read one counter.
type Getter = fn(&Counters) -> u64;

/// Names of the counters of a namespace, in the order of the vendor log page.
pub const COUNTERS: &[(&str, Getter)] = &[
    ("host_reads", |c| c.host_reads),
    ("host_read_pages", |c| c.host_read_pages),
    ("host_writes", |c| c.host_writes),
    ("host_write_pages", |c| c.host_write_pages),
    ("host_flushes", |c| c.host_flushes),
    ("buffer_hits", |c| c.buffer_hits),
    ("unmapped_reads", |c| c.unmapped_reads),
    ("flushes", Counters::flushes),
    ("flush_full", |c| c.flush_full),
    ("flush_premature", |c| c.flush_premature),
    ("flush_window", |c| c.flush_window),
    ("flush_durable", |c| c.flush_durable),
    ("pages_programmed", Counters::pages_programmed),
    ("pages_slc", |c| c.pages_slc),
    ("pages_native", |c| c.pages_native),
    ("pages_combined", |c| c.pages_combined),
    ("pages_backup", |c| c.pages_backup),
    ("pages_migrated", |c| c.pages_migrated),
    ("pages_gc", |c| c.pages_gc),
    ("pages_read", |c| c.pages_read),
    ("map_reads", |c| c.map_reads),
    ("l2p_hits", |c| c.l2p_hits.total()),
    ("l2p_misses", |c| c.l2p_misses.total()),
    ("zone_resets", |c| c.zone_resets),
    ("zone_finishes", |c| c.zone_finishes),
    ("gc_runs", |c| c.gc_runs),
    ("gc_time_ns", |c| c.gc_time.get()),
    ("migrations", |c| c.migrations),
    ("migration_time_ns", |c| c.migration_time.get()),
    ("zrwa_pages", |c| c.zrwa_pages),
    ("zrwa_commits", |c| c.zrwa_commits),
    ("host_read_sectors", |c| c.host_read_sectors),
    ("host_write_sectors", |c| c.host_write_sectors),
];

/// Statistics as a JSON object, indented by one blank a level.
#[must_use]
pub fn stats_json(model: &Model) -> String {
    device_json(model, None)
}

/// The same, with how late the device's timer was in the host's time, where that means something.
#[must_use]
pub fn device_json(model: &Model, lateness: Option<&Histogram>) -> String {
    let stats = model.stats();
    let mut json = Json::new();
    let both = |get: Getter| get(&stats.meta).saturating_add(get(&stats.data));
    for (name, get) in COUNTERS {
        json.number(name, both(*get));
    }
    let slc = stats.meta_pool.erases.saturating_add(stats.slc_pool.erases);
    json.number("erases_slc", slc);
    json.number("erases_native", stats.native_pool.erases);
    json.number("l2p_evictions", stats.l2p_evictions);
    json.number("l2p_entries", stats.l2p_entries);
    amplification(&mut json, both);
    json.object("namespaces", |json| {
        namespace(json, "meta", &stats.meta);
        namespace(json, "data", &stats.data);
    });
    json.object("pools", |json| {
        pool(json, "meta_slc", &stats.meta_pool);
        pool(json, "data_slc", &stats.slc_pool);
        pool(json, "native", &stats.native_pool);
    });
    resources(&mut json, &stats);
    json.object("model", |json| {
        for (name, n) in model.own_stats() {
            json.number(name, n);
        }
    });
    if let Some(lateness) = lateness {
        json.object("timer_lateness", |json| {
            json.number("count", lateness.count());
            json.number("mean_ns", lateness.mean().get());
            json.number("p50_ns", lateness.quantile(500).get());
            json.number("p99_ns", lateness.quantile(990).get());
            json.number("max_ns", lateness.max().get());
            buckets(json, lateness);
        });
    }
    json.end()
}

fn namespace(json: &mut Json, name: &str, c: &Counters) {
    json.object(name, |json| {
        for (name, get) in COUNTERS {
            json.number(name, get(c));
        }
        amplification(json, |get| get(c));
        grains(json, "l2p_hits_by_granularity", &c.l2p_hits);
        grains(json, "l2p_misses_by_granularity", &c.l2p_misses);
        json.object("latency", |json| {
            histogram(json, "read", &c.read_latency);
            histogram(json, "write", &c.write_latency);
            histogram(json, "flush", &c.flush_latency);
            histogram(json, "reset", &c.reset_latency);
        });
    });
}

/// Bytes programmed over bytes that the host wrote; bytes of data read from flash over bytes that it
/// read, and the same with the reads of the map.
fn amplification(json: &mut Json, count: impl Fn(Getter) -> u64) {
    let bytes = |get: Getter| count(get).saturating_mul(PAGE_BYTES);
    let host = |get: Getter| count(get).saturating_mul(SECTOR_BYTES);
    let (written, read) = (
        host(|c| c.host_write_sectors),
        host(|c| c.host_read_sectors),
    );
    json.ratio("waf", bytes(Counters::pages_programmed), written);
    json.ratio("raf", bytes(|c| c.pages_read), read);
    json.ratio("raf_with_map", bytes(|c| c.pages_read + c.map_reads), read);
}

fn grains(json: &mut Json, name: &str, by: &ByGrain) {
    json.object(name, |json| {
        json.number("zone", by.zone);
        json.number("sub_zone", by.sub_zone);
        json.number("chunk", by.chunk);
        json.number("page", by.page);
    });
}

fn histogram(json: &mut Json, name: &str, h: &Histogram) {
    json.object(name, |json| {
        json.number("count", h.count());
        json.number("mean_ns", h.mean().get());
        json.number("max_ns", h.max().get());
        buckets(json, h);
    });
}

/// Lower bound of each bucket that is not empty, and how many lie in it.
fn buckets(json: &mut Json, h: &Histogram) {
    json.object("buckets_ns", |json| {
        for (floor, n) in h.buckets() {
            json.number(&floor.get().to_string(), n);
        }
    });
}

fn pool(json: &mut Json, name: &str, p: &PoolStats) {
    json.object(name, |json| {
        json.number("superblocks", p.superblocks.into());
        json.number("free", p.free.into());
        json.number("open", p.open.into());
        json.number("full", p.full.into());
        json.number("victims", p.victims.into());
        json.number("valid_pages", p.valid_pages);
        json.number("erases", p.erases);
        json.number("erases_min", p.erases_min.into());
        json.number("erases_max", p.erases_max.into());
        json.ratio("erases_mean", p.erases, p.superblocks.into());
    });
}

fn resources(json: &mut Json, stats: &Stats) {
    json.object("planes", |json| {
        for (i, plane) in stats.planes.iter().enumerate() {
            json.object(&i.to_string(), |json| {
                json.number("busy_ns", plane.busy.get());
                json.number("operations", plane.operations);
                json.number("longest_wait_ns", plane.longest_wait.get());
            });
        }
    });
    let channels = stats.channels.iter().enumerate();
    let links = channels.map(|(i, link)| (format!("channel{i}"), link));
    json.object("links", |json| {
        for (name, link) in links.chain([("host".to_string(), &stats.link)]) {
            json.object(&name, |json| {
                json.number("busy_ns", link.busy.get());
                json.number("bytes", link.bytes);
                json.number("longest_wait_ns", link.longest_wait.get());
            });
        }
    });
}

/// Writes nested JSON objects of numbers. Names must need no escaping.
struct Json {
    text: String,
    depth: usize,
}

impl Json {
    fn new() -> Self {
        Self {
            text: "{".into(),
            depth: 1,
        }
    }

    fn name(&mut self, name: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.line();
        // Writing to a String cannot fail.
        let _ = write!(self.text, "\"{name}\": ");
    }

    fn line(&mut self) {
        self.text.push('\n');
        self.text.extend(core::iter::repeat_n(' ', self.depth));
    }

    fn number(&mut self, name: &str, n: u64) {
        self.name(name);
        let _ = write!(self.text, "{n}");
    }

    /// `part / whole` to six digits; nothing if there is no whole.
    fn ratio(&mut self, name: &str, part: u64, whole: u64) {
        if whole > 0 {
            let micros = u128::from(part) * 1_000_000 / u128::from(whole);
            self.name(name);
            let _ = write!(
                self.text,
                "{}.{:06}",
                micros / 1_000_000,
                micros % 1_000_000
            );
        }
    }

    fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.name(name);
        self.text.push('{');
        self.depth += 1;
        fill(self);
        self.close();
    }

    fn close(&mut self) {
        self.depth -= 1;
        if !self.text.ends_with('{') {
            self.line();
        }
        self.text.push('}');
    }

    fn end(mut self) -> String {
        self.close();
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_nests_and_separates() {
        let mut json = Json::new();
        json.number("a", 1);
        json.object("b", |json| {
            json.ratio("c", 5, 3);
            json.ratio("none", 5, 0);
            json.object("d", |_| {});
        });
        assert_eq!(
            json.end(),
            "{\n \"a\": 1,\n \"b\": {\n  \"c\": 1.666666,\n  \"d\": {}\n }\n}"
        );
    }
}
