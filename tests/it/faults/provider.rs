//! A remote embedding provider fails, in every way that one can.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::QUICK;
use crate::support::app::{App, wait_until};
use crate::support::fault_proxy::{self, FaultProxy};
use crate::support::provider::{FakeProvider, KEY, Mode};
use crate::support::server::{Answer, TestServer, paths};

const DIMENSIONS: usize = 64;

const NOTES: &[(&str, &str)] = &[
    (
        "harbour.md",
        "The harbour opens at dawn, and the first ships leave for the islands.",
    ),
    (
        "bread.md",
        "Flour, water, salt and yeast are kneaded and left to rise overnight.",
    ),
];

/// A server whose collection `notes` has the vectors of a provider behind a network that fails as it is told to. It has no
/// model of its own.
pub(super) struct Remote {
    pub(super) provider: FakeProvider,
    network: FaultProxy,
    pub(super) server: TestServer,
    serial: std::cell::Cell<u32>,
    pub(super) app: App,
}

impl Remote {
    pub(super) fn start(env: &[(&str, &str)]) -> Remote {
        Remote::start_by(App::text_only(), env)
    }

    /// The same, of an app that may have a model of its own.
    pub(super) fn start_by(app: App, env: &[(&str, &str)]) -> Remote {
        let provider = FakeProvider::start(DIMENSIONS);
        let network = FaultProxy::before(provider.address());
        let url = format!("http://{}/v1", network.address());
        let dimensions = DIMENSIONS.to_string();
        let settings = [
            ("EMBEDDER_EMBEDDING_PROVIDER", "openai"),
            ("EMBEDDER_EMBEDDING_URL", &url),
            ("EMBEDDER_EMBEDDING_MODEL", "fake"),
            ("EMBEDDER_EMBEDDING_DIMENSIONS", &dimensions),
            ("EMBEDDER_EMBEDDING_API_KEY", KEY),
            ("EMBEDDER_EMBEDDING_TIMEOUT_S", "1"),
        ];
        let env: Vec<_> = QUICK.iter().chain(&settings).chain(env).copied().collect();
        let server = TestServer::start(&app, &[], &env);
        let body = json!({"kind": "documents", "remote_provider": true});
        server.put("/v1/collections/notes", &body).with_status(201);
        server.write("notes", NOTES);
        let remote = Remote {
            provider,
            network,
            server,
            serial: std::cell::Cell::new(0),
            app,
        };
        remote.wait_for_vectors();
        remote
    }

    pub(super) fn wait_for_vectors(&self) {
        wait_until("all vectors are there", || {
            let counts = &self.server.get("/v1/collections/notes").ok()["counts"];
            counts["embedded"] == counts["chunks"]
        });
    }

    fn search(&self, fields: &Value) -> Answer {
        self.serial.set(self.serial.get() + 1);
        let query = format!("harbour ships question {}", self.serial.get());
        let mut body = json!({"query": query});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.server.post("/v1/collections/notes/search", &body)
    }

    fn assert_whole(&self) {
        let body = self.search(&json!({})).with_status(200).body;
        assert_eq!(body["meta"]["served_by"], "hybrid", "{body}");
        assert_eq!(body["meta"]["model"], "fake");
        assert_eq!(paths(&body)[0], "harbour.md");
    }

    pub(super) fn assert_by_words(&self, reason: &str) {
        let body = self.search(&json!({})).with_status(206).body;
        let meta = &body["meta"];
        assert_eq!(meta["served_by"], "text", "{body}");
        assert!(
            meta["reasons"].as_array().unwrap().contains(&json!(reason)),
            "{meta}"
        );
        assert_eq!(paths(&body)[0], "harbour.md");
    }

    pub(super) fn breaker(&self) -> String {
        let list = self.server.get("/v1/admin/breakers").ok();
        let all = list["breakers"].as_array().unwrap();
        let found = all
            .iter()
            .find(|view| view["dependency"] == "embedding_provider");
        found.unwrap()["state"].as_str().unwrap().to_owned()
    }

    /// What is written is kept, found by its words, and waits for its vector.
    fn assert_pending(&self) {
        self.serial.set(self.serial.get() + 1);
        let id = format!("pending{}.md", self.serial.get());
        let text = format!("A lighthouse keeper writes {id}.");
        let written = self.server.write("notes", &[(&id, &text)]);
        assert_eq!(written["embedding"], "pending");
        assert_eq!(self.server.find("notes", &id)[0], id);
    }

    pub(super) fn assert_recovers(&self) {
        wait_until("the breaker is closed", || self.breaker() == "closed");
        self.wait_for_vectors();
        wait_until("answers are whole", || {
            self.search(&json!({})).status == 200
        });
        self.assert_whole();
    }

    /// Three failed requests open the breaker; text search goes on; then the provider is well again.
    fn assert_fails_and_recovers(&self, reason: &str, heal: impl Fn(&Remote)) {
        for _ in 0..3 {
            self.assert_by_words(reason);
        }
        wait_until("the breaker is open", || self.breaker() != "closed");
        self.search(&json!({"mode": "vector"})).with_status(503);
        let causes = &self.server.get("/v1/admin/degradation").ok()["causes"];
        let is_named = causes
            .to_string()
            .contains("embedding_provider: its circuit breaker is");
        assert!(is_named || self.breaker() == "closed", "{causes}");
        self.assert_pending();
        assert_eq!(self.server.ops("/readyz").send().status, 200);
        heal(self);
        self.assert_recovers();
    }
}

pub(super) fn well(remote: &Remote) {
    remote.provider.set_mode(Mode::Normal);
    remote.network.set_mode(fault_proxy::Mode::Pass);
}

#[test]
fn a_collection_that_opted_in_has_the_vectors_of_the_provider_and_no_other_is_sent() {
    let remote = Remote::start(&[]);
    remote.assert_whole();
    let sent = remote.provider.text_count();
    remote.server.make_documents("private");
    remote
        .server
        .write("private", &[("secret.md", "Nobody else reads this.")]);
    let body = json!({"query": "who reads this"});
    remote.server.post("/v1/collections/private/search", &body);
    assert_eq!(remote.provider.text_count(), sent);
    let view = remote.server.get("/v1/collections/notes").ok();
    assert_eq!(view["remote_provider"], true);
    let status = remote.server.get("/v1/admin/status").ok();
    let all = status["collections"].as_array().unwrap();
    let notes = all.iter().find(|view| view["name"] == "notes").unwrap();
    assert_eq!(notes["counts"]["embedded"], 2, "{notes}");
    let other = json!({"kind": "documents"});
    remote
        .server
        .put("/v1/collections/notes", &other)
        .problem(409, "conflict");
    // Both kinds in one search.
    let both = remote
        .server
        .post("/v1/search", &json!({"query": "harbour"}))
        .body;
    assert_eq!(paths(&both)[0], "harbour.md", "{both}");
}

#[test]
fn a_provider_that_refuses_connections() {
    let remote = Remote::start(&[]);
    remote.network.set_mode(fault_proxy::Mode::Refuse);
    remote.assert_fails_and_recovers("embed_unavailable", well);
}

#[test]
fn a_provider_that_hangs() {
    let remote = Remote::start(&[]);
    remote.network.set_mode(fault_proxy::Mode::Hang);
    remote.assert_fails_and_recovers("embed_timeout", well);
}

#[test]
fn a_provider_that_answers_with_errors() {
    let remote = Remote::start(&[]);
    remote.provider.set_mode(Mode::Status(500, None));
    remote.assert_fails_and_recovers("embed_unavailable", well);
}

#[test]
fn a_provider_that_does_not_know_our_key() {
    let remote = Remote::start(&[]);
    remote.provider.set_mode(Mode::Status(401, None));
    remote.assert_fails_and_recovers("embed_unavailable", well);
    assert!(!remote.server.log().contains(KEY));
}

#[test]
fn a_provider_that_answers_with_what_cannot_be_used() {
    let remote = Remote::start(&[]);
    for mode in [
        Mode::WrongDimensions,
        Mode::NotFinite("null"),
        Mode::TooFew,
        Mode::Malformed,
    ] {
        remote.provider.set_mode(mode);
        remote.assert_fails_and_recovers("embed_unavailable", well);
    }
}

#[test]
fn a_provider_that_fails_half_the_time_is_asked_a_little_more_and_answers_stay_whole() {
    let remote = Remote::start(&[("EMBEDDER_BREAKER_CALLS_MIN", "1000")]);
    let before = remote.provider.call_count();
    remote.provider.set_mode(Mode::FailShare {
        share: 0.3,
        status: 500,
        seed: 7,
    });
    let whole = (0..40)
        .filter(|_| remote.search(&json!({})).status == 200)
        .count();
    assert!(whole >= 30, "{whole} of 40");
    let calls = remote.provider.call_count() - before;
    assert!(calls <= 40 + 35, "{calls} calls for 40 requests");
    well(&remote);
    remote.assert_recovers();
}

#[test]
fn a_provider_that_is_slow_is_told_by_its_slowness() {
    let remote = Remote::start(&[
        ("EMBEDDER_BREAKER_CALLS_MIN", "3"),
        ("EMBEDDER_BREAKER_CONSECUTIVE_FAILURES", "1000"),
    ]);
    remote
        .provider
        .set_mode(Mode::SlowBy(Duration::from_millis(900)));
    for _ in 0..4 {
        remote.search(&json!({}));
    }
    wait_until("the breaker is open", || remote.breaker() != "closed");
    remote.assert_by_words("embed_unavailable");
    well(&remote);
    remote.assert_recovers();
}

#[test]
fn a_provider_that_asks_for_a_day_of_quiet_gets_minutes() {
    let remote = Remote::start(&[]);
    remote.provider.set_mode(Mode::Status(429, Some("86400")));
    remote.assert_by_words("embed_unavailable");
    let list = remote.server.get("/v1/admin/breakers").ok();
    let all = list["breakers"].as_array().unwrap();
    let found = all
        .iter()
        .find(|view| view["dependency"] == "embedding_provider")
        .unwrap();
    assert_eq!(found["state"], "open", "{found}");
    // The longest stay is two seconds here, and five minutes by default.
    assert!(
        found["retry_after_ms"].as_u64().unwrap() <= 2_000,
        "{found}"
    );
    remote.assert_pending();
    well(&remote);
    remote.assert_recovers();
}

#[test]
fn a_provider_that_allows_few_calls_is_asked_no_faster() {
    let remote = Remote::start(&[("EMBEDDER_EMBEDDING_CALLS_PER_MINUTE_MAX", "3")]);
    let before = remote.provider.call_count();
    for _ in 0..6 {
        remote.search(&json!({}));
    }
    assert!(remote.provider.call_count() - before <= 3);
    assert_eq!(
        remote.breaker(),
        "closed",
        "our own limit is not its failure"
    );
}

#[test]
fn while_the_provider_fails_so_many_documents_wait_and_those_of_others_are_not_concerned() {
    let remote = Remote::start(&[("EMBEDDER_DEGRADATION_PENDING_CHUNKS_MAX", "2")]);
    let server = &remote.server;
    remote.provider.set_mode(Mode::Status(500, None));
    for _ in 0..3 {
        remote.assert_by_words("embed_unavailable");
    }
    wait_until("the breaker is open", || remote.breaker() != "closed");
    remote.assert_pending();
    remote.assert_pending();
    let third =
        json!({"documents": [{"id": "third.md", "text": "The third has to wait outside."}]});
    let refused = server.post("/v1/collections/notes/documents", &third);
    assert!(!refused.header("retry-after").is_empty());
    refused.problem(503, "overloaded");
    // This collection has no vectors at all: there is no model.
    server.make_documents("private");
    for _ in 0..3 {
        server
            .post("/v1/collections/private/documents", &third)
            .with_status(200);
    }
    well(&remote);
    remote.assert_recovers();
    server
        .post("/v1/collections/notes/documents", &third)
        .with_status(200);
}

#[test]
fn a_search_that_comes_too_soon_for_the_provider_is_answered_by_words() {
    let remote = Remote::start(&[("EMBEDDER_EMBEDDING_CALLS_PER_MINUTE_MAX", "4")]);
    let statuses: Vec<u16> = (0..8).map(|_| remote.search(&json!({})).status).collect();
    assert!(
        statuses.iter().all(|status| [200, 206].contains(status)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&206), "{statuses:?}");
    assert_eq!(remote.breaker(), "closed");
}
