//! A job as clients see it, and how its progress reaches those who watch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::engine::ingest::IndexReport;
use crate::engine::ingest::progress::{Event, Progress};
use crate::store::{JobRow, JobState};

/// How often progress is told: often enough to look alive.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What a job does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It waits for its turn.
    Waiting,
    /// A repository is being fetched.
    Fetching,
    /// Files are listed and compared.
    Walking,
    /// Files are read, cut and stored; text search finds them.
    Text,
    /// Vectors are computed.
    Vectors,
    /// It has ended.
    Ended,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobProgress {
    /// What it does.
    pub phase: Phase,
    /// Bytes of the copy of a repository.
    #[serde(default)]
    pub bytes_fetched: u64,
    /// Files read so far.
    pub files_done: u64,
    /// Files to be read.
    pub files_total: u64,
    /// Chunks made so far.
    pub chunks: u64,
    /// Vectors computed so far.
    pub vectors_done: u64,
    /// Vectors to be computed.
    pub vectors_total: u64,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobError {
    /// The stable code.
    pub code: String,
    /// The cause, with what to do about it.
    pub message: String,
}

/// A job as clients see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id; ids sort by age.
    pub id: String,
    /// The collection.
    pub collection: String,
    /// The id of the source that is indexed.
    pub source: String,
    /// How far it is.
    pub state: JobState,
    /// How far exactly.
    pub progress: JobProgress,
    /// When it was asked for, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it was begun last.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub finished_ms: Option<u64>,
    /// What it did, once it ended well.
    pub report: Option<IndexReport>,
    /// Why it failed.
    pub error: Option<JobError>,
}

/// Tells the watchers of a job how far it is.
pub(super) struct Told {
    view: Arc<watch::Sender<JobView>>,
    told: Mutex<Instant>,
}

impl Told {
    pub(super) fn new(view: Arc<watch::Sender<JobView>>) -> Told {
        Told {
            view,
            told: Mutex::new(Instant::now()),
        }
    }
}

impl Progress for Told {
    fn report(&self, event: &Event) {
        let apply = |view: &mut JobView| {
            let progress = &mut view.progress;
            match *event {
                Event::Fetching { bytes } => {
                    progress.phase = Phase::Fetching;
                    progress.bytes_fetched = bytes;
                }
                Event::Walked { to_read, .. } => {
                    progress.phase = Phase::Text;
                    progress.files_total = to_read;
                }
                Event::Files {
                    done,
                    total,
                    chunks,
                } => {
                    progress.files_done = done;
                    progress.files_total = total;
                    progress.chunks = chunks;
                }
                Event::TextReady { .. } => progress.phase = Phase::Vectors,
                Event::Vectors { done, total } => {
                    progress.vectors_done = done;
                    progress.vectors_total = total;
                }
            }
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_step = matches!(event, Event::Walked { .. } | Event::TextReady { .. });
        let is_due = is_step || told.elapsed() >= TELL_EVERY;
        if is_due {
            *told = Instant::now();
        }
        self.view.send_if_modified(|view| {
            apply(view);
            is_due
        });
    }
}

pub(super) fn view_of(row: &JobRow, phase: Option<Phase>) -> JobView {
    let phase = phase.unwrap_or(if row.state.is_final() {
        Phase::Ended
    } else {
        Phase::Waiting
    });
    let report: Option<IndexReport> = row
        .report
        .as_deref()
        .and_then(|report| serde_json::from_str(report).ok());
    let (files, chunks, vectors) = report.as_ref().map_or((0, 0, 0), |report| {
        (report.changed, report.chunks, report.embedded_now)
    });
    JobView {
        id: row.id.clone(),
        collection: row.collection.clone(),
        source: row.source.0.to_string(),
        state: row.state,
        progress: JobProgress {
            phase,
            bytes_fetched: 0,
            files_done: files,
            files_total: files,
            chunks,
            vectors_done: vectors,
            vectors_total: vectors,
        },
        created_ms: row.created_ms,
        started_ms: row.started_ms,
        finished_ms: row.finished_ms,
        report,
        error: row
            .error
            .clone()
            .map(|(code, message)| JobError { code, message }),
    }
}
