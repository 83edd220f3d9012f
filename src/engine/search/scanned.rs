//! Literal and regular-expression answers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::filter::Filter;
use super::scan::{Pattern, scan};
use super::snippet::around;
use super::{
    Answer, Hit, Meta, Mode, Reason, SearchRequest, Searched, millis_since, neighbours, symbol_of,
};
use crate::error::Result;
use crate::store::{Collection, Store};

pub(super) fn search(
    store: &dyn Store,
    request: &SearchRequest,
    filter: &Filter,
    collections: &[Collection],
) -> Result<Answer> {
    let started = Instant::now();
    let pattern = match request.mode {
        Mode::Regex => Pattern::regex(&request.query)?,
        Mode::Literal | Mode::Hybrid | Mode::Text | Mode::Vector => {
            Pattern::literal(&request.query)?
        }
    };
    let names = [request.query.trim().to_lowercase()];
    let out_of_time = || started.elapsed() > SCAN_TIME_MAX;
    let mut hits = Vec::new();
    let mut skipped_files = 0;
    for collection in collections {
        let metadata = if filter.needs_metadata() {
            store.metadata(collection.id)?
        } else {
            Vec::new()
        };
        let metadata: HashMap<_, _> = metadata
            .into_iter()
            .map(|facts| (facts.file, facts.facts))
            .collect();
        skipped_files += store.skipped_files(collection.id)?;
        for found in scan(
            store,
            collection.id,
            &pattern,
            filter,
            &metadata,
            request.limit,
            &out_of_time,
        )? {
            let chunk = found.chunk;
            let bonus = if found.is_definition { DEFINITION } else { 0.0 };
            hits.push(Hit {
                id: chunk.id.0,
                collection: collection.name.clone(),
                path: chunk.path.clone(),
                start_line: chunk.start_line,
                end_line: chunk.end_line,
                language: chunk.language.clone(),
                symbol: symbol_of(&chunk, &names),
                score: found.matches as f32 + bonus,
                snippet: around(
                    &chunk.text,
                    chunk.start_line,
                    found.line,
                    request.snippet_lines,
                ),
                context: neighbours(store, &chunk, request.context)?,
                explain: None,
            });
        }
    }
    // Each collection's hits are in order; the sort is stable.
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    hits.truncate(request.limit);
    let reasons = if out_of_time() {
        vec![Reason::OutOfTime]
    } else {
        Vec::new()
    };
    let meta = Meta {
        served_by: request.mode,
        degraded: !reasons.is_empty(),
        reasons,
        took_ms: millis_since(started),
        embedded_fraction: None,
        skipped_files,
        model: None,
        model_problem: None,
        changes_behind: 0,
        collections: collections.iter().map(Searched::from).collect(),
    };
    Ok(Answer { hits, meta })
}

/// A scan of a hundred thousand chunks takes a tenth of a second; a pattern that needs this long is a mistake.
const SCAN_TIME_MAX: Duration = Duration::from_secs(10);

/// A definition of the literal counts more than any number of its uses in one chunk.
const DEFINITION: f32 = 10_000.0;
