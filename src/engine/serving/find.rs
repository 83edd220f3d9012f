//! Searching in a running server: many at once, over views that follow the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedder_index::QueryVector;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::documents::has_direction;
use super::live::LiveCollection;
use super::{Service, measure};
use crate::engine::search::filter::Filter;
use crate::engine::search::{
    Answer, Missing, Mode, Place, Reason, SearchRequest, Sight, scan_store,
};
use crate::error::{Error, ErrorCode, Result};
use crate::store::{Collection, CollectionKind};

/// Answers kept, at most; their bytes are what bounds the cache.
const ANSWERS: usize = 10_000;

/// What an answer weighs beside the texts it holds.
const HIT_BYTES: u64 = 256;

/// The share of a request's time that embedding the query may take; the rest is for an answer without it.
const EMBED_SHARE: f64 = 0.6;

/// How long the query's embedding may take where the caller gave no deadline.
const EMBED_TIME_MAX: Duration = Duration::from_secs(5);

/// Answers to questions that were asked before, at the same state of the same collections.
pub(crate) struct AnswerCache {
    answers: Cache<String, Arc<Answer>, ByBytes>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Arc<Answer>> for ByBytes {
    fn weight(&self, key: &String, answer: &Arc<Answer>) -> u64 {
        let texts: usize = answer
            .hits
            .iter()
            .map(|hit| {
                let context: usize = hit.context.iter().map(|part| part.text.len()).sum();
                hit.snippet.text.len() + hit.path.len() + context
            })
            .sum();
        (key.len() + texts) as u64 + HIT_BYTES * (answer.hits.len() as u64 + 1)
    }
}

impl AnswerCache {
    pub(crate) fn new(bytes_max: u64) -> AnswerCache {
        AnswerCache {
            answers: Cache::with_weighter(ANSWERS, bytes_max, ByBytes),
        }
    }

    /// Returns how much the answers weigh.
    pub(crate) fn bytes(&self) -> u64 {
        self.answers.weight()
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
    /// What cannot be asked; a deadline that passed; those of the store.
    pub(crate) async fn search(
        self: &Arc<Self>,
        collections: Vec<Arc<LiveCollection>>,
        mut request: SearchRequest,
        deadline: Option<Instant>,
    ) -> Result<Found> {
        request.check()?;
        let filter = Filter::new(&request.filter)?;
        request.collections.clear();
        let collections = in_order(collections);
        let key = cache_key(&request, &collections);
        if let Some(answer) = self.answers.answers.get(&key) {
            self.metrics.cache_hits_total.inc();
            return Ok(Found {
                answer,
                is_cached: true,
            });
        }
        self.metrics.cache_misses_total.inc();
        let (vector, missing) = self
            .query_vector(&collections, &mut request, deadline)
            .await?;
        let mode = request.mode;
        let answer = self
            .searching(deadline, move |service| {
                service.answer(&collections, &request, &filter, vector, missing)
            })
            .await?;
        let answer = Arc::new(answer);
        measure::searched(&self.metrics, &answer.meta);
        // What was cut short or lacks something may be better in a moment.
        if !answer.meta.degraded && mode != Mode::Regex {
            self.answers.answers.insert(key, Arc::clone(&answer));
        }
        Ok(Found {
            answer,
            is_cached: false,
        })
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

    fn answer(
        &self,
        collections: &[Arc<LiveCollection>],
        request: &SearchRequest,
        filter: &Filter,
        vector: Option<Arc<QueryVector>>,
        missing: Option<Missing>,
    ) -> Result<Answer> {
        let started = Instant::now();
        let db = self.connections.take()?;
        if !request.mode.is_ranked() {
            let all: Vec<_> = collections.iter().map(|live| live.as_of_now()).collect();
            return scan_store(db.store(), request, filter, &all);
        }
        let with_places = !filter.is_open();
        self.with_sight(
            collections,
            db.store(),
            with_places,
            vector,
            missing,
            |mut sight| {
                let by_clients = |&(collection, _): &(&Collection, _)| {
                    collection.kind == CollectionKind::Vectors
                };
                if request.mode == Mode::Text || sight.views.iter().any(by_clients) {
                    // The model plays no part.
                    sight.model = None;
                }
                sight.search(started, request, filter)
            },
        )
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
        look(Sight {
            store,
            views,
            model: model.as_ref().map(|model| model.embedder().name()),
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

    /// Returns the vector to compare with, or what is missing for it.
    async fn query_vector(
        &self,
        collections: &[Arc<LiveCollection>],
        request: &mut SearchRequest,
        deadline: Option<Instant>,
    ) -> Result<(Option<Arc<QueryVector>>, Option<Missing>)> {
        if let Some(vector) = request.vector.take() {
            if !has_direction(&vector) {
                return Err(Error::Query {
                    problem: "the vector has no direction".to_owned(),
                    remedy:
                        "send finite numbers that are neither all close to zero nor beyond counting"
                            .to_owned(),
                });
            }
            return Ok((Some(Arc::new(QueryVector::new(&vector)?)), None));
        }
        if !matches!(request.mode, Mode::Hybrid | Mode::Vector) {
            return Ok((None, None));
        }
        let by_clients =
            |live: &Arc<LiveCollection>| live.collection().kind == CollectionKind::Vectors;
        if collections.iter().any(by_clients) {
            if request.mode == Mode::Vector {
                return Err(Error::Query {
                    problem: "the vectors of this collection come from clients".to_owned(),
                    remedy: "send the query's `vector` as well".to_owned(),
                });
            }
            request.mode = Mode::Text;
            return Ok((None, None));
        }
        let model = match self.model.get() {
            Ok(model) => model,
            Err(_) if request.mode == Mode::Vector => {
                return Err(self.model.required().err().unwrap_or(Error::Interrupted));
            }
            Err(problem) => {
                return Ok((
                    None,
                    Some(Missing {
                        reason: Reason::ModelMissing,
                        problem: problem.to_string(),
                    }),
                ));
            }
        };
        let now = Instant::now();
        let time = deadline.map_or(EMBED_TIME_MAX, |deadline| {
            deadline
                .saturating_duration_since(now)
                .mul_f64(EMBED_SHARE)
                .min(EMBED_TIME_MAX)
        });
        let embedded =
            tokio::time::timeout(time, model.query_vector(&request.query, Some(now + time))).await;
        let (reason, error) = match embedded {
            Ok(Ok(vector)) => return Ok((Some(vector), None)),
            Ok(Err(error)) if error.code() == ErrorCode::Timeout => (Reason::EmbedTimeout, error),
            Ok(Err(error)) => (Reason::EmbedUnavailable, error),
            Err(_) => (
                Reason::EmbedTimeout,
                Error::Reported {
                    code: ErrorCode::Timeout,
                    message: "the query was not embedded in time".to_owned(),
                    remedy: Some("allow more time, or search in the mode `text`".to_owned()),
                },
            ),
        };
        if request.mode == Mode::Vector {
            return Err(error);
        }
        Ok((
            None,
            Some(Missing {
                reason,
                problem: error.to_string(),
            }),
        ))
    }
}

/// Sorts collections by their ids, each once.
fn in_order(mut collections: Vec<Arc<LiveCollection>>) -> Vec<Arc<LiveCollection>> {
    collections.sort_by_key(|live| live.collection().id);
    collections.dedup_by_key(|live| live.collection().id);
    collections
}

/// Returns a text that is the same only for the same question about the same state of the same collections.
fn cache_key(request: &SearchRequest, collections: &[Arc<LiveCollection>]) -> String {
    use std::fmt::Write;
    let mut key = format!("{request:?}");
    for live in collections {
        let _ = write!(key, "|{}@{}", live.collection().id.0, live.version());
    }
    key
}
