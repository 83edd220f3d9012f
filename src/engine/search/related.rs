//! What is like the code at a place: nearest by vector, or by words where there is none.

use std::time::Instant;

use embedder_index::embedded_text::chunk_text;
use embedder_index::{Mode as Retrievers, ParsedQuery, QueryVector, Request};

use super::filter::Filter;
use super::ranked::Found;
use super::view::{View, index_id};
use super::{Answer, Mode, Reader, SearchRequest, relative_to};
use crate::error::{Error, Result};
use crate::store::{ChunkRow, Collection, Store};

pub(super) fn search(
    reader: &Reader,
    path: &str,
    line: u32,
    request: &SearchRequest,
    filter: &Filter,
    collections: &[Collection],
) -> Result<Answer> {
    let started = Instant::now();
    let (collection, place) = find_place(reader, path, line, collections)?;
    let view = reader.view(&collection)?;
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
            collection: &collection,
            hit,
            words: &[],
        };
        shown.extend(found.show(reader, request, filter)?);
    }
    Ok(Answer {
        hits: shown,
        meta: reader.meta(started, served_by, std::slice::from_ref(&collection))?,
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
fn find_place(
    reader: &Reader,
    path: &str,
    line: u32,
    collections: &[Collection],
) -> Result<(Collection, ChunkRow)> {
    let path = path.strip_prefix("./").unwrap_or(path);
    for collection in collections {
        let sources = reader.db.sources(collection.id)?;
        let below_roots = sources
            .iter()
            .filter_map(|source| relative_to(&source.root, path));
        for path in below_roots.chain(std::iter::once(path.to_owned())) {
            if let Some(chunk) = reader.db.chunk_at(collection.id, &path, line)? {
                return Ok((collection.clone(), chunk));
            }
        }
    }
    Err(Error::PlaceMissing {
        place: format!("{path}:{line}"),
    })
}
