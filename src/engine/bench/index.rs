//! How soon a fresh folder answers, and what a run costs that has nothing to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;

use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::engine::ingest::progress::{Event, Progress};
use crate::engine::ingest::{IndexReport, IndexRequest, Origin, index};
use crate::engine::search::{Mode, Reader, SearchRequest};
use crate::error::{Error, Result};

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexFigures {
    /// Files of the folder.
    pub files: u64,
    /// Chunks of the folder.
    pub chunks: u64,
    /// From the start of the run until a text search, opened anew, had its answer.
    pub first_answer_ms: f64,
    /// Until every chunk had its vector.
    pub vectors_complete_ms: f64,
    /// Texts embedded by the first run.
    pub embedded_first: u64,
    /// The whole second run, which finds nothing changed.
    pub second_run_ms: f64,
    /// The same for a thousand files.
    pub second_run_ms_per_1000_files: f64,
    /// Texts embedded by the second run.
    pub embedded_second: u64,
}

/// Indexes `folder` into the empty data directory of `config`, twice.
///
/// # Errors
/// Those of indexing and searching.
pub fn measure(config: &Config, folder: &Path, stop: &AtomicBool) -> Result<IndexFigures> {
    let request = IndexRequest {
        origin: Origin::Folder(folder.to_owned()),
        collection: Some("bench".to_owned()),
        within: Vec::new(),
        with_vectors: true,
    };
    let load = || Embedder::load(config).ok().map(Arc::new);
    let first_answer = FirstAnswer {
        config,
        started: Instant::now(),
        answered_ms: std::sync::OnceLock::new(),
    };
    let started = Instant::now();
    let first = index(config, &request, load, &first_answer, stop)?;
    let vectors_complete_ms = started.elapsed().as_secs_f64() * 1e3;
    let (second, second_run_ms) = timed_run(config, &request, stop)?;
    let answered_ms = first_answer.answered_ms.get().copied();
    Ok(IndexFigures {
        files: first.files,
        chunks: first.chunks,
        first_answer_ms: answered_ms
            .ok_or_else(|| Error::Internal("text search never answered".to_owned()))?,
        vectors_complete_ms,
        embedded_first: first.embedded_now,
        second_run_ms,
        second_run_ms_per_1000_files: second_run_ms * 1000.0 / first.files.max(1) as f64,
        embedded_second: second.embedded_now,
    })
}

fn timed_run(
    config: &Config,
    request: &IndexRequest,
    stop: &AtomicBool,
) -> Result<(IndexReport, f64)> {
    let started = Instant::now();
    let load = || Embedder::load(config).ok().map(Arc::new);
    let report = index(
        config,
        request,
        load,
        &crate::engine::ingest::progress::Silent,
        stop,
    )?;
    Ok((report, started.elapsed().as_secs_f64() * 1e3))
}

/// Searches once, as another process would, as soon as the run says that text is ready.
struct FirstAnswer<'a> {
    config: &'a Config,
    started: Instant,
    answered_ms: std::sync::OnceLock<f64>,
}

impl Progress for FirstAnswer<'_> {
    fn report(&self, event: &Event) {
        if !matches!(event, Event::TextReady { .. }) {
            return;
        }
        let request = SearchRequest::new("open a file and read it".to_owned(), Mode::Text);
        let answered = Reader::open(self.config).and_then(|mut reader| reader.search(&request));
        if answered.is_ok_and(|answer| !answer.hits.is_empty()) {
            let _ = self
                .answered_ms
                .set(self.started.elapsed().as_secs_f64() * 1e3);
        }
    }
}
