//! Literal and regular-expression answers.

use std::collections::HashMap;
use std::time::Instant;

use super::filter::Filter;
use super::scan::{Pattern, scan};
use super::snippet::around;
use super::{
    Answer, Hit, Meta, Mode, SearchRequest, Searched, millis_since, neighbours, symbol_of,
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
                symbol: symbol_of(&chunk),
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
    let meta = Meta {
        served_by: request.mode,
        degraded: false,
        reasons: Vec::new(),
        took_ms: millis_since(started),
        embedded_fraction: None,
        skipped_files,
        model: None,
        collections: collections.iter().map(Searched::from).collect(),
    };
    Ok(Answer { hits, meta })
}

/// A definition of the literal counts more than any number of its uses in one chunk.
const DEFINITION: f32 = 10_000.0;
