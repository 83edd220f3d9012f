//! Answers questions about what is indexed.
//!
//! [`Reader`] opens the store for reading, beside a writer if there is one. A search goes to one collection or several;
//! the hits of several are merged by score. [`Meta`] says what the answer rests on: which mode served it, how complete
//! the vectors are, and why an answer is less than was asked for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedder_index::QueryVector;
use embedder_index::embedded_text::query_text;

use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{ChunkRow, Collection, CollectionId, CollectionKind, Store, StoreError};

mod answer;
mod direct;
pub mod filter;
mod load;
mod ranked;
mod related;
mod request;
mod scan;
mod scanned;
mod sight;
pub mod snippet;
mod view;

pub use answer::{Answer, ContextChunk, Hit, Meta, Reason, Searched, ServedBy};
use filter::Filter;
pub(crate) use load::read_vectors;
pub use related::Place;
pub use request::{CONTEXT_MAX, LIMIT_MAX, Mode, QUERY_CHARS_MAX, SearchRequest};
pub(crate) use sight::{Missing, Sight};
pub(crate) use view::{Standing, View};

/// Share of chunks that must have a vector before vectors take part in the ranking. Below it, what happens to be
/// embedded already would outrank what fits better.
const COMPLETE_ENOUGH: f64 = 0.9;

/// Answers questions about a data directory.
pub struct Reader {
    db: ContentDb,
    data_dir: DataDir,
    collections: Vec<Collection>,
    embedder: Option<Arc<Embedder>>,
    /// Why there is no model, once one was wanted.
    model_problem: Option<String>,
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
            model_problem: None,
            config: config.clone(),
            views: HashMap::new(),
        })
    }

    /// Gives the reader a model that is loaded already.
    #[must_use]
    pub fn with_embedder(mut self, embedder: Arc<Embedder>) -> Reader {
        self.embedder = Some(embedder);
        self
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
        let started = Instant::now();
        request.check()?;
        let filter = Filter::new(&request.filter)?;
        let collections = self.chosen(&request.collections)?;
        if !request.mode.is_ranked() {
            return scan_store(&self.db, request, &filter, &collections);
        }
        self.prepare(request.mode, &collections, !filter.is_open())?;
        let mut sight = self.sight(&collections);
        if let Some(embedder) = &self.embedder
            && sight.wants_vector(request.mode)
        {
            let vector = embedder.embed_query(&query_text(&request.query));
            sight.vector = Some(Arc::new(QueryVector::new(&vector)?));
        }
        sight.search(started, request, &filter)
    }

    /// Finds what is like the code at a place.
    ///
    /// # Errors
    /// [`Error::PlaceMissing`] when no indexed chunk covers the place; otherwise as [`Reader::search`].
    pub fn related(&mut self, place: &Place, request: &SearchRequest) -> Result<Answer> {
        request.check_shape()?;
        let started = Instant::now();
        let filter = Filter::new(&request.filter)?;
        let collections = self.chosen(&request.collections)?;
        self.prepare(Mode::Hybrid, &collections, true)?;
        let sight = self.sight(&collections);
        sight.related(started, place, request, &filter)
    }

    /// Returns what a search of loaded collections looks at.
    fn sight<'a>(&'a self, collections: &'a [Collection]) -> Sight<'a> {
        let views = collections
            .iter()
            .filter_map(|collection| Some((collection, self.views.get(&collection.id)?)));
        Sight {
            store: &self.db,
            views: views.collect(),
            model: self.embedder.as_ref().map(|embedder| embedder.name()),
            vector: None,
            missing: self.model_problem.as_ref().map(|problem| Missing {
                reason: Reason::ModelMissing,
                problem: problem.clone(),
            }),
            threads: self.config.threads,
        }
    }

    /// Returns the collection with a source that holds the current folder; of several that of the innermost source.
    ///
    /// # Errors
    /// Those of the store.
    pub fn holding_current_folder(&self) -> Result<Option<Collection>> {
        let Some(folder) = current_folder() else {
            return Ok(None);
        };
        let mut holding = Vec::new();
        for collection in &self.collections {
            for source in self.db.sources(collection.id)? {
                if let Some(root) = source.folder().filter(|root| folder.starts_with(root)) {
                    holding.push((root.components().count(), collection));
                }
            }
        }
        // A collection of a sub-folder is the narrower answer.
        let innermost = holding.into_iter().max_by_key(|&(depth, _)| depth);
        Ok(innermost.map(|(_, collection)| collection.clone()))
    }

    /// Returns the collections asked for; without any, the one that holds the current folder, else all.
    fn chosen(&self, names: &[String]) -> Result<Vec<Collection>> {
        if !names.is_empty() {
            let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
            return distinct
                .into_iter()
                .map(|name| self.collection(name))
                .collect();
        }
        if let Some(collection) = self.holding_current_folder()? {
            return Ok(vec![collection]);
        }
        // The vectors of clients are compared with vectors of clients alone.
        let by_model = |collection: &&Collection| collection.kind != CollectionKind::Vectors;
        Ok(self.collections.iter().filter(by_model).cloned().collect())
    }
}

/// Answers from the stored texts, without any index.
pub(crate) fn scan_store(
    store: &dyn Store,
    request: &SearchRequest,
    filter: &Filter,
    collections: &[Collection],
) -> Result<Answer> {
    match request.mode {
        Mode::Direct => direct::search(store, request, filter, collections, scanned::SCAN_TIME_MAX),
        Mode::Literal | Mode::Regex | Mode::Hybrid | Mode::Text | Mode::Vector => {
            scanned::search(store, request, filter, collections)
        }
    }
}

/// Looks for the words of a question in the stored texts, for as long as `time_max`: what answers when all indexes are lost.
pub(crate) fn scan_briefly(
    store: &dyn Store,
    request: &SearchRequest,
    filter: &Filter,
    collections: &[Collection],
    time_max: Duration,
) -> Result<Answer> {
    let request = SearchRequest {
        mode: Mode::Direct,
        explain: false,
        ..request.clone()
    };
    direct::search(store, &request, filter, collections, time_max)
}

fn current_folder() -> Option<PathBuf> {
    std::env::current_dir()
        .and_then(|folder| folder.canonicalize())
        .ok()
}

/// Returns what a hit defines, with the scope around it: `Server::run`. Of several definitions it is the one that `names`
/// (in lower case) asks for, else the first.
fn symbol_of(chunk: &ChunkRow, names: &[String]) -> Option<String> {
    let asked = chunk
        .symbols
        .iter()
        .find(|symbol| names.contains(&symbol.name.to_lowercase()));
    let symbol = asked
        .or(chunk.symbols.first())
        .map(|symbol| symbol.name.clone());
    let separator = match chunk.language.as_deref() {
        Some("rust" | "cpp" | "c++" | "ruby" | "php" | "perl") => "::",
        Some("markdown" | "rst" | "restructuredtext") => " › ",
        _ => ".",
    };
    let parts: Vec<String> = chunk.scope.iter().cloned().chain(symbol).collect();
    (!parts.is_empty()).then(|| parts.join(separator))
}

/// Returns the neighbours of a chunk within its file.
fn neighbours(store: &dyn Store, chunk: &ChunkRow, count: u32) -> Result<Vec<ContextChunk>> {
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
