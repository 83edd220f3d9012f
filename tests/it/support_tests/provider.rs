//! The provider: what a good client gets, and each fault as it comes over the network.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::blocking::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::app::{DEADLINE, wait_until};
use crate::support::provider::vectors::vector;
use crate::support::provider::{FakeProvider, KEY, Mode};

/// Numbers of a vector.
const DIMENSIONS: usize = 64;

fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // The client asks for one although it speaks no TLS here; an error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(DEADLINE);
        client.build().unwrap()
    })
}

/// A call with the right key.
fn call(provider: &FakeProvider, body: &Value) -> RequestBuilder {
    let address = format!("{}/embeddings", provider.base_url());
    client().post(address).bearer_auth(KEY).json(body)
}

/// A call with the right key over a connection of its own, whose answer is not waited for.
fn begin_call(provider: &FakeProvider, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = TcpStream::connect(provider.address()).unwrap();
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n",
        body.len()
    );
    let request = format!("{head}\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn texts(texts: &[&str]) -> Value {
    json!({"model": "fake", "input": texts})
}

/// Asks for these texts and returns the answer, which must be a success.
fn ask(provider: &FakeProvider, body: &Value) -> Value {
    let response = call(provider, body).send().unwrap();
    assert_eq!(response.status(), 200);
    response.json().unwrap()
}

/// The index and the vector of each item.
fn items(answer: &Value) -> Vec<(u64, Vec<f32>)> {
    let items = answer["data"].as_array().unwrap();
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    let item = |item: &Value| {
        assert_eq!(item["object"], "embedding");
        let vector = item["embedding"].as_array().unwrap();
        let vector: Vec<f32> = vector.iter().map(number).collect();
        (item["index"].as_u64().unwrap(), vector)
    };
    items.iter().map(item).collect()
}

fn indexes(answer: &Value) -> Vec<u64> {
    items(answer).iter().map(|item| item.0).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn status(response: &Response) -> (u16, Option<&str>) {
    let after = response.headers().get("retry-after");
    let after = after.map(|after| after.to_str().unwrap());
    (response.status().as_u16(), after)
}

#[test]
fn texts_that_share_words_are_near_each_other_and_others_are_not() {
    let query = vector("Where is the WRITER locked?", 256);
    let near = vector("the writer is locked where two processes meet", 256);
    let far = vector("bananas ripen quickly on warm shelves", 256);
    assert!(cosine(&query, &near) > 0.6, "{}", cosine(&query, &near));
    assert!(cosine(&query, &far) < 0.3, "{}", cosine(&query, &far));
    for text in ["Where is the WRITER locked?", "", "?!"] {
        let vector = vector(text, 256);
        let norm = cosine(&vector, &vector);
        assert!((norm - 1.0).abs() < 1e-5, "{text:?}: {norm}");
    }
}

#[test]
fn a_good_call_gets_its_vectors_as_it_asks_for_them() {
    let provider = FakeProvider::start(DIMENSIONS);
    let answer = ask(&provider, &texts(&["one apple", "two pears"]));
    assert_eq!(
        (&answer["object"], &answer["model"]),
        (&json!("list"), &json!("fake"))
    );
    assert_eq!(answer["usage"]["total_tokens"], 4);
    let expected = |dimensions| -> Vec<(u64, Vec<f32>)> {
        vec![
            (0, vector("one apple", dimensions)),
            (1, vector("two pears", dimensions)),
        ]
    };
    assert_eq!(items(&answer), expected(DIMENSIONS));

    let mut body = texts(&["one apple", "two pears"]);
    body["dimensions"] = json!(16);
    body["encoding_format"] = json!("float");
    assert_eq!(items(&ask(&provider, &body)), expected(16));

    body["encoding_format"] = json!("base64");
    let answer = ask(&provider, &body);
    let bytes = STANDARD.decode(answer["data"][1]["embedding"].as_str().unwrap());
    let expected: Vec<u8> = vector("two pears", 16)
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    assert_eq!(bytes.unwrap(), expected);

    let one = json!({"model": "fake", "input": "one text"});
    assert_eq!(indexes(&ask(&provider, &one)), [0]);
    let calls = provider.call_count() as u64;
    assert!(provider.connections() < calls, "connections are kept");
}

#[test]
fn what_arrives_is_counted_and_kept() {
    let provider = FakeProvider::start(DIMENSIONS);
    let before = Instant::now();
    ask(&provider, &texts(&["a", "b", "c"]));
    wait_until("the call is over", || provider.at_once() == 0);
    let body = texts(&["d"]);
    let response = call(&provider, &body).header("X-Retry-Attempt", "2").send();
    assert_eq!(response.unwrap().status(), 200);
    assert_eq!((provider.call_count(), provider.text_count()), (2, 4));
    assert_eq!((provider.largest_batch(), provider.most_at_once()), (3, 1));
    wait_until("both calls are over", || provider.at_once() == 0);
    let calls = provider.calls();
    assert_eq!(calls[0].texts, ["a", "b", "c"]);
    assert_eq!(calls[1].bytes, body.to_string().len());
    assert_eq!(calls[0].header("x-retry-attempt"), None);
    assert_eq!(calls[1].header("x-retry-attempt"), Some("2"));
    assert!(before <= calls[0].at && calls[0].at <= calls[1].at);
    assert_eq!(calls[1].status, Some(200));
    provider.forget();
    assert_eq!((provider.call_count(), provider.most_at_once()), (0, 0));
}

#[test]
fn a_bad_call_is_refused_with_the_reason() {
    let provider = FakeProvider::start(DIMENSIONS);
    let good = texts(&["a"]);
    let address = format!("{}/embeddings", provider.base_url());
    let keyless = client().post(&address).json(&good).send().unwrap();
    assert_eq!(keyless.status(), 401);
    let wrong = client().post(&address).bearer_auth("sk-wrong").json(&good);
    let wrong = wrong.send().unwrap();
    assert_eq!(wrong.status(), 401);
    assert!(wrong.text().unwrap().contains("sk-wrong"));
    let elsewhere = client().post(provider.base_url()).bearer_auth(KEY).send();
    assert_eq!(elsewhere.unwrap().status(), 404);
    let many = vec!["a"; 2_049];
    for bad in [
        json!({"model": "fake"}),
        json!({"model": "fake", "input": []}),
        json!({"model": "fake", "input": ["a", ""]}),
        json!({"model": "fake", "input": [1]}),
        json!({"model": "fake", "input": many}),
        json!({"input": ["a"]}),
        json!({"model": "fake", "input": ["a"], "encoding_format": "hex"}),
        json!({"model": "fake", "input": ["a"], "dimensions": 0}),
    ] {
        let response = call(&provider, &bad).send().unwrap();
        assert_eq!(response.status(), 400, "{bad}");
        let problem: Value = response.json().unwrap();
        assert!(problem["error"]["message"].is_string(), "{problem}");
    }
    wait_until("the calls are over", || provider.at_once() == 0);
    let statuses: Vec<Option<u16>> = provider.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses[..3], [Some(401), Some(401), Some(400)]);
}

#[test]
fn calls_fail_as_they_are_told_to() {
    let provider = FakeProvider::start(DIMENSIONS);
    let body = texts(&["a"]);
    let send = || call(&provider, &body).send().unwrap();
    provider.set_mode(Mode::Status(429, Some("86400")));
    assert_eq!(status(&send()), (429, Some("86400")));
    provider.set_mode(Mode::Status(503, None));
    assert_eq!(status(&send()), (503, None));
    let outcomes = |seed| -> Vec<u16> {
        provider.set_mode(Mode::FailShare {
            share: 0.25,
            status: 500,
            seed,
        });
        (0..40).map(|_| send().status().as_u16()).collect()
    };
    let some = outcomes(3);
    let failed = some.iter().filter(|status| **status == 500).count();
    assert!((4..=18).contains(&failed), "{failed} of 40");
    assert!(some.iter().all(|status| [200, 500].contains(status)));
    assert_eq!(outcomes(3), some);
    assert_ne!(outcomes(4), some);
    provider.set_mode(Mode::Normal);
    assert_eq!(status(&send()), (200, None));
}

#[test]
fn more_calls_than_allowed_in_a_second_are_told_to_come_later() {
    let provider = FakeProvider::start(DIMENSIONS);
    let body = texts(&["a"]);
    let send = || call(&provider, &body).send().unwrap();
    provider.limit_rate(Some(0));
    assert_eq!(status(&send()), (429, Some("1")));
    provider.limit_rate(Some(2));
    let first = Instant::now();
    assert_eq!(
        (status(&send()), status(&send())),
        ((200, None), (200, None))
    );
    let third = send();
    if first.elapsed() < Duration::from_secs(1) {
        assert_eq!(status(&third), (429, Some("1")));
    }
    wait_until("there is room again", || send().status() == 200);
    assert!(first.elapsed() >= Duration::from_secs(1));
    provider.limit_rate(None);
    assert!((0..5).all(|_| send().status() == 200));
}

#[test]
fn a_slow_call_takes_longer_and_a_hanging_one_is_never_answered() {
    let provider = FakeProvider::start(DIMENSIONS);
    let body = texts(&["a"]);
    let delay = Duration::from_millis(100);
    provider.set_mode(Mode::SlowBy(delay));
    let started = Instant::now();
    ask(&provider, &body);
    assert!(started.elapsed() >= delay);
    wait_until("the call is over", || provider.at_once() == 0);

    provider.set_mode(Mode::Hang);
    let hanging = [begin_call(&provider, &body), begin_call(&provider, &body)];
    wait_until("two calls hang", || provider.at_once() == 2);
    assert_eq!(provider.most_at_once(), 2);
    provider.set_mode(Mode::Normal);
    ask(&provider, &body);
    wait_until("only those that hang are left", || provider.at_once() == 2);
    drop(hanging);
    wait_until("they were given up", || provider.at_once() == 0);
    let statuses: Vec<Option<u16>> = provider.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Some(200), None, None, Some(200)]);
}

#[test]
fn vectors_are_wrong_as_they_are_told_to() {
    let provider = FakeProvider::start(DIMENSIONS);
    let body = texts(&["one apple", "two pears", "three plums"]);
    let with = |mode| {
        provider.set_mode(mode);
        ask(&provider, &body)
    };
    let right = items(&with(Mode::Normal));

    let long = items(&with(Mode::WrongDimensions));
    assert!(long.iter().all(|item| item.1.len() == DIMENSIONS + 1));
    assert_eq!(items(&with(Mode::TooFew)), right[..2]);
    assert_eq!(indexes(&with(Mode::DuplicateIndex)), [0, 0, 0]);
    assert_eq!(indexes(&with(Mode::IndexOutOfRange)), [0, 1, 3]);
    let mut shuffled = items(&with(Mode::ShuffledIndexes));
    assert_eq!(shuffled[0], right[2]);
    shuffled.reverse();
    assert_eq!(shuffled, right);

    let null = with(Mode::NotFinite("null"));
    assert!(null["data"][2]["embedding"][DIMENSIONS - 1].is_null());
    assert!(null["data"][1]["embedding"][DIMENSIONS - 1].is_number());
    provider.set_mode(Mode::NotFinite("1e999"));
    let text = call(&provider, &body).send().unwrap().text().unwrap();
    assert!(text.contains(",1e999]"), "{text}");
    let mut in_base64 = body.clone();
    in_base64["encoding_format"] = json!("base64");
    let answer = ask(&provider, &in_base64);
    let bytes = STANDARD.decode(answer["data"][2]["embedding"].as_str().unwrap());
    let bytes = bytes.unwrap();
    let last = bytes.last_chunk::<4>().unwrap();
    assert!(f32::from_le_bytes(*last).is_nan());
}

#[test]
fn answers_are_broken_as_they_are_told_to() {
    let provider = FakeProvider::start(DIMENSIONS);
    let body = texts(&["one apple"]);
    provider.set_mode(Mode::Malformed);
    let response = call(&provider, &body).send().unwrap();
    assert_eq!(response.status(), 200);
    assert!(serde_json::from_slice::<Value>(&response.bytes().unwrap()).is_err());

    provider.set_mode(Mode::Huge);
    let mut response = call(&provider, &body).send().unwrap();
    let mut start = vec![0; 4 * 1_024 * 1_024];
    response.read_exact(&mut start).unwrap();
    assert!(start.starts_with(br#"{"object":"list""#));
    drop(response);
    wait_until("the endless answer is given up", || provider.at_once() == 0);
    assert_eq!(provider.calls()[1].status, None);

    provider.set_mode(Mode::SlowDrip(Duration::from_millis(1)));
    let started = Instant::now();
    let slow = ask(&provider, &texts(&["a"]));
    assert_eq!(items(&slow)[0].1, vector("a", DIMENSIONS));
    assert!(started.elapsed() >= Duration::from_millis(100));
    provider.set_mode(Mode::SlowDrip(DEADLINE));
    let dripping = call(&provider, &body).timeout(Duration::from_secs(1));
    let response = dripping.send().unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().is_err());
}
