//! How a view follows the log of the store.

use std::collections::HashMap;

use embedder_index::ChunkRecord;

use super::{Follow, LiveCollection, PUT_PAGE};
use crate::engine::search::Standing;
use crate::error::Result;
use crate::store::{ChunkId, ModelId, OpKind, Store};

/// Rows of the log that a view follows at a time.
const OPS_PAGE: usize = 2_000;

impl LiveCollection {
    /// Brings the view to the commit of the text index that holds the log up to `applied`.
    pub(super) fn follow_log(
        &self,
        follow: &mut Follow,
        store: &dyn Store,
        applied: u64,
    ) -> Result<()> {
        if self.read_view().is_none() {
            follow.seen = applied;
            self.has_changed();
            return Ok(());
        }
        let mut last_words: HashMap<ChunkId, OpKind> = HashMap::new();
        let mut after = follow.seen;
        while after < applied {
            let mut ops = store.ops_after(self.collection.id, after, OPS_PAGE)?;
            // What others have written meanwhile has no words in this commit, and comes with the next.
            ops.retain(|op| op.seq <= applied);
            let Some(last) = ops.last() else { break };
            after = last.seq;
            last_words.extend(ops.iter().map(|op| (op.chunk, op.kind)));
        }
        let (mut puts, mut gone) = (Vec::new(), Vec::new());
        for (chunk, kind) in last_words {
            match kind {
                OpKind::Put => puts.push(chunk),
                OpKind::Delete => gone.push(chunk),
            }
        }
        puts.sort_unstable();
        let model = match &follow.vectors {
            Some(vectors) => store.model(&vectors.fingerprint)?,
            None => None,
        };
        for page in puts.chunks(PUT_PAGE) {
            self.put_chunks(store, page, model)?;
        }
        let standing = Standing {
            generation: self.current(store)?.generation,
            skipped: store.skipped_files(self.collection.id)?,
        };
        // Only the thread that holds `follow` changes the view, so it is the same in between.
        let refreshed = match self.read_view().as_ref() {
            Some(view) => view.refreshed()?,
            None => return Ok(()),
        };
        self.change_view(move |view| view.install(refreshed, &gone, &standing));
        follow.seen = applied;
        self.has_changed();
        Ok(())
    }

    fn put_chunks(
        &self,
        store: &dyn Store,
        chunks: &[ChunkId],
        model: Option<ModelId>,
    ) -> Result<()> {
        let records: Vec<ChunkRecord> = store
            .chunks(chunks)?
            .iter()
            .map(crate::store::ChunkRow::record)
            .collect();
        let mut vectors = Vec::new();
        if let Some(model) = model {
            store.vectors_of(chunks, model, &mut |chunk, vector| {
                vectors.push((chunk, vector.to_vec()));
            })?;
        }
        self.change_view(move |view| view.put(&records));
        self.put_vectors(vectors);
        Ok(())
    }
}
