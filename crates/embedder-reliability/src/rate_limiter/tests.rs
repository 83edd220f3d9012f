use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use super::*;

fn limiter(algorithm: RateLimitAlgorithm, limit: u32) -> RateLimiter<u64> {
    let config =
        RateLimitConfig::try_new(algorithm, limit, Duration::from_nanos(1_000), None).unwrap();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    RateLimiter::with_size(config, TableSize::default(), hasher)
}

const ALGORITHMS: [RateLimitAlgorithm; 3] = [
    RateLimitAlgorithm::TokenBucket,
    RateLimitAlgorithm::SlidingWindow,
    RateLimitAlgorithm::FixedWindow,
];

#[test]
fn every_algorithm_counts_each_key_for_itself_from_its_first_request() {
    for algorithm in ALGORITHMS {
        for limit in [1, 10, LOG_LIMIT_MAX, LOG_LIMIT_MAX + 1] {
            let limiter = limiter(algorithm, limit);
            for key in 0..3 {
                let admitted = (0..2 * limit)
                    .filter(|_| limiter.try_acquire(key, Timestamp::ZERO).is_allowed())
                    .count();
                assert_eq!(admitted, limit as usize, "{algorithm:?}");
            }
            assert_eq!(limiter.len(), 3);
        }
    }
}

#[test]
fn an_algorithm_is_the_one_that_was_asked_for() {
    // Half of the limit at 0, half at 600, and what is admitted at 1,000 of a limit of 10 in 1,000.
    for (algorithm, limit, expected) in [
        // The bucket was full at 600, and of the five that were missing then four flowed in.
        (RateLimitAlgorithm::TokenBucket, 10, 9),
        // The first five have left.
        (RateLimitAlgorithm::SlidingWindow, 10, 5),
        // All count still: their period has just ended.
        (RateLimitAlgorithm::SlidingWindow, 1_000, 0),
        // Another window.
        (RateLimitAlgorithm::FixedWindow, 10, 10),
    ] {
        let limiter = limiter(algorithm, limit);
        let half = limit / 2;
        let at = Timestamp::from_nanos;
        assert!(limiter.try_acquire_n(0, at(0), half).is_allowed());
        assert!(limiter.try_acquire_n(0, at(600), half).is_allowed());
        let admitted = (0..limit)
            .filter(|_| limiter.try_acquire(0, at(1_000)).is_allowed())
            .count();
        assert_eq!(admitted, expected, "{algorithm:?} of {limit}");
    }
}

#[test]
fn the_limit_can_be_seen_and_the_keys_cannot() {
    let limiter = limiter(RateLimitAlgorithm::TokenBucket, 7);
    assert!(limiter.is_empty());
    limiter.try_acquire(987_654_321, Timestamp::ZERO);
    assert!(!limiter.is_empty());
    assert_eq!(limiter.config().limit(), 7);
    let shown = format!("{limiter:?}");
    assert!(shown.contains("limit: 7"), "{shown}");
    assert!(!shown.contains("987654321"), "{shown}");
}
