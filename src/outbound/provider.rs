//! A remote embedding provider: any server that speaks OpenAI's `/embeddings`.
//!
//! Texts go out in calls no larger than the provider takes, no faster than it is allowed to be asked, and through a
//! [`Circuit`]. Nothing that comes back is believed: every text must have its vector, of the length agreed, of finite
//! numbers; else the whole answer counts as a failure of the provider and none of it is used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use embedder_reliability::circuit_breaker::CircuitState;
use embedder_reliability::rate_limiter::{
    RateLimitAlgorithm, RateLimitConfig, RateLimitResult, RateLimiter,
};
use serde::Serialize;

use super::circuit::{Attempt, CallError, Circuit, Fault, Purpose};

mod answer;
#[cfg(test)]
mod tests;
mod transport;

use answer::BadAnswer;
pub use transport::{HttpTransport, Sent, Transport, TransportError};

/// What any provider takes.
const HARMLESS: &str = "a word";

/// What is said of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// The model's name, as the provider knows it.
    pub model: String,
    /// The length of its vectors.
    pub dimensions: usize,
    /// Whether the provider is told that length, for models that can shorten their vectors.
    pub requests_dimensions: bool,
    /// Most texts of a call.
    pub batch_texts_max: usize,
    /// Most bytes of the texts of a call, unless it is a single longer text.
    pub batch_bytes_max: usize,
    /// Most calls a minute, where there is a limit.
    pub calls_per_minute_max: Option<u32>,
}

/// A remote embedding provider.
pub struct Provider {
    settings: ProviderSettings,
    transport: Arc<dyn Transport>,
    circuit: Arc<Circuit>,
    pace: Option<RateLimiter<u64>>,
}

/// Why a provider gave no vectors. None of these says anything that the provider sent: it may repeat what it was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It could not be reached, or the connection broke.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// It refused.
    #[error("the embedding provider answered with status {status}{}", hint_of(*status))]
    Status {
        /// The status.
        status: u16,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It was not asked: it allows us no more calls before the deadline.
    #[error("the embedding provider allows no more calls for now")]
    TooSoon {
        /// When it does.
        retry_after: Duration,
    },
    /// It answered with what cannot be used.
    #[error("the embedding provider's answer cannot be used: {0}")]
    BadAnswer(#[from] BadAnswer),
}

impl ProviderError {
    /// Returns whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            // Our own limit says nothing about the provider.
            ProviderError::TooSoon { .. } => Fault::NotAsked,
            ProviderError::Transport(TransportError::Unsendable) => Fault::Request,
            ProviderError::Transport(_) => Fault::Transient,
            // The same texts would bring the same answer.
            ProviderError::BadAnswer(_) => Fault::Permanent,
            ProviderError::Status {
                status,
                retry_after,
            } => fault_of_status(*status, *retry_after),
        }
    }
}

/// Says which setting a status is about.
fn hint_of(status: u16) -> &'static str {
    match status {
        401 | 403 => ": see embedding.api_key",
        404 | 405 => ": see embedding.url and embedding.model",
        _ => "",
    }
}

fn fault_of_status(status: u16, retry_after: Option<Duration>) -> Fault {
    match status {
        429 => Fault::Overload { retry_after },
        503 if retry_after.is_some() => Fault::Overload { retry_after },
        408 | 425 | 500 | 502 | 503 | 504 => Fault::Transient,
        // Our key, our address: every call fails alike, whatever clients ask.
        400 | 413 | 422 => Fault::Request,
        _ => Fault::Permanent,
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

impl Provider {
    /// Speaks to a provider through a circuit.
    pub fn new(
        settings: ProviderSettings,
        transport: Arc<dyn Transport>,
        circuit: Arc<Circuit>,
    ) -> Provider {
        let minute = Duration::from_secs(60);
        let pace = settings.calls_per_minute_max.and_then(|calls| {
            let bucket = RateLimitAlgorithm::TokenBucket;
            RateLimitConfig::try_new(bucket, calls, minute, None).ok()
        });
        Provider {
            pace: pace.map(RateLimiter::new),
            settings,
            transport,
            circuit,
        }
    }

    /// Returns what is said of it.
    pub fn settings(&self) -> &ProviderSettings {
        &self.settings
    }

    /// Returns what stands before it.
    pub fn circuit(&self) -> &Arc<Circuit> {
        &self.circuit
    }

    /// Returns how many of the texts, from the first on, go out in one call; at least one where there is one.
    pub fn fit(&self, texts: &[String]) -> usize {
        let mut bytes = 0;
        let fit = texts
            .iter()
            .take(self.settings.batch_texts_max)
            .take_while(|text| {
                bytes += text.len();
                bytes <= self.settings.batch_bytes_max
            })
            .count();
        fit.max(1).min(texts.len())
    }

    /// Returns the vectors of texts that [`fit`](Provider::fit) in one call, in their order.
    ///
    /// A call that is a [`Purpose::Trial`] waits for no turn, and leaves some to answers.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn embed(
        &self,
        purpose: Purpose,
        texts: &[String],
        deadline: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, CallError<ProviderError>> {
        let fault = ProviderError::fault;
        self.call(purpose, texts, deadline, fault).await
    }

    /// Sees whether it works at all, by a text that anything takes: one that refuses it refuses everything.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn check(&self) -> Result<(), CallError<ProviderError>> {
        let fault = |error: &ProviderError| match (error, error.fault()) {
            (ProviderError::Status { .. }, Fault::Request) => Fault::Permanent,
            (_, fault) => fault,
        };
        let texts = [HARMLESS.to_owned()];
        self.call(Purpose::Answer, &texts, None, fault)
            .await
            .map(drop)
    }

    async fn call(
        &self,
        purpose: Purpose,
        texts: &[String],
        deadline: Option<Instant>,
        fault: impl Fn(&ProviderError) -> Fault,
    ) -> Result<Vec<Vec<f32>>, CallError<ProviderError>> {
        let body = self.body(texts);
        let paced = match purpose {
            // It lets nothing through, so nothing is sent.
            _ if self.circuit.breaker().state() == CircuitState::Open => Ok(()),
            Purpose::Answer => self.keep_pace(deadline).await,
            Purpose::Trial => self.take_turn(self.kept_for_answers()),
        };
        paced.map_err(CallError::Failed)?;
        let attempt = |attempt| self.ask(body.clone(), texts.len(), attempt);
        self.circuit.call(purpose, deadline, attempt, fault).await
    }

    async fn ask(
        &self,
        body: Bytes,
        texts: usize,
        attempt: Attempt,
    ) -> Result<Vec<Vec<f32>>, ProviderError> {
        let dimensions = self.settings.dimensions;
        let bytes_max = answer::bytes_max(texts, dimensions);
        if attempt.number > 0 {
            self.take_turn(0)?;
        }
        let sent = self.transport.post(body, attempt, bytes_max).await?;
        if !(200..300).contains(&sent.status) {
            return Err(ProviderError::Status {
                status: sent.status,
                retry_after: sent.retry_after,
            });
        }
        Ok(answer::vectors_of(&sent.body, texts, dimensions)?)
    }

    /// Waits until the provider allows another call. That is our time and not the provider's, so it is no part of the call.
    async fn keep_pace(&self, deadline: Option<Instant>) -> Result<(), ProviderError> {
        let clock = self.circuit.clock();
        let patience = clock.now().plus(self.circuit.policy().timeout);
        let until = deadline.map_or(patience, |deadline| clock.at(deadline).min(patience));
        while let Err(ProviderError::TooSoon { retry_after }) = self.take_turn(0) {
            if clock.now().plus(retry_after) >= until {
                return Err(ProviderError::TooSoon { retry_after });
            }
            tokio::time::sleep(retry_after).await;
        }
        Ok(())
    }

    /// Takes one of the calls that the provider allows, if there is one now beside those that are `kept`.
    fn take_turn(&self, kept: u32) -> Result<(), ProviderError> {
        let Some(pace) = &self.pace else {
            return Ok(());
        };
        let now = self.circuit.clock().now();
        let too_soon = |result| match result {
            RateLimitResult::Limited { retry_after, .. } => {
                Err(ProviderError::TooSoon { retry_after })
            }
            RateLimitResult::Allowed { .. } | RateLimitResult::TooLarge { .. } => Ok(()),
        };
        // Those who come together do not see each other, and may take of what is kept.
        too_soon(pace.peek(0, now, 1 + kept))?;
        too_soon(pace.try_acquire(0, now))
    }

    /// Returns how many of the calls that are allowed in a minute are kept for those who wait for an answer.
    fn kept_for_answers(&self) -> u32 {
        let calls = self.settings.calls_per_minute_max.unwrap_or_default();
        calls.div_ceil(4).min(calls.saturating_sub(1))
    }

    fn body(&self, texts: &[String]) -> Bytes {
        let request = Request {
            model: &self.settings.model,
            input: texts,
            encoding_format: "float",
            dimensions: self
                .settings
                .requests_dimensions
                .then_some(self.settings.dimensions),
        };
        serde_json::to_vec(&request)
            .expect("texts and numbers can be written as JSON")
            .into()
    }
}
