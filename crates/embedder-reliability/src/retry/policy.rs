//! How often, and after how long.

use std::time::Duration;

use crate::Random;

/// How often a call is made, and how long it waits in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts, the first included.
    pub attempts: u32,
    /// The longest wait before the second attempt.
    pub delay_base: Duration,
    /// What the longest wait grows by with each attempt.
    pub factor: u32,
    /// The longest wait of all.
    pub delay_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts: 3,
            delay_base: Duration::from_millis(100),
            factor: 2,
            delay_max: Duration::from_secs(30),
        }
    }
}

/// A policy that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetryPolicyError {
    /// There is no attempt at all.
    #[error("at least one attempt must be made")]
    NoAttempts,
    /// Waits would become shorter.
    #[error("waits must not become shorter: the factor must be at least 1")]
    Shrinking,
    /// The limit is below the first wait.
    #[error("the longest wait must not be less than the first")]
    MaxBelowBase,
}

impl RetryPolicy {
    /// Checks it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), RetryPolicyError> {
        if self.attempts == 0 {
            return Err(RetryPolicyError::NoAttempts);
        }
        if self.factor == 0 {
            return Err(RetryPolicyError::Shrinking);
        }
        if self.delay_max < self.delay_base {
            return Err(RetryPolicyError::MaxBelowBase);
        }
        Ok(())
    }

    /// Returns a wait before the attempt that follows `failed` failed ones: anything up to
    /// `min(delay_max, delay_base · factor^(failed - 1))`.
    pub fn delay(&self, failed: u32, random: &mut Random) -> Duration {
        self.delay_limit(failed).mul_f64(random.unit())
    }

    fn delay_limit(&self, failed: u32) -> Duration {
        let growth = self.factor.saturating_pow(failed.saturating_sub(1));
        self.delay_base.saturating_mul(growth).min(self.delay_max)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_up_to_the_longest() {
        let policy = RetryPolicy::default();
        for (failed, expected_ms) in [(1, 100), (2, 200), (3, 400), (9, 25_600), (10, 30_000)] {
            let limit = policy.delay_limit(failed);
            assert_eq!(limit, Duration::from_millis(expected_ms), "{failed}");
        }
        assert_eq!(policy.delay_limit(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn waits_are_spread_over_all_of_it() {
        let policy = RetryPolicy::default();
        let mut random = Random::from_seed(5);
        let waits: Vec<f64> = (0..10_000)
            .map(|_| policy.delay(1, &mut random).as_secs_f64())
            .collect();
        for tenth in 0..10 {
            let (from, to) = (f64::from(tenth) / 100.0, f64::from(tenth + 1) / 100.0);
            let share = waits
                .iter()
                .filter(|wait| (from..to).contains(*wait))
                .count();
            assert!((900..1_100).contains(&share), "{share} from {from} to {to}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let policy = RetryPolicy::default();
        let none = RetryPolicy {
            attempts: 0,
            ..policy
        };
        assert_eq!(none.check(), Err(RetryPolicyError::NoAttempts));
        let shrinking = RetryPolicy {
            factor: 0,
            ..policy
        };
        assert_eq!(shrinking.check(), Err(RetryPolicyError::Shrinking));
        let below = RetryPolicy {
            delay_max: Duration::from_millis(99),
            ..policy
        };
        assert_eq!(below.check(), Err(RetryPolicyError::MaxBelowBase));
        assert_eq!(policy.check(), Ok(()));
    }
}
