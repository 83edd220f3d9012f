//! One bucket or window, as a pure function of its state and the time.

use std::time::Duration;

use crate::Timestamp;

/// What a limiter decides about a request. Everything in it belongs to this one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitResult {
    /// The units were taken.
    Allowed {
        /// What could be taken now besides.
        remaining: u32,
        /// Until everything could be taken at once again, if nothing more is.
        reset_after: Duration,
    },
    /// Nothing was taken.
    Limited {
        /// Until the same request is admitted, to the nanosecond, if nothing is taken by others meanwhile.
        retry_after: Duration,
        /// What could be taken now: less than was asked for.
        remaining: u32,
    },
    /// Nothing was taken, and waiting will not help: as much as this is never admitted at once.
    TooLarge {
        /// The most that is admitted at once.
        max: u32,
    },
}

impl RateLimitResult {
    /// Returns whether the request may go on.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, RateLimitResult::Allowed { .. })
    }
}

/// A way of counting. The state of one key is apart from the rule, which all keys share.
///
/// What every strategy promises:
/// - The first request counts; a cost of 0 takes nothing and is always admitted.
/// - Time that arrives out of order (a thread that read the clock first and came second) never admits more than time in
///   order does.
/// - A machine that was suspended finds a full bucket, never more.
/// - An idle state decides as a new one does, so that it may be forgotten.
pub trait RateLimitStrategy {
    /// What is remembered of a key. The default is that of a key never seen.
    type State: Default + Clone;

    /// Returns the largest cost that is ever admitted.
    fn cost_max(&self) -> u32;

    /// Takes `cost` units, or says when they could be taken. A refusal leaves the state as it was.
    fn acquire(&self, state: &mut Self::State, now: Timestamp, cost: u32) -> RateLimitResult;

    /// Returns what [`acquire`](Self::acquire) would say.
    fn peek(&self, state: &Self::State, now: Timestamp, cost: u32) -> RateLimitResult {
        self.acquire(&mut state.clone(), now, cost)
    }

    /// Gives back units that were taken at `taken_at`, the timestamp of that decision, and not used.
    ///
    /// What time has given back by now is not given back again, so the state is never better than if they had not been
    /// taken.
    fn refund(&self, state: &mut Self::State, taken_at: Timestamp, now: Timestamp, cost: u32);

    /// Returns the moment from which the state decides as a new one does, if nothing more is taken.
    fn idle_at(&self, state: &Self::State) -> Timestamp;

    /// Returns whether nothing is lost by forgetting the state.
    fn is_idle(&self, state: &Self::State, now: Timestamp) -> bool {
        self.idle_at(state) <= now
    }

    /// Returns the most bytes that a state ever holds on the heap, what the allocator adds included.
    fn heap_bytes_max(&self) -> usize {
        0
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
