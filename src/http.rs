//! The HTTP face: a thin layer over [`crate::engine::serving`]. One file a resource.
//!
//! A request passes, from the outside in: the accept loop with its limits (`listener`), what every request passes
//! (`pipeline`: names, Host and Origin, panics, measures, the shape of errors), compression, the router, the guard of its
//! address (`guard`: deadline, key, scope), and its handler. `routes` is the one table of addresses.

use axum::Router;
use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use axum::middleware;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

mod activity;
mod admin;
mod app;
mod browser;
mod collections;
mod dashboard;
mod documents;
pub(crate) mod drills;
mod embeddings;
mod extract;
#[cfg(debug_assertions)]
mod failpoints;
mod files;
mod guard;
mod in_process;
mod jobs;
mod listener;
mod mcp;
mod measure;
mod openapi;
mod pages;
mod pipeline;
mod probes;
mod problem;
mod quotas;
mod reference;
mod resilience;
mod routes;
mod search;
pub mod server;
mod sessions;
mod slow_body;
mod sources;
mod tls;
mod trace;
mod unread_answers;
mod unread_body;
mod whole_body;

pub use mcp::Tools;
pub(crate) use routes::labels;

/// Returns the OpenAPI document as it is served.
pub fn openapi() -> serde_json::Value {
    openapi::document()
}

/// Smaller answers gain nothing by compression.
const COMPRESS_BYTES_MIN: u16 = 1_024;

/// Marks an answer that is not worth compressing: the digits of vectors have no pattern.
#[derive(Debug, Clone, Copy)]
struct Incompressible;

/// Returns the router of a service that no listener stands before, and that asks nobody for a key.
#[cfg(test)]
pub(crate) fn without_listener(
    service: &std::sync::Arc<crate::engine::serving::Service>,
    health: std::sync::Arc<crate::observability::health::HealthChecker>,
) -> Router {
    let metrics = std::sync::Arc::clone(service.metrics());
    self::service(&app::App::new(app::State {
        service: std::sync::Arc::clone(service),
        health,
        quotas: std::sync::Arc::new(quotas::Quotas::new(&service.config().rate_limits)),
        no_auth: true,
        is_ops: false,
        openapi: bytes::Bytes::new(),
        labels: std::sync::Arc::new(measure::RouteLabels::new(&metrics)),
        docs: bytes::Bytes::new(),
        tools: None,
    }))
}

fn is_compressible(_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions) -> bool {
    extensions.get::<Incompressible>().is_none()
}

/// Returns the addresses with all that is around them.
fn service(app: &app::App) -> Router {
    let addresses = || routes::router(app, app.is_ops);
    if app.is_ops {
        return layered(app, addresses());
    }
    let api = in_process::InProcess::new(layered(app, addresses()));
    let tools = app.tools.clone();
    let tools = tools.unwrap_or_else(|| Tools::of(api.clone()));
    let faces = addresses()
        .layer(axum::Extension(tools))
        .layer(axum::Extension(api));
    layered(app, faces)
}

/// Puts the layers around addresses.
fn layered(app: &app::App, addresses: Router<app::App>) -> Router {
    let compressible = SizeAbove::new(COMPRESS_BYTES_MIN)
        .and(NotForContentType::GRPC)
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES)
        .and(is_compressible);
    let compression = CompressionLayer::new()
        .gzip(true)
        .quality(CompressionLevel::Fastest)
        .compress_when(compressible);
    #[cfg(debug_assertions)]
    let addresses = addresses.merge(failpoints::router(app));
    addresses
        .layer(compression)
        .layer(middleware::from_fn_with_state(
            app.clone(),
            pipeline::pipeline,
        ))
        .with_state(app.clone())
}
