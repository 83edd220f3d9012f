//! What a client is told about its limit (draft-ietf-httpapi-ratelimit-headers-10).

use std::time::Duration;

use super::forwarded::is_token;
use super::{RateLimitConfig, RateLimitResult};

/// A longer name says nothing more.
const NAME_BYTES_MAX: usize = 64;

/// The values of the fields `RateLimit-Policy` and `RateLimit` for one limit.
///
/// Seconds are whole in these fields and are rounded up, so who keeps to what it is told is not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitFields {
    name: String,
    policy: String,
}

/// Why a text is no name of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyNameError {
    /// It is no token: empty, or with a character that needs escaping.
    #[error("the name of a policy is no token of HTTP")]
    NotAToken,
    /// It is too long.
    #[error("the name of a policy has at most {max} characters")]
    TooLong {
        /// The longest there may be.
        max: usize,
    },
}

impl RateLimitFields {
    /// The fields of a limit by this name, a token of at most 64 characters.
    pub fn try_new(
        name: &str,
        config: &RateLimitConfig,
    ) -> Result<RateLimitFields, PolicyNameError> {
        if !is_token(name) {
            return Err(PolicyNameError::NotAToken);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(PolicyNameError::TooLong {
                max: NAME_BYTES_MAX,
            });
        }
        let (quota, window) = (config.limit(), ceil_seconds(config.period()));
        Ok(RateLimitFields {
            name: name.to_owned(),
            policy: format!("\"{name}\";q={quota};w={window}"),
        })
    }

    /// Returns the value of `RateLimit-Policy`: `"name";q=100;w=60`.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the value of `RateLimit`: `"name";r=12;t=5`. There is none for a request that is too large: the limit has
    /// nothing to do with it.
    pub fn state(&self, result: &RateLimitResult) -> Option<String> {
        let name = &self.name;
        let (remaining, seconds) = match *result {
            RateLimitResult::Allowed {
                remaining,
                reset_after,
            } => (remaining, ceil_seconds(reset_after)),
            // As long as Retry-After says, which must not be sooner.
            RateLimitResult::Limited {
                retry_after,
                remaining,
            } => (remaining, retry_after_seconds(retry_after)),
            RateLimitResult::TooLarge { .. } => return None,
        };
        Some(format!("\"{name}\";r={remaining};t={seconds}"))
    }
}

/// Returns the value of `Retry-After` for a wait: whole seconds, rounded up, at least 1.
pub fn retry_after_seconds(wait: Duration) -> u64 {
    ceil_seconds(wait).max(1)
}

fn ceil_seconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rate_limiter::RateLimitAlgorithm;

    fn config(limit: u32, period: Duration) -> RateLimitConfig {
        RateLimitConfig::try_new(RateLimitAlgorithm::TokenBucket, limit, period, None).unwrap()
    }

    fn fields() -> RateLimitFields {
        RateLimitFields::try_new("search", &config(100, Duration::from_secs(60))).unwrap()
    }

    #[test]
    fn policies_are_written_as_the_draft_says() {
        assert_eq!(fields().policy(), r#""search";q=100;w=60"#);
        let short = config(5, Duration::from_millis(1_500));
        let fields = RateLimitFields::try_new("a.b-c_1", &short).unwrap();
        assert_eq!(fields.policy(), r#""a.b-c_1";q=5;w=2"#);
    }

    #[test]
    fn states_are_written_as_the_draft_says() {
        let allowed = |remaining, nanos| RateLimitResult::Allowed {
            remaining,
            reset_after: Duration::from_nanos(nanos),
        };
        let limited = |remaining, nanos| RateLimitResult::Limited {
            retry_after: Duration::from_nanos(nanos),
            remaining,
        };
        for (result, expected) in [
            (allowed(12, 5_000_000_000), Some(r#""search";r=12;t=5"#)),
            (allowed(12, 4_000_000_001), Some(r#""search";r=12;t=5"#)),
            (allowed(100, 0), Some(r#""search";r=100;t=0"#)),
            (limited(0, 1), Some(r#""search";r=0;t=1"#)),
            (limited(3, 29_999_999_999), Some(r#""search";r=3;t=30"#)),
            (RateLimitResult::TooLarge { max: 7 }, None),
        ] {
            assert_eq!(fields().state(&result).as_deref(), expected);
        }
    }

    #[test]
    fn a_client_is_never_told_to_come_too_soon() {
        for (wait, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::new(1, 1), 2),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(retry_after_seconds(wait), expected, "{wait:?}");
        }
    }

    #[test]
    fn a_name_that_would_need_escaping_is_refused() {
        let config = config(1, Duration::from_secs(1));
        for name in ["", "a b", "a\"b", "a\\b", "a;b", "ä", "a\n"] {
            let error = RateLimitFields::try_new(name, &config).unwrap_err();
            assert_eq!(error, PolicyNameError::NotAToken, "{name:?}");
        }
        let error = RateLimitFields::try_new(&"a".repeat(65), &config).unwrap_err();
        assert_eq!(error, PolicyNameError::TooLong { max: 64 });
        assert!(RateLimitFields::try_new(&"a".repeat(64), &config).is_ok());
    }

    /// Reads `"name";a=1;b=2` into its name and numbers: an item of structured fields (RFC 9651) of this shape.
    fn read(value: &str) -> (&str, Vec<(&str, u64)>) {
        let (name, parameters) = value[1..].split_once('"').unwrap();
        let parameters = parameters
            .split(';')
            .skip(1)
            .map(|parameter| {
                let (key, number) = parameter.split_once('=').unwrap();
                assert!(
                    number.len() <= 15,
                    "structured fields have no longer integers"
                );
                (key, number.parse().unwrap())
            })
            .collect();
        (name, parameters)
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(
            name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}",
            limit in 1_u32..,
            period in 1_u64..=366 * 86_400 * 1_000_000_000,
            remaining: u32,
            wait: u64,
        ) {
            let period = Duration::from_nanos(period);
            let fields = RateLimitFields::try_new(&name, &config(limit, period)).unwrap();
            let window = period.as_nanos().div_ceil(1_000_000_000) as u64;
            prop_assert_eq!(
                read(fields.policy()),
                (name.as_str(), vec![("q", u64::from(limit)), ("w", window)])
            );
            let reset_after = Duration::from_nanos(wait);
            let state = fields
                .state(&RateLimitResult::Allowed { remaining, reset_after })
                .unwrap();
            prop_assert_eq!(
                read(&state),
                (name.as_str(), vec![("r", u64::from(remaining)), ("t", wait.div_ceil(1_000_000_000))])
            );
        }
    }
}
