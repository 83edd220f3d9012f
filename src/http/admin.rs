//! `/v1/admin`: keys, allowed roots, the audit log, the state of the installation.

use std::path::PathBuf;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::extract::{Json, Path, Query};
use super::guard::Caller;
use super::problem::Problem;
use crate::engine::access::{CreatedKey, KeyLimit, KeyList, KeyView, NewKey, Scopes};
use crate::engine::status::{self, ModelStatus, Status};
use crate::error::ErrorCode;
use crate::store::sqlite::hub::{AUDIT_PAGE_MAX, AuditHead};

/// How long a key that was rotated goes on where nothing is said: a day, so that everybody can be given the new one.
const OVERLAP_S: u64 = 24 * 60 * 60;

/// A key to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKeyBody {
    /// What it is called.
    #[schema(max_length = 64, min_length = 1)]
    pub(crate) name: String,
    /// What it may do: `embed`, `search`, `collections:read`, `collections:write`, `sources:write`, `ops:read`,
    /// `admin:keys`, `admin:roots`, `admin:audit`, `admin:breakers`, `admin`.
    pub(crate) scopes: Vec<String>,
    /// The collections it sees; all where there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) collections: Option<Vec<String>>,
    /// On whose behalf it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// When it ends, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_ms: Option<u64>,
    /// What it may ask, in the place of what the settings say of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate_limit: Option<KeyLimit>,
}

/// How a key is replaced.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// How long the old key goes on, in seconds; by default a day.
    #[serde(default = "overlap_default")]
    pub(crate) overlap_s: u64,
}

fn overlap_default() -> u64 {
    OVERLAP_S
}

/// A folder on the server's machine.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootBody {
    /// Its absolute path.
    #[schema(value_type = String)]
    pub(crate) path: PathBuf,
}

/// The folders below which sources may lie.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RootList {
    /// In order of path.
    #[schema(value_type = Vec<String>)]
    pub(crate) roots: Vec<PathBuf>,
}

/// A record of the audit log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditView {
    /// Its number.
    pub(crate) seq: u64,
    /// When, in milliseconds since the epoch.
    pub(crate) at_ms: u64,
    /// What happened.
    pub(crate) kind: String,
    /// Who did it.
    pub(crate) actor: String,
    /// To what.
    pub(crate) subject: String,
    /// How it ended.
    pub(crate) outcome: String,
    /// What else is known, as JSON.
    pub(crate) detail: String,
    /// The hash of the record, over all of the above and the hash of the record before.
    pub(crate) hash: String,
}

/// Records of the audit log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditList {
    /// In order.
    pub(crate) records: Vec<AuditView>,
}

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditPage {
    /// Those after this number.
    #[serde(default)]
    after: u64,
    /// How many, 1 to 1,000.
    #[serde(default = "page_default")]
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: usize,
}

fn page_default() -> usize {
    100
}

/// What the log is compared with.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyQuery {
    /// A head that was printed before, `NUMBER:HASH`: shows whether the end was cut off since.
    head: Option<String>,
}

/// What was found in the audit log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditVerdict {
    /// Whether every record is as it was written.
    pub(crate) is_whole: bool,
    /// Whole records.
    pub(crate) records: u64,
    /// The last whole record, `NUMBER:HASH`: to be kept elsewhere.
    pub(crate) head: String,
    /// The number of the first record that is not as it was written.
    pub(crate) broken_seq: Option<u64>,
    /// What is wrong with it.
    pub(crate) damage: Option<String>,
    /// Whether the head that was given is in an archive and not in the log any more.
    pub(crate) is_head_archived: bool,
}

/// Says what is indexed, how completely, and what was left out.
#[utoipa::path(get, path = "/v1/admin/status", tag = "admin",
    responses((status = 200, description = "The state", body = Status)))]
pub(super) async fn status(
    State(app): State<App>,
    caller: Caller,
) -> Result<axum::Json<Status>, Problem> {
    let mut status = app
        .service
        .work(|service| {
            let (model, problem) = match service.model.get() {
                Ok(model) => {
                    let embedder = model.embedder();
                    let model = ModelStatus {
                        name: embedder.name().to_owned(),
                        dimensions: embedder.dimensions(),
                        fingerprint: embedder.fingerprint().to_owned(),
                    };
                    (Some(model), String::new())
                }
                Err(problem) => (None, problem.to_string()),
            };
            let db = service.connections.take()?;
            let writer = Some(std::process::id());
            let mut status = status::of(service.config(), db.store(), model, problem, writer)?;
            status.service = Some(service.degradation());
            for collection in &mut status.collections {
                // One that is being deleted is as the store has it.
                if let Ok(live) = service.live(&collection.name) {
                    collection.freshness = service.freshness(db.store(), &live)?;
                }
            }
            Ok(status)
        })
        .await?;
    status
        .collections
        .retain(|collection| caller.sees(&collection.name));
    Ok(axum::Json(status))
}

/// Lists the keys that may do no more than the caller.
#[utoipa::path(get, path = "/v1/admin/keys", tag = "admin",
    responses((status = 200, description = "The keys", body = KeyList)))]
pub(super) async fn list_keys(
    State(app): State<App>,
    caller: Caller,
) -> Result<axum::Json<KeyList>, Problem> {
    let mut rows = app
        .service
        .work_urgently(|service| service.access.keys())
        .await?;
    // Those that the caller could have made; what others may see is none of its business.
    rows.retain(|row| caller.principal().may_end(row).is_ok());
    Ok(axum::Json(KeyList {
        keys: rows.into_iter().map(KeyView::from).collect(),
    }))
}

/// Makes a key. It can be given no right that the caller does not have.
#[utoipa::path(post, path = "/v1/admin/keys", tag = "admin", request_body = NewKeyBody,
    responses((status = 201, description = "The key and, this once, its token", body = CreatedKey)))]
pub(super) async fn create_key(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<NewKeyBody>,
) -> Result<(StatusCode, axum::Json<CreatedKey>), Problem> {
    let new = NewKey {
        name: body.name,
        scopes: Scopes::from_names(body.scopes.iter().map(String::as_str))
            .map_err(crate::error::Error::from)?,
        collections: body.collections.map(|names| names.into_iter().collect()),
        tenant: body.tenant,
        expires_ms: body.expires_ms,
        rate_limit: body.rate_limit,
    };
    let created = app
        .service
        .work_urgently(move |service| service.access.create_key(caller.principal(), &new))
        .await?;
    Ok((StatusCode::CREATED, axum::Json(created.into())))
}

/// Revokes a key: nothing is done with it from now on.
#[utoipa::path(delete, path = "/v1/admin/keys/{id}", tag = "admin", params(("id" = String, Path)),
    responses((status = 204, description = "It is revoked")))]
pub(super) async fn revoke_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.service
        .work_urgently(move |service| service.access.revoke_key(caller.principal(), &id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a key with the rights of another, which ends after an overlap.
#[utoipa::path(post, path = "/v1/admin/keys/{id}/rotate", tag = "admin", params(("id" = String, Path)),
    request_body = RotateBody,
    responses((status = 201, description = "The new key and, this once, its token", body = CreatedKey)))]
pub(super) async fn rotate_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<RotateBody>,
) -> Result<(StatusCode, axum::Json<CreatedKey>), Problem> {
    let overlap_ms = body.overlap_s.saturating_mul(1_000);
    let created = app
        .service
        .work_urgently(move |service| {
            service
                .access
                .rotate_key(caller.principal(), &id, overlap_ms)
        })
        .await?;
    Ok((StatusCode::CREATED, axum::Json(created.into())))
}

/// Lists the folders below which sources may lie.
#[utoipa::path(get, path = "/v1/admin/roots", tag = "admin",
    responses((status = 200, description = "The folders", body = RootList)))]
pub(super) async fn list_roots(
    State(app): State<App>,
    caller: Caller,
) -> Result<axum::Json<RootList>, Problem> {
    must_see_all(&caller)?;
    Ok(axum::Json(RootList {
        roots: app.service.access.roots(),
    }))
}

/// Allows a folder, and what is below it, to be indexed.
#[utoipa::path(post, path = "/v1/admin/roots", tag = "admin", request_body = RootBody,
    responses((status = 200, description = "The folders", body = RootList)))]
pub(super) async fn add_root(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<RootBody>,
) -> Result<axum::Json<RootList>, Problem> {
    must_see_all(&caller)?;
    let roots = app
        .service
        .work(move |service| {
            service.access.add_root(caller.principal(), &body.path)?;
            Ok(service.access.roots())
        })
        .await?;
    Ok(axum::Json(RootList { roots }))
}

/// Allows a folder no longer; what was indexed from it stays.
#[utoipa::path(delete, path = "/v1/admin/roots", tag = "admin", request_body = RootBody,
    responses((status = 200, description = "The folders that are left", body = RootList)))]
pub(super) async fn remove_root(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<RootBody>,
) -> Result<axum::Json<RootList>, Problem> {
    must_see_all(&caller)?;
    let roots = app
        .service
        .work(move |service| {
            service.access.remove_root(caller.principal(), &body.path)?;
            Ok(service.access.roots())
        })
        .await?;
    Ok(axum::Json(RootList { roots }))
}

/// Returns records of the audit log.
#[utoipa::path(get, path = "/v1/admin/audit", tag = "admin", params(AuditPage),
    responses((status = 200, description = "The records", body = AuditList)))]
pub(super) async fn audit(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<AuditPage>,
) -> Result<axum::Json<AuditList>, Problem> {
    must_see_all(&caller)?;
    let limit = page.limit.clamp(1, AUDIT_PAGE_MAX);
    let records = app
        .service
        .work(move |service| service.access.audit(page.after, limit))
        .await?;
    let views = records.into_iter().map(|record| AuditView {
        seq: record.seq,
        at_ms: record.at_ms,
        kind: record.kind,
        actor: record.actor,
        subject: record.subject,
        outcome: record.outcome,
        detail: record.detail,
        hash: record.hash.to_string(),
    });
    Ok(axum::Json(AuditList {
        records: views.collect(),
    }))
}

/// Says whether the audit log is what was written.
#[utoipa::path(get, path = "/v1/admin/audit/verify", tag = "admin", params(VerifyQuery),
    responses((status = 200, description = "What was found", body = AuditVerdict)))]
pub(super) async fn verify_audit(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<VerifyQuery>,
) -> Result<axum::Json<AuditVerdict>, Problem> {
    must_see_all(&caller)?;
    let head =
        match query.head {
            Some(text) => Some(text.parse::<AuditHead>().map_err(|malformed| {
                Problem::new(ErrorCode::InvalidRequest, malformed.to_string())
            })?),
            None => None,
        };
    let found = app
        .service
        .work(move |service| service.access.verify_audit(head))
        .await?;
    Ok(axum::Json(AuditVerdict {
        is_whole: found.is_whole(),
        records: found.records,
        head: found.head.to_string(),
        broken_seq: found.broken.map(|broken| broken.seq),
        damage: found.broken.map(|broken| broken.damage.to_string()),
        is_head_archived: found.is_head_archived,
    }))
}

/// Refuses a key that is bound to collections: what is asked for concerns all of them.
fn must_see_all(caller: &Caller) -> Result<(), Problem> {
    if caller.principal().collections.is_none() {
        return Ok(());
    }
    Err(Problem::new(
        ErrorCode::Forbidden,
        "the key is bound to collections, and this concerns all of them",
    )
    .with_remedy("ask the operator for a key that is not bound"))
}
