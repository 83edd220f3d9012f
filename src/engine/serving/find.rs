//! Searching in a running server: many at once, over views that follow the store.

use std::sync::Arc;
use std::time::Instant;

use embedder_index::QueryVector;
use embedder_reliability::Timestamp;
use embedder_reliability::degradation::{Part, Rung};

use super::answers::{AnswerCache, Asked};
use super::documents::has_direction;
use super::live::LiveCollection;
use super::remote::RemoteModel;
use super::{Service, measure};
use crate::clock;
use crate::engine::search::filter::Filter;
use crate::engine::search::{Answer, Missing, Mode, Place, SearchRequest, Sight, scan_store};
use crate::error::{Error, ErrorCode, Result};
use crate::failpoint::{self, Failpoint};
use crate::outbound::circuit::{Circuit, Fault, Running};
use crate::store::{Collection, CollectionKind};

/// The share of a rung's time that embedding the query may take; the rest is for comparing.
const EMBED_SHARE: f64 = 0.8;

/// On what terms a search is made.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// When the request came.
    pub(crate) now: Timestamp,
    /// When it must be answered.
    pub(crate) deadline: Instant,
    /// The least that may answer.
    pub(crate) lowest: Rung,
    /// On whose behalf it is made.
    pub(crate) tenant: Option<String>,
}

/// A question that can be asked.
pub(super) struct Question {
    pub(super) collections: Vec<Arc<LiveCollection>>,
    pub(super) request: SearchRequest,
    pub(super) filter: Filter,
}

impl Question {
    /// Whether the vectors of its collections are those of a provider; all of them have the same.
    pub(super) fn is_remote(&self) -> bool {
        self.collections
            .iter()
            .any(|live| live.collection().is_remote)
    }

    /// Refuses what no rung could answer.
    pub(super) fn check(&self) -> Result<()> {
        let Some(vector) = &self.request.vector else {
            let by_clients =
                |live: &Arc<LiveCollection>| live.collection().kind == CollectionKind::Vectors;
            if self.request.mode == Mode::Vector && self.collections.iter().any(by_clients) {
                return Err(Error::Query {
                    problem: "the vectors of this collection come from clients".to_owned(),
                    remedy: "send the query's `vector` as well".to_owned(),
                });
            }
            return Ok(());
        };
        if has_direction(vector) {
            return Ok(());
        }
        Err(Error::Query {
            problem: "the vector has no direction".to_owned(),
            remedy: "send finite numbers that are neither all close to zero nor beyond counting"
                .to_owned(),
        })
    }
}

/// An answer, and whether it was there already.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The answer.
    pub(crate) answer: Arc<Answer>,
    /// Whether it was asked for before.
    pub(crate) is_cached: bool,
}

impl Service {
    /// Answers a question about collections, all of which must be there; of `request.collections` nothing is read.
    ///
    /// # Errors
    /// What cannot be asked; a deadline that passed; what cannot be answered on these terms.
    pub(crate) async fn search(
        self: &Arc<Self>,
        collections: Vec<Arc<LiveCollection>>,
        mut request: SearchRequest,
        terms: &Terms,
    ) -> Result<Found> {
        request.check()?;
        let filter = Filter::new(&request.filter)?;
        request.collections.clear();
        let collections = in_order(collections);
        let asked = Asked::new(terms.tenant.as_deref(), &request, &collections);
        if let Some(answer) = self.remembered(&asked, terms.now) {
            self.metrics.cache_hits_total.inc();
            return Ok(Found {
                answer,
                is_cached: true,
            });
        }
        self.metrics.cache_misses_total.inc();
        let mode = request.mode;
        let mut answer = self
            .ask_all(collections, request, filter, &asked, terms)
            .await?;
        // All of it: the query's vector, and the rungs that could not answer.
        let took = terms.now.until(self.clock.now());
        answer.meta.took_ms = took.as_secs_f64() * 1e3;
        let answer = Arc::new(answer);
        measure::searched(&self.metrics, &answer.meta);
        // What was cut short or lacks something may be better in a moment, and what scans the store sees a change before the
        // view does, by which answers are told to be old.
        if !answer.meta.degraded && mode.is_ranked() {
            self.remember(asked, &answer, terms.now);
        }
        Ok(Found {
            answer,
            is_cached: false,
        })
    }

    /// Asks the collections with vectors of one kind together, and puts the answers of both kinds into one.
    async fn ask_all(
        self: &Arc<Self>,
        collections: Vec<Arc<LiveCollection>>,
        request: SearchRequest,
        filter: Filter,
        asked: &Asked,
        terms: &Terms,
    ) -> Result<Answer> {
        let is_remote = |live: &Arc<LiveCollection>| live.collection().is_remote;
        let (remote, local): (Vec<_>, Vec<_>) = collections.into_iter().partition(is_remote);
        let question = |collections| {
            Arc::new(Question {
                collections,
                request: request.clone(),
                filter: filter.clone(),
            })
        };
        if remote.is_empty() {
            return self.walk(&question(local), asked, terms).await;
        }
        if local.is_empty() {
            return self.walk(&question(remote), asked, terms).await;
        }
        let (local, remote) = (question(local), question(remote));
        let (local, remote) = tokio::join!(
            self.walk(&local, asked, terms),
            self.walk(&remote, asked, terms)
        );
        Ok(local?.joined_with(remote?, request.limit))
    }

    /// Finds what is like the code at a place.
    ///
    /// # Errors
    /// [`Error::PlaceMissing`] when no indexed chunk covers the place; otherwise as [`Service::search`].
    pub(crate) async fn related(
        self: &Arc<Self>,
        collections: Vec<Arc<LiveCollection>>,
        place: Place,
        request: SearchRequest,
        deadline: Option<Instant>,
    ) -> Result<Answer> {
        request.check_shape()?;
        let filter = Filter::new(&request.filter)?;
        let collections = in_order(collections);
        self.searching(deadline, move |service| {
            let started = Instant::now();
            let db = service.connections.take()?;
            service.with_sight(&collections, db.store(), true, None, None, |sight| {
                sight.related(started, &place, &request, &filter)
            })
        })
        .await
    }

    /// Does blocking work of a search on a thread for it, as soon as there is room and before the deadline.
    pub(crate) async fn searching<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        work: impl FnOnce(&Service) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let service = Arc::clone(self);
        self.searches.run(deadline, move || work(&service)).await?
    }

    /// Answers by an index or by a scan, and tells the parts that take part how it went.
    pub(super) fn answer(
        &self,
        question: &Question,
        mode: Mode,
        vector: Option<Arc<QueryVector>>,
        missing: Option<Missing>,
    ) -> Result<Answer> {
        let started = Instant::now();
        let request = &SearchRequest {
            mode,
            ..question.request.clone()
        };
        let parts: &[Part] = match mode {
            Mode::Hybrid if vector.is_some() => {
                &[Part::Store, Part::LexicalIndex, Part::VectorIndex]
            }
            Mode::Hybrid | Mode::Text => &[Part::Store, Part::LexicalIndex],
            Mode::Vector => &[Part::Store, Part::VectorIndex],
            Mode::Literal | Mode::Regex | Mode::Direct => &[Part::Store],
        };
        let needs_words = parts.contains(&Part::LexicalIndex);
        if needs_words && question.collections.iter().any(|live| live.is_behind()) {
            // It works, and an answer would not hold what was acknowledged last.
            return Err(Error::Part {
                part: Part::LexicalIndex,
                problem: "it lacks what was written last".to_owned(),
            });
        }
        self.with_parts(parts, mode.is_ranked(), || {
            let db = self.connections.take()?;
            failpoint::pass(Failpoint::StoreRead).map_err(store_lost)?;
            if !mode.is_ranked() {
                let all: Vec<_> = collections_of(question);
                return scan_store(db.store(), request, &question.filter, &all);
            }
            let with_places = !question.filter.is_open();
            let look = |mut sight: Sight<'_>| {
                let by_clients = |&(collection, _): &(&Collection, _)| {
                    collection.kind == CollectionKind::Vectors
                };
                if mode == Mode::Text || sight.views.iter().any(by_clients) {
                    // The model plays no part.
                    sight.model = None;
                }
                sight.search(started, request, &question.filter)
            };
            let (collections, store) = (&question.collections, db.store());
            self.with_sight(collections, store, with_places, vector, missing, look)
        })
    }

    /// Does work that needs some parts, unless one of them is left alone, and tells each how it went. Where a client decides
    /// how much work it is, as by a pattern, the time that it takes says nothing about them.
    pub(super) fn with_parts<T>(
        &self,
        parts: &[Part],
        is_timed: bool,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let now = self.clock.now();
        let mut running: Vec<(Part, Running<'_>)> = Vec::with_capacity(parts.len());
        for &part in parts {
            let circuit: &Circuit = self.dependencies.of_part(part);
            match circuit.begin(now) {
                Ok(begun) => running.push((part, begun)),
                Err(_) => {
                    return Err(Error::Part {
                        part,
                        problem: "it is left alone for a while".to_owned(),
                    });
                }
            }
        }
        let done = work();
        let lost = done.as_ref().err().map(part_of);
        for (part, running) in running {
            let fault = match lost {
                None => None,
                Some(Some(lost)) if lost == part => Some(Fault::Permanent),
                // Whether it works was not seen.
                Some(_) => Some(Fault::Request),
            };
            if is_timed {
                running.ended(fault);
            } else {
                running.ended_untimed(fault);
            }
        }
        done
    }

    fn remembered(&self, asked: &Asked, now: Timestamp) -> Option<Arc<Answer>> {
        self.with_cache(now, |answers| answers.fresh(asked))
            .flatten()
    }

    fn remember(&self, asked: Asked, answer: &Arc<Answer>, now: Timestamp) {
        self.with_cache(now, |answers| answers.keep(asked, answer, now));
    }

    /// Asks the cache, unless it is left alone. Nothing depends on what it says.
    fn with_cache<T>(&self, now: Timestamp, ask: impl FnOnce(&AnswerCache) -> T) -> Option<T> {
        if self.is_switched_off(Part::Cache, now) {
            return None;
        }
        let running = self.dependencies.cache.begin(now).ok()?;
        let injected = failpoint::pass(Failpoint::Cache);
        let answer = injected.is_ok().then(|| ask(&self.answers));
        running.ended(injected.err().map(|_| Fault::Permanent));
        answer
    }

    /// Looks at collections, loaded if they are not yet.
    fn with_sight<T>(
        &self,
        collections: &[Arc<LiveCollection>],
        store: &dyn crate::store::Store,
        with_places: bool,
        vector: Option<Arc<QueryVector>>,
        missing: Option<Missing>,
        look: impl FnOnce(Sight<'_>) -> Result<T>,
    ) -> Result<T> {
        let is_one = collections.len() == 1;
        for live in collections {
            match self.open_view(live) {
                // Of several, one that is deleted meanwhile is simply not there.
                Err(Error::CollectionMissing { .. }) if !is_one => continue,
                opened => opened?,
            }
            if with_places {
                live.load_places(store)?;
            }
        }
        // Always in the order of ids: two searches that waited for each other's collections would wait for ever.
        let guards: Vec<_> = collections.iter().map(|live| live.read_view()).collect();
        let views = collections.iter().zip(&guards);
        let views: Vec<_> = views
            .filter_map(|(live, guard)| Some((live.collection(), guard.as_ref()?)))
            .collect();
        let model = self.model.get().ok();
        let is_remote = collections.iter().any(|live| live.collection().is_remote);
        let name = if is_remote {
            self.remote.as_ref().map(RemoteModel::name)
        } else {
            model.as_ref().map(|model| model.embedder().name())
        };
        look(Sight {
            store,
            views,
            model: name,
            vector,
            missing,
            // Two searches at once have a core each; one alone is faster on all.
            threads: if self.searches.is_shared() {
                1
            } else {
                self.config.threads
            },
        })
    }

    /// Returns the vector to compare with, where one is to be had without waiting for long.
    pub(super) async fn query_vector(
        &self,
        question: &Question,
        until: Instant,
    ) -> Result<Arc<QueryVector>> {
        if let Some(vector) = &question.request.vector {
            return Ok(Arc::new(QueryVector::new(vector)?));
        }
        let now = clock::now();
        let share = until.saturating_duration_since(now).mul_f64(EMBED_SHARE);
        if question.is_remote() {
            let remote = self.remote.as_ref().ok_or_else(|| Error::Reported {
                code: ErrorCode::ModelUnavailable,
                message: "no embedding provider is set up".to_owned(),
                remedy: Some("set embedding.provider, url, model and dimensions".to_owned()),
            })?;
            return remote
                .query_vector(&question.request.query, now + share)
                .await;
        }
        let model = self.model.required()?;
        let time = share.min(self.dependencies.encoder.policy().timeout);
        model
            .query_vector(
                &question.request.query,
                now + time,
                &self.dependencies.encoder,
            )
            .await
    }
}

/// Returns the collections of a question as they are now.
pub(super) fn collections_of(question: &Question) -> Vec<Collection> {
    let lives = question.collections.iter();
    lives.map(|live| live.as_of_now()).collect()
}

/// Returns the part whose failure an error is, if it is one's.
pub(super) fn part_of(error: &Error) -> Option<Part> {
    if let Error::Part { part, .. } = error {
        return Some(*part);
    }
    if matches!(error, Error::Index(_)) && error.code() != ErrorCode::InvalidQuery {
        return Some(Part::LexicalIndex);
    }
    let is_of_the_store = matches!(
        error.code(),
        ErrorCode::StoreDamaged
            | ErrorCode::StoreVersion
            | ErrorCode::Io
            | ErrorCode::DiskFull
            | ErrorCode::PermissionDenied
    );
    is_of_the_store.then_some(Part::Store)
}

fn store_lost(injected: failpoint::Injected) -> Error {
    Error::Part {
        part: Part::Store,
        problem: injected.to_string(),
    }
}

/// Sorts collections by their ids, each once.
fn in_order(mut collections: Vec<Arc<LiveCollection>>) -> Vec<Arc<LiveCollection>> {
    collections.sort_by_key(|live| live.collection().id);
    collections.dedup_by_key(|live| live.collection().id);
    collections
}
