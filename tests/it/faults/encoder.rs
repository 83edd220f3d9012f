//! The local encoder fails.

use std::time::{Duration, Instant};

use serde_json::json;

use super::rig::Rig;
use crate::support::app::{App, wait_until};

/// As far as a test is concerned for ever.
const HANGS_MS: u64 = 600_000;

#[test]
fn an_encoder_that_panics_leaves_text_search_and_comes_back() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.assert_whole();
    rig.set("encode", &json!({"action": "fail"}));
    for _ in 0..3 {
        rig.assert_degraded("text", "embed_unavailable");
    }
    assert_ne!(
        rig.breaker("encoder"),
        "closed",
        "three failed requests open it"
    );
    rig.assert_degraded("text", "embed_unavailable");

    let refused = rig.embed();
    assert!(!refused.header("retry-after").is_empty());
    refused.problem(503, "dependency_unavailable");
    rig.search(&json!({"mode": "vector"}))
        .problem(503, "dependency_unavailable");
    rig.search(&json!({"allow_degraded": "none"}))
        .problem(503, "dependency_unavailable");

    // What is written is kept, found by its words, and gets its vector later.
    let written = rig
        .write("pending.md", "A lighthouse keeper waits for the embedder.")
        .ok();
    assert_eq!(written["embedding"], "pending");
    assert_eq!(rig.server.find("notes", "lighthouse"), ["pending.md"]);

    assert_eq!(rig.readiness(), 200);
    wait_until("health has noticed", || rig.health() == "Degraded");
    let states = ["closed", "open", "half_open"].map(|state| {
        rig.metric(&format!(
            "embedder_breaker_state{{dependency=\"encoder\",state=\"{state}\"}}"
        ))
    });
    assert_eq!(states.iter().sum::<f64>(), 1.0, "{states:?}");
    assert!(rig.metric("embedder_degradation_level") >= 1.0);

    rig.clear("encode");
    rig.assert_recovers();
    assert!(
        rig.metric("embedder_fallbacks_total{served_by=\"text\",reason=\"embed_unavailable\"}")
            >= 4.0
    );
    assert!(rig.metric("embedder_degraded_seconds_total{mode=\"vector_search\"}") > 0.0);
}

#[test]
fn a_slow_encoder_is_told_by_its_slowness() {
    let Some(app) = App::with_model() else { return };
    let env = [
        ("EMBEDDER_BREAKER_CALLS_MIN", "3"),
        ("EMBEDDER_BREAKER_CONSECUTIVE_FAILURES", "1000"),
    ];
    let rig = Rig::start(&app, &env);
    // A query may take five seconds, and is slow from four on.
    rig.set("encode", &json!({"action": "delay", "ms": 4_200}));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let body = json!({"query": rig.question()});
            let server = &rig.server;
            scope.spawn(move || server.post("/v1/collections/notes/search", &body));
        }
    });
    assert_ne!(rig.breaker("encoder"), "closed");
    rig.assert_degraded("text", "embed_unavailable");
    assert_left_alone(&rig);
    let opened = "embedder_breaker_transitions_total{dependency=\"encoder\",state=\"open\",reason=\"slow_rate\"}";
    assert!(rig.metric(opened) >= 1.0);
    rig.clear("encode");
    rig.assert_recovers();
}

#[test]
fn an_encoder_that_is_twenty_times_slower_is_waited_for() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    let usual = (0..5)
        .map(|_| {
            let begun = Instant::now();
            rig.embed().with_status(200);
            begun.elapsed()
        })
        .min()
        .unwrap();
    let ms = u64::try_from((usual * 20).as_millis()).unwrap();
    assert!(ms < 4_000, "that is not slow: {ms}");
    rig.set("encode", &json!({"action": "delay", "ms": ms}));
    let begun = Instant::now();
    for _ in 0..5 {
        rig.assert_whole();
    }
    assert!(begun.elapsed() >= usual * 100, "it was slow");
    rig.embed().with_status(200);
    rig.write("slow.md", "A lighthouse keeper takes the time it takes.")
        .with_status(200);
    assert_eq!(rig.server.find("notes", "lighthouse"), ["slow.md"]);
    rig.wait_for_vectors();
    assert_eq!(rig.breaker("encoder"), "closed");
    assert_eq!(rig.health(), "Healthy");
    assert_eq!(rig.readiness(), 200);
    rig.clear("encode");
    rig.assert_recovers();
}

#[test]
fn an_encoder_that_hangs_is_replaced_and_nobody_waits_for_it() {
    let Some(app) = App::with_model() else { return };
    // Long enough to look around before it is tried again.
    let env = [
        ("EMBEDDER_BREAKER_OPEN_S", "4"),
        ("EMBEDDER_BREAKER_OPEN_S_MAX", "4"),
    ];
    let rig = Rig::start(&app, &env);
    rig.set("encode", &json!({"action": "delay", "ms": HANGS_MS}));
    let impatient = rig.server.ask("POST", "/v1/embeddings");
    let body = json!({"input": rig.question(), "model": "all-MiniLM-L6-v2"});
    let late = impatient.header("x-request-timeout-ms", "500").json(&body);
    late.send().problem(504, "timeout");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let body = json!({"query": rig.question()});
            let server = &rig.server;
            scope.spawn(move || {
                let begun = Instant::now();
                let answer = server.post("/v1/collections/notes/search", &body);
                let meta = answer.with_status(206).body["meta"].clone();
                assert_eq!(meta["served_by"], "text", "{meta}");
                assert_eq!(meta["reasons"], json!(["embed_timeout"]));
                let elapsed = begun.elapsed();
                assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
            });
        }
    });
    let opened = "embedder_breaker_transitions_total{dependency=\"encoder\",state=\"open\",reason=\"consecutive_failures\"}";
    assert!(rig.metric(opened) >= 1.0);
    let timeouts = "embedder_breaker_calls_total{dependency=\"encoder\",outcome=\"timeout\"}";
    assert!(rig.metric(timeouts) >= 3.0);
    // From now on nobody waits.
    let begun = Instant::now();
    rig.assert_degraded("text", "embed_unavailable");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_left_alone(&rig);
    assert_eq!(rig.readiness(), 200);
    wait_until("health has noticed", || rig.health() == "Degraded");
    assert!(rig.metric("embedder_degradation_level") >= 1.0);

    // The threads that hang go on hanging. Others take their place.
    rig.clear("encode");
    rig.assert_recovers();
    let replaced = "embedder_recoveries_total{dependency=\"encoder\",outcome=\"recovered\"}";
    assert!(rig.metric(replaced) >= 1.0);
    assert!(
        rig.metric("embedder_fallbacks_total{served_by=\"text\",reason=\"embed_timeout\"}") >= 3.0
    );
    // Nor does its end wait for them.
    rig.server.stop();
}

#[test]
fn an_encoder_that_fails_half_the_time_is_told_by_its_share_of_failures() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.set("encode", &json!({"action": "fail_every", "calls": 2}));
    let (mut whole, mut by_words, mut embedded, mut refused) = (0, 0, 0, 0);
    // Never three in a row, so what opens it is the share of twenty calls.
    let opened = "embedder_breaker_transitions_total{dependency=\"encoder\",state=\"open\",reason=\"failure_rate\"}";
    let mut asked = 0;
    while rig.metric(opened) < 1.0 {
        asked += 1;
        assert!(asked <= 40, "{asked} calls, and it is closed");
        // Two of each, so that both meet both.
        if asked % 4 < 2 {
            let answer = rig.search(&json!({}));
            let meta = &answer.body["meta"];
            match answer.status {
                200 => whole += 1,
                206 => {
                    assert_eq!(meta["reasons"], json!(["embed_unavailable"]));
                    assert_eq!(meta["served_by"], "text");
                    by_words += 1;
                }
                status => panic!("{status}: {}", answer.text),
            }
        } else {
            let answer = rig.embed();
            if answer.status == 200 {
                embedded += 1;
            } else {
                assert!(!answer.header("retry-after").is_empty());
                answer.problem(503, "dependency_unavailable");
                refused += 1;
            }
        }
    }
    let seen = [whole, by_words, embedded, refused];
    assert!(seen.iter().all(|count| *count >= 2), "{seen:?}");
    let calls = |outcome: &str| {
        let labels = format!("dependency=\"encoder\",outcome=\"{outcome}\"");
        rig.metric(&format!("embedder_breaker_calls_total{{{labels}}}"))
    };
    assert!(calls("success") >= 8.0 && calls("failure") >= 8.0);
    let written = rig
        .write("half.md", "A lighthouse keeper sees every other ship.")
        .with_status(200);
    assert!(
        ["pending", "done"].contains(&written.body["embedding"].as_str().unwrap()),
        "{}",
        written.text
    );
    assert_eq!(rig.server.find("notes", "lighthouse"), ["half.md"]);
    assert_eq!(rig.readiness(), 200);
    rig.clear("encode");
    rig.assert_recovers();
}

/// Checks that nobody is kept waiting for the encoder while its breaker is open: embeddings are refused, documents kept.
fn assert_left_alone(rig: &Rig) {
    assert_ne!(rig.breaker("encoder"), "closed");
    let refused = rig.embed();
    assert!(!refused.header("retry-after").is_empty());
    refused.problem(503, "dependency_unavailable");
    rig.search(&json!({"mode": "vector"}))
        .problem(503, "dependency_unavailable");
    let written = rig
        .write("pending.md", "A lighthouse keeper waits for the embedder.")
        .ok();
    assert_eq!(written["embedding"], "pending");
    assert_eq!(rig.server.find("notes", "lighthouse"), ["pending.md"]);
}
