//! How long many requests took.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The latencies of a series of requests, in nanoseconds.
#[derive(Debug, Default)]
pub(in crate::engine::bench) struct Latencies(Vec<u64>);

/// What the latencies of a series come to, in microseconds. Each is one that was measured: the nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half were faster.
    pub p50_us: f64,
    /// 95 of 100 were faster.
    pub p95_us: f64,
    /// 99 of 100 were faster.
    pub p99_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl Latencies {
    pub(in crate::engine::bench) fn push(&mut self, latency: Duration) {
        self.0
            .push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn append(&mut self, mut other: Latencies) {
        self.0.append(&mut other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sums them up; none where there are none.
    pub(in crate::engine::bench) fn percentiles(mut self) -> Option<Percentiles> {
        self.0.sort_unstable();
        let max = *self.0.last()?;
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |percent| us(self.0[rank(self.0.len(), percent)]);
        Some(Percentiles {
            p50_us: at(50),
            p95_us: at(95),
            p99_us: at(99),
            max_us: us(max),
        })
    }
}

/// The position, in order, of the first of `len` values that so many of a hundred do not exceed. In whole numbers: 0.95
/// has no exact float.
fn rank(len: usize, percent: usize) -> usize {
    (len * percent).div_ceil(100).max(1) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(us: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        for us in us {
            latencies.push(Duration::from_micros(us));
        }
        latencies
    }

    #[test]
    fn percentiles_are_values_of_the_series() {
        let check = |latencies: Latencies, expected: [f64; 4]| {
            let all = latencies.percentiles().unwrap();
            assert_eq!([all.p50_us, all.p95_us, all.p99_us, all.max_us], expected);
        };
        check(of([7]), [7.0; 4]);
        check(of([9, 5]), [5.0, 9.0, 9.0, 9.0]);
        check(of((1..=100).rev()), [50.0, 95.0, 99.0, 100.0]);
        check(of(1..=1_000), [500.0, 950.0, 990.0, 1_000.0]);
        check(of(1..=101), [51.0, 96.0, 100.0, 101.0]);
    }

    #[test]
    fn nothing_has_no_percentiles() {
        assert_eq!(Latencies::default().percentiles(), None);
    }

    #[test]
    fn series_are_summed_up_together() {
        let mut all = of([1, 2]);
        all.append(of([3]));
        assert_eq!(all.len(), 3);
        assert_eq!(all.percentiles().unwrap().p50_us, 2.0);
    }
}
