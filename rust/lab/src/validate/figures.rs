// SPDX-License-Identifier: GPL-2.0-or-later
//! Exact latency figures of each operation of a trace.

use std::fmt;

use serde::{Deserialize, Serialize};
use trace::{Answer, Op};

/// Figures of one operation, in ns. A percentile is the smallest latency that so many per cent of
/// the commands do not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Commands that succeeded.
    pub count: u64,
    /// Mean, rounded down.
    pub mean: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: u64| format!("{}.{:02}", ns / 1000, ns % 1000 / 10);
        let (mean, p50, p99) = (us(self.mean), us(self.p50), us(self.p99));
        write!(f, "{mean}/{p50}/{p99}")
    }
}

/// Latencies of the commands that succeeded, by operation.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    by_op: [Vec<u64>; Op::ALL.len()],
}

impl Samples {
    /// Adds an answer; one that failed took no time and is left out.
    pub fn add(&mut self, answer: &Answer) {
        if answer.status == 0 {
            if let Some(latencies) = self.by_op.get_mut(answer.command.op as usize) {
                latencies.push(answer.latency().get());
            }
        }
    }

    /// Figures of the operations that occurred.
    pub fn figures(mut self) -> Vec<(Op, Figures)> {
        let of = |op: Op| {
            let latencies = std::mem::take(self.by_op.get_mut(op as usize)?);
            Some((op, figures(latencies)?))
        };
        Op::ALL.into_iter().filter_map(of).collect()
    }
}

fn figures(mut latencies: Vec<u64>) -> Option<Figures> {
    latencies.sort_unstable();
    let count = latencies.len();
    let sum: u128 = latencies.iter().copied().map(u128::from).sum();
    let percentile = |per_cent: usize| {
        let rank = (count * per_cent).div_ceil(100).max(1);
        latencies.get(rank - 1).copied()
    };
    Some(Figures {
        count: count as u64,
        mean: u64::try_from(sum.checked_div(count as u128)?).ok()?,
        p50: percentile(50)?,
        p99: percentile(99)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_samples() {
        let all = figures((1..=200).rev().collect()).unwrap();
        let expected = Figures {
            count: 200,
            mean: 100,
            p50: 100,
            p99: 198,
        };
        assert_eq!(all, expected);
        assert_eq!(figures(vec![7]).map(|f| (f.p50, f.p99)), Some((7, 7)));
        assert_eq!(figures(Vec::new()), None);
    }
}
