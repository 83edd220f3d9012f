//! Callers who ask too much, and those who suffer from them or do not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::app::App;
use crate::support::server::{Ask, TestServer};

/// The limits as they are by default.
const DEFAULTS: &[(&str, &str)] = &[
    ("EMBEDDER_RATE_LIMIT_ADDRESS_PER_S", "20"),
    ("EMBEDDER_RATE_LIMIT_AUTH_FAILURES_PER_MIN", "5"),
];

fn start(env: &[(&str, &str)]) -> (App, TestServer) {
    let app = App::text_only();
    let env: Vec<_> = DEFAULTS.iter().chain(env).copied().collect();
    let server = TestServer::start(&app, &[], &env);
    (app, server)
}

#[test]
fn an_address_that_guesses_keys_is_told_to_wait_and_good_keys_are_not() {
    let (_app, server) = start(&[]);
    let guess = || {
        server
            .ask("GET", "/v1/collections")
            .key("emb_0123456789_guess")
            .send()
    };
    for _ in 0..5 {
        guess().problem(401, "unauthenticated");
    }
    let refused = guess();
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
    refused.problem(429, "rate_limited");
    for _ in 0..50 {
        server.get("/v1/collections").with_status(200);
    }
    let page = server.ops("/metrics").send().text;
    assert!(page.contains("embedder_auth_failures_total{reason=\"throttled\"} 1"));
    assert!(page.contains("embedder_rate_limited_total{layer=\"auth_failures\"} 1"));
}

#[test]
fn an_address_without_a_key_has_a_bucket_and_headers_make_no_other_address_of_it() {
    let (_app, server) = start(&[]);
    let mut refused = 0;
    for number in 0..200 {
        let address = format!("203.0.113.{number}");
        let answer = server
            .ask("GET", "/openapi.json")
            .no_key()
            .header("x-forwarded-for", &address)
            .header("x-real-ip", &address)
            .header("forwarded", &format!("for={address}"))
            .send();
        refused += u32::from(answer.status == 429);
        assert!([200, 429].contains(&answer.status));
    }
    assert!(refused > 100, "{refused}");
    // Probes of the second listener are nobody's quota.
    for _ in 0..100 {
        server.ops("/readyz").send().with_status(200);
    }
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_bucket() {
    let (_app, server) = start(&[("EMBEDDER_SERVER_TRUSTED_PROXIES", "127.0.0.1, ::1")]);
    for number in 0..200 {
        server
            .ask("GET", "/openapi.json")
            .no_key()
            .header("x-forwarded-for", &format!("203.0.113.{number}"))
            .send()
            .with_status(200);
    }
}

#[test]
fn a_key_at_its_limit_is_told_when_to_come_back_and_is_served_then() {
    for algorithm in ["token_bucket", "sliding_window", "fixed_window"] {
        let (_app, server) = start(&[
            ("EMBEDDER_RATE_LIMIT_KEY_PER_S", "10"),
            ("EMBEDDER_RATE_LIMIT_ALGORITHM", algorithm),
        ]);
        let key = server.key(&["search", "collections:read"], None);
        let ask = || server.ask("GET", "/v1/collections").key(&key);
        let mut seen_little_left = false;
        let refused = loop {
            let answer = ask().send();
            if answer.status == 429 {
                break answer;
            }
            answer.header("cache-control");
            seen_little_left |= answer.headers.contains_key("ratelimit");
        };
        assert!(seen_little_left, "{algorithm}");
        assert_eq!(
            refused.header("ratelimit-policy"),
            "\"key\";q=10;w=1",
            "{algorithm}"
        );
        assert!(
            refused.header("ratelimit").starts_with("\"key\";r=0;t="),
            "{algorithm}"
        );
        let body = refused.problem(429, "rate_limited");
        let wait = body["retry_after_ms"].as_u64().unwrap();
        assert!(wait <= 1_000, "{algorithm}: {wait}");
        // Another key is not concerned.
        server.get("/v1/collections").with_status(200);
        let until = Instant::now() + Duration::from_millis(wait + 5);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        ask().send().with_status(200);
    }
}

#[test]
fn work_is_counted_by_its_size() {
    let (_app, server) = start(&[
        ("EMBEDDER_RATE_LIMIT_WRITE_PER_S", "100"),
        ("EMBEDDER_RATE_LIMIT_ALGORITHM", "token_bucket"),
    ]);
    server.make_documents("notes");
    let write = |count: usize| -> Ask {
        let documents: Vec<_> = (0..count)
            .map(|number| json!({"id": format!("{number}"), "text": "a text"}))
            .collect();
        server
            .ask("POST", "/v1/collections/notes/documents")
            .json(&json!({"documents": documents}))
    };
    write(9).send().with_status(200);
    write(9).send().problem(429, "rate_limited");
    write(11).send().problem(413, "too_large");
}
