//! What a long run says of itself while it runs.

use std::time::Duration;

/// A step of an index run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A repository is being fetched.
    Fetching {
        /// Bytes of our copy so far.
        bytes: u64,
    },
    /// The folder was listed and compared with the store.
    Walked {
        /// Files found.
        files: u64,
        /// Files to be read.
        to_read: u64,
        /// Their size.
        bytes: u64,
    },
    /// Files were read, cut and stored.
    Files {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
        /// Chunks made so far.
        chunks: u64,
    },
    /// Text search answers from here on.
    TextReady {
        /// Since the start of the run.
        elapsed: Duration,
        /// Whether there is a model, so that vectors are computed next.
        vectors_follow: bool,
    },
    /// Vectors were computed and stored.
    Vectors {
        /// So far, in this run.
        done: u64,
        /// In this run in all.
        total: u64,
    },
}

/// Draws or prints progress.
pub trait Progress: Sync {
    /// Takes one step; called often, so it is the implementation that thins out.
    fn report(&self, event: &Event);
}

/// Says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: &Event) {}
}
