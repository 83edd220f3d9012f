//! The use cases, one folder each.

pub mod models;
