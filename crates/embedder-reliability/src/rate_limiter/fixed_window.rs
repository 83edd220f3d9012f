//! The fixed window.

use super::{RateLimitConfig, RateLimitResult, RateLimitStrategy};
use crate::Timestamp;

/// A window that opens with a key's first request, lasts a period, and admits `limit` units. The next one opens with the
/// first request after it.
///
/// Windows of one key are apart, so an interval as long as a period sees at most two of them: twice the limit.
#[derive(Debug, Clone)]
pub struct FixedWindow {
    limit: u32,
    period: u64,
}

/// When the window opened, and what was taken since. One in which nothing is taken is not open.
// Packed, because a table has many of them: 12 bytes instead of 16.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub struct FixedWindowState {
    opened_at: u64,
    taken: u32,
}

impl FixedWindow {
    /// Windows of this length and size.
    pub fn new(config: &RateLimitConfig) -> FixedWindow {
        FixedWindow {
            limit: config.limit(),
            period: config.period_nanos(),
        }
    }
}

impl RateLimitStrategy for FixedWindow {
    type State = FixedWindowState;

    fn cost_max(&self) -> u32 {
        self.limit
    }

    fn acquire(&self, state: &mut FixedWindowState, now: Timestamp, cost: u32) -> RateLimitResult {
        if cost > self.limit {
            return RateLimitResult::TooLarge { max: self.limit };
        }
        let window = if self.is_idle(state, now) {
            FixedWindowState {
                opened_at: now.as_nanos(),
                taken: 0,
            }
        } else {
            *state
        };
        let remaining = self.limit - window.taken;
        if cost > remaining {
            return RateLimitResult::Limited {
                retry_after: now.until(self.idle_at(&window)),
                remaining,
            };
        }
        *state = FixedWindowState {
            taken: window.taken + cost,
            ..window
        };
        RateLimitResult::Allowed {
            remaining: remaining - cost,
            reset_after: now.until(self.idle_at(state)),
        }
    }

    fn refund(&self, state: &mut FixedWindowState, taken_at: Timestamp, _: Timestamp, cost: u32) {
        if taken_at.as_nanos() >= state.opened_at {
            state.taken = state.taken.saturating_sub(cost);
        }
    }

    fn idle_at(&self, state: &FixedWindowState) -> Timestamp {
        if state.taken == 0 {
            return Timestamp::ZERO;
        }
        Timestamp::from_nanos(state.opened_at.saturating_add(self.period))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
