//! When a breaker opens, for how long, and what closes it.

use std::time::Duration;

/// Most probes of an epoch.
pub(super) const PROBES_MAX: u32 = 8;

/// Most buckets of a time window.
const BUCKETS_MAX: u32 = 100;

/// Most calls of a count window.
const CALLS_MAX: u32 = 10_000;

/// What the rates are measured over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// The calls of the last while.
    Time {
        /// How long.
        length: Duration,
        /// The steps by which it slides.
        buckets: u32,
    },
    /// The last calls, however long ago.
    Count {
        /// How many.
        calls: u32,
    },
}

/// When a breaker opens, for how long, and what closes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failed requests in a row that open it. All attempts of a request count once.
    pub consecutive_failures: u32,
    /// Per cent of the window's calls that failed, at which it opens.
    pub failure_percent: u32,
    /// Per cent of the window's calls that were slow, at which it opens.
    pub slow_percent: u32,
    /// How long a call takes that is slow.
    pub slow_after: Duration,
    /// Calls that the window must hold before a rate says anything.
    pub calls_min: u32,
    /// What the rates are measured over.
    pub window: WindowKind,
    /// How long it stays open the first time. Doubled each time the probes fail.
    pub open_for: Duration,
    /// The longest that it stays open.
    pub open_max: Duration,
    /// Probes of an epoch.
    pub probes: u32,
    /// Probes that must succeed.
    pub successes_needed: u32,
    /// How long a probe may take before it counts as a failure.
    pub probe_stay_max: Duration,
    /// Probes of an epoch that may be dropped without a verdict; from then on that is a failure.
    pub cancels_max: u32,
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy {
            consecutive_failures: 3,
            failure_percent: 50,
            slow_percent: 80,
            slow_after: Duration::from_secs(8),
            // With fewer, a rate of one half is four calls, which is bad luck and no outage.
            calls_min: 20,
            window: WindowKind::Time {
                length: Duration::from_secs(30),
                buckets: 10,
            },
            open_for: Duration::from_secs(30),
            open_max: Duration::from_secs(300),
            probes: 3,
            successes_needed: 2,
            probe_stay_max: Duration::from_secs(10),
            cancels_max: 3,
        }
    }
}

/// A policy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BreakerPolicyError {
    /// A number that must not be zero.
    #[error("{0} must not be zero")]
    Zero(&'static str),
    /// A number that is too large.
    #[error("{name} must be at most {max}")]
    TooLarge {
        /// Which.
        name: &'static str,
        /// The most it may be.
        max: u64,
    },
    /// More successes are needed than there are probes.
    #[error("{needed} of {probes} probes cannot succeed")]
    Unreachable {
        /// Successes needed.
        needed: u32,
        /// Probes.
        probes: u32,
    },
    /// The longest stay is shorter than the first.
    #[error("open_max must not be less than open_for")]
    MaxBelowFirst,
    /// Too few calls fit the window for a rate to say anything.
    #[error("calls_min must not be more than the calls of the window")]
    NeverJudged,
}

impl BreakerPolicy {
    /// Checks it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BreakerPolicyError> {
        let zero = |name, is_zero: bool| match is_zero {
            true => Err(BreakerPolicyError::Zero(name)),
            false => Ok(()),
        };
        let at_most = |name, value: u32, max: u32| match value > max {
            true => Err(BreakerPolicyError::TooLarge {
                name,
                max: u64::from(max),
            }),
            false => Ok(()),
        };
        zero("consecutive_failures", self.consecutive_failures == 0)?;
        zero("failure_percent", self.failure_percent == 0)?;
        zero("slow_percent", self.slow_percent == 0)?;
        zero("slow_after", self.slow_after.is_zero())?;
        zero("calls_min", self.calls_min == 0)?;
        zero("open_for", self.open_for.is_zero())?;
        zero("probes", self.probes == 0)?;
        zero("successes_needed", self.successes_needed == 0)?;
        zero("probe_stay_max", self.probe_stay_max.is_zero())?;
        at_most("failure_percent", self.failure_percent, 100)?;
        at_most("slow_percent", self.slow_percent, 100)?;
        at_most("probes", self.probes, PROBES_MAX)?;
        if self.successes_needed > self.probes {
            return Err(BreakerPolicyError::Unreachable {
                needed: self.successes_needed,
                probes: self.probes,
            });
        }
        if self.open_max < self.open_for {
            return Err(BreakerPolicyError::MaxBelowFirst);
        }
        match self.window {
            WindowKind::Time { length, buckets } => {
                zero("buckets", buckets == 0)?;
                at_most("buckets", buckets, BUCKETS_MAX)?;
                zero("length", length.as_nanos() < u128::from(buckets))
            }
            WindowKind::Count { calls } => {
                zero("calls", calls == 0)?;
                at_most("calls", calls, CALLS_MAX)?;
                if self.calls_min > calls {
                    return Err(BreakerPolicyError::NeverJudged);
                }
                Ok(())
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |change: fn(&mut BreakerPolicy), expected: Result<(), BreakerPolicyError>| {
            let mut policy = BreakerPolicy::default();
            change(&mut policy);
            assert_eq!(policy.check(), expected);
        };
        let zero = |name| Err(BreakerPolicyError::Zero(name));
        check(|_| {}, Ok(()));
        check(|p| p.consecutive_failures = 0, zero("consecutive_failures"));
        check(|p| p.open_for = Duration::ZERO, zero("open_for"));
        check(
            |p| p.probe_stay_max = Duration::ZERO,
            zero("probe_stay_max"),
        );
        check(
            |p| p.failure_percent = 101,
            Err(BreakerPolicyError::TooLarge {
                name: "failure_percent",
                max: 100,
            }),
        );
        check(
            |p| p.successes_needed = 4,
            Err(BreakerPolicyError::Unreachable {
                needed: 4,
                probes: 3,
            }),
        );
        check(
            |p| p.open_max = Duration::from_secs(29),
            Err(BreakerPolicyError::MaxBelowFirst),
        );
        check(
            |p| p.window = WindowKind::Count { calls: 10 },
            Err(BreakerPolicyError::NeverJudged),
        );
        check(
            |p| {
                p.window = WindowKind::Time {
                    length: Duration::from_nanos(9),
                    buckets: 10,
                };
            },
            zero("length"),
        );
    }
}
