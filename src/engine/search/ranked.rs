//! Answers by word and by meaning.

use std::time::Instant;

use embedder_index::{Mode as Retrievers, ParsedQuery, Request, Rule, Weight};

use super::filter::Filter;
use super::snippet::snippet;
use super::view::{View, store_id};
use super::{Answer, Hit, Mode, SearchRequest, Sight, neighbours, symbol_of};
use crate::error::{Error, Result};
use crate::store::Collection;

/// Vectors that make a second thread worth its start.
const PARALLEL_VECTORS: usize = 20_000;

pub(super) fn search(
    sight: &Sight<'_>,
    started: Instant,
    request: &SearchRequest,
    filter: &Filter,
) -> Result<Answer> {
    let query = ParsedQuery::parse(&request.query);
    let served_by = sight.serving(request.mode);
    let vector = match served_by {
        Mode::Hybrid | Mode::Vector => sight.vector.as_deref(),
        Mode::Text | Mode::Literal | Mode::Regex | Mode::Direct => None,
    };
    let mut hits = Vec::new();
    for &(collection, view) in &sight.views {
        let allowed = view.allowed(filter);
        let ranked = rank(
            view,
            &Request {
                query: &query,
                vector,
                mode: retrievers(served_by),
                allowed: allowed.as_ref(),
                limit: request.limit,
                rules: request.rules,
                explain: request.explain,
            },
            sight.threads,
        )?;
        hits.extend(ranked.into_iter().map(|hit| (collection, hit)));
    }
    // Each collection's hits are in order and the sort is stable, so equal scores keep the order of collections.
    hits.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    if request.rules.has(Rule::DefinitionGuarantee) {
        keep_definitions(&mut hits, query.identifiers.len(), request.limit);
    }
    hits.truncate(request.limit);
    let words = shown_words(&query);
    let mut answer = Vec::with_capacity(hits.len());
    for (collection, hit) in hits {
        let found = Found {
            collection,
            hit,
            words: &words,
        };
        answer.extend(found.show(sight, request, filter)?);
    }
    // Chunks of one file that was written again may have become one.
    let mut shown = std::collections::HashSet::new();
    answer.retain(|hit: &Hit| shown.insert(hit.id));
    Ok(Answer {
        hits: answer,
        meta: sight.meta(started, served_by),
    })
}

/// Sees to it that merging keeps what each collection guarantees: that an identifier which is asked for has a definition
/// among the first hits, if any collection has one.
fn keep_definitions(
    hits: &mut Vec<(&Collection, embedder_index::Hit)>,
    identifiers: usize,
    limit: usize,
) {
    let Weight::Within(within) = Rule::DefinitionGuarantee.weight() else {
        return;
    };
    let within = within.min(limit).min(hits.len());
    let mut needed = Vec::new();
    for identifier in 0..identifiers {
        let defines =
            |(_, hit): &(&Collection, embedder_index::Hit)| hit.defines.contains(&identifier);
        let Some(at) = hits.iter().position(defines) else {
            continue;
        };
        needed.push(identifier);
        if at < within {
            continue;
        }
        let definition = hits.remove(at);
        // Behind what is needed for the identifiers before it.
        let is_needed = |(_, hit): &(&Collection, embedder_index::Hit)| {
            hit.defines
                .iter()
                .any(|identifier| needed.contains(identifier))
        };
        let to = hits[..within].iter().rposition(|hit| !is_needed(hit));
        hits.insert(to.unwrap_or(within), definition);
    }
}

/// Returns what a snippet should show: the identifiers as they are spelled, and the stems of the words. Single letters
/// and digits are in every line.
fn shown_words(query: &ParsedQuery) -> Vec<String> {
    let names = query
        .identifiers
        .iter()
        .map(|identifier| identifier.name.to_lowercase());
    let words = query
        .words
        .iter()
        .filter(|word| word.chars().nth(1).is_some())
        .cloned();
    names.chain(words).collect()
}

/// Searches one collection, its vectors scanned on all threads where there are many.
fn rank(view: &View, request: &Request<'_>, threads: usize) -> Result<Vec<embedder_index::Hit>> {
    let index = &view.index;
    let len = index.vectors_len();
    let (Some(vector), false) = (request.vector, len < PARALLEL_VECTORS || threads < 2) else {
        return Ok(index.search(request)?);
    };
    let mut cosines = vec![0.0; len];
    let part = len.div_ceil(threads);
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        let scans: Vec<_> = cosines
            .chunks_mut(part)
            .enumerate()
            .map(|(number, cosines)| {
                let from = number * part;
                let rows = from..from + cosines.len();
                scope.spawn(move || index.scan(vector, rows, request.allowed, cosines))
            })
            .collect();
        results.extend(scans.into_iter().map(std::thread::ScopedJoinHandle::join));
    });
    for result in results {
        result.map_err(|_| Error::Internal("a scan of vectors panicked".to_owned()))??;
    }
    Ok(index.search_scanned(request, cosines)?)
}

fn retrievers(mode: Mode) -> Retrievers {
    match mode {
        Mode::Vector => Retrievers::Vector,
        Mode::Hybrid => Retrievers::Hybrid,
        Mode::Text | Mode::Literal | Mode::Regex | Mode::Direct => Retrievers::Text,
    }
}

/// A hit of the index, to be shown.
pub(super) struct Found<'a> {
    pub(super) collection: &'a Collection,
    pub(super) hit: embedder_index::Hit,
    pub(super) words: &'a [String],
}

impl Found<'_> {
    /// Reads what is shown of the hit; none where its file went since the collection was loaded.
    pub(super) fn show(
        self,
        sight: &Sight<'_>,
        request: &SearchRequest,
        filter: &Filter,
    ) -> Result<Option<Hit>> {
        let view = sight.view(self.collection)?;
        let id = store_id(self.hit.id);
        let mut chunk = match sight.store.chunks(&[id])?.pop() {
            Some(chunk) => chunk,
            // The file was written again a moment ago and the view has not followed yet: its newest text at the place.
            None => match view.place(id) {
                Some((file, line)) => match sight.store.chunk_near(file, line)? {
                    Some(chunk) => chunk,
                    None => return Ok(None),
                },
                None => return Ok(None),
            },
        };
        if let Some(copy) = view.other_place(&chunk, filter) {
            let Some(copy) = sight.store.chunks(&[copy])?.pop() else {
                return Ok(None);
            };
            chunk = copy;
        }
        Ok(Some(Hit {
            id: chunk.id.0,
            collection: self.collection.name.clone(),
            source: chunk.source.0.to_string(),
            start_line: chunk.start_line,
            end_line: chunk.end_line,
            symbol: symbol_of(&chunk, self.words),
            score: self.hit.score,
            snippet: snippet(
                &chunk.text,
                chunk.start_line,
                self.words,
                request.snippet_lines,
            ),
            context: neighbours(sight.store, &chunk, request.context)?,
            explain: self.hit.explanation,
            path: chunk.path,
            language: chunk.language,
        }))
    }
}
