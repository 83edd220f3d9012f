//! Search over one collection of chunks: by words, by meaning, and by the rules that make both fit code.
//!
//! Words are found by BM25F over five fields in a lexical index ([`lexical`]), meaning by an exact scan of vectors, and
//! the two are added up ([`fusion`]); then a table of named rules lifts what the query names and lowers what is rarely
//! wanted. Each hit can be explained down to its last hundredth.
//!
//! The crate is pure: it knows no store, no model and no clock. The lexical index lies in a
//! [`tantivy::directory::Directory`] that is handed in, vectors and metadata are handed in by the caller, and threads are
//! the caller's too, except the two on which the lexical index writes and merges.
//!
//! Guarantees:
//! * Results depend on what is indexed, never on the order of indexing, on deleted chunks, or on how the index is
//!   divided into segments. Equal scores are ordered by path and line.
//! * A filter is applied before either retriever picks its best.
//! * If an identifier is asked for that some chunk defines, a definition is among the first ten hits.
//! * The vectors of [`Collection::nearest`] are the nearest there are, not approximately so.
//!
//! ```
//! use embedder_index::{ChunkId, ChunkRecord, FileId, Collection, LexicalIndex, ParsedQuery, Request};
//! use tantivy::directory::RamDirectory;
//!
//! let (index, _) = LexicalIndex::open_or_create(RamDirectory::create())?;
//! let chunk = ChunkRecord {
//!     id: ChunkId(1),
//!     file: FileId(1),
//!     path: "src/http/retry.rs".to_owned(),
//!     language: Some("rust".to_owned()),
//!     start_line: 1,
//!     end_line: 1,
//!     definitions: vec![],
//!     scope: vec![],
//! };
//! let mut writer = index.writer()?;
//! writer.put(&chunk, "fn retry_after(delay: Duration) {}")?;
//! writer.commit(1)?;
//!
//! let mut collection = Collection::new(index.reader()?, 384);
//! collection.put(&chunk);
//! collection.refresh()?;
//! let query = ParsedQuery::parse("how long is the delay before retrying");
//! assert_eq!(collection.search(&Request::new(&query))?[0].id, ChunkId(1));
//! # Ok::<(), embedder_index::Error>(())
//! ```
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod allowed;
pub mod analysis;
mod catalogue;
mod chunk;
mod collection;
#[cfg(test)]
mod corpus;
pub mod embedded_text;
mod error;
mod explain;
pub mod fusion;
pub mod lexical;
pub mod path;
mod query;
mod rules;
mod search;
mod top;
mod vectors;

pub use allowed::Allowed;
pub use chunk::{ChunkId, ChunkRecord, Definition, FileId, SymbolKind};
pub use collection::{Collection, Refreshed};
pub use error::Error;
pub use explain::{
    Bm25Explanation, Explanation, FusionExplanation, RuleEffect, TermExplanation, VectorExplanation,
};
pub use fusion::Mode;
pub use lexical::{LexicalIndex, LexicalReader, LexicalWriter, Opened};
pub use query::{Identifier, ParsedQuery, Shape};
pub use rules::{Rule, RuleSet, Weight};
pub use search::{Hit, Request};
pub use vectors::{QueryVector, VectorSet};
