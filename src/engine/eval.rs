//! How good the answers are: questions whose answers are known, asked in every mode.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use embedder_index::RuleSet;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::engine::ingest::progress::Progress;
use crate::engine::ingest::{self, IndexReport, IndexRequest, Origin};
use crate::engine::search::{Answer, Hit, Mode, Reader, SearchRequest};
use crate::error::{Error, Result};
use crate::store::{Collection, Store};
use dataset::{Annotations, Category, Place, Question};

pub mod bootstrap;
pub mod dataset;
mod grep;
mod metric;
pub mod tuning;

/// The modes that are asked, from the best to the last that is left when everything else fails.
pub const MODES: [Mode; 4] = [Mode::Hybrid, Mode::Text, Mode::Vector, Mode::Direct];

/// Times each question is asked; the median of the times counts.
const REPEATS: usize = 3;

/// Hits among which an answer is looked for, for what reading until it costs.
const READ_MAX: usize = 50;

/// What a question costs that is never answered, in tokens.
pub const TOKENS_MAX: u64 = 32_000;

/// Bytes of a token, about, for code and English in the tokenizers of current language models.
const BYTES_PER_TOKEN: u64 = 4;

fn tokens_of(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

/// What to measure.
#[derive(Debug)]
pub struct Options<'a> {
    /// The folder with `annotations/`.
    pub dataset: &'a Path,
    /// The folder with a folder for each corpus.
    pub corpora: &'a Path,
    /// Only these corpora; all of them where there are none.
    pub only: &'a [String],
    /// The ranking rules that take part.
    pub rules: RuleSet,
}

/// Everything that one run measured. It can be kept and compared with a later one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The corpora, in order of their names.
    pub corpora: Vec<CorpusRun>,
}

/// What was measured of a corpus.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CorpusRun {
    /// Its name.
    pub corpus: String,
    /// Files indexed.
    pub files: u64,
    /// Chunks indexed.
    pub chunks: u64,
    /// Milliseconds until text search answered, with the model loaded, when all of it was read anew: in this run or, where
    /// it was up to date, in the one before.
    pub text_ready_ms: Option<u64>,
    /// Milliseconds until all vectors were there, of the same run; none where some were there before it.
    pub index_ms: Option<u64>,
    /// The questions.
    pub questions: Vec<QuestionRun>,
}

/// What was measured of a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuestionRun {
    /// The question.
    pub query: String,
    /// Its kind.
    pub category: Category,
    /// Tokens that a good grep reads until it sees an answer.
    pub grep_tokens: u64,
    /// The answers by mode.
    pub answers: BTreeMap<Mode, Figures>,
}

/// What was measured of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// NDCG@10 over chunks.
    pub chunk: f64,
    /// NDCG@10 over files.
    pub file: f64,
    /// Median milliseconds of answering.
    pub took_ms: f64,
    /// Tokens of the answer with ten hits.
    pub tokens: u64,
    /// Tokens until the first hit that answers, itself included.
    pub tokens_until_relevant: u64,
    /// The places of the ten hits.
    pub hits: Vec<String>,
}

/// Indexes the corpora, unless they are up to date, and asks their questions.
///
/// `each` is told of each corpus before it begins.
///
/// # Errors
/// A dataset or a corpus that is missing; no model; [`Error::Interrupted`] when `stop` was set.
pub fn run(
    config: &Config,
    options: &Options<'_>,
    progress: &dyn Progress,
    stop: &AtomicBool,
    each: &dyn Fn(&str),
) -> Result<Run> {
    let mut all = dataset::load(options.dataset)?;
    if let Some(unknown) = options
        .only
        .iter()
        .find(|name| !all.iter().any(|one| one.corpus == **name))
    {
        return Err(Error::Argument {
            problem: format!("{} has no corpus {unknown:?}", options.dataset.display()),
            remedy: "its folder annotations/ has a file for each".to_owned(),
        });
    }
    all.retain(|one| options.only.is_empty() || options.only.contains(&one.corpus));
    let embedder = Arc::new(Embedder::load(config)?);
    let mut runs = Vec::new();
    for annotations in &all {
        each(&annotations.corpus);
        runs.push(corpus_run(
            config,
            options,
            annotations,
            &embedder,
            progress,
            stop,
        )?);
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
    }
    Ok(Run { corpora: runs })
}

fn corpus_run(
    config: &Config,
    options: &Options<'_>,
    annotations: &Annotations,
    embedder: &Arc<Embedder>,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<CorpusRun> {
    let folder = options.corpora.join(&annotations.corpus);
    if !folder.is_dir() {
        return Err(Error::Argument {
            problem: format!("the corpus {} is not there", folder.display()),
            remedy: format!(
                "fetch the corpora: {} {}",
                options.dataset.join("corpora").display(),
                options.corpora.display()
            ),
        });
    }
    let whole = annotations.roots.iter().any(|root| root == ".");
    let request = IndexRequest {
        origin: Origin::Folder(folder),
        collection: Some(annotations.corpus.clone()),
        within: if whole {
            Vec::new()
        } else {
            annotations.roots.clone()
        },
        with_vectors: true,
    };
    let model = || Some(Arc::clone(embedder));
    let report = ingest::index(config, &request, model, progress, stop)?;
    let times = IndexTimes::of(config, &annotations.corpus, &report)?;

    let mut reader = Reader::open(config)?.with_embedder(Arc::clone(embedder));
    let collection = reader.collection(&annotations.corpus)?;
    let files = texts(reader.store(), &collection)?;
    let mut questions = Vec::new();
    for question in &annotations.queries {
        let answers = MODES.into_iter().map(|mode| {
            Ok((
                mode,
                figures(&mut reader, &collection, question, mode, options.rules)?,
            ))
        });
        questions.push(QuestionRun {
            query: question.query.clone(),
            category: question.category,
            grep_tokens: grep::tokens_until_relevant(question, &files),
            answers: answers.collect::<Result<_>>()?,
        });
    }
    Ok(CorpusRun {
        corpus: annotations.corpus.clone(),
        files: report.files,
        chunks: report.chunks,
        text_ready_ms: times.text_ready_ms,
        index_ms: times.index_ms,
        questions,
    })
}

/// How long reading a corpus anew took. Kept beside the index, so that a run that finds it up to date can say it as well.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct IndexTimes {
    text_ready_ms: Option<u64>,
    index_ms: Option<u64>,
}

impl IndexTimes {
    fn of(config: &Config, corpus: &str, report: &IndexReport) -> Result<IndexTimes> {
        let path = config.data_dir.join(format!("{corpus}.times.json"));
        let is_fresh = report.changed == report.files - report.skipped.values().sum::<u64>();
        if !is_fresh || report.changed == 0 {
            // What was never measured, or is damaged, is not known.
            let kept = fs::read(&path).unwrap_or_default();
            return Ok(serde_json::from_slice(&kept).unwrap_or_default());
        }
        let times = IndexTimes {
            text_ready_ms: Some(report.text_ready_ms),
            index_ms: (report.embedded_now > 0).then_some(report.took_ms),
        };
        let text = serde_json::to_vec(&times)
            .map_err(|error| Error::Internal(format!("times cannot be written: {error}")))?;
        fs::write(&path, text).map_err(|error| Error::io("write", path, error))?;
        Ok(times)
    }
}

fn figures(
    reader: &mut Reader,
    collection: &Collection,
    question: &Question,
    mode: Mode,
    rules: RuleSet,
) -> Result<Figures> {
    let request = SearchRequest {
        collections: vec![collection.name.clone()],
        limit: metric::DEPTH,
        rules,
        ..SearchRequest::new(question.query.clone(), mode)
    };
    let mut times = [Duration::ZERO; REPEATS];
    let mut answer = None;
    for time in &mut times {
        let started = Instant::now();
        answer = Some(reader.search(&request)?);
        *time = started.elapsed();
    }
    times.sort_unstable();
    let answer = answer.ok_or_else(|| Error::Internal("a question was not asked".to_owned()))?;
    let deeper = reader.search(&SearchRequest {
        limit: READ_MAX,
        ..request
    })?;
    let places = places(&answer);
    Ok(Figures {
        chunk: metric::ndcg(question, &places),
        file: metric::ndcg(question, &metric::by_file(&places)),
        took_ms: times[REPEATS / 2].as_secs_f64() * 1e3,
        tokens: answer.hits.iter().map(shown_tokens).sum(),
        tokens_until_relevant: metric::first_relevant(question, &self::places(&deeper))
            .map_or(TOKENS_MAX, |last| {
                deeper.hits[..=last].iter().map(shown_tokens).sum()
            }),
        hits: places
            .iter()
            .map(|place| format!("{}:{}-{}", place.path, place.start_line, place.end_line))
            .collect(),
    })
}

fn places(answer: &Answer) -> Vec<Place<'_>> {
    let hits = answer.hits.iter();
    hits.map(|hit| Place {
        path: &hit.path,
        start_line: hit.start_line,
        end_line: hit.end_line,
    })
    .collect()
}

/// What a hit costs a reader: its place, its symbol and its snippet, as `search` prints them.
fn shown_tokens(hit: &Hit) -> u64 {
    let symbol = hit.symbol.as_deref().unwrap_or_default();
    tokens_of(&format!(
        "{}:{}-{}  {symbol}\n{}\n",
        hit.path, hit.start_line, hit.end_line, hit.snippet.text
    ))
}

/// The files of a collection as grep sees them.
fn texts(store: &dyn Store, collection: &Collection) -> Result<Vec<(String, String)>> {
    let mut files: Vec<(String, String)> = Vec::new();
    store.texts(collection.id, &mut |chunk| {
        match files.last_mut() {
            Some((path, text)) if *path == chunk.path => text.push_str(&chunk.text),
            _ => files.push((chunk.path, chunk.text)),
        }
        true
    })?;
    Ok(files)
}

impl Run {
    /// Reads a run that was kept.
    ///
    /// # Errors
    /// A file that is missing or something else.
    pub fn load(path: &Path) -> Result<Run> {
        let text = fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
        serde_json::from_str(&text).map_err(|error| Error::Argument {
            problem: format!("{} is no kept run: {error}", path.display()),
            remedy: "keep one with --save".to_owned(),
        })
    }

    /// Keeps the run.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::Internal(format!("a run cannot be written: {error}")))?;
        fs::write(path, text).map_err(|error| Error::io("write", path, error))
    }
}

impl CorpusRun {
    /// A figure of each of its questions in a mode.
    pub fn values(&self, mode: Mode, of: impl Fn(&Figures) -> f64) -> Vec<f64> {
        let answers = self
            .questions
            .iter()
            .filter_map(|question| question.answers.get(&mode));
        answers.map(of).collect()
    }
}
