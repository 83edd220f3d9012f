//! Reading indexed files, as they were when they were indexed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Service;
use crate::error::{Error, Result};

/// Lines returned at once: a whole ordinary file.
pub const LINES_MAX: u32 = 5_000;

/// Lines of a file.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FileLines {
    /// The collection.
    pub collection: String,
    /// The file, relative to the root of its source.
    pub path: String,
    /// Its language, where one was recognised.
    pub language: Option<String>,
    /// First line returned, from 1.
    pub start_line: u32,
    /// Last line returned; `start_line - 1` where there is none.
    pub end_line: u32,
    /// Lines of the file.
    pub total_lines: u32,
    /// The text of the lines.
    pub text: String,
}

impl Service {
    /// Returns lines of an indexed file, `from` and `to` included, at most [`LINES_MAX`] of them. Where several sources have
    /// a file of this path, `source` says which is meant.
    ///
    /// # Errors
    /// [`Error::PathMissing`] for a file that is not indexed; a path that several sources have; an unknown collection;
    /// those of the store.
    pub fn read_file(
        &self,
        name: &str,
        path: &str,
        source: Option<&str>,
        from: u32,
        to: Option<u32>,
    ) -> Result<FileLines> {
        let live = self.live(name)?;
        let db = self.connections.take()?;
        let store = db.store();
        let mut files = Vec::new();
        for known in store.sources(live.collection().id)? {
            if source.is_none_or(|source| known.id.0.to_string() == source) {
                let file = store.file(known.id, path)?;
                files.extend(file.filter(|file| file.skipped.is_none()));
            }
        }
        let file = match files.as_slice() {
            [] => return Err(Error::PathMissing(path.into())),
            [file] => file,
            [_, ..] => {
                return Err(Error::Argument {
                    problem: format!(
                        "{} sources of `{name}` have a file of this path",
                        files.len()
                    ),
                    remedy: "say which with ?source=ID; GET …/sources lists them".to_owned(),
                });
            }
        };
        let chunks = store.file_chunks(file.id, 0, u32::MAX)?;
        let language = chunks.first().and_then(|chunk| chunk.language.clone());
        let text: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let total_lines = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let start = from.max(1);
        let end = to
            .unwrap_or(u32::MAX)
            .min(start.saturating_add(LINES_MAX - 1))
            .min(total_lines);
        let chosen = lines
            .get(start as usize - 1..end as usize)
            .unwrap_or_default();
        Ok(FileLines {
            collection: name.to_owned(),
            path: path.to_owned(),
            language,
            start_line: start,
            end_line: end.max(start - 1),
            total_lines,
            text: chosen.concat(),
        })
    }
}
