//! Pages for people, and the document that the reference is made of.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::app::App;
use super::reference::{escape, page};

/// Our own style alone, by its place in the page; no script, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The start page: what this is and how to go on.
#[utoipa::path(get, path = "/", tag = "pages",
    responses((status = 200, description = "The page", content_type = "text/html")))]
pub(super) async fn start(
    State(app): State<App>,
    caller: Option<axum::Extension<super::guard::Caller>>,
) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let mut body = format!(
        "<h1>embedder {version}</h1><p>Hybrid search over code and documents. <a href=\"/docs\">The API</a>, \
         <a href=\"/openapi.json\">as OpenAPI 3.1</a>.</p>"
    );
    match caller {
        None => body.push_str(
            "<p>Nobody is signed in. <code>embedder open</code> signs this browser in.</p>",
        ),
        Some(axum::Extension(caller)) => {
            body.push_str(&format!(
                "<p>Signed in as <b>{}</b>.</p>",
                escape(&caller.principal().name)
            ));
            let seen = app
                .service
                .work(move |service| {
                    let names = service.collection_names().into_iter();
                    let seen = names.filter(|name| caller.sees(name));
                    Ok(seen
                        .filter_map(|name| service.describe(&name).ok())
                        .collect::<Vec<_>>())
                })
                .await
                .unwrap_or_default();
            body.push_str("<table><tr><th>collection</th><th>kind</th><th>files</th><th>chunks</th><th>vectors</th></tr>");
            for collection in seen {
                let fraction = collection
                    .embedded_fraction
                    .map_or("no model".to_owned(), |fraction| {
                        format!("{:.0} %", (fraction * 100.0).floor())
                    });
                body.push_str(&format!(
                    "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{fraction}</td></tr>",
                    escape(&collection.name),
                    collection.kind.name(),
                    collection.counts.files,
                    collection.counts.chunks,
                ));
            }
            body.push_str("</table>");
        }
    }
    html(Bytes::from(page("embedder", &body)))
}

/// The reference of the API, readable offline.
#[utoipa::path(get, path = "/docs", tag = "pages",
    responses((status = 200, description = "The page", content_type = "text/html")))]
pub(super) async fn docs(State(app): State<App>) -> Response {
    html(app.docs.clone())
}

/// The OpenAPI 3.1 document.
#[utoipa::path(get, path = "/openapi.json", tag = "pages",
    responses((status = 200, description = "The document", content_type = "application/json")))]
pub(super) async fn openapi(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, "application/json")], app.openapi.clone()).into_response()
}

fn html(bytes: Bytes) -> Response {
    let mut response = ([(CONTENT_TYPE, "text/html; charset=utf-8")], bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
