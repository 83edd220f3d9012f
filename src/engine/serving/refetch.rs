//! Repositories that are watched: they are fetched again from time to time, as a job like any other.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use embedder_reliability::Timestamp;

use super::Service;
use super::live::LiveCollection;
use crate::store::{Source, SourceId, SourceKind};

/// When each repository was asked for last.
#[derive(Default)]
pub(crate) struct Refetches(Mutex<BTreeMap<SourceId, Timestamp>>);

impl Service {
    /// Starts a job for each watched repository whose turn it is. Where one cannot be started it is tried again soon.
    pub(super) fn fetch_again(&self) {
        let now = self.clock.now();
        let all: Vec<_> = self.library().values().cloned().collect();
        for live in all {
            let name = &live.collection().name;
            for source in self.watched_repositories(&live) {
                if !self.is_turn_of(source.id, now) {
                    continue;
                }
                if let Err(error) = self.start_job(name, &source, Vec::new(), true) {
                    tracing::warn!(collection = %name, "A watched repository is not fetched now: {error}");
                    continue;
                }
                self.lock_asked().insert(source.id, now);
            }
        }
    }

    fn watched_repositories(&self, live: &LiveCollection) -> Vec<Source> {
        let sources = self
            .connections
            .take()
            .and_then(|db| Ok(db.store().sources(live.collection().id)?));
        let is_one = |source: &Source| source.kind == SourceKind::Git && source.is_watched;
        // What cannot be read now is read the next time.
        let sources = sources.unwrap_or_default().into_iter();
        sources.filter(is_one).collect()
    }

    /// Whether it is long enough ago. One that is seen for the first time has just been fetched, or is by another job.
    fn is_turn_of(&self, source: SourceId, now: Timestamp) -> bool {
        let last = *self.lock_asked().entry(source).or_insert(now);
        now.since(last) >= self.config.git.fetch_every
    }

    fn lock_asked(&self) -> MutexGuard<'_, BTreeMap<SourceId, Timestamp>> {
        let asked = self.refetches.0.lock();
        asked.unwrap_or_else(PoisonError::into_inner)
    }
}
