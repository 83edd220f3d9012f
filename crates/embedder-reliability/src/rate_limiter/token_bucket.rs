//! The token bucket.

use std::time::Duration;

use super::exact::divide;
use super::{RateLimitConfig, RateLimitResult, RateLimitStrategy};
use crate::Timestamp;

/// A bucket of `burst` tokens into which `limit` tokens flow evenly in each period, as the generic cell rate algorithm: all
/// that is remembered is when the bucket will be full again.
///
/// In any interval of length T no more than `burst + T·limit/period` units are admitted, and a request is refused only if
/// with it one would see more. So who keeps to the rate is never refused.
///
/// Waits are counted in *ticks*, of which a nanosecond has `limit`: a token takes a whole number of them, and nothing is ever
/// rounded. The longest wait there may be, a century, has 94 bits of them.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    /// Ticks of a nanosecond.
    limit: u64,
    /// Ticks in which one token flows in: as many as a period has nanoseconds.
    token: u64,
    burst: u32,
    /// Ticks in which an empty bucket becomes full.
    full: u128,
}

/// When a bucket is full: in nanoseconds since the origin, and ticks beyond. The past is as good as now.
// Packed, because a table has many of them: 12 bytes instead of 16.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub struct TokenBucketState {
    full_at: u64,
    ticks: u32,
}

impl TokenBucket {
    /// A bucket of this size and rate.
    pub fn new(config: &RateLimitConfig) -> TokenBucket {
        let token = config.period_nanos();
        TokenBucket {
            limit: config.limit().into(),
            token,
            burst: config.burst(),
            full: u128::from(config.burst()) * u128::from(token),
        }
    }

    /// In how many ticks so many tokens flow in.
    fn ticks_of(&self, cost: u32) -> u128 {
        u128::from(cost) * u128::from(self.token)
    }

    /// How many tokens flow in in so many ticks.
    fn tokens(&self, ticks: u128) -> u32 {
        u32::try_from(divide(ticks, self.token)).unwrap_or(self.burst)
    }

    /// How long it is until the bucket is full.
    fn missing(&self, state: &TokenBucketState, now: Timestamp) -> u128 {
        match state.full_at.checked_sub(now.as_nanos()) {
            Some(nanos) => u128::from(nanos) * u128::from(self.limit) + u128::from(state.ticks),
            None => 0,
        }
    }

    /// The state in which so much is missing.
    fn with_missing(&self, missing: u128, now: Timestamp) -> TokenBucketState {
        let nanos = divide(missing, self.limit);
        let rest = missing - u128::from(nanos) * u128::from(self.limit);
        TokenBucketState {
            full_at: now.as_nanos().saturating_add(nanos),
            ticks: rest as u32,
        }
    }
}

impl RateLimitStrategy for TokenBucket {
    type State = TokenBucketState;

    fn cost_max(&self) -> u32 {
        self.burst
    }

    fn acquire(&self, state: &mut TokenBucketState, now: Timestamp, cost: u32) -> RateLimitResult {
        if cost > self.burst {
            return RateLimitResult::TooLarge { max: self.burst };
        }
        let missing_before = self.missing(state, now);
        let missing = missing_before + self.ticks_of(cost);
        if missing <= self.full || cost == 0 {
            *state = self.with_missing(missing, now);
            RateLimitResult::Allowed {
                remaining: self.tokens(self.full.saturating_sub(missing)),
                reset_after: now.until(self.idle_at(state)),
            }
        } else {
            let late = missing - self.full + u128::from(self.limit - 1);
            RateLimitResult::Limited {
                retry_after: Duration::from_nanos(divide(late, self.limit)),
                // A thread that is late may find more missing than the bucket holds.
                remaining: self.tokens(self.full.saturating_sub(missing_before)),
            }
        }
    }

    fn refund(&self, state: &mut TokenBucketState, taken_at: Timestamp, now: Timestamp, cost: u32) {
        let flowed = now.since(taken_at).as_nanos() * u128::from(self.limit);
        let rest = self.ticks_of(cost).saturating_sub(flowed);
        let missing = self.missing(state, now).saturating_sub(rest);
        *state = self.with_missing(missing, now);
    }

    fn idle_at(&self, state: &TokenBucketState) -> Timestamp {
        Timestamp::from_nanos(state.full_at.saturating_add(u64::from(state.ticks > 0)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
