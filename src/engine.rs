//! The use cases, one folder each. Nothing here prints or parses arguments: the faces do.

pub mod access;
pub mod audit;
pub mod background;
pub mod bench;
pub mod doctor;
pub mod embed;
pub mod eval;
pub mod ingest;
pub mod models;
pub mod quickstart;
pub mod remove;
pub mod search;
pub mod serving;
pub mod status;
pub(crate) mod visible;
pub(crate) mod watch;
