//! What clients ask in a simulation, and what they make of the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request as HttpRequest, StatusCode, header};
use embedder_reliability::Random;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::documents::{Documents, Name, word_of};
use super::{below, happens};
use crate::error::ErrorCode;

/// The collections: the vectors of the first are made by the model, those of the second by the provider.
pub(super) const COLLECTIONS: [&str; 2] = ["local", "remote"];

/// Documents of each collection.
const IDS: usize = 12;

/// Requests of a round, but for bursts.
const REQUESTS_MAX: usize = 12;

/// Requests of a burst.
const BURST: usize = 400;

/// How long something that nobody waits for any more may still go on: longer than anything takes.
const UNSETTLED: Duration = Duration::from_secs(60);

/// Something that no answer to a failure may repeat.
const CANARY: &str = "canary-5f1c";

/// Requests that are sent together.
pub(super) struct Plan {
    pub(super) requests: Vec<Request>,
}

/// A request of a client.
pub(super) struct Request {
    kind: Kind,
    /// When it is sent, after the round began.
    after: Duration,
    /// When the client goes away.
    patience: Duration,
    /// The deadline that it asks for.
    deadline: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Kind {
    Write(Name, String),
    Delete(Name),
    Read(Name),
    /// Looks for a document by its own word.
    Search(Name, String, &'static str, Option<&'static str>),
    Embed,
    Breakers,
    /// Forces a breaker open, or switches a part off, for a few seconds.
    Order(String, Value),
}

/// What became of a request.
pub(super) struct Answer {
    kind: Kind,
    /// None where the client went away.
    answered: Option<(StatusCode, HeaderMap, Value)>,
}

/// What all answers were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Report {
    pub(super) whole: u64,
    pub(super) degraded: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
    /// What answered in place of what was asked, and the codes of refusals.
    pub(super) kinds: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn add(&mut self, other: &Report) {
        self.whole += other.whole;
        self.degraded += other.degraded;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        for (kind, count) in &other.kinds {
            *self.kinds.entry(kind.clone()).or_default() += count;
        }
    }

    fn degraded(&mut self, body: &Value) {
        self.degraded += 1;
        self.count(&body["meta"]["served_by"]);
    }

    fn refused(&mut self, body: &Value) {
        self.refused += 1;
        self.count(&body["code"]);
    }

    fn count(&mut self, kind: &Value) {
        let kind = kind.as_str().unwrap_or("?").to_owned();
        *self.kinds.entry(kind).or_default() += 1;
    }
}

impl Plan {
    /// Draws the requests of a round. Each document is in one of them at most.
    pub(super) fn draw(random: &mut Random, documents: &mut Documents, now: Duration) -> Plan {
        let is_burst = happens(random, 0.05);
        let count = if is_burst {
            BURST
        } else {
            1 + below(random, REQUESTS_MAX)
        };
        let mut taken = BTreeSet::new();
        let requests = (0..count).filter_map(|_| {
            let kind = if is_burst {
                Kind::draw_for_burst(random, documents, now)?
            } else {
                Kind::draw(random, documents, &mut taken, now)?
            };
            let within = if is_burst { 0.05 } else { 2.0 };
            let is_hasty = happens(random, 0.1);
            Some(Request {
                kind,
                after: Duration::from_secs_f64(random.unit() * within),
                patience: if is_hasty {
                    Duration::from_secs_f64(random.unit())
                } else {
                    Duration::MAX
                },
                deadline: happens(random, 0.2)
                    .then(|| Duration::from_millis(1 + below(random, 3_000) as u64)),
            })
        });
        Plan {
            requests: requests.collect(),
        }
    }

    /// Reads every document, and looks for each in every way.
    pub(super) fn of_everything(documents: &Documents) -> Plan {
        let mut requests = Vec::new();
        for (place, name) in documents.names().enumerate() {
            let mut kinds = vec![Kind::Read(name.clone())];
            if let [Some(text)] = documents.possible(name).iter().collect::<Vec<_>>()[..] {
                let word = word_of(text).to_owned();
                for mode in ["hybrid", "text", "literal"] {
                    let lowest = Some("none");
                    kinds.push(Kind::Search(name.clone(), word.clone(), mode, lowest));
                }
            }
            requests.extend(kinds.into_iter().map(|kind| Request {
                kind,
                // One after the other.
                after: Duration::from_millis(100 * place as u64),
                patience: Duration::MAX,
                deadline: None,
            }));
        }
        Plan { requests }
    }
}

impl Kind {
    fn draw(
        random: &mut Random,
        documents: &mut Documents,
        taken: &mut BTreeSet<Name>,
        now: Duration,
    ) -> Option<Kind> {
        match below(random, 40) {
            0 => return Some(Kind::Breakers),
            1 => return Some(Kind::order(random)),
            2..=6 => return Some(Kind::Embed),
            _ => {}
        }
        let collection = COLLECTIONS[below(random, COLLECTIONS.len())];
        let name = (collection, format!("{}.md", below(random, IDS)));
        let kind = below(random, 10);
        let text = documents.possible(&name).into_iter().flatten().last();
        if let (6.., Some(text)) = (kind, &text) {
            // Searches may meet; what is being written meanwhile is not judged.
            let modes = ["hybrid", "hybrid", "text", "vector", "literal"];
            let lowest = [None, None, Some("none"), Some("direct"), Some("minimal")];
            let is_certain = documents.is_settled(&name, now) && taken.insert(name.clone());
            return is_certain.then(|| {
                let word = word_of(text).to_owned();
                let mode = modes[below(random, modes.len())];
                Kind::Search(name, word, mode, lowest[below(random, lowest.len())])
            });
        }
        if !documents.is_settled(&name, now) || !taken.insert(name.clone()) {
            return None;
        }
        Some(match kind {
            0 | 1 => Kind::Read(name),
            2 => Kind::Delete(name),
            _ => Kind::Write(name, documents.new_text().0),
        })
    }

    /// Changes nothing, so that all of a burst can ask for the same.
    fn draw_for_burst(random: &mut Random, documents: &Documents, now: Duration) -> Option<Kind> {
        let collection = COLLECTIONS[below(random, COLLECTIONS.len())];
        let name = (collection, format!("{}.md", below(random, IDS)));
        let text = documents.possible(&name).into_iter().flatten().last();
        match text {
            Some(text) if happens(random, 0.5) && documents.is_settled(&name, now) => {
                let word = word_of(&text).to_owned();
                // Each of them is new to the cache of answers.
                let mode = ["hybrid", "text"][below(random, 2)];
                Some(Kind::Search(name, word, mode, None))
            }
            _ => Some(Kind::Embed),
        }
    }

    fn order(random: &mut Random) -> Kind {
        let for_s = 1 + below(random, 20);
        let dependencies = [
            "encoder",
            "lexical_index",
            "vector_index",
            "cache",
            "embedding_provider",
        ];
        let name = dependencies[below(random, dependencies.len())];
        if happens(random, 0.5) {
            let path = format!("/v1/admin/breakers/{name}");
            Kind::Order(path, json!({"action": "force_open", "for_s": for_s}))
        } else {
            let part = ["embedder", "lexical_index", "vector_index"][below(random, 3)];
            let body = json!({"off": [part], "for_s": for_s});
            Kind::Order("/v1/admin/degradation".to_owned(), body)
        }
    }

    fn request(&self) -> (&'static str, String, Option<Value>) {
        let of = |(collection, id): &Name| format!("/v1/collections/{collection}/documents/{id}");
        match self {
            Kind::Write((collection, id), text) => {
                let body = json!({"documents": [{"id": id, "text": text}]});
                let path = format!("/v1/collections/{collection}/documents");
                ("POST", path, Some(body))
            }
            Kind::Delete(name) => ("DELETE", of(name), None),
            Kind::Read(name) => ("GET", of(name), None),
            Kind::Search((collection, _), word, mode, lowest) => {
                let query = if *mode == "literal" {
                    word.clone()
                } else {
                    format!("{word} {CANARY}")
                };
                let mut body = json!({"query": query, "mode": mode, "limit": 20});
                if let Some(lowest) = lowest {
                    body["allow_degraded"] = json!(lowest);
                }
                (
                    "POST",
                    format!("/v1/collections/{collection}/search"),
                    Some(body),
                )
            }
            Kind::Embed => {
                let body = json!({"model": "tiny-bert", "input": [CANARY, "ships"]});
                ("POST", "/v1/embeddings".to_owned(), Some(body))
            }
            Kind::Breakers => ("GET", "/v1/admin/breakers".to_owned(), None),
            Kind::Order(path, body) => ("PUT", path.clone(), Some(body.clone())),
        }
    }
}

impl Request {
    pub(super) async fn send(self, router: &Router) -> Answer {
        let (method, path, body) = self.kind.request();
        let mut request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(deadline) = self.deadline {
            request = request.header("x-request-timeout-ms", deadline.as_millis().to_string());
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).unwrap();
        tokio::time::sleep(self.after).await;
        let answer = async {
            let answer = router.clone().oneshot(request).await.unwrap();
            let (parts, body) = answer.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            (parts.status, parts.headers, body)
        };
        let patience = self.patience.min(Duration::from_secs(3_600));
        Answer {
            answered: tokio::time::timeout(patience, answer).await.ok(),
            kind: self.kind,
        }
    }
}

impl Answer {
    /// Compares the answer with what is known, and takes note of what it tells.
    ///
    /// # Panics
    /// Where it is not true.
    pub(super) fn judge(self, documents: &mut Documents, now: Duration, report: &mut Report) {
        let until = now + UNSETTLED;
        let Some((status, headers, body)) = self.answered else {
            report.cancelled += 1;
            match self.kind {
                Kind::Write(name, text) => documents.may_be(&name, Some(text), until),
                Kind::Delete(name) => documents.may_be(&name, None, until),
                Kind::Read(_)
                | Kind::Search(..)
                | Kind::Embed
                | Kind::Breakers
                | Kind::Order(..) => {}
            }
            return;
        };
        let told = format!("{:?}: {status} {body}", self.kind);
        match status.as_u16() {
            200 | 201 | 204 => report.whole += 1,
            206 => report.degraded(&body),
            404 if matches!(self.kind, Kind::Read(_) | Kind::Delete(_)) => report.whole += 1,
            _ => {
                report.refused(&body);
                judge_refusal(status, &headers, &body, &told);
            }
        }
        match self.kind {
            Kind::Write(name, text) => match status.as_u16() {
                200 => documents.is(&name, Some(text)),
                _ => documents.may_be(&name, Some(text), until),
            },
            Kind::Delete(name) => match status.as_u16() {
                204 => documents.is(&name, None),
                404 => {
                    assert!(
                        documents.possible(&name).contains(&None),
                        "it is lost: {told}"
                    );
                    documents.is(&name, None);
                }
                _ => documents.may_be(&name, None, until),
            },
            Kind::Read(name) => {
                let content = match status.as_u16() {
                    200 => Some(body["text"].as_str().unwrap().to_owned()),
                    404 => None,
                    _ => return,
                };
                let possible = documents.possible(&name);
                assert!(
                    possible.contains(&content),
                    "{told}: it may be {possible:?}"
                );
                documents.is(&name, content);
            }
            Kind::Search(name, word, mode, lowest) => {
                let possible = documents.possible(&name);
                judge_search(
                    &name, &word, mode, lowest, status, &headers, &body, &possible, &told,
                );
            }
            Kind::Embed if status == StatusCode::OK => {
                let rows = body["data"].as_array().unwrap();
                assert_eq!(rows.len(), 2, "{told}");
                for row in rows {
                    let vector = row["embedding"].as_array().unwrap();
                    assert!(
                        !vector.is_empty() && vector.iter().all(Value::is_number),
                        "{told}"
                    );
                }
            }
            Kind::Embed | Kind::Breakers | Kind::Order(..) => {}
        }
    }
}

fn judge_refusal(status: StatusCode, headers: &HeaderMap, body: &Value, told: &str) {
    let code = body["code"].as_str().unwrap_or_else(|| panic!("{told}"));
    let code = ErrorCode::ALL.iter().find(|known| known.name() == code);
    let code = code.unwrap_or_else(|| panic!("{told}"));
    assert_eq!(code.http_status(), status.as_u16(), "{told}");
    if matches!(status.as_u16(), 429 | 503) {
        assert!(headers.contains_key(header::RETRY_AFTER), "{told}");
    }
    if status.is_server_error() {
        let body = body.to_string();
        // Neither what was asked nor where anything is.
        assert!(!body.contains(CANARY) && !body.contains(".db"), "{told}");
        assert!(
            !body.contains("/tmp") && !body.contains("/dev/shm"),
            "{told}"
        );
    }
    // Nothing that was asked here is a client's mistake.
    let expected = [408, 409, 429, 500, 502, 503, 504, 507];
    assert!(expected.contains(&status.as_u16()), "{told}");
}

#[expect(
    clippy::too_many_arguments,
    reason = "all of an answer and what was asked"
)]
fn judge_search(
    name: &Name,
    word: &str,
    mode: &str,
    lowest: Option<&str>,
    status: StatusCode,
    headers: &HeaderMap,
    body: &Value,
    possible: &BTreeSet<Option<String>>,
    told: &str,
) {
    if !status.is_success() {
        return;
    }
    let meta = &body["meta"];
    let is_degraded = meta["degraded"] == true;
    assert_eq!(status == StatusCode::PARTIAL_CONTENT, is_degraded, "{told}");
    assert_eq!(headers.contains_key("x-degraded"), is_degraded, "{told}");
    let has_reasons = meta["reasons"]
        .as_array()
        .is_some_and(|all| !all.is_empty());
    assert_eq!(has_reasons, is_degraded, "{told}");
    if is_degraded {
        assert_ne!(lowest, Some("none"), "{told}");
        return;
    }
    let by = meta["served_by"].as_str().unwrap();
    // Vectors that are still being computed are told, and are no failure.
    let is_incomplete = meta["embedded_fraction"]
        .as_f64()
        .is_some_and(|done| done < 1.0);
    assert!(
        by == mode
            || (mode == "literal" && by == "direct")
            || (mode == "hybrid" && by == "text" && is_incomplete),
        "{told}"
    );
    // By meaning alone a word says nothing.
    if mode == "vector" {
        return;
    }
    let hits = body["hits"].as_array().unwrap();
    let is_found = hits.iter().any(|hit| hit["path"] == name.1.as_str());
    let has_word =
        |content: &Option<String>| content.as_deref().is_some_and(|text| word_of(text) == word);
    if possible.iter().all(has_word) {
        assert!(is_found, "it is not found: {told}");
    }
    if mode == "literal" && !possible.iter().any(has_word) {
        assert!(!is_found, "what is gone is found: {told}");
    }
}
