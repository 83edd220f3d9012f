//! Answers to questions that were asked before.
//!
//! An answer is *fresh* at the state of the collections that it was made of, and may be given at once. An older one is what
//! is left when nothing else can answer: for five minutes, to the same tenant, for the same question about the same
//! collections, and with its age.

use std::sync::Arc;
use std::time::Duration;

use embedder_reliability::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::live::LiveCollection;
use crate::engine::search::{Answer, SearchRequest};

/// Answers kept, at most; their bytes are what bounds the cache.
const ANSWERS: usize = 10_000;

/// What an answer weighs beside the texts it holds.
const HIT_BYTES: u64 = 256;

/// How old an answer may be that is given in place of none.
const AGE_MAX: Duration = Duration::from_secs(300);

/// Answers to questions that were asked before.
pub(crate) struct AnswerCache {
    answers: Cache<String, Kept, ByBytes>,
}

/// A question, as answers are found by it.
pub(crate) struct Asked {
    question: String,
    /// The state of its collections.
    versions: Vec<u64>,
}

#[derive(Clone)]
struct Kept {
    answer: Arc<Answer>,
    versions: Vec<u64>,
    at: Timestamp,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Kept> for ByBytes {
    fn weight(&self, question: &String, kept: &Kept) -> u64 {
        let hits = &kept.answer.hits;
        let texts: usize = hits
            .iter()
            .map(|hit| {
                let context: usize = hit.context.iter().map(|part| part.text.len()).sum();
                hit.snippet.text.len() + hit.path.len() + context
            })
            .sum();
        (question.len() + texts) as u64 + HIT_BYTES * (hits.len() as u64 + 1)
    }
}

impl Asked {
    /// Describes a question: the same only for the same tenant, question and collections.
    pub(crate) fn new(
        tenant: Option<&str>,
        request: &SearchRequest,
        collections: &[Arc<LiveCollection>],
    ) -> Asked {
        use std::fmt::Write;
        let mut question = format!("{tenant:?}{request:?}");
        for live in collections {
            let _ = write!(question, "|{}", live.collection().id.0);
        }
        Asked {
            question,
            versions: collections.iter().map(|live| live.version()).collect(),
        }
    }
}

impl AnswerCache {
    pub(crate) fn new(bytes_max: u64) -> AnswerCache {
        AnswerCache {
            answers: Cache::with_weighter(ANSWERS, bytes_max, ByBytes),
        }
    }

    /// Returns the answer that holds still.
    pub(crate) fn fresh(&self, asked: &Asked) -> Option<Arc<Answer>> {
        let kept = self.answers.get(&asked.question)?;
        (kept.versions == asked.versions).then_some(kept.answer)
    }

    /// Returns an answer that held not long ago, with its age.
    pub(crate) fn stale(&self, asked: &Asked, now: Timestamp) -> Option<(Arc<Answer>, Duration)> {
        let kept = self.answers.get(&asked.question)?;
        let age = now.since(kept.at);
        (age <= AGE_MAX).then_some((kept.answer, age))
    }

    /// Keeps an answer.
    pub(crate) fn keep(&self, asked: Asked, answer: &Arc<Answer>, now: Timestamp) {
        let kept = Kept {
            answer: Arc::clone(answer),
            versions: asked.versions,
            at: now,
        };
        self.answers.insert(asked.question, kept);
    }

    /// Forgets all answers.
    pub(crate) fn clear(&self) {
        self.answers.clear();
    }

    /// Returns how much the answers weigh.
    pub(crate) fn bytes(&self) -> u64 {
        self.answers.weight()
    }
}
