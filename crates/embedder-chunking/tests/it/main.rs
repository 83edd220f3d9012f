//! Properties of the chunker that hold for every input, checked on arbitrary, mutated and hostile ones.

#![allow(clippy::unwrap_used)]

mod hostile;
mod invariants;
mod samples;
mod tiling;
