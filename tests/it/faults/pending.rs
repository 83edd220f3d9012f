//! Documents that wait for vectors which cannot be made.

use serde_json::{Value, json};

use super::rig::Rig;
use crate::support::app::{App, wait_until};
use crate::support::server::{Answer, TestServer};

/// Chunks that may wait.
const CHUNKS_MAX: usize = 5;

const SMALL: &[(&str, &str)] = &[("EMBEDDER_DEGRADATION_PENDING_CHUNKS_MAX", "5")];

/// Documents of a chunk each, with words that no other has.
fn documents(numbers: std::ops::Range<usize>) -> Value {
    let document = |number| json!({"id": format!("{number}.md"), "text": format!("Entry {number} of the logbook of ship{number}.")});
    json!({"documents": numbers.map(document).collect::<Vec<_>>()})
}

fn write(rig: &Rig, numbers: std::ops::Range<usize>) -> Answer {
    let body = documents(numbers);
    rig.server.post("/v1/collections/notes/documents", &body)
}

fn assert_refused(answer: Answer) {
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    let body = answer.problem(503, "overloaded");
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("5 chunks"), "{detail}");
    assert_eq!(body["retryable"], true);
}

#[test]
fn while_the_encoder_fails_so_many_documents_wait_and_no_more() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, SMALL);
    // As many as come while vectors are made.
    write(&rig, 100..120).with_status(200);
    rig.wait_for_vectors();

    rig.set("encode", &json!({"action": "fail"}));
    for _ in 0..3 {
        rig.assert_degraded("text", "embed_unavailable");
    }
    assert_ne!(rig.breaker("encoder"), "closed");
    for number in 0..CHUNKS_MAX {
        let written = write(&rig, number..number + 1).ok();
        assert_eq!(written["embedding"], "pending");
    }
    assert_refused(write(&rig, CHUNKS_MAX..CHUNKS_MAX + 1));
    // All or none.
    rig.server
        .delete("/v1/collections/notes/documents/0.md")
        .with_status(204);
    assert_refused(write(&rig, CHUNKS_MAX..CHUNKS_MAX + 2));
    write(&rig, CHUNKS_MAX..CHUNKS_MAX + 1).with_status(200);
    // What is there already may be written again, is found, and is no reason to refuse what needs no vector of ours.
    write(&rig, 1..CHUNKS_MAX + 1).with_status(200);
    assert_eq!(rig.server.find("notes", "ship5"), ["5.md"]);
    assert!(rig.server.find("notes", "ship6").is_empty());
    let vectors = json!({"kind": "vectors", "dimensions": 2});
    rig.server
        .put("/v1/collections/own", &vectors)
        .with_status(201);
    let own = json!({"documents": [{"id": "a", "text": "a text", "vector": [1.0, 0.0]}]});
    rig.server
        .post("/v1/collections/own/documents", &own)
        .with_status(200);
    // Collections share the limit.
    rig.server.make_documents("others");
    assert_refused(
        rig.server
            .post("/v1/collections/others/documents", &documents(0..1)),
    );
    assert_eq!(
        rig.metric("embedder_shed_total{reason=\"pending_vectors\"}"),
        3.0
    );
    assert_eq!(rig.readiness(), 200);

    rig.clear("encode");
    rig.assert_recovers();
    write(&rig, 0..30).with_status(200);
    rig.wait_for_vectors();
}

#[test]
fn documents_have_the_limit_also_where_nobody_searches() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, SMALL);
    rig.set("encode", &json!({"action": "fail"}));
    // Nobody waits for an answer of the encoder, so its breaker does not open.
    write(&rig, 0..1).with_status(200);
    wait_until("the vectors were tried", || {
        rig.server.log().contains("Vectors are still pending")
    });
    write(&rig, 1..CHUNKS_MAX).with_status(200);
    assert_refused(write(&rig, CHUNKS_MAX..CHUNKS_MAX + 1));
    assert_eq!(rig.breaker("encoder"), "closed");
    rig.clear("encode");
    rig.assert_recovers();
    write(&rig, 0..30).with_status(200);
}

#[test]
fn without_a_model_nothing_is_refused() {
    let app = App::text_only();
    let env = [("EMBEDDER_DEGRADATION_PENDING_CHUNKS_MAX", "0")];
    let server = TestServer::start(&app, &[], &env);
    server.make_documents("notes");
    for round in 0..3 {
        let body = documents(round * 100..(round + 1) * 100);
        let written = server
            .post("/v1/collections/notes/documents", &body)
            .with_status(200);
        assert_eq!(written.body["embedding"], "unavailable");
    }
    assert_eq!(server.find("notes", "ship7"), ["7.md"]);
}
