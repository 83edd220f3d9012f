//! `/v1/collections/{collection}/sources`.

use std::path::PathBuf;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app::App;
use super::extract::{Json, Path, Query};
use super::guard::Caller;
use super::jobs::{FailureList, Page};
use super::problem::Problem;
use crate::engine::access::Scope;
use crate::engine::audit::AuditKind;
use crate::engine::ingest::{Origin, Repository};
use crate::engine::serving::jobs::JobView;
use crate::engine::serving::sources::{self, SourceView};
use crate::error::Error;

/// A folder or a repository to be indexed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSource {
    /// The folder, as an absolute path on the server's machine, inside one of its allowed roots.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "/home/me/project")]
    path: Option<PathBuf>,
    /// In its place, the address of a git repository, by https or ssh.
    #[serde(default)]
    #[schema(example = "https://example.com/team/project.git")]
    url: Option<String>,
    /// The branch or tag of the repository; left away, that which the repository names as its own.
    #[serde(default, rename = "ref")]
    #[schema(example = "main")]
    reference: Option<String>,
    /// Folders below it that alone are indexed, this time.
    #[serde(default)]
    within: Vec<String>,
    /// Whether the vectors are left for later.
    #[serde(default)]
    text_only: bool,
    /// Whether what changes in it is brought in as it happens, from here on; a repository is fetched again from time to
    /// time. Left away, that stays as it is.
    #[serde(default)]
    watch: Option<bool>,
}

impl NewSource {
    fn checked(self, may_sign_in: bool) -> Result<sources::NewSource, Error> {
        let origin = match (self.path, self.url, self.reference) {
            (Some(path), None, None) => Origin::Folder(path),
            (None, Some(url), reference) => {
                Origin::Repository(Repository::new(&url, reference.as_deref())?)
            }
            (Some(_), None, Some(_)) => {
                return Err(Error::Argument {
                    problem: "a folder has no `ref`".to_owned(),
                    remedy: "leave it away: what is checked out is indexed".to_owned(),
                });
            }
            (Some(_), Some(_), _) | (None, None, _) => {
                return Err(Error::Argument {
                    problem: "neither or both of `path` and `url`".to_owned(),
                    remedy: "give `path` for a folder, `url` for a git repository".to_owned(),
                });
            }
        };
        Ok(sources::NewSource {
            origin,
            within: self.within,
            with_vectors: !self.text_only,
            watch: self.watch,
            may_sign_in,
        })
    }
}

/// A source and the job that indexes it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SourceAdded {
    /// The source.
    pub(crate) source: SourceView,
    /// The job.
    pub(crate) job: JobView,
}

/// The sources of a collection.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SourceList {
    /// Oldest first.
    pub(crate) sources: Vec<SourceView>,
}

/// Adds a folder or a repository and indexes it; for one that is there, brings the index up to date.
#[utoipa::path(post, path = "/v1/collections/{collection}/sources", tag = "sources",
    params(("collection" = String, Path)), request_body = NewSource,
    responses((status = 202, description = "The job that indexes it", body = SourceAdded)))]
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Json(new): Json<NewSource>,
) -> Result<(StatusCode, axum::Json<SourceAdded>), Problem> {
    caller.must_see(&name)?;
    let added = app
        .service
        .work(move |service| {
            service.access.may_act()?;
            let new = new.checked(caller.principal().may(Scope::AdminRoots))?;
            let (source, job) = service.add_source(&name, new)?;
            service.access.record(
                AuditKind::SourceAdded,
                &caller.actor(),
                &format!("{name}/{}", source.id),
            )?;
            Ok(SourceAdded { source, job })
        })
        .await?;
    Ok((StatusCode::ACCEPTED, axum::Json(added)))
}

/// Lists the sources of a collection.
#[utoipa::path(get, path = "/v1/collections/{collection}/sources", tag = "sources",
    params(("collection" = String, Path)),
    responses((status = 200, description = "The sources", body = SourceList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<SourceList>, Problem> {
    caller.must_see(&name)?;
    let sources = app
        .service
        .work(move |service| service.sources(&name))
        .await?;
    Ok(axum::Json(SourceList { sources }))
}

/// Describes a source.
#[utoipa::path(get, path = "/v1/collections/{collection}/sources/{id}", tag = "sources",
    params(("collection" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "The source", body = SourceView)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
) -> Result<axum::Json<SourceView>, Problem> {
    caller.must_see(&name)?;
    let source = app
        .service
        .work(move |service| service.source(&name, &id))
        .await?;
    Ok(axum::Json(source))
}

/// Lists the files of a source that are not indexed, with the reason of each.
#[utoipa::path(get, path = "/v1/collections/{collection}/sources/{id}/skipped", tag = "sources",
    params(("collection" = String, Path), ("id" = String, Path), Page),
    responses((status = 200, description = "The files", body = FailureList)))]
pub(super) async fn skipped(
    State(app): State<App>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
    Query(page): Query<Page>,
) -> Result<axum::Json<FailureList>, Problem> {
    caller.must_see(&name)?;
    let failures = app
        .service
        .work(move |service| service.skipped_files(&name, &id, page.after.as_deref(), page.limit()))
        .await?;
    Ok(axum::Json(FailureList { failures }))
}

/// Takes a source out with everything that came from it; the folder stays as it is.
#[utoipa::path(delete, path = "/v1/collections/{collection}/sources/{id}", tag = "sources",
    params(("collection" = String, Path), ("id" = String, Path)),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.must_see(&name)?;
    app.service
        .work(move |service| {
            service.access.may_act()?;
            service.delete_source(&name, &id)?;
            service.access.record(
                AuditKind::SourceRemoved,
                &caller.actor(),
                &format!("{name}/{id}"),
            )
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
