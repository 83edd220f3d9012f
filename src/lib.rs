//! `embedder`: hybrid search over code and documents with its own CPU embedding engine.
//!
//! The modules in reading order. Arrows run one way: `{cli, http} → mcp → engine → {store, outbound, observability} → {crates,
//! config, error}`.
//!
//! - [`error`]: what can go wrong, and the one table of error codes;
//! - [`config`]: settings, and the only place that reads the environment;
//! - [`clock`]: the time, read once for each request;
//! - [`failpoint`]: places where a test makes something fail;
//! - [`store`]: the source of truth and the data directory;
//! - [`outbound`]: everything that the program calls;
//! - [`observability`]: metrics and health;
//! - [`engine`]: the use cases: indexing, searching, models, status, a running server;
//! - `mcp`: tools for agents;
//! - [`http`]: the HTTP face of a running server;
//! - [`cli`]: the command line.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod error;
pub mod failpoint;
pub mod http;
mod mcp;
pub mod observability;
pub mod outbound;
#[cfg(test)]
mod simulation;
pub mod store;
