//! What a run would do, and about how long it would take.

use std::collections::BTreeMap;

use serde::Serialize;

use super::difference::Difference;
use super::source::{checked_root, find_source, folder_name};
use super::{IndexRequest, Origin, PIPELINE_VERSION, walk};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{Store, StoreError};

/// What a run would do, for `--dry-run`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// The collection's name.
    pub collection: String,
    /// Files that would be read.
    pub changed: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files that are up to date.
    pub unchanged: u64,
    /// Files that would be taken out.
    pub removed: u64,
    /// Files that would not be indexed, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// About how many chunks would be made.
    pub chunks_estimate: u64,
    /// About how long embedding them would take on this machine, in seconds.
    pub seconds_estimate: u64,
}

/// Says what [`index`](super::index) would do, and changes nothing.
///
/// # Errors
/// A root that is missing, a file, or unreadable; a damaged store.
pub fn plan(config: &Config, request: &IndexRequest) -> Result<Plan> {
    let Origin::Folder(root) = &request.origin else {
        return Err(Error::Argument {
            problem: "what a repository holds is known when it is fetched".to_owned(),
            remedy: "leave --dry-run away".to_owned(),
        });
    };
    let root = checked_root(root)?;
    let found = walk::walk(
        &root,
        &request.within,
        config.file_bytes_max,
        &config.data_dir,
    )?;
    let data_dir = DataDir::new(&config.data_dir);
    let (name, source, known) = match ContentDb::open_read_only(data_dir.path()) {
        Ok(db) => {
            let (name, source) = find_source(&db, &root, request.collection.as_deref())?;
            let known = source
                .as_ref()
                .map_or_else(|| Ok(Vec::new()), |source| db.files(source.id))?;
            (name, source, known)
        }
        Err(StoreError::Absent { .. }) => (
            request
                .collection
                .clone()
                .unwrap_or_else(|| folder_name(&root)),
            None,
            Vec::new(),
        ),
        Err(error) => return Err(error.into()),
    };
    let is_current = source.is_some_and(|source| source.pipeline == PIPELINE_VERSION);
    let total = found.len() as u64;
    let difference = Difference::between(found, known, is_current, true);
    let bytes: u64 = difference.to_read.iter().map(|file| file.bytes).sum();
    let chunks_estimate = bytes.div_ceil(BYTES_PER_CHUNK);
    Ok(Plan {
        collection: name,
        changed: difference.to_read.len() as u64,
        bytes,
        unchanged: total
            - difference.to_read.len() as u64
            - difference.skipped.values().sum::<u64>(),
        removed: difference.removed.len() as u64,
        skipped: difference.skipped,
        chunks_estimate,
        seconds_estimate: chunks_estimate
            / (CHUNKS_PER_SECOND_AND_THREAD * config.threads as u64).max(1),
    })
}

/// Mean size of a chunk over the sources of a hundred published packages.
pub const BYTES_PER_CHUNK: u64 = 650;

/// Chunks that one thread of a current server embeds in a second in f32 with the default model.
const CHUNKS_PER_SECOND_AND_THREAD: u64 = 70;
