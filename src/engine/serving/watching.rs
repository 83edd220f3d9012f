//! Watched folders of a running server: what is saved in them can be found a moment later.
//!
//! One thread looks at those that changed, one after the other. A look is an index run without vectors, which the filler
//! makes behind it; it reads what has changed and nothing else, and is right whatever it was told. While a job of the same
//! collection is under way it waits: that one looks as well.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Service;
use super::live::LiveCollection;
use super::run::ServerRun;
use crate::engine::background::step_back;
use crate::engine::ingest::progress::Silent;
use crate::engine::ingest::{Run, concerns, indexed_folders};
use crate::engine::watch::{Due, FolderWatch, Seen};
use crate::error::{Error, Result};
use crate::store::{Source, SourceId};

/// How long it is waited for a job of the same collection, and for a disk that fails.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often the folders are listed until none is new.
const LISTINGS_MAX: usize = 8;

/// How often everything is looked at where not all can be watched, or a look has failed; and whether the folder is still the
/// one that is watched.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The folders that are watched.
#[derive(Default)]
pub(crate) struct Watches {
    all: Mutex<BTreeMap<SourceId, Arc<Watched>>>,
    signal: Arc<Signal>,
    stop: AtomicBool,
    /// Whether something has changed since somebody asked.
    has_changed: AtomicBool,
}

/// Wakes the thread that looks.
#[derive(Default)]
struct Signal {
    is_told: Mutex<bool>,
    told: Condvar,
}

/// A folder that is watched.
pub(crate) struct Watched {
    live: Arc<LiveCollection>,
    source: SourceId,
    root: PathBuf,
    seen: Arc<Seen>,
    /// Of the thread that looks alone, who may have it for as long as listing folders takes.
    watch: Mutex<Watch>,
    state: Mutex<State>,
    /// Ends a look.
    stop: AtomicBool,
}

/// The watch on a folder.
#[derive(Default)]
struct Watch {
    /// None where the operating system gives none.
    folders: Option<FolderWatch>,
    /// What the folder was when its watch began: another of its name is not watched by it.
    identity: Option<Identity>,
}

/// How the watch on a folder is.
struct State {
    /// Whether all of it is watched.
    is_whole: bool,
    /// Why not all of it can be watched.
    unwatched: Option<String>,
    /// Whether it was looked at by this server.
    has_looked: bool,
    /// Why the last look failed.
    failed: Option<String>,
    /// When it was last asked whether something is wrong.
    looked: Instant,
}

/// Tells a folder from another one that has its name.
type Identity = (u64, u64);

impl Signal {
    fn tell(&self) {
        *self.is_told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    fn wait(&self, time: Duration) {
        let is_told = self.is_told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .told
            .wait_timeout_while(is_told, time, |is_told| !*is_told);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

impl Watched {
    /// Returns why changes are not, or not all, brought in as they happen.
    pub(crate) fn problem(&self) -> Option<String> {
        let state = self.lock();
        state.failed.clone().or_else(|| state.unwatched.clone())
    }

    /// Whether all of it is watched, and was brought in.
    pub(crate) fn is_whole(&self) -> bool {
        let state = self.lock();
        state.is_whole && state.failed.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches all folders that a look comes through. One that is made while they are listed is watched as well: they are
    /// listed until none is new.
    fn follow(&self, root: &Path, data_dir: &Path) {
        let followed = self.followed(root, data_dir);
        let mut state = self.lock();
        state.is_whole = followed.is_ok();
        state.unwatched = followed.err().map(|error| {
            tracing::warn!("A folder is not watched, or not all of it: {error}");
            error.with_remedy()
        });
    }

    fn followed(&self, root: &Path, data_dir: &Path) -> Result<()> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identity_of(root)?;
        let is_other = watch.identity.replace(identity) != Some(identity);
        let folders = match &mut watch.folders {
            Some(folders) => folders,
            none => none.insert(FolderWatch::new(&self.seen)?),
        };
        if is_other {
            folders.let_go();
        }
        for _ in 0..LISTINGS_MAX {
            if !folders.follow(&indexed_folders(root, data_dir)?)? {
                return Ok(());
            }
        }
        // So many are being made that it is looked again soon.
        self.seen.note_everything();
        Ok(())
    }

    /// Looks at everything from time to time where something is wrong, or where the folder is another by now: of one around it
    /// that is renamed nobody is told.
    fn look_again(&self) {
        let mut state = self.lock();
        if state.looked.elapsed() < LOOK_EVERY {
            return;
        }
        state.looked = Instant::now();
        let is_wrong = state.failed.is_some() || state.unwatched.is_some();
        drop(state);
        if is_wrong || self.is_another() {
            self.seen.note_everything();
        }
    }

    /// Whether the folder is not the one any more that its watch began with.
    fn is_another(&self) -> bool {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identity_of(&self.root).ok();
        watch.identity.is_some() && watch.identity != identity
    }
}

/// Returns what tells a folder from another one that has its name.
fn identity_of(folder: &Path) -> Result<Identity> {
    let metadata = std::fs::metadata(folder).map_err(|error| Error::io("read", folder, error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        Ok((0, metadata.len()))
    }
}

impl Watches {
    /// Returns the watch on a source.
    pub(crate) fn of(&self, source: SourceId) -> Option<Arc<Watched>> {
        self.lock().get(&source).cloned()
    }

    /// Whether something has changed since this was asked last.
    pub(crate) fn take_changed(&self) -> bool {
        self.has_changed.swap(false, Ordering::Relaxed)
    }

    /// Ends looking; what has changed is found by the next server.
    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for watched in self.lock().values() {
            watched.stop.store(true, Ordering::Relaxed);
        }
        self.signal.tell();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceId, Arc<Watched>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Watches the folder of a source from here on, and looks at all of it. Where it cannot be watched, it is looked at from
    /// time to time.
    pub(super) fn watch(&self, live: &Arc<LiveCollection>, source: &Source) {
        let Some(root) = source.folder() else {
            return;
        };
        if self.watches.of(source.id).is_some() {
            return;
        }
        let (clock, signal) = (self.clock, Arc::clone(&self.watches.signal));
        let seen = Arc::new(Seen::new(move || clock.now(), move || signal.tell()));
        let watched = Watched {
            live: Arc::clone(live),
            source: source.id,
            root: root.to_owned(),
            seen: Arc::clone(&seen),
            watch: Mutex::default(),
            state: Mutex::new(State {
                is_whole: false,
                unwatched: None,
                has_looked: false,
                failed: None,
                looked: Instant::now(),
            }),
            stop: AtomicBool::new(false),
        };
        self.watches.lock().insert(source.id, Arc::new(watched));
        seen.note_everything();
    }

    /// Ends the watch on a source.
    pub(super) fn unwatch(&self, source: SourceId) {
        if let Some(watched) = self.watches.lock().remove(&source) {
            watched.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Looks at what changes until the server ends.
    pub(super) fn run_watches(&self) {
        step_back();
        while !self.watches.stop.load(Ordering::Relaxed) {
            let mut wait = LOOK_EVERY;
            let all: Vec<_> = self.watches.lock().values().cloned().collect();
            for watched in all {
                watched.look_again();
                let now = self.clock.now();
                match watched.seen.due(now) {
                    Due::Now => {
                        // A panic fails the look, not those at other folders.
                        let look = catch_unwind(AssertUnwindSafe(|| self.look(&watched)));
                        wait = wait.min(look.unwrap_or_else(|_| {
                            watched.lock().failed = Some("looking at it panicked".to_owned());
                            self.metrics.panics_total.inc();
                            Duration::ZERO
                        }));
                    }
                    Due::At(at) => wait = wait.min(now.until(at)),
                    Due::Never => {}
                }
            }
            self.watches.signal.wait(wait);
        }
    }

    /// Looks at a folder, and returns how soon it may have to be looked at again.
    fn look(&self, watched: &Watched) -> Duration {
        let collection = &watched.live.collection().name;
        let began = Instant::now();
        let Some(_claim) = self.jobs.claim(collection) else {
            // What was seen stays where it is.
            return PATIENCE;
        };
        let Some(source) = self.watched_source(watched) else {
            return PATIENCE;
        };
        let (root, data_dir) = (&watched.root, &self.config.data_dir);
        let news = watched.seen.take();
        let is_about_folders = news.has_other_folders || news.is_everything;
        if !is_about_folders && !concerns(root, &news.paths, data_dir) {
            watched.seen.looked(began.elapsed());
            return Duration::ZERO;
        }
        // What was allowed when it was asked for may not be any more.
        let looked = self.check_folder(&source).and_then(|()| {
            if is_about_folders {
                // From here on nothing is missed: what changes before the look is seen by it, and what changes later is told.
                watched.follow(root, data_dir);
            }
            self.look_at(watched, &source)
        });
        watched.seen.looked(began.elapsed());
        let mut state = watched.lock();
        match looked {
            Ok(()) => {
                state.failed = None;
                state.has_looked = true;
            }
            Err(Error::Interrupted) => {}
            Err(error) => {
                tracing::warn!(collection = %collection, code = error.code().name(), "A look at a watched folder failed: {error}");
                state.failed = Some(error.with_remedy());
                state.looked = Instant::now();
            }
        }
        Duration::ZERO
    }

    /// Returns the source as it is now; none where it is gone.
    fn watched_source(&self, watched: &Watched) -> Option<Source> {
        let collection = watched.live.collection().id;
        let sources = self
            .connections
            .take()
            .and_then(|db| Ok(db.store().sources(collection)?));
        match sources {
            Ok(sources) => sources
                .into_iter()
                .find(|source| source.id == watched.source),
            Err(error) => {
                let mut state = watched.lock();
                state.failed = Some(error.with_remedy());
                state.looked = Instant::now();
                None
            }
        }
    }

    fn look_at(&self, watched: &Watched, source: &Source) -> Result<()> {
        let live = &watched.live;
        let _looking = live.looking();
        if live.is_gone() || watched.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        live.begin_run()?;
        let run = Run {
            config: &self.config,
            collection: live.collection(),
            source,
            fetched: None,
            within: &[],
            // Within the life of a server the limits stay the same.
            retries_skipped: !watched.lock().has_looked,
            // They are made behind it.
            with_vectors: false,
            surroundings: &ServerRun {
                service: self,
                live,
            },
            progress: &Silent,
            stop: &watched.stop,
            started: Instant::now(),
        };
        self.metrics.watch_looks_total.inc();
        let report = run.index(&mut *self.connections.take()?)?;
        self.metrics.index_files_read_total.add(report.changed);
        if report.changed + report.removed > 0 {
            self.watches.has_changed.store(true, Ordering::Relaxed);
            tracing::info!(
                collection = %live.collection().name,
                changed = report.changed,
                removed = report.removed,
                took_ms = report.took_ms,
                "Brought in what changed in a watched folder"
            );
            self.fillers.wake(live);
        }
        Ok(())
    }
}
