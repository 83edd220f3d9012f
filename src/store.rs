//! The source of truth: collections, their sources, files, chunks and vectors, and the log of what changed.
//!
//! Everything that answers questions (the lexical index, the vectors in memory) is derived from here and can be
//! thrown away; what is acknowledged here is on disk. [`Store`] is what readers need and [`StoreWriter`] what the one
//! writer needs beside it, so that another database can stand behind the same engine.
//!
//! Invariants that every implementation keeps:
//! - one [`StoreWriter::apply`] is one transaction: a file's old chunks go and its new ones come together;
//! - of the chunks of a collection with the same [`NewChunk::duplicate_key`] exactly one is *canonical*: that of the
//!   shallowest, then shortest, then alphabetically first path. Only canonical chunks are indexed;
//! - each change of the canonical set writes an [`Op`] in the same transaction, with a growing sequence number.

use std::collections::BTreeMap;

use embedder_index::{ChunkRecord, Definition};

pub mod data_dir;
mod error;
mod job;
pub mod sqlite;

pub use error::{StoreError, StoreResult};
pub use job::{JobRow, JobState};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);)+
    };
}

ids! {
    /// Identifies a collection.
    CollectionId,
    /// Identifies a source of a collection.
    SourceId,
    /// Identifies a file of a source.
    FileId,
    /// Identifies a chunk of a file; never used twice.
    ChunkId,
    /// Identifies a model by its fingerprint.
    ModelId,
}

/// The identity of the text that is embedded: BLAKE3 of it.
pub type EmbedHash = [u8; 32];

/// The identity of a chunk's text with its white space folded: the first half of its BLAKE3.
pub type DuplicateKey = [u8; 16];

/// What a collection holds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CollectionKind {
    /// Source code and what stands beside it, from folders.
    Code,
    /// Documents that clients hand over.
    Documents,
    /// Documents whose vectors clients hand over as well.
    Vectors,
}

impl CollectionKind {
    /// Returns the name under which it is stored.
    pub fn name(self) -> &'static str {
        match self {
            CollectionKind::Code => "code",
            CollectionKind::Documents => "documents",
            CollectionKind::Vectors => "vectors",
        }
    }

    /// Returns the kind of this name.
    pub fn from_name(name: &str) -> Option<CollectionKind> {
        [Self::Code, Self::Documents, Self::Vectors]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A named set of sources that is searched as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Its id.
    pub id: CollectionId,
    /// Its unique name.
    pub name: String,
    /// What it holds.
    pub kind: CollectionKind,
    /// The length of its vectors, where clients hand them over.
    pub dimensions: Option<u32>,
    /// Whether its texts may be sent to a remote embedding provider, whose vectors it then has.
    pub is_remote: bool,
    /// Grows by one with each transaction that changes what is indexed.
    pub generation: u64,
}

/// Where the files of a source come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A folder of this machine.
    Folder,
    /// A branch of a git repository elsewhere.
    Git,
    /// Clients hand them over, one by one.
    Documents,
}

/// What feeds a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// The collection it feeds.
    pub collection: CollectionId,
    /// Where its files come from.
    pub kind: SourceKind,
    /// The absolute path of the folder; the address of the repository with its branch; empty for documents.
    pub root: String,
    /// The version of the chunking and analysis that its chunks were made with.
    pub pipeline: u32,
    /// When it was brought up to date last, in milliseconds since the epoch.
    pub updated_ms: Option<u64>,
    /// Whether what changes in it is brought in as it happens.
    pub is_watched: bool,
    /// The commit that is indexed, of a repository.
    pub commit: Option<String>,
    /// Whether it may be fetched with what the operator has to sign in with, because somebody asked for it who may decide that.
    pub may_sign_in: bool,
}

impl Source {
    /// Returns the folder that it reads, if it reads one.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match self.kind {
            SourceKind::Folder => Some(std::path::Path::new(&self.root)),
            SourceKind::Git | SourceKind::Documents => None,
        }
    }

    /// Whether its files are brought in by runs, and not by clients.
    pub fn is_indexed(&self) -> bool {
        self.kind != SourceKind::Documents
    }
}

/// Files of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Those that are indexed.
    pub files: u64,
    /// Those that are not, by the kind of reason: what stands before the colon.
    pub skipped: BTreeMap<String, u64>,
}

/// Scalar facts about a file that a search can filter by.
pub type Metadata = BTreeMap<String, String>;

/// The facts of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// The file.
    pub file: FileId,
    /// Its path, relative to the root of its source.
    pub path: String,
    /// The facts.
    pub facts: Metadata,
}

/// What the store knows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its id.
    pub id: FileId,
    /// Relative to the root of its source, separated by `/`.
    pub path: String,
    /// Size when it was last read.
    pub bytes: u64,
    /// Time of its last change when it was read, in nanoseconds since the epoch.
    pub changed_ns: i64,
    /// BLAKE3 of the content; absent for skipped files, which may never have been read.
    pub hash: Option<[u8; 32]>,
    /// Why the file is not indexed; absent for indexed files.
    pub skipped: Option<String>,
}

/// A chunk to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChunk {
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// The text; invalid UTF-8 has been replaced.
    pub text: String,
    /// What is defined here.
    pub symbols: Vec<Definition>,
    /// Names of the definitions around the chunk, outermost first.
    pub scope: Vec<String>,
    /// Chunks with the same key are indexed once; short chunks have none and are always indexed.
    pub duplicate_key: Option<DuplicateKey>,
    /// The identity of what is embedded for the chunk.
    pub embed_hash: EmbedHash,
}

/// A file to be stored with all its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Relative to the root of its source, separated by `/`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of its last change in nanoseconds since the epoch.
    pub changed_ns: i64,
    /// BLAKE3 of the content.
    pub hash: [u8; 32],
    /// The language's name, where one was recognised.
    pub language: Option<&'static str>,
    /// Facts to filter by.
    pub metadata: Metadata,
    /// Its chunks in order.
    pub chunks: Vec<NewChunk>,
}

/// One change to a source, as [`StoreWriter::apply`] takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// The file is new or its content changed.
    Put(NewFile),
    /// Only its time changed.
    Touch {
        /// The file.
        id: FileId,
        /// Its new time of change.
        changed_ns: i64,
    },
    /// The file is there but is not indexed.
    Skip {
        /// Relative path.
        path: String,
        /// Size in bytes.
        bytes: u64,
        /// Time of its last change in nanoseconds since the epoch.
        changed_ns: i64,
        /// Why, in words for the user.
        reason: String,
    },
    /// The file is gone.
    Remove {
        /// The file.
        id: FileId,
    },
}

/// What happened to the set of indexed chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// The chunk is to be indexed.
    Put,
    /// The chunk is to be taken out.
    Delete,
}

/// One row of the log that derived indexes follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    /// Its number; grows, with gaps.
    pub seq: u64,
    /// The chunk.
    pub chunk: ChunkId,
    /// What happened to it.
    pub kind: OpKind,
}

/// A chunk as the store returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRow {
    /// Its id.
    pub id: ChunkId,
    /// The file it belongs to.
    pub file: FileId,
    /// The file's source.
    pub source: SourceId,
    /// The file's path, relative to its source's root.
    pub path: String,
    /// The file's language.
    pub language: Option<String>,
    /// Position within the file, from 0.
    pub ordinal: u32,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// The text; empty when it was not asked for.
    pub text: String,
    /// What is defined here.
    pub symbols: Vec<Definition>,
    /// Names of the definitions around the chunk, outermost first.
    pub scope: Vec<String>,
    /// The identity of what is embedded for the chunk.
    pub embed_hash: EmbedHash,
}

impl ChunkRow {
    /// Returns what the index keeps of the chunk.
    pub fn record(&self) -> ChunkRecord {
        ChunkRecord {
            id: embedder_index::ChunkId(self.id.0.unsigned_abs()),
            file: embedder_index::FileId(self.file.0.unsigned_abs()),
            path: self.path.clone(),
            language: self.language.clone(),
            start_line: self.start_line,
            end_line: self.end_line,
            definitions: self.symbols.clone(),
            scope: self.scope.clone(),
        }
    }
}

/// Where else the text of a canonical chunk stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The indexed chunk.
    pub canonical: ChunkId,
    /// The chunk with the same text.
    pub chunk: ChunkId,
    /// Its file.
    pub file: FileId,
    /// Path of its file.
    pub path: String,
    /// Language of its file.
    pub language: Option<String>,
    /// Its first line, from 1.
    pub start_line: u32,
    /// Its last line.
    pub end_line: u32,
}

/// How much of a collection there is.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
pub struct Counts {
    /// Indexed files.
    pub files: u64,
    /// Files that are there but not indexed.
    pub skipped: u64,
    /// Chunks, without duplicates.
    pub chunks: u64,
    /// Of these, how many have a vector by the model asked about.
    pub embedded: u64,
}

impl Counts {
    /// Returns the share of chunks that have a vector, 1 when there is nothing to embed.
    pub fn embedded_fraction(&self) -> f64 {
        if self.chunks == 0 {
            1.0
        } else {
            self.embedded as f64 / self.chunks as f64
        }
    }
}

/// What readers ask.
pub trait Store {
    /// Returns all collections by name.
    fn collections(&self) -> StoreResult<Vec<Collection>>;

    /// Returns the sources of a collection, oldest first.
    fn sources(&self, collection: CollectionId) -> StoreResult<Vec<Source>>;

    /// Returns all files of a source, skipped ones included, by path.
    fn files(&self, source: SourceId) -> StoreResult<Vec<FileRow>>;

    /// Returns how many files of a source are indexed, and how many are not, by the kind of reason.
    fn source_counts(&self, source: SourceId) -> StoreResult<SourceCounts>;

    /// Returns files of a source that are not indexed, with the reason of each, by path, after one, at most `limit`.
    fn skipped_of(
        &self,
        source: SourceId,
        after: &str,
        limit: usize,
    ) -> StoreResult<Vec<(String, String)>>;

    /// Returns one file of a source.
    fn file(&self, source: SourceId, path: &str) -> StoreResult<Option<FileRow>>;

    /// Returns the facts of one file.
    fn facts(&self, file: FileId) -> StoreResult<Metadata>;

    /// Returns the indexed file of this path, of the collection's oldest source that has one, with its language.
    fn file_at(
        &self,
        collection: CollectionId,
        path: &str,
    ) -> StoreResult<Option<(FileRow, Option<String>)>>;

    /// Returns the facts of all indexed files of a collection that have any.
    fn metadata(&self, collection: CollectionId) -> StoreResult<Vec<FileFacts>>;

    /// Counts the files of a collection that are indexed.
    fn indexed_files(&self, collection: CollectionId) -> StoreResult<u64>;

    /// Counts the files of a collection that are there but not indexed.
    fn skipped_files(&self, collection: CollectionId) -> StoreResult<u64>;

    /// Counts a collection; `model` is the model whose vectors count.
    fn counts(&self, collection: CollectionId, model: Option<ModelId>) -> StoreResult<Counts>;

    /// Hands every canonical chunk of a collection to `each`, by id, with or without its text.
    fn canonical_chunks(
        &self,
        collection: CollectionId,
        with_text: bool,
        each: &mut dyn FnMut(ChunkRow),
    ) -> StoreResult<()>;

    /// Returns the chunks that are not indexed because a canonical one has the same text.
    fn duplicates(&self, collection: CollectionId) -> StoreResult<Vec<Duplicate>>;

    /// Returns the chunks with these ids that are there, with text, in no particular order.
    fn chunks(&self, ids: &[ChunkId]) -> StoreResult<Vec<ChunkRow>>;

    /// Returns a file's chunks with ordinals in the range given, in order, with text.
    fn file_chunks(&self, file: FileId, from: u32, to: u32) -> StoreResult<Vec<ChunkRow>>;

    /// Returns the chunk of a file that covers a line, or the last one before it, with text.
    fn chunk_near(&self, file: FileId, line: u32) -> StoreResult<Option<ChunkRow>>;

    /// Hands all chunks of a collection, duplicates included, source by source and file by file in order of path,
    /// to `each`, until it returns false.
    fn texts(
        &self,
        collection: CollectionId,
        each: &mut dyn FnMut(ChunkRow) -> bool,
    ) -> StoreResult<()>;

    /// Returns the chunk of a file that covers a line; of several the last.
    fn chunk_at(&self, source: SourceId, path: &str, line: u32) -> StoreResult<Option<ChunkRow>>;

    /// Returns the id under which a model's vectors are kept, if there are any.
    fn model(&self, fingerprint: &str) -> StoreResult<Option<ModelId>>;

    /// Hands the vectors of a collection's canonical chunks to `each`.
    fn vectors(
        &self,
        collection: CollectionId,
        model: ModelId,
        each: &mut dyn FnMut(ChunkId, &[f32]),
    ) -> StoreResult<()>;

    /// Hands the vectors that were stored after the one numbered `after` to `each`, once for every canonical chunk of the
    /// collection that has it, with the number of the vector; numbers grow.
    fn vectors_after(
        &self,
        collection: CollectionId,
        model: ModelId,
        after: i64,
        each: &mut dyn FnMut(i64, ChunkId, &[f32]),
    ) -> StoreResult<()>;

    /// Hands the vectors of these chunks to `each`, where there are any.
    fn vectors_of(
        &self,
        chunks: &[ChunkId],
        model: ModelId,
        each: &mut dyn FnMut(ChunkId, &[f32]),
    ) -> StoreResult<()>;

    /// Returns the number of the vector that was stored last, 0 where there is none.
    fn last_vector(&self) -> StoreResult<i64>;

    /// Returns canonical chunks without a vector, by id, above `after`, at most `limit`, one for each distinct text.
    fn pending_vectors(
        &self,
        collection: CollectionId,
        model: ModelId,
        after: ChunkId,
        limit: usize,
    ) -> StoreResult<Vec<ChunkRow>>;

    /// Returns the log of a collection above `after`, at most `limit` rows.
    fn ops_after(&self, collection: CollectionId, after: u64, limit: usize)
    -> StoreResult<Vec<Op>>;

    /// Returns the number of the last row ever written to the log, trimmed ones included.
    fn last_seq(&self) -> StoreResult<u64>;

    /// Returns the number of the last row that was trimmed from a collection's log: an index that has applied less
    /// cannot catch up and must be rebuilt.
    fn trimmed_seq(&self, collection: CollectionId) -> StoreResult<u64>;

    /// Returns the newest jobs, newest first, at most `limit`.
    fn jobs(&self, limit: usize) -> StoreResult<Vec<JobRow>>;

    /// Returns one job.
    fn job(&self, id: &str) -> StoreResult<Option<JobRow>>;

    /// Returns the jobs that have not ended, oldest first.
    fn open_jobs(&self) -> StoreResult<Vec<JobRow>>;
}

/// What the one writer does. What it reads, it reads through [`StoreWriter::store`], which shows what it wrote.
pub trait StoreWriter {
    /// Returns the store as readers see it.
    fn store(&self) -> &dyn Store;

    /// Returns the collection of this name, made if it is not there.
    fn put_collection(&mut self, name: &str, kind: CollectionKind) -> StoreResult<Collection> {
        self.create_collection(name, kind, None)
            .map(|(collection, _)| collection)
    }

    /// Returns the collection of this name and whether it was made by this call. One that was there stays as it was, of
    /// whatever kind.
    fn create_collection(
        &mut self,
        name: &str,
        kind: CollectionKind,
        dimensions: Option<u32>,
    ) -> StoreResult<(Collection, bool)>;

    /// Says whether a collection's texts may be sent to a remote embedding provider.
    fn set_remote(&mut self, collection: CollectionId, is_remote: bool) -> StoreResult<()>;

    /// Returns the source of this kind and root, made if it is not there, as one whose chunks are all of version
    /// `pipeline`.
    fn put_source(
        &mut self,
        collection: CollectionId,
        kind: SourceKind,
        root: &str,
        pipeline: u32,
    ) -> StoreResult<Source>;

    /// Takes a source out with all its files.
    fn delete_source(&mut self, source: &Source) -> StoreResult<()>;

    /// Records that a source was brought up to date at this time, in milliseconds since the epoch, and that all of its
    /// chunks are of this version.
    fn set_updated(
        &mut self,
        source: SourceId,
        pipeline: u32,
        now_ms: u64,
        commit: Option<&str>,
    ) -> StoreResult<()>;

    /// Records whether a source's folder is watched.
    fn set_watched(&mut self, source: SourceId, is_watched: bool) -> StoreResult<()>;

    /// Allows a repository to be fetched with what the operator has to sign in with.
    fn let_sign_in(&mut self, source: SourceId) -> StoreResult<()>;

    /// Applies changes to a source in one transaction.
    fn apply(&mut self, source: &Source, changes: &[FileChange]) -> StoreResult<()>;

    /// Applies changes to a source together with vectors of their chunks.
    fn apply_with_vectors(
        &mut self,
        source: &Source,
        changes: &[FileChange],
        model: ModelId,
        vectors: &[(EmbedHash, Vec<f32>)],
    ) -> StoreResult<()>;

    /// Returns the id for a model's vectors, made if it is not there.
    fn put_model(
        &mut self,
        fingerprint: &str,
        name: &str,
        dimensions: usize,
    ) -> StoreResult<ModelId>;

    /// Stores vectors in one transaction; a vector that is there already stays.
    fn put_vectors(&mut self, model: ModelId, vectors: &[(EmbedHash, Vec<f32>)])
    -> StoreResult<()>;

    /// Forgets the log of a collection up to and with `seq`.
    fn trim_ops(&mut self, collection: CollectionId, seq: u64) -> StoreResult<()>;

    /// Deletes a collection with everything in it but vectors.
    fn delete_collection(&mut self, collection: CollectionId) -> StoreResult<()>;

    /// Deletes vectors that no chunk refers to, all but the `spare` newest of them; returns how many. The newest vector of all
    /// stays, so that numbers of vectors grow.
    fn collect_vectors(&mut self, spare: u64) -> StoreResult<u64>;

    /// Writes a job down as it is now, and forgets jobs that ended long ago.
    fn put_job(&mut self, job: &JobRow) -> StoreResult<()>;
}
