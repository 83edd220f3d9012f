//! The ways down: what answers a search when the best way cannot.
//!
//! hybrid → text or vector → a scan of the store → an earlier answer → an empty one. Each rung has its share of what is left of
//! the request's time and its own room, so that one that hangs leaves the next enough of both. Filters are the same on each:
//! they are part of the question. An answer from a lower rung says so, and why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedder_index::QueryVector;
use embedder_reliability::Timestamp;
use embedder_reliability::degradation::{
    Assessment, DegradationMode, Feature, Member, Part, Rung, ladder,
};

use super::Service;
use super::answers::Asked;
use super::find::{Question, Terms, collections_of, part_of};
use super::level::EmbeddedBy;
use crate::engine::search::{
    Answer, Meta, Missing, Mode, Reason, Searched, ServedBy, scan_briefly,
};
use crate::error::{Error, ErrorCode, Result};
use crate::observability::metrics::{self, DegradationReason};
use crate::store::CollectionKind;

/// How long a scan of the store may take in place of a search: what it has found until then is the answer.
const SCAN_TIME_MAX: Duration = Duration::from_millis(50);

/// Hits of such a scan.
const SCAN_HITS_MAX: usize = 1_000;

/// When a search that nothing can answer is worth asking again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is missing where a collection opted in and the settings name no provider.
const NO_PROVIDER: &str = "no embedding provider is set up";

/// What is missing where there is no model. Why is in the log: it may name a path.
const NO_MODEL: &str = "no model is loaded, the log of the server says why";

/// A walk down the ladder.
struct Walk<'a> {
    question: &'a Arc<Question>,
    asked: &'a Asked,
    terms: &'a Terms,
    /// Why rungs above could not answer.
    reasons: Vec<Reason>,
    /// The same for people, of the first.
    problem: Option<String>,
    /// A rung was refused because too much waits for the store's readers.
    is_refused: bool,
}

impl Service {
    /// Answers a question by the best rung that can.
    ///
    /// # Errors
    /// What cannot be asked; a deadline that passed; where no rung can answer that may, why.
    pub(super) async fn walk(
        self: &Arc<Self>,
        question: &Arc<Question>,
        asked: &Asked,
        terms: &Terms,
    ) -> Result<Answer> {
        question.check()?;
        let service = self.assess(embedded_by(question), terms.now);
        self.walk_with(&service, question, asked, terms).await
    }

    /// The same as if the service could do just this.
    pub(super) async fn walk_with(
        self: &Arc<Self>,
        service: &Assessment,
        question: &Arc<Question>,
        asked: &Asked,
        terms: &Terms,
    ) -> Result<Answer> {
        let wanted = wanted(question);
        let lowest = if terms.lowest.depth() < wanted.depth() {
            wanted
        } else {
            terms.lowest
        };
        let mut walk = Walk {
            question,
            asked,
            terms,
            reasons: Vec::new(),
            problem: None,
            is_refused: false,
        };
        let rungs: Vec<Rung> = ladder(wanted, lowest, service).collect();
        if rungs.first() != Some(&wanted) {
            self.explain_skipped(&mut walk, wanted, service);
        }
        let mut failed = None;
        for (place, &rung) in rungs.iter().enumerate() {
            if walk.is_pointless(rung) {
                continue;
            }
            let until = self.share_of(rung, &rungs[place..], terms.deadline);
            let vector = match rung {
                Rung::Hybrid | Rung::Vector => match self.query_vector(question, until).await {
                    Ok(vector) => Some(vector),
                    Err(error) => {
                        failed = Some(walk.go_on_without_vector(error)?);
                        continue;
                    }
                },
                Rung::Text | Rung::Direct | Rung::Cached | Rung::Minimal => None,
            };
            match self.try_rung(rung, &walk, vector, until).await {
                Ok(answer) => return Ok(self.flagged(answer, rung, wanted, walk)),
                Err(error) => failed = Some(walk.go_on_after(rung, error)?),
            }
        }
        let retry_after = self.back_after(&walk.reasons, embedded_by(question), terms.now);
        Err(walk.give_up(failed, retry_after))
    }

    async fn try_rung(
        self: &Arc<Self>,
        rung: Rung,
        walk: &Walk<'_>,
        vector: Option<Arc<QueryVector>>,
        until: Instant,
    ) -> Result<Answer> {
        let question = Arc::clone(walk.question);
        let mode = match rung {
            Rung::Hybrid => Mode::Hybrid,
            Rung::Text => Mode::Text,
            Rung::Vector => Mode::Vector,
            Rung::Direct if !question.request.mode.is_ranked() => question.request.mode,
            Rung::Direct => return self.scan_instead(question, until).await,
            Rung::Cached => return self.earlier(walk),
            Rung::Minimal => return Ok(empty(&question)),
        };
        let (is_text, missing) = (rung == Rung::Text, walk.missing());
        // Text in place of hybrid is told as such: with the model, and what is missing.
        let mode = if is_text && missing.is_some() && question.request.mode == Mode::Hybrid {
            Mode::Hybrid
        } else {
            mode
        };
        let work = self.searching(Some(until), move |service| {
            service.answer(&question, mode, vector, missing)
        });
        in_time(until, work).await
    }

    /// Looks for the words of the question in the store, with room of its own.
    async fn scan_instead(
        self: &Arc<Self>,
        question: Arc<Question>,
        until: Instant,
    ) -> Result<Answer> {
        let service = Arc::clone(self);
        let work = self.scans.run(Some(until), move || {
            let mut request = question.request.clone();
            request.limit = request.limit.min(SCAN_HITS_MAX);
            let all = collections_of(&question);
            service.with_parts(&[Part::Store], false, || {
                let db = service.connections.take()?;
                scan_briefly(db.store(), &request, &question.filter, &all, SCAN_TIME_MAX)
            })
        });
        in_time(until, async { work.await? }).await
    }

    fn earlier(&self, walk: &Walk<'_>) -> Result<Answer> {
        let now = self.clock.now();
        if self.is_switched_off(Part::Cache, now) {
            return Err(nothing("the operator has switched the cache off"));
        }
        let (answer, age) = self
            .answers
            .stale(walk.asked, now)
            .ok_or_else(|| nothing("it was not asked before"))?;
        let mut answer = Answer::clone(&answer);
        answer.meta.age_ms = Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Ok(answer)
    }

    /// Says in the answer what answered, and why nothing better did.
    fn flagged(&self, mut answer: Answer, rung: Rung, wanted: Rung, walk: Walk<'_>) -> Answer {
        if rung == wanted && walk.reasons.is_empty() {
            return answer;
        }
        let meta = &mut answer.meta;
        match rung {
            Rung::Cached => meta.served_by = ServedBy::Cached,
            Rung::Minimal => meta.served_by = ServedBy::Minimal,
            Rung::Hybrid | Rung::Text | Rung::Vector | Rung::Direct => {}
        }
        let mut reasons = walk.reasons;
        for reason in &meta.reasons {
            if !reasons.contains(reason) {
                reasons.push(*reason);
            }
        }
        meta.degraded = true;
        meta.reasons = reasons;
        if meta.model_problem.is_none() {
            meta.model_problem = walk.problem;
        }
        if let Some(served_by) = metrics::ServedBy::from_name(meta.served_by.name()) {
            for reason in &meta.reasons {
                if let Some(reason) = DegradationReason::from_name(reason.name()) {
                    self.metrics.fallbacks_total[served_by][reason].inc();
                }
            }
        }
        answer
    }

    /// Says why the rung that was asked for is not even tried.
    fn explain_skipped(&self, walk: &mut Walk<'_>, wanted: Rung, service: &Assessment) {
        let now = walk.terms.now;
        let by = embedded_by(walk.question);
        let needs = |feature, parts: &[Part]| {
            (!service.has(feature)).then(|| {
                let mut lost = parts
                    .iter()
                    .copied()
                    .filter(|part| self.is_lost(*part, by, now));
                let is_spared = service.modes.contains(DegradationMode::Overload)
                    && DegradationMode::Overload.features_off().contains(&feature);
                match lost.next() {
                    Some(part) => self.why_lost(part, by, now),
                    None if is_spared => Reason::Overload,
                    // Where nothing fails any more it is not relied on yet.
                    None => Reason::Recovering,
                }
            })
        };
        let semantic = matches!(wanted, Rung::Hybrid | Rung::Vector).then(|| {
            needs(
                Feature::SemanticSearch,
                &[Part::Embedder, Part::VectorIndex],
            )
        });
        let lexical = matches!(wanted, Rung::Hybrid | Rung::Text)
            .then(|| needs(Feature::LexicalRanking, &[Part::LexicalIndex]));
        let fresh = Some(needs(Feature::FreshAnswers, &[Part::Store]));
        for reason in [semantic, lexical, fresh].into_iter().flatten().flatten() {
            if reason == Reason::ModelMissing {
                let problem = match by {
                    EmbeddedBy::Provider => NO_PROVIDER,
                    EmbeddedBy::Model | EmbeddedBy::Clients => NO_MODEL,
                };
                walk.problem = Some(problem.to_owned());
            }
            if !walk.reasons.contains(&reason) {
                walk.reasons.push(reason);
            }
        }
    }

    /// Returns when it is worth asking again for what could not be given for these reasons.
    fn back_after(&self, reasons: &[Reason], by: EmbeddedBy, now: Timestamp) -> Duration {
        let lost = Part::ALL.iter().filter(|part| {
            let reason = self.why_lost(**part, by, now);
            reason != Reason::Recovering && reasons.contains(&reason)
        });
        let back = lost.filter_map(|part| self.part_is_back_after(*part, by, now));
        back.max().unwrap_or_default().max(RETRY_AFTER)
    }

    fn is_lost(&self, part: Part, by: EmbeddedBy, now: Timestamp) -> bool {
        self.why_lost(part, by, now) != Reason::Recovering
    }

    /// Returns until when a rung may take: its share of what is left, the rungs below it keeping theirs.
    fn share_of(&self, rung: Rung, left: &[Rung], deadline: Instant) -> Instant {
        let now = self.clock.moment(self.clock.now());
        let all: u32 = left.iter().map(|rung| rung.deadline_percent()).sum();
        let time = deadline.saturating_duration_since(now);
        now + time * rung.deadline_percent() / all.max(1)
    }
}

impl Walk<'_> {
    /// Takes note of why the query has no vector, and hands the error back.
    ///
    /// # Errors
    /// The error itself, where it is the client's or the server ends.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of the many codes these say that there is no vector"
    )]
    fn go_on_without_vector(&mut self, error: Error) -> Result<Error> {
        let reason = match error.code() {
            ErrorCode::ModelUnavailable | ErrorCode::ModelInvalid => Reason::ModelMissing,
            ErrorCode::Timeout => Reason::EmbedTimeout,
            ErrorCode::Overloaded
            | ErrorCode::DependencyUnavailable
            | ErrorCode::BadUpstream
            | ErrorCode::Internal => Reason::EmbedUnavailable,
            _ => return Err(error),
        };
        self.note(reason);
        Ok(error)
    }

    /// Takes note of why a rung could not answer, and hands the error back.
    ///
    /// # Errors
    /// The error itself, where the rungs below could not help either.
    fn go_on_after(&mut self, rung: Rung, error: Error) -> Result<Error> {
        let reason = match (part_of(&error), error.code()) {
            (Some(part), _) => Reason::of_lost(part),
            (None, ErrorCode::Timeout) => Reason::OutOfTime,
            (None, ErrorCode::Overloaded) => Reason::Overload,
            (None, ErrorCode::NotFound) if rung == Rung::Cached => return Ok(error),
            (None, _) => return Err(error),
        };
        self.is_refused |= reason == Reason::Overload;
        let (rung, name) = (rung.name(), reason.name());
        tracing::debug!(rung, reason = name, "A search goes on below: {error}");
        self.note(reason);
        Ok(error)
    }

    fn note(&mut self, reason: Reason) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
        self.problem
            .get_or_insert_with(|| words_for(reason).to_owned());
    }

    /// Whether a rung needs what a rung above has just found lacking.
    fn is_pointless(&self, rung: Rung) -> bool {
        let lacks = |reason| self.reasons.contains(&reason);
        let no_store = lacks(Reason::StoreUnavailable) || self.is_refused;
        match rung {
            Rung::Hybrid | Rung::Cached | Rung::Minimal => false,
            Rung::Text => no_store || lacks(Reason::TextIndexUnavailable),
            Rung::Vector => {
                no_store
                    || lacks(Reason::ModelMissing)
                    || lacks(Reason::EmbedUnavailable)
                    || lacks(Reason::EmbedTimeout)
                    || lacks(Reason::VectorIndexUnavailable)
            }
            Rung::Direct => no_store,
        }
    }

    fn missing(&self) -> Option<Missing> {
        let reason = *self.reasons.first()?;
        let problem = self.problem.clone();
        Some(Missing {
            reason,
            problem: problem.unwrap_or_else(|| words_for(reason).to_owned()),
        })
    }

    /// Returns the error of a search that nothing may answer.
    fn give_up(&self, failed: Option<Error>, retry_after: Duration) -> Error {
        if let Some(error) = failed.filter(|error| error.code() == ErrorCode::Overloaded) {
            return error;
        }
        let reasons: Vec<_> = self.reasons.iter().copied().map(words_for).collect();
        if self.reasons.first() == Some(&Reason::ModelMissing) {
            let problem = self.problem.as_deref().unwrap_or("there is no model");
            return Error::Reported {
                code: ErrorCode::ModelUnavailable,
                message: format!("only a degraded answer can be given: {problem}"),
                remedy: Some(
                    "allow it with `allow_degraded`; `embedder models pull` installs a model"
                        .to_owned(),
                ),
            };
        }
        let out_of_time = [Reason::OutOfTime, Reason::EmbedTimeout];
        let code = if self
            .reasons
            .iter()
            .all(|reason| out_of_time.contains(reason))
        {
            ErrorCode::Timeout
        } else {
            ErrorCode::DependencyUnavailable
        };
        Error::Unavailable {
            code,
            what: format!(
                "no answer as good as asked for can be given: {}",
                reasons.join(", ")
            ),
            retry_after,
        }
    }
}

/// Returns who makes the vector of the query.
fn embedded_by(question: &Question) -> EmbeddedBy {
    match question.request.vector {
        Some(_) => EmbeddedBy::Clients,
        None if question.is_remote() => EmbeddedBy::Provider,
        None => EmbeddedBy::Model,
    }
}

/// Returns the rung that is asked for.
fn wanted(question: &Question) -> Rung {
    let lives = &question.collections;
    let by_clients = lives
        .iter()
        .any(|live| live.collection().kind == CollectionKind::Vectors);
    match question.request.mode {
        // Without the query's vector there is nothing to compare those of clients with.
        Mode::Hybrid if by_clients && question.request.vector.is_none() => Rung::Text,
        Mode::Hybrid => Rung::Hybrid,
        Mode::Text => Rung::Text,
        Mode::Vector => Rung::Vector,
        Mode::Literal | Mode::Regex | Mode::Direct => Rung::Direct,
    }
}

/// What a reason is for people; nothing of what is inside.
fn words_for(reason: Reason) -> &'static str {
    match reason {
        Reason::ModelMissing => "there is no model",
        Reason::OutOfTime => "it took too long",
        Reason::EmbedTimeout => "the query was not embedded in time",
        Reason::EmbedUnavailable => "the query could not be embedded",
        Reason::VectorIndexUnavailable => "vectors could not be compared",
        Reason::TextIndexUnavailable => "the text index could not be searched",
        Reason::StoreUnavailable => "the store could not be read",
        Reason::Overload => "there is too much to do, or too little memory for it",
        Reason::Manual => "an operator has switched off what it needs",
        Reason::Recovering => "what it needs was out of use a moment ago and is not relied on yet",
    }
}

/// Waits for a rung no longer than its share. What it has begun on a thread goes on there, within the room of its rung.
async fn in_time(until: Instant, work: impl Future<Output = Result<Answer>>) -> Result<Answer> {
    tokio::time::timeout_at(until.into(), work)
        .await
        .unwrap_or_else(|_| {
            Err(Error::Reported {
                code: ErrorCode::Timeout,
                message: "the search took longer than its share of the time".to_owned(),
                remedy: Some("allow more time".to_owned()),
            })
        })
}

fn nothing(problem: &str) -> Error {
    Error::Reported {
        code: ErrorCode::NotFound,
        message: problem.to_owned(),
        remedy: None,
    }
}

/// An answer that says that there is none.
fn empty(question: &Question) -> Answer {
    let collections = collections_of(question);
    Answer {
        hits: Vec::new(),
        meta: Meta {
            served_by: ServedBy::Minimal,
            degraded: true,
            reasons: Vec::new(),
            took_ms: 0.0,
            embedded_fraction: None,
            skipped_files: 0,
            model: None,
            model_problem: None,
            age_ms: None,
            changes_behind: 0,
            collections: collections.iter().map(Searched::from).collect(),
        },
    }
}
