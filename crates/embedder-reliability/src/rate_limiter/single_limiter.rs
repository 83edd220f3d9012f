//! A limit that is one caller's own.

use std::fmt;

use super::{
    FixedWindow, LOG_LIMIT_MAX, RateLimitAlgorithm, RateLimitConfig, RateLimitResult,
    RateLimitStrategy, SlidingCounter, SlidingLog, TokenBucket,
};
use crate::Timestamp;
use crate::sync::{Mutex, lock};

/// One limit for one caller: for those whose limit is their own, where a [`RateLimiter`](super::RateLimiter) has the same
/// for all. It takes a hundred bytes, and with a sliding window of up to [`LOG_LIMIT_MAX`] units eight for each unit.
pub struct SingleLimiter {
    config: RateLimitConfig,
    counter: Box<dyn Counter>,
}

/// What a limiter asks of its counter, whatever it counts by.
trait Counter: Send + Sync {
    fn acquire(&self, now: Timestamp, cost: u32) -> RateLimitResult;
    fn refund(&self, taken_at: Timestamp, now: Timestamp, cost: u32);
}

/// A counter for one strategy.
struct Counted<R: RateLimitStrategy> {
    strategy: R,
    state: Mutex<R::State>,
}

impl SingleLimiter {
    /// A limiter of which nothing was taken yet.
    pub fn new(config: RateLimitConfig) -> SingleLimiter {
        let counter: Box<dyn Counter> = match config.algorithm() {
            RateLimitAlgorithm::TokenBucket => Counted::boxed(TokenBucket::new(&config)),
            RateLimitAlgorithm::SlidingWindow if config.limit() <= LOG_LIMIT_MAX => {
                Counted::boxed(SlidingLog::new(&config))
            }
            RateLimitAlgorithm::SlidingWindow => Counted::boxed(SlidingCounter::new(&config)),
            RateLimitAlgorithm::FixedWindow => Counted::boxed(FixedWindow::new(&config)),
        };
        SingleLimiter { config, counter }
    }

    /// Returns the limit.
    pub fn config(&self) -> &RateLimitConfig {
        &self.config
    }

    /// Takes `cost` units, all or none, or says when it could.
    pub fn try_acquire_n(&self, now: Timestamp, cost: u32) -> RateLimitResult {
        self.counter.acquire(now, cost)
    }

    /// Gives back units that were taken at `taken_at` for a request which was refused for another reason; see
    /// [`RateLimiter::refund`](super::RateLimiter::refund).
    pub fn refund(&self, taken_at: Timestamp, now: Timestamp, cost: u32) {
        self.counter.refund(taken_at, now, cost);
    }
}

impl fmt::Debug for SingleLimiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SingleLimiter")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<R> Counted<R>
where
    R: RateLimitStrategy + Send + Sync + 'static,
    R::State: Send,
{
    fn boxed(strategy: R) -> Box<dyn Counter> {
        Box::new(Counted {
            strategy,
            state: Mutex::default(),
        })
    }
}

impl<R> Counter for Counted<R>
where
    R: RateLimitStrategy + Send + Sync,
    R::State: Send,
{
    fn acquire(&self, now: Timestamp, cost: u32) -> RateLimitResult {
        self.strategy.acquire(&mut lock(&self.state), now, cost)
    }

    fn refund(&self, taken_at: Timestamp, now: Timestamp, cost: u32) {
        self.strategy
            .refund(&mut lock(&self.state), taken_at, now, cost);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::rate_limiter::RateLimiter;

    fn config(algorithm: RateLimitAlgorithm, limit: u32) -> RateLimitConfig {
        RateLimitConfig::try_new(algorithm, limit, Duration::from_nanos(1_000), None).unwrap()
    }

    fn algorithms() -> impl Strategy<Value = RateLimitAlgorithm> {
        prop_oneof![
            Just(RateLimitAlgorithm::TokenBucket),
            Just(RateLimitAlgorithm::SlidingWindow),
            Just(RateLimitAlgorithm::FixedWindow),
        ]
    }

    proptest! {
        #[test]
        fn one_caller_is_counted_as_among_many(
            algorithm in algorithms(),
            limit in prop_oneof![1_u32..20, LOG_LIMIT_MAX..LOG_LIMIT_MAX + 2],
            // How much later, how much, and whether it is given back.
            steps in prop::collection::vec((0_u64..700, 0_u32..30, any::<bool>()), 0..60),
        ) {
            let config = config(algorithm, limit);
            let (single, many) = (SingleLimiter::new(config), RateLimiter::<u64>::new(config));
            let mut now = Timestamp::ZERO;
            for (later, cost, is_refunded) in steps {
                now = now.plus(Duration::from_nanos(later));
                let result = single.try_acquire_n(now, cost);
                prop_assert_eq!(result, many.try_acquire_n(7, now, cost));
                if is_refunded && result.is_allowed() {
                    single.refund(now, now, cost);
                    many.refund(7, now, now, cost);
                }
            }
        }
    }

    #[test]
    fn the_limit_can_be_seen() {
        let limiter = SingleLimiter::new(config(RateLimitAlgorithm::TokenBucket, 7));
        assert_eq!(limiter.config().limit(), 7);
        assert!(format!("{limiter:?}").contains("limit: 7"));
    }
}
