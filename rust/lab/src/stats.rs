// SPDX-License-Identifier: GPL-2.0-or-later
//! Reading a drive's statistics, the JSON that the device and the model give (docs/device.md), by the names that the
//! drive writes them under. Works on the whole of them and on a namespace's part.

use ftl::Counter;
use serde_json::Value;

/// A counter; 0 for a device that has it not.
pub fn count(stats: &Value, counter: Counter) -> u64 {
    let value = stats.get(counter.name()).and_then(Value::as_u64);
    value.unwrap_or(0)
}

/// A figure that is no counter, such as `waf`; none where it has no meaning.
pub fn figure(stats: &Value, name: &str) -> Option<f64> {
    stats.get(name).and_then(Value::as_f64)
}

/// Share of the pages looked up whose mapping was cached, 0..=1; none without look-ups.
pub fn hit_rate(stats: &Value) -> Option<f64> {
    let [hits, misses] = [Counter::L2pHits, Counter::L2pMisses].map(|c| count(stats, c));
    let lookups = hits + misses;
    (lookups > 0).then(|| hits as f64 / lookups as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssd::{Config, Model};

    #[test]
    fn what_a_drive_writes_is_read_by_its_names() {
        let model = Model::new(&Config::new().plan().unwrap()).unwrap();
        let mut stats: Value = serde_json::from_str(&ssd::stats_json(&model)).unwrap();
        for (counter, value) in Counter::ALL.iter().zip(1_u64..) {
            assert!(stats[counter.name()].is_u64(), "{counter:?}");
            stats[counter.name()] = value.into();
            assert_eq!(count(&stats, *counter), value);
        }
        let (hits, misses) = (
            count(&stats, Counter::L2pHits),
            count(&stats, Counter::L2pMisses),
        );
        assert_eq!(hit_rate(&stats), Some(hits as f64 / (hits + misses) as f64));
        assert_eq!(hit_rate(&serde_json::json!({})), None);
    }
}
