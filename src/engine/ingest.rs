//! From a folder on disk, or a commit of a repository, to a collection that answers questions.
//!
//! [`index`] walks the folder, compares it with what the store knows, cuts the changed files into chunks on all
//! threads, writes them to the store in batches and lets the lexical index follow the store's log. Text search works
//! from the first batch on; vectors are computed after that, in the background of whoever searches meanwhile.
//!
//! Every step is a transaction that leaves a consistent state, so the run can end at any moment (Ctrl-C, `kill -9`,
//! a full disk): what was done is kept and the next run does the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::git::FETCHED;
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{
    ChunkId, Collection, CollectionId, Source, SourceId, SourceKind, Store, StoreWriter,
};

mod commit;
mod difference;
pub(crate) mod embed_documents;
mod files;
mod front_matter;
mod ignored;
pub mod lexical;
mod names;
mod objects;
mod plan;
mod prepare;
pub mod progress;
mod repository;
mod source;
mod surroundings;
mod text;
pub(crate) mod vectors;
pub mod walk;
mod workers;

use commit::CommitFiles;
pub use difference::kind_of_reason;
use embed_documents::EmbedDocuments;
use files::{FolderFiles, SourceFiles};
pub use plan::{BYTES_PER_CHUNK, Plan, plan};
pub use prepare::PIPELINE_VERSION;
pub(crate) use prepare::{Text, limits_of};
use progress::{Event, Progress};
pub use repository::{Repositories, Repository};
pub use source::{
    check_collection_name, checked_root, claim_repository, claim_source, find_source,
    name_of_repository,
};
use surroundings::Alone;
pub use surroundings::Surroundings;
use text::TextPhase;
use vectors::{End, Fill};
pub(crate) use walk::{concerns, indexed_folders};

/// What feeds a collection.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A branch of a repository elsewhere.
    Repository(Repository),
}

/// What to index, and as what.
#[derive(Debug, Clone)]
pub struct IndexRequest {
    /// The folder or repository.
    pub origin: Origin,
    /// The collection; by default the one that holds this folder already, else the folder's name.
    pub collection: Option<String>,
    /// Folders below it, relative to it, that alone are indexed; all of it where there are none. What an earlier run
    /// indexed elsewhere is taken out.
    pub within: Vec<String>,
    /// Whether vectors are computed.
    pub with_vectors: bool,
}

/// What a run did.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IndexReport {
    /// The collection's name.
    pub collection: String,
    /// Files found, without those that ignore files exclude.
    pub files: u64,
    /// Files read and cut anew.
    pub changed: u64,
    /// Files that are gone.
    pub removed: u64,
    /// Files that are not indexed, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Chunks in the collection after the run.
    pub chunks: u64,
    /// Chunks with a vector after the run.
    pub embedded: u64,
    /// Texts embedded by this run.
    pub embedded_now: u64,
    /// Chunks whose embedded text was longer than the model reads and was cut.
    pub truncated: u64,
    /// Whether there was no model, so that only text search works.
    pub text_only: bool,
    /// Milliseconds until text search answered.
    pub text_ready_ms: u64,
    /// Milliseconds in all.
    pub took_ms: u64,
}

/// Indexes a folder.
///
/// `load_model` runs beside the text phase; when it returns `None` the collection works as text search.
///
/// # Errors
/// A root that is missing, a file, or unreadable; a locked data directory; a damaged store; a full disk;
/// [`Error::Interrupted`] when `stop` was set.
pub fn index<'a>(
    config: &Config,
    request: &IndexRequest,
    load_model: impl FnOnce() -> Option<Arc<Embedder>> + Send + 'a,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<IndexReport> {
    let started = Instant::now();
    let root = match &request.origin {
        Origin::Folder(root) => Some(checked_root(root)?),
        Origin::Repository(_) => None,
    };
    let data_dir = DataDir::new(&config.data_dir);
    let _lock = data_dir.lock()?;
    let mut db = ContentDb::open(data_dir.path())?;
    let repositories = Repositories::new(config, Clock::start(), 0);
    let alone = Alone::new(&data_dir, Box::new(load_model));
    let asked = request.collection.as_deref();
    let known = Known::before(&db)?;
    let claimed = match (&request.origin, &root) {
        // Whoever is at the command line is the operator.
        (Origin::Repository(repository), _) => claim_repository(&mut db, repository, asked, true),
        (Origin::Folder(root), None) | (Origin::Folder(_), Some(root)) => {
            claim_source(&mut db, root, asked)
        }
    };
    let result = claimed.and_then(|(collection, source)| {
        let fetched = match fetch(&repositories, &source, progress, stop) {
            Err(error) if error.code() != ErrorCode::Interrupted => {
                if let Err(left) = known.give_back(&mut db, &data_dir, &collection, &source) {
                    tracing::warn!("What was made for it stays: {left}");
                }
                return Err(error);
            }
            fetched => fetched?,
        };
        let run = Run {
            config,
            collection: &collection,
            source: &source,
            fetched: fetched.as_deref(),
            within: &request.within,
            retries_skipped: true,
            // The model of this machine is not whose vectors such a collection has; the server adds them.
            with_vectors: request.with_vectors && !collection.is_remote,
            surroundings: &alone,
            progress,
            stop,
            started,
        };
        run.index(&mut db)
    });
    // After a failure of the disk or the store itself, the next writer checks the whole structure first.
    let is_suspect = result.as_ref().is_err_and(|error| {
        matches!(
            error.code(),
            ErrorCode::StoreDamaged | ErrorCode::Io | ErrorCode::DiskFull | ErrorCode::Internal
        )
    });
    if !is_suspect {
        db.close()?;
    }
    result
}

/// The collections there were before a run, with their sources.
struct Known(BTreeMap<CollectionId, Vec<SourceId>>);

impl Known {
    fn before(store: &dyn Store) -> Result<Known> {
        let mut known = BTreeMap::new();
        for collection in store.collections()? {
            let sources = store.sources(collection.id)?;
            let ids = sources.into_iter().map(|source| source.id).collect();
            known.insert(collection.id, ids);
        }
        Ok(Known(known))
    }

    /// Takes back what the run has made for a source that nothing came from: it would only be in the way.
    fn give_back(
        &self,
        db: &mut dyn StoreWriter,
        data_dir: &DataDir,
        collection: &Collection,
        source: &Source,
    ) -> Result<()> {
        let known = self.0.get(&collection.id);
        if known.is_some_and(|sources| sources.contains(&source.id)) {
            return Ok(());
        }
        db.delete_source(source)?;
        data_dir.forget_source(source.id)?;
        if known.is_none() {
            db.delete_collection(collection.id)?;
        }
        Ok(())
    }
}

/// Brings our copy of a source's repository up to date, and returns its folder; none for a source that has a folder of its own.
///
/// # Errors
/// As [`Repositories::fetch`].
pub fn fetch(
    repositories: &Repositories,
    source: &Source,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<PathBuf>> {
    if source.kind != SourceKind::Git {
        return Ok(None);
    }
    let repository = Repository::parse(&source.root)?;
    let told = |bytes| progress.report(&Event::Fetching { bytes });
    told(0);
    repositories
        .fetch(&repository, source, stop, &told)
        .map(Some)
}

/// A run over one source, and what its phases share.
pub struct Run<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The collection that the source feeds.
    pub collection: &'a Collection,
    /// The source: a folder or a repository.
    pub source: &'a Source,
    /// Our copy of it, brought up to date, where it is a repository.
    pub fetched: Option<&'a Path>,
    /// Folders below its root that alone are indexed; all of it where there are none.
    pub within: &'a [String],
    /// Whether files that were skipped for their content are read again although they are the same.
    pub retries_skipped: bool,
    /// Whether vectors are computed.
    pub with_vectors: bool,
    /// What the run uses beside the store.
    pub surroundings: &'a dyn Surroundings,
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
    /// Ends the run when set.
    pub stop: &'a AtomicBool,
    /// When it began.
    pub started: Instant,
}

impl Run<'_> {
    /// Brings store and indexes up to date with the folder.
    ///
    /// # Errors
    /// An unreadable root; those of the store, the index and the disk; [`Error::Interrupted`] when `stop` was set.
    pub fn index(&self, db: &mut dyn StoreWriter) -> Result<IndexReport> {
        let mut report = IndexReport {
            collection: self.collection.name.clone(),
            ..IndexReport::default()
        };
        let documents = thread::scope(|scope| {
            let loading = self
                .with_vectors
                .then(|| scope.spawn(|| self.surroundings.documents()));
            let done = self.index_text(db, &mut report);
            let documents = loading
                .map(thread::ScopedJoinHandle::join)
                .transpose()
                .map_err(|_| Error::Internal("loading the model panicked".to_owned()))?;
            done.map(|()| documents.flatten())
        })?;
        report.text_ready_ms = millis(self.started.elapsed());
        self.progress.report(&Event::TextReady {
            elapsed: self.started.elapsed(),
            vectors_follow: documents.is_some(),
        });
        if let Some(documents) = &documents {
            self.index_vectors(db, &**documents, &mut report)?;
        }
        let documents = documents.map(|documents| documents.fingerprint().to_owned());
        let fingerprint = documents.or_else(|| self.surroundings.fingerprint());
        report.text_only = self.with_vectors && fingerprint.is_none();
        let model = fingerprint.map(|fingerprint| db.store().model(&fingerprint));
        let model = model.transpose()?.flatten();
        let counts = db.store().counts(self.collection.id, model)?;
        report.chunks = counts.chunks;
        report.embedded = counts.embedded;
        report.took_ms = millis(self.started.elapsed());
        Ok(report)
    }

    fn index_text(&self, db: &mut dyn StoreWriter, report: &mut IndexReport) -> Result<()> {
        let files = self.files()?;
        let text = TextPhase {
            config: self.config,
            surroundings: self.surroundings,
            files: &*files,
            source: self.source,
            retries_skipped: self.retries_skipped,
            progress: self.progress,
            stop: self.stop,
        };
        text.run(db, report)
    }

    /// Returns where the files come from.
    fn files(&self) -> Result<Box<dyn SourceFiles + '_>> {
        let limit = self.config.file_bytes_max;
        match (self.source.folder(), self.fetched) {
            (Some(root), _) => Ok(Box::new(FolderFiles {
                root,
                within: self.within,
                file_bytes_max: limit,
                data_dir: &self.config.data_dir,
            })),
            (None, Some(copy)) => {
                let files = CommitFiles::open(copy, FETCHED, self.within, limit)?;
                Ok(Box::new(files))
            }
            (None, None) => Err(Error::Internal("a source that was not fetched".to_owned())),
        }
    }

    fn index_vectors(
        &self,
        db: &mut dyn StoreWriter,
        documents: &dyn EmbedDocuments,
        report: &mut IndexReport,
    ) -> Result<()> {
        let fill = Fill {
            collection: self.collection.id,
            after: ChunkId(0),
            documents,
            surroundings: self.surroundings,
            threads: self.config.threads,
            progress: self.progress,
            stop: self.stop,
            leaves_off: &|_| self.surroundings.leaves_off(),
        };
        let filled = fill.run(db)?;
        report.embedded_now = filled.texts;
        report.truncated = filled.truncated;
        let name = &self.collection.name;
        match filled.end {
            End::Complete => {}
            // What is indexed is found by its words, and the rest follows.
            End::LeftOff(_) => {
                tracing::info!(collection = %name, "Vectors are still pending: others wait for a turn");
            }
            End::Failed(error) if self.surroundings.fills_in_later() && is_of_embedder(&error) => {
                tracing::warn!(collection = %name, "Vectors are still pending: {error}");
            }
            End::Failed(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether what makes vectors has failed so that it may work later.
fn is_of_embedder(error: &Error) -> bool {
    matches!(error, Error::Busy { .. })
        || matches!(
            error.code(),
            ErrorCode::DependencyUnavailable | ErrorCode::BadUpstream | ErrorCode::Timeout
        )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
