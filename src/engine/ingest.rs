//! From a folder on disk to a collection that answers questions.
//!
//! [`index`] walks the folder, compares it with what the store knows, cuts the changed files into chunks on all
//! threads, writes them to the store in batches and lets the lexical index follow the store's log. Text search works
//! from the first batch on; vectors are computed after that, in the background of whoever searches meanwhile.
//!
//! Every step is a transaction that leaves a consistent state, so the run can end at any moment (Ctrl-C, `kill -9`,
//! a full disk): what was done is kept and the next run does the rest.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{Collection, CollectionKind, FileChange, FileRow, Source, Store, StoreWriter};

mod front_matter;
pub mod lexical;
mod prepare;
pub mod progress;
pub mod vectors;
pub mod walk;

use lexical::LexicalFollower;
pub use prepare::PIPELINE_VERSION;
use prepare::Preparer;
use progress::{Event, Progress};
use walk::FoundFile;

/// Files in one transaction: few enough that text appears early, many enough that the commits do not add up.
const BATCH_FILES: usize = 256;

/// Chunks in one transaction, for sources with large files.
const BATCH_CHUNKS: usize = 2_000;

/// Work in flight for each thread; a longer queue only holds more files in memory.
const QUEUE_PER_THREAD: usize = 4;

/// A file written to within this time of being read may be written to again in the same tick of the file system's
/// clock. It is stored without its time, so the next run compares its content.
const RACY: Duration = Duration::from_secs(2);

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
    match result {
        // A damaged store must be checked again by the next writer, so it is not marked as closed in order.
        Ok(_) | Err(Error::Interrupted) => {
            db.close()?;
            result
        }
        Err(error) => Err(error),
    }
}

/// Says what [`index`] would do, and changes nothing.
///
/// # Errors
/// A root that is missing, a file, or unreadable; a damaged store.
pub fn plan(config: &Config, request: &IndexRequest) -> Result<Plan> {
    let root = checked_root(&request.root)?;
    let found = walk::walk(&root, config.file_bytes_max)?;
    let data_dir = DataDir::new(&config.data_dir);
    let (name, source, known) = match ContentDb::open_read_only(data_dir.path()) {
        Ok(db) => {
            let (name, source) = find_source(&db, &root, request.collection.as_deref())?;
            let known = source
                .as_ref()
                .map_or_else(|| Ok(Vec::new()), |source| db.files(source.id))?;
            (name, source, known)
        }
        Err(crate::store::StoreError::Absent { .. }) => (
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
    let difference = Difference::between(found, known, is_current);
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

fn checked_root(path: &Path) -> Result<PathBuf> {
    let root = path.canonicalize().map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Error::PathMissing(path.to_owned())
        } else {
            Error::io("read", path, error)
        }
    })?;
    if !root.is_dir() {
        return Err(Error::NotAFolder(path.to_owned()));
    }
    if root.to_str().is_none() {
        return Err(Error::Argument {
            problem: format!("the path {} is not UTF-8", root.display()),
            remedy: "rename the folder".to_owned(),
        });
    }
    Ok(root)
}

fn folder_name(root: &Path) -> String {
    root.file_name().map_or_else(
        || "root".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Returns the name that a folder has or would get, and its source if it is known.
fn find_source(
    store: &dyn Store,
    root: &Path,
    asked: Option<&str>,
) -> Result<(String, Option<Source>)> {
    let collections = store.collections()?;
    for collection in &collections {
        if asked.is_some_and(|asked| asked != collection.name) {
            continue;
        }
        if let Some(source) = store
            .sources(collection.id)?
            .into_iter()
            .find(|source| source.root == root)
        {
            return Ok((collection.name.clone(), Some(source)));
        }
    }
    let name = asked.map_or_else(|| folder_name(root), str::to_owned);
    if asked.is_none() && collections.iter().any(|collection| collection.name == name) {
        return Err(Error::Argument {
            problem: format!("the collection `{name}` holds another folder of that name"),
            remedy: "pass --collection NAME: a new name for a collection of its own, this one to search both as one"
                .to_owned(),
        });
    }
    Ok((name, None))
}

fn claim_source(
    db: &mut ContentDb,
    root: &Path,
    asked: Option<&str>,
) -> Result<(Collection, Source)> {
    let (name, _) = find_source(db, root, asked)?;
    check_collection_name(&name)?;
    let collection = db.put_collection(&name, CollectionKind::Code)?;
    let root = root.to_str().expect("checked_root refuses other paths");
    let source = db.put_source(collection.id, root)?;
    Ok((collection, source))
}

/// Longest name of a collection in bytes.
const COLLECTION_NAME_BYTES_MAX: usize = 128;

fn check_collection_name(name: &str) -> Result<()> {
    let is_fine = !name.is_empty()
        && name.len() <= COLLECTION_NAME_BYTES_MAX
        && !name
            .chars()
            .any(|c| c.is_control() || c == '/' || c == '\\');
    if is_fine {
        return Ok(());
    }
    Err(Error::Argument {
        problem: format!("{name:?} cannot be the name of a collection"),
        remedy: format!(
            "use 1 to {COLLECTION_NAME_BYTES_MAX} bytes without slashes and control characters"
        ),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What differs between a folder and the store.
struct Difference {
    to_read: Vec<FoundFile>,
    to_skip: Vec<FileChange>,
    removed: Vec<FileChange>,
    known: HashMap<String, FileRow>,
    skipped: BTreeMap<String, u64>,
}

impl Difference {
    fn between(found: Vec<FoundFile>, known: Vec<FileRow>, is_current: bool) -> Difference {
        let mut gone: HashMap<String, FileRow> = known
            .into_iter()
            .map(|row| (row.path.clone(), row))
            .collect();
        let mut difference = Difference {
            to_read: Vec::new(),
            to_skip: Vec::new(),
            removed: Vec::new(),
            known: HashMap::new(),
            skipped: BTreeMap::new(),
        };
        for file in found {
            let row = gone.remove(&file.path);
            if let Some(reason) = &file.skip {
                *difference
                    .skipped
                    .entry(kind_of_reason(reason))
                    .or_default() += 1;
                let is_known = row.is_some_and(|row| row.skipped.as_ref() == Some(reason));
                if !is_known {
                    difference.to_skip.push(FileChange::Skip {
                        path: file.path,
                        bytes: file.bytes,
                        modified_ns: file.modified_ns,
                        reason: reason.clone(),
                    });
                }
                continue;
            }
            let is_unchanged = is_current
                && row.as_ref().is_some_and(|row| {
                    row.bytes == file.bytes && row.modified_ns == file.modified_ns
                });
            if is_unchanged {
                if let Some(reason) = row.and_then(|row| row.skipped) {
                    *difference
                        .skipped
                        .entry(kind_of_reason(&reason))
                        .or_default() += 1;
                }
                continue;
            }
            if let Some(row) = row.filter(|_| is_current) {
                difference.known.insert(row.path.clone(), row);
            }
            difference.to_read.push(file);
        }
        difference.removed = gone
            .into_values()
            .map(|row| FileChange::Remove { id: row.id })
            .collect();
        difference
    }
}

/// Returns the part of a reason that files share: up to the colon.
pub fn kind_of_reason(reason: &str) -> String {
    reason.split(':').next().unwrap_or(reason).to_owned()
}

/// The part of a run that makes text search answer.
struct TextPhase<'a> {
    config: &'a Config,
    data_dir: &'a DataDir,
    root: &'a Path,
    source: &'a Source,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
}

impl TextPhase<'_> {
    fn run(&self, db: &mut ContentDb, report: &mut IndexReport) -> Result<()> {
        let found = walk::walk(self.root, self.config.file_bytes_max)?;
        report.files = found.len() as u64;
        let is_current = self.source.pipeline == PIPELINE_VERSION;
        let difference = Difference::between(found, db.files(self.source.id)?, is_current);
        report.removed = difference.removed.len() as u64;
        report.skipped = difference.skipped.clone();
        let bytes = difference.to_read.iter().map(|file| file.bytes).sum();
        self.progress.report(&Event::Walked {
            files: report.files,
            to_read: difference.to_read.len() as u64,
            bytes,
        });

        let mut follower = LexicalFollower::open(db, self.data_dir, self.source.collection)?;
        follower.catch_up(db)?;
        db.apply(self.source, &difference.removed)?;
        db.apply(self.source, &difference.to_skip)?;
        self.read_all(db, &mut follower, difference, report)?;
        follower.catch_up(db)?;
        follower.commit(db)?;
        if !is_current {
            db.set_pipeline(self.source.id, PIPELINE_VERSION)?;
        }
        if report.changed + report.removed > 0 {
            db.collect_vectors()?;
        }
        Ok(())
    }

    /// Reads and cuts the changed files on all threads; this thread alone writes.
    fn read_all(
        &self,
        db: &mut ContentDb,
        follower: &mut LexicalFollower,
        difference: Difference,
        report: &mut IndexReport,
    ) -> Result<()> {
        let total = difference.to_read.len() as u64;
        let threads = self.config.threads.min(difference.to_read.len()).max(1);
        let preparer = Preparer::new(self.root, self.config, &difference.known);
        let work = Mutex::new(difference.to_read.into_iter());
        let (sender, receiver) = mpsc::sync_channel::<FileChange>(threads * QUEUE_PER_THREAD);
        let mut result = Ok(());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, work, preparer) = (sender.clone(), &work, &preparer);
                scope.spawn(move || {
                    while !self.stop.load(Ordering::Relaxed) {
                        let next = work.lock().map(|mut files| files.next());
                        let Ok(Some(file)) = next else { break };
                        // The receiver is gone when writing failed.
                        if sender.send(preparer.prepare(&file)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            result = self.write_all(db, follower, receiver, total, report);
        });
        result
    }

    fn write_all(
        &self,
        db: &mut ContentDb,
        follower: &mut LexicalFollower,
        receiver: mpsc::Receiver<FileChange>,
        total: u64,
        report: &mut IndexReport,
    ) -> Result<()> {
        let mut batch = Vec::new();
        let (mut batch_chunks, mut chunks, mut done) = (0, 0, 0);
        for change in receiver {
            done += 1;
            match &change {
                FileChange::Put(file) => {
                    batch_chunks += file.chunks.len();
                    report.changed += 1;
                }
                FileChange::Skip { reason, .. } => {
                    *report.skipped.entry(kind_of_reason(reason)).or_default() += 1;
                }
                FileChange::Touch { .. } | FileChange::Remove { .. } => {}
            }
            batch.push(change);
            if batch.len() >= BATCH_FILES || batch_chunks >= BATCH_CHUNKS {
                chunks += batch_chunks as u64;
                batch_chunks = 0;
                db.apply(self.source, &batch)?;
                batch.clear();
                follower.catch_up(db)?;
                follower.commit_if_due(db)?;
                self.progress.report(&Event::Files {
                    done,
                    total,
                    chunks,
                });
            }
        }
        chunks += batch_chunks as u64;
        db.apply(self.source, &batch)?;
        follower.catch_up(db)?;
        if self.stop.load(Ordering::Relaxed) {
            follower.commit(db)?;
            return Err(Error::Interrupted);
        }
        self.progress.report(&Event::Files {
            done,
            total,
            chunks,
        });
        Ok(())
    }
}
