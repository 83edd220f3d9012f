//! Collections and sources of a running server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Service;
use super::jobs::JobView;
use super::live::{LiveCollection, client_vectors};
use crate::engine::ingest::{
    Origin, Repository, check_collection_name, checked_root, claim_repository, claim_source,
};
use crate::engine::remove::Removed;
use crate::error::{Error, ErrorCode, Result};
use crate::store::{
    Collection, CollectionKind, Counts, JobState, Source, SourceKind, Store, StoreWriter,
};

/// Longest vector that clients may hand over: more than any embedding model gives.
pub const DIMENSIONS_MAX: u32 = 8_192;

/// Collections of one server. Each may hold files open and memory.
pub const COLLECTIONS_MAX: usize = 1_000;

/// A collection as clients see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CollectionView {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: CollectionKind,
    /// The length of its vectors, where clients hand them over.
    pub dimensions: Option<u32>,
    /// How often what is indexed has changed.
    pub generation: u64,
    /// How much there is.
    pub counts: Counts,
    /// The share of chunks that have a vector; none where there is no model.
    pub embedded_fraction: Option<f64>,
    /// Whether its texts may be sent to an embedding provider elsewhere.
    pub remote_provider: bool,
    /// How fresh what is indexed is.
    pub freshness: Freshness,
}

/// How fresh what is indexed is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Freshness {
    /// When all of its folders were brought up to date, in milliseconds since the epoch; none where there is no folder, or
    /// one that has not been indexed to its end yet.
    pub updated_ms: Option<u64>,
    /// Whether changes of all its folders are brought in as they happen.
    pub watched: bool,
    /// Why that is not so of a folder that should be watched.
    #[serde(default)]
    pub watch_problem: Option<String>,
    /// The commit that is indexed, where the collection is made of one repository.
    #[serde(default)]
    pub indexed_commit: Option<String>,
    /// Whether a job is bringing it up to date now, or is waiting to.
    pub indexing: bool,
}

impl Freshness {
    /// What the store knows of it, from a collection's sources.
    pub(crate) fn stored(sources: &[Source]) -> Freshness {
        let indexed: Vec<_> = sources
            .iter()
            .filter(|source| source.is_indexed())
            .collect();
        Freshness {
            // The oldest; none is older than any.
            updated_ms: indexed
                .iter()
                .map(|source| source.updated_ms)
                .min()
                .flatten(),
            indexed_commit: match indexed[..] {
                [source] => source.commit.clone(),
                _ => None,
            },
            ..Freshness::default()
        }
    }
}

/// A source to be added.
#[derive(Debug, Clone)]
pub struct NewSource {
    /// The folder or repository.
    pub origin: Origin,
    /// Folders below it that alone are indexed, this time.
    pub within: Vec<String>,
    /// Whether vectors are made.
    pub with_vectors: bool,
    /// Whether what changes in it is brought in as it happens, from here on; none leaves that as it is.
    pub watch: Option<bool>,
    /// Whether a repository may be fetched with what the operator has to sign in with.
    pub may_sign_in: bool,
}

/// A source as clients see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// Its id.
    pub id: String,
    /// `folder` or `git`.
    pub kind: String,
    /// The folder, where it has one.
    pub path: Option<String>,
    /// The address of the repository, where it is one.
    #[serde(default)]
    pub url: Option<String>,
    /// The branch or tag that was asked for, of a repository.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
    /// The commit that is indexed, of a repository.
    #[serde(default)]
    pub commit: Option<String>,
    /// Files that are indexed.
    pub files: u64,
    /// Files that are there but not indexed, by the kind of reason.
    pub skipped: std::collections::BTreeMap<String, u64>,
    /// When it was brought up to date last, in milliseconds since the epoch.
    pub updated_ms: Option<u64>,
    /// Whether what changes in it is brought in as it happens.
    pub watched: bool,
}

/// A file that is not indexed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FailedFile {
    /// Relative to its source's root.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl Service {
    /// Returns a collection by its name.
    ///
    /// # Errors
    /// [`Error::CollectionMissing`], which names no others: the caller may not be allowed to know them.
    pub(crate) fn live(&self, name: &str) -> Result<Arc<LiveCollection>> {
        self.library().get(name).cloned().ok_or_else(|| gone(name))
    }

    /// Returns the names of all collections, in order.
    pub fn collection_names(&self) -> Vec<String> {
        self.library().keys().cloned().collect()
    }

    /// Makes a collection unless it is there; says whether it was made.
    ///
    /// # Errors
    /// A name or dimensions that cannot be; a collection of that name that is different; too many collections.
    pub fn create_collection(
        &self,
        name: &str,
        kind: CollectionKind,
        dimensions: Option<u32>,
    ) -> Result<bool> {
        self.create_collection_as(name, kind, dimensions, false)
    }

    fn create_collection_as(
        &self,
        name: &str,
        kind: CollectionKind,
        dimensions: Option<u32>,
        is_remote: bool,
    ) -> Result<bool> {
        check_collection_name(name)?;
        match (kind, dimensions) {
            (CollectionKind::Vectors, Some(1..=DIMENSIONS_MAX))
            | (CollectionKind::Code | CollectionKind::Documents, None) => {}
            (CollectionKind::Vectors, _) => {
                return Err(Error::Argument {
                    problem: "a collection of vectors needs their length".to_owned(),
                    remedy: format!("send `dimensions`, 1 to {DIMENSIONS_MAX}"),
                });
            }
            (CollectionKind::Code | CollectionKind::Documents, Some(_)) => {
                return Err(Error::Argument {
                    problem: "the model decides the dimensions of this kind".to_owned(),
                    remedy: "leave `dimensions` away".to_owned(),
                });
            }
        }
        // A collection that is being deleted is gone when this is had, and never seen half.
        let _structure = self.structure();
        let (known, count) = {
            let library = self.library();
            (
                library.get(name).map(|live| live.collection().clone()),
                library.len(),
            )
        };
        let (collection, is_new) = match known {
            Some(collection) => (collection, false),
            None if count >= COLLECTIONS_MAX => {
                return Err(Error::Reported {
                    code: ErrorCode::Conflict,
                    message: format!("there are {COLLECTIONS_MAX} collections already"),
                    remedy: Some("delete some, or put more into each".to_owned()),
                });
            }
            None => {
                let mut db = self.connections.take()?;
                let (mut collection, _) = db.create_collection(name, kind, dimensions)?;
                if is_remote {
                    db.set_remote(collection.id, true)?;
                    collection.is_remote = true;
                }
                if kind == CollectionKind::Vectors {
                    let of = client_vectors(&collection);
                    db.put_model(&of.fingerprint, name, of.dimensions)?;
                }
                let live = LiveCollection::new(collection.clone(), Arc::clone(&self.changes));
                self.library_mut().insert(name.to_owned(), Arc::new(live));
                (collection, true)
            }
        };
        if collection.is_remote != is_remote {
            return Err(Error::Reported {
                code: ErrorCode::Conflict,
                message: format!("the collection `{name}` is there, and its vectors are others'"),
                remedy: Some(
                    "send the `remote_provider` that it has, choose another name, or delete it first"
                        .to_owned(),
                ),
            });
        }
        if (collection.kind, collection.dimensions) != (kind, dimensions) {
            return Err(Error::Reported {
                code: ErrorCode::Conflict,
                message: format!(
                    "the collection `{name}` is there and holds {}",
                    collection.kind.name()
                ),
                remedy: Some("choose another name, or delete it first".to_owned()),
            });
        }
        Ok(is_new)
    }

    /// Makes a collection whose texts may be sent to the embedding provider, unless it is there; says whether it was made.
    ///
    /// # Errors
    /// As [`Service::create_collection`]; no provider; a collection of vectors, which has none to ask for.
    pub fn create_remote_collection(&self, name: &str, kind: CollectionKind) -> Result<bool> {
        if self.remote.is_none() {
            return Err(Error::Argument {
                problem: "no embedding provider is set up".to_owned(),
                remedy: "leave `remote_provider` away; the operator sets `embedding.provider`"
                    .to_owned(),
            });
        }
        if kind == CollectionKind::Vectors {
            return Err(Error::Argument {
                problem: "the vectors of this kind come from clients".to_owned(),
                remedy: "leave `remote_provider` away".to_owned(),
            });
        }
        let is_new = self.create_collection_as(name, kind, None, true)?;
        Ok(is_new)
    }

    /// Takes a collection out with everything in it.
    ///
    /// # Errors
    /// An unknown collection; those of the store and the disk.
    pub fn delete_collection(&self, name: &str) -> Result<Removed> {
        let live = self.live(name)?;
        for job in self.jobs(super::jobs::QUEUE_MAX * 2)? {
            if job.collection == name && !job.state.is_final() {
                self.cancel_job(&job.id)?;
            }
        }
        let sources = self
            .connections
            .take()?
            .store()
            .sources(live.collection().id)?;
        for source in &sources {
            self.unwatch(source.id);
        }
        let looking = live.looking();
        let filling = live.fill_first();
        let _structure = self.structure();
        if live.is_gone() {
            return self.live(name).and_then(|_| Err(gone(name)));
        }
        // Who has it finds it gone from here on; its name is free when nothing is left of it.
        live.retire();
        drop(filling);
        drop(looking);
        let id = live.collection().id;
        let mut db = self.connections.take()?;
        let counts = db.store().counts(id, None)?;
        db.delete_collection(id)?;
        let vectors = db.collect_vectors(0)?;
        self.library_mut().remove(name);
        for source in &sources {
            self.data_dir.forget_source(source.id)?;
        }
        let folder = self.data_dir.index_folder(id);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &folder, error));
            }
            _ => {}
        }
        Ok(Removed {
            collection: name.to_owned(),
            counts,
            vectors,
        })
    }

    /// Describes a collection.
    ///
    /// # Errors
    /// An unknown collection; those of the store.
    pub fn describe(&self, name: &str) -> Result<CollectionView> {
        let live = self.live(name)?;
        let db = self.connections.take()?;
        let store = db.store();
        let collection = store
            .collections()?
            .into_iter()
            .find(|collection| collection.id == live.collection().id)
            .ok_or_else(|| gone(name))?;
        let fingerprint = self.fingerprint_of(&collection);
        let loaded = live.read_view().as_ref().map(|view| view.counts);
        let counts = match (loaded, &fingerprint) {
            // Counting a hundred thousand chunks takes a tenth of a second.
            (Some(loaded), _) => Counts {
                files: store.indexed_files(collection.id)?,
                ..loaded
            },
            (None, Some(fingerprint)) => store.counts(collection.id, store.model(fingerprint)?)?,
            (None, None) => store.counts(collection.id, None)?,
        };
        Ok(CollectionView {
            name: collection.name,
            kind: collection.kind,
            dimensions: collection.dimensions,
            generation: collection.generation,
            embedded_fraction: fingerprint.is_some().then(|| counts.embedded_fraction()),
            counts,
            remote_provider: collection.is_remote,
            freshness: self.freshness(store, &live)?,
        })
    }

    /// Returns how fresh a collection is.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn freshness(&self, store: &dyn Store, live: &LiveCollection) -> Result<Freshness> {
        let sources = store.sources(live.collection().id)?;
        let stored = Freshness::stored(&sources);
        let mut indexed = sources.iter().filter(|source| source.is_indexed());
        let mut problems = indexed
            .clone()
            .filter_map(|source| self.watches.of(source.id)?.problem());
        Ok(Freshness {
            watched: indexed.clone().count() > 0 && indexed.all(|source| self.is_watching(source)),
            watch_problem: problems.next(),
            indexing: self.jobs.are_open_for(&live.collection().name),
            ..stored
        })
    }

    /// Whether changes of a source are brought in as they happen, or, of a repository, from time to time.
    pub(super) fn is_watching(&self, source: &Source) -> bool {
        match source.kind {
            SourceKind::Git => source.is_watched,
            SourceKind::Folder | SourceKind::Documents => {
                let watched = self.watches.of(source.id);
                watched.is_some_and(|watched| watched.is_whole())
            }
        }
    }

    /// Returns the names of the collections with a folder that is this one or around it, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub fn holding(&self, folder: &Path) -> Result<Vec<String>> {
        let db = self.connections.take()?;
        let all: Vec<_> = self.library().values().cloned().collect();
        let mut holding = Vec::new();
        for live in all {
            let sources = db.store().sources(live.collection().id)?;
            let mut folders = sources.iter().filter_map(Source::folder);
            if folders.any(|outer| folder.starts_with(outer)) {
                holding.push(live.collection().name.clone());
            }
        }
        Ok(holding)
    }

    /// Adds a folder or a repository to a collection of code, and starts a job that indexes it.
    ///
    /// # Errors
    /// A path that is missing, a file, or outside of the allowed roots; a collection of another kind; a full queue.
    pub fn add_source(&self, name: &str, new: NewSource) -> Result<(SourceView, JobView)> {
        let live = self.live(name)?;
        if !new.within.is_empty() && new.watch == Some(true) {
            return Err(watched_whole());
        }
        let root = match &new.origin {
            Origin::Folder(path) => Some(self.allowed_root(path)?),
            Origin::Repository(repository) => {
                repository.check_sign_in(&self.config.git, new.may_sign_in)?;
                None
            }
        };
        let mut db = self.connections.take()?;
        let mut source = {
            let _structure = self.structure();
            if live.is_gone() {
                return Err(gone(name));
            }
            match (&new.origin, &root) {
                (Origin::Repository(repository), _) => {
                    let may_sign_in = new.may_sign_in;
                    claim_repository(&mut *db, repository, Some(name), may_sign_in)?.1
                }
                (Origin::Folder(root), None) | (Origin::Folder(_), Some(root)) => {
                    claim_source(&mut *db, root, Some(name))?.1
                }
            }
        };
        if !new.within.is_empty() && new.watch.unwrap_or(source.is_watched) {
            return Err(watched_whole());
        }
        if let Some(is_watched) = new.watch {
            db.set_watched(source.id, is_watched)?;
            source.is_watched = is_watched;
            if is_watched {
                self.watch(&live, &source);
            } else {
                self.unwatch(source.id);
            }
        }
        let view = self.source_view(db.store(), &source)?;
        drop(db);
        let name = &live.collection().name;
        let job = self.start_job(name, &source, new.within, new.with_vectors)?;
        Ok((view, job))
    }

    /// Makes sure that the folder of a source may be read still, and is where it was.
    ///
    /// # Errors
    /// A folder that is gone, leads elsewhere, or is outside of the allowed roots.
    pub(super) fn check_folder(&self, source: &Source) -> Result<()> {
        let Some(root) = source.folder() else {
            return Ok(());
        };
        if self.allowed_root(root)? == root {
            return Ok(());
        }
        Err(Error::Argument {
            problem: format!("{} leads elsewhere now", root.display()),
            remedy: "index the folder that it leads to, or bring the former back".to_owned(),
        })
    }

    /// Returns the canonical path of a folder that may be indexed.
    fn allowed_root(&self, path: &Path) -> Result<PathBuf> {
        // The first look is at the path as it is written, so that a path outside tells nothing of what is there.
        self.access.check_root(path)?;
        // The second is at where it leads, before anything is said of what is there.
        if let Ok(resolved) = path.canonicalize() {
            self.access.check_root(&resolved)?;
        }
        let root = checked_root(path)?;
        self.access.check_root(&root)?;
        Ok(root)
    }

    /// Returns the sources of a collection.
    ///
    /// # Errors
    /// An unknown collection; those of the store.
    pub fn sources(&self, name: &str) -> Result<Vec<SourceView>> {
        let live = self.live(name)?;
        let db = self.connections.take()?;
        let sources = db.store().sources(live.collection().id)?;
        sources
            .iter()
            .filter(|source| source.is_indexed())
            .map(|source| self.source_view(db.store(), source))
            .collect()
    }

    /// Returns one source of a collection.
    ///
    /// # Errors
    /// [`Error::SourceMissing`]; an unknown collection; those of the store.
    pub fn source(&self, name: &str, id: &str) -> Result<SourceView> {
        let (_, source) = self.find_source(name, id)?;
        self.source_view(self.connections.take()?.store(), &source)
    }

    /// Takes a source out of a collection, with everything that came from it.
    ///
    /// # Errors
    /// As [`Service::source`].
    pub fn delete_source(&self, name: &str, id: &str) -> Result<()> {
        let (live, source) = self.find_source(name, id)?;
        for job in self.jobs(super::jobs::QUEUE_MAX * 2)? {
            let is_running = matches!(job.state, JobState::Queued | JobState::Running);
            if job.source == id && job.collection == name && is_running {
                self.cancel_job(&job.id)?;
            }
        }
        self.unwatch(source.id);
        let looking = live.looking();
        let filling = live.fill_first();
        let mut db = self.connections.take()?;
        db.delete_source(&source)?;
        drop(looking);
        self.data_dir.forget_source(source.id)?;
        live.sync(&mut *db, &self.data_dir, super::live::Commit::Now)?;
        drop(filling);
        db.collect_vectors(0)?;
        self.fillers.wake(&live);
        Ok(())
    }

    /// Returns the files that a job's source has but that are not indexed, by path, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error::JobMissing`]; those of the store.
    pub fn job_failures(
        &self,
        id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FailedFile>> {
        let job = self.job(id)?;
        // A source that was taken out has no files; its id is none of another collection's either.
        let Ok((_, source)) = self.find_source(&job.collection, &job.source) else {
            return Ok(Vec::new());
        };
        self.skipped_files(&job.collection, &source.id.0.to_string(), after, limit)
    }

    fn find_source(&self, name: &str, id: &str) -> Result<(Arc<LiveCollection>, Source)> {
        let live = self.live(name)?;
        let sources = self
            .connections
            .take()?
            .store()
            .sources(live.collection().id)?;
        // Documents are deleted one by one, by whoever may write them.
        let source = sources
            .into_iter()
            .find(|source| source.is_indexed() && source.id.0.to_string() == id);
        match source {
            Some(source) => Ok((live, source)),
            None => Err(Error::SourceMissing {
                id: id.chars().take(64).collect(),
            }),
        }
    }

    fn source_view(&self, store: &dyn Store, source: &Source) -> Result<SourceView> {
        let repository = match source.kind {
            SourceKind::Git => Repository::parse(&source.root).ok(),
            SourceKind::Folder | SourceKind::Documents => None,
        };
        let counts = store.source_counts(source.id)?;
        Ok(SourceView {
            id: source.id.0.to_string(),
            kind: match source.kind {
                SourceKind::Folder => "folder",
                SourceKind::Git => "git",
                SourceKind::Documents => "documents",
            }
            .to_owned(),
            path: source.folder().map(|root| root.display().to_string()),
            url: repository.as_ref().map(Repository::url),
            reference: repository
                .as_ref()
                .and_then(Repository::reference)
                .map(str::to_owned),
            commit: source.commit.clone(),
            files: counts.files,
            skipped: counts.skipped,
            updated_ms: source.updated_ms,
            watched: self.is_watching(source),
        })
    }

    /// Returns the files of a source that are not indexed, by path, after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Service::source`].
    pub fn skipped_files(
        &self,
        name: &str,
        id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FailedFile>> {
        let (_, source) = self.find_source(name, id)?;
        let skipped = self.connections.take()?.store().skipped_of(
            source.id,
            after.unwrap_or_default(),
            limit,
        )?;
        let skipped = skipped.into_iter();
        Ok(skipped
            .map(|(path, reason)| FailedFile { path, reason })
            .collect())
    }

    /// Returns the fingerprint of whose vectors a collection has; none where there is no model.
    fn fingerprint_of(&self, collection: &Collection) -> Option<String> {
        match collection.kind {
            CollectionKind::Vectors => Some(client_vectors(collection).fingerprint),
            CollectionKind::Code | CollectionKind::Documents => {
                Some(self.vectors_of_kind(collection.is_remote)?.fingerprint)
            }
        }
    }
}

fn watched_whole() -> Error {
    Error::Argument {
        problem: "a folder or repository is watched whole".to_owned(),
        remedy: "leave `within` away, or end the watch with `watch: false`; .embedderignore excludes folders"
            .to_owned(),
    }
}

/// What is answered where a collection is not there, or not there any more; it names no others.
pub(super) fn gone(name: &str) -> Error {
    Error::CollectionMissing {
        name: name.chars().take(128).collect(),
        known: Vec::new(),
    }
}
