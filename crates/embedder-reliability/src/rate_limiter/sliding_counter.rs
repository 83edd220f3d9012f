//! The sliding window of two counts.

use super::exact::divide;
use super::{RateLimitConfig, RateLimitResult, RateLimitStrategy};
use crate::Timestamp;

/// A sliding window in constant memory and time: what was taken in this period, and in the one before in proportion to how
/// much of it the window still covers.
///
/// The proportion supposes that the earlier units were spread evenly. Where they were, as in traffic of many requests,
/// the count is a few per cent off; where all came at the end, an interval as long as the period sees at most twice the
/// limit, never more. Fractions are compared in whole numbers, so nothing is rounded.
///
/// A key's periods follow each other from its first request on; after two without any they begin anew.
#[derive(Debug, Clone)]
pub struct SlidingCounter {
    limit: u32,
    period: u64,
}

/// What was taken since `begun_at`, and in the period before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlidingCounterState {
    begun_at: u64,
    before: u32,
    taken: u32,
}

impl SlidingCounter {
    /// A window of this length and size.
    pub fn new(config: &RateLimitConfig) -> SlidingCounter {
        SlidingCounter {
            limit: config.limit(),
            period: config.period_nanos(),
        }
    }

    /// The state in the period that has come by now.
    fn advanced(&self, state: &SlidingCounterState, now: Timestamp) -> SlidingCounterState {
        let (now, period) = (now.as_nanos(), self.period);
        let elapsed = now.saturating_sub(state.begun_at);
        let next = if elapsed < period {
            *state
        } else if elapsed - period < period {
            SlidingCounterState {
                begun_at: state.begun_at + period,
                before: state.taken,
                taken: 0,
            }
        } else {
            SlidingCounterState::default()
        };
        if next.before == 0 && next.taken == 0 {
            return SlidingCounterState {
                begun_at: now,
                ..next
            };
        }
        next
    }

    /// So many units, as many times as a period has nanoseconds: what fractions of units are counted in.
    fn scaled(&self, units: u32) -> u128 {
        u128::from(units) * u128::from(self.period)
    }

    /// What counts now, scaled.
    fn counted(&self, state: &SlidingCounterState, now: Timestamp) -> u128 {
        let elapsed = now.as_nanos().saturating_sub(state.begun_at);
        let covered = self.period.saturating_sub(elapsed);
        self.scaled(state.taken) + u128::from(state.before) * u128::from(covered)
    }

    /// When this cost, which is too much now, is admitted.
    fn admitted_at(&self, state: &SlidingCounterState, cost: u32) -> Timestamp {
        let free = self.limit - cost;
        // Either the period before must be covered less, or this one, once it is the period before.
        let (periods, free, units) = match free.checked_sub(state.taken) {
            Some(free) => (1, free, state.before),
            None => (2, free, state.taken),
        };
        let covered_max = divide(self.scaled(free), units.into());
        let ends_at = self.period.saturating_mul(periods);
        let wait = ends_at.saturating_sub(covered_max);
        Timestamp::from_nanos(state.begun_at.saturating_add(wait))
    }
}

impl RateLimitStrategy for SlidingCounter {
    type State = SlidingCounterState;

    fn cost_max(&self) -> u32 {
        self.limit
    }

    fn acquire(
        &self,
        state: &mut SlidingCounterState,
        now: Timestamp,
        cost: u32,
    ) -> RateLimitResult {
        if cost > self.limit {
            return RateLimitResult::TooLarge { max: self.limit };
        }
        let advanced = self.advanced(state, now);
        let free = self
            .scaled(self.limit)
            .saturating_sub(self.counted(&advanced, now));
        let remaining = u32::try_from(divide(free, self.period)).unwrap_or(self.limit);
        if cost > remaining {
            return RateLimitResult::Limited {
                retry_after: now.until(self.admitted_at(&advanced, cost)),
                remaining,
            };
        }
        *state = SlidingCounterState {
            taken: advanced.taken + cost,
            ..advanced
        };
        RateLimitResult::Allowed {
            remaining: remaining - cost,
            reset_after: now.until(self.idle_at(state)),
        }
    }

    fn refund(
        &self,
        state: &mut SlidingCounterState,
        taken_at: Timestamp,
        _: Timestamp,
        cost: u32,
    ) {
        let taken_at = taken_at.as_nanos();
        if taken_at >= state.begun_at {
            state.taken = state.taken.saturating_sub(cost);
        } else if state.begun_at - taken_at <= self.period {
            state.before = state.before.saturating_sub(cost);
        }
    }

    fn idle_at(&self, state: &SlidingCounterState) -> Timestamp {
        let periods = match (state.before, state.taken) {
            (0, 0) => return Timestamp::ZERO,
            (_, 0) => 1,
            (_, _) => 2,
        };
        let wait = self.period.saturating_mul(periods);
        Timestamp::from_nanos(state.begun_at.saturating_add(wait))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
