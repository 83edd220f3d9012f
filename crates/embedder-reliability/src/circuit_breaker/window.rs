//! Calls of the last while, counted.

use std::collections::VecDeque;

use super::policy::WindowKind;
use crate::Timestamp;
use crate::timestamp::nanos;

/// How many calls, and of what kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All calls.
    pub calls: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that were slow, failed or not.
    pub slow: u32,
}

/// A call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) has_failed: bool,
    pub(super) is_slow: bool,
}

/// A window that slides. Recording and judging take constant time.
#[derive(Debug)]
pub(super) enum Window {
    Time(TimeWindow),
    Count(CountWindow),
}

/// Buckets of equal length in a ring, with their sum.
#[derive(Debug)]
pub(super) struct TimeWindow {
    bucket_nanos: u64,
    buckets: Box<[Counts]>,
    /// The number of the newest bucket since the origin of time.
    newest: u64,
    sum: Counts,
}

/// The last calls one by one, with their sum.
#[derive(Debug)]
pub(super) struct CountWindow {
    calls_max: usize,
    samples: VecDeque<Sample>,
    sum: Counts,
}

impl Counts {
    fn of(sample: Sample) -> Counts {
        Counts {
            calls: 1,
            failed: u32::from(sample.has_failed),
            slow: u32::from(sample.is_slow),
        }
    }

    fn add(&mut self, other: Counts) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.slow = self.slow.saturating_add(other.slow);
    }

    fn take_away(&mut self, other: Counts) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failed = self.failed.saturating_sub(other.failed);
        self.slow = self.slow.saturating_sub(other.slow);
    }
}

impl Window {
    pub(super) fn new(kind: WindowKind) -> Window {
        match kind {
            WindowKind::Time { length, buckets } => Window::Time(TimeWindow {
                bucket_nanos: (nanos(length) / u64::from(buckets)).max(1),
                buckets: vec![Counts::default(); buckets as usize].into_boxed_slice(),
                newest: 0,
                sum: Counts::default(),
            }),
            WindowKind::Count { calls } => Window::Count(CountWindow {
                calls_max: calls as usize,
                samples: VecDeque::with_capacity(calls as usize),
                sum: Counts::default(),
            }),
        }
    }

    pub(super) fn record(&mut self, sample: Sample, now: Timestamp) {
        match self {
            Window::Time(window) => window.record(sample, now),
            Window::Count(window) => window.record(sample),
        }
    }

    /// Returns the counts of the window that ends now.
    pub(super) fn counts(&mut self, now: Timestamp) -> Counts {
        match self {
            Window::Time(window) => {
                window.advance(now);
                window.sum
            }
            Window::Count(window) => window.sum,
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Window::Time(window) => {
                window.buckets.fill(Counts::default());
                window.sum = Counts::default();
            }
            Window::Count(window) => {
                window.samples.clear();
                window.sum = Counts::default();
            }
        }
    }
}

impl TimeWindow {
    fn record(&mut self, sample: Sample, now: Timestamp) {
        self.advance(now);
        let slot = self.slot(self.newest);
        let counts = Counts::of(sample);
        self.buckets[slot].add(counts);
        self.sum.add(counts);
    }

    /// Drops the buckets that have left the window. A moment before the newest bucket counts as in it: threads tell of
    /// their calls in a slightly different order than they ended.
    fn advance(&mut self, now: Timestamp) {
        let current = now.as_nanos() / self.bucket_nanos;
        let passed = current.saturating_sub(self.newest);
        if passed == 0 {
            return;
        }
        for number in 0..passed.min(self.buckets.len() as u64) {
            let slot = self.slot(current - number);
            let left = std::mem::take(&mut self.buckets[slot]);
            self.sum.take_away(left);
        }
        self.newest = current;
    }

    fn slot(&self, number: u64) -> usize {
        (number % self.buckets.len() as u64) as usize
    }
}

impl CountWindow {
    fn record(&mut self, sample: Sample) {
        if self.samples.len() == self.calls_max
            && let Some(left) = self.samples.pop_front()
        {
            self.sum.take_away(Counts::of(left));
        }
        self.samples.push_back(sample);
        self.sum.add(Counts::of(sample));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn sample(bits: u8) -> Sample {
        Sample {
            has_failed: bits & 1 == 1,
            is_slow: bits & 2 == 2,
        }
    }

    proptest! {
        #[test]
        fn a_time_window_counts_what_its_buckets_cover(
            steps in prop::collection::vec((0_u64..400, 0_u8..4), 1..300)
        ) {
            let kind = WindowKind::Time { length: Duration::from_nanos(1_000), buckets: 10 };
            let mut window = Window::new(kind);
            let mut all: Vec<(u64, Sample)> = Vec::new();
            let mut now = 0;
            for (step, bits) in steps {
                now += step;
                let sample = sample(bits);
                all.push((now / 100, sample));
                window.record(sample, Timestamp::from_nanos(now));
                let mut expected = Counts::default();
                for (_, sample) in all.iter().filter(|(bucket, _)| bucket + 10 > now / 100) {
                    expected.add(Counts::of(*sample));
                }
                prop_assert_eq!(window.counts(Timestamp::from_nanos(now)), expected);
            }
            let later = Timestamp::from_nanos(now + 1_000);
            prop_assert_eq!(window.counts(later), Counts::default());
        }

        #[test]
        fn a_count_window_counts_the_last_calls(bits in prop::collection::vec(0_u8..4, 1..300)) {
            let mut window = Window::new(WindowKind::Count { calls: 20 });
            for (index, _) in bits.iter().enumerate() {
                window.record(sample(bits[index]), Timestamp::ZERO);
                let mut expected = Counts::default();
                for bits in &bits[(index + 1).saturating_sub(20)..=index] {
                    expected.add(Counts::of(sample(*bits)));
                }
                prop_assert_eq!(window.counts(Timestamp::ZERO), expected);
            }
        }
    }

    #[test]
    fn a_million_turns_leave_no_drift() {
        let kind = WindowKind::Time {
            length: Duration::from_secs(30),
            buckets: 10,
        };
        let mut window = Window::new(kind);
        let mut now = Timestamp::ZERO;
        for turn in 0..1_000_000_u64 {
            now = now.plus(Duration::from_millis(500 + turn % 7));
            window.record(sample((turn % 4) as u8), now);
        }
        assert!(window.counts(now).calls >= 54);
        assert_eq!(
            window.counts(now.plus(Duration::from_secs(31))),
            Counts::default()
        );
    }

    #[test]
    fn a_call_told_a_little_late_is_counted_now() {
        let kind = WindowKind::Time {
            length: Duration::from_secs(10),
            buckets: 10,
        };
        let mut window = Window::new(kind);
        let now = Timestamp::after_origin(Duration::from_secs(100));
        window.record(sample(1), now);
        window.record(sample(1), Timestamp::after_origin(Duration::from_secs(99)));
        assert_eq!(window.counts(now).failed, 2);
    }
}
