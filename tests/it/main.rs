//! The integration tests: one binary, one module for each topic.
#![allow(clippy::unwrap_used)]

mod models;
mod support;
