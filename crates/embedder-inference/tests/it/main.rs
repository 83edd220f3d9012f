//! The encoder from a model's files to vectors, as its users see it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests may read files and the environment"
)]

mod minilm;
mod refusals;
mod support;
mod tiny_bert;
mod tokenization;
