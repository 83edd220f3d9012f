//! Literal and regular-expression answers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::answer::AnswerSize;
use super::filter::Filter;
use super::scan::{Pattern, scan};
use super::snippet::around;
use super::{
    Answer, Hit, Meta, Mode, Reason, SearchRequest, Searched, millis_since, neighbours, symbol_of,
};
use crate::error::Result;
use crate::store::{Collection, FileId, Metadata, Store};

pub(super) fn search(
    store: &dyn Store,
    request: &SearchRequest,
    filter: &Filter,
    collections: &[Collection],
) -> Result<Answer> {
    let mut under_way = Scan::begin(SCAN_TIME_MAX);
    let pattern = if request.mode == Mode::Regex {
        Pattern::regex(&request.query)?
    } else {
        Pattern::literal(&request.query)?
    };
    let names = [request.query.trim().to_lowercase()];
    let mut found = Vec::new();
    for collection in collections {
        under_way.skipped_files += store.skipped_files(collection.id)?;
        let hits = scan(
            store,
            collection.id,
            &pattern,
            filter,
            &facts_of(store, collection, filter)?,
            request.limit,
            &mut || under_way.is_over(),
        )?;
        found.extend(hits.into_iter().map(|hit| {
            let bonus = if hit.is_definition { DEFINITION } else { 0.0 };
            (hit.matches as f32 + bonus, (collection, hit))
        }));
        found = best(found, request.limit);
    }
    let mut hits = Vec::new();
    let mut size = AnswerSize::default();
    for (score, (collection, found)) in found {
        let chunk = found.chunk;
        let hit = Hit {
            id: chunk.id.0,
            collection: collection.name.clone(),
            source: chunk.source.0.to_string(),
            path: chunk.path.clone(),
            start_line: chunk.start_line,
            end_line: chunk.end_line,
            language: chunk.language.clone(),
            symbol: symbol_of(&chunk, &names),
            score,
            snippet: around(
                &chunk.text,
                chunk.start_line,
                found.line,
                request.snippet_lines,
            ),
            context: neighbours(store, &chunk, request.context)?,
            explain: None,
        };
        size.add(&hit)?;
        hits.push(hit);
    }
    Ok(under_way.answer(hits, request, collections))
}

/// Puts what was found in several collections, each in order, in one order, and keeps as many as are asked for.
pub(super) fn best<T>(mut found: Vec<(f32, T)>, limit: usize) -> Vec<(f32, T)> {
    // The sort is stable.
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(limit);
    found
}

/// A scan under way, and what is to be said of it.
#[derive(Debug)]
pub(super) struct Scan {
    started: Instant,
    time_max: Duration,
    pub(super) skipped_files: u64,
    was_cut_short: bool,
}

impl Scan {
    pub(super) fn begin(time_max: Duration) -> Scan {
        Scan {
            started: Instant::now(),
            time_max,
            skipped_files: 0,
            was_cut_short: false,
        }
    }

    /// Whether it has had its time; from then on its answer says so.
    pub(super) fn is_over(&mut self) -> bool {
        self.was_cut_short |= self.started.elapsed() > self.time_max;
        self.was_cut_short
    }

    /// Says of hits what is to be said of the scan that found them.
    pub(super) fn answer(
        self,
        hits: Vec<Hit>,
        request: &SearchRequest,
        collections: &[Collection],
    ) -> Answer {
        let reasons = if self.was_cut_short {
            vec![Reason::OutOfTime]
        } else {
            Vec::new()
        };
        let meta = Meta {
            served_by: request.mode.into(),
            degraded: !reasons.is_empty(),
            reasons,
            took_ms: millis_since(self.started),
            embedded_fraction: None,
            skipped_files: self.skipped_files,
            model: None,
            model_problem: None,
            age_ms: None,
            changes_behind: 0,
            collections: collections.iter().map(Searched::from).collect(),
        };
        Answer { hits, meta }
    }
}

/// The facts of a collection's files, where the filter asks for any.
pub(super) fn facts_of(
    store: &dyn Store,
    collection: &Collection,
    filter: &Filter,
) -> Result<HashMap<FileId, Metadata>> {
    if !filter.needs_metadata() {
        return Ok(HashMap::new());
    }
    let facts = store.metadata(collection.id)?.into_iter();
    Ok(facts.map(|facts| (facts.file, facts.facts)).collect())
}

/// A scan of a hundred thousand chunks takes a tenth of a second; a pattern that needs this long is a mistake.
pub(super) const SCAN_TIME_MAX: Duration = Duration::from_secs(10);

/// A definition of the literal counts more than any number of its uses in one chunk.
const DEFINITION: f32 = 10_000.0;
