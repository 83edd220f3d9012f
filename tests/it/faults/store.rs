//! The store cannot be read, or not be written to.

use serde_json::json;

use super::rig::Rig;
use crate::support::app::{App, wait_until};

#[test]
fn a_store_that_cannot_be_read_leaves_earlier_answers_and_says_how_old_they_are() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    let known = json!({"query": "when do the ships leave the harbour"});
    let search = |body| rig.server.post("/v1/collections/notes/search", body);
    search(&known).with_status(200);
    // The earlier answer does not hold any more, and is still better than none.
    rig.write("more.md", "More of the same.").with_status(200);
    rig.set("store_read", &json!({"action": "fail"}));
    let earlier = search(&known);
    assert!(!earlier.header("age").is_empty());
    let body = earlier.with_status(206).body;
    assert_eq!(body["meta"]["served_by"], "cached", "{body}");
    assert_eq!(body["meta"]["reasons"], json!(["store_unavailable"]));
    assert!(body["meta"]["age_ms"].as_u64().is_some());
    assert_eq!(body["hits"][0]["path"], "harbour.md");

    rig.search(&json!({}))
        .problem(503, "dependency_unavailable");
    let empty = rig
        .search(&json!({"allow_degraded": "minimal"}))
        .with_status(206)
        .body;
    assert_eq!(empty["meta"]["served_by"], "minimal");
    assert_eq!(empty["hits"], json!([]));
    rig.search(&json!({"mode": "literal"}))
        .problem(503, "dependency_unavailable");
    rig.embed().with_status(200);
    let level = rig.server.get("/v1/admin/degradation").ok();
    assert_eq!(level["level"], "Minimal", "{level}");
    wait_until("health has noticed", || rig.health() == "Unhealthy");
    assert_eq!(rig.readiness(), 503);
    rig.clear("store_read");
    rig.assert_recovers();
}

#[test]
fn a_store_that_takes_no_writes_says_so_and_answers_everything_else() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.set("store_write", &json!({"action": "fail"}));
    rig.write("lost.md", "Nobody was told that this is kept.")
        .problem(503, "dependency_unavailable");
    rig.assert_whole();
    rig.embed().with_status(200);
    assert_eq!(rig.readiness(), 200);
    rig.clear("store_write");
    rig.write("kept.md", "This is.").with_status(200);
    rig.assert_recovers();
}

#[test]
fn a_request_that_panics_is_an_error_of_its_own_and_of_no_other() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    let before = rig.metric("embedder_panics_total");
    rig.set("handler", &json!({"action": "panic", "times": 1}));
    let failed = rig.server.get("/v1/collections");
    let id = failed.header("x-request-id").to_owned();
    let body = failed.problem(500, "internal");
    assert_eq!(body["request_id"], id.as_str());
    assert!(
        rig.server.log().contains(&id),
        "the log has the cause under this id"
    );
    assert!(rig.metric("embedder_panics_total") > before);
    rig.assert_recovers();
}
