//! What several test modules share.

pub mod app;
pub mod hub;
pub mod server;
