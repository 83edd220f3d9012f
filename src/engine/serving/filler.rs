//! Computes the vectors of documents behind their acknowledgement.
//!
//! What is missing is a question to the store, so nothing that is pending can be forgotten: the filler is woken by each
//! write, at the start, and when a model can be had that could not be had before.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedder_reliability::Timestamp;

use super::Service;
use super::live::LiveCollection;
use super::pause::Pause;
use super::refused_texts::RefusedTexts;
use super::run::ServerRun;
use crate::engine::background::step_back;
use crate::engine::ingest::embed_documents::EmbedDocuments;
use crate::engine::ingest::progress::Silent;
use crate::engine::ingest::vectors::Fill;
use crate::error::{Error, Result};
use crate::store::{CollectionId, CollectionKind};

/// How long a collection is left alone that could not be filled: first, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// Which collections may lack vectors.
#[derive(Default)]
pub(crate) struct Filler {
    /// Texts of which no vectors are made.
    refused: Mutex<RefusedTexts>,
    /// Collections that could not be filled, and are left alone for a while.
    pauses: Mutex<BTreeMap<CollectionId, Pause>>,
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

    /// Returns the texts of which no vectors are made.
    pub(super) fn refused(&self) -> MutexGuard<'_, RefusedTexts> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what it failed at: what makes the vectors had failed, and works again.
    pub(super) fn start_afresh(&self) {
        self.pauses().clear();
        self.refused().forget_doubtful();
    }

    fn pauses(&self) -> MutexGuard<'_, BTreeMap<CollectionId, Pause>> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a collection is left alone for now.
    fn is_paused(&self, collection: CollectionId, now: Timestamp) -> bool {
        let pauses = self.pauses();
        pauses
            .get(&collection)
            .is_some_and(|pause| pause.lasts(now))
    }

    /// Leaves a collection alone that could not be filled, longer each time.
    fn pause(&self, collection: CollectionId, now: Timestamp) {
        let mut pauses = self.pauses();
        let before = pauses.get(&collection);
        let pause = Pause::longer_than(before, PAUSE_MIN, PAUSE_MAX, now);
        pauses.insert(collection, pause);
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
        let collection = live.collection().id;
        if self.filler.is_paused(collection, self.clock.now()) {
            // It is woken again before long.
            return;
        }
        let filled = catch_unwind(AssertUnwindSafe(|| self.fill(live)))
            .unwrap_or_else(|_| Err(Error::Internal("filling in vectors panicked".to_owned())));
        match filled {
            Ok(()) | Err(Error::CollectionMissing { .. }) => {
                self.filler.pauses().remove(&collection);
            }
            // Somebody was in a hurry; the rest comes after them.
            Err(Error::Interrupted) if !self.filler.is_ended() => self.filler.wake(live),
            Err(Error::Interrupted) => {}
            Err(error) => {
                self.filler.pause(collection, self.clock.now());
                tracing::warn!(
                    collection = %live.collection().name,
                    code = error.code().name(),
                    "Vectors are still pending: {error}"
                );
            }
        }
    }

    fn fill(&self, live: &Arc<LiveCollection>) -> Result<()> {
        let filled = match self.documents(live) {
            Some(documents) => self.fill_with(&*documents, live),
            // It is woken again when what makes the vectors works.
            None => Ok(()),
        };
        filled.and(self.count_pending(live))
    }

    fn fill_with(&self, documents: &dyn EmbedDocuments, live: &LiveCollection) -> Result<()> {
        let _filling = live.fill();
        let fill = Fill {
            collection: live.collection().id,
            documents,
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
