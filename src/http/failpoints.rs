//! `/v1/admin/failpoints/{point}`: makes something fail, for tests. A release build has no such address.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing;

use super::app::App;
use super::extract::{Json, Path};
use super::guard;
use super::problem::Problem;
use super::routes::{Needs, Route};
use crate::engine::access::Scope;
use crate::error::ErrorCode;
use crate::failpoint::{self, Action, Failpoint};

static ROUTE: Route = Route::of_operator(
    "PUT",
    "/v1/admin/failpoints/{point}",
    Needs::Scope(Scope::Admin),
);

/// Adds the address to the others.
pub(super) fn router(app: &App) -> Router<App> {
    let guard = middleware::from_fn_with_state((app.clone(), &ROUTE), guard::guard);
    let handlers = routing::put(set).delete(clear).route_layer(guard);
    Router::new().route(ROUTE.path, handlers)
}

async fn set(
    State(_): State<App>,
    Path(name): Path<String>,
    Json(action): Json<Action>,
) -> Result<StatusCode, Problem> {
    failpoint::set(by_name(&name)?, action);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(Path(name): Path<String>) -> Result<StatusCode, Problem> {
    failpoint::clear(Some(by_name(&name)?));
    Ok(StatusCode::NO_CONTENT)
}

fn by_name(name: &str) -> Result<Failpoint, Problem> {
    Failpoint::ALL
        .into_iter()
        .find(|point| point.name() == name)
        .ok_or_else(|| Problem::new(ErrorCode::NotFound, "there is no such failpoint"))
}
