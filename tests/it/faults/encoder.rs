//! The local encoder fails.

use serde_json::json;

use super::rig::Rig;
use crate::support::app::{App, wait_until};

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
    rig.clear("encode");
    rig.assert_recovers();
}
