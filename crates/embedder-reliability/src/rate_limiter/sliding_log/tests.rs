use proptest::prelude::*;

use super::*;
use crate::rate_limiter::{LOG_LIMIT_MAX, RateLimitAlgorithm};

fn log(limit: u32, period_nanos: u64) -> SlidingLog {
    let period = Duration::from_nanos(period_nanos);
    let algorithm = RateLimitAlgorithm::SlidingWindow;
    SlidingLog::new(&RateLimitConfig::try_new(algorithm, limit, period, None).unwrap())
}

#[test]
fn a_unit_counts_for_exactly_a_period() {
    let log = log(2, 100);
    let mut state = SlidingLogState::default();
    let mut acquire = |nanos, cost| log.acquire(&mut state, Timestamp::from_nanos(nanos), cost);
    let allowed = |remaining, reset_nanos| RateLimitResult::Allowed {
        remaining,
        reset_after: Duration::from_nanos(reset_nanos),
    };
    let limited = |remaining, retry_nanos| RateLimitResult::Limited {
        retry_after: Duration::from_nanos(retry_nanos),
        remaining,
    };
    assert_eq!(acquire(10, 1), allowed(1, 100));
    assert_eq!(acquire(60, 1), allowed(0, 100));
    assert_eq!(acquire(60, 1), limited(0, 50));
    assert_eq!(acquire(60, 2), limited(0, 100));
    assert_eq!(acquire(109, 1), limited(0, 1));
    assert_eq!(acquire(110, 2), limited(1, 50));
    assert_eq!(acquire(110, 1), allowed(0, 100));
    assert_eq!(acquire(1_000, 2), allowed(0, 100));
}

#[test]
fn only_the_units_that_were_taken_are_given_back() {
    let log = log(3, 100);
    let at = Timestamp::from_nanos;
    let mut state = SlidingLogState::default();
    for nanos in [0, 40, 80] {
        log.acquire(&mut state, at(nanos), 1);
    }
    log.refund(&mut state, at(40), at(90), 1);
    assert_eq!(state.taken, [0, 80]);
    log.refund(&mut state, at(81), at(90), 1);
    assert_eq!(state.taken, [0, 80]);
}

#[test]
fn a_unit_of_a_late_thread_leaves_no_sooner_than_it_should() {
    let log = log(3, 100);
    let at = Timestamp::from_nanos;
    let mut state = SlidingLogState::default();
    for nanos in [50, 40, 60] {
        log.acquire(&mut state, at(nanos), 1);
    }
    assert_eq!(state.taken, [50, 50, 60]);
    assert!(!log.peek(&state, at(149), 1).is_allowed());
    // It is given back by its own time.
    log.refund(&mut state, at(40), at(60), 1);
    assert_eq!(state.taken, [50, 60]);
}

#[test]
fn it_never_holds_more_memory_than_it_says() {
    for limit in [1, 5, 100, LOG_LIMIT_MAX] {
        let log = log(limit, 1_000);
        let mut state = SlidingLogState::default();
        for nanos in 0..10_000 {
            log.acquire(
                &mut state,
                Timestamp::from_nanos(nanos),
                1 + nanos as u32 % limit,
            );
            let bytes = state.taken.capacity() * size_of::<u64>() + ALLOCATION_BYTES;
            assert!(bytes <= log.heap_bytes_max());
        }
        assert!(state.taken.capacity() > 0);
    }
}

proptest! {
    #[test]
    fn a_unit_is_refused_exactly_if_it_would_be_one_too_many(
        limit in 1_u32..20,
        period in 1_u64..200,
        requests in prop::collection::vec((0_u64..60, 1_u32..5), 1..100),
    ) {
        let log = log(limit, period);
        let mut state = SlidingLogState::default();
        let mut taken: Vec<(u64, u32)> = Vec::new();
        // Later than a period, so that the window never begins before the origin.
        let mut now = 1_000;
        for (gap, cost) in requests {
            now += gap;
            let counted: u32 = taken
                .iter()
                .filter(|(at, _)| *at > now - period)
                .map(|(_, cost)| cost)
                .sum();
            let result = log.acquire(&mut state, Timestamp::from_nanos(now), cost);
            prop_assert_eq!(result.is_allowed(), counted + cost <= limit);
            if result.is_allowed() {
                taken.push((now, cost));
            }
        }
    }
}
