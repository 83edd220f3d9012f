//! `status`, and what every answer says of what it rests on.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::api::{Api, Call, Collections};
use super::arguments;
use super::listing::{Listing, in_a_line};
use super::root::Root;
use crate::clock::ago;
use crate::engine::search::{Meta, Reason};
use crate::engine::serving::collections::CollectionView;
use crate::engine::serving::jobs::{JobView, Phase};
use crate::error::{ErrorCode, Result};
use crate::store::CollectionKind;

/// Collections that are told of; more are counted.
const COLLECTIONS_MAX: usize = 40;

/// Of a commit, enough to tell it from others.
const COMMIT_CHARS: usize = 12;

/// Jobs that are told of.
const JOBS_MAX: usize = 10;

/// Tokens of an answer.
const TOKENS_MAX: usize = 3_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    collection: Option<String>,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<JobView>,
}

#[derive(Deserialize)]
struct Level {
    level: String,
    #[serde(default)]
    causes: Vec<String>,
}

/// Tells what is indexed and whether anything is wrong: all that the caller may see, the workspace's first.
///
/// # Errors
/// Arguments that cannot be; an unknown collection; those of the API.
pub(super) async fn status(
    api: &dyn Api,
    root: &Root,
    arguments: Option<Map<String, Value>>,
) -> Result<String> {
    let asked: Arguments = arguments::read(arguments)?;
    let mut listing = Listing::new(TOKENS_MAX);
    match level(api).await? {
        Some(level) if level.causes.is_empty() => {
            listing.say(&format!("Service: {}", level.level));
        }
        Some(level) => {
            listing.say(&format!(
                "Service: {}: {}",
                level.level,
                level.causes.join("; ")
            ));
        }
        None => {}
    }
    let here = root.find(api, asked.collection.as_deref()).await?;
    if let (Some(folder), None) = (root.folder(), &asked.collection) {
        let folder = in_a_line(&folder.display().to_string());
        if here.is_empty() {
            listing.say(&format!("Workspace {folder}: not indexed; call `index`"));
        } else {
            listing.say(&format!("Workspace {folder}:"));
        }
    }
    if here.is_empty() && root.folder().is_none() {
        listing.say("Nothing is indexed; call `index`");
    }
    for collection in &here {
        listing.say(&format!("- {}", state_of(collection)));
    }
    if asked.collection.is_none() && root.folder().is_some() {
        let all: Collections = Call::get(&["v1", "collections"], &[]).of(api).await?;
        let others = all.collections.iter().filter(|other| {
            let name = &other.name;
            here.iter().all(|collection| collection.name != *name)
        });
        let others: Vec<_> = others.collect();
        if !others.is_empty() {
            listing.say("Others:");
        }
        for collection in others.iter().take(COLLECTIONS_MAX) {
            listing.say(&format!("- {}", state_of(collection)));
        }
        if others.len() > COLLECTIONS_MAX {
            listing.say(&format!("- and {} more", others.len() - COLLECTIONS_MAX));
        }
    }
    let jobs: Jobs = Call::get(&["v1", "jobs"], &[("limit", "100")])
        .of(api)
        .await?;
    let open = jobs.jobs.iter().filter(|job| !job.state.is_final());
    for job in open.take(JOBS_MAX) {
        listing.say(&format!(
            "Job {}: `{}`, {}",
            job.id,
            job.collection,
            step_of(job)
        ));
    }
    Ok(listing.into_text())
}

/// Returns the level of service; none for a caller who may not know it.
async fn level(api: &dyn Api) -> Result<Option<Level>> {
    let call = Call::get(&["v1", "admin", "degradation"], &[]);
    match call.of(api).await {
        Ok(level) => Ok(Some(level)),
        Err(error) if error.code() == ErrorCode::Forbidden => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says in a line what a collection is, how complete, and how fresh.
pub(super) fn state_of(collection: &CollectionView) -> String {
    let counts = &collection.counts;
    let what = match collection.kind {
        CollectionKind::Code => "file",
        CollectionKind::Documents => "document",
        CollectionKind::Vectors => "vector",
    };
    let plural = if counts.files == 1 { "" } else { "s" };
    let mut state = format!("`{}`: {} {what}{plural}", collection.name, counts.files);
    if let Some(fraction) = collection.embedded_fraction {
        let _ = write!(state, ", vectors {:.0} %", (fraction * 100.0).floor());
    }
    if counts.skipped > 0 {
        let _ = write!(state, ", {} skipped", counts.skipped);
    }
    let freshness = &collection.freshness;
    if freshness.indexing {
        state.push_str(", being indexed");
    }
    match freshness.updated_ms {
        Some(_) if freshness.watched => state.push_str(", watched"),
        Some(updated) => {
            let _ = write!(state, ", updated {} ago", ago(updated));
        }
        None if collection.kind == CollectionKind::Code && !freshness.indexing => {
            state.push_str(", not indexed to its end");
        }
        None => {}
    }
    if let Some(commit) = &freshness.indexed_commit {
        let shown: String = commit.chars().take(COMMIT_CHARS).collect();
        let _ = write!(state, ", commit {shown}");
    }
    if let Some(problem) = &freshness.watch_problem {
        let _ = write!(state, ", not watched: {}", in_a_line(problem));
    }
    state
}

/// Says what limits an answer, in words for those who call tools.
pub(super) fn what_limits(meta: &Meta) -> Vec<String> {
    let mut limits = Vec::new();
    if meta.degraded {
        let reasons: Vec<&str> = meta.reasons.iter().map(|reason| reason.name()).collect();
        limits.push(format!("less than was asked for: {}", reasons.join(", ")));
    }
    if meta.reasons.contains(&Reason::OutOfTime) {
        limits.push("the scan reached its time limit; narrow it by `path`".to_owned());
    }
    if let Some(age) = meta.age_ms {
        limits.push(format!("the answer is {} s old", age / 1_000));
    }
    if meta.changes_behind > 0 {
        limits.push(format!(
            "{} changes are not searched yet",
            meta.changes_behind
        ));
    }
    limits
}

/// Says how far a job is.
pub(super) fn step_of(job: &JobView) -> String {
    let at = &job.progress;
    match at.phase {
        Phase::Waiting => "waiting".to_owned(),
        Phase::Fetching => format!("fetching, {} KiB so far", at.bytes_fetched / 1_024),
        Phase::Walking => "listing files".to_owned(),
        Phase::Text => format!("{} of {} files", at.files_done, at.files_total),
        Phase::Vectors => format!(
            "searchable by words; {} of {} vectors",
            at.vectors_done, at.vectors_total
        ),
        Phase::Ended => "ended".to_owned(),
    }
}
