//! The content database as the threads of a server share it: one writes, each of the others reads by a connection of
//! its own and hands what it wants written to the writer.

use std::path::Path;
use std::sync::Arc;

use super::content::ContentDb;
use super::writer_thread::WriterThread;
use crate::store::{
    Collection, CollectionId, CollectionKind, EmbedHash, FileChange, JobRow, ModelId, Source,
    SourceId, SourceKind, Store, StoreResult, StoreWriter,
};

/// One thread's access to the content database.
pub struct SharedContent {
    writer: Arc<WriterThread<ContentDb>>,
    reader: ContentDb,
}

impl WriterThread<ContentDb> {
    /// Opens the database of a data directory, whose lock the caller holds, and starts its writer.
    ///
    /// # Errors
    /// As [`ContentDb::open`].
    pub fn open(data_dir: &Path) -> StoreResult<WriterThread<ContentDb>> {
        ContentDb::open(data_dir).map(WriterThread::start)
    }

    /// As [`WriterThread::open`], where each caller writes by itself.
    ///
    /// # Errors
    /// As [`ContentDb::open`].
    #[cfg(test)]
    pub fn open_without_thread(data_dir: &Path) -> StoreResult<WriterThread<ContentDb>> {
        ContentDb::open(data_dir).map(WriterThread::without_thread)
    }
}

impl SharedContent {
    /// Opens a connection beside the writer.
    ///
    /// # Errors
    /// As [`ContentDb::open_read_only`].
    pub fn connect(
        writer: &Arc<WriterThread<ContentDb>>,
        data_dir: &Path,
    ) -> StoreResult<SharedContent> {
        Ok(SharedContent {
            writer: Arc::clone(writer),
            reader: ContentDb::open_read_only(data_dir)?,
        })
    }
}

// What is handed over is copied: copying is little beside writing, and the callers keep what they have.
impl StoreWriter for SharedContent {
    fn store(&self) -> &dyn Store {
        &self.reader
    }

    fn create_collection(
        &mut self,
        name: &str,
        kind: CollectionKind,
        dimensions: Option<u32>,
    ) -> StoreResult<(Collection, bool)> {
        let name = name.to_owned();
        self.writer
            .call(move |db| db.create_collection(&name, kind, dimensions))
    }

    fn set_remote(&mut self, collection: CollectionId, is_remote: bool) -> StoreResult<()> {
        self.writer
            .call(move |db| db.set_remote(collection, is_remote))
    }

    fn put_source(
        &mut self,
        collection: CollectionId,
        kind: SourceKind,
        root: &str,
        pipeline: u32,
    ) -> StoreResult<Source> {
        let root = root.to_owned();
        self.writer
            .call(move |db| db.put_source(collection, kind, &root, pipeline))
    }

    fn delete_source(&mut self, source: &Source) -> StoreResult<()> {
        let source = source.clone();
        self.writer.call(move |db| db.delete_source(&source))
    }

    fn set_updated(
        &mut self,
        source: SourceId,
        pipeline: u32,
        now_ms: u64,
        commit: Option<&str>,
    ) -> StoreResult<()> {
        let commit = commit.map(str::to_owned);
        self.writer
            .call(move |db| db.set_updated(source, pipeline, now_ms, commit.as_deref()))
    }

    fn set_watched(&mut self, source: SourceId, is_watched: bool) -> StoreResult<()> {
        self.writer
            .call(move |db| db.set_watched(source, is_watched))
    }

    fn let_sign_in(&mut self, source: SourceId) -> StoreResult<()> {
        self.writer.call(move |db| db.let_sign_in(source))
    }

    fn apply(&mut self, source: &Source, changes: &[FileChange]) -> StoreResult<()> {
        let (source, changes) = (source.clone(), changes.to_vec());
        self.writer.call(move |db| db.apply(&source, &changes))
    }

    fn apply_with_vectors(
        &mut self,
        source: &Source,
        changes: &[FileChange],
        model: ModelId,
        vectors: &[(EmbedHash, Vec<f32>)],
    ) -> StoreResult<()> {
        let (source, changes, vectors) = (source.clone(), changes.to_vec(), vectors.to_vec());
        self.writer
            .call(move |db| db.apply_with_vectors(&source, &changes, model, &vectors))
    }

    fn put_model(
        &mut self,
        fingerprint: &str,
        name: &str,
        dimensions: usize,
    ) -> StoreResult<ModelId> {
        let (fingerprint, name) = (fingerprint.to_owned(), name.to_owned());
        self.writer
            .call(move |db| db.put_model(&fingerprint, &name, dimensions))
    }

    fn put_vectors(
        &mut self,
        model: ModelId,
        vectors: &[(EmbedHash, Vec<f32>)],
    ) -> StoreResult<()> {
        let vectors = vectors.to_vec();
        self.writer.call(move |db| db.put_vectors(model, &vectors))
    }

    fn trim_ops(&mut self, collection: CollectionId, seq: u64) -> StoreResult<()> {
        self.writer.call(move |db| db.trim_ops(collection, seq))
    }

    fn delete_collection(&mut self, collection: CollectionId) -> StoreResult<()> {
        self.writer.call(move |db| db.delete_collection(collection))
    }

    fn collect_vectors(&mut self, spare: u64) -> StoreResult<u64> {
        self.writer.call(move |db| db.collect_vectors(spare))
    }

    fn put_job(&mut self, job: &JobRow) -> StoreResult<()> {
        let job = job.clone();
        self.writer.call(move |db| db.put_job(&job))
    }
}
