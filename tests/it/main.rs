//! The integration tests: one binary, one module for each topic.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests may stop at what should not happen"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod answers;
mod bad_input;
mod dashboard;
mod faults;
mod git;
mod ingest;
mod mcp;
mod models;
mod search;
mod server;
mod support;
mod support_tests;
mod tidy;
mod watch;
