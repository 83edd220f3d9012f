//! How fast a lane has been lately, and so when to try again.

use std::time::Duration;

/// A client that comes back sooner finds the queue as full, and its request costs a refusal.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// The estimate is not trusted further ahead: by then other callers may have given up and their texts are dropped.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What a batch leaves of the weight of those before it: twenty batches count, which under load is a second or less.
const KEPT: f64 = 0.95;

/// The speed of one worker: tokens over seconds, each summed up with exponentially fading weights. The quotient of the
/// sums weighs each batch by its length, so small batches, which are slower for each token, do not distort it.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    tokens: f64,
    seconds: f64,
}

impl Throughput {
    /// Takes in a batch.
    pub(super) fn record(&mut self, tokens: usize, elapsed: Duration) {
        self.tokens = self.tokens * KEPT + tokens as f64;
        self.seconds = self.seconds * KEPT + elapsed.as_secs_f64();
    }

    /// Returns how long one worker usually takes for `tokens`; none before anything has been measured.
    pub(super) fn time_of(&self, tokens: usize) -> Option<Duration> {
        (self.tokens > 0.0)
            .then(|| Duration::from_secs_f64(tokens as f64 * self.seconds / self.tokens))
    }

    /// Returns how long `workers` will be busy with `tokens`, between the limits; the least before anything has been
    /// measured.
    pub(super) fn retry_after(&self, tokens: usize, workers: usize) -> Duration {
        if self.tokens == 0.0 {
            return RETRY_AFTER_MIN;
        }
        let seconds = tokens as f64 * self.seconds / (self.tokens * workers as f64);
        let (min, max) = (RETRY_AFTER_MIN.as_secs_f64(), RETRY_AFTER_MAX.as_secs_f64());
        Duration::from_secs_f64(seconds.clamp(min, max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_try_again_follows_the_speed_within_its_limits() {
        let check = |batches: &[(usize, u64)], tokens, workers, expected_ms: f64| {
            let mut throughput = Throughput::default();
            for &(tokens, ms) in batches {
                throughput.record(tokens, Duration::from_millis(ms));
            }
            let found = throughput.retry_after(tokens, workers).as_secs_f64() * 1e3;
            assert!(
                (found - expected_ms).abs() < 1.0,
                "{found}, not {expected_ms} ms"
            );
        };
        check(&[], 1_000_000, 1, 1_000.0);
        check(&[(256, 10)], 0, 1, 1_000.0);
        check(&[(256, 10)], 2_560, 1, 1_000.0);
        check(&[(256, 10)], 256_000, 1, 10_000.0);
        check(&[(256, 10)], 256_000, 4, 2_500.0);
        check(&[(256, 10)], 1_048_576, 1, 30_000.0);
        check(&[(256, 0)], 1_048_576, 1, 1_000.0);
        check(&[(0, 10)], 1_048_576, 1, 1_000.0);
        // A short batch is slower for each token and hardly counts.
        check(&[(256, 10); 100], 128_000, 1, 5_000.0);
        let mut mixed = [(256, 10); 100];
        mixed[99] = (1, 1);
        check(&mixed, 128_000, 1, 5_025.4);
    }

    #[test]
    fn an_old_speed_fades() {
        let mut throughput = Throughput::default();
        throughput.record(256, Duration::from_secs(10));
        for _ in 0..500 {
            throughput.record(256, Duration::from_millis(10));
        }
        let found = throughput.retry_after(256_000, 1).as_secs_f64();
        assert!((found - 10.0).abs() < 0.01, "{found}");
    }
}
