//! One collection in memory, ready to be searched.

use std::ops::Range;

use crate::{
    allowed::Allowed,
    catalogue::Catalogue,
    chunk::{ChunkId, ChunkRecord, FileId},
    error::Error,
    lexical::{LexicalReader, Postings},
    search::{self, Hit, Request},
    vectors::{QueryVector, VectorSet, Vectors},
};

/// The chunks of a collection: what is known of them, their words, their vectors.
///
/// Chunks come from the store by [`put`](Self::put) and [`delete`](Self::delete), their vectors by
/// [`put_vector`](Self::put_vector) whenever they are ready, and their words from commits of the lexical index by
/// [`refresh`](Self::refresh). The three may run ahead of each other: a chunk that has no vector, or whose words are not
/// committed, is found by what it has, and one that is deleted is never found again.
pub struct Collection {
    catalogue: Catalogue,
    vectors: Vectors,
    reader: LexicalReader,
    postings: Postings,
}

/// The newest commit of the lexical index, seen from a collection.
pub struct Refreshed {
    reader: LexicalReader,
    postings: Postings,
}

impl Collection {
    /// A collection without chunks, whose vectors have `dimensions` numbers.
    pub fn new(reader: LexicalReader, dimensions: usize) -> Self {
        Self {
            catalogue: Catalogue::default(),
            vectors: Vectors::new(dimensions),
            reader,
            postings: Postings::default(),
        }
    }

    /// Adds a chunk, or replaces the one with the same id; its vector then goes, because it was another text's.
    pub fn put(&mut self, record: &ChunkRecord) {
        let slot = self.catalogue.put(record);
        self.vectors.delete(slot);
    }

    /// Removes a chunk, if it is there.
    pub fn delete(&mut self, id: ChunkId) {
        if let Some(slot) = self.catalogue.delete(id) {
            self.vectors.delete(slot);
        }
    }

    /// Sets the vector of a chunk. A vector of a chunk that is not there any more is dropped.
    ///
    /// # Errors
    /// [`Error::Dimensions`] and [`Error::NotFinite`] where it is no vector of this collection.
    pub fn put_vector(&mut self, id: ChunkId, vector: &[f32]) -> Result<(), Error> {
        match self.catalogue.slot(id) {
            Some(slot) => self.vectors.put(slot, vector),
            None => self.vectors.check_dimensions(vector.len()),
        }
    }

    /// Replaces all vectors by prepared ones, whose dimensions count from now on. Those of chunks that are not there
    /// are dropped.
    pub fn set_vectors(&mut self, set: VectorSet) {
        self.vectors = Vectors::of(set, &self.catalogue);
    }

    /// Turns to the newest commit of the lexical index, and counts its statistics anew. Call it after chunks were loaded
    /// and after each commit.
    ///
    /// # Errors
    /// Where its files cannot be read; the collection stays as it was.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let refreshed = self.refreshed()?;
        self.install(refreshed);
        Ok(())
    }

    /// The first half of [`refresh`](Self::refresh), which takes as long as reading the commit: searches go on beside it.
    /// What it returns is to be [installed](Self::install) before the collection is changed again.
    ///
    /// # Errors
    /// Where the files of the lexical index cannot be read.
    pub fn refreshed(&self) -> Result<Refreshed, Error> {
        let reader = self.reader.reloaded()?;
        let postings = Postings::new(&reader, &self.catalogue);
        Ok(Refreshed { reader, postings })
    }

    /// The second half of [`refresh`](Self::refresh), which takes no time.
    pub fn install(&mut self, refreshed: Refreshed) {
        self.reader = refreshed.reader;
        self.postings = refreshed.postings;
        self.catalogue.settle();
    }

    /// The best chunks for a query, best first.
    ///
    /// # Errors
    /// Where the lexical index cannot be read, or the query's vector has other dimensions.
    pub fn search(&self, request: &Request<'_>) -> Result<Vec<Hit>, Error> {
        let mut cosines = Vec::new();
        if let Some(query) = request.scanned_vector() {
            self.check_query(query)?;
            cosines.resize(self.vectors.len(), 0.0);
            self.vectors
                .scan(query, 0..cosines.len(), request.allowed, &mut cosines);
        }
        self.search_scanned(request, cosines)
    }

    /// As [`search`](Self::search), with cosines that were scanned before, by [`scan`](Self::scan) over all of
    /// `0..self.vectors_len()`, perhaps on several threads. They are not looked at where the mode needs no vectors.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    ///
    /// # Panics
    /// If there are not as many cosines as vectors.
    pub fn search_scanned(
        &self,
        request: &Request<'_>,
        cosines: Vec<f32>,
    ) -> Result<Vec<Hit>, Error> {
        if let Some(query) = request.scanned_vector() {
            self.check_query(query)?;
            assert_eq!(cosines.len(), self.vectors.len(), "one cosine a vector");
        }
        search::search(
            &self.catalogue,
            &self.postings,
            &self.vectors,
            request,
            cosines,
        )
    }

    /// Approximate cosines of a part of the vectors, for [`search_scanned`](Self::search_scanned).
    ///
    /// # Errors
    /// Where the query's vector has other dimensions.
    ///
    /// # Panics
    /// If `cosines` is not as long as the range, or the range reaches beyond the vectors.
    pub fn scan(
        &self,
        query: &QueryVector,
        part: Range<usize>,
        allowed: Option<&Allowed>,
        cosines: &mut [f32],
    ) -> Result<(), Error> {
        self.check_query(query)?;
        self.vectors.scan(query, part, allowed, cosines);
        Ok(())
    }

    /// The `count` chunks nearest to a vector with their exact cosines, nearest first. No rule has a say in it.
    ///
    /// # Errors
    /// Where the query's vector has other dimensions.
    pub fn nearest(
        &self,
        query: &QueryVector,
        count: usize,
        allowed: Option<&Allowed>,
    ) -> Result<Vec<(ChunkId, f32)>, Error> {
        self.check_query(query)?;
        let nearest = self.vectors.nearest(query, count, allowed, &self.catalogue);
        Ok(nearest
            .into_iter()
            .filter_map(|(slot, cosine)| Some((self.catalogue.chunk(slot)?.id, cosine)))
            .collect())
    }

    /// The chunks of the files that `filter` lets through, by file, path and language.
    pub fn allow(&self, mut filter: impl FnMut(FileId, &str, Option<&str>) -> bool) -> Allowed {
        let mut allowed = Allowed::none(self.catalogue.slots_len());
        for (_, file) in self.catalogue.files().iter() {
            if filter(file.id(), file.path(), file.language()) {
                file.chunks().iter().for_each(|&slot| allowed.insert(slot));
            }
        }
        allowed
    }

    /// Adds a chunk to a set of allowed ones, if it is there: one whose text stands also in a file that a filter lets
    /// through.
    pub fn allow_chunk(&self, allowed: &mut Allowed, id: ChunkId) {
        if let Some(slot) = self.catalogue.slot(id) {
            allowed.insert(slot);
        }
    }

    /// The vector of a chunk, of length one.
    pub fn vector(&self, id: ChunkId) -> Option<&[f32]> {
        self.vectors.get(self.catalogue.slot(id)?)
    }

    /// How many chunks there are.
    pub fn len(&self) -> usize {
        self.catalogue.len()
    }

    /// Whether there are no chunks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a chunk stands: its file and its first line.
    pub fn place(&self, id: ChunkId) -> Option<(FileId, u32)> {
        let chunk = self.catalogue.chunk(self.catalogue.slot(id)?)?;
        let file = self.catalogue.files().get(chunk.file);
        Some((file.id(), chunk.start_line))
    }

    /// How many chunks have a vector.
    pub fn vectors_len(&self) -> usize {
        self.vectors.len()
    }

    fn check_query(&self, query: &QueryVector) -> Result<(), Error> {
        self.vectors.check_dimensions(query.dimensions())
    }
}

#[cfg(test)]
mod tests;
