//! A remote embedding provider at work, for the collections that opted in.
//!
//! Its vectors have a fingerprint of their own, made of its address, its model and their length, so they never mix with
//! those of another model. Only texts of collections that opted in, and queries about them, are sent.

mod portion;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use embedder_index::QueryVector;
use embedder_index::embedded_text::query_text;
use embedder_inference::Workspace;
use quick_cache::sync::Cache;
use reqwest::Url;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use super::dependencies::left_alone;
use super::live::VectorsOf;
use super::model::{BUSY_RETRY_AFTER, QUERY_VECTORS};
use super::run::PATIENCE;
use super::workers::{Waiter, Workers};
use crate::config::RemoteEmbedding;
use crate::engine::ingest::embed_documents::{EmbedDocuments, EmbeddedTexts, Stops};
use crate::error::{Error, ErrorCode, Full, Result};
use crate::outbound::circuit::{CallError, Circuit, Fault, Purpose};
use crate::outbound::provider::{
    HttpTransport, Provider, ProviderError, ProviderSettings, Transport,
};
use portion::Portion;

/// Texts of documents that go out at a time, at most: where one of them is refused, it is found among them.
const TEXTS_MAX: usize = 64;

/// How often a call for documents is made again that the provider had no time for, before it may be too much of itself.
const OVERLOADS_MAX: u32 = 5;

/// How long is waited before, where the provider does not say: the first time, and twice as long each time. And at most.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);
const OVERLOAD_PAUSE_MAX: Duration = Duration::from_secs(60);

/// A remote provider at work.
pub(crate) struct RemoteModel {
    provider: Provider,
    vectors_of: VectorsOf,
    queries: Cache<Arc<str>, Arc<QueryVector>>,
    /// How threads of our own wait for their calls.
    waiter: Waiter,
    /// Calls for documents that may be under way at once; one more is left to queries.
    at_once: Semaphore,
    /// How many texts of documents it makes vectors of in time.
    portion: Mutex<Portion>,
    is_ended: watch::Sender<bool>,
}

impl RemoteModel {
    /// Speaks to the provider that the settings name, through its circuit.
    ///
    /// # Errors
    /// An address that no client can be made for; a thread without a runtime.
    pub(crate) fn new(
        settings: &RemoteEmbedding,
        workers: &Workers,
        circuit: Arc<Circuit>,
    ) -> Result<RemoteModel> {
        let (transport, waiter): (Arc<dyn Transport>, _) = match workers {
            Workers::Threads => {
                let transport = http_transport(settings)?;
                let runtime = Handle::try_current()
                    .map_err(|_| Error::Internal("a provider without a runtime".to_owned()))?;
                (Arc::new(transport), Waiter::On(runtime))
            }
            #[cfg(test)]
            Workers::Simulated(world) => {
                let waiter = Waiter::Drives(Arc::clone(world));
                (Arc::clone(&world.transport), waiter)
            }
        };
        let of_provider = ProviderSettings {
            model: settings.model.clone(),
            dimensions: settings.dimensions,
            requests_dimensions: settings.requests_dimensions,
            batch_texts_max: settings.batch_texts_max,
            batch_bytes_max: settings.batch_bytes_max,
            calls_per_minute_max: settings.calls_per_minute_max,
        };
        let at_once = Semaphore::new(documents_at_once(&circuit));
        Ok(RemoteModel {
            provider: Provider::new(of_provider, transport, circuit),
            vectors_of: VectorsOf {
                fingerprint: settings.fingerprint(),
                dimensions: settings.dimensions,
            },
            queries: Cache::new(QUERY_VECTORS),
            waiter,
            at_once,
            portion: Mutex::new(Portion::new(settings.batch_texts_max.min(TEXTS_MAX))),
            is_ended: watch::Sender::new(false),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.provider.settings().model
    }

    pub(crate) fn vectors_of(&self) -> &VectorsOf {
        &self.vectors_of
    }

    /// Returns the vector of a query, from memory if it was asked before.
    ///
    /// # Errors
    /// A deadline that passed; a provider that fails, or is left alone.
    pub(crate) async fn query_vector(
        &self,
        query: &str,
        deadline: Instant,
    ) -> Result<Arc<QueryVector>> {
        if let Some(known) = self.queries.get(query) {
            return Ok(known);
        }
        let texts = [query_text(query)];
        let vectors = self
            .provider
            .embed(Purpose::Answer, &texts, Some(deadline))
            .await;
        let vectors = vectors.map_err(error_of).map_err(of_query)?;
        let numbers = vectors.first().map_or(&[][..], Vec::as_slice);
        let vector = Arc::new(QueryVector::new(numbers)?);
        self.queries.insert(Arc::from(query), Arc::clone(&vector));
        Ok(vector)
    }

    /// Sees whether it works at all. It waits for the answer.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn check(&self) -> Result<()> {
        self.wait_for(async { self.provider.check().await.map_err(error_of) })
    }

    /// Ends calls that nobody waits for with a deadline. What they were made for is made by the next server.
    pub(crate) fn end(&self) {
        self.is_ended.send_replace(true);
    }

    /// Waits for a call, unless the server ends.
    fn wait_for<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let mut is_ended = self.is_ended.subscribe();
        self.waiter.wait_for(async {
            tokio::select! {
                // In this order, so that a simulation is the same each time.
                biased;
                _ = is_ended.wait_for(|is_ended| *is_ended) => Err(Error::Interrupted),
                ended = call => ended,
            }
        })
    }

    /// Makes a call for documents, which have time: it waits where no more may be under way, none may be made now, or the
    /// provider has no time, so often at most.
    ///
    /// # Errors
    /// Those of the call; [`Error::Busy`] where the provider had no time then either; [`Error::Interrupted`].
    fn wait_patiently<T>(
        &self,
        stops: Stops<'_>,
        overloads_max: u32,
        call: impl AsyncFn() -> Result<T, CallError<ProviderError>>,
    ) -> Result<T> {
        self.wait_for(async {
            let _place = loop {
                match tokio::time::timeout(PATIENCE, self.at_once.acquire()).await {
                    Ok(place) => break place,
                    Err(_) if stops() => return Err(Error::Interrupted),
                    Err(_) => {}
                }
            };
            let mut overloads = 0;
            loop {
                match call().await {
                    Err(CallError::Failed(ProviderError::TooSoon { retry_after })) => {
                        rest_for(retry_after.min(PATIENCE), stops).await?;
                    }
                    Err(CallError::Busy) => rest_for(BUSY_RETRY_AFTER, stops).await?,
                    Err(CallError::Failed(error)) if overloads_max > 0 => {
                        let Fault::Overload { retry_after } = error.fault() else {
                            return Err(error_of(CallError::Failed(error)));
                        };
                        let pause = retry_after.unwrap_or(OVERLOAD_PAUSE * (1 << overloads));
                        let pause = pause.min(OVERLOAD_PAUSE_MAX);
                        if overloads == overloads_max {
                            return Err(Error::Busy {
                                full: Full::Bulkhead,
                                what: error.to_string(),
                                retry_after: pause,
                            });
                        }
                        overloads += 1;
                        rest_for(pause, stops).await?;
                    }
                    ended => return ended.map_err(error_of),
                }
            }
        })
    }

    fn check_patiently(&self, stops: Stops<'_>) -> Result<()> {
        self.wait_patiently(stops, 0, async || self.provider.check().await)
    }

    fn portion(&self) -> MutexGuard<'_, Portion> {
        self.portion.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits, unless it is stopped meanwhile.
async fn rest_for(mut time: Duration, stops: Stops<'_>) -> Result<()> {
    while !stops() {
        let part = time.min(PATIENCE);
        tokio::time::sleep(part).await;
        time -= part;
        if time.is_zero() {
            return Ok(());
        }
    }
    Err(Error::Interrupted)
}

impl EmbedDocuments for &RemoteModel {
    fn fingerprint(&self) -> &str {
        &self.vectors_of.fingerprint
    }

    fn name(&self) -> &str {
        RemoteModel::name(self)
    }

    fn dimensions(&self) -> usize {
        self.vectors_of.dimensions
    }

    fn texts_at_a_time(&self) -> usize {
        self.provider.settings().batch_texts_max.min(TEXTS_MAX)
    }

    fn threads_max(&self) -> usize {
        documents_at_once(self.provider.circuit())
    }

    fn fit(&self, texts: &[String]) -> usize {
        self.provider.fit(texts).min(self.portion().texts())
    }

    fn embed(
        &self,
        _: &mut Workspace,
        texts: &[String],
        stops: Stops<'_>,
    ) -> Result<EmbeddedTexts> {
        let made = self.wait_patiently(stops, OVERLOADS_MAX, async || {
            let ended = self.provider.embed(Purpose::Trial, texts, None).await;
            match &ended {
                Ok(_) => self.portion().went_well(texts.len()),
                Err(CallError::TimedOut(_)) => self.portion().was_too_much(texts.len()),
                Err(_) => {}
            }
            ended
        });
        if let Err(Error::Busy { .. }) = &made {
            // Where it has no time for anything, this was not too much.
            self.check_patiently(stops)?;
            self.portion().was_too_much(texts.len());
        }
        Ok(EmbeddedTexts {
            numbers: made?.concat(),
            // A provider does not say.
            truncated: 0,
        })
    }

    fn check(&self, _: &mut Workspace, stops: Stops<'_>) -> Result<()> {
        self.check_patiently(stops)
    }
}

/// Returns how many calls for documents may be under way at once: one is left to queries.
fn documents_at_once(circuit: &Circuit) -> usize {
    circuit.policy().at_once_max.saturating_sub(1).max(1)
}

fn http_transport(settings: &RemoteEmbedding) -> Result<HttpTransport> {
    let unusable = |problem: &dyn std::fmt::Display| {
        Error::Settings(vec![format!("embedding.url: {problem}")])
    };
    let url = Url::parse(&settings.url).map_err(|error| unusable(&error))?;
    HttpTransport::new(&url, settings.key.clone()).map_err(|error| unusable(&error))
}

/// A query that the provider refuses is none that a client asked wrongly: by words it can be answered.
fn of_query(error: Error) -> Error {
    if error.code() != ErrorCode::InvalidRequest {
        return error;
    }
    Error::Unavailable {
        code: ErrorCode::DependencyUnavailable,
        what: error.to_string(),
        retry_after: BUSY_RETRY_AFTER,
    }
}

fn error_of(error: CallError<ProviderError>) -> Error {
    const WHAT: &str = "the embedding provider";
    match error {
        CallError::Open(open) => left_alone(WHAT, open.retry_after()),
        CallError::Busy => Error::Busy {
            full: Full::Bulkhead,
            what: format!("too many calls of {WHAT} are under way"),
            retry_after: BUSY_RETRY_AFTER,
        },
        CallError::TimedOut(_) | CallError::Deadline => Error::Reported {
            code: ErrorCode::Timeout,
            message: format!("{WHAT} did not answer in time"),
            remedy: Some("allow more time".to_owned()),
        },
        CallError::Failed(ProviderError::TooSoon { retry_after }) => Error::Busy {
            full: Full::Bulkhead,
            what: format!("{WHAT} may be asked no more often"),
            retry_after,
        },
        CallError::Failed(error) => {
            let code = match error.fault() {
                Fault::Request if matches!(error, ProviderError::Status { .. }) => {
                    ErrorCode::InvalidRequest
                }
                Fault::Request | Fault::NotAsked => ErrorCode::DependencyUnavailable,
                Fault::Permanent if matches!(error, ProviderError::BadAnswer(_)) => {
                    ErrorCode::BadUpstream
                }
                Fault::Permanent | Fault::Transient | Fault::Overload { .. } => {
                    ErrorCode::DependencyUnavailable
                }
            };
            Error::Unavailable {
                code,
                what: error.to_string(),
                retry_after: BUSY_RETRY_AFTER,
            }
        }
    }
}
