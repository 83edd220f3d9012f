//! What is like the code at a place: nearest by vector, or by words where there is none.

use std::time::Instant;

use embedder_index::embedded_text::chunk_text;
use embedder_index::{Mode as Retrievers, ParsedQuery, QueryVector, Request};

use super::filter::Filter;
use super::ranked::Found;
use super::view::{View, index_id};
use super::{Answer, Mode, SearchRequest, Sight, relative_to};
use crate::error::{Error, Result};
use crate::store::{ChunkRow, Collection};

pub(super) fn search(
    sight: &Sight<'_>,
    started: Instant,
    path: &str,
    line: u32,
    request: &SearchRequest,
    filter: &Filter,
) -> Result<Answer> {
    let (collection, place) = find_place(sight, path, line)?;
    let view = sight.view(collection)?;
    let own = index_id(view.canonical(place.id));
    let allowed = view.allowed(filter);
    // One more than asked for, because the place itself is always nearest.
    let limit = request.limit + 1;
    let (served_by, mut hits) = match view.index.vector(own) {
        Some(vector) => {
            let nearest =
                view.index
                    .nearest(&QueryVector::new(vector)?, limit, allowed.as_ref())?;
            let hit = |(id, score)| embedder_index::Hit {
                id,
                score,
                defines: Vec::new(),
                explanation: None,
            };
            (Mode::Vector, nearest.into_iter().map(hit).collect())
        }
        None => (Mode::Text, by_words(view, &place, allowed.as_ref(), limit)?),
    };
    hits.retain(|hit: &embedder_index::Hit| hit.id != own);
    hits.truncate(request.limit);
    let mut shown = Vec::new();
    for hit in hits {
        let found = Found {
            collection,
            hit,
            words: &[],
        };
        shown.extend(found.show(sight, request, filter)?);
    }
    Ok(Answer {
        hits: shown,
        meta: sight.of(collection).meta(started, served_by),
    })
}

/// Searches for the words that the chunk would be embedded by.
fn by_words(
    view: &View,
    place: &ChunkRow,
    allowed: Option<&embedder_index::Allowed>,
    limit: usize,
) -> Result<Vec<embedder_index::Hit>> {
    let query = ParsedQuery::parse(&chunk_text(&place.record(), &place.text));
    let request = Request {
        mode: Retrievers::Text,
        allowed,
        limit,
        ..Request::new(&query)
    };
    Ok(view.index.search(&request)?)
}

/// Finds the chunk at a place, by the path from the current folder, else from the root of a source.
fn find_place<'a>(sight: &Sight<'a>, path: &str, line: u32) -> Result<(&'a Collection, ChunkRow)> {
    let path = path.strip_prefix("./").unwrap_or(path);
    for &(collection, _) in &sight.views {
        let sources = sight.store.sources(collection.id)?;
        let below_roots = sources
            .iter()
            .filter_map(|source| relative_to(source.folder()?, path));
        for path in below_roots.chain(std::iter::once(path.to_owned())) {
            if let Some(chunk) = sight.store.chunk_at(collection.id, &path, line)? {
                return Ok((collection, chunk));
            }
        }
    }
    Err(Error::PlaceMissing {
        place: format!("{path}:{line}"),
    })
}
