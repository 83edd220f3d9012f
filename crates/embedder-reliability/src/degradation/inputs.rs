//! What the level of service follows from.

use super::members;
use super::set::Set;

members! {
    /// What a search needs.
    Part {
        /// What makes vectors of queries.
        Embedder = "embedder",
        /// The vectors of what is indexed.
        VectorIndex = "vector_index",
        /// The words of what is indexed.
        LexicalIndex = "lexical_index",
        /// Answers given before.
        Cache = "cache",
        /// The store.
        Store = "store",
    }
}

/// What the level of service follows from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inputs {
    /// What does not work.
    pub failed: Set<Part>,
    /// What an operator has switched off.
    pub forced: Set<Part>,
    /// Whether there is more to do than can be done well.
    pub is_overloaded: bool,
}

impl Inputs {
    /// Returns what cannot be used, for whatever reason.
    pub fn lost(&self) -> Set<Part> {
        self.failed.union(self.forced)
    }
}
