//! Answers questions about what is indexed.
//!
//! [`Reader`] opens the store for reading, beside a writer if there is one. A search goes to one collection or several;
//! the hits of several are merged by score. [`Meta`] says what the answer rests on: which mode served it, how complete
//! the vectors are, and why an answer is less than was asked for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use embedder_index::Explanation;
use serde::Serialize;

use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{Collection, CollectionId, Store, StoreError};

pub mod filter;
mod ranked;
mod related;
mod scan;
mod scanned;
pub mod snippet;
mod view;

use filter::{Filter, FilterSpec};
use snippet::Snippet;
use view::View;

/// Longest query in characters. The model reads a few hundred tokens; more is a document, not a question.
pub const QUERY_CHARS_MAX: usize = 8_192;

/// Most hits of one search.
pub const LIMIT_MAX: usize = 1_000;

/// Most neighbours shown above and below a hit.
pub const CONTEXT_MAX: u32 = 20;

/// Share of chunks that must have a vector before vectors take part in the ranking. Below it, what happens to be
/// embedded already would outrank what fits better.
const COMPLETE_ENOUGH: f64 = 0.9;

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By word and by meaning.
    Hybrid,
    /// By word alone.
    Text,
    /// By meaning alone.
    Vector,
    /// For this very text.
    Literal,
    /// For a regular expression.
    Regex,
}

/// A question with everything that shapes its answer.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// What to look for.
    pub query: String,
    /// How.
    pub mode: Mode,
    /// The collections to search; empty for the one that holds the current folder, else all.
    pub collections: Vec<String>,
    /// Most hits.
    pub limit: usize,
    /// Which files may answer.
    pub filter: FilterSpec,
    /// Lines shown of each hit.
    pub snippet_lines: usize,
    /// Chunks shown above and below each hit.
    pub context: u32,
    /// Whether each hit says why it is where it is.
    pub explain: bool,
}

impl SearchRequest {
    /// A request with the defaults: ten hits of eight lines, everywhere.
    pub fn new(query: String, mode: Mode) -> SearchRequest {
        SearchRequest {
            query,
            mode,
            collections: Vec::new(),
            limit: 10,
            filter: FilterSpec::default(),
            snippet_lines: 8,
            context: 0,
            explain: false,
        }
    }

    fn check(&self) -> Result<()> {
        let chars = self.query.chars().count();
        if self.query.trim().is_empty() {
            return Err(Error::Query {
                problem: "the query is empty".to_owned(),
                remedy: "give a question, words or a name".to_owned(),
            });
        }
        if chars > QUERY_CHARS_MAX {
            return Err(Error::Query {
                problem: format!(
                    "the query has {chars} characters, the limit is {QUERY_CHARS_MAX}"
                ),
                remedy: "shorten it to what it asks for".to_owned(),
            });
        }
        self.check_shape()
    }

    fn check_shape(&self) -> Result<()> {
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(Error::Argument {
                problem: format!("{} is no limit for hits", self.limit),
                remedy: format!("use 1 to {LIMIT_MAX}"),
            });
        }
        if self.context > CONTEXT_MAX {
            return Err(Error::Argument {
                problem: format!("{} chunks of context are too many", self.context),
                remedy: format!("use 0 to {CONTEXT_MAX}"),
            });
        }
        Ok(())
    }
}

/// A place that answers.
#[derive(Debug, Clone, Serialize)]
pub struct Hit {
    /// The chunk's id.
    pub id: i64,
    /// The collection it is in.
    pub collection: String,
    /// The file, relative to its source's root.
    pub path: String,
    /// First line of the chunk, from 1.
    pub start_line: u32,
    /// Last line of the chunk.
    pub end_line: u32,
    /// The file's language.
    pub language: Option<String>,
    /// What is defined there, with what is around it.
    pub symbol: Option<String>,
    /// Higher is better; comparable within one answer.
    pub score: f32,
    /// The lines that show why.
    pub snippet: Snippet,
    /// Neighbours that were asked for, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextChunk>,
    /// Why the hit is where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation>,
}

/// A chunk beside a hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContextChunk {
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// The text.
    pub text: String,
}

/// Hits and what they rest on.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// What they rest on.
    pub meta: Meta,
}

/// Why an answer is less than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There is no model, so nothing is searched by meaning.
    ModelMissing,
}

/// What an answer rests on.
#[derive(Debug, Clone, Serialize)]
pub struct Meta {
    /// The mode that served the answer.
    pub served_by: Mode,
    /// Whether it is less than was asked for because something failed or is missing.
    pub degraded: bool,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Milliseconds that the search took, opening not counted.
    pub took_ms: f64,
    /// Share of the chunks searched that have a vector by the model in use.
    /// Absent where vectors play no part.
    pub embedded_fraction: Option<f64>,
    /// Files of these collections that are not indexed.
    pub skipped_files: u64,
    /// The model in use.
    pub model: Option<String>,
    /// The collections searched, with how often each has changed.
    pub collections: Vec<Searched>,
}

/// A collection that was searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Searched {
    /// Its name.
    pub name: String,
    /// How often what is indexed has changed.
    pub generation: u64,
}

impl From<&Collection> for Searched {
    fn from(collection: &Collection) -> Searched {
        Searched {
            name: collection.name.clone(),
            generation: collection.generation,
        }
    }
}

impl Meta {
    /// Says in words what limits the answer.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.reasons.contains(&Reason::ModelMissing) {
            notes.push("there is no model, so this is text search (run `embedder models pull`, then index)".to_owned());
        } else if let Some(fraction) = self.embedded_fraction.filter(|&fraction| fraction < 1.0) {
            let served = if self.served_by == Mode::Text {
                "; answered from text"
            } else {
                ""
            };
            notes.push(format!(
                "vectors are {:.0} % complete{served}",
                (fraction * 100.0).floor()
            ));
        }
        notes
    }
}

/// Answers questions about a data directory.
pub struct Reader {
    db: ContentDb,
    data_dir: DataDir,
    collections: Vec<Collection>,
    embedder: Option<Embedder>,
    model_tried: bool,
    config: Config,
    views: HashMap<CollectionId, View>,
}

impl Reader {
    /// Opens the data directory that the settings name.
    ///
    /// # Errors
    /// [`Error::NothingIndexed`] where nothing is; a damaged store.
    pub fn open(config: &Config) -> Result<Reader> {
        let data_dir = DataDir::new(&config.data_dir);
        let db = match ContentDb::open_read_only(data_dir.path()) {
            Ok(db) => db,
            Err(StoreError::Absent { .. }) => {
                return Err(Error::NothingIndexed(config.data_dir.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        let collections = db.collections()?;
        if collections.is_empty() {
            return Err(Error::NothingIndexed(config.data_dir.clone()));
        }
        Ok(Reader {
            db,
            data_dir,
            collections,
            embedder: None,
            model_tried: false,
            config: config.clone(),
            views: HashMap::new(),
        })
    }

    /// Returns the store.
    pub fn store(&self) -> &dyn Store {
        &self.db
    }

    /// Returns the collection of this name.
    ///
    /// # Errors
    /// [`Error::CollectionMissing`] with the names there are.
    pub fn collection(&self, name: &str) -> Result<Collection> {
        self.collections
            .iter()
            .find(|collection| collection.name == name)
            .cloned()
            .ok_or_else(|| Error::CollectionMissing {
                name: name.to_owned(),
                known: self
                    .collections
                    .iter()
                    .map(|collection| collection.name.clone())
                    .collect(),
            })
    }

    /// Searches.
    ///
    /// # Errors
    /// An empty or overlong query, a malformed pattern, filter or limit; an unknown collection; vector search without
    /// a model.
    pub fn search(&mut self, request: &SearchRequest) -> Result<Answer> {
        request.check()?;
        let filter = Filter::new(&request.filter)?;
        let collections = self.chosen(&request.collections)?;
        match request.mode {
            Mode::Literal | Mode::Regex => {
                scanned::search(&self.db, request, &filter, &collections)
            }
            Mode::Hybrid | Mode::Text | Mode::Vector => {
                self.prepare(request.mode, &collections, !filter.is_open())?;
                ranked::search(self, request, &filter, &collections)
            }
        }
    }

    /// Finds what is like the code at a place: a line of a file, relative to the root of its source or to the current
    /// folder.
    ///
    /// # Errors
    /// [`Error::PlaceMissing`] when no indexed chunk covers the place; otherwise as [`Reader::search`].
    pub fn related(&mut self, path: &str, line: u32, request: &SearchRequest) -> Result<Answer> {
        request.check_shape()?;
        let filter = Filter::new(&request.filter)?;
        let collections = self.chosen(&request.collections)?;
        self.prepare(Mode::Hybrid, &collections, true)?;
        related::search(self, path, line, request, &filter, &collections)
    }

    /// Loads what a ranked search needs.
    fn prepare(&mut self, mode: Mode, collections: &[Collection], with_places: bool) -> Result<()> {
        if mode != Mode::Text && !self.model_tried {
            self.model_tried = true;
            match Embedder::load(&self.config) {
                Ok(embedder) => self.embedder = Some(embedder),
                Err(error) if mode == Mode::Vector => return Err(error),
                Err(error) => tracing::info!("Searching by text alone: {error}"),
            }
        }
        for collection in collections {
            let is_current = self.views.get(&collection.id).is_some_and(|view| {
                view.is_current(collection, mode != Mode::Text && self.embedder.is_some())
            });
            if !is_current {
                let embedder = self.embedder.as_ref().filter(|_| mode != Mode::Text);
                let view = View::open(&self.db, &self.data_dir, collection, embedder)?;
                self.views.insert(collection.id, view);
            }
            if with_places && let Some(view) = self.views.get_mut(&collection.id) {
                view.load_places(&self.db, collection)?;
            }
        }
        Ok(())
    }

    /// Returns the collections asked for; without any, the one that holds the current folder, else all.
    fn chosen(&self, names: &[String]) -> Result<Vec<Collection>> {
        if !names.is_empty() {
            return names.iter().map(|name| self.collection(name)).collect();
        }
        if let Some(folder) = current_folder() {
            let mut holding = Vec::new();
            for collection in &self.collections {
                for source in self.db.sources(collection.id)? {
                    if folder.starts_with(&source.root) {
                        holding.push((source.root.components().count(), collection));
                    }
                }
            }
            // The innermost source wins: a collection of a sub-folder is the narrower answer.
            if let Some((_, collection)) = holding.into_iter().max_by_key(|&(depth, _)| depth) {
                return Ok(vec![collection.clone()]);
            }
        }
        Ok(self.collections.clone())
    }
}

fn current_folder() -> Option<PathBuf> {
    std::env::current_dir()
        .and_then(|folder| folder.canonicalize())
        .ok()
}

/// Returns what a hit defines, with the scope around it: `Server::run`.
fn symbol_of(chunk: &crate::store::ChunkRow) -> Option<String> {
    let name = chunk.symbols.first().map(|symbol| symbol.name.clone());
    let is_prose = matches!(
        chunk.language.as_deref(),
        Some("markdown" | "rst" | "restructuredtext")
    );
    let parts: Vec<String> = chunk.scope.iter().cloned().chain(name).collect();
    (!parts.is_empty()).then(|| parts.join(if is_prose { " › " } else { "::" }))
}

/// Returns the neighbours of a chunk within its file.
fn neighbours(
    store: &dyn Store,
    chunk: &crate::store::ChunkRow,
    count: u32,
) -> Result<Vec<ContextChunk>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let rows = store.file_chunks(
        chunk.file,
        chunk.ordinal.saturating_sub(count),
        chunk.ordinal + count,
    )?;
    let others = rows.into_iter().filter(|row| row.id != chunk.id);
    Ok(others
        .map(|row| ContextChunk {
            start_line: row.start_line,
            end_line: row.end_line,
            text: row.text,
        })
        .collect())
}

/// Rounds to a microsecond, which is more than a clock is good for.
fn millis_since(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// Returns the path a user means, relative to the root of a source, if it lies below it.
fn relative_to(root: &Path, path: &str) -> Option<String> {
    let absolute = current_folder()?.join(path);
    let absolute = absolute.canonicalize().unwrap_or(absolute);
    let relative = absolute.strip_prefix(root).ok()?;
    Some(relative.to_str()?.replace(std::path::MAIN_SEPARATOR, "/"))
}
