//! The second phase of a run: a vector for every chunk that has none.
//!
//! What is missing is a question to the store, so an interrupted run goes on where it was, and a text that any
//! collection embedded before is never embedded again. What cannot be made, or is left to others, is no failure of the
//! phase: it says where it ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use embedder_inference::Workspace;

use super::embed_documents::EmbedDocuments;
use super::progress::{Event, Progress};
use super::surroundings::Surroundings;
use super::workers;
use crate::error::{Error, ErrorCode, Result};
use crate::store::{ChunkId, ChunkRow, CollectionId, ModelId, StoreWriter};

mod page;

use page::{Batch, Page, Stopped};

/// Chunks taken from the store at a time.
const PAGE: usize = 2_048;

/// How long computed vectors wait for their transaction. After a kill this much work is repeated.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// What the phase did.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    pub(crate) texts: u64,
    pub(crate) truncated: u64,
    pub(crate) end: End,
}

/// Where the phase ended.
#[derive(Debug, Default)]
pub(crate) enum End {
    /// Nothing is missing but texts of which no vector can be made.
    #[default]
    Complete,
    /// It left off; what is missing comes after this chunk.
    LeftOff(ChunkId),
    /// What makes the vectors failed.
    Failed(Error),
}

/// Computes the missing vectors of a collection.
pub(crate) struct Fill<'a> {
    pub(crate) collection: CollectionId,
    /// Where it begins.
    pub(crate) after: ChunkId,
    pub(crate) documents: &'a dyn EmbedDocuments,
    pub(crate) surroundings: &'a dyn Surroundings,
    pub(crate) threads: usize,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a AtomicBool,
    /// Whether it should leave the rest to a later one, by whether it has got on so far; asked before each call, and while
    /// one waits for its turn.
    pub(crate) leaves_off: &'a (dyn Fn(bool) -> bool + Sync),
}

impl Fill<'_> {
    /// Computes and stores them.
    ///
    /// # Errors
    /// Those of the store; [`Error::Interrupted`] when `stop` was set, with what was computed until then stored.
    pub(crate) fn run(&self, db: &mut dyn StoreWriter) -> Result<Filled> {
        let model = db.put_model(
            self.documents.fingerprint(),
            self.documents.name(),
            self.documents.dimensions(),
        )?;
        let filled = self.fill(db, model)?;
        // Also where there was nothing to do: vectors of the same texts may have come for another collection.
        self.surroundings.vectors_stored(db, self.collection)?;
        Ok(filled)
    }

    fn fill(&self, db: &mut dyn StoreWriter, model: ModelId) -> Result<Filled> {
        // Others write meanwhile, and it is asked in two steps.
        let counts = db.store().counts(self.collection, Some(model))?;
        let total = counts.chunks.saturating_sub(counts.embedded);
        let mut filled = Filled::default();
        let mut after = self.after;
        let mut are_all_remembered = true;
        let has_got_on = AtomicBool::new(false);
        loop {
            let rows = db
                .store()
                .pending_vectors(self.collection, model, after, PAGE)?;
            let Some(last) = rows.last() else { break };
            let last = last.id;
            let page = Page::new(self, &has_got_on);
            let stopped = self.fill_page(db, model, &page, rows, &mut |now| {
                filled.texts += now.vectors.len() as u64;
                filled.truncated += now.truncated;
                self.progress.report(&Event::Vectors {
                    done: filled.texts.min(total),
                    total,
                });
            })?;
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            are_all_remembered &= page.are_all_remembered();
            match stopped {
                None => after = last,
                Some(Stopped::LeftOff) => {
                    filled.end = End::LeftOff(after);
                    return Ok(filled);
                }
                // It is not what makes the vectors that failed.
                Some(Stopped::Failed(Error::Interrupted)) => return Err(Error::Interrupted),
                Some(Stopped::Failed(error)) => {
                    filled.end = End::Failed(error);
                    return Ok(filled);
                }
            }
        }
        if !are_all_remembered {
            filled.end = End::Failed(Error::Reported {
                code: ErrorCode::DependencyUnavailable,
                message: "more texts are refused than can be remembered".to_owned(),
                remedy: None,
            });
        }
        Ok(filled)
    }

    fn fill_page(
        &self,
        db: &mut dyn StoreWriter,
        model: ModelId,
        page: &Page<'_>,
        mut rows: Vec<ChunkRow>,
        each: &mut dyn FnMut(&Batch),
    ) -> Result<Option<Stopped>> {
        // Texts of like length in one batch: the workers finish together, and a batch fits the encoder's chunks.
        rows.sort_by_key(|chunk| chunk.text.len());
        let mut stopped = None;
        workers::spread(
            rows.chunks(self.documents.texts_at_a_time().max(1)),
            self.threads.min(self.documents.threads_max()),
            self.stop,
            || {
                self.surroundings.begin_worker();
                Workspace::default()
            },
            |workspace, chunks| page.embed(workspace, chunks),
            |batches| {
                stopped = self.store_all(db, model, batches, each)?;
                Ok(())
            },
        )?;
        Ok(stopped)
    }

    fn store_all(
        &self,
        db: &mut dyn StoreWriter,
        model: ModelId,
        batches: mpsc::Receiver<Batch>,
        each: &mut dyn FnMut(&Batch),
    ) -> Result<Option<Stopped>> {
        let mut waiting = Vec::new();
        let mut committed = Instant::now();
        let mut stopped = None;
        for mut batch in batches {
            stopped = match (stopped, batch.stopped.take()) {
                // The others left off because it failed.
                (Some(Stopped::LeftOff) | None, Some(now)) => Some(now),
                (before, _) => before,
            };
            each(&batch);
            waiting.extend(batch.vectors);
            if committed.elapsed() >= COMMIT_EVERY {
                db.put_vectors(model, &waiting)?;
                self.surroundings.vectors_stored(db, self.collection)?;
                waiting.clear();
                committed = Instant::now();
            }
        }
        db.put_vectors(model, &waiting)?;
        self.surroundings.vectors_stored(db, self.collection)?;
        Ok(stopped)
    }
}
