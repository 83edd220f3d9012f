//! Files as callers of tools name them: as `search` does, from the workspace on, or by all of their path.

use std::path::Path;

use serde_json::json;

use super::api::{Api, Call, Sources};
use crate::engine::search::Answer;
use crate::engine::serving::collections::CollectionView;
use crate::engine::serving::files::FileLines;
use crate::engine::serving::sources::SourceView;
use crate::error::{Error, ErrorCode, Result};

/// Files that are named in place of one that is not there.
const SIMILAR_MAX: usize = 3;

/// Hits among which they are looked for.
const SIMILAR_HITS: usize = 20;

/// Lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lines {
    /// The first, from 1.
    pub(super) from: u32,
    /// The last; the file's where there is none.
    pub(super) to: Option<u32>,
}

/// A file of a collection, by its path as the collection has it.
#[derive(Debug)]
pub(super) struct NamedFile<'a> {
    pub(super) collection: &'a CollectionView,
    pub(super) path: String,
}

impl<'a> NamedFile<'a> {
    /// Understands a name.
    ///
    /// # Errors
    /// Those of the API.
    pub(super) async fn new(
        api: &dyn Api,
        collection: &'a CollectionView,
        name: &str,
    ) -> Result<NamedFile<'a>> {
        let name = name.strip_prefix("./").unwrap_or(name);
        let mut path = name.to_owned();
        if name.starts_with('/') {
            let roots = sources(api, collection).await?;
            let roots = roots.iter().filter_map(|source| source.path.as_deref());
            let below = roots.filter_map(|root| Path::new(name).strip_prefix(root).ok());
            // Of several roots the innermost.
            if let Some(below) = below.min_by_key(|below| below.components().count()) {
                path = below.display().to_string();
            }
        }
        Ok(NamedFile { collection, path })
    }

    /// Reads lines of it; none where it is not indexed. Where several sources of the collection have a file of this path, the
    /// first is as good as another.
    ///
    /// # Errors
    /// Those of the API.
    pub(super) async fn read(&self, api: &dyn Api, lines: Lines) -> Result<Option<FileLines>> {
        match self.read_of(api, lines, None).await {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) if error.code() == ErrorCode::Usage => {
                for source in sources(api, self.collection).await? {
                    if let Ok(read) = self.read_of(api, lines, Some(&source.id)).await {
                        return Ok(Some(read));
                    }
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn read_of(
        &self,
        api: &dyn Api,
        lines: Lines,
        source: Option<&str>,
    ) -> Result<FileLines> {
        let (from, to) = (lines.from.to_string(), lines.to.map(|to| to.to_string()));
        let mut query = vec![("from", from.as_str())];
        query.extend(to.as_deref().map(|to| ("to", to)));
        query.extend(source.map(|source| ("source", source)));
        let name = &self.collection.name;
        let path = ["v1", "collections", name, "files", &self.path];
        Call::get(&path, &query).of(api).await
    }
}

/// Says that none of these collections has a file, and which it has of the same name.
pub(super) async fn missing(api: &dyn Api, collections: &[CollectionView], name: &str) -> Error {
    let last = name.rsplit('/').next().unwrap_or(name);
    let mut similar: Vec<String> = Vec::new();
    for collection in collections {
        let body = json!({
            "query": last,
            "mode": "text",
            "limit": SIMILAR_HITS,
            "filter": {"path": [format!("**/{}", globset::escape(last))]},
            "snippet_lines": 1,
        });
        let call = Call::post(&["v1", "collections", &collection.name, "search"], body);
        // Without it the answer is as true.
        let Ok(answer) = call.of::<Answer>(api).await else {
            continue;
        };
        for hit in answer.hits {
            if !similar.contains(&hit.path) && similar.len() < SIMILAR_MAX {
                similar.push(hit.path);
            }
        }
    }
    Error::Argument {
        problem: format!("`{name}` is not indexed"),
        remedy: if similar.is_empty() {
            "name it as `search` does; ignored files, and those that are generated or may hold secrets, are left out"
                .to_owned()
        } else {
            format!("there is {}", similar.join(", "))
        },
    }
}

async fn sources(api: &dyn Api, collection: &CollectionView) -> Result<Vec<SourceView>> {
    let path = ["v1", "collections", &collection.name, "sources"];
    let known: Sources = Call::get(&path, &[]).of(api).await?;
    Ok(known.sources)
}

/// Takes the lines off a place as `search` writes it, `src/door.rs:10-20`.
pub(super) fn without_lines(place: &str) -> Option<(&str, Lines)> {
    let (path, lines) = place.rsplit_once(':')?;
    let (from, to) = match lines.split_once('-') {
        Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
        None => {
            let line = lines.parse().ok()?;
            (line, line)
        }
    };
    let is_range = 1 <= from && from <= to;
    is_range.then_some((path, Lines { from, to: Some(to) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_apart() {
        let check = |place: &str, expected: Option<(&str, u32, u32)>| {
            let taken = without_lines(place);
            let taken = taken.map(|(path, lines)| (path, lines.from, lines.to.unwrap()));
            assert_eq!(taken, expected, "{place}");
        };
        check("src/door.rs:10-20", Some(("src/door.rs", 10, 20)));
        check("src/door.rs:7", Some(("src/door.rs", 7, 7)));
        check("src/door.rs", None);
        check("a:b", None);
        check("a:1-", None);
        check("a:0", None);
        check("a:20-10", None);
    }
}
