//! What several test modules share.

pub mod app;
pub mod chromium;
pub mod clock;
pub mod disk;
pub mod fault_proxy;
pub mod frames;
pub mod git_server;
pub mod hub;
pub mod pipeline;
pub mod port;
pub mod provider;
pub mod python;
pub mod random;
pub mod server;
pub mod shim;
pub mod socket;
