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
use crate::error::{Error, ErrorCode, Result};
use crate::store::{ChunkId, ChunkRow, CollectionId, EmbedHash, ModelId, StoreWriter};

/// Chunks taken from the store at a time.
const PAGE: usize = 2_048;

/// Texts that a worker takes at a time: long enough to amortise the hand-over, short enough that Ctrl-C is answered
/// within a fraction of a second.
const BATCH: usize = 16;

/// What anything that makes vectors takes.
const HARMLESS: &str = "a word";

/// How long computed vectors wait for their transaction. After a kill this much work is repeated.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// What the phase did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Embedded {
    pub(crate) texts: u64,
    pub(crate) truncated: u64,
}

/// Vectors of one batch, with how many of its texts were cut.
#[derive(Default)]
struct Batch {
    vectors: Vec<(EmbedHash, Vec<f32>)>,
    truncated: u64,
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
    pub(crate) fn run(&self, db: &mut dyn StoreWriter) -> Result<(ModelId, Embedded)> {
        let model = db.put_model(
            self.documents.fingerprint(),
            self.documents.name(),
            self.documents.dimensions(),
        )?;
        self.fill(db, model).map(|embedded| (model, embedded))
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
        workers::spread(
            page.chunks(BATCH),
            self.threads,
            self.stop,
            || {
                self.surroundings.begin_worker();
                Workspace::default()
            },
            |workspace, chunks| self.embed(workspace, chunks),
            |batches| self.store_all(db, model, batches, each),
        )
    }

    fn embed(&self, workspace: &mut Workspace, chunks: &[ChunkRow]) -> Result<Batch> {
        let texts: Vec<(&ChunkRow, String, EmbedHash)> = chunks
            .iter()
            .map(|chunk| {
                let text = chunk_text(&chunk.record(), &chunk.text);
                let hash = embed_hash(&text);
                (chunk, text, hash)
            })
            .filter(|(_, _, hash)| !self.surroundings.is_refused(*hash))
            .collect();
        let mut batch = Batch::default();
        self.embed_texts(workspace, &texts, &mut batch)?;
        Ok(batch)
    }

    /// Embeds texts. Where they are refused for what they are, they are halved until it is known which one it was: the
    /// others have done nothing wrong.
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
        match self.documents.embed(workspace, &words) {
            Ok(EmbeddedTexts { numbers, truncated }) => {
                let vectors = numbers.chunks_exact(self.documents.dimensions());
                let hashes = texts.iter().map(|(_, _, hash)| *hash);
                batch
                    .vectors
                    .extend(hashes.zip(vectors.map(<[f32]>::to_vec)));
                batch.truncated += truncated;
                Ok(())
            }
            Err(error) if error.code() != ErrorCode::InvalidRequest => Err(error),
            Err(error) if others.is_empty() => {
                // Unless anything is refused, or was a moment ago: then it is not this text's fault.
                self.documents.embed(workspace, &[HARMLESS.to_owned()])?;
                match self.documents.embed(workspace, &words) {
                    Err(again) if again.code() == ErrorCode::InvalidRequest => {
                        self.surroundings.refused(chunk, *hash, &again);
                        Ok(())
                    }
                    Err(again) => Err(again),
                    // It is made once more with the others of its page.
                    Ok(_) => Err(error),
                }
            }
            Err(_) => {
                let (left, right) = texts.split_at(texts.len() / 2);
                self.embed_texts(workspace, left, batch)?;
                self.embed_texts(workspace, right, batch)
            }
        }
    }

    fn store_all(
        &self,
        db: &mut dyn StoreWriter,
        model: ModelId,
        batches: mpsc::Receiver<Result<Batch>>,
        each: &mut dyn FnMut(&Batch),
    ) -> Result<()> {
        let mut waiting = Vec::new();
        let mut committed = Instant::now();
        let mut failed = None;
        for batch in batches {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
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
        // Also those that were computed before one failed.
        db.put_vectors(model, &waiting)?;
        self.surroundings.vectors_stored(db, self.collection)?;
        failed.map_or(Ok(()), Err)
    }
}
