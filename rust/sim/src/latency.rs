// SPDX-License-Identifier: GPL-2.0-or-later
//! Latencies per operation, in bounded memory.

use trace::{Answer, Op};
use units::Nanos;

/// Sub-buckets of each power of two: percentiles are exact to 1/128, or 0.8 %.
const SUB_BITS: u32 = 7;
const SUB: usize = 1 << SUB_BITS;
const BUCKETS: usize = (64 - SUB_BITS as usize + 1) * SUB;

/// Latencies of one operation: exact count, sum, extremes; percentiles to 0.8 %.
#[derive(Clone, Debug)]
pub struct Latency {
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
    /// None until there is a latency: most operations of a trace have none.
    buckets: Vec<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
            buckets: Vec::new(),
        }
    }
}

/// The bucket of a value: exact below [`SUB`], then [`SUB`] buckets for each power of two.
fn bucket(ns: u64) -> usize {
    let bits = 64 - ns.leading_zeros();
    let shift = bits.saturating_sub(SUB_BITS + 1);
    // Lossless: the shifted value is below 2 x SUB.
    let sub = (ns >> shift) as usize;
    shift as usize * SUB + sub
}

/// The greatest value of a bucket.
fn bucket_end(bucket: usize) -> u64 {
    if bucket < 2 * SUB {
        return bucket as u64;
    }
    let shift = bucket / SUB - 1;
    let start = ((bucket - shift * SUB) as u64) << shift;
    start + ((1 << shift) - 1)
}

impl Latency {
    /// Adds one.
    pub fn add(&mut self, latency: Nanos) {
        let ns = latency.get();
        if self.buckets.is_empty() {
            self.buckets = vec![0; BUCKETS];
        }
        self.count += 1;
        self.sum += u128::from(ns);
        self.min = self.min.min(ns);
        self.max = self.max.max(ns);
        if let Some(n) = self.buckets.get_mut(bucket(ns)) {
            *n += 1;
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their mean in ns, rounded down; 0 if there are none.
    #[must_use]
    pub fn mean(&self) -> u64 {
        let mean = self.sum / u128::from(self.count.max(1));
        u64::try_from(mean).unwrap_or(u64::MAX)
    }

    /// The least in ns; 0 if there are none.
    #[must_use]
    pub const fn min(&self) -> u64 {
        if self.count == 0 {
            0
        } else {
            self.min
        }
    }

    /// The greatest in ns.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// A latency that `per_mille` of them do not exceed: the end of the bucket, up to 0.8 % above the smallest such,
    /// at most the greatest of all.
    #[must_use]
    pub fn percentile(&self, per_mille: u64) -> u64 {
        let rank = (u128::from(self.count) * u128::from(per_mille)).div_ceil(1000);
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += u128::from(*n);
            if seen >= rank.max(1) {
                return bucket_end(i).min(self.max);
            }
        }
        self.max
    }
}

/// Latencies of all operations.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    by_op: [Latency; Op::ALL.len()],
    errors: u64,
}

impl Latencies {
    /// Adds an answer. Commands that failed are counted apart: they take no time.
    pub fn add(&mut self, answer: &Answer) {
        if answer.status != 0 {
            self.errors += 1;
            return;
        }
        self.add_one(answer.command.op, answer.latency());
    }

    /// Adds what a command took.
    pub fn add_one(&mut self, op: Op, took: Nanos) {
        if let Some(latency) = self.by_op.get_mut(op as usize) {
            latency.add(took);
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The operations that occurred, with their latencies.
    pub fn iter(&self) -> impl Iterator<Item = (Op, &Latency)> {
        Op::ALL
            .into_iter()
            .zip(&self.by_op)
            .filter(|(_, latency)| latency.count > 0)
    }

    /// Commands that failed.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        for ns in (0..5000).chain([1 << 20, (1 << 40) + 12345, u64::MAX - 1, u64::MAX]) {
            let b = bucket(ns);
            assert!(b < BUCKETS, "{ns}");
            let end = bucket_end(b);
            assert!(ns <= end && end - ns <= ns / 128, "{ns} {end}");
        }
        assert!((1..100_000u64).all(|ns| bucket(ns) - bucket(ns - 1) <= 1));
    }

    #[test]
    fn no_percentile_is_below_what_it_promises() {
        let mut latency = Latency::default();
        for _ in 0..100 {
            latency.add(Nanos::new(20_005));
        }
        for per_mille in [500, 990, 1000] {
            assert_eq!(latency.percentile(per_mille), 20_005);
        }
        latency.add(Nanos::new(90_000));
        assert!(latency.percentile(990) >= 20_005 && latency.percentile(990) < 20_200);
        assert_eq!(latency.percentile(999), 90_000);
    }

    #[test]
    fn figures_of_a_known_distribution() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|n| latency.add(Nanos::new(n * 1000)));
        assert_eq!((latency.count(), latency.mean()), (1000, 500_500));
        assert_eq!((latency.min(), latency.max()), (1000, 1_000_000));
        for (per_mille, exact) in [(500, 500_000), (990, 990_000), (1000, 1_000_000)] {
            let got = latency.percentile(per_mille);
            assert!(exact <= got && got - exact <= exact / 100, "{got} {exact}");
        }
        assert_eq!(Latency::default().percentile(990), 0);
    }
}
