//! `index`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RoleServer};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::api::{Api, Call, Collections, Sources};
use super::arguments;
use super::root::Root;
use super::status::{state_of, step_of};
use crate::engine::serving::collections::CollectionView;
use crate::engine::serving::jobs::{JobView, Phase};
use crate::error::{Error, ErrorCode, Result};
use crate::store::{CollectionKind, JobState};

/// How often a job is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often the client is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long is waited for the end: clients give a tool a minute.
const WAIT_MAX: Duration = Duration::from_secs(45);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: Option<String>,
    collection: Option<String>,
}

#[derive(Deserialize)]
struct Added {
    job: JobView,
}

/// Who is told how far a job is.
pub(super) struct Listener {
    /// The client.
    pub(super) peer: Peer<RoleServer>,
    /// By what it knows the call again; none where it does not ask.
    pub(super) token: Option<ProgressToken>,
}

/// How far a job is, in hundredths.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    done: f64,
    what: String,
}

impl Listener {
    async fn tell(&self, step: Step) {
        if let Some(token) = &self.token {
            let progress = ProgressNotificationParam::new(token.clone(), step.done)
                .with_total(100.0)
                .with_message(step.what);
            // Who does not listen any more is noticed when the request ends.
            let _ = self.peer.notify_progress(progress).await;
        }
    }
}

/// Indexes a folder and waits for the end, as long as clients wait. Left alone, the job goes on.
///
/// # Errors
/// Arguments that cannot be; a folder that may not be indexed; a job that failed; those of the API.
pub(super) async fn index(
    api: &dyn Api,
    root: &Root,
    arguments: Option<Map<String, Value>>,
    listener: &Listener,
) -> Result<String> {
    let asked: Arguments = arguments::read(arguments)?;
    let folder = root.inside(asked.path.as_deref())?;
    let place = place_of(api, folder, asked.collection).await?;
    let begun = begin(api, root, &place).await;
    if begun.is_err() && place.is_new {
        // What cannot be taken away is empty, and in nobody's way.
        let _ = take_back(api, &place.name).await;
    }
    let job = follow(api, begun?, listener).await?;
    let report = if job.state.is_final() {
        ended(job)?
    } else {
        format!(
            "It goes on by itself ({}); `search` finds what is there, `status` tells how far it is.",
            step_of(&job)
        )
    };
    let collection: CollectionView = Call::get(&["v1", "collections", &place.name], &[])
        .of(api)
        .await?;
    Ok(format!("{report}\n- {}\n", state_of(&collection)))
}

/// What is indexed, and where to.
struct Place {
    name: String,
    folder: PathBuf,
    /// Whether the collection was made for it.
    is_new: bool,
}

/// Begins a job that indexes and watches a place.
async fn begin(api: &dyn Api, root: &Root, place: &Place) -> Result<JobView> {
    let source = json!({"path": place.folder, "watch": true});
    let path = ["v1", "collections", &place.name, "sources"];
    let added: Added = match Call::post(&path, source.clone()).of(api).await {
        // The owner's client may have the folder that its owner works in indexed, and no other.
        Err(error) if error.code() == ErrorCode::Forbidden && root.folder().is_some() => {
            let root = json!({"path": root.folder()});
            Call::post(&["v1", "admin", "roots"], root)
                .of::<Value>(api)
                .await?;
            Call::post(&path, source).of(api).await?
        }
        added => added?,
    };
    Ok(added.job)
}

/// Takes away a collection that was made for what is refused, unless somebody has put something into it meanwhile.
async fn take_back(api: &dyn Api, name: &str) -> Result<()> {
    let sources: Sources = Call::get(&["v1", "collections", name, "sources"], &[])
        .of(api)
        .await?;
    if sources.sources.is_empty() {
        let made = Call::delete(&["v1", "collections", name]);
        made.of::<IgnoredAny>(api).await?;
    }
    Ok(())
}

/// Tells how far a job is until it has ended, or has taken as long as clients wait.
async fn follow(api: &dyn Api, mut job: JobView, listener: &Listener) -> Result<JobView> {
    let began = Instant::now();
    let mut told: Option<(Step, Instant)> = None;
    while !job.state.is_final() && began.elapsed() < WAIT_MAX {
        let step = Step {
            done: far(&job),
            what: step_of(&job),
        };
        let is_news = told
            .as_ref()
            .is_none_or(|(last, at)| *last != step && at.elapsed() >= TELL_EVERY);
        if is_news {
            told = Some((step.clone(), Instant::now()));
            listener.tell(step).await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        job = Call::get(&["v1", "jobs", &job.id], &[]).of(api).await?;
    }
    Ok(job)
}

/// Returns the collection that a folder goes to, made if it is not there, and the folder: one that is indexed already, or is
/// part of one that is, is brought up to date where it is.
async fn place_of(api: &dyn Api, folder: PathBuf, asked: Option<String>) -> Result<Place> {
    let text = folder.display().to_string();
    let holding: Collections = Call::get(&["v1", "collections"], &[("holding", &text)])
        .of(api)
        .await?;
    let is_asked = |name: &String| asked.as_ref().is_none_or(|asked| asked == name);
    let mut holding = holding.collections.into_iter().map(|one| one.name);
    if let Some(name) = holding.find(is_asked) {
        let path = ["v1", "collections", &name, "sources"];
        let sources: Sources = Call::get(&path, &[]).of(api).await?;
        let around = sources.sources.into_iter().filter_map(|source| source.path);
        let around = around
            .map(PathBuf::from)
            .filter(|root| folder.starts_with(root));
        // The innermost, where several are around it.
        if let Some(folder) = around.max_by_key(|root| root.components().count()) {
            return Ok(Place {
                name,
                folder,
                is_new: false,
            });
        }
    }
    let all: Collections = Call::get(&["v1", "collections"], &[]).of(api).await?;
    let is_free = |name: &str| all.collections.iter().all(|one| one.name != name);
    let name = match asked {
        Some(name) => name,
        None => name_of(&folder, is_free)?,
    };
    let is_new = is_free(&name);
    let kind = json!({"kind": CollectionKind::Code});
    Call::put(&["v1", "collections", &name], kind)
        .of::<Value>(api)
        .await?;
    Ok(Place {
        name,
        folder,
        is_new,
    })
}

/// Returns the name of a folder, with a number where another folder's collection has it.
fn name_of(folder: &Path, is_free: impl Fn(&str) -> bool) -> Result<String> {
    let Some(own) = folder.file_name() else {
        return Err(Error::Argument {
            problem: format!("{} has no name to call a collection by", folder.display()),
            remedy: "name a `collection`, or index a folder below it".to_owned(),
        });
    };
    let own = own.to_string_lossy().into_owned();
    let numbered = (2..).map(|number| format!("{own}-{number}"));
    let mut names = std::iter::once(own.clone()).chain(numbered);
    Ok(names.find(|name| is_free(name)).unwrap_or(own))
}

/// Returns how far a job is, in hundredths: text is what it is searchable by, so it is the larger part.
fn far(job: &JobView) -> f64 {
    let part = |done: u64, of: u64| {
        if of == 0 {
            0.0
        } else {
            done as f64 / of as f64
        }
    };
    let at = &job.progress;
    match at.phase {
        Phase::Waiting => 0.0,
        Phase::Fetching | Phase::Walking => 1.0,
        Phase::Text => 2.0 + 58.0 * part(at.files_done, at.files_total),
        Phase::Vectors => 60.0 + 40.0 * part(at.vectors_done, at.vectors_total),
        Phase::Ended => 100.0,
    }
}

fn ended(job: JobView) -> Result<String> {
    let (code, message) = match (job.state, job.report, job.error) {
        (JobState::Done, Some(report), _) => {
            let removed = match report.removed {
                0 => String::new(),
                removed => format!(", {removed} removed"),
            };
            return Ok(format!(
                "Indexed in {:.1} s: {} of {} files changed{removed}, {} texts embedded.",
                report.took_ms as f64 / 1_000.0,
                report.changed,
                report.files,
                report.embedded_now
            ));
        }
        (JobState::Failed, _, Some(error)) => {
            let code = ErrorCode::from_name(&error.code);
            (code.unwrap_or(ErrorCode::Internal), error.message)
        }
        (JobState::Cancelled, ..) => (ErrorCode::Cancelled, "the job was cancelled".to_owned()),
        (state, ..) => (ErrorCode::Internal, format!("the job ended as {state:?}")),
    };
    Err(Error::Reported {
        code,
        message,
        remedy: None,
    })
}
