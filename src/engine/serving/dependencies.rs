//! What a running server depends on and can do without for a while, with what stands before each.
//!
//! | dependency | critical | an attempt may take | at once | attempts | counts as its failure |
//! |---|---|---|---|---|---|
//! | `encoder` | no | 5 s for a query | 64 | 1 | a panic, a thread that hangs |
//! | `embedding_provider` | no | 10 s | 4 | 3 | no connection, 401, 403, 404, 408, 429, 5xx, an answer that cannot be used |
//! | `content_store` | yes | 5 s | 64 | 1 | reading fails |
//! | `lexical_index` | no | 2 s | 64 | 1 | searching or opening it fails |
//! | `vector_index` | no | 2 s | 64 | 1 | comparing fails, stored vectors cannot be read |
//! | `cache` | no | 100 ms | 64 | 1 | asking it fails |
//!
//! What a client asked wrongly, a queue of our own that is full, and a client that leaves are nobody's failure. No breaker
//! stands before writers: what cannot be written is refused by the disk itself.

use std::sync::Arc;
use std::time::Duration;

use embedder_reliability::circuit_breaker::{CircuitState, Transition};
use embedder_reliability::degradation::Part;
use embedder_reliability::retry::{RetryError, RetryPolicy};

use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, ErrorCode, Result};
use crate::observability::metrics::{
    self, BreakerState, Dependency, Metrics, RetryStop, TransitionReason,
};
use crate::outbound::circuit::{CallOutcome, Circuit, CircuitObserver, CircuitPolicy};

/// A search embeds its query well within this, or is answered by its words.
const ENCODER_TIMEOUT: Duration = Duration::from_secs(5);
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
const INDEX_TIMEOUT: Duration = Duration::from_secs(2);
const CACHE_TIMEOUT: Duration = Duration::from_millis(100);

/// More than threads that could make them.
const AT_ONCE_MAX: usize = 64;

/// How long a call waits for others to end: what waits longer is better refused.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Share of its timeout from which a call is slow, in per cent.
const SLOW_PERCENT: u32 = 80;

/// What a running server depends on, with what stands before each.
pub(crate) struct Dependencies {
    pub(crate) encoder: Arc<Circuit>,
    pub(crate) provider: Option<Arc<Circuit>>,
    pub(crate) store: Arc<Circuit>,
    pub(crate) lexical: Arc<Circuit>,
    pub(crate) vectors: Arc<Circuit>,
    pub(crate) cache: Arc<Circuit>,
}

/// Counts what happens before one dependency.
struct Observe {
    metrics: Arc<Metrics>,
    dependency: Dependency,
}

impl Dependencies {
    /// Puts a circuit before each. `seed` returns random numbers for their jitter.
    ///
    /// # Errors
    /// Settings that cannot work together.
    pub(crate) fn new(
        config: &Config,
        clock: Clock,
        metrics: &Arc<Metrics>,
        mut seed: impl FnMut() -> u64,
    ) -> Result<Dependencies> {
        let mut circuit = |dependency, timeout, at_once_max, retry| {
            let observe = Observe::new(dependency, metrics);
            let policy = policy(config, timeout, at_once_max, retry);
            Circuit::new(dependency.name(), policy, clock, seed(), Arc::new(observe))
                .map(Arc::new)
                .map_err(|error| Error::Settings(vec![format!("breaker: {error}")]))
        };
        let once = RetryPolicy {
            attempts: 1,
            ..config.resilience.retry
        };
        let mut ours = |dependency, timeout| circuit(dependency, timeout, AT_ONCE_MAX, once);
        let encoder = ours(Dependency::Encoder, ENCODER_TIMEOUT)?;
        let store = ours(Dependency::ContentStore, STORE_TIMEOUT)?;
        let lexical = ours(Dependency::LexicalIndex, INDEX_TIMEOUT)?;
        let vectors = ours(Dependency::VectorIndex, INDEX_TIMEOUT)?;
        let cache = ours(Dependency::Cache, CACHE_TIMEOUT)?;
        let provider = match &config.remote {
            Some(remote) => Some(circuit(
                Dependency::EmbeddingProvider,
                remote.timeout,
                remote.at_once_max,
                config.resilience.retry,
            )?),
            None => None,
        };
        Ok(Dependencies {
            encoder,
            provider,
            store,
            lexical,
            vectors,
            cache,
        })
    }

    /// Returns all that there are, with what they are to metrics and health.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Dependency, &Arc<Circuit>)> {
        let ours = [
            (Dependency::Encoder, &self.encoder),
            (Dependency::ContentStore, &self.store),
            (Dependency::LexicalIndex, &self.lexical),
            (Dependency::VectorIndex, &self.vectors),
            (Dependency::Cache, &self.cache),
        ];
        let provider = self.provider.iter();
        ours.into_iter()
            .chain(provider.map(|provider| (Dependency::EmbeddingProvider, provider)))
    }

    /// Returns the one of this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Circuit>> {
        self.all()
            .find(|(dependency, _)| dependency.name() == name)
            .map(|(_, circuit)| circuit)
    }

    /// Returns what stands before a part of the search; the embedder is the local one.
    pub(crate) fn of_part(&self, part: Part) -> &Arc<Circuit> {
        match part {
            Part::Embedder => &self.encoder,
            Part::VectorIndex => &self.vectors,
            Part::LexicalIndex => &self.lexical,
            Part::Cache => &self.cache,
            Part::Store => &self.store,
        }
    }

    /// Brings the metrics up to date that are read and not counted.
    pub(crate) fn measure(&self, metrics: &Metrics) {
        for (dependency, circuit) in self.all() {
            let balance = i64::try_from(circuit.budget().balance()).unwrap_or(i64::MAX);
            metrics.retry_budget_balance[dependency].set(balance);
        }
    }
}

fn policy(
    config: &Config,
    timeout: Duration,
    at_once_max: usize,
    retry: RetryPolicy,
) -> CircuitPolicy {
    let mut breaker = config.resilience.breaker.clone();
    breaker.slow_after = timeout * SLOW_PERCENT / 100;
    CircuitPolicy {
        timeout,
        at_once_max,
        wait_max: WAIT_MAX,
        retry,
        breaker,
    }
}

/// Returns the error of a part that is left alone.
pub(crate) fn left_alone(what: &str, retry_after: Duration) -> Error {
    Error::Unavailable {
        code: ErrorCode::DependencyUnavailable,
        what: format!("{what} is left alone for a while: its circuit breaker is open"),
        retry_after,
    }
}

impl Observe {
    fn new(dependency: Dependency, metrics: &Arc<Metrics>) -> Observe {
        let observe = Observe {
            metrics: Arc::clone(metrics),
            dependency,
        };
        observe.show(CircuitState::Closed);
        observe
    }

    /// Shows the state: exactly one of a dependency's series is 1.
    fn show(&self, state: CircuitState) {
        for known in CircuitState::ALL {
            let is_it = i64::from(known == state);
            self.metrics.breaker_state[self.dependency][state_of(known)].set(is_it);
        }
        let is_open = i64::from(state == CircuitState::Open);
        self.metrics.circuit_breaker_open[self.dependency].set(is_open);
    }
}

impl CircuitObserver for Observe {
    fn ended(&self, outcome: CallOutcome) {
        let outcome = match outcome {
            CallOutcome::Success => metrics::CallOutcome::Success,
            CallOutcome::Failure => metrics::CallOutcome::Failure,
            CallOutcome::Timeout => metrics::CallOutcome::Timeout,
            CallOutcome::Overload => metrics::CallOutcome::Overload,
            CallOutcome::Ignored => metrics::CallOutcome::Ignored,
            CallOutcome::Refused => metrics::CallOutcome::Refused,
            CallOutcome::Busy => metrics::CallOutcome::Busy,
        };
        self.metrics.breaker_calls_total[self.dependency][outcome].inc();
    }

    fn retried(&self) {
        self.metrics.retry_attempts_total[self.dependency].inc();
    }

    fn gave_up(&self, reason: RetryError) {
        let reason = match reason {
            RetryError::NotRetryable => RetryStop::NotRetryable,
            RetryError::Refused => RetryStop::Refused,
            RetryError::Exhausted => RetryStop::Exhausted,
            RetryError::BudgetEmpty => RetryStop::BudgetEmpty,
            RetryError::Deadline => RetryStop::Deadline,
        };
        self.metrics.retries_stopped_total[self.dependency][reason].inc();
    }

    fn transition(&self, transition: &Transition) {
        self.show(transition.to);
        if let Some(reason) = TransitionReason::from_name(transition.reason.name()) {
            let to = state_of(transition.to);
            self.metrics.breaker_transitions_total[self.dependency][to][reason].inc();
        }
        let dependency = self.dependency.name();
        let (from, to) = (transition.from.name(), transition.to.name());
        let reason = transition.reason.name();
        match transition.to {
            // Who reads that it opened wants to read as well that it is over.
            CircuitState::Open | CircuitState::Closed => tracing::warn!(
                dependency,
                from,
                to,
                reason,
                "The circuit breaker of {dependency} is {to}: {reason}"
            ),
            CircuitState::HalfOpen => tracing::info!(
                dependency,
                from,
                to,
                reason,
                "The circuit breaker of {dependency} is {to}: {reason}"
            ),
        }
    }
}

fn state_of(state: CircuitState) -> BreakerState {
    match state {
        CircuitState::Closed => BreakerState::Closed,
        CircuitState::Open => BreakerState::Open,
        CircuitState::HalfOpen => BreakerState::HalfOpen,
    }
}

#[cfg(test)]
mod tests {
    use embedder_reliability::circuit_breaker::TransitionReason as Told;

    use super::*;

    #[test]
    fn every_reason_of_a_transition_has_a_label() {
        for reason in Told::ALL {
            assert!(
                TransitionReason::from_name(reason.name()).is_some(),
                "{reason:?}"
            );
        }
        for state in CircuitState::ALL {
            assert_eq!(state_of(state).name(), state.name());
        }
    }
}
