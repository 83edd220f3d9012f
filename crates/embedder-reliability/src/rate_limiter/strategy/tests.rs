//! What every way of counting promises.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::rate_limiter::{
    FixedWindow, RateLimitAlgorithm, RateLimitConfig, SlidingCounter, SlidingLog, TokenBucket,
};

/// Requests, each as the time since the one before and a cost.
type History = Vec<(u64, u32)>;

fn configs() -> impl Strategy<Value = RateLimitConfig> {
    // Short periods for what happens at their edges, long ones for the width of numbers.
    let periods = prop_oneof![1_u64..60, 1_u64..=366 * 86_400 * 1_000_000_000];
    (1_u32..20, periods).prop_map(|(limit, period)| {
        let period = Duration::from_nanos(period);
        RateLimitConfig::try_new(RateLimitAlgorithm::TokenBucket, limit, period, None).unwrap()
    })
}

/// A limit and a history that presses against it: gaps up to a period and a half, many of them none.
fn cases() -> impl Strategy<Value = (RateLimitConfig, u64, History)> {
    let starts = prop_oneof![Just(0), 0_u64..10 * 366 * 86_400 * 1_000_000_000];
    (configs(), starts).prop_flat_map(|(config, start)| {
        let period = config.period_nanos();
        let gaps = prop_oneof![Just(0), 0..=period / 4, 0..=period + period / 2];
        let costs = 0..=config.limit() + 1;
        let histories = prop::collection::vec((gaps, costs), 1..60);
        (Just(config), Just(start), histories)
    })
}

/// Plays a history and has every decision checked, with the state before it.
fn replay<R: RateLimitStrategy>(
    strategy: &R,
    start: u64,
    history: &History,
    check: impl Fn(&R, &R::State, Timestamp, u32) -> TestCaseResult,
) -> TestCaseResult {
    let mut state = R::State::default();
    let mut now = Timestamp::from_nanos(start);
    for &(gap, cost) in history {
        now = now.plus(Duration::from_nanos(gap));
        check(strategy, &state, now, cost)?;
        strategy.acquire(&mut state, now, cost);
    }
    Ok(())
}

/// Writes a property of every strategy, given a function of strategy, state, moment and cost.
macro_rules! properties {
    ($($name:ident => $check:path;)*) => {
        proptest! {
            $(
                #[test]
                fn $name((config, start, history) in cases()) {
                    replay(&TokenBucket::new(&config), start, &history, $check)?;
                    replay(&SlidingLog::new(&config), start, &history, $check)?;
                    replay(&SlidingCounter::new(&config), start, &history, $check)?;
                    replay(&FixedWindow::new(&config), start, &history, $check)?;
                }
            )*
        }
    };
}

properties! {
    a_refusal_ends_at_the_nanosecond_it_says => ends_when_it_says;
    a_look_decides_as_a_request_and_changes_nothing => peeks_as_it_acquires;
    a_refusal_changes_nothing => refuses_without_trace;
    what_remains_is_what_could_be_taken => says_what_remains;
    it_is_full_again_when_it_says => is_full_when_it_says;
    an_idle_state_decides_as_a_new_one => forgets_when_idle;
    a_suspended_machine_finds_no_more_than_a_full_bucket => wakes_up_full;
    what_is_given_back_can_be_taken_again => takes_again;
    more_than_was_taken_cannot_be_given_back => stays_below_full;
    a_late_thread_is_not_admitted_more => is_not_better_late;
    what_can_never_be_admitted_is_too_large => refuses_the_impossible;
    no_cost_is_always_admitted => admits_nothing_at_all;
}

proptest! {
    #[test]
    fn no_moment_and_no_cost_panics(
        config in configs(),
        steps in prop::collection::vec((moments(), moments(), any::<u32>(), any::<bool>()), 1..60),
    ) {
        jump(&TokenBucket::new(&config), &steps);
        jump(&SlidingLog::new(&config), &steps);
        jump(&SlidingCounter::new(&config), &steps);
        jump(&FixedWindow::new(&config), &steps);
    }
}

/// Any moment of 584 years, often at their ends.
fn moments() -> impl Strategy<Value = Timestamp> {
    prop_oneof![0_u64..100, any::<u64>(), u64::MAX - 100..=u64::MAX].prop_map(Timestamp::from_nanos)
}

/// Asks at moments without order, and gives back what was never taken.
fn jump<R: RateLimitStrategy>(strategy: &R, steps: &[(Timestamp, Timestamp, u32, bool)]) {
    let mut state = R::State::default();
    for &(now, later, cost, is_small) in steps {
        let cost = if is_small { cost % 20 } else { cost };
        strategy.acquire(&mut state, now, cost);
        strategy.peek(&state, later, cost);
        strategy.refund(&mut state, now, later, cost);
        strategy.is_idle(&state, later);
    }
}

fn ends_when_it_says<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    cost: u32,
) -> TestCaseResult {
    let RateLimitResult::Limited { retry_after, .. } = strategy.peek(state, now, cost) else {
        return Ok(());
    };
    prop_assert!(retry_after > Duration::ZERO);
    let then = now.plus(retry_after);
    prop_assert!(strategy.peek(state, then, cost).is_allowed());
    let just_before = Timestamp::from_nanos(then.as_nanos() - 1);
    prop_assert!(!strategy.peek(state, just_before, cost).is_allowed());
    Ok(())
}

fn peeks_as_it_acquires<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    cost: u32,
) -> TestCaseResult {
    let looked = strategy.peek(state, now, cost);
    prop_assert_eq!(looked, strategy.acquire(&mut state.clone(), now, cost));
    Ok(())
}

fn refuses_without_trace<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    cost: u32,
) -> TestCaseResult {
    let mut after = state.clone();
    if !strategy.acquire(&mut after, now, cost).is_allowed() {
        for cost in 0..=strategy.cost_max() {
            let expected = strategy.peek(state, now, cost);
            prop_assert_eq!(strategy.peek(&after, now, cost), expected);
        }
        prop_assert_eq!(strategy.idle_at(&after), strategy.idle_at(state));
    }
    Ok(())
}

fn says_what_remains<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    cost: u32,
) -> TestCaseResult {
    let mut after = state.clone();
    let remaining = match strategy.acquire(&mut after, now, cost) {
        RateLimitResult::Allowed { remaining, .. } => remaining,
        RateLimitResult::Limited { remaining, .. } => {
            prop_assert!(remaining < cost);
            remaining
        }
        RateLimitResult::TooLarge { .. } => return Ok(()),
    };
    prop_assert!(strategy.peek(&after, now, remaining).is_allowed());
    prop_assert!(!strategy.peek(&after, now, remaining + 1).is_allowed());
    Ok(())
}

fn is_full_when_it_says<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    cost: u32,
) -> TestCaseResult {
    let mut after = state.clone();
    if let RateLimitResult::Allowed { reset_after, .. } = strategy.acquire(&mut after, now, cost) {
        let all = strategy.cost_max();
        prop_assert!(
            strategy
                .peek(&after, now.plus(reset_after), all)
                .is_allowed()
        );
        prop_assert_eq!(reset_after, now.until(strategy.idle_at(&after)));
    }
    Ok(())
}

fn forgets_when_idle<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    _: u32,
) -> TestCaseResult {
    let idle_at = strategy.idle_at(state);
    prop_assert!(strategy.is_idle(state, idle_at));
    prop_assert_eq!(strategy.is_idle(state, now), now >= idle_at);
    if now < idle_at {
        let just_before = Timestamp::from_nanos(idle_at.as_nanos() - 1);
        prop_assert!(!strategy.is_idle(state, just_before));
        let all = strategy.cost_max();
        prop_assert!(!strategy.peek(state, just_before, all).is_allowed());
        return Ok(());
    }
    // From here on both are asked the same, close together and far apart.
    let (mut old, mut new) = (state.clone(), R::State::default());
    let mut now = now;
    for (round, gap) in [0, 1, 7, 40, 1 << 50]
        .into_iter()
        .cycle()
        .take(20)
        .enumerate()
    {
        now = now.plus(Duration::from_nanos(gap));
        let cost = round as u32 % (strategy.cost_max() + 1);
        let expected = strategy.acquire(&mut new, now, cost);
        prop_assert_eq!(strategy.acquire(&mut old, now, cost), expected);
    }
    Ok(())
}

fn wakes_up_full<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    _: u32,
) -> TestCaseResult {
    let (mut state, all) = (state.clone(), strategy.cost_max());
    let later = now.plus(Duration::from_secs(20 * 366 * 86_400));
    let mut admitted = 0;
    for _ in 0..=all {
        admitted += u32::from(strategy.acquire(&mut state, later, 1).is_allowed());
    }
    prop_assert_eq!(admitted, all);
    Ok(())
}

fn takes_again<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    cost: u32,
) -> TestCaseResult {
    let mut after = state.clone();
    if strategy.acquire(&mut after, now, cost).is_allowed() {
        strategy.refund(&mut after, now, now, cost);
        for cost in 0..=strategy.cost_max() {
            let (before, after) = (
                strategy.peek(state, now, cost),
                strategy.peek(&after, now, cost),
            );
            prop_assert_eq!(before.is_allowed(), after.is_allowed());
        }
    }
    Ok(())
}

fn stays_below_full<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    cost: u32,
) -> TestCaseResult {
    let (mut state, all) = (state.clone(), strategy.cost_max());
    strategy.acquire(&mut state, now, cost);
    for taken_at in [Timestamp::ZERO, now] {
        strategy.refund(&mut state, taken_at, now, u32::MAX);
    }
    let mut admitted = 0;
    for _ in 0..=all {
        admitted += u32::from(strategy.acquire(&mut state, now, 1).is_allowed());
    }
    prop_assert!(admitted <= all);
    Ok(())
}

fn is_not_better_late<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    cost: u32,
) -> TestCaseResult {
    // Somebody read the clock earlier, by so much, and comes now.
    for late in [1, 7, 1 << 30, 1 << 60] {
        let then = Timestamp::from_nanos(now.as_nanos().saturating_sub(late));
        let mut state = state.clone();
        strategy.acquire(&mut state, now, cost);
        let in_order = strategy.peek(&state, now, 1);
        let late = strategy.acquire(&mut state, then, 1);
        prop_assert!(!late.is_allowed() || in_order.is_allowed());
        if let RateLimitResult::Limited { retry_after, .. } = late {
            prop_assert!(
                strategy
                    .peek(&state, then.plus(retry_after), 1)
                    .is_allowed()
            );
        }
    }
    Ok(())
}

fn refuses_the_impossible<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    _: u32,
) -> TestCaseResult {
    let max = strategy.cost_max();
    for cost in [max + 1, u32::MAX] {
        let result = strategy.peek(state, now, cost);
        prop_assert_eq!(result, RateLimitResult::TooLarge { max });
    }
    prop_assert!(strategy.peek(&R::State::default(), now, max).is_allowed());
    Ok(())
}

fn admits_nothing_at_all<R: RateLimitStrategy>(
    strategy: &R,
    state: &R::State,
    now: Timestamp,
    _: u32,
) -> TestCaseResult {
    let (mut after, all) = (state.clone(), strategy.cost_max());
    prop_assert!(strategy.acquire(&mut after, now, 0).is_allowed());
    prop_assert_eq!(
        strategy.peek(&after, now, all),
        strategy.peek(state, now, all)
    );
    Ok(())
}
