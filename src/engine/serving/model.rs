//! The model of a running server: loaded once, shared by all, replaced when a better one can be had.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use embedder_index::QueryVector;
use embedder_index::embedded_text::query_text;
use embedder_inference::{InputKind, Tokens};
use quick_cache::sync::Cache;

use super::live::VectorsOf;
use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::engine::embed::batcher::{
    BatchObserver, Batcher, BatcherLimits, Lane, Pending, Refused, Threads,
};
use crate::error::{Error, ErrorCode, Result};

/// Vectors of queries that were asked before: a kilobyte and a half each.
const QUERY_VECTORS: usize = 4_096;

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
    pub(crate) fn load(config: &Config, observer: Arc<dyn BatchObserver>) -> Result<Model> {
        let embedder = Arc::new(Embedder::load(config)?);
        let threads = Threads {
            interactive: config.threads,
            bulk: config.threads,
        };
        let limits = BatcherLimits::default();
        let batcher = Batcher::start(Arc::clone(&embedder) as _, limits, threads, observer)
            .map_err(|error| Error::io("start threads for", "the encoder", error))?;
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
                    what: "the encoder's queue is full".to_owned(),
                    retry_after,
                },
                Refused::TooLarge { .. } | Refused::Stopped => refused.into(),
            })
    }

    /// Returns the vector of a query, from memory if it was asked before.
    pub(crate) async fn query_vector(
        &self,
        query: &str,
        deadline: Option<Instant>,
    ) -> Result<Arc<QueryVector>> {
        if let Some(known) = self.queries.get(query) {
            return Ok(known);
        }
        let tokens = self.embedder.tokenize(&query_text(query), InputKind::Query);
        let vectors = self
            .submit(Lane::Interactive, vec![tokens], deadline)?
            .await?;
        let vector = Arc::new(QueryVector::new(&vectors.into_numbers())?);
        self.queries.insert(Arc::from(query), Arc::clone(&vector));
        Ok(vector)
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
