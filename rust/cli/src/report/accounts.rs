// SPDX-License-Identifier: GPL-2.0-or-later
//! The two accounts that people look for first: where written pages went, and how the map was found.

use serde_json::Value;

use super::statistics::Section;

/// Lines of the account of writes: a title and the counter.
const WRITES: [(&str, &str); 10] = [
    ("written by the host", "host_write_pages"),
    ("programmed", "pages_programmed"),
    ("- to pSLC", "pages_slc"),
    ("- to native cells", "pages_native"),
    ("read back to complete a unit", "pages_combined"),
    ("backed up for durability", "pages_backup"),
    ("moved by migration", "pages_migrated"),
    ("moved by garbage collection", "pages_gc"),
    ("premature flushes", "flush_premature"),
    ("full flushes", "flush_full"),
];

/// Granularities, as the statistics name them.
const GRAINS: [&str; 4] = ["zone", "sub_zone", "chunk", "page"];

/// Both tables, as far as the drive counts.
pub fn sections(stats: &Value) -> Vec<Section> {
    [writes(stats), map(stats)].into_iter().flatten().collect()
}

fn namespaces(stats: &Value) -> Option<[&Value; 2]> {
    let both = stats.get("namespaces")?;
    Some([both.get("meta")?, both.get("data")?])
}

fn number(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn writes(stats: &Value) -> Option<Section> {
    let [meta, data] = namespaces(stats)?;
    let mut rows: Vec<(String, Vec<String>)> = WRITES
        .iter()
        .map(|(title, name)| {
            let values = [meta, data, stats].map(|of| number(of, name).to_string());
            ((*title).to_owned(), values.to_vec())
        })
        .collect();
    let waf = |of: &Value| {
        of.get("waf")
            .and_then(Value::as_f64)
            .map_or_else(|| "-".into(), |w| format!("{w:.3}"))
    };
    rows.push((
        "write amplification".into(),
        [meta, data, stats].map(waf).to_vec(),
    ));
    Some(Section {
        name: "Where written pages went (4 KiB)".into(),
        columns: ["meta", "data", "both"].map(str::to_owned).to_vec(),
        rows,
    })
}

fn map(stats: &Value) -> Option<Section> {
    let both = namespaces(stats)?;
    let by = |group: &str, grain: &str| -> u64 {
        let groups = both.iter().filter_map(|of| of.get(group));
        groups.map(|grains| number(grains, grain)).sum()
    };
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
    let (hits, misses) = (number(stats, "l2p_hits"), number(stats, "l2p_misses"));
    if hits + misses == 0 {
        return None;
    }
    rows.push(line("all", hits, misses));
    let reads = number(stats, "map_reads").to_string();
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
            json!({"host_write_pages": n, "waf": 1.5, "l2p_hits_by_granularity": {"page": n},
                "l2p_misses_by_granularity": {"page": 1}})
        };
        let stats = json!({"host_write_pages": 30, "l2p_hits": 30, "l2p_misses": 2, "map_reads": 7,
            "namespaces": {"meta": space(10), "data": space(20)}});
        let tables = sections(&stats);
        assert_eq!(tables.len(), 2);
        assert_eq!(tables[0].rows[0].1, ["10", "20", "30"]);
        assert_eq!(tables[0].rows.last().unwrap().1, ["1.500", "1.500", "-"]);
        let page = tables[1]
            .rows
            .iter()
            .find(|(name, _)| name == "page")
            .unwrap();
        assert_eq!(page.1, ["30", "2", "93.8 %"]);
    }

    #[test]
    fn other_drives_have_none() {
        assert!(sections(&json!({"a": 1})).is_empty());
    }
}
