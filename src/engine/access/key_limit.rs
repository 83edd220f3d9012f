//! What one key may ask, where that is said of the key itself.

use std::sync::OnceLock;
use std::time::Duration;

use embedder_reliability::rate_limiter::{
    RateLimitAlgorithm, RateLimitConfig, RateLimitConfigError, SingleLimiter,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::sqlite::hub::KeyRow;

const SECOND: Duration = Duration::from_secs(1);

/// What one key may ask, in units of work, in the place of the limit that the settings have for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyLimit {
    /// Units a second: a search is one, a text one and one for 256 tokens, a document ten.
    #[schema(minimum = 1)]
    pub per_s: u32,
    /// Units at once, where a token bucket counts them; as many as in a second where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub burst: Option<u32>,
}

/// The limit of one key, with what was taken of it. All requests of the key share it.
#[derive(Debug)]
pub struct OwnLimit {
    limit: KeyLimit,
    limiter: OnceLock<SingleLimiter>,
}

impl KeyLimit {
    /// Returns the limit of a key as it is stored.
    pub fn of(row: &KeyRow) -> Option<KeyLimit> {
        Some(KeyLimit {
            per_s: row.limit_per_s?,
            burst: row.limit_burst,
        })
    }

    /// Checks that it can be meant.
    ///
    /// # Errors
    /// A limit or burst of zero; a burst that takes more than a century to come back.
    pub fn check(self) -> Result<(), RateLimitConfigError> {
        self.config(RateLimitAlgorithm::TokenBucket).map(drop)
    }

    /// Whether it allows no more than another does.
    pub(super) fn is_within(self, other: KeyLimit) -> bool {
        self.per_s <= other.per_s && self.at_once() <= other.at_once()
    }

    fn at_once(self) -> u32 {
        self.burst.unwrap_or(self.per_s)
    }

    fn config(
        self,
        algorithm: RateLimitAlgorithm,
    ) -> Result<RateLimitConfig, RateLimitConfigError> {
        // A window has no burst.
        let burst = self
            .burst
            .filter(|_| algorithm == RateLimitAlgorithm::TokenBucket);
        RateLimitConfig::try_new(algorithm, self.per_s, SECOND, burst)
    }
}

impl OwnLimit {
    /// A limit of which nothing was taken yet.
    ///
    /// # Errors
    /// As [`KeyLimit::check`].
    pub fn try_new(limit: KeyLimit) -> Result<OwnLimit, RateLimitConfigError> {
        limit.check()?;
        Ok(OwnLimit {
            limit,
            limiter: OnceLock::new(),
        })
    }

    /// Returns what is allowed.
    pub fn limit(&self) -> KeyLimit {
        self.limit
    }

    /// Returns what counts. A server counts by one algorithm: that of the first call is kept.
    pub fn limiter(&self, algorithm: RateLimitAlgorithm) -> &SingleLimiter {
        self.limiter.get_or_init(|| {
            let config = self.limit.config(algorithm);
            SingleLimiter::new(config.expect("what can be meant of a bucket, can be of a window"))
        })
    }
}

/// Two are the same that allow the same.
impl PartialEq for OwnLimit {
    fn eq(&self, other: &OwnLimit) -> bool {
        self.limit == other.limit
    }
}

impl Eq for OwnLimit {}

#[cfg(test)]
mod tests {
    use embedder_reliability::Timestamp;

    use super::*;

    const ALGORITHMS: [RateLimitAlgorithm; 3] = [
        RateLimitAlgorithm::TokenBucket,
        RateLimitAlgorithm::SlidingWindow,
        RateLimitAlgorithm::FixedWindow,
    ];

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (per_s, burst, is_valid) in [
            (1, None, true),
            (u32::MAX, Some(u32::MAX), true),
            (10, Some(1), true),
            (0, None, false),
            (1, Some(0), false),
            (1, Some(u32::MAX), false),
        ] {
            let limit = KeyLimit { per_s, burst };
            assert_eq!(limit.check().is_ok(), is_valid, "{limit:?}");
            assert_eq!(OwnLimit::try_new(limit).is_ok(), is_valid);
        }
    }

    #[test]
    fn a_burst_is_that_of_a_bucket_alone() {
        for (algorithm, expected) in ALGORITHMS.into_iter().zip([30, 10, 10]) {
            let limit = KeyLimit {
                per_s: 10,
                burst: Some(30),
            };
            let own = OwnLimit::try_new(limit).unwrap();
            let limiter = own.limiter(algorithm);
            let admitted = (0..40)
                .filter(|_| limiter.try_acquire_n(Timestamp::ZERO, 1).is_allowed())
                .count();
            assert_eq!(admitted, expected, "{algorithm:?}");
        }
    }

    #[test]
    fn a_limit_is_within_another_in_both_of_its_numbers() {
        let limit = |per_s, burst| KeyLimit { per_s, burst };
        for (one, other, expected) in [
            (limit(10, None), limit(10, None), true),
            (limit(9, None), limit(10, None), true),
            (limit(11, None), limit(10, Some(20)), false),
            (limit(10, Some(20)), limit(10, Some(20)), true),
            (limit(10, Some(11)), limit(10, None), false),
            (limit(1, None), limit(10, Some(1)), true),
        ] {
            assert_eq!(one.is_within(other), expected, "{one:?} {other:?}");
        }
    }
}
