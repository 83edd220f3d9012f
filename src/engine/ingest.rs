//! From a folder on disk to a collection that answers questions.
//!
//! [`index`] walks the folder, compares it with what the store knows, cuts the changed files into chunks on all
//! threads, writes them to the store in batches and lets the lexical index follow the store's log. Text search works
//! from the first batch on; vectors are computed after that, in the background of whoever searches meanwhile.
//!
//! Every step is a transaction that leaves a consistent state, so the run can end at any moment (Ctrl-C, `kill -9`,
//! a full disk): what was done is kept and the next run does the rest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::error::{Error, ErrorCode, Result};
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{Store, StoreWriter};

mod difference;
mod front_matter;
pub mod lexical;
mod names;
mod plan;
mod prepare;
pub mod progress;
mod source;
mod text;
pub mod vectors;
pub mod walk;

pub use difference::kind_of_reason;
pub use plan::{BYTES_PER_CHUNK, Plan, plan};
pub use prepare::PIPELINE_VERSION;
use progress::{Event, Progress};
use source::{checked_root, claim_source};
use text::TextPhase;

/// Which folder to index, and as what.
#[derive(Debug, Clone)]
pub struct IndexRequest {
    /// The folder.
    pub root: PathBuf,
    /// The collection; by default the one that holds this folder already, else the folder's name.
    pub collection: Option<String>,
    /// Whether vectors are computed.
    pub with_vectors: bool,
}

/// What a run did.
#[derive(Debug, Clone, Default, Serialize)]
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
pub fn index(
    config: &Config,
    request: &IndexRequest,
    load_model: impl FnOnce() -> Option<Embedder> + Send,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<IndexReport> {
    let started = Instant::now();
    let root = checked_root(&request.root)?;
    let data_dir = DataDir::new(&config.data_dir);
    let _lock = data_dir.lock()?;
    let mut db = Box::new(ContentDb::open(data_dir.path())?);
    let run = || -> Result<IndexReport> {
        let (collection, source) = claim_source(db.as_mut(), &root, request.collection.as_deref())?;
        let mut report = IndexReport {
            collection: collection.name.clone(),
            ..IndexReport::default()
        };
        let embedder = std::thread::scope(|scope| {
            let loading = scope.spawn(|| {
                if request.with_vectors {
                    load_model()
                } else {
                    None
                }
            });
            let text = TextPhase {
                config,
                data_dir: &data_dir,
                root: &root,
                source: &source,
                progress,
                stop,
            };
            let done = text.run(db.as_mut(), &mut report);
            let embedder = loading
                .join()
                .map_err(|_| Error::Internal("loading the model panicked".to_owned()))?;
            done.map(|()| embedder)
        })?;
        report.text_ready_ms = millis(started.elapsed());
        progress.report(&Event::TextReady {
            elapsed: started.elapsed(),
            vectors_follow: embedder.is_some(),
        });
        let mut model_id = None;
        match &embedder {
            Some(embedder) => {
                let model = db.put_model(
                    embedder.fingerprint(),
                    embedder.name(),
                    embedder.dimensions(),
                )?;
                model_id = Some(model);
                let embedded = vectors::fill(
                    db.as_mut(),
                    collection.id,
                    model,
                    embedder,
                    config.threads,
                    progress,
                    stop,
                )?;
                report.embedded_now = embedded.texts;
                report.truncated = embedded.truncated;
            }
            None => report.text_only = request.with_vectors,
        }
        let counts = db.counts(collection.id, model_id)?;
        report.chunks = counts.chunks;
        report.embedded = counts.embedded;
        report.took_ms = millis(started.elapsed());
        Ok(report)
    };
    let result = { run }();
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
