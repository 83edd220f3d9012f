//! This server's own addresses, called without a network, with what a caller has shown.
//!
//! Faces that are made of the API (the tools for agents, the dashboard) call it in this way, so that keys, scopes, limits,
//! measures and the log are those of every other request.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, FORWARDED, HOST, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::browser;
use super::listener::Peer;
use crate::error::Error;
use crate::mcp::{Answering, Api, Call};
use crate::outbound::daemon::understand;

/// Bytes of an answer that is read: more than any address answers.
const ANSWER_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// What of a request goes with the calls that it leads to.
const PASSED_ON: [HeaderName; 4] = [
    AUTHORIZATION,
    COOKIE,
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
];

/// This server's own addresses.
#[derive(Clone)]
pub(super) struct InProcess(Router);

/// The addresses, with what a caller has shown.
#[derive(Clone)]
pub(super) struct Shown {
    api: Router,
    headers: HeaderMap,
    peer: Option<Peer>,
}

impl InProcess {
    /// Answers by these addresses.
    pub(super) fn new(api: Router) -> InProcess {
        InProcess(api)
    }

    /// Returns them for the caller of a request.
    pub(super) fn for_caller(&self, parts: &Parts) -> Shown {
        let mut headers = HeaderMap::new();
        for name in PASSED_ON {
            for value in parts.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        // HTTP/2 has it in the address.
        if let Ok(host) = HeaderValue::from_str(browser::authority(&parts.headers, &parts.uri)) {
            headers.insert(HOST, host);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Shown {
            api: self.0.clone(),
            headers,
            peer: parts.extensions.get::<Peer>().copied(),
        }
    }
}

impl Shown {
    /// Shows one more thing, in place of what was shown under that name.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Shown {
        self.headers.insert(name, value);
        self
    }
}

impl Api for Shown {
    fn call(&self, call: Call) -> Answering<'_> {
        Box::pin(async move {
            let body = call
                .body
                .map_or_else(Body::empty, |body| Body::from(body.to_string()));
            let mut request = Request::builder()
                .method(call.method)
                .uri(call.target)
                .body(body)
                .map_err(|error| Error::Internal(format!("a call of our own: {error}")))?;
            *request.headers_mut() = self.headers.clone();
            if let Some(peer) = self.peer {
                request.extensions_mut().insert(peer);
            }
            let Ok(response) = self.api.clone().oneshot(request).await;
            let status = response.status();
            let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            let body = body
                .collect()
                .await
                .map_err(|error| Error::Internal(format!("an answer of our own: {error}")))?;
            understand(status, &body.to_bytes())
        })
    }
}
