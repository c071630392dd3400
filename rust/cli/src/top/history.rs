// SPDX-License-Identifier: GPL-2.0-or-later
//! What was seen of a drive, and what happened between two looks.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use ftl::Counter;
use lab::stats::{count, figure};
use report::statistics::busy_ns;

/// Looks kept: what the widest terminal can show.
const KEPT: usize = 512;
const SECTOR_BYTES: f64 = units::SECTOR_BYTES as f64;
const PAGE_SECTORS: f64 = units::PAGE_SECTORS as f64;

/// When a look was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    /// The guest's clock, by which the drive goes.
    pub guest: Duration,
    /// The host's.
    pub host: Duration,
}

/// One look.
#[derive(Clone, Debug)]
pub struct Sample {
    at: Clocks,
    stats: Value,
    /// State and number of zones.
    pub zones: Vec<(String, u64)>,
    /// The drive's preset.
    pub preset: String,
}

impl Sample {
    /// From the device's own texts.
    ///
    /// # Errors
    /// Statistics that are no JSON.
    pub fn new(at: Clocks, stats: &str, zone_map: &str, preset: &str) -> Result<Self> {
        Ok(Self {
            at,
            stats: serde_json::from_str(stats).context("reading the drive's statistics")?,
            zones: states(zone_map),
            preset: preset.into(),
        })
    }

    /// A counter, 0 if the drive has it not.
    pub fn count(&self, counter: Counter) -> f64 {
        count(&self.stats, counter) as f64
    }

    /// Bytes programmed over bytes that the host wrote, from the start on.
    pub fn write_amplification(&self) -> Option<f64> {
        figure(&self.stats, "waf")
    }
}

/// How many zones are in each state that occurs.
fn states(zone_map: &str) -> Vec<(String, u64)> {
    let mut counts: Vec<(String, u64)> = Vec::new();
    for line in zone_map.lines().skip(1) {
        let mut fields = line.split(',').skip(1);
        let (Some(Ok(count)), Some(state)) = (fields.next().map(str::parse::<u64>), fields.next())
        else {
            continue;
        };
        match counts.iter_mut().find(|(name, _)| name == state) {
            Some((_, total)) => *total += count,
            None => counts.push((state.to_owned(), count)),
        }
    }
    counts
}

/// The looks so far, the latest last.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
}

impl History {
    /// Adds a look.
    pub fn add(&mut self, sample: Sample) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The latest look.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }

    fn pairs(&self) -> impl DoubleEndedIterator<Item = (&Sample, &Sample)> {
        self.samples.iter().zip(self.samples.iter().skip(1))
    }

    /// By how much counters rose in the last stretch.
    pub fn rise(&self, counter: Counter) -> f64 {
        let last = self.pairs().next_back();
        last.map_or(0.0, |(a, b)| (b.count(counter) - a.count(counter)).max(0.0))
    }

    /// The same per second of the guest's clock.
    pub fn rate(&self, counter: Counter) -> f64 {
        self.pairs()
            .next_back()
            .map_or(0.0, |pair| rate(pair, counter))
    }

    /// 10^6 bytes a second of a counter of sectors.
    pub fn bandwidth(&self, counter: Counter) -> f64 {
        self.rate(counter) * SECTOR_BYTES / 1e6
    }

    /// The same over all looks, the oldest first, rounded.
    pub fn bandwidths(&self, counter: Counter) -> Vec<u64> {
        self.pairs()
            .map(|pair| (rate(pair, counter) * SECTOR_BYTES / 1e6) as u64)
            .collect()
    }

    /// How long a command took in the last stretch, on average and in model time; none if there was none.
    pub fn latency(&self, time: Counter, commands: Counter) -> Option<Duration> {
        let mean = self.ratio(time, &[commands])?;
        Some(Duration::from_nanos(mean as u64))
    }

    /// How many reads, writes and others the drive had at once in the last stretch, on average.
    pub fn queue_depth(&self) -> f64 {
        let times = [
            Counter::HostReadTime,
            Counter::HostWriteTime,
            Counter::HostOtherTime,
        ];
        times.iter().map(|time| self.rate(*time) / 1e9).sum()
    }

    /// A ratio of two rises in the last stretch.
    pub fn ratio(&self, part: Counter, whole: &[Counter]) -> Option<f64> {
        let all: f64 = whole.iter().map(|counter| self.rise(*counter)).sum();
        (all > 0.0).then(|| self.rise(part) / all)
    }

    /// Bytes programmed in the last stretch over bytes that the host wrote.
    pub fn write_amplification(&self) -> Option<f64> {
        let pages = self.ratio(Counter::PagesProgrammed, &[Counter::HostWriteSectors])?;
        Some(pages * PAGE_SECTORS)
    }

    /// The share of look-ups in the last stretch that found the mapping cached.
    pub fn hit_rate(&self) -> Option<f64> {
        self.ratio(Counter::L2pHits, &[Counter::L2pHits, Counter::L2pMisses])
    }

    /// The share of the last stretch that each member of `planes` or `links` was busy.
    pub fn busy(&self, group: &str) -> Vec<(String, f64)> {
        let Some((a, b)) = self.pairs().next_back() else {
            return Vec::new();
        };
        let span = span(a, b).as_nanos().max(1) as f64;
        let pairs = busy_ns(&a.stats, group)
            .into_iter()
            .zip(busy_ns(&b.stats, group));
        pairs
            .map(|((_, then), (name, now))| (name, ((now - then) / span).clamp(0.0, 1.0)))
            .collect()
    }

    /// How fast the guest's clock went in the last stretch, the host's being 1; none before the second look.
    pub fn pace(&self) -> Option<f64> {
        let (a, b) = self.pairs().next_back()?;
        let host = b.at.host.saturating_sub(a.at.host).as_secs_f64();
        (host > 0.0).then(|| span(a, b).as_secs_f64() / host)
    }

    /// Everything on one line, for pipes.
    pub fn line(&self, path: &str) -> String {
        let micros = |mean: Option<Duration>| {
            mean.map_or_else(String::new, |mean| {
                format!(" {:.1} us", mean.as_nanos() as f64 / 1e3)
            })
        };
        let percent = |share: Option<f64>| {
            share.map_or_else(|| "-".into(), |s| format!("{:.1} %", s * 100.0))
        };
        format!(
            "{path} read {:.1} MB/s {:.0} IOPS{}, write {:.1} MB/s {:.0} IOPS{}, queue depth {:.1}, WAF {}, L2P hits {}, guest's clock {}",
            self.bandwidth(Counter::HostReadSectors),
            self.rate(Counter::HostReads),
            micros(self.latency(Counter::HostReadTime, Counter::HostReads)),
            self.bandwidth(Counter::HostWriteSectors),
            self.rate(Counter::HostWrites),
            micros(self.latency(Counter::HostWriteTime, Counter::HostWrites)),
            self.queue_depth(),
            self.write_amplification()
                .map_or_else(|| "-".into(), |waf| format!("{waf:.2}")),
            percent(self.hit_rate()),
            self.pace().map_or_else(|| "-".into(), |pace| format!("{pace:.2} x the host's")),
        )
    }
}

/// The guest's time between two looks.
fn span(a: &Sample, b: &Sample) -> Duration {
    b.at.guest.saturating_sub(a.at.guest)
}

fn rate((a, b): (&Sample, &Sample), counter: Counter) -> f64 {
    let seconds = span(a, b).as_secs_f64().max(1e-6);
    // A reset of the machine may start counters again.
    (b.count(counter) - a.count(counter)).max(0.0) / seconds
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Two looks, a second of the guest's clock apart, for which the host took four.
    pub fn history() -> History {
        let mut history = History::default();
        let map = "first,count,state,written,capacity,mapping\n0,2,full,8,8,zone\n2,1,open,4,8,page\n3,1,full,8,8,zone\n4,28,empty,0,8,-\n";
        let stats = |n: u64| {
            format!(
                r#"{{"host_write_sectors": {}, "host_writes": {}, "host_write_time_ns": {}, "host_read_sectors": {}, "pages_programmed": {}, "l2p_hits": {}, "l2p_misses": {},
                "flush_premature": {}, "waf": 1.5, "planes": {{"0": {{"busy_ns": {}}}, "1": {{"busy_ns": 7}}}}, "links": {{"host": {{"busy_ns": {}}}}}}}"#,
                n * 800_000,
                n * 1000,
                n * 2_500_000_000,
                n * 80_000,
                n * 150_000,
                n * 3,
                n,
                n * 12,
                n * 500_000_000,
                n * 250_000_000
            )
        };
        for n in 0..2 {
            let at = Clocks {
                guest: Duration::from_secs(n),
                host: Duration::from_secs(4 * n),
            };
            history.add(Sample::new(at, &stats(n), map, "tlc-zoned").unwrap());
        }
        history
    }

    #[test]
    fn rates_are_between_two_looks() {
        let history = history();
        assert_eq!(history.bandwidth(Counter::HostWriteSectors).round(), 410.0);
        assert_eq!(history.write_amplification(), Some(1.5));
        assert_eq!(history.hit_rate(), Some(0.75));
        let [read, write] = [
            (Counter::HostReadTime, Counter::HostReads),
            (Counter::HostWriteTime, Counter::HostWrites),
        ]
        .map(|(time, commands)| history.latency(time, commands));
        assert_eq!((read, write), (None, Some(Duration::from_micros(2500))));
        assert_eq!(history.queue_depth(), 2.5);
        assert_eq!(
            history.busy("planes"),
            [("0".into(), 0.5), ("1".into(), 0.0)]
        );
        assert_eq!(history.bandwidths(Counter::HostWriteSectors), [409]);
        assert!(history
            .line("/x")
            .contains("write 409.6 MB/s 1000 IOPS 2500.0 us, queue depth 2.5, WAF 1.50, L2P hits 75.0 %, guest's clock 0.25 x the host's"));
    }

    #[test]
    fn zones_are_counted_by_state() {
        let history = history();
        let zones = &history.last().unwrap().zones;
        assert_eq!(
            zones,
            &[
                ("full".to_owned(), 3),
                ("open".into(), 1),
                ("empty".into(), 28)
            ]
        );
    }

    #[test]
    fn a_single_look_and_a_reset_give_no_rates() {
        let mut history = history();
        let first = history.samples[0].clone();
        history.add(Sample {
            at: Clocks {
                guest: Duration::from_secs(2),
                ..Clocks::default()
            },
            ..first.clone()
        });
        assert_eq!(
            history.rate(Counter::HostWrites),
            0.0,
            "counters started again"
        );
        let mut single = History::default();
        single.add(first);
        assert_eq!(single.rate(Counter::HostWrites), 0.0);
        assert!(single.busy("planes").is_empty());
        assert_eq!(single.pace(), None);
        assert!(Sample::new(Clocks::default(), "{", "", "").is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = history();
        let sample = history.samples[1].clone();
        (0..2 * KEPT).for_each(|_| history.add(sample.clone()));
        assert_eq!(history.samples.len(), KEPT);
    }
}
