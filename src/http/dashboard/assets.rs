//! Style, script and icon of the pages, each at an address that changes with its content.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::http::extract::Path;

/// Whoever has it never asks again: another content has another address.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The style of all pages.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("dashboard", "css", "text/css", include_str!("style.css")));

/// The script of pages that change while they are looked at.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("live", "js", "text/javascript", include_str!("live.js")));

/// The icon.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

/// A file that goes with the pages.
pub(super) struct Asset {
    address: String,
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, content: &'static str) -> Asset {
        let hash = blake3::hash(content.as_bytes()).to_hex();
        Asset {
            address: format!("/assets/{name}-{}.{ending}", &hash[..16]),
            kind,
            content,
        }
    }

    /// Returns its address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

/// Style, script or icon of the pages.
pub(in crate::http) async fn asset(Path(name): Path<String>) -> Response {
    let asked = format!("/assets/{name}");
    let all = [&STYLE, &SCRIPT, &ICON];
    match all.into_iter().find(|asset| asset.address == asked) {
        Some(asset) => {
            let headers = [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, FOR_EVER)];
            (headers, asset.content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
