//! What the batcher tells whoever counts.

use std::time::Duration;

use super::Lane;

/// Why texts were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Their caller no longer waits.
    Cancelled,
    /// Their deadline passed while they waited.
    Expired,
    /// They were in a batch that panicked, or belong to a request that had others in one.
    Panicked,
    /// The batcher was stopped while they waited.
    Stopped,
}

impl DropReason {
    /// Returns the name that metrics use.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::Cancelled => "cancelled",
            DropReason::Expired => "expired",
            DropReason::Panicked => "panicked",
            DropReason::Stopped => "stopped",
        }
    }
}

/// Counts what the batcher does. Every method has a default that does nothing.
///
/// The methods are called by the batcher's threads and by its callers: they return at once, do not panic and do not
/// call the batcher. Whatever concerns a request is told before the request is answered.
pub trait BatchObserver: Send + Sync {
    /// A batch is about to be encoded; the longest wait of its texts was so long.
    fn batch(&self, lane: Lane, texts: usize, tokens: usize, queue_wait_of_oldest: Duration) {
        let _ = (lane, texts, tokens, queue_wait_of_oldest);
    }

    /// So much of a lane is not answered now, waiting or being computed. Called with the lane locked, so that the last
    /// call is the truth.
    fn queue(&self, lane: Lane, items: usize, tokens: usize) {
        let _ = (lane, items, tokens);
    }

    /// Admitted texts will have no vectors.
    fn dropped(&self, lane: Lane, reason: DropReason, texts: usize) {
        let _ = (lane, reason, texts);
    }

    /// The encoder panicked on a batch.
    fn panicked(&self) {}
}

/// Counts nothing.
impl BatchObserver for () {}
