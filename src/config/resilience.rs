//! What the server does when it is asked too much, or what it depends on fails.

use std::time::Duration;

use embedder_reliability::circuit_breaker::{BreakerPolicy, BreakerPolicyError, WindowKind};
use embedder_reliability::retry::RetryPolicy;

use super::reader::Reader;

/// A burst waits this long at most: a dozen texts of 128 tokens on one core without bf16. Who floods does not wait at all.
const WAIT_MS_MAX: u64 = 500;

const WAITING_MAX: u64 = 256;

/// Three failures are noticed in a quarter of a minute.
const HEALTH_INTERVAL_S: u64 = 5;

const HEALTHY_S: u64 = 10;

/// Ten thousand documents of five chunks, which have up to 1,200 characters each: about 64 MiB of text, and some minutes of
/// work when the encoder is back.
const PENDING_CHUNKS_MAX: u64 = 50_000;

/// What the server does when it is asked too much, or what it depends on fails.
#[derive(Debug, Clone)]
pub struct Resilience {
    /// When a dependency is left alone. How slow is slow follows from its timeout.
    pub breaker: BreakerPolicy,
    /// How failed calls are repeated.
    pub retry: RetryPolicy,
    /// Time from one round of health checks to the next.
    pub health_interval: Duration,
    /// How long something that failed must have been well before it is relied on again.
    pub healthy_for: Duration,
    /// Chunks of documents that may wait for their vectors while what makes those has failed.
    pub pending_chunks_max: u64,
    /// How long a request may wait to be let in.
    pub wait_max: Duration,
    /// Requests that may wait to be let in.
    pub waiting_max: usize,
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Resilience {
    let (breaker, retry) = (BreakerPolicy::default(), RetryPolicy::default());
    let count = |reader: &mut Reader<'_>, key, default: u32, max: u64| {
        u32::try_from(reader.number(key, u64::from(default), 1..=max)).unwrap_or(default)
    };
    let seconds = |reader: &mut Reader<'_>, key, default: Duration| {
        Duration::from_secs(reader.number(key, default.as_secs(), 1..=86_400))
    };
    let millis = |reader: &mut Reader<'_>, key, default: Duration| {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(reader.number(key, default, 1..=600_000))
    };
    let breaker = BreakerPolicy {
        consecutive_failures: count(
            reader,
            "breaker.consecutive_failures",
            breaker.consecutive_failures,
            1_000,
        ),
        failure_percent: count(
            reader,
            "breaker.failure_percent",
            breaker.failure_percent,
            100,
        ),
        slow_percent: count(reader, "breaker.slow_percent", breaker.slow_percent, 100),
        calls_min: count(reader, "breaker.calls_min", breaker.calls_min, 1_000_000),
        window: WindowKind::Time {
            length: seconds(reader, "breaker.window_s", Duration::from_secs(30)),
            buckets: 10,
        },
        open_for: seconds(reader, "breaker.open_s", breaker.open_for),
        open_max: seconds(reader, "breaker.open_s_max", breaker.open_max),
        ..breaker
    };
    if let Err(error) = breaker.check() {
        reader
            .problems
            .push(if error == BreakerPolicyError::MaxBelowFirst {
                "breaker.open_s_max must not be less than breaker.open_s".to_owned()
            } else {
                format!("breaker: {error}")
            });
    }
    let retry = RetryPolicy {
        attempts: count(reader, "retry.attempts", retry.attempts, 100),
        delay_base: millis(reader, "retry.delay_ms", retry.delay_base),
        delay_max: millis(reader, "retry.delay_ms_max", retry.delay_max),
        factor: count(reader, "retry.factor", retry.factor, 100),
    };
    if let Err(error) = retry.check() {
        reader.problems.push(format!("retry: {error}"));
    }
    Resilience {
        breaker,
        retry,
        health_interval: Duration::from_secs(reader.number(
            "health.interval_s",
            HEALTH_INTERVAL_S,
            1..=300,
        )),
        healthy_for: Duration::from_secs(reader.number(
            "degradation.healthy_s",
            HEALTHY_S,
            0..=3_600,
        )),
        pending_chunks_max: reader.number(
            "degradation.pending_chunks_max",
            PENDING_CHUNKS_MAX,
            0..=100_000_000,
        ),
        wait_max: Duration::from_millis(reader.number(
            "admission.wait_ms_max",
            WAIT_MS_MAX,
            0..=60_000,
        )),
        waiting_max: reader.number("admission.waiting_max", WAITING_MAX, 0..=100_000) as usize,
    }
}
