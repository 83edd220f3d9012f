//! Computes the vectors of documents behind their acknowledgement.
//!
//! What is missing is a question to the store, so nothing that is pending can be forgotten: the filler is woken by each
//! write, at the start, and when a model can be had that could not be had before.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Service;
use super::live::LiveCollection;
use super::run::ServerRun;
use crate::engine::background::step_back;
use crate::engine::ingest::progress::Silent;
use crate::engine::ingest::vectors::Fill;
use crate::error::{Error, Result};
use crate::store::{CollectionId, CollectionKind, EmbedHash};

/// Texts that are remembered as refused; beyond that all are tried again.
const REFUSED_MAX: usize = 10_000;

/// Which collections may lack vectors.
#[derive(Default)]
pub(crate) struct Filler {
    /// Texts that whatever makes the vectors refused for what they are.
    refused: Mutex<HashSet<EmbedHash>>,
    woken: Mutex<BTreeMap<CollectionId, Arc<LiveCollection>>>,
    arrived: Condvar,
    stop: AtomicBool,
}

impl Filler {
    /// Says that a collection may lack vectors.
    pub(crate) fn wake(&self, live: &Arc<LiveCollection>) {
        if live.collection().kind == CollectionKind::Vectors {
            return;
        }
        self.lock().insert(live.collection().id, Arc::clone(live));
        self.arrived.notify_one();
    }

    /// Whether a text was refused.
    pub(super) fn is_refused(&self, text: EmbedHash) -> bool {
        self.refused_texts().contains(&text)
    }

    /// Remembers that a text was refused, so that it is not sent again and again.
    pub(super) fn refuse(&self, text: EmbedHash) {
        let mut refused = self.refused_texts();
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused.insert(text);
    }

    fn refused_texts(&self) -> MutexGuard<'_, HashSet<EmbedHash>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has ended.
    fn is_ended(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends the filler; what is pending is computed by the next server.
    pub(crate) fn end(&self) {
        let _woken = self.lock();
        self.stop.store(true, Ordering::Relaxed);
        self.arrived.notify_all();
    }

    /// Takes all that were woken.
    #[cfg(test)]
    fn take_woken(&self) -> Vec<Arc<LiveCollection>> {
        std::mem::take(&mut *self.lock()).into_values().collect()
    }

    fn next(&self) -> Option<Arc<LiveCollection>> {
        let mut woken = self.lock();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if let Some((_, live)) = woken.pop_first() {
                return Some(live);
            }
            woken = self
                .arrived
                .wait(woken)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CollectionId, Arc<LiveCollection>>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Fills collection after collection until the server ends.
    pub(super) fn run_filler(&self) {
        step_back();
        while let Some(live) = self.filler.next() {
            self.fill_as_far_as_possible(&live);
        }
    }

    /// Fills every collection that was woken, once.
    #[cfg(test)]
    pub(super) fn fill_woken(&self) {
        for live in self.filler.take_woken() {
            self.fill_as_far_as_possible(&live);
        }
    }

    fn fill_as_far_as_possible(&self, live: &Arc<LiveCollection>) {
        let filled = catch_unwind(AssertUnwindSafe(|| self.fill(live)))
            .unwrap_or_else(|_| Err(Error::Internal("filling in vectors panicked".to_owned())));
        match filled {
            Ok(()) | Err(Error::CollectionMissing { .. }) => {}
            // Somebody was in a hurry; the rest comes after them.
            Err(Error::Interrupted) if !self.filler.is_ended() => self.filler.wake(live),
            Err(Error::Interrupted) => {}
            Err(error) => tracing::warn!(
                collection = %live.collection().name,
                code = error.code().name(),
                "Vectors are still pending: {error}"
            ),
        }
    }

    fn fill(&self, live: &Arc<LiveCollection>) -> Result<()> {
        // It is woken again when what makes the vectors works.
        let Some(documents) = self.documents(live) else {
            return Ok(());
        };
        let _filling = live.fill();
        let fill = Fill {
            collection: live.collection().id,
            documents: &*documents,
            surroundings: &ServerRun {
                service: self,
                live,
            },
            threads: self.config.threads,
            progress: &Silent,
            stop: live.yields(),
        };
        let mut db = self.connections.take()?;
        fill.run(&mut *db).map(drop)
    }
}
