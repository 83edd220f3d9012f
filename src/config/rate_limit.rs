//! How much one caller may ask.

use std::time::Duration;

use embedder_reliability::rate_limiter::{Network, RateLimitAlgorithm, RateLimitConfig};

use super::reader::Reader;

/// Requests a second of an address that shows no key, and how many of them at once: a person with a browser.
const ADDRESS_PER_S: u32 = 20;
const ADDRESS_BURST: u32 = 40;

/// Keys that an address may get wrong in a minute: a person who mistypes, and nobody who guesses.
const AUTH_FAILURES_PER_MIN: u32 = 5;

/// How much one caller may ask, each part off where there is none.
#[derive(Debug, Clone)]
pub struct RateLimits {
    /// Requests without a key, by address.
    pub address: Option<RateLimitConfig>,
    /// Keys that do not open, by address.
    pub auth_failures: Option<RateLimitConfig>,
    /// How units of work are counted.
    pub algorithm: RateLimitAlgorithm,
    /// Units of work, by key; a key that was given a limit of its own has that.
    pub key: Option<RateLimitConfig>,
    /// Units of work, by tenant.
    pub tenant: Option<RateLimitConfig>,
    /// Units of searching of all callers together.
    pub search: Option<RateLimitConfig>,
    /// Units of embedding of all callers together.
    pub embed: Option<RateLimitConfig>,
    /// Units of writing of all callers together.
    pub write: Option<RateLimitConfig>,
    /// Units of all callers together.
    pub all: Option<RateLimitConfig>,
    /// Proxies that are believed when they say who the client is.
    pub trusted_proxies: Vec<Network>,
}

pub(super) fn parse(reader: &mut Reader<'_>) -> RateLimits {
    let algorithm = match reader
        .text("rate_limit.algorithm", Some("token_bucket"))
        .as_deref()
    {
        Some("token_bucket") => RateLimitAlgorithm::TokenBucket,
        Some("sliding_window") => RateLimitAlgorithm::SlidingWindow,
        Some("fixed_window") => RateLimitAlgorithm::FixedWindow,
        other => {
            reader.problems.push(format!(
                "rate_limit.algorithm must be `token_bucket`, `sliding_window` or `fixed_window`, not {:?}",
                other.unwrap_or_default()
            ));
            RateLimitAlgorithm::TokenBucket
        }
    };
    let second = Duration::from_secs(1);
    let per_s = reader.number_or_off("rate_limit.address_per_s", Some(ADDRESS_PER_S));
    let burst = reader.number_or_off("rate_limit.address_burst", Some(ADDRESS_BURST));
    let bucket = RateLimitAlgorithm::TokenBucket;
    let address = limit(
        reader,
        "rate_limit.address_per_s",
        bucket,
        per_s,
        second,
        burst,
    );
    let failures = reader.number_or_off(
        "rate_limit.auth_failures_per_min",
        Some(AUTH_FAILURES_PER_MIN),
    );
    let auth_failures = limit(
        reader,
        "rate_limit.auth_failures_per_min",
        RateLimitAlgorithm::SlidingWindow,
        failures,
        Duration::from_secs(60),
        None,
    );
    let burst = reader.number_or_off("rate_limit.burst", None);
    let mut units = |key| {
        let per_s = reader.number_or_off(key, None);
        let burst = burst.filter(|_| algorithm == RateLimitAlgorithm::TokenBucket);
        limit(reader, key, algorithm, per_s, second, burst)
    };
    RateLimits {
        address,
        auth_failures,
        algorithm,
        key: units("rate_limit.key_per_s"),
        tenant: units("rate_limit.tenant_per_s"),
        search: units("rate_limit.search_per_s"),
        embed: units("rate_limit.embed_per_s"),
        write: units("rate_limit.write_per_s"),
        all: units("rate_limit.all_per_s"),
        trusted_proxies: trusted_proxies(reader),
    }
}

fn limit(
    reader: &mut Reader<'_>,
    key: &str,
    algorithm: RateLimitAlgorithm,
    limit: Option<u32>,
    period: Duration,
    burst: Option<u32>,
) -> Option<RateLimitConfig> {
    RateLimitConfig::try_new(algorithm, limit?, period, burst)
        .inspect_err(|error| reader.problems.push(format!("{key}: {error}")))
        .ok()
}

fn trusted_proxies(reader: &mut Reader<'_>) -> Vec<Network> {
    let text = reader
        .text("server.trusted_proxies", None)
        .unwrap_or_default();
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let mut networks = Vec::new();
    for part in parts {
        match part.parse() {
            Ok(network) => networks.push(network),
            Err(error) => reader
                .problems
                .push(format!("server.trusted_proxies: {part:?}: {error}")),
        }
    }
    networks
}
