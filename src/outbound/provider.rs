//! A remote embedding provider: any server that speaks OpenAI's `/embeddings`.
//!
//! Texts go out in batches no larger than the provider takes, no faster than it is allowed to be asked, and through a
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

    /// Returns the vectors of texts, in their order.
    ///
    /// # Errors
    /// Those of the first batch that fails; vectors of batches before it are lost.
    pub async fn embed(
        &self,
        purpose: Purpose,
        texts: &[String],
        deadline: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, CallError<ProviderError>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in self.batches(texts) {
            let made = self.call(purpose, batch, deadline, ProviderError::fault);
            vectors.extend(made.await?);
        }
        Ok(vectors)
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
        self.keep_pace(deadline).await.map_err(CallError::Failed)?;
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
            self.take_turn()?;
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
        if self.circuit.breaker().state() == CircuitState::Open {
            return Ok(());
        }
        let clock = self.circuit.clock();
        let patience = clock.now().plus(self.circuit.policy().timeout);
        let until = deadline.map_or(patience, |deadline| clock.at(deadline).min(patience));
        while let Err(ProviderError::TooSoon { retry_after }) = self.take_turn() {
            if clock.now().plus(retry_after) >= until {
                return Err(ProviderError::TooSoon { retry_after });
            }
            tokio::time::sleep(retry_after).await;
        }
        Ok(())
    }

    /// Takes one of the calls that the provider allows, if there is one now.
    fn take_turn(&self) -> Result<(), ProviderError> {
        let Some(pace) = &self.pace else {
            return Ok(());
        };
        match pace.try_acquire(0, self.circuit.clock().now()) {
            RateLimitResult::Limited { retry_after, .. } => {
                Err(ProviderError::TooSoon { retry_after })
            }
            RateLimitResult::Allowed { .. } | RateLimitResult::TooLarge { .. } => Ok(()),
        }
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

    /// Cuts texts into as many as the provider takes at a time.
    fn batches<'a>(&self, mut texts: &'a [String]) -> impl Iterator<Item = &'a [String]> {
        let (texts_max, bytes_max) = (self.settings.batch_texts_max, self.settings.batch_bytes_max);
        std::iter::from_fn(move || {
            let mut bytes = 0;
            let fit = texts
                .iter()
                .take(texts_max)
                .take_while(|text| {
                    bytes += text.len();
                    bytes <= bytes_max
                })
                .count();
            let (batch, rest) = texts.split_at(fit.max(1).min(texts.len()));
            texts = rest;
            (!batch.is_empty()).then_some(batch)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::sync::Mutex;

    use embedder_reliability::circuit_breaker::{BreakerPolicy, CircuitState, Transition};
    use embedder_reliability::retry::{RetryError, RetryPolicy};
    use serde_json::json;

    use super::super::circuit::{CallOutcome, CircuitObserver, CircuitPolicy};
    use super::*;
    use crate::clock::Clock;

    struct Quiet;

    impl CircuitObserver for Quiet {
        fn ended(&self, _: CallOutcome) {}
        fn retried(&self) {}
        fn gave_up(&self, _: RetryError) {}
        fn transition(&self, _: &Transition) {}
    }

    /// Answers what it was told to, and remembers what it was asked.
    #[derive(Default)]
    struct Script {
        answers: Mutex<VecDeque<Result<Sent, TransportError>>>,
        asked: Mutex<Vec<serde_json::Value>>,
    }

    impl Transport for Script {
        fn post(
            &self,
            body: Bytes,
            _: Attempt,
            _: usize,
        ) -> Pin<Box<dyn Future<Output = Result<Sent, TransportError>> + Send + '_>> {
            let asked = serde_json::from_slice(&body).unwrap();
            self.asked.lock().unwrap().push(asked);
            let answer = self.answers.lock().unwrap().pop_front();
            Box::pin(std::future::ready(answer.expect("an answer was prepared")))
        }
    }

    fn sent(status: u16, body: &serde_json::Value) -> Result<Sent, TransportError> {
        Ok(Sent {
            status,
            retry_after: None,
            body: body.to_string().into(),
        })
    }

    fn vectors(count: usize) -> serde_json::Value {
        let row = |index| json!({"object": "embedding", "index": index, "embedding": [0.5, 0.25]});
        json!({"object": "list", "data": (0..count).map(row).collect::<Vec<_>>(), "model": "m"})
    }

    fn provider(answers: Vec<Result<Sent, TransportError>>) -> (Provider, Arc<Script>) {
        let script = Arc::new(Script {
            answers: Mutex::new(answers.into()),
            asked: Mutex::default(),
        });
        let policy = CircuitPolicy {
            timeout: Duration::from_secs(10),
            at_once_max: 4,
            wait_max: Duration::from_secs(1),
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
        };
        let circuit = Circuit::new("provider", policy, Clock::start(), 1, Arc::new(Quiet)).unwrap();
        let settings = ProviderSettings {
            model: "m".to_owned(),
            dimensions: 2,
            requests_dimensions: false,
            batch_texts_max: 3,
            batch_bytes_max: 10,
            calls_per_minute_max: None,
        };
        let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
        (
            Provider::new(settings, transport, Arc::new(circuit)),
            script,
        )
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn texts_go_out_in_batches_that_the_provider_takes() {
        let answers = [3, 1, 1, 2].map(|count| sent(200, &vectors(count)));
        let (provider, script) = provider(answers.into());
        let all = texts(&["a", "b", "c", "d234567", "longer than ten bytes", "e", "f"]);
        assert_eq!(
            provider
                .embed(Purpose::Answer, &all, None)
                .await
                .unwrap()
                .len(),
            7
        );
        let asked = script.asked.lock().unwrap();
        let inputs: Vec<_> = asked.iter().map(|body| body["input"].clone()).collect();
        assert_eq!(
            inputs,
            [
                json!(["a", "b", "c"]),
                json!(["d234567"]),
                json!(["longer than ten bytes"]),
                json!(["e", "f"])
            ]
        );
        assert!(asked[0].get("dimensions").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hiccup_is_tried_again_and_a_refusal_is_not() {
        let hiccups = [sent(502, &json!({})), Err(TransportError::Broken)];
        let answers = hiccups.into_iter().chain([sent(200, &vectors(1))]);
        let (there, _) = provider(answers.collect());
        assert!(
            there
                .embed(Purpose::Answer, &texts(&["a"]), None)
                .await
                .is_ok()
        );
        for status in [400, 401, 413, 422] {
            let (there, script) = provider(vec![sent(status, &json!({"error": "no"}))]);
            let error = there
                .embed(Purpose::Answer, &texts(&["a"]), None)
                .await
                .unwrap_err();
            assert!(error.to_string().contains(&status.to_string()), "{error}");
            assert_eq!(script.asked.lock().unwrap().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_clients_ask_wrongly_never_opens_the_breaker_and_a_bad_key_does() {
        let check = async |status, expected| {
            let answers = (0..20).map(|_| sent(status, &json!({}))).collect();
            let (there, _) = provider(answers);
            for _ in 0..3 {
                there
                    .embed(Purpose::Answer, &texts(&["a"]), None)
                    .await
                    .unwrap_err();
            }
            assert_eq!(there.circuit().breaker().state(), expected, "{status}");
        };
        check(400, CircuitState::Closed).await;
        check(422, CircuitState::Closed).await;
        check(401, CircuitState::Open).await;
        check(500, CircuitState::Open).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_cannot_be_used_is_a_failure_and_none_of_it_is_used() {
        let wrong = json!({"data": [{"index": 0, "embedding": [0.5]}]});
        let (there, script) = provider((0..3).map(|_| sent(200, &wrong)).collect());
        for _ in 0..3 {
            let error = there
                .embed(Purpose::Answer, &texts(&["a"]), None)
                .await
                .unwrap_err();
            assert!(matches!(
                error,
                CallError::Failed(ProviderError::BadAnswer(_))
            ));
        }
        assert_eq!(script.asked.lock().unwrap().len(), 3, "not tried again");
        assert_eq!(there.circuit().breaker().state(), CircuitState::Open);
    }
}
