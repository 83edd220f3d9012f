//! How amounts are spread: buckets that double.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::encode::{Decimal, Encoder};
use super::family::{Metric, Start};
use super::table::Kind;

/// Buckets of a histogram, not counting the last, which has no bound.
pub const BUCKETS: usize = 16;

/// Where durations begin: below half a millisecond there is nothing to worry about. The last bound is 16.4 s.
const SHORTEST_NS: u64 = 500_000;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// A histogram of whole amounts. The bound of bucket `i` is `FIRST · 2^i`; `PER_UNIT` amounts make one of the unit
/// that is shown.
///
/// The sum is a whole number, so it is exact in any order of additions. It wraps after 584 years of durations, which
/// Prometheus takes for a restart.
#[derive(Debug)]
pub struct Histogram<const FIRST: u64, const PER_UNIT: u64> {
    buckets: [AtomicU64; BUCKETS + 1],
    sum: AtomicU64,
}

/// A histogram of durations, kept in nanoseconds and shown in seconds: 0.5 ms · 2^i.
pub type Durations = Histogram<SHORTEST_NS, NS_PER_SECOND>;

/// A histogram of sizes: powers of two, up to 32,768.
pub type Sizes = Histogram<1, 1>;

impl Durations {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        // Cheaper than the 128 bits of `as_nanos`.
        let ns = duration.as_secs().saturating_mul(NS_PER_SECOND);
        self.add(ns.saturating_add(u64::from(duration.subsec_nanos())));
    }
}

impl Sizes {
    /// Counts a size.
    pub fn observe(&self, size: usize) {
        self.add(size as u64);
    }
}

impl<const FIRST: u64, const PER_UNIT: u64> Histogram<FIRST, PER_UNIT> {
    /// Returns how many amounts were counted.
    pub fn count(&self) -> u64 {
        let buckets = self.buckets.iter();
        buckets.map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    fn add(&self, amount: u64) {
        self.buckets[Self::bucket(amount)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(amount, Ordering::Relaxed);
    }

    /// The first bucket whose bound is not below the amount: the bits of `⌈amount / FIRST⌉ - 1`.
    fn bucket(amount: u64) -> usize {
        let whole = amount.saturating_sub(1) / FIRST;
        ((u64::BITS - whole.leading_zeros()) as usize).min(BUCKETS)
    }
}

impl<const FIRST: u64, const PER_UNIT: u64> Metric for Histogram<FIRST, PER_UNIT> {
    const KIND: Kind = Kind::Histogram;

    fn new(_: &Start) -> Self {
        Histogram {
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
        }
    }

    fn write(&self, encoder: &mut Encoder) {
        let shown = |amount| Decimal {
            amount,
            per_unit: PER_UNIT,
        };
        let mut count = 0;
        for (i, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let bound = (i < BUCKETS).then(|| shown(FIRST << i));
            encoder.bucket(bound, count);
        }
        encoder.sample("_sum", shown(self.sum.load(Ordering::Relaxed)));
        encoder.sample("_count", count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty<const FIRST: u64, const PER_UNIT: u64>() -> Histogram<FIRST, PER_UNIT> {
        Histogram::new(&Start::new(&[], ""))
    }

    #[test]
    fn an_amount_falls_into_the_first_bucket_that_holds_it() {
        for bucket in 0..BUCKETS {
            let bound = 1_u64 << bucket;
            assert_eq!(Sizes::bucket(bound), bucket);
            assert_eq!(Sizes::bucket(bound + 1), bucket + 1);
            let bound = SHORTEST_NS << bucket;
            assert_eq!(Durations::bucket(bound), bucket);
            assert_eq!(Durations::bucket(bound + 1), bucket + 1);
            assert_eq!(Durations::bucket(bound - 1), bucket);
        }
        assert_eq!(Sizes::bucket(0), 0);
        assert_eq!(Durations::bucket(0), 0);
        assert_eq!(Durations::bucket(u64::MAX), BUCKETS);
    }

    #[test]
    fn sums_are_exact() {
        let durations: Durations = empty();
        for _ in 0..1_000 {
            durations.observe(Duration::from_nanos(100_000_001));
        }
        assert_eq!(durations.sum.load(Ordering::Relaxed), 100_000_001_000);
        assert_eq!(durations.count(), 1_000);
    }

    #[test]
    fn the_longest_duration_is_counted() {
        let durations: Durations = empty();
        durations.observe(Duration::MAX);
        assert_eq!(durations.buckets[BUCKETS].load(Ordering::Relaxed), 1);
    }
}
