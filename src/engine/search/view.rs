//! One collection in memory, as a search needs it.

use std::collections::HashMap;
use std::sync::OnceLock;

use embedder_index::{
    Allowed, ChunkRecord, Collection as IndexCollection, LexicalIndex, ParsedQuery, Refreshed,
    Request, VectorSet,
};

use super::filter::Filter;
use crate::engine::ingest::lexical::{ReadIndex, open_for_reading};
use crate::error::Result;
use crate::store::data_dir::DataDir;
use crate::store::{
    ChunkId, ChunkRow, Collection, CollectionId, Counts, Duplicate, FileId, Metadata, Store,
};

/// A collection at one generation.
pub(crate) struct View {
    pub(crate) index: IndexCollection,
    /// Set once, by the first search that needs it.
    places: OnceLock<Places>,
    pub(crate) counts: Counts,
    /// Changes of the store that its text index does not hold yet.
    pub(crate) behind: u64,
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

impl Places {
    /// Reads them.
    fn load(store: &dyn Store, collection: CollectionId) -> Result<Places> {
        let mut places = Places {
            duplicates: HashMap::new(),
            metadata: HashMap::new(),
        };
        for duplicate in store.duplicates(collection)? {
            places
                .duplicates
                .entry(duplicate.canonical)
                .or_default()
                .push(duplicate);
        }
        for file in store.metadata(collection)? {
            places.metadata.insert(file.file, file.facts);
        }
        Ok(places)
    }
}

/// What the store says of a collection beside its chunks.
pub(crate) struct Standing {
    /// How often what is indexed has changed.
    pub(crate) generation: u64,
    /// Files that are there but not indexed.
    pub(crate) skipped: u64,
}

impl View {
    /// Loads a collection, without its vectors.
    pub(crate) fn open(
        store: &dyn Store,
        data_dir: &DataDir,
        collection: &Collection,
    ) -> Result<View> {
        let ReadIndex { index, behind } = open_for_reading(store, data_dir, collection.id)?;
        View::with_index(store, collection, &index, behind)
    }

    /// Loads a collection whose text index is open.
    pub(crate) fn with_index(
        store: &dyn Store,
        collection: &Collection,
        opened: &LexicalIndex,
        behind: u64,
    ) -> Result<View> {
        let mut index = IndexCollection::new(opened.reader()?, 0);
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
            places: OnceLock::new(),
            counts,
            behind,
            generation: collection.generation,
            has_vectors: false,
        })
    }

    /// Adds chunks that came into the collection; their words are found after the next [`View::install`].
    pub(crate) fn put(&mut self, records: &[ChunkRecord]) {
        for record in records {
            self.index.put(record);
        }
        self.counts.chunks = self.index.len() as u64;
    }

    /// Reads the newest commit of the text index, beside searches that go on.
    ///
    /// # Errors
    /// Where its files cannot be read.
    pub(crate) fn refreshed(&self) -> Result<Refreshed> {
        Ok(self.index.refreshed()?)
    }

    /// Turns to a newer state of the collection: its words, and without the chunks that went.
    pub(crate) fn install(&mut self, refreshed: Refreshed, gone: &[ChunkId], now: &Standing) {
        self.index.install(refreshed);
        for &chunk in gone {
            self.index.delete(index_id(chunk));
        }
        self.counts.chunks = self.index.len() as u64;
        self.counts.embedded = self.index.vectors_len() as u64;
        self.counts.skipped = now.skipped;
        self.generation = now.generation;
        self.behind = 0;
        self.places = OnceLock::new();
    }

    /// Adds vectors of chunks; those of chunks that are not there are dropped, and so are those that cannot be used.
    pub(crate) fn put_vectors(&mut self, vectors: &[(ChunkId, Vec<f32>)]) {
        for (chunk, vector) in vectors {
            if let Err(error) = self.index.put_vector(index_id(*chunk), vector) {
                tracing::warn!(chunk = chunk.0, "A stored vector is left out: {error}");
            }
        }
        self.counts.embedded = self.index.vectors_len() as u64;
    }

    /// Adds the vectors, which were read beside; those of chunks that the view does not show are dropped.
    pub(crate) fn set_vectors(&mut self, set: VectorSet) {
        self.index.set_vectors(set);
        self.counts.embedded = self.index.vectors_len() as u64;
        self.has_vectors = true;
    }

    /// Loads what a filter asks, unless it is loaded.
    pub(crate) fn load_places(&self, store: &dyn Store, collection: CollectionId) -> Result<()> {
        if self.places.get().is_none() {
            let places = Places::load(store, collection)?;
            // Where two searches came first together, both have read the same.
            let _ = self.places.set(places);
        }
        Ok(())
    }

    /// How often what is indexed had changed when the view was loaded, or followed the store last.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the view shows the collection as it is.
    pub(crate) fn is_of(&self, collection: &Collection) -> bool {
        self.generation == collection.generation
    }

    /// Whether a search by words works.
    pub(crate) fn can_search_words(&self) -> bool {
        let query = ParsedQuery::parse("word");
        let search = || self.index.search(&Request::new(&query)).is_ok();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(search)).unwrap_or(false)
    }

    /// Whether vectors were added.
    pub(crate) fn has_vectors(&self) -> bool {
        self.has_vectors
    }

    /// Returns the chunks that pass a filter at one of their places; none when every chunk passes.
    pub(crate) fn allowed(&self, filter: &Filter) -> Option<Allowed> {
        if filter.is_open() {
            return None;
        }
        let mut allowed = self.index.allow(|file, path, language| {
            self.passes(filter, FileId(file.0 as i64), path, language)
        });
        for (canonical, copies) in self
            .places
            .get()
            .into_iter()
            .flat_map(|places| &places.duplicates)
        {
            if copies
                .iter()
                .any(|copy| self.passes(filter, copy.file, &copy.path, copy.language.as_deref()))
            {
                self.index.allow_chunk(&mut allowed, index_id(*canonical));
            }
        }
        Some(allowed)
    }

    /// Returns the file and the first line of an indexed chunk.
    pub(crate) fn place(&self, chunk: ChunkId) -> Option<(FileId, u32)> {
        let (file, line) = self.index.place(index_id(chunk))?;
        Some((FileId(file.0 as i64), line))
    }

    /// Returns the place of an indexed chunk's text that passes a filter, where the chunk's own place does not.
    pub(crate) fn other_place(&self, chunk: &ChunkRow, filter: &Filter) -> Option<ChunkId> {
        if self.passes(filter, chunk.file, &chunk.path, chunk.language.as_deref()) {
            return None;
        }
        let copies = self.places.get()?.duplicates.get(&chunk.id)?;
        copies
            .iter()
            .find(|copy| self.passes(filter, copy.file, &copy.path, copy.language.as_deref()))
            .map(|copy| copy.chunk)
    }

    /// Returns the indexed chunk that stands for a chunk.
    pub(crate) fn canonical(&self, chunk: ChunkId) -> ChunkId {
        let all = self
            .places
            .get()
            .into_iter()
            .flat_map(|places| &places.duplicates);
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
            .get()
            .and_then(|places| places.metadata.get(&file));
        filter.allows(path, language, facts)
    }
}

/// The index knows chunks by the same number, which is never negative.
pub(crate) fn index_id(id: ChunkId) -> embedder_index::ChunkId {
    embedder_index::ChunkId(id.0.unsigned_abs())
}

/// The way back.
pub(crate) fn store_id(id: embedder_index::ChunkId) -> ChunkId {
    ChunkId(id.0 as i64)
}
