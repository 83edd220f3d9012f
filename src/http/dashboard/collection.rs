//! A collection: where its files come from, how fresh they are, and which are left out.

use axum::response::Response;
use maud::{Markup, html};

use super::jobs::{FAILURES, is_quiet, rows, skipped};
use super::layout::{Page, Place};
use super::overview::freshness;
use super::visitor::Visitor;
use super::words::{number, percent};
use crate::clock::ago;
use crate::engine::serving::collections::CollectionView;
use crate::engine::serving::jobs::JobView;
use crate::engine::serving::sources::{FailedFile, SourceView};
use crate::engine::visible::visible;
use crate::error::Result;
use crate::http::extract::Path;
use crate::http::jobs::{FailureList, JobList};
use crate::http::problem::Problem;
use crate::http::sources::SourceList;
use crate::mcp::Call;

/// Jobs that are looked through, and shown.
const JOBS: &str = "100";
const JOBS_SHOWN: usize = 5;

/// What is known of a collection.
pub(super) struct Shown {
    collection: CollectionView,
    sources: Vec<SourceView>,
    jobs: Vec<JobView>,
}

/// The page of a collection.
pub(in crate::http) async fn show(
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let shown = Shown::ask(&visitor, &name).await?;
    let left_out = shown.left_out(&visitor).await?;
    let page = Page {
        title: &name,
        visitor: Some(&visitor),
        live: Some(format!("/live?page=collection&id={}", in_address(&name))),
        place: Place::Other,
    };
    Ok(page.answer(&html! {
        h1 { (name) }
        form.ask action="/search" role="search" {
            input type="hidden" name="collection" value=(name);
            label.wide { "Search in this collection" input type="search" name="q" required; }
            button type="submit" { "Search" }
        }
        @for (id, part) in shown.parts() {
            div id=(id) { (part) }
        }
        @for (source, files) in &left_out {
            h2 { "Files of " (visible(place_of(source))) " that are not indexed" }
            (skipped(files, &format!("/v1/collections/{}/sources/{}/skipped", in_address(&name), source.id)))
        }
    }))
}

impl Shown {
    /// Asks for what the visitor may see of a collection.
    pub(super) async fn ask(visitor: &Visitor, name: &str) -> Result<Shown> {
        let path = ["v1", "collections", name];
        let collection = visitor.ask(Call::get(&path, &[])).await?;
        let path = ["v1", "collections", name, "sources"];
        let sources: SourceList = visitor.ask(Call::get(&path, &[])).await?;
        let jobs = Call::get(&["v1", "jobs"], &[("limit", JOBS)]);
        let mut jobs = visitor.ask::<JobList>(jobs).await?.jobs;
        jobs.retain(|job| job.collection == name);
        jobs.truncate(JOBS_SHOWN);
        Ok(Shown {
            collection,
            sources: sources.sources,
            jobs,
        })
    }

    /// Asks for the files that are left out, of each source.
    async fn left_out(&self, visitor: &Visitor) -> Result<Vec<(&SourceView, Vec<FailedFile>)>> {
        let mut left_out = Vec::new();
        for source in self
            .sources
            .iter()
            .filter(|source| !source.skipped.is_empty())
        {
            let name = &self.collection.name;
            let path = ["v1", "collections", name, "sources", &source.id, "skipped"];
            let files: FailureList = visitor
                .ask(Call::get(&path, &[("limit", FAILURES)]))
                .await?;
            left_out.push((source, files.failures));
        }
        Ok(left_out)
    }

    /// Returns what changes on the page, by its ids.
    pub(super) fn parts(&self) -> Vec<(&'static str, Markup)> {
        vec![
            ("facts", self.facts()),
            ("sources", self.sources()),
            ("jobs", self.recent()),
        ]
    }

    fn facts(&self) -> Markup {
        let one = &self.collection;
        html! {
            dl {
                dt { "Kind" } dd { (one.kind.name()) }
                dt { "Fresh" }
                dd {
                    (freshness(one))
                    @if let Some(problem) = &one.freshness.watch_problem {
                        p.notice.warn { "Not watched: " (visible(problem)) }
                    }
                }
                dt { "Files" }
                dd {
                    (number(one.counts.files))
                    @if one.counts.skipped > 0 { ", " (number(one.counts.skipped)) " skipped" }
                }
                dt { "Chunks" } dd { (number(one.counts.chunks)) }
                dt { "Vectors" }
                dd {
                    @match one.embedded_fraction {
                        Some(share) => {
                            (percent(share))
                            @if one.remote_provider { ", made by the embedding provider" }
                        }
                        None => "none: there is no model",
                    }
                }
                dt { "Generation" } dd { (number(one.generation)) }
            }
        }
    }

    fn sources(&self) -> Markup {
        if self.sources.is_empty() {
            return html! {};
        }
        html! {
            h2 { "Where its files come from" }
            div.table tabindex="0" role="region" aria-label="Sources" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Folder or repository" }
                            th.figure scope="col" { "Files" }
                            th scope="col" { "Skipped" }
                            th scope="col" { "Fresh" }
                        }
                    }
                    tbody {
                        @for source in &self.sources { (source_row(source)) }
                    }
                }
            }
        }
    }

    fn recent(&self) -> Markup {
        if self.jobs.iter().all(is_quiet) {
            return html! {};
        }
        html! {
            h2 { "Recent jobs" }
            (rows(self.jobs.iter().filter(|job| !is_quiet(job))))
        }
    }
}

/// Returns where a source is.
fn place_of(source: &SourceView) -> &str {
    let place = source.path.as_ref().or(source.url.as_ref());
    place.map_or("", String::as_str)
}

fn source_row(source: &SourceView) -> Markup {
    html! {
        tr {
            th scope="row" {
                (visible(place_of(source)))
                @if let Some(reference) = &source.reference { " (" (visible(reference)) ")" }
                @if let Some(commit) = &source.commit {
                    br; span.faint { "commit " code { (commit.chars().take(12).collect::<String>()) } }
                }
            }
            td.figure { (number(source.files)) }
            td {
                @for (index, (reason, files)) in source.skipped.iter().enumerate() {
                    @if index > 0 { br; }
                    (number(*files)) " " (reason)
                }
            }
            td {
                @match source.updated_ms {
                    Some(updated) => {
                        (ago(updated)) " ago"
                        @if source.watched { ", watched" }
                    }
                    None => span.faint { "not yet" },
                }
            }
        }
    }
}

/// Returns a name as a part of an address.
pub(super) fn in_address(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                written.push(char::from(byte));
            }
            other => written.push_str(&format!("%{other:02X}")),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_an_address() {
        assert_eq!(in_address("plain-1.0_x~"), "plain-1.0_x~");
        assert_eq!(in_address("a b&c?d#e/ü"), "a%20b%26c%3Fd%23e%2F%C3%BC");
    }
}
