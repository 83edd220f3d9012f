//! A running server, without the faces that speak for it: everything that is shared by requests.
//!
//! [`Service::open`] takes the data directory's lock and opens the store; [`Service::warm`] loads the model and the
//! collections, after which the server is ready. Threads of their own do jobs, fill in vectors and keep house. Requests are
//! many and find everything shared: views behind locks that are never held for long, one writer behind a queue, the model
//! behind its batcher.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Config;
use crate::engine::ingest::Repositories;
use crate::error::{Full, Result};
use crate::observability::metrics::{Metrics, memory_at_most};
use crate::store::data_dir::{DataDir, WriterLock};
use crate::store::sqlite::WriterThread;

pub mod access;
mod answers;
mod changes;
pub mod collections;
mod connections;
mod dependencies;
pub mod documents;
pub(crate) mod door;
mod doors;
pub mod drill;
pub mod files;
mod filler;
mod find;
mod gate;
pub mod health;
pub mod jobs;
mod ladder;
pub mod level;
pub(crate) mod live;
mod loading;
pub(crate) mod measure;
pub(crate) mod memory_guard;
mod model;
mod pause;
mod pending;
mod refetch;
mod refused_texts;
mod remote;
pub mod resilience;
mod run;
#[cfg(test)]
pub(crate) mod simulated;
pub mod sources;
mod supervisor;
#[cfg(test)]
mod tests;
pub(crate) mod watching;
pub(crate) mod workers;

use access::Access;
use answers::AnswerCache;
use changes::Changes;
use connections::Connections;
use dependencies::Dependencies;
use doors::Doors;
use filler::Fillers;
pub(crate) use find::Terms;
use gate::Gate;
use jobs::Jobs;
use level::Level;
use live::{LiveCollection, VectorsOf};
use memory_guard::MemoryGuard;
use model::ModelSlot;
use refetch::Refetches;
use remote::RemoteModel;
use watching::Watches;
use workers::Workers;

/// Searches that wait for a thread. At a few milliseconds each this is seconds of work.
const SEARCHES_WAITING_MAX: usize = 1_024;

/// Scans of the store at once, in place of searches: each takes a core for tens of milliseconds.
const SCANS_MAX: usize = 4;

/// Such scans that wait.
const SCANS_WAITING_MAX: usize = 64;

/// Pieces of other blocking work at once: they wait for the disk, not for a core.
const WORK_MAX: usize = 4;

/// Pieces at once of what must go through whatever else is under way: metrics, keys.
const URGENT_MAX: usize = 2;

/// Pieces of other blocking work that wait.
const WORK_WAITING_MAX: usize = 256;

/// How often the house is kept: last uses of keys and denials written down, a missing model looked for, writers of idle
/// text indexes let go.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);

/// A running server.
pub struct Service {
    workers: Workers,
    pub(crate) config: Config,
    pub(crate) data_dir: DataDir,
    pub(crate) connections: Connections,
    pub(crate) model: ModelSlot,
    /// A provider elsewhere, for the collections that opted in.
    remote: Option<RemoteModel>,
    pub(crate) jobs: Jobs,
    pub(crate) fillers: Fillers,
    pub(crate) watches: Watches,
    repositories: Repositories,
    refetches: Refetches,
    pub(crate) searches: Gate,
    scans: Gate,
    pub(crate) work: Gate,
    urgent: Gate,
    pub(crate) answers: AnswerCache,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) dependencies: Dependencies,
    level: Level,
    pub(crate) memory: MemoryGuard,
    /// The doors of searches and of texts to be embedded.
    pub(crate) doors: Doors,
    /// Who may do what, and what they did.
    pub access: Access,
    live: RwLock<BTreeMap<String, Arc<LiveCollection>>>,
    /// Held by whoever makes or deletes a collection, or adds a source: one after the other.
    structure: Mutex<()>,
    pub(crate) changes: Arc<Changes>,
    is_warm: AtomicBool,
    ending: Ending,
    /// Turns true when requests should come to an end: what would go on for long ends then.
    draining: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: WriterLock,
}

/// Whether the server ends.
#[derive(Default)]
struct Ending {
    is_ending: AtomicBool,
    lock: Mutex<()>,
    told: Condvar,
}

impl Service {
    /// Takes the data directory and opens the store; nothing answers yet.
    ///
    /// # Errors
    /// A locked data directory; a damaged store; those of the disk.
    pub fn open(config: Config, metrics: Arc<Metrics>) -> Result<Arc<Service>> {
        Service::open_with(config, metrics, Workers::Threads)
    }

    /// The same, with what does the work.
    pub(crate) fn open_with(
        config: Config,
        metrics: Arc<Metrics>,
        workers: Workers,
    ) -> Result<Arc<Service>> {
        let data_dir = DataDir::new(&config.data_dir);
        let lock = data_dir.lock()?;
        let writer = match &workers {
            Workers::Threads => WriterThread::open(data_dir.path())?,
            #[cfg(test)]
            Workers::Simulated(_) => WriterThread::open_without_thread(data_dir.path())?,
        };
        let writer = Arc::new(writer);
        let connections = Connections::new(writer, data_dir.path().to_owned());
        let (collections, folders) = {
            let db = connections.take()?;
            let collections = db.store().collections()?;
            let mut folders = Vec::new();
            for collection in &collections {
                let sources = db.store().sources(collection.id)?;
                folders.extend(
                    sources
                        .iter()
                        .filter_map(|source| source.folder().map(Path::to_owned)),
                );
            }
            (collections, folders)
        };
        let changes = Changes::start();
        let live = collections
            .into_iter()
            .map(|collection| {
                (
                    collection.name.clone(),
                    Arc::new(LiveCollection::new(collection, Arc::clone(&changes))),
                )
            })
            .collect();
        let clock = Clock::start();
        let dependencies = Dependencies::new(&config, clock, &metrics, || workers.random_seed())?;
        let remote = match (&config.remote, &dependencies.provider) {
            (Some(settings), Some(circuit)) => {
                Some(RemoteModel::new(settings, &workers, Arc::clone(circuit))?)
            }
            _ => None,
        };
        let access = Access::open(data_dir.path(), config.server.audit_bytes_max, folders)?;
        Ok(Arc::new(Service {
            data_dir,
            connections,
            model: ModelSlot::empty("it is being loaded"),
            remote,
            jobs: Jobs::default(),
            fillers: Fillers::default(),
            watches: Watches::default(),
            refetches: Refetches::default(),
            repositories: Repositories::new(&config, clock, workers.random_seed()),
            searches: Gate::new(
                &workers,
                "a search",
                Full::SearchQueue,
                config.threads.max(2),
                SEARCHES_WAITING_MAX,
            ),
            scans: Gate::new(
                &workers,
                "a scan of the store",
                Full::SearchQueue,
                SCANS_MAX,
                SCANS_WAITING_MAX,
            ),
            work: Gate::new(
                &workers,
                "a thread",
                Full::WorkQueue,
                WORK_MAX,
                WORK_WAITING_MAX,
            ),
            urgent: Gate::new(
                &workers,
                "a thread",
                Full::WorkQueue,
                URGENT_MAX,
                WORK_WAITING_MAX,
            ),
            answers: AnswerCache::new(config.server.cache_bytes),
            metrics,
            clock,
            dependencies,
            doors: Doors::new(&config, clock),
            level: Level::new(config.resilience.healthy_for),
            memory: MemoryGuard::new(
                [config.server.memory_bytes_max, memory_at_most()]
                    .into_iter()
                    .flatten()
                    .min(),
            ),
            access,
            live: RwLock::new(live),
            structure: Mutex::new(()),
            changes,
            is_warm: AtomicBool::new(false),
            ending: Ending::default(),
            draining: watch::Sender::new(false),
            threads: Mutex::new(Vec::new()),
            config,
            workers,
            _lock: lock,
        }))
    }

    /// Ends jobs and threads in good order and closes the store. What has not ended is taken up by the next server.
    pub fn close(&self) {
        self.ending.is_ending.store(true, Ordering::Release);
        drop(
            self.ending
                .lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.ending.told.notify_all();
        self.jobs.end();
        self.fillers.end();
        self.watches.end();
        if let Some(remote) = &self.remote {
            remote.end();
        }
        for live in self.library().values() {
            live.yields().store(true, Ordering::Relaxed);
        }
        if let Ok(model) = self.model.get() {
            model.batcher().stop();
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
        self.access.close(&self.metrics);
        if let Some(db) = self.connections.writer().stop()
            && let Err(error) = db.close()
        {
            tracing::warn!("The store was not closed in good order: {error}");
        }
    }

    /// Whether jobs wait or are under way, or a watched folder has changed since this was asked last.
    pub(crate) fn take_activity(&self) -> bool {
        self.jobs.counts() != (0, 0) || self.watches.take_changed()
    }

    /// Whether everything is loaded.
    pub(crate) fn is_warm(&self) -> bool {
        self.is_warm.load(Ordering::Acquire)
    }

    /// Says that requests should come to an end.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Tells when requests should come to an end.
    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Whether the server ends.
    pub fn is_ending(&self) -> bool {
        self.ending.is_ending.load(Ordering::Acquire)
    }

    /// Returns the settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Does blocking work on a thread for it.
    ///
    /// # Errors
    /// Those of the work; a full queue.
    pub async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let service = Arc::clone(self);
        self.work.run(None, move || work(&service)).await?
    }

    /// Does blocking work that does not wait behind other work: metrics, keys.
    ///
    /// # Errors
    /// As [`Service::work`].
    pub async fn work_urgently<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let service = Arc::clone(self);
        self.urgent.run(None, move || work(&service)).await?
    }

    /// Waits for the right to make or delete collections and to add sources.
    pub(crate) fn structure(&self) -> std::sync::MutexGuard<'_, ()> {
        self.structure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn library(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<LiveCollection>>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn library_mut(
        &self,
    ) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<LiveCollection>>> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads the view of a collection, unless it is loaded.
    pub(crate) fn open_view(&self, live: &LiveCollection) -> Result<()> {
        if live.read_view().is_some() {
            return Ok(());
        }
        let mut db = self.connections.take()?;
        let of = self.vectors_for(live);
        live.open(&mut *db, &self.data_dir, of.as_ref())
    }

    /// Returns whose vectors a collection has, other than those of clients; none where that model is missing.
    pub(crate) fn vectors_for(&self, live: &LiveCollection) -> Option<VectorsOf> {
        self.vectors_of_kind(live.collection().is_remote)
    }

    pub(crate) fn vectors_of_kind(&self, is_remote: bool) -> Option<VectorsOf> {
        if is_remote {
            return self
                .remote
                .as_ref()
                .map(|remote| remote.vectors_of().clone());
        }
        let model = self.model.get().ok()?;
        Some(model.vectors_of().clone())
    }

    /// Lets this much time pass; returns false when the server ends.
    fn rest_for(&self, time: Duration) -> bool {
        let guard = self
            .ending
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ending
            .told
            .wait_timeout_while(guard, time, |()| !self.is_ending())
            .unwrap_or_else(PoisonError::into_inner);
        drop(waited);
        !self.is_ending()
    }

    fn keep_house(&self) {
        while self.rest_for(HOUSEKEEPING_EVERY) {
            self.keep_house_once();
        }
    }

    fn keep_house_once(&self) {
        self.access.keep_house(&self.metrics);
        if let Err(error) = self.look_for_model() {
            tracing::warn!("Looking for a model failed: {error}");
        }
        for live in self.library().values() {
            live.rest();
        }
        self.fill_pending();
        self.fetch_again();
    }

    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Service) + Send + 'static) {
        if !self.workers.are_threads() {
            return;
        }
        let service = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&service))
            .expect("a thread can be started while the program starts");
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
    }
}
