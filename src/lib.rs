//! `embedder`: hybrid search over code and documents with its own CPU embedding engine.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod engine;
pub mod outbound;
