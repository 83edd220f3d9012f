use std::time::Duration;

use super::*;
use crate::rate_limiter::RateLimitAlgorithm;

fn window(limit: u32, period_nanos: u64) -> FixedWindow {
    let period = Duration::from_nanos(period_nanos);
    let algorithm = RateLimitAlgorithm::FixedWindow;
    FixedWindow::new(&RateLimitConfig::try_new(algorithm, limit, period, None).unwrap())
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
fn a_window_opens_with_the_first_request_and_lasts_a_period() {
    let window = window(3, 100);
    let mut state = FixedWindowState::default();
    for (nanos, cost, expected) in [
        (40, 1, allowed(2, 100)),
        (90, 2, allowed(0, 50)),
        (139, 1, limited(0, 1)),
        (140, 2, allowed(1, 100)),
        (200, 2, limited(1, 40)),
        (200, 1, allowed(0, 40)),
        // The next opens with the next request, not where it would have been.
        (295, 1, allowed(2, 100)),
        (394, 3, limited(2, 1)),
        (395, 3, allowed(0, 100)),
    ] {
        let now = Timestamp::from_nanos(nanos);
        assert_eq!(
            window.acquire(&mut state, now, cost),
            expected,
            "at {nanos}"
        );
    }
}

#[test]
fn units_of_a_window_that_is_closed_are_not_given_back_to_the_next() {
    let window = window(2, 100);
    let at = Timestamp::from_nanos;
    let mut state = FixedWindowState::default();
    window.acquire(&mut state, at(0), 1);
    window.acquire(&mut state, at(100), 2);
    window.refund(&mut state, at(0), at(110), 1);
    assert_eq!(window.peek(&state, at(110), 1), limited(0, 90));
    window.refund(&mut state, at(100), at(110), 1);
    assert_eq!(window.peek(&state, at(110), 1), allowed(0, 90));
}
