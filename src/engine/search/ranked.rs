//! Answers by word and by meaning.

use std::time::Instant;

use embedder_index::embedded_text::query_text;
use embedder_index::{Mode as Retrievers, ParsedQuery, QueryVector, Request, Rule, Weight};

use super::filter::Filter;
use super::snippet::snippet;
use super::view::{View, store_id};
use super::{
    Answer, COMPLETE_ENOUGH, Hit, Meta, Mode, Reader, Reason, SearchRequest, Searched,
    millis_since, neighbours, symbol_of,
};
use crate::error::{Error, Result};
use crate::store::{Collection, Counts, Store};

/// Vectors that make a second thread worth its start.
const PARALLEL_VECTORS: usize = 20_000;

pub(super) fn search(
    reader: &Reader,
    request: &SearchRequest,
    filter: &Filter,
    collections: &[Collection],
) -> Result<Answer> {
    let started = Instant::now();
    let query = ParsedQuery::parse(&request.query);
    let served_by = reader.serving(request.mode, collections);
    let vector = match (&reader.embedder, served_by) {
        (Some(embedder), Mode::Hybrid | Mode::Vector) => Some(QueryVector::new(
            &embedder.embed_query(&query_text(&request.query)),
        )?),
        _ => None,
    };
    let mut hits = Vec::new();
    for collection in collections {
        let view = reader.view(collection)?;
        let allowed = view.allowed(filter);
        let ranked = rank(
            view,
            &Request {
                query: &query,
                vector: vector.as_ref(),
                mode: retrievers(served_by),
                allowed: allowed.as_ref(),
                limit: request.limit,
                rules: request.rules,
                explain: request.explain,
            },
            reader.config.threads,
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
        answer.extend(found.show(reader, request, filter)?);
    }
    Ok(Answer {
        hits: answer,
        meta: reader.meta(started, served_by, collections)?,
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
    /// Reads what is shown of the hit; none where the chunk went since the collection was loaded.
    pub(super) fn show(
        self,
        reader: &Reader,
        request: &SearchRequest,
        filter: &Filter,
    ) -> Result<Option<Hit>> {
        let id = store_id(self.hit.id);
        let Some(mut chunk) = reader.db.chunks(&[id])?.pop() else {
            return Ok(None);
        };
        let view = reader.view(self.collection)?;
        if let Some(copy) = view.other_place(&chunk, filter) {
            let Some(copy) = reader.db.chunks(&[copy])?.pop() else {
                return Ok(None);
            };
            chunk = copy;
        }
        Ok(Some(Hit {
            id: chunk.id.0,
            collection: self.collection.name.clone(),
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
            context: neighbours(&reader.db, &chunk, request.context)?,
            explain: self.hit.explanation,
            path: chunk.path,
            language: chunk.language,
        }))
    }
}

impl Reader {
    pub(super) fn view(&self, collection: &Collection) -> Result<&View> {
        self.views
            .get(&collection.id)
            .ok_or_else(|| Error::Internal("a collection was not loaded".to_owned()))
    }

    /// Returns the mode that can serve: text where there is no model, or not enough vectors yet.
    pub(super) fn serving(&self, asked: Mode, collections: &[Collection]) -> Mode {
        let counts = self.counts(collections);
        let has_vectors = self.embedder.is_some() && counts.embedded > 0;
        if asked == Mode::Hybrid && !(has_vectors && counts.embedded_fraction() >= COMPLETE_ENOUGH)
        {
            Mode::Text
        } else {
            asked
        }
    }

    fn views_of(&self, collections: &[Collection]) -> impl Iterator<Item = &View> {
        collections
            .iter()
            .filter_map(|collection| self.views.get(&collection.id))
    }

    fn counts(&self, collections: &[Collection]) -> Counts {
        self.views_of(collections)
            .fold(Counts::default(), |sum, view| Counts {
                chunks: sum.chunks + view.counts.chunks,
                embedded: sum.embedded + view.counts.embedded,
                skipped: sum.skipped + view.counts.skipped,
                files: 0,
            })
    }

    pub(super) fn meta(
        &self,
        started: Instant,
        served_by: Mode,
        collections: &[Collection],
    ) -> Result<Meta> {
        let counts = self.counts(collections);
        let is_missing = self.model_problem.is_some();
        Ok(Meta {
            served_by,
            degraded: is_missing,
            reasons: if is_missing {
                vec![Reason::ModelMissing]
            } else {
                Vec::new()
            },
            took_ms: millis_since(started),
            embedded_fraction: self.embedder.is_some().then(|| counts.embedded_fraction()),
            skipped_files: counts.skipped,
            model_problem: self.model_problem.clone(),
            changes_behind: self.views_of(collections).map(|view| view.behind).sum(),
            model: self
                .embedder
                .as_ref()
                .map(|embedder| embedder.name().to_owned()),
            collections: collections.iter().map(Searched::from).collect(),
        })
    }
}
