//! Computes the vectors of documents behind their acknowledgement.
//!
//! What is missing is a question to the store, so nothing that is pending can be forgotten: a filler is woken by each
//! write, at the start, and when a model can be had that could not be had before. The model and the provider have one each,
//! so that neither waits for the other. Collections take turns.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
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
use crate::engine::ingest::vectors::{End, Fill};
use crate::error::{Error, Result};
use crate::store::{ChunkId, CollectionId, CollectionKind};

/// How long a collection is left alone that could not be filled: first, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// How long one collection is filled while others wait, and longer until something comes of it.
const TURN: Duration = Duration::from_secs(10);

/// The fillers.
#[derive(Default)]
pub(crate) struct Fillers {
    model: Filler,
    provider: Filler,
}

/// Which collections may lack vectors, of those that one model or provider fills.
#[derive(Default)]
pub(crate) struct Filler {
    /// Texts of which no vectors are made.
    refused: Mutex<RefusedTexts>,
    /// Collections that could not be filled, and are left alone for a while.
    pauses: Mutex<BTreeMap<CollectionId, Pause>>,
    woken: Mutex<Woken>,
    arrived: Condvar,
    stop: AtomicBool,
}

/// Collections that are to be filled.
#[derive(Default)]
struct Woken {
    all: BTreeMap<CollectionId, Begun>,
    /// Whose turn it was last.
    last: Option<CollectionId>,
}

/// A collection, and after which of its chunks it is filled.
type Begun = (Arc<LiveCollection>, ChunkId);

impl Fillers {
    /// Returns the one of those whose vectors a provider makes, or the model.
    pub(super) fn by(&self, is_remote: bool) -> &Filler {
        if is_remote {
            &self.provider
        } else {
            &self.model
        }
    }

    /// Returns the one that fills a collection.
    pub(super) fn of(&self, live: &LiveCollection) -> &Filler {
        self.by(live.collection().is_remote)
    }

    /// Says that a collection may lack vectors.
    pub(crate) fn wake(&self, live: &Arc<LiveCollection>) {
        live.may_lack_vectors(true);
        self.of(live).wake(live);
    }

    /// Ends them; what is pending is computed by the next server.
    pub(crate) fn end(&self) {
        self.model.end();
        self.provider.end();
    }
}

impl Woken {
    /// Takes the collection whose turn it is.
    fn next(&mut self) -> Option<Begun> {
        let last = self.last.map_or(Unbounded, Excluded);
        let mut later = self.all.range((last, Unbounded)).map(|(id, _)| *id);
        let id = later.next().or_else(|| self.all.keys().next().copied())?;
        self.last = Some(id);
        self.all.remove(&id)
    }
}

impl Filler {
    fn wake(&self, live: &Arc<LiveCollection>) {
        if live.collection().kind == CollectionKind::Vectors {
            return;
        }
        let begun = || (Arc::clone(live), ChunkId(0));
        let id = live.collection().id;
        // One that has been begun goes on where it was; what that leaves is found when it begins anew.
        self.lock().all.entry(id).or_insert_with(begun);
        self.arrived.notify_one();
    }

    /// Goes on with a collection after this chunk, when it is its turn again.
    fn wake_after(&self, live: &Arc<LiveCollection>, after: ChunkId) {
        let id = live.collection().id;
        self.lock().all.insert(id, (Arc::clone(live), after));
    }

    /// Whether other collections than this one can be filled now.
    fn are_others_waiting(&self, than: CollectionId, now: Timestamp) -> bool {
        let can_be_filled = |id: &CollectionId| *id != than && !self.is_paused(*id, now);
        self.lock().all.keys().any(can_be_filled)
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

    fn end(&self) {
        let _woken = self.lock();
        self.stop.store(true, Ordering::Relaxed);
        self.arrived.notify_all();
    }

    /// Takes all that were woken.
    #[cfg(test)]
    fn take_woken(&self) -> Vec<Begun> {
        std::mem::take(&mut self.lock().all).into_values().collect()
    }

    fn next(&self) -> Option<Begun> {
        let mut woken = self.lock();
        loop {
            if self.is_ended() {
                return None;
            }
            if let Some(begun) = woken.next() {
                return Some(begun);
            }
            woken = self
                .arrived
                .wait(woken)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Fills the collections whose vectors a provider makes, or the model, until the server ends.
    pub(super) fn run_filler(&self, is_remote: bool) {
        step_back();
        let filler = self.fillers.by(is_remote);
        while let Some(begun) = filler.next() {
            self.fill_as_far_as_possible(filler, &begun);
        }
    }

    /// Fills every collection that was woken, once.
    #[cfg(test)]
    pub(super) fn fill_woken(&self) {
        for filler in [false, true].map(|is_remote| self.fillers.by(is_remote)) {
            for begun in filler.take_woken() {
                self.fill_as_far_as_possible(filler, &begun);
            }
        }
    }

    fn fill_as_far_as_possible(&self, filler: &Filler, begun: &Begun) {
        let (live, _) = begun;
        let collection = live.collection().id;
        if filler.is_paused(collection, self.clock.now()) {
            // It is woken again before long.
            return;
        }
        let filled = catch_unwind(AssertUnwindSafe(|| self.fill(filler, begun)))
            .unwrap_or_else(|_| Err(Error::Internal("filling in vectors panicked".to_owned())));
        let failed = match filled {
            Ok(End::Complete) | Err(Error::CollectionMissing { .. }) => {
                filler.pauses().remove(&collection);
                return;
            }
            Ok(End::LeftOff(after)) => return filler.wake_after(live, after),
            // Somebody was in a hurry; the rest comes after them.
            Err(Error::Interrupted) if !filler.is_ended() => return filler.wake(live),
            Err(Error::Interrupted) => return,
            Ok(End::Failed(error)) | Err(error) => error,
        };
        filler.pause(collection, self.clock.now());
        live.may_lack_vectors(true);
        tracing::warn!(
            collection = %live.collection().name,
            code = failed.code().name(),
            "Vectors are still pending: {failed}"
        );
    }

    fn fill(&self, filler: &Filler, (live, after): &Begun) -> Result<End> {
        let Some(_filling) = live.try_fill() else {
            // Whoever fills it now, or takes it away, wakes it if something is left. Others need not wait for them.
            return Ok(End::Complete);
        };
        let filled = match self.documents(live) {
            Some(documents) => self.fill_with(&*documents, filler, live, *after),
            // It is woken again when what makes the vectors works.
            None => Ok(End::Complete),
        };
        let counted = self.count_pending(live);
        filled.and_then(|end| counted.map(|()| end))
    }

    fn fill_with(
        &self,
        documents: &dyn EmbedDocuments,
        filler: &Filler,
        live: &LiveCollection,
        after: ChunkId,
    ) -> Result<End> {
        // Before the store is asked: who writes meanwhile says it again.
        live.may_lack_vectors(false);
        let run = ServerRun {
            service: self,
            live,
        };
        let mut db = self.connections.take()?;
        let began = run.now();
        let fill = Fill {
            collection: live.collection().id,
            after,
            documents,
            surroundings: &run,
            threads: self.config.threads,
            progress: &Silent,
            stop: live.yields(),
            // What was begun and brought nothing yet would have to be begun anew.
            leaves_off: &|has_got_on| {
                let now = run.now();
                let is_over = has_got_on && began.until(now) >= TURN;
                is_over && filler.are_others_waiting(live.collection().id, now)
            },
        };
        Ok(fill.run(&mut *db)?.end)
    }
}
