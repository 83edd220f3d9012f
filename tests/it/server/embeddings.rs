//! `/v1/embeddings`, as OpenAI clients use it: what is accepted, what is refused, and that the same text has the same
//! bits however it comes.

use std::path::Path;
use std::process::Command;
use std::thread;

use base64::Engine;
use serde_json::{Value, json};

use crate::support::app::App;
use crate::support::python::python_with;
use crate::support::server::{Answer, TestServer, encoded};

/// A server with the real model, and the name that it goes by.
fn start(app: &App) -> (TestServer, String) {
    let server = TestServer::start(app, &[], &[]);
    let models = server.get("/v1/models").ok();
    let name = models["data"][0]["id"].as_str().unwrap().to_owned();
    (server, name)
}

fn send(server: &TestServer, body: &Value) -> Answer {
    server.post("/v1/embeddings", body)
}

/// The bits of each vector of an answer, in the order of its rows.
fn bits(answer: &Value) -> Vec<Vec<u32>> {
    let rows = answer["data"].as_array().unwrap();
    let numbers = |row: &Value| -> Vec<u32> {
        if let Some(text) = row["embedding"].as_str() {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .unwrap();
            let words = bytes.chunks_exact(4);
            return words
                .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
                .collect();
        }
        let numbers = row["embedding"].as_array().unwrap().iter();
        numbers
            .map(|number| (number.as_f64().unwrap() as f32).to_bits())
            .collect()
    };
    rows.iter().map(numbers).collect()
}

/// Texts that differ in length and words.
fn texts(count: usize) -> Vec<String> {
    const WORDS: [&str; 7] = [
        "harbour", "violin", "ledger", "of", "the", "glacier", "opens",
    ];
    let text = |number: usize| {
        let words = (0..3 + number % 29)
            .map(|place| WORDS[(number * 5 + place * (number % 3 + 1)) % WORDS.len()]);
        format!("{} {number}", words.collect::<Vec<_>>().join(" "))
    };
    (0..count).map(text).collect()
}

/// Checks a refusal in both of its shapes: a problem document, and the object that OpenAI clients read.
#[track_caller]
fn refused(answer: Answer, status: u16, code: &str, kind: &str) {
    let problem = answer.problem(status, code);
    let error = &problem["error"];
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!(kind), &json!(code)),
        "{problem}"
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{problem}"
    );
    assert!(error["param"].is_null(), "{problem}");
}

#[test]
fn a_text_has_the_same_vector_in_every_shape() {
    let Some(app) = App::with_model() else { return };
    let (server, model) = start(&app);
    let embed = |input: Value, format: &str| {
        let body = json!({"input": input, "model": model, "encoding_format": format});
        send(&server, &body).ok()
    };
    let answer = embed(json!("hello world"), "float");
    assert_eq!(
        (&answer["object"], &answer["model"]),
        (&json!("list"), &json!(model))
    );
    let row = &answer["data"][0];
    assert_eq!(
        (&row["object"], &row["index"]),
        (&json!("embedding"), &json!(0))
    );
    // Two words and the special tokens of both ends.
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 4, "total_tokens": 4})
    );
    let expected = bits(&answer);
    assert_eq!((expected.len(), expected[0].len()), (1, 384));
    let norm: f32 = expected[0]
        .iter()
        .map(|&bits| f32::from_bits(bits).powi(2))
        .sum();
    assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    // The ids of both words in the vocabulary of the model, without and with the special tokens.
    for input in [
        json!("hello world"),
        json!(["hello world"]),
        json!([7_592, 2_088]),
        json!([101, 7_592, 2_088, 102]),
        json!([[7_592, 2_088]]),
    ] {
        for format in ["float", "base64"] {
            assert_eq!(
                bits(&embed(input.clone(), format)),
                expected,
                "{input} {format}"
            );
        }
    }
    let plain = send(
        &server,
        &json!({"input": "hello world", "model": model, "user": "somebody", "dimensions": 384}),
    );
    assert_eq!(bits(&plain.ok()), expected);
    let query = json!({"input": "hello world", "model": model, "input_type": "query"});
    assert_eq!(
        bits(&send(&server, &query).ok()),
        expected,
        "the model has no prompts"
    );
}

#[test]
fn texts_keep_their_order_and_their_bits_alone_and_together() {
    let Some(app) = App::with_model() else { return };
    let (server, model) = start(&app);
    let texts = texts(32);
    let together = send(&server, &json!({"input": texts, "model": model})).ok();
    let rows = together["data"].as_array().unwrap();
    let indexes: Vec<_> = rows
        .iter()
        .map(|row| row["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, (0..32).collect::<Vec<_>>());
    let together = bits(&together);
    for (number, text) in texts.iter().enumerate() {
        let alone = send(&server, &json!({"input": text, "model": model})).ok();
        assert_eq!(bits(&alone)[0], together[number], "{text}");
    }
    let mut distinct = together.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 32);
}

#[test]
fn what_cannot_be_embedded_is_refused_as_a_whole() {
    let Some(app) = App::with_model() else { return };
    let (server, model) = start(&app);
    let invalid = |body: Value| {
        let answer = send(&server, &body);
        refused(answer, 400, "invalid_request", "invalid_request_error");
    };
    let long = "word ".repeat(2_000);
    for input in [
        json!(""),
        json!([]),
        json!(["a text", ""]),
        json!([""]),
        json!(long),
        json!(["a text", long]),
        json!([[]]),
        json!([[7_592], []]),
        json!([99_999_999]),
        json!([-1]),
        json!([1.5]),
        json!(vec![7_592; 5_000]),
        json!(vec!["a"; 2_049]),
        json!(vec![vec![7_592]; 2_049]),
        json!(null),
        json!({"text": "a"}),
        json!(["a text", 7_592]),
        json!([[["a text"]]]),
    ] {
        invalid(json!({"input": input, "model": model}));
    }
    for dimensions in [
        json!(1),
        json!(383),
        json!(385),
        json!(0),
        json!(-384),
        json!("384"),
    ] {
        invalid(json!({"input": "a text", "model": model, "dimensions": dimensions}));
    }
    invalid(json!({"input": "a text", "model": model, "encoding_format": "hex"}));
    invalid(json!({"input": "a text", "model": model, "unknown": 1}));
    invalid(json!({"model": model}));
    invalid(json!({"input": "a text"}));
    let other = json!({"input": "a text", "model": "text-embedding-3-small"});
    refused(send(&server, &other), 404, "not_found", "not_found_error");
    let wrong = server
        .ask("POST", "/v1/embeddings")
        .key("emb_nonsense")
        .json(&other)
        .send();
    refused(wrong, 401, "unauthenticated", "authentication_error");
    let search = server.key(&["search"], None);
    let wrong = server
        .ask("POST", "/v1/embeddings")
        .key(&search)
        .json(&other)
        .send();
    refused(wrong, 403, "forbidden", "permission_error");
    // What is too long may be cut, where that is asked for.
    let cut = json!({"input": [long, "a text"], "model": model, "truncate": true});
    let cut = send(&server, &cut).ok();
    assert_eq!(bits(&cut).len(), 2);
    let cut = json!({"input": vec![7_592; 5_000], "model": model, "truncate": true});
    send(&server, &cut).ok();
}

#[test]
fn models_are_listed_and_found_by_name() {
    let Some(app) = App::with_model() else { return };
    let (server, model) = start(&app);
    let models = server.get("/v1/models").ok();
    assert_eq!(models["object"], "list");
    let card = &models["data"][0];
    assert_eq!(
        (&card["object"], &card["dimensions"]),
        (&json!("model"), &json!(384))
    );
    assert_eq!(
        server.get(&format!("/v1/models/{}", encoded(&model))).ok(),
        *card
    );
    refused(
        server.get("/v1/models/gpt"),
        404,
        "not_found",
        "not_found_error",
    );
}

#[test]
fn a_deadline_that_cannot_be_met_ends_the_request_and_nothing_else() {
    let Some(app) = App::with_model() else { return };
    let (server, model) = start(&app);
    // Few bytes, so that all of it is on its way before it is refused, and yet seconds of work.
    let large = json!({"input": vec!["the harbour opens at dawn"; 2_048], "model": model});
    let late = server
        .ask("POST", "/v1/embeddings")
        .header("x-request-timeout-ms", "1")
        .json(&large)
        .send();
    refused(late, 504, "timeout", "server_error");
    for value in ["0", "-1", "soon", "1.5", ""] {
        let answer = server
            .ask("POST", "/v1/embeddings")
            .header("x-request-timeout-ms", value);
        refused(
            answer.json(&large).send(),
            400,
            "invalid_request",
            "invalid_request_error",
        );
    }
    // What nobody waits for any more is not embedded: the next request finds the encoder free.
    let next = server
        .ask("POST", "/v1/embeddings")
        .header("x-request-timeout-ms", "10000")
        .json(&json!({"input": "a text", "model": model}));
    next.send().ok();
}

#[test]
fn many_at_once_each_get_their_own() {
    let Some(app) = App::with_model() else { return };
    let (server, model) = start(&app);
    let texts = texts(32);
    let expected = bits(&send(&server, &json!({"input": texts, "model": model})).ok());
    thread::scope(|scope| {
        for (text, expected) in texts.iter().zip(&expected) {
            let (server, model) = (&server, &model);
            scope.spawn(move || {
                for round in 0..4 {
                    let priority = if round % 2 == 0 {
                        "interactive"
                    } else {
                        "bulk"
                    };
                    let ask = server
                        .ask("POST", "/v1/embeddings")
                        .header("x-priority", priority);
                    let answer = ask
                        .json(&json!({"input": text, "model": model}))
                        .send()
                        .ok();
                    assert_eq!(bits(&answer)[0], *expected, "{text}");
                }
            });
        }
    });
}

#[test]
fn without_a_model_embedding_says_so_and_what_to_do() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    assert_eq!(server.get("/v1/models").ok()["data"], json!([]));
    let answer = send(
        &server,
        &json!({"input": "a text", "model": "all-MiniLM-L6-v2"}),
    );
    refused(answer, 503, "model_unavailable", "server_error");
}

#[test]
fn the_official_client_works_unchanged() {
    let Some(app) = App::with_model() else { return };
    let Some(python) = python_with("openai", None) else {
        return;
    };
    let (server, _) = start(&app);
    let key = server.key(&["embed"], None);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/openai-client.py");
    let output = Command::new(python)
        .arg(script)
        .args([&server.url, &key])
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
}
