//! `/v1/admin/drills`: walks a mechanism on the live server, without harm, and says what happened.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app::App;
use super::extract::Json;
use super::problem::Problem;
use crate::engine::serving::drill::{BreakerDrill, DegradationDrill, RecoveryDrill, RetryDrill};

/// What is searched in a drill of degradation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DegradationDrillBody {
    /// The collection.
    pub(crate) collection: String,
    /// The question.
    pub(crate) query: String,
}

/// Opens the circuit breaker of the cache by failures; it closes by itself.
#[utoipa::path(post, path = "/v1/admin/drills/breaker", tag = "admin",
    responses((status = 200, description = "How it began", body = BreakerDrill)))]
pub(super) async fn drill_breaker(
    State(app): State<App>,
) -> Result<axum::Json<BreakerDrill>, Problem> {
    Ok(axum::Json(app.service.drill_breaker()?))
}

/// Lets a thousand callers ask a dependency that is dead, and counts the calls.
#[utoipa::path(post, path = "/v1/admin/drills/retry", tag = "admin",
    responses((status = 200, description = "What came of it", body = RetryDrill)))]
pub(super) async fn drill_retry(State(app): State<App>) -> Result<axum::Json<RetryDrill>, Problem> {
    Ok(axum::Json(app.service.drill_retry().await?))
}

/// Answers a question on every rung of the ladder.
#[utoipa::path(post, path = "/v1/admin/drills/degradation", tag = "admin", request_body = DegradationDrillBody,
    responses((status = 200, description = "What answered on each", body = DegradationDrill)))]
pub(super) async fn drill_degradation(
    State(app): State<App>,
    Json(body): Json<DegradationDrillBody>,
) -> Result<axum::Json<DegradationDrill>, Problem> {
    let drill = app
        .service
        .drill_degradation(&body.collection, &body.query)
        .await?;
    Ok(axum::Json(drill))
}

/// Does the repair that costs least.
#[utoipa::path(post, path = "/v1/admin/drills/recovery", tag = "admin",
    responses((status = 200, description = "How it ended", body = RecoveryDrill)))]
pub(super) async fn drill_recovery(State(app): State<App>) -> axum::Json<RecoveryDrill> {
    axum::Json(app.service.drill_recovery())
}
