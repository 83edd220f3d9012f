//! `/mcp`: the Model Context Protocol over Streamable HTTP.
//!
//! The tools call this server's own addresses, with what the caller has shown, so that keys, scopes, limits, measures and
//! the log are those of every other request.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use rmcp::handler::server::ServerHandler;
use rmcp::model::Extensions;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use super::app::Final;
use super::in_process::InProcess;
use super::problem::Problem;
use crate::error::{Error, ErrorCode, Result};
use crate::mcp::{Caller, Doors, McpHandler, Root};

/// The folder that the caller works in, where it is on this machine.
const ROOT: HeaderName = HeaderName::from_static("x-embedder-root");

/// What is read of a refusal.
const REFUSAL_BYTES_MAX: usize = 4_096;

/// What answers the protocol.
#[derive(Clone)]
pub struct Tools(BoxCloneSyncService<Request, Response, Infallible>);

impl Tools {
    /// Answers by a handler, which is made anew for each message.
    pub fn by<H: ServerHandler>(handler: impl Fn() -> H + Send + Sync + 'static) -> Tools {
        // Host and Origin were checked before, and the body has its limit.
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_allowed_hosts(Vec::<String>::new());
        let sessions = Arc::new(NeverSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(handler()), sessions, config);
        let answered = tower::service_fn(move |request: Request| {
            let service = service.clone();
            async move { Ok(service.handle(request).await.map(Body::new)) }
        });
        Tools(BoxCloneSyncService::new(answered))
    }

    /// Answers by our own tools, which call these addresses.
    pub(super) fn of(api: InProcess) -> Tools {
        let doors: Arc<dyn Doors> = Arc::new(api);
        Tools::by(move || McpHandler::new(Arc::clone(&doors)))
    }
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tools")
    }
}

/// Answers a message of the Model Context Protocol: Streamable HTTP, versions 2026-07-28 and 2025-11-25, without sessions.
#[utoipa::path(post, path = "/mcp", tag = "mcp",
    request_body(content = Object, description = "A message, as JSON-RPC"),
    responses((status = 200, description = "The answer, as JSON or as server-sent events", content_type = "text/event-stream"),
              (status = 202, description = "A notification was taken")))]
pub(super) async fn answer(Extension(tools): Extension<Tools>, request: Request) -> Response {
    let Ok(mut answer) = tools.0.oneshot(request).await;
    let is_plain = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if answer.status().is_client_error() && is_plain {
        return refusal(answer).await.into_response();
    }
    // What is wrong with a message is said as the protocol has it.
    answer.extensions_mut().insert(Final);
    answer
}

/// Says as everywhere why a request was refused before the protocol had a word.
async fn refusal(answer: Response) -> Problem {
    let code = match answer.status() {
        StatusCode::NOT_ACCEPTABLE => ErrorCode::NotAcceptable,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
        _ => ErrorCode::MalformedRequest,
    };
    let text = to_bytes(answer.into_body(), REFUSAL_BYTES_MAX).await;
    let text = text.unwrap_or_default();
    let remedy = "send one JSON-RPC message as application/json, and `Accept: application/json, text/event-stream`";
    Problem::new(code, String::from_utf8_lossy(&text)).with_remedy(remedy)
}

impl Doors for InProcess {
    fn enter(&self, extensions: &Extensions) -> Result<Caller> {
        let parts = extensions
            .get::<Parts>()
            .ok_or_else(|| Error::Internal("a message without its request".to_owned()))?;
        let root = match parts.headers.get(ROOT) {
            Some(root) => Root::new(PathBuf::from(OsStr::from_bytes(root.as_bytes())))?,
            None => Root::default(),
        };
        Ok(Caller {
            api: Arc::new(self.for_caller(parts)),
            root,
        })
    }
}
