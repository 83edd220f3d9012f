//! The vectors that a view shows.

use embedder_index::VectorSet;

use super::{LiveCollection, PUT_PAGE};
use crate::engine::search::read_vectors;
use crate::error::Result;
use crate::store::{ChunkId, Collection, CollectionKind, Store};

/// Whose vectors a collection has, and how long they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VectorsOf {
    /// The model's fingerprint.
    pub(crate) fingerprint: String,
    /// Numbers in a vector.
    pub(crate) dimensions: usize,
}

/// Vectors of a collection, read apart from its view.
pub(crate) struct ReadVectors {
    of: VectorsOf,
    seq: u64,
    last: i64,
    set: VectorSet,
}

impl LiveCollection {
    /// Reads the vectors beside whoever loads the view.
    pub(crate) fn read(&self, store: &dyn Store, model: &VectorsOf) -> Result<ReadVectors> {
        let vectors = self
            .vectors_of(Some(model))
            .unwrap_or_else(|| model.clone());
        Ok(ReadVectors {
            seq: store.last_seq()?,
            last: store.last_vector()?,
            set: self.read_vectors(store, &vectors)?,
            of: vectors,
        })
    }

    /// Adds vectors that were read beside; what was stored since is added by the next [`LiveCollection::sync_vectors`].
    pub(crate) fn attach(&self, read: ReadVectors) {
        let Ok(mut follow) = self.following() else {
            return;
        };
        if follow.seen > read.seq {
            // Chunks came in between that these vectors lack; they are all read anew.
            return;
        }
        self.change_view(move |view| view.set_vectors(read.set));
        follow.vectors = Some(read.of);
        follow.seen_vector = read.last;
        self.has_changed();
    }

    /// Brings vectors that were stored meanwhile into the view, of the model that is now the server's.
    pub(crate) fn sync_vectors(&self, store: &dyn Store, model: Option<&VectorsOf>) -> Result<()> {
        let mut follow = self.following()?;
        if self.read_view().is_none() {
            return Ok(());
        }
        let Some(vectors) = self.vectors_of(model) else {
            return Ok(());
        };
        let last = store.last_vector()?;
        if follow.vectors.as_ref() != Some(&vectors) {
            let set = self.read_vectors(store, &vectors)?;
            self.change_view(move |view| view.set_vectors(set));
            follow.vectors = Some(vectors);
            self.has_changed();
        } else if let Some(model) = store.model(&vectors.fingerprint)?
            && last > follow.seen_vector
        {
            let mut found = Vec::new();
            let after = follow.seen_vector;
            store.vectors_after(self.collection.id, model, after, &mut |_, chunk, vector| {
                found.push((chunk, vector.to_vec()));
            })?;
            if !found.is_empty() {
                self.put_vectors(found);
                self.has_changed();
            }
        }
        follow.seen_vector = last;
        Ok(())
    }

    /// Reads all vectors of the view anew from the store.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn reread_vectors(
        &self,
        store: &dyn Store,
        model: Option<&VectorsOf>,
    ) -> Result<()> {
        if let Ok(mut follow) = self.following() {
            follow.vectors = None;
        }
        self.sync_vectors(store, model)
    }

    pub(super) fn vectors_of(&self, model: Option<&VectorsOf>) -> Option<VectorsOf> {
        match self.collection.kind {
            CollectionKind::Code | CollectionKind::Documents => model.cloned(),
            CollectionKind::Vectors => Some(client_vectors(&self.collection)),
        }
    }

    pub(super) fn read_vectors(&self, store: &dyn Store, vectors: &VectorsOf) -> Result<VectorSet> {
        let model = store.model(&vectors.fingerprint)?;
        read_vectors(store, self.collection.id, model, vectors.dimensions)
    }

    pub(super) fn put_vectors(&self, mut vectors: Vec<(ChunkId, Vec<f32>)>) {
        while !vectors.is_empty() {
            let rest = vectors.split_off(vectors.len().min(PUT_PAGE));
            let page = std::mem::replace(&mut vectors, rest);
            self.change_view(move |view| view.put_vectors(&page));
        }
    }
}

/// Returns under which name the vectors of a collection of vectors are kept.
pub(crate) fn client_vectors(collection: &Collection) -> VectorsOf {
    VectorsOf {
        fingerprint: format!("collection:{}", collection.id.0),
        dimensions: collection.dimensions.unwrap_or_default() as usize,
    }
}
