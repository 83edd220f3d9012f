//! The reference of the API, and the document that it is made of.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::dashboard;

/// Our own style alone, by its place in the page; no script, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The reference of the API, readable offline.
#[utoipa::path(get, path = "/docs", tag = "pages",
    responses((status = 200, description = "The page", content_type = "text/html")))]
pub(super) async fn docs(State(app): State<App>) -> Response {
    dashboard::html(app.docs.clone(), POLICY)
}

/// The OpenAPI 3.1 document.
#[utoipa::path(get, path = "/openapi.json", tag = "pages",
    responses((status = 200, description = "The document", content_type = "application/json")))]
pub(super) async fn openapi(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, "application/json")], app.openapi.clone()).into_response()
}
