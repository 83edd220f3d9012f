//! Text index, vectors and cache fail, one by one and together.

use serde_json::json;

use super::rig::Rig;
use crate::support::app::{App, wait_until};
use crate::support::server::paths;

#[test]
fn without_a_text_index_answers_come_by_meaning_and_it_is_built_anew() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.set("lexical_search", &json!({"action": "fail"}));
    for _ in 0..4 {
        rig.assert_degraded("vector", "text_index_unavailable");
    }
    assert_ne!(rig.breaker("lexical_index"), "closed");
    // Words alone are looked for in the store itself.
    let words = rig.search(&json!({"mode": "text"})).with_status(206).body;
    assert_eq!(words["meta"]["served_by"], "direct");
    assert_eq!(paths(&words)[0], "harbour.md");
    rig.embed().with_status(200);
    rig.write("more.md", "More of the same.").with_status(200);
    assert_eq!(rig.readiness(), 200);
    wait_until("health has noticed", || rig.health() == "Degraded");
    rig.clear("lexical_search");
    rig.assert_recovers();
    let rebuilt = "embedder_recoveries_total{dependency=\"lexical_index\",outcome=\"recovered\"}";
    assert!(rig.metric(rebuilt) >= 1.0);
    assert_eq!(
        rig.server.find("notes", "yeast"),
        ["bread.md"],
        "after it was built anew"
    );
}

#[test]
fn without_vectors_answers_come_by_words_and_they_are_read_anew() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.set("vector_search", &json!({"action": "fail"}));
    for _ in 0..4 {
        rig.assert_degraded("text", "vector_index_unavailable");
    }
    assert_ne!(rig.breaker("vector_index"), "closed");
    rig.search(&json!({"mode": "vector"}))
        .problem(503, "dependency_unavailable");
    rig.embed().with_status(200);
    rig.write("more.md", "More of the same.").with_status(200);
    assert_eq!(rig.readiness(), 200);
    rig.clear("vector_search");
    rig.assert_recovers();
}

#[test]
fn without_both_indexes_the_store_itself_is_searched() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.set("vector_search", &json!({"action": "fail"}));
    rig.set("lexical_search", &json!({"action": "panic"}));
    for _ in 0..5 {
        rig.assert_degraded("direct", "text_index_unavailable");
    }
    let level = rig.server.get("/v1/admin/degradation").ok();
    assert_eq!(level["level"], "Minimal", "{level}");
    rig.embed().with_status(200);
    assert_eq!(rig.readiness(), 200);
    wait_until("health has noticed", || rig.health() == "Degraded");
    rig.clear("vector_search");
    rig.clear("lexical_search");
    rig.assert_recovers();
}

#[test]
fn without_a_cache_answers_are_as_good_as_ever() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.set("cache", &json!({"action": "fail"}));
    for _ in 0..5 {
        rig.assert_whole();
    }
    assert_ne!(rig.breaker("cache"), "closed");
    let level = rig.server.get("/v1/admin/degradation").ok();
    assert_eq!(level["level"], "Degraded", "{level}");
    rig.clear("cache");
    rig.assert_recovers();
}

#[test]
fn a_text_index_that_is_damaged_on_disk_is_built_anew_at_the_start() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.server.stop();
    let folder = app.data_dir().join("index");
    let mut damaged = 0;
    for collection in std::fs::read_dir(folder).unwrap().flatten() {
        for file in std::fs::read_dir(collection.path()).unwrap().flatten() {
            if file.metadata().unwrap().len() > 0 {
                std::fs::write(file.path(), b"not an index").unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0);
    let server = crate::support::server::TestServer::start(&app, &[], super::rig::QUICK);
    assert_eq!(server.find("notes", "yeast"), ["bread.md"]);
}

#[test]
fn what_is_written_while_the_text_index_cannot_be_is_kept_and_found_later() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    rig.set("lexical_write", &json!({"action": "fail", "times": 3}));
    rig.write("kept.md", "A zeppelin crosses the channel.")
        .with_status(200);
    wait_until("it is found by its words", || {
        rig.server.find("notes", "zeppelin") == ["kept.md"]
    });
    rig.clear("lexical_write");
    rig.assert_recovers();
}
