//! The vectors of some chunks, and which of their texts is the reason where there are none.

use std::sync::atomic::{AtomicBool, Ordering};

use embedder_index::embedded_text::chunk_text;
use embedder_inference::Workspace;

use super::Fill;
use crate::engine::ingest::embed_documents::EmbeddedTexts;
use crate::engine::ingest::prepare::embed_hash;
use crate::error::{Error, Result};
use crate::store::{ChunkRow, EmbedHash};

/// How often a text by itself is given to what makes vectors, before it is taken for the reason that there is none.
const TRIALS: u32 = 3;

/// Chunks whose vectors are made by several threads.
pub(super) struct Page<'a> {
    fill: &'a Fill<'a>,
    /// Whether a vector was made, or a text was refused.
    has_got_on: &'a AtomicBool,
    /// No other call is made; those under way are paid for.
    is_over: AtomicBool,
    are_all_remembered: AtomicBool,
}

/// What was made of some of its chunks: vectors, also where others of them failed, with how many texts were cut.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) vectors: Vec<(EmbedHash, Vec<f32>)>,
    pub(super) truncated: u64,
    pub(super) stopped: Option<Stopped>,
}

/// Why not all was done.
pub(super) enum Stopped {
    /// The rest is left to a later one.
    LeftOff,
    /// It failed.
    Failed(Error),
}

impl<'a> Page<'a> {
    pub(super) fn new(fill: &'a Fill<'a>, has_got_on: &'a AtomicBool) -> Page<'a> {
        Page {
            fill,
            has_got_on,
            is_over: AtomicBool::new(false),
            are_all_remembered: AtomicBool::new(true),
        }
    }

    /// Whether all texts that were refused are remembered.
    pub(super) fn are_all_remembered(&self) -> bool {
        self.are_all_remembered.load(Ordering::Relaxed)
    }

    /// Makes the vectors of some of its chunks. Where that fails or leaves off, nobody begins anything else.
    pub(super) fn embed(&self, workspace: &mut Workspace, chunks: &[ChunkRow]) -> Batch {
        let mut batch = Batch::default();
        batch.stopped = self.embed_chunks(workspace, chunks, &mut batch).err();
        if batch.stopped.is_some() {
            self.is_over.store(true, Ordering::Relaxed);
        }
        batch
    }

    fn embed_chunks(
        &self,
        workspace: &mut Workspace,
        chunks: &[ChunkRow],
        batch: &mut Batch,
    ) -> Result<(), Stopped> {
        let Fill {
            documents,
            surroundings,
            ..
        } = *self.fill;
        let mut asked = Vec::with_capacity(chunks.len());
        let mut texts = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            if surroundings.is_refused(documents.fingerprint(), chunk.embed_hash) {
                continue;
            }
            let text = chunk_text(&chunk.record(), &chunk.text);
            if embed_hash(&text) == chunk.embed_hash {
                asked.push(chunk);
                texts.push(text);
                continue;
            }
            // Its vector would be stored where nobody looks for it, and be made again and again.
            let why = Error::Internal("it waits for the vector of another text".to_owned());
            self.refuse(chunk, &why);
        }
        let (mut asked, mut texts) = (&asked[..], &texts[..]);
        while !texts.is_empty() {
            let fit = documents.fit(texts).clamp(1, texts.len());
            self.embed_texts(workspace, &asked[..fit], &texts[..fit], batch)?;
            (asked, texts) = (&asked[fit..], &texts[fit..]);
        }
        Ok(())
    }

    /// Embeds the texts of chunks. Where what makes vectors works and makes none of these, they are halved until it is known
    /// which one is the reason: the others have done nothing wrong.
    fn embed_texts(
        &self,
        workspace: &mut Workspace,
        chunks: &[&ChunkRow],
        texts: &[String],
        batch: &mut Batch,
    ) -> Result<(), Stopped> {
        let documents = self.fill.documents;
        let alone = match chunks {
            [chunk] => Some(chunk),
            _ => None,
        };
        let stops = || self.stops();
        let trials = if alone.is_some() { TRIALS } else { 1 };
        let mut why = None;
        for _ in 0..trials {
            if stops() {
                return Err(self.stopped());
            }
            match documents.embed(workspace, texts, &stops) {
                Ok(EmbeddedTexts { numbers, truncated }) => {
                    let vectors = numbers.chunks_exact(documents.dimensions());
                    let hashes = chunks.iter().map(|chunk| chunk.embed_hash);
                    batch
                        .vectors
                        .extend(hashes.zip(vectors.map(<[f32]>::to_vec)));
                    batch.truncated += truncated;
                    self.has_got_on.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Err(Error::Interrupted) => return Err(self.stopped()),
                Err(error @ Error::Busy { .. }) => {
                    if let Some(chunk) = alone {
                        // By itself it may be more than there is ever time for: the next time others are first.
                        self.refuse(chunk, &error);
                    }
                    return Err(Stopped::Failed(error));
                }
                Err(error) => why = Some(error),
            }
            match documents.check(workspace, &stops) {
                Ok(()) => {}
                Err(Error::Interrupted) => return Err(self.stopped()),
                Err(error) => return Err(Stopped::Failed(error)),
            }
        }
        if let (Some(chunk), Some(why)) = (alone, why) {
            self.refuse(chunk, &why);
            return Ok(());
        }
        let half = texts.len() / 2;
        self.embed_texts(workspace, &chunks[..half], &texts[..half], batch)?;
        self.embed_texts(workspace, &chunks[half..], &texts[half..], batch)
    }

    fn refuse(&self, chunk: &ChunkRow, why: &Error) {
        self.has_got_on.store(true, Ordering::Relaxed);
        let fingerprint = self.fill.documents.fingerprint();
        if !self.fill.surroundings.refused(fingerprint, chunk, why) {
            self.are_all_remembered.store(false, Ordering::Relaxed);
        }
    }

    fn stops(&self) -> bool {
        self.fill.stop.load(Ordering::Relaxed) || self.leaves_off()
    }

    fn leaves_off(&self) -> bool {
        let has_got_on = self.has_got_on.load(Ordering::Relaxed);
        if !self.is_over.load(Ordering::Relaxed) && (self.fill.leaves_off)(has_got_on) {
            // For everybody, and whatever is said later.
            self.is_over.store(true, Ordering::Relaxed);
        }
        self.is_over.load(Ordering::Relaxed)
    }

    /// Why something was interrupted: it was left off, or whatever it used ends.
    fn stopped(&self) -> Stopped {
        if !self.fill.stop.load(Ordering::Relaxed) && self.leaves_off() {
            Stopped::LeftOff
        } else {
            Stopped::Failed(Error::Interrupted)
        }
    }
}
