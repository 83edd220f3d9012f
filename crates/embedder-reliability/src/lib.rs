//! What keeps a service standing when what it depends on does not, as decisions only.
//!
//! Nothing here waits, reads a clock, starts a thread or makes a call. The caller tells the time ([`Timestamp`]) and hands
//! in randomness ([`Random`]), and does what it is told; so every history can be played through in a test.
//!
//! * [`circuit_breaker`]: whether a dependency may be called at all.
//! * [`retry`]: whether a failed call is made again, and when; with a budget that all callers of a dependency share.
//! * [`rate_limiter`]: how much one caller may ask.
//! * [`admission`]: how much the service takes on at a time, and who goes first.
//! * [`degradation`]: what the service can still do, as a function of what works.
//! * [`recovery`]: how often a repair may be tried.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admission;
pub mod circuit_breaker;
pub mod degradation;
pub mod rate_limiter;
pub mod recovery;
pub mod retry;

mod random;
mod sync;
mod timestamp;

pub use random::Random;
pub use timestamp::Timestamp;
