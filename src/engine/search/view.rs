//! One collection in memory, as a search needs it.

use std::collections::HashMap;

use embedder_index::{Allowed, Collection as IndexCollection, VectorSet};

use super::filter::Filter;
use crate::engine::ingest::lexical::open_for_reading;
use crate::error::Result;
use crate::store::data_dir::DataDir;
use crate::store::{ChunkId, ChunkRow, Collection, Counts, Duplicate, FileId, Metadata, Store};

/// A collection at one generation.
pub(super) struct View {
    pub(super) index: IndexCollection,
    places: Option<Places>,
    pub(super) counts: Counts,
    /// Changes of the store that its text index does not hold yet.
    pub(super) behind: u64,
    generation: u64,
    has_vectors: bool,
}

/// What a filter asks beyond the places of the indexed chunks. Loaded when it is needed first: most searches have no
/// filter.
struct Places {
    /// Where else the text of an indexed chunk stands.
    duplicates: HashMap<ChunkId, Vec<Duplicate>>,
    /// Facts of files.
    metadata: HashMap<FileId, Metadata>,
}

impl View {
    /// Loads a collection, without its vectors.
    pub(super) fn open(
        store: &dyn Store,
        data_dir: &DataDir,
        collection: &Collection,
    ) -> Result<View> {
        let opened = open_for_reading(store, data_dir, collection.id)?;
        let mut index = IndexCollection::new(opened.index.reader()?, 0);
        store.canonical_chunks(collection.id, false, &mut |chunk| {
            index.put(&chunk.record());
        })?;
        index.refresh()?;
        let counts = Counts {
            chunks: index.len() as u64,
            embedded: 0,
            skipped: store.skipped_files(collection.id)?,
            files: 0,
        };
        Ok(View {
            index,
            places: None,
            counts,
            behind: opened.behind,
            generation: collection.generation,
            has_vectors: false,
        })
    }

    /// Adds the vectors, which were read beside; those of chunks that the view does not show are dropped.
    pub(super) fn set_vectors(&mut self, set: VectorSet) {
        self.index.set_vectors(set);
        self.counts.embedded = self.index.vectors_len() as u64;
        self.has_vectors = true;
    }

    /// Loads what a filter asks, unless it is loaded.
    pub(super) fn load_places(&mut self, store: &dyn Store, collection: &Collection) -> Result<()> {
        if self.places.is_some() {
            return Ok(());
        }
        let mut places = Places {
            duplicates: HashMap::new(),
            metadata: HashMap::new(),
        };
        for duplicate in store.duplicates(collection.id)? {
            places
                .duplicates
                .entry(duplicate.canonical)
                .or_default()
                .push(duplicate);
        }
        for file in store.metadata(collection.id)? {
            places.metadata.insert(file.file, file.facts);
        }
        self.places = Some(places);
        Ok(())
    }

    /// Whether the view shows the collection as it is.
    pub(super) fn is_of(&self, collection: &Collection) -> bool {
        self.generation == collection.generation
    }

    /// Whether vectors were added.
    pub(super) fn has_vectors(&self) -> bool {
        self.has_vectors
    }

    /// Returns the chunks that pass a filter at one of their places; none when every chunk passes.
    pub(super) fn allowed(&self, filter: &Filter) -> Option<Allowed> {
        if filter.is_open() {
            return None;
        }
        let mut allowed = self.index.allow(|file, path, language| {
            self.passes(filter, FileId(file.0 as i64), path, language)
        });
        for (canonical, copies) in self.places.iter().flat_map(|places| &places.duplicates) {
            if copies
                .iter()
                .any(|copy| self.passes(filter, copy.file, &copy.path, copy.language.as_deref()))
            {
                self.index.allow_chunk(&mut allowed, index_id(*canonical));
            }
        }
        Some(allowed)
    }

    /// Returns the place of an indexed chunk's text that passes a filter, where the chunk's own place does not.
    pub(super) fn other_place(&self, chunk: &ChunkRow, filter: &Filter) -> Option<ChunkId> {
        if self.passes(filter, chunk.file, &chunk.path, chunk.language.as_deref()) {
            return None;
        }
        let copies = self.places.as_ref()?.duplicates.get(&chunk.id)?;
        copies
            .iter()
            .find(|copy| self.passes(filter, copy.file, &copy.path, copy.language.as_deref()))
            .map(|copy| copy.chunk)
    }

    /// Returns the indexed chunk that stands for a chunk.
    pub(super) fn canonical(&self, chunk: ChunkId) -> ChunkId {
        let all = self.places.iter().flat_map(|places| &places.duplicates);
        let standing_for = |(canonical, copies): (&ChunkId, &Vec<Duplicate>)| {
            copies
                .iter()
                .any(|copy| copy.chunk == chunk)
                .then_some(*canonical)
        };
        all.into_iter().find_map(standing_for).unwrap_or(chunk)
    }

    fn passes(&self, filter: &Filter, file: FileId, path: &str, language: Option<&str>) -> bool {
        let facts = self
            .places
            .as_ref()
            .and_then(|places| places.metadata.get(&file));
        filter.allows(path, language, facts)
    }
}

/// The index knows chunks by the same number, which is never negative.
pub(super) fn index_id(id: ChunkId) -> embedder_index::ChunkId {
    embedder_index::ChunkId(id.0.unsigned_abs())
}

/// The way back.
pub(super) fn store_id(id: embedder_index::ChunkId) -> ChunkId {
    ChunkId(id.0 as i64)
}
