//! What the program tells of itself: numbers for machines, whether it is well, and how much of that it logs.

pub mod health;
pub mod log_sampler;
pub mod metrics;
