//! The second phase of a run: a vector for every chunk that has none.
//!
//! What is missing is a question to the store, so an interrupted run goes on where it was, and a text that any
//! collection embedded before is never embedded again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use embedder_index::embedded_text::chunk_text;
use embedder_inference::{InputKind, Workspace};

use super::prepare::embed_hash;
use super::progress::{Event, Progress};
use super::workers;
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};
use crate::store::{ChunkId, ChunkRow, CollectionId, EmbedHash, ModelId, StoreWriter};

/// Chunks taken from the store at a time.
const PAGE: usize = 2_048;

/// Texts that a worker takes at a time: long enough to amortise the hand-over, short enough that Ctrl-C is answered
/// within a fraction of a second.
const BATCH: usize = 16;

/// How long computed vectors wait for their transaction. After a kill this much work is repeated.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// What the phase did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Embedded {
    pub(super) texts: u64,
    pub(super) truncated: u64,
}

/// Vectors of one batch, with how many of its texts were cut.
struct Batch {
    vectors: Vec<(EmbedHash, Vec<f32>)>,
    truncated: u64,
}

/// Computes and stores the missing vectors of a collection.
///
/// # Errors
/// Those of the store; [`Error::Interrupted`] when `stop` was set, with what was computed until then stored.
pub(super) fn fill(
    db: &mut dyn StoreWriter,
    collection: CollectionId,
    model: ModelId,
    embedder: &Embedder,
    threads: usize,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Embedded> {
    let counts = db.counts(collection, Some(model))?;
    let total = counts.chunks - counts.embedded;
    let mut embedded = Embedded::default();
    let mut after = ChunkId(0);
    loop {
        let page = db.pending_vectors(collection, model, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        fill_page(db, model, embedder, threads, page, stop, &mut |now| {
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
    db: &mut dyn StoreWriter,
    model: ModelId,
    embedder: &Embedder,
    threads: usize,
    mut page: Vec<ChunkRow>,
    stop: &AtomicBool,
    each: &mut dyn FnMut(&Batch),
) -> Result<()> {
    // Texts of like length in one batch: the workers finish together, and a batch fits the encoder's chunks.
    page.sort_by_key(|chunk| chunk.text.len());
    workers::spread(
        page.chunks(BATCH),
        threads,
        stop,
        Workspace::default,
        |workspace, chunks| embed(embedder, workspace, chunks),
        |batches| store_all(db, model, batches, each),
    )
}

fn embed(embedder: &Embedder, workspace: &mut Workspace, chunks: &[ChunkRow]) -> Batch {
    let texts: Vec<String> = chunks
        .iter()
        .map(|chunk| chunk_text(&chunk.record(), &chunk.text))
        .collect();
    let tokens: Vec<_> = texts
        .iter()
        .map(|text| embedder.tokenize(text, InputKind::Document))
        .collect();
    let truncated = tokens.iter().filter(|tokens| tokens.truncated).count() as u64;
    let flat = embedder.encode(workspace, &tokens);
    let vectors = flat.chunks_exact(embedder.dimensions());
    let vectors = texts
        .iter()
        .zip(vectors)
        .map(|(text, vector)| (embed_hash(text), vector.to_vec()))
        .collect();
    Batch { vectors, truncated }
}

fn store_all(
    db: &mut dyn StoreWriter,
    model: ModelId,
    batches: mpsc::Receiver<Batch>,
    each: &mut dyn FnMut(&Batch),
) -> Result<()> {
    let mut waiting = Vec::new();
    let mut committed = Instant::now();
    for batch in batches {
        each(&batch);
        waiting.extend(batch.vectors);
        if committed.elapsed() >= COMMIT_EVERY {
            db.put_vectors(model, &waiting)?;
            waiting.clear();
            committed = Instant::now();
        }
    }
    db.put_vectors(model, &waiting)?;
    Ok(())
}
