//! What is loaded when a server starts, and a model that comes later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::live::{LiveCollection, ReadVectors};
use super::measure::BatchMeasure;
use super::model::Model;
use super::{Service, jobs};
use crate::error::{Error, Result};

impl Service {
    /// Loads the model and the collections, and takes up the jobs that an earlier server left. Without a model the server
    /// is ready as well, and searches text.
    ///
    /// # Errors
    /// A damaged store; those of the disk.
    pub fn warm(self: &Arc<Self>) -> Result<()> {
        // Model and vectors take as long as catalogues and words.
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| {
                self.load_model();
                self.read_vectors()
            });
            self.open_views();
            let sets = loading
                .join()
                .map_err(|_| Error::Internal("loading the vectors panicked".to_owned()))??;
            for (live, read) in sets {
                live.attach(read);
            }
            Ok::<(), Error>(())
        })?;
        let db = self.connections.take()?;
        for live in self.library().values() {
            let of = self.vectors_for(live);
            self.tell_of(live, live.sync_vectors(db.store(), of.as_ref()));
            self.fillers.wake(live);
        }
        drop(db);
        self.sweep_repositories()?;
        self.resume_jobs()?;
        self.is_warm.store(true, Ordering::Release);
        for _ in 0..jobs::AT_ONCE {
            self.spawn("jobs", Service::run_jobs);
        }
        self.watch_again();
        self.spawn("watch", Service::run_watches);
        self.spawn("filler", |service| service.run_filler(false));
        self.spawn("remote-filler", |service| service.run_filler(true));
        self.spawn("housekeeping", Service::keep_house);
        self.spawn("supervisor", Service::supervise);
        self.spawn("memory", Service::watch_memory);
        Ok(())
    }

    /// Takes away copies of repositories that are no source any more.
    fn sweep_repositories(&self) -> Result<()> {
        let db = self.connections.take()?;
        let mut known = BTreeSet::new();
        for live in self.library().values() {
            let sources = db.store().sources(live.collection().id)?;
            known.extend(sources.iter().map(|source| source.id));
        }
        self.data_dir.sweep_repositories(&known)
    }

    fn open_views(&self) {
        let all: Vec<_> = self.library().values().cloned().collect();
        for live in all {
            let opened = self.connections.take().and_then(|mut db| {
                // Vectors are read beside.
                live.open(&mut *db, &self.data_dir, None)
            });
            self.tell_of(&live, opened);
        }
    }

    /// Says that a collection cannot be loaded. The others can be searched; a search of this one tries again and says what
    /// is wrong.
    pub(super) fn tell_of(&self, live: &LiveCollection, loaded: Result<()>) {
        if let Err(error) = loaded {
            live.set_broken(true);
            tracing::error!(
                collection = %live.collection().name,
                "A collection cannot be loaded: {error}"
            );
        }
    }

    /// Reads the vectors of all collections by the model, if there is one.
    fn read_vectors(&self) -> Result<Vec<(Arc<LiveCollection>, ReadVectors)>> {
        let db = self.connections.take()?;
        let all: Vec<_> = self.library().values().cloned().collect();
        let read = all.into_iter().filter_map(|live| {
            match live.read(db.store(), &self.vectors_for(&live)?) {
                Ok(read) => Some((live, read)),
                Err(error) => {
                    self.tell_of(&live, Err(error));
                    None
                }
            }
        });
        Ok(read.collect())
    }

    fn load_model(&self) {
        let loaded = self.load_model_anew();
        match &loaded {
            Ok(model) => tracing::info!(model = model.embedder().name(), "Loaded the model"),
            Err(error) => tracing::warn!("No model, so text search only: {error}"),
        }
        self.model.set(loaded);
    }

    pub(super) fn load_model_anew(&self) -> Result<Model> {
        let observer = Arc::new(BatchMeasure(Arc::clone(&self.metrics)));
        Model::load(&self.config, &self.workers, observer)
    }

    /// Watches the folders that an earlier server watched.
    fn watch_again(&self) {
        let all: Vec<_> = self.library().values().cloned().collect();
        for live in all {
            let sources = self
                .connections
                .take()
                .and_then(|db| Ok(db.store().sources(live.collection().id)?));
            match sources {
                Ok(sources) => sources
                    .iter()
                    .filter(|source| source.is_watched)
                    .for_each(|source| self.watch(&live, source)),
                Err(error) => {
                    let name = &live.collection().name;
                    tracing::warn!(collection = %name, "Folders of {name} are not watched: {error}");
                }
            }
        }
    }

    /// Wakes the filler for every collection that lacks vectors.
    pub(super) fn fill_pending(&self) {
        for live in self.library().values() {
            if live.lacks_vectors() {
                self.fillers.wake(live);
            }
        }
    }

    /// Looks again for a model that was missing; every collection then gets its vectors.
    pub(super) fn look_for_model(&self) -> Result<()> {
        if self.model.get().is_ok() {
            return Ok(());
        }
        let Ok(model) = self.load_model_anew() else {
            return Ok(());
        };
        tracing::info!(model = model.embedder().name(), "Found a model");
        self.model.set(Ok(model));
        let db = self.connections.take()?;
        let all: Vec<_> = self.library().values().cloned().collect();
        for live in all {
            live.sync_vectors(db.store(), self.vectors_for(&live).as_ref())?;
            self.fillers.wake(&live);
        }
        Ok(())
    }
}
