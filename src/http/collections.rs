//! `/v1/collections`.

use std::path::PathBuf;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::extract::{Json, Path, Query};
use super::guard::Caller;
use super::problem::Problem;
use crate::engine::audit::AuditKind;
use crate::engine::remove::Removed;
use crate::engine::serving::collections::CollectionView;
use crate::store::CollectionKind;

/// The collections that the caller may see.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CollectionList {
    /// By name.
    pub(crate) collections: Vec<CollectionView>,
}

/// What a new collection is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCollection {
    /// What it holds.
    kind: CollectionKind,
    /// The length of its vectors; for the kind `vectors` alone.
    dimensions: Option<u32>,
    /// Whether its texts may be sent to the embedding provider of the server's settings, whose vectors it then has.
    #[serde(default)]
    remote_provider: bool,
}

/// Which collections.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Those alone with a folder that is this one or around it: an absolute path.
    #[param(value_type = Option<String>)]
    holding: Option<PathBuf>,
}

/// Lists the collections that the caller may see.
#[utoipa::path(get, path = "/v1/collections", tag = "collections", params(Which),
    responses((status = 200, description = "The collections", body = CollectionList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<axum::Json<CollectionList>, Problem> {
    let collections = app
        .service
        .work(move |service| {
            let names = match which.holding {
                Some(folder) => service.holding(&folder)?,
                None => service.collection_names(),
            };
            let seen = names.into_iter().filter(|name| caller.sees(name));
            // One that goes in between is not listed.
            Ok(seen
                .filter_map(|name| service.describe(&name).ok())
                .collect())
        })
        .await?;
    Ok(axum::Json(CollectionList { collections }))
}

/// Describes a collection.
#[utoipa::path(get, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path)),
    responses((status = 200, description = "The collection", body = CollectionView)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<CollectionView>, Problem> {
    caller.must_see(&name)?;
    let view = app
        .service
        .work(move |service| service.describe(&name))
        .await?;
    Ok(axum::Json(view))
}

/// Makes a collection; one that is there and is the same stays as it is.
#[utoipa::path(put, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path)), request_body = NewCollection,
    responses((status = 201, description = "It was made", body = CollectionView),
              (status = 200, description = "It was there", body = CollectionView)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Json(new): Json<NewCollection>,
) -> Result<(StatusCode, axum::Json<CollectionView>), Problem> {
    caller.must_see(&name)?;
    let (is_new, view) = app
        .service
        .work(move |service| {
            service.access.may_act()?;
            let is_new = if new.remote_provider {
                service.create_remote_collection(&name, new.kind)?
            } else {
                service.create_collection(&name, new.kind, new.dimensions)?
            };
            if is_new {
                service
                    .access
                    .record(AuditKind::CollectionCreated, &caller.actor(), &name)?;
            }
            Ok((is_new, service.describe(&name)?))
        })
        .await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, axum::Json(view)))
}

/// Takes a collection out with everything in it; folders stay as they are.
#[utoipa::path(delete, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path)),
    responses((status = 200, description = "What was taken out", body = Removed)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Removed>, Problem> {
    caller.must_see(&name)?;
    let removed = app
        .service
        .work(move |service| {
            service.access.may_act()?;
            let removed = service.delete_collection(&name)?;
            service
                .access
                .record(AuditKind::CollectionDeleted, &caller.actor(), &name)?;
            Ok(removed)
        })
        .await?;
    Ok(axum::Json(removed))
}
