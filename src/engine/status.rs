//! What is indexed, how completely, and what was left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::engine::ingest::kind_of_reason;
use crate::engine::serving::collections::Freshness;
use crate::engine::serving::live::client_vectors;
use crate::engine::serving::resilience::DegradationView;
use crate::error::Result;
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{Collection, CollectionKind, Counts, ModelId, SourceKind, Store, StoreError};

/// The state of a data directory.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The data directory.
    #[schema(value_type = String)]
    pub data_dir: PathBuf,
    /// Its size on disk.
    pub bytes: u64,
    /// The process that is writing to it now.
    pub writer: Option<u32>,
    /// The model in use.
    pub model: Option<ModelStatus>,
    /// Why there is none; empty where there is one.
    pub model_problem: String,
    /// How much of the service there is, where a server runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<DegradationView>,
    /// The collections by name.
    pub collections: Vec<CollectionStatus>,
}

/// The model in use.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// The length of its vectors.
    pub dimensions: usize,
    /// The identity of everything that decides a vector.
    pub fingerprint: String,
}

/// The state of a collection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CollectionStatus {
    /// Its name.
    pub name: String,
    /// How often what is indexed has changed.
    pub generation: u64,
    /// The folders that feed it.
    #[schema(value_type = Vec<String>)]
    pub roots: Vec<PathBuf>,
    /// The repositories that feed it, each with the branch or tag that was asked for.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// How fresh it is.
    #[serde(default)]
    pub freshness: Freshness,
    /// How much there is.
    pub counts: Counts,
    /// How many files were left out, by the kind of reason.
    pub skipped_by_reason: BTreeMap<String, u64>,
    /// Every file that was left out.
    pub skipped: Vec<SkippedFile>,
}

/// A file that is not indexed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SkippedFile {
    /// Relative to its source's root.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Reads the state of the data directory that the settings name.
///
/// # Errors
/// A damaged store.
pub fn status(config: &Config) -> Result<Status> {
    let data_dir = DataDir::new(&config.data_dir);
    let (model, model_problem) = match Embedder::load(config) {
        Ok(embedder) => (Some(ModelStatus::from(&embedder)), String::new()),
        Err(error) => (None, error.to_string()),
    };
    let writer = data_dir.writer();
    match ContentDb::open_read_only(data_dir.path()) {
        Ok(db) => of(config, &db, model, model_problem, writer),
        Err(StoreError::Absent { .. }) => Ok(without_store(config, model, model_problem, writer)),
        Err(error) => Err(error.into()),
    }
}

/// Reads the state of a store that is open, with a model that is loaded, or with why there is none.
///
/// # Errors
/// Those of the store.
pub fn of(
    config: &Config,
    store: &dyn Store,
    model: Option<ModelStatus>,
    model_problem: String,
    writer: Option<u32>,
) -> Result<Status> {
    let model_id = match &model {
        Some(model) => store.model(&model.fingerprint)?,
        None => None,
    };
    let remote_id = match &config.remote {
        Some(remote) => store.model(&remote.fingerprint())?,
        None => None,
    };
    let mut status = without_store(config, model, model_problem, writer);
    for collection in store.collections()? {
        let made_by = if collection.is_remote {
            remote_id
        } else {
            model_id
        };
        status
            .collections
            .push(collection_status(store, collection, made_by)?);
    }
    Ok(status)
}

impl From<&Embedder> for ModelStatus {
    fn from(embedder: &Embedder) -> ModelStatus {
        ModelStatus {
            name: embedder.name().to_owned(),
            dimensions: embedder.dimensions(),
            fingerprint: embedder.fingerprint().to_owned(),
        }
    }
}

fn without_store(
    config: &Config,
    model: Option<ModelStatus>,
    model_problem: String,
    writer: Option<u32>,
) -> Status {
    Status {
        data_dir: config.data_dir.clone(),
        bytes: size_of(&config.data_dir),
        writer,
        model,
        model_problem,
        service: None,
        collections: Vec::new(),
    }
}

fn collection_status(
    store: &dyn Store,
    collection: Collection,
    model: Option<ModelId>,
) -> Result<CollectionStatus> {
    let vectors_by = match collection.kind {
        CollectionKind::Code | CollectionKind::Documents => model,
        CollectionKind::Vectors => store.model(&client_vectors(&collection).fingerprint)?,
    };
    let sources = store.sources(collection.id)?;
    let mut skipped = Vec::new();
    for source in &sources {
        let files = store.files(source.id)?.into_iter();
        skipped.extend(files.filter_map(|file| {
            Some(SkippedFile {
                path: file.path,
                reason: file.skipped?,
            })
        }));
    }
    let mut skipped_by_reason = BTreeMap::new();
    for file in &skipped {
        *skipped_by_reason
            .entry(kind_of_reason(&file.reason))
            .or_default() += 1;
    }
    Ok(CollectionStatus {
        counts: store.counts(collection.id, vectors_by)?,
        name: collection.name,
        generation: collection.generation,
        roots: sources
            .iter()
            .filter_map(|source| source.folder().map(Path::to_owned))
            .collect(),
        repositories: sources
            .iter()
            .filter(|source| source.kind == SourceKind::Git)
            .map(|source| source.root.clone())
            .collect(),
        freshness: Freshness::stored(&sources),
        skipped_by_reason,
        skipped,
    })
}

/// Returns the size of all files below a folder; what cannot be read counts as nothing.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
            _ => 0,
        })
        .sum()
}
