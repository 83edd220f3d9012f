//! Indexing through the server: a job of it, which this process follows.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::cli::progress::IndexProgress;
use crate::cli::{Context, output};
use crate::engine::embed::Embedder;
use crate::engine::ingest::progress::{Event, Progress};
use crate::engine::ingest::{
    IndexReport, IndexRequest, Origin, check_collection_name, checked_root, find_source,
    name_of_repository,
};
use crate::engine::serving::jobs::{JobView, Phase};
use crate::engine::serving::sources::SourceView;
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::control::{Control, Silent, Sleep};
use crate::outbound::daemon::Daemon;
use crate::store::sqlite::content::ContentDb;
use crate::store::{CollectionKind, JobState};

/// Looks at a waiting job before it is said that it waits: the first few find it on its way to its thread.
const LOOKS_QUIET: u32 = 3;

/// What the server answers when a folder is to be indexed.
#[derive(Deserialize)]
struct Added {
    job: JobView,
}

#[derive(Deserialize)]
struct Sources {
    sources: Vec<SourceView>,
}

/// Indexes a folder with progress on standard error, as a run alone does.
///
/// # Errors
/// As [`crate::engine::ingest::index`]; those of the server. [`ErrorCode::Interrupted`] leaves the job to the server.
pub(in crate::cli) fn index(
    context: &Context,
    server: &Daemon,
    request: &IndexRequest,
    watch: Option<bool>,
) -> Result<IndexReport> {
    let root = match &request.origin {
        Origin::Folder(root) => Some(checked_root(root)?),
        Origin::Repository(_) => None,
    };
    let name = match &request.collection {
        Some(name) => name.clone(),
        None => {
            let store = ContentDb::open_read_only(&context.config.data_dir)?;
            match (&request.origin, &root) {
                (Origin::Repository(repository), _) => name_of_repository(&store, repository)?,
                (Origin::Folder(root), None) | (Origin::Folder(_), Some(root)) => {
                    find_source(&store, root, None)?.0
                }
            }
        }
    };
    check_collection_name(&name)?;
    if let Some(root) = &root {
        // The owner of the machine may have any folder indexed: that they ask for it is what allows it.
        let _: IgnoredAny = server.post(&["v1", "admin", "roots"], &json!({"path": root}))?;
    }
    let collection = ["v1", "collections", &*name];
    let known = server.get::<IgnoredAny>(&collection, &[]);
    let is_new = known.is_err_and(|error| error.code() == ErrorCode::NotFound);
    let _: IgnoredAny = server.put(&collection, &json!({"kind": CollectionKind::Code}))?;
    let mut source = match &request.origin {
        Origin::Folder(_) => json!({"path": root}),
        Origin::Repository(repository) => {
            json!({"url": repository.url(), "ref": repository.reference()})
        }
    };
    source["within"] = json!(request.within);
    source["text_only"] = json!(!request.with_vectors);
    source["watch"] = json!(watch);
    // What was made for a source that nothing ever came from would only be in the way; what others put there stays.
    let sources = ["v1", "collections", &*name, "sources"];
    let give_back = |error: Error, own: Option<&str>| {
        let there = server.get::<Sources>(&sources, &[]);
        let is_ours =
            |source: &SourceView| own == Some(source.id.as_str()) && source.updated_ms.is_none();
        if is_new && there.is_ok_and(|there| there.sources.iter().all(is_ours)) {
            let _: Result<IgnoredAny> = server.delete(&collection);
        }
        error
    };
    let added: Added = server
        .post(&sources, &source)
        .map_err(|error| give_back(error, None))?;
    let progress = IndexProgress::new();
    let mut told = Told::new(&progress);
    let control = Control {
        progress: &Silent,
        interrupt: &context.stop,
        pause: &Sleep,
    };
    let followed = server.follow(&added.job.id, &control, |job: &JobView| {
        told.tell(job);
        !job.state.is_final()
    });
    progress.finish();
    let Some(job) = followed? else {
        return Err(Error::Reported {
            code: ErrorCode::Interrupted,
            message: format!("interrupted; the server goes on with {}", added.job.id),
            remedy: Some(
                "the same command waits for it and brings in what changed since; `embedder status` says how far it is"
                    .to_owned(),
            ),
        });
    };
    let own = added.job.source;
    let report = report_of(job).map_err(|error| give_back(error, Some(&own)))?;
    let pending = report.chunks.saturating_sub(report.embedded);
    if report.text_only {
        let model = &context.config.model;
        let remedy = if Embedder::is_folder(model) {
            "start it with one that it can load".to_owned()
        } else {
            format!(
                "run `embedder models pull {model}`; the server finds it and computes the vectors"
            )
        };
        output::note(&format!(
            "warning: indexed for text search only: the server has no model ({remedy})"
        ));
    } else if pending > 0 && request.with_vectors {
        output::note(&format!(
            "{pending} chunks have no vector yet; the server computes them as soon as it can (`embedder status`)"
        ));
    }
    Ok(report)
}

/// Returns what a job that has ended did, or why it failed.
fn report_of(job: JobView) -> Result<IndexReport> {
    match (job.state, job.report, job.error) {
        (JobState::Done, Some(report), _) => Ok(report),
        (JobState::Failed, _, Some(error)) => Err(Error::Reported {
            code: ErrorCode::from_name(&error.code).unwrap_or(ErrorCode::Internal),
            message: error.message,
            remedy: None,
        }),
        (JobState::Cancelled, ..) => Err(Error::Reported {
            code: ErrorCode::Cancelled,
            message: format!("{} was cancelled; what it did is kept", job.id),
            remedy: Some("run the same command again to go on".to_owned()),
        }),
        (state, ..) => Err(Error::Internal(format!(
            "{} ended as `{}` and says no more",
            job.id,
            state.name()
        ))),
    }
}

/// Turns what a job says of itself into the steps that a run alone reports.
struct Told<'a> {
    progress: &'a IndexProgress,
    /// When the job was seen to be under way.
    begun: Instant,
    looks_waiting: u32,
    is_listed: bool,
    is_text_ready: bool,
}

impl<'a> Told<'a> {
    fn new(progress: &'a IndexProgress) -> Told<'a> {
        Told {
            progress,
            begun: Instant::now(),
            looks_waiting: 0,
            is_listed: false,
            is_text_ready: false,
        }
    }

    fn tell(&mut self, job: &JobView) {
        let at = &job.progress;
        match at.phase {
            Phase::Waiting => {
                self.begun = Instant::now();
                self.looks_waiting += 1;
                if self.looks_waiting == LOOKS_QUIET {
                    self.progress
                        .say("waiting: the server is busy with another job");
                }
            }
            Phase::Fetching => self.progress.report(&Event::Fetching {
                bytes: at.bytes_fetched,
            }),
            Phase::Walking => {}
            Phase::Text => {
                if !self.is_listed {
                    self.is_listed = true;
                    self.progress
                        .say(&format!("{} files to read", at.files_total));
                }
                self.progress.report(&Event::Files {
                    done: at.files_done,
                    total: at.files_total,
                    chunks: at.chunks,
                });
            }
            Phase::Vectors => {
                self.text_ready(self.begun.elapsed(), at.vectors_total > 0);
                if at.vectors_total > 0 {
                    self.progress.report(&Event::Vectors {
                        done: at.vectors_done,
                        total: at.vectors_total,
                    });
                }
            }
            Phase::Ended => {
                if let Some(report) = &job.report {
                    self.text_ready(Duration::from_millis(report.text_ready_ms), false);
                }
            }
        }
    }

    /// Says once that text search answers.
    fn text_ready(&mut self, elapsed: Duration, vectors_follow: bool) {
        if !self.is_text_ready {
            self.is_text_ready = true;
            self.progress.report(&Event::TextReady {
                elapsed,
                vectors_follow,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::serving::jobs::{JobError, JobProgress};

    fn job(state: JobState, report: Option<IndexReport>, error: Option<JobError>) -> JobView {
        JobView {
            id: "job_1".to_owned(),
            collection: "c".to_owned(),
            source: "1".to_owned(),
            state,
            progress: JobProgress {
                phase: Phase::Ended,
                bytes_fetched: 0,
                files_done: 0,
                files_total: 0,
                chunks: 0,
                vectors_done: 0,
                vectors_total: 0,
            },
            created_ms: 0,
            started_ms: None,
            finished_ms: None,
            report,
            error,
        }
    }

    #[test]
    fn a_failed_job_fails_the_command_with_its_own_code() {
        let error = JobError {
            code: "disk_full".to_owned(),
            message: "the disk is full (free some space)".to_owned(),
        };
        let error = report_of(job(JobState::Failed, None, Some(error))).unwrap_err();
        assert_eq!(error.code(), ErrorCode::DiskFull);
        assert_eq!(error.with_remedy(), "the disk is full (free some space)");
    }

    #[test]
    fn a_job_that_ended_otherwise_is_no_success() {
        let check = |state: JobState, expected: ErrorCode| {
            let error = report_of(job(state, None, None)).unwrap_err();
            assert_eq!(error.code(), expected, "{state:?}");
        };
        check(JobState::Cancelled, ErrorCode::Cancelled);
        check(JobState::Failed, ErrorCode::Internal);
        check(JobState::Done, ErrorCode::Internal);
        let report = report_of(job(JobState::Done, Some(IndexReport::default()), None));
        assert!(report.is_ok());
    }
}
