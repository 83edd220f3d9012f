//! What the program tells of itself: numbers for machines, and whether it is well.

pub mod health;
pub mod metrics;
