//! What a run uses beside the store. It is the same run in a process of its own and inside a server; what differs is who
//! owns the text index, the model and the threads.

use std::sync::{Arc, Mutex, PoisonError};

use embedder_inference::{Tokens, Workspace};

use super::embed_documents::{EmbedDocuments, LocalDocuments, Stops};
use super::lexical::{LexicalFollower, TextIndex};
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;
use crate::store::{ChunkRow, CollectionId, EmbedHash, StoreWriter};

/// What a run uses beside the store.
pub trait Surroundings: Sync {
    /// Opens the text index of a collection.
    ///
    /// # Errors
    /// Those of the index and the disk.
    fn text_index<'a>(
        &'a self,
        db: &mut dyn StoreWriter,
        collection: CollectionId,
    ) -> Result<Box<dyn TextIndex + 'a>>;

    /// Returns what makes vectors of documents, loaded if need be; none where there is none, or it is left alone for now.
    fn documents(&self) -> Option<Box<dyn EmbedDocuments + '_>>;

    /// Returns whose vectors the collection has, also while no more can be made; none where there is nothing to make them.
    fn fingerprint(&self) -> Option<String>;

    /// Whether vectors that could not be made now are made later, without another run.
    fn fills_in_later(&self) -> bool;

    /// Called when vectors of a collection were stored.
    ///
    /// # Errors
    /// Those of the store.
    fn vectors_stored(&self, db: &mut dyn StoreWriter, collection: CollectionId) -> Result<()>;

    /// Called by each thread of the run when it begins.
    fn begin_worker(&self);

    /// Whether what makes vectors of this fingerprint made none of a text lately, and should not be asked again.
    fn is_refused(&self, fingerprint: &str, text: EmbedHash) -> bool;

    /// Called when what makes vectors of this fingerprint works, and makes none of a text. Its chunk stays without a vector
    /// for now. Returns whether it is remembered.
    fn refused(&self, fingerprint: &str, chunk: &ChunkRow, why: &Error) -> bool;

    /// Whether the vectors that are missing should be left to others now.
    fn leaves_off(&self) -> bool;
}

/// Loads a model, once.
type LoadModel<'a> = Box<dyn FnOnce() -> Option<Arc<Embedder>> + Send + 'a>;

/// A run in a process of its own.
pub(super) struct Alone<'a> {
    data_dir: &'a DataDir,
    load_model: Mutex<Option<LoadModel<'a>>>,
}

impl<'a> Alone<'a> {
    pub(super) fn new(data_dir: &'a DataDir, load_model: LoadModel<'a>) -> Alone<'a> {
        Alone {
            data_dir,
            load_model: Mutex::new(Some(load_model)),
        }
    }
}

impl Surroundings for Alone<'_> {
    fn text_index<'a>(
        &'a self,
        db: &mut dyn StoreWriter,
        collection: CollectionId,
    ) -> Result<Box<dyn TextIndex + 'a>> {
        let follower = LexicalFollower::open(db.store(), self.data_dir, collection)?;
        Ok(Box::new(follower))
    }

    fn documents(&self) -> Option<Box<dyn EmbedDocuments + '_>> {
        let mut load = self
            .load_model
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let embedder = load.take().and_then(|load| load())?;
        let encode = |embedder: &Embedder,
                      workspace: &mut Workspace,
                      texts: Vec<Tokens>,
                      _: Stops<'_>| { Ok(embedder.encode(workspace, &texts)) };
        Some(Box::new(LocalDocuments::new(embedder, Box::new(encode))))
    }

    fn fingerprint(&self) -> Option<String> {
        None
    }

    fn fills_in_later(&self) -> bool {
        false
    }

    fn vectors_stored(&self, _: &mut dyn StoreWriter, _: CollectionId) -> Result<()> {
        Ok(())
    }

    fn begin_worker(&self) {}

    fn is_refused(&self, _: &str, _: EmbedHash) -> bool {
        false
    }

    fn refused(&self, _: &str, chunk: &ChunkRow, why: &Error) -> bool {
        tracing::warn!(path = %chunk.path, line = chunk.start_line, "A chunk stays without a vector: {why}");
        true
    }

    fn leaves_off(&self) -> bool {
        false
    }
}
