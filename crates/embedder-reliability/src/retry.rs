//! Whether a failed call is made again, and when.
//!
//! The wait before an attempt is drawn from nothing up to a limit that doubles (*full jitter*: clients that failed together
//! do not come back together). A dependency's callers share a [`RetryBudget`]: when most calls fail, retrying them all would
//! triple the load of something that is down already, so after a few dozen retries nobody retries until calls succeed.
//!
//! Guarantees:
//! * No wait is longer than [`RetryPolicy::delay_max`], and none ends after the deadline.
//! * With every call failing, all callers together retry at most capacity / cost times ([`RetryBudget`]).
//! * What is not safe to repeat is not repeated, and neither is what the circuit breaker refused.
//!
//! ```
//! use std::time::Duration;
//! use embedder_reliability::{Random, Timestamp};
//! use embedder_reliability::retry::{Failure, Retry, RetryBudget, RetryPolicy};
//!
//! let (policy, budget) = (RetryPolicy::default(), RetryBudget::default());
//! let mut retry = Retry::new(&policy, &budget, Timestamp::ZERO.plus(Duration::from_secs(5)));
//! let mut random = Random::from_seed(1);
//! let wait = retry.after(Failure::Transient, Timestamp::ZERO, &mut random).expect("it may be tried again");
//! assert!(wait <= Duration::from_millis(100));
//! # Ok::<(), embedder_reliability::retry::RetryPolicyError>(())
//! ```

mod budget;
mod policy;

use std::time::Duration;

pub use budget::RetryBudget;
pub use policy::{RetryPolicy, RetryPolicyError};

use crate::{Random, Timestamp};

/// How a call failed, as far as trying again goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It may go well the next time: a broken connection, a timeout, a 5xx.
    Transient,
    /// The dependency has too much to do (429, 503), and may have said how long it needs.
    Throttled {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The circuit breaker, or a limit of our own, refused the call.
    Refused,
    /// It would fail again, or must not be done twice.
    Final,
}

/// Why a call is not made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RetryError {
    /// Trying again cannot help, or must not happen.
    #[error("trying again cannot help")]
    NotRetryable,
    /// The call was refused before it was made.
    #[error("the call was refused")]
    Refused,
    /// All attempts are used up.
    #[error("all attempts failed")]
    Exhausted,
    /// Too many calls of this dependency fail for any of them to be tried again.
    #[error("too many calls fail already")]
    BudgetEmpty,
    /// The answer would come after the deadline.
    #[error("there is no time left to try again")]
    Deadline,
}

impl RetryError {
    /// Every reason.
    pub const ALL: [RetryError; 5] = [
        Self::NotRetryable,
        Self::Refused,
        Self::Exhausted,
        Self::BudgetEmpty,
        Self::Deadline,
    ];

    /// Returns the name that logs and metrics use.
    pub fn name(self) -> &'static str {
        match self {
            RetryError::NotRetryable => "not_retryable",
            RetryError::Refused => "refused",
            RetryError::Exhausted => "exhausted",
            RetryError::BudgetEmpty => "budget_empty",
            RetryError::Deadline => "deadline",
        }
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub struct Retry<'a> {
    policy: &'a RetryPolicy,
    budget: &'a RetryBudget,
    deadline: Timestamp,
    /// How long an attempt takes, as far as is known.
    expected: Duration,
    failed: u32,
}

impl<'a> Retry<'a> {
    /// Begins a request that must be answered by `deadline`.
    pub fn new(policy: &'a RetryPolicy, budget: &'a RetryBudget, deadline: Timestamp) -> Retry<'a> {
        Retry {
            policy,
            budget,
            deadline,
            expected: Duration::ZERO,
            failed: 0,
        }
    }

    /// Says how long an attempt usually takes: with less time than that left, none is made.
    #[must_use]
    pub fn expecting(mut self, expected: Duration) -> Retry<'a> {
        self.expected = expected;
        self
    }

    /// Returns how many attempts have failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// An attempt succeeded. What a first attempt pays in, a later one does not: it has used the budget.
    pub fn succeeded(&self) {
        if self.failed == 0 {
            self.budget.deposit();
        }
    }

    /// An attempt failed: returns how long to wait before the next one.
    ///
    /// # Errors
    /// Why there is no next one.
    pub fn after(
        &mut self,
        failure: Failure,
        now: Timestamp,
        random: &mut Random,
    ) -> Result<Duration, RetryError> {
        self.failed += 1;
        let is_throttled = match failure {
            Failure::Final => return Err(RetryError::NotRetryable),
            Failure::Refused => return Err(RetryError::Refused),
            Failure::Transient => false,
            Failure::Throttled { .. } => true,
        };
        if self.failed >= self.policy.attempts {
            return Err(RetryError::Exhausted);
        }
        let mut wait = self.policy.delay(self.failed, random);
        if let Failure::Throttled {
            retry_after: Some(asked),
        } = failure
        {
            // Longer than we ever wait: who comes back sooner is sent away again.
            if asked > self.policy.delay_max {
                return Err(RetryError::Deadline);
            }
            wait = wait.max(asked);
        }
        if now.plus(wait).plus(self.expected) >= self.deadline {
            return Err(RetryError::Deadline);
        }
        if self.budget.withdraw(is_throttled) {
            Ok(wait)
        } else {
            Err(RetryError::BudgetEmpty)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::after_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn what_must_not_or_need_not_be_repeated_is_not() {
        let check = |failure, deadline, expected| {
            let (policy, budget) = (RetryPolicy::default(), RetryBudget::default());
            let mut retry = Retry::new(&policy, &budget, deadline);
            let mut random = Random::from_seed(3);
            let found = retry.after(failure, at(0), &mut random).map(drop);
            assert_eq!(found, expected, "{failure:?}");
        };
        let throttled = |seconds| Failure::Throttled {
            retry_after: Some(Duration::from_secs(seconds)),
        };
        check(Failure::Transient, at(10), Ok(()));
        check(Failure::Final, at(10), Err(RetryError::NotRetryable));
        check(Failure::Refused, at(10), Err(RetryError::Refused));
        check(Failure::Transient, at(0), Err(RetryError::Deadline));
        check(throttled(5), at(10), Ok(()));
        check(throttled(10), at(10), Err(RetryError::Deadline));
        check(throttled(86_400), at(200_000), Err(RetryError::Deadline));
    }

    #[test]
    fn no_attempt_is_made_that_would_not_end_in_time() {
        let (policy, budget) = (RetryPolicy::default(), RetryBudget::default());
        let mut random = Random::from_seed(3);
        let mut retry = Retry::new(&policy, &budget, at(2)).expecting(Duration::from_secs(3));
        let found = retry.after(Failure::Transient, at(0), &mut random);
        assert_eq!(found, Err(RetryError::Deadline));
    }

    #[test]
    fn a_thousand_clients_of_a_dead_dependency_make_thirty_five_calls_more() {
        let (policy, budget) = (RetryPolicy::default(), RetryBudget::default());
        let mut random = Random::from_seed(3);
        let mut calls = 0;
        for _ in 0..1_000 {
            let mut retry = Retry::new(&policy, &budget, at(60));
            calls += 1;
            while retry.after(Failure::Transient, at(0), &mut random).is_ok() {
                calls += 1;
            }
        }
        assert_eq!(calls, 1_000 + 35);
    }

    #[test]
    fn at_any_share_of_failures_few_calls_are_made_twice() {
        // In the long run a call is paid for by fourteen that succeeded at once.
        for share in [0.01, 0.05, 0.2, 0.5, 0.8, 0.95] {
            let (policy, budget) = (RetryPolicy::default(), RetryBudget::default());
            let mut random = Random::from_seed(11);
            let (requests, mut calls, mut paid_in) = (200_000, 0_u32, 0_u32);
            for _ in 0..requests {
                let mut retry = Retry::new(&policy, &budget, at(60));
                loop {
                    calls += 1;
                    if random.unit() >= share {
                        paid_in += u32::from(retry.failed() == 0);
                        retry.succeeded();
                        break;
                    }
                    if retry.after(Failure::Transient, at(0), &mut random).is_err() {
                        break;
                    }
                }
            }
            let extra = calls - requests;
            assert!(
                extra <= paid_in / 14 + 36,
                "{extra} of {requests} at {share}"
            );
        }
    }

    proptest! {
        #[test]
        fn waits_are_within_the_limit_and_end_before_the_deadline(
            base_ms in 1_u64..10_000, factor in 1_u32..10, cap_ms in 0_u64..60_000, attempts in 1_u32..200,
            deadline_s in 0_u64..600, asked_ms in prop::option::of(0_u64..200_000), seed: u64,
        ) {
            let policy = RetryPolicy {
                attempts,
                delay_base: Duration::from_millis(base_ms),
                factor,
                delay_max: Duration::from_millis(base_ms + cap_ms),
            };
            policy.check().unwrap();
            let budget = RetryBudget::default();
            let mut retry = Retry::new(&policy, &budget, at(deadline_s));
            let mut random = Random::from_seed(seed);
            let failure = match asked_ms {
                Some(ms) => Failure::Throttled { retry_after: Some(Duration::from_millis(ms)) },
                None => Failure::Transient,
            };
            let (mut now, mut made) = (at(0), 1);
            while let Ok(wait) = retry.after(failure, now, &mut random) {
                prop_assert!(wait <= policy.delay_max);
                now = now.plus(wait);
                prop_assert!(now < at(deadline_s));
                made += 1;
            }
            prop_assert!(made <= attempts);
        }
    }
}
