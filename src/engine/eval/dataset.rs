//! Questions about released packages, with the files that answer them.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Questions about one corpus.
#[derive(Debug, Clone, Deserialize)]
pub struct Annotations {
    /// The corpus, which is the name of its folder.
    pub corpus: String,
    /// Folders of the corpus that are indexed; `.` for all.
    pub roots: Vec<String>,
    /// The questions.
    pub queries: Vec<Question>,
}

/// A question and its answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Question {
    /// What is asked.
    pub query: String,
    /// What kind of question it is.
    pub category: Category,
    /// What answers it.
    pub relevant: Vec<Target>,
    /// What answers it in part. Counts as much.
    #[serde(default)]
    pub secondary: Vec<Target>,
}

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// How parts work together.
    Architecture,
    /// What a piece does, in words of its own.
    Semantic,
    /// An identifier.
    Symbol,
}

impl Category {
    /// Every category.
    pub const ALL: [Category; 3] = [Category::Architecture, Category::Semantic, Category::Symbol];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Category::Architecture => "architecture",
            Category::Semantic => "semantic",
            Category::Symbol => "symbol",
        }
    }
}

/// A file that answers, or some lines of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// The file, relative to the corpus folder.
    pub path: String,
    /// First line of the answer, from 1; the whole file where there is none.
    #[serde(default)]
    pub start_line: Option<u32>,
    /// Last line of the answer.
    #[serde(default)]
    pub end_line: Option<u32>,
}

/// A place that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file.
    pub path: &'a str,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
}

impl Question {
    /// Everything that answers.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.relevant.iter().chain(&self.secondary)
    }
}

impl Target {
    /// Whether a place shows the target: the same file (a path may be cut at the front) and, where the target has lines,
    /// some of them.
    pub fn is_shown_by(&self, place: Place<'_>) -> bool {
        let same_path = ends_in(&self.path, place.path) || ends_in(place.path, &self.path);
        let first = self.start_line.unwrap_or(0);
        let last = self.end_line.unwrap_or(u32::MAX);
        same_path && place.start_line <= last && place.end_line >= first
    }
}

/// Whether `path` is `end`, or ends in it at a `/`.
fn ends_in(path: &str, end: &str) -> bool {
    path.strip_suffix(end)
        .is_some_and(|front| front.is_empty() || front.ends_with('/'))
}

/// Reads `annotations/*.json` of a folder, in order of their names.
///
/// # Errors
/// A folder that is missing, or a file that is not of this format.
pub fn load(dir: &Path) -> Result<Vec<Annotations>> {
    let folder = dir.join("annotations");
    let entries = fs::read_dir(&folder).map_err(|error| Error::io("read", &folder, error))?;
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
            serde_json::from_str(&text).map_err(|error| Error::Argument {
                problem: format!("{} is no file of questions: {error}", path.display()),
                remedy: "eval/README.md describes the format".to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str, lines: Option<(u32, u32)>) -> Target {
        Target {
            path: path.to_owned(),
            start_line: lines.map(|(first, _)| first),
            end_line: lines.map(|(_, last)| last),
        }
    }

    #[test]
    fn a_target_is_shown_by_its_file_and_lines() {
        let place = |path, start_line, end_line| Place {
            path,
            start_line,
            end_line,
        };
        let file = target("src/a.c", None);
        assert!(file.is_shown_by(place("src/a.c", 1, 2)));
        assert!(file.is_shown_by(place("a.c", 1, 2)) && file.is_shown_by(place("x/src/a.c", 1, 2)));
        assert!(!file.is_shown_by(place("src/ba.c", 1, 2)) && !file.is_shown_by(place("c", 1, 2)));
        let lines = target("src/a.c", Some((10, 20)));
        assert!(lines.is_shown_by(place("src/a.c", 20, 30)));
        assert!(lines.is_shown_by(place("src/a.c", 1, 10)));
        assert!(!lines.is_shown_by(place("src/a.c", 21, 30)));
        assert!(!lines.is_shown_by(place("src/a.c", 1, 9)));
    }
}
