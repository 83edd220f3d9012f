//! Probes and metrics, on both listeners.

use std::time::Instant;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::{App, Final};
use super::extract::Query;
use super::guard::Caller;
use super::problem::Problem;
use crate::engine::access::Scope;
use crate::error::ErrorCode;
use crate::observability::health::{HealthBody, HealthDetail, HealthState, NotPassed};
use crate::observability::metrics::Format;

/// Whether a probe passed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProbeBody {
    /// `ok`, or why not: `wedged`, `starting`, `startup_overdue`, `draining`, `unhealthy`.
    status: &'static str,
}

/// How much is said.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HealthQuery {
    /// With this parameter, whatever its value, every dependency is listed; needs the scope `ops:read`.
    verbose: Option<String>,
}

/// Says whether the process works at all; restart it where it does not.
#[utoipa::path(get, path = "/livez", tag = "operations",
    responses((status = 200, description = "It does", body = ProbeBody),
              (status = 503, description = "It does not", body = ProbeBody)))]
pub(super) async fn livez(State(app): State<App>) -> Response {
    probe(app.health.live(Instant::now()))
}

/// Says whether requests should be sent here.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, description = "They should", body = ProbeBody),
              (status = 503, description = "They should not", body = ProbeBody)))]
pub(super) async fn readyz(State(app): State<App>) -> Response {
    probe(app.health.ready(Instant::now()))
}

/// Says whether the start is over.
#[utoipa::path(get, path = "/startupz", tag = "operations",
    responses((status = 200, description = "It is", body = ProbeBody),
              (status = 503, description = "It is not", body = ProbeBody)))]
pub(super) async fn startupz(State(app): State<App>) -> Response {
    probe(app.health.started(Instant::now()))
}

/// Says how well the server is: 200 for Healthy and Degraded, 503 for Unhealthy.
#[utoipa::path(get, path = "/health", tag = "operations", params(HealthQuery),
    responses((status = 200, description = "Healthy or Degraded", body = HealthBody),
              (status = 503, description = "Unhealthy", body = HealthDetail)))]
pub(super) async fn health(
    State(app): State<App>,
    caller: Option<axum::Extension<Caller>>,
    Query(query): Query<HealthQuery>,
) -> Result<Response, Problem> {
    let now = Instant::now();
    if query.verbose.is_none() {
        let body = app.health.body(now);
        return Ok(answer(status_of(body.status), &body));
    }
    match caller {
        Some(axum::Extension(caller)) if caller.principal().may(Scope::OpsRead) => {
            let detail = app.health.detail(now);
            Ok(answer(status_of(detail.status), &detail))
        }
        Some(_) => Err(
            Problem::new(ErrorCode::Forbidden, "the key has not the scope `ops:read`")
                .with_remedy("ask the operator for a key with this scope"),
        ),
        None => Err(Problem::new(
            ErrorCode::Unauthenticated,
            "the details need a key with the scope `ops:read`",
        )
        .with_remedy("send Authorization: Bearer KEY, or leave `verbose` away")),
    }
}

/// Returns the metrics, as Prometheus text or, where it is asked for, as OpenMetrics.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "The metrics", content_type = "text/plain")))]
pub(super) async fn metrics(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::from_accept(accept);
    let limits = std::sync::Arc::clone(&app.quotas);
    let text = app
        .service
        .work_urgently(move |service| {
            service.measure();
            limits.measure(service.metrics());
            Ok(service.metrics().encode(format))
        })
        .await?;
    Ok(([(CONTENT_TYPE, format.content_type())], text).into_response())
}

fn probe(passed: Result<(), NotPassed>) -> Response {
    match passed {
        Ok(()) => answer(StatusCode::OK, &ProbeBody { status: "ok" }),
        Err(not) => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &ProbeBody { status: not.name() },
        ),
    }
}

fn status_of(state: HealthState) -> StatusCode {
    match state {
        HealthState::Healthy | HealthState::Degraded => StatusCode::OK,
        HealthState::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = (status, bytes).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(Final);
    response
}
