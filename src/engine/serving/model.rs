//! The model of a running server: loaded once, shared by all, replaced when a better one can be had.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use embedder_index::QueryVector;
use embedder_index::embedded_text::query_text;
use embedder_inference::{InputKind, Tokens};
use embedder_reliability::circuit_breaker::CircuitState;
use quick_cache::sync::Cache;

use super::Service;
use super::dependencies::left_alone;
use super::live::VectorsOf;
use super::workers::Workers;
use crate::clock;
use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::engine::embed::batcher::{
    BatchObserver, Batcher, BatcherLimits, Encode, Lane, Pending, Refused, Threads, Vectors,
};
use crate::error::{Error, ErrorCode, Full, Result};
use crate::outbound::circuit::{Attempt, CallError, Circuit, Fault, Purpose};

/// When a call that found no room is worth making again.
pub(super) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Vectors of queries that were asked before: a kilobyte and a half each.
pub(super) const QUERY_VECTORS: usize = 4_096;

/// A loaded model at work.
pub(crate) struct Model {
    embedder: Arc<Embedder>,
    batcher: Arc<Batcher>,
    vectors_of: VectorsOf,
    queries: Cache<Arc<str>, Arc<QueryVector>>,
}

/// The model, or why there is none.
pub(crate) struct ModelSlot {
    state: RwLock<std::result::Result<Arc<Model>, Arc<str>>>,
}

impl Model {
    /// Loads the model that the settings name and starts its threads.
    pub(crate) fn load(
        config: &Config,
        workers: &Workers,
        observer: Arc<dyn BatchObserver>,
    ) -> Result<Model> {
        let embedder = Arc::new(Embedder::load(config)?);
        let threads = Threads {
            interactive: config.threads,
            bulk: config.threads,
        };
        let limits = BatcherLimits::default();
        let encoder: Arc<dyn Encode> = Arc::clone(&embedder) as _;
        let batcher = match workers {
            Workers::Threads => Batcher::start(encoder, limits, threads, observer)
                .map_err(|error| Error::io("start threads for", "the encoder", error))?,
            #[cfg(test)]
            Workers::Simulated(_) => Batcher::without_threads(encoder, limits, &observer),
        };
        let vectors_of = VectorsOf {
            fingerprint: embedder.fingerprint().to_owned(),
            dimensions: embedder.dimensions(),
        };
        Ok(Model {
            embedder,
            batcher,
            vectors_of,
            queries: Cache::new(QUERY_VECTORS),
        })
    }

    pub(crate) fn embedder(&self) -> &Arc<Embedder> {
        &self.embedder
    }

    pub(crate) fn batcher(&self) -> &Batcher {
        &self.batcher
    }

    pub(crate) fn vectors_of(&self) -> &VectorsOf {
        &self.vectors_of
    }

    /// Hands texts to the encoder.
    ///
    /// # Errors
    /// A full queue, or more texts than ever fit.
    pub(crate) fn submit(
        &self,
        lane: Lane,
        texts: Vec<Tokens>,
        deadline: Option<Instant>,
    ) -> Result<Pending> {
        self.batcher
            .submit(lane, texts, deadline)
            .map_err(|refused| match refused {
                Refused::Full { retry_after } => Error::Busy {
                    full: Full::EmbedQueue,
                    what: "the encoder's queue is full".to_owned(),
                    retry_after,
                },
                Refused::TooLarge { .. } | Refused::Stopped => refused.into(),
            })
    }

    /// Whether a text can be embedded. It waits for the encoder, which may take for ever.
    pub(crate) fn can_embed(&self) -> bool {
        let text = self.embedder.tokenize("a word", InputKind::Query);
        let pending = self.submit(Lane::Interactive, vec![text], None);
        pending.is_ok_and(|pending| pending.wait().is_ok())
    }

    /// Returns the vector of a query, from memory if it was asked before; through the encoder's circuit.
    ///
    /// # Errors
    /// A deadline that passed; a full queue; an encoder that failed, or is left alone.
    pub(crate) async fn query_vector(
        &self,
        query: &str,
        deadline: Instant,
        circuit: &Circuit,
    ) -> Result<Arc<QueryVector>> {
        if let Some(known) = self.queries.get(query) {
            return Ok(known);
        }
        let tokens = self.embedder.tokenize(&query_text(query), InputKind::Query);
        let attempt = |attempt: Attempt| {
            let submitted = self.submit(
                Lane::Interactive,
                vec![tokens.clone()],
                Some(clock::now() + attempt.timeout),
            );
            async { Ok::<_, Error>(submitted?.await?) }
        };
        let vectors = circuit
            .call(Purpose::Answer, Some(deadline), attempt, fault_of)
            .await
            .map_err(|error| unavailable("the encoder", error))?;
        let vector = Arc::new(QueryVector::new(&vectors.into_numbers())?);
        self.queries.insert(Arc::from(query), Arc::clone(&vector));
        Ok(vector)
    }
}

/// Returns whose fault an error of the encoder is: a full queue and a caller that leaves are not its own.
pub(crate) fn fault_of(error: &Error) -> Fault {
    if matches!(error.code(), ErrorCode::Internal | ErrorCode::ModelInvalid) {
        Fault::Transient
    } else {
        Fault::Request
    }
}

/// Returns what a failed call is to clients.
pub(crate) fn unavailable(what: &str, error: CallError<Error>) -> Error {
    match error {
        CallError::Open(open) => left_alone(what, open.retry_after()),
        CallError::Busy => Error::Busy {
            full: Full::Bulkhead,
            what: format!("too many calls of {what} are under way"),
            retry_after: BUSY_RETRY_AFTER,
        },
        CallError::TimedOut(_) | CallError::Deadline => Error::Reported {
            code: ErrorCode::Timeout,
            message: format!("{what} did not answer in time"),
            remedy: Some("allow more time".to_owned()),
        },
        CallError::Failed(error) if fault_of(&error) == Fault::Transient => Error::Unavailable {
            code: ErrorCode::DependencyUnavailable,
            what: format!("{what} failed"),
            retry_after: BUSY_RETRY_AFTER,
        },
        CallError::Failed(error) => error,
    }
}

impl Service {
    /// Embeds the texts of a client, as many as they are, through the encoder's circuit.
    ///
    /// # Errors
    /// As [`Model::submit`]; a deadline that passed; an encoder that failed, or is left alone.
    pub(crate) async fn embed(
        &self,
        model: &Model,
        lane: Lane,
        texts: Vec<Tokens>,
        deadline: Instant,
        began: Instant,
    ) -> Result<Vectors> {
        let circuit = &self.dependencies.encoder;
        // Bulk may take minutes, and would be the probe by which the encoder is judged.
        if lane == Lane::Bulk && circuit.breaker().state() != CircuitState::Closed {
            let snapshot = circuit.breaker().snapshot(self.clock.now());
            let back = snapshot.retry_after.unwrap_or(BUSY_RETRY_AFTER);
            return Err(left_alone("the encoder", back));
        }
        let running = circuit
            .begin(self.clock.at(began))
            .map_err(|open| left_alone("the encoder", open.retry_after()))?;
        let embedded = match model.submit(lane, texts, Some(deadline)) {
            Ok(pending) => pending.await.map_err(Error::from),
            Err(error) => Err(error),
        };
        running.ended_untimed(embedded.as_ref().err().map(fault_of));
        embedded.map_err(|error| unavailable("the encoder", CallError::Failed(error)))
    }
}

impl ModelSlot {
    pub(crate) fn empty(problem: &str) -> ModelSlot {
        ModelSlot {
            state: RwLock::new(Err(Arc::from(problem))),
        }
    }

    /// Returns the model.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn get(&self) -> std::result::Result<Arc<Model>, Arc<str>> {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the model.
    ///
    /// # Errors
    /// [`ErrorCode::ModelUnavailable`] with the reason.
    pub(crate) fn required(&self) -> Result<Arc<Model>> {
        self.get().map_err(|problem| Error::Reported {
            code: ErrorCode::ModelUnavailable,
            message: format!("there is no model: {problem}"),
            remedy: Some("`embedder models pull` installs one; the server finds it".to_owned()),
        })
    }

    pub(crate) fn set(&self, state: Result<Model>) {
        let state = match state {
            Ok(model) => Ok(Arc::new(model)),
            Err(error) => Err(Arc::from(error.with_remedy())),
        };
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
