//! Limiters under many threads, and under floods of keys.
#![cfg(not(loom))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use embedder_reliability::Timestamp;
use embedder_reliability::rate_limiter::{
    AddressLimiter, KEYS_MAX, RateLimitAlgorithm, RateLimitConfig, RateLimiter,
};

const THREADS: u64 = 8;

/// Distinct keys of a flood. Ten million take seconds in a build with optimisations.
const FLOOD: u64 = if cfg!(debug_assertions) {
    1_000_000
} else {
    10_000_000
};

fn config(algorithm: RateLimitAlgorithm, limit: u32, period: Duration) -> RateLimitConfig {
    RateLimitConfig::try_new(algorithm, limit, period, None).expect("it is a limit")
}

fn token_bucket(limit: u32, period_secs: u64) -> RateLimitConfig {
    let period = Duration::from_secs(period_secs);
    config(RateLimitAlgorithm::TokenBucket, limit, period)
}

/// Runs on eight threads and adds up.
fn on_all_threads(work: impl Fn(u64) -> u64 + Sync) -> u64 {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|number| {
                let work = &work;
                scope.spawn(move || work(number))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no worker panics"))
            .sum()
    })
}

#[test]
fn threads_together_are_admitted_not_one_more_than_the_limit() {
    for algorithm in [
        RateLimitAlgorithm::TokenBucket,
        RateLimitAlgorithm::SlidingWindow,
        RateLimitAlgorithm::FixedWindow,
    ] {
        for limit in [100, 10_000] {
            let limiter = RateLimiter::new(config(algorithm, limit, Duration::from_secs(60)));
            let admitted = on_all_threads(|_| {
                (0..limit)
                    .filter(|_| limiter.try_acquire(1_u64, Timestamp::ZERO).is_allowed())
                    .count() as u64
            });
            assert_eq!(admitted, u64::from(limit), "{algorithm:?}");
        }
    }
}

#[test]
fn while_the_clock_runs_threads_together_are_admitted_the_burst_and_the_rate() {
    // A unit each 1,000 ns; each step of the clock is 10 ns, and there are more requests than units.
    let limiter = RateLimiter::new(config(
        RateLimitAlgorithm::TokenBucket,
        1_000,
        Duration::from_millis(1),
    ));
    let clock = AtomicU64::new(0);
    let admitted = on_all_threads(|_| {
        (0..100_000)
            .filter(|_| {
                let now = Timestamp::from_nanos(clock.fetch_add(10, Ordering::Relaxed));
                limiter.try_acquire(1_u64, now).is_allowed()
            })
            .count() as u64
    });
    let last = clock.load(Ordering::Relaxed) - 10;
    assert_eq!(last, THREADS * 1_000_000 - 10);
    let most = 1_000 + last / 1_000;
    assert!(admitted <= most, "{admitted} of {most}");
    // A thread that is held up between clock and lock can lose a moment, and not more.
    assert!(admitted > most - most / 10, "{admitted} of {most}");
}

#[test]
fn what_threads_give_back_is_admitted_again_and_no_more() {
    let limiter = RateLimiter::new(token_bucket(100, 60));
    let used = on_all_threads(|number| {
        (0..20_000)
            .filter(|round| {
                let allowed = limiter.try_acquire(1_u64, Timestamp::ZERO).is_allowed();
                let is_given_back = (round + number) % 3 > 0;
                if allowed && is_given_back {
                    limiter.refund(1, Timestamp::ZERO, Timestamp::ZERO, 1);
                }
                allowed && !is_given_back
            })
            .count() as u64
    });
    assert_eq!(used, 100);
}

#[test]
fn threads_that_flood_the_table_do_not_reset_an_active_key() {
    let limiter = RateLimiter::new(token_bucket(10, 3_600));
    let honest = u64::MAX;
    assert!(
        limiter
            .try_acquire_n(honest, Timestamp::ZERO, 10)
            .is_allowed()
    );
    let admitted = on_all_threads(|number| {
        let keys = FLOOD / THREADS / 2;
        (0..keys)
            .filter(|key| {
                limiter.try_acquire(number * keys + key, Timestamp::ZERO);
                key % 100 == 0 && limiter.try_acquire(honest, Timestamp::ZERO).is_allowed()
            })
            .count() as u64
    });
    assert_eq!(admitted, 0);
    let stats = limiter.stats();
    assert!(stats.keys <= KEYS_MAX);
    assert_eq!(stats.keys as u64 + stats.overflowed, FLOOD / 2 + 1);
}

/// The n-th host of a flood, each in another network, 65,536 of which are of other sites.
fn flooding(number: u64) -> IpAddr {
    let [.., a, b, c, d] = number.to_be_bytes();
    Ipv6Addr::from([0x20, 0x01, 0x0d, 0xb8, c, d, a, b, 0, 0, 0, 0, 0, 0, 0, 1]).into()
}

#[test]
fn who_keeps_to_the_limit_is_served_during_a_flood_of_addresses() {
    // The default before authentication, and a million new addresses a second.
    let period = Duration::from_secs(1);
    let algorithm = RateLimitAlgorithm::TokenBucket;
    let limit = RateLimitConfig::try_new(algorithm, 20, period, Some(40)).unwrap();
    let limiter = AddressLimiter::new(limit);
    let honest: [IpAddr; 2] = [
        Ipv4Addr::new(192, 0, 2, 1).into(),
        Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, 1).into(),
    ];
    let (mut asked, mut served) = (0, 0);
    for number in 0..FLOOD {
        let now = Timestamp::from_nanos(number * 1_000);
        limiter.try_acquire_n(flooding(number), now, 1);
        // Each of the honest asks ten times a second.
        if number % 100_000 == 50_000 {
            for address in honest {
                asked += 1;
                served += u64::from(limiter.try_acquire_n(address, now, 1).is_allowed());
            }
        }
        assert!(number % 100_000 > 0 || limiter.stats().keys <= 2 * KEYS_MAX);
    }
    assert_eq!(asked, 2 * FLOOD / 100_000);
    assert!(served * 100 >= asked * 99, "{served} of {asked}");
}

#[test]
fn who_is_active_is_served_while_a_flood_keeps_the_table_full() {
    // Five in a minute: each address of the flood is active for twelve seconds, so that there is no room for all.
    let limiter = AddressLimiter::new(token_bucket(5, 60));
    let honest: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    // From here on one each twelve seconds, the rate that is its right.
    assert!(
        limiter
            .try_acquire_n(honest, Timestamp::ZERO, 2)
            .is_allowed()
    );
    let (mut asked, mut served, mut flooded) = (0, 0, 0);
    for number in 0..FLOOD {
        // A minute in all.
        let now = Timestamp::from_nanos(number * (60_000_000_000 / FLOOD));
        flooded += u64::from(limiter.try_acquire_n(flooding(number), now, 1).is_allowed());
        if number % (FLOOD / 5) == FLOOD / 5 - 1 {
            asked += 1;
            served += u64::from(limiter.try_acquire_n(honest, now, 1).is_allowed());
        }
    }
    assert_eq!((asked, served), (5, 5));
    let stats = limiter.stats();
    assert!(
        stats.overflowed > 0 && stats.keys <= 2 * KEYS_MAX,
        "{stats:?}"
    );
    assert!(flooded < FLOOD);
}
