//! What is like the code at a place: nearest by vector, or by words where there is none.

use std::time::Instant;

use embedder_index::embedded_text::chunk_text;
use embedder_index::{Mode as Retrievers, ParsedQuery, QueryVector, Request};

use super::answer::AnswerSize;
use super::filter::Filter;
use super::ranked::Found;
use super::view::{View, index_id};
use super::{Answer, Mode, SearchRequest, Sight, relative_to};
use crate::error::{Error, Result};
use crate::store::{ChunkRow, Collection, Source};

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the root of its source or to the current folder.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
    /// The id of the source, where several have a file of this path.
    pub source: Option<String>,
}

pub(super) fn search(
    sight: &Sight<'_>,
    started: Instant,
    place: &Place,
    request: &SearchRequest,
    filter: &Filter,
) -> Result<Answer> {
    let (collection, place) = find_place(sight, place)?;
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
    let mut size = AnswerSize::default();
    for hit in hits {
        let found = Found {
            collection,
            hit,
            words: &[],
        };
        if let Some(hit) = found.show(sight, request, filter)? {
            size.add(&hit)?;
            shown.push(hit);
        }
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
fn find_place<'a>(sight: &Sight<'a>, place: &Place) -> Result<(&'a Collection, ChunkRow)> {
    let path = place.path.strip_prefix("./").unwrap_or(&place.path);
    for &(collection, _) in &sight.views {
        let sources = sight.store.sources(collection.id)?;
        let may_be_in = |source: &&Source| {
            let asked = place.source.as_ref();
            asked.is_none_or(|asked| *asked == source.id.0.to_string())
        };
        let below_roots = sources
            .iter()
            .filter(may_be_in)
            .filter_map(|source| Some((source.id, relative_to(source.folder()?, path)?)));
        let as_given = sources
            .iter()
            .filter(may_be_in)
            .map(|source| (source.id, path.to_owned()));
        for (source, path) in below_roots.chain(as_given) {
            if let Some(chunk) = sight.store.chunk_at(source, &path, place.line)? {
                return Ok((collection, chunk));
            }
        }
    }
    Err(Error::PlaceMissing {
        place: format!("{path}:{}", place.line),
    })
}
