//! Clients that go on asking, each as fast as it is answered.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::support::app::wait_until;
use crate::support::server::TestServer;

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Search,
    Embed,
    Write,
}

/// A request and what became of it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    /// Of the answer; 0 where there was none.
    pub(super) status: u16,
    pub(super) said: String,
    /// The document that was written, and its text.
    pub(super) document: Option<(String, String)>,
}

/// What goes on at the moment.
pub(super) struct Traffic<'a> {
    kinds: &'a [Kind],
    answered: Vec<AtomicUsize>,
    is_over: AtomicBool,
}

/// Ends the traffic, however the test ends.
pub(super) struct Ending<'a>(pub(super) &'a AtomicBool);

/// Lets a client of each kind ask about the collection `notes` while something happens; returns all requests.
pub(super) fn during(
    server: &TestServer,
    kinds: &[Kind],
    happening: impl FnOnce(&Traffic<'_>),
) -> Vec<Told> {
    let traffic = Traffic {
        kinds,
        answered: kinds.iter().map(|_| AtomicUsize::new(0)).collect(),
        is_over: AtomicBool::new(false),
    };
    let all = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let _ending = Ending(&traffic.is_over);
        for client in 0..kinds.len() {
            let (traffic, all) = (&traffic, &all);
            scope.spawn(move || {
                let told = traffic.ask_on(server, client);
                all.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(told);
            });
        }
        happening(&traffic);
    });
    all.into_inner().unwrap()
}

impl Traffic<'_> {
    /// Waits until every client has so many more answers than now.
    pub(super) fn goes_on(&self, more: usize) {
        let counts = || {
            self.answered
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
        };
        let before: Vec<usize> = counts().collect();
        wait_until("every client has more answers", || {
            let mut pairs = counts().zip(&before);
            pairs.all(|(now, before)| now >= before + more)
        });
    }

    /// Lets every client end with the request that it is at.
    pub(super) fn ends(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn ask_on(&self, server: &TestServer, client: usize) -> Vec<Told> {
        let mut all = Vec::new();
        let kind = self.kinds[client];
        while !self.is_over.load(Ordering::Relaxed) {
            all.push(ask(server, kind, client, all.len()));
            self.answered[client].fetch_add(1, Ordering::Relaxed);
        }
        all
    }
}

fn ask(server: &TestServer, kind: Kind, client: usize, number: usize) -> Told {
    // Nobody has asked this before.
    let words = format!("harbour question {number} of client {client}");
    let mut document = None;
    let (path, body) = match kind {
        Kind::Search => ("/v1/collections/notes/search", json!({"query": words})),
        Kind::Embed => (
            "/v1/embeddings",
            json!({"input": words, "model": "all-MiniLM-L6-v2"}),
        ),
        Kind::Write => {
            let id = format!("client{client}/{number}.md");
            let text = format!("Invoice {} is not paid.", invoice(&id));
            let body = json!({"documents": [{"id": id, "text": text}]});
            document = Some((id, text));
            ("/v1/collections/notes/documents", body)
        }
    };
    let begun = Instant::now();
    let (status, said) = match server.ask("POST", path).json(&body).try_send() {
        Ok(answer) => (answer.status, answer.text),
        Err(error) => (0, format!("{error:?}")),
    };
    Told {
        kind,
        begun,
        ended: Instant::now(),
        status,
        said,
        document,
    }
}

/// A word that is in one document alone.
pub(super) fn invoice(id: &str) -> String {
    let letters = id.trim_end_matches(".md").chars();
    letters.filter(char::is_ascii_alphanumeric).collect()
}

/// Checks that every request was answered, and wholly.
pub(super) fn assert_all_went_well(all: &[Told]) {
    for told in all {
        assert_eq!(told.status, 200, "{:?}: {}", told.kind, told.said);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
