//! A server that is asked for one class of requests.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Overload;
use super::plan::StreamPlan;
use super::schedule::Arrivals;
use crate::engine::access::Token;
use crate::engine::bench::server::child::{Placement, ServerProcess};
use crate::engine::bench::server::client::Request;
use crate::engine::bench::server::texts;
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};

/// Different texts: nothing that the server might remember comes again soon.
const TEXTS: usize = 4_096;

/// Connections of all who ask together: fewer than one address may have, and at ten times the capacity still enough for
/// all that an embedding server with a short queue has under way.
const CONNECTIONS: usize = 1_000;

/// Who has waited this long for an answer has left. Far more than any deadline, so that a server which answers late is
/// seen to do so.
const GIVE_UP: Duration = Duration::from_secs(10);

/// The collection that is searched.
const COLLECTION: &str = "bench-overload";

/// Its documents, and how many tokens each of them has.
const DOCUMENTS: (usize, usize) = (100, 64);

/// The question that is asked again and again.
const QUESTION: &str = "the work of a family in the city";

/// The longest wait until the vectors of the documents are there.
const VECTORS_TIME_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether they are.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// `POST /v1/embeddings` with one text of 128 tokens: a chunk of code.
    Embed128,
    /// The same with 16 tokens: a question.
    Embed16,
    /// `POST /v1/search` with a question whose answer is remembered.
    SearchCached,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 3] = [Class::Embed128, Class::Embed16, Class::SearchCached];

    /// Returns the name that figures go by.
    pub fn name(self) -> &'static str {
        match self {
            Class::Embed128 => "embed128",
            Class::Embed16 => "embed16",
            Class::SearchCached => "search-cached",
        }
    }

    /// Returns how soon after it was due an answer must come to be worth something.
    pub fn deadline(self) -> Duration {
        match self {
            Class::Embed128 | Class::Embed16 => Duration::from_secs(2),
            Class::SearchCached => Duration::from_millis(250),
        }
    }

    /// Returns how many clients find out how much there is to be had: enough to fill the batches of the encoder and to
    /// keep it busy while answers are written, and so few that no queue is long.
    pub(super) fn clients(self) -> usize {
        match self {
            Class::Embed128 => 4,
            Class::Embed16 => 24,
            Class::SearchCached => 8,
        }
    }

    /// Whether serving costs so much that refusing is nothing beside it, even ten times as often.
    pub(super) fn is_costly(self) -> bool {
        match self {
            Class::Embed128 => true,
            Class::Embed16 | Class::SearchCached => false,
        }
    }
}

/// A server with one encoder thread on a core of its own, and what it is asked.
pub(super) struct Target {
    pub(super) server: ServerProcess,
    pub(super) class: Class,
    path: &'static str,
    bodies: Vec<Value>,
    /// Its data directory, which goes when the server has ended.
    pub(super) data_dir: TempDir,
}

/// Somebody who asks.
pub(super) struct Asker<'a> {
    /// The key, if it is not that of the machine's owner.
    pub(super) token: Option<&'a Token>,
    /// Whether its requests say that nobody waits for them.
    pub(super) is_bulk: bool,
}

impl Asker<'static> {
    /// The owner of the machine, who waits.
    pub(super) const OWNER: Asker<'static> = Asker {
        token: None,
        is_bulk: false,
    };
}

impl Target {
    /// Starts a server and makes what it is asked for.
    ///
    /// # Errors
    /// A model that cannot be loaded; those of the server; [`Error::Interrupted`].
    pub(super) fn start(overload: &Overload<'_>, class: Class) -> Result<Target> {
        let setting = &overload.setting;
        let embedder = Embedder::load(setting.config)?;
        let data_dir = tempfile::tempdir()
            .map_err(|error| Error::io("create", std::env::temp_dir(), error))?;
        let server = ServerProcess::start_with_ops(setting, data_dir.path(), Placement::OneCore)?;
        let (path, bodies) = match class {
            Class::Embed128 => ("/v1/embeddings", embeddings(&embedder, 128)?),
            Class::Embed16 => ("/v1/embeddings", embeddings(&embedder, 16)?),
            Class::SearchCached => {
                let (count, tokens) = DOCUMENTS;
                let texts = texts::texts(&embedder, tokens, count)?;
                (
                    "/v1/search",
                    vec![cached_search(overload, &server, &texts)?],
                )
            }
        };
        Ok(Target {
            server,
            class,
            path,
            bodies,
            data_dir,
        })
    }

    /// Returns what those who ask do, in their order. No two of them ask the same, and each has as many connections.
    pub(super) fn streams(&self, askers: &[Asker<'_>]) -> Vec<StreamPlan> {
        let stream = |(first, asker): (usize, &Asker<'_>)| StreamPlan {
            server: self.server.address(),
            requests: self
                .bodies
                .iter()
                .skip(first)
                .step_by(askers.len())
                .map(|body| self.request(asker, body))
                .collect(),
            connections: CONNECTIONS / askers.len(),
            arrivals: Arrivals::Random,
            deadline_ms: ms(self.class.deadline()),
            give_up_ms: ms(GIVE_UP),
        };
        askers.iter().enumerate().map(stream).collect()
    }

    fn request(&self, asker: &Asker<'_>, body: &Value) -> String {
        let request = match asker.token {
            Some(token) => {
                let address = self.server.address();
                Request::new("POST", self.path, address, Some(token), Some(body))
            }
            None => self.server.request("POST", self.path, Some(body)),
        };
        if asker.is_bulk {
            with_field(&request.into_text(), "x-priority: bulk")
        } else {
            request.into_text()
        }
    }
}

/// Returns a duration as plans have it.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Puts a field behind the first line of a request.
fn with_field(request: &str, field: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{field}\r\n"), 1)
}

fn embeddings(embedder: &Embedder, tokens: usize) -> Result<Vec<Value>> {
    let texts = texts::texts(embedder, tokens, TEXTS)?;
    let body = |text: String| json!({"model": embedder.name(), "input": text});
    Ok(texts.into_iter().map(body).collect())
}

/// Makes a collection and waits until the answer to the question is whole and remembered.
fn cached_search(
    overload: &Overload<'_>,
    server: &ServerProcess,
    texts: &[String],
) -> Result<Value> {
    let mut client = server.client()?;
    let collection = format!("/v1/collections/{COLLECTION}");
    let made = server.request("PUT", &collection, Some(&json!({"kind": "documents"})));
    client.json(&made)?;
    let documents: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| json!({"id": format!("{number}.txt"), "text": text}))
        .collect();
    let address = format!("{collection}/documents");
    let written = json!({"documents": documents});
    client.json(&server.request("POST", &address, Some(&written)))?;
    let body = json!({"query": QUESTION, "collections": [COLLECTION]});
    let search = server.request("POST", "/v1/search", Some(&body));
    let started = Instant::now();
    loop {
        let answer = client.ask(&search)?;
        if answer.status == 200 && answer.header("x-cache") == Some("hit") {
            return Ok(body);
        }
        if !matches!(answer.status, 200 | 206) || started.elapsed() > VECTORS_TIME_MAX {
            return Err(answer.unexpected());
        }
        overload.setting.go_on()?;
        thread::sleep(POLL_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_stands_behind_the_first_line() {
        assert_eq!(
            with_field(
                "POST /x HTTP/1.1\r\nhost: a\r\n\r\n{\"a\":\"\\r\\n\"}",
                "x-priority: bulk"
            ),
            "POST /x HTTP/1.1\r\nx-priority: bulk\r\nhost: a\r\n\r\n{\"a\":\"\\r\\n\"}"
        );
    }
}
