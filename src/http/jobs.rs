//! `/v1/jobs`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::extract::{Path, Query};
use super::guard::Caller;
use super::problem::Problem;
use crate::clock::now_ms;
use crate::engine::audit::AuditKind;
use crate::engine::serving::jobs::JobView;
use crate::engine::serving::sources::FailedFile;
use crate::error::Error;

/// Jobs or files on one page.
const PAGE_MAX: usize = 1_000;

/// How often a quiet stream says that it is alive: proxies give up after a minute.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// When a client should ask again after its stream broke off.
const RETRY: Duration = Duration::from_secs(3);

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// How many, 1 to 1,000.
    #[serde(default = "page_default")]
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: usize,
    /// Those after this one.
    pub(super) after: Option<String>,
}

impl Page {
    /// Returns how many there may be.
    pub(super) fn limit(&self) -> usize {
        self.limit.clamp(1, PAGE_MAX)
    }
}

fn page_default() -> usize {
    100
}

/// Jobs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct JobList {
    /// Newest first.
    pub(crate) jobs: Vec<JobView>,
}

/// Files that are not indexed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FailureList {
    /// By path.
    pub(crate) failures: Vec<FailedFile>,
}

/// Lists the newest jobs.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(Page),
    responses((status = 200, description = "The jobs", body = JobList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<axum::Json<JobList>, Problem> {
    let mut jobs = app.service.work(|service| service.jobs(PAGE_MAX)).await?;
    jobs.retain(|job| {
        caller.sees(&job.collection) && page.after.as_ref().is_none_or(|after| job.id < *after)
    });
    jobs.truncate(page.limit());
    Ok(axum::Json(JobList { jobs }))
}

/// Says how far a job is.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, description = "The job", body = JobView)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<JobView>, Problem> {
    find(&app, &caller, id).await.map(axum::Json)
}

/// Stops a job; what it did is kept.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, description = "The job", body = JobView)))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<JobView>, Problem> {
    let job = find(&app, &caller, id).await?;
    let job = app
        .service
        .work(move |service| {
            if job.state.is_final() {
                return Ok(job);
            }
            service.access.may_act()?;
            let job = service.cancel_job(&job.id)?;
            service
                .access
                .record(AuditKind::JobCancelled, &caller.actor(), &job.id)?;
            Ok(job)
        })
        .await?;
    Ok(axum::Json(job))
}

/// Tells how far a job is, whenever that changes, until it has ended: events of the type `job`, each with the job, and
/// one of the type `closing` where the server ends first.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, description = "The events", body = JobView, content_type = "text/event-stream")))]
pub(super) async fn events(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    // Watched before it is looked up: its end cannot come unseen in between.
    let watching = app.service.watch_job(&id);
    let job = find(&app, &caller, id).await?;
    let access = app.clone();
    let may_go_on = move || access.service.access.is_valid(caller.principal(), now_ms());
    Ok(
        Sse::new(told(job, watching, app.service.draining(), may_go_on))
            .keep_alive(KeepAlive::new().interval(ALIVE_EVERY)),
    )
}

/// Lists the files of a job's source that are not indexed, with the reason of each.
#[utoipa::path(get, path = "/v1/jobs/{id}/failures", tag = "jobs", params(("id" = String, Path), Page),
    responses((status = 200, description = "The files", body = FailureList)))]
pub(super) async fn failures(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Result<axum::Json<FailureList>, Problem> {
    let job = find(&app, &caller, id).await?;
    let failures = app
        .service
        .work(move |service| {
            let limit = page.limit();
            service.job_failures(&job.id, page.after.as_deref(), limit)
        })
        .await?;
    Ok(axum::Json(FailureList { failures }))
}

/// Returns a job that the caller may see.
async fn find(app: &App, caller: &Caller, id: String) -> Result<JobView, Problem> {
    let asked = id.clone();
    let job = app.service.work(move |service| service.job(&asked)).await?;
    if caller.sees(&job.collection) {
        return Ok(job);
    }
    Err(Error::JobMissing {
        id: id.chars().take(64).collect(),
    }
    .into())
}

/// What a stream of events tells next.
enum Next {
    /// The state that was looked up.
    First(Box<JobView>),
    /// A change.
    Change,
    /// Nothing.
    End,
}

/// The state now, then every change, until nothing changes any more or the server ends.
fn told(
    job: JobView,
    watching: Option<watch::Receiver<JobView>>,
    draining: watch::Receiver<bool>,
    may_go_on: impl Fn() -> bool + Send + 'static,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let state = (Next::First(Box::new(job)), watching, draining, may_go_on);
    stream::unfold(
        state,
        |(next, watching, mut draining, may_go_on)| async move {
            match next {
                Next::End => None,
                Next::First(job) => {
                    let event = event(&job).retry(RETRY);
                    Some((Ok(event), (Next::Change, watching, draining, may_go_on)))
                }
                Next::Change => {
                    let mut watching = watching?;
                    let is_draining = tokio::select! {
                        changed = watching.changed() => {
                            changed.ok()?;
                            false
                        }
                        _ = draining.wait_for(|draining| *draining) => true,
                    };
                    if is_draining {
                        let event = Event::default()
                            .event("closing")
                            .retry(RETRY)
                            .data("{\"reason\":\"draining\"}");
                        return Some((Ok(event), (Next::End, None, draining, may_go_on)));
                    }
                    if !may_go_on() {
                        // The key was revoked, or has expired.
                        return None;
                    }
                    let job = watching.borrow_and_update().clone();
                    let next = if job.state.is_final() {
                        Next::End
                    } else {
                        Next::Change
                    };
                    Some((Ok(event(&job)), (next, Some(watching), draining, may_go_on)))
                }
            }
        },
    )
}

fn event(job: &JobView) -> Event {
    let event = Event::default().event("job");
    match serde_json::to_string(job) {
        Ok(json) => event.data(json),
        Err(_) => event,
    }
}
