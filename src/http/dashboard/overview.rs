//! The first page: what is indexed, how fresh it is, and whether anything is wrong.

use axum::response::Response;
use maud::{Markup, html};
use serde::de::DeserializeOwned;

use super::collection::in_address;
use super::jobs::{is_quiet, rows};
use super::layout::{Page, Place};
use super::visitor::Visitor;
use super::words::{count, number, percent};
use crate::clock::ago;
use crate::engine::access::Scope;
use crate::engine::serving::collections::CollectionView;
use crate::engine::serving::jobs::JobView;
use crate::engine::serving::resilience::{BreakerList, DegradationView};
use crate::engine::visible::visible;
use crate::error::{Error, Result};
use crate::http::collections::CollectionList;
use crate::http::jobs::JobList;
use crate::mcp::Call;
use crate::store::{CollectionKind, JobState};

/// Jobs that are looked through for what failed, and shown.
const JOBS: &str = "200";
const JOBS_SHOWN: usize = 5;

/// Troubles that are told; more are counted.
const TROUBLES_MAX: usize = 10;

/// What is indexed, and how the server is. What the visitor may not see is none.
pub(super) struct Overview {
    collections: Part<Vec<CollectionView>>,
    jobs: Part<Vec<JobView>>,
    level: Part<DegradationView>,
    breakers: Part<BreakerList>,
}

/// A part of the page: what is known, that the visitor may not know it, or that it cannot be told now.
type Part<T> = Option<Result<T>>;

/// The dashboard's first page.
pub(in crate::http) async fn show(visitor: Visitor) -> Response {
    let overview = Overview::ask(&visitor).await;
    let page = Page {
        title: "Overview",
        visitor: Some(&visitor),
        live: Some("/live?page=overview".to_owned()),
        place: Place::Overview,
    };
    page.answer(&html! {
        h1 { "Overview" }
        @for (id, part) in overview.parts() {
            div id=(id) role=[(id == "state").then_some("status")] { (part) }
        }
    })
}

impl Overview {
    /// Asks for what the visitor may see.
    pub(super) async fn ask(visitor: &Visitor) -> Overview {
        let reads = visitor.may(Scope::CollectionsRead);
        let operates = visitor.may(Scope::OpsRead);
        let collections = Call::get(&["v1", "collections"], &[]);
        let jobs = Call::get(&["v1", "jobs"], &[("limit", JOBS)]);
        let level = Call::get(&["v1", "admin", "degradation"], &[]);
        let breakers = Call::get(&["v1", "admin", "breakers"], &[]);
        let collections: Part<CollectionList> = part(visitor, reads, collections).await;
        let jobs: Part<JobList> = part(visitor, reads, jobs).await;
        Overview {
            collections: collections.map(|list| list.map(|list| list.collections)),
            jobs: jobs.map(|list| list.map(|list| list.jobs)),
            level: part(visitor, operates, level).await,
            breakers: part(visitor, operates, breakers).await,
        }
    }

    /// Returns what changes on the page, by its ids.
    pub(super) fn parts(&self) -> Vec<(&'static str, Markup)> {
        vec![
            ("state", self.state()),
            ("figures", self.figures()),
            ("collections", self.table()),
            ("jobs", self.recent()),
            ("server", self.server()),
        ]
    }

    /// Returns what is wrong, the gravest first.
    fn troubles(&self) -> Vec<Trouble> {
        let mut troubles: Vec<Trouble> = Vec::new();
        if let Some(Ok(level)) = &self.level {
            troubles.extend(level.causes.iter().cloned().map(Trouble::new));
            if !level.switched_off.is_empty() {
                let parts = level.switched_off.join(", ");
                troubles.push(Trouble::new(format!("Switched off by hand: {parts}")));
            }
            if level.causes.is_empty() && level.switched_off.is_empty() {
                let modes = level.modes.iter().map(|mode| mode.mode.replace('_', " "));
                troubles.extend(modes.map(Trouble::new));
            }
        }
        let parts = [
            self.collections
                .as_ref()
                .and_then(|part| part.as_ref().err()),
            self.jobs.as_ref().and_then(|part| part.as_ref().err()),
            self.level.as_ref().and_then(|part| part.as_ref().err()),
        ];
        let parts = parts.into_iter().flatten().map(Error::with_remedy);
        troubles.extend(parts.map(Trouble::new));
        for job in self.failed() {
            if let Some(error) = &job.error {
                troubles.push(Trouble {
                    said: format!("Indexing {} failed: {}", job.collection, error.message),
                    address: Some(format!("/jobs/{}", in_address(&job.id))),
                });
            }
        }
        for one in self.collections() {
            if let Some(problem) = &one.freshness.watch_problem {
                troubles.push(Trouble::of(one, &format!("is not watched: {problem}")));
            }
            if is_unfinished(one) {
                troubles.push(Trouble::of(one, "has never been indexed to its end"));
            }
        }
        troubles
    }

    /// Returns the collections whose last job that came to an end failed.
    fn failed(&self) -> Vec<&JobView> {
        let mut ended: Vec<(&str, &str)> = Vec::new();
        let mut failed = Vec::new();
        for job in self.jobs() {
            let of = (job.collection.as_str(), job.source.as_str());
            let says_something = matches!(job.state, JobState::Done | JobState::Failed);
            if says_something && !ended.contains(&of) {
                ended.push(of);
                if job.state == JobState::Failed {
                    failed.push(job);
                }
            }
        }
        failed
    }

    fn collections(&self) -> &[CollectionView] {
        match &self.collections {
            Some(Ok(collections)) => collections,
            Some(Err(_)) | None => &[],
        }
    }

    fn jobs(&self) -> &[JobView] {
        match &self.jobs {
            Some(Ok(jobs)) => jobs,
            Some(Err(_)) | None => &[],
        }
    }

    fn state(&self) -> Markup {
        let troubles = self.troubles();
        let level = match &self.level {
            Some(Ok(level)) => Some(level.level.as_str()),
            Some(Err(_)) | None => None,
        };
        let is_seen = self.level.is_some() && self.collections.is_some();
        let (kind, said) = match (level, troubles.is_empty()) {
            (Some("Minimal"), _) => ("bad", "Service: Minimal"),
            (Some("Degraded"), _) => ("warn", "Service: Degraded"),
            (_, false) => ("warn", "Needs attention"),
            (Some(_), true) if is_seen => ("good", "All is well"),
            (_, true) => ("", "Nothing wrong in what this key may see"),
        };
        html! {
            div class={ "notice " (kind) } {
                strong { (said) }
                @if !troubles.is_empty() {
                    ul {
                        @for trouble in troubles.iter().take(TROUBLES_MAX) { li { (trouble.show()) } }
                        @if troubles.len() > TROUBLES_MAX {
                            li { "and " (troubles.len() - TROUBLES_MAX) " more" }
                        }
                    }
                }
            }
        }
    }

    fn figures(&self) -> Markup {
        if self.collections.is_none() {
            return html! {};
        }
        let all = self.collections();
        let files: u64 = all.iter().map(|one| one.counts.files).sum();
        let skipped: u64 = all.iter().map(|one| one.counts.skipped).sum();
        let (chunks, embedded) = all
            .iter()
            .filter(|one| one.embedded_fraction.is_some())
            .fold((0, 0), |(chunks, embedded), one| {
                (chunks + one.counts.chunks, embedded + one.counts.embedded)
            });
        let watched = all.iter().filter(|one| one.freshness.watched).count();
        let unfinished = all.iter().filter(|one| is_unfinished(one)).count();
        let oldest = all
            .iter()
            .filter(|one| !one.freshness.watched)
            .filter_map(|one| one.freshness.updated_ms)
            .min();
        html! {
            ul.tiles {
                li {
                    b { (number(files)) }
                    "files in " (count(all.len() as u64, "collection", "collections"))
                    @if skipped > 0 { br; span.faint { (number(skipped)) " skipped" } }
                }
                li {
                    @match oldest {
                        Some(oldest) => { b { (ago(oldest)) } "since the oldest was brought up to date" }
                        None if unfinished > 0 => { b { "not yet" } (unfinished) " not indexed to the end" }
                        None if watched > 0 => { b { "now" } "what is indexed is watched" }
                        None => { b { "–" } "nothing to keep fresh" }
                    }
                    @if oldest.is_some() && watched > 0 { br; span.faint { (watched) " watched" } }
                }
                li {
                    @if chunks == 0 {
                        b { "–" } "no vectors"
                    } @else {
                        b { (percent(embedded as f64 / chunks as f64)) } "of the vectors are there"
                        progress max=(chunks) value=(embedded) aria-label="Vectors" {}
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        let Some(Ok(collections)) = &self.collections else {
            return html! {};
        };
        html! {
            h2 { "Collections" }
            @if collections.is_empty() {
                p { "Nothing is indexed yet. " code { "embedder index PATH" } " indexes a folder." }
            } @else {
                div.table tabindex="0" role="region" aria-label="Table" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Name" }
                                th scope="col" { "Kind" }
                                th.figure scope="col" { "Files" }
                                th.figure scope="col" { "Skipped" }
                                th.figure scope="col" { "Chunks" }
                                th.figure scope="col" { "Vectors" }
                                th scope="col" { "Fresh" }
                            }
                        }
                        tbody {
                            @for one in collections { (row(one)) }
                        }
                    }
                }
            }
        }
    }

    fn recent(&self) -> Markup {
        let Some(Ok(jobs)) = &self.jobs else {
            return html! {};
        };
        let mut told = jobs.iter().filter(|job| !is_quiet(job)).peekable();
        html! {
            h2 { "Recent jobs" }
            @if jobs.is_empty() {
                p.faint { "None yet." }
            } @else if told.peek().is_none() {
                p.faint { "None that found anything new." }
            } @else {
                (rows(told.take(JOBS_SHOWN)))
            }
        }
    }

    fn server(&self) -> Markup {
        let Some(Ok(breakers)) = &self.breakers else {
            return html! {};
        };
        html! {
            h2 { "What the server depends on" }
            div.table tabindex="0" role="region" aria-label="Table" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Dependency" }
                            th scope="col" { "Circuit breaker" }
                            th.figure scope="col" { "Calls" }
                            th.figure scope="col" { "Failed" }
                            th.figure scope="col" { "Slow" }
                        }
                    }
                    tbody {
                        @for breaker in &breakers.breakers {
                            @let kind = match breaker.state.as_str() {
                                "closed" => "good",
                                "open" => "bad",
                                _ => "warn",
                            };
                            tr {
                                th scope="row" { (breaker.dependency) }
                                td { span class={ "state " (kind) } { (breaker.state.replace('_', " ")) } }
                                td.figure { (breaker.calls) }
                                td.figure { (breaker.failed) }
                                td.figure { (breaker.slow) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Something that is wrong.
struct Trouble {
    said: String,
    /// Where there is more about it.
    address: Option<String>,
}

impl Trouble {
    fn new(said: String) -> Trouble {
        Trouble {
            said,
            address: None,
        }
    }

    fn of(collection: &CollectionView, said: &str) -> Trouble {
        let name = &collection.name;
        Trouble {
            said: format!("{name} {said}"),
            address: Some(format!("/collections/{}", in_address(name))),
        }
    }

    fn show(&self) -> Markup {
        let said = visible(&self.said);
        match &self.address {
            Some(address) => html! { a href=(address) { (said) } },
            None => html! { (said) },
        }
    }
}

/// Asks for a part of the page, where the visitor may see it.
async fn part<T: DeserializeOwned>(visitor: &Visitor, may: bool, call: Call) -> Part<T> {
    if may {
        Some(visitor.ask(call).await)
    } else {
        None
    }
}

/// Whether a collection has folders that were never indexed to their end, and nobody is at it.
fn is_unfinished(one: &CollectionView) -> bool {
    one.kind == CollectionKind::Code
        && one.counts.files + one.counts.skipped > 0
        && one.freshness.updated_ms.is_none()
        && !one.freshness.indexing
}

fn row(one: &CollectionView) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href={ "/collections/" (super::collection::in_address(&one.name)) } { (one.name) }
            }
            td { (one.kind.name()) }
            td.figure { (number(one.counts.files)) }
            td.figure { (number(one.counts.skipped)) }
            td.figure { (number(one.counts.chunks)) }
            td.figure {
                @match one.embedded_fraction {
                    Some(share) => (percent(share)),
                    None => "none",
                }
            }
            td { (freshness(one)) }
        }
    }
}

/// Says how fresh a collection is.
pub(super) fn freshness(one: &CollectionView) -> Markup {
    let fresh = &one.freshness;
    html! {
        @if fresh.indexing { span.state.warn { "being indexed" } " " }
        @match fresh.updated_ms {
            Some(_) if fresh.watched => span.state.good { "watched" },
            Some(updated) => { (ago(updated)) " ago" },
            None if !fresh.indexing => span.faint { "–" },
            None => {},
        }
    }
}
