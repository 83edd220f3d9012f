//! How fast one client is answered, how long opening takes, and how much memory it needs.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::corpus::COLLECTION;
use super::{Latency, resident_bytes};
use crate::config::Config;
use crate::engine::search::{Mode, Reader, SearchRequest};
use crate::error::{Error, Result};
use crate::store::{ChunkRow, CollectionId, Store};

/// Queries of a series: enough that the 99th percentile is not the slowest one alone.
const QUERIES: usize = 400;

/// Times each query is asked; its median counts, so that a disturbance of the machine is not taken for a slow query.
const REPEATS: usize = 3;

/// How long opening a prepared collection takes, once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    /// From nothing to the first answer by words: store, catalogue, text index.
    pub text_ms: f64,
    /// The same with vectors and model.
    pub hybrid_ms: f64,
}

/// What was measured of answering.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchFigures {
    /// Chunks in the collection.
    pub chunks: u64,
    /// Queries in each series.
    pub queries: usize,
    /// Resident memory after all series, with the model.
    pub resident_mb: f64,
    /// Latency of text search.
    pub text: Latency,
    /// Latency of hybrid search, the query's own embedding included.
    pub hybrid: Latency,
    /// Latency of vector search, the query's own embedding included.
    pub vector: Latency,
    /// Latency of hybrid search for ten identifiers in a sentence.
    /// None where the collection has too few names.
    pub ten_identifiers: Option<Latency>,
    /// Latency of hybrid search for a pasted text of two thousand words. None where its comments have fewer.
    pub pasted_text: Option<Latency>,
}

/// Opens a prepared data directory. To be run in a process of its own.
///
/// # Errors
/// Those of searching.
pub fn open(config: &Config) -> Result<Opening> {
    let first_answer = |mode| -> Result<f64> {
        let started = Instant::now();
        Reader::open(config)?.search(&request("open", mode))?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    };
    Ok(Opening {
        text_ms: first_answer(Mode::Text)?,
        hybrid_ms: first_answer(Mode::Hybrid)?,
    })
}

/// Measures the answers of a prepared data directory. To be run in a process of its own, so that its memory is its own.
///
/// # Errors
/// Those of searching.
pub fn measure(config: &Config) -> Result<SearchFigures> {
    let mut reader = Reader::open(config)?;
    let collection = reader.collection(COLLECTION)?;
    let queries = queries(reader.store(), collection.id)?;
    let mut series = |mode, queries: &[String]| -> Result<Latency> {
        let mut medians = Vec::with_capacity(queries.len());
        for query in queries {
            let request = request(query, mode);
            let mut times = [Duration::ZERO; REPEATS];
            for time in &mut times {
                let started = Instant::now();
                let answer = reader.search(&request)?;
                *time = started.elapsed();
                if answer.meta.served_by != mode.into() {
                    return Err(Error::Internal(format!(
                        "{mode:?} was asked for, not {:?}",
                        answer.meta.served_by
                    )));
                }
            }
            times.sort_unstable();
            medians.push(times[REPEATS / 2]);
        }
        Ok(Latency::of(medians))
    };
    series(Mode::Hybrid, &queries.all)?;
    let text = series(Mode::Text, &queries.all)?;
    let hybrid = series(Mode::Hybrid, &queries.all)?;
    let vector = series(Mode::Vector, &queries.all)?;
    let mut if_any = |queries: &[String]| -> Result<Option<Latency>> {
        if queries.is_empty() {
            return Ok(None);
        }
        series(Mode::Hybrid, queries).map(Some)
    };
    let ten_identifiers = if_any(&queries.ten_identifiers)?;
    let pasted_text = if_any(&queries.pasted)?;
    let chunks = reader.store().counts(collection.id, None)?.chunks;
    Ok(SearchFigures {
        chunks,
        queries: queries.all.len(),
        resident_mb: resident_bytes().unwrap_or(0) as f64 / 1e6,
        text,
        hybrid,
        vector,
        ten_identifiers,
        pasted_text,
    })
}

fn request(query: &str, mode: Mode) -> SearchRequest {
    SearchRequest {
        collections: vec![COLLECTION.to_owned()],
        ..SearchRequest::new(query.to_owned(), mode)
    }
}

/// What is asked.
struct Queries {
    /// Half first words of comments, half names of definitions.
    all: Vec<String>,
    ten_identifiers: Vec<String>,
    /// Texts of two thousand words.
    pasted: Vec<String>,
}

/// Words of a pasted text.
const PASTED_WORDS: usize = 2_000;

/// Takes questions from the collection, spread evenly over all chunks.
fn queries(store: &dyn Store, collection: CollectionId) -> Result<Queries> {
    let (mut sentences, mut names) = (Vec::new(), Vec::new());
    store.canonical_chunks(collection, true, &mut |chunk: ChunkRow| {
        sentences.extend(chunk.text.lines().find_map(sentence));
        names.extend(chunk.symbols.first().map(|symbol| symbol.name.clone()));
    })?;
    let spread = |all: &[String], count: usize| -> Vec<String> {
        let step = (all.len() / count).max(1);
        all.iter().step_by(step).take(count).cloned().collect()
    };
    let all = [spread(&sentences, QUERIES / 2), spread(&names, QUERIES / 2)].concat();
    if all.is_empty() {
        return Err(Error::Internal(
            "the collection has neither comments nor definitions".to_owned(),
        ));
    }
    let many_names = spread(&names, QUERIES * 5);
    let ten = many_names
        .chunks_exact(10)
        .map(|names| format!("how do {} work together", names.join(", ")));
    let words: Vec<&str> = sentences
        .iter()
        .flat_map(|sentence| sentence.split(' '))
        .collect();
    let pasted = words
        .chunks_exact(PASTED_WORDS)
        .map(|words| words.join(" "));
    Ok(Queries {
        all,
        ten_identifiers: ten.collect(),
        pasted: pasted.take(QUERIES / 4).collect(),
    })
}

fn sentence(line: &str) -> Option<String> {
    let text = line.trim().strip_prefix("///")?.trim();
    let words: Vec<&str> = text.split_whitespace().take(12).collect();
    (words.len() >= 4).then(|| words.join(" "))
}
