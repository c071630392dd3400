// SPDX-License-Identifier: GPL-2.0-or-later
//! The accounts that people look for first: where written pages went, what reads cost, and how the map was found.

use ftl::Counter;
use lab::stats::{count, figure, hit_rate};
use serde_json::Value;

use crate::statistics::Section;

/// Lines of the account of writes: a title and the counter.
const WRITES: [(&str, Counter); 10] = [
    ("touched by the host's writes", Counter::HostWritePages),
    ("programmed", Counter::PagesProgrammed),
    ("- to pSLC", Counter::PagesSlc),
    ("- to native cells", Counter::PagesNative),
    ("read back to complete a unit", Counter::PagesCombined),
    ("backed up for durability", Counter::PagesBackup),
    ("moved by migration", Counter::PagesMigrated),
    ("moved by garbage collection", Counter::PagesGc),
    ("premature flushes", Counter::FlushPremature),
    ("full flushes", Counter::FlushFull),
];

/// Lines of the account of reads.
const READS: [(&str, Counter); 6] = [
    ("touched by the host's reads", Counter::HostReadPages),
    ("found in a write buffer", Counter::BufferHits),
    ("never written", Counter::UnmappedReads),
    (
        "read from flash, for the host or inside",
        Counter::PagesRead,
    ),
    ("- to complete a unit", Counter::PagesCombined),
    ("map pages read", Counter::MapReads),
];

/// Granularities, as the statistics name them.
const GRAINS: [&str; 4] = ["zone", "sub_zone", "chunk", "page"];

/// The tables, as far as the drive counts.
pub fn sections(stats: &Value) -> Vec<Section> {
    let writes = account(
        stats,
        "Where written pages went (4 KiB)",
        &WRITES,
        &[("write amplification", "waf")],
    );
    let reads = account(
        stats,
        "What reads cost (pages of 4 KiB)",
        &READS,
        &[
            ("read amplification", "raf"),
            ("read amplification with map reads", "raf_with_map"),
        ],
    );
    [writes, reads, map(stats)].into_iter().flatten().collect()
}

fn namespaces(stats: &Value) -> Option<[&Value; 2]> {
    let both = stats.get("namespaces")?;
    Some([both.get("meta")?, both.get("data")?])
}

/// Counters and ratios of both namespaces and the drive.
fn account(
    stats: &Value,
    name: &str,
    counters: &[(&str, Counter)],
    ratios: &[(&str, &str)],
) -> Option<Section> {
    let [meta, data] = namespaces(stats)?;
    let mut rows: Vec<(String, Vec<String>)> = counters
        .iter()
        .map(|(title, counter)| {
            let values = [meta, data, stats].map(|of| count(of, *counter).to_string());
            ((*title).to_owned(), values.to_vec())
        })
        .collect();
    let ratios = ratios.iter().map(|(title, name)| {
        let values = [meta, data, stats]
            .map(|of| figure(of, name).map_or_else(|| "-".into(), |value| format!("{value:.3}")));
        ((*title).to_owned(), values.to_vec())
    });
    rows.extend(ratios);
    Some(Section {
        name: name.into(),
        columns: ["meta", "data", "both"].map(str::to_owned).to_vec(),
        rows,
    })
}

fn map(stats: &Value) -> Option<Section> {
    let both = namespaces(stats)?;
    let by = |group: &str, grain: &str| -> u64 {
        let groups = both.iter().filter_map(|of| of.get(group)?.get(grain));
        groups.filter_map(Value::as_u64).sum()
    };
    hit_rate(stats)?;
    let line = |title: &str, hits: u64, misses: u64| {
        let rate = match hits + misses {
            0 => "-".into(),
            all => format!("{:.1} %", hits as f64 / all as f64 * 100.0),
        };
        (
            title.to_owned(),
            vec![hits.to_string(), misses.to_string(), rate],
        )
    };
    let mut rows: Vec<_> = GRAINS
        .iter()
        .map(|grain| {
            let (hits, misses) = ("l2p_hits_by_granularity", "l2p_misses_by_granularity");
            line(&grain.replace('_', "-"), by(hits, grain), by(misses, grain))
        })
        .collect();
    let [hits, misses] = [Counter::L2pHits, Counter::L2pMisses].map(|c| count(stats, c));
    rows.push(line("all", hits, misses));
    let [hits, misses] = [Counter::HmbHits, Counter::HmbMisses].map(|c| count(stats, c));
    if hits + misses > 0 {
        rows.push(line("of the misses, in the host's memory", hits, misses));
        let corrupt = count(stats, Counter::HmbCorrupt).to_string();
        let row = vec![String::new(), corrupt, String::new()];
        rows.push(("changed by the host".into(), row));
    }
    let reads = count(stats, Counter::MapReads).to_string();
    rows.push((
        "map reads in flash".into(),
        vec![String::new(), reads, String::new()],
    ));
    Some(Section {
        name: "How the map was found (L2P cache, pages looked up)".into(),
        columns: ["hits", "misses", "hit rate"].map(str::to_owned).to_vec(),
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn accounts_add_up_as_the_drive_says() {
        let space = |n: u64| {
            json!({"host_write_pages": n, "waf": 1.5, "raf_with_map": 2.25, "l2p_hits_by_granularity": {"page": n},
                "l2p_misses_by_granularity": {"page": 1}})
        };
        let stats = json!({"host_write_pages": 30, "l2p_hits": 30, "l2p_misses": 2, "map_reads": 7,
            "hmb_hits": 3, "hmb_misses": 1, "hmb_corrupt": 1,
            "namespaces": {"meta": space(10), "data": space(20)}});
        let tables = sections(&stats);
        assert_eq!(tables.len(), 3);
        assert_eq!(tables[0].rows[0].1, ["10", "20", "30"]);
        assert_eq!(tables[0].rows.last().unwrap().1, ["1.500", "1.500", "-"]);
        assert_eq!(tables[1].rows.last().unwrap().1, ["2.250", "2.250", "-"]);
        let page = tables[2]
            .rows
            .iter()
            .find(|(name, _)| name == "page")
            .unwrap();
        assert_eq!(page.1, ["30", "2", "93.8 %"]);
        let rows = tables[2].rows.iter().rev().map(|row| row.1.join(" "));
        let rows: Vec<_> = rows.take(3).collect();
        assert_eq!(rows, [" 7 ", " 1 ", "3 1 75.0 %"]);
        let without = sections(
            &json!({"host_write_pages": 30, "l2p_hits": 30, "l2p_misses": 2, "map_reads": 7,
            "namespaces": {"meta": space(10), "data": space(20)}}),
        );
        assert_eq!(without[2].rows.len() + 2, tables[2].rows.len());
    }

    #[test]
    fn other_drives_have_none() {
        assert!(sections(&json!({"a": 1})).is_empty());
    }
}
