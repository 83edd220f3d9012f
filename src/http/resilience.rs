//! `/v1/admin/breakers` and `/v1/admin/degradation`: what works, what does not, and what is decided about it by hand.

use axum::extract::State;

use super::app::App;
use super::extract::{Json, Path};
use super::guard::Caller;
use super::problem::Problem;
use crate::engine::serving::resilience::{
    BreakerList, BreakerOrder, BreakerView, DegradationOrder, DegradationView,
};

/// Lists the circuit breakers with what stands before each dependency.
#[utoipa::path(get, path = "/v1/admin/breakers", tag = "admin",
    responses((status = 200, description = "The breakers", body = BreakerList)))]
pub(super) async fn breakers(State(app): State<App>) -> axum::Json<BreakerList> {
    axum::Json(app.service.breakers())
}

/// Forces a circuit breaker open or closed for a while, or resets it.
#[utoipa::path(put, path = "/v1/admin/breakers/{dependency}", tag = "admin",
    params(("dependency" = String, Path)), request_body = BreakerOrder,
    responses((status = 200, description = "The breaker as it is now", body = BreakerView)))]
pub(super) async fn order_breaker(
    State(app): State<App>,
    caller: Caller,
    Path(dependency): Path<String>,
    Json(order): Json<BreakerOrder>,
) -> Result<axum::Json<BreakerView>, Problem> {
    let actor = caller.actor();
    let view = app
        .service
        .work_urgently(move |service| service.order_breaker(&actor, &dependency, &order))
        .await?;
    Ok(axum::Json(view))
}

/// Says how much of the service there is, and why it is not all.
#[utoipa::path(get, path = "/v1/admin/degradation", tag = "admin",
    responses((status = 200, description = "The level of service", body = DegradationView)))]
pub(super) async fn degradation(State(app): State<App>) -> axum::Json<DegradationView> {
    axum::Json(app.service.degradation())
}

/// Switches parts of the search off for a while.
#[utoipa::path(put, path = "/v1/admin/degradation", tag = "admin", request_body = DegradationOrder,
    responses((status = 200, description = "The level of service as it is now", body = DegradationView)))]
pub(super) async fn order_degradation(
    State(app): State<App>,
    caller: Caller,
    Json(order): Json<DegradationOrder>,
) -> Result<axum::Json<DegradationView>, Problem> {
    let actor = caller.actor();
    let view = app
        .service
        .work_urgently(move |service| service.order_degradation(&actor, Some(&order)))
        .await?;
    Ok(axum::Json(view))
}

/// Switches everything on again.
#[utoipa::path(delete, path = "/v1/admin/degradation", tag = "admin",
    responses((status = 200, description = "The level of service as it is now", body = DegradationView)))]
pub(super) async fn end_degradation(
    State(app): State<App>,
    caller: Caller,
) -> Result<axum::Json<DegradationView>, Problem> {
    let actor = caller.actor();
    let view = app
        .service
        .work_urgently(move |service| service.order_degradation(&actor, None))
        .await?;
    Ok(axum::Json(view))
}
