//! The sliding window that remembers every unit.

use std::collections::VecDeque;
use std::time::Duration;

use super::{RateLimitConfig, RateLimitResult, RateLimitStrategy};
use crate::Timestamp;

/// What an allocator adds to a block, at most.
const ALLOCATION_BYTES: usize = 16;

/// The exact sliding window: in any interval as long as the period at most `limit` units are admitted, and a unit is
/// refused only where it would be one more.
///
/// It remembers when each unit was taken, 8 bytes for each of `limit`, so it is for small limits such as failed logins.
/// A decision finds the first unit that still counts by bisection.
#[derive(Debug, Clone)]
pub struct SlidingLog {
    limit: u32,
    period: u64,
}

/// When units were taken, in order, at most `limit` of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlidingLogState {
    taken: VecDeque<u64>,
}

impl SlidingLog {
    /// A window of this length and size.
    pub fn new(config: &RateLimitConfig) -> SlidingLog {
        SlidingLog {
            limit: config.limit(),
            period: config.period_nanos(),
        }
    }

    /// When a unit no longer counts.
    fn leaves(&self, taken: u64) -> Timestamp {
        Timestamp::from_nanos(taken.saturating_add(self.period))
    }

    /// How many units no longer count. They are the oldest.
    fn gone(&self, state: &SlidingLogState, now: Timestamp) -> usize {
        state
            .taken
            .partition_point(|&taken| self.leaves(taken) <= now)
    }

    fn decide(
        &self,
        state: &SlidingLogState,
        gone: usize,
        now: Timestamp,
        cost: u32,
    ) -> RateLimitResult {
        if cost > self.limit {
            return RateLimitResult::TooLarge { max: self.limit };
        }
        let counted = u32::try_from(state.taken.len() - gone).expect("at most the limit");
        let remaining = self.limit - counted;
        if cost > remaining {
            // As many must leave as are too many.
            let last = gone + (cost - remaining) as usize - 1;
            return RateLimitResult::Limited {
                retry_after: now.until(self.leaves(state.taken[last])),
                remaining,
            };
        }
        RateLimitResult::Allowed {
            remaining: remaining - cost,
            reset_after: match recorded(state, now, cost) {
                Some(newest) => now.until(self.leaves(newest)),
                None => Duration::ZERO,
            },
        }
    }
}

/// The newest unit once these are taken. A thread that is late is recorded with the newest, so that the log is in order
/// and its units leave no sooner than they should.
fn recorded(state: &SlidingLogState, now: Timestamp, cost: u32) -> Option<u64> {
    let newest = state.taken.back().copied();
    if cost == 0 {
        return newest;
    }
    Some(now.as_nanos().max(newest.unwrap_or(0)))
}

impl RateLimitStrategy for SlidingLog {
    type State = SlidingLogState;

    fn cost_max(&self) -> u32 {
        self.limit
    }

    fn acquire(&self, state: &mut SlidingLogState, now: Timestamp, cost: u32) -> RateLimitResult {
        let gone = self.gone(state, now);
        let result = self.decide(state, gone, now, cost);
        if let (true, Some(at)) = (result.is_allowed(), recorded(state, now, cost)) {
            state.taken.drain(..gone);
            // All the memory there will ever be, so that it does not double past the limit.
            let free = self.limit as usize - state.taken.len();
            state.taken.reserve_exact(free);
            state.taken.extend((0..cost).map(|_| at));
        }
        result
    }

    fn peek(&self, state: &SlidingLogState, now: Timestamp, cost: u32) -> RateLimitResult {
        self.decide(state, self.gone(state, now), now, cost)
    }

    fn refund(&self, state: &mut SlidingLogState, taken_at: Timestamp, _: Timestamp, cost: u32) {
        // The first that may be meant: one of a late thread stands behind its time, and then the rest leaves later.
        let first = state
            .taken
            .partition_point(|&taken| taken < taken_at.as_nanos());
        let end = state.taken.len().min(first + cost as usize);
        state.taken.drain(first..end);
    }

    fn idle_at(&self, state: &SlidingLogState) -> Timestamp {
        state
            .taken
            .back()
            .map_or(Timestamp::ZERO, |&newest| self.leaves(newest))
    }

    fn heap_bytes_max(&self) -> usize {
        self.limit as usize * size_of::<u64>() + ALLOCATION_BYTES
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
