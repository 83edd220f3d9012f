//! Signing in from a browser: a one-time address becomes a session.

use axum::extract::State;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::browser::SessionCookie;
use super::extract::{Json, Query};
use super::guard::Caller;
use super::listener::Peer;
use super::problem::Problem;
use crate::clock::now_ms;
use crate::engine::audit::AuditKind;
use crate::error::ErrorCode;

/// A body without fields: a page of another site cannot send one of this type.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// A one-time address.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OpenedSession {
    /// To be opened in a browser once, within a minute, relative to the server's own address.
    pub(crate) path: String,
}

/// The token of a one-time address.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Redeem {
    /// As `open` gave it.
    token: String,
}

/// Who the caller is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct WhoAmI {
    /// The id of the key; none where nobody is asked for one.
    pub(crate) key_id: Option<String>,
    /// Its name.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) scopes: Vec<String>,
    /// The collections it may see; none for all.
    pub(crate) collections: Option<Vec<String>>,
    /// The version of the server.
    pub(crate) version: String,
    /// In a browser's session: what is to be sent as X-CSRF-Token with each change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) csrf_token: Option<String>,
}

/// Makes a one-time address that signs a browser in with the rights of the caller's key.
#[utoipa::path(post, path = "/v1/admin/sessions", tag = "sessions", request_body = Empty,
    responses((status = 201, description = "The address", body = OpenedSession)))]
pub(super) async fn open(
    State(app): State<App>,
    caller: Caller,
    Json(Empty {}): Json<Empty>,
) -> Result<(StatusCode, axum::Json<OpenedSession>), Problem> {
    let token = app
        .service
        .access
        .open_session(caller.principal(), now_ms())?;
    let path = format!("/session?token={token}");
    Ok((StatusCode::CREATED, axum::Json(OpenedSession { path })))
}

/// Signs a browser in: sets the session's cookie and leads to the start page.
#[utoipa::path(get, path = "/session", tag = "sessions", params(Redeem),
    responses((status = 303, description = "Signed in")))]
pub(super) async fn redeem(
    State(app): State<App>,
    request_peer: Option<axum::Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
    Query(redeem): Query<Redeem>,
) -> Result<Response, Problem> {
    let is_tls = request_peer.is_some_and(|peer| peer.is_tls);
    let now = now_ms();
    let session = app.service.access.redeem_session(&redeem.token, now)?;
    let actor = session.principal.actor();
    app.service
        .work(move |service| {
            service
                .access
                .record(AuditKind::SessionOpened, &actor, "browser")
        })
        .await?;
    let age_s = session.ends_ms.saturating_sub(now) / 1_000;
    let cookie = SessionCookie::of(&headers, &uri).set(&session.cookie.expose(), age_s, is_tls);
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, axum::http::HeaderValue::from_static("/"));
    headers.insert(
        SET_COOKIE,
        cookie
            .parse()
            .map_err(|_| Problem::new(ErrorCode::Internal, "a cookie that is no header"))?,
    );
    Ok(response)
}

/// Signs a browser out.
#[utoipa::path(delete, path = "/session", tag = "sessions",
    responses((status = 204, description = "Signed out")))]
pub(super) async fn end(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cookie = SessionCookie::of(&headers, &uri);
    if let Some(value) = cookie.read(&headers) {
        app.service.access.end_session(value);
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = cookie.clear().parse() {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Says who the caller is.
#[utoipa::path(get, path = "/v1/whoami", tag = "sessions",
    responses((status = 200, description = "The caller", body = WhoAmI)))]
pub(super) async fn whoami(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> axum::Json<WhoAmI> {
    let session = SessionCookie::of(&headers, &uri)
        .read(&headers)
        .and_then(|cookie| app.service.access.session(cookie, now_ms()));
    let principal = caller.principal();
    axum::Json(WhoAmI {
        key_id: principal.key_id.map(|id| id.to_string()),
        name: principal.name.clone(),
        scopes: principal
            .scopes
            .to_string()
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        collections: principal
            .collections
            .as_ref()
            .map(|names| names.iter().cloned().collect()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        csrf_token: session.map(|(_, csrf)| csrf.expose().to_owned()),
    })
}
