//! `/v1/collections/{collection}/files/{path}`.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::app::App;
use super::extract::{Path, Query};
use super::guard::Caller;
use super::problem::Problem;
use crate::engine::serving::files::FileLines;
use crate::error::ErrorCode;

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Lines {
    /// The first line, from 1.
    #[serde(default = "first")]
    #[param(default = 1, minimum = 1)]
    from: u32,
    /// The last line; by default the file's last. At most 5,000 lines are returned.
    to: Option<u32>,
    /// The id of the source, where several of the collection have a file of this path.
    source: Option<String>,
}

fn first() -> u32 {
    1
}

/// Returns lines of an indexed file, as they were when it was indexed.
#[utoipa::path(get, path = "/v1/collections/{collection}/files/{path}", tag = "search",
    params(("collection" = String, Path), ("path" = String, Path, description = "slashes as they are, or as %2F"), Lines),
    responses((status = 200, description = "The lines", body = FileLines)))]
pub(super) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path((name, path)): Path<(String, String)>,
    Query(lines): Query<Lines>,
) -> Result<axum::Json<FileLines>, Problem> {
    caller.must_see(&name)?;
    if lines.to.is_some_and(|to| to < lines.from.max(1)) {
        return Err(
            Problem::new(ErrorCode::InvalidRequest, "`to` is before `from`")
                .with_remedy("swap the two"),
        );
    }
    let lines = app
        .service
        .work(move |service| {
            service.read_file(&name, &path, lines.source.as_deref(), lines.from, lines.to)
        })
        .await?;
    Ok(axum::Json(lines))
}
