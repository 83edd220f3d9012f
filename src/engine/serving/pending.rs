//! How much may wait for its vectors while they cannot be made.
//!
//! A document is acknowledged when it is on disk and found by its words; its vector follows, also when what makes vectors
//! has failed. So that this backlog has an end, as long as they cannot be made no more is taken than so many chunks. They are
//! counted in all collections of documents whose vectors the same model or provider makes; what folders hold is not taken
//! for anybody and does not count. Writers that come together do not see each other, and may exceed the limit by what they
//! write.

use std::time::Duration;

use embedder_reliability::circuit_breaker::CircuitState;

use super::Service;
use super::live::LiveCollection;
use super::model::BUSY_RETRY_AFTER;
use crate::error::{Error, Full, Result};
use crate::outbound::circuit::Circuit;
use crate::store::{CollectionKind, FileChange, Store};

impl Service {
    /// Refuses changes to a collection whose vectors would wait beyond the limit.
    ///
    /// # Errors
    /// [`Error::Busy`], with the time to come back; those of the store.
    pub(super) fn check_pending(
        &self,
        store: &dyn Store,
        live: &LiveCollection,
        changes: &[FileChange],
    ) -> Result<()> {
        let Some(retry_after) = self.vectors_cannot_be_made(live) else {
            return Ok(());
        };
        let chunks_max = self.config.resilience.pending_chunks_max;
        let mut chunks: u64 = changes.iter().map(chunks_of).sum();
        let is_remote = live.collection().is_remote;
        let all: Vec<_> = self.library().values().cloned().collect();
        for other in all {
            let of = other.collection();
            if of.kind == CollectionKind::Documents && of.is_remote == is_remote {
                chunks += self.pending_of(store, &other)?;
            }
        }
        if chunks <= chunks_max {
            return Ok(());
        }
        Err(Error::Busy {
            full: Full::PendingVectors,
            what: format!(
                "vectors cannot be made now, and as many documents wait for theirs as may: {chunks_max} chunks"
            ),
            retry_after,
        })
    }

    /// Returns what stands before whatever makes the vectors of a collection; none where nothing does.
    pub(super) fn circuit_of_documents(&self, live: &LiveCollection) -> Option<&Circuit> {
        if live.collection().kind == CollectionKind::Vectors {
            return None;
        }
        if live.collection().is_remote {
            self.remote.as_ref()?;
            return self.dependencies.provider.as_deref();
        }
        self.model.get().ok()?;
        Some(&self.dependencies.encoder)
    }

    /// Returns when it is worth trying again where there is what makes the vectors of a collection, and it has failed.
    fn vectors_cannot_be_made(&self, live: &LiveCollection) -> Option<Duration> {
        let breaker = self.circuit_of_documents(live)?.breaker();
        let is_closed = breaker.state() == CircuitState::Closed;
        // The encoder's breaker hears of those who wait for an answer alone. Where nobody does, it stays closed.
        if is_closed && !live.is_left_unfilled() {
            return None;
        }
        let retry_after = breaker.snapshot(self.clock.now()).retry_after;
        Some(retry_after.unwrap_or(BUSY_RETRY_AFTER))
    }

    /// Counts what is pending in a collection, unless its view tells.
    pub(super) fn count_pending(&self, live: &LiveCollection) -> Result<()> {
        if live.pending_vectors().is_none() && self.vectors_for(live).is_some() {
            let db = self.connections.take()?;
            live.set_pending_vectors(self.pending_of(db.store(), live)?);
        }
        Ok(())
    }

    fn pending_of(&self, store: &dyn Store, live: &LiveCollection) -> Result<u64> {
        if let Some(pending) = live.pending_vectors_now() {
            return Ok(pending);
        }
        let Some(of) = self.vectors_for(live) else {
            return Ok(0);
        };
        let model = store.model(&of.fingerprint)?;
        let counts = store.counts(live.collection().id, model)?;
        Ok(counts.chunks.saturating_sub(counts.embedded))
    }
}

fn chunks_of(change: &FileChange) -> u64 {
    if let FileChange::Put(file) = change {
        return file.chunks.len() as u64;
    }
    0
}
