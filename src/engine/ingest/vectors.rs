//! The second phase of a run: a vector for every chunk that has none.
//!
//! What is missing is a question to the store, so an interrupted run goes on where it was, and a text that any
//! collection embedded before is never embedded again. What cannot be made, or is left to others, is no failure of the
//! phase: it says where it ended.

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
    /// Where it begins.
    pub(crate) after: ChunkId,
    pub(crate) documents: &'a dyn EmbedDocuments,
    pub(crate) surroundings: &'a dyn Surroundings,
    pub(crate) threads: usize,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a AtomicBool,
    /// Whether it should leave the rest to a later one; asked after each batch.
    pub(crate) leaves_off: &'a (dyn Fn() -> bool + Sync),
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
        let Fill {
            collection,
            progress,
            stop,
            ..
        } = *self;
        let counts = db.store().counts(collection, Some(model))?;
        let total = counts.chunks - counts.embedded;
        let mut filled = Filled::default();
        let mut after = self.after;
        loop {
            let page = db.store().pending_vectors(collection, model, after, PAGE)?;
            let Some(last) = page.last() else { break };
            let last = last.id;
            let end = self.fill_page(db, model, page, &mut |now| {
                filled.texts += now.vectors.len() as u64;
                filled.truncated += now.truncated;
                progress.report(&Event::Vectors {
                    done: filled.texts.min(total),
                    total,
                });
            })?;
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match end {
                PageEnd::Complete => after = last,
                PageEnd::LeftOff => {
                    filled.end = End::LeftOff(after);
                    break;
                }
                // It is not what makes the vectors that failed.
                PageEnd::Failed(Error::Interrupted) => return Err(Error::Interrupted),
                PageEnd::Failed(error) => {
                    filled.end = End::Failed(error);
                    break;
                }
            }
        }
        Ok(filled)
    }

    fn fill_page(
        &self,
        db: &mut dyn StoreWriter,
        model: ModelId,
        mut page: Vec<ChunkRow>,
        each: &mut dyn FnMut(&Batch),
    ) -> Result<PageEnd> {
        // Texts of like length in one batch: the workers finish together, and a batch fits the encoder's chunks.
        page.sort_by_key(|chunk| chunk.text.len());
        // No other batch is begun; those under way are paid for.
        let is_over = AtomicBool::new(false);
        let mut end = PageEnd::Complete;
        workers::spread(
            page.chunks(self.documents.texts_at_a_time().max(1)),
            self.threads.min(self.documents.threads_max()),
            self.stop,
            || {
                self.surroundings.begin_worker();
                Workspace::default()
            },
            |workspace, chunks| {
                if is_over.load(Ordering::Relaxed) {
                    return Batch::default();
                }
                let batch = self.embed(workspace, chunks);
                if batch.failed.is_some() {
                    is_over.store(true, Ordering::Relaxed);
                }
                batch
            },
            |batches| {
                end = self.store_all(db, model, batches, &is_over, each)?;
                Ok(())
            },
        )?;
        Ok(end)
    }

    fn embed(&self, workspace: &mut Workspace, chunks: &[ChunkRow]) -> Batch {
        let mut batch = Batch::default();
        batch.failed = self.embed_chunks(workspace, chunks, &mut batch).err();
        batch
    }

    fn embed_chunks(
        &self,
        workspace: &mut Workspace,
        chunks: &[ChunkRow],
        batch: &mut Batch,
    ) -> Result<()> {
        let fingerprint = self.documents.fingerprint();
        let mut texts = Vec::with_capacity(chunks.len());
        let mut words = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            if self.surroundings.is_refused(fingerprint, chunk.embed_hash) {
                continue;
            }
            let text = chunk_text(&chunk.record(), &chunk.text);
            if embed_hash(&text) == chunk.embed_hash {
                texts.push(chunk);
                words.push(text);
                continue;
            }
            // Its vector would be stored where nobody looks for it, and be made again and again.
            let why = Error::Internal("it waits for the vector of another text".to_owned());
            self.surroundings.refused(fingerprint, chunk, &why);
        }
        let (mut texts, mut words) = (&texts[..], &words[..]);
        while !texts.is_empty() {
            let fit = self.documents.fit(words).clamp(1, words.len());
            let (now, later) = texts.split_at(fit);
            self.embed_texts(workspace, now, &words[..fit], batch)?;
            (texts, words) = (later, &words[fit..]);
        }
        Ok(())
    }

    /// Embeds the texts of chunks. Where what makes the vectors works and makes none of these, they are halved until it is known which
    /// one is the reason: the others have done nothing wrong.
    fn embed_texts(
        &self,
        workspace: &mut Workspace,
        texts: &[&ChunkRow],
        words: &[String],
        batch: &mut Batch,
    ) -> Result<()> {
        let Some((chunk, others)) = texts.split_first() else {
            return Ok(());
        };
        let trials = if others.is_empty() { TRIALS } else { 1 };
        let mut why = None;
        for _ in 0..trials {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match self.documents.embed(workspace, words, self.stop) {
                Ok(EmbeddedTexts { numbers, truncated }) => {
                    let vectors = numbers.chunks_exact(self.documents.dimensions());
                    let hashes = texts.iter().map(|chunk| chunk.embed_hash);
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
            self.surroundings.refused(fingerprint, chunk, &why);
            return Ok(());
        }
        let half = texts.len() / 2;
        self.embed_texts(workspace, &texts[..half], &words[..half], batch)?;
        self.embed_texts(workspace, &texts[half..], &words[half..], batch)
    }

    fn store_all(
        &self,
        db: &mut dyn StoreWriter,
        model: ModelId,
        batches: mpsc::Receiver<Batch>,
        is_over: &AtomicBool,
        each: &mut dyn FnMut(&Batch),
    ) -> Result<PageEnd> {
        let mut waiting = Vec::new();
        let mut committed = Instant::now();
        let mut end = PageEnd::Complete;
        for mut batch in batches {
            if let Some(error) = batch.failed.take()
                && !matches!(end, PageEnd::Failed(_))
            {
                end = PageEnd::Failed(error);
            }
            each(&batch);
            waiting.extend(batch.vectors);
            if matches!(end, PageEnd::Complete) && (self.leaves_off)() {
                end = PageEnd::LeftOff;
                is_over.store(true, Ordering::Relaxed);
            }
            if committed.elapsed() >= COMMIT_EVERY {
                db.put_vectors(model, &waiting)?;
                self.surroundings.vectors_stored(db, self.collection)?;
                waiting.clear();
                committed = Instant::now();
            }
        }
        db.put_vectors(model, &waiting)?;
        self.surroundings.vectors_stored(db, self.collection)?;
        Ok(end)
    }
}

/// Where a page ended.
enum PageEnd {
    Complete,
    LeftOff,
    Failed(Error),
}
