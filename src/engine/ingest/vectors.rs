//! The second phase of a run: a vector for every chunk that has none.
//!
//! What is missing is a question to the store, so an interrupted run goes on where it was, and a text that any
//! collection embedded before is never embedded again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use embedder_index::embedded_text::chunk_text;
use embedder_inference::Workspace;

use super::embed_documents::{EmbedDocuments, EmbeddedTexts};
use super::prepare::embed_hash;
use super::progress::{Event, Progress};
use super::surroundings::Surroundings;
use super::workers;
use crate::error::{Error, Result};
use crate::store::{ChunkId, ChunkRow, CollectionId, EmbedHash, ModelId, StoreWriter};

/// Chunks taken from the store at a time.
const PAGE: usize = 2_048;

/// How often a text by itself is given to what makes vectors, before it is taken for the reason that there is none.
const TRIALS: u32 = 3;

/// How long computed vectors wait for their transaction. After a kill this much work is repeated.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// What the phase did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Embedded {
    pub(crate) texts: u64,
    pub(crate) truncated: u64,
}

/// What was made of one batch: vectors, also where others of it failed, with how many texts were cut.
#[derive(Default)]
struct Batch {
    vectors: Vec<(EmbedHash, Vec<f32>)>,
    truncated: u64,
    failed: Option<Error>,
}

/// Computes the missing vectors of a collection.
pub(crate) struct Fill<'a> {
    pub(crate) collection: CollectionId,
    pub(crate) documents: &'a dyn EmbedDocuments,
    pub(crate) surroundings: &'a dyn Surroundings,
    pub(crate) threads: usize,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a AtomicBool,
}

impl Fill<'_> {
    /// Computes and stores them.
    ///
    /// # Errors
    /// Those of the store; [`Error::Interrupted`] when `stop` was set, with what was computed until then stored.
    pub(crate) fn run(&self, db: &mut dyn StoreWriter) -> Result<Embedded> {
        let model = db.put_model(
            self.documents.fingerprint(),
            self.documents.name(),
            self.documents.dimensions(),
        )?;
        self.fill(db, model)
    }

    fn fill(&self, db: &mut dyn StoreWriter, model: ModelId) -> Result<Embedded> {
        let Fill {
            collection,
            progress,
            stop,
            ..
        } = *self;
        let counts = db.store().counts(collection, Some(model))?;
        let total = counts.chunks - counts.embedded;
        let mut embedded = Embedded::default();
        let mut after = ChunkId(0);
        loop {
            let page = db.store().pending_vectors(collection, model, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            self.fill_page(db, model, page, &mut |now| {
                embedded.texts += now.vectors.len() as u64;
                embedded.truncated += now.truncated;
                progress.report(&Event::Vectors {
                    done: embedded.texts.min(total),
                    total,
                });
            })?;
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
        }
        Ok(embedded)
    }

    fn fill_page(
        &self,
        db: &mut dyn StoreWriter,
        model: ModelId,
        mut page: Vec<ChunkRow>,
        each: &mut dyn FnMut(&Batch),
    ) -> Result<()> {
        // Texts of like length in one batch: the workers finish together, and a batch fits the encoder's chunks.
        page.sort_by_key(|chunk| chunk.text.len());
        // Where one fails, no other is begun; those under way are paid for.
        let has_failed = AtomicBool::new(false);
        workers::spread(
            page.chunks(self.documents.texts_at_a_time().max(1)),
            self.threads.min(self.documents.threads_max()),
            self.stop,
            || {
                self.surroundings.begin_worker();
                Workspace::default()
            },
            |workspace, chunks| {
                if has_failed.load(Ordering::Relaxed) {
                    return Batch::default();
                }
                let batch = self.embed(workspace, chunks);
                if batch.failed.is_some() {
                    has_failed.store(true, Ordering::Relaxed);
                }
                batch
            },
            |batches| self.store_all(db, model, batches, each),
        )
    }

    fn embed(&self, workspace: &mut Workspace, chunks: &[ChunkRow]) -> Batch {
        let fingerprint = self.documents.fingerprint();
        let texts: Vec<(&ChunkRow, String, EmbedHash)> = chunks
            .iter()
            .map(|chunk| {
                let text = chunk_text(&chunk.record(), &chunk.text);
                let hash = embed_hash(&text);
                (chunk, text, hash)
            })
            .filter(|(_, _, hash)| !self.surroundings.is_refused(fingerprint, *hash))
            .collect();
        let mut batch = Batch::default();
        batch.failed = self.embed_texts(workspace, &texts, &mut batch).err();
        batch
    }

    /// Embeds texts. Where what makes the vectors works and makes none of these, they are halved until it is known which
    /// one is the reason: the others have done nothing wrong.
    fn embed_texts(
        &self,
        workspace: &mut Workspace,
        texts: &[(&ChunkRow, String, EmbedHash)],
        batch: &mut Batch,
    ) -> Result<()> {
        let Some(((chunk, _, hash), others)) = texts.split_first() else {
            return Ok(());
        };
        let words: Vec<String> = texts.iter().map(|(_, text, _)| text.clone()).collect();
        let trials = if others.is_empty() { TRIALS } else { 1 };
        let mut why = None;
        for _ in 0..trials {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match self.documents.embed(workspace, &words, self.stop) {
                Ok(EmbeddedTexts { numbers, truncated }) => {
                    let vectors = numbers.chunks_exact(self.documents.dimensions());
                    let hashes = texts.iter().map(|(_, _, hash)| *hash);
                    batch
                        .vectors
                        .extend(hashes.zip(vectors.map(<[f32]>::to_vec)));
                    batch.truncated += truncated;
                    return Ok(());
                }
                Err(error @ (Error::Interrupted | Error::Busy { .. })) => return Err(error),
                Err(error) => why = Some(error),
            }
            self.documents.check(workspace, self.stop)?;
        }
        if let (true, Some(why)) = (others.is_empty(), why) {
            let fingerprint = self.documents.fingerprint();
            return self.surroundings.refused(fingerprint, chunk, *hash, &why);
        }
        let (left, right) = texts.split_at(texts.len() / 2);
        self.embed_texts(workspace, left, batch)?;
        self.embed_texts(workspace, right, batch)
    }

    fn store_all(
        &self,
        db: &mut dyn StoreWriter,
        model: ModelId,
        batches: mpsc::Receiver<Batch>,
        each: &mut dyn FnMut(&Batch),
    ) -> Result<()> {
        let mut waiting = Vec::new();
        let mut committed = Instant::now();
        let mut failed = None;
        for mut batch in batches {
            failed = failed.or(batch.failed.take());
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
        failed.map_or(Ok(()), Err)
    }
}
