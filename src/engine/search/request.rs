//! What is asked, and whether it can be.

use embedder_index::RuleSet;
use serde::{Deserialize, Serialize};

use super::filter::FilterSpec;
use crate::error::{Error, Result};

/// Longest query in characters: two thousand words with room to spare. More is a document, not a question.
pub const QUERY_CHARS_MAX: usize = 32_768;

/// Most hits of one search.
pub const LIMIT_MAX: usize = 1_000;

/// Most neighbours shown above and below a hit.
pub const CONTEXT_MAX: u32 = 20;

/// How to search.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By word and by meaning.
    Hybrid,
    /// By word alone.
    Text,
    /// By meaning alone.
    Vector,
    /// For this very text.
    Literal,
    /// For a regular expression.
    Regex,
    /// By word in the stored text itself, without any index.
    Direct,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 6] = [
        Mode::Hybrid,
        Mode::Text,
        Mode::Vector,
        Mode::Literal,
        Mode::Regex,
        Mode::Direct,
    ];

    /// Whether the mode ranks by an index; the others scan the stored text.
    pub fn is_ranked(self) -> bool {
        match self {
            Mode::Hybrid | Mode::Text | Mode::Vector => true,
            Mode::Literal | Mode::Regex | Mode::Direct => false,
        }
    }

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Hybrid => "hybrid",
            Mode::Text => "text",
            Mode::Vector => "vector",
            Mode::Literal => "literal",
            Mode::Regex => "regex",
            Mode::Direct => "direct",
        }
    }
}

/// A question with everything that shapes its answer.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// What to look for.
    pub query: String,
    /// How.
    pub mode: Mode,
    /// The collections to search; empty for the one that holds the current folder, else all.
    pub collections: Vec<String>,
    /// Most hits.
    pub limit: usize,
    /// Which files may answer.
    pub filter: FilterSpec,
    /// Lines shown of each hit.
    pub snippet_lines: usize,
    /// Chunks shown above and below each hit.
    pub context: u32,
    /// Whether each hit says why it is where it is.
    pub explain: bool,
    /// The ranking rules that take part.
    pub rules: RuleSet,
    /// The vector to compare with, where it comes from the caller.
    pub vector: Option<Vec<f32>>,
}

impl SearchRequest {
    /// A request with the defaults: ten hits of eight lines, everywhere.
    pub fn new(query: String, mode: Mode) -> SearchRequest {
        SearchRequest {
            query,
            mode,
            collections: Vec::new(),
            limit: 10,
            filter: FilterSpec::default(),
            snippet_lines: 8,
            context: 0,
            explain: false,
            rules: RuleSet::ALL,
            vector: None,
        }
    }

    /// Refuses what cannot be answered.
    pub(crate) fn check(&self) -> Result<()> {
        let chars = self.query.chars().count();
        if self.vector.is_some() && !matches!(self.mode, Mode::Vector | Mode::Hybrid) {
            return Err(Error::Query {
                problem: format!("the mode `{}` compares no vectors", self.mode.name()),
                remedy: "leave `vector` away, or use the mode `vector` or `hybrid`".to_owned(),
            });
        }
        let is_vector_enough = self.vector.is_some() && self.mode == Mode::Vector;
        if self.query.trim().is_empty() && !is_vector_enough {
            return Err(Error::Query {
                problem: "the query is empty".to_owned(),
                remedy: "give a question, words or a name".to_owned(),
            });
        }
        if chars > QUERY_CHARS_MAX {
            return Err(Error::Query {
                problem: format!(
                    "the query has {chars} characters, the limit is {QUERY_CHARS_MAX}"
                ),
                remedy: "shorten it to what it asks for".to_owned(),
            });
        }
        if matches!(self.mode, Mode::Literal | Mode::Regex) && self.rules != RuleSet::ALL {
            return Err(Error::Argument {
                problem: "literal and regex search have no ranking rules to leave out".to_owned(),
                remedy: "leave --without away, or choose another --mode".to_owned(),
            });
        }
        if matches!(self.mode, Mode::Literal | Mode::Regex | Mode::Direct) && self.explain {
            return Err(Error::Argument {
                problem: "literal, regex and direct search have no scores to take apart".to_owned(),
                remedy: "leave --explain away, or choose another --mode".to_owned(),
            });
        }
        self.check_shape()
    }

    /// The same without the query.
    pub(crate) fn check_shape(&self) -> Result<()> {
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(Error::Argument {
                problem: format!("{} is no limit for hits", self.limit),
                remedy: format!("use 1 to {LIMIT_MAX}"),
            });
        }
        if self.context > CONTEXT_MAX {
            return Err(Error::Argument {
                problem: format!("{} chunks of context are too many", self.context),
                remedy: format!("use 0 to {CONTEXT_MAX}"),
            });
        }
        Ok(())
    }
}
