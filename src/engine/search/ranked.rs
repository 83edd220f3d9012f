//! Answers by word and by meaning.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use embedder_index::{
    Allowed, Mode as Retrievers, ParsedQuery, QueryVector, Request, Rule, Weight,
};
use embedder_reliability::degradation::Part;

use super::answer::AnswerSize;
use super::filter::Filter;
use super::snippet::snippet;
use super::view::{View, store_id};
use super::{Answer, Hit, Mode, SearchRequest, Sight, neighbours, symbol_of};
use crate::error::{Error, ErrorCode, Result};
use crate::failpoint::{self, Failpoint};
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
    let mut size = AnswerSize::default();
    for (collection, hit) in hits {
        let found = Found {
            collection,
            hit,
            words: &words,
        };
        if let Some(hit) = found.show(sight, request, filter)? {
            size.add(&hit)?;
            answer.push(hit);
        }
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

/// Searches one collection. What fails is told by its part, so that the next answer can do without it.
fn rank(view: &View, request: &Request<'_>, threads: usize) -> Result<Vec<embedder_index::Hit>> {
    let index = &view.index;
    let Some(vector) = request.vector else {
        return by_words(|| index.search(request));
    };
    let cosines = compare(view, vector, request.allowed, threads)?;
    if request.mode == Retrievers::Vector {
        return Ok(index.search_scanned(request, cosines)?);
    }
    by_words(|| index.search_scanned(request, cosines))
}

/// Compares the query's vector with all of a collection, on all threads where there are many.
fn compare(
    view: &View,
    vector: &QueryVector,
    allowed: Option<&Allowed>,
    threads: usize,
) -> Result<Vec<f32>> {
    let lost = |problem: &str| Error::Part {
        part: Part::VectorIndex,
        problem: problem.to_owned(),
    };
    failpoint::pass(Failpoint::VectorSearch).map_err(|injected| lost(&injected.to_string()))?;
    let index = &view.index;
    let len = index.vectors_len();
    let mut cosines = vec![0.0; len];
    let threads = if len < PARALLEL_VECTORS { 1 } else { threads };
    let part = len.div_ceil(threads).max(1);
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        let mut parts = cosines.chunks_mut(part).enumerate();
        let first = parts.next();
        let scans: Vec<_> = parts
            .map(|(number, cosines)| {
                let from = number * part;
                let rows = from..from + cosines.len();
                scope.spawn(move || index.scan(vector, rows, allowed, cosines))
            })
            .collect();
        if let Some((_, cosines)) = first {
            let rows = 0..cosines.len();
            results.push(Ok(index.scan(vector, rows, allowed, cosines)));
        }
        results.extend(scans.into_iter().map(std::thread::ScopedJoinHandle::join));
    });
    for result in results {
        result.map_err(|_| lost("a scan of vectors panicked"))??;
    }
    Ok(cosines)
}

/// Searches by words. What the files of an index make the library below do is not known: it may panic.
fn by_words(
    search: impl FnOnce() -> std::result::Result<Vec<embedder_index::Hit>, embedder_index::Error>,
) -> Result<Vec<embedder_index::Hit>> {
    let lost = |problem: String| Error::Part {
        part: Part::LexicalIndex,
        problem,
    };
    let search = || match failpoint::pass(Failpoint::LexicalSearch) {
        Ok(()) => Ok(search()),
        Err(injected) => Err(injected),
    };
    // Searching changes nothing that a panic could leave half done.
    match catch_unwind(AssertUnwindSafe(search)) {
        Ok(Err(injected)) => Err(lost(injected.to_string())),
        Ok(Ok(Ok(hits))) => Ok(hits),
        Ok(Ok(Err(error))) => {
            let error = Error::from(error);
            // A vector of the wrong length is the client's.
            Err(if error.code() == ErrorCode::InvalidQuery {
                error
            } else {
                lost(error.to_string())
            })
        }
        Err(_) => Err(lost("a search by words panicked".to_owned())),
    }
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
