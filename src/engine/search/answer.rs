//! Hits, and what they rest on.

use embedder_index::Explanation;
use embedder_reliability::degradation::Part;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Mode;
use super::snippet::Snippet;
use crate::error::{Error, ErrorCode, Result};
use crate::store::Collection;

/// A place that answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Hit {
    /// The chunk's id.
    pub id: i64,
    /// The collection it is in.
    pub collection: String,
    /// The id of the source that the file is in; each may have one of the same path.
    pub source: String,
    /// The file, relative to its source's root.
    pub path: String,
    /// First line of the chunk, from 1.
    pub start_line: u32,
    /// Last line of the chunk.
    pub end_line: u32,
    /// The file's language.
    pub language: Option<String>,
    /// What is defined there, with what is around it.
    pub symbol: Option<String>,
    /// Higher is better; comparable within one answer.
    pub score: f32,
    /// The lines that show why.
    pub snippet: Snippet,
    /// Neighbours that were asked for, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextChunk>,
    /// Why the hit is where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub explain: Option<Explanation>,
}

/// A chunk beside a hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContextChunk {
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// The text.
    pub text: String,
}

/// What the text of an answer may weigh, in bytes: what nobody reads is not put together.
pub(super) const ANSWER_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// How large an answer has become.
#[derive(Debug, Default)]
pub(super) struct AnswerSize(usize);

impl AnswerSize {
    /// Adds a hit.
    ///
    /// # Errors
    /// More than an answer may hold.
    pub(super) fn add(&mut self, hit: &Hit) -> Result<()> {
        let context = hit.context.iter().map(|chunk| chunk.text.len());
        self.0 += hit.snippet.text.len() + context.sum::<usize>();
        if self.0 <= ANSWER_BYTES_MAX {
            return Ok(());
        }
        Err(Error::Reported {
            code: ErrorCode::TooLarge,
            message: format!("the answer would hold more than {ANSWER_BYTES_MAX} bytes of text"),
            remedy: Some("ask for fewer hits, fewer lines or less context".to_owned()),
        })
    }
}

/// Hits and what they rest on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Answer {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// What they rest on.
    pub meta: Meta,
}

/// Why an answer is less than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There is no model, so nothing is searched by meaning.
    ModelMissing,
    /// The scan reached its time limit; what it found until then is there.
    OutOfTime,
    /// The query could not be embedded in time.
    EmbedTimeout,
    /// The encoder refused or failed.
    EmbedUnavailable,
    /// The vectors could not be compared.
    VectorIndexUnavailable,
    /// The text index could not be searched.
    TextIndexUnavailable,
    /// The store could not be read.
    StoreUnavailable,
    /// There is more to do than can be done well.
    Overload,
    /// An operator switched something off.
    Manual,
    /// What failed works again, and is not relied on yet.
    Recovering,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 10] = [
        Self::ModelMissing,
        Self::OutOfTime,
        Self::EmbedTimeout,
        Self::EmbedUnavailable,
        Self::VectorIndexUnavailable,
        Self::TextIndexUnavailable,
        Self::StoreUnavailable,
        Self::Overload,
        Self::Manual,
        Self::Recovering,
    ];

    /// Returns why an answer is less, that does without a part which fails.
    pub(crate) fn of_lost(part: Part) -> Reason {
        match part {
            Part::Embedder => Reason::EmbedUnavailable,
            Part::VectorIndex => Reason::VectorIndexUnavailable,
            Part::LexicalIndex => Reason::TextIndexUnavailable,
            // Without it answers are computed, not worse.
            Part::Cache | Part::Store => Reason::StoreUnavailable,
        }
    }

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ModelMissing => "model_missing",
            Self::OutOfTime => "out_of_time",
            Self::EmbedTimeout => "embed_timeout",
            Self::EmbedUnavailable => "embed_unavailable",
            Self::VectorIndexUnavailable => "vector_index_unavailable",
            Self::TextIndexUnavailable => "text_index_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::Overload => "overload",
            Self::Manual => "manual",
            Self::Recovering => "recovering",
        }
    }
}

/// What answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServedBy {
    /// Words and vectors.
    Hybrid,
    /// Words.
    Text,
    /// Vectors.
    Vector,
    /// The stored text, for this very text.
    Literal,
    /// The stored text, for a regular expression.
    Regex,
    /// The stored text, for the words of the query.
    Direct,
    /// An answer given before.
    Cached,
    /// Nothing: the answer is empty.
    Minimal,
}

impl ServedBy {
    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Text => "text",
            Self::Vector => "vector",
            Self::Literal => "literal",
            Self::Regex => "regex",
            Self::Direct => "direct",
            Self::Cached => "cached",
            Self::Minimal => "minimal",
        }
    }
}

impl From<Mode> for ServedBy {
    fn from(mode: Mode) -> ServedBy {
        match mode {
            Mode::Hybrid => ServedBy::Hybrid,
            Mode::Text => ServedBy::Text,
            Mode::Vector => ServedBy::Vector,
            Mode::Literal => ServedBy::Literal,
            Mode::Regex => ServedBy::Regex,
            Mode::Direct => ServedBy::Direct,
        }
    }
}

/// What an answer rests on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    /// What served the answer.
    pub served_by: ServedBy,
    /// Whether it is less than was asked for because something failed or is missing.
    pub degraded: bool,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Milliseconds that the search took, opening not counted.
    pub took_ms: f64,
    /// Share of the chunks searched that have a vector by the model in use.
    /// Absent where vectors play no part.
    pub embedded_fraction: Option<f64>,
    /// Files of these collections that are not indexed.
    pub skipped_files: u64,
    /// The model in use.
    pub model: Option<String>,
    /// Why there is none although one was wanted, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_problem: Option<String>,
    /// How old the answer is, in milliseconds, where it was given before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Changes of the store that the text index does not hold yet.
    pub changes_behind: u64,
    /// The collections searched, with how often each has changed.
    pub collections: Vec<Searched>,
}

/// A collection that was searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Searched {
    /// Its name.
    pub name: String,
    /// How often what is indexed has changed.
    pub generation: u64,
}

impl From<&Collection> for Searched {
    fn from(collection: &Collection) -> Searched {
        Searched {
            name: collection.name.clone(),
            generation: collection.generation,
        }
    }
}

impl Answer {
    /// Puts the hits of another answer to the same question, about other collections, beside these.
    pub(crate) fn joined_with(mut self, other: Answer, limit: usize) -> Answer {
        self.hits.extend(other.hits);
        // Each part is in order and the sort is stable.
        self.hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.hits.truncate(limit);
        let (meta, beside) = (&mut self.meta, other.meta);
        // The weaker of the two, where they differ.
        if beside.degraded && !meta.degraded {
            meta.served_by = beside.served_by;
        }
        meta.degraded |= beside.degraded;
        for reason in beside.reasons {
            if !meta.reasons.contains(&reason) {
                meta.reasons.push(reason);
            }
        }
        meta.took_ms = meta.took_ms.max(beside.took_ms);
        meta.embedded_fraction = match (meta.embedded_fraction, beside.embedded_fraction) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        meta.skipped_files += beside.skipped_files;
        meta.model = match (meta.model.take(), beside.model) {
            (Some(one), Some(other)) => Some(format!("{one}, {other}")),
            (one, other) => one.or(other),
        };
        meta.model_problem = meta.model_problem.take().or(beside.model_problem);
        meta.age_ms = meta.age_ms.max(beside.age_ms);
        meta.changes_behind += beside.changes_behind;
        meta.collections.extend(beside.collections);
        self
    }
}

impl Meta {
    /// Says in words what limits the answer.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(problem) = &self.model_problem {
            let what = if self.reasons.contains(&Reason::ModelMissing) {
                "no model, so this is text search"
            } else {
                "this is not the best answer"
            };
            notes.push(format!("{what}: {problem}"));
        } else if let Some(fraction) = self.embedded_fraction.filter(|&fraction| fraction < 1.0) {
            let served = if self.served_by == ServedBy::Text {
                "; answered from text"
            } else {
                ""
            };
            notes.push(format!(
                "vectors are {:.0} % complete{served}",
                (fraction * 100.0).floor()
            ));
        }
        if self.changes_behind > 0 {
            notes.push(format!(
                "{} changes are not in the text index yet; `embedder index` brings them in",
                self.changes_behind
            ));
        }
        if self.reasons.contains(&Reason::OutOfTime) {
            notes.push("the scan reached its time limit; narrow it with --path".to_owned());
        }
        notes
    }
}
