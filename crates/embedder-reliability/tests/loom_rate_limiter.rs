//! Every order in which two threads can take the locks of a limiter:
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p embedder-reliability --test loom_rate_limiter --release`.
#![cfg(loom)]

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use embedder_reliability::Timestamp;
use embedder_reliability::rate_limiter::{
    RateLimitAlgorithm, RateLimitConfig, RateLimiter, TableSize,
};
use loom::sync::Arc;
use loom::thread;

const NOW: Timestamp = Timestamp::ZERO;

/// All keys meet in one shard, and what it has no room for in one bucket.
#[derive(Clone)]
struct Crowded;

impl BuildHasher for Crowded {
    type Hasher = Crowded;

    fn build_hasher(&self) -> Crowded {
        Crowded
    }
}

impl Hasher for Crowded {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

/// Has room for one key.
fn limiter(limit: u32) -> RateLimiter<u64> {
    let algorithm = RateLimitAlgorithm::TokenBucket;
    let config = RateLimitConfig::try_new(algorithm, limit, Duration::from_secs(1), None)
        .expect("it is a limit");
    let size = TableSize {
        keys_max: 1,
        ..TableSize::default()
    };
    RateLimiter::with_size(config, size, Crowded)
}

/// Runs the steps of two threads in every order, and then the check.
fn check(
    limit: u32,
    one: impl Fn(&RateLimiter<u64>) + Send + Sync + Copy + 'static,
    other: impl Fn(&RateLimiter<u64>) + Send + Sync + Copy + 'static,
    then: impl Fn(&RateLimiter<u64>) + Send + Sync + 'static,
) {
    loom::model(move || {
        let limiter = Arc::new(limiter(limit));
        let shared = Arc::clone(&limiter);
        let thread = thread::spawn(move || one(&shared));
        other(&limiter);
        thread.join().expect("no step panics");
        then(&limiter);
    });
}

#[test]
fn two_threads_on_one_key_are_admitted_what_one_would_be() {
    let twice = |limiter: &RateLimiter<u64>| {
        limiter.try_acquire(1, NOW);
        limiter.try_acquire(1, NOW);
    };
    // Four were asked for: of five one is left, wherever the threads met.
    check(5, twice, twice, |limiter| {
        assert!(limiter.try_acquire(1, NOW).is_allowed());
        assert!(!limiter.try_acquire(1, NOW).is_allowed());
    });
    check(3, twice, twice, |limiter| {
        assert!(!limiter.try_acquire(1, NOW).is_allowed());
    });
}

#[test]
fn what_one_thread_gives_back_another_takes_at_most_once() {
    let taken_and_given_back = |limiter: &RateLimiter<u64>| {
        if limiter.try_acquire(1, NOW).is_allowed() {
            limiter.refund(1, NOW, NOW, 1);
        }
    };
    check(1, taken_and_given_back, taken_and_given_back, |limiter| {
        assert!(limiter.try_acquire(1, NOW).is_allowed());
        assert!(!limiter.try_acquire(1, NOW).is_allowed());
    });
}

#[test]
fn of_two_new_keys_that_meet_one_finds_the_place_and_both_count() {
    check(
        1,
        |limiter| assert!(limiter.try_acquire(1, NOW).is_allowed()),
        |limiter| assert!(limiter.try_acquire(2, NOW).is_allowed()),
        |limiter| {
            for key in 1..9 {
                assert!(!limiter.try_acquire(key, NOW).is_allowed());
            }
            let stats = limiter.stats();
            assert_eq!((stats.keys, stats.overflowed), (1, 1 + 7));
        },
    );
}
