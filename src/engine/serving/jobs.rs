//! Jobs: sources that are being indexed, a few at a time, begun in the order in which they were asked for; those of one
//! collection one after the other.
//!
//! A job is on disk before it is acknowledged. One that was under way when the server ended, however it ended, is done
//! again by the next one: indexing goes on where it was. Its progress is in memory and can be watched.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::run::ServerRun;
use super::{Service, measure};
use crate::clock::now_ms;
use crate::engine::background::step_back;
use crate::engine::ingest::progress::{Event, Progress};
use crate::engine::ingest::{IndexReport, Run, fetch};
use crate::error::{Error, ErrorCode, Full, Result};
use crate::store::{JobRow, JobState, Source, SourceKind, StoreWriter};

mod view;

pub use view::{JobError, JobProgress, JobView, Phase};
use view::{Told, view_of};

/// Jobs that wait. Each is a whole folder; more than this is a mistake, not a backlog.
pub const QUEUE_MAX: usize = 256;

/// Jobs that are done at once, each of a collection of its own: a small folder does not wait for the vectors of a large
/// one, and all of them together give way to requests.
pub const AT_ONCE: usize = 4;

/// Of these, how many may be of repositories: a host that sends slowly keeps no folder waiting.
const REPOSITORIES_AT_ONCE: usize = 2;

/// A job that has not ended.
struct OpenJob {
    row: JobRow,
    /// Whether its source is fetched from elsewhere.
    is_fetched: bool,
    stop: Arc<AtomicBool>,
    is_cancelled: bool,
    view: Arc<watch::Sender<JobView>>,
}

/// The right to bring the texts of a collection up to date: no job of it does, and none begins.
pub(crate) struct Claim<'a> {
    jobs: &'a Jobs,
    collection: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.jobs.lock().claimed.remove(&self.collection);
        self.jobs.arrived.notify_all();
    }
}

/// The progress of a job, told to whoever watches it, and whether looks may go on beside it.
struct Stepping<'a> {
    told: Told,
    jobs: &'a Jobs,
    collection: &'a str,
}

impl Progress for Stepping<'_> {
    fn report(&self, event: &Event) {
        if matches!(event, Event::TextReady { .. }) {
            self.jobs.set_past_text(self.collection);
        }
        self.told.report(event);
    }
}

/// The jobs that have not ended.
#[derive(Default)]
pub(crate) struct Jobs {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<String>,
    open: HashMap<String, OpenJob>,
    /// Collections with a job under way.
    busy: HashSet<String>,
    /// Of these, those whose job has brought the texts up to date, and goes on with vectors alone.
    past_text: HashSet<String>,
    /// Those whose job fetches what it will read.
    before_text: HashSet<String>,
    /// Collections whose texts somebody else than a job brings up to date.
    claimed: HashSet<String>,
    /// Jobs of repositories that are under way.
    fetching: usize,
    is_ending: bool,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many jobs wait and how many are under way.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.open.len() - state.waiting.len())
    }

    /// Says that the job of a collection goes on with vectors alone.
    fn set_past_text(&self, collection: &str) {
        self.lock().past_text.insert(collection.to_owned());
    }

    /// Says that the job of a collection has fetched what it reads, and waits until nobody looks at that collection.
    fn begin_text(&self, collection: &str) {
        let mut state = self.lock();
        while state.claimed.contains(collection) {
            let waited = self.arrived.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.before_text.remove(collection);
    }

    /// Keeps jobs of a collection waiting; none where one is at its texts.
    pub(super) fn claim(&self, collection: &str) -> Option<Claim<'_>> {
        let mut state = self.lock();
        let is_elsewhere =
            state.before_text.contains(collection) || state.past_text.contains(collection);
        let is_at_texts = state.busy.contains(collection) && !is_elsewhere;
        if state.is_ending || is_at_texts || !state.claimed.insert(collection.to_owned()) {
            return None;
        }
        Some(Claim {
            jobs: self,
            collection: collection.to_owned(),
        })
    }

    /// Whether a job of a collection waits or is under way.
    pub(crate) fn are_open_for(&self, collection: &str) -> bool {
        let state = self.lock();
        let mut open = state.open.values();
        open.any(|job| job.row.collection == collection)
    }

    /// Whether other jobs wait for one of a collection to end.
    pub(crate) fn are_waiting_for(&self, collection: &str) -> bool {
        let State { waiting, open, .. } = &*self.lock();
        let is_of_it = |id: &String| {
            let job = open.get(id);
            job.is_some_and(|job| job.row.collection == collection)
        };
        let are_all_at_work = open.len() - waiting.len() >= AT_ONCE;
        (are_all_at_work && !waiting.is_empty()) || waiting.iter().any(is_of_it)
    }

    /// Stops the job under way and takes no more; what has not ended is done by the next server.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_ending = true;
        for job in state.open.values() {
            job.stop.store(true, Ordering::Relaxed);
        }
        self.arrived.notify_all();
    }

    fn add(&self, row: JobRow, is_fetched: bool) -> JobView {
        let view = view_of(&row, None);
        let (sender, _) = watch::channel(view.clone());
        let mut state = self.lock();
        state.waiting.push_back(row.id.clone());
        state.open.insert(
            row.id.clone(),
            OpenJob {
                row,
                is_fetched,
                stop: Arc::default(),
                is_cancelled: false,
                view: Arc::new(sender),
            },
        );
        // Somebody may wait for something else.
        self.arrived.notify_all();
        view
    }

    /// Waits for the next job; none when the server ends.
    fn next(&self) -> Option<(JobRow, Arc<AtomicBool>, Arc<watch::Sender<JobView>>)> {
        let mut state = self.lock();
        loop {
            if state.is_ending {
                return None;
            }
            let State {
                waiting,
                open,
                busy,
                claimed,
                before_text,
                fetching,
                ..
            } = &mut *state;
            let is_free = |id: &String| {
                open.get(id).is_none_or(|job| {
                    !busy.contains(&job.row.collection)
                        && !claimed.contains(&job.row.collection)
                        && (!job.is_fetched || *fetching < REPOSITORIES_AT_ONCE)
                })
            };
            if let Some(place) = waiting.iter().position(is_free) {
                let job = waiting.remove(place).and_then(|id| open.get(&id));
                if let Some(job) = job {
                    busy.insert(job.row.collection.clone());
                    if job.is_fetched {
                        before_text.insert(job.row.collection.clone());
                    }
                    *fetching += usize::from(job.is_fetched);
                    return Some((
                        job.row.clone(),
                        Arc::clone(&job.stop),
                        Arc::clone(&job.view),
                    ));
                }
                continue;
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Service {
    /// Asks for a source to be indexed. Where the same is waiting already, that job is returned.
    ///
    /// # Errors
    /// A full queue; a server that is ending; those of the store.
    pub fn start_job(
        &self,
        collection: &str,
        source: &Source,
        within: Vec<String>,
        with_vectors: bool,
    ) -> Result<JobView> {
        let row = {
            let state = self.jobs.lock();
            if state.is_ending {
                return Err(ending());
            }
            let same = state.waiting.iter().filter_map(|id| state.open.get(id));
            if let Some(job) = same.into_iter().find(|job| {
                job.row.source == source.id
                    && job.row.within == within
                    && job.row.with_vectors == with_vectors
            }) {
                return Ok(job.view.borrow().clone());
            }
            if state.waiting.len() >= QUEUE_MAX {
                return Err(Error::Busy {
                    full: Full::JobQueue,
                    what: format!("{QUEUE_MAX} jobs are waiting"),
                    retry_after: Duration::from_secs(30),
                });
            }
            JobRow {
                id: format!("job_{}", uuid::Uuid::now_v7().simple()),
                collection: collection.to_owned(),
                source: source.id,
                within,
                with_vectors,
                state: JobState::Queued,
                created_ms: now_ms(),
                started_ms: None,
                finished_ms: None,
                report: None,
                error: None,
            }
        };
        self.connections.take()?.put_job(&row)?;
        Ok(self.jobs.add(row, source.kind == SourceKind::Git))
    }

    /// Returns the jobs that have not ended and the newest of those that have, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn jobs(&self, limit: usize) -> Result<Vec<JobView>> {
        let rows = self.connections.take()?.store().jobs(limit)?;
        let state = self.jobs.lock();
        Ok(rows
            .iter()
            .map(|row| match state.open.get(&row.id) {
                Some(job) => job.view.borrow().clone(),
                None => view_of(row, None),
            })
            .collect())
    }

    /// Returns a job.
    ///
    /// # Errors
    /// [`Error::JobMissing`]; those of the store.
    pub fn job(&self, id: &str) -> Result<JobView> {
        if let Some(job) = self.jobs.lock().open.get(id) {
            return Ok(job.view.borrow().clone());
        }
        let row = self.connections.take()?.store().job(id)?;
        row.map(|row| view_of(&row, None))
            .ok_or_else(|| missing(id))
    }

    /// Watches a job that has not ended; none for one that has.
    pub fn watch_job(&self, id: &str) -> Option<watch::Receiver<JobView>> {
        let state = self.jobs.lock();
        state.open.get(id).map(|job| job.view.subscribe())
    }

    /// Stops a job. What it did is kept; one that ended already stays as it is.
    ///
    /// # Errors
    /// [`Error::JobMissing`]; those of the store.
    pub fn cancel_job(&self, id: &str) -> Result<JobView> {
        let waiting = {
            let mut state = self.jobs.lock();
            let State { waiting, open, .. } = &mut *state;
            match open.get_mut(id) {
                Some(job) => {
                    job.is_cancelled = true;
                    job.stop.store(true, Ordering::Relaxed);
                    let place = waiting.iter().position(|other| other == id);
                    place.map(|place| {
                        waiting.remove(place);
                        job.row.clone()
                    })
                }
                None => None,
            }
        };
        if let Some(row) = waiting {
            self.end_job(row, Err(Error::Interrupted))?;
        }
        self.job(id)
    }

    /// Takes up the jobs that an earlier server left.
    pub(super) fn resume_jobs(&self) -> Result<()> {
        let rows = self.connections.take()?.store().open_jobs()?;
        for mut row in rows {
            row.state = JobState::Queued;
            let is_fetched = self
                .source_of(&row)
                .is_ok_and(|source| source.kind == SourceKind::Git);
            self.jobs.add(row, is_fetched);
        }
        Ok(())
    }

    /// Does job after job until the server ends.
    pub(super) fn run_jobs(&self) {
        step_back();
        while let Some((mut row, stop, view)) = self.jobs.next() {
            row.state = JobState::Running;
            row.started_ms = Some(now_ms());
            tracing::info!(job = %row.id, collection = %row.collection, "Job {} begins", row.id);
            let begun = self
                .connections
                .take()
                .and_then(|mut db| Ok(db.put_job(&row)?));
            view.send_modify(|view| *view = view_of(&row, Some(Phase::Walking)));
            let progress = Stepping {
                told: Told::new(Arc::clone(&view)),
                jobs: &self.jobs,
                collection: &row.collection,
            };
            let (id, collection) = (row.id.clone(), row.collection.clone());
            let is_fetched = {
                let state = self.jobs.lock();
                state.open.get(&id).is_some_and(|job| job.is_fetched)
            };
            // A panic fails the job, not those that wait behind it.
            let run = || begun.and_then(|()| self.run_job(&row, &progress, &stop));
            let result = catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|_| Err(Error::Internal("a job panicked".to_owned())));
            drop(progress);
            if let Err(error) = self.end_job(row, result) {
                tracing::error!("A job's end could not be written down: {error}");
            }
            let mut state = self.jobs.lock();
            state.busy.remove(&collection);
            state.past_text.remove(&collection);
            state.before_text.remove(&collection);
            state.fetching -= usize::from(is_fetched);
            drop(state);
            self.jobs.arrived.notify_all();
        }
    }

    fn run_job(
        &self,
        row: &JobRow,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<IndexReport> {
        let live = self.live(&row.collection)?;
        let source = self.source_of(row)?;
        // Whoever else works on the collection need not wait for what is far away.
        let fetched = fetch(&self.repositories, &source, progress, stop)?;
        // What was allowed when the job was asked for may not be any more.
        self.check_folder(&source)?;
        self.jobs.begin_text(&row.collection);
        live.begin_run()?;
        let run = Run {
            config: &self.config,
            collection: live.collection(),
            source: &source,
            fetched: fetched.as_deref(),
            within: &row.within,
            retries_skipped: true,
            with_vectors: row.with_vectors,
            surroundings: &ServerRun {
                service: self,
                live: &live,
            },
            progress,
            stop,
            started: Instant::now(),
        };
        let filling = live.fill_first();
        if let Err(gone) = self.source_of(row) {
            // It was deleted meanwhile, and what was fetched is nobody's.
            self.data_dir.forget_source(row.source)?;
            return Err(gone);
        }
        let done = run.index(&mut *self.connections.take()?);
        drop(filling);
        if let Ok(report) = &done {
            self.metrics.index_files_read_total.add(report.changed);
        }
        // What it left is made behind it, and what was written meanwhile.
        self.fillers.wake(&live);
        done
    }

    /// Returns a job's source as it is now.
    fn source_of(&self, row: &JobRow) -> Result<Source> {
        let live = self.live(&row.collection)?;
        let sources = self
            .connections
            .take()?
            .store()
            .sources(live.collection().id)?;
        sources
            .into_iter()
            .find(|source| source.id == row.source)
            .ok_or_else(|| Error::SourceMissing {
                id: row.source.0.to_string(),
            })
    }

    /// Writes down how a job ended, or that it waits again.
    fn end_job(&self, mut row: JobRow, result: Result<IndexReport>) -> Result<()> {
        let (is_cancelled, is_ending) = {
            let state = self.jobs.lock();
            let job = state.open.get(&row.id);
            (job.is_some_and(|job| job.is_cancelled), state.is_ending)
        };
        row.finished_ms = Some(now_ms());
        row.state = match &result {
            Ok(_) => JobState::Done,
            // What it then fails with is that its collection is gone, say.
            Err(_) if is_cancelled => JobState::Cancelled,
            // What it used ends as well, and says so in many ways.
            Err(_) if is_ending => {
                row.finished_ms = None;
                JobState::Queued
            }
            Err(_) => JobState::Failed,
        };
        match &result {
            Ok(report) => {
                row.report = serde_json::to_string(report).ok();
            }
            Err(Error::Interrupted) => {}
            Err(_) if is_cancelled || !row.state.is_final() => {}
            Err(error) => {
                tracing::warn!(job = %row.id, code = error.code().name(), "Job {} failed: {error}", row.id);
                row.error = Some((error.code().name().to_owned(), error.with_remedy()));
            }
        }
        let written = self
            .connections
            .take()
            .and_then(|mut db| Ok(db.put_job(&row)?));
        measure::job_ended(&self.metrics, row.state);
        let mut state = self.jobs.lock();
        if let Some(job) = state.open.remove(&row.id) {
            let phase = row.state.is_final().then_some(Phase::Ended);
            job.view.send_modify(|view| {
                let progress = view.progress;
                *view = view_of(&row, phase);
                let reached = view.progress.phase;
                view.progress = JobProgress {
                    phase: reached,
                    ..progress
                };
            });
        }
        written
    }
}

fn missing(id: &str) -> Error {
    Error::JobMissing {
        id: id.chars().take(64).collect(),
    }
}

/// What is answered while the server ends.
pub(super) fn ending() -> Error {
    Error::Reported {
        code: ErrorCode::NotReady,
        message: "the server is ending".to_owned(),
        remedy: Some("try again when it has started anew".to_owned()),
    }
}
