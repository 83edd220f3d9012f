//! `embedder drill`: each mechanism walked on a live server.

use serde_json::json;

use crate::support::app::App;
use crate::support::server::TestServer;

#[test]
fn every_drill_finds_a_server_that_does_what_it_should() {
    let Some(app) = App::with_model() else { return };
    let env = [
        ("EMBEDDER_BREAKER_OPEN_S", "1"),
        ("EMBEDDER_HEALTH_INTERVAL_S", "1"),
        ("EMBEDDER_RATE_LIMIT_AUTH_FAILURES_PER_MIN", "5"),
    ];
    let server = TestServer::start(&app, &[], &env);
    server.make_documents("notes");
    server.write("notes", &[("a.md", "How does it work? It works well.")]);
    for (drill, parts) in [
        (
            "breaker",
            [
                "3 failures of the cache: its breaker is open",
                "ok: it opened",
            ]
            .as_slice(),
        ),
        (
            "retry",
            &["1035 calls, 35 more", "while the breaker was open: 0"],
        ),
        (
            "degradation",
            &["without nothing", "direct (Minimal)", "minimal (Minimal)"],
        ),
        ("rate-limit", &["100 of 100 honest requests"]),
        ("errors", &["a repair, to forget all answers: recovered"]),
    ] {
        let out = app.ok(&["drill", drill]).out();
        for part in parts {
            assert!(out.contains(part), "{drill}: {out}");
        }
    }
}

#[test]
fn a_drill_needs_a_server() {
    let app = App::text_only();
    app.fails(&["drill", "retry"], 69, &["no server runs"]);
}

#[test]
fn a_breaker_that_an_operator_decides_about_is_left_alone() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    for action in ["force_closed", "metrics_only", "force_open"] {
        let order = json!({"action": action, "for_s": 60});
        server
            .put("/v1/admin/breakers/cache", &order)
            .with_status(200);
        app.fails(&["drill", "breaker"], 64, &["breaker of the cache"]);
    }
    server.stop();
}
