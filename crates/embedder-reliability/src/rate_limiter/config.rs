//! What is allowed.

use std::time::Duration;

use crate::timestamp::nanos;

/// A quota for longer than a year is a contract, not a rate.
const PERIOD_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// In this time, a century, the largest bucket is full again. With as many years for the process to run, both fit several
/// times into 64 bits of nanoseconds.
const FILL_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// How units are counted. Each is exact in whole nanoseconds and never lets the clock's jumps through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateLimitAlgorithm {
    /// A bucket of `burst` tokens that fills continuously: see [`TokenBucket`](super::TokenBucket). The one to take unless
    /// something speaks against it.
    TokenBucket,
    /// No more than `limit` in the period before any moment: exact up to [`LOG_LIMIT_MAX`](super::LOG_LIMIT_MAX) units
    /// ([`SlidingLog`](super::SlidingLog)), weighted from two counts above ([`SlidingCounter`](super::SlidingCounter)).
    SlidingWindow,
    /// No more than `limit` in each of a key's periods, which do not overlap: see [`FixedWindow`](super::FixedWindow).
    FixedWindow,
}

/// A validated limit: so many units in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimitConfig {
    algorithm: RateLimitAlgorithm,
    limit: u32,
    period: Duration,
    burst: u32,
}

/// Why a limit cannot be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateLimitConfigError {
    /// The limit is zero.
    #[error("a limit of 0 admits nothing")]
    LimitZero,
    /// The period is zero.
    #[error("a period of 0 limits nothing")]
    PeriodZero,
    /// The period is too long.
    #[error("the period is longer than {} days", max.as_secs() / 86_400)]
    PeriodTooLong {
        /// The longest there is.
        max: Duration,
    },
    /// The burst is zero.
    #[error("a burst of 0 admits nothing")]
    BurstZero,
    /// The bucket would take longer than a century to fill.
    #[error("a burst of more than {max} takes more than a century to come back")]
    BurstTooLarge {
        /// The largest at this rate.
        max: u32,
    },
    /// A burst is set for a window.
    #[error("only a token bucket has a burst; a window admits as much as its limit at once")]
    BurstOfWindow,
}

impl RateLimitConfig {
    /// Allows `limit` units in a `period`.
    ///
    /// A token bucket holds `burst` units, by default as many as the limit; more than that were never admitted at once. A
    /// window has no burst of its own.
    pub fn try_new(
        algorithm: RateLimitAlgorithm,
        limit: u32,
        period: Duration,
        burst: Option<u32>,
    ) -> Result<RateLimitConfig, RateLimitConfigError> {
        if limit == 0 {
            return Err(RateLimitConfigError::LimitZero);
        }
        if period.is_zero() {
            return Err(RateLimitConfigError::PeriodZero);
        }
        if period > PERIOD_MAX {
            return Err(RateLimitConfigError::PeriodTooLong { max: PERIOD_MAX });
        }
        match (algorithm, burst) {
            (_, Some(0)) => return Err(RateLimitConfigError::BurstZero),
            (RateLimitAlgorithm::SlidingWindow | RateLimitAlgorithm::FixedWindow, Some(_)) => {
                return Err(RateLimitConfigError::BurstOfWindow);
            }
            (RateLimitAlgorithm::TokenBucket, Some(burst)) => {
                let max = FILL_MAX.as_nanos() * u128::from(limit) / period.as_nanos();
                let max = u32::try_from(max).unwrap_or(u32::MAX);
                if burst > max {
                    return Err(RateLimitConfigError::BurstTooLarge { max });
                }
            }
            // A burst as large as the limit comes back in a period.
            (_, None) => {}
        }
        Ok(RateLimitConfig {
            algorithm,
            limit,
            period,
            burst: burst.unwrap_or(limit),
        })
    }

    /// Returns how units are counted.
    pub const fn algorithm(&self) -> RateLimitAlgorithm {
        self.algorithm
    }

    /// Returns how many units a period has.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns the period, from a nanosecond to 366 days.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Returns how many units are admitted at once: the limit, unless it is a token bucket of another size.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Returns the same limit for this many; where that is more than can be counted, for as many as can.
    #[must_use]
    pub const fn times(&self, factor: u32) -> RateLimitConfig {
        // Of zero there would be no limit.
        let factor = if factor == 0 { 1 } else { factor };
        RateLimitConfig {
            limit: self.limit.saturating_mul(factor),
            burst: self.burst.saturating_mul(factor),
            ..*self
        }
    }

    /// Returns the period in nanoseconds; 366 days fit 580 times.
    pub(super) fn period_nanos(&self) -> u64 {
        nanos(self.period)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_cannot_be_meant_is_refused() {
        use RateLimitAlgorithm::{FixedWindow, SlidingWindow, TokenBucket};
        let too_long = PERIOD_MAX + Duration::from_nanos(1);
        for (algorithm, limit, period, burst, expected) in [
            (
                TokenBucket,
                0,
                SECOND,
                None,
                RateLimitConfigError::LimitZero,
            ),
            (
                TokenBucket,
                1,
                Duration::ZERO,
                None,
                RateLimitConfigError::PeriodZero,
            ),
            (
                FixedWindow,
                1,
                too_long,
                None,
                RateLimitConfigError::PeriodTooLong { max: PERIOD_MAX },
            ),
            (
                TokenBucket,
                1,
                SECOND,
                Some(0),
                RateLimitConfigError::BurstZero,
            ),
            (
                SlidingWindow,
                1,
                SECOND,
                Some(0),
                RateLimitConfigError::BurstZero,
            ),
            (
                TokenBucket,
                1,
                PERIOD_MAX,
                Some(101),
                RateLimitConfigError::BurstTooLarge { max: 100 },
            ),
            (
                SlidingWindow,
                1,
                SECOND,
                Some(1),
                RateLimitConfigError::BurstOfWindow,
            ),
            (
                FixedWindow,
                9,
                SECOND,
                Some(9),
                RateLimitConfigError::BurstOfWindow,
            ),
        ] {
            assert_eq!(
                RateLimitConfig::try_new(algorithm, limit, period, burst),
                Err(expected)
            );
        }
        assert!(RateLimitConfig::try_new(FixedWindow, 1, PERIOD_MAX, None).is_ok());
    }

    #[test]
    fn a_burst_is_the_limit_unless_it_is_set() {
        let algorithm = RateLimitAlgorithm::TokenBucket;
        let default = RateLimitConfig::try_new(algorithm, 20, SECOND, None).unwrap();
        assert_eq!(default.burst(), 20);
        let set = RateLimitConfig::try_new(algorithm, 20, SECOND, Some(40)).unwrap();
        assert_eq!((set.limit(), set.burst(), set.period()), (20, 40, SECOND));
    }

    #[test]
    fn a_multiple_stops_at_what_can_be_counted() {
        let algorithm = RateLimitAlgorithm::TokenBucket;
        let config = RateLimitConfig::try_new(algorithm, 20, SECOND, Some(40)).unwrap();
        assert_eq!(
            (config.times(16).limit(), config.times(16).burst()),
            (320, 640)
        );
        assert_eq!(config.times(u32::MAX).limit(), u32::MAX);
        assert_eq!(config.times(0), config);
    }
}
