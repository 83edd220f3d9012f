//! Times decisions of the limiter, in turns with those of the crate `governor`.
//!
//! Each row is measured in rounds; within a round the competitors take turns, so that what slows the machine slows all of
//! them, and the ratio is the median of the rounds' ratios. Run with `cargo bench -p embedder-reliability --bench
//! rate_limiter`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and prints"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use embedder_reliability::rate_limiter::{
    AddressLimiter, FixedWindow, FixedWindowState, RateLimitAlgorithm, RateLimitConfig,
    RateLimitStrategy, RateLimiter, SlidingCounter, SlidingCounterState, SlidingLog,
    SlidingLogState, TokenBucket, TokenBucketState,
};
use embedder_reliability::{Random, Timestamp};
use governor::Quota;
use governor::clock::{Clock, MonotonicClock, QuantaClock, Reference};

const ROUNDS: usize = 21;
const DECISIONS: u64 = 200_000;
const KEYS: u64 = 100_000;

/// What is timed: decisions, each given its number.
struct Contestant<'a> {
    name: &'a str,
    decide_all: Box<dyn FnMut(Range<u64>) + 'a>,
}

impl<'a> Contestant<'a> {
    /// The loop is inside the box, so that calls of a decision can be inlined.
    fn new<T>(name: &'a str, mut decide: impl FnMut(u64) -> T + 'a) -> Contestant<'a> {
        let decide_all = Box::new(move |numbers: Range<u64>| {
            for number in numbers {
                black_box(decide(number));
            }
        });
        Contestant { name, decide_all }
    }
}

fn main() {
    ten_million_keys();
    // Twenty a second are refused nearly always, a billion never.
    let (scarce, plenty) = (20, 1_000_000_000);
    println!(
        "median of {ROUNDS} rounds of {DECISIONS} decisions; ratio to the first row of a table\n"
    );
    one_key("one key, allowed", plenty);
    one_key("one key, refused", scarce);
    many_keys("100,000 keys in random order, allowed", plenty);
    without_key("without a key, allowed", plenty);
    without_key("without a key, refused", scarce);
    other_windows();
    addresses();
    newcomers();
}

fn config(algorithm: RateLimitAlgorithm, limit: u32) -> RateLimitConfig {
    RateLimitConfig::try_new(algorithm, limit, Duration::from_secs(1), None).unwrap()
}

fn token_bucket(limit: u32) -> RateLimitConfig {
    config(RateLimitAlgorithm::TokenBucket, limit)
}

fn quota(limit: u32) -> Quota {
    Quota::per_second(NonZeroU32::new(limit).unwrap())
}

/// The clock of the standard library.
fn clock() -> impl Fn() -> Timestamp {
    let origin = Instant::now();
    move || Timestamp::after_origin(origin.elapsed())
}

/// The clock that governor reads, which asks the processor and not the system.
fn governors_clock() -> impl Fn() -> Timestamp {
    let clock = QuantaClock::default();
    let origin = clock.now();
    move || Timestamp::from_nanos(clock.now().duration_since(origin).as_u64())
}

/// A moment that the caller has read already: one request later each time.
fn told(number: u64) -> Timestamp {
    Timestamp::from_nanos(1_000_000_000 + number * 100)
}

fn one_key(title: &str, limit: u32) {
    let governor = governor::RateLimiter::dashmap(quota(limit));
    let by_std = governor::RateLimiter::dashmap_with_clock(quota(limit), MonotonicClock);
    let ours = [(); 3].map(|()| RateLimiter::new(token_bucket(limit)));
    let (std_now, quanta_now) = (clock(), governors_clock());
    race(
        title,
        vec![
            Contestant::new("governor", |_| governor.check_key(&7_u64).is_ok()),
            Contestant::new("governor, clock of std", |_| {
                by_std.check_key(&7_u64).is_ok()
            }),
            Contestant::new("ours, timestamp passed", |number| {
                ours[0].try_acquire(7_u64, told(number))
            }),
            Contestant::new("ours, governor's clock", |_| {
                ours[1].try_acquire(7_u64, quanta_now())
            }),
            Contestant::new("ours, clock of std", |_| {
                ours[2].try_acquire(7_u64, std_now())
            }),
        ],
    );
}

fn many_keys(title: &str, limit: u32) {
    let governor = governor::RateLimiter::dashmap(quota(limit));
    let by_std = governor::RateLimiter::dashmap_with_clock(quota(limit), MonotonicClock);
    let ours = [(); 3].map(|()| RateLimiter::new(token_bucket(limit)));
    let (std_now, quanta_now) = (clock(), governors_clock());
    // All keys are there, and stay: none is idle while others enter.
    for key in 0..KEYS {
        _ = governor.check_key(&key);
        _ = by_std.check_key(&key);
        for ours in &ours {
            ours.try_acquire(key, told(0));
        }
    }
    let key = |number| Random::from_seed(number).next_u64() % KEYS;
    race(
        title,
        vec![
            Contestant::new("governor", |number| {
                governor.check_key(&key(number)).is_ok()
            }),
            Contestant::new("governor, clock of std", |number| {
                by_std.check_key(&key(number)).is_ok()
            }),
            Contestant::new("ours, timestamp passed", |number| {
                ours[0].try_acquire(key(number), told(number))
            }),
            Contestant::new("ours, governor's clock", |number| {
                ours[1].try_acquire(key(number), quanta_now())
            }),
            Contestant::new("ours, clock of std", |number| {
                ours[2].try_acquire(key(number), std_now())
            }),
        ],
    );
}

fn without_key(title: &str, limit: u32) {
    let governor = governor::RateLimiter::direct(quota(limit));
    let by_std = governor::RateLimiter::direct_with_clock(quota(limit), MonotonicClock);
    let strategy = TokenBucket::new(&token_bucket(limit));
    let mut own = TokenBucketState::default();
    let shared = [(); 3].map(|()| Mutex::<TokenBucketState>::default());
    let (std_now, quanta_now) = (clock(), governors_clock());
    let locked = |number: usize, now| {
        let mut state = shared[number].lock().unwrap();
        strategy.acquire(&mut state, now, 1)
    };
    race(
        title,
        vec![
            Contestant::new("governor", |_| governor.check().is_ok()),
            Contestant::new("governor, clock of std", |_| by_std.check().is_ok()),
            Contestant::new("ours without a lock, timestamp passed", |number| {
                strategy.acquire(&mut own, told(number), 1)
            }),
            Contestant::new("ours, timestamp passed", |number| locked(0, told(number))),
            Contestant::new("ours, governor's clock", |_| locked(1, quanta_now())),
            Contestant::new("ours, clock of std", |_| locked(2, std_now())),
        ],
    );
}

fn other_windows() {
    let fixed = FixedWindow::new(&config(RateLimitAlgorithm::FixedWindow, 1_000_000));
    let counter = SlidingCounter::new(&config(RateLimitAlgorithm::SlidingWindow, 10_000));
    let log = SlidingLog::new(&config(RateLimitAlgorithm::SlidingWindow, 256));
    let mut of_fixed = FixedWindowState::default();
    let mut of_counter = SlidingCounterState::default();
    let mut of_log = SlidingLogState::default();
    race(
        "other ways of counting, without a key",
        vec![
            Contestant::new("fixed window of 1,000,000", |number| {
                fixed.acquire(&mut of_fixed, told(number), 1)
            }),
            Contestant::new("sliding counter of 10,000", |number| {
                counter.acquire(&mut of_counter, told(number), 1)
            }),
            Contestant::new("sliding log of 256", |number| {
                log.acquire(&mut of_log, told(number), 1)
            }),
        ],
    );
}

fn addresses() {
    let limiter = AddressLimiter::new(token_bucket(100_000_000));
    let v4 = "192.0.2.1".parse().unwrap();
    let v6 = "2001:db8::1".parse().unwrap();
    race(
        "one address",
        vec![
            Contestant::new("IPv4", |number| limiter.try_acquire_n(v4, told(number), 1)),
            Contestant::new("IPv6, with its site", |number| {
                limiter.try_acquire_n(v6, told(number), 1)
            }),
        ],
    );
}

/// What a flood of keys costs that nobody saw before.
fn newcomers() {
    let hourly = |limit| {
        let period = Duration::from_secs(3_600);
        RateLimitConfig::try_new(RateLimitAlgorithm::TokenBucket, limit, period, None).unwrap()
    };
    let (idle, active) = (
        RateLimiter::new(token_bucket(1_000)),
        RateLimiter::new(hourly(1_000)),
    );
    for key in 0..2 * KEYS {
        idle.try_acquire(key, told(0));
        active.try_acquire(key, told(0));
    }
    race(
        "a new key each time, the table full",
        vec![
            Contestant::new("an idle key gives way", |number| {
                idle.try_acquire(2 * KEYS + number, told(10_000_000 + number))
            }),
            Contestant::new("none is idle: a shared bucket decides", |number| {
                active.try_acquire(2 * KEYS + number, told(number))
            }),
        ],
    );
}

/// What a limiter holds after ten million keys within ten seconds, and how an honest key fares that keeps to its limit
/// meanwhile. First, so that nothing has been freed that it could take.
fn ten_million_keys() {
    const FLOOD: u64 = 10_000_000;
    let before = resident_kib();
    let limiter = RateLimiter::new(token_bucket(20));
    let (mut asked, mut served) = (0, 0);
    for number in 0..FLOOD {
        let now = Timestamp::from_nanos(number * 1_000);
        limiter.try_acquire(number, now);
        if number.is_multiple_of(100_000) {
            asked += 1;
            served += u64::from(limiter.try_acquire(u64::MAX, now).is_allowed());
        }
    }
    let (kept, grown) = (limiter.stats().keys, resident_kib() - before);
    println!("{FLOOD} keys: {kept} kept, {grown} KiB more; {served} of {asked} honest served\n");
}

/// As Linux tells it; 0 elsewhere.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    kib.map_or(0, |kib| kib.parse().unwrap())
}

/// Times the contestants in turns and prints a row for each.
fn race(title: &str, mut contestants: Vec<Contestant<'_>>) {
    let mut times = vec![Vec::with_capacity(ROUNDS); contestants.len()];
    // One round to warm up.
    for round in 0..=ROUNDS as u64 {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            let started = Instant::now();
            (contestant.decide_all)(round * DECISIONS..(round + 1) * DECISIONS);
            if round > 0 {
                times.push(started.elapsed().as_nanos() as f64 / DECISIONS as f64);
            }
        }
    }
    println!("{title}");
    for (contestant, own) in contestants.iter().zip(&times) {
        let ratios = own.iter().zip(&times[0]).map(|(own, first)| own / first);
        println!(
            "  {:<42} {:>7.1} ns {:>6.2}x",
            contestant.name,
            median(own.iter().copied()),
            median(ratios)
        );
    }
    println!();
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
