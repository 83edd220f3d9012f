//! Everything that the program calls: the model hub over HTTP, `pip` as a child process, the running server of the
//! data directory, a remote embedding provider, and git repositories by `git` as a child process.
//!
//! A dependency of the running server stands behind a [`circuit::Circuit`], where deadline, retries, circuit breaker and
//! bulkhead are composed once.
//!
//! What is here guarantees that a call ends: each has deadlines, a bounded number of tries and bounded sizes, and each
//! stops within a fraction of a second when the interrupt flag of its [`control::Control`] is set.
//! Nothing here reads settings or the environment, except that the HTTP client honours the system's proxy variables and
//! that `pip` inherits the environment, so that both use what the machine is set up for. A loopback address never goes
//! through a proxy.

mod address;
mod bytes_below;
pub mod checksum;
pub mod circuit;
pub mod control;
pub mod daemon;
pub mod git;
mod http;
pub mod hub;
pub mod pip;
pub mod provider;
mod retry_after;
mod tries;

pub use crate::config::Secret;
pub use http::Timeouts;
