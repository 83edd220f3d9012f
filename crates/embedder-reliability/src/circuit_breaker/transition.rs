//! What a breaker tells when its state changes.

use super::CircuitState;
use crate::Timestamp;

/// Why the state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransitionReason {
    /// Several requests failed in a row.
    ConsecutiveFailures,
    /// Too many of the window's calls failed.
    FailureRate,
    /// Too many of the window's calls were slow.
    SlowRate,
    /// The dependency asked to be left alone for long.
    RetryAfter,
    /// The time it was to stay open has passed.
    Elapsed,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// Too many probes failed.
    ProbesFailed,
    /// Somebody decided it.
    Manual,
}

impl TransitionReason {
    /// Every reason.
    pub const ALL: [TransitionReason; 8] = [
        Self::ConsecutiveFailures,
        Self::FailureRate,
        Self::SlowRate,
        Self::RetryAfter,
        Self::Elapsed,
        Self::ProbesSucceeded,
        Self::ProbesFailed,
        Self::Manual,
    ];

    /// Returns the name that logs and metrics use.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::SlowRate => "slow_rate",
            Self::RetryAfter => "retry_after",
            Self::Elapsed => "elapsed",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::ProbesFailed => "probes_failed",
            Self::Manual => "manual",
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: CircuitState,
    /// The state since.
    pub to: CircuitState,
    /// Why.
    pub reason: TransitionReason,
    /// When.
    pub at: Timestamp,
    /// The epoch that began.
    pub epoch: u64,
}

/// Is told of transitions.
pub trait BreakerObserver: Send + Sync {
    /// Takes note of a transition. Called in order and under the breaker's lock: it must be quick and must not ask the
    /// breaker.
    fn transition(&self, transition: &Transition);
}
