use std::num::NonZeroU32;

use governor::clock::{Clock, FakeRelativeClock};
use governor::{InsufficientCapacity, Quota, RateLimiter};
use proptest::prelude::*;

use super::*;
use crate::rate_limiter::RateLimitAlgorithm;

const YEAR: u64 = 366 * 86_400 * 1_000_000_000;

fn bucket(limit: u32, period: Duration, burst: u32) -> TokenBucket {
    let algorithm = RateLimitAlgorithm::TokenBucket;
    let config = RateLimitConfig::try_new(algorithm, limit, period, Some(burst)).unwrap();
    TokenBucket::new(&config)
}

fn allowed(remaining: u32, reset_nanos: u64) -> RateLimitResult {
    RateLimitResult::Allowed {
        remaining,
        reset_after: Duration::from_nanos(reset_nanos),
    }
}

fn limited(retry_nanos: u64) -> RateLimitResult {
    RateLimitResult::Limited {
        retry_after: Duration::from_nanos(retry_nanos),
        remaining: 0,
    }
}

#[test]
fn tokens_flow_in_evenly_and_never_past_the_burst() {
    // Three a second do not divide a second: a token takes 333,333,333 and a third nanoseconds.
    let bucket = bucket(3, Duration::from_secs(1), 2);
    let mut state = TokenBucketState::default();
    for (nanos, expected) in [
        (0, allowed(1, 333_333_334)),
        (0, allowed(0, 666_666_667)),
        (0, limited(333_333_334)),
        (333_333_333, limited(1)),
        (333_333_334, allowed(0, 666_666_666)),
        (666_666_666, limited(1)),
        (666_666_667, allowed(0, 666_666_667)),
        (1_000_000_000, allowed(0, 666_666_667)),
        (3_600_000_000_000, allowed(1, 333_333_334)),
    ] {
        let now = Timestamp::from_nanos(nanos);
        assert_eq!(bucket.acquire(&mut state, now, 1), expected, "at {nanos}");
    }
}

#[test]
fn what_was_credited_in_seconds_is_not_lost_in_fractions() {
    // Polled each 1.9 seconds at one a second: all of the rate is used, where counting whole seconds gives 53 %.
    let bucket = bucket(1, Duration::from_secs(1), 3);
    let mut state = TokenBucketState::default();
    let mut admitted = 0;
    for poll in 0..1_000 {
        let now = Timestamp::from_nanos(poll * 1_900_000_000);
        for _ in 0..3 {
            admitted += u32::from(bucket.acquire(&mut state, now, 1).is_allowed());
        }
    }
    assert_eq!(admitted, 3 + 1_898);
}

#[test]
fn units_given_back_late_are_given_back_but_once() {
    let bucket = bucket(1, Duration::from_secs(1), 2);
    let at = |millis: u64| Timestamp::from_nanos(millis * 1_000_000);
    let mut state = TokenBucketState::default();
    bucket.acquire(&mut state, at(0), 1);
    bucket.acquire(&mut state, at(900), 1);
    // Nine tenths of the first have flowed in already.
    bucket.refund(&mut state, at(0), at(900), 1);
    assert_eq!(bucket.idle_at(&state), at(1_900));
    // And all of the second.
    bucket.refund(&mut state, at(900), at(60_000), 1);
    assert!(bucket.acquire(&mut state, at(60_000), 2).is_allowed());
    assert!(!bucket.acquire(&mut state, at(60_000), 1).is_allowed());
}

/// The bucket as tokens that can be had, in fractions of a token with the period for denominator.
struct Tokens {
    limit: u128,
    period: u128,
    burst: u128,
    there: u128,
    now: u64,
}

impl Tokens {
    fn new(limit: u32, period: u64, burst: u32, now: u64) -> Tokens {
        let (period, burst) = (u128::from(period), u128::from(burst));
        Tokens {
            limit: limit.into(),
            period,
            burst,
            there: burst * period,
            now,
        }
    }

    fn acquire(&mut self, now: u64, cost: u32) -> RateLimitResult {
        let flowed = u128::from(now - self.now) * self.limit;
        self.there = (self.there + flowed).min(self.burst * self.period);
        self.now = now;
        let cost = u128::from(cost) * self.period;
        if let Some(rest) = self.there.checked_sub(cost) {
            self.there = rest;
            RateLimitResult::Allowed {
                remaining: (rest / self.period) as u32,
                reset_after: self.flow(self.burst * self.period - rest),
            }
        } else {
            RateLimitResult::Limited {
                retry_after: self.flow(cost - self.there),
                remaining: (self.there / self.period) as u32,
            }
        }
    }

    fn flow(&self, tokens: u128) -> Duration {
        let nanos = tokens.div_ceil(self.limit);
        Duration::from_nanos(u64::try_from(nanos).unwrap())
    }
}

/// Numbers of all sizes, most of them small.
fn sizes() -> impl Strategy<Value = u32> {
    prop_oneof![1_u32..10, 1_u32..1_000, 1_u32..=u32::MAX]
}

fn periods() -> impl Strategy<Value = u64> {
    prop_oneof![1_u64..1_000, 1_u64..=3_600_000_000_000, 1_u64..=YEAR]
}

/// The intervals that end now, with a request of this cost, and begin with one of those before: their lengths and units.
fn intervals_to(used: &[(u64, u32)], now: u64, cost: u32) -> impl Iterator<Item = (u64, u32)> + '_ {
    let mut units = cost;
    let before = used.iter().rev().map(move |&(at, cost)| {
        units += cost;
        (now - at, units)
    });
    std::iter::once((0, cost)).chain(before)
}

/// Whether an interval of this length may see so many units: the burst, and what flows in.
fn fits(bucket: &TokenBucket, length: u64, units: u32) -> bool {
    u64::from(units) * bucket.token
        <= u64::from(bucket.burst) * bucket.token + length * bucket.limit
}

proptest! {
    #[test]
    fn it_agrees_with_fractions_of_tokens_at_any_time_of_ten_years(
        (limit, period, burst) in (sizes(), periods(), sizes()),
        start in 0..10 * YEAR,
        requests in prop::collection::vec((0.0_f64..3.0, 0.0_f64..1.0), 1..100),
    ) {
        // As much as comes back in a century.
        let burst = u128::from(burst).min(u128::from(100 * YEAR) * u128::from(limit) / u128::from(period));
        let burst = burst as u32;
        let bucket = bucket(limit, Duration::from_nanos(period), burst);
        let mut tokens = Tokens::new(limit, period, burst, start);
        let mut state = TokenBucketState::default();
        let mut now = start;
        for (gap, cost) in requests {
            let cost = ((f64::from(burst) * cost * cost) as u32).clamp(1, burst);
            // Gaps are about as long as what was asked for takes to flow in.
            let flow = f64::from(cost) * period as f64 / f64::from(limit);
            now += (gap * flow).min(YEAR as f64) as u64;
            let result = bucket.acquire(&mut state, Timestamp::from_nanos(now), cost);
            prop_assert_eq!(result, tokens.acquire(now, cost));
        }
    }

    #[test]
    fn a_request_is_refused_exactly_if_some_interval_would_see_too_much(
        (limit, period, burst) in (1_u32..9, 1_u64..50, 1_u32..9),
        requests in prop::collection::vec((0_u64..20, 1_u32..4), 1..80),
    ) {
        let bucket = bucket(limit, Duration::from_nanos(period), burst);
        let mut state = TokenBucketState::default();
        let (mut now, mut used) = (0, Vec::new());
        for (gap, cost) in requests {
            now += gap;
            let fits = intervals_to(&used, now, cost)
                .all(|(length, units)| fits(&bucket, length, units));
            let result = bucket.acquire(&mut state, Timestamp::from_nanos(now), cost);
            prop_assert_eq!(result.is_allowed(), fits);
            if fits {
                used.push((now, cost));
            }
        }
    }

    #[test]
    fn no_interval_sees_more_with_late_threads_and_units_given_back(
        (limit, period, burst) in (1_u32..9, 1_u64..50, 1_u32..9),
        requests in prop::collection::vec(
            (0_u64..20, 0_u64..30, 1_u32..4, prop::option::of(0_usize..4)),
            1..80,
        ),
    ) {
        let bucket = bucket(limit, Duration::from_nanos(period), burst);
        let mut state = TokenBucketState::default();
        let (mut clock, mut used, mut pending) = (100, Vec::new(), Vec::new());
        for (number, (gap, late, cost, given_back_after)) in requests.into_iter().enumerate() {
            // Some give back what they took, up to three requests later.
            pending.retain(|&(due, taken_at, cost)| {
                if due <= number {
                    bucket.refund(&mut state, taken_at, Timestamp::from_nanos(clock), cost);
                }
                due > number
            });
            // Threads that read the clock up to 30 ns ago.
            let taken_at = Timestamp::from_nanos(clock - late);
            if bucket.acquire(&mut state, taken_at, cost).is_allowed() {
                match given_back_after {
                    Some(requests) => pending.push((number + requests, taken_at, cost)),
                    None => used.push((clock - late, cost)),
                }
            }
            clock += gap;
        }
        // Who was to give back later did use what it has.
        used.extend(pending.iter().map(|(_, taken_at, cost)| (taken_at.as_nanos(), *cost)));
        used.sort_unstable();
        for end in 0..used.len() {
            let (to, cost) = used[end];
            for (length, units) in intervals_to(&used[..end], to, cost) {
                prop_assert!(fits(&bucket, length, units), "{units} in {length} ns up to {to}");
            }
        }
    }

    #[test]
    fn who_waits_as_long_as_a_token_takes_is_never_refused(
        (limit, period) in (sizes(), periods()),
        start in 0..10 * YEAR,
        delays in prop::collection::vec(0_u64..3, 1..100),
    ) {
        let bucket = bucket(limit, Duration::from_nanos(period), 1);
        let mut state = TokenBucketState::default();
        let mut now = start;
        for delay in delays {
            prop_assert!(bucket.acquire(&mut state, Timestamp::from_nanos(now), 1).is_allowed());
            now += period.div_ceil(limit.into()) + delay;
        }
    }

    #[test]
    fn it_agrees_with_governor_where_a_token_takes_whole_nanoseconds(
        limit in 1_u32..1_000,
        token in 1_u64..10_000_000,
        burst in 1_u32..50,
        requests in prop::collection::vec((0_u64..4, 0_u64..10_000_000, 1_u32..60), 1..100),
    ) {
        let bucket = bucket(limit, Duration::from_nanos(token * u64::from(limit)), burst);
        let mut state = TokenBucketState::default();
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_period(Duration::from_nanos(token)).unwrap();
        let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap());
        let governor = RateLimiter::direct_with_clock(quota, clock.clone());
        let mut now = Timestamp::ZERO;
        for (tokens, fraction, cost) in requests {
            let gap = Duration::from_nanos(tokens * token + fraction % token);
            clock.advance(gap);
            now = now.plus(gap);
            let result = bucket.acquire(&mut state, now, cost);
            match governor.check_n(NonZeroU32::new(cost).unwrap()) {
                Ok(Ok(())) => prop_assert!(result.is_allowed()),
                Ok(Err(refusal)) => {
                    let wait = refusal.wait_time_from(clock.now());
                    let RateLimitResult::Limited { retry_after, .. } = result else {
                        return Err(TestCaseError::fail(format!("{result:?}")));
                    };
                    prop_assert_eq!(retry_after, wait);
                }
                Err(InsufficientCapacity(max)) => {
                    prop_assert_eq!(result, RateLimitResult::TooLarge { max });
                }
            }
        }
    }
}
