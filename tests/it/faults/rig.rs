//! A server with something to find in it, and questions about its state.

use serde_json::{Value, json};

use crate::support::app::{App, wait_until};
use crate::support::server::{Answer, TestServer, paths};

/// Recovery within seconds.
pub(super) const QUICK: &[(&str, &str)] = &[
    ("EMBEDDER_BREAKER_OPEN_S", "1"),
    ("EMBEDDER_BREAKER_OPEN_S_MAX", "2"),
    ("EMBEDDER_HEALTH_INTERVAL_S", "1"),
    ("EMBEDDER_DEGRADATION_HEALTHY_S", "1"),
    ("EMBEDDER_LOG", "info"),
];

/// What is in the collection `notes`.
const NOTES: &[(&str, &str)] = &[
    (
        "harbour.md",
        "The harbour opens at dawn, and the first ships leave for the islands.",
    ),
    (
        "retry.md",
        "A call that failed is tried again after a pause, three times at most.",
    ),
    (
        "bread.md",
        "Flour, water, salt and yeast are kneaded and left to rise overnight.",
    ),
];

/// A server whose collection `notes` is complete.
pub(super) struct Rig {
    pub(super) server: TestServer,
    serial: std::cell::Cell<u32>,
}

impl Rig {
    pub(super) fn start(app: &App, env: &[(&str, &str)]) -> Rig {
        let env: Vec<_> = QUICK.iter().chain(env).copied().collect();
        let server = TestServer::start(app, &[], &env);
        server.make_documents("notes");
        server.write("notes", NOTES);
        let rig = Rig::of(server);
        rig.wait_for_vectors();
        rig
    }

    /// A server whose collection was made and completed by an earlier one.
    pub(super) fn of(server: TestServer) -> Rig {
        Rig {
            server,
            serial: std::cell::Cell::new(0),
        }
    }

    /// Waits until every chunk has its vector.
    pub(super) fn wait_for_vectors(&self) {
        wait_until("all vectors are there", || {
            let counts = &self.server.get("/v1/collections/notes").ok()["counts"];
            counts["embedded"] == counts["chunks"]
        });
    }

    /// A question that nobody has asked before, about the harbour.
    pub(super) fn question(&self) -> String {
        self.serial.set(self.serial.get() + 1);
        format!("harbour question number {}", self.serial.get())
    }

    /// Asks something new, with these fields beside the query.
    pub(super) fn search(&self, fields: &Value) -> Answer {
        let mut body = json!({"query": self.question()});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.server.post("/v1/collections/notes/search", &body)
    }

    /// Asks something new and checks that the answer is whole and right.
    pub(super) fn assert_whole(&self) {
        let answer = self.search(&json!({}));
        let body = answer.with_status(200).body;
        assert_eq!(body["meta"]["served_by"], "hybrid", "{body}");
        assert_eq!(body["meta"]["degraded"], false);
        assert_eq!(paths(&body)[0], "harbour.md");
    }

    /// Asks something new and checks that the answer is right, by which rung, and for which reason.
    pub(super) fn assert_degraded(&self, served_by: &str, reason: &str) -> Value {
        let answer = self.search(&json!({}));
        let header = answer.header("x-degraded").to_owned();
        let body = answer.with_status(206).body;
        let meta = &body["meta"];
        assert_eq!(meta["served_by"], served_by, "{body}");
        assert_eq!(meta["degraded"], true);
        assert!(
            meta["reasons"].as_array().unwrap().contains(&json!(reason)),
            "{meta}"
        );
        assert!(header.starts_with(served_by), "{header}");
        assert_eq!(paths(&body)[0], "harbour.md", "{body}");
        body
    }

    /// Embeds a text that nobody has embedded before.
    pub(super) fn embed(&self) -> Answer {
        let body = json!({"input": self.question(), "model": "all-MiniLM-L6-v2"});
        self.server.post("/v1/embeddings", &body)
    }

    /// Writes a document and returns the answer.
    pub(super) fn write(&self, id: &str, text: &str) -> Answer {
        let body = json!({"documents": [{"id": id, "text": text}]});
        self.server.post("/v1/collections/notes/documents", &body)
    }

    /// Makes a failpoint do something, an action as JSON.
    pub(super) fn set(&self, point: &str, action: &Value) {
        let path = format!("/v1/admin/failpoints/failpoint.{point}");
        self.server.put(&path, action).with_status(204);
    }

    /// Lets a failpoint do nothing again.
    pub(super) fn clear(&self, point: &str) {
        let path = format!("/v1/admin/failpoints/failpoint.{point}");
        self.server.delete(&path).with_status(204);
    }

    /// The state of a circuit breaker.
    pub(super) fn breaker(&self, dependency: &str) -> String {
        let list = self.server.get("/v1/admin/breakers").ok();
        let all = list["breakers"].as_array().unwrap();
        let found = all.iter().find(|view| view["dependency"] == dependency);
        found.unwrap()["state"].as_str().unwrap().to_owned()
    }

    /// The status of `/readyz`.
    pub(super) fn readiness(&self) -> u16 {
        self.server.ops("/readyz").send().status
    }

    /// What `/health` says in a word.
    pub(super) fn health(&self) -> String {
        let body = self.server.ops("/health").send().body;
        body["status"].as_str().unwrap().to_owned()
    }

    /// The value of a series, as the metrics page shows it.
    pub(super) fn metric(&self, series: &str) -> f64 {
        let page = self.server.ops("/metrics").send().text;
        let line = page.lines().find_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            (name == series).then(|| value.parse().unwrap())
        });
        line.unwrap_or_else(|| panic!("no series {series}"))
    }

    /// Waits until the service is whole again, by itself: breakers closed, level full, answers hybrid, vectors complete.
    pub(super) fn assert_recovers(&self) {
        wait_until("all breakers are closed", || {
            let list = self.server.get("/v1/admin/breakers").ok();
            let all = list["breakers"].as_array().unwrap();
            all.iter().all(|view| view["state"] == "closed")
        });
        wait_until("the level is full", || {
            self.server.get("/v1/admin/degradation").ok()["level"] == "Full"
        });
        self.wait_for_vectors();
        wait_until("it is healthy", || self.health() == "Healthy");
        assert_eq!(self.readiness(), 200);
        self.assert_whole();
        self.embed().with_status(200);
    }

    /// The same where the disk is so small that health never calls it roomy.
    pub(super) fn assert_recovers_on_a_small_disk(&self) {
        wait_until("the level is full", || {
            self.server.get("/v1/admin/degradation").ok()["level"] == "Full"
        });
        self.wait_for_vectors();
        assert_eq!(self.readiness(), 200);
        self.assert_whole();
    }
}
