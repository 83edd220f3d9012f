//! Callers who ask too much, and those who suffer from them or do not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::traffic::Ending;
use crate::support::app::{App, wait_until};
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
    // Probes are nobody's quota, on either listener: who is refused one takes the server for dead.
    for path in ["/livez", "/readyz"].repeat(50) {
        server.ops(path).send().with_status(200);
        server.ask("GET", path).no_key().send().with_status(200);
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
            thread::yield_now();
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

#[test]
fn who_asks_for_all_that_may_be_asked_for_is_served() {
    const PER_S: usize = 20;
    for algorithm in ["token_bucket", "sliding_window", "fixed_window"] {
        let (_app, server) = start(&[
            ("EMBEDDER_RATE_LIMIT_WRITE_PER_S", "20"),
            ("EMBEDDER_RATE_LIMIT_ALGORITHM", algorithm),
        ]);
        server.make_documents("notes");
        let documents: Vec<_> = (0..PER_S / 10)
            .map(|number| json!({"id": format!("{number}"), "text": "a text"}))
            .collect();
        let write = || {
            server.post(
                "/v1/collections/notes/documents",
                &json!({"documents": documents}),
            )
        };
        // Each time as a refusal says.
        for _ in 0..3 {
            let mut answer = write();
            let mut tries = 0;
            while answer.status == 429 {
                tries += 1;
                assert!(
                    tries <= 2,
                    "{algorithm}: told to come back, again and again"
                );
                let wait = answer.problem(429, "rate_limited")["retry_after_ms"].as_u64();
                let until = Instant::now() + Duration::from_millis(wait.unwrap() + 5);
                while Instant::now() < until {
                    thread::yield_now();
                }
                answer = write();
            }
            answer.with_status(200);
        }
    }
}

#[test]
fn a_key_with_a_limit_of_its_own_has_that_and_no_other() {
    let (app, server) = start(&[("EMBEDDER_RATE_LIMIT_KEY_PER_S", "50")]);
    server.make_documents("notes");
    let create = |name: &str, limit: &[&str]| {
        let scopes = "search,collections:read,collections:write";
        let mut args = vec!["keys", "create", name, "--scope", scopes];
        args.extend(limit);
        app.json(&args)
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let wide = create("wide", &["--per-second", "1000"]);
    let narrow = create("narrow", &["--per-second", "2", "--burst", "20"]);
    let plain = text(&create("plain", &[])["token"]);
    assert_eq!(wide["key"]["rate_limit"], json!({"per_s": 1000}));
    let listed = app.ok(&["keys", "list"]).out();
    assert!(
        listed.contains("narrow") && listed.contains("limit: 2 a second, 20 at once"),
        "{listed}"
    );
    let ask = |key: &str| server.ask("GET", "/v1/collections").key(key).send();
    for _ in 0..200 {
        ask(&text(&wide["token"])).with_status(200);
    }
    let refused = (0..1_000).map(|_| ask(&plain)).find(|a| a.status == 429);
    assert_eq!(
        refused.unwrap().header("ratelimit-policy"),
        "\"key\";q=50;w=1"
    );

    // What is asked for is counted by its size, also for a key that takes the place of another.
    let path = format!("/v1/admin/keys/{}/rotate", text(&narrow["key"]["id"]));
    let rotated = server.post(&path, &json!({})).with_status(201).body;
    assert_eq!(
        rotated["key"]["rate_limit"],
        json!({"per_s": 2, "burst": 20})
    );
    for token in [&narrow["token"], &rotated["token"]] {
        let token = text(token);
        let write = |count: usize| {
            let documents: Vec<_> = (0..count)
                .map(|number| json!({"id": format!("{number}"), "text": "a text"}))
                .collect();
            server
                .ask("POST", "/v1/collections/notes/documents")
                .key(&token)
                .json(&json!({"documents": documents}))
                .send()
        };
        write(3).problem(413, "too_large");
        write(1).with_status(200);
        let refused = write(2);
        assert_eq!(refused.header("ratelimit-policy"), "\"key\";q=2;w=1");
        assert!(refused.header("ratelimit").starts_with("\"key\";r="));
        // Less than ten of the twenty are left, and two come back in a second.
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        let wait = refused.problem(429, "rate_limited")["retry_after_ms"]
            .as_u64()
            .unwrap();
        assert!((1_000..=10_000).contains(&wait), "{wait}");
        assert_eq!(seconds, wait.div_ceil(1_000));
    }

    let records = server.get("/v1/admin/audit?limit=1000").ok();
    let of_narrow = records["records"]
        .as_array()
        .unwrap()
        .iter()
        .find(|record| record["subject"] == narrow["key"]["id"])
        .unwrap();
    let detail = of_narrow["detail"].as_str().unwrap();
    assert!(
        detail.contains("\"rate_limit\":{\"burst\":20,\"per_s\":2}"),
        "{detail}"
    );
    for limit in [
        json!({"per_s": 0}),
        json!({"burst": 5}),
        json!({"per_s": 5, "burst": 0}),
        json!({"per_s": 5, "per_min": 1}),
    ] {
        let body = json!({"name": "a key", "scopes": ["search"], "rate_limit": limit});
        server
            .post("/v1/admin/keys", &body)
            .problem(400, "invalid_request");
    }
    app.fails(
        &["keys", "create", "x", "--scope", "search", "--burst", "5"],
        64,
        &["required"],
    );
}

#[test]
fn the_limit_of_a_key_is_kept_over_a_restart_and_made_without_a_server() {
    let app = App::text_only();
    let made = app.json(&[
        "keys",
        "create",
        "early",
        "--scope",
        "search,collections:read",
        "--per-second",
        "3",
    ]);
    for _ in 0..2 {
        let server = TestServer::start(&app, &[], &[]);
        let token = made["token"].as_str().unwrap();
        let ask = || server.ask("GET", "/v1/collections").key(token).send();
        let refused = (0..50).map(|_| ask()).find(|a| a.status == 429);
        assert_eq!(
            refused.unwrap().header("ratelimit-policy"),
            "\"key\";q=3;w=1"
        );
        server.stop();
    }
}

#[test]
fn of_many_refusals_the_log_has_some_and_says_how_many_it_has_not() {
    let (_app, server) = start(&[
        ("EMBEDDER_RATE_LIMIT_ADDRESS_PER_S", "1"),
        ("EMBEDDER_RATE_LIMIT_ADDRESS_BURST", "1"),
        ("EMBEDDER_LOG", "info,embedder::http=debug"),
    ]);
    let ask = || {
        let ask = server.ask("GET", "/openapi.json");
        ask.no_key().send().status
    };
    let began = Instant::now();
    let refused = (0..500).filter(|_| ask() == 429).count();
    // Each began second may have as many as one may.
    let lines_max = 10 * (began.elapsed().as_secs() as usize + 2);
    let lines = |text: &str| {
        let log = server.log();
        log.lines().filter(|line| line.contains(text)).count()
    };
    for kind in ["Refused: the address", "/openapi.json with 429"] {
        let written = lines(kind);
        assert!(
            (10..=lines_max).contains(&written),
            "{written} of {refused}"
        );
    }
    std::thread::sleep(Duration::from_millis(1_100));
    while ask() != 429 {}
    assert!(lines("left_out=") >= 2, "{}", server.log());
    let page = server.ops("/metrics").send().text;
    let counted = format!(
        "embedder_rate_limited_total{{layer=\"address\"}} {}",
        refused + 1
    );
    assert!(page.contains(&counted), "{counted}");
    // Answers are logged as ever.
    for _ in 0..50 {
        server.get("/v1/collections").with_status(200);
    }
    assert_eq!(lines("/v1/collections with 200"), 50);
}

#[test]
fn a_request_of_many_units_is_told_exactly_when_to_come_back_or_that_it_never_can() {
    let (_app, server) = start(&[]);
    server.make_documents("notes");
    let limited = |per_s: u32, burst: u32| {
        let body = json!({
            "name": "limited",
            "scopes": ["collections:write", "search"],
            "rate_limit": {"per_s": per_s, "burst": burst},
        });
        let made = server.post("/v1/admin/keys", &body).with_status(201).body;
        made["token"].as_str().unwrap().to_owned()
    };
    let write = |key: &str, documents: usize| {
        let all: Vec<Value> = (0..documents)
            .map(|number| json!({"id": format!("{number}"), "text": "words"}))
            .collect();
        let path = "/v1/collections/notes/documents";
        let ask = server.ask("POST", path).key(key);
        ask.json(&json!({"documents": all})).send()
    };
    // Ten units are all that there ever are; eleven never.
    let key = limited(1, 19);
    let refused = write(&key, 2);
    assert!(refused.text.contains("20 units"), "{}", refused.text);
    refused.problem(413, "too_large");
    // Of what was refused one unit was spent.
    write(&key, 1).with_status(200);
    let refused = write(&key, 1);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!(!refused.header("ratelimit-policy").is_empty());
    refused.problem(429, "rate_limited");
    assert!((2..=4).contains(&wait), "{wait}");
    // Who comes back then is served at once.
    let told = Instant::now();
    while told.elapsed() < Duration::from_secs(wait) {
        thread::yield_now();
    }
    write(&key, 1).with_status(200);
}

#[test]
fn an_address_that_is_refused_is_told_its_limit() {
    let (_app, server) = start(&[("EMBEDDER_RATE_LIMIT_ADDRESS_BURST", "1")]);
    let ask = || server.ask("GET", "/openapi.json").no_key().send();
    let refused = (0..50).map(|_| ask()).find(|answer| answer.status == 429);
    let refused = refused.unwrap();
    assert!(
        refused.header("ratelimit-policy").contains("q="),
        "{}",
        refused.text
    );
    assert!(refused.header("ratelimit").contains("r=0"));
}

#[test]
fn a_key_that_writes_without_pause_keeps_nobody_from_reading() {
    const WRITERS: usize = 200;
    let (_app, server) = start(&[]);
    server.make_documents("notes");
    let (flooding, reading) = (
        server.key(&["collections:write"], None),
        server.key(&["collections:read"], None),
    );
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ending = Ending(&is_over);
        for writer in 0..WRITERS {
            let (server, flooding, is_over) = (&server, &flooding, &is_over);
            scope.spawn(move || {
                for number in 0.. {
                    let id = format!("{writer}/{number}.md");
                    let body = json!({"documents": [{"id": id, "text": "The harbour opens."}]});
                    let ask = server.ask("POST", "/v1/collections/notes/documents");
                    let answer = ask.key(flooding).json(&body).send();
                    assert!([200, 503].contains(&answer.status), "{}", answer.text);
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        wait_until("there is a flood", || {
            let page = server.ops("/metrics").send().text;
            page.contains("embedder_admission_in_flight{door=\"write\"} 16")
        });
        for _ in 0..50 {
            let begun = Instant::now();
            let ask = server.ask("GET", "/v1/collections/notes").key(&reading);
            ask.send().with_status(200);
            let elapsed = begun.elapsed();
            assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
        }
    });
    server.stop();
}
