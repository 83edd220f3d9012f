//! A file as it is indexed, with the lines that a hit names.

use axum::response::Response;
use maud::html;
use serde::Deserialize;

use super::collection::in_address;
use super::layout::{Page, Place};
use super::visitor::Visitor;
use super::words::number;
use crate::engine::serving::files::FileLines;
use crate::engine::visible::visible;
use crate::http::extract::{Path, Query};
use crate::http::problem::Problem;
use crate::mcp::Call;

/// Lines that are shown before those that are meant.
const LINES_BEFORE: u32 = 1_000;

/// Which lines are meant.
#[derive(Debug, Deserialize)]
pub(in crate::http) struct Lines {
    from: Option<u32>,
    to: Option<u32>,
    source: Option<String>,
}

/// The page of a file.
pub(in crate::http) async fn show(
    visitor: Visitor,
    Path((collection, path)): Path<(String, String)>,
    Query(lines): Query<Lines>,
) -> Result<Response, Problem> {
    // Around what is meant, where the file is too long to be shown whole.
    let first = lines
        .from
        .map_or(1, |from| from.saturating_sub(LINES_BEFORE).max(1));
    let first = first.to_string();
    let mut query = vec![("from", first.as_str())];
    if let Some(source) = &lines.source {
        query.push(("source", source));
    }
    let call = Call::get(&["v1", "collections", &collection, "files", &path], &query);
    let file: FileLines = visitor.ask(call).await?;
    let shown = visible(&file.path);
    let page = Page {
        title: &shown,
        visitor: Some(&visitor),
        live: None,
        place: Place::Other,
    };
    let is_meant = |line: u32| {
        lines.from.is_some_and(|from| line >= from) && line <= lines.to.or(lines.from).unwrap_or(0)
    };
    Ok(page.answer(&html! {
        h1 { (shown) }
        p.faint {
            (number(u64::from(file.total_lines))) " lines in "
            a href={ "/collections/" (in_address(&file.collection)) } { (file.collection) }
            ", as they were when they were indexed"
            @if u64::from(file.end_line.saturating_sub(file.start_line)) + 1 < u64::from(file.total_lines) {
                "; shown are " (number(u64::from(file.start_line))) " to " (number(u64::from(file.end_line)))
            }
        }
        pre tabindex="0" role="region" aria-label="The file" {
            @for (line, text) in (file.start_line..).zip(file.text.lines()) {
                span.line.hit[is_meant(line)] id={ "L" (line) } {
                    a.n href={ "#L" (line) } tabindex="-1" { (line) }
                    (visible(text))
                }
            }
        }
    }))
}
