use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Random;
use crate::rate_limiter::RateLimitAlgorithm;

fn counter(limit: u32, period_nanos: u64) -> SlidingCounter {
    let period = Duration::from_nanos(period_nanos);
    let algorithm = RateLimitAlgorithm::SlidingWindow;
    SlidingCounter::new(&RateLimitConfig::try_new(algorithm, limit, period, None).unwrap())
}

fn allowed(remaining: u32, reset_nanos: u64) -> RateLimitResult {
    RateLimitResult::Allowed {
        remaining,
        reset_after: Duration::from_nanos(reset_nanos),
    }
}

fn limited(remaining: u32, retry_nanos: u64) -> RateLimitResult {
    RateLimitResult::Limited {
        retry_after: Duration::from_nanos(retry_nanos),
        remaining,
    }
}

#[test]
fn the_period_before_counts_for_as_much_as_is_covered() {
    let counter = counter(10, 100);
    let mut state = SlidingCounterState::default();
    for (nanos, cost, expected) in [
        (50, 8, allowed(2, 200)),
        // Eight are still there in full at 150, and at 163 are 6.96.
        (140, 3, limited(2, 23)),
        (150, 2, allowed(0, 200)),
        (150, 1, limited(0, 13)),
        (174, 2, limited(1, 1)),
        (175, 2, allowed(0, 175)),
        (249, 5, allowed(0, 101)),
        // Nine were taken in the period that has just ended.
        (250, 2, limited(1, 12)),
        (262, 2, allowed(0, 188)),
        (449, 9, allowed(0, 101)),
    ] {
        let now = Timestamp::from_nanos(nanos);
        assert_eq!(
            counter.acquire(&mut state, now, cost),
            expected,
            "at {nanos}"
        );
    }
}

#[test]
fn units_are_given_back_to_the_period_they_were_taken_in() {
    let counter = counter(10, 100);
    let at = Timestamp::from_nanos;
    let mut state = SlidingCounterState::default();
    counter.acquire(&mut state, at(0), 8);
    counter.acquire(&mut state, at(150), 5);
    counter.refund(&mut state, at(0), at(150), 2);
    assert_eq!((state.before, state.taken), (6, 5));
    counter.refund(&mut state, at(150), at(150), 2);
    assert_eq!((state.before, state.taken), (6, 3));
    // What no longer counts is not given back.
    counter.acquire(&mut state, at(250), 1);
    counter.refund(&mut state, at(0), at(250), 2);
    assert_eq!((state.before, state.taken), (3, 1));
}

#[test]
fn periods_follow_each_other_while_a_key_is_active() {
    let counter = counter(1_000, 100);
    let mut state = SlidingCounterState::default();
    for nanos in (7..).step_by(13).take(1_000) {
        counter.acquire(&mut state, Timestamp::from_nanos(nanos), 1);
        assert_eq!(state.begun_at, 7 + (nanos - 7) / 100 * 100);
    }
}

#[test]
fn at_a_boundary_nobody_gets_more_than_twice_the_limit() {
    // All of one period at its very end, then whatever is admitted: the worst there is.
    let counter = counter(1_000, 1_000_000);
    let mut state = SlidingCounterState::default();
    counter.acquire(&mut state, Timestamp::ZERO, 1);
    let burst = counter.acquire(&mut state, Timestamp::from_nanos(999_999), 999);
    assert!(burst.is_allowed());
    let mut after = 0;
    for nanos in 1_000_000..1_999_999 {
        let now = Timestamp::from_nanos(nanos);
        after += u32::from(counter.acquire(&mut state, now, 1).is_allowed());
    }
    assert!(
        after > 990,
        "the bound is as bad as its documentation says: {after}"
    );
    assert!(after + 999 <= 2 * 1_000);
}

/// Units in the period before a moment, as they were.
fn counted(taken: &[(u64, u32)], now: u64, period: u64) -> u32 {
    taken
        .iter()
        .rev()
        .take_while(|(at, _)| at + period > now)
        .map(|(_, cost)| cost)
        .sum()
}

#[test]
fn in_natural_traffic_it_is_within_six_per_cent() {
    let (limit, period) = (1_000, 1_000_000_000);
    // Arrivals as of many independent clients, from half the limit to twice as many.
    for load in [0.5, 0.9, 1.0, 1.1, 2.0] {
        let counter = counter(limit, period);
        let mut state = SlidingCounterState::default();
        let mut random = Random::from_seed(11);
        let (mut now, mut taken, mut error, mut requests) = (0.0, Vec::new(), 0.0, 0);
        while requests < 20_000 {
            now -= (1.0 - random.unit()).ln() * period as f64 / (f64::from(limit) * load);
            let at = now as u64;
            let advanced = counter.advanced(&state, Timestamp::from_nanos(at));
            let estimate = counter.counted(&advanced, Timestamp::from_nanos(at));
            let estimate = estimate as f64 / period as f64;
            error += (estimate - f64::from(counted(&taken, at, period))).abs();
            requests += 1;
            if counter
                .acquire(&mut state, Timestamp::from_nanos(at), 1)
                .is_allowed()
            {
                taken.push((at, 1));
            }
        }
        let error = error / f64::from(requests) / f64::from(limit);
        assert!(error < 0.06, "{error} at {load}");
        // Nor is the limit missed by more than that over time.
        let rate = taken.len() as f64 / (now / period as f64);
        let expected = f64::from(limit) * load.min(1.0);
        assert!((rate / expected - 1.0).abs() < 0.06, "{rate} at {load}");
    }
}

proptest! {
    #[test]
    fn no_interval_as_long_as_a_period_sees_more_than_twice_the_limit(
        limit in 1_u32..20,
        period in 1_u64..200,
        requests in prop::collection::vec((0_u64..60, 1_u32..9), 1..200),
    ) {
        let counter = counter(limit, period);
        let mut state = SlidingCounterState::default();
        let (mut now, mut taken) = (0, Vec::new());
        for (gap, cost) in requests {
            now += gap;
            if counter.acquire(&mut state, Timestamp::from_nanos(now), cost).is_allowed() {
                taken.push((now, cost));
                prop_assert!(counted(&taken, now, period) <= 2 * limit);
            }
        }
    }

    #[test]
    fn fractions_are_compared_exactly(
        limit in 1_u32..1_000,
        period in 1_u64..1_000_000,
        (before, taken) in (0_u32..1_000, 0_u32..1_000),
        elapsed in 0.0_f64..1.0,
        cost in 1_u32..1_000,
    ) {
        let (before, taken) = (before.min(limit), taken.min(limit));
        prop_assume!(before + taken > 0);
        let counter = counter(limit, period);
        let elapsed = (period as f64 * elapsed) as u64;
        let mut state = SlidingCounterState { begun_at: 5, before, taken };
        let result = counter.acquire(&mut state, Timestamp::from_nanos(5 + elapsed), cost);
        // before·(period - elapsed)/period + taken + cost <= limit, with the denominator on the other side.
        let covered = u64::from(before) * (period - elapsed);
        let sum = covered + u64::from(taken) * period + u64::from(cost) * period;
        prop_assert_eq!(result.is_allowed(), sum <= u64::from(limit) * period);
    }
}
