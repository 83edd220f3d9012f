//! `/v1/collections/{collection}/sources`.

use std::path::PathBuf;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app::App;
use super::extract::{Json, Path};
use super::guard::Caller;
use super::problem::Problem;
use crate::engine::audit::AuditKind;
use crate::engine::serving::collections::SourceView;
use crate::engine::serving::jobs::JobView;

/// A folder to be indexed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSource {
    /// The folder, as an absolute path on the server's machine, inside one of its allowed roots.
    #[schema(value_type = String, example = "/home/me/project")]
    path: PathBuf,
    /// Folders below it that alone are indexed, this time.
    #[serde(default)]
    within: Vec<String>,
    /// Whether the vectors are left for later.
    #[serde(default)]
    text_only: bool,
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

/// Adds a folder and indexes it; for one that is there, brings the index up to date.
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
            let (source, job) = service.add_source(&name, &new.path, new.within, !new.text_only)?;
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
