//! Sources of a running server: the folders and repositories that feed collections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Service;
use super::collections::gone;
use super::jobs::JobView;
use super::live::LiveCollection;
use crate::engine::ingest::{Origin, Repository, checked_root, claim_repository, claim_source};
use crate::error::{Error, Result};
use crate::store::{JobState, Source, SourceKind, Store, StoreWriter};

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
}

fn watched_whole() -> Error {
    Error::Argument {
        problem: "a folder or repository is watched whole".to_owned(),
        remedy: "leave `within` away, or end the watch with `watch: false`; .embedderignore excludes folders"
            .to_owned(),
    }
}
