//! The fault matrix: what a server says and does when what it depends on fails, and that it comes back by itself.
//!
//! Each test makes one thing fail in a server of its own, asks what search, embedding, writing, health and metrics say,
//! heals it, and waits until everything is as before. Circuit breakers stay open for a second here, so that nobody waits
//! for long; that they stay open for thirty by default is tested where time is paused.

mod abuse;
mod clock;
mod disk;
mod encoder;
mod filling;
mod indexes;
mod limits;
mod load;
mod memory;
mod outage;
mod pending;
mod provider;
mod rig;
mod shutdown;
mod store;
mod traffic;
