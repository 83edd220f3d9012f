//! Jobs with how far they are.

use axum::Form;
use axum::response::{Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::collection::in_address;
use super::layout::{Page, Place};
use super::visitor::Visitor;
use super::words::{count, number};
use crate::clock::ago;
use crate::engine::access::Scope;
use crate::engine::ingest::IndexReport;
use crate::engine::serving::jobs::{JobView, Phase};
use crate::engine::serving::sources::FailedFile;
use crate::engine::visible::visible;
use crate::error::Result;
use crate::http::extract::Path;
use crate::http::jobs::{FailureList, JobList};
use crate::http::problem::Problem;
use crate::mcp::Call;
use crate::store::JobState;

/// Jobs that are listed.
const JOBS: &str = "100";

/// Files that are shown, and asked for: one more, to know whether there are others.
pub(super) const FAILURES_SHOWN: usize = 200;
pub(super) const FAILURES: &str = "201";

/// A form that changes something.
#[derive(Deserialize)]
pub(in crate::http) struct Change {
    /// The counterpart of the session's cookie.
    #[serde(default)]
    pub(super) csrf: String,
}

/// The page of all jobs.
pub(in crate::http) async fn list(visitor: Visitor) -> Result<Response, Problem> {
    let jobs = all(&visitor).await?;
    let page = Page {
        title: "Jobs",
        visitor: Some(&visitor),
        live: Some("/live?page=jobs".to_owned()),
        place: Place::Jobs,
    };
    Ok(page.answer(&html! {
        h1 { "Jobs" }
        div #jobs { (list_of(&jobs)) }
    }))
}

/// Asks for all jobs.
pub(super) async fn all(visitor: &Visitor) -> Result<Vec<JobView>> {
    let list: JobList = visitor
        .ask(Call::get(&["v1", "jobs"], &[("limit", JOBS)]))
        .await?;
    Ok(list.jobs)
}

/// Returns the list, or that there is nothing in it.
pub(super) fn list_of(jobs: &[JobView]) -> Markup {
    if jobs.is_empty() {
        return html! { p { "No job yet. " code { "embedder index PATH" } " starts one." } };
    }
    let quiet = jobs.iter().filter(|job| is_quiet(job)).count() as u64;
    html! {
        @if quiet < jobs.len() as u64 {
            (rows(jobs.iter().filter(|job| !is_quiet(job))))
        }
        @if quiet > 0 {
            p.faint { (count(quiet, "job", "jobs")) " found nothing new." }
        }
    }
}

/// Whether a job is done and has changed nothing: a repository that is watched leads to one whenever it is asked.
pub(super) fn is_quiet(job: &JobView) -> bool {
    let found_nothing =
        |report: &IndexReport| report.changed + report.removed + report.embedded_now == 0;
    job.state == JobState::Done && job.report.as_ref().is_some_and(found_nothing)
}

/// The page of one job.
pub(in crate::http) async fn show(
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let job: JobView = visitor.ask(Call::get(&["v1", "jobs", &id], &[])).await?;
    let path = ["v1", "jobs", &id, "failures"];
    let failures = Call::get(&path, &[("limit", FAILURES)]);
    let failures: FailureList = visitor.ask(failures).await?;
    let page = Page {
        title: "Job",
        visitor: Some(&visitor),
        live: (!job.state.is_final()).then(|| format!("/live?page=job&id={}", job.id)),
        place: Place::Jobs,
    };
    Ok(page.answer(&html! {
        h1 { "Indexing " a href={ "/collections/" (in_address(&job.collection)) } { (job.collection) } }
        div #job { (detail(&job)) }
        @if let (false, Some(csrf)) = (job.state.is_final(), visitor.csrf_token()) {
            @if visitor.may(Scope::SourcesWrite) {
                form method="post" action={ "/jobs/" (job.id) "/cancel" } {
                    input type="hidden" name="csrf" value=(csrf);
                    button type="submit" { "Cancel the job" }
                }
            }
        }
        @if !failures.failures.is_empty() {
            h2 { "Files that are not indexed" }
            (skipped(&failures.failures, &format!("/v1/jobs/{}/failures", job.id)))
        }
    }))
}

/// Returns files with the reason of each; `address` is where the API has those that are not shown.
pub(super) fn skipped(files: &[FailedFile], address: &str) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label="Files that are not indexed" {
            table {
                thead { tr { th scope="col" { "File" } th scope="col" { "Why" } } }
                tbody {
                    @for file in files.iter().take(FAILURES_SHOWN) {
                        tr {
                            td { (visible(&file.path)) }
                            td { (visible(&file.reason)) }
                        }
                    }
                }
            }
        }
        @if files.len() > FAILURES_SHOWN {
            p.faint { "These are the first " (FAILURES_SHOWN) "; " code { (address) } " has all of them." }
        }
    }
}

/// Cancels a job, from a form.
pub(in crate::http) async fn cancel(
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Change>,
) -> Result<Redirect, Problem> {
    let call = Call::delete(&["v1", "jobs", &id]);
    visitor.change::<IgnoredAny>(call, &form.csrf).await?;
    Ok(Redirect::to(&format!("/jobs/{}", in_address(&id))))
}

/// Returns jobs as a table.
pub(super) fn rows<'a>(jobs: impl Iterator<Item = &'a JobView>) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label="Jobs" {
            table {
                thead {
                    tr {
                        th scope="col" { "Collection" }
                        th scope="col" { "State" }
                        th scope="col" { "Progress" }
                        th scope="col" { "Asked for" }
                    }
                }
                tbody {
                    @for job in jobs {
                        tr {
                            th scope="row" { a href={ "/jobs/" (job.id) } { (job.collection) } }
                            td { (state(job)) }
                            td { (progress(job)) }
                            td { (ago(job.created_ms)) " ago" }
                        }
                    }
                }
            }
        }
    }
}

/// Returns all that is known of a job.
pub(super) fn detail(job: &JobView) -> Markup {
    html! {
        dl {
            dt { "State" } dd { (state(job)) }
            dt { "Progress" } dd { (progress(job)) }
            dt { "Asked for" } dd { (ago(job.created_ms)) " ago" }
            @if let Some(report) = &job.report {
                dt { "Took" } dd { (format!("{:.1} s", report.took_ms as f64 / 1_000.0)) }
                dt { "Files" }
                dd { (number(report.files)) ", " (number(report.changed)) " read, " (number(report.removed)) " removed" }
                dt { "Texts embedded" } dd { (number(report.embedded_now)) }
            }
        }
        @if let Some(error) = &job.error {
            p.notice.bad { (visible(&error.message)) }
        }
    }
}

fn state(job: &JobView) -> Markup {
    let (kind, said) = match job.state {
        JobState::Queued => ("", "waiting"),
        JobState::Running => ("warn", "under way"),
        JobState::Done => ("good", "done"),
        JobState::Failed => ("bad", "failed"),
        JobState::Cancelled => ("", "cancelled"),
    };
    html! { span class={ "state " (kind) } { (said) } }
}

fn progress(job: &JobView) -> Markup {
    let at = &job.progress;
    let bar = |what: &str, done: u64, of: u64| {
        html! {
            (number(done)) " of " (number(of)) " " (what)
            progress max=(of.max(1)) value=(done) aria-label=(what) {}
        }
    };
    match at.phase {
        Phase::Waiting => html! { "waits for its turn" },
        Phase::Fetching => html! { "fetching, " (number(at.bytes_fetched / 1_024)) " KiB so far" },
        Phase::Walking => html! { "listing files" },
        Phase::Text => bar("files", at.files_done, at.files_total),
        Phase::Vectors => bar("vectors", at.vectors_done, at.vectors_total),
        Phase::Ended => match &job.report {
            Some(report) => {
                html! { (number(report.changed)) " files read, " (number(report.embedded_now)) " texts embedded" }
            }
            None => html! { span.faint { "–" } },
        },
    }
}
