//! Collections of a running server.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Service;
use super::live::{LiveCollection, client_vectors};
use crate::engine::ingest::check_collection_name;
use crate::engine::remove::Removed;
use crate::error::{Error, ErrorCode, Result};
use crate::store::{Collection, CollectionKind, Counts, Source, Store, StoreWriter};

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

/// What is answered where a collection is not there, or not there any more; it names no others.
pub(super) fn gone(name: &str) -> Error {
    Error::CollectionMissing {
        name: name.chars().take(128).collect(),
        known: Vec::new(),
    }
}
