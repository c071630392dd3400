// SPDX-License-Identifier: GPL-2.0-or-later
//! The model's statistics as JSON.
//!
//! The JSON object has the device's totals under the names of [`Counter`], the write and read
//! amplification, the same counters for each namespace, the superblock pools, every plane, channel
//! and the host link, and latency histograms in model time; then, in `model`, what only that flash
//! model counts. Counters of things that a model does not have are zero.

use crate::model::Model;
use crate::power::PowerCuts;
use core::fmt::Write;
use ftl::{totals, ByGrain, Counter, Counters, Histogram, PoolStats, Stats};
use nvme::PowerReport;
use units::{PAGE_BYTES, SECTOR_BYTES};

/// Statistics as a JSON object, indented by one blank a level.
#[must_use]
pub fn stats_json(model: &Model) -> String {
    device_json(model, None, None, &PowerCuts::default(), None)
}

/// The same, with what the host's clock said at instant 0 of the drive's, milliseconds, if the host has told; how late the
/// device's timer was in the host's time, where that means something; what power cuts did, if there were any; and what became
/// of power states, if there are several.
#[must_use]
pub fn device_json(
    model: &Model,
    host_clock_ms: Option<u64>,
    lateness: Option<&Histogram>,
    cuts: &PowerCuts,
    power: Option<&PowerReport>,
) -> String {
    let stats = model.stats();
    let mut json = Json::new();
    counted(&mut json, &[&stats.meta, &stats.data]);
    let slc = stats.meta_pool.erases.saturating_add(stats.slc_pool.erases);
    json.number("erases_slc", slc);
    json.number("erases_native", stats.native_pool.erases);
    json.number("l2p_evictions", stats.l2p_evictions);
    json.number("l2p_entries", stats.l2p_entries);
    amplification(&mut json, &[&stats.meta, &stats.data]);
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
    if let Some(ms) = host_clock_ms {
        json.number("host_clock_ms", ms);
    }
    if cuts.cuts > 0 {
        json.object("power_cuts", |json| {
            json.number("cuts", cuts.cuts);
            json.number("pages_lost", cuts.lost);
            json.number("pages_gone", cuts.gone);
            json.number("pages_missing", cuts.missing);
            json.number("pages_torn", cuts.torn);
            json.number("recovery_ns", cuts.recovery.get());
        });
    }
    if let Some(power) = power {
        json.object("power_states", |json| power_states(json, power));
    }
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

/// What became of power states, as [`device_json`] has it.
#[must_use]
pub fn power_states_json(power: &PowerReport) -> String {
    let mut json = Json::new();
    power_states(&mut json, power);
    json.end()
}

fn power_states(json: &mut Json, power: &PowerReport) {
    json.number("state", power.current as u64);
    json.number("energy_uj", power.energy_uj);
    json.number("waits", power.waits);
    json.number("waited_ns", power.waited.get());
    json.object("states", |json| {
        for (state, spent) in power.states().iter().enumerate() {
            json.object(&state.to_string(), |json| {
                json.number("entries", spent.entries);
                json.number("time_ns", spent.time.get());
                json.number("busy_ns", spent.busy.get());
            });
        }
    });
}

/// Every counter under its name.
fn counted(json: &mut Json, namespaces: &[&Counters]) {
    for (counter, total) in Counter::ALL.iter().zip(totals(namespaces.iter().copied())) {
        json.number(counter.name(), total);
    }
}

fn namespace(json: &mut Json, name: &str, c: &Counters) {
    json.object(name, |json| {
        counted(json, &[c]);
        amplification(json, &[c]);
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
fn amplification(json: &mut Json, namespaces: &[&Counters]) {
    let count = |counter: Counter| {
        let values = namespaces.iter().map(|counters| counter.of(counters));
        values.fold(0, u64::saturating_add)
    };
    let bytes = |pages: u64| pages.saturating_mul(PAGE_BYTES);
    let host = |counter| count(counter).saturating_mul(SECTOR_BYTES);
    let (written, read) = (
        host(Counter::HostWriteSectors),
        host(Counter::HostReadSectors),
    );
    let (pages, map) = (count(Counter::PagesRead), count(Counter::MapReads));
    json.ratio("waf", bytes(count(Counter::PagesProgrammed)), written);
    json.ratio("raf", bytes(pages), read);
    json.ratio("raf_with_map", bytes(pages.saturating_add(map)), read);
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
