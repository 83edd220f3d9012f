//! Drills: each walks a mechanism on the live server, without harm, and returns what happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use embedder_reliability::circuit_breaker::CircuitState;
use embedder_reliability::degradation::{Inputs, Part, Rung, Set, assess};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Service;
use super::answers::Asked;
use super::find::{Question, Terms};
use super::supervisor::{RecoveryResult, RecoveryStrategy};
use crate::engine::search::filter::Filter;
use crate::engine::search::{Mode, SearchRequest};
use crate::error::{Error, Result};
use crate::outbound::circuit::{Circuit, CircuitPolicy, Fault, Purpose, Unobserved};

/// Callers of the dead dependency that the drill of retries makes up.
const CALLERS: u32 = 1_000;

/// The dependency whose breaker the drill opens: without the cache answers are the same, and take a little longer.
pub const DRILLED: &str = "cache";

/// How the drill of circuit breakers began.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BreakerDrill {
    /// The dependency whose breaker was opened.
    pub dependency: String,
    /// Failures that were reported to it.
    pub failures: u32,
    /// Its state then.
    pub state: String,
    /// How long it stays open, in milliseconds.
    pub open_ms: u64,
}

/// What came of the drill of retries.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RetryDrill {
    /// Requests to a dependency that is dead.
    pub requests: u32,
    /// Calls that were made for them.
    pub calls: u32,
    /// Calls beyond one a request.
    pub extra: u32,
    /// Calls that were made while the breaker was open.
    pub calls_while_open: u32,
}

/// What answered on a rung.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RungDrill {
    /// What was taken away.
    pub without: Vec<String>,
    /// The level of service then.
    pub level: String,
    /// What answered.
    pub served_by: String,
    /// Hits.
    pub hits: usize,
    /// Milliseconds it took.
    pub took_ms: f64,
}

/// What came of the drill of degradation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DegradationDrill {
    /// The collection that was searched.
    pub collection: String,
    /// Each rung.
    pub rungs: Vec<RungDrill>,
}

/// What came of the drill of repairs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecoveryDrill {
    /// What was done.
    pub action: String,
    /// How it ended.
    pub outcome: String,
}

impl Service {
    /// Reports as many failures of the cache as open its breaker. It closes by itself.
    ///
    /// # Errors
    /// A breaker that is not closed.
    pub fn drill_breaker(&self) -> Result<BreakerDrill> {
        let circuit = &self.dependencies.cache;
        let now = self.clock.now();
        if circuit.breaker().state() != CircuitState::Closed {
            return Err(Error::Argument {
                problem: format!("the breaker of the {DRILLED} is not closed"),
                remedy: "wait until it is, or reset it".to_owned(),
            });
        }
        if circuit.breaker().snapshot(now).manual.is_some() {
            return Err(Error::Argument {
                problem: format!("an operator decides about the breaker of the {DRILLED}"),
                remedy: "reset it, or wait until the order has expired".to_owned(),
            });
        }
        let mut failures = 0;
        // An order that comes meanwhile lets calls pass without end.
        while failures < circuit.policy().breaker.consecutive_failures
            && let Ok(running) = circuit.begin(now)
        {
            running.ended(Some(Fault::Permanent));
            failures += 1;
        }
        let found = circuit.breaker().snapshot(now);
        Ok(BreakerDrill {
            dependency: DRILLED.to_owned(),
            failures,
            state: found.state.name().to_owned(),
            open_ms: millis(found.retry_after.unwrap_or_default()),
        })
    }

    /// Lets many callers ask a dependency that is dead, through a circuit of its own with the settings in force.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub async fn drill_retry(&self) -> Result<RetryDrill> {
        let retry = self.config.resilience.retry;
        let mut policy = CircuitPolicy {
            retry,
            at_once_max: CALLERS as usize,
            ..self.dependencies.encoder.policy().clone()
        };
        // First the budget alone holds them back.
        policy.breaker.consecutive_failures = u32::MAX;
        policy.breaker.calls_min = u32::MAX;
        let calls = Arc::new(AtomicU32::new(0));
        let circuit = self.drill_circuit(policy.clone())?;
        let asking = (0..CALLERS).map(|_| ask_the_dead(&circuit, &calls));
        futures_util::future::join_all(asking).await;
        let made = calls.swap(0, Ordering::Relaxed);
        // Then the breaker is open, and nothing is tried at all.
        let breaker = self.config.resilience.breaker.clone();
        let circuit = self.drill_circuit(CircuitPolicy { breaker, ..policy })?;
        let now = self.clock.now();
        circuit
            .breaker()
            .force_open(now, now.plus(Duration::from_secs(60)));
        ask_the_dead(&circuit, &calls).await;
        Ok(RetryDrill {
            requests: CALLERS,
            calls: made,
            extra: made.saturating_sub(CALLERS),
            calls_while_open: calls.load(Ordering::Relaxed),
        })
    }

    /// Answers a question about a collection on every rung, as if the parts above had failed.
    ///
    /// # Errors
    /// A collection that is not there; those of the store.
    pub async fn drill_degradation(
        self: &Arc<Self>,
        collection: &str,
        query: &str,
    ) -> Result<DegradationDrill> {
        let live = self.live(collection)?;
        let mut request = SearchRequest::new(query.to_owned(), Mode::Hybrid);
        request.check()?;
        request.collections.clear();
        let question = Arc::new(Question {
            collections: vec![live],
            filter: Filter::new(&request.filter)?,
            request,
        });
        let losses: [&[Part]; 5] = [
            &[],
            &[Part::Embedder],
            &[Part::LexicalIndex],
            &[Part::Embedder, Part::LexicalIndex],
            &[Part::Store],
        ];
        let mut rungs = Vec::new();
        for lost in losses {
            rungs.push(
                self.drill_rung(&question, lost.iter().copied().collect())
                    .await?,
            );
        }
        Ok(DegradationDrill {
            collection: collection.to_owned(),
            rungs,
        })
    }

    async fn drill_rung(
        self: &Arc<Self>,
        question: &Arc<Question>,
        lost: Set<Part>,
    ) -> Result<RungDrill> {
        let started = Instant::now();
        let service = assess(&Inputs {
            failed: lost,
            ..Inputs::default()
        });
        let now = self.clock.now();
        let terms = Terms {
            now,
            deadline: self.clock.moment(now.plus(Duration::from_secs(10))),
            lowest: Rung::Minimal,
            tenant: None,
        };
        let asked = Asked::new(None, &question.request, &question.collections);
        let answer = self.walk_with(&service, question, &asked, &terms).await?;
        Ok(RungDrill {
            without: lost.iter().map(|part| part.name().to_owned()).collect(),
            level: service.level.name().to_owned(),
            served_by: answer.meta.served_by.name().to_owned(),
            hits: answer.hits.len(),
            took_ms: started.elapsed().as_secs_f64() * 1e3,
        })
    }

    /// Does the repair that costs least.
    pub fn drill_recovery(&self) -> RecoveryDrill {
        let outcome = match self.repair(RecoveryStrategy::ClearCache) {
            RecoveryResult::Recovered => "recovered",
            RecoveryResult::PartialRecovery => "partial_recovery",
            RecoveryResult::RecoveryFailed => "recovery_failed",
            RecoveryResult::RetryLater => "retry_later",
        };
        RecoveryDrill {
            action: "forget all answers".to_owned(),
            outcome: outcome.to_owned(),
        }
    }

    fn drill_circuit(&self, policy: CircuitPolicy) -> Result<Circuit> {
        Circuit::new(
            "drill",
            policy,
            self.clock,
            self.workers.random_seed(),
            Arc::new(Unobserved),
        )
        .map_err(|error| Error::Settings(vec![format!("breaker: {error}")]))
    }
}

/// Asks a dependency that never works; its failure is what is expected.
async fn ask_the_dead(circuit: &Circuit, calls: &AtomicU32) {
    let attempt = |_| {
        calls.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), ()>(()) }
    };
    let dead = circuit
        .call(Purpose::Answer, None, attempt, |()| Fault::Transient)
        .await;
    debug_assert!(dead.is_err(), "it is dead");
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
