use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;

use embedder_reliability::circuit_breaker::{BreakerPolicy, CircuitState};
use embedder_reliability::retry::RetryPolicy;
use serde_json::json;

use super::*;
use crate::clock::Clock;
use crate::outbound::circuit::{CircuitPolicy, Unobserved};

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
    paced(answers, None)
}

fn paced(
    answers: Vec<Result<Sent, TransportError>>,
    calls_per_minute_max: Option<u32>,
) -> (Provider, Arc<Script>) {
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
    let circuit =
        Circuit::new("provider", policy, Clock::start(), 1, Arc::new(Unobserved)).unwrap();
    let settings = ProviderSettings {
        model: "m".to_owned(),
        dimensions: 2,
        requests_dimensions: false,
        batch_texts_max: 3,
        batch_bytes_max: 10,
        calls_per_minute_max,
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

#[test]
fn a_call_is_no_larger_than_the_provider_takes() {
    let (provider, _) = provider(Vec::new());
    let all = texts(&["a", "b", "c", "d234567", "longer than ten bytes", "e", "f"]);
    let mut rest = &all[..];
    let mut calls = Vec::new();
    while !rest.is_empty() {
        let fit = provider.fit(rest);
        calls.push(fit);
        rest = &rest[fit..];
    }
    assert_eq!(calls, [3, 1, 1, 2]);
    assert_eq!(provider.fit(&[]), 0);
}

#[tokio::test(start_paused = true)]
async fn texts_go_out_as_the_protocol_wants_it() {
    let (provider, script) = provider(vec![sent(200, &vectors(2))]);
    let vectors = provider
        .embed(Purpose::Answer, &texts(&["a", "b"]), None)
        .await;
    assert_eq!(vectors.unwrap().len(), 2);
    let asked = &script.asked.lock().unwrap()[0];
    assert_eq!(asked["input"], json!(["a", "b"]));
    assert_eq!(asked["model"], "m");
    assert!(asked.get("dimensions").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pace_keeps_calls_for_those_who_wait_for_an_answer() {
    let answers = (0..9).map(|_| sent(200, &vectors(1))).collect();
    let (there, _) = paced(answers, Some(8));
    let ask = async |purpose| there.embed(purpose, &texts(&["a"]), None).await;
    let too_soon = |answer: Result<_, _>| match answer {
        Err(CallError::Failed(ProviderError::TooSoon { retry_after })) => retry_after,
        other => panic!("{other:?}"),
    };
    for _ in 0..6 {
        ask(Purpose::Trial).await.unwrap();
    }
    // It does not wait, and is told when there is one more than those that are kept.
    let begun = tokio::time::Instant::now();
    let wait = too_soon(ask(Purpose::Trial).await);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(wait, Duration::from_millis(7_500));
    for _ in 0..2 {
        ask(Purpose::Answer).await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // The next waits for its turn; whoever has time still finds all that is kept missing.
    ask(Purpose::Answer).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(7_500));
    too_soon(ask(Purpose::Trial).await);
}

#[test]
fn what_is_kept_for_answers_leaves_something_to_others() {
    for (calls, kept) in [
        (1, 0),
        (2, 1),
        (3, 1),
        (8, 2),
        (60, 15),
        (u32::MAX, 1 << 30),
    ] {
        let (there, _) = paced(Vec::new(), Some(calls));
        assert_eq!(there.kept_for_answers(), kept, "{calls}");
    }
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
