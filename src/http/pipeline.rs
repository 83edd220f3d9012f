//! What every request passes, whatever becomes of it: its names, its log line, its measures, and the shape of its answer.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;

use super::activity::InUse;
use super::app::App;
use super::listener::Peer;
use super::measure::UnderWay;
use super::problem::{Problem, Reader};
use super::routes::UNMATCHED;
use super::trace::{REQUEST_ID, RequestNames, TRACEPARENT};
use super::unread_body::ReadToEnd;
use super::{browser, guard};
use crate::clock;
use crate::engine::audit::DenialReason;
use crate::error::{Error, ErrorCode};
use crate::failpoint::{self, Failpoint};
use crate::observability::log_sampler::Sampled;

/// Says in every answer that nobody is asked for a key.
const NO_AUTH: HeaderName = HeaderName::from_static("x-embedder-auth");

/// The outermost layer.
pub(super) async fn pipeline(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = clock::now();
    let names = RequestNames::of(request.headers(), uuid::Uuid::now_v7());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let method = request.method().clone();
    // Of the highest level, so that every line has the names, whatever is filtered out.
    let span = tracing::error_span!(
        "request",
        request_id = %names.id,
        trace_id = %names.trace_id,
        %method,
        route,
    );
    let reader = reader_of(route, &request);
    request.extensions_mut().insert(names.clone());
    let request = request.map(ReadToEnd::around);
    let under_way = UnderWay::begin(app.service.metrics(), &app.labels, route);
    let _in_use = (!is_probe(route)).then(|| InUse::by_request(&app));
    let handled = handle(&app, request, next).instrument(span.clone()).await;
    let _entered = span.enter();
    let (mut response, sampled) = finish(&app, &method, handled, &names, reader);
    let headers = response.headers_mut();
    set(headers, REQUEST_ID, &names.id);
    set(headers, TRACEPARENT, &names.traceparent());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if app.no_auth {
        headers.insert(NO_AUTH, HeaderValue::from_static("none"));
    }
    let status = response.status().as_u16();
    let elapsed = clock::now().saturating_duration_since(started);
    under_way.answered(status, elapsed);
    let elapsed_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
    if is_probe(route) {
        tracing::trace!(status, elapsed_ms, "Answered");
    } else if sampled != Sampled::LeftOut || !is_refusal(status) {
        let left_out = sampled.left_out().filter(|_| is_refusal(status));
        tracing::info!(
            status,
            elapsed_ms,
            left_out,
            "Answered {method} {route} with {status}"
        );
    }
    response
}

/// Returns who reads the answer: a browser that asks for a page shows it to somebody.
fn reader_of(route: &str, request: &Request) -> Reader {
    if route.starts_with("/v1/embeddings") || route.starts_with("/v1/models") {
        return Reader::OpenAiClient;
    }
    let path = request.uri().path();
    let accept = request.headers().get(ACCEPT);
    let wants_page = accept.is_some_and(|accept| {
        let accept = accept.to_str().unwrap_or_default();
        accept.contains("text/html")
    });
    if wants_page && !path.starts_with("/v1/") && path != "/mcp" {
        Reader::Person
    } else {
        Reader::Client
    }
}

/// Checks what concerns every address, and lets no panic through.
async fn handle(app: &App, request: Request, next: Next) -> Response {
    let is_tls = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| peer.is_tls);
    let (headers, uri) = (request.headers(), request.uri());
    let checked = browser::check_host(headers, uri, &app.service.config().server.hosts)
        .map_err(|problem| (DenialReason::Misdirected, problem))
        .and_then(|()| {
            browser::check_origin(headers, uri, is_tls)
                .map_err(|problem| (DenialReason::CrossSite, problem))
        });
    if let Err((reason, problem)) = checked {
        let address = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.address.ip());
        guard::note(app, reason, None, address, "any");
        return problem.into_response();
    }
    let handled = async {
        if let Err(injected) = failpoint::pass(Failpoint::Handler) {
            return Problem::from(Error::Internal(injected.to_string())).into_response();
        }
        next.run(request).await
    };
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            app.service.metrics().panics_total.inc();
            let message = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Problem::from(Error::Internal(format!("a handler panicked: {message}"))).into_response()
        }
    }
}

/// Writes the problem document where there is a problem, whoever found it. Says as well what is logged of the request.
fn finish(
    app: &App,
    method: &Method,
    response: Response,
    names: &RequestNames,
    reader: Reader,
) -> (Response, Sampled) {
    let status = response.status();
    let count = |problem: &Problem| -> Sampled {
        app.service.metrics().errors_total[problem.code()].inc();
        if let Some(full) = problem.full() {
            app.service.metrics().shed_total[full.into()].inc();
        }
        let sampled = app.log().sample(problem.code(), app.service.clock.now());
        problem.log(sampled);
        sampled
    };
    let render = |problem: &Problem| {
        let rendered = problem.render(&names.id, &names.trace_id, reader);
        keep_headers(&response, rendered)
    };
    if let Some(problem) = response.extensions().get::<Problem>() {
        let sampled = count(problem);
        return (render(problem), sampled);
    }
    let is_error = status.is_client_error() || status.is_server_error();
    let is_ours = response.extensions().get::<super::app::Final>().is_some();
    if !is_error || is_ours {
        return (response, Sampled::Written { left_out: 0 });
    }
    // The router and the libraries below it answer for themselves; nobody else does.
    let problem = match status {
        StatusCode::NOT_FOUND => Problem::new(ErrorCode::NotFound, "there is no such address")
            .with_remedy("see /docs for what there is"),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            ErrorCode::MethodNotAllowed,
            format!("this address has no method {method}"),
        )
        .with_remedy("the header Allow names the methods it has"),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(ErrorCode::TooLarge, "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(ErrorCode::UnsupportedMediaType, "send application/json")
        }
        status if status.is_client_error() => {
            Problem::new(ErrorCode::MalformedRequest, "the request cannot be read")
        }
        _ => Problem::new(ErrorCode::Internal, ""),
    };
    let sampled = count(&problem);
    (render(&problem), sampled)
}

/// Keeps what else an answer said, such as `Allow`.
fn keep_headers(from: &Response, mut to: Response) -> Response {
    for (name, value) in from.headers() {
        let describes_body =
            name == axum::http::header::CONTENT_TYPE || name == axum::http::header::CONTENT_LENGTH;
        if !describes_body && !to.headers().contains_key(name) {
            to.headers_mut().insert(name, value.clone());
        }
    }
    to
}

/// Whether a server that is asked too much answers with this as often as it is asked.
fn is_refusal(status: u16) -> bool {
    matches!(status, 429 | 503)
}

fn is_probe(route: &str) -> bool {
    matches!(
        route,
        "/livez" | "/readyz" | "/startupz" | "/health" | "/metrics"
    )
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
